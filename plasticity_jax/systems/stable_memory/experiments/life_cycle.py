"""Figure 5: the life of a memory, from its stimulus to its recall."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import simulate, State
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import change_shares, integrated_changes, plane_activity
from ....tasks import cue, Drive, turning
from ..config import Config
from .learning import all_planes, in_planes, Planes, settled, spectrum_of


STAGE, STAGES = 100.0, 14  # windows over which changes are summed
LEARNING = (100.0, 400.0)  # when the stimuli in the planes to be learned begin
LEARNING_TIME = 100.0  # how long they last
CUES = (800.0, 1000.0, 1200.0)  # along one axis of each plane; the third is novel
CUE_TIME, ECHO_TIME = 5.0, 10.0  # how long a cue lasts; how long it is listened to
WEIGHTS = ((0, 1), (2, 3), (4, 5), (6, 7))  # synapses that are shown


def course_of(config: Config) -> Float[Array, "step axis"]:
    """Two planes are learned in turn, then three are cued; two columns for each."""
    steps, dt = round(STAGE * STAGES / config.step), config.step
    columns = []
    for k, at in enumerate(CUES):
        part = config.cue_amplitude * cue(steps, dt, at, at + CUE_TIME)
        if k < len(LEARNING):
            start, stop = LEARNING[k], LEARNING[k] + LEARNING_TIME
            whole = turning(steps, dt, start, stop, config.frequency)
            part = part + config.amplitude * whole
        columns.append(part)
    return jnp.hstack(columns)


def life(planes: Planes, state: Any, signals: Any, changes: Any) -> dict[str, Array]:
    """Coefficients of the planes, four weights, the rms change of one step by cause."""
    share = change_shares(changes)
    rows, columns = np.asarray(WEIGHTS).T
    return {
        **in_planes(planes, state, signals, changes),
        "weight": state.synapses[rows, columns],
        "spontaneous": share.spontaneous,
        "dependent": share.dependent,
    }


def overlaps(planes: Planes, state: Any, signals: Any, changes: Any) -> Array:
    """Activity along both axes of every plane, shaped (plane, 2)."""
    del state, changes
    return jnp.stack(
        [jnp.stack(plane_activity(signals.potential, *pair)[:2]) for pair in planes]
    )


def whole_life(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Learn two planes, wait, cue both and a novel one.

    In time: `rotation`, `expansion`, `power` (time, plane), `weight` (time, synapse),
    and the rms change of a step, `spontaneous` and `dependent` on activity (time); over
    windows, `summed` (window, cause). `echo` (cue, moment, axis) is the activity in the
    cued plane from the cue on; `growth`, `ringing` and `overlap` (moment, plane)
    are the planes' eigenvalues before the first cue and at the end.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    system, start = settled(config, for_start)
    planes = all_planes(config, for_planes)
    shown = planes[: len(CUES)]
    axes = config.size**0.5 * shown.reshape(2 * len(CUES), -1)
    system = dataclasses.replace(system, task=Drive(axes, course_of(config)))
    steps, every = round(STAGE / config.step), config.steps("record_every")
    record = jax.tree_util.Partial(life, shown)

    def stage(state: State, _: None) -> tuple[State, Any]:
        final, seen = simulate(
            system, state, for_run, steps=steps, every=every, record=record
        )
        changes = integrated_changes(system, state, for_run, steps=steps)[1]
        return final, (seen, jnp.stack(change_shares(changes)), state)

    final, (seen, summed, begun) = jax.lax.scan(stage, start, length=STAGES)
    seen = {name: x.reshape(-1, *x.shape[2:]) for name, x in seen.items()}
    # a noisy step stands for all those between two changes by noise
    seen["spontaneous"] = seen["spontaneous"] / config.noise_every**0.5
    cued = jnp.asarray([round(at / STAGE) for at in CUES])
    echo = jax.lax.map(
        lambda state: simulate(
            system,
            state,
            for_run,
            steps=round(ECHO_TIME / config.step),
            record=jax.tree_util.Partial(overlaps, shown),
        )[1],
        jax.tree.map(lambda x: x[cued], begun),
    )
    before = begun.synapses[cued[0]]
    spectrum = jax.lax.map(
        lambda weights: spectrum_of(weights, planes, len(CUES)),
        jnp.stack([before, final.synapses]),
    )
    own = jnp.arange(len(CUES))
    return {
        **seen,
        "summed": summed,
        "echo": echo[own, :, own],
        "growth": spectrum["growth"],
        "ringing": spectrum["frequency"],
        "overlap": spectrum["overlap"],
    }


DIMS = {
    **dict.fromkeys(("rotation", "expansion", "power"), ("time", "plane")),
    **dict.fromkeys(("spontaneous", "dependent"), ("time",)),
    **dict.fromkeys(("growth", "ringing", "overlap"), ("moment", "plane")),
    "weight": ("time", "synapse"),
    "summed": ("window", "cause"),
    "echo": ("cue", "delay", "axis"),
}


def quadrature_ratio(data: xarray.Dataset) -> xarray.DataArray:
    r"""Peak $|p_v|$ over peak $|p_u|$ of a plane cued along $u$: recall of the rest."""
    peak = abs(data.echo).max("delay", skipna=False)
    return peak.isel(axis=1) / peak.isel(axis=0)


def ringing_frequency(data: xarray.Dataset, step: float) -> xarray.DataArray:
    """Speed (radians per unit of time) at which the echo turns once the cue is off.

    Over one neural time constant: what comes later is of slower eigenvectors.
    """
    first, count = round(CUE_TIME / step) + 1, round(1.0 / step) + 1
    echo = data.echo.isel(delay=slice(first, first + count))
    phase = np.unwrap(
        np.arctan2(echo.isel(axis=1), echo.isel(axis=0)),
        axis=echo.isel(axis=0).get_axis_num("delay"),
    )
    phase = echo.isel(axis=0).copy(data=phase)
    turned = phase.isel(delay=-1) - phase.isel(delay=0)
    return abs(turned) / ((count - 1) * step)


def phase_of(data: xarray.Dataset, start: float, stop: float) -> xarray.Dataset:
    """The records between two times."""
    per = data.sizes["time"] / (STAGE * STAGES)
    return data.isel(time=slice(round(start * per), round(stop * per)))


def life_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """A part of a stored plane calls up the rest; learning and recall change little."""
    stored, novel = slice(len(LEARNING)), len(LEARNING)
    count = math.sqrt(data.sizes["seed"])

    def error(rows: xarray.DataArray) -> float:
        return float(rows.std("seed", ddof=1)) / count

    def recalled(data: xarray.Dataset) -> xarray.DataArray:
        return quadrature_ratio(data).isel(cue=stored).mean("cue", skipna=False)

    def first_plane(time: float) -> xarray.DataArray:
        return phase_of(data, 0.0, time).rotation.isel(time=-1, plane=0)

    unknown = quadrature_ratio(data).isel(cue=novel)
    step = ECHO_TIME / data.sizes["delay"]
    ringing = data.ringing.isel(moment=0, plane=stored).values
    tuned = ringing_frequency(data, step).isel(cue=stored) / ringing
    moved = abs(data.ringing.isel(moment=1) / data.ringing.isel(moment=0) - 1)
    kept = first_plane(CUES[0]) / first_plane(LEARNING[0] + LEARNING_TIME)
    return [
        Claim(
            "cue along one axis of a stored plane: peak response of the other axis "
            "over that of the cued one",
            "Fig. 5a; independent evaluation: 1.0",
            float(recalled(data).mean(skipna=False)),
            0.8,
            1.25,
            error(recalled(data)),
            float(recalled(control).mean(skipna=False)),
        ),
        Claim(
            "the same in a plane that was never learned",
            "Fig. 5a; independent evaluation: 0.08 to 0.12",
            float(unknown.mean(skipna=False)),
            0.0,
            0.3,
            error(unknown),
        ),
        Claim(
            "frequency at which a cued plane rings, over that of its eigenvalue",
            "Fig. 5a, derived",
            float(tuned.mean(skipna=False)),
            0.85,
            1.15,
            error(tuned.mean("cue")),
        ),
        Claim(
            "share of A of the first plane left after learning the second",
            "Fig. 5c",
            float(kept.mean(skipna=False)),
            0.95,
            1.05,
            error(kept),
        ),
        Claim(
            "relative change of a learned eigenvalue's frequency by the cues (largest "
            "over networks and planes)",
            "Fig. 5c",
            float(moved.isel(plane=stored).max(skipna=False)),
            0.0,
            0.15,
        ),
        *balance_claims(data),
    ]


def balance_claims(data: xarray.Dataset) -> list[Claim]:
    """Change due to activity beside change by noise, in every phase of a life."""

    def balance(start: float, stop: float) -> float:
        here = phase_of(data, start, stop)
        activity = here.dependent.mean("time", skipna=False)
        noise = here.spontaneous.max("time", skipna=False)
        return float((activity / noise).mean(skipna=False))

    phases = {
        "learning": (LEARNING[0], LEARNING[0] + LEARNING_TIME),
        "a cue": (CUES[0], CUES[0] + CUE_TIME),
    }
    return [
        *(
            Claim(
                f"rms change due to activity over that by noise, instantaneous, "
                f"during {name}: of similar size only loosely",
                "Fig. 5b",
                balance(*times),
                0.3,
                30.0,
            )
            for name, times in phases.items()
        ),
        Claim(
            "the same in silence, where rate control has nothing to correct: the "
            "paper's similar size in all phases does not hold",
            "Fig. 5b; independent evaluation: 0",
            balance(CUES[0] - 100.0, CUES[0]),
            0.0,
            0.1,
        ),
    ]


def without_learning(plan: Plan) -> Plan:
    """Negative control: stimuli and cues without learning."""
    return plan._replace(config=dataclasses.replace(plan.config, learning_gain=0.0))


STIMULUS, CUE = "0.9", "#f3d9b1"


def draw_life(data: xarray.Dataset) -> Figure:
    """Figure 5: recall, shares of change, what cues do, weights in time."""
    from ..experiments.life_cycle import STAGE, STAGES

    figure, axes = panels(2, 4, 3.4, 2.8)
    one = data.isel(seed=0)
    total = STAGE * STAGES
    time = (1 + np.arange(data.sizes["time"])) * total / data.sizes["time"]
    _echoes(axes[0, :3], one)
    shares, planes, weights = axes[1, :3]
    size = {"activity": one.dependent, "noise": one.spontaneous}
    for k, (label, rows) in enumerate(size.items()):
        rows = np.where(rows > 0, rows, np.nan)
        shares.semilogy(time, rows, color=SHADES[2 * k], lw=0.8, label=label)
    bottom, top = float(one.spontaneous.max()) / 30, float(one.dependent.max())
    shares.set(xlabel="time", ylabel="rms change of a step", ylim=(bottom, 20 * top))
    shares.legend(frameon=False, fontsize="small", ncols=2)
    for k, label in enumerate(("plane 1", "plane 2", "novel")):
        rows = abs(data.rotation.isel(plane=k)).transpose("seed", "time").values
        planes.plot(time, rows.T, color=SHADES[k], lw=0.4, alpha=0.4)
        planes.plot(time, rows.mean(0), color=SHADES[k], lw=1.6, label=label)
    top = 1.5 * float(abs(data.rotation.isel(time=-1)).max())
    planes.set(xlabel="time", ylabel="$|A|$", ylim=(0, top))
    planes.legend(frameon=False, fontsize="small", ncols=3, loc="upper center")
    for k in range(data.sizes["synapse"]):
        weights.plot(time, one.weight.isel(synapse=k), color=SHADES[k], lw=1)
    weights.set(xlabel="time", ylabel="weight of four synapses")
    for panel in axes[1, :3]:
        _shade(panel)
    _windows(axes[0, 3], data)
    _before_and_after(axes[1, 3], data)
    return figure


def _echoes(row: np.ndarray, data: xarray.Dataset) -> None:
    """Activity of one network in the three cued planes."""
    from ..experiments.life_cycle import ECHO_TIME

    titles = ("cue of plane 1", "cue of plane 2", "cue of a novel plane")
    delay = np.arange(data.sizes["delay"]) * ECHO_TIME / data.sizes["delay"]
    bottom, top = float(data.echo.min()) - 0.05, 1.1 * float(data.echo.max())
    for k, panel in enumerate(row):
        for j, label in enumerate(("cued axis $p_u$", "other axis $p_v$")):
            echo = data.echo.isel(cue=k, axis=j)
            panel.plot(delay, echo, color=SHADES[2 * j], label=label)
        panel.set(xlabel="time from the cue", ylabel="activity", title=titles[k])
        panel.set_ylim(bottom, top)
    row[0].legend(frameon=False, fontsize="small")


def _windows(panel: Axes, data: xarray.Dataset) -> None:
    """The rms of changes summed over windows, by cause."""
    from ..experiments.life_cycle import STAGE

    middle = STAGE * (0.5 + np.arange(data.sizes["window"]))
    mean = data.summed.mean("seed", skipna=False)
    for k, (cause, label) in enumerate(((1, "activity"), (0, "noise"))):
        rows = np.where(mean.isel(cause=cause) > 0, mean.isel(cause=cause), np.nan)
        panel.semilogy(middle, rows, "o", ms=4, color=SHADES[2 * k], label=label)
    panel.set(xlabel="time", ylabel="rms change of 100 time units")
    panel.set_ylim(1e-4, 10 * float(mean.max()))
    panel.legend(frameon=False, fontsize="small", ncols=2)
    _shade(panel)


def _before_and_after(panel: Axes, data: xarray.Dataset) -> None:
    """Frequencies of the learned planes' eigenvalues before and after all cues."""
    for k, label in enumerate(("plane 1", "plane 2")):
        before, after = data.ringing.isel(plane=k).transpose("moment", "seed").values
        panel.plot(before, after, "o", ms=4, color=SHADES[k], label=label)
    ends = np.array([float(data.ringing[..., :2].min()), float(data.ringing.max())])
    panel.plot(ends, ends, "--", color=THEORY, label="unchanged")
    panel.set(xlabel="Im before the cues", ylabel="Im after them")
    panel.legend(frameon=False, fontsize="small")


def _shade(panel: Axes) -> None:
    """When stimuli and cues are on."""
    from ..experiments.life_cycle import CUE_TIME, CUES, LEARNING, LEARNING_TIME

    for start in LEARNING:
        panel.axvspan(start, start + LEARNING_TIME, color=STIMULUS, zorder=0)
    for start in CUES:
        panel.axvspan(start, start + 3 * CUE_TIME, color=CUE, zorder=0)


FIG5 = Experiment(
    name="fig5",
    source="Fig. 5",
    shows=(
        "the life cycle of two memories: learning, retention, recall from a partial cue"
    ),
    config=Config,
    run=whole_life,
    claims=life_claims,
    figure=draw_life,
    control=without_learning,
    dims=DIMS,
)
