r"""How robust a stored pattern is: margins over norms of the weights.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Rows are neurons:
`weights` (row, n), `fields` (row, pattern) $w_i\cdot\xi^\mu - I_i$, `targets` (row,
pattern) of +1 and -1, `stored` (pattern,) the patterns that count (all by default).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._interfaces import Scalar


Weights = Float[Array, "*batch n"]
Rows = Float[Array, "*batch"]
Fields = Float[Array, "row pattern"]
Stored = Bool[Array, " pattern"]
ALIVE = 1e-3  # of the largest weight of the neuron: what counts as a synapse


def margins(
    fields: Fields, targets: Fields, stored: Stored | None = None
) -> Float[Array, " row"]:
    r"""$m_i = \min_\mu\sigma_i^\mu(w_i\cdot\xi^\mu - I_i)$; negative with an error."""
    signed = targets * fields
    if stored is not None:
        signed = jnp.where(stored[None], signed, jnp.inf)
    return jnp.min(signed, axis=1)


def norm(weights: Weights, q: Scalar | float | int) -> Rows:
    r"""$(\sum_jw_j^q)^{1/q}$ of weights that are not negative, also for $q < 1$.

    Zeros count nothing, and their gradient is zero.
    """
    some = weights > 0
    powers = jnp.where(some, jnp.where(some, weights, 1.0) ** q, 0.0)
    total = jnp.sum(powers, axis=-1)
    positive = total > 0
    return jnp.where(positive, jnp.where(positive, total, 1.0) ** (1 / q), 0.0)


def noise_ratio(margin: Rows, weights: Weights, q: Scalar | float | int) -> Rows:
    r"""$\mathrm{SNR}_q = m/\|w\|_q$; NaN for a neuron without synapses.

    $q = 2$: neural noise (over $\sqrt{f(1-f)}$: Gardner's $\kappa$); $q = 1$: the
    synaptic noise of one volatile factor of two (times $\sqrt{N/(f(1-f))}$: Brunel's
    $\rho$).
    """
    size = norm(weights, q)
    return jnp.where(size > 0, margin / jnp.where(size > 0, size, 1.0), jnp.nan)


def volatile_noise_ratio(
    margin: Rows,
    weights: Weights,
    order: Scalar | float | int,
    above: Scalar | float = 0.0,
) -> Rows:
    r"""$m/\sqrt{\sum_jw_j^{2-2/z}}$: to the noise of one volatile factor of `order`.

    Only weights larger than `above` count, one each where $z = 1$.
    """
    some = weights > above
    noise = jnp.where(some, jnp.where(some, weights, 1.0) ** (2 - 2 / order), 0.0)
    variance = jnp.sum(noise, axis=-1)
    positive = variance > 0
    deviation = jnp.sqrt(jnp.where(positive, variance, 1.0))
    return jnp.where(positive, margin / deviation, jnp.nan)


def memory_ratios(
    fields: Fields, targets: Fields, weights: Float[Array, "row n"]
) -> Float[Array, " pattern"]:
    r"""$\min_i\sigma_i^\mu H_i^\mu/\|w_i\|_2$: the robustness of each memory."""
    size = jnp.sqrt(jnp.sum(weights**2, axis=1))
    return jnp.min(targets * fields / jnp.where(size > 0, size, 1.0)[:, None], axis=0)


def density(weights: Weights, relative: float | None = ALIVE) -> Rows:
    """Share of all n inputs with a synapse.

    A weight counts above `relative` times the neuron's largest; with `None` above the
    pruning threshold of the published code, 1e-10.
    """
    if relative is None:
        alive = weights > 1e-10
    else:
        alive = weights > relative * jnp.max(weights, axis=-1, keepdims=True)
    return jnp.mean(alive.astype(weights.dtype), axis=-1)


def degenerate(targets: Fields, stored: Stored | None = None) -> Bool[Array, " row"]:
    """Neurons that are active in all patterns, or in none: their margin is unbounded.

    The threshold of such a neuron drifts for ever; leave it out of statistics.
    """
    if stored is None:
        stored = jnp.ones(targets.shape[1], bool)
    always = jnp.all((targets > 0) | ~stored[None], axis=1)
    never = jnp.all((targets < 0) | ~stored[None], axis=1)
    return always | never


def lifetime_sparseness(
    responses: Float[Array, "*batch pattern"],
) -> Float[Array, "*batch"]:
    r"""$(1 - \bar r^2/\overline{r^2})/(1 - 1/M)$ over M patterns: 0 if all are alike.

    1 for a neuron that responds to one pattern only; NaN if it never does.
    """
    count = responses.shape[-1]
    square = jnp.mean(responses**2, axis=-1)
    some = square > 0
    share = jnp.mean(responses, axis=-1) ** 2 / jnp.where(some, square, 1.0)
    return jnp.where(some, (1 - share) / (1 - 1 / count), jnp.nan)


def recalled(
    states: Float[Array, "n cue"],
    patterns: Float[Array, "n cue"],
    coding_level: Scalar | float,
    tolerance: float = 0.2,
) -> Bool[Array, " cue"]:
    r"""Whether at most `tolerance` $fN$ neurons differ from the pattern that was cued.

    States and patterns are 0 or 1, a column for each cue; `coding_level` is $f$.
    """
    wrong = jnp.sum(jnp.abs(states - patterns), axis=0)
    return wrong <= tolerance * coding_level * len(states)
