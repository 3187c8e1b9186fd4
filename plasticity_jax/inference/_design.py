"""What an experiment would tell before it is made: expected Fisher information."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._arguments import positive, whole
from ._domain import REAL, Space, Vector
from ._estimates import covariance_of
from ._fit import scattered, Simulate
from ._objective import LogLikelihood, Matrix, Objective


Moments = Callable[[Any], tuple[Float[Array, " n"], Float[Array, "n n"]]]


def expected_information(
    log_likelihood: LogLikelihood,
    params: PyTree,
    simulate: Simulate,
    key: Key[Array, ""],
    *,
    domain: PyTree = REAL,
    draws: SupportsIndex = 100,
) -> Matrix:
    r"""The Fisher matrix $\mathrm E\sum_i s_is_i^\top$ of data yet to be taken, drawn.

    `simulate(params, key)` draws them, $s_i$ are the scores of their units, by the
    free coordinates of `domain` (a positive parameter's logarithm). The mean of `draws`
    data sets: its relative error falls as the root of draws times units. Differentiable
    by what `simulate` and `log_likelihood` close over, such as times, where they are.
    Information of independent units adds: twice the synapses are half the variance.

    >>> draw = lambda median, key: median + jr.laplace(key, (4,))
    >>> logs = jax.scipy.stats.laplace.logpdf  # each score is -1 or 1
    >>> expected_information(logs, 0.0, draw, jr.key(0)).tolist()
    [[4.0]]
    """
    space = Space(params, domain)
    free = space.free(space.params)
    objective = Objective(space, free, None, log_likelihood, None)
    return scattered(objective, free, simulate, whole("draws", draws, 1), key)


def normal_information(
    moments: Moments, params: PyTree, *, domain: PyTree = REAL
) -> Matrix:
    r"""The exact Fisher matrix of normal data, one unit: `moments(params)` says it all.

    $I_{ij} = \partial_im^\top K^{-1}\partial_jm + \frac12\mathrm{tr}(K^{-1}\partial_iK
    K^{-1}\partial_jK)$ for the mean $m$ (n,) and the covariance $K$ (n, n) (Slepian
    1954), by the free coordinates of `domain`. Differentiable: the gradient by sampling
    times plans an experiment.

    >>> moments = lambda mean: (mean * jnp.ones(4), 0.25 * jnp.eye(4))
    >>> normal_information(moments, 1.0).tolist()  # 4 values of variance 1/4
    [[16.0]]
    """
    space = Space(params, domain)
    free = space.free(space.params)
    at = lambda u: moments(space.tree(u))
    _, covariance = at(free)
    mean_slope, slope = jax.jacfwd(at)(free)  # (n, w), (n, n, w)
    factor = jax.scipy.linalg.cho_factor(covariance)
    solve = lambda x: jax.scipy.linalg.cho_solve(factor, x)
    ratio = jax.vmap(solve, in_axes=2, out_axes=2)(slope)
    return (
        mean_slope.T @ solve(mean_slope) + jnp.einsum("abi,baj->ij", ratio, ratio) / 2
    )


def standard_errors(information: Matrix, units: float | int = 1) -> Vector:
    """Of free coordinates, from so many units that hold this information each.

    Infinite for what takes part in a direction that is not determined, as of a `Fit`;
    NaN where the information is negative. Raises `ValueError` unless `units` is
    positive.

    >>> information = jnp.diag(jnp.asarray([4.0, 1.0]))
    >>> print(standard_errors(information, units=25))
    [0.1 0.2]
    """
    count = positive("units", jnp.asarray(units))
    still, inside = jax.lax.stop_gradient(information), jnp.ones(len(information), bool)
    variance = jnp.diagonal(covariance_of(still, inside))  # no gradient at ties
    sure = jnp.all(jnp.isfinite(variance))
    inverse = jnp.linalg.inv(jnp.where(sure, information, jnp.eye(len(information))))
    return jnp.sqrt(jnp.where(sure, jnp.diagonal(inverse), variance) / count)
