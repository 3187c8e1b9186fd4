"""Three ways through discrete draws, on networks whose outcomes can all be listed."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ..experiment import always, Check, exact, simulated
from ..experiment import expectation as drawn
from ._discrete import (
    expectation,
    relaxed,
    relaxed_expectation,
    scored,
    scored_expectation,
)


KEY = jr.key(0)
DRAWS = 4_000
CHANCE, LEVEL, SLOPE = 0.3, 0.7, 1.9  # of one synapse: f = LEVEL + SLOPE r


def discrete_rows() -> Iterator[Check]:
    """Enumeration, scores and relaxed masks; in double precision.

    >>> row = next(discrete_rows())
    >>> row.quantity, row.holds
    ('linear neuron, all masks: mean loss', True)
    """
    yield from _listed()
    yield from _scores()
    yield from _relaxed()
    yield from _spikes()


def _numbers(*shape: int) -> Array:
    return jnp.asarray(np.cos(1 + 7 * np.arange(np.prod(shape))).reshape(shape))


def _chances(count: int) -> Array:
    return 0.5 + 0.35 * _numbers(count)


def _loss(mask: Array, p: Array) -> Array:
    """Squared error of two tanh units and their readout, eight synapses that release.

    The strengths when released, mean over probability, change with $p$ as well.
    """
    sent = mask * _numbers(8) / p
    hidden = jnp.tanh(sent[:6].reshape(2, 3) @ jnp.asarray([1.0, -0.5, 2.0]))
    return (0.4 - sent[6:] @ hidden) ** 2 / 2


# --- all outcomes ---------------------------------------------------------------------


def _listed() -> Iterator[Check]:
    p, strength, activity = _chances(5), _numbers(5), _numbers(7)[2:]
    error = lambda mask, p: (0.7 - (mask * strength / p) @ activity) ** 2 / 2
    mean = lambda p: expectation(lambda mask: error(mask, p), p)
    noise = strength**2 * activity**2
    want = (0.7 - strength @ activity) ** 2 / 2 + jnp.sum(noise * (1 - p) / p) / 2
    name = "linear neuron, all masks"
    yield exact(f"{name}: mean loss", "closed form", mean(p), want)
    slope = jax.grad(mean)(p)
    yield exact(f"{name}: slope along p", "closed form", slope, -noise / p**2 / 2)
    p = _chances(8)
    fixed = jax.jit(lambda q: expectation(lambda mask: _loss(mask, p), q))
    put = lambda x: jnp.where(jnp.eye(8) > 0, x, p[None])
    want = jax.vmap(fixed)(put(1.0)) - jax.vmap(fixed)(put(0.0))
    name = "network, all masks: slope along p of the draws"
    yield exact(name, "E[f | 1] - E[f | 0]", jax.grad(fixed)(p), want)


# --- scores ---------------------------------------------------------------------------


def _moments(
    value: Callable[[Array, Array], Any], p: Array, count: int, baseline: bool
) -> tuple[Array, Array]:
    """Mean and variance of the estimated slopes over all `count` masks together."""

    def slope(masks: tuple[Array, ...]) -> Array:
        given = jnp.stack(masks)
        return jax.grad(lambda p: scored(lambda m: value(m, p), p, given, baseline))(p)

    both = lambda masks: (slope(masks), slope(masks) ** 2)
    mean, square = jax.jit(lambda p: expectation(both, (p,) * count))(p)
    return mean, square - mean**2


def _scores() -> Iterator[Check]:
    p = _chances(8)
    slope = jax.grad(lambda p: expectation(lambda mask: _loss(mask, p), p))(p)
    mean, _ = _moments(_loss, p, 1, False)
    name = "network, score function, no baseline: mean over all masks"
    yield exact(name, "enumeration", mean, slope)
    few = lambda mask, p: _loss(jnp.append(mask, jnp.ones(4)), jnp.append(p, _fixed()))
    want = jax.grad(lambda p: expectation(lambda mask: few(mask, p), p))(p[:4])
    mean, _ = _moments(few, p[:4], 2, True)
    name = "network, score function, leave one out: mean over all pairs of masks"
    yield exact(name, "enumeration", mean, want)
    one, line = jnp.asarray([CHANCE]), lambda mask, p: LEVEL + SLOPE * mask[0]
    _, variance = _moments(line, one, 1, False)
    ends = (LEVEL + SLOPE) ** 2 / CHANCE + LEVEL**2 / (1 - CHANCE) - SLOPE**2
    name = "one synapse, score function: variance"
    yield exact(f"{name}, no baseline", "closed form", variance[0], ends)
    for count in (2, 4):
        _, variance = _moments(line, one, count, True)
        # of the covariance of draw and score, by the fourth moment of a draw
        spread = CHANCE * (1 - CHANCE)
        excess = (1 - 4 * spread) / spread / count + 2 / (count * (count - 1))
        want = SLOPE**2 * excess
        title = f"{name}, leave one out of {count}"
        yield exact(title, "variance of a sample variance", variance[0], want)
    keys = jr.split(KEY, DRAWS)
    score = lambda key: jax.grad(
        lambda p: scored_expectation(lambda mask: _loss(mask, p), p, key, samples=8)
    )(p)
    found = jax.jit(jax.vmap(score))(keys) @ slope
    name = "network, score function, leave one out of 8: drawn, along the slope"
    yield drawn(name, "enumeration", found, slope @ slope)


def _fixed() -> Array:
    return _chances(8)[4:]


# --- relaxed masks --------------------------------------------------------------------


def _quadrature(
    value: Callable[[Array], Array], temperature: float, hard: bool = False
) -> tuple[float, float]:
    """Mean of a relaxed mask's value and of its slope along p, by a fine grid."""
    logit = np.log(CHANCE / (1 - CHANCE))
    grid = jnp.linspace(
        -40, 40, 40_000
    )  # of the field over temperature; 0 is not on it
    noise = temperature * grid - logit
    mass = jax.nn.sigmoid(noise) * jax.nn.sigmoid(-noise)
    mass = mass * temperature * (grid[1] - grid[0])

    def mean(p: Array) -> Array:
        masks = relaxed(jnp.full_like(noise, p), noise, temperature, hard)
        beyond = jax.nn.sigmoid(noise[0]) * value(jnp.zeros(())) + jax.nn.sigmoid(
            -noise[-1]
        ) * value(jnp.ones(()))
        return mass @ value(masks) + beyond

    value_, slope = jax.value_and_grad(mean)(jnp.asarray(CHANCE))
    return float(value_), float(slope)


