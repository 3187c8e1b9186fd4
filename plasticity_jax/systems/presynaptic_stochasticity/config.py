"""Hyper-parameters of networks whose synapses release, and how their systems are built.

Schug, Benzing & Steger 2021, eLife 10:e69884. All quantities are dimensionless; a step
is one minibatch.
"""

import functools
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Int, Key, UInt8

from ... import AbstractConfig, AbstractRule, AbstractTask, Scalar, State, System
from ..._arguments import check_indices, concrete, one_of, real, require, whole
from ...circuits import LossCircuit, PosteriorNetwork, StochasticNetwork
from ...data import Dataset, load
from ...rules import (
    BayesianDescent,
    Descent,
    Dissipation,
    ElasticPenalty,
    ReleasePlasticity,
    Scaled,
    StrengthDescent,
    Update,
)
from ...synapses import (
    Release,
    ReleaseBounds,
    split_weights,
    Stochastic,
    uniform_probability,
)
from ...tasks import ImageBatches, split_by_class
from .networks import check_labels, Convolutional, CrossEntropy, Perceptron


METHODS = ("presynaptic", "ghost", "fixed", "deterministic", "ewc", "bgd")
PROTOCOLS = (
    "split",
    "incremental",
    "joint",
    "permuted",
    "continuous",
    "mixed",
    "single",
)
DATA = ("digits", "mnist", "fashion_mnist")
NETWORKS = ("perceptron", "convolutional")
CLASSES = 10
PAIRS = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))  # of classes, a task each
STATISTICS = {  # white, mean, standard deviation
    "mnist": (255.0, 0.1307, 0.3081),
    "fashion_mnist": (255.0, 0.2861, 0.3530),
}


def check_order(low: Scalar, high: Scalar) -> None:
    """Raise `ValueError` for concrete bounds of release in the wrong order.

    >>> check_order(jnp.asarray(0.5), jnp.asarray(0.25))
    Traceback (most recent call last):
    ValueError: `low` must not exceed `high`; got 0.5 and 0.25.
    """
    if concrete(low, high) and np.any(np.asarray(low) > np.asarray(high)):
        raise ValueError(f"`low` must not exceed `high`; got {low} and {high}.")


