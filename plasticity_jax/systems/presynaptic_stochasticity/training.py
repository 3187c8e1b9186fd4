"""A network learns a stream of tasks and is tested on all of them after each.

Schug, Benzing & Steger 2021, eLife 10:e69884, Figures 4 and 5.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from ... import Scalar, simulate, State, System
from ...curvature import Fisher
from ...synapses import Weights
from ...tasks import batch_orders, ImageBatches, standardised, task_shares
from .config import build, Config, PAIRS, release_of, Source, statistics
from .networks import CrossEntropy, hits, predict


class Stream(NamedTuple):
    """The tasks in their order, and how each is tested.

    `tasks` are the batches of each; `tests` names the test images of each as a weight
    (task, image); `pixels` (task, pixel) their permutations, `None` without.
    """

    tasks: list[ImageBatches]
    test_labels: Int[Array, " image"]
    tests: Float[Array, "task image"]
    pixels: Int[Array, "task pixel"] | None


def stream_of(config: Config, data: Source, key: Key[Array, ""]) -> Stream:
    """The stream of tasks that the configuration names."""
    for_pixels, for_order, for_mixture = jr.split(key, 3)
    white, mean, deviation = statistics(config, data)
    images, labels, tests = data.train_images, data.train_labels, data.test_labels
    count, pixels = images.shape
    everything = jnp.arange(count, dtype=jnp.int32)
    batches = lambda labels, order, **more: ImageBatches(
        images, labels, order, mean, deviation, white, **more
    )
    orders = lambda indices, task: batch_orders(
        indices, config.batch, config.epochs, jr.fold_in(for_order, task)
    )
    if config.protocol in ("split", "joint"):
        pairs = jnp.asarray(PAIRS, tests.dtype)
        members = jnp.any(tests[None, :, None] == pairs[:, None, :], axis=2)
        weight = members.astype(mean.dtype)
        joint = config.protocol == "joint"
        groups = [jnp.concatenate(data.pairs)] if joint else data.pairs
        tasks = [batches(labels % 2, orders(x, i)) for i, x in enumerate(groups)]
        return Stream(tasks, tests % 2, weight, None)
    if config.protocol == "single":
        weight = jnp.ones((1, len(tests)), mean.dtype)
        return Stream([batches(labels, orders(everything, 0))], tests, weight, None)
    permute = lambda key: jr.permutation(key, pixels)
    places = jax.vmap(permute)(jr.split(for_pixels, config.tasks))
    weight = jnp.ones((config.tasks, len(tests)), mean.dtype)
    if config.protocol == "permuted":
        tasks = [
            batches(labels, orders(everything, i), pixels=places[i])
            for i in range(config.tasks)
        ]
        return Stream(tasks, tests, weight, places)
    samples = config.epochs * count // config.batch * config.batch
    shares = jnp.asarray(task_shares(config.tasks, samples), mean.dtype)
    for_task, for_image = jr.split(for_mixture)
    mixture = jr.categorical(for_task, jnp.log(shares), axis=1)
    shape = (config.tasks, samples // config.batch, config.batch)
    drawn = jr.randint(for_image, shape, 0, count)
    mixture = mixture.reshape(shape)
    tasks = [
        batches(labels, drawn[i], pixels=places, task=mixture[i])
        for i in range(config.tasks)
    ]
    return Stream(tasks, tests, weight, places)


def weights_of(config: Config, synapses: Any, key: Key[Array, ""]) -> Weights:
    """The weights of one network: drawn if synapses release, else the means."""
    if config.releases:
        gates = release_of(config).gates(synapses.probability, key)
        return jax.tree.map(jnp.multiply, synapses.strength, gates)
    return synapses["mean"] if config.method == "bgd" else synapses


def accuracies(
    config: Config,
    stream: Stream,
    data: Source,
    rest: Any,
    synapses: Any,
    key: Key[Array, ""],
) -> Float[Array, " task"]:
    """Test accuracy on every task of the stream.

    NaN for a network whose outputs are, and for tests whose label has no output.
    """
    white, mean, deviation = statistics(config, data)
    images = standardised(data.test_images, mean, deviation, white)
    votes = config.votes if config.releases else 1
    draw = lambda key: weights_of(config, synapses, key)

    def right(images: Float[Array, "image pixel"], key: Key[Array, ""]) -> Array:
        chances = predict(rest, draw, images, key, votes)
        return hits(chances, stream.test_labels).astype(images.dtype)

    if stream.pixels is None:
        correct = right(images, key)[None]
    else:
        shown = lambda task: right(images[:, task[0]], task[1])
        keys = jr.split(key, len(stream.pixels))
        correct = jax.lax.map(shown, (stream.pixels, keys))
    return jnp.sum(stream.tests * correct, axis=1) / jnp.sum(stream.tests, axis=1)


class Learned(NamedTuple):
    """A stream that was learned.

    `accuracy` (after, task); `probability` and `frozen` (after,), mean release
    probability and the share at or above `freeze`; the system, state and rest of the
    network at the end.
    """

    accuracy: Float[Array, "after task"]
    probability: Float[Array, " after"]
    frozen: Float[Array, " after"]
    system: System
    state: State
    rest: Any


def attend(system: System, state: State, key: Key[Array, ""]) -> State:
    """The state after all batches of the system's task, the first one at step 0."""
    task: Any = system.task
    steps, state = len(task.order), State(state.activity, state.synapses)
    return simulate(system, state, key, steps=steps, every=steps)[0]


