"""Figures 3 and 4: single steps on a two-dimensional bowl."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar, simulate, State, System
from ....circuits import LossCircuit
from ....curvature import newton_direction, quadratic_form
from ....experiment import changed, claim, Experiment, over_seeds, panels
from ....numerics import normal, tree_norm, tree_unit
from ....rules import Descent, Normalised, OptimalMagnitude, Wiener
from ....tasks import Constant
from ..config import Landscape
from ..theory import optimal_length
from .steady import BEST, SIMULATED, THEORY


Point = Float[Array, " 2"]
EXAMPLE = 1.6  # optimal length, corrupted over clean, of the point that is drawn
MEANS = ("length", "gain", "curvature")  # what is averaged over points
LENGTHS = 41  # points of a curve of loss against step length, in optimal lengths 0..2.5
SPACING = 2.5 / (LENGTHS - 1)  # of these points


class Bowl(eqx.Module):
    r"""$F = \frac12 \sum_i \lambda_i w_i^2$."""

    stiffness: Point

    def __call__(self, weights: Point, stimulus: None = None) -> Scalar:
        del stimulus
        return jnp.sum(self.stiffness * weights**2) / 2


def steps_on_a_bowl(config: Landscape, key: Key[Array, ""]) -> dict[str, Array]:
    """Optimal steps along the gradient, a corrupted gradient and Newton's direction.

    Over `trials` points at one distance from the minimum in random directions: optimal
    lengths (Eq. 6) and what they gain; `tangency` is the cosine between the gradient
    after the optimal step and the step; `retrace` the distance between Newton's step
    after a fluctuation from the minimum and minus the fluctuation; `start`, `end` and
    `curve` show both directions from one point; `repair` the mean length of optimal
    steps in a steady state, in units of the fluctuation.
    """
    for_points, for_noise, for_run = jr.split(key, 3)
    loss = Bowl(jnp.stack([config.stiffness, config.softness]))
    points = normal(for_points, (config.trials, 2))
    points = config.distance * points / jnp.linalg.norm(points, axis=1, keepdims=True)

    def at(point: Point, noise: Point) -> dict[str, Any]:
        downhill = tree_unit(-jax.grad(loss)(point))
        corrupted = tree_unit(downhill + config.corruption * tree_unit(noise))
        out: dict[str, Any] = {}
        for name, direction in {"gradient": downhill, "corrupted": corrupted}.items():
            length = optimal_length(loss, point, direction)
            after = point + length * direction
            steps = length * jnp.linspace(0.0, 2.5, LENGTHS)
            out[name] = {
                "length": length,
                "gain": loss(point) - loss(after),
                "curvature": quadratic_form(loss, point, direction),
                "tangency": tree_unit(jax.grad(loss)(after)) @ direction,
                "end": after,
                "steps": steps,
                "curve": jax.vmap(lambda s, d=direction: loss(point + s * d))(steps),
            }
        newton = newton_direction(loss, config.fluctuation * downhill)
        out["retrace"] = tree_norm(newton + config.fluctuation * downhill)
        return out

    seen = jax.vmap(at)(points, normal(for_noise, points.shape))
    rules = {
        "compensation": OptimalMagnitude(Descent(), 100.0),
        "fluctuation": Normalised(Wiener(), config.fluctuation),
    }
    system = System(Constant(None), LossCircuit(loss), rules)
    start = State(None, points[0])
    of = lambda state, signals, changes: tree_norm(changes["compensation"])
    _, lengths = simulate(system, start, for_run, steps=config.trials, record=of)
    gradient, corrupted = seen["gradient"], seen["corrupted"]
    pairs = {name: jnp.stack([x, corrupted[name]]) for name, x in gradient.items()}
    worse = corrupted["gain"] < gradient["gain"]
    longer = corrupted["length"] / gradient["length"]
    example = jnp.argmin(jnp.where(worse, jnp.abs(longer - EXAMPLE), jnp.inf))
    means = {name: jnp.mean(pairs[name], axis=1) for name in MEANS}
    shown = {name: pairs[name][:, example] for name in ("steps", "curve", "end")}
    return {
        **means,
        **shown,
        "tangency": jnp.max(jnp.abs(pairs["tangency"]), axis=1),
        "retrace": jnp.max(seen["retrace"]),
        "start": points[example],
        "eigenvalue": loss.stiffness,
        "repair": jnp.mean(lengths[config.trials // 10 :]) / config.fluctuation,
    }


DIRECTION = {"direction": ("gradient", "corrupted")}
CURVE = DIRECTION | {"place": np.linspace(0.0, 2.5, LENGTHS)}  # in optimal lengths
AXIS = {"axis": ("stiff", "soft")}
AXES = {
    **dict.fromkeys((*MEANS, "tangency"), DIRECTION),
    **dict.fromkeys(("steps", "curve"), CURVE),
    **dict.fromkeys(("start", "eigenvalue"), AXIS),
    "end": DIRECTION | AXIS,
}


# --- Figure 3: curvature limits how much compensation helps ---------------------------


def mean_curve(data: Dataset) -> DataArray:
    """The loss against the length of steps along the gradient."""
    return over_seeds(data.curve.sel(direction="gradient"))


@claim("Fig. 3b, Eq. 6", low=1 - SPACING, high=1 + SPACING, control=None)
def best_length(data: Dataset) -> float:
    """Loss along the gradient is least at the length of Eq. 6 (place / Eq. 6)."""
    curve = mean_curve(data).values
    return math.nan if np.isnan(curve).any() else SPACING * float(curve.argmin())


@claim("Fig. 3b", low=1.0, control=None)
def too_long(data: Dataset) -> float:
    """2.5 times that length is worse than no step (loss after / before)."""
    curve = mean_curve(data)
    return float(curve.isel(place=-1) / curve.isel(place=0))


@claim("Fig. 3c, 4c", low=0.0, high=0.99)
def repair_is_smaller(data: Dataset) -> float:
    """Noise and optimal repair in turn: repair is smaller (mean length / noise)."""
    return float(over_seeds(data.repair))


# --- Figure 4: the better direction is the more curved one ----------------------------


def gradient_over_corrupted(data: Dataset, name: str) -> float:
    """Ratio of the means over seeds."""
    mean = over_seeds(data[name])
    return float(mean.sel(direction="gradient") / mean.sel(direction="corrupted"))


@claim("Fig. 4a", low=0.0, high=1e-9, control=None)
def tangent(data: Dataset) -> float:
    """The best step ends tangent to a level set (largest cosine, gradient)."""
    return float(data.tangency.max(skipna=False))


@claim("Fig. 4b", low=1.05)
def more_curved(data: Dataset) -> float:
    """The gradient is more curved than a corrupted gradient (ratio of means)."""
    return gradient_over_corrupted(data, "curvature")


@claim("Fig. 4b", low=0.0, high=0.99)
def shorter(data: Dataset) -> float:
    """So its best step is shorter (ratio of means)."""
    return gradient_over_corrupted(data, "length")


@claim("Fig. 4b", low=1.05, control=None)
def gains_more(data: Dataset) -> float:
    """Though it gains more (ratio of means)."""
    return gradient_over_corrupted(data, "gain")


@claim("Fig. 4d", low=0.0, high=1e-9, control=None)
def newton_retraces(data: Dataset) -> float:
    """Newton's step retraces the fluctuation from the minimum (distance)."""
    return float(data.retrace.max(skipna=False))


