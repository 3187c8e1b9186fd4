"""Another rule, carried from weights to what they are made of."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from .._interfaces import AbstractTrace
from ..synapses._memory import Cascade, Chain
from ..synapses._reading import weights
from ._masked import _AbstractChecked


class Reparametrised(_AbstractChecked):
    r"""`rule` for weights $w = f(u)$, carried to the synapses $u$ by the chain rule.

    Synapses say themselves what their weights are (`synapses.AbstractSynapses`: factors
    and releasing ones, at their mean, do), and $\Delta u = J^\top\Delta w$ with the
    Jacobian $J$ of $f$. Or they are amplitudes under an `attenuation` $f$, applied
    entry by entry to arrays, whose slope must not vanish. A natural change then keeps
    its effect on the amplitudes, $\Delta u = \Delta w / f'(u)$; a `euclidean` gradient
    is multiplied by $f'(u)$ instead, so its effect depends on the parametrisation
    (Kreutzer et al. 2022, Eqs. 14 and 44). Raises `ValueError` for a `Cascade` or
    `Chain`, which move by themselves.

    Reads what its rule reads. Synapses: any, as $u$.

    >>> factors = jnp.stack([jnp.ones((2, 3)), jnp.full((2, 3), 2.0)])  # weights of 2
    >>> u, key = synapses.Factored(factors, jnp.zeros(2)), jr.key(0)
    >>> _, seen = circuits.Layer()(None, u, jnp.ones(3), key)  # rates of 6
    >>> Reparametrised(Hebb(0.5))(u, seen, key).factors[:, 0].tolist()
    [[6.0, 6.0, 6.0], [3.0, 3.0, 3.0]]
    """

    attenuation: Callable[[Any], Any] | None = None
    euclidean: bool = eqx.field(default=False, static=True)

    def traces(self) -> dict[str, AbstractTrace]:
        read = weights if self.attenuation is None else self.attenuation
        return {
            name: _OfWeights(trace, read) for name, trace in self.rule.traces().items()
        }

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        if self.attenuation is None:
            _check_slope(synapses)
            read, carry = jax.vjp(weights, synapses)
            change = self.changed(read, signals, key, read)
            return carry(jax.tree.map(lambda d, w: d.astype(w.dtype), change, read))[0]
        ones = jax.tree.map(jnp.ones_like, synapses)
        read, slope = jax.jvp(self.attenuation, (synapses,), (ones,))
        change = self.changed(read, signals, key, read)
        if self.euclidean:
            return jax.tree.map(jnp.multiply, slope, change)
        return jax.tree.map(jnp.divide, change, slope)


def _check_slope(synapses: Any) -> None:
    """Raise `ValueError` for signs, which no small change moves, and for a chain."""
    own = lambda part: isinstance(part, Cascade | Chain)  # dynamics that a slope skips
    for part in filter(own, jax.tree.leaves(synapses, is_leaf=own)):
        raise ValueError(
            "`synapses` of `Reparametrised` must be a parametrisation with a slope; a "
            f"{type(part).__name__} moves by itself: use `rules.{part.reached_by}`."
        )


class _OfWeights(AbstractTrace):
    """A trace of a rule for weights, which are what `read` makes of the synapses."""

    trace: AbstractTrace
    read: Callable[[Any], Any]

    @property
    def moves_first(self) -> bool:
        return self.trace.moves_first

    def start(self, synapses: Any, signals: Any) -> Any:
        return self.trace.start(self.read(synapses), signals)

    def __call__(self, trace: Any, synapses: Any, signals: Any, change: Any) -> Any:
        before = self.read(synapses)
        if change is not None:
            after = self.read(jax.tree.map(jnp.add, synapses, change))
            change = jax.tree.map(jnp.subtract, after, before)
        return self.trace(trace, before, signals, change)
