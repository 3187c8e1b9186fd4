"""A Poisson (GLM) neuron under instruction, and several students on one stimulus."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._config import nearest
from .._interfaces import AbstractCircuit, real, require, Scalar, Synapses
from .._random import LAWS, spike_counts
from .._signals import InputMoments, SharedSignals, SpikingSignals
from .._transfer import check_transfer, score, Sigmoid, Transfer
from ..curvature import Coefficients, glm_coefficients, voltage_moments
from ._kernel import SynapticKernel


Vector = Float[Array, " n"]


class Afferents(NamedTuple):
    """What is carried from step to step.

    Synaptic currents and potentials; the coefficients of the Fisher matrix (one set
    per weight vector, shaped like the synapses), and the steps since their refresh.
    """

    current: Vector
    potential: Vector
    coefficients: Any
    age: Int[Array, ""]


def input_moments(
    rates: Vector, kernel: SynapticKernel, floor: Scalar | float = 1e-4
) -> InputMoments:
    r"""Stationary cumulants of the synaptic potentials (Eqs. 29-31).

    $\epsilon_0 r$, $r/c_\epsilon$ and $r\int\epsilon^3$. Silent inputs (rate 0) count
    as firing at `floor` Hz, so that their limit is finite, and are marked inactive.
    """
    active = jnp.where(rates > 0, 1.0, 0.0).astype(rates.dtype)
    kept = jnp.maximum(rates, jnp.asarray(floor, rates.dtype))
    return InputMoments(
        kept * kernel.area, kept * kernel.energy, kept * kernel.skew, active
    )


def _inner(a: Vector, b: Vector) -> Scalar:
    r"""$a \cdot b$, summed in four parts side by side and then along them.

    On a CPU, XLA adds the entries of a row one after the other, waiting for each sum,
    or calls a library that costs more than a hundred entries; neither happens here.
    """
    first, second, third, fourth = jnp.pad(a * b, (0, -len(a) % 4)).reshape(4, -1)
    parts = first + second + third + fourth
    return jnp.matmul(parts, jnp.ones_like(parts), precision="highest")


class SpikingNeuron(AbstractCircuit):
    r"""Spikes at rate $\phi(w \cdot x)$; a teacher says when it should have.

    `rates` (Hz) are those of the inputs, whose spikes come as the stimulus
    (`tasks.Spikes`). The teacher is realizable (`teacher` weights on the same inputs)
    unless the stimulus brings its own target spikes. `attenuation` maps the plastic
    synapses to somatic amplitudes (Eq. 4), entry by entry. Coefficients of the Fisher
    matrix are refreshed every `refresh` steps, 0 for never after the first, by
    `metric(transfer, mean, variance, q, nodes=nodes)`.
    """

    rates: Vector = eqx.field(converter=real)
    dt: Scalar = eqx.field(converter=real)
    teacher: Vector | None = eqx.field(
        default=None, converter=lambda x: None if x is None else real(x)
    )
    kernel: SynapticKernel = eqx.field(default_factory=SynapticKernel)
    transfer: Transfer = eqx.field(default_factory=Sigmoid)
    attenuation: Callable[[Vector], Vector] | None = None
    floor: Scalar = eqx.field(default=1e-4, converter=real)  # Hz
    metric: Callable[..., Coefficients] = eqx.field(
        default=glm_coefficients, static=True
    )
    law: str = eqx.field(default="bernoulli", static=True)
    refresh: int = eqx.field(default=1, static=True)
    nodes: int = eqx.field(default=49, static=True)

    def __check_init__(self) -> None:
        if self.law not in LAWS:
            raise ValueError(
                f"`law` is unknown: '{self.law}'.{nearest(self.law, LAWS)}"
            )
        if self.refresh < 0:
            raise ValueError(f"`refresh` must not be negative; got {self.refresh}.")
        if self.nodes < 9:
            raise ValueError(f"`nodes` must be at least 9; got {self.nodes}.")
        require(self, rates=(0.0, np.inf), dt=(1e-9, np.inf), floor=(1e-12, np.inf))
        if self.teacher is not None and self.teacher.shape != self.rates.shape:
            raise ValueError(
                f"`teacher` needs one weight per input {self.rates.shape}; got "
                f"{self.teacher.shape}."
            )
        check_transfer(self.transfer)

    @property
    def moments(self) -> InputMoments:
        """The stationary law of the synaptic potentials."""
        return input_moments(self.rates, self.kernel, self.floor)

    def somatic(self, synapses: Vector) -> Vector:
        """Amplitudes at the soma."""
        if synapses.shape != self.rates.shape:
            raise ValueError(
                f"`synapses` need one weight per input {self.rates.shape}; got "
                f"{synapses.shape}."
            )
        return synapses if self.attenuation is None else self.attenuation(synapses)

    def coefficients(self, weights: Vector) -> Coefficients:
        """Those of the Fisher matrix at these somatic weights."""
        moments = self.moments
        seen = voltage_moments(weights, moments.mean, moments.variance)
        return self.metric(self.transfer, *seen, nodes=self.nodes)

    def at_rest(self, synapses: Synapses) -> Afferents:
        """Activity before the first spike; `synapses` may hold several vectors."""
        still = jnp.zeros_like(self.rates)
        fresh = jax.tree.map(lambda w: self.coefficients(self.somatic(w)), synapses)
        return Afferents(still, still, fresh, jnp.asarray(0, jnp.int32))

    def heard(
        self, activity: Afferents, synapses: Synapses, stimulus: Any
    ) -> Afferents:
        """Synaptic currents and potentials after the spikes of one step.

        A spike contributes nothing within its own bin; exact between bins.
        """
        if stimulus.inputs.shape[1:] != self.rates.shape:
            raise ValueError(
                f"the stimulus must have spikes for inputs {self.rates.shape}; got "
                f"{stimulus.inputs.shape[1:]}."
            )
        keep, drive, fade = self.kernel.propagator(self.dt / len(stimulus.inputs))
        current, potential = activity.current, activity.potential
        for spikes in stimulus.inputs:
            potential = keep * potential + drive * current
            current = fade * current + spikes
        coefficients = activity.coefficients
        if self.refresh:
            fresh = lambda: jax.tree.map(
                lambda w: self.coefficients(self.somatic(w)), synapses
            )
            due = activity.age % self.refresh == 0
            coefficients = (
                fresh()
                if self.refresh == 1
                else jax.lax.cond(due, fresh, lambda: activity.coefficients)
            )
        return Afferents(current, potential, coefficients, activity.age + 1)

    def taught(self, potential: Vector, stimulus: Any, key: Key[Array, ""]) -> Scalar:
        """The teacher's spikes of this step."""
        if stimulus.target is not None:
            return stimulus.target
        if self.teacher is None:
            raise ValueError(
                "the neuron has no teacher: give `teacher` weights, or a stimulus with "
                "target spikes (`SpikeTrains(..., target_rate=...)`)."
            )
        rate = self.transfer(_inner(self.teacher, potential))
        return spike_counts(key, rate * self.dt, (), self.law)

    def seen(
        self,
        synapses: Vector,
        potential: Vector,
        target: Scalar,
        coefficients: Coefficients,
    ) -> SpikingSignals:
        """What the rules may read of one weight vector."""
        weights = self.somatic(synapses)
        voltage = _inner(weights, potential)
        return SpikingSignals(
            self.dt,
            potential,
            voltage,
            self.transfer(voltage),
            score(self.transfer, voltage),
            target,
            weights,
            self.moments,
            coefficients,
        )

    def __call__(
        self, activity: Afferents, synapses: Vector, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Afferents, SpikingSignals]:
        activity = self.heard(activity, synapses, stimulus)
        target = self.taught(activity.potential, stimulus, key)
        signals = self.seen(synapses, activity.potential, target, activity.coefficients)
        return activity, signals


class SharedInput(AbstractCircuit):
    """Several students of one `neuron`: same input spikes, same teacher spikes.

    The synapses are a dictionary of weight vectors; use it with the rule `Separate`.
    """

    neuron: SpikingNeuron

    def __call__(
        self,
        activity: Afferents,
        synapses: Mapping[str, Vector],
        stimulus: Any,
        key: Key[Array, ""],
    ) -> tuple[Afferents, SharedSignals]:
        neuron = self.neuron
        activity = neuron.heard(activity, synapses, stimulus)
        target = neuron.taught(activity.potential, stimulus, key)
        students = {
            name: neuron.seen(
                synapses[name], activity.potential, target, activity.coefficients[name]
            )
            for name in synapses
        }
        return activity, SharedSignals(neuron.dt, students)
