"""Another rule on some synapses only, or in proportion to them."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .._arguments import check_finite, fitted, real, with_array_leaves
from .._interfaces import AbstractRule, Synapses
from ..numerics import masked


class _AbstractChecked(AbstractRule):
    rule: AbstractRule

    def check(self, circuit: Any) -> None:
        self.rule.check(circuit)

    def changed(self, at: Any, signals: Any, key: Key[Array, ""], like: Any) -> Any:
        """The rule's change at some synapses, shaped like those given."""
        who = f"the change of {type(self.rule).__name__}"
        return fitted(who, self.rule(at, signals, key), like)


class Masked(_AbstractChecked):
    """`rule` where `mask` is one, nothing where it is 0, not even 0 times infinity.

    Without a mask where there is a synapse, which is not 0 (`synapses.Rewired`). Where
    mask and synapse are both 0 there is no synapse: no gradient by it either. Raises
    `ValueError` unless the mask is shaped like the synapses.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([1.0, 2.0, 4.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> rule = Masked(Dissipation(0.5), mask=jnp.array([1.0, 0.0, 1.0]))
    >>> (w + rule(w, seen, key)).tolist()
    [0.5, 2.0, 2.0]
    """

    mask: Synapses | None = eqx.field(default=None, converter=with_array_leaves)

    def __check_init__(self) -> None:
        for leaf in jax.tree.leaves(self.mask):
            check_finite("mask", leaf)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        there = lambda w: jnp.where(w == 0, 0, jnp.ones_like(w))
        mask = jax.tree.map(there, synapses)
        if self.mask is not None:
            mask = fitted("`mask`", self.mask, synapses)
        change = self.changed(_present(mask, synapses), signals, key, synapses)
        return jax.tree.map(masked, mask, change)


class Multiplicative(_AbstractChecked):
    """`rule` times the synapses: noise, or a drift, in proportion to their strength.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([0.0, 1.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> noise = Multiplicative(Wiener())(w, seen, key)  # as large as the weight
    >>> print(np.array(noise / Wiener()(w, seen, key)).round(3))
    [0. 1. 2.]
    """

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        change = self.changed(synapses, signals, key, synapses)
        return jax.tree.map(jnp.multiply, synapses, change)


class Projected(_AbstractChecked):
    """`rule`, its flattened change multiplied by the matrix `projector`.

    An entry that no row of the projector takes is nothing, also where it is infinite.
    Raises `ValueError` unless the matrix has a row and a column for each synapse.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([1.0, 2.0, 3.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> rule = Projected(Dissipation(0.5), jnp.full((3, 3), 1 / 3))  # on the mean
    >>> print(np.array(rule(w, seen, key)).round(3))
    [-1. -1. -1.]
    """

    projector: Float[Array, "w w"] = eqx.field(converter=real)

    def __check_init__(self) -> None:
        check_finite("projector", self.projector)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        flat, unravel = ravel_pytree(synapses)
        if self.projector.shape != (flat.size, flat.size):
            raise ValueError(
                f"`projector` must be a matrix of {flat.size} by {flat.size} synapses; "
                f"got {self.projector.shape}."
            )
        matrix = self.projector.astype(flat.dtype)
        taken = jnp.any(matrix != 0, axis=0)
        present = _present(unravel(taken.astype(flat.dtype)), synapses)
        change = ravel_pytree(self.changed(present, signals, key, synapses))[0]
        return unravel(matrix @ jnp.where(taken | jnp.isfinite(change), change, 0.0))


def _present(mask: Synapses, synapses: Synapses) -> Synapses:
    """The synapses; no gradient by those that do not exist, which are 0 and masked."""

    def present(m: Array, w: Array) -> Array:
        absent = (m == 0) & (w == 0)
        return jnp.where(absent, jax.lax.stop_gradient(w), w)

    return jax.tree.map(present, mask, synapses)
