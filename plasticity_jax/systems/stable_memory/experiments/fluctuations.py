"""Synapses fluctuate: slowly beside activity (Fig. 1b), yet memories outlive them."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import AbstractSignals, Scalar, simulate, State
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import autocorrelation_time
from ..config import Config, embed, REFERENCE_STEP
from .erosion import (
    _name,
    _shares,
    AFTER,
    coefficients,
    EARLY,
    MEMORIES,
    memories,
    retained,
    spun_up,
    without_homeostasis,
)


Matrix = Float[Array, "n n"]
ACTIVE = ("rate_control", "decorrelation")
TRACES = 4


# --- Fig. 1b --------------------------------------------------------------------------


def record_traces(
    state: State, signals: AbstractSignals, changes: dict[str, Any]
) -> tuple[Array, Array]:
    """Potentials of the first neurons, and a synapse between each of them and others.

    Synapse k leads from neuron k + 1 to neuron k.
    """
    del signals, changes
    place = jnp.arange(TRACES)
    return state.activity.potential[:TRACES], state.synapses[place, place + 1]


def traces(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`potential` and `weight` (rule, time, trace) under either active rule."""

    def under(rule: str) -> tuple[Array, Array]:
        for_spin, for_run = jr.split(key)
        system, state = spun_up(dataclasses.replace(config, homeostasis=rule), for_spin)
        steps, every = config.steps("follow"), config.steps("record_every")
        run = simulate(
            system, state, for_run, steps=steps, record=record_traces, every=every
        )
        return run[1]

    potential, weight = zip(*(under(rule) for rule in ACTIVE), strict=True)
    return {"potential": jnp.stack(potential), "weight": jnp.stack(weight)}


