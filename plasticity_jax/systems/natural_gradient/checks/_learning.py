"""What is learned, beside laws, matrix equations and published numbers, for `verify`.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.

Mean-field learning curves (T9), one synapse and groups of synapses (Figs. 1, 4, 5, 7).
"""

import dataclasses
import functools
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.scipy as jsp
import numpy as np
from jaxtyping import Array, Float

from .... import Scalar
from ....circuits import input_moments
from ....curvature import glm_coefficients, voltage_moments
from ....experiment import always, Check, exact, once, simulated, soon, together
from .. import mean_field
from ..config import Config
from ..experiments import map as groups
from ..experiments import single
from ..experiments.learning import learning_curves
from ..mean_field import BIN, divergence_curve, Landscape, PREDICTED, time_to_threshold
from ..potentials import stationary_potentials
from ..single_synapse import neuron_of, rule_of, SingleSynapse
from ..single_theory import heterosynaptic_boundary, heterosynaptic_ratio


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
    students=("natural", "approximate"),
)
SEEDS = 12
PLACES = (1.0, 3.0, 7.0, 10.0)  # 1/alpha
BOUNDARY = {3.0: 8.56, 3.5: 5.12, 4.0: 4.05, 4.5: 3.55, 5.0: 3.28}  # 1/n


def learning_checks() -> Iterator[Check]:
    """All of curves, single synapses and groups; run them in double precision."""
    yield from _places()
    yield from _reliability()
    yield from _groups()
    yield from _matrix_checks()
    yield from _time_checks()
    yield from _run_checks(_settled())


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


@together
def _matrix_checks() -> Iterator[Check]:
    config = eqx.tree_at(lambda c: c.uniform, TASK, jnp.asarray(0.8))
    here = mean_field.landscape(config)
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
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *cases.values())
    at = lambda case: jax.lax.map(functools.partial(_solution, here, *case), times)
    floors = {}
    for student, want in zip(cases, jax.lax.map(at, stacked), strict=True):
        got = divergence_curve(config, student, jnp.append(times, 1e9))
        yield exact(f"mean-field curve, {student}", "T9", got[:-1], want, 1e-9)
        floors[student] = got[-1]
    want = config.euclidean_rate * BIN * jnp.trace(matrix) / 4
    yield exact("Euclidean floor is eta dt tr G / 4", "T9", floors["euclidean"], want)
    want = config.natural_rate * config.size * BIN / 4
    yield exact("natural floor is eta n dt / 4", "T9", floors["natural"], want)
    q = jnp.vdot(here.mean, e)
    edge = jnp.eye(config.size) - (1 / q) * jnp.outer(e, here.mean)
    least = jnp.min(jnp.abs(jnp.linalg.eigvals(edge)))
    yield exact("stability ends at c_u = 1 + 1/q", "T9", 1 + least, 1.0)


@together
def _time_checks() -> Iterator[Check]:
    config = Config()
    names = ("rate_factor", "high_rate", "synaptic_time", "uniform")
    here = jnp.stack([getattr(config, name) for name in names])

    def times(values: Float[Array, " name"]) -> Float[Array, " student"]:
        moved = dataclasses.replace(config, **dict(zip(names, values, strict=True)))
        return jnp.stack([time_to_threshold(moved, s) for s in PREDICTED])

    steps = 1e-4 * jnp.diag(here)
    points = jnp.concatenate([here[None], here[None] + steps, here[None] - steps])
    found, *moved = jnp.split(jax.lax.map(times, points), (1, 5))
    listed = (51.2, 18.0, 19.0)
    for student, time, minutes in zip(PREDICTED, found[0] / 60, listed, strict=True):
        says = f"minutes to the threshold, {student}"
        yield simulated(says, "T9, by other means", time, minutes, 0.02)
    slopes = jax.jacfwd(times)(here)
    secants = (moved[0] - moved[1]) / (2e-4 * here)[:, None]
    for i, name in enumerate(names):
        says = f"derivative of the times by {name}, secant"
        yield exact(says, "T9", slopes[1:, i], secants[i, 1:], 1e-4)


@soon
def _settled() -> Float[Array, " student"]:
    """Mean divergence of every student in the second half of some runs."""
    keys = jr.split(jr.key(0), SEEDS)
    seen = jax.vmap(lambda key: learning_curves(TASK, key))(keys)
    return jnp.mean(seen["divergence"][:, :, -75:], axis=(0, 2))


@together
def _run_checks(settled: Float[Array, " student"]) -> Iterator[Check]:
    late = jnp.asarray([1e5])
    for floor, student in zip(settled, TASK.students, strict=True):
        predicted = divergence_curve(TASK, student, late)[0]
        yield simulated(f"floor of a run, {student}", "T9", floor, predicted, 0.15)
    moments = input_moments(TASK.rates, TASK.kernel)
    q = jnp.sum(moments.mean**2 / moments.variance)
    bound = 2 * (TASK.membrane_time + TASK.synaptic_time) * jnp.sum(TASK.rates)
    yield exact("q is the bound of mean^2 / variance", "Eq. 36", q, bound)


# --- one synapse and groups of synapses --------------------------------------------


@eqx.filter_jit
def _at_places(config: SingleSynapse, places: Array, key: Array) -> dict[str, Array]:
    """Published and fresh runs of Fig. 4, and single steps, at every place."""

    def at(place: Array) -> dict[str, Array]:
        here = dataclasses.replace(config, inverse_attenuation=place)
        neuron = neuron_of(here, refresh=0)
        activity = neuron.start(here.start)
        x, spike = jnp.full((1,), 30.0), jnp.ones(())
        signals = neuron.signals(here.start, x, spike, activity.coefficients)
        somatic = lambda name: rule_of(here, name)(here.start, signals, key)[0] / place
        return {
            "published": single.published_attenuation(here, key)["published"],
            "fresh": single.learned(here, key)["relative"],
            "natural": somatic("natural"),
            "euclidean": somatic("euclidean"),
        }

    return jax.vmap(at)(places)


