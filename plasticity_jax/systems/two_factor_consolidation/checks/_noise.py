"""Noisy cues and synapses, and the stability of soft replay, beside closed forms.

Sections T8, T9 and T11 of the specification.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .... import advance, simulate, State, System
from ....circuits import memories_of, Replay, SoftReplay
from ....experiment import always, Check, exact, expectation, simulated, together
from ....measure import volatile_noise_ratio
from ....rules import FactorAscent, VolatileFactor
from ....signals import Elapsed
from ....synapses import Factored, Product
from ....tasks import Constant, draw_patterns
from .. import theory
from ..recall import flip_balanced, jitter
from ._optimum import instance, optima


KEY = jr.key(0)
DRAWS, SIZE = 50_000, 40
FLIPS, LEVEL = 0.03, 0.3  # p and f


def noise_checks() -> Iterator[Check]:
    """T8, T9 and T11; in double precision."""
    yield from _enumerated_checks()
    yield from _neural_checks()
    yield from _synaptic_checks()
    yield from _volatile_checks()
    yield from _stability_checks()


def _weights(size: int = SIZE) -> Float[Array, " n"]:
    return jr.uniform(KEY, (size,)) ** 2


# --- T8 -----------------------------------------------------------------------------


@together
def _enumerated_checks() -> Iterator[Check]:
    """All patterns of ten bits: the mean over patterns needs no draws."""
    weights = _weights(10)
    patterns = jnp.asarray(list(itertools.product((0.0, 1.0), repeat=10)))
    law = functools.partial(theory.flipped_field, weights)
    mean, variance = jax.vmap(lambda x: law(x, FLIPS, LEVEL))(patterns)
    chance = jnp.prod(jnp.where(patterns > 0, LEVEL, 1 - LEVEL), axis=1)
    square = chance @ (mean**2 + variance)
    want = 2 * FLIPS * jnp.sum(weights**2)
    title = "mean square change of a field by flips, over all patterns"
    yield exact(title, "T8", square, want, 1e-12)


@together
def _neural_checks() -> Iterator[Check]:
    weights = _weights()
    pattern = (jnp.arange(SIZE) < 20).astype(weights.dtype)
    cues = jnp.repeat(pattern[:, None], DRAWS, axis=1)
    change = weights @ (flip_balanced(cues, FLIPS, LEVEL, KEY) - cues)
    mean, variance = theory.flipped_field(weights, pattern, FLIPS, LEVEL)
    yield expectation("mean change of a field by flips", "T8", change, mean)
    title = "variance of the change of a field by flips"
    yield expectation(title, "T8", (change - mean) ** 2, variance)
    keys = jr.split(KEY)
    cues = draw_patterns(SIZE, DRAWS, LEVEL, keys[0])
    change = weights @ (flip_balanced(cues, FLIPS, LEVEL, keys[1]) - cues)
    margin = jnp.asarray(1.7)
    ratio = margin / jnp.sqrt(jnp.sum(weights**2))
    want = theory.neural_noise_ratio(ratio, 2 * FLIPS)
    title = "margin over the spread of a field by flips"
    got = margin / jnp.sqrt(jnp.mean(change**2))
    yield simulated(title, "T8", got, want, 0.015)


# --- T9 -----------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames=("order", "kind"))
def _jittered(
    weights: Float[Array, " n"],
    patterns: Float[Array, "n draw"],
    noise: float,
    order: int,
    kind: str,
) -> Float[Array, " draw"]:
    """Changes of one neuron's fields, the noise drawn anew for every pattern."""
    stack = jnp.repeat(weights[None] ** (1 / order), order, axis=0)[:, None]
    synapses = Factored(stack, jnp.zeros(1))

    def change(key: Array, pattern: Float[Array, " n"]) -> Array:
        moved = jitter(synapses, noise, key, kind, relative=0.0)
        return (Product().weights(moved.factors)[0] - weights) @ pattern

    return jax.vmap(change)(jr.split(KEY, patterns.shape[1]), patterns.T)


