"""Stimuli that are fixed, or taken from a fixed set: in order or resampled."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, Integer, Key, PyTree

from .._arguments import check_indices, check_lengths, check_takes, with_array_leaves
from .._interfaces import AbstractTask


class Constant(AbstractTask):
    """The same stimulus (any pytree, `None` included) at every step.

    >>> task = Constant({"pre": jnp.ones(3), "target": jnp.zeros(2)})
    >>> task(jnp.array(7), jr.key(0))["pre"].tolist()
    [1.0, 1.0, 1.0]
    """

    stimulus: PyTree = eqx.field(converter=with_array_leaves)

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        return self.stimulus


class Drawn(AbstractTask):
    """A stimulus `draw(key)` drawn anew at every step.

    A module-level function, or `jax.tree_util.Partial` of one with its arrays.

    >>> task = Drawn(lambda key: jr.permutation(key, 4))
    >>> sorted(task(jnp.array(0), jr.key(0)).tolist())
    [0, 1, 2, 3]
    """

    draw: Callable[[Any], PyTree]

    def __check_init__(self) -> None:
        check_takes("draw", self.draw, "key")

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        return self.draw(key)


class Bootstrap(AbstractTask):
    """Samples drawn with replacement at every step, as many as there are.

    `samples` is a pytree whose leaves have the sample axis last. Raises `ValueError`
    unless they agree in its length.

    >>> drawn = Bootstrap(jnp.arange(5.0))(jnp.array(0), jr.key(0))
    >>> drawn.shape, bool(jnp.isin(drawn, jnp.arange(5.0)).all())
    ((5,), True)
    """

    samples: PyTree

    def __check_init__(self) -> None:
        check_lengths("samples", self.samples, axis=-1)

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        count = jax.tree.leaves(self.samples)[0].shape[-1]
        chosen = jr.randint(key, (count,), 0, count)
        return jax.tree.map(lambda leaf: leaf[..., chosen], self.samples)


class Recorded(AbstractTask):
    """A recorded stimulus: every leaf of `stimuli` has the steps along its first axis.

    After the last step it starts again. Raises `ValueError` unless all leaves have as
    many steps, one at least.

    >>> task = Recorded({"pre": jnp.array([[1.0, 0.0], [0.0, 2.0]])})
    >>> [task(jnp.array(step), jr.key(0))["pre"].tolist() for step in range(3)]
    [[1.0, 0.0], [0.0, 2.0], [1.0, 0.0]]
    """

    stimuli: PyTree = eqx.field(converter=lambda tree: jax.tree.map(jnp.asarray, tree))

    def __check_init__(self) -> None:
        check_lengths("stimuli", self.stimuli)

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[step % len(leaf)], self.stimuli)


class Epochs(AbstractTask):
    """One item a step, all items once an epoch, in the `order` drawn beforehand.

    `items` is a pytree whose leaves have the item axis last; `order` (step,) holds
    indices into it (`epoch_orders` draws them) and starts anew when it ends. Raises
    `ValueError` unless leaves agree in length and hold an item for each index; items of
    a traced index beyond them are NaN; integers, which cannot be, are the least number
    of their type, or the greatest of an unsigned one.

    >>> task = Epochs(jnp.array([10.0, 20.0, 30.0]), order=jnp.array([2, 0, 1]))
    >>> [float(task(jnp.array(step), jr.key(0))) for step in range(4)]
    [30.0, 10.0, 20.0, 30.0]
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
