"""What is enforced on synapses that are products of factors.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import (
    check_binary,
    check_stored,
    one_of,
    real,
    require,
    rows_of,
    whole,
)
from .._interfaces import AbstractProjection, Scalar
from .._interfaces._order import stored
from ..numerics import masked, power, root
from ._factors import AbstractFactors, Factored, Product


Stack = Float[Array, "factor row n"]
Matrix = Float[Array, "row n"]
Rows = Float[Array, " row"]


LEAST = float(jnp.finfo(jnp.float32).tiny)  # below it what single precision calls 0


class Floored(AbstractProjection):
    """Factors at `floor` at least where `mask` (row, n) is one, zero where it is 0.

    `no_self_connections` makes the mask of a recurrent network. Raises `ValueError`
    unless it is 0 or 1 and has an entry for each synapse.

    >>> floored = Floored(no_self_connections(2, 2), floor=0.5)
    >>> print(floored(Factored(jnp.zeros((1, 2, 2)), jnp.zeros(2))).factors[0])
    [[0.  0.5]
     [0.5 0. ]]
    """

    mask: Float[Array, "row n"] = eqx.field(converter=real)
    floor: Scalar = eqx.field(default=1e-20, converter=real)

    def __check_init__(self) -> None:
        require(self, floor=(0.0, np.inf))
        check_binary("mask", self.mask)

    def __call__(
        self, synapses: Factored, signals: Any = None, key: Any = None
    ) -> Factored:
        u = synapses.factors
        if self.mask.shape != u.shape[1:]:
            raise ValueError(
                f"`mask` must have an entry for each synapse (row, n), {u.shape[1:]}; "
                f"got {self.mask.shape}."
            )
        mask = self.mask.astype(u.dtype)[None]
        return Factored(masked(mask, jnp.maximum(u, self.floor)), synapses.threshold)


class Ordered(AbstractProjection):
    """The second factor never above the first: a signed power stays excitatory.

    Raises `ValueError` unless there are two.

    >>> factors = jnp.array([[[1.0, 3.0]], [[2.0, 2.0]]])
    >>> print(Ordered()(Factored(factors, jnp.zeros(1))).factors[1])
    [[1. 2.]]
    """

    def __call__(
        self, synapses: Factored, signals: Any = None, key: Any = None
    ) -> Factored:
        if len(synapses.factors) != 2:
            raise ValueError(
                f"`factors` must be a stack of two to be ordered; got "
                f"{len(synapses.factors)}."
            )
        plus, minus = synapses.factors
        factors = jnp.stack([plus, jnp.minimum(minus, plus)])
        return Factored(factors, synapses.threshold)


class Ceiling(AbstractProjection):
    """The first factor never above `most`: as a release probability, at 1.

    >>> capped = Ceiling()(Factored(jnp.full((2, 1, 1), 3.0), jnp.zeros(1)))
    >>> print(capped.factors.ravel())
    [1. 3.]
    """

    most: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, most=(0.0, np.inf))

    def __call__(
        self, synapses: Factored, signals: Any = None, key: Any = None
    ) -> Factored:
        u = synapses.factors
        first = jnp.minimum(u[:1], self.most)
        return Factored(jnp.concatenate([first, u[1:]]), synapses.threshold)


class HomeostaticScaling(AbstractProjection):
    r"""Every neuron's factors scaled together until their squares sum to `target` $L$.

    `of` says whose: `joint` $\frac1z\sum_{jk}u_{jk}^2 = L$; `each` $\sum_ju_{jk}^2 = L$
    for every factor by itself; `weights` $\sum_jw_j^{2/z} = L$. All three have the same
    optimum. Weights are scaled by the factors' scale to the power of z; the threshold
    is not. A neuron without synapses keeps none. Raises `ValueError` unless the target
    is positive and `of` one of the three.

    >>> scaled = HomeostaticScaling(1.0)(Factored(jnp.ones((2, 1, 4)), jnp.zeros(1)))
    >>> print(scaled.factors[0].round(3), Product().squares(scaled.factors).round(3))
    [[0.5 0.5 0.5 0.5]] [1.]
    """

    target: Scalar = eqx.field(converter=real)
    parametrisation: AbstractFactors = Product()
    of: str = eqx.field(default="joint", static=True)

    def __check_init__(self) -> None:
        require(self, target=(1e-12, np.inf))
        one_of("of", self.of, ("joint", "each", "weights"))

    def __call__(
        self, synapses: Factored, signals: Any = None, key: Any = None
    ) -> Factored:
        u = stored(synapses.factors)  # else made twice: to be summed, to be scaled
        if self.of == "joint":
            size = self.parametrisation.squares(u)[None]
        elif self.of == "each":
            size = jnp.sum(u**2, axis=2)
        else:
            w = self.parametrisation.weights(u)
            w = jnp.where(w < 0, jnp.nan, w)
            powers = power(w, 2 / self.parametrisation.order(u))
            size = jnp.sum(powers, axis=1)[None]
        none = size <= LEAST
        scale = jnp.where(none, 0.0, jnp.sqrt(self.target / jnp.where(none, 1.0, size)))
        return Factored(u * scale[:, :, None], synapses.threshold)


class RandomPatternThreshold(AbstractProjection):
    r"""Inhibition at which a random pattern activates the neuron with probability $f$.

    $I = f\sum_jw_j + \sqrt{2f(1-f)\sum_jw_j^2}\,\mathrm{erf}^{-1}(1-2f)$ with the
    `coding_level` $f$: inputs active independently, many of them.

    >>> synapses = Factored(jnp.ones((2, 1, 4)), jnp.zeros(1))
    >>> print(RandomPatternThreshold(0.5)(synapses).threshold)
    [2.]
    """

    coding_level: Scalar = eqx.field(converter=real)
    parametrisation: AbstractFactors = Product()

    def __check_init__(self) -> None:
        require(self, coding_level=(1e-6, 1 - 1e-6))

    def __call__(
        self, synapses: Factored, signals: Any = None, key: Any = None
    ) -> Factored:
        f = self.coding_level
        w = self.parametrisation.weights(synapses.factors)
        spread = root(2 * f * (1 - f) * jnp.sum(w**2, axis=1))
        away = jax.lax.erf_inv(1 - 2 * f)
        return Factored(synapses.factors, f * jnp.sum(w, axis=1) + spread * away)


class MidpointThreshold(AbstractProjection):
    """Inhibition midway between the fields next to it: best for the present weights.

    `patterns` (n, pattern) are those whose fields count, `stored` marks which. A neuron
    with all fields on one side keeps its threshold. It is the optimal threshold once
    the present one separates the neuron's active patterns from the others. NaN where
    such a field is. Raises `ValueError` unless patterns are 0 or 1, one input for each
    synapse of a neuron, and `stored` marks some of them.

    >>> synapses = Factored(jnp.array([[[1.0, 3.0]]]), jnp.array([1.5]))
    >>> print(MidpointThreshold(jnp.eye(2))(synapses).threshold)
    [2.]
    """

    patterns: Float[Array, "n pattern"] = eqx.field(converter=real)
    stored: Array | None = None
    parametrisation: AbstractFactors = Product()

    def __check_init__(self) -> None:
        if self.patterns.ndim != 2:
            raise ValueError(
                f"`patterns` must be a matrix (n, pattern); got {self.patterns.shape}."
            )
        check_binary("patterns", self.patterns)
        if self.stored is not None:
            check_stored(self.stored, self.patterns.shape[1])

    def __call__(
        self, synapses: Factored, signals: Any = None, key: Any = None
    ) -> Factored:
        weights = self.parametrisation.weights(synapses.factors)
        threshold = synapses.threshold
        if len(self.patterns) != weights.shape[1]:
            raise ValueError(
                f"`patterns` must have a row for each of {weights.shape[1]} inputs; "
                f"got {self.patterns.shape}."
            )
        fields = weights @ self.patterns.astype(weights.dtype)
        counts = jnp.ones(fields.shape[1], bool)
        if self.stored is not None:
            counts = jnp.asarray(self.stored, bool)
        above = ~(fields <= threshold[:, None]) & counts[None]  # also where it is NaN
        below = (fields <= threshold[:, None]) & counts[None]
        least = jnp.min(jnp.where(above, fields, jnp.inf), axis=1)
        most = jnp.max(jnp.where(below, fields, -jnp.inf), axis=1)
        between = (jnp.isfinite(least) & jnp.isfinite(most)) | jnp.isnan(least)
        middle = (jnp.where(between, least, 0.0) + jnp.where(between, most, 0.0)) / 2
        return Factored(synapses.factors, jnp.where(between, middle, threshold))


def no_self_connections(rows: Any, n: int) -> Float[Array, "row n"]:
    """Ones, but zeros where a neuron would connect to itself.

    `rows` are the first so many of `n` neurons, or indices (row,) of some of them.
    Raises `ValueError` unless there are 1 to `n` rows, or for indices beyond.

    >>> print(no_self_connections(2, 3))
    [[0. 1. 1.]
     [1. 0. 1.]]
    """
    n = whole("n", n)
    own = rows_of(rows, n)[:, None] == np.arange(n, dtype=np.int32)[None]
    return jnp.where(own, 0.0, 1.0)
