r"""Laws of the long run where repair comes late or seldom, or noise has a memory.

As in `_compensation`: a quadratic loss, fluctuations of length $\delta$, repair of
length $r\delta$ along a noisy gradient, many weights. A direction of curvature
$\lambda$ is a linear process with the effective learning rate $\mu$, $k =
\mu\lambda$; what changes is its variance.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import check_range, concrete, floating, whole
from .._interfaces import Scalar
from ._compensation import _not_a_saddle, _repairing, gradient_parts, RATIOS
from ._flat import not_negative
from ._roots import root


Vector = Float[Array, " w"]


@floating
def delayed_variance(decay: Float[Array, "*#w"], delay: int) -> Float[Array, "*#w"]:
    r"""Variance of $c_{t+1} = c_t - k c_{t-\tau} + \epsilon_t$ over that of $\epsilon$.

    $\frac{1 + k \sin(\theta\tau)/\sin\theta}{k(2\cos(\theta\tau) - k)}$ with
    $2\sin(\theta/2) = k$ (`decay`); without delay $1/(k(2 - k))$. NaN where it is not
    stable, from $k = 2\sin\frac{\pi}{2(2\tau + 1)}$ on.

    >>> print([f"{delayed_variance(0.5, delay):.3f}" for delay in (0, 1, 9)])
    ['1.333', '2.400', 'nan']
    """
    steps = whole("delay", delay, 0)
    stable = (decay > 0) & (decay < 2 * math.sin(math.pi / (2 * (2 * steps + 1))))
    k = jnp.where(stable, decay, 0.1 / (1 + steps))
    angle = 2 * jnp.arcsin(k / 2)
    above = 1 + k * jnp.sin(angle * steps) / jnp.sin(angle)
    return jnp.where(stable, above / (k * (2 * jnp.cos(angle * steps) - k)), jnp.nan)


@floating
def coloured_variance(
    decay: Float[Array, "*#w"], correlation: Scalar
) -> Float[Array, "*#w"]:
    r"""Variance of $c_{t+1} = (1 - k) c_t + \epsilon_t$ over that of $\epsilon$.

    For fluctuations whose correlation falls as $a^{|t - t'|}$ (`correlation`):
    $\frac{1}{k(2 - k)} \frac{1 + (1 - k) a}{1 - (1 - k) a}$. NaN where not stable.

    >>> print([f"{coloured_variance(0.5, a):.3f}" for a in (0.0, 0.5)])
    ['1.333', '2.222']
    """
    stable = (decay > 0) & (decay < 2)
    k = jnp.where(stable, decay, 1)
    held = (1 - k) * _correlation(correlation)
    return jnp.where(stable, (1 + held) / (1 - held) / (k * (2 - k)), jnp.nan)


def _correlation(correlation: Scalar) -> Scalar:
    """The same, in [0, 1)."""
    if concrete(correlation) and not jnp.isnan(correlation):
        check_range("correlation", correlation, 0.0, 1.0)
    return jnp.where((correlation >= 0) & (correlation < 1), correlation, jnp.nan)


@floating
def lagged_loss(
    eigenvalues: Vector,
    ratio: Scalar,
    fluctuation: Scalar,
    corruption: Scalar,
    *,
    delay: int = 0,
    every: int = 1,
    correlation: Scalar | float = 0.0,
) -> Scalar:
    r"""Steady-state error where repair comes late or seldom, or noise has a memory.

    One of three: the gradient of repair is `delay` steps old; repair comes with `every`
    $k$-th step only; the fluctuations' direction keeps `correlation` $a$ from step to
    step. As in `steady_state`, $\gamma_1^2 = \sum_i s_i^2 k_i^2 V(k_i)$ is solved for
    $\mu$ and the error is $\frac12 \sum_i \lambda_i s_i^2 V(k_i)$. The variance $V$ is
    `delayed_variance`, for coloured fluctuations `coloured_variance`. With `every` the
    fluctuations add up, $\delta^2 \to k\delta^2$, and the mean over time is
    $\frac{k - 1}{4} \delta^2\,\mathrm{Tr}H/N$ below what repair finds. Raises
    `ValueError` for two of the three, and as `steady_state` does.

    >>> print(f"{lagged_loss([2.0, 2.0], 1.0, 0.1, 0.0):.3f}")
    0.010
    >>> print(f"{lagged_loss([2.0, 2.0], 2.0, 0.1, 0.0, every=4):.3f}")
    0.025
    """
    fluctuation = not_negative("fluctuation", fluctuation)
    ratio, idle = _repairing(not_negative("ratio", ratio))
    corruption = not_negative("corruption", corruption)
    eigenvalues = _not_a_saddle(eigenvalues)
    memory = _correlation(jnp.asarray(correlation, eigenvalues.dtype))
    late, pause = _one_of(delay, every, correlation)
    loss = _lagged(eigenvalues, ratio, corruption, memory, late, pause)
    return jnp.where(idle, jnp.inf, fluctuation**2 * loss)


def _one_of(delay: int, every: int, correlation: Scalar | float) -> tuple[int, int]:
    """Delay and interval; `ValueError` where two of the three are given."""
    late, pause = whole("delay", delay, 0), whole("every", every, 1)
    coloured = not concrete(correlation) or float(correlation) != 0
    if (late > 0) + (pause > 1) + coloured > 1:
        raise ValueError(
            "give one of `delay`, `every` and `correlation`; got "
            f"{late}, {pause} and {correlation}."
        )
    return late, pause


@partial(jax.jit, static_argnames=("delay", "every"))
def _lagged(
    eigenvalues: Vector,
    ratio: Scalar,
    corruption: Scalar,
    correlation: Scalar,
    delay: int,
    every: int,
) -> Scalar:
    """The error at fluctuations of length 1."""
    count, active = len(eigenvalues), eigenvalues > 0
    largest = jnp.max(eigenvalues)
    values = jnp.where(active, eigenvalues, largest)
    clean, noise = gradient_parts(ratio, 1.0, corruption)  # pyright: ignore[reportArgumentType]

    def variances(step: Scalar) -> Vector:
        decay = step * values
        own = delayed_variance(decay, delay)
        driven = coloured_variance(decay, correlation) if not delay else own
        return jnp.where(active, (every * driven + noise**2 * own) / count, 0)

    def excess(step: Scalar) -> Scalar:
        return jnp.sum((step * values) ** 2 * variances(step)) - clean**2

    most = 2 * math.sin(math.pi / (2 * (2 * delay + 1))) / largest
    step = root(excess, jnp.zeros_like(most), most)
    after = jnp.sum(values * variances(step)) / 2
    return after - (every - 1) / 4 * jnp.sum(eigenvalues) / count


@floating
def lagged_ratio(
    eigenvalues: Vector,
    corruption: Scalar,
    *,
    delay: int = 0,
    every: int = 1,
    correlation: Scalar | float = 0.0,
) -> Scalar:
    r"""The fixed ratio of least `lagged_loss`, between 0.001 and 10; NaN if none is.

    With `every` it is $\sqrt k$ times `best_ratio`.

    >>> print(f"{lagged_ratio([2.0, 2.0], 0.0, every=4):.3f}")
    2.000
    """
    eigenvalues = _not_a_saddle(eigenvalues)
    corruption = not_negative("corruption", corruption)
    memory = _correlation(jnp.asarray(correlation, eigenvalues.dtype))
    late, pause = _one_of(delay, every, correlation)
    return _lowest(eigenvalues, corruption, memory, late, pause)


@partial(jax.jit, static_argnames=("delay", "every"))
def _lowest(
    eigenvalues: Vector, corruption: Scalar, correlation: Scalar, delay: int, every: int
) -> Scalar:
    def slope(log: Scalar) -> Scalar:
        options = corruption, correlation, delay, every
        return jax.grad(lambda x: _lagged(eigenvalues, jnp.exp(x), *options))(log)

    low, high = (jnp.log(jnp.asarray(x, eigenvalues.dtype)) for x in RATIOS)
    inside = (slope(low) < 0) & (slope(high) > 0)
    return jnp.where(inside, jnp.exp(root(slope, low, high)), jnp.nan)
