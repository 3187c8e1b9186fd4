"""Closed forms of optimal plasticity: all rows of `verify`, laws and their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax.curvature import (
    best_ratio,
    gradient_parts,
    greedy_ratio,
    hessian_operator,
    isotropic_loss,
    relaxation_rate,
    spectrum,
    steady_state,
)
from plasticity_jax.systems.optimal_plasticity import theory
from plasticity_jax.systems.optimal_plasticity.checks import (
    algebra_checks,
    network_checks,
    noise_checks,
)
from plasticity_jax.systems.optimal_plasticity.checks._appendix import (
    default_network_checks,
    premise_checks,
)
from plasticity_jax.systems.optimal_plasticity.checks._run import run_checks
from plasticity_jax.systems.optimal_plasticity.config import (
    Config,
    input_moment,
    objective,
)
from plasticity_jax.systems.optimal_plasticity.published import REPORTED_SHARES


ONE, ZERO = jnp.ones(()), jnp.zeros(())
N = 120  # eigenvalues: one program for all spectra
state_of, best_of = jax.jit(steady_state), jax.jit(best_ratio)


@pytest.mark.parametrize(
    "checks",
    [
        algebra_checks,
        network_checks,
        noise_checks,
        premise_checks,
        default_network_checks,
    ],
)
@pytest.mark.dear
def test_every_closed_form_holds(checks):
    rows = list(checks())
    assert len(rows) > 6
    assert not [row for row in rows if not row.holds]


@pytest.mark.slow
def test_every_law_of_the_long_run_holds():
    rows = list(run_checks())
    assert len(rows) > 15
    assert not [row for row in rows if not row.holds]


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    st.lists(st.floats(0.01, 10.0), min_size=2, max_size=2),
    st.floats(0.05, 5.0),
    st.floats(0.0, 5.0),
)
def test_mean_field_solves_its_own_equations(ends, ratio, corruption):
    spectrum = np.geomspace(min(ends), max(ends) + 0.01, N)
    found = state_of(spectrum, ratio, 1.0, corruption)
    state = jax.tree.map(np.asarray, found)
    clean, noise = gradient_parts(jnp.asarray(ratio), ONE, jnp.asarray(corruption))
    assert 0 < state.step * spectrum[-1] < 2
    length = np.sum(spectrum**2 * state.variances)
    assert np.allclose(length, state.gradient_norm**2, rtol=1e-6)
    assert np.allclose(state.step * state.gradient_norm, clean, rtol=1e-10)
    decay = 1 - state.step * spectrum
    stays = decay**2 * state.variances + (np.asarray(noise) ** 2 + 1) / N
    assert np.allclose(stays, state.variances, rtol=1e-6)


def test_mean_field_is_the_isotropic_law_on_an_even_spectrum():
    even = np.full(N, 0.3)
    for ratio in (0.2, 1.0, 3.0):
        for rho in (0.0, 2.0):
            got = state_of(even, ratio, 0.7, rho).loss
            want = isotropic_loss(ratio, 0.7, 0.3, rho)
            assert np.allclose(got, want, rtol=1e-8)
    assert np.allclose(best_of(even, 0.0), 1.0, rtol=1e-6)


def test_mean_field_derivative_is_true():
    spectrum = np.geomspace(0.1, 3.0, N)
    loss = lambda r: state_of(spectrum, r, 1.0, 0.5).loss
    secant = (loss(0.6 + 1e-5) - loss(0.6 - 1e-5)) / 2e-5
    assert np.allclose(jax.jit(jax.grad(loss))(0.6), secant, rtol=1e-6)


@pytest.mark.parametrize(
    ("condition", "best", "greedy"),
    [(10.0, 0.808, 0.774), (100.0, 0.662, 0.583), (1e4, 0.526, 0.415)],
)
def test_the_greedy_ratio_is_below_the_best_fixed_one(condition, best, greedy):
    """Reference values of the specification, for log-uniform spectra."""
    spectrum = jnp.geomspace(1 / condition, 1.0, N)
    assert np.allclose(best_of(spectrum, 0.0), best, atol=2e-3)
    assert np.allclose(greedy_ratio(spectrum, ZERO), greedy, atol=2e-3)


def test_reference_values_of_the_mean_field_law():
    spectrum = np.repeat(np.geomspace(0.2, 5.0, 12), 10) / 5
    for ratio, want in ((0.4, 0.3814), (0.7, 0.2566), (1.0, 0.2840), (1.5, 0.4252)):
        got = state_of(spectrum, ratio, 1.0, 0.0).loss
        assert np.allclose(got, want, atol=5e-5)
    for rho, want in ((0.0, 0.737), (1.0, 0.869), (5.0, 0.992)):
        assert np.allclose(best_of(spectrum, rho), want, atol=5e-4)


def test_an_undriven_stiff_direction_becomes_marginal():
    spectrum = jnp.asarray([0.5, 1.0, 4.0])
    shares = jnp.asarray([0.5, 0.5, 0.0])
    stable = steady_state(spectrum, jnp.asarray(0.05), ONE, ZERO, shares)
    marginal = steady_state(spectrum, jnp.asarray(1.0), ONE, ZERO, shares)
    assert stable.step * 4.0 < 2
    assert jnp.allclose(marginal.step * 4.0, 2.0)
    assert marginal.variances[2] == 0
    driven = jnp.sum(spectrum * marginal.variances) / 2
    assert marginal.loss > driven


def test_flat_directions_do_not_count():
    spectrum = jnp.asarray([0.0, 0.0, 1.0, 2.0])
    state = steady_state(spectrum, jnp.asarray(0.5), ONE, ZERO)
    assert jnp.isfinite(state.loss)
    assert jnp.array_equal(state.variances[:2], jnp.zeros(2))


def test_the_law_of_probes_holds_the_isotropic_one_and_that_of_a_gradient():
    isotropic = isotropic_loss(0.7, 0.3, 0.2, 0.0)
    one = theory.probe_loss(0.7, 0.3, 0.2, 120)
    assert jnp.allclose(one, isotropic / theory.probe_alignment(120) ** 2, rtol=1e-12)
    assert jnp.allclose(theory.probe_loss(0.7, 0.3, 0.2, 9, 10**6), isotropic, 1e-4)
    many = theory.probe_alignment(40, 100)
    assert many == pytest.approx(0.8476, abs=1e-4)  # NumPy: 0.8478 of 20,000 draws
    assert theory.probe_alignment(40, 4000) == pytest.approx((4000 / 4039) ** 0.5, 1e-4)


def test_accepting_only_what_helps_realises_a_ratio_of_one_where_it_is_best():
    law = jax.jit(jax.vmap(lambda r: theory.accept_only_state(r, 0.3, 0.2, 40)))
    loss, realised = law(np.linspace(1.9, 1.95, 51))
    assert np.allclose(realised[np.argmin(loss)], 1.0, atol=5e-4)
    found = theory.accept_only_state(2.0, 1.0, 1.0, 40)  # NumPy: 50.36 and 1.026
    assert np.allclose(found, [50.36, 1.026], rtol=0.02)


def test_one_sided_probes_cost_what_they_did_in_numpy():
    cost = lambda r: (
        theory.one_sided_loss(r, 1.0, 1.0, r, 40) / theory.probe_loss(r, 1.0, 1.0, 40)
    )
    for ratio, want in ((1.0, 1.140), (2.0, 1.358), (4.0, 1.458)):
        assert jnp.allclose(cost(ratio), want, rtol=0.02)
    small = theory.one_sided_loss(1.0, 1.0, 1.0, 1e-6, 40)
    assert jnp.allclose(small, theory.probe_loss(1.0, 1.0, 1.0, 40), rtol=1e-9)


def test_the_best_release_is_that_of_a_search():
    """Against pairwise exchanges: none lowers what release adds to the loss."""
    curvature, weights = np.geomspace(0.1, 5.0, 8), np.linspace(-1.0, 2.0, 8)
    cost = lambda p: np.sum(curvature * weights**2 * (1 - p) / p)
    for mean in (0.2, 0.6):
        chances = theory.best_release(curvature, weights, mean)
        assert jnp.allclose(jnp.mean(chances), mean, rtol=1e-12)
        assert (jnp.max(chances) == 1) == (mean == 0.6)
        chances = np.asarray(chances)
        for i in range(8):
            for j in range(8):
                moved = chances + 1e-4 * (np.eye(8)[j] - np.eye(8)[i])
                assert moved[j] > 1 or i == j or cost(moved) > cost(chances)


@pytest.mark.dear
def test_a_few_lanczos_steps_give_the_best_ratio_of_102400_weights():
    config = Config(sizes=(320, 320), inputs="iid")
    loss, teacher = objective(config, jax.random.key(0))
    operator = hessian_operator(loss, teacher)
    options = {"method": "lanczos", "steps": 20, "probes": 1}
    values, shares = spectrum(operator, key=jax.random.key(1), **options)
    exact = 2 / 320 * jnp.linalg.eigvalsh(input_moment(config))  # each 320 times
    want = best_ratio(exact, ZERO)
    assert jnp.allclose(best_ratio(values, ZERO, weights=shares), want, rtol=2e-3)
    assert jnp.abs(want - 1) > 0.1  # else an even spectrum would do


def test_small_formulas():
    assert jnp.allclose(theory.fluctuation_share(ONE), 0.5)
    assert min(REPORTED_SHARES.values()) >= 0.5
    assert abs(theory.probe_alignment(120) - 0.07299) < 1e-4
    assert theory.probe_alignment(1) == pytest.approx(1.0)
    assert jnp.allclose(relaxation_rate(ONE, ONE, ZERO), 1.0)
    saddle = lambda w: w[0] ** 2 - w[1] ** 2
    w, up = jnp.asarray([1.0, 1.0]), jnp.asarray([0.0, 1.0])
    assert jnp.isnan(theory.optimal_length(saddle, w, up))
