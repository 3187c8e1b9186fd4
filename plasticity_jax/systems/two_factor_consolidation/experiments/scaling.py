"""Figure 4: homeostasis of factors scales the weights of a neuron by one number."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import Scalar, State
from ....circuits import Memories
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan
from ....numerics import power
from ....synapses import Factored, HomeostaticScaling, Product
from ..config import Config, of_order, require_products
from ..domains import living, living_share, mean_over
from ..fluctuations import line
from ..networks import after, build, sleep, stored_in, valid_rows
from .shared import LAW, legends, shaded, stacked, WHEN


Weights = Float[Array, "row n"]
ORDERS = (1, 2, 3)
REPLAYED = 2  # the order at which replay goes on
RATIOS = (0.25, 0.5, 2.0, 4.0)  # of targets, L'/L
SLOPES = ("slope", "intercept", "shift_slope", "shift_intercept")


def ranked(weights: Weights) -> Weights:
    """Every neuron's weights, the largest first."""
    return -jnp.sort(-weights, axis=1)


def rank_lines(
    before: Weights, after: Weights, counted: Bool[Array, " row"]
) -> tuple[Scalar, Scalar]:
    """Ranked weights `after` against those `before`: mean slope and intercept.

    A line for every neuron that counts, through its synapses that lived before; the
    intercept in units of their mean weight.
    """
    lost = jnp.any(jnp.isnan(before + after), axis=1)  # of no rank
    before, after = ranked(before), ranked(after)
    slope, intercept = jax.vmap(line)(before, after, living(before))
    share = living_share(before)
    size = jnp.sum(share * before, axis=1) / jnp.sum(share, axis=1)
    both = (jnp.where(lost, jnp.nan, x) for x in (slope, intercept / size))
    slope, intercept = (mean_over(counted, rows) for rows in both)
    return slope, intercept


def shifted(weights: Weights, ratio: Scalar) -> Weights:
    """The contrast: living weights of a neuron shifted to `ratio` times their mean."""
    share = living_share(weights)
    total = jnp.sum(share * weights, axis=1, keepdims=True)
    shift = (ratio - 1) * total / jnp.sum(share, axis=1, keepdims=True)
    return jnp.maximum(weights + shift * share, 0.0)


def norm_variation(
    weights: Weights, order: int, counted: Bool[Array, " row"]
) -> Scalar:
    r"""Coefficient of variation over neurons of $\sum_jw_{ij}^{2/z}$."""
    sums = jnp.sum(power(weights, 2 / order), axis=1)
    mean = mean_over(counted, sums)
    return jnp.sqrt(mean_over(counted, (sums - mean) ** 2)) / mean


class Night(NamedTuple):
    """Synapses before and after sleep, and the rows that count."""

    config: Config
    memories: Memories
    before: Factored
    after: State
    counted: Bool[Array, " row"]


def slept(config: Config, key: Key[Array, ""]) -> Night:
    """Consolidate random patterns from random synapses, products of factors."""
    require_products(config)
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    memories, end = stored_in(system), after(system, state, for_run, config.cycles)
    return Night(config, memories, state.synapses, end, valid_rows(memories))


def at_target(night: Night, ratio: Scalar) -> Weights:
    """Weights after homeostasis alone, with a target `ratio` times as large."""
    scaling = HomeostaticScaling(ratio * night.config.target)
    return Product().weights(scaling(night.after.synapses).factors)


def replayed(night: Night, ratio: Scalar, key: Key[Array, ""]) -> Weights:
    """Weights after as much sleep again, with a target `ratio` times as large."""
    target = ratio * night.config.target_per_input
    config = dataclasses.replace(night.config, target_per_input=target)
    system, _ = sleep(config, night.memories, night.after.synapses)
    end = after(system, night.after, key, config.cycles)
    return Product().weights(end.synapses.factors)


