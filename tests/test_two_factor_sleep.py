"""Wake and sleep of two-factor consolidation: by hand, cut in two, and spoilt rows."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.special import expit

from plasticity_jax import simulate
from plasticity_jax.circuits import (
    Candidates,
    memories_of,
    Novelty,
    retrieve,
    SoftReplay,
)
from plasticity_jax.measure import degenerate, lifetime_sparseness, margins
from plasticity_jax.rules import NoveltyHebb, Pruning
from plasticity_jax.synapses import Factored
from plasticity_jax.systems.two_factor_consolidation import config as tf
from plasticity_jax.systems.two_factor_consolidation import networks
from plasticity_jax.systems.two_factor_consolidation.experiments import (
    after_sleep,
    night,
)
from plasticity_jax.tasks import draw_patterns, epoch_orders, Epochs


KEY = jr.key(0)
N, M, F = 40, 6, 0.1
DAY, NIGHT = 240, 40  # presentations, cycles
SMALL = tf.Config(
    size=N,
    rows=0,
    patterns=M,
    coding_level=F,
    exact=True,
    initial_factor=0.6,
    wake_rate=0.1,
    target_per_input=0.07,
    rate=0.05,
    threshold_rate=0.05,
    sharpness=20.0,
    policy="soft",
    schedule="onset",
    epochs=DAY // M,
)


def silent(threshold):
    """Neurons without synapses: their fields are minus their thresholds."""
    n = len(threshold)
    return Factored(jnp.zeros((2, n, n)), jnp.asarray(threshold))


@pytest.fixture(scope="module")
def day():
    """Patterns, the system that stores them, its first state and its last."""
    stored = networks.memories(SMALL, KEY)
    system, state = networks.wake(SMALL, stored, jr.key(1))
    end, _ = simulate(system, state, jr.key(2), steps=DAY, every=DAY)
    return stored, system, state, end


# --- novelty --------------------------------------------------------------------------


def novelty(fields, level):
    zeros = jnp.zeros(len(fields))
    synapses = silent(-jnp.asarray(fields))
    return Novelty(level)(None, synapses, (zeros, zeros), KEY)[1].novelty


def test_novelty_is_the_shift_that_leaves_the_coding_level_active():
    fields = jnp.array([0.3, -1.0, 2.0, 0.7, 0.1])
    shift = novelty(fields, 0.4)
    assert shift == 0.3
    assert jnp.sum(fields - shift > 0) == 2


def test_a_pattern_of_the_right_activity_is_familiar():
    assert novelty([0.3, -1.0, 2.0, -0.7, -0.1], 0.4) == 0.0
    assert novelty([0.3, -1.0, 2.0, 0.7, -0.1], 0.4) != 0.0


@pytest.mark.parametrize(("level", "active"), [(0.9, 9), (0.7, 7), (0.25, 2)])
def test_the_number_of_active_neurons_is_rounded_not_cut(level, active):
    """10 (1 - 0.9) is 0.99... in floating point; of 2.5 neurons 2 may be active."""
    fields = jnp.arange(1.0, 11.0)
    assert jnp.sum(fields - novelty(fields, level) > 0) == active


def test_storage_moves_the_first_factor_of_living_synapses_only():
    factors = jnp.full((2, 3, 3), 0.5).at[:, 0, 1].set(1e-6)  # weight 1e-12: dead
    before, after = jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])
    synapses = Factored(factors, jnp.array([5.0, 7.0, 6.0]))
    _, signals = Novelty(1 / 3)(None, synapses, (before, after), KEY)
    assert signals.novelty == -5.75  # fields -4.75, -6.75, -5.75
    change = NoveltyHebb(0.1, 1 / 3)(synapses, signals, KEY)
    a, b = 2 / 3, -1 / 3
    outer = np.array(
        [[b * a, 0.0, b * b], [a * a, a * b, a * b], [b * a, b * b, b * b]]
    )
    assert jnp.allclose(change.factors[0], 0.575 * outer, rtol=1e-12, atol=1e-16)
    assert not jnp.any(change.factors[1])
    assert not jnp.any(change.threshold)


def test_a_day_is_what_its_description_says():
    """All presentations of a sequence, written out in NumPy."""

    @jax.jit
    def day(key):
        stored = networks.memories(SMALL, key)
        system, state = networks.wake(SMALL, stored, jr.key(1), 1)
        end, _ = simulate(system, state, jr.key(2), steps=DAY, every=DAY)
        return stored.patterns, system.task.order, end.synapses  # pyright: ignore

    patterns, order, synapses = day(KEY)
    patterns, f = np.asarray(patterns), F
    mask = 1 - np.eye(N)

    def inhibition(u):
        w = u[0] * u[1]
        spread = np.sqrt(2 * f * (1 - f) * np.sum(w**2, axis=1))
        return f * np.sum(w, axis=1) + spread * 0.906193802436823  # erfinv(1 - 2 f)

    u = np.full((2, N, N), 0.6) * mask
    threshold = inhibition(u)
    for item in np.asarray(order):
        w = u[0] * u[1]
        before, after = patterns[:, item], patterns[:, (item + 1) % M]
        fields = w @ before - threshold
        d = 0.0 if np.sum(fields > 0) == 4 else np.sort(fields)[35]
        alive = w > 1e-10
        u[0] += 0.1 * abs(d) * alive * np.outer(after - f, before - f)
        u = np.maximum(u * alive, 1e-20) * mask
        threshold = inhibition(u)
    assert np.allclose(synapses.factors, u, rtol=1e-11, atol=1e-18)
    assert np.allclose(synapses.threshold, threshold, rtol=1e-11)


def test_what_is_familiar_leaves_no_trace(day):
    stored, system, state, end = day
    fields = jnp.prod(end.synapses.factors, axis=0) @ stored.patterns
    fields = fields - end.synapses.threshold[:, None]
    assert jnp.all(stored.targets * fields > 0)
    again, _ = simulate(system, end, jr.key(3), steps=DAY, every=DAY)
    assert eqx.tree_equal(again.synapses, end.synapses)
    assert not eqx.tree_equal(state.synapses, end.synapses)


# --- epochs ---------------------------------------------------------------------------


def test_every_epoch_shows_every_item_once_in_a_fresh_order():
    order = epoch_orders(7, 5, KEY).reshape(5, 7)
    assert jnp.array_equal(jnp.sort(order, axis=1), jnp.tile(jnp.arange(7), (5, 1)))
    assert len({tuple(np.asarray(epoch)) for epoch in order}) == 5


def test_only_stored_items_are_shown_as_evenly_as_possible():
    stored = jnp.array([True, False, True, True, False, False, False, False])
    order = np.asarray(epoch_orders(8, 20, KEY, stored).reshape(20, 8))
    for epoch in order:
        shown, times = np.unique(epoch, return_counts=True)
        assert list(shown) == [0, 2, 3]
        assert sorted(times) == [2, 3, 3]


def test_presentation_starts_anew_after_the_last_epoch():
    items = (jnp.arange(6.0).reshape(2, 3), jnp.array([7.0, 8.0, 9.0]))
    task = Epochs(items, jnp.array([2, 0]))
    for step, item in enumerate([2, 0, 2, 0]):
        column, entry = task(jnp.asarray(step), KEY)
        assert jnp.array_equal(column, jnp.array([item, item + 3.0]))
        assert entry == 7.0 + item


@pytest.mark.parametrize(("count", "epochs"), [(0, 1), (1, 0)])
def test_an_empty_epoch_is_refused(count, epochs):
    with pytest.raises(ValueError, match=f"at least 1; got {count} and {epochs}"):
        epoch_orders(count, epochs, KEY)


# --- replay ---------------------------------------------------------------------------


def test_soft_replay_shares_by_the_average_field_of_the_cycle_before():
    fields = jnp.array([[0.5, -1.0, 2.0, 0.1]])
    wrong = jnp.full((1, 4), -1.0)
    stored = jnp.array([True, True, True, False])
    candidates = Candidates(fields, wrong, stored, jnp.array([4.0]))
    replay = SoftReplay(2.0)(candidates, KEY)
    weight = np.exp([-0.25, -0.5, -1.0])
    share = np.array([1.0, -1.0, 1.0]) * weight / weight.sum()
    assert jnp.allclose(replay, jnp.array([[*share, 0.0]]), rtol=1e-12)


def test_soft_replay_of_strong_memories_does_not_underflow():
    fields = jnp.array([[1e6, 1e6, 2e6]])
    ones = jnp.ones((1, 3))
    candidates = Candidates(fields, ones, jnp.ones(3, bool), jnp.ones(1))
    replay = SoftReplay(20.0)(candidates, KEY)
    assert jnp.array_equal(replay, jnp.array([[0.5, 0.5, 0.0]]))


def test_pruning_takes_what_was_dead_before_the_step(day):
    stored, _, _, end = day
    system, state = networks.fall_asleep(SMALL, stored, end.synapses)
    factors = state.synapses.factors.at[:, 3, 4].set(0.99e-5)  # below 1e-10: dead
    factors = factors.at[:, 3, 5].set(1.1e-5)
    synapses = Factored(factors, state.synapses.threshold)
    arguments = (state.activity, synapses, stored, KEY)
    _, signals = system.circuit(*arguments)
    lost = Pruning()(synapses, signals, KEY).factors
    assert jnp.array_equal(lost[:, 3, 4], -factors[:, 3, 4])
    dead = (factors[0] * factors[1] <= 1e-10)[None]
    assert jnp.array_equal(lost != 0, dead & (factors != 0))
    state = dataclasses.replace(state, synapses=synapses)
    end, _ = simulate(system, state, KEY, steps=NIGHT, every=NIGHT)
    assert jnp.all(end.synapses.factors[:, 3, 4] < 2e-20)  # the floor, scaled
    assert jnp.all(end.synapses.factors[:, 3, 5] > 1e-6)


def test_falling_asleep_scales_fields_and_keeps_what_is_right(day):
    stored, _, _, end = day
    broken = end.synapses.threshold.at[2].set(-100.0)  # neuron 2 is always active
    synapses = Factored(end.synapses.factors, broken)
    system, state = networks.fall_asleep(SMALL, stored, synapses)
    squares = jnp.sum(state.synapses.factors**2, axis=(0, 2))
    assert jnp.allclose(squares, 2 * 0.07 * N, rtol=1e-12)
    before = jnp.prod(synapses.factors, axis=0) @ stored.patterns - broken[:, None]
    fields, _ = networks.fields_and_weights(system, state)
    scale = 2 * 0.07 * N / jnp.sum(synapses.factors**2, axis=(0, 2))
    assert jnp.allclose(fields, before * scale[:, None], rtol=1e-10, atol=1e-12)
    assert jnp.array_equal(system.task.stimulus.stored, stored.patterns[2] > 0)  # pyright: ignore


def test_a_night_is_what_its_description_says(day):
    """The mean field lags one cycle, inhibition is not scaled, masks come first."""
    stored, _, _, end = day
    system, state = networks.fall_asleep(SMALL, stored, end.synapses)
    end, _ = simulate(system, state, KEY, steps=NIGHT, every=NIGHT)
    patterns, mask = np.asarray(stored.patterns), 1 - np.eye(N)
    u, threshold = (
        np.array(x) for x in (state.synapses.factors, state.synapses.threshold)
    )
    average = np.mean(
        np.abs(np.prod(u, axis=0) @ patterns - threshold[:, None]), axis=1
    )
    for cycle in range(NIGHT):
        rate = 0.05 * (0.01 + 0.39 * (1 - np.exp(-cycle / 40))) / 0.4
        w = u[0] * u[1]
        fields = w @ patterns - threshold[:, None]
        size = np.abs(fields)
        share = np.exp(
            -20 * (size - size.min(axis=1, keepdims=True)) / average[:, None]
        )
        replay = np.sign(fields) * share / share.sum(axis=1, keepdims=True)
        average = size.mean(axis=1)
        alive = w > 1e-10
        u = u + rate * alive * (replay @ patterns.T) * u[::-1]
        u = np.maximum(u * alive, 1e-20) * mask
        u = u / np.sqrt(np.sum(u**2, axis=(0, 2)) / (2 * 0.07 * N))[None, :, None]
        threshold = threshold - rate * replay.sum(axis=1)
    assert jnp.allclose(end.synapses.factors, u, rtol=1e-8, atol=1e-12)
    assert jnp.allclose(end.synapses.threshold, threshold, rtol=1e-9, atol=1e-12)


def test_days_and_nights_may_be_cut_in_two(day):
    stored, system, state, end = day
    half, _ = simulate(system, state, jr.key(2), steps=DAY // 2, every=DAY // 2)
    half, _ = simulate(system, half, jr.key(2), steps=DAY // 2, every=DAY // 2)
    assert eqx.tree_equal(half, end)
    system, state = networks.fall_asleep(SMALL, stored, end.synapses)
    whole, _ = simulate(system, state, KEY, steps=NIGHT, every=NIGHT)
    half, _ = simulate(system, state, KEY, steps=NIGHT // 2, every=NIGHT // 2)
    half, _ = simulate(system, half, KEY, steps=NIGHT // 2, every=NIGHT // 2)
    assert eqx.tree_equal(half, whole)


@pytest.mark.parametrize("policy", ["weakest", "soft"])
@pytest.mark.dear
def test_a_spoilt_neuron_poisons_no_other(policy):
    """Of 8 neurons one is never active, one always: the others do not notice."""
    config = dataclasses.replace(SMALL, rows=8, coding_level=0.4, policy=policy)
    patterns = draw_patterns(N, 12, 0.4, jr.key(5))
    patterns = patterns.at[1].set(0.0).at[6].set(1.0)
    stored = memories_of(patterns, 8)
    spoilt = degenerate(stored.targets)
    assert jnp.array_equal(jnp.flatnonzero(spoilt), jnp.array([1, 6]))
    system, state = networks.sleep(config, stored, networks.start(config, KEY))
    end, _ = simulate(system, state, KEY, steps=500, every=500)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(end.synapses))
    drift = end.synapses.threshold - state.synapses.threshold
    passed = 500 - 0.39 / 0.4 * jnp.sum(jnp.exp(-jnp.arange(500.0) / 40))
    if policy == "weakest":  # asleep with a teacher, inhibition drifts for ever
        both = jnp.array([0.05, -0.05]) * passed
        assert jnp.allclose(drift[jnp.array([1, 6])], both, rtol=1e-10)

    rows = jnp.array([1, 6])
    emptied = state.synapses.factors.at[:, rows].set(0.0)
    changed = dataclasses.replace(
        state, synapses=Factored(emptied, state.synapses.threshold)
    )
    last, _ = simulate(system, changed, KEY, steps=500, every=500)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(last.synapses))
    sound = jnp.flatnonzero(~spoilt)
    one, other = last.synapses, end.synapses
    assert jnp.array_equal(one.factors[:, sound], other.factors[:, sound])
    assert jnp.array_equal(one.threshold[sound], other.threshold[sound])
    fields, _ = networks.fields_and_weights(system, end)
    assert not jnp.any(jnp.isnan(margins(fields, stored.targets)))


def test_neurons_that_are_all_spoilt_leave_no_nan():
    config = dataclasses.replace(SMALL, rows=8, coding_level=0.4)
    stored = memories_of(jnp.ones((N, 12)), 8)
    assert jnp.all(degenerate(stored.targets))

    @jax.jit
    def slept(key):
        system, state = networks.sleep(config, stored, networks.start(config, key))
        return simulate(system, state, KEY, steps=500, every=500)[0].synapses

    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(slept(KEY)))


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.dear
def test_a_sequence_is_recalled_in_order_after_sleep(shift):
    patterns = networks.memories(SMALL, KEY).patterns
    stored = memories_of(patterns, shift=shift)
    system, state = networks.wake(SMALL, stored, jr.key(1), shift)
    state, _ = simulate(system, state, jr.key(2), steps=DAY, every=DAY)
    system, state = networks.fall_asleep(SMALL, stored, state.synapses)
    assert jnp.all(system.task.stimulus.stored)  # pyright: ignore
    for _ in range(8):
        state, _ = simulate(system, state, KEY, steps=NIGHT, every=NIGHT)
    weights = jnp.prod(state.synapses.factors, axis=0)
    cue = patterns[:, :1]
    for steps in range(1, 13):
        recalled = retrieve(weights, state.synapses.threshold, cue, steps)[:, 0]
        assert jnp.array_equal(recalled, patterns[:, (steps * shift) % M])


# --- what the experiments measure -----------------------------------------------------


def test_synapses_are_binned_by_their_place_among_all():
    weights = (
        jnp.zeros((3, 3)).at[0, 1:].set(10.0).at[1, ::2].set(0.1).at[2, 0].set(1e3)
    )
    scores = np.log10([10.0, 10.0, 0.1, 0.1, 1e3])
    scores = (scores - scores.mean()) / scores.std()
    bins = np.full((3, 3), -1, np.int32)
    bins[0, 1], bins[0, 2], bins[1, 0], bins[1, 2], bins[2, 0] = np.round(scores) + 2
    assert jnp.array_equal(night.weight_bins(weights), bins)


def test_gains_are_regressed_on_the_first_robustness_of_kept_memories():
    radius = jr.normal(KEY, (4, 9))
    kept = jnp.arange(9) < 6
    slope, gain = night.gains(radius, kept)
    x = np.asarray(radius)[:, :6]
    for cycle in range(4):
        want = np.polyfit(x[0], x[cycle] - x[0], 1)[0]
        assert np.isclose(slope[cycle], want, rtol=1e-10, atol=1e-12)
    assert jnp.allclose(gain, np.mean(x - x[:1], axis=1), atol=1e-14)


def test_factors_are_correlated_over_the_pairs_that_count():
    x, y = jr.normal(KEY, (2, 5, 5))
    there = jr.bernoulli(jr.key(1), 0.5, (5, 5))
    want = np.corrcoef(np.asarray(x)[there], np.asarray(y)[there])[0, 1]
    assert jnp.allclose(night.correlation(x, y, there), want, rtol=1e-10)
    assert night.correlation(jnp.ones((5, 5)), y, there) == 0.0


def test_connectivity_is_counted_in_bins_of_correlated_currents():
    rng = np.random.default_rng(0)
    patterns = (rng.random((40, 30)) < 0.2).astype(float)
    memories = memories_of(jnp.asarray(patterns), stored=jnp.arange(30) < 25)
    w = rng.random((40, 40)) ** 8 * (1 - np.eye(40))
    got = jax.jit(after_sleep.connectivity)(w, memories, np.arange(40) != 7)
    alike = np.corrcoef(w @ patterns[:, :25])
    pairs = (
        (np.arange(40) != 7)[:, None] & (np.arange(40) != 7) & ~np.eye(40, dtype=bool)
    )
    alive = w > 1e-3 * w.max(axis=1, keepdims=True)
    for k, (low, high) in enumerate(
        zip(after_sleep.EDGES[:-1], after_sleep.EDGES[1:], strict=True)
    ):
        here = pairs & (alike >= low) & (alike < high)
        assert int(got["pairs"][k]) == here.sum() > 20
        assert np.isclose(got["connected"][k], alive[here].mean())
        assert np.isclose(got["strength"][k], w[here & alive].mean())


def test_selectivity_is_that_of_kept_patterns_alone():
    rng = np.random.default_rng(0)
    patterns = (rng.random((40, 30)) < 0.2).astype(float)
    weights, threshold = rng.random((40, 40)), np.linspace(2.0, 4.0, 40)
    padded = memories_of(jnp.asarray(patterns), stored=jnp.arange(30) < 25)
    arguments = (padded, np.arange(40) < 30, jr.key(2))
    got = jax.jit(after_sleep.selectivity)(weights, threshold, *arguments)
    currents = (weights @ patterns[:, :25])[:30]
    response = expit(0.6 * (currents - threshold[:30, None]))
    for index, responses in ((0, currents), (2, response)):
        sparseness = np.mean(lifetime_sparseness(jnp.asarray(responses)))
        assert np.allclose(got["sparseness"][index, 0], sparseness, rtol=1e-10)
    score = currents
    score = (score - score.mean(axis=1, keepdims=True)) / score.std(axis=1)[:, None]
    assert np.allclose(got["ranked"][0, :25], -np.sort(-score, axis=1).mean(0))
    assert not np.any(got["ranked"][:, 25:])


def test_cues_are_kept_patterns_in_turn():
    kept = jnp.array([False, True, False, True, True])
    chosen = after_sleep.stored_first(kept, 5)
    assert jnp.array_equal(chosen, jnp.array([1, 3, 4, 1, 3]))


def test_overlap_is_one_with_the_cued_pattern_and_none_when_all_are_active():
    patterns = np.repeat([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [5, 5, 10], axis=0)
    hold = after_sleep.HOLD
    states = np.concatenate([np.tile(patterns[:, 0], (hold, 1)), np.ones((hold, 20))])
    got = jax.jit(after_sleep.overlaps)(states, patterns, 0.25)
    assert np.allclose(got[:hold], 1.0, atol=1e-12)
    assert np.allclose(got[hold:], 0.0, atol=1e-12)
