"""Figure 4: homeostasis of factors scales the weights of a neuron by one number."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Bool, Float, Key
from matplotlib.figure import Figure

from .... import Scalar, simulate, State
from ....circuits import Memories
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import degenerate
from ....numerics import power
from ....synapses import Factored, HomeostaticScaling, Product
from ..config import build, Config, of_order, require_products, sleep
from ..domains import living, living_share
from ..fluctuations import line


Weights = Float[Array, "row n"]
ORDERS = (1, 2, 3)
REPLAYED = 2  # the order at which replay goes on
RATIOS = (0.25, 0.5, 2.0, 4.0)  # of targets, L'/L


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
    slope, intercept = (_mean(rows, counted) for rows in both)
    return slope, intercept


def _mean(rows: Float[Array, " row"], counted: Bool[Array, " row"]) -> Scalar:
    share = counted.astype(rows.dtype)
    return jnp.sum(jnp.where(counted, rows, 0.0)) / jnp.sum(share)


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
    mean = _mean(sums, counted)
    return jnp.sqrt(_mean((sums - mean) ** 2, counted)) / mean


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
    task: Any = system.task
    memories = task.stimulus
    steps = config.cycles
    end, _ = simulate(system, state, for_run, steps=steps, every=steps)
    counted = ~degenerate(memories.targets, memories.stored)
    return Night(config, memories, state.synapses, end, counted)


def at_target(night: Night, ratio: Scalar) -> Weights:
    """Weights after homeostasis alone, with a target `ratio` times as large."""
    scaling = HomeostaticScaling(ratio * night.config.target)
    return Product().weights(scaling(night.after.synapses).factors)


def replayed(night: Night, ratio: Scalar, key: Key[Array, ""]) -> Weights:
    """Weights after as much sleep again, with a target `ratio` times as large."""
    config = night.config
    target = ratio * config.target_per_input
    config = dataclasses.replace(config, target_per_input=target)
    system, _ = sleep(config, night.memories, night.after.synapses)
    steps = config.cycles
    end, _ = simulate(system, night.after, key, steps=steps, every=steps)
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
        after = jax.lax.map(jax.tree_util.Partial(at_target, night), ratios)
        slope, intercept = against(weights, after, counted)
        moved = jax.vmap(shifted, (None, 0))(weights, ratios)
        shift_slope, shift_intercept = against(weights, moved, counted)
        seen.append(
            {
                "slope": slope,
                "intercept": intercept,
                "shift_slope": shift_slope,
                "shift_intercept": shift_intercept,
                "variation": jnp.stack(
                    [norm_variation(w, order, counted) for w in (before, weights)]
                ),
                "first": ranked(weights)[0],
                "then": jax.vmap(ranked)(after)[:, 0],
            }
        )
        if order == REPLAYED:
            again = jax.vmap(lambda x, night=night: replayed(night, x, for_replay))
            replay, _ = against(weights, again(ratios), counted)
    return {**jax.tree.map(lambda *x: jnp.stack(x), *seen), "replay_slope": replay}


def predict(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""The slope $(L'/L)^{z/2}$, exact, and the coordinates."""
    del plan, keys
    orders, ratios = np.array(ORDERS), np.array(RATIOS)
    return xarray.Dataset(
        {"predicted": (("order", "ratio"), ratios[None] ** (orders[:, None] / 2))},
        {"order": orders, "ratio": ratios, "moment": ["before", "after"]},
    )


def unscaled(plan: Plan) -> Plan:
    """Negative control: a short sleep without homeostasis, before weights explode."""
    cycles = min(plan.config.cycles, 100)
    return plan._replace(
        config=dataclasses.replace(plan.config, scaling="none", cycles=cycles)
    )


