"""How long does a memory live, and what would a little more homeostasis change?

Beyond the paper: the rate at which an imaginary memory fades, differentiated through
the plasticity of the whole network with respect to the homeostatic rule.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from xarray import DataArray, Dataset

from .... import Scalar, simulate, State, System
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    Plan,
    SHADES,
    standard_error,
    THEORY,
)
from ....measure import rotation
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory
from .erosion import spun_up, under_each
from .learning import with_error


KNOBS = {"dissipation": "dissipation", "decorrelation": "gain"}  # what is varied
HORIZON = 10.0  # between records of the course that is differentiated
WIDTH = 1e-6  # of the central difference
Vector = Float[Array, " n"]


def fading(
    config: Config,
    system: System,
    state: State,
    plane: tuple[Vector, Vector],
    records: int,
    every: int,
    key: Key[Array, ""],
) -> Float[Array, " record"]:
    r"""Rates $\ln(A(0)/A(t))/t$ at which a memory fades: one over its lifetime.

    At `records` times, `every` steps apart. Differentiable in every hyper-parameter of
    the system; memory grows as `records + every` states.
    """

    def strength(state: State, signals: Any, changes: Any) -> Scalar:
        return rotation(state.synapses, *plane)

    _, course = simulate(
        system, state, key, steps=records * every, record=strength, every=every
    )
    times = config.step * every * jnp.arange(1.0, records + 1)
    return jnp.log(rotation(state.synapses, *plane) / course) / times


def lifetimes(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Fading under each rule, and its derivative by the knob of that rule.

    `rate` (rule) over `follow`; `slope` (rule, horizon) by reverse mode through the
    run and `secant` by central differences, from the same state after `spin_up`, over
    multiples of 10 up to `duration`.
    """
    return under_each(tuple(KNOBS), _lifetime, config, key)


