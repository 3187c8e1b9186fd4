"""Supplementary Figure 2 and the published stimulus: where learning has limits."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import State, System
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....tasks import Drive, turning, wandering
from ..config import Config, REFERENCE_STEP
from ..theory import controlled_state
from .learning import (
    all_planes,
    Course,
    in_planes,
    in_stages,
    settled,
    spectrum_of,
)


PUBLISHED = (("decorrelation", 25.0, 50.0), ("rate_control", 10.0, 100.0))  # A_b, tau_y
LEARNED = 1.5  # |A| above which a plane counts as learned
STANDS_OUT = 0.9  # overlap above which the leading eigenvector is the plane's
MEASURED = {"strong": 0.75, "leading": 0.46, "kept": 0.38}  # shares of networks
MEASURED_NETWORKS = 24


def taught(
    config: Config,
    start: tuple[System, State],
    planes: Float[Array, "plane 2 n"],
    course: Float[Array, "step 2"],
    key: Key[Array, ""],
) -> Course:
    """`course` along the axes of the first plane, in stages of `duration`."""
    system, state = start
    stages = 1 + round(config.follow / config.duration)
    return in_stages(
        dataclasses.replace(system, task=Drive(planes[0], course, "silence")),
        state,
        key,
        jax.tree_util.Partial(in_planes, planes[:1]),
        stages=stages,
        steps=config.steps("duration"),
        every=config.steps("record_every"),
    )


def controlled(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""One plane, learned for `duration`: $A$, $S$, its eigenvalue, and the theory.

    `rotation` and `expansion` (time); `written` is $A$ at the end of the stimulus and
    `predicted_written` where clamped activity would bring it. `eigenvalue` (part) and
    `overlap` are those of the eigenvector nearest to the plane at that time.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    planes = all_planes(config, for_planes)
    steps = config.steps("duration")
    course = turning(steps, config.step, 0.0, config.duration, config.frequency)
    course = config.amplitude * config.size**0.5 * course
    seen, weights = taught(config, settled(config, for_start), planes, course, for_run)
    count = steps // config.steps("record_every")
    power = jnp.mean(seen["power"][count // 2 : count, 0])
    spectrum = spectrum_of(weights[0], planes, 1)
    return {
        "rotation": seen["rotation"][:, 0],
        "expansion": seen["expansion"][:, 0],
        "written": seen["rotation"][count - 1, 0],
        "predicted_written": controlled_state(config, jnp.sqrt(power)).rotation,
        "eigenvalue": jnp.stack([spectrum["growth"][0], spectrum["frequency"][0]]),
        "overlap": spectrum["overlap"][0],
    }


CONTROLLED_DIMS = {
    "rotation": ("time",),
    "expansion": ("time",),
    "eigenvalue": ("part",),
}


def share_above(rows: xarray.DataArray, bound: float) -> float:
    """The share of entries above a bound; NaN if any entry is."""
    return float((rows > bound).where(rows.notnull()).mean(skipna=False))


def controlled_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Rate control limits what is learned; slow stimuli write no plane."""
    fast, slow = float(data.frequency.max()), float(data.frequency.min())

    def ratio(data: xarray.Dataset, gain: float) -> xarray.DataArray:
        here = data.sel(learning_gain=gain, frequency=fast)
        return abs(here.written / here.predicted_written)

    def error(rows: xarray.DataArray) -> float:
        return float(rows.std("seed", ddof=1)) / math.sqrt(rows.sizes["seed"])

    drifting = data.overlap.sel(learning_gain=5.0, frequency=slow)
    overlap = data.overlap.sel(learning_gain=5.0, frequency=fast)
    return [
        *(
            Claim(
                f"|A| after learning under rate control, learning gain {gain:g}, in "
                "units of the theory of clamped activity",
                f"Supp. Fig. 2; derived: |A| = {gain:g}",
                float(ratio(data, gain).mean(skipna=False)),
                0.8,
                1.25,
                error(ratio(data, gain)),
                float(ratio(control, gain).mean(skipna=False)) if gain == 1 else None,
            )
            for gain in (1.0, 5.0)
        ),
        Claim(
            "overlap of the learned plane with its eigenvector, learning gain 5",
            "Supp. Fig. 2; independent evaluation: 0.84 to 0.89",
            float(overlap.mean(skipna=False)),
            0.8,
            0.95,
            error(overlap),
        ),
        Claim(
            f"networks where an eigenvector stands out in the plane (overlap above "
            f"{STANDS_OUT}) after a slow stimulus, learning gain 5 (share)",
            "Supp. Fig. 2, derived: at most 3 of all networks is none, to 95 %",
            share_above(drifting, STANDS_OUT),
            0.0,
            3 / data.sizes["seed"],
        ),
    ]


def without_homeostasis(plan: Plan) -> Plan:
    """Negative control: nothing limits what is written."""
    return plan._replace(config=dataclasses.replace(plan.config, homeostasis="none"))


