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
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ._arguments import counted, fitted, one_of, real, require
from ._interfaces import AbstractTrace as AbstractTrace
from ._interfaces import Scalar
from .numerics import ratio, tree_scale


Reading = Callable[[Any], PyTree]
SOME_TIME = (1e-12, np.inf)  # what a time constant may be


def _read(of: Reading, signals: Any) -> PyTree:
    """What is read; counts and truth values as floats, which can fade."""

    def number(u: Any) -> Any:
        fades = jnp.issubdtype(jnp.result_type(u), jnp.inexact)
        return u if fades else jnp.asarray(u, jnp.result_type(float))

    return jax.tree.map(number, of(signals))


class LowPass(AbstractTrace):
    r"""$m \leftarrow m + (1 - e^{-dt/\tau})(u - m)$: a running mean of $u$.

    `of(signals)` is $u$, an array or a pytree of them; `time` is $\tau$, above 0, in
    the units of `dt`. It begins at `first`, one number or shaped like $u$, or raises
    `ValueError`. A rule reads it before it moves, unless `early`: a mean that holds the
    present $u$ already biases what is measured against it (by $1 - a$, $a$ being the
    weight of the present).

    >>> w, mean = jnp.ones((2, 3)), LowPass(1 / np.log(2), lambda s: s.post)
    >>> _, seen = circuits.Layer()(None, w, jnp.ones(3), jr.key(0))
    >>> once = mean(mean.start(w, seen), w, seen, None)
    >>> print(np.array(once).round(3))  # half of the way to 3
    [1.5 1.5]
    """

    time: Scalar = eqx.field(converter=real)
    of: Reading
    first: Float[Array, "..."] = eqx.field(default=0.0, converter=real)
    early: bool = eqx.field(default=False, static=True)

    @property
    def moves_first(self) -> bool:
        return self.early

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME)

    def start(self, synapses: Any, signals: Any) -> PyTree:
        return jax.tree.map(self._beginning, _read(self.of, signals))

    def __call__(
        self, trace: PyTree, synapses: Any, signals: Any, change: Any
    ) -> PyTree:
        share = -jnp.expm1(-signals.dt / self.time)
        return jax.tree.map(
            lambda m, u: m + share.astype(m.dtype) * (u - m),
            trace,
            _read(self.of, signals),
        )

    def _beginning(self, reading: Array) -> Array:
        if self.first.shape not in ((), jnp.shape(reading)):
            raise ValueError(
                f"`first` must be one number, or shaped like what is read, "
                f"{jnp.shape(reading)}; got the shape {self.first.shape}."
            )
        return jnp.full_like(reading, self.first.astype(jnp.result_type(reading)))


