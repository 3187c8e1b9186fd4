"""Supplementary Figure 3: the phase plane of one stored plane, and where it cycles."""

import math
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from xarray import Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from ..config import check_positive
from ..cycles import (
    critical_rotation,
    euler_radius,
    euler_threshold,
    printed_rates,
    quarter_turn,
    reduced_cycle,
)
from ..patterns import draw_planes, Planes
from ..retrieval import plane_network, radii, recall, turning


STARTS = (0.2, 3.0)  # radii inside and outside
EXPANSIONS = (1.2, 1.5, 2.0, 3.0, 4.0)
CRITICAL = (0.0798, 0.2299, 0.5427, 1.3040, 2.1472)  # rotations, from the specification
PRINTED = ((0.5, 0.7875, 0.6181, 0.6416), (1.0, 1.5751, 1.2337, 1.2850))
NEAR = (0.9, 1.1)  # of a rotation where something changes
EULER_STEP = 0.1  # of the published code
SAMPLING = 0.02
TERMS = WITH, WITHOUT = ("real term", "no real term")
CYCLE = {"period": 3.30713, "least radius": 1.5830, "largest radius": 1.8124}


class PhasePlane(AbstractConfig):
    r"""One plane of four neurons, balanced: exactly the reduced system.

    $\rho$ = `rotation`, $\alpha$ = `expansion`. `size` neurons with Gaussian patterns
    show what explicit steps of lengths `steps` make of a step function.
    """

    rotation: Scalar = eqx.field(default=4.0, converter=real)
    expansion: Scalar = eqx.field(default=2.0, converter=real)
    size: int = eqx.field(default=4096, static=True)
    steps: tuple[float, ...] = eqx.field(default=(0.1, 0.01, 0.001), static=True)
    slow: float = eqx.field(default=1000.0, static=True)  # time near critical rotations

    def __check_init__(self) -> None:
        require(self, rotation=(1e-9, math.inf), expansion=(0.0, math.inf))
        check_positive(self, "size", "steps", "slow")


def balanced_plane() -> Planes:
    """Four neurons, one for each pair of signs."""
    return draw_planes("hadamard", 1, 4, jr.key(0))


def phase_plane(config: PhasePlane, key: Key[Array, ""]) -> dict[str, Array]:
    """Everything that the supplementary note says about one plane.

    `path` (term, start, time, axis) with the real term and without it, tanh, `kept`
    (term) their radius at time 10 over the start; `cycle` (period, least, largest
    radius) with the real term; `critical` rotations and `turns` near them (side,
    strength); `printed` (row, what) and `shrinks`; `chattering` (step) over its law and
    `grows` (side) for explicit steps.
    """
    times = SAMPLING * jnp.arange(1.0, 2001.0)
    late = len(times) // 2
    ten = round(10 / SAMPLING) - 1
    terms = jnp.stack([config.expansion, jnp.zeros_like(config.expansion)])
    starts = jnp.asarray(STARTS, terms.dtype)
    at = jax.vmap(path, (None, None, 0, None))
    paths = jax.vmap(at, (None, 0, None, None))(config.rotation, terms, starts, times)
    turns = turning(times[late:], paths[0, 0, late:])
    kept = jnp.max(radii(paths[:, :, ten])[..., 0] / starts[None], axis=1)
    critical, around = near_critical(config)
    return {
        "path": paths,
        "cycle": jnp.stack([2 * jnp.pi / turns.frequency, turns.least, turns.largest]),
        "kept": kept,
        "critical": critical,
        "turns": around,
        "printed": printed(config),
        "shrinks": quarter_turn(printed_rates, 0.0, config.rotation, starts[0]).end
        / starts[0],
        "chattering": chattering(config, key),
        "grows": growing(),
    }


def path(
    rotation: Scalar, expansion: Scalar, start: Scalar, times: Float[Array, " time"]
) -> Float[Array, "time 2"]:
    """Overlaps of a balanced plane with tanh, from `start` on the first axis."""
    planes = balanced_plane()
    network = plane_network(planes, expansion, rotation)
    return recall(network, start * 2 * planes[0, 0], times, tolerance=1e-6).overlaps


