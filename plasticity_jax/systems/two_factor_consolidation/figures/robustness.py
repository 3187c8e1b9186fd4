"""Pictures of Figure 2: ratios to noise, density, weights and recall by factors."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


SMALL = {"frameon": False, "fontsize": "small"}


def ratios(data: xarray.Dataset) -> Figure:
    """Bars of SNR by norm; ratios to noise, density and the optimum's share by load."""
    from ..experiments.oracle import summary

    seen = summary(data)
    figure, axes = panels(2, 3, 3.7, 2.9)
    bars, neural, synaptic, density, reached, course = axes.ravel()
    _bars(bars, seen)
    ends = data["load"].values[[0, -1]]
    for k, order in enumerate(data.order.values):
        row, style = seen.sel(order=order), {"color": SHADES[k], "ms": 4}
        label = f"z = {order}"
        neural.plot(data["load"], row.neural, "o-", label=label, **style)
        synaptic.plot(data["load"], row.synaptic, "o-", **style)
        density.plot(data["load"], row.density, "o-", **style)
    for solved in data.solved.values:
        law = data.sel(solved=solved)
        neural.plot(data["load"], law.neural_law, "--", color=THEORY)
        density.plot(data["load"], law.density_law, "--", color=THEORY)
    neural.plot([], [], "--", color=THEORY, label="theory, z = 1, 2")
    density.plot(
        data["load"], seen.best_density, "x", color="black", label="exact, q = 1"
    )
    neural.set(ylabel="margin / neural noise")
    synaptic.set(ylabel="margin / synaptic noise")
    density.set(ylabel="density of synapses", ylim=(0, 0.75))
    for order, norm in ((1, 2), (2, 1)):
        row = seen.sel(order=order, norm=norm)
        color, label = SHADES[order - 1], f"z = {order}, q = {norm}"
        reached.plot(data["load"], row.reached, "o-", color=color, ms=4, label=label)
        for j, (load, style) in enumerate(zip(ends, ("-", ":"), strict=True)):
            gap = np.maximum(1 - row.course.sel(load=load), 1e-4)
            label = f"z = {order}, load {load:g}"
            course.loglog(data.time, gap, style, color=color, label=label)
            if order == 2 and j == 0:
                law = 1 - float(seen.stationary.sel(load=load))
                label = "theory, first rates, z = 2"
                course.axhline(law, color=THEORY, ls="--", label=label)
    reached.axhline(1, color=THEORY, ls="--")
    reached.set(ylabel="SNR / exact optimum")
    course.set(xlabel="cycles", ylabel="relative gap to the optimum")
    course.set_ylim(top=30)
    for panel in (neural, synaptic, density, reached):
        panel.set_xlabel("load (patterns per input)")
    for panel in (neural, density, reached, course):
        panel.legend(**SMALL)
    return figure


def _bars(panel: Axes, seen: xarray.Dataset) -> None:
    """SNR at the lowest load relative to the best number of factors; the paper's."""
    from ..experiments.robustness import BARS

    lowest = seen.ratio.isel(load=0)
    share = lowest / lowest.max("order")
    place = np.arange(share.sizes["exponent"])
    for k, order in enumerate(seen.order.values):
        at = place + 0.2 * (k - 1.5)
        panel.bar(
            at, share.sel(order=order), 0.18, color=SHADES[k], label=f"z = {order}"
        )
        published = [BARS[q][k] for q in seen.exponent.values]
        panel.plot(at, published, "_", color="black", ms=8)
    panel.plot([], [], "_", color="black", ms=8, label="paper")
    panel.set_xticks(place, [f"{q:.2g}" for q in seen.exponent.values])
    panel.set(xlabel="norm q", ylabel="$\\mathrm{SNR}_q$ / best", ylim=(0, 1.6))
    panel.legend(ncols=3, **SMALL)


def weights(data: xarray.Dataset) -> Figure:
    """Figure 2: distributions of all weights in decades, and of the survivors."""
    from ..experiments.weights import averages

    seen = averages(data)
    figure, (row,) = panels(1, 3, 3.7, 2.9)
    decades, *survivors = row
    for k, order in enumerate(data.order.values):
        share = seen.decades.sel(order=order)
        style = {"color": SHADES[k], "label": f"z = {order}"}
        decades.semilogy(data.decade, share.where(share > 0), "o-", ms=3, **style)
    decades.set(xlabel="$\\log_{10}$ weight / largest of the neuron")
    decades.set(ylabel="share of synapses per half decade", ylim=(None, 10))
    decades.legend(ncols=2, **SMALL)
    width = float(data.multiple[1] - data.multiple[0])
    for panel, solved in zip(survivors, data.solved.values, strict=True):
        share = seen.multiples.sel(order=solved) / width
        color, label = SHADES[solved - 1], f"z = {solved}"
        panel.bar(data.multiple, share, 0.9 * width, color=color, label=label)
        law = data.multiples_law.sel(solved=solved)
        panel.plot(data.fine, law, "--", color=THEORY, label="truncated Gaussian")
        panel.set(xlabel="surviving weight / mean", ylabel="density")
        panel.legend(**SMALL)
    return figure


def recall(data: xarray.Dataset) -> Figure:
    """Figure 2: recall against noise at the lowest load; the noise that halves it."""
    from ..experiments.tolerance import PANEL

    figure, axes = panels(2, 2, 3.7, 2.9)
    seen = data.mean("seed", skipna=False)
    kinds = (("neural", "flipped"), ("synaptic", "volatile"))
    for (curves, levels), (name, dim) in zip(axes, kinds, strict=True):
        lowest = seen[name].isel({"load": 0})
        for k, order in enumerate(data.order.values):
            style = {"color": SHADES[k], "label": f"z = {order}"}
            curves.plot(data[dim], lowest.sel(order=order), **style)
            row = seen[f"{name}_level"].sel(order=order)
            levels.plot(data["load"], row, "o-", ms=4, **style)
            published = [rows[k] for rows in PANEL[name].values()]
            levels.plot(list(PANEL[name]), published, "_", color=SHADES[k], ms=10)
        levels.plot([], [], "_", color="black", ms=10, label="paper")
        lowest_load = float(data["load"][0])
        curves.set(ylabel="recall rate", title=f"{name} noise, load {lowest_load:g}")
        levels.set(xlabel="load (patterns per input)", title=f"{name} noise")
        levels.legend(**SMALL)
    axes[0, 0].set_xlabel("flipped bits / $fN$")
    axes[0, 1].set_ylabel("flips / $fN$ at recall one half")
    axes[1, 0].set_xlabel("s.d. / mean factor")
    axes[1, 1].set_ylabel("s.d. / mean, at recall one half")
    return figure