class Eligibility(AbstractTrace):
    r"""$z \leftarrow e^{-dt/\tau} z + u$: what may still be rewarded.

    `of(signals)` is $u$ and `time` $\tau$ as in `LowPass`; not normalised: its mean is
    $u / (1 - e^{-dt/\tau})$. It moves first, so that a reward $d$ steps later counts
    $e^{-d\,dt/\tau}$ times. An infinite time keeps all. With `nearest` it is set to $u$
    where that is not 0: of several spikes only the last one counts. With `early` off it
    moves after it is read.

    >>> w, trace = jnp.ones((2, 3)), Eligibility(1 / np.log(2), lambda s: s.post)
    >>> _, seen = circuits.Layer()(None, w, jnp.ones(3), jr.key(0))
    >>> once = trace(trace.start(w, seen), w, seen, None)
    >>> print(np.array(trace(once, w, seen, None)).round(3))  # half of 3, and 3
    [4.5 4.5]
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
        return jax.tree.map(jnp.zeros_like, _read(self.of, signals))

    def __call__(
        self, trace: PyTree, synapses: Any, signals: Any, change: Any
    ) -> PyTree:
        read = _read(self.of, signals)
        kept = tree_scale(jnp.exp(-signals.dt / self.time), trace)
        if self.nearest:
            last = lambda z, u: jnp.where(u != 0, u, z)
            return jax.tree.map(last, kept, read)
        return jax.tree.map(jnp.add, kept, read)


class Delayed(AbstractTrace):
    """`trace` as it was `steps` steps ago: the first row of all since, oldest first.

    Raises `ValueError` for a state of another delay.

    >>> w, trace = jnp.ones((2, 3)), Delayed(LowPass(1e-12, lambda s: s.post), steps=2)
    >>> _, seen = circuits.Layer()(None, w, jnp.ones(3), jr.key(0))
    >>> once = trace(trace.start(w, seen), w, seen, None)
    >>> once[:, 0].tolist()  # oldest first
    [0.0, 0.0, 3.0]
    """

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
        if any(len(m) != self.steps + 1 for m in jax.tree.leaves(trace)):
            raise ValueError(
                f"the trace must hold {self.steps + 1} steps; got "
                f"{[len(m) for m in jax.tree.leaves(trace)]}: of another delay."
            )
        newest = jax.tree.map(lambda m: m[-1], trace)
        newest = self.trace(newest, synapses, signals, change)
        return jax.tree.map(
            lambda m, new: jnp.concatenate([m[1:], new[None]]), trace, newest
        )


class Resources(NamedTuple):
    """Shares of transmitter: in use and left after a step, released in it.

    >>> start = ShortTerm(use=0.5, recovery=100.0).rest(jnp.ones(3))
    >>> start.used.tolist(), start.left.tolist()
    ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    """

    used: Float[Array, " pre"]
    left: Float[Array, " pre"]
    released: Float[Array, " pre"]


CORTICAL = {  # use, recovery, facilitation (ms); E excites, I inhibits: from, to
    "EE": (0.5, 1100.0, 50.0),
    "EI": (0.05, 125.0, 1200.0),
    "IE": (0.25, 700.0, 20.0),
    "II": (0.32, 144.0, 60.0),
}


class ShortTerm(AbstractTrace):
    r"""At a spike $u \leftarrow u + U(1 - u)$, then $E = ux$, $x \leftarrow x - E$.

    Between spikes $\dot u = -u/F$ and $\dot x = (1 - x)/D$, exactly (Tsodyks & Markram
    1997, doi 10.1073/pnas.94.2.719; Markram, Wang & Tsodyks 1998). `use` is $U$,
    `recovery` $D$, `facilitation` $F$, in the units of `dt`, one for all or one for
    each presynaptic neuron (else `ValueError`); $F = 0$ is $u = U$. It begins at
    $u = 0$, $x = 1$.

    `of(signals)` are spikes, 0 or 1; outside of that range it is NaN. A rule reads
    `Resources`, moved first: what is `released` is $E$ where there is a spike, else 0.
    A circuit may keep it (`LeakyNetwork`), so that a spike counts $wE$.

    >>> short_term, spikes = ShortTerm(use=0.5, recovery=np.inf), jnp.array([1.0, 0.0])
    >>> once = short_term.after(short_term.rest(spikes), spikes, jnp.array(1.0))
    >>> short_term.after(once, spikes, jnp.array(1.0)).released.tolist()
    [0.25, 0.0]
    """

    use: Float[Array, "*#pre"] = eqx.field(converter=real)
    recovery: Float[Array, "*#pre"] = eqx.field(converter=real)
    facilitation: Float[Array, "*#pre"] = eqx.field(default=0.0, converter=real)
    of: Reading = lambda signals: signals.pre

    @classmethod
    def published(cls, kind: str) -> "ShortTerm":
        """Means of cortical synapses, in ms: `EE`, `EI`, `IE` or `II`, from and to.

        As in Maass, Natschläger & Markram 2002.
        """
        one_of("kind", kind, tuple(CORTICAL))
        return cls(*CORTICAL[kind])

    @property
    def moves_first(self) -> bool:
        return True

    def __check_init__(self) -> None:
        require(self, use=(0.0, 1.0), recovery=SOME_TIME, facilitation=(0.0, np.inf))

    def start(self, synapses: Any, signals: Any) -> Resources:
        return self.rest(self.of(signals))

    def __call__(
        self, trace: Resources, synapses: Any, signals: Any, change: Any
    ) -> Resources:
        return self.after(trace, self.of(signals), signals.dt)

    def rest(self, like: Float[Array, " pre"]) -> Resources:
        """Nothing in use, all left, for spikes that are shaped like these."""
        for name in ("use", "recovery", "facilitation"):
            if (shape := getattr(self, name).shape) not in ((), like.shape):
                raise ValueError(
                    f"`{name}` must be one number, or one for each of {like.size} "
                    f"presynaptic neurons; got shape {shape}."
                )
        none = jnp.zeros_like(like)
        return Resources(none, none + 1, none)

    def after(
        self,
        resources: Resources,
        spikes: Float[Array, " pre"],
        dt: Float[Array, "*#pre"],
    ) -> Resources:
        """What a step of `dt` that ends with these spikes leaves."""
        number = lambda x: x.astype(spikes.dtype)
        at_once = self.facilitation < SOME_TIME[0]
        time = jnp.where(at_once, 1.0, self.facilitation)
        kept = number(jnp.where(at_once, 0.0, jnp.exp(-dt / time)))
        gained = number(-jnp.expm1(-dt / self.recovery))
        there = (spikes >= 0) & (spikes <= 1) & (self.use >= 0) & (self.use <= 1)
        there = there & (self.recovery > 0) & (self.facilitation >= 0)
        spikes = jnp.where(there, spikes, jnp.nan)
        left = resources.left + gained * (1 - resources.left)
        used = kept * resources.used
        used = used + spikes * number(self.use) * (1 - used)
        released = spikes * used * left
        return Resources(used, left - released, released)


class Path(NamedTuple):
    """What each synapse earned in this task, its importance to older ones, their end.

    Three trees like the synapses.

    >>> w, trace = jnp.array([1.0, 2.0, 2.0]), PathIntegral(lambda s: False)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, jr.key(0))
    >>> path = trace(trace.start(w, seen), w, seen, -0.5 * seen.gradient)
    >>> path.earned.tolist(), path.anchor.tolist()
    ([0.5, 2.0, 2.0], [1.0, 2.0, 2.0])
    """

    earned: PyTree
    importance: PyTree
    anchor: PyTree


class PathIntegral(AbstractTrace):
    r"""$\omega \leftarrow \omega - g\,\Delta w$: the loss that each synapse took away.

    Synaptic intelligence (Zenke, Poole & Ganguli 2017, Eqs. 3-5): $g$ is the signal
    `gradient`, from before the step, $\Delta w$ all that became of the synapses in it.
    Where `ends(signals)`, the step was the last one of a task: $\Omega \leftarrow
    \Omega + \omega/((w - \tilde w)^2 + \xi)$, $\tilde w \leftarrow w$, $\omega
    \leftarrow 0$; `damping` is $\xi$, without which a synapse that did not move counts
    nothing. $\Omega$ may be negative. Raises `ValueError` unless the gradient is shaped
    like the synapses, and `ends` one truth value.

    >>> w, trace = jnp.array([1.0, 2.0, 2.0]), PathIntegral(lambda s: True, damping=0.0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, jr.key(0))
    >>> path = trace(trace.start(w, seen), w, seen, -0.5 * seen.gradient)
    >>> path.importance.tolist(), path.anchor.tolist()
    ([2.0, 2.0, 2.0], [0.5, 1.0, 1.0])
    """

    ends: Callable[[Any], Any]
    damping: Scalar = eqx.field(default=1e-3, converter=real)

    @property
    def moves_first(self) -> bool:
        return False

    def __check_init__(self) -> None:
        require(self, damping=(0.0, np.inf))

    def start(self, synapses: Any, signals: Any) -> Path:
        none = jax.tree.map(jnp.zeros_like, synapses)
        return Path(none, none, synapses)

    def __call__(self, trace: Path, synapses: Any, signals: Any, change: Any) -> Path:
        gradient = fitted("`gradient`", signals.gradient, synapses)
        earn = lambda omega, g, d: omega - g * d
        earned = jax.tree.map(earn, trace.earned, gradient, change)
        on = trace._replace(earned=earned)
        ended = jnp.asarray(self.ends(signals))
        if ended.shape:
            raise ValueError(
                f"`ends` must return one truth value; got the shape {ended.shape}."
            )
        end = self._consolidated(on, jax.tree.map(jnp.add, synapses, change))
        return jax.tree.map(lambda a, b: jnp.where(ended, a, b), end, on)

    def _consolidated(self, trace: Path, synapses: Any) -> Path:
        """What is remembered at the end of a task."""

        def add(importance: Any, earned: Any, w: Any, anchor: Any) -> Any:
            moved = (w - anchor) ** 2 + self.damping.astype(w.dtype)
            return importance + ratio(earned, moved)

        earned, importance, anchor = trace
        importance = jax.tree.map(add, importance, earned, synapses, anchor)
        return Path(jax.tree.map(jnp.zeros_like, earned), importance, synapses)
