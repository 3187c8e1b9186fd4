"""Exact optima of one neuron, and margins over norms: tables, duality, edges."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax import measure
from plasticity_jax.measure import largest_l1_margin, largest_l2_margin
from plasticity_jax.systems.two_factor_consolidation.checks._optimum import (
    instance,
    INSTANCES,
    LP,
    MEANS,
    optima,
    QP,
)


SOLVERS = {1: largest_l1_margin, 2: largest_l2_margin}
quick = settings(deadline=None, max_examples=40, derandomize=True)
seeds = st.integers(0, 10_000)
orders = st.sampled_from([1, 2])


def _problem(seed, n=7, count=6, level=0.5):
    rng = np.random.default_rng(seed)
    patterns = (rng.random((n, count)) < level).astype(float)
    targets = np.where(rng.random(count) < 0.5, 1.0, -1.0)
    targets[:2] = 1, -1
    return patterns, targets


def _best_margin(weights, patterns, targets):
    """The margin of given weights at their best threshold."""
    currents = weights @ patterns
    return (currents[targets > 0].min() - currents[targets < 0].max()) / 2


# --- the development instances ------------------------------------------------------


@pytest.mark.parametrize("name", INSTANCES)
def test_table_of_the_specification(name):
    for q, table in ((1, LP), (2, QP)):
        found = optima(name, q)
        np.testing.assert_allclose(found.margin[:5], table[name], rtol=0, atol=1e-6)
        assert abs(np.mean(found.margin) - MEANS[name][q - 1]) < 1e-6
    assert abs(np.mean(optima(name, 1).weights > 1e-9) - MEANS[name][2]) < 1e-6


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize("q", SOLVERS)
def test_weights_and_threshold_have_the_margin(name, q):
    found, patterns = optima(name, q), instance(name)
    rows = len(found.margin)
    fields = found.weights @ patterns - found.threshold[:, None]
    targets = jnp.asarray(2 * patterns[:rows] - 1)
    got = measure.margins(jnp.asarray(fields), targets)
    np.testing.assert_allclose(got, found.margin, atol=1e-8)
    sizes = measure.norm(jnp.asarray(found.weights), float(q))
    np.testing.assert_allclose(sizes, 1, rtol=1e-9)
    assert np.all(found.weights >= 0)
    assert np.all(np.diag(found.weights) == 0)  # no input from itself


@pytest.mark.parametrize("q", SOLVERS)
def test_half_of_all_replays_potentiate(q):
    found, patterns = optima("D1", q), instance("D1")
    assert np.all(found.replay >= -1e-12)
    for row, replay in enumerate(found.replay):
        assert abs(replay[patterns[row] > 0].sum() - 0.5) < 1e-9
        assert abs(replay[patterns[row] == 0].sum() - 0.5) < 1e-9


# --- duality ------------------------------------------------------------------------


@quick
@given(seeds, orders, st.sampled_from([None, 0, 3]))
def test_dual_equals_margin(seed, q, own):
    """Weak duality makes any p a bound, so equality proves both sides optimal."""
    patterns, targets = _problem(seed)
    found = SOLVERS[q](patterns, targets, own=own)
    drive = patterns @ (found.replay * targets)
    if own is not None:
        drive = np.delete(drive, own)
        assert found.weights[own] == 0
    bound = drive.max() if q == 1 else np.linalg.norm(np.maximum(drive, 0))
    assert abs(bound - found.margin) < 1e-7
    assert abs(found.replay @ targets) < 1e-9
    assert abs(found.replay.sum() - 1) < 1e-9


@quick
@given(seeds, orders, seeds)
def test_no_other_weights_do_better(seed, q, other):
    patterns, targets = _problem(seed)
    found = SOLVERS[q](patterns, targets)
    tried = np.random.default_rng(other).gamma(0.3, size=(200, len(patterns))) + 1e-9
    tried /= np.linalg.norm(tried, ord=q, axis=1, keepdims=True)
    for weights in tried:
        assert _best_margin(weights, patterns, targets) <= found.margin + 1e-9


@quick
@given(seeds, orders)
def test_a_further_pattern_never_helps(seed, q):
    patterns, targets = _problem(seed)
    fewer = SOLVERS[q](patterns[:, :-1], targets[:-1]).margin
    assert SOLVERS[q](patterns, targets).margin <= fewer + 1e-9


@quick
@given(seeds, orders)
def test_complement_of_patterns_and_targets_has_the_same_margin(seed, q):
    """$w\\cdot(1-\\xi) = \\sum_jw_j - w\\cdot\\xi$: an L1 optimum turns around."""
    patterns, targets = _problem(seed)
    found = SOLVERS[q](patterns, targets)
    turned = SOLVERS[q](1 - patterns, -targets)
    assert abs(found.margin - turned.margin) < 1e-8


@quick
@given(seeds, orders)
def test_order_of_inputs_and_patterns_does_not_matter(seed, q):
    patterns, targets = _problem(seed)
    rng = np.random.default_rng(seed)
    inputs, order = rng.permutation(7), rng.permutation(6)
    found = SOLVERS[q](patterns, targets)
    moved = SOLVERS[q](patterns[inputs][:, order], targets[order])
    assert abs(found.margin - moved.margin) < 1e-8
    if q == 2 and found.separable:  # unique
        np.testing.assert_allclose(moved.weights, found.weights[inputs], atol=1e-6)


@quick
@given(seeds)
def test_doubled_inputs(seed):
    """Copies of all inputs: no use for L1, a root of two for L2."""
    patterns, targets = _problem(seed)
    doubled = np.concatenate([patterns, patterns])
    for q, gain in ((1, 1.0), (2, 2**0.5)):
        one, two = (SOLVERS[q](x, targets).margin for x in (patterns, doubled))
        assert abs(two - gain * one) < 1e-7


def test_two_patterns_by_hand():
    patterns = np.asarray([[1.0, 0], [1, 0], [0, 1], [1, 1]])
    targets = np.asarray([1.0, -1])
    first, second = (SOLVERS[q](patterns, targets) for q in (1, 2))
    free = largest_l2_margin(patterns, targets, excitatory=False)
    assert abs(first.margin - 0.5) < 1e-12
    assert abs(second.margin - 2**0.5 / 2) < 1e-9
    np.testing.assert_allclose(second.weights, [2**-0.5, 2**-0.5, 0, 0], atol=1e-9)
    assert abs(second.threshold - 2**-0.5) < 1e-9
    assert abs(free.margin - 3**0.5 / 2) < 1e-9  # half the distance
    np.testing.assert_allclose(free.weights * 3**0.5, [1, 1, -1, 0], atol=1e-8)


@quick
@given(seeds)
def test_free_weights_are_never_worse(seed):
    patterns, targets = _problem(seed)
    free = largest_l2_margin(patterns, targets, excitatory=False)
    assert free.margin >= largest_l2_margin(patterns, targets).margin - 1e-9
    assert abs(free.margin - np.linalg.norm(patterns @ (free.replay * targets))) < 1e-7


# --- what cannot be separated -------------------------------------------------------


@pytest.mark.parametrize("own", [None, 2])
def test_contradiction_is_not_separable(own):
    patterns, targets = _problem(3)
    patterns = np.concatenate([patterns, patterns[:, :1]], axis=1)
    targets = np.append(targets, -targets[0])
    first, second = (SOLVERS[q](patterns, targets, own=own) for q in (1, 2))
    assert first.margin <= 1e-12
    assert not first.separable
    assert second.margin == 0
    assert not second.separable
    assert np.all(second.weights == 0)


def test_load_above_capacity_has_a_negative_margin():
    patterns = (np.random.default_rng(0).random((50, 120)) < 0.5).astype(float)
    for row in range(5):
        found = largest_l1_margin(patterns, 2 * patterns[row] - 1, own=row)
        assert -0.1 < found.margin < -0.01
        assert not found.separable
        assert not largest_l2_margin(patterns, 2 * patterns[row] - 1, own=row).separable


@quick
@given(seeds, orders)
def test_both_agree_on_what_is_separable(seed, q):
    patterns, targets = _problem(seed, n=4, count=7)
    first, second = (SOLVERS[q](patterns, targets) for q in (1, 2))
    assert first.separable == second.separable


@pytest.mark.parametrize("q", SOLVERS)
def test_one_input_is_enough_or_is_missing(q):
    patterns = np.asarray([[1.0, 0, 1], [0, 0, 0]])
    targets = np.asarray([1.0, -1, 1])
    assert abs(SOLVERS[q](patterns, targets).margin - 0.5) < 1e-9
    assert not SOLVERS[q](patterns, targets, own=0).separable


@pytest.mark.parametrize("q", SOLVERS)
@pytest.mark.parametrize(
    ("patterns", "targets", "says"),
    [
        (np.ones((3, 2)), np.ones(2), r"one class"),
        (np.ones((3, 1)), -np.ones(1), r"-1: one class"),
        (np.ones((3, 2)), np.ones(3), r"\(3, 2\) and \(3,\)"),
        (np.ones(3), np.ones(3), r"got shapes"),
        (np.full((3, 2), 0.5), np.asarray([1.0, -1]), r"0 or 1 everywhere; got 0.5"),
        (np.full((3, 2), np.nan), np.asarray([1.0, -1]), r"got nan"),
        (np.ones((3, 2)), np.asarray([1.0, 0]), r"-1 or 1 everywhere; got 0"),
    ],
)
def test_bad_input(q, patterns, targets, says):
    with pytest.raises(ValueError, match=says):
        SOLVERS[q](patterns, targets)


# --- margins over norms -------------------------------------------------------------


@quick
@given(seeds, st.floats(0.1, 10.0), st.sampled_from([2.0, 1.0, 2 / 3, 0.5]))
def test_ratios_do_not_depend_on_scale(seed, scale, q):
    rng = np.random.default_rng(seed)
    weights, margin = jnp.asarray(rng.gamma(0.5, size=(3, 9))), jnp.asarray([1.0, 2, 3])
    before = measure.noise_ratio(margin, weights, q)
    after = measure.noise_ratio(scale * margin, scale * weights, q)
    np.testing.assert_allclose(after, before, rtol=1e-12)
    np.testing.assert_array_equal(
        measure.density(scale * weights), measure.density(weights)
    )
    by_factor = measure.volatile_noise_ratio(margin, weights, 2.0)
    np.testing.assert_allclose(
        measure.volatile_noise_ratio(scale * margin, scale**2 * weights, 2.0), by_factor
    )


@pytest.mark.dear
@quick
@given(seeds)
def test_norms(seed):
    weights = jnp.asarray(np.random.default_rng(seed).gamma(0.5, size=9)).at[3].set(0.0)
    np.testing.assert_allclose(measure.norm(weights, 1.0), jnp.sum(weights))
    for q in (2.0, 3.0):
        want = np.linalg.norm(np.asarray(weights), ord=q)
        np.testing.assert_allclose(measure.norm(weights, q), want)
    sizes = [measure.norm(weights, q) for q in (0.5, 1.0, 2.0, 4.0)]
    assert all(large >= small for large, small in itertools.pairwise(sizes))
    slope = jax.grad(lambda w: measure.norm(w, 0.5))(weights)
    assert np.all(np.isfinite(slope))
    assert slope[3] == 0


def test_neurons_without_synapses_have_no_ratio():
    weights, margin = jnp.zeros((2, 4)).at[1].set(0.25), jnp.asarray([1.0, 0.5])
    for ratio in (
        measure.noise_ratio(margin, weights, 1.0),
        measure.volatile_noise_ratio(margin, weights, 2.0),
    ):
        assert np.isnan(ratio[0])
        np.testing.assert_allclose(ratio[1], 0.5)
    counted = measure.volatile_noise_ratio(margin, weights, 1.0)[1]
    np.testing.assert_allclose(counted, 0.5 / 4**0.5)  # one each
    few = measure.volatile_noise_ratio(margin, weights, 1.0, above=0.25)
    assert np.all(np.isnan(few))


def test_margins_leave_out_what_is_not_stored():
    fields = jnp.asarray([[1.0, -2.0, 3.0]])
    targets = jnp.asarray([[1.0, -1.0, -1.0]])
    stored = jnp.asarray([True, True, False])
    assert measure.margins(fields, targets) == -3
    assert measure.margins(fields, targets, stored) == 1
    weights = jnp.asarray([[3.0, 4.0]])
    got = measure.memory_ratios(fields, targets, weights)
    np.testing.assert_allclose(got, [0.2, 0.4, -0.6])


def test_degenerate_neurons():
    targets = jnp.asarray([[1.0, 1, -1], [1, 1, 1], [-1, -1, -1], [-1, 1, 1]])
    assert list(measure.degenerate(targets)) == [False, True, True, False]
    stored = jnp.asarray([True, True, False])
    assert list(measure.degenerate(targets, stored)) == [True, True, True, False]


def test_a_cost_counts_living_synapses_and_adds_their_weights():
    weights = jnp.asarray([[2.0, -1.0, 1e-5, 0.0], [0.0, 0.0, 0.0, 0.0]])
    got = measure.metabolic_cost(weights, standing=0.5, transmission=3.0)
    assert np.allclose(got, [2 * 0.5 + 3 * 3.00001, 0], rtol=1e-9)
    with pytest.raises(ValueError, match="`standing` must"):
        measure.metabolic_cost(weights, standing=-1.0)


def test_density_of_two_criteria():
    weights = jnp.asarray([[1.0, 1e-2, 1e-6, 0.0]])
    assert measure.density(weights) == 0.5
    assert measure.density(weights, None) == 0.75
    assert measure.density(0 * weights) == 0


def test_lifetime_sparseness():
    assert measure.lifetime_sparseness(jnp.ones(5)) == 0
    np.testing.assert_allclose(measure.lifetime_sparseness(jnp.eye(5)), 1)
    assert np.isnan(measure.lifetime_sparseness(jnp.zeros(5)))


def test_recall_allows_for_a_fifth():
    patterns = jnp.eye(20)[:, :2].at[5:14].set(1.0)  # 10 active
    for wrong, right in ((2, True), (3, False)):
        states = patterns.at[:wrong, 0].set(1 - patterns[:wrong, 0])
        got = measure.recalled(states, patterns, 0.5)
        assert list(got) == [right, True]
