"""Homeostatic scaling, and the stability of soft replay (T10, T11)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...._arguments import floating, not_negative, positive
from ..domains import Number, order_from_one


Values = Float[Array, "*values"]


@floating
def scaled_weights(weights: Values, scale: Number, order: Number) -> Values:
    r"""$c^zw$: all weights when all factors of a neuron are scaled by $c$ (T10).

    Sorted weights before and after lie on a line through the origin.

    >>> print(np.asarray(scaled_weights([1.0, 2.0], 2.0, 3)).round(3))
    [ 8. 16.]
    """
    return not_negative("scale", scale) ** order_from_one(order) * weights


@floating
def retargeted_weights(
    weights: Values, before: Number, after: Number, order: Number
) -> Values:
    r"""$(L'/L)^{z/2}w$: all weights when the homeostatic target changes (T10).

    >>> print(np.asarray(retargeted_weights([1.0, 2.0], 1.0, 4.0, 2)).round(3))
    [4. 8.]
    """
    before, after = positive("before", before), not_negative("after", after)
    return scaled_weights(weights, jnp.sqrt(after / before), order)


@floating
def threshold_pull(
    threshold_rate: Number, sharpness: Number, average: Values
) -> Values:
    r"""$\chi = \eta_\theta\beta/\bar H$: soft replay multiplies errors by $1 - \chi$.

    Errors of the threshold, in each cycle: unstable above 2 (T11, heuristic).

    >>> print(f"{threshold_pull(0.4, 20.0, 4.0):.2f}")  # at the edge of stability
    2.00
    """
    threshold_rate = not_negative("threshold_rate", threshold_rate)
    sharpness = not_negative("sharpness", sharpness)
    return threshold_rate * sharpness / positive("average", average)
