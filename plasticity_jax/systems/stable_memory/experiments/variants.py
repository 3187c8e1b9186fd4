"""Rate rules of the published code's history, its final one and the printed one.

Some show the asymmetry of Fig. 2, some do not restrain every network, the printed one
does not restrain any that holds a real memory.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import AbstractSignals, Scalar, simulate, State
from ....experiment import Claim, Experiment, panels, Plan
from ..config import Config, embed
from .erosion import (
    _name,
    _shares,
    coefficients,
    COLORS,
    Frame,
    MEMORIES,
    memories,
    retained,
    spun_up,
    thinned_times,
    without_homeostasis,
)


Matrix = Float[Array, "n n"]
RATE_RULES = (
    "rate_control",
    "average_scaling",
    "rate_control_ones",
    "additive",
    "rate_control_elementwise",
)
FAR = 1e3  # Frobenius norm at which weights count as lost, and are no longer followed


def bounded(weights: Matrix, frame: Frame) -> tuple[Float[Array, " memory"], Scalar]:
    """Coefficients and norm of weights: 0 and `FAR` of those that are lost."""
    norm = jnp.linalg.norm(weights)
    near = norm < FAR  # not so where it is NaN
    own = jnp.where(near, coefficients(weights, frame), 0.0)
    return own, jnp.where(near, norm, FAR)


def record_bounded(
    frame: Frame, state: State, signals: AbstractSignals, changes: dict[str, Any]
) -> tuple[Float[Array, " memory"], Scalar]:
    """`bounded` after every step."""
    del signals, changes
    return bounded(state.synapses, frame)


def restrained(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """A real and an imaginary memory under each of `RATE_RULES`.

    `coefficient` (rule, memory, time), its value `before` (rule, memory) and the `norm`
    (rule, memory, time) of all weights, which stops at `FAR`; lost weights count as a
    coefficient of zero.
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    frame, patterns = memories(config, for_memory)
    record = jax.tree_util.Partial(record_bounded, frame)
    steps, every = config.steps("follow"), config.steps("record_every")

    def under(rule: str) -> tuple[Array, Array, Array]:
        system, state = spun_up(dataclasses.replace(config, homeostasis=rule), for_spin)

        def follow(memory: Matrix) -> tuple[Array, Array]:
            start = embed(config, system, state, memory, for_kick)
            _, (course, norms) = simulate(
                system, start, for_run, steps=steps, record=record, every=every
            )
            first, size = bounded(start.synapses, frame)
            return jnp.concatenate([first[None], course]), jnp.append(size, norms)

        course, norms = jax.vmap(follow)(patterns)
        own = jnp.diagonal(course, axis1=0, axis2=2).T
        return own, bounded(state.synapses, frame)[0], norms

    course, before, norms = zip(*(under(rule) for rule in RATE_RULES), strict=True)
    return {
        "coefficient": jnp.stack(course),
        "before": jnp.stack(before),
        "norm": jnp.stack(norms),
    }


def label_rules(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; no theory."""
    del keys
    coords = {"rule": list(RATE_RULES), "memory": list(MEMORIES)}
    return xarray.Dataset(coords={**coords, "time": thinned_times(plan.config)})


def variants_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Which of the rules restrain, and that those which do are asymmetric."""
    kept, free = retained(data), retained(control)
    growth = data.norm.isel(time=-1) / data.norm.isel(time=0)
    growth = xarray.where(data.norm.isel(time=-1) >= FAR, math.inf, growth)

    def gap(kept: xarray.DataArray, rule: str) -> float:
        at = kept.sel(rule=rule).sel(time=100.0, method="nearest")
        mean = at.mean("seed", skipna=False)
        return float(mean.sel(memory="imaginary") - mean.sel(memory="real"))

    def escaped(rule: str, memory: str | list[str]) -> float:
        return float((growth.sel(rule=rule, memory=memory) >= 2).mean())

    claims = [
        Claim(
            f"{rule.replace('_', ' ')}: imaginary minus real memory, shares left after "
            "100",
            "published code; independent evaluation: 0.7 and above",
            gap(kept, rule),
            0.5,
            1.5,
            control=gap(free, rule),
        )
        for rule in ("average_scaling", "rate_control")
    ]
    claims.append(
        Claim(
            "the printed, element-wise rule diverges after a real memory (share of "
            "runs whose norm doubles); control: the matrix product",
            "Eq. 3; independent evaluation: eigenvalue 95 after 500",
            escaped("rate_control_elementwise", "real"),
            1.0,
            1.0,
            control=escaped("rate_control", "real"),
        )
    )
    for rule in ("rate_control_ones", "additive"):
        claims.append(
            Claim(
                f"{rule.replace('_', ' ')} does not restrain every network (share of "
                "runs whose norm doubles, both memories); control: average scaling",
                "published code, commented out; differs from one evaluated seed",
                escaped(rule, list(MEMORIES)),
                0.05,
                1.0,
                control=escaped("average_scaling", list(MEMORIES)),
            )
        )
    return claims


def draw_variants(data: xarray.Dataset) -> Figure:
    """Share of either memory and norm of the weights under every rate rule."""
    rules = list(data.rule.values)
    figure, axes = panels(2, len(rules), 2.7, 2.2)
    left = _shares(data).where(data.norm < float(data.norm.max()))
    for column, rule in enumerate(rules):
        top, bottom = axes[:, column]
        for memory, color in COLORS.items():
            for seed in range(min(4, data.sizes["seed"])):
                here = {"rule": rule, "memory": memory, "seed": data.seed.values[seed]}
                label = memory if seed == 0 else None
                top.plot(data.time, left.sel(here), color=color, lw=1, label=label)
                bottom.semilogy(data.time, data.norm.sel(here), color=color, lw=1)
        top.set(title=_name(rule), ylim=(-1.0, 2.5))
        bottom.set(ylim=(1.0, 2e3), xlabel="time after embedding")
    axes[0, 0].set(ylabel="share of the memory left")
    axes[1, 0].set(ylabel="norm of the weights")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


VARIANTS = Experiment(
    name="variants",
    source="published code; Eq. 3",
    shows=(
        "restraints that act through activity spare imaginary memories; Eq. 3 as "
        "printed restrains nothing"
    ),
    config=Config,
    run=restrained,
    claims=variants_claims,
    figure=draw_variants,
    control=without_homeostasis,
    dims={
        "coefficient": ("rule", "memory", "time"),
        "before": ("rule", "memory"),
        "norm": ("rule", "memory", "time"),
    },
    predict=label_rules,
)
