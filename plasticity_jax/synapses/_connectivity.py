"""Which synapses exist."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._arguments import check_binary, check_range, fitted, floating, real, whole
from .._interfaces import AbstractProjection, Scalar, Synapses
from ..numerics import masked


class Connected(AbstractProjection):
    """Synapses where `mask` is one, zero where it is 0, also where they are infinite.

    With masked initial weights that is the same as masking every rule and the noise.
    Raises `ValueError` unless the mask is 0 or 1 and shaped like the synapses.
    """

    mask: Synapses = eqx.field(converter=lambda mask: jax.tree.map(real, mask))

    def __check_init__(self) -> None:
        for leaf in jax.tree.leaves(self.mask):
            check_binary("mask", leaf)

    def __call__(
        self, synapses: Synapses, signals: Any = None, key: Any = None
    ) -> Synapses:
        mask = fitted("`mask`", self.mask, synapses)
        return jax.tree.map(masked, mask, synapses)


@floating
def random_mask(
    shape: tuple[int, ...], density: Scalar, key: Key[Array, ""]
) -> Float[Array, "*shape"]:
    """Each entry 1 with probability `density`, independently, else 0.

    Raises `ValueError` unless `density` lies in [0, 1]; NaN where it is traced.
    """
    check_range("density", density, 0, 1)
    shape = tuple(whole("shape", size, 1) for size in shape)
    drawn = jr.uniform(key, shape)
    mask = jnp.where(drawn < density.astype(drawn.dtype), 1.0, 0.0)
    return jnp.where((density >= 0) & (density <= 1), mask, jnp.nan)
