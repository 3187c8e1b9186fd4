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
from jax.core import Tracer
from jaxtyping import Array, Float

from ._interfaces import real, require, Scalar


Stack = Float[Array, "factor row n"]
Matrix = Float[Array, "row n"]
Rows = Float[Array, " row"]


class Factored(eqx.Module):
    """Input synapses of some neurons: a stack of factors, and a threshold each.

    `factors` (factor, row, n) are not negative; row i holds what neuron i receives from
    n others. `threshold` (row,) is the inhibition that the neuron has to overcome.
    """

    factors: Stack
    threshold: Rows


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


class Product(AbstractFactors):
    r"""$w = \prod_k u_k$: as many factors as the stack is high."""

    def order(self, factors: Stack) -> Scalar:
        return jnp.asarray(len(factors), factors.dtype)

    def weights(self, factors: Stack) -> Matrix:
        return functools.reduce(jnp.multiply, list(factors))

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        return jax.vjp(self.weights, factors)[1](drive)[0]

    def squares(self, factors: Stack) -> Rows:
        return jnp.sum(factors**2, axis=(0, 2)) / len(factors)


class Power(AbstractFactors):
    r"""$w = u^z$: `exponent` equal factors held as one, so $z \ge 1$ may be any number.

    The stack holds one factor. Differentiable in the exponent.
    """

    exponent: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, exponent=(1.0, np.inf))

    def order(self, factors: Stack) -> Scalar:
        return self.exponent

    def weights(self, factors: Stack) -> Matrix:
        return _power(factors[0], self.exponent)

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        return drive[None] * _power(factors, self.exponent - 1)

    def squares(self, factors: Stack) -> Rows:
        return jnp.sum(factors[0] ** 2, axis=1)


class SignedPower(AbstractFactors):
    r"""$w = u_+^z - u_-^z$: the stack holds $u_+$ and $u_-$."""

    exponent: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, exponent=(1.0, np.inf))

    def order(self, factors: Stack) -> Scalar:
        return self.exponent

    def weights(self, factors: Stack) -> Matrix:
        return _power(factors[0], self.exponent) - _power(factors[1], self.exponent)

    def ascent(self, factors: Stack, drive: Matrix) -> Stack:
        signed = jnp.stack([drive, -drive])
        return self.exponent * signed * _power(factors, self.exponent - 1)

    def squares(self, factors: Stack) -> Rows:
        return jnp.sum(factors**2, axis=(0, 2))


def _power(base: Array, exponent: Scalar) -> Array:
    """`base ** exponent` where positive, else 0 without a gradient."""
    some = base > 0
    return jnp.where(some, jnp.where(some, base, 1.0) ** exponent, 0.0)


def check_binary(name: str, patterns: Array) -> None:
    """Raise `ValueError` unless every entry is 0 or 1; traced values pass."""
    if isinstance(patterns, Tracer):
        return
    values = np.asarray(patterns)
    wrong = values[(values != 0) & (values != 1)]
    if wrong.size:
        raise ValueError(f"`{name}` must be 0 or 1 everywhere; got {wrong.flat[0]}.")


def check_not_negative(name: str, values: Array) -> None:
    """Raise `ValueError` if an entry is negative or not finite; traced values pass."""
    if isinstance(values, Tracer):
        return
    least = np.min(np.asarray(values))
    if not least >= 0 or not np.all(np.isfinite(np.asarray(values))):
        raise ValueError(f"`{name}` must be finite and not negative; got {least}.")