@together
def _places() -> Iterator[Check]:
    places = jnp.asarray(PLACES)
    seen = _at_places(SingleSynapse(), places, jr.key(0))
    steps = seen["natural"] / seen["natural"][0]
    yield exact("natural step at the soma", "Fig. 1, Eq. 17", steps, jnp.ones(4))
    steps = seen["euclidean"] / seen["euclidean"][0]
    yield exact("Euclidean step at the soma", "Fig. 1, Eq. 44", steps, 1 / places**2)
    fresh = seen["fresh"]
    yield exact(
        "relative change, any place", "Fig. 4", fresh, fresh[:1].repeat(4), 1e-12
    )
    want = jnp.full(4, single.PRINTED_POSITION)
    yield exact("published change (%)", "Fig. 4C", seen["published"], want, 3e-7)


@once
def _at_conditions(
    config: SingleSynapse, rates: Array, times: Array, keys: Array
) -> tuple[Array, ...]:
    """Published change, law and mean drift of a weight of zero, in per cent."""

    def at(rate: Array, time: Array) -> tuple[Array, ...]:
        here = dataclasses.replace(config, rate=rate, synaptic_time=time)
        run = single.published_variance(here, keys[0])
        neuron, zero = neuron_of(here, refresh=0), jnp.zeros(1)
        spike = here.target_rate * here.step
        signals = neuron.signals(zero, jnp.ones(1), spike, neuron.coefficients(zero))
        drift = here.steps * rule_of(here, "natural")(zero, signals, keys[0])[0]
        return run["published"], run["law"], 100 * drift / here.weight

    return jax.vmap(at)(rates, times)


@soon
def _mean_change(config: SingleSynapse, keys: Array) -> Array:
    """Mean change in per cent over `keys`."""
    return jnp.mean(jax.vmap(lambda key: single.learned(config, key)["relative"])(keys))


def _reliability() -> Iterator[Check]:
    slow = SingleSynapse(learning_rate=1e-4, unit_mean=True)
    config = dataclasses.replace(slow, weight=0.01, target_rate=80.0)
    rates, times = jnp.asarray(list(single.PRINTED_VARIANCE), float).T
    keys = jr.split(jr.key(1), 256)
    published, law, drift = _at_conditions(config, rates, times / 1e3, keys)
    numbers = np.asarray(list(single.PRINTED_VARIANCE.values()))
    yield exact("published changes (%)", "Fig. 5C", published, numbers, 5e-4 / 207)
    yield exact("drift at zero weight", "variance law", drift, law)
    for rate, i in ((10.0, 5), (50.0, 9)):
        here = dataclasses.replace(config, rate=rate, synaptic_time=0.02)
        change = _mean_change(here, keys)
        quantity = f"mean change, {rate:g} Hz, 20 ms (%)"
        yield simulated(quantity, "variance law", change, law[i], 0.05)


def _first_steps(config: groups.Groups, x: Array) -> tuple[Array, Array]:
    """Changes of both groups in one step at potentials `x`, and their ratio's law."""
    neuron, rule = groups.neuron_of(config), groups.rule_of(config)
    weights = config.start
    c = neuron.coefficients(weights)
    signals = neuron.signals(weights, x, jnp.zeros(()), c)
    own, other = groups.by_group(config, rule(weights, signals, jr.key(0)))
    total = jnp.sum(neuron.rates)
    law = heterosynaptic_ratio(c, neuron.kernel, weights[0], weights[-1], total)
    return other / own, law


def _boundary(config: groups.Groups) -> Array:
    """Silent weight (1/n) that does not change; silent rates exactly zero."""
    neuron = groups.neuron_of(config)
    moments = neuron.moments
    fire = (x[: config.active] for x in (config.start, moments.mean, moments.variance))
    seen = voltage_moments(*fire)
    c = glm_coefficients(neuron.transfer, *seen, nodes=neuron.quadrature)
    return config.size * heterosynaptic_boundary(c, neuron.kernel, config.start[0])


@together
def _groups() -> Iterator[Check]:
    config = groups.Groups()
    kernel = groups.neuron_of(config).kernel
    x = stationary_potentials(config.rates, kernel, 20, jr.key(2))
    x = x[jnp.argmax(jnp.sum(x, axis=1))]
    cells = [(1.0, 1.0), (1.6, 5.0), (2.5, 2.5), (4.5, 1.0), (5.0, 5.0)]
    at = lambda own, other: groups.Groups(stimulated=own, unstimulated=other)
    own, other = jnp.asarray(cells).T
    got, want = jax.vmap(lambda *cell: _first_steps(at(*cell), x))(own, other)
    yield exact("silent / stimulated change, one step", "Fig. 7", got, want, 1e-12)
    boundary = jax.vmap(lambda own: _boundary(groups.Groups(stimulated=own)))
    places = boundary(jnp.asarray([*BOUNDARY, 1.0, 1.6, 2.5]))
    places, low = places[: len(BOUNDARY)], places[len(BOUNDARY) :]
    numbers = np.asarray(list(BOUNDARY.values()))
    says = "silent weight without change (1/n)"
    yield exact(says, "Fig. 7", places, numbers, 5e-3 / 8.56)
    none = jnp.mean(~((low >= 0) & (low <= 30)))
    yield always("no such weight below 2.5/n", "Fig. 7", none)
