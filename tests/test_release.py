"""Stochastic synapses: release, plasticity, posteriors, images and what is measured."""

import dataclasses
import functools
import math
from decimal import Decimal, getcontext
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from plasticity_jax import advance, simulate, State
from plasticity_jax._random import bernoulli
from plasticity_jax.circuits import PosteriorNetwork
from plasticity_jax.measure import (
    forgetting,
    learning_accuracy,
    mean_accuracy,
    mutual_information,
)
from plasticity_jax.rules import (
    BayesianDescent,
    ElasticPenalty,
    FisherRelease,
    ReleasePlasticity,
    StrengthDescent,
)
from plasticity_jax.signals import PosteriorSignals, ReleaseSignals
from plasticity_jax.synapses import ReleaseBounds
from plasticity_jax.synapses._release import (
    check_probabilities,
    Release,
    split_weights,
    Stochastic,
    uniform_probability,
)
from plasticity_jax.systems.presynaptic_stochasticity.config import build, Config
from plasticity_jax.systems.presynaptic_stochasticity.networks import Perceptron
from plasticity_jax.systems.presynaptic_stochasticity.training import remember
from plasticity_jax.tasks import (
    batch_orders,
    Constant,
    ImageBatches,
    split_by_class,
    task_shares,
)


KEY = jr.key(0)
ONE = jnp.ones(())
quick = settings(deadline=None, max_examples=50, derandomize=True)


def _batch(samples=6, pixels=4):
    for_images, for_labels = jr.split(KEY)
    images = jr.normal(for_images, (samples, pixels))
    return images, jr.randint(for_labels, (samples,), 0, 2, jnp.int32)


def _built(batch=None, key=KEY, **changes):
    """A small network on one batch, its synapses of all reliabilities."""
    config = Config(**{"hidden": (5,), "rate": 0.3, "up": 0.2, "down": 0.1, **changes})
    batch = _batch() if batch is None else batch
    for_network, for_release = jr.split(key)
    pixels = batch[0].shape[1]
    system, state, rest = build(config, Constant(batch), pixels, for_network)
    if not config.releases:
        return config, system, state, rest
    synapses = _of_all_reliabilities(state.synapses.strength, for_release)
    return config, system, State(None, synapses), rest


@jax.jit
def _of_all_reliabilities(strength, key):
    flat, shape = ravel_pytree(strength)
    return Stochastic(strength, shape(jr.uniform(key, flat.shape, minval=0.25)))


def _arrays(tree):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


@eqx.filter_jit
def _step(system, state, key) -> Any:
    return advance(system, state, key)


def _run(system, state, steps):
    for _ in range(steps):
        state = _step(system, state, KEY)[0]
    return state


# --- one step by hand ---------------------------------------------------------------

VARIANTS = {
    "default": {},
    "unscaled": {"scaled": False},
    "no modulation": {"modulated": False},
    "no freeze": {"freeze": 1.0},
    "decay": {"decay": 0.1},
    "no normalisation": {"normalised": False},
    "ghost": {"method": "ghost", "fixed_release": 0.4},
    "ghost, own divisor": {
        "method": "ghost",
        "fixed_release": 0.4,
        "own_divisor": True,
    },
    "hard freeze": {"hard_freeze": True},
    "ceiling": {"high": 0.95},
    "fixed": {"method": "fixed", "fixed_release": 0.4},
}


def _slopes(weights, images, labels):
    """Slope of the mean cross-entropy along two matrices of weights, by hand."""
    hidden = images @ weights[0].T
    active = np.maximum(hidden, 0)
    logits = active @ weights[1].T
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    errors = (chances - np.eye(2)[labels]) / len(images)
    back = (errors @ weights[1]) * (hidden > 0)
    return [back.T @ images, errors.T @ active]


