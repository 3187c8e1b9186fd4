"""The voltage-based rule, against closed forms and published protocols."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .. import AbstractCircuit, simulate, State, System
from ..circuits import ExponentialNeurons
from ..experiment import Check, exact
from ..rules import VoltageSTDP
from ..signals import SpikeSignals
from ..tasks import Recorded
from ._numbers import KEY, uniform


RATES = (0.1, 10.0, 20.0, 40.0, 50.0)  # pairs per second
QUIET = 2000  # steps after which all is at rest: longer pauses need not be run
LENGTH = 5 * QUIET + 11  # of a train
BEFORE = (0.5000010253, 0.5145169131, 0.5785321889, 0.7313255793, 0.8250073071)
BEHIND = (0.3584295457, 0.2980880775, 0.3025545985, 0.5888818834, 0.8677858881)


def voltage_checks() -> Iterator[Check]:
    """Clamped and prescribed voltages; pairs of spikes at several rates."""
    yield from _clamped()
    yield from _prescribed()
    yield from _pairs()


class _Clamp(AbstractCircuit):
    """Spikes of one input and a voltage, both from the stimulus."""

    dt: Array

    def __call__(
        self, activity: None, synapses: Array, stimulus: Array, key: Key[Array, ""]
    ) -> tuple[None, SpikeSignals]:
        spike, voltage = stimulus[None, 0], stimulus[None, 1]
        still = jnp.zeros(1)
        return None, SpikeSignals(self.dt, spike, still, voltage, still)


def _moved(rule: VoltageSTDP, dt: float, spikes: Any, voltages: Any) -> Array:
    """The weight, from 0, after each step."""
    shown = np.stack(np.broadcast_arrays(spikes, voltages), axis=1)
    system = System(Recorded(shown), _Clamp(jnp.asarray(dt)), {"it": rule})
    start = system.start(jnp.zeros((1, 1)), KEY)
    _, weights = simulate(system, start, KEY, steps=len(shown), record=_weight)
    return weights


def _weight(state: State, signals: Any, changes: Any) -> Array:
    return state.synapses[0, 0]


def _clamped() -> Iterator[Check]:
    """A spike's change at a fixed voltage, once all means are settled."""
    low, high, dt, voltage = -70.6, -45.3, 0.5, -30.0
    spikes = np.arange(20000) % 40 == 0
    up = 8e-5 * (voltage - high) * (voltage - low)
    down = 14e-5 * (voltage - low)
    for homeostatic, scale in ((False, 1.0), (True, (voltage - low) ** 2 / 60)):
        rule = VoltageSTDP(mean_time=100.0, homeostatic=homeostatic)
        weights = _moved(rule, dt, spikes, voltage)
        found, kind = weights[-1] - weights[-41], ", homeostatic" if homeostatic else ""
        name = f"voltage rule: a spike at a clamped voltage{kind}"
        yield exact(name, "closed form", found, up - scale * down)


def _mean(time: float, values: np.ndarray) -> np.ndarray:
    """Running means before each step, as weighted sums of all that came before."""
    step = np.arange(len(values))
    past = step[:, None] - step[None] - 1
    weight = np.where(past >= 0, np.exp(-past / time), 0) * -np.expm1(-1 / time)
    return weight @ values


def _prescribed() -> Iterator[Check]:
    spikes = np.asarray(uniform((300,), 3, 0.0)) < 0.1
    voltages = -70.6 + np.asarray(uniform((300,), 4, -10.0, 80.0))
    late = lambda x: np.concatenate([np.zeros(3), x[:-3]])  # what rest leaves
    plus, minus = (late(_mean(time, voltages + 70.6)) for time in (7.0, 10.0))
    up = 8e-5 * np.maximum(voltages + 45.3, 0) * np.maximum(plus, 0)
    down = 14e-5 * spikes * np.maximum(minus, 0)
    want = np.cumsum(up * _mean(15.0, spikes.astype(float)) - down)
    found = _moved(VoltageSTDP(), 1.0, spikes, voltages)
    name = "voltage rule: weights at a prescribed voltage"
    yield exact(name, "Clopath et al. 2010", found, want)


def _train(rate: float, lag: int) -> np.ndarray:
    """Five pairs, spikes of either side; the postsynaptic one comes `lag` later."""
    period = min(round(1000 / rate), QUIET)
    train = np.zeros((LENGTH, 2))
    train[10 : 5 * period + 10 : period, 0] = 1
    first = 10 + lag
    train[first : 5 * period + 11 : period, 1] = 1
    return train


def _euler(time: float) -> float:
    """The time whose exact decay is Euler's step of this one."""
    return -1 / np.log1p(-1 / time)


def _pairs() -> Iterator[Check]:
    """Fifteen trains, at .1 Hz ten; all but the first change the weight alike."""
    trains = np.stack([_train(rate, lag) for lag in (10, -10) for rate in RATES])
    found = _paired(trains)
    source = "ModelDB 144566"
    yield exact("voltage rule: pre before post", source, found[:5], BEFORE, 1e-6)
    yield exact("voltage rule: post before pre", source, found[5:], BEHIND, 1e-6)
    found = _paired(trains[1:2], lag=0)[0]
    name = "voltage rule: means that see the spike, 10 Hz"
    yield exact(name, f"{source}, no lag", found, 0.7355822, 1e-6)
    found = _paired(trains[4:5], jump=80.5)[0]
    name = "voltage rule: adaptation as printed, 50 Hz"
    yield exact(name, f"{source}, b = 80.5", found, 0.7186127155, 1e-6)


def _paired(trains: np.ndarray, lag: int = 3, jump: float = 0.0805) -> Array:
    rule = VoltageSTDP(
        time_pre=_euler(15.0), time_plus=_euler(7.0), time_minus=_euler(10.0), lag=lag
    )
    twice = np.concatenate([trains, trains], axis=1)
    twice[:, :3] = 0  # which the published code leaves out

    def run(train: Array) -> Array:
        shown = {"pre": train[:, :1], "external": 1e6 * train[:, 1:]}
        circuit = ExponentialNeurons(jump=jump, gain=0.0)
        system = System(Recorded(shown), circuit, {"it": rule})
        start = system.start(jnp.full((1, 1), 0.5), KEY)
        steps = len(train)
        _, weights = simulate(
            system, start, KEY, steps=steps, record=_weight, every=steps // 2
        )
        return weights

    first, second = jax.vmap(run)(jnp.asarray(twice)).T
    often = trains[:, 10 + QUIET, 0] > 0  # pairs at .1 Hz, whose trains do not pause
    return first + np.where(often, 9.0, 14.0) * (second - first)
