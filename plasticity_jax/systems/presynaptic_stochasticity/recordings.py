"""Do reliable synapses change less? Recordings before and after plasticity.

Schug, Benzing & Steger 2021, eLife 10:e69884, Appendix 1-figure 4.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


COLUMNS = ("release probability before", "strength before", "strength after")


class Stability(NamedTuple):
    """Correlation of initial release with change, its p value, and what was paired.

    `p_value` is two-sided, of Student's t with n - 2 degrees of freedom; `change` is
    the absolute relative change of the expected strength of every synapse.

    >>> rows = [[0.2, 1.0, 1.1], [0.4, 1.0, 1.2], [0.6, 1.0, 0.9]]
    >>> found = stability(np.asarray(rows))
    >>> print(found.change.round(2), f"{found.p_value:.2f}")  # no correlation
    [0.1 0.2 0.1] 1.00
    """

    correlation: float
    p_value: float
    release: Float[np.ndarray, " synapse"]
    change: Float[np.ndarray, " synapse"]


def stability(table: Float[np.ndarray, "..."]) -> Stability:
    r"""Pearson correlation of $p$ before with $|\Delta\bar w|/|\bar w|$.

    A row (synapse, 3) is a synapse: release probability before, expected strength
    before and after, strengths in any common unit. Raises `ValueError`, naming the row
    and the column, for numbers that are not finite, probabilities outside [0, 1] or
    strengths before that are zero; and for fewer than three synapses, or a column that
    does not vary.

    >>> rows = [[0.2, 1.0, 1.3], [0.4, 1.0, 0.8], [0.6, 1.0, 1.1]]
    >>> print(f"{stability(np.asarray(rows)).correlation:.2f}")  # of 0.3, 0.2 and 0.1
    -1.00
    """
    from scipy.special import stdtr

    table = np.asarray(table, float)
    if table.ndim != 2 or table.shape[1] != len(COLUMNS):
        raise ValueError(
            f"`table` must have the three columns {COLUMNS}; got shape {table.shape}."
        )
    if len(table) < 3:
        raise ValueError(f"`table` must have at least 3 synapses; got {len(table)}.")
    release, before, after = table.T
    none, outside = np.zeros(len(table), bool), (release < 0) | (release > 1)
    faults = {
        "must be finite": ~np.isfinite(table.T),
        "must lie in [0, 1]": [outside, none, none],
        "must not be zero": [none, before == 0, none],
    }
    for rule, wrong in faults.items():
        for row, column in np.argwhere(np.transpose(wrong)):
            where, got = f"row {row}: {COLUMNS[column]}", table[row, column]
            raise ValueError(f"`table`, {where} {rule}; got {got}.")
    change = np.abs(after - before) / np.abs(before)
    for name, values in ((COLUMNS[0], release), ("relative change", change)):
        if np.ptp(values) == 0:
            raise ValueError(f"the {name} is {values[0]} for every synapse.")
    correlation = float(np.corrcoef(release, change)[0, 1])
    freedom = len(table) - 2
    rest = max(1 - correlation**2, 0.0)
    size = abs(correlation) * math.sqrt(freedom / rest) if rest else math.inf
    return Stability(correlation, float(2 * stdtr(freedom, -size)), release, change)
