"""Figure 2, robustness: what one to four factors optimise, and how many survive."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State
from ....circuits import Memories
from ....experiment import claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import ALIVE, density, margins, noise_ratio, volatile_noise_ratio
from ....signals import ReplaySignals
from .. import capacity, theory
from ..config import Config
from ..networks import build, margins_and_weights, memories, stored_in, valid_rows
from ..recall import OBSERVED, observed
from . import oracle
from .oracle import ORDERS, over_positive, suited, summary
from .shared import legends, ROW, stacked


SMALL = {"frameon": False, "fontsize": "small"}
EXPONENTS = (2.0, 1.0, 2 / 3, 0.5)  # q of SNR_q
FLIPPED = 0.03  # f_noise / f of neural noise
VOLATILE = 0.2  # sigma / <u> of synaptic noise
SYNAPTIC = {1: 10.0, 2: 7.0}  # panel: ratio to synaptic noise at load .08, by z
BARS = {  # panel: SNR_q at load .08 for z = 1..4, relative to the best
    2.0: (1.0, 0.55, 0.38, 0.31),
    1.0: (0.63, 1.0, 0.88, 0.81),
    2 / 3: (0.18, 0.80, 1.0, 0.98),
    0.5: (0.03, 0.52, 0.93, 1.0),
}


def record_ratios(
    stored: Memories, state: State, signals: ReplaySignals, changes: dict[str, Any]
) -> Float[Array, "norm row"]:
    r"""$\mathrm{SNR}_1$ and $\mathrm{SNR}_2$ before the step."""
    del state, changes
    margin = margins(signals.fields, stored.targets, stored.stored)
    return jnp.stack([noise_ratio(margin, signals.weights, q) for q in (1.0, 2.0)])


def consolidated(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""One number of factors: all begins or ends with the axis `row`.

    `ratio` (exponent, row) $\mathrm{SNR}_q$; `neural` and `synaptic` (row,) ratios to
    neural noise of `FLIPPED` $f$ and to synaptic noise of `VOLATILE` of the mean
    factor; `density` (row,) of weights above a thousandth of the largest; `course`
    (time, norm, row) of $\mathrm{SNR}_1$ and $\mathrm{SNR}_2$.
    """
    for_build, for_run = jr.split(key)
    (system, state), f = build(config, for_build), config.coding_level
    watch = jax.tree_util.Partial(record_ratios, stored_in(system))
    n, every = config.cycles, config.cycles // oracle.CHECKPOINTS
    end, course = simulate(system, state, for_run, steps=n, record=watch, every=every)
    margin, weights = margins_and_weights(system, end)
    seen = dataclasses.replace(end, synapses=observed(end.synapses))
    order, both = config.order, margins_and_weights(system, seen)
    synaptic = volatile_noise_ratio(*both, order, ALIVE * OBSERVED**order)
    second = noise_ratio(margin, weights, 2.0)
    return {
        "ratio": jnp.stack([noise_ratio(margin, weights, q) for q in EXPONENTS]),
        "neural": theory.neural_noise_ratio(second, FLIPPED * f),
        "synaptic": theory.synaptic_noise_ratio(synaptic, VOLATILE * OBSERVED, f),
        "density": density(weights),
        "course": course,
    }


