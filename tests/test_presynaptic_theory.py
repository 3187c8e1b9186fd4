"""Closed forms of synapses that release, and of one as a chain."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax import simulate
from plasticity_jax.systems.presynaptic_stochasticity import (
    chain,
    drift,
    resting,
    theory,
)
from plasticity_jax.systems.presynaptic_stochasticity.checks._chain import chain_checks
from plasticity_jax.systems.presynaptic_stochasticity.checks._information import (
    information_checks,
)
from plasticity_jax.systems.presynaptic_stochasticity.checks._release import (
    release_checks,
)


KEY = jr.key(0)
quick = settings(deadline=None, max_examples=25, derandomize=True)
positive = st.floats(0.05, 5.0)
means = st.floats(-4.0, 4.0)
ups = st.floats(0.02, 0.4)


# --- every closed form --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("checks", [release_checks, information_checks, chain_checks])
def test_every_closed_form_holds(checks):
    rows = list(checks())
    assert len(rows) >= 20
    assert not [row for row in rows if not row.holds]


# --- moments ------------------------------------------------------------------------


def test_masks_are_all_listed_with_their_chances():
    p = jnp.asarray([0.0, 0.3, 1.0, 0.6])
    np.testing.assert_allclose(theory.over_masks(lambda r: r, p), p, atol=1e-15)
    sure = jnp.asarray([1.0, 0.5])  # a logarithm of nothing, where nothing cannot be
    found = theory.over_masks(lambda r: jnp.log(r[0]), sure)
    assert found == 0
    both = theory.over_masks(lambda r: r[1] * r[3], p)
    np.testing.assert_allclose(both, 0.18, rtol=1e-14)


def test_too_many_masks_are_refused():
    with pytest.raises(ValueError, match="at most 16 synapses are listed; got 17"):
        theory.over_masks(jnp.sum, jnp.ones(17))


def test_reliable_release_has_no_noise():
    strength, activity = jr.normal(KEY, (2, 4))
    sure = jnp.ones(4)
    loss = theory.expected_square_loss(strength, sure, activity, 0.3)
    np.testing.assert_allclose(loss, (0.3 - strength @ activity) ** 2 / 2)
    assert theory.energy_variance(strength, sure) == 0


@quick
@given(st.floats(0.1, 1.0), st.floats(0.1, 1.0), means, means)
def test_an_explicit_step_at_fixed_release_is_a_step_of_the_mean(p, later, m, slope):
    before, after = jnp.asarray(p), jnp.asarray(later)
    m, slope = jnp.asarray(m), jnp.asarray(slope)
    strength = p * m - 0.1 * slope / p - 0.02 * p * m  # slope along m is p times g
    got = theory.explicit_step(m, before, after, slope, 0.1, 0.02)
    np.testing.assert_allclose(got * after, strength, atol=1e-12)


# --- steps up -----------------------------------------------------------------------


@quick
@given(positive, means, positive)
def test_slope_of_steps_up(threshold, mean, deviation):
    rise = jax.grad(theory.up_probability, argnums=2)(threshold, mean, deviation)
    want = theory.up_slope(threshold, mean, deviation)
    np.testing.assert_allclose(rise, want, atol=1e-13, rtol=1e-10)


@quick
@given(positive, st.floats(1.01, 5.0), st.sampled_from([-1.0, 1.0]))
def test_steps_up_are_rarest_at_the_turning_point(threshold, factor, sign):
    mean = sign * factor * threshold
    turn = theory.turning_deviation(threshold, mean)
    np.testing.assert_allclose(theory.up_slope(threshold, mean, turn), 0, atol=1e-10)
    assert theory.up_slope(threshold, mean, 1.1 * turn) > 0
    here, less = (theory.up_probability(threshold, mean, x * turn) for x in (1, 0.8))
    assert here <= less


@quick
@given(positive, st.floats(-0.99, 0.99), positive)
def test_steps_up_rise_with_information_while_the_mean_is_below_threshold(
    threshold, share, deviation
):
    assert theory.turning_deviation(threshold, share * threshold) == 0
    assert theory.up_slope(threshold, share * threshold, deviation) >= 0


def test_the_turning_point_has_finite_slopes_on_both_sides():
    slope = jax.grad(theory.turning_deviation, argnums=1)
    assert np.isfinite(slope(1.0, 1.5))
    assert slope(1.0, 0.5) == 0


def test_up_steps_without_threshold_and_without_noise():
    assert theory.up_probability(0.0, 0.3, 1.0) == 1
    assert theory.up_probability(1.0, 0.5, 0.0) == 0
    assert theory.up_probability(1.0, 1.5, 0.0) == 1
    assert theory.up_probability_laplace(0.0, 1.0) == 1
    np.testing.assert_array_equal(
        theory.up_probability_sparse(1.0, jnp.asarray([0.5, 2.0]), 0.1), [0.0, 0.1]
    )


# --- freezing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "freeze", "up", "message"),
    [
        (0.25, 0.9, 0.0, "`up` must lie between 0 and 1; got 0.0"),
        (0.25, 0.9, 1.0, "`up` must lie between 0 and 1; got 1.0"),
        (0.25, 1.0, 0.1, "`freeze` must lie in"),
        (0.25, 0.1, 0.1, "got 0.1"),
    ],
)
def test_bad_steps_are_refused(low, freeze, up, message):
    with pytest.raises(ValueError, match=message):
        theory.fewest_steps(low, freeze, up)


def test_a_synapse_that_starts_frozen_needs_no_step():
    assert theory.fewest_steps(0.5, 0.5, 0.1) == 0
    assert theory.fewest_steps(0.5, 0.5, 0.1, scaled=False) == 0


# --- Bayesian updating --------------------------------------------------------------


@quick
@given(positive, st.floats(1e-3, 5.0), means, means)
def test_a_posterior_is_the_product_of_two_gaussians(deviation, curvature, mean, goal):
    mean, deviation = jnp.asarray(mean), jnp.asarray(deviation)
    after, narrower = theory.gaussian_posterior(mean, deviation, curvature, goal)
    precision = deviation**-2 + curvature
    want = (mean / deviation**2 + curvature * goal) / precision
    np.testing.assert_allclose(after, want, atol=1e-12)
    np.testing.assert_allclose(narrower**-2, precision, rtol=1e-12)
    step = theory.bayesian_deviation(deviation, curvature * deviation)
    learned = theory.bayesian_precision(deviation, curvature)
    np.testing.assert_allclose(step**-2, learned, rtol=1e-10)
    assert learned >= precision * (1 - 1e-12)


# --- the chain ----------------------------------------------------------------------


@quick
@given(ups, st.floats(0.5, 0.97), st.floats(0.0, 0.45))
def test_the_ladder_closes_and_ends_frozen(up, freeze, low):
    levels = np.asarray(chain.ladder(low, freeze, up))
    assert abs(levels[0] - low) < 1e-15
    assert levels[-1] > freeze - 1e-12 > levels[-2] - 2e-12
    down = float(chain.matching_down(up))
    back = 1 - (1 - levels[1:]) * (1 + down)
    np.testing.assert_allclose(back, levels[:-1], atol=1e-13)


@quick
@given(st.lists(st.floats(0.05, 1.0), min_size=5, max_size=5))
@pytest.mark.dear
def test_freezing_time_and_law_of_any_chain(climbs):
    climbs = jnp.asarray(climbs)
    matrix = np.asarray(chain.transitions(climbs))
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-15)
    among = np.eye(len(climbs)) - matrix[:-1, :-1]
    want = np.linalg.solve(among, np.ones(len(climbs)))[0]
    np.testing.assert_allclose(chain.freezing_time(climbs), want, rtol=1e-7)
    law = np.linalg.matrix_power(matrix, 8)[0]
    np.testing.assert_allclose(chain.law_after(climbs, 8), law, atol=1e-13)
    shares = chain.frozen_shares(climbs, 3)
    np.testing.assert_allclose(shares[-1], law[-1], atol=1e-13)
    assert jnp.all(jnp.diff(shares) >= -1e-15)


def test_a_synapse_that_always_climbs_takes_the_fewest_steps():
    climbs = jnp.ones(theory.fewest_steps(0.25, 0.9353, 0.052))
    assert chain.freezing_time(climbs) == 46
    assert chain.law_after(climbs, 45)[-1] == 0
    assert chain.law_after(climbs, 46)[-1] == 1


def test_mean_freezing_time_has_a_gradient():
    def time(ratio):
        return chain.freezing_time(chain.levels_climbed(0.25, 0.9, 0.1, ratio))

    secant = (time(4.0 + 1e-5) - time(4.0 - 1e-5)) / 2e-5
    slope = jax.grad(time)(4.0)
    assert slope < 0  # more information freezes earlier
    np.testing.assert_allclose(slope, secant, rtol=1e-6)


def test_the_phase_diagram_is_a_threshold():
    shares = chain.phase_diagram(jnp.asarray([0.25, 1.0, 4.0, 16.0, 1e4]), 20)
    assert jnp.all(jnp.diff(shares, axis=0) >= -1e-12)
    assert jnp.all(jnp.diff(shares, axis=1) >= -1e-12)
    assert shares[1, -1] < 1e-6
    assert shares[2, -1] > 0.99


def test_simulated_synapses_stay_on_the_ladder():
    system, state = chain.independent(200, 0.25, 0.9, 0.1, 4.0)
    final, _ = simulate(system, state, KEY, steps=300, every=300)
    levels = chain.ladder(0.25, 0.9, 0.1)
    gaps = jnp.abs(final.synapses.probability[:, None] - levels[None])
    assert jnp.max(jnp.min(gaps, axis=1)) < 1e-12
    assert jnp.array_equal(final.synapses.strength, state.synapses.strength)


def test_where_release_rests_has_its_slopes():
    at = lambda x, a: jnp.stack([jnp.sum(x) for x in resting.release_roots(x, a)[:2]])
    seen = jax.jit(lambda x, a: (at(x, a), jax.jacobian(at, (0, 1))(x, a)))
    information, neutral, by = np.asarray([0.07, 0.12]), 0.05, 1e-6
    along, of_neutral = seen(information, neutral)[1]
    ends = [seen(information, neutral + sign * by)[0] for sign in (1, -1)]
    assert np.allclose(of_neutral, (ends[0] - ends[1]) / (2 * by), rtol=1e-6)
    for i, step in enumerate(by * np.eye(2)):
        ends = [seen(information + sign * step, neutral)[0] for sign in (1, -1)]
        assert np.allclose(along[:, i], (ends[0] - ends[1]) / (2 * by), rtol=1e-6)


def test_release_below_its_barrier_or_without_a_root_stays_low():
    rest = resting.resting_release(jnp.asarray([0.0, 1e-3, 0.12]), 0.05, 0.25)
    assert jnp.array_equal(rest[:2], jnp.asarray([0.25, 0.25]))
    assert rest[2] > 0.5
    barrier, _ = resting.release_roots(jnp.asarray([0.12]), 0.05)
    below = float(barrier[0]) * 0.99
    stuck = resting.resting_release(jnp.asarray([0.12]), 0.05, below)
    assert jnp.allclose(stuck, below)


def test_release_without_steps_down_or_of_any_slope_ends_at_one():
    rest = lambda x, neutral: resting.resting_release(jnp.asarray(x), neutral, 0.25)
    assert rest([0.0, 0.1, 1e30, jnp.inf], 0.0).tolist() == [0.25, 1.0, 1.0, 1.0]
    assert rest([jnp.inf], 0.05).tolist() == [1.0]
    barrier, _ = resting.release_roots(jnp.asarray([jnp.inf]), 0.05)
    assert jnp.allclose(barrier, 0.05)
    assert jax.grad(lambda x: rest(x, 0.05))(0.0) == 0


def test_variance_by_drift_without_steps_and_its_slope_without_a_rate():
    variance = lambda rate, steps=5.0: drift.drift_variance(0.2, 1.0, rate, steps)
    assert drift.drift_variance(0.0, 1.0, 1.0, 0.0) == 0
    secant = (variance(1e-6) - variance(0.0)) / 1e-6
    assert jnp.allclose(jax.grad(variance)(0.0), secant, rtol=1e-4)
