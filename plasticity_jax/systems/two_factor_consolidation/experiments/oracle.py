"""The rule against its oracle: exact optima of the instances that are simulated."""

import dataclasses

import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key

from ....experiment import Claim, Plan
from ....measure import ALIVE, largest_l1_margin, largest_l2_margin
from ..config import Config, memories, of_order, require_products


ORDERS = (1, 2, 3, 4)
CHECKPOINTS = 30  # of which the first five lie in the first stage of the rates
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
    config = dataclasses.replace(plan.config, policy="random", cycles=cycles)
    return plan._replace(config=config, grid=grid)


def over_rows(values: xarray.DataArray, valid: xarray.DataArray) -> xarray.DataArray:
    """Mean over the neurons that are not degenerate; NaN among them stays NaN."""
    total = xarray.where(valid, values, 0.0).sum("row", skipna=False)
    return total / valid.sum("row")


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
    for i in np.flatnonzero(abs(targets.mean(axis=1)) < 1):
        linear = largest_l1_margin(patterns, targets[i], own=int(i))
        squared = largest_l2_margin(patterns, targets[i], own=int(i))
        alive = (linear.weights > ALIVE * linear.weights.max()).mean()
        found[:, i] = linear.margin, squared.margin, linear.threshold, alive
    return dict(
        zip(("best_1", "best_2", "threshold", "best_density"), found, strict=True)
    )


def over_positive(above: xarray.DataArray, below: xarray.DataArray) -> xarray.DataArray:
    """Their ratio; 0 where not both are positive: nothing is stored there."""
    stored = (above > 0) & (below > 0)
    ratio = xarray.where(stored, above, 0.0) / xarray.where(stored, below, 1.0)
    return ratio.where(above.notnull() & below.notnull())


def summary(data: xarray.Dataset) -> xarray.Dataset:
    """Means over the neurons that are not degenerate, and over seeds.

    Beside what was measured: `reached` (order, load, norm), the ratios relative to the
    exact optimum of every neuron, and their `course` (time).
    """
    best = xarray.concat([data.best_1, data.best_2], data.norm)
    share = data.ratio.sel(exponent=[1.0, 2.0]).rename(exponent="norm")
    share = share.assign_coords(norm=data.norm)
    plain = ("ratio", "neural", "synaptic", "density", "best_density", "stationary")
    rows = {name: data[name] for name in plain}
    rows.update(reached=share / best, course=data.course / best)
    means = {
        name: over_rows(x, data.valid).mean("seed", skipna=False)
        for name, x in rows.items()
    }
    return (
        xarray.Dataset(means)
        .assign(neural_law=data.neural_law, density_law=data.density_law)
        .assign_coords(coding_level=data.coding_level)
    )


def oracle_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The rule against the exact optimum of the same instances."""
    seen, random = summary(data), summary(control)

    def highest(data: xarray.Dataset) -> float:
        best = {1.0: data.best_1, 2.0: data.best_2}
        shares = [data.ratio.sel(exponent=q) / x for q, x in best.items()]
        valid = [xarray.where(data.valid, x, -np.inf) for x in shares]
        return float(np.max([x.max(skipna=False) for x in valid]))

    def mean(means: xarray.Dataset, order: int, norm: int) -> float:
        row = means.reached.sel(order=order, norm=norm)
        return float(row.where(row["load"] < EASY, drop=True).mean(skipna=False))

    def settled(means: xarray.Dataset) -> float:
        course = means.course.sel(order=2, norm=1).isel(time=SETTLED)
        reached = course.mean("time", skipna=False)
        gap = (1 - reached) / (1 - means.stationary)
        return float(abs(gap - 1).max(skipna=False))

    return [
        Claim(
            "no neuron is above the exact optimum (largest share of it, any z, q = 1 "
            "and 2)",
            "linear and quadratic programmes; single precision",
            highest(data),
            0.95,
            1 + 1e-3,
            control=highest(control),
        ),
        *(
            Claim(
                f"z = {order} reaches the optimum of q = {norm} (mean share, loads "
                f"below {EASY})",
                "linear and quadratic programmes; specification",
                mean(seen, order, norm),
                0.99,
                1 + 1e-3,
                control=mean(random, order, norm),
            )
            for order, norm in ((1, 2), (2, 1))
        ),
        Claim(
            "z = 2, first stage: the gap below the optimum is that of constant rates "
            "(largest relative error, all loads)",
            "theory T6, single cycles",
            settled(seen),
            0.0,
            0.25,
            control=settled(random),
        ),
    ]
