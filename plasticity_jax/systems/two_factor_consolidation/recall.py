r"""Recall from noisy cues and through noisy synapses.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Patterns and cues
are 0 or 1, (n, cue); synapses are all rows of a recurrent network of `Product` factors.
Raises `ValueError` for other values and for shapes that do not fit; what is not a
number is not recalled or forgotten, but NaN.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from ... import Scalar
from ..._arguments import (
    admit,
    check_binary,
    check_range,
    concrete,
    floating,
    not_negative,
    one_of,
    whole,
)
from ...circuits import retrieve
from ...measure import ALIVE, recalled
from ...numerics import normal, ratio
from ...synapses import Factored, Product
from .domains import balanced, inner_level, living, unless_lost


Patterns = Float[Array, "n cue"]
KINDS = ("living", "first", "all")
FLIPS = ("balanced", "isotropic", "exact")
OBSERVED = 0.1  # mean factor to which neurons are scaled before their synapses jitter


@floating
def flip_balanced(
    patterns: Patterns,
    probability: Scalar | float,
    coding_level: Scalar | float,
    key: Key[Array, ""],
) -> Patterns:
    r"""1 to 0 with probability $p/f$, 0 to 1 with $p/(1-f)$: the mean activity stays.

    A share $2p$ of all bits flips; `probability` $p$ is at most $f$ and $1 - f$.

    >>> patterns = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
    >>> flip_balanced(patterns, 0.5, 0.5, jr.key(0)).tolist()  # p = f: all of them
    [[0.0, 1.0], [1.0, 0.0]]
    """
    f = inner_level(coding_level)
    p = balanced(probability, f)
    chance = jnp.where(patterns > 0, p / f, p / (1 - f))
    return _flip(patterns, chance, key)


@floating
def flip_isotropic(
    patterns: Patterns, probability: Scalar | float, key: Key[Array, ""]
) -> Patterns:
    """Every bit flips with the same `probability`.

    >>> patterns = jnp.asarray([[1.0, 1.0], [0.0, 1.0]])
    >>> flip_isotropic(patterns, 1.0, jr.key(0)).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    wrong = (probability < 0) | (probability > 1)
    probability = admit("probability", probability, wrong, "lie in [0, 1]")
    return _flip(patterns, probability, key)


@floating
def flip_exactly(
    patterns: Patterns, count: Int[Array, ""] | int, key: Key[Array, ""]
) -> Patterns:
    """Exactly `count` ones and `count` zeros of every pattern flip.

    Raises `ValueError` if a pattern has fewer.

    >>> patterns = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))
    >>> cues = flip_exactly(patterns, 2, jr.key(0))
    >>> jnp.sum(cues, axis=0).tolist(), jnp.sum(cues != patterns, axis=0).tolist()
    ([5.0, 5.0], [4, 4])
    """
    check_binary("patterns", patterns)
    if concrete(patterns, count):
        ones = np.sum(np.asarray(patterns), axis=0)
        fewest = int(min(ones.min(), (len(patterns) - ones).min()))
        check_range("count", count, 0, fewest)
    chance = jr.uniform(key, patterns.shape)
    flipped = jnp.zeros(patterns.shape, bool)
    for side in (patterns > 0, patterns == 0):
        rank = jnp.argsort(jnp.argsort(jnp.where(side, chance, 2.0), axis=0), axis=0)
        flipped |= side & (rank < jnp.asarray(count, rank.dtype))
    return jnp.where(flipped, 1 - patterns, patterns)


def _flip(patterns: Patterns, chance: Array, key: Key[Array, ""]) -> Patterns:
    check_binary("patterns", patterns)
    flipped = jr.uniform(key, patterns.shape) < chance
    flipped = jnp.where(flipped, 1 - patterns, patterns)
    return jnp.where(jnp.isnan(chance), jnp.nan, flipped)


