r"""Closed forms of a spiking neuron's Fisher matrix, its limits and its divergence.

Kreutzer, Senn & Petrovici 2022, eLife 11:e66526. What the library computes in one form
stands here in another: the paper's own, or one that is derived and not in the paper.
Rates in Hz, potentials in mV, times in s.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import check_probabilities, floating, whole
from ...circuits import Sigmoid, Transfer
from ...curvature import Coefficients, fisher_density, mean_density
from ...signals import SpikingSignals


Vector = Float[Array, " n"]
Sample = Float[Array, " sample"]
SLACK = 1e-6  # above a probability of 1, by rounding
REACH = 8.0  # standard deviations that the averages cover on either side


# --- the cost -----------------------------------------------------------------------


@floating
def divergence(
    transfer: Transfer,
    weights: Vector,
    teacher: Vector,
    potentials: Float[Array, "sample n"],
    dt: Scalar | float,
) -> Scalar:
    r"""$D_{KL}$ per bin of `dt` s from teacher to student, mean over `potentials`.

    $p^* \log\frac{p^*}{p} + (1-p^*)\log\frac{1-p^*}{1-p}$ with $p = \phi(w \cdot x)\,
    dt$ (Eqs. 9, 49-51): exact over the output, a sample over the inputs. Proportional
    to `dt` as long as few bins hold a spike. Relative to the difference of the two
    probabilities its rounding is that of the number format; finite and with finite
    gradients also where a probability reaches 0 or 1. Raises `ValueError` for one above
    1; traced, it is NaN.

    >>> teacher, student = [10.0], [10.0 - np.log(3.0) / 0.3]  # 50 Hz and 25 Hz
    >>> told = divergence(circuits.Sigmoid(), student, teacher, [[1.0]], dt=0.01)
    >>> print(f"{told:.3f}")  # of p = 1/2 and 1/4: log(4 / 3) / 2
    0.144
    """
    spike = _probability(transfer(potentials @ weights) * dt)
    told = _probability(transfer(potentials @ teacher) * dt)
    excess = told - spike
    yes = told * _log_ratio(told, spike, excess)
    no = (1 - told) * _log_ratio(1 - told, 1 - spike, -excess)
    return jnp.mean(yes + no)


def _probability(mean: Sample) -> Sample:
    """Of a spike in a bin: at most 1 but for rounding."""
    checked = jnp.where(mean <= 1 + SLACK, jnp.minimum(mean, 1.0), mean)
    check_probabilities("rate x dt", checked)
    return jnp.where(mean > 1 + SLACK, jnp.nan, mean)


def _log_ratio(above: Sample, below: Sample, difference: Sample) -> Sample:
    r"""$\log(a/b)$ of `above` and `below` from their `difference`, finite at 0."""
    tiny = jnp.finfo(below.dtype).tiny ** 0.5  # its inverse square is finite
    a, b = jnp.maximum(above, tiny), jnp.maximum(below, tiny)
    close = jnp.abs(difference) < b / 2
    near = jnp.log1p(jnp.where(close, difference, 0.0) / jnp.where(close, b, 1.0))
    return jnp.where(close, near, jnp.log(a) - jnp.log(b))


@floating
def rate_error(
    transfer: Transfer,
    weights: Vector,
    teacher: Vector,
    potentials: Float[Array, "sample n"],
) -> Scalar:
    r"""$\langle(\phi - \phi^*)^2\rangle^{1/2}$ in Hz over a sample of potentials.

    >>> teacher, student = [10.0], [10.0 - np.log(3.0) / 0.3]  # 50 Hz and 25 Hz
    >>> print(f"{rate_error(circuits.Sigmoid(), student, teacher, [[1.0]]):.2f}")
    25.00
    """
    error = transfer(potentials @ weights) - transfer(potentials @ teacher)
    return jnp.sqrt(jnp.mean(error**2))


# --- coefficients of the Fisher matrix ----------------------------------------------


class DensityMoments(NamedTuple):
    """$c_1, c_2, c_3$ in Hz/mV$^2$, /mV$^3$, /mV$^4$.

    >>> c = moment_coefficients(circuits.RectifiedQuadratic(), 20.0, 1.0)  # its F is 1
    >>> print(f"{c.c1:.3f} {abs(c.c2):.3f} {abs(c.c3):.3f}")
    1.000 0.000 0.000
    """

    c1: Scalar
    c2: Scalar
    c3: Scalar


@floating
def moment_coefficients(
    transfer: Transfer, mean: Scalar, variance: Scalar, *, nodes: int = 401
) -> DensityMoments:
    r"""$c_1, c_2, c_3$ from $I_k = E[F(V) V^{k-1}]$, as the paper has them (Eq. 82).

    $c_1 = I_1$, $c_2 = (I_2 - I_1\mu)/\sigma^2$, $c_3 = (I_3 - I_1(\mu^2 + \sigma^2) -
    2 c_2 \mu\sigma^2)/\sigma^4$. 0/0 at $\sigma = 0$ and inaccurate near it: for
    comparison with `curvature.glm_coefficients` in double precision. NaN where `nodes`
    are too few.

    >>> c = moment_coefficients(circuits.Sigmoid(), 5.0, 4.0)
    >>> same = curvature.glm_coefficients(circuits.Sigmoid(), 5.0, 4.0, 10.0)
    >>> print(f"{c.c1 / same.c1:.3f} {c.c2 / same.c2:.3f}")
    1.000 1.000
    """
    voltage, weights = _gaussian(transfer, mean, variance, nodes)
    density = weights * fisher_density(transfer, voltage)[0]
    first, second, third = (jnp.sum(density * voltage**k) for k in range(3))
    c2 = (second - first * mean) / variance
    c3 = third - first * (mean**2 + variance) - 2 * c2 * mean * variance
    return DensityMoments(first, c2, c3 / variance**2)


@floating
def bernoulli_correction(
    transfer: Transfer,
    mean: Scalar,
    variance: Scalar,
    dt: Scalar | float,
    *,
    nodes: int = 401,
) -> Scalar:
    r"""$E[F/(1 - \phi\,dt)] / E[F]$: exact over approximate $c_1$ of one bin.

    The paper drops $1 - \phi\,dt$ (Eqs. 56, 66-67), which is exact for Poisson counts
    and for $dt \to 0$; Eq. 66 has the factor upside down. NaN where a probability
    reaches 1, or `nodes` are too few.

    >>> print(f"{bernoulli_correction(circuits.Sigmoid(), 10.0, 0.0, dt=0.01):.3f}")
    2.000
    """
    voltage, weights = _gaussian(transfer, mean, variance, nodes)
    density = weights * fisher_density(transfer, voltage)[0]
    spike = transfer(voltage) * dt
    spike = jnp.where(spike >= 1, jnp.nan, spike)
    return jnp.sum(density / (1 - spike)) / jnp.sum(density)


def _gaussian(
    transfer: Transfer, mean: Scalar, variance: Scalar, nodes: int
) -> tuple[Float[Array, " node"], Float[Array, " node"]]:
    """Nodes and weights of the trapezoid rule for a normal potential.

    NaN where as many nodes are too few for `curvature.mean_density`.
    """
    known = mean_density(transfer, mean, variance, order=0, nodes=nodes)
    z = np.linspace(-REACH, REACH, whole("nodes", nodes, 3))
    weights = np.exp(-(z**2) / 2)
    voltage = mean + jnp.sqrt(variance) * jnp.asarray(z, mean.dtype)
    weights = jnp.asarray(weights / weights.sum(), mean.dtype)
    return voltage, jnp.where(jnp.isnan(known), jnp.nan, weights)


def least_scale(transfer: Sigmoid) -> tuple[Scalar, Scalar]:
    r"""Where $\gamma_s = 1/F$ of a sigmoid is least, in mV, and its value in mV$^2$/Hz.

    $V = \theta - \log 2/\beta$, where $\phi = \phi_{max}/3$, and $27/(4 \phi_{max}
    \beta^2)$, for a potential that does not vary (derived).

    >>> voltage, scale = least_scale(circuits.Sigmoid())
    >>> print(f"{scale:.3f} {circuits.Sigmoid()(voltage):.2f}")  # a third of 100 Hz
    0.750 33.33
    """
    voltage = transfer.threshold - math.log(2.0) / transfer.slope
    return voltage, 27 / (4 * transfer.maximum * transfer.slope**2)


class InverseCoefficients(NamedTuple):
    """$g_1$ (1), $g_2$ and $g_3$ (1/mV), $g_4$ (1/mV$^2$); $g_2 = g_3$ in theory.

    >>> g = sherman_morrison_coefficients(1.0, 0.0, 0.0, mean=2.0, variance=4.0, q=3.0)
    >>> float(g.g1), abs(float(g.g4))  # of a constant F: -1 / (q + 1)
    (-0.25, 0.0)
    """

    g1: Scalar
    g2: Scalar
    g3: Scalar
    g4: Scalar


@floating
def sherman_morrison_coefficients(
    c1: Scalar, c2: Scalar, c3: Scalar, mean: Scalar, variance: Scalar, q: Scalar
) -> InverseCoefficients:
    r"""Coefficients of $G^{-1}$ by two Sherman-Morrison steps (Eqs. 88-91, 102-105).

    The paper's form; `curvature.glm_coefficients` has the same numbers simplified.

    >>> c = curvature.glm_coefficients(circuits.Sigmoid(), 5.0, 4.0, 10.0)
    >>> g = sherman_morrison_coefficients(c.c1, c.c2, c.c3, 5.0, 4.0, 10.0)
    >>> print(f"{g.g1 / c.g1:.3f} {g.g2 / g.g3:.3f} {g.g4 / c.g4:.3f}")
    1.000 1.000 1.000
    """
    p = c1 * mean + c2 * variance
    big_q = c2 * q + c3 * mean
    k1 = 1 / (c1 * (c1 * (q + 1) + c2 * mean))
    k2 = 1 / (1 + (c2 * mean + c3 * variance) / c1 - k1 * p * big_q)
    mixed = k1 * k2 * p / c1
    twice = k1**2 * k2 * p * big_q
    return InverseCoefficients(
        c1 * (-k1 * c1 + mixed * c2 - twice * c1),
        c1 * (-k1 * c2 + mixed * c3 - twice * c2),
        c1 * (k1 * k2 * big_q - k2 * c2 / c1**2),
        c1 * (k1 * k2 * c2 * big_q / c1 - k2 * c3 / c1**2),
    )


# --- many inputs --------------------------------------------------------------------


def uniform_limit(c: Coefficients) -> Scalar:
    r"""$g_1 \to -1/q$ for many inputs (derived; Eqs. 110-111 follow from it).

    >>> c = curvature.glm_coefficients(circuits.Sigmoid(), 5.0, 4.0, 10000.0)
    >>> print(f"{uniform_limit(c):.1e} {c.g1 / uniform_limit(c):.2f}")
    -1.0e-04 1.00
    """
    return -1 / c.q


def mixed_limit(c: Coefficients) -> Scalar:
    r"""$g_2 \to -(a - \delta\mu_v)/[q(1 + \delta\sigma_v^2)]$ for many inputs, 1/mV.

    $a = c_2/c_1$, $\delta = c_3/c_1 - a^2$; derived, not in the paper. The limit of
    $g_4$ is `rules.proportional_limit`.

    >>> c = curvature.glm_coefficients(circuits.Sigmoid(), 5.0, 4.0, 10000.0)
    >>> print(f"{c.g2 / mixed_limit(c):.2f}")
    1.00
    """
    a = c.c2 / c.c1
    delta = c.c3 / c.c1 - a**2
    return -(a - delta * c.mean) / (c.q * (1 + delta * c.variance))


# --- a quadratic transfer function --------------------------------------------------


@floating
def quadratic_change(learning_rate: Scalar | float, signals: SpikingSignals) -> Vector:
    r"""The natural change where $\phi = \frac14(V - \theta)^2$, $V > \theta$.

    $\eta[Y - \phi\,dt]\frac1{\phi'}(c_\epsilon x/r - \gamma_u)$ with $\gamma_u =
    c_\epsilon^2\epsilon_0^2 X/(q + 1)$ (Eqs. 115-124): no voltage moments, and exact
    for any law of the inputs. $\phi' = \sqrt\phi$.

    >>> n, c = jnp.ones(1), curvature.glm_coefficients(circuits.Sigmoid(), 0, 1, 1)
    >>> spike = [jnp.asarray(x) for x in (4.0, 4.0, 1.0, 1.0)]  # mV, Hz, 1/mV, target
    >>> known = signals.InputMoments(n, n, n, n), c
    >>> seen = signals.SpikingSignals(jnp.asarray(0.125), n, *spike, n, *known)
    >>> quadratic_change(1.0, seen).tolist()  # (1 - 4 / 8) / 2 * 1 / (1 + 1)
    [0.125]
    """
    moments, x = signals.moments, signals.potentials
    scale = moments.mean / moments.variance  # c_eps eps_0
    q = jnp.sum(scale * moments.mean)
    uniform = scale * jnp.sum(scale * x) / (q + 1)
    error = signals.target - signals.rate * signals.dt
    direction = moments.active * x / moments.variance - uniform
    return learning_rate * error / jnp.sqrt(signals.rate) * direction
