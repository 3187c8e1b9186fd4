"""Figures 5 and 6: synapses that fluctuate by themselves."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig, Scalar, simulate, State, System
from ...._arguments import counted, real, require
from ....circuits import Resting
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    Plan,
    SHADES,
    standard_error,
)
from ....numerics import power
from ....rules import VolatileFactor
from ....tasks import Constant
from .. import fluctuations
from ..domains import unless_lost
from ..fluctuations import (
    Exponents,
    exponents,
    least,
    resampled_variations,
    shape,
    variations,
    Weights,
)
from .imaging import both_signs, imaged_weights, POINTS, SIGN
from .shared import LAW, legends, shaded, TINY


class Fluctuating(AbstractConfig):
    """`synapses` of one neuron, each with one volatile factor of `order` in all.

    Time runs in units of 10 min to `duration`, in steps of `step`; `samples` are taken
    1 apart at the end. `lag` in samples; `draws` of every bootstrap.
    """

    order: Scalar = eqx.field(default=2.0, converter=real)  # z
    noise: Scalar = eqx.field(default=0.05, converter=real)  # sigma_u
    slowness: Scalar = eqx.field(default=30.0, converter=real)  # tau
    bias: Scalar = eqx.field(default=0.1, converter=real)  # b
    homeostasis: Scalar = eqx.field(default=10.0, converter=real)  # gamma
    coupling: Scalar = eqx.field(default=0.0, converter=real)  # k
    coupled: bool = eqx.field(default=False, static=True)
    synapses: int = eqx.field(
        default=1000, static=True, converter=counted("synapses", 2)
    )
    step: float = eqx.field(default=0.005, static=True)
    duration: int = eqx.field(default=999, static=True, converter=counted("duration"))
    samples: int = eqx.field(default=144, static=True, converter=counted("samples", 2))
    lag: int = eqx.field(default=2, static=True, converter=counted("lag"))
    draws: int = eqx.field(default=40, static=True, converter=counted("draws", 2))

    def __check_init__(self) -> None:
        unbounded = (0.0, math.inf)
        require(self, order=(1.0, math.inf), noise=unbounded, homeostasis=unbounded)
        require(self, slowness=(1e-9, math.inf), coupling=(0.0, 1.0))
        if not 0 < self.step <= 1 or abs(1 / self.step - round(1 / self.step)) > 1e-9:
            raise ValueError(f"`step` must divide 1, a sample; got {self.step}.")
        if not 1 <= self.lag < self.samples <= self.duration:
            raise ValueError(
                "`lag` < `samples` <= `duration` must hold, from 1 on; got "
                f"{self.lag}, {self.samples} and {self.duration}."
            )


def build(config: Fluctuating) -> tuple[System, State]:
    """Synapses alone, all of weight 1."""
    names = ("order", "noise", "slowness", "bias", "homeostasis", "coupling", "coupled")
    rule = VolatileFactor(**{name: getattr(config, name) for name in names})
    system = System(Constant(None), Resting(config.step), {"volatile": rule})
    return system, State(None, jnp.ones((2, config.synapses)))


def record_weights(
    order: Scalar, state: State, signals: Any, changes: dict[str, Any]
) -> Float[Array, " synapse"]:
    """Weights after a step; `jax.tree_util.Partial` binds the order."""
    del signals, changes
    volatile, slow = state.synapses
    return jnp.where(order == 1, volatile, volatile * power(slow, order - 1))


def recorded(config: Fluctuating, key: Key[Array, ""]) -> fluctuations.Weights:
    """The last `samples` of all synapses, dead ones at 0."""
    system, state = build(config)
    record = jax.tree_util.Partial(record_weights, config.order)
    every = round(1 / config.step)
    steps = config.duration * every
    _, weights = simulate(system, state, key, steps=steps, every=every, record=record)
    return weights[-config.samples :].T


# --- Fig. 5: increments ---------------------------------------------------------------


def scaled(config: Fluctuating, key: Key[Array, ""]) -> dict[str, Array]:
    """`slope` (sign) of changes over `lag`, and their averages (sign, point).

    `alive` is the share of synapses that are left.
    """
    weights = recorded(config, key)
    alive = jnp.mean((weights[:, -1] > 0).astype(weights.dtype))
    alive = unless_lost(alive, weights[:, -1])
    return both_signs(weights, config.lag)._asdict() | {"alive": alive}


def coupled(plan: Plan) -> Plan:
    """Negative control: z = 2, half of the noise passes through the slow factor."""
    plan = changed(coupling=0.5, coupled=True, seeds=1)(plan)
    return plan._replace(grid={"order": np.array([2.0])})


def exponent(data: Dataset) -> DataArray:
    """Of changes, whatever their sign: 1 - 1/z by theory."""
    return data.slope.mean(["sign", "seed"], skipna=False)


def error(data: Dataset) -> DataArray:
    """Standard error of `exponent`."""
    return standard_error(data.slope.mean("sign", skipna=False))


@claim(
    "Fig. 5; specification: within .07",
    low=0.0,
    high=0.07,
    control=lambda x, _: abs(exponent(x) - 1 / 2).max(skipna=False),  # 1/2 for all
)
def exponent_of_all(data: Dataset) -> tuple[float, float]:
    """Changes grow as w^(1 - 1/z): largest error of the exponent, all z."""
    off = abs(exponent(data) - (1 - 1 / data.order))
    return float(off.max(skipna=False)), float(error(data).max())


@claim("Fig. 5; specification: within .07", low=1 / 2 - 0.07, high=1 / 2 + 0.07)
def square_root(data: Dataset) -> tuple[float, float]:
    """z = 2: changes grow as the square root of the weight (exponent)."""
    return float(exponent(data).sel(order=2.0)), float(error(data).sel(order=2.0))


@claim("Fig. 5", low=0.01, control=None)
def rises_with_factors(data: Dataset) -> tuple[float, float]:
    """Every further factor makes the exponent larger (least step)."""
    step = exponent(data).diff("order").min(skipna=False)
    return float(step), float(error(data).max())


def draw_increments(data: Dataset) -> Figure:
    """Figure 5: changes against weights, and their exponents against 1 - 1/z."""
    figure, ((changes, slope),) = panels(1, 2, 3.9, 2.9)
    signs = list(zip(data.sign.values, ("o", "s"), ("-", ":"), strict=True))
    for order, color in shaded(data.order.values):
        for sign, marker, style in signs:
            here = data.sel(order=order, sign=sign).isel(seed=0)
            label = f"z = {order:g}" if sign == "growing" else None
            look = {"ms": 3, "lw": 1, "color": color, "label": label}
            changes.loglog(here.weight, here["size"], marker + style, **look)
    changes.set(xlabel="weight", ylabel="mean change in 20 min", title="Simulation")
    orders = np.linspace(1, float(data.order.max()), 100)
    slope.plot(orders, 1 - 1 / orders, "--", lw=1, label="1 - 1/z", **LAW)
    for (sign, marker, _), color in shaded(signs):
        values = data.slope.sel(sign=sign)
        look = {"fmt": marker, "ms": 4, "color": color, "label": sign}
        slope.errorbar(data.order, values.mean("seed"), values.std("seed"), **look)
    slope.set(xlabel="number of factors z", ylabel="exponent of changes")
    legends((changes, slope))
    return figure


FIG5_INCREMENTS = Experiment(
    name="fig5_increments",
    source="Fig. 5",
    shows="one volatile factor of z makes changes grow as the weight to the 1 - 1/z",
    config=Fluctuating,
    run=scaled,
    claims=(exponent_of_all, square_root, rises_with_factors),
    figure=draw_increments,
    control=coupled,
    axes={"slope": SIGN, **POINTS},
)


# --- Fig. 6: norms --------------------------------------------------------------------


def normed(config: Fluctuating, key: Key[Array, ""]) -> dict[str, Array]:
    """`variation` (population, exponent) of norms, the `resampled` one's mean shape.

    `resampled_least` (draw): where the curves of the bootstrap are least.
    """
    for_run, for_draws = jr.split(key)
    weights, q = recorded(config, for_run), exponents()
    curves = resampled_variations(weights, q, config.draws, for_draws)
    return {
        "variation": variations(weights, q),
        "resampled": jnp.mean(shape(curves), axis=0),
        "resampled_least": least(curves, q),
    }


EXPONENT = {"exponent": np.arange(1, 45) / 10}
POPULATION = {"population": list(fluctuations.POPULATIONS)}


def each_drawn(
    weights: Weights, q: Exponents, draws: int, key: Key[Array, ""]
) -> Float[Array, "draw exponent"]:
    """The published bootstrap, in which every exponent has draws of its own."""

    def at(x: tuple[Scalar, Key[Array, ""]]) -> Float[Array, " draw"]:
        return resampled_variations(weights, x[0][None], draws, x[1])[:, 0]

    return jax.lax.map(at, (q, jr.split(key, len(q)))).T


def imaged_norms(plan: Plan, keys: Any) -> Dataset:
    """The same bootstrap of imaged synapses, `imaged` (imaged_draw, exponent), and the
    published one, `imaged_apart`.
    """
    del keys
    weights, q = imaged_weights(), exponents()
    given = weights, q, plan.config.draws, jr.key(0)
    curves, apart = (
        shape(eqx.filter_jit(draw)(*given))
        for draw in (resampled_variations, each_drawn)
    )
    raw = variations(weights, q)
    found = {
        "imaged": (("imaged_draw", "exponent"), np.asarray(curves)),
        "imaged_apart": (("imaged_draw", "exponent"), np.asarray(apart)),
        "imaged_variation": (("population", "exponent"), np.asarray(raw)),
    }
    return Dataset(found, EXPONENT | POPULATION)


def least_of(curves: DataArray) -> DataArray:
    """The q that varies least; NaN where a curve has one."""
    return curves.idxmin("exponent").where(curves.notnull().all("exponent"))


@claim("Fig. 6; specification: 2/z rounded", low=0.0, high=0.1)
def held_norm(data: Dataset) -> float:
    """The norm per living synapse varies least at q = 2/z (largest error, steps .1)."""
    held = over_seeds(least_of(data.variation.sel(population="per synapse")))
    return float(abs(held - 2 / data.order).max(skipna=False))


@claim("Fig. 6 (panel)", low=0.0, control=None)
def falls_with_factors(data: Dataset) -> float:
    """Synapses drawn anew each time: further factors lower that q (least drop)."""
    q = data.resampled_least.mean(["draw", "seed"], skipna=False)
    return float(-q.diff("order").max(skipna=False))


@claim(
    "Fig. 6: 1.085 (.430)",
    low=1.085 - 0.43,
    high=1.085 + 0.43,
    control=lambda x, _: x.resampled_least.sel(order=1.0).mean(
        ["draw", "seed"], skipna=False
    ),
)
def imaged_norm(data: Dataset) -> tuple[float, float]:
    """Imaged synapses drawn anew: the q that varies least, and its standard deviation;
    control: simulated synapses of one factor.
    """
    least = least_of(data.imaged)
    return float(least.mean(skipna=False)), float(least.std())


SPREAD = 0.430  # published


def spread_of_least(curves: DataArray) -> float:
    """Standard deviation over a bootstrap of the q that varies least."""
    return float(least_of(curves).std(skipna=False))


def two_errors(data: Dataset) -> float:
    """Two standard errors of the published standard deviation, from as many draws."""
    return 2 * SPREAD / (2 * (data.sizes["imaged_draw"] - 1)) ** 0.5


@claim(
    "Fig. 6: 1.085 (.430); two standard errors of so many draws",
    low=lambda data, control: SPREAD - two_errors(data),
    high=lambda data, control: SPREAD + two_errors(data),
    control=lambda data, control: spread_of_least(data.imaged),
)
def imaged_spread(data: Dataset) -> float:
    """Imaged synapses drawn anew for every exponent, as published: standard deviation
    of the q that varies least; control: the same draws for all exponents.
    """
    return spread_of_least(data.imaged_apart)


def explained_share(data: Dataset) -> DataArray:
    """Share of the variance of imaged curves that the simulated mean explains."""
    curves = data.resampled.transpose(..., "exponent")
    both = (jnp.asarray(x.values) for x in (curves, data.imaged))
    share = np.asarray(fluctuations.explained(*both))
    return curves.isel(exponent=0, drop=True).copy(data=share)


def known_share(data: Dataset) -> DataArray:
    """Mean of `explained_share`; of all orders NaN where one of them is."""
    share = over_seeds(explained_share(data))
    return share.where(share.notnull().all())


@claim(
    "Fig. 6 (panel); specification: 2 or 3",
    low=2.0,
    high=3.0,
    control=lambda x, _: known_share(x).idxmin("order"),  # the worst
)
def explains_imaging_best(data: Dataset) -> float:
    """The number of factors whose curve explains the imaged ones best."""
    return float(known_share(data).idxmax("order"))


@claim(
    "Fig. 6 (panel: -.93)",
    high=0.0,
    control=lambda x, _: known_share(x).max(),  # the best number of factors
)
def not_one_factor(data: Dataset) -> float:
    """One factor explains less than no variance of the imaged curves (share)."""
    return float(over_seeds(explained_share(data)).sel(order=1.0))


def draw_norms(data: Dataset) -> Figure:
    """Figure 6: variation of norms over their exponent; what imaging says."""
    figure, ((raw, resampled, share),) = panels(1, 3, 3.5, 2.9)
    for order, color in shaded(data.order.values):
        here = data.sel(order=order).mean("seed")
        curve = here.variation.sel(population="per synapse")
        raw.semilogy(data.exponent, curve, color=color, label=f"z = {order:g}")
        raw.plot(2 / order, float(curve.min()), "v", ms=5, color=color)
        resampled.plot(data.exponent, here.resampled, color=color)
    imaged = data.imaged.mean("imaged_draw")
    resampled.plot(data.exponent, imaged, color="black", lw=2, label="imaged")
    raw.set(xlabel="exponent q", ylabel="variation of the norm over time")
    raw.set_title("Norm per living synapse")
    raw.legend(title="triangles: 2/z", title_fontsize="x-small", **TINY)
    resampled.set(xlabel="exponent q", ylabel="variation (least 0, most 1)")
    resampled.set_title("Synapses drawn anew")
    resampled.legend(**TINY)
    values = explained_share(data)
    mean, error = values.mean("seed"), values.std("seed")
    share.errorbar(data.order, mean, error, fmt="o-", ms=4, color=SHADES[0])
    share.axhline(0.0, lw=1, ls="--", **LAW)
    share.set(xlabel="number of factors z", ylabel="explained share of imaged curves")
    return figure


FIG6_NORMS = Experiment(
    name="fig6_norms",
    source="Fig. 6",
    shows="homeostasis of z factors holds the norm of exponent 2/z; imaging: 2 or 3",
    config=Fluctuating,
    run=normed,
    claims=(
        *(held_norm, falls_with_factors, imaged_norm),
        *(imaged_spread, explains_imaging_best, not_one_factor),
    ),
    figure=draw_norms,
    control=changed(homeostasis=0.0, seeds=1),  # so no norm is held
    axes={
        "variation": POPULATION | EXPONENT,
        "resampled": EXPONENT,
        "resampled_least": {"draw": None},
    },
    predict=imaged_norms,
)
