"""Beyond the paper: how many factors, any real number, fit imaged synapses."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, Experiment, panels, Plan, SHADES
from .. import fluctuations
from ..fluctuations import Fit, SIGNS, slopes, Weights
from .fluctuating import coupled, Fluctuating, recorded
from .imaging import imaged_weights
from .shared import LAW, legends, mean_and_error, shaded


THINNED = 3  # samples of 10 min to one image every half hour
RESAMPLES = 40  # of the imaged synapses
ARRANGEMENTS = ("recorded", "shuffled")
SLOPE = {"arrangement": list(ARRANGEMENTS), "sign": list(SIGNS)}


def seen(weights: Weights, draws: int, key: Key[Array, ""]) -> dict[str, Array]:
    """`slope` (arrangement, sign) of changes between images, and where norms are least.

    `least` is the mean over a bootstrap of `draws`. `shuffled` images come in an order
    of each synapse's own.
    """
    for_order, for_draws = jr.split(key)
    q = fluctuations.exponents()
    curves = fluctuations.resampled_variations(weights, q, draws, for_draws)
    mixed = fluctuations.in_random_order(weights, for_order)
    return {
        "slope": jnp.stack([slopes(weights, 1), slopes(mixed, 1)]),
        "least": jnp.mean(fluctuations.least(curves, q)),
    }


def simulated_images(config: Fluctuating, key: Key[Array, ""]) -> dict[str, Array]:
    """What is `seen` of simulated synapses, imaged every half hour."""
    for_run, for_images = jr.split(key)
    images = recorded(config, for_run)[:, ::THINNED]
    return seen(images, config.draws, for_images)


@eqx.filter_jit
def _resampled(weights: Weights, draws: int, key: Key[Array, ""]) -> dict[str, Array]:
    """`seen` of `weights`, then of synapses drawn from them with replacement."""
    for_choice, for_images = jr.split(key)
    n = len(weights)
    everyone = jnp.arange(n)[None]
    chosen = jr.randint(for_choice, (RESAMPLES, n), 0, n, everyone.dtype)
    keys = jr.split(for_images, 1 + RESAMPLES)
    of_draw = lambda draw: seen(weights[draw[0]], draws, draw[1])
    return jax.lax.map(of_draw, (jnp.concatenate([everyone, chosen]), keys))


def imaged_statistics(plan: Plan, keys: Any) -> Dataset:
    """The same of imaged synapses; first of all of them, then of a bootstrap."""
    del keys
    got = _resampled(imaged_weights(), plan.config.draws, jr.key(0))
    dims = {"slope": ("draw", *SLOPE), "least": ("draw",)}
    rows = {f"imaged_{name}": (dims[name], np.asarray(got[name])) for name in dims}
    return Dataset(rows, SLOPE)


# --- fits -----------------------------------------------------------------------------


def _covariance(values: np.ndarray) -> np.ndarray:
    """Of single runs about the mean of their order; (order, seed, statistic)."""
    orders, seeds, count = values.shape
    away = (values - values.mean(axis=1, keepdims=True)).reshape(-1, count)
    return away.T @ away / max(orders * (seeds - 1), 1)


@eqx.filter_jit
def _fitted(observed: Any, covariance: Any, orders: Any, law: Any) -> Fit:
    """`fit_order` in the precision of the run, compiled once."""
    real = lambda x: jnp.asarray(x, jnp.result_type(float))
    given, about = real(observed), real(covariance)
    return fluctuations.fit_order(given, about, real(orders), real(law))


def _changes(data: Dataset, arrangement: str = "recorded") -> np.ndarray:
    """Exponents (order, seed, sign) of simulated changes."""
    slope = data.slope.sel(arrangement=arrangement)
    return slope.transpose("order", "seed", "sign").values


def recovered(data: Dataset, arrangement: str) -> Dataset:
    """The order found in every simulated recording, from those of all other seeds.

    `mean` and `misfit` over order and seed, from the slopes of the `recorded` samples
    or of `shuffled` ones.
    """
    law, runs = _changes(data), _changes(data, arrangement)
    seeds, orders = law.shape[1], data.order.values
    covariance = _covariance(law) * seeds / max(seeds - 1, 1)
    found = np.zeros((2, len(orders), seeds))
    for i, j in np.ndindex(len(orders), seeds):
        others = np.delete(law, j, axis=1).mean(axis=1)
        fit = _fitted(runs[i, j], covariance, orders, others)
        found[:, i, j] = fit.mean, fit.misfit
    names = ("mean", "misfit")
    both = {k: (("order", "seed"), x) for k, x in zip(names, found, strict=True)}
    return Dataset(both, {"order": orders})


def imaged_fits(data: Dataset) -> dict[str, Fit]:
    """The order that imaged synapses have: from `increments`, and from `norms`.

    The first draw of imaged synapses is observed, the others are its bootstrap.
    """
    slope = data.imaged_slope.sel(arrangement="recorded").values
    norms = data.least.transpose("order", "seed").values[..., None]
    fits = {}
    for name, draws, runs in (
        ("increments", slope, _changes(data)),
        ("norms", data.imaged_least.values[:, None], norms),
    ):
        noise = np.cov(draws[1:].T, ddof=1).reshape(draws.shape[1], -1)
        covariance = noise + _covariance(runs) / runs.shape[1]
        fits[name] = _fitted(draws[0], covariance, data.order.values, runs.mean(axis=1))
    return fits


def widened(fit: Fit, freedom: int) -> float:
    r"""The deviation, times $\sqrt{\chi^2/\nu}$ where the fit misses by more."""
    return float(fit.deviation) * math.sqrt(max(float(fit.misfit) / freedom, 1.0))


# --- claims: changes and norms, apart, tell how many factors imaged synapses have -----

RIGHT = "beyond the paper: the nearest whole number is right"
NEAREST = "Fig. 6: the nearest whole number is 2 or 3"


def missed(data: Dataset, arrangement: str) -> float:
    """Root mean square error of the number of factors found."""
    found = recovered(data, arrangement)["mean"]
    return float(np.sqrt(((found - found.order) ** 2).mean(skipna=False)))


@claim(RIGHT, low=0.0, high=0.5, control=lambda x, _: missed(x, "shuffled"))
def order_in_changes(data: Dataset) -> float:
    """Simulated images: r.m.s. error of the number of factors found in changes."""
    return missed(data, "recorded")


def mistaken(data: Dataset, control: Dataset) -> float:
    """The number found where half of the noise passes through the slow factor."""
    law, orders = _changes(data), data.order.values
    fit = _fitted(_changes(control)[0, 0], _covariance(law), orders, law.mean(axis=1))
    return float(fit.mean)


@claim(RIGHT, low=1.5, high=2.5, control=mistaken)
def two_factors(data: Dataset) -> tuple[float, float]:
    """Simulated images, z = 2: number of factors found."""
    return mean_and_error(recovered(data, "recorded")["mean"].sel(order=2.0))


@claim(NEAREST, low=1.5, high=3.5, control=None)
def changes_of_imaged(data: Dataset) -> tuple[float, float]:
    """Imaged synapses: number of factors in their changes (error widened by misfit)."""
    fit = imaged_fits(data)["increments"]
    return float(fit.mean), widened(fit, freedom=1)


@claim(NEAREST, low=1.5, high=3.5, control=None)
def norms_of_imaged(data: Dataset) -> tuple[float, float]:
    """Imaged synapses: number of factors in their norms."""
    fit = imaged_fits(data)["norms"]
    return float(fit.mean), float(fit.deviation)


@claim("beyond the paper", low=0.0, high=2.0, control=None)
def they_agree(data: Dataset) -> float:
    """Changes and norms of imaged synapses tell the same number of factors (difference,
    standard errors).
    """
    changes, norms = imaged_fits(data).values()
    within = math.hypot(widened(changes, freedom=1), float(norms.deviation))
    return abs(float(changes.mean - norms.mean)) / within


@claim(
    "beyond the paper: above the 99 % point of two degrees of freedom",
    low=9.21,
    control=lambda x, _: recovered(x, "recorded").misfit.mean(skipna=False),
)
def signs_are_unequal(data: Dataset) -> float:
    """Yet no number of factors makes changes that grow and shrink as unequally
    (chi-squared of the best fit); control: simulated images, mean.
    """
    return float(imaged_fits(data)["increments"].misfit)


def draw_volatile_order(data: Dataset) -> Figure:
    """Changes and norms against the number of factors, and what imaging tells."""
    figure, (row,) = panels(1, 3, 3.6, 2.9)
    slope, least, found = row
    for (sign, marker), color in shaded(zip(data.sign.values, ("o", "s"), strict=True)):
        here, look = data.sel(arrangement="recorded", sign=sign), {"color": color}
        _dots(slope, here.slope, fmt=marker, label=sign, **look)
        _band(slope, here.imaged_slope[0], here.imaged_slope[1:].std(), **look)
    orders = np.linspace(1, float(data.order.max()), 100)
    slope.plot(orders, 1 - 1 / orders, "--", lw=1, label="1 - 1/z", **LAW)
    slope.set(ylabel="exponent of changes", title="Changes (bands: imaged)")
    _dots(least, data.least, fmt="o", color=SHADES[0])
    _band(least, data.imaged_least[0], data.imaged_least[1:].std(), SHADES[0])
    least.set(ylabel="exponent of the steadiest norm", title="Norms (band: imaged)")
    names = {"recorded": "in order", "shuffled": "shuffled"}
    for (name, label), color in zip(names.items(), SHADES[::5], strict=True):
        _dots(found, recovered(data, name)["mean"], fmt="o", color=color, label=label)
    found.plot(orders, orders, "--", lw=1, **LAW)
    for (name, fit), color in zip(imaged_fits(data).items(), SHADES[1:], strict=False):
        _band(found, fit.mean, widened(fit, 1), color, f"imaged, {name}")
    found.set(ylabel="number of factors found", title="Fits to simulation and imaging")
    legends((slope, found))
    for panel in row:
        panel.set_xlabel("number of factors z")
    return figure


def _dots(panel: Axes, values: DataArray, **style: Any) -> None:
    """Mean and standard deviation over seeds, by number of factors."""
    mean, error = values.mean("seed"), values.std("seed")
    panel.errorbar(values.order, mean, error, ms=4, **style)


def _band(
    panel: Axes, centre: Any, spread: Any, color: str, label: str | None = None
) -> None:
    """One standard deviation on either side."""
    ends = float(centre) - float(spread), float(centre) + float(spread)
    panel.axhspan(*ends, color=color, alpha=0.25, lw=0, label=label)


VOLATILE_ORDER = Experiment(
    name="volatile_order",
    source="beyond the paper",
    shows="how many factors, any real number from 1, fit imaged synapses",
    config=Fluctuating,
    run=simulated_images,
    claims=(
        *(order_in_changes, two_factors, changes_of_imaged, norms_of_imaged),
        *(they_agree, signs_are_unequal),
    ),
    figure=draw_volatile_order,
    control=coupled,
    axes={"slope": SLOPE},
    predict=imaged_statistics,
)
