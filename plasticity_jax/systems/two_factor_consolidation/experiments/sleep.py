"""Figure 3, asleep: what replay does to margins, weak memories and synapses."""

import numpy as np
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import changed, claim, Experiment, over_seeds, panels
from ..config import Config
from .night import BINS, EARLY, EDGES, EVERY, night, SNAPSHOTS, times_of
from .shared import LAW, legends, middles, shaded, WHEN


def at(data: Dataset, name: str, record: int = -1) -> DataArray:
    """Mean over seeds at one record of the night, the last one by default."""
    return over_seeds(data[name]).isel(cycle=record)


def over_load(values: DataArray) -> float:
    """High minus low load."""
    return float(values.isel(load=-1) - values.isel(load=0))


# --- signal-to-noise ratios over the night (E8) ---------------------------------------


@claim("Fig. 3; spec. E8: within 1 %", high=0.01)
def never_falls(data: Dataset) -> float:
    """SNR_1 never falls (largest fall below its best, share)."""
    course = over_seeds(data.l1).transpose("cycle", ...).values
    return float(np.max(1 - course / np.maximum.accumulate(course)))


@claim("Fig. 3; spec. E8", low=0.98, high=1.01, control=None)
def saturates(data: Dataset) -> float:
    """SNR_1 saturates: at cycle 1000 over that at the end (least)."""
    early = over_seeds(data.l1).sel(cycle=1000, method="nearest")
    return float((early / at(data, "l1")).min(skipna=False))


def overshoot(data: Dataset, name: str) -> float:
    """The peak of a course over its end, the least."""
    top = over_seeds(data[name]).max("cycle", skipna=False)
    return float((top / at(data, name)).min(skipna=False))


@claim("Fig. 3 (1.65 at low load)", low=1.1, control=lambda x, _: overshoot(x, "l1"))
def overshoots(data: Dataset) -> float:
    """SNR_2 overshoots: its peak over its end (least); control: SNR_1."""
    return overshoot(data, "l2")


def peak(data: Dataset, name: str) -> float:
    """The cycle at which a course peaks, the furthest from 100."""
    course = over_seeds(data[name])
    cycles = course.idxmax("cycle", skipna=False)
    cycles = cycles.where(course.notnull().all("cycle")).values
    return float(cycles[np.argmax(np.abs(np.log(np.maximum(cycles, 1) / 100)))])


@claim("Fig. 3: near 100", low=50.0, high=200.0, control=lambda x, _: peak(x, "l1"))
def peaks_early(data: Dataset) -> float:
    """Cycle at which SNR_2 peaks (furthest from 100); control: SNR_1."""
    return peak(data, "l2")


@claim("theory T5: one half at any load", low=0.49, high=0.51)
def half_potentiates(data: Dataset) -> float:
    """Share of potentiating replay at the end (furthest from one half)."""
    half = at(data, "potentiating").values
    return float(half[np.argmax(np.abs(half - 0.5))])


@claim(
    "Fig. 3, panel .61; theory T7: finite size to 35 % at N = 400",
    low=0.61 * 0.65,
    high=0.61 * 1.35,
    control=lambda x, _: at(x, "synaptic", 0).isel(load=0),
)
def synaptic_ratio_ends(data: Dataset) -> float:
    """Ratio to synaptic noise at the end, low load; control: before sleep."""
    return float(at(data, "synaptic").isel(load=0))


# --- weak memories gain most (E11) ----------------------------------------------------


@claim("Fig. 3 (-.5, -.8, -1.05, -.95)", high=-1e-9)
def weak_gain_most(data: Dataset) -> float:
    """Slope of a memory's gain on its first robustness, at 2, 6, 15 cycles and the end
    (largest).
    """
    slope = over_seeds(data.slope).sel(cycle=data.snapshot.values[1:])
    return float(slope.max(skipna=False))


@claim("Fig. 3; spec. E11", low=1e-9)
def memories_gain(data: Dataset) -> float:
    """Mean gain of memories at the end (least)."""
    return float(at(data, "gain").min(skipna=False))


@claim("Fig. 3; spec. E11", low=1e-9, control=None)
def load_costs_gain(data: Dataset) -> float:
    """Mean gain at the end, low minus high load."""
    return -over_load(at(data, "gain"))


# --- what is pruned, and what remains (E8, E12) ---------------------------------------


@claim(
    "Fig. 3: .115 at N = 1000; theory: within 35 % at N = 400",
    low=0.075,
    high=0.155,
    control=lambda x, _: at(x, "density", 0).isel(load=-1),
)
def density_at_high_load(data: Dataset) -> float:
    """Density at the end, high load; control: before sleep."""
    return float(at(data, "density").isel(load=-1))


@claim("Fig. 3 (.065)", low=1e-3, control=lambda x, _: over_load(at(x, "density", 0)))
def load_needs_synapses(data: Dataset) -> float:
    """Density at the end, high minus low load; control: before sleep."""
    return over_load(at(data, "density"))


@claim("spec. E8, E12", low=0.0, control=None)
def pruned_stay_so(data: Dataset) -> float:
    """Pruned synapses stay so (least change of the share in any bin)."""
    return float(over_seeds(data.pruned).diff("cycle").min(skipna=False))


@claim("Fig. 3; spec. E12", high=0.0)
def weak_are_lost(data: Dataset) -> float:
    """The weaker a synapse the likelier it is lost, at the end (largest rise from bin
    to bin); on the way, at low load, the middle bin is ahead.
    """
    return float(at(data, "pruned").diff("bin").max(skipna=False))


