"""A labelled grid of runs."""

import contextlib
import dataclasses
import datetime
import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ._batch_size import choose_batch_size
from ._config import nearest, structural, to_toml
from ._progress import Progress


if TYPE_CHECKING:
    import xarray


Run = Callable[[Any, Key[Array, ""]], Mapping[str, Array]]
# On a CPU these wait for threads of XLA's pool, which another batch in flight may hold
# while it waits for the same: programs that use them take turns.
TURNS = re.compile(r" fft\(|lapack_|blas_")
Results = dict[str, np.ndarray]


def sweep(
    run: Run,
    config: eqx.Module,
    grid: Mapping[Any, Any],
    keys: Key[Array, "..."],
    *,
    dims: Mapping[str, Sequence[str]] | None = None,
    batch_size: int | None = None,
    progress: bool = True,
) -> "xarray.Dataset":
    """`run(config, key) -> dict` on a grid of fields of `config`, for every key.

    `grid` maps a field to a 1-D array; a tuple of fields, mapped to a tuple of arrays
    of equal length, shares one axis. All points see the same `keys`, so differences
    between points are paired. Result: dims are the grid's fields (a shared axis is
    called by its fields joined by `_`), `seed`, then the observable's own, named
    through `dims`; a boolean `diverged` marks runs that hold a NaN or an infinity;
    attributes say how to repeat it.

    `batch_size` runs (points x seeds) are computed at once by one compiled program,
    which serves all batches, the last one padded; on a CPU as many batches are in
    flight as there are cores. By default the size is chosen from the program's memory
    and short trials. Random streams do not depend on it. A repeated sweep with other
    values compiles nothing if `run` is the same object: pass a module-level function,
    or `jax.tree_util.Partial(function, data)`, whose arrays are shared by all runs.

    Raises `ValueError` for unknown or structural fields, axes that are empty, not
    one-dimensional, not finite, of unequal length or outside the config's ranges.
    """
    started = time.perf_counter()
    axes = _axes(config, grid)
    shape = tuple(len(axis.values[0]) for axis in axes)
    lanes = _Lanes.of(run, config, axes, shape, keys)
    structure = eqx.filter_eval_shape(_lanes, *lanes.batch(np.zeros(1, int)))
    labels = _labels(structure, axes, dims or {})
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1; got {batch_size}.")
    attributes = _attributes(config, keys)
    workers = _workers()
    size = min(batch_size or _chosen(lanes, workers), lanes.total)
    lanes.compile(size)
    with Progress(lanes.total, shown=progress) as bar:
        results = _compute(lanes, structure, size, workers, bar)
    shaped = {
        name: (labels[name], x.reshape(*shape, len(keys), *x.shape[1:]))
        for name, x in results.items()
    }
    coords: dict[str, Any] = {
        field: (axis.name, values)
        for axis in axes
        for field, values in zip(axis.fields, axis.values, strict=True)
    }
    coords["seed"] = np.arange(len(keys))
    attributes["batch_size"] = size
    attributes["compile_seconds"] = lanes.compile_seconds
    attributes["wall_seconds"] = time.perf_counter() - started

    import xarray

    return xarray.Dataset(shaped, coords, attributes)


class _Axis(NamedTuple):
    name: str
    fields: tuple[str, ...]
    values: tuple[np.ndarray, ...]


