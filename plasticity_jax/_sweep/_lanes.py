"""All runs of a sweep in one row, and their compiled program."""

import contextlib
import dataclasses
import math
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key

from .._arguments import shape_of
from .._random import check_key, unrolled
from ._config import Axis
from ._identity import identity_of
from ._store import Results


Run = Callable[[Any, Key[Array, ""]], Mapping[str, Array]]
# On a CPU these wait for threads of XLA's pool, which another batch in flight may hold
# while it waits for the same: programs that use them take turns.
USES_POOL = re.compile(r" fft\(|lapack_|blas_")


@eqx.filter_jit  # on a module-level function: a closure would compile at every call
def map_lanes(
    run: Run,
    config: eqx.Module,
    points: dict[str, Array],
    keys: Key[Array, " lane"],
    devices: tuple[Any, ...] = (),
    reads: str = "",
) -> dict[str, Array]:
    """`run` at every lane: a point of the grid with a key; split over `devices`.

    `reads` tells what the run reads besides its arguments: if that changes, it compiles
    anew.
    """
    del reads

    def lane(
        run: Run, config: eqx.Module, point: dict[str, Array], key: Key[Array, ""]
    ) -> dict[str, Array]:
        run_key = unrolled(key)  # the same stream, which takes half as long to compile
        return _observables(run(dataclasses.replace(config, **point), run_key))

    if len(keys) == 1:  # a batch of one would still make every product a batched one
        alone = lane(run, config, {k: x[0] for k, x in points.items()}, keys[0])
        return {k: x[None] for k, x in alone.items()}
    if not devices:
        here = lambda point, key: lane(run, config, point, key)
        return jax.vmap(here)(points, keys)

    shared, fixed = eqx.partition((run, config), eqx.is_array)
    implementation = jr.key_impl(keys)

    def shard(shared: Any, points: dict[str, Array], data: Array) -> dict[str, Array]:
        run, config = eqx.combine(shared, fixed)
        keys = jr.wrap_key_data(data, impl=implementation)
        return jax.vmap(lambda point, key: lane(run, config, point, key))(points, keys)

    each, split = PartitionSpec(), PartitionSpec("lane")
    return jax.shard_map(
        shard,
        mesh=Mesh(np.asarray(devices), ("lane",)),
        in_specs=(each, split, split),
        out_specs=split,
        check_vma=False,
    )(shared, points, jr.key_data(keys))


def _observables(found: Any) -> dict[str, Array]:
    """What a run returns, as arrays; `ValueError` naming what is none."""
    if not isinstance(found, Mapping) or not found:
        got = "an empty one" if isinstance(found, Mapping) else shape_of(found)
        raise ValueError(
            "`run` must return a dict of arrays by name, such as {'loss': ...}; got "
            f"{got}."
        )
    for name, x in found.items():
        if not isinstance(name, str):
            raise ValueError(f"`run` must return names that are text; got {name!r}.")
        if jax.tree.structure(x) != jax.tree.structure(0):
            raise ValueError(
                f"`run` must return arrays by name; '{name}' is {shape_of(x)}: return "
                "each part under a name of its own."
            )
        if not eqx.is_array_like(x) or _are_keys(x):
            raise ValueError(
                f"`run` must return arrays by name; '{name}' is {type(x).__name__}."
            )
    return {name: jnp.asarray(x) for name, x in found.items()}


def _are_keys(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)


