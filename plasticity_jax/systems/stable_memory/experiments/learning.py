"""Figure 3, Supplementary Figure 2: planes that a network learns from a stimulus."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import Record, simulate, State, System
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import expansion, leading_overlaps, memory_eigenvalue, rotation
from ....tasks import Drive, turning
from ..config import build, Config
from ..patterns import draw_planes


Weights = Float[Array, "n n"]
Planes = Float[Array, "plane 2 n"]
DURATIONS = (25.0, 50.0, 100.0, 200.0)  # of the first stimulus; all end together
LONGEST = DURATIONS[-1]
FOLLOW = 600.0  # after its end; half-way through ends the second stimulus


def in_planes(
    planes: Planes, state: Any, signals: Any, changes: Any
) -> dict[str, Array]:
    r"""$A$ and $S$ in every plane, and the power $|c|^2$ of the rates there."""
    del changes
    u, v = planes[:, 0], planes[:, 1]
    turn, grow = (
        jax.vmap(coefficient, (None, 0, 0))(state.synapses, u, v)
        for coefficient in (rotation, expansion)
    )
    power = (u @ signals.rate) ** 2 + (v @ signals.rate) ** 2
    return {"rotation": turn, "expansion": grow, "power": power}


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


class Course(NamedTuple):
    """Records in time, and the weights at the end of every stage."""

    seen: Any
    weights: Float[Array, "stage n n"]


def in_stages(
    system: System,
    state: State,
    key: Key[Array, ""],
    record: Record,
    *,
    stages: int,
    steps: int,
    every: int,
) -> Course:
    """`stages` stages of `steps` steps, one after the other, in one compiled program.

    Records come at every `every`-th step.
    """

    def stage(state: State, _: None) -> tuple[State, tuple[Any, Array]]:
        state, seen = simulate(
            system, state, key, steps=steps, every=every, record=record
        )
        return state, (seen, state.synapses)

    _, (seen, weights) = jax.lax.scan(stage, state, length=stages)
    seen = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), seen)
    return Course(seen, weights)


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
    n = config.size
    return draw_planes(config.pattern, n // 2, n, key, config.orthonormal)


def courses_of(config: Config) -> Float[Array, "protocol step 4"]:
    """Rotations in the first plane for each of `DURATIONS`; then two planes in turn.

    Each first stimulus ends at `LONGEST`, the second, of the length `duration`, half of
    `FOLLOW` later.
    """
    second = LONGEST + FOLLOW / 2
    steps = round(second / config.step)

    def course(stop: float, duration: float) -> Array:
        start = stop - duration
        return turning(steps, config.step, start, stop, config.frequency)

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
    system, start = settled(config, for_start)
    planes = all_planes(config, for_planes)
    axes = config.amplitude * config.size**0.5 * planes[:2].reshape(4, -1)
    record = jax.tree_util.Partial(in_planes, planes[:2])
    stages = 1 + round(FOLLOW / LONGEST)
    steps, every = round(LONGEST / config.step), config.steps("record_every")

    def protocol(course: Array) -> dict[str, Array]:
        taught = dataclasses.replace(system, task=Drive(axes, course, "silence"))
        seen, weights = in_stages(
            taught, start, for_run, record, stages=stages, steps=steps, every=every
        )
        ends = jnp.stack([weights[0], weights[-1]])
        return {**seen, **jax.lax.map(lambda w: spectrum_of(w, planes, 2), ends)}

    return jax.lax.map(protocol, courses_of(config))


DIMS = {
    **dict.fromkeys(("rotation", "expansion", "power"), ("protocol", "time", "plane")),
    **dict.fromkeys(
        ("growth", "frequency", "overlap"), ("protocol", "moment", "plane")
    ),
    "leading": ("protocol", "moment", "direction"),
}


def at_time(data: xarray.Dataset, time: float, total: float) -> int:
    """The index of the record at `time` in a run of length `total`."""
    return round(time / total * data.sizes["time"]) - 1


def learned_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """More stimulus writes more; the plane stands out, stays, and leaves room."""
    total = LONGEST + FOLLOW

    def strength(data: xarray.Dataset, time: float) -> xarray.DataArray:
        rows = data.rotation.isel(time=at_time(data, time, total), plane=0)
        return abs(rows.isel(protocol=slice(len(DURATIONS))))

    def rising(data: xarray.Dataset, dim: str) -> float:
        steps = strength(data, LONGEST).diff(dim)
        return float((steps > 0).all(dim).mean())

    written = strength(data, LONGEST)
    leading = data.leading.isel(moment=0, protocol=slice(len(DURATIONS)))
    strong, weak = written > 3, ~(written > 1)  # products keep a NaN, masks drop it
    kept = strength(data, LONGEST + 300) / (written + weak)
    return [
        Claim(
            "|A| grows with the duration of the stimulus (share of networks and "
            "amplitudes where it does so strictly)",
            "Fig. 3",
            rising(data, "protocol"),
            1.0,
            1.0,
            control=rising(control, "protocol"),
        ),
        Claim(
            "|A| grows with the amplitude of the stimulus (share of networks and "
            "durations where it does so strictly)",
            "Fig. 3",
            rising(data, "amplitude"),
            1.0,
            1.0,
            control=rising(control, "amplitude"),
        ),
        Claim(
            "overlap of the learned plane with an eigenvector of a complex pair, "
            "strongest stimulus (least over networks)",
            "Fig. 3b",
            standing_out(data) * complex_share(data),
            0.9,
            1.0,
            control=standing_out(control) * complex_share(control),
        ),
        Claim(
            "overlap of the leading eigenvector with the learned plane where |A| > 3 "
            "(mean over runs)",
            "Fig. 3b",
            mean_where(strong, leading.isel(direction=0)),
            0.9,
            1.0,
        ),
        Claim(
            "its overlap with any other plane there (largest)",
            "Fig. 3b",
            float((strong * leading.isel(direction=slice(1, None))).max(skipna=False)),
            0.0,
            0.3,
        ),
        Claim(
            "share of A left 300 after the stimulus, where |A| > 1 (mean)",
            "Fig. 3",
            mean_where(~weak, kept),
            0.95,
            1.05,
        ),
        Claim(
            "two planes learned in turn: overlap of either at the end, strongest "
            "stimulus (least over networks)",
            "Fig. 3c",
            both(data) * complex_share(data),
            0.9,
            1.0,
            control=both(control) * complex_share(control),
        ),
    ]


def standing_out(data: xarray.Dataset) -> float:
    """Least overlap of the first plane after the strongest stimulus."""
    last = data.overlap.isel(protocol=len(DURATIONS) - 1, moment=0, plane=0)
    return float(last.isel(amplitude=-1).min(skipna=False))


def both(data: xarray.Dataset) -> float:
    """Least overlap of two planes learned in turn, at the end of the run."""
    last = data.overlap.isel(protocol=-1, moment=-1, amplitude=-1)
    return float(last.min(skipna=False))


def mean_where(chosen: xarray.DataArray, rows: xarray.DataArray) -> float:
    """The mean over chosen entries; NaN if any entry is, chosen or not."""
    return float((chosen * rows).sum(skipna=False) / chosen.sum())


def complex_share(data: xarray.Dataset) -> float:
    """Share of networks whose plane holds a complex pair, strongest stimulus."""
    last = data.frequency.isel(protocol=len(DURATIONS) - 1, moment=0, plane=0)
    return float((last.isel(amplitude=-1) > 0).mean())


def one_axis(plan: Plan) -> Plan:
    """Negative control: the stimulus stands still on one axis of the plane."""
    config = dataclasses.replace(plan.config, frequency=0.0)
    return plan._replace(config=config)


def draw_learned(data: xarray.Dataset) -> Figure:
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


FIG3 = Experiment(
    name="fig3",
    source="Fig. 3",
    shows="planes learned from a rotating stimulus under decorrelation, and kept",
    config=Config,
    run=learned,
    claims=learned_claims,
    figure=draw_learned,
    control=one_axis,
    dims=DIMS,
)
