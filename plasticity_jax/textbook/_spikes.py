"""Spikes on both sides of a synapse: drawn, told, or steady in the mean."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, ArrayLike, Float, Key

from .. import AbstractCircuit, AbstractRule, real, simulate, System
from ..signals import SpikeSignals
from ..tasks import Constant, Recorded
from ..traces import AbstractTrace
from ._numbers import KEY


def signals_of(dt: Array, pre: Array, post: Array) -> SpikeSignals:
    """What a rule reads of these spikes; no neuron made them."""
    still = jnp.zeros_like(post)
    return SpikeSignals(dt, pre, post, still, still)


class Pairs(AbstractCircuit):
    """Independent spikes on both sides, drawn at every step of 1.

    `chance` is one, or first those of the presynaptic neurons, then of the others.
    """

    chance: Float[Array, "*side"] = eqx.field(converter=real)

    def __call__(
        self, activity: None, synapses: Array, stimulus: None, key: Key[Array, ""]
    ) -> tuple[None, SpikeSignals]:
        size = synapses.shape[1]
        drawn = jr.bernoulli(key, self.chance, (sum(synapses.shape),))
        drawn = drawn.astype(synapses.dtype)
        return None, signals_of(jnp.ones(()), drawn[:size], drawn[size:])


class Told(AbstractCircuit):
    """One synapse whose stimulus is the time since the last step and both spikes."""

    def __call__(
        self,
        activity: None,
        synapses: Array,
        stimulus: Float[Array, "3"],
        key: Key[Array, ""],
    ) -> tuple[None, SpikeSignals]:
        dt, pre, post = stimulus
        return None, signals_of(dt, pre[None], post[None])


def told(rule: AbstractRule, events: Float[Array, "event 3"]) -> Array:
    """What a rule made of a weight of 0 after such events, from rest."""
    system = System(Recorded(events), Told(), {"it": rule})
    start = system.start(jnp.zeros((1, 1)), KEY)
    steps = len(events)
    end, _ = simulate(system, start, KEY, steps=steps, every=steps)
    return end.synapses[0, 0]


def moved(
    rule: AbstractRule, circuit: AbstractCircuit, count: int, before: int = 200
) -> Array:
    """Mean changes of a synapse in a step, each over 2000 steps after `before`."""
    system = System(Constant(None), circuit, {"it": rule})

    def sample(key: Array) -> Array:
        start, steps = system.start(jnp.zeros((1, 1)), key), before + 2000
        record = lambda state, signals, changes: state.synapses[0, 0]
        run = simulate(system, start, key, steps=steps, every=before, record=record)
        return (run[1][-1] - run[1][0]) / 2000

    return jax.vmap(sample)(jr.split(KEY, count))


def steady(
    rule: AbstractRule, pre: ArrayLike, post: ArrayLike, dt: float = 1.0
) -> Array:
    """The mean change of a step at independent spikes of steady rates.

    Exact where the change is linear in each of what is independent, and traces move by
    a linear map: these rest where it does not move them.
    """
    signals = signals_of(jnp.asarray(dt), jnp.atleast_1d(pre), jnp.atleast_1d(post))
    weights = jnp.zeros((signals.post.size, signals.pre.size))

    def rest(trace: AbstractTrace) -> Array:
        zero = trace.start(weights, signals)
        none = trace(zero, weights, signals, None)
        return none / (1 - (trace(zero + 1, weights, signals, None) - none))

    traces = {name: rest(trace) for name, trace in rule.traces().items()}
    return rule(weights, dataclasses.replace(signals, traces=traces), KEY)
