"""Rules that are told their error, against their solutions, limits and bounds."""

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
from ..rules import Delta, Perceptron, PES
from ..tasks import Constant
from ._numbers import change, drift, KEY, uniform


def error_checks() -> Iterator[Check]:
    """Delta, perceptron and PES."""
    yield from _delta()
    yield from _perceptron()
    yield from _pes()


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
