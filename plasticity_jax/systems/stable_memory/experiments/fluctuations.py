"""Synapses fluctuate: slowly beside activity (Fig. 1b), yet memories outlive them."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar, simulate
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import autocorrelation_time
from ..config import Config, embed, REFERENCE_STEP
from . import erosion
from .erosion import ACTIVE, EARLY, late_times, MEMORY, retained


Matrix = Float[Array, "n n"]
TRACES = 4


# --- Fig. 1b --------------------------------------------------------------------------


def traced(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Potentials of the first neurons, and a synapse to each of them from the next."""
    for_spin, for_run = jr.split(key)
    system, state = erosion.spun_up(config, for_spin)
    steps, every = config.steps("follow"), config.steps("record_every")
    place = jnp.arange(TRACES)
    record = lambda state, *_: {
        "potential": state.activity.potential[:TRACES],
        "weight": state.synapses[place, place + 1],
    }
    return simulate(system, state, for_run, steps=steps, record=record, every=every)[1]


def traces(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`potential` and `weight` (rule, time, trace) under either active rule."""
    return erosion.under_each(ACTIVE, traced, config, key)


def times_of(config: Config) -> np.ndarray:
    """Times of the records of Fig. 1b."""
    steps, every = config.steps("follow"), config.steps("record_every")
    return config.step * every * np.arange(1, steps // every + 1)


def predict_traces(plan: Plan, keys: Any) -> Dataset:
    r"""Random walk of a synapse moved by noise alone.

    `predicted` (time) is the rms distance from the first sample,
    $\eta\sigma_\xi\sqrt{\Delta t_{\rm ref}t/N}$.
    """
    del keys
    config, times = plan.config, times_of(plan.config)
    rate = float(config.plasticity * config.noise)
    law = rate * np.sqrt(REFERENCE_STEP * (times - times[0]) / config.size)
    return Dataset({"predicted": ("time", law)}, {"time": times})


# --- synapses sum up fast changes: they move slowly, and further than by noise --------


def correlation_time(traces: DataArray) -> float:
    """Median over seeds and traces of the 1/e time of their autocorrelation."""
    interval = float(traces.time[1] - traces.time[0])
    rows = traces.stack(row=("seed", "trace")).transpose("row", "time").values
    return float(np.median([autocorrelation_time(row, interval) for row in rows]))


@claim(
    "Fig. 1b",
    low=10.0,
    control=lambda data, control, rule: synapses_are_slow(data, rule, 1),
    each="rule",
)
def synapses_are_slow(data: Dataset, rule: str, differences: int = 0) -> float:
    """{rule}: correlation time of synapses over that of potentials (medians); control:
    of their increments.
    """
    weight = data.weight.sel(rule=rule).diff("time", differences)
    return correlation_time(weight) / correlation_time(data.potential.sel(rule=rule))


@claim("Fig. 1b; 1 for noise alone", low=3.0)
def synapses_travel(data: Dataset) -> float:
    """Decorrelation: distance that synapses travel over that of noise alone (rms)."""
    weight = data.weight.sel(rule="decorrelation")
    moved = weight.isel(time=-1) - weight.isel(time=0)
    return float((moved**2).mean(skipna=False)) ** 0.5 / float(data.predicted[-1])


def draw_traces(data: Dataset) -> Figure:
    """Figure 1b: potentials and synapses in time, either active rule."""
    figure, axes = panels(2, data.sizes["rule"], 4.6, 1.9)
    for column, rule in zip(axes.T, data.rule.values, strict=True):
        here = data.sel(rule=rule).isel(seed=0)
        labels = {"potential": "potential - mean", "weight": "synapse - mean"}
        for panel, (name, label) in zip(column, labels.items(), strict=True):
            rows = here[name].transpose("trace", "time")
            for row, color in zip(rows, SHADES, strict=False):
                panel.plot(here.time, row - row.mean(), color=color, lw=0.8)
            panel.set(ylabel=label, xlim=(0.0, float(here.time[-1])))
        column[0].set(title=erosion.title(rule))
        column[1].set(xlabel="time (neural time constants)")
    return figure


TRACE = {"rule": ACTIVE, "time": times_of, "trace": None}
FIG1B = Experiment(
    name="fig1b",
    source="Fig. 1b",
    shows="synapses fluctuate without end, slowly beside the activity that moves them",
    config=Config,
    run=traces,
    claims=(synapses_are_slow, synapses_travel),
    figure=draw_traces,
    control=changed(homeostasis_gain=0.0),
    axes=dict.fromkeys(("potential", "weight"), TRACE),
    predict=predict_traces,
)


# --- synaptic turnover ----------------------------------------------------------------

CHANGES = ("all", "symmetric", "antisymmetric")


def changes_of(w: Matrix, reference: Matrix) -> tuple[Array, Array]:
    """Correlation with `reference`, self-connections left out, and rms of CHANGES."""
    moved = w - reference
    parts = jnp.stack([moved, (moved + moved.T) / 2, (moved - moved.T) / 2])
    others = 1 - jnp.eye(len(w))  # a self-connection is no synapse between neurons
    rms = jnp.sqrt(jnp.mean(parts**2, axis=(1, 2)))
    return correlation(w, reference, others), rms


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
    system, state = erosion.spun_up(config, for_spin)
    frame, patterns = erosion.memories(config, for_memory)
    own = lambda state: erosion.coefficients(state.synapses, frame)
    early, rest = round(EARLY / config.step), config.steps("follow")
    every = config.steps("record_every")

    def follow(memory: Matrix) -> tuple[Array, Array, Array]:
        start = embed(config, system, state, memory, for_kick)
        middle, _ = simulate(system, start, for_run, steps=early, every=early)
        record = lambda now, *_: (own(now), *changes_of(now.synapses, middle.synapses))
        _, (course, alike, moved) = simulate(
            system, middle, for_run, steps=rest - early, record=record, every=every
        )
        return jnp.concatenate([own(start)[None], course]), alike, moved

    course, alike, moved = jax.vmap(follow)(patterns)
    return {
        "coefficient": erosion.own_course(course),
        "before": own(state),
        "likeness": alike,
        "moved": moved,
        "own": jnp.sqrt(jnp.mean(patterns**2, axis=(1, 2))),
    }


def predict_turnover(plan: Plan, keys: Any) -> Dataset:
    r"""Diffusion of the anti-symmetric part, a pure random walk where $c = 1$.

    The rms over synapses is $\eta\sigma_\xi\sqrt{\Delta t_{\rm ref}t/2N}$; without the
    diagonal, which has no anti-symmetric part, $N - 1$ of $N$ synapses diffuse.
    """
    del keys
    config, later = plan.config, late_times(plan.config)
    variance = REFERENCE_STEP * (later - EARLY) / (2 * config.size)
    share = 1 - 1 / config.size
    law = float(config.plasticity * config.noise) * np.sqrt(share * variance)
    return Dataset({"predicted": ("later", law)}, {"later": later})


# --- the synapses forget themselves; the imaginary memory stays -----------------------

PUBLISHED = {"memory": "imaginary", "gain": 0.9}


def moved(data: Dataset, change: str, gain: float = 0.9) -> float:
    """Change of the synapses that hold an imaginary memory (rms), at the end."""
    here = data.moved.sel(memory="imaginary", change=change, gain=gain)
    return float(here.isel(later=-1).mean(skipna=False))


@claim("Fig. 2e, discussion; independent evaluation: 0.34", low=-1.0, high=0.5)
def synapses_forget_themselves(data: Dataset) -> float:
    """Correlation of the synapses with themselves at the end."""
    return float(data.likeness.sel(PUBLISHED).isel(later=-1).mean(skipna=False))


@claim(
    "Fig. 2e; independent evaluation: 0.92",
    low=0.9,
    high=1.01,
    control=lambda data, control: memory_stays(data, "real"),
)
def memory_stays(data: Dataset, memory: str = "imaginary") -> float:
    """Share of the imaginary memory that is left; control: of the real one."""
    kept = retained(data).sel(memory=memory, gain=0.9).isel(time=-1)
    return float(kept.mean("seed", skipna=False))


@claim("independent evaluation: 0.103 / 0.055", low=1.0)
def turnover_exceeds_memory(data: Dataset) -> float:
    """Rms change of synapses over the rms weight of the memory."""
    return moved(data, "all") / float(data.own.sel(PUBLISHED).mean(skipna=False))


@claim("independent evaluation: 0.102 / 0.015", low=5.0)
def turnover_is_symmetric(data: Dataset) -> float:
    """Symmetric over anti-symmetric turnover (rms)."""
    return moved(data, "symmetric") / moved(data, "antisymmetric")


@claim(
    "theory: conserved by the rule; 8128 synapses per run",
    low=0.97,
    high=1.03,
    control=lambda data, control: noise_alone_turns_over(data, 0.5),
)
def noise_alone_turns_over(data: Dataset, gain: float = 1.0) -> float:
    """c = 1: anti-symmetric turnover over that of noise alone (rms); control: 0.5."""
    return moved(data, "antisymmetric", gain) / float(data.predicted[-1])


def draw_turnover(data: Dataset) -> Figure:
    """Synapses against themselves, the memory, and the two parts of the change."""
    figure, axes = panels(1, 3, 3.6, 2.7)
    likeness, kept, moved = axes[0]
    left, since = retained(data).mean("seed"), data.later - EARLY
    for gain, color in zip(data.gain.values, SHADES, strict=False):
        here = data.sel(gain=gain, memory="imaginary").mean("seed")
        label = f"c = {gain:g}"
        likeness.plot(since, here.likeness, color=color, label=label)
        for memory, style in {"imaginary": "-", "real": ":"}.items():
            course = left.sel(gain=gain, memory=memory)
            kept.plot(data.time, course, style, color=color)
        for change, style in {"symmetric": ":", "antisymmetric": "-"}.items():
            moved.loglog(since, here.moved.sel(change=change), style, color=color)
    moved.plot(since, data.predicted, "--", color="black", lw=1, label="noise alone")
    moved.plot([], [], ":", color=THEORY, label="symmetric part")
    moved.plot([], [], "-", color=THEORY, label="anti-symmetric part")
    moved.set_ylim(top=2.0)
    likeness.set(ylabel="correlation with earlier self", title="Synapses")
    kept.set(ylabel="share left", title="Memory (dotted: real)", xlabel=erosion.AFTER)
    moved.set(ylabel="rms change of a synapse", title="Turnover")
    for panel in (likeness, moved):
        panel.set(xlabel="time apart (neural time constants)")
    likeness.legend(frameon=False, fontsize="x-small")
    moved.legend(frameon=False, fontsize="x-small", loc="upper left")
    return figure


LATER, CHANGE = {"later": late_times}, {"change": CHANGES}
TURNOVER = Experiment(
    name="turnover",
    source="Fig. 2e, Discussion",
    shows="a memory outlives the synapses that hold it",
    config=Config,
    run=turned_over,
    claims=(
        synapses_forget_themselves,
        memory_stays,
        turnover_exceeds_memory,
        turnover_is_symmetric,
        noise_alone_turns_over,
    ),
    figure=draw_turnover,
    control=changed(homeostasis_gain=0.0),
    axes={
        "coefficient": MEMORY | {"time": lambda config: [0.0, *late_times(config)]},
        "before": MEMORY,
        "likeness": MEMORY | LATER,
        "moved": MEMORY | LATER | CHANGE,
        "own": MEMORY,
    },
    predict=predict_turnover,
)


# --- turnover under rate control ------------------------------------------------------


def predict_silent(plan: Plan, keys: Any) -> Dataset:
    r"""$1/\sqrt{1 + D/V}$: the likeness that noise alone leaves of random synapses.

    $D = \eta^2\sigma^2\Delta t_{\rm ref}t/N$; $V = g^2/N$, that of earlier noise, and
    $2a^2/N^2$ of the memory.
    """
    predicted = predict_turnover(plan, keys)
    config, later = plan.config, late_times(plan.config)
    since = float(config.plasticity * config.noise) ** 2 * REFERENCE_STEP
    begun = config.spin_up + EARLY
    spread = float(config.initial_gain) ** 2 + since * begun
    spread += 2 * float(config.strength) ** 2 / config.size
    law = (1 + since * (later - EARLY) / spread) ** -0.5
    return predicted.assign(unmoved=("later", law))


def likeness_at_end(data: Dataset) -> tuple[DataArray, DataArray]:
    """Of the synapses that hold an imaginary memory with themselves, and of noise."""
    here = data.likeness.sel(memory="imaginary").isel(later=-1)
    return here, data.unmoved.isel(later=-1)


@claim("6: 0.994 once activity is silent; turnover is below 0.5", low=0.5)
def synapses_hardly_move(data: Dataset) -> float:
    """Rate control: correlation of the synapses with themselves at the end (median over
    networks: in some, targets keep activity alive); control: decorrelation.
    """
    return float(likeness_at_end(data)[0].median("seed", skipna=False))


@claim("theory: silent synapses move by noise alone; most is above half", high=2.0)
def mostly_by_noise(data: Dataset) -> float:
    """Rate control: what the likeness lacks of 1, over that by noise alone (median)."""
    alike, law = likeness_at_end(data)
    return float(((1 - alike) / (1 - law)).median("seed", skipna=False))


@claim("6: a loss of less than 10 %", low=0.9)
def memory_stays_too(data: Dataset) -> float:
    """Rate control: share of the imaginary memory that is left (median)."""
    kept = retained(data).sel(memory="imaginary").isel(time=-1)
    return float(kept.median("seed", skipna=False))


def draw_silent(data: Dataset) -> Figure:
    """Synapses against themselves under rate control, each network; noise alone."""
    figure, axes = panels(1, 2, 3.6, 2.7)
    likeness, kept = axes[0]
    since, here = data.later - EARLY, data.sel(memory="imaginary")
    rows = here.likeness.transpose("seed", "later").values
    likeness.plot(since, rows.T, color=SHADES[0], lw=0.8)
    likeness.plot(since, data.unmoved, "--", color=THEORY, label="noise alone")
    likeness.set(ylabel="correlation with earlier self", title="Synapses")
    likeness.set(xlabel="time apart (neural time constants)")
    likeness.legend(frameon=False, fontsize="small")
    for memory, color in erosion.COLORS.items():
        rows = retained(data).sel(memory=memory).transpose("seed", "time").values
        kept.plot(data.time, rows.T, color=color, lw=0.8)
        kept.plot([], [], color=color, label=memory)
    kept.set(ylabel="share left", title="Memory", xlabel=erosion.AFTER)
    kept.legend(frameon=False, fontsize="small")
    return figure


SILENT = TURNOVER._replace(
    name="turnover_rate",
    source="Fig. 2d",
    shows="under rate control synapses that hold a memory hardly move",
    claims=(synapses_hardly_move, mostly_by_noise, memory_stays_too),
    figure=draw_silent,
    control=changed(homeostasis="decorrelation", gain=0.5),
    predict=predict_silent,
)
