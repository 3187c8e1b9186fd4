"""Inhibitory inputs and weights of either sign."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import simulate
from plasticity_jax.circuits import memories_of, Replay
from plasticity_jax.measure import largest_l1_margin, largest_l2_margin
from plasticity_jax.synapses import Factored, Free, SignedProduct
from plasticity_jax.systems import two_factor_consolidation as tf
from plasticity_jax.systems.two_factor_consolidation.networks import margins_and_weights


KEY = jr.key(0)
SOLVERS = (largest_l1_margin, largest_l2_margin)


def problem(seed=0, n=12, count=7):
    draw = np.random.default_rng(seed)
    patterns = (draw.random((n, count)) < 0.5).astype(float)
    return patterns, np.where(np.arange(count) % 2, 1.0, -1.0), draw


@pytest.mark.parametrize("solve", SOLVERS)
def test_an_inhibitory_input_is_the_complement_of_an_excitatory_one(solve):
    patterns, targets, draw = problem()
    signs = np.where(draw.random(12) < 0.5, 1.0, -1.0)
    found = solve(patterns, targets, own=3, signs=signs)
    turned = np.where(signs[:, None] > 0, patterns, 1 - patterns)
    want = solve(turned, targets, own=3)
    assert np.isclose(found.margin, want.margin, rtol=1e-9)
    assert np.all(signs * found.weights >= 0)
    reached = (targets * (found.weights @ patterns - found.threshold)).min()
    assert np.isclose(reached, found.margin, rtol=1e-9)
    with pytest.raises(ValueError, match="`signs` must be -1 or 1"):
        solve(patterns, targets, signs=0 * signs)
    with pytest.raises(ValueError, match="`signs` must hold one for each of 12"):
        solve(patterns, targets, signs=signs[:3])


@pytest.mark.parametrize("of", ["signed", "free"])
def test_ascent_is_the_chain_rule(of):
    draw = np.random.default_rng(1)
    how = SignedProduct(jnp.array([1, -1, -1, 1])) if of == "signed" else Free()
    factors = jnp.asarray(draw.uniform(0.5, 1.5, (2 if of == "signed" else 1, 3, 4)))
    if of == "free":
        factors = factors * jnp.asarray([1.0, -1.0, 1.0, -1.0])[None, None]
    drive = jnp.asarray(draw.normal(size=(3, 4)))
    slope = jax.grad(lambda u: jnp.sum(drive * how.weights(u)))(factors)
    assert jnp.allclose(how.ascent(factors, drive), slope, rtol=1e-12)
    square = jnp.sum(factors**2, axis=(0, 2)) / len(factors)
    assert jnp.allclose(how.squares(factors), square, rtol=1e-12)


def test_signs_are_kept_and_negative_synapses_live():
    config = tf.Config(size=20, rows=4, patterns=5, inhibitory=8)
    system, state = tf.build(config, KEY)
    _, before = margins_and_weights(system, state)
    state = simulate(system, state, KEY, steps=300, every=300)[0]
    _, after = margins_and_weights(system, state)
    own = np.eye(4, 20, dtype=bool)
    assert np.all((np.sign(after) == config.signs) | own | (np.abs(after) < 1e-10))
    moved = np.abs(after - before)[:, 12:]
    assert np.median(moved / np.abs(before[:, 12:])) > 0.05  # the inhibitory ones, too


def minover(patterns, targets, rate, slow, cycles):
    """Krauth & Mezard's algorithm in NumPy: one neuron, from nothing."""
    w, threshold = np.zeros(len(patterns)), 0.0
    for _ in range(cycles):
        k = np.argmin(targets * (w @ patterns - threshold))
        w = w + rate * targets[k] * patterns[:, k]
        threshold -= slow * targets[k]
    return w, threshold


def test_minover_is_replay_without_bounds():
    patterns, targets, _ = problem(n=12)
    config = tf.Config(
        size=12,
        rows=1,
        patterns=7,
        order=1,
        parametrisation="free",
        scaling="none",
        schedule="constant",
        rate=0.01,
        threshold_rate=0.1,
    )
    inputs = np.concatenate([np.zeros((1, 7)), patterns[1:]])  # no input from itself
    stored = memories_of(jnp.asarray(inputs), 1)._replace(
        targets=jnp.asarray([targets])
    )
    nothing = Factored(jnp.zeros((1, 1, 12)), jnp.zeros(1))
    system, state = tf.sleep(config, stored, nothing)
    end = simulate(system, state, KEY, steps=4000, every=4000)[0].synapses
    w, threshold = minover(inputs, targets, 0.01, 0.1, 4000)
    assert np.allclose(end.factors[0, 0], w, rtol=1e-9, atol=1e-12)
    assert np.allclose(end.threshold[0], threshold, rtol=1e-9)
    # the threshold counts as an input of sqrt(threshold_rate / rate)
    best = largest_l2_margin(inputs, targets, own=0, excitatory=False)
    margin = (targets * (w @ inputs - threshold)).min()
    low = best.margin / np.sqrt(1 + best.threshold**2 / 10)
    assert 0.99 * low < margin / np.linalg.norm(w) < best.margin * (1 + 1e-9)
    assert np.any(w < 0)


def test_none_is_dead_where_nothing_is_pruned():
    stored = memories_of(jnp.eye(4))
    synapses = Factored(jnp.zeros((1, 4, 4)), jnp.zeros(4))
    circuit = Replay(parametrisation=Free(), pruned_below=None)
    signals = circuit(circuit.start(synapses, stored), synapses, stored, KEY)[1]
    assert jnp.all(signals.alive)
    negative = eqx.tree_at(lambda s: s.factors, synapses, synapses.factors - 1)
    with pytest.raises(ValueError, match="`factors` must be finite and not negative"):
        Replay().start(negative, stored)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"inhibitory": 21}, "`inhibitory` must be at most `size` = 20"),
        ({"inhibitory": 3, "parametrisation": "power"}, "'product'; got 3 and 'power'"),
    ],
)
def test_signs_that_make_no_sense_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        tf.Config(size=20, **changes)
    free = tf.Config(size=20, rows=0, patterns=4, parametrisation="free")
    with pytest.raises(ValueError, match="must not be 'free' awake"):
        tf.wake(free, tf.memories(free, KEY), KEY)
