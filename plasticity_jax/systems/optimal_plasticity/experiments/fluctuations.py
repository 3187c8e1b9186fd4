"""Late and rare repair, and fluctuations that are not white: laws beside runs."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import simulate
from ....curvature import best_ratio, lagged_loss, steady_state
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    standard_error,
)
from ....measure import log_vertex
from ....numerics import ratio as quotient
from ....rules import ReleaseNoise, Scaled
from ..config import build
from ..quadratic import Quadratic
from ..theory import best_release
from .blind import settled
from .steady import BEST, draw_beside_law, loss_of, SIMULATED, THEORY


SMALL = 1e-3  # length of fluctuations that depend on weights, which they hardly change
TIME = 4.0  # of coloured noise, in steps
LAGS: dict[str, dict[str, Any]] = {  # settings of the network and of the law
    "none": {},
    "delay 2": {"delay": 2},
    "delay 5": {"delay": 5},
    "every 3": {"every": 3},
    "every 9": {"every": 9},
    "coloured": {"correlation": math.exp(-1 / TIME)},
}
SHADES = ("0.4", SIMULATED, "#3f9b74", THEORY, BEST, "#8a5bb0")


def lags(config: Quadratic, key: Key[Array, ""]) -> dict[str, Array]:
    """Steady-state error with late, rare and usual repair, coloured noise; its law."""
    found = []
    for lag in LAGS.values():
        own = {"noise": "coloured", "noise_time": TIME} if "correlation" in lag else lag
        law = lagged_loss(config.spectrum, config.ratio, 1.0, config.corruption, **lag)  # pyright: ignore[reportArgumentType]
        found.append(jnp.stack([settled(config, key, **own)[0], law]))
    loss, law = jnp.stack(found).T
    return {"loss": loss, "law": law}


def optimum(data: Dataset, lag: str, name: str = "loss") -> float:
    """The ratio of least error, of the runs or (`law`) of the law."""
    return log_vertex(data.ratio.values, over_seeds(data[name]).sel(lag=lag).values)


@claim(
    "mean-field law with a lag",
    low=lambda data, control, lag: 0.95 * optimum(data, lag, "law"),
    high=lambda data, control, lag: 1.05 * optimum(data, lag, "law"),
    control=lambda data, control, lag: optimum(control, lag),
    each={"lag": tuple(LAGS)},
)
def best_with_lag(data: Dataset, lag: str) -> float:
    """The best ratio is the law's on the same grid within 5 %, {lag}."""
    return optimum(data, lag)


@claim(
    "balance law with noise added up: the root of 9", low=2.7, high=3.3, control=None
)
def root_of_the_interval(data: Dataset) -> float:
    """Repair at each 9th step is best 3 times as long (ratio of best ratios)."""
    return optimum(data, "every 9") / optimum(data, "none")


@claim("mean-field law with a lag", low=0.0, high=0.05, each={"lag": tuple(LAGS)})
def error_with_lag(data: Dataset, lag: str) -> float:
    """The error is the law's, {lag} (largest relative distance near the best ratio)."""
    best = optimum(data, lag, "law")
    near = data.sel(lag=lag, ratio=slice(0.6 * best, 1.7 * best))
    return float(
        abs(over_seeds(near.loss) / over_seeds(near.law) - 1).max(skipna=False)
    )


def draw_lags(data: Dataset) -> Figure:
    """Error against the ratio for every lag, and the best ratios."""
    figure, axes = panels(1, 2, 3.8, 3.1)
    error, best = axes[0]
    for lag, color in zip(data.lag.values, SHADES, strict=True):
        here = data.sel(lag=lag)
        draw_beside_law(error, here, lag, color)
        best.plot(optimum(data, lag, "law"), optimum(data, lag), "o", color=color)
    error.set(xscale="log", yscale="log", ylabel="error")
    error.set(xlabel="compensation / fluctuation")
    error.set_xticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
    error.minorticks_off()
    error.legend(frameon=False, fontsize=8)
    best.axline((1, 1), slope=1, color="0.8", lw=0.8, zorder=0)
    best.set(xlabel="best ratio of the law, on the same grid", ylabel="best ratio")
    return figure


LAGGED = Experiment(
    name="lags",
    source="beyond the paper",
    shows="late repair is best weaker, rare repair stronger: laws beside runs",
    config=Quadratic,
    run=lags,
    claims=(best_with_lag, root_of_the_interval, error_with_lag),
    figure=draw_lags,
    control=changed(rule="noise", seeds=2),
    axes={x: {"lag": tuple(LAGS)} for x in ("loss", "law")},
)


