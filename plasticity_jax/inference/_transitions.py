"""Mean and variance of a diffusion some time later, exact or by expansion."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._interfaces import Scalar


Moments = tuple[Scalar, Scalar]
Moved = tuple[Scalar, Scalar, Scalar]  # mean, its slope by the mean before, variance
Function = Callable[[Scalar], Scalar]

NEAR, NODES = 4.0, 12  # below it by quadrature, to rounding
CLOSE = 1e-4  # below it by four terms of a series, to rounding


class Quadratic(NamedTuple):
    """A mean linear in the state, a variance quadratic in it."""

    offset: Scalar
    slope: Scalar
    constant: Scalar
    linear: Scalar
    square: Scalar

    def move(self, mean: Scalar, variance: Scalar) -> Moved:
        """From a state of such mean and variance; exact whatever its law."""
        added = (self.square * mean + self.linear) * mean + self.constant
        variance = (self.slope**2 + self.square) * variance + added
        return self.slope * mean + self.offset, self.slope, variance


def reverting(
    dt: Scalar, mean: Scalar, time_constant: Scalar, diffusion: Scalar
) -> Quadratic:
    r"""$dx = \frac{\mu - x}\tau dt + \sigma dW$ (Ornstein-Uhlenbeck), exact."""
    passed, zero = dt / time_constant, jnp.zeros_like(dt)
    variance = -(diffusion**2) * time_constant / 2 * jnp.expm1(-2 * passed)
    offset = -mean * jnp.expm1(-passed)
    return Quadratic(offset, jnp.exp(-passed), variance, zero, zero)


def pearson(
    dt: Scalar,
    growth: Scalar,
    decay: Scalar,
    square: Scalar,
    linear: Scalar,
    constant: Scalar,
) -> Quadratic:
    r"""$dw = (b - aw)dt + \sqrt{Aw^2 + Bw + C}\,dW$: the exact two moments.

    With $d = b - aw$, $D = Aw^2 + Bw + C$, $g = 2d + 2Aw + B$, $k = 2a - A$ and
    $\phi_k = (1 - e^{-kt})/k$ the mean is $w + d\phi_a$ and the variance $D\phi_k +
    g\,d\,\frac1a[\phi_k - e^{-at}\phi_{k-a}] - (d\phi_a)^2$, at any $a$ and $k$.
    """
    once, twice = -decay * dt, (square - 2 * decay) * dt
    moved, spread = dt * _mean_exp(once), dt * _mean_exp(twice)
    bent, moved_2 = dt**2 * _second_exp(once, twice), moved**2
    steep, flat = 2 * (square - decay), 2 * growth + linear  # g = steep w + flat
    return Quadratic(
        growth * moved,
        1 - decay * moved,
        constant * spread + growth * (flat * bent - growth * moved_2),
        linear * spread
        + (growth * steep - decay * flat) * bent
        + 2 * growth * decay * moved_2,
        square * spread - decay * (steep * bent + decay * moved_2),
    )


def expanded(w: Scalar, dt: Scalar, drift: Function, diffusion: Function) -> Moments:
    r"""$dw = f(w)dt + g(w)dW$ to second order in $dt$ (Ito-Taylor).

    $w + f\,dt + (ff' + \frac12Gf'')\frac{dt^2}2$ and $G\,dt + (fG' + \frac12GG'' +
    2Gf')\frac{dt^2}2$ with $G = g^2$.
    """
    f, f1, f2 = _derivatives(drift, w)
    g, g1, g2 = _derivatives(lambda w: diffusion(w) ** 2, w)
    mean = w + f * dt + (f * f1 + g * f2 / 2) * dt**2 / 2
    return mean, g * dt + (f * g1 + g * g2 / 2 + 2 * g * f1) * dt**2 / 2


def _derivatives(function: Function, w: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    one = jnp.ones_like(w)
    first = lambda w: jax.jvp(function, (w,), (one,))
    (value, slope), (_, curvature) = jax.jvp(first, (w,), (one,))
    return value, slope, curvature


def _mean_exp(x: Scalar) -> Scalar:
    """$(e^x - 1)/x$, the mean of the exponential between 0 and $x$."""
    near = jnp.abs(x) < NEAR
    small, large = jnp.where(near, x, 0), jnp.where(near, 1, x)
    nodes, weights = _rule(x)
    mean = jnp.sum(weights * jnp.exp(small * nodes))
    return jnp.where(near, mean, jnp.expm1(large) / large)


def _second_exp(x: Scalar, y: Scalar) -> Scalar:
    """The divided difference of the exponential at 0, $x$, $y$: half its mean there."""
    near = jnp.maximum(jnp.abs(x), jnp.abs(y)) < NEAR
    p, q = jnp.where(near, x, 0), jnp.where(near, y, 0)
    nodes, weights = _rule(x)
    rest = 1 - nodes
    inside = jnp.exp(p * nodes[:, None] + q * jnp.outer(rest, nodes))
    mean = (weights * rest) @ inside @ weights
    ordered = jnp.abs(x) < jnp.abs(y)
    less, more = jnp.where(ordered, x, y), jnp.where(ordered, y, x)
    more = jnp.where(near, 1, more)
    between = jnp.exp(less) * _mean_exp(more - less)
    return jnp.where(near, mean, (between - _mean_exp(less)) / more)


def _rule(x: Scalar) -> tuple[Array, Array]:
    """Nodes and weights of Gauss and Legendre between 0 and 1."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return jnp.asarray((1 + nodes) / 2, x.dtype), jnp.asarray(weights / 2, x.dtype)


def raised(logs: Array, exponent: Scalar) -> Array:
    r"""$(w^\lambda - 1)/\lambda$ of $\log w$; $\log w$ at 0."""
    near = jnp.abs(exponent) < CLOSE
    x = jnp.where(near, exponent, 0) * logs
    series = logs * (1 + x / 2 * (1 + x / 3 * (1 + x / 4)))
    far = jnp.where(near, 1, exponent)
    return jnp.where(near, series, jnp.expm1(far * logs) / far)


def lowered(x: Array, exponent: Scalar) -> Array:
    r"""$\log|1 + \lambda x|/\lambda$; $x$ at 0."""
    near = jnp.abs(exponent) < CLOSE
    y = jnp.where(near, exponent, 0) * x
    series = x * (1 - y / 2 + y**2 / 3 - y**3 / 4)
    far = jnp.where(near, 1, exponent)
    y = far * x
    y = jnp.where(y < -1, -2 - y, y)
    return jnp.where(near, series, jnp.log1p(y) / far)
