"""Pytrees as vectors, operators as matrices: what the other files share."""

from collections.abc import Callable
from typing import Any, NamedTuple, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._arguments import check_symmetric, concrete, shape_of, whole


Vector = Float[Array, " w"]
Matrix = Float[Array, "w w"]
Operator = lx.AbstractLinearOperator | Matrix

BLOCK_SIZE = 16
"""Products computed at once where a matrix is built or probed.

On a CPU, blocks of 16 took at most 1.4 times as long as the best of {1, 4, 16, 64} for
networks of 40 to 7,000 weights: few enough for the activations to stay in cache, enough
to keep small products efficient. Memory grows by 16 copies of one product's
activations. A GPU with memory to spare gains from more.
"""


class FlatOperator(NamedTuple):
    """A square operator on vectors, whatever pytrees the original acts on."""

    product: Callable[[Vector], Vector]
    size: int
    dtype: jnp.dtype
    unravel: Callable[[Vector], PyTree]


def arrays_of(
    function: Callable[[Any], Any], params: PyTree
) -> tuple[PyTree, Callable[[PyTree], Any]]:
    """The inexact arrays in `params`, and `function` of them alone.

    >>> params = {"w": jnp.ones(2), "scale": 3}
    >>> arrays, function = arrays_of(lambda p: p["scale"] * p["w"].sum(), params)
    >>> print(arrays["scale"], function(arrays))
    None 6.0
    """
    arrays, rest = split("params", params)
    return arrays, lambda arrays: function(eqx.combine(arrays, rest))


def split(name: str, tree: PyTree) -> tuple[PyTree, PyTree]:
    """The inexact arrays in `tree`, and the rest of it, which is held fixed.

    A Python float is an array of the precision of its neighbours. Not in an
    `equinox.Module`, where it is a setting (the rate of a dropout). Where nothing but
    integers is given they are floats, as 1 is where 1.0 is meant.
    """
    known = [x.dtype for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)]
    kind = known[0] if known else jnp.result_type(float)
    whole = not known and not any(isinstance(x, float) for x in jax.tree.leaves(tree))
    fill = lambda x: jnp.asarray(x, kind) if _is_number(x, whole) else x
    is_module = lambda x: isinstance(x, eqx.Module)
    filled = jax.tree.map(fill, tree, is_leaf=is_module)
    arrays, rest = eqx.partition(filled, eqx.is_inexact_array)
    if not jax.tree.leaves(arrays):
        kinds = sorted({type(leaf).__name__ for leaf in jax.tree.leaves(tree)})
        raise ValueError(f"`{name}` must hold an array of floats; got {kinds}.")
    if not any(x.size for x in jax.tree.leaves(arrays)):
        raise ValueError(f"`{name}` must hold a number; got {shape_of(arrays)}.")
    return arrays, rest


def _is_number(x: Any, whole: bool) -> bool:
    """A float, or an integer where those count."""
    counts = isinstance(x, int) or getattr(x, "dtype", np.dtype(bool)).kind in "iu"
    return isinstance(x, float) or (whole and counts and not isinstance(x, bool))


def like(name: str, tree: PyTree, arrays: PyTree) -> PyTree:
    """`tree` in the precision of `arrays`; `ValueError` unless it is shaped so."""

    def leaf(array: Any, x: Any) -> Any:
        if array is None:
            return None
        if np.shape(x) != array.shape:
            raise ValueError
        return jnp.asarray(x, array.dtype)

    try:
        return jax.tree.map(leaf, arrays, tree, is_leaf=lambda x: x is None)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be shaped like `params`, {shape_of(arrays)}; "
            f"got {shape_of(tree)}."
        ) from error


def not_negative(name: str, value: ArrayLike) -> Array:
    """`value`; one below zero is refused, or NaN where it is traced. NaN stays NaN."""
    if concrete(value) and np.any(np.asarray(value) < 0):
        raise ValueError(f"`{name}` must not be negative; got {value}.")
    array = jnp.asarray(value)
    return array if concrete(value) else jnp.where(array < 0, jnp.nan, array)


def number(name: str, value: ArrayLike, dtype: jnp.dtype) -> Array:
    """One number that is not negative (see `not_negative`), of this precision."""
    if np.shape(value):
        raise ValueError(f"`{name}` must be one number; got shape {np.shape(value)}.")
    return not_negative(name, value).astype(dtype)


def structure_of(arrays: PyTree) -> PyTree:
    """Shapes and dtypes, as lineax wants them."""
    return jax.eval_shape(lambda: arrays)


def flatten(operator: Operator) -> FlatOperator:
    """`operator`, a lineax operator or a matrix, as a product of vectors."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        operator = lx.MatrixLinearOperator(square(operator))
    structure = operator.in_structure()
    if structure != operator.out_structure():
        sizes = f"{operator.out_size()} x {operator.in_size()}"
        raise ValueError(f"`operator` must be square; got {sizes}.")
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), structure)
    flat, unravel = ravel_pytree(zeros)
    product = lambda vector: ravel_pytree(operator.mv(unravel(vector)))[0]
    return FlatOperator(product, flat.size, flat.dtype, unravel)


def square(matrix: Any) -> Matrix:
    """`matrix`; `ValueError` unless it is square."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"`operator` must be square; got {matrix.shape}.")
    return matrix


def frozen(operator: Operator) -> Operator:
    """The same operator, constant under differentiation."""
    arrays, rest = eqx.partition(operator, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def require_symmetric(operator: Any) -> None:
    """Raise unless a lineax operator is tagged symmetric, or a matrix is."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        check_symmetric("operator", operator)
    elif not lx.is_symmetric(operator):
        raise ValueError(
            "`operator` must be symmetric; if it is, say so with "
            "`lineax.TaggedLinearOperator(operator, lineax.symmetric_tag)`."
        )


def over_basis(
    function: Callable[[Vector, Array], Any],
    size: int,
    dtype: jnp.dtype,
    block_size: SupportsIndex | None = None,
) -> Any:
    """`function(unit vector, its index)` at every index, a block at a time."""
    at = lambda i: function(jnp.zeros(size, dtype).at[i].set(1), i)
    return by_block(at, jnp.arange(size), block_size)


def by_block(
    function: Callable[[Any], Any],
    over: PyTree,
    block_size: SupportsIndex | None = None,
) -> Any:
    """`function` at every index of the leading axis of `over`, a block at a time."""
    block = whole("block_size", BLOCK_SIZE if block_size is None else block_size, 1)
    count = len(jax.tree.leaves(over)[0])
    size = min(block, count)
    blocks = jnp.arange(-(-count // size) * size).reshape(-1, size) % count
    at = lambda i: function(jax.tree.map(lambda leaf: leaf[i], over))
    if size == 1:  # a batch of one would still make every product a batched one
        return jax.lax.map(at, blocks[:, 0])
    rows = jax.lax.map(jax.vmap(at), blocks)  # the last block is filled up with repeats
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], rows)


def to_matrix(operator: Any, block_size: SupportsIndex | None = None) -> Matrix:
    """The dense matrix of a symmetric operator, whose columns are its rows."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        return square(operator)
    flat = flatten(operator)
    row = lambda unit, _: flat.product(unit)
    return over_basis(row, flat.size, flat.dtype, block_size)


def to_diagonal(operator: Any, block_size: SupportsIndex | None = None) -> Vector:
    """The diagonal of an operator, without its matrix."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        return jnp.diagonal(square(operator))
    flat = flatten(operator)
    entry = lambda unit, i: flat.product(unit)[i]
    return over_basis(entry, flat.size, flat.dtype, block_size)