def _by_hand(config, strengths, probabilities, released, batch):
    """R1 and R2 in NumPy for supplied masks: gradients, strengths, probabilities."""
    images, labels = (np.asarray(x) for x in batch)
    if not config.normalised:
        divisors = [np.ones_like(p) for p in probabilities]
    elif config.method == "presynaptic" or config.own_divisor:
        divisors = probabilities
    else:
        divisors = [np.full_like(p, config.fixed_release) for p in probabilities]
    sent = [r * w / d for r, w, d in zip(released, strengths, divisors, strict=True)]
    slopes = _slopes(sent, images, labels)
    gradients, moved, later = [], [], []
    for w, p, r, d, s in zip(
        strengths, probabilities, released, divisors, slopes, strict=True
    ):
        g = r / d * s
        gradients.append(g)
        learnt = np.where(p >= config.freeze, 0, g) if config.hard_freeze else g
        modulation = config.high - p if config.modulated else 1.0
        moved.append(w - config.rate * (modulation * learnt + config.decay * w))
        step = np.where(abs(g) >= config.threshold, config.up, -config.down)
        step = step * (config.high - p) if config.scaled else step
        step = np.where(p < config.freeze, step, 0)
        plastic = p + step if config.method != "fixed" else p
        fixed = config.method == "fixed"
        later.append(p if fixed else np.clip(plastic, config.low, config.high))
    return gradients, moved, later


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_step_with_given_masks(changes):
    config, system, state, _ = _built(threshold=0.02, **changes)
    strengths = _arrays(state.synapses.strength)
    probabilities = _arrays(state.synapses.probability)
    after, signals, _ = _step(system, state, KEY)
    released = [np.where(gate > 0, 1.0, 0.0) for gate in _arrays(signals.gates)]
    config = jax.tree.map(float, config)
    want = _by_hand(config, strengths, probabilities, released, _batch())
    got = (signals.gradient, after.synapses.strength, after.synapses.probability)
    for trees, arrays in zip(got, want, strict=True):
        for one, other in zip(_arrays(trees), arrays, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    silent = np.concatenate([(r == 0).ravel() for r in released])
    gradient = np.asarray(ravel_pytree(signals.gradient)[0])
    assert 0 < silent.sum() < silent.size
    assert np.all(gradient[silent] == 0)  # exactly
    ups = np.abs(gradient) >= 0.02
    assert 0 < ups.sum() < ups.size  # both branches are seen
    frozen = np.concatenate([p.ravel() for p in probabilities]) >= 0.9353
    assert 0 < frozen.sum() < frozen.size


def test_a_step_in_single_precision():
    config, system, state, _ = _built(threshold=0.02)
    single = lambda tree: jax.tree.map(
        lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, tree
    )
    system, state = single(system), single(state)
    after, signals, _ = _step(system, state, KEY)
    released = [np.where(gate > 0, 1.0, 0.0) for gate in _arrays(signals.gates)]
    strengths = [x.astype(float) for x in _arrays(state.synapses.strength)]
    probabilities = [x.astype(float) for x in _arrays(state.synapses.probability)]
    config = jax.tree.map(float, config)
    _, *want = _by_hand(config, strengths, probabilities, released, _batch())
    got = (after.synapses.strength, after.synapses.probability)
    for trees, arrays in zip(got, want, strict=True):
        for one, other in zip(_arrays(trees), arrays, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_frozen_probabilities_stand_still_while_strengths_move():
    config, system, state, _ = _built(freeze=0.6, threshold=0.01)
    before = _arrays(state.synapses.probability)
    final = _run(system, state, 100)
    after, moved = 0, []
    for p, q, v, w in zip(
        before,
        _arrays(final.synapses.probability),
        _arrays(state.synapses.strength),
        _arrays(final.synapses.strength),
        strict=True,
    ):
        frozen = p >= 0.6
        assert np.array_equal(p[frozen], q[frozen])  # bit by bit
        moved.extend((v != w)[frozen])
        after += np.sum(p[~frozen] != q[~frozen])
    assert np.mean(moved) > 0.5
    assert after > 0
    assert float(config.freeze) == 0.6


@pytest.mark.parametrize("threshold", [0.0, 1e3])
def test_probabilities_stay_between_their_bounds(threshold):
    _, system, state, _ = _built(
        threshold=threshold, freeze=1.0, low=0.3, high=0.8, scaled=False
    )
    final = _run(system, state, 50)
    bound = 0.8 if threshold == 0 else 0.3
    p = ravel_pytree(final.synapses.probability)[0]
    np.testing.assert_allclose(p, bound, rtol=1e-15)


def test_a_threshold_is_met_by_what_equals_it():
    rule = ReleasePlasticity(0.5, 0.1, 0.2, scaled=False)
    gradient = jnp.asarray([0.5, -0.5, 0.5 - 1e-15, 0.0])
    p = jnp.full(4, 0.5)
    signals = ReleaseSignals(ONE, ONE, gradient, gradient)
    after = _moved(rule, Stochastic(p, p), signals)
    np.testing.assert_allclose(after.probability - p, [0.1, 0.1, -0.2, -0.2])
    strict = _moved(dataclasses.replace(rule, strict=True), Stochastic(p, p), signals)
    np.testing.assert_allclose(strict.probability - p, -0.2)
    assert jnp.array_equal(after.strength, p)


@eqx.filter_jit
def _moved(rule, synapses, signals) -> Any:
    """Synapses after a step of one rule."""
    return jax.tree.map(jnp.add, synapses, rule(synapses, signals, KEY))


def test_a_lower_bound_of_one_is_a_probability_like_others():
    sure, rule = ReleaseBounds(low=1.0), FisherRelease(1.0, jnp.ones(1))
    synapses = sure(Stochastic(jnp.ones(1), jnp.asarray([0.25])))
    assert sure(_moved(rule, synapses, None)).probability == 1


def test_repeated_steps_up_never_pass_one():
    signals = ReleaseSignals(ONE, ONE, jnp.ones(1), jnp.ones(1))
    for scaled, up in ((True, 0.5), (True, 1.0), (False, 0.5)):
        rule = ReleasePlasticity(0.0, up, 0.5, scaled=scaled)
        step = lambda w, _, rule=rule: (ReleaseBounds()(_moved(rule, w, signals)), None)
        start = Stochastic(jnp.ones(1), jnp.asarray([0.25]))
        synapses, _ = jax.lax.scan(step, start, length=100)
        assert synapses.probability <= 1
        assert jnp.isfinite(synapses.log_failure)
        down = dataclasses.replace(rule, threshold=2.0)
        after = _moved(down, synapses, signals).probability
        np.testing.assert_allclose(after, 1.0 if scaled else 0.5, rtol=1e-14)


@functools.cache
def _fifty_digits(chance, up, down, low):
    """5,000 steps up or down, and the logarithms of 1 - p after each."""
    ups = np.random.default_rng(0).random(5000) < chance
    getcontext().prec, left = 50, 1 - Decimal(low)
    exact = []
    for rises in ups:
        left = min(
            left * (1 + (-Decimal(up) if rises else Decimal(down))), Decimal("0.75")
        )
        exact.append(left.ln())
    return ups, np.asarray(exact, float)


@jax.jit
def _course(rule, bounds, start, ups):
    dtype = start.strength.dtype

    def step(synapses, rises):
        size = jnp.where(rises, 2.0, 0.0).astype(dtype)[None]
        one = jnp.ones((), dtype)
        synapses = bounds(_moved(rule, synapses, ReleaseSignals(one, one, size, size)))
        return synapses, (synapses.log_failure[0], synapses.probability[0])

    return jax.lax.scan(step, start, ups)[1]


@pytest.mark.parametrize("chance", [0.3, 0.52, 0.95])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_probabilities_follow_fifty_digits_and_never_stall(dtype, chance):
    """1 - p falls to 1e-170: far below single precision."""
    up, down, low = (float(np.float32(x)) for x in (0.08, 0.08, 0.25))
    rule = jax.tree.map(lambda x: x.astype(dtype), ReleasePlasticity(1.0, up, down))
    bounds = jax.tree.map(lambda x: x.astype(dtype), ReleaseBounds(low))
    ups, exact = _fifty_digits(chance, up, down, low)
    start = Stochastic(jnp.ones(1, dtype), jnp.full(1, low, dtype))
    found = _course(rule, bounds, start, ups)
    log_failure, p = (np.asarray(x, float) for x in found)
    rounding = float(jnp.finfo(dtype).eps) * np.arange(2, len(exact) + 2)  # a step each
    reached = np.maximum.accumulate(-exact)
    assert np.all(np.abs(log_failure - exact) < rounding * reached)
    assert np.all(np.abs(p + np.expm1(exact)) < rounding)
    assert (exact[-1] < -300) == (chance > 0.9)
    assert np.all(np.diff(log_failure[exact < -1]) != 0)  # every step counts


# --- release ------------------------------------------------------------------------


@eqx.filter_jit
def _gates(release, p, key=KEY):
    return release.gates(p, key)


@jax.jit
def _drawn(p):
    return bernoulli(KEY, p)


def test_certain_release_is_the_deterministic_network():
    config, system, state, _ = _built(
        method="fixed", fixed_release=1.0, modulated=False
    )
    sure = Stochastic(
        state.synapses.strength, uniform_probability(state.synapses.probability, 1.0)
    )
    _, plain, same, _ = _built(method="deterministic")
    assert eqx.tree_equal(same.synapses, sure.strength)
    _, signals, _ = _step(system, State(None, sure), KEY)
    _, want, _ = _step(plain, same, KEY)
    assert signals.loss == want.loss
    assert eqx.tree_equal(signals.gradient, want.gradient)
    after, signals, _ = _step(system, State(None, sure), KEY)
    moved = jax.tree.map(lambda w, g: w - config.rate * g, sure.strength, want.gradient)
    for got, one in zip(_arrays(after.synapses.strength), _arrays(moved), strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-14)
    free = _gates(Release(), sure.probability)
    assert all(np.all(gates == 1) for gates in _arrays(free))


@pytest.mark.parametrize(
    ("release", "mean"),
    [
        (Release(), 1.0),
        (Release(0.5), 1.0),
        (Release(0.5, "own"), 0.5 / 0.3),
        (Release(divisor="none"), 0.3),
    ],
)
def test_moments_of_gates(release, mean):
    gates = np.asarray(_gates(release, [np.full(100_000, 0.3)])[0])
    used = 0.3 if release.fixed is None else 0.5
    error = mean * ((1 - used) / used / len(gates)) ** 0.5
    assert error < 0.01 * mean
    assert abs(np.mean(gates) - mean) < 4 * error
    assert len(np.unique(gates)) == 2
    spread = mean**2 * (1 - used) / used
    np.testing.assert_allclose(np.var(gates), spread, rtol=0.03)


@pytest.mark.parametrize("release", [Release(), Release(0.5, "own"), Release(0.5)])
def test_masks_can_be_handed_in(release):
    _, system, state, _ = _built()
    circuit, batch = dataclasses.replace(system.circuit, release=release), _batch()
    _, drawn = circuit(None, state.synapses, batch, KEY)
    p = state.synapses.probability
    for kind in (bool, float):
        masks = jax.tree.map(lambda g, kind=kind: (g > 0).astype(kind), drawn.gates)
        given = circuit.signals(state.synapses, batch, release.gates_of(p, masks))
        assert eqx.tree_equal(given, drawn)
    none = release.gates_of(p, jax.tree.map(jnp.zeros_like, p))
    silent = circuit.signals(state.synapses, batch, none)
    assert not np.any(np.concatenate([g.ravel() for g in _arrays(silent.gradient)]))
    with pytest.raises(ValueError, match="`released` must be shaped like"):
        release.gates_of(p, jnp.ones(3))


def test_noise_can_be_handed_in():
    """Of a quadratic, by hand: slopes are h (mu + sigma eps - c)."""
    circuit = PosteriorNetwork(lambda w, c: jnp.sum((w - c) ** 2), 5.0, draws=7)
    synapses = {"mean": jnp.asarray([1.0, 2.0]), "deviation": jnp.asarray([0.5, 0.1])}
    noise = np.random.default_rng(0).normal(size=(3, 2))
    got = circuit.signals(synapses, 0.5, jnp.asarray(noise))
    slopes = 2 * (np.asarray([1.0, 2.0]) + np.asarray([0.5, 0.1]) * noise - 0.5)
    np.testing.assert_allclose(got.gradient, 5 * slopes.mean(0), rtol=1e-14)
    want = 5 * (slopes * noise).mean(0)
    np.testing.assert_allclose(got.correlation, want, rtol=1e-14)


@pytest.mark.parametrize("sites", [2, 5])
def test_sites_of_a_synapse_release_on_their_own(sites):
    r"""$k$ of n is binomial: every share as often as that law says."""
    p, count = 0.3, 100_000
    gates = _gates(Release(sites=sites), np.full(count, p))
    k = np.round(np.asarray(gates) * sites * p)
    np.testing.assert_allclose(gates, k / (sites * p), rtol=1e-12, atol=1e-12)
    for j in range(sites + 1):
        law = math.comb(sites, j) * p**j * (1 - p) ** (sites - j)
        assert abs(np.mean(k == j) - law) < 4 * (law * (1 - law) / count) ** 0.5
    with pytest.raises(ValueError, match="`sites` must be at least 1; got 0"):
        Release(sites=0)


@pytest.mark.parametrize("method", ["ghost", "fixed"])
def test_release_that_is_not_learned_is_at_its_own_probability(method):
    """Also below the bound of plastic ones, and without normalisation."""
    for fields in ({}, {"normalised": False}, {"fixed_release": 0.1}):
        here = {"method": method, "hidden": (40,), "fixed_release": 0.5, **fields}
        config, system, state, _ = _built(**here)
        used = float(config.fixed_release)
        almost = Stochastic(
            state.synapses.strength, uniform_probability(state.synapses.strength, 0.94)
        )
        _, signals, _ = _step(system, State(None, almost), KEY)
        released = np.concatenate([g.ravel() > 0 for g in _arrays(signals.gates)])
        error = (used * (1 - used) / released.size) ** 0.5
        assert abs(released.mean() - used) < 4 * error
        assert error < 0.05
    system, first, _ = build(config, Constant(_batch()), 4, KEY)
    p = ravel_pytree(_step(system, first, KEY)[0].synapses.probability)[0]
    np.testing.assert_allclose(p, 0.1 if method == "fixed" else 0.25, rtol=0.2)


def test_every_layer_draws_its_own_mask():
    p = [np.full((6, 5), 0.5), np.full((6, 5), 0.5)]
    first, second = _gates(Release(), p)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, _gates(Release(), p, jr.key(1))[0])


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (4, 3), (2, 3, 3)])
def test_sixteen_bits_of_any_shape(shape):
    sure, never = _drawn(np.ones(shape)), _drawn(np.zeros(shape))
    assert (sure.shape, sure.dtype) == (shape, jnp.bool_)
    assert np.all(sure)
    assert not np.any(never)


