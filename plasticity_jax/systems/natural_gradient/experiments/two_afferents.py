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
from .learning import COLOURS, jackknife, recorded, student_paths, times_of


Vector = Float[Array, " n"]
RATES = (10.0, 50.0)  # Hz
START, TEACHER = (-0.15, 0.25), (0.075, 0.075)  # (-0.3, 0.5) and (0.15, 0.15) over n
STUDENTS, SYNAPSES = ("euclidean", "natural"), ("10 Hz", "50 Hz")
GRID = tuple(0.5 * (-0.4 + 0.025 * k) for k in range(41))  # of the divergence
POISSON = "#8a5bb0"
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
    coefficients = neuron.coefficients(neuron.at_soma(synapses))
    signals = neuron.signals(synapses, potential, told, coefficients)
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
    of Poisson inputs; `divergence` per bin of 0.5 ms at all pairs of `GRID`.
    """
    config: TwoAfferents = plan.config
    key = jr.fold_in(keys[0], 1)
    rates, kernel = jnp.asarray(RATES), SynapticKernel()
    sample = stationary_potentials(rates, kernel, config.samples, key)
    neuron = neuron_of(BIN)
    places = jnp.asarray([(low / 2, high / 2) for low in LOW for high in HIGH])
    change_by = lambda rule: lambda w: drift(neuron, rule, w, sample)
    changes = list(map(change_by, rules_of(config).values()))
    fisher = Partial(shot_noise_fisher, Sigmoid(), rates=rates, kernel=kernel)
    knows_all = neuron_of(BIN, fisher=fisher)
    exact = lambda w: drift(knows_all, DenseNaturalGradient(1.0), w, sample)
    field = np.stack([jax.lax.map(f, places) for f in (*changes, exact)])
    way = np.asarray(TEACHER) - np.asarray(places)
    lengths = np.linalg.norm(field, axis=2) * np.linalg.norm(way, axis=1)
    turn = np.degrees(np.arccos(np.sum(field * way, axis=2) / lengths))
    paths = [mean_path(change, config) for change in changes]
    values = {
        "predicted_weight": (("student", "time", "synapse"), np.asarray(paths)),
        "field": (("student", "point", "synapse"), field[:-1]),
        "angle": (("student", "point"), turn[:-1]),
        "poisson_field": (("point", "synapse"), field[-1]),
        "poisson_angle": ("point", turn[-1]),
        "divergence": (("high", "low"), np.asarray(divergence_map(sample))),
    }
    coords = {
        "student": list(STUDENTS),
        "time": times_of(config),
        "synapse": list(SYNAPSES),
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


def lead(data: Dataset, student: str) -> float:
    """Fraction of the way at 400 s, high-rate over low-rate weight."""
    low, high = covered(data.weight.sel(student=student), 400.0)
    return float(high / low)


# --- paths: direction only, at these rates the Euclidean student is the faster one ----


@claim("Fig. 3D; independent simulation: 0.41 / 0.13", low=2.0, control=None)
def high_rate_first(data: Dataset) -> float:
    """Euclidean learning starts with the high-rate weight (high / low fraction of the
    way at 400 s).
    """
    return lead(data, "euclidean")


@claim("Fig. 3E; independent simulation: 0.31 / 0.40", low=0.5, high=1.5)
def both_alike(data: Dataset) -> float:
    """Natural learning adapts both alike (the same ratio)."""
    return lead(data, "natural")


@claim("Fig. 3D; independent simulation: 0.123", low=0.10, high=0.15, control=None)
def euclidean_detour(data: Dataset) -> tuple[float, float]:
    """Euclidean learning makes a detour (largest distance of the mean path from the
    straight line, weights x n; length 0.570).
    """
    return bend(data, "euclidean")


@claim("Fig. 3E; independent simulation: 0.032", low=0.015, high=0.05)
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


# --- directions of the gradients, and the contours that they cross --------------------


@claim("Fig. 3E; independent evaluation: 5.8", low=5.0, high=6.6)
def natural_angle(data: Dataset) -> float:
    """Natural gradients point to the target (mean angle over the grid, degrees)."""
    return float(data.angle.sel(student="natural").mean(skipna=False))


@claim("Fig. 3D; independent evaluation: 32.9", low=31.5, high=34.5, control=None)
def euclidean_angle(data: Dataset) -> float:
    """Euclidean gradients do not (mean angle over the grid, degrees)."""
    return float(data.angle.sel(student="euclidean").mean(skipna=False))


# 20,000 potentials leave standard errors of 0.2, 1.5, 0.2 and 0.5 degrees; 4 of them
@claim("Fig. 3D; independent evaluation: 62.8", low=62.0, high=63.6, control=None)
def largest_euclidean_angle(data: Dataset) -> float:
    """Euclidean gradients turn away most (largest angle over the grid, degrees)."""
    return float(data.angle.sel(student="euclidean").max(skipna=False))


@claim("Fig. 3E; independent evaluation: 14.6", low=8.6, high=20.6)
def largest_natural_angle(data: Dataset) -> float:
    """Natural gradients less (the same)."""
    return float(data.angle.sel(student="natural").max(skipna=False))


@claim("T6; independent evaluation: 7.3", low=6.5, high=8.1, control=None)
def poisson_angle(data: Dataset) -> float:
    """With the exact metric of Poisson inputs (mean angle over the grid, degrees)."""
    return float(data.poisson_angle.mean(skipna=False))


@claim("T6; independent evaluation: 20.7", low=18.7, high=22.7, control=None)
def largest_poisson_angle(data: Dataset) -> float:
    """With the exact metric of Poisson inputs (largest angle, degrees)."""
    return float(data.poisson_angle.max(skipna=False))


def kl(data: Dataset, low: float, high: float) -> float:
    """Divergence at two weights, times n."""
    at = {"low": low / 2, "high": high / 2}
    return float(data["divergence"].sel(at, method="nearest"))


@claim(
    "Fig. 3D-E; independent evaluation: 3.3e-3 / 5.1e-4",
    low=5.8,
    high=7.2,
    control=None,
)
def elongated(data: Dataset) -> float:
    """Contours are elongated along the low-rate weight (divergence of equal errors,
    high / low).
    """
    return kl(data, 0.15, 0.3) / kl(data, 0.3, 0.15)


@claim(
    "Fig. 3D-E; independent evaluation: 9.3e-3", low=8.8e-3, high=9.8e-3, control=None
)
def divergence_at_the_start(data: Dataset) -> float:
    """Divergence per bin of 0.5 ms at the start."""
    return kl(data, -0.3, 0.5)


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
        natural_angle,
        euclidean_angle,
        largest_euclidean_angle,
        largest_natural_angle,
        poisson_angle,
        largest_poisson_angle,
        elongated,
        divergence_at_the_start,
    ),
    figure=draw_two_afferents,
    control=changed(metric=False),
    axes={"weight": {"student": STUDENTS, "time": times_of, "synapse": SYNAPSES}},
    predict=predict,
)
