"""Closed forms of factors under replay and of storage: checks, properties, edges."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls
from scipy.stats import norm as normal

from plasticity_jax import simulate
from plasticity_jax.circuits import Memories, Replay, SoftReplay
from plasticity_jax.measure import margins
from plasticity_jax.synapses import Factored, HomeostaticScaling, Product
from plasticity_jax.systems.two_factor_consolidation import capacity, theory
from plasticity_jax.systems.two_factor_consolidation.checks._capacity import (
    capacity_checks,
)
from plasticity_jax.systems.two_factor_consolidation.checks._noise import noise_checks
from plasticity_jax.systems.two_factor_consolidation.checks._optimum import (
    instance,
    optima,
    optimum_checks,
)
from plasticity_jax.systems.two_factor_consolidation.checks._rule import rule_checks
from plasticity_jax.systems.two_factor_consolidation.config import Config
from plasticity_jax.systems.two_factor_consolidation.networks import (
    fall_asleep,
    fields_and_weights,
    memories,
    wake,
)


KEY = jr.key(0)
quick = settings(deadline=None, max_examples=25, derandomize=True)
few = settings(quick, max_examples=4)
positive = st.floats(0.1, 3.0)
loads = st.floats(0.02, 0.98)
levels = st.floats(0.02, 0.5)
orders = st.sampled_from([1, 2])


# --- every closed form --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "checks", [rule_checks, optimum_checks, capacity_checks, noise_checks]
)
def test_every_closed_form_holds(checks):
    rows = list(checks())
    assert len(rows) >= 20
    assert not [row for row in rows if not row.holds]


# --- factors ------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="order")
def _bends(factor, goal, penalty, order):
    def loss(factors):
        square = jnp.sum(factors**2) / order
        return 0.5 * (jnp.prod(factors) - goal) ** 2 + penalty * square

    return (
        jax.hessian(loss)(jnp.full(order, factor)),
        theory.penalised_hessian(factor, goal, penalty, order),
    )


@quick
@given(st.floats(0.0, 2.0), positive, positive, st.integers(1, 4))
def test_curvature_of_penalised_factors(factor, goal, penalty, order):
    got, want = _bends(factor, goal, penalty, order)
    np.testing.assert_allclose(got, want, atol=1e-12, rtol=1e-12)


@jax.jit
def _still(goal, penalty):
    weight = theory.soft_threshold(goal, penalty)
    return (
        weight,
        theory.penalised_slope(weight, goal, penalty, 2),
        theory.penalised_hessian(0.0, goal, penalty, 2),
    )


@quick
@given(positive, positive)
def test_soft_threshold_stands_still(goal, penalty):
    weight, slope, bends = _still(goal, penalty)
    if weight > 0:
        assert abs(slope) < 1e-12
        return
    assert np.linalg.eigvalsh(bends)[0] >= 0  # pruned for good


@quick
@given(positive, st.integers(1, 4))
def test_a_weights_penalty_is_what_homeostasis_holds(factor, order):
    stack = jnp.full((order, 1, 1), factor)
    squares = Product().squares(stack)[0]
    weight = Product().weights(stack)[0, 0]
    np.testing.assert_allclose(theory.factor_penalty(weight, order), squares)


def _decays(rate, drives):
    return np.asarray(theory.imbalance_decay(rate, jnp.asarray(drives), 1.0))


@quick
@given(
    st.sampled_from([1, 3, 20]).flatmap(
        lambda count: st.lists(
            st.sampled_from([-1.0, 0.0, 1.0]), min_size=count, max_size=count
        )
    )
)
def test_two_factors_step_by_step(course):
    factors = np.asarray([1.3, 0.7])
    want = theory.factors_after(jnp.asarray(factors), jnp.asarray(course), 0.05)
    imbalance = factors[0] ** 2 - factors[1] ** 2
    for drive, decay in zip(course, _decays(0.05, np.asarray(course)), strict=True):
        factors = factors + 0.05 * drive * factors[::-1]
        imbalance = imbalance * decay
    np.testing.assert_allclose(factors, want, rtol=1e-12)
    np.testing.assert_allclose(factors[0] ** 2 - factors[1] ** 2, imbalance, rtol=1e-11)


def test_two_factors_move_by_natural_gradient():
    weights = jnp.asarray([0.0, 0.5, 2.0])
    np.testing.assert_allclose(theory.preconditioner(weights, 2), 2 * weights)
    np.testing.assert_allclose(theory.preconditioner(weights, 1), jnp.ones(3))


def test_the_flow_in_a_metric_is_that_of_small_steps():
    """Euler's steps with |w|^s; a weight that reaches 0 stays there."""
    start, drive = np.asarray([0.0, 0.2, 1.0, 1.0]), np.asarray([1.0, -1.0, -0.5, 2.0])
    for s in (0.4, 1.0):
        w, steps = start.copy(), 40_000
        for _ in range(steps):
            w = np.maximum(w + drive * w**s * (0.7 / steps), 0)
        got = theory.weights_after(start, drive, 0.7, s)
        np.testing.assert_allclose(got, w, rtol=1e-3, atol=1e-6)
    assert got[1] > 0  # multiplied, it never gets there
    assert theory.weights_after(start, drive, 0.7, 0.4)[1] == 0
    np.testing.assert_allclose(
        theory.weights_after(start, drive, 0.7, 0.0), np.maximum(start + 0.7 * drive, 0)
    )


