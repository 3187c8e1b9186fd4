"""Figure 4: a stored plane as a limit cycle, and recall of one plane among many."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import AbstractConfig, Scalar
from ...._arguments import real, require
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ..cycles import balanced_cycle, gaussian_cycle
from ..patterns import draw_planes, Planes
from ..retrieval import plane_network, radii, recall, retrieved, turning


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
        for name in ("planes", "settle", "watch", "sampling", "tolerance"):
            if getattr(self, name) <= 0:
                value = getattr(self, name)
                raise ValueError(f"`{name}` must be positive; got {value}.")
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
    noise = jr.normal(for_start, (size,))

    def overlaps(planes: Planes) -> Float[Array, "time k"]:
        network = plane_network(planes, config.rotation, config.expansion)
        start = config.start * size**0.5 * planes[0, 0] + noise
        return recall(network, start, config.times, tolerance=config.tolerance).overlaps

    return jax.vmap(overlaps)(jnp.stack(drawn))


def without_real_term(plan: Plan) -> Plan:
    r"""Negative control: purely anti-symmetric connectivity, $\alpha = 0$.

    Also at every point of the grid, which keeps its shape and so its program.
    """
    config = dataclasses.replace(plan.config, expansion=0.0)
    grid = dict(plan.grid)
    if "expansion" in grid:
        grid["expansion"] = np.zeros_like(grid["expansion"])
    return plan._replace(config=config, grid=grid)


# --- Fig. 4a: one plane -------------------------------------------------------------


CYCLES = ("hadamard", "gaussian")
MEASURES = ("kept", "frequency", "least", "largest")


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
    """What every pattern's `frequency`, `radius`, `least`, `largest` should be."""
    cycle = balanced_cycle(jnp.tanh, config.expansion, config.rotation)
    circle = gaussian_cycle(jnp.tanh, config.expansion, config.rotation)
    by_pattern = {
        "frequency": (2 * math.pi / cycle.period, circle.frequency),
        "least": (cycle.least, circle.radius),
        "largest": (cycle.largest, circle.radius),
    }
    return {name: jnp.stack(pair) for name, pair in by_pattern.items()}


def one_plane_theory(plan: Plan, keys: Any) -> xarray.Dataset:
    """The exact cycle of balanced signs, and the circle of Gaussian patterns."""
    del keys
    laws = {
        f"predicted_{name}": ("pattern", np.asarray(law))
        for name, law in _theory(plan.config).items()
    }
    coords = {"pattern": list(CYCLES), "time": np.asarray(plan.config.times)}
    return xarray.Dataset(laws, coords)


def worst(ratio: xarray.DataArray) -> float:
    """The entry farthest from 1; NaN if any is."""
    flat = ratio.values.ravel()
    return float(flat[np.argmax(np.abs(flat - 1))])


def one_plane_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """One cycle from all starts, that of theory; none without the real term."""
    claims = []

    def add(says: str, source: str, tolerance: float, name: str, pattern: str) -> None:
        ratio = lambda runs: worst(
            runs[name].sel(pattern=pattern)
            / data[f"predicted_{name}"].sel(pattern=pattern)
        )
        low, high = 1 - tolerance, 1 + tolerance
        claims.append(
            Claim(says, source, ratio(data), low, high, control=ratio(control))
        )

    exact = "Fig. 4a; exact reduction, within 1 %"
    for name, what in {
        "least": "least radius",
        "largest": "largest radius",
        "frequency": "frequency",
    }.items():
        says = f"balanced signs, {what} of the cycle over theory, worst of all starts"
        add(says, exact, 0.01, name, "hadamard")
    source = "Fig. 4a; Gaussian closure, finite size within 2 %"
    for name, what in {"least": "least", "largest": "largest"}.items():
        says = f"Gaussian patterns, {what} radius over the circle of theory, worst"
        add(says, source, 0.02, name, "gaussian")
    says = "Gaussian patterns, frequency over rotation / expansion, worst"
    add(says, source, 0.02, "frequency", "gaussian")
    kept = lambda runs: float(runs.kept.max(skipna=False))
    says = (
        "not as in the paper: with purely anti-symmetric connectivity no cycle is left "
        "(radius at time 10 over the start, largest)"
    )
    source = "Fig. 4a; activity decays for every rotation"
    claims.append(Claim(says, source, kept(control), 0.0, 1e-3, control=kept(data)))
    return claims