@claim(
    "theory T3: tends to 1",
    low=0.99,
    high=1.0,
    control=lambda x, _: at(x, "across").min(skipna=False),
)
def factors_align(data: Dataset) -> float:
    """Correlation of a synapse's two factors at the end (least); control: of different
    synapses.
    """
    return float(at(data, "within").min(skipna=False))


@claim(
    "Fig. 3; spec. E12: larger and broader",
    low=1.0,
    control=None,
    each={"moment": ("strength", "spread")},
)
def weights_grow(data: Dataset, moment: str) -> float:
    """Living weights: {moment} (mean; s.d. of log), after over before (least)."""
    mean = over_seeds(data[moment])
    return float((mean.sel(when="after") / mean.sel(when="before")).min(skipna=False))


def draw_sleep(data: Dataset) -> Figure:
    """Robustness, synapses, factors, weak and strong memories, pruning."""
    figure, axes = panels(2, 4, 3.4, 2.8)
    (neural, synaptic, density, factors), (gain, slopes, pruned, sizes) = axes
    mean, loads = data.mean("seed"), data["load"].values
    for load, color in shaded(loads):
        here, label = mean.sel(load=load), f"load {load:g}"
        for panel, name, style, shown in (
            (neural, "l1", "-", f"$q=1$, {label}"),
            (neural, "l2", "--", f"$q=2$, {label}"),
            (synaptic, "synaptic", "-", label),
            (density, "unpruned", "-", f"unpruned, {label}"),
            (density, "density", "--", "living"),
            (factors, "within", "-", None),
            (factors, "across", "--", None),
            (factors, "potentiating", ":", None),
            (slopes, "slope", "-", None),
            (slopes, "gain", "--", None),
        ):
            panel.plot(data.cycle, here[name], style, color=color, label=shown)
        for when, style in {"before": ":", "after": "-"}.items():
            look = {"color": color, "label": f"{when}, {label}"}
            sizes.plot(data["size"], here.histogram.sel(when=when), style, **look)
        middle = here.pruned.sel(cycle=300, method="nearest")
        look = {"color": color, "label": f"{label}, cycle {int(middle.cycle)}"}
        end = here.pruned.isel(cycle=-1)
        pruned.plot(data.bin, end, "o-", color=color, label=label)
        pruned.plot(data.bin, middle, "o:", **look)
    for panel, style, name in (
        (factors, "-", "factors of one synapse"),
        (factors, "--", "factors of different synapses"),
        (factors, ":", "potentiating replay"),
        (slopes, "-", "slope"),
        (slopes, "--", "mean gain"),
    ):
        panel.plot([], [], style, label=name, **LAW)
    neural.set(title="Signal to noise", ylabel=r"$\sqrt{N}\,$SNR$_1$, SNR$_2$")
    neural.set_yscale("log")
    synaptic.set(title="To synaptic noise", ylabel="SNR$^{syn}$")
    density.set(title="Density", ylabel="share of inputs")
    factors.set(title="Factors", ylim=(-0.1, 1.6))
    factors.set_ylabel("correlation, share of replay")
    slopes.set(title="Gain of memories", ylabel="slope on first $R$, gain of $R$")
    slopes.axhline(0.0, lw=0.7, **LAW)
    for panel in (neural, synaptic, density, factors, slopes):
        panel.set_xscale("symlog", linthresh=1.0)
        panel.set(xlabel="cycle", xlim=(0, float(data.cycle[-1])))
    one = data.sel(load=loads[-1]).isel(seed=0)
    radius = one.radius.isel(pattern=one.kept.values > 0)
    first = radius.isel(snapshot=0)
    for cycle, color in shaded(data.snapshot.values[1:]):
        gained = radius.sel(snapshot=cycle) - first
        gain.plot(first, gained, ".", ms=3, color=color, label=f"cycle {cycle}")
    gain.set(title="Every memory, high load", xlabel="$R$ before sleep")
    gain.set(ylabel="gain of $R$", ylim=(0.0, 1.3 * float(radius.max())))
    pruned.set(title="Pruned", ylim=(-0.03, 1.03), ylabel="probability")
    pruned.set_xlabel("z-score of log weight before sleep")
    sizes.set(title="Living weights", ylabel="share", xlabel="log$_{10}$ weight")
    sizes.set(yscale="log", ylim=(1e-4, 1.0))
    legends(axes.ravel())
    return figure


PATTERN, CYCLE = {"pattern": None}, {"cycle": times_of}
SNAPSHOT = {"snapshot": lambda config: [*SNAPSHOTS, config.cycles]}
SIZE = {"size": middles(EDGES)}
COURSES = ("l1", "l2", "synaptic", "unpruned", "density", "within", "across")
FIG3_SLEEP = Experiment(
    name="fig3_sleep",
    source="Fig. 3, sleep",
    shows="replay of the weakest memories makes them robust and prunes weak synapses",
    config=Config,
    run=night,
    claims=(
        *(never_falls, saturates, overshoots, peaks_early, half_potentiates),
        synaptic_ratio_ends,
        *(weak_gain_most, memories_gain, load_costs_gain),
        *(density_at_high_load, load_needs_synapses, pruned_stay_so),
        *(weak_are_lost, factors_align, weights_grow),
    ),
    figure=draw_sleep,
    # neurons replay patterns at random, which destroys them soon
    control=changed(policy="random", cycles=EARLY + EVERY),
    axes={
        **dict.fromkeys((*COURSES, "potentiating", "slope", "gain"), CYCLE),
        "radius": SNAPSHOT | PATTERN,
        "kept": PATTERN,
        "pruned": CYCLE | {"bin": BINS},
        "histogram": WHEN | SIZE,
        **dict.fromkeys(("strength", "spread"), WHEN),
    },
)