def test_the_flow_in_a_metric_is_smooth_in_its_exponent():
    start, drive = jnp.asarray([0.5, 2.0]), jnp.asarray([1.0, -0.5])
    flow = jax.jit(lambda s: theory.weights_after(start, drive, 0.7, s))
    slope = jax.jit(jax.jacfwd(flow))
    for s in (0.0, 0.5, 0.999, 1.0):
        low, high = max(s - 1e-5, 0.0), min(s + 1e-5, 1.0)
        secant = (flow(high) - flow(low)) / (high - low)
        np.testing.assert_allclose(slope(s), secant, rtol=1e-4)
    single = [jnp.asarray(x, jnp.float32) for x in (start, drive, 0.7, 1 - 1e-5)]
    np.testing.assert_allclose(theory.weights_after(*single), flow(1.0), rtol=1e-4)


@pytest.mark.parametrize("of", ["joint", "each", "weights"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_new_target_scales_all_weights_of_any_homeostasis(of, order):
    @jax.jit
    def scaled(factors):
        before = HomeostaticScaling(3.0, of=of)(Factored(factors, jnp.ones(2)))
        after = HomeostaticScaling(0.7, of=of)(before)
        weights = Product().weights(before.factors)
        want = theory.retargeted_weights(weights, 3.0, 0.7, order)
        return Product().weights(after.factors), want, after.threshold

    factors = np.random.default_rng(0).uniform(0.2, 1.0, (order, 2, 8))
    got, want, threshold = scaled(factors)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert np.all(threshold == 1)


# --- the optimum --------------------------------------------------------------------


def _found(q, row=0):
    """Problem and optimum of a neuron, its own input left out."""
    others, best = np.arange(100) != row, optima("D1", q)
    patterns = instance("D1")
    return (
        jnp.asarray(patterns[others]),
        jnp.asarray(2 * patterns[row] - 1),
        jnp.asarray(best.weights[row, others]),
        jnp.asarray(best.threshold[row]),
        jnp.asarray(best.replay[row]),
    )


@pytest.mark.parametrize("q", [1, 2])
def test_residuals_vanish_at_the_optimum_only(q):
    patterns, targets, weights, threshold, replay = _found(q)
    size = lambda *found: max(float(jnp.max(jnp.abs(part))) for part in found)
    here = theory.residuals(patterns, targets, weights, threshold, replay, q)
    assert size(*here) < 1e-8
    even = jnp.full_like(replay, 1 / len(replay))
    wrong = theory.residuals(patterns, targets, weights, threshold, even, q)
    assert size(wrong.stationarity) > 1e-2
    moved = theory.residuals(patterns, targets, weights, threshold + 0.1, replay, q)
    assert size(moved.slack) > 1e-3
    half = theory.residuals(patterns, targets, weights, threshold, replay / 2, q)
    np.testing.assert_allclose(half.mass, -0.5)
    lost = jnp.where(targets > 0, replay, 0.0)
    only = theory.residuals(patterns, targets, weights, threshold, lost, q)
    np.testing.assert_allclose(only.balance, 0.25)
    with pytest.raises(ValueError, match="got 3"):
        theory.residuals(patterns, targets, weights, threshold, replay, 3)


@pytest.mark.parametrize("q", [1, 2])
def test_slope_of_the_optimum_in_patterns(q):
    """Against the optimum of patterns moved a little, solved anew."""
    patterns, targets, weights, _, replay = _found(q)
    slope = theory.margin_slope(weights, targets, replay)
    move = np.random.default_rng(5).normal(size=patterns.shape)
    best = lambda x: _largest(np.asarray(patterns) + x * move, np.asarray(targets), q)
    secant = (best(1e-5) - best(-1e-5)) / 2e-5
    np.testing.assert_allclose(jnp.sum(slope * move), secant, rtol=2e-4)


def _largest(patterns, targets, q):
    """The largest margin of real patterns, by the primal programme."""
    n, count = patterns.shape
    fields = (targets * patterns).T
    if q == 1:
        rows = np.hstack([-fields, targets[:, None], np.ones((count, 1))])
        norm = np.hstack([np.ones((1, n)), np.zeros((1, 2))])
        bounds = [(0, None)] * n + [(None, None)] * 2
        cost = np.eye(n + 2)[-1]
        given = (-cost, rows, np.zeros(count), norm, [1.0])
        return linprog(*given, bounds=bounds).x[-1]
    classes = 1e4 * np.stack([targets > 0, targets < 0])
    system = np.block([[fields.T, np.eye(n)], [classes, np.zeros((2, n))]])
    goal = np.concatenate([np.zeros(n), [5e3, 5e3]])
    shares = nnls(system, goal, maxiter=10_000)[0][:count]
    for side in (targets > 0, targets < 0):
        shares[side] /= 2 * shares[side].sum()
    return np.linalg.norm(np.maximum(fields.T @ shares, 0))


def test_survivors_do_not_decay():
    patterns, targets, weights, threshold, replay = _found(1)
    margin = jnp.min(targets * (weights @ patterns - threshold))
    rates = theory.decay_rates(patterns, targets, replay, margin)
    assert jnp.all(rates > -1e-12)
    np.testing.assert_allclose(rates[weights > 1e-9], 0, atol=1e-12)
    assert jnp.mean(rates > 1e-3) > 0.7


@quick
@given(st.floats(1e-4, 0.05), st.floats(0.0, 0.1), st.floats(0.1, 10.0))
def test_gap_is_linear_in_the_rates(rate, threshold_rate, target):
    margin, threshold = jnp.asarray([0.1, 0.13]), jnp.asarray([0.4, 0.5])
    law = lambda *rates: theory.stationary_gap(*rates, target, margin, threshold)
    both, double = law(rate, threshold_rate), law(2 * rate, 2 * threshold_rate)
    np.testing.assert_allclose(double, 2 * both)
    np.testing.assert_allclose(law(rate, 0.0) + law(0.0, threshold_rate), both)
    assert jnp.all(both > 0)


def test_rate_that_comes_within_a_share():
    """The threshold of optimal weights is near f where margins are small."""
    margin, level = jnp.asarray(0.01), 0.3
    rate = theory.rate_for_share(0.02, margin, level)
    gap = theory.stationary_gap(rate, 0.0, 1.0, margin, jnp.asarray(level))
    assert 0.4 < gap / (0.02 * margin) < 0.6  # half is left to the threshold's rate


@jax.jit
def _soft(fields, average, sharpness):
    soft, slope = jax.value_and_grad(
        lambda h: jnp.sum(theory.soft_margin(h, average, sharpness))
    )(fields)
    shares = jnp.abs(slope)
    return soft, shares, theory.soft_bias(shares, average, sharpness)


@quick
@given(st.integers(0, 1000), st.floats(1.0, 100.0))
def test_soft_margin_and_its_bias(seed, sharpness):
    """Free energy is mean energy minus entropy."""
    fields = np.random.default_rng(seed).normal(size=(2, 6))
    sizes = np.abs(fields)
    found = _soft(fields, np.mean(sizes, axis=1), sharpness)
    soft, shares, bias = (np.asarray(x) for x in found)
    np.testing.assert_allclose(np.sum(shares, axis=1), 1)
    above = np.sum(shares * sizes, axis=1) - np.min(sizes, axis=1)
    np.testing.assert_allclose(bias, above, atol=1e-9)
    assert np.all(bias >= -1e-12)
    assert soft <= np.sum(np.min(sizes, axis=1))


def test_bias_of_replay_without_a_choice_is_zero():
    one = jnp.asarray([[0.0, 1.0, 0.0]])
    assert theory.soft_bias(one, jnp.ones(1), 10.0) == 0


# --- noise --------------------------------------------------------------------------


flipped_field = jax.jit(theory.flipped_field)


@quick
@given(st.integers(0, 1000), st.floats(0.0, 0.3), st.floats(0.3, 0.7))
def test_no_flips_no_change_and_balance(seed, probability, level):
    rng = np.random.default_rng(seed)
    weights = rng.random(7)
    pattern = (rng.random(7) < 0.5).astype(float)
    _, variance = flipped_field(weights, pattern, probability, level)
    assert variance >= 0
    still = flipped_field(weights, pattern, 0.0, level)
    assert np.all(np.asarray(still) == 0)
    average = np.full(7, level)  # the mean is linear in the pattern
    balanced, _ = flipped_field(weights, average, probability, level)
    assert abs(balanced) < 1e-12
    turned, _ = flipped_field(weights, 1 - pattern, probability, 0.5)
    straight, _ = flipped_field(weights, pattern, probability, 0.5)
    np.testing.assert_allclose(turned, -straight, atol=1e-12)


def test_volatile_noise_matches_the_penalty_for_two_factors_only():
    for order in (1, 2, 3, 5):
        noise = 2 * theory.change_exponent(order)
        assert jnp.isclose(noise, 2 / order) == (order == 2)


def test_laws_are_differentiable_and_keep_precision():
    one = jnp.asarray(0.5, jnp.float32)
    laws = (
        lambda x: theory.stationary_gap(x, x, x, x, x),
        lambda x: theory.stationary_gap_single(x, x, x, x, x, x),
        lambda x: theory.neural_noise_ratio(x, x),
        lambda x: theory.synaptic_noise_ratio(x, x, 0.5),
        lambda x: theory.scaled_weights(x, x, 2),
        lambda x: theory.retargeted_weights(x, x, 2 * x, 3),
        lambda x: theory.threshold_pull(x, x, x),
        lambda x: theory.penalised_slope(x, x, x, 3),
        lambda x: theory.preconditioner(x, x),
        lambda x: theory.rate_for_share(x, x, 0.3),
        lambda x: theory.soft_bias(jnp.stack([x, 1 - x]), x, x),
    )
    every = jax.jit(lambda x: [jax.value_and_grad(law)(x) for law in laws])
    for value, slope in every(one):
        assert value.dtype == jnp.float32
        assert jnp.isfinite(slope)


# --- storage ------------------------------------------------------------------------


def _first(x):
    return normal.pdf(x) + x * normal.cdf(x)


def _second(x):
    return (1 + x**2) * normal.cdf(x) + x * normal.pdf(x)


@pytest.mark.parametrize("coding", [False, True])
@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("level", [0.5, 0.2])
def test_largest_load_by_brute_force(coding, q, level):
    size = 0.7
    quantile = np.linspace(-2, 3, 501)[:, None]
    threshold = np.linspace(-3, 3, 1201)
    first, second = _first(quantile), _second(quantile)
    seen = second - (first**2 if coding else 0)
    margin = size * (first if q == 1 else np.sqrt(second)) / np.sqrt(seen)
    cost = level * _second(margin - threshold) + (1 - level) * _second(
        margin + threshold
    )
    load = normal.cdf(quantile[:, 0]) ** 2 / seen[:, 0] / cost.min(axis=1)
    want = capacity.largest_load(size, level, q, coding)
    np.testing.assert_allclose(load.max(), want, rtol=2e-5)


@few
@given(loads, levels, orders)
def test_there_and_back(share, level, q):
    load = share * capacity.critical_load(level)
    robustness = capacity.robustness(load, level, q)
    np.testing.assert_allclose(capacity.largest_load(robustness, level, q), load)


@few
@given(loads, levels)
def test_each_optimum_is_best_under_its_own_norm(share, level):
    load = share * capacity.critical_load(level)
    for norm, other in ((1, 2), (2, 1)):
        best = capacity.robustness(load, level, norm)
        assert best > capacity.robustness(load, level, other, norm=norm)


@few
@given(loads, levels, st.booleans(), orders)
def test_silent_and_active_may_be_exchanged(share, level, coding, q):
    load = share * float(capacity.critical_load(level))
    for law in (capacity.robustness, capacity.density, capacity.weight_variation):
        here, there = (law(load, f, q, coding) for f in (level, 1 - level))
        np.testing.assert_allclose(here, there, rtol=1e-7)


@pytest.mark.dear
def test_more_patterns_cost_robustness_and_synapses():
    for level in (0.5, 0.05):
        many = np.linspace(0.02, 0.98, 4) * capacity.critical_load(level)
        for coding in (False, True):
            for q in (1, 2):
                robust = capacity.robustness(many, level, q, coding)
                assert np.all(np.diff(robust) < 0)
                assert np.all(robust > 0)
            assert np.all(np.diff(capacity.density(many, level, 1, coding)) > 0)
        np.testing.assert_allclose(capacity.density(many, level, q=2), 0.5, rtol=1e-9)
        bound = capacity.load_bound(capacity.density(many, level), level)
        assert np.all(many < bound)


def test_limits():
    assert capacity.critical_load(0.5) == 1
    assert capacity.critical_load(0.5, exact=True) == 2
    full = capacity.critical_load(0.2)
    np.testing.assert_allclose(capacity.load_bound(np.asarray([0.5, 0.9]), 0.2), full)
    np.testing.assert_allclose(capacity.density(full * (1 - 1e-7), 0.2), 0.5, rtol=1e-5)
    assert capacity.robustness(1e-4, 0.5) > 1e2
    assert capacity.load_bound(1e-6, 0.5) < 1e-4
    sparse = capacity.critical_load(np.asarray([0.5, 0.1, 0.01, 0.001]))
    assert np.all(np.diff(sparse) > 0)


def test_weight_density_is_a_truncated_gaussian():
    relative = np.linspace(0, 15, 20_001)
    for q, coding in ((1, False), (2, False), (1, True)):
        law = capacity.weight_density(relative, 0.3, 0.5, q, coding)
        spread = capacity.weight_variation(0.3, 0.5, q, coding)
        moments = [np.trapezoid(law * relative**k, relative) for k in range(3)]
        np.testing.assert_allclose(moments, [1, 1, 1 + spread**2], rtol=1e-5)
    assert capacity.weight_density(-0.1, 0.3, 0.5) == 0
    half = capacity.weight_variation(0.3, 0.5, q=2)
    np.testing.assert_allclose(half, np.sqrt(np.pi / 2 - 1))  # a half normal


def test_shapes_broadcast():
    assert capacity.robustness(0.2, 0.5).shape == ()
    table = capacity.density(np.asarray([[0.1], [0.2]]), np.asarray([0.5, 0.3, 0.1]))
    assert table.shape == (2, 3)
    np.testing.assert_allclose(table[1, 2], capacity.density(0.2, 0.1))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: capacity.robustness(1.0, 0.5), "below the critical load 1.0; got 1.0"),
        (lambda: capacity.robustness(np.asarray([0.1, -0.1]), 0.5), "above 0; got"),
        (lambda: capacity.robustness(0.1, 0.5, 3), "`q` must be 1 or 2; got 3"),
        (lambda: capacity.robustness(0.1, 0.5, norm=0), "`norm` must be 1 or 2; got 0"),
        (lambda: capacity.density(np.nan, 0.5), "got nan"),
        (lambda: capacity.critical_load(1.0), "between 0 and 1, both excluded; got 1"),
        (lambda: capacity.largest_load(0.0, 0.5), "above 0; got 0.0"),
        (lambda: capacity.load_bound(0.0, 0.5), "`density` must lie .* got 0.0"),
    ],
)
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# --- stability of soft replay -------------------------------------------------------


