"""Learning from a teacher: config, runs, mean-field curves, GPU lowering."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import simulate, sweep
from plasticity_jax._random import spike_counts
from plasticity_jax.curvature import glm_coefficients
from plasticity_jax.experiment._plan import Plan
from plasticity_jax.systems.natural_gradient.config import build, Config, STUDENTS
from plasticity_jax.systems.natural_gradient.experiments.learning import (
    AXES,
    crossing,
    learning_curves,
    predict,
    synapses_of,
    times_of,
)
from plasticity_jax.systems.natural_gradient.experiments.psth import potentials_in_time
from plasticity_jax.systems.natural_gradient.mean_field import (
    divergence_curve,
    time_to_threshold,
)
from plasticity_jax.systems.natural_gradient.potentials import stationary_potentials
from plasticity_jax.systems.natural_gradient.published import published_coefficients


KEY = jr.key(0)
TINY = Config(
    size=6,
    seconds=4,
    record_seconds=1,
    step=5e-3,
    substeps=10,
    tests=20,
    natural_rate=2e-2,
)
learn = eqx.filter_jit(learning_curves)


def test_every_student_learns_and_starts_at_the_same_weights():
    config = dataclasses.replace(TINY, students=STUDENTS)
    divergence = np.asarray(learn(config, KEY)["divergence"])
    assert divergence.shape == (len(STUDENTS), len(times_of(config)))
    assert np.all(np.isfinite(divergence))
    assert len(np.unique(divergence[:, 0])) == 1
    assert len(np.unique(divergence[:, -1])) == len(STUDENTS)


def test_without_metric_all_students_are_euclidean():
    config = dataclasses.replace(TINY, metric=False)
    seen = learn(config, KEY)["distance"]
    assert jnp.allclose(seen[0], seen[1], rtol=1e-12)


def test_the_rate_factor_scales_every_rate():
    changes = lambda state, signals, changes: changes
    run = {"steps": 40, "every": 40, "record": changes}
    last = eqx.filter_jit(lambda c: simulate(*build(c, KEY), jr.key(1), **run)[1])
    ones, twos = last(TINY), last(dataclasses.replace(TINY, rate_factor=1e-9))
    for name in TINY.students:
        first, scaled = ones["learning"][name], twos["learning"][name]
        assert np.linalg.norm(first) > 0
        assert np.allclose(scaled, 1e-9 * np.asarray(first), rtol=1e-2, atol=0)


@pytest.mark.dear
def test_the_published_segments_start_from_rest_and_hold_the_potential():
    config = dataclasses.replace(TINY, published=True, refresh_seconds=1.0)
    seen, plain = (learn(c, KEY)["distance"] for c in (config, TINY))
    assert jnp.array_equal(seen[:, 0], plain[:, 0])
    assert jnp.all(jnp.isfinite(seen))
    assert not jnp.any(seen[:, -1] == plain[:, -1])
    moved = jnp.abs(seen[:, -1] - seen[:, 0]) / jnp.abs(plain[:, -1] - plain[:, 0])
    assert jnp.all((moved > 0.2) & (moved < 5))


@pytest.mark.parametrize("published", [False, True])
def test_the_published_table_is_read_at_the_wrong_variance(published):
    config = dataclasses.replace(TINY, published=published)
    neuron = build(config, KEY)[0].circuit.neuron
    mean, variance, q = (jnp.asarray(x) for x in (2.0, 3.85, 78.0))
    c = neuron.metric(neuron.transfer, mean, variance, q, nodes=81)
    shifted = jnp.asarray(3.85 if not published else 12.5)
    want = glm_coefficients(neuron.transfer, mean, shifted, q, nodes=81)
    assert jnp.allclose(c.c1, want.c1, rtol=1e-12)
    assert jnp.allclose(c.g4, want.g4, rtol=1e-12)


def test_published_lookup_clips_the_mean_and_halves_q():
    at = lambda mean, q: published_coefficients(
        Config().transfer,
        jnp.asarray(mean),
        jnp.asarray(20.0),
        jnp.asarray(q),
        nodes=81,
    )
    assert jnp.allclose(at(99.0, 78.0).c1, at(15.0, 78.0).c1)
    assert jnp.allclose(at(0.1, 1.56).g4, at(0.2, 1.5).g4)


@pytest.mark.dear
def test_stationary_potentials_have_the_moments_of_a_run():
    config = Config(size=4)
    draws = stationary_potentials(config.rates, config.kernel, 40_000, KEY)
    spikes = spike_counts(jr.key(1), config.rates * 5e-4, (200_000, 4), "bernoulli")
    run = potentials_in_time(spikes, config.kernel)[500:]
    error = jnp.std(draws, axis=0) / 200
    assert jnp.all(
        jnp.abs(jnp.mean(draws, axis=0) - 0.99931 * config.rates) < 4 * error
    )
    assert jnp.all(error < 0.02 * config.rates)
    variance = config.rates * config.kernel.energy * (1 - config.rates * 5e-4)
    assert jnp.allclose(jnp.var(draws, axis=0), variance, rtol=0.04)
    assert jnp.allclose(jnp.var(run, axis=0), variance, rtol=0.1)


@pytest.mark.dear
def test_theory_is_evaluated_at_every_point_of_the_grid():
    rates = {"low_rate": [10.0, 20.0], "high_rate": [50.0, 20.0]}
    grid = {"rates": rates, "rate_factor": [0.5, 1.0]}
    keys = jr.split(KEY, 2)
    law = predict(Plan(TINY, grid, 2), keys)
    dims = {name: tuple(own) for name, own in AXES.items()}
    data = sweep(learning_curves, TINY, grid, keys, dims=dims, progress=False)
    both = data.merge(law, join="exact")
    point = dataclasses.replace(TINY, low_rate=20.0, high_rate=20.0, rate_factor=0.5)
    want = time_to_threshold(point, "natural")
    got = both.predicted_time.sel(student="natural", rate_factor=0.5)
    assert np.allclose(got.isel(rates=1), want)
    law = both.predicted_divergence.isel(rates=1, time=-1)
    want = divergence_curve(point, "euclidean", jnp.asarray([4.0]))[0]
    assert np.allclose(law.sel(student="euclidean", rate_factor=0.5), want)


@pytest.mark.dear
def test_time_to_threshold_is_where_the_curve_crosses_and_infinite_if_it_does_not():
    config = Config()
    for student in ("euclidean", "natural", "approximate"):
        time = time_to_threshold(config, student)
        here = divergence_curve(config, student, time[None])
        assert jnp.allclose(here, 5e-5, rtol=1e-9)
    assert jnp.isinf(time_to_threshold(config, "natural", 1e-6))
    with pytest.raises(ValueError, match="homosynaptic"):
        divergence_curve(config, "homosynaptic", jnp.ones(1))


def test_the_crossing_of_a_known_curve():
    import xarray

    times = np.arange(0.0, 100.0, 10.0)
    curve = np.exp(-times / 20)[None, None] * np.ones((3, 1, 1))
    data = xarray.Dataset(
        {"divergence": (("seed", "student", "time"), curve)},
        {"student": ["natural"], "time": times},
    )
    assert np.isclose(crossing(data, "natural", np.exp(-1.7)), 34.0)
    assert np.isinf(crossing(data, "natural", 1e-9))
    assert np.isnan(crossing(data * np.nan, "natural", 0.1))


def test_the_compiled_step_lowers_for_cuda():
    system, state = build(TINY, KEY)
    run = lambda key: simulate(system, state, key, steps=2, record=synapses_of, every=2)
    lowered = jax.jit(run).trace(KEY).lower(lowering_platforms=("cuda",))
    assert "stablehlo.while" in lowered.as_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"natural_rate": -1.0}, "`natural_rate`"),
        ({"membrane_time": 0.0}, "`membrane_time`"),
        ({"synaptic_time": -0.1}, "`synaptic_time`"),
        ({"low_rate": -5.0}, "`low_rate`"),
        ({"high_rate": 3000.0}, "probability per bin"),
        ({"size": 0}, "`size`"),
        ({"seconds": 150}, "`seconds`"),
        ({"step": 0.0}, "`step`"),
        ({"step": 3e-4}, "whole number of steps"),
        ({"students": ()}, "`students`"),
        ({"students": ("natral",)}, "Did you mean 'natural'"),
        ({"slope": 0.0}, "`slope`"),
    ],
)
def test_bad_settings_are_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)
