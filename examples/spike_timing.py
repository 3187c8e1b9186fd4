"""Spike timing: a leaky neuron learns which of its inputs fire together."""

import jax
import jax.numpy as jnp

from plasticity_jax import simulate, System
from plasticity_jax.circuits import LeakyNetwork
from plasticity_jax.rules import STDP
from plasticity_jax.synapses import Bounded
from plasticity_jax.tasks import Drawn


def inputs(key):
    """A hundred at 20 Hz; the first twenty fire together."""
    drawn = jax.random.bernoulli(key, 0.02, (101,)).astype(float)
    return drawn[1:].at[:20].set(drawn[0])


key, rule = jax.random.key(0), STDP(0.01, 0.0115, most=4.0)
system = System(Drawn(inputs), LeakyNetwork(), {"stdp": rule}, (Bounded(0.0, 4.0),))
start = system.start(jnp.full((1, 100), 2.0), key)
weights = simulate(system, start, key, steps=60_000)[0].synapses[0]
print(f"together {weights[:20].mean():.2f}, the others {weights[20:].mean():.2f}")
assert weights[:20].mean() > 1.5 * weights[20:].mean()