def predict_traces(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Random walk of a synapse moved by noise alone, and the coordinates.

    `predicted` (time) is the rms distance from the first sample,
    $\eta\sigma_\xi\sqrt{\Delta t_{\rm ref}t/N}$.
    """
    del keys
    config = plan.config
    steps, every = config.steps("follow"), config.steps("record_every")
    times = config.step * every * np.arange(1, steps // every + 1)
    rate = float(config.plasticity * config.noise)
    law = rate * np.sqrt(REFERENCE_STEP * (times - times[0]) / config.size)
    return xarray.Dataset(
        {"predicted": ("time", law)}, {"rule": list(ACTIVE), "time": times}
    )


def correlation_time(traces: xarray.DataArray) -> float:
    """Median over seeds and traces of the 1/e time of their autocorrelation."""
    interval = float(traces.time[1] - traces.time[0])
    rows = traces.stack(row=("seed", "trace")).transpose("row", "time").values
    return float(np.median([autocorrelation_time(row, interval) for row in rows]))


def fig1b_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Synapses sum up fast changes: they move slowly, and further than by noise."""

    def ratio(rule: str, weight: xarray.DataArray) -> float:
        potential = data.potential.sel(rule=rule)
        return correlation_time(weight.sel(rule=rule)) / correlation_time(potential)

    def travelled(data: xarray.Dataset) -> float:
        weight = data.weight.sel(rule="decorrelation")
        moved = weight.isel(time=-1) - weight.isel(time=0)
        return float((moved**2).mean(skipna=False)) ** 0.5 / float(data.predicted[-1])

    claims = [
        Claim(
            f"{rule.replace('_', ' ')}: correlation time of synapses over that of "
            "potentials (medians); control: of their increments",
            "Fig. 1b",
            ratio(rule, data.weight),
            10.0,
            math.inf,
            control=ratio(rule, data.weight.diff("time")),
        )
        for rule in ACTIVE
    ]
    claims.append(
        Claim(
            "decorrelation: distance that synapses travel over that of noise alone "
            "(rms)",
            "Fig. 1b; 1 for noise alone",
            travelled(data),
            3.0,
            math.inf,
            control=travelled(control),
        )
    )
    return claims


def draw_traces(data: xarray.Dataset) -> Figure:
    """Figure 1b: potentials and synapses in time, either active rule."""
    figure, axes = panels(2, data.sizes["rule"], 4.6, 1.9)
    for column, rule in enumerate(("rate_control", "decorrelation")):
        here = data.sel(rule=rule).isel(seed=0)
        for row, (name, label) in enumerate(
            {"potential": "potential - mean", "weight": "synapse - mean"}.items()
        ):
            panel = axes[row, column]
            for trace in range(here.sizes["trace"]):
                values = here[name].isel(trace=trace)
                values = values - values.mean()
                panel.plot(here.time, values, color=SHADES[trace], lw=0.8)
            panel.set(ylabel=label, xlim=(0.0, float(here.time[-1])))
        axes[0, column].set(title=_name(rule))
        axes[1, column].set(xlabel="time (neural time constants)")
    return figure


def draw_turnover(data: xarray.Dataset) -> Figure:
    """Synapses against themselves, the memory, and the two parts of the change."""
    figure, axes = panels(1, 3, 3.6, 2.7)
    likeness, kept, moved = axes[0]
    gains = data.gain.values
    left = _shares(data).mean("seed")
    since = data.later - float(data.later[0]) + float(data.later.diff("later")[0])
    for gain, color in zip(gains, SHADES, strict=False):
        here = data.sel(gain=gain, memory="imaginary").mean("seed")
        label = f"c = {gain:g}"
        likeness.plot(since, here.likeness, color=color, label=label)
        course = left.sel(gain=gain)
        kept.plot(data.time, course.sel(memory="imaginary"), color=color, label=label)
        kept.plot(data.time, course.sel(memory="real"), ":", color=color)
        for change, style in {"symmetric": ":", "antisymmetric": "-"}.items():
            moved.loglog(since, here.moved.sel(change=change), style, color=color)
    moved.plot(since, data.predicted, "--", color="black", lw=1, label="noise alone")
    moved.plot([], [], ":", color=THEORY, label="symmetric part")
    moved.plot([], [], "-", color=THEORY, label="anti-symmetric part")
    moved.set_ylim(top=2.0)
    likeness.set(ylabel="correlation with earlier self", title="Synapses")
    kept.set(ylabel="share left", title="Memory (dotted: real)", xlabel=AFTER)
    moved.set(ylabel="rms change of a synapse", title="Turnover")
    for panel in (likeness, moved):
        panel.set(xlabel="time apart (neural time constants)")
    likeness.legend(frameon=False, fontsize="x-small")
    moved.legend(frameon=False, fontsize="x-small", loc="upper left")
    return figure


FIG1B = Experiment(
    name="fig1b",
    source="Fig. 1b",
    shows="synapses fluctuate without end, slowly beside the activity that moves them",
    config=Config,
    run=traces,
    claims=fig1b_claims,
    figure=draw_traces,
    control=without_homeostasis,
    dims={"potential": ("rule", "time", "trace"), "weight": ("rule", "time", "trace")},
    predict=predict_traces,
)


# --- synaptic turnover ----------------------------------------------------------------

CHANGES = ("all", "symmetric", "antisymmetric")


def record_turnover(
    frame: Array,
    reference: Matrix,
    state: State,
    signals: AbstractSignals,
    changes: dict[str, Any],
) -> tuple[Array, Array, Array]:
    """Coefficients, correlation of the synapses with `reference`, rms of CHANGES.

    The correlation leaves out self-connections.
    """
    del signals, changes
    w = state.synapses
    moved = w - reference
    parts = jnp.stack([moved, (moved + moved.T) / 2, (moved - moved.T) / 2])
    others = 1 - jnp.eye(len(w))  # a self-connection is no synapse between neurons
    rms = jnp.sqrt(jnp.mean(parts**2, axis=(1, 2)))
    return coefficients(w, frame), correlation(w, reference, others), rms


def correlation(a: Matrix, b: Matrix, mask: Matrix) -> Scalar:
    """Of the entries where `mask` is one."""
    centre = lambda x: mask * (x - jnp.sum(mask * x) / jnp.sum(mask))
    a, b = centre(a), centre(b)
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2))


