"""One step of learning in different coordinates: the runs of Figures 1 and 8."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .... import AbstractConfig, AbstractRule, Scalar, simulate, System
from ...._arguments import real, require, whole
from ....circuits import SpikingNeuron, SynapticKernel
from ....rules import EuclideanGradient, natural_terms, NaturalGradient, Reparametrised
from ....tasks import SpikeTrains
from ..potentials import BIN, stationary_potentials
from .two_afferents import change_at, divergence_map, drift, neuron_of, RATES, START


Vector = Float[Array, " n"]
PARAMETRISATIONS = ("somatic", "attenuated", "saturating")
INVERSE_ATTENUATIONS = tuple(float(k) for k in range(1, 11))
BAR_RATES, BAR_WEIGHTS = (10.0, 10.0, 0.0, 0.0), (0.1, 0.3, 0.1, 0.3)


class Attenuated(eqx.Module):
    """Somatic amplitudes `scale` times the dendritic ones (Eq. 1)."""

    scale: Float[Array, "*#n"] = eqx.field(converter=real)

    def __call__(self, synapses: Vector) -> Vector:
        return self.scale * synapses

    def inverse(self, weights: Vector) -> Vector:
        """The synapses that make these somatic amplitudes."""
        return weights / self.scale


class Saturating(eqx.Module):
    r"""Somatic amplitudes that cannot exceed `ceiling`: $w = A\tanh(u/A)$."""

    ceiling: Float[Array, "*#n"] = eqx.field(converter=real)

    def __call__(self, synapses: Vector) -> Vector:
        return self.ceiling * jnp.tanh(synapses / self.ceiling)

    def inverse(self, weights: Vector) -> Vector:
        """The synapses that make these somatic amplitudes."""
        return self.ceiling * jnp.arctanh(weights / self.ceiling)


Attenuation = Attenuated | Saturating | None


class Coordinates(AbstractConfig):
    r"""Two afferents at 10 and 50 Hz learn in somatic or dendritic coordinates.

    The distal one is attenuated by `attenuation`, or both saturate at `ceiling`. A step
    of mean descent takes `euclidean_rate` or `natural_rate` (s); `online_rate` is that
    of learning from spikes in steps of 5 ms.
    """

    attenuation: Scalar = eqx.field(default=0.4, converter=real)
    ceiling: Scalar = eqx.field(default=0.4, converter=real)
    euclidean_rate: Scalar = eqx.field(default=1e-4, converter=real)
    natural_rate: Scalar = eqx.field(default=0.02, converter=real)
    online_rate: Scalar = eqx.field(default=4e-3, converter=real)
    halvings: int = eqx.field(default=3, static=True)
    steps: int = eqx.field(default=300, static=True)
    samples: int = eqx.field(default=2000, static=True)
    metric: bool = eqx.field(default=True, static=True)  # control: all Euclidean

    def __check_init__(self) -> None:
        require(self, attenuation=(1e-6, 1.0), ceiling=(0.26, math.inf))
        require(self, euclidean_rate=(0.0, math.inf), natural_rate=(0.0, math.inf))
        require(self, online_rate=(0.0, math.inf))
        for name in ("halvings", "steps", "samples"):
            whole(name, getattr(self, name), 2)


def rule_of(
    config: Coordinates, name: str, rate: Scalar | float, attenuation: Attenuation
) -> AbstractRule:
    """A rule in its coordinates; Euclidean without metric."""
    euclidean = name == "euclidean" or not config.metric
    rule = EuclideanGradient(rate) if euclidean else NaturalGradient(rate)
    if attenuation is None:
        return rule
    return Reparametrised(rule, attenuation, euclidean)


def attenuation_of(config: Coordinates, parametrisation: str) -> Attenuation:
    """What maps the synapses to somatic amplitudes."""
    if parametrisation == "attenuated":
        one = jnp.ones_like(config.attenuation)
        return Attenuated(jnp.stack([one, config.attenuation]))
    return Saturating(config.ceiling) if parametrisation == "saturating" else None


def start_of(attenuation: Attenuation) -> Vector:
    """The synapses whose somatic amplitudes are `START`."""
    weights = jnp.asarray(START)
    return weights if attenuation is None else attenuation.inverse(weights)


def somatic_effects(config: Coordinates) -> Float[Array, "rule attenuation"]:
    """Effect at the soma of one dendritic step over that of one somatic step.

    Of the Euclidean and the natural gradient, on one synapse of somatic weight 0.05.
    """
    weight, teacher = jnp.asarray([0.05]), jnp.asarray([0.1])
    rate, potential = jnp.asarray([5.0]), jnp.asarray([20.0])

    def effect(name: str, attenuation: Attenuated) -> Scalar:
        neuron = SpikingNeuron(rate, BIN, teacher, attenuation=attenuation)
        rule = rule_of(config, name, 1.0, attenuation)
        synapse = attenuation.inverse(weight)
        return attenuation(change_at(neuron, rule, synapse, potential))[0]

    def ratios(name: str) -> Array:
        scales = 1 / jnp.asarray(INVERSE_ATTENUATIONS)
        effects = jax.vmap(lambda scale: effect(name, Attenuated(scale)))(scales)
        plain = SpikingNeuron(rate, BIN, teacher)
        rule = rule_of(config, name, 1.0, None)
        return effects / change_at(plain, rule, weight, potential)

    return jnp.stack([ratios(name) for name in ("euclidean", "natural")])


def descent(
    config: Coordinates,
    name: str,
    parametrisation: str,
    potentials: Float[Array, "sample 2"],
) -> Float[Array, "place 2"]:
    """Path of the somatic amplitudes under steps of the mean change."""
    attenuation = attenuation_of(config, parametrisation)
    neuron = neuron_of(BIN, attenuation=attenuation)
    natural = name == "natural" and config.metric
    rate = config.natural_rate if natural else config.euclidean_rate
    rule = rule_of(config, name, rate, attenuation)

    def step(synapses: Vector, _: None) -> tuple[Vector, Vector]:
        moved = synapses + drift(neuron, rule, synapses, potentials)
        return moved, neuron.at_soma(moved)

    path = jax.lax.scan(step, start_of(attenuation), length=config.steps)[1]
    return jnp.concatenate([jnp.asarray(START)[None], path])


def learned(
    config: Coordinates, parametrisation: str, rate: Scalar, key: Key[Array, ""]
) -> Float[Array, "place 2"]:
    """Natural learning from spikes: the same spikes in all coordinates for one key."""
    attenuation = attenuation_of(config, parametrisation)
    neuron = neuron_of(5e-3, attenuation=attenuation, law="poisson")
    trains = SpikeTrains(jnp.asarray(RATES), 5e-3, substeps=10)
    rules = {"learning": rule_of(config, "natural", rate, attenuation)}
    system = System(trains, neuron, rules)
    state = system.start(start_of(attenuation), key)
    somatic = lambda state, signals, changes: signals.weights  # before the step
    return simulate(system, state, key, steps=config.steps, record=somatic)[1]


def terms_of_a_step(
    config: Coordinates, key: Key[Array, ""]
) -> Float[Array, "draw term synapse"]:
    r"""The three terms over $A\gamma_s$: two stimulated synapses, two silent ones.

    Positive error, one draw of the potentials each; without metric the Euclidean step,
    which has one term.
    """
    neuron = SpikingNeuron(jnp.asarray(BAR_RATES), BIN, nodes=151)
    weights = jnp.asarray(BAR_WEIGHTS)
    coefficients = neuron.coefficients(weights)
    draws = stationary_potentials(neuron.rates, neuron.kernel, config.samples, key)

    def terms(potential: Vector) -> Array:
        if not config.metric:
            zero = jnp.zeros_like(potential)
            return jnp.stack([potential, zero, zero])
        target = jnp.ones_like(potential[0])
        signals = neuron.signals(weights, potential, target, coefficients)
        return jnp.stack(natural_terms(signals))

    return jax.vmap(terms)(draws)


def steps_in_coordinates(config: Coordinates, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Everything of Figs. 1 and 8.

    `ratio` (rule, attenuation) of somatic effects. `path` (rule, parametrisation,
    place, synapse) of mean descent, over the `divergence` of pairs of weights. Natural
    learning from the same spikes in somatic and in other coordinates: largest distance,
    `linear_gap` (of the attenuated) and `gap` (saturating), at `online_rate` halved
    again and again. `terms` (draw, term, synapse) of Fig. 8.
    """
    for_potentials, for_spikes, for_terms = jr.split(key, 3)
    rates = jnp.asarray(RATES)
    draw = (rates, SynapticKernel(), config.samples, for_potentials)
    potentials = stationary_potentials(*draw)
    way = lambda rule, p: descent(config, rule, p, potentials)
    rules = ("euclidean", "natural")
    paths = [jnp.stack([way(rule, p) for p in PARAMETRISATIONS]) for rule in rules]
    speeds = config.online_rate / 2 ** jnp.arange(config.halvings).astype(rates.dtype)
    at = lambda p: jax.vmap(lambda rate: learned(config, p, rate, for_spikes))(speeds)
    somatic, attenuated, saturating = map(at, PARAMETRISATIONS)
    distance = lambda path: jnp.max(jnp.linalg.norm(path - somatic, axis=2), axis=1)
    return {
        "ratio": somatic_effects(config),
        "path": jnp.stack(paths),
        "divergence": divergence_map(potentials),
        "linear_gap": distance(attenuated),
        "gap": distance(saturating),
        "terms": terms_of_a_step(config, for_terms),
    }
