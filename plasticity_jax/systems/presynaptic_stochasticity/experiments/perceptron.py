"""Figure 5b,c: a sign neuron learns tasks of random patterns one after another."""

import dataclasses
import math

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import mean_accuracy
from ..sign_neuron import Config, Patterns, patterns_of, teach


OFF = 2.0  # a latch out of reach
VARIANTS = (
    "presynaptic",
    "deterministic",
    "same mean rate",
    "no modulation",
    "no freeze",
    "unscaled step",
    "fixed release",
    "shuffled",
)
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
        shown: Patterns = patterns
        if variant == "shuffled":
            shown = patterns._replace(order=shuffled)
        pace = None
        if variant == "same mean rate":
            pace = taught["presynaptic"].plasticity
        taught[variant] = teach(changes_of(variant, config), shown, for_run, pace)
    plasticity = taught["presynaptic"].plasticity.reshape(config.tasks, -1)
    return {
        "accuracy": jnp.stack([run.accuracy for run in taught.values()]),
        "frozen": jnp.stack([run.frozen for run in taught.values()]),
        "plasticity": plasticity[:, -1],
    }


def names(plan: Plan, keys: object) -> xarray.Dataset:
    """The variants, and the accuracies that the specification measured."""
    del keys
    measured = np.array([MEASURED[variant] for variant in VARIANTS])
    tasks = np.arange(1, plan.config.tasks + 1)
    return xarray.Dataset(
        {
            "measured": ("variant", measured[:, 0]),
            "measured_error": ("variant", measured[:, 1]),
        },
        {"variant": list(VARIANTS), "after": tasks, "task": tasks},
    )


def final(data: xarray.Dataset) -> xarray.DataArray:
    """Mean accuracy over tasks after the last one."""
    last = data.accuracy.isel(after=-1)
    return last.mean("task", skipna=False)


def stated(values: xarray.DataArray) -> tuple[float, float]:
    """Mean over seeds and its standard error."""
    count = values.sizes["seed"]
    mean = values.mean("seed", skipna=False)
    error = values.std("seed", ddof=1) / count**0.5 if count > 1 else mean * math.nan
    return float(mean), float(error)


def perceptron_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The accuracies of the specification, and what the global rate explains."""
    reached = final(data)
    of = lambda variant: reached.sel(variant=variant)
    full = stated(of("presynaptic"))[0]
    plain = stated(of("deterministic"))[0]
    claims = []
    for variant in VARIANTS:
        value, error = stated(of(variant))
        wanted, spread = MEASURED[variant]
        reach = WIDTH * math.hypot(spread, error)
        other, rival = ("presynaptic", full)
        if variant in ("presynaptic", "shuffled", "same mean rate"):
            other, rival = ("deterministic", plain)
        claims.append(
            Claim(
                f"{variant}: mean accuracy after five tasks; control: {other}",
                f"Fig. 5b,c; specification, {WIDTH:g} standard errors",
                value,
                wanted - reach,
                wanted + reach,
                error,
                control=rival,
            )
        )
    gain, error = stated(of("presynaptic") - of("deterministic"))
    still = final(control)
    lost = still.sel(variant="presynaptic") - still.sel(variant="deterministic")
    claims.append(
        Claim(
            "presynaptic over deterministic, mean accuracy; control: release stays",
            "Fig. 5b; published .9174 - .8862, t = 4.5: 95 %",
            gain,
            0.0177,
            0.0447,
            error,
            control=stated(lost)[0],
        )
    )
    share = lambda variant: (stated(of(variant))[0] - plain) / (full - plain)
    claims.append(
        Claim(
            "share of that gain that one common rate, the mean of 1 - p, brings to a "
            "deterministic neuron; control: release fixed at .9",
            "specification: most of the gain",
            share("same mean rate"),
            0.5,
            math.inf,
            control=share("fixed release"),
        )
    )
    frozen = data.frozen.isel(after=-1).mean("seed", skipna=False)
    claims.append(
        Claim(
            "frozen share of synapses after the last task; control: release stays",
            "specification: .9997",
            float(frozen.sel(variant="presynaptic")),
            0.999,
            1.0,
            control=float(
                control.frozen.isel(after=-1).sel(variant="presynaptic").mean()
            ),
        )
    )
    return claims


def still(plan: Plan) -> Plan:
    """Negative control: release probabilities stay where they start."""
    return plan._replace(config=dataclasses.replace(plan.config, step=0.0))


CURVES = {  # what is drawn over tasks, and how
    "presynaptic": (SHADES[0], "o-"),
    "same mean rate": (SHADES[1], "s--"),
    "deterministic": (SHADES[5], "o-"),
    "fixed release": (SHADES[2], "s:"),
    "no freeze": (SHADES[4], "s:"),
}


def draw_perceptron(data: xarray.Dataset) -> Figure:
    """The first task over time, every ablation at the end, and plasticity."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    first = data.accuracy.isel(task=0)
    count = data.sizes["seed"]
    for name, (colour, style) in CURVES.items():
        here = first.sel(variant=name)
        left.errorbar(
            data.after,
            here.mean("seed"),
            here.std("seed") / count**0.5,
            fmt=style,
            color=colour,
            ms=4,
            capsize=2,
            label=name,
        )
    left.set(xlabel="tasks learned", ylabel="accuracy on task 1")
    left.legend(frameon=False, fontsize=7, loc="lower left")
    reached = data.accuracy.isel(after=-1).mean("task")
    places = np.arange(data.sizes["variant"])[::-1]
    middle.barh(places, reached.mean("seed"), color=SHADES[0], alpha=0.7, height=0.6)
    middle.errorbar(
        data.measured,
        places,
        xerr=2 * data.measured_error,
        fmt="k|",
        ms=9,
        lw=1,
        label="specification, ±2 s.e.",
    )
    middle.set_yticks(places, list(data.variant.values), fontsize=8)
    middle.set(xlim=(0.5, 1.0), xlabel="mean accuracy, all tasks")
    middle.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(0, 1.1))
    frozen = data.frozen.sel(variant="presynaptic").mean("seed")
    right.plot(data.after, frozen, "o-", ms=4, color=SHADES[0], label="frozen share")
    right.plot(
        data.after,
        data.plasticity.mean("seed"),
        "s--",
        ms=4,
        color=SHADES[1],
        label="mean $1 - p$",
    )
    right.set(xlabel="tasks learned", ylabel="share of synapses, rate", ylim=(0, 1.05))
    right.legend(frameon=False, fontsize=8, loc="center right")
    return figure


