"""Spike timing: pairs of spikes, each side remembered by a trace."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import one_of, real, require
from .._interfaces import AbstractRule, AbstractTrace, Scalar
from ..signals import SpikeSignals
from ..traces import Eligibility, SOME_TIME


Matrix = Float[Array, "post pre"]
LAWS = ("additive", "multiplicative", "van_rossum", "power")


class STDP(AbstractRule):
    r"""$\Delta w = A_+ f_+(w)\,x$ at a post spike, $-A_- f_-(w)\,y$ at a pre spike.

    $x$, $y$ are traces of the spikes of either side, all of them or the `nearest`.
    A coincident pair potentiates. Laws for weights from 0 to `most`: `additive` 1, 1
    (Song, Miller & Abbott 2000); `multiplicative` $w_{max} - w$, $w$ (Rubin, Lee &
    Sompolinsky 2001); `van_rossum` 1, $w$ (2000); `power` $w^\mu$, $w$ with $\mu$ =
    `exponent` (Morrison, Aertsen & Diesmann 2007). Bounds are a projection's
    (`synapses.Bounded`). On a grid of `dt` the depression of independent spikes is
    $e^{-dt/\tau_-}$ times that of continuous time.

    Times in the units of `dt`. Reads `pre` and `post` (spikes), `dt` and two traces.
    Synapses (post, pre).
    """

    potentiation: Scalar = eqx.field(default=0.005, converter=real)
    depression: Scalar = eqx.field(default=0.00525, converter=real)
    time_plus: Scalar = eqx.field(default=20.0, converter=real)
    time_minus: Scalar = eqx.field(default=20.0, converter=real)
    most: Scalar = eqx.field(default=1.0, converter=real)
    exponent: Scalar = eqx.field(default=0.4, converter=real)
    law: str = eqx.field(default="additive", static=True)
    nearest: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        one_of("law", self.law, LAWS)
        require(self, time_plus=SOME_TIME, time_minus=SOME_TIME)
        require(self, potentiation=(0.0, np.inf), depression=(0.0, np.inf))
        require(self, most=(1e-12, np.inf), exponent=(0.0, 1.0))

    def traces(self) -> dict[str, AbstractTrace]:
        plus, minus = self.time_plus, self.time_minus
        return {
            "pre": Eligibility(plus, lambda s: s.pre, self.nearest),
            "post": Eligibility(minus, lambda s: s.post, self.nearest, early=False),
        }

    def __call__(
        self, synapses: Matrix, signals: SpikeSignals, key: Key[Array, ""]
    ) -> Matrix:
        pre, post = signals.traces["pre"], signals.traces["post"]
        faded = jnp.exp(-signals.dt / self.time_minus) * post  # without this step
        up = jnp.outer(self.potentiation * signals.post, pre)
        down = jnp.outer(self.depression * faded, signals.pre)
        w = synapses
        if self.law == "additive":
            return up - down
        if self.law == "multiplicative":
            return up * (self.most - w) - down * w
        if self.law == "van_rossum":
            return up - down * w
        there = w > 0
        return (
            up * jnp.where(there, jnp.where(there, w, 1) ** self.exponent, 0) - down * w
        )
