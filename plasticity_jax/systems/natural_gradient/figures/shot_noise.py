"""The closed forms of the metric against the exact one, and learning with each."""

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._panels import COLOURS, panels, SHADES, THEORY


ERRORS: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian_error": ("Gaussian form", {"ls": "-", "marker": "o", "ms": 4}),
    "skewed_error": ("with skewness", {"ls": "--", "marker": "o", "ms": 4}),
    "leading": ("theory, leading part", {"ls": ":", "lw": 2.5}),
}
STUDENTS = {
    "euclidean": ("no metric (Euclidean)", COLOURS["euclidean"]),
    "natural": ("Gaussian", COLOURS["natural"]),
    "skewed": ("with skewness", COLOURS["approximate"]),
    "exact": ("exact", "k"),
}


def errors(data: xarray.Dataset) -> Figure:
    """Error against the number of inputs: a panel per scale of the weights; angles."""
    scales = data.weight_scale.values
    figure, axes = panels(1, len(scales) + 1, 3.5, 3.0)
    for panel, scale in zip(axes[0], scales, strict=False):
        here = data.sel(weight_scale=scale)
        for name, (_, style) in ERRORS.items():
            _by_size(panel, here, name, style)
        panel.set(yscale="log", title=f"weights uniform in ±{scale:g}/n")
    axes[0, 0].set_ylabel("relative error of the metric")
    for label, style in ERRORS.values():
        axes[0, 0].plot([], [], color="k", label=label, **style)
    axes[0, 0].legend(frameon=False, fontsize="small", loc="lower left")
    last = axes[0, -1]
    _by_size(
        last, data.sel(weight_scale=scales[0]), "angle", ERRORS["gaussian_error"][1]
    )
    last.set(ylabel="update off the way (degrees)")
    last.set_title(f"Gaussian form, ±{scales[0]:g}/n")
    last.set_ylim(bottom=0)
    last.legend(frameon=False, fontsize="small", title="input rates (Hz)")
    return figure


def _by_size(
    panel: Axes, data: xarray.Dataset, name: str, style: dict[str, Any]
) -> None:
    """Mean over draws of the weights with its standard error, a line per rates."""
    mean = data[name].mean("seed")
    error = data[name].std("seed") / np.sqrt(data.sizes["seed"])
    (pattern,) = (dim for dim in mean.dims if dim != "size")
    sizes = data["size"].values
    for i, colour in zip(range(data.sizes[pattern]), SHADES, strict=False):
        low, high = (float(data[rate][i]) for rate in ("low_rate", "high_rate"))
        label = f"{low:g} / {high:g}" if name == "angle" else None
        bar = None if name == "leading" else error.isel({pattern: i})
        line = mean.isel({pattern: i})
        panel.errorbar(sizes, line, bar, color=colour, label=label, **style)
    panel.set(xscale="log", xlabel="inputs n")
    panel.set_xticks(sizes, [f"{n:g}" for n in sizes])
    panel.minorticks_off()


def learning(data: xarray.Dataset) -> Figure:
    """Learning curves: a row per scale of the weights, a column per size."""
    scales, sizes = data.weight_scale.values, data["size"].values
    figure, axes = panels(len(scales), len(sizes), 3.3, 2.7)
    for i, j in np.ndindex(len(scales), len(sizes)):
        panel = axes[i, j]
        here = data.sel(weight_scale=scales[i], size=sizes[j])
        for name, (label, colour) in STUDENTS.items():
            runs = here.divergence.sel(student=name).transpose("seed", "time")
            panel.plot(data.time, runs.mean("seed"), color=colour, label=label, lw=1.5)
        for level in (1.0, 2.0):
            panel.axhline(level, color=THEORY, lw=0.8, ls=":")
        panel.set_yscale("log")
        panel.set_title(f"n = {sizes[j]:g}, weights ±{scales[i] / sizes[j]:.2g}")
        if j == 0:
            panel.set_ylabel("divergence / intended residual")
        if i == len(scales) - 1:
            panel.set_xlabel("time x learning rate")
    axes[0, -1].legend(frameon=False, fontsize="small")
    return figure
