"""A Poisson (GLM) neuron under instruction, and several students on one stimulus."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._arguments import (
    check_bins,
    check_finite,
    check_not_negative,
    floating,
    one_of,
    optional,
    real,
    require,
    shape_of,
    whole,
)
from .._interfaces import AbstractCircuit, Scalar, Synapses
from .._random import LAWS, spike_counts
from ..curvature import Coefficients, glm_coefficients, voltage_moments
from ..curvature._quadrature import enough_nodes, NODES
from ..curvature._transfer import check_transfer, score, Sigmoid, Transfer
from ..signals import InputMoments, SharedSignals, SpikingSignals
from ..synapses._reading import weights
from ._kernel import SynapticKernel


Vector = Float[Array, " n"]
# Room for learning: the variance that nodes serve, over that at the teacher's weights.
ROOM = 4.0


class Afferents(NamedTuple):
    """What is carried from step to step.

    Synaptic currents and potentials; the coefficients of the Fisher matrix (one set
    per weight vector, shaped like the synapses), and the steps since their refresh.

    >>> neuron, w = SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.1)
    >>> spikes = tasks.Spikes(jnp.array([[1.0, 0.0, 0.0]]), jnp.zeros(()))
    >>> activity, seen = neuron(neuron.start(w), w, spikes, jr.key(0))
    >>> activity.current.tolist(), activity.potential.tolist(), int(activity.age)
    ([1.0, 0.0, 0.0], [0.0, 0.0, 0.0], 1)
    """

    current: Vector
    potential: Vector
    coefficients: Any
    age: Int[Array, ""]


@floating
def input_moments(
    rates: Vector, kernel: SynapticKernel, floor: Scalar | float = 1e-4
) -> InputMoments:
    r"""Stationary cumulants of the synaptic potentials.

    $\epsilon_0 r$, $r/c_\epsilon$ and $r\int\epsilon^3$ (Kreutzer et al. 2022, Eqs.
    29-31). Silent inputs (rate 0) count as firing at `floor` Hz, so that their limit is
    finite, and are marked inactive. Raises `ValueError` unless rates are a vector,
    finite and not negative; where they are traced, moments of negative ones are NaN.

    >>> moments = input_moments(jnp.array([20.0, 0.0]), SynapticKernel())
    >>> moments.active.tolist()
    [1.0, 0.0]
    >>> print(f"{moments.mean[0]:.0f} mV, {moments.variance[0]:.0f} mV^2")  # 20 / 0.026
    20 mV, 769 mV^2
    """
    _check_vector("rates", rates)
    check_not_negative("rates", rates)
    rates = jnp.where(rates < 0, jnp.nan, rates)
    active = jnp.sign(rates)  # of NaN it is NaN
    kept = jnp.maximum(rates, jnp.asarray(floor, rates.dtype))
    return InputMoments(
        kept * kernel.area, kept * kernel.energy, kept * kernel.skew, active
    )


def _check_vector(name: str, values: Array) -> None:
    if values.ndim != 1:
        raise ValueError(
            f"`{name}` must be a vector, one per input; got {values.shape}."
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
    synapses to somatic amplitudes, entry by entry (Kreutzer et al. 2022, Eq. 4).
    Coefficients of the Fisher matrix are refreshed every `refresh` steps, 0 for never
    after the first, by `metric(transfer, mean, variance, q, nodes=nodes)`; and with
    them, where there is one, the dense matrix `fisher(weights)` of somatic weights, for
    `rules.DenseNaturalGradient`. Of these `nodes` of quadrature there are, unless you
    give a number, 49, or as many as a potential takes whose variance is four times that
    of the teacher's. Where they are too few for the weights of a run, its coefficients
    are NaN.

    Raises `ValueError` for a teacher that could be expected to spike more than once in
    a step: `dt` is too long for the sigmoid's `maximum`. Spikes of one at another
    transfer function are NaN there.

    Offers `SpikingSignals`. Synapses (n,), one for each input; the activity begins as
    `circuit.start(synapses)`.

    >>> neuron, w = SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.125)
    >>> told, x = neuron.coefficients(w), jnp.array([8.0, 16.0, 56.0])
    >>> seen = neuron.signals(w, x, 1.0, told)  # potentials x, and the teacher spikes
    >>> print(f"{seen.voltage:.1f} mV, {seen.rate:.1f} Hz")  # where the sigmoid is half
    10.0 mV, 50.0 Hz
    """

    rates: Vector = eqx.field(converter=real)
    dt: Scalar = eqx.field(converter=real)
    teacher: Vector | None = eqx.field(default=None, converter=optional)
    kernel: SynapticKernel = eqx.field(default_factory=SynapticKernel)
    transfer: Transfer = eqx.field(default_factory=Sigmoid)
    attenuation: Callable[[Vector], Vector] | None = None
    floor: Scalar = eqx.field(default=1e-4, converter=real)  # Hz
    metric: Callable[..., Coefficients] = eqx.field(
        default=glm_coefficients, static=True
    )
    law: str = eqx.field(default="bernoulli", static=True)
    refresh: int = eqx.field(default=1, static=True)
    nodes: int | None = eqx.field(default=None, static=True)
    fisher: Callable[[Vector], Any] | None = None

    def __check_init__(self) -> None:
        one_of("law", self.law, LAWS)
        whole("refresh", self.refresh, 0)
        if self.nodes is not None:
            whole("nodes", self.nodes, 9)
        _check_vector("rates", self.rates)
        require(self, rates=(0.0, np.inf), dt=(1e-9, np.inf), floor=(1e-12, np.inf))
        if self.teacher is not None:
            self._check_weights("`teacher` needs", self.teacher)
            check_finite("teacher", self.teacher)
            if isinstance(self.transfer, Sigmoid):
                check_bins(self.transfer.maximum, self.dt, "maximum")
        check_transfer(self.transfer)
        if self.nodes is None:  # in a compiled program the teacher is not known
            object.__setattr__(self, "nodes", self.quadrature)

    @property
    def quadrature(self) -> int:
        """How many nodes of quadrature the coefficients take."""
        if self.nodes is not None:
            return self.nodes
        if self.teacher is None:
            return NODES
        with jax.ensure_compile_time_eval():  # what is known is known in a program too
            m = self.moments
            mean, variance, _ = voltage_moments(self.teacher, m.mean, m.variance)
            return enough_nodes(self.transfer, mean, ROOM * variance)

    @property
    def moments(self) -> InputMoments:
        """The stationary law of the synaptic potentials."""
        return input_moments(self.rates, self.kernel, self.floor)

    @floating
    def at_soma(self, synapses: Vector) -> Vector:
        """Amplitudes at the soma."""
        self._check_weights("`synapses` need", synapses)
        return synapses if self.attenuation is None else self.attenuation(synapses)

    def _check_weights(self, what: str, weights: Array) -> None:
        if weights.shape != self.rates.shape:
            raise ValueError(
                f"{what} one weight per input {self.rates.shape}; got {weights.shape}."
            )

    @floating
    def coefficients(self, weights: Vector) -> Coefficients:
        """Those of the Fisher matrix at these somatic weights."""
        moments = self.moments
        seen = voltage_moments(weights, moments.mean, moments.variance)
        return self.metric(self.transfer, *seen, nodes=self.quadrature)

    def _refreshed(self, synapses: Synapses) -> Any:
        """Coefficients of every vector, each with its matrix if there is one."""

        def fresh(synapses: Vector) -> Any:
            weights = self.at_soma(synapses)
            known = self.coefficients(weights)
            return known if self.fisher is None else (known, self.fisher(weights))

        return jax.tree.map(fresh, synapses)

    def start(
        self, synapses: Synapses, stimulus: Any = None, key: Any = None
    ) -> Afferents:
        """Activity before the first spike; `synapses` may hold several vectors."""
        still = jnp.zeros_like(self.rates)
        fresh = self._refreshed(weights(synapses))
        return Afferents(still, still, fresh, jnp.asarray(0, jnp.int32))

    def propagate(
        self, activity: Afferents, synapses: Synapses, stimulus: Any
    ) -> Afferents:
        """Synaptic currents and potentials after the spikes of one step.

        A spike contributes nothing within its own bin; exact between bins.
        """
        shape = jnp.shape(stimulus.inputs)
        if len(shape) != 2 or not shape[0] or shape[1:] != self.rates.shape:
            raise ValueError(
                "the stimulus must have spikes (substep, n) of "
                f"{len(self.rates)} inputs; got {shape}."
            )
        keep, drive, fade = self.kernel.propagator(self.dt / len(stimulus.inputs))
        current, potential = activity.current, activity.potential
        for spikes in stimulus.inputs:
            potential = keep * potential + drive * current
            current = fade * current + spikes
        coefficients = activity.coefficients
        if self.refresh == 1:
            coefficients = self._refreshed(synapses)
        elif self.refresh:
            due, old = activity.age % self.refresh == 0, coefficients
            fresh = lambda: self._refreshed(synapses)
            coefficients = jax.lax.cond(due, fresh, lambda: old)
        return Afferents(current, potential, coefficients, activity.age + 1)

    def teacher_spikes(
        self, potential: Vector, stimulus: Any, key: Key[Array, ""]
    ) -> Scalar:
        """The teacher's spikes of this step."""
        if stimulus.target is not None:
            if jnp.ndim(stimulus.target):
                raise ValueError(
                    "the stimulus must have one `target` a step; got "
                    f"{jnp.shape(stimulus.target)}."
                )
            return stimulus.target
        if self.teacher is None:
            raise ValueError(
                "the neuron has no teacher: give `teacher` weights, or a stimulus with "
                "target spikes (`SpikeTrains(..., target_rate=...)`)."
            )
        rate = self.transfer(_inner(self.teacher, potential))
        return spike_counts(key, rate * self.dt, (), self.law)

    @floating
    def signals(
        self,
        synapses: Vector,
        potential: Vector,
        target: Scalar,
        coefficients: Coefficients,
        fisher: Float[Array, "n n"] | None = None,
    ) -> SpikingSignals:
        """What the rules may read of one weight vector."""
        amplitudes = self.at_soma(synapses)
        voltage = _inner(amplitudes, potential)
        rate, slope = self.transfer(voltage), score(self.transfer, voltage)
        told = (target, amplitudes, self.moments, coefficients, fisher)
        return SpikingSignals(self.dt, potential, voltage, rate, slope, *told)

    def __call__(
        self,
        activity: Afferents,
        synapses: Synapses,
        stimulus: Any,
        key: Key[Array, ""],
    ) -> tuple[Afferents, SpikingSignals]:
        synapses = weights(synapses, key)
        activity = self.propagate(activity, synapses, stimulus)
        potential, coefficients = activity.potential, activity.coefficients
        target = self.teacher_spikes(potential, stimulus, key)
        return activity, self.signals(synapses, potential, target, *_both(coefficients))


