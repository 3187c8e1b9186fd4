"""Figure 4: how connections develop, during consolidation and with what is stored."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State
from ....circuits import Memories
from ....experiment import claim, Experiment, over_seeds, panels, Plan, SHADES
from ....measure import density, margins, noise_ratio
from ....signals import ReplaySignals
from .. import capacity
from ..config import Config, of_order
from ..domains import living_share, mean_over
from ..networks import build, fields_and_weights, stored_in, valid_rows
from .shared import LAW, legends, shaded


RECORDS = 40  # of a night
LIGHT = 0.4  # loads up to which a few hundred neurons are as good as many


def measured(
    memories: Memories,
    counted: Bool[Array, " row"],
    fields: Float[Array, "row pattern"],
    weights: Float[Array, "row n"],
) -> Float[Array, " quantity"]:
    r"""Density, living weight, $\sqrt N\,\mathrm{SNR}_1$; means of rows that count."""
    n = weights.shape[1]
    margin = margins(fields, memories.targets, memories.stored)
    share = living_share(weights)
    mean = jnp.sum(share * weights, axis=1) / jnp.sum(share, axis=1)
    rows = density(weights), mean, n**0.5 * noise_ratio(margin, weights, 1.0)
    return jnp.stack([mean_over(counted, row) for row in rows])


def record(
    measure: Callable[..., Array], state: State, signals: ReplaySignals, changes: Any
) -> Float[Array, " quantity"]:
    """`measured` before the cycle; `jax.tree_util.Partial` binds what it needs."""
    del state, changes
    return measure(signals.fields, signals.weights)


def developed(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`density`, living `weight` over its first value, `robustness`, all over `time`.

    The first record is before sleep, the others at the beginning of a cycle.
    """
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    memories, steps = stored_in(system), config.cycles
    measure = jax.tree_util.Partial(measured, memories, valid_rows(memories))
    start = measure(*fields_and_weights(system, state))
    seen = jax.tree_util.Partial(record, measure)
    every = steps // RECORDS
    _, rest = simulate(system, state, for_run, steps=steps, every=every, record=seen)
    dense, weight, robust = jnp.concatenate([start[None], rest]).T
    return {"density": dense, "weight": weight / weight[0], "robustness": robust}


def predict(plan: Plan, keys: Any) -> Dataset:
    r"""The optimum for many inputs.

    Two factors hold $\sum_jw_j$, so the living weights grow as their density falls.
    """
    del keys
    load, level = np.asarray(plan.grid["load"]), float(plan.config.coding_level)
    dense = capacity.density(load, level, exact=plan.config.exact)
    robust = capacity.robustness(load, level, exact=plan.config.exact)
    robust = math.sqrt(level * (1 - level)) * robust
    best = {"density": dense, "weight": 1 / dense, "robustness": robust}
    laws = {f"best_{name}": ("load", values) for name, values in best.items()}
    return Dataset(laws, {"load": load})


def one_factor(plan: Plan) -> Plan:
    """Negative control: one factor a synapse."""
    config = plan.config
    return plan._replace(config=of_order(config, 1, cycles=config.cycles))


# --- sleep makes connections fewer and stronger; more memories need more of them ------


def after_sleep(values: DataArray) -> DataArray:
    """The last record, mean over seeds."""
    return over_seeds(values).isel(time=-1)


def light(values: DataArray) -> DataArray:
    """`after_sleep`, at loads at which a few hundred neurons are as good as many."""
    return after_sleep(values).where(values["load"] <= LIGHT, drop=True)


@claim("Fig. 4; theory", low=0.0, high=0.4)
def fewer(data: Dataset) -> float:
    """Sleep leaves fewer connections than one half (largest density, loads to 0.4)."""
    return float(light(data.density).max(skipna=False))


@claim("Fig. 4; theory: one over the density", low=2.0)
def stronger(data: Dataset) -> float:
    """And stronger ones (least ratio of mean living weights, the same loads)."""
    return float(light(data.weight).min(skipna=False))


@claim("Fig. 4; specification: it falls", high=0.01, control=None)
def only_fewer(data: Dataset) -> float:
    """Connections only become fewer while asleep (largest rise of the density between
    records).
    """
    return float(over_seeds(data.density).diff("time").max(skipna=False))


@claim("Fig. 4; theory: .34 from a load of .08 to one of .7", low=0.2)
def more_for_more(data: Dataset) -> float:
    """The more is stored, the more connections remain (density, largest minus least
    load).
    """
    dense = after_sleep(data.density)
    return float(dense.isel(load=-1) - dense.isel(load=0))


@claim("Fig. 4; theory", high=0.0, control=None)
def less_robust(data: Dataset) -> float:
    """The more is stored, the less robust it is (largest step of robustness)."""
    return float(after_sleep(data.robustness).diff("load").max(skipna=False))


@claim(
    "theory for many inputs; 3 % of finite size, 5 % of the rule", low=0.0, high=0.08
)
def optimal(data: Dataset) -> float:
    """Robustness is that of the optimum (largest relative error, loads to 0.4)."""
    law = data.best_robustness.where(data["load"] <= LIGHT, drop=True)
    return float(abs(light(data.robustness) / law - 1).max(skipna=False))


def draw_development(data: Dataset) -> Figure:
    """Figure 4: density, living weight and robustness, over sleep and over load."""
    names = {
        "density": "connection density",
        "weight": "living weight over its first",
        "robustness": "robustness sqrt(N) SNR_1",
    }
    figure, axes = panels(2, 3, 3.4, 2.6)
    mean, loads = data.mean("seed"), data["load"].values
    for (name, label), (asleep, over) in zip(names.items(), axes.T, strict=True):
        for load, color in shaded(loads):
            course = mean[name].sel(load=load).values[1:]
            asleep.plot(data.time[1:], course, color=color, label=f"load {load:g}")
        values = data[name].isel(time=-1)
        mid, spread = values.mean("seed"), values.std("seed")
        style = {"fmt": "o", "ms": 4, "color": SHADES[0], "label": "after sleep"}
        over.errorbar(loads, mid, spread, **style)
        over.plot(loads, data[f"best_{name}"], "--", label="optimum, N large", **LAW)
        asleep.set(xlabel="cycles of replay", ylabel=label)
        over.set(xlabel="patterns per input", ylabel=label)
    legends(axes[:, 0])
    return figure


TIME = {"time": lambda config: config.cycles // RECORDS * np.arange(RECORDS + 1)}
FIG4_DEVELOPMENT = Experiment(
    name="fig4_development",
    source="Fig. 4",
    shows="sleep makes connections fewer and stronger; more memories need more of them",
    config=Config,
    run=developed,
    claims=(fewer, stronger, only_fewer, more_for_more, less_robust, optimal),
    figure=draw_development,
    control=one_factor,
    axes=dict.fromkeys(("density", "weight", "robustness"), TIME),
    predict=predict,
)
