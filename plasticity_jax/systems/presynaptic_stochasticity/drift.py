r"""Beyond the paper: strengths that drift and fluctuate where release is unreliable.

`rules.Unreliable` makes any drift proportional to $1 - p$, and the variance of noise.
"""

import jax.numpy as jnp

from ..._arguments import floating, not_negative
from ..._arguments import probability as unit_interval
from ...numerics import masked
from .theory import Number, Values


@floating
def retained(probability: Values, rate: Number, steps: Number) -> Values:
    r"""$(1 - \eta(1 - p))^t$: what a drift scaled by $1 - p$ leaves of a change.

    `rate` $\eta$ is that of one step at $p = 0$: of decay, or of learning or
    compensation times their curvature. Times of retention grow as $1/(1 - p)$.

    >>> retained(jnp.asarray([0.0, 0.9]), 0.1, 10)
    Array([0.348..., 0.904...], ...)
    """
    share = _share(probability, rate)
    return (1 - share) ** not_negative("steps", steps)


@floating
def drift_variance(
    probability: Values, noise: Number, rate: Number, steps: Number
) -> Values:
    r"""Variance of strengths under noise of $\sigma^2(1 - p)$ a step and that drift.

    $\sigma^2(1 - p)\frac{1 - a^{2t}}{1 - a^2}$, $a = 1 - \eta(1 - p)$, from none:
    first $\sigma^2(1 - p)t$, in the end $\sigma^2/[\eta(2 - \eta(1 - p))]$, which
    hardly depends on $p$. A reliable synapse fluctuates as far, later.

    >>> drift_variance(jnp.asarray([0.0, 0.9, 1.0]), 1.0, 0.1, 1000)
    Array([5.263..., 5.025..., 0.        ], ...)
    """
    share = _share(probability, rate)
    steps = not_negative("steps", steps)
    left, still = share * (2 - share), share == 0  # 1 - a^2
    safe = jnp.where(still, 0.5, left)
    some = -jnp.expm1(masked(steps, jnp.log1p(-safe))) / safe
    none = steps * (1 - (steps - 1) * left / 2)  # and its slope
    return noise**2 * (1 - probability) * jnp.where(still, none, some)


def _share(probability: Values, rate: Number) -> Values:
    probability = unit_interval("probability", probability)
    rate = unit_interval("rate", rate)
    return rate * (1 - probability)
