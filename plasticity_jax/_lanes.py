"""All runs of a sweep in one row, their compiled program, and who computes them."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    as_completed,
    Executor,
    FIRST_COMPLETED,
    Future,
    ThreadPoolExecutor,
    wait,
)
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Key

from ._arguments import shape_of
from ._batch_size import choose_batch_size
from ._identity import identity_of
from ._keys import check_threefry
from ._progress import Progress
from ._store import difference, Results, Store


Run = Callable[[Any, Key[Array, ""]], Mapping[str, Array]]
# On a CPU these wait for threads of XLA's pool, which another batch in flight may hold
# while it waits for the same: programs that use them take turns.
TURNS = re.compile(r" fft\(|lapack_|blas_")


class Axis(NamedTuple):
    """Fields of a config that share an axis of the grid, and the values of each."""

    name: str
    fields: tuple[str, ...]
    values: tuple[np.ndarray, ...]


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
        return _observables(run(dataclasses.replace(config, **point), key))

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
        got = "an empty one" if isinstance(found, Mapping) else type(found).__name__
        raise ValueError(f"`run` must return a dict of arrays by name; got {got}.")
    for name, x in found.items():
        if not isinstance(name, str):
            raise ValueError(f"`run` must return names that are text; got {name!r}.")
        if jax.tree.structure(x) != jax.tree.structure(0):
            raise ValueError(
                f"`run` must return arrays by name; '{name}' is {shape_of(x)}: return "
                "each part under a name of its own."
            )
        if not eqx.is_array_like(x) or jnp.issubdtype(
            jnp.result_type(x), jax.dtypes.prng_key
        ):
            raise ValueError(
                f"`run` must return arrays by name; '{name}' is {type(x).__name__}."
            )
    return {name: jnp.asarray(x) for name, x in found.items()}


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
    turn: Any = dataclasses.field(default_factory=contextlib.nullcontext)
    compile_seconds: float = 0.0
    reads: Mapping[str, str] = dataclasses.field(default_factory=dict)

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
        if not isinstance(keys, jax.Array):
            raise ValueError(
                "`keys` must be an array of keys, such as jax.random.split("
                f"jax.random.key(0), 8); got {type(keys).__name__}."
            )
        for leaf in jax.tree.leaves((run, config)):
            if isinstance(leaf, jax.Array) and jnp.issubdtype(
                leaf.dtype, jax.dtypes.prng_key
            ):
                check_threefry("run", leaf)
        typed = jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
        if not typed or keys.ndim != 1 or not len(keys):
            raise ValueError(
                "`keys` must be a 1-D array of keys, at least one, such as "
                f"jax.random.split(jax.random.key(0), 8); got {keys.dtype}{keys.shape}."
            )
        check_threefry("keys", keys)
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

    def batch(self, lanes: np.ndarray, whole: bool = True) -> tuple[Any, ...]:
        """Arguments of the program for these lanes; the first four unless `whole`."""
        dtype = jnp.result_type(float)
        points = {k: jnp.asarray(x[lanes], dtype) for k, x in self.points.items()}
        data = jnp.asarray(self.keys[self.seeds[lanes]])
        keys = jr.wrap_key_data(data, impl=self.implementation)
        some = self.run, self.config, points, keys
        return (*some, self.devices, json.dumps(self.reads)) if whole else some

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
        if TURNS.search(program.compiled.as_text()):
            self.turn = threading.Lock()
        memory = program.compiled.memory_analysis()
        if memory is None:
            return 0
        return memory.temp_size_in_bytes + memory.output_size_in_bytes

    def __call__(self, start: int, size: int) -> Results:
        """Results of the lanes from `start`; the last batch is padded and cut."""
        lanes = np.arange(start, start + self._width(size))
        program = self.programs[size]
        with jax.enable_x64(self.double), self.turn:  # a thread has its own context
            results = program(*self.batch(np.minimum(lanes, self.total - 1)))
            results = {k: np.asarray(x) for k, x in results.items()}
        count = min(size, self.total - start)
        kept = {k: x[:count] for k, x in results.items()}
        return {**kept, "diverged": _diverged(kept)}


def compute(
    lanes: Lanes,
    structure: Mapping[str, Any],
    size: int,
    workers: int,
    bar: Progress,
    store: Store | None = None,
    executor: Executor | None = None,
) -> Results:
    """All lanes, in batches of one compiled size; those in the `store` are read."""
    results = {
        name: np.empty((lanes.total, *x.shape[1:]), x.dtype)
        for name, x in structure.items()
    }
    results["diverged"] = np.empty(lanes.total, bool)

    def place(start: int, batch: Results, known: bool = False) -> None:
        for name, x in batch.items():
            results[name][start : start + size] = x
        bar.advance(len(batch["diverged"]), int(batch["diverged"].sum()), known=known)

    missing = []
    for start in range(0, lanes.total, size):
        found = None if store is None else store.read(start // size)
        if found is None:
            missing.append(start)
        else:
            place(start, found, known=True)
    if missing and executor is None and size not in lanes.programs:
        lanes.compile(size)

    def finish(start: int, batch: Results) -> None:
        if store is not None:
            store.write(start // size, batch)
        place(start, batch)

    for start, batch in _computed(lanes, missing, size, workers, executor):
        finish(start, batch)
    return results


def _computed(
    lanes: Lanes,
    starts: Sequence[int],
    size: int,
    workers: int,
    executor: Executor | None,
) -> Iterator[tuple[int, Results]]:
    """Batches as they are finished; those not begun are given up if one fails."""
    if executor is not None:
        yield from _computed_elsewhere(lanes, starts, size, executor)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(lanes, start, size): start for start in starts}
        try:
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        finally:
            for future in futures:
                future.cancel()


# --- other processes and machines -----------------------------------------------------

SMALL = 2**16  # bytes that may travel with every batch
_UNPACKED: dict[str, Lanes] = {}
_UNPACKING = threading.Lock()
_FORKED: list[int] = []  # the process, if it was forked from one that had loaded this

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _FORKED.append(os.getpid()))


def settings() -> dict[str, str]:
    """What of JAX's configuration changes numbers, besides the precision."""
    names = ("jax_threefry_partitionable", "jax_default_prng_impl")
    names += ("jax_default_matmul_precision",)
    found = {name: str(getattr(jax.config, name)) for name in names}
    name = "jax_disable_most_optimizations"  # no attribute: it has no context
    return {**found, name: str(jax.config.values[name])}


