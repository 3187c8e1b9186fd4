"""A layer of spiking neurons: how near approximations come to its natural gradient.

Beyond the paper: unit-wise closed forms, one closed form for the whole layer, K-FAC and
the dense Fisher matrix, as directions (`layer_angles`) and in learning (`layer`).
"""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import check_bins, real, require, whole
from ....circuits import input_moments, SynapticKernel
from ....curvature import natural_gradient
from ....experiment import (
    changed,
    Claim,
    claim,
    Experiment,
    over_seeds,
    panels,
    SHADES,
    standard_error,
)
from ....numerics import eigvalsh, normal, poisson, root, tree_angle
from ....signals import InputMoments
from .. import layer as layers
from ..config import half_and_half, uniform_weights
from ..layer import layer_fisher, layer_loss, SpikingLayer
from ..layer._inputs import BIN


Matrix = Float[Array, "m n"]
RULES = ("euclidean", "own", "unitwise", "kfac", "whole", "exact")
LAWS = ("gaussian", "poisson")
CASES = ("separate outputs", "one output", "many outputs", "narrow potentials")
SEPARATE, ONE, MANY, TIGHT = CASES
STEEP = 4.0  # Euclidean rate x largest eigenvalue, over the rate of the others
NARROW = 0.002  # weights of the last case over those of the others


class Layers(AbstractConfig):
    r"""A teacher and a student layer with one fixed readout.

    Hidden weights of both are uniform in $\pm$ `weight_scale` over `size`, readout
    weights normal with standard deviation `readout_scale` over the root of `units`. An
    update sees `batch` moments and the teacher's spikes in a `window` (s) after each.
    All rules learn at the rate `rate_factor`; the Euclidean one, which is unstable
    above 2 over the largest eigenvalue of the Fisher matrix, at 4 times that over this
    eigenvalue at the start. Without `metric` all but the dense rule follow the gradient
    (the control).
    """

    low_rate: Scalar = eqx.field(default=10.0, converter=real)  # Hz
    high_rate: Scalar = eqx.field(default=50.0, converter=real)  # Hz
    weight_scale: Scalar = eqx.field(default=1.0, converter=real)
    readout_scale: Scalar = eqx.field(default=0.5, converter=real)  # mV/Hz
    damping: Scalar = eqx.field(default=0.1, converter=real)
    rate_factor: Scalar = eqx.field(default=0.5, converter=real)
    window: Scalar = eqx.field(default=0.1, converter=real)  # s
    size: int = eqx.field(default=16, static=True)
    units: int = eqx.field(default=5, static=True)
    outputs: int = eqx.field(default=8, static=True)
    samples: int = eqx.field(default=4000, static=True)
    batch: int = eqx.field(default=300, static=True)
    steps: int = eqx.field(default=100, static=True)
    metric: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        positive = (1e-9, math.inf)
        require(self, low_rate=positive, high_rate=positive, weight_scale=positive)
        require(self, readout_scale=positive, window=positive)
        require(self, damping=(0.0, math.inf), rate_factor=(0.0, math.inf))
        for name in ("size", "units", "outputs", "samples", "batch", "steps"):
            whole(name, getattr(self, name), 1)
        check_bins(self.rates, BIN, "low_rate, high_rate")
        if self.units > self.size:
            raise ValueError(
                f"`units` ({self.units}) must not exceed `size` ({self.size}): the "
                "closed form for the layer needs independent weights."
            )

    @property
    def rates(self) -> Float[Array, " n"]:
        """Input rates in Hz."""
        return half_and_half(self.size, self.low_rate, self.high_rate)

    @property
    def moments(self) -> InputMoments:
        """Those of the inputs."""
        return input_moments(self.rates, SynapticKernel())


def draw_weights(config: Layers, key: Key[Array, ""]) -> Matrix:
    """Hidden weights of a teacher or a student."""
    return uniform_weights(config.weight_scale, (config.units, config.size), key)


def draw_readout(config: Layers, key: Key[Array, ""]) -> Float[Array, "k m"]:
    """Readout weights in mV/Hz."""
    deviation = config.readout_scale / math.sqrt(config.units)
    return deviation * normal(key, (config.outputs, config.units))