def draw_one_plane(data: xarray.Dataset) -> Figure:
    """Paths in the plane and radii in time, for both kinds of patterns."""
    figure, axes = panels(2, 2, 3.6, 3.2)
    names = {"hadamard": "balanced signs", "gaussian": "Gaussian patterns"}
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
            _circle(plane, level, "theory" if bound == "least" else None)
            course.axhline(level, ls="--", color=THEORY, lw=1)
        plane.set(title=name, xlabel="overlap with u", ylabel="overlap with v")
        plane.set_aspect("equal", "datalim")
        course.set(title=name, xlabel="time (neural time constants)", ylabel="radius")
        course.set(xlim=(0, 15), ylim=(0, None))
    axes[0, 0].legend(frameon=False, fontsize="small", loc="upper right")
    return figure


def draw_many_planes(data: xarray.Dataset) -> Figure:
    """Radii of every plane in time; first seed, strengths in rows."""
    strengths = data.expansion.values
    figure, axes = panels(len(strengths), 2, 3.8, 2.6)
    for row, strength in zip(axes, strengths, strict=True):
        here = data.sel(expansion=strength).isel(seed=0)
        for panel, pattern in zip(row, data.pattern.values, strict=True):
            radius = here.radius.sel(pattern=pattern)
            others = radius.isel(plane=slice(1, None))
            panel.plot(data.seen, others, color=SHADES[5], lw=0.8, alpha=0.7)
            panel.plot(
                data.seen, radius.isel(plane=0), color=SHADES[0], label="cued plane"
            )
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


def _circle(panel: Axes, radius: float, label: str | None) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    panel.plot(x, y, "--", color=THEORY, lw=1, label=label, zorder=3)


FIG4A = Experiment(
    name="fig4a",
    source="Fig. 4a",
    shows="a stored plane with a real-coded term is a limit cycle",
    config=Retrieval,
    run=one_plane,
    claims=one_plane_claims,
    figure=draw_one_plane,
    control=without_real_term,
    dims={
        "path": ("pattern", "time", "axis"),
        **dict.fromkeys(MEASURES, ("pattern",)),
    },
    predict=one_plane_theory,
)


# --- Fig. 4b: one plane among many --------------------------------------------------


RECALLED = ("binary", "gaussian")
MEASURES_4B = ("success", "least", "largest", "others")
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


def many_planes_theory(plan: Plan, keys: Any) -> xarray.Dataset:
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
    seen = config.times[SEEN - 1 :: SEEN]
    return xarray.Dataset(
        {
            f"predicted_{name}": (dims, np.asarray(laws[name][..., 0]))
            for name in ("least", "largest")
        },
        {"pattern": list(RECALLED), "seen": np.asarray(seen)},
    )


def many_planes_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Signs recall the cued plane alone; Gaussian patterns and no real term do not."""
    share = lambda runs, pattern: float(
        runs.success.sel(pattern=pattern).mean(skipna=False)
    )
    lost = share(control, "binary")
    claims = []
    for strength in data.expansion.values:
        here = data.sel(expansion=strength)
        at = f"real term {strength:g}"
        says = f"binary patterns, {at}: cued plane above 3 x any other (share of runs)"
        claims.append(
            Claim(says, "Fig. 4b", share(here, "binary"), 0.95, 1.0, control=lost)
        )
        says = f"Gaussian patterns, {at}: the same fails (share of runs)"
        claims.append(
            Claim(
                says,
                "Fig. 4b; their mean field has no discrete attractors",
                share(here, "gaussian"),
                0.0,
                0.2,
                control=share(here, "binary"),
            )
        )
        for name in ("least", "largest"):
            law = float(here[f"predicted_{name}"])
            ratio = here[name].sel(pattern="binary") / law
            error = float(ratio.std("seed", ddof=1)) / ratio.sizes["seed"] ** 0.5
            without = float(control[name].sel(pattern="binary").mean()) / law
            value = float(ratio.mean(skipna=False))
            says = f"binary patterns, {at}: {name} radius over that of a single plane"
            claims.append(
                Claim(says, "Fig. 4b", value, 0.97, 1.03, error, control=without)
            )
    return claims


FIG4B = Experiment(
    name="fig4b",
    source="Fig. 4b",
    shows="a cue recalls one stored plane among many",
    config=Retrieval,
    run=many_planes,
    claims=many_planes_claims,
    figure=draw_many_planes,
    control=without_real_term,
    dims={
        "radius": ("pattern", "seen", "plane"),
        **dict.fromkeys(MEASURES_4B, ("pattern",)),
    },
    predict=many_planes_theory,
)
