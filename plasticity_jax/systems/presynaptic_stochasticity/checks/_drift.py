"""Strengths that drift where release is unreliable, beside simulation."""

from collections.abc import Iterator

import jax.numpy as jnp
import jax.random as jr

from .... import simulate, System
from ....circuits import Resting
from ....experiment import Check, exact, expectation, together
from ....rules import Dissipation, Reparametrised, Scaled, Unreliable, Wiener
from ....synapses import Stochastic
from ....tasks import Constant
from .. import drift as laws


KEY, COUNT, STEPS, RATE, NOISE = jr.key(0), 8000, 20, 0.1, 0.2
LEVELS = (0.0, 0.5, 0.9)  # of release


@together
def drift_checks() -> Iterator[Check]:
    """Noise of variance $1 - p$ and a drift of $1 - p$; in double precision."""
    levels = jnp.asarray(LEVELS)
    variance = 0.0
    for _ in range(STEPS):  # step by step
        kept = 1 - RATE * (1 - levels)
        variance = kept**2 * variance + NOISE**2 * (1 - levels)
    law = laws.drift_variance(levels, NOISE, RATE, STEPS)
    yield exact("variance of drift, step by step", "Beyond 4", law, variance, 1e-12)
    noise = Unreliable(Reparametrised(Scaled(Wiener(), NOISE)), 0.5)
    drift = Unreliable(Reparametrised(Dissipation(RATE)))
    rules = {"noise": noise, "drift": drift}
    system = System(Constant(None), Resting(1.0), rules)
    release = jnp.broadcast_to(levels[:, None], (len(LEVELS), COUNT))
    state = system.start(Stochastic(jnp.ones_like(release), release), KEY)
    final, _ = simulate(system, state, KEY, steps=STEPS)
    mean = laws.retained(levels, RATE, STEPS)
    for level, found, kept, spread in zip(
        LEVELS, final.synapses.strength, mean, law, strict=True
    ):
        where = f"of {COUNT:,} strengths at release {level:g}"
        yield expectation(f"squares {where}", "Beyond 4", found**2, spread + kept**2)
        yield expectation(f"what is kept {where}", "Beyond 4", found, kept)
