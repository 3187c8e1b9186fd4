"""How much of the possible robustness does my own replay policy reach?

Neurons consolidate random patterns with two-factor synapses: by replaying the weakest
pattern, a random one, or, as written here, the weakest of a few that come to mind. Each
neuron is compared with its exact optimum, a linear programme.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from plasticity_jax import simulate
from plasticity_jax.circuits import AbstractChoice, RandomReplay, WeakestReplay
from plasticity_jax.measure import (
    degenerate,
    density,
    largest_l1_margin,
    margins,
    noise_ratio,
)
from plasticity_jax.systems.two_factor_consolidation import build, Config


class FewComeToMind(AbstractChoice):
    """The weakest of the patterns that each neuron happens to think of."""

    share: jax.Array

    def choose(self, candidates, key):
        margins = candidates.margins  # infinite where nothing is stored
        thought_of = jr.uniform(key, margins.shape) < self.share
        return jnp.argmin(jnp.where(thought_of, margins, jnp.inf), axis=1)


def consolidate(system, state, key, cycles):
    """Fields of the patterns and weights of the neurons when the night is over."""
    end, _ = simulate(system, state, key, steps=cycles, every=cycles)
    memories = system.task(state.step, key)
    weights = system.circuit.parametrisation.weights(end.synapses.factors)
    return system.circuit.fields(end.synapses, memories), weights


if __name__ == "__main__":
    config = Config(size=100, rows=20, patterns=25)
    system, state = build(config, jr.key(0))
    memories = system.task(state.step, jr.key(0))
    kept = np.flatnonzero(~np.asarray(degenerate(memories.targets)))
    best = [
        largest_l1_margin(memories.patterns, memories.targets[i], own=int(i)).margin
        for i in kept
    ]
    policies = {
        "the weakest pattern": WeakestReplay(),
        "the weakest of half": FewComeToMind(jnp.asarray(0.5)),
        "the weakest of a tenth": FewComeToMind(jnp.asarray(0.1)),
        "a random pattern": RandomReplay(),
    }
    for name, policy in policies.items():
        circuit = dataclasses.replace(system.circuit, policy=policy)
        mine = dataclasses.replace(system, circuit=circuit)
        fields, weights = consolidate(mine, state, jr.key(1), config.cycles)
        margin = margins(fields, memories.targets)
        reached = np.asarray(noise_ratio(margin, weights, 1.0))[kept] / best
        print(
            f"{name:24}robustness {reached.mean():7.3f} of the optimum, "
            f"{float(density(weights)[kept].mean()):.2f} of all synapses left"
        )