def near_critical(
    config: PhasePlane,
) -> tuple[Float[Array, " strength"], Float[Array, "side strength"]]:
    """Critical rotations, and turns in a long time just below and above each."""
    expansions = jnp.asarray(EXPANSIONS, config.rotation.dtype)
    critical = jax.lax.map(lambda x: critical_rotation(jnp.tanh, x), expansions)
    times = jnp.linspace(config.slow / 2, config.slow, 2001)

    def turns(rotation: Scalar, expansion: Scalar) -> Scalar:
        start = jnp.full_like(rotation, STARTS[0])
        course = path(rotation, expansion, start, times)
        phase = jnp.unwrap(jnp.arctan2(course[:, 1], course[:, 0]))
        return jnp.abs(phase[-1] - phase[0]) / (2 * jnp.pi)

    sides = jnp.asarray(NEAR, critical.dtype)[:, None] * critical[None]
    return critical, jax.vmap(jax.vmap(turns), (0, None))(sides, expansions)


def printed(config: PhasePlane) -> Float[Array, "row 3"]:
    """Period, least and largest radius of the printed system with real terms."""
    expansions = jnp.asarray([row[0] for row in PRINTED], config.rotation.dtype)
    at = lambda x: reduced_cycle(printed_rates, x, config.rotation)
    found = jax.lax.map(at, expansions)
    return jnp.stack([found.period, found.least, found.largest], axis=1)


def chattering(config: PhasePlane, key: Key[Array, ""]) -> Float[Array, " step"]:
    """Mean late radius without a real term, a step function, Euler, over its law."""
    planes = draw_planes("gaussian", 1, config.size, key, orthonormal=True)
    none = jnp.zeros_like(config.rotation)
    network = plane_network(planes, none, config.rotation, jnp.sign)
    start = 0.2 * config.size**0.5 * planes[0, 0]
    times = 0.1 * jnp.arange(1.0, 151.0)

    def over(step: Scalar) -> Scalar:
        """Mean radius over its law."""
        solver = diffrax.Euler()
        overlaps = recall(network, start, times, step=step, solver=solver).overlaps
        return jnp.mean(radii(overlaps[100:])) / euler_radius(config.rotation, step)

    return jax.lax.map(over, jnp.asarray(config.steps, times.dtype))


def growing() -> Float[Array, " side"]:
    """Radius after 2000 explicit steps over the start, around the threshold, tanh."""
    planes = balanced_plane()

    def kept(rotation: Scalar) -> Scalar:
        network = plane_network(planes, jnp.zeros_like(rotation), rotation)
        euler = lambda _, x: x + EULER_STEP * network(x)
        last = jax.lax.fori_loop(0, 2000, euler, 0.02 * planes[0, 0])
        return radii(network.overlaps(last))[0] / 0.01

    return jax.vmap(kept)(jnp.asarray(NEAR) * euler_threshold(EULER_STEP))


# --- cycle, period, bifurcation, and what is not a cycle but an artefact --------------


@claim(
    "Supp. Fig. 3; independent evaluation",
    low=lambda data, control, what: CYCLE[what] * (1 - 1e-3),
    high=lambda data, control, what: CYCLE[what] * (1 + 1e-3),
    each="what",
)
def of_the_cycle(data: Dataset, what: str) -> float:
    """{what} of the cycle, tanh."""
    return float(data.cycle.sel(what=what).isel(seed=0))


@claim(
    "Note 1; activity decays for every rotation",
    low=0.0,
    high=1e-3,
    control=lambda data, control: data.kept.isel(seed=0).sel(term=WITH),
)
def no_cycle_without_real_term(data: Dataset) -> float:
    """Not as in the paper: without a real term no cycle is left (radius at time 10 over
    the start, largest).
    """
    return float(data.kept.isel(seed=0).sel(term=WITHOUT))


@claim("independent evaluation", low=0.0, high=7e-4, control=None)
def critical_rotations(data: Dataset) -> float:
    """Critical rotations, largest relative difference from tabulated ones."""
    found = data.critical.isel(seed=0).values
    return float(np.max(np.abs(found / np.asarray(CRITICAL) - 1)))


@claim("saddle-node", low=1.0, high=1.0, control=None)
def turns_above(data: Dataset) -> float:
    """Turns above the critical rotation, none below (share of real terms)."""
    below, above = (data.turns.isel(seed=0).sel(side=side) for side in NEAR)
    return float(((below < 0.1) & (above > 1.0)).mean())


@claim("independent evaluation", low=0.0, high=1e-3, control=None)
def printed_system(data: Dataset) -> float:
    """Printed arctan system with a real term: period and radii, difference."""
    want = np.asarray([row[1:] for row in PRINTED])
    return float(np.max(np.abs(data.printed.isel(seed=0).values / want - 1)))


