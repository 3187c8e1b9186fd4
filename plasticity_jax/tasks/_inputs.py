"""Random weights, inputs, patterns of 0 and 1, and orders to show them in."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key

from .._arguments import check_stored, concrete, floating, whole
from .._interfaces import Scalar
from ..numerics import normal


def glorot_uniform(
    sizes: tuple[int, ...], key: Key[Array, ""]
) -> tuple[Float[Array, "post pre"], ...]:
    r"""Weight matrices between layers of `sizes`, uniform in $\pm\sqrt{6/(n+m)}$.

    Raises `ValueError` unless there are two layers of a unit at least.

    >>> first, second = glorot_uniform((3, 2, 1), jr.key(0))
    >>> first.shape, second.shape, bool(abs(first).max() <= (6 / 5) ** 0.5)
    ((2, 3), (1, 2), True)
    """
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must name two layers at least; got {sizes}.")
    sizes = tuple(whole("sizes", size, 1) for size in sizes)
    pairs = list(pairwise(sizes))
    keys = jr.split(key, len(pairs))
    bounds = [(6 / (pre + post)) ** 0.5 for pre, post in pairs]
    return tuple(
        jr.uniform(k, (post, pre), minval=-bound, maxval=bound)
        for k, (pre, post), bound in zip(keys, pairs, bounds, strict=True)
    )


def mixed_normal(
    features: int, samples: int, key: Key[Array, ""]
) -> Float[Array, "feature sample"]:
    r"""Inputs $u = Az$, $z \sim N(0, I)$, with one square $A$ of standard normals.

    Their second moment $AA^\top$ is strongly anisotropic. Raises `ValueError` unless
    there is a feature and a sample.

    >>> mixed_normal(features=3, samples=100, key=jr.key(0)).shape
    (3, 100)
    """
    features, samples = whole("features", features, 1), whole("samples", samples, 1)
    for_mixing, for_sources = jr.split(key)
    mixing = normal(for_mixing, (features, features))
    return jnp.matmul(mixing, normal(for_sources, (features, samples)))


@floating
def draw_patterns(
    n: int,
    count: int,
    coding_level: Scalar | float,
    key: Key[Array, ""],
    *,
    exact: bool = False,
) -> Float[Array, "n pattern"]:
    """`count` patterns of `n` bits, active with probability `coding_level`.

    With `exact`, each has `coding_level` n of them, rounded. A pattern has a stream of
    its own, so more patterns leave the first ones as they were. Raises `ValueError`
    unless 0 < `coding_level` < 1, and with `exact` where it rounds to no bit or to all;
    patterns are NaN where that is traced.

    >>> patterns = draw_patterns(4, 3, coding_level=0.5, key=jr.key(0), exact=True)
    >>> patterns.sum(axis=0).tolist()
    [2.0, 2.0, 2.0]
    """
    n, count = whole("n", n, 1), whole("count", count, 1)
    keys = jax.vmap(lambda index: jr.fold_in(key, index))(jnp.arange(count))
    chance = jax.vmap(lambda k: jr.uniform(k, (n,)))(keys).T
    level = jnp.asarray(coding_level, chance.dtype)
    inside = (level > 0) & (level < 1)
    if exact:
        chance = jnp.argsort(jnp.argsort(chance, axis=0), axis=0).astype(chance.dtype)
        level = jnp.round(level * n)
        inside = inside & (level >= 1) & (level <= n - 1)
    if concrete(inside) and not inside:
        some = f", and make 1 to {n - 1} of {n} bits active" if exact else ""
        raise ValueError(
            f"`coding_level` must lie between 0 and 1, both excluded{some}; got "
            f"{coding_level}."
        )
    return jnp.where(inside, jnp.where(chance < level, 1.0, 0.0), jnp.nan)


def epoch_orders(
    count: int, epochs: int, key: Key[Array, ""], stored: Array | None = None
) -> Int[Array, " step"]:
    """Random orders of `count` items, a fresh one for each of `epochs`, end to end.

    Of items that are not `stored` (count,) each epoch shows stored ones instead, in
    turn, so that shapes do not depend on how many are stored. Raises `ValueError`
    unless there is an epoch and an item, and a stored one.

    >>> order = epoch_orders(3, epochs=2, key=jr.key(0))
    >>> sorted(order[:3].tolist()), sorted(order[3:].tolist())
    ([0, 1, 2], [0, 1, 2])
    """
    count, epochs = whole("count", count), whole("epochs", epochs)
    if count < 1 or epochs < 1:
        raise ValueError(
            f"`count` and `epochs` must be at least 1; got {count} and {epochs}."
        )
    if stored is not None:
        check_stored(stored, count)

    def order(key: Key[Array, ""]) -> Int[Array, " item"]:
        chance = jr.uniform(key, (count,))
        if stored is None:
            return jnp.argsort(chance)
        ranks = jnp.argsort(jnp.where(stored, chance, 2.0))
        kept = jnp.maximum(jnp.sum(stored.astype(jnp.int32)), 1)
        return ranks[jnp.arange(count) % kept]

    return jax.vmap(order)(jr.split(key, epochs)).reshape(-1)
