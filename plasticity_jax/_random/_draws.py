"""Normal numbers, spike counts and release from random bits."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt32

from .._arguments import check_range, concrete, one_of, SLACK
from ._keys import is_fast, two_words


LAWS = ("bernoulli", "poisson")
MOST = 10  # spikes in a bin; with a mean of at most 1 more come once in 10^8 bins
LEAST = 2.0**-17  # what 16 bits round to 0: up to this, never
ONE = 0x3F800000  # the bits of 1 in single precision
# Minimax polynomials: log2(1 + f) = f + f (1 - f) p(f) to 3e-7 and sin(pi y) =
# y p(y^2), |y| <= 1/2, to 6e-7; highest power first.
LOG2 = (-0.0152090904, 0.0633258168, -0.1297036508, 0.1954363769, -0.2778877940)
LOG2 = (*LOG2, 0.4426664400)
SINE = (-0.5546361962, 2.5418990271, -5.1671427963, 3.1415820221)


def normal(
    key: Key[Array, ""], shape: tuple[int, ...] = (), dtype: Any = None
) -> Float[Array, "*shape"]:
    r"""Independent standard normals: `jax.random.normal`, quicker of a fast key.

    Of a fast key in single precision or less: $\sqrt{-2 \ln p}\, \sin \pi y$ of two
    random words (Box & Muller 1958, one of the pair), $p$ a multiple of $2^{-32}$, so
    up to 6.7 standard deviations; else what `jax.random.normal` draws.

    >>> kicks = normal(fast_key(0), (10_000,))
    >>> print(f"{kicks.std():.1f}")
    1.0
    """
    kind = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
    if not is_fast(key) or jnp.finfo(kind).bits > 32:
        return jr.normal(key, shape, kind)
    first, second = two_words(jr.key_data(key), tuple(shape))
    return (_radius(first) * _sine(second)).astype(kind)


def _radius(word: Array) -> Array:
    r"""$\sqrt{-2 \ln p}$ of $p$: 31 bits of the word, and a half."""
    p = (word >> 1).astype(jnp.int32).astype(jnp.float32) * 2.0**-31 + 2.0**-32
    above = jax.lax.bitcast_convert_type(p, jnp.int32) - ONE
    f = jax.lax.bitcast_convert_type((above & 0x7FFFFF) | ONE, jnp.float32) - 1
    log2 = above.astype(jnp.float32) * 2.0**-23 + f * (1 - f) * _horner(LOG2, f)
    return jnp.sqrt(-2 * math.log(2) * log2)


def _sine(word: Array) -> Array:
    r"""$\sin \pi y$ of $y$ from -1/2 to 1/2: the word, with a sign, over 2^32."""
    y = word.astype(jnp.int32).astype(jnp.float32) * 2.0**-32
    return y * _horner(SINE, y * y)


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = jnp.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total = total * x + c
    return total


def poisson(
    key: Key[Array, ""], mean: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Independent Poisson numbers of any mean: `jax.random.poisson`.

    JAX draws them of its default kind of key alone, and neither fast keys nor those of
    a step of a run are: this takes any, to the same numbers where they are default.

    >>> counts = poisson(fast_key(0), jnp.full(1000, 100.0))
    >>> print(f"{counts.mean() / 100:.1f}")
    1.0
    """
    words = jr.bits(key, (2,), jnp.uint32) if is_fast(key) else jr.key_data(key)
    key = jr.wrap_key_data(words, impl="threefry2x32")
    return jr.poisson(key, mean).astype(mean.dtype)


