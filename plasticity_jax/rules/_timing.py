"""Spike timing: pairs of spikes, each side remembered by a trace."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import among, one_of, optional, real, require
from .._interfaces import AbstractRule, AbstractTrace, Scalar, SPIKES
from ..numerics import normal, power, root
from ..signals import LayerSignals, SpikeSignals
from ..traces import Eligibility, SOME_TIME


Matrix = Float[Array, "post pre"]
Signals = LayerSignals | SpikeSignals
LAWS = ("additive", "multiplicative", "van_rossum", "gutig", "power")


class _Pairing(AbstractRule):
    every_step: ClassVar = True  # `Intermittent` refuses it

    def limits(self) -> dict[str, tuple[float, ...]]:
        return {"pre": SPIKES, "post": SPIKES}


class STDP(_Pairing):
    r"""$\Delta w = A_+ f_+(w)\,x$ at a post spike, $-A_- f_-(w)\,y$ at a pre spike.

    $x$, $y$ are traces of the spikes of either side, all of them or the `nearest`.
    A coincident pair potentiates. Laws for weights from 0 to `most`: `additive` 1, 1
    (Song, Miller & Abbott 2000, doi 10.1038/78829); `multiplicative` $w_{max} - w$, $w$
    (Rubin, Lee & Sompolinsky 2001); `van_rossum` 1, $w$ (van Rossum, Bi & Turrigiano
    2000, doi 10.1523/JNEUROSCI.20-23-08812.2000); `gutig` $(w_{max} - w)^\mu$, $w^\mu$
    (Gütig et al. 2003); `power` $w_0^{1-\mu} w^\mu$, $w$ (Morrison, Aertsen & Diesmann
    2007), where $\mu$ is the `exponent` and $w_0$ the `reference`. Bounds are a
    projection's (`synapses.Bounded`). On a grid of `dt` the depression of independent
    spikes is $e^{-dt/\tau_-}$ times that of continuous time.

    With `noise` $\sigma$ every update has a deviate of its own: $x\,\sigma w\,\xi$ at a
    post spike, $y\,\sigma w\,\xi'$ at a pre spike (van Rossum et al.: .015). Without it
    nothing is drawn.

    Times in the units of `dt`. Reads `pre` and `post` (spikes; of a layer 0 or 1), `dt`
    and two traces. Synapses (post, pre).

    >>> pre = jnp.zeros((21, 1)).at[0].set(1.0)  # 20 ms later a current makes it spike
    >>> task = tasks.Recorded({"pre": pre, "external": 1e3 * pre[::-1, 0]})
    >>> system = System(task, circuits.LeakyNetwork(), {"stdp": STDP(0.005)})
    >>> start = system.start(jnp.zeros((1, 1)), jr.key(0))  # the end is 0.005 / e
    >>> print(f"{simulate(system, start, jr.key(0), steps=21)[0].synapses[0, 0]:.5f}")
    0.00184
    """

    potentiation: Scalar = eqx.field(default=0.005, converter=real)
    depression: Scalar = eqx.field(default=0.00525, converter=real)
    time_plus: Scalar = eqx.field(default=20.0, converter=real)
    time_minus: Scalar = eqx.field(default=20.0, converter=real)
    most: Scalar = eqx.field(default=1.0, converter=real)
    exponent: Scalar = eqx.field(default=0.4, converter=real)
    reference: Scalar = eqx.field(default=1.0, converter=real)
    noise: Scalar | None = eqx.field(default=None, converter=optional)
    law: str = eqx.field(default="additive", static=True)
    nearest: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        one_of("law", self.law, LAWS)
        require(self, time_plus=SOME_TIME, time_minus=SOME_TIME)
        require(self, potentiation=(0.0, np.inf), depression=(0.0, np.inf))
        require(self, most=(1e-12, np.inf), exponent=(0.0, 1.0))
        require(self, reference=(1e-12, np.inf))
        if self.noise is not None:
            require(self, noise=(0.0, np.inf))

    def traces(self) -> dict[str, AbstractTrace]:
        return spike_traces(self.time_plus, self.time_minus, self.nearest)

    def __call__(
        self, synapses: Matrix, signals: Signals, key: Key[Array, ""]
    ) -> Matrix:
        signals = _spikes(signals)
        pre, post = signals.traces["pre"], faded(signals, "post", self.time_minus)
        up = jnp.outer(self.potentiation * signals.post, pre)
        down = jnp.outer(self.depression * post, signals.pre)
        change = self._weighed(up, down, synapses)
        if self.noise is None:
            return change
        size = jnp.outer(signals.post, pre) ** 2 + jnp.outer(post, signals.pre) ** 2
        drawn = normal(key, synapses.shape, synapses.dtype)
        return change + self.noise * synapses * root(size) * drawn

    def _weighed(self, up: Matrix, down: Matrix, w: Matrix) -> Matrix:
        """What a weight makes of the potentiation and depression of a weight of 1."""
        if self.law == "additive":
            return up - down
        if self.law == "multiplicative":
            return up * (self.most - w) - down * w
        if self.law == "van_rossum":
            return up - down * w
        below = power(w, self.exponent)
        if self.law == "gutig":
            return up * power(self.most - w, self.exponent) - down * below
        return up * self.reference ** (1 - self.exponent) * below - down * w


def spike_traces(
    plus: Scalar, minus: Scalar, nearest: bool = False
) -> dict[str, AbstractTrace]:
    """Traces of spikes: `pre` with those of this step, `post` of those before it."""
    return {
        "pre": Eligibility(plus, lambda s: s.pre, nearest),
        "post": Eligibility(minus, lambda s: s.post, nearest, early=False),
    }


def _spikes(signals: Signals) -> Signals:
    """Signals of spikes; rates of a layer that are neither 0 nor 1 are NaN."""
    if not isinstance(signals, LayerSignals):
        return signals
    read = {x: among(x, getattr(signals, x), SPIKES) for x in ("pre", "post")}
    return dataclasses.replace(signals, **read)


def faded(signals: Signals, name: str, time: Scalar) -> Float[Array, " n"]:
    """A trace of the spikes before this step, as it is in this step."""
    return jnp.exp(-signals.dt / time) * signals.traces[name]


TRIPLETS = {  # pair and triplet potentiation, pair and triplet depression, tau_x, tau_y
    "visual all full": (5e-10, 6.2e-3, 7e-3, 2.3e-4, 101.0, 125.0),
    "visual all minimal": (0.0, 6.5e-3, 7.1e-3, 0.0, 101.0, 114.0),
    "visual nearest full": (8.8e-11, 5.3e-2, 6.6e-3, 3.1e-3, 714.0, 40.0),
    "visual nearest minimal": (0.0, 5e-2, 8e-3, 0.0, 714.0, 40.0),
    "hippocampal all full": (6.1e-3, 6.7e-3, 1.6e-3, 1.4e-3, 946.0, 27.0),
    "hippocampal all minimal": (5.3e-3, 8e-3, 3.5e-3, 0.0, 946.0, 40.0),
    "hippocampal nearest full": (4.6e-3, 9.1e-3, 3e-3, 7.5e-9, 575.0, 47.0),
    "hippocampal nearest minimal": (4.6e-3, 9.1e-3, 3e-3, 0.0, 575.0, 48.0),
}


class TripletSTDP(_Pairing):
    r"""$r_1(A_2^+ + A_3^+ o_2)$ at a post spike, $-o_1(A_2^- + A_3^- r_2)$ at a pre.

    Pfister & Gerstner 2006, doi 10.1523/JNEUROSCI.1425-06.2006, Eqs. 2-4. $r_1, r_2$
    are traces of presynaptic spikes with `time_plus` and `time_x`, $o_1, o_2$ of
    postsynaptic ones with `time_minus` and `time_y`; all add up, or all hold the
    `nearest` spike only. $o_2$ and $r_2$ know the spikes before this one, so that a
    single pair at rest is changed by $A_2^\pm$ alone. Potentiation grows with the
    square of the postsynaptic rate: all-to-all, the change at independent spikes
    vanishes at a threshold as in BCM. `published` has the fitted values, in ms; the
    defaults are those of the visual cortex, all-to-all, full.

    Times in the units of `dt`. Reads `pre` and `post` (spikes; of a layer 0 or 1), `dt`
    and four traces. Synapses (post, pre).

    >>> pre = jnp.zeros((21, 1)).at[20].set(1.0)  # 20 ms ago a current made it spike
    >>> task = tasks.Recorded({"pre": pre, "external": 1e3 * pre[::-1, 0]})
    >>> system = System(task, circuits.LeakyNetwork(), {"triplet": TripletSTDP()})
    >>> start = system.start(jnp.zeros((1, 1)), jr.key(0))  # -0.007 exp(-20 / 33.7)
    >>> print(f"{simulate(system, start, jr.key(0), steps=21)[0].synapses[0, 0]:.5f}")
    -0.00387
    """

    pair_plus: Scalar = eqx.field(default=5e-10, converter=real)
    triplet_plus: Scalar = eqx.field(default=6.2e-3, converter=real)
    pair_minus: Scalar = eqx.field(default=7e-3, converter=real)
    triplet_minus: Scalar = eqx.field(default=2.3e-4, converter=real)
    time_x: Scalar = eqx.field(default=101.0, converter=real)
    time_y: Scalar = eqx.field(default=125.0, converter=real)
    time_plus: Scalar = eqx.field(default=16.8, converter=real)
    time_minus: Scalar = eqx.field(default=33.7, converter=real)
    nearest: bool = eqx.field(default=False, static=True)

    @classmethod
    def published(cls, name: str) -> "TripletSTDP":
        """A fitted set: `visual` or `hippocampal`, `all` or `nearest`, `full` or not.

        Tables 3 and 4; without the terms that the fit hardly needs it is `minimal`.
        Raises `ValueError` for another name than such as `visual all full`.
        """
        one_of("name", name, tuple(TRIPLETS))
        return cls(*TRIPLETS[name], nearest="nearest" in name)

    def __check_init__(self) -> None:
        sizes = ("pair_plus", "triplet_plus", "pair_minus", "triplet_minus")
        require(self, **dict.fromkeys(sizes, (0.0, np.inf)))
        times = ("time_x", "time_y", "time_plus", "time_minus")
        require(self, **dict.fromkeys(times, SOME_TIME))

    def traces(self) -> dict[str, AbstractTrace]:
        pre = Eligibility(self.time_x, lambda s: s.pre, self.nearest, early=False)
        post = Eligibility(self.time_y, lambda s: s.post, self.nearest, early=False)
        pairs = spike_traces(self.time_plus, self.time_minus, self.nearest)
        return {**pairs, "slow_pre": pre, "slow_post": post}

    def __call__(
        self, synapses: Matrix, signals: Signals, key: Key[Array, ""]
    ) -> Matrix:
        signals = _spikes(signals)
        pre, post = signals.traces["pre"], faded(signals, "post", self.time_minus)
        slow_pre = faded(signals, "slow_pre", self.time_x)
        slow_post = faded(signals, "slow_post", self.time_y)
        up = signals.post * (self.pair_plus + self.triplet_plus * slow_post)
        down = signals.pre * (self.pair_minus + self.triplet_minus * slow_pre)
        return jnp.outer(up, pre) - jnp.outer(post, down)


class InhibitorySTDP(_Pairing):
    r"""$\Delta w = -\eta (y - \alpha)$ at a pre spike, $-\eta x$ at a post spike.

    Vogels et al. 2011, doi 10.1126/science.1211095, for weights of inhibitory synapses
    as circuits read them: at most 0, which a projection keeps (`synapses.Dale` or
    `Bounded`). Near spikes of both sides, in whatever order, make inhibition stronger,
    a lone presynaptic one weaker by $\alpha = 2\rho\tau$: neurons come to fire at
    $\rho$ = `target`, in spikes per unit of time (.005 is 5 Hz where that is ms). For
    sizes, at least 0, take `Scaled(rule, -1)`.

    Times in the units of `dt`. Reads `pre` and `post` (spikes; of a layer 0 or 1), `dt`
    and two traces. Synapses (post, pre).

    >>> task = tasks.Constant({"pre": jnp.ones(1), "external": jnp.zeros(())})
    >>> system = System(task, circuits.LeakyNetwork(), {"stdp": InhibitorySTDP(1e-3)})
    >>> start = system.start(-jnp.ones((1, 1)), jr.key(0))  # lone spikes, 0.0002 each
    >>> print(f"{simulate(system, start, jr.key(0), steps=10)[0].synapses[0, 0]:.4f}")
    -0.9980
    """

    rate: Scalar = eqx.field(default=1e-3, converter=real)
    target: Scalar = eqx.field(default=5e-3, converter=real)
    time: Scalar = eqx.field(default=20.0, converter=real)

    def __check_init__(self) -> None:
        require(self, rate=(0.0, np.inf), target=(0.0, np.inf), time=SOME_TIME)

    def traces(self) -> dict[str, AbstractTrace]:
        return spike_traces(self.time, self.time)

    def __call__(
        self, synapses: Matrix, signals: Signals, key: Key[Array, ""]
    ) -> Matrix:
        signals = _spikes(signals)
        pre, post = signals.traces["pre"], faded(signals, "post", self.time)
        lone = post - 2 * self.target * self.time
        near = jnp.outer(signals.post, pre)
        return -self.rate * (near + jnp.outer(lone, signals.pre))
