"""Stationary densities of weights under spike timing: Fokker and Planck on a grid."""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from .. import simulate, State, System
from ..experiment import Check, simulated
from ..rules import STDP
from ..synapses import Bounded
from ..tasks import Constant
from ._numbers import KEY
from ._spikes import Pairs


SIDE = 48  # neurons on either side, all to all
FADE = np.exp(-1 / 20)  # of traces in a step


def density_checks() -> Iterator[Check]:
    """Mean and spread of the weights that Poisson spikes lead to."""
    one, itself = np.ones_like, lambda w: w
    left, grown = lambda w: 1 - w, lambda w: w**0.4
    cases = (  # law, chance, sizes, bound, factors, steps, tolerance of the mean
        ("additive", 0.06, (0.008, 0.0085), 1.0, (one, one), 36_000, 0.05),
        ("van_rossum", 0.04, (0.005, 0.010), 5.0, (one, itself), 9_000, 0.01),
        ("noisy", 0.04, (0.005, 0.010), 5.0, (one, itself), 9_000, 0.02),
        ("multiplicative", 0.04, (0.01, 0.0105), 1.0, (left, itself), 9_000, 0.01),
        ("power", 0.04, (0.010, 0.012), 5.0, (grown, itself), 9_000, 0.01),
    )
    for law, chance, sizes, high, factors, steps, tolerance in cases:
        noise = 0.015 if law == "noisy" else None
        kind = "van_rossum" if law == "noisy" else law
        rule = STDP(*sizes, noise=noise, law=kind)
        weights, mass = _density(chance, sizes, high, factors, noise or 0.0)
        mean = np.sum(mass * weights)
        spread = np.sum(mass * (weights - mean) ** 2) ** 0.5
        levels = (np.arange(SIDE**2) + 0.5) / SIDE**2
        start = np.interp(levels, np.cumsum(mass), weights)
        start = jr.permutation(KEY, jnp.asarray(start)).reshape(SIDE, SIDE)
        found = _settled(rule, chance, high, start, steps)
        name, source = law.replace("_", " "), "Fokker-Planck, on a grid"
        yield simulated(f"STDP: mean weight, {name}", source, found[0], mean, tolerance)
        quantity = f"STDP: spread of weights, {name}"
        yield simulated(quantity, source, found[1], spread, 0.05)


def _density(
    p: float,
    sizes: tuple[float, float],
    high: float,
    factors: tuple[Callable[[Any], Any], Callable[[Any], Any]],
    noise: float,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Weights, and the mass $\propto B^{-1}\exp\int 2A/B$ at each.

    $B$ is the variance of the sum of changes in a step, $A$ their mean and what the
    traces remember of earlier changes: $\sum_k \mathrm{Cov}(\delta_0, \delta_k')$.
    """
    w = np.linspace(0, high, 40_002)[1:-1]
    up, down = (size * factor(w) for size, factor in zip(sizes, factors, strict=True))
    memory, square, spread = FADE / (1 - FADE), 1 / (1 - FADE**2), p * (1 - p)
    window = up / (1 - FADE) - down * memory
    after = up * square - down * memory  # of a post spike's potentiation, later
    before = up / (1 - FADE) - down * FADE**2 * square  # of a pre spike's depression
    slopes = np.gradient(up, w) * after - np.gradient(down, w) * before
    drift = p**2 * (window + spread * memory * slopes)
    held = up**2 + (FADE * down) ** 2
    diffusion = spread**2 * held * square + 2 * p**2 * spread * window**2
    traces = spread * square + (p / (1 - FADE)) ** 2  # their mean square
    diffusion = diffusion + (noise * w) ** 2 * p * traces * (1 + FADE**2)
    pull = 2 * drift / diffusion
    inside = np.cumsum((pull[1:] + pull[:-1]) / 2 * np.diff(w))
    mass = np.exp(np.append(0, inside) - np.max(inside)) / diffusion
    return w, mass / np.sum(mass)


def _moments(state: State, signals: Any, changes: Any) -> Array:
    return jnp.stack([jnp.mean(state.synapses), jnp.mean(state.synapses**2)])


def _settled(
    rule: STDP, chance: float, high: float, weights: Array, steps: int
) -> tuple[Array, Array]:
    """Mean and spread of the weights over the last two thirds of a run."""
    task, bounds = Constant(None), (Bounded(0.0, high),)
    system = System(task, Pairs(chance), {"it": rule}, bounds)
    start = system.start(weights, KEY)
    _, seen = simulate(system, start, KEY, steps=steps, every=100, record=_moments)
    mean, square = jnp.mean(seen[len(seen) // 3 :], axis=0)
    return mean, jnp.sqrt(square - mean**2)
