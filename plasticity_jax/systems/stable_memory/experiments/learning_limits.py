"""Supplementary Figure 2 and the published stimulus: where learning has limits."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import changed, claim, Experiment, panels, SHADES, THEORY
from ....tasks import Drive
from ..config import Config
from ..stimuli import rotating, wandering
from ..theory import controlled_state
from . import learning
from .learning import MOMENTS, with_error


PUBLISHED = (("decorrelation", 25.0, 50.0), ("rate_control", 10.0, 100.0))  # A_b, tau_y
LEARNED = 1.5  # |A| above which a plane counts as learned
STANDS_OUT = 0.9  # overlap above which the leading eigenvector is the plane's
MEASURED = 24  # networks of the independent evaluation
TIME, RULE = {"time": learning.record_times}, {"rule": [rule for rule, *_ in PUBLISHED]}


def taught(
    config: Config,
    for_start: Key[Array, ""],
    planes: learning.Planes,
    task: Drive,
    key: Key[Array, ""],
) -> tuple[Any, Float[Array, "stage n n"]]:
    """A stimulus in the first plane, in stages of `duration`."""
    start = learning.settled(config, for_start)
    record = jax.tree_util.Partial(learning.in_planes, planes[:1])
    return learning.in_stages(config, start, task, record, key)


def controlled(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""One plane, learned for `duration`: $A$, $S$, its eigenvalue, and the theory.

    `rotation` and `expansion` (time); `written` is $A$ at the end of the stimulus and
    `predicted_written` where clamped activity would bring it. `eigenvalue` (part) and
    `overlap` are those of the eigenvector nearest to the plane at that time.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    planes = learning.all_planes(config, for_planes)
    task = rotating(config, planes[0])
    seen, weights = taught(config, for_start, planes, task, for_run)
    count = config.steps("duration") // config.steps("record_every")
    power = jnp.mean(seen["power"][count // 2 : count, 0])
    spectrum = learning.spectrum_of(weights[0], planes, 1)
    return {
        **{name: seen[name][:, 0] for name in ("rotation", "expansion")},
        "written": seen["rotation"][count - 1, 0],
        "predicted_written": controlled_state(config, jnp.sqrt(power)).rotation,
        "eigenvalue": jnp.stack([spectrum["growth"][0], spectrum["frequency"][0]]),
        "overlap": spectrum["overlap"][0],
    }


# --- rate control limits what is learned; slow stimuli write no plane -----------------


def share_above(rows: DataArray, bound: float) -> float:
    """The share of entries above a bound; NaN if any entry is."""
    return float((rows > bound).where(rows.notnull()).mean(skipna=False))


three_of_all = lambda data, control: 3 / data.sizes["seed"]  # at most: none, to 95 %
EVALUATED = "Supp. Fig. 2; independent evaluation: "


def written(data: Dataset, gain: float) -> tuple[float, float]:
    """|A| after a fast stimulus, in units of the theory of clamped activity."""
    here = data.sel(learning_gain=gain, frequency=data.frequency.max())
    return with_error(abs(here.written / here.predicted_written))


@claim(
    "Supp. Fig. 2; derived: |A| = {gain:g}",
    low=0.8,
    high=1.25,
    control=lambda data, control, gain: written(control, gain) if gain == 1 else None,
    each={"gain": (1.0, 5.0)},
)
def limited(data: Dataset, gain: float) -> tuple[float, float]:
    """|A| after learning under rate control, learning gain {gain:g}, in units of the
    theory of clamped activity.
    """
    return written(data, gain)


@claim(f"{EVALUATED}0.84 to 0.89", low=0.8, high=0.95, control=None)
def written_plane(data: Dataset) -> tuple[float, float]:
    """Overlap of the learned plane with its eigenvector, learning gain 5."""
    fast = data.sel(learning_gain=5.0, frequency=data.frequency.max())
    return with_error(fast.overlap)


@claim(
    "Supp. Fig. 2, derived: at most 3 of all networks is none, to 95 %",
    low=0.0,
    high=three_of_all,
    control=None,
)
def none_after_a_slow_stimulus(data: Dataset) -> float:
    """Networks where an eigenvector stands out in the plane (overlap above 0.9) after a
    slow stimulus, learning gain 5 (share).
    """
    slow = data.sel(learning_gain=5.0, frequency=data.frequency.min())
    return share_above(slow.overlap, STANDS_OUT)


def draw_controlled(data: Dataset) -> Figure:
    """Supplementary Figure 2: strength against theory; which planes stand out."""
    figure, axes = panels(1, 2, 3.8, 3.0)
    strengths, plane = axes[0]
    gains = data.learning_gain.values
    fast = data.sel(frequency=data.frequency.max())
    for gain, color in zip(gains, SHADES, strict=False):
        row = fast.sel(learning_gain=gain)
        rows = abs(row.rotation).transpose("seed", "time").values
        time = data.time / data.time.values[-1]
        strengths.plot(time, rows.T, color=color, lw=0.5, alpha=0.5)
        label = f"learning gain {gain:g}"
        strengths.plot(time, rows.mean(0), color=color, lw=1.8, label=label)
        law = abs(float(row.predicted_written.mean()))
        strengths.axhline(law, color=color, ls="--", lw=1)
    top = 1.7 * float(abs(fast.rotation).max())
    strengths.set(xlabel="time / length of the run", ylabel="$|A|$", ylim=(0, top))
    strengths.plot([], [], "--", color=THEORY, label="clamped activity")
    strengths.legend(frameon=False, fontsize="small", loc="upper right")
    strong = data.sel(learning_gain=gains.max())
    for k, frequency in enumerate(data.frequency.values):
        row = strong.sel(frequency=frequency)
        label = f"$\\omega$ = {frequency:g}"
        turn = row.eigenvalue.sel(part="imaginary")
        plane.plot(turn, row.overlap, "os"[k], color=SHADES[2 + k], ms=4, label=label)
    plane.set(xlabel="Im of the eigenvalue nearest to the plane", ylim=(0, 1.3))
    plane.set(ylabel="overlap of its eigenvector")
    title = f"stimulus, learning gain {gains.max():g}"
    plane.legend(frameon=False, fontsize="small", title=title, title_fontsize="small")
    return figure


def draw_wandered(data: Dataset) -> Figure:
    """The published stimulus: distributions of strength and of overlap by rule."""
    figure, axes = panels(1, 3, 3.4, 2.8)
    strengths, *moments = axes[0]
    names = [name.replace("_", " ") for name in data.rule.values]
    last = abs(data.rotation.isel(time=-1)).transpose("rule", "seed").values
    style = {"alpha": 0.7, "label": names, "color": SHADES[: len(names)]}
    strengths.hist(list(last), np.linspace(0, max(2.0, last.max()), 16), **style)
    strengths.axvline(LEARNED, color=THEORY, ls="--", lw=1)
    strengths.set(xlabel="$|A|$ at the end", ylabel="networks")
    strengths.legend(frameon=False, fontsize="small")
    for panel, moment in zip(moments, data.moment.values, strict=True):
        rows = data.leading.sel(moment=moment).transpose("rule", "seed").values
        panel.hist(list(rows), np.linspace(0, 1, 16), **style)
        panel.axvline(STANDS_OUT, color=THEORY, ls="--", lw=1)
        panel.set(xlabel="overlap of the leading eigenvector", title=moment)
        panel.set(ylabel="networks")
    return figure


SUPP2 = Experiment(
    name="supp2",
    source="Supp. Fig. 2",
    shows="planes learned under rate control: what limits them",
    config=Config,
    run=controlled,
    claims=(limited, written_plane, none_after_a_slow_stimulus),
    figure=draw_controlled,
    control=changed(homeostasis="none"),
    axes={
        **dict.fromkeys(("rotation", "expansion"), TIME),
        "eigenvalue": {"part": ("real", "imaginary")},
    },
)


def wandered(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""The published stimulus under the published parameters of both rules.

    `rotation` (rule, time); `leading` (rule, moment) is the overlap of the eigenvector
    of largest imaginary part with the plane, at the end of the stimulus and `follow`
    later.
    """

    def under(kind: str, amplitude: float, trace_time: float) -> dict[str, Array]:
        here = dataclasses.replace(
            config, homeostasis=kind, amplitude=amplitude, trace_time=trace_time
        )
        for_start, for_planes, for_course, for_run = jr.split(key, 4)
        planes = learning.all_planes(here, for_planes)
        task = wandering(here, planes[0], for_course)
        seen, weights = taught(here, for_start, planes, task, for_run)
        ends = jnp.stack([weights[0], weights[-1]])
        spectrum = lambda w: learning.spectrum_of(w, planes, 1)
        leading = jax.lax.map(spectrum, ends)["leading"][:, 0]
        return {"rotation": seen["rotation"][:, 0], "leading": leading}

    seen = [under(*published) for published in PUBLISHED]
    return jax.tree.map(lambda *rows: jnp.stack(rows), *seen)


