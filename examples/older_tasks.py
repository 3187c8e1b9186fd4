"""Which importance keeps older tasks best: elastic, synaptic intelligence, sensitivity?

Five pairs of digits, one after the other, told apart by the same two outputs. After
each pair the elastic penalty takes the Fisher information, or memory-aware synapses the
sensitivity of the outputs, at the pair's images; synaptic intelligence has summed what
each synapse earned on the way. Penalties were chosen at other seeds, below those at
which steps overshoot.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree

from plasticity_jax import simulate, System
from plasticity_jax.circuits import LossCircuit
from plasticity_jax.curvature import Fisher, sensitivity
from plasticity_jax.data import load
from plasticity_jax.measure import forgetting, mean_accuracy
from plasticity_jax.rules import Descent, ElasticPenalty, Scaled, SynapticIntelligence
from plasticity_jax.tasks import batch_orders, Recorded


RATE, STEPS, BATCH = 0.01, 800, 20  # of each pair
PAIRS = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
PENALTIES = {"none": 0.0, "elastic": 150.0, "intelligent": 0.5, "memory-aware": 2.0}
digits = load("digits")
flat = lambda images: jnp.asarray(images.reshape(-1, 64) / 8 - 0.6, jnp.float32)
images, tests = flat(digits.train_images), flat(digits.test_images)
labels, answers = (jnp.asarray(x) for x in (digits.train_labels, digits.test_labels))
in_pair = lambda labels, pair: jnp.isin(labels, jnp.asarray(pair))


def logits(network, image):
    """Outputs of two layers of rectified units."""
    *hidden, last = network
    for weights in hidden:
        image = jax.nn.relu(weights @ image)
    return last @ image


def log_prob(network, image, label):
    """Of odd (1) and even (0)."""
    return jax.nn.log_softmax(logits(network, image))[label]


def loss(network, batch):
    """Mean cross-entropy of a batch."""
    return -jnp.mean(jax.vmap(log_prob, (None, 0, 0))(network, *batch))


def last_of_a_pair(signals):
    """Whether a task ends with this step."""
    return (signals.step + 1) % STEPS == 0


@eqx.filter_jit
def importance(method, network, seen):
    """The precision that a pair adds to the elastic pull."""
    if method == "memory-aware":
        found = 2 * sensitivity(logits, network, seen)
    else:
        found = Fisher(log_prob, network, seen, outcomes=jnp.arange(2)).diagonal()
    return ravel_pytree(network)[1](found)


@jax.jit
def accuracies(network):
    """On the test images of every pair."""
    outputs = jax.vmap(lambda x: logits(network, x))(tests)
    right = jnp.where(jnp.argmax(outputs, axis=1) == answers % 2, 1.0, 0.0)
    right = jnp.where(jnp.any(jnp.isnan(outputs)), jnp.nan, right)
    return jnp.stack([jnp.mean(right, where=in_pair(answers, x)) for x in PAIRS])


def learned(method, penalty, key):
    """Accuracy after every pair, on every pair."""
    for_weights, for_batches, for_run = jr.split(key, 3)
    orders = []
    for i, pair in enumerate(PAIRS):
        shown = jnp.flatnonzero(in_pair(labels, pair))
        order = batch_orders(shown, BATCH, 60, jr.fold_in(for_batches, i))
        orders.append(order[:STEPS])
    order = jnp.concatenate(orders)
    shapes = [(48, 64), (40, 48), (2, 40)]
    keys = jr.split(for_weights, 3)
    network = tuple(
        jr.normal(k, s) / s[1] ** 0.5 for k, s in zip(keys, shapes, strict=True)
    )
    nothing = jax.tree.map(jnp.zeros_like, network)
    elastic = ElasticPenalty(RATE, penalty, nothing, nothing)
    rules = {"learning": Scaled(Descent(), RATE), "memory": elastic}
    if method == "intelligent":
        rules["memory"] = SynapticIntelligence(RATE, last_of_a_pair, penalty)
    task = Recorded((images[order], labels[order] % 2))
    system, seen = System(task, LossCircuit(loss), rules), []
    state = system.start(network, key)
    for order in orders:
        state, _ = simulate(system, state, for_run, steps=STEPS, every=STEPS)
        seen.append(accuracies(state.synapses))
        if method in ("elastic", "memory-aware"):
            now = importance(method, state.synapses, images[order.ravel()[:300]])
            precision = jax.tree.map(jnp.add, elastic.precision, now)
            moment = jax.tree.map(jnp.multiply, precision, state.synapses)
            elastic = dataclasses.replace(elastic, precision=precision, moment=moment)
            system = dataclasses.replace(system, rules={**rules, "memory": elastic})
    return jnp.stack(seen)


if __name__ == "__main__":
    for method, penalty in PENALTIES.items():
        found = jnp.stack([learned(method, penalty, jr.key(i)) for i in range(4)])
        mean, lost = mean_accuracy(found), jnp.mean(forgetting(found))
        error = jnp.std(mean) / 3**0.5
        says = f"accuracy {jnp.mean(mean):.3f} ± {error:.3f}, forgetting {lost:.3f}"
        print(f"{method:>12}: {says}")
