"""Homeostatic scaling of consolidated neurons, and how their synapses develop."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax._interfaces import State
from plasticity_jax.synapses import Factored
from plasticity_jax.systems.two_factor_consolidation.experiments import (
    development,
    scaling,
)
from plasticity_jax.systems.two_factor_consolidation.fluctuations import line


def test_a_line_is_fitted_through_the_points_that_count():
    x = jnp.asarray([0.0, 1.0, 2.0, 50.0])
    y = 3 * x - 1 + jnp.asarray([0.0, 0.0, 0.0, 99.0])
    slope, intercept = line(x, y, x < 10)
    assert np.allclose([slope, intercept], [3, -1], rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_new_target_scales_all_weights_of_a_neuron(order):
    """Exactly, whatever the factors are: a line through the origin."""
    config = dataclasses.replace(
        scaling.of_order(scaling.Config(), order), size=12, rows=3
    )
    factors = jr.uniform(jr.key(14), (order, 3, 12), minval=0.1)
    squares = jnp.sum(factors**2, axis=(0, 2)) / order
    factors = factors * jnp.sqrt(config.target / squares)[None, :, None]
    before = jnp.prod(factors, axis=0)
    synapses = Factored(factors, jnp.zeros(3))
    counted = jnp.asarray([True, True, False])
    state = State(None, synapses)
    night = scaling.Night(config, None, synapses, state, counted)
    for ratio in (0.25, 3.0):
        after = scaling.at_target(night, jnp.asarray(ratio))
        slope, intercept = scaling.rank_lines(before, after, counted)
        assert np.allclose(slope, ratio ** (order / 2), rtol=1e-11)
        assert abs(intercept) < 1e-11
    moved = scaling.shifted(before, jnp.asarray(1.5))
    slope, intercept = scaling.rank_lines(before, moved, counted)
    assert np.allclose([slope, intercept], [1, 0.5], rtol=1e-11)


def test_rows_that_do_not_count_touch_nothing():
    weights = jnp.stack(
        [jnp.asarray([1.0, 3.0]), jnp.asarray([2.0, 2.0]), jnp.zeros(2)]
    )
    counted = jnp.asarray([True, True, False])
    assert np.allclose(scaling.norm_variation(weights, 2, counted), 0, atol=1e-15)
    sums = np.array([10.0, 8.0])
    got = scaling.norm_variation(weights, 1, counted)
    assert np.allclose(got, sums.std() / sums.mean(), rtol=1e-12)
    assert scaling.norm_variation(weights, 1, ~counted | counted) > got


def test_development_records_density_weight_and_robustness():
    config = development.Config(
        size=30, rows=6, patterns=9, cycles=400, rate=0.02, target_per_input=0.02
    )
    seen = eqx.filter_jit(development.developed)(config, jr.key(15))
    assert all(len(x) == development.RECORDS + 1 for x in seen.values())
    assert all(np.all(np.isfinite(x)) for x in seen.values())
    assert seen["weight"][0] == 1
    assert np.allclose(seen["density"][0], 29 / 30, atol=0.04)  # self still present
    assert seen["density"][-1] < seen["density"][0]
    assert seen["weight"][-1] > 1
