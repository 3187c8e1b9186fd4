r"""Fisher information of a spiking GLM neuron, and its inverse, in closed form.

A neuron fires at rate $\phi(V)$, $V = w^\top x$. For jointly Gaussian independent
inputs with means $b$ and variances $\Sigma$ the Fisher matrix per second
$G = E[F(V)\, x x^\top]$, $F = \phi'^2/\phi$, is diagonal plus rank two, so its inverse
is known and the natural gradient costs as much as the Euclidean one (Kreutzer et al.
2022, eLife 11:e66526). Rates in Hz, potentials in mV.

Averages over the potential are those of `_quadrature`.
"""

from typing import NamedTuple

import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float

from .._arguments import concrete, floating
from .._interfaces import Scalar
from ..signals import Coefficients
from ._low_rank import diagonal_plus_low_rank, inverse_diagonal_plus_low_rank
from ._quadrature import chosen_nodes, floor_of, mean_density
from ._transfer import fisher_density, Transfer


Vector = Float[Array, " n"]


@floating
def voltage_moments(
    weights: Vector, mean: Vector, variance: Vector
) -> tuple[Scalar, Scalar, Scalar]:
    r"""$\mu_v = w \cdot b$, $\sigma_v^2 = \sum w^2 \Sigma$ and $q = \sum b^2/\Sigma$.

    Mean and variance of the potential for independent inputs with means $b$ and
    variances $\Sigma$, and what bounds them: $\mu_v^2 \le q\, \sigma_v^2$. Raises
    `ValueError` unless there is one of each for every input, variances above zero;
    where they are traced and one is not, $q$ is NaN.

    >>> mean, variance, q = voltage_moments([1.0, 2.0], [1.0, 1.0], [0.5, 0.5])
    >>> print(mean, variance, q)
    3.0 2.5 4.0
    """
    _check_inputs(variance)
    q = jnp.sum(mean**2 / jnp.where(variance <= 0, jnp.nan, variance))
    return jnp.sum(weights * mean), jnp.sum(weights**2 * variance), q


def _check_inputs(variance: Vector) -> None:
    """Raise `ValueError` for no inputs, and a variance that is not above 0."""
    if not variance.size:
        raise ValueError("`variance` must hold a number at least; got none.")
    if concrete(variance):
        wrong = np.asarray(variance)[np.asarray(variance) <= 0]
        if wrong.size:
            raise ValueError(f"`variance` must be above 0; got {wrong[0]}.")


@floating
def glm_coefficients(
    transfer: Transfer,
    mean: Scalar,
    variance: Scalar,
    q: Scalar,
    *,
    nodes: int | None = None,
) -> Coefficients:
    r"""All scalars of $G$ and $G^{-1}$ for a Gaussian potential.

    Averages over $V$ are trapezoid sums with `nodes` points over $\pm 7.5\,\sigma_v$,
    chosen from mean and variance or, where these are traced, 49; `quadrature_error`
    tells whether they suffice (for the default sigmoid 25 do up to $\sigma_v^2 = 10$,
    49 to 30, 81 to 100, 151 to 400). Finite with finite gradients at $\sigma_v = 0$ and
    in saturation, where $c_1$ is held above the square root of the smallest number.
    Raises `ValueError` for a variance below zero, moments that no weights have
    ($\mu_v^2 > q\, \sigma_v^2$) or a grid that is too coarse; traced values pass, and
    are NaN for the first and the last.

    With $a = c_2/c_1$, $b = c_3/c_1$, $\delta = b - a^2$: $D = 1 + 2a\mu + b\sigma^2 -
    \delta\mu^2 + q(1 + \delta\sigma^2)$, $g_1 = -(1 + \delta\sigma^2)/D$, $g_2 = -(a -
    \delta\mu)/D$, $g_4 = -(b + \delta q)/D$: Kreutzer et al. 2022, Eqs. 37, 82 and
    102-105, simplified.

    >>> c = glm_coefficients(jnp.exp, mean=0.0, variance=1.0, q=2.0)
    >>> print(f"{c.c1:.3f} {c.c2:.3f} {jnp.exp(0.5):.3f}")
    1.649 1.649 1.649
    """
    _check_feasible(mean, variance, q)
    nodes = chosen_nodes(transfer, mean, variance, nodes)
    expected = lambda k: mean_density(transfer, mean, variance, order=k, nodes=nodes)
    c1, c2, c3 = (expected(k) for k in range(3))
    c1 = jnp.maximum(c1, floor_of(c1.dtype))
    a, b = c2 / c1, c3 / c1
    delta = b - a**2
    wide = 1 + delta * variance
    determinant = 1 + 2 * a * mean + b * variance - delta * mean**2 + q * wide
    g1 = -wide / determinant
    g2 = -(a - delta * mean) / determinant
    g4 = -(b + delta * q) / determinant
    return Coefficients(c1, c2, c3, g1, g2, g4, determinant, mean, variance, q)


