"""Variables that a rule reads and that move by themselves.

A rule names its traces, with their time constants, and the system makes and moves them:

    class BCM(AbstractRule):
        rate: Scalar
        time: Scalar

        def traces(self):
            return {"threshold": LowPass(self.time, lambda s: s.post**2)}

        def __call__(self, synapses, signals, key):
            y, threshold = signals.post, signals.traces["threshold"]
            return signals.dt * self.rate * jnp.outer(y * (y - threshold), signals.pre)
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ._arguments import counted, real, require
from ._interfaces import AbstractTrace as AbstractTrace
from ._interfaces import Scalar
from .numerics import tree_scale


Reading = Callable[[Any], PyTree]
SOME_TIME = (1e-12, np.inf)  # what a time constant may be


class LowPass(AbstractTrace):
    r"""$m \leftarrow m + (1 - e^{-dt/\tau})(u - m)$: a running mean of $u$.

    `of(signals)` is $u$, an array or a pytree of them; `time` is $\tau$, above 0, in
    the units of `dt`. It begins at `first`. A rule reads it before it moves, unless
    `early`: a mean that holds the present $u$ already biases what is measured
    against it (by $1 - a$, $a$ being the weight of the present).
    """

    time: Scalar = eqx.field(converter=real)
    of: Reading
    first: Scalar = eqx.field(default=0.0, converter=real)
    early: bool = eqx.field(default=False, static=True)

    @property
    def moves_first(self) -> bool:
        return self.early

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME)

    def start(self, synapses: Any, signals: Any) -> PyTree:
        return jax.tree.map(
            lambda u: jnp.full_like(u, self.first.astype(u.dtype)), self.of(signals)
        )

    def __call__(
        self, trace: PyTree, synapses: Any, signals: Any, change: Any
    ) -> PyTree:
        share = -jnp.expm1(-signals.dt / self.time)
        return jax.tree.map(
            lambda m, u: m + share.astype(m.dtype) * (u - m), trace, self.of(signals)
        )


class Eligibility(AbstractTrace):
    r"""$z \leftarrow e^{-dt/\tau} z + u$: what may still be rewarded.

    `of(signals)` is $u$ and `time` $\tau$ as in `LowPass`; not normalised: its mean is
    $u / (1 - e^{-dt/\tau})$. It moves first, so that a reward $d$ steps later counts
    $e^{-d\,dt/\tau}$ times. An infinite time keeps all. With `nearest` it is set to $u$
    where that is not 0: of several spikes only the last one counts. With `early` off it
    moves after it is read.
    """

    time: Scalar = eqx.field(converter=real)
    of: Reading
    nearest: bool = eqx.field(default=False, static=True)
    early: bool = eqx.field(default=True, static=True)

    @property
    def moves_first(self) -> bool:
        return self.early

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME)

    def start(self, synapses: Any, signals: Any) -> PyTree:
        return jax.tree.map(jnp.zeros_like, self.of(signals))

    def __call__(
        self, trace: PyTree, synapses: Any, signals: Any, change: Any
    ) -> PyTree:
        kept = tree_scale(jnp.exp(-signals.dt / self.time), trace)
        if self.nearest:
            last = lambda z, u: jnp.where(u != 0, u, z)
            return jax.tree.map(last, kept, self.of(signals))
        return jax.tree.map(jnp.add, kept, self.of(signals))


class Delayed(AbstractTrace):
    """`trace` as it was `steps` steps ago: the first row of all since, oldest first."""

    trace: AbstractTrace
    steps: int = eqx.field(static=True, converter=counted("steps", 0))

    @property
    def moves_first(self) -> bool:
        return self.trace.moves_first

    def start(self, synapses: Any, signals: Any) -> PyTree:
        first = self.trace.start(synapses, signals)
        return jax.tree.map(lambda m: jnp.stack([m] * (self.steps + 1)), first)

    def __call__(
        self, trace: PyTree, synapses: Any, signals: Any, change: Any
    ) -> PyTree:
        newest = jax.tree.map(lambda m: m[-1], trace)
        newest = self.trace(newest, synapses, signals, change)
        return jax.tree.map(
            lambda m, new: jnp.concatenate([m[1:], new[None]]), trace, newest
        )
