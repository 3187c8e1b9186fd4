"""Vector algebra on pytrees of weights, taken as one flat vector."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key

from ._interfaces import Scalar, Synapses


T = TypeVar("T")


def tree_size(tree: Synapses) -> int:
    """Number of entries over all leaves."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def tree_vdot(a: Synapses, b: Synapses) -> Scalar:
    """Inner product over all leaves together."""
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return sum(jax.tree.leaves(products), start=jnp.zeros(()))


def tree_norm(tree: Synapses) -> Scalar:
    """Euclidean norm over all leaves, its gradient zero (not NaN) at the origin."""
    square = tree_vdot(tree, tree)
    safe = jnp.where(square > 0, square, 1.0)
    return jnp.where(square > 0, jnp.sqrt(safe), 0.0)


def tree_scale(scale: Scalar | float, tree: T) -> T:
    """Every leaf times one number."""
    return jax.tree.map(lambda leaf: scale * leaf, tree)


def tree_unit(tree: T) -> T:
    """The tree at unit length; a zero tree stays zero."""
    flat, unravel = ravel_pytree(tree)  # one vector: fuses with a flat draw
    length = tree_norm(flat)
    return unravel(flat / jnp.where(length > 0, length, 1.0))


def normal_like(key: Key[Array, ""], tree: T) -> T:
    """Independent standard normals shaped like `tree`, all from one draw."""
    flat, unravel = ravel_pytree(tree)
    return unravel(jr.normal(key, flat.shape, flat.dtype))
