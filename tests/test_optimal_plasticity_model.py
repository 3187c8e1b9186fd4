"""The networks, inputs and task errors of optimal plasticity, and bad input."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax.circuits import feedforward
from plasticity_jax.curvature import hessian
from plasticity_jax.numerics import tree_norm, tree_scale
from plasticity_jax.systems.optimal_plasticity.config import (
    build,
    Config,
    draw_inputs,
    input_moment,
    Landscape,
    objective,
)


SMALL = Config(sizes=(4, 5, 3), samples=30)
KEY = jr.key(0)
LINEAR = Config(sizes=(4, 3), samples=30)


def test_sizes_and_lengths():
    assert Config().weights == 440
    assert Config(sizes=(12, 10)).weights == 120
    assert jnp.allclose(Config().fluctuation, 0.01 * math.sqrt(440))


@pytest.mark.parametrize("config", [SMALL, LINEAR])
def test_the_teacher_makes_no_error_and_the_student_starts_beside_it(config):
    system, state = build(config, KEY)
    loss, teacher = objective(config, KEY)
    assert loss(teacher) < 1e-28
    ratio = state.synapses[0] / teacher[0]
    assert jnp.allclose(ratio, ratio[0, 0], rtol=1e-12)
    assert 0 < jnp.abs(ratio[0, 0] - 1) < 0.01
    stimulus = system.task(state.step, KEY)
    _, signals = system.circuit(None, state.synapses, stimulus, KEY)
    assert jnp.allclose(signals.loss, loss(state.synapses), rtol=1e-12)


def test_error_is_the_mean_over_samples_and_outputs():
    loss, teacher = objective(SMALL, KEY)
    weights = tree_scale(1.3, teacher)
    inputs = draw_inputs(SMALL)
    error = feedforward(weights, inputs) - feedforward(teacher, inputs)
    assert jnp.allclose(loss(weights), jnp.sum(error**2) / (30 * 3), rtol=1e-12)
    summed, _ = objective(dataclasses.replace(SMALL, reduction="sum_outputs"), KEY)
    assert jnp.allclose(summed(weights), 3 * loss(weights), rtol=1e-12)


def test_linear_error_from_the_second_moment_is_that_from_the_data():
    quick, teacher = objective(LINEAR, KEY)
    slow, same = objective(dataclasses.replace(LINEAR, bootstrap=True), KEY)
    given_moment, _ = objective(
        dataclasses.replace(LINEAR, second_moment=input_moment(LINEAR)), KEY
    )
    assert jnp.array_equal(teacher[0], same[0])
    weights = (jr.normal(jr.key(3), (3, 4)),)
    assert jnp.allclose(quick(weights), given_moment(weights), rtol=1e-12)
    inputs = draw_inputs(LINEAR)
    error = (weights[0] - teacher[0]) @ inputs
    assert jnp.allclose(quick(weights), jnp.mean(error**2), rtol=1e-12)
    assert not jnp.allclose(slow(weights), quick(weights), rtol=1e-3)  # resampled


def test_input_ensembles():
    iid = draw_inputs(Config(inputs="iid", samples=20_000))
    moment = iid @ iid.T / 20_000
    assert jnp.max(jnp.abs(moment - jnp.eye(12))) < 6 * math.sqrt(2 / 20_000)
    values = jnp.linalg.eigvalsh(input_moment(Config(sizes=(12, 10))))
    assert values[-1] / values[0] > 50
    other = draw_inputs(Config(data_seed=1))
    assert not jnp.allclose(other, draw_inputs(Config()))


def test_users_inputs_are_used():
    inputs = jr.normal(KEY, (4, 7))
    assert jnp.array_equal(
        draw_inputs(dataclasses.replace(SMALL, input_samples=inputs)), inputs
    )


def test_the_same_key_is_the_same_run_and_the_data_do_not_depend_on_it():
    (first, _), (second, state) = build(SMALL, KEY), build(SMALL, jr.key(1))
    assert jnp.array_equal(first.task.stimulus[0], second.task.stimulus[0])
    _, again = build(SMALL, jr.key(1))
    assert jnp.array_equal(state.synapses[0], again.synapses[0])


@settings(deadline=None, max_examples=5, derandomize=True)
@given(st.integers(0, 1000))
def test_hidden_units_may_be_permuted_and_inputs_rotated(seed):
    keys = jr.split(jr.key(seed), 4)
    loss, (first, second) = objective(SMALL, keys[0])
    order = jr.permutation(keys[1], 5)
    first, second = first + 0.1, second - 0.1
    permuted = (first[order], second[:, order])
    assert jnp.allclose(loss(permuted), loss((first, second)), rtol=1e-10)
    rotation = jnp.linalg.qr(jr.normal(keys[2], (4, 4)))[0]
    inputs = draw_inputs(SMALL)
    here = feedforward((first, second), inputs)
    there = feedforward((first @ rotation.T, second), rotation @ inputs)
    assert jnp.allclose(here, there, rtol=1e-9, atol=1e-12)


def test_degenerate_networks():
    single = Config(sizes=(1, 1), samples=1, steps=10, window=5)
    loss, teacher = objective(single, KEY)
    assert hessian(loss, teacher).shape == (1, 1)
    few = Config(sizes=(6, 2), samples=3)  # rank-deficient second moment
    loss, teacher = objective(few, KEY)
    values = jnp.linalg.eigvalsh(hessian(loss, teacher))
    assert jnp.sum(values > 1e-10 * values[-1]) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": -1.0}, "`ratio`"),
        ({"fluctuation_size": -0.1}, "`fluctuation_size`"),
        ({"corruption": float("nan")}, "`corruption`"),
        ({"steps": 0}, "`steps`"),
        ({"window": 9000}, "`window`"),
        ({"sizes": (12,)}, "`sizes`"),
        ({"rule": "noisy_gradeint"}, "Did you mean 'noisy_gradient'"),
        ({"inputs": "idd"}, "Did you mean 'iid'"),
        ({"output": "tanh"}, "`output`"),
        ({"reduction": "sum"}, "`reduction`"),
        ({"probes": 0}, "`probes`"),
        ({"noise": "pink"}, "`noise`"),
        ({"noise_time": 0.0}, "`noise_time`"),
        ({"delay": -1}, "`delay`"),
        ({"every": 0}, "`every`"),
        ({"fluctuating_share": 0.5}, "linear network"),
        ({"input_samples": np.ones((3, 4))}, r"shape \(12, samples\)"),
        ({"input_samples": np.full((12, 4), np.nan)}, "must be finite; 48"),
        ({"second_moment": np.eye(12)}, "linear network"),
        ({"sizes": (3, 2), "second_moment": np.ones((2, 3))}, "`second_moment`"),
        (
            {"sizes": (2, 2), "second_moment": np.asarray([[1.0, 2.0], [0.0, 1.0]])},
            "symmetric",
        ),
        (
            {"sizes": (2, 2), "second_moment": np.asarray([[1.0, 2.0], [2.0, 1.0]])},
            "semidefinite",
        ),
        (
            {"sizes": (2, 2), "second_moment": np.asarray([[1.0, np.inf], [2.0, 1.0]])},
            "finite",
        ),
    ],
)
def test_bad_input_is_named(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_bad_landscapes_are_named():
    with pytest.raises(ValueError, match="softness"):
        Landscape(softness=0.0)
    with pytest.raises(ValueError, match="trials"):
        Landscape(trials=1)


def test_fluctuations_have_their_length():
    system, state = build(SMALL, KEY)
    stimulus = system.task(state.step, KEY)
    _, signals = system.circuit(None, state.synapses, stimulus, KEY)
    rule = system.rules["fluctuation"]
    noise = jax.vmap(lambda key: rule(state.synapses, signals, key))(jr.split(KEY, 5))
    lengths = jax.vmap(tree_norm)(noise)
    assert jnp.allclose(lengths, SMALL.fluctuation, rtol=1e-12)
