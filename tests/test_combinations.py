"""Every rule on every network with every kind of synapse: it runs, or says why not."""

import functools
import inspect
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import pytest
import test_rules
import test_sorts

from plasticity_jax import advance, simulate, synapses, System
from plasticity_jax.rules import Reparametrised, Scaled
from plasticity_jax.signals import LayerSignals
from plasticity_jax.tasks import Constant


KEY = jr.key(0)
CIRCUITS, RULES = test_sorts.CIRCUITS, test_rules.RULES


class Scales(synapses.AbstractSynapses):
    """A user's own: a scale for each neuron, on weights."""

    scale: jax.Array
    inner: jax.Array

    def weights(self, key=None):
        return jax.vmap(jnp.multiply)(self.scale, self.inner)


def factored(w):
    """The same size as a product of two."""
    factors = jnp.sqrt(jnp.abs(w))
    return synapses.Factored(jnp.stack([factors, factors]), jnp.zeros(len(w)))


def releasing(w):
    """Each with probability 1/2."""
    return synapses.Stochastic(w, jnp.full(w.shape, 0.5))


SORTS = {
    "plain": lambda w: w,
    "factored": factored,
    "releasing": releasing,
    "both": lambda w: synapses.Stochastic(factored(w), jnp.full(w.shape, 0.5)),
    "bounded": lambda w: synapses.Parametrised(w, jnp.tanh),
    "own": lambda w: Scales(jnp.ones(len(w)), w),
}


CHOOSY = {"Hopfield", "Hopfield, sparse", "Storkey"}  # NaN for other patterns
PAIRS = set(test_rules.ON_TIMING) - {"scaling of spikes"}  # NaN for a layer's rates
WHOLE = "layer", "leaky", "rk4"  # run with factored and releasing synapses too


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """What a user sees, who has no checker of types, nor of promotion."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with test_sorts._as_usual():
        yield


def system_of(rule, name):
    circuit, _, stimulus = CIRCUITS[name]
    return System(Constant(stimulus), circuit, {"it": rule})


def trial(scale, key, rule, network, start):
    """The size of the synapses after some steps with a rule times `scale`."""
    system = system_of(Scaled(rule, scale), network)
    end, _ = simulate(system, system.start(start, key), key, steps=2)
    leaves = jax.tree.leaves(end.synapses)
    return sum(jnp.sum(x**2) for x in leaves)


def outcome(rule, network, start):
    """Why a rule does not run on a network; nothing where it does."""
    try:
        run = lambda: trial(jnp.ones(()), KEY, rule, network, start)
        eqx.filter_eval_shape(run)
    except ValueError as error:
        return str(error)
    return ""


@functools.cache
def offered(network):
    """The signals of a network."""
    circuit, start, stimulus = CIRCUITS[network]
    system = System(Constant(stimulus), circuit, {})
    return advance(system, system.start(start, KEY), KEY)[1]


def lacking(rule, network):
    """Which signals that a rule's docstring names a network does not offer."""
    words = " ".join(inspect.getdoc(type(rule)).split())
    reads = re.search(r"Reads (.*?)\. Synapses", words)[1]
    signals = offered(network)
    return [x for x in re.findall(r"`([a-z_]+)`", reads) if not hasattr(signals, x)]


@pytest.mark.dear
@pytest.mark.parametrize("network", CIRCUITS)
def test_what_does_not_run_says_why(network):
    runs = 0
    for name, (make, _, _) in RULES.items():
        rule, start = make(), CIRCUITS[network][1]
        why, missing = outcome(rule, network, start), lacking(rule, network)
        runs += not why
        if missing and name != "separate":
            assert re.match(r"rule 'it' \(\w+\) reads the signal `\w+`", why), name
        elif why:  # it is there, but of another shape, or synapses are of another kind
            assert re.match(r"rule 'it' \(\w+\)(:| must| reads)", why), (name, why)
    assert runs >= 1  # time passes everywhere: noise and decay run


MATRICES = [
    name
    for name, (_, start, _) in CIRCUITS.items()
    if isinstance(start, jax.Array) and start.ndim == 2
]


@pytest.mark.dear
@pytest.mark.parametrize("network", MATRICES)
def test_what_runs_runs_with_every_kind_of_synapse(network):
    """Swept over a factor of the rule, differentiated by it, and lowered for a GPU."""
    start, run = CIRCUITS[network][1], {"plain", *("both",) * (network in WHOLE)}
    fit = {name: make() for name, (make, _, _) in RULES.items()}
    fit = {k: rule for k, rule in fit.items() if not outcome(rule, network, start)}

    def size(scale, key, name, sort):
        rule = fit[name] if sort == "plain" else Reparametrised(fit[name])
        return trial(scale, key, rule, network, SORTS[sort](start))

    def each(scale, key):
        slope = lambda *which: jax.value_and_grad(size)(scale, key, *which)
        for name in fit:
            for sort in SORTS.keys() - run:  # made of the same parts
                jax.eval_shape(functools.partial(slope, name, sort))
        return {(name, sort): slope(name, sort) for name in fit for sort in sorted(run)}

    given = jnp.asarray([0.1, 0.2]), jr.split(KEY)
    traced = jax.jit(jax.vmap(each)).trace(*given)
    assert "callback" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    found = traced.lower().compile()(*given)
    wrong = {k[0] for k, x in found.items() if not jnp.all(jnp.isfinite(jnp.stack(x)))}
    layer = isinstance(offered(network), LayerSignals)
    assert wrong <= CHOOSY | (PAIRS if layer else set())
