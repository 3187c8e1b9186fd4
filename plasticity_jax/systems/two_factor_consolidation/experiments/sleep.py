"""Figure 3, asleep: what replay does to margins, weak memories and synapses."""

import dataclasses
import math
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ..config import Config
from .night import BINS, EARLY, EDGES, EVERY, night, SNAPSHOTS, times_of


def label(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; no theory."""
    del keys
    edges = np.asarray(EDGES)
    return xarray.Dataset(
        coords={
            "cycle": times_of(plan.config),
            "snapshot": [*SNAPSHOTS, plan.config.cycles],
            "bin": list(BINS),
            "size": (edges[1:] + edges[:-1]) / 2,
            "when": ["before", "after"],
        }
    )


def at_random(plan: Plan) -> Plan:
    """Negative control: neurons replay patterns at random, which destroys them soon."""
    config = dataclasses.replace(plan.config, policy="random", cycles=EARLY + EVERY)
    return plan._replace(config=config)


def claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """What sleep does to robustness, to weak memories and to synapses."""
    mean, other = (x.mean("seed", skipna=False) for x in (data, control))
    return [
        *robustness_claims(mean, other),
        *memory_claims(mean, other),
        *synapse_claims(mean, other),
    ]


def robustness_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Signal-to-noise ratios over the night (E8)."""

    def fall(data: xarray.Dataset) -> float:
        best = np.maximum.accumulate(data.l1.values, axis=data.l1.dims.index("cycle"))
        return float(np.max(1 - data.l1.values / best))

    def overshoot(course: xarray.DataArray) -> float:
        ratio = course.max("cycle", skipna=False) / course.isel(cycle=-1)
        return float(ratio.min(skipna=False))

    def peak(course: xarray.DataArray) -> float:
        cycles = course.idxmax("cycle", skipna=False).values
        cycles = np.where(course.isnull().any("cycle").values, math.nan, cycles)
        return float(cycles[np.argmax(np.abs(np.log(np.maximum(cycles, 1) / 100)))])

    early = data.l1.sel(cycle=1000, method="nearest") / data.l1.isel(cycle=-1)
    half = data.potentiating.isel(cycle=-1).values
    chance = control.potentiating.isel(cycle=-1).values
    return [
        Claim(
            "SNR_1 never falls (largest fall below its best, share)",
            "Fig. 3; spec. E8: within 1 %",
            fall(data),
            -math.inf,
            0.01,
            control=fall(control),
        ),
        Claim(
            "SNR_1 saturates: at cycle 1000 over that at the end (least)",
            "Fig. 3; spec. E8",
            float(early.min(skipna=False)),
            0.98,
            1.01,
        ),
        Claim(
            "SNR_2 overshoots: its peak over its end (least); control: SNR_1",
            "Fig. 3 (1.65 at low load)",
            overshoot(data.l2),
            1.1,
            math.inf,
            control=overshoot(data.l1),
        ),
        Claim(
            "cycle at which SNR_2 peaks (furthest from 100); control: SNR_1",
            "Fig. 3: near 100",
            peak(data.l2),
            50.0,
            200.0,
            control=peak(data.l1),
        ),
        Claim(
            "share of potentiating replay at the end (furthest from one half)",
            "theory T5: one half at any load",
            float(half[np.argmax(np.abs(half - 0.5))]),
            0.49,
            0.51,
            control=float(chance[np.argmax(np.abs(chance - 0.5))]),
        ),
    ]


def memory_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Weak memories gain most (E11)."""

    def slope(data: xarray.Dataset) -> float:
        some = data.slope.sel(cycle=list(SNAPSHOTS[1:]))
        last = data.slope.isel(cycle=-1)
        return float(np.max([x.max(skipna=False) for x in (some, last)]))

    def gain(data: xarray.Dataset) -> xarray.DataArray:
        return data.gain.isel(cycle=-1)

    loads = gain(data).sortby("load")
    return [
        Claim(
            "slope of a memory's gain on its first robustness, at "
            f"{', '.join(map(str, SNAPSHOTS[1:]))} cycles and the end (largest)",
            "Fig. 3 (-.5, -.8, -1.05, -.95)",
            slope(data),
            -math.inf,
            -1e-9,
            control=slope(control),
        ),
        Claim(
            "mean gain of memories at the end (least)",
            "Fig. 3; spec. E11",
            float(gain(data).min(skipna=False)),
            1e-9,
            math.inf,
            control=float(gain(control).min(skipna=False)),
        ),
        Claim(
            "mean gain at the end, low minus high load",
            "Fig. 3; spec. E11",
            float(loads.isel(load=0) - loads.isel(load=-1)),
            1e-9,
            math.inf,
        ),
    ]


def synapse_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """What is pruned, and what remains (E8, E12)."""
    living = data.density.sortby("load")
    end, start = living.isel(cycle=-1), living.isel(cycle=0)
    factors = data[["within", "across"]].isel(cycle=-1)

    def rise(data: xarray.Dataset) -> float:
        return float(data.pruned.isel(cycle=-1).diff("bin").max(skipna=False))

    def grown(name: str) -> float:
        ratio = data[name].sel(when="after") / data[name].sel(when="before")
        return float(ratio.min(skipna=False))

    return [
        Claim(
            "density at the end, high load; control: before sleep",
            "Fig. 3: .115 at N = 1000; theory: within 35 % at N = 400",
            float(end.isel(load=-1)),
            0.075,
            0.155,
            control=float(start.isel(load=-1)),
        ),
        Claim(
            "density at the end, high minus low load; control: before sleep",
            "Fig. 3 (.065)",
            float(end.isel(load=-1) - end.isel(load=0)),
            1e-3,
            math.inf,
            control=float(start.isel(load=-1) - start.isel(load=0)),
        ),
        Claim(
            "pruned synapses stay so (least change of the share in any bin)",
            "spec. E8, E12",
            float(data.pruned.diff("cycle").min(skipna=False)),
            0.0,
            math.inf,
        ),
        Claim(
            "the weaker a synapse the likelier it is lost, at the end (largest rise "
            "from bin to bin); on the way, at low load, the middle bin is ahead",
            "Fig. 3; spec. E12",
            rise(data),
            -math.inf,
            0.0,
            control=rise(control),
        ),
        Claim(
            "correlation of a synapse's two factors at the end (least); control: of "
            "different synapses",
            "theory T3: tends to 1",
            float(factors.within.min(skipna=False)),
            0.99,
            1.0,
            control=float(factors.across.min(skipna=False)),
        ),
        Claim(
            "mean of living weights, after over before (least)",
            "Fig. 3; spec. E12: larger",
            grown("strength"),
            1.0,
            math.inf,
        ),
        Claim(
            "s.d. of the logarithm of living weights, after over before (least)",
            "Fig. 3; spec. E12: broader",
            grown("spread"),
            1.0,
            math.inf,
        ),
    ]


COURSES = ("l1", "l2", "synaptic", "unpruned", "density", "within", "across")


def _cycles(panel: Axes, data: xarray.Dataset) -> None:
    panel.set_xscale("symlog", linthresh=1.0)
    panel.set(xlabel="cycle", xlim=(0, float(data.cycle[-1])))


def draw_sleep(data: xarray.Dataset) -> Figure:
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


FIG3_SLEEP = Experiment(
    name="fig3_sleep",
    source="Fig. 3, sleep",
    shows="replay of the weakest memories makes them robust and prunes weak synapses",
    config=Config,
    run=night,
    claims=claims,
    figure=draw_sleep,
    control=at_random,
    dims={
        **dict.fromkeys((*COURSES, "potentiating", "slope", "gain"), ("cycle",)),
        "radius": ("snapshot", "pattern"),
        "kept": ("pattern",),
        "pruned": ("cycle", "bin"),
        "histogram": ("when", "size"),
        "strength": ("when",),
        "spread": ("when",),
    },
    predict=label,
)
