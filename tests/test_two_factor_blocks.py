"""Networks that sleep a block of rows at a time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import simulate
from plasticity_jax.synapses import Factored
from plasticity_jax.systems import two_factor_consolidation as tf


KEY = jr.key(4)
SMALL: dict[str, Any] = {
    "size": 40,
    "rows": 0,
    "patterns": 8,
    "cycles": 200,
    "coding_level": 0.3,
}
NAMES = ("margin", "threshold", "density", "weights")


def small(**changes: Any):
    return tf.Config(**SMALL | changes)


def asleep(config, **options):
    return tf.consolidate_rows(config, KEY, progress=False, **options)


def alike(one, other):
    return all(np.array_equal(one[name], other[name]) for name in NAMES)


@pytest.mark.dear
def test_rows_are_the_same_bits_whatever_the_block():
    """40 rows: three tiles of 16, the last one not full; one, two, or all a block."""
    config = small(policy="noisy")
    whole = asleep(config, block=40)
    assert len(np.unique(whole.margin)) == 40
    assert np.all(np.isfinite(whole.weights))
    assert alike(whole, asleep(config, block=1))
    assert alike(whole, asleep(config, block=17))
    few = asleep(small(rows=20, policy="noisy"), block=16)
    assert all(np.array_equal(few[name], whole[name][:20]) for name in NAMES)


@pytest.mark.dear
def test_workers_and_a_store_change_no_bit(tmp_path):
    config = small()
    plain = asleep(config, block=16)
    with ThreadPoolExecutor(2) as workers:
        assert alike(plain, asleep(config, block=16, executor=workers))
    assert alike(plain, asleep(config, block=16, store=tmp_path / "rows"))
    (tmp_path / "rows" / "batch-00000001").unlink()  # it was stopped before
    assert alike(plain, asleep(config, block=16, store=tmp_path / "rows"))


@pytest.mark.dear
def test_a_block_is_the_sleep_of_its_rows():
    """The same neurons by `sleep`, from random synapses of their own streams."""
    config = small()
    found = asleep(config, block=16)
    for_patterns, for_factors, _ = jr.split(KEY, 3)
    rows = np.asarray([37, 2, 20])
    single = small(rows=1)
    each = [tf.start(single, jr.fold_in(for_factors, row)) for row in rows]
    factors = jnp.concatenate([x.factors for x in each], axis=1)
    synapses = Factored(factors, jnp.concatenate([x.threshold for x in each]))
    three = small(rows=3)
    stored = tf.memories(three, for_patterns, rows)
    system, state = tf.sleep(three, stored, synapses, rows=rows)
    end, _ = simulate(system, state, KEY, steps=200, every=200)
    want = end.synapses
    np.testing.assert_allclose(found.threshold[rows], want.threshold, rtol=1e-9)
    np.testing.assert_allclose(found.weights[rows], want.weights(), rtol=1e-7)
    assert np.all(np.diagonal(found.weights) == 0)


def test_what_does_not_fit_is_refused_and_weights_may_be_left_out():
    config = small(cycles=2)
    lean = asleep(config, block=100, weights=False)
    assert dict(lean.sizes) == {"row": 40}
    with pytest.raises(ValueError, match="`block` must be at least 1; got 0"):
        asleep(config, block=0)
    with pytest.raises(ValueError, match="learn independently; got 'taught_together'"):
        asleep(small(policy="taught_together"))
