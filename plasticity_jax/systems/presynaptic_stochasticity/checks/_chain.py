"""One synapse as a chain: closed forms beside linear algebra and simulation (T6)."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from .... import simulate, State
from ....experiment import always, Check, exact, expectation, simulated, soon, together
from .. import chain
from ..theory import up_probability


KEY = jr.key(0)
LADDER = (0.25, 0.9, 0.1)  # low, freeze, up
COUNT, STEPS = 20_000, 200
CASES = ((2.0, 0.0), (4.0, 0.0), (8.0, 0.0), (32.0, 0.0), (1.0, 2.0))  # over g_lim
PUBLISHED = {32.0: 1.5e3, 4.0: 5.2e3, 2.0: 7e4, 1.0: 9e15}  # mean freezing times


def chain_checks() -> Iterator[Check]:
    """T6; in double precision."""
    yield from _algebra_checks()
    yield from _threshold_checks()
    yield from _law_checks()
    yield from _time_checks()
    yield from _variant_checks()


@soon
def _computed() -> dict[str, Array]:
    """What the rows of linear algebra are about, from one program."""
    climbs = chain.levels_climbed(*LADDER, 4.0)
    wide = chain.levels_climbed(0.25, 0.9353, 0.052, 4.0)
    doubled = [chain.law_after(climbs, 2**k)[-1] for k in (5, 6, 8)]
    return {
        "matrix": chain.transitions(climbs),
        "time": chain.freezing_time(climbs),
        "law": chain.law_after(climbs, STEPS),
        "shares": chain.frozen_shares(climbs, 8)[jnp.asarray([5, 6, 8])],
        "doubled": jnp.stack(doubled),
        "diagram": chain.phase_diagram(jnp.asarray([1.0, 16.0]), 12)[1, 12],
        "wide": chain.law_after(wide, 4096)[-1],
    }


def _algebra_checks() -> Iterator[Check]:
    found = _computed()
    matrix = np.asarray(found["matrix"])
    yield exact("chances of every level sum to 1", "T6", matrix.sum(1), 1.0, 1e-14)
    among = (np.eye(len(matrix)) - matrix)[:-1, :-1]
    want = np.linalg.solve(among, np.ones(len(among)))[0]
    title = "mean freezing time by linear algebra"
    yield exact(title, "T6", found["time"], want, 1e-10)
    law = np.eye(len(matrix))[0]
    for _ in range(STEPS):
        law = law @ matrix
    title = f"law after {STEPS} steps, one by one"
    yield exact(title, "T6", found["law"], law, 1e-12)
    title, want = "frozen share after 32, 64 and 256 steps", found["doubled"]
    yield exact(title, "T6", found["shares"], want, 1e-12)
    title, want = "phase diagram at 16 and 4,096", found["wide"]
    yield exact(title, "T6", found["diagram"], want, 1e-12)


@together
def _threshold_checks() -> Iterator[Check]:
    for ratio, want in PUBLISHED.items():
        time = chain.freezing_time(chain.levels_climbed(0.25, 0.9353, 0.0516, ratio))
        title = f"mean freezing time at a deviation of {ratio:g} g_lim"
        yield simulated(title, "T6", time, want, 0.05)
    levels = chain.ladder(*LADDER)[:-1]
    time = chain.freezing_time(chain.climb_probability(levels, 1.0, 0.0, 8.0))
    yield simulated("mean freezing time at 8", "Pitfall 5", time, 238.0, 0.01)
    certain = jnp.broadcast_to(up_probability(1.0, 0.0, 8.0), levels.shape)
    title = "the same if silent synapses went up like the others"
    yield simulated(title, "Pitfall 5", chain.freezing_time(certain), 25.0, 0.01)
    ratios = 10.0 ** jnp.linspace(-1, 4, 50)
    each = jax.vmap(chain.climb_probability, (None, None, None, 0))
    climbs = each(levels, 1.0, 0.0, ratios)
    for mean in (0.0, 3.0):
        below = jnp.mean(each(levels, 1.0, mean, ratios) <= levels[None])
        title = f"steps up are rarer than release, mean {mean:g} g_lim"
        yield always(title, "T6", below)
    neutral = chain.zero_drift(0.052, 0.0516)
    title = "a fresh synapse drifts down whatever its slopes"
    yield always(title, "T6", jnp.mean(climbs[:, 0] < neutral))
    a, p = neutral, 0.6
    drift = (1 - p) * (a * 0.052 - (1 - a) * 0.0516)
    yield exact("drift where it vanishes, plus 1", "T6", 1 + drift, 1.0, 1e-14)


def _probability(state: State, signals: Any, changes: Any) -> Array:
    del signals, changes
    return state.synapses.probability


def _ended(*kind: Any) -> tuple[Array, Array]:
    """Release of many synapses of a kind, and the law of their levels."""
    system, state = chain.independent(COUNT, *kind)
    final, _ = simulate(system, state, KEY, steps=STEPS)
    law = chain.law_after(chain.levels_climbed(*kind), STEPS)
    return final.synapses.probability, law


@functools.partial(together, jit=soon)
def _law_checks() -> Iterator[Check]:
    levels = chain.ladder(*LADDER)
    ended = jax.vmap(functools.partial(_ended, *LADDER))(*jnp.asarray(CASES).T)
    for (ratio, mean), p, law in zip(CASES, *ended, strict=True):
        where = f"{COUNT:,} synapses, mean {mean:g}, deviation {ratio:g}"
        frozen = (p >= LADDER[1]).astype(p.dtype)
        yield expectation(f"frozen of {where}", "T6", frozen, law[-1])
        title = f"release probability of {where}"
        yield expectation(title, "T6", p, law @ levels)


@functools.partial(together, jit=soon)
def _variant_checks() -> Iterator[Check]:
    """The same law of steps that are added, and of release without normalisation."""
    ladder = (0.45, 0.9, 0.0509)  # its levels do not meet the freezing one
    for scaled, normalised in ((False, True), (True, False)):
        p, law = _ended(*ladder, 4.0, 2.0, scaled, normalised)
        names = ("scaled" if scaled else "additive", "" if normalised else "un")
        where = "of {} steps, {}normalised".format(*names)
        frozen = (p >= ladder[1]).astype(p.dtype)
        yield expectation(f"frozen share {where}", "T6", frozen, law[-1])
        title = f"release probability {where}"
        yield expectation(title, "T6", p, law @ chain.ladder(*ladder, scaled))


@functools.partial(together, jit=soon)
def _time_checks() -> Iterator[Check]:
    ratio, count, steps = 8.0, 2000, 3000
    system, state = chain.independent(count, *LADDER, ratio)
    course = simulate(system, state, KEY, steps=steps, record=_probability)[1]
    times = 1.0 + jnp.sum((course < LADDER[1]).astype(course.dtype), axis=0)
    want = chain.freezing_time(chain.levels_climbed(*LADDER, ratio))
    yield expectation(f"freezing times of {count:,} synapses", "T6", times, want)
