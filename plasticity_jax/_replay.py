"""A stored run, computed again from its own attributes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TYPE_CHECKING

import numpy as np

from ._config import Plan
from ._experiment import Experiment, labelled


if TYPE_CHECKING:
    import xarray


PLATFORM = ("plasticity_jax", "jax", "device", "precision")
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}  # of the largest entry, elsewhere


class Replayed(NamedTuple):
    """One observable: its largest difference over its largest entry, and the limit.

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


def replayed(
    experiment: Experiment, plan: Plan, folder: Path, *, progress: bool = True
) -> Iterator[Replayed]:
    """Every number of a result, and of its control, beside that computed again.

    Raises `ValueError` if the stored data cannot be read, or their keys are not those
    that the plan would use.
    """
    import xarray

    for group, part in (None, plan), ("control", experiment.control(plan)):
        try:
            stored = xarray.open_dataset(
                folder / "data.zarr", engine="zarr", group=group, consolidated=False
            ).load()
            size = int(stored.attrs["batch_size"])
        except (OSError, LookupError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise ValueError(
                f"replay: {folder}/data.zarr cannot be read ({why})."
            ) from error
        again = labelled(experiment, part, batch_size=size, progress=progress)
        if stored.attrs["keys"] != again.attrs["keys"]:
            raise ValueError(f"replay: {folder} was run with other keys.")
        yield from _compared(group or "data", stored, again)


def _compared(
    part: str, stored: "xarray.Dataset", again: "xarray.Dataset"
) -> Iterator[Replayed]:
    here = all(stored.attrs.get(x) == again.attrs.get(x) for x in PLATFORM)
    limit = 0.0 if here else TOLERANCE[str(stored.attrs["precision"])]
    for name, values in stored.data_vars.items():
        a, b = values.values, again[name].values
        if a.dtype.kind not in "biuf":
            continue
        yield Replayed(f"{part}: {name}", _difference(a, b), limit)


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """0 for the same bits, NaN where only one of two entries is a number."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("nan")
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    a, b = a.astype(float), b.astype(float)
    known = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~known], b[~known], equal_nan=True):
        return float("nan")
    return float(np.max(np.abs(a - b)[known]) / np.max(np.abs(a[known])))