class Config(AbstractConfig):
    r"""A network, how its synapses learn and release, and the stream of tasks.

    `method`: `presynaptic` plasticity; `ghost`, whose probabilities modulate learning
    while release is at `fixed_release`; `fixed`, without plasticity of release;
    `deterministic` (SGD or Adam); `ewc` on top of it; `bgd`. `protocol`: `split` into
    `groups` of classes that share outputs, the first class of each the first output;
    `incremental`, the same groups with an output for each of the `classes`; `permuted`
    pixels, `tasks` of them; `continuous`, the same without boundaries; all tasks at
    once, `joint` of a split, `mixed` of permuted pixels; `single`, the plain data set.
    Raises `ValueError` for values that are none of its choices, or exclude each other.

    >>> Config(protocol="split").labels, Config(protocol="incremental").labels
    (2, 10)
    >>> Config(method="fixed").releases, Config(method="ewc").releases
    (True, False)
    """

    rate: Scalar = eqx.field(default=0.01, converter=real)  # eta_0
    decay: Scalar = eqx.field(default=0.0, converter=real)  # lambda
    threshold: Scalar = eqx.field(default=1e-3, converter=real)  # g_lim
    up: Scalar = eqx.field(default=0.0520, converter=real)  # p_up
    down: Scalar = eqx.field(default=0.0516, converter=real)  # p_down
    freeze: Scalar = eqx.field(default=0.9353, converter=real)  # p_freeze; 1: off
    low: Scalar = eqx.field(default=0.25, converter=real)  # p_min, and the start
    high: Scalar = eqx.field(default=1.0, converter=real)  # p_max
    fixed_release: Scalar = eqx.field(default=0.5, converter=real)  # p_0
    penalty: Scalar = eqx.field(default=1e3, converter=real)  # lambda_E
    memory: Scalar = eqx.field(default=1.0, converter=real)  # gamma of online EWC
    deviation: Scalar = eqx.field(default=0.02, converter=real)  # sigma_0 of BGD
    stop_below: Scalar = eqx.field(default=0.0, converter=real)  # accuracy of task 1
    method: str = eqx.field(default="presynaptic", static=True)
    protocol: str = eqx.field(default="split", static=True)
    data: str = eqx.field(default="digits", static=True)
    classes: int = eqx.field(default=CLASSES, static=True)
    groups: tuple[tuple[int, ...], ...] = eqx.field(default=PAIRS, static=True)
    network: str = eqx.field(default="perceptron", static=True)
    hidden: tuple[int, ...] = eqx.field(default=(48, 40), static=True)
    bias: str = eqx.field(default="none", static=True)  # or fixed, trained
    modulated: bool = eqx.field(default=True, static=True)  # rate by p_max - p
    scaled: bool = eqx.field(default=True, static=True)  # step of p by p_max - p
    strict: bool = eqx.field(default=False, static=True)  # up above g_lim, not at it
    normalised: bool = eqx.field(default=True, static=True)  # w = r w / p
    hard_freeze: bool = eqx.field(default=False, static=True)
    own_divisor: bool = eqx.field(default=False, static=True)  # of the ghost, published
    random_start: bool = eqx.field(default=False, static=True)  # p ~ U(low, 1)
    adam: bool = eqx.field(default=False, static=True)  # deterministic
    online: bool = eqx.field(default=False, static=True)  # EWC with one anchor
    batch: int = eqx.field(default=20, static=True)
    epochs: int = eqx.field(default=40, static=True)  # per task
    tasks: int = eqx.field(default=10, static=True)  # of permuted streams
    votes: int = eqx.field(default=10, static=True)  # networks per test
    draws: int = eqx.field(default=10, static=True)  # of BGD
    fisher: str = eqx.field(default="exact", static=True)  # of EWC; or empirical
    fisher_samples: int = eqx.field(default=2000, static=True)  # of EWC

    def __check_init__(self) -> None:
        unbounded, share = (0.0, math.inf), (0.0, 1.0)
        for name in ("rate", "decay", "threshold", "penalty", "deviation"):
            require(self, **{name: unbounded})
        for name in ("up", "down", "high", "memory", "stop_below"):
            require(self, **{name: share})
        releases = (1e-4, 1.0)
        require(self, low=releases, fixed_release=releases, freeze=unbounded)
        one_of("method", self.method, METHODS)
        one_of("protocol", self.protocol, PROTOCOLS)
        one_of("data", self.data, DATA)
        one_of("network", self.network, NETWORKS)
        one_of("fisher", self.fisher, ("exact", "empirical"))
        one_of("bias", self.bias, ("none", "fixed", "trained"))
        check_order(self.low, self.high)
        if self.bias == "trained" and self.releases:
            raise ValueError("biases are 'trained' in deterministic networks only.")
        for name in ("batch", "epochs", "tasks", "votes", "draws", "fisher_samples"):
            whole(name, getattr(self, name), 1)
        whole("classes", self.classes, 1)
        for group in self.groups:
            check_indices("groups", np.asarray(group), self.classes, "classes")
        if not isinstance(self.hidden, tuple):
            raise ValueError(f"`hidden` must be a tuple; got {self.hidden!r}.")
        for count in self.hidden:
            whole("hidden", count, 1)

    @property
    def releases(self) -> bool:
        """Whether weights are drawn by release."""
        return self.method in ("presynaptic", "ghost", "fixed")

    @property
    def labels(self) -> int:
        """Number of output units: of the largest group where they are shared."""
        if self.protocol in ("split", "joint"):
            return max(len(group) for group in self.groups)
        return self.classes


class Source(NamedTuple):
    """A data set on the device, and the training images of every group of classes.

    Images are flat, (image, pixel) of uint8. `pairs` hold indices. Pass it through
    `jax.tree_util.Partial`: then all runs of a sweep share its arrays.

    >>> source = images_of(Config())
    >>> zeros_and_ones = source.train_labels[source.pairs[0]]
    >>> sorted(set(zeros_and_ones.tolist()))
    [0, 1]
    """

    train_images: UInt8[Array, "train pixel"]
    train_labels: Int[Array, " train"]
    test_images: UInt8[Array, "test pixel"]
    test_labels: Int[Array, " test"]
    pairs: tuple[Int[Array, " some"], ...]


