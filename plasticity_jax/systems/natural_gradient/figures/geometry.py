"""Pictures of Figs. 1 and 8, 3D-E and 12A-B."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._panels import APPROXIMATE, EUCLIDEAN, NATURAL, panels, SHADES, THEORY


LEVELS = (0.001, 0.003, 0.005, 0.009, 0.015, 0.02, 0.03, 0.04)


def coordinates(data: xarray.Dataset) -> Figure:
    """Somatic effects, paths in three parametrisations, their gap, terms of a step."""
    from ..experiments.geometry import INVERSE_ATTENUATIONS

    figure, axes = panels(1, 5, 3.1, 2.9)
    effects, *paths, gaps, bars = axes[0]
    ratio = data.ratio.isel(seed=0)
    inverse = np.asarray(INVERSE_ATTENUATIONS)
    effects.loglog(
        inverse, inverse**-2, "--", color=THEORY, label="attenuation squared"
    )
    for k, (name, color) in enumerate(
        {"Euclidean": EUCLIDEAN, "natural": NATURAL}.items()
    ):
        effects.loglog(inverse, ratio.isel(rule=k), "o", ms=4, color=color, label=name)
        _paths(paths[k], data.isel(seed=0), k, f"{name.capitalize()} descent")
    effects.set(
        xlabel="1 / attenuation",
        ylabel="effect of a dendritic step\n/ effect of a somatic one",
    )
    effects.legend(frameon=False, fontsize="small", loc="lower left")
    paths[0].legend(frameon=False, fontsize="small", loc="lower left")
    halved = 2.0 ** -np.arange(data.sizes["halving"])
    gap = data.gap.mean("seed").values
    linear = data.linear_gap.mean("seed").values
    gaps.semilogy(halved, gap, "o", ms=4, color=NATURAL, label="saturating")
    gaps.plot(halved, gap[0] * halved**2, "--", color=THEORY, label="square law")
    gaps.plot(halved, linear, "s", ms=4, color=SHADES[1], label="one attenuated")
    gaps.set(xlabel="learning rate / largest", ylabel="distance to somatic learning")
    gaps.set(title="Natural learning", xlim=(0.0, 1.1))
    gaps.legend(frameon=False, fontsize="small", loc="center right")
    _bars(bars, data.terms.mean(("seed", "draw")).values)
    return figure


def _paths(panel: Axes, data: xarray.Dataset, rule: int, title: str) -> None:
    """Paths of the somatic amplitudes over contours of the divergence."""
    from ..experiments.two_afferents import START, TEACHER

    _contours(panel, data["divergence"].values)
    names = ("in somatic coordinates", "one synapse attenuated", "saturating synapses")
    styles = ("-", "--", ":")
    for k, (label, style) in enumerate(zip(names, styles, strict=True)):
        path = 2 * data.path.isel(rule=rule, parametrisation=k).values
        panel.plot(*path.T, style, color=SHADES[k], lw=2.4 - 0.5 * k, label=label)
    _ends(panel, START, TEACHER)
    panel.set(title=title, xlabel="n w, 10 Hz input", ylabel="n w, 50 Hz input")


def _contours(panel: Axes, divergence: np.ndarray) -> None:
    from ..experiments.two_afferents import GRID

    grid = 2 * np.asarray(GRID)
    panel.contour(grid, grid, divergence, LEVELS, colors="0.75", linewidths=0.7)


def _ends(panel: Axes, start: tuple[float, ...], target: tuple[float, ...]) -> None:
    panel.plot(*(2 * np.asarray(start)), "o", color="black", ms=5)
    panel.plot(*(2 * np.asarray(target)), "*", color="#b3262e", ms=12)
    panel.set(aspect="equal", xlim=(-0.4, 0.6), ylim=(-0.4, 0.6))


def _bars(panel: Axes, terms: np.ndarray) -> None:
    """The three terms (term, synapse) side by side at each of four synapses."""
    names = ("homosynaptic", "uniform", "proportional")
    places = np.arange(terms.shape[1])
    for k, (row, name) in enumerate(zip(terms, names, strict=True)):
        panel.bar(places + 0.27 * (k - 1), row, 0.25, color=SHADES[k], label=name)
    panel.axhline(0.0, color="black", lw=0.8)
    panel.set_xticks(places, ["strong" if k % 2 else "weak" for k in places])
    panel.set(xlabel="two stimulated, two silent", ylabel="change (1/mV)")
    panel.legend(frameon=False, fontsize="small", loc="upper right")


def two_afferents(data: xarray.Dataset) -> Figure:
    """Figures 3D-E: mean paths, single trials, directions of the mean change."""
    from ..experiments.two_afferents import START, TEACHER

    figure, axes = panels(1, 3, 3.4, 3.2)
    colors = {"euclidean": EUCLIDEAN, "natural": NATURAL}
    places = 2 * data.place.values
    for panel, (student, color) in zip(axes[0], colors.items(), strict=False):
        here = data.sel(student=student)
        _contours(panel, data["divergence"].values)
        for trial in range(min(12, data.sizes["seed"])):
            single = 2 * here.weight.isel(seed=trial).values
            panel.plot(*single.T, color=color, lw=0.4, alpha=0.4)
        mean = 2 * here.weight.mean("seed").values
        panel.plot(*mean.T, color=color, lw=2.5, label="mean of the trials")
        theory = 2 * here.predicted_weight.values
        panel.plot(*theory.T, "--", color="black", lw=1, label="mean change")
        arrows = here.field.values
        arrows = arrows / np.linalg.norm(arrows, axis=1, keepdims=True)
        panel.quiver(*places.T, *arrows.T, color="0.35", width=0.005, scale=14)
        _ends(panel, START, TEACHER)
        panel.set(
            title=student.capitalize(),
            xlabel="n w, 10 Hz input",
            ylabel="n w, 50 Hz input",
        )
    axes[0, 0].legend(frameon=False, fontsize="small", loc="lower left")
    turns = axes[0, 2]
    order = np.argsort(data.angle.sel(student="euclidean").values)
    for student, color in colors.items():
        angle = data.angle.sel(student=student).values[order]
        turns.plot(angle, "o", color=color, ms=4, label=student)
        turns.axhline(angle.mean(), color=color, lw=1)
    turns.set(xlabel="point of the grid", ylabel="angle to the target (degrees)")
    turns.legend(frameon=False, fontsize="small")
    return figure


def angles(data: xarray.Dataset) -> Figure:
    """Figures 12A-B: angles to the natural step, all weights and rates."""
    from ..experiments.angles import METRICS

    figure, axes = panels(1, len(METRICS), 3.6, 2.9)
    bins = np.arange(0.0, 91.0, 2.0)
    for k, (panel, metric) in enumerate(zip(axes[0], METRICS, strict=True)):
        turn = data.turn.isel(metric=k)
        for j, (label, color) in enumerate(
            {"Euclidean": EUCLIDEAN, "approximate": APPROXIMATE}.items()
        ):
            values = turn.isel(rule=j).values.ravel()
            panel.hist(values, bins, color=color, alpha=0.8, label=label)
            panel.axvline(values.mean(), color=color, lw=1.2)
        panel.set(
            title=f"{metric.capitalize()} metric",
            xlabel="angle to the natural step (degrees)",
            ylabel="weights x patterns of rates",
        )
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure
