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
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import Scalar, simulate, State, System
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import rotation
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory


KNOBS = {"dissipation": "dissipation", "decorrelation": "gain"}  # what is varied
HORIZON = 10.0  # between records of the course that is differentiated
WIDTH = 1e-6  # of the central difference
DIMS = {
    "rate": ("rule",),
    "slope": ("rule", "horizon"),
    "secant": ("rule", "horizon"),
}
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
    parts = [_lifetime(config, kind, knob, key) for kind, knob in KNOBS.items()]
    return {name: jnp.stack([part[name] for part in parts]) for name in DIMS}


def _lifetime(
    config: Config, kind: str, knob: str, key: Key[Array, ""]
) -> dict[str, Array]:
    for_build, for_run, for_plane, for_kick = jr.split(key, 4)
    config = dataclasses.replace(config, homeostasis=kind)
    system, state = build(config, for_build)
    spin_up = config.steps("spin_up")
    if spin_up:
        state, _ = simulate(system, state, for_run, steps=spin_up, every=spin_up)
    u, v = draw_planes("binary", 1, config.size, for_plane, orthonormal=True)[0]
    memory = imaginary_memory(u, v, config.strength)
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


def predict(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Rate $\eta\kappa_H\beta$ under dissipation and its derivative, and labels."""
    del keys
    config = plan.config
    scale = float(config.plasticity * config.homeostasis_gain)
    return xarray.Dataset(
        {"leak": scale * float(config.dissipation), "leak_slope": scale},
        {"rule": np.array(list(KNOBS), object), "horizon": horizons(config)},
    )


# --- what claims measure --------------------------------------------------------------


def mismatch(data: xarray.Dataset, rule: str) -> float:
    """Largest difference of slope and secant over the shortest horizon (relative)."""
    here = data.sel(rule=rule).isel(horizon=0)
    scale = float(np.abs(here.secant).mean(skipna=False))
    return float(np.abs(here.slope - here.secant).max(skipna=False)) / scale


def growth(data: xarray.Dataset, rule: str) -> float:
    """How the typical derivative of ln A grows from the first to the last horizon."""
    size = np.abs(data.slope.sel(rule=rule)) * data.horizon
    middle = size.median([d for d in size.dims if d != "horizon"], skipna=False)
    return float(middle.isel(horizon=-1) / middle.isel(horizon=0))


def along_curve(data: xarray.Dataset) -> tuple[float, float]:
    """Mean derivative over the curve's own slope, and its standard error.

    For gains of 0.7 or more, where chaos leaves the derivative over the second horizon
    readable; slope of the mean rate between the outer gains.
    """
    data = data.sel(rule="decorrelation", gain=slice(0.65, None))
    rates = data.rate.mean("seed", skipna=False)
    rise = float(rates[-1] - rates[0]) / float(data.gain[-1] - data.gain[0])
    each = data.slope.isel(horizon=1).mean("gain", skipna=False) / rise
    return float(each.mean()), float(each.std(ddof=1)) / each.size**0.5


def lifetime_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The derivative is exact, known under dissipation, and chaotic under activity."""
    leak = data.sel(rule="dissipation")
    unrestrained = control.sel(rule="dissipation")
    rates = data.rate.sel(rule="decorrelation").mean("seed", skipna=False)
    ratio, error = along_curve(data)
    return [
        Claim(
            "dissipation: fading over eta beta",
            "Eq. 2 with its eta, 3 %",
            float(leak.rate.mean(skipna=False) / data.leak),
            0.97,
            1.03,
            control=float(unrestrained.rate.mean(skipna=False) / data.leak),
        ),
        Claim(
            "dissipation: derivative of fading by beta over eta",
            "derived, 3 %",
            float(leak.slope.mean(skipna=False) / data.leak_slope),
            0.97,
            1.03,
        ),
        *(
            Claim(
                f"{rule}: reverse mode against central differences (relative)",
                "the same derivative twice",
                mismatch(data, rule),
                0.0,
                1e-3,
            )
            for rule in KNOBS
        ),
        Claim(
            "memories live longer as c nears 1 (fading at last c over first)",
            "derived: asym(Delta_H) = 0 at c = 1",
            float(rates[-1] / rates[0]),
            0.0,
            0.5,
        ),
        Claim(
            "the derivative over 20 units is the slope of that curve (c >= 0.7, ratio)",
            "derived: fading is stationary after spin-up; factor 2",
            ratio,
            0.5,
            2.0,
            error,
        ),
        Claim(
            "sensitivity to c explodes with the horizon (growth over that to beta)",
            "chaos; proportional to time under dissipation",
            growth(data, "decorrelation") / growth(data, "dissipation"),
            2.0,
            math.inf,
            control=growth(control, "dissipation") / growth(data, "dissipation"),
        ),
    ]


def without_restraint(plan: Plan) -> Plan:
    """Negative control: no dissipation, and a conserved anti-symmetric part."""
    config = dataclasses.replace(plan.config, dissipation=0.0, gain=1.0)
    return plan._replace(config=config, grid={})


def draw_lifetime(data: xarray.Dataset) -> Figure:
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
    for rule, colour in zip(data.rule.values, SHADES, strict=False):
        size = np.abs(data.slope.sel(rule=rule)) * data.horizon
        middle = size.median([d for d in size.dims if d != "horizon"])
        right.plot(data.horizon, middle, "o-", color=colour, label=f"{rule}: slope")
        size = np.abs(data.secant.sel(rule=rule)) * data.horizon
        middle = size.median([d for d in size.dims if d != "horizon"])
        right.plot(data.horizon, middle, "x", color="black", ms=5)
    right.plot([], [], "x", color="black", label="central difference")
    right.set(yscale="log", xlabel="horizon (neural time constants)")
    right.set_ylabel("|derivative of ln A|, median")
    right.legend(frameon=False, fontsize=8)
    return figure


LIFETIME = Experiment(
    name="lifetime",
    source="beyond the paper",
    shows=(
        "how long a memory lives, differentiated through the plasticity that erases it"
    ),
    config=Config,
    run=lifetimes,
    claims=lifetime_claims,
    figure=draw_lifetime,
    control=without_restraint,
    dims=DIMS,
    predict=predict,
    float64=True,
)
