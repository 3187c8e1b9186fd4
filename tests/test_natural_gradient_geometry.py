"""Closed forms of the spiking neuron, and the pieces of Figs. 1, 3D-E, 8 and 10-12B."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import pytest
import xarray

from plasticity_jax.circuits import (
    RectifiedQuadratic,
    Sigmoid,
    SpikingNeuron,
    SynapticKernel,
)
from plasticity_jax.curvature import glm_coefficients, voltage_moments
from plasticity_jax.rules import (
    DenseNaturalGradient,
    EuclideanGradient,
    NaturalGradient,
    proportional_limit,
)
from plasticity_jax.systems.natural_gradient import theory
from plasticity_jax.systems.natural_gradient.experiments import (
    angles,
    coefficients,
    coordinates,
    directions,
    scale,
    two_afferents,
)
from plasticity_jax.systems.natural_gradient.potentials import stationary_potentials


SIGMOID = Sigmoid()
WEIGHTS, TEACHER = jnp.array([0.10, -0.05, 0.2]), jnp.array([0.12, 0.02, 0.15])
POTENTIALS = jnp.asarray(20 * abs(np.random.default_rng(0).normal(size=(200, 3))))
MOMENTS = [(0.0, 4.0), (10.0, 20.0), (-5.0, 100.0), (3.0, 1.0)]


def scalar(x):
    return jnp.asarray(x, float)


# --- the divergence -----------------------------------------------------------------


def test_divergence_is_that_of_two_bernoulli_laws():
    dt = 5e-4
    p = np.asarray(SIGMOID(POTENTIALS @ WEIGHTS)) * dt
    told = np.asarray(SIGMOID(POTENTIALS @ TEACHER)) * dt
    want = told * np.log(told / p) + (1 - told) * np.log((1 - told) / (1 - p))
    got = theory.divergence(SIGMOID, WEIGHTS, TEACHER, POTENTIALS, dt)
    assert np.isclose(got, want.mean(), rtol=1e-10, atol=0)
    same = theory.divergence(SIGMOID, TEACHER, TEACHER, POTENTIALS, dt)
    assert same == 0


def test_hessian_of_the_divergence_is_the_exact_bernoulli_fisher_matrix():
    """T1: with 1/(1 - phi dt), which the paper drops."""
    dt = 5e-3
    loss = lambda w: theory.divergence(SIGMOID, w, TEACHER, POTENTIALS, dt)
    rate = SIGMOID(POTENTIALS @ TEACHER)
    slope = SIGMOID.slope * rate * (1 - rate / SIGMOID.maximum)
    exact = slope**2 / (rate * (1 - rate * dt))
    fisher = dt * jnp.einsum("s,si,sj->ij", exact, POTENTIALS, POTENTIALS) / 200
    assert jnp.allclose(jax.jit(jax.hessian(loss))(TEACHER), fisher, rtol=1e-10)
    approximate = slope**2 / rate
    paper = dt * jnp.einsum("s,si,sj->ij", approximate, POTENTIALS, POTENTIALS) / 200
    assert not jnp.allclose(paper, fisher, rtol=1e-2)


@jax.jit
def _value_and_gradients(w, teacher, dt):
    loss = lambda w, teacher: theory.divergence(SIGMOID, w, teacher, POTENTIALS, dt)
    return jax.value_and_grad(loss, (0, 1))(w, teacher)


@pytest.mark.parametrize("far", [-300.0, -1.0, 1.0, 300.0])
@pytest.mark.parametrize("dt", [5e-4, 1e-2])
def test_divergence_is_finite_where_a_probability_is_0_or_1(far, dt):
    there = jnp.full(3, far)
    for w, teacher in ((there, TEACHER), (TEACHER, there), (there, there)):
        value, gradient = _value_and_gradients(w, teacher, scalar(dt))
        assert jnp.isfinite(value)
        assert value >= -1e-18  # rounding
        assert all(jnp.all(jnp.isfinite(g)) for g in gradient)


def test_single_precision_resolves_divergences_far_below_the_threshold():
    near = TEACHER + 2e-4
    double = theory.divergence(SIGMOID, near, TEACHER, POTENTIALS, 5e-4)
    assert double < 1e-7
    transfer = jax.tree.map(lambda x: x.astype(jnp.float32), SIGMOID)
    w, teacher, x = (y.astype(jnp.float32) for y in (near, TEACHER, POTENTIALS))
    single = theory.divergence(transfer, w, teacher, x, 5e-4)
    assert abs(float(single) / float(double) - 1) < 1e-2


def test_rate_error_is_a_root_mean_square():
    linear = lambda voltage: 2 * voltage
    x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    error = theory.rate_error(linear, jnp.array([1.0, 1.0]), jnp.array([0.0, 3.0]), x)
    assert jnp.isclose(error, math.sqrt((2.0**2 + 8.0**2) / 2))


# --- coefficients -------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "variance"), MOMENTS)
def test_moment_form_of_the_coefficients_agrees_with_stein(mean, variance):
    args = scalar(mean), scalar(variance)
    got = theory.moment_coefficients(SIGMOID, *args)
    want = glm_coefficients(SIGMOID, *args, scalar(1e3), nodes=241)
    assert np.allclose(got, want[:3], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("mean", "variance", "dt", "ratio"),
    [
        (0.0, 4.0, 5e-4, 1.0036),
        (10.0, 20.0, 5e-4, 1.021),
        (30.0, 10.0, 5e-4, 1.051),
        (0.0, 4.0, 5e-3, 1.037),
        (10.0, 20.0, 5e-3, 1.28),
        (30.0, 10.0, 5e-3, 1.96),
    ],
)
def test_what_the_bernoulli_law_adds_to_the_fisher_matrix(mean, variance, dt, ratio):
    got = theory.bernoulli_correction(SIGMOID, scalar(mean), scalar(variance), dt)
    digits = len(str(ratio).split(".")[1])
    assert abs(float(got) - ratio) <= 0.51 * 10**-digits


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_two_sherman_morrison_steps_are_the_simplified_inverse(size):
    rates = jr.uniform(jr.key(size), (size,), minval=5.0, maxval=50.0)
    weights = 5 / size * jr.uniform(jr.key(1), (size,), minval=-1.0, maxval=1.0)
    kernel = SynapticKernel()
    moments = voltage_moments(weights, rates * kernel.area, rates * kernel.energy)
    c = glm_coefficients(SIGMOID, *moments)
    got = theory.sherman_morrison_coefficients(c.c1, c.c2, c.c3, *moments)
    assert np.allclose(got, (c.g1, c.g2, c.g2, c.g4), rtol=1e-9, atol=1e-13)


def test_limits_for_many_inputs_are_approached_as_one_over_q():
    def errors(q):
        c = glm_coefficients(SIGMOID, scalar(2.0), scalar(9.0), scalar(q))
        limits = (theory.uniform_limit(c), theory.mixed_limit(c))
        relative = [float(g / x - 1) for g, x in zip((c.g1, c.g2), limits, strict=True)]
        return np.abs([*relative, float(c.g4 - proportional_limit(c))])

    few, many = errors(1e3), errors(1e5)
    assert np.all(few > 0)
    assert np.allclose(few / many, 100, rtol=0.05)


def test_the_scale_is_least_where_the_rate_is_a_third():
    transfer = Sigmoid(80.0, 0.5, 3.0)
    voltage, least = theory.least_scale(transfer)
    inverse = lambda v: (
        1
        / (
            transfer.maximum
            * transfer.slope**2
            * jax.nn.sigmoid(transfer._scaled(v))
            * jax.nn.sigmoid(-transfer._scaled(v)) ** 2
        )
    )
    assert jnp.isclose(inverse(voltage), least, rtol=1e-12)
    assert abs(jax.grad(inverse)(voltage)) < 1e-12
    assert jnp.isclose(transfer(voltage), 80 / 3, rtol=1e-12)


def test_quadratic_rule_is_the_natural_gradient_of_a_quadratic_neuron():
    rates = jnp.array([10.0, 30.0, 50.0])
    neuron = SpikingNeuron(rates, 5e-4, transfer=RectifiedQuadratic(-400.0))
    coefficients = neuron.coefficients(WEIGHTS)
    signals = neuron.signals(WEIGHTS, POTENTIALS[0], scalar(1.0), coefficients)
    want = NaturalGradient(0.3)(WEIGHTS, signals, jr.key(0))
    got = theory.quadratic_change(0.3, signals)
    assert jnp.allclose(got, want, rtol=1e-9, atol=0)


# --- the mean change of two synapses ------------------------------------------------


def test_the_mean_euclidean_change_descends_the_divergence():
    neuron, rule = two_afferents.neuron_of(5e-4), EuclideanGradient(1.0)
    x, teacher = POTENTIALS[:, :2], jnp.asarray(two_afferents.TEACHER)
    weights, dt = jnp.array([-0.1, 0.2]), 1e-7  # so short that bins hold one spike
    loss = lambda w: theory.divergence(SIGMOID, w, teacher, x, dt)
    drift = eqx.filter_jit(lambda w: two_afferents.drift(neuron, rule, w, x))
    downhill = -jax.jit(jax.grad(loss))(weights) / dt
    assert jnp.allclose(drift(weights), downhill, rtol=1e-4, atol=0)
    still = drift(teacher)
    assert jnp.all(jnp.abs(still) < 1e-12)


def test_the_change_at_a_potential_reads_the_neurons_own_matrix():
    matrix = lambda weights: jnp.diag(1 + weights**2)
    neuron = two_afferents.neuron_of(5e-4, fisher=jax.tree_util.Partial(matrix))
    weights, x = jnp.array([-0.1, 0.2]), POTENTIALS[0, :2]
    at = lambda rule: two_afferents.change_at(neuron, rule, weights, x)
    got = at(DenseNaturalGradient(1.0))
    want = at(EuclideanGradient(1.0)) / (1 + weights**2)
    assert jnp.allclose(got, want, rtol=1e-12, atol=0)


def test_the_map_of_the_divergence_has_the_high_rate_first():
    x = POTENTIALS[:, :2]
    values = jax.jit(two_afferents.divergence_map)(x)
    grid, teacher = jnp.asarray(two_afferents.GRID), jnp.asarray(two_afferents.TEACHER)
    at = jnp.stack([grid[3], grid[30]])
    want = theory.divergence(SIGMOID, at, teacher, x, two_afferents.BIN)
    assert jnp.isclose(values[30, 3], want, rtol=1e-12)
    assert not jnp.isclose(values[3, 30], want, rtol=1e-2)


def test_the_mean_path_integrates_its_change():
    config = two_afferents.TwoAfferents(seconds=400, record_seconds=100)
    target = jnp.asarray(two_afferents.TEACHER)
    path = two_afferents.mean_path(lambda w: -(w - target) / 200, config)
    start = jnp.asarray(two_afferents.START)
    times = jnp.arange(5.0) * 100
    left = jnp.exp(-times / 200)
    want = target[None] + (start - target)[None] * left[:, None]
    assert jnp.allclose(path, want, atol=2e-4 * jnp.linalg.norm(start - target))


def test_a_direction_straight_to_the_target_makes_no_angle():
    places = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    field = np.float32(2) * (np.float32(directions.TEACHER) - places)
    found = directions.turns(field, places)
    assert np.all(found < 1e-4)  # degrees, in single precision
    with np.errstate(invalid="ignore"):
        assert np.all(np.isnan(directions.turns(0 * field, places)))


def test_detour_and_way_covered_of_a_known_path():
    start, way = (
        np.asarray(two_afferents.START),
        np.subtract(two_afferents.TEACHER, two_afferents.START),
    )
    aside = 0.03 * np.array([-way[1], way[0]]) / np.linalg.norm(way)
    path = start + np.array([0.0, 0.5, 1.0])[:, None] * way
    path[1] += aside
    weights = xarray.DataArray(
        np.stack([path, path]), {"time": [0.0, 1.0, 2.0]}, ("seed", "time", "synapse")
    )
    assert np.isclose(two_afferents.detour(weights.isel(seed=0)), 0.06)
    assert np.allclose(two_afferents.covered(weights, 2.0), 1.0)
    assert np.allclose(two_afferents.covered(weights, 1.0), 0.5 + aside / way)


def test_students_without_metric_are_the_same():
    config = two_afferents.TwoAfferents(
        seconds=2, record_seconds=1, step=5e-3, substeps=10, metric=False
    )
    weights = eqx.filter_jit(two_afferents.learning_paths)(config, jr.key(0))["weight"]
    assert weights.shape == (2, 3, 2)
    assert jnp.array_equal(weights[0], weights[1])
    assert jnp.all(weights[:, 2] != weights[:, 0])


# --- coordinates --------------------------------------------------------------------


def test_attenuations_are_undone_by_their_inverses():
    weights = jnp.asarray(two_afferents.START)
    for attenuation in (
        coordinates.Attenuated(jnp.array([1.0, 0.3])),
        coordinates.Saturating(0.4),
    ):
        back = attenuation(attenuation.inverse(weights))
        assert jnp.allclose(back, weights, rtol=1e-14)


@pytest.mark.parametrize("metric", [True, False])
def test_somatic_effect_of_a_dendritic_step(metric):
    config = coordinates.Coordinates(metric=metric)
    ratios = eqx.filter_jit(coordinates.somatic_effects)(config)
    squares = 1 / jnp.asarray(coordinates.INVERSE_ATTENUATIONS) ** 2
    assert jnp.allclose(ratios[0], squares, rtol=1e-12)
    assert jnp.allclose(ratios[1], 1.0 if metric else squares, rtol=1e-12)


@pytest.mark.dear
def test_learning_from_spikes_in_two_coordinates():
    """T8: the same to rounding if linear, apart by the squared rate if not."""
    config = coordinates.Coordinates(steps=60)
    learn = eqx.filter_jit(
        lambda name, rate: coordinates.learned(config, name, rate, jr.key(3))
    )
    rates = scalar([8e-3, 4e-3])

    def gaps(name):
        paths = [learn(name, rate) - learn("somatic", rate) for rate in rates]
        return [float(jnp.max(jnp.abs(path))) for path in paths]

    moved = learn("somatic", rates[0])
    assert jnp.max(jnp.abs(moved[-1] - moved[0])) > 1e-4
    assert max(gaps("attenuated")) < 1e-15
    coarse, fine = gaps("saturating")
    assert 3.9 < coarse / fine < 4.1
    assert fine > 1e-12  # else rounding, and the line above proves nothing


def test_terms_of_a_step_are_silent_uniform_and_proportional():
    terms_of = eqx.filter_jit(coordinates.terms_of_a_step)
    terms = terms_of(coordinates.Coordinates(samples=50), jr.key(0))
    own, uniform, proportional = jnp.moveaxis(terms, 1, 0)
    assert jnp.all(own[:, 2:] == 0)
    assert jnp.all((uniform[:, :2] < 0) | (own[:, :2] == 0))
    assert jnp.allclose(uniform, uniform[:, :1], rtol=1e-12)
    per_weight = proportional / jnp.asarray(coordinates.BAR_WEIGHTS)[None]
    assert jnp.allclose(per_weight, per_weight[:, :1], rtol=1e-12)
    without = terms_of(coordinates.Coordinates(samples=50, metric=False), jr.key(0))
    assert jnp.all(without[:, 1:] == 0)


SCALE = eqx.filter_jit(scale.global_scale)


# --- angles and coefficients --------------------------------------------------------


def test_angle_depends_on_the_metric():
    a, b = jnp.array([1.0, 0.0]), jnp.array([1.0, 1.0])
    plain = lx.DiagonalLinearOperator(jnp.ones(2))
    steep = lx.DiagonalLinearOperator(jnp.array([1.0, 3.0]))
    assert jnp.isclose(angles.angle(plain, a, b), 45.0, rtol=1e-12)
    assert jnp.isclose(angles.angle(steep, a, b), 60.0, rtol=1e-12)
    assert jnp.isclose(angles.angle(steep, a, -2 * a), 180.0, rtol=1e-12)


def test_the_approximation_is_closer_with_its_heterosynaptic_terms():
    turns = eqx.filter_jit(angles.angles_to_natural)

    def turn(uniform, proportional):
        config = angles.Angles(
            uniform=uniform, proportional=proportional, size=100, samples=5
        )
        return turns(config, jr.key(0))["turn"]

    whole, own = turn(0.95, 0.05), turn(0.0, 0.0)
    assert whole.shape == (2, 2)
    assert jnp.array_equal(whole[:, 0], own[:, 0])  # Euclidean steps
    assert jnp.all(whole[:, 1] < whole[:, 0])
    assert jnp.all(own[:, 1] > 1.5 * whole[:, 1])
    assert jnp.all(whole[1] > 1.2 * whole[0])  # two metrics


def test_factors_of_a_step_are_those_of_the_paper():
    """Eqs. 108, 109 from the coefficients, beside what the rule's terms hold."""
    config = coefficients.Population(sizes=(20,), shown=20, potentials=5, nodes=241)
    key, rate = jr.key(0), scalar(15.0)
    found, factors = eqx.filter_jit(coefficients.sampled)(config, 20, rate, key)
    for_weights, for_potentials = jr.split(key)
    weights = 0.25 * jr.uniform(for_weights, (20,), minval=-1.0, maxval=1.0)
    kernel, rates = SynapticKernel(), jnp.full(20, 15.0)
    x = stationary_potentials(rates, kernel, 5, for_potentials)
    total, voltage, c_eps = jnp.sum(x, 1), x @ weights, 1 / kernel.energy
    uniform = -c_eps * (c_eps * found["g1"] * total + found["g2"] * voltage)
    proportional = c_eps * found["g2"] * total + found["g4"] * voltage
    assert jnp.allclose(factors["uniform"], uniform, rtol=1e-10)
    assert jnp.allclose(factors["proportional"], proportional, rtol=1e-9)
    assert jnp.allclose(factors["voltage"], voltage, rtol=1e-10)
    assert jnp.allclose(factors["uniform_limit"], c_eps * total / 300, rtol=1e-10)


