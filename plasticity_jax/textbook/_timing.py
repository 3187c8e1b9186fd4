"""Leaky neurons and spike timing, on the grid of a step of 1 ms."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, Key

from .. import AbstractCircuit, AbstractTask, simulate, State, System
from ..circuits import LeakyNetwork
from ..experiment import Check, exact, expectation
from ..rules import STDP
from ..signals import SpikeSignals
from ..synapses import Bounded
from ..tasks import Constant
from ._numbers import KEY, uniform
from ._spikes import moved, Pairs, signals_of, told


def timing_checks() -> Iterator[Check]:
    """The network and the rule."""
    yield from _neuron()
    yield from _trajectory()
    yield from _standard()
    yield from _drift()
    yield from _causal()
    yield from _sums()
    yield from _laws()


def _fired(state: State, signals: Any, changes: Any) -> tuple[Array, Array]:
    return signals.post, signals.voltage


def _neuron() -> Iterator[Check]:
    system = System(Constant({"pre": jnp.ones(1)}), LeakyNetwork(), {})
    state = system.start(jnp.ones((1, 1)), KEY)
    once = State(state.activity._replace(current=jnp.ones(1)), 0 * state.synapses)
    _, (_, seen) = simulate(system, once, KEY, steps=40, record=_fired)
    times = jnp.arange(1.0, 41.0)
    want = 5 / 15 * (jnp.exp(-times / 20) - jnp.exp(-times / 5))
    source = "Rotter & Diesmann 1999"
    yield exact("leaky neuron: synaptic potential", source, seen[:, 0], want)
    for drive in (20.1, 22.0, 25.0, 30.0, 40.0):
        task = Constant({"pre": jnp.zeros(1), "external": drive})
        system = System(task, LeakyNetwork(), {})
        start = system.start(jnp.zeros((1, 1)), KEY)
        _, (spikes, _) = simulate(system, start, KEY, steps=300, record=_fired)
        apart = np.diff(np.flatnonzero(np.asarray(spikes[:, 0])))
        want = 2 + np.ceil(20 * np.log((drive - 10) / (drive - 20)))
        name = f"leaky neuron: steps between spikes at {drive:g} mV"
        yield exact(name, "closed form", apart, np.full(apart.shape, want))
    leak = lambda drive: _slope_of(drive)
    want = (1 - jnp.exp(-0.05)) * _surrogate(_moved(15.0))
    yield exact("leaky neuron: surrogate slope", "Bellec et al. 2020", leak(15.0), want)


def _moved(drive: float) -> Array:
    return jnp.exp(-0.05) * 19 + (1 - jnp.exp(-0.05)) * drive


def _surrogate(v: Array) -> Array:
    return 0.3 / 20 * (1 - jnp.abs(v - 20) / 20)


def _slope_of(drive: float) -> Array:
    network = LeakyNetwork()
    activity = network.start(jnp.zeros((1, 1)))._replace(potential=jnp.full(1, 19.0))

    def fired(drive: Array) -> Array:
        shown = {"pre": jnp.zeros(1), "external": drive}
        return network(activity, jnp.zeros((1, 1)), shown, KEY)[1].post[0]

    return jax.grad(fired)(jnp.asarray(drive))


def _joined(rows: list[list[int]]) -> np.ndarray:
    """Who fired and when, as one row."""
    return np.asarray([[who, when] for who, row in enumerate(rows) for when in row])


class _Every(AbstractTask):
    """One input that spikes at every tenth step, and a constant current."""

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> dict[str, Array]:
        now = jnp.where(step % 10 == 0, 1.0, 0.0)
        return {"pre": now[None], "external": jnp.asarray(15.0)}


def _trajectory() -> Iterator[Check]:
    number = jnp.arange(4.0)
    weights = 4 * jnp.cos(number[:, None] + 2 * number[None])
    weights = weights - jnp.diag(jnp.diagonal(weights))
    network = LeakyNetwork(recurrent=weights, delay=2)
    system = System(_Every(), network, {})
    start = system.start(8 + number[:, None], KEY)
    end, (spikes, _) = simulate(system, start, KEY, steps=200, record=_fired)
    found = [np.flatnonzero(np.asarray(row)).tolist() for row in spikes.T]
    want = [[], [126], [103], [72, 122, 182]]
    source = "independent implementation"
    who = _joined(found), _joined(want)
    yield exact("leaky network: every spike", source, who[0], who[1])
    want = jnp.asarray([19.36045, 19.45562, 19.56036, 15.17523])
    found = end.activity.potential
    yield exact("leaky network: potentials at the end", source, found, want, 1e-6)
    want = jnp.asarray([1.72058, 1.87068, 1.88273, 2.10288])
    found = end.activity.current
    yield exact("leaky network: currents at the end", source, found, want, 1e-5)


class _Waves(AbstractTask):
    """Every input spikes at every 50th step, a few together."""

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        due = (11 * step + 17 * jnp.arange(500)) % 50 == 0
        return jnp.where(due, 1.0, 0.0)


def _standard() -> Iterator[Check]:
    """500 inputs on 100 neurons, all to all, a second of additive spike timing."""
    post, pre = jnp.arange(100.0), jnp.arange(500.0)
    weights = 0.5 + 0.5 * jnp.sin(1 + 0.29 * post[:, None] + 1.3 * pre[None])
    size = 0.8  # mV of a weight of 1
    source = "independent implementation"
    for name, plus, minus, want in (
        ("additive STDP", 0.005, 0.00525, 670.0),
        ("fixed weights", 0.0, 0.0, 564.0),
    ):
        rule = STDP(size * plus, size * minus, most=size)
        system = System(_Waves(), LeakyNetwork(), {"it": rule}, (Bounded(0.0, size),))
        start = system.start(size * weights, KEY)
        end, (spikes, _) = simulate(system, start, KEY, steps=1000, record=_fired)
        yield exact(f"500 to 100, {name}: spikes", source, jnp.sum(spikes), want)
        if plus:
            w = end.synapses / size
            found = jnp.stack([jnp.sum(w), jnp.sum(w**2)])
            want = jnp.asarray([25011.31050, 18733.70505])
            name = "500 to 100, additive STDP: sums of weights and squares"
            yield exact(name, source, found, want, 1e-9)
            want = jnp.asarray([0.90819, 0.84694, 0.25949, 0.00100])
            name = "500 to 100, additive STDP: four weights"
            yield exact(name, source, w[0, :4], want, 1e-5)


def _drift() -> Iterator[Check]:
    """Mean change of a synapse in a step, at 20 Hz on either side, and its spread."""
    p, plus, minus, fade = 0.02, 0.005, 0.00525, np.exp(-1 / 20)
    alls = p * p * (plus / (1 - fade) - minus * fade / (1 - fade))
    near = 1 - (1 - p) * fade
    wants = {False: alls, True: p * p * (plus - minus * fade) / near}
    for nearest, want in wants.items():
        rule = STDP(plus, minus, nearest=nearest)
        samples = moved(rule, Pairs(p), 4000) - want
        kind = "nearest" if nearest else "all"
        name = f"STDP: drift of {kind} pairs less the law on the grid"
        yield expectation(name, "Kempter et al. 1999, on a grid", samples, 0.0)
        if not nearest:
            square = (plus**2 + (minus * fade) ** 2) / (1 - fade**2)
            want = (p * (1 - p)) ** 2 * square + 2 * (1 - p) * alls**2 / p
            name = "STDP: variance of all pairs in a step"
            source = "closed form on a grid"
            yield expectation(name, source, 2000 * samples**2, want)


class _Caused(AbstractCircuit):
    """Presynaptic spikes raise the chance of postsynaptic ones for a while."""

    chance: float
    weight: float
    time: float

    def start(self, synapses: Array, stimulus: Any = None, key: Any = None) -> Array:
        return jnp.zeros(())

    def __call__(
        self, activity: Array, synapses: Array, stimulus: None, key: Key[Array, ""]
    ) -> tuple[Array, SpikeSignals]:
        fade = jnp.exp(-1 / self.time)
        seen = fade * activity
        chances = self.chance * jnp.ones(2)
        chances = chances.at[1].add(self.weight * (1 - fade) / fade * seen)
        pre, post = jr.bernoulli(key, chances).astype(synapses.dtype)
        return seen + pre, signals_of(jnp.ones(()), pre[None], post[None])


def _causal() -> Iterator[Check]:
    """What a synapse earns by the spikes that it causes, at 20 Hz and weight .8."""
    p, plus, minus, weight, fade, kept = 0.02, 0.005, 0.00525, 0.8, *_fades(20.0, 4.0)
    rate = p * (p + weight * p)
    alone = rate * (plus - minus * fade) / (1 - fade)
    earned = p * (1 - p) * weight * plus * (1 - kept) * fade / (1 - fade * kept)
    name, source = "STDP: drift of a synapse that is heard", "Kempter et al. 1999"
    found = moved(STDP(plus, minus), _Caused(p, weight, 4.0), 120)
    yield expectation(name, f"{source}, on a grid", found, alone + earned)


def _fades(*times: float) -> list[float]:
    return [float(np.exp(-1 / time)) for time in times]


def _sums() -> Iterator[Check]:
    """The change over given trains, against the sum over their pairs."""
    plus, minus, steps = 0.005, 0.004, 200
    spikes = np.asarray(uniform((2, steps), 21, 0.0) < 0.2)
    pre, post = (np.flatnonzero(side) for side in spikes)
    events = jnp.asarray(np.stack([np.ones(steps), *spikes], axis=1))
    for kind, last in (("all", 0), ("nearest", 1)):  # x[-0:] is all of x
        ups = [np.exp((pre[pre <= t][-last:] - t) / 10) for t in post]
        downs = [np.exp((post[post < t][-last:] - t) / 30) for t in pre]
        want = plus * np.sum(np.concatenate(ups))
        want = want - minus * np.sum(np.concatenate(downs))
        rule = STDP(plus, minus, 10.0, 30.0, nearest=kind == "nearest")
        name, source = f"STDP: sum over {kind} pairs", "Morrison et al. 2008"
        yield exact(name, source, told(rule, events), want)


def _laws() -> Iterator[Check]:
    """One change at a coincident pair, for weights from 0 to 4."""
    x, y, minus, most, mu, start = 1.7, 0.6, 0.004, 4.0, 0.3, 0.5
    fade, w = np.exp(-1 / 20), np.linspace(0, most, 9)[None]
    laws = {
        "multiplicative": (most - w, w),
        "van_rossum": (1 + 0 * w, w),
        "gutig": ((most - w) ** mu, w**mu),
        "power": (start ** (1 - mu) * w**mu, w),
    }
    signals = signals_of(jnp.ones(()), jnp.ones(9), jnp.ones(1))
    traces = {"pre": jnp.full(9, x), "post": jnp.full(1, y)}
    signals = dataclasses.replace(signals, traces=traces)
    for law, (up, down) in laws.items():
        rule = STDP(0.005, minus, 20.0, 20.0, most, mu, start, law=law)
        found = rule(jnp.asarray(w), signals, KEY)
        name, source = f"STDP: law {law}".replace("_", " "), "Morrison et al. 2008"
        yield exact(name, source, found, 0.005 * x * up - minus * fade * y * down)
