"""Sizes of synapses over time."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .. import data
from .._arguments import check_indices, concrete, whole


class Table(eqx.Module):
    """Sizes of synapses over time; NaN where a synapse was not seen.

    `times` are in hours and increase, at any intervals; `names` are those of the
    synapses, their numbers from 1 unless given; `unit` is that of the sizes. Raises
    `ValueError` unless sizes are positive, there are two times or more, and a synapse
    changes; traced values pass, so that a table may be made of simulated sizes.

    >>> table = Table([[1.0, 1.1, 0.9], [0.4, jnp.nan, 0.5]], [0.0, 0.5, 1.0])
    >>> table.names, table.thinned(2).times.tolist(), table.of([1]).names
    (('1', '2'), [0.0, 1.0], ('2',))
    """

    sizes: Float[Array, "synapse time"]
    times: Float[Array, " time"]
    names: tuple[str, ...] = eqx.field(static=True, repr=False)
    unit: str = eqx.field(static=True)

    def __init__(
        self,
        sizes: Any,
        times: Any,
        names: Sequence[str] | None = None,
        unit: str = "a.u.",
    ) -> None:
        self.sizes = jnp.asarray(sizes, jnp.result_type(float))
        self.times = jnp.asarray(times, jnp.result_type(float))
        if self.sizes.ndim != 2 or self.times.shape != self.sizes.shape[1:]:
            raise ValueError(
                "`sizes` must be shaped (synapse, time) and `times` (time,); got "
                f"{self.sizes.shape} and {self.times.shape}."
            )
        count = len(self.sizes)
        given = range(1, count + 1) if names is None else names
        self.names, self.unit = tuple(str(name) for name in given), unit

    def __check_init__(self) -> None:
        synapses, samples = self.sizes.shape
        if not synapses or samples < 2:
            raise ValueError(
                "a table needs one synapse at two times, at least; got "
                f"{synapses} synapses at {samples} times."
            )
        _check_names(self.names, synapses)
        if concrete(self.times):
            _check_times(np.asarray(self.times))
        if concrete(self.sizes):
            self._check_sizes(np.asarray(self.sizes))

    def _check_sizes(self, sizes: np.ndarray) -> None:
        seen = ~np.isnan(sizes)
        for i, j in np.argwhere(seen & ~((sizes > 0) & (sizes < np.inf)))[:1]:
            raise ValueError(
                "`sizes` must be positive and finite, or NaN where not seen; got "
                f"{sizes[i, j]} in row {i + 1}, column {j + 1}, counted from 1."
            )
        if not seen.any():
            raise ValueError("no synapse is ever seen: every size is missing.")
        if not changing(sizes).any():
            raise ValueError("no synapse changes: every size is constant or seen once.")

    def spans(self) -> tuple[Int[Array, " synapse"], Int[Array, " synapse"]]:
        """Where each synapse is first and last seen; one never seen ends before 0.

        Before its first and after its last size a synapse is not there: what is missing
        in between is a gap.
        """
        seen, last = ~jnp.isnan(self.sizes), self.sizes.shape[1] - 1
        first = jnp.argmax(seen, axis=1)
        return first, jnp.where(
            seen.any(axis=1), last - jnp.argmax(seen[:, ::-1], axis=1), -1
        )

    def thinned(self, every: SupportsIndex, first: SupportsIndex = 0) -> "Table":
        """Every `every`-th time, from `first` on, counted from 0.

        Of a running mean over as many samples, means that share none.
        """
        kept = slice(whole("first", first, 0), None, whole("every", every, 1))
        return Table(self.sizes[:, kept], self.times[kept], self.names, self.unit)

    def of(self, indices: Any) -> "Table":
        """The synapses at `indices`, each at most once and counted from 0."""
        chosen = np.asarray(indices)
        if chosen.ndim != 1 or not chosen.size:
            raise ValueError(f"`indices` must be a row of integers; got {indices}.")
        check_indices("indices", chosen, len(self.names), "synapses")
        names = [self.names[i] for i in chosen]
        return Table(self.sizes[chosen], self.times, names, self.unit)

    def with_sizes(self, sizes: Float[Array, "synapse time"]) -> "Table":
        """Other sizes, such as simulated ones, with the gaps of these; not checked."""
        if jnp.shape(sizes) != self.sizes.shape:
            raise ValueError(
                f"`sizes` must be shaped {self.sizes.shape}; got {jnp.shape(sizes)}."
            )
        sizes = jnp.where(jnp.isnan(self.sizes), self.sizes, sizes)
        return eqx.tree_at(lambda table: table.sizes, self, sizes)


def kaufman_2012() -> Table:
    """`data.kaufman_2012` as a table: 1087 synapses, 49 times 0.5 h apart.

    The sizes are not raw: their changes are correlated as those of a running mean over
    5 samples are (`window_of`). A fit that takes them as raw finds no measurement noise
    and error bars that are too small.

    >>> table = kaufman_2012()
    >>> table.sizes.shape, float(table.times[-1])
    ((1087, 49), 24.0)
    """
    sizes = data.kaufman_2012()
    return Table(sizes, np.arange(sizes.shape[1]) / 2)


def _check_names(names: tuple[str, ...], count: int) -> None:
    if len(names) != count:
        raise ValueError(
            f"`names` must name each of {count} synapses; got {len(names)}."
        )
    where: dict[str, int] = {}
    for row, name in enumerate(names, 1):
        if name in where:
            raise ValueError(
                f"every synapse needs a name of its own; rows {where[name]} and {row} "
                f"are both '{name}'."
            )
        where[name] = row


def _check_times(times: np.ndarray) -> None:
    if not np.all(np.isfinite(times)):
        raise ValueError(f"`times` must be finite; got {times}.")
    for i in np.flatnonzero(np.diff(times) <= 0)[:1]:
        raise ValueError(
            f"`times` must increase; time {i + 2} is {times[i + 1]:g} h, after "
            f"{times[i]:g} h."
        )


def changing(sizes: np.ndarray) -> np.ndarray:
    """Which synapses have two sizes that differ."""
    low = np.min(sizes, axis=1, initial=np.inf, where=~np.isnan(sizes))
    high = np.max(sizes, axis=1, initial=-np.inf, where=~np.isnan(sizes))
    return high > low
