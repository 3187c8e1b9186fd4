"""Stimuli that are fixed, or resampled from a fixed set."""

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import Array, Int, Key, PyTree

from .._arguments import check_lengths, with_array_leaves
from .._interfaces import AbstractTask


class Constant(AbstractTask):
    """The same stimulus (any pytree, `None` included) at every step."""

    stimulus: PyTree = eqx.field(converter=with_array_leaves)

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        return self.stimulus


class Bootstrap(AbstractTask):
    """Samples drawn with replacement at every step, as many as there are.

    `samples` is a pytree whose leaves have the sample axis last. Raises `ValueError`
    unless they agree in its length.
    """

    samples: PyTree

    def __check_init__(self) -> None:
        check_lengths("samples", self.samples, axis=-1)

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        count = jax.tree.leaves(self.samples)[0].shape[-1]
        chosen = jr.randint(key, (count,), 0, count)
        return jax.tree.map(lambda leaf: leaf[..., chosen], self.samples)
