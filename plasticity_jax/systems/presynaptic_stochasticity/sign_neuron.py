r"""A binary neuron that learns random patterns with synapses that release.

Schug, Benzing & Steger 2021, eLife 10:e69884, Figure 5b,c; a step is one batch.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key, UInt8

from ... import (
    AbstractCircuit,
    AbstractConfig,
    AbstractRule,
    Scalar,
    simulate,
    State,
    System,
)
from ..._arguments import (
    check_binary,
    check_not_negative,
    check_signs,
    one_of,
    real,
    require,
    whole,
)
from ...rules import ReleasePlasticity, StrengthDescent
from ...signals import ReleaseSignals
from ...synapses import Release, ReleaseBounds, Stochastic
from ...tasks import batch_orders, ImageBatches
from .config import check_order


METHODS = ("presynaptic", "fixed", "deterministic")


class SignNeuron(AbstractCircuit):
    r"""$\hat y = \mathrm{sgn}_+(\sum_ix_ir_i\bar w_i/p_i)$, a draw for every pattern.

    Stimuli are patterns (pattern, n) of $\pm1$ and their labels $\pm1$; zero counts as
    $+1$. The signals' `gradient` is $-\sum_\mu(y^\mu - \hat y^\mu)x^\mu r^\mu$, a sum
    over the batch without $1/p$: even integers, exact in any order; thresholds on it
    are multiplied by the batch. The activity counts steps, and step k lasts `pace`[k].

    >>> reliable = synapses.Stochastic(jnp.asarray([1.0, -1.0]), jnp.ones(2))
    >>> shown = jnp.asarray([[1.0, 1.0], [1.0, -1.0]]), jnp.asarray([1, -1])
    >>> _, seen = SignNeuron()(jnp.asarray(0), reliable, shown, jr.key(0))
    >>> float(seen.loss), seen.gradient.tolist()  # the second pattern is wrong
    (0.5, [2.0, -2.0])
    """

    release: Release = Release()
    pace: Float[Array, " step"] = eqx.field(default_factory=lambda: jnp.ones(1))

    def __call__(
        self,
        activity: Int[Array, ""],
        synapses: Stochastic,
        stimulus: tuple[Float[Array, "pattern n"], Int[Array, " pattern"]],
        key: Key[Array, ""],
    ) -> tuple[Int[Array, ""], ReleaseSignals]:
        pace = self.pace[activity % len(self.pace)]
        gates = self.gates(synapses, len(stimulus[0]), key)
        return activity + 1, self.signals(synapses, stimulus, gates, pace)

    def signals(
        self,
        synapses: Stochastic,
        stimulus: tuple[Float[Array, "pattern n"], Int[Array, " pattern"]],
        gates: Float[Array, "pattern n"],
        pace: Scalar,
    ) -> ReleaseSignals:
        """What is offered with given gates."""
        patterns, labels = stimulus
        field = self.field(synapses, patterns, gates)
        wanted = labels.astype(field.dtype)
        error = wanted - sign_plus(field)
        released = jnp.where(gates > 0, patterns, 0.0)
        gradient = -jnp.sum(error[:, None] * released, axis=0)
        loss = jnp.mean(jnp.abs(error)) / 2
        return ReleaseSignals(pace, loss, gradient, gates)

    def gates(
        self, synapses: Stochastic, count: int, key: Key[Array, ""]
    ) -> Float[Array, "pattern n"]:
        """$r/p$, drawn independently for each of `count` patterns."""
        draw = lambda key: self.release.gates(synapses.probability, key)
        return jax.vmap(draw)(jr.split(key, count))

    def field(
        self,
        synapses: Stochastic,
        patterns: Float[Array, "pattern n"],
        gates: Float[Array, "pattern n"],
    ) -> Float[Array, " pattern"]:
        """The input from every pattern."""
        strength: Any = synapses.strength
        return jnp.sum(patterns * gates * strength[None], axis=1)


def sign_plus(field: Float[Array, " pattern"]) -> Float[Array, " pattern"]:
    r"""$\mathrm{sgn}_+$: 1 at 0; NaN stays.

    >>> sign_plus(jnp.asarray([-2.0, 0.0, 3.0])).tolist()
    [-1.0, 1.0, 1.0]
    """
    return jnp.where(field == 0, jnp.ones_like(field), jnp.sign(field))


class Config(AbstractConfig):
    r"""A sign neuron, its synapses and its stream of random patterns.

    `method`: `presynaptic` plasticity; `fixed` release at `fixed_release`;
    `deterministic`. `freeze` above `high` turns the latch off. `loads` are the
    numbers of patterns per task that are compared with each other, multiples of `batch`
    (else `ValueError`).

    >>> Config(patterns=100, passes=25, batch=5).steps
    500
    """

    threshold: Scalar = eqx.field(default=0.1, converter=real)  # g_lim
    step: Scalar = eqx.field(default=0.2, converter=real)  # p_up = p_down
    freeze: Scalar = eqx.field(default=0.9, converter=real)
    low: Scalar = eqx.field(default=0.25, converter=real)  # p_min, and the start
    high: Scalar = eqx.field(default=0.9, converter=real)  # upper clamp
    fixed_release: Scalar = eqx.field(default=0.9, converter=real)
    method: str = eqx.field(default="presynaptic", static=True)
    modulated: bool = eqx.field(default=True, static=True)  # rate by 1 - p
    scaled: bool = eqx.field(default=True, static=True)  # step of p by 1 - p
    shuffled: bool = eqx.field(default=False, static=True)  # patterns, every pass
    size: int = eqx.field(default=1000, static=True)  # N
    tasks: int = eqx.field(default=5, static=True)
    patterns: int = eqx.field(default=100, static=True)  # per task
    passes: int = eqx.field(default=25, static=True)
    batch: int = eqx.field(default=5, static=True)
    votes: int = eqx.field(default=10, static=True)  # per test
    loads: tuple[int, ...] = eqx.field(default=(50, 100, 200, 300), static=True)

    def __check_init__(self) -> None:
        share = (0.0, 1.0)
        require(self, threshold=(0.0, math.inf), freeze=(0.0, math.inf))
        releases = (1e-4, 1.0)
        require(self, step=share, high=share, low=releases, fixed_release=releases)
        check_order(self.low, self.high)
        one_of("method", self.method, METHODS)
        for name in ("size", "tasks", "passes", "batch", "votes"):
            whole(name, getattr(self, name), 1)
        for count in (self.patterns, *self.loads):
            if count < 1 or count % self.batch:
                raise ValueError(
                    f"`patterns` and `loads` must be positive multiples of `batch`, "
                    f"{self.batch}; got {count}."
                )

    @property
    def steps(self) -> int:
        """Steps per task."""
        return self.passes * self.patterns // self.batch


class Patterns(NamedTuple):
    """Random `bits` (task, pattern, n), `labels` and the `order` of their batches.

    >>> patterns = patterns_of(Config(size=20, tasks=2, patterns=5), jr.key(0))
    >>> images, labels = patterns.task(0)(jnp.asarray(0), jr.key(0))
    >>> images.shape, bool((abs(images) == 1).all() & (abs(labels) == 1).all())
    ((5, 20), True)
    """

    bits: UInt8[Array, "task pattern n"]
    labels: Int[Array, "task pattern"]
    order: Int[Array, "task step sample"]

    def task(self, index: Any) -> ImageBatches:
        """The batches of one task, bits shown as -1 and 1."""
        order = self.order[index]
        bits, labels = self.bits[index], self.labels[index]
        return ImageBatches(bits, labels, order, real(0.5), real(0.5), real(1.0))


def patterns_of(config: Config, key: Key[Array, ""]) -> Patterns:
    """Patterns and labels, both signs equally likely; in order unless `shuffled`.

    >>> config = Config(size=20, tasks=2, patterns=5, passes=3)
    >>> patterns = patterns_of(config, jr.key(0))
    >>> patterns.bits.shape, patterns.order[0].tolist()  # a batch in each pass
    ((2, 5, 20), [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    """
    for_bits, for_labels, for_order = jr.split(key, 3)
    shape = (config.tasks, config.patterns)
    bits = jr.bernoulli(for_bits, 0.5, (*shape, config.size)).astype(jnp.uint8)
    labels = 2 * jr.bernoulli(for_labels, 0.5, shape).astype(jnp.int32) - 1
    members = jnp.arange(config.patterns, dtype=jnp.int32)
    if config.shuffled:
        draw = lambda key: batch_orders(members, config.batch, config.passes, key)
        order = jax.vmap(draw)(jr.split(for_order, config.tasks))
    else:
        rows = jnp.tile(members, config.passes).reshape(config.steps, config.batch)
        order = jnp.broadcast_to(rows, (config.tasks, *rows.shape))
    return Patterns(bits, labels, order)


def build(
    config: Config, patterns: Patterns, pace: Float[Array, " step"] | None = None
) -> tuple[System, State]:
    r"""The neuron before its first pattern, $\bar w = 0$.

    With `pace`, learning is scaled by it, step by step. Raises `ValueError` for
    patterns of another shape than the configuration's, bits other than 0 and 1, labels
    other than -1 and 1, and a negative pace.

    >>> config = Config(size=20, tasks=1, patterns=5)
    >>> system, state = build(config, patterns_of(config, jr.key(0)))
    >>> sorted(system.rules), float(abs(state.synapses.strength).max())
    (['release', 'strength'], 0.0)
    """
    shape = (config.tasks, config.patterns, config.size)
    if patterns.bits.shape != shape or patterns.labels.shape != shape[:2]:
        raise ValueError(
            f"`patterns` need bits {shape} and labels {shape[:2]} (`tasks`, "
            "`patterns`, `size`); got "
            f"{patterns.bits.shape} and {patterns.labels.shape}."
        )
    check_binary("bits", patterns.bits)
    check_signs("labels", patterns.labels)
    pace = jnp.ones(1) if pace is None else pace
    check_not_negative("pace", pace)
    fixed = {"presynaptic": None, "fixed": config.fixed_release}.get(config.method, 1.0)
    modulated = config.modulated and config.method != "deterministic"
    rules: dict[str, AbstractRule] = {
        "strength": StrengthDescent(1.0, ceiling=1.0 if modulated else None)
    }
    projections = ()
    probability = config.low if fixed is None else fixed
    if config.method == "presynaptic":
        limit = config.threshold * config.batch  # of a sum, not of a mean
        steps = (limit, config.step, config.step, config.freeze)
        rules["release"] = ReleasePlasticity(*steps, scaled=config.scaled, strict=True)
        projections = (ReleaseBounds(config.low, config.high),)
    silent = jnp.zeros(config.size)
    synapses = Stochastic(silent, jnp.full_like(silent, probability))
    circuit = SignNeuron(Release(fixed), pace)
    system = System(patterns.task(0), circuit, rules, projections)
    return system, State(jnp.asarray(0, jnp.int32), synapses)


def recalled(
    config: Config, system: System, synapses: Stochastic, patterns: Patterns, key: Any
) -> Float[Array, " task"]:
    r"""Share of every task's patterns with the right label after `votes`.

    A vote is $-1$, 0 or 1; a tie counts as an error. A deterministic neuron has one
    vote, and zero counts as $+1$. NaN for a task with an input that is NaN.

    >>> config = Config(method="deterministic", size=20, tasks=1, patterns=5)
    >>> patterns = patterns_of(config, jr.key(0))
    >>> system, state = build(config, patterns)  # which says 1 to all of them
    >>> share = recalled(config, system, state.synapses, patterns, jr.key(0))
    >>> np.allclose(share, np.mean(patterns.labels == 1))
    True
    """
    circuit: Any = system.circuit
    strength: Any = synapses.strength
    shown = 2 * patterns.bits.reshape(-1, config.size).astype(strength.dtype) - 1
    wanted = patterns.labels.reshape(-1).astype(shown.dtype)
    gates = lambda key: circuit.gates(synapses, len(shown), key)
    field = lambda key: circuit.field(synapses, shown, gates(key))
    if config.method == "deterministic":
        total = sign_plus(field(key))
    else:
        keys = jr.split(key, config.votes)
        total = jnp.sum(jax.lax.map(lambda k: jnp.sign(field(k)), keys), 0)
    right = (total * wanted > 0).astype(shown.dtype)
    hits = jnp.where(jnp.isnan(total), jnp.nan, right).reshape(patterns.labels.shape)
    return jnp.mean(hits, axis=1)


class Taught(NamedTuple):
    """A stream of patterns that was learned.

    `accuracy` (after, task); `frozen` (after,), share of synapses at or above `freeze`;
    `plasticity` (step,), the mean of $1 - p$ with which each step was learned.

    >>> config = Config(method="deterministic", size=20, tasks=1, patterns=5)
    >>> taught = teach(config, patterns_of(config, jr.key(0)), jr.key(0))
    >>> taught.frozen.tolist(), taught.plasticity.shape
    ([1.0], (25,))
    """

    accuracy: Float[Array, "after task"]
    frozen: Float[Array, " after"]
    plasticity: Float[Array, " step"]
    synapses: Stochastic


def _plasticity(state: State, signals: Any, changes: Any) -> Scalar:
    del signals, changes
    return 1 - jnp.mean(state.synapses.probability)  # pyright: ignore[reportAttributeAccessIssue]


def teach(
    config: Config,
    patterns: Patterns,
    key: Key[Array, ""],
    pace: Float[Array, " step"] | None = None,
) -> Taught:
    """Learn every task in turn, recall all of them after each.

    >>> config = Config(method="deterministic", size=20, tasks=1, patterns=5)
    >>> teach(config, patterns_of(config, jr.key(0)), jr.key(0)).accuracy.tolist()
    [[1.0]]
    """
    for_run, for_test = jr.split(key)
    system, state = build(config, patterns, pace)
    first = _plasticity(state, None, None)

    def lesson(state: State, index: Int[Array, ""]) -> tuple[State, Any]:
        here = dataclasses.replace(system, task=patterns.task(index))
        timing: dict[str, Any] = {"steps": config.steps, "record": _plasticity}
        state, plasticity = simulate(here, state, for_run, **timing)
        synapses: Any = state.synapses
        seen = recalled(config, here, synapses, patterns, jr.fold_in(for_test, index))
        frozen = synapses.at_least(config.freeze).astype(first.dtype)
        lost = jnp.isnan(synapses.probability)
        share = jnp.mean(jnp.where(lost, jnp.nan, frozen))
        return state, (seen, share, plasticity)

    tasks = jnp.arange(config.tasks, dtype=jnp.int32)
    state, (accuracy, frozen, plasticity) = jax.lax.scan(lesson, state, tasks)
    before = jnp.concatenate([first[None], plasticity.ravel()[:-1]])
    synapses: Any = state.synapses
    return Taught(accuracy, frozen, before, synapses)
