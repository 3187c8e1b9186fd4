"""Responses to one stimulus, before and after learning."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from ._panels import EUCLIDEAN, NATURAL, panels


def responses(data: xarray.Dataset) -> Figure:
    """Spike histograms above, potentials below; left before, right after learning."""
    from ..experiments.psth import BIN, WIDTH

    one = data.isel(seed=0)
    figure, axes = panels(2, 2, 4.0, 2.4)
    time = 1e3 * BIN * (np.arange(data.sizes["bin"]) + 1)
    edges = 1e3 * BIN * WIDTH * np.arange(data.sizes["bar"] + 1)
    for column, says in enumerate(("before learning", "after learning")):
        upper, lower = axes[:, column]
        for who, colour, name in (
            (0, EUCLIDEAN, "teacher"),
            (column + 1, NATURAL, "student"),
        ):
            bars = one.histogram.isel(who=who).values
            upper.stairs(bars, edges, color=colour, lw=1.5, label=name)
            lower.plot(time, one.voltage.isel(who=who), color=colour, lw=1.2)
        error = float(one.error.isel(stage=column))
        upper.set_title(f"{says} (rate error {error:.2g} Hz)", fontsize="medium")
        upper.set_ylim(0, 1.15 * float(one.histogram.max()))
        lower.set_ylim(float(one.voltage.min()) - 1, float(one.voltage.max()) + 1)
        lower.set_xlabel("time (ms)")
    axes[0, 0].set_ylabel("spikes (Hz)")
    axes[1, 0].set_ylabel("potential (mV above rest)")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure
