"""Figures 5 and 6: synapses that fluctuate by themselves."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import AbstractConfig, Scalar, simulate, State, System
from ...._arguments import counted, real, require
from ....circuits import Resting
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....numerics import power
from ....rules import VolatileFactor
from ....tasks import Constant
from ..domains import unless_lost
from ..fluctuations import (
    explained,
    exponents,
    increments,
    least,
    POPULATIONS,
    resampled_variations,
    scaling,
    shape,
    SIGNS,
    variations,
    Weights,
)
from .imaging import imaged_weights, SIDES


class Config(AbstractConfig):
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


def build(config: Config) -> tuple[System, State]:
    """Synapses alone, all of weight 1."""
    rule = VolatileFactor(
        config.order,
        config.noise,
        config.slowness,
        config.bias,
        config.homeostasis,
        coupling=config.coupling,
        coupled=config.coupled,
    )
    system = System(Constant(None), Resting(config.step), {"volatile": rule})
    return system, State(None, jnp.ones((2, config.synapses)))


def record_weights(
    order: Scalar, state: State, signals: Any, changes: dict[str, Any]
) -> Float[Array, " synapse"]:
    """Weights after a step; `jax.tree_util.Partial` binds the order."""
    del signals, changes
    volatile, slow = state.synapses
    return jnp.where(order == 1, volatile, volatile * power(slow, order - 1))


def recorded(config: Config, key: Key[Array, ""]) -> Weights:
    """The last `samples` of all synapses, dead ones at 0."""
    system, state = build(config)
    record = jax.tree_util.Partial(record_weights, config.order)
    every = round(1 / config.step)
    steps = config.duration * every
    _, weights = simulate(system, state, key, steps=steps, every=every, record=record)
    return weights[-config.samples :].T


# --- Fig. 5: increments ---------------------------------------------------------------


def scaled(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`slope` (sign) of changes over `lag`, and their averages (sign, point).

    `alive` is the share of synapses that are left.
    """
    weights = recorded(config, key)
    pairs = increments(weights, config.lag)
    both = [scaling(*pairs, sign) for sign in (1, -1)]
    slope, weight, size = (jnp.stack(x) for x in zip(*both, strict=True))
    alive = jnp.mean((weights[:, -1] > 0).astype(weights.dtype))
    alive = unless_lost(alive, weights[:, -1])
    return {"slope": slope, "weight": weight, "size": size, "alive": alive}