def _both(known: Any) -> tuple[Coefficients, Array | None]:
    """Refreshed coefficients and a dense matrix, None where there is none."""
    return (known, None) if isinstance(known, Coefficients) else known


class SharedInput(AbstractCircuit):
    """Several students of one `neuron`: same input spikes, same teacher spikes.

    The synapses are a dictionary of weight vectors; use it with the rule `Separate`.
    Raises `ValueError` for other synapses, or where the activity lacks a student.

    Offers `SharedSignals`. The stimulus is the neuron's; the activity begins as
    `circuit.start(synapses)`.

    >>> circuit = SharedInput(SpikingNeuron(jnp.full(3, 20.0), 1e-3))
    >>> w = {"a": jnp.zeros(3), "b": jnp.full(3, 0.1)}
    >>> spikes = tasks.Spikes(jnp.ones((1, 3)), jnp.ones(()))
    >>> _, seen = circuit(circuit.start(w), w, spikes, jr.key(0))
    >>> {name: float(student.target) for name, student in seen.students.items()}
    {'a': 1.0, 'b': 1.0}
    """

    neuron: SpikingNeuron

    def start(
        self, synapses: Synapses, stimulus: Any = None, key: Any = None
    ) -> Afferents:
        """The neuron's, with coefficients for every student."""
        return self.neuron.start(synapses, stimulus, key)

    def __call__(
        self,
        activity: Afferents,
        synapses: Mapping[str, Synapses],
        stimulus: Any,
        key: Key[Array, ""],
    ) -> tuple[Afferents, SharedSignals]:
        neuron = self.neuron
        if not isinstance(synapses, Mapping) or not synapses:
            raise ValueError(
                "`synapses` of several students must be a dictionary of their weight "
                f"vectors; got {shape_of(synapses)}."
            )
        started = activity.coefficients
        if not isinstance(started, Mapping) or set(started) != set(synapses):
            names = sorted(started) if isinstance(started, Mapping) else "one student"
            raise ValueError(
                f"the activity is that of {names}, the synapses are those of "
                f"{sorted(synapses)}: start from `neuron.start(synapses)`."
            )
        read = weights(synapses, key)
        activity = neuron.propagate(activity, read, stimulus)
        target = neuron.teacher_spikes(activity.potential, stimulus, key)
        students = {
            name: neuron.signals(
                read[name],
                activity.potential,
                target,
                *_both(activity.coefficients[name]),
            )
            for name in synapses
        }
        return activity, SharedSignals(neuron.dt, students)
