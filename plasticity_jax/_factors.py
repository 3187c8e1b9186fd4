r"""Excitatory weights made of factors: how weights follow, and how factors move.

Iatropoulos, Gerstner & Brea 2025, PNAS; Hoff 2017, arXiv:1611.00040: a sum of squares
of $z$ factors is the $L_{2/z}$ norm of their product.
"""

import abc
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._arguments import fill_array_fields
from ._guards import power
from ._interfaces import real, require, Scalar


Stack = Float[Array, "factor row n"]
Matrix = Float[Array, "row n"]
Rows = Float[Array, " row"]


class Factored(eqx.Module):
    """Input synapses of some neurons: a stack of factors, and a threshold each.

    `factors` (factor, row, n) are not negative; row i holds what neuron i receives from
    n others. `threshold` (row,) is the inhibition that the neuron has to overcome.
    Raises `ValueError` unless there is one for each row.
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


class AbstractFactors(eqx.Module):
    """How the weights (row, n) of synapses follow from their factors."""

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
    r"""$w = \prod_k u_k$: as many factors as the stack is high."""

    def order(self, factors: Stack) -> Scalar:
        return jnp.asarray(len(factors), factors.dtype)

    def weights(self, factors: Stack) -> Matrix:
        return functools.reduce(jnp.multiply, list(factors))

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        return jax.vjp(self.weights, factors)[1](drive.astype(factors.dtype))[0]

    def squares(self, factors: Stack) -> Rows:
        return jnp.sum(factors**2, axis=(0, 2)) / len(factors)


class Power(AbstractFactors):
    r"""$w = u^z$: `exponent` equal factors held as one, so $z \ge 1$ may be any number.

    The stack holds one factor, else `ValueError`. Differentiable in the exponent.
    """

    exponent: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, exponent=(1.0, np.inf))

    def order(self, factors: Stack) -> Scalar:
        return self.exponent

    def weights(self, factors: Stack) -> Matrix:
        _check_height(self, factors, 1)
        return power(factors[0], self.exponent)

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        _check_height(self, factors, 1)
        return drive[None] * power(factors, self.exponent - 1)

    def squares(self, factors: Stack) -> Rows:
        _check_height(self, factors, 1)
        return jnp.sum(factors[0] ** 2, axis=1)


class SignedPower(AbstractFactors):
    r"""$w = u_+^z - u_-^z$: the stack holds $u_+$ and $u_-$, else `ValueError`."""

    exponent: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, exponent=(1.0, np.inf))

    def order(self, factors: Stack) -> Scalar:
        return self.exponent

    def weights(self, factors: Stack) -> Matrix:
        _check_height(self, factors, 2)
        return power(factors[0], self.exponent) - power(factors[1], self.exponent)

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        _check_height(self, factors, 2)
        signed = jnp.stack([drive, -drive])
        return self.exponent * signed * power(factors, self.exponent - 1)

    def squares(self, factors: Stack) -> Rows:
        _check_height(self, factors, 2)
        return jnp.sum(factors**2, axis=(0, 2))


def _check_height(factors_of: AbstractFactors, factors: Stack, height: int) -> None:
    """Raise `ValueError` unless the stack holds so many factors."""
    if len(factors) != height:
        raise ValueError(
            f"`factors` of a {type(factors_of).__name__} must be a stack of {height}; "
            f"got {len(factors)}."
        )
