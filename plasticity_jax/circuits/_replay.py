"""Neurons that replay stored patterns, and what that tells their synapses.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Neurons do not
interact: any subset of rows is an exact, cheaper network.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from .._arguments import (
    check_binary,
    check_kind,
    check_not_negative,
    check_signs,
    check_stored,
    floating,
    optional,
    require,
    rows_of,
    whole,
)
from .._interfaces import AbstractCircuit, Scalar
from ..signals import ReplaySignals
from ..synapses._factors import AbstractFactors, Factored, Free, Product
from ._policies import (
    _at,
    _sign,
    AbstractChoice,
    AbstractPolicy,
    Candidates,
    WeakestReplay,
)


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
