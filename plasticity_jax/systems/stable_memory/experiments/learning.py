"""Figure 3, Supplementary Figure 2: planes that a network learns from a stimulus."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Record, simulate, State, System
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    SHADES,
    standard_error,
    THEORY,
)
from ....measure import expansion, leading_overlaps, memory_eigenvalue, rotation
from ....tasks import Drive, turning
from ..config import build, Config
from ..patterns import draw_planes


Weights = Float[Array, "n n"]
Planes = Float[Array, "plane 2 n"]
DURATIONS = (25.0, 50.0, 100.0, 200.0)  # of the first stimulus; all end together
LONGEST = DURATIONS[-1]
FOLLOW = 600.0  # after its end; half-way through ends the second stimulus
ALONE = tuple(f"{duration:g}" for duration in DURATIONS)  # one plane is stimulated
MOMENTS = STOP, END = ("end of the stimulus", "end of the run")


def in_planes(
    planes: Planes, state: Any, signals: Any, changes: Any
) -> dict[str, Array]:
    r"""$A$ and $S$ in every plane, and the power $|c|^2$ of the rates there."""
    del changes
    u, v = planes[:, 0], planes[:, 1]
    each = lambda coefficient: jax.vmap(coefficient, (None, 0, 0))(state.synapses, u, v)
    power = (u @ signals.rate) ** 2 + (v @ signals.rate) ** 2
    return {"rotation": each(rotation), "expansion": each(expansion), "power": power}


def settled(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """The network after `spin_up` of homeostasis and noise alone, its clock at zero.

    Learning is switched on afterwards: spontaneous activity writes rotations of its
    own, which stimuli must then compete with.
    """
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    steps = config.steps("spin_up")
    if steps:
        rules = {k: rule for k, rule in system.rules.items() if k != "learning"}
        quiet = dataclasses.replace(system, rules=rules)
        state, _ = simulate(quiet, state, for_run, steps=steps, every=steps)
    return system, State(state.activity, state.synapses)


def in_stages(
    config: Config,
    start: tuple[System, State],
    task: Drive,
    record: Record,
    key: Key[Array, ""],
) -> tuple[Any, Float[Array, "stage n n"]]:
    """Records of a task in time, and the weights at the end of every stage.

    One stage of `duration` with its stimulus, then as many as `follow` takes, all in
    one compiled program.
    """
    system = dataclasses.replace(start[0], task=task)
    steps, every = config.steps("duration"), config.steps("record_every")

    def stage(state: State, _: None) -> tuple[State, tuple[Any, Array]]:
        state, seen = simulate(
            system, state, key, steps=steps, record=record, every=every
        )
        return state, (seen, state.synapses)

    stages = 1 + round(config.follow / config.duration)
    seen, weights = jax.lax.scan(stage, start[1], length=stages)[1]
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), seen), weights


def turned(config: Config, plane: Float[Array, "2 n"]) -> Drive:
    """A stimulus that goes round a plane for `duration`."""
    steps = config.steps("duration")
    course = turning(steps, config.step, 0.0, config.duration, config.frequency)
    return Drive(config.amplitude * config.size**0.5 * plane, course, "silence")


def spectrum_of(weights: Weights, planes: Planes, shown: int) -> dict[str, Array]:
    """The eigenvalues of the first `shown` planes; overlaps of the leading vector."""
    bases = jnp.swapaxes(planes, 1, 2)
    value, overlap = jax.vmap(memory_eigenvalue, (None, 0))(weights, bases[:shown])
    return {
        "growth": jnp.real(value),
        "frequency": jnp.imag(value),
        "overlap": overlap,
        "leading": leading_overlaps(weights, bases),
    }


def all_planes(config: Config, key: Key[Array, ""]) -> Planes:
    """Planes that together span the space; stimuli move in the first ones."""
    count, size = config.size // 2, config.size
    return draw_planes(config.pattern, count, size, key, config.orthonormal)


def courses_of(config: Config) -> Float[Array, "protocol step 4"]:
    """Rotations in the first plane for each of `DURATIONS`; then two planes in turn.

    Each first stimulus ends at `LONGEST`, the second, of the length `duration`, half of
    `FOLLOW` later.
    """
    second = LONGEST + FOLLOW / 2
    steps = round(second / config.step)

    def course(stop: float, duration: float) -> Array:
        return turning(steps, config.step, stop - duration, stop, config.frequency)

    still = jnp.zeros((steps, 2))
    alone = [jnp.hstack([course(LONGEST, d), still]) for d in DURATIONS]
    both = jnp.hstack([course(x, config.duration) for x in (LONGEST, second)])
    return jnp.stack([*alone, both])


def learned(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Every protocol from the same start.

    `rotation`, `expansion`, `power` (protocol, time, plane) of both planes; `growth`,
    `frequency`, `overlap` (protocol, moment, plane) and `leading` (protocol, moment,
    direction) at the end of the first stimulus and at the end of the run.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    start, planes = settled(config, for_start), all_planes(config, for_planes)
    axes = config.amplitude * config.size**0.5 * planes[:2].reshape(4, -1)
    record = jax.tree_util.Partial(in_planes, planes[:2])
    whole = dataclasses.replace(config, duration=LONGEST, follow=FOLLOW)

    def protocol(course: Array) -> dict[str, Array]:
        task = Drive(axes, course, "silence")
        seen, weights = in_stages(whole, start, task, record, for_run)
        ends = jnp.stack([weights[0], weights[-1]])
        return {**seen, **jax.lax.map(lambda w: spectrum_of(w, planes, 2), ends)}

    return jax.lax.map(protocol, courses_of(config))


def record_times(config: Config, end: float | None = None) -> np.ndarray:
    """Of a run until `end`; else in stages of `duration`, the first with a stimulus."""
    if end is None:
        end = config.duration * (1 + round(config.follow / config.duration))
    return config.record_every * np.arange(1, round(end / config.record_every) + 1)


PROTOCOL, PLANE = {"protocol": (*ALONE, "in turn")}, {"plane": ("first", "second")}
TIME = {"time": lambda config: record_times(config, LONGEST + FOLLOW)}
ENDS = PROTOCOL | {"moment": MOMENTS}
LEARNED = {"protocol": ALONE[-1], "moment": STOP, "plane": "first"}


# --- more stimulus writes more; the plane stands out, stays, and leaves room ----------


def with_error(rows: DataArray) -> tuple[float, float]:
    """The mean over seeds, NaN if any is, and its standard error."""
    return float(over_seeds(rows)), float(standard_error(rows))


def strength(data: Dataset, time: float = LONGEST) -> DataArray:
    """|A| of the first plane at a time, where it alone is stimulated."""
    rows = data.rotation.sel(time=time, method="nearest")
    return abs(rows.sel(plane="first", protocol=list(ALONE)))


def strong_leading(data: Dataset) -> tuple[DataArray, DataArray]:
    """Where |A| > 3 after the stimulus; overlaps of the leading eigenvector there."""
    leading = data.leading.sel(moment=STOP, protocol=list(ALONE))
    return strength(data) > 3, leading


def mean_where(chosen: DataArray, rows: DataArray) -> float:
    """The mean over chosen entries; NaN if any entry is, chosen or not."""
    return float((chosen * rows).sum(skipna=False) / chosen.sum())


def least_of_complex(data: Dataset, overlap: DataArray) -> float:
    """Least overlap, times the share of complex pairs, after the strongest stimulus."""
    frequency = data.frequency.sel(LEARNED).isel(amplitude=-1)
    least = overlap.isel(amplitude=-1).min(skipna=False)
    return float(least) * float((frequency > 0).mean())


@claim("Fig. 3", low=1.0, high=1.0)
def grows_with_duration(data: Dataset) -> float:
    """|A| grows with the duration of the stimulus (share of networks and amplitudes
    where it does so strictly).
    """
    return float((strength(data).diff("protocol") > 0).all("protocol").mean())


@claim("Fig. 3", low=1.0, high=1.0)
def grows_with_amplitude(data: Dataset) -> float:
    """|A| grows with the amplitude of the stimulus (share of networks and durations
    where it does so strictly).
    """
    return float((strength(data).diff("amplitude") > 0).all("amplitude").mean())


@claim("Fig. 3b", low=0.9, high=1.0)
def stands_out(data: Dataset) -> float:
    """Overlap of the learned plane with an eigenvector of a complex pair, strongest
    stimulus (least over networks).
    """
    return least_of_complex(data, data.overlap.sel(LEARNED))


@claim("Fig. 3b", low=0.9, high=1.0, control=None)
def leads(data: Dataset) -> float:
    """Overlap of the leading eigenvector with the learned plane where |A| > 3 (mean
    over runs).
    """
    strong, leading = strong_leading(data)
    return mean_where(strong, leading.sel(direction=0))


@claim("Fig. 3b", low=0.0, high=0.3, control=None)
def leads_alone(data: Dataset) -> float:
    """Its overlap with any other plane there (largest)."""
    strong, leading = strong_leading(data)
    return float((strong * leading.sel(direction=slice(1, None))).max(skipna=False))


@claim("Fig. 3", low=0.95, high=1.05, control=None)
def is_kept(data: Dataset) -> float:
    """Share of A left 300 after the stimulus, where |A| > 1 (mean)."""
    weak = ~(strength(data) > 1)  # products keep a NaN, masks drop it
    return mean_where(~weak, strength(data, LONGEST + 300) / (strength(data) + weak))


@claim("Fig. 3c", low=0.9, high=1.0)
def leaves_room(data: Dataset) -> float:
    """Two planes learned in turn: overlap of either at the end, strongest stimulus
    (least over networks).
    """
    return least_of_complex(data, data.overlap.sel(protocol="in turn", moment=END))


def draw_learned(data: Dataset) -> Figure:
    """Figure 3: strength by duration and amplitude, overlaps, two planes in turn."""
    figure, axes = panels(1, 4, 3.2, 2.8)
    traces, strengths, overlaps, turns = axes[0]
    legend = {"frameon": False, "fontsize": "small"}
    titled = {"title_fontsize": "small", "ncols": 2, **legend}
    size = abs(data.rotation)
    middle = size.isel(seed=0, amplitude=data.sizes["amplitude"] // 2)
    for label, color in zip(ALONE, SHADES, strict=False):
        rows = middle.sel(protocol=label, plane="first")
        traces.plot(data.time, rows, color=color, lw=1.3, label=label)
    traces.axvline(LONGEST, color=THEORY, ls="--", lw=1)
    traces.set(xlabel="time", ylabel="$|A|$", ylim=(0, 1.55 * float(middle.max())))
    title = f"stimulus lasts, amplitude {float(middle.amplitude):g}"
    traces.legend(title=title, **titled)
    written = strength(data).transpose("amplitude", "seed", "protocol")
    for rows, color in zip(written, SHADES, strict=False):
        label = f"{float(rows.amplitude):g}"
        strengths.plot(DURATIONS, rows.values.T, ".", color=color, ms=3, alpha=0.5)
        strengths.plot(DURATIONS, rows.values.mean(0), "-", color=color, label=label)
    strengths.set(xlabel="duration of the stimulus", ylabel="$|A|$ when it ends")
    strengths.set_ylim(0, 1.4 * float(written.max()))
    strengths.legend(title="amplitude", **titled)
    leading = data.leading.sel(protocol=ALONE[-1], moment=STOP).isel(amplitude=-1)
    leading = leading.transpose("direction", "seed")
    overlaps.plot(leading.direction, leading, ".", color=SHADES[5])
    overlaps.plot(0 * leading[0], leading[0], "o", color=SHADES[0])
    overlaps.axhline(0.9, color=THEORY, ls="--", lw=1)
    overlaps.set(xlabel="plane (0: of the stimulus)", ylim=(0, 1.05))
    overlaps.set(ylabel="overlap, leading eigenvector")
    both = size.sel(protocol="in turn").isel(amplitude=-1)
    for name, color in zip(data.plane.values, SHADES, strict=False):
        rows = both.sel(plane=name).transpose("seed", "time").values
        turns.plot(data.time, rows.T, color=color, lw=0.6, alpha=0.5)
        turns.plot(data.time, rows.mean(0), color=color, lw=1.8, label=f"{name} plane")
    turns.set(xlabel="time", ylabel="$|A|$", ylim=(0, 1.3 * float(both.max())))
    turns.legend(loc="upper left", **legend)
    return figure


FIG3 = Experiment(
    name="fig3",
    source="Fig. 3",
    shows="planes learned from a rotating stimulus under decorrelation, and kept",
    config=Config,
    run=learned,
    claims=(
        grows_with_duration,
        grows_with_amplitude,
        stands_out,
        leads,
        leads_alone,
        is_kept,
        leaves_room,
    ),
    figure=draw_learned,
    control=changed(frequency=0.0),  # the stimulus stands still on one axis
    axes={
        **dict.fromkeys(("rotation", "expansion", "power"), PROTOCOL | TIME | PLANE),
        **dict.fromkeys(("growth", "frequency", "overlap"), ENDS | PLANE),
        "leading": ENDS | {"direction": lambda config: np.arange(config.size // 2)},
    },
)
