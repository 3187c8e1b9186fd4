"""Homeostasis: a neuron scales all its synapses to hold its rate."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import optional, real, require
from .._interfaces import AbstractRule, AbstractTrace, Scalar
from ..signals import LayerSignals, SpikeSignals
from ..traces import LowPass, SOME_TIME


Matrix = Float[Array, "post pre"]
Vector = Float[Array, " post"]
Rates = Float[Array, "*#post"]


def _rate(signals: LayerSignals | SpikeSignals) -> Vector:
    """What fires: a rate as it is, spikes per unit of time."""
    spikes = isinstance(signals, SpikeSignals)
    return signals.post / signals.dt if spikes else signals.post


def _for_each(name: str, rates: Rates, like: Vector) -> Vector:
    """One rate, or one for each neuron, as one for each."""
    if rates.shape not in ((), like.shape):
        raise ValueError(
            f"`{name}` must be one rate, or one for each of {len(like)} neurons; got "
            f"the shape {rates.shape}."
        )
    return jnp.broadcast_to(rates.astype(like.dtype), like.shape)


class _Shortfall(AbstractTrace):
    r"""The mean rate $a$ and $\int (a_g - a)$, held where no weight is left."""

    mean: LowPass
    target: Rates
    first: Rates

    @property
    def moves_first(self) -> bool:
        return False

    def start(self, synapses: Matrix, signals: Any) -> tuple[Vector, Vector]:
        rate = _rate(signals)
        return _for_each("first", self.first, rate), jnp.zeros_like(rate)

    def __call__(
        self, trace: tuple[Vector, Vector], synapses: Matrix, signals: Any, change: Any
    ) -> tuple[Vector, Vector]:
        mean, missed = trace
        missing = signals.dt * (_for_each("target", self.target, mean) - mean)
        missing = jnp.where(jnp.any(synapses != 0, axis=1), missing, 0)
        return self.mean(mean, synapses, signals, change), missed + missing


class SynapticScaling(AbstractRule):
    r"""$\dot w_i = w_i\,[\beta (a_g - a) + \gamma \int (a_g - a)]$, $a$ the mean rate.

    Turrigiano et al. 1998 ($\gamma = 0$, `integral`); van Rossum, Bi & Turrigiano 2000,
    doi 10.1523/JNEUROSCI.20-23-08812.2000. All weights of a neuron have one factor, so
    their ratios stay. $a$ is a running mean of `time`, read before it moves; $a_g$ is
    the `target`, in spikes per unit of time (.02 is 20 Hz where that is ms), and $a$
    begins there unless at `first`; each is one rate or one for each neuron, or raises
    `ValueError`. A linear neuron is stable if and only if $\beta > \tau\gamma$, else
    its rate oscillates ever more. The integral is held where a neuron has no weight
    left. In single precision steps of 1 ms change too little to count: take
    `Intermittent(rule, 1000)`.

    Times in the units of `dt`. Reads `post` (rates, or spikes), `dt` and a trace.
    Synapses (post, pre).

    >>> rule, key = SynapticScaling(4.0, rate=0.5, integral=0.0, first=3.0), jr.key(0)
    >>> task, w = tasks.Constant(jnp.ones(3)), jnp.array([[1.0, 2.0, 4.0]])
    >>> system = System(task, circuits.Layer(), {"scaling": rule})
    >>> state, _ = simulate(system, system.start(w, key), key, steps=1)
    >>> state.synapses.tolist()  # all by half, since the rate is 1 below its target
    [[1.5, 3.0, 6.0]]
    """

    target: Rates = eqx.field(converter=real)
    rate: Scalar = eqx.field(default=4e-5, converter=real)
    integral: Scalar = eqx.field(default=1e-10, converter=real)  # 1/ms
    time: Scalar = eqx.field(default=1e5, converter=real)  # ms
    first: Rates | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        require(self, target=(0.0, np.inf), time=SOME_TIME)
        require(self, rate=(0.0, np.inf), integral=(0.0, np.inf))
        if self.first is not None:
            require(self, first=(0.0, np.inf))

    def traces(self) -> dict[str, AbstractTrace]:
        first = self.target if self.first is None else self.first
        return {"rate": _Shortfall(LowPass(self.time, _rate), self.target, first)}

    def __call__(
        self,
        synapses: Matrix,
        signals: LayerSignals | SpikeSignals,
        key: Key[Array, ""],
    ) -> Matrix:
        mean, missed = signals.traces["rate"]
        short = _for_each("target", self.target, mean) - mean
        pull = self.rate * short + self.integral * missed
        return (signals.dt * pull)[:, None] * synapses
