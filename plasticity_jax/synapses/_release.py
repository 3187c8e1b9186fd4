"""Bounds of release probabilities."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._interfaces import AbstractProjection, real, require, Scalar
from .._release import Stochastic


class ReleaseBounds(AbstractProjection):
    """Probabilities between `low` and `high`."""

    low: Scalar = eqx.field(default=0.25, converter=real)
    high: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, low=(0.0, 1.0), high=(0.0, 1.0))

    def __call__(self, synapses: Stochastic) -> Stochastic:
        bounded = jax.tree.map(
            lambda p: jnp.clip(p, self.low, self.high), synapses.probability
        )
        return Stochastic(synapses.strength, bounded)
