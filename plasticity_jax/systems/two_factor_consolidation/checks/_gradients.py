"""Margin and capacity differentiated, for `verify gradients`.

The margin of a run by every hyper-parameter, each under a rule that has it, at the same
patterns; the capacity of many inputs through its conditions of an optimum.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array

from .... import advance, Scalar, simulate
from ....experiment import Check, exact
from ....inference import fixed_point, growth_check, no_slope, slope_checks
from ....measure import noise_ratio
from .. import capacity, theory
from ..config import Config
from ..networks import build, margins_and_weights, memories, wake


KEY = jr.key(0)
CYCLES = 100
SMALL: dict[str, Any] = {"size": 10, "rows": 3, "patterns": 4, "schedule": "constant"}
COMMON = "rate threshold_rate target_per_input initial_spread"
CASES = {  # what a case has of its own
    "soft": ({"policy": "soft", "sharpness": 10.0}, f"{COMMON} sharpness"),
    "power": ({"parametrisation": "power", "exponent": 3.0}, "exponent"),
    "ceiling": ({"ceiling": 0.25, "scaling": "none"}, "ceiling initial_factor"),
}


def gradient_checks() -> Iterator[Check]:
    """Derivatives of margin and capacity; in double precision."""
    for name, (changes, names) in CASES.items():
        config = Config(**SMALL, **changes)
        what = f"margin after {CYCLES} cycles, {name},"
        yield from slope_checks(what, _margin, config, names, tolerance=1e-5)
    config = Config(size=6, rows=0, patterns=3, epochs=3)
    what, names = "weights stored awake", "wake_rate initial_factor"
    yield from slope_checks(what, _stored, config, names, tolerance=1e-5)
    yield from _cut_checks()
    yield from _gap_checks()
    yield from _capacity_checks()
    system, state = build(Config(**SMALL), KEY)
    update = lambda state, system: advance(system, state, KEY)[0]
    yield growth_check(
        "replay of the weakest", update, state, system, KEY, steps=1000, chaotic=False
    )


def _margin(config: Config) -> Scalar:
    """Mean signal-to-noise ratio of the neurons after some cycles."""
    system, state = build(config, KEY)
    end, _ = simulate(system, state, KEY, steps=CYCLES, every=10)
    return jnp.mean(noise_ratio(*margins_and_weights(system, end), 1))


def _stored(config: Config) -> Scalar:
    """Mean weight after a day."""
    stored = memories(config, KEY)
    system, state = wake(config, stored, KEY)
    steps = config.epochs * config.patterns
    end, _ = simulate(system, state, KEY, steps=steps, every=steps)
    return jnp.mean(jnp.prod(end.synapses.factors, axis=0))


def _cut_checks() -> Iterator[Check]:
    """Parameters whose derivative is 0 though the margin depends on them."""
    why = {
        "pruned_below": "a threshold below which synapses die",
        "enough": "a threshold above which nothing is learned",
        "load": "rounded to whole patterns",
        "replay_noise": "it chooses which pattern is the weakest",
    }
    config = Config(**SMALL, policy="noisy", load=0.3, enough=0.5)
    moved = lambda changes: _margin(dataclasses.replace(config, **changes))
    slopes = jax.jit(jax.grad(moved))({name: getattr(config, name) for name in why})
    for name, reason in why.items():
        yield no_slope(f"margin by {name}", reason, slopes[name])


def _gap_checks() -> Iterator[Check]:
    """How far constant rates keep the margin from the optimum (T6), by the rates."""
    margin, threshold = jnp.asarray(0.126), jnp.asarray(0.4)

    def gap(config: Config) -> Scalar:
        rates = config.rate, config.threshold_rate, config.target
        return theory.stationary_gap(*rates, margin, threshold)

    config = Config(size=100)
    by_hand = {
        "rate": threshold * (1 - threshold) - margin**2,
        "threshold_rate": 1 / (2 * config.target),
        "target_per_input": -config.threshold_rate * 100 / (2 * config.target**2),
    }
    yield from slope_checks("gap to the optimum", gap, config, " ".join(by_hand))
    for name, want in by_hand.items():
        moved = lambda x, name=name: gap(dataclasses.replace(config, **{name: x}))
        slope = jax.grad(moved)(getattr(config, name))
        yield exact(f"gap to the optimum by {name}", "T6, by hand", slope, want)


# --- capacity -----------------------------------------------------------------------


def _first(x: Array) -> Array:
    return norm.pdf(x) + x * norm.cdf(x)


def _second(x: Array) -> Array:
    return (1 + x**2) * norm.cdf(x) + x * norm.pdf(x)


def _cost(margin: Array, bias: Array, level: Array) -> Array:
    return level * _second(margin - bias) + (1 - level) * _second(margin + bias)


def _critical(level: Array) -> Scalar:
    r"""$\alpha_c = 1/2c(0)$ at the threshold that costs least (T7)."""
    slope = lambda t, f: (1 - f) * _first(t) - f * _first(-t)
    bias = fixed_point(lambda t, f: t - slope(t, f), jnp.zeros(()), level)
    return 0.5 / _cost(jnp.zeros(()), bias, level)


def _robust(place: Array) -> Scalar:
    r"""$\kappa$ of the best weights of $L_2$ norm, $\lambda = 0$, at (load, level)."""

    def update(x: Array, place: Array) -> Array:
        load, level = place
        margin, bias = x
        slope = (1 - level) * _first(margin + bias) - level * _first(margin - bias)
        return x - jnp.stack([load * _cost(margin, bias, level) - 0.5, slope])

    return fixed_point(update, jnp.asarray([0.5, 0.0]), place)[0]


def _capacity_checks() -> Iterator[Check]:
    """Implicit derivatives beside differences of the theory's own root searches."""
    level, load, step = 0.3, 0.6, 1e-4
    found, slope = jax.value_and_grad(_critical)(jnp.asarray(level))
    want = capacity.critical_load(level)
    yield exact("capacity", "T7, bracketing", found, want, 1e-9)
    ends = capacity.critical_load(np.asarray([level - step, level + step]))
    want = np.diff(ends)[0] / (2 * step)
    row = "capacity by coding_level, implicit derivative"
    yield exact(row, "central difference", slope, want, 1e-6)
    found, slopes = jax.value_and_grad(_robust)(jnp.asarray([load, level]))
    want = capacity.robustness(load, level, q=2)
    yield exact("largest margin", "T7, bracketing", found, want, 1e-9)
    for i, name in enumerate(("load", "coding_level")):
        move = step * np.eye(2)[i]
        ends = [
            capacity.robustness(load + s * move[0], level + s * move[1], q=2)
            for s in (-1, 1)
        ]
        row = f"largest margin by {name}, implicit derivative"
        want = (ends[1] - ends[0]) / (2 * step)
        yield exact(row, "central difference", slopes[i], want, 1e-6)
