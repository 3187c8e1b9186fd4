"""Has a run settled, and where is the bottom of a curve."""

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


def log_slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Exponent of a power law: slope of log y over log x by least squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