def learn(config: Config, data: Source, key: Key[Array, ""]) -> Learned:
    """Train on every task of the stream in turn; test on all of them after each."""
    for_stream, for_build, for_run, for_test, for_fisher = jr.split(key, 5)
    stream = stream_of(config, data, for_stream)
    pixels = data.train_images.shape[1]
    system, state, rest = build(config, stream.tasks[0], pixels, for_build)
    seen = []
    for index, task in enumerate(stream.tasks):
        system = dataclasses.replace(system, task=task)
        state = attend(system, state, jr.fold_in(for_run, index))
        test = jr.fold_in(for_test, index)
        tested = accuracies(config, stream, data, rest, state.synapses, test)
        seen.append((tested, *release_levels(config, state.synapses)))
        if config.method == "ewc":
            key = jr.fold_in(for_fisher, index)
            system = remember(config, system, state.synapses, rest, task, key)
    accuracy, probability, frozen = (jnp.stack(x) for x in zip(*seen, strict=True))
    return Learned(accuracy, probability, frozen, system, state, rest)


def remember(
    config: Config,
    system: System,
    weights: Weights,
    rest: Any,
    task: ImageBatches,
    key: Key[Array, ""],
) -> System:
    """The system with the task just learned in its elastic penalty.

    The exact Fisher diagonal, expected over the model's own labels, at
    `fisher_samples` training images of the task. Per task, penalties add; `online`,
    there is one anchor and the older diagonal fades by `memory`.
    """
    images, _ = task_sample(task, config.fisher_samples, key)
    outcomes = jnp.arange(config.labels, dtype=jnp.int32)
    log_prob = CrossEntropy(rest).log_prob
    flat = Fisher(log_prob, weights, images, outcomes=outcomes).diagonal()
    diagonal = ravel_pytree(weights)[1](flat)
    elastic: Any = system.rules["memory"]
    older, moment = elastic.precision, elastic.moment
    if config.online:
        fade = lambda a, f: config.memory * a + f
        precision = jax.tree.map(fade, older, diagonal)
        moment = jax.tree.map(jnp.multiply, precision, weights)
    else:
        precision = jax.tree.map(jnp.add, older, diagonal)
        add = lambda c, f, w: c + f * w
        moment = jax.tree.map(add, moment, diagonal, weights)
    elastic = dataclasses.replace(elastic, precision=precision, moment=moment)
    return dataclasses.replace(system, rules={**system.rules, "memory": elastic})


def task_sample(
    task: ImageBatches, samples: int, key: Key[Array, ""]
) -> tuple[Float[Array, "sample pixel"], Int[Array, " sample"]]:
    """Training images of a task, drawn from its batches with replacement."""
    batch = task.order.shape[1]
    count = max(1, -(-samples // batch))
    steps = jr.randint(key, (count,), 0, len(task.order))
    images, labels = jax.vmap(lambda step: task(step, key))(steps)
    return images.reshape(-1, images.shape[-1])[:samples], labels.reshape(-1)[:samples]


def release_levels(config: Config, synapses: Any) -> tuple[Scalar, Scalar]:
    """Mean release probability and the frozen share of synapses; 1 and 0 without.

    Both are NaN where a probability is.
    """
    if not config.releases:
        return jnp.ones(()), jnp.zeros(())
    every, _ = ravel_pytree(synapses.probability)
    frozen = ravel_pytree(synapses.at_least(config.freeze))[0].astype(every.dtype)
    return jnp.mean(every), jnp.mean(jnp.where(jnp.isnan(every), jnp.nan, frozen))
