r"""Fisher information of a spiking GLM neuron, and its inverse, in closed form.

A neuron fires at rate $\phi(V)$, $V = w^\top x$. For jointly Gaussian independent
inputs with means $b$ and variances $\Sigma$ the Fisher matrix per second
$G = E[F(V)\, x x^\top]$, $F = \phi'^2/\phi$, is diagonal plus rank two, so its inverse
is known and the natural gradient costs as much as the Euclidean one (Kreutzer et al.
2022, eLife 11:e66526). Rates in Hz, potentials in mV.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._interfaces import Scalar
from .._transfer import fisher_density, Transfer
from ._low_rank import diagonal_plus_low_rank, inverse_diagonal_plus_low_rank


Vector = Float[Array, " n"]
REACH = 7.5  # standard deviations that the quadrature covers on either side


class Coefficients(NamedTuple):
    r"""Scalars of the Fisher matrix and of its inverse.

    $c_1, c_2, c_3$ in Hz/mV$^2$, /mV$^3$, /mV$^4$ are $E[F], E[F'], E[F'']$; $g_1$,
    $g_2$ ($= g_3$), $g_4$ in 1, 1/mV, 1/mV$^2$; `determinant` is that of the rank-two
    part. `mean`, `variance` and `q` are what they were computed from.
    """

    c1: Scalar
    c2: Scalar
    c3: Scalar
    g1: Scalar
    g2: Scalar
    g4: Scalar
    determinant: Scalar
    mean: Scalar
    variance: Scalar
    q: Scalar


def voltage_moments(
    weights: Vector, mean: Vector, variance: Vector
) -> tuple[Scalar, Scalar, Scalar]:
    r"""$\mu_v = w \cdot b$, $\sigma_v^2 = \sum w^2 \Sigma$ and $q = \sum b^2/\Sigma$.

    Mean and variance of the potential for independent inputs with means $b$ and
    variances $\Sigma$, and what bounds them: $\mu_v^2 \le q\, \sigma_v^2$.
    """
    q = jnp.sum(mean**2 / variance)
    return jnp.sum(weights * mean), jnp.sum(weights**2 * variance), q


def glm_coefficients(
    transfer: Transfer, mean: Scalar, variance: Scalar, q: Scalar, *, nodes: int = 49
) -> Coefficients:
    r"""All scalars of $G$ and $G^{-1}$ for a Gaussian potential.

    Averages over $V$ are trapezoid sums with `nodes` points over $\pm 7.5\,\sigma_v$;
    `quadrature_error` tells whether they suffice (for the default sigmoid 25 do up to
    $\sigma_v^2 = 10$, 49 to 30, 81 to 100, 151 to 400). Finite with finite gradients at
    $\sigma_v = 0$ and in saturation, where $c_1$ is held above the square root of the
    smallest number. Raises `ValueError` for a variance below zero or moments that no
    weights have ($\mu_v^2 > q\, \sigma_v^2$); traced values pass.

    With $a = c_2/c_1$, $b = c_3/c_1$, $\delta = b - a^2$: $D = 1 + 2a\mu + b\sigma^2 -
    \delta\mu^2 + q(1 + \delta\sigma^2)$, $g_1 = -(1 + \delta\sigma^2)/D$, $g_2 = -(a -
    \delta\mu)/D$, $g_4 = -(b + \delta q)/D$: Eqs. 37, 82 and 102-105 simplified.
    """
    _check_feasible(mean, variance, q)
    c1, c2, c3 = (
        mean_density(transfer, mean, variance, order=k, nodes=nodes) for k in range(3)
    )
    c1 = jnp.maximum(c1, jnp.finfo(c1.dtype).tiny ** 0.5)
    a, b = c2 / c1, c3 / c1
    delta = b - a**2
    wide = 1 + delta * variance
    determinant = 1 + 2 * a * mean + b * variance - delta * mean**2 + q * wide
    g1 = -wide / determinant
    g2 = -(a - delta * mean) / determinant
    g4 = -(b + delta * q) / determinant
    return Coefficients(c1, c2, c3, g1, g2, g4, determinant, mean, variance, q)


def _check_feasible(mean: Scalar, variance: Scalar, q: Scalar) -> None:
    if any(isinstance(x, Tracer) for x in (mean, variance, q)):
        return
    mu, square, bound = (np.asarray(x, float) for x in (mean, variance, q))
    if np.any(square < 0):
        raise ValueError(f"`variance` must not be negative; got {variance}.")
    if np.any(mu**2 > bound * square * (1 + 1e-4) + 1e-12):
        raise ValueError(
            "no weights have these moments: `mean`^2 must not exceed `q` x `variance`; "
            f"got mean {mean}, variance {variance}, q {q}."
        )


def quadrature_error(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, nodes: int
) -> Scalar:
    r"""Relative change of $c_1$ when the quadrature has half as many nodes.

    The error of the trapezoid rule is about its square, so below $10^{-3}$ the
    coefficients are good to about $10^{-6}$.
    """
    fine, coarse = (
        mean_density(transfer, mean, variance, order=0, nodes=n)
        for n in (nodes, (nodes + 1) // 2)
    )
    return jnp.abs(coarse / fine - 1)


def glm_fisher(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    *,
    nodes: int = 49,
) -> lx.AbstractLinearOperator:
    r"""$E[F(w \cdot x)\, xx^\top]$ per second, $x \sim N(b, \Sigma)$ (Eqs. 34, 81).

    $c_1(bb^\top + \Sigma) + c_2(\Sigma w b^\top + b w^\top\Sigma) + c_3 \Sigma w
    w^\top \Sigma$ with `mean` $b$ and `variance` the diagonal of $\Sigma$, above zero.
    A lineax operator; products cost $O(n)$.
    """
    moments = voltage_moments(weights, mean, variance)
    c = glm_coefficients(transfer, *moments, nodes=nodes)
    core = jnp.stack([jnp.stack([c.c1, c.c2]), jnp.stack([c.c2, c.c3])])
    factors = jnp.stack([mean, variance * weights], axis=1)
    return diagonal_plus_low_rank(c.c1 * variance, factors, core)


def glm_fisher_inverse(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    *,
    nodes: int = 49,
) -> lx.AbstractLinearOperator:
    r"""The inverse of `glm_fisher` in closed form (Eqs. 37, 100-105).

    $\frac1{c_1}[\Sigma^{-1} + g_1 ee^\top + g_2 (ew^\top + we^\top) + g_4 ww^\top]$,
    $e = \Sigma^{-1} b$.
    """
    moments = voltage_moments(weights, mean, variance)
    c = glm_coefficients(transfer, *moments, nodes=nodes)
    core = jnp.stack([jnp.stack([c.g1, c.g2]), jnp.stack([c.g2, c.g4])]) / c.c1
    factors = jnp.stack([mean / variance, weights], axis=1)
    return diagonal_plus_low_rank(1 / (c.c1 * variance), factors, core)


class SkewedFisher(NamedTuple):
    r"""Parts of $\mathrm{diag}(d) + UCU^\top$, rank three."""

    diagonal: Vector
    factors: Float[Array, "n 3"]
    core: Float[Array, "3 3"]

    def operator(self) -> lx.AbstractLinearOperator:
        """The Fisher matrix as a lineax operator."""
        return diagonal_plus_low_rank(*self)

    def inverse(self) -> lx.AbstractLinearOperator:
        """Its inverse as a lineax operator, by Woodbury's identity."""
        return inverse_diagonal_plus_low_rank(*self)


def skewed_glm_fisher(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    third: Vector,
    *,
    nodes: int = 49,
) -> SkewedFisher:
    r"""`glm_fisher` to first order in the third cumulants of the inputs.

    With $S = \sum \kappa w^3/6$ for the `third` cumulants $\kappa$: the Gaussian matrix
    with $F + S F^{(3)}$ in place of $F$, plus $\frac12[(\kappa w^2) m^\top + m (\kappa
    w^2)^\top]$ with $m = E[F'']\, b + E[F^{(3)}]\, \Sigma w$, plus $E[F']\,
    \mathrm{diag}(\kappa w)$. Still $O(n)$: diagonal plus rank three. Diagonal entries
    are held above a tenth of their Gaussian value, where the expansion fails.
    """
    mu, square, _ = voltage_moments(weights, mean, variance)
    e = [
        mean_density(transfer, mu, square, order=k, nodes=nodes) for k in range(6)
    ]  # E[F], ..., E[F^(5)]
    e[0] = jnp.maximum(e[0], jnp.finfo(e[0].dtype).tiny ** 0.5)
    skew = jnp.sum(third * weights**3) / 6
    c1, c2, c3 = (e[k] + skew * e[k + 3] for k in range(3))
    diagonal = c1 * variance + e[1] * third * weights
    diagonal = jnp.maximum(diagonal, 0.1 * e[0] * variance)
    factors = jnp.stack([mean, variance * weights, third * weights**2], axis=1)
    zero = jnp.zeros_like(c1)
    core = jnp.stack(
        [
            jnp.stack([c1, c2, e[2] / 2]),
            jnp.stack([c2, c3, e[3] / 2]),
            jnp.stack([e[2] / 2, e[3] / 2, zero]),
        ]
    )
    return SkewedFisher(diagonal, factors, core)


# --- averages over a Gaussian potential ---------------------------------------------


def _average(
    transfer: Transfer, mean: Scalar, variance: Scalar, order: int, nodes: int
) -> Scalar:
    """`mean_density` as it is computed; its own derivative at zero variance is NaN.

    Trapezoid rule in units of the standard deviation, spectrally accurate.
    """
    z = np.linspace(-REACH, REACH, nodes)
    weights = np.exp(-(z**2) / 2)
    weights = jnp.asarray(weights / weights.sum(), mean.dtype)
    positive = variance > 0
    deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
    voltage = mean + deviation * jnp.asarray(z, mean.dtype)
    densities = fisher_density(transfer, voltage, order)
    direct = weights * densities[-1]
    if order == 0:
        return jnp.sum(direct)
    hermite = np.polynomial.hermite_e.hermeval(z, [0.0] * order + [1.0])
    hermite = jnp.asarray(hermite, mean.dtype)
    scale = jnp.where(positive, deviation, 1.0) ** order
    scale = jnp.maximum(scale, jnp.finfo(scale.dtype).tiny ** 0.5)  # or 0/0 = NaN
    central = weights * densities[0] * hermite / scale
    narrow = jnp.sum(jnp.abs(direct)) <= jnp.sum(jnp.abs(central))
    return jnp.sum(jnp.where(narrow | ~positive, direct, central))


@eqx.filter_custom_jvp
def mean_density(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, order: int, nodes: int = 49
) -> Scalar:
    r"""$E[F^{(k)}(V)]$ with $V \sim N(\mu, \sigma^2)$ and $k$ = `order`.

    Summed either as it stands (exact at $\sigma = 0$, bad for wide distributions) or as
    $E[F\, He_k(z)]/\sigma^k$ (the reverse), whichever has the smaller terms. Its
    derivatives are those of the expectation, finite at $\sigma = 0$: one by $\mu$
    raises the order by one; one by $\sigma^2$ raises it by two and halves.
    """
    return _average(transfer, mean, variance, order, nodes)


@mean_density.def_jvp
def _mean_density_jvp(
    primals: Any, tangents: Any, *, order: int, nodes: int = 49
) -> tuple[Array, Array]:
    transfer, mean, variance = primals
    by_transfer, by_mean, by_variance = tangents

    def above(k: int) -> Scalar:
        return mean_density(transfer, mean, variance, order=order + k, nodes=nodes)

    value = above(0)
    tangent = jnp.zeros_like(value)
    if by_mean is not None:
        tangent = tangent + above(1) * by_mean
    if by_variance is not None:
        tangent = tangent + above(2) / 2 * by_variance
    if jax.tree.leaves(by_transfer):
        average = lambda t: _average(t, mean, variance, order, nodes)
        tangent = tangent + eqx.filter_jvp(average, (transfer,), (by_transfer,))[1]
    return value, tangent
