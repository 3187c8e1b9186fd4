"""A night after a day, and what is measured in it: margins, memories, synapses."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from .... import Scalar, simulate, State, System
from ....circuits import Memories
from ....measure import (
    density,
    margins,
    memory_ratios,
    noise_ratio,
    volatile_noise_ratio,
)
from ....numerics import ratio, root
from ....signals import ReplaySignals
from ..config import Config, require_products
from ..domains import living_share, PRUNED, unless_lost
from ..networks import after, fall_asleep, memories, stored_in, valid_rows, wake
from .shared import stacked


Matrix = Float[Array, "n n"]
EARLY, EVERY = 100, 100  # cycles recorded one by one; distance of later records
SNAPSHOTS = (0, 2, 6, 15)  # cycles at which memories are compared; the last one, too
BINS = (-2, -1, 0, 1, 2)  # z-scored log10 of the weight before sleep
EDGES = tuple(float(x) for x in np.linspace(-3.0, 1.0, 41).round(1))  # log10 of weights


class Night(NamedTuple):
    """What records of a night need: memories, the rows that count, bins of synapses."""

    memories: Memories
    counted: Bool[Array, " n"]
    bins: Int[Array, "n n"]


def evening(
    config: Config, key: Key[Array, ""]
) -> tuple[System, State, Bool[Array, " n"]]:
    """The network as it falls asleep after a day, and which neurons count.

    Those that are active in all patterns that they replay, or in none, do not. Raises
    `ValueError` unless synapses are products of two factors.
    """
    require_products(config)
    if config.order != 2:
        raise ValueError(f"`order` must be 2 here; got {config.order}.")
    for_patterns, for_order, for_day = jr.split(key, 3)
    stored = memories(config, for_patterns)
    system, state = wake(config, stored, for_order)
    state = after(system, state, for_day, config.epochs * config.patterns)
    system, state = fall_asleep(config, stored, state.synapses)
    return system, state, valid_rows(stored_in(system))


def shares(where: Bool[Array, "..."]) -> Float[Array, "..."]:
    """Entries `where` count alike and 1 in all, others nothing; zeros if none does."""
    there = where.astype(jnp.result_type(float))
    return there / jnp.maximum(jnp.sum(there), 1.0)


def some_of(where: Bool[Array, "..."]) -> Float[Array, "..."]:
    """`shares`, but NaN if none is there: a mean over nothing is not known."""
    return jnp.where(jnp.any(where), shares(where), jnp.nan)


def weight_bins(
    weights: Matrix, pruned_below: Scalar | float = PRUNED
) -> Int[Array, "n n"]:
    """The index in `BINS` of every synapse; -1 outside of them and for no synapse.

    A weight of at most `pruned_below` is no synapse.
    """
    there = weights > pruned_below
    size = jnp.where(there, jnp.log10(jnp.where(there, weights, 1.0)), 0.0)
    share = shares(there)
    mean = jnp.sum(share * size)
    spread = jnp.sqrt(jnp.sum(share * (size - mean) ** 2))
    score = (size - mean) / jnp.where(spread > 0, spread, 1.0)
    index = jnp.round(score).astype(jnp.int32) - BINS[0]
    return jnp.where(there & (index >= 0) & (index < len(BINS)), index, -1)


def correlation(x: Matrix, y: Matrix, where: Bool[Array, "n n"]) -> Float[Array, ""]:
    """Pearson's coefficient over the entries `where`; 0 without variance.

    NaN if an entry of either is NaN, whether or not it is there.
    """
    either = x, y
    share = shares(where)
    x, y = x - jnp.sum(share * x), y - jnp.sum(share * y)
    variance = jnp.sum(share * x**2) * jnp.sum(share * y**2)
    found = ratio(jnp.sum(share * x * y), root(variance))
    return unless_lost(found, *either)


def seen(night: Night, signals: ReplaySignals, state: State) -> dict[str, Array]:
    """How robust the memories are, and what is left of the synapses.

    `signals` are those of a cycle that begins at `state`. Means over the neurons that
    count; `radius` (pattern,) is the robustness of each memory, `pruned` (bin,) the
    share of synapses that are dead.
    """
    stored, counted, bins = night
    weights, fields, alive = signals.weights, signals.fields, signals.alive
    first, second = state.synapses.factors
    margin = margins(fields, stored.targets, stored.stored)
    share = some_of(counted)

    def mean(rows: Float[Array, " n"]) -> Float[Array, ""]:
        return jnp.sum(jnp.where(counted, rows, 0.0) * share)

    signed = jnp.where(counted[:, None], stored.targets * fields, jnp.inf)
    dead = unless_lost((~alive).astype(weights.dtype), weights)
    bias = jnp.where(jnp.isnan(margin), jnp.nan, signals.bias)
    beside = jnp.roll(second, 1, axis=1), alive & jnp.roll(alive, 1, axis=1)
    chosen = [(bins == index).astype(weights.dtype) for index in range(len(BINS))]
    count = jnp.stack([jnp.sum(x) for x in chosen])
    lost = jnp.stack([jnp.sum(x * dead) for x in chosen])
    return {
        "l1": len(weights) ** 0.5 * mean(noise_ratio(margin, weights, 1.0)),
        "l2": mean(noise_ratio(margin, weights, 2.0)),
        "synaptic": mean(volatile_noise_ratio(margin, weights, 2.0)),
        "unpruned": mean(density(weights, None)),
        "density": mean(density(weights)),
        "within": correlation(first, second, alive),
        "across": correlation(first, *beside),
        "potentiating": mean((1 + bias) / 2),
        "radius": memory_ratios(stored.targets * signed, stored.targets, weights),
        "pruned": lost / jnp.maximum(count, 1.0),
    }


def watch(
    system: System, night: Night, state: State, signals: ReplaySignals, changes: Any
) -> dict[str, Array]:
    """`seen` after the cycle; `jax.tree_util.Partial` binds system and night.

    The potentiating share of replay is the mean of this cycle's and the next one's: a
    threshold may alternate around its optimum.
    """
    del changes
    circuit: Any = system.circuit
    following = circuit(state.activity, state.synapses, night.memories, jr.key(0))[1]
    bias = (signals.bias + following.bias) / 2
    return seen(night, dataclasses.replace(following, bias=bias), state)


def times_of(config: Config) -> np.ndarray:
    """Cycles of the records: the first ones, then every `EVERY`-th."""
    late = np.arange(EARLY + EVERY, config.cycles + 1, EVERY)
    return np.concatenate([np.arange(EARLY + 1), late])


def histogram(weights: Matrix) -> tuple[Array, Array, Array]:
    """Living weights: share in each of the bins `EDGES`, mean, s.d. of log10."""
    share = living_share(weights)
    size = jnp.log10(jnp.where(share > 0, weights, 1.0))
    share = share / jnp.maximum(jnp.sum(share), 1.0)
    edges = jnp.asarray(EDGES, weights.dtype)
    counts, _ = jnp.histogram(size.ravel(), edges, weights=share.ravel())
    mean = jnp.sum(share * size)
    spread = jnp.sqrt(jnp.sum(share * (size - mean) ** 2))
    return counts, jnp.sum(share * weights), spread


def gains(
    radius: Float[Array, "cycle pattern"], kept: Bool[Array, " pattern"]
) -> tuple[Float[Array, " cycle"], Float[Array, " cycle"]]:
    r"""Slope of $R^\mu(t) - R^\mu(0)$ on $R^\mu(0)$, and its mean over memories."""
    share = some_of(kept)
    start = radius[0] - jnp.sum(share * radius[0])
    variance = jnp.sum(share * start**2)
    gain = radius - radius[:1]
    return ratio(gain @ (share * start), variance), gain @ share


def night(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """A day and the night after it.

    `seen` (cycle, ...) at `times_of`; `slope` and `gain` (cycle,) of memories; their
    `radius` (snapshot, pattern) and which are `kept`; `histogram` (when, size) of
    living weights, their mean `strength` and `spread` (when,) before and after.
    """
    for_day, for_night = jr.split(key)
    system, state, counted = evening(config, for_day)
    circuit: Any = system.circuit
    stored = stored_in(system)
    before = circuit.parametrisation.weights(state.synapses.factors)
    bound = Night(stored, counted, weight_bins(before, config.pruned_below))
    record = jax.tree_util.Partial(watch, system, bound)
    signals = circuit(state.activity, state.synapses, stored, for_night)[1]
    first = seen(bound, signals, state)
    state, early = simulate(system, state, for_night, steps=EARLY, record=record)
    options = {"steps": config.cycles - EARLY, "record": record, "every": EVERY}
    state, late = simulate(system, state, for_night, **options)
    joined = lambda a, b, c: jnp.concatenate([a[None], b, c])
    course = jax.tree.map(joined, first, early, late)
    weights = circuit.parametrisation.weights(state.synapses.factors)
    radius = course.pop("radius")
    slope, gain = gains(radius, stored.stored)
    counts, strength, spread = stacked([histogram(x) for x in (before, weights)])
    return {
        **course,
        "slope": slope,
        "gain": gain,
        "radius": radius[jnp.array([*SNAPSHOTS, -1])],
        "kept": unless_lost(stored.stored.astype(radius.dtype), before),
        "histogram": counts,
        "strength": strength,
        "spread": spread,
    }
