r"""The exact Fisher matrix for Poisson inputs, and what the Gaussian form leaves out.

The synaptic potentials of Poisson spikes are shot noise, $x_i = \sum_f \epsilon(t -
t_i^f)$: Gaussian only for many spikes within a time constant. $G = E[F(w \cdot x)\,
xx^\top]$ under their true law, $F = \phi'^2/\phi$, follows from the characteristic
function of the potential and the Mecke formula (derived, not in the paper). Rates in
Hz, times in s, potentials in mV.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ... import Scalar
from ..._arguments import (
    check_finite,
    check_not_negative,
    check_symmetric,
    concrete,
    floating,
    whole,
)
from ...circuits import SynapticKernel, Transfer
from ...curvature import fisher_density, mean_density, REACH
from ...numerics import eigvalsh, tree_angle


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]
TIMES = 256  # nodes of an integral over the time since a spike
TOLERANCE = 1e-4  # of the last terms of a series, over the largest
TAIL = 1e-12  # probability of a potential outside the grid, on either side


@floating
def voltage_density(
    weights: Vector, rates: Vector, kernel: SynapticKernel, *, points: int = 1024
) -> tuple[Float[Array, " point"], Float[Array, " point"]]:
    r"""Stationary law of $V = w \cdot x$: potentials (mV) and density (1/mV) there.

    By Fourier inversion of $\exp \sum_i r_i \int (e^{iu w_i \epsilon(t)} - 1)\, dt$ on
    `points` potentials, 0 among them if it is possible, beyond which lies a probability
    of at most $10^{-12}$ on either side. Sums over the grid times its spacing are
    expectations, to rounding for functions that vary little from point to point, also
    where the density is singular, as it is at 0 for less than one spike per membrane
    time constant; its values there ripple. Raises `ValueError` without weights, for
    negative rates or an odd number of points.

    >>> v, density = voltage_density([0.1], [50.0], circuits.SynapticKernel())
    >>> print(f"{(density * v).sum() * (v[1] - v[0]):.2f}")  # the mean: 0.1 * 50
    5.00
    """
    if not weights.size:
        raise ValueError("`weights` must hold a weight at least; got none.")
    check_finite("weights", weights)
    check_not_negative("rates", rates)
    if whole("points", points, 4) % 2:
        raise ValueError(f"`points` must be even; got {points}.")
    amplitude, duration = _time_nodes(kernel)
    low, high = _bounds(weights, rates, kernel)
    spacing = (high - low) / (points - 2)
    first = jnp.floor(low / spacing) * spacing
    voltages = first + spacing * jnp.arange(points, dtype=spacing.dtype)
    frequency = 2 * math.pi / (points * spacing)
    # one frequency after the other, every phase turned by a constant angle; XLA's FFT
    # would save nothing, and on a CPU two of them at once may wait for ever
    turn = _unit(frequency * jnp.outer(weights, amplitude))
    back = _unit(-frequency * voltages)
    strength = jnp.outer(rates, duration)
    last = points // 2

    def add(carry: tuple[Array, Array, Array], order: Array) -> tuple[Any, None]:
        power, wave, density = carry
        real = jnp.sum(strength * (power.real - 1)) - 36 * (order / last) ** 16
        weight = jnp.exp(jax.lax.complex(real, jnp.sum(strength * power.imag)))
        share = jnp.where((order == 0) | (order == last), 1.0, 2.0).astype(real.dtype)
        density = density + share * (weight * wave).real
        return (power * turn, wave * back, density), None

    start = jnp.ones_like(turn), jnp.ones_like(back), jnp.zeros_like(voltages)
    orders = jnp.arange(last + 1, dtype=spacing.dtype)
    (_, _, density), _ = jax.lax.scan(add, start, orders)
    return voltages, density / (points * spacing)


def _unit(phase: Array) -> Array:
    r"""$e^{i\varphi}$."""
    return jax.lax.complex(jnp.cos(phase), jnp.sin(phase))


@floating
def shot_noise_fisher(
    transfer: Transfer,
    weights: Vector,
    rates: Vector,
    kernel: SynapticKernel,
    *,
    points: int = 1024,
    nodes: int = 64,
) -> Matrix:
    r"""$E[F(w \cdot x)\, xx^\top]$ in Hz for Poisson inputs, exactly.

    With $H(\zeta) = E[F(V + \zeta)]$, by the Mecke formula, $G_{ij} = r_i r_j \iint
    \epsilon(s) \epsilon(t) H(w_i \epsilon(s) + w_j \epsilon(t))\, ds\, dt + \delta_{ij}
    r_i \int \epsilon^2 H(w_i \epsilon)$. $H$ is summed over `voltage_density`; a
    Chebyshev series of `nodes` terms in each of the two potentials separates the double
    integral, so the cost grows as $n^2$. For the default sigmoid 64 suffice for single
    potentials up to 60 mV (weights up to 1). Rows of silent inputs are zero. Raises
    `ValueError` where `nodes` or `points` are too few: the last terms of the series
    count, or the potentials lie too far apart for $F$; NaN where values are traced.

    >>> transfer, kernel = circuits.Sigmoid(), circuits.SynapticKernel()
    >>> exact = shot_noise_fisher(transfer, [0.1, 0.2], [0.0, 50.0], kernel, nodes=32)
    >>> bool(exact[1, 1] > 0), exact[0].tolist()  # the first input is silent
    (True, [0.0, 0.0])
    """
    whole("nodes", nodes, 4)
    voltages, density = voltage_density(weights, rates, kernel, points=points)
    mass = density * (voltages[1] - voltages[0])
    amplitude, duration = _time_nodes(kernel)
    peak = kernel(kernel.peak_time)
    ends = jnp.minimum(jnp.min(weights), 0.0), jnp.maximum(jnp.max(weights), 0.0)
    centre, half = peak * (ends[1] + ends[0]) / 2, peak * (ends[1] - ends[0]) / 2
    half = jnp.maximum(half, jnp.finfo(half.dtype).tiny ** 0.5)
    angles = np.pi * (np.arange(nodes) + 0.5) / nodes
    transform = np.cos(np.outer(np.arange(nodes), angles)) * 2 / nodes
    transform[0] /= 2
    series = jnp.asarray(transform, half.dtype)
    single = centre + half * jnp.asarray(np.cos(angles), half.dtype)

    def raised(potential: Scalar) -> Scalar:
        return jnp.sum(mass * fisher_density(transfer, voltages + potential)[0])

    def moments(weight: Scalar) -> Float[Array, "2 k"]:
        place = jnp.clip((weight * amplitude - centre) / half, -1.0, 1.0)
        order = jnp.arange(nodes, dtype=place.dtype)
        polynomials = jnp.cos(jnp.outer(jnp.arccos(place), order))
        weighted = jnp.stack([duration * amplitude, duration * amplitude**2])
        return weighted @ polynomials

    seen = jax.lax.map(moments, weights)
    first, second = rates[:, None] * seen[:, 0], rates[:, None] * seen[:, 1]
    sums = (single[:, None] + single[None]).ravel()
    pairs = jax.lax.map(raised, sums).reshape(nodes, nodes)
    alone = jax.lax.map(raised, single)
    terms = series @ pairs @ series.T
    off = first @ terms @ first.T
    found = (off + off.T) / 2 + jnp.diag(second @ (series @ alone))
    last, most = jnp.max(jnp.abs(terms[-2:])), jnp.max(jnp.abs(terms))
    width = (voltages[-1] - voltages[0]) / (2 * REACH)
    wide = (transfer, jnp.mean(voltages), width**2)
    resolved = mean_density(*wide, order=0, nodes=points)
    short = (last > TOLERANCE * most) | jnp.isnan(resolved)
    if concrete(short) and short:
        raise ValueError(
            f"`nodes` ({nodes}) are too few for single potentials up to "
            f"{float(jnp.max(jnp.abs(weights)) * peak):.4g} mV."
        )
    return jnp.where(short, jnp.nan, found)


@floating
def draw_potentials(
    rates: Vector, kernel: SynapticKernel, spikes: int, key: Key[Array, ""]
) -> Vector:
    r"""One stationary draw of the synaptic potentials $x$ (mV) of Poisson inputs.

    The last `spikes` spikes of each input, at exponential distances, exact if the
    oldest has decayed: take $0.2\, r + 6\sqrt{0.2\, r} + 6$ or more. Silent inputs
    give 0.

    >>> kernel = circuits.SynapticKernel()
    >>> draw = lambda key: draw_potentials([0.0, 50.0], kernel, 40, key)
    >>> x = jax.vmap(draw)(jr.split(jr.key(0), 500))
    >>> error = (50 * 38.5 / 500) ** 0.5  # of the mean, 50 mV
    >>> float(x[:, 0].max()), bool(abs(x[:, 1].mean() - 50) < 4 * error)
    (0.0, True)
    """
    whole("spikes", spikes, 1)
    check_not_negative("rates", rates)
    gaps = jr.exponential(key, (spikes, *rates.shape), rates.dtype)
    silent = rates == 0
    rates = jnp.where(rates < 0, jnp.nan, rates)
    times = jnp.cumsum(gaps, axis=0) / jnp.where(silent, 1.0, rates)[None]
    return jnp.where(silent, 0.0, jnp.sum(kernel(times), axis=0))


@floating
def fisher_error(exact: Matrix, closed: Matrix) -> Scalar:
    r"""$\|L^{-1} G_{exact} L^{-\top} - I\|_2$ with $G_{closed} = LL^\top$.

    The largest relative error of the closed form along any direction of weight space;
    infinite where it is not positive definite, so no metric. NaN where a matrix holds
    one.

    >>> closed = jnp.asarray([[4.0, 2.0], [2.0, 4.0]])
    >>> print(f"{fisher_error(1.1 * closed, closed):.3f}")
    0.100
    """
    error = jnp.max(jnp.abs(relative_spectrum(exact, closed) - 1))
    lost = jnp.isnan(jnp.sum(exact) + jnp.sum(closed))
    return jnp.where(jnp.isnan(error) & ~lost, jnp.inf, error)


@floating
def relative_spectrum(exact: Matrix, closed: Matrix) -> Vector:
    r"""Eigenvalues of $G_{closed}^{-1} G_{exact}$, ascending; all 1 where they agree.

    Also the rates, in units of the learning rate, at which the natural gradient with
    metric `closed` forgets the directions of weight space.

    >>> exact = jnp.diag(jnp.asarray([2.0, 1.0]))
    >>> closed = jnp.diag(jnp.asarray([1.0, 2.0]))
    >>> print(*(f"{x:.2f}" for x in relative_spectrum(exact, closed)))
    0.50 2.00
    """
    _check_pair(exact, closed)
    lower = jnp.linalg.cholesky(closed)
    half = jax.scipy.linalg.solve_triangular(lower, exact, lower=True)
    whole = jax.scipy.linalg.solve_triangular(lower, half.T, lower=True)
    return eigvalsh((whole + whole.T) / 2)


@floating
def update_angle(exact: Matrix, closed: Matrix, direction: Vector) -> Scalar:
    r"""Angle in degrees between $G_{closed}^{-1} G_{exact} \Delta$ and $\Delta$.

    How far the closed form turns the mean update away from the straight way.

    >>> exact, closed = jnp.diag(jnp.asarray([1.0, 0.0])), jnp.eye(2)
    >>> print(f"{update_angle(exact, closed, [1.0, 1.0]):.1f}")
    45.0
    """
    _check_pair(exact, closed)
    moved = jnp.linalg.solve(closed, exact @ direction)
    return jnp.degrees(tree_angle(moved, direction))


def _time_nodes(
    kernel: SynapticKernel,
) -> tuple[Float[Array, " t"], Float[Array, " t"]]:
    r"""$\epsilon(t_k)$ and weights of a sum over $k$ that integrates over $t > 0$.

    Trapezoid rule in $y$ with $t = \tau e^{y - e^{-y}}$, doubly exponential at both
    ends.
    """
    slow = jnp.maximum(kernel.membrane_time, kernel.synaptic_time)
    y, step = np.linspace(-3.2, 3.6, TIMES, retstep=True)
    nodes = jnp.asarray(np.exp(y - np.exp(-y)), slow.dtype)
    weights = nodes * jnp.asarray((1 + np.exp(-y)) * step, slow.dtype)
    return kernel(slow * nodes), slow * weights


def _bounds(
    weights: Vector, rates: Vector, kernel: SynapticKernel
) -> tuple[Scalar, Scalar]:
    r"""Potentials beyond which lies a probability below `TAIL` (Chernoff's bound)."""
    amplitude, duration = _time_nodes(kernel)
    scale = kernel(kernel.peak_time) * jnp.max(jnp.abs(weights))
    scale = jnp.maximum(scale, 1e-6)
    powers = jnp.asarray(np.geomspace(1e-3, 40.0, 64), scale.dtype) / scale

    def cumulant(power: Scalar) -> Scalar:
        raised = jnp.expm1(power * jnp.outer(weights, amplitude))
        return rates @ raised @ duration

    above = (jax.lax.map(cumulant, powers) - math.log(TAIL)) / powers
    below = (jax.lax.map(cumulant, -powers) - math.log(TAIL)) / powers
    return -jnp.min(below), jnp.min(above)


def _check_pair(exact: Array, closed: Array) -> None:
    check_symmetric("exact", exact)
    check_symmetric("closed", closed)
