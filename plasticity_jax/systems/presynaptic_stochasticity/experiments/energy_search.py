r"""Beyond figure 1: the least energy at which a network still reaches an accuracy.

A random search as published, one step of release up and down and a weight decay for
every candidate, for networks of plastic release; and as many decays for deterministic
ones. Every seed is a search of its own. The cheapest candidate of those that reach a
`target` counts.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar
from ...._arguments import check_range, real, require, whole
from ....experiment import changed, claim, Experiment, panels, THEORY
from ..config import Source
from .energy import compared, EnergyConfig, images_settled, LOOKS, MODELS, ratio


SEARCHED = MODELS[:2]
AXES = {"candidate": None, "model": SEARCHED}


class SearchConfig(EnergyConfig):
    """How many candidates, their decays, and the accuracy to reach."""

    target: Scalar = eqx.field(default=0.95, converter=real)
    most: Scalar = eqx.field(default=0.1, converter=real)  # of a step
    least: Scalar = eqx.field(default=0.01, converter=real)
    candidates: int = eqx.field(default=8, static=True)
    decays: tuple[float, ...] = eqx.field(
        default=(0.001, 0.005, 0.01, 0.05), static=True
    )

    def __check_init__(self) -> None:
        require(self, target=(0.0, 1.0), most=(0.0, 1.0), least=(0.0, 1.0))
        check_range("decays", self.decays, 0, math.inf)
        whole("candidates", self.candidates, 1)


def images_settled_at_least(config: SearchConfig) -> Source:
    """The images; a `UserWarning` where the least decay searched does not settle."""
    return images_settled(dataclasses.replace(config, decay=min(config.decays)))


def searched(
    source: Source, config: SearchConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    """`accuracy` and `energy` (candidate, model), and what the candidates are.

    `step` of release and `weight_decay` (candidate,); all learn from one start.
    """
    for_steps, for_decays, for_runs = jr.split(key, 3)
    count = config.candidates
    steps = jr.uniform(for_steps, (count,), minval=config.least, maxval=config.most)
    decays = jr.choice(for_decays, jnp.asarray(config.decays), (count,))

    def at(candidate: tuple[Array, Array]) -> dict[str, Array]:
        step, decay = candidate
        own = dataclasses.replace(config, up=step, down=step, decay=decay)
        found = compared(SEARCHED, source, own, for_runs)
        return {name: found[name] for name in ("accuracy", "energy")}

    found = jax.lax.map(at, (steps, decays))
    return {**found, "step": steps, "weight_decay": decays}


def cheapest(data: Dataset) -> DataArray:
    """Least energy of every search, by model, at the target; infinite without one."""
    there = data.energy.where(data.accuracy >= data.target, np.inf)
    return there.where(data.energy.notnull()).min("candidate", skipna=False)


@claim("Fig. 1: plastic release saves energy", low=1.0)
def plastic_is_cheaper(data: Dataset) -> tuple[float, float]:
    """Least energy at the target accuracy: deterministic over plastic release."""
    return ratio(1 / cheapest(data), "plastic over deterministic")


def reached(plan: Any, keys: Any) -> Dataset:
    """The accuracy to reach."""
    del keys
    return Dataset({"target": ((), float(plan.config.target))})


def draw_search(data: Dataset) -> Figure:
    """Accuracy against energy of all candidates; the cheapest that reach the target."""
    figure, ((panel,),) = panels(1, 1, 4.2, 3.2)
    least = cheapest(data).where(np.isfinite).mean("seed")
    for model in data.model.values:
        here, look = data.sel(model=model), LOOKS[model]
        panel.plot(
            here.energy.values.ravel(), here.accuracy.values.ravel(), "o", **look
        )
        panel.axvline(float(least.sel(model=model)), color=look["color"], lw=1)
    panel.axhline(float(data.target), color=THEORY, ls="--", lw=0.8)
    panel.set(xlabel=r"energy $\sum|\bar w|$", ylabel="accuracy")
    panel.legend(frameon=False, fontsize="x-small")
    return figure


ENERGY_SEARCH = Experiment(
    name="energy_search",
    source="beyond the paper",
    shows="at a given accuracy plastic release needs the least energy",
    config=SearchConfig,
    run=searched,
    claims=(plastic_is_cheaper,),
    figure=draw_search,
    control=changed(least=0.0, most=0.0),
    axes={
        **dict.fromkeys(("accuracy", "energy"), AXES),
        "step": {"candidate": None},
        "weight_decay": {"candidate": None},
    },
    predict=reached,
    data=images_settled_at_least,
)
