"""Synapses that remember more than their weight: how deep, or how long."""

from typing import Any, ClassVar

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import check_range, floating, whole
from .._interfaces import Scalar
from ._reading import AbstractSynapses


class Cascade(AbstractSynapses):
    r"""Weights of -1 or 1, each the harder to switch the deeper its level.

    Fusi, Drew & Abbott 2005. `state` is $\pm i$: the weight's sign and the level, from
    1 (labile) on. `rules.Cascaded` moves them.

    >>> print(Cascade(jnp.array([3.0, -1.0])).weights())
    [ 1. -1.]
    """

    state: Float[Array, "..."]

    reached_by: ClassVar[str] = "Cascaded"

    def weights(self, key: Any = None) -> Array:
        """The signs."""
        return jnp.sign(self.state)


@floating
def random_cascade(
    shape: tuple[int, ...], levels: int, share: Scalar | float, key: Key[Array, ""]
) -> Cascade:
    """A cascade in balance: every level equally full, a `share` of the weights 1.

    Raises `ValueError` unless there is a level and `share` lies in [0, 1]; NaN where it
    is traced.

    >>> synapses = random_cascade((1000,), 3, 0.5, jr.key(0))
    >>> print(np.unique(synapses.state))
    [-3. -2. -1.  1.  2.  3.]
    """
    check_range("share", share, 0, 1)
    shape = tuple(whole("shape", size, 1) for size in shape)
    for_sign, for_level = jr.split(key)
    share = jnp.asarray(share)
    up = jr.uniform(for_sign, shape, share.dtype) < share
    level = jr.randint(for_level, shape, 1, whole("levels", levels, 1) + 1)
    state = jnp.where(up, 1, -1) * level
    known = (share >= 0) & (share <= 1)
    return Cascade(jnp.where(known, state.astype(share.dtype), jnp.nan))


class Chain(AbstractSynapses):
    """A weight and ever slower variables behind it, each coupled to the next.

    Benna & Fusi 2016. `variables` (variable, ...), of which the first is the weight.
    `rules.Chained` moves them. Raises `ValueError` unless there is one.

    >>> print(Chain(jnp.array([[1.0, 2.0], [5.0, 6.0]])).weights())
    [1. 2.]
    """

    variables: Float[Array, "variable ..."]

    reached_by: ClassVar[str] = "Chained"

    def __check_init__(self) -> None:
        if not (np.shape(self.variables) or (0,))[0]:
            raise ValueError(
                "`variables` (variable, ...) must hold one at least; got "
                f"{np.shape(self.variables)}."
            )

    def weights(self, key: Any = None) -> Array:
        """The first variables."""
        return self.variables[0]
