"""What is odd about a table, in words."""

import numpy as np

from ._smoothing import window_of
from ._table import changing, Table


def oddities(table: Table) -> tuple[str, ...]:
    """What is odd about a table of sizes, a sentence each: to be read before a fit.

    >>> oddities(Table([[1.0, 2.0, 1.5], [3.0, 3.0, 3.0]], [0.0, 0.5, 1.0]))
    ("constant: '2'.",)
    """
    sizes = np.asarray(table.sizes)
    seen = np.sum(~np.isnan(sizes), axis=1)
    told = []
    if len(sizes) == 1:
        told.append("there is one synapse only: nothing is told of others.")
    for says, which in (
        ("never seen", seen == 0),
        ("constant", (seen > 1) & ~changing(sizes)),
        ("the same sizes as a synapse above", _copies(sizes) & (seen > 0)),
    ):
        if which.any():
            told.append(f"{says}: {_named(table, which)}.")
    if _steadier_down(sizes):
        told.append(
            "neighbouring rows are nearer to each other than neighbouring columns are: "
            "rows must be synapses and columns times."
        )
    few = sizes.size < 100  # too few to tell: it is not compiled for them
    if (window := 1 if few else window_of(table)) > 1:
        told.append(
            "changes are correlated as those of a running mean over about "
            f"{window} samples are: fit with a window of {window}, or thin the table "
            f"to every {window} samples."
        )
    return tuple(told)


def _named(table: Table, which: np.ndarray, most: int = 3) -> str:
    """The synapses that are marked; of many, the first and how many more."""
    found = [table.names[i] for i in np.flatnonzero(which)]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(f"'{name}'" for name in found[:most]) + more


def _copies(sizes: np.ndarray) -> np.ndarray:
    """Which rows repeat one above, gaps included."""
    _, first = np.unique(np.nan_to_num(sizes), axis=0, return_index=True)
    copies = np.ones(len(sizes), bool)
    copies[first] = False
    return copies


def _steadier_down(sizes: np.ndarray) -> bool:
    """Whether sizes change far less from row to row than from column to column."""
    logs = np.log(sizes)
    along, down = (np.diff(logs, axis=axis) ** 2 for axis in (1, 0))
    along, down = (x[~np.isnan(x)] for x in (along, down))
    return bool(min(along.size, down.size) > 30 and np.mean(along) > 4 * np.mean(down))
