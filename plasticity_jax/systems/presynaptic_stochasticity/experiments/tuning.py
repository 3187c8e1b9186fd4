"""The settings of the networks that `split` compares with, by a sweep of each.

The published table names neither the penalty of elastic weight consolidation nor the
deviation of Bayesian gradient descent, and their ranking depends on both.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, over_seeds, panels, Plan, SHADES, THEORY
from ....measure import forgetting, mean_accuracy
from ..config import Config, Source
from ..training import learn
from .lifelong import finite, images, LEGEND, REMOVED, SETTINGS, SPLIT, with_method


SWEPT = {  # the field of each method, and its values
    "SGD": ("rate", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    "Adam": ("rate", (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4)),
    "EWC": ("penalty", (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)),  # times the rate
    "BGD": ("deviation", (0.0006, 0.00125, 0.0025, 0.005, 0.01, 0.02)),
}
AXES = {"learner": tuple(SWEPT), "candidate": None}  # of each learner its own


def values_of(config: Config, name: str) -> Float[Array, " candidate"]:
    """The values tried for a method; penalties are relative to 1 / rate."""
    _, values = SWEPT[name]
    tried = jnp.asarray(values, config.rate.dtype)
    return tried / config.rate if name == "EWC" else tried


def swept(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Every method at every candidate, and the consolidated network, on one stream.

    `mean` accuracy, `forgetting` and whether the network stayed finite, `stable`
    (learner, candidate); `own_mean` and `own_forgetting` of the consolidated network.
    A sweep of penalties goes to where they are unstable: there both are 0, not a run
    that diverged.
    """

    def judge(config: Config) -> tuple[Array, Array, Array]:
        learned = learn(config, source, key)
        whole = jnp.where(finite(learned.state.synapses), 1.0, 0.0)
        mean, forgot = mean_accuracy(learned.accuracy), forgetting(learned.accuracy)
        return mean, forgot, whole

    def flagged(found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        mean, forgot, whole = found
        shown = lambda x: jnp.where(whole > 0, x, 0.0)
        return shown(mean), shown(forgot), whole

    def at(name: str) -> tuple[Array, Array, Array]:
        field, _ = SWEPT[name]
        base = with_method(config, name)
        put = lambda value: flagged(judge(dataclasses.replace(base, **{field: value})))
        return jax.lax.map(put, values_of(config, name))

    mean, forgot, whole = zip(*(at(name) for name in SWEPT), strict=True)
    own_mean, own_forgetting, _ = judge(config)
    return {
        "mean": jnp.stack(mean),
        "forgetting": jnp.stack(forgot),
        "stable": jnp.stack(whole),
        "own_mean": own_mean,
        "own_forgetting": own_forgetting,
    }


def candidates(plan: Plan, keys: Array) -> Dataset:
    """`value`, what each candidate stands for."""
    del keys
    values = np.stack([np.asarray(values_of(plan.config, name)) for name in SWEPT])
    return Dataset({"value": (tuple(AXES), values)}, {"learner": list(SWEPT)})


def stable_mean(data: Dataset) -> DataArray:
    """Mean accuracy over seeds; NaN where a network diverged."""
    return over_seeds(data["mean"].where(data.stable > 0))


def best(data: Dataset) -> dict[str, float]:
    """The value of highest mean accuracy of each method; divergent ones do not count.

    Copy it into `SETTINGS` of `lifelong`.
    """
    place = stable_mean(data).fillna(-math.inf).argmax("candidate")
    values = data.value.isel(candidate=place)
    return {name: float(values.sel(learner=name)) for name in SWEPT}


def near(data: Dataset, name: str, value: float) -> Dataset:
    """A method at the candidate that is nearest to `value`."""
    here = data.sel(learner=name)
    place = abs(np.log(here.value / value)).argmin("candidate")
    return here.isel(candidate=int(place))


def shortfall(data: Dataset, name: str, value: float) -> float:
    """Mean accuracy of the best candidate less that of the one nearest to `value`."""
    most = stable_mean(data.sel(learner=name)).fillna(-math.inf).max()
    return float(most - stable_mean(near(data, name, value)))


def forgotten(data: Dataset, name: str, value: float) -> DataArray:
    """Forgetting of the consolidated network over that of a method at one value.

    NaN where a network diverged.
    """
    here = near(over_seeds(data), name, value)
    return here.own_forgetting / here.forgetting.where(here.stable == 1)


def in_use(data: Dataset, name: str) -> float:
    """The value of a method in `SETTINGS`."""
    return SETTINGS[images(data)][name][SWEPT[name][0]]


@claim(
    "two standard errors of the specification's; control: the least one",
    low=0.0,
    high=0.01,
    control=lambda data, control, name: (
        None if name == "EWC" else shortfall(data, name, SWEPT[name][1][0])
    ),
    each={"name": ("Adam", "EWC", "BGD")},  # SGD: the consolidated network's rate
)
def best_is_in_use(data: Dataset, name: str) -> float:
    """{name}: mean accuracy of the best rate, penalty or deviation less that of the
    one in use.
    """
    return shortfall(data, name, in_use(data, name))


@claim(
    f"specification; {REMOVED}",
    high=0.7,
    control=lambda data, control: forgotten(control, "SGD", best(data)["SGD"]),
)
def forgets_less(data: Dataset) -> DataArray:
    """Forgetting of the consolidated network over that of SGD at its best rate."""
    return forgotten(data, "SGD", best(data)["SGD"])


# Adam at its best rate, below the specification's, has nearly the accuracy and the
# forgetting of consolidation.
@claim(
    "specification's limit, which holds for its faster rate only (control)",
    low=0.7,
    control=lambda data, control: forgotten(data, "Adam", in_use(data, "Adam")),
    when=lambda data: images(data) == "digits",
)
def adam_forgets_little(data: Dataset) -> DataArray:
    """Forgetting over that of Adam at its best rate: not below 0.7."""
    return forgotten(data, "Adam", best(data)["Adam"])


def draw_tuning(data: Dataset) -> Figure:
    """Mean accuracy along every sweep, and beside the forgetting that it costs."""
    own = over_seeds(data)
    seen = over_seeds(data.where(data.stable > 0)).assign(value=data.value)
    figure, ((*row, trade),) = panels(1, data.sizes["learner"] + 1, 3.0, 2.9)
    style = {"marker": "o", "ms": 4}
    for panel, name, color in zip(row, data.learner.values, SHADES, strict=False):
        here = seen.sel(learner=name)
        panel.semilogx(here.value, here["mean"], color=color, **style)
        panel.axhline(float(own.own_mean), color=THEORY, ls="--")
        panel.set(xlabel=f"{name}: {SWEPT[name][0]}", ylim=(0.4, 1.0))
        trade.plot(here.forgetting, here["mean"], color=color, label=name, **style)
    row[0].set(ylabel="mean accuracy")
    trade.plot(own.own_forgetting, own.own_mean, "*k", ms=12, label="presynaptic")
    trade.set(xlabel="forgetting (accuracy)", ylabel="mean accuracy", ylim=(0.4, 1.0))
    trade.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), **LEGEND)
    return figure


TUNING = SPLIT._replace(
    name="tuning",
    source="Appendix 1-table 1",
    shows="the networks compared with at their best settings",
    run=swept,
    claims=(best_is_in_use, forgets_less, adam_forgets_little),
    figure=draw_tuning,
    axes=dict.fromkeys(("mean", "forgetting", "stable"), AXES),
    predict=candidates,
)
