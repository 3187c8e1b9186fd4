"""Spike counts and release from random bits."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.extend.random import define_prng_impl
from jaxtyping import Array, Bool, Float, Key, UInt32

from ._arguments import check_range, concrete, one_of, shape_of, SLACK


LAWS = ("bernoulli", "poisson")
MOST = 10  # spikes in a bin; with a mean of at most 1 more come once in 10^8 bins
LEAST = 2.0**-17  # what 16 bits round to 0: up to this, never


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
    size = int(np.prod(shape))
    first, *others = shape if shape and shape[0] % 2 == 0 else (size + size % 2,)
    words = _words(key, (first // 2, *others))
    halves = jnp.concatenate([words >> 16, words & 0xFFFF])
    return halves.reshape(-1)[:size].reshape(shape) < threshold


def _words(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    """Random words, computed once.

    XLA repeats the whole generator in whatever reads its bits, for each half of a word
    and for every array made from them, but never a concatenation that is read twice:
    here the two halves of the words, swapped.
    """
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


TAG = "fryu"  # how JAX names the unrolled kind
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def unrolled(key: Key[Array, "..."]) -> Key[Array, "..."]:
    """The same stream under an implementation that fuses.

    Raises `ValueError` for keys that are not threefry's: what `rbg` draws depends on
    the batch that a run is in.
    """
    check_threefry("key", key)
    partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    return jr.wrap_key_data(jr.key_data(key), impl=THREEFRY) if partitionable else key


def check_threefry(name: str, keys: Any) -> None:
    """Raise `ValueError` unless these are keys, and threefry's."""
    try:
        kind = str(jr.key_impl(keys))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be made by jax.random.key; got {shape_of(keys)}."
        ) from error
    if kind not in ("threefry2x32", TAG):
        raise ValueError(
            f"`{name}` is of the kind '{kind}', whose draws depend on the batch that a "
            "run is in; make threefry keys: jax.random.key(0, impl='threefry2x32')."
        )


def _rounds(key: Array, low: Any) -> tuple[Array, Array]:
    """Threefry-2x32 with 20 rounds of the counters (0, low) (Salmon et al. 2011)."""
    first, second = key[0], key[1]
    schedule = (first, second, first ^ second ^ np.uint32(0x1BD11BDA))
    a, b = first, low + second
    for i in range(5):
        for rotation in ROTATIONS[i % 2]:
            left, right = np.uint32(rotation), np.uint32(32 - rotation)
            a = a + b
            b = ((b << left) | (b >> right)) ^ a
        a = a + schedule[(i + 1) % 3]
        b = b + schedule[(i + 2) % 3] + np.uint32(i + 1)
    return a, b


def _counters(shape: tuple[int, ...]) -> Array:
    return jax.lax.iota(np.uint32, math.prod(shape)).reshape(shape)


def _seed(seed: Array) -> Array:
    return jr.key_data(jr.key(seed, impl="threefry2x32"))


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return _derived(_rounds(key, _counters(shape)))


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    high, low = _rounds(key, _counters(shape))
    if width == 64:
        return (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return (high ^ low).astype(np.dtype(f"uint{width}"))


def _fold_in(key: Array, data: Any) -> Array:
    return _derived(_rounds(key, jnp.asarray(data).astype(np.uint32)))


def _derived(words: tuple[Array, Array]) -> Array:
    """A key from its words, computed once: fused, every use would repeat the chain."""
    return jax.lax.optimization_barrier(jnp.stack(words, axis=-1))


THREEFRY = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="threefry2x32_unrolled",
    tag=TAG,
)
