r"""Where release comes to rest: fixed points of the plastic rule in small steps.

Of a synapse as in `chain`, of mean slope 0: its drift $(1 - p)[(p_{up} +
p_{down})a(p) - p_{down}]$ vanishes where $a(p) = p\,\mathrm{erfc}(pg_{lim}/
\sigma\sqrt2)$ is `chain.zero_drift`, the `neutral` share of steps up $a_0$. With $F =
\sigma^2$, $x = F/g_{lim}^2$ and $u = p/\sqrt{2x}$ that is $u\,\mathrm{erfc}(u) =
a_0/\sqrt{2x}$: two solutions, or none. From the lower one, a barrier, $p$ is driven
away, at the upper one it rests. Both below 1 need $a_0 < 0.45$: steps of one size up
and down, as published, have no graded rest; synapses end at the bottom or freeze.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import floating, not_negative, real, require
from ..._arguments import probability as unit_interval
from ...numerics import ratio, root
from ...synapses import log_failure_of
from .theory import Number, Values


TOP = 0.5315968851493932  # u erfc(u) is largest here: erfc(u) = 2u exp(-u^2)/sqrt(pi)
FAR = 27.0  # erfc is 0 beyond, in double precision


@floating
def release_roots(information: Values, neutral: Number) -> tuple[Values, Values]:
    r"""The barrier and the rest of $p$ at $F/g_{lim}^2$; NaN where there are none.

    Without regard to the bounds of $p$: a rest above 1 is none, infinite without steps
    down or of infinite information.

    >>> release_roots(jnp.asarray([0.01, 0.2]), 0.05)
    (Array([...nan, 0.0554...], ...), Array([...nan, 0.8435...], ...))
    """
    width = root(2 * not_negative("information", information))
    neutral = unit_interval("neutral", neutral)
    wanted = ratio(neutral, width, jnp.inf)
    there = wanted <= TOP * math.erfc(TOP)
    ends = there & (wanted > 0)
    low = _root(0.0, jnp.where(there, wanted, 0.1))
    rest = jnp.where(ends, width * _root(FAR, jnp.where(ends, wanted, 0.1)), jnp.inf)
    barrier = neutral / erfc(low)
    return jnp.where(there, barrier, jnp.nan), jnp.where(there, rest, jnp.nan)


def _root(end: float, wanted: Array) -> Array:
    r"""Where $u\,\mathrm{erfc}(u)$ is wanted, between `end` and its largest value."""
    value = lambda u: u * erfc(u)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        below, above = ends
        middle = (below + above) / 2
        short = value(middle) < wanted
        return jnp.where(short, middle, below), jnp.where(short, above, middle)

    first = jnp.full_like(wanted, end), jnp.full_like(wanted, TOP)
    ends = jax.lax.fori_loop(0, 60, halve, first)
    u = jax.lax.stop_gradient((ends[0] + ends[1]) / 2)
    slope = erfc(u) - 2 * u * jnp.exp(-(u**2)) / math.sqrt(math.pi)
    return u - (value(u) - wanted) / slope  # Newton's step has the slope of the root


@floating
def resting_release(information: Values, neutral: Number, low: Number) -> Values:
    r"""Where $p$ ends that begins at its lower bound: there, at rest, or at 1.

    The plastic rule in small steps, without freezing, at $F/g_{lim}^2$.

    >>> resting_release(jnp.asarray([0.05, 0.2, 9.0]), 0.05, 0.25)
    Array([0.3152..., 0.8435..., 1.        ], ...)
    """
    low = unit_interval("low", low)
    neutral = unit_interval("neutral", neutral)
    information = not_negative("information", information)
    _, rest = release_roots(information, neutral)
    lost = jnp.isnan(information) | jnp.isnan(neutral) | jnp.isnan(low)
    climbs = low * erfc(ratio(low, root(2 * information), jnp.inf)) > neutral
    higher = jnp.where(climbs & (rest > low), jnp.minimum(rest, 1.0), low)
    return jnp.where(lost, jnp.nan, higher)


class RestingCode(eqx.Module):
    r"""The `code` by which `rules.FisherRelease` goes where `ReleasePlasticity` rests.

    Its `scale` is then $g_{lim}^2$, and its information that of a slope as the rule
    sees it, such as a batch's.

    >>> code = RestingCode(neutral=0.05, low=0.25)
    >>> 1 - jnp.exp(code(jnp.asarray([0.05, 0.2])))
    Array([0.3152..., 0.8435...], ...)
    """

    neutral: Scalar = eqx.field(converter=real)
    low: Scalar = eqx.field(default=0.25, converter=real)

    def __check_init__(self) -> None:
        require(self, neutral=(0.0, 1.0), low=(0.0, 1.0))

    def __call__(self, information: Float[Array, "..."]) -> Float[Array, "..."]:
        return log_failure_of(resting_release(information, self.neutral, self.low))
