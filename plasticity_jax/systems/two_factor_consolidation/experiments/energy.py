r"""Beyond the paper: what robustness costs, in energy of the synapses.

A neuron may scale its weights until its margin is 1, which noise of a given size asks
for. What its n living synapses then take is $a$ for each and $b$ for each unit of
weight: $an + b\|w\|_1/m$. The second term is $b/\mathrm{SNR}_1$, which two factors make
least; they need fewer synapses than one, too. One factor buys more robustness to noise
of the inputs with that energy.
"""

import functools
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, Experiment, over_seeds, panels, Plan
from ....measure import metabolic_cost, noise_ratio
from .. import capacity
from ..config import Config
from ..domains import mean_over, unless_lost
from ..networks import after, build, margins_and_weights, stored_in, valid_rows
from .oracle import over_positive, random_replay, suited
from .shared import LAW, shaded, stacked, TINY


ORDERS = (1, 2, 3)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the energy of two factors that stands


def paid(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""What a margin of 1 takes and buys, for every number of factors.

    Means over neurons, all (order,): `transmission` $\|w\|_1/m$, 0 where not all
    patterns are stored; number of `synapses`; `neural` robustness $\mathrm{SNR}_2$.
    """
    for_build, for_run = jr.split(key)

    def of_order(order: int) -> dict[str, Array]:
        here = suited(config, order)
        system, state = build(here, for_build)
        end = after(system, state, for_run, here.cycles)
        margin, weights = margins_and_weights(system, end)
        counted = valid_rows(stored_in(system))
        mean = functools.partial(mean_over, counted)
        held = jnp.all((margin > 0) | ~counted)
        price = mean(metabolic_cost(weights) / jnp.where(held, margin, 1.0))
        return {
            "transmission": unless_lost(jnp.where(held, price, 0.0), margin),
            "synapses": mean(metabolic_cost(weights, 1.0, 0.0)),
            "neural": mean(noise_ratio(margin, weights, 2.0)),
        }

    return stacked([of_order(order) for order in ORDERS])


def laws(plan: Plan, keys: Any) -> Dataset:
    """Many inputs: both ratios of one factor over two (load,)."""
    del keys
    loads, level = np.asarray(plan.grid["load"]), float(plan.config.coding_level)
    of = lambda norm: [capacity.robustness(loads, level, q, norm=norm) for q in (2, 1)]
    sums, squares = of(1), of(2)
    found = {"price": sums[1] / sums[0], "gain": squares[0] / squares[1]}
    return Dataset({k: ("load", x) for k, x in found.items()}, {"load": loads})


def over_stored(values: DataArray) -> DataArray:
    """Mean over seeds; 0 if it is 0 in one of them, where a pattern is not stored."""
    return over_seeds(values).where((values != 0).all("seed"), 0.0)


def one_over_two(values: DataArray) -> DataArray:
    """One factor over two; 0 where not both are positive."""
    mean = over_stored(values)
    return over_positive(mean.sel(order=1), mean.sel(order=2))


def at_shares(data: Dataset) -> DataArray:
    """Energy of one factor over that of two (share, load), by the share of the energy
    of two that stands.
    """
    share, sent = DataArray(list(SHARES), dims="share"), one_over_two(data.transmission)
    total = share * one_over_two(data.synapses) + (1 - share) * sent
    return total.where(sent != 0, 0.0)


@claim("theory: two factors maximise SNR_1; control: random patterns replayed", low=1.0)
def two_factors_cost_least(data: Dataset) -> float:
    """Energy of transmission at a given margin: one or three factors, whichever take
    less, over two (least of loads).
    """
    mean = over_stored(data.transmission)
    ratio = over_positive(mean.drop_sel(order=2), mean.sel(order=2))
    return float(ratio.min(skipna=False))


@claim("theory: a sparse optimum of the same norm", low=1.0)
def whatever_stands(data: Dataset) -> float:
    """Energy at a given margin, one factor over two, whatever share of it maintains
    synapses (least of shares and loads).
    """
    return float(at_shares(data).min(skipna=False))


@claim("theory T7; finite size, 5 %", low=0.95, high=1.05)
def price_of_one_factor(data: Dataset) -> float:
    """Energy of transmission, one factor over two: the law of many inputs explains it
    (ratio to it, mean of loads).
    """
    return float((one_over_two(data.transmission) / data.price).mean(skipna=False))


@claim("theory T7; finite size, 5 %", low=0.95, high=1.05)
def what_it_buys(data: Dataset) -> float:
    """Robustness to noise of the inputs, one factor over two: the law of many inputs
    explains it (ratio to it, mean of loads).
    """
    return float((one_over_two(data.neural) / data.gain).mean(skipna=False))


@claim("theory: largest SNR_1 falls with load", low=1.0)
def memories_cost_energy(data: Dataset) -> float:
    """Two factors: energy of transmission at the highest load over the lowest."""
    mean = over_stored(data.transmission).sel(order=2)
    return float(over_positive(mean.isel(load=-1), mean.isel(load=0)))


def draw_energy(data: Dataset) -> Figure:
    """Energy and robustness by load; and by the share of energy that stands."""
    figure, ((trade, price, shares),) = panels(1, 3, 3.5, 2.9)
    mean = over_seeds(data)
    for load, color in shaded(data["load"].values):
        here = mean.sel(load=load)
        look = {"color": color, "label": f"load {load:g}"}
        trade.plot(here.transmission, here.neural, "o-", ms=4, **look)
        for order in ORDERS:
            at = here.sel(order=order)
            trade.annotate(f" z = {order}", (at.transmission, at.neural), fontsize=7)
        shares.plot(SHARES, at_shares(data).sel(load=load), "o-", ms=4, **look)
    for (name, law), color in shaded(
        (("transmission", data.price), ("neural", data.gain))
    ):
        price.plot(data["load"], one_over_two(data[name]), "o", color=color, label=name)
        price.plot(data["load"], law, "--", color=color)
    trade.set(xlabel="energy $\\|w\\|_1/m$", ylabel="SNR$_2$: robustness it buys")
    price.set(xlabel="load", ylabel="one factor over two", ylim=(0, None))
    shares.axhline(1.0, lw=0.7, **LAW)
    shares.set(xlabel="share of energy that stands", ylabel="energy, z = 1 over z = 2")
    for panel in (trade, price, shares):
        panel.legend(**TINY)
    return figure


ENERGY = Experiment(
    name="energy",
    source="beyond the paper",
    shows="two factors store at least energy; one buys robustness to input noise",
    config=Config,
    run=paid,
    claims=(
        *(two_factors_cost_least, whatever_stands, memories_cost_energy),
        *(price_of_one_factor, what_it_buys),
    ),
    figure=draw_energy,
    control=random_replay,
    axes={x: {"order": ORDERS} for x in ("transmission", "synapses", "neural")},
    predict=laws,
)