def observed(synapses: Factored, relative: float = ALIVE) -> Factored:
    r"""Every neuron scaled so that its living synapses have factors of 0.1 on average.

    Factors over $c$, thresholds over $c^z$: without noise recall stays the same. Alive
    are weights above `relative` times the neuron's largest, if above 1e-10; a neuron
    without any stays as it is.

    >>> scaled = observed(synapses.Factored(jnp.full((2, 3, 3), 0.4), jnp.ones(3)))
    >>> print(f"{scaled.factors.max():.2f} {scaled.threshold[0]:.4f}")  # 1 / 4^2
    0.10 0.0625
    """
    factors, threshold = synapses.factors, synapses.threshold
    alive = _alive(synapses, relative)[None]
    count = jnp.maximum(jnp.sum(alive.astype(factors.dtype), axis=(0, 2)), 1.0)
    mean = jnp.sum(jnp.where(alive, factors, 0.0), axis=(0, 2)) / count / len(factors)
    scale = jnp.where(mean == 0, 1.0, mean / OBSERVED)
    return Factored(factors / scale[None, :, None], threshold / scale ** len(factors))


def jitter(
    synapses: Factored,
    noise: Scalar | float,
    key: Key[Array, ""],
    kind: str = "living",
    relative: float = ALIVE,
) -> Factored:
    r"""$u \leftarrow \max(u + \sigma\epsilon, 0)$ for the volatile factors; no self.

    `living`: the first factor of living synapses; `first`: that of all, which rises by
    $\sigma|\epsilon|$ where a synapse is dead (of one factor, such a synapse opens);
    `all`: every factor of living synapses. `noise` is $\sigma$.

    >>> u = jnp.asarray([[[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]])
    >>> shaken = jitter(synapses.Factored(u, jnp.ones(3)), 0.1, jr.key(0))
    >>> bool(jnp.all((shaken.factors > 0) == (u > 0)))  # the dead stay dead
    True
    """
    one_of("kind", kind, KINDS)
    noise, factors = not_negative("noise", noise), synapses.factors
    first = (jnp.arange(len(factors)) == 0)[:, None, None]
    alive = _alive(synapses, relative)[None]
    moves = {"living": first & alive, "first": first, "all": alive}[kind]
    draw = noise * normal(key, factors.shape, factors.dtype)
    draw = jnp.where(alive, draw, jnp.abs(draw))
    moved = jnp.maximum(factors + jnp.where(moves, draw, 0.0), 0.0)
    own = jnp.eye(*factors.shape[1:], dtype=bool)
    return Factored(jnp.where(own[None], 0.0, moved), synapses.threshold)


def _alive(synapses: Factored, relative: float) -> Bool[Array, "row n"]:
    check_range("relative", relative, 0, 1)
    if synapses.threshold.shape != synapses.factors.shape[1:2]:
        raise ValueError(
            "`synapses` need a threshold for each row of their factors (factor, row, "
            f"n); got {synapses.threshold.shape} and {synapses.factors.shape}."
        )
    return living(Product().weights(synapses.factors), relative)


@floating
def recall_rate(
    synapses: Factored,
    cues: Patterns,
    patterns: Patterns,
    coding_level: Scalar | float,
    stored: Bool[Array, " cue"] | None = None,
    steps: int = 50,
) -> Scalar:
    """Share of the stored patterns that are recalled from their cues.

    At most a fifth of $fN$ neurons may be wrong after `steps` updates. NaN if no
    pattern is stored. Raises `ValueError` unless the synapses are those of the neurons
    on each other.

    >>> patterns = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))  # two assemblies
    >>> held = synapses.Factored((patterns @ patterns.T)[None], jnp.full(10, 2.5))
    >>> cues = patterns.at[:2, 0].set(0.0)  # 3 of 5 neurons
    >>> float(recall_rate(held, cues, patterns, 0.5))
    1.0
    """
    weights, threshold = Product().weights(synapses.factors), synapses.threshold
    n = len(cues)
    if weights.shape != (n, n) or threshold.shape != (n,):
        raise ValueError(
            f"`synapses` must be those of the {n} neurons of `cues` on each other; got "
            f"factors {synapses.factors.shape} and thresholds {threshold.shape}."
        )
    steps = whole("steps", steps, 1)
    states = retrieve(weights, threshold, cues, steps)
    right = recalled(states, patterns, coding_level).astype(cues.dtype)
    share = jnp.ones_like(right) if stored is None else stored.astype(cues.dtype)
    rate = ratio(jnp.sum(right * share), jnp.sum(share), jnp.nan)
    return unless_lost(rate, weights, threshold, cues, patterns)


