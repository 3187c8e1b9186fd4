"""Neurons that replay stored patterns: which one, and what it tells their synapses.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Neurons do not
interact: any subset of rows is an exact, cheaper network.
"""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from .._arguments import (
    check_binary,
    check_kind,
    check_not_negative,
    check_signs,
    check_stored,
    fill_array_fields,
    floating,
    optional,
    real,
    require,
    rows_of,
    whole,
)
from .._interfaces import AbstractCircuit, Scalar
from ..numerics import normal
from ..signals import ReplaySignals
from ..synapses._factors import AbstractFactors, Factored, Free, Product


Fields = Float[Array, "row pattern"]
Rows = Float[Array, " row"]
Stored = Bool[Array, " pattern"]


class Memories(NamedTuple):
    """Patterns of 0 and 1, what each neuron should do in them, and which count.

    `patterns` (n, pattern) are inputs, `targets` (row, pattern) +1 where the neuron
    should be active and -1 elsewhere, `stored` (pattern,) marks those that are replayed
    (the rest is padding: sweeps over the load keep their shapes).

    >>> memories = memories_of(jnp.eye(3), rows=2)
    >>> memories.patterns.shape, memories.targets.shape, memories.stored.tolist()
    ((3, 3), (2, 3), [True, True, True])
    """

    patterns: Float[Array, "n pattern"]
    targets: Float[Array, "row pattern"]
    stored: Stored


class Replaying(NamedTuple):
    """Cycles so far, and every neuron's mean absolute field in the last one.

    >>> circuit, memories = Replay(), memories_of(jnp.eye(2))
    >>> w = synapses.Factored(jnp.ones((2, 2, 2)), threshold=jnp.full(2, 0.5))
    >>> start = circuit.start(w, memories)
    >>> int(start.cycle), start.average.tolist()
    (0, [0.5, 0.5])
    """

    cycle: Int[Array, ""]
    average: Rows


class Candidates(eqx.Module):
    """The patterns that a policy chooses from, as every neuron stands to them.

    `fields` (row, pattern) of this cycle; `targets` and `stored` as in `Memories`;
    `average` (row,) absolute field of the stored patterns in the cycle before.

    >>> fields, targets = jnp.array([[3.0, -2.0, 1.0]]), jnp.array([[1.0, 1.0, -1.0]])
    >>> stored = jnp.array([True, True, False])
    >>> Candidates(fields, targets, stored, jnp.ones(1)).margins.tolist()
    [[3.0, -2.0, inf]]
    """

    fields: Fields
    targets: Fields
    stored: Stored
    average: Rows

    @property
    def margins(self) -> Fields:
        r"""$\sigma_i^\mu H_i^\mu$, infinite for a pattern that is not stored."""
        return jnp.where(self.stored[None], self.targets * self.fields, jnp.inf)


class AbstractPolicy(eqx.Module):
    """Which patterns every neuron replays.

    >>> class Equal(AbstractPolicy):
    ...     def __call__(self, candidates, key):
    ...         return candidates.targets / candidates.fields.shape[1]
    >>> one = jnp.ones((2, 4))  # fields and targets of two neurons in four patterns
    >>> Equal()(Candidates(one, one, one[0] > 0, one[:, 0]), jr.key(0))[0].tolist()
    [0.25, 0.25, 0.25, 0.25]
    """

    @abc.abstractmethod
    def __call__(self, candidates: Candidates, key: Key[Array, ""]) -> Fields:
        """The sign with which each neuron replays each pattern, times its share."""

    def __check_init__(self) -> None:
        fill_array_fields(self)


