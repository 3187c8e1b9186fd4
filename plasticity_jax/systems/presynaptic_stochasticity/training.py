"""A network learns a stream of tasks and is tested on all of them after each.

Schug, Benzing & Steger 2021, eLife 10:e69884, Figures 4 and 5.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from ... import Scalar, simulate, State, System
from ...curvature import Fisher
from ...synapses import Weights
from ...tasks import batch_orders, ImageBatches, standardised, task_shares
from .config import build, Config, release_of, Source, statistics
from .networks import CrossEntropy, hits, predict


class Stream(NamedTuple):
    """The tasks in their order, and how each is tested.

    `tasks` are the batches of each; `tests` names the test images of each as a weight
    (task, image); `pixels` (task, pixel) their permutations, `None` without.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> data = Source(x, y, x, y, pairs=(jnp.asarray([0]), jnp.asarray([1])))
    >>> stream = stream_of(Config(groups=((0,), (1,)), batch=1), data, jr.key(0))
    >>> len(stream.tasks), stream.tests.tolist()  # an image tests each
    (2, [[1.0, 0.0], [0.0, 1.0]])
    """

    tasks: list[ImageBatches]
    test_labels: Int[Array, " image"]
    tests: Float[Array, "task image"]
    pixels: Int[Array, "task pixel"] | None


def stream_of(config: Config, data: Source, key: Key[Array, ""]) -> Stream:
    """The stream of tasks that the configuration names.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.asarray([2, 7])
    >>> data = Source(x, y, x, y, pairs=(jnp.arange(2),))
    >>> config = Config(groups=((2, 7),), batch=2, epochs=3)
    >>> task = stream_of(config, data, jr.key(0)).tasks[0]
    >>> len(task.order), task.labels.tolist()  # batches; outputs of both classes
    (3, [0, 1])
    """
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
    if config.protocol in ("split", "joint", "incremental"):
        group, place = _places(config)
        tasks_of = jnp.arange(len(config.groups))[:, None]
        weight = (group[tests][None] == tasks_of).astype(mean.dtype)
        joint = config.protocol == "joint"
        groups = [jnp.concatenate(data.pairs)] if joint else data.pairs
        own = config.protocol == "incremental"
        named = lambda labels: labels if own else place.astype(labels.dtype)[labels]
        tasks = [batches(named(labels), orders(x, i)) for i, x in enumerate(groups)]
        return Stream(tasks, named(tests), weight, None)
    if config.protocol == "single":
        weight = jnp.ones((1, len(tests)), mean.dtype)
        return Stream([batches(labels, orders(everything, 0))], tests, weight, None)
    permute = lambda key: jr.permutation(key, pixels)
    places = jax.vmap(permute)(jr.split(for_pixels, config.tasks))
    weight = jnp.ones((config.tasks, len(tests)), mean.dtype)
    if config.protocol == "permuted":
        task = lambda i: batches(labels, orders(everything, i), pixels=places[i])
        return Stream([*map(task, range(config.tasks))], tests, weight, places)
    samples = config.epochs * count // config.batch * config.batch
    for_task, for_image = jr.split(for_mixture)
    if config.protocol == "mixed":
        shape = (config.tasks * samples // config.batch, config.batch)
        drawn = jr.randint(for_image, shape, 0, count)
        which = jr.randint(for_task, shape, 0, config.tasks)
        one = batches(labels, drawn, pixels=places, task=which)
        return Stream([one], tests, weight, places)
    shares = jnp.asarray(task_shares(config.tasks, samples), mean.dtype)
    shape = (config.tasks, samples // config.batch, config.batch)
    drawn = jr.randint(for_image, shape, 0, count)
    which = jr.categorical(for_task, jnp.log(shares), axis=1).reshape(shape)
    task = lambda i: batches(labels, drawn[i], pixels=places, task=which[i])
    return Stream([*map(task, range(config.tasks))], tests, weight, places)


def _places(config: Config) -> tuple[Array, Array]:
    """The group of every class, and its place there; -1 and 0 of one in no group."""
    group, place = np.full(config.classes, -1), np.zeros(config.classes, int)
    for i, members in enumerate(config.groups):
        group[list(members)], place[list(members)] = i, np.arange(len(members))
    return jnp.asarray(group), jnp.asarray(place)


def weights_of(config: Config, synapses: Any, key: Key[Array, ""]) -> Weights:
    """The weights of one network: drawn if synapses release, else the means.

    >>> config = Config(method="fixed", fixed_release=0.5)
    >>> known = synapses.Stochastic(jnp.ones(8), jnp.full(8, 0.5))
    >>> weights = weights_of(config, known, jr.key(0))
    >>> set(weights.tolist()) <= {0.0, 2.0}  # 1 / 0.5 where it releases
    True
    """
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

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> data, same = Source(x, y, x, y, pairs=(jnp.arange(2),)), eqx.nn.Identity()
    >>> config = Config(groups=((0, 1),), batch=2, method="deterministic")
    >>> stream = stream_of(config, data, jr.key(0))
    >>> accuracies(config, stream, data, same, same, jr.key(0)).tolist()  # brightest
    [1.0]
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


class Course(NamedTuple):
    """Every epoch of every task: mean `loss` (nats), release and frozen share after.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> data = Source(x, y, x, y, pairs=(jnp.arange(2),))
    >>> config = Config(groups=((0, 1),), batch=2, rate=0.1, method="deterministic")
    >>> course = learn(config, data, jr.key(0)).course
    >>> course.loss.shape, bool(course.loss[0, -1] < 0.1)  # a task, 40 epochs
    ((1, 40), True)
    """

    loss: Float[Array, "after epoch"]
    probability: Float[Array, "after epoch"]
    frozen: Float[Array, "after epoch"]


class Learned(NamedTuple):
    """A stream that was learned.

    `accuracy` (after, task); `probability` and `frozen` (after,), mean release
    probability and the share at or above `freeze`; the system, state and rest of the
    network at the end; its `course` by epochs.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> data = Source(x, y, x, y, pairs=(jnp.arange(2),))
    >>> config = Config(groups=((0, 1),), batch=2, rate=0.1, method="deterministic")
    >>> learned = learn(config, data, jr.key(0))
    >>> learned.probability.tolist(), learned.frozen.tolist()  # it always releases
    ([1.0], [0.0])
    """

    accuracy: Float[Array, "after task"]
    probability: Float[Array, " after"]
    frozen: Float[Array, " after"]
    system: System
    state: State
    rest: Any
    course: Course | None = None


def attend(system: System, state: State, key: Key[Array, ""]) -> State:
    """The state after all batches of the system's task, the first one at step 0.

    >>> order, shades = jnp.asarray([[0, 1]] * 3), jnp.asarray([0.5, 0.5, 1.0])
    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> task = tasks.ImageBatches(x, y, order, *shades)
    >>> system, state, rest = build(Config(hidden=(3,)), task, 2, jr.key(0))
    >>> int(attend(system, state, jr.key(0)).step)
    3
    """
    task: Any = system.task
    steps, state = len(task.order), State(state.activity, state.synapses)
    return simulate(system, state, key, steps=steps)[0]


def learn(config: Config, data: Source, key: Key[Array, ""]) -> Learned:
    """Train on every task of the stream in turn; test on all of them after each.

    A stream whose first task is then known less than `stop_below` is not followed:
    what comes after is NaN. A task is compiled once, whatever their number; where all
    of them have equally many batches an epoch, accuracies depend differentiably on the
    configuration up to thresholds and draws.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> data = Source(x, y, x, y, pairs=(jnp.arange(2),))
    >>> config = Config(groups=((0, 1),), batch=2, rate=0.1, method="deterministic")
    >>> learn(config, data, jr.key(0)).accuracy.tolist()
    [[1.0]]
    """
    for_stream, for_build, for_run, for_test, for_fisher = jr.split(key, 5)
    stream = stream_of(config, data, for_stream)
    first, pixels = stream.tasks[0], data.train_images.shape[1]
    system, state, rest = build(config, first, pixels, for_build)
    own, lengths = _stacked(stream.tasks)
    spans = np.diff(np.outer(lengths, range(config.epochs + 1)) // config.epochs)
    equal = np.all(spans == spans[0, 0])

    def lesson(memory: Any, state: State, part: Any) -> Any:
        index, fields, length, span = part
        task = dataclasses.replace(first, **fields)
        here = dataclasses.replace(system, task=task, rules={**system.rules, **memory})
        key = jr.fold_in(for_run, index)

        def epoch(state: State, steps: Any) -> Any:
            steps = int(spans[0, 0]) if equal else steps
            state, loss = _learn_epoch(here, state, key, steps)
            return state, Course(loss, *release_levels(config, state.synapses))

        fresh = State(state.activity, state.synapses)
        state, course = jax.lax.scan(epoch, fresh, span)
        test = jr.fold_in(for_test, index)
        tested = accuracies(config, stream, data, rest, state.synapses, test)
        if config.method == "ewc":
            key = jr.fold_in(for_fisher, index)
            weights: Any = state.synapses
            here = remember(config, here, weights, rest, task, key, length)
            memory = {"memory": here.rules["memory"]}
        return memory, state, (tested, course)

    def unless_stopped(carry: Any, part: Any) -> Any:
        memory, state, stopped = carry
        index = part[0]
        shapes = jax.eval_shape(lesson, memory, state, part)[2]
        lost = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes)
        skip = lambda memory, state, part: (memory, state, lost)
        memory, state, seen = jax.lax.cond(stopped, skip, lesson, memory, state, part)
        stopped = stopped | ((index == 0) & (seen[0][0] < config.stop_below))
        return (memory, state, stopped), seen

    memory = {name: rule for name, rule in system.rules.items() if name == "memory"}
    index = jnp.arange(len(lengths), dtype=jnp.int32)
    parts = index, own, jnp.asarray(lengths, jnp.int32), jnp.asarray(spans, jnp.int32)
    start = memory, state, jnp.zeros((), bool)
    (memory, state, _), seen = jax.lax.scan(unless_stopped, start, parts)
    accuracy, course = seen
    rules = {**system.rules, **memory}
    system = dataclasses.replace(system, task=stream.tasks[-1], rules=rules)
    last = (course.probability[:, -1], course.frozen[:, -1])
    return Learned(accuracy, *last, system, state, rest, course)


def _stacked(tasks: list[ImageBatches]) -> tuple[dict[str, Array], list[int]]:
    """What differs between tasks, (task, ...), and the number of steps of each."""
    lengths = [len(task.order) for task in tasks]

    def stack(name: str) -> Array:
        rows = [getattr(task, name) for task in tasks]
        if name == "order":  # filled up with what is not shown
            more = [max(lengths) - length for length in lengths]
            pairs = zip(rows, more, strict=True)
            rows = [jnp.pad(row, ((0, n), (0, 0))) for row, n in pairs]
        return jnp.stack(rows)

    names = ("order", "pixels", "task")
    given = [name for name in names if getattr(tasks[0], name) is not None]
    return {name: stack(name) for name in given}, lengths


def _learn_epoch(
    system: System, state: State, key: Key[Array, ""], steps: Any
) -> tuple[State, Scalar]:
    """The state after some steps, and their mean loss."""

    def step(_: Any, carry: tuple[State, Scalar]) -> tuple[State, Scalar]:
        state, total = carry
        state, loss = simulate(system, state, key, steps=1, record=_loss)
        return state, total + loss[0]

    state, total = jax.lax.fori_loop(0, steps, step, (state, jnp.zeros(())))
    return state, total / jnp.asarray(steps, total.dtype)


def _loss(state: State, signals: Any, changes: Any) -> Scalar:
    return signals.loss


def remember(
    config: Config,
    system: System,
    weights: Weights,
    rest: Any,
    task: ImageBatches,
    key: Key[Array, ""],
    length: Any = None,
) -> System:
    """The system with the task just learned in its elastic penalty.

    The Fisher diagonal at `fisher_samples` training images of the task, of which the
    first `length` batches are shown: `exact`, expected over the model's own labels, or
    `empirical`, at the true ones. Per task, penalties add; `online`, there is one
    anchor and the older diagonal fades by `memory`.

    >>> config, y = Config(hidden=(), method="ewc", penalty=1.0), jnp.arange(2)
    >>> task = tasks.ImageBatches(jnp.eye(2, dtype=jnp.uint8), y, y[None], *jnp.ones(3))
    >>> system, state, rest = build(config, task, 2, jr.key(0))
    >>> taught = remember(config, system, state.synapses, rest, task, jr.key(0))
    >>> 0 < float(taught.rules["memory"].precision.weights[0].max()) <= 0.125
    True
    """
    images, labels = task_sample(task, config.fisher_samples, key, length)
    given: dict[str, Any] = {"targets": labels}
    if config.fisher == "exact":
        given = {"outcomes": jnp.arange(config.labels, dtype=jnp.int32)}
    log_prob = CrossEntropy(rest).log_prob
    flat = Fisher(log_prob, weights, images, kind=config.fisher, **given).diagonal()
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
    task: ImageBatches, samples: int, key: Key[Array, ""], length: Any = None
) -> tuple[Float[Array, "sample pixel"], Int[Array, " sample"]]:
    """Training images of a task, drawn from its batches with replacement.

    From the first `length` of them; from all, unless it is given.

    >>> order, shades = jnp.asarray([[0, 1]]), jnp.asarray([0.5, 0.5, 1.0])
    >>> task = tasks.ImageBatches(jnp.eye(2, dtype=jnp.uint8), order[0], order, *shades)
    >>> images, labels = task_sample(task, 5, jr.key(0))
    >>> images.shape, bool((images.argmax(axis=1) == labels).all())
    ((5, 2), True)
    """
    batch = task.order.shape[1]
    count = max(1, -(-samples // batch))
    length = len(task.order) if length is None else length
    steps = jr.randint(key, (count,), 0, length)
    images, labels = jax.vmap(lambda step: task(step, key))(steps)
    return images.reshape(-1, images.shape[-1])[:samples], labels.reshape(-1)[:samples]


def release_levels(config: Config, synapses: Any) -> tuple[Scalar, Scalar]:
    """Mean release probability and the frozen share of synapses; 1 and 0 without.

    Both are NaN where a probability is.

    >>> known = synapses.Stochastic(jnp.ones(4), jnp.asarray([0.5, 0.5, 1.0, 1.0]))
    >>> mean, frozen = release_levels(Config(freeze=0.9), known)
    >>> float(mean), float(frozen)
    (0.75, 0.5)
    """
    if not config.releases:
        return jnp.ones(()), jnp.zeros(())
    every, _ = ravel_pytree(synapses.probability)
    frozen = ravel_pytree(synapses.at_least(config.freeze))[0].astype(every.dtype)
    return jnp.mean(every), jnp.mean(jnp.where(jnp.isnan(every), jnp.nan, frozen))
