"""Changes that no signal causes."""

import jax.numpy as jnp
from jaxtyping import Array, Key

from .._interfaces import AbstractRule, AbstractSignals, Synapses
from ..numerics import normal_like, tree_scale


class Wiener(AbstractRule):
    """Independent Brownian increments: variance `dt` per synapse and step.

    Reads `dt`. Synapses: any pytree.
    """

    def __call__(
        self, synapses: Synapses, signals: AbstractSignals, key: Key[Array, ""]
    ) -> Synapses:
        return tree_scale(jnp.sqrt(signals.dt), normal_like(key, synapses))
