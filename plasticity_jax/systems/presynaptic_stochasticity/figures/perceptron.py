"""A sign neuron that learns tasks of random patterns: Figure 5b,c."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


CURVES = {  # what is drawn over tasks, and how
    "presynaptic": (SHADES[0], "o-"),
    "same mean rate": (SHADES[1], "s--"),
    "deterministic": (SHADES[5], "o-"),
    "fixed release": (SHADES[2], "s:"),
    "no freeze": (SHADES[4], "s:"),
}


def perceptron(data: xarray.Dataset) -> Figure:
    """The first task over time, every ablation at the end, and plasticity."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    first = data.accuracy.isel(task=0)
    count = data.sizes["seed"]
    for name, (colour, style) in CURVES.items():
        here = first.sel(variant=name)
        left.errorbar(
            data.after,
            here.mean("seed"),
            here.std("seed") / count**0.5,
            fmt=style,
            color=colour,
            ms=4,
            capsize=2,
            label=name,
        )
    left.set(xlabel="tasks learned", ylabel="accuracy on task 1")
    left.legend(frameon=False, fontsize=7, loc="lower left")
    reached = data.accuracy.isel(after=-1).mean("task")
    places = np.arange(data.sizes["variant"])[::-1]
    middle.barh(places, reached.mean("seed"), color=SHADES[0], alpha=0.7, height=0.6)
    middle.errorbar(
        data.measured,
        places,
        xerr=2 * data.measured_error,
        fmt="k|",
        ms=9,
        lw=1,
        label="specification, ±2 s.e.",
    )
    middle.set_yticks(places, list(data.variant.values), fontsize=8)
    middle.set(xlim=(0.5, 1.0), xlabel="mean accuracy, all tasks")
    middle.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, 1.1))
    frozen = data.frozen.sel(variant="presynaptic").mean("seed")
    right.plot(data.after, frozen, "o-", ms=4, color=SHADES[0], label="frozen share")
    right.plot(
        data.after,
        data.plasticity.mean("seed"),
        "s--",
        ms=4,
        color=SHADES[1],
        label="mean $1 - p$",
    )
    right.set(xlabel="tasks learned", ylabel="share of synapses, rate", ylim=(0, 1.05))
    right.legend(frameon=False, fontsize=8, loc="center right")
    return figure


def load(data: xarray.Dataset) -> Figure:
    """Accuracy at every load, and the advantage of release plasticity."""
    figure, axes = panels(1, 2, 3.9, 3.2)
    left, right = axes[0]
    count = data.sizes["seed"]
    for name, colour in (("presynaptic", SHADES[0]), ("deterministic", SHADES[5])):
        here = data.accuracy.sel(neuron=name)
        error = here.std("seed") / count**0.5
        left.errorbar(
            data["load"],
            here.mean("seed"),
            error,
            fmt="o-",
            ms=4,
            capsize=2,
            color=colour,
            label=name,
        )
    left.set(ylabel="mean accuracy, all tasks")
    left.legend(frameon=False, fontsize=8)
    gain = data.accuracy.sel(neuron="presynaptic") - data.accuracy.sel(
        neuron="deterministic"
    )
    right.errorbar(
        data["load"],
        gain.mean("seed"),
        gain.std("seed") / count**0.5,
        fmt="o-",
        ms=4,
        capsize=2,
        color=SHADES[0],
    )
    right.axhline(0.0, color=THEORY, lw=0.8)
    right.set(ylabel="presynaptic − deterministic")
    for axis in axes[0]:
        axis.set(xlabel="patterns per task")
    return figure
