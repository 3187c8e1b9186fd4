"""Figure 4 and Appendix 1-table 1: five pairs of classes, one after the other.

Consolidation by release probabilities beside networks without it, elastic weight
consolidation, Bayesian gradient descent and all tasks at once. The published ranking
of elastic weight consolidation depends on its penalty: no claim compares with it.
"""

import dataclasses
import math
import tomllib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Bool, Float, Key
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import forgetting, mean_accuracy
from ..config import Config, images_of, PAIRS, Source
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
UNPROTECTED = ("SGD", "Adam")  # No Consolidation
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {  # from `tuning`, Table 1
    "digits": {
        "SGD": {"rate": 0.01},
        "Adam": {"rate": 3e-5},
        "EWC": {"penalty": 100.0},
        "online EWC": {"penalty": 100.0},
        "BGD": {"deviation": 0.005},
    },
    "mnist": {
        "SGD": {"rate": 1e-3},
        "Adam": {"rate": 1e-6},
        "EWC": {"penalty": 3e3},
        "online EWC": {"penalty": 3e3},
        "BGD": {"deviation": 0.00125},
    },
    "fashion_mnist": {
        "SGD": {"rate": 1e-4},
        "Adam": {"rate": 1e-6},
        "EWC": {"penalty": 3e3},
        "online EWC": {"penalty": 3e3},
        "BGD": {"deviation": 0.00125},
    },
}
TRAJECTORY = (0.3375, 0.3737, 0.3909, 0.4124, 0.4362)  # mean p, the published code
REMOVED = "control: release probabilities that never rise"
Accuracy = Float[Array, "after task"]


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


def known(learned: Learned) -> Accuracy:
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


def named(plan: Plan, keys: Any) -> xarray.Dataset:
    """The names of the methods and of the tasks, from 1."""
    del plan, keys
    tasks = np.arange(1, len(PAIRS) + 1)
    coords = {"learner": list(METHODS), "after": tasks, "task": tasks}
    return xarray.Dataset(coords=coords)


def summary(data: xarray.Dataset) -> xarray.Dataset:
    """By learner and seed: `mean` accuracy, `forgetting`, and `first` task (after)."""
    accuracy = data.accuracy.transpose(..., "after", "task")
    outer = accuracy.dims[:-2]
    rows = jnp.asarray(accuracy.values)
    return xarray.Dataset(
        {
            "mean": (outer, np.asarray(mean_accuracy(rows))),
            "forgetting": (outer, np.asarray(forgetting(rows))),
            "first": accuracy.isel(task=0, drop=True),
        },
        {name: accuracy[name] for name in outer if name in accuracy.coords},
    )


def spread(values: xarray.DataArray) -> float:
    """Standard error of the mean over seeds."""
    return float(values.std("seed", ddof=1)) / values.sizes["seed"] ** 0.5


def protection(
    data: xarray.Dataset, control: xarray.Dataset, plain: tuple[str, ...]
) -> list[Claim]:
    """Consolidation forgets less than every one of the `plain` networks.

    In all, and the first task after every later one.
    """
    seen, removed = summary(data), summary(control)

    def share(rows: xarray.Dataset) -> float:
        mean = rows.forgetting.mean("seed", skipna=False)
        least = mean.sel(learner=list(plain)).min(skipna=False)
        return float(mean.sel(learner="presynaptic") / least)

    def lead(rows: xarray.Dataset) -> float:
        first = rows["first"].mean("seed", skipna=False).isel(after=slice(1, None))
        best = first.sel(learner=list(plain)).max("learner", skipna=False)
        return float((first.sel(learner="presynaptic") - best).min(skipna=False))

    return [
        Claim(
            "forgetting of the consolidated network over the least of those without",
            f"specification; Figure 4; {REMOVED}",
            share(seen),
            -math.inf,
            0.7,
            control=share(removed),
        ),
        Claim(
            "first task: accuracy less the best without consolidation (least lead "
            "after any later task)",
            f"Figure 4b; {REMOVED}",
            lead(seen),
            0.0,
            math.inf,
            control=lead(removed),
        ),
    ]


def advantage(data: xarray.Dataset, control: xarray.Dataset) -> Claim:
    """Consolidation ends at a higher mean accuracy than plain gradient descent."""

    def gain(rows: xarray.Dataset) -> xarray.DataArray:
        mean = summary(rows)["mean"]
        return mean.sel(learner="presynaptic") - mean.sel(learner="SGD")

    return Claim(
        "mean accuracy of the consolidated network less that of gradient descent",
        f"Figure 4; {REMOVED}",
        float(gain(data).mean("seed", skipna=False)),
        0.0,
        math.inf,
        spread(gain(data)),
        control=float(gain(control).mean("seed", skipna=False)),
    )