# --- published stimulus: not every network learns, and none under rate control --------
# The paper shows one network that does.


def published(share: float) -> Any:
    """A claim: a share of networks, three binomial standard errors about the given."""

    def width(data: Dataset) -> float:
        networks = 1 / MEASURED + 1 / data.sizes["seed"]
        return 3 * math.sqrt(share * (1 - share) * networks)

    return claim(
        f"Fig. 3; independent evaluation: {share:.2f} of {MEASURED}",
        low=lambda data, control: max(share - width(data), 1 / data.sizes["seed"]),
        high=lambda data, control: min(share + width(data), 1.0),
    )


def networks_above(rows: DataArray, bound: float) -> tuple[float, float]:
    """The share of networks above a bound, and its binomial standard error."""
    share = share_above(rows, bound)
    return share, math.sqrt(share * (1 - share) / rows.sizes["seed"])


@published(0.75)
def ends_strong(data: Dataset) -> tuple[float, float]:
    """Published stimulus, decorrelation: networks that end with |A| > 1.5 (share)."""
    last = data.rotation.sel(rule="decorrelation").isel(time=-1)
    return networks_above(abs(last), LEARNED)


@published(0.46)
def leads(data: Dataset) -> tuple[float, float]:
    """Published stimulus, decorrelation: networks whose leading eigenvector is the
    plane's when the stimulus ends: learning is not robust (share).
    """
    leading = data.leading.sel(rule="decorrelation", moment=MOMENTS[0])
    return networks_above(leading, STANDS_OUT)


