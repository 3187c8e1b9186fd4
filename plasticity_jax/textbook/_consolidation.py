"""What older tasks needed: path integrals and sensitivities against closed forms."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, Key

from .. import AbstractTask, simulate, State, System
from ..circuits import LossCircuit
from ..curvature import sensitivity
from ..experiment import Check, exact, expectation
from ..rules import Descent, ElasticPenalty, Scaled, SynapticIntelligence
from ..tasks import Constant
from ._numbers import KEY, uniform


CURVATURES = (2.0, 1.0, 0.1)
RATE, STEPS = 0.1, 20


def consolidation_checks() -> Iterator[Check]:
    """Synaptic intelligence and memory-aware synapses."""
    yield from _paths()
    yield from _consolidated(jnp.asarray(CURVATURES))
    yield from _after_two()
    yield from _noise()
    yield from _sensitivity()


def _bowl(weights: Array, _: Any) -> Array:
    return jnp.sum(jnp.asarray(CURVATURES) * (weights - 1) ** 2) / 2


def _never(signals: Any) -> bool:
    del signals
    return False


def _descended(
    memory: SynapticIntelligence,
    loss: Any,
    weights: Array,
    steps: int = STEPS,
    task: AbstractTask | None = None,
) -> State:
    """The state after gradient descent with this memory."""
    rules = {"learning": Scaled(Descent(), RATE), "memory": memory}
    system = System(task or Constant(None), LossCircuit(loss), rules)
    start = system.start(weights, KEY)
    return simulate(system, start, KEY, steps=steps, every=steps)[0]


def _in_the_bowl(damping: float, steps: int = STEPS) -> State:
    """The state after a task that ends with the last step."""
    last = lambda signals: signals.step == steps - 1
    memory = SynapticIntelligence(RATE, last, damping=damping)
    return _descended(memory, _bowl, jnp.zeros(3), steps)


def _paths() -> Iterator[Check]:
    memory = SynapticIntelligence(RATE, _never)
    root = uniform((3, 3), 5)
    matrix, aim = root.T @ root + jnp.eye(3), uniform((3,), 6)
    loss = lambda w, _: (w - aim) @ matrix @ (w - aim) / 2
    way = [uniform((3,), 7)]
    for _ in range(STEPS):
        way.append(way[-1] - RATE * matrix @ (way[-1] - aim))
    steps = jnp.diff(jnp.stack(way), axis=0)
    found = jnp.sum(_descended(memory, loss, way[0]).traces["memory"]["path"].earned)
    want = (
        loss(way[0], None) - loss(way[-1], None) + jnp.sum(steps @ matrix * steps) / 2
    )
    name = "SI: path integral on a quadratic"
    yield exact(name, "Zenke et al. 2017: fall of the loss", found, want)
    found = _descended(memory, _bowl, jnp.zeros(3)).traces["memory"]["path"].earned
    curved = jnp.asarray(CURVATURES)
    left = (1 - RATE * curved) ** STEPS
    want = curved * (1 - left**2) / (2 - RATE * curved)
    yield exact("SI: path integral of each synapse", "closed form", found, want)
    want = jnp.asarray([1.11096, 0.518536, 0.0166346])
    yield exact("SI: the same at given numbers", "NumPy", found, want, 1e-5)


def _consolidated(curved: Array) -> Iterator[Check]:
    importance = lambda end: end.traces["memory"]["path"].importance
    name, want = "SI: importance at given numbers", (1.03146, 0.594906, 0.124924)
    found = importance(_in_the_bowl(0.1))
    yield exact(name, "NumPy", found, jnp.asarray(want), 1e-5)
    found, want = importance(_in_the_bowl(0.0)), (1.13703, 0.672003, 0.501678)
    yield exact(f"{name}, undamped", "NumPy", found, jnp.asarray(want), 1e-5)
    left = (1 - RATE * curved) ** STEPS
    want = curved * (1 + left) / ((2 - RATE * curved) * (1 - left))
    yield exact("SI: importance, undamped", "closed form", found, want)
    end = _in_the_bowl(0.0, 5000)
    memory = SynapticIntelligence(RATE, _never)
    flat = LossCircuit(lambda weights, _: jnp.sum(0 * weights))
    away = State(None, end.synapses + 1, end.step, end.traces)
    pulled, _ = simulate(
        System(Constant(None), flat, {"memory": memory}), away, KEY, steps=1
    )
    found = (away.synapses - pulled.synapses) / RATE
    want = curved / (1 - RATE * curved / 2)
    yield exact("SI: c = 1 restores the curvature", "H / (1 - eta H / 2)", found, want)


class _Two(AbstractTask):
    """Where the bowl stands: at 1 for as many steps as a task has, then at -1."""

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        del key
        return jnp.where(step < STEPS, 1.0, -1.0)


def _after_two() -> Iterator[Check]:
    curved, damping, weights = np.asarray(CURVATURES), 0.1, np.zeros(3)
    importance, anchor = np.zeros(3), np.zeros(3)
    for aim in (1.0, -1.0):
        earned = np.zeros(3)
        for _ in range(STEPS):
            slope = curved * (weights - aim)
            step = -RATE * (slope + 2 * importance * (weights - anchor))
            earned, weights = earned - slope * step, weights + step
        importance = importance + earned / ((weights - anchor) ** 2 + damping)
        anchor = weights
    ends = lambda signals: (signals.step + 1) % STEPS == 0
    memory = SynapticIntelligence(RATE, ends, damping=damping)
    loss = lambda weights, aim: jnp.sum(curved * (weights - aim) ** 2) / 2
    end = _descended(memory, loss, jnp.zeros(3), 2 * STEPS, _Two())
    source = "Zenke et al. 2017, step by step"
    yield exact("SI: weights after two tasks", source, end.synapses, weights)
    found = end.traces["memory"]["path"].importance
    yield exact("SI: importance after two tasks", source, found, importance)


class _Noise(AbstractTask):
    """A slope that is nothing but noise."""

    spread: Array

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        del step
        return self.spread * jr.normal(key, self.spread.shape)


def _noise() -> Iterator[Check]:
    spread = jnp.full(4000, 0.7)
    memory, loss = SynapticIntelligence(RATE, _never), lambda w, noise: noise @ w
    end = _descended(memory, loss, 0 * spread, task=_Noise(spread))
    found = end.traces["memory"]["path"].earned
    want = STEPS * RATE * 0.7**2
    yield expectation("SI: what noise seems to earn", "eta v a step", found, want)


def _sensitivity() -> Iterator[Check]:
    source = "Aljundi et al. 2018"
    inputs, weights = uniform((5, 3), 15), uniform((2, 3), 16)
    linear = lambda w, x: w @ x
    found = sensitivity(linear, weights, inputs)
    sizes = jnp.abs(inputs @ weights.T)[:, :, None] * jnp.abs(inputs)[:, None]
    want = 2 * jnp.mean(sizes, axis=0).ravel()
    yield exact("MAS: a linear layer", f"{source}: 2 |y| |x|", found, want)
    total = jnp.sum(found)
    yield exact("MAS: its sum at given numbers", "NumPy", total, 2.29555, 1e-5)
    importance, away = found.reshape(2, 3), weights + 1
    loss = lambda w: jnp.sum(importance * (w - weights) ** 2)
    penalty = ElasticPenalty(RATE, 1.0, 2 * importance, 2 * importance * weights)
    _, signals = LossCircuit(lambda w, _: loss(w))(None, away, None, KEY)
    pull, want = penalty(away, signals, KEY), -RATE * jax.grad(loss)(away)
    yield exact("MAS: the elastic pull", f"{source}: slope of its loss", pull, want)
    widths, row = jnp.asarray([0.5, 1.0, 2.0]), weights[0]
    whole = jnp.linalg.norm(row * widths)
    share = row * widths / whole
    bent = jnp.sqrt(1 - share**2) + share * jnp.arcsin(share)
    drawn = widths[None, None] * jr.normal(KEY, (2000, 10, 3))
    each = jax.vmap(lambda inputs: sensitivity(jnp.dot, row, inputs))(drawn)
    for i, want in enumerate(4 / jnp.pi * whole * widths * bent):
        name = f"MAS: normal inputs, synapse {i}"
        yield expectation(name, "closed form", each[:, i], want)