def scaling_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """All weights of a neuron scale by one number, and their norm is held."""
    mean = data.mean("seed", skipna=False)
    largest = lambda values: float(abs(values).max(skipna=False))
    law = mean.predicted.sel(order=REPLAYED)
    spread = lambda data: float(data.variation.sel(moment="after").max(skipna=False))
    return [
        Claim(
            "ranked weights before and after a new target L': slope (L'/L)^(z/2) "
            "(largest relative error, all z); control: all weights shifted",
            "Fig. 4; theory, to rounding",
            largest(mean.slope / mean.predicted - 1),
            0.0,
            1e-3,
            control=largest(mean.shift_slope / mean.predicted - 1),
        ),
        Claim(
            "that line goes through the origin (largest intercept, mean weights); "
            "control: all weights shifted",
            "Fig. 4; theory, to rounding",
            largest(mean.intercept),
            0.0,
            1e-3,
            control=largest(mean.shift_intercept),
        ),
        Claim(
            "z = 2, replay goes on under the new target: the same slope (largest "
            "relative error); control: all weights shifted",
            "Fig. 4; theory: the optimum has no scale; within 5 %",
            largest(mean.replay_slope / law - 1),
            0.0,
            0.05,
            control=largest(mean.shift_slope.sel(order=REPLAYED) / law - 1),
        ),
        Claim(
            "after sleep all neurons have the same norm of exponent 2/z (largest "
            "variation of sum w^(2/z)); control: no homeostasis",
            "specification: below .001",
            spread(data),
            0.0,
            1e-3,
            control=spread(control),
        ),
        Claim(
            "z = 2: sleep makes that norm alike (variation before over after)",
            "specification: larger before",
            float(
                mean.variation.sel(order=2, moment="before")
                / mean.variation.sel(order=2, moment="after")
            ),
            1.0,
            math.inf,
        ),
    ]


def draw_scaling(data: xarray.Dataset) -> Figure:
    """Figure 4: ranked weights before and after a new target, and their slopes."""
    figure, axes = panels(1, 3, 3.5, 2.9)
    ranks, slope, norm = axes[0]
    here = data.isel(seed=0).sel(order=2)
    unit = float(here["first"].where(here["first"] > 0).mean())
    for ratio, color in zip(data.ratio.values, SHADES, strict=False):
        style = {"ms": 3, "color": color, "label": f"L'/L = {ratio:g}"}
        ranks.plot(
            here["first"] / unit, here.then.sel(ratio=ratio) / unit, "o", **style
        )
        ends = np.array([0.0, float(here["first"].max()) / unit])
        ranks.plot(
            ends, float(here.predicted.sel(ratio=ratio)) * ends, color=color, lw=1
        )
    ranks.set(xlabel="weight before (mean)", ylabel="weight after (mean)")
    ranks.set_title("One neuron, z = 2, by rank")
    ranks.legend(frameon=False, fontsize="x-small")
    for order, color in zip(data.order.values, SHADES, strict=False):
        mean = data.sel(order=order).mean("seed")
        slope.loglog(
            data.ratio, mean.slope, "o", ms=4, color=color, label=f"z = {order}"
        )
        slope.plot(data.ratio, mean.predicted, color=color, lw=1)
        spread = mean.variation.sel(moment=["before", "after"])
        norm.semilogy([0, 1], spread, "o-", ms=4, color=color, label=f"z = {order}")
    again = data.replay_slope.mean("seed")
    slope.plot(
        data.ratio, again, "x", ms=7, color="black", label="z = 2, replay goes on"
    )
    moved = data.shift_slope.mean(["seed", "order"])
    slope.plot(data.ratio, moved, ":", color=THEORY, label="if all were shifted")
    ratios = data.ratio.values
    slope.set_xticks(ratios, [f"{x:g}" for x in ratios])
    slope.set_yticks([0.125, 0.5, 1, 2, 8], ["0.125", "0.5", "1", "2", "8"])
    slope.minorticks_off()
    slope.set(xlabel="new over old target L'/L", ylabel="slope of ranked weights")
    slope.set_title("Lines: (L'/L)^(z/2)")
    slope.legend(frameon=False, fontsize="x-small")
    norm.set_xticks([0, 1], ["before sleep", "after sleep"])
    norm.set(ylabel="variation of sum w^(2/z)", xlim=(-0.3, 1.3), title="Over neurons")
    norm.legend(frameon=False, fontsize="x-small")
    return figure


FIG4_SCALING = Experiment(
    name="fig4_scaling",
    source="Fig. 4",
    shows="homeostasis of factors scales all weights of a neuron by one number",
    config=Config,
    run=rescaled,
    claims=scaling_claims,
    figure=draw_scaling,
    control=unscaled,
    dims={
        "slope": ("order", "ratio"),
        "intercept": ("order", "ratio"),
        "shift_slope": ("order", "ratio"),
        "shift_intercept": ("order", "ratio"),
        "replay_slope": ("ratio",),
        "variation": ("order", "moment"),
        "first": ("order", "input"),
        "then": ("order", "ratio", "input"),
    },
    predict=predict,
)
