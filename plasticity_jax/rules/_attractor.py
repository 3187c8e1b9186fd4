r"""Rules that store patterns as attractors, one pattern a step, whatever `dt`.

Synapses are square (neuron, neuron); the pattern $\xi$ is the layer's input. For recall
leave out the diagonal, also where it is needed while learning. Rules for patterns of
signs, or of 0 and 1, raise `ValueError` for other ones, and make NaN of traced ones.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._arguments import among, optional, real, require
from .._interfaces import AbstractRule, Scalar
from ..signals import LayerSignals
from ._correlation import _RateRule


Square = Float[Array, "n n"]


class Hopfield(AbstractRule):
    r"""$\Delta W = (\xi - f)(\xi - f)^\top / (N v)$ off the diagonal.

    Patterns of -1 and 1: $f = 0$, $v = 1$ (Hopfield 1982); patterns of 0 and 1, with
    their `coding_level` $f$: $v = f(1 - f)$ (Tsodyks & Feigelman 1988). Stores 0.138 N
    random patterns of signs (Amit, Gutfreund & Sompolinsky 1985).
    Reads `pre`. Synapses (neuron, neuron).

    >>> w, x, key = jnp.zeros((4, 4)), jnp.array([1.0, -1.0, 1.0, -1.0]), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, x, key)
    >>> w = w + Hopfield()(w, seen, key)
    >>> (w @ x).tolist()  # (N - 1)/N times the pattern
    [0.75, -0.75, 0.75, -0.75]
    """

    coding_level: Scalar | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        if self.coding_level is not None:
            require(self, coding_level=(1e-6, 1 - 1e-6))

    def limits(self) -> dict[str, tuple[float, ...]]:
        return {"pre": (-1.0, 1.0) if self.coding_level is None else (0.0, 1.0)}

    def __call__(
        self, synapses: Square, signals: LayerSignals, key: Key[Array, ""]
    ) -> Square:
        away = among("pre", signals.pre, self.limits()["pre"])
        spread, f = 1.0, self.coding_level
        if f is not None:
            away, spread = away - f, f * (1 - f)
        return _hollow(jnp.outer(away, away) / (len(away) * spread))


class PseudoInverse(AbstractRule):
    r"""$\Delta W = ee^\top/|e|^2$, $e = \xi - W\xi$: $W$ projects on what was stored.

    Greville's form of the pseudo-inverse $\Xi\Xi^+$ (Personnaz, Guyon & Dreyfus 1985);
    a pattern that is already in the span, $|e|^2 \le \epsilon|\xi|^2$ by `tolerance`,
    changes nothing. All of up to N - 1 independent patterns are fixed points. Not
    local. Keep the diagonal while learning.
    Reads `pre` and `field`. Synapses (neuron, neuron).

    >>> w, key = jnp.zeros((4, 4)), jr.key(0)
    >>> for x in jnp.array([[1.0, 1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]]):
    ...     w += PseudoInverse()(w, circuits.Layer()(None, w, x, key)[1], key)
    >>> print(f"{jnp.trace(w):.3f}")  # of a projection on two patterns
    2.000
    """

    tolerance: Scalar = eqx.field(default=1e-9, converter=real)

    def __check_init__(self) -> None:
        require(self, tolerance=(0.0, 1.0))

    def __call__(
        self, synapses: Square, signals: LayerSignals, key: Key[Array, ""]
    ) -> Square:
        missed = signals.pre - signals.field
        square = missed @ missed
        new = square > self.tolerance * (signals.pre @ signals.pre)
        new |= jnp.isnan(square)
        return jnp.where(new, jnp.outer(missed, missed) / jnp.where(new, square, 1), 0)


class GradualPseudoInverse(_RateRule):
    r"""$\Delta W = \frac{\eta}{N} (\xi - W\xi)\xi^\top$: local, over repeated sweeps.

    Diederich & Opper 1987; from $W = 0$ it tends to the pseudo-inverse. Keep the
    diagonal while learning.
    Reads `pre` and `field`. Synapses (neuron, neuron).

    >>> w, x, key = jnp.zeros((4, 4)), jnp.array([1.0, -1.0, 1.0, -1.0]), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, x, key)
    >>> w = w + GradualPseudoInverse(0.5)(w, seen, key)
    >>> (w @ x).tolist()  # half of the way to the pattern
    [0.5, -0.5, 0.5, -0.5]
    """

    rate: Scalar = eqx.field(default=1.0, converter=real)

    def __call__(
        self, synapses: Square, signals: LayerSignals, key: Key[Array, ""]
    ) -> Square:
        missed = signals.pre - signals.field
        return jnp.outer(self.rate * missed / len(missed), signals.pre)


class Storkey(AbstractRule):
    r"""$\Delta W_{ij} = \frac1N(\xi_i\xi_j - \xi_i h_{ji} - h_{ij}\xi_j)$, incremental.

    $h_{ij} = \sum_{k \ne i,j} W_{ik}\xi_k$ of the synapses before (Storkey 1997, doi
    10.1007/BFb0020196). Stores $N/\sqrt{2\ln N}$ patterns without errors where
    `Hopfield` stores $N/(2\ln N)$. The diagonal is not changed.
    Reads `pre` and `field`. Synapses (neuron, neuron).

    >>> w, x, key = jnp.zeros((4, 4)), jnp.array([1.0, -1.0, 1.0, -1.0]), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, x, key)
    >>> w = w + Storkey()(w, seen, key)
    >>> (w @ x).tolist()  # the first pattern is stored as by Hopfield's rule
    [0.75, -0.75, 0.75, -0.75]
    """

    def limits(self) -> dict[str, tuple[float, ...]]:
        return {"pre": (-1.0, 1.0)}

    def __call__(
        self, synapses: Square, signals: LayerSignals, key: Key[Array, ""]
    ) -> Square:
        x, field = among("pre", signals.pre, self.limits()["pre"]), signals.field
        field = (field - jnp.diagonal(synapses) * x)[:, None] - synapses * x[None]
        change = jnp.outer(x, x) - x[:, None] * field.T - field * x[None]
        return _hollow(change / len(x))


def _hollow(matrix: Square) -> Square:
    """Without the diagonal."""
    return jnp.where(jnp.eye(len(matrix), dtype=bool), 0, matrix)
