"""Synapses with variables of their own: what is read of them, and how they change."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import AbstractRule, advance, simulate, System
from plasticity_jax.circuits import Layer, LeakyNetwork, RateNetwork
from plasticity_jax.rules import Delta, Hebb, Oja, Reparametrised
from plasticity_jax.synapses import (
    AbstractSynapses,
    Factored,
    Parametrised,
    Stochastic,
    weights,
)
from plasticity_jax.tasks import Constant
from plasticity_jax.traces import AbstractTrace


KEY = jr.key(0)
W = jnp.asarray(np.random.default_rng(0).uniform(0.2, 1.0, (3, 4)))
X = jnp.asarray([0.3, -0.2, 0.5, 1.0])
TWICE = jnp.asarray(2 * np.asarray(W))
FACTORS = Factored(jnp.asarray(np.stack([W, TWICE, 1 / W])), jnp.asarray(np.zeros(3)))
SORTS = {
    "plain": lambda: W,
    "factored": lambda: FACTORS,
    "releasing": lambda: Stochastic(W, jnp.full((3, 4), 0.5)),
    "factored and releasing": lambda: Stochastic(FACTORS, jnp.full((3, 4), 0.25)),
    "a function": lambda: Parametrised(jnp.log(W), jnp.exp),
    "a user's own": lambda: Scales(jnp.full(3, 0.5), 2 * W),
}


class Scales(AbstractSynapses):
    """A scale for each neuron, on weights of its own."""

    scale: jax.Array
    inner: jax.Array

    def weights(self, key=None):
        return self.scale[:, None] * self.inner


@pytest.mark.parametrize("name", SORTS)
def test_their_mean_is_the_weight_that_circuits_read(name):
    synapses = SORTS[name]()
    mean = 2 * W if "factored" in name else W
    assert jnp.allclose(weights(synapses), mean, rtol=1e-12)
    if "releasing" in name:
        keys = jr.split(KEY, 20000)
        drawn = jax.vmap(lambda key: weights(synapses, key))(keys)
        error = jnp.std(drawn, axis=0) / 20000**0.5
        assert jnp.all(jnp.abs(jnp.mean(drawn, axis=0) - mean) < 4.5 * error)
        assert jnp.all(error < 0.02 * mean)
        assert jnp.all((drawn == 0).any(axis=0))
    else:
        assert jnp.array_equal(weights(synapses, KEY), weights(synapses))


def test_parts_of_a_tree_draw_by_themselves():
    half = Stochastic(jnp.ones(1000), jnp.full(1000, 0.5))
    one, (two, plain) = weights((half, (half, W)), KEY)
    assert plain is W
    assert abs(float(jnp.mean(one * two)) - 1) < 4 * (3 / 1000) ** 0.5
    assert not jnp.array_equal(one, two)


@pytest.mark.parametrize("name", SORTS)
def test_a_rule_for_weights_is_carried_by_the_chain_rule(name):
    r"""$\Delta u = J^\top\Delta w$: a delta rule descends the same error in $u$."""
    synapses, target = SORTS[name](), jnp.asarray([1.0, -1.0, 0.5])
    task = Constant({"pre": X, "target": target})
    system = System(task, Layer(), {"it": Reparametrised(Delta(0.1))})
    if "releasing" in name:  # what is read is drawn: take a sure release
        ones = jnp.ones((3, 4))
        synapses = Stochastic(synapses.strength, ones)
    state = system.start(synapses, KEY)
    change = advance(system, state, KEY)[2]["it"]
    loss = lambda s: jnp.sum((target - weights(s) @ X) ** 2) / 2
    want = jax.tree.map(lambda g: -0.1 * g, jax.grad(loss)(synapses))
    for got, wanted in zip(*map(jax.tree.leaves, (change, want)), strict=True):
        assert jnp.allclose(got, wanted, rtol=1e-10, atol=1e-13)


def test_traces_of_a_carried_rule_see_weights():
    rule = Reparametrised(Watch())
    system = System(Constant(X), Layer(), {"it": rule})
    state = system.start(FACTORS, KEY)
    end, _ = simulate(system, state, KEY, steps=2)
    first = weights(FACTORS)
    second = weights(simulate(system, state, KEY, steps=1)[0].synapses)
    seen = end.traces["it"]["weights"]
    assert jnp.allclose(seen, (weights(end.synapses) - second) + (second - first))


class Watch(AbstractRule):
    """Oja's rule, and the sum of all changes of the weights."""

    def traces(self):
        return {"weights": _Path()}

    def __call__(self, synapses, signals, key):
        return Oja(0.1)(synapses, signals, key)


class _Path(AbstractTrace):
    """The sum of all changes."""

    @property
    def moves_first(self):
        return False

    def start(self, synapses, signals):
        return jnp.zeros_like(synapses)

    def __call__(self, trace, synapses, signals, change):
        return trace + change


NETWORKS = {
    "layer": (Layer(jnp.tanh), X),
    "leaky": (LeakyNetwork(), jnp.asarray(np.abs(X))),
    "rates": (RateNetwork(0.1), X),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_moves_as_with_the_weights_themselves(name):
    circuit, stimulus = NETWORKS[name]
    drive = stimulus[: (4 if name != "rates" else 3)]
    square = name == "rates"
    factors = FACTORS.factors[:, :, :3] if square else FACTORS.factors
    sorts = Factored(factors, jnp.zeros(3)), weights(Factored(factors, jnp.zeros(3)))
    ends = [
        simulate(s, s.start(w, KEY), KEY, steps=5)[0].activity
        for w in sorts
        for s in [System(Constant(drive), circuit, {})]
    ]
    assert eqx.tree_equal(*ends, rtol=1e-12)


class Sized(AbstractRule):
    """Reads what an array has, and synapses of another type have not."""

    def __call__(self, synapses, signals, key):
        return jnp.zeros(synapses.shape, synapses.dtype)


@pytest.mark.parametrize("rule", [Oja(0.1), Hebb(0.1), Sized()])
def test_a_rule_for_weights_without_the_wrapper_is_told_of_it(rule, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    system = System(Constant(X), Layer(), {"it": rule})
    with pytest.raises(ValueError, match=r"Reparametrised` carries .* to a Factored"):
        advance(system, system.start(FACTORS, KEY), KEY)