def draw_load(data: xarray.Dataset) -> Figure:
    """Accuracy at every load, and the advantage of release plasticity."""
    figure, axes = panels(1, 2, 3.9, 3.2)
    left, right = axes[0]
    count = data.sizes["seed"]
    for name, colour in (("presynaptic", SHADES[0]), ("deterministic", SHADES[5])):
        here = data.accuracy.sel(neuron=name)
        error = here.std("seed") / count**0.5
        left.errorbar(
            data["load"],
            here.mean("seed"),
            error,
            fmt="o-",
            ms=4,
            capsize=2,
            color=colour,
            label=name,
        )
    left.set(ylabel="mean accuracy, all tasks")
    left.legend(frameon=False, fontsize=8)
    gain = data.accuracy.sel(neuron="presynaptic") - data.accuracy.sel(
        neuron="deterministic"
    )
    right.errorbar(
        data["load"],
        gain.mean("seed"),
        gain.std("seed") / count**0.5,
        fmt="o-",
        ms=4,
        capsize=2,
        color=SHADES[0],
    )
    right.axhline(0.0, color=THEORY, lw=0.8)
    right.set(ylabel="presynaptic − deterministic")
    for axis in axes[0]:
        axis.set(xlabel="patterns per task")
    return figure


FIG5_PERCEPTRON = Experiment(
    name="fig5_perceptron",
    source="Fig. 5b,c",
    shows="release freezes into one low learning rate and protects older patterns",
    config=Config,
    run=ablated,
    claims=perceptron_claims,
    figure=draw_perceptron,
    control=still,
    dims={
        "accuracy": ("variant", "after", "task"),
        "frozen": ("variant", "after"),
        "plasticity": ("after",),
    },
    predict=names,
)


def loaded(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Final mean accuracy (neuron, load) at every load, on the same patterns."""
    rows = []
    for load in config.loads:
        here = dataclasses.replace(config, patterns=load)
        for_patterns, for_run = jr.split(jr.fold_in(key, load))
        patterns = patterns_of(here, for_patterns)
        rows.append(
            [
                mean_accuracy(teach(changes_of(x, here), patterns, for_run).accuracy)
                for x in METHODS
            ]
        )
    return {"accuracy": jnp.stack([jnp.stack(row) for row in rows], axis=1)}


def axes(plan: Plan, keys: object) -> xarray.Dataset:
    """The neurons, and patterns per task."""
    del keys
    return xarray.Dataset(
        coords={"neuron": list(METHODS), "load": list(plan.config.loads)}
    )


def load_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The advantage changes sign between 100 and 200 patterns per task."""
    gain = data.accuracy.sel(neuron="presynaptic") - data.accuracy.sel(
        neuron="deterministic"
    )
    lost = control.accuracy.sel(neuron="presynaptic") - control.accuracy.sel(
        neuron="deterministic"
    )
    loads = data["load"].values
    low, high = int(loads.min()), int(loads.max())
    claims = []
    for load in loads[loads <= FEW]:
        value, error = stated(gain.sel(load=load))
        claims.append(
            Claim(
                f"{load} patterns per task: presynaptic over deterministic, mean "
                "accuracy; control: release stays",
                "Fig. 5, text; specification: positive",
                value,
                0.0,
                math.inf,
                error,
                control=stated(lost.sel(load=load))[0],
            )
        )
    value, error = stated(gain.sel(load=high))
    claims.append(
        Claim(
            f"{high} patterns per task: presynaptic over deterministic, mean accuracy; "
            f"control: {low} patterns",
            "Fig. 5, text; specification: negative",
            value,
            -math.inf,
            0.0,
            error,
            control=stated(gain.sel(load=low))[0],
        )
    )
    return claims


FIG5_LOAD = Experiment(
    name="fig5_load",
    source="Fig. 5, text",
    shows=(
        "consolidation helps a neuron with room left, and hurts one that is nearly full"
    ),
    config=Config,
    run=loaded,
    claims=load_claims,
    figure=draw_load,
    control=still,
    dims={"accuracy": ("neuron", "load")},
    predict=axes,
)
