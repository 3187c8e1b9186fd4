"""Few inputs: does a metric that knows more of their law learn faster?"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import (
    AbstractConfig,
    AbstractRule,
    Scalar,
    simulate,
    State,
    System,
)
from ...._arguments import real, require, whole
from ....circuits import SharedInput, SpikingNeuron
from ....experiment import Claim, Experiment, panels, Plan, THEORY
from ....rules import (
    DenseNaturalGradient,
    EuclideanGradient,
    NaturalGradient,
    Separate,
    SkewedNaturalGradient,
)
from ....tasks import SpikeTrains
from ..mean_field import BIN
from ..shot_noise import draw_potentials, fisher_error
from ..theory import divergence
from .learning import COLOURS, crossing, floor, synapses_of
from .shot_noise import check_sizes, drawn_weights, Matrix, metrics, of_sizes


STUDENTS = ("euclidean", "natural", "skewed", "exact")
STEP, SUBSTEPS = 5e-3, 10  # s; bins of the input spikes in a step
SPIKES = 40  # that a potential of the test set remembers
LEARNED = 2.0  # divergence, over the residual


class Skewed(AbstractConfig):
    r"""Few inputs at a low `rate`, weights uniform in $\pm$ `weight_scale` / n.

    Every student's learning rate is set from the matrices at the teacher such that, by
    mean-field theory, it ends at the divergence `residual` per bin of 0.5 ms:
    $\eta\, \mathrm{tr}(P^{-1} G)\, dt/4$ with metric $P$. With the true metric that is
    $\eta_n = 4 \cdot$ `residual` $/ (n\, dt)$. A run lasts `duration`$/\eta_n$ s.
    """

    weight_scale: Scalar = eqx.field(default=1.0, converter=real)
    rate: Scalar = eqx.field(default=5.0, converter=real)  # Hz
    residual: float = eqx.field(default=2.5e-5, static=True)
    sizes: tuple[int, ...] = eqx.field(default=(5, 10, 20), static=True)
    duration: int = eqx.field(default=6, static=True)
    records: int = eqx.field(default=30, static=True)
    tests: int = eqx.field(default=400, static=True)  # potentials of the test set
    nodes: int = eqx.field(default=81, static=True)
    metric: bool = eqx.field(default=True, static=True)  # control: all Euclidean

    def __check_init__(self) -> None:
        require(self, weight_scale=(1e-9, math.inf), rate=(1e-4, 0.2 / BIN))
        check_sizes(self.sizes)
        for name in ("duration", "records", "tests"):
            whole(name, getattr(self, name), 1)
        whole("nodes", self.nodes, 9)
        if not 0 < self.residual < math.inf:
            raise ValueError(f"`residual` must be above 0; got {self.residual}.")


def learning_with_metrics(config: Skewed, key: Key[Array, ""]) -> dict[str, Array]:
    """Students with different metrics on the same spikes, for every size.

    `divergence` (size, student, time) per bin over `residual`; `metric_error` (size,
    form) of the Gaussian and of the corrected matrix at the teacher, relative to the
    exact one.
    """
    rows = [learning_at(config, n, jr.fold_in(key, n)) for n in config.sizes]
    return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}


def learning_at(config: Skewed, size: int, key: Key[Array, ""]) -> dict[str, Array]:
    """`learning_with_metrics` of one size."""
    for_teacher, for_start, for_run, for_test = jr.split(key, 4)
    teacher = drawn_weights(size, config.weight_scale, for_teacher)
    start = drawn_weights(size, config.weight_scale, for_start)
    rates = jnp.full(size, config.rate)
    forms = metrics(teacher, rates, 1.0, config.nodes)
    rules = rules_of(config, forms)
    neuron = SpikingNeuron(
        rates, STEP, teacher, law="poisson", refresh=20, nodes=config.nodes
    )
    task = SpikeTrains(rates, STEP, substeps=SUBSTEPS, half_words=True)
    system = System(task, SharedInput(neuron), {"learning": Separate(rules)})
    synapses = dict.fromkeys(STUDENTS, start)
    seconds = config.duration * size * BIN / (4 * config.residual)
    every = max(1, round(seconds / config.records / STEP))
    _, seen = simulate(
        system,
        State(neuron.start(synapses), synapses),
        for_run,
        steps=every * config.records,
        every=every,
        record=synapses_of,
    )
    draw = lambda key: draw_potentials(rates, neuron.kernel, SPIKES, key)
    potentials = jax.lax.map(draw, jr.split(for_test, config.tests))
    cost = lambda w: divergence(neuron.transfer, w, teacher, potentials, BIN)
    costs = lambda name: jax.lax.map(cost, jnp.concatenate([start[None], seen[name]]))
    closed = (forms["natural"], forms["skewed"])
    return {
        "divergence": jnp.stack([costs(name) for name in STUDENTS]) / config.residual,
        "metric_error": jnp.stack([fisher_error(p, forms["exact"]) for p in closed]),
    }


def rules_of(config: Skewed, forms: dict[str, Matrix]) -> dict[str, AbstractRule]:
    """The rule of each student, at the learning rate of equal residual divergence."""
    exact = forms["exact"]
    eta = {
        name: 4 * config.residual / BIN / jnp.trace(jnp.linalg.solve(form, exact))
        for name, form in forms.items()
    }
    euclidean = EuclideanGradient(eta["euclidean"])
    if not config.metric:
        return dict.fromkeys(STUDENTS, euclidean)
    return {
        "euclidean": euclidean,
        "natural": NaturalGradient(eta["natural"]),
        "skewed": SkewedNaturalGradient(eta["skewed"], nodes=config.nodes),
        "exact": DenseNaturalGradient(eta["exact"], exact),
    }


def of_students(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Labels; `time` is in units of $1/\eta_n$."""
    config = plan.config
    labels = {
        "student": np.array(STUDENTS, object),
        "form": np.array(STUDENTS[1:3], object),
        "time": np.linspace(0.0, config.duration, config.records + 1),
    }
    return of_sizes(plan, keys).assign_coords(labels)


