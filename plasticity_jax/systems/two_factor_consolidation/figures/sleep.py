"""Pictures of Figure 3: a day, the night after it, and what the night did."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


def wake(data: xarray.Dataset) -> Figure:
    """Novelty, patterns stored and patterns recalled, epoch by epoch."""
    figure, axes = panels(1, 3, 3.6, 2.8)
    novelty, stored, close = axes[0]
    mean = data.mean("seed")
    for load, color in zip(data["load"].values, SHADES, strict=False):
        for kind, style in {"patterns": "-", "sequence": "--"}.items():
            here = mean.sel(load=load, kind=kind)
            label = f"load {load:g}, {kind}"
            novelty.plot(data.epoch, here.novelty, style, color=color, label=label)
            stored.plot(data.epoch, here.fixed, style, color=color)
            close.plot(data.epoch, here.recalled, style, color=color)
    novelty.set(ylabel="mean |novelty|", title="Novelty")
    stored.set(ylabel="share right in every neuron", title="Stored", ylim=(-0.03, 1.03))
    close.set(ylabel="share of patterns", title="At most $0.2fN$ errors")
    close.set_ylim(-0.03, 1.03)
    for panel in axes[0]:
        panel.set_xlabel("epoch")
    novelty.legend(frameon=False, fontsize="x-small")
    return figure


def _cycles(panel: Axes, data: xarray.Dataset) -> None:
    panel.set_xscale("symlog", linthresh=1.0)
    panel.set(xlabel="cycle", xlim=(0, float(data.cycle[-1])))


def sleep(data: xarray.Dataset) -> Figure:
    """Robustness, synapses, factors, weak and strong memories, pruning."""
    figure, axes = panels(2, 4, 3.4, 2.8)
    (neural, synaptic, density, factors), (gain, slopes, pruned, sizes) = axes
    mean = data.mean("seed")
    loads = data["load"].values
    for load, color in zip(loads, SHADES, strict=False):
        here = mean.sel(load=load)
        label = f"load {load:g}"
        neural.plot(data.cycle, here.l1, color=color, label=rf"$q=1$, {label}")
        neural.plot(data.cycle, here.l2, "--", color=color, label=rf"$q=2$, {label}")
        synaptic.plot(data.cycle, here.synaptic, color=color, label=label)
        density.plot(data.cycle, here.unpruned, color=color, label=f"unpruned, {label}")
        density.plot(data.cycle, here.density, "--", color=color, label="living")
        factors.plot(data.cycle, here.within, color=color)
        factors.plot(data.cycle, here.across, "--", color=color)
        factors.plot(data.cycle, here.potentiating, ":", color=color)
        slopes.plot(data.cycle, here.slope, color=color)
        slopes.plot(data.cycle, here.gain, "--", color=color)
        for when, style in {"before": ":", "after": "-"}.items():
            line = here.histogram.sel(when=when)
            sizes.plot(data["size"], line, style, color=color, label=f"{when}, {label}")
        pruned.plot(
            data.bin, here.pruned.isel(cycle=-1), "o-", color=color, label=label
        )
        middle = here.pruned.sel(cycle=300, method="nearest")
        cycle = int(middle.cycle)
        pruned.plot(
            data.bin, middle, "o:", color=color, label=f"{label}, cycle {cycle}"
        )
    for style, name in {"-": "one synapse", "--": "different synapses"}.items():
        factors.plot([], [], style, color=THEORY, label=f"factors of {name}")
    factors.plot([], [], ":", color=THEORY, label="potentiating replay")
    for style, name in {"-": "slope", "--": "mean gain"}.items():
        slopes.plot([], [], style, color=THEORY, label=name)
    neural.set(title="Signal to noise", ylabel=r"$\sqrt{N}\,$SNR$_1$, SNR$_2$")
    neural.set_yscale("log")
    synaptic.set(title="To synaptic noise", ylabel="SNR$^{syn}$")
    density.set(title="Density", ylabel="share of inputs")
    factors.set(
        title="Factors", ylabel="correlation, share of replay", ylim=(-0.1, 1.6)
    )
    slopes.set(title="Gain of memories", ylabel="slope on first $R$, gain of $R$")
    slopes.axhline(0.0, color=THEORY, lw=0.7)
    for panel in (neural, synaptic, density, factors, slopes):
        _cycles(panel, data)
    _memories(gain, data.sel(load=loads[-1]).isel(seed=0))
    pruned.set(title="Pruned", ylim=(-0.03, 1.03), ylabel="probability")
    pruned.set_xlabel("z-score of log weight before sleep")
    sizes.set(title="Living weights", ylabel="share", xlabel="log$_{10}$ weight")
    sizes.set_yscale("log")
    sizes.set_ylim(1e-4, 1.0)
    for panel in axes.ravel():
        panel.legend(frameon=False, fontsize="x-small")
    return figure


def _memories(panel: Axes, data: xarray.Dataset) -> None:
    """Gain of every memory kept at the high load against its first robustness."""
    kept = data.kept.values > 0
    first = data.radius.isel(snapshot=0).values[kept]
    for cycle, color in zip(data.snapshot.values[1:], SHADES, strict=False):
        gained = data.radius.sel(snapshot=cycle).values[kept] - first
        panel.plot(first, gained, ".", ms=3, color=color, label=f"cycle {cycle}")
    panel.set(title="Every memory, high load", xlabel="$R$ before sleep")
    panel.set_ylabel("gain of $R$")
    panel.set_ylim(0.0, 1.3 * float(np.max(data.radius.values[:, kept])))


def after_sleep(data: xarray.Dataset) -> Figure:
    """Recall through noise, cued activity, connections and selectivity."""
    figure, axes = panels(2, 4, 3.4, 2.8)
    (neural, synaptic, rasters, rested), (overlap, connected, selective, rank) = axes
    mean = data.mean("seed")
    loads = data["load"].values
    styles = {"before": ":", "after": "-"}
    for load, color in zip(loads, SHADES, strict=False):
        here = mean.sel(load=load)
        label = f"load {load:g}"
        for when, style in styles.items():
            curves, name = here.sel(when=when), f"{when}, {label}"
            neural.plot(data.flips, curves.neural, style, color=color, label=name)
            synaptic.plot(data.shake, curves.synaptic, style, color=color, label=name)
            ends = curves.overlap.isel(step=slice(9, None, 10))
            overlap.plot(ends.step, ends, "o" + style, ms=3, color=color, label=name)
        connected.plot(data.alike, here.connected, "o-", color=color, label=label)
        connected.plot(data.alike, here.strength, "s--", ms=4, color=color)
    connected.plot([], [], "s--", ms=4, color=THEORY, label="mean living weight")
    for panel, title in ((neural, "Flipped cues"), (synaptic, "Shaken synapses")):
        panel.axhline(0.5, color=THEORY, lw=0.7)
        panel.set(title=title, ylabel="recall rate", ylim=(-0.03, 1.03))
    neural.set_xlabel("flipped bits over $fN$")
    synaptic.set_xlabel(r"s.d. of the factor over its mean")
    overlap.set(title="End of every cue", ylabel="overlap with the cue", xlabel="step")
    overlap.set_ylim(-0.1, 1.7)
    overlap.axvline(50, color=THEORY, lw=0.7, ls="--")
    connected.set(title="Connections", ylabel="probability, mean living weight")
    connected.set_xlabel("correlation of input currents")
    one = data.sel(load=loads[-1]).isel(seed=0)
    for panel, when in ((rasters, "before"), (rested, "after")):
        active = one.raster.sel(when=when).transpose("cell", "step").values
        panel.imshow(active, cmap="Blues", aspect="auto", origin="lower")
        panel.axvline(50, color=THEORY, lw=0.7, ls="--")
        panel.set(title=f"Cued activity {when} sleep", xlabel="step", ylabel="neuron")
    _selectivity(selective, mean)
    for load, color in zip(loads, SHADES, strict=False):
        here = mean.sel(load=load)
        last = int(data.memories.sel(load=load).min())
        for novelty, style in {"familiar": "-", "novel": ":"}.items():
            line = here.ranked.sel(novelty=novelty).values[:last]
            label = f"{novelty}, load {load:g}"
            rank.plot(np.arange(1, last + 1), line, style, color=color, label=label)
    rank.set(title="Ranked responses", xlabel="rank of the pattern", xscale="log")
    rank.set_ylabel("z-score of the current")
    for panel in (neural, synaptic, overlap, connected, selective, rank):
        panel.legend(frameon=False, fontsize="x-small")
    return figure


def _selectivity(panel: Axes, data: xarray.Dataset) -> None:
    """Lifetime sparseness of three responses, familiar and novel patterns."""
    places = np.arange(data.sizes["response"])
    for load, color in zip(data["load"].values, SHADES, strict=False):
        for novelty, marker in {"familiar": "o-", "novel": "s:"}.items():
            scores = data.sparseness.sel(load=load, novelty=novelty)
            label = f"{novelty}, load {load:g}"
            panel.plot(places, scores, marker, ms=4, color=color, label=label)
    panel.set_xticks(places, [str(name) for name in data.response.values])
    panel.set(title="Selectivity", ylabel="lifetime sparseness", ylim=(0, 1.3))
    panel.set_xlim(-0.3, len(places) - 0.7)
