"""Figure 5: how changes of imaged synapses grow with the weight."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import AbstractConfig
from ...._arguments import counted
from ....data import kaufman_2012
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ..fluctuations import (
    in_random_order,
    increments,
    scaling,
    SIGNS,
    slopes,
    Weights,
)


LAGS = (1, 2, 4, 8, 16)


class Imaging(AbstractConfig):
    """Imaged synapses; with `shuffled`, each with its samples in a random order.

    Half an hour lies between samples. `draws` of the bootstrap over synapses.
    """

    draws: int = eqx.field(default=40, static=True, converter=counted("draws", 2))
    shuffled: bool = eqx.field(default=False, static=True)


def imaged_weights() -> Weights:
    """`kaufman_2012` in the precision of the run.

    Behind a barrier, or the compiler would sort it itself, for minutes.
    """
    weights = jnp.asarray(kaufman_2012(), jnp.result_type(float))
    return jax.lax.optimization_barrier(weights)


def imaged(config: Imaging, key: Key[Array, ""]) -> dict[str, Array]:
    """`slope` (lag, sign) of imaged synapses; at the first lag all else.

    `resampled` (draw, sign) slopes, and averages `weight` and `size` (sign, point).
    """
    for_order, for_draws = jr.split(key)
    weights = imaged_weights()
    if config.shuffled:
        weights = in_random_order(weights, for_order)
    synapses = len(weights)

    def draw(key: Key[Array, ""]) -> Array:
        return slopes(weights[jr.randint(key, (synapses,), 0, synapses)], LAGS[0])

    both = [scaling(*increments(weights, LAGS[0]), sign) for sign in (1, -1)]
    return {
        "slope": jnp.stack([slopes(weights, lag) for lag in LAGS]),
        "resampled": jax.lax.map(draw, jr.split(for_draws, config.draws)),
        "weight": jnp.stack([part.weight for part in both]),
        "size": jnp.stack([part.size for part in both]),
    }


def label_lags(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates: `lag` in hours."""
    del plan, keys
    lags = 0.5 * np.array(LAGS)
    return xarray.Dataset(coords={"sign": list(SIGNS), "lag": lags})


def shuffled(plan: Plan) -> Plan:
    """Negative control: the samples of every synapse in a random order."""
    return plan._replace(config=dataclasses.replace(plan.config, shuffled=True))


def imaging_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Changes of imaged synapses grow with the weight, less than in proportion."""

    def first(data: xarray.Dataset) -> xarray.DataArray:
        return data.slope.isel(lag=0).mean("seed", skipna=False)

    slope, free = first(data), first(control)
    spread = lambda x: x.std("draw", skipna=False).mean("seed", skipna=False)
    error = spread(data.resampled)
    published = {"growing": 0.57, "shrinking": 0.72}
    claims = [
        Claim(
            f"{sign} synapses, half an hour apart: exponent of changes; control: "
            "samples in random order",
            "Fig. 5 (panel)",
            float(slope.sel(sign=sign)),
            value - 0.01,
            value + 0.01,
            float(error.sel(sign=sign)),
            float(free.sel(sign=sign)),
        )
        for sign, value in published.items()
    ]
    gap = lambda slope: float(slope.sel(sign="shrinking") - slope.sel(sign="growing"))
    mean = float(slope.mean(skipna=False))
    of_mean = float(spread(data.resampled.mean("sign", skipna=False)))
    return [
        *claims,
        Claim(
            "shrinking minus growing synapses: the exponents differ by no more than in "
            "the process itself; control: samples in random order",
            "Fig. 5 (panel: -.08 and .08 at z = 1)",
            gap(slope),
            -0.16,
            0.16,
            control=gap(free),
        ),
        Claim(
            "not the square root: the mean exponent is that of three factors, 2/3 "
            "(distance); control: that of two, 1/2",
            "Fig. 5; specification: within .07",
            abs(mean - 2 / 3),
            0.0,
            0.07,
            of_mean,
            abs(mean - 1 / 2),
        ),
    ]


SIDES = {"growing": ("o", "-"), "shrinking": ("s", ":")}


def draw_imaging(data: xarray.Dataset) -> Figure:
    """Figure 5: changes of imaged synapses, and their exponents over the lag."""
    figure, axes = panels(1, 2, 3.9, 2.9)
    changes, slope = axes[0]
    here = data.isel(seed=0)
    for sign, color in zip(SIDES, SHADES, strict=False):
        marker = SIDES[sign][0]
        part = here.sel(sign=sign)
        exponent = float(part.slope.isel(lag=0))
        name = f"{sign}, exponent {exponent:.2f}"
        changes.loglog(part.weight, part["size"], marker, ms=4, color=color, label=name)
        slope.semilogx(
            part.lag, part.slope, marker + "-", ms=4, color=color, label=sign
        )
        error = float(part.resampled.std("draw"))
        slope.errorbar(part.lag[:1], part.slope[:1], error, color=color, capsize=3)
    for order in (2, 3):
        slope.axhline(1 - 1 / order, ls="--", lw=1, color=THEORY)
        height = 1 - 1 / order + 0.01
        slope.text(
            float(data.lag[-1]), height, f"z = {order}", ha="right", color=THEORY
        )
    changes.set_xticks([0.3, 0.5, 1, 2], ["0.3", "0.5", "1", "2"])
    changes.set_yticks([0.01, 0.02, 0.04], ["0.01", "0.02", "0.04"])
    changes.minorticks_off()
    changes.set(xlabel="fluorescence (mean 1)", ylabel="mean change in 0.5 h")
    changes.set_title("1087 imaged synapses")
    changes.legend(frameon=False, fontsize="x-small")
    ticks = data.lag.values
    slope.set_xticks(ticks, [f"{x:g}" for x in ticks])
    slope.minorticks_off()
    slope.set(xlabel="time between images (h)", ylabel="exponent of changes")
    slope.legend(frameon=False, fontsize="x-small")
    return figure


FIG5_IMAGING = Experiment(
    name="fig5_imaging",
    source="Fig. 5",
    shows="changes of imaged synapses grow with the weight, less than in proportion",
    config=Imaging,
    run=imaged,
    claims=imaging_claims,
    figure=draw_imaging,
    control=shuffled,
    dims={
        "slope": ("lag", "sign"),
        "resampled": ("draw", "sign"),
        "weight": ("sign", "point"),
        "size": ("sign", "point"),
    },
    predict=label_lags,
)