@published(0.38)
def still_leads(data: Dataset) -> tuple[float, float]:
    """Published stimulus, decorrelation: networks where it still is at the end
    (share).
    """
    leading = data.leading.sel(rule="decorrelation", moment=MOMENTS[1])
    return networks_above(leading, STANDS_OUT)


@claim(f"{EVALUATED}0", low=0.0, high=three_of_all, control=None)
def none_under_rate_control(data: Dataset) -> float:
    """Published stimulus, rate control: networks whose leading eigenvector is the
    plane's: the paper's does not occur (share).
    """
    leading = data.leading.sel(rule="rate_control", moment=MOMENTS[0])
    return share_above(leading, STANDS_OUT)


FIG3_PUBLISHED = Experiment(
    name="fig3_published",
    source="Fig. 3, Supp. Fig. 2",
    shows="the published stimulus over many networks: which of them learn",
    config=Config,
    run=wandered,
    claims=(ends_strong, leads, still_leads, none_under_rate_control),
    figure=draw_wandered,
    control=changed(learning_gain=0.0),
    axes={"rotation": RULE | TIME, "leading": RULE | {"moment": MOMENTS}},
)


# --- slow stimuli under rate control: nine settings -----------------------------------

SLOW = {  # trace time, duration
    "100, for 100": (100.0, 100.0),
    "100, for 400": (100.0, 400.0),
    "10, for 400": (10.0, 400.0),
}


