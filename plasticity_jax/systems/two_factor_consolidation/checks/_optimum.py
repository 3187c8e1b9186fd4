"""The running rule beside exact optima: convergence, duals, gaps, pruning.

Sections T5, T6 and the development instances of the specification: 20 of 100 neurons,
25 half-active patterns (D1) or 40 patterns of a fifth (D2).
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from .... import simulate, State, System
from ....circuits import Memories, memories_of
from ....experiment import always, Check, exact, once, simulated, soon, together
from ....measure import density, largest_l1_margin, largest_l2_margin, noise_ratio
from ....synapses import Factored
from .. import theory
from ..config import Config, of_order
from ..networks import after, margins_and_weights, sleep, start


KEY = jr.key(0)
SIZE, ROWS = 100, 20
INSTANCES = {"D1": (25, 0.5, 1), "D2": (40, 0.2, 2)}  # patterns, coding level, seed
LP = {
    "D1": (0.1190623, 0.10940993, 0.12915565, 0.1013156, 0.13637099),
    "D2": (0.0735786, 0.14285714, 0.09368728, 0.10959716, 0.06054014),
}
QP = {
    "D1": (0.54285349, 0.51154656, 0.61454765, 0.45573398, 0.6000136),
    "D2": (0.31336613, 0.44415243, 0.47594841, 0.44421345, 0.25125342),
}
MEANS = {"D1": (0.12611161, 0.56590074, 0.1910), "D2": (0.09214341, 0.40944171, 0.2075)}


class Optima(NamedTuple):
    """The exact optima of the neurons of an instance, stacked."""

    margin: Float[ndarray, " row"]
    threshold: Float[ndarray, " row"]
    weights: Float[ndarray, "row n"]
    replay: Float[ndarray, "row pattern"]


def optimum_checks() -> Iterator[Check]:
    """T5, T6 and the development instances; in double precision."""
    for name in INSTANCES:
        yield from _oracle_checks(name)
        yield from _convergence_checks(name)
        yield from _dual_checks(name)
        yield from _gap_checks(name)
    yield from _soft_checks()
    yield from _pruning_checks()
    yield from _row_checks()


def instance(name: str) -> Float[ndarray, "n pattern"]:
    """The patterns of a development instance."""
    count, level, seed = INSTANCES[name]
    return (np.random.default_rng(seed).random((SIZE, count)) < level).astype(float)


@functools.cache
def optima(name: str, q: int) -> Optima:
    """The largest $L_q$ margins of an instance, by linear or quadratic programme."""
    solve = {1: largest_l1_margin, 2: largest_l2_margin}[q]
    patterns = instance(name)
    found = [solve(patterns, 2 * patterns[row] - 1, own=row) for row in range(ROWS)]
    return Optima(*(np.stack([best[k] for best in found]) for k in (0, 2, 1, 3)))


def asleep(name: str, order: int, **changes: Any) -> tuple[System, State]:
    """The neurons of an instance before sleep, with the rates of `config.FAST`."""
    count, level, _ = INSTANCES[name]
    config = Config(size=SIZE, rows=ROWS, patterns=count, coding_level=level)
    config = of_order(config, order, **changes)
    stored = memories_of(jnp.asarray(instance(name)), ROWS)
    return sleep(config, stored, start(config, KEY))


# --- exact optima -------------------------------------------------------------------


def _oracle_checks(name: str) -> Iterator[Check]:
    patterns = instance(name)
    for q, table in ((1, LP), (2, QP)):
        best = optima(name, q)
        title = f"{name}: largest L{q} margins of five neurons"
        yield exact(title, "D1, D2", best.margin[:5], jnp.asarray(table[name]), 1e-6)
        title = f"{name}: mean largest L{q} margin"
        mean = np.mean(best.margin)
        yield exact(title, "D1, D2", mean, MEANS[name][q - 1], 1e-6)
        worst = max(_residual(patterns, best, row, q) for row in range(ROWS))
        title = f"{name}: conditions of an L{q} optimum, 1 + largest residual"
        yield exact(title, "T5", 1 + worst, 1.0, 1e-7)
    share = np.mean(optima(name, 1).weights > 1e-9)
    title = f"{name}: density of the L1 optima"
    yield exact(title, "D1, D2", share, MEANS[name][2], 1e-6)


def _residual(patterns: ndarray, best: Optima, row: int, q: int) -> float:
    """The largest residual of the conditions of an optimum, own input left out."""
    others = np.arange(SIZE) != row
    given = patterns[others], 2 * patterns[row] - 1, best.weights[row, others]
    given += best.threshold[row], best.replay[row]
    found = _residuals(*map(jnp.asarray, given), q)
    return max(float(np.max(np.abs(part))) for part in found)


_residuals = once(theory.residuals)


# --- convergence --------------------------------------------------------------------


@soon
def _reached(name: str, order: int) -> Array:
    """Signal-to-noise ratios of the neurons after sleep."""
    system, state = asleep(name, order)
    final = after(system, state, KEY, Config().cycles)
    return noise_ratio(*margins_and_weights(system, final), 2 // order)


def _convergence_checks(name: str) -> Iterator[Check]:
    for order in (1, 2):
        q = 2 // order
        share = np.asarray(_reached(name, order)) / optima(name, q).margin
        title = f"{name}: share of the largest L{q} margin reached, z = {order}"
        yield simulated(title, "4", np.mean(share), 1.0, 0.01)
        title = f"{name}: never above it, z = {order}"
        yield always(title, "4", np.mean(share <= 1 + 1e-9))


# --- replay shares and the gap ------------------------------------------------------


def _watch(state: State, signals: Any, changes: Any) -> dict[str, Array]:
    """One cycle, before its change: margin, norms, what was replayed and how."""
    del state, changes
    return {
        "margin": jnp.sum(signals.replay * signals.fields, axis=1),
        "first_norm": jnp.sum(signals.weights, axis=1),
        "second_norm": jnp.sqrt(jnp.sum(signals.weights**2, axis=1)),
        "weakest": jnp.argmax(jnp.abs(signals.replay), axis=1),
        "bias": signals.bias,
    }


@functools.cache
def _stationary(name: str, order: int, rate: float) -> tuple[State, dict[str, Any]]:
    """A long run at constant rates: its end, and what was seen in its second half."""
    steps = round(200 / rate) if order == 2 else 20_000
    return jax.tree.map(np.asarray, _watched(name, order, rate, steps))


@soon
def _watched(
    name: str, order: int, rate: float, steps: int
) -> tuple[State, dict[str, Array]]:
    system, state = asleep(name, order, rate=rate, schedule="constant")
    final, seen = simulate(system, state, KEY, steps=2 * steps, record=_watch)
    return final, jax.tree.map(lambda x: x[steps:], seen)


def _dual_checks(name: str) -> Iterator[Check]:
    for order, rate in ((1, 1e-3), (2, 0.02)):
        _, seen = _stationary(name, order, rate)
        dual = optima(name, 2 // order).replay
        weakest = np.asarray(seen["weakest"])
        chosen = (weakest[..., None] == np.arange(dual.shape[1])).mean(axis=0)
        apart = np.abs(chosen - dual).sum(axis=1) / 2
        title = f"{name}: replay shares within 0.1 of the duals, z = {order}"
        yield always(title, "T5", np.mean(apart < 0.1))
        potentiating = np.mean(np.asarray(seen["bias"]) > 0)
        title = f"{name}: potentiating share of all replays, z = {order}"
        yield simulated(title, "T5", potentiating, 0.5, 0.004)


def _gap_checks(name: str) -> Iterator[Check]:
    margin, threshold = map(jnp.asarray, optima(name, 1)[:2])
    config = Config()
    rates = config.threshold_rate, config.target
    for rate in (0.02, 0.01):
        _, seen = _stationary(name, 2, rate)
        gap = margin - np.mean(seen["margin"] / seen["first_norm"], axis=0)
        want = theory.stationary_gap(rate, *rates, margin, threshold)
        title = f"{name}: mean gap to the L1 optimum, rate {rate}"
        yield simulated(title, "T6", jnp.mean(gap), jnp.mean(want), 0.05)
    margin, threshold = map(jnp.asarray, optima(name, 2)[:2])
    final, seen = _stationary(name, 1, 1e-3)
    gap = margin - np.mean(seen["margin"] / seen["second_norm"], axis=0)
    active = SIZE * density(final.synapses.factors[0]) * INSTANCES[name][1]
    config = of_order(config, 1)
    rates = config.threshold_rate, config.target
    want = theory.stationary_gap_single(1e-3, *rates, margin, threshold, active)
    title = f"{name}: mean gap to the L2 optimum, z = 1 (approximate law)"
    yield simulated(title, "T6", jnp.mean(gap), jnp.mean(want), 0.3)


# --- soft replay --------------------------------------------------------------------


def _softly(state: State, signals: Any, changes: Any) -> tuple[Array, ...]:
    """Shares and sizes of the fields, norms, and the mean size for the next cycle."""
    del changes
    norms = jnp.sum(signals.weights, axis=1)
    sizes = jnp.abs(signals.fields)
    return jnp.abs(signals.replay), sizes, norms, state.activity.average


@soon
def _replayed(sharpness: float) -> tuple[Array, ...]:
    """Means over fields above the margin, their law, relative margins and the gap."""
    system, state = asleep("D1", 2, policy="taught", sharpness=sharpness)
    state = after(system, state, KEY, Config().cycles)
    options = {"steps": 200, "record": _softly}
    shares, sizes, norms, averages = simulate(system, state, KEY, **options)[1]
    bias = theory.soft_bias(shares[1:], averages[:-1], sharpness)
    least = jnp.min(sizes, axis=-1)
    above = jnp.sum(shares * sizes, axis=-1) - least
    return above[1:], bias, least / norms, jnp.mean(bias / norms[1:])


def _soft_checks() -> Iterator[Check]:
    above, bias, reached, gap = _replayed(100.0)
    title = "D1: mean field of soft replay above the margin"
    yield exact(title, "T6", above, bias)
    missed = np.mean(optima("D1", 1).margin - np.asarray(reached))
    title = "D1: what soft replay misses of the L1 optimum"
    yield simulated(title, "T6", missed, gap, 0.15)


# --- pruning ------------------------------------------------------------------------


_weights = lambda state, signals, changes: signals.weights


@soon
def _pruned(rate: float, cycles: int) -> Array:
    """Weights of replay that prunes nothing, after 4000 cycles and `cycles` each."""
    options = {"rate": rate, "schedule": "constant", "pruned_below": 0.0}
    system, state = asleep("D1", 2, initial_spread=0.0, **options)
    state = after(system, state, KEY, 4000)
    options = {"steps": 2 * cycles, "every": cycles, "record": _weights}
    return simulate(system, state, KEY, **options)[1]


def _pruning_checks() -> Iterator[Check]:
    rate, cycles, patterns = 0.01, 1000, instance("D1")
    before, later = np.asarray(_pruned(rate, cycles))
    best, targets = optima("D1", 1), 2 * patterns[:ROWS] - 1
    each = once(jax.vmap(theory.decay_rates, (None, 0, 0, 0)))
    rates = np.asarray(each(patterns, targets, best.replay, best.margin))
    dying = (rates > 1e-3) & (later > 0)
    want = 2 * rate * cycles * rates[dying]
    lost = np.log(before[dying] / later[dying])
    slope = np.sum(lost * want) / np.sum(want**2)
    yield simulated("D1: decay of synapses, over the law", "T6", slope, 1.0, 0.05)


# --- independence -------------------------------------------------------------------


@together
def _row_checks() -> Iterator[Check]:
    count, level, _ = INSTANCES["D1"]
    config = Config(size=SIZE, rows=SIZE, patterns=count, coding_level=level)
    stored, synapses = memories_of(jnp.asarray(instance("D1"))), start(config, KEY)
    some = Factored(synapses.factors[:, :ROWS], synapses.threshold[:ROWS])
    mine = stored._replace(targets=stored.targets[:ROWS])
    for policy, steps in (("weakest", 300), ("taught", 40)):  # soft replay: chaotic
        config = dataclasses.replace(config, policy=policy)
        among_all = _slept(config, stored, synapses, steps)[:, :ROWS]
        alone = _slept(dataclasses.replace(config, rows=ROWS), mine, some, steps)
        title = f"D1: factors of 20 neurons, alone or among all, {policy}"
        yield exact(title, "4", alone, among_all, 1e-9)


def _slept(config: Config, stored: Memories, synapses: Factored, steps: int) -> Array:
    """The factors after some cycles."""
    return after(*sleep(config, stored, synapses), KEY, steps).synapses.factors