def source_of(
    data: Dataset, groups: tuple[tuple[int, ...], ...] = PAIRS, classes: int = CLASSES
) -> Source:
    """A data set as the systems read it.

    Raises `ValueError` if a class of a group is missing, and for labels beyond the
    classes.

    >>> from plasticity_jax import data
    >>> source = source_of(data.load("digits"), groups=((0, 1, 2), (3, 4)))
    >>> [int(source.train_labels[pair].max()) for pair in source.pairs]
    [2, 4]
    """
    for name in ("train_labels", "test_labels"):
        check_indices(name, getattr(data, name), classes, "classes")
    flat = lambda images: jnp.asarray(images.reshape(len(images), -1))
    pairs = split_by_class(np.asarray(data.train_labels), groups)
    return Source(
        flat(data.train_images),
        jnp.asarray(data.train_labels),
        flat(data.test_images),
        jnp.asarray(data.test_labels),
        tuple(jnp.asarray(pair, jnp.int32) for pair in pairs),
    )


@functools.lru_cache(maxsize=3)
def _loaded(name: str, groups: tuple[tuple[int, ...], ...], classes: int) -> Source:
    return source_of(load(name), groups, classes)


def images_of(config: Config) -> Source:
    """The images that the configuration names.

    >>> source = images_of(Config(data="digits"))
    >>> source.train_images.shape[1], len(source.pairs)
    (64, 5)
    """
    return _loaded(config.data, config.groups, config.classes)


def statistics(config: Config, data: Source) -> tuple[Scalar, Scalar, Scalar]:
    """White, mean and standard deviation of the pixels, as published for each set.

    Those of `digits`, with values up to 16, are measured.

    >>> white, mean, deviation = statistics(Config(), images_of(Config()))
    >>> print(float(white), f"{mean:.1f} {deviation:.1f}")
    16.0 0.3 0.4
    """
    if config.data in STATISTICS:
        white, mean, deviation = STATISTICS[config.data]
        return real(white), real(mean), real(deviation)
    shown = real(data.train_images) / 16
    return real(16.0), jnp.mean(shown), jnp.std(shown)


def release_of(config: Config) -> Release:
    """How weights are drawn.

    >>> release_of(Config(method="presynaptic")).fixed is None
    True
    >>> float(release_of(Config(method="fixed", fixed_release=0.25)).fixed)
    0.25
    """
    fixed = None if config.method == "presynaptic" else config.fixed_release
    if not config.normalised:
        return Release(fixed, "none")
    own = config.own_divisor and config.method == "ghost"
    return Release(fixed, "own" if own else "used")


def network_of(config: Config, pixels: int, key: Key[Array, ""]) -> tuple[Any, Any]:
    """What is trained of a fresh network, and the rest of it.

    >>> weights, rest = network_of(Config(hidden=(3,)), 4, jr.key(0))
    >>> [layer.shape for layer in jax.tree.leaves(weights)]
    [(3, 4), (2, 3)]
    """
    if config.network == "convolutional":
        network = Convolutional(pixels, config.labels, key)
    else:
        sizes = (pixels, *config.hidden, config.labels)
        network = Perceptron(sizes, key, config.bias != "none")
    if config.bias == "trained":
        return eqx.partition(network, eqx.is_inexact_array)
    return split_weights(network)


