"""Triplets of spikes: steady rates, thresholds and the pairing-frequency protocol."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..experiment import Check, exact, expectation
from ..rules import TripletSTDP
from ._spikes import moved, Pairs, steady, told


SOURCE = "Pfister & Gerstner 2006"
RATES = (0.1, 10.0, 20.0, 40.0, 50.0)  # Hz
CHANGES = {  # of 60 pairs at these rates, post after pre by 10 ms and before it
    "visual all full": (
        (1.7e-8, 0.13205, 0.24696, 0.53372, 0.74091),
        (-0.31216, -0.33362, -0.35162, 0.15479, 0.72725),
    ),
    "visual all minimal": (
        (0.0, 0.11864, 0.22780, 0.53211, 0.76273),
        (-0.31662, -0.33221, -0.34173, 0.17371, 0.74918),
    ),
    "visual nearest full": (
        (2.9e-9, 0.10359, 0.32316, 0.56029, 0.62425),
        (-0.29432, -0.41129, -0.33823, 0.25979, 0.61935),
    ),
    "visual nearest minimal": (
        (0.0, 0.10086, 0.32203, 0.56828, 0.63585),
        (-0.35676, -0.35561, -0.27861, 0.28983, 0.62990),
    ),
    "hippocampal all minimal": (
        (0.17536, 0.18405, 0.21289, 0.35608, 0.47524),
        (-0.15608, -0.16272, -0.15211, 0.15226, 0.46380),
    ),
    "hippocampal nearest minimal": (
        (0.15220, 0.17681, 0.20265, 0.21465, 0.21582),
        (-0.13378, -0.13219, -0.09117, 0.10795, 0.21105),
    ),
}


def triplet_checks() -> Iterator[Check]:
    """The triplet rule."""
    yield from _rates()
    yield from _thresholds()
    yield from _pairings()


def _law(rule: TripletSTDP, p1: float, p2: float, dt: float) -> float:
    """The change of a step at independent spikes (Eq. 5, on a grid)."""

    def mean(p: float, time: Array, early: bool = False) -> float:
        fade = float(np.exp(-dt / float(time)))
        kept = (1 - p) * fade if rule.nearest else fade
        return p * (1 if early else fade) / (1 - kept)

    up = rule.pair_plus + rule.triplet_plus * mean(p2, rule.time_y)
    down = rule.pair_minus + rule.triplet_minus * mean(p1, rule.time_x)
    up = p2 * mean(p1, rule.time_plus, early=True) * up
    return float(up - p1 * mean(p2, rule.time_minus) * down)


def _rates() -> Iterator[Check]:
    """The change at 10 Hz of the presynaptic side."""
    for name in ("visual all minimal", "visual all full", "hippocampal all full"):
        rule = TripletSTDP.published(name)
        found = [steady(rule, 0.01, p, 1.0)[0, 0] for p in (0.01, 0.025)]
        want = [_law(rule, 0.01, p, 1.0) for p in (0.01, 0.025)]
        yield exact(f"triplet: rates, {name}", f"{SOURCE}, on a grid", found, want)
    name, chances = "hippocampal nearest minimal", (0.01, 0.025)
    rule = TripletSTDP.published(name)
    found = moved(rule, Pairs(jnp.asarray(chances)), 150, before=500)
    want, source = _law(rule, *chances, 1.0), f"{SOURCE}, on a grid"
    yield expectation(f"triplet: rates, {name}", source, found, want)


def _thresholds() -> Iterator[Check]:
    """The postsynaptic rate at which nothing changes, in steps of 1 us; Hz."""
    wants = {
        "visual all full": 18.7195,
        "visual all minimal": 19.2203,
        "hippocampal all minimal": 5.3776,
    }
    for name, want in wants.items():
        rule = TripletSTDP.published(name)
        slow, fast = (steady(rule, 1e-5, p, 1e-3)[0, 0] / p for p in (1e-5, 2e-5))
        found, source = 10 * (1 - slow / (fast - slow)), f"{SOURCE}, Eq. 5"
        yield exact(f"triplet: threshold, {name}", source, found, want, 3e-4)


def _protocol(rate: float, lag: float) -> np.ndarray:
    """60 pairs: the time since the last event, and whether pre or post fires."""
    pre = np.arange(60) * 1000 / rate
    times = np.concatenate([pre, pre + lag])
    order, fires = np.argsort(times), np.repeat(np.eye(2), 60, axis=0)
    return np.column_stack([np.diff(times[order], prepend=-1e6), fires[order]])


def _pairings() -> Iterator[Check]:
    """Every printed change of the protocol; events are exact."""
    protocols = jnp.asarray(
        np.stack([[_protocol(rate, lag) for rate in RATES] for lag in (10.0, -10.0)])
    )
    for name, want in CHANGES.items():
        rule = TripletSTDP.published(name)
        total = jax.vmap(lambda events, rule=rule: told(rule, events))
        for lag, printed, events in zip(("+", "-"), want, protocols, strict=True):
            quantity = f"triplet: 60 pairs at {lag}10 ms, {name}"
            digits = 6e-6 / np.max(np.abs(printed))
            yield exact(quantity, SOURCE, total(events), np.asarray(printed), digits)
