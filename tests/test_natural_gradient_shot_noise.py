"""The exact Fisher matrix for Poisson inputs, against draws, limits and brute force."""

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
exact = jax.jit(lambda w, r: shot_noise_fisher(SIGMOID, w, r, KERNEL))


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
    return draw(keys)


# --- the law of the potential ---------------------------------------------------------


def test_draws_have_the_cumulants_of_shot_noise(potentials):
    m = input_moments(RATES, KERNEL)
    centred = potentials - m.mean[None]
    count = len(potentials)
    for power, want in ((1, 0.0 * m.mean), (2, m.variance), (3, m.third)):
        error = jnp.std(centred**power, axis=0) / count**0.5
        assert jnp.all(jnp.abs(jnp.mean(centred**power, axis=0) - want) < 4 * error)
        if power > 1:
            assert jnp.all(error < 0.1 * want)


def test_the_density_has_the_cumulants_of_the_potential(potentials):
    voltages, density = voltage_density(WEIGHTS, RATES, KERNEL)
    mass = density * (voltages[1] - voltages[0])
    m = input_moments(RATES, KERNEL)
    mean = jnp.vdot(WEIGHTS, m.mean)
    assert jnp.allclose(jnp.sum(mass), 1.0, atol=1e-10)
    assert jnp.allclose(jnp.vdot(mass, voltages), mean, rtol=1e-8)
    for power, cumulant in ((2, m.variance), (3, m.third)):
        found = jnp.vdot(mass, (voltages - mean) ** power)
        assert jnp.allclose(found, jnp.vdot(WEIGHTS**power, cumulant), rtol=1e-7)
    place = int(jnp.searchsorted(voltages, 10.0))  # mV
    edge = (voltages[place - 1] + voltages[place]) / 2
    share = float(np.mean(potentials @ WEIGHTS > edge))
    error = np.sqrt(share * (1 - share) / len(potentials))
    assert error < 0.05 * share
    assert jnp.abs(jnp.sum(mass[place:]) - share) < 4 * error


def test_without_weights_the_potential_stays_at_rest():
    m = input_moments(RATES, KERNEL)
    second = jnp.diag(m.variance) + jnp.outer(m.mean, m.mean)
    silent = exact(jnp.zeros(4), RATES)
    assert near(silent, fisher_density(SIGMOID, jnp.zeros(()))[0] * second, 1e-9)


# --- the matrix -----------------------------------------------------------------------


def test_the_matrix_is_the_mean_over_draws_and_the_gaussian_form_is_not(potentials):
    density = fisher_density(SIGMOID, potentials @ WEIGHTS)[0]
    samples = density[:, None, None] * potentials[:, :, None] * potentials[:, None]
    error = jnp.std(samples, axis=0) / len(samples) ** 0.5
    full, gaussian = forms(WEIGHTS, RATES)
    assert jnp.all(error < 0.03 * full)
    assert jnp.all(jnp.abs(jnp.mean(samples, axis=0) - full) < 4 * error)
    assert jnp.max(jnp.abs(jnp.mean(samples, axis=0) - gaussian) / error) > 10


def test_the_separated_integral_is_the_double_one():
    voltages, density = voltage_density(WEIGHTS, RATES, KERNEL)
    mass = density * (voltages[1] - voltages[0])
    rising, falling = (np.polynomial.legendre.leggauss(n) for n in (16, 40))
    times = np.concatenate([0.003 * (rising[0] + 1), 0.006 + 0.12 * (falling[0] + 1)])
    duration = np.concatenate([0.003 * rising[1], 0.12 * falling[1]])
    shape = KERNEL(jnp.asarray(times))
    raised = lambda potential: jnp.vdot(
        mass, fisher_density(SIGMOID, voltages + potential)[0]
    )
    both = WEIGHTS[2] * shape[:, None] + WEIGHTS[3] * shape[None]
    table = jax.lax.map(jax.vmap(raised), both)
    cross = RATES[2] * RATES[3] * (duration * shape) @ table @ (duration * shape)
    assert jnp.allclose(exact(WEIGHTS, RATES)[2, 3], cross, rtol=1e-7)


def test_a_quadratic_transfer_function_knows_two_moments_of_any_law():
    quadratic = RectifiedQuadratic(threshold=-300.0)
    matrix, _ = forms(2 * WEIGHTS, RATES, quadratic)
    m = input_moments(RATES, KERNEL)
    assert near(matrix, jnp.diag(m.variance) + jnp.outer(m.mean, m.mean), 1e-10)


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
    (full, gaussian), (skewed, inverse) = forms(*ramp(100)), corrected(*ramp(100))
    assert 0.09 < fisher_error(full, gaussian) < 0.14
    assert fisher_error(full, skewed) < 0.1 * fisher_error(full, gaussian)
    assert near(inverse @ skewed, np.eye(100), 1e-9)
    way = ramp(100)[0][::-1]
    angle = update_angle(full, gaussian, way)
    assert 2.0 < angle < 6.0  # degrees
    assert update_angle(full, skewed, way) < 0.1 * angle


def test_silent_inputs_leave_the_others_alone():
    rates, kept = RATES.at[1].set(0.0), jnp.asarray([0, 2, 3])
    silent = exact(WEIGHTS, rates)
    assert (draw_potentials(rates, KERNEL, 40, jr.key(0)) > 0).tolist() == [1, 0, 1, 1]
    assert jnp.all(silent[1] == 0.0)
    almost = exact(WEIGHTS.at[1].set(0.15), RATES.at[1].set(1e-9))
    others = (kept[:, None], kept[None])
    assert near(silent[others], almost[others], 1e-9)
    assert not near(silent[others], exact(WEIGHTS, RATES)[others], 1e-2)


def test_single_precision_is_good_to_four_digits():
    short = lambda x: jnp.asarray(x, jnp.float32)
    kernel, transfer = jax.tree.map(short, (KERNEL, SIGMOID))
    matrix = jax.jit(shot_noise_fisher)(transfer, short(WEIGHTS), short(RATES), kernel)
    assert matrix.dtype == jnp.float32
    assert near(matrix, exact(WEIGHTS, RATES), 1e-4)


def test_its_gradient_is_that_of_the_matrix():
    trace = lambda w: jnp.trace(exact(w, RATES))
    step = 1e-4 * jnp.asarray([1.0, -1.0, 0.5, 2.0])
    slope = jnp.vdot(jax.jit(jax.grad(trace))(WEIGHTS), step)
    secant = (trace(WEIGHTS + step) - trace(WEIGHTS - step)) / 2
    assert jnp.allclose(slope, secant, rtol=1e-5)


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


@pytest.mark.parametrize(
    ("weights", "rates", "says"),
    [
        (WEIGHTS, -RATES, "`rates` must be finite and not negative"),
        (WEIGHTS, RATES / 0.0, "`rates` must be finite"),
        (WEIGHTS * jnp.nan, RATES, "`weights` must be finite"),
        (WEIGHTS[:0], RATES[:0], "must hold a weight"),
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
