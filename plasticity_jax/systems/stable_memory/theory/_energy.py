"""Energy of activity: anti-symmetric weights do no work."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import floating, not_negative


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]
Times = Float[Array, "*time"]
Transfer = Callable[[Vector], Array]


@floating
def tanh_energy(potential: Vector) -> Scalar:
    r"""$V = \sum_i \log\cosh x_i$, accurate near 0 and for large potentials.

    >>> print(f"{tanh_energy([0.0, 100.0]):.3f}")  # 100 - ln 2
    99.307
    """
    size = jnp.abs(potential)
    near = jnp.log1p(2 * jnp.sinh(jnp.minimum(size, 1.0) / 2) ** 2)
    far = size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2.0)
    return jnp.sum(jnp.where(size < 1, near, far))


@floating
def energy(transfer: Transfer, potential: Vector, *, nodes: int = 64) -> Scalar:
    r"""$V(x) = \sum_i\int_0^{x_i}\phi$ by Gauss-Legendre quadrature (section 5.3).

    For odd increasing `transfer` $\phi$: zero at the origin only. It is $\|x\|_1$ for
    the step function, `tanh_energy` for tanh.

    >>> print(f"{energy(jnp.sign, [1.0, -2.0]):.2f}")
    3.00
    """
    rule = np.stack(np.polynomial.legendre.leggauss(nodes)) / 2
    place, weight = jnp.asarray(rule, potential.dtype)
    rates = jax.vmap(lambda share: transfer(share * potential))(place + 0.5)
    return weight @ rates @ potential


@floating
def energy_slope(transfer: Transfer, weights: Matrix, potential: Vector) -> Scalar:
    r"""$\dot V = -\phi \cdot x + \phi \cdot W_S\phi$, without a stimulus.

    Only the symmetric part $W_S$ does work, so an imaginary memory alone cannot keep
    activity alive (section 5.3).

    >>> memory = [[0.0, 5.0], [-5.0, 0.0]]
    >>> print(f"{energy_slope(jnp.sign, memory, [1.0, -2.0]):.1f}")  # as without it
    -3.0
    """
    rate, symmetric = transfer(potential), (weights + weights.T) / 2
    return rate @ symmetric @ rate - rate @ potential


@floating
def energy_bounds(time: Times) -> tuple[Times, Times]:
    r"""$e^{-2t} \le V(t)/V(0) \le e^{-t}$ for tanh and anti-symmetric weights.

    Of any strength (section 5.3).

    >>> least, most = energy_bounds(1.0)
    >>> print(f"{least:.3f} {most:.3f}")
    0.135 0.368
    """
    time = not_negative("time", time)
    return jnp.exp(-2 * time), jnp.exp(-time)