def reads_of(run: Run, config: eqx.Module) -> dict[str, str]:
    """What a run reads besides the arrays that it is given, by name.

    Raises `ValueError` for what cannot be looked into.
    """
    run, config = eqx.filter((run, config), eqx.is_array, inverse=True)
    return identity_of({"run": run, "config": config}, roots=(map_lanes,))


class Answer(NamedTuple):
    """What a worker says: its name, and the batch unless it lacks the run's parcel."""

    worker: str
    results: Results | None


def _computed_elsewhere(
    lanes: Lanes, starts: Sequence[int], size: int, executor: Executor
) -> Iterator[tuple[int, Results]]:
    """Batches of an executor's workers, each of which is sent the run once.

    Which worker takes a batch is not known before. So a batch travels alone; a worker
    that lacks the run says so, and as many batches bring it along as workers have said
    so and not computed one since. The others wait until a worker can take them.
    """
    if not starts:
        return
    parcel = packed(lanes)
    digest = hashlib.sha256(parcel).hexdigest()
    futures: dict[Future[Answer], tuple[int, bool]] = {}
    lacking: set[str] = set()
    waiting: list[int] = []
    count = itertools.count()  # no two calls are equal, where results are cached

    def submit(start: int, sent: bool) -> None:
        parts = (digest, parcel if sent else None, start, size, next(count))
        futures[executor.submit(compute_elsewhere, *parts)] = start, sent

    try:
        for start in starts:
            submit(start, len(parcel) <= SMALL)
        while futures:
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                start, _ = futures.pop(future)
                worker, results = future.result()
                if results is None:
                    lacking.add(worker)
                    waiting.append(start)
                    continue
                lacking.discard(worker)
                if waiting:  # it can take the next one
                    submit(waiting.pop(), False)
                yield start, results
            under_way = sum(sent for _, sent in futures.values())
            for start in [
                waiting.pop() for _ in range(len(lacking) - under_way) if waiting
            ]:
                submit(start, True)
            if not futures:
                for start in [waiting.pop() for _ in range(len(waiting))]:
                    submit(start, False)
    finally:
        for future in futures:
            future.cancel()


