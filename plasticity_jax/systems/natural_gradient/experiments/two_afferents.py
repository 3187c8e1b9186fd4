"""Figures 3D-E: where Euclidean and natural learning lead two synapses."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig, AbstractRule, Scalar, System
from ...._arguments import real, require, whole
from ....circuits import SharedInput, Sigmoid, SpikingNeuron, SynapticKernel
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan
from ....rules import DenseNaturalGradient, EuclideanGradient, NaturalGradient, Separate
from ....tasks import SpikeTrains
from ..potentials import BIN, stationary_potentials
from ..shot_noise import shot_noise_fisher
from ..theory import divergence
from .directions import (
    angle_to_target,
    divergence_at_the_start,
    elongated,
    in_parts,
    METRICS,
    PLACES,
    POTENTIALS,
    TEACHER,
    turns,
)
from .learning import COLOURS, jackknife, recorded, student_paths, times_of


Vector = Float[Array, " n"]
RATES = (10.0, 50.0)  # Hz
START = (-0.15, 0.25)  # (-0.3, 0.5) over n
STUDENTS, SYNAPSES = ("euclidean", "natural"), ("10 Hz", "50 Hz")
GRID = tuple(0.5 * (-0.4 + 0.025 * k) for k in range(41))  # of the divergence
POISSON = "#8a5bb0"
TRIALS = 12  # of the independent simulation
LOW, HIGH = (-0.28, -0.1, 0.08, 0.26, 0.44), (-0.22, 0.02, 0.26, 0.5)  # vectors, x n


class TwoAfferents(AbstractConfig):
    r"""One afferent at 10 Hz and one at 50 Hz, two students side by side.

    Learning rates are those of the published code over $\beta$, which it leaves out. A
    step of `step` s holds `substeps` bins of input spikes; with several the potential
    is exact at its end and the teacher's spikes are Poisson counts. The vector field
    and the divergence are means over `samples` potentials.
    """

    euclidean_rate: Scalar = eqx.field(default=7e-7 / 0.3, converter=real)
    natural_rate: Scalar = eqx.field(default=2.5e-4 / 0.3, converter=real)
    seconds: int = eqx.field(default=6000, static=True)
    record_seconds: int = eqx.field(default=100, static=True)
    step: float = eqx.field(default=BIN, static=True)  # s
    substeps: int = eqx.field(default=1, static=True)
    samples: int = eqx.field(default=100_000, static=True)
    metric: bool = eqx.field(default=True, static=True)  # control: both Euclidean

    def __check_init__(self) -> None:
        require(self, euclidean_rate=(0.0, math.inf), natural_rate=(0.0, math.inf))
        for name in ("seconds", "record_seconds", "substeps"):
            whole(name, getattr(self, name), 1)
        if self.seconds % self.record_seconds:
            raise ValueError(
                f"`seconds` ({self.seconds}) must be a multiple of "
                f"`record_seconds` ({self.record_seconds})."
            )
        whole("samples", self.samples, 2)


def neuron_of(dt: float, *, refresh: int = 1, **kwargs: Any) -> SpikingNeuron:
    """The neuron with two afferents and its teacher."""
    rates, teacher = jnp.asarray(RATES), jnp.asarray(TEACHER)
    return SpikingNeuron(rates, dt, teacher, refresh=refresh, nodes=151, **kwargs)


def change_at(
    neuron: SpikingNeuron, rule: AbstractRule, synapses: Vector, potential: Vector
) -> Vector:
    """Change per second at one potential, expected over the teacher's spikes."""
    if neuron.teacher is None:
        raise ValueError("`neuron` needs `teacher` weights.")
    told = neuron.transfer(jnp.sum(neuron.teacher * potential)) * neuron.dt
    weights = neuron.at_soma(synapses)
    fisher = None if neuron.fisher is None else neuron.fisher(weights)
    seen = potential, told, neuron.coefficients(weights), fisher
    signals = neuron.signals(synapses, *seen)
    return rule(synapses, signals, jr.key(0)) / neuron.dt  # the rule draws no noise


def drift(
    neuron: SpikingNeuron,
    rule: AbstractRule,
    synapses: Vector,
    potentials: Float[Array, "sample n"],
) -> Vector:
    """Mean change per second over a sample of potentials."""
    change = lambda x: change_at(neuron, rule, synapses, x)
    return jnp.mean(jax.vmap(change)(potentials), axis=0)


