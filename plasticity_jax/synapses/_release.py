"""Synapses that release with a probability, and its bounds."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._arguments import (
    admit,
    check_range,
    concrete,
    counted,
    fitted,
    one_of,
    optional,
    real,
    require,
)
from .._arguments import check_probabilities as check_probabilities
from .._interfaces import AbstractProjection, Scalar
from .._random import bernoulli
from ..numerics import masked
from ._reading import AbstractSynapses, weights


Weights = PyTree[Float[Array, "..."]]
LEAST = 1e-30  # $1 - p$ of a probability of 1: it rounds to 1 in every precision
LOG_LEAST = math.log(LEAST)


class Stochastic(AbstractSynapses):
    r"""Synapses that release: two trees alike, of arrays of any shape.

    `strength` is the expected one, $\bar w = pm$, or synapses of which it is read as
    `weights`; `probability` $p$ is that of release. As `weights` $r\bar w/p$ is read,
    or the mean $\bar w$.

    The variable is `log_failure`, $\ln(1 - p)$: near 1 a probability itself would
    round, and a synapse never leave it. A rule returns the change of that variable, as
    `Stochastic(change, log_failure=change)`; functions of $p$ read the property.

    Raises `ValueError` unless the two are shaped alike and one of `probability` and
    `log_failure` is given, and for a probability outside [0, 1].

    >>> synapses = Stochastic(jnp.ones(100), jnp.full(100, 0.25))
    >>> sent, mean = synapses.weights(jr.key(0)), synapses.weights()
    >>> print(np.unique(sent.round(3)), np.unique(mean))
    [0. 4.] [1.]
    """

    strength: Weights
    log_failure: Weights

    def __init__(
        self,
        strength: Weights,
        probability: Weights | None = None,
        *,
        log_failure: Weights | None = None,
    ) -> None:
        if (probability is None) == (log_failure is None):
            raise ValueError("give either `probability` or `log_failure`, not both.")
        given = log_failure if probability is None else probability
        name = "`log_failure`" if probability is None else "`probability`"
        fitted(name, given, weights(strength), "`strength`")
        self.strength = strength
        self.log_failure = given if probability is None else log_failure_of(given)

    @property
    def probability(self) -> Weights:
        """That of release, $p$."""
        return jax.tree.map(lambda x: 1 - jnp.exp(x), self.log_failure)

    def at_least(self, level: Scalar | float) -> PyTree[Bool[Array, "..."]]:
        r"""Which synapses have $p \ge$ `level`; none for a level of 1 or above."""
        limit = jnp.log1p(-jnp.asarray(level))
        return jax.tree.map(lambda x: x <= limit.astype(x.dtype), self.log_failure)

    def weights(self, key: Any = None) -> Weights:
        """What is sent in one step, or without a key its mean."""
        strength = weights(self.strength)
        if key is None:
            return strength
        return jax.tree.map(masked, Release().gates(self.probability, key), strength)


def log_failure_of(probability: Weights) -> Weights:
    r"""$\ln(1 - p)$, the variable of `Stochastic`; of 1 that of $1 - 10^{-30}$.

    Raises `ValueError` for a probability outside [0, 1], and is NaN where that is
    traced.

    >>> print(log_failure_of(jnp.array([0.5, 0.75])).round(3))
    [-0.693 -1.386]
    """

    def log(p: Array) -> Array:
        p = admit("probability", p, (p < 0) | (p > 1), "lie in [0, 1]")
        sure = p == 1
        return jnp.where(sure, LOG_LEAST, jnp.log1p(-jnp.where(sure, 0.0, p)))

    return jax.tree.map(log, probability)


class Release(eqx.Module):
    r"""Which synapses release, and what they then transmit: $w = r\bar w/d$.

    $r$ is 1 with the synapse's own probability $p$, or with `fixed` for all of them.
    The `divisor` $d$ is the probability with which it was drawn (`used`, so that $\bar
    w$ is the mean), the synapse's `own`, or 1 (`none`). A synapse of several `sites`
    sends the share of them that release, independently: $r = k/n$ with binomial $k$, of
    variance $p(1 - p)/n$. Masks compare 16 random bits with a threshold: probabilities
    are multiples of $2^{-16}$.

    >>> probability = jnp.full(100, 0.25)
    >>> gates = Release().gates(probability, jr.key(0))
    >>> print(np.unique(gates), Release().gates_of(probability, jnp.ones(100))[0])
    [0. 4.] 4.0
    """

    fixed: Scalar | None = eqx.field(default=None, converter=optional)
    divisor: str = eqx.field(default="used", static=True)
    sites: int = eqx.field(default=1, static=True, converter=counted("sites"))

    def __check_init__(self) -> None:
        one_of("divisor", self.divisor, ("used", "own", "none"))
        if self.fixed is not None:
            require(self, fixed=(2.0**-16, 1.0))

    def gates(self, probability: Weights, key: Key[Array, ""]) -> Weights:
        r"""$r/d$ of every synapse, one draw, a tree like `probability`.

        Raises `ValueError` if a probability lies outside [0, 1], or rounds to 0 but is
        above; where traced, gates are NaN outside.
        """
        check_probabilities("probability", probability)
        leaves, shape = jax.tree.flatten(probability)
        keys = jr.split(key, len(leaves))
        pairs = zip(leaves, keys, strict=True)
        released = [self._released(self._used(p), k) for p, k in pairs]
        return self.gates_of(probability, jax.tree.unflatten(shape, released))

    def gates_of(self, probability: Weights, released: PyTree) -> Weights:
        """The gates of given shares that `released`: 0 or 1 (or booleans) of one site.

        Raises `ValueError` unless that is a tree like `probability`.
        """
        fitted("`released`", released, probability, "`probability`")
        return jax.tree.map(self._gate, probability, released)

    def _released(self, used: Float[Array, "*shape"], key: Key[Array, ""]) -> Array:
        if self.sites == 1:
            return bernoulli(key, used)
        drawn = lambda key: bernoulli(key, used).astype(used.dtype)
        return jnp.mean(jax.vmap(drawn)(jr.split(key, self.sites)), axis=0)

    def _used(self, p: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return p if self.fixed is None else jnp.full(p.shape, self.fixed, p.dtype)

    def _gate(self, p: Float[Array, "*shape"], released: Array) -> Array:
        sent = jnp.ones((), p.dtype)
        if self.divisor != "none":
            sent = 1 / (self._used(p) if self.divisor == "used" else p)
        share = released.astype(p.dtype)
        gate = jnp.where(share == 0, 0.0, share * sent)
        return jnp.where((p >= 0) & (p <= 1), gate, jnp.nan)


def split_weights(network: Any) -> tuple[Any, Any]:
    """The arrays of two dimensions or more of an Equinox network, and all the rest.

    Both are networks with `None` in place of what the other holds; `equinox.combine`
    joins them. Biases and scales are not weights. Raises `ValueError` where there is no
    weight to release.

    >>> weights, rest = split_weights(eqx.nn.Linear(3, 2, key=jr.key(0)))
    >>> print(weights.weight.shape, weights.bias, rest.bias.shape)
    (2, 3) None (2,)
    """
    weights, rest = eqx.partition(
        network, lambda x: eqx.is_inexact_array(x) and x.ndim >= 2
    )
    if not jax.tree.leaves(weights):
        raise ValueError(
            "the network has no weights to make stochastic: no array of floating-point "
            "numbers with two dimensions or more."
        )
    return weights, rest


def uniform_probability(weights: Weights, value: Scalar | float) -> Weights:
    """The same release probability everywhere, a tree like `weights`.

    Raises `ValueError` unless it lies in [0, 1].

    >>> print(uniform_probability({"w": jnp.ones(3)}, 0.25)["w"])
    [0.25 0.25 0.25]
    """
    check_range("value", value, 0, 1)
    return jax.tree.map(lambda w: jnp.full(w.shape, value, w.dtype), weights)


class ReleaseBounds(AbstractProjection):
    """Probabilities between `low` and `high`.

    Raises `ValueError` unless 0 <= `low` <= `high` <= 1; NaN where that is traced.

    >>> synapses = Stochastic(jnp.ones(2), jnp.array([0.1, 0.5]))
    >>> print(ReleaseBounds(low=0.25)(synapses).probability.round(3))
    [0.25 0.5 ]
    """

    low: Scalar = eqx.field(default=0.25, converter=real)
    high: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, low=(0.0, 1.0), high=(0.0, 1.0))
        low, high = self.low, self.high
        if concrete(low, high) and np.any(np.asarray(low) > np.asarray(high)):
            raise ValueError(
                f"`low` must not be above `high`; got {self.low} and {self.high}."
            )

    def __call__(
        self, synapses: Stochastic, signals: Any = None, key: Any = None
    ) -> Stochastic:
        low = jnp.where(self.low > self.high, jnp.nan, self.low)
        free = self.high >= 1
        least = jnp.log1p(-jnp.where(free, 0.0, self.high))
        least, most = jnp.where(free, -jnp.inf, least), log_failure_of(low)
        bounded = jax.tree.map(
            lambda x: jnp.clip(x, least.astype(x.dtype), most.astype(x.dtype)),
            synapses.log_failure,
        )
        return Stochastic(synapses.strength, log_failure=bounded)
