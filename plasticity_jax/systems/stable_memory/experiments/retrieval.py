"""Figure 4: a stored plane as a limit cycle, and recall of one plane among many."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require
from ....experiment import (
    changed,
    Claim,
    claim,
    Experiment,
    panels,
    Plan,
    SHADES,
    THEORY,
)
from ....numerics import normal
from ..config import check_positive
from ..cycles import balanced_cycle, gaussian_cycle
from ..patterns import draw_planes, Planes
from ..retrieval import plane_network, radii, recall, retrieved, turning
from .learning import with_error


FACTOR = 3.0  # of the recalled radius over any other
LATER = 10.0  # when activity without a real term should be gone


class Retrieval(AbstractConfig):
    r"""Planes stored with $\rho$ = `rotation`, $\alpha$ = `expansion`; a cued start.

    Activity begins at radius `start` on the first axis, plus $N(0, 1)$ on every neuron.
    It is seen every `sampling` for `settle` and then `watch`, in which it is measured.
    """

    rotation: Scalar = eqx.field(default=4.0, converter=real)
    expansion: Scalar = eqx.field(default=2.0, converter=real)
    start: Scalar = eqx.field(default=0.3, converter=real)
    planes: int = eqx.field(default=1, static=True)
    size: int = eqx.field(default=4096, static=True)
    settle: float = eqx.field(default=20.0, static=True)
    watch: float = eqx.field(default=20.0, static=True)
    sampling: float = eqx.field(default=0.02, static=True)
    tolerance: float = eqx.field(default=1e-5, static=True)

    def __check_init__(self) -> None:
        require(self, rotation=(-math.inf, math.inf), expansion=(0.0, math.inf))
        require(self, start=(1e-6, math.inf))
        check_positive(self, "planes", "settle", "watch", "sampling", "tolerance")
        if self.settle < LATER:
            raise ValueError(f"`settle` must be at least {LATER}; got {self.settle}.")

    @property
    def first(self) -> int:
        """Number of samples before the watch begins."""
        return round(self.settle / self.sampling)

    @property
    def times(self) -> Float[Array, " time"]:
        """When activity is seen."""
        count = self.first + round(self.watch / self.sampling)
        return self.sampling * jnp.arange(1.0, count + 1)


def overlaps_of(
    config: Retrieval, patterns: tuple[str, ...], key: Key[Array, ""]
) -> Float[Array, "pattern time k"]:
    """Overlaps with every axis, from a start near the first one, by kind of patterns.

    A single plane is made orthonormal; several are left as drawn.
    """
    for_planes, for_start = jr.split(key)
    count, size, alone = config.planes, config.size, config.planes == 1
    drawn = [draw_planes(kind, count, size, for_planes, alone) for kind in patterns]
    noise = normal(for_start, (size,))

    def overlaps(planes: Planes) -> Float[Array, "time k"]:
        network = plane_network(planes, config.expansion, config.rotation)
        start = config.start * size**0.5 * planes[0, 0] + noise
        return recall(network, start, config.times, tolerance=config.tolerance).overlaps

    return jax.vmap(overlaps)(jnp.stack(drawn))


def without_real_term(plan: Plan) -> Plan:
    r"""Negative control: purely anti-symmetric connectivity, $\alpha = 0$.

    Also at every point of the grid, which keeps its shape and so its program.
    """
    grid = {k: 0 * x if k == "expansion" else x for k, x in plan.grid.items()}
    return changed(expansion=0.0)(plan)._replace(grid=grid)


# --- Fig. 4a: one cycle from all starts, that of theory; none without the real term ---

CYCLES = ("hadamard", "gaussian")
PATTERN = {"pattern": CYCLES}


def one_plane(config: Retrieval, key: Key[Array, ""]) -> dict[str, Array]:
    """Path and late turns, for balanced signs and for Gaussian patterns.

    `path` (pattern, time, axis); by pattern `frequency`, `least` and `largest`
    radius over whole turns, and `kept`, the radius at time 10 over the start.
    """
    times, first = config.times, config.first
    paths = overlaps_of(config, CYCLES, key)
    turns = jax.vmap(lambda path: turning(times[first:], path[first:]))(paths)
    later = radii(paths[:, round(LATER / config.sampling) - 1])[:, 0]
    return {"path": paths, "kept": later / config.start, **turns._asdict()}


@eqx.filter_jit
def _theory(config: Retrieval) -> dict[str, Array]:
    """What every pattern's `frequency`, `least` and `largest` radius should be."""
    cycle = balanced_cycle(jnp.tanh, config.expansion, config.rotation)
    circle = gaussian_cycle(jnp.tanh, config.expansion, config.rotation)
    by_pattern = {
        "frequency": (2 * math.pi / cycle.period, circle.frequency),
        "least": (cycle.least, circle.radius),
        "largest": (cycle.largest, circle.radius),
    }
    return {f"predicted_{k}": jnp.stack(pair) for k, pair in by_pattern.items()}


