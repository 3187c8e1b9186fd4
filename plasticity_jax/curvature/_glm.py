r"""Fisher information of a spiking GLM neuron, and its inverse, in closed form.

A neuron fires at rate $\phi(V)$, $V = w^\top x$. For jointly Gaussian independent
inputs with means $b$ and variances $\Sigma$ the Fisher matrix per second
$G = E[F(V)\, x x^\top]$, $F = \phi'^2/\phi$, is diagonal plus rank two, so its inverse
is known and the natural gradient costs as much as the Euclidean one (Kreutzer et al.
2022, eLife 11:e66526). Rates in Hz, potentials in mV.

Averages over the potential are trapezoid sums. `nodes` is the number of their points,
as many as it takes where that is `None` and mean, variance and transfer function are
known; 49 where they are traced. A grid is too coarse for what it averages if every
second of its points changes $E[F]$ by more than 0.3 % or $E[F z]$ by 1 % of $E[F]$, or
if $\sigma E[F']$ and $E[F z]$ differ by 0.1 % of it, as they do where $F$ jumps: that
is a `ValueError`, and NaN where values are traced. What passes is good to $10^{-3}$,
most often to $10^{-5}$.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import concrete, floating, whole
from .._interfaces import Scalar
from ..numerics import root
from ..signals import Coefficients
from ._low_rank import diagonal_plus_low_rank, inverse_diagonal_plus_low_rank
from ._transfer import fisher_density, Transfer


Vector = Float[Array, " n"]
REACH = 7.5  # standard deviations that the quadrature covers on either side
NODES, MOST_NODES = 49, 1601  # by default, and at most where they are chosen
TOLERANCES = (3e-3, 1e-2, 1e-3)  # of E[F]: see the head of this file


@floating
def voltage_moments(
    weights: Vector, mean: Vector, variance: Vector
) -> tuple[Scalar, Scalar, Scalar]:
    r"""$\mu_v = w \cdot b$, $\sigma_v^2 = \sum w^2 \Sigma$ and $q = \sum b^2/\Sigma$.

    Mean and variance of the potential for independent inputs with means $b$ and
    variances $\Sigma$, and what bounds them: $\mu_v^2 \le q\, \sigma_v^2$. Raises
    `ValueError` unless there is one of each for every input, variances above zero;
    where they are traced and one is not, $q$ is NaN.
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
    """
    _check_feasible(mean, variance, q)
    nodes = _chosen(transfer, mean, variance, nodes)
    c1, c2, c3 = (
        mean_density(transfer, mean, variance, order=k, nodes=nodes) for k in range(3)
    )
    c1 = jnp.maximum(c1, _floor(c1.dtype))
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
def quadrature_error(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, nodes: int
) -> Scalar:
    r"""Relative change of $c_1$ when the quadrature has half as many nodes.

    The error of the trapezoid rule is about its square, so below $10^{-3}$ the
    coefficients are good to about $10^{-6}$.
    """
    fine, coarse = (
        _average(transfer, mean, variance, 0, n)[0]
        for n in (whole("nodes", nodes, 3), (nodes + 1) // 2)
    )
    return jnp.abs(coarse / fine - 1)


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
    """
    moments = voltage_moments(weights, mean, variance)
    c = glm_coefficients(transfer, *moments, nodes=nodes)
    core = jnp.stack([jnp.stack([c.c1, c.c2]), jnp.stack([c.c2, c.c3])])
    factors = jnp.stack([mean, variance * weights], axis=1)
    return diagonal_plus_low_rank(c.c1 * variance, factors, core)


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
    """
    _check_inputs(variance)
    mu, square, _ = voltage_moments(weights, mean, variance)
    nodes = _chosen(transfer, mu, square, nodes)
    e = [
        mean_density(transfer, mu, square, order=k, nodes=nodes) for k in range(6)
    ]  # E[F], ..., E[F^(5)]
    e[0] = jnp.maximum(e[0], _floor(e[0].dtype))
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


def enough_nodes(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, least: int = NODES
) -> int:
    """How many nodes suffice: `least`, doubled as often as it takes.

    `least` where values are traced. Raises `ValueError` where 1601 are too few.
    """
    if not concrete(transfer, mean, variance):
        return least
    centre, deviation = float(mean), float(variance) ** 0.5
    if not np.isfinite(centre + deviation):
        return least
    ladder = [least]
    while 2 * ladder[-1] - 1 <= MOST_NODES:
        ladder.append(2 * ladder[-1] - 1)
    with jax.ensure_compile_time_eval():  # also where the caller is being compiled
        voltage = centre + deviation * _grid(ladder[-1])[0]
        found = fisher_density(transfer, jnp.asarray(voltage, mean.dtype), 1)
    if not concrete(found):  # the function closes over a traced value
        return least
    for nodes in ladder:
        every = slice(None, None, (ladder[-1] - 1) // (nodes - 1))
        densities = [np.asarray(density, float)[every] for density in found]
        if _fine(_grid(nodes), deviation, densities, _floor(mean.dtype)):
            return nodes
    raise ValueError(
        f"the potential has the variance {float(variance):.4g} mV^2 (mean "
        f"{centre:.4g} mV): too wide for {ladder[-1]} nodes of quadrature, or the "
        "Fisher density of `transfer` jumps where it lies."
    )


def _chosen(
    transfer: Transfer, mean: Scalar, variance: Scalar, nodes: int | None
) -> int:
    return (
        enough_nodes(transfer, mean, variance)
        if nodes is None
        else whole("nodes", nodes, 3)
    )


def _average(
    transfer: Transfer, mean: Scalar, variance: Scalar, order: int, nodes: int
) -> tuple[Scalar, Bool[Array, ""]]:
    """`mean_density` as it is computed, and whether the grid is fine enough.

    Trapezoid rule in units of the standard deviation, spectrally accurate. Its own
    derivative at zero variance is NaN.
    """
    z, *masses = _grid(nodes)
    deviation = root(variance)
    places, weights, half = (jnp.asarray(x, mean.dtype) for x in (z, *masses))
    densities = fisher_density(transfer, mean + deviation * places, order)
    grid = places, weights, half
    fine = _fine(grid, deviation, densities[:2], _floor(mean.dtype))
    direct = weights * densities[-1]
    if order == 0:
        return jnp.sum(direct), fine
    hermite = np.polynomial.hermite_e.hermeval(z, [0.0] * order + [1.0])
    hermite = jnp.asarray(hermite, mean.dtype)
    zero = variance == 0
    scale = jnp.where(zero, 1.0, deviation) ** order
    scale = jnp.maximum(scale, _floor(scale.dtype))  # or 0/0 = NaN
    central = weights * densities[0] * hermite / scale
    narrow = jnp.sum(jnp.abs(direct)) <= jnp.sum(jnp.abs(central))
    return jnp.sum(jnp.where(narrow | zero, direct, central)), fine


def _floor(dtype: Any) -> float:
    """The square root of the smallest number: less than this counts as nothing."""
    return float(jnp.finfo(dtype).tiny) ** 0.5


def _grid(nodes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of nodes in standard deviations, their weights, those of every second."""
    z = np.linspace(-REACH, REACH, nodes)
    mass = np.exp(-(z**2) / 2)
    half = np.where(np.arange(nodes) % 2 == 0, mass, 0.0)
    return z, mass / mass.sum(), half / half.sum()


