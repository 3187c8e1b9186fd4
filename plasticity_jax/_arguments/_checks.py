"""Ranges and kinds of arguments, with errors that name the value.

Checks look at concrete values only: inside a compiled program values are traced, and
what is out of range there becomes NaN, never an ordinary number.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree


SLACK = 1e-6  # above 1, by the rounding of rate times bin
PLAIN = 1e-3  # of the largest entry: a difference that rounding does not make


# --- names ----------------------------------------------------------------------------


def nearest(name: str, allowed: Iterable[str], many: str = "") -> str:
    """` Did you mean ...? Choose from: ...`, the tail of an error about a name.

    Where there are too many to choose from, the words of `many` say where they are; and
    those that `name` is a part of may be meant too.
    """
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    if many and name:
        held = [x for x in allowed if name.lower() in x and x not in close]
        close += sorted(held, key=len)
    meant = " or ".join(f"'{x}'" for x in close[:5])
    hint = f" Did you mean {meant}?" if close else ""
    choose = f"Choose from: {', '.join(allowed) or 'none'}."
    return f"{hint} {many or choose}"


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raise unless `value` is one of `allowed`; the message names the nearest."""
    if value not in allowed:
        hint = nearest(str(value), allowed)
        raise ValueError(f"`{name}` is unknown: {value!r}.{hint}")


# --- values ---------------------------------------------------------------------------


def concrete(*values: Any) -> bool:
    """Whether no leaf is traced: what a check may look at."""
    return not any(isinstance(x, Tracer) for x in jax.tree.leaves(values))


def require(module: eqx.Module, **ranges: tuple[float | int, float | int]) -> None:
    """Raise `ValueError` unless the named fields lie in their ranges; NaN does not.

    Traced values pass: a sweep or a gradient is not checked inside the compiled
    program (`sweep` checks every point of every axis before it compiles).

    >>> require(rules.Oja(0.5), rate=(0.0, 0.25))
    Traceback (most recent call last):
    ValueError: `rate` must lie in [0.0, 0.25]; got 0.5.
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
    """Raise `ValueError` where a concrete array holds a NaN or an infinity.

    >>> check_finite("weights", jnp.array([1.0, jnp.nan]))
    Traceback (most recent call last):
    ValueError: `weights` must be finite; 1 of its entries are not.
    """
    if concrete(array) and (count := np.sum(~np.isfinite(np.asarray(array)))):
        raise ValueError(f"`{name}` must be finite; {count} of its entries are not.")


def _check_each(name: str, values: Any, right: Callable[..., Any], must: str) -> None:
    """Raise `ValueError`, with what they `must` be, unless all entries are `right`."""
    if concrete(values):
        entries = np.asarray(values)
        wrong = entries[~right(entries)]
        if wrong.size:
            raise ValueError(f"`{name}` must {must}; got {wrong.flat[0]}.")


def check_not_negative(name: str, values: Any) -> None:
    """Raise `ValueError` if an entry is negative or not finite; traced values pass."""
    right = lambda x: (x >= 0) & np.isfinite(x)
    _check_each(name, values, right, "be finite and not negative")


def check_binary(name: str, patterns: Any) -> None:
    """Raise `ValueError` unless every entry is 0 or 1; traced values pass."""
    right = lambda x: (x == 0) | (x == 1)
    _check_each(name, patterns, right, "be 0 or 1 everywhere")


def check_signs(name: str, values: Any) -> None:
    """Raise `ValueError` unless every entry is -1 or 1; traced values pass."""
    right = lambda x: (x == 1) | (x == -1)
    _check_each(name, values, right, "be -1 or 1 everywhere")


def check_stored(stored: Any, count: int) -> None:
    """Raise `ValueError` unless `stored` marks some of `count` patterns."""
    if (shape := np.shape(stored)) != (count,):
        raise ValueError(f"`stored` must mark each of {count} patterns; got {shape}.")
    check_binary("stored", stored)
    if concrete(stored) and not np.any(np.asarray(stored)):
        raise ValueError("`stored` must mark a pattern at least; got none.")


def check_probabilities(name: str, probability: PyTree) -> None:
    """Raise `ValueError` unless all lie between 0 and 1; traced values pass.

    >>> check_probabilities("release", {"w": jnp.array([0.5, 1.5])})
    Traceback (most recent call last):
    ValueError: `release` must lie in [0, 1]; got 1.5.
    """
    right = lambda x: (x >= 0) & (x <= 1)
    for leaf in jax.tree.leaves(probability):
        _check_each(name, leaf, right, "lie in [0, 1]")


def check_indices(name: str, indices: Any, count: int, of: str) -> None:
    """Raise `ValueError` unless concrete indices are integers in [0, `count`).

    `of` says what they count, such as "classes" or "images".
    """
    if concrete(indices) and (kind := np.asarray(indices).dtype).kind not in "iu":
        raise ValueError(f"`{name}` must be integers; got {kind}.")
    right = lambda x: (x >= 0) & (x < count)
    _check_each(name, indices, right, f"lie in [0, {count - 1}], of {count} {of}")


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


# --- domains of closed forms ----------------------------------------------------------


def admit(name: str, x: Any, wrong: Any, must: str) -> Array:
    """`x`, NaN where it is `wrong`; `ValueError` if a concrete one is.

    The message says what it `must` do. `wrong` is false of NaN, which stays.
    """
    if concrete(x, wrong) and np.any(wrong):
        entries = np.broadcast_to(np.asarray(x), np.shape(wrong))[np.asarray(wrong)]
        raise ValueError(f"`{name}` must {must}; got {entries.flat[0]}.")
    return jnp.where(wrong, jnp.nan, x)


def among(name: str, x: Any, values: tuple[float, ...]) -> Array:
    """`admit` of what is one of `values`."""
    wrong = functools.reduce(jnp.logical_and, [x != value for value in values])
    named = " or ".join(f"{value:g}" for value in values)
    return admit(name, x, wrong & ~jnp.isnan(x), f"be {named}")


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
    if isinstance(tree, type):
        return f"the class {tree.__name__}, of which one must be made"
    return type(tree).__name__


def check_bins(rates: Array, bin_width: Any, name: str) -> None:
    """Raise `ValueError` if a rate expects more than one spike in a bin."""
    if concrete(rates, bin_width) and np.size(rates):
        most = float(np.max(np.asarray(rates) * np.asarray(bin_width)))
        if not most <= 1 + SLACK:
            raise ValueError(
                f"`{name}` up to {float(np.max(np.asarray(rates))):.4g} Hz in bins of "
                f"{float(bin_width):.3g} s give a probability per bin of {most:.3g}; "
                "at most 1 is allowed: shorten the bin."
            )
