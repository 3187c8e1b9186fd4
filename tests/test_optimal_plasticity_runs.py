"""Whole runs of optimal plasticity: invariances, controls, options, lowering."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax._simulate import simulate
from plasticity_jax._sweep._sweep import sweep
from plasticity_jax.numerics import tree_norm
from plasticity_jax.systems.optimal_plasticity.config import build, Config, RULES
from plasticity_jax.systems.optimal_plasticity.experiments.steady import (
    loss_of,
    steady_state,
)


KEY = jr.key(0)
LINEAR = Config(sizes=(6, 4), samples=50, steps=400, window=200)
TINY = Config(sizes=(4, 5, 3), samples=20, steps=60, window=30)


@eqx.filter_jit
def losses(config, key=KEY):
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    return simulate(system, state, for_run, steps=config.steps, record=loss_of)[1]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_runs_and_stays_finite(rule):
    config = dataclasses.replace(TINY, rule=rule, probes=2, damping=0.1)
    seen = losses(config)
    assert seen.shape == (60,)
    assert jnp.all(jnp.isfinite(seen))
    assert jnp.all(seen[1:] > 0)


@pytest.mark.parametrize("rule", ["noisy_gradient", "beeline", "weight_perturbation"])
def test_fixed_norm_rules_do_not_see_the_scale_of_the_loss(rule):
    config = dataclasses.replace(TINY, rule=rule)
    whole = losses(dataclasses.replace(config, reduction="sum_outputs"))
    assert jnp.allclose(whole, 3 * losses(config), rtol=1e-6)


def test_error_scales_as_the_square_of_the_noise_on_a_quadratic():
    config = dataclasses.replace(LINEAR, start_offset=0.0, ratio=0.7)
    one, two = (
        losses(dataclasses.replace(config, fluctuation_size=s)) for s in (0.01, 0.02)
    )
    assert jnp.allclose(two[1:], 4 * one[1:], rtol=1e-8)


def test_without_compensation_the_error_grows_linearly():
    """F = t delta^2 Tr H / 2N exactly in expectation; 64 runs."""
    config = dataclasses.replace(
        LINEAR, rule="none", start_offset=0.0, second_moment=np.eye(6)
    )
    runs = jax.vmap(lambda key: losses(config, key))(jr.split(KEY, 64))
    steps = jnp.arange(config.steps, dtype=float)
    want = steps * config.fluctuation**2 / 4  # Tr H / N = 2 / 4 outputs
    error = jnp.std(runs[:, -1]) / 8
    assert error < 0.05 * want[-1]
    assert jnp.abs(jnp.mean(runs[:, -1]) - want[-1]) < 4 * error
    zero = dataclasses.replace(config, rule="noisy_gradient", ratio=0.0)
    assert jnp.allclose(losses(zero)[1:], losses(config)[1:], rtol=1e-10)


def test_without_fluctuations_the_gradient_ends_in_a_small_limit_cycle():
    config = dataclasses.replace(
        LINEAR, second_moment=np.eye(6), fluctuates=False, rule="gradient"
    )
    length = config.fluctuation * config.ratio
    assert jnp.all(losses(config)[100:] <= 0.5 * 0.5 * length**2 * (1 + 1e-10))


def test_null_directions_of_the_inputs_drift_without_an_error():
    moment = np.diag([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    config = dataclasses.replace(LINEAR, second_moment=moment, steps=2000, window=1000)
    record = lambda state, signals, changes: (signals.loss, state.synapses[0])
    system, state = build(config, KEY)
    _, (error, weights) = simulate(system, state, KEY, steps=2000, record=record)
    spread = jnp.mean(jnp.var(weights[1000:], axis=0), axis=0)
    assert jnp.min(spread[4:]) > 3 * jnp.max(spread[:4])
    assert jnp.abs(jnp.mean(error[1500:]) / jnp.mean(error[1000:1500]) - 1) < 0.1


@pytest.mark.slow
def test_gradient_through_a_long_nonlinear_run():
    config = Config(samples=50, steps=800, window=400, corruption=0.0)
    error = lambda r: jnp.mean(losses(dataclasses.replace(config, ratio=r))[-400:])
    ratio, step = jnp.asarray(0.7), 1e-6
    secant = (error(ratio + step) - error(ratio - step)) / (2 * step)
    assert jnp.allclose(jax.grad(error)(ratio), secant, rtol=1e-5)


def test_a_student_at_its_teacher_moves_on_without_nan():
    config = dataclasses.replace(TINY, start_offset=0.0, corruption=0.0)
    seen = losses(config)
    assert seen[0] < 1e-28
    assert jnp.all(jnp.isfinite(seen))
    slope = jax.grad(lambda r: losses(dataclasses.replace(config, ratio=r))[-1])(
        jnp.asarray(1.0)
    )
    assert jnp.isfinite(slope)


def test_late_and_rare_repair_and_other_noise_are_built():
    """Rules, lengths and times of a run of each kind."""
    record = lambda state, signals, changes: changes
    for change in ({"delay": 2}, {"every": 3}):
        config = dataclasses.replace(LINEAR, corruption=0.0, **change)
        system, state = build(config, KEY)
        _, seen = simulate(system, state, KEY, steps=6, record=record)
        moved = jax.vmap(tree_norm)(seen["compensation"]) > 0
        want = {"delay": [0, 0, 1, 1, 1, 1], "every": [0, 0, 1, 0, 0, 1]}
        assert moved.tolist() == [bool(x) for x in want[next(iter(change))]]
    for noise in ("multiplicative", "coloured"):
        config = dataclasses.replace(LINEAR, noise=noise, rule="none")
        system, state = build(config, KEY)
        _, seen = simulate(system, state, KEY, steps=6, record=record)
        steps = seen["fluctuation"][0].reshape(6, -1)
        lengths = jnp.linalg.norm(steps, axis=1)
        assert jnp.allclose(lengths, config.fluctuation, rtol=1e-10)
        cosine = steps[0] @ steps[1] / config.fluctuation**2
        assert (cosine > 0.5) == (noise == "coloured")


def test_restricted_fluctuations_stay_in_the_soft_directions():
    moment = np.diag(np.linspace(1.0, 6.0, 6))
    config = dataclasses.replace(
        LINEAR, fluctuating_share=0.5, second_moment=moment, rule="none"
    )
    record = lambda state, signals, changes: changes["fluctuation"][0]
    system, state = build(config, KEY)
    _, noise = simulate(system, state, KEY, steps=5, record=record)
    assert jnp.allclose(noise[:, :, 3:], 0.0, atol=1e-12)
    lengths = jax.vmap(tree_norm)(noise)
    assert jnp.allclose(lengths, config.fluctuation, rtol=1e-10)


def test_bootstrap_resamples_and_hardly_changes_the_error():
    config = dataclasses.replace(LINEAR, samples=400, inputs="iid")
    again = dataclasses.replace(config, bootstrap=True)
    full, resampled = jnp.mean(losses(config)[200:]), jnp.mean(losses(again)[200:])
    assert resampled != full
    assert jnp.abs(resampled / full - 1) < 0.1


def test_the_optimal_magnitude_flags_where_it_was_capped():
    config = dataclasses.replace(TINY, rule="optimal_magnitude", length_cap=0.01)
    record = lambda state, signals, changes: tree_norm(changes["compensation"])
    system, state = build(config, KEY)
    _, lengths = simulate(system, state, KEY, steps=10, record=record)
    assert jnp.allclose(lengths[1:], 0.01 * config.fluctuation)


def test_accept_only_realises_less_than_it_attempts():
    config = dataclasses.replace(LINEAR, rule="accept_only", ratio=2.0)
    record = lambda state, signals, changes: tree_norm(changes["compensation"])
    system, state = build(config, KEY)
    _, lengths = simulate(system, state, KEY, steps=400, record=record)
    realised = jnp.sqrt(jnp.mean(lengths**2)) / config.fluctuation
    assert 0.3 < realised < 1.8
    assert jnp.all((lengths == 0) | jnp.isclose(lengths, 2 * config.fluctuation))


@pytest.mark.dear
def test_a_sweep_is_the_loop_over_its_points_in_single_precision():
    grid = {"ratio": [0.3, 1.0], "corruption": [0.1, 5.0]}
    with jax.enable_x64(False):
        single = Config(sizes=(4, 5, 3), samples=20, steps=60, window=30)
        keys = jr.split(jr.key(0), 2)
        data = sweep(steady_state, single, grid, keys, progress=False)
        assert data.loss.dtype == np.float32
        for i, ratio in enumerate(grid["ratio"]):
            for j, corruption in enumerate(grid["corruption"]):
                here = dataclasses.replace(single, ratio=ratio, corruption=corruption)
                for k in range(2):
                    alone = steady_state(here, keys[k])["loss"]
                    got = data.loss.values[i, j, k]
                    assert np.isclose(got, alone, rtol=1e-5)


def test_one_diverging_run_leaves_the_others_bit_identical():
    keys = jr.split(KEY, 2)
    calm = {"fluctuation_size": [0.01, 0.02, 0.03]}
    wild = {"fluctuation_size": [0.01, 1e300, 0.03]}
    options = {"batch_size": 6, "progress": False}
    a = sweep(steady_state, TINY, calm, keys, **options)
    b = sweep(steady_state, TINY, wild, keys, **options)
    assert b.diverged.values.tolist() == [[False] * 2, [True] * 2, [False] * 2]
    for i in (0, 2):
        assert np.array_equal(a.course.values[i], b.course.values[i])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sizes", [(4, 3), (4, 5, 3)])
def test_the_compiled_run_lowers_for_cuda_without_callbacks(rule, sizes):
    config = dataclasses.replace(TINY, rule=rule, sizes=sizes)
    run = jax.jit(jax.vmap(lambda key: steady_state(config, key)))
    lowered = run.trace(jr.split(KEY, 2)).lower(lowering_platforms=("cuda",))
    assert "callback" not in lowered.as_text()
