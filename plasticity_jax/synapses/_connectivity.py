"""Which synapses exist."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key

from .._interfaces import AbstractProjection, real, Scalar, Synapses


class Connected(AbstractProjection):
    """Synapses where `mask` is one, zero where it is 0.

    With masked initial weights that is the same as masking every rule and the noise.
    """

    mask: Synapses = eqx.field(converter=lambda mask: jax.tree.map(real, mask))

    def __call__(self, synapses: Synapses) -> Synapses:
        return jax.tree.map(jnp.multiply, self.mask, synapses)


def random_mask(
    shape: tuple[int, ...], density: Scalar | float, key: Key[Array, ""]
) -> Float[Array, "*shape"]:
    """Each entry 1 with probability `density`, independently, else 0.

    Raises `ValueError` unless `density` lies in [0, 1].
    """
    if not isinstance(density, Tracer) and not 0 <= np.asarray(density) <= 1:
        raise ValueError(f"`density` must lie in [0, 1]; got {density}.")
    return jnp.where(jr.uniform(key, shape) < density, 1.0, 0.0)
