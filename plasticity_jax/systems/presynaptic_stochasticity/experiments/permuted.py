"""Figure 4, Appendix 1-figure 3: images whose pixels are permuted anew in every task.

With boundaries between tasks (`permuted`) or without (`continuous`).
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, over_seeds, panels, SHADES
from ..config import Config, Source
from ..training import learn
from .lifelong import (
    draw_first_task,
    draw_levels,
    forgets_less,
    gains,
    grows,
    keeps_first_task,
    known,
    LEVELS,
    on_mnist,
    REMOVED,
    SPLIT,
    summary,
    with_method,
)


METHODS = ("presynaptic", "SGD")
RATES = {"digits": 0.01, "mnist": 1e-3, "fashion_mnist": 1e-3}  # of SGD


def streams(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """A consolidated network and one without on the same stream of permutations.

    `accuracy` (learner, after, task); `probability` and `frozen` (after,), mean release
    probability and frozen share of the consolidated network.
    """
    plain = with_method(config, "SGD")
    plain = dataclasses.replace(plain, rate=RATES[config.data])
    own, other = learn(config, source, key), learn(plain, source, key)
    return {
        "accuracy": jnp.stack([known(own), known(other)]),
        "probability": own.probability,
        "frozen": own.frozen,
    }


@claim(f"Appendix 1-figure 3b; {REMOVED}", low=1e-3)
def slows_down(data: Dataset) -> DataArray:
    """Mean release probability: first step less the last, as capacity fills."""
    step = over_seeds(data.probability).diff("after")
    return step[0] - step[-1]


def draw_permuted(data: Dataset) -> Figure:
    """First task in time, every task at the end, and what has frozen."""
    figure, ((first, final, levels),) = panels(1, 3, 3.5, 3.0)
    draw_first_task(first, summary(data).mean("seed", skipna=False))
    end = over_seeds(data.accuracy.isel(after=-1))
    for name, color in zip(data.learner.values, SHADES, strict=False):
        final.plot(data.task, end.sel(learner=name), "o-", ms=4, color=color)
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
        "accuracy": {"learner": METHODS, **AFTER, "task": tasks},
        **dict.fromkeys(LEVELS, AFTER),
    },
)
CONTINUOUS = PERMUTED._replace(
    name="continuous",
    source="Continuous Permuted MNIST",
    shows="synapses freeze alike without boundaries between tasks",
)
