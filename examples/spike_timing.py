"""Spike timing: a leaky neuron learns which of its inputs fire together."""

import jax
import jax.numpy as jnp

from plasticity_jax import AbstractTask, simulate, System
from plasticity_jax.circuits import LeakyNetwork
from plasticity_jax.rules import STDP
from plasticity_jax.synapses import Bounded


class Inputs(AbstractTask):
    """A hundred inputs at 20 Hz; the first twenty fire together."""

    def __call__(self, step, key):
        alone, together = jax.random.split(key)
        drawn = jax.random.bernoulli(alone, 0.02, (100,))
        return drawn.at[:20].set(jax.random.bernoulli(together, 0.02)).astype(float)


key = jax.random.key(0)
rule = STDP(0.01, 0.0115, most=4.0)
system = System(Inputs(), LeakyNetwork(), {"stdp": rule}, (Bounded(0.0, 4.0),))
start = system.start(jnp.full((1, 100), 2.0), key)
end, _ = simulate(system, start, key, steps=60_000, every=60_000)
together, alone = end.synapses[0, :20].mean(), end.synapses[0, 20:].mean()
print(f"mean weight: {together:.2f} of those together, {alone:.2f} of the others")
assert together > 1.5 * alone