def divergence_map(potentials: Float[Array, "sample 2"]) -> Float[Array, "high low"]:
    """Divergence per bin of 0.5 ms at all pairs of weights of `GRID`."""
    grid, teacher = jnp.asarray(GRID), jnp.asarray(TEACHER)
    at = lambda w: divergence(Sigmoid(), w, teacher, potentials, BIN)
    row = lambda high: jax.vmap(lambda low: at(jnp.stack([low, high])))(grid)
    return jax.lax.map(row, grid)


def rules_of(config: TwoAfferents) -> dict[str, AbstractRule]:
    """The rule of each student."""
    euclidean = EuclideanGradient(config.euclidean_rate)
    natural = NaturalGradient(config.natural_rate) if config.metric else euclidean
    return dict(zip(STUDENTS, (euclidean, natural), strict=True))


def learning_paths(config: TwoAfferents, key: Key[Array, ""]) -> dict[str, Array]:
    """Weights (student, time, synapse) every `record_seconds`, on the same spikes."""
    law = "bernoulli" if config.substeps == 1 else "poisson"
    refresh = max(1, round(0.1 / config.step))
    neuron = neuron_of(config.step, refresh=refresh, law=law)
    how = {"substeps": config.substeps, "half_words": config.substeps > 1}
    task = SpikeTrains(jnp.asarray(RATES), config.step, **how)
    rule = Separate(rules_of(config))
    system = System(task, SharedInput(neuron), {"learning": rule})
    synapses = dict.fromkeys(STUDENTS, jnp.asarray(START))
    state = system.start(synapses, key)
    seen = recorded(config, system, state, key)
    return {"weight": student_paths(state, seen, STUDENTS)}


def predict(plan: Plan, keys: Any) -> Dataset:
    """What needs no run: where the mean change leads, and the divergence.

    `predicted_weight` (student, time, synapse) follows the mean change; `field`
    (student, point, synapse) is that change at the `point`s of the paper's grid of
    weights, `angle` (degrees) its angle with the way to the target, and `poisson_field`
    and `poisson_angle` are those of the natural gradient with the exact Fisher matrix
    of Poisson inputs; `divergence` per bin of 0.5 ms at all pairs of `GRID`. Fields and
    divergences (at `PLACES`) of parts of the sample are `fold_field` and
    `fold_divergence`; `share` is its size over that of the independent evaluation.
    """
    config: TwoAfferents = plan.config
    key = jr.fold_in(keys[0], 1)
    rates, kernel, teacher = jnp.asarray(RATES), SynapticKernel(), jnp.asarray(TEACHER)
    sample = stationary_potentials(rates, kernel, config.samples, key)
    neuron = neuron_of(BIN)
    places = jnp.asarray([(low / 2, high / 2) for low in LOW for high in HIGH])
    change_by = lambda rule: lambda w: drift(neuron, rule, w, sample)
    changes = list(map(change_by, rules_of(config).values()))
    fisher = Partial(shot_noise_fisher, Sigmoid(), rates=rates, kernel=kernel)
    knows_all = neuron_of(BIN, fisher=fisher)
    knowing = knows_all, DenseNaturalGradient(1.0)
    exact = lambda w: drift(*knowing, w, sample)
    field = np.stack([jax.lax.map(f, places) for f in (*changes, exact)])
    turned = turns(field, np.asarray(places))
    rules = *((neuron, rule) for rule in rules_of(config).values()), knowing
    parts_by = lambda neuron, rule: (
        lambda w: in_parts(lambda x: drift(neuron, rule, w, x), sample)
    )
    parts = [jax.lax.map(parts_by(*one), places) for one in rules]
    three = [jnp.asarray(place) / len(RATES) for place in PLACES.values()]
    at = lambda x: [divergence(Sigmoid(), w, teacher, x, BIN) for w in three]
    losses = in_parts(lambda x: jnp.stack(at(x)), sample)
    paths = [mean_path(change, config) for change in changes]
    values = {
        "predicted_weight": (("student", "time", "synapse"), np.asarray(paths)),
        "field": (("student", "point", "synapse"), field[:-1]),
        "angle": (("student", "point"), turned[:-1]),
        "poisson_field": (("point", "synapse"), field[-1]),
        "poisson_angle": ("point", turned[-1]),
        "fold_field": (("metric", "point", "fold", "synapse"), np.asarray(parts)),
        "fold_divergence": (("fold", "where"), np.asarray(losses)),
        "share": config.samples / POTENTIALS,
        "divergence": (("high", "low"), np.asarray(divergence_map(sample))),
    }
    coords = {
        "student": list(STUDENTS),
        "time": times_of(config),
        "synapse": list(SYNAPSES),
        "metric": list(METRICS),
        "where": list(PLACES),
        "place": (("point", "synapse"), np.asarray(places)),
        **dict.fromkeys(("high", "low"), np.asarray(GRID)),
    }
    return Dataset(values, coords)


