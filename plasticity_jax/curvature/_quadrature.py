r"""Averages of the Fisher density over a Gaussian potential, by quadrature.

Trapezoid sums; `nodes` is the number of their points, as many as it takes where that is
`None` and mean, variance and transfer function are known; 49 where they are traced. A
grid is too coarse for what it averages if every second of its points changes $E[F]$ by
more than 0.3 % or $E[F z]$ by 1 % of $E[F]$, or if $\sigma E[F']$ and $E[F z]$ differ
by 0.1 % of it, as they do where $F$ jumps: that is a `ValueError`, and NaN where values
are traced. What passes is good to $10^{-3}$, most often to $10^{-5}$.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from .._arguments import concrete, floating, whole
from .._interfaces import Scalar
from ..numerics import root
from ._transfer import fisher_density, Transfer


REACH = 7.5  # standard deviations that the quadrature covers on either side
NODES, MOST_NODES = 49, 1601  # by default, and at most where they are chosen
TOLERANCES = (3e-3, 1e-2, 1e-3)  # of E[F]: see the head of this file


@floating
def quadrature_error(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, nodes: int
) -> Scalar:
    r"""Relative change of $c_1$ when the quadrature has half as many nodes.

    The error of the trapezoid rule is about its square, so below $10^{-3}$ the
    coefficients are good to about $10^{-6}$.

    >>> error = quadrature_error(circuits.Sigmoid(), 0.0, 10.0, nodes=25)
    >>> print(error < 1e-3)
    True
    """
    fine, coarse = (
        average(transfer, mean, variance, 0, n)[0]
        for n in (whole("nodes", nodes, 3), (nodes + 1) // 2)
    )
    return jnp.abs(coarse / fine - 1)


def enough_nodes(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, least: int = NODES
) -> int:
    """How many nodes suffice: `least`, doubled as often as it takes.

    `least` where values are traced. Raises `ValueError` where 1601 are too few.

    >>> of = lambda variance: (circuits.Sigmoid(), jnp.zeros(()), jnp.asarray(variance))
    >>> print(enough_nodes(*of(10.0)), enough_nodes(*of(400.0)))
    49 97
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
        if _fine(_grid(nodes), deviation, densities, floor_of(mean.dtype)):
            return nodes
    raise ValueError(
        f"the potential has the variance {float(variance):.4g} mV^2 (mean "
        f"{centre:.4g} mV): too wide for {ladder[-1]} nodes of quadrature, or the "
        "Fisher density of `transfer` jumps where it lies."
    )


def chosen_nodes(
    transfer: Transfer, mean: Scalar, variance: Scalar, nodes: int | None
) -> int:
    """As many nodes as are asked for, or as it takes."""
    if nodes is None:
        return enough_nodes(transfer, mean, variance)
    return whole("nodes", nodes, 3)


def average(
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
    fine = _fine(grid, deviation, densities[:2], floor_of(mean.dtype))
    direct = weights * densities[-1]
    if order == 0:
        return jnp.sum(direct), fine
    hermite = np.polynomial.hermite_e.hermeval(z, [0.0] * order + [1.0])
    hermite = jnp.asarray(hermite, mean.dtype)
    zero = variance == 0
    scale = jnp.where(zero, 1.0, deviation) ** order
    scale = jnp.maximum(scale, floor_of(scale.dtype))  # or 0/0 = NaN
    central = weights * densities[0] * hermite / scale
    narrow = jnp.sum(jnp.abs(direct)) <= jnp.sum(jnp.abs(central))
    return jnp.sum(jnp.where(narrow | zero, direct, central)), fine


def floor_of(dtype: Any) -> float:
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

    >>> found = [mean_density(jnp.exp, 0.0, 1.0, order=k) for k in (0, 2)]
    >>> print(f"{found[0]:.3f} {found[1]:.3f} {jnp.exp(0.5):.3f}")
    1.649 1.649 1.649
    """
    if concrete(variance) and np.asarray(variance) < 0:
        raise ValueError(f"`variance` must not be negative; got {variance}.")
    nodes = chosen_nodes(transfer, mean, variance, nodes)
    order = whole("order", order, 0)
    found = _mean_density(transfer, mean, variance, order=order, nodes=nodes)
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
    return _sure(*average(transfer, mean, variance, order, nodes))


def _sure(value: Scalar, fine: Bool[Array, ""]) -> Scalar:
    """`value`, or NaN with a derivative of NaN where the grid is too coarse."""
    return value * jnp.where(fine, 1.0, jnp.nan).astype(value.dtype)


@_mean_density.def_jvp
def _mean_density_jvp(
    primals: Any, tangents: Any, *, order: int, nodes: int
) -> tuple[Array, Array]:
    transfer, mean, variance = primals
    by_transfer, by_mean, by_variance = tangents
    at = lambda k: _mean_density(transfer, mean, variance, order=k, nodes=nodes)
    value = at(order)
    tangent = jnp.zeros_like(value)
    if by_mean is not None:
        tangent = tangent + at(order + 1) * by_mean
    if by_variance is not None:
        tangent = tangent + at(order + 2) / 2 * by_variance
    if jax.tree.leaves(by_transfer):
        of = lambda t: _sure(*average(t, mean, variance, order, nodes))
        tangent = tangent + eqx.filter_jvp(of, (transfer,), (by_transfer,))[1]
    return value, tangent
