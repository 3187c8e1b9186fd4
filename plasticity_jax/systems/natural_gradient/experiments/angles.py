"""Figures 12A-B: how far Euclidean and approximate steps turn from natural ones."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....circuits import SpikingNeuron
from ....curvature import glm_fisher
from ....experiment import Claim, Experiment, panels, Plan
from ....rules import (
    ApproximateNaturalGradient,
    EuclideanGradient,
    NaturalGradient,
)
from ..potentials import stationary_potentials
from .learning import APPROXIMATE, EUCLIDEAN


Vector = Float[Array, " n"]
NODES = 241  # of quadrature
METRICS, RULES = ("euclidean", "fisher"), ("euclidean", "approximate")


class Angles(AbstractConfig):
    r"""Random weights in $\pm$ `weight_scale` over `size`, random potentials.

    Inputs fire at `low_rate` (first half) and `high_rate`. The teacher cancels: all
    rules scale with its error.
    """

    low_rate: Scalar = eqx.field(default=10.0, converter=real)  # Hz
    high_rate: Scalar = eqx.field(default=50.0, converter=real)  # Hz
    weight_scale: Scalar = eqx.field(default=5.0, converter=real)
    uniform: Scalar = eqx.field(default=0.95, converter=real)  # c_u / eps_0
    proportional: Scalar = eqx.field(default=0.05, converter=real)  # c_w, 1/mV
    size: int = eqx.field(default=100, static=True)
    samples: int = eqx.field(default=100, static=True)
    heterosynaptic: bool = eqx.field(default=True, static=True)  # of the approximation

    def __check_init__(self) -> None:
        require(self, low_rate=(1e-6, 2000.0), high_rate=(1e-6, 2000.0))
        require(self, weight_scale=(0.0, math.inf))
        for name in ("size", "samples"):
            whole(name, getattr(self, name), 2)


def angle(metric: lx.AbstractLinearOperator, a: Vector, b: Vector) -> Scalar:
    """Between two vectors in a metric, in degrees."""
    inner = lambda x, y: jnp.vdot(x, metric.mv(y))
    cosine = inner(a, b) / jnp.sqrt(inner(a, a) * inner(b, b))
    return jnp.degrees(jnp.arccos(jnp.clip(cosine, -1.0, 1.0)))


def angles_to_natural(config: Angles, key: Key[Array, ""]) -> dict[str, Array]:
    """Mean over potentials at one random weight: `turn` (metric, rule) in degrees."""
    for_weights, for_potentials = jr.split(key)
    first = jnp.arange(config.size) < config.size // 2
    rates = jnp.where(first, config.low_rate, config.high_rate)
    neuron = SpikingNeuron(rates, 5e-4, nodes=NODES)
    bound = config.weight_scale / config.size
    weights = bound * jr.uniform(for_weights, (config.size,), minval=-1.0, maxval=1.0)
    potentials = stationary_potentials(
        rates, neuron.kernel, config.samples, for_potentials
    )
    coefficients = neuron.coefficients(weights)
    kept = 1.0 if config.heterosynaptic else 0.0
    rules = (
        EuclideanGradient(1.0),
        ApproximateNaturalGradient(
            1.0, kept * config.uniform, kept * config.proportional
        ),
    )
    moments = neuron.moments
    fisher = glm_fisher(
        neuron.transfer,
        weights,
        moments.mean,
        moments.variance,
        nodes=NODES,
    )
    metrics = (lx.DiagonalLinearOperator(jnp.ones_like(rates)), fisher)

    def turns(potential: Vector) -> Array:
        spike = jnp.ones_like(potential[0])  # any error: its size cancels
        signals = neuron.signals(weights, potential, spike, coefficients)
        natural = NaturalGradient(1.0)(weights, signals, key)
        steps = [rule(weights, signals, key) for rule in rules]
        return jnp.stack(
            [jnp.stack([angle(m, step, natural) for step in steps]) for m in metrics]
        )

    return {"turn": jnp.mean(jax.vmap(turns)(potentials), axis=0)}


DIMS = {"turn": ("metric", "rule")}


def angles_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The approximation turns less than the Euclidean gradient, at every weight."""

    def closer(data: xarray.Dataset, metric: int) -> float:
        turn = data.turn.isel(metric=metric)
        return float((turn.isel(rule=1) < turn.isel(rule=0)).mean())

    def pooled(data: xarray.Dataset, metric: int, rule: int) -> float:
        return float(data.turn.isel(metric=metric, rule=rule).mean(skipna=False))

    def error(metric: int, rule: int) -> float:
        turn = data.turn.isel(metric=metric, rule=rule)
        others = [dim for dim in turn.dims if dim != "seed"]
        weights = turn.mean(others, skipna=False)
        return float(weights.std("seed", ddof=1)) / math.sqrt(data.sizes["seed"])

    claims = [
        Claim(
            f"approximate natural steps are closer to natural ones than Euclidean "
            f"steps, {name} metric (share of weights)",
            f"Fig. 12{panel}",
            closer(data, k),
            1.0,
            1.0,
            control=closer(control, k),
        )
        for k, (name, panel) in enumerate(zip(METRICS, "AB", strict=True))
    ]
    measured = {(0, 0): 43.9, (0, 1): 11.5, (1, 0): 74.2, (1, 1): 29.8}
    for (k, j), value in measured.items():
        claims.append(
            Claim(
                f"mean angle between natural and {RULES[j]} steps, {METRICS[k]} "
                "metric (degrees, all rates pooled)",
                f"Fig. 12{'AB'[k]}; independent evaluation: {value}",
                pooled(data, k, j),
                value - 2.0,
                value + 2.0,
                error(k, j),
                pooled(control, k, j) if j == 1 else None,
            )
        )
    return claims


def homosynaptic_only(plan: Plan) -> Plan:
    """Negative control: the approximation without its heterosynaptic terms."""
    config = dataclasses.replace(plan.config, heterosynaptic=False)
    return plan._replace(config=config)


def draw_angles(data: xarray.Dataset) -> Figure:
    """Figures 12A-B: angles to the natural step, all weights and rates."""
    from ..experiments.angles import METRICS

    figure, axes = panels(1, len(METRICS), 3.6, 2.9)
    bins = np.arange(0.0, 91.0, 2.0)
    for k, (panel, metric) in enumerate(zip(axes[0], METRICS, strict=True)):
        turn = data.turn.isel(metric=k)
        for j, (label, color) in enumerate(
            {"Euclidean": EUCLIDEAN, "approximate": APPROXIMATE}.items()
        ):
            values = turn.isel(rule=j).values.ravel()
            panel.hist(values, bins, color=color, alpha=0.8, label=label)
            panel.axvline(values.mean(), color=color, lw=1.2)
        panel.set(
            title=f"{metric.capitalize()} metric",
            xlabel="angle to the natural step (degrees)",
            ylabel="weights x patterns of rates",
        )
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


FIG12_ANGLES = Experiment(
    name="fig12_angles",
    source="Fig. 12A-B",
    shows="angles of Euclidean and approximate natural steps to natural ones",
    config=Angles,
    run=angles_to_natural,
    claims=angles_claims,
    figure=draw_angles,
    control=homosynaptic_only,
    dims=DIMS,
)
