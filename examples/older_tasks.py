"""Which memory keeps older tasks, and how well are new ones learned with it?

Five pairs of digits, one after the other, told apart by the same two outputs. Three
methods pull weights back by their importance: elastic consolidation and memory-aware
synapses find it at a pair's images (Fisher information, sensitivity of the outputs),
synaptic intelligence sums on the way what a synapse earned. Bayesian weights slow down
as they become certain, releasing synapses as they become reliable; both are tested at
their means.

Rates and strengths were the best of a coarse grid at seeds 100 to 107, but the Bayesian
rate and the threshold and steps of release are those of `[small]` in
`configs/presynaptic_stochasticity/split.toml`. One Bayesian draw did as well as ten.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree

from plasticity_jax import simulate, System
from plasticity_jax.circuits import LossCircuit, PosteriorNetwork, StochasticNetwork
from plasticity_jax.curvature import Fisher, sensitivity
from plasticity_jax.data import load
from plasticity_jax.measure import forgetting, learning_accuracy, mean_accuracy
from plasticity_jax.rules import (
    BayesianDescent,
    Descent,
    ElasticPenalty,
    ReleasePlasticity,
    Scaled,
    StrengthDescent,
    SynapticIntelligence,
)
from plasticity_jax.synapses import ReleaseBounds, Stochastic, weights
from plasticity_jax.tasks import Recorded, split_by_class


STEPS, BATCH = 800, 20  # of each pair
PAIRS = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
METHODS = {  # rate and strength
    "none": (0.01, 0.0),
    "elastic": (0.001, 200.0),  # penalty
    "intelligent": (0.001, 2.0),  # penalty
    "memory-aware": (0.001, 2.0),  # penalty
    "Bayesian": (1.0, 0.02),  # first standard deviation
    "releasing": (0.01, 1e-3),  # threshold of release
}
digits = load("digits")
flat = lambda images: jnp.asarray(images.reshape(-1, 64) / 8 - 0.6, jnp.float32)
images, tests = flat(digits.train_images), flat(digits.test_images)
odd, odd_tests = (jnp.asarray(x % 2) for x in (digits.train_labels, digits.test_labels))
split = lambda labels: [jnp.asarray(x) for x in split_by_class(labels, PAIRS)]
pairs, test_pairs = split(digits.train_labels), split(digits.test_labels)


def logits(network, image):
    """Outputs of two layers of rectified units."""
    *hidden, last = network
    for layer in hidden:
        image = jax.nn.relu(layer @ image)
    return last @ image


def log_prob(network, image, label):
    """Of odd (1) and even (0)."""
    return jax.nn.log_softmax(logits(network, image))[label]


def loss(network, batch):
    """Mean cross-entropy of a batch."""
    return -jnp.mean(jax.vmap(log_prob, (None, 0, 0))(network, *batch))


@jax.jit
def accuracies(network):
    """On the test images of every pair."""
    outputs = jax.vmap(lambda x: logits(network, x))(tests)
    right = jnp.where(jnp.argmax(outputs, axis=1) == odd_tests, 1.0, 0.0)
    right = jnp.where(jnp.any(jnp.isnan(outputs)), jnp.nan, right)
    return jnp.stack([jnp.mean(right[pair]) for pair in test_pairs])


def last_of_a_pair(signals):
    """Whether a task ends with this step."""
    return (signals.step + 1) % STEPS == 0


def built(method, task, network):
    """The system of a method, and its first synapses."""
    rate, strength = METHODS[method]
    everywhere = lambda x: jax.tree.map(lambda w: jnp.full_like(w, x), network)
    if method == "Bayesian":
        circuit = PosteriorNetwork(loss, BATCH, draws=1)
        system = System(task, circuit, {"learning": BayesianDescent(rate)})
        return system, {"mean": network, "deviation": everywhere(strength)}
    if method == "releasing":
        release = ReleasePlasticity(strength, up=0.1, down=0.1, freeze=0.9353)
        rules = {"strength": StrengthDescent(rate), "release": release}
        circuit, bounds = StochasticNetwork(loss), ReleaseBounds(0.25)
        system = System(task, circuit, rules, (bounds,))
        return system, Stochastic(network, everywhere(0.25))
    memory = ElasticPenalty(rate, strength, everywhere(0.0), everywhere(0.0))
    if method == "intelligent":
        memory = SynapticIntelligence(rate, last_of_a_pair, strength)
    rules = {"learning": Scaled(Descent(), rate), "memory": memory}
    return System(task, LossCircuit(loss), rules), network


@eqx.filter_jit
def reminded(method, memory, network, shown):
    """The elastic pull, by which the pair just learned is kept too."""
    if method == "elastic":
        found = Fisher(log_prob, network, shown, outcomes=jnp.arange(2)).diagonal()
    else:
        found = 2 * sensitivity(logits, network, shown)
    found = ravel_pytree(network)[1](found)
    precision = jax.tree.map(jnp.add, memory.precision, found)
    moment = jax.tree.map(jnp.multiply, precision, network)
    return dataclasses.replace(memory, precision=precision, moment=moment)


def learned(method, key):
    """Accuracy after every pair, on every pair."""
    for_weights, for_batches, key = jr.split(key, 3)
    keys, shapes = jr.split(for_weights, 3), [(48, 64), (40, 48), (2, 40)]
    network = tuple(
        jr.normal(k, s) / s[1] ** 0.5 for k, s in zip(keys, shapes, strict=True)
    )
    shown = [
        jr.choice(jr.fold_in(for_batches, i), pair, (STEPS, BATCH))
        for i, pair in enumerate(pairs)
    ]
    order = jnp.concatenate(shown)
    task = Recorded((images[order], odd[order]))
    system, synapses = built(method, task, network)
    state, seen = system.start(synapses, key), []
    for batches in shown:
        state, _ = simulate(system, state, key, steps=STEPS, every=STEPS)
        synapses = state.synapses
        network = synapses["mean"] if method == "Bayesian" else weights(synapses)
        seen.append(accuracies(network))
        if method in ("elastic", "memory-aware"):
            some, rules = images[batches.ravel()[:300]], system.rules
            memory = reminded(method, rules["memory"], network, some)
            system = dataclasses.replace(system, rules={**rules, "memory": memory})
    return jnp.stack(seen)


if __name__ == "__main__":
    for method in METHODS:
        found = jnp.stack([learned(method, jr.key(i)) for i in range(6)])
        learning, end = learning_accuracy(found), mean_accuracy(found)
        print(
            f"{method:>12}: learned {jnp.mean(learning):.3f}, at the end "
            f"{jnp.mean(end):.3f} ± {jnp.std(end) / 5**0.5:.3f}, "
            f"forgotten {jnp.mean(forgetting(found)):.3f}"
        )
