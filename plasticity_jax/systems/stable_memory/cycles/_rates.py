"""The reduced system, and the closures that say what its rates are."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import concrete, floating


Pair = Float[Array, "2"]
Values = Float[Array, "..."]
Closure = Callable[[Pair], Pair]
Transfer = Callable[[Array], Array]
NODES = 200  # of Gauss and Hermite


@floating
def reduced_slope(
    closure: Closure, expansion: Scalar | float, rotation: Scalar | float, state: Pair
) -> Pair:
    r"""$\dot s$ of the reduced system.

    >>> closure = balanced_rates(jnp.sign)
    >>> reduced_slope(closure, 2.0, 3.0, [1.0, 0.0]).tolist()  # [alpha - 1, rho]
    [1.0, 3.0]
    """
    q = closure(state)
    turned = jnp.stack([-q[1], q[0]])
    return expansion * q + rotation * turned - state


@floating
def gaussian_gain(transfer: Transfer, radius: Scalar) -> Scalar:
    r"""$g(r) = E[z\phi(rz)]/r$, $z \sim N(0, 1)$: rates over overlaps, $r > 0$.

    By 200 Gauss-Hermite nodes: for a smooth odd $\phi$, to $10^{-6}$ as long as $r$ is
    below 4 times the scale of $\phi$. A step has $\sqrt{2/\pi}/r$.

    >>> radius = jnp.sqrt(6 / jnp.pi)
    >>> gain = gaussian_gain(circuits.error_function, radius)
    >>> print(f"{gain:.3f}")  # 1 / sqrt(1 + pi r^2 / 2)
    0.500
    """
    z, weights = np.polynomial.hermite_e.hermegauss(NODES)
    nodes = jnp.asarray(z, radius.dtype)
    weights = jnp.asarray(weights / weights.sum(), radius.dtype)
    return jnp.sum(weights * nodes * transfer(radius * nodes)) / radius


def gaussian_rates(transfer: Transfer) -> Closure:
    """The closure of Gaussian orthonormal patterns, for an infinite network.

    >>> rates = gaussian_rates(circuits.error_function)(jnp.asarray([3.0, 4.0]))
    >>> print(f"{rates[1] / rates[0]:.3f}")  # along the overlaps
    1.333
    """
    return jax.tree_util.Partial(_gaussian, transfer)


def _gaussian(transfer: Transfer, state: Values) -> Values:
    return gaussian_gain(transfer, jnp.sqrt(jnp.sum(state**2))) * state


def balanced_rates(transfer: Transfer) -> Closure:
    """The closure of balanced signs (columns of a Hadamard matrix).

    >>> rates = balanced_rates(jnp.tanh)(jnp.asarray([0.0, 1.0]))
    >>> print(np.asarray(rates).round(3))  # 0, tanh(1)
    [0.    0.762]
    """
    return jax.tree_util.Partial(_balanced, transfer)


def _balanced(transfer: Transfer, state: Pair) -> Pair:
    return transfer(state)


def printed_rates(state: Pair) -> Pair:
    r"""$q_v = \arctan(p_v/|p_u|)$ and $q_u$ likewise, as printed below Eq. 7.

    >>> rates = printed_rates(jnp.asarray([1.0, -1.0]))
    >>> print(np.asarray(rates / jnp.pi).round(3))
    [ 0.25 -0.25]
    """
    return jnp.arctan2(state, jnp.abs(state[::-1]))


def orthant_rates(state: Pair) -> Pair:
    r"""$\frac2\pi$ of `printed_rates`: $E[\mathrm{sgn}z_v\,\mathrm{sgn}(p\cdot z)]$.

    Exact for Gaussian $z$. Of its cycles, and all else, the radii are $\frac2\pi$ of
    those as printed, the periods are the same.

    >>> rates = orthant_rates(jnp.asarray([1.0, 1.0]))
    >>> print(np.asarray(rates).round(3))  # 3 of 4 signs agree
    [0.5 0.5]
    """
    return printed_rates(state) * (2 / np.pi)


def _one(transfer: Transfer, x: Scalar) -> Scalar:
    """The rate of one neuron."""
    return transfer(x[None])[0]


def _check_smooth(transfer: Transfer, closed: str) -> None:
    """Raise `ValueError` where rates jump: quadrature and steps in angle miss it."""
    low, high = -8.0, 8.0
    for cells in (200_000, 100, 100):  # into the cell where rates differ most
        x = np.linspace(low, high, cells + 1)
        with jax.ensure_compile_time_eval():
            rates = transfer(jnp.asarray(x, jnp.result_type(float)))
        if not concrete(rates):
            return
        jumps = np.abs(np.diff(np.asarray(rates)))
        low, high = x[np.argmax(jumps) :][:2]
    if np.max(jumps) > 1e-3:
        raise ValueError(
            f"`transfer` must be smooth; it jumps at {low:.3g}. Of a step there is "
            f"`{closed}`."
        )