def slowly(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""A wandering stimulus of the config's amplitude in each of SLOW.

    `leading` (setting, moment) as in `wandered`; `written` (setting, moment) is $A$.
    """

    def under(trace_time: float, duration: float) -> dict[str, Array]:
        times = {"trace_time": trace_time, "duration": duration, "follow": duration}
        here = dataclasses.replace(config, **times)
        for_start, for_planes, for_course, for_run = jr.split(key, 4)
        planes = learning.all_planes(here, for_planes)
        task = wandering(here, planes[0], for_course)
        seen, weights = taught(here, for_start, planes, task, for_run)
        spectrum = lambda w: learning.spectrum_of(w, planes, 1)
        leading = jax.lax.map(spectrum, weights)["leading"][:, 0]
        stop = here.steps("duration") // here.steps("record_every")
        return {"leading": leading, "written": seen["rotation"][stop - 1 :: stop, 0]}

    seen = [under(*times) for times in SLOW.values()]
    return jax.tree.map(lambda *rows: jnp.stack(rows), *seen)


@claim(
    f"{EVALUATED}0 of 12 to 16 networks each",
    low=0.0,
    high=lambda data, control: 3 / data.leading.sel(moment=MOMENTS[0]).size,
)
def none_in_nine_settings(data: Dataset) -> float:
    """Slow stimuli, rate control: runs of nine settings whose leading eigenvector is
    the plane's when the stimulus ends (share); control: decorrelation.
    """
    return share_above(data.leading.sel(moment=MOMENTS[0]), STANDS_OUT)


def draw_slow(data: Dataset) -> Figure:
    """Overlap of the leading eigenvector and |A|, all networks of all settings."""
    figure, axes = panels(1, 2, 3.6, 2.8)
    now = data.sel(moment=MOMENTS[0])
    bounds = {"leading": STANDS_OUT, "written": 1.0}
    for panel, (name, bound) in zip(axes[0], bounds.items(), strict=True):
        for k, (setting, color) in enumerate(zip(SLOW, SHADES, strict=False)):
            rows = abs(now[name].sel(setting=setting)).transpose("amplitude", "seed")
            place = data.amplitude.values * 1.15 ** (k - 1)
            panel.plot(place, rows.values, ".", color=color, ms=4)
            panel.plot([], [], ".", color=color, label=setting)
        panel.axhline(bound, color=THEORY, ls="--", lw=1)
        panel.set(xscale="log", xlabel="amplitude of the stimulus")
        panel.set_xticks(data.amplitude, [f"{x:g}" for x in data.amplitude.values])
        panel.minorticks_off()
    axes[0, 0].set(ylabel="overlap, leading eigenvector", ylim=(0, 1.05))
    axes[0, 1].set(ylabel="$|A|$ when the stimulus ends")
    title = "trace time, duration"
    style = {"frameon": False, "fontsize": "small", "title_fontsize": "small"}
    axes[0, 1].legend(title=title, **style)
    return figure


SLOW_STIMULI = Experiment(
    name="supp2_slow",
    source="Supp. Fig. 2",
    shows="slow stimuli write no plane under rate control, in nine settings",
    config=Config,
    run=slowly,
    claims=(none_in_nine_settings,),
    figure=draw_slow,
    control=changed(homeostasis="decorrelation", gain=0.5),
    axes={
        "leading": {"setting": tuple(SLOW), "moment": MOMENTS},
        "written": {"setting": tuple(SLOW), "moment": MOMENTS},
    },
)
