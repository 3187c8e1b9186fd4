r"""Learning curves in closed form: the mean-field theory of the weight error.

Derived (not in the paper). With $e = w - w^*$, $C = E[ee^\top]$ and a Fisher matrix
$G \approx \bar c_1(\Sigma + bb^\top)$ that stays put, $\dot C = -\eta(AC + CA^\top) +
\eta^2 N$ and $D_{KL} = \frac{dt}{2} \mathrm{tr}(GC)$ per bin. Everything is
differentiable in every hyper-parameter.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import floating, one_of
from ...circuits import input_moments, relative_exponential
from ...curvature import mean_density, voltage_moments
from ...numerics import eigh, eigvalsh
from .config import Config, draw_weights, nodes_of


Matrix = Float[Array, "n n"]
Times = Float[Array, " t"]
BIN = 5e-4  # s; the bin that divergences are told for, whatever the step
THRESHOLD = 5e-5  # of the divergence per bin: learned
PREDICTED = ("euclidean", "natural", "approximate")
TEACHERS = 500
NODES = 81  # of quadrature, at least


class Landscape(NamedTuple):
    r"""What the theory needs of a task: moments, $\bar c_1$, variance of the start.

    `mean` $b$ and `variance` $\Sigma$ of the synaptic potentials, `curvature`
    $\bar c_1 = E_{w^*}[c_1]$, `spread` $E[(w_i - w^*_i)^2]$ before learning;
    `curvature_error` is the standard error of $\bar c_1$ over the teachers drawn.

    >>> here = landscape(Config(size=4))
    >>> here.mean.tolist(), bool(here.curvature_error < 0.1 * here.curvature)
    ([10.0, 10.0, 50.0, 50.0], True)
    """

    mean: Float[Array, " n"]
    variance: Float[Array, " n"]
    curvature: Scalar
    spread: Scalar
    curvature_error: Scalar


def landscape(config: Config) -> Landscape:
    """The task of `config`, with the mean over teachers by a fixed sample of them.

    >>> here = landscape(Config(size=4))
    >>> print(f"{here.spread:.4f}")  # 2 (1 / 4)^2 / 3
    0.0417
    """
    moments = input_moments(config.rates, config.kernel)
    nodes = max(NODES, nodes_of(config))

    def curvature(key: Array) -> Scalar:
        weights = draw_weights(config, key)
        mean, variance, _ = voltage_moments(weights, moments.mean, moments.variance)
        return mean_density(config.transfer, mean, variance, order=0, nodes=nodes)

    curvatures = jax.vmap(curvature)(jr.split(jr.key(0), TEACHERS))
    average, error = jnp.mean(curvatures), jnp.std(curvatures) / TEACHERS**0.5
    spread = 2 * (config.weight_scale / config.size) ** 2 / 3
    return Landscape(moments.mean, moments.variance, average, spread, error)


def fisher_trace(here: Landscape) -> Scalar:
    r"""$\mathrm{tr}\, G$ in Hz.

    >>> one = jnp.ones(2)
    >>> here = Landscape(one, one, jnp.asarray(2.0), jnp.asarray(0.1), jnp.asarray(0.0))
    >>> float(fisher_trace(here))  # 2 (1 + 1 + 1 + 1)
    8.0
    """
    return here.curvature * jnp.sum(here.variance + here.mean**2)


@floating
def euclidean_divergence(
    here: Landscape, rate: Scalar, times: Float[Array, " t"]
) -> Float[Array, " t"]:
    r"""$A = N = G$: each direction of curvature $\lambda$ decays at $\eta\lambda$.

    The floor is $\eta\, dt\, \mathrm{tr} G / 4$.

    >>> one = jnp.ones(2)  # tr G is 8
    >>> here = Landscape(one, one, jnp.asarray(2.0), jnp.asarray(0.1), jnp.asarray(0.0))
    >>> start, end = euclidean_divergence(here, 0.01, [0.0, 1e6])
    >>> print(f"{start:.1e} {end:.1e}")  # 5e-4 / 2 * 0.1 * 8; 0.01 * 5e-4 * 8 / 4
    2.0e-04 1.0e-05
    """
    matrix = jnp.diag(here.variance) + jnp.outer(here.mean, here.mean)
    stiffness = here.curvature * eigvalsh(matrix)
    decay = jnp.exp(-2 * rate * jnp.outer(times, stiffness))
    left = here.spread * decay + rate / 2 * (1 - decay)
    return BIN / 2 * left @ stiffness


@floating
def metric_divergence(
    fisher: Matrix, metric: Matrix, spread: Scalar, rate: Scalar, times: Times
) -> Times:
    r"""Descent with any metric $P$: $A = P^{-1}G$, $N = P^{-1}GP^{-1}$.

    With $P^{-1/2} G P^{-1/2} = V a V^\top$ every direction decays at $\eta a_i$, and
    the floor is $\eta\,dt\, \mathrm{tr}(P^{-1}G)/4$. $P = 1$ is Euclidean, $P = G$
    natural learning; a diagonal $P$ that ignores correlations of the inputs lies
    between. `spread` is $E[(w_i - w^*_i)^2]$ before learning.

    >>> fisher = jnp.asarray([[4.0, 2.0], [2.0, 4.0]])
    >>> start, end = metric_divergence(fisher, fisher, 0.1, 0.01, [0.0, 1e6])
    >>> print(f"{start:.1e} {end:.1e}")  # as the natural gradient
    2.0e-04 2.5e-06
    """
    scales, axes = eigh(metric)
    root = jnp.sqrt(scales)[None]
    half, back = axes * root @ axes.T, axes / root @ axes.T
    stiffness, modes = eigh(back @ fisher @ back)
    start = spread * jnp.sum((half @ modes) ** 2, axis=0)
    decay = jnp.exp(-2 * rate * jnp.outer(times, stiffness))
    return BIN / 2 * (start[None] * decay + rate / 2 * (1 - decay)) @ stiffness


@floating
def natural_divergence(
    here: Landscape, rate: Scalar, times: Float[Array, " t"]
) -> Float[Array, " t"]:
    r"""$A = I$, $N = G^{-1}$: all directions decay at $\eta$, to $\eta\, n\, dt/4$.

    >>> one = jnp.ones(2)  # tr G is 8
    >>> here = Landscape(one, one, jnp.asarray(2.0), jnp.asarray(0.1), jnp.asarray(0.0))
    >>> start, end = natural_divergence(here, 0.01, [0.0, 1e6])
    >>> print(f"{start:.1e} {end:.1e}")  # 5e-4 / 2 * 0.1 * 8; 0.01 * 2 * 5e-4 / 4
    2.0e-04 2.5e-06
    """
    decay = jnp.exp(-2 * rate * times)
    count = here.mean.size
    start = here.spread * fisher_trace(here)
    return BIN / 2 * (start * decay + rate * count / 2 * (1 - decay))


@floating
def approximate_divergence(
    here: Landscape, rate: Scalar, uniform: Scalar, times: Float[Array, " t"]
) -> Float[Array, " t"]:
    r"""The approximate rule with $c_w = 0$: $A = I + g\, eb^\top$, $g = 1 - c_u$.

    $e = \Sigma^{-1} b$, $N = [\Sigma^{-1} + g^2 ee^\top]/\bar c_1$, `uniform` being
    $c_u/\epsilon_0$. In units of $\Sigma^{1/2}$ all matrices are diagonal in the common
    mode $\Sigma^{-1/2} b$, which decays at $\kappa = 1 + gq$, and the rest (at 1).
    Unstable for $c_u > 1 + 1/q$.

    >>> one = jnp.ones(2)  # q is 2
    >>> here = Landscape(one, one, jnp.asarray(2.0), jnp.asarray(0.1), jnp.asarray(0.0))
    >>> start, end = approximate_divergence(here, 0.01, 1.0, [0.0, 1e6])
    >>> print(f"{start:.1e} {end:.1e}")  # 0.01 * (2 + q) * 5e-4 / 4
    2.0e-04 5.0e-06
    """
    b, variance, gap = here.mean, here.variance, 1 - uniform
    q = jnp.sum(b**2 / variance)
    stiff = 1 + gap * q
    common = here.spread * jnp.vdot(b, b) / q
    rest = here.spread * jnp.sum(variance) - common
    noise = rate**2 / here.curvature
    count = here.mean.size

    def mode(start: Scalar, forcing: Scalar, decay: Scalar) -> Float[Array, " t"]:
        exponent = -2 * rate * decay * times
        forced = forcing * times * relative_exponential(exponent)
        return start * jnp.exp(exponent) + forced

    soft = mode(rest, (count - 1) * noise, jnp.ones_like(q))
    hard = mode(common, (1 + gap**2 * q) * noise, stiff)
    return BIN / 2 * here.curvature * (soft + (1 + q) * hard)


@floating
def divergence_curve(
    config: Config, student: str, times: Float[Array, " t"]
) -> Float[Array, " t"]:
    r"""Expected divergence per bin of 0.5 ms at `times` (s) of one of `PREDICTED`.

    $\bar c_1$ is a mean over 500 teachers, to 1.2 to 1.9 % for the inputs of Table 1:
    `divergence_error` says how far that moves the curve.

    >>> curve = divergence_curve(Config(size=4), "natural", [0.0, 1e6])
    >>> print(f"{curve[1]:.1e}")  # rate n dt / 4: 0.002 * 4 * 5e-4 / 4
    1.0e-06
    """
    return _curve(landscape(config), config, student, times)


@floating
def divergence_error(
    config: Config, student: str, times: Float[Array, " t"]
) -> Float[Array, " t"]:
    """Standard error of `divergence_curve`: the theory knows 500 teachers only.

    >>> start, end = divergence_error(Config(size=4), "natural", [0.0, 1e6])
    >>> bool(start > 0), float(end)  # it settles at the same, whatever the teacher
    (True, 0.0)
    """
    here = landscape(config)
    curve = lambda x: _curve(here._replace(curvature=x), config, student, times)
    unit = jnp.ones_like(here.curvature)
    slope = jax.jvp(curve, (here.curvature,), (unit,))[1]
    return jnp.abs(slope) * here.curvature_error


def _curve(
    here: Landscape, config: Config, student: str, times: Float[Array, " t"]
) -> Float[Array, " t"]:
    one_of("student", student, PREDICTED)
    factor = config.rate_factor
    if student == "euclidean":
        return euclidean_divergence(here, factor * config.euclidean_rate, times)
    if student == "natural":
        return natural_divergence(here, factor * config.natural_rate, times)
    rate = factor * config.approximate_rate
    return approximate_divergence(here, rate, config.uniform, times)


@floating
@eqx.filter_jit
def time_to_threshold(
    config: Config, student: str, threshold: Scalar | float = THRESHOLD
) -> Scalar:
    """Seconds until the expected divergence first falls below `threshold`.

    Infinite if it does not within 10^6 s, 0 if it is below from the start. By
    bisection, then one Newton step, through which every hyper-parameter has its
    derivative. NaN where a parameter is.

    >>> config = Config(size=4)
    >>> threshold = divergence_curve(config, "natural", [100.0])[0]
    >>> print(f"{time_to_threshold(config, 'natural', threshold):.1f}")
    100.0
    """
    threshold = jnp.asarray(threshold, config.natural_rate.dtype)
    task = landscape(config), config
    frozen = jax.lax.stop_gradient(task)
    curve = lambda task, time: _curve(task[0], task[1], student, time[None])[0]
    grid = jnp.geomspace(1.0, 1e6, 400).astype(threshold.dtype)
    course = _curve(frozen[0], frozen[1], student, grid)
    below = course < threshold
    first = jnp.argmax(below)
    low = jnp.where(first == 0, 0.0, grid[jnp.maximum(first - 1, 0)])
    high = grid[first]

    def halve(_: int | Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        middle = (ends[0] + ends[1]) / 2
        above = curve(frozen, middle) > threshold
        return jnp.where(above, middle, ends[0]), jnp.where(above, ends[1], middle)

    low, high = jax.lax.fori_loop(0, 40, halve, (low, high))
    time = jax.lax.stop_gradient((low + high) / 2)
    slope = jax.lax.stop_gradient(jax.grad(lambda t: curve(frozen, t))(time))
    refined = time - (curve(task, time) - threshold) / slope
    at_once = curve(frozen, jnp.zeros_like(threshold)) < threshold
    found = jnp.where(jnp.any(below), refined, jnp.inf)
    found = jnp.where(at_once, 0.0, found)
    lost = jnp.isnan(threshold) | jnp.any(jnp.isnan(course))
    return jnp.where(lost, jnp.nan, found)
