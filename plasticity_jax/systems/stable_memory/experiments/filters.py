"""How the published code filters and integrates, and what that does to a memory."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import Scalar, simulate, State
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ..config import Config, embed
from .erosion import (
    AFTER,
    coefficients,
    memories,
    record_coefficients,
    spun_up,
    thinned_times,
    without_homeostasis,
)


# --- the filter of the decorrelation rule ---------------------------------------------

GAINS = (0.5, 0.9, 1.0)
FILTERS = (*(f"c = {gain}" for gain in GAINS), "published", "low-pass")


def spectral_edge(state: State) -> Scalar:
    """The largest real part of the spectrum."""
    return jnp.max(jnp.real(jnp.linalg.eigvals(state.synapses)))


def filtered(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """An imaginary memory under decorrelation with each of `FILTERS`.

    `coefficient` (filter, time) and the `edge` (filter, end) of the spectrum just after
    the embedding and at the end.
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    frame, patterns = memories(config, for_memory)
    record = jax.tree_util.Partial(record_coefficients, frame)
    steps, every = config.steps("follow"), config.steps("record_every")

    def under(rule: str, gain: Scalar) -> tuple[Array, Array]:
        changed = dataclasses.replace(config, homeostasis=rule, gain=gain)
        system, state = spun_up(changed, for_spin)
        start = embed(changed, system, state, patterns[1], for_kick)
        end, course = simulate(
            system, start, for_run, steps=steps, record=record, every=every
        )
        first = coefficients(start.synapses, frame)
        course = jnp.append(first[1], course[:, 1])
        return course, jnp.stack([spectral_edge(start), spectral_edge(end)])

    gains = jnp.asarray(GAINS)
    each = jax.vmap(lambda gain: under("decorrelation", gain))(gains)
    literal = under("decorrelation_literal", config.gain)
    lowpass = under("decorrelation_lowpass", config.gain)
    course, edge = jax.tree.map(
        lambda x, *others: jnp.concatenate([x, jnp.stack(others)]),
        each,
        literal,
        lowpass,
    )
    return {"coefficient": course, "edge": edge}


