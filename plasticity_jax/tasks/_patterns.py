"""Random patterns of 0 and 1, and their presentation in epochs."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key

from .._arguments import (
    check_indices,
    check_lengths,
    check_stored,
    concrete,
    floating,
    whole,
)
from .._interfaces import AbstractTask, Scalar


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


class Epochs(AbstractTask):
    """One item a step, all items once an epoch, in the `order` drawn beforehand.

    `items` is a pytree whose leaves have the item axis last; `order` (step,) holds
    indices into it (`epoch_orders` draws them) and starts anew when it ends. Raises
    `ValueError` unless leaves agree in length and hold an item for each index; items of
    a traced index beyond them are NaN; integers, which cannot be, are the least number
    of their type, or the greatest of an unsigned one.
    """

    items: Any
    order: Integer[Array, " step"]

    def __check_init__(self) -> None:
        count = check_lengths("items", self.items, axis=-1)
        if np.ndim(self.order) != 1 or not np.size(self.order):
            raise ValueError(
                f"`order` must have one axis, of a step at least; got "
                f"{np.shape(self.order)}."
            )
        check_indices("order", self.order, count, "items")

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Any:
        chosen = self.order[step % len(self.order)].astype(jnp.int32)
        chosen = jnp.where(chosen < 0, np.iinfo(np.int32).max, chosen)  # also beyond
        shown = lambda leaf: jnp.asarray(leaf).at[..., chosen].get(mode="fill")
        return jax.tree.map(shown, self.items)


def epoch_orders(
    count: int, epochs: int, key: Key[Array, ""], stored: Array | None = None
) -> Int[Array, " step"]:
    """Random orders of `count` items, a fresh one for each of `epochs`, end to end.

    Of items that are not `stored` (count,) each epoch shows stored ones instead, in
    turn, so that shapes do not depend on how many are stored. Raises `ValueError`
    unless there is an epoch and an item, and a stored one.
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
