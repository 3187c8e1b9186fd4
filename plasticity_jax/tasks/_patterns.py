"""Random patterns of 0 and 1, and their presentation in epochs."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, Key

from .._interfaces import AbstractTask, Scalar


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
    unless 0 < `coding_level` < 1.
    """
    if not isinstance(coding_level, Tracer) and not 0 < np.asarray(coding_level) < 1:
        raise ValueError(
            f"`coding_level` must lie between 0 and 1, both excluded; got "
            f"{coding_level}."
        )
    keys = jax.vmap(lambda index: jr.fold_in(key, index))(jnp.arange(count))
    chance = jax.vmap(lambda k: jr.uniform(k, (n,)))(keys).T
    if exact:
        chance = jnp.argsort(jnp.argsort(chance, axis=0), axis=0).astype(chance.dtype)
        coding_level = jnp.round(jnp.asarray(coding_level, chance.dtype) * n)
    return jnp.where(chance < coding_level, 1.0, 0.0)


class Epochs(AbstractTask):
    """One item a step, all items once an epoch, in the `order` drawn beforehand.

    `items` is a pytree whose leaves have the item axis last; `order` (step,) holds
    indices into it (`epoch_orders` draws them) and starts anew when it ends.
    """

    items: Any
    order: Int[Array, " step"]

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Any:
        del key
        chosen = self.order[step % len(self.order)]
        return jax.tree.map(lambda leaf: leaf[..., chosen], self.items)


def epoch_orders(
    count: int, epochs: int, key: Key[Array, ""], stored: Array | None = None
) -> Int[Array, " step"]:
    """Random orders of `count` items, a fresh one for each of `epochs`, end to end.

    Of items that are not `stored` (count,) each epoch shows stored ones instead, in
    turn, so that shapes do not depend on how many are stored.
    """
    if count < 1 or epochs < 1:
        raise ValueError(
            f"`count` and `epochs` must be at least 1; got {count} and {epochs}."
        )

    def order(key: Key[Array, ""]) -> Int[Array, " item"]:
        chance = jr.uniform(key, (count,))
        if stored is None:
            return jnp.argsort(chance)
        ranks = jnp.argsort(jnp.where(stored, chance, 2.0))
        kept = jnp.maximum(jnp.sum(stored.astype(jnp.int32)), 1)
        return ranks[jnp.arange(count) % kept]

    return jax.vmap(order)(jr.split(key, epochs)).reshape(-1)
