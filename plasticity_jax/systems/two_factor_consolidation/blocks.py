"""Large networks asleep, a block of neurons at a time.

Neurons do not interact in sleep, so memory is needed for one block only, and blocks may
be computed by any number of workers.
"""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, Key

from ... import Scalar, sweep
from ..._arguments import counted, real, whole
from ...circuits import Memories, memories_of
from ...measure import density
from ...synapses import Factored
from .config import Config
from .networks import after, margins_and_weights, memories, sleep, start


if TYPE_CHECKING:
    import xarray


TILE = 16  # rows that are computed together: bits depend on it, and on nothing else


class Block(Config):
    """`tiles` of `rows` neurons each, from neuron `first` on, of `total` ones.

    >>> block = Block(size=40, rows=8, first=16, tiles=2, total=40)
    >>> print(block.first, block.tiles * block.rows)  # neurons 16 to 31
    16.0 16
    """

    first: Scalar = eqx.field(default=0.0, converter=real)
    tiles: int = eqx.field(default=1, static=True, converter=counted("tiles"))
    total: int = eqx.field(default=20, static=True, converter=counted("total"))
    weighed: bool = eqx.field(default=True, static=True)


def consolidate_rows(
    config: Config,
    key: Key[Array, ""],
    *,
    block: int = 256,
    weights: bool = True,
    devices: Sequence[Any] | None = None,
    executor: Executor | None = None,
    store: str | Path | None = None,
    progress: bool = True,
) -> "xarray.Dataset":
    """Sleep from random synapses, `block` neurons at a time: the morning after.

    Of the first `rows` neurons of `config` (0: all): `margin`, `threshold`, `density`
    (row,) and `weights` (row, input), left out if not asked for. A `block`, in whole
    tiles of 16 neurons, bounds the memory that a worker needs beside the patterns. Each
    neuron has random factors of its own, so results are the same, bit for bit, whatever
    the block. `devices`, `executor`, `store` and `progress` are those of `sweep`; each
    device computes a block. Raises `ValueError` for the policy `taught_together`, by
    which neurons wait for each other.

    Ten thousand neurons of 2000 patterns take about 14 ms of a CPU core for a tile and
    a cycle (300 cycles of one and of two tiles, single precision), so 140 core hours
    for 60,000 cycles, and 0.95 GB of memory, the program's own included. Their weights
    are 400 MB.

    >>> config = Config(size=40, rows=0, patterns=8, cycles=100)
    >>> morning = consolidate_rows(config, jr.key(0), block=16, progress=False)
    >>> print(dict(morning.sizes))
    {'row': 40, 'input': 40}
    """
    if config.policy == "taught_together":
        raise ValueError(
            "`policy` must let neurons learn independently; got 'taught_together'."
        )
    total = config.rows or config.size
    tile = min(TILE, total)
    tiles = -(-min(whole("block", block, 1), total) // tile)
    given = {x.name: getattr(config, x.name) for x in dataclasses.fields(Config)}
    sizes = {"rows": tile, "tiles": tiles, "total": total, "weighed": weights}
    found = sweep(
        consolidate_block,
        Block(**given | sizes),
        {"first": np.arange(0.0, total, tiles * tile)},
        key[None],
        dims={"weights": ("row", "input")} if weights else None,
        batch_size=len(jax.local_devices() if devices is None else devices),
        devices=devices,
        executor=executor,
        store=store,
        progress=progress,
    )
    return _joined(found, total)


def _joined(found: "xarray.Dataset", total: int) -> "xarray.Dataset":
    """Rows of all blocks, without those that fill the last one."""
    import xarray

    names = [x for x in ("margin", "threshold", "density", "weights") if x in found]
    rows = {x: found[x].values for x in names}  # (first, seed, row, ...)
    rows = {k: x.reshape(-1, *x.shape[3:])[:total] for k, x in rows.items()}
    labelled = {k: (("row", "input")[: x.ndim], x) for k, x in rows.items()}
    return xarray.Dataset(labelled, {"row": np.arange(total)}, found.attrs)


def consolidate_block(config: Block, key: Key[Array, ""]) -> dict[str, Array]:
    """A block of neurons after sleep; all (row, ...), rows beyond the last repeat it.

    >>> config = Block(size=40, rows=8, patterns=4, cycles=10, tiles=2, total=40)
    >>> consolidate_block(config, jr.key(0))["weights"].shape
    (16, 40)
    """
    for_patterns, for_factors, for_run = jr.split(key, 3)
    whole = memories(config, for_patterns)

    def of_tile(first: Int[Array, ""]) -> dict[str, Array]:
        rows = first + jnp.arange(config.rows, dtype=jnp.int32)
        rows = jnp.minimum(rows, config.total - 1)
        synapses = _start_of(config, rows, for_factors)
        return _morning(config, whole, synapses, rows, jr.fold_in(for_run, first))

    def computed(tile: Int[Array, ""], kept: dict[str, Array]) -> dict[str, Array]:
        at = tile * config.rows
        put = lambda x, new: jax.lax.dynamic_update_slice_in_dim(x, new, at, 0)
        return jax.tree.map(put, kept, of_tile(first + at))

    # their number is not known to the compiler, which would unroll a single one
    first = config.first.astype(jnp.int32)
    left = -(-(config.total - first) // config.rows)
    count, rows = jnp.minimum(left, config.tiles), config.tiles * config.rows
    shapes = jax.eval_shape(of_tile, first)
    empty = jax.tree.map(lambda x: jnp.zeros((rows, *x.shape[1:]), x.dtype), shapes)
    return jax.lax.fori_loop(0, count, computed, empty)


def _start_of(config: Block, rows: Int[Array, " row"], key: Key[Array, ""]) -> Factored:
    """Random synapses of these neurons, a stream for each."""
    single = dataclasses.replace(config, rows=1)
    each = jax.vmap(lambda row: start(single, jr.fold_in(key, row)))(rows)
    return Factored(jnp.moveaxis(each.factors[:, :, 0], 0, 1), each.threshold[:, 0])


def _morning(
    config: Block,
    whole: Memories,
    synapses: Factored,
    rows: Int[Array, " row"],
    key: Key[Array, ""],
) -> dict[str, Array]:
    stored = memories_of(whole.patterns, rows, whole.stored)
    system, state = sleep(config, stored, synapses, rows=rows)
    end = after(system, state, key, config.cycles)
    margin, weights = margins_and_weights(system, end)
    threshold = end.synapses.threshold
    found = {"margin": margin, "threshold": threshold, "density": density(weights)}
    return found | ({"weights": weights} if config.weighed else {})
