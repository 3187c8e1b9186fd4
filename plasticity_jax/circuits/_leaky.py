"""Leaky integrate-and-fire neurons with exponential synapses, integrated exactly."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._arguments import concrete, counted, optional, real, require, shape_of
from .._interfaces import AbstractCircuit, Scalar, Synapses
from ..signals import SpikeSignals
from ..synapses._reading import weights
from ..traces import Resources, ShortTerm
from ._layer import check_target


Vector = Float[Array, " n"]
Matrix = Float[Array, "post pre"]


class Leaky(NamedTuple):
    """Potential and current (mV), steps left at rest, spikes on their way, resources.

    The resources are those of the synapses' presynaptic side, of a network whose
    synapses have some.

    >>> network, w = LeakyNetwork(refractory=2), jnp.zeros((2, 3))
    >>> stimulus = {"pre": jnp.zeros(3), "external": jnp.array([1e3, 0.0])}
    >>> activity, seen = network(network.start(w), w, stimulus, jr.key(0))
    >>> activity.resting.tolist(), activity.sent.tolist()  # the first one spiked
    ([2, 0], [[1.0, 0.0]])
    """

    potential: Vector
    current: Vector
    resting: Int[Array, " n"]
    sent: Float[Array, "delay n"]
    resources: Resources | None = None


@jax.custom_jvp
def spike(distance: Vector, slope: Vector) -> Vector:
    """1 where the distance from threshold is not negative; `slope` its derivative."""
    fired = jnp.where(distance >= 0, 1.0, 0.0).astype(distance.dtype)
    return jnp.where(jnp.isnan(distance), jnp.nan, fired)


@spike.defjvp
def _spike_jvp(primals: tuple, tangents: tuple) -> tuple:
    distance, slope = primals
    return spike(distance, slope), slope * tangents[0]


def driven(stimulus: Any, like: Vector) -> tuple[Array, Array, dict[str, Array]]:
    """The input's spikes, the external current, and what is shown for rules to read.

    `like` has an entry for each neuron. Raises `ValueError` for other parts, or a
    current that does not fit.
    """
    if isinstance(stimulus, tuple):
        raise ValueError(
            "the stimulus must be the input's spikes of one step, (pre,), or a "
            f"dictionary; got {type(stimulus).__name__}{shape_of(tuple(stimulus))}."
        )
    shown = dict(stimulus) if isinstance(stimulus, Mapping) else {"pre": stimulus}
    if "pre" not in shown or shown.keys() - {"pre", "external", "reward", "target"}:
        raise ValueError(
            "the stimulus must hold `pre`, the input's spikes, and may hold an "
            f"`external` current, a `reward` and a `target`; got {list(shown)}."
        )
    told = {name: jnp.asarray(x, like.dtype) for name, x in shown.items()}
    seen, drive = told.pop("pre"), told.pop("external", jnp.zeros((), like.dtype))
    if drive.shape not in ((), like.shape):
        raise ValueError(
            f"`external` must be one current or one for each of {len(like)} neurons; "
            f"got shape {drive.shape}."
        )
    check_target(told, like)
    return seen, drive, told


class LeakyNetwork(AbstractCircuit):
    r"""$\tau_m\dot V = -V + I + I_{ext}$, $\tau_s\dot I = -I$; spikes add to $I$.

    Times in ms, potentials and currents in mV above rest. Each step is exact (Rotter &
    Diesmann 1999, doi 10.1007/s004220050570): $V$ moves by the old current; a neuron
    that reaches `threshold` spikes, is put to `reset` and held there for `refractory`;
    then spikes that arrive are added. The stimulus is the input's spikes (pre,), or a
    dictionary of these as `pre`, of an `external` current (one, or for each neuron) and
    of a `reward` or `target` that rules read. A current far above threshold, such as
    1e3, makes a spike at its step: so a pair of spikes is set at any lag.

    Synapses are the input's weights (post, pre), with fixed `recurrent` weights
    (neuron, neuron) if there are some; or, where fixed `inputs` weights are given, the
    recurrent ones. Spikes of the network arrive `delay` later, those of the input at
    once; both `delay` and `refractory` are whole steps. With a `short_term` plasticity
    a spike that arrives at the synapses (fixed weights have none) adds $wE$ to the
    current; rules read the spike as it is.

    A spike's derivative is $\frac{\gamma}{\theta}\max(0, 1 - |V - \theta|/\theta)$ with
    $\gamma$ = `softness` (Bellec et al. 2020), 0 at rest; the reset has none. Offers
    `SpikeSignals`. Raises `ValueError` for times that are no whole steps, and for parts
    that do not fit in shape.

    >>> network, w = LeakyNetwork(reset=10.0), jnp.zeros((2, 3))
    >>> stimulus = {"pre": jnp.zeros(3), "external": jnp.array([1e3, 10.0])}
    >>> activity, seen = network(network.start(w), w, stimulus, jr.key(0))
    >>> print(np.array(activity.potential).round(3))  # reset, and 10 (1 - exp(-1 / 20))
    [10.     0.488]
    """

    dt: Scalar = eqx.field(default=1.0, converter=real)
    membrane_time: Scalar = eqx.field(default=20.0, converter=real)
    synaptic_time: Scalar = eqx.field(default=5.0, converter=real)
    threshold: Scalar = eqx.field(default=20.0, converter=real)
    reset: Scalar = eqx.field(default=10.0, converter=real)
    softness: Scalar = eqx.field(default=0.3, converter=real)
    inputs: Matrix | None = eqx.field(default=None, converter=optional)
    recurrent: Matrix | None = eqx.field(default=None, converter=optional)
    refractory: int = eqx.field(
        default=2, static=True, converter=counted("refractory", 0)
    )
    delay: int = eqx.field(default=1, static=True, converter=counted("delay"))
    short_term: ShortTerm | None = None

    def __check_init__(self) -> None:
        times = dict.fromkeys(("dt", "membrane_time", "synaptic_time"), (1e-9, np.inf))
        require(self, **times, threshold=(1e-9, np.inf), softness=(0.0, np.inf))
        require(self, reset=(-np.inf, np.inf))
        if concrete(self.reset, self.threshold) and not np.all(
            np.asarray(self.reset) < np.asarray(self.threshold)
        ):
            raise ValueError(
                f"`reset` = {self.reset} must be below `threshold` = {self.threshold}."
            )
        if self.inputs is not None and self.recurrent is not None:
            raise ValueError("give `inputs` or `recurrent`, not both.")

    def start(self, synapses: Synapses, stimulus: Any = None, key: Any = None) -> Leaky:
        """Rest: no potential, no current, no spike on its way, all resources."""
        plastic = weights(synapses)
        still = jnp.zeros_like(plastic[:, 0])
        none = jnp.zeros(still.shape, jnp.int32)
        sent = jnp.zeros((self.delay, *still.shape), still.dtype)
        short = self.short_term
        resources = None if short is None else short.rest(plastic[0])
        return Leaky(still, still, none, sent, resources)

    def __call__(
        self, activity: Leaky, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Leaky, SpikeSignals]:
        v, current, resting, sent, resources = activity
        if (resources is None) is not (self.short_term is None):
            raise ValueError(
                "`activity` must hold resources where the network has a `short_term` "
                "plasticity, and only there: begin with its `start`."
            )
        if sent.shape != (self.delay, len(v)):
            raise ValueError(
                f"`activity` must hold spikes of {self.delay} steps, the `delay`; got "
                f"{len(sent)}: begin with the network's `start`."
            )
        plastic = weights(synapses, key)
        seen, drive, shown = driven(stimulus, v)
        kept, held = jnp.exp(-self.dt / self.synaptic_time), resting > 0
        leak = jnp.exp(-self.dt / self.membrane_time)
        moved = leak * v + self._inflow() * current + (1 - leak) * drive
        v = jnp.where(held, self.reset, moved)
        away = jnp.abs(v - self.threshold) / self.threshold
        slope = self.softness / self.threshold * jnp.maximum(0, 1 - away)
        fired = spike(v - self.threshold, jnp.where(held, 0, slope))
        fired = jnp.where(held, 0, fired)
        before = v
        off = jax.lax.stop_gradient(fired) > 0
        v = jnp.where(off, self.reset, v)
        resting = jnp.where(off, self.refractory, jnp.maximum(resting - 1, 0))
        arrived, direct, back = sent[0], plastic, self.recurrent
        if self.inputs is not None:
            direct, back = self.inputs, plastic
        if direct.shape != (*fired.shape, *seen.shape):
            raise ValueError(
                f"weights of the input, {direct.shape}, must be those of {len(v)} "
                f"neurons; the input's spikes must be shaped {direct.shape[1:]}, got "
                f"{seen.shape}."
            )
        if back is not None and back.shape != 2 * fired.shape:
            raise ValueError(
                f"weights within the network must be shaped {2 * fired.shape}; got "
                f"{back.shape}."
            )
        pre = seen if self.inputs is None else arrived
        if self.short_term is not None and resources is not None:
            resources = self.short_term.after(resources, pre, self.dt)
        sending = pre if resources is None else resources.released
        seen, arrived = (sending, arrived) if self.inputs is None else (seen, sending)
        current = kept * current + direct @ seen
        if back is not None:
            current = current + back @ arrived
        sent = jnp.concatenate([sent[1:], fired[None]])
        signals = SpikeSignals(self.dt, pre, fired, before, current, shown)
        return Leaky(v, current, resting, sent, resources), signals

    def _inflow(self) -> Scalar:
        """What a current of 1 adds to the potential in a step; also at equal times."""
        fast, slow = self.dt / self.synaptic_time, self.dt / self.membrane_time
        apart = slow - fast
        near, far = jnp.abs(apart) < 1e-5, apart > 1  # where the rise would overflow
        quotient = jnp.expm1(jnp.where(far, 1, apart)) / jnp.where(near, 1, apart)
        share = jnp.where(near, 1 + apart / 2, quotient)
        least = -jnp.expm1(-jnp.where(far, apart, 1)) / jnp.where(far, apart, 1)
        usual = slow * jnp.exp(-slow) * share
        return jnp.where(far, slow * jnp.exp(-fast) * least, usual)
