"""A compiled step: synapses change in place, and no number changes for it."""

import re

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import AbstractTask, simulate, System
from plasticity_jax._interfaces._order import after, once
from plasticity_jax.circuits import LeakyNetwork
from plasticity_jax.rules import STDP
from plasticity_jax.synapses import Bounded


POST, PRE = 37, 83


class Noisy(AbstractTask):
    def __call__(self, step, key):
        return jr.bernoulli(key, 0.02, (PRE,)).astype(float)


def loops(lanes):
    """The compiled loops of a network that learns."""
    system = System(Noisy(), LeakyNetwork(), {"stdp": STDP()}, (Bounded(0.0, 1.0),))

    def run(key):
        start = system.start(jnp.full((POST, PRE), 0.5), key)
        return simulate(system, start, key, steps=100, every=100)[0].synapses

    many = jax.vmap(run) if lanes > 1 else lambda keys: run(keys[0])
    text = jax.jit(many).lower(jr.split(jr.key(0), lanes)).compile().as_text()
    blocks = {block.split(" ", 1)[0].lstrip("%"): block for block in text.split("\n\n")}
    return [blocks[name] for name in set(re.findall(r"body=%?([\w.-]+)", text))]


@pytest.mark.parametrize("lanes", [1, 2])
def test_synapses_change_in_place(lanes):
    bodies = loops(lanes)
    matrix = rf"\[({lanes},)?{POST},{PRE}\]"
    assert re.search(rf"f\d\d{matrix}", "".join(bodies))  # there are some
    copies = [re.search(rf"f\d\d{matrix}\S* copy\(", body) for body in bodies]
    assert not any(copies)


def test_no_number_changes():
    odd = jnp.asarray([jnp.nan, jnp.inf, -jnp.inf, -0.0, 1e-40, 2.0])
    for x in (
        odd,
        odd[::-1],
        odd[:1],
        odd[:0],
        odd > 0,
        odd.astype(complex),
        jnp.arange(3),
    ):
        assert once(x).tobytes() == x.tobytes()
    change = {"a": jnp.stack([odd, odd]), "b": odd}
    for done in (odd[:1], odd[1:2], (None, jnp.arange(3), odd[:0]), None):
        made = after(done, change)
        assert all(made[k].tobytes() == change[k].tobytes() for k in change)
    slope = jax.grad(lambda x: jnp.sum(after(x, {"a": jnp.outer(once(x), x)})["a"]))
    x = jnp.arange(1.0, 4.0)
    np.testing.assert_array_equal(slope(x), jnp.full(3, 12.0))
