"""Can metaplasticity be learned by gradient, through release, as well as by search?

A network of releasing synapses learns five pairs of digits one after the other. How
release probabilities move is set by five numbers (threshold, steps up and down, where
they freeze, and the base rate); what counts is how well all pairs are told apart at the
end. Runs are those of the published rule; the gradient goes back through a whole
stream, where drawn masks and thresholds pass on the slopes of soft ones. Whether a
synapse was released also decides whether it goes up: with that path the slopes explode,
without it they are biased. Both are set beside differences of whole runs. A random
search gets further in less time: five numbers are few, and a run is cheap.
"""

import dataclasses
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from plasticity_jax import (
    AbstractCircuit,
    AbstractRule,
    AbstractSignals,
    fast_key,
    simulate,
    State,
    System,
)
from plasticity_jax.experiment import soon
from plasticity_jax.inference import relaxed_masks
from plasticity_jax.synapses import Stochastic
from plasticity_jax.systems.presynaptic_stochasticity import build, Config, images_of
from plasticity_jax.systems.presynaptic_stochasticity.config import statistics
from plasticity_jax.tasks import batch_orders, ImageBatches, standardised


BOX = {  # of the search in the experiment `metaplasticity`
    "threshold": (1e-4, 1e-2),  # logarithmic
    "rate": (3e-3, 3e-2),  # logarithmic
    "up": (0.01, 0.1),
    "down": (0.01, 0.1),
    "freeze": (0.9, 0.96),
}
WIDTH, MARGIN = 0.5, 0.02  # of soft thresholds and of soft freezing


def setting(place):
    """The five numbers at a place in the unit cube."""
    found = {}
    for x, (name, (low, high)) in zip(place, BOX.items(), strict=True):
        if name in ("threshold", "rate"):
            found[name] = low * (high / low) ** x
        else:
            found[name] = low + (high - low) * x
    return found


def beyond(x, width):
    """1 from 0 on, else 0, with the slope of a sigmoid."""
    soft = jax.nn.sigmoid(x / width)
    hard = jax.lax.stop_gradient(jnp.where(x >= 0, 1.0, 0.0))
    return hard + (soft - jax.lax.stop_gradient(soft))


def drawn(synapses, key, temperature=1.0):
    """Masks r and gates r/p that a slope along p goes through."""
    masks = relaxed_masks(synapses.probability, key, temperature, hard=True)
    return masks, jax.tree.map(jnp.divide, masks, synapses.probability)


class RelaxedSignals(AbstractSignals):
    """Also what a synapse would learn if it had released, `slope`."""

    dt: Any
    gradient: Any
    released: Any
    slope: Any


class RelaxedNetwork(AbstractCircuit):
    """`StochasticNetwork`, with relaxed slopes."""

    loss: Any
    temperature: Any  # of masks
    through: Any  # 1 with the path from release to release, else 0

    def __call__(self, activity, synapses, stimulus, key):
        masks, gates = drawn(synapses, key, self.temperature)
        weights = jax.tree.map(jnp.multiply, gates, synapses.strength)
        slope = jax.grad(self.loss)(weights, stimulus)
        gradient = jax.tree.map(jnp.multiply, gates, slope)
        still = jax.lax.stop_gradient
        pass_on = lambda mask: still(mask) + self.through * (mask - still(mask))
        released = jax.tree.map(pass_on, masks)
        return activity, RelaxedSignals(jnp.ones(()), gradient, released, slope)


class RelaxedRelease(AbstractRule):
    """`ReleasePlasticity`, with relaxed slopes."""

    threshold: Any
    up: Any
    down: Any
    freeze: Any

    def __call__(self, synapses, signals, key):
        def change(p, released, slope):
            size = jnp.abs(slope) / p
            size = jnp.where(size == 0, 1e-30, size)
            large = released * beyond(jnp.log(size / self.threshold), WIDTH)
            step = (self.up + self.down) * large - self.down  # share of 1 - p
            return jnp.log1p(-step * beyond(self.freeze - p, MARGIN))

        p, still = synapses.probability, jax.tree.map(jnp.zeros_like, synapses.strength)
        changes = jax.tree.map(change, p, signals.released, signals.slope)
        return Stochastic(still, log_failure=changes)


def outcome(place, config, source, key, temperature=1.0, through=0.0):
    """How well all pairs are told apart after a stream: as a mean chance, and hits."""
    config = dataclasses.replace(config, **setting(place))
    for_order, for_network, for_run, for_test = jr.split(key, 4)
    white, mean, deviation = statistics(config, source)
    size = min(len(pair) for pair in source.pairs)
    pairs = jnp.stack([pair[:size] for pair in source.pairs])
    order = lambda pair, key: batch_orders(pair, config.batch, config.epochs, key)
    orders = jax.vmap(order)(pairs, jr.split(for_order, len(pairs)))
    labels = source.train_labels % 2
    batches = lambda order: ImageBatches(
        source.train_images, labels, order, mean, deviation, white
    )
    pixels = source.train_images.shape[1]
    system, state, rest = build(config, batches(orders[0]), pixels, for_network)
    plain: Any = system.circuit
    circuit = RelaxedNetwork(plain.loss, temperature, through)
    numbers = (config.threshold, config.up, config.down, config.freeze)
    rules = {**system.rules, "release": RelaxedRelease(*numbers)}
    steps = orders.shape[1]
    every = max(k for k in range(1, int(steps**0.5) + 1) if steps % k == 0)

    def lesson(synapses, task):
        order, key = task
        here = System(batches(order), circuit, rules, system.projections)
        state = State(None, synapses)
        return simulate(here, state, key, steps=steps, every=every)[0].synapses, None

    keys = jr.split(for_run, len(orders))
    synapses, _ = jax.lax.scan(lesson, state.synapses, (orders, keys))
    shown = standardised(source.test_images, mean, deviation, white)
    wanted = source.test_labels % 2

    def chances(key):
        _, gates = drawn(synapses, key)
        weights = jax.tree.map(jnp.multiply, gates, synapses.strength)
        return jax.nn.softmax(jax.vmap(eqx.combine(weights, rest))(shown), axis=1)

    found = jnp.mean(jax.vmap(chances)(jr.split(for_test, config.votes)), axis=0)
    right = jnp.take_along_axis(found, wanted[:, None], axis=1)[:, 0]
    hits = jnp.mean((right > 0.5).astype(right.dtype))
    return jnp.mean(right), hits


