"""Threefry with its rounds written out: the bits of `jax.random.key`, but faster.

JAX lowers threefry on a CPU to a loop, which XLA cannot fuse with what follows; drawn
inside a scan it costs several times more than the same arithmetic written out.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.extend.random import define_prng_impl
from jaxtyping import Array, Key

from ._arguments import shape_of


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