def spike_counts(
    key: Key[Array, ""],
    mean: Float[Array, "*rates"],
    shape: tuple[int, ...],
    law: str,
    bits: int = 32,
) -> Float[Array, "*shape"]:
    r"""Independent counts of the given `mean`, at most 1: 0 or 1, or Poisson.

    Bernoulli variables compare random integers with a threshold: of 32 `bits`, with the
    next multiple of $2^{-24}$ above the mean, or of 16, with the nearest one of
    $2^{-16}$. Poisson counts invert their distribution, up to 10 spikes. Raises
    `ValueError` for a mean outside [0, 1], or one that 16 bits round to 0; where it is
    traced, counts of such a mean, and of NaN, are NaN.

    >>> print(spike_counts(jr.key(0), jnp.array([0.0, 1.0]), (2, 2), "bernoulli"))
    [[0. 1.]
     [0. 1.]]
    """
    one_of("law", law, LAWS)
    check_range("mean", mean, 0.0, 1.0 + SLACK)
    known = (mean >= 0) & (mean <= 1 + SLACK)
    if bits == 16:
        check_fires("mean", mean)
        known = known & ((mean == 0) | (mean > LEAST))
    one = jnp.where(known, 1.0, jnp.nan).astype(mean.dtype)
    mean, one = jnp.broadcast_to(mean, shape), jnp.broadcast_to(one, shape)
    if law == "poisson":
        wide = single(mean)
        counts = _poisson(jr.uniform(key, shape, wide.dtype), wide)
        return one * counts.astype(mean.dtype)
    # Where the count is NaN it comes always, so that it shows.
    always = jnp.where(jnp.isnan(one), 1.0, mean.astype(jnp.float32))
    if bits == 32:
        threshold = jnp.ceil(always * 2.0**24).astype(jnp.uint32)
        spikes = _words(key, shape) >> 8 < threshold
    else:
        spikes = _below(key, always, shape)
    return jnp.where(spikes, one, 0.0)


def bernoulli(
    key: Key[Array, ""], probability: Float[Array, "*shape"]
) -> Bool[Array, "*shape"]:
    """True with each probability, to the nearest multiple of 1/65,536.

    1 is always true and 0 never. Raises `ValueError` for a probability outside [0, 1],
    or one that is rounded to 0 though it is not; traced values pass.
    """
    check_range("probability", probability, 0.0, 1.0)
    check_fires("probability", probability)
    return _below(key, probability, probability.shape)


def check_fires(name: str, probability: Array) -> None:
    """Raise `ValueError` where 16 random bits never reach a probability above 0."""
    if not concrete(probability):
        return
    entries = np.asarray(probability)
    lost = entries[(entries > 0) & (entries <= LEAST)]
    if lost.size:
        raise ValueError(
            f"`{name}` of {lost.flat[0]:.3g} would never come true: 16 random bits "
            f"round it to 0; it must be 0 or above 2^-17 = {LEAST:.3g}."
        )


def single(numbers: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """What is narrower than single precision in that: chances are compared in it."""
    narrow = jnp.finfo(numbers.dtype).bits < 32
    return numbers.astype(jnp.float32) if narrow else numbers


def _below(
    key: Key[Array, ""], probability: Float[Array, "*shape"], shape: tuple[int, ...]
) -> Bool[Array, "*shape"]:
    """Whether 16 random bits lie below the probability; two draws a word."""
    threshold = jnp.round(probability.astype(jnp.float32) * 2.0**16).astype(jnp.uint32)
    if is_fast(key) and (not shape or shape[0] % 2):  # halves of a row do not fuse
        return jr.bits(key, shape, jnp.uint32) >> 16 < threshold
    size = int(np.prod(shape))
    first, *others = shape if shape and shape[0] % 2 == 0 else (size + size % 2,)
    words = _words(key, (first // 2, *others))
    halves = jnp.concatenate([words >> 16, words & 0xFFFF])
    return halves.reshape(-1)[:size].reshape(shape) < threshold


def _words(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """Random words, computed once.

    XLA repeats the whole generator in whatever reads its bits, for each half of a word
    and for every array made from them, but never a concatenation that is read twice:
    here the two halves of the words, swapped. Fast ones cost less than to keep them.
    """
    if is_fast(key):
        return jr.bits(key, shape, jnp.uint32)
    size = int(np.prod(shape))
    return jnp.roll(jr.bits(key, (size,), jnp.uint32), size // 2).reshape(shape)


def _poisson(uniform: Array, mean: Array) -> Array:
    """Smallest count whose distribution function exceeds a uniform number."""
    mass = jnp.exp(-mean)
    below, count = mass, jnp.zeros_like(uniform)
    for k in range(1, MOST + 1):
        count = count + jnp.where(uniform >= below, 1.0, 0.0).astype(count.dtype)
        mass = mass * mean / k
        below = below + mass
    return count