@pytest.mark.slow
def test_soft_replay_fails_where_its_threshold_is_unstable():
    """400 neurons, 200 patterns: stable up to 0.2, not at 0.4 (T11)."""
    config = Config(
        coding_level=0.05,
        initial_factor=0.6,
        initial_spread=0.0,
        target_per_input=0.07,
        sharpness=20.0,
        wake_rate=0.0158,
        size=400,
        rows=0,
        patterns=200,
        exact=True,
        policy="soft",
        schedule="onset",
        epochs=35,
    )
    patterns = memories(config, KEY)
    system, state = wake(config, patterns, KEY)
    steps = config.epochs * config.patterns
    tired, _ = simulate(system, state, KEY, steps=steps, every=steps)
    for rate, stable in ((0.2, True), (0.4, False)):
        here = dataclasses.replace(config, rate=rate, threshold_rate=rate)
        system, start = fall_asleep(here, patterns, tired.synapses)
        stored = system.task.stimulus
        assert jnp.sum(stored.stored) > 150
        final, _ = simulate(system, start, KEY, steps=1000, every=1000)
        fields, _ = fields_and_weights(system, final)
        right = margins(fields, stored.targets, stored.stored) > 0
        assert jnp.all(right) == stable
        pull = theory.threshold_pull(rate, 20.0, final.activity.average)
        assert (jnp.median(pull) < 2) == stable


def test_replay_pulls_an_unstable_threshold_too_far():
    """Two patterns, one input: the whole map of the threshold by hand."""
    patterns, weight, sharpness = jnp.asarray([[1.0, 0.0]]), 2.0, 3.0
    stored = Memories(patterns, 2 * patterns - 1, jnp.ones(2, bool))
    circuit = Replay(SoftReplay(sharpness))
    start = Factored(jnp.full((1, 1, 1), weight), jnp.ones(1))
    activity = circuit.start(start, stored)
    pulled = jax.jit(lambda now: circuit(activity, now, stored, KEY)[1].bias)
    for off in (-0.3, 0.0, 0.2):
        synapses = dataclasses.replace(start, threshold=jnp.asarray([1.0 + off]))
        want = np.tanh(sharpness * off / np.asarray(activity.average))
        np.testing.assert_allclose(pulled(synapses), want, atol=1e-12)
