"""Figure 5: the life of a memory, from its stimulus to its recall."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State
from ....experiment import changed, claim, Experiment, panels, SHADES, THEORY
from ....measure import change_shares, integrated_changes, plane_activity
from ....tasks import cue, Drive, turning
from ..config import Config
from . import learning
from .learning import Planes, with_error


STAGE, STAGES = 100.0, 14  # windows over which changes are summed
LEARNING = (100.0, 400.0)  # when the stimuli in the planes to be learned begin
LEARNING_TIME = 100.0  # how long they last
CUES = (800.0, 1000.0, 1200.0)  # along one axis of each plane; the third is novel
CUE_TIME, ECHO_TIME = 5.0, 10.0  # how long a cue lasts; how long it is listened to
WEIGHTS = ((0, 1), (2, 3), (4, 5), (6, 7))  # synapses that are shown
MIDDLES = STAGE * (np.arange(STAGES) + 0.5)  # of the windows
TAUGHT = ("plane 1", "plane 2")
CUED = (*TAUGHT, "a novel plane")
BEFORE, AFTER = "before the cues", "after the cues"


def course_of(config: Config) -> Float[Array, "step axis"]:
    """Two planes are learned in turn, then three are cued; two columns for each."""
    steps, dt = round(STAGE * STAGES / config.step), config.step
    columns = [config.cue_amplitude * cue(steps, dt, t, t + CUE_TIME) for t in CUES]
    for k, start in enumerate(LEARNING):
        whole = turning(steps, dt, start, start + LEARNING_TIME, config.frequency)
        columns[k] = columns[k] + config.amplitude * whole
    return jnp.hstack(columns)


def life(planes: Planes, state: Any, signals: Any, changes: Any) -> dict[str, Array]:
    """Coefficients of the planes, four weights, the rms change of one step by cause."""
    share = change_shares(changes)
    rows, columns = np.asarray(WEIGHTS).T
    return {
        **learning.in_planes(planes, state, signals, changes),
        "weight": state.synapses[rows, columns],
        "spontaneous": share.spontaneous,
        "dependent": share.dependent,
    }


def overlaps(planes: Planes, state: Any, signals: Any, changes: Any) -> Array:
    """Activity along both axes of every plane, shaped (plane, 2)."""
    del state, changes
    along = lambda pair: jnp.stack(plane_activity(signals.potential, *pair)[:2])
    return jnp.stack([along(pair) for pair in planes])


def whole_life(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Learn two planes, wait, cue both and a novel one.

    In time: `rotation`, `expansion`, `power` (time, plane), `weight` (time, synapse),
    and the rms change of a step, `spontaneous` and `dependent` on activity (time); over
    windows, `summed` (window, cause). `echo` (cue, moment, axis) is the activity in the
    cued plane from the cue on; `growth`, `ringing` and `overlap` (moment, plane)
    are the planes' eigenvalues before the first cue and at the end.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    system, start = learning.settled(config, for_start)
    planes = learning.all_planes(config, for_planes)
    shown = planes[: len(CUES)]
    axes = config.size**0.5 * shown.reshape(2 * len(CUES), -1)
    system = dataclasses.replace(system, task=Drive(axes, course_of(config)))
    steps, every = round(STAGE / config.step), config.steps("record_every")
    options = {"every": every, "record": jax.tree_util.Partial(life, shown)}

    def stage(state: State, _: None) -> tuple[State, Any]:
        final, seen = simulate(system, state, for_run, steps=steps, **options)
        changes = integrated_changes(system, state, for_run, steps=steps)[1]
        return final, (seen, jnp.stack(change_shares(changes)), state)

    final, (seen, summed, begun) = jax.lax.scan(stage, start, length=STAGES)
    seen = {name: x.reshape(-1, *x.shape[2:]) for name, x in seen.items()}
    # a noisy step stands for all those between two changes by noise
    seen["spontaneous"] = seen["spontaneous"] / config.noise_every**0.5
    cued = jnp.asarray([round(at / STAGE) for at in CUES])

    def heard(state: State) -> Array:
        record, steps = jax.tree_util.Partial(overlaps, shown), len(delays(config))
        return simulate(system, state, for_run, steps=steps, record=record)[1]

    echo = jax.lax.map(heard, jax.tree.map(lambda x: x[cued], begun))
    ends = jnp.stack([begun.synapses[cued[0]], final.synapses])
    of_planes = lambda weights: learning.spectrum_of(weights, planes, len(CUES))
    spectrum, own = jax.lax.map(of_planes, ends), jnp.arange(len(CUES))
    return {
        **seen,
        "summed": summed,
        "echo": echo[own, :, own],
        "growth": spectrum["growth"],
        "ringing": spectrum["frequency"],
        "overlap": spectrum["overlap"],
    }


TIME = {"time": lambda config: learning.record_times(config, STAGE * STAGES)}
PLANE = {"plane": (*TAUGHT, "novel")}
MOMENT = {"moment": (BEFORE, AFTER)}
delays = lambda config: config.step * np.arange(round(ECHO_TIME / config.step))


# --- a part of a stored plane calls up the rest; learning and recall change little ----


def quadrature_ratio(data: Dataset) -> DataArray:
    r"""Peak $|p_v|$ over peak $|p_u|$ of a plane cued along $u$: recall of the rest."""
    peak = abs(data.echo).max("delay", skipna=False)
    return peak.sel(axis="v") / peak.sel(axis="u")


def ringing_frequency(data: Dataset) -> DataArray:
    """Speed (radians per unit of time) at which the echo turns once the cue is off.

    Over one neural time constant: what comes later is of slower eigenvectors.
    """
    step = ECHO_TIME / data.sizes["delay"]
    first, count = round(CUE_TIME / step) + 1, round(1.0 / step) + 1
    echo = data.echo.isel(delay=slice(first, first + count))
    u, v = (echo.sel(axis=axis, drop=True) for axis in "uv")
    phase = u.copy(data=np.unwrap(np.arctan2(v, u), axis=u.get_axis_num("delay")))
    turned = phase.isel(delay=-1) - phase.isel(delay=0)
    return abs(turned) / ((count - 1) * step)


def first_plane(data: Dataset, time: float) -> DataArray:
    """A of the plane that is learned first."""
    return data.rotation.sel(plane=TAUGHT[0]).sel(time=time, method="nearest")


@claim("Fig. 5a; independent evaluation: 1.0", low=0.8, high=1.25)
def calls_up_the_rest(data: Dataset) -> tuple[float, float]:
    """Cue along one axis of a stored plane: peak response of the other axis over that
    of the cued one.
    """
    stored = quadrature_ratio(data).sel(cue=list(TAUGHT))
    return with_error(stored.mean("cue", skipna=False))


@claim("Fig. 5a; independent evaluation: 0.08 to 0.12", low=0.0, high=0.3, control=None)
def not_of_a_novel_plane(data: Dataset) -> tuple[float, float]:
    """The same in a plane that was never learned."""
    return with_error(quadrature_ratio(data).sel(cue="a novel plane"))


@claim("Fig. 5a, derived", low=0.85, high=1.15, control=None)
def rings_at_its_frequency(data: Dataset) -> tuple[float, float]:
    """Frequency at which a cued plane rings, over that of its eigenvalue."""
    own = data.ringing.sel(moment=BEFORE, plane=list(TAUGHT)).values
    tuned = ringing_frequency(data).sel(cue=list(TAUGHT)) / own
    return float(tuned.mean(skipna=False)), with_error(tuned.mean("cue"))[1]


@claim("Fig. 5c", low=0.95, high=1.05, control=None)
def survives_learning(data: Dataset) -> tuple[float, float]:
    """Share of A of the first plane left after learning the second."""
    learned = first_plane(data, LEARNING[0] + LEARNING_TIME)
    return with_error(first_plane(data, CUES[0]) / learned)


@claim("Fig. 5c", low=0.0, high=0.15, control=None)
def survives_cues(data: Dataset) -> float:
    """Relative change of a learned eigenvalue's frequency by the cues (largest over
    networks and planes).
    """
    ringing = data.ringing.sel(plane=list(TAUGHT))
    moved = abs(ringing.sel(moment=AFTER) / ringing.sel(moment=BEFORE) - 1)
    return float(moved.max(skipna=False))


# --- change due to activity beside change by noise, in every phase of a life ----------

PHASES = {
    "learning": (LEARNING[0], LEARNING[0] + LEARNING_TIME),
    "a cue": (CUES[0], CUES[0] + CUE_TIME),
    "silence": (CUES[0] - 100.0, CUES[0]),
}


@claim(
    "Fig. 5b", low=0.3, high=30.0, control=None, each={"phase": ("learning", "a cue")}
)
def loosely_balanced(data: Dataset, phase: str) -> float:
    """Rms change due to activity over that by noise, instantaneous, during {phase}: of
    similar size only loosely.
    """
    start, stop = (time + float(data.time[0]) / 2 for time in PHASES[phase])
    here = data.sel(time=slice(start, stop))
    activity = here.dependent.mean("time", skipna=False)
    noise = here.spontaneous.max("time", skipna=False)
    return float((activity / noise).mean(skipna=False))


@claim("Fig. 5b; independent evaluation: 0", low=0.0, high=0.1, control=None)
def not_balanced_in_silence(data: Dataset) -> float:
    """The same in silence, where rate control has nothing to correct: the paper's
    similar size in all phases does not hold.
    """
    return loosely_balanced(data, "silence")


STIMULUS, CUE = "0.9", "#f3d9b1"


def draw_life(data: Dataset) -> Figure:
    """Figure 5: recall, shares of change, what cues do, weights in time."""
    figure, axes = panels(2, 4, 3.4, 2.8)
    one, time = data.isel(seed=0), data.time
    _echoes(axes[0, :3], one)
    shares, planes, weights = axes[1, :3]
    size = {"activity": one.dependent, "noise": one.spontaneous}
    for k, (label, rows) in enumerate(size.items()):
        rows = rows.where(rows > 0)
        shares.semilogy(time, rows, color=SHADES[2 * k], lw=0.8, label=label)
    bottom, top = float(one.spontaneous.max()) / 30, float(one.dependent.max())
    shares.set(xlabel="time", ylabel="rms change of a step", ylim=(bottom, 20 * top))
    shares.legend(frameon=False, fontsize="small", ncols=2)
    for name, color in zip(data.plane.values, SHADES, strict=False):
        rows = abs(data.rotation.sel(plane=name)).transpose("seed", "time").values
        planes.plot(time, rows.T, color=color, lw=0.4, alpha=0.4)
        planes.plot(time, rows.mean(0), color=color, lw=1.6, label=name)
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


def _echoes(row: np.ndarray, data: Dataset) -> None:
    """Activity of one network in the three cued planes."""
    bottom, top = float(data.echo.min()) - 0.05, 1.1 * float(data.echo.max())
    for panel, echo in zip(row, data.echo, strict=True):
        for axis, name, color in (("u", "cued", SHADES[0]), ("v", "other", SHADES[2])):
            label = f"{name} axis $p_{axis}$"
            panel.plot(data.delay, echo.sel(axis=axis), color=color, label=label)
        panel.set(xlabel="time from the cue", ylabel="activity", ylim=(bottom, top))
        panel.set_title(f"cue of {echo.cue.item()}")
    row[0].legend(frameon=False, fontsize="small")


def _windows(panel: Axes, data: Dataset) -> None:
    """The rms of changes summed over windows, by cause."""
    mean = data.summed.mean("seed", skipna=False)
    for k, cause in enumerate(("activity", "noise")):
        rows = mean.sel(cause=cause).where(mean.sel(cause=cause) > 0)
        panel.semilogy(data.window, rows, "o", ms=4, color=SHADES[2 * k], label=cause)
    panel.set(xlabel="time", ylabel="rms change of 100 time units")
    panel.set_ylim(1e-4, 10 * float(mean.max()))
    panel.legend(frameon=False, fontsize="small", ncols=2)
    _shade(panel)


def _before_and_after(panel: Axes, data: Dataset) -> None:
    """Frequencies of the learned planes' eigenvalues before and after all cues."""
    learned = data.ringing.sel(plane=list(TAUGHT))
    for name, color in zip(TAUGHT, SHADES, strict=False):
        before, after = (learned.sel(plane=name, moment=m) for m in (BEFORE, AFTER))
        panel.plot(before, after, "o", ms=4, color=color, label=name)
    ends = np.array([float(learned.min()), float(data.ringing.max())])
    panel.plot(ends, ends, "--", color=THEORY, label="unchanged")
    panel.set(xlabel="Im before the cues", ylabel="Im after them")
    panel.legend(frameon=False, fontsize="small")


