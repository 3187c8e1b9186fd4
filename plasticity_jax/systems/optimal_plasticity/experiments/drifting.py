"""Figure 1: a network whose weights never rest while its error does."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import simulate, State
from ....experiment import Claim, Experiment, panels, Plan
from ....measure import log_slope, log_vertex
from ....signals import LossSignals
from ..config import build, Config
from .steady import BEST, loss_of, SIMULATED, THEORY


STAGES = (0.05, *np.arange(0.1, 1.01, 0.1).round(1), 1.25, 1.5, 2.0, 2.5, 3.0)
EVERY = 10  # steps between records of the weights


def loss_and_weights(
    state: State, signals: LossSignals, changes: Any
) -> dict[str, Array]:
    """Record the loss before the step and all weights after it."""
    loss = loss_of(state, signals, changes)
    return {"loss": loss, "weights": ravel_pytree(state.synapses)[0]}


def stages_and_drift(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Error while the ratio is raised in stages, and weights at ratio 1 afterwards.

    A stage lasts `steps` and its last `window` steps are averaged. `error` and
    `distance` (from the first record) then follow a run of the same length at ratio 1
    from the teacher over its last `window` steps; `departure` is the final distance
    from the teacher in units of the teacher's length.
    """
    for_build, for_stages, for_drift = jr.split(key, 3)
    _, state = build(config, for_build)

    def stage(state: State, ratio: Array) -> tuple[State, Array]:
        system, _ = build(dataclasses.replace(config, ratio=ratio), for_build)
        state, losses = simulate(
            system, state, for_stages, steps=config.steps, record=loss_of
        )
        return state, jnp.mean(losses[-config.window :])

    _, stage_loss = jax.lax.scan(stage, state, jnp.asarray(STAGES, config.ratio.dtype))
    system, start = build(dataclasses.replace(config, ratio=1.0), for_build)
    burn = config.steps - config.window
    settled, _ = simulate(system, start, for_drift, steps=max(burn, 1), record=loss_of)
    _, seen = simulate(
        system,
        settled,
        for_drift,
        steps=config.window // EVERY * EVERY,
        every=EVERY,
        record=loss_and_weights,
    )
    weights, teacher = seen["weights"], ravel_pytree(start.synapses)[0]
    return {
        "stage_loss": stage_loss,
        "error": seen["loss"],
        "distance": jnp.linalg.norm(weights - weights[:1], axis=1),
        "weight": weights[:, :: max(1, weights.shape[1] // 5)][:, :5],
        "departure": jnp.linalg.norm(weights[-1] - teacher) / jnp.linalg.norm(teacher),
    }


def fig1_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The intervals are those of the specification's prototypes of both ensembles."""
    source, stages = "Fig. 1b", np.asarray(STAGES)

    def relative(data: xarray.Dataset, ratio: float) -> float:
        curve = data.stage_loss.mean("seed", skipna=False).values
        return float(curve[np.argmin(abs(stages - ratio))] / curve.min())

    def lowest(data: xarray.Dataset) -> float:
        return log_vertex(stages, data.stage_loss.mean("seed", skipna=False).values)

    def exponent(data: xarray.Dataset) -> float:
        distance = data.distance.mean("seed", skipna=False).values[1:]
        return log_slope(np.arange(1.0, len(distance) + 1), distance)

    def trend(data: xarray.Dataset) -> float:
        error = data.error.mean("seed", skipna=False).values
        first, second = np.array_split(error, 2)
        return float(abs(second.mean() / first.mean() - 1))

    return [
        Claim(
            "error is least where repair is well below the noise (best ratio)",
            source,
            lowest(data),
            0.25,
            0.55,
            control=lowest(control),
        ),
        Claim(
            "error at ratio 1 over the least",
            source,
            relative(data, 1.0),
            1.4,
            2.3,
            control=relative(control, 1.0),
        ),
        Claim(
            "too little repair: error at ratio 0.05 over the least",
            source,
            relative(data, 0.05),
            8.0,
            control=relative(control, 0.05),
        ),
        Claim(
            "too much repair: error at ratio 2.5 over the least",
            source,
            relative(data, 2.5),
            4.0,
        ),
        Claim(
            "error has no trend at ratio 1 (change between halves)",
            "Fig. 1c",
            trend(data),
            0.0,
            0.1,
            control=trend(control),
        ),
        Claim(
            "the weights diffuse all the while (exponent of their distance)",
            "Fig. 1c",
            exponent(data),
            0.4,
            0.6,
        ),
        Claim(
            "they end far from where they began (distance over the teacher's length)",
            "Fig. 1c",
            float(data.departure.mean()),
            10.0,
        ),
    ]


def without_gradient(plan: Plan) -> Plan:
    """Negative control: compensation that does not see the loss."""
    return plan._replace(config=dataclasses.replace(plan.config, rule="noise"))


SHADES = ("#1f5fa8", "#3f9b74", "#d1731c", "#8a5bb0", "#707070")


def draw_stages_and_drift(data: xarray.Dataset) -> Figure:
    """Figure 1: error in stages of the ratio; error and weights at ratio 1."""
    figure, axes = panels(1, 3, 3.6, 2.9)
    curve, weights, distance = axes[0]
    mean = data.stage_loss.mean("seed")
    error = data.stage_loss.std("seed", ddof=1) / np.sqrt(data.sizes["seed"])
    curve.errorbar(STAGES, mean, error, marker="o", ms=4, color=SIMULATED)
    curve.axvline(1.0, color="0.8", lw=0.8, zorder=0)
    curve.set(xlabel="compensation / fluctuation", ylabel="error", yscale="log")
    steps = EVERY * np.arange(1, data.sizes["record"] + 1)
    error_trace = data.error.isel(seed=0)
    for i, color in zip(range(data.sizes["synapse"]), SHADES, strict=False):
        weights.plot(steps, data.weight.isel(seed=0, synapse=i), color=color, lw=1)
    weights.set(xlabel="step at ratio 1", ylabel="weights")
    inset = weights.inset_axes((0.0, 1.05, 1.0, 0.3), sharex=weights)
    inset.plot(steps, error_trace, color=BEST, lw=1)
    inset.set(ylabel="error", ylim=(0, None))
    inset.tick_params(labelbottom=False)
    inset.spines[["top", "right"]].set_visible(False)
    each = data.distance.transpose("record", "seed").values[1:]
    distance.plot(steps[1:], each, color=SIMULATED, lw=0.8, alpha=0.5)
    guide = each[0].mean() * np.sqrt(steps[1:] / steps[1])
    distance.plot(steps[1:], guide, "--", color=THEORY, label="square root")
    distance.set(xlabel="steps", ylabel="distance of the weights")
    distance.set(xscale="log", yscale="log")
    distance.legend(frameon=False)
    return figure


FIG1 = Experiment(
    name="fig1",
    source="Fig. 1b, c",
    shows=(
        "the ratio raised in stages: U-shaped error; weights that drift at equal rates"
    ),
    config=Config,
    run=stages_and_drift,
    claims=fig1_claims,
    figure=draw_stages_and_drift,
    control=without_gradient,
    dims={
        "stage_loss": ("stage",),
        "error": ("record",),
        "distance": ("record",),
        "weight": ("record", "synapse"),
    },
)
