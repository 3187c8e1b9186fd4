"""Kinds of keys that fuse: JAX's own stream unrolled, and a faster generator."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.extend.random import define_prng_impl
from jaxtyping import Array, Key

from .._arguments import one_of, shape_of


TAG, FAST_TAG, NO_TAG = "fryu", "fast", "none"  # how JAX names these kinds
KINDS = ("default", "fast")
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def fast_key(seed: int | Array) -> Key[Array, ""]:
    """A key of the fast generator: split and folded as JAX's, with other numbers.

    Keys are derived by Threefry-2x32 with 13 rounds (Salmon et al. 2011); random words
    are three multiplications of a counter under the key, the same in every batch, order
    and on every device. `numerics.normal`, which everything here draws with, takes a
    quarter of the time in a loop on a CPU; all of `jax.random` works too. Raises
    `TypeError` for a seed that is no integer.

    >>> keys = jr.split(fast_key(0), 8)
    >>> draws = jax.vmap(lambda key: numerics.normal(key, (1000,)))(keys)
    >>> print(draws.shape, f"{draws.std():.1f}")
    (8, 1000) 1.0
    """
    return jr.key(seed, impl=FAST)


def undrawn() -> Key[Array, ""]:
    """What stands for a key that was not given: `ValueError` where it is drawn from."""
    return jr.key(0, impl=UNDRAWN)


def key_of(kind: str, seed: int) -> Key[Array, ""]:
    """A key of a kind by its name; `ValueError` for another name."""
    one_of("keys", kind, KINDS)
    return fast_key(seed) if kind == "fast" else jr.key(seed)


def is_fast(key: Any) -> bool:
    """Whether these keys are the fast generator's."""
    return str(jr.key_impl(key)) == FAST_TAG


def unrolled(key: Key[Array, "..."]) -> Key[Array, "..."]:
    """The same stream under an implementation that fuses.

    Raises `ValueError` for keys that are neither threefry's nor fast: what `rbg` draws
    depends on the batch that a run is in.

    >>> print(jr.uniform(unrolled(jr.key(0))) == jr.uniform(jr.key(0)))
    True
    """
    check_key("key", key)
    partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if str(jr.key_impl(key)) in (FAST_TAG, NO_TAG) or not partitionable:
        return key
    return jr.wrap_key_data(jr.key_data(key), impl=THREEFRY)


def check_key(name: str, keys: Any) -> None:
    """Raise `ValueError` unless these are keys, threefry's or fast ones."""
    try:
        kind = str(jr.key_impl(keys))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be made by jax.random.key; got {shape_of(keys)}."
        ) from error
    if kind not in ("threefry2x32", TAG, FAST_TAG, NO_TAG):
        raise ValueError(
            f"`{name}` is of the kind '{kind}', whose draws depend on the batch that a "
            "run is in; make threefry keys: jax.random.key(0, impl='threefry2x32')."
        )


def two_words(key: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Two random words for each entry, from the data of a fast key.

    The counter goes through triple32, a bijection of 32 bits (C. Wellons, Hash
    Prospector, 2018), half of a hashed key added before its first multiplication and
    the other half after. The first word is what comes out and what went in there, so
    that words recur as random ones do; the second goes through it again. Both, one
    after the other, pass TestU01's Crush (L'Ecuyer & Simard 2007): 144 statistics.
    SmallCrush passes either alone, a stride of counters, bits reversed, words of 65
    keys that differ in one bit, and the first 36 words, or one, of keys folded in.
    """
    # Stacked, so that the loop over the entries does not hold the rounds of their key.
    early, late = jax.lax.optimization_barrier(jnp.stack(_rounds(key, 1, 0, 13)))
    once = _first_third(_counters(shape) + early)
    whole = _two_thirds(once ^ late)
    return whole ^ once, _two_thirds(_first_third(whole ^ early))


def _first_third(x: Array) -> Array:
    """Triple32 to its first multiplication."""
    return (x ^ x >> 17) * np.uint32(0xED5AD4BB)


def _two_thirds(x: Array) -> Array:
    """Triple32 from there."""
    x = (x ^ x >> 11) * np.uint32(0xAC4C1B51)
    x = (x ^ x >> 15) * np.uint32(0x31848BAB)
    return x ^ x >> 14


def _rounds(key: Array, high: int, low: Any, count: int) -> tuple[Array, Array]:
    """Threefry-2x32 with `count` rounds of the counters (high, low), Salmon et al."""
    first, second = key[0], key[1]
    schedule = (first, second, first ^ second ^ np.uint32(0x1BD11BDA))
    a, b = first + np.uint32(high), low + second
    for i in range(count):
        a, b = _round(a, b, np.uint32(ROTATIONS[i // 4 % 2][i % 4]))
        if i % 4 == 3:
            a = a + schedule[(i // 4 + 1) % 3]
            b = b + schedule[(i // 4 + 2) % 3] + np.uint32(i // 4 + 1)
    return a, b


@jax.jit  # a function of the program: traced once, and inlined by XLA
def _round(a: Array, b: Array, rotation: Any) -> tuple[Array, Array]:
    a = a + b
    return a, ((b << rotation) | (b >> (np.uint32(32) - rotation))) ^ a


def _counters(shape: tuple[int, ...]) -> Array:
    return jax.lax.iota(np.uint32, math.prod(shape)).reshape(shape)


def _seed(seed: Array) -> Array:
    return jr.key_data(jr.key(seed, impl="threefry2x32"))


def _derived(key: Array, low: Any, rounds: int) -> Array:
    """A key from a key, computed once: fused, every use would repeat the chain."""
    words = _rounds(key, 0, low, rounds)
    return jax.lax.optimization_barrier(jnp.stack(words, axis=-1))


def _as_wide(words: tuple[Array, Array], width: int) -> Array:
    """Random bits of `width` from two words: both for 64, else the first."""
    high, low = words
    if width == 64:
        return (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return high.astype(np.dtype(f"uint{width}"))


# Functions of the module: a key that comes back from another process must be of the
# same kind, which partial functions and lambdas are not.
def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return _derived(key, _counters(shape), 20)


def _fold_in(key: Array, data: Any) -> Array:
    return _derived(key, jnp.asarray(data).astype(np.uint32), 20)


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    high, low = _rounds(key, 0, _counters(shape), 20)
    return _as_wide((high, low) if width == 64 else (high ^ low, low), width)


def _split_fast(key: Array, shape: tuple[int, ...]) -> Array:
    return _derived(key, _counters(shape), 13)


def _fold_in_fast(key: Array, data: Any) -> Array:
    return _derived(key, jnp.asarray(data).astype(np.uint32), 13)


def _bits_fast(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    return _as_wide(two_words(key, shape), width)


def _no_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    raise ValueError("draws, so it needs a `key`, such as jax.random.key(0).")


THREEFRY = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="threefry2x32_unrolled",
    tag=TAG,
)
"""Unrolled threefry: the stream of `jax.random.key`, bit for bit."""

FAST = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split_fast,
    random_bits=_bits_fast,
    fold_in=_fold_in_fast,
    name="plasticity_jax_fast",
    tag=FAST_TAG,
)
"""The fast generator."""

UNDRAWN = define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_no_bits,
    fold_in=_fold_in,
    name="plasticity_jax_undrawn",
    tag=NO_TAG,
)
"""Of no stream."""
