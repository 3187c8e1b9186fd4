"""Beyond the paper: how many factors, any real number, fit imaged synapses."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ..fluctuations import (
    exponents,
    Fit,
    fit_order,
    in_random_order,
    least,
    resampled_variations,
    SIGNS,
    slopes,
    Weights,
)
from .fluctuating import Config, recorded
from .imaging import imaged_weights, SIDES


THINNED = 3  # samples of 10 min to one image every half hour
RESAMPLES = 40  # of the imaged synapses
ARRANGEMENTS = ("recorded", "shuffled")


def seen(weights: Weights, draws: int, key: Key[Array, ""]) -> dict[str, Array]:
    """`slope` (arrangement, sign) of changes between images, and where norms are least.

    `least` is the mean over a bootstrap of `draws`. `shuffled` images come in an order
    of each synapse's own.
    """
    for_order, for_draws = jr.split(key)
    q = exponents()
    curves = resampled_variations(weights, q, draws, for_draws)
    mixed = in_random_order(weights, for_order)
    return {
        "slope": jnp.stack([slopes(weights, 1), slopes(mixed, 1)]),
        "least": jnp.mean(least(curves, q)),
    }


def simulated_images(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
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
    return jax.lax.map(
        lambda draw: seen(weights[draw[0]], draws, draw[1]),
        (jnp.concatenate([everyone, chosen]), keys),
    )


def imaged_statistics(plan: Plan, keys: Any) -> xarray.Dataset:
    """The same of imaged synapses; first of all of them, then of a bootstrap."""
    del keys
    got = _resampled(imaged_weights(), plan.config.draws, jr.key(0))
    return xarray.Dataset(
        {
            "imaged_slope": (("draw", "arrangement", "sign"), np.asarray(got["slope"])),
            "imaged_least": ("draw", np.asarray(got["least"])),
        },
        {"arrangement": list(ARRANGEMENTS), "sign": list(SIGNS)},
    )


# --- fits -----------------------------------------------------------------------------


def _covariance(values: np.ndarray) -> np.ndarray:
    """Of single runs about the mean of their order; (order, seed, statistic)."""
    orders, seeds, count = values.shape
    away = (values - values.mean(axis=1, keepdims=True)).reshape(-1, count)
    return away.T @ away / max(orders * (seeds - 1), 1)


def _fitted(
    observed: np.ndarray, covariance: np.ndarray, orders: np.ndarray, law: np.ndarray
) -> Fit:
    """`fit_order`, compiled once."""
    real = lambda x: jnp.asarray(x, jnp.result_type(float))
    return _fit(real(observed), real(covariance), real(orders), real(law))


_fit = eqx.filter_jit(fit_order)


def recovered(data: xarray.Dataset, arrangement: str) -> xarray.Dataset:
    """The order found in every simulated recording, from those of all other seeds.

    `mean` and `misfit` over order and seed, from the slopes of the `recorded` samples
    or of `shuffled` ones.
    """
    law = _values(data.slope.sel(arrangement="recorded"))
    runs = _values(data.slope.sel(arrangement=arrangement))
    seeds, orders = law.shape[1], data.order.values
    covariance = _covariance(law) * seeds / max(seeds - 1, 1)
    fits = [
        [
            _fitted(
                runs[i, j], covariance, orders, np.delete(law, j, axis=1).mean(axis=1)
            )
            for j in range(seeds)
        ]
        for i in range(len(orders))
    ]
    pick = lambda name: np.array(
        [[float(getattr(f, name)) for f in row] for row in fits]
    )
    dims = ("order", "seed")
    return xarray.Dataset(
        {name: (dims, pick(name)) for name in ("mean", "misfit")}, {"order": orders}
    )


def imaged_fits(data: xarray.Dataset) -> dict[str, Fit]:
    """The order that imaged synapses have: from `increments`, and from `norms`."""
    slope = data.imaged_slope.sel(arrangement="recorded")
    law = _values(data.slope.sel(arrangement="recorded"))
    norms = _values(data.least.expand_dims(statistic=1))
    return {
        "increments": _imaged_fit(data, slope.values, law),
        "norms": _imaged_fit(data, data.imaged_least.values[:, None], norms),
    }


def _imaged_fit(data: xarray.Dataset, draws: np.ndarray, runs: np.ndarray) -> Fit:
    """From the first of `draws` (draw, statistic), the others its bootstrap."""
    noise = np.cov(draws[1:].T, ddof=1).reshape(draws.shape[1], -1)
    covariance = noise + _covariance(runs) / runs.shape[1]
    return _fitted(draws[0], covariance, data.order.values, runs.mean(axis=1))


def widened(fit: Fit, freedom: int) -> float:
    r"""The deviation, times $\sqrt{\chi^2/\nu}$ where the fit misses by more."""
    return float(fit.deviation) * math.sqrt(max(float(fit.misfit) / freedom, 1.0))


def _values(values: xarray.DataArray) -> np.ndarray:
    return values.transpose("order", "seed", ...).values


# --- claims ---------------------------------------------------------------------------


def coupled(plan: Plan) -> Plan:
    """Negative control: z = 2, half of the noise multiplied by the slow factor."""
    config = dataclasses.replace(plan.config, coupling=0.5, coupled=True)
    return Plan(config, {"order": np.array([2.0])}, 1)


def order_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Changes and norms, apart, tell how many factors imaged synapses have."""
    fits = imaged_fits(data)
    found = {name: recovered(data, name) for name in ARRANGEMENTS}
    wrong = {
        name: float(np.sqrt(((x["mean"] - x.order) ** 2).mean(skipna=False)))
        for name, x in found.items()
    }
    law = _values(data.slope.sel(arrangement="recorded"))
    noise = _covariance(law)
    other = control.slope.sel(arrangement="recorded").isel(order=0, seed=0).values
    mistaken = _fitted(other, noise, data.order.values, law.mean(axis=1))
    two = found["recorded"]["mean"].sel(order=2.0)
    by_changes, by_norms = fits["increments"], fits["norms"]
    apart = abs(float(by_changes.mean - by_norms.mean))
    error = widened(by_changes, freedom=1)
    within = math.hypot(error, float(by_norms.deviation))
    return [
        Claim(
            "simulated images: root mean square error of the number of factors found "
            "in their changes; control: images in random order",
            "beyond the paper: the nearest whole number is right",
            wrong["recorded"],
            0.0,
            0.5,
            control=wrong["shuffled"],
        ),
        Claim(
            "simulated images, z = 2: number of factors found; control: noise that "
            "passes through the slow factor, k = 0.5",
            "beyond the paper: the nearest whole number is right",
            float(two.mean(skipna=False)),
            1.5,
            2.5,
            float(two.std(ddof=1)) / math.sqrt(max(data.sizes["seed"], 1)),
            float(mistaken.mean),
        ),
        Claim(
            "imaged synapses: number of factors in their changes (error widened by the "
            "misfit)",
            "Fig. 6: the nearest whole number is 2 or 3",
            float(by_changes.mean),
            1.5,
            3.5,
            error,
        ),
        Claim(
            "imaged synapses: number of factors in their norms",
            "Fig. 6: the nearest whole number is 2 or 3",
            float(by_norms.mean),
            1.5,
            3.5,
            float(by_norms.deviation),
        ),
        Claim(
            "changes and norms of imaged synapses tell the same number of factors "
            "(difference, standard errors)",
            "beyond the paper",
            apart / within,
            0.0,
            2.0,
        ),
        Claim(
            "yet no number of factors makes changes that grow and shrink as unequally "
            "(chi-squared of the best fit); control: simulated images, mean",
            "beyond the paper: above the 99 % point of two degrees of freedom",
            float(by_changes.misfit),
            9.21,
            math.inf,
            control=float(found["recorded"]["misfit"].mean(skipna=False)),
        ),
    ]


