r"""How robust a stored pattern is: margins over norms of the weights.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Rows are neurons:
`weights` (row, n), `fields` (row, pattern) $w_i\cdot\xi^\mu - I_i$, `targets` (row,
pattern) of +1 and -1, `stored` (pattern,) the patterns that count (all by default).

NaN stays NaN. Shapes that do not fit each other raise `ValueError` (nothing is spread
over rows or patterns), and so do concrete targets other than +1 and -1.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import (
    admit,
    check_binary,
    check_range,
    check_signs,
    concrete,
    floating,
    not_negative,
    positive,
)
from .._interfaces import Scalar
from ..numerics import extent, power, ratio, root


Weights = Float[Array, "*batch n"]
Rows = Float[Array, "*batch"]
Fields = Float[Array, "row pattern"]
Stored = Bool[Array, " pattern"]
LEAST = float(jnp.finfo(jnp.float32).tiny)  # below it what single precision calls 0
ALIVE = 1e-3  # of the largest weight of the neuron: what counts as a synapse
SLACK = 1e-6  # relative rounding of a number of neurons


@floating
def margins(
    fields: Fields, targets: Fields, stored: Stored | None = None
) -> Float[Array, " row"]:
    r"""$m_i = \min_\mu\sigma_i^\mu(w_i\cdot\xi^\mu - I_i)$; negative with an error.

    Over the patterns that are `stored`, all unless given. Raises `ValueError` where
    none is, or for targets other than -1 and 1.

    >>> fields, targets = [[2.0, -0.5], [2.0, 0.5]], [[1, -1], [1, -1]]
    >>> print(margins(fields, targets))
    [ 0.5 -0.5]
    """
    check_signs("targets", targets)
    signed = targets * fields
    if stored is not None:
        if concrete(stored) and not np.any(np.asarray(stored)):
            raise ValueError("`stored` must mark a pattern at least; got none.")
        signed = jnp.where(stored[None], signed, jnp.inf)
    return jnp.min(signed, axis=1)


@floating
def norm(weights: Weights, q: Scalar | float | int) -> Rows:
    r"""$(\sum_j|w_j|^q)^{1/q}$, also for $q < 1$.

    Zeros count nothing, and their gradient is zero; weights may be as large or small as
    their precision holds. Raises `ValueError` unless q is positive; NaN for a traced
    one.

    >>> print(norm([3.0, 4.0], 2).round(3), norm([1.0, 4.0], 0.5).round(3))
    5.0 9.0
    """
    q = positive("q", q)  # pyright: ignore[reportArgumentType]
    q = admit("q", q, jnp.isinf(q), "be finite")
    scale = extent(weights, q)
    total = jnp.sum(power(jnp.abs(weights) / scale, q), axis=-1)
    size = scale[..., 0] * power(total, 1 / q)
    return jnp.where(jnp.isnan(q), jnp.nan, size)


@floating
def noise_ratio(margin: Rows, weights: Weights, q: Scalar | float | int) -> Rows:
    r"""$\mathrm{SNR}_q = m/\|w\|_q$; NaN for a neuron without synapses.

    $q = 2$: neural noise (over $\sqrt{f(1-f)}$: Gardner's $\kappa$); $q = 1$: the
    synaptic noise of one volatile factor of two (times $\sqrt{N/(f(1-f))}$: Brunel's
    $\rho$). Raises `ValueError` unless q is positive.

    >>> margin, weights = [3.5], [[3.0, 4.0]]
    >>> print([f"{noise_ratio(margin, weights, q)[0]:.2f}" for q in (1, 2)])
    ['0.50', '0.70']
    """
    q = jnp.asarray(q)
    scale = extent(weights, q)
    return ratio(margin / scale[..., 0], norm(weights / scale, q), jnp.nan)


@floating
def volatile_noise_ratio(
    margin: Rows,
    weights: Weights,
    order: Scalar | float | int,
    above: Scalar | float = 0.0,
) -> Rows:
    r"""$m/\sqrt{\sum_j|w_j|^{2-2/z}}$: to the noise of one volatile factor of `order`.

    Only weights larger than `above` count, one each where $z = 1$. NaN for a neuron
    without any. Raises `ValueError` if `order` is below 1 or `above` is negative; NaN
    for traced ones.

    >>> margin, weights = [1.0], jnp.full((1, 4), 0.25)
    >>> print([volatile_noise_ratio(margin, weights, z).item() for z in (1, 2)])
    [0.5, 1.0]
    """
    order, above = jnp.asarray(order), not_negative("above", above)  # pyright: ignore[reportArgumentType]
    order = admit("order", order, order < 1, "be at least 1")
    size, scale = jnp.abs(weights), extent(weights)
    few = size <= above  # false of NaN
    noise = power(jnp.where(few, 1.0, size / scale), 2 - 2 / order)
    variance = jnp.sum(jnp.where(few, 0.0, noise), axis=-1)
    variance = jnp.where(jnp.isnan(order + above), jnp.nan, variance)
    return ratio(margin / scale[..., 0] ** (1 - 1 / order), root(variance), jnp.nan)


@floating
def memory_ratios(
    fields: Fields, targets: Fields, weights: Float[Array, "row n"]
) -> Float[Array, " pattern"]:
    r"""$\min_i\sigma_i^\mu H_i^\mu/\|w_i\|_2$: the robustness of each memory.

    A neuron without synapses counts by its field itself.

    >>> print(memory_ratios([[2.5, -10.0]], [[1, -1]], [[3.0, 4.0]]))
    [0.5 2. ]
    """
    check_signs("targets", targets)
    scale = extent(weights)
    size = root(jnp.sum((weights / scale) ** 2, axis=1, keepdims=True))
    safe = jnp.where(size == 0, 1.0, size)
    return jnp.min(targets * fields / scale / safe, axis=0)


@floating
def density(weights: Weights, relative: float | None = ALIVE) -> Rows:
    """Share of all n inputs with a synapse, of either sign.

    A weight counts above `relative` times the neuron's largest, if single precision
    tells it from 0; with `None` above the pruning threshold of the published code,
    1e-10. Raises `ValueError` unless `relative` lies in [0, 1].

    >>> print(density([1.0, 0.0, 0.5, 1e-6]))
    0.5
    """
    size = jnp.abs(weights)
    largest = jnp.max(size, axis=-1, keepdims=True)  # NaN if one is
    if relative is None:
        alive = size > 1e-10
    else:
        check_range("relative", relative, 0.0, 1.0)
        alive = size > jnp.maximum(relative * largest, LEAST)
    share = jnp.mean(alive.astype(weights.dtype), axis=-1)
    return jnp.where(jnp.isfinite(largest[..., 0]), share, jnp.nan)


@floating
def metabolic_cost(
    weights: Weights,
    standing: Scalar | float = 0.0,
    transmission: Scalar | float = 1.0,
    relative: float = ALIVE,
) -> Rows:
    r"""$\sum_j(a\,[w_j \ne 0] + b\,|w_j|)$: the energy that a neuron's synapses take.

    Every synapse needs `standing` $a$ to be maintained, and `transmission` $b$ for each
    unit of its weight, whose currents must be pumped back. Of weights over their margin
    it is the energy for a given robustness to noise that does not grow with them, $an +
    b/\mathrm{SNR}_1$ of $n$ synapses. A weight is a synapse as in `density`. Raises
    `ValueError` for a negative cost.

    >>> weights = jnp.array([0.5, 0.0, 1.5])
    >>> print(f"{metabolic_cost(weights, standing=0.1):.1f}")  # 2 synapses of 2 in all
    2.2
    """
    standing = not_negative("standing", standing)  # pyright: ignore[reportArgumentType]
    transmission = not_negative("transmission", transmission)  # pyright: ignore[reportArgumentType]
    number = weights.shape[-1] * density(weights, relative)
    return standing * number + transmission * jnp.sum(jnp.abs(weights), axis=-1)


@floating
def degenerate(targets: Fields, stored: Stored | None = None) -> Bool[Array, " row"]:
    """Neurons that are active in all patterns, or in none: their margin is unbounded.

    The threshold of such a neuron drifts for ever; leave it out of statistics. A traced
    target that is NaN is neither: its neuron stays in, with a margin that is NaN.

    >>> print(degenerate([[1.0, 1.0], [1.0, -1.0]]))
    [ True False]
    """
    check_signs("targets", targets)
    rest = False if stored is None else ~stored[None]
    always, never = (jnp.all(x | rest, axis=1) for x in (targets > 0, targets < 0))
    return always | never


@floating
def lifetime_sparseness(responses: Float[Array, "*batch pattern"]) -> Rows:
    r"""$(1 - \bar r^2/\overline{r^2})/(1 - 1/M)$ over M patterns: 0 if all are alike.

    1 for a neuron that responds to one pattern only; NaN if it never does. Raises
    `ValueError` for fewer than two patterns, and for negative responses, of which it is
    no share; NaN for traced ones.

    >>> print(lifetime_sparseness([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    [1. 0.]
    """
    count = responses.shape[-1] if responses.ndim else 0
    if count < 2:
        raise ValueError(f"`responses` need at least 2 patterns; got {count}.")
    responses = not_negative("responses", responses)
    responses = responses / extent(responses)
    square = jnp.mean(responses**2, axis=-1)
    share = ratio(jnp.mean(responses, axis=-1) ** 2, square, jnp.nan)
    return (1 - share) / (1 - 1 / count)


@floating
def recalled(
    states: Float[Array, "n cue"],
    patterns: Float[Array, "n cue"],
    coding_level: Scalar | float,
    tolerance: float = 0.2,
) -> Bool[Array, " cue"]:
    r"""Whether at most `tolerance` $fN$ neurons differ from the pattern that was cued.

    States and patterns are 0 or 1, a column for each cue; `coding_level` is $f$. A
    traced state that is NaN is not recalled. Raises `ValueError` for other shapes and
    values, a coding level outside [0, 1], a negative tolerance, and where `tolerance`
    $fN$ is below one neuron, unless `tolerance` is 0.

    >>> patterns = jnp.tile(jnp.array([[1.0], [0.0]]), (5, 2))
    >>> states = patterns.at[:1, 0].set(0.0).at[:3, 1].set(0.0)
    >>> print(recalled(states, patterns, 0.5))
    [ True False]
    """
    check_binary("states", states)
    check_binary("patterns", patterns)
    check_range("coding_level", coding_level, 0.0, 1.0)
    check_range("tolerance", tolerance, 0.0, jnp.inf)
    allowed = tolerance * coding_level * len(states) * (1 + SLACK)
    if tolerance and concrete(allowed) and allowed < 1:
        raise ValueError(
            f"`tolerance` {tolerance} of `coding_level` {coding_level} of "
            f"{len(states)} neurons is none: set it to 0, or allow for one at least."
        )
    wrong = jnp.sum(jnp.abs(states - patterns), axis=0)
    return wrong <= allowed
