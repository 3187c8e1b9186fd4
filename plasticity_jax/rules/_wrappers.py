"""Rules that change another rule a little."""

from typing import Any

import equinox as eqx
import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .._interfaces import AbstractRule, real, Scalar, Synapses
from .._trees import tree_scale, tree_unit


class Scaled(AbstractRule):
    """`rule` times `scale`."""

    rule: AbstractRule
    scale: Scalar = eqx.field(converter=real)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(self.scale, self.rule(synapses, signals, key))


class Normalised(AbstractRule):
    """`rule`, its whole change (all leaves together) rescaled to length `norm`.

    A change of zero stays zero.
    """

    rule: AbstractRule
    norm: Scalar = eqx.field(converter=real)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(self.norm, tree_unit(self.rule(synapses, signals, key)))


class Masked(AbstractRule):
    """`rule` where `mask` (shaped like the synapses) is one, nothing where it is 0."""

    rule: AbstractRule
    mask: Synapses

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        change = self.rule(synapses, signals, key)
        return jax.tree.map(lambda m, d: m * d, self.mask, change)


class Projected(AbstractRule):
    """`rule`, its flattened change multiplied by the matrix `projector`."""

    rule: AbstractRule
    projector: Float[Array, "w w"] = eqx.field(converter=real)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        flat, unravel = ravel_pytree(self.rule(synapses, signals, key))
        return unravel(self.projector @ flat)