def _fine(grid: Any, deviation: Any, densities: Sequence[Any], least: float) -> Any:
    r"""Whether a grid resolves $F$ (and $F'$, if it is given); `least` counts as 0.

    Of NumPy's arrays or of JAX's.
    """
    places, weights, half = grid
    first = weights * densities[0]
    change = half * densities[0] - first
    gaps = [change.sum(), (change * places).sum()]
    if len(densities) > 1:  # E[F'] is E[F z]/sigma unless F jumps
        gaps.append((deviation * weights * densities[1] - first * places).sum())
    c1, fine = first.sum(), True
    for gap, tolerance in zip(gaps, TOLERANCES, strict=False):
        fine = fine & (abs(gap) <= tolerance * c1 + least)
    return fine


@floating
def mean_density(
    transfer: Transfer,
    mean: Scalar,
    variance: Scalar,
    *,
    order: int,
    nodes: int | None = None,
) -> Scalar:
    r"""$E[F^{(k)}(V)]$ with $V \sim N(\mu, \sigma^2)$ and $k$ = `order`.

    Summed either as it stands (exact at $\sigma = 0$, bad for wide distributions) or as
    $E[F\, He_k(z)]/\sigma^k$ (the reverse), whichever has the smaller terms. Its
    derivatives are those of the expectation, finite at $\sigma = 0$: one by $\mu$
    raises the order by one; one by $\sigma^2$ raises it by two and halves. Raises
    `ValueError` for a negative variance or too few `nodes`; where values are traced it
    is NaN.
    """
    if concrete(variance) and np.asarray(variance) < 0:
        raise ValueError(f"`variance` must not be negative; got {variance}.")
    nodes = _chosen(transfer, mean, variance, nodes)
    found = _mean_density(
        transfer, mean, variance, order=whole("order", order, 0), nodes=nodes
    )
    finite = concrete(found) and np.all(np.isfinite([float(mean), float(variance)]))
    if finite and np.isnan(found):
        enough = enough_nodes(transfer, mean, variance, least=nodes)
        if enough > nodes:
            raise ValueError(
                f"`nodes` ({nodes}) are too few for a potential of variance "
                f"{float(variance):.4g} mV^2 (mean {float(mean):.4g} mV): {enough} "
                "would do."
            )
    return found


@eqx.filter_custom_jvp
def _mean_density(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, order: int, nodes: int
) -> Scalar:
    """`mean_density`; NaN where the grid is too coarse."""
    return _sure(*_average(transfer, mean, variance, order, nodes))


def _sure(value: Scalar, fine: Bool[Array, ""]) -> Scalar:
    """`value`, or NaN with a derivative of NaN where the grid is too coarse."""
    return value * jnp.where(fine, 1.0, jnp.nan).astype(value.dtype)


@_mean_density.def_jvp
def _mean_density_jvp(
    primals: Any, tangents: Any, *, order: int, nodes: int
) -> tuple[Array, Array]:
    transfer, mean, variance = primals
    by_transfer, by_mean, by_variance = tangents

    def above(k: int) -> Scalar:
        return _mean_density(transfer, mean, variance, order=order + k, nodes=nodes)

    value = above(0)
    tangent = jnp.zeros_like(value)
    if by_mean is not None:
        tangent = tangent + above(1) * by_mean
    if by_variance is not None:
        tangent = tangent + above(2) / 2 * by_variance
    if jax.tree.leaves(by_transfer):
        average = lambda t: _sure(*_average(t, mean, variance, order, nodes))
        tangent = tangent + eqx.filter_jvp(average, (transfer,), (by_transfer,))[1]
    return value, tangent
