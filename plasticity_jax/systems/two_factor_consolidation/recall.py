r"""Recall from noisy cues and through noisy synapses.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Patterns and cues
are 0 or 1, (n, cue); synapses are all rows of a recurrent network of `Product` factors.
"""

from typing import Literal

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Key

from ..._interfaces import Scalar
from ...circuits import retrieve
from ...measure import ALIVE, recalled
from ...synapses import Factored, Product


Patterns = Float[Array, "n cue"]
OBSERVED = 0.1  # mean factor to which neurons are scaled before their synapses jitter


def flip_balanced(
    patterns: Patterns,
    probability: Scalar | float,
    coding_level: Scalar | float,
    key: Key[Array, ""],
) -> Patterns:
    r"""1 to 0 with probability $p/f$, 0 to 1 with $p/(1-f)$: the mean activity stays.

    A share $2p$ of all bits flips; `probability` $p$ is at most $f$ and $1 - f$.
    """
    f = coding_level
    chance = jnp.where(patterns > 0, probability / f, probability / (1 - f))
    return _flip(patterns, jr.uniform(key, patterns.shape) < chance)


def flip_isotropic(
    patterns: Patterns, probability: Scalar | float, key: Key[Array, ""]
) -> Patterns:
    """Every bit flips with the same `probability`."""
    return _flip(patterns, jr.uniform(key, patterns.shape) < probability)


def flip_exactly(
    patterns: Patterns, count: Scalar | int, key: Key[Array, ""]
) -> Patterns:
    """Exactly `count` ones and `count` zeros of every pattern flip."""
    chance = jr.uniform(key, patterns.shape)
    flipped = jnp.zeros(patterns.shape, bool)
    for side in (patterns > 0, patterns == 0):
        rank = jnp.argsort(jnp.argsort(jnp.where(side, chance, 2.0), axis=0), axis=0)
        flipped |= side & (rank < count)
    return _flip(patterns, flipped)


def _flip(patterns: Patterns, flipped: Bool[Array, "n cue"]) -> Patterns:
    return jnp.where(flipped, 1 - patterns, patterns)


def observed(synapses: Factored, relative: float = ALIVE) -> Factored:
    r"""Every neuron scaled so that its living synapses have factors of 0.1 on average.

    Factors over $c$, thresholds over $c^z$: without noise recall stays the same. Alive
    are weights above `relative` times the neuron's largest.
    """
    factors, threshold = synapses.factors, synapses.threshold
    living = _living(factors, relative)[None]
    count = jnp.maximum(jnp.sum(living.astype(factors.dtype), axis=(0, 2)), 1.0)
    mean = jnp.sum(jnp.where(living, factors, 0.0), axis=(0, 2)) / count / len(factors)
    scale = jnp.where(mean > 0, mean / OBSERVED, 1.0)
    return Factored(factors / scale[None, :, None], threshold / scale ** len(factors))


def jitter(
    synapses: Factored,
    noise: Scalar | float,
    key: Key[Array, ""],
    kind: Literal["living", "first", "all"] = "living",
    relative: float = ALIVE,
) -> Factored:
    r"""$u \leftarrow \max(u + \sigma\epsilon, 0)$ for the volatile factors; no self.

    `living`: the first factor of living synapses; `first`: that of all, so that dead
    ones open; `all`: every factor of living synapses. `noise` is $\sigma$.
    """
    factors = synapses.factors
    first = (jnp.arange(len(factors)) == 0)[:, None, None]
    living = _living(factors, relative)[None]
    moves = {"living": first & living, "first": first, "all": living}[kind]
    draw = noise * jr.normal(key, factors.shape, factors.dtype)
    moved = jnp.maximum(factors + jnp.where(moves, draw, 0.0), 0.0)
    others = 1 - jnp.eye(*factors.shape[1:], dtype=factors.dtype)
    return Factored(moved * others[None], synapses.threshold)


def _living(
    factors: Float[Array, "factor row n"], relative: float
) -> Bool[Array, "row n"]:
    weights = Product().weights(factors)
    return weights > relative * jnp.max(weights, axis=1, keepdims=True)


def recall_rate(
    synapses: Factored,
    cues: Patterns,
    patterns: Patterns,
    coding_level: Scalar | float,
    stored: Bool[Array, " cue"] | None = None,
    steps: int = 50,
) -> Scalar:
    """Share of the stored patterns that are recalled from their cues.

    At most a fifth of $fN$ neurons may be wrong after `steps` updates.
    """
    weights = Product().weights(synapses.factors)
    states = retrieve(weights, synapses.threshold, cues, steps)
    right = recalled(states, patterns, coding_level).astype(cues.dtype)
    if stored is None:
        return jnp.mean(right)
    share = stored.astype(cues.dtype)
    return jnp.sum(right * share) / jnp.maximum(jnp.sum(share), 1.0)


def tolerance(
    levels: Float[Array, " level"], rates: Float[Array, "*batch level"]
) -> Float[Array, "*batch"]:
    """The noise level at which the recall rate first falls to one half.

    Interpolated between `levels`, which increase; the last level where it never does,
    the first one where it is below from the start.
    """
    below = rates <= 0.5
    index = jnp.where(jnp.any(below, axis=-1), jnp.argmax(below, axis=-1), -1)
    right = jnp.where(index < 0, len(levels) - 1, index)
    left = jnp.maximum(right - 1, 0)
    at = jnp.take_along_axis(rates, right[..., None], axis=-1)[..., 0]
    before = jnp.take_along_axis(rates, left[..., None], axis=-1)[..., 0]
    drop = before - at
    share = jnp.where(drop > 0, (before - 0.5) / jnp.where(drop > 0, drop, 1.0), 1.0)
    share = jnp.clip(jnp.where(index < 0, 1.0, share), 0.0, 1.0)
    return levels[left] + share * (levels[right] - levels[left])
