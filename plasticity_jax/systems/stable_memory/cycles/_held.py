"""Fixed points that hold a rotation, and the critical one that they cannot."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .... import Scalar
from ...._arguments import admit, floating
from ..roots import bisected, root
from ._rates import _one, Transfer


@floating
def critical_rotation(transfer: Transfer, expansion: Scalar) -> Scalar:
    r"""$\rho_c(\alpha)$ above which balanced signs have a cycle, $\alpha\phi'(0) > 1$.

    Fixed points off the origin obey $h(a) = -h(b)$ and $\rho = h(a)/\phi(a)\phi(b)$
    with $h(x) = \phi(x)(\alpha\phi(x) - x)$; the largest such $\rho$, where they meet
    in pairs and vanish, leaves a cycle behind. For $\phi$ bounded by 1 and concave on
    $x > 0$. A step has $\rho_c = \alpha$. Differentiable.

    >>> print(f"{critical_rotation(jnp.tanh, 2.0):.3f}")  # a step has 2
    0.543
    """
    found = held_rotations(transfer, expansion)
    # its slope in a is zero: true gradient in the expansion
    return found.rotation(found.critical, expansion)


class HeldRotations(NamedTuple):
    """Fixed points (a, b) off the origin, 0 < a < `edge` < b, by a and the expansion.

    `rotation` is the one that holds it there: largest at `critical`. `other` is b.

    >>> held = held_rotations(jnp.tanh, jnp.asarray(2.0))
    >>> print(f"{held.edge:.3f}")  # where x = 2 tanh(x)
    1.915
    """

    rotation: Callable[[Scalar, Scalar], Scalar]
    other: Callable[[Scalar, Scalar], Scalar]
    critical: Scalar
    edge: Scalar


def held_rotations(transfer: Transfer, expansion: Scalar) -> HeldRotations:
    r"""All of them, for $\phi$ bounded by 1 and concave on $x > 0$.

    Raises `ValueError` unless $\alpha\phi'(0) > 1$; NaN where it is traced.

    >>> expansion = jnp.asarray(2.0)
    >>> held = held_rotations(jnp.tanh, expansion)
    >>> print(f"{held.rotation(held.critical, expansion):.3f}")  # the critical rotation
    0.543
    """
    least = jnp.full((), 1e-6, expansion.dtype)
    outward = lambda x, alpha: alpha * _one(transfer, x) - x
    must = "exceed 1 over the slope of `transfer` at 0"
    expansion = admit("expansion", expansion, outward(least, expansion) <= 0, must)

    def height(x: Scalar, alpha: Scalar) -> Scalar:
        rate = _one(transfer, x)
        return rate * (alpha * rate - x)

    def other(a: Scalar, alpha: Scalar) -> Scalar:
        balance = lambda b, args: height(b, args[1]) + height(args[0], args[1])
        return root(balance, edge, 3 * alpha, (a, alpha))

    def held(a: Scalar, alpha: Scalar) -> Scalar:
        rates = _one(transfer, a) * _one(transfer, other(a, alpha))
        return height(a, alpha) / rates

    edge = jax.lax.stop_gradient(root(outward, least, 2 * expansion, expansion))
    a = bisected(jax.grad(held), 1e-3 * edge, (1 - 1e-3) * edge, expansion)
    return HeldRotations(held, other, a, edge)
