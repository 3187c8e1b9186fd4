"""A labelled grid of runs."""

import contextlib
import datetime
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, SupportsIndex, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from .._arguments import (
    check_takes,
    folder,
    nearest,
    shape_of,
    whole,
    with_array_leaves,
)
from .._version import __version__
from ._config import Axis, checked_grid, to_toml
from ._identity import values_of
from ._lanes import Lanes, map_lanes, reads_of
from ._lanes import Run as Run
from ._progress import Progress
from ._store import open_store
from ._workers import batches_in_flight, chosen_size, compute, settings


if TYPE_CHECKING:
    import xarray


SHARED = 16  # batches at least for an executor, which may have many workers


def sweep(
    run: Run,
    config: eqx.Module,
    grid: Mapping[Any, Any],
    keys: Key[Array, "..."],
    *,
    dims: Mapping[str, Sequence[str]] | None = None,
    batch_size: SupportsIndex | None = None,
    devices: Sequence[Any] | None = None,
    executor: Executor | None = None,
    store: str | Path | None = None,
    progress: bool = True,
) -> "xarray.Dataset":
    """`run(config, key) -> dict` on a grid of fields of `config`, for every key.

    `grid` maps a field to a 1-D array; fields that share an axis are a mapping of them
    to arrays of equal length, under a name of the axis: `{"rates": {"low": [5, 10],
    "high": [20, 20]}}`. All points see the same `keys`, so differences between points
    are paired; threefry's reach `run` as a kind of the same stream that compiles faster
    (`jax.random.key_impl` tells). Result: dims are the axes, `seed`, then the
    observable's own, named through `dims`; a boolean `diverged` marks runs that hold a
    NaN or an infinity.

    `batch_size` runs (points x seeds) are computed at once by one compiled program,
    which serves all batches, the last one padded; on a CPU as many batches are in
    flight as there are cores. By default the size is chosen from the program's memory
    and short trials, and with an `executor` it makes 16 batches or more. Random
    streams do not depend on it. A repeated sweep with other values compiles nothing if
    `run` is the same object: pass a module-level function, or
    `jax.tree_util.Partial(function, data)`, whose arrays are shared by all runs.

    A batch is split over `devices`, by default all local ones. An `executor`, any
    `concurrent.futures.Executor` (processes, Dask's `Client.get_executor()`, MPI),
    computes batches elsewhere; each worker compiles once. Workers that share a machine
    want one core each (`NPROC=1` in their environment), else they run at half the
    speed. With a `store`, a folder, every finished batch is written, and a sweep that
    was stopped, however it was, goes on where it stood, to the same bits.

    Raises `ValueError` for a config that is not an Equinox module or of another
    precision, keys neither threefry's nor fast (what others draw depends on the batch),
    a grid that does not fit the config, workers that are forked, what a run returns
    besides arrays by name, and for a store that is damaged, in use, or of another
    sweep, naming what differs: config, grid, keys, precision, device, batch size,
    versions, or code that the run reaches (its functions, what they read and what is
    bound to them, in the user's files and this package). What a store cannot look into
    it refuses.

    >>> class Config(AbstractConfig):
    ...     rate: jax.Array = eqx.field(default=0.1, converter=real)
    >>> run = lambda config, key: {"left": jnp.exp(-config.rate)}
    >>> data = sweep(run, Config(), {"rate": [0.0, 1.0]}, jr.split(jr.key(0), 2))
    >>> print(data.left.dims, data.left.mean("seed").values.round(3))
    ('rate', 'seed') [1.    0.368]
    """
    started, busy = time.perf_counter(), time.process_time()
    config = _checked(config)
    check_takes("run", run, "config", "key")
    asked = None if batch_size is None else whole("batch_size", batch_size, 1)
    _check_executor(executor)
    axes = checked_grid("grid", config, grid)
    several = _several(devices)
    lanes = Lanes.of(run, config, axes, keys, several)
    attributes = _attributes(config, keys)
    identity = _read(lanes, store is not None)  # before it is traced
    identity |= _settings(axes, attributes, asked, len(several))
    structure = eqx.filter_eval_shape(map_lanes, *lanes.batch(np.zeros(1, int))[:4])
    labels = _labels(structure, axes, dims or {})
    workers = 1 if several else batches_in_flight()

    def size_of_batches() -> int:
        most = lanes.total if executor is None else max(1, lanes.total // SHARED)
        return min(asked or min(chosen_size(lanes, workers), most), lanes.total)

    with contextlib.ExitStack() as stack:
        kept = None
        if store is not None:
            opened = open_store(folder(store), identity, size_of_batches)
            kept = stack.enter_context(opened)
        size = size_of_batches() if kept is None else kept.batch_size
        bar = stack.enter_context(Progress(lanes.total, shown=progress))
        results = compute(lanes, structure, size, workers, bar, kept, executor)
    attributes |= {"batch_size": size, "compile_seconds": lanes.compile_seconds}
    attributes["wall_seconds"] = time.perf_counter() - started
    attributes["cpu_seconds"] = time.process_time() - busy  # of this process
    return _dataset(results, labels, axes, len(keys), attributes)


def _check_executor(executor: Any) -> None:
    if executor is not None and not isinstance(executor, Executor):
        raise ValueError(
            "`executor` must be a concurrent.futures.Executor, such as Dask's "
            f"client.get_executor(); got {type(executor).__name__}."
        )


def _read(lanes: Lanes, stored: bool) -> dict[str, str]:
    """What the run reads, for the lanes, and the identity of a store.

    Raises `ValueError` for what a store cannot look into. Without one JAX alone decides
    what compiles anew.
    """
    try:
        reads = reads_of(lanes.run, lanes.config)
        lanes.reads = json.dumps(reads)
        parts = {"run": lanes.run, "config": lanes.config}
        return reads | values_of(parts) if stored else {}
    except ValueError:
        if stored:
            raise
        return {}


def _dataset(
    results: Mapping[str, np.ndarray],
    labels: Mapping[str, tuple[str, ...]],
    axes: list[Axis],
    seeds: int,
    attributes: dict[str, Any],
) -> "xarray.Dataset":
    """Results of all lanes, unfolded along the axes and seeds."""
    import xarray

    shape = (*(len(axis.values[0]) for axis in axes), seeds)
    shaped = {
        name: (labels[name], x.reshape(*shape, *x.shape[1:]))
        for name, x in results.items()
    }
    coords: dict[str, Any] = {
        field: (axis.name, values)
        for axis in axes
        for field, values in zip(axis.fields, axis.values, strict=True)
    }
    return xarray.Dataset(shaped, coords | {"seed": np.arange(seeds)}, attributes)


def _checked(config: Any) -> eqx.Module:
    """The config, its floats as array leaves; `ValueError` for another kind."""
    if not isinstance(config, eqx.Module):
        raise ValueError(
            "`config` must be an equinox.Module, with a field for each hyper-parameter "
            f"(class Config(eqx.Module): ...); got {shape_of(config)}."
        )
    double = jnp.result_type(float) == jnp.float64
    other = ("float32", "complex64") if double else ("float64", "complex128")
    for path, leaf in jax.tree_util.tree_leaves_with_path(config):
        if isinstance(leaf, jax.Array) and leaf.dtype.name in other:
            raise ValueError(
                f"config: `{jax.tree_util.keystr(path).lstrip('.')}` is of "
                f"{leaf.dtype} and the sweep of {jnp.result_type(float)}; make the "
                "config after choosing the precision (jax_enable_x64)."
            )
    return with_array_leaves(config)


def _labels(
    structure: Mapping[str, Any], axes: list[Axis], dims: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Dimension names of every observable; raises if they clash or do not fit."""
    taken = {name for axis in axes for name in (axis.name, *axis.fields)}
    outer = (*(axis.name for axis in axes), "seed")
    for name, own in dims.items():
        if name not in structure:
            raise ValueError(
                f"dims: unknown observable '{name}'.{nearest(str(name), structure)}"
            )
        if not isinstance(own, tuple | list) or any(type(x) is not str for x in own):
            raise ValueError(
                f"dims: '{name}' must have a tuple of names, one for each dimension of "
                f"its own; got {own!r}."
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


def _several(devices: Sequence[Any] | None) -> tuple[Any, ...]:
    """The devices that share a batch; none if there is only one to choose from."""
    found = jax.local_devices() if devices is None else devices
    if not isinstance(found, Sequence) or not all(
        isinstance(device, jax.Device) for device in found
    ):
        raise ValueError(
            f"`devices` must be a list of devices, such as jax.devices(); got {found}."
        )
    if not found:
        raise ValueError("`devices` must hold at least one device.")
    return tuple(found) if len(found) > 1 or devices is not None else ()


def _settings(
    axes: list[Axis],
    attributes: Mapping[str, Any],
    batch_size: int | None,
    devices: int,
) -> dict[str, str]:
    """What else must be equal for batches of two sweeps to be the same bits."""
    grid = {
        field: [float(x).hex() for x in values]
        for axis in axes
        for field, values in zip(axis.fields, axis.values, strict=True)
    }
    names = ("plasticity_jax", "jax", "key_kind", "keys", "precision", "device")
    kept = {name: str(attributes[name]) for name in names} | settings()
    kept["grid"] = json.dumps([[axis.name for axis in axes], grid])
    kept["devices"] = str(max(1, devices))
    if batch_size is not None:
        kept["batch_size"] = str(batch_size)
    return kept


def _attributes(config: eqx.Module, keys: Key[Array, " seed"]) -> dict[str, Any]:
    """What is needed to repeat the sweep."""
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