# --- fluctuations in proportion to weights, and those of release ----------------------

NOISES = ("white", "multiplicative", "even release", "best release")


def noises(config: Quadratic, key: Key[Array, ""]) -> dict[str, Array]:
    """Error at the law's best ratio, over the square of multiplicative noise's length.

    Of white noise and of multiplicative noise of one length; and of release: at one
    probability (`release`), and at probabilities of the same sum that make the error
    of the beeline least. Fluctuations of release have length 1 for the even one.
    """
    for_build, for_run = jr.split(key)
    spectrum, size = config.spectrum, SMALL / math.sqrt(len(config.spectrum))
    network = config.network(fluctuation_size=size, start_offset=0.0)
    teacher = build(network, for_build)[1].synapses[0].ravel()
    squares = teacher**2 / jnp.sum(teacher**2)
    chances = best_release(spectrum, teacher, config.release)
    even = jnp.full_like(chances, config.release)
    powers = {
        "white": jnp.full_like(squares, 1 / len(squares)),
        "multiplicative": squares,
        "even release": squares,
        "best release": squares * quotient((1 - chances) * even, (1 - even) * chances),
    }
    found = []
    for name, power in powers.items():
        length, shares = jnp.sqrt(jnp.sum(power)), power / jnp.sum(power)
        if config.rule == "beeline":
            best, law = jnp.ones_like(length), jnp.sum(spectrum * power) / 2
        else:
            best = best_ratio(spectrum, config.corruption, shares)
            state = steady_state(spectrum, best, length, config.corruption, shares)
            law = state.loss
        here = config.network(
            fluctuation_size=size,
            start_offset=0.0,
            ratio=config.ratio * best * length,
            noise="multiplicative" if name == "multiplicative" else "white",
        )
        system, start = build(here, for_build)
        if "release" in name:
            chance = (chances if "best" in name else even).reshape(network.sizes[::-1])
            scale = SMALL / jnp.sqrt(jnp.sum(teacher**2 * (1 - even) / even))
            noise = Scaled(ReleaseNoise((chance,)), scale)
            rules = {**system.rules, "fluctuation": noise}
            system = dataclasses.replace(system, rules=rules)
        options = {"steps": config.steps, "record": loss_of}
        _, losses = simulate(system, start, for_run, **options)
        found.append(jnp.stack([jnp.mean(losses[-config.window :]) / SMALL**2, law]))
    loss, law = jnp.stack(found).T
    return {"loss": loss, "law": law}


def misfit(data: Dataset, noise: str, law: str) -> float:
    """Relative distance of the error from a law."""
    near = over_seeds(data.loss.sel(noise=noise)) / over_seeds(data.law.sel(noise=law))
    return float(near - 1)


@claim(
    "mean-field law, driven directions", low=-0.04, high=0.04, each={"noise": NOISES}
)
def as_the_law(data: Dataset, noise: str) -> float:
    """The error is the law's, {noise} (relative distance)."""
    return misfit(data, noise, noise)


@claim(
    "derived: p in proportion to |w| sqrt(curvature)", low=0.0, high=0.95, control=None
)
def release_where_it_matters(data: Dataset) -> float:
    """Release is best more certain at steep, strong synapses (error / even one's)."""
    loss = over_seeds(data.loss)
    return float(loss.sel(noise="best release") / loss.sel(noise="even release"))


def draw_noises(data: Dataset) -> Figure:
    """Errors of every kind of noise beside their laws."""
    figure, axes = panels(1, 1, 4.6, 3.0)
    panel = axes[0, 0]
    labels = [name.replace(" ", "\n") for name in data.noise.values]
    mean, spread = data.loss.mean("seed"), standard_error(data.loss)
    panel.bar(labels, mean, yerr=spread, width=0.6, color=SIMULATED, label="simulated")
    panel.plot(labels, data.law.mean("seed"), "D", color=THEORY, label="law")
    panel.set(ylabel="error / square of the noise")
    panel.legend(frameon=False, fontsize=8)
    return figure


NOISY = Experiment(
    name="noises",
    source="beyond the paper",
    shows="noise in proportion to weights, and that of release, even and at its best",
    config=Quadratic,
    run=noises,
    claims=(as_the_law, release_where_it_matters),
    figure=draw_noises,
    control=changed(rule="noise"),
    axes={x: {"noise": NOISES} for x in ("loss", "law")},
    float64=True,
)
