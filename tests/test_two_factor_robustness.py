"""Replay, projections and recall as Figure 2 uses them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray

from plasticity_jax import simulate
from plasticity_jax.circuits import (
    Candidates,
    RandomReplay,
    SoftReplay,
    TaughtReplay,
    WeakestReplay,
)
from plasticity_jax.measure import degenerate, largest_l1_margin, margins, noise_ratio
from plasticity_jax.synapses import (
    Factored,
    HomeostaticScaling,
    MidpointThreshold,
    Power,
    Product,
)
from plasticity_jax.systems.two_factor_consolidation import build, Config
from plasticity_jax.systems.two_factor_consolidation.config import of_order
from plasticity_jax.systems.two_factor_consolidation.experiments.energy import (
    two_factors_cost_least,
)
from plasticity_jax.systems.two_factor_consolidation.experiments.oracle import oracle
from plasticity_jax.systems.two_factor_consolidation.networks import (
    fields_and_weights,
    memories,
    sleep,
    start,
)
from plasticity_jax.systems.two_factor_consolidation.recall import (
    flip_balanced,
    flip_exactly,
    flip_isotropic,
    FLIPS,
    jitter,
    KINDS,
    observed,
    recall_curve,
    recall_rate,
    tolerance,
)
from plasticity_jax.tasks import draw_patterns


N, M = 40, 10
SMALL = Config(size=N, rows=6, patterns=M, cycles=300)
DRAW = np.random.default_rng(4)
ONES = DRAW.integers(0, 2, (N, M)).astype(float)
PATTERNS, TARGETS = jnp.asarray(ONES), jnp.asarray(2 * ONES[:5] - 1)
STORED = jnp.asarray(np.arange(M) < 7)
FIELDS = jnp.asarray(DRAW.normal(size=(5, M)))
AVERAGE = jnp.asarray(np.mean(np.abs(FIELDS[:, :7]), axis=1))
CANDIDATES = Candidates(FIELDS, TARGETS, STORED, AVERAGE)


def slept(config, stored, synapses):
    system, state = sleep(config, stored, synapses)
    end, _ = simulate(
        system, state, jr.key(9), steps=config.cycles, every=config.cycles
    )
    return end.synapses


# --- policies -------------------------------------------------------------------------


def test_weakest_replay_takes_the_stored_pattern_of_least_margin():
    shares = WeakestReplay()(CANDIDATES, jr.key(0))
    for i in range(5):
        least = int(np.argmin((TARGETS * FIELDS)[i, :7]))
        want = np.zeros(M)
        want[least] = TARGETS[i, least]
        np.testing.assert_array_equal(shares[i], want)


def test_soft_replay_is_the_softmin_of_sizes_with_the_fields_own_sign():
    shares = SoftReplay(3.0)(CANDIDATES, jr.key(0))
    size = np.where(STORED, np.abs(FIELDS), np.inf)
    weights = np.exp(-3.0 * size / np.asarray(AVERAGE)[:, None])
    want = np.sign(FIELDS) * weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, want, rtol=1e-12, atol=1e-14)
    sharp = SoftReplay(1e6)(CANDIDATES, jr.key(0))
    assert jnp.all(jnp.sum(jnp.abs(sharp) > 1e-6, axis=1) == 1)


def test_taught_replay_switches_neuron_by_neuron_or_together():
    right = jnp.abs(FIELDS) * TARGETS
    fields = FIELDS.at[1:].set(right[1:]).at[0, 0].set(-TARGETS[0, 0])
    candidates, key = dataclasses.replace(CANDIDATES, fields=fields), jr.key(0)
    hard, soft = (p(candidates, key) for p in (WeakestReplay(), SoftReplay()))
    alone = TaughtReplay()(candidates, key)
    np.testing.assert_array_equal(alone[0], hard[0])
    np.testing.assert_array_equal(alone[1:], soft[1:])
    together = TaughtReplay(together=True)(candidates, key)
    np.testing.assert_array_equal(together, hard)


def test_random_replay_is_uniform_over_stored_patterns():
    draws = 4000
    pick = lambda key: RandomReplay().choose(CANDIDATES, key)
    chosen = np.asarray(jax.vmap(pick)(jr.split(jr.key(1), draws))).ravel()
    counts = np.bincount(chosen, minlength=M) / chosen.size
    error = (1 / 7 * 6 / 7 / chosen.size) ** 0.5
    assert np.all(counts[7:] == 0)
    assert np.all(abs(counts[:7] - 1 / 7) < 4 * error)
    assert error < 0.003


@pytest.mark.parametrize("noise", [1e-9, 1e9])
def test_noise_leads_from_the_weakest_to_a_random_pattern(noise):
    policy = WeakestReplay(noise)
    pick = lambda key: policy.choose(CANDIDATES, key)
    chosen = jax.vmap(pick)(jr.split(jr.key(1), 300))
    assert jnp.all(chosen < 7)
    weakest = WeakestReplay().choose(CANDIDATES, jr.key(0))
    same = float(jnp.mean((chosen == weakest[None]).astype(float)))
    assert same == 1.0 if noise < 1 else abs(same - 1 / 7) < 4 * (1 / 7 / 1500) ** 0.5


# --- projections ----------------------------------------------------------------------


@pytest.mark.parametrize("of", ["joint", "each", "weights"])
def test_scaling_reaches_its_target_and_is_idempotent(of):
    factors = np.random.default_rng(0).uniform(0.1, 1.0, (3, 4, N))
    scaling = eqx.filter_jit(HomeostaticScaling(2.0, Product(), of))
    once = scaling(Factored(jnp.asarray(factors), jnp.arange(4.0)))
    twice = scaling(once)
    np.testing.assert_allclose(once.factors, twice.factors, rtol=1e-12)
    np.testing.assert_array_equal(once.threshold, np.arange(4.0))
    squares = np.asarray(once.factors) ** 2
    held = {
        "joint": np.sum(squares, axis=(0, 2)) / 3,
        "each": np.sum(squares, axis=2),
        "weights": np.sum(np.prod(squares, axis=0) ** (1 / 3), axis=1),
    }[of]
    np.testing.assert_allclose(held, 2.0, rtol=1e-12)


def test_midpoint_threshold_is_best_where_classes_are_separated():
    weights = jr.uniform(jr.key(0), (1, N))
    currents = np.sort(np.asarray(weights[0] @ PATTERNS))
    synapses = Factored(weights[None], jnp.asarray([currents[-1] - 1e-9]))
    found = MidpointThreshold(PATTERNS, parametrisation=Power(1.0))(synapses)
    assert float(found.threshold[0]) == pytest.approx(currents[-2:].mean(), rel=1e-12)
    above = Factored(weights[None], jnp.asarray([currents[-1] + 1.0]))
    kept = MidpointThreshold(PATTERNS, parametrisation=Power(1.0))(above)
    assert kept.threshold[0] == above.threshold[0]


# --- replay ---------------------------------------------------------------------------


def test_rows_are_independent():
    stored = memories(SMALL, jr.key(0))
    synapses = start(SMALL, jr.key(1))
    whole = slept(SMALL, stored, synapses)
    some = dataclasses.replace(SMALL, rows=3)
    part = slept(
        some,
        stored._replace(targets=stored.targets[:3]),
        Factored(synapses.factors[:, :3], synapses.threshold[:3]),
    )
    np.testing.assert_allclose(part.factors, whole.factors[:, :3], rtol=1e-9)
    np.testing.assert_allclose(part.threshold, whole.threshold[:3], rtol=1e-9)


def test_padding_of_the_load_is_a_smaller_problem():
    padded = dataclasses.replace(SMALL, load=6 / N)
    plain = dataclasses.replace(SMALL, patterns=6)
    key, synapses = jr.key(0), start(SMALL, jr.key(1))
    whole = slept(padded, memories(padded, key), synapses)
    small = slept(plain, memories(plain, key), synapses)
    np.testing.assert_allclose(whole.factors, small.factors, rtol=1e-9)
    np.testing.assert_allclose(whole.threshold, small.threshold, rtol=1e-9)


def test_the_rule_comes_near_its_oracle_and_never_above():
    config = of_order(dataclasses.replace(SMALL, cycles=20_000), 2)
    system, state = build(config, jr.key(5))
    end, _ = simulate(system, state, jr.key(0), steps=20_000, every=20_000)
    fields, weights = fields_and_weights(system, end)
    stored = system.task(state.step, jr.key(0))
    ratio = noise_ratio(margins(fields, stored.targets), weights, 1.0)
    best = oracle(config, jr.key(5))["best_1"]
    valid = ~np.asarray(degenerate(stored.targets))
    assert valid.sum() >= 5
    share = np.asarray(ratio)[valid] / best[valid]
    assert np.all(share < 1 + 1e-6)
    assert np.mean(share) > 0.97
    i = int(np.flatnonzero(valid)[0])
    found = largest_l1_margin(stored.patterns, stored.targets[i], own=i)
    assert best[i] == found.margin
    assert np.all(np.isnan(best[~valid]))


# --- recall ---------------------------------------------------------------------------


def test_flips_keep_the_mean_activity_or_have_exact_counts():
    f, p, n = 0.3, 0.1, 400_000

    @jax.jit
    def flips():
        patterns = draw_patterns(n, 1, f, jr.key(0))
        return (
            flip_balanced(patterns, p, f, jr.key(1)) - patterns,
            flip_isotropic(patterns, p, jr.key(1)) - patterns,
            flip_exactly(PATTERNS, 3, jr.key(2)) - PATTERNS,
        )

    balanced, isotropic, exact = (np.asarray(x) for x in flips())
    error = (2 * p / n) ** 0.5
    assert abs(np.mean(np.abs(balanced)) - 2 * p) < 4 * error
    assert abs(np.mean(balanced)) < 4 * error
    assert error < 0.01 * p
    assert abs(np.mean(np.abs(isotropic)) - p) < 4 * error
    assert np.all(np.sum(exact == 1, axis=0) == 3)
    assert np.all(np.sum(exact == -1, axis=0) == 3)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_observed_scales_without_touching_recall(order):
    factors = jr.uniform(jr.key(0), (order, N, N), minval=0.2)
    synapses = Factored(factors, 0.5 * jnp.sum(Product().weights(factors), axis=1))
    seen = observed(synapses)
    np.testing.assert_allclose(jnp.mean(seen.factors, axis=(0, 2)), 0.1, rtol=1e-12)

    def active(synapses):
        weights = Product().weights(synapses.factors)
        return weights @ PATTERNS > synapses.threshold[:, None]

    np.testing.assert_array_equal(active(seen), active(synapses))
    rates = [recall_rate(x, PATTERNS, PATTERNS, 0.5) for x in (synapses, seen)]
    assert rates[0] == rates[1]


def test_jitter_moves_what_it_says():
    factors = np.random.default_rng(0).uniform(0.2, 1.0, (2, N, N))
    factors[:, :, 0] = 0
    synapses, off = Factored(jnp.asarray(factors), jnp.zeros(N)), 1 - np.eye(N)
    noised = lambda *kind: jitter(synapses, 0.01, jr.key(1), *kind).factors
    kinds = ("living", "first", "all")
    every = jax.jit(lambda: [noised(), *(noised(kind) for kind in kinds)])
    default, *every = (np.asarray(x) for x in every())
    for kind, noisy in zip(kinds, every, strict=True):
        change = (noisy - factors) * off
        assert np.any(change[0] != 0)
        assert np.all(change[1] == 0) == (kind != "all")
        assert np.any(change[0, :, 0] != 0) == (kind == "first")
        assert np.all(np.diagonal(noisy, axis1=1, axis2=2) == 0)
        assert np.all(noisy >= 0)
    living = (default - factors)[0, :, 1:]
    spread = float(np.std(living[off[:, 1:] > 0]))
    assert spread == pytest.approx(0.01, rel=4 / (2 * N * N) ** 0.5)


def test_tolerance_interpolates_the_first_crossing():
    levels = jnp.asarray([0.0, 1.0, 2.0, 4.0])
    rates = jnp.asarray(
        [
            [1.0, 0.9, 0.1, 0.0],
            [1.0, 1.0, 0.9, 0.8],
            [0.4, 0.3, 0.2, 0.1],
            [1.0, 0.3, 0.9, 0.0],
        ]
    )
    want = [1.5, 4.0, 0.0, 0.5 / 0.7]
    found = eqx.filter_jit(tolerance)(levels, rates)
    np.testing.assert_allclose(found, want, rtol=1e-12)
    assert found.shape == (4,)


KEY = jr.key(0)
ASSEMBLIES = jnp.asarray(np.kron(np.eye(3), np.ones((12, 1))))
HELD = Factored(
    jnp.asarray(np.kron(np.eye(3), np.ones((1, 12, 12)))), jnp.asarray(np.full(36, 6.5))
)


@pytest.mark.parametrize("noise", [*FLIPS, *KINDS])
def test_a_curve_of_recall_falls_with_any_noise(noise):
    """Of three assemblies in one factor, whose neurons need almost all of their own."""
    held = eqx.tree_at(lambda x: x.threshold, HELD, jnp.full(36, 10.5))
    levels, keys = jnp.asarray([0.0, 0.5]), jr.split(KEY, 8)
    rates = recall_curve(held, ASSEMBLIES, 1 / 3, levels, keys, noise)
    assert rates[0] == 1
    assert rates[1] < 0.9


def test_a_level_of_the_curve_is_a_share_of_flipped_bits():
    keys = jr.split(KEY, 8)
    found = recall_curve(HELD, ASSEMBLIES, 1 / 3, jnp.asarray([1.0]), keys)
    cues = [flip_balanced(ASSEMBLIES, 1 / 6, 1 / 3, key) for key in keys]
    flipped = np.mean([jnp.mean(jnp.sum(x != ASSEMBLIES, axis=0)) for x in cues])
    assert abs(flipped - 12) < 4 * (36 * 0.25 / 24) ** 0.5
    want = np.mean([recall_rate(HELD, x, ASSEMBLIES, 1 / 3) for x in cues])
    np.testing.assert_allclose(found, want)


def test_a_seed_that_stores_nothing_has_no_price():
    paid = lambda *two: xarray.Dataset(
        {"transmission": (("seed", "order"), [[2.0, two[0], 3.0], [2.0, two[1], 3.0]])},
        {"order": [1, 2, 3]},
    )
    assert two_factors_cost_least.measure(paid(1.5, 1.0)) == pytest.approx(1.6)
    assert two_factors_cost_least.measure(paid(2.5, 0.0)) == 0  # 0 is not half of it
    assert np.isnan(two_factors_cost_least.measure(paid(1.5, np.nan)))