@floating
def recall_curve(
    synapses: Factored,
    patterns: Patterns,
    coding_level: Scalar | float,
    levels: Float[Array, " level"],
    keys: Key[Array, " draw"],
    noise: str = "balanced",
    stored: Bool[Array, " cue"] | None = None,
    steps: int = 50,
) -> Float[Array, " level"]:
    r"""Recall rate at every level of a `noise`, mean over draws: `tolerance` reads it.

    Cues flip (`balanced`, `isotropic` or `exact`), a level being flipped bits over
    $fN$, in the mean or (`exact`) rounded to as many ones as zeros; or synapses jitter
    (`living`, `first` or `all`, the kinds of `jitter`), a level being
    $\sigma/\langle u\rangle$ after they are scaled as `observed`.

    >>> patterns = jnp.kron(jnp.eye(2), jnp.ones((5, 1)))  # two assemblies
    >>> held = synapses.Factored((patterns @ patterns.T)[None], jnp.full(10, 2.5))
    >>> levels, keys = [0.0, 0.8, 1.2], jr.split(jr.key(0), 2)
    >>> recall_curve(held, patterns, 0.5, levels, keys, "exact").tolist()
    [1.0, 1.0, 0.0]
    """
    one_of("noise", noise, FLIPS + KINDS)
    scaled, f = observed(synapses), coding_level
    n = len(patterns)

    def rate(level: Scalar, key: Key[Array, ""]) -> Scalar:
        if noise in KINDS:
            shaken = jitter(scaled, level * OBSERVED, key, noise)
            return recall_rate(shaken, patterns, patterns, f, stored, steps)
        if noise == "balanced":
            cues = flip_balanced(patterns, level * f / 2, f, key)
        elif noise == "isotropic":
            cues = flip_isotropic(patterns, level * f, key)
        else:
            count = jnp.round(level * f * n / 2).astype(jnp.int32)
            cues = flip_exactly(patterns, count, key)
        return recall_rate(scaled, cues, patterns, f, stored, steps)

    draws = jax.vmap(rate, (None, 0))
    return jax.lax.map(lambda level: jnp.mean(draws(level, keys)), levels)


@floating
def tolerance(
    levels: Float[Array, " level"], rates: Float[Array, "*batch level"]
) -> Float[Array, "*batch"]:
    """The noise level at which the recall rate first falls to one half.

    Interpolated between `levels`, which increase; the last level where it never does,
    the first one where it is below from the start.

    >>> levels = [0.0, 0.8, 1.2]  # raises `ValueError` unless they increase
    >>> print(f"{tolerance(levels, [1.0, 1.0, 0.0]):.2f}")
    1.00
    """
    if concrete(levels) and not np.all(np.diff(np.asarray(levels)) > 0):
        raise ValueError(f"`levels` must increase; got {levels}.")
    below = rates <= 0.5
    index = jnp.where(jnp.any(below, axis=-1), jnp.argmax(below, axis=-1), -1)
    right = jnp.where(index < 0, len(levels) - 1, index)
    left = jnp.maximum(right - 1, 0)
    at = jnp.take_along_axis(rates, right[..., None], axis=-1)[..., 0]
    before = jnp.take_along_axis(rates, left[..., None], axis=-1)[..., 0]
    drop = before - at
    share = jnp.where(drop > 0, (before - 0.5) / jnp.where(drop > 0, drop, 1.0), 1.0)
    share = jnp.clip(jnp.where(index < 0, 1.0, share), 0.0, 1.0)
    found = levels[left] + share * (levels[right] - levels[left])
    return jnp.where(jnp.any(jnp.isnan(rates), axis=-1), jnp.nan, found)
