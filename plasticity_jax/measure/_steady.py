"""Has a run settled, and where is the bottom of a curve."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


STATIONARY = 0.05  # relative drift below which a run counts as settled


def drift(series: Float[Array, " step"], share: float = 0.1) -> Float[Array, ""]:
    """Relative difference between the means of the last two windows of a series.

    Each window holds `share` of the series; a run is called stationary where the
    absolute value is below `STATIONARY`.
    """
    window = max(1, int(share * len(series)))
    last, before = series[-window:], series[-2 * window : -window]
    return jnp.mean(last) / jnp.mean(before) - 1


def log_vertex(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Where a positive curve is lowest: vertex of a parabola in (log x, log y).

    Through the lowest point and its two neighbours; the end of the grid where the
    lowest point is an end; NaN where the curve is not finite.
    """
    if not np.all(np.isfinite(y)):
        return float("nan")
    lowest = int(np.argmin(y))
    if lowest in (0, len(x) - 1):
        return float(x[lowest])
    near = slice(lowest - 1, lowest + 2)
    second, first, _ = np.polyfit(np.log(x[near]), np.log(y[near]), 2)
    return float(np.exp(-first / (2 * second)))


def vertex_of_mean(
    x: Float[np.ndarray, " n"], curves: Float[np.ndarray, "curve n"]
) -> tuple[float, float]:
    """Where the mean of positive curves is lowest, and the standard error of that.

    By `log_vertex`; the error is that of the mean of each curve's own lowest point, NaN
    for a single curve.
    """
    each = [log_vertex(x, curve) for curve in curves]
    error = np.std(each, ddof=1) / len(each) ** 0.5 if len(each) > 1 else math.nan
    return log_vertex(x, curves.mean(axis=0)), float(error)


def log_slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Exponent of a power law: slope of log y over log x by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
