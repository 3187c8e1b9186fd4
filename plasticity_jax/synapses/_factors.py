"""Synapses that are products of factors.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

import abc
import functools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import check_signs, fill_array_fields, real, require
from .._interfaces import Scalar
from ..numerics import power, row_sums
from ._reading import AbstractSynapses


Stack = Float[Array, "factor row n"]
Matrix = Float[Array, "row n"]
Rows = Float[Array, " row"]


class Factored(AbstractSynapses):
    """Input synapses of some neurons: a stack of factors, and a threshold each.

    `factors` (factor, row, n) are not negative; row i holds what neuron i receives from
    n others. `threshold` (row,) is the inhibition that the neuron has to overcome. As
    `weights` the factors' products are read. Raises `ValueError` unless there is a
    threshold for each row.

    >>> synapses = Factored(jnp.array([[[2.0, 3.0]], [[0.5, 1.0]]]), jnp.zeros(1))
    >>> print(synapses.weights())
    [[1. 3.]]
    """

    factors: Stack
    threshold: Rows

    def __check_init__(self) -> None:
        factors, threshold = np.shape(self.factors), np.shape(self.threshold)
        if len(factors) != 3 or not factors[0] or threshold != factors[1:2]:
            raise ValueError(
                "`factors` (factor, row, n) need a `threshold` (row,) for each row; "
                f"got {factors} and {threshold}."
            )

    def weights(self, key: Any = None) -> Matrix:
        """Their products; the threshold is for circuits that know of it."""
        return Product().weights(self.factors)


class AbstractFactors(eqx.Module):
    """How the weights (row, n) of synapses follow from their factors.

    >>> u, drive = jnp.array([[[2.0]], [[3.0]]]), jnp.ones((1, 1))
    >>> slope = jax.grad(lambda u: Product().weights(u).sum())(u)
    >>> print(jnp.array_equal(Product().ascent(u, drive), slope))
    True
    """

    @abc.abstractmethod
    def order(self, factors: Stack) -> Scalar:
        """How many factors a weight has, $z$."""

    @abc.abstractmethod
    def weights(self, factors: Stack) -> Matrix:
        """The weights."""

    @abc.abstractmethod
    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        r"""How each factor moves under a `drive` of the weights: the chain rule."""

    @abc.abstractmethod
    def squares(self, factors: Stack) -> Rows:
        r"""What homeostasis holds: $\frac1z\sum_{jk}u_{jk}^2$ of every neuron."""

    def __check_init__(self) -> None:
        fill_array_fields(self)


class Product(AbstractFactors):
    r"""$w = \prod_k u_k$: as many factors as the stack is high.

    >>> u = jnp.array([[[2.0]], [[3.0]]])
    >>> print(Product().weights(u), Product().ascent(u, jnp.ones((1, 1))).ravel())
    [[6.]] [3. 2.]
    """

    def order(self, factors: Stack) -> Scalar:
        return jnp.asarray(len(factors), factors.dtype)

    def weights(self, factors: Stack) -> Matrix:
        return functools.reduce(jnp.multiply, list(factors))

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        own = jnp.arange(len(factors))[:, None, None]  # one pass; slices need many
        others = [jnp.where(own == k, 1.0, u[None]) for k, u in enumerate(factors)]
        return functools.reduce(jnp.multiply, others, drive.astype(factors.dtype)[None])

    def squares(self, factors: Stack) -> Rows:
        total = functools.reduce(jnp.add, [u**2 for u in factors])
        return row_sums(total) / len(factors)


class SignedProduct(AbstractFactors):
    r"""$w_j = s_j\prod_k u_{jk}$: inputs of fixed `signs` (n,), +1 or -1 (Dale's law).

    A product of factors that are not negative, so consolidation prunes either sign.
    Raises `ValueError` for other signs, and unless there is one for each input.

    >>> signed = SignedProduct(jnp.array([1.0, -1.0]))
    >>> print(signed.weights(jnp.full((2, 1, 2), 3.0)))
    [[ 9. -9.]]
    """

    signs: Float[Array, " n"] = eqx.field(converter=real)

    def __check_init__(self) -> None:
        check_signs("signs", self.signs)

    def order(self, factors: Stack) -> Scalar:
        return Product().order(factors)

    def weights(self, factors: Stack) -> Matrix:
        weights = Product().weights(factors)
        return self._signs(factors) * weights

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        return Product().ascent(factors, self._signs(factors) * drive)

    def squares(self, factors: Stack) -> Rows:
        return Product().squares(factors)

    def _signs(self, factors: Stack) -> Float[Array, "1 n"]:
        if self.signs.shape != factors.shape[2:]:
            raise ValueError(
                f"`signs` must hold one for each of {factors.shape[2]} inputs; got "
                f"{self.signs.shape}."
            )
        return self.signs.astype(factors.dtype)[None]


class Free(AbstractFactors):
    r"""$w = u$: one factor, of either sign, as in a perceptron.

    With replay of the weakest pattern, no bounds and no scaling it is the minover
    algorithm, which converges to the largest margin over $\|w\|_2$ (Krauth & Mezard
    1987, J Phys A, doi 10.1088/0305-4470/20/11/013). The stack holds one factor, else
    `ValueError`.

    >>> print(Free().weights(jnp.array([[[2.0, -1.0]]])))
    [[ 2. -1.]]
    """

    def order(self, factors: Stack) -> Scalar:
        return jnp.ones((), factors.dtype)

    def weights(self, factors: Stack) -> Matrix:
        _check_height(self, factors, 1)
        return factors[0]

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        _check_height(self, factors, 1)
        return drive.astype(factors.dtype)[None]

    def squares(self, factors: Stack) -> Rows:
        return row_sums(factors[0] ** 2)


class _AbstractPower(AbstractFactors):
    """Factors held once, each standing for `exponent` equal ones."""

    exponent: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, exponent=(1.0, np.inf))

    def order(self, factors: Stack) -> Scalar:
        return self.exponent


class Power(_AbstractPower):
    r"""$w = u^z$: `exponent` equal factors held as one, so $z \ge 1$ may be any number.

    The stack holds one factor, else `ValueError`. Differentiable in the exponent.

    >>> print(Power(2.5).weights(jnp.array([[[1.0, 4.0]]])).round(3))
    [[ 1. 32.]]
    """

    def weights(self, factors: Stack) -> Matrix:
        _check_height(self, factors, 1)
        return power(factors[0], self.exponent)

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        _check_height(self, factors, 1)
        return drive[None] * power(factors, self.exponent - 1)

    def squares(self, factors: Stack) -> Rows:
        _check_height(self, factors, 1)
        return row_sums(factors[0] ** 2)


class SignedPower(_AbstractPower):
    r"""$w = u_+^z - u_-^z$: the stack holds $u_+$ and $u_-$, else `ValueError`.

    >>> u = jnp.array([[[3.0]], [[1.0]]])
    >>> print(SignedPower(2.0).weights(u).round(3))
    [[8.]]
    """

    def weights(self, factors: Stack) -> Matrix:
        _check_height(self, factors, 2)
        return power(factors[0], self.exponent) - power(factors[1], self.exponent)

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        _check_height(self, factors, 2)
        signed = jnp.stack([drive, -drive])
        return self.exponent * signed * power(factors, self.exponent - 1)

    def squares(self, factors: Stack) -> Rows:
        _check_height(self, factors, 2)
        return row_sums(functools.reduce(jnp.add, list(factors**2)))


def _check_height(factors_of: AbstractFactors, factors: Stack, height: int) -> None:
    """Raise `ValueError` unless the stack holds so many factors."""
    if len(factors) != height:
        raise ValueError(
            f"`factors` of a {type(factors_of).__name__} must be a stack of {height}; "
            f"got {len(factors)}."
        )
