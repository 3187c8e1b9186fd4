"""Figure 4, Appendix 1-figure 3: images whose pixels are permuted anew in every task.

With boundaries between tasks (`permuted`) or without (`continuous`). The penalties and
the deviation of the networks beside are the best of a few tried on digits; nothing is
claimed of their ranking, which depends on them.
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, over_seeds, panels, SHADES
from ..config import Config, Source
from ..training import learn
from .ablations import variant
from .lifelong import (
    ABOVE,
    draw_first_task,
    draw_levels,
    forgets_less,
    gains,
    grows,
    JOINT,
    keeps_first_task,
    known,
    LEVELS,
    on_mnist,
    REMOVED,
    SPLIT,
    summary,
    with_method,
)


METHODS = ("presynaptic", "SGD", "EWC", "online EWC", "BGD")
ABLATED = ("no freeze", "neither", "ghost")
RATES = {"digits": 0.01, "mnist": 1e-3, "fashion_mnist": 1e-3}  # of gradient descent
PULL = {"EWC": 0.1, "online EWC": 0.03}  # penalty times rate
WIDE = 0.06  # deviation of BGD


def network(config: Config, name: str) -> Config:
    """`config` as one of `METHODS` or `ABLATED`."""
    if name in ABLATED:
        return variant(config, name)
    own, rate = with_method(config, name), RATES[config.data]
    if name == "presynaptic":
        return own
    if name == "BGD":
        return dataclasses.replace(own, deviation=WIDE)
    return dataclasses.replace(own, rate=rate, penalty=PULL.get(name, 0.0) / rate)


def streams(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Every network on the same stream of permutations.

    `accuracy` (learner, after, task); `probability` and `frozen` (after,), mean release
    probability and frozen share of the consolidated network; `joint` (task,), accuracy
    of a network that learned all tasks at once.
    """
    names = METHODS + ABLATED
    every = {name: learn(network(config, name), source, key) for name in names}
    mixed = dataclasses.replace(config, **JOINT | {"protocol": "mixed"})
    own = every["presynaptic"]
    return {
        "accuracy": jnp.stack([known(learned) for learned in every.values()]),
        "probability": own.probability,
        "frozen": own.frozen,
        "joint": known(learn(mixed, source, key))[0],
    }


@claim(f"Appendix 1-figure 3b; {REMOVED}", low=1e-3)
def slows_down(data: Dataset) -> DataArray:
    """Mean release probability: first step less the last, as capacity fills."""
    step = over_seeds(data.probability).diff("after")
    return step[0] - step[-1]


def draw_permuted(data: Dataset) -> Figure:
    """First task in time, every task at the end, and what has frozen."""
    figure, ((first, final, levels),) = panels(1, 3, 3.5, 3.0)
    seen = summary(data).mean("seed", skipna=False)
    draw_first_task(first, seen.sel(learner=list(METHODS)))
    end = over_seeds(data.accuracy.isel(after=-1))
    for name, color in zip(METHODS, SHADES, strict=False):
        final.plot(data.task, end.sel(learner=name), "o-", ms=4, color=color)
    for name, marker in zip(ABLATED, "sv^", strict=True):
        style = {"ls": "--", "marker": marker, "ms": 3, "color": SHADES[0], "lw": 0.8}
        final.plot(data.task, end.sel(learner=name), label=name, **style)
    final.plot(data.task, over_seeds(data.joint), "k:", label="all at once")
    final.legend(ncols=2, **ABOVE)
    final.set(xlabel="task", ylabel="accuracy after the last task")
    final.set_xticks(data.task)
    draw_levels(levels, data)
    return figure


tasks = lambda config: range(1, config.tasks + 1)
AFTER = {"after": tasks}
PERMUTED = SPLIT._replace(
    name="permuted",
    source="Figure 4b, Appendix 1-table 1, Appendix 1-figure 3",
    shows="with every task more synapses freeze, until none is left",
    run=streams,
    # On digits the noisy network hardly learns what it could forget, even if its
    # release probabilities stay: its forgetting then says nothing of consolidation.
    claims=(
        grows,
        slows_down,
        forgets_less._replace(when=on_mnist),
        keeps_first_task._replace(when=on_mnist),
        gains._replace(when=on_mnist),
    ),
    figure=draw_permuted,
    axes={
        "accuracy": {"learner": METHODS + ABLATED, **AFTER, "task": tasks},
        "joint": {"task": tasks},
        **dict.fromkeys(LEVELS, AFTER),
    },
)
CONTINUOUS = PERMUTED._replace(
    name="continuous",
    source="Continuous Permuted MNIST",
    shows="synapses freeze alike without boundaries between tasks",
)
