"""What is enforced on plain weights, shaped (post, pre)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import admit, check_signs, concrete, fitted, one_of, real, require
from .._interfaces import AbstractProjection, Scalar, Synapses
from ..numerics import root


Matrix = Float[Array, "post pre"]


class Bounded(AbstractProjection):
    """Every weight between `low` and `high`; NaN stays NaN.

    The derivative is 1 on a bound and 0 beyond it. Raises `ValueError` unless `low` is
    at most `high`, NaN where they are traced, or where a run starts with weights
    outside.

    >>> print(Bounded(0.0, 1.0)(jnp.array([-0.5, 0.5, 2.0])))
    [0.  0.5 1. ]
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

    def check(self, synapses: Synapses) -> None:
        must = f"lie in [{self.low}, {self.high}], its bounds, at the start"
        for w in jax.tree.leaves(synapses):
            low, high = self._bounds(w)
            admit("synapses", w, (w < low) | (w > high), must)

    def __call__(
        self, synapses: Synapses, signals: Any = None, key: Any = None
    ) -> Synapses:
        def clip(w: Array) -> Array:
            low, high = self._bounds(w)
            w = jnp.where(low <= high, w, jnp.nan)
            above = jnp.where(w < low, low, w)  # half the time of jnp.clip
            return jnp.where(above > high, high, above)

        return jax.tree.map(clip, synapses)

    def _bounds(self, weights: Array) -> tuple[Array, Array]:
        return self.low.astype(weights.dtype), self.high.astype(weights.dtype)


class Normed(AbstractProjection):
    """The weights `into` or `out of` each neuron multiplied to a length of `norm`.

    `order` 1 holds the sum of absolute weights, 2 their Euclidean length. A neuron
    without weights keeps none. Raises `ValueError` for another side or order.

    >>> print(Normed()(jnp.array([[3.0, 4.0]])).round(3))
    [[0.6 0.8]]
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
        normed = shares * jnp.where(empty, 1, scale)
        return jnp.where(self.norm >= 0, normed, jnp.nan)


class Dale(AbstractProjection):
    """Each presynaptic neuron has one sign: weights of the other are 0.

    `signs` (pre,) are 1 for excitatory and -1 for inhibitory neurons. Raises
    `ValueError` for other signs, where they do not fit the weights, or where a run
    starts with weights of the other sign.

    >>> dale = Dale(jnp.array([1.0, -1.0]))
    >>> print(dale(jnp.array([[2.0, 3.0], [-2.0, -3.0]])))
    [[ 2.  0.]
     [ 0. -3.]]
    """

    signs: Float[Array, " pre"] = eqx.field(converter=real)

    def __check_init__(self) -> None:
        check_signs("signs", self.signs)

    def __call__(
        self, synapses: Matrix, signals: Any = None, key: Any = None
    ) -> Matrix:
        kept = jnp.where(self._wrong(synapses), 0, synapses)
        return jnp.where(jnp.abs(self.signs)[None] == 1, kept, jnp.nan)

    def check(self, synapses: Matrix) -> None:
        must = "have the signs that `Dale` gives their presynaptic neurons"
        admit("synapses", synapses, self._wrong(synapses), must)

    def _wrong(self, synapses: Matrix) -> Bool[Array, "post pre"]:
        signs = fitted("`signs`", self.signs, synapses[0])
        return synapses * signs[None] < 0