def _lifetime(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    for_build, for_run, for_plane, for_kick = jr.split(key, 4)
    system, state = build(config, for_build)
    spin_up = config.steps("spin_up")
    if spin_up:
        state, _ = simulate(system, state, for_run, steps=spin_up, every=spin_up)
    u, v = draw_planes("binary", 1, config.size, for_plane, orthonormal=True)[0]
    memory, knob = imaginary_memory(u, v, config.strength), KNOBS[config.homeostasis]
    start = embed(config, system, state, memory, for_kick)

    def rates(value: Scalar) -> Float[Array, " horizon"]:
        here = dataclasses.replace(config, **{knob: value})
        changed, _ = build(here, for_build)
        every, records = round(HORIZON / config.step), len(horizons(config))
        return fading(here, changed, start, (u, v), records, every, for_run)

    value, steps = getattr(config, knob), config.steps("follow")
    above, below = jax.lax.map(rates, value + jnp.asarray([WIDTH, -WIDTH]))
    whole = fading(config, system, start, (u, v), 1, steps, for_run)
    return {
        "rate": whole[0],
        "slope": jax.jacrev(rates)(value),
        "secant": (above - below) / (2 * WIDTH),
    }


def horizons(config: Config) -> np.ndarray:
    """Times over which fading is differentiated."""
    return np.arange(HORIZON, config.duration + 1e-6, HORIZON)


def predict(plan: Plan, keys: Any) -> Dataset:
    r"""Rate $\eta\kappa_H\beta$ under dissipation and its derivative."""
    del keys
    scale = float(plan.config.plasticity * plan.config.homeostasis_gain)
    leak = scale * float(plan.config.dissipation)
    return Dataset({"leak": leak, "leak_slope": scale})


# --- the derivative is exact, known under dissipation, and chaotic under activity -----


def sensitivity(derivative: DataArray, skipna: bool = True) -> DataArray:
    """The typical derivative of ln A, by horizon."""
    size = np.abs(derivative) * derivative.horizon
    return size.median([d for d in size.dims if d != "horizon"], skipna=skipna)


def growth(data: Dataset, rule: str) -> float:
    """How the typical derivative of ln A grows from the first to the last horizon."""
    middle = sensitivity(data.slope.sel(rule=rule), skipna=False)
    return float(middle.isel(horizon=-1) / middle.isel(horizon=0))


def dissipated(data: Dataset) -> DataArray:
    """The mean rate of fading under dissipation."""
    return data.rate.sel(rule="dissipation").mean(skipna=False)


@claim(
    "Eq. 2 with its eta, 3 %",
    low=0.97,
    high=1.03,
    control=lambda data, control: dissipated(control) / data.leak,
)
def fades_at_eta_beta(data: Dataset) -> float:
    """Dissipation: fading over eta beta."""
    return float(dissipated(data) / data.leak)


@claim("derived, 3 %", low=0.97, high=1.03, control=None)
def derivative_is_eta(data: Dataset) -> float:
    """Dissipation: derivative of fading by beta over eta."""
    slope = data.slope.sel(rule="dissipation")
    return float(slope.mean(skipna=False) / data.leak_slope)


@claim("the same derivative twice", low=0.0, high=1e-3, control=None, each="rule")
def exact(data: Dataset, rule: str) -> float:
    """{rule}: reverse mode against central differences (relative)."""
    here = data.sel(rule=rule).isel(horizon=0)
    scale = float(np.abs(here.secant).mean(skipna=False))
    return float(np.abs(here.slope - here.secant).max(skipna=False)) / scale


@claim("derived: asym(Delta_H) = 0 at c = 1", low=0.0, high=0.5, control=None)
def lives_longer(data: Dataset) -> float:
    """Memories live longer as c nears 1 (fading at last c over first)."""
    rates = data.rate.sel(rule="decorrelation").mean("seed", skipna=False)
    return float(rates[-1] / rates[0])


@claim(
    "derived: fading is stationary after spin-up; factor 2",
    low=0.5,
    high=2.0,
    control=None,
)
def is_the_slope_of_the_curve(data: Dataset) -> tuple[float, float]:
    """The derivative over 20 units is the slope of that curve (c >= 0.7, ratio).

    For gains of 0.7 or more, where chaos leaves the derivative over the second horizon
    readable; slope of the mean rate between the outer gains.
    """
    data = data.sel(rule="decorrelation", gain=slice(0.65, None))
    rates = data.rate.mean("seed", skipna=False)
    rise = float(rates[-1] - rates[0]) / float(data.gain[-1] - data.gain[0])
    each = data.slope.isel(horizon=1).mean("gain", skipna=False) / rise
    return with_error(each)


@claim(
    "chaos; proportional to time under dissipation",
    low=2.0,
    control=lambda data, control: (
        growth(control, "dissipation") / growth(data, "dissipation")
    ),
)
def explodes(data: Dataset) -> float:
    """Sensitivity to c explodes with the horizon (growth over that to beta)."""
    return growth(data, "decorrelation") / growth(data, "dissipation")


def draw_lifetime(data: Dataset) -> Figure:
    """Fading against the gain with its derivatives; sensitivity against the horizon."""
    figure, axes = panels(1, 2, 4.2, 3.2)
    left, right = axes[0]
    here = data.sel(rule="decorrelation")
    rate, slope = here.rate.mean("seed"), here.slope.isel(horizon=1).mean("seed")
    left.plot(data.gain, 1e4 * here.rate.values, ".", color=SHADES[0], alpha=0.4)
    left.plot(data.gain, 1e4 * rate, "o-", color=SHADES[0], label="runs")
    for gain, middle, tangent in zip(data.gain.values, rate, slope, strict=True):
        reach = np.array([-0.06, 0.06])
        line = 1e4 * (float(middle) + float(tangent) * reach)
        left.plot(gain + reach, line, color=SHADES[2], lw=2)
    left.plot([], [], color=SHADES[2], lw=2, label="derivative, by reverse mode")
    left.set(xlabel="postsynaptic gain $c$", ylabel="fading ($10^{-4}$ per unit time)")
    left.axhline(0.0, color=THEORY, lw=0.7)
    left.legend(frameon=False, fontsize=8)
    for rule, color in zip(data.rule.values, SHADES, strict=False):
        slope, secant = map(
            sensitivity, (x.sel(rule=rule) for x in (data.slope, data.secant))
        )
        right.plot(data.horizon, slope, "o-", color=color, label=f"{rule}: slope")
        right.plot(data.horizon, secant, "x", color="black", ms=5)
    right.plot([], [], "x", color="black", label="central difference")
    right.set(yscale="log", xlabel="horizon (neural time constants)")
    right.set_ylabel("|derivative of ln A|, median")
    right.legend(frameon=False, fontsize=8)
    return figure


RULE = {"rule": tuple(KNOBS)}
HORIZONS = RULE | {"horizon": horizons}
LIFETIME = Experiment(
    name="lifetime",
    source="beyond the paper",
    shows="how long a memory lives, differentiated through what erases it",
    config=Config,
    run=lifetimes,
    claims=(
        fades_at_eta_beta,
        derivative_is_eta,
        exact,
        lives_longer,
        is_the_slope_of_the_curve,
        explodes,
    ),
    figure=draw_lifetime,
    control=changed(dissipation=0.0, gain=1.0),  # at c = 1 the asymmetry is conserved
    axes={"rate": RULE, "slope": HORIZONS, "secant": HORIZONS},
    predict=predict,
    float64=True,
)


# --- the law of the lifetime by 1 - c -------------------------------------------------


def fading_of(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""The `rate` $\ln(A(0)/A(t))/t$ over `follow`, from the synapses of `spin_up`."""
    for_spin, for_plane, for_kick, for_run = jr.split(key, 4)
    system, state = spun_up(config, for_spin)
    plane = draw_planes("binary", 1, config.size, for_plane, orthonormal=True)[0]
    memory = imaginary_memory(plane[0], plane[1], config.strength)
    start = embed(config, system, state, memory, for_kick)
    steps = config.steps("follow")
    rate = fading(config, system, start, (plane[0], plane[1]), 1, steps, for_run)
    return {"rate": rate[0]}


def excess(data: Dataset) -> DataArray:
    """Fading by 1 - c, over that at c = 1: the same walk by the same noise."""
    rows = data.rate - data.rate.sel(gain=1.0)
    short = rows.assign_coords(gain=np.round(1 - data.gain, 9)).sortby("gain")
    return short.rename(gain="short").sel(short=slice(1e-6, None))


def combined(data: Dataset, weights: dict[float, float]) -> tuple[float, float]:
    """A sum of ln fading at some values of 1 - c, and its error over paired seeds."""
    rows = excess(data).sel(short=list(weights), method="nearest")
    mean = over_seeds(rows)
    by = DataArray(list(weights.values()), {"short": rows.short}, ("short",))
    total = lambda x: (by * x).sum("short", skipna=False)
    return float(total(np.log(mean))), float(standard_error(total(rows / mean)))


def exponent(data: Dataset, least: float, most: float) -> tuple[float, float]:
    """Slope of ln fading by ln(1 - c) between two of its values, and its error."""
    apart = math.log(most / least)
    return combined(data, {least: -1 / apart, most: 1 / apart})


NEAR = (0.02, 0.05, 0.1)


def exponent_at_one(data: Dataset) -> tuple[float, float]:
    """The exponent at c = 1 by a straight line through those of two nearby intervals.

    Each belongs to the geometric mean of its ends: an exponent departs from that of
    first order in proportion to 1 - c.
    """
    a, b, c = NEAR
    near, far = math.sqrt(a * b), math.sqrt(b * c)
    beyond = near / (far - near)
    first, last = -(1 + beyond) / math.log(b / a), -beyond / math.log(c / b)
    return combined(data, {a: first, b: -first - last, c: last})


@claim(
    "derived: asym(Delta_H) is of first order in 1 - c; 4 standard errors",
    low=lambda data, control: 1 - 4 * exponent_at_one(data)[1],
    high=lambda data, control: 1 + 4 * exponent_at_one(data)[1],
    control=lambda data, control: exponent(data, 0.2, 0.5),
)
def is_of_first_order(data: Dataset) -> tuple[float, float]:
    """Near c = 1 a memory fades at a rate proportional to 1 - c (exponent at c = 1, by
    those from 0.02 to 0.05 and to 0.1); control: from 0.2 to 0.5.
    """
    return exponent_at_one(data)


@claim(
    "derived: higher orders; the direction, beyond 4 standard errors",
    low=lambda data, control: 1 + 4 * exponent_at_one(data)[1],
    control=lambda data, control: exponent_at_one(data),
)
def is_steeper_further_on(data: Dataset) -> tuple[float, float]:
    """Further from c = 1 it fades faster than that (exponent, from 0.2 to 0.5);
    control: at c = 1.
    """
    return exponent(data, 0.2, 0.5)


def draw_law(data: Dataset) -> Figure:
    """Fading over that of noise alone against 1 - c, and the law of first order."""
    figure, axes = panels(1, 1, 4.0, 3.0)
    panel, rows = axes[0, 0], excess(data)
    mean, error = over_seeds(rows), standard_error(rows)
    options = {"fmt": "o-", "color": SHADES[0], "capsize": 2, "label": "runs"}
    panel.errorbar(rows.short, 1e4 * mean, 1e4 * error, **options)
    law = float(mean[0] / mean.short[0]) * mean.short
    panel.plot(mean.short, 1e4 * law, "--", color=THEORY, label="first order in 1 - c")
    panel.set(xscale="log", yscale="log", xlabel="1 - c")
    panel.set_ylim(bottom=1e4 * float(mean.min()) / 3)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    panel.set_ylabel("fading ($10^{-4}$ per unit time)")
    panel.legend(frameon=False, fontsize="small")
    return figure


LIFETIME_LAW = Experiment(
    name="lifetime_law",
    source="beyond the paper",
    shows="a memory's lifetime against 1 - c: of first order near c = 1",
    config=Config,
    run=fading_of,
    claims=(is_of_first_order, is_steeper_further_on),
    figure=draw_law,
    control=changed(homeostasis_gain=0.0),  # all fade alike, by noise
)