def rescaled(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Neurons consolidated with each of `ORDERS`, then given the target $L'$.

    `slope` and `intercept` (order, ratio) of ranked weights after scaling alone;
    `shift_slope`, `shift_intercept` (order, ratio) if all were shifted instead;
    `replay_slope` (ratio) if replay goes on under the new target, two factors.
    `variation` (order, moment) of what homeostasis holds, before and after sleep.
    `first` (order, input), `then` (order, ratio, input): ranked weights of one neuron.
    """
    for_sleep, for_replay = jr.split(key)
    ratios = jnp.asarray(RATIOS)
    against = jax.vmap(rank_lines, (None, 0, None))
    seen, replay = [], ratios
    for order in ORDERS:
        night = slept(of_order(config, order, scaling=config.scaling), for_sleep)
        before, counted = Product().weights(night.before.factors), night.counted
        weights = Product().weights(night.after.synapses.factors)
        then = jax.lax.map(jax.tree_util.Partial(at_target, night), ratios)
        lines = against(weights, then, counted)
        moved = jax.vmap(shifted, (None, 0))(weights, ratios)
        lines += against(weights, moved, counted)
        spread = [norm_variation(w, order, counted) for w in (before, weights)]
        ranks = {"first": ranked(weights)[0], "then": jax.vmap(ranked)(then)[:, 0]}
        lines = dict(zip(SLOPES, lines, strict=True))
        seen.append(lines | ranks | {"variation": jnp.stack(spread)})
        if order == REPLAYED:
            again = jax.vmap(lambda x, night=night: replayed(night, x, for_replay))
            replay, _ = against(weights, again(ratios), counted)
    return stacked(seen) | {"replay_slope": replay}


def predict(plan: Plan, keys: Any) -> Dataset:
    r"""The slope $(L'/L)^{z/2}$, exact."""
    del plan, keys
    axes = {"order": np.array(ORDERS), "ratio": np.array(RATIOS)}
    slopes = axes["ratio"] ** (axes["order"][:, None] / 2)
    return Dataset({"predicted": (tuple(axes), slopes)}, axes)


# --- weights scale by one number (control: they are shifted), their norm is held ------


def off(data: Dataset, name: str) -> float:
    """Largest error of a slope of ranked weights, relative, or of an intercept."""
    mean = over_seeds(data[name])
    error = mean if "intercept" in name else mean / data.predicted - 1
    return float(abs(error).max(skipna=False))


@claim(
    "Fig. 4; theory, to rounding",
    low=0.0,
    high=1e-3,
    control=lambda data, control, name: off(data, f"shift_{name}"),
    each={"name": ("slope", "intercept")},
)
def scaled_by_one_number(data: Dataset, name: str) -> float:
    """Ranked weights before and after a new target L' lie on a line of slope
    (L'/L)^(z/2) through the origin: {name} (largest error, all z; relative, or in mean
    weights).
    """
    return off(data, name)


@claim(
    "Fig. 4; theory: the optimum has no scale; within 5 %",
    low=0.0,
    high=0.05,
    control=lambda data, control: off(data.sel(order=REPLAYED), "shift_slope"),
)
def replay_keeps_the_slope(data: Dataset) -> float:
    """z = 2, replay goes on at the new target: same slope (largest relative error)."""
    return off(data.sel(order=REPLAYED), "replay_slope")


@claim("specification: below .001", low=0.0, high=1e-3)
def norms_are_alike(data: Dataset) -> float:
    """After sleep all neurons have the same norm of exponent 2/z (largest variation of
    sum w^(2/z)).
    """
    return float(over_seeds(data.variation).sel(moment="after").max(skipna=False))


@claim("specification: larger before", low=1.0, control=None)
def sleep_makes_them_alike(data: Dataset) -> float:
    """z = 2: sleep makes that norm alike (variation before over after)."""
    variation = over_seeds(data.variation).sel(order=2)
    return float(variation.sel(moment="before") / variation.sel(moment="after"))


def draw_scaling(data: Dataset) -> Figure:
    """Figure 4: ranked weights before and after a new target, and their slopes."""
    figure, (row,) = panels(1, 3, 3.5, 2.9)
    ranks, slope, norm = row
    here, ratios, mean = data.isel(seed=0).sel(order=2), data.ratio, data.mean("seed")
    unit = float(here["first"].where(here["first"] > 0).mean())
    first = here["first"] / unit
    ends = np.array([0.0, float(here["first"].max()) / unit])
    for ratio, color in shaded(ratios.values):
        at, label = here.sel(ratio=ratio), f"L'/L = {ratio:g}"
        ranks.plot(first, at.then / unit, "o", ms=3, color=color, label=label)
        ranks.plot(ends, float(at.predicted) * ends, color=color, lw=1)
    ranks.set(xlabel="weight before (mean)", ylabel="weight after (mean)")
    ranks.set_title("One neuron, z = 2, by rank")
    for order, color in shaded(data.order.values):
        of, look = mean.sel(order=order), {"color": color, "label": f"z = {order}"}
        slope.loglog(ratios, of.slope, "o", ms=4, **look)
        slope.plot(ratios, of.predicted, color=color, lw=1)
        norm.semilogy([0, 1], of.variation, "o-", ms=4, **look)
    look = {"ms": 7, "color": "black", "label": "z = 2, replay goes on"}
    slope.plot(ratios, mean.replay_slope, "x", **look)
    moved = data.shift_slope.mean(["seed", "order"])
    slope.plot(ratios, moved, ":", label="if all were shifted", **LAW)
    slope.set_xticks(ratios.values, [f"{x:g}" for x in ratios.values])
    slope.set_yticks([0.125, 0.5, 1, 2, 8], ["0.125", "0.5", "1", "2", "8"])
    slope.minorticks_off()
    slope.set(xlabel="new over old target L'/L", ylabel="slope of ranked weights")
    slope.set_title("Lines: (L'/L)^(z/2)")
    norm.set_xticks([0, 1], [f"{moment} sleep" for moment in data.moment.values])
    norm.set(ylabel="variation of sum w^(2/z)", xlim=(-0.3, 1.3), title="Over neurons")
    legends(row)
    return figure


ORDER, RATIO, INPUT = {"order": ORDERS}, {"ratio": RATIOS}, {"input": None}
FIG4_SCALING = Experiment(
    name="fig4_scaling",
    source="Fig. 4",
    shows="homeostasis of factors scales all weights of a neuron by one number",
    config=Config,
    run=rescaled,
    claims=(
        scaled_by_one_number,
        replay_keeps_the_slope,
        norms_are_alike,
        sleep_makes_them_alike,
    ),
    figure=draw_scaling,
    # no homeostasis, for a short sleep: weights explode in a longer one
    control=changed(scaling="none", cycles=lambda config: min(config.cycles, 100)),
    axes={
        **dict.fromkeys(SLOPES, ORDER | RATIO),
        "replay_slope": RATIO,
        "variation": ORDER | {"moment": WHEN["when"]},
        "first": ORDER | INPUT,
        "then": ORDER | RATIO | INPUT,
    },
    predict=predict,
)
