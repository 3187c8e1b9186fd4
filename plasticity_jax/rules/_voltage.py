"""Spike timing read from the voltage of the postsynaptic neuron."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import counted, real, require
from .._interfaces import AbstractRule, AbstractTrace, Scalar
from ..signals import SpikeSignals
from ..traces import Delayed, LowPass, SOME_TIME


Matrix = Float[Array, "post pre"]


class VoltageSTDP(AbstractRule):
    r"""$\dot w = -A_- X [\bar u_- - \theta_-]_+ +
    A_+ \bar x [u - \theta_+]_+ [\bar u_+ - \theta_-]_+$.

    Clopath, Büsing, Vasilaki & Gerstner 2010 (doi 10.1038/nn.2479): $X$ are presynaptic
    spikes, $\bar x$ their mean rate over `time_pre`, $\bar u_\pm$ means of the voltage
    $u$ over `time_plus` and `time_minus` from `rest` on. All are read before they move;
    those of the voltage as they were `lag` steps before that, since a spike lasts two
    steps and must not be seen by its own means (the published code, ModelDB 144566,
    which moves means by $dt/\tau$: times of $-dt/\ln(1 - dt/\tau)$ do the same).
    If `homeostatic`, $A_-$ is multiplied by $\bar{\bar u}/u_{ref}^2$: the mean of $(u -
    u_{rest})^2$ over `mean_time`, from 0 on, over `reference`. Bounds are a
    projection's.

    Voltages in mV, times in the units of `dt`. Reads `pre` (spikes), `voltage`, `dt`
    and traces of both. Synapses (post, pre).

    >>> one, held = jnp.ones(1), jnp.full((4, 1), -60.6)  # 10 mV above `low`
    >>> means = {"pre": one, "plus": held, "minus": held}
    >>> seen = signals.SpikeSignals(one[0], one, 0 * one, held[0], one, traces=means)
    >>> change = VoltageSTDP(depression=14e-5)(jnp.ones((1, 1)), seen, jr.key(0))
    >>> print(np.array(change).round(5))  # a spike arrives, and depresses
    [[-0.0014]]
    """

    potentiation: Scalar = eqx.field(default=8e-5, converter=real)  # 1/mV^2
    depression: Scalar = eqx.field(default=14e-5, converter=real)  # 1/mV
    low: Scalar = eqx.field(default=-70.6, converter=real)
    high: Scalar = eqx.field(default=-45.3, converter=real)
    rest: Scalar = eqx.field(default=-70.6, converter=real)
    time_pre: Scalar = eqx.field(default=15.0, converter=real)
    time_plus: Scalar = eqx.field(default=7.0, converter=real)
    time_minus: Scalar = eqx.field(default=10.0, converter=real)
    mean_time: Scalar = eqx.field(default=1200.0, converter=real)
    reference: Scalar = eqx.field(default=60.0, converter=real)  # mV^2
    homeostatic: bool = eqx.field(default=False, static=True)
    lag: int = eqx.field(default=3, static=True, converter=counted("lag", 0))

    every_step: ClassVar = True  # `Intermittent` refuses it

    def __check_init__(self) -> None:
        times = ("time_pre", "time_plus", "time_minus", "mean_time", "reference")
        require(self, **dict.fromkeys(times, SOME_TIME))
        require(self, potentiation=(0.0, np.inf), depression=(0.0, np.inf))
        require(self, **dict.fromkeys(("low", "high", "rest"), (-1e9, 1e9)))

    def traces(self) -> dict[str, AbstractTrace]:
        below = lambda time: LowPass(time, lambda s: s.voltage, self.rest)
        away = lambda s: (s.voltage - self.rest) ** 2
        found: dict[str, AbstractTrace] = {
            "pre": LowPass(self.time_pre, lambda s: s.pre / s.dt),
            "plus": Delayed(below(self.time_plus), self.lag),
            "minus": Delayed(below(self.time_minus), self.lag),
        }
        if self.homeostatic:
            found["mean"] = LowPass(self.mean_time, away)
        return found

    def __call__(
        self, synapses: Matrix, signals: SpikeSignals, key: Key[Array, ""]
    ) -> Matrix:
        traces, above = signals.traces, jax.nn.relu
        plus, minus = (above(traces[x][0] - self.low) for x in ("plus", "minus"))
        down = self.depression * minus
        if self.homeostatic:
            down = down * traces["mean"] / self.reference
        up = self.potentiation * above(signals.voltage - self.high) * plus
        up = jnp.outer(signals.dt * up, traces["pre"])
        return up - jnp.outer(down, signals.pre)