def directions(
    config: Layers,
    layer: SpikingLayer,
    weights: Float[Array, "rule m n"],
    gradients: Float[Array, "rule m n"],
    inputs: Float[Array, "sample n"],
) -> Float[Array, "rule m n"]:
    """What each of `RULES` makes of its gradient; `inputs` serve its expectations."""
    plain = lambda layer, w, gradient, *rest: gradient
    own = functools.partial(layers.unitwise_direction, own=True)
    closed = (layers.unitwise_direction, layers.kfac_direction, layers.whole_direction)
    turns = (own, *closed) if config.metric else (plain,) * 4
    each = zip((plain, *turns, layers.exact_direction), weights, gradients, strict=True)
    return jnp.stack([f(layer, w, g, inputs, config.damping) for f, w, g in each])


# --- directions ---------------------------------------------------------------------


def angles(config: Layers, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Angles to the natural direction in the exact Fisher metric, in degrees.

    The cosine is $g \cdot d / \sqrt{d^\top G d \; g^\top G^{-1} g}$; its square is the
    share of the best possible decrease that a step along $d$ brings. $g$ is the
    gradient of the KL divergence from a teacher and $G$ the dense Fisher matrix on
    `samples` inputs; the rules take their expectations from a second sample, so that
    the angle of "exact" is what sampling alone costs.
    """
    for_weights, for_readout, for_inputs = jr.split(key, 3)
    teacher, student = (draw_weights(config, k) for k in jr.split(for_weights))
    keys = jr.split(for_inputs)
    poisson = (config.rates, SynapticKernel(), config.samples)
    pairs = [
        [layers.gaussian_inputs(config.moments, config.samples, k) for k in keys],
        [layers.poisson_inputs(*poisson, k) for k in keys],
    ]
    inputs = jnp.stack([jnp.stack(pair) for pair in pairs])  # law, which sample

    def case(readout: Array | None, scale: Scalar) -> Array:
        layer = SpikingLayer(config.moments, readout)
        start, target = scale * student, scale * teacher

        def law(pair: Float[Array, "2 sample n"]) -> Array:
            here, other = pair
            wanted = layer.rates(target, here)
            gradient = jax.grad(lambda w: layer_loss(layer, w, here, wanted))(start)
            fisher = layer_fisher(layer, start, here, config.damping)
            natural = natural_gradient(gradient, fisher, method="cholesky")

            length = lambda d: root(jnp.vdot(d.ravel(), fisher @ d.ravel()))
            angle = lambda d: jnp.degrees(tree_angle(natural, d, length))

            copies = lambda x: jnp.broadcast_to(x, (len(RULES), *x.shape))
            every = directions(config, layer, copies(start), copies(gradient), other)
            return jax.vmap(angle)(every)

        return jax.vmap(law)(inputs)

    many = draw_readout(config, for_readout)
    one = many.at[1:].set(0.0)  # outputs that read nothing have nothing to learn
    ones = jnp.ones(())
    scales = jnp.stack([ones, ones, NARROW * ones])
    rest = jax.vmap(case)(jnp.stack([one, many, many]), scales)
    return {"angle": jnp.concatenate([case(None, ones)[None], rest])}


NEAR = "nearer than a dense Fisher matrix of another sample"
NEARER = (  # case, rule, other rule, sentence, source
    (SEPARATE, "unitwise", "exact", f"the unit-wise closed form is {NEAR}", "T2, T3"),
    (SEPARATE, "unitwise", "kfac", "and nearer than K-FAC without c2, c3", "Eq. 34"),
    (MANY, "whole", "exact", f"the layer's closed form is {NEAR}", "derived"),
    (MANY, "unitwise", "euclidean", "unit-wise is nearer than Euclidean", "derived"),
    (TIGHT, "kfac", "exact", f"K-FAC is {NEAR}", "Eq. 34 as the variance vanishes"),
    (TIGHT, "kfac", "unitwise", "and than unit-wise, without coupling", "derived"),
)


def mean(data: Dataset, case: str, rule: str, law: str = "gaussian") -> float:
    """Mean angle of a rule."""
    return float(over_seeds(data.angle.sel(case=case, rule=rule, law=law)))


def nearer(case: str, rule: str, other: str, says: str, source: str) -> Claim:
    """Where closed forms are exact, and what each approximation leaves out."""
    name, says = f"{rule}_nearer_than_{other}", f"{case.capitalize()}: {says}"
    ratio = lambda data: mean(data, case, rule) / mean(data, case, other)
    fails = lambda data, control: ratio(control)
    high = 1.0 if other == "exact" else 0.99
    return Claim(name, f"{says} (ratio of angles)", source, ratio, 0.0, high, fails)


@claim("derived", low=0.0, high=0.99, control=None)
def more_outputs_couple_less(data: Dataset) -> float:
    """More outputs couple units less: unit-wise is nearer (ratio of angles)."""
    return mean(data, MANY, "unitwise") / mean(data, ONE, "unitwise")


@claim("T6", low=1.0, control=None)
def off_for_poisson_inputs(data: Dataset) -> float:
    """Separate outputs, Poisson inputs: the form is off beyond sampling (ratio)."""
    off, sampling = (mean(data, SEPARATE, x, "poisson") for x in ("unitwise", "exact"))
    return off / sampling


STYLES = {  # label, color
    "euclidean": ("Euclidean", SHADES[2]),
    "own": ("unit-wise, own spikes", SHADES[3]),
    "unitwise": ("unit-wise, outputs' spikes", SHADES[0]),
    "kfac": ("K-FAC", SHADES[1]),
    "whole": ("closed form of the layer", SHADES[4]),
    "exact": ("dense Fisher", "0.2"),
}


def draw_angles(data: Dataset) -> Figure:
    """Angle to the natural direction: a panel per case, a bar per rule and law."""
    figure, axes = panels(1, data.sizes["case"], 2.4, 2.7)
    places = np.arange(data.sizes["rule"])
    means, errors = data.angle.mean("seed"), standard_error(data.angle)
    labels, colors = zip(*(STYLES[rule] for rule in data.rule.values), strict=True)
    labels = [*labels[:-1], "dense, another sample"]
    for panel, case in zip(axes[0], data.case.values, strict=True):
        for k, law in enumerate(data.law.values):
            at = {"case": case, "law": law}
            style = {"xerr": errors.sel(at), "color": colors, "alpha": (1.0, 0.4)[k]}
            panel.barh(places + 0.4 * (k - 0.5), means.sel(at), 0.38, **style)
        panel.set(title=case, xlim=(0, 70), ylim=(len(places) - 0.5, -0.5))
        panel.set_yticks(places, [""] * len(labels))
    axes[0, 0].set_yticks(places, labels)
    laws = "full: Gaussian, pale: Poisson inputs"
    figure.supxlabel(f"angle to the natural direction (degrees); {laws}")
    return figure


LAYER_ANGLES = Experiment(
    name="layer_angles",
    source="beyond the paper",
    shows="angles between natural directions of a layer, closed-form, K-FAC and dense",
    config=Layers,
    run=angles,
    claims=(
        *(nearer(*row) for row in NEARER),
        more_outputs_couple_less,
        off_for_poisson_inputs,
    ),
    figure=draw_angles,
    control=changed(metric=False),  # all but the dense reference follow the gradient
    axes={"angle": {"case": CASES, "law": LAWS, "rule": RULES}},
)


# --- learning -----------------------------------------------------------------------


def learning(config: Layers, key: Key[Array, ""]) -> dict[str, Array]:
    r"""KL divergence in nat/s before every step and after the last, rule by rule.

    All rules see the same inputs and the same spikes of the teacher.
    """
    for_weights, for_readout, for_tests, for_run = jr.split(key, 4)
    teacher, student = (draw_weights(config, k) for k in jr.split(for_weights))
    layer = SpikingLayer(config.moments, draw_readout(config, for_readout))
    tests = layers.gaussian_inputs(config.moments, config.samples, for_tests)
    wanted = layer.rates(teacher, tests)
    loss = jax.vmap(lambda w: layer_loss(layer, w, tests, wanted))
    fisher = layer_fisher(layer, student, tests)
    start = jnp.broadcast_to(student, (len(RULES), *student.shape))

    def batch(key: Key[Array, ""]) -> Float[Array, "sample n"]:
        return layers.gaussian_inputs(config.moments, config.batch, key)

    rates = jnp.full(len(RULES), config.rate_factor)
    rates = rates.at[0].multiply(STEEP / eigvalsh(fisher)[-1])

    def step(
        weights: Float[Array, "rule m n"], key: Key[Array, ""]
    ) -> tuple[Float[Array, "rule m n"], Float[Array, " rule"]]:
        for_inputs, for_spikes = jr.split(key)
        inputs = batch(for_inputs)
        means = layer.rates(teacher, inputs) * config.window
        told = poisson(for_spikes, means) / config.window
        slope = jax.vmap(jax.grad(lambda w: layer_loss(layer, w, inputs, told)))
        change = directions(config, layer, weights, slope(weights), inputs)
        return weights - rates[:, None, None] * change, loss(weights)

    end, losses = jax.lax.scan(step, start, jr.split(for_run, config.steps))
    return {"loss": jnp.concatenate([losses, loss(end)[None]])}


def at_best(data: Dataset) -> DataArray:
    """Geometric mean over seeds of the loss, at every rule's best `rate_factor`.

    Best is the lowest final loss; a rate at which a run diverges is the worst.
    """
    loss = np.exp(over_seeds(np.log(data.loss)))
    last = loss.isel(step=-1, drop=True).fillna(math.inf)
    return loss.isel(rate_factor=last.argmin("rate_factor"))


# what a metric gains, each rule at the best of the same grid of rates


def over(data: Dataset, rule: str, other: str, step: int = -1) -> float:
    """Loss of one rule over that of another."""
    loss = at_best(data).isel(step=step)
    return float(loss.sel(rule=rule)) / float(loss.sel(rule=other))


@claim("derived", low=0.0, high=0.99)
def early_below_euclidean(data: Dataset) -> float:
    """Unit-wise is below Euclidean after 10 steps (ratio of losses)."""
    return over(data, "unitwise", "euclidean", step=10)


@claim("derived", low=0.0, high=0.99)
def below_euclidean(data: Dataset) -> float:
    """Unit-wise is below Euclidean at the end (ratio of losses)."""
    return over(data, "unitwise", "euclidean")


@claim("derived: Eq. 34 for a layer", low=0.8, high=1.25)
def as_low_as_dense(data: Dataset) -> float:
    """The closed form of the layer ends where the dense one does (ratio)."""
    return over(data, "whole", "exact")


@claim("derived: Eq. 34 for a layer", low=0.0, high=0.99, control=None)
def below_approximations(data: Dataset) -> float:
    """Below unit-wise, without coupling, and K-FAC, without c2, c3 (to the better)."""
    ratios = [over(data, "whole", other) for other in ("unitwise", "kfac")]
    return float(np.max(ratios))


@claim("a fair comparison", low=0.0, high=0.99, control=None)
def best_rate_inside(data: Dataset) -> float:
    """The best Euclidean rate lies within the grid (over the largest)."""
    best = at_best(data).isel(step=-1).sel(rule="euclidean")
    return float(best.rate_factor.where(best.notnull()) / data.rate_factor.max())


def draw_learning(data: Dataset) -> Figure:
    """Loss against steps, each rule at its best rate; final loss against the rate."""
    figure, axes = panels(1, 2, 3.9, 3.0)
    curve, rate = axes[0]
    best, factors = at_best(data), data.rate_factor.values
    last = np.exp(np.log(data.loss.isel(step=-1)).mean("seed"))
    for rule in data.rule.values:
        label, color = STYLES[rule]
        style = "--" if rule == "exact" else "-"
        curve.plot(best.sel(rule=rule), style, color=color, lw=1.3, label=label)
        rate.plot(factors, last.sel(rule=rule), style, color=color, marker="o", ms=3)
    curve.set(xlabel="step, at the best rate", ylabel="KL divergence (nat/s)")
    curve.set(yscale="log")
    rate.set(xlabel=r"learning rate (Euclidean: $\times\ 4/\lambda_{max}$)")
    rate.set(ylabel="KL divergence at the end (nat/s)", xscale="log", yscale="log")
    rate.set_xticks(factors, [f"{factor:g}" for factor in factors])
    rate.minorticks_off()
    figure.legend(loc="outside right center", frameon=False, fontsize="small")
    return figure


LAYER = LAYER_ANGLES._replace(
    name="layer",
    source="beyond the paper",
    shows="a layer trained by backpropagation: closed forms, K-FAC, dense Fisher",
    run=learning,
    claims=(
        early_below_euclidean,
        below_euclidean,
        as_low_as_dense,
        below_approximations,
        best_rate_inside,
    ),
    figure=draw_learning,
    axes={"loss": {"step": lambda config: np.arange(config.steps + 1), "rule": RULES}},
)
