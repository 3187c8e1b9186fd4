"""Synapses that differ in how much they fluctuate, pooled in part."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import counted, real, require
from .._interfaces import Scalar
from ._domain import Interval, POSITIVE
from ._process import AbstractSizes
from ._table import Table


FLUCTUATIONS = ("diffusion", "multiplicative", "additive", "slope", "offset")
Each = Float[Array, " synapse"]


class Varied(eqx.Module):
    r"""A model whose fluctuations each synapse has times a factor of its own.

    $\log$ factor $\sim N(0, \omega^2)$, $\omega$ being `spread`: the model's own values
    are those of the median synapse. The likelihood of a synapse is the mean over its
    factor, by Gauss-Hermite quadrature at `nodes` points; drift and noise are shared.
    Raises `ValueError` unless the model is a published one.

    >>> table = Table([[1.0, 1.1, 0.9], [0.4, 0.6, 0.5]], [0.0, 0.5, 1.0])
    >>> model = Additive(1.0, 10.0, 0.2, 0.1)
    >>> mean, deviation = Varied(model, 0.0).factors(table)  # all are alike
    >>> mean.tolist(), deviation.tolist()
    ([0.0, 0.0], [0.0, 0.0])
    """

    model: AbstractSizes
    spread: Scalar = eqx.field(converter=real)
    nodes: int = eqx.field(default=15, static=True, converter=counted("nodes"))

    def __check_init__(self) -> None:
        require(self, spread=(0.0, np.inf))
        if not self._fluctuating():
            raise ValueError(
                f"`model` must be a published one; got {type(self.model).__name__}."
            )

    def domain(self) -> "Varied":
        """Where each parameter may lie."""
        is_leaf = lambda x: isinstance(x, Interval)
        leaves = *jax.tree.leaves(self.model.domain(), is_leaf=is_leaf), POSITIVE
        return jax.tree.unflatten(jax.tree.structure(self), leaves)

    def log_likelihood(self, table: Table) -> Each:
        """Log-likelihood of every synapse."""
        return jax.scipy.special.logsumexp(self._at_nodes(table)[0], axis=0)

    def factors(self, table: Table) -> tuple[Each, Each]:
        """Mean and s.d. of the logarithm of each synapse's factor, given its sizes."""
        logs, factors = self._at_nodes(table)
        weights = jax.nn.softmax(logs, axis=0)
        mean = factors @ weights
        return mean, jnp.sqrt(jnp.maximum(factors**2 @ weights - mean**2, 0))

    def _at_nodes(self, table: Table) -> tuple[Float[Array, "node synapse"], Array]:
        """Log of weight times likelihood at each node, and the nodes' log factors."""
        places, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        logs = jnp.asarray(np.log(weights / weights.sum()), self.spread.dtype)
        factors = self.spread * jnp.asarray(places, self.spread.dtype)
        where = lambda model: [getattr(model, name) for name in self._fluctuating()]

        def at(factor: Scalar) -> Each:
            scaled = [x * jnp.exp(factor) for x in where(self.model)]
            return eqx.tree_at(where, self.model, scaled).log_likelihood(table)

        return jax.lax.map(at, factors) + logs[:, None], factors

    def _fluctuating(self) -> list[str]:
        own = (name for name in FLUCTUATIONS if hasattr(self.model, name))
        return [name for name in own if eqx.is_array(getattr(self.model, name))]
