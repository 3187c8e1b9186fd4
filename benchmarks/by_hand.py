"""One run of the steady-state experiment in plain NumPy, to measure the library by.

As good as NumPy gets without batching runs: targets computed once, buffers reused, all
noise of a step in one draw, float32 throughout. Used by `steps.py`.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from plasticity_jax.systems.optimal_plasticity.config import build, Config


Matrices = list[np.ndarray]
LossAndGradient = Callable[[Matrices, Matrices], np.floating]  # gradient in place


def quadratic(moment: np.ndarray, teacher: np.ndarray) -> LossAndGradient:
    """Linear network, from the second moment of its inputs."""

    def loss_and_gradient(w: Matrices, g: Matrices) -> np.floating:
        difference = w[0] - teacher
        np.matmul(difference, moment, out=g[0])
        loss = np.vdot(g[0], difference) / len(teacher)
        g[0] *= 2 / len(teacher)
        return loss

    return loss_and_gradient


def layered(x: np.ndarray, y: np.ndarray, hidden: int) -> LossAndGradient:
    """One hidden layer of logistic units, linear output; samples lie along rows."""
    h, back = (np.empty((hidden, x.shape[1]), x.dtype) for _ in range(2))
    error = np.empty_like(y)

    def loss_and_gradient(w: Matrices, g: Matrices) -> np.floating:
        np.negative(np.matmul(w[0], x, out=h), out=h)
        np.reciprocal(np.add(np.exp(h, out=h), 1, out=h), out=h)
        np.subtract(np.matmul(w[1], h, out=error), y, out=error)
        loss = np.vdot(error, error) / error.size
        np.matmul(error, h.T, out=g[1])
        np.matmul(w[1].T, error, out=back)
        np.multiply(back, h, out=back)  # times h (1 - h), without another buffer
        np.multiply(back, np.subtract(1, h, out=h), out=back)
        np.matmul(back, x.T, out=g[0])
        for gradient in g:
            gradient *= 2 / error.size
        return loss

    return loss_and_gradient


def numpy_run(config: Config, key: jax.Array) -> Callable[[], float]:
    """A function that runs `config` from the library's own start, and its end loss."""
    system, state = build(config, key)
    start = [np.asarray(w) for w in state.synapses]
    ends = np.cumsum([w.size for w in start])[:-1]
    ratio, size = np.float32(config.ratio), np.float32(config.fluctuation)
    rho = np.float32(config.corruption)
    clean = ratio * size / np.sqrt(1 + rho**2)
    task, circuit = system.task, system.circuit
    source: Any = circuit.loss if config.linear else task.stimulus  # pyright: ignore[reportAttributeAccessIssue]
    if config.linear:
        moment, teacher = np.asarray(source.second_moment), np.asarray(source.teacher)
        loss_and_gradient = quadratic(moment, teacher)
    else:
        x, y = (np.asarray(a) for a in source)
        loss_and_gradient = layered(x, y, len(start[0]))

    def views(flat: np.ndarray) -> Matrices:
        parts = np.split(flat, ends)
        return [p.reshape(w.shape) for p, w in zip(parts, start, strict=True)]

    def run() -> float:
        flat = np.concatenate([w.ravel() for w in start])
        slope, losses = np.empty_like(flat), np.empty(config.steps)
        weights, gradient = views(flat), views(slope)
        draw = np.random.default_rng(0)
        for step in range(config.steps):
            losses[step] = loss_and_gradient(weights, gradient)
            corrupting, fluctuation = draw.standard_normal((2, flat.size), np.float32)
            slope *= -clean / np.sqrt(np.vdot(slope, slope))
            corrupting *= rho * clean / np.sqrt(np.vdot(corrupting, corrupting))
            fluctuation *= size / np.sqrt(np.vdot(fluctuation, fluctuation))
            flat += slope
            flat += corrupting
            flat += fluctuation
        return float(losses[-config.window :].mean())

    return run
