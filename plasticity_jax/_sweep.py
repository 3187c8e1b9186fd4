"""A labelled grid of runs."""

import contextlib
import dataclasses
import datetime
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ._config import nearest, structural, to_toml
from ._lanes import Axis, batches_in_flight, chosen_size, compute, Lanes, map_lanes
from ._lanes import Run as Run
from ._progress import Progress
from ._store import code_digest, open_store, run_identity


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
    batch_size: int | None = None,
    devices: Sequence[Any] | None = None,
    executor: Executor | None = None,
    store: str | Path | None = None,
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
    and short trials, and with an `executor` it makes 16 batches or more. Random
    streams do not depend on it. A repeated sweep with other values compiles nothing if
    `run` is the same object: pass a module-level function, or
    `jax.tree_util.Partial(function, data)`, whose arrays are shared by all runs.

    A batch is split over `devices`, by default all local ones. An `executor`, any
    `concurrent.futures.Executor` (processes, Dask's `Client.get_executor()`, MPI),
    computes batches elsewhere; each of its workers compiles once. Workers that share a
    machine want one core each (`NPROC=1` in their environment), or XLA's threads get in
    each other's way, at half the speed. With a `store`, a folder, every finished batch
    is written, and a sweep that was stopped, however it was, goes on where it stood and
    ends with the same bits.

    Raises `ValueError` for unknown or structural fields, axes that are empty, not
    one-dimensional, not finite, of unequal length or outside the config's ranges, and
    for a store that is damaged, in use, or of another sweep (config, grid, keys, code,
    precision, device or batch size), naming what differs, or a run that holds data a
    store cannot see (a closure).
    """
    started = time.perf_counter()
    axes = _axes(config, grid)
    shape = tuple(len(axis.values[0]) for axis in axes)
    several = _several(devices)
    lanes = Lanes.of(run, config, axes, keys, several)
    structure = eqx.filter_eval_shape(map_lanes, *lanes.batch(np.zeros(1, int))[:4])
    labels = _labels(structure, axes, dims or {})
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1; got {batch_size}.")
    attributes = _attributes(config, keys)
    workers = 1 if several else batches_in_flight()

    def size_of_batches() -> int:
        size = min(batch_size or chosen_size(lanes, workers), lanes.total)
        if executor is not None and batch_size is None:
            size = min(size, max(1, lanes.total // SHARED))
        return size

    with contextlib.ExitStack() as stack:
        kept = None
        if store is None:
            size = size_of_batches()
        else:
            identity = _identity(run, axes, attributes, batch_size, len(several))
            kept = stack.enter_context(
                open_store(Path(store), identity, size_of_batches)
            )
            size = kept.batch_size
        bar = stack.enter_context(Progress(lanes.total, shown=progress))
        results = compute(
            lanes, structure, size, workers, bar, store=kept, executor=executor
        )
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


def _axes(config: eqx.Module, grid: Mapping[Any, Any]) -> list[Axis]:
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
        axes.append(Axis("_".join(fields), fields, tuple(checked)))
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


def _labels(
    structure: Mapping[str, Any], axes: list[Axis], dims: Mapping[str, Sequence[str]]
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


def _several(devices: Sequence[Any] | None) -> tuple[Any, ...]:
    """The devices that share a batch; none if there is only one to choose from."""
    found = tuple(jax.local_devices() if devices is None else devices)
    if not found:
        raise ValueError("`devices` must hold at least one device.")
    return found if len(found) > 1 or devices is not None else ()


def _identity(
    run: Run,
    axes: list[Axis],
    attributes: Mapping[str, Any],
    batch_size: int | None,
    devices: int,
) -> dict[str, str]:
    """What must be equal for batches of two sweeps to be the same bits."""
    grid = {
        field: [float(x).hex() for x in values]
        for axis in axes
        for field, values in zip(axis.fields, axis.values, strict=True)
    }
    names = ("plasticity_jax", "jax", "config", "keys", "key_kind", "precision")
    identity = {name: str(attributes[name]) for name in (*names, "device")}
    identity["code"] = code_digest()
    identity["run"] = run_identity(run)
    identity["grid"] = json.dumps([[axis.name for axis in axes], grid])
    identity["devices"] = str(max(1, devices))
    if batch_size is not None:
        identity["batch_size"] = str(batch_size)
    return identity


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
