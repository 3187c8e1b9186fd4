"""The time to threshold differentiated, for `verify gradients`.

By every hyper-parameter: of the mean-field theory, whose times are also known in closed
form (natural) or as a root (all), and of a run at fixed spikes.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import jax.random as jr

from .... import advance, Scalar, simulate
from ....experiment import Check
from ....inference import fixed_point, growth_check, slope_checks
from ..config import build, Config
from ..mean_field import (
    BIN,
    divergence_curve,
    fisher_trace,
    landscape,
    THRESHOLD,
    time_to_threshold,
)


KEY = jr.key(0)
TASK = "low_rate high_rate weight_scale membrane_time synaptic_time area"
TASK += " maximum slope threshold rate_factor"
OWN = {
    "natural": "natural_rate",
    "euclidean": "euclidean_rate",
    "approximate": "approximate_rate uniform",
}
RUN = "euclidean_rate natural_rate approximate_rate rate_factor uniform proportional"
RUN += " weight_scale maximum slope threshold"


def gradient_checks() -> Iterator[Check]:
    """Derivatives of the time to threshold; in double precision."""
    config, what = Config(size=20), "time to threshold, {}"
    for student, own in OWN.items():
        laws: dict[str, Any] = {"law": _closed, "source": "T9, closed form"}
        if student != "natural":
            law = functools.partial(_root, student=student)
            laws = {"law": law, "source": "implicit derivative"}
        time = functools.partial(time_to_threshold, student=student)
        names = f"{own} {TASK}"
        yield from slope_checks(what.format(student), time, config, names, **laws)
    config = Config(size=4, seconds=100)
    what = "weights after 200 steps, at fixed spikes,"
    yield from slope_checks(what, _weight_error, config, RUN, tolerance=1e-5)
    config = dataclasses.replace(config, students=("natural",))
    system, state = build(config, KEY)
    update = lambda state, system: advance(system, state, KEY)[0]
    yield growth_check("run", update, state, system, KEY, steps=2000, chaotic=False)


def _closed(config: Config) -> Scalar:
    r"""$\ln[(S - f)/(\theta - f)]/2\eta$ of the natural gradient, floor $f$ (T9)."""
    here, rate = landscape(config), config.natural_rate * config.rate_factor
    floor = rate * config.size * BIN / 4
    start = BIN / 2 * here.spread * fisher_trace(here)
    return jnp.log((start - floor) / (THRESHOLD - floor)) / (2 * rate)


def _root(config: Config, student: str) -> Scalar:
    """The same as a fixed point, in the logarithm of the time."""

    def update(log_time: Scalar, config: Config) -> Scalar:
        left = divergence_curve(config, student, jnp.exp(log_time)[None])[0]
        return log_time + jnp.log(left / THRESHOLD)

    start = jnp.log(time_to_threshold(config, student))
    return jnp.exp(fixed_point(update, start, config))


def _weight_error(config: Config) -> Scalar:
    """Mean squared distance of the students' weights from the teacher's."""
    system, state = build(config, KEY)
    end, _ = simulate(system, state, KEY, steps=200, every=20)
    teacher = system.circuit.neuron.teacher  # pyright: ignore[reportAttributeAccessIssue]
    errors = [jnp.sum((w - teacher) ** 2) for w in end.synapses.values()]
    return sum(errors, jnp.zeros(())) * config.size