def ratios(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`consolidated` for every number of factors, on the same patterns.

    Every result begins with the axis `order`; `valid` (row,) marks neurons that are not
    degenerate.
    """
    each = [consolidated(suited(config, order), key) for order in ORDERS]
    stored = memories(config, jr.split(jr.split(key)[0])[0])
    return stacked(each) | {"valid": valid_rows(stored)}


def optima(plan: Plan, keys: Any) -> Dataset:
    """Exact optima of the same instances, and the theory of many inputs."""
    config, loads = plan.config, np.asarray(plan.grid["load"])
    of_load = lambda load: dataclasses.replace(config, load=load)
    each = [oracle.oracles(of_load(load), keys, suited(config, 2)) for load in loads]
    found = {name: np.stack([one[name] for one in each]) for name in each[0]}
    level, powers = float(config.coding_level), (2, 1)
    kappa = np.stack([capacity.robustness(loads, level, q, norm=2) for q in powers])
    kappa = jnp.asarray(kappa * (level * (1 - level)) ** 0.5)
    neural = np.asarray(theory.neural_noise_ratio(kappa, FLIPPED * level))
    dense = np.stack([capacity.density(loads, level, q) for q in powers])
    laws = {"neural_law": neural, "density_law": dense}
    rows = {name: (("load", "seed", "row"), x) for name, x in found.items()}
    rows |= {name: (("solved", "load"), x) for name, x in laws.items()}
    return Dataset(rows, {"load": loads, "solved": [1, 2], "coding_level": level})


# --- which norm each number of factors optimises, and how well ------------------------


def at_the_lowest_load(data: Dataset, q: float, order: int, other: int) -> float:
    r"""$\mathrm{SNR}_q$ of a number of factors over that of another."""
    row = summary(data).ratio.sel(exponent=q).isel(load=0)
    return float(over_positive(row.sel(order=order), row.sel(order=other)))


def lead(data: Dataset, exponents: list[float], first: list[int]) -> float:
    """Least over the best of the other numbers of factors, at the lowest load."""
    rows = summary(data).ratio.sel(exponent=exponents).isel(load=0)
    best = rows.drop_sel(order=first).max("order", skipna=False)
    own = rows.sel(order=first).min("order", skipna=False)
    return float(over_positive(own, best).min(skipna=False))


@claim("Fig. 2; panel 0.55, theory T7", low=0.553 - 0.06, high=0.553 + 0.06)
def two_factors_under_squares(data: Dataset) -> float:
    """SNR_2 at the lowest load: z = 2 over z = 1."""
    return at_the_lowest_load(data, 2.0, 2, 1)


@claim("Fig. 2; panel 0.63, theory T7", low=0.645 - 0.06, high=0.645 + 0.06)
def one_factor_under_sums(data: Dataset) -> float:
    """SNR_1 at the lowest load: z = 1 over z = 2."""
    return at_the_lowest_load(data, 1.0, 1, 2)


@claim("Fig. 2", low=1.02)
def one_factor_leads(data: Dataset) -> float:
    """SNR_2 at the lowest load: z = 1 over the best other."""
    return lead(data, [2.0], [1])


@claim("Fig. 2", low=1.02)
def two_factors_lead(data: Dataset) -> float:
    """SNR_1 at the lowest load: z = 2 over the best other."""
    return lead(data, [1.0], [2])


@claim("Fig. 2", low=1.02)
def more_factors_lead(data: Dataset) -> float:
    """SNR_2/3 and SNR_1/2: the least of z = 3, 4 over 1, 2."""
    return lead(data, [2 / 3, 0.5], [3, 4])


# --- ratios to noise against load, in numbers of the paper and of theory --------------


def least_fall(levels: DataArray, dim: str) -> float:
    """Least ratio of a level to the next one along a dimension."""
    later = levels.shift({dim: -1}).isel({dim: slice(-1)})
    return float(over_positive(levels.isel({dim: slice(-1)}), later).min(skipna=False))


def few_over_many(levels: DataArray) -> float:
    """The least of one and two factors over three and four, at the lowest load."""
    low = levels.isel(load=0).sel(order=[1, 2]).min(skipna=False)
    many = levels.isel(load=0).sel(order=[3, 4]).max(skipna=False)
    return float(over_positive(low, many))


@claim(
    "Fig. 2; theory T7, finite size 4 % (verify), two standard errors of 2 %",
    low=0.0,
    high=0.08,
    each={"order": (1, 2)},
)
def neural_ratio(data: Dataset, order: int) -> float:
    """z = {order}: ratio to neural noise is theory's (largest error, loads < 0.34)."""
    means = summary(data)
    both = means.neural.sel(order=order) / means.neural_law.sel(solved=order)
    easy = both.where(both["load"] < oracle.EASY, drop=True)
    return float(abs(easy - 1).max(skipna=False))


@claim("Fig. 2", low=1.0, each={"axis": ("load", "order")})
def neural_ratio_falls(data: Dataset, axis: str) -> float:
    """The ratio to neural noise falls with every step of the {axis} (least ratio)."""
    return least_fall(summary(data).neural, axis)


@claim(
    "Fig. 2, panel 10 (z = 1) and 7 (z = 2), within 15 %",
    low=lambda data, control, order: 0.85 * SYNAPTIC[order],
    high=lambda data, control, order: 1.15 * SYNAPTIC[order],
    each={"order": tuple(SYNAPTIC)},
)
def synaptic_ratio(data: Dataset, order: int) -> float:
    """z = {order}: ratio to synaptic noise of 0.2 of the mean factor, lowest load."""
    return float(summary(data).synaptic.sel(order=order).isel(load=0))


@claim("Fig. 2; specification", low=1.5)
def few_factors_under_synaptic_noise(data: Dataset) -> float:
    """Ratio to synaptic noise, lowest load: the least of z = 1, 2 over 3, 4."""
    return few_over_many(summary(data).synaptic)


# --- how many synapses survive, against load, theory and bound ------------------------


@claim(
    "Fig. 2; theory T7; at N = 500 within .03 (slow tail)",
    low=0.0,
    high=0.03,
    each={"order": (1, 2)},
)
def density_of_theory(data: Dataset, order: int) -> float:
    """z = {order}: density of synapses is theory's (largest difference, all loads)."""
    means = summary(data)
    gap = means.density.sel(order=order) - means.density_law.sel(solved=order)
    return float(abs(gap).max(skipna=False))


def several(data: Dataset) -> DataArray:
    """Density of synapses of two and more factors."""
    return summary(data).density.sel(order=[2, 3, 4])


@claim("Fig. 2", low=0.0, control=None)
def density_grows(data: Dataset) -> float:
    """z = 2, 3, 4: density grows with every step of the load (least rise)."""
    return float(several(data).diff("load").min(skipna=False))


@claim("Fig. 2, panel 5 and above", low=3.0)
def denser_at_the_highest_load(data: Dataset) -> float:
    """z = 2, 3, 4: density at the highest load over that at the lowest (least)."""
    rows = several(data)
    return float((rows.isel(load=-1) / rows.isel(load=0)).min(skipna=False))


@claim("Fig. 2; theory has no unique optimum for z = 3, 4", low=0.0, high=1.0)
def sparser_with_every_factor(data: Dataset) -> float:
    """Density at loads below 0.34, each z over the one below (largest); not so above,
    where z = 4 keeps more than z = 3.
    """
    rows = summary(data).density.transpose("order", "load").values
    rows = rows[:, data["load"].values < oracle.EASY]
    return float(np.max(rows[1:] / rows[:-1]))


@claim("Fig. 2; theory T7, no solutions", low=0.0, control=None)
def spare_load(data: Dataset) -> float:
    """No density below that which the load needs (least spare load)."""
    shares = summary(data).density.transpose("order", "load").values
    if np.any(np.isnan(shares)):
        return math.nan
    shares = np.clip(shares, 1e-6, 1 - 1e-6)
    bound = capacity.load_bound(shares, float(data.coding_level))
    return float(np.min(bound - data["load"].values))


def draw_ratios(data: Dataset) -> Figure:
    """Bars of SNR by norm; ratios to noise, density and the optimum's share by load."""
    seen, loads = summary(data), data["load"].values
    figure, axes = panels(2, 3, 3.7, 2.9)
    bars, neural, synaptic, density, reached, course = axes.ravel()
    _bars(bars, seen)
    for k, order in enumerate(data.order.values):
        row, style = seen.sel(order=order), {"color": SHADES[k], "ms": 4}
        neural.plot(loads, row.neural, "o-", label=f"z = {order}", **style)
        synaptic.plot(loads, row.synaptic, "o-", **style)
        density.plot(loads, row.density, "o-", **style)
    neural.plot(loads, data.neural_law.transpose("load", ...), "--", color=THEORY)
    density.plot(loads, data.density_law.transpose("load", ...), "--", color=THEORY)
    neural.plot([], [], "--", color=THEORY, label="theory, z = 1, 2")
    density.plot(loads, seen.best_density, "x", color="black", label="exact, q = 1")
    neural.set(ylabel="margin / neural noise")
    synaptic.set(ylabel="margin / synaptic noise")
    density.set(ylabel="density of synapses", ylim=(0, 0.75))
    for order, norm in ((1, 2), (2, 1)):
        row, color = seen.sel(order=order, norm=norm), SHADES[order - 1]
        label = f"z = {order}, q = {norm}"
        reached.plot(loads, row.reached, "o-", color=color, ms=4, label=label)
        for load, style in zip(loads[[0, -1]], ("-", ":"), strict=True):
            gap = np.maximum(1 - row.course.sel(load=load), 1e-4)
            label = f"z = {order}, load {load:g}"
            course.loglog(data.time, gap, style, color=color, label=label)
            if order == 2 and style == "-":
                law = 1 - float(seen.stationary.sel(load=load))
                label = "theory, first rates, z = 2"
                course.axhline(law, color=THEORY, ls="--", label=label)
    reached.axhline(1, color=THEORY, ls="--")
    reached.set(ylabel="SNR / exact optimum")
    course.set(xlabel="cycles", ylabel="relative gap to the optimum")
    course.set_ylim(top=30)
    for panel in (neural, synaptic, density, reached):
        panel.set_xlabel("load (patterns per input)")
    legends((neural, density, reached, course), **SMALL)
    return figure


def _bars(panel: Axes, seen: Dataset) -> None:
    """SNR at the lowest load relative to the best number of factors; the paper's."""
    lowest = seen.ratio.isel(load=0)
    share, norms = lowest / lowest.max("order"), seen.exponent.values
    place = np.arange(len(norms))
    for k, order in enumerate(seen.order.values):
        at, row = place + 0.2 * (k - 1.5), share.sel(order=order)
        panel.bar(at, row, 0.18, color=SHADES[k], label=f"z = {order}")
        panel.plot(at, [BARS[q][k] for q in norms], "_", color="black", ms=8)
    panel.plot([], [], "_", color="black", ms=8, label="paper")
    panel.set_xticks(place, [f"{q:.2g}" for q in norms])
    panel.set(xlabel="norm q", ylabel="$\\mathrm{SNR}_q$ / best", ylim=(0, 1.6))
    panel.legend(ncols=3, **SMALL)


BY_ORDER = {"order": ORDERS} | ROW
FIG2 = Experiment(
    name="fig2",
    source="Figure 2",
    shows="z factors maximise the margin over the norm of order 2/z, and prune alike",
    config=Config,
    run=ratios,
    claims=(
        *(two_factors_under_squares, one_factor_under_sums),
        *(one_factor_leads, two_factors_lead, more_factors_lead),
        *(neural_ratio, neural_ratio_falls, synaptic_ratio),
        few_factors_under_synaptic_noise,
        *(density_of_theory, density_grows, denser_at_the_highest_load),
        *(sparser_with_every_factor, spare_load),
        *(
            oracle.no_neuron_is_above,
            oracle.reaches_the_optimum,
            oracle.gap_of_constant_rates,
        ),
    ),
    figure=draw_ratios,
    control=oracle.random_replay,
    axes={
        "ratio": {"order": ORDERS, "exponent": EXPONENTS} | ROW,
        **dict.fromkeys(("neural", "synaptic", "density"), BY_ORDER),
        "course": {"order": ORDERS} | oracle.TIME | {"norm": (1, 2)} | ROW,
        "valid": ROW,
    },
    predict=optima,
)
