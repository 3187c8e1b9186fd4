r"""Fisher information of a spiking GLM neuron whose inputs are correlated.

As in `_glm` with any covariance $\Sigma$ in place of a diagonal one: the same scalars,
products with $\Sigma$ and $\Sigma^{-1}$ (derived; Kreutzer et al. 2022 have independent
inputs). Rates in Hz, potentials in mV.
"""

from typing import NamedTuple

import jax.numpy as jnp
import jax.scipy as jsp
from jaxtyping import Array, Float

from .._arguments import check_positive_semidefinite, floating
from ..signals import Coefficients
from ._glm import glm_coefficients
from ._transfer import Transfer


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]


class _Known(NamedTuple):
    """Coefficients, $\\Sigma w$ and $e = \\Sigma^{-1} b$."""

    c: Coefficients
    spread: Vector
    drive: Vector
    factor: tuple[Matrix, bool]


def _known(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    covariance: Matrix,
    nodes: int | None,
) -> _Known:
    check_positive_semidefinite("covariance", covariance)
    factor = jsp.linalg.cho_factor((covariance + covariance.T) / 2)
    drive, spread = jsp.linalg.cho_solve(factor, mean), covariance @ weights
    moments = mean @ weights, weights @ spread, mean @ drive
    c = glm_coefficients(transfer, *moments, nodes=nodes)
    return _Known(c, spread, drive, factor)


@floating
def correlated_glm_fisher(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    covariance: Matrix,
    *,
    nodes: int | None = None,
) -> Matrix:
    r"""$E[F(w \cdot x)\, xx^\top]$ in Hz, $x \sim N(b, \Sigma)$ with any covariance.

    $c_1(bb^\top + \Sigma) + c_2(\Sigma w b^\top + b w^\top\Sigma) + c_3 \Sigma w
    w^\top \Sigma$ with the coefficients at $w \cdot b$ and $w^\top \Sigma w$; dense.
    Raises `ValueError` for a covariance that is not symmetric positive semidefinite;
    NaN for one that has no inverse. With all but the weights bound it is a
    `circuits.SpikingNeuron`'s `fisher`.

    >>> inputs = {"mean": jnp.ones(2), "covariance": jnp.eye(2)}
    >>> fisher = jax.tree_util.Partial(correlated_glm_fisher, jnp.exp, **inputs)
    >>> print(fisher(jnp.zeros(2)).round(3))
    [[2. 1.]
     [1. 2.]]
    """
    c, spread, *_ = _known(transfer, weights, mean, covariance, nodes)
    mixed = jnp.outer(spread, mean)
    first = c.c1 * (jnp.outer(mean, mean) + covariance)
    return first + c.c2 * (mixed + mixed.T) + c.c3 * jnp.outer(spread, spread)


@floating
def correlated_glm_fisher_inverse(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    covariance: Matrix,
    *,
    nodes: int | None = None,
) -> Matrix:
    r"""The inverse of `correlated_glm_fisher` from that of the covariance.

    $\frac1{c_1}[\Sigma^{-1} + g_1 ee^\top + g_2 (ew^\top + we^\top) + g_4 ww^\top]$,
    $e = \Sigma^{-1} b$, $q = b^\top \Sigma^{-1} b$. Only the scalars depend on the
    weights.

    >>> silent, mean, covariance = jnp.zeros(2), jnp.ones(2), jnp.eye(2)
    >>> inverse = correlated_glm_fisher_inverse(jnp.exp, silent, mean, covariance)
    >>> print((3 * inverse).round(3))
    [[ 2. -1.]
     [-1.  2.]]
    """
    c, _, drive, factor = _known(transfer, weights, mean, covariance, nodes)
    precision = jsp.linalg.cho_solve(factor, jnp.eye(len(mean), dtype=mean.dtype))
    mixed = jnp.outer(drive, weights)
    low_rank = c.g1 * jnp.outer(drive, drive) + c.g2 * (mixed + mixed.T)
    return (precision + low_rank + c.g4 * jnp.outer(weights, weights)) / c.c1