def growth(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Release probabilities and the frozen share grow with every task."""

    def step(rows: xarray.Dataset, name: str) -> float:
        mean = rows[name].mean("seed", skipna=False)
        return float(mean.diff("after").min(skipna=False))

    return [
        Claim(
            f"{words} grows with every task (least step)",
            f"Appendix 1-figure 3; {REMOVED}",
            step(data, name),
            1e-3,
            math.inf,
            control=step(control, name),
        )
        for name, words in (
            ("probability", "mean release probability"),
            ("frozen", "frozen share of the synapses"),
        )
    ]


def split_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Less forgetting at a higher accuracy; with MNIST also the published numbers."""
    seen = summary(data)["mean"].mean("seed", skipna=False)
    joint = float(data.joint.mean(skipna=False))
    best = float(seen.max(skipna=True))
    claims = [
        *protection(data, control, UNPROTECTED),
        advantage(data, control),
        *growth(data, control),
        Claim(
            "accuracy with all tasks at once, less the best of one after the other",
            "Appendix 1-table 1; control: the second best method",
            joint - best,
            0.03,
            math.inf,
            control=best - float(np.sort(seen.dropna("learner"))[-2]),
        ),
    ]
    if images(data) == "mnist":
        claims += published(data, control)
    return claims


def images(data: xarray.Dataset) -> str:
    """The data set that a sweep was run on."""
    return tomllib.loads(data.attrs["config"])["data"]


def published(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Full Split MNIST beside the published code."""

    def accuracy(rows: xarray.Dataset) -> xarray.DataArray:
        return 100 * summary(rows)["mean"].sel(learner="presynaptic")

    def distance(rows: xarray.Dataset) -> float:
        mean = rows.probability.mean("seed", skipna=False)
        return float(np.max(np.abs(mean.values - np.asarray(TRAJECTORY))))

    return [
        Claim(
            "mean accuracy of the consolidated network, %",
            "82.9 published, 82.8 +- 0.3 with the published code",
            float(accuracy(data).mean(skipna=False)),
            80.5,
            84.5,
            spread(accuracy(data)),
            control=float(accuracy(control).mean(skipna=False)),
        ),
        Claim(
            "mean release probability after each task: largest distance",
            "from the published code's, self-averaging",
            distance(data),
            0.0,
            0.01,
            control=distance(control),
        ),
    ]


def still(plan: Plan) -> Plan:
    """Negative control: no probability rises, so release stays at the least one."""
    return plan._replace(config=dataclasses.replace(plan.config, up=np.asarray(0.0)))


LEGEND: dict[str, Any] = {"frameon": False, "fontsize": "small"}


def draw_split(data: xarray.Dataset) -> Figure:
    """First task in time, final accuracies, forgetting, and what has frozen."""
    from ..experiments.lifelong import METHODS, summary

    names = list(METHODS)
    seen = summary(data).mean("seed", skipna=False).sel(learner=names)
    place = np.arange(len(names))[::-1]
    figure, ((first, final, lost, levels),) = panels(1, 4, 3.5, 3.2)
    _first_task(first, seen, names)
    final.barh(place, seen["mean"], 0.7, color=SHADES)
    final.axvline(float(data.joint.mean()), color=THEORY, ls="--", label="all at once")
    final.set(xlabel="mean accuracy after the last task", xlim=(0.4, 1.0))
    final.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), **LEGEND)
    final.set_yticks(place, names)
    lost.barh(place, seen.forgetting, 0.7, color=SHADES)
    lost.set(xlabel="forgetting (accuracy)")
    lost.axvline(0, color="black", lw=0.8)
    lost.set_yticks(place, [])
    _levels(levels, data)
    return figure


def _first_task(panel: Any, seen: xarray.Dataset, names: list[str]) -> None:
    """Accuracy on the first task after every task."""
    for k, name in enumerate(names):
        course = seen["first"].sel(learner=name)
        panel.plot(seen.after, course, "o-", ms=4, color=SHADES[k], label=name)
    panel.set(xlabel="tasks learned", ylabel="accuracy on the first task")
    panel.set_xticks(seen.after)
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, **LEGEND)


def _levels(panel: Any, data: xarray.Dataset) -> None:
    """Mean release probability and frozen share after every task."""
    seen = data.mean("seed", skipna=False)
    for k, (name, words) in enumerate(
        (("probability", "mean release probability"), ("frozen", "frozen share"))
    ):
        panel.plot(data.after, seen[name], "o-", ms=4, color=SHADES[k], label=words)
    panel.set(xlabel="tasks learned", ylim=(0, 1))
    panel.set_xticks(data.after)
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), **LEGEND)


SPLIT = Experiment(
    name="split",
    source="Figure 4a-c, Appendix 1-table 1",
    shows="release probabilities protect old tasks without task boundaries",
    config=Config,
    run=streams,
    claims=split_claims,
    figure=draw_split,
    control=still,
    dims={
        "accuracy": ("learner", "after", "task"),
        "probability": ("after",),
        "frozen": ("after",),
        "joint": ("task",),
    },
    predict=named,
    data=images_of,
)
