"""Margins over the spread of fields by neural and synaptic noise (T8, T9)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import admit, floating, not_negative, probability
from ....numerics import power
from ..domains import balanced, inner_level, Number, order_from_one, PRUNED


Values = Float[Array, "*values"]
Weights = Float[Array, " n"]


@floating
def flipped_field(
    weights: Weights, pattern: Weights, probability: Number, coding_level: Number
) -> tuple[Scalar, Scalar]:
    r"""Mean and variance of the change of one field by balanced flips (T8).

    1 to 0 with probability $p/f$, 0 to 1 with $p/(1 - f)$: the mean is
    $-\frac p{f(1-f)}(w\cdot\xi - f\sum_jw_j)$. `probability` $p$ is at most $f$ and
    $1 - f$, and the `pattern` lies in [0, 1].

    >>> mean, variance = flipped_field([2.0, 1.0], [1.0, 0.0], 0.1, 0.5)
    >>> print(f"{mean:.2f} {variance:.2f}")  # 0.2 (1 - 2), 0.16 (4 + 1)
    -0.20 0.80
    """
    pattern = admit("pattern", pattern, (pattern < 0) | (pattern > 1), "lie in [0, 1]")
    f = inner_level(coding_level)
    probability = balanced(probability, f)
    chance = probability * (pattern / f + (1 - pattern) / (1 - f))
    pull = weights @ pattern - f * jnp.sum(weights)
    variance = jnp.sum(weights**2 * chance * (1 - chance))
    return -probability / (f * (1 - f)) * pull, variance


@floating
def neural_noise_ratio(ratio: Values, flipped: Values | Number) -> Values:
    r"""$\mathrm{SNR}_2/\sqrt{f_{noise}}$: the margin over the spread by neural noise.

    `ratio` is $\mathrm{SNR}_2$, `flipped` the share $2p$ of all bits that flip. Over
    random patterns the mean square change of the field is $2p\|w\|_2^2$ exactly (T8).

    >>> print(f"{neural_noise_ratio(1.0, 0.25):.2f}")
    2.00
    """
    return ratio / jnp.sqrt(probability("flipped", flipped))


@floating
def volatile_field_variance(
    weights: Weights,
    pattern: Weights,
    noise: Number,
    order: Number,
    factors: Number = 1.0,
    above: Number = PRUNED,
) -> Scalar:
    r"""$\sigma^2\sum_j\xi_jw_j^{2-2/z}$: variance of a field under synaptic noise (T9).

    Equal factors of which `factors` (one by default) jitter independently by a standard
    deviation `noise`, small beside them. The sum runs over living synapses, of weights
    larger than `above`: a pruned one has no noise, and no gradient, for any z.

    >>> print(f"{volatile_field_variance([4.0, 9.0], [1.0, 1.0], 0.1, 2):.2f}")
    0.13
    """
    order, weights = order_from_one(order), not_negative("weights", weights)
    noise, above = not_negative("noise", noise), not_negative("above", above)
    wrong = (factors < 0) | (factors > order)
    factors = admit("factors", factors, wrong, "lie in [0, z]")
    living = jnp.where(weights <= above, jnp.zeros_like(weights), weights)
    variance = factors * noise**2 * (pattern @ power(living, 2 - 2 / order))
    return jnp.where(jnp.isnan(above), jnp.nan, variance)


@floating
def synaptic_noise_ratio(
    ratio: Values, noise: Values | Number, coding_level: Number
) -> Values:
    r"""$\mathrm{SNR}^{syn}/(\sigma\sqrt f)$: the margin over the spread by such noise.

    `ratio` is `measure.volatile_noise_ratio` (T9).

    >>> print(f"{synaptic_noise_ratio(0.1, 0.1, 0.25):.2f}")
    2.00
    """
    noise, f = not_negative("noise", noise), probability("coding_level", coding_level)
    return ratio / (noise * jnp.sqrt(f))
