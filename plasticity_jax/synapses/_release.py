"""Bounds of release probabilities."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._arguments import concrete
from .._interfaces import AbstractProjection, real, require, Scalar
from .._release import Stochastic


class ReleaseBounds(AbstractProjection):
    """Probabilities between `low` and `high`.

    Raises `ValueError` unless 0 <= `low` <= `high` <= 1; NaN where that is traced.
    """

    low: Scalar = eqx.field(default=0.25, converter=real)
    high: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, low=(0.0, 1.0), high=(0.0, 1.0))
        if concrete(self.low, self.high) and np.any(self.low > self.high):
            raise ValueError(
                f"`low` must not be above `high`; got {self.low} and {self.high}."
            )

    def __call__(self, synapses: Stochastic) -> Stochastic:
        low = jnp.where(self.low > self.high, jnp.nan, self.low)
        bounded = jax.tree.map(
            lambda p: jnp.clip(p, low, self.high), synapses.probability
        )
        return Stochastic(synapses.strength, bounded)