@dataclasses.dataclass
class Lanes:
    """All runs of a sweep in one row, points first, and the program that makes them."""

    run: Run
    config: eqx.Module
    points: dict[str, np.ndarray]
    keys: np.ndarray
    seeds: np.ndarray
    implementation: Any
    double: bool
    devices: tuple[Any, ...] = ()
    programs: dict[int, Any] = dataclasses.field(default_factory=dict)
    pool: Any = dataclasses.field(default_factory=contextlib.nullcontext)
    compile_seconds: float = 0.0
    reads: str = "{}"  # what `reads_of` found, as JSON: once for all batches

    @classmethod
    def of(
        cls,
        run: Run,
        config: eqx.Module,
        axes: Sequence[Axis],
        keys: Key[Array, "..."],
        devices: tuple[Any, ...] = (),
    ) -> "Lanes":
        """Every point of the grid with every key; `devices` if they are several."""
        such = "such as jax.random.split(jax.random.key(0), 8)"
        if not isinstance(keys, jax.Array):
            got = type(keys).__name__
            raise ValueError(f"`keys` must be an array of keys, {such}; got {got}.")
        for leaf in jax.tree.leaves((run, config)):
            if isinstance(leaf, jax.Array) and _are_keys(leaf):
                check_key("run", leaf)
        if not _are_keys(keys) or keys.ndim != 1 or not len(keys):
            raise ValueError(
                f"`keys` must be a 1-D array of keys, at least one, {such}; got "
                f"{keys.dtype}{keys.shape}."
            )
        check_key("keys", keys)
        shape = tuple(len(axis.values[0]) for axis in axes)
        count = math.prod(shape)
        index = np.unravel_index(np.arange(count), shape) if shape else ()
        points = {
            field: np.repeat(values[i], len(keys))
            for axis, i in zip(axes, index, strict=True)
            for field, values in zip(axis.fields, axis.values, strict=True)
        }
        seeds = np.tile(np.arange(len(keys)), count)
        data = np.asarray(jr.key_data(keys))
        double = jnp.result_type(float) == jnp.float64
        kind = jr.key_impl(keys)
        return cls(run, config, points, data, seeds, kind, double, devices)

    @property
    def total(self) -> int:
        """How many runs."""
        return len(self.seeds)

    def batch(self, lanes: np.ndarray) -> tuple[Any, ...]:
        """Arguments of the program for these lanes."""
        dtype = jnp.result_type(float)
        points = {k: jnp.asarray(x[lanes], dtype) for k, x in self.points.items()}
        data = jnp.asarray(self.keys[self.seeds[lanes]])
        keys = jr.wrap_key_data(data, impl=self.implementation)
        return self.run, self.config, points, keys, self.devices, self.reads

    def _width(self, size: int) -> int:
        """Lanes of the program: as many for each device."""
        count = max(1, len(self.devices))
        return math.ceil(size / count) * count

    def compile(self, size: int) -> int:
        """Compile for batches of `size`; bytes of temporary memory it will use."""
        start = time.perf_counter()
        jitted: Any = map_lanes  # the type of a jitted function does not tell `lower`
        program = jitted.lower(*self.batch(np.zeros(self._width(size), int))).compile()
        self.programs[size] = program
        self.compile_seconds += time.perf_counter() - start
        if USES_POOL.search(program.compiled.as_text()):
            self.pool = threading.Lock()
        memory = program.compiled.memory_analysis()
        return memory.temp_size_in_bytes + memory.output_size_in_bytes if memory else 0

    def compute_batch(self, start: int, size: int) -> Results:
        """Results of the lanes from `start`; the last batch is padded and cut."""
        lanes = np.arange(start, start + self._width(size))
        count = min(size, self.total - start)
        with jax.enable_x64(self.double), self.pool:  # a thread has its own context
            made = self.programs[size](*self.batch(np.minimum(lanes, self.total - 1)))
            kept = {k: np.asarray(x)[:count] for k, x in made.items()}
        return {**kept, "diverged": _diverged(kept)}


def reads_of(run: Run, config: eqx.Module) -> dict[str, str]:
    """What a run reads besides its arrays; `ValueError` if it cannot be told."""
    run, config = eqx.filter((run, config), eqx.is_array, inverse=True)
    return identity_of({"run": run, "config": config}, roots=(map_lanes,))


def _diverged(results: Results) -> np.ndarray:
    """Whether any observable of a run holds a NaN or an infinity."""
    lost = np.zeros(len(next(iter(results.values()))), bool)
    for x in results.values():
        if jnp.issubdtype(x.dtype, jnp.inexact):
            known = x if x.dtype.isbuiltin else x.astype(np.float32)  # bfloat16
            lost |= ~np.isfinite(known).reshape(len(x), -1).all(axis=1)
    return lost
