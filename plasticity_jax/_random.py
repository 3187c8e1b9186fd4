"""Spike counts and release from random bits."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Key, UInt32

from ._interfaces import Scalar


LAWS = ("bernoulli", "poisson")
MOST = 10  # spikes in a bin; with a mean of at most 1 more come once in 10^8 bins


def spike_counts(
    key: Key[Array, ""],
    mean: Float[Array, "*rates"],
    shape: tuple[int, ...],
    law: str,
    bits: int = 32,
) -> Float[Array, "*shape"]:
    r"""Independent counts of the given `mean`, at most 1: 0 or 1, or Poisson.

    Bernoulli variables compare random integers of 32 or 16 `bits` with a threshold,
    Poisson counts invert their distribution, up to 10 spikes.
    """
    mean = jnp.broadcast_to(mean, shape)
    if law == "poisson":
        return _poisson(jr.uniform(key, shape, mean.dtype), mean)
    if bits == 32:
        threshold = jnp.ceil(mean.astype(jnp.float32) * 2.0**24).astype(jnp.uint32)
        spikes = _words(key, shape) >> 8 < threshold
        return jnp.where(spikes, 1.0, 0.0).astype(mean.dtype)
    spikes = _below(key, mean, shape)
    return jnp.where(spikes, 1.0, 0.0).astype(mean.dtype)


def bernoulli(
    key: Key[Array, ""], probability: Float[Array, "*shape"]
) -> Bool[Array, "*shape"]:
    """True with each probability, to the nearest multiple of 1/65,536.

    1 is always true and 0 never.
    """
    return _below(key, probability, probability.shape)


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


def check_bins(rates: Array, bin_width: Scalar, name: str) -> None:
    """Raise `ValueError` if a rate expects more than one spike in a bin."""
    if isinstance(rates, Tracer) or isinstance(bin_width, Tracer):
        return
    most = float(np.max(np.asarray(rates) * np.asarray(bin_width)))
    if most > 1 + 1e-6:
        raise ValueError(
            f"`{name}` up to {float(np.max(np.asarray(rates))):.4g} Hz in bins of "
            f"{float(bin_width):.3g} s give a probability per bin of {most:.3g}; "
            "at most 1 is allowed: shorten the bin."
        )