def _check_feasible(mean: Scalar, variance: Scalar, q: Scalar) -> None:
    if not concrete(mean, variance, q):
        return
    mu, square, bound = (np.asarray(x, float) for x in (mean, variance, q))
    if square < 0 or bound < 0:
        name, value = ("variance", variance) if square < 0 else ("q", q)
        raise ValueError(f"`{name}` must not be negative; got {value}.")
    if mu**2 > bound * square * (1 + 1e-4) + 1e-12:
        raise ValueError(
            "no weights have these moments: `mean`^2 must not exceed `q` x `variance`; "
            f"got mean {mean}, variance {variance}, q {q}."
        )


@floating
def glm_fisher(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    *,
    nodes: int | None = None,
) -> lx.AbstractLinearOperator:
    r"""$E[F(w \cdot x)\, xx^\top]$ per second, $x \sim N(b, \Sigma)$.

    $c_1(bb^\top + \Sigma) + c_2(\Sigma w b^\top + b w^\top\Sigma) + c_3 \Sigma w
    w^\top \Sigma$ (Kreutzer et al. 2022, Eqs. 34, 81) with `mean` $b$ and `variance`
    the diagonal of $\Sigma$, above zero. A lineax operator; products cost $O(n)$.

    >>> silent, mean, variance = jnp.zeros(2), jnp.ones(2), jnp.ones(2)
    >>> print(glm_fisher(jnp.exp, silent, mean, variance).as_matrix().round(3))
    [[2. 1.]
     [1. 2.]]
    """
    moments = voltage_moments(weights, mean, variance)
    c = glm_coefficients(transfer, *moments, nodes=nodes)
    core = jnp.array([[c.c1, c.c2], [c.c2, c.c3]])
    factors = jnp.stack([mean, variance * weights], axis=1)
    return diagonal_plus_low_rank(c.c1 * variance, factors, core)


@floating
def sampled_glm_fisher(
    transfer: Transfer, potentials: Float[Array, "sample n"], weights: Vector
) -> Float[Array, "n n"]:
    r"""$E[F(w \cdot x)\, xx^\top]$ in Hz over a sample of `potentials` x (mV), dense.

    For inputs of any law. With the first two bound it is a `circuits.SpikingNeuron`'s
    `fisher`, which that refreshes at its present weights.

    >>> potentials = jnp.array([[1.0, 0.0], [0.0, 2.0]])
    >>> fisher = jax.tree_util.Partial(sampled_glm_fisher, jnp.exp, potentials)
    >>> print(fisher(jnp.zeros(2)))
    [[0.5 0. ]
     [0.  2. ]]
    """
    density = fisher_density(transfer, potentials @ weights)[0]
    return potentials.T @ (density[:, None] * potentials) / len(potentials)


