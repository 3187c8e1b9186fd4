"""Three papers in one network: how hard should synapses work to keep what they know?

A rate network answers cues. Its synapses are products of two factors and release with a
probability; the factors never stop fluctuating, homeostasis holds the rates, and a
gradient, noisy by the releases, repairs. Which length of repair, in lengths of the
fluctuation, keeps the answers best? A gradient through the whole run finds it, and the
mean-field law predicts it from the exact Hessian. The law takes noise to fall with the
gradient, and that of releases does not: with them the best ratio is found between the
law's without noise and the law's with it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

from plasticity_jax import AbstractCircuit, simulate, System
from plasticity_jax.circuits import RateNetwork
from plasticity_jax.curvature import best_ratio, hessian
from plasticity_jax.experiment import soon
from plasticity_jax.numerics import tree_norm
from plasticity_jax.rules import (
    Descent,
    Masked,
    Normalised,
    RateControl,
    Reparametrised,
    Scaled,
    Wiener,
)
from plasticity_jax.signals import LossSignals
from plasticity_jax.synapses import AbstractSynapses, Stochastic, weights
from plasticity_jax.tasks import Constant


SIZE, CUES, FLUCTUATION = 8, 6, 0.05
STEPS, BEGIN, RUNS = 800, 300, 4


class Signed(AbstractSynapses):
    """Products of two factors; every other presynaptic neuron is inhibitory."""

    factors: jax.Array

    def weights(self, key=None):
        signs = jnp.where(jnp.arange(SIZE) % 2 == 0, 1.0, -1.0)
        return signs * self.factors[0] * self.factors[1]


class Signals(LossSignals):
    """The loss, and the rates that homeostasis reads."""

    rate: jax.Array


class Answering(AbstractCircuit):
    """A rate network that runs, and the error of its answers to all cues."""

    network: RateNetwork
    cues: jax.Array
    answers: jax.Array

    def start(self, synapses, stimulus=None, key=None):
        return self.network.start(synapses)

    def answer(self, matrix):
        """Rates some time after each cue is switched on."""

        def settle(cue):
            move = lambda x, _: (x + 0.5 * self.network.slope(x, matrix, cue), None)
            return jnp.tanh(jax.lax.scan(move, jnp.zeros(SIZE), length=10)[0])

        return jax.vmap(settle)(self.cues)

    def loss(self, synapses, key=None):
        """Half the squared error; `key` draws the releases."""
        matrix = weights(synapses, key)
        return jnp.sum((self.answer(matrix) - self.answers) ** 2) / 2 / CUES

    def __call__(self, activity, synapses, stimulus, key):
        activity, rates = self.network(activity, synapses, stimulus, key)
        loss_at = lambda synapses: self.loss(synapses, jr.fold_in(key, 1))
        loss, slope = jax.value_and_grad(loss_at)(synapses)
        down = jax.tree.map(jnp.negative, slope)
        told = loss, slope, loss_at, down, rates.rate
        return activity, Signals(self.network.dt, *told)


def build(ratio, release):
    """The system at one ratio of repair to fluctuation, and its synapses."""
    for_factors, for_cues = jr.split(jr.key(0))
    factors = jr.uniform(for_factors, (2, SIZE, SIZE), minval=0.2, maxval=0.8)
    probability = jnp.full((SIZE, SIZE), release)
    synapses = Stochastic(Signed(factors), probability)
    cues = jr.normal(for_cues, (CUES, SIZE))
    network = RateNetwork(0.25)
    circuit = Answering(network, cues, jnp.zeros_like(cues))
    answers = circuit.answer(weights(synapses))
    circuit = eqx.tree_at(lambda circuit: circuit.answers, circuit, answers)
    free = Stochastic(Signed(jnp.ones_like(factors)), jnp.zeros_like(probability))
    rules = {
        "fluctuation": Normalised(Masked(Wiener(), free), FLUCTUATION),
        "repair": Normalised(Masked(Descent(), free), ratio * FLUCTUATION),
        "homeostasis": Scaled(Reparametrised(RateControl(0.0)), 1e-3),
    }
    return System(Constant(cues[0]), circuit, rules), synapses


def loss_of(state, signals, changes):
    """What to record."""
    return signals.loss


@soon
def settled(release):
    """Synapses after a long run at equal lengths."""
    key = jr.key(1)
    system, synapses = build(1.0, release)
    start = system.start(synapses, key)
    return simulate(system, start, key, steps=4000, every=4000)[0].synapses


@soon
@jax.value_and_grad
def log_error(log_ratio, synapses, keys):
    """Log of the mean error of a run, and its derivative by the ratio's log."""
    release = synapses.probability[0, 0]
    system, _ = build(jnp.exp(log_ratio), release)

    def run(key):
        start = system.start(synapses, key)
        _, losses = simulate(system, start, key, steps=STEPS, record=loss_of)
        return jnp.mean(losses[BEGIN:])

    return jnp.log(jnp.mean(jax.vmap(run)(keys)))


def found(synapses, epochs=20):
    """The best ratio, by Adam on its logarithm."""
    log_ratio = jnp.log(jnp.asarray(0.4))
    optimiser = optax.adam(optax.cosine_decay_schedule(0.2, epochs))
    memory = optimiser.init(log_ratio)
    for epoch in range(epochs):
        keys = jr.split(jr.key(epoch), RUNS)
        _, slope = log_error(log_ratio, synapses, keys)
        update, memory = optimiser.update(slope, memory)
        log_ratio = jnp.asarray(optax.apply_updates(log_ratio, update))
    return jnp.exp(log_ratio)


@soon
def curvature(synapses):
    """Spectrum of the expected error, and noise of its gradient over the gradient."""
    circuit, factors = build(1.0, 1.0)[0].circuit, synapses.strength.factors
    assert isinstance(circuit, Answering)

    def loss(factors, key):
        where = lambda synapses: synapses.strength.factors
        return circuit.loss(eqx.tree_at(where, synapses, factors), key)

    keys = jr.split(jr.key(2), 300)
    gradients = jax.vmap(lambda key: jax.grad(loss)(factors, key))(keys)
    clean = jnp.mean(gradients, axis=0)
    noise = jnp.mean(jax.vmap(tree_norm)(gradients - clean) ** 2) ** 0.5
    expected = lambda factors: jnp.mean(jax.vmap(lambda k: loss(factors, k))(keys))
    eigenvalues = jnp.linalg.eigvalsh(hessian(expected, factors))
    return jnp.maximum(eigenvalues, 0), noise / tree_norm(clean)


if __name__ == "__main__":
    for release in (1.0, 0.9):
        synapses = settled(release)
        spectrum, noise = curvature(synapses)
        law, noisy = best_ratio(spectrum, 0 * noise), best_ratio(spectrum, noise)
        print(
            f"release {release}: found {found(synapses):.2f}; the law says {law:.2f}, "
            f"and {noisy:.2f} with noise {noise:.1f} times the gradient"
        )
