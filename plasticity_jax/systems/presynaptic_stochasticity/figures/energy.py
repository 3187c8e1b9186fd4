"""Pictures of energy, importance and sparsity (Figures 1, 2 and 3)."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


NAMES = {
    "presynaptic": "plastic release",
    "deterministic": "deterministic",
    "fixed": "fixed release",
}
COLORS = dict(zip(NAMES, (SHADES[0], SHADES[5], SHADES[2]), strict=True))


def _errors(values: xarray.DataArray) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Mean over seeds and its standard error."""
    return values.mean("seed"), values.std("seed") / values.seed.size**0.5


def information(data: xarray.Dataset) -> Figure:
    """Figure 1: bits against energy, the best ratio, and all ratios over decay."""
    from ..experiments.energy import efficiency

    figure, axes = panels(1, 4, 3.0, 2.9)
    plane, best, synapses, neurons = axes[0]
    decays = np.arange(data.decay.size)
    for model, name in NAMES.items():
        here, color = data.sel(model=model), COLORS[model]
        mean = here.mean("seed")
        plane.plot(mean.energy, mean.information, "o-", ms=4, color=color, label=name)
        for panel, kind in ((synapses, "energy"), (neurons, "neuronal")):
            ratio, error = _errors(1000 * efficiency(here, kind))
            panel.errorbar(decays, ratio, error, fmt="o-", ms=4, color=color)
        ratio, error = _errors(1000 * efficiency(here))
        top = int(ratio.argmax("decay"))
        height, whisker = float(ratio[top]), float(error[top])
        best.bar(name.replace(" ", "\n"), height, yerr=whisker, color=color)
    plane.set(xlabel=r"energy $\sum|\bar w|$", ylabel="information (bits)")
    plane.legend(frameon=False, fontsize="x-small")
    best.set(ylabel="best bits per 1000 energy")
    best.tick_params(axis="x", labelsize="x-small")
    matched = int(np.argmin(np.abs(data.decay.values - float(data.matched))))
    for panel, kind in ((synapses, "energy"), (neurons, "neuronal energy")):
        panel.axvline(matched, ls=":", lw=1, color=THEORY)
        panel.set_xticks(decays, [f"{x:g}" for x in data.decay.values])
        panel.tick_params(axis="x", labelsize="x-small")
        panel.set(xlabel="weight decay", ylabel=f"bits per 1000 {kind}")
        panel.set_ylim(bottom=0)
    return figure


def steps(data: xarray.Dataset) -> Figure:
    """Bits per energy over the steps of release probability."""
    from ..experiments.energy import efficiency

    figure, axes = panels(1, 1, 3.6, 2.9)
    (panel,) = axes[0]
    for model in data.model.values:
        mean, error = _errors(1000 * efficiency(data.sel(model=model)))
        style = {"fmt": "o-", "ms": 4, "color": COLORS[model], "label": NAMES[model]}
        panel.errorbar(data.up, mean, error, **style)
    panel.set(xlabel="step of probability, up and down", ylabel="bits per 1000 energy")
    panel.set_xticks(data.up.values)
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False, fontsize="x-small")
    return figure


def fixed_release(data: xarray.Dataset) -> Figure:
    """Appendix 1-figure 1c: fixed release at every rate; the best plastic network."""
    from ..experiments.energy import efficiency

    figure, axes = panels(1, 1, 3.9, 2.9)
    (panel,) = axes[0]
    values = 1000 * efficiency(data)
    for rate, color in zip(data.rate.values, SHADES[1:], strict=False):
        mean, error = _errors(values.sel(model="fixed", rate=rate))
        style = {"fmt": "o-", "ms": 4, "color": color, "label": f"rate {rate:g}"}
        panel.errorbar(data.fixed_release, mean, error, **style)
    best = float(values.sel(model="presynaptic").mean("seed").max())
    panel.axhline(best, ls="--", lw=1, color=COLORS["presynaptic"])
    panel.text(0.0, best, " plastic release", va="bottom", fontsize="x-small")
    panel.set(xlabel="fixed release probability", ylabel="bits per 1000 energy")
    panel.set_xlim(0, 1.03)
    panel.set_ylim(0, 1.15 * best)
    panel.legend(frameon=False, fontsize="x-small")
    return figure


def _histogram(panel: Axes, data: xarray.Dataset) -> None:
    """Release probabilities of all synapses; data without seeds."""
    width = float(data.bin[1] - data.bin[0])
    panel.bar(data.bin, data.share, 0.9 * width, color=SHADES[0])
    panel.set(xlabel="release probability", ylabel="share of synapses", xlim=(0, 1))


