"""The mean field of release, strengths and energy, beside simulation."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from .... import simulate, State
from ....experiment import Check, exact, expectation, simulated, soon, together
from .. import chain, mean_field
from ..theory import energy


KEY, RUNS, STEPS = jr.key(1), 16, 200
CONFIG = mean_field.Config(batch=40, threshold=0.15)


def mean_field_checks() -> Iterator[Check]:
    """Many synapses that share their errors; in double precision."""
    yield from _limit_checks()
    yield from _population_checks()


@together
def _limit_checks() -> Iterator[Check]:
    """Strengths of 0 in noise alone see constant slopes: the chain of one synapse."""
    still = mean_field.Config(targets=(0.0, 0.0), rate=0.0, spread=0.0, noise=2.0)
    later = lambda _, population: mean_field.after_step(still, population)
    after = jax.lax.fori_loop(0, 20, later, mean_field.fresh(still))
    ratios = still.scales * 2.0 / jnp.sqrt(10.0) / still.threshold
    ladder = (still.low, still.freeze, still.up)
    laws = [chain.law_after(chain.levels_climbed(*ladder, x), 20) for x in ratios]
    title = "mean field of strengths of 0, law of one synapse"
    yield exact(title, "T6, Beyond 2", after.share, jnp.stack(laws), 1e-12)
    later = mean_field.after_step(CONFIG, mean_field.fresh(CONFIG))
    title = "mean field: shares sum to 1"
    yield exact(title, "Beyond 2", jnp.sum(later.share, axis=1), 1.0, 1e-14)


def _seen(state: State, signals: Any, changes: Any) -> dict[str, Array]:
    del signals, changes
    groups = lambda x: x.reshape(len(CONFIG.counts), -1)
    p, strength = state.synapses.probability, state.synapses.strength
    reliable = jnp.where(p >= CONFIG.freeze, 1.0, 0.0)
    each = {"reliable": reliable, "release": p, "energy": jnp.abs(strength)}
    return jax.tree.map(lambda x: jnp.mean(groups(x), axis=1), each)


@soon
def _simulated() -> dict[str, Array]:
    def run(key: Array) -> dict[str, Array]:
        for_start, for_run = jr.split(key)
        system, state = mean_field.build(CONFIG, for_start)
        last = {"steps": STEPS, "every": STEPS, "record": _seen}
        return simulate(system, state, for_run, **last)[1]

    return jax.lax.map(run, jr.split(KEY, RUNS))


def _population_checks() -> Iterator[Check]:
    law = soon(mean_field.course)(CONFIG, STEPS)
    seen = _simulated()
    counts = " and ".join(f"{count}" for count in CONFIG.counts)
    where = f"after {STEPS} steps, {RUNS} neurons of {counts} synapses"
    for name, group in (("reliable", 0), ("release", 0), ("release", 1)):
        title = f"mean field: {name}, group {group}, {where}"
        drawn, want = seen[name][:, 0, group], law[name][-1, group]
        yield expectation(title, "Beyond 2", drawn, want)
    for group in (0, 1):
        title = f"mean field: energy of a synapse, group {group}, {where}"
        got = energy(seen["energy"][:, 0, group]) / RUNS
        yield simulated(title, "Beyond 2", got, law["energy"][-1, group], 0.05)
