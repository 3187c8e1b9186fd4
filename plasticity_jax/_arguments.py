"""What an argument may be: conversions, ranges, and errors that name the value.

Checks look at concrete values only: inside a compiled program values are traced, and
what is out of range there becomes NaN, never an ordinary number.
"""

import difflib
import functools
import inspect
import numbers
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import AbstractArray, Array, ArrayLike, jaxtyped, PyTree


F = TypeVar("F", bound=Callable[..., Any])

PLAIN = 1e-3  # of the largest entry: a difference that rounding does not make


# --- conversions ----------------------------------------------------------------------


def real(x: ArrayLike) -> Array:
    """Converter of every hyper-parameter field: an array leaf, never a Python float."""
    return jnp.asarray(x, jnp.result_type(float))


def optional(x: ArrayLike | None) -> Array | None:
    """`real`, for a field that may be `None`."""
    return None if x is None else real(x)


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
    arrays = [
        x
        for x in _members(annotation)
        if isinstance(x, type) and issubclass(x, AbstractArray)
    ]
    kinds: Any = [x.dtypes for x in arrays]
    return any({"float32", "int32", "bool"} & set(found) for found in kinds)


def _array_type(annotation: Any) -> Any:
    """The array class of a jaxtyping annotation of floats, alone or in a union."""
    for part in _members(annotation):
        if isinstance(part, type) and issubclass(part, AbstractArray):
            kinds: Any = part.dtypes
            if not isinstance(kinds, tuple | list) or "float32" in kinds:
                return part.array_type
    return None


def _members(annotation: Any) -> tuple[Any, ...]:
    """What may stand in a union; else the annotation itself."""
    unions = (types.UnionType, typing.Union)
    is_union = isinstance(annotation, types.UnionType) or (
        typing.get_origin(annotation) in unions
    )
    return typing.get_args(annotation) if is_union else (annotation,)


def _is_inexact(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jnp.inexact)


def _as_float(name: str, x: Any, host: Any, known: Sequence[Any]) -> Any:
    if _is_inexact(x):
        return np.asarray(x) if host is np.ndarray else jnp.asarray(x)
    if host is np.ndarray:
        kind: Any = float
    else:
        kind = known[0] if known else jnp.result_type(float)
    try:
        return (np if host is np.ndarray else jnp).asarray(x, kind)
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


# --- names ----------------------------------------------------------------------------


