"""Pictures of what is left of a memory in synapses that never stop changing."""

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


COLORS = {"imaginary": SHADES[0], "real": SHADES[2]}
AFTER = "time after embedding (neural time constants)"


def _name(rule: Any) -> str:
    return str(rule).replace("_", " ").capitalize()


def _shares(data: xarray.Dataset) -> xarray.DataArray:
    from ..experiments.erosion import retained

    return retained(data)


def erosion(data: xarray.Dataset) -> Figure:
    """Figures 2c-e: what is left of either memory, and spectra around it."""
    rules = ("dissipation", "rate_control", "decorrelation")
    figure, axes = panels(len(rules), 3, 3.7, 2.7)
    left = _shares(data).mean("seed")
    random = float(data.initial_gain.max())
    for row, rule in zip(axes, rules, strict=True):
        for memory, color in COLORS.items():
            for gain, style in zip(data.initial_gain.values, (":", "-"), strict=False):
                course = left.sel(rule=rule, memory=memory, initial_gain=gain)
                label = f"{memory}, g = {gain:g}"
                row[0].plot(course.time, course, style, color=color, label=label)
        if rule == "dissipation":
            law = {"color": THEORY, "lw": 1, "label": "exp(-eta beta t)"}
            row[0].plot(data.time, data.predicted, "--", **law)
        row[0].set_xscale("symlog", linthresh=1.0)
        row[0].set(xlabel=AFTER, ylabel="share of the memory left", title=_name(rule))
        row[0].set(ylim=(-0.3, 1.3))
        for panel, memory in zip(row[1:], ("real", "imaginary"), strict=True):
            here = data.sel(rule=rule, memory=memory, initial_gain=random)
            _spectra(panel, here.isel(seed=0))
            panel.set(title=f"{memory.capitalize()} memory, g = {random:g}")
    axes[0, 0].legend(frameon=False, fontsize="x-small", loc="lower left")
    axes[0, 2].legend(frameon=False, fontsize="x-small", loc="upper right")
    return figure


def _spectra(panel: Axes, data: xarray.Dataset) -> None:
    """Eigenvalues of one run at three moments, the memory's own ringed."""
    moments = {"embedded": SHADES[2], "after 100": SHADES[1], "end": SHADES[0]}
    for k, (moment, color) in enumerate(moments.items()):
        values = data.spectrum.sel(snapshot=moment)
        x, y = values.sel(part="real"), values.sel(part="imaginary")
        panel.plot(x, y, ".", ms=4 - k, color=color, label=moment)
        own = data.eigenvalue.sel(snapshot=moment)
        x, y = own.sel(part="real"), own.sel(part="imaginary")
        panel.plot(x, y, "o", ms=7 + 2 * k, mfc="none", color=color)
    panel.set(xlabel="real part", ylabel="imaginary part")


def traces(data: xarray.Dataset) -> Figure:
    """Figure 1b: potentials and synapses in time, either active rule."""
    figure, axes = panels(2, data.sizes["rule"], 4.6, 1.9)
    for column, rule in enumerate(("rate_control", "decorrelation")):
        here = data.sel(rule=rule).isel(seed=0)
        for row, (name, label) in enumerate(
            {"potential": "potential - mean", "weight": "synapse - mean"}.items()
        ):
            panel = axes[row, column]
            for trace in range(here.sizes["trace"]):
                values = here[name].isel(trace=trace)
                values = values - values.mean()
                panel.plot(here.time, values, color=SHADES[trace], lw=0.8)
            panel.set(ylabel=label, xlim=(0.0, float(here.time[-1])))
        axes[0, column].set(title=_name(rule))
        axes[1, column].set(xlabel="time (neural time constants)")
    return figure


def turnover(data: xarray.Dataset) -> Figure:
    """Synapses against themselves, the memory, and the two parts of the change."""
    figure, axes = panels(1, 3, 3.6, 2.7)
    likeness, kept, moved = axes[0]
    gains = data.gain.values
    left = _shares(data).mean("seed")
    since = data.later - float(data.later[0]) + float(data.later.diff("later")[0])
    for gain, color in zip(gains, SHADES, strict=False):
        here = data.sel(gain=gain, memory="imaginary").mean("seed")
        label = f"c = {gain:g}"
        likeness.plot(since, here.likeness, color=color, label=label)
        course = left.sel(gain=gain)
        kept.plot(data.time, course.sel(memory="imaginary"), color=color, label=label)
        kept.plot(data.time, course.sel(memory="real"), ":", color=color)
        for change, style in {"symmetric": ":", "antisymmetric": "-"}.items():
            moved.loglog(since, here.moved.sel(change=change), style, color=color)
    moved.plot(since, data.predicted, "--", color="black", lw=1, label="noise alone")
    moved.plot([], [], ":", color=THEORY, label="symmetric part")
    moved.plot([], [], "-", color=THEORY, label="anti-symmetric part")
    moved.set_ylim(top=2.0)
    likeness.set(ylabel="correlation with earlier self", title="Synapses")
    kept.set(ylabel="share left", title="Memory (dotted: real)", xlabel=AFTER)
    moved.set(ylabel="rms change of a synapse", title="Turnover")
    for panel in (likeness, moved):
        panel.set(xlabel="time apart (neural time constants)")
    likeness.legend(frameon=False, fontsize="x-small")
    moved.legend(frameon=False, fontsize="x-small", loc="upper left")
    return figure