@together
def _synaptic_checks() -> Iterator[Check]:
    draws, noise, dead = 10_000, 0.002, 8
    weights = _weights().at[:dead].set(0.0)  # the neuron itself, and pruned synapses
    weights = jnp.where(weights > 0, weights + 0.05, 0.0)
    pattern = (jnp.arange(SIZE) < 20).astype(weights.dtype)
    same = jnp.repeat(pattern[:, None], draws, axis=1)
    cases = [("living", "by one volatile factor", order, 1.0) for order in (1, 2, 3, 4)]
    cases += [("all", "if all factors are volatile", x, float(x)) for x in (2, 4)]
    for kind, words, order, factors in cases:
        change = _jittered(weights, same, noise, order, kind)
        want = theory.volatile_field_variance(weights, pattern, noise, order, factors)
        title = f"variance of a field {words}, z = {order}"
        yield expectation(title, "T9", change**2, want)
    change = _jittered(weights, same, noise, 1, "first")
    want = noise * (2 / jnp.pi) ** 0.5 * (dead - 1)  # without the neuron itself
    title = "mean change of a field by dead synapses that open, z = 1"
    yield expectation(title, "T9", change, want)
    patterns = draw_patterns(SIZE, draws, LEVEL, jr.key(1))
    change, margin = _jittered(weights, patterns, noise, 2, "living"), jnp.asarray(1.7)
    ratio = volatile_noise_ratio(margin, weights, 2.0)
    want = theory.synaptic_noise_ratio(ratio, noise, LEVEL)
    title = "margin over the spread of a field by one volatile factor, z = 2"
    got = margin / jnp.sqrt(jnp.mean(change**2))
    yield simulated(title, "T9", got, want, 0.03)


@together
def _volatile_checks() -> Iterator[Check]:
    """One step of the process of Figures 5 and 6, without drift."""
    dt = jnp.asarray(0.005)
    for order in (1.0, 2.0, 3.0, 5.0):
        rule = VolatileFactor(order, bias=0.0, homeostasis=0.0)
        rises = []
        for weight in (0.5, 2.0):
            factor = weight ** (1 / order)
            synapses = jnp.full((2, DRAWS), factor)
            volatile = synapses[0] + rule(synapses, Elapsed(dt), KEY)[0]
            change = volatile * factor ** (order - 1) - weight
            rises.append(jnp.sqrt(jnp.mean(change**2)))
        slope = jnp.log(rises[1] / rises[0]) / jnp.log(4.0)
        want = theory.change_exponent(order)
        title = f"growth of a weight's changes with the weight, z = {order:g}"
        yield exact(title, "T9", 1 + slope, 1 + want, 1e-9)  # the same draws


# --- T11 ----------------------------------------------------------------------------


@together
def _stability_checks() -> Iterator[Check]:
    """One neuron at its L2 optimum, whose weights stand still."""
    best, sharpness = optima("D1", 2), 20.0
    stored = memories_of(jnp.asarray(instance("D1")), 1)
    root = jnp.sqrt(jnp.asarray(best.weights[:1]))
    synapses = Factored(jnp.stack([root, root]), jnp.asarray(best.threshold[:1]))
    circuit = Replay(SoftReplay(sharpness))
    state = State(circuit.start(synapses, stored), synapses)

    def system(pull: Array) -> System:
        rate = pull / theory.threshold_pull(1.0, sharpness, state.activity.average)[0]
        rules = {"replay": FactorAscent(0.0, rate)}
        return System(Constant(stored), circuit, rules)

    settle = functools.partial(simulate, key=KEY, steps=300, every=300)
    state, _ = settle(system(jnp.asarray(0.5)), state)
    for pull in (0.5, 1.5, 2.5):
        run = system(jnp.asarray(pull))
        title = f"what a soft replay leaves of a wrong threshold, chi = {pull}"
        yield exact(title, "T11", _kept(run, state), 1 - pull, 1e-9)
    balanced = state.synapses.threshold
    wrong = _with_threshold(state, balanced + 1e-5)
    for pull in (1.5, 2.5):
        final, _ = settle(system(jnp.asarray(pull)), wrong)
        away = (jnp.abs(final.synapses.threshold - balanced) / 1e-5)[0]
        settles = pull < 2
        words = "settles" if settles else "does not settle"
        title = f"threshold under soft replay {words}, chi = {pull}"
        yield always(title, "T11", away < 1e-6 if settles else away > 10)


def _with_threshold(state: State, threshold: Float[Array, " row"]) -> State:
    synapses = dataclasses.replace(state.synapses, threshold=threshold)
    return dataclasses.replace(state, synapses=synapses)


@eqx.filter_jit
def _kept(system: System, state: State) -> Array:
    """Derivative of a neuron's threshold after a cycle by the one before it."""

    def after(threshold: Float[Array, " row"]) -> Array:
        following, *_ = advance(system, _with_threshold(state, threshold), KEY)
        return following.synapses.threshold[0]

    return jax.grad(after)(state.synapses.threshold)[0]
