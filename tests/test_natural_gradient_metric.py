"""Which metric a spiking neuron learns by: dense ones, constants, their errors."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.tree_util import Partial

from plasticity_jax import rules, simulate, System
from plasticity_jax.circuits import Sigmoid, SpikingNeuron, SynapticKernel
from plasticity_jax.curvature import fisher_density, glm_fisher, sampled_glm_fisher
from plasticity_jax.systems.natural_gradient import (
    Config,
    divergence_curve,
    divergence_error,
    mean_field,
)
from plasticity_jax.systems.natural_gradient.config import rule_of
from plasticity_jax.systems.natural_gradient.shot_noise import shot_noise_fisher
from plasticity_jax.tasks import SpikeTrains


KEY = jr.key(0)
RATES = jnp.asarray([20.0, 50.0, 30.0])
START, TEACHER = jnp.asarray([0.02, -0.01, 0.03]), jnp.asarray([0.03, 0.02, -0.01])
KERNEL, SIGMOID = SynapticKernel(), Sigmoid()
DRAWS = jnp.asarray(np.random.default_rng(0).exponential(20.0, (50, 3)) + 1)  # mV


@eqx.filter_jit
def course(system, steps, record):
    """What is recorded of a run from `START`."""
    state = system.start(START, KEY)
    return simulate(system, state, KEY, steps=steps, record=record)[1]


# --- dense metrics at the present weights --------------------------------------------


def test_the_sampled_matrix_is_the_mean_over_the_sample():
    densities = jax.jit(lambda v: fisher_density(SIGMOID, v)[0])(DRAWS @ START)
    total = np.zeros((3, 3))
    for density, x in zip(np.asarray(densities), np.asarray(DRAWS), strict=True):
        total += density * np.outer(x, x)
    found = jax.jit(sampled_glm_fisher)(SIGMOID, DRAWS, START)
    assert np.allclose(found, total / len(DRAWS), rtol=1e-12)


METRICS = {
    "sampled": Partial(sampled_glm_fisher, SIGMOID, DRAWS),
    "exact": Partial(shot_noise_fisher, SIGMOID, rates=RATES, kernel=KERNEL),
}


def state_and_change(state, signals, changes):
    return state.synapses, signals, changes["learning"]


@pytest.mark.parametrize(
    "metric", ["sampled", pytest.param("exact", marks=pytest.mark.dear)]
)
def test_the_metric_is_that_of_the_weights_at_the_last_refresh(metric):
    fisher = METRICS[metric]
    neuron = SpikingNeuron(RATES, 2e-3, TEACHER, refresh=3, nodes=81, fisher=fisher)
    rule = rules.DenseNaturalGradient(0.5)
    system = System(SpikeTrains(RATES, 2e-3), neuron, {"learning": rule})
    after, signals, change = jax.device_get(course(system, 9, state_and_change))
    before = np.concatenate([START[None], after[:-1]])
    used = [before[3 * (k // 3)] for k in range(9)]
    at = jax.jit(fisher)
    for k, weights in enumerate(used):
        matrix = np.asarray(at(weights))
        error = signals.target[k] - signals.rate[k] * neuron.dt
        want = np.linalg.solve(matrix, signals.potentials[k])
        want = 0.5 * error * signals.score[k] * want
        assert np.allclose(change[k], want, rtol=1e-8, atol=1e-14)
    assert not np.allclose(at(used[0]), at(used[-1]), rtol=1e-4)


def test_with_the_gaussian_matrix_it_is_the_natural_gradient():
    m = SpikingNeuron(RATES, 2e-3).moments
    closed = lambda w: glm_fisher(SIGMOID, w, m.mean, m.variance, nodes=81).as_matrix()
    neuron = SpikingNeuron(RATES, 2e-3, nodes=81, fisher=closed)

    @jax.jit
    def changes(x):
        known = neuron.coefficients(START), closed(START)
        signals = neuron.signals(START, x, jnp.asarray(1.0), *known)
        both = rules.DenseNaturalGradient(0.5), rules.NaturalGradient(0.5)
        return [rule(START, signals, KEY) for rule in both]

    dense, natural = changes(DRAWS[0])
    assert np.allclose(dense, natural, rtol=1e-10)


def test_without_a_metric_the_rule_says_so():
    neuron = SpikingNeuron(RATES, 2e-3, nodes=81)
    known = neuron.coefficients(START)
    signals = neuron.signals(START, DRAWS[0], jnp.asarray(1.0), known)
    with pytest.raises(ValueError, match="no Fisher matrix"):
        rules.DenseNaturalGradient(0.5)(START, signals, KEY)


# --- the constant of the approximate rule --------------------------------------------


def test_the_best_constant_leaves_the_least_error_on_a_grid():
    grid = np.linspace(0.5, 1.0, 2001)

    @jax.jit
    def settled(high):
        config = Config(size=10, low_rate=high / 5, high_rate=high)
        at = lambda u: divergence_curve(
            dataclasses.replace(config, uniform=u), "approximate", jnp.asarray([1e9])
        )[0]
        q = jnp.sum(config.rates) * config.area**2 / config.kernel.energy
        return jax.vmap(at)(grid), rules.uniform_constant(q)

    for high in (15.0, 50.0):
        error, constant = settled(high)
        assert abs(grid[np.argmin(error)] - constant) < 3e-4


def test_the_student_of_least_error_takes_it_from_the_inputs():
    neuron = SpikingNeuron(RATES, 2e-3, nodes=81)
    known = neuron.coefficients(START)
    signals = neuron.signals(START, DRAWS[0], jnp.asarray(1.0), known)
    config = Config(students=("least_error",))
    found = rule_of(config, "least_error")(START, signals, KEY)
    q = float(jnp.sum(RATES) / KERNEL.energy)
    constant = (1 + q) ** 0.5 / (1 + (1 + q) ** 0.5)
    rule = rules.ApproximateNaturalGradient(config.approximate_rate, constant, 0.05)
    assert jnp.allclose(found, rule(START, signals, KEY), rtol=1e-12)
    fixed = rule_of(config, "approximate")(START, signals, KEY)
    assert not jnp.allclose(found, fixed, rtol=1e-3)


# --- what the mean-field theory does not know -----------------------------------------


@pytest.mark.parametrize("student", ["euclidean", "natural", "approximate"])
def test_the_error_of_a_curve_is_its_spread_over_samples_of_teachers(student):
    config, times = Config(size=20), jnp.asarray([0.0, 300.0, 1200.0])

    @jax.jit
    def curves(config):
        here = mean_field.landscape(config)
        step = 1e-6 * here.curvature
        at = lambda factor: mean_field._curve(
            here._replace(curvature=factor * here.curvature), config, student, times
        )
        secant = (at(1 + 1e-6) - at(1 - 1e-6)) / (2 * step)
        found = divergence_error(config, student, times)
        return here, secant, found, divergence_curve(config, student, times)

    here, secant, found, curve = jax.device_get(curves(config))
    assert np.allclose(found, np.abs(secant) * here.curvature_error, rtol=1e-5)
    assert np.isclose(found[0] / curve[0], here.curvature_error / here.curvature)


def test_the_curvature_scatters_over_other_teachers_as_stated():
    config = Config(size=20)
    here = jax.jit(mean_field.landscape)(config)
    m = SpikingNeuron(config.rates, 5e-4).moments

    def curvature(key):
        w = jr.uniform(key, (20,), minval=-1.0, maxval=1.0) / 20
        deviation = jnp.sqrt(jnp.sum(w**2 * m.variance))
        z = jnp.linspace(-7.0, 7.0, 401)
        mass = jnp.exp(-(z**2) / 2) / jnp.sum(jnp.exp(-(z**2) / 2))
        voltage = jnp.sum(w * m.mean) + deviation * z
        return jnp.sum(mass * fisher_density(SIGMOID, voltage)[0])

    draws = jax.jit(jax.vmap(curvature))(jr.split(jr.key(7), (40, 500)).ravel())
    draws = np.asarray(draws)
    means = draws.reshape(40, 500).mean(axis=1)
    assert abs(means.std() / here.curvature_error - 1) < 0.45  # 4 errors of 40 draws
    assert abs(draws.mean() - here.curvature) < 4 * here.curvature_error


# --- moments that the neuron estimates ------------------------------------------------


def own_moments(state, signals, changes):
    return state.traces["learning"], signals.potentials, changes["learning"], signals


def test_the_neuron_estimates_its_moments_and_learns_by_them():
    time, dt = 0.5, 2e-3
    rule = rules.SelfEstimated(rules.NaturalGradient(0.5), time, mean=30.0, nodes=81)
    neuron = SpikingNeuron(RATES, dt, TEACHER, nodes=81)
    system = System(SpikeTrains(RATES, dt), neuron, {"learning": rule})
    seen = jax.device_get(course(system, 40, own_moments))
    traces, potentials, changes, signals = seen
    mean, square = np.full(3, 30.0), np.full(3, 770.0 + 900.0)
    share = 1 - np.exp(-dt / time)
    for x in potentials:
        mean, square = mean + share * (x - mean), square + share * (x**2 - square)
    assert np.allclose(traces["mean"][-1], mean, rtol=1e-12)
    assert np.allclose(traces["square"][-1], square, rtol=1e-12)
    last = jax.tree.map(lambda x: x[-1], signals)
    variance = square - mean**2
    fisher = jax.jit(lambda *x: glm_fisher(SIGMOID, *x, nodes=81).as_matrix())
    matrix = fisher(last.weights, mean, variance)
    error = (last.target - last.rate * dt) * last.score
    want = 0.5 * error * np.linalg.solve(matrix, last.potentials)
    assert np.allclose(changes[-1], want, rtol=1e-9)


def test_after_a_long_time_the_estimates_are_the_moments():
    rule = rules.SelfEstimated(rules.NaturalGradient(0.0), 40.0)
    neuron = SpikingNeuron(RATES, 2e-3, TEACHER, refresh=0)
    task = SpikeTrains(RATES, 2e-3, law="poisson")
    system = System(task, neuron, {"learning": rule})
    state, _ = simulate(system, system.start(START, KEY), KEY, steps=100_000)
    mean, square = (np.asarray(state.traces["learning"][k]) for k in ("mean", "square"))
    m = jax.device_get(neuron.moments)
    count = 2 * 40.0 / (2 * (0.010 + 0.003))  # independent potentials that it averages
    spread = 4 * np.sqrt(m.variance / count)
    assert np.all(np.abs(mean - m.mean) < spread)
    assert np.all(spread < 0.5 * m.mean)
    wide = np.abs((square - mean**2) / m.variance - 1)
    assert np.all(wide < 0.5)


def test_bad_estimates_are_refused():
    natural = rules.NaturalGradient(1.0)
    with pytest.raises(ValueError, match="`time` must lie in"):
        rules.SelfEstimated(natural, 0.0)
    with pytest.raises(ValueError, match="`variance` must lie in"):
        rules.SelfEstimated(natural, 1.0, variance=0.0)
