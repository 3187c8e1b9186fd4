"""Synapses of layers that also send back."""

from typing import Any, ClassVar

from jaxtyping import Array, Float

from .._arguments import fitted, shape_of
from ._reading import AbstractSynapses


Matrices = tuple[Float[Array, "_ _"], ...]


class Reciprocal(AbstractSynapses):
    """Weights up through the layers and weights of their own on the way down.

    `forward` are matrices (post, pre), from the first layer to the last, `feedback`
    those that bring errors back, each shaped like the transposed forward weights of
    the layer above: one fewer. As `weights` the forward ones are read. Raises
    `ValueError` unless they fit.

    >>> up = jnp.ones((4, 3)), jnp.ones((2, 4))
    >>> synapses = Reciprocal(up, (jnp.zeros((4, 2)),))
    >>> print([w.shape for w in weights(synapses)])
    [(4, 3), (2, 4)]
    """

    forward: Matrices
    feedback: Matrices

    reached_by: ClassVar[str] = "KolenPollack"

    def __check_init__(self) -> None:
        if not isinstance(self.forward, tuple):
            raise ValueError(
                f"`forward` must be a tuple of matrices; got {shape_of(self.forward)}."
            )
        above = tuple(w.T for w in self.forward[1:])
        fitted("`feedback`", self.feedback, above, "transposed weights above")

    def weights(self, key: Any = None) -> Matrices:
        """The forward ones."""
        return self.forward
