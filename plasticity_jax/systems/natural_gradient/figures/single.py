"""Figures 4, 5 and 7: one synapse, and two groups of synapses."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._panels import EUCLIDEAN, NATURAL, panels, SHADES, THEORY


NEAR, FAR = 3.0, 7.0  # inverse attenuations of the examples of Fig. 4B
EXAMPLES = ((50, 20), (50, 1), (10, 20))  # Hz, ms: Fig. 5B
CELLS = ((1.6, 1.6), (2.5, 2.5), (4.5, 4.5))  # 1/n: Fig. 7E-G
REGIMES = {"O1": "#cfe0f3", "O2": "#f6dcc3", "S": "#cfe8dc"}


def democracy(data: xarray.Dataset) -> Figure:
    """Figure 4: dendritic weights in time, and their change along the dendrite."""
    figure, axes = panels(1, 3, 3.3, 2.8)
    course, absolute, relative = axes[0]
    for place, color in ((NEAR, SHADES[1]), (FAR, SHADES[3])):
        weight = data.published_weight.sel(inverse_attenuation=place)
        course.plot(data.time, weight, color=color, lw=1.2)
        label = f"1/α = {place:g}"
        course.text(0.1, float(weight[0]) + 0.02, label, color=color)
    course.set(xlabel="time (s)", ylabel="dendritic weight", ylim=(0, None))
    course.set_xticks(np.arange(6))
    course.set_title("published spikes")
    places = data.inverse_attenuation.values
    for rule, color in (("", NATURAL), ("_euclidean", EUCLIDEAN)):
        label = "Euclidean" if rule else "natural"
        for panel, name in ((absolute, "absolute"), (relative, "relative")):
            _points(panel, places, data[name + rule], color, label)
    relative.plot(
        places, data.published, "x", ms=5, color=THEORY, label="published: 24.88 %"
    )
    absolute.set(ylabel="change of the weight")
    relative.set(ylabel="relative change (%)")
    for panel in (absolute, relative):
        panel.set(xlabel="1/α (distance from the soma)", ylim=(0, None))
        panel.set_xticks(places)
        panel.legend(frameon=False, fontsize="small")
    return figure


def _points(
    panel: Axes, places: np.ndarray, values: xarray.DataArray, color: str, label: str
) -> None:
    """Means over seeds with standard errors."""
    mean = values.mean("seed").values
    error = values.std("seed", ddof=1).values / np.sqrt(values.sizes["seed"])
    panel.errorbar(places, mean, error, fmt="o", ms=4, lw=1.2, color=color, label=label)


def reliability(data: xarray.Dataset) -> Figure:
    """Figure 5: potentials of one mean, weights in time, change against variance."""
    figure, axes = panels(1, 3, 3.5, 2.9)
    traces, course, summary = axes[0]
    for i, ((rate, time), color) in enumerate(zip(EXAMPLES, SHADES, strict=False)):
        here = np.isclose(data.rate, rate) & np.isclose(data.synaptic_time, time / 1e3)
        example = data.isel(rate_synaptic_time=int(np.flatnonzero(here)[0]))
        shift = 9.0 * (len(EXAMPLES) - 1 - i)
        traces.plot(data.time, example.published_potential + shift, lw=0.5, color=color)
        label = f"{rate} Hz, {time} ms, variance {float(example.variance):.2f}"
        traces.text(0, shift + 6.2, label, color=color, fontsize="small")
        percent = 100 * example.published_weight / example.published_weight[0]
        course.plot(data.time, percent, lw=1.2, color=color)
    traces.set(xlabel="time (s)", ylabel="synaptic potential (mV, shifted)")
    traces.set(ylim=(-0.5, 9.0 * len(EXAMPLES) - 0.5), yticks=[0, 4])
    course.set(xlabel="time (s)", ylabel="weight (% of its start)", ylim=(0, None))
    course.set_title("published spikes")
    ordered = data.sortby("variance")
    variance = ordered.variance.values
    summary.plot(
        variance, ordered.law, "-", color=THEORY, label="law: 1/(1 + variance)"
    )
    _points(summary, variance, ordered.relative, NATURAL, "natural, mean")
    summary.plot(
        variance, ordered.published, "x", ms=5, color=SHADES[2], label="published"
    )
    summary.set(xlabel="variance (mV²)", ylabel="change (%)", ylim=(0, None))
    summary.legend(frameon=False, fontsize="small")
    return figure


def homo_and_hetero(data: xarray.Dataset) -> Figure:
    """Figure 7: changes of both groups, the three regimes, and examples in time."""
    figure, axes = panels(2, 3, 3.6, 2.9)
    data = data.transpose("unstimulated", "stimulated", ...)
    x, y = data.stimulated.values, data.unstimulated.values
    own, other = (
        data[name].mean("seed").values
        for name in ("stimulated_change", "unstimulated_change")
    )
    for panel, change, group in zip(
        axes[0], (own, other), ("stimulated", "silent"), strict=False
    ):
        limit = np.quantile(np.abs(change), 0.85)
        image = panel.pcolormesh(
            x, y, change, cmap="RdBu_r", vmin=-limit, vmax=limit, shading="nearest"
        )
        figure.colorbar(image, ax=panel, label="change (%)", extend="both")
        panel.set_title(f"{group} synapses")
    regime = np.where(own > 0, 0, np.where(other > 0, 1, 2))
    colors = ListedColormap(list(REGIMES.values()))
    axes[0, 2].pcolormesh(x, y, regime, cmap=colors, vmin=0, vmax=2, shading="nearest")
    axes[0, 2].set_title("regimes")
    _borders(axes[0, 2], data)
    for panel in axes[0]:
        panel.set(xlabel="stimulated weight (1/n)", ylabel="silent weight (1/n)")
    for panel, (stimulated, unstimulated) in zip(axes[1], CELLS, strict=True):
        cell = data.sel(
            stimulated=stimulated, unstimulated=unstimulated, method="nearest"
        )
        _courses(panel, cell)
    axes[1, 0].legend(frameon=False, fontsize="small")
    return figure


def _borders(panel: Axes, data: xarray.Dataset) -> None:
    """Where theory has the borders of the regimes."""
    low, high = float(data.unstimulated.min()), float(data.unstimulated.max())
    drift = data.stimulated_drift.isel(unstimulated=0).values
    panel.contour(
        data.stimulated,
        [low, high],
        np.stack([drift, drift]),
        [0.0],
        colors="0.2",
    )
    flips = data.boundary.isel(unstimulated=0)
    flips = flips.where(flips > 0).dropna("stimulated")
    panel.plot(flips.stimulated, flips, "--", color="0.2", lw=1.5)
    panel.set_ylim(low, high)
    patches = [Patch(color=color, label=name) for name, color in REGIMES.items()]
    panel.legend(handles=patches, fontsize="small", loc="lower right")


def _courses(panel: Axes, cell: xarray.Dataset) -> None:
    """Weights of both groups in time, relative to their start, every seed."""
    percent = 100 * (cell.course / cell.course.isel(time=0) - 1)
    for group, (name, color) in enumerate(
        (("stimulated", NATURAL), ("silent", EUCLIDEAN))
    ):
        each = percent.isel(group=group).transpose("time", "seed").values
        panel.plot(cell.time, each, color=color, lw=0.6, alpha=0.5)
        panel.plot(cell.time, each.mean(axis=1), color=color, lw=1.8, label=name)
    panel.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    panel.set(xlabel="time (s)", ylabel="change (%)")
    start = f"{float(cell.stimulated):g}/n, {float(cell.unstimulated):g}/n"
    panel.set_title(f"start at {start}")
