"""Figures 3D-E: directions of gradients, and the contours that they cross."""

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float
from xarray import DataArray, Dataset

from ....experiment import claim, over_seeds
from .learning import jackknife


Measure = Callable[[DataArray], float]
TEACHER = (0.075, 0.075)  # (0.15, 0.15) over n
METRICS = ("euclidean", "natural", "poisson")
STATISTICS = {"mean": np.mean, "largest": np.max}
EVALUATED = {  # degrees, by an independent evaluation
    ("euclidean", "mean"): 32.9,
    ("euclidean", "largest"): 62.8,
    ("natural", "mean"): 5.8,
    ("natural", "largest"): 14.6,
    ("poisson", "mean"): 7.3,
    ("poisson", "largest"): 20.7,
}
PLACES = {"start": (-0.3, 0.5), "high": (0.15, 0.3), "low": (0.3, 0.15)}  # x n
FOLDS = 10  # parts of the sample, of which errors are estimated
POTENTIALS = 100_000  # of the independent evaluation


def in_parts(
    measure: Callable[[Any], Any], potentials: Float[Array, "sample n"]
) -> Array:
    """A measure of each of `FOLDS` equal parts of a sample."""
    size = len(potentials) // FOLDS
    parts = potentials[: FOLDS * size].reshape(FOLDS, size, -1)
    return jax.lax.map(measure, parts)


def turns(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Angles (degrees) of `field` (..., point, synapse) with the way to the target."""
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    u, v = unit(np.asarray(field, float)), unit(np.asarray(TEACHER) - places)
    apart, between = (np.linalg.norm(x, axis=-1) for x in (u - v, u + v))
    return np.degrees(2 * np.arctan2(apart, between))


def sampled(parts: DataArray, measure: Measure) -> tuple[float, float]:
    """A measure of the parts of the sample, and its error by leaving out one."""
    parts = parts.rename(fold="seed")
    return measure(parts), jackknife(measure, parts)


def turn(data: Dataset, metric: str, of: str) -> tuple[float, float]:
    """One of `STATISTICS` of the angles to the target, and its error."""

    def measure(parts: DataArray) -> float:
        field = over_seeds(parts).transpose("point", "synapse").values
        return float(STATISTICS[of](turns(field, data.place.values)))

    return sampled(data.fold_field.sel(metric=metric), measure)


MARGIN = "independent evaluation, 4 standard errors of both"


def margin(value: float, side: int, data: Dataset, found: Any) -> float:
    """A limit: what an independent sample gave, 4 standard errors of both away."""
    return value + side * 4 * found[1] * math.sqrt(1 + float(data.share))


def about(value: float, data: Dataset, *at: str) -> tuple[float, float]:
    """Both limits of an angle that was told to 0.1 degrees."""
    found = turn(data, *at)
    low, high = (margin(value + 0.05 * side, side, data, found) for side in (-1, 1))
    return low, high


# --- directions of the gradients, and the contours that they cross --------------------


@claim(
    f"Fig. 3D-E, T6; {MARGIN}",
    low=lambda data, control, *at: about(EVALUATED[at], data, *at)[0],
    high=lambda data, control, *at: about(EVALUATED[at], data, *at)[1],
    control=lambda data, control, metric, of: (
        turn(control, metric, of) if metric == "natural" else None
    ),
    each={"metric": METRICS, "of": tuple(STATISTICS)},
)
def angle_to_target(data: Dataset, metric: str, of: str) -> tuple[float, float]:
    """Gradients against the way to the target, {metric} metric ({of} angle over the
    grid, degrees).
    """
    return turn(data, metric, of)


def kl(parts: DataArray, name: str) -> float:
    """Divergence at one of `PLACES`, mean over parts of the sample."""
    return float(over_seeds(parts).sel(where=name))


def elongation(parts: DataArray) -> float:
    """Divergence of equal errors, high-rate over low-rate weight."""
    return kl(parts, "high") / kl(parts, "low")


def at_start(parts: DataArray) -> float:
    """Divergence at the start of the paths."""
    return kl(parts, "start")


def contour(measure: Measure, told: float, side: int) -> Any:
    """A limit of a measure of the divergence at `PLACES`."""
    return lambda data, control: margin(
        told, side, data, sampled(data.fold_divergence, measure)
    )


@claim(
    f"Fig. 3D-E; {MARGIN}: 3.3e-3 / 5.1e-4",
    low=contour(elongation, 3.25e-3 / 5.15e-4, -1),
    high=contour(elongation, 3.35e-3 / 5.05e-4, 1),
    control=None,
)
def elongated(data: Dataset) -> tuple[float, float]:
    """Contours are elongated along the low-rate weight (divergence of equal errors,
    high / low).
    """
    return sampled(data.fold_divergence, elongation)


@claim(
    f"Fig. 3D-E; {MARGIN}: 9.3e-3",
    low=contour(at_start, 9.25e-3, -1),
    high=contour(at_start, 9.35e-3, 1),
    control=None,
)
def divergence_at_the_start(data: Dataset) -> tuple[float, float]:
    """Divergence per bin of 0.5 ms at the start."""
    return sampled(data.fold_divergence, at_start)
