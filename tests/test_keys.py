"""Unrolled threefry: the stream of `jax.random.key`, bit for bit."""

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax._random import unrolled


DRAWS = {
    "normal": lambda key: jr.normal(key, (3, 5)),
    "single": lambda key: jr.normal(key, (7,), jnp.float32),
    "uniform": lambda key: jr.uniform(jr.split(key, 4)[2], (5,)),
    "bernoulli": lambda key: jr.bernoulli(key, 0.3, (40,)),
    "bytes": lambda key: jr.bits(key, (9,), jnp.uint8),
    "folded": lambda key: jr.bits(jr.fold_in(key, 123456), (3,), jnp.uint32),
    "integers": lambda key: jr.randint(key, (9,), 0, 1000),
    "order": lambda key: jr.permutation(key, 12),
}


@settings(deadline=None, max_examples=5, derandomize=True)
@given(seed=st.integers(0, 2**63 - 1))
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
def test_the_stream_is_that_of_jax(draw, seed):
    key = jr.key(seed)
    assert jnp.array_equal(draw(key), draw(unrolled(key)))
    many = jr.split(key, 3)
    assert jnp.array_equal(jax.vmap(draw)(many), jax.vmap(draw)(unrolled(many)))


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_keys_whose_draws_depend_on_the_batch_are_refused(kind):
    with pytest.raises(ValueError, match=f"of the kind '{kind}'"):
        unrolled(jr.key(0, impl=kind))


def test_unrolled_keys_stay_what_they_are():
    again = unrolled(unrolled(jr.key(0)))
    assert again.dtype == unrolled(jr.key(0)).dtype


def test_a_seed_makes_the_same_key():
    made = jr.key(7, impl=jr.key_impl(unrolled(jr.key(0))))
    assert jnp.array_equal(jr.key_data(made), jr.key_data(jr.key(7)))
