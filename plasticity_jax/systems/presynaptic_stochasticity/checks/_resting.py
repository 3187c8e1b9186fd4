"""Where release comes to rest, beside simulation of the plastic rule."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from .... import Scalar, simulate, State, System
from ....circuits import StochasticNetwork
from ....experiment import always, Check, exact, expectation, soon, together
from ....rules import FisherRelease
from .. import chain
from ..resting import release_roots, resting_release, RestingCode


KEY = jr.key(0)
COUNT, LOW, NEUTRAL, STEP, LONG = 1000, 0.25, 0.05, 0.06, 3000


def resting_checks() -> Iterator[Check]:
    """Fixed points of release (T5, T6); in double precision."""
    yield from _root_checks()
    yield from _rule_checks()
    yield from _running_checks()


@together
def _root_checks() -> Iterator[Check]:
    values = jnp.linspace(0.03, 0.25, 9)
    at = jax.vmap(lambda p, x: chain.climb_probability(p, 1.0, 0.0, jnp.sqrt(x)))
    for name, p, side in zip(
        ("barrier", "rest"), release_roots(values, NEUTRAL), (1, -1), strict=True
    ):
        title = f"steps up are neutral at the {name} of release"
        yield exact(title, "T5, T6", at(p, values), NEUTRAL, 1e-12)
        above = side * (at(p * 1.001, values) - NEUTRAL)
        below = side * (NEUTRAL - at(p * 0.999, values))
        what = "drives away" if side > 0 else "draws in"
        held = jnp.mean((above > 0) & (below > 0))
        yield always(f"the {name} of release {what}", "T6", held)
    many = 10.0 ** jnp.linspace(-3, 4, 400)
    rest = release_roots(many, chain.zero_drift(0.0520, 0.0516))[1]
    yield always("no graded rest of the published steps", "T6", jnp.mean(~(rest < 1)))
    rule = FisherRelease(4.0, 4.0 * values, RestingCode(NEUTRAL, LOW))
    state = chain.independent(9, LOW, 2.0, 0.1, 1.0, down=0.1)[1]
    change = rule(state.synapses, None, KEY)
    got = 1 - jnp.exp(state.synapses.log_failure + change.log_failure)
    want = resting_release(values, NEUTRAL, LOW)
    yield exact("release by Fisher information rests there", "T5", got, want, 1e-12)


def _ended(value: Scalar, neutral: Scalar, step: float) -> Array:
    up, down = (1 - neutral) * step, neutral * step
    system, state = chain.independent(COUNT, LOW, 2.0, up, value**0.5, down=down)
    final, _ = simulate(system, state, KEY, steps=LONG)
    return final.synapses.probability


@functools.partial(together, jit=soon)
def _rule_checks() -> Iterator[Check]:
    """Twice where half the steps lead to, less where whole ones do: steps of nothing.

    Near 1, where steps are small, a rest takes too long to reach.
    """
    cases = ((0.1, NEUTRAL), (0.13, NEUTRAL), (0.5, 0.5))
    values, neutrals = jnp.asarray(cases).T
    ended = jax.vmap(_ended, (0, 0, None))
    limits = 2 * ended(values, neutrals, STEP / 2) - ended(values, neutrals, STEP)
    wants = jax.vmap(resting_release, (0, 0, None))(values, neutrals, LOW)
    for (value, neutral), limit, want in zip(cases, limits, wants, strict=True):
        title = f"release at F of {value:g} g_lim^2, {neutral:g} of steps up neutral"
        yield expectation(title, "T5, T6", limit, want)


@functools.partial(together, jit=soon)
def _running_checks() -> Iterator[Check]:
    """Information that synapses estimate themselves, while they release."""
    _, state = chain.independent(COUNT, LOW, 2.0, 0.1, 1.0, down=0.1)
    rule = FisherRelease(1e9, time=50.0)  # so that p stays where it is bounded
    bounds = chain.independent(1, LOW, 2.0, 0.1, 1.0, down=0.1)[0].projections
    task = chain.GaussianSlopes(0.3, 2.0, COUNT)
    circuit: Any = StochasticNetwork(chain.linear_loss)
    system = System(task, circuit, {"fisher": rule}, bounds)
    final: State = simulate(system, state, KEY, steps=1000)[0]
    seen = final.traces["fisher"]["fisher"]
    title = "squared slope of released synapses, running mean"
    yield expectation(title, "Eqs. 9, 10; T4", seen, 0.3**2 + 2.0**2)
