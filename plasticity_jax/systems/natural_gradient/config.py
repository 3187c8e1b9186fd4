"""Hyper-parameters of a neuron that learns from a teacher, and its build.

Kreutzer, Senn & Petrovici 2022, eLife 11:e66526, Methods. Times in s, rates in Hz,
potentials in mV above rest.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ... import AbstractConfig, AbstractRule, Scalar, simulate, State, System
from ..._arguments import check_bins, nearest, real, require, whole
from ...circuits import SharedInput, Sigmoid, SpikingNeuron, SynapticKernel
from ...curvature import enough_nodes, glm_coefficients
from ...rules import (
    ApproximateNaturalGradient,
    EuclideanGradient,
    NaturalGradient,
    NaturalTerms,
    SelfEstimated,
    Separate,
)
from ...tasks import SpikeTrains
from .published import published_coefficients


Vector = Float[Array, " n"]
ROOM = 4.0  # for learning: variance of the potential that nodes serve, over the first
TABLE = 9.0  # mV^2: what the published table adds to the variance
RANGES = (  # of the hyper-parameters
    (0.0, math.inf, "euclidean_rate natural_rate approximate_rate rate_factor"),
    (0.0, math.inf, "weight_scale low_rate high_rate"),
    (-1e30, 1e30, "uniform proportional threshold"),
    (1e-9, math.inf, "estimate_time membrane_time synaptic_time area maximum slope"),
)
STUDENTS = (
    "euclidean",  # R1
    "natural",  # R3
    "approximate",  # R5: `uniform`, `proportional`
    "homosynaptic",  # R3 without both heterosynaptic terms
    "without_proportional",  # R3 without gamma_w w
    "without_weights",  # R5 with c_w = 0
    "critical",  # R5 with c_u = eps_0
    "unstable",  # R5 with c_u = 1.02 eps_0
    "adaptive",  # R5 with the large-n limit of c_w
    "least_error",  # R5 with c_u as a function of q
    "estimated",  # R3 with moments that the neuron estimates itself: `estimate_time`
)


TERMS = {  # of the natural gradient
    "natural": NaturalTerms._fields,
    "homosynaptic": ("homosynaptic",),
    "without_proportional": ("homosynaptic", "uniform"),
}


class Config(AbstractConfig):
    r"""Students of a Poisson neuron, side by side on the same input and teacher spikes.

    Inputs fire at `low_rate` (first half) and `high_rate`; weights of teacher and
    students are uniform in $\pm$ `weight_scale` over `size`. Learning rates are those
    of rules with the factor $\phi'/\phi$: the paper's Table 1 over `slope`, since the
    published code leaves $\beta$ out. `rate_factor` multiplies all of them (Fig. 9D).

    With `published` the run is that of the published code (`published.py`); with
    `segment_reset` only its segments of 1 s are, which start from rest and lose their
    last step. Without either, `burn_in` s of input come before learning. A step of
    `step` s holds `substeps` bins of input spikes, their probabilities rounded to 16
    bits; with several the potential is exact at the end of the step and the teacher's
    spikes are Poisson counts.

    `nodes` of quadrature serve the spread of potentials that the weights have at the
    start, with room for learning: by default as many as it takes, refused where none
    do. They cannot follow what a sweep makes of `weight_scale` or the rates: where they
    are too few a run is NaN, and `nodes` may say more.

    >>> config = Config(size=4, students=("euclidean", "natural"))
    >>> config.rates.tolist(), float(config.transfer(config.threshold))  # half of 100
    ([10.0, 10.0, 50.0, 50.0], 50.0)
    """

    euclidean_rate: Scalar = eqx.field(default=4.5e-7 / 0.3, converter=real)
    natural_rate: Scalar = eqx.field(default=6e-4 / 0.3, converter=real)
    approximate_rate: Scalar = eqx.field(default=4.5e-4 / 0.3, converter=real)
    rate_factor: Scalar = eqx.field(default=1.0, converter=real)
    uniform: Scalar = eqx.field(default=0.95, converter=real)  # c_u / eps_0
    proportional: Scalar = eqx.field(default=0.05, converter=real)  # c_w, 1/mV
    estimate_time: Scalar = eqx.field(default=10.0, converter=real)  # s
    low_rate: Scalar = eqx.field(default=10.0, converter=real)  # Hz
    high_rate: Scalar = eqx.field(default=50.0, converter=real)  # Hz
    weight_scale: Scalar = eqx.field(default=1.0, converter=real)
    membrane_time: Scalar = eqx.field(default=0.010, converter=real)  # s
    synaptic_time: Scalar = eqx.field(default=0.003, converter=real)  # s
    area: Scalar = eqx.field(default=1.0, converter=real)  # mV s
    maximum: Scalar = eqx.field(default=100.0, converter=real)  # Hz
    slope: Scalar = eqx.field(default=0.3, converter=real)  # 1/mV
    threshold: Scalar = eqx.field(default=10.0, converter=real)  # mV
    students: tuple[str, ...] = eqx.field(default=STUDENTS[:3], static=True)
    size: int = eqx.field(default=100, static=True)
    seconds: int = eqx.field(default=8000, static=True)
    record_seconds: int = eqx.field(default=100, static=True)
    step: float = eqx.field(default=5e-4, static=True)  # s
    substeps: int = eqx.field(default=1, static=True)
    refresh_seconds: float = eqx.field(default=0.1, static=True)
    tests: int = eqx.field(default=200, static=True)  # potentials of the test set
    metric: bool = eqx.field(default=True, static=True)  # control: all Euclidean
    published: bool = eqx.field(default=False, static=True)  # as the code does
    segment_reset: bool = eqx.field(default=False, static=True)
    burn_in: float = eqx.field(default=0.0, static=True)  # s; 0.25: stationary
    nodes: int | None = eqx.field(default=None, static=True)  # of quadrature

    def __check_init__(self) -> None:
        for low, high, names in RANGES:
            require(self, **dict.fromkeys(names.split(), (low, high)))
        for name in ("size", "seconds", "record_seconds", "substeps", "tests"):
            whole(name, getattr(self, name), 1)
        if self.seconds % self.record_seconds:
            raise ValueError(
                f"`seconds` ({self.seconds}) must be a multiple of `record_seconds` "
                f"({self.record_seconds})."
            )
        _whole("record_seconds", self.record_seconds, self.step)
        _whole("refresh_seconds", self.refresh_seconds, self.step)
        if self.published or self.segment_reset:
            _whole("segment", 1, self.step)
        if self.burn_in:
            _whole("burn_in", self.burn_in, self.step)
            if self.published or self.segment_reset:
                raise ValueError(
                    "`burn_in` must be 0 where every segment starts from rest; got "
                    f"{self.burn_in}."
                )
        if not self.students or len(set(self.students)) < len(self.students):
            raise ValueError(f"`students` must be distinct; got {self.students}.")
        for name in self.students:
            if name not in STUDENTS:
                hint = nearest(name, STUDENTS)
                raise ValueError(f"`students` holds an unknown '{name}'.{hint}")
        check_bins(self.maximum, self.step, "maximum")
        task_of(self)  # its own checks, before anything is compiled
        nodes_of(self)

    @property
    def kernel(self) -> SynapticKernel:
        """The unweighted synaptic potential."""
        return SynapticKernel(self.membrane_time, self.synaptic_time, self.area)

    @property
    def transfer(self) -> Sigmoid:
        """The transfer function."""
        return Sigmoid(self.maximum, self.slope, self.threshold)

    @property
    def rates(self) -> Vector:
        """Input rates in Hz."""
        return half_and_half(self.size, self.low_rate, self.high_rate)


def half_and_half(size: int, low_rate: Scalar, high_rate: Scalar) -> Vector:
    """Rates of `size` inputs, of which the first half is the slow one.

    >>> half_and_half(5, jnp.asarray(10.0), jnp.asarray(50.0)).tolist()
    [10.0, 10.0, 50.0, 50.0, 50.0]
    """
    return jnp.where(jnp.arange(size) < size // 2, low_rate, high_rate)


def _whole(name: str, seconds: float | int, step: float) -> int:
    """How many steps; raises unless it is a whole number of at least one."""
    for field, value in {"step": step, name: seconds}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"`{field}` must be above 0 s and finite; got {value}.")
    steps = round(seconds / step)
    if steps < 1 or abs(steps * step - seconds) > 1e-6 * seconds:
        raise ValueError(
            f"`{name}` ({seconds} s) must be a whole number of steps of {step} s."
        )
    return steps


def task_of(config: Config) -> SpikeTrains:
    """The input spikes.

    >>> task = task_of(Config(size=4))
    >>> stimulus = task(jnp.asarray(0), jr.key(0))
    >>> task.rates.tolist(), stimulus.inputs.shape
    ([10.0, 10.0, 50.0, 50.0], (1, 4))
    """
    return SpikeTrains(
        config.rates, config.step, substeps=config.substeps, half_words=True
    )


def nodes_of(config: Config) -> int:
    """Nodes of quadrature: those of `config`, or enough for weights at the start.

    Enough also for twice the standard deviation of the potential that weights uniform
    in plus or minus `weight_scale` over `size` give; where that is traced, 25 for more
    than 50 inputs and else 81.

    >>> nodes_of(Config(size=100)), nodes_of(Config(size=4)), nodes_of(Config(nodes=49))
    (25, 161, 49)
    """
    if config.nodes is not None:
        return whole("nodes", config.nodes, 9)
    least = 25 if config.size > 50 else 81
    with jax.ensure_compile_time_eval():  # what is known is known inside a program too
        total = jnp.sum(config.rates * config.kernel.energy)
        variance = ROOM * (config.weight_scale / config.size) ** 2 / 3 * total
        variance = variance + (TABLE if config.published else 0.0)
        mean = jnp.zeros_like(variance)
        return enough_nodes(config.transfer, mean, variance, least=least)


def rule_of(config: Config, student: str) -> AbstractRule:
    """The plasticity rule of a student; without `metric` all are Euclidean.

    >>> type(rule_of(Config(size=4), "natural")).__name__
    'NaturalGradient'
    >>> type(rule_of(Config(size=4, metric=False), "natural")).__name__
    'EuclideanGradient'
    """
    factor = config.rate_factor
    natural = config.natural_rate * factor
    approximate = config.approximate_rate * factor
    if student == "euclidean" or not config.metric:
        return EuclideanGradient(config.euclidean_rate * factor)
    if student == "estimated":
        knowing = {"transfer": config.transfer, "nodes": nodes_of(config)}
        return SelfEstimated(NaturalGradient(natural), config.estimate_time, **knowing)
    if student in TERMS:
        return NaturalGradient(natural, terms=TERMS[student])
    if student == "adaptive":
        return ApproximateNaturalGradient(approximate, config.uniform, adaptive=True)
    if student == "least_error":
        return ApproximateNaturalGradient(
            approximate, uniform=None, proportional=config.proportional
        )
    uniform = {"critical": 1.0, "unstable": 1.02}.get(student, config.uniform)
    proportional = 0.0 if student == "without_weights" else config.proportional
    return ApproximateNaturalGradient(approximate, uniform, proportional)


def draw_weights(config: Config, key: Key[Array, ""]) -> Vector:
    """Uniform in plus or minus `weight_scale` over `size`.

    >>> weights = draw_weights(Config(size=4, weight_scale=2.0), jr.key(0))
    >>> weights.shape, bool((abs(weights) < 2.0 / 4).all())
    ((4,), True)
    """
    return uniform_weights(config.weight_scale, (config.size,), key)


def uniform_weights(
    scale: Scalar, shape: tuple[int, ...], key: Key[Array, ""]
) -> Float[Array, "*units n"]:
    """Uniform in plus or minus `scale` over the number n of inputs.

    >>> weights = uniform_weights(jnp.asarray(2.0), (3, 4), jr.key(0))
    >>> weights.shape, bool((abs(weights) < 2.0 / 4).all())
    ((3, 4), True)
    """
    return scale / shape[-1] * jr.uniform(key, shape, minval=-1.0, maxval=1.0)


def build(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """The system and its start: teacher and students draw their weights.

    All students start at the same weights, with synaptic potentials at zero, or as
    `burn_in` leaves them.

    >>> system, state = build(Config(size=4), jr.key(0))
    >>> sorted(state.synapses), sorted(system.rules)
    (['approximate', 'euclidean', 'natural'], ['learning'])
    >>> bool((state.synapses["natural"] == state.synapses["euclidean"]).all())
    True
    """
    for_teacher, for_start = jr.split(key)
    teacher, start = draw_weights(config, for_teacher), draw_weights(config, for_start)
    neuron = SpikingNeuron(
        config.rates,
        config.step,
        teacher=teacher,
        kernel=config.kernel,
        transfer=config.transfer,
        law="bernoulli" if config.substeps == 1 else "poisson",
        refresh=_whole("refresh_seconds", config.refresh_seconds, config.step),
        nodes=nodes_of(config),
        metric=published_coefficients if config.published else glm_coefficients,
    )
    rules = {name: rule_of(config, name) for name in config.students}
    synapses = dict.fromkeys(config.students, start)
    system = System(task_of(config), SharedInput(neuron), {"learning": Separate(rules)})
    state = system.start(synapses, key)
    if config.burn_in:
        steps = _whole("burn_in", config.burn_in, config.step)
        heard = jr.fold_in(key, 2)  # the third of `split`, whose first two are weights
        warm, _ = simulate(system, state, heard, steps=steps, frozen=True)
        state = State(warm.activity, synapses)
    return system, state
