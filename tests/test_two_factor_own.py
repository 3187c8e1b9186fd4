"""What a user brings: patterns, neurons, an order, a schedule."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import simulate
from plasticity_jax.circuits import memories_of
from plasticity_jax.synapses import Factored, no_self_connections
from plasticity_jax.systems import two_factor_consolidation as tf
from plasticity_jax.systems.two_factor_consolidation.networks import stored_in


KEY = jr.key(0)


def after(system, state, steps=60):
    return simulate(system, state, KEY, steps=steps, every=steps)[0].synapses


@pytest.mark.dear
def test_chosen_rows_are_rows_of_the_whole_network():
    """Own patterns, own synapses, three neurons in any order."""
    patterns = jnp.asarray((np.random.default_rng(3).random((20, 6)) < 0.5) * 1.0)
    whole = tf.Config(size=20, rows=0, patterns=6)
    synapses, rows = tf.start(whole, KEY), np.asarray([11, 3, 19])
    part = Factored(synapses.factors[:, rows], synapses.threshold[rows])
    all_rows = after(*tf.sleep(whole, memories_of(patterns), synapses))
    few = tf.Config(size=20, rows=3, patterns=6)
    chosen = memories_of(patterns, rows)
    got = after(*tf.sleep(few, chosen, part, rows=rows))
    assert jnp.allclose(got.factors, all_rows.factors[:, rows], rtol=1e-9)
    assert jnp.allclose(got.threshold, all_rows.threshold[rows], rtol=1e-9)
    assert not jnp.any(got.factors[:, np.arange(3), rows])  # no synapse on themselves
    first = after(*tf.sleep(few, chosen, part))  # forgets which neurons these are
    assert not jnp.allclose(first.factors, got.factors)


def test_rows_are_counted_or_named():
    patterns = jnp.eye(4)
    assert jnp.array_equal(
        memories_of(patterns, 2).targets, memories_of(patterns, [0, 1]).targets
    )
    assert jnp.array_equal(no_self_connections(3, 4), no_self_connections([0, 1, 2], 4))
    few = np.arange(2, dtype=np.int8)  # does not count to 300
    assert no_self_connections(few, 300).sum() == 2 * 299
    assert memories_of(jnp.eye(300), few).targets.shape == (2, 300)
    for make in (memories_of, lambda x, rows: no_self_connections(rows, 4)):
        with pytest.raises(ValueError, match=r"`rows` must lie in \[0, 3\], of 4"):
            make(patterns, np.asarray([1, 4]))
        with pytest.raises(ValueError, match="`rows` must be integers"):
            make(patterns, [0.5, 1.0])


def test_build_takes_rows_and_a_schedule():
    config = tf.Config(size=16, rows=2, patterns=5)
    system, state = tf.build(config, KEY, rows=[7, 4], schedule=half)
    stored = stored_in(system)
    assert jnp.array_equal(stored.targets, 2 * stored.patterns[jnp.array([7, 4])] - 1)
    plain = tf.Config(
        size=16,
        rows=2,
        patterns=5,
        schedule="constant",
        rate=0.01,
        threshold_rate=2.5e-3,
    )
    slow = after(*tf.build(plain, KEY, rows=[7, 4]), 30)
    assert jnp.allclose(after(system, state, 30).factors, slow.factors, rtol=1e-12)


def half(cycle):
    """Half of both rates."""
    del cycle
    return 0.5


def test_patterns_are_presented_in_the_order_given():
    config = tf.Config(size=12, rows=0, patterns=4, epochs=2, coding_level=0.25)
    stored = tf.memories(config, KEY)
    order = jnp.asarray([3, 0, 3])
    system, _ = tf.wake(config, stored, KEY, order=order)
    shown = [system.task(jnp.asarray(step), KEY)[0] for step in range(4)]
    for seen, item in zip(shown, (3, 0, 3, 3), strict=True):
        assert jnp.array_equal(seen, stored.patterns[:, item])
    with pytest.raises(ValueError, match=r"`order` must lie in \[0, 3\]"):
        tf.wake(config, stored, KEY, order=jnp.asarray([4]))


def test_dead_synapses_regrow_with_a_share_of_the_mean_factor():
    u = jnp.asarray(
        [[[0.4, 0.0, 0.2], [0.0, 0.0, 0.0]], [[0.6, 0.5, 0.4], [0, 0, 0.0]]]
    )
    got = tf.regrown(Factored(u, jnp.ones(2)), 0.5).factors
    want = np.array([[[0.4, 0.15, 0.2], [0, 0, 0]], [[0.6, 0.25, 0.4], [0, 0, 0]]])
    assert np.allclose(got, want)  # a neuron without synapses stays without
    still = tf.regrown(Factored(u, jnp.ones(2)), 0.0).factors
    assert np.allclose(still[:, 0, 1], 0)
    with pytest.raises(ValueError, match="`share` must not be negative; got -1"):
        tf.regrown(Factored(u, jnp.ones(2)), -1.0)


@pytest.mark.dear
def test_a_further_day_begins_with_the_synapses_of_the_morning():
    config = tf.Config(size=12, rows=0, patterns=4, epochs=2, coding_level=0.25)
    stored = tf.memories(config, KEY)
    first, state = tf.wake(config, stored, KEY)
    evening = after(first, state, 5)
    _, morning = tf.wake(config, stored, KEY, synapses=evening)
    assert jnp.array_equal(morning.synapses.factors, evening.factors)
    assert jnp.allclose(morning.synapses.threshold, evening.threshold, rtol=1e-6)
