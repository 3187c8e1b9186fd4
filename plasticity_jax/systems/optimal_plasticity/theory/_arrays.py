"""Losses and weights of numbers, as arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .... import Synapses
from ...._arguments import fitted
from ....curvature import arrays_of


Loss = Callable[[Synapses], Array]


def _in_arrays(
    loss: Loss, weights: PyTree, **others: PyTree
) -> tuple[Loss, Synapses, list[Synapses]]:
    """The same, numbers as arrays; `ValueError` unless all are shaped alike."""
    weights, loss = arrays_of(loss, weights)
    weights = jax.tree.map(jnp.asarray, weights)
    fit = lambda name: fitted(f"`{name}`", others[name], weights, "weights")
    return loss, weights, [fit(name) for name in others]
