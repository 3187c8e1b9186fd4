"""Imaginary memories under rate control where activity rests, for `verify`."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from .... import simulate, State
from ....experiment import Check, exact, together
from ....measure import rotation
from ....synapses import Dale
from .. import theory
from ..config import build, Config, network_of
from ..patterns import draw_planes, imaginary_memory


STEPS = 600
CONFIG = Config(size=16, plasticity=0.02, noise=0.0, transfer="softplus")


@together
def rest_checks() -> Iterator[Check]:
    """Section 10, non-negative rates; run them in double precision."""
    keys = jr.split(jr.key(0), 6)
    for_build, for_plane, for_starts, for_run, for_signs, for_weights = keys
    system, _ = build(CONFIG, for_build)
    restraint: Any = system.rules["homeostasis"]
    targets, network = restraint.rule.target, network_of(CONFIG)
    still = dataclasses.replace(system, rules={})
    plane = draw_planes("binary", 1, CONFIG.size, for_plane, orthonormal=True)[0]
    memory = imaginary_memory(plane[0], plane[1], 4.5)
    record = lambda state, *_: rotation(state.synapses, plane[0], plane[1]) / 4.5

    def run(system: Any, potential: Array) -> tuple[Array, Array]:
        start = State(network.at(potential), memory)
        end, course = simulate(system, start, for_run, steps=STEPS, record=record)
        return end.activity.potential, course

    starts = 9.0 * jr.normal(for_starts, (2, CONFIG.size))
    rests, _ = jax.vmap(lambda potential: run(still, potential))(starts)
    yield exact("softplus: any activity comes to one rest", "10.4", *rests)
    rest, course = run(system, rests[0])
    yield exact("rate control does not move it", "10.4", rest, rests[0])
    rates = jax.nn.softplus(rests[0])
    times = CONFIG.step * (1 + jnp.arange(STEPS))
    want = theory.resting_rotation(CONFIG, rates, targets, plane, times)
    yield exact("share that it leaves of an imaginary memory", "10.4", course, want)
    signs = jr.rademacher(for_signs, targets.shape, dtype=float)
    lawful = dataclasses.replace(system, projections=(Dale(signs),))
    silent = jnp.full(CONFIG.size, math.log(2.0))  # softplus of no input
    below = jnp.where(targets > silent, 1e-12, 0.0)  # where the law holds none at 0
    weights = below[:, None] * signs[None] * jr.uniform(for_weights, memory.shape)
    start = State(network.at(jnp.zeros(CONFIG.size)), weights)
    total = lambda state, *_: silent @ state.synapses
    _, course = simulate(lawful, start, for_run, steps=2, record=total)
    growth = 1 + CONFIG.step * theory.lawful_growth(CONFIG, silent, targets)
    got = course[1] / course[0]
    yield exact("growth of weights of fixed signs", "10.4", got, growth)
