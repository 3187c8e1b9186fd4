"""The lifetime of a memory differentiated, for `verify gradients`.

By every hyper-parameter, each under a rule that has it; at the same draws, from the
same memory.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr

from .... import advance, Scalar, simulate
from ....experiment import Check
from ....inference import growth_check, no_slope, slope_checks
from ....measure import rotation
from ....tasks import cue, Drive, turning, wandering
from .. import theory
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory


KEY = jr.key(0)
STEPS = 200
QUIET: dict[str, Any] = {"size": 8, "plasticity": 0.1, "noise_every": 1}
RULES = {  # what a rule has of its own
    "rate_control": "plasticity homeostasis_gain noise target_scale initial_gain"
    " strength kick",
    "decorrelation": "correlation gain",
    "decorrelation_literal": "filter_time filter_scale",
}


def gradient_checks() -> Iterator[Check]:
    """Derivatives of the rate at which a memory fades; in double precision."""
    config = Config(**QUIET, homeostasis="dissipation", noise=0.0, initial_gain=0.0)
    names = "plasticity homeostasis_gain dissipation"
    options: dict[str, Any] = {"law": _leak, "source": "5.2, exact"}
    yield from slope_checks("fading, dissipation", fading, config, names, **options)
    for rule, names in RULES.items():
        config = Config(**QUIET, homeostasis=rule)
        yield from slope_checks(f"fading, {rule}", fading, config, names)
    config = Config(**QUIET, learns=True, pair_rule=True, imbalance=0.1)
    names = "learning_gain trace_time late_trace_ratio imbalance amplitude frequency"
    names += " decay cue_amplitude"
    yield from slope_checks("memory learned", learned, config, names, tolerance=1e-5)
    sparse = Config(**QUIET, sparse=True, density=0.5)
    slope = jax.grad(lambda x: fading(dataclasses.replace(sparse, density=x)))
    why = "a mask is drawn by a threshold"
    yield no_slope("fading by density", why, slope(sparse.density))
    yield from _chaos_checks()


def fading(config: Config) -> Scalar:
    r"""$\ln(A(0)/A(t))/t$ of a memory embedded in random weights."""
    system, state = build(config, KEY)
    u, v = draw_planes("binary", 1, config.size, KEY, orthonormal=True)[0]
    state = embed(config, system, state, imaginary_memory(u, v, config.strength), KEY)
    end, _ = simulate(system, state, KEY, steps=STEPS, every=20)
    before, after = (rotation(x.synapses, u, v) for x in (state, end))
    return jnp.log(before / after) / (STEPS * config.step)


def _leak(config: Config) -> Scalar:
    """The same where dissipation alone changes weights, step by step."""
    return -jnp.log(theory.decay_factor(config)) / config.step


def learned(config: Config) -> Scalar:
    """What a rotating, a wandering stimulus and cues leave in their plane."""
    u, v = draw_planes("binary", 1, config.size, KEY, orthonormal=True)[0]
    end = STEPS * config.step
    turns = turning(STEPS, config.step, 0.0, end, config.frequency)
    wanders = wandering(STEPS, config.step, 0.0, end, config.decay, config.step, KEY)
    cues = config.cue_amplitude * cue(STEPS, config.step, 0.0, end / 4)
    course = config.amplitude * (turns + wanders) + cues
    system, state = build(config, KEY, Drive(jnp.stack([u, v]), course))
    final, _ = simulate(system, state, KEY, steps=STEPS, every=20)
    return rotation(final.synapses, u, v)


def _chaos_checks() -> Iterator[Check]:
    """Dissipation lets perturbations die, activity under rate control is chaotic."""
    update = lambda state, system: advance(system, state, KEY)[0]
    strong: dict[str, Any] = {"size": 100, "initial_gain": 4.0, "noise": 0.0}
    for rule, changes, chaotic in (
        ("dissipation", QUIET, False),
        ("none", strong, True),
    ):
        system, state = build(Config(homeostasis=rule, **changes), KEY)
        options: dict[str, Any] = {"steps": 5000, "chaotic": chaotic}
        yield growth_check(rule, update, state, system, KEY, **options)
