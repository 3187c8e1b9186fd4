"""Roots of scalar functions, as reduced systems need them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from ... import Scalar


HALVINGS = 60


def bisected(
    function: Callable[..., Scalar], low: Scalar, high: Scalar, args: object
) -> Scalar:
    """Where a function that is positive at `low` falls through zero; no gradient.

    >>> zero, two = jnp.asarray(0.0), jnp.asarray(2.0)
    >>> found = bisected(lambda x, a: a - x**2, zero, two, two)
    >>> print(f"{found:.3f}")  # sqrt(2)
    1.414
    """
    low, high, args = jax.lax.stop_gradient((low, high, args))

    def halve(_: ArrayLike, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = ends
        middle = (low + high) / 2
        above = function(middle, args) > 0
        return jnp.where(above, middle, low), jnp.where(above, high, middle)

    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (low, high))
    return (low + high) / 2


def root(
    function: Callable[..., Scalar], low: Scalar, high: Scalar, args: object
) -> Scalar:
    """The same with a true first derivative in `args`, by one Newton step.

    >>> zero, two = jnp.asarray(0.0), jnp.asarray(2.0)
    >>> square_root = lambda a: root(lambda x, a: a - x**2, zero, two, a)
    >>> print(f"{jax.grad(square_root)(two):.3f}")  # 1 / (2 sqrt(2))
    0.354
    """
    x = bisected(function, low, high, args)
    along = jax.jvp(lambda x: function(x, args), (x,), (jnp.ones_like(x),))
    value, slope = along[0], jax.lax.stop_gradient(along[1])
    safe = jnp.where(slope != 0, slope, 1.0)
    return x - jnp.where(slope != 0, value / safe, 0.0)
