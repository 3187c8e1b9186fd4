"""Domains that the laws and measures of this system share, and which synapses live.

What is concrete and outside its domain raises `ValueError`; what is traced is NaN.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ... import Scalar
from ..._arguments import admit
from ...measure import ALIVE


Number = Scalar | float | int
Weights = Float[Array, "*row n"]
T = TypeVar("T", bound=PyTree)
PRUNED = 1e-10  # weights up to which synapses are dead, as published
SLACK = 1e-6  # relative rounding of a probability


def order_from_one(order: Number) -> Array:
    """The number of factors, any number from 1 on.

    >>> order_from_one(0.5)
    Traceback (most recent call last):
        ...
    ValueError: `order` must be at least 1; got 0.5.
    """
    return admit("order", order, order < 1, "be at least 1")


def inner_level(coding_level: Number) -> Array:
    """The coding level, between 0 and 1.

    >>> print(inner_level(0.5), jax.jit(inner_level)(1.5))
    0.5 nan
    """
    wrong = (coding_level <= 0) | (coding_level >= 1)
    return admit("coding_level", coding_level, wrong, "lie between 0 and 1")


def balanced(probability: Number, coding_level: Number) -> Array:
    """The probability of balanced flips: no more flip than there are of either kind.

    >>> balanced(0.4, 0.3)
    Traceback (most recent call last):
        ...
    ValueError: `probability` must lie between 0 and the smaller of ...
    """
    least = jnp.minimum(coding_level, 1 - coding_level) * (1 + SLACK)
    wrong = (probability < 0) | (probability > least)
    must = "lie between 0 and the smaller of `coding_level` and 1 - `coding_level`"
    return admit("probability", probability, wrong, must)


def mean_over(counted: Bool[Array, " row"], rows: Float[Array, " row"]) -> Scalar:
    """Mean of the rows that count.

    >>> counted = jnp.asarray([True, False, True])
    >>> float(mean_over(counted, jnp.asarray([1.0, 9.0, 3.0])))
    2.0
    """
    number = jnp.sum(counted.astype(rows.dtype))
    return jnp.sum(jnp.where(counted, rows, 0.0)) / number


# --- synapses -----------------------------------------------------------------------


def living(weights: Weights, relative: float = ALIVE) -> Bool[Array, "*row n"]:
    """Weights above `relative` times the neuron's largest, and above 1e-10.

    Below that a synapse is dead, whatever a precision makes of a product of floors. No
    synapse lives of a neuron with a weight that is NaN.

    >>> living(jnp.asarray([[1.0, 0.5, 1e-4]])).tolist()
    [[True, True, False]]
    """
    largest = jnp.max(weights, axis=-1, keepdims=True)
    return weights > jnp.maximum(relative * largest, PRUNED)


def living_share(weights: Weights, relative: float = ALIVE) -> Weights:
    """1 for every one that is `living`, else 0; NaN for a neuron that holds NaN.

    What is counted or averaged with it shows a lost run.

    >>> living_share(jnp.asarray([[1.0, 0.0], [jnp.nan, 1.0]])).tolist()
    [[1.0, 0.0], [nan, nan]]
    """
    lost = jnp.any(jnp.isnan(weights), axis=-1, keepdims=True)
    return jnp.where(lost, jnp.nan, living(weights, relative).astype(weights.dtype))


def unless_lost(values: T, *seen: Array) -> T:
    """`values`, all NaN if anything `seen` is: comparisons hide a lost run.

    >>> unless_lost(jnp.ones(2), jnp.asarray([0.0, jnp.nan])).tolist()
    [nan, nan]
    """
    lost = jnp.any(jnp.stack([jnp.any(jnp.isnan(x)) for x in seen]))
    return jax.tree.map(lambda x: jnp.where(lost, jnp.nan, x), values)
