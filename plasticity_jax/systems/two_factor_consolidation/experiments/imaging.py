"""Figure 5: how changes of imaged synapses grow with the weight."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig
from ...._arguments import counted
from ....data import kaufman_2012
from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from .. import fluctuations
from ..fluctuations import SIGNS, slopes, Weights
from .shared import LAW, legends, stacked


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


def both_signs(weights: Weights, lag: int) -> fluctuations.Scaling:
    """`scaling` of growing and of shrinking synapses, stacked."""
    pairs = fluctuations.increments(weights, lag)
    return stacked([fluctuations.scaling(*pairs, sign) for sign in (1, -1)])


def imaged(config: Imaging, key: Key[Array, ""]) -> dict[str, Array]:
    """`slope` (lag, sign) of imaged synapses; at the first lag all else.

    `resampled` (draw, sign) slopes, and averages `weight` and `size` (sign, point).
    """
    for_order, for_draws = jr.split(key)
    weights = imaged_weights()
    if config.shuffled:
        weights = fluctuations.in_random_order(weights, for_order)
    synapses = len(weights)

    def draw(key: Key[Array, ""]) -> Array:
        return slopes(weights[jr.randint(key, (synapses,), 0, synapses)], LAGS[0])

    slope = jnp.stack([slopes(weights, lag) for lag in LAGS])
    resampled = jax.lax.map(draw, jr.split(for_draws, config.draws))
    points = both_signs(weights, LAGS[0])._asdict()
    return points | {"slope": slope, "resampled": resampled}


PUBLISHED = {"growing": 0.57, "shrinking": 0.72}  # exponents


def first(data: Dataset) -> DataArray:
    """Exponents of changes between images half an hour apart."""
    return over_seeds(data.slope.sel(lag=0.5))


def spread(resampled: DataArray) -> DataArray:
    """Standard deviation over a bootstrap."""
    return over_seeds(resampled.std("draw", skipna=False))


@claim(
    "Fig. 5 (panel)",
    low=lambda data, control, sign: PUBLISHED[sign] - 0.01,
    high=lambda data, control, sign: PUBLISHED[sign] + 0.01,
    each="sign",
)
def exponent(data: Dataset, sign: str) -> tuple[float, float]:
    """Half an hour apart, {sign} synapses: exponent of changes."""
    value, error = first(data), spread(data.resampled)
    return float(value.sel(sign=sign)), float(error.sel(sign=sign))


@claim("Fig. 5 (panel: -.08 and .08 at z = 1)", low=-0.16, high=0.16)
def signs_are_alike(data: Dataset) -> float:
    """Shrinking minus growing synapses: the exponents differ by no more than in the
    process itself.
    """
    slope = first(data)
    return float(slope.sel(sign="shrinking") - slope.sel(sign="growing"))


@claim(
    "Fig. 5; specification: within .07",
    low=0.0,
    high=0.07,
    control=lambda data, control: abs(float(first(data).mean(skipna=False)) - 1 / 2),
)
def three_factors(data: Dataset) -> tuple[float, float]:
    """Not the square root: the mean exponent is that of three factors, 2/3 (distance);
    control: that of two, 1/2.
    """
    error = spread(data.resampled.mean("sign", skipna=False))
    return abs(float(first(data).mean(skipna=False)) - 2 / 3), float(error)


def draw_imaging(data: Dataset) -> Figure:
    """Figure 5: changes of imaged synapses, and their exponents over the lag."""
    figure, ((changes, slope),) = panels(1, 2, 3.9, 2.9)
    here, lags = data.isel(seed=0), data.lag.values
    for sign, marker, color in zip(data.sign.values, ("o", "s"), SHADES, strict=False):
        part, look = here.sel(sign=sign), {"ms": 4, "color": color}
        name = f"{sign}, exponent {float(part.slope[0]):.2f}"
        changes.loglog(part.weight, part["size"], marker, label=name, **look)
        slope.semilogx(lags, part.slope, marker + "-", label=sign, **look)
        error = float(part.resampled.std("draw"))
        slope.errorbar(lags[:1], part.slope[:1], error, color=color, capsize=3)
    for order in (2, 3):
        height = 1 - 1 / order
        slope.axhline(height, ls="--", lw=1, **LAW)
        slope.text(lags[-1], height + 0.01, f"z = {order}", ha="right", **LAW)
    changes.set_xticks([0.3, 0.5, 1, 2], ["0.3", "0.5", "1", "2"])
    changes.set_yticks([0.01, 0.02, 0.04], ["0.01", "0.02", "0.04"])
    changes.set(xlabel="fluorescence (mean 1)", ylabel="mean change in 0.5 h")
    changes.set_title("1087 imaged synapses")
    slope.set_xticks(lags, [f"{x:g}" for x in lags])
    slope.set(xlabel="time between images (h)", ylabel="exponent of changes")
    for panel in (changes, slope):
        panel.minorticks_off()
    legends((changes, slope))
    return figure


SIGN = {"sign": SIGNS}
POINTS = dict.fromkeys(("weight", "size"), SIGN | {"point": None})
FIG5_IMAGING = Experiment(
    name="fig5_imaging",
    source="Fig. 5",
    shows="changes of imaged synapses grow with the weight, less than in proportion",
    config=Imaging,
    run=imaged,
    claims=(exponent, signs_are_alike, three_factors),
    figure=draw_imaging,
    control=changed(shuffled=True),  # the samples of every synapse in a random order
    axes={
        "slope": {"lag": 0.5 * np.array(LAGS)} | SIGN,  # in hours
        "resampled": {"draw": None} | SIGN,
        **POINTS,
    },
)
