"""Important synapses of each neuron, and how far from chance their counts are.

Schug, Benzing & Steger 2021, eLife 10:e69884, Figure 3 and Appendix 1-figure 2.
"""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from numpy import ndarray

from .._interfaces import Scalar


class Counts(NamedTuple):
    """Shares of a layer's synapses that are important.

    `inputs` of every postsynaptic neuron, `outputs` of every presynaptic one.
    """

    inputs: Float[Array, " post"]
    outputs: Float[Array, " pre"]


def important_counts(important: Bool[Array, "post pre"]) -> Counts:
    """The shares of important inputs and outputs of every neuron of a layer."""
    marks = important.astype(jnp.result_type(float))
    return Counts(jnp.mean(marks, axis=1), jnp.mean(marks, axis=0))


def shuffled_counts(important: Bool[Array, "post pre"], key: Key[Array, ""]) -> Counts:
    """The same shares when all synapses of the layer are permuted."""
    flat = jr.permutation(key, important.ravel())
    return important_counts(flat.reshape(important.shape))


def kolmogorov_smirnov(
    first: Float[ndarray, " m"], second: Float[ndarray, " n"]
) -> tuple[float, float]:
    """Largest distance of two empirical distributions, and its two-sided p-value.

    On the host, for recorded samples; NaN for both if a sample holds one.
    """
    from scipy.stats import ks_2samp

    first, second = np.asarray(first), np.asarray(second)
    if not (np.all(np.isfinite(first)) and np.all(np.isfinite(second))):
        return np.nan, np.nan
    found = ks_2samp(first, second, method="auto")
    return float(found.statistic), float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]


def rank_correlation(x: Float[Array, " n"], y: Float[Array, " n"]) -> Scalar:
    """Spearman's correlation, ties at their mean rank; NaN if x or y is constant.

    Piecewise constant: its gradient is zero.
    """
    a, b = (_ranks(values) for values in (x, y))
    a, b = a - jnp.mean(a), b - jnp.mean(b)
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2))


def _ranks(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Mean ranks, scaled to the unit interval to keep sums exact in float32."""
    ordered = jnp.sort(values)
    below = jnp.searchsorted(ordered, values, side="left")
    upto = jnp.searchsorted(ordered, values, side="right")
    return (below + upto).astype(values.dtype) / (2 * len(values))
