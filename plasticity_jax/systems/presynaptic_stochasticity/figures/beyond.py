"""Beyond the paper: metaplasticity, a budget of energy, curvature along release."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


def budget(data: xarray.Dataset) -> Figure:
    """Information and accuracy against the budget; what release becomes."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    count = data.sizes["seed"]
    styles = {
        "plastic": (SHADES[0], "o-"),
        "fixed release": (SHADES[2], "s-"),
        "deterministic": (SHADES[5], "o-"),
        "plastic, shuffled": (SHADES[4], "s:"),
    }
    for name, (colour, style) in styles.items():
        here = data.sel(model=name)
        for axis, values in ((left, here.bits), (middle, here.accuracy)):
            axis.errorbar(
                data.budget,
                values.mean("seed"),
                values.std("seed") / count**0.5,
                fmt=style,
                color=colour,
                ms=4,
                capsize=2,
                label=name,
            )
    left.axhline(np.log2(10), color=THEORY, lw=0.8, ls="--")
    left.set_ylabel("information of one sample (bits)")
    middle.set_ylabel("accuracy, votes of ten samples")
    middle.legend(frameon=False, fontsize=8)
    for values, label, colour in (
        (data.release, "mean release probability", SHADES[0]),
        (data.reliable, "share with $p \\geq 0.9$", SHADES[1]),
    ):
        right.plot(
            data.budget, values.mean("seed"), "o-", ms=4, color=colour, label=label
        )
    right.set_ylim(0, 1)
    right.set_ylabel("probability, share")
    right.legend(frameon=False, fontsize=8)
    for axis in axes[0]:
        axis.set_xlabel(r"energy budget $\sum|\bar w|$")
    return figure


def curvature(data: xarray.Dataset) -> Figure:
    """Fisher information along release, curvature of later changes, alignment."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    binned = data.binned.where(data.binned > 0)
    shown = binned.mean("seed")
    left.plot(data.release, shown, "o-", ms=4, color=SHADES[0])
    left.set(yscale="log", xlabel="release probability", ylabel="mean Fisher diagonal")
    rho = data.follows.mean("seed")
    text = "\n".join(
        f"{name}: {float(rho.sel({'with': name})):.2f}" for name in data["with"].values
    )
    left.text(
        0.97,
        0.04,
        "rank correlation with\n" + text,
        transform=left.transAxes,
        ha="right",
        va="bottom",
        fontsize=7,
    )
    models = ("presynaptic", "shuffled release", "no consolidation")
    places = np.arange(3)
    for shift, (name, values) in zip(
        (-0.2, 0.2),
        (
            (
                "all directions",
                data.relative / data.relative.sel(model=models[2]).mean("seed"),
            ),
            ("frozen synapses' share", data.carried),
        ),
        strict=True,
    ):
        here = [values.sel(model=model) for model in models]
        middle.bar(
            places + shift,
            [float(x.mean()) for x in here],
            0.38,
            yerr=[float(x.std()) / x.sizes["seed"] ** 0.5 for x in here],
            color=SHADES[0] if shift < 0 else SHADES[1],
            label=name,
            capsize=2,
        )
    middle.axhline(0, color=THEORY, lw=0.6)
    middle.set_xticks(
        places, ["presynaptic", "shuffled\nrelease", "no consol-\nidation"]
    )
    middle.set_ylabel("curvature of task 1 along later change")
    middle.legend(frameon=False, fontsize=7, loc="upper right")
    bars = (
        ("$(1 - p)g$", data.modulated),
        ("$g$", data.plain),
        ("$(1 - p)g$,\nshuffled", data.misplaced),
    )
    for place, (_, values) in enumerate(bars):
        right.bar(place, float(values.mean()), 0.6, color=SHADES[place], alpha=0.8)
        right.plot(np.full(values.size, place), values, "k.", ms=4)
    right.set_xticks(places, [name for name, _ in bars])
    right.set_ylabel("cosine with the natural gradient")
    return figure


def metaplasticity(data: xarray.Dataset) -> Figure:
    """Accuracy and forgetting of every rule on every stream; what was searched."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    rules = ("published", "one candidate", "searched", "deterministic")
    colours = (SHADES[2], SHADES[4], SHADES[0], SHADES[5])
    streams = ("same split", "other split", "permuted pixels")
    places, count = np.arange(len(streams)), data.sizes["seed"]
    for i, (rule, colour) in enumerate(zip(rules, colours, strict=True)):
        for axis, values in ((left, data.accuracy), (middle, data.forgetting)):
            here = [values.sel(rule=rule, stream=stream) for stream in streams]
            axis.bar(
                places + 0.2 * (i - 1.5),
                [float(x.mean()) for x in here],
                0.19,
                yerr=[float(x.std()) / count**0.5 for x in here],
                color=colour,
                label=rule,
            )
    left.set(ylim=(0.0, 1.1), ylabel="mean accuracy, all tasks")
    middle.set_ylabel("forgetting")
    middle.axhline(0, color=THEORY, lw=0.6)
    left.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")
    for axis in (left, middle):
        axis.set_xticks(places, [stream.replace(" ", "\n") for stream in streams])
    tried = data.setting_tried.sel(setting="rate")
    dots = right.scatter(
        tried.values.ravel(),
        data.tried.sel(stage="search").transpose(*tried.dims).values.ravel(),
        c=np.log10(data.setting_tried.sel(setting="threshold").values.ravel()),
        s=12,
    )
    bar = figure.colorbar(dots, ax=right)
    bar.set_label(r"$\log_{10}$ threshold")
    right.axvline(float(data.published.sel(setting="rate")), color=THEORY, lw=0.8)
    right.set(xscale="log", xlabel="base rate", ylabel="accuracy in the search")
    right.set_xticks([0.003, 0.01, 0.03], ["0.003", "0.01", "0.03"])
    right.minorticks_off()
    return figure
