"""The plasticity rules beside dense solves, gradients and each other, for `verify`.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.
"""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from .... import AbstractRule, Scalar, simulate, System
from ....circuits import RectifiedQuadratic, Sigmoid, SpikingNeuron
from ....curvature import glm_fisher
from ....experiment import Check, exact, simulated, together
from ....rules import EuclideanGradient, natural_terms, NaturalGradient, Reparametrised
from ....signals import SpikingSignals
from ....tasks import SpikeTrains
from .. import theory
from ..experiments.coordinates import Attenuated, Attenuation, Saturating


Vector = Float[Array, " n"]
BIN = 5e-4  # s
NODES = 101


def rule_checks() -> Iterator[Check]:
    """Natural and Euclidean changes of single neurons; run in double precision."""
    yield from _change_checks()
    yield from _invariance_checks()


def _signals(
    neuron: SpikingNeuron, weights: Vector, potentials: Vector
) -> SpikingSignals:
    """What the rules read when the teacher spikes."""
    coefficients = neuron.coefficients(weights)
    return neuron.signals(weights, potentials, jnp.asarray(1.0), coefficients)


@together
def _change_checks() -> Iterator[Check]:
    """The natural rule against a dense solve, its parts, the quadratic neuron."""
    key = jr.key(0)
    rates = jnp.asarray([10.0, 50.0, 20.0, 30.0, 5.0])
    weights = jnp.asarray([0.02, -0.01, 0.04, 0.005, -0.03])
    potentials = jnp.asarray([25.0, 60.0, 8.0, 31.0, 2.0])
    neuron = SpikingNeuron(rates, BIN, nodes=NODES)
    signals = _signals(neuron, weights, potentials)
    natural = NaturalGradient(0.3)(weights, signals, key)
    error = (1 - signals.rate * BIN) * signals.score
    moments = neuron.moments
    seen = Sigmoid(), weights, moments.mean, moments.variance
    matrix = glm_fisher(*seen, nodes=NODES).as_matrix()
    solved = 0.3 * error * jnp.linalg.solve(matrix, potentials)
    yield exact("natural change is A G^-1 x", "Eqs. 13, 38", natural, solved)
    scale = 0.3 * error / signals.coefficients.c1
    whole = scale * sum(natural_terms(signals))
    yield exact("sum of its three terms", "Eqs. 20-23", whole, natural)
    c, x_sum = signals.coefficients, jnp.sum(potentials)
    c_eps = 1 / neuron.kernel.energy
    uniform = -c_eps * (c_eps * c.g1 * x_sum + c.g2 * signals.voltage)
    proportional = c_eps * c.g2 * x_sum + c.g4 * signals.voltage
    direction = c_eps * potentials / rates - uniform + proportional * weights
    says = "change from gamma_s, gamma_u, gamma_w"
    yield exact(says, "Eqs. 38, 107-109", natural, scale * direction)
    yield from _gradient_checks(neuron, weights)
    quadratic = SpikingNeuron(rates, BIN, transfer=RectifiedQuadratic(-40.0))
    signals = _signals(quadratic, weights, potentials)
    got = NaturalGradient(0.3)(weights, signals, key)
    want = theory.quadratic_change(0.3, signals)
    yield exact("natural change of a quadratic neuron", "Eqs. 115-124", got, want)
    got = 1 + jnp.abs(natural_terms(signals).proportional)
    yield exact("its weight-proportional term is zero", "T5", got, jnp.ones(5))


def _gradient_checks(neuron: SpikingNeuron, weights: Vector) -> Iterator[Check]:
    """The mean Euclidean change against the gradient of the divergence."""
    transfer, teacher = Sigmoid(), 1.5 * weights
    coefficients = neuron.coefficients(weights)
    x = neuron.moments.mean[None] + jr.normal(jr.key(0), (500, weights.size))
    cost = lambda w: theory.divergence(transfer, w, teacher, x, BIN)

    def change(x: Vector, target: Scalar) -> Vector:
        signals = neuron.signals(weights, x, target, coefficients)
        return EuclideanGradient(1.0)(weights, signals, jr.key(0))

    changes = jax.vmap(change)(x, transfer(x @ teacher) * BIN)
    changes = changes / (1 - transfer(x @ weights) * BIN)[:, None]
    says = "gradient of the divergence is minus the mean Euclidean change"
    yield exact(says, "Eqs. 10, 52, 57", jnp.mean(changes, 0), -jax.grad(cost)(weights))


# --- invariance ---------------------------------------------------------------------


@eqx.filter_jit
def _run(rule: AbstractRule, start: Vector, attenuation: Attenuation) -> Vector:
    """Somatic weights after 300 bins of the same spikes and the same teacher."""
    rates = jnp.asarray([200.0, 500.0, 300.0])
    teacher = jnp.asarray([0.02, -0.01, 0.015])
    neuron = SpikingNeuron(rates, BIN, teacher=teacher, attenuation=attenuation)
    system = System(SpikeTrains(rates, BIN), neuron, {"learning": rule})
    state = system.start(start, jr.key(0))
    nothing = lambda state, signals, changes: None
    final, _ = simulate(system, state, jr.key(0), steps=300, record=nothing)
    return neuron.at_soma(final.synapses)


@together
def _invariance_checks() -> Iterator[Check]:
    """Natural learning does not know how synapses are parametrised (T8)."""
    key, start = jr.key(0), jnp.asarray([-0.01, 0.02, 0.01])
    factor = jnp.asarray([0.2, 0.9, 0.5])
    linear, bent = Attenuated(factor), Saturating(0.1 * factor)
    natural, euclidean = NaturalGradient(2e-3), EuclideanGradient(1e-6)
    plain = _run(natural, start, None)
    moved = _run(Reparametrised(natural, linear), linear.inverse(start), linear)
    yield exact("natural change, linear attenuation", "Eqs. 13-17", moved, plain)
    neuron = SpikingNeuron(jnp.asarray([20.0, 50.0, 30.0]), BIN)
    signals = _signals(neuron, start, jnp.asarray([10.0, 30.0, 5.0]))
    dendritic = Reparametrised(euclidean, linear, euclidean=True)
    moved = factor * dendritic(linear.inverse(start), signals, key)
    plain = factor**2 * euclidean(start, signals, key)
    yield exact("Euclidean change, times its square", "Eqs. 3, 43, 44", moved, plain)

    def gap(rate: Scalar) -> Scalar:
        natural = NaturalGradient(rate)
        moved = _run(Reparametrised(natural, bent), bent.inverse(start), bent)
        return jnp.linalg.norm(moved - _run(natural, start, None))

    larger, smaller = jax.vmap(gap)(jnp.asarray([1e-3, 5e-4]))
    says = "nonlinear attenuation: gap over that at half the rate"
    yield simulated(says, "Eq. 14", larger / smaller, 4.0, 0.02)