def label_signs(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; no theory."""
    del plan, keys
    return xarray.Dataset(coords={"sign": list(SIGNS)})


def coupled(plan: Plan) -> Plan:
    """Negative control: half of the noise is multiplied by the slow factors."""
    config = dataclasses.replace(plan.config, coupling=0.5, coupled=True)
    return Plan(config, {"order": np.array([2.0])}, 1)


def increment_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Both slopes' mean is 1 - 1/z."""
    others = ["sign", "seed"]
    mean = data.slope.mean(others, skipna=False)
    half = 1 - 1 / float(control.order.item())
    off, same = abs(mean - (1 - 1 / data.order)), abs(mean - half)
    seeds = data.slope.mean("sign", skipna=False)
    error = seeds.std("seed", ddof=1) / math.sqrt(max(data.sizes["seed"], 1))
    two = {"order": 2.0}
    return [
        Claim(
            "changes grow as w^(1 - 1/z): largest error of the exponent, all z; "
            "control: against 1/2 for all",
            "Fig. 5; specification: within .07",
            float(off.max(skipna=False)),
            0.0,
            0.07,
            float(error.max()),
            float(same.max(skipna=False)),
        ),
        Claim(
            "z = 2: changes grow as the square root of the weight (exponent); control: "
            "noise that passes through the slow factors, k = 0.5",
            "Fig. 5; specification: within .07",
            float(mean.sel(two)),
            half - 0.07,
            half + 0.07,
            float(error.sel(two)),
            float(control.slope.mean(skipna=False)),
        ),
        Claim(
            "every further factor makes the exponent larger (least step)",
            "Fig. 5",
            float(mean.diff("order").min(skipna=False)),
            0.01,
            math.inf,
            float(error.max()),
        ),
    ]


def _averages(panel: Axes, data: xarray.Dataset, color: str, label: str) -> None:
    """Mean change against weight, either sign; data without seeds."""
    for sign, (marker, style) in SIDES.items():
        here = data.sel(sign=sign)
        name = label if sign == "growing" else None
        panel.loglog(
            here.weight,
            here["size"],
            marker + style,
            ms=3,
            lw=1,
            color=color,
            label=name,
        )


def draw_increments(data: xarray.Dataset) -> Figure:
    """Figure 5: changes against weights, and their exponents against 1 - 1/z."""
    figure, axes = panels(1, 2, 3.9, 2.9)
    changes, slope = axes[0]
    for order, color in zip(data.order.values, SHADES, strict=False):
        here = data.sel(order=order).isel(seed=0)
        _averages(changes, here, color, f"z = {order:g}")
    changes.set(xlabel="weight", ylabel="mean change in 20 min", title="Simulation")
    changes.legend(frameon=False, fontsize="x-small")
    orders = np.linspace(1, float(data.order.max()), 100)
    slope.plot(orders, 1 - 1 / orders, "--", color=THEORY, lw=1, label="1 - 1/z")
    for sign, color in zip(SIDES, SHADES, strict=False):
        values = data.slope.sel(sign=sign)
        mean, error = values.mean("seed"), values.std("seed")
        marker = SIDES[sign][0]
        slope.errorbar(
            data.order, mean, error, fmt=marker, ms=4, color=color, label=sign
        )
    slope.set(xlabel="number of factors z", ylabel="exponent of changes")
    slope.legend(frameon=False, fontsize="x-small")
    return figure


def draw_norms(data: xarray.Dataset) -> Figure:
    """Figure 6: variation of norms over their exponent; what imaging says."""
    from ..experiments.fluctuating import explained_share

    figure, axes = panels(1, 3, 3.5, 2.9)
    raw, resampled, share = axes[0]
    for order, color in zip(data.order.values, SHADES, strict=False):
        here = data.sel(order=order)
        curve = here.variation.sel(population="per synapse").mean("seed")
        raw.semilogy(data.exponent, curve, color=color, label=f"z = {order:g}")
        raw.plot(2 / order, float(curve.min()), "v", ms=5, color=color)
        resampled.plot(data.exponent, here.resampled.mean("seed"), color=color)
    imaged = data.imaged.mean("imaged_draw")
    resampled.plot(data.exponent, imaged, color="black", lw=2, label="imaged")
    raw.set(xlabel="exponent q", ylabel="variation of the norm over time")
    raw.set_title("Norm per living synapse")
    raw.legend(frameon=False, fontsize="x-small", title="triangles: 2/z")
    raw.get_legend().get_title().set_fontsize("x-small")
    resampled.set(xlabel="exponent q", ylabel="variation (least 0, most 1)")
    resampled.set_title("Synapses drawn anew")
    resampled.legend(frameon=False, fontsize="x-small")
    values = explained_share(data)
    mean, error = values.mean("seed"), values.std("seed")
    share.errorbar(data.order, mean, error, fmt="o-", ms=4, color=SHADES[0])
    share.axhline(0.0, color=THEORY, lw=1, ls="--")
    share.set(xlabel="number of factors z", ylabel="explained share of imaged curves")
    return figure


FIG5_INCREMENTS = Experiment(
    name="fig5_increments",
    source="Fig. 5",
    shows="one volatile factor of z makes changes grow as the weight to the 1 - 1/z",
    config=Config,
    run=scaled,
    claims=increment_claims,
    figure=draw_increments,
    control=coupled,
    dims={
        "slope": ("sign",),
        "weight": ("sign", "point"),
        "size": ("sign", "point"),
    },
    predict=label_signs,
)


# --- Fig. 6: norms --------------------------------------------------------------------


def normed(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
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


def imaged_norms(plan: Plan, keys: Any) -> xarray.Dataset:
    """The same bootstrap of imaged synapses: `imaged` (imaged_draw, exponent)."""
    del keys
    q = exponents()
    draw = eqx.filter_jit(resampled_variations)
    curves = shape(draw(imaged_weights(), q, plan.config.draws, jr.key(0)))
    return xarray.Dataset(
        {
            "imaged": (("imaged_draw", "exponent"), np.asarray(curves)),
            "imaged_variation": (
                ("population", "exponent"),
                np.asarray(variations(imaged_weights(), q)),
            ),
        },
        {"exponent": np.arange(1, 45) / 10, "population": list(POPULATIONS)},
    )


def unrestrained(plan: Plan) -> Plan:
    """Negative control: no homeostasis, so no norm is held."""
    config = dataclasses.replace(plan.config, homeostasis=0.0)
    return plan._replace(config=config, seeds=1)


def explained_share(data: xarray.Dataset) -> xarray.DataArray:
    """Share of the variance of imaged curves that the simulated mean explains."""
    curves = data.resampled.transpose(..., "exponent")
    share = explained(jnp.asarray(curves.values), jnp.asarray(data.imaged.values))
    return xarray.DataArray(np.asarray(share), dims=curves.dims[:-1]).assign_coords(
        order=data.order
    )


def norm_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The norm of exponent 2/z is the one that homeostasis holds."""

    def off(data: xarray.Dataset) -> float:
        curves = data.variation.sel(population="per synapse")
        held = data.exponent[curves.argmin("exponent", skipna=False)]
        held = held.where(curves.notnull().all("exponent"))
        held = held.mean("seed", skipna=False)
        return float(abs(held - 2 / data.order).max(skipna=False))

    resampled = data.resampled_least.mean(["draw", "seed"], skipna=False)
    share = explained_share(data).mean("seed", skipna=False)
    known = bool(share.notnull().all())
    at = lambda index: float(data.order[int(index)]) if known else math.nan
    return [
        Claim(
            "the norm per living synapse varies least at q = 2/z (largest error, q in "
            "steps of .1); control: no homeostasis",
            "Fig. 6; specification: 2/z rounded",
            off(data),
            0.0,
            0.1,
            control=off(control),
        ),
        Claim(
            "synapses drawn anew at every sample: every further factor lowers that q "
            "(least drop)",
            "Fig. 6 (panel)",
            float(-resampled.diff("order").max(skipna=False)),
            0.0,
            math.inf,
        ),
        Claim(
            "the number of factors whose curve explains the imaged ones best",
            "Fig. 6 (panel); specification: 2 or 3",
            at(share.argmax("order", skipna=False)),
            2.0,
            3.0,
            control=at(share.argmin("order", skipna=False)),
        ),
        Claim(
            "one factor explains less than nothing of the imaged curves (share of "
            "variance); control: the best number",
            "Fig. 6 (panel: -.93)",
            float(share.sel(order=1.0)),
            -math.inf,
            0.0,
            control=float(share.max(skipna=False)),
        ),
    ]


FIG6_NORMS = Experiment(
    name="fig6_norms",
    source="Fig. 6",
    shows=(
        "homeostasis of z factors holds the norm of exponent 2/z; imaging fits 2 or 3"
    ),
    config=Config,
    run=normed,
    claims=norm_claims,
    figure=draw_norms,
    control=unrestrained,
    dims={
        "variation": ("population", "exponent"),
        "resampled": ("exponent",),
        "resampled_least": ("draw",),
    },
    predict=imaged_norms,
)
