"""Roots, ratios and powers at their singular points, spectra: NaN stays NaN.

Gradients are finite where the value is: at the singular point they are zero. The
conditions are true of 0 (or below) and false of NaN, so that NaN goes through; written
the other way round (`x > 0`) a lost run would look calm.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike


def root(x: Array) -> Array:
    """Square root; 0 with zero gradient at 0, NaN below."""
    zero = x == 0
    return jnp.where(zero, jnp.zeros_like(x), jnp.sqrt(jnp.where(zero, 1, x)))


def ratio(above: Array, below: Array, otherwise: ArrayLike = 0) -> Array:
    """`above / below`; `otherwise` where `below` is 0 and `above` is a number."""
    zero = below == 0
    found = above / jnp.where(zero, jnp.ones_like(below), below)
    instead = jnp.asarray(otherwise, found.dtype)
    return jnp.where(zero & ~jnp.isnan(found), instead, found)


def masked(mask: Array, x: Array) -> Array:
    """`mask * x`; 0 where the mask is 0, also of an `x` that is not finite there.

    The gradient by the mask is `x`, but 0 where that is dropped.
    """
    lost = (mask == 0) & ~jnp.isfinite(x)
    return mask * jnp.where(lost, jnp.zeros_like(x), x)


def power(base: Array, exponent: Any) -> Array:
    """`base ** exponent` of positive numbers; 0 with zero gradient at 0 and below.

    Also at the exponent 0, where 0 ** 0 would count what is not there. NaN to any
    power is NaN.
    """
    nothing = base <= 0
    raised = jnp.where(nothing, jnp.ones_like(base), base) ** exponent
    raised = jnp.where(jnp.isnan(base), base, raised)  # NaN ** 0 is 1
    return jnp.where(nothing, jnp.zeros_like(raised), raised)


def extent(x: Array, exponent: Any = 2) -> Array:
    """What to divide by before a power: the largest size along the last axis, kept.

    1 where its power is far from where precision ends, so that ordinary numbers keep
    their bits, and where all are 0 or one is infinite. NaN where one is. A constant
    under differentiation.
    """
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0)
    largest, exponent = jax.lax.stop_gradient((largest, exponent))
    far = jnp.abs(exponent * jnp.log2(largest)) > jnp.finfo(x.dtype).maxexp / 2
    far = (far & (largest != 0) & ~jnp.isinf(largest)) | jnp.isnan(largest)
    return jnp.where(far, largest, jnp.ones_like(largest))


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors, NaN where the symmetric matrix is not finite.

    LAPACK may make ordinary numbers of one that holds NaN.
    """
    lost = _lost(matrix)
    values, vectors = jnp.linalg.eigh(matrix)
    values = jnp.where(lost[..., 0], jnp.nan, values)
    return values, jnp.where(lost, jnp.nan, vectors)


def eigvalsh(matrix: Array) -> Array:
    """Eigenvalues of a symmetric matrix, NaN where it is not finite, as in `eigh`."""
    return jnp.where(_lost(matrix)[..., 0], jnp.nan, jnp.linalg.eigvalsh(matrix))


def _lost(matrix: Array) -> Array:
    return ~jnp.all(jnp.isfinite(matrix), axis=(-2, -1), keepdims=True)