def _axes(config: eqx.Module, grid: Mapping[Any, Any]) -> list[_Axis]:
    """The grid, checked against the config before anything is compiled."""
    static = {field.name: structural(field) for field in dataclasses.fields(config)}
    open_fields = [name for name, closed in static.items() if not closed]
    axes = []
    for key, values in grid.items():
        fields = (key,) if isinstance(key, str) else tuple(key)
        arrays = (values,) if isinstance(key, str) else tuple(values)
        if len(fields) != len(arrays):
            raise ValueError(
                f"grid: {len(fields)} fields {fields} share an axis of {len(arrays)} "
                "arrays; give one array for each."
            )
        for name in fields:
            if name not in static:
                hint = nearest(name, open_fields)
                raise ValueError(f"grid: unknown field '{name}'.{hint}")
            if static[name]:
                raise ValueError(
                    f"grid: '{name}' is structural (a size, a count or a kind) and "
                    f"cannot be an axis; sweep each value on its own."
                    f"{nearest('', open_fields)}"
                )
        checked = [_values(f, x) for f, x in zip(fields, arrays, strict=True)]
        if len({len(x) for x in checked}) > 1:
            lengths = {f: len(x) for f, x in zip(fields, checked, strict=True)}
            raise ValueError(f"grid: zipped axes differ in length: {lengths}.")
        axes.append(_Axis("_".join(fields), fields, tuple(checked)))
    used = [name for axis in axes for name in axis.fields]
    if repeated := {name for name in used if used.count(name) > 1}:
        raise ValueError(f"grid: {sorted(repeated)} appear in more than one axis.")
    for axis in axes:
        for point in zip(*axis.values, strict=True):  # the config's own range checks
            dataclasses.replace(config, **dict(zip(axis.fields, point, strict=True)))
    return axes


def _values(field: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "biuf":
        raise ValueError(
            f"grid: '{field}' needs a non-empty 1-D array of numbers; got shape "
            f"{array.shape} of {array.dtype}."
        )
    array = array.astype(float)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"grid: '{field}' holds values that are not finite: {values}.")
    return array


@eqx.filter_jit  # on a module-level function: a closure would compile at every call
def _lanes(
    run: Run, config: eqx.Module, points: dict[str, Array], keys: Key[Array, " lane"]
) -> dict[str, Array]:
    """`run` at every lane: a point of the grid with a key."""

    def lane(point: dict[str, Array], key: Key[Array, ""]) -> dict[str, Array]:
        observables = run(dataclasses.replace(config, **point), key)
        if not isinstance(observables, Mapping):
            kind = type(observables).__name__
            raise ValueError(f"`run` must return a dict of arrays by name; got {kind}.")
        return {name: jnp.asarray(x) for name, x in observables.items()}

    if len(keys) == 1:  # a batch of one would still make every product a batched one
        alone = lane({k: x[0] for k, x in points.items()}, keys[0])
        return {k: x[None] for k, x in alone.items()}
    return jax.vmap(lane)(points, keys)


@dataclasses.dataclass
class _Lanes:
    """All runs of a sweep in one row, points first, and the program that makes them."""

    run: Run
    config: eqx.Module
    points: dict[str, np.ndarray]
    keys: np.ndarray
    seeds: np.ndarray
    implementation: Any
    double: bool
    programs: dict[int, Any] = dataclasses.field(default_factory=dict)
    turn: Any = dataclasses.field(default_factory=contextlib.nullcontext)
    compile_seconds: float = 0.0

    @classmethod
    def of(
        cls,
        run: Run,
        config: eqx.Module,
        axes: list[_Axis],
        shape: tuple[int, ...],
        keys: Key[Array, "..."],
    ) -> "_Lanes":
        typed = jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
        if not typed or keys.ndim != 1 or not len(keys):
            raise ValueError(
                "`keys` must be a 1-D array of keys, at least one, such as "
                f"jax.random.split(jax.random.key(0), 8); got {keys.dtype}{keys.shape}."
            )
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
        return cls(run, config, points, data, seeds, jr.key_impl(keys), double)

    @property
    def total(self) -> int:
        return len(self.seeds)

    def batch(self, lanes: np.ndarray) -> tuple[Any, ...]:
        """Arguments of the program for these lanes."""
        dtype = jnp.result_type(float)
        points = {k: jnp.asarray(x[lanes], dtype) for k, x in self.points.items()}
        data = jnp.asarray(self.keys[self.seeds[lanes]])
        keys = jr.wrap_key_data(data, impl=self.implementation)
        return self.run, self.config, points, keys

    def compile(self, size: int) -> int:
        """Compile for batches of `size`; bytes of temporary memory it will use."""
        start = time.perf_counter()
        jitted: Any = _lanes  # the type of a jitted function does not tell `lower`
        program = jitted.lower(*self.batch(np.zeros(size, int))).compile()
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
        lanes = np.arange(start, start + size)
        program = self.programs[size]
        with jax.enable_x64(self.double), self.turn:  # a thread has its own context
            results = program(*self.batch(np.minimum(lanes, self.total - 1)))
            results = {k: np.asarray(x) for k, x in results.items()}
        kept = {k: x[: self.total - start] for k, x in results.items()}
        return {**kept, "diverged": _diverged(kept)}


