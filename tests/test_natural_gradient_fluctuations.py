"""Fluctuating and unreliable synapses; the time to learn, through the runs."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.circuits import input_moments, Sigmoid, SynapticKernel
from plasticity_jax.curvature import glm_fisher, isotropic_loss
from plasticity_jax.systems.natural_gradient import (
    Config,
    mean_field,
    theory,
    time_to_threshold,
)
from plasticity_jax.systems.natural_gradient.experiments import learning
from plasticity_jax.systems.natural_gradient.experiments.learning import simulated_time
from plasticity_jax.systems.natural_gradient.fluctuations import (
    best_release,
    release_importance,
    repaired_divergence,
)


KEY, BIN = jr.key(0), 5e-4
KERNEL, SIGMOID = SynapticKernel(), Sigmoid()


# --- the Fisher matrix as the curvature of drift --------------------------------------


def neuron(count):
    rates = jnp.where(jnp.arange(count) < count // 2, 10.0, 50.0)
    weights = jr.uniform(KEY, (count,), minval=-1.0, maxval=1.0) / count
    return weights, input_moments(rates, KERNEL)


@pytest.mark.dear
def test_natural_repair_settles_where_the_closed_form_says():
    count, ratio, length = 60, 0.5, 2e-3
    teacher, m = neuron(count)
    noise = jr.normal(jr.key(1), (4000, count))
    x = m.mean[None] + jnp.sqrt(m.variance)[None] * noise
    cost = lambda w: theory.divergence(SIGMOID, w, teacher, x, BIN)
    seen = SIGMOID, teacher, m.mean, m.variance
    metric = glm_fisher(*seen, nodes=101).as_matrix()

    def step(w, key):
        loss, g = jax.value_and_grad(cost)(w)
        g = jnp.linalg.solve(metric, g)
        kick = length * jr.normal(key, (count,)) / count**0.5
        return w - ratio * length * g / jnp.linalg.norm(g) + kick, loss

    start = teacher + length * jr.normal(jr.key(2), (count,)) / count**0.5
    run = jax.jit(lambda keys: jax.lax.scan(step, start, keys)[1])
    settled = run(jr.split(jr.key(3), 3000))[1000:]
    law = repaired_divergence(
        *seen, BIN, jnp.asarray(ratio), length, natural=True, nodes=101
    )
    assert abs(jnp.mean(settled) / law - 1) < 0.15  # 1/N, sample of 4000 potentials


def test_natural_repair_does_not_feel_the_spectrum():
    weights, m = neuron(20)

    @jax.jit
    def errors(weights, ratio):
        seen = SIGMOID, weights, m.mean, m.variance
        curvature = BIN * jnp.trace(glm_fisher(*seen, nodes=101).as_matrix()) / 20
        settled = lambda natural: repaired_divergence(
            *seen, BIN, ratio, 1e-3, natural=natural, nodes=101
        )
        law = isotropic_loss(ratio, 1e-3, curvature, 0.0)
        return settled(True), settled(False), law

    found, euclidean, law = errors(weights, jnp.asarray(0.7))
    assert np.isclose(found, law, rtol=1e-9)
    assert found < euclidean


# --- the Fisher matrix as the importance of release -----------------------------------


@pytest.mark.dear
def test_unreliable_release_costs_its_importance():
    rates, weights = jnp.asarray([20.0, 50.0]), jnp.asarray([0.02, -0.015])
    release, bins, draws = jnp.asarray([0.9, 0.8]), 400, 100_000
    ages = 2.5e-4 * (jnp.arange(bins, dtype=float) + 0.5)
    shape = KERNEL(ages)

    def cost(key):
        for_spikes, for_release = jr.split(key)
        spikes = jr.uniform(for_spikes, (bins, 2)) < rates[None] * 2.5e-4
        kept = spikes & (jr.uniform(for_release, (bins, 2)) < release[None])
        told, seen = shape @ spikes.astype(float), shape @ kept.astype(float) / release
        here = jnp.stack([told @ weights, seen @ weights])
        rate, other = SIGMOID(here)
        return rate * jnp.log(rate / other) - rate + other

    costs = jax.jit(lambda keys: jax.lax.map(cost, keys, batch_size=1000))(
        jr.split(KEY, draws)
    )
    found, error = jnp.mean(costs), jnp.std(costs) / draws**0.5
    importance = release_importance(SIGMOID, weights, rates, KERNEL)
    law = jnp.sum(importance * (1 / release - 1))
    assert error < 0.03 * law
    assert abs(found / law - 1) < 4 * error / law + 0.1  # the next order


def test_the_best_release_is_the_least_cost_and_goes_with_the_weight():
    rates, weights = jnp.asarray([5.0, 50.0, 20.0]), jnp.asarray([0.02, -0.01, 0.1])
    importance = jax.jit(release_importance)(SIGMOID, weights, rates, KERNEL)
    price = 2 * importance[0] / rates[0]
    best = best_release(importance, rates, price)
    grid = np.linspace(0.01, 1.0, 199)[:, None]
    lost, spent = np.asarray(importance), float(price) * np.asarray(rates)
    total = lost * (1 / grid - 1) + spent * grid
    least = grid[np.argmin(total, axis=0), 0]
    assert np.all(np.abs(np.asarray(best) - least) < 0.006)
    assert jnp.isclose(best[0], 0.5**0.5)
    assert jnp.isclose(best[0] / best[1], abs(weights[0] / weights[1]))
    assert best[2] == 1.0
    assert best_release(jnp.zeros(1), jnp.zeros(1), 1.0)[0] == 0
    with pytest.raises(ValueError, match="`cost`"):
        best_release(importance, rates, -1.0)


# --- the time to learn, through the simulation ----------------------------------------


def fast(seconds=120):
    return Config(
        size=10,
        natural_rate=2e-2,
        approximate_rate=1.5e-2,
        seconds=seconds,
        record_seconds=5,
        step=5e-3,
        substeps=10,
        tests=50,
        students=("natural", "approximate"),
    )


@pytest.mark.dear
@pytest.mark.parametrize(
    ("student", "field"), [("natural", "rate_factor"), ("approximate", "uniform")]
)
def test_the_time_to_learn_is_differentiable_through_the_runs(student, field):
    keys, level = jr.split(KEY, 2), 2e-3
    time = lambda c: simulated_time(c, student, keys, level)
    config = fast()
    found = time(config)
    assert 20 < found < 110
    slope = getattr(eqx.filter_grad(time)(config), field)
    here, step = getattr(config, field), 1e-6
    at = lambda value: time(dataclasses.replace(config, **{field: value}))
    ends = at(here + step), at(here - step)
    assert jnp.isclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-4)
    law = eqx.filter_grad(lambda c: time_to_threshold(c, student, level))(config)
    assert jnp.sign(slope) == jnp.sign(getattr(law, field))


def test_a_run_that_does_not_learn_takes_for_ever():
    for level in (1e-9, 1.0):
        assert simulated_time(fast(10), "natural", jr.split(KEY, 1), level) == jnp.inf


@pytest.mark.parametrize(
    ("module", "traced"),
    [(learning, "learning_curves"), (mean_field, "landscape")],
    ids=("simulated", "predicted"),
)
def test_a_threshold_is_an_argument_of_one_program(module, traced, monkeypatch):
    times = {
        learning: lambda x: simulated_time(fast(15), "natural", jr.split(KEY, 1), x),
        mean_field: lambda x: time_to_threshold(fast(15), "natural", x),
    }
    original, traces = getattr(module, traced), []
    counted = lambda *given: traces.append(given) or original(*given)
    monkeypatch.setattr(module, traced, counted)
    found = [float(times[module](level)) for level in (1e-9, 2e-9, 1.0)]
    assert len(traces) == 1
    assert found[0] == math.inf