def one_plane_theory(plan: Plan, keys: Any) -> Dataset:
    """The exact cycle of balanced signs, and the circle of Gaussian patterns."""
    del keys
    laws = {k: ("pattern", np.asarray(x)) for k, x in _theory(plan.config).items()}
    return Dataset(laws, {"pattern": list(CYCLES)})


def worst(data: Dataset, theory: Dataset, pattern: str, what: str) -> float:
    """The entry farthest from that of theory, over it; NaN if any is."""
    name = what.split()[0]
    ratio = (data[name] / theory[f"predicted_{name}"]).sel(pattern=pattern)
    flat = ratio.values.ravel()
    return float(flat[np.argmax(np.abs(flat - 1))])


@claim(
    "Fig. 4a; exact reduction, within 1 %",
    low=0.99,
    high=1.01,
    control=lambda data, control, what: worst(control, data, "hadamard", what),
    each={"what": ("least radius", "largest radius", "frequency")},
)
def balanced_signs(data: Dataset, what: str) -> float:
    """Balanced signs, {what} of the cycle over theory, worst of all starts."""
    return worst(data, data, "hadamard", what)


OF_GAUSSIAN = (
    "least radius over the circle of theory",
    "largest radius over the circle of theory",
    "frequency over rotation / expansion",
)


@claim(
    "Fig. 4a; Gaussian closure, finite size within 2 %",
    low=0.98,
    high=1.02,
    control=lambda data, control, what: worst(control, data, "gaussian", what),
    each={"what": OF_GAUSSIAN},
)
def gaussian_patterns(data: Dataset, what: str) -> float:
    """Gaussian patterns, {what}, worst."""
    return worst(data, data, "gaussian", what)


@claim(
    "Fig. 4a; activity decays for every rotation",
    low=0.0,
    high=1e-3,
    control=lambda data, control: data.kept.max(skipna=False),
    both=True,
)
def no_cycle_is_left(data: Dataset, control: Dataset) -> float:
    """Not as in the paper: with purely anti-symmetric connectivity no cycle is left
    (radius at time 10 over the start, largest).
    """
    return float(control.kept.max(skipna=False))


def draw_one_plane(data: Dataset) -> Figure:
    """Paths in the plane and radii in time, for both kinds of patterns."""
    figure, axes = panels(2, 2, 3.6, 3.2)
    names = {"hadamard": "balanced signs", "gaussian": "Gaussian patterns"}
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for row, (pattern, name) in enumerate(names.items()):
        here = data.sel(pattern=pattern).isel(seed=0)
        plane, course = axes[row]
        for k, start in enumerate(data.start.values):
            path = here.path.sel(start=start)
            color = SHADES[k % len(SHADES)]
            early = path.sel(time=slice(0, 10))
            plane.plot(*early.values.T, color=color, lw=1, label=f"start at {start:g}")
            radius = np.hypot(*path.values.T)
            course.plot(data.time, radius, color=color, lw=1)
        for bound in ("least", "largest"):
            level = float(here[f"predicted_{bound}"])
            label = "theory" if bound == "least" else None
            plane.plot(*level * circle, "--", color=THEORY, lw=1, label=label, zorder=3)
            course.axhline(level, ls="--", color=THEORY, lw=1)
        plane.set(title=name, xlabel="overlap with u", ylabel="overlap with v")
        plane.set_aspect("equal", "datalim")
        course.set(title=name, xlabel="time (neural time constants)", ylabel="radius")
        course.set(xlim=(0, 15), ylim=(0, None))
    axes[0, 0].legend(frameon=False, fontsize="small", loc="upper right")
    return figure


def draw_many_planes(data: Dataset) -> Figure:
    """Radii of every plane in time; first seed, strengths in rows."""
    strengths = data.expansion.values
    figure, axes = panels(len(strengths), 2, 3.8, 2.6)
    for row, strength in zip(axes, strengths, strict=True):
        here = data.sel(expansion=strength).isel(seed=0)
        for panel, pattern in zip(row, data.pattern.values, strict=True):
            radius = here.radius.sel(pattern=pattern)
            cued, others = radius.sel(plane="cued"), radius.drop_sel(plane="cued")
            panel.plot(data.seen, others, color=SHADES[5], lw=0.8, alpha=0.7)
            panel.plot(data.seen, cued, color=SHADES[0], label="cued plane")
            for bound in ("least", "largest"):
                level = float(here[f"predicted_{bound}"])
                panel.axhline(level, ls="--", color=THEORY, lw=1)
            panel.set(title=f"{pattern} patterns, real term {strength:g}")
            panel.set(xlabel="time (neural time constants)", ylabel="radius")
            panel.set(ylim=(0, 1.15 * float(here.predicted_largest)))
    axes[0, 1].plot([], [], color=SHADES[5], label="other planes")
    axes[0, 1].plot([], [], "--", color=THEORY, label="single plane, theory")
    axes[0, 1].legend(frameon=False, fontsize="small", loc="upper right")
    return figure


