"""Figure 4, Appendix 1-figure 3: images whose pixels are permuted anew in every task.

With boundaries between tasks (`permuted`) or without (`continuous`).
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES
from ..config import Config, images_of, Source
from ..training import learn
from .lifelong import (
    _first_task,
    _levels,
    advantage,
    growth,
    images,
    known,
    protection,
    REMOVED,
    still,
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


def named(plan: Plan, keys: Array) -> xarray.Dataset:
    """The names of the methods and of the tasks, from 1."""
    del keys
    tasks = np.arange(1, plan.config.tasks + 1)
    coords = {"learner": list(METHODS), "after": tasks, "task": tasks}
    return xarray.Dataset(coords=coords)


def permuted_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Capacity is used up; on MNIST also less forgetting at a higher accuracy.

    On digits the noisy network hardly learns what it could forget, even if its release
    probabilities stay: its forgetting then says nothing of consolidation.
    """

    def slowing(rows: xarray.Dataset) -> float:
        step = rows.probability.mean("seed", skipna=False).diff("after")
        return float(step[0] - step[-1])

    claims = [
        *growth(data, control),
        Claim(
            "mean release probability: first step less the last, as capacity fills",
            f"Appendix 1-figure 3b; {REMOVED}",
            slowing(data),
            1e-3,
            control=slowing(control),
        ),
    ]
    if images(data) == "mnist":
        claims += protection(data, control, ("SGD",))
        claims.append(advantage(data, control))
    return claims


DIMS = {
    "accuracy": ("learner", "after", "task"),
    "probability": ("after",),
    "frozen": ("after",),
}


def draw_permuted(data: xarray.Dataset) -> Figure:
    """First task in time, every task at the end, and what has frozen."""
    from ..experiments.lifelong import summary

    names = ["presynaptic", "SGD"]
    seen = summary(data).mean("seed", skipna=False)
    figure, ((first, final, levels),) = panels(1, 3, 3.5, 3.0)
    _first_task(first, seen, names)
    end = data.accuracy.isel(after=-1).mean("seed", skipna=False)
    for k, name in enumerate(names):
        final.plot(data.task, end.sel(learner=name), "o-", ms=4, color=SHADES[k])
    final.set(xlabel="task", ylabel="accuracy after the last task")
    final.set_xticks(data.task)
    _levels(levels, data)
    return figure


PERMUTED = Experiment(
    name="permuted",
    source="Figure 4b, Appendix 1-table 1, Appendix 1-figure 3",
    shows="with every task more synapses freeze, until none is left",
    config=Config,
    run=streams,
    claims=permuted_claims,
    figure=draw_permuted,
    control=still,
    dims=DIMS,
    predict=named,
    data=images_of,
)
CONTINUOUS = PERMUTED._replace(
    name="continuous",
    source="Continuous Permuted MNIST",
    shows="synapses freeze alike without boundaries between tasks",
)
