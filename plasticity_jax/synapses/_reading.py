"""What a circuit reads of synapses that have variables of their own."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.random as jr
from jaxtyping import PyTree

from .._arguments import check_takes
from .._interfaces import stream, Synapses


class AbstractSynapses(eqx.Module):
    """Synapses that are not their weights: they say what a circuit reads of them.

    Circuits read `weights(synapses, key)`, so that such synapses run in each of them;
    `rules.Reparametrised` carries a rule for weights to their own variables. Arrays in
    the fields are these variables: all of them may change.

    >>> class Exponential(AbstractSynapses):
    ...     log: jax.Array
    ...     def weights(self, key=None):
    ...         return jnp.exp(self.log)
    >>> print(weights(Exponential(jnp.zeros(3))))
    [1. 1. 1.]
    """

    reached_by: ClassVar[str] = "Reparametrised"  # what carries a rule to them

    @abc.abstractmethod
    def weights(self, key: Any = None) -> PyTree:
        """The weights of one step: drawn by `key` where there is chance, else means."""


class Parametrised(AbstractSynapses):
    """Weights as a function `read` of variables: $w = e^u$, $w = 1/(1 + e^{-u})$.

    `read` is a module-level function, of no parameters that are swept.

    >>> synapses = Parametrised(jnp.zeros((1, 3)), jax.nn.sigmoid)
    >>> oja = {"oja": rules.Reparametrised(rules.Oja(0.1))}
    >>> system = System(tasks.Constant(jnp.ones(3)), circuits.Layer(), oja)
    >>> start, key = system.start(synapses, jr.key(0)), jr.key(1)
    >>> print(weights(simulate(system, start, key, steps=400)[0].synapses).round(3))
    [[0.577 0.577 0.577]]
    """

    variables: Synapses
    read: Callable[[Any], Any] = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_takes("read", self.read, "variables")

    def weights(self, key: Any = None) -> PyTree:
        return self.read(self.variables)


def weights(synapses: Any, key: Any = None) -> PyTree:
    """What a circuit reads: arrays as they are, `AbstractSynapses` as they say.

    `synapses` is any pytree of both. With `key` (the circuit's own) what is drawn anew
    at every step is drawn, each part by itself; without it their means are read.

    >>> read = weights({"is": jnp.ones(2), "chain": Chain(jnp.array([[3.0], [5.0]]))})
    >>> print(read["is"], read["chain"])
    [1. 1.] [3.]
    """
    own = lambda x: isinstance(x, AbstractSynapses)
    parts, tree = jax.tree.flatten(synapses, is_leaf=own)
    read = []
    for i, part in enumerate(parts):
        if own(part):
            drawn = None if key is None else jr.fold_in(key, stream(f"weights {i}"))
            part = part.weights(drawn)
        read.append(part)
    return jax.tree.unflatten(tree, read)
