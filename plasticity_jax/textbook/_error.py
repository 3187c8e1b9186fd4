"""Rules that are told their error, against their solutions, limits and bounds."""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PyTree

from .. import AbstractTask, simulate, State, System
from ..circuits import Layer
from ..experiment import Check, exact
from ..rules import Delta, Perceptron, PES, Reinforce
from ..signals import LayerSignals
from ..tasks import Constant
from ._numbers import change, drift, KEY, uniform


def error_checks() -> Iterator[Check]:
    """Delta, perceptron, PES and reinforcement."""
    yield from _delta()
    yield from _perceptron()
    yield from _pes()
    yield from _reinforce()


def _delta() -> Iterator[Check]:
    inputs, targets = uniform((6, 3), 1), uniform((6, 2), 2)
    wiener = (targets.T @ inputs) @ jnp.linalg.inv(inputs.T @ inputs)
    moved = wiener + drift(Delta(1.0), wiener, {"pre": inputs, "target": targets})
    yield exact("delta: stays at the solution", "Wiener", moved, wiener)
    size, rate = 3, 0.1
    corners = jnp.asarray(list(itertools.product((-1.0, 1.0), repeat=7)))

    def spread(square: float) -> Array:
        """Mean square of a weight's error after a step from `square`, enumerated."""

        def one(signs: Array) -> Array:
            weights, stimulus = square**0.5 * signs[None, :3], signs[3:6]
            shown = {"pre": stimulus, "target": signs[6:]}
            return jnp.mean((weights + change(Delta(rate), weights, shown)) ** 2)

        return jnp.mean(jax.vmap(one)(corners))

    none = spread(0.0)
    settled = none / (1 - (spread(1.0) - none))
    name, want = (
        "delta: misadjustment, inputs of signs",
        rate * size / (2 - rate * size),
    )
    yield exact(name, "eta N / (2 - eta N)", size * settled, want)


class _Cycle(AbstractTask):
    """Examples along the leading axis, one a step, over and over."""

    examples: PyTree

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        del key
        count = len(jax.tree.leaves(self.examples)[0])
        return jax.tree.map(lambda x: x[step % count], self.examples)


def _changed(state: State, signals: Any, changes: dict[str, Array]) -> Array:
    del state, signals
    return jnp.any(changes["it"] != 0)


def _mistakes(inputs: Array, labels: Array, sweeps: int) -> int:
    """How often the perceptron changed, from weights of zero."""
    task = _Cycle({"pre": inputs, "target": labels[:, None]})
    system = System(task, Layer(), {"it": Perceptron()})
    start = State(None, jnp.zeros((1, inputs.shape[1])))
    steps = sweeps * len(inputs)
    _, seen = simulate(system, start, KEY, steps=steps, record=_changed)
    return int(np.sum(np.asarray(seen)))


def _perceptron() -> Iterator[Check]:
    labels = jnp.asarray([1.0, -1.0, -1.0, 1.0, -1.0])
    found = _mistakes(jnp.eye(5), labels, 10)
    yield exact("perceptron: mistakes, orthonormal inputs", "Novikoff 1962", found, 5)
    inputs, truth = uniform((30, 4), 7), uniform((4,), 8)
    far = np.asarray(jnp.abs(inputs @ truth) / jnp.linalg.norm(truth) > 0.1)
    found = _mistakes(inputs[far], jnp.sign(inputs[far] @ truth), 50)
    yield exact("perceptron: mistakes at given numbers", "NumPy", found, 6)


def _pes() -> Iterator[Check]:
    size, dt, rate, steps = 20, 1e-3, 0.01, 20
    rates, target = uniform((size,), 8, 0.0, 200.0), jnp.asarray([0.7])
    gain = rate * dt * rates @ rates / size
    filtered = 1 - jnp.exp(-dt / 5e-3) ** jnp.arange(1, steps + 1)
    for name, time, share in (("at once", 1e-9, 1.0), ("filtered", 5e-3, filtered)):
        task = Constant({"pre": rates, "target": target})
        system = System(task, Layer(dt=dt), {"it": PES(rate, time)})
        start = system.start(jnp.zeros((1, size)), KEY)
        end, _ = simulate(system, start, KEY, steps=steps, every=steps)
        want = -target * jnp.prod((1 - gain * share) * jnp.ones(steps))
        found = end.synapses @ rates - target
        yield exact(f"PES: error after 20 steps, {name}", "product", found, want)


def _reinforce() -> Iterator[Check]:
    """Three units by all their eight states; what they earn is linear, or a parity."""
    inputs, weights = uniform((3,), 11), uniform((3, 3), 12)
    gains, known = uniform((3,), 13), 0.4
    chance = jax.nn.sigmoid(weights @ inputs)
    states = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=3)))
    mass = jnp.prod(jnp.where(states > 0, chance, 1 - chance), axis=1)
    spread = chance * (1 - chance)
    linear = lambda state: known + gains @ state
    parity = lambda state: jnp.prod(1 - 2 * state)

    def moved(state: Array, reward: Any, baseline: Any) -> Array:
        shown = {"rate": chance, "reward": reward(state)}
        signals = LayerSignals(jnp.ones(()), inputs, chance, state, spread, shown)
        score = jnp.outer(state - chance, inputs)
        traces = {"eligibility": score, "reward": jnp.asarray(baseline)}
        here = dataclasses.replace(signals, traces=traces)
        return Reinforce(1.0)(weights, here, KEY)

    def mean(reward: Any, baseline: Any, power: int = 1) -> Array:
        each = jax.vmap(lambda state: moved(state, reward, baseline) ** power)(states)
        return jnp.tensordot(mass, each, 1)

    expected = lambda reward, w: jnp.sum(
        jax.vmap(lambda s: reward(s) * _chance(s, w @ inputs))(states)
    )
    for name, reward in {"linear": linear, "parity": parity}.items():
        want = jax.grad(lambda w, r=reward: expected(r, w))(weights)
        source = "Williams 1992: gradient of E R"
        yield exact(f"reinforce: mean, {name}", source, mean(reward, 0.3), want)
    for baseline, want in ((0.0, 0.0616245), (known + gains @ chance, 0.0329426)):
        square = mean(linear, baseline, 2) - mean(linear, baseline) ** 2
        name = f"reinforce: variance, baseline {float(baseline):.2g}"
        yield exact(name, "enumerated", jnp.sum(square), want, 1e-5)
    noise = sum(
        spread[i]
        * (
            gains[i] ** 2 * (1 - 2 * chance[i]) ** 2
            + jnp.sum(gains**2 * spread)
            - gains[i] ** 2 * spread[i]
        )
        for i in range(3)
    )
    best = known + gains @ chance
    square = jnp.sum(mean(linear, best, 2) - mean(linear, best) ** 2)
    name = "reinforce: variance grows with the units"
    yield exact(name, "closed form", square, inputs @ inputs * noise)


def _chance(state: Array, field: Array) -> Array:
    p = jax.nn.sigmoid(field)
    return jnp.prod(jnp.where(state > 0, p, 1 - p))
