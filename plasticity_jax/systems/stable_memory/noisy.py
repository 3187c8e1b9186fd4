r"""Memories among random synapses: factors exactly, noise by its resolvent.

$W = UDU^\top + RG$ with orthonormal $U$ and independent entries of $G$ of variance
$1/N$. For large $N$, and $|z|$ above the `radius` $R$ of the bulk, $U^\top(z -
RG)^{-1}U = 1/z$ and $U^\top[(z - RG)(z - RG)^\dagger]^{-1}U = 1/(|z|^2 - R^2)$. What is
asked of a network of $10^4$ neurons then needs the core $D$ alone; the error of a
single one falls as $1/\sqrt N$. Beyond the paper (specification, section 10).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from ... import Scalar
from ..._arguments import admit, floating, not_negative


Core = Float[Array, "k k"]


@floating
def outlier_overlap(radius: Scalar, strength: Scalar) -> Scalar:
    r"""$\sqrt{1 - R^2/|\lambda|^2}$ of a memory's eigenvector with its own plane.

    `strength` is $|\lambda|$: an eigenvalue of the core, which noise does not move. In
    the bulk there is no such eigenvector: `ValueError`, or NaN.

    >>> print(f"{outlier_overlap(3.0, 5.0):.2f}")
    0.80
    """
    radius = not_negative("radius", radius)
    must = f"exceed the radius of the bulk, {radius}"
    strength = admit("strength", strength, strength <= radius, must)
    return jnp.sqrt(1 - (radius / strength) ** 2)


class Response(NamedTuple):
    r"""What a small stimulus elicits: overlaps with the planes, and what is elsewhere.

    `overlaps` are $U^\top x$; `outside` is the length of the rest of $x$.

    >>> response = linear_response(jnp.zeros((2, 2)), 0.6, 0.0, [1.0, 0.0])
    >>> print(f"{response.outside:.2f}")  # noise alone: R / sqrt(1 - R^2)
    0.75
    """

    overlaps: Complex[Array, " k"]
    outside: Scalar


@floating
def linear_response(
    core: Core, radius: Scalar, frequency: Scalar, stimulus: Float[Array, " k"]
) -> Response:
    r"""Activity of $\dot x = -x + Wx + U b\,e^{i\omega t}$, over $e^{i\omega t}$.

    With $z = 1 + i\omega$ the overlaps are $(z - D)^{-1}b$ whatever the noise, and
    noise spreads $R^2/(|z|^2 - R^2)$ times their square length over all other
    directions. Bulks of a radius of $|z|$ or more are refused: `ValueError`, or NaN.

    >>> response = linear_response(0.5 * jnp.eye(2), 0.0, 0.0, [1.0, 0.0])
    >>> print(f"{response.overlaps[0].real:.2f}")  # amplified: 1 / (1 - 0.5)
    2.00
    """
    square = 1 + frequency**2
    must = f"not be negative, and below |1 + i frequency|, {jnp.sqrt(square)}"
    wrong = (radius < 0) | (radius**2 >= square)
    radius = admit("radius", radius, wrong, must)
    shift = jax.lax.complex(jnp.ones_like(frequency), frequency)
    matrix = shift * jnp.eye(len(core), dtype=shift.dtype) - core.astype(shift.dtype)
    inside = jnp.linalg.solve(matrix, stimulus.astype(shift.dtype))
    power = jnp.sum(jnp.abs(inside) ** 2)
    return Response(inside, jnp.sqrt(power * radius**2 / (square - radius**2)))