def mean_path(
    change: Callable[[Any], Any], config: TwoAfferents
) -> Float[Array, "time 2"]:
    """Where `change` per second leads from `START` in steps of 10 s (Heun)."""
    substeps = max(1, round(config.record_seconds / 10))
    dt = config.record_seconds / substeps

    def step(_: int | Array, weights: Vector) -> Vector:
        first = change(weights)
        return weights + dt / 2 * (first + change(weights + dt * first))

    def record(weights: Vector, _: None) -> tuple[Vector, Vector]:
        moved = jax.lax.fori_loop(0, substeps, step, weights)
        return moved, moved

    start, records = jnp.asarray(START), config.seconds // config.record_seconds
    path = jax.lax.scan(record, start, length=records)[1]
    return jnp.concatenate([start[None], path])


def detour(weights: DataArray) -> float:
    """Largest distance of a path from the straight line to the target, times n."""
    start, way = np.asarray(START), np.subtract(TEACHER, START)
    off = weights.transpose(..., "synapse").values - start
    across = (off[:, 0] * way[1] - off[:, 1] * way[0]) / math.hypot(*way)
    return len(RATES) * float(np.max(np.abs(across)))


def bend(data: Dataset, student: str) -> tuple[float, float]:
    """The `detour` of the mean path; its standard error, by leaving out one trial."""
    weights = data.weight.sel(student=student)
    mean = lambda weights: detour(over_seeds(weights))
    return mean(weights), jackknife(mean, weights, least=3)


def covered(weights: DataArray, seconds: float) -> np.ndarray:
    """Fractions of the way that both mean weights have covered."""
    here = over_seeds(weights).sel(time=seconds, method="nearest")
    return (here.values - np.asarray(START)) / np.subtract(TEACHER, START)


def lead(data: Dataset, student: str) -> tuple[float, float]:
    """Fraction of the way at 400 s, high-rate over low-rate weight, and its error."""

    def measure(weights: DataArray) -> float:
        low, high = covered(weights, 400.0)
        return float(high / low)

    weights = data.weight.sel(student=student)
    return measure(weights), jackknife(measure, weights, least=3)


def beside(measure: Any, student: str, told: float, side: int) -> Any:
    """A limit: what `TRIALS` others gave, 4 standard errors of both away."""

    def limit(data: Dataset, control: Dataset) -> float:
        error = 4 * measure(data, student)[1]
        return told + side * error * math.sqrt(1 + data.sizes["seed"] / TRIALS)

    return limit


# --- paths: direction only, at these rates the Euclidean student is the faster one ----


@claim(
    "Fig. 3D, the direction; independent simulation: 0.41 / 0.13", low=1.0, control=None
)
def high_rate_first(data: Dataset) -> tuple[float, float]:
    """Euclidean learning starts with the high-rate weight (high / low fraction of the
    way at 400 s).
    """
    return lead(data, "euclidean")


SIMULATED = "independent simulation, 4 standard errors of both"


@claim(
    f"Fig. 3E; {SIMULATED}: 0.31 / 0.40",
    low=beside(lead, "natural", 0.305 / 0.405, -1),
    high=beside(lead, "natural", 0.315 / 0.395, 1),
)
def both_alike(data: Dataset) -> tuple[float, float]:
    """Natural learning adapts both alike (the same ratio)."""
    return lead(data, "natural")


@claim(
    f"Fig. 3D; {SIMULATED}: 0.123",
    low=beside(bend, "euclidean", 0.1225, -1),
    high=beside(bend, "euclidean", 0.1235, 1),
    control=None,
)
def euclidean_detour(data: Dataset) -> tuple[float, float]:
    """Euclidean learning makes a detour (largest distance of the mean path from the
    straight line, weights x n; length 0.570).
    """
    return bend(data, "euclidean")