FIG4A = Experiment(
    name="fig4a",
    source="Fig. 4a",
    shows="a stored plane with a real-coded term is a limit cycle",
    config=Retrieval,
    run=one_plane,
    claims=(balanced_signs, gaussian_patterns, no_cycle_is_left),
    figure=draw_one_plane,
    control=without_real_term,
    axes={
        "path": PATTERN | {"time": lambda config: config.times, "axis": ("u", "v")},
        **dict.fromkeys(("kept", "frequency", "least", "largest"), PATTERN),
    },
    predict=one_plane_theory,
)


# --- Fig. 4b: signs recall the cued plane alone; Gaussian patterns do not -------------

RECALLED = ("binary", "gaussian")
SEEN = 10  # samples between the radii that are kept


def many_planes(config: Retrieval, key: Key[Array, ""]) -> dict[str, Array]:
    """Radii of all planes after a cue to the first, for signs and Gaussian patterns.

    `radius` (pattern, seen, plane) at one sample in 10; by pattern, in the watch:
    `success` (mean radii), `least` and `largest` radius of the first plane, largest of
    any other (`others`).
    """
    radius = radii(overlaps_of(config, RECALLED, key))
    late = radius[:, config.first :]
    cue = jnp.full((len(RECALLED),), config.start)
    success = retrieved(jnp.mean(late, axis=1), cue, FACTOR)
    return {
        "radius": radius[:, SEEN - 1 :: SEEN],
        "success": jnp.where(success, 1.0, 0.0),
        "least": jnp.min(late[:, :, 0], axis=1),
        "largest": jnp.max(late[:, :, 0], axis=1),
        "others": jnp.max(late[:, :, 1:], axis=(1, 2)),
    }


def many_planes_theory(plan: Plan, keys: Any) -> Dataset:
    """Radii of a single plane of balanced signs at every `expansion` of the grid."""
    del keys
    config, dims = plan.config, ()
    if "expansion" in plan.grid:
        dims = ("expansion",)
        values = jnp.asarray(plan.grid["expansion"], config.rotation.dtype)
        at = lambda x: _theory(dataclasses.replace(config, expansion=x))
        laws = jax.lax.map(at, values)
    else:
        laws = _theory(config)
    radii = ("predicted_least", "predicted_largest")
    return Dataset({name: (dims, np.asarray(laws[name][..., 0])) for name in radii})


def share(data: Dataset, pattern: str) -> float:
    """The share of runs in which the cued plane alone is recalled."""
    return float(data.success.sel(pattern=pattern).mean(skipna=False))


@claim(
    "Fig. 4b",
    low=0.95,
    high=1.0,
    control=lambda data, control, expansion: share(control, "binary"),
    each="expansion",
)
def signs_are_recalled(data: Dataset, expansion: float) -> float:
    """Binary patterns, real term {expansion:g}: cued plane above 3 x any other (share
    of runs).
    """
    return share(data.sel(expansion=expansion), "binary")


@claim(
    "Fig. 4b; their mean field has no discrete attractors",
    low=0.0,
    high=0.2,
    control=lambda data, control, x: share(data.sel(expansion=x), "binary"),
    each="expansion",
)
def gaussian_patterns_are_not(data: Dataset, expansion: float) -> float:
    """Gaussian patterns, real term {expansion:g}: the same fails (share of runs)."""
    return share(data.sel(expansion=expansion), "gaussian")


def over_one(bound: str) -> Claim:
    """A claim: a radius of the cued plane is that of a single plane."""
    radius = lambda data: data[bound].sel(pattern="binary")
    law = lambda data, x: float(data[f"predicted_{bound}"].sel(expansion=x))
    return Claim(
        f"{bound}_radius",
        f"Binary patterns, real term {{expansion:g}}: {bound} radius over that of a "
        "single plane",
        "Fig. 4b",
        lambda data, x: with_error(radius(data).sel(expansion=x) / law(data, x)),
        0.97,
        1.03,
        lambda data, control, x: (
            float(radius(control).mean(skipna=False)) / law(data, x)
        ),
        "expansion",
    )


KIND = {"pattern": RECALLED}
RADIUS = {
    "seen": lambda config: config.times[SEEN - 1 :: SEEN],
    "plane": lambda config: ["cued", *map(str, range(2, config.planes + 1))],
}
FIG4B = FIG4A._replace(
    name="fig4b",
    source="Fig. 4b",
    shows="a cue recalls one stored plane among many",
    run=many_planes,
    claims=(
        signs_are_recalled,
        gaussian_patterns_are_not,
        over_one("least"),
        over_one("largest"),
    ),
    figure=draw_many_planes,
    axes={
        "radius": KIND | RADIUS,
        **dict.fromkeys(("success", "least", "largest", "others"), KIND),
    },
    predict=many_planes_theory,
)