@claim("Note 1", low=0.0, high=0.999, control=None)
def printed_system_shrinks(data: Dataset) -> float:
    """Printed arctan system without a real term: radius after a quarter turn."""
    return float(data.shrinks.isel(seed=0))


@claim("Euler artefact", low=0.95, high=1.05, control=None, each="step")
def chatters(data: Dataset, step: float) -> float:
    """Explicit steps of {step:g}, no real term: radius over its law."""
    return float(data.chattering.isel(seed=0).sel(step=step))


@claim(
    "unstable above sqrt(2/step - 1)",
    low=0.0,
    high=1.0,
    control=lambda data, control: data.grows.isel(seed=0).sel(side=NEAR[1]),
)
def dies_below_the_threshold(data: Dataset) -> float:
    """Explicit steps of 0.1, tanh, no real term: growth below the threshold."""
    return float(data.grows.isel(seed=0).sel(side=NEAR[0]))


def predict(plan: Plan, keys: Any) -> Dataset:
    """The radius that explicit steps should show."""
    del keys
    config, steps = plan.config, np.asarray(plan.config.steps)
    law = np.asarray(euler_radius(config.rotation, steps))
    return Dataset({"artefact_law": ("step", law)}, {"step": steps})


def draw_phase_plane(data: Dataset) -> Figure:
    """Paths with a real term and without, critical rotations, Euler artefacts."""
    figure, axes = panels(1, 4, 3.3, 3.0)
    cycling, dying, critical, artefact = axes[0]
    one = data.isel(seed=0).sortby("step")
    for panel, term in zip((cycling, dying), TERMS, strict=True):
        for start, color in zip(data.start.values, SHADES, strict=False):
            path = one.path.sel(term=term, start=start, time=slice(0, 12))
            panel.plot(*path.values.T, color=color, lw=1, label=f"start at {start:g}")
        panel.set(title=f"tanh, {term}", xlabel="overlap with u")
        panel.set_aspect("equal", "datalim")
    cycling.set(ylabel="overlap with v")
    dying.legend(frameon=False, fontsize="small", loc="lower left")
    critical.plot(one.strength, one.critical, "o-", ms=4, c=SHADES[0], label="tanh")
    critical.plot([0, 4], [0, 4], "--", color=THEORY, label="step function")
    critical.set(title="Cycle above, fixed points below", xlabel="real term")
    critical.set(ylabel="critical rotation")
    critical.legend(frameon=False, fontsize="small", loc="upper left")
    law, radius = one.artefact_law, one.chattering * one.artefact_law
    artefact.loglog(one.step, law, "--", color=THEORY, label="theory")
    artefact.loglog(one.step, radius, "o", color=SHADES[4], label="explicit Euler")
    artefact.set(title="Step function, no real term", ylabel="radius of the artefact")
    artefact.set(xlabel="step (neural time constants)", ylim=(0.04, 2.0))
    artefact.yaxis.set_minor_formatter(NullFormatter())
    artefact.legend(frameon=False, fontsize="small", loc="upper left")
    return figure


TERM, WHAT, SIDE = {"term": TERMS}, {"what": tuple(CYCLE)}, {"side": NEAR}
STRENGTH, TIMES = {"strength": EXPANSIONS}, SAMPLING * np.arange(1, 2001)
SUPP3 = Experiment(
    name="supp3",
    source="Supp. Fig. 3, Note 1",
    shows="the phase plane of one plane: cycle, bifurcation, Euler artefacts",
    config=PhasePlane,
    run=phase_plane,
    claims=(
        of_the_cycle,
        no_cycle_without_real_term,
        critical_rotations,
        turns_above,
        printed_system,
        printed_system_shrinks,
        chatters,
        dies_below_the_threshold,
    ),
    figure=draw_phase_plane,
    control=changed(expansion=0.0),  # purely anti-symmetric connectivity throughout
    axes={
        "path": TERM | {"start": STARTS, "time": TIMES, "axis": ("u", "v")},
        "kept": TERM,
        "cycle": WHAT,
        "critical": STRENGTH,
        "turns": SIDE | STRENGTH,
        "printed": {"row": [row[0] for row in PRINTED]} | WHAT,
        "chattering": {"step": lambda config: config.steps},
        "grows": SIDE,
    },
    predict=predict,
    float64=True,
)
