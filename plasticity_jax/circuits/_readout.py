"""Recurrent spiking neurons with adaptive thresholds, read out and told the target."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import real, require, shape_of
from .._interfaces import AbstractCircuit, Scalar
from ..signals import ReadoutSignals
from ..synapses._reading import weights
from ._leaky import spike


Vector = Float[Array, " n"]


class Adaptive(NamedTuple):
    """Potential and increment of the threshold, last spikes, and the output.

    >>> network, x = LSNN(), {"pre": jnp.ones(1), "target": jnp.ones(1)}
    >>> w = {"input": jnp.eye(1), "recurrent": jnp.zeros((1, 1)), "readout": jnp.eye(1)}
    >>> activity, seen = network(network.start(w), w, x, jr.key(0))
    >>> activity.spikes.tolist(), activity.output.tolist()
    ([1.0], [1.0])
    """

    potential: Vector
    increment: Vector
    spikes: Vector
    output: Float[Array, " output"]


class LSNN(AbstractCircuit):
    r"""$v_t = \alpha v_{t-1} + W_{in} x_t + W_{rec} z_{t-1} - \theta z_{t-1}$,
    $a_t = \rho a_{t-1} + z_{t-1}$, $z_t = [v_t \ge \theta + \beta a_t]$,
    $y_t = \kappa y_{t-1} + W_{out} z_t$.

    The long short-term memory network of spiking neurons (Bellec et al. 2018; as in
    2020, doi 10.1038/s41467-020-17236-y). $\alpha, \rho, \kappa$ are $e^{-dt/\tau}$ of
    `membrane_time`, `adaptation_time` and `readout_time`, in the units of `dt`; $\beta$
    is `adaptation`, one or for each neuron, 0 for a leaky neuron.

    Synapses are a dictionary of `input` (neuron, pre), `recurrent` (neuron, neuron) and
    `readout` (output, neuron); the stimulus one of the input's spikes `pre` and of the
    `target` (output,). A spike's derivative is $\frac{\gamma}{\theta}\max(0, 1 -
    |v - A|/\theta)$ with $A = \theta + \beta a$ and $\gamma$ = `softness`; the reset
    has none. Offers `ReadoutSignals`. Raises `ValueError` for parts that do not fit in
    shape.

    >>> network, x = LSNN(), {"pre": jnp.ones(1), "target": jnp.ones(1)}
    >>> w = {"input": jnp.eye(1), "recurrent": jnp.zeros((1, 1)), "readout": jnp.eye(1)}
    >>> activity, seen = network(network.start(w), w, x, jr.key(0))
    >>> print(f"{seen.post[0]:.0f}, {seen.slope[0]:.3f}")  # v is 1, the threshold .6
    1, 0.167
    """

    dt: Scalar = eqx.field(default=1.0, converter=real)
    membrane_time: Scalar = eqx.field(default=20.0, converter=real)
    adaptation_time: Scalar = eqx.field(default=200.0, converter=real)
    readout_time: Scalar = eqx.field(default=20.0, converter=real)
    threshold: Scalar = eqx.field(default=0.6, converter=real)
    adaptation: Float[Array, "..."] = eqx.field(default=0.07, converter=real)
    softness: Scalar = eqx.field(default=0.3, converter=real)

    def __check_init__(self) -> None:
        times = ("dt", "membrane_time", "adaptation_time", "readout_time", "threshold")
        require(self, **dict.fromkeys(times, (1e-9, np.inf)))
        require(self, adaptation=(0.0, 1e9), softness=(0.0, np.inf))

    def start(self, synapses: Any, stimulus: Any = None, key: Any = None) -> Adaptive:
        """Rest: no potential, no spike, no output."""
        readout = _readout(weights(synapses))
        output, still = (jnp.zeros(n, readout.dtype) for n in readout.shape)
        return Adaptive(still, still, still, output)

    def __call__(
        self, activity: Adaptive, synapses: Any, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Adaptive, ReadoutSignals]:
        v, a, before, y = activity
        synapses = weights(synapses, key)
        seen, target, beta = self._fitting(activity, synapses, stimulus)
        kept, recovered, smoothed = (
            jnp.exp(-self.dt / time)
            for time in (self.membrane_time, self.adaptation_time, self.readout_time)
        )
        reset = self.threshold * jax.lax.stop_gradient(before)
        driven = synapses["input"] @ seen + synapses["recurrent"] @ before
        v = kept * v + driven - reset
        a = recovered * a + before
        above = v - self.threshold - beta * a
        near = jax.nn.relu(1 - jnp.abs(above) / self.threshold)
        slope = self.softness / self.threshold * near
        fired = spike(above, slope)
        y = smoothed * y + synapses["readout"] @ fired
        signals = ReadoutSignals(
            *(self.dt, seen, before, fired, slope, y, target - y),
            *(kept, recovered, smoothed, beta),
        )
        return Adaptive(v, a, fired, y), signals

    def _fitting(
        self, activity: Adaptive, synapses: Any, stimulus: Any
    ) -> tuple[Array, Array, Array]:
        """Spikes, target and adaptation, if all fit; else `ValueError`."""
        readout, v = _readout(synapses), activity.potential
        output, n = readout.shape
        if not isinstance(stimulus, Mapping) or set(stimulus) != {"pre", "target"}:
            raise ValueError(
                "the stimulus must be a dictionary of `pre`, the input's spikes, and "
                f"of a `target`; got {shape_of(stimulus)}."
            )
        seen, target = (
            jnp.asarray(stimulus[name], v.dtype) for name in ("pre", "target")
        )
        if (activity.output.shape, v.shape) != ((output,), (n,)):
            raise ValueError(
                f"`activity` must be that of {n} neurons and {output} outputs; got "
                f"{len(v)} and {len(activity.output)}."
            )
        wanted = {"input": (n, *seen.shape), "recurrent": (n, n)}
        for name, shape in wanted.items():
            if len(shape) != 2 or synapses[name].shape != shape:
                raise ValueError(
                    f"synapses `{name}` must be shaped {shape}; got "
                    f"{synapses[name].shape}."
                )
        if target.shape != (output,):
            raise ValueError(
                f"`target` must have an entry for each of {output} outputs; got shape "
                f"{target.shape}."
            )
        if self.adaptation.shape not in ((), (n,)):
            raise ValueError(
                f"`adaptation` must be one number or one for each of {n} neurons; got "
                f"shape {self.adaptation.shape}."
            )
        return seen, target, jnp.broadcast_to(self.adaptation, (n,))


def _readout(synapses: Any) -> Array:
    names = {"input", "recurrent", "readout"}
    if not isinstance(synapses, Mapping) or set(synapses) != names:
        raise ValueError(
            "synapses must be a dictionary of `input`, `recurrent` and `readout`; got "
            f"{shape_of(synapses)}."
        )
    if synapses["readout"].ndim != 2:
        raise ValueError(
            "synapses `readout` must be shaped (output, neuron); got "
            f"{synapses['readout'].shape}."
        )
    return synapses["readout"]