@floating
def glm_fisher_inverse(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    *,
    nodes: int | None = None,
) -> lx.AbstractLinearOperator:
    r"""The inverse of `glm_fisher` in closed form.

    $\frac1{c_1}[\Sigma^{-1} + g_1 ee^\top + g_2 (ew^\top + we^\top) + g_4 ww^\top]$,
    $e = \Sigma^{-1} b$ (Kreutzer et al. 2022, Eqs. 37, 100-105).

    >>> neuron = jnp.exp, jnp.array([0.1, -0.2]), jnp.ones(2), jnp.ones(2)
    >>> unit = glm_fisher_inverse(*neuron).mv(glm_fisher(*neuron).mv(jnp.ones(2)))
    >>> print(unit.round(3))
    [1. 1.]
    """
    moments = voltage_moments(weights, mean, variance)
    c = glm_coefficients(transfer, *moments, nodes=nodes)
    core = jnp.array([[c.g1, c.g2], [c.g2, c.g4]]) / c.c1
    factors = jnp.stack([mean / variance, weights], axis=1)
    return diagonal_plus_low_rank(1 / (c.c1 * variance), factors, core)


class SkewedFisher(NamedTuple):
    r"""Parts of $\mathrm{diag}(d) + UCU^\top$, rank three.

    >>> neuron = jnp.exp, jnp.array([0.1, -0.2]), jnp.ones(2), jnp.ones(2)
    >>> found = skewed_glm_fisher(*neuron, third=jnp.ones(2))
    >>> print(found.inverse().mv(found.operator().mv(jnp.ones(2))).round(3))
    [1. 1.]
    """

    diagonal: Vector
    factors: Float[Array, "n 3"]
    core: Float[Array, "3 3"]

    def operator(self) -> lx.AbstractLinearOperator:
        """The Fisher matrix as a lineax operator."""
        return diagonal_plus_low_rank(*self)

    def inverse(self) -> lx.AbstractLinearOperator:
        """Its inverse as a lineax operator, by Woodbury's identity."""
        return inverse_diagonal_plus_low_rank(*self)


@floating
def skewed_glm_fisher(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    third: Vector,
    *,
    nodes: int | None = None,
) -> SkewedFisher:
    r"""`glm_fisher` to first order in the third cumulants of the inputs.

    With $S = \sum \kappa w^3/6$ for the `third` cumulants $\kappa$: the Gaussian matrix
    with $F + S F^{(3)}$ in place of $F$, plus $\frac12[(\kappa w^2) m^\top + m (\kappa
    w^2)^\top]$ with $m = E[F'']\, b + E[F^{(3)}]\, \Sigma w$, plus $E[F']\,
    \mathrm{diag}(\kappa w)$. Still $O(n)$: diagonal plus rank three. Diagonal entries
    are held above a tenth of their Gaussian value, where the expansion fails.

    >>> neuron = jnp.exp, jnp.array([0.1, -0.2]), jnp.ones(2), jnp.ones(2)
    >>> symmetric = skewed_glm_fisher(*neuron, third=jnp.zeros(2)).operator()
    >>> print(jnp.allclose(symmetric.as_matrix(), glm_fisher(*neuron).as_matrix()))
    True
    """
    _check_inputs(variance)
    mu, square, _ = voltage_moments(weights, mean, variance)
    nodes = chosen_nodes(transfer, mu, square, nodes)
    expected = lambda k: mean_density(transfer, mu, square, order=k, nodes=nodes)
    e = [expected(k) for k in range(6)]  # E[F], ..., E[F^(5)]
    e[0] = jnp.maximum(e[0], floor_of(e[0].dtype))
    skew = jnp.sum(third * weights**3) / 6
    c1, c2, c3 = (e[k] + skew * e[k + 3] for k in range(3))
    diagonal = c1 * variance + e[1] * third * weights
    diagonal = jnp.maximum(diagonal, 0.1 * e[0] * variance)
    factors = jnp.stack([mean, variance * weights, third * weights**2], axis=1)
    zero, first, second = jnp.zeros_like(c1), e[2] / 2, e[3] / 2
    core = jnp.array([[c1, c2, first], [c2, c3, second], [first, second, zero]])
    return SkewedFisher(diagonal, factors, core)
