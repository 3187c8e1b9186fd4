"""Release probabilities that disturb a loss least."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import check_finite, floating, probability


Vector = Float[Array, " w"]


@floating
def best_release(curvature: Vector, weights: Vector, mean: Scalar) -> Vector:
    r"""Release probabilities of this mean that disturb a loss least.

    They make $\sum_i h_i w_i^2(1 - p_i)/p_i$ least, the error that release noise of
    variance $w^2(1 - p)/p$ adds for curvatures $h_i$: $p_i$ is in proportion to
    $|w_i|\sqrt{h_i}$, and at most 1. There what exceeds 1 is shared by the others.

    >>> print(*(f"{p:.1f}" for p in best_release([1.0, 1.0], [1.0, -3.0], 0.4)))
    0.2 0.6
    >>> print(*(f"{p:.1f}" for p in best_release([1.0, 1.0], [1.0, -3.0], 0.8)))
    0.6 1.0
    """
    check_finite("weights", weights)
    mean = probability("mean", mean)
    need = jnp.abs(weights) * jnp.sqrt(jnp.maximum(curvature, 0))

    def share(_: Array, sure: Array) -> Array:
        left = mean * len(need) - jnp.sum(sure.astype(need.dtype))
        scale = left / jnp.maximum(jnp.sum(jnp.where(sure, 0, need)), 1e-300)
        return sure | (scale * need >= 1)

    sure = jax.lax.fori_loop(0, len(need), share, jnp.zeros(len(need), bool))
    left = mean * len(need) - jnp.sum(sure.astype(need.dtype))
    rest = jnp.maximum(jnp.sum(jnp.where(sure, 0, need)), 1e-300)
    return jnp.where(sure, 1.0, left * need / rest)
