"""Three students of a spiking neuron in plain NumPy, to measure the library by.

As good as NumPy gets when vectorised over trials: float32, buffers reused, spikes from
the quarters of raw 64-bit words, Fisher coefficients kept between refreshes. Used by
`spiking.py`.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from plasticity_jax.systems.natural_gradient.config import build, Config


Moved = dict[str, np.ndarray]  # by each student, in every trial
NODES, REACH = 25, 7.5


def fisher_coefficients(w: np.ndarray, neuron: Any) -> tuple[np.ndarray, ...]:
    """c1, g1, g2, g4 of every trial, as `curvature.glm_coefficients` has them."""
    transfer, moments = neuron.transfer, jax.tree.map(np.asarray, neuron.moments)
    mu, square = w @ moments.mean, (w * w) @ moments.variance
    q = np.sum(moments.mean**2 / moments.variance)
    z = np.linspace(-REACH, REACH, NODES, dtype=np.float32)
    weights = np.exp(-(z**2) / 2)
    weights /= weights.sum()
    voltage = mu[:, None] + np.sqrt(square)[:, None] * z
    scaled = transfer.slope * (voltage - transfer.threshold)
    s, opposite = 1 / (1 + np.exp(-scaled)), 1 / (1 + np.exp(scaled))
    density = transfer.maximum * transfer.slope**2 * s * opposite**2
    c1 = density @ weights
    a = transfer.slope * (density * (1 - 3 * s)) @ weights / c1
    b = transfer.slope**2 * (density * (1 - 9 * s + 12 * s * s)) @ weights / c1
    delta = b - a * a
    wide = 1 + delta * square
    d = 1 + 2 * a * mu + b * square - delta * mu * mu + q * wide
    return c1, -wide / d, -(a - delta * mu) / d, -(b + delta * q) / d


def numpy_run(config: Config, keys: jax.Array) -> Callable[[], Moved]:
    """All three students in all trials, from the library's own start."""
    built: Any = jax.jit(jax.vmap(lambda key: build(config, key)))(keys)
    start = np.asarray(built[1].synapses["natural"])
    teacher = np.asarray(built[0].circuit.neuron.teacher)
    alone: Any = build(config, keys[0])[0].circuit
    neuron = jax.tree.map(np.asarray, alone.neuron)
    keep, drive, fade = (np.asarray(x) for x in neuron.kernel.propagator(neuron.dt))
    steps, dt = round(config.seconds / config.step), neuron.dt
    most, slope, middle = jax.tree.leaves(neuron.transfer)
    moments = jax.tree.map(np.asarray, neuron.moments)
    precision, scale = 1 / moments.variance, moments.mean / moments.variance
    threshold = np.round(neuron.rates * dt * 2**16).astype(np.uint16)
    learning = config.euclidean_rate, config.natural_rate, config.approximate_rate
    learning = np.array(learning, np.float32)[:, None]
    c_u, c_w = np.float32(config.uniform), np.float32(config.proportional)
    spikes = np.empty(start.shape, bool)
    x, current, scaled, change = (np.empty(start.shape, "f") for _ in range(4))

    def move(w: np.ndarray, step: Any, uniform: Any, proportional: Any) -> None:
        """Add step (scaled - uniform scale + proportional w) to w."""
        np.multiply(w, (1 + step * proportional)[:, None], out=w)
        np.add(w, np.multiply(scaled, step[:, None], out=change), out=w)
        np.multiply.outer(step * uniform, scale, out=change)
        np.subtract(w, change, out=w)

    def run() -> Moved:
        random = np.random.Generator(np.random.SFC64(0))
        weights = np.stack([teacher, start, start, start])
        _, euclidean, natural, approximate = weights
        x[:], current[:], held = 0, 0, None
        for step in range(steps):
            if held is None or step % neuron.refresh == 0:
                held = [fisher_coefficients(w, neuron) for w in weights[2:]]
            (c1, g1, g2, g4), (own_c1, *_) = held
            np.multiply(x, keep, out=x)
            np.add(x, np.multiply(current, drive, out=change), out=x)
            words = random.bit_generator.random_raw(-(-spikes.size // 4))
            quarters = words.view(np.uint16)[: spikes.size].reshape(spikes.shape)
            np.less(quarters, threshold, out=spikes)
            np.multiply(current, fade, out=current)
            np.add(current, spikes, out=current)
            voltage = np.vecdot(weights, x)
            silent = 1 / (1 + np.exp(slope * (voltage - middle)))
            chance = most * dt * (1 - silent)
            target = random.random(len(start), np.float32) < chance[0]
            factor = learning * slope * (target - chance[1:]) * silent[1:]
            np.multiply(x, factor[0, :, None], out=change)
            np.add(euclidean, change, out=euclidean)
            np.multiply(x, precision, out=scaled)
            total, v = x @ scale, voltage[2]
            move(natural, factor[1] / c1, -g1 * total - g2 * v, g2 * total + g4 * v)
            move(approximate, factor[2] / own_c1, c_u, c_w * voltage[3])
        ends = zip(config.students, weights[1:], strict=True)
        return {k: np.linalg.norm(w - start, axis=1) for k, w in ends}

    return run
