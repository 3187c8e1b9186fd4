r"""Whether sizes are running means, from how their changes are correlated.

Changes of a raw diffusion with measurement noise are correlated negatively at lag 1,
hardly beyond. Of a running mean over $m$ samples of one, the changes over a sample are
those over $m$, divided by $m$; without return to a mean they correlate as
$\rho_k = p(m - k)/m$ below $m$, $\rho_m = -(1 - p)/2$ and 0 beyond, $p$ being the share
of the diffusion, not the noise, in the variance of a change over $m$.
"""

from functools import partial
from typing import NamedTuple, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._arguments import whole
from ._table import Table


class Smoothing(NamedTuple):
    """How changes from one time to the next are correlated, and what that looks like.

    Correlations at lags 1, 2, ... with the standard errors that they have if there are
    none; `window`: over how many samples a running mean was taken, 1 if it seems none.

    >>> found = smoothed(kaufman_2012())
    >>> int(found.window), bool(found.correlations[0] > 3 * found.errors[0])
    (5, True)
    """

    window: Int[Array, ""]
    correlations: Float[Array, " lag"]
    errors: Float[Array, " lag"]


def smoothed(table: Table, lags: SupportsIndex | None = None) -> Smoothing:
    r"""The correlations of changes, up to `lags`, and the running mean that they tell.

    `lags` is half of the times, at most 24, unless given; a longer window is not
    found. A window is told where the correlation at lag 1 is above 3 standard errors
    (also above $3/\sqrt N$ of $N$ pairs); it is the one that $\rho_k$ fits best, by
    least squares. Pairs with a gap are left out. Correlations are of sample after
    sample, whatever the intervals. Works on traced sizes. Raises `ValueError` for more
    lags than there are times.

    >>> found = smoothed(kaufman_2012(), lags=8)
    >>> correlated = found.correlations > 3 * found.errors
    >>> print(correlated[:3], int(found.window))
    [ True  True  True] 5
    """
    samples = table.sizes.shape[1]
    default = min(max(samples // 2, 1), 24)
    count = default if lags is None else whole("lags", lags, 1)
    if count > samples - 2 and lags is not None:
        raise ValueError(
            f"`lags` must be at most {samples - 2} of {samples} times; got {count}."
        )
    return _smoothed(table.sizes, min(count, max(samples - 2, 1)))


def window_of(table: Table) -> int:
    """Over how many samples sizes seem to be running means, by `smoothed`; 1 if raw.

    >>> window_of(kaufman_2012()), window_of(kaufman_2012().thinned(5))
    (5, 1)
    """
    return int(smoothed(table).window)


@eqx.filter_jit
def _smoothed(sizes: Float[Array, "synapse time"], lags: int) -> Smoothing:
    changes = jnp.diff(sizes, axis=1)
    there = ~jnp.isnan(changes)
    changes = jnp.where(there, changes - jnp.nanmean(changes), 0)
    count = partial(jnp.sum, dtype=sizes.dtype)
    variance = jnp.sum(changes**2) / count(there)
    place = jnp.arange(changes.shape[1])[None]

    def at(lag: Int[Array, ""]) -> tuple[Array, Array]:
        later = lambda x: jnp.roll(x, -lag, axis=1)
        pairs = there & later(there) & (place < place.size - lag)
        products = jnp.where(pairs, changes * later(changes), 0)
        spread = jnp.maximum(jnp.sum(products**2), variance**2 * count(pairs))
        scale = count(pairs) * variance
        return jnp.sum(products) / scale, jnp.sqrt(spread) / scale

    correlations, errors = jax.lax.map(at, jnp.arange(1, lags + 1))
    return Smoothing(_window(correlations, errors), correlations, errors)


def _window(
    correlations: Float[Array, " lag"], errors: Float[Array, " lag"]
) -> Int[Array, ""]:
    r"""The $m$ whose $\rho_k$ are nearest; each is a straight line in $p$."""
    count = len(correlations)
    m, k = (np.arange(1, count + 1)[x] for x in (np.s_[:, None], np.s_[None, :]))
    start, slope = np.where(k == m, -0.5, 0), np.where(k < m, 1 - k / m, 0.5 * (k == m))
    start, slope = (jnp.asarray(x, correlations.dtype) for x in (start, slope))
    weights = jnp.where(jnp.isfinite(errors), 1 / errors**2, 0)[None]
    apart = jnp.where(weights > 0, correlations[None] - start, 0)
    share = jnp.sum(weights * slope * apart, 1) / jnp.sum(weights * slope**2, 1)
    share = jnp.clip(share, 0, 1)[:, None]
    misfit = jnp.sum(weights * (apart - share * slope) ** 2, axis=1)
    found = 1 + jnp.argmin(misfit)
    return jnp.where(correlations[0] > 3 * errors[0], found, 1)
