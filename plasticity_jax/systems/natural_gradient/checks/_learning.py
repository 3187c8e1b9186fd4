"""Mean-field learning curves beside matrix equations and beside simulation (T9)."""

import dataclasses
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.scipy as jsp
from jaxtyping import Array, Float

from .... import Scalar
from ....circuits import input_moments
from ....experiment import Check, exact, simulated
from ..config import Config
from ..experiments.learning import learning_curves
from ..mean_field import (
    BIN,
    divergence_curve,
    Landscape,
    landscape,
    PREDICTED,
    time_to_threshold,
)


Matrix = Float[Array, "n n"]
TASK = Config(
    euclidean_rate=1.5e-5,
    natural_rate=2e-2,
    approximate_rate=1.5e-2,
    size=10,
    seconds=1500,
    record_seconds=10,
    step=5e-3,
    substeps=10,
    tests=400,
)
SEEDS = 12


def learning_checks() -> Iterator[Check]:
    """Closed forms against the matrix equation they solve, floors against runs."""
    yield from _matrix_checks()
    yield from _time_checks()
    yield from _run_checks()


def _solution(
    here: Landscape, drift: Matrix, noise: Matrix, rate: Scalar, time: Scalar
) -> Scalar:
    r"""$\frac{dt}2\mathrm{tr}(GC(t))$ from $\dot C = -\eta(AC + CA^\top) + \eta^2 N$.

    By the exponential of the whole linear map on matrices.
    """
    count = len(drift)
    eye = jnp.eye(count)
    map_ = -rate * (jnp.kron(drift, eye) + jnp.kron(eye, drift))
    forcing = rate**2 * noise.reshape(-1, 1)
    whole = jnp.block([[map_, forcing], [jnp.zeros((1, count**2 + 1))]])
    start = jnp.append(here.spread * eye.ravel(), 1.0)
    after = (jsp.linalg.expm(time * whole) @ start)[:-1].reshape(count, count)
    return BIN / 2 * jnp.trace(_fisher(here) @ after)


def _fisher(here: Landscape) -> Matrix:
    outer = jnp.outer(here.mean, here.mean)
    return here.curvature * (jnp.diag(here.variance) + outer)


def _matrix_checks() -> Iterator[Check]:
    config = eqx.tree_at(lambda c: c.uniform, TASK, jnp.asarray(0.8))
    here = landscape(config)
    matrix = _fisher(here)
    times = jnp.asarray([3.0, 30.0, 300.0])
    e = here.mean / here.variance
    gap = 1 - config.uniform
    drift = jnp.eye(config.size) + gap * jnp.outer(e, here.mean)
    noise = jnp.diag(1 / here.variance) + gap**2 * jnp.outer(e, e)
    cases = {
        "euclidean": (matrix, matrix, config.euclidean_rate),
        "natural": (jnp.eye(config.size), jnp.linalg.inv(matrix), config.natural_rate),
        "approximate": (drift, noise / here.curvature, config.approximate_rate),
    }
    for student, (a, n, rate) in cases.items():
        want = jnp.stack([_solution(here, a, n, rate, t) for t in times])
        got = divergence_curve(config, student, times)
        yield exact(f"mean-field curve, {student}", "T9", got, want, 1e-9)
    late = jnp.asarray([1e9])
    yield exact(
        "Euclidean floor is eta dt tr G / 4",
        "T9",
        divergence_curve(config, "euclidean", late),
        config.euclidean_rate * BIN * jnp.trace(matrix) / 4,
    )
    yield exact(
        "natural floor is eta n dt / 4",
        "T9",
        divergence_curve(config, "natural", late),
        config.natural_rate * config.size * BIN / 4,
    )
    q = jnp.vdot(here.mean, e)
    edge = jnp.eye(config.size) - (1 / q) * jnp.outer(e, here.mean)
    least = jnp.min(jnp.abs(jnp.linalg.eigvals(edge)))
    yield exact("stability ends at c_u = 1 + 1/q", "T9", 1 + least, 1.0)


def _time_checks() -> Iterator[Check]:
    config = Config()
    for student, minutes in {
        "euclidean": 51.2,
        "natural": 18.0,
        "approximate": 19.0,
    }.items():
        time = time_to_threshold(config, student) / 60
        yield simulated(
            f"minutes to the threshold, {student}",
            "T9, by other means",
            time,
            minutes,
            0.02,
        )
    names = ("rate_factor", "high_rate", "synaptic_time", "uniform")
    here = jnp.stack([getattr(config, name) for name in names])

    @jax.jit
    def times(values: Float[Array, " name"]) -> Float[Array, " student"]:
        moved = dataclasses.replace(config, **dict(zip(names, values, strict=True)))
        return jnp.stack([time_to_threshold(moved, s) for s in PREDICTED[1:]])

    slopes = jax.jacfwd(times)(here)
    for i, name in enumerate(names):
        step = jnp.zeros_like(here).at[i].set(1e-4 * here[i])
        secant = (times(here + step) - times(here - step)) / (2 * step[i])
        yield exact(
            f"derivative of the times by {name}, secant",
            "T9",
            slopes[:, i],
            secant,
            1e-4,
        )


def _run_checks() -> Iterator[Check]:
    keys = jr.split(jr.key(0), SEEDS)
    seen = eqx.filter_jit(jax.vmap(lambda key: learning_curves(TASK, key)))(keys)
    settled = jnp.mean(seen["divergence"][:, :, -75:], axis=(0, 2))
    late = jnp.asarray([1e5])
    for place in (1, 2):
        student = TASK.students[place]
        predicted = divergence_curve(TASK, student, late)[0]
        yield simulated(
            f"floor of a run, {student}", "T9", settled[place], predicted, 0.15
        )
    moments = input_moments(TASK.rates, TASK.kernel)
    yield exact(
        "q is the bound of mean^2 / variance",
        "Eq. 36",
        jnp.sum(moments.mean**2 / moments.variance),
        2 * (TASK.membrane_time + TASK.synaptic_time) * jnp.sum(TASK.rates),
    )