def nearest(name: str, allowed: Iterable[str]) -> str:
    """` Did you mean ...? Choose from: ...`, the tail of an error about a name."""
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} Choose from: {', '.join(allowed) or 'none'}."


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise unless `value` is one of `allowed`; the message names the nearest."""
    if value not in allowed:
        raise ValueError(
            f"`{name}` is unknown: {value!r}.{nearest(str(value), allowed)}"
        )


# --- values ---------------------------------------------------------------------------


def concrete(*values: Any) -> bool:
    """Whether no leaf is traced: what a check may look at."""
    return not any(isinstance(x, Tracer) for x in jax.tree.leaves(values))


def require(module: eqx.Module, **ranges: tuple[float | int, float | int]) -> None:
    """Raise `ValueError` unless the named fields lie in their ranges; NaN does not.

    Traced values pass: a sweep or a gradient is not checked inside the compiled
    program (`sweep` checks every point of every axis before it compiles).
    """
    for name, (low, high) in ranges.items():
        check_range(name, getattr(module, name), low, high)


def check_range(name: str, value: Any, low: float | int, high: float | int) -> None:
    """Raise `ValueError` unless all entries lie in [`low`, `high`]; NaN does not."""
    if concrete(value):
        entries = np.asarray(value)
        if not np.all((low <= entries) & (entries <= high)):
            raise ValueError(f"`{name}` must lie in [{low}, {high}]; got {value}.")


def at_least(name: str, value: Any, low: float | int) -> None:
    """Raise `ValueError` if `value` is below `low`, or NaN."""
    if not value >= low:
        raise ValueError(f"`{name}` must be at least {low}; got {value}.")


def check_kind(name: str, part: Any, kind: type) -> None:
    """Raise `ValueError` unless `part` is of this class."""
    if not isinstance(part, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ValueError(
            f"{name} must be {article} {kind.__name__}; got {shape_of(part)}."
        )


def check_takes(name: str, function: Any, *arguments: str) -> None:
    """Raise `ValueError` unless `function` can be called with so many arguments."""
    must = f"`{name}` must be a function of ({', '.join(arguments)})"
    if not callable(function):
        raise ValueError(f"{must}; got {shape_of(function)}.")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of compiled code: nobody knows
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ValueError(f"{must}; got one of {signature}: {error}.") from error


def check_finite(name: str, array: Any) -> None:
    """Raise `ValueError` where a concrete array holds a NaN or an infinity."""
    if concrete(array) and not np.all(np.isfinite(np.asarray(array))):
        count = int(np.sum(~np.isfinite(np.asarray(array))))
        raise ValueError(f"`{name}` must be finite; {count} of its entries are not.")


def check_not_negative(name: str, values: Any) -> None:
    """Raise `ValueError` if an entry is negative or not finite; traced values pass."""
    if not concrete(values):
        return
    entries = np.asarray(values)
    wrong = entries[~((entries >= 0) & np.isfinite(entries))]
    if wrong.size:
        raise ValueError(
            f"`{name}` must be finite and not negative; got {wrong.flat[0]}."
        )


def check_binary(name: str, patterns: Any) -> None:
    """Raise `ValueError` unless every entry is 0 or 1; traced values pass."""
    if not concrete(patterns):
        return
    values = np.asarray(patterns)
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        raise ValueError(f"`{name}` must be 0 or 1 everywhere; got {wrong.flat[0]}.")


def check_stored(stored: Any, count: int) -> None:
    """Raise `ValueError` unless `stored` marks some of `count` patterns."""
    if np.shape(stored) != (count,):
        raise ValueError(
            f"`stored` must mark each of {count} patterns; got {np.shape(stored)}."
        )
    check_binary("stored", stored)
    if concrete(stored) and not np.any(np.asarray(stored)):
        raise ValueError("`stored` must mark a pattern at least; got none.")


def check_probabilities(name: str, probability: PyTree) -> None:
    """Raise `ValueError` unless all lie between 0 and 1; traced values pass."""
    for leaf in jax.tree.leaves(probability):
        if concrete(leaf):
            values = np.asarray(leaf)
            wrong = values[~((values >= 0) & (values <= 1))]
            if wrong.size:
                raise ValueError(f"`{name}` must lie in [0, 1]; got {wrong.flat[0]}.")


def check_indices(name: str, indices: Any, count: int, of: str) -> None:
    """Raise `ValueError` unless concrete indices are integers in [0, `count`).

    `of` says what they count, such as "classes" or "images".
    """
    if not concrete(indices):
        return
    values = np.asarray(indices)
    if values.dtype.kind not in "iu":
        raise ValueError(f"`{name}` must be integers; got {values.dtype}.")
    if values.size and not (values.min() >= 0 and values.max() < count):
        wrong = values[(values < 0) | (values >= count)].flat[0]
        raise ValueError(
            f"`{name}` must lie in [0, {count - 1}], of {count} {of}; got {wrong}."
        )


def check_lengths(name: str, tree: PyTree, axis: int = 0) -> int:
    """The common length of all leaves along an axis; `ValueError` if they differ."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(tree)]
    lengths = {shape[axis] if shape else None for shape in shapes}
    if len(lengths) != 1 or lengths & {None, 0}:
        where = {0: "first", -1: "last"}[axis]
        raise ValueError(
            f"leaves of `{name}` must share their {where} axis, which is not empty; "
            f"got shapes {shapes}."
        )
    return lengths.pop()  # pyright: ignore[reportReturnType]


def check_symmetric(name: str, matrix: Any) -> None:
    """Raise `ValueError` if a concrete matrix is plainly not square and symmetric.

    By 1e-3 of its largest entry: rounding does not do that. One that holds NaN passes.
    """
    shape = np.shape(matrix)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"`{name}` must be a square matrix; got {shape}.")
    if not concrete(matrix):
        return
    entries = np.asarray(matrix, float)
    apart = np.abs(entries - entries.T)
    if apart.size and np.max(apart) > PLAIN * np.max(np.abs(entries)):
        i, j = np.unravel_index(np.argmax(apart), apart.shape)
        raise ValueError(
            f"`{name}` must be symmetric; its entries ({i}, {j}) and ({j}, {i}) are "
            f"{entries[i, j]:.4g} and {entries[j, i]:.4g}."
        )