def variants(data: xarray.Dataset) -> Figure:
    """Share of either memory and norm of the weights under every rate rule."""
    rules = list(data.rule.values)
    figure, axes = panels(2, len(rules), 2.7, 2.2)
    left = _shares(data).where(data.norm < float(data.norm.max()))
    for column, rule in enumerate(rules):
        top, bottom = axes[:, column]
        for memory, color in COLORS.items():
            for seed in range(min(4, data.sizes["seed"])):
                here = {"rule": rule, "memory": memory, "seed": data.seed.values[seed]}
                label = memory if seed == 0 else None
                top.plot(data.time, left.sel(here), color=color, lw=1, label=label)
                bottom.semilogy(data.time, data.norm.sel(here), color=color, lw=1)
        top.set(title=_name(rule), ylim=(-1.0, 2.5))
        bottom.set(ylim=(1.0, 2e3), xlabel="time after embedding")
    axes[0, 0].set(ylabel="share of the memory left")
    axes[1, 0].set(ylabel="norm of the weights")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


def filters(data: xarray.Dataset) -> Figure:
    """Imaginary memories under each filter, and the edge of the spectrum."""
    figure, axes = panels(1, 2, 3.8, 2.8)
    memory, edge = axes[0]
    names = ("c = 1.0", "c = 0.9", "c = 0.5", "published", "low-pass")
    ends = [float(data.time[0]), float(data.time[-1])]
    for name, color in zip(names, SHADES, strict=False):
        here = data.sel(filter=name).mean("seed")
        memory.plot(data.time, here.coefficient, color=color, label=name)
        edge.plot(ends, here.edge, "o-", ms=4, color=color)
    law = {"color": "black", "lw": 1, "label": "eta B t"}
    edge.plot(data.time, data.escape, "--", **law)
    memory.set(xlabel=AFTER, ylabel="strength of the imaginary memory", ylim=(0, 6))
    edge.set(xlabel=AFTER, ylabel="largest real part of the spectrum")
    memory.legend(frameon=False, fontsize="x-small", loc="lower left")
    edge.legend(frameon=False, fontsize="x-small")
    return figure


def integrators(data: xarray.Dataset) -> Figure:
    """Imaginary memories under Euler steps and RK4, every seed."""
    gains = data.initial_gain.values
    figure, axes = panels(1, len(gains), 3.8, 2.8)
    names = {"rk4": ("fourth order", SHADES[0]), "euler": ("Euler", SHADES[2])}
    for panel, gain in zip(axes[0], gains, strict=True):
        for name, (label, color) in names.items():
            courses = data.coefficient.sel(integrator=name, initial_gain=gain)
            for k, course in enumerate(courses.transpose("seed", "time").values):
                first = label if k == 0 else None
                panel.plot(data.time, course, color=color, lw=1, label=first)
        limit = float(data.limit)
        panel.axhline(limit, ls="--", color=THEORY, lw=1, label="Euler's limit")
        panel.set(title=f"Initial gain {gain:g}", xlabel=AFTER, ylim=(3.0, 5.5))
        panel.set_xscale("symlog", linthresh=100.0)
        panel.set_xlim(0.0, float(data.time[-1]))
    axes[0, 0].set(ylabel="strength of the imaginary memory")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


def sparse(data: xarray.Dataset) -> Figure:
    """Supplementary Fig. 1: outliers and shares left against density, either rule."""
    figure, axes = panels(2, data.sizes["rule"], 3.8, 2.6)
    mean = data.mean("seed")
    for column, rule in enumerate(("rate_control", "decorrelation")):
        top, bottom = axes[:, column]
        for memory, color in COLORS.items():
            here = mean.sel(rule=rule, memory=memory)
            for end, style in {"embedded": "o-", "end": "s:"}.items():
                label = f"{memory}, {'at embedding' if end == 'embedded' else end}"
                values = here.outlier.sel(end=end)
                top.plot(data.density, values, style, ms=4, color=color, label=label)
            bottom.plot(data.density, here.left, "o-", ms=4, color=color)
        top.plot(data.density, data.predicted, "--", color=THEORY, lw=1, label="p a")
        radius = mean.radius.sel(rule=rule)
        top.plot(data.density, radius, color="black", lw=1, label="radius of the bulk")
        top.set(title=_name(rule), ylabel="outlier")
        bottom.set(xlabel="density p", ylabel="share left at the end")
        bottom.set(ylim=(-0.1, 1.15))
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


def phase(data: xarray.Dataset) -> Figure:
    """Share left of imaginary and real memories over noise, homeostasis, density."""
    densities = data.density.values
    figure, axes = panels(2, len(densities), 2.9, 2.6)
    left = data.left.mean("seed").transpose("memory", "density", ...)
    shades = Normalize(0.0, 1.0)
    for row, memory in zip(axes, ("imaginary", "real"), strict=True):
        for panel, density in zip(row, densities, strict=True):
            here = left.sel(memory=memory, density=density)
            values = here.transpose("homeostasis_gain", "noise").values
            panel.imshow(values, origin="lower", norm=shades, aspect="auto")
            noise, gain = data.noise.values, data.homeostasis_gain.values
            panel.set_xticks(np.arange(len(noise)), [f"{x:g}" for x in noise])
            panel.set_yticks(np.arange(len(gain)), [f"{x:g}" for x in gain])
            panel.set(title=f"{memory.capitalize()}, density {density:g}")
    for panel in axes[-1]:
        panel.set(xlabel="scale of the noise")
    for panel in axes[:, 0]:
        panel.set(ylabel="strength of homeostasis")
    figure.colorbar(
        ScalarMappable(shades), ax=axes, label="share of the memory left", shrink=0.8
    )
    return figure
