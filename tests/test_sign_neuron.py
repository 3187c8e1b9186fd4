"""The sign neuron by hand, its latch and ties; recordings on synthetic synapses."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import advance
from plasticity_jax.signals import ReleaseSignals
from plasticity_jax.synapses._release import Stochastic
from plasticity_jax.systems.presynaptic_stochasticity.recordings import stability
from plasticity_jax.systems.presynaptic_stochasticity.sign_neuron import (
    build,
    Config,
    Patterns,
    patterns_of,
    recalled,
    SignNeuron,
    teach,
)


SMALL = Config(size=30, tasks=2, patterns=20, passes=5, votes=3, loads=(20,))
taught, stepped, recalls = map(eqx.filter_jit, (teach, advance, recalled))
seen = eqx.filter_jit(SignNeuron())
drawn = functools.cache(lambda: patterns_of(SMALL, jr.key(1)))


def _stepped(config, state, key, patterns=None):
    system, _ = build(config, drawn() if patterns is None else patterns)
    return stepped(system, state, key)


@pytest.mark.parametrize(
    "change", [{}, {"modulated": False}, {"scaled": False}, {"freeze": 2.0}]
)
def test_a_step_follows_the_rule_written_out(change):
    config = dataclasses.replace(SMALL, **change)
    system, state = build(config, drawn())
    p = jnp.asarray(np.linspace(0.25, 0.9, 30))
    w = jr.normal(jr.key(2), (30,))
    state = eqx.tree_at(lambda s: s.synapses, state, Stochastic(w, p))
    after, signals, _ = stepped(system, state, jr.key(3))
    assert isinstance(signals, ReleaseSignals)
    gates = np.asarray(signals.gates)
    released, x, y = gates > 0, *map(np.asarray, drawn().task(0)(state.step, jr.key(0)))
    w, p = np.asarray(w), np.asarray(p)
    assert np.allclose(gates[released], np.broadcast_to(1 / p, gates.shape)[released])
    total = np.zeros(30)
    for x_mu, y_mu, r_mu in zip(x, y, released, strict=True):
        guess = 1 if np.sum(x_mu * r_mu * w / p) >= 0 else -1
        total += (y_mu - guess) * x_mu * r_mu
    assert np.any(total)
    u = total / 5
    rate = 1 - p if config.modulated else np.ones(30)
    step = np.where(np.abs(u) > config.threshold, 0.2, -0.2)
    scale = 1 - p if config.scaled else np.ones(30)
    latched = p >= float(config.freeze)
    probability = np.clip(np.where(latched, p, p + step * scale), 0.25, 0.9)
    assert np.allclose(after.synapses.strength, w + 5 * rate * u, rtol=1e-12)
    assert np.allclose(after.synapses.probability, probability, rtol=1e-12)


def test_every_pattern_draws_its_own_mask_with_the_synapse_s_probability():
    p = np.asarray([0.25, 0.5, 0.9, 1.0])
    shown = np.ones((4000, 4)), np.ones(4000, np.int32)
    synapses = Stochastic(jnp.ones(4), jnp.asarray(p))
    _, signals = seen(jnp.asarray(0), synapses, shown, jr.key(0))
    share = np.mean(np.asarray(signals.gates) > 0, axis=0)
    error = np.sqrt(p * (1 - p) / 4000)
    assert np.all(np.abs(share - p) <= 4 * error)
    assert np.all(error < 0.01)


def test_zero_counts_as_plus_one_in_learning_and_tied_votes_as_errors():
    silent = Stochastic(jnp.zeros(3), jnp.ones(3))
    patterns = jnp.asarray([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    pair = patterns, jnp.asarray([1, -1])
    _, signals = seen(jnp.asarray(0), silent, pair, jr.key(0))
    assert jnp.array_equal(signals.gradient, 2 * patterns[1])
    config = Config(size=3, tasks=1, patterns=5, loads=(5,), method="fixed")
    bits = jr.bernoulli(jr.key(1), 0.5, (1, 5, 3)).astype(jnp.uint8)
    labels = jnp.asarray([[1, 1, -1, 1, -1]])
    shown = Patterns(bits, labels, jnp.zeros((1, 1, 5), jnp.int32))
    for method, right in (("fixed", 0.0), ("deterministic", 0.6)):
        here = dataclasses.replace(config, method=method)
        system, state = build(here, shown)
        got = recalls(here, system, state.synapses, shown, jr.key(2))
        assert jnp.allclose(got, right)


def test_thresholds_between_two_values_of_the_update_are_the_same_rule():
    run = lambda threshold: taught(
        dataclasses.replace(SMALL, threshold=threshold), drawn(), jr.key(4)
    )
    low, high, above = (run(jnp.asarray(x)) for x in (0.1, 0.39, 0.41))
    assert eqx.tree_equal(low, high)
    assert not jnp.array_equal(low.synapses.probability, above.synapses.probability)


def test_a_frozen_probability_stays_while_its_strength_moves():
    config = dataclasses.replace(SMALL, step=0.5)
    _, state = build(config, drawn())
    high = jnp.where(jnp.arange(30) < 10, 0.9, 0.3)
    start = Stochastic(jnp.zeros(30), high)
    state = eqx.tree_at(lambda s: s.synapses, state, start)
    for _ in range(4):
        state, _, _ = _stepped(config, state, jr.key(5))
    assert jnp.array_equal(state.synapses.probability[:10], high[:10])
    assert jnp.any(state.synapses.probability[10:] != 0.3)
    assert jnp.any(state.synapses.strength[:10] != 0)
    down = dataclasses.replace(config, threshold=3.0)  # no update is as large
    state = eqx.tree_at(lambda s: s.synapses, state, start)
    for freeze, moved in ((0.9, 0.0), (2.0, 0.05)):
        here = dataclasses.replace(down, freeze=freeze)
        after, _, _ = _stepped(here, state, jr.key(5))
        assert jnp.allclose(0.9 - after.synapses.probability[:10], moved)


def test_a_deterministic_neuron_keeps_whole_numbers_in_any_order():
    config = dataclasses.replace(SMALL, method="deterministic")
    strength = taught(config, drawn(), jr.key(6)).synapses.strength
    assert jnp.array_equal(strength, jnp.round(strength))
    assert jnp.any(strength != 0)
    turn = np.random.default_rng(0).permutation(30)
    turned = drawn()._replace(bits=drawn().bits[..., turn])
    again = taught(config, turned, jr.key(6)).synapses.strength
    assert jnp.array_equal(again, strength[turn])


def test_pace_scales_every_step_and_the_mean_rate_is_that_of_the_synapses():
    config = dataclasses.replace(SMALL, method="deterministic")
    plain, half = (
        taught(config, drawn(), jr.key(6), pace)
        for pace in (None, jnp.full(2 * config.steps, 0.5))
    )
    assert jnp.array_equal(half.synapses.strength, plain.synapses.strength / 2)
    assert jnp.array_equal(half.accuracy, plain.accuracy)
    learned = taught(SMALL, drawn(), jr.key(6))
    assert len(learned.plasticity) == 2 * SMALL.steps
    assert jnp.allclose(learned.plasticity[0], 0.75)
    assert jnp.all((learned.plasticity >= 0.1 - 1e-12) & (learned.plasticity <= 0.75))


def test_patterns_are_balanced_and_shown_in_order_unless_shuffled():
    shuffled = patterns_of(Config(size=200, shuffled=True), jr.key(7))
    assert abs(float(jnp.mean(shuffled.bits.astype(float))) - 0.5) < 4 * 0.5 / 1e5**0.5
    assert set(np.unique(shuffled.labels)) == {-1, 1}
    assert np.array_equal(drawn().order[0, :4].ravel(), np.arange(20))
    assert not np.array_equal(shuffled.order[0, :20].ravel(), np.arange(100))
    assert np.array_equal(np.sort(shuffled.order[0, :20].ravel()), np.arange(100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patterns": 7}, "multiples of `batch`, 5; got 7"),
        ({"method": "ghost"}, "`method` is unknown: 'ghost'"),
        ({"step": 1.5}, "`step` must lie in"),
        ({"votes": 0}, "`votes` must be at least 1; got 0"),
    ],
)
def test_configurations_without_meaning_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def _recorded(slope, count=400):
    """Synapses whose relative change falls with release: r is known from its parts."""
    draw = np.random.default_rng(3)
    release = draw.uniform(0.1, 0.9, count)
    change = 1.0 + slope * (release - 0.5) + draw.uniform(-0.2, 0.2, count)
    before = draw.uniform(0.5, 2.0, count)
    sign = draw.choice([-1, 1], count)
    return np.stack([release, before, before * (1 + sign * change)], axis=1)


@pytest.mark.parametrize("slope", [-0.5, 0.0])
def test_recorded_stability_is_the_correlation_of_release_with_change(slope):
    from scipy.stats import pearsonr

    table = _recorded(slope)
    found = stability(table)
    spread = 0.8**2 / 12 * slope**2
    expected = -((spread / (spread + 0.4**2 / 12)) ** 0.5)
    error = (1 - expected**2) / 400**0.5
    assert abs(found.correlation - expected) < 4 * error
    assert error < 0.06
    known: Any = pearsonr(found.release, found.change)
    assert np.isclose(found.correlation, known.statistic, rtol=1e-12)
    assert np.isclose(found.p_value, known.pvalue, rtol=1e-9)
    assert (found.p_value < 0.01) == (slope < 0)


def test_a_perfect_line_has_correlation_one_and_units_do_not_matter():
    release = np.asarray([0.1, 0.4, 0.8])
    table = np.stack([release, np.ones(3), 1 + release], axis=1)
    found = stability(table)
    assert np.isclose(found.correlation, 1.0)
    assert found.p_value < 1e-6
    scaled = stability(table * np.asarray([1.0, -3e-12, -3e-12]))
    assert np.isclose(scaled.correlation, found.correlation)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ((2, 0), 1.2, r"row 2: release probability before must lie in \[0, 1\]"),
        ((4, 1), 0.0, "row 4: strength before must not be zero; got 0.0"),
        ((1, 2), np.nan, "row 1: strength after must be finite; got nan"),
        ((slice(None), 0), 0.5, "release probability before is 0.5 for every"),
    ],
)
def test_bad_recordings_are_refused(place, value, message):
    table = _recorded(-0.5, 6)
    table[place] = value
    with pytest.raises(ValueError, match=message):
        stability(table)


@pytest.mark.parametrize("shape", [(5, 2), (2, 3), (3,)])
def test_tables_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="`table` must have"):
        stability(np.ones(shape))


# --- what is lost or does not fit ---------------------------------------------------


def test_a_lost_neuron_has_neither_loss_nor_accuracy():
    system, state = build(SMALL, drawn())
    synapses: Any = state.synapses
    lost = Stochastic(synapses.strength.at[0].set(jnp.nan), synapses.probability)
    state = eqx.tree_at(lambda s: s.synapses, state, lost)
    assert jnp.isnan(stepped(system, state, jr.key(0))[1].loss)
    assert jnp.all(jnp.isnan(recalls(SMALL, system, lost, drawn(), jr.key(0))))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            lambda x: {"labels": (x.labels + 1) // 2},
            "`labels` must be -1 or 1 everywhere",
        ),
        (lambda x: {"bits": 2 * x.bits}, "`bits` must be 0 or 1 everywhere; got 2"),
        (lambda x: {"bits": x.bits[:, :, :9]}, r"need bits \(2, 20, 30\)"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        build(SMALL, drawn()._replace(**changes(drawn())))


def test_a_negative_pace_is_refused():
    with pytest.raises(ValueError, match="`pace` must be finite and not negative"):
        build(SMALL, drawn(), -jnp.ones(3))
