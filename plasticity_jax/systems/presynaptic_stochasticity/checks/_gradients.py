"""Energy and information differentiated, for `verify gradients`.

Energy after a run by every hyper-parameter, each under a method that has it, at the
same masks: the derivative through what a mask transmits, not through how often it
does. The time to freeze by the information that a synapse sees.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array

from .... import Scalar, simulate, State, System
from ...._arguments import real
from ....experiment import Check, exact
from ....inference import fixed_point, no_slope, slope_checks
from ....tasks import Constant
from .. import theory
from ..chain import freezing_time, levels_climbed, transitions
from ..config import build, Config


KEY = jr.key(0)
STEPS = 20
CASES = {  # what a method has of its own
    "presynaptic": "rate decay up down low high",
    "ghost": "fixed_release",
    "bgd": "deviation",
}


def gradient_checks() -> Iterator[Check]:
    """Derivatives of energy and of the time to freeze; in double precision."""
    silent = Config(hidden=(2,), rate=0.1, decay=0.1)
    options: dict[str, Any] = {"law": _decayed, "source": "energy, closed form"}
    row = "energy, decay alone,"
    yield from slope_checks(row, _silent_energy, silent, "rate decay", **options)
    for method, names in CASES.items():
        config = Config(
            hidden=(2,), method=method, rate=0.1, decay=0.01, threshold=0.05
        )
        what = f"energy at fixed masks, {method},"
        yield from slope_checks(what, _energy, config, names, tolerance=1e-5)
    slopes = jax.jit(jax.grad(_energy))(Config(hidden=(2,), rate=0.1, decay=0.01))
    yield no_slope("energy by threshold", "steps compare with it", slopes.threshold)
    yield no_slope("energy by freeze", "steps compare with it", slopes.freeze)
    yield no_slope("energy by penalty", "no anchor in the first task", slopes.penalty)
    yield no_slope("energy by memory", "no anchor in the first task", slopes.memory)
    yield from _information_checks()


def _task(scale: float) -> Constant:
    for_images, _ = jr.split(KEY)
    labels = jnp.asarray([0, 1, 1, 0, 1], jnp.int32)
    return Constant((scale * jr.normal(for_images, (5, 2)), labels))


def _built(config: Config, scale: float) -> tuple[System, State]:
    return build(config, _task(scale), 2, KEY)[:2]


def _of(state: State) -> Scalar:
    """Mean strengths, or those that a method has in their place."""
    synapses: Any = state.synapses
    own = synapses["mean"] if isinstance(synapses, dict) else synapses.strength
    return sum((theory.energy(x) for x in jax.tree.leaves(own)), jnp.zeros(()))


def _energy(config: Config) -> Scalar:
    system, state = _built(config, 1.0)
    return _of(simulate(system, state, KEY, steps=STEPS, every=5)[0])


def _silent_energy(config: Config) -> Scalar:
    """Of images that are black: nothing but decay moves strengths."""
    system, state = _built(config, 0.0)
    return _of(simulate(system, state, KEY, steps=STEPS, every=5)[0])


def _decayed(config: Config) -> Scalar:
    start = _of(_built(config, 0.0)[1])
    return theory.energy_after(start, config.rate, config.decay, STEPS)


# --- information --------------------------------------------------------------------


class _Slopes(eqx.Module):
    """What a synapse sees, over the threshold: deviation and mean of its slopes."""

    ratio: Scalar = eqx.field(default=1.5, converter=real)
    mean: Scalar = eqx.field(default=0.3, converter=real)


def _climbs(slopes: _Slopes) -> Array:
    return levels_climbed(0.25, 0.9353, 0.052, slopes.ratio, slopes.mean)


def _freezes(slopes: _Slopes) -> Scalar:
    return freezing_time(_climbs(slopes))


def _freezes_at_rest(slopes: _Slopes) -> Scalar:
    """The same: times from all levels that a step, and what follows, leave alone."""
    going = transitions(_climbs(slopes))[:-1, :-1]
    update = lambda times, going: 1 + going @ times
    return fixed_point(update, jnp.zeros(len(going)), going)[0]


def _information_checks() -> Iterator[Check]:
    options: dict[str, Any] = {"law": _freezes_at_rest, "source": "implicit derivative"}
    what = "time to freeze"
    yield from slope_checks(what, _freezes, _Slopes(), "ratio mean", **options)
    up = lambda x: theory.up_probability(1.0, x.mean, x.ratio)
    found = jax.grad(up)(_Slopes()).ratio
    want = theory.up_slope(1.0, _Slopes().mean, _Slopes().ratio)
    yield exact("chance of a step up by the deviation", "T5", found, want)