def _shade(panel: Axes) -> None:
    """When stimuli and cues are on."""
    for start in LEARNING:
        panel.axvspan(start, start + LEARNING_TIME, color=STIMULUS, zorder=0)
    for start in CUES:
        panel.axvspan(start, start + 3 * CUE_TIME, color=CUE, zorder=0)


FIG5 = Experiment(
    name="fig5",
    source="Fig. 5",
    shows="the life cycle of two memories: learning, retention, recall from half a cue",
    config=Config,
    run=whole_life,
    claims=(
        calls_up_the_rest,
        not_of_a_novel_plane,
        rings_at_its_frequency,
        survives_learning,
        survives_cues,
        loosely_balanced,
        not_balanced_in_silence,
    ),
    figure=draw_life,
    control=changed(learning_gain=0.0),
    axes={
        **dict.fromkeys(("rotation", "expansion", "power"), TIME | PLANE),
        **dict.fromkeys(("growth", "ringing", "overlap"), MOMENT | PLANE),
        **dict.fromkeys(("spontaneous", "dependent"), TIME),
        "weight": TIME | {"synapse": None},
        "summed": {"window": MIDDLES, "cause": ("noise", "activity")},
        "echo": {"cue": CUED, "delay": delays, "axis": ("u", "v")},
    },
)
