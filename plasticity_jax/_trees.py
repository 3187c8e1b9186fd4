"""Vector algebra on pytrees of weights, taken as one flat vector."""

import functools
from typing import TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key

from ._guards import root
from ._interfaces import Scalar, Synapses


T = TypeVar("T")


def tree_size(tree: Synapses) -> int:
    """Number of entries over all leaves."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def tree_vdot(a: Synapses, b: Synapses) -> Scalar:
    """Inner product over all leaves together; `ValueError` if their shapes differ."""

    def product(x: Array, y: Array) -> Scalar:
        if x.shape != y.shape:
            raise ValueError(f"leaves must be shaped alike; got {x.shape}, {y.shape}.")
        if not jnp.issubdtype(x.dtype, jnp.inexact):  # integers would overflow
            x, y = x.astype(jnp.result_type(float)), y.astype(jnp.result_type(float))
        return jnp.sum(x * y)

    products = jax.tree.leaves(jax.tree.map(product, a, b))
    return functools.reduce(jnp.add, products) if products else jnp.zeros(())


def tree_norm(tree: Synapses) -> Scalar:
    """Euclidean norm over all leaves, its gradient zero (not NaN) at the origin.

    NaN where an entry is.
    """
    return root(tree_vdot(tree, tree))


def tree_scale(scale: Scalar | float, tree: T) -> T:
    """Every leaf times one number, in the leaf's own precision.

    Raises `ValueError` for more than one number.
    """
    if jnp.ndim(scale):
        raise ValueError(
            f"`scale` must be one number; got the shape {jnp.shape(scale)}."
        )
    return jax.tree.map(lambda leaf: jnp.asarray(scale, leaf.dtype) * leaf, tree)


def tree_unit(tree: T) -> T:
    """The tree at unit length; a zero tree stays zero, NaN where its length is lost."""
    flat, unravel = ravel_pytree(tree)  # one vector: fuses with a flat draw
    length = tree_norm(flat)
    length = jnp.where(jnp.isinf(length), jnp.nan, length)  # else all would be 0
    return unravel(flat / jnp.where(length == 0, 1.0, length))


def normal_like(key: Key[Array, ""], tree: T) -> T:
    """Independent standard normals shaped like `tree`, all from one draw."""
    flat, unravel = ravel_pytree(tree)
    return unravel(jr.normal(key, flat.shape, flat.dtype))