def draw_controlled(data: xarray.Dataset) -> Figure:
    """Supplementary Figure 2: strength against theory; which planes stand out."""
    figure, axes = panels(1, 2, 3.8, 3.0)
    strengths, plane = axes[0]
    gains = data.learning_gain.values
    fast = data.sel(frequency=data.frequency.max())
    for k, gain in enumerate(gains):
        row, color = fast.sel(learning_gain=gain), SHADES[k]
        rows = abs(row.rotation).transpose("seed", "time").values
        time = (1 + np.arange(rows.shape[1])) / rows.shape[1]
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
        turn = row.eigenvalue.isel(part=1)
        plane.plot(turn, row.overlap, "os"[k], color=SHADES[2 + k], ms=4, label=label)
    plane.set(xlabel="Im of the eigenvalue nearest to the plane", ylim=(0, 1.3))
    plane.set(ylabel="overlap of its eigenvector")
    title = f"stimulus, learning gain {gains.max():g}"
    plane.legend(frameon=False, fontsize="small", title=title, title_fontsize="small")
    return figure


def draw_wandered(data: xarray.Dataset) -> Figure:
    """The published stimulus: distributions of strength and of overlap by rule."""
    from ..experiments.learning_limits import LEARNED, PUBLISHED, STANDS_OUT

    figure, axes = panels(1, 3, 3.4, 2.8)
    strengths, *moments = axes[0]
    names = [name.replace("_", " ") for name, *_ in PUBLISHED]
    last = abs(data.rotation.isel(time=-1)).transpose("rule", "seed").values
    style = {"alpha": 0.7, "label": names, "color": SHADES[: len(names)]}
    strengths.hist(list(last), np.linspace(0, max(2.0, last.max()), 16), **style)
    strengths.axvline(LEARNED, color=THEORY, ls="--", lw=1)
    strengths.set(xlabel="$|A|$ at the end", ylabel="networks")
    strengths.legend(frameon=False, fontsize="small")
    for k, title in enumerate(("end of the stimulus", "end of the run")):
        rows = data.leading.isel(moment=k).transpose("rule", "seed").values
        moments[k].hist(list(rows), np.linspace(0, 1, 16), **style)
        moments[k].axvline(STANDS_OUT, color=THEORY, ls="--", lw=1)
        moments[k].set(xlabel="overlap of the leading eigenvector", title=title)
        moments[k].set(ylabel="networks")
    return figure


SUPP2 = Experiment(
    name="supp2",
    source="Supp. Fig. 2",
    shows="planes learned under rate control: what limits them",
    config=Config,
    run=controlled,
    claims=controlled_claims,
    figure=draw_controlled,
    control=without_homeostasis,
    dims=CONTROLLED_DIMS,
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
        planes = all_planes(here, for_planes)
        steps = here.steps("duration") + here.steps("follow")
        course = wandering(
            steps,
            here.step,
            0.0,
            here.duration,
            here.decay,
            REFERENCE_STEP,
            for_course,
        )
        seen, weights = taught(
            here, settled(here, for_start), planes, amplitude * course, for_run
        )
        ends = jnp.stack([weights[0], weights[-1]])
        leading = jax.lax.map(lambda w: spectrum_of(w, planes, 1)["leading"][0], ends)
        return {"rotation": seen["rotation"][:, 0], "leading": leading}

    seen = [under(*published) for published in PUBLISHED]
    return jax.tree.map(lambda *rows: jnp.stack(rows), *seen)


WANDERED_DIMS = {"rotation": ("rule", "time"), "leading": ("rule", "moment")}


def wandered_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Not every network learns: shares of networks, and none under rate control.

    The paper shows one network that does. Intervals are three binomial standard errors
    about the shares of an independent evaluation of 24 networks.
    """

    def shares(data: xarray.Dataset, rule: int) -> dict[str, float]:
        leading = data.leading.isel(rule=rule)
        last = abs(data.rotation.isel(rule=rule, time=-1))
        return {
            "strong": share_above(last, LEARNED),
            "leading": share_above(leading.isel(moment=0), STANDS_OUT),
            "kept": share_above(leading.isel(moment=1), STANDS_OUT),
        }

    says = {
        "strong": f"networks that end with |A| > {LEARNED} (share)",
        "leading": "networks whose leading eigenvector is the plane's when the "
        "stimulus ends: learning is not robust (share)",
        "kept": "networks where it still is at the end (share)",
    }
    got, removed, networks = shares(data, 0), shares(control, 0), data.sizes["seed"]
    claims = []
    for name, share in MEASURED.items():
        width = 3 * math.sqrt(
            share * (1 - share) * (1 / MEASURED_NETWORKS + 1 / networks)
        )
        own = math.sqrt(got[name] * (1 - got[name]) / networks)
        claims.append(
            Claim(
                f"published stimulus, decorrelation: {says[name]}",
                f"Fig. 3; independent evaluation: {share:.2f} of {MEASURED_NETWORKS}",
                got[name],
                max(share - width, 1 / networks),
                min(share + width, 1.0),
                own,
                removed[name],
            )
        )
    rate = shares(data, 1)["leading"]
    claims.append(
        Claim(
            "published stimulus, rate control: networks whose leading eigenvector is "
            "the plane's: the paper's does not occur (share)",
            "Supp. Fig. 2; independent evaluation: 0",
            rate,
            0.0,
            3 / networks,
        )
    )
    return claims


def without_learning(plan: Plan) -> Plan:
    """Negative control: the stimulus leaves no trace but homeostasis."""
    return plan._replace(config=dataclasses.replace(plan.config, learning_gain=0.0))


FIG3_PUBLISHED = Experiment(
    name="fig3_published",
    source="Fig. 3, Supp. Fig. 2",
    shows="the published stimulus over many networks: which of them learn",
    config=Config,
    run=wandered,
    claims=wandered_claims,
    figure=draw_wandered,
    control=without_learning,
    dims=WANDERED_DIMS,
)
