"""Pytrees as vectors, operators as matrices: what the other files share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._config import nearest


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
    """The inexact arrays in `params`, and `function` of them alone."""
    arrays, rest = eqx.partition(params, eqx.is_inexact_array)
    if not jax.tree.leaves(arrays):
        kinds = sorted({type(leaf).__name__ for leaf in jax.tree.leaves(params)})
        raise ValueError(f"`params` must hold an array of floats; got {kinds}.")
    return arrays, lambda arrays: function(eqx.combine(arrays, rest))


def structure_of(arrays: PyTree) -> PyTree:
    """Shapes and dtypes, as lineax wants them."""
    return jax.eval_shape(lambda: arrays)


def flatten(operator: Operator) -> FlatOperator:
    """`operator`, a lineax operator or a symmetric matrix, as a product of vectors."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        operator = lx.MatrixLinearOperator(operator)
    structure = operator.in_structure()
    if structure != operator.out_structure():
        sizes = f"{operator.out_size()} x {operator.in_size()}"
        raise ValueError(f"`operator` must be square; got {sizes}.")
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), structure)
    flat, unravel = ravel_pytree(zeros)
    product = lambda vector: ravel_pytree(operator.mv(unravel(vector)))[0]
    return FlatOperator(product, flat.size, flat.dtype, unravel)


def frozen(operator: Operator) -> Operator:
    """The same operator, constant under differentiation."""
    arrays, rest = eqx.partition(operator, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


def require_symmetric(operator: Operator) -> None:
    """Raise unless a lineax operator is tagged symmetric; a matrix is trusted."""
    if isinstance(operator, lx.AbstractLinearOperator) and not lx.is_symmetric(
        operator
    ):
        raise ValueError(
            "`operator` must be symmetric; if it is, say so with "
            "`lineax.TaggedLinearOperator(operator, lineax.symmetric_tag)`."
        )


def over_basis(
    function: Callable[[Vector, Array], Any],
    size: int,
    dtype: jnp.dtype,
    block_size: int | None = None,
) -> Any:
    """`function(unit vector, its index)` at every index, a block at a time."""
    at = lambda i: function(jnp.zeros(size, dtype).at[i].set(1), i)
    return by_block(at, jnp.arange(size), block_size)


def by_block(
    function: Callable[[Any], Any], over: PyTree, block_size: int | None = None
) -> Any:
    """`function` at every index of the leading axis of `over`, a block at a time."""
    block_size = BLOCK_SIZE if block_size is None else block_size
    at_least("block_size", block_size, 1)
    count = len(jax.tree.leaves(over)[0])
    size = min(block_size, count)
    blocks = jnp.arange(-(-count // size) * size).reshape(-1, size) % count
    at = lambda i: function(jax.tree.map(lambda leaf: leaf[i], over))
    if size == 1:  # a batch of one would still make every product a batched one
        return jax.lax.map(at, blocks[:, 0])
    rows = jax.lax.map(jax.vmap(at), blocks)  # the last block is filled up with repeats
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:count], rows)


def to_matrix(operator: Operator, block_size: int | None = None) -> Matrix:
    """The dense matrix of a symmetric operator, whose columns are its rows."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        return operator
    flat = flatten(operator)
    row = lambda unit, _: flat.product(unit)
    return over_basis(row, flat.size, flat.dtype, block_size)


def to_diagonal(operator: Operator, block_size: int | None = None) -> Vector:
    """The diagonal of an operator, without its matrix."""
    if not isinstance(operator, lx.AbstractLinearOperator):
        return jnp.diagonal(operator)
    flat = flatten(operator)
    entry = lambda unit, i: flat.product(unit)[i]
    return over_basis(entry, flat.size, flat.dtype, block_size)


def choose(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise unless `value` is one of `allowed`; the message names the nearest."""
    if value not in allowed:
        raise ValueError(f"`{name}` is unknown: {value!r}.{nearest(value, allowed)}")


def at_least(name: str, value: int, low: int) -> None:
    """Raise `ValueError` if `value` is below `low`."""
    if value < low:
        raise ValueError(f"`{name}` must be at least {low}; got {value}.")
