"""Three factors: units that only hear how well all of them did learn an answer."""

import jax
import jax.numpy as jnp

from plasticity_jax import simulate, System
from plasticity_jax.circuits import BernoulliLayer
from plasticity_jax.rules import Reinforce
from plasticity_jax.tasks import Drawn


def cue(key):
    """One of four."""
    return jnp.eye(4)[jax.random.randint(key, (), 0, 4)]


def reward(post, signals):
    """The share of units that answer as they should: two by two, to each cue."""
    return jnp.mean(post == jnp.repeat(signals.pre, 2), dtype=post.dtype)


key, rule = jax.random.key(0), Reinforce(2.0, time=0.1)
system = System(Drawn(cue), BernoulliLayer(reward=reward), {"three factors": rule})
end = simulate(system, system.start(jnp.zeros((8, 4)), key), key, steps=5000)[0]
print((end.synapses > 0).astype(int))