@pytest.mark.parametrize("p", [2.0**-16, 0.25, 0.7])
def test_draws_of_sixteen_bits_are_fair_and_independent(p):
    count = 2_000_000 if p < 0.1 else 200_000
    drawn = np.asarray(_drawn(np.full(count, p))).astype(float)
    error = (p * (1 - p) / count) ** 0.5
    assert abs(drawn.mean() - p) < 4 * error
    half = count // 2
    product = np.mean(drawn[:half] * drawn[half : 2 * half])  # halves of one word
    assert abs(product - p**2) < 4 * p * half**-0.5 + 1e-6


def test_a_probability_is_rounded_to_sixteen_bits():
    low, high = (_drawn(np.full(200_000, p)) for p in (0.5, 0.5 + 0.4 / 2**16))
    assert np.array_equal(low, high)


# --- bad input ----------------------------------------------------------------------

BAD = {
    "divisor": (lambda: Release(divisor="mine"), "Choose from: used, own, none"),
    "fixed at 0": (lambda: Release(0.0), "`fixed` must lie in"),
    "fixed above 1": (lambda: Release(1.5), "`fixed` must lie in"),
    "low": (lambda: ReleaseBounds(low=-0.1), "`low` must lie in"),
    "high": (lambda: ReleaseBounds(high=1.1), "`high` must lie in"),
    "up": (lambda: ReleasePlasticity(1.0, 1.2, 0.1), "`up` must lie in"),
    "down": (lambda: ReleasePlasticity(1.0, 0.1, -0.1), "`down` must lie in"),
    "threshold": (lambda: ReleasePlasticity(-1.0, 0.1, 0.1), "`threshold` must"),
    "rate": (lambda: StrengthDescent(-0.1), "`rate` must lie in"),
    "penalty": (lambda: ElasticPenalty(0.1, -1.0, 0.0, 0.0), "`penalty` must lie in"),
    "Bayesian rate": (lambda: BayesianDescent(-1.0), "`rate` must lie in"),
    "draws": (
        lambda: PosteriorNetwork(lambda w, x: jnp.zeros(()), 1.0, 0),
        "`draws` must be at least 1; got 0",
    ),
    "no weights": (lambda: split_weights([jnp.ones(3)]), "no weights to make"),
    "whole numbers": (
        lambda: split_weights([jnp.ones((2, 2), jnp.int32)]),
        "no weights to make",
    ),
    "batch too large": (
        lambda: batch_orders(np.arange(10), 11, 1, KEY),
        "between 1 and 10 images; got 11",
    ),
    "batch of none": (
        lambda: batch_orders(np.arange(10), 0, 1, KEY),
        "between 1 and 10 images; got 0",
    ),
    "absent class": (
        lambda: split_by_class(np.asarray([0, 1, 1]), [(0, 1), (2, 3)]),
        "no image of class 2",
    ),
    "class twice": (
        lambda: split_by_class(np.asarray([0, 1, 2]), [(0, 1), (1, 2)]),
        "a class comes twice",
    ),
    "one task": (lambda: forgetting(jnp.ones((1, 1))), "at least 2 tasks; got 1"),
    "probability of Config": (lambda: Config(low=1.2), "`low` must lie in"),
    "release of Config": (lambda: Config(fixed_release=0.0), "`fixed_release` must"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("value", [-0.1, 1.0 + 1e-9, float("nan")])
def test_probabilities_outside_their_range_are_refused(value):
    with pytest.raises(ValueError, match=r"`p` must lie in \[0, 1\]"):
        check_probabilities("p", [jnp.asarray([0.5, value])])


def test_probabilities_in_their_range_pass():
    check_probabilities("p", [jnp.asarray([0.0, 1.0])])
    with pytest.raises(ValueError, match=r"`probability` must lie in \[0, 1\]"):
        Release().gates([jnp.asarray([0.5, 1.5])], KEY)
    jax.jit(lambda p: check_probabilities("p", p))(jnp.asarray([2.0]))  # traced


def test_biases_are_not_weights():
    network = Perceptron((4, 3, 2), KEY, bias=True)
    weights, rest = split_weights(network)
    assert [w.shape for w in jax.tree.leaves(weights)] == [(3, 4), (2, 3)]
    assert [b.shape for b in jax.tree.leaves(rest)] == [(3,), (2,)]
    assert eqx.tree_equal(eqx.combine(weights, rest), network)


# --- many at once -------------------------------------------------------------------

FIELDS = ("up", "down", "threshold", "freeze", "rate")


def _after(system, state, values, traced):
    """Synapses after a step with the fields at `values`."""
    traced.append(0)
    up, down, threshold, freeze, rate = values
    rules = {
        "strength": StrengthDescent(rate),
        "release": ReleasePlasticity(threshold, up, down, freeze),
    }
    return advance(dataclasses.replace(system, rules=rules), state, KEY)[0].synapses


def test_vmap_over_every_parameter_equals_the_loop_in_one_program():
    _, system, state, _ = _built()
    values = jr.uniform(KEY, (6, len(FIELDS)), minval=0.02, maxval=0.2)
    values = values.at[:, FIELDS.index("freeze")].add(0.5)
    traced = []
    run = jax.jit(lambda values: _after(system, state, values, traced))
    many = jax.jit(jax.vmap(lambda values: _after(system, state, values, [])))(values)
    for i, value in enumerate(values):
        for a, b in zip(_arrays(run(value)), _arrays(many), strict=True):
            np.testing.assert_allclose(a, b[i], rtol=1e-12)
    assert len(traced) == 1
    each = np.concatenate([x.reshape(6, -1) for x in _arrays(many)], axis=1)
    assert len(np.unique(each)) > each.size // 4  # the fields matter


def test_a_run_equals_its_steps():
    _, system, state, _ = _built()
    final, _ = simulate(system, state, KEY, steps=5, every=5)
    for a, b in zip(_arrays(final), _arrays(_run(system, state, 5)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


# --- degenerate ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": (jnp.asarray(np.ones((1, 4))), jnp.asarray([0], jnp.int32))},
        {"hidden": (1,)},
        {"batch": (jnp.asarray(np.ones((3, 1))), jnp.asarray([0, 0, 0], jnp.int32))},
        {"low": 0.5, "high": 0.5},
        {"freeze": 0.0},
        {"up": 0.0, "down": 0.0, "rate": 0.0},
    ],
    ids=["batch of 1", "one unit", "one pixel", "low is high", "frozen", "still"],
)
def test_degenerate_networks_stay_finite(changes):
    config, system, state, _ = _built(**changes)
    final = _run(system, state, 3)
    assert all(np.all(np.isfinite(x)) for x in _arrays(final.synapses))
    p = ravel_pytree(final.synapses.probability)[0]
    if config.low == config.high:
        assert jnp.all(p == 0.5)
    if config.freeze == 0 or config.rate == 0:
        assert eqx.tree_equal(final.synapses.probability, state.synapses.probability)
    if config.rate == 0:
        assert eqx.tree_equal(final.synapses.strength, state.synapses.strength)


def test_a_step_lowers_for_cuda_without_callbacks():
    _, system, state, _ = _built()
    arrays, rest = eqx.partition((system, state), eqx.is_array)

    def step(arrays, key):
        system, state = eqx.combine(arrays, rest)
        return advance(system, state, key)[0].synapses

    traced = jax.jit(step).trace(arrays, KEY)
    assert "callback" not in traced.lower(lowering_platforms=("cuda",)).as_text()


# --- posteriors ---------------------------------------------------------------------


@jax.jit
def _bayes(deviation, correlation, gradient=0.0, rate=1.0):
    deviation, correlation = jnp.asarray(deviation), jnp.asarray(correlation)
    gradient = jnp.broadcast_to(jnp.asarray(gradient), deviation.shape)
    signals = PosteriorSignals(ONE, ONE, gradient, correlation)
    synapses = {"mean": jnp.zeros_like(deviation), "deviation": deviation}
    change = BayesianDescent(rate)(synapses, signals, KEY)
    return change["mean"], deviation + change["deviation"]


@quick
@given(st.floats(1e-3, 1.0), st.floats(-1e3, 1e3))
def test_a_deviation_is_the_positive_root(deviation, correlation):
    _, after = _bayes(np.asarray([deviation]), np.asarray([correlation]))
    after = float(after[0])
    assert after > 0
    terms = after**2, deviation**2 * correlation * after, -(deviation**2)
    assert abs(sum(terms)) < 1e-12 * max(abs(x) for x in terms) + 1e-14 * deviation


def test_the_mean_moves_by_the_old_variance():
    mean, after = _bayes(np.asarray([0.5, 2]), np.asarray([3.0, -1]), 1.5, 0.1)
    np.testing.assert_allclose(mean, [-0.0375, -0.6], rtol=1e-14)
    assert after[0] < 0.5
    assert after[1] > 2.0
    mean, after = _bayes(np.asarray([1e-9]), np.asarray([3.0]), 1.5)
    assert abs(mean[0]) < 1e-17  # certain weights do not move
    np.testing.assert_allclose(after, 1e-9, rtol=1e-8)


def test_posteriors_read_the_sum_over_the_batch():
    images, labels = _batch()
    labels = labels.astype(images.dtype)
    weights = jnp.linspace(-1.0, 1.0, 4)
    synapses = {"mean": weights, "deviation": jnp.full(4, 0.1)}

    def loss(weights, batch):
        return jnp.mean((batch[0] @ weights - batch[1]) ** 2)

    @jax.jit
    def moved(batch):
        circuit = PosteriorNetwork(loss, float(len(batch[1])), 3)
        _, signals = circuit(None, synapses, batch, KEY)
        return signals, BayesianDescent()(synapses, signals, KEY)

    once, step = moved((images, labels))
    twice, double = moved((jnp.tile(images, (2, 1)), jnp.tile(labels, 2)))
    np.testing.assert_allclose(twice.loss, 2 * once.loss, rtol=1e-10)
    np.testing.assert_allclose(twice.gradient, 2 * once.gradient, rtol=1e-10)
    np.testing.assert_allclose(twice.correlation, 2 * once.correlation, rtol=1e-10)
    np.testing.assert_allclose(double["mean"], 2 * step["mean"], rtol=1e-10)


# --- elastic penalties --------------------------------------------------------------


def test_an_elastic_penalty_descends_its_own_gradient():
    draw = np.random.default_rng(0)
    fishers, anchors = draw.uniform(size=(3, 5)), draw.normal(size=(3, 5))
    weights = jnp.asarray(np.linspace(-1.0, 1.0, 5))

    def penalty(weights):
        return 7.0 / 2 * jnp.sum(fishers * (weights[None] - anchors) ** 2)

    precision, moment = np.sum(fishers, axis=0), np.sum(fishers * anchors, axis=0)
    rule = ElasticPenalty(0.1, 7.0, precision, moment)
    signals = ReleaseSignals(ONE, ONE, weights, weights)
    change = eqx.filter_jit(rule)(weights, signals, KEY)
    slope = jax.jit(jax.grad(penalty))(weights)
    np.testing.assert_allclose(change, -0.1 * slope, rtol=1e-12)


def test_no_elastic_penalty_is_plain_training():
    finals = []
    for method in ("ewc", "deterministic"):
        _, system, state, _ = _built(method=method, penalty=0.0)
        if method == "ewc":
            ones = jax.tree.map(jnp.ones_like, state.synapses)
            memory = ElasticPenalty(0.3, 0.0, ones, ones)
            system = eqx.tree_at(lambda s: s.rules["memory"], system, memory)
        finals.append(_run(system, state, 5).synapses)
    for a, b in zip(*map(_arrays, finals), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def _tasks():
    """Two tasks of eight images, a system for them, and weights after each."""
    images = jr.randint(KEY, (8, 4), 0, 255).astype(jnp.uint8)
    labels = jnp.asarray([0, 1, 0, 1, 1, 0, 0, 1], jnp.int32)
    order = jnp.arange(8, dtype=jnp.int32).reshape(4, 2)
    tasks = [ImageBatches(images, labels, order, pixels=p) for p in _orders()]
    weights = Perceptron((4, 3, 2), KEY)
    return (
        tasks,
        split_weights(weights),
        split_weights(Perceptron((4, 3, 2), jr.key(1))),
    )


def _orders():
    return jnp.asarray([0, 1, 2, 3]), jnp.asarray([3, 1, 0, 2])


@pytest.mark.parametrize(("online", "memory"), [(True, 0.0), (False, 1.0)])
def test_elastic_memories_of_two_tasks(online, memory):
    config = Config(
        method="ewc", hidden=(3,), online=online, memory=memory, fisher_samples=8
    )
    (first, second), (before, rest), (after, _) = _tasks()
    system, _, _ = build(config, first, 4, KEY)

    @eqx.filter_jit
    def learn(system, weights, task):
        return remember(config, system, weights, rest, task, KEY)

    kept = lambda system: [
        ravel_pytree(x)[0]
        for x in (system.rules["memory"].precision, system.rules["memory"].moment)
    ]
    old, last = (
        kept(learn(system, weights, task))
        for weights, task in ((before, first), (after, second))
    )
    precision, moment = kept(learn(learn(system, before, first), after, second))
    np.testing.assert_allclose(precision, memory * old[0] + last[0], rtol=1e-12)
    if online:  # one anchor
        anchor = ravel_pytree(after)[0]
        np.testing.assert_allclose(moment, precision * anchor, rtol=1e-12)
    else:
        np.testing.assert_allclose(moment, old[1] + last[1], rtol=1e-12)
    assert jnp.all(last[0] >= 0)
    assert jnp.max(jnp.abs(old[0] - last[0])) > 0.1 * jnp.max(last[0])


# --- streams of tasks ---------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "samples"), [(3, 80), (4, 41), (2, 16)])
def test_a_continuous_stream_mixes_neighbours_only(tasks, samples):
    shares = task_shares(tasks, samples)
    mixed = int(samples * 0.125)
    assert shares.shape == (tasks * samples, tasks)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(shares.sum(axis=0), samples)
    assert np.all(shares >= 0)
    assert np.all(shares[:samples][: samples - mixed, 0] == 1)  # no beginning
    assert np.all(shares[-(samples - mixed) :, -1] == 1)  # no end
    edge = shares[samples - 1 : samples + 1]
    np.testing.assert_allclose(edge[:, :2], 0.5)
    if tasks > 2:
        assert np.all(shares[:samples, 2] == 0)
    inner = shares[samples : samples + mixed, 1]
    np.testing.assert_allclose(inner, np.linspace(0.5, 1, mixed))


def test_a_stream_without_overlap_has_boundaries():
    shares = task_shares(3, 7, overlap=0.0)
    np.testing.assert_array_equal(shares, np.repeat(np.eye(3), 7, axis=0))


def test_an_epoch_shows_every_image_at_most_once():
    order = batch_orders(np.asarray([3, 5, 7, 9, 11]), 2, 3, KEY)
    assert order.shape == (6, 2)
    for epoch in np.asarray(order).reshape(3, 4):
        assert len(np.unique(epoch)) == 4
        assert set(epoch) <= {3, 5, 7, 9, 11}
    assert not np.array_equal(order[:2], order[2:4])


def test_groups_of_classes():
    first, second = split_by_class(np.asarray([2, 0, 1, 2, 3]), [(0, 1), (2, 3)])
    np.testing.assert_array_equal(first, [1, 2])
    np.testing.assert_array_equal(second, [0, 3, 4])


def test_batches_are_standardised_and_permuted():
    images = jnp.arange(12, dtype=jnp.uint8).reshape(4, 3)
    labels = jnp.asarray([0, 1, 0, 1], jnp.int32)
    order = jnp.asarray([[0, 1], [3, 2]], jnp.int32)
    task = ImageBatches(images, labels, order, 0.5, 2.0, 10.0)
    at = eqx.filter_jit(lambda task, step: task(jnp.asarray(step, jnp.int32), KEY))
    shown, named = map(np.asarray, at(task, 3))  # the order starts anew
    np.testing.assert_allclose(shown[0], (np.asarray([9, 10, 11]) / 10 - 0.5) / 2)
    np.testing.assert_array_equal(named, [1, 0])
    turned = dataclasses.replace(task, pixels=jnp.asarray([2, 0, 1]))
    np.testing.assert_allclose(at(turned, 3)[0], shown[:, np.asarray([2, 0, 1])])
    places = jnp.asarray([[0, 1, 2], [2, 1, 0]])
    which = jnp.asarray([[0, 0], [1, 0]], jnp.int32)
    mixed = dataclasses.replace(task, pixels=places, task=which)
    got = at(mixed, 1)[0]
    np.testing.assert_allclose(got, [shown[0][::-1], shown[1]])


# --- what is measured ---------------------------------------------------------------


bits = jax.jit(mutual_information)


@pytest.mark.parametrize("kind", [np.int32, np.uint8])
def test_identity_carries_all_information(kind):
    labels = np.tile(np.arange(4, dtype=kind), 5)
    np.testing.assert_allclose(bits(np.eye(4)[labels], labels), 2.0)


def test_outputs_that_ignore_the_label_carry_none():
    labels = np.tile(np.arange(4, dtype=np.int32), 5)
    outputs = np.tile([0.1, 0.2, 0.3, 0.4], (20, 1))
    assert abs(bits(outputs, labels)) < 1e-14


def test_absent_classes_and_impossible_outputs_are_finite():
    labels = np.asarray([0, 0, 1, 1], np.int32)
    found, slope = jax.jit(jax.value_and_grad(mutual_information))(
        np.eye(3)[labels], labels
    )
    np.testing.assert_allclose(found, 1.0)
    assert np.all(np.isfinite(slope))


def test_information_is_at_most_the_entropy_of_labels():
    for_outputs, for_labels = jr.split(KEY)
    outputs = jax.nn.softmax(3 * jr.normal(for_outputs, (50, 30, 5)), axis=2)
    labels = jr.randint(for_labels, (50, 30), 0, 5, jnp.int32)
    found = np.asarray(jax.jit(jax.vmap(mutual_information))(outputs, labels))
    for got, named in zip(found, np.asarray(labels), strict=True):
        shares = np.bincount(named, minlength=5) / 30
        entropy = -np.sum(shares * np.log2(np.where(shares > 0, shares, 1)))
        assert 0 < got < entropy


def test_accuracies_of_a_stream():
    accuracy = jnp.asarray([[0.9, 0.5, 0.5], [0.8, 0.95, 0.4], [0.6, 0.7, 1.0]])
    np.testing.assert_allclose(mean_accuracy(accuracy), 2.3 / 3)
    np.testing.assert_allclose(learning_accuracy(accuracy), 2.85 / 3)
    np.testing.assert_allclose(forgetting(accuracy), (0.3 + 0.25) / 2)
    np.testing.assert_allclose(
        forgetting(jnp.stack([accuracy, accuracy])), 0.275 * np.ones(2)
    )


def test_concrete_bounds_may_be_given_inside_a_compiled_program():
    config = Config()
    move = lambda rate: dataclasses.replace(config, rate=rate).rate
    assert jax.jit(move)(0.5) == 0.5
    low, high = jnp.asarray(0.3), jnp.asarray(0.6)
    clipped = jax.jit(lambda p: ReleaseBounds(low, high)(Stochastic(p, p)).probability)
    np.testing.assert_allclose(clipped(jnp.asarray([0.1, 0.9])), [0.3, 0.6], 1e-15)
