"""Who computes the batches of a sweep: threads here, workers elsewhere."""

import hashlib
import itertools
import json
import os
import pickle
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed, Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from .._version import __version__
from ._batch_size import choose_batch_size, kept_choice
from ._lanes import Lanes, reads_of
from ._progress import Progress
from ._store import difference, Results, Store


def compute(
    lanes: Lanes,
    structure: Mapping[str, Any],
    size: int,
    workers: int,
    bar: Progress,
    store: Store | None,
    executor: Executor | None,
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
        if found := store and store.read(start // size):
            place(start, found, known=True)
        else:
            missing.append(start)
    if executor is None:
        batches = _computed(lanes, missing, size, workers)
    else:
        batches = _computed_elsewhere(lanes, missing, size, executor)
    for start, batch in batches:
        if store is not None:
            store.write(start // size, batch)
        place(start, batch)
    return results


def _computed(
    lanes: Lanes, starts: Sequence[int], size: int, workers: int
) -> Iterator[tuple[int, Results]]:
    """Batches as they are finished; those not begun are given up if one fails."""
    if starts and size not in lanes.programs:
        lanes.compile(size)
    with ThreadPoolExecutor(workers) as pool:
        futures = {
            pool.submit(lanes.compute_batch, start, size): start for start in starts
        }
        try:
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        finally:
            for future in futures:
                future.cancel()


SMALL = 2**16  # bytes that may travel with every batch
_UNPACKED: dict[str, Lanes] = {}
_UNPACKING = threading.Lock()
_FORKED: list[int] = []  # the process, if it was forked from one that had loaded this

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _FORKED.append(os.getpid()))


def settings() -> dict[str, str]:
    """What of JAX's configuration changes numbers, besides the precision."""
    names = ("threefry_partitionable", "default_prng_impl", "default_matmul_precision")
    found = {f"jax_{name}": str(getattr(jax.config, f"jax_{name}")) for name in names}
    name = "jax_disable_most_optimizations"  # no attribute: it has no context
    return {**found, name: str(jax.config.values[name])}


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
            for future in wait(futures, return_when="FIRST_COMPLETED").done:
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
            for _ in range(min(len(lacking) - under_way, len(waiting))):
                submit(waiting.pop(), True)
            if not futures:
                while waiting:
                    submit(waiting.pop(), False)
    finally:
        for future in futures:
            future.cancel()


def packed(lanes: Lanes) -> bytes:
    """What another process needs; `ValueError` for what cannot be pickled."""
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
    return Answer(worker, lanes.compute_batch(start, size))


def _process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _unpacked(parcel: bytes, worker: str) -> Lanes:
    """The lanes of a parcel, if they read here what they read where they come from."""
    double, content = pickle.loads(parcel)
    try:
        with jax.enable_x64(double):  # modules that are imported now may make arrays
            (origin, wanted, told), fields = pickle.loads(content)
            reads = json.loads(told)
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


_SIZES: dict[Any, int] = {}  # as a compiled program is kept, so is its batch size


def chosen_size(lanes: Lanes, workers: int) -> int:
    """The batch size of the last sweep of the same program, or one found by trial."""
    leaves, structure = jax.tree.flatten((lanes.run, lanes.config))
    kinds = [(x.shape, x.dtype) if eqx.is_array(x) else x for x in leaves]
    program = (structure, *kinds, *lanes.points, lanes.total, workers, lanes.reads)

    def load(size: int) -> None:
        """As many batches at once as there will be."""
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lanes.compute_batch, [0] * workers, [size] * workers))

    def choose() -> int:
        return choose_batch_size(lanes.total, workers, lanes.compile, load)

    if program not in _SIZES:
        place = _place_of_choice(lanes, workers)
        _SIZES[program] = kept_choice(place, lanes.total, workers, choose)
    return _SIZES[program]


def _place_of_choice(lanes: Lanes, workers: int) -> Path | None:
    """The file of a choice, beside the programs that JAX keeps, if it keeps any.

    None where what the run reads cannot be told.
    """
    home = getattr(jax.config, "jax_compilation_cache_dir", None)
    if not home or not Path(home).is_dir() or not json.loads(lanes.reads):
        return None
    arrays = filter(eqx.is_array, jax.tree.leaves((lanes.run, lanes.config)))
    program = lanes.reads, *((x.shape, str(x.dtype)) for x in arrays), *lanes.points
    here = jax.devices()[0].device_kind, len(lanes.devices), workers, lanes.double
    told = repr((program, lanes.total, here, jax.__version__, __version__, settings()))
    return Path(home) / f"batch-size-{hashlib.sha256(told.encode()).hexdigest()}"


def batches_in_flight() -> int:
    """Batches in flight: XLA runs a small program on one core of a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):  # fewer than there are, under a scheduler
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