def draw_step_lengths(data: Dataset) -> Figure:
    """Figure 3: the loss along two directions, and repair in a steady state."""
    figure, axes = panels(1, 2, 3.8, 2.9)
    along, repair = axes[0]
    for name, color in {"gradient": SIMULATED, "corrupted": THEORY}.items():
        steps = data.steps.isel(seed=0).sel(direction=name).values
        curve = data.curve.isel(seed=0).sel(direction=name).values
        along.plot(steps, curve, color=color, label=name)
        along.plot(steps[curve.argmin()], curve.min(), "*", ms=12, color=BEST)
    along.axhline(float(data.curve.isel(seed=0, direction=0, place=0)), color="0.8")
    along.set(xlabel="step length", ylabel="loss")
    along.legend(frameon=False)
    seeds = np.arange(data.sizes["seed"])
    repair.bar(seeds, data.repair.values, color=SIMULATED, width=0.6)
    repair.axhline(1.0, color="0.4", lw=0.8)
    repair.set(xlabel="seed", ylabel="optimal repair / fluctuation", xticks=seeds)
    return figure


def draw_level_sets(data: Dataset) -> Figure:
    """Figure 4: optimal steps between level sets; their length, gain and curvature."""
    figure, axes = panels(1, 4, 2.7, 2.7)
    colors = (SIMULATED, THEORY)
    example = data.isel(seed=0)
    stiffness, start = example.eigenvalue.values, example.start.values
    side = 1.5 * np.linalg.norm(start)
    x, y = np.meshgrid(*[np.linspace(-side, side, 200)] * 2)
    bowl = (stiffness[0] * x**2 + stiffness[1] * y**2) / 2
    panel = axes[0, 0]
    panel.contour(x, y, bowl, np.geomspace(0.02, 2, 8) * bowl.max(), colors="0.8")
    for end, color in zip(example.end.values, colors, strict=True):
        value = (stiffness * end**2).sum() / 2
        panel.contour(x, y, bowl, [value], colors=[color], linewidths=0.8)
        arrow = {"arrowstyle": "->", "color": color, "lw": 2}
        panel.annotate("", end, start, arrowprops=arrow)
    panel.plot(0, 0, "*", ms=11, color=BEST)
    panel.set(aspect="equal", xticks=[], yticks=[], title="steps end tangent")
    named = {
        "curvature": "curvature along the step",
        "length": "optimal length",
        "gain": "gain of the optimal step",
    }
    for panel, (name, label) in zip(axes[0, 1:], named.items(), strict=True):
        mean = data[name].mean("seed").values
        panel.bar(data.direction.values, mean, color=colors, width=0.6)
        panel.set(ylabel=label)
    return figure


FIG3 = Experiment(
    name="fig3",
    source="Fig. 3",
    shows="curvature limits how much compensation helps: Eq. 6 on a bowl of two axes",
    config=Landscape,
    run=steps_on_a_bowl,
    claims=(best_length, too_long, repair_is_smaller),
    figure=draw_step_lengths,
    control=changed(softness=lambda config: config.stiffness),
    axes=AXES,
    float64=True,
)
FIG4 = FIG3._replace(
    name="fig4",
    source="Fig. 4",
    shows="optimal steps along gradient, corrupted gradient and Newton's direction",
    claims=(tangent, more_curved, shorter, gains_more, newton_retraces),
    figure=draw_level_sets,
)
