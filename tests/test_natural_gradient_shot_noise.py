"""The exact Fisher matrix for Poisson inputs, against draws, limits and brute force."""

import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.circuits import input_moments, SynapticKernel
from plasticity_jax.curvature import glm_fisher, skewed_glm_fisher
from plasticity_jax.curvature._transfer import (
    fisher_density,
    RectifiedQuadratic,
    Sigmoid,
)
from plasticity_jax.systems.natural_gradient.shot_noise import (
    draw_potentials,
    fisher_error,
    relative_spectrum,
    shot_noise_fisher,
    update_angle,
    voltage_density,
)


SIGMOID, KERNEL = Sigmoid(), SynapticKernel()
WEIGHTS = jnp.asarray([0.12, -0.08, 0.2, -0.1])
RATES = jnp.asarray([10.0, 20.0, 30.0, 50.0])
MOMENTS = jax.jit(input_moments)(RATES, KERNEL)
SECOND = np.diag(MOMENTS.variance) + np.outer(MOMENTS.mean, MOMENTS.mean)
exact = jax.jit(lambda w, r: shot_noise_fisher(SIGMOID, w, r, KERNEL))
density_of = jax.jit(lambda v: fisher_density(SIGMOID, v)[0])


@jax.jit
def forms(weights, rates, transfer=SIGMOID):
    """The exact matrix and the Gaussian closed form."""
    m = input_moments(rates, KERNEL)
    gaussian = glm_fisher(transfer, weights, m.mean, m.variance, nodes=401)
    full = shot_noise_fisher(transfer, weights, rates, KERNEL)
    return full, gaussian.as_matrix()


@jax.jit
def corrected(weights, rates):
    """The form with the third cumulants, and its inverse."""
    m = input_moments(rates, KERNEL)
    parts = skewed_glm_fisher(SIGMOID, weights, m.mean, m.variance, m.third)
    return parts.operator().as_matrix(), parts.inverse().as_matrix()


