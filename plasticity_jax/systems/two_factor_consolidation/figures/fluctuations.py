"""Pictures of synapses that fluctuate, scale and develop (Figures 4, 5 and 6)."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


SIDES = {"growing": ("o", "-"), "shrinking": ("s", ":")}


def _averages(panel: Axes, data: xarray.Dataset, color: str, label: str) -> None:
    """Mean change against weight, either sign; data without seeds."""
    for sign, (marker, style) in SIDES.items():
        here = data.sel(sign=sign)
        name = label if sign == "growing" else None
        panel.loglog(
            here.weight,
            here["size"],
            marker + style,
            ms=3,
            lw=1,
            color=color,
            label=name,
        )


def increments(data: xarray.Dataset) -> Figure:
    """Figure 5: changes against weights, and their exponents against 1 - 1/z."""
    figure, axes = panels(1, 2, 3.9, 2.9)
    changes, slope = axes[0]
    for order, color in zip(data.order.values, SHADES, strict=False):
        here = data.sel(order=order).isel(seed=0)
        _averages(changes, here, color, f"z = {order:g}")
    changes.set(xlabel="weight", ylabel="mean change in 20 min", title="Simulation")
    changes.legend(frameon=False, fontsize="x-small")
    orders = np.linspace(1, float(data.order.max()), 100)
    slope.plot(orders, 1 - 1 / orders, "--", color=THEORY, lw=1, label="1 - 1/z")
    for sign, color in zip(SIDES, SHADES, strict=False):
        values = data.slope.sel(sign=sign)
        mean, error = values.mean("seed"), values.std("seed")
        marker = SIDES[sign][0]
        slope.errorbar(
            data.order, mean, error, fmt=marker, ms=4, color=color, label=sign
        )
    slope.set(xlabel="number of factors z", ylabel="exponent of changes")
    slope.legend(frameon=False, fontsize="x-small")
    return figure


def imaging(data: xarray.Dataset) -> Figure:
    """Figure 5: changes of imaged synapses, and their exponents over the lag."""
    figure, axes = panels(1, 2, 3.9, 2.9)
    changes, slope = axes[0]
    here = data.isel(seed=0)
    for sign, color in zip(SIDES, SHADES, strict=False):
        marker = SIDES[sign][0]
        part = here.sel(sign=sign)
        exponent = float(part.slope.isel(lag=0))
        name = f"{sign}, exponent {exponent:.2f}"
        changes.loglog(part.weight, part["size"], marker, ms=4, color=color, label=name)
        slope.semilogx(
            part.lag, part.slope, marker + "-", ms=4, color=color, label=sign
        )
        error = float(part.resampled.std("draw"))
        slope.errorbar(part.lag[:1], part.slope[:1], error, color=color, capsize=3)
    for order in (2, 3):
        slope.axhline(1 - 1 / order, ls="--", lw=1, color=THEORY)
        height = 1 - 1 / order + 0.01
        slope.text(
            float(data.lag[-1]), height, f"z = {order}", ha="right", color=THEORY
        )
    changes.set_xticks([0.3, 0.5, 1, 2], ["0.3", "0.5", "1", "2"])
    changes.set_yticks([0.01, 0.02, 0.04], ["0.01", "0.02", "0.04"])
    changes.minorticks_off()
    changes.set(xlabel="fluorescence (mean 1)", ylabel="mean change in 0.5 h")
    changes.set_title("1087 imaged synapses")
    changes.legend(frameon=False, fontsize="x-small")
    ticks = data.lag.values
    slope.set_xticks(ticks, [f"{x:g}" for x in ticks])
    slope.minorticks_off()
    slope.set(xlabel="time between images (h)", ylabel="exponent of changes")
    slope.legend(frameon=False, fontsize="x-small")
    return figure


def norms(data: xarray.Dataset) -> Figure:
    """Figure 6: variation of norms over their exponent; what imaging says."""
    from ..experiments.fluctuating import explained_share

    figure, axes = panels(1, 3, 3.5, 2.9)
    raw, resampled, share = axes[0]
    for order, color in zip(data.order.values, SHADES, strict=False):
        here = data.sel(order=order)
        curve = here.variation.sel(population="per synapse").mean("seed")
        raw.semilogy(data.exponent, curve, color=color, label=f"z = {order:g}")
        raw.plot(2 / order, float(curve.min()), "v", ms=5, color=color)
        resampled.plot(data.exponent, here.resampled.mean("seed"), color=color)
    imaged = data.imaged.mean("imaged_draw")
    resampled.plot(data.exponent, imaged, color="black", lw=2, label="imaged")
    raw.set(xlabel="exponent q", ylabel="variation of the norm over time")
    raw.set_title("Norm per living synapse")
    raw.legend(frameon=False, fontsize="x-small", title="triangles: 2/z")
    raw.get_legend().get_title().set_fontsize("x-small")
    resampled.set(xlabel="exponent q", ylabel="variation (least 0, most 1)")
    resampled.set_title("Synapses drawn anew")
    resampled.legend(frameon=False, fontsize="x-small")
    values = explained_share(data)
    mean, error = values.mean("seed"), values.std("seed")
    share.errorbar(data.order, mean, error, fmt="o-", ms=4, color=SHADES[0])
    share.axhline(0.0, color=THEORY, lw=1, ls="--")
    share.set(xlabel="number of factors z", ylabel="explained share of imaged curves")
    return figure


def volatile_order(data: xarray.Dataset) -> Figure:
    """Changes and norms against the number of factors, and what imaging tells."""
    from ..experiments.volatile_order import imaged_fits, recovered, widened

    figure, axes = panels(1, 3, 3.6, 2.9)
    slope, least, found = axes[0]
    for sign, color in zip(SIDES, SHADES, strict=False):
        values = data.slope.sel(arrangement="recorded", sign=sign)
        style = {"fmt": SIDES[sign][0], "ms": 4, "color": color, "label": sign}
        slope.errorbar(data.order, values.mean("seed"), values.std("seed"), **style)
        imaged = data.imaged_slope.sel(arrangement="recorded", sign=sign)
        _band(slope, float(imaged[0]), float(imaged[1:].std()), color)
    orders = np.linspace(1, float(data.order.max()), 100)
    slope.plot(orders, 1 - 1 / orders, "--", color=THEORY, lw=1, label="1 - 1/z")
    slope.set(ylabel="exponent of changes", title="Changes (bands: imaged)")
    slope.legend(frameon=False, fontsize="x-small")
    mean, error = data.least.mean("seed"), data.least.std("seed")
    least.errorbar(data.order, mean, error, fmt="o", ms=4, color=SHADES[0])
    imaged = data.imaged_least
    _band(least, float(imaged[0]), float(imaged[1:].std()), SHADES[0])
    least.set(ylabel="exponent of the steadiest norm", title="Norms (band: imaged)")
    for name, color in {"recorded": SHADES[0], "shuffled": SHADES[5]}.items():
        values = recovered(data, name)["mean"]
        label = "in order" if name == "recorded" else "shuffled"
        style = {"fmt": "o", "ms": 4, "color": color, "label": label}
        found.errorbar(data.order, values.mean("seed"), values.std("seed"), **style)
    found.plot(orders, orders, "--", color=THEORY, lw=1)
    for (name, fit), color in zip(imaged_fits(data).items(), SHADES[1:], strict=False):
        _band(found, float(fit.mean), widened(fit, 1), color, f"imaged, {name}")
    found.set(ylabel="number of factors found", title="Fits to simulation and imaging")
    found.legend(frameon=False, fontsize="x-small")
    for panel in axes[0]:
        panel.set(xlabel="number of factors z")
    return figure


def _band(
    panel: Axes, centre: float, spread: float, color: str, label: str | None = None
) -> None:
    """One standard deviation on either side."""
    low, high = centre - spread, centre + spread
    panel.axhspan(low, high, color=color, alpha=0.25, lw=0, label=label)


def scaling(data: xarray.Dataset) -> Figure:
    """Figure 4: ranked weights before and after a new target, and their slopes."""
    figure, axes = panels(1, 3, 3.5, 2.9)
    ranks, slope, norm = axes[0]
    here = data.isel(seed=0).sel(order=2)
    unit = float(here["first"].where(here["first"] > 0).mean())
    for ratio, color in zip(data.ratio.values, SHADES, strict=False):
        style = {"ms": 3, "color": color, "label": f"L'/L = {ratio:g}"}
        ranks.plot(
            here["first"] / unit, here.then.sel(ratio=ratio) / unit, "o", **style
        )
        ends = np.array([0.0, float(here["first"].max()) / unit])
        ranks.plot(
            ends, float(here.predicted.sel(ratio=ratio)) * ends, color=color, lw=1
        )
    ranks.set(xlabel="weight before (mean)", ylabel="weight after (mean)")
    ranks.set_title("One neuron, z = 2, by rank")
    ranks.legend(frameon=False, fontsize="x-small")
    for order, color in zip(data.order.values, SHADES, strict=False):
        mean = data.sel(order=order).mean("seed")
        slope.loglog(
            data.ratio, mean.slope, "o", ms=4, color=color, label=f"z = {order}"
        )
        slope.plot(data.ratio, mean.predicted, color=color, lw=1)
        spread = mean.variation.sel(moment=["before", "after"])
        norm.semilogy([0, 1], spread, "o-", ms=4, color=color, label=f"z = {order}")
    again = data.replay_slope.mean("seed")
    slope.plot(
        data.ratio, again, "x", ms=7, color="black", label="z = 2, replay goes on"
    )
    moved = data.shift_slope.mean(["seed", "order"])
    slope.plot(data.ratio, moved, ":", color=THEORY, label="if all were shifted")
    ratios = data.ratio.values
    slope.set_xticks(ratios, [f"{x:g}" for x in ratios])
    slope.set_yticks([0.125, 0.5, 1, 2, 8], ["0.125", "0.5", "1", "2", "8"])
    slope.minorticks_off()
    slope.set(xlabel="new over old target L'/L", ylabel="slope of ranked weights")
    slope.set_title("Lines: (L'/L)^(z/2)")
    slope.legend(frameon=False, fontsize="x-small")
    norm.set_xticks([0, 1], ["before sleep", "after sleep"])
    norm.set(ylabel="variation of sum w^(2/z)", xlim=(-0.3, 1.3), title="Over neurons")
    norm.legend(frameon=False, fontsize="x-small")
    return figure


def development(data: xarray.Dataset) -> Figure:
    """Figure 4: density, living weight and robustness, over sleep and over load."""
    names = {
        "density": "connection density",
        "weight": "living weight over its first",
        "robustness": "robustness sqrt(N) SNR_1",
    }
    figure, axes = panels(2, 3, 3.4, 2.6)
    mean = data.mean("seed")
    cycles = data.time.values[1:]
    for (name, label), (asleep, over) in zip(names.items(), axes.T, strict=True):
        for load, color in zip(data["load"].values, SHADES, strict=False):
            course = mean[name].sel(load=load).values[1:]
            asleep.semilogx(cycles, course, color=color, label=f"load {load:g}")
        values = data[name].isel(time=-1)
        over.errorbar(
            data["load"],
            values.mean("seed"),
            values.std("seed"),
            fmt="o",
            ms=4,
            color=SHADES[0],
            label="after sleep",
        )
        over.plot(
            data["load"],
            data[f"best_{name}"],
            "--",
            color=THEORY,
            label="optimum, N large",
        )
        asleep.set(xlabel="cycles of replay", ylabel=label)
        over.set(xlabel="patterns per input", ylabel=label)
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    axes[1, 0].legend(frameon=False, fontsize="x-small")
    return figure