def build(
    config: Config, task: AbstractTask, pixels: int, key: Key[Array, ""]
) -> tuple[System, State, Any]:
    """The system, its first state, and the network without its weights.

    Raises `ValueError` for images of another size than `pixels`, and for labels that
    are not integers or have no output (`Config.labels` of them); where these are
    traced, the loss is NaN.

    >>> task = tasks.Constant((jnp.ones((3, 4)), jnp.asarray([0, 1, 1])))
    >>> system, state, rest = build(Config(hidden=(3,)), task, 4, jr.key(0))
    >>> sorted(system.rules), state.synapses.probability.weights[1].tolist()
    (['release', 'strength'], [[0.25, 0.25, 0.25], [0.25, 0.25, 0.25]])
    """
    _check_task(config, task, pixels, key)
    for_network, for_release = jr.split(key)
    weights, rest = network_of(config, pixels, for_network)
    loss = CrossEntropy(rest)
    if config.releases:
        circuit = StochasticNetwork(loss, release_of(config))
        bounds = (
            ()
            if config.method == "fixed"
            else (ReleaseBounds(config.low, config.high),)
        )
        system = System(task, circuit, rules_of(config), bounds)
        return system, State(None, start(config, weights, for_release)), rest
    if config.method == "bgd":
        wide = jax.tree.map(lambda w: jnp.full_like(w, config.deviation), weights)
        circuit = PosteriorNetwork(loss, real(config.batch), config.draws)
        system = System(task, circuit, {"learning": BayesianDescent(config.rate)})
        return system, State(None, {"mean": weights, "deviation": wide}), rest
    optimiser = optax.adam(1.0) if config.adam else None
    rules: dict[str, AbstractRule] = {
        "learning": Scaled(Update() if config.adam else Descent(), config.rate),
        "decay": Scaled(Dissipation(config.decay), config.rate),
    }
    if config.method == "ewc":
        nothing = jax.tree.map(jnp.zeros_like, weights)
        rules["memory"] = ElasticPenalty(config.rate, config.penalty, nothing, nothing)
    circuit = LossCircuit(loss, optimiser=optimiser)
    activity = None if optimiser is None else optimiser.init(weights)
    return System(task, circuit, rules), State(activity, weights), rest


def _check_task(
    config: Config, task: AbstractTask, pixels: int, key: Key[Array, ""]
) -> None:
    """Of images in batches every label that is shown, of others those of step 0."""
    if isinstance(task, ImageBatches):
        shape, labels = task.images.shape, task.labels
        if concrete(labels, task.order):
            labels = np.asarray(labels)[np.asarray(task.order).ravel()]
    else:
        images, labels = task(jnp.zeros((), jnp.int32), key)
        shape = images.shape
    if shape[-1] != pixels:
        raise ValueError(
            f"the images of `task` must have {pixels} pixels; got {shape}."
        )
    check_labels(labels, config.labels)


def start(config: Config, weights: Any, key: Key[Array, ""]) -> Stochastic:
    """Fresh synapses: all at the least probability, or random ones.

    Without normalisation strengths are those when released, so that the mean stays.

    >>> fresh = start(Config(low=0.25, normalised=False), jnp.ones((1, 2)), jr.key(0))
    >>> fresh.probability.tolist(), fresh.strength.tolist()  # when released
    ([[0.25, 0.25]], [[4.0, 4.0]])
    """
    low = config.fixed_release if config.method != "presynaptic" else config.low
    used = probability = uniform_probability(weights, low)
    if config.random_start:
        shape = jax.tree.structure(weights)
        keys = shape.unflatten(jr.split(key, shape.num_leaves))
        draw = lambda w, key: jr.uniform(key, w.shape, w.dtype, config.low, 1.0)
        probability = jax.tree.map(draw, weights, keys)
        used = probability if config.method == "presynaptic" else used
    if not config.normalised:
        weights = jax.tree.map(jnp.divide, weights, used)
    return Stochastic(weights, probability)


def rules_of(config: Config) -> dict[str, AbstractRule]:
    """Strength and, unless it is fixed, release.

    >>> sorted(rules_of(Config())), sorted(rules_of(Config(method="fixed")))
    (['release', 'strength'], ['strength'])
    """
    ceiling = config.high if config.modulated else None
    hard = config.freeze if config.hard_freeze else None
    rules: dict[str, AbstractRule] = {
        "strength": StrengthDescent(config.rate, config.decay, ceiling, hard)
    }
    if config.method != "fixed":
        steps = (config.threshold, config.up, config.down, config.freeze)
        kind = (config.high, config.scaled, config.strict)
        rules["release"] = ReleasePlasticity(*steps, *kind)
    return rules
