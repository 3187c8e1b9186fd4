"""Hyper-parameters of the student that fluctuates and repairs itself, and its build.

Raman & O'Leary 2021, eLife 10:e62912, Methods. Everything is dimensionless and a step
is the unit of time.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ... import AbstractConfig, AbstractRule, AbstractTask, Scalar, State, System
from ..._arguments import check_finite, concrete, one_of, optional, real, require, whole
from ...circuits import feedforward, LossCircuit, SecondMomentError, SquaredError
from ...numerics import normal, tree_scale
from ...rules import (
    AcceptOnly,
    Beeline,
    ColouredNoise,
    DelayedGradient,
    Descent,
    Intermittent,
    Multiplicative,
    Newton,
    NoisyGradient,
    Normalised,
    OptimalMagnitude,
    Projected,
    Scaled,
    WeightPerturbation,
    Wiener,
)
from ...tasks import Bootstrap, Constant, glorot_uniform, mixed_normal


Weights = tuple[Float[Array, "_ _"], ...]
RULES = (
    "noisy_gradient",  # rule 1 of the Methods; `exact_norm` fixes every length
    "gradient",  # rule 1 without noise (Fig. 1)
    "beeline",  # straight at the teacher
    "newton",  # with `damping` and `saddle_free`
    "weight_perturbation",  # `probes` antithetic probes of size `probe_size`
    "accept_only",  # a random step, kept if it helps
    "optimal_magnitude",  # the direction of noisy_gradient, the length of Eq. 6
    "descent",  # plain gradient descent at `learning_rate`
    "noise",  # control: compensation without a gradient
    "none",  # control: no compensation
)
CHOICES = {
    "rule": RULES,
    "output": ("identity", "sigmoid"),
    "inputs": ("mixed", "iid"),
    "reduction": ("mean", "sum_outputs"),
    "noise": ("white", "multiplicative", "coloured"),
}


class Landscape(AbstractConfig):
    """A two-dimensional bowl on which to look at single steps (Figs. 2, 3 and 4).

    >>> here = Landscape(stiffness=5.0, softness=0.5)
    >>> float(here.stiffness / here.softness), here.trials
    (10.0, 4000)
    """

    stiffness: Scalar = eqx.field(default=5.0, converter=real)  # of the steep direction
    softness: Scalar = eqx.field(default=0.5, converter=real)  # of the shallow one
    distance: Scalar = eqx.field(default=1.0, converter=real)  # from the minimum
    corruption: Scalar = eqx.field(default=1.0, converter=real)  # noise/gradient
    fluctuation: Scalar = eqx.field(default=0.3, converter=real)  # length
    ratio: Scalar = eqx.field(default=1.0, converter=real)  # |repair|/|noise| (Fig. 2)
    trials: int = eqx.field(default=4000, static=True)

    def __check_init__(self) -> None:
        positive = (1e-12, math.inf)
        require(self, stiffness=positive, softness=positive, distance=positive)
        require(self, fluctuation=positive, corruption=(0.0, math.inf))
        require(self, ratio=(0.0, math.inf))
        whole("trials", self.trials, 2)


class Directions(AbstractConfig):
    """What Table 2's networks have in common; each cell has its own rule and size.

    >>> Directions(inputs="natural")
    Traceback (most recent call last):
    ValueError: `inputs` is unknown: 'natural'. Choose from: mixed, iid.
    """

    inputs: str = eqx.field(default="mixed", static=True)
    samples: int = eqx.field(default=200, static=True)
    data_seed: int = eqx.field(default=0, static=True)
    steps: int = eqx.field(default=3000, static=True)
    blind: bool = eqx.field(default=False, static=True)  # control: no gradient

    def __check_init__(self) -> None:
        whole("steps", self.steps, 2)
        Config(inputs=self.inputs, samples=self.samples)  # its own checks


class Config(AbstractConfig):
    r"""A student network at its teacher's task, hit by noise and repaired at each step.

    `sizes` are the layer sizes: two of them make a linear network, whose loss needs
    only the inputs' second moment $C$, more make hidden layers of logistic units.
    Inputs are drawn (`inputs`, `samples`, `data_seed`) or given as `input_samples`
    (feature, sample) or, for a linear network, as `second_moment` (feature, feature).
    Raises `ValueError` for values that are none of its choices, or exclude each other.

    >>> config = Config(sizes=(4, 25), fluctuation_size=0.01)
    >>> config.linear, config.weights
    (True, 100)
    >>> print(f"{config.fluctuation:.2f}")  # 0.01 sqrt(100)
    0.10
    """

    ratio: Scalar = eqx.field(default=1.0, converter=real)  # |compensation|/|noise|
    fluctuation_size: Scalar = eqx.field(default=0.01, converter=real)  # per weight
    corruption: Scalar = eqx.field(default=0.1, converter=real)  # noise/gradient in it
    start_offset: Scalar = eqx.field(default=1e-3, converter=real)  # of w from teacher
    probe_size: Scalar = eqx.field(default=1.0, converter=real)  # in |fluctuation|
    length_cap: Scalar = eqx.field(default=10.0, converter=real)  # in |fluctuation|
    damping: Scalar = eqx.field(default=0.0, converter=real)  # of Newton's Hessian
    learning_rate: Scalar = eqx.field(default=0.01, converter=real)  # of plain descent
    noise_time: Scalar = eqx.field(default=4.0, converter=real)  # of coloured noise
    input_samples: Float[Array, "feature sample"] | None = eqx.field(
        default=None, converter=optional
    )
    second_moment: Float[Array, "feature feature"] | None = eqx.field(
        default=None, converter=optional
    )
    rule: str = eqx.field(default="noisy_gradient", static=True)
    sizes: tuple[int, ...] = eqx.field(default=(12, 20, 10), static=True)
    output: str = eqx.field(default="identity", static=True)
    inputs: str = eqx.field(default="mixed", static=True)
    samples: int = eqx.field(default=1000, static=True)
    data_seed: int = eqx.field(default=0, static=True)
    reduction: str = eqx.field(default="mean", static=True)
    bootstrap: bool = eqx.field(default=False, static=True)
    fresh_start: bool = eqx.field(default=False, static=True)  # an untrained student
    exact_norm: bool = eqx.field(default=False, static=True)
    saddle_free: bool = eqx.field(default=False, static=True)
    probes: int = eqx.field(default=1, static=True)
    two_sided: bool = eqx.field(default=True, static=True)  # probes
    noise: str = eqx.field(default="white", static=True)
    delay: int = eqx.field(default=0, static=True)  # age of the gradient, in steps
    every: int = eqx.field(default=1, static=True)  # steps from repair to repair
    fluctuates: bool = eqx.field(default=True, static=True)  # else only compensation
    fluctuating_share: float = eqx.field(default=1.0, static=True)  # softest directions
    steps: int = eqx.field(default=8000, static=True)
    window: int = eqx.field(default=101, static=True)  # final steps averaged

    def __check_init__(self) -> None:
        unbounded = (0.0, math.inf)
        require(self, ratio=unbounded, fluctuation_size=unbounded, corruption=unbounded)
        require(self, probe_size=unbounded, length_cap=unbounded, damping=unbounded)
        require(self, learning_rate=unbounded, start_offset=(-1e30, 1e30))
        require(self, fluctuating_share=(0.0, 1.0), noise_time=(1e-3, math.inf))
        whole("delay", self.delay, 0)
        for name in ("samples", "steps", "window", "probes", "every"):
            whole(name, getattr(self, name), 1)
        if self.window > self.steps:
            raise ValueError(
                f"`window` ({self.window}) must not exceed `steps` ({self.steps})."
            )
        if len(self.sizes) < 2 or min(self.sizes) < 1:
            raise ValueError(
                f"`sizes` needs at least two positive layer sizes; got {self.sizes}."
            )
        for name, allowed in CHOICES.items():
            one_of(name, getattr(self, name), allowed)
        if self.fluctuating_share < 1 and not self.linear:
            raise ValueError(
                "`fluctuating_share` below 1 needs a linear network (two `sizes`); got "
                f"{self.sizes}."
            )
        if self.fluctuates and round(self.fluctuating_share * self.sizes[0]) < 1:
            raise ValueError(
                f"`fluctuating_share` {self.fluctuating_share} of {self.sizes[0]} "
                "directions is none; without fluctuations set `fluctuates` to false."
            )
        _check_data(self)

    @property
    def linear(self) -> bool:
        """Whether the loss is quadratic: one matrix, identity output."""
        return len(self.sizes) == 2 and self.output == "identity"

    @property
    def weights(self) -> int:
        """Number of plastic weights $N$."""
        return sum(a * b for a, b in zip(self.sizes[:-1], self.sizes[1:], strict=True))

    @property
    def fluctuation(self) -> Scalar:
        r"""Length of every fluctuation, $\delta = s\sqrt N$."""
        return self.fluctuation_size * math.sqrt(self.weights)


def _check_data(config: Config) -> None:
    """Shapes and values of data that a user supplied."""
    inputs, moment = config.input_samples, config.second_moment
    features = config.sizes[0]
    for name, array in {"input_samples": inputs, "second_moment": moment}.items():
        if array is not None:
            check_finite(name, array)
    if inputs is not None and (inputs.ndim != 2 or len(inputs) != features):
        raise ValueError(
            f"`input_samples` must have shape ({features}, samples) for `sizes` "
            f"{config.sizes}; got {inputs.shape}."
        )
    if moment is None:
        return
    if inputs is not None or not config.linear or config.bootstrap:
        raise ValueError(
            "`second_moment` is for a linear network (two `sizes`, identity `output`) "
            "without `input_samples` and `bootstrap`."
        )
    if moment.shape != (features, features):
        raise ValueError(
            f"`second_moment` must have shape ({features}, {features}) for `sizes` "
            f"{config.sizes}; got {moment.shape}."
        )
    if not concrete(moment):
        return
    dense = np.asarray(moment, np.float64)
    tolerance = 1e-5 * max(float(np.max(np.abs(dense))), 1e-30)
    if not np.allclose(dense, dense.T, rtol=0.0, atol=tolerance):
        raise ValueError("`second_moment` must be symmetric.")
    lowest = np.linalg.eigvalsh(dense)[0]
    if lowest < -tolerance:
        raise ValueError(
            "`second_moment` must be positive semidefinite; its lowest eigenvalue is "
            f"{lowest:.3g}."
        )


def draw_inputs(config: Config) -> Float[Array, "feature sample"]:
    """The fixed input set, the same for all runs of a sweep.

    >>> config = Config(sizes=(3, 2), samples=50)
    >>> inputs = draw_inputs(config)
    >>> inputs.shape, bool((inputs == draw_inputs(config)).all())
    ((3, 50), True)
    """
    if config.input_samples is not None:
        return config.input_samples
    key, features = jr.key(config.data_seed), config.sizes[0]
    if config.inputs == "iid":
        return normal(key, (features, config.samples))
    return mixed_normal(features, config.samples, key)


def input_moment(config: Config) -> Float[Array, "feature feature"]:
    r"""Second moment of the inputs, $C = XX^\top/n$.

    >>> samples = jnp.asarray([[1.0, -1.0], [1.0, 1.0]])
    >>> input_moment(Config(sizes=(2, 1), input_samples=samples)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if config.second_moment is not None:
        return config.second_moment
    inputs = draw_inputs(config)
    return inputs @ inputs.T / inputs.shape[1]


def build(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """The system and its start: a student just beside its teacher.

    >>> system, state = build(Config(sizes=(3, 2), samples=50), jr.key(0))
    >>> sorted(system.rules), [layer.shape for layer in state.synapses]
    (['compensation', 'fluctuation'], [(2, 3)])
    """
    for_teacher, for_start = jr.split(key)
    teacher = glorot_uniform(config.sizes, for_teacher)
    task, loss = _task_and_loss(config, teacher)
    repair = _compensation(config, teacher)
    if config.delay:
        repair = DelayedGradient(repair, config.delay)
    if config.every > 1:
        repair = Intermittent(repair, config.every)
    rules = {"compensation": repair}
    if config.fluctuates:
        rules["fluctuation"] = _fluctuation(config, jr.fold_in(key, 2))
    if config.fresh_start:
        student = glorot_uniform(config.sizes, for_start)
    else:
        student = tree_scale(1 + config.start_offset * normal(for_start), teacher)
    return System(task, LossCircuit(loss), rules), State(None, student)


def objective(
    config: Config, key: Key[Array, ""]
) -> tuple[Callable[[Weights], Scalar], Weights]:
    """The task error as a function of the weights alone, and the teacher's weights.

    For the same key it is the loss of the system that `build` makes.

    >>> loss, teacher = objective(Config(sizes=(3, 2), samples=50), jr.key(0))
    >>> float(loss(teacher)), bool(loss(jax.tree.map(jnp.zeros_like, teacher)) > 0)
    (0.0, True)
    """
    for_teacher, for_samples = jr.split(key)
    teacher = glorot_uniform(config.sizes, for_teacher)
    task, loss = _task_and_loss(config, teacher)
    stimulus = task(jnp.zeros((), jnp.int32), for_samples)
    return lambda weights: loss(weights, stimulus), teacher


def _task_and_loss(config: Config, teacher: Weights) -> tuple[AbstractTask, Any]:
    if config.linear and not config.bootstrap:
        moment = input_moment(config)
        loss = SecondMomentError(moment, teacher[0], config.reduction)  # pyright: ignore[reportArgumentType]
        return Constant(None), loss
    inputs = draw_inputs(config)
    samples = (inputs, feedforward(teacher, inputs, config.output))  # pyright: ignore[reportArgumentType]
    task = Bootstrap(samples) if config.bootstrap else Constant(samples)
    return task, SquaredError(config.output, config.reduction)  # pyright: ignore[reportArgumentType]


def _compensation(config: Config, teacher: Weights) -> AbstractRule:
    length = config.ratio * config.fluctuation
    noisy = NoisyGradient(length, config.corruption, config.exact_norm)
    match config.rule:
        case "noisy_gradient":
            return noisy
        case "gradient":
            return Normalised(Descent(), length)
        case "beeline":
            return Normalised(Beeline(teacher), length)
        case "newton":
            return Normalised(Newton(config.damping, config.saddle_free), length)
        case "weight_perturbation":
            size = config.probe_size * config.fluctuation
            probing = WeightPerturbation(size, config.probes, config.two_sided)
            return Normalised(probing, length)
        case "accept_only":
            return AcceptOnly(length)
        case "optimal_magnitude":
            unit = NoisyGradient(1.0, config.corruption)
            return OptimalMagnitude(unit, config.length_cap * config.fluctuation)
        case "descent":
            return Scaled(Descent(), config.learning_rate)
        case "noise":
            return Normalised(Wiener(), length)
        case _:
            return Scaled(Descent(), 0.0)


def _fluctuation(config: Config, key: Key[Array, ""]) -> AbstractRule:
    noise = Wiener()
    if config.noise == "multiplicative":
        noise = Multiplicative(noise)
    if config.noise == "coloured":
        noise = ColouredNoise(key, config.noise_time)
    if config.fluctuating_share < 1:
        noise = Projected(noise, soft_projector(config))
    return Normalised(noise, config.fluctuation)


def soft_projector(config: Config) -> Float[Array, "w w"]:
    """Projector on the softest `fluctuating_share` of a linear network's directions.

    The Hessian is $I \\otimes C$ up to a factor, so whole eigenvectors of $C$ are kept,
    the same for every output.

    >>> moment = jnp.diag(jnp.asarray([1.0, 2.0, 3.0, 4.0]))
    >>> config = Config(sizes=(4, 1), second_moment=moment, fluctuating_share=0.5)
    >>> jnp.diagonal(soft_projector(config)).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    count = round(config.fluctuating_share * config.sizes[0])
    _, vectors = jnp.linalg.eigh(input_moment(config))
    soft = vectors[:, :count]
    return jnp.kron(jnp.eye(config.sizes[1]), soft @ soft.T)
