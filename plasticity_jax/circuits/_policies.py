"""Which of the stored patterns every neuron replays."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from .._arguments import fill_array_fields, optional, real, require
from .._interfaces import Scalar
from ..numerics import normal


Fields = Float[Array, "row pattern"]
Rows = Float[Array, " row"]
Stored = Bool[Array, " pattern"]


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
