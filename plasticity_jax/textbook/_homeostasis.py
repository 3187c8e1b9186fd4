"""Inhibition and scaling that hold a neuron's rate, against targets and limits."""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .. import AbstractTask, advance, simulate, State, System
from ..circuits import Layer, LeakyNetwork
from ..experiment import always, Check, exact, simulated
from ..rules import InhibitorySTDP, Masked, SynapticScaling
from ..synapses import Dale
from ..tasks import Constant
from ._numbers import KEY, uniform
from ._spikes import steady, told


VOGELS = "Vogels et al. 2011"


def homeostasis_checks() -> Iterator[Check]:
    """Inhibitory spike timing and synaptic scaling."""
    yield from _inhibition()
    yield from _balance()
    yield from _network()
    yield from _scaling()
    yield from _stability()


def _inhibition() -> Iterator[Check]:
    """At given trains, and at independent spikes."""
    spikes = np.asarray(uniform((2, 300), 31, 0.0) < 0.1)
    pre, post = (np.flatnonzero(side) for side in spikes)
    near = np.sum(np.exp(-abs(post[None] - pre[:, None]) / 20))
    want = -0.3 * (near - 2 * 0.005 * 20 * len(pre))
    events = jnp.asarray(np.stack([np.ones(300), *spikes], axis=1))
    found = told(InhibitorySTDP(0.3), events)
    yield exact("inhibitory STDP: sum over pairs", VOGELS, found, want)
    fade, p1, p2 = np.exp(-1 / 20), 0.02, 0.01
    found = steady(InhibitorySTDP(1e-3), p1, p2)[0, 0]
    want = -1e-3 * p1 * (p2 * (1 + fade) / (1 - fade) - 0.2)
    source = f"{VOGELS}, on a grid"
    yield exact("inhibitory STDP: drift", source, found, want)
    low, high = (steady(InhibitorySTDP(), p1, p)[0, 0] for p in (0.0, p2))
    found, want = p2 * low / (low - high), 0.2 * np.tanh(1 / 40)
    yield exact("inhibitory STDP: rate that it holds", source, found, want)


def _balance() -> Iterator[Check]:
    """Eight stimuli, each with its own excitation, to a linear neuron of rates."""
    excited = uniform((8,), 41, 0.01, 0.05)
    inhibited = uniform((8, 8), 42, 0.0, 0.01) + 0.02 * jnp.eye(8)

    def drift(weights: Array) -> Array:
        fired = excited + inhibited @ weights
        change = lambda pre, post: steady(InhibitorySTDP(5.0), pre, post)[0]
        return jnp.sum(jax.vmap(change)(inhibited, fired), axis=0)

    settle = lambda weights, _: (weights + drift(weights), None)
    weights, _ = jax.lax.scan(settle, jnp.zeros(8), length=2000)
    held = 0.2 * np.tanh(1 / 40)
    name, found = "inhibitory STDP: balance of currents", -(inhibited @ weights)
    yield exact(name, f"{VOGELS}: E - target", found, excited - held)


class _Barrage(AbstractTask):
    """400 excitatory inputs for each of ten neurons, 400 inhibitory for all; 10 Hz."""

    chances: Float[Array, " count"]  # that no more than so many of 400 spike

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        own, shared = jr.split(key)
        counts = jnp.searchsorted(self.chances, jr.uniform(own, (10,)))
        spikes = jr.bernoulli(shared, 0.01, (400,))
        return jnp.concatenate([counts.astype(float), spikes.astype(float)])


def _fired(state: State, signals: Any, changes: Any) -> Array:
    return jnp.mean(signals.post)


def _network() -> Iterator[Check]:
    """Leaky neurons under 400 inputs of 1.5 mV come to fire at 5 Hz."""
    sizes = [math.comb(400, k) * 0.01**k * 0.99 ** (400 - k) for k in range(30)]
    weights = jnp.hstack([1.5 * jnp.eye(10), jnp.zeros((10, 400))])
    signs = jnp.where(jnp.arange(410) < 10, 1.0, -1.0)
    plastic = jnp.broadcast_to(jnp.where(signs < 0, 1.0, 0.0), weights.shape)
    rule = Masked(InhibitorySTDP(0.01), plastic)
    task, network = _Barrage(jnp.cumsum(jnp.asarray(sizes))), LeakyNetwork()
    system = System(task, network, {"it": rule}, (Dale(signs),))
    start, steps = system.start(weights, KEY), 45_000
    _, seen = simulate(system, start, KEY, steps=steps, record=_fired)
    found = 1000 * jnp.mean(seen[steps // 2 :])
    name, source = "inhibitory STDP: rate of leaky neurons, Hz", f"{VOGELS}: target"
    yield simulated(name, source, found, 5.0, 0.06)


def _scaled(integral: float) -> tuple[System, State]:
    """Three inputs to a linear neuron that shall fire at 20 Hz; steps of 1 s.

    The mean moves by a hundredth of its distance in a step, as by Euler's method.
    """
    rule = SynapticScaling(20.0, 4e-5, integral, -1 / np.log(0.99), 24.0)
    system = System(Constant(jnp.ones(3)), Layer(), {"it": rule})
    return system, system.start(jnp.asarray([[4.0, 8.0, 12.0]]), KEY)


def _scaling() -> Iterator[Check]:
    source, times = "van Rossum et al. 2000", np.asarray([500, 2000, 8000])
    name = "scaling: rates after 500, 2000 and 8000 s"
    system, state = _scaled(1e-7)
    end, seen = simulate(system, state, KEY, steps=40_000, record=_fired)
    want = np.asarray([21.5353, 17.9279, 20.2349])
    yield exact(name, source, seen[times - 1], want, 5e-6)
    yield exact("scaling: rate after 40000 s", "target", seen[-1], 20.0, 1e-6)
    ratios = end.synapses[0] / end.synapses[0, 0]
    want, name = np.asarray([1.0, 2.0, 3.0]), "scaling: ratios of weights, then"
    yield exact(name, "Turrigiano et al. 1998", ratios, want, 1e-12)


def _stability() -> Iterator[Check]:
    """A short step near the fixed point, against the roots of the cubic."""
    time, rate, target, dt = 100.0, 4e-5, 20.0, 0.01
    limit = rate / time
    integrals = np.asarray([1e-7, 5e-7, 0.99 * limit, 1.01 * limit])

    def step(point: Array, integral: Array) -> Array:
        weight, mean, missed = point
        rule = SynapticScaling(target, rate, integral, time)
        system = System(Constant(jnp.ones(1)), Layer(dt=dt), {"it": rule})
        traces = {"it": {"rate": (mean[None], missed[None])}}
        end, _, _ = advance(system, State(None, weight[None, None], traces=traces), KEY)
        mean, missed = end.traces["it"]["rate"]
        return jnp.stack([end.synapses[0, 0], mean[0], missed[0]])

    slopes = jax.jit(jax.vmap(jax.jacobian(step), (None, 0)))
    matrices = slopes(jnp.asarray([target, target, 0.0]), jnp.asarray(integrals))
    growth = np.sort_complex(np.linalg.eigvals(matrices) - 1) / dt  # in rising order
    for integral, found in zip(integrals[:2], growth, strict=False):
        want = np.roots([time, 1.0, target * rate, target * integral])
        name = f"scaling: growth of departures, gamma {integral:g}"
        source = "roots of the cubic"
        yield exact(name, source, found, np.sort_complex(want), 1e-3)
    fastest = np.max(np.real(growth), axis=1)
    name = "scaling: stable below the limit, unstable above"
    yield always(name, "beta > tau gamma", bool(fastest[2] < 0 < fastest[3]))
