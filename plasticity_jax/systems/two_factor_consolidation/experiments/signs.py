r"""Beyond the paper: inhibitory inputs, and weights of either sign.

An inhibitory input of a binary pattern is an excitatory one of its complement, $-w\xi =
w(1 - \xi) - w$, and the threshold takes the rest: inhibition of fixed signs leaves the
problem as it was at f = 1/2, and every z its own optimum. Weights of either sign hold
more: without bounds and scaling replay of the weakest pattern is minover (Krauth &
Mezard 1987), whose weights grow for ever along the largest margin of all.
"""

import dataclasses
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan, SHADES
from ....measure import (
    degenerate,
    density,
    largest_l1_margin,
    largest_l2_margin,
    noise_ratio,
)
from ..config import Config, of_order
from ..networks import after, build, margins_and_weights, memories, stored_in
from .oracle import over_rows
from .shared import LAW, ROW, stacked


KINDS = ("excitatory", "half inhibitory", "half inhibitory, z = 1", "free (minover)")
# of the threshold over the rate: free weights find the largest m / |(w, I / 10)|
FREEDOM = 100.0


def kind_of(config: Config, kind: str) -> Config:
    """`config` with synapses of one of `KINDS`."""
    if kind == "free (minover)":
        free = {"parametrisation": "free", "scaling": "none", "schedule": "constant"}
        rates = {"rate": 1e-3, "threshold_rate": FREEDOM * 1e-3}
        return dataclasses.replace(config, order=1, **free, **rates)
    half = 0 if kind == "excitatory" else config.size // 2
    rate = {} if kind.endswith("1") else {"rate": config.rate}
    return of_order(config, 1 if kind.endswith("1") else 2, inhibitory=half, **rate)


def consolidated(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Every kind of synapses at the end of replay of the same patterns.

    `ratio` (kind, row) is $\mathrm{SNR}_q$ with q = 2/z; `density` (kind, row); `valid`
    (row,) marks the neurons that are not degenerate.
    """
    for_build, for_run = jr.split(key)

    def judge(kind: str) -> tuple[Array, Array, Array]:
        here = kind_of(config, kind)
        system, state = build(here, for_build)
        end, stored = after(system, state, for_run, here.cycles), stored_in(system)
        margin, weights = margins_and_weights(system, end)
        ratio = noise_ratio(margin, weights, 2.0 / here.order)
        return ratio, density(weights), ~degenerate(stored.targets, stored.stored)

    ratio, dense, valid = stacked([judge(kind) for kind in KINDS])
    return {"ratio": ratio, "density": dense, "valid": valid[0]}


def optima(plan: Plan, keys: Any) -> Dataset:
    """`best` (kind, seed, row): exact optima with the same signs."""
    best = np.full((len(KINDS), len(keys), plan.config.rows), np.nan)
    for s, key in enumerate(keys):
        stored = memories(plan.config, jr.split(jr.split(key)[0])[0])
        patterns, targets = np.asarray(stored.patterns), np.asarray(stored.targets)
        for k, kind in enumerate(KINDS):
            here = kind_of(plan.config, kind)
            for i in map(int, np.flatnonzero(abs(targets.mean(axis=1)) < 1)):
                given = (patterns, targets[i])
                if here.parametrisation == "free":
                    found = largest_l2_margin(*given, own=i, excitatory=False)
                elif here.order == 1:
                    found = largest_l2_margin(*given, own=i, signs=here.signs)
                else:
                    found = largest_l1_margin(*given, own=i, signs=here.signs)
                best[k, s, i] = found.margin
    return Dataset({"best": (("kind", "seed", "row"), best)}, {"kind": list(KINDS)})


def reached(data: Dataset) -> DataArray:
    """Share of the exact optimum, mean over neurons and seeds."""
    return over_seeds(over_rows(data.ratio / data.best, data.valid))


@claim("linear and quadratic programmes", low=0.95, high=1 + 1e-3)
def no_neuron_is_above(data: Dataset) -> float:
    """No neuron is above the exact optimum of its signs (largest share)."""
    share = (data.ratio / data.best).where(data.valid, -np.inf)
    return float(share.max(skipna=False))


@claim(
    "linear and quadratic programmes; rates of the fast preset, 1.5 %",
    low=0.985,
    high=1 + 1e-3,
    each={"kind": KINDS[:3]},
)
def optimal(data: Dataset, kind: str) -> float:
    """{kind}: share of the exact optimum of q = 2/z with the same signs."""
    return float(reached(data).sel(kind=kind))


@claim(
    "Krauth & Mezard 1987; the threshold's rate leaves half a percent",
    low=0.97,
    high=1 + 1e-3,
)
def minover(data: Dataset) -> float:
    """Free signs: share of the largest margin over the norm, of any weights."""
    return float(reached(data).sel(kind="free (minover)"))


@claim("theory: inhibition is the complement of a pattern", low=0.0, high=0.1)
def signs_cost_nothing(data: Dataset) -> float:
    """z = 2, f = 1/2: half of the inputs inhibitory; change of the mean ratio."""
    mean = over_seeds(over_rows(data.ratio, data.valid))
    return abs(float(mean.sel(kind=KINDS[1]) / mean.sel(kind=KINDS[0])) - 1)


def draw_signs(data: Dataset) -> Figure:
    """Share of the exact optimum, and density, of every kind of synapses."""
    figure, ((left, right),) = panels(1, 2, 3.9, 2.9)
    place = np.arange(len(KINDS))[::-1]
    for panel, part, color in (
        (left, over_rows(data.ratio / data.best, data.valid), SHADES[0]),
        (right, over_rows(data.density, data.valid), SHADES[1]),
    ):
        rows = part.transpose("kind", "seed").values
        panel.barh(place, rows.mean(axis=1), 0.7, color=color)
        panel.plot(rows, place, ".", color="black", ms=4)
    left.axvline(1, ls="--", **LAW)
    left.set(xlabel="margin over norm / exact optimum")
    left.set_yticks(place, KINDS)
    right.set(xlabel="density of synapses")
    right.set_yticks(place, [])
    return figure


SIGNS = Experiment(
    name="signs",
    source="beyond the paper",
    shows="inhibitory inputs cost nothing; replay reaches every optimum of fixed signs",
    config=Config,
    run=consolidated,
    claims=(no_neuron_is_above, optimal, minover, signs_cost_nothing),
    figure=draw_signs,
    control=changed(policy="random", cycles=lambda config: config.cycles // 100),
    axes={
        "ratio": {"kind": KINDS} | ROW,
        "density": {"kind": KINDS} | ROW,
        "valid": ROW,
    },
    predict=optima,
)