def draw_volatile_order(data: xarray.Dataset) -> Figure:
    """Changes and norms against the number of factors, and what imaging tells."""
    from ..experiments.volatile_order import imaged_fits, recovered, widened

    figure, axes = panels(1, 3, 3.6, 2.9)
    slope, least, found = axes[0]
    for sign, color in zip(SIDES, SHADES, strict=False):
        values = data.slope.sel(arrangement="recorded", sign=sign)
        style = {"fmt": SIDES[sign][0], "ms": 4, "color": color, "label": sign}
        slope.errorbar(data.order, values.mean("seed"), values.std("seed"), **style)
        imaged = data.imaged_slope.sel(arrangement="recorded", sign=sign)
        _band(slope, float(imaged[0]), float(imaged[1:].std()), color)
    orders = np.linspace(1, float(data.order.max()), 100)
    slope.plot(orders, 1 - 1 / orders, "--", color=THEORY, lw=1, label="1 - 1/z")
    slope.set(ylabel="exponent of changes", title="Changes (bands: imaged)")
    slope.legend(frameon=False, fontsize="x-small")
    mean, error = data.least.mean("seed"), data.least.std("seed")
    least.errorbar(data.order, mean, error, fmt="o", ms=4, color=SHADES[0])
    imaged = data.imaged_least
    _band(least, float(imaged[0]), float(imaged[1:].std()), SHADES[0])
    least.set(ylabel="exponent of the steadiest norm", title="Norms (band: imaged)")
    for name, color in {"recorded": SHADES[0], "shuffled": SHADES[5]}.items():
        values = recovered(data, name)["mean"]
        label = "in order" if name == "recorded" else "shuffled"
        style = {"fmt": "o", "ms": 4, "color": color, "label": label}
        found.errorbar(data.order, values.mean("seed"), values.std("seed"), **style)
    found.plot(orders, orders, "--", color=THEORY, lw=1)
    for (name, fit), color in zip(imaged_fits(data).items(), SHADES[1:], strict=False):
        _band(found, float(fit.mean), widened(fit, 1), color, f"imaged, {name}")
    found.set(ylabel="number of factors found", title="Fits to simulation and imaging")
    found.legend(frameon=False, fontsize="x-small")
    for panel in axes[0]:
        panel.set(xlabel="number of factors z")
    return figure


def _band(
    panel: Axes, centre: float, spread: float, color: str, label: str | None = None
) -> None:
    """One standard deviation on either side."""
    low, high = centre - spread, centre + spread
    panel.axhspan(low, high, color=color, alpha=0.25, lw=0, label=label)


VOLATILE_ORDER = Experiment(
    name="volatile_order",
    source="beyond the paper",
    shows="how many factors, any real number from 1, fit imaged synapses",
    config=Config,
    run=simulated_images,
    claims=order_claims,
    figure=draw_volatile_order,
    control=coupled,
    dims={"slope": ("arrangement", "sign")},
    predict=imaged_statistics,
)