class AbstractChoice(AbstractPolicy):
    """One pattern per neuron and cycle, replayed with its target sign.

    The sign is NaN where the field of that pattern is.

    >>> class First(AbstractChoice):
    ...     def choose(self, candidates, key):
    ...         return jnp.zeros(len(candidates.fields), int)
    >>> one = jnp.ones((2, 3))  # fields and targets of two neurons in three patterns
    >>> First()(Candidates(one, one, one[0] > 0, one[:, 0]), jr.key(0)).tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    @abc.abstractmethod
    def choose(self, candidates: Candidates, key: Key[Array, ""]) -> Int[Array, " row"]:
        """The index of the pattern that each neuron replays."""

    def __call__(self, candidates: Candidates, key: Key[Array, ""]) -> Fields:
        chosen = self.choose(candidates, key)
        sign = _sign(candidates.fields, candidates.targets, chosen)
        return _at(chosen, sign, candidates.fields.shape[1])


class WeakestReplay(AbstractChoice):
    r"""$\arg\min_\mu\sigma_i^\mu H_i^\mu$: the gradient of every neuron's margin.

    The lowest index wins a tie. With a `noise` $\nu$ above 0 the margins are seen with
    errors $\nu\bar H_i\epsilon$, $\epsilon \sim N(0, 1)$.

    >>> fields, one = jnp.array([[3.0, -2.0, 1.0]]), jnp.ones((1, 3))
    >>> seen = Candidates(fields, one, one[0] > 0, jnp.array([2.0]))
    >>> WeakestReplay()(seen, jr.key(0)).tolist()
    [[0.0, 1.0, 0.0]]
    """

    noise: Scalar | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        if self.noise is not None:
            require(self, noise=(0.0, np.inf))

    def choose(self, candidates: Candidates, key: Key[Array, ""]) -> Int[Array, " row"]:
        margins = candidates.margins
        if self.noise is not None:
            # else XLA repeats the generator in every reduction: minutes to compile
            errors = jax.lax.optimization_barrier(
                normal(key, margins.shape, margins.dtype)
            )
            margins = margins + self.noise * candidates.average[:, None] * errors
        return _least(margins)


class RandomReplay(AbstractChoice):
    """A stored pattern at random, each neuron its own: the control of `WeakestReplay`.

    Nothing stops the weights from growing along what all patterns share.

    >>> fields, one = jnp.array([[3.0, -2.0, 1.0]]), jnp.ones((1, 3))
    >>> seen = Candidates(fields, one, jnp.array([False, False, True]), jnp.ones(1))
    >>> RandomReplay()(seen, jr.key(0)).tolist()  # only one is stored
    [[0.0, 0.0, 1.0]]
    """

    def choose(self, candidates: Candidates, key: Key[Array, ""]) -> Int[Array, " row"]:
        chance = jr.uniform(key, candidates.fields.shape)
        return jnp.argmax(jnp.where(candidates.stored[None], chance, -1.0), axis=1)


class PrioritisedReplay(AbstractChoice):
    r"""A stored pattern drawn with probability $\propto e^{-\beta\sigma H^\mu/\bar H}$.

    `sharpness` is $\beta$: 0 draws at random, many draw the weakest, which gains most
    (as prioritised experience replay, Schaul, Quan, Antonoglou & Silver 2016,
    arXiv:1511.05952, and Mattar & Daw 2018, doi 10.1038/s41593-018-0232-z).

    >>> fields, one = jnp.array([[3.0, -2.0, 1.0]]), jnp.ones((1, 3))
    >>> seen = Candidates(fields, one, one[0] > 0, jnp.array([2.0]))
    >>> PrioritisedReplay(sharpness=1e6)(seen, jr.key(0)).tolist()  # the weakest
    [[0.0, 1.0, 0.0]]
    """

    sharpness: Scalar = eqx.field(default=10.0, converter=real)

    def __check_init__(self) -> None:
        require(self, sharpness=(0.0, np.inf))

    def choose(self, candidates: Candidates, key: Key[Array, ""]) -> Int[Array, " row"]:
        margins = candidates.margins
        chance = jr.gumbel(key, margins.shape, margins.dtype)
        chance = jax.lax.optimization_barrier(chance)  # as in `WeakestReplay`
        scaled = self.sharpness * margins / candidates.average[:, None]
        return _least(jnp.where(candidates.stored[None], scaled - chance, jnp.inf))


class SoftReplay(AbstractPolicy):
    r"""All patterns at once, the weaker the more: $\propto e^{-\beta|H^\mu|/\bar H}$.

    Nobody tells the neuron its target: the sign is that of its own field, so a bit that
    flips is never repaired. `sharpness` is $\beta$; $\bar H$ is the mean of $|H^\mu|$
    in the cycle before. The threshold is stable while its rate times $\beta/\bar H$
    stays below 2.

    >>> fields, one = jnp.array([[3.0, -2.0]]), jnp.ones((1, 2))
    >>> seen = Candidates(fields, one, one[0] > 0, jnp.array([2.5]))
    >>> SoftReplay(sharpness=0.0)(seen, jr.key(0)).tolist()
    [[0.5, -0.5]]
    """

    sharpness: Scalar = eqx.field(default=100.0, converter=real)

    def __check_init__(self) -> None:
        require(self, sharpness=(0.0, np.inf))

    def __call__(self, candidates: Candidates, key: Key[Array, ""]) -> Fields:
        fields, average = candidates.fields, candidates.average
        size = jnp.where(candidates.stored[None], jnp.abs(fields), jnp.inf)
        above = size - jnp.min(size, axis=1, keepdims=True)
        share = jnp.exp(-self.sharpness * above / average[:, None])
        signs = jnp.where(candidates.stored[None], jnp.sign(fields), 0.0)
        return share * signs / jnp.sum(share, axis=1, keepdims=True)


class TaughtReplay(AbstractPolicy):
    """`first` until every stored pattern is right, `then` afterwards.

    Neurons switch one by one; with `together` all wait for the last one, as in the
    published code (rows then are no longer independent). Falls back on an error.

    >>> fields, one = jnp.array([[3.0, -2.0], [3.0, 2.0]]), jnp.ones((2, 2))
    >>> seen = Candidates(fields, one, one[0] > 0, one[0])
    >>> TaughtReplay(then=SoftReplay(0.0))(seen, jr.key(0)).tolist()
    [[0.0, 1.0], [0.5, 0.5]]
    """

    first: AbstractPolicy = WeakestReplay()
    then: AbstractPolicy = SoftReplay()
    together: bool = eqx.field(default=False, static=True)

    def __call__(self, candidates: Candidates, key: Key[Array, ""]) -> Fields:
        right = jnp.all(candidates.margins > 0, axis=1)
        if self.together:
            right = jnp.broadcast_to(jnp.all(right), right.shape)
        first, then = self.first(candidates, key), self.then(candidates, key)
        return jnp.where(right[:, None], then, first)


class Replay(AbstractCircuit):
    r"""One cycle of replay: $H = W\xi - I$, and what `policy` makes of it.

    The stimulus is a `Memories`; synapses are `Factored`, with weights that follow by
    `parametrisation`. Synapses of weight at most `pruned_below` in size are dead, none
    with `None`. Neurons whose $\sqrt N m_i/\|w_i\|_1$ has reached `enough` get no drive
    (the perceptron with a margin); $m_i$ is the margin of their weakest pattern. Raises
    `ValueError` where the parts of the memories do not fit the synapses.

    Offers `ReplaySignals`. The activity begins as `circuit.start(synapses, memories)`.

    >>> circuit, memories = Replay(), memories_of(jnp.eye(2))
    >>> w = synapses.Factored(jnp.ones((2, 2, 2)), threshold=jnp.full(2, 0.5))
    >>> activity, seen = circuit(circuit.start(w, memories), w, memories, jr.key(0))
    >>> seen.replay.tolist()  # each learns that it should not be active in the other
    [[0.0, -1.0], [-1.0, 0.0]]
    """

    policy: AbstractPolicy = WeakestReplay()
    parametrisation: AbstractFactors = Product()
    pruned_below: Scalar | None = eqx.field(default=1e-10, converter=optional)
    enough: Scalar | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        if self.pruned_below is not None:
            require(self, pruned_below=(0.0, np.inf))
        if self.enough is not None:
            require(self, enough=(-np.inf, np.inf))

    def start(
        self, synapses: Factored, stimulus: Any = None, key: Any = None
    ) -> Replaying:
        """Before the first cycle: fields as the synapses make them of the memories.

        The stimulus is a `Memories`. Raises `ValueError` if a factor is negative or not
        finite, a pattern not 0 or 1 or a target not -1 or 1, or if none is stored.
        """
        check_kind("`stimulus`", stimulus, Memories)
        memories: Memories = stimulus
        if not isinstance(self.parametrisation, Free):
            check_not_negative("factors", synapses.factors)
        fields = self.fields(synapses, memories)
        check_binary("patterns", memories.patterns)
        check_stored(memories.stored, memories.patterns.shape[1])
        check_signs("targets", memories.targets)
        return Replaying(jnp.asarray(0, jnp.int32), _average(fields, memories.stored))

    def fields(self, synapses: Factored, memories: Memories) -> Fields:
        r"""$w_i \cdot \xi^\mu - I_i$."""
        weights = self.parametrisation.weights(synapses.factors)
        return _fields(weights, synapses.threshold, memories)

    def __call__(
        self,
        activity: Replaying,
        synapses: Factored,
        stimulus: Memories,
        key: Key[Array, ""],
    ) -> tuple[Replaying, ReplaySignals]:
        patterns, targets, stored = stimulus
        weights = self.parametrisation.weights(synapses.factors)
        fields = _fields(weights, synapses.threshold, stimulus)
        candidates = Candidates(fields, targets, stored, activity.average)
        if isinstance(self.policy, AbstractChoice):  # a gather beats a product
            chosen = self.policy.choose(candidates, key)
            bias = _sign(fields, targets, chosen)
            rows = jax.lax.optimization_barrier(patterns.T)  # laid out before the loop
            drive = bias[:, None] * rows[chosen]
            replay = _at(chosen, bias, fields.shape[1])
        else:
            replay = self.policy(candidates, key)
            drive = replay @ patterns.T
            bias = jnp.sum(replay, axis=1)
        if self.enough is not None:
            margin = jnp.min(candidates.margins, axis=1)
            norm = jnp.sum(jnp.abs(weights), axis=1) / weights.shape[1] ** 0.5
            wanting = jnp.where(margin >= self.enough * norm, 0.0, 1.0)
            drive, bias = wanting[:, None] * drive, wanting * bias
        alive = jnp.ones(weights.shape, bool)
        if self.pruned_below is not None:
            alive = ~(jnp.abs(weights) <= self.pruned_below)  # also where it is NaN
        dt, cycle = jnp.ones((), weights.dtype), activity.cycle
        told = (fields, replay, drive, bias)
        signals = ReplaySignals(dt, weights, alive, *told, step=cycle)
        return Replaying(cycle + 1, _average(fields, stored)), signals


def _fields(
    weights: Float[Array, "row n"], threshold: Rows, memories: Memories
) -> Fields:
    """Those of all patterns; `ValueError` unless the memories fit the synapses."""
    patterns, targets, stored = map(jnp.shape, memories)
    rows, n = weights.shape
    count = patterns[-1:]
    if patterns != (n, *count) or targets != (rows, *count) or stored != count:
        raise ValueError(
            f"memories of synapses {weights.shape} (row, n) must have `patterns` "
            "(n, pattern), `targets` (row, pattern) and `stored` (pattern,); got "
            f"{patterns}, {targets} and {stored}."
        )
    return weights @ memories.patterns - threshold[:, None]


def _sign(fields: Fields, targets: Fields, chosen: Int[Array, " row"]) -> Rows:
    """The target of the pattern that each row replays, NaN where its field is."""
    here = lambda x: jnp.take_along_axis(x, chosen[:, None], axis=1)[:, 0]
    sign, seen = here(targets), here(fields)
    return jnp.where(jnp.isnan(seen), jnp.nan, sign)


def _at(chosen: Int[Array, " row"], sign: Rows, count: int) -> Fields:
    """The sign at the pattern that each row replays, 0 elsewhere."""
    here = jnp.arange(count)[None] == chosen[:, None]
    return jnp.where(here, sign[:, None], jnp.zeros((), sign.dtype))


def _least(margins: Fields) -> Int[Array, " row"]:
    """Index of the least margin of each row, the lowest of equal ones; NaN before all.

    Two reductions that vectorise, instead of `argmin`, which does not.
    """
    last = margins.shape[1] - 1
    least = margins == jnp.min(margins, axis=1, keepdims=True)
    least = least | jnp.isnan(margins)
    return jnp.min(jnp.where(least, jnp.arange(last + 1)[None], last), axis=1)


def _average(fields: Fields, stored: Stored) -> Rows:
    """Mean absolute field of the stored patterns."""
    share = stored.astype(fields.dtype)
    share = share / jnp.maximum(jnp.sum(share), 1)
    return jnp.abs(fields) @ share


@floating
def memories_of(
    patterns: Float[Array, "n pattern"],
    rows: Any = None,
    stored: Stored | None = None,
    shift: int = 0,
) -> Memories:
    r"""An auto-associative memory: the first `rows` neurons (all) restore `patterns`.

    `rows` may also be indices (row,) of neurons, in any order. With a `shift` of 1 they
    predict the next pattern of a cyclic sequence. `stored` marks the patterns that
    count (all). Patterns of integers or booleans are converted. Raises `ValueError`
    unless the entries are 0 or 1, `rows` lies between 1 and the number of neurons, and
    `stored` marks some of the patterns.

    >>> memories_of(jnp.eye(2)).targets.tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    >>> memories_of(jnp.eye(2), shift=1).targets.tolist()  # the other one comes next
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    if not patterns.size:
        raise ValueError(f"`patterns` must hold one; got {patterns.shape}.")
    check_binary("patterns", patterns)
    chosen, shift = rows_of(rows, len(patterns)), whole("shift", shift)
    if stored is None:
        stored = jnp.ones(patterns.shape[1], bool)
    check_stored(stored, patterns.shape[1])
    stored = jnp.asarray(stored, bool)
    targets = 2 * jnp.roll(patterns[chosen], -shift, axis=1) - 1
    return Memories(patterns, targets, stored)
