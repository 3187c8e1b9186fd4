"""What is enforced on plain weights, shaped (post, pre)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import check_signs, concrete, fitted, one_of, real, require
from .._interfaces import AbstractProjection, Scalar, Synapses
from ..numerics import root


Matrix = Float[Array, "post pre"]


class Bounded(AbstractProjection):
    """Every weight between `low` and `high`; NaN stays NaN.

    Raises `ValueError` unless `low` is at most `high`.
    """

    low: Scalar = eqx.field(default=0.0, converter=real)
    high: Scalar = eqx.field(default=jnp.inf, converter=real)

    def __check_init__(self) -> None:
        if concrete(self.low, self.high) and not np.all(
            np.asarray(self.low) <= np.asarray(self.high)
        ):
            raise ValueError(
                f"`low` = {self.low} must be at most `high` = {self.high}."
            )

    def __call__(
        self, synapses: Synapses, signals: Any = None, key: Any = None
    ) -> Synapses:
        clip = lambda w: jnp.clip(
            w, self.low.astype(w.dtype), self.high.astype(w.dtype)
        )
        return jax.tree.map(clip, synapses)


class Normed(AbstractProjection):
    """The weights `into` or `out of` each neuron multiplied to a length of `norm`.

    `order` 1 holds the sum of absolute weights, 2 their Euclidean length. A neuron
    without weights keeps none.
    """

    norm: Scalar = eqx.field(default=1.0, converter=real)
    side: str = eqx.field(default="into", static=True)
    order: int = eqx.field(default=2, static=True)

    def __check_init__(self) -> None:
        require(self, norm=(0.0, np.inf))
        one_of("side", self.side, ("into", "out of"))
        if self.order not in (1, 2):
            raise ValueError(f"`order` must be 1 or 2; got {self.order}.")

    def __call__(
        self, synapses: Matrix, signals: Any = None, key: Any = None
    ) -> Matrix:
        axis = 1 if self.side == "into" else 0
        largest = jnp.max(jnp.abs(synapses), axis=axis, keepdims=True, initial=0)
        largest = jax.lax.stop_gradient(jnp.where(largest == 0, 1, largest))
        shares = synapses / largest  # whose squares neither overflow nor vanish
        if self.order == 1:
            length = jnp.sum(jnp.abs(shares), axis=axis, keepdims=True)
        else:
            length = root(jnp.sum(shares**2, axis=axis, keepdims=True))
        empty = length == 0
        scale = self.norm.astype(synapses.dtype) / jnp.where(empty, 1, length)
        return shares * jnp.where(empty, 1, scale)


class Dale(AbstractProjection):
    """Each presynaptic neuron has one sign: weights of the other are 0.

    `signs` (pre,) are 1 for excitatory and -1 for inhibitory neurons. Raises
    `ValueError` for other signs, or where they do not fit the weights.
    """

    signs: Float[Array, " pre"] = eqx.field(converter=real)

    def __check_init__(self) -> None:
        check_signs("signs", self.signs)

    def __call__(
        self, synapses: Matrix, signals: Any = None, key: Any = None
    ) -> Matrix:
        signs = fitted("`signs`", self.signs, synapses[0]).astype(synapses.dtype)
        wrong = synapses * signs[None] < 0
        return jnp.where(wrong, 0, synapses)
