"""Pictures of the experiments; each takes the labelled data of one sweep."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...experiment import panels


SIMULATED, THEORY, BEST = "#1f5fa8", "#d1731c", "#b3262e"
SHADES = ("#1f5fa8", "#3f9b74", "#d1731c", "#8a5bb0", "#707070")


def ratio_grid(data: xarray.Dataset) -> Figure:
    """Steady-state error against the ratio: a row per corruption, a column per size."""
    for name in ("fluctuation_size", "corruption"):
        if name not in data.dims:
            data = data.expand_dims(name)
    rows, columns = data.sizes["corruption"], data.sizes["fluctuation_size"]
    flat = columns == 1
    figure, axes = panels(*((1, rows) if flat else (rows, columns)), 3.3, 2.5)
    for i, j in np.ndindex(rows, columns):
        panel = axes[0, i] if flat else axes[i, j]
        _ratio_panel(panel, data.isel({"corruption": i, "fluctuation_size": j}))
        rho = data.corruption.values[i] if "corruption" in data.coords else None
        if flat and rho is not None:
            panel.set_title(f"corruption {rho:g}")
        elif not flat and i == 0:
            size = data.fluctuation_size.values[j]
            panel.set_title(f"noise per weight {size:g}")
        if (flat and i == 0) or (not flat and j == 0):
            row = "" if flat else f"\ncorruption {rho:g}"
            panel.set_ylabel(f"steady-state error{row}")
        if flat or i == rows - 1:
            panel.set_xlabel("compensation / fluctuation")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


def _ratio_panel(panel: Axes, data: xarray.Dataset) -> None:
    loss = data.loss.transpose("ratio", "seed")
    mean = loss.mean("seed").values
    error = loss.std("seed", ddof=1).values / np.sqrt(loss.sizes["seed"])
    ratios = data.ratio.values
    panel.errorbar(
        ratios,
        mean,
        error,
        marker="o",
        ms=4,
        lw=1.2,
        color=SIMULATED,
        label="simulated",
    )
    law = data.predicted_loss.mean("seed").values
    panel.plot(ratios, law, "--", color=THEORY, lw=1.5, label="from the Hessian")
    lowest = int(mean.argmin())
    panel.plot(ratios[lowest], mean[lowest], "*", ms=13, color=BEST, label="least")
    panel.axvline(1.0, color="0.8", lw=0.8, zorder=0)
    panel.set_yscale("log")
    panel.set_ylim(mean.min() / 1.6, mean.max() * 1.6)


def stages_and_drift(data: xarray.Dataset) -> Figure:
    """Figure 1: error in stages of the ratio; error and weights at ratio 1."""
    from .experiments.drifting import EVERY, STAGES

    figure, axes = panels(1, 3, 3.6, 2.9)
    curve, weights, distance = axes[0]
    mean = data.stage_loss.mean("seed")
    error = data.stage_loss.std("seed", ddof=1) / np.sqrt(data.sizes["seed"])
    curve.errorbar(STAGES, mean, error, marker="o", ms=4, color=SIMULATED)
    curve.axvline(1.0, color="0.8", lw=0.8, zorder=0)
    curve.set(xlabel="compensation / fluctuation", ylabel="error", yscale="log")
    steps = EVERY * np.arange(1, data.sizes["record"] + 1)
    error_trace = data.error.isel(seed=0)
    for i, color in zip(range(data.sizes["synapse"]), SHADES, strict=False):
        weights.plot(steps, data.weight.isel(seed=0, synapse=i), color=color, lw=1)
    weights.set(xlabel="step at ratio 1", ylabel="weights")
    inset = weights.inset_axes((0.0, 1.05, 1.0, 0.3), sharex=weights)
    inset.plot(steps, error_trace, color=BEST, lw=1)
    inset.set(ylabel="error", ylim=(0, None))
    inset.tick_params(labelbottom=False)
    inset.spines[["top", "right"]].set_visible(False)
    each = data.distance.transpose("record", "seed").values[1:]
    distance.plot(steps[1:], each, color=SIMULATED, lw=0.8, alpha=0.5)
    guide = each[0].mean() * np.sqrt(steps[1:] / steps[1])
    distance.plot(steps[1:], guide, "--", color=THEORY, label="square root")
    distance.set(xlabel="steps", ylabel="distance of the weights")
    distance.set(xscale="log", yscale="log")
    distance.legend(frameon=False)
    return figure


def step_lengths(data: xarray.Dataset) -> Figure:
    """Figure 3: the loss along two directions, and repair in a steady state."""
    figure, axes = panels(1, 2, 3.8, 2.9)
    along, repair = axes[0]
    for i, (name, color) in enumerate(
        {"gradient": SIMULATED, "corrupted": THEORY}.items()
    ):
        steps = data.steps.isel(seed=0, direction=i).values
        curve = data.curve.isel(seed=0, direction=i).values
        along.plot(steps, curve, color=color, label=name)
        along.plot(steps[curve.argmin()], curve.min(), "*", ms=12, color=BEST)
    along.axhline(float(data.curve.isel(seed=0, direction=0, place=0)), color="0.8")
    along.set(xlabel="step length", ylabel="loss")
    along.legend(frameon=False)
    seeds = np.arange(data.sizes["seed"])
    repair.bar(seeds, data.repair.values, color=SIMULATED, width=0.6)
    repair.axhline(1.0, color="0.4", lw=0.8)
    repair.set(xlabel="seed", ylabel="optimal repair / fluctuation", xticks=seeds)
    return figure


def level_sets(data: xarray.Dataset) -> Figure:
    """Figure 4: optimal steps between level sets; their length, gain and curvature."""
    figure, axes = panels(1, 4, 2.7, 2.7)
    labels, colors = ("gradient", "corrupted"), (SIMULATED, THEORY)
    example = data.isel(seed=0)
    stiffness, start = example.eigenvalue.values, example.start.values
    side = 1.5 * np.linalg.norm(start)
    x, y = np.meshgrid(*[np.linspace(-side, side, 200)] * 2)
    bowl = (stiffness[0] * x**2 + stiffness[1] * y**2) / 2
    panel = axes[0, 0]
    panel.contour(x, y, bowl, np.geomspace(0.02, 2, 8) * bowl.max(), colors="0.8")
    for end, color in zip(example.end.values, colors, strict=True):
        value = (stiffness * end**2).sum() / 2
        panel.contour(x, y, bowl, [value], colors=[color], linewidths=0.8)
        panel.annotate(
            "", end, start, arrowprops={"arrowstyle": "->", "color": color, "lw": 2}
        )
    panel.plot(0, 0, "*", ms=11, color=BEST)
    panel.set(aspect="equal", xticks=[], yticks=[], title="steps end tangent")
    named = {
        "curvature": "curvature along the step",
        "length": "optimal length",
        "gain": "gain of the optimal step",
    }
    for panel, (name, label) in zip(axes[0, 1:], named.items(), strict=True):
        mean = data[name].mean("seed").values
        panel.bar(labels, mean, color=colors, width=0.6)
        panel.set(ylabel=label)
    return figure


def curvature_table(data: xarray.Dataset) -> Figure:
    """Table 2: curvature along each order's steps over the average, per regime."""
    from .experiments.directions import ORDERS, REGIMES

    figure, axes = panels(1, 3, 2.9, 2.8)
    mean, spread = data.steepness.mean("seed"), data.steepness.std("seed", ddof=1)
    for i, (panel, order) in enumerate(zip(axes[0], ORDERS, strict=True)):
        places = np.arange(len(REGIMES))
        values = mean.isel(order=i).values
        error = spread.isel(order=i).values / np.sqrt(data.sizes["seed"])
        panel.bar(places, values, yerr=error, color=SIMULATED, width=0.6)
        panel.axhline(1.0, color=BEST, lw=1)
        labels = [name.replace(" ", "\n") for name in REGIMES]
        panel.set_xticks(places, labels)
        panel.set(title=f"{order} order", yscale="log" if i else "linear")
    axes[0, 0].set_ylabel("curvature along the step\nover the average")
    return figure


def learning(data: xarray.Dataset) -> Figure:
    """Eq. 10: the optimal ratio beside the maintenance bound, while the error falls."""
    figure, axes = panels(1, 2, 4.0, 2.9)
    loss, ratio = axes[0]
    steps = np.arange(1, data.sizes["step"] + 1)
    loss.loglog(
        steps, data.loss.transpose("step", "seed").values, lw=0.8, color=SIMULATED
    )
    loss.set(xlabel="step", ylabel="error")
    for name, color, label in (
        ("optimal", SIMULATED, "optimal length / fluctuation (Eq. 6)"),
        ("maintenance", THEORY, "maintenance (Eq. 9)"),
    ):
        ratio.loglog(steps, data[name].median("seed"), lw=1, color=color, label=label)
    ratio.set(xlabel="step", ylabel="ratio")
    ratio.legend(frameon=False, fontsize="small")
    return figure
