"""Important synapses of each neuron, and how far from chance their counts are.

Schug, Benzing & Steger 2021, eLife 10:e69884, Figure 3 and Appendix 1-figure 2.
"""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key
from numpy import ndarray

from .._arguments import check_binary, floating
from .._interfaces import Scalar


class Counts(NamedTuple):
    """Shares of a layer's synapses that are important.

    `inputs` of every postsynaptic neuron, `outputs` of every presynaptic one.
    """

    inputs: Float[Array, " post"]
    outputs: Float[Array, " pre"]


def important_counts(important: Bool[Array, "post pre"]) -> Counts:
    """The shares of important inputs and outputs of every neuron of a layer.

    Raises `ValueError` unless the marks are a matrix of true and false, or 1 and 0.

    >>> marks = jnp.array([[True, True, False, False], [False, True, False, False]])
    >>> shares = important_counts(marks)
    >>> print(shares.inputs, shares.outputs)
    [0.5  0.25] [0.5 1.  0.  0. ]
    """
    if important.ndim != 2:
        raise ValueError(
            f"`important` must be a matrix (post, pre); got shape {important.shape}."
        )
    check_binary("important", important)
    marks = important.astype(jnp.result_type(float))
    return Counts(jnp.mean(marks, axis=1), jnp.mean(marks, axis=0))


def shuffled_counts(important: Bool[Array, "post pre"], key: Key[Array, ""]) -> Counts:
    """The same shares when all synapses of the layer are permuted.

    >>> marks = jnp.zeros((4, 4), bool).at[0].set(True)
    >>> shares = shuffled_counts(marks, jr.key(0))
    >>> print(shares.inputs.max() < 1, shares.inputs.mean())
    True 0.25
    """
    flat = jr.permutation(key, important.ravel())
    return important_counts(flat.reshape(important.shape))


@floating
def kolmogorov_smirnov(
    first: Float[ndarray, " m"], second: Float[ndarray, " n"]
) -> tuple[float, float]:
    """Largest distance of two empirical distributions, and its two-sided p-value.

    On the host, for recorded samples; NaN for both if a sample is not finite. Raises
    `ValueError` for samples that are empty or not vectors.

    >>> distance, p = kolmogorov_smirnov([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    >>> print(f"{distance:.2f} {p:.2f}")
    1.00 0.10
    """
    from scipy.stats import ks_2samp

    for name, sample in (("first", first), ("second", second)):
        if sample.ndim != 1 or not sample.size:
            raise ValueError(
                f"`{name}` must be a vector of at least one; got shape {sample.shape}."
            )
    if not (np.all(np.isfinite(first)) and np.all(np.isfinite(second))):
        return np.nan, np.nan
    found = ks_2samp(first, second, method="auto")
    return float(found.statistic), float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue]


@floating
def rank_correlation(x: Float[Array, " n"], y: Float[Array, " n"]) -> Scalar:
    """Spearman's correlation, ties at their mean rank; NaN if x or y is constant.

    NaN also if an entry is. Piecewise constant: its gradient is zero. Raises
    `ValueError` unless both are vectors of one length.

    >>> print(f"{rank_correlation([1.0, 2.0, 3.0], [1.0, 10.0, 1000.0]):.2f}")
    1.00
    """
    a, b = (_ranks(values) for values in (x, y))
    a, b = a - jnp.mean(a), b - jnp.mean(b)
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2))


def _ranks(values: Float[Array, " n"]) -> Float[Array, " n"]:
    """Mean ranks, scaled to the unit interval to keep sums exact in float32.

    All NaN if an entry is: it has no rank.
    """
    ordered = jnp.sort(values)
    below = jnp.searchsorted(ordered, values, side="left")
    upto = jnp.searchsorted(ordered, values, side="right")
    ranks = (below + upto).astype(values.dtype) / (2 * len(values))
    return jnp.where(jnp.isnan(ordered[-1:]), jnp.nan, ranks)  # NaN is sorted last
