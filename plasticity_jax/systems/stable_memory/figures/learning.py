"""Pictures of Fig. 3, Supp. Fig. 2, Fig. 5 and of imperfect timing."""

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


STIMULUS, CUE = "0.9", "#f3d9b1"


def trajectories(data: xarray.Dataset) -> Figure:
    """Figure 3a: eigenvalues in the complex plane and their imaginary parts in time."""
    figure, axes = panels(1, 2, 3.6, 3.0)
    plane, course = axes[0]
    one = data.isel(seed=0).sel(part=["real", "imaginary"])
    values = one.eigenvalue.transpose("part", "time", "mode").values
    memory = one.memory.transpose("part", "time").values
    plane.plot(*values, color=THEORY, lw=0.5, alpha=0.7)
    plane.plot(*values[:, 0], ".", color="black", ms=2, label="at first")
    plane.plot(*memory, color=SHADES[0], lw=2, label="becomes the memory")
    plane.plot(memory[0], -memory[1], color=SHADES[0], lw=2)
    plane.plot(*memory[:, -1], "o", color=SHADES[0], ms=5)
    plane.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", aspect="equal")
    plane.set_xlim(right=2.5 * float(values[0].max()))
    plane.legend(frameon=False, fontsize="small", loc="lower right")
    course.plot(one.time, values[1], color=THEORY, lw=0.5, alpha=0.7)
    course.plot(one.time, memory[1], color=SHADES[0], lw=2, label="the memory's")
    size = abs(one.rotation)
    course.plot(one.time, size, "--", color=SHADES[2], lw=1.5, label="$|A|$")
    course.set(xlabel="time (neural time constants)", ylabel=r"Im $\lambda$")
    course.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


def learned(data: xarray.Dataset) -> Figure:
    """Figure 3: strength by duration and amplitude, overlaps, two planes in turn."""
    from ..experiments.learning import DURATIONS, FOLLOW, LONGEST

    figure, axes = panels(1, 4, 3.2, 2.8)
    traces, strengths, overlaps, turns = axes[0]
    total = LONGEST + FOLLOW
    strength = abs(data.rotation)
    time = (1 + np.arange(data.sizes["time"])) * total / data.sizes["time"]
    middle = strength.isel(seed=0, amplitude=data.sizes["amplitude"] // 2)
    for k, duration in enumerate(DURATIONS):
        rows = middle.isel(protocol=k, plane=0)
        traces.plot(time, rows, color=SHADES[k], lw=1.3, label=f"{duration:g}")
    traces.axvline(LONGEST, color=THEORY, ls="--", lw=1)
    traces.set(xlabel="time", ylabel="$|A|$", ylim=(0, 1.55 * float(middle.max())))
    title = f"stimulus lasts, amplitude {float(middle.amplitude):g}"
    legend = {"frameon": False, "fontsize": "small"}
    traces.legend(title=title, title_fontsize="small", ncols=2, **legend)
    stop = round(LONGEST / total * data.sizes["time"]) - 1
    written = strength.isel(time=stop, plane=0, protocol=slice(len(DURATIONS)))
    for k, amplitude in enumerate(data.amplitude.values):
        rows = written.sel(amplitude=amplitude).transpose("seed", "protocol").values
        color, label = SHADES[k], f"{amplitude:g}"
        strengths.plot(DURATIONS, rows.T, ".", color=color, ms=3, alpha=0.5)
        strengths.plot(DURATIONS, rows.mean(0), "-", color=color, label=label)
    strengths.set(xlabel="duration of the stimulus", ylabel="$|A|$ when it ends")
    strengths.set_ylim(0, 1.4 * float(written.max()))
    title = "amplitude"
    strengths.legend(title=title, title_fontsize="small", ncols=2, **legend)
    leading = data.leading.isel(moment=0, protocol=len(DURATIONS) - 1, amplitude=-1)
    place = np.arange(leading.sizes["direction"])
    overlaps.plot(place, leading.transpose("direction", "seed"), ".", color=SHADES[5])
    overlaps.plot(np.zeros(data.sizes["seed"]), leading[:, 0], "o", color=SHADES[0])
    overlaps.axhline(0.9, color=THEORY, ls="--", lw=1)
    overlaps.set(xlabel="plane (0: of the stimulus)", ylim=(0, 1.05))
    overlaps.set(ylabel="overlap, leading eigenvector")
    both = strength.isel(protocol=-1, amplitude=-1)
    for k, label in enumerate(("first plane", "second plane")):
        rows = both.isel(plane=k).transpose("seed", "time").values
        turns.plot(time, rows.T, color=SHADES[k], lw=0.6, alpha=0.5)
        turns.plot(time, rows.mean(0), color=SHADES[k], lw=1.8, label=label)
    turns.set(xlabel="time", ylabel="$|A|$", ylim=(0, 1.3 * float(both.max())))
    turns.legend(loc="upper left", **legend)
    return figure


def controlled(data: xarray.Dataset) -> Figure:
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


def wandered(data: xarray.Dataset) -> Figure:
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


def life(data: xarray.Dataset) -> Figure:
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


def timing(data: xarray.Dataset) -> Figure:
    """What windows write by imbalance and width, what is kept, how weights spread."""
    figure, axes = panels(1, 4, 3.2, 2.8)
    mean = data.mean("seed", skipna=False)
    for k, ratio in enumerate(data.late_trace_ratio.values):
        row, color = mean.sel(late_trace_ratio=ratio), SHADES[k]
        label = f"$\\tau_-/\\tau_+$ = {ratio:g}"
        for panel, name in zip(axes[0, :2], ("written", "grown"), strict=True):
            panel.plot(data.imbalance, row[name], "o", ms=4, color=color, label=label)
            panel.plot(data.imbalance, row[f"predicted_{name}"], "--", color=color)
        for panel, name in zip(axes[0, 2:], ("kept", "spreading"), strict=True):
            panel.plot(data.imbalance, row[name], "o-", ms=4, color=color, label=label)
    labels = (
        "change of $A$",
        "change of $S$",
        "share of $A$ kept",
        "spread of all weights (factor)",
    )
    for panel, label in zip(axes[0], labels, strict=True):
        panel.set(xlabel="imbalance of the windows", ylabel=label)
    axes[0, 2].set_ylim(0.9, 1.1)
    axes[0, 1].plot([], [], "--", color=THEORY, label="clamped activity")
    bottom, top = axes[0, 1].get_ylim()
    axes[0, 1].set_ylim(bottom, top + 0.6 * (top - bottom))
    axes[0, 1].legend(frameon=False, fontsize="small", loc="upper left")
    return figure
