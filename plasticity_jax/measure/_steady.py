"""Has a run settled, and where is the bottom of a curve."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import floating


STATIONARY = 0.05  # relative drift below which a run counts as settled


@floating
def drift(series: Float[Array, " step"], share: float = 0.1) -> Float[Array, ""]:
    """Relative difference between the means of the last two windows of a series.

    Each window holds `share` of the series, one step at least; a run is called
    stationary where the absolute value is below `STATIONARY`. Raises `ValueError`
    unless the series holds two steps or more and `share` lies in (0, 0.5].

    >>> series = jnp.repeat(jnp.array([1.0, 2.0]), 10)
    >>> print(drift(series), drift(series, share=0.5))
    0.0 1.0
    """
    if series.ndim != 1 or len(series) < 2:
        raise ValueError(
            f"`series` must be a vector of at least two steps; got {series.shape}."
        )
    if not 0 < share <= 0.5:
        raise ValueError(f"`share` must lie in (0, 0.5]; got {share}.")
    window = max(1, int(share * len(series)))
    last, before = series[-window:], series[-2 * window : -window]
    return jnp.mean(last) / jnp.mean(before) - 1


@floating
def log_vertex(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Where a positive curve is lowest: vertex of a parabola in (log x, log y).

    Through the lowest point and its two neighbours; the end of the grid where the
    lowest point is an end; NaN where the curve is not finite. Raises `ValueError`
    unless x increases, both are positive and of one length.

    >>> x = np.geomspace(0.25, 4.0, 5)
    >>> print(f"{log_vertex(x, x + 1 / x):.2f}")
    1.00
    """
    _check_positive(x, y)
    if np.any(np.diff(x) <= 0):
        raise ValueError(f"`x` must increase; got {x.tolist()}.")
    if not np.all(np.isfinite(y)):
        return float("nan")
    lowest = int(np.argmin(y))
    if lowest in (0, len(x) - 1):
        return float(x[lowest])
    near = slice(lowest - 1, lowest + 2)
    second, first, _ = np.polyfit(np.log(x[near]), np.log(y[near]), 2)
    return float(np.exp(-first / (2 * second)))


@floating
def vertex_of_mean(
    x: Float[np.ndarray, " n"], curves: Float[np.ndarray, "curve n"]
) -> tuple[float, float]:
    """Where the mean of positive curves is lowest, and the standard error of that.

    By `log_vertex`; the error is that of the mean of each curve's own lowest point, NaN
    for a single curve. Raises `ValueError` as `log_vertex` does.

    >>> x = np.geomspace(0.25, 4.0, 5)
    >>> curve = x + 1 / x
    >>> best, error = vertex_of_mean(x, np.stack([curve, 3 * curve]))
    >>> print(f"{best:.2f} {error:.2f}")
    1.00 0.00
    """
    if curves.ndim != 2 or not len(curves):
        raise ValueError(f"`curves` must be shaped (curve, n); got {curves.shape}.")
    each = [log_vertex(x, curve) for curve in curves]
    error = np.std(each, ddof=1) / len(each) ** 0.5 if len(each) > 1 else math.nan
    return log_vertex(x, curves.mean(axis=0)), float(error)


@floating
def log_slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Exponent of a power law: slope of log y over log x by least squares.

    NaN where y is not finite. Raises `ValueError` unless both are positive and of one
    length, and x holds two different values.

    >>> x = np.array([1.0, 2.0, 4.0])
    >>> print(f"{log_slope(x, 5.0 / x**2):.2f}")
    -2.00
    """
    _check_positive(x, y)
    if np.ptp(x) == 0:
        raise ValueError(f"`x` must hold two different values; got {x.tolist()}.")
    if not np.all(np.isfinite(y)):
        return math.nan
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _check_positive(x: np.ndarray, y: np.ndarray) -> None:
    """Raise `ValueError` unless both have one length and a logarithm; y may be NaN."""
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(
            f"`x` and `y` must be vectors of one length; got {x.shape} and {y.shape}."
        )
    if not np.all((x > 0) & np.isfinite(x)):
        raise ValueError(f"`x` must be positive; got {x.tolist()}.")
    if np.any(y <= 0):
        raise ValueError(f"`y` must be positive; got {y.tolist()}.")
