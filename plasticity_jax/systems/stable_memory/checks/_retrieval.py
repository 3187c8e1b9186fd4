"""Limit cycles, their bifurcations and the first step of recall, for `verify`."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .... import Scalar
from ....circuits import error_function
from ....experiment import (
    always,
    Check,
    exact,
    expectation,
    once,
    simulated,
    soon,
    together,
)
from .. import cycles
from ..capacity import first_step_error, pattern_field, plane_field, updated
from ..experiments import cycles as phase
from ..patterns import draw_planes, Planes
from ..retrieval import plane_network, recall, Turning, turning


SIZE, STEP = 4096, 0.01
TRANSFERS = (jnp.tanh, error_function, jnp.sign)
_planes = once(draw_planes)


def retrieval_checks() -> Iterator[Check]:
    """All checks of fixed connectivity; run them in double precision."""
    expansion, rotation = jnp.asarray(2.0), jnp.asarray(4.0)
    yield from _closed_forms(expansion, rotation)
    circle = once(cycles.gaussian_cycle)(jnp.tanh, expansion, rotation)
    cycle = once(cycles.balanced_cycle)(jnp.tanh, expansion, rotation)
    yield from _tabulated(circle, cycle)
    yield from _against_runs(circle, cycle, expansion, rotation)
    yield from _bifurcations()
    yield from _first_step()


@together
def _closed_forms(expansion: Scalar, rotation: Scalar) -> Iterator[Check]:
    circle = eqx.filter_jit(cycles.gaussian_cycle)(error_function, expansion, rotation)
    closed = cycles.error_function_circle(expansion, rotation)
    yield exact("circle of the error function", "5.5a", circle, closed, 1e-9)
    step = cycles.balanced_step_cycle(expansion, rotation)
    turn = jax.value_and_grad(cycles.step_quarter_turn)
    found = turn(step.crossing, expansion, rotation)
    want = step.crossing, step.quarter
    yield exact("quarter turn of the step cycle, slope", "5.5b", found, want, 1e-12)
    want = jnp.exp(-step.period)
    yield exact("its Floquet multiplier", "5.5b", step.multiplier, want, 1e-12)
    states, rates = jr.normal(jr.key(0), (100, 2)), cycles.balanced_rates(jnp.sign)
    slope = lambda s: jnp.sign(s) @ cycles.reduced_slope(rates, 0.0, rotation, s)
    slopes, want = jax.vmap(slope)(states), -jnp.sum(jnp.abs(states), axis=1)
    yield exact("step, no real term: |a| + |b| decays", "5.5c", slopes, want, 1e-12)
    turn = eqx.filter_jit(cycles.quarter_turn)
    end = turn(cycles.printed_rates, 0.0, rotation, jnp.ones(())).end
    yield always("printed system, no real term: shrinks", "5.5c", end < 1)


def _tabulated(circle: cycles.Circle, cycle: cycles.Cycle) -> Iterator[Check]:
    """Against the values of an independent evaluation, at a rotation of 4."""
    yield exact("circle of tanh", "5.5a", circle.radius, 1.3371, 1e-4)
    got, want = cycle[:4], (3.30713, 1.5830, 1.8124, 2.54587)
    yield exact("cycle of balanced signs, tanh", "5.5b", got, want, 1e-4)
    found = once(jax.vmap(lambda x: cycles.critical_rotation(jnp.tanh, x)))
    critical = found(jnp.asarray(phase.EXPANSIONS))
    yield exact("critical rotations, tanh", "5.5b", critical, phase.CRITICAL, 1e-4)
    printed = once(cycles.reduced_cycle)
    for real, *want in phase.PRINTED:
        got = printed(cycles.printed_rates, jnp.asarray(real), jnp.asarray(4.0))[:3]
        yield exact(f"printed system, real term {real}", "5.5c", got, want, 2e-4)


@soon
def _turns(
    planes: Planes, kind: Float[Array, ""], expansion: Scalar, rotation: Scalar
) -> Turning:
    """Late turns of one plane with one of `TRANSFERS`, constant short steps."""
    transfer = lambda x: jax.lax.switch(kind.astype(jnp.int32), TRANSFERS, x)
    times = STEP * jnp.arange(1.0, 1401.0)
    start = 1.5 * SIZE**0.5 * planes[0, 0]
    network = plane_network(planes, expansion, rotation, transfer)
    overlaps = recall(network, start, times, step=STEP).overlaps
    return turning(times[700:], overlaps[700:])


def _against_runs(
    circle: cycles.Circle, cycle: cycles.Cycle, expansion: Scalar, rotation: Scalar
) -> Iterator[Check]:
    """Networks of 4096 neurons beside their infinite or exact reductions."""
    planes = _planes("gaussian", 1, SIZE, jr.key(1), orthonormal=True)
    gaussian = {
        "tanh": circle,
        "error function": cycles.error_function_circle(expansion, rotation),
        "step": cycles.step_circle(expansion, rotation),
    }
    for kind, (name, law) in enumerate(gaussian.items()):
        turns = _turns(planes, jnp.asarray(kind, float), expansion, rotation)
        radius = (turns.least + turns.largest) / 2
        what = f"Gaussian patterns, {name}"
        yield simulated(f"{what}: radius", "5.5a", radius, law.radius, 0.02)
        yield simulated(f"{what}: frequency", "5.5a", turns.frequency, 2.0, 5e-3)
    planes = _planes("hadamard", 1, SIZE, jr.key(1), orthonormal=True)
    balanced = {
        "tanh": (0, cycle, 1e-3),
        "step": (2, cycles.balanced_step_cycle(expansion, rotation), 1e-2),
    }
    for name, (kind, law, tolerance) in balanced.items():
        turns = _turns(planes, jnp.asarray(kind, float), expansion, rotation)
        period = 2 * jnp.pi / turns.frequency
        what = f"balanced signs, {name}"
        yield simulated(f"{what}: period", "5.5b", period, law.period, tolerance)
        for end in ("least", "largest"):
            got, want = getattr(turns, end), getattr(law, end)
            yield simulated(f"{what}: {end}", "5.5b", got, want, tolerance)


def _bifurcations() -> Iterator[Check]:
    _, turns = once(phase.near_critical)(phase.PhasePlane())
    right = (turns[0] < 0.1) & (turns[1] > 1)
    yield always("turns only above the critical rotation", "5.5b", jnp.mean(right))
    circle = lambda x: cycles.gaussian_cycle(jnp.tanh, x, 4 * x)
    circles = once(jax.vmap(circle))(jnp.asarray([0.99, 1.01]))
    right = np.asarray(circles.radius > 0) == [False, True]
    yield always("circle only above a real term of 1", "5.5a", np.mean(right))
    exponent = circles.exponent[0]
    yield exact("radial exponent at the origin", "5.5a", exponent, -0.01, 1e-6)
    config = phase.PhasePlane(size=SIZE, steps=(0.04, 0.01))
    over = once(phase.chattering)(config, jr.key(2))
    ratio = 2 * over[0] / over[1]
    yield simulated("Euler artefact at four times the step", "5.5d", ratio, 2.0, 0.02)
    yield simulated("Euler artefact at 0.01 over its law", "5.5d", over[1], 1.0, 0.02)


@once
def _wrong(key: Key[Array, ""]) -> Float[Array, " coding"]:
    """Share of wrong signs one update after each of 200 vectors, 1000 neurons."""
    planes = jr.rademacher(key, (100, 2, 1000), dtype=float)
    first, second = planes[:, 0].T, planes[:, 1].T
    next_ones = {plane_field: -second, pattern_field: first}
    missed = [updated(field, planes, first) != x for field, x in next_ones.items()]
    return jnp.stack([jnp.mean(jnp.where(x, 1.0, 0.0)) for x in missed])


def _first_step() -> Iterator[Check]:
    wrong = jnp.stack([_wrong(key) for key in jr.split(jr.key(3), 12)])
    law = first_step_error(199 / 999)  # the others only, self-connections removed
    for name, samples in zip(("planes", "patterns"), wrong.T, strict=True):
        yield expectation(f"wrong signs after one step, {name}", "5.8", samples, law)
