"""Figure 5b,c: a sign neuron learns tasks of random patterns one after another."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from ....measure import mean_accuracy
from ..sign_neuron import Config, patterns_of, teach
from .energy import draw_means, draw_theory


OFF = 2.0  # a latch out of reach
MEASURED = {  # mean accuracy and standard error, 20 seeds; 15 for the mean rate
    "presynaptic": (0.9215, 0.0032),
    "deterministic": (0.8899, 0.0035),
    "same mean rate": (0.9115, 0.0033),
    "no modulation": (0.8786, 0.0035),
    "no freeze": (0.6805, 0.0041),
    "unscaled step": (0.8945, 0.0038),
    "fixed release": (0.8799, 0.0030),
    "shuffled": (0.9174, 0.0034),
}
VARIANTS = tuple(MEASURED)
METHODS = ("presynaptic", "deterministic")
FEW = 100  # patterns per task of a tenth of the capacity and below
WIDTH = 3.0  # standard errors of a difference between two means


def changes_of(variant: str, config: Config) -> Config:
    """The configuration of an ablation."""
    changes = {
        "deterministic": {"method": "deterministic"},
        "same mean rate": {"method": "deterministic"},
        "no modulation": {"modulated": False},
        "no freeze": {"freeze": OFF},
        "unscaled step": {"scaled": False},
        "fixed release": {"method": "fixed"},
        "shuffled": {"shuffled": True},
    }
    return dataclasses.replace(config, **changes.get(variant, {}))


def ablated(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """The neuron, its controls and its ablations on the same patterns.

    `accuracy` (variant, after, task) and `frozen` (variant, after); the plasticity
    (after,), the mean of $1 - p$ at the end of each task. `same mean rate` is a
    deterministic neuron whose rate is at every step the mean of $1 - p$ over the
    synapses of the presynaptic one.
    """
    for_patterns, for_order, for_run = jr.split(key, 3)
    patterns = patterns_of(config, for_patterns)
    shuffled = patterns_of(changes_of("shuffled", config), for_order).order
    taught = {}
    for variant in VARIANTS:
        order = shuffled if variant == "shuffled" else patterns.order
        paced = variant == "same mean rate"
        pace = taught["presynaptic"].plasticity if paced else None
        shown = patterns._replace(order=order)
        taught[variant] = teach(changes_of(variant, config), shown, for_run, pace)
    plasticity = taught["presynaptic"].plasticity.reshape(config.tasks, -1)
    return {
        "accuracy": jnp.stack([run.accuracy for run in taught.values()]),
        "frozen": jnp.stack([run.frozen for run in taught.values()]),
        "plasticity": plasticity[:, -1],
    }


def stated(values: DataArray) -> tuple[DataArray, DataArray]:
    """Mean over seeds and its standard error."""
    error = values.std("seed", ddof=1) / values.sizes["seed"] ** 0.5
    return over_seeds(values), error


# --- Figure 5b,c: the accuracies of the specification, and what one rate explains -----


def final(data: Dataset, variant: str) -> DataArray:
    """Mean accuracy over tasks after the last one."""
    last = data.accuracy.isel(after=-1).mean("task", skipna=False)
    return last.sel(variant=variant)


def reach(data: Dataset, variant: str) -> float:
    """How far a mean may lie from the one that the specification measured."""
    error = float(stated(final(data, variant))[1])
    return WIDTH * math.hypot(MEASURED[variant][1], error)


def rival(data: Dataset, control: Dataset, variant: str) -> DataArray:
    """Accuracy of the deterministic neuron; beside lower ones, of the presynaptic."""
    better = variant in ("presynaptic", "shuffled", "same mean rate")
    return over_seeds(final(data, "deterministic" if better else "presynaptic"))


@claim(
    f"Fig. 5b,c; specification, {WIDTH:g} standard errors",
    low=lambda data, control, name: MEASURED[name][0] - reach(data, name),
    high=lambda data, control, name: MEASURED[name][0] + reach(data, name),
    control=rival,
    each="variant",
)
def reaches(data: Dataset, variant: str) -> tuple[DataArray, DataArray]:
    """{variant}: mean accuracy after five tasks."""
    return stated(final(data, variant))


@claim("Fig. 5b; published .9174 - .8862, t = 4.5: 95 %", low=0.0177, high=0.0447)
def gains(data: Dataset) -> tuple[DataArray, DataArray]:
    """Presynaptic over deterministic, mean accuracy; control: release stays."""
    return stated(final(data, "presynaptic") - final(data, "deterministic"))


def share(data: Dataset, variant: str) -> float:
    """Share of that gain that a variant has."""
    names = (variant, "deterministic", "presynaptic")
    here, plain, full = (float(over_seeds(final(data, name))) for name in names)
    return (here - plain) / (full - plain)


@claim(
    "specification: most of the gain",
    low=0.5,
    control=lambda data, control: share(data, "fixed release"),
)
def one_rate_suffices(data: Dataset) -> float:
    """Share of that gain that one common rate, the mean of 1 - p, brings to a
    deterministic neuron; control: release fixed at .9.
    """
    return share(data, "same mean rate")


@claim("specification: .9997", low=0.999, high=1.0)
def nearly_all_freeze(data: Dataset) -> DataArray:
    """Frozen share of synapses after the last task; control: release stays."""
    return over_seeds(data.frozen.isel(after=-1)).sel(variant="presynaptic")


CURVES = {  # what is drawn over tasks, and how
    "presynaptic": (SHADES[0], "o-"),
    "same mean rate": (SHADES[1], "s--"),
    "deterministic": (SHADES[5], "o-"),
    "fixed release": (SHADES[2], "s:"),
    "no freeze": (SHADES[4], "s:"),
}


def draw_perceptron(data: Dataset) -> Figure:
    """The first task over time, every ablation at the end, and plasticity."""
    figure, ((left, middle, right),) = panels(1, 3, 3.7, 3.3)
    first = data.accuracy.isel(task=0)
    for name, (color, fmt) in CURVES.items():
        style = {"fmt": fmt, "capsize": 2, "color": color, "label": name}
        draw_means(left, data.after, first.sel(variant=name), **style)
    left.set(xlabel="tasks learned", ylabel="accuracy on task 1")
    left.legend(frameon=False, fontsize=7, loc="lower left")
    reached, names = data.accuracy.isel(after=-1).mean("task"), data.variant.values
    places = np.arange(len(names))[::-1]
    middle.barh(places, reached.mean("seed"), color=SHADES[0], alpha=0.7, height=0.6)
    measured, error = np.transpose([MEASURED[name] for name in names])
    style = {"fmt": "k|", "ms": 9, "lw": 1, "label": "specification, ±2 s.e."}
    middle.errorbar(measured, places, xerr=2 * error, **style)
    middle.set_yticks(places, names, fontsize=8)
    middle.set(xlim=(0.5, 1.0), xlabel="mean accuracy, all tasks")
    middle.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, 1.1))
    mean = data.mean("seed")
    frozen = mean.frozen.sel(variant="presynaptic")
    right.plot(mean.after, frozen, "o-", ms=4, color=SHADES[0], label="frozen share")
    rate = {"color": SHADES[1], "label": "mean $1 - p$"}
    right.plot(mean.after, mean.plasticity, "s--", ms=4, **rate)
    right.set(xlabel="tasks learned", ylabel="share of synapses, rate", ylim=(0, 1.05))
    right.legend(frameon=False, fontsize=8, loc="center right")
    return figure


tasks = lambda config: range(1, config.tasks + 1)
AFTER = {"after": tasks}
FROZEN = {"variant": VARIANTS, **AFTER}
FIG5_PERCEPTRON = Experiment(
    name="fig5_perceptron",
    source="Fig. 5b,c",
    shows="release freezes into one low learning rate and protects older patterns",
    config=Config,
    run=ablated,
    claims=(reaches, gains, one_rate_suffices, nearly_all_freeze),
    figure=draw_perceptron,
    control=changed(step=0.0),  # release probabilities stay where they start
    axes={"accuracy": {**FROZEN, "task": tasks}, "frozen": FROZEN, "plasticity": AFTER},
)


# --- Figure 5, text: the advantage changes sign between 100 and 200 patterns ---------


def loaded(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Final mean accuracy (neuron, load) at every load, on the same patterns."""

    def reached(load: int) -> Float[Array, " neuron"]:
        here = dataclasses.replace(config, patterns=load)
        for_patterns, for_run = jr.split(jr.fold_in(key, load))
        patterns = patterns_of(here, for_patterns)
        taught = [teach(changes_of(x, here), patterns, for_run) for x in METHODS]
        return jnp.stack([mean_accuracy(run.accuracy) for run in taught])

    return {"accuracy": jnp.stack([reached(load) for load in config.loads], axis=1)}


