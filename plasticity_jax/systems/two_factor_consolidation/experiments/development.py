"""Figure 4: how connections develop, during consolidation and with what is stored."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Bool, Float, Key
from matplotlib.figure import Figure

from .... import simulate, State
from ....circuits import Memories
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import degenerate, density, margins, noise_ratio
from ....signals import ReplaySignals
from .. import capacity
from ..config import build, Config, fields_and_weights, of_order
from ..domains import living_share


RECORDS = 40  # of a night
LIGHT = 0.4  # loads up to which a few hundred neurons are as good as many


def measured(
    memories: Memories,
    counted: Bool[Array, " row"],
    fields: Float[Array, "row pattern"],
    weights: Float[Array, "row n"],
) -> Float[Array, " quantity"]:
    r"""Density, living weight and $\sqrt N\,\mathrm{SNR}_1$.

    Means over the rows that count.
    """
    n = weights.shape[1]
    margin = margins(fields, memories.targets, memories.stored)
    share = living_share(weights)
    mean = jnp.sum(share * weights, axis=1) / jnp.sum(share, axis=1)
    rows = density(weights), mean, n**0.5 * noise_ratio(margin, weights, 1.0)
    number = jnp.sum(counted.astype(weights.dtype))
    return jnp.stack([jnp.sum(jnp.where(counted, row, 0.0)) / number for row in rows])


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
    task: Any = system.task
    memories = task.stimulus
    counted = ~degenerate(memories.targets, memories.stored)
    measure = jax.tree_util.Partial(measured, memories, counted)
    start = measure(*fields_and_weights(system, state))
    _, rest = simulate(
        system,
        state,
        for_run,
        steps=config.cycles,
        every=config.cycles // RECORDS,
        record=jax.tree_util.Partial(record, measure),
    )
    dense, weight, robust = jnp.concatenate([start[None], rest]).T
    return {"density": dense, "weight": weight / weight[0], "robustness": robust}


def predict(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""The optimum for many inputs, and the coordinates.

    Two factors hold $\sum_jw_j$, so the living weights grow as their density falls.
    """
    del keys
    config = plan.config
    load, level = np.asarray(plan.grid["load"]), float(config.coding_level)
    exact = config.exact
    dense = capacity.density(load, level, exact=exact)
    scale = math.sqrt(level * (1 - level))
    robust = scale * capacity.robustness(load, level, exact=exact)
    every = config.cycles // RECORDS
    time = np.concatenate([[0], every * np.arange(1, RECORDS + 1)])
    return xarray.Dataset(
        {
            "best_density": ("load", dense),
            "best_weight": ("load", 1 / dense),
            "best_robustness": ("load", robust),
        },
        {"load": load, "time": time},
    )


def one_factor(plan: Plan) -> Plan:
    """Negative control: one factor a synapse."""
    config = plan.config
    return plan._replace(config=of_order(config, 1, cycles=config.cycles))


def development_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Sleep makes connections fewer and stronger; more memories need more of them."""
    mean, other = (x.mean("seed", skipna=False) for x in (data, control))
    loads = data["load"]
    light = loads.where(loads <= LIGHT, drop=True)

    def end(data: xarray.Dataset, name: str) -> xarray.DataArray:
        return data[name].isel(time=-1).sel(load=light)

    def largest(values: xarray.DataArray) -> float:
        return float(values.max(skipna=False))

    def grown(data: xarray.Dataset) -> float:
        dense = data.density.isel(time=-1)
        return float(dense.isel(load=-1) - dense.isel(load=0))

    def off(data: xarray.Dataset) -> float:
        return largest(abs(end(data, "robustness") / end_law - 1))

    end_law = mean.best_robustness.sel(load=light)
    rise = lambda data: float(end(data, "weight").min(skipna=False))
    return [
        Claim(
            f"sleep leaves fewer connections than one half (largest density, loads up "
            f"to {LIGHT}); control: one factor",
            "Fig. 4; theory",
            largest(end(mean, "density")),
            0.0,
            0.4,
            control=largest(end(other, "density")),
        ),
        Claim(
            "and stronger ones (least ratio of mean living weights, the same loads); "
            "control: one factor",
            "Fig. 4; theory: one over the density",
            rise(mean),
            2.0,
            math.inf,
            control=rise(other),
        ),
        Claim(
            "connections only become fewer while asleep (largest rise of the density "
            "between records)",
            "Fig. 4; specification: it falls",
            largest(mean.density.diff("time")),
            -math.inf,
            0.01,
        ),
        Claim(
            "the more is stored, the more connections remain (density, largest minus "
            "least load); control: one factor",
            "Fig. 4; theory: .34 from a load of .08 to one of .7",
            grown(mean),
            0.2,
            math.inf,
            control=grown(other),
        ),
        Claim(
            "the more is stored, the less robust it is (largest step of robustness)",
            "Fig. 4; theory",
            largest(mean.robustness.isel(time=-1).diff("load")),
            -math.inf,
            0.0,
        ),
        Claim(
            f"robustness is that of the optimum (largest relative error, loads up to "
            f"{LIGHT}); control: one factor",
            "theory for many inputs; 3 % of finite size, 5 % of the rule",
            off(mean),
            0.0,
            0.08,
            control=off(other),
        ),
    ]


def draw_development(data: xarray.Dataset) -> Figure:
    """Figure 4: density, living weight and robustness, over sleep and over load."""
    names = {
        "density": "connection density",
        "weight": "living weight over its first",
        "robustness": "robustness sqrt(N) SNR_1",
    }
    figure, axes = panels(2, 3, 3.4, 2.6)
    mean = data.mean("seed")
    cycles = data.time.values[1:]
    for (name, label), (asleep, over) in zip(names.items(), axes.T, strict=True):
        for load, color in zip(data["load"].values, SHADES, strict=False):
            course = mean[name].sel(load=load).values[1:]
            asleep.semilogx(cycles, course, color=color, label=f"load {load:g}")
        values = data[name].isel(time=-1)
        over.errorbar(
            data["load"],
            values.mean("seed"),
            values.std("seed"),
            fmt="o",
            ms=4,
            color=SHADES[0],
            label="after sleep",
        )
        over.plot(
            data["load"],
            data[f"best_{name}"],
            "--",
            color=THEORY,
            label="optimum, N large",
        )
        asleep.set(xlabel="cycles of replay", ylabel=label)
        over.set(xlabel="patterns per input", ylabel=label)
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    axes[1, 0].legend(frameon=False, fontsize="x-small")
    return figure


FIG4_DEVELOPMENT = Experiment(
    name="fig4_development",
    source="Fig. 4",
    shows="sleep makes connections fewer and stronger; more memories need more of them",
    config=Config,
    run=developed,
    claims=development_claims,
    figure=draw_development,
    control=one_factor,
    dims={"density": ("time",), "weight": ("time",), "robustness": ("time",)},
    predict=predict,
)
