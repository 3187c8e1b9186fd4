"""Figure 4 and Appendix 1-table 1: five pairs of classes, one after the other.

Consolidation by release probabilities beside networks without it, elastic weight
consolidation, Bayesian gradient descent and all tasks at once. The published ranking
of elastic weight consolidation depends on its penalty: no claim compares with it.
"""

import dataclasses
import tomllib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

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
from ....measure import forgetting, mean_accuracy
from ..config import Config, images_of, Source
from ..training import learn, Learned


METHODS: dict[str, dict[str, Any]] = {
    "presynaptic": {},
    "SGD": {"method": "deterministic"},
    "Adam": {"method": "deterministic", "adam": True},
    "EWC": {"method": "ewc"},
    "online EWC": {"method": "ewc", "online": True},
    "BGD": {"method": "bgd", "rate": 1.0},
}
JOINT = {"method": "deterministic", "adam": True, "rate": 1e-3, "protocol": "joint"}
OF_MNIST = {
    "Adam": {"rate": 1e-6},
    "EWC": {"penalty": 3e3},
    "online EWC": {"penalty": 3e3},
    "BGD": {"deviation": 0.00125},
}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {  # from `tuning`, Table 1
    "digits": {
        "SGD": {"rate": 0.01},
        "Adam": {"rate": 3e-5},
        "EWC": {"penalty": 100.0},
        "online EWC": {"penalty": 100.0},
        "BGD": {"deviation": 0.005},
    },
    "mnist": {"SGD": {"rate": 1e-3}, **OF_MNIST},
    "fashion_mnist": {"SGD": {"rate": 1e-4}, **OF_MNIST},
}
TRAJECTORY = (0.3375, 0.3737, 0.3909, 0.4124, 0.4362)  # mean p, the published code
LEVELS = ("probability", "frozen")  # of the consolidated network
REMOVED = "control: release probabilities that never rise"


def with_method(config: Config, name: str) -> Config:
    """`config` learning by one of `METHODS`, its other settings kept."""
    return dataclasses.replace(config, **METHODS[name])


def tuned(config: Config, name: str) -> Config:
    """`with_method` at the settings of `SETTINGS` for the data set."""
    settings = SETTINGS[config.data].get(name, {})
    return dataclasses.replace(with_method(config, name), **settings)


def finite(synapses: Any) -> Bool[Array, ""]:
    """Whether all synapses are finite; a network that diverged still guesses."""
    leaves = jax.tree.leaves(synapses)
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves]))


def known(learned: Learned) -> Float[Array, "after task"]:
    """The accuracies of a stream that was learned; NaN if its synapses diverged."""
    return jnp.where(finite(learned.state.synapses), learned.accuracy, jnp.nan)


