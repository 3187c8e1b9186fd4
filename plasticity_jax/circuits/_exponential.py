"""Adaptive exponential integrate-and-fire neurons, with the shape of their spikes."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._arguments import real, require
from .._interfaces import AbstractCircuit, Scalar, Synapses
from ..signals import SpikeSignals
from ..synapses._reading import weights
from ._leaky import driven


Vector = Float[Array, " n"]
PEAK = 20.0  # mV; a potential above it is a spike
SHAPE = (29.4, 32.862)  # mV in the two steps that a spike lasts
AFTER = -49.5016  # mV, from where it goes on


class Exponential(NamedTuple):
    """Potential and threshold (mV), adaptation and after-current (pA), spike's steps.

    `left` counts the steps until a spike is over: 2, 1, else 0.

    >>> rest = ExponentialNeurons().start(jnp.ones((2, 3)))
    >>> rest.left.tolist(), rest.adaptation.tolist()
    ([0, 0], [0.0, 0.0])
    """

    potential: Vector
    threshold: Vector
    adaptation: Vector
    after: Vector
    left: Int[Array, " n"]


class ExponentialNeurons(AbstractCircuit):
    r"""$C\dot u = -g(u - E) + g\Delta e^{(u - V_T)/\Delta} - w + z + I$.

    The adaptive exponential neuron (Brette & Gerstner 2005) of Clopath et al. 2010 (doi
    10.1038/nn.2479; code: ModelDB 144566), with $\tau_w\dot w = a(u - E) - w$, an
    after-current $\tau_z\dot z = -z$ and a moving threshold $\tau_T\dot V_T = V_0 -
    V_T$, in steps of Euler's of 1 ms. What exceeds 20 mV spikes: two steps of 29.4 and
    32.862 mV, then it goes on from -49.5016 mV with $w$ larger by `jump`, $z$ =
    `after_current` and $V_T$ = `raised`. (The paper's jump is 80.5 pA, the code's .0805
    pA.) A spike has no derivative.

    In pF, nS, mV, pA and ms. The stimulus is the input's spikes (pre,), or a dictionary
    of these as `pre`, of an `external` current in pA (one, or for each neuron) and of a
    `reward` or `target` that rules read.
    Synapses (post, pre): a spike through a weight of 1 lifts $u$ by `gain` mV, by a
    current of one step. Offers `SpikeSignals`, the `voltage` with the spike's shape and
    the whole `current` in pA. Raises `ValueError` for parts that do not fit in shape.

    >>> neurons, w, key = ExponentialNeurons(), jnp.ones((2, 3)), jr.key(0)
    >>> spikes = jnp.array([1.0, 0.0, 0.0])
    >>> activity, seen = neurons(neurons.start(w), w, spikes, key)
    >>> print(np.array(activity.potential).round(2))  # 4 mV above rest
    [-66.6 -66.6]
    """

    capacitance: Scalar = eqx.field(default=281.0, converter=real)
    conductance: Scalar = eqx.field(default=30.0, converter=real)
    rest: Scalar = eqx.field(default=-70.6, converter=real)
    sharpness: Scalar = eqx.field(default=2.0, converter=real)
    threshold: Scalar = eqx.field(default=-50.4, converter=real)
    raised: Scalar = eqx.field(default=-30.4, converter=real)
    threshold_time: Scalar = eqx.field(default=50.0, converter=real)
    coupling: Scalar = eqx.field(default=4.0, converter=real)
    jump: Scalar = eqx.field(default=0.0805, converter=real)
    adaptation_time: Scalar = eqx.field(default=144.0, converter=real)
    after_current: Scalar = eqx.field(default=400.0, converter=real)
    after_time: Scalar = eqx.field(default=40.0, converter=real)
    gain: Scalar = eqx.field(default=4.0, converter=real)

    def __check_init__(self) -> None:
        times = ("threshold_time", "adaptation_time", "after_time")
        require(self, **dict.fromkeys(times, (1.0, np.inf)))
        sizes = ("capacitance", "conductance", "sharpness")
        require(self, **dict.fromkeys(sizes, (1e-9, np.inf)))
        finite = ("rest", "threshold", "raised", "coupling", "jump", "gain")
        require(self, **dict.fromkeys((*finite, "after_current"), (-1e9, 1e9)))

    def start(
        self, synapses: Synapses, stimulus: Any = None, key: Any = None
    ) -> Exponential:
        """Rest: no adaptation, no current, no spike."""
        still = jnp.zeros_like(weights(synapses)[:, 0])
        rest, threshold = (
            jnp.full_like(still, x.astype(still.dtype))
            for x in (self.rest, self.threshold)
        )
        none = jnp.zeros(still.shape, jnp.int32)
        return Exponential(rest, threshold, still, still, none)

    def __call__(
        self,
        activity: Exponential,
        synapses: Synapses,
        stimulus: Any,
        key: Key[Array, ""],
    ) -> tuple[Exponential, SpikeSignals]:
        read = weights(synapses, key)
        seen, drive, shown = driven(stimulus, activity.potential)
        if read.shape != (*activity.potential.shape, *seen.shape):
            raise ValueError(
                f"`synapses`, {read.shape}, must be those of "
                f"{len(activity.potential)} neurons; the input's spikes must be shaped "
                f"{read.shape[1:]}, got {seen.shape}."
            )
        u, threshold, w, z, left = activity
        over, held = left == 1, left == 2
        u = jnp.where(over, AFTER, u)
        threshold = jnp.where(over, self.raised, threshold)
        w = jnp.where(over, w + self.jump, w)
        z = jnp.where(over, self.after_current, z)

        current = drive + self.gain * self.capacitance * (read @ seen)
        away = u - self.rest
        steep = jnp.where(held, 0, u - threshold) / self.sharpness  # not of a spike
        steep = self.conductance * self.sharpness * jnp.exp(steep)
        inward = steep - self.conductance * away - w + z + current
        moved = u + inward / self.capacitance
        fired = (moved > PEAK) & ~held
        moved = jnp.where(fired, SHAPE[0], jnp.where(held, SHAPE[1], moved))
        pulled = w + (self.coupling * away - w) / self.adaptation_time
        w = jnp.where(held, w, pulled)
        z = z - z / self.after_time
        threshold = threshold + (self.threshold - threshold) / self.threshold_time
        left = jnp.where(fired, 2, jnp.where(held, 1, 0))
        spikes = jnp.where(jnp.isnan(moved), jnp.nan, fired.astype(moved.dtype))
        signals = SpikeSignals(real(1.0), seen, spikes, moved, current, shown)
        return Exponential(moved, threshold, w, z, left), signals