def test_the_scale_is_flat_for_a_flat_density():
    flat = SCALE(scale.Voltage(curved=False), jr.key(0))["scale"]
    assert jnp.allclose(flat, 1.0, rtol=1e-12)
    curved = SCALE(scale.Voltage(), jr.key(0))["scale"]
    assert curved.shape == (len(scale.VARIANCES), len(scale.MEANS))
    want = [0.77, 0.94, 1.53]
    lowest = [curved[scale.VARIANCES.index(v)].min() for v in (1.0, 10.0, 60.0)]
    assert np.allclose(lowest, want, atol=0.005)


def test_pooled_statistics_of_known_arrays():
    a = xarray.DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("seed", "rate"))
    assert np.isclose(coefficients.proportion(3 * a, a), 3.0)
    assert np.isclose(coefficients.correlation(5 - 2 * a, a), -1.0)
    turned = (2 * a + 1).transpose("rate", "seed")  # by name, not by place
    assert np.isclose(coefficients.correlation(turned, a), 1.0)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: coordinates.Coordinates(attenuation=0.0), "attenuation"),
        (lambda: coordinates.Coordinates(ceiling=0.2), "ceiling"),
        (lambda: coordinates.Coordinates(steps=1), "steps"),
        (lambda: two_afferents.TwoAfferents(record_seconds=7), "record_seconds"),
        (lambda: two_afferents.TwoAfferents(samples=1), "samples"),
        (lambda: angles.Angles(low_rate=0.0), "low_rate"),
        (lambda: angles.Angles(samples=1), "samples"),
        (lambda: scale.Voltage(slope=0.0), "slope"),
        (lambda: scale.Voltage(nodes=3), "nodes"),
        (lambda: coefficients.Population(shown=7), "shown"),
        (lambda: coefficients.Population(potentials=0), "potentials"),
    ],
)
def test_a_config_names_the_field_that_is_out_of_range(make, names):
    with pytest.raises(ValueError, match=f"`{names}`"):
        make()