def _compute(
    lanes: _Lanes, structure: Mapping[str, Any], size: int, workers: int, bar: Progress
) -> Results:
    """All lanes, in batches of one compiled size."""
    results = {
        name: np.empty((lanes.total, *x.shape[1:]), x.dtype)
        for name, x in structure.items()
    }
    results["diverged"] = np.empty(lanes.total, bool)

    def batch(start: int) -> None:
        computed = lanes(start, size)
        for name, x in computed.items():
            results[name][start : start + size] = x
        bar.advance(len(computed["diverged"]), int(computed["diverged"].sum()))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(batch, range(0, lanes.total, size)))
    return results


def _diverged(results: Results) -> np.ndarray:
    """Whether any observable of a run holds a NaN or an infinity."""
    finite = [
        np.isfinite(x).reshape(len(x), -1).all(axis=1)
        for x in results.values()
        if x.dtype.kind in "fc"
    ]
    count = len(next(iter(results.values())))
    return ~np.logical_and.reduce([np.ones(count, bool), *finite], axis=0)


_CHOICES: dict[Any, int] = {}  # as a compiled program is kept, so is its batch size


def _chosen(lanes: _Lanes, workers: int) -> int:
    """The batch size of the last sweep of the same program, or one found by trial."""
    leaves, structure = jax.tree.flatten((lanes.run, lanes.config))
    kinds = [(x.shape, x.dtype) if eqx.is_array(x) else x for x in leaves]
    program = (structure, *kinds, *lanes.points, lanes.total, workers)

    def load(size: int) -> None:
        """As many batches at once as there will be."""
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lanes, [0] * workers, [size] * workers))

    if program not in _CHOICES:
        _CHOICES[program] = choose_batch_size(lanes.total, workers, lanes.compile, load)
    return _CHOICES[program]


def _workers() -> int:
    """Batches in flight: XLA runs a small program on one core of a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):  # fewer than there are, under a scheduler
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _labels(
    structure: Mapping[str, Any], axes: list[_Axis], dims: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Dimension names of every observable; raises if they clash or do not fit."""
    taken = {name for axis in axes for name in (axis.name, *axis.fields)}
    outer = (*(axis.name for axis in axes), "seed")
    for name in dims:
        if name not in structure:
            raise ValueError(
                f"dims: unknown observable '{name}'.{nearest(name, structure)}"
            )
    labels: dict[str, tuple[str, ...]] = {"diverged": outer}
    lengths: dict[str, int] = {}
    for name, x in structure.items():
        if name in taken | {"seed", "diverged"}:
            raise ValueError(
                f"`run` returns '{name}', the name of a coordinate; rename it."
            )
        own = tuple(dims.get(name, (f"{name}_{i}" for i in range(x.ndim - 1))))
        if len(own) != x.ndim - 1:
            raise ValueError(
                f"dims: '{name}' has {x.ndim - 1} dimensions of its own; got {own}."
            )
        for dim, length in zip(own, x.shape[1:], strict=True):
            if dim in taken | {"seed"} or own.count(dim) > 1:
                raise ValueError(f"dims: '{dim}' of '{name}' is taken; rename it.")
            if lengths.setdefault(dim, length) != length:
                raise ValueError(
                    f"dims: '{dim}' has length {length} in '{name}' and "
                    f"{lengths[dim]} in another observable."
                )
        labels[name] = (*outer, *own)
    return labels


def _attributes(config: eqx.Module, keys: Key[Array, " seed"]) -> dict[str, Any]:
    """What is needed to repeat the sweep."""
    from . import __version__

    return {
        "plasticity_jax": __version__,
        "jax": jax.__version__,
        "config": to_toml(config),
        "keys": json.dumps(np.asarray(jr.key_data(keys)).tolist()),
        "key_kind": str(jr.key_impl(keys)),
        "precision": jnp.result_type(float).name,
        "device": jax.devices()[0].device_kind,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