def predict_filters(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Escape of the low-pass: $\eta\kappa_HBt$ since the start of the run."""
    del keys
    config, times = plan.config, thinned_times(plan.config)
    rate = float(config.plasticity * config.homeostasis_gain * config.correlation)
    return xarray.Dataset(
        {"escape": ("time", rate * (config.spin_up + times))},
        {"filter": list(FILTERS), "time": times},
    )


def filters_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The postsynaptic gain sets how long memories live; a low-pass does not restrain.

    Controls are other filters of the same data, and no homeostasis.
    """
    kept = (data.coefficient / data.coefficient.isel(time=0)).isel(time=-1)

    def left(name: str) -> float:
        return float(kept.sel(filter=name).mean("seed", skipna=False))

    def error(name: str) -> float:
        spread = kept.sel(filter=name).std("seed", ddof=1)
        return float(spread) / math.sqrt(data.sizes["seed"])

    def edge(data: xarray.Dataset, name: str) -> float:
        here = data.edge.sel(filter=name).mean("seed", skipna=False)
        law = float(data.escape[-1] - data.escape[0])
        return float(here.isel(end=1) - here.isel(end=0)) / law

    return [
        Claim(
            "c = 1: share of the imaginary memory left at the end; control: c = 0.5",
            "theory: noise alone moves it",
            left("c = 1.0"),
            0.99,
            1.01,
            error("c = 1.0"),
            left("c = 0.5"),
        ),
        Claim(
            "c = 0.9: share left at the end; control: c = 0.5",
            "independent evaluation: 0.955",
            left("c = 0.9"),
            0.93,
            0.98,
            error("c = 0.9"),
            left("c = 0.5"),
        ),
        Claim(
            "c = 0.5: share left at the end; control: c = 1",
            "independent evaluation: 3.03 of 5.02",
            left("c = 0.5"),
            0.5,
            0.7,
            error("c = 0.5"),
            left("c = 1.0"),
        ),
        Claim(
            "the published filter: a gain of 0.9, one step late (ratio of shares "
            "left); control: 0.5",
            "theory: its fixed point; the delay costs at most exp(-eta dt B t / 9)",
            left("published") / left("c = 0.9"),
            0.87,
            1.0,
            control=left("c = 0.5") / left("c = 0.9"),
        ),
        Claim(
            "low-pass: the edge of the spectrum escapes (slope over eta B); control: "
            "memoryless",
            "independent evaluation: 12.4 / 12.5 and 49.5 / 49.5",
            edge(data, "low-pass"),
            0.9,
            1.1,
            control=edge(data, "c = 0.9"),
        ),
    ]


def draw_filters(data: xarray.Dataset) -> Figure:
    """Imaginary memories under each filter, and the edge of the spectrum."""
    figure, axes = panels(1, 2, 3.8, 2.8)
    memory, edge = axes[0]
    names = ("c = 1.0", "c = 0.9", "c = 0.5", "published", "low-pass")
    ends = [float(data.time[0]), float(data.time[-1])]
    for name, color in zip(names, SHADES, strict=False):
        here = data.sel(filter=name).mean("seed")
        memory.plot(data.time, here.coefficient, color=color, label=name)
        edge.plot(ends, here.edge, "o-", ms=4, color=color)
    law = {"color": "black", "lw": 1, "label": "eta B t"}
    edge.plot(data.time, data.escape, "--", **law)
    memory.set(xlabel=AFTER, ylabel="strength of the imaginary memory", ylim=(0, 6))
    edge.set(xlabel=AFTER, ylabel="largest real part of the spectrum")
    memory.legend(frameon=False, fontsize="x-small", loc="lower left")
    edge.legend(frameon=False, fontsize="x-small")
    return figure


def draw_integrators(data: xarray.Dataset) -> Figure:
    """Imaginary memories under Euler steps and RK4, every seed."""
    gains = data.initial_gain.values
    figure, axes = panels(1, len(gains), 3.8, 2.8)
    names = {"rk4": ("fourth order", SHADES[0]), "euler": ("Euler", SHADES[2])}
    for panel, gain in zip(axes[0], gains, strict=True):
        for name, (label, color) in names.items():
            courses = data.coefficient.sel(integrator=name, initial_gain=gain)
            for k, course in enumerate(courses.transpose("seed", "time").values):
                first = label if k == 0 else None
                panel.plot(data.time, course, color=color, lw=1, label=first)
        limit = float(data.limit)
        panel.axhline(limit, ls="--", color=THEORY, lw=1, label="Euler's limit")
        panel.set(title=f"Initial gain {gain:g}", xlabel=AFTER, ylim=(3.0, 5.5))
        panel.set_xscale("symlog", linthresh=100.0)
        panel.set_xlim(0.0, float(data.time[-1]))
    axes[0, 0].set(ylabel="strength of the imaginary memory")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


FILTERED = Experiment(
    name="filters",
    source="Eq. 4, published code",
    shows=(
        "the postsynaptic gain sets the life time of memories; a low-pass lets weights "
        "escape"
    ),
    config=Config,
    run=filtered,
    claims=filters_claims,
    figure=draw_filters,
    control=without_homeostasis,
    dims={"coefficient": ("filter", "time"), "edge": ("filter", "end")},
    predict=predict_filters,
)


# --- the integrator -------------------------------------------------------------------

INTEGRATORS = ("euler", "rk4")


def integrated(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """An imaginary memory under rate control, potentials integrated either way.

    `coefficient` (integrator, time).
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    frame, patterns = memories(config, for_memory)
    record = jax.tree_util.Partial(record_coefficients, frame)
    steps, every = config.steps("follow"), config.steps("record_every")

    def with_(integrator: str) -> Array:
        changed = dataclasses.replace(config, integrator=integrator)
        system, state = spun_up(changed, for_spin)
        start = embed(changed, system, state, patterns[1], for_kick)
        _, course = simulate(
            system, start, for_run, steps=steps, record=record, every=every
        )
        first = coefficients(start.synapses, frame)
        return jnp.append(first[1], course[:, 1])

    return {"coefficient": jnp.stack([with_(name) for name in INTEGRATORS])}


def predict_limit(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Strength above which Euler steps excite a memory, $\sqrt{2/\Delta t - 1}$."""
    del keys
    limit = math.sqrt(2 / plan.config.step - 1)
    return xarray.Dataset(
        {"limit": limit},
        {"integrator": list(INTEGRATORS), "time": thinned_times(plan.config)},
    )


def euler_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Euler steps erode a memory that the equation keeps."""

    def over_limit(data: xarray.Dataset, integrator: str, time: float) -> float:
        here = data.coefficient.sel(integrator=integrator, initial_gain=0.0)
        at = here.sel(time=time, method="nearest").mean("seed", skipna=False)
        return float(at / data.limit)

    def last(integrator: str, gain: float, data: xarray.Dataset = data) -> float:
        here = data.coefficient.sel(integrator=integrator, initial_gain=gain)
        kept = here.isel(time=-1) / here.isel(time=0)
        return float(kept.mean("seed", skipna=False))

    return [
        Claim(
            "Euler, W(0) = 0: strength 100 after embedding 5 over Euler's limit; "
            "control: fourth order",
            "theory: active, and eroded, above sqrt(2/dt - 1)",
            over_limit(data, "euler", 100.0),
            0.85,
            1.01,
            control=over_limit(data, "rk4", 100.0),
        ),
        Claim(
            "the same; control: without homeostasis",
            "theory; independent evaluation: 3.97 / 4.36",
            over_limit(data, "euler", 100.0),
            0.85,
            1.01,
            control=over_limit(control, "euler", 100.0),
        ),
        Claim(
            "fourth order, W(0) = 0: share of the memory left at the end; control: "
            "Euler",
            "theory: noise alone moves it; independent evaluation: 5.01 of 5.00",
            last("rk4", 0.0),
            0.99,
            1.01,
            control=last("euler", 0.0),
        ),
        Claim(
            "Euler, g = 2, as published: share of the memory left at the end; control: "
            "without homeostasis",
            "independent evaluation: 4.50 of 4.84",
            last("euler", 2.0),
            0.85,
            0.99,
            control=last("euler", 2.0, control),
        ),
        Claim(
            "g = 2: live activity, not Euler, takes that share (Euler over fourth "
            "order); control: W(0) = 0",
            "the equation at the published start",
            last("euler", 2.0) / last("rk4", 2.0),
            0.95,
            1.05,
            control=last("euler", 0.0) / last("rk4", 0.0),
        ),
    ]


EULER = Experiment(
    name="euler",
    source="published code",
    shows="Euler steps of 0.1 erode imaginary memories that the equation keeps",
    config=Config,
    run=integrated,
    claims=euler_claims,
    figure=draw_integrators,
    control=without_homeostasis,
    dims={"coefficient": ("integrator", "time")},
    predict=predict_limit,
)