@claim(
    f"Fig. 3E; {SIMULATED}: 0.032",
    low=beside(bend, "natural", 0.0315, -1),
    high=beside(bend, "natural", 0.0325, 1),
)
def natural_detour(data: Dataset) -> tuple[float, float]:
    """Natural learning hardly does (the same distance)."""
    return bend(data, "natural")


@claim(
    "Eqs. 10, 38 without noise; 5 % of the way",
    low=0.0,
    high=0.05 * len(RATES) * math.dist(START, TEACHER),
    control=None,
)
def follows_the_mean_change(data: Dataset) -> float:
    """Mean paths follow the mean change (largest distance, weights x n)."""
    apart = over_seeds(data.weight) - data.predicted_weight
    astray = (apart**2).sum("synapse", skipna=False) ** 0.5
    return len(RATES) * float(astray.max(skipna=False))


def contours(panel: Axes, divergence: DataArray) -> None:
    """Contours of the divergence against both weights, times n."""
    levels = (0.001, 0.003, 0.005, 0.009, 0.015, 0.02, 0.03, 0.04)
    low, high = 2 * divergence.low.values, 2 * divergence.high.values
    panel.contour(low, high, divergence.values, levels, colors="0.75", linewidths=0.7)


def ends(panel: Axes, title: str) -> None:
    """Start and target of the paths."""
    panel.plot(*(2 * np.asarray(START)), "o", color="black", ms=5)
    panel.plot(*(2 * np.asarray(TEACHER)), "*", color="#b3262e", ms=12)
    panel.set(title=title, xlabel="n w, 10 Hz input", ylabel="n w, 50 Hz input")
    panel.set(aspect="equal", xlim=(-0.4, 0.6), ylim=(-0.4, 0.6))


def draw_two_afferents(data: Dataset) -> Figure:
    """Figures 3D-E: mean paths, single trials, directions of the mean change."""
    figure, axes = panels(1, 3, 3.4, 3.2)
    turns = axes[0, 2]
    order = np.argsort(data.angle.sel(student="euclidean").values)
    for panel, student in zip(axes[0], data.student.values, strict=False):
        here, color = data.sel(student=student), COLOURS[student]
        contours(panel, data["divergence"])
        for trial in here.weight.values[:12]:
            panel.plot(*(2 * trial.T), color=color, lw=0.4, alpha=0.4)
        mean, theory = 2 * here.weight.mean("seed"), 2 * here.predicted_weight
        panel.plot(*mean.values.T, color=color, lw=2.5, label="mean of the trials")
        panel.plot(*theory.values.T, "--", color="black", lw=1, label="mean change")
        unit = lambda x: x.values / np.linalg.norm(x.values, axis=1, keepdims=True)
        places, thin = 2 * data.place.values, {"width": 0.005, "scale": 14}
        panel.quiver(*places.T, *unit(here.field).T, color="0.35", **thin)
        if student == "natural":
            panel.quiver(*places.T, *unit(here.poisson_field).T, color=POISSON, **thin)
        ends(panel, student.capitalize())
        angle = here.angle.values[order]
        turns.plot(angle, "o", color=color, ms=4, label=student)
        turns.axhline(angle.mean(), color=color, lw=1)
    axes[0, 0].legend(frameon=False, fontsize="small", loc="lower left")
    label = "natural, Poisson metric"
    turns.plot(data.poisson_angle.values[order], "x", color=POISSON, ms=4, label=label)
    turns.set(xlabel="point of the grid", ylabel="angle to the target (degrees)")
    turns.legend(frameon=False, fontsize="small")
    return figure


FIG3DE = Experiment(
    name="fig3de",
    source="Fig. 3D-E",
    shows="two synapses: Euclidean learning bends, natural learning goes straight",
    config=TwoAfferents,
    run=learning_paths,
    claims=(
        high_rate_first,
        both_alike,
        euclidean_detour,
        natural_detour,
        follows_the_mean_change,
        angle_to_target,
        elongated,
        divergence_at_the_start,
    ),
    figure=draw_two_afferents,
    control=changed(metric=False),
    axes={"weight": {"student": STUDENTS, "time": times_of, "synapse": SYNAPSES}},
    predict=predict,
)