def importance(data: xarray.Dataset) -> Figure:
    """Figure 2: probabilities, lesions, strength and Fisher information."""
    figure, axes = panels(2, 3, 3.3, 2.7)
    mean = data.mean("seed")
    histogram, lesion, clamp, strength, curvature, rank = axes.ravel()
    _histogram(histogram, mean)
    shades = (SHADES[0], SHADES[2], SHADES[1], SHADES[5])
    for order, color in zip(data.order.values, shades, strict=True):
        here, error = _errors(data.lesion.sel(order=order))
        line = "o:" if order == "strength" else "o-"  # hides that of the product
        style = {"fmt": line, "ms": 3, "color": color, "label": order}
        lesion.errorbar(data.fraction, here, error, **style)
    lesion.set(xlabel="share of synapses removed", ylabel="accuracy", ylim=(0, 1))
    lesion.legend(frameon=False, fontsize="x-small", title="least important by")
    lesion.get_legend().get_title().set_fontsize("x-small")
    here, error = _errors(data.clamp)
    clamp.errorbar(data.level, here, error, fmt="o-", ms=3, color=SHADES[0])
    clamp.axhline(float(mean.accuracy), ls="--", lw=1, color=THEORY)
    clamp.text(0.1, float(mean.accuracy) + 0.02, "as learned", fontsize="x-small")
    clamp.set(xlabel="probability of all synapses", ylabel="accuracy", ylim=(0, 1.12))
    some = mean.share > 1e-3
    strength.bar(data.bin, mean.bin_energy.where(some), 0.045, color=SHADES[0])
    strength.set(xlabel="release probability", ylabel="mean strength", xlim=(0, 1))
    for kind, color in zip(data.kind.values, SHADES, strict=False):
        curve = mean.bin_fisher.sel(kind=kind).where(some)
        curvature.semilogy(data.bin, curve, "o", ms=3, color=color, label=kind)
    curvature.set(xlabel="release probability", ylabel="mean Fisher information")
    curvature.set_xlim(0, 1)
    curvature.legend(frameon=False, fontsize="x-small")
    names = {
        "fisher_rank": "probability",
        "strength_rank": "strength",
        "shuffled_rank": "shuffled\nprobability",
    }
    for i, kind in enumerate(data.kind.values):
        pairs = [_errors(data[name].sel(kind=kind)) for name in names]
        places = np.arange(len(names)) + 0.38 * (i - 0.5)
        heights, whiskers = ([float(x[j]) for x in pairs] for j in (0, 1))
        style = {"color": SHADES[i], "label": kind}
        rank.bar(places, heights, 0.36, yerr=whiskers, **style)
    rank.axhline(0, lw=0.8, color="black")
    rank.set_xticks(np.arange(len(names)), list(names.values()))
    rank.set(ylabel="rank correlation with Fisher")
    rank.legend(frameon=False, fontsize="x-small")
    return figure


def random_start(data: xarray.Dataset) -> Figure:
    """Appendix 1-figure 1d: probabilities that began at random."""
    figure, axes = panels(1, 1, 3.6, 2.9)
    (panel,) = axes[0]
    _histogram(panel, data.mean("seed"))
    low, high = panel.get_ylim()
    panel.set_ylim(low, 1.12 * high)
    panel.text(
        0.5,
        0.99,
        f"{float(data.between.mean()):.0%} between the modes",
        transform=panel.transAxes,
        ha="center",
        va="top",
        fontsize="x-small",
    )
    return figure


def sparsity(data: xarray.Dataset) -> Figure:
    """Figure 3: important inputs and outputs of neurons against chance."""
    from ..experiments.sparsity import tested

    figure, axes = panels(2, 4, 2.9, 2.6)
    titles = {
        "inputs_0": "inputs of hidden layer 1",
        "inputs_1": "inputs of hidden layer 2",
        "inputs_2": "inputs of outputs",
        "outputs_0": "outputs of pixels",
        "outputs_1": "outputs of hidden layer 1",
        "outputs_2": "outputs of hidden layer 2",
    }
    places = [*axes[0, :3], *axes[1, :3]]
    for panel, (name, title) in zip(places, titles.items(), strict=True):
        edges = np.linspace(0, 1, 21)
        for kind, color in ((f"shuffled_{name}", SHADES[5]), (name, SHADES[0])):
            values = data[kind].values.ravel()
            share = np.histogram(values, edges)[0] / values.size
            label = "chance" if kind.startswith("shuffled") else "learned"
            panel.stairs(share, edges, color=color, fill=False, lw=1.4, label=label)
        distance, chance = tested(data, name)
        panel.set_title(f"{title}\nD = {distance:.2f}, p = {chance:.1g}", fontsize=9)
        panel.set(xlabel="share important", ylabel="share of neurons")
    places[0].legend(frameon=False, fontsize="x-small")
    here = data.isel(seed=0)
    for i, panel in enumerate(axes[:, 3]):
        ins, outs = here[f"inputs_{i}"], here[f"outputs_{i + 1}"]
        panel.plot(ins, outs, "o", ms=3, color=SHADES[1], alpha=0.6)
        r = float(data.in_out.isel(hidden_layer=i).mean())
        panel.set_title(f"hidden layer {i + 1}: r = {r:.2f}", fontsize=9)
        panel.set(xlabel="share of important inputs", ylabel="of important outputs")
    return figure
