"""Does a memory survive my own homeostatic rule?

A network whose synapses fluctuate is given a memory, once as a real eigenvalue and once
as an imaginary pair, under published rate control and under a rule written here: what
connects active neurons decays.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr

from plasticity_jax import AbstractRule, simulate
from plasticity_jax.measure import plane_basis, rotation
from plasticity_jax.rules import Scaled
from plasticity_jax.systems.stable_memory import (
    build,
    Config,
    draw_planes,
    embed,
    imaginary_memory,
    real_memory,
)


class ActiveDecay(AbstractRule):
    """Synapses from active to active neurons decay; silent ones are left alone."""

    def __call__(self, synapses, signals, key):
        active = signals.rate**2
        return -signals.dt * jnp.outer(active, active) * synapses


def weights(state, signals, changes):
    """What to record."""
    return state.synapses


def remembered(config, key, own_rule):
    """Strength of both memories, over their initial one, at ten times."""
    for_build, for_run, for_planes, for_kick = jr.split(key, 4)
    system, state = build(config, for_build)
    if own_rule is not None:
        rules = {**system.rules, "homeostasis": Scaled(own_rule, config.plasticity)}
        system = dataclasses.replace(system, rules=rules)
    u, v = plane_basis(*draw_planes("binary", 1, config.size, for_planes)[0])
    results = []
    for memory, strength in (
        (real_memory(u, config.strength), lambda w: u @ w @ u),
        (imaginary_memory(u, v, config.strength), lambda w: rotation(w, u, v)),
    ):
        start = embed(config, system, state, memory, for_kick)
        _, course = simulate(
            system, start, for_run, steps=1000, record=weights, every=100
        )
        results.append(jax.vmap(strength)(course) / config.strength)
    return jnp.stack(results)


if __name__ == "__main__":
    config = Config(homeostasis="rate_control", initial_gain=0.0, size=64)
    keys = jr.split(jr.key(0), 4)
    for name, own_rule in (("rate control", None), ("my own rule", ActiveDecay())):
        runs = jax.jit(
            jax.vmap(lambda key, rule=own_rule: remembered(config, key, rule))
        )
        real, imaginary = runs(keys).mean(axis=0)
        print(f"{name:14} after 10, 50, 100 neural time constants:", end=" ")
        for kind, course in (("real", real), ("imaginary", imaginary)):
            kept = ", ".join(f"{float(course[i]):.2f}" for i in (0, 4, 9))
            print(f"{kind} {kept}", end="   ")
        print()