def ramp(n):
    """Weights from -1/n to 1/n at 10 Hz and again at 50 Hz."""
    weights = jnp.tile(jnp.linspace(-1.0, 1.0, n // 2) / n, 2)
    return weights, jnp.repeat(jnp.asarray([10.0, 50.0]), n // 2)


def near(actual, expected, tolerance):
    size = float(np.max(np.abs(expected)))
    return np.allclose(actual, expected, rtol=0.0, atol=tolerance * size)


@pytest.fixture(scope="module")
def potentials():
    keys = jr.split(jr.key(0), 60_000)
    draw = jax.jit(jax.vmap(lambda key: draw_potentials(RATES, KERNEL, 40, key)))
    return np.asarray(draw(keys))


@functools.cache
def voltages_and_mass():
    """The grid of the potential's density, and the share at each place."""
    voltages, density = jax.jit(voltage_density)(WEIGHTS, RATES, KERNEL)
    return np.asarray(voltages), np.asarray(density * (voltages[1] - voltages[0]))


# --- the law of the potential ---------------------------------------------------------


def test_draws_have_the_cumulants_of_shot_noise(potentials):
    centred = potentials - np.asarray(MOMENTS.mean)
    count = len(potentials)
    for power, want in ((1, np.zeros(4)), (2, MOMENTS.variance), (3, MOMENTS.third)):
        error = np.std(centred**power, axis=0) / count**0.5
        assert np.all(np.abs(np.mean(centred**power, axis=0) - want) < 4 * error)
        if power > 1:
            assert np.all(error < 0.1 * np.asarray(want))


def test_the_density_has_the_cumulants_of_the_potential(potentials):
    voltages, mass = voltages_and_mass()
    weights = np.asarray(WEIGHTS)
    mean = weights @ MOMENTS.mean
    assert np.allclose(np.sum(mass), 1.0, atol=1e-10)
    assert np.allclose(mass @ voltages, mean, rtol=1e-8)
    for power, cumulant in ((2, MOMENTS.variance), (3, MOMENTS.third)):
        found = mass @ (voltages - mean) ** power
        assert np.allclose(found, weights**power @ cumulant, rtol=1e-7)
    place = np.searchsorted(voltages, 10.0)  # mV
    edge = (voltages[place - 1] + voltages[place]) / 2
    share = np.mean(potentials @ weights > edge)
    error = np.sqrt(share * (1 - share) / len(potentials))
    assert error < 0.05 * share
    assert np.abs(np.sum(mass[place:]) - share) < 4 * error


def test_without_weights_the_potential_stays_at_rest():
    silent = exact(jnp.zeros(4), RATES)
    assert near(silent, float(density_of(jnp.zeros(()))) * SECOND, 1e-9)


# --- the matrix -----------------------------------------------------------------------


def test_the_matrix_is_the_mean_over_draws_and_the_gaussian_form_is_not(potentials):
    density = np.asarray(density_of(potentials @ np.asarray(WEIGHTS)))
    samples = density[:, None, None] * potentials[:, :, None] * potentials[:, None]
    mean, error = (
        np.mean(samples, axis=0),
        np.std(samples, axis=0) / len(samples) ** 0.5,
    )
    full, gaussian = map(np.asarray, forms(WEIGHTS, RATES))
    assert np.all(error < 0.03 * full)
    assert np.all(np.abs(mean - full) < 4 * error)
    assert np.max(np.abs(mean - gaussian) / error) > 10


def test_the_separated_integral_is_the_double_one():
    voltages, mass = voltages_and_mass()
    rising, falling = (np.polynomial.legendre.leggauss(n) for n in (16, 40))
    times = np.concatenate([0.003 * (rising[0] + 1), 0.006 + 0.12 * (falling[0] + 1)])
    duration = np.concatenate([0.003 * rising[1], 0.12 * falling[1]])
    shape = np.asarray(KERNEL(times))
    both = 0.2 * shape[:, None] - 0.1 * shape[None]  # the last two weights
    raised = lambda potential: mass @ density_of(voltages + potential)
    table = jax.jit(lambda x: jax.lax.map(jax.vmap(raised), x))(both)
    cross = 30.0 * 50.0 * (duration * shape) @ np.asarray(table) @ (duration * shape)
    assert np.allclose(exact(WEIGHTS, RATES)[2, 3], cross, rtol=1e-7)


def test_a_quadratic_transfer_function_knows_two_moments_of_any_law():
    quadratic = RectifiedQuadratic(threshold=-300.0)
    matrix, _ = forms(2 * WEIGHTS, RATES, quadratic)
    assert near(matrix, SECOND, 1e-10)


@pytest.mark.parametrize(
    ("weight", "rate", "ratio"), [(0.05, 5.0, 1.58), (0.01, 10.0, 1.10)]
)
def test_a_single_synapse_is_off_by_the_published_factor(weight, rate, ratio):
    full, gaussian = forms(jnp.asarray([weight]), jnp.asarray([rate]))
    assert full.shape == (1, 1)
    assert jnp.abs(full[0, 0] / gaussian[0, 0] - ratio) < 0.005


@pytest.mark.parametrize(
    ("weight", "place", "value"), [(0.1, -1, 2.45), (0.45, 0, 0.36)]
)
def test_the_ten_synapses_of_figure_7_are_off_by_the_known_factors(
    weight, place, value
):
    rates = jnp.asarray([5.0] * 5 + [1e-4] * 5)
    ratios = relative_spectrum(
        *forms(jnp.full(10, weight), rates, Sigmoid(threshold=15.0))
    )
    assert jnp.abs(ratios[place] - value) < 0.005


@pytest.mark.dear
def test_the_gaussian_form_is_the_limit_of_many_inputs():
    errors = {n: fisher_error(*forms(*ramp(n))) for n in (100, 200)}
    assert 0.04 < errors[200] < 0.08
    assert 1.7 < errors[100] / errors[200] < 2.3


def test_the_correction_for_skewness_is_ten_times_better_and_its_inverse_right():
    weights, rates = ramp(100)
    (full, gaussian), (skewed, inverse) = (
        forms(weights, rates),
        corrected(weights, rates),
    )
    off = jax.jit(
        lambda x: (fisher_error(full, x), update_angle(full, x, weights[::-1]))
    )
    (error, angle), (less, smaller) = off(gaussian), off(skewed)
    assert 0.09 < error < 0.14
    assert less < 0.1 * error
    assert near(inverse @ skewed, np.eye(100), 1e-9)
    assert 2.0 < angle < 6.0  # degrees
    assert smaller < 0.1 * angle


def test_silent_inputs_leave_the_others_alone():
    rates, others = jnp.asarray([10.0, 0.0, 30.0, 50.0]), np.ix_([0, 2, 3], [0, 2, 3])
    drawn = jax.jit(draw_potentials, static_argnums=2)(rates, KERNEL, 40, jr.key(0))
    assert (drawn > 0).tolist() == [1, 0, 1, 1]
    almost = jnp.asarray([0.12, 0.15, 0.2, -0.1]), jnp.asarray([10.0, 1e-9, 30.0, 50.0])
    silent, nearly, whole = (
        np.asarray(exact(*x)) for x in ((WEIGHTS, rates), almost, (WEIGHTS, RATES))
    )
    assert np.all(silent[1] == 0.0)
    assert near(silent[others], nearly[others], 1e-9)
    assert not near(silent[others], whole[others], 1e-2)


def test_single_precision_is_good_to_four_digits():
    short = lambda x: jnp.asarray(x, jnp.float32)
    kernel, transfer = jax.tree.map(short, (KERNEL, SIGMOID))
    matrix = jax.jit(shot_noise_fisher)(transfer, short(WEIGHTS), short(RATES), kernel)
    assert matrix.dtype == jnp.float32
    assert near(matrix, exact(WEIGHTS, RATES), 1e-4)


def test_its_gradient_is_that_of_the_matrix():
    step = 1e-4 * np.asarray([1.0, -1.0, 0.5, 2.0])
    slope = jax.jit(jax.grad(lambda w: jnp.trace(exact(w, RATES))))(WEIGHTS) @ step
    ends = [np.trace(exact(WEIGHTS + x, RATES)) for x in (step, -step)]
    assert np.allclose(slope, (ends[0] - ends[1]) / 2, rtol=1e-5)


# --- measures of two matrices ---------------------------------------------------------


def test_measures_of_known_matrices():
    closed = jnp.asarray([[2.0, 1.0], [1.0, 3.0]])
    assert jnp.abs(fisher_error(closed, closed)) < 1e-14
    assert jnp.allclose(fisher_error(0.4 * closed, closed), 0.6)
    assert jnp.allclose(
        relative_spectrum(jnp.eye(2), jnp.diag(RATES[:2])), 1 / RATES[1::-1]
    )
    assert jnp.isinf(fisher_error(jnp.eye(2), -closed))
    turned = jnp.asarray([[1.0, 1.0], [1.0, 1.0]])
    direction = jnp.asarray([1.0, 0.0])
    assert jnp.allclose(update_angle(turned, jnp.eye(2), direction), 45.0)
    straight = jax.jit(jax.value_and_grad(lambda x: update_angle(x, x, direction)))
    none, slope = straight(closed)
    assert none < 1e-12
    assert jnp.all(jnp.isfinite(slope))


@pytest.mark.parametrize(
    ("weights", "rates", "says"),
    [
        (
            WEIGHTS,
            jnp.asarray([1.0, 1.0, 1.0, -1.0]),
            "`rates` must be finite and not negative",
        ),
        (WEIGHTS, jnp.asarray(4 * [jnp.inf]), "`rates` must be finite"),
        (jnp.asarray(4 * [jnp.nan]), RATES, "`weights` must be finite"),
        (jnp.asarray([]), jnp.asarray([]), "must hold a weight"),
    ],
)
def test_bad_input_is_named(weights, rates, says):
    with pytest.raises(ValueError, match=says):
        shot_noise_fisher(SIGMOID, weights, rates, KERNEL)


def test_shapes_are_checked_without_type_checkers_too():
    with pytest.raises(ValueError, match="`rates` must be Float"):
        shot_noise_fisher(SIGMOID, WEIGHTS, RATES[:3], KERNEL)
    with pytest.raises(ValueError, match="`weights` must be Float"):
        shot_noise_fisher(SIGMOID, WEIGHTS[None], RATES[None], KERNEL)
    with pytest.raises(ValueError, match="`closed` must be Float"):
        fisher_error(jnp.eye(2), jnp.eye(3))
    with pytest.raises(ValueError, match="`direction` must be Float"):
        update_angle(jnp.eye(2), jnp.eye(2), jnp.ones(3))
    with pytest.raises(ValueError, match="`points` must be even"):
        voltage_density(WEIGHTS, RATES, KERNEL, points=101)
