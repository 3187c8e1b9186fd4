r"""What recordings of synaptic weights over time say about the factors behind them.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122, Figures 5 and 6.
One volatile factor of $z$ makes changes grow as $w^{1-1/z}$; homeostasis of the factors
holds the norm of exponent $q = 2/z$. `weights` are (synapse, sample), not negative; a
weight of 0 is a dead synapse. A synapse that is lost to NaN is not dead: what is made
of it is NaN. Raises `ValueError` for shapes that do not fit each other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ... import Scalar
from ..._arguments import (
    check_positive_semidefinite,
    concrete,
    floating,
    not_negative,
    positive,
    whole,
)
from ...numerics import extent, power
from .domains import unless_lost


Weights = Float[Array, "synapse sample"]
Points = Float[Array, " point"]
Pairs = Float[Array, " pair"]
Exponents = Float[Array, " exponent"]
Curves = Float[Array, "*batch exponent"]
SIGNS = ("growing", "shrinking")
POPULATIONS = ("per synapse", "all", "survivors")


# --- changes against weights ----------------------------------------------------------


class Scaling(NamedTuple):
    r"""How changes grow with the weight: the log-log `slope`, and the averages.

    `weight` and `size` (point,) are evenly spaced points of the moving average of
    $|\Delta w|$ over sorted weights.

    >>> before = jnp.arange(1.0, 401.0)
    >>> found = scaling(before, 0.1 * before, 1, points=3)
    >>> print(np.asarray(found.size / found.weight).round(1))
    [0.1 0.1 0.1]
    """

    slope: Scalar
    weight: Points
    size: Points


@floating
def increments(weights: Weights, lag: int) -> tuple[Pairs, Pairs]:
    """Weights, and their changes over the next `lag` samples, from every start.

    These are all pairs of samples `lag` apart; the published code collects the same
    ones by strides from each offset. Raises `ValueError` unless `lag` fits.

    >>> before, change = increments([[1.0, 2.0, 4.0], [3.0, 3.0, 1.0]], 2)
    >>> before.tolist(), change.tolist()
    ([1.0, 3.0], [3.0, -2.0])
    """
    lag = whole("lag", lag)
    if not 1 <= lag < weights.shape[1]:
        raise ValueError(
            f"`lag` must lie between 1 and {weights.shape[1] - 1} samples; got {lag}."
        )
    before, after = weights[:, :-lag], weights[:, lag:]
    return jnp.ravel(before), jnp.ravel(after - before)


@floating
def scaling(before: Pairs, change: Pairs, sign: int, points: int = 24) -> Scaling:
    r"""Regress $\log|\Delta w|$ on $\log w$ for changes of one `sign` (1 or -1).

    Changes are sorted by the weight before them and averaged over a moving window of a
    twentieth of them, at least 10; full windows only, each at the weight in its middle.
    No change and dead synapses do not count. NaN with too few changes. Raises
    `ValueError` for another sign.

    >>> before = jnp.arange(1.0, 401.0)
    >>> found = scaling(before, 0.1 * jnp.sqrt(before), 1)
    >>> print(f"{found.slope:.1f}")  # as of two factors
    0.5
    """
    if sign not in (1, -1):
        raise ValueError(f"`sign` must be 1 or -1; got {sign}.")
    points, before = whole("points", points, 1), not_negative("before", before)
    counts = (sign * change > 0) & (before > 0)
    order = jnp.argsort(jnp.where(counts, before, jnp.inf))
    weight = before[order]
    size = jnp.where(counts, jnp.abs(change), 0.0)[order]
    number = jnp.sum(counts.astype(before.dtype))
    width = jnp.maximum(jnp.round(number / 20), 10).astype(jnp.int32)
    total = number.astype(jnp.int32)

    index = jnp.arange(len(before), dtype=jnp.int32)
    full = index <= total - width
    end = jnp.where(full, index + width, 0)
    summed = jnp.concatenate([jnp.zeros_like(size[:1]), jnp.cumsum(size)])
    window = jnp.where(full, summed[end] - summed[:-1], 1.0)
    x = jnp.where(full, weight[jnp.where(full, index + width // 2, 0)], 1.0)
    y = window / width.astype(before.dtype)
    slope, _ = line(jnp.log(x), jnp.where(full, jnp.log(y), 0.0), full)

    last = jnp.maximum(total - width, 0).astype(before.dtype)
    chosen = jnp.linspace(0.0, 1.0, points, dtype=before.dtype) * last
    chosen = chosen.astype(jnp.int32)
    found = Scaling(slope, x[chosen], y[chosen])
    return unless_lost(found, before, change)


@floating
def line(x: Points, y: Points, counts: Bool[Array, " point"]) -> tuple[Scalar, Scalar]:
    """Slope and intercept of y on x: least squares over the points that count.

    >>> counts = jnp.asarray([True, True, False])
    >>> slope, intercept = line([0.0, 1.0, 2.0], [1.0, 3.0, 99.0], counts)
    >>> print(f"{slope:.1f} {intercept:.1f}")
    2.0 1.0
    """
    x, y = (jnp.where(counts, values, 0.0) for values in (x, y))
    share = counts.astype(x.dtype)
    share = share / jnp.sum(share)
    centre, mean = jnp.sum(share * x), jnp.sum(share * y)
    away = share * (x - centre)
    slope = jnp.sum(away * y) / jnp.sum(away * x)
    return slope, mean - slope * centre


@floating
def slopes(weights: Weights, lag: int) -> Float[Array, " sign"]:
    """`scaling` of growing and of shrinking weights: the slopes alone.

    >>> weights = jnp.arange(1.0, 201.0)[:, None]
    >>> course = weights * jnp.asarray([[1.0, 1.5, 1.2]])  # up by half, then down
    >>> print(np.asarray(slopes(course, 1)).round(1))  # in proportion
    [1. 1.]
    """
    pairs = increments(weights, lag)
    return jnp.stack([scaling(*pairs, sign).slope for sign in (1, -1)])


@floating
def in_random_order(weights: Weights, key: Key[Array, ""]) -> Weights:
    """Every synapse's samples in a random order of its own: no process is left.

    >>> weights = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> jnp.sort(in_random_order(weights, jr.key(0)), axis=1).tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    """
    return jr.permutation(key, weights, axis=1, independent=True)


# --- variation of norms over time -----------------------------------------------------


def exponents() -> Exponents:
    """The exponents $q$ of the published figure: 0.1 to 4.4 in steps of 0.1.

    >>> q = exponents()
    >>> print(len(q), f"{q[0]:.1f} {q[-1]:.1f}")
    44 0.1 4.4
    """
    return jnp.arange(1.0, 45.0) / 10


@floating
def variations(weights: Weights, q: Exponents) -> Float[Array, "population exponent"]:
    r"""Coefficient of variation over time of $\|w\|_q$, a row for each population.

    `per synapse`: $\langle w^q\rangle^{1/q}$ over those alive at the time; `all`:
    $(\sum w^q)^{1/q}$; `survivors`: the same over synapses alive at the last sample, as
    published, which mixes in how a dying population drifts.

    >>> weights = [[1.0, 2.0], [3.0, 2.0]]  # their sum stands still
    >>> print(np.asarray(variations(weights, [1.0, 2.0])[1]).round(3))
    [0.    0.056]
    """
    q, weights = positive("q", q), not_negative("weights", weights)
    powers, alive = _powers(weights, q), (weights > 0).astype(weights.dtype)
    living = jnp.sum(alive, axis=0)[None]
    survives = alive[:, -1:]
    sums = jnp.sum(powers, axis=1)
    each = sums / living, sums, jnp.sum(powers * survives[None], axis=1)
    return jnp.stack([_variation(x, q) for x in each])


@floating
def resampled_variations(
    weights: Weights, q: Exponents, draws: int, key: Key[Array, ""]
) -> Float[Array, "draw exponent"]:
    r"""The variation `per synapse` with synapses drawn anew at every sample.

    What remains is sampling noise: the curve follows the distribution of weights rather
    than homeostasis. One draw serves all exponents; the published bootstrap draws anew
    for each, which adds noise to every curve.

    >>> weights = jnp.ones((3, 4))  # all alike: drawing others changes nothing
    >>> resampled_variations(weights, [1.0, 2.0], 2, jr.key(0)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    draws = whole("draws", draws, 1)
    q, weights = positive("q", q), not_negative("weights", weights)
    synapses, samples = weights.shape
    powers, alive = _powers(weights, q), (weights > 0).astype(weights.dtype)

    def draw(key: Key[Array, ""]) -> Exponents:
        chosen = jr.randint(key, (samples, synapses), 0, synapses)
        count = lambda row: jnp.bincount(row, length=synapses).astype(weights.dtype)
        times = jax.vmap(count)(chosen).T
        sums = jnp.einsum("qst,st->qt", powers, times)
        return _variation(sums / jnp.sum(times * alive, axis=0)[None], q)

    return jax.lax.map(draw, jr.split(key, draws))


def _powers(weights: Weights, q: Exponents) -> Float[Array, "exponent synapse sample"]:
    """$w^q$, and 0 for the dead."""
    dead = weights <= 0  # false of NaN
    logs = jnp.log(jnp.where(dead, 1.0, weights))
    return jnp.where(dead[None], 0.0, jnp.exp(q[:, None, None] * logs[None]))


def _variation(powers: Float[Array, "exponent sample"], q: Exponents) -> Exponents:
    """Standard deviation over mean of the norms made of these sums of powers."""
    root = (1 / q)[:, None]
    norms = power(powers / extent(powers, root), root)
    return jnp.std(norms, axis=1) / jnp.mean(norms, axis=1)


@floating
def least(variation: Curves, q: Exponents) -> Array:
    """The exponent at which the norm varies least; NaN if that is not known.

    >>> float(least([0.3, 0.1, 0.2], [0.5, 1.0, 2.0]))
    1.0
    """
    lost = jnp.any(jnp.isnan(variation), axis=-1)
    return jnp.where(lost, jnp.nan, q[jnp.argmin(variation, axis=-1)])


@floating
def shape(variation: Curves) -> Curves:
    """Each curve from 0 at its least to 1 at its largest value.

    >>> shape([2.0, 1.0, 3.0]).tolist()
    [0.5, 0.0, 1.0]
    """
    low = jnp.min(variation, axis=-1, keepdims=True)
    return (variation - low) / (jnp.max(variation, axis=-1, keepdims=True) - low)


@floating
def explained(
    curve: Curves, curves: Float[Array, "draw exponent"]
) -> Float[Array, "*batch"]:
    """Share of the variance of many `curves` that one `curve` explains, at most 1.

    Negative where the mean of all their values would do better.

    >>> curves = [[0.0, 1.0], [0.0, 1.0]]
    >>> explained([[0.0, 1.0], [0.5, 0.5]], curves).tolist()  # all, nothing
    [1.0, 0.0]
    """
    centre, spread = jnp.mean(curves, axis=0), jnp.mean(jnp.var(curves, axis=0))
    missed = jnp.mean((curve - jnp.broadcast_to(centre, curve.shape)) ** 2, axis=-1)
    return 1 - (missed + spread) / jnp.var(curves)


# --- how many factors -----------------------------------------------------------------


class Fit(NamedTuple):
    r"""How many factors fit: posterior `mean` and `deviation` of $z$, and the misfit.

    `misfit` is the least $\chi^2$ over the grid of orders.

    >>> expected = [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
    >>> fit = fit_order([2.0, 3.0], jnp.eye(2), [1.0, 2.0, 3.0, 4.0], expected)
    >>> print(f"{fit.mean:.2f} {fit.misfit:.2f}")  # between the two statistics
    2.50 0.50
    """

    mean: Scalar
    deviation: Scalar
    misfit: Scalar


@floating
def fit_order(
    observed: Float[Array, " statistic"],
    covariance: Float[Array, "statistic statistic"],
    orders: Float[Array, " order"],
    expected: Float[Array, "order statistic"],
    points: int = 801,
) -> Fit:
    r"""The number of factors from Gaussian statistics: a posterior on a grid.

    Flat prior between the first and the last of `orders`, which increase; `expected`
    statistics of each are interpolated linearly between them. `covariance` is that of
    `observed` about them. Raises `ValueError` unless `orders` increase and `covariance`
    is symmetric and positive semidefinite.

    >>> expected = [[1.0], [2.0], [3.0], [4.0]]
    >>> fit = fit_order([2.5], [[0.01]], [1.0, 2.0, 3.0, 4.0], expected)
    >>> print(f"{fit.mean:.2f} {fit.deviation:.2f}")
    2.50 0.10
    """
    if concrete(orders) and not np.all(np.diff(np.asarray(orders)) > 0):
        raise ValueError(f"`orders` must increase; got {orders}.")
    check_positive_semidefinite("covariance", covariance)
    points = whole("points", points, 2)
    fine = jnp.linspace(orders[0], orders[-1], points)
    law = jax.vmap(lambda row: jnp.interp(fine, orders, row))(expected.T)
    away = observed[:, None] - law
    square = jnp.sum(away * jnp.linalg.solve(covariance, away), axis=0)
    weight = jax.nn.softmax(-square / 2)
    mean = jnp.sum(weight * fine)
    deviation = jnp.sqrt(jnp.sum(weight * (fine - mean) ** 2))
    return Fit(mean, deviation, jnp.min(square))
