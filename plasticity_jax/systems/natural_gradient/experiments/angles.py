"""Figures 12A-B: how far Euclidean and approximate steps turn from natural ones."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....circuits import SpikingNeuron
from ....curvature import Coefficients, glm_fisher, voltage_moments
from ....experiment import changed, chosen, claim, Experiment, panels, standard_error
from ....numerics import root, tree_angle
from ....rules import ApproximateNaturalGradient, EuclideanGradient, NaturalGradient
from ..config import half_and_half, uniform_weights, Vector
from ..potentials import stationary_potentials
from ..published import published_coefficients
from .learning import COLOURS


NODES = 241  # of quadrature
METRICS, RULES = ("euclidean", "fisher"), ("euclidean", "approximate")
TABLES, LEAST = ("clipped", "wrapped"), -15.25  # mV, of the published table
EVALUATED = {  # rule, metric: degrees, by an independent evaluation
    ("euclidean", "euclidean"): 43.9,
    ("approximate", "euclidean"): 11.5,
    ("euclidean", "fisher"): 74.2,
    ("approximate", "fisher"): 29.8,
}


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
    length = lambda x: root(jnp.vdot(x, metric.mv(x)))
    return jnp.degrees(tree_angle(a, b, length))


def angles_to_natural(config: Angles, key: Key[Array, ""]) -> dict[str, Array]:
    """Mean over potentials at one random weight: `turn` (metric, rule) in degrees.

    `size` (table) is the length of natural steps by the published table, clipped or, as
    in the script of Fig. 12B, wrapped at its lower end, over theirs (rms); `voltage`
    (mV) the mean of the membrane.
    """
    for_weights, for_potentials = jr.split(key)
    rates = half_and_half(config.size, config.low_rate, config.high_rate)
    neuron = SpikingNeuron(rates, 5e-4, nodes=NODES)
    weights = uniform_weights(config.weight_scale, (config.size,), for_weights)
    draw = (rates, neuron.kernel, config.samples, for_potentials)
    potentials = stationary_potentials(*draw)
    coefficients = neuron.coefficients(weights)
    constants = jnp.stack([config.uniform, config.proportional])
    constants = constants if config.heterosynaptic else jnp.zeros_like(constants)
    rules = EuclideanGradient(1.0), ApproximateNaturalGradient(1.0, *constants)
    moments = neuron.moments
    seen = (neuron.transfer, weights, moments.mean, moments.variance)
    fisher = glm_fisher(*seen, nodes=NODES)
    metrics = (lx.DiagonalLinearOperator(jnp.ones_like(rates)), fisher)

    def natural_at(potential: Vector, coefficients: Coefficients) -> Vector:
        spike = jnp.ones_like(potential[0])
        signals = neuron.signals(weights, potential, spike, coefficients)
        return NaturalGradient(1.0)(weights, signals, key)

    def turns(potential: Vector) -> Array:
        spike = jnp.ones_like(potential[0])  # any error: its size cancels
        signals = neuron.signals(weights, potential, spike, coefficients)
        natural = NaturalGradient(1.0)(weights, signals, key)
        steps = [rule(weights, signals, key) for rule in rules]
        from_natural = lambda m: jnp.stack([angle(m, step, natural) for step in steps])
        return jnp.stack(list(map(from_natural, metrics)))

    voltage = voltage_moments(weights, moments.mean, moments.variance)
    look_up = lambda wraps: published_coefficients(
        neuron.transfer, *voltage, nodes=NODES, wraps=wraps
    )

    def length(coefficients: Coefficients) -> Scalar:
        square = lambda x: jnp.sum(natural_at(x, coefficients) ** 2)
        return jnp.sqrt(jnp.mean(jax.vmap(square)(potentials)))

    sizes = jnp.stack([length(look_up(name == "wrapped")) for name in TABLES])
    return {
        "turn": jnp.mean(jax.vmap(turns)(potentials), axis=0),
        "size": sizes / length(coefficients),
        "voltage": voltage[0],
    }


# --- the approximation turns less than the Euclidean gradient, at every weight --------


@claim("Fig. 12A-B", low=1.0, high=1.0, each="metric")
def approximate_is_closer(data: Dataset, metric: str) -> float:
    """Approximate: closer to natural than Euclidean steps, {metric} metric (share)."""
    turn = data.turn.sel(metric=metric)
    return float((turn.sel(rule="approximate") < turn.sel(rule="euclidean")).mean())


@claim(
    "Fig. 12A-B; independent evaluation, 2 degrees",
    low=lambda data, control, *at: EVALUATED[at] - 2.0,
    high=lambda data, control, *at: EVALUATED[at] + 2.0,
    control=lambda data, control, rule, metric: (
        None  # it leaves Euclidean steps as they are
        if rule == "euclidean"
        else control.turn.sel(rule=rule, metric=metric).mean(skipna=False)
    ),
    each=("rule", "metric"),
)
def mean_angle(data: Dataset, rule: str, metric: str) -> tuple[float, float]:
    """Mean angle of natural and {rule} steps, {metric} metric (degrees, all pooled)."""
    turn = data.turn.sel(metric=metric, rule=rule)
    others = [dim for dim in turn.dims if dim != "seed"]
    error = standard_error(turn.mean(others, skipna=False))
    return float(turn.mean(skipna=False)), float(error)


def wrapping(data: Dataset, wraps: bool) -> float:
    """Length of steps by the wrapped table over the clipped one's, the largest.

    Of weights whose mean voltage the table does not reach, or of the others.
    """
    ratio = data.size.sel(table="wrapped") / data.size.sel(table="clipped")
    return float(chosen(ratio, (data.voltage < LEAST) == wraps).max())


@claim(
    "pitfall 1: the far end of the table has the larger c_1; the direction",
    high=1 - 1e-6,
    control=lambda data, control: wrapping(data, False),
    when=lambda data: bool((data.voltage < LEAST).any()),
)
def wrapped_steps_are_shorter(data: Dataset) -> float:
    """Below its table the script of Fig. 12B shortens natural steps (largest length
    over that by a table with a lower end); control: above.
    """
    return wrapping(data, True)


def draw_angles(data: Dataset) -> Figure:
    """Figures 12A-B: angles to the natural step, all weights and rates."""
    figure, axes = panels(1, data.sizes["metric"], 3.6, 2.9)
    bins = np.arange(0.0, 91.0, 2.0)
    for panel, metric in zip(axes[0], data.metric.values, strict=True):
        for label in ("Euclidean", "approximate"):
            rule = label.lower()
            color = COLOURS[rule]
            values = data.turn.sel(metric=metric, rule=rule).values.ravel()
            panel.hist(values, bins, color=color, alpha=0.8, label=label)
            panel.axvline(values.mean(), color=color, lw=1.2)
        panel.set(title=f"{metric.capitalize()} metric")
        panel.set(ylabel="weights x patterns of rates")
        panel.set(xlabel="angle to the natural step (degrees)")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


FIG12_ANGLES = Experiment(
    name="fig12_angles",
    source="Fig. 12A-B",
    shows="angles of Euclidean and approximate natural steps to natural ones",
    config=Angles,
    run=angles_to_natural,
    claims=(approximate_is_closer, mean_angle, wrapped_steps_are_shorter),
    figure=draw_angles,
    control=changed(heterosynaptic=False),
    axes={"turn": {"metric": METRICS, "rule": RULES}, "size": {"table": TABLES}},
)
