"""Pictures of Fig. 4 and of Supplementary Figs. 3 and 4."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from ....experiment import panels, SHADES, THEORY


def one_plane(data: xarray.Dataset) -> Figure:
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


def many_planes(data: xarray.Dataset) -> Figure:
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


def capacity(data: xarray.Dataset) -> Figure:
    """Recall against load, by map and in continuous time; errors of the first step."""
    figure, axes = panels(1, 3, 3.8, 3.0)
    mapped, lasting, errors = axes[0]
    for coding, color in zip(data.coding.values, SHADES, strict=False):
        here = data.sel(coding=coding).mean("seed")
        for size, style in zip(data.neurons.values, ("--", "-"), strict=True):
            success, label = here.success.sel(neurons=size), f"{coding}, {size} neurons"
            mapped.plot(data["load"], success, style, color=color, label=label)
        lasting.plot(data["load"], here.lasting, "o-", ms=3, color=color, label=coding)
        wrong = here.wrong.isel(neurons=-1)
        errors.semilogy(data["load"], wrong, "o", ms=4, color=color, label=coding)
    errors.semilogy(
        data["load"], data.predicted_wrong, "--", color=THEORY, label="theory"
    )
    mapped.set(title="Synchronous map", ylabel="share recalled")
    lasting.set(title="Continuous time", ylabel="share recalled")
    errors.set(title="First step", ylabel="share of wrong signs", ylim=(1e-4, None))
    for panel in (mapped, lasting):
        panel.axhline(0.5, color=THEORY, lw=0.6)
    for panel in axes[0]:
        panel.set(xlabel="stored vectors per neuron")
    mapped.legend(frameon=False, fontsize="x-small", loc="lower left")
    lasting.legend(frameon=False, fontsize="small", loc="upper right")
    errors.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


def phase_plane(data: xarray.Dataset) -> Figure:
    """Paths with a real term and without, critical rotations, Euler artefacts."""
    figure, axes = panels(1, 4, 3.3, 3.0)
    cycling, dying, critical, artefact = axes[0]
    one = data.isel(seed=0)
    for panel, term in ((cycling, "real term"), (dying, "no real term")):
        for start, color in zip(data.start.values, SHADES, strict=False):
            path = one.path.sel(term=term, start=start, time=slice(0, 12))
            panel.plot(*path.values.T, color=color, lw=1, label=f"start at {start:g}")
        panel.set(title=f"tanh, {term}", xlabel="overlap with u")
        panel.set_aspect("equal", "datalim")
    cycling.set(ylabel="overlap with v")
    dying.legend(frameon=False, fontsize="small", loc="lower left")
    critical.plot(
        data.strength, one.critical, "o-", ms=4, color=SHADES[0], label="tanh"
    )
    critical.plot([0, 4], [0, 4], "--", color=THEORY, label="step function")
    critical.set(title="Cycle above, fixed points below", xlabel="real term")
    critical.set(ylabel="critical rotation")
    critical.legend(frameon=False, fontsize="small", loc="upper left")
    steps = data.step.values
    law = one.artefact_law.values
    artefact.loglog(steps, law, "--", color=THEORY, label="theory")
    radius = one.chattering * law
    artefact.loglog(steps, radius, "o", color=SHADES[4], label="explicit Euler")
    artefact.set(title="Step function, no real term", ylabel="radius of the artefact")
    artefact.set(xlabel="step (neural time constants)", ylim=(0.04, 2.0))
    artefact.yaxis.set_minor_formatter(NullFormatter())
    artefact.legend(frameon=False, fontsize="small", loc="upper left")
    return figure
