"""Conversions: what a number may be given as, and how arrays are shaped."""

import functools
import inspect
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import AbstractArray, Array, ArrayLike, jaxtyped, PyTree

from ._checks import at_least, check_indices, shape_of


F = TypeVar("F", bound=Callable[..., Any])


# Quoted, so that `help` of a class shows this name and not the union of nine types.
def real(x: "ArrayLike") -> Array:
    """Converter of every hyper-parameter field: an array leaf, never a Python float.

    >>> print(real(3), real(np.array([1, 2])))
    3.0 [1. 2.]
    """
    return jnp.asarray(x, jnp.result_type(float))


def optional(x: "ArrayLike | None") -> Array | None:
    """`real`, for a field that may be `None`."""
    return None if x is None else real(x)


def rows_of(rows: Any, n: int) -> np.ndarray | Array:
    """Which of `n` neurons: all (`None`), the first so many, or these indices.

    Raises `ValueError` for fewer than one or more than there are, and for an index
    beyond them.
    """
    if rows is None:
        return np.arange(n, dtype=np.int32)
    if np.ndim(rows) == 1 and np.size(rows):
        rows = rows if isinstance(rows, Array) else np.asarray(rows)
        check_indices("rows", rows, n, "neurons")
        return rows.astype(np.int32)  # those of 8 bits would count no further
    count = whole("rows", rows)
    if not 1 <= count <= n:
        raise ValueError(f"`rows` must lie between 1 and {n} neurons; got {count}.")
    return np.arange(count, dtype=np.int32)


def whole(name: str, value: Any, low: int | None = None) -> int:
    """A Python or NumPy integer, `low` at least; `ValueError` for anything else."""
    array = value if isinstance(value, numbers.Integral) else _scalar(value)
    if array is None or isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be an integer; got {value!r}.")
    if low is not None:
        at_least(name, int(array), low)
    return int(array)


def counted(name: str, low: int = 1) -> Callable[[Any], int]:
    """Converter of a field that counts: an integer, `low` at least."""
    return lambda value: whole(name, value, low)


def _scalar(value: Any) -> Any:
    """An array of one integer, as NumPy, pandas and xarray return them, or `None`."""
    if isinstance(value, Tracer | bool | float | str) or value is None:
        return None
    array = np.asarray(value)
    return array if array.shape == () and array.dtype.kind in "iu" else None


def folder(path: str | os.PathLike[str]) -> Path:
    """A path as a user writes it: `~` is the home; `ValueError` for what is none."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def floating(function: F) -> F:
    """`function`, whose numbers are converted and shaped as they are annotated.

    Where floats are annotated, Python and NumPy numbers, integer arrays and lists
    become floating-point arrays, of the precision of the first argument that is one,
    else of the default. Axes of one name are equally long: nothing is broadcast. Raises
    `ValueError` for what is not a number, and names the first argument that does not
    fit those before it.
    """
    signature = inspect.signature(function)
    annotations = {k: x.annotation for k, x in signature.parameters.items()}
    hosts = {k: host for k, x in annotations.items() if (host := _array_type(x))}
    shaped = {k: x for k, x in annotations.items() if _has_axes(x)}

    @functools.wraps(function)
    def converting(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        given = {name: x for name, x in bound.arguments.items() if name in hosts}
        known = [jnp.result_type(x) for x in given.values() if _is_inexact(x)]
        for name, x in given.items():
            if x is not None and not isinstance(x, eqx.Module):  # an operator
                bound.arguments[name] = _as_float(name, x, hosts[name], known)
        for name in shaped.keys() - hosts.keys():
            if isinstance(x := bound.arguments.get(name), np.ndarray | list):
                bound.arguments[name] = jnp.asarray(x)
        _check_shapes(bound.arguments, shaped)
        return function(*bound.args, **bound.kwargs)

    converting.takes_floats = tuple(hosts)  # pyright: ignore[reportAttributeAccessIssue]
    return converting  # pyright: ignore[reportReturnType]


def _check_shapes(arguments: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    """Raise `ValueError` for the first argument that is not shaped as annotated."""
    given = {k: arguments[k] for k in hints if arguments.get(k) is not None}
    with jaxtyped("context"):
        for name, x in given.items():
            if not isinstance(x, hints[name]):
                seen = ", ".join(f"{k} {shape_of(v)}" for k, v in given.items())
                kind = str(getattr(hints[name], "__name__", hints[name]))
                kind = re.sub(r"[\w.]+\.", "", kind)  # no names of modules
                raise ValueError(
                    f"`{name}` must be {kind}, and axes of one name equally long; "
                    f"got {seen}."
                )


def _has_axes(annotation: Any) -> bool:
    """Whether it says the shape of numbers or truth values, alone or in a union."""
    wanted = {"float32", "int32", "bool"}
    return any(wanted & set(part.dtypes) for part in arrays_in(annotation))


def _array_type(annotation: Any) -> Any:
    """The array class of a jaxtyping annotation of floats, alone or in a union."""
    for part in arrays_in(annotation):
        if not isinstance(part.dtypes, tuple | list) or "float32" in part.dtypes:
            return part.array_type
    return None


def arrays_in(annotation: Any) -> list[Any]:
    """The array classes that an annotation allows."""
    kinds = [x for x in members(annotation) if isinstance(x, type)]
    return [x for x in kinds if issubclass(x, AbstractArray)]


def members(annotation: Any) -> tuple[Any, ...]:
    """What may stand in a union; else the annotation itself."""
    is_union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return typing.get_args(annotation) if is_union else (annotation,)


def _is_inexact(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)


def _as_float(name: str, x: Any, host: Any, known: Sequence[Any]) -> Any:
    library: Any = np if host is np.ndarray else jnp
    if _is_inexact(x):
        return library.asarray(x)
    kind = float if library is np else [*known, jnp.result_type(float)][0]
    try:
        return library.asarray(x, kind)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be a number or an array of numbers; got {x!r}."
        ) from error


def with_array_leaves(tree: PyTree) -> PyTree:
    """`tree`, its Python and NumPy floats as array leaves."""
    return jax.tree.map(lambda x: real(x) if isinstance(x, float) else x, tree)


def fill_array_fields(module: eqx.Module) -> None:
    """Turn Python floats in the fields of a new module into array leaves.

    Also integers where the field is annotated as an array. A static field stays.
    """
    for name, field in type(module).__dataclass_fields__.items():
        value = getattr(module, name, None)
        if field.metadata.get("static", False) or isinstance(value, bool):
            continue
        whole = isinstance(value, int | np.integer) or (
            isinstance(value, np.ndarray) and value.dtype.kind in "iu"
        )
        if whole and re.search(r"rray|Scalar|Vector|Matrix|[Ff]loat", str(field.type)):
            object.__setattr__(module, name, real(np.asarray(value)))
        elif not whole and jax.tree.leaves(value):
            object.__setattr__(module, name, jax.tree.map(_leaf, value, is_leaf=_given))


def _leaf(value: Any) -> Any:
    """A float as an array leaf; NumPy's arrays of floats as JAX's."""
    if isinstance(value, float | np.floating):
        return real(value)
    inexact = isinstance(value, np.ndarray) and value.dtype.kind in "fc"
    return jnp.asarray(value) if inexact else value


def _given(value: Any) -> bool:
    """Modules of libraries, whose floats are settings (the rate of a dropout)."""
    own = type(value).__module__.partition(".")[0]
    return isinstance(value, eqx.Module) and own in ("equinox", "diffrax", "lineax")