def check_positive_semidefinite(name: str, matrix: Any) -> None:
    """Raise `ValueError` if a concrete matrix plainly has a negative eigenvalue.

    By more than rounding; of more than 1000 rows only the 2 x 2 minors are looked at.
    One with NaN passes.
    """
    check_symmetric(name, matrix)
    if not concrete(matrix):
        return
    entries = np.asarray(matrix, float)
    if not entries.size or not np.all(np.isfinite(entries)):
        return
    slack = PLAIN * np.max(np.abs(entries))
    if len(entries) <= 1000:
        negative = np.linalg.eigvalsh(entries)[0] < -slack
    else:
        roots = np.sqrt(np.maximum(np.diagonal(entries), 0))
        negative = np.any(np.abs(entries) > np.outer(roots, roots) + slack)
    if negative:
        raise ValueError(
            f"`{name}` must be positive semidefinite; it has a negative eigenvalue."
        )


def check_signs(name: str, values: Any) -> None:
    """Raise `ValueError` unless every entry is -1 or 1; traced values pass."""
    if concrete(values):
        entries = np.asarray(values)
        wrong = entries[(entries != 1) & (entries != -1)]
        if wrong.size:
            raise ValueError(
                f"`{name}` must be -1 or 1 everywhere; got {wrong.flat[0]}."
            )


# --- domains of closed forms ----------------------------------------------------------


def admit(name: str, x: Any, wrong: Any, must: str) -> Array:
    """`x`, NaN where it is `wrong`; `ValueError` if a concrete one is.

    The message says what it `must` do. `wrong` is false of NaN, which stays.
    """
    if concrete(x, wrong) and np.any(wrong):
        entries = np.broadcast_to(np.asarray(x), np.shape(wrong))[np.asarray(wrong)]
        raise ValueError(f"`{name}` must {must}; got {entries.flat[0]}.")
    return jnp.where(wrong, jnp.nan, x)


def positive(name: str, x: Any) -> Array:
    """`admit` of what is above 0."""
    return admit(name, x, x <= 0, "be positive")


def not_negative(name: str, x: Any) -> Array:
    """`admit` of what is 0 or above."""
    return admit(name, x, x < 0, "not be negative")


def probability(name: str, x: Any) -> Array:
    """`admit` of what lies in [0, 1]."""
    return admit(name, x, (x < 0) | (x > 1), "lie in [0, 1]")


def fitted(name: str, tree: PyTree, like: PyTree, to: str = "synapses") -> PyTree:
    """`tree` in the precision of `like`; `ValueError` unless shaped like it."""
    shapes = [[np.shape(x) for x in jax.tree.leaves(part)] for part in (tree, like)]
    alike = jax.tree.structure(tree) == jax.tree.structure(like)
    if not alike or shapes[0] != shapes[1]:
        raise ValueError(
            f"{name} must be shaped like the {to}, {shape_of(like)}; got "
            f"{shape_of(tree)}."
        )
    return jax.tree.map(lambda x, w: jnp.asarray(x, jnp.result_type(w)), tree, like)


def check_stable(name: str, rate: Any, dt: Any) -> None:
    """Raise `ValueError` where a decay at `rate` overshoots in steps of `dt`.

    A step takes `rate` times `dt` of a variable; from 2 on it grows. Traced values
    pass, and steps of unknown length (`None`).
    """
    if dt is not None and concrete(rate, dt):
        share = float(np.max(np.asarray(rate, float) * np.asarray(dt, float)))
        if share >= 2:
            raise ValueError(
                f"`{name}` is too large for stability: a step would take {share:.4g} "
                f"times a synapse away, below 2 is allowed; lower `{name}` or shorten "
                "the step."
            )


def stable(name: str, share: Array) -> Array:
    """`share`, the part of a variable that a step takes away; it must be below 2.

    Raises `ValueError` where it is concrete; NaN where it is traced.
    """
    check_stable(name, share, 1.0)
    return jnp.where(share >= 2, jnp.asarray(jnp.nan, share.dtype), share)


def shape_of(tree: PyTree) -> str:
    """A tree in a message: its shapes, or its kind where it holds no array."""
    if tree is None:
        return "None"
    if hasattr(tree, "shape"):
        return f"{np.dtype(tree.dtype).name}{tuple(tree.shape)}"
    if isinstance(tree, Mapping):
        inside = ", ".join(f"{k}: {shape_of(x)}" for k, x in tree.items())
        return f"{{{inside}}}"
    if type(tree) in (tuple, list):
        return f"({', '.join(map(shape_of, tree))})"
    if isinstance(tree, eqx.Module):
        return eqx.tree_pformat(tree, width=1000)
    return type(tree).__name__
