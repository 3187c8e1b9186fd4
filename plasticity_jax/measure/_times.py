"""How fast a signal changes."""

import numpy as np
from jaxtyping import Float

from .._arguments import floating


@floating
def autocorrelation_time(series: Float[np.ndarray, " time"], interval: float) -> float:
    """Time after which the autocorrelation of a series first falls below 1/e.

    `interval` is the time between samples; linear between lags. NaN if the series is
    constant or not finite, infinite if it does not fall within half of the series.
    Raises `ValueError` for an empty series and an interval that is not positive.

    >>> series = np.cos(2 * np.pi * np.arange(1000) / 100)
    >>> expected = np.arccos(1 / np.e) / (2 * np.pi) * 100
    >>> print(f"{autocorrelation_time(series, 1.0):.0f} {expected:.0f}")
    19 19
    """
    if series.ndim != 1 or not series.size:
        raise ValueError(f"`series` must be a vector; got shape {series.shape}.")
    if not interval > 0:
        raise ValueError(f"`interval` must be positive; got {interval}.")
    centred = np.asarray(series, float) - np.mean(series)
    power = float(np.mean(centred**2))
    if not np.isfinite(power) or np.ptp(series) == 0:
        return float("nan")
    count = len(centred)
    at = lambda lag: np.mean(centred[: count - lag] * centred[lag:])
    high = 1.0
    for lag in range(1, count // 2):  # each costs a pass: no further than it takes
        low = at(lag) / power
        if low < np.exp(-1):
            return interval * (lag - 1 + (high - np.exp(-1)) / (high - low))
        high = low
    return float("inf")
