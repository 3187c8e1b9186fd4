"""Short-term plasticity: regular and random trains, spike by spike."""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, Key

from .. import AbstractTask, simulate, State, System
from ..circuits import LeakyNetwork
from ..experiment import Check, exact, expectation
from ..signals import Elapsed
from ..traces import CORTICAL, Resources, ShortTerm
from ._numbers import KEY


TIMES = (*range(0, 141, 20), 640)
PRINTED = {  # released at these times, to four digits
    "EE": (0.5, 0.3398, 0.1333, 0.0505, 0.0264, 0.0201, 0.0185, 0.018, 0.1845),
    "EI": (0.05, 0.0926, 0.1242, 0.1442, 0.1542, 0.1569, 0.1552, 0.1515, 0.2468),
}
RATES = (1, 10, 40)  # Hz
POISSON = {  # mean release at these rates, to six digits
    "EE": (0.325263, 0.078213, 0.021997),
    "EI": (0.101829, 0.264427, 0.155977),
    "IE": (0.214804, 0.094203, 0.032342),
    "II": (0.314908, 0.255079, 0.132360),
}


def short_term_checks() -> Iterator[Check]:
    """Trains of spikes, regular and random."""
    yield from _trains()
    yield from _steady()
    yield from _poisson()


class _Train(AbstractTask):
    """One spike at each of the times above."""

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        return jnp.any(step == jnp.asarray(TIMES)).astype(float)[None]


def _seen(state: State, signals: Elapsed, changes: object) -> tuple[Array, Array]:
    return state.activity.resources.released[0], state.activity.current[0]


def _trains() -> Iterator[Check]:
    """On the network's grid of 1 ms, against the recursion from spike to spike."""
    for kind, printed in PRINTED.items():
        network = LeakyNetwork(short_term=ShortTerm.published(kind))
        system = System(_Train(), network, {})
        start = system.start(jnp.full((1, 1), 3.0), KEY)
        steps = TIMES[-1] + 1
        _, (released, current) = simulate(system, start, KEY, steps=steps, record=_seen)
        name = f"short-term {kind}: release at nine spikes"
        found = released[jnp.asarray(TIMES)]
        source = "Markram, Wang & Tsodyks 1998"
        yield exact(name, source, found, printed, 1e-3 * 0.05 / max(printed))
        share, recovery, facilitation = CORTICAL[kind]
        used, left, last, law = 0.0, 1.0, 0.0, np.zeros(steps)
        for time in TIMES:
            used = used * math.exp((last - time) / facilitation)
            used = used + share * (1 - used)
            left = 1 - (1 - left) * math.exp((last - time) / recovery)
            after = np.arange(steps) - time
            law += np.where(after < 0, 0, 3 * used * left * np.exp(-after / 5.0))
            left, last = left * (1 - used), time
        name = f"short-term {kind}: current, w E at a spike"
        yield exact(name, "event by event", current, law)


def _settled(trace: ShortTerm, apart: Array) -> Array:
    """What the last of 600 spikes releases that are equally far apart."""
    beat = lambda _, resources: trace.after(resources, jnp.ones(1), apart)
    return jax.lax.fori_loop(0, 600, beat, trace.rest(jnp.ones(1))).released[0]


def _steady() -> Iterator[Check]:
    """Regular trains, one spike a step."""
    for kind, (share, recovery, facilitation) in CORTICAL.items():
        trace, found, law = ShortTerm.published(kind), [], []
        for rate in RATES:
            apart = 1000.0 / rate
            found.append(_settled(trace, jnp.asarray(apart)))
            keep = 1 - math.exp(-apart / recovery)
            used = share / (1 - (1 - share) * math.exp(-apart / facilitation))
            law.append(used * keep / (1 - (1 - used) * (1 - keep)))
        name = f"short-term {kind}: steady release at 1, 10, 40 Hz"
        yield exact(name, "u* x*", jnp.stack(found), jnp.asarray(law))


def _moments(share: float, recovery: float, facilitation: float, rate: float) -> float:
    r"""Mean release at a spike of a Poisson train, times in ms.

    With $v = U + (1 - U)u$ and $m_k = E[u^k x]$ before a spike, $0 = -k m_k/F + (E[u^k]
    - m_k)/D + r(E[v^k(1 - v)x] - m_k)$, a linear system, cut at 40; $E[u^k]$ likewise.
    """
    count = 40
    power = np.zeros((count + 1, count + 1))  # of v^k by powers of u
    for k in range(count + 1):
        for j in range(k + 1):
            chosen = math.comb(k, j) * share ** (k - j)
            power[k, j] = chosen * (1 - share) ** j
    lost = np.diag(np.arange(count + 1) / facilitation)
    alone = rate * (power - np.eye(count + 1)) - lost
    alone[0] = np.eye(count + 1)[0]  # the mean of 1
    uses = np.linalg.solve(alone, np.eye(count + 1)[0])
    stays = (1 - share) * (power - np.pad(power[:, :-1], ((0, 0), (1, 0))))
    both = rate * (stays - np.eye(count + 1)) - lost - np.eye(count + 1) / recovery
    mixed = np.linalg.solve(both, -uses / recovery)
    return share * mixed[0] + (1 - share) * mixed[1]


def _poisson() -> Iterator[Check]:
    """4000 neurons of each kind at 10 Hz, their spikes as they come, and at 1 / F."""
    rate, count, kinds = 0.01, 4000, tuple(CORTICAL)
    for kind in kinds:
        found = [_moments(*CORTICAL[kind], hertz / 1000) for hertz in RATES]
        name = f"short-term {kind}: moments at 1, 10, 40 Hz"
        yield exact(name, "independent recursion", found, POISSON[kind], 4e-6)
    sets = [*CORTICAL.values(), (0.3, 200.0, 0.0)]
    parts = jnp.repeat(jnp.asarray(sets).T, count, axis=1)
    trace = ShortTerm(*parts)
    ones = jnp.ones(parts.shape[1])

    def beat(
        carried: tuple[Resources, Array, Array], key: Array
    ) -> tuple[tuple[Resources, Array, Array], None]:
        resources, used, released = carried
        apart = jr.exponential(key, ones.shape) / rate
        resources = trace.after(resources, ones, apart)
        found = used + resources.used, released + resources.released
        return (resources, *found), None

    start, keys = (trace.rest(ones), 0 * ones, 0 * ones), jr.split(KEY, 400)
    (warm, _, _), _ = jax.lax.scan(beat, start, keys[:200])
    (_, used, released), _ = jax.lax.scan(beat, (warm, 0 * ones, 0 * ones), keys[200:])
    used, released = (x.reshape(-1, count) / 200 for x in (used, released))
    for i, kind in enumerate(kinds):
        law = _moments(*CORTICAL[kind], rate)
        share, _, facilitation = CORTICAL[kind]
        product = rate * facilitation
        name = f"short-term {kind}: mean release at 10 Hz"
        yield expectation(name, "moments of a Poisson train", released[i], law)
        field = share * (1 + product) / (1 + share * product)
        name = f"short-term {kind}: mean use at 10 Hz"
        yield expectation(name, "mean field, exact", used[i], field)
    law = 0.3 / (1 + 0.3 * rate * 200)
    name = "short-term, no facilitation: mean release at 10 Hz"
    yield expectation(name, "mean field, exact", released[-1], law)