@eqx.filter_jit
def ran(place, config, source, keys):
    """Mean chances and accuracies of several runs at once."""
    return jax.vmap(lambda key: outcome(place, config, source, key))(keys)


@soon
def slope(free, config, source, key, temperature, through):
    """The slope of the mean chance of one run along free coordinates."""
    run = lambda place: outcome(place, config, source, key, temperature, through)
    return jax.grad(lambda free: run(jax.nn.sigmoid(free))[0])(free)


def searched(candidates, config, source, key):
    """The best of random places, two runs each."""
    for_places, for_runs = jr.split(key)
    places = jr.uniform(for_places, (candidates, len(BOX)))
    keys = jr.split(for_runs, (candidates, 2))
    runs = [ran(x, config, source, k)[0] for x, k in zip(places, keys, strict=True)]
    return jax.scipy.special.logit(places[int(np.argmax(np.mean(runs, axis=1)))])


def climbed(steps, config, source, key, temperature):
    """Where Adam ends from the middle, a fresh run at every step."""
    free, optimiser = jnp.zeros(len(BOX)), optax.adam(0.3)
    memory = optimiser.init(free)
    for step in range(steps):
        relaxed = (jnp.asarray(temperature), jnp.asarray(0.0))
        up = slope(free, config, source, jr.fold_in(key, step), *relaxed)
        update, memory = optimiser.update(-up, memory)
        free = optax.apply_updates(free, update)
    return free


def chances(free, config, source, keys):
    """Mean chance and accuracy of runs at a place, two at a time."""
    place = jax.nn.sigmoid(free)
    runs = [ran(place, config, source, pair) for pair in keys.reshape(-1, 2)]
    return tuple(jnp.concatenate(x) for x in zip(*runs, strict=True))


def differences(free, config, source, keys, by=0.3):
    """Central differences of whole runs, the same keys at both ends."""
    end = lambda x: chances(x, config, source, keys)[0]
    units = by * np.eye(len(free))
    return jnp.stack([end(free + x) - end(free - x) for x in units], 1) / (2 * by)


def told(values):
    """Means over runs and their standard errors."""
    means, errors = (
        jnp.mean(values, axis=0),
        jnp.std(values, axis=0) / len(values) ** 0.5,
    )
    pairs = zip(means, errors, strict=True)
    return "".join(f"{mean:11.3g} +- {error:<7.1g}" for mean, error in pairs)


STEPS, CANDIDATES, TESTS, SLOPES = 15, 24, 8, 4

if __name__ == "__main__":
    source, config = images_of(Config()), Config(epochs=16, hidden=(32,), votes=4)
    for_search, for_climb, for_slopes, for_tests = jr.split(fast_key(0), 4)
    ways = {
        "search": lambda n: searched(n, config, source, for_search),
        "gradient, T = 0.5": lambda n: climbed(n, config, source, for_climb, 0.5),
        "gradient, T = 1": lambda n: climbed(n, config, source, for_climb, 1.0),
    }
    ends = {"middle": jnp.zeros(len(BOX))}
    for name, way in ways.items():
        way(1)  # compile
        begin = time.perf_counter()
        ends[name] = way(CANDIDATES if name == "search" else STEPS)
        print(f"{name}: {time.perf_counter() - begin:.0f} s, compiled")
    for name, free in ends.items():
        chance, hits = chances(free, config, source, jr.split(for_tests, TESTS))
        error = jnp.std(chance) / TESTS**0.5
        print(f"{name:17} chance {jnp.mean(chance):.3f} +- {error:.3f}", end=", ")
        print(f"accuracy {jnp.mean(hits):.3f}", end=": ")
        numbers = setting(jax.nn.sigmoid(free)).items()
        print(", ".join(f"{name} {value:.2g}" for name, value in numbers))
    print("slopes at the best of the search, along", ", ".join(BOX))
    best, keys = ends["search"], jr.split(for_slopes, SLOPES)
    print(f"{'differences':17}", told(differences(best, config, source, keys)))
    relaxed = {"T = 0.5": (0.5, 0.0), "T = 1": (1.0, 0.0), "T = 1, whole": (1.0, 1.0)}
    for name, options in relaxed.items():
        options = [jnp.asarray(x) for x in options]
        each = [slope(best, config, source, key, *options) for key in keys]
        print(f"{name:17}", told(jnp.stack(each)))