def advantage(data: Dataset) -> DataArray:
    """Mean accuracy, presynaptic less deterministic."""
    own, plain = (data.accuracy.sel(neuron=name) for name in METHODS)
    return own - plain


@claim(
    "Fig. 5, text; specification: positive",
    low=0.0,
    each="load",
    when=lambda data, load: load <= FEW,
)
def helps_with_room_left(data: Dataset, load: Any) -> tuple[DataArray, DataArray]:
    """{load} patterns per task: presynaptic over deterministic, mean accuracy; control:
    release stays.
    """
    return stated(advantage(data).sel(load=load))


@claim(
    "Fig. 5, text; specification: negative",
    high=0.0,
    control=lambda data, control: stated(advantage(data).sel(load=data["load"].min())),
)
def hurts_when_nearly_full(data: Dataset) -> tuple[DataArray, DataArray]:
    """The most patterns per task: presynaptic over deterministic, mean accuracy;
    control: the fewest patterns.
    """
    return stated(advantage(data).sel(load=data["load"].max()))


def draw_load(data: Dataset) -> Figure:
    """Accuracy at every load, and the advantage of release plasticity."""
    figure, ((left, right),) = panels(1, 2, 3.9, 3.2)
    for name, color in zip(data.neuron.values, (SHADES[0], SHADES[5]), strict=True):
        style = {"capsize": 2, "color": color, "label": name}
        draw_means(left, data["load"], data.accuracy.sel(neuron=name), **style)
    left.set(xlabel="patterns per task", ylabel="mean accuracy, all tasks")
    left.legend(frameon=False, fontsize=8)
    draw_means(right, data["load"], advantage(data), capsize=2, color=SHADES[0])
    draw_theory(right, 0.0)
    right.set(xlabel="patterns per task", ylabel="presynaptic − deterministic")
    return figure


FIG5_LOAD = FIG5_PERCEPTRON._replace(
    name="fig5_load",
    source="Fig. 5, text",
    shows="consolidation helps a neuron with room left, hurts one that is nearly full",
    run=loaded,
    claims=(helps_with_room_left, hurts_when_nearly_full),
    figure=draw_load,
    axes={"accuracy": {"neuron": METHODS, "load": lambda config: config.loads}},
)
