"""Whole runs of optimal plasticity: invariances, controls, options, lowering."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax._sweep._sweep import sweep
from plasticity_jax.numerics import tree_norm
from plasticity_jax.systems.optimal_plasticity.config import Config, RULES
from plasticity_jax.systems.optimal_plasticity.experiments.steady import (
    loss_of,
    recorded,
    steady_state,
)


KEY = jr.key(0)
LINEAR = Config(sizes=(6, 4), samples=400, inputs="iid", steps=400, window=200)
TINY = Config(sizes=(4, 5, 3), samples=20, steps=60, window=30, probes=2, damping=0.1)
FIXED = ("noisy_gradient", "beeline", "weight_perturbation")  # by their norm


@eqx.filter_jit
def runs(record, configs):
    """What `record` sees in a run of each config, in one program."""
    return {name: recorded(config, KEY, record) for name, config in configs.items()}


@eqx.filter_jit
def losses(config, key=KEY):
    return recorded(config, key, loss_of)


def loss_and_length(state, signals, changes):
    return signals.loss, tree_norm(changes["compensation"])


def changes_of(state, signals, changes):
    return changes


def under(rules, config):
    """Losses of a run under each of some rules, and lengths of its compensation."""
    configs = {rule: dataclasses.replace(config, rule=rule) for rule in rules}
    return jax.device_get(runs(loss_and_length, configs))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_runs_and_stays_finite(rule):
    seen, _ = under(RULES, TINY)[rule]
    assert seen.shape == (60,)
    assert np.all(np.isfinite(seen))
    assert np.all(seen[1:] > 0)


@pytest.mark.parametrize("rule", FIXED)
def test_fixed_norm_rules_do_not_see_the_scale_of_the_loss(rule):
    summed = dataclasses.replace(TINY, reduction="sum_outputs")
    (whole, _), (mean, _) = under(FIXED, summed)[rule], under(RULES, TINY)[rule]
    assert np.allclose(whole[1:], 3 * mean[1:], rtol=1e-6, atol=0)


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
    keys = jr.split(KEY, 64)
    runs = jax.vmap(lambda key: losses(config, key))(keys)
    steps = jnp.arange(config.steps, dtype=float)
    want = steps * config.fluctuation**2 / 4  # Tr H / N = 2 / 4 outputs
    error = jnp.std(runs[:, -1]) / 8
    assert error < 0.05 * want[-1]
    assert jnp.abs(jnp.mean(runs[:, -1]) - want[-1]) < 4 * error
    zero = dataclasses.replace(config, rule="noisy_gradient", ratio=0.0)
    assert jnp.allclose(losses(zero, keys[0])[1:], runs[0, 1:], rtol=1e-10)


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
    error, weights = runs(record, {"it": config})["it"]
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

    def last(ratio):
        seen = losses(dataclasses.replace(config, ratio=ratio))
        return seen[-1], seen

    slope, seen = jax.grad(last, has_aux=True)(jnp.asarray(1.0))
    assert seen[0] < 1e-28
    assert jnp.all(jnp.isfinite(seen))
    assert jnp.isfinite(slope)


def test_late_and_rare_repair_and_other_noise_are_built():
    """Rules, lengths and times of a run of each kind."""
    short = dataclasses.replace(LINEAR, corruption=0.0, steps=6, window=3)
    here = lambda **fields: dataclasses.replace(short, **fields)
    configs = {"late": here(delay=2), "rare": here(every=3)}
    for noise in ("multiplicative", "coloured"):
        configs[noise] = here(noise=noise, rule="none")
    seen = runs(changes_of, configs)
    for name, want in (("late", [0, 0, 1, 1, 1, 1]), ("rare", [0, 0, 1, 0, 0, 1])):
        (repair,) = seen[name]["compensation"]
        assert np.any(repair, axis=(1, 2)).tolist() == want
    for noise in ("multiplicative", "coloured"):
        steps = np.reshape(seen[noise]["fluctuation"][0], (6, -1))
        lengths, want = np.linalg.norm(steps, axis=1), float(short.fluctuation)
        assert np.allclose(lengths, want, rtol=1e-10)
        cosine = steps[0] @ steps[1] / want**2
        assert (cosine > 0.5) == (noise == "coloured")


def test_restricted_fluctuations_stay_in_the_soft_directions():
    moment = np.diag(np.linspace(1.0, 6.0, 6))
    short = dataclasses.replace(LINEAR, steps=5, window=3)
    config = dataclasses.replace(
        short, fluctuating_share=0.5, second_moment=moment, rule="none"
    )
    noise = np.asarray(runs(changes_of, {"it": config})["it"]["fluctuation"][0])
    assert np.allclose(noise[:, :, 3:], 0.0, atol=1e-12)
    lengths = np.linalg.norm(noise, axis=(1, 2))
    assert np.allclose(lengths, config.fluctuation, rtol=1e-10)


def test_bootstrap_resamples_and_hardly_changes_the_error():
    again = dataclasses.replace(LINEAR, bootstrap=True)
    full, resampled = (np.mean(losses(c)[200:]) for c in (LINEAR, again))
    assert resampled != full
    assert abs(resampled / full - 1) < 0.1


def test_the_optimal_magnitude_flags_where_it_was_capped():
    config = dataclasses.replace(TINY, length_cap=0.01)
    _, lengths = under(RULES, config)["optimal_magnitude"]
    assert np.allclose(lengths[1:], 0.01 * config.fluctuation)


def test_accept_only_realises_less_than_it_attempts():
    config = dataclasses.replace(LINEAR, ratio=2.0)
    _, lengths = under(["accept_only"], config)["accept_only"]
    realised = np.sqrt(np.mean(lengths**2)) / config.fluctuation
    assert 0.3 < realised < 1.8
    assert np.all((lengths == 0) | np.isclose(lengths, 2 * config.fluctuation))


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


@pytest.mark.parametrize("sizes", [(4, 3), (4, 5, 3)])
def test_the_compiled_runs_lower_for_cuda_without_callbacks(sizes):
    configs = [dataclasses.replace(TINY, rule=rule, sizes=sizes) for rule in RULES]
    run = jax.jit(jax.vmap(lambda key: [steady_state(c, key) for c in configs]))
    lowered = run.trace(jr.split(KEY, 2)).lower(lowering_platforms=("cuda",))
    assert "callback" not in lowered.as_text()
