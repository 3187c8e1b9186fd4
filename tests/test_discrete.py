"""Derivatives through discrete draws: exact, unbiased, relaxed."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.inference import (
    discrete_rows,
    expectation,
    over_keys,
    relaxed_expectation,
    relaxed_masks,
    scored_expectation,
)


KEY = jr.key(0)
P = {"a": jnp.asarray([0.2, 0.7]), "b": jnp.asarray([[0.5]])}


def curved(mask):
    """Far from 0, not linear in any draw, nor a sum over draws."""
    return 3 + jnp.exp(mask["a"] @ jnp.asarray([1.0, -0.7]) * (1 + mask["b"][0, 0]))


@pytest.mark.dear
def test_the_rows_hold():
    for row in discrete_rows():
        assert row.holds, row


def test_all_masks_of_a_tree_are_counted_once():
    total = lambda mask: {"a": mask["a"], "on": mask["b"][0, 0] > 0.5}
    found = expectation(total, P)
    np.testing.assert_allclose(found["a"], P["a"], atol=1e-15)
    np.testing.assert_allclose(found["on"], 0.5, atol=1e-15)
    many = jnp.full(11, 0.5)  # eight blocks
    code = lambda mask: mask @ 2.0 ** jnp.arange(11.0)
    np.testing.assert_allclose(expectation(code, many), (2**11 - 1) / 2)


@pytest.mark.dear
def test_slopes_along_what_the_value_reads_and_along_probabilities():
    def mean(scale, p):
        return expectation(lambda mask: jnp.sin(scale * curved(mask)), p)

    by_scale, by_p = jax.grad(mean, (0, 1))(0.3, P)
    step = 1e-6
    want = (mean(0.3 + step, P) - mean(0.3 - step, P)) / (2 * step)
    np.testing.assert_allclose(by_scale, want, rtol=1e-8)
    moved = lambda x: {**P, "b": P["b"] + x}
    want = mean(0.3, moved(0.5)) - mean(0.3, moved(-0.5))  # linear in each
    np.testing.assert_allclose(by_p["b"][0, 0], want, rtol=1e-12)
    both = jax.hessian(lambda x: mean(0.3, {**P, "a": x}))(P["a"])
    np.testing.assert_allclose(jnp.diagonal(both), 0, atol=1e-13)
    assert abs(both[0, 1]) > 0.1


def test_what_cannot_be_does_not_count():
    sure = jnp.asarray([1.0, 0.3])
    found = expectation(lambda mask: jnp.log(mask[0]) + mask[1], sure)
    np.testing.assert_allclose(found, 0.3, atol=1e-15)


@pytest.mark.dear
def test_scores_and_relaxed_masks_agree_with_all_masks_within_what_they_say():
    keys = jr.split(KEY, 4000)
    exact = jax.grad(lambda p: expectation(curved, p))(P)
    spread = {}
    for name, mean in {
        "leave one out": lambda p, key: scored_expectation(curved, p, key, samples=4),
        "no baseline": lambda p, key: scored_expectation(
            curved, p, key, samples=4, baseline=False
        ),
        "relaxed": lambda p, key: relaxed_expectation(
            curved, p, key, samples=4, temperature=0.5
        ),
    }.items():
        found = over_keys(lambda key, mean=mean: jax.grad(mean)(P, key), keys)
        apart = lambda a, b, e: jnp.max(jnp.abs((a - b) / e))
        off = jax.tree.leaves(jax.tree.map(apart, found.value, exact, found[1]))
        spread[name] = float(found.standard_error["b"][0, 0])
        if name == "relaxed":
            assert max(off) > 10  # its bias is seen
        else:
            assert max(off) < 4
    assert 2 * spread["relaxed"] < spread["leave one out"]
    assert spread["leave one out"] < 0.7 * spread["no baseline"]


@pytest.mark.dear
def test_a_scored_mean_differentiates_weights_before_and_after_the_draw():
    inputs = jnp.asarray([0.4, -1.0])

    def mean(estimate, weights):
        p = jax.nn.sigmoid(weights @ inputs)
        return estimate(lambda spikes: jnp.tanh(jnp.sum(weights) * spikes[0]), p)

    weights = jnp.asarray([[0.3, -0.2], [1.0, 0.1]])
    want = jax.grad(lambda w: mean(expectation, w))(weights)

    def slope(key):
        estimate = lambda value, p: scored_expectation(value, p, key, samples=10)
        return jax.grad(lambda w: mean(estimate, w))(weights)

    found = over_keys(slope, jr.split(KEY, 2000))
    apart = jnp.abs(found.value - want) / found.standard_error
    assert jnp.max(apart) < 4
    assert jnp.max(found.standard_error) < 0.05 * jnp.max(jnp.abs(want))


def test_the_value_of_a_scored_mean_is_that_of_the_draws():
    p = jnp.asarray([0.0, 1.0, 0.25])
    found = scored_expectation(lambda mask: mask, p, KEY, samples=1000)
    np.testing.assert_array_equal(found[:2], [0, 1])
    assert abs(found[2] - 0.25) < 4 * (0.25 * 0.75 / 1000) ** 0.5
    slope = jax.grad(lambda p: scored_expectation(jnp.sum, p, KEY))(p)
    np.testing.assert_array_equal(slope[:2], 0)  # constants, as is said
    assert jnp.isfinite(slope[2])


@pytest.mark.dear
def test_hard_masks_are_masks_with_the_slope_of_soft_ones():
    p = jnp.linspace(0.05, 0.95, 500)
    soft = lambda p: relaxed_masks(p, KEY, 0.3)
    hard = lambda p: relaxed_masks(p, KEY, 0.3, hard=True)
    np.testing.assert_array_equal(hard(p), jnp.round(soft(p)))
    slope = lambda masks: jax.grad(lambda p: jnp.sum(masks(p)))(p)
    np.testing.assert_array_equal(slope(hard), slope(soft))
    many = jax.vmap(lambda key: relaxed_masks(p, key, hard=True))(jr.split(KEY, 400))
    chance = jnp.mean(many, axis=0)
    apart = (chance - p) / jnp.sqrt(p * (1 - p) / 400)
    assert abs(jnp.mean(apart**2) - 1) < 4 * (2 / 500) ** 0.5


def test_sure_draws_and_single_precision_have_finite_slopes():
    for kind in (jnp.float32, jnp.float64):
        p = jnp.asarray([0.0, 1.0, 0.5, 1e-6], kind)
        for mean in (expectation, None):
            estimate = mean or (
                lambda value, p: relaxed_expectation(value, p, KEY, temperature=0.1)
            )
            slope = jax.jit(jax.grad(lambda p, e=estimate: e(jnp.sum, p)))(p)
            assert slope.dtype == kind
            assert jnp.all(jnp.isfinite(slope))
        total = lambda t, p=p: jnp.sum(relaxed_masks(p, KEY, t)).astype(jnp.float64)
        by_temperature = jax.grad(total)(0.5)
        assert jnp.isfinite(by_temperature)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: expectation(jnp.sum, jnp.full(21, 0.5)), "at most 20 entries"),
        (lambda: expectation(jnp.sum, jnp.asarray([1.2])), r"lie in \[0, 1\]; got 1.2"),
        (lambda: expectation(jnp.sum, jnp.asarray([1])), "floating-point"),
        (lambda: expectation(jnp.sum, {}), "empty tree"),
        (lambda: expectation(3, jnp.ones(1)), "`value` must be a function of"),
        (
            lambda: scored_expectation(jnp.sum, jnp.ones(1), KEY, samples=1),
            "`samples` must be at least 2",
        ),
        (lambda: relaxed_masks(jnp.ones(1), KEY, 0.0), "`temperature` must be pos"),
        (lambda: over_keys(lambda key: jr.normal(key), KEY[None]), "number of keys"),
    ],
)
def test_errors_name_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_traced_probabilities_out_of_range_are_nan():
    out = jnp.asarray([0.5, 1.5])
    for mean in (
        lambda p: expectation(jnp.sum, p),
        lambda p: scored_expectation(jnp.sum, p, KEY),
        lambda p: jnp.sum(relaxed_masks(p, KEY, hard=True)),
    ):
        assert jnp.isnan(jax.jit(mean)(out))