def packed(lanes: Lanes) -> bytes:
    """What another process needs to compute batches of these lanes.

    Raises `ValueError` if the run function or its config cannot be pickled.
    """
    names = ("run", "config", "points", "keys", "seeds", "implementation", "double")
    fields = {name: getattr(lanes, name) for name in names}
    home = _process(), settings(), lanes.reads
    try:
        return pickle.dumps((lanes.double, pickle.dumps((home, fields))))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"executor: the run cannot be sent to another process ({error}); define "
            "the run function and its config at the top of a module."
        ) from error


def compute_elsewhere(
    digest: str, parcel: bytes | None, start: int, size: int, call: int
) -> Answer:
    """A batch, computed by a worker that unpacks and compiles each sweep once.

    Raises `ValueError` if the worker cannot import the run function or its config, if
    they read something else there (a global that a script has set, another version of a
    file or a library), or if the worker was forked from a process that had loaded JAX,
    whose threads it lacks.
    """
    del call
    worker = _process()
    if os.getpid() in _FORKED:
        raise ValueError(
            "executor: its workers are forked, and JAX hangs in a fork of a process "
            "that uses it; start them anew: concurrent.futures.ProcessPoolExecutor(n, "
            "mp_context=multiprocessing.get_context('spawn'))."
        )
    with _UNPACKING:
        if digest not in _UNPACKED:
            if parcel is None:
                return Answer(worker, None)
            _UNPACKED.clear()  # one sweep at a time: programs take memory
            _UNPACKED[digest] = _unpacked(parcel, worker)
        lanes = _UNPACKED[digest]
        if size not in lanes.programs:
            with jax.enable_x64(lanes.double):
                lanes.compile(size)
    return Answer(worker, lanes(start, size))


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _unpacked(parcel: bytes, worker: str) -> Lanes:
    """The lanes of a parcel, if they read here what they read where they come from."""
    double, content = pickle.loads(parcel)
    try:
        with jax.enable_x64(double):  # modules that are imported now may make arrays
            (origin, wanted, reads), fields = pickle.loads(content)
            lanes = Lanes(**fields)
            found = reads_of(lanes.run, lanes.config) if reads else {}
    except (AttributeError, ImportError) as error:
        raise ValueError(
            f"executor: a worker cannot import what it is to run ({error}); define the "
            "run function and its config in a module that workers have too, not in a "
            "script or a notebook."
        ) from error
    if worker == origin:  # a thread
        return lanes
    for name, value in (wanted | reads).items():
        if (here := (settings() | found).get(name)) != value:
            raise ValueError(
                f"executor: what runs read is not the same in a worker: {name} "
                f"{difference(value, str(here))}. Set it where workers import it, in "
                "the run's module or its config."
            )
    return lanes


def _diverged(results: Results) -> np.ndarray:
    """Whether any observable of a run holds a NaN or an infinity."""
    finite = [
        np.isfinite(_as_numpy(x)).reshape(len(x), -1).all(axis=1)
        for x in results.values()
        if jnp.issubdtype(x.dtype, jnp.inexact)
    ]
    count = len(next(iter(results.values())))
    return ~np.logical_and.reduce([np.ones(count, bool), *finite], axis=0)


def _as_numpy(x: np.ndarray) -> np.ndarray:
    """The same numbers in a type of NumPy's own: bfloat16 and its like as float32."""
    return x if x.dtype.isbuiltin else x.astype(np.float32)


_CHOICES: dict[Any, int] = {}  # as a compiled program is kept, so is its batch size


def chosen_size(lanes: Lanes, workers: int) -> int:
    """The batch size of the last sweep of the same program, or one found by trial."""
    leaves, structure = jax.tree.flatten((lanes.run, lanes.config))
    kinds = [(x.shape, x.dtype) if eqx.is_array(x) else x for x in leaves]
    reads = json.dumps(lanes.reads)
    program = (structure, *kinds, *lanes.points, lanes.total, workers, reads)

    def load(size: int) -> None:
        """As many batches at once as there will be."""
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lanes, [0] * workers, [size] * workers))

    if program not in _CHOICES:
        _CHOICES[program] = choose_batch_size(lanes.total, workers, lanes.compile, load)
    return _CHOICES[program]


def batches_in_flight() -> int:
    """Batches in flight: XLA runs a small program on one core of a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):  # fewer than there are, under a scheduler
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
