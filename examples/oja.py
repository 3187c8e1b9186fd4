"""Oja's rule finds the leading direction of its inputs."""

import jax
import jax.numpy as jnp

from plasticity_jax import simulate, System
from plasticity_jax.circuits import Layer
from plasticity_jax.rules import Oja
from plasticity_jax.tasks import Drawn


def inputs(key):
    """Normal ones, ten times as wide along one direction as along the others."""
    wide = jnp.ones(20) / 20**0.5
    each, common = jax.random.split(key)
    return jax.random.normal(each, (20,)) + 9 * jax.random.normal(common) * wide


key = jax.random.key(0)
system = System(Drawn(inputs), Layer(), {"oja": Oja(1e-3)})
start = system.start(0.1 * jax.random.normal(key, (1, 20)), key)
weights = simulate(system, start, key, steps=2000)[0].synapses[0]
overlap = abs(weights.sum()) / 20**0.5 / jnp.linalg.norm(weights)
print(f"length {jnp.linalg.norm(weights):.3f}, overlap {overlap:.3f}")
assert overlap > 0.99