def streams(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Every method on the same stream of tasks.

    `accuracy` (learner, after, task); `probability` and `frozen` (after,), mean release
    probability and frozen share of the consolidated network; `joint` (task,), accuracy
    of a network that learned all tasks at once.
    """
    every = {name: learn(tuned(config, name), source, key) for name in METHODS}
    together = learn(dataclasses.replace(config, **JOINT), source, key)
    own = every["presynaptic"]
    return {
        "accuracy": jnp.stack([known(learned) for learned in every.values()]),
        "probability": own.probability,
        "frozen": own.frozen,
        "joint": known(together)[0],
    }


def summary(data: Dataset) -> Dataset:
    """By learner and seed: `mean` accuracy, `forgetting`, and `first` task (after)."""
    accuracy = data.accuracy.transpose(..., "after", "task")
    first, rows = accuracy.isel(task=0, drop=True), jnp.asarray(accuracy.values)
    named = lambda x: first.isel(after=0, drop=True).copy(data=np.asarray(x))
    mean, lost = named(mean_accuracy(rows)), named(forgetting(rows))
    return Dataset({"mean": mean, "forgetting": lost, "first": first})


def images(data: Dataset) -> str:
    """The data set that a sweep was run on."""
    return tomllib.loads(data.attrs["config"])["data"]


def on_mnist(data: Dataset, *case: Any) -> bool:
    """Whether that was MNIST: some claims are about it only."""
    return images(data) == "mnist"


# --- Consolidation forgets less than every network without it ------------------------


def unprotected(values: DataArray) -> DataArray:
    """The entries of the networks of No Consolidation."""
    return values.sel(learner=values.learner.isin(("SGD", "Adam")))


@claim(f"specification; Figure 4; {REMOVED}", high=0.7)
def forgets_less(data: Dataset) -> DataArray:
    """Forgetting of the consolidated network over the least of those without."""
    lost = over_seeds(summary(data).forgetting)
    return lost.sel(learner="presynaptic") / unprotected(lost).min(skipna=False)


@claim(f"Figure 4b; {REMOVED}", low=0.0)
def keeps_first_task(data: Dataset) -> DataArray:
    """First task: accuracy less the best without consolidation (least lead after any
    later task).
    """
    first = over_seeds(summary(data)["first"]).isel(after=slice(1, None))
    best = unprotected(first).max("learner", skipna=False)
    return (first.sel(learner="presynaptic") - best).min(skipna=False)


@claim(f"Figure 4; {REMOVED}", low=0.0)
def gains(data: Dataset) -> tuple[DataArray, DataArray]:
    """Mean accuracy of the consolidated network less that of gradient descent."""
    mean = summary(data)["mean"]
    gain = mean.sel(learner="presynaptic") - mean.sel(learner="SGD")
    return over_seeds(gain), standard_error(gain)


@claim(f"Appendix 1-figure 3; {REMOVED}", low=1e-3, each={"level": LEVELS})
def grows(data: Dataset, level: str) -> DataArray:
    """Mean release probability and frozen share of the synapses grow with every task
    (least step): {level}.
    """
    return over_seeds(data[level]).diff("after").min(skipna=False)


def ranked(data: Dataset) -> list[float]:
    """Mean accuracies of the methods that stayed finite, the best one last."""
    return np.sort(over_seeds(summary(data)["mean"]).dropna("learner")).tolist()


@claim(
    "Appendix 1-table 1; control: the second best method",
    low=0.03,
    control=lambda data, control: ranked(data)[-1] - ranked(data)[-2],
)
def all_at_once_is_best(data: Dataset) -> float:
    """Accuracy with all tasks at once, less the best of one after the other."""
    return float(data.joint.mean(skipna=False)) - ranked(data)[-1]


# --- Full Split MNIST beside the published code --------------------------------------


@claim(
    "82.9 published, 82.8 +- 0.3 with the published code",
    low=80.5,
    high=84.5,
    when=on_mnist,
)
def published_accuracy(data: Dataset) -> tuple[DataArray, DataArray]:
    """Mean accuracy of the consolidated network, %."""
    percent = 100 * summary(data)["mean"].sel(learner="presynaptic")
    return over_seeds(percent), standard_error(percent)


@claim("from the published code's, self-averaging", low=0.0, high=0.01, when=on_mnist)
def published_release(data: Dataset) -> DataArray:
    """Mean release probability after each task: largest distance."""
    distance = abs(over_seeds(data.probability) - np.asarray(TRAJECTORY))
    return distance.max(skipna=False)


LEGEND: dict[str, Any] = {"frameon": False, "fontsize": "small"}
ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), **LEGEND}


def draw_split(data: Dataset) -> Figure:
    """First task in time, final accuracies, forgetting, and what has frozen."""
    seen = summary(data).mean("seed", skipna=False)
    place = np.arange(seen.sizes["learner"])[::-1]
    figure, ((first, final, lost, levels),) = panels(1, 4, 3.5, 3.2)
    draw_first_task(first, seen)
    final.barh(place, seen["mean"], 0.7, color=SHADES)
    final.axvline(float(data.joint.mean()), color=THEORY, ls="--", label="all at once")
    final.set(xlabel="mean accuracy after the last task", xlim=(0.4, 1.0))
    final.legend(**ABOVE)
    final.set_yticks(place, seen.learner.values)
    lost.barh(place, seen.forgetting, 0.7, color=SHADES)
    lost.set(xlabel="forgetting (accuracy)")
    lost.axvline(0, color="black", lw=0.8)
    lost.set_yticks(place, [])
    draw_levels(levels, data)
    return figure


def draw_first_task(panel: Axes, seen: Dataset) -> None:
    """Accuracy on the first task after every task."""
    for name, color in zip(seen.learner.values, SHADES, strict=False):
        course = seen["first"].sel(learner=name)
        panel.plot(seen.after, course, "o-", ms=4, color=color, label=name)
    panel.set(xlabel="tasks learned", ylabel="accuracy on the first task")
    panel.set_xticks(seen.after)
    panel.legend(ncols=2, **ABOVE)


def draw_levels(panel: Axes, data: Dataset) -> None:
    """Mean release probability and frozen share after every task."""
    mean, words = over_seeds(data), ("mean release probability", "frozen share")
    for level, label, color in zip(LEVELS, words, SHADES, strict=False):
        panel.plot(data.after, mean[level], "o-", ms=4, color=color, label=label)
    panel.set(xlabel="tasks learned", ylim=(0, 1))
    panel.set_xticks(data.after)
    panel.legend(**ABOVE)


TASKS = lambda config: range(1, len(config.groups) + 1)
AFTER, TASK = {"after": TASKS}, {"task": TASKS}
SPLIT = Experiment(
    name="split",
    source="Figure 4a-c, Appendix 1-table 1",
    shows="release probabilities protect old tasks without task boundaries",
    config=Config,
    run=streams,
    claims=(
        forgets_less,
        keeps_first_task,
        gains,
        grows,
        all_at_once_is_best,
        published_accuracy,
        published_release,
    ),
    figure=draw_split,
    control=changed(up=0.0),  # no probability rises: release stays at the least one
    axes={
        "accuracy": {"learner": tuple(METHODS)} | AFTER | TASK,
        **dict.fromkeys(LEVELS, AFTER),
        "joint": TASK,
    },
    data=images_of,
)