def speed_up(data: xarray.Dataset, of: str, over: str) -> float:
    """Time until learned of the student `over` divided by that of the student `of`."""
    return crossing(data, over, LEARNED) / crossing(data, of, LEARNED)


def skewed_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Whether a better metric learns faster, at equal residual error."""
    spec = "specification, beyond the paper 1"

    def wide(data: xarray.Dataset) -> xarray.Dataset:
        return data.sel(weight_scale=2.0, size=10, method="nearest")

    def narrow(data: xarray.Dataset) -> xarray.Dataset:
        return data.sel(weight_scale=1.0, size=20, method="nearest")

    ratios = [
        speed_up(data.sel(weight_scale=scale, size=n), "skewed", "natural")
        for scale in data.weight_scale.values
        for n in data["size"].values
    ]
    errors = narrow(data).metric_error.median("seed")
    ends = [floor(narrow(data), name) for name in STUDENTS]
    return [
        Claim(
            "the exact metric learns faster than none (time Euclidean / exact, n = 10, "
            "weights up to 0.2)",
            spec,
            speed_up(wide(data), "exact", "euclidean"),
            1.05,
            control=speed_up(wide(control), "exact", "euclidean"),
        ),
        Claim(
            "and than the Gaussian closed form (time natural / exact)",
            spec,
            speed_up(wide(data), "exact", "natural"),
            1.05,
            control=speed_up(wide(control), "exact", "natural"),
        ),
        Claim(
            "the corrected form does not learn faster than the Gaussian one (mean over "
            "sizes and scales of time natural / corrected)",
            spec,
            float(np.mean(ratios)),
            0.0,
            1.0,
        ),
        Claim(
            "though its matrix is closer to the exact one (median error corrected / "
            "Gaussian, n = 20, weights up to 0.05)",
            "specification, T7",
            float(errors.sel(form="skewed") / errors.sel(form="natural")),
            0.0,
            0.5,
        ),
        Claim(
            "all end at the divergence that their learning rates were set for (largest "
            "relative departure, n = 20, weights up to 0.05)",
            "specification, T9",
            float(np.max(np.abs(np.array(ends) - 1))),
            0.0,
            0.15,
        ),
    ]


def without_metric(plan: Plan) -> Plan:
    """Negative control: every student descends the Euclidean gradient."""
    return plan._replace(config=dataclasses.replace(plan.config, metric=False))


LABELS = {
    "euclidean": ("no metric (Euclidean)", COLOURS["euclidean"]),
    "natural": ("Gaussian", COLOURS["natural"]),
    "skewed": ("with skewness", COLOURS["approximate"]),
    "exact": ("exact", "k"),
}


def draw_learning(data: xarray.Dataset) -> Figure:
    """Learning curves: a row per scale of the weights, a column per size."""
    scales, sizes = data.weight_scale.values, data["size"].values
    figure, axes = panels(len(scales), len(sizes), 3.3, 2.7)
    for i, j in np.ndindex(len(scales), len(sizes)):
        panel = axes[i, j]
        here = data.sel(weight_scale=scales[i], size=sizes[j])
        for name, (label, colour) in LABELS.items():
            runs = here.divergence.sel(student=name).transpose("seed", "time")
            panel.plot(data.time, runs.mean("seed"), color=colour, label=label, lw=1.5)
        for level in (1.0, 2.0):
            panel.axhline(level, color=THEORY, lw=0.8, ls=":")
        panel.set_yscale("log")
        panel.set_title(f"n = {sizes[j]:g}, weights ±{scales[i] / sizes[j]:.2g}")
        if j == 0:
            panel.set_ylabel("divergence / intended residual")
        if i == len(scales) - 1:
            panel.set_xlabel("time x learning rate")
    axes[0, -1].legend(frameon=False, fontsize="small")
    return figure


SKEWED = Experiment(
    name="skewed",
    source="beyond the paper",
    shows="does a metric that knows the skewness of few inputs learn faster?",
    config=Skewed,
    run=learning_with_metrics,
    claims=skewed_claims,
    figure=draw_learning,
    control=without_metric,
    dims={"divergence": ("size", "student", "time"), "metric_error": ("size", "form")},
    predict=of_students,
)