def _softened(p: Array) -> Array:
    """The mean of a relaxed mask at T = 1."""
    odds = p / (1 - p)
    return odds / (odds - 1) - odds * jnp.log(odds) / (odds - 1) ** 2


def _relaxed() -> Iterator[Check]:
    line = lambda mask: mask
    name = "one synapse, relaxed mask"
    mean, _ = _quadrature(line, 1.0)
    want = _softened(jnp.asarray(CHANCE))
    yield exact(f"{name}, T = 1: mean", "closed form", mean, want, 1e-6)
    law = np.pi**2 / 6 * (1 - 6 * CHANCE + 6 * CHANCE**2)
    for temperature in (0.1, 0.05):
        bias = (_quadrature(line, temperature)[1] - 1) / temperature**2
        title = f"{name}, T = {temperature}: bias of the slope over T^2"
        yield simulated(title, "expansion", bias, law, 0.1)
    curve = jnp.exp
    _, slope = _quadrature(curve, 0.02, hard=True)
    title = f"{name}, straight-through, T = 0.02: slope of exp"
    yield simulated(title, "(f'(0) + f'(1)) / 2", slope, (1 + np.e) / 2, 0.01)
    _, slope = _quadrature(curve, 0.02)
    title = f"{name}, T = 0.02: slope of exp"
    yield simulated(title, "f(1) - f(0)", slope, np.e - 1, 0.01)
    slopes, want = _network_slopes(jnp.asarray([0.5, 0.1]))
    far = np.abs(np.asarray(jnp.mean(slopes, axis=1) - want))
    title = "network, relaxed masks: less bias at T = 0.1 than at T = 0.5"
    yield always(title, "binary concrete", float(far[1] < far[0]))
    narrow = np.var(np.asarray(slopes), axis=1)
    title = "network, relaxed masks: less variance at T = 0.5 than at T = 0.1"
    yield always(title, "binary concrete", float(narrow[0] < narrow[1]))


@jax.jit
def _network_slopes(temperatures: Array) -> tuple[Array, Array]:
    """Slopes of drawn masks along the slope of the expectation; that slope's square."""
    p = _chances(8)
    fixed = lambda mask: _loss(mask, p)
    want = jax.grad(lambda q: expectation(fixed, q))(p)

    def one(temperature: Array, key: Array) -> Array:
        options = {"samples": 8, "temperature": temperature}
        mean = lambda q: relaxed_expectation(fixed, q, key, **options)
        return jax.grad(mean)(p) @ want

    keys = jr.split(KEY, DRAWS)
    every = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
    return every(temperatures, keys), want @ want


# --- spikes ---------------------------------------------------------------------------


def _spikes() -> Iterator[Check]:
    """Three units that spike with a sigmoid of their field, and a parity of spikes."""
    weights, inputs = _numbers(3, 3), _numbers(3)
    parity = lambda spikes: jnp.prod(1 - 2 * spikes)
    chance = lambda w: jax.nn.sigmoid(w @ inputs)
    want = jax.grad(lambda w: jnp.prod(1 - 2 * chance(w)))(weights)
    found = jax.grad(lambda w: expectation(parity, chance(w)))(weights)
    name = "three spiking units, a parity: slope along weights"
    yield exact(f"{name}, all spikes", "product of means", found, want)

    def along(mean: Callable[[Array, Array], Array], want: Array) -> Array:
        slope = jax.jit(jax.vmap(lambda key: jax.grad(mean)(weights, key)))
        return jnp.sum(slope(jr.split(KEY, DRAWS)) * want[None], axis=(1, 2))

    score = lambda w, key: scored_expectation(parity, chance(w), key, samples=8)
    found = along(score, want)
    yield drawn(f"{name}, score function", "as above", found, jnp.sum(want**2))
    relax = lambda w, key: relaxed_expectation(
        parity, chance(w), key, samples=8, temperature=1.0
    )
    want = jax.grad(lambda w: jnp.prod(1 - 2 * _softened(chance(w))))(weights)
    name, source = f"{name}, relaxed, T = 1", "product of relaxed means"
    yield drawn(name, source, along(relax, want), jnp.sum(want**2))
