"""A stored run, computed again from its own attributes."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

import numpy as np

from .._arguments import folder as expanded
from ._experiment import Experiment, labelled
from ._plan import Plan
from ._results import storable


if TYPE_CHECKING:
    import xarray


PLATFORM = ("plasticity_jax", "jax", "device", "precision")
NUMBERS = "biufc"  # kinds of arrays whose entries can be near each other
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the largest entry, elsewhere


class Recomputed(NamedTuple):
    """One variable: its largest difference over its largest entry, and the limit.

    The limit is 0 (the same bits) on the platform of the stored run, else a tolerance:
    long or chaotic runs amplify the last bit and may exceed it.
    """

    name: str
    difference: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the limit; False for NaN."""
        return self.difference <= self.limit


def recompute(
    experiment: Experiment, plan: Plan, folder: str | Path, *, progress: bool = True
) -> Iterator[Recomputed]:
    """Every number of a result, and of its control, beside that computed again.

    Raises `ValueError` if the stored data cannot be read, or their keys are not those
    that the plan would use.

    >>> run, plan = lambda c, k: {"rate": c(10.0)}, Plan(circuits.Sigmoid(), {}, 1)
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> with np.testing.tempdir() as out:
    ...     print(*recompute(mine, plan, run_experiment(mine, plan, out=out).folder))
    Recomputed(name='data: rate', difference=0.0, limit=0.0) ...
    """
    folder = expanded(folder)
    for name, part in ("data", plan), ("control", experiment.control(plan)):
        stored = _stored(folder, name)
        size = int(stored.attrs["batch_size"])
        again = labelled(experiment, part, batch_size=size, progress=progress)
        if stored.attrs["keys"] != again.attrs["keys"]:
            raise ValueError(f"recompute: {folder} was run with other keys.")
        yield from _compared(name, stored, storable(again))


def _stored(folder: Path, part: str) -> "xarray.Dataset":
    """The data of a result, or of its control; `ValueError` if they cannot be read."""
    import xarray

    place, group = folder / f"{part}.zarr", None
    if part == "control" and not place.exists():  # as version 0.1.0 wrote it
        place, group = folder / "data.zarr", part
    if not place.exists():
        config = folder / "config.toml"
        hint = f" To make the data anew: plasticity-jax run {config}"
        told = f"recompute: {place} cannot be read: it is not there."
        raise ValueError(told + hint if config.exists() else told)
    try:
        stored = xarray.open_dataset(
            place, engine="zarr", group=group, consolidated=False
        ).load()
        absent = {"batch_size", "keys", "precision"} - set(stored.attrs)
        if absent:
            raise ValueError(f"without the attributes {sorted(absent)}")
    except (OSError, LookupError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"recompute: {place} cannot be read ({why}).") from error
    return stored


def _compared(
    part: str, stored: "xarray.Dataset", again: "xarray.Dataset"
) -> Iterator[Recomputed]:
    """Every variable and coordinate of either, in the order of those computed now."""
    here = all(stored.attrs.get(x) == again.attrs.get(x) for x in PLATFORM)
    limit = 0.0 if here else TOLERANCE[str(stored.attrs["precision"])]
    for name in dict.fromkeys([*again.variables, *stored.variables]):
        difference = math.nan
        if name in stored.variables and name in again.variables:
            a, b = stored[name], again[name]
            if set(a.dims) == set(b.dims):
                difference = _difference(a.values, b.transpose(*a.dims).values)
        yield Recomputed(f"{part}: {name}", difference, limit)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """0 for the same entries, NaN where only one of two is a number, or a text."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.nan if a.dtype.kind in NUMBERS or a.tolist() != b.tolist() else 0.0
    if np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
        return 0.0
    if a.dtype.kind not in NUMBERS:
        return math.nan
    a, b = (x.astype(np.result_type(x, float)) for x in (a, b))
    known = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~known], b[~known], equal_nan=True):
        return math.nan
    apart = max(np.max(np.abs(a - b)[known]), np.finfo(float).tiny)  # they differ
    largest = np.max(np.abs(a[known]))
    return float(apart / largest) if largest else math.inf