def turned_over(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Synapses that hold a memory against themselves 100 after the embedding.

    For a real and an imaginary memory: `coefficient` (memory, time) from that moment,
    `before` the embedding, `likeness` (memory, time) the correlation of synapses
    with what they were, `moved` (memory, time, change) the rms of their change and of
    its two parts; `own` (memory) the rms weight of the memory itself.
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    system, state = spun_up(config, for_spin)
    frame, patterns = memories(config, for_memory)
    early, rest = round(EARLY / config.step), config.steps("follow")
    every = config.steps("record_every")

    def follow(memory: Matrix) -> tuple[Array, Array, Array]:
        start = embed(config, system, state, memory, for_kick)
        middle, _ = simulate(system, start, for_run, steps=early, every=early)
        record = jax.tree_util.Partial(record_turnover, frame, middle.synapses)
        _, (course, alike, moved) = simulate(
            system, middle, for_run, steps=rest - early, record=record, every=every
        )
        first = coefficients(start.synapses, frame)
        return jnp.concatenate([first[None], course]), alike, moved

    course, alike, moved = jax.vmap(follow)(patterns)
    return {
        "coefficient": jnp.diagonal(course, axis1=0, axis2=2).T,
        "before": coefficients(state.synapses, frame),
        "likeness": alike,
        "moved": moved,
        "own": jnp.sqrt(jnp.mean(patterns**2, axis=(1, 2))),
    }


def predict_turnover(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Diffusion of the anti-symmetric part, a pure random walk where $c = 1$.

    The rms over synapses is $\eta\sigma_\xi\sqrt{\Delta t_{\rm ref}t/2N}$; without the
    diagonal, which has no anti-symmetric part, $N - 1$ of $N$ synapses diffuse.
    """
    del keys
    config = plan.config
    end = config.follow + config.record_every / 2
    later = np.arange(EARLY + config.record_every, end, config.record_every)
    variance = REFERENCE_STEP * (later - EARLY) / (2 * config.size)
    share = 1 - 1 / config.size
    law = float(config.plasticity * config.noise) * np.sqrt(share * variance)
    return xarray.Dataset(
        {"predicted": ("later", law)},
        {
            "memory": list(MEMORIES),
            "change": list(CHANGES),
            "time": np.concatenate([[0.0], later]),
            "later": later,
        },
    )


def turnover_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The synapses forget themselves; the imaginary memory stays."""
    last = {"memory": "imaginary", "gain": 0.9}

    def likeness(data: xarray.Dataset) -> float:
        return float(data.likeness.sel(last).isel(later=-1).mean(skipna=False))

    def moved(data: xarray.Dataset, change: str, gain: float = 0.9) -> float:
        here = data.moved.sel(memory="imaginary", change=change, gain=gain)
        return float(here.isel(later=-1).mean(skipna=False))

    def apart(data: xarray.Dataset) -> float:
        return moved(data, "symmetric") / moved(data, "antisymmetric")

    def kept(memory: str) -> float:
        here = retained(data).sel(memory=memory, gain=0.9).isel(time=-1)
        return float(here.mean("seed", skipna=False))

    def walk(data: xarray.Dataset, gain: float) -> float:
        return moved(data, "antisymmetric", gain) / float(data.predicted[-1])

    own = float(data.own.sel(last).mean(skipna=False))
    return [
        Claim(
            "correlation of the synapses with themselves at the end",
            "Fig. 2e, discussion; independent evaluation: 0.34",
            likeness(data),
            -1.0,
            0.5,
            control=likeness(control),
        ),
        Claim(
            "share of the imaginary memory that is left; control: of the real one",
            "Fig. 2e; independent evaluation: 0.92",
            kept("imaginary"),
            0.9,
            1.01,
            control=kept("real"),
        ),
        Claim(
            "rms change of synapses over the rms weight of the memory",
            "independent evaluation: 0.103 / 0.055",
            moved(data, "all") / own,
            1.0,
            math.inf,
            control=moved(control, "all") / own,
        ),
        Claim(
            "symmetric over anti-symmetric turnover (rms)",
            "independent evaluation: 0.102 / 0.015",
            apart(data),
            5.0,
            math.inf,
            control=apart(control),
        ),
        Claim(
            "c = 1: anti-symmetric turnover over that of noise alone (rms); control: "
            "c = 0.5",
            "theory: conserved by the rule; 8128 synapses per run",
            walk(data, 1.0),
            0.97,
            1.03,
            control=walk(data, 0.5),
        ),
    ]


TURNOVER = Experiment(
    name="turnover",
    source="Fig. 2e, Discussion",
    shows="a memory outlives the synapses that hold it",
    config=Config,
    run=turned_over,
    claims=turnover_claims,
    figure=draw_turnover,
    control=without_homeostasis,
    dims={
        "coefficient": ("memory", "time"),
        "before": ("memory",),
        "likeness": ("memory", "later"),
        "moved": ("memory", "later", "change"),
        "own": ("memory",),
    },
    predict=predict_turnover,
)
