"""Synapses without activity."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Key

from .._arguments import real, require
from .._interfaces import AbstractCircuit, Scalar
from ..signals import Elapsed


class Resting(AbstractCircuit):
    """No activity: only time passes, `dt` a step.

    Offers `Elapsed`. Synapses: any pytree; the stimulus is not read and the activity is
    `None`.
    """

    dt: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, dt=(0.0, jnp.inf))

    def __call__(
        self, activity: None, synapses: object, stimulus: object, key: Key[Array, ""]
    ) -> tuple[None, Elapsed]:
        return activity, Elapsed(self.dt)
