"""One synapse under an unrelated teacher: the model behind Figs. 1, 4 and 5.

Kreutzer, Senn & Petrovici 2022, eLife 11:e66526. Times in s, rates in Hz, potentials in
mV above rest.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from ... import AbstractCircuit, AbstractConfig, AbstractRule, Scalar
from ..._arguments import real, require, whole
from ...circuits import Afferents, Sigmoid, SpikingNeuron, SynapticKernel
from ...curvature import enough_nodes, voltage_moments
from ...rules import EuclideanGradient, NaturalGradient, Reparametrised
from ...signals import SpikingSignals
from ...tasks import Recorded, Spikes


Vector = Float[Array, " 1"]
ROOM = 4.0  # for learning: variance of the potential that nodes serve, over the first
ROUNDED_ENERGY = 38.46  # mV^2/Hz: 1/c_eps as the code of Fig. 4 has it (38.4615...)


class SingleSynapse(AbstractConfig):
    r"""One input, one synapse, and a teacher that fires independently of it.

    The synapse sits where its amplitude is divided by `inverse_attenuation` $1/\alpha$
    on the way to the soma, and starts at the somatic amplitude `weight`. Where
    `unit_mean` the kernel has area 1/`rate`, so that the synaptic potential has mean 1
    mV at any rate. A student with the Euclidean gradient (Eq. 44) and `euclidean_rate`
    sees the same spikes. Without `metric` the natural one uses it as well.

    `nodes` of quadrature serve `weight` with room for learning: by default as many as
    that takes, refused where none do. Where they are too few a run is NaN.

    >>> config = SingleSynapse(weight=0.25, inverse_attenuation=2.0)
    >>> config.start.tolist(), config.attenuation(config.start).tolist()
    ([0.5], [0.25])
    """

    learning_rate: Scalar = eqx.field(default=0.017, converter=real)
    euclidean_rate: Scalar = eqx.field(default=1.65e-4, converter=real)
    weight: Scalar = eqx.field(default=0.05, converter=real)
    inverse_attenuation: Scalar = eqx.field(default=1.0, converter=real)
    rate: Scalar = eqx.field(default=5.0, converter=real)  # Hz
    target_rate: Scalar = eqx.field(default=20.0, converter=real)  # Hz
    membrane_time: Scalar = eqx.field(default=0.010, converter=real)  # s
    synaptic_time: Scalar = eqx.field(default=0.003, converter=real)  # s
    unit_mean: bool = eqx.field(default=False, static=True)
    metric: bool = eqx.field(default=True, static=True)
    steps: int = eqx.field(default=10_000, static=True)
    step: float = eqx.field(default=5e-4, static=True)  # s
    refresh: int = eqx.field(default=20, static=True)  # steps; 0: frozen
    nodes: int | None = eqx.field(default=None, static=True)  # of quadrature

    def __check_init__(self) -> None:
        positive = (1e-9, np.inf)
        require(self, learning_rate=(0.0, np.inf), euclidean_rate=(0.0, np.inf))
        require(self, membrane_time=positive, synaptic_time=positive)
        require(self, inverse_attenuation=positive, weight=(-1e3, 1e3))
        if not 0 < self.step <= 0.1:
            raise ValueError(f"`step` must lie in (0, 0.1] s; got {self.step}.")
        require(self, rate=(1e-6, 1 / self.step), target_rate=(0.0, 1 / self.step))
        whole("steps", self.steps, 2)
        whole("refresh", self.refresh, 0)
        nodes_of(self)

    @property
    def kernel(self) -> SynapticKernel:
        """The unweighted synaptic potential."""
        area = 1 / self.rate if self.unit_mean else 1.0
        return SynapticKernel(self.membrane_time, self.synaptic_time, area)

    @property
    def attenuation(self) -> Partial:
        """From the dendritic weight to the somatic amplitude."""
        return Partial(jnp.multiply, 1 / self.inverse_attenuation)

    @property
    def start(self) -> Vector:
        """The dendritic weight at the beginning."""
        return (self.weight * self.inverse_attenuation)[None]


def nodes_of(config: SingleSynapse) -> int:
    """Nodes of quadrature: those of `config`, or enough for twice the weight.

    25 where weight, rate or kernel are traced.

    >>> nodes_of(SingleSynapse()), nodes_of(SingleSynapse(nodes=49))
    (25, 49)
    """
    if config.nodes is not None:
        return whole("nodes", config.nodes, 9)
    with jax.ensure_compile_time_eval():  # what is known is known inside a program too
        kernel = config.kernel
        mean = config.weight * config.rate * kernel.area
        variance = ROOM * config.weight**2 * config.rate * kernel.energy
        return enough_nodes(Sigmoid(), mean, variance, least=25)


def neuron_of(config: SingleSynapse, refresh: int) -> SpikingNeuron:
    """A neuron with one input.

    >>> neuron = neuron_of(SingleSynapse(rate=5.0, unit_mean=True), refresh=0)
    >>> neuron.rates.tolist(), neuron.moments.mean.tolist()  # Hz, mV
    ([5.0], [1.0])
    """
    return SpikingNeuron(
        config.rate[None],
        config.step,
        kernel=config.kernel,
        attenuation=config.attenuation,
        refresh=refresh,
        nodes=nodes_of(config),
    )


def rule_of(config: SingleSynapse, student: str) -> AbstractRule:
    """Plasticity of the dendritic weight: natural (Eq. 17) or Euclidean (Eq. 44).

    >>> type(rule_of(SingleSynapse(), "natural").rule).__name__
    'NaturalGradient'
    >>> type(rule_of(SingleSynapse(metric=False), "natural").rule).__name__
    'EuclideanGradient'
    """
    if student == "natural" and config.metric:
        return Reparametrised(NaturalGradient(config.learning_rate), config.attenuation)
    euclidean = EuclideanGradient(config.euclidean_rate)
    return Reparametrised(euclidean, config.attenuation, euclidean=True)


# --- the published runs --------------------------------------------------------------


def legacy_spikes(config: SingleSynapse, seed: int, teacher_first: bool) -> Recorded:
    """The spikes of `numpy.random.seed(seed)` and two calls of `binomial(1, p, steps)`.

    One train after the other, that of the teacher first or that of the input. NumPy's
    legacy generator spends one uniform number on each bin and spikes if it is above 1 -
    p. Double precision only.

    >>> config = SingleSynapse(target_rate=0.0, steps=100)
    >>> spikes = legacy_spikes(config, seed=0, teacher_first=True).stimuli
    >>> spikes.inputs.shape, float(spikes.target.sum())
    ((100, 1, 1), 0.0)
    """
    generator = np.random.RandomState(seed)
    first, second = jnp.asarray(generator.random_sample((2, config.steps)))
    taught, heard = (first, second) if teacher_first else (second, first)
    target = jnp.where(taught > 1 - config.target_rate * config.step, 1.0, 0.0)
    inputs = jnp.where(heard > 1 - config.rate * config.step, 1.0, 0.0)
    return Recorded(Spikes(inputs[:, None, None], target))


class StaleNeuron(AbstractCircuit):
    """A neuron as the published code of Fig. 4 has it, for reproduction only.

    Potential and coefficients are those of the synapses `initial` for ever; rules read
    the present weights. The potentials' variance is `energy` (mV^2/Hz) times the rate.

    >>> neuron = neuron_of(SingleSynapse(rate=5.0), refresh=0)
    >>> StaleNeuron(neuron, jnp.ones(1), energy=40.0).variance.tolist()  # 5 * 40
    [200.0]
    """

    neuron: SpikingNeuron
    initial: Vector
    energy: Scalar = eqx.field(converter=real)

    @property
    def variance(self) -> Vector:
        """Variance of the synaptic potentials."""
        return self.neuron.rates * self.energy

    def start(
        self, synapses: Any = None, stimulus: Any = None, key: Any = None
    ) -> Afferents:
        """Activity before the first spike, of the initial synapses."""
        del synapses, stimulus, key
        neuron, mean = self.neuron, self.neuron.moments.mean
        weights = neuron.at_soma(self.initial)
        seen = voltage_moments(weights, mean, self.variance)
        fresh = neuron.metric(neuron.transfer, *seen, nodes=neuron.quadrature)
        return neuron.start(self.initial)._replace(coefficients=fresh)

    def __call__(
        self, activity: Afferents, synapses: Vector, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Afferents, SpikingSignals]:
        activity, signals = self.neuron(activity, self.initial, stimulus, key)
        replaced = (self.neuron.at_soma(synapses), self.variance)
        where = lambda s: (s.weights, s.moments.variance)
        return activity, eqx.tree_at(where, signals, replaced)
