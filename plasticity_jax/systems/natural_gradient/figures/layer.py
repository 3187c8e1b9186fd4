"""A layer of spiking neurons: angles of directions, and learning curves."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from ._panels import panels, SHADES


STYLES = {  # label, colour
    "euclidean": ("Euclidean", SHADES[2]),
    "own": ("unit-wise, own spikes", SHADES[3]),
    "unitwise": ("unit-wise, outputs' spikes", SHADES[0]),
    "kfac": ("K-FAC", SHADES[1]),
    "whole": ("closed form of the layer", SHADES[4]),
    "exact": ("dense Fisher", "0.2"),
}


def angles(data: xarray.Dataset) -> Figure:
    """Angle to the natural direction: a panel per case, a bar per rule and law."""
    from ..experiments.layer import CASES, LAWS, RULES

    figure, axes = panels(1, len(CASES), 2.4, 2.7)
    places = np.arange(len(RULES))
    mean, spread = data.angle.mean("seed"), data.angle.std("seed", ddof=1)
    error = spread / np.sqrt(data.sizes["seed"])
    labels = [STYLES[rule][0] for rule in RULES[:-1]] + ["dense, another sample"]
    for i, (panel, title) in enumerate(zip(axes[0], CASES, strict=True)):
        for k in range(len(LAWS)):
            at = {"case": i, "law": k}
            panel.barh(
                places + 0.4 * (k - 0.5),
                mean.isel(at),
                0.38,
                xerr=error.isel(at),
                color=[STYLES[rule][1] for rule in RULES],
                alpha=(1.0, 0.4)[k],
            )
        panel.set(title=title, xlim=(0, 70), ylim=(len(RULES) - 0.5, -0.5))
        panel.set_yticks(places, labels if i == 0 else [""] * len(labels))
    figure.supxlabel(
        "angle to the natural direction (degrees); full: Gaussian, pale: Poisson inputs"
    )
    return figure


def learning(data: xarray.Dataset) -> Figure:
    """Loss against steps, each rule at its best rate; final loss against the rate."""
    from ..experiments.layer import at_best, RULES

    figure, axes = panels(1, 2, 3.9, 3.0)
    curve, rate = axes[0]
    best, factors = at_best(data), data.rate_factor.values
    last = np.exp(np.log(data.loss.isel(step=-1)).mean("seed"))
    last = last.transpose("rate_factor", "rule")
    for i, rule in enumerate(RULES):
        label, color = STYLES[rule]
        style = "--" if rule == "exact" else "-"
        curve.plot(best.isel(rule=i), style, color=color, lw=1.3, label=label)
        rate.plot(factors, last.isel(rule=i), style, color=color, marker="o", ms=3)
    curve.set(xlabel="step, at the best rate", ylabel="KL divergence (nat/s)")
    curve.set(yscale="log")
    rate.set(xlabel=r"learning rate (Euclidean: $\times\ 4/\lambda_{max}$)")
    rate.set(ylabel="KL divergence at the end (nat/s)", xscale="log", yscale="log")
    rate.set_xticks(factors, [f"{factor:g}" for factor in factors])
    rate.minorticks_off()
    figure.legend(loc="outside right center", frameon=False, fontsize="small")
    return figure
