"""The rule against its oracle: exact optima of the instances that are simulated."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from xarray import DataArray, Dataset

from ....experiment import changed, claim, over_seeds, Plan
from ....measure import ALIVE, largest_l1_margin, largest_l2_margin, LargestMargin
from .. import theory
from ..config import Config, of_order, require_products
from ..networks import memories


ORDERS = (1, 2, 3, 4)
CHECKPOINTS = 30  # of which the first five lie in the first stage of the rates
TIME = {"time": lambda x: x.cycles // CHECKPOINTS * np.arange(1, CHECKPOINTS + 1)}
SETTLED = slice(2, 5)  # checkpoints that end the first stage
EASY = 0.34  # loads up to which one percent of the margin is above the rates' jitter


def suited(config: Config, order: int) -> Config:
    r"""`of_order`, the rate lowered with the size as the largest margin falls.

    $\eta \propto 1/\sqrt N$ keeps the relative gap at which learning stands still.
    """
    require_products(config)
    ready = of_order(config, order)
    return dataclasses.replace(ready, rate=ready.rate * (100 / config.size) ** 0.5)


def random_replay(plan: Plan) -> Plan:
    """Negative control: a random pattern replayed; the lowest and the highest load.

    For a hundredth of the cycles: longer, and neurons lose all their synapses.
    """
    grid = {name: np.unique([min(x), max(x)]) for name, x in plan.grid.items()}
    cycles = CHECKPOINTS * max(1, plan.config.cycles // (100 * CHECKPOINTS))
    return changed(policy="random", cycles=cycles)(plan)._replace(grid=grid)


def over_rows(values: DataArray, valid: DataArray) -> DataArray:
    """Mean over the neurons that are not degenerate; NaN among them stays NaN."""
    total = xarray.where(valid, values, 0.0).sum("row", skipna=False)
    return total / valid.sum("row")


def averages(rows: Dataset, valid: DataArray) -> Dataset:
    """Means over the neurons that are not degenerate, and over seeds."""
    return over_seeds(rows.map(over_rows, args=(valid,)))


def both_optima(
    patterns: Any, targets: Any
) -> Iterator[tuple[int, LargestMargin, LargestMargin]]:
    """Every neuron that is not degenerate, its largest $L_1$ and $L_2$ margin."""
    for i in map(int, np.flatnonzero(abs(np.asarray(targets).mean(axis=1)) < 1)):
        first = largest_l1_margin(patterns, targets[i], own=i)
        yield i, first, largest_l2_margin(patterns, targets[i], own=i)


def oracle(config: Config, key: Key[Array, ""]) -> dict[str, np.ndarray]:
    """Exact optima of the instance that `build` makes of this config and key.

    All (row,): largest margins `best_1` and `best_2` of weights of norm 1, the
    `threshold` and the `best_density` of the former; NaN for degenerate neurons.
    """
    instance = memories(config, jr.split(key)[0])
    stored = np.asarray(instance.stored)
    patterns = np.asarray(instance.patterns)[:, stored]
    targets = np.asarray(instance.targets)[:, stored]
    found = np.full((4, len(targets)), np.nan)
    for i, linear, squared in both_optima(patterns, targets):
        alive = (linear.weights > ALIVE * linear.weights.max()).mean()
        found[:, i] = linear.margin, squared.margin, linear.threshold, alive
    names = ("best_1", "best_2", "threshold", "best_density")
    return dict(zip(names, found, strict=True))


def oracles(config: Config, keys: Any, two: Config) -> dict[str, np.ndarray]:
    r"""`oracle` for every key (seed, row), and `stationary`.

    That is what the constant rates of `two` factors leave of $\mathrm{SNR}_1$ over its
    optimum.
    """
    each = [oracle(config, jr.split(key)[0]) for key in keys]
    found = {name: np.stack([one[name] for one in each]) for name in each[0]}
    best, threshold = jnp.asarray(found["best_1"]), jnp.asarray(found["threshold"])
    rates = two.rate, two.threshold_rate, two.target
    gap = np.asarray(theory.stationary_gap(*rates, best, threshold))
    return found | {"stationary": 1 - gap / found["best_1"]}


def over_positive(above: DataArray, below: DataArray) -> DataArray:
    """Their ratio; 0 where not both are positive: nothing is stored there."""
    stored = (above > 0) & (below > 0)
    ratio = xarray.where(stored, above, 0.0) / xarray.where(stored, below, 1.0)
    return ratio.where(above.notnull() & below.notnull())


def summary(data: Dataset) -> Dataset:
    """`averages` of what was measured, of the ratios relative to the exact optimum of
    every neuron, `reached` (order, load, norm), and of their `course` (time).
    """
    best = xarray.concat([data.best_1, data.best_2], data.norm)
    share = data.ratio.sel(exponent=[1.0, 2.0]).rename(exponent="norm")
    share = share.assign_coords(norm=data.norm)
    plain = ["ratio", "neural", "synaptic", "density", "best_density", "stationary"]
    rows = data[plain].assign(reached=share / best, course=data.course / best)
    return data[["neural_law", "density_law"]].assign(averages(rows, data.valid))


# --- the rule against the exact optimum of the same instances -------------------------


@claim("linear and quadratic programmes; single precision", low=0.95, high=1 + 1e-3)
def no_neuron_is_above(data: Dataset) -> float:
    """No neuron is above the exact optimum (largest share of it, any z, q = 1, 2)."""
    best = {1.0: data.best_1, 2.0: data.best_2}
    shares = [data.ratio.sel(exponent=q) / x for q, x in best.items()]
    valid = [xarray.where(data.valid, x, -np.inf) for x in shares]
    return float(np.max([x.max(skipna=False) for x in valid]))


@claim(
    "linear and quadratic programmes; specification",
    low=0.99,
    high=1 + 1e-3,
    each={"order": (1, 2)},
)
def reaches_the_optimum(data: Dataset, order: int) -> float:
    """z = {order} reaches the optimum of q = 2/z (mean share, loads below 0.34)."""
    row = summary(data).reached.sel(order=order, norm=2 // order)
    return float(row.where(row["load"] < EASY, drop=True).mean(skipna=False))


@claim("theory T6, single cycles", low=0.0, high=0.25)
def gap_of_constant_rates(data: Dataset) -> float:
    """z = 2, first stage: the gap below the optimum is that of constant rates (largest
    relative error, all loads).
    """
    means = summary(data)
    course = means.course.sel(order=2, norm=1).isel(time=SETTLED)
    gap = (1 - course.mean("time", skipna=False)) / (1 - means.stationary)
    return float(abs(gap - 1).max(skipna=False))
