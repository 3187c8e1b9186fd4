"""Which metric a spiking neuron learns by: dense ones, constants, their errors."""

import dataclasses

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
DRAWS = 20 * jr.exponential(KEY, (50, 3)) + 1.0  # mV; any law


# --- dense metrics at the present weights --------------------------------------------


def test_the_sampled_matrix_is_the_mean_over_the_sample():
    total = np.zeros((3, 3))
    for x in np.asarray(DRAWS):
        density = fisher_density(SIGMOID, jnp.vdot(START, x))[0]
        total += float(density) * np.outer(x, x)
    found = sampled_glm_fisher(SIGMOID, DRAWS, START)
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
    state = system.start(START, KEY)
    _, (after, signals, change) = simulate(
        system, state, KEY, steps=9, record=state_and_change
    )
    before = jnp.concatenate([START[None], after[:-1]])
    used = [before[3 * (k // 3)] for k in range(9)]
    for k, weights in enumerate(used):
        matrix = np.asarray(fisher(weights))
        error = signals.target[k] - signals.rate[k] * neuron.dt
        want = np.linalg.solve(matrix, np.asarray(signals.potentials[k]))
        want = 0.5 * float(error * signals.score[k]) * want
        assert np.allclose(change[k], want, rtol=1e-8, atol=1e-14)
    assert not np.allclose(fisher(used[0]), fisher(used[-1]), rtol=1e-4)


def test_with_the_gaussian_matrix_it_is_the_natural_gradient():
    m = SpikingNeuron(RATES, 2e-3).moments
    closed = lambda w: glm_fisher(SIGMOID, w, m.mean, m.variance, nodes=81).as_matrix()
    neuron = SpikingNeuron(RATES, 2e-3, nodes=81, fisher=closed)
    known = neuron.coefficients(START), closed(START)
    signals = neuron.signals(START, DRAWS[0], jnp.asarray(1.0), *known)
    dense = rules.DenseNaturalGradient(0.5)(START, signals, KEY)
    assert np.allclose(
        dense, rules.NaturalGradient(0.5)(START, signals, KEY), rtol=1e-10
    )


def test_without_a_metric_the_rule_says_so():
    neuron = SpikingNeuron(RATES, 2e-3, nodes=81)
    known = neuron.coefficients(START)
    signals = neuron.signals(START, DRAWS[0], jnp.asarray(1.0), known)
    with pytest.raises(ValueError, match="no Fisher matrix"):
        rules.DenseNaturalGradient(0.5)(START, signals, KEY)


# --- the constant of the approximate rule --------------------------------------------


def test_the_best_constant_leaves_the_least_error_on_a_grid():
    for high in (15.0, 50.0):
        config = Config(size=10, low_rate=high / 5, high_rate=high)
        q = jnp.sum(config.rates) * config.area**2 / config.kernel.energy
        grid = jnp.linspace(0.5, 1.0, 2001)
        settled = lambda u, config=config: divergence_curve(
            dataclasses.replace(config, uniform=u), "approximate", jnp.asarray([1e9])
        )[0]
        best = grid[jnp.argmin(jax.jit(jax.vmap(settled))(grid))]
        assert abs(best - rules.uniform_constant(q)) < 3e-4


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
    here = mean_field.landscape(config)
    step = 1e-6 * here.curvature
    at = lambda c: mean_field._curve(here._replace(curvature=c), config, student, times)
    secant = (at(here.curvature + step) - at(here.curvature - step)) / (2 * step)
    found = divergence_error(config, student, times)
    assert jnp.allclose(found, jnp.abs(secant) * here.curvature_error, rtol=1e-5)
    start = divergence_curve(config, student, times)[0]
    assert jnp.isclose(found[0] / start, here.curvature_error / here.curvature)


def test_the_curvature_scatters_over_other_teachers_as_stated():
    config = Config(size=20)
    here = mean_field.landscape(config)
    m = SpikingNeuron(config.rates, 5e-4).moments

    def curvature(key):
        w = jr.uniform(key, (20,), minval=-1.0, maxval=1.0) / 20
        deviation = jnp.sqrt(jnp.sum(w**2 * m.variance))
        z = jnp.linspace(-7.0, 7.0, 401)
        mass = jnp.exp(-(z**2) / 2) / jnp.sum(jnp.exp(-(z**2) / 2))
        voltage = jnp.sum(w * m.mean) + deviation * z
        return jnp.sum(mass * fisher_density(SIGMOID, voltage)[0])

    draws = jax.jit(jax.vmap(curvature))(jr.split(jr.key(7), (40, 500)).ravel())
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
    state = system.start(START, KEY)
    _, (traces, potentials, changes, signals) = simulate(
        system, state, KEY, steps=40, record=own_moments
    )
    mean, square = np.full(3, 30.0), np.full(3, 770.0 + 900.0)
    share = 1 - np.exp(-dt / time)
    for x in np.asarray(potentials):
        mean, square = mean + share * (x - mean), square + share * (x**2 - square)
    assert np.allclose(traces["mean"][-1], mean, rtol=1e-12)
    assert np.allclose(traces["square"][-1], square, rtol=1e-12)
    last = jax.tree.map(lambda x: x[-1], signals)
    variance = square - mean**2
    matrix = glm_fisher(SIGMOID, last.weights, mean, variance, nodes=81).as_matrix()
    error = (last.target - last.rate * dt) * last.score
    want = 0.5 * error * np.linalg.solve(matrix, np.asarray(last.potentials))
    assert np.allclose(changes[-1], want, rtol=1e-9)


def test_after_a_long_time_the_estimates_are_the_moments():
    rule = rules.SelfEstimated(rules.NaturalGradient(0.0), 40.0)
    neuron = SpikingNeuron(RATES, 2e-3, TEACHER, refresh=0)
    task = SpikeTrains(RATES, 2e-3, law="poisson")
    system = System(task, neuron, {"learning": rule})
    state, _ = simulate(system, system.start(START, KEY), KEY, steps=100_000)
    mean, square = (state.traces["learning"][k] for k in ("mean", "square"))
    m = neuron.moments
    count = 2 * 40.0 / (2 * (0.010 + 0.003))  # independent potentials that it averages
    spread = 4 * jnp.sqrt(m.variance / count)
    assert jnp.all(jnp.abs(mean - m.mean) < spread)
    assert jnp.all(spread < 0.5 * m.mean)
    wide = jnp.abs((square - mean**2) / m.variance - 1)
    assert jnp.all(wide < 0.5)


def test_bad_estimates_are_refused():
    natural = rules.NaturalGradient(1.0)
    with pytest.raises(ValueError, match="`time` must lie in"):
        rules.SelfEstimated(natural, 0.0)
    with pytest.raises(ValueError, match="`variance` must lie in"):
        rules.SelfEstimated(natural, 1.0, variance=0.0)
