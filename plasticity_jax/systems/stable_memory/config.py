"""Hyper-parameters of a network whose synapses never stop changing, and its build.

Susman, Brenner & Barak 2019, Nature Communications 10:4441. Time is in units of the
neural time constant; everything else is dimensionless.
"""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from ... import AbstractConfig, AbstractRule, AbstractTask, Scalar, State, System
from ..._arguments import (
    check_finite,
    check_range,
    concrete,
    one_of,
    optional,
    real,
    whole,
)
from ...circuits import amplification, error_function, logistic, RateNetwork
from ...numerics import normal
from ...rules import (
    AdditiveRateControl,
    AntisymmetricHebb,
    AverageScaling,
    Decorrelation,
    Dissipation,
    ElementwiseRateControl,
    FilteredDecorrelation,
    Intermittent,
    PairSTDP,
    RateControl,
    Scaled,
    UnweightedRateControl,
    Wiener,
)
from ...synapses import Connected, random_mask
from ...tasks import Constant
from .patterns import KINDS


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]
TRANSFERS = {  # phi; the slope of a step function carries no gradient
    "tanh": jnp.tanh,
    "erf": error_function,
    "step": jnp.sign,
    "logistic": logistic,
    "softplus": jax.nn.softplus,  # rates of 0 and above, without a limit
}
REFERENCE_STEP = 0.1  # at which the published noise is defined
HOMEOSTASIS = (
    "none",
    "dissipation",  # Eq. 2
    "rate_control",  # Eq. 3 as the published code computes it
    "rate_control_elementwise",  # Eq. 3 as printed: diverges
    "rate_control_ones",  # controls of the code's history
    "average_scaling",
    "additive",
    "decorrelation",  # Eq. 4, memoryless postsynaptic side
    "decorrelation_literal",  # Eq. 4 with the filter of the published code
    "decorrelation_lowpass",  # Eq. 4 with the filter that the text describes: escapes
)


class Config(AbstractConfig):
    r"""A network, what changes its synapses, the memory it is given, and when.

    $\dot W = \eta(\kappa_L\Delta_L + \kappa_H\Delta_H + \xi)$ from random weights of
    `initial_gain` $g$ (0: none). A memory of `strength` $a$ is embedded with a `kick`
    to the activity after `spin_up`, or learned from a stimulus in its plane (`stimuli`)
    of `amplitude` and `frequency` (`decay` $\zeta$ for the wandering one) that lasts
    `duration`, and is cued at `cue_amplitude`. Noise comes every `noise_every` steps
    with its diffusion kept. A `floor` of activity is that of `RateNetwork`.

    >>> config = Config(size=64, homeostasis="decorrelation", duration=50.0)
    >>> config.steps("duration"), config.step
    (500, 0.1)
    """

    plasticity: Scalar = eqx.field(default=0.01, converter=real)  # eta
    noise: Scalar = eqx.field(default=1.0, converter=real)  # sigma_xi
    homeostasis_gain: Scalar = eqx.field(default=1.0, converter=real)  # kappa_H
    learning_gain: Scalar = eqx.field(default=1.0, converter=real)  # kappa_L
    dissipation: Scalar = eqx.field(default=0.1, converter=real)  # beta
    correlation: Scalar = eqx.field(default=0.5, converter=real)  # B
    gain: Scalar = eqx.field(default=0.9, converter=real)  # c, postsynaptic
    filter_time: Scalar = eqx.field(default=20.0, converter=real)  # tau_x
    filter_scale: Scalar = eqx.field(default=0.05, converter=real)  # epsilon, published
    trace_time: Scalar = eqx.field(default=50.0, converter=real)  # tau_y
    late_trace_ratio: Scalar = eqx.field(default=1.0, converter=real)  # tau_- / tau_+
    imbalance: Scalar = eqx.field(default=0.0, converter=real)  # delta A / mean A
    initial_gain: Scalar = eqx.field(default=2.0, converter=real)  # g
    trace_spread: Scalar = eqx.field(default=0.0, converter=real)  # 1: published rate
    floor: Scalar | None = eqx.field(default=None, converter=optional)  # 1e-4 to 1e-3
    target_scale: Scalar = eqx.field(default=1.0, converter=real)  # of phi_0
    density: Scalar = eqx.field(default=1.0, converter=real)  # p of a synapse
    strength: Scalar = eqx.field(default=5.0, converter=real)  # a
    kick: Scalar = eqx.field(default=0.02, converter=real)
    amplitude: Scalar = eqx.field(default=1.0, converter=real)  # A_r or A_b
    frequency: Scalar = eqx.field(default=0.2, converter=real)  # omega
    decay: Scalar = eqx.field(default=0.01, converter=real)  # zeta
    cue_amplitude: Scalar = eqx.field(default=1.0, converter=real)  # A_c
    homeostasis: str = eqx.field(default="rate_control", static=True)
    learns: bool = eqx.field(default=False, static=True)
    pair_rule: bool = eqx.field(default=False, static=True)  # `imbalance`, both windows
    sparse: bool = eqx.field(default=False, static=True)  # synapses of `density` only
    transfer: str = eqx.field(default="tanh", static=True)
    pattern: str = eqx.field(default="gaussian", static=True)
    orthonormal: bool = eqx.field(default=False, static=True)
    size: int = eqx.field(default=128, static=True)
    step: float = eqx.field(default=0.1, static=True)
    noise_every: int = eqx.field(default=10, static=True)
    integrator: str = eqx.field(default="rk4", static=True)
    spin_up: float = eqx.field(default=2500.0, static=True)
    duration: float = eqx.field(default=100.0, static=True)
    follow: float = eqx.field(default=2500.0, static=True)
    record_every: float = eqx.field(default=100.0, static=True)

    def __check_init__(self) -> None:
        ranges = {"density": (0.0, 1.0), "imbalance": (-1.0, 1.0)}
        ranges["frequency"] = (-math.inf, math.inf)
        for name in ("filter_time", "filter_scale", "trace_time", "late_trace_ratio"):
            ranges[name] = (1e-9, math.inf)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not field.metadata.get("static") and value is not None:
                check_range(field.name, value, *ranges.get(field.name, (0.0, math.inf)))
        one_of("homeostasis", self.homeostasis, HOMEOSTASIS)
        one_of("transfer", self.transfer, tuple(TRANSFERS))
        one_of("pattern", self.pattern, KINDS)
        whole("size", self.size, 2)
        whole("noise_every", self.noise_every, 1)
        if not 0 < self.step < math.inf:
            raise ValueError(f"`step` must be positive; got {self.step}.")
        self._check_density()
        for name in ("spin_up", "duration", "follow"):
            self.steps(name)
        if self.steps("record_every") < 1:
            raise ValueError("`record_every` must be at least one step.")
        network_of(self)
        self._check_stability()

    def _check_density(self) -> None:
        """Raise where a density counts for nothing, or leaves no synapse."""
        if not concrete(self.density):
            return
        count, density = self.size**2, np.asarray(self.density)
        if not self.sparse and np.any(density != 1):
            raise ValueError(f"`density` {density} needs `sparse` synapses.")
        if np.any((density > 0) & (density * count < 1)):
            raise ValueError(
                f"`density` {density} of {count} synapses is none (`size` "
                f"{self.size}); set it to 0, or to what leaves one at least."
            )

    def _check_stability(self) -> None:
        """Raise where one step overshoots: dissipation, or a memory that RK4 amplifies.

        Euler's own limit for memories is not enforced: it is a control.
        """
        decay = self.plasticity * self.homeostasis_gain * self.dissipation
        dissipates = self.homeostasis == "dissipation" and concrete(decay)
        if dissipates and np.any(decay * self.step >= 2):
            raise ValueError(
                f"`step` = {self.step} is too large for stability: dissipation at the "
                f"rate {float(np.max(decay)):.4g} needs steps below "
                f"{2 / float(np.max(decay)):.4g}."
            )
        if self.integrator == "rk4":
            check_memory_step(self.strength, self.step)

    def steps(self, name: str) -> int:
        """How many steps the time `name` takes; raises unless it is a whole number."""
        time = getattr(self, name)
        steps = round(time / self.step)
        if time < 0 or abs(steps * self.step - time) > 1e-6 * max(time, 1.0):
            raise ValueError(
                f"`{name}` ({time}) must be a whole number of steps of {self.step}."
            )
        return steps


def check_positive(module: AbstractConfig, *names: str) -> None:
    """Raise `ValueError` unless the named fields, or all their entries, are above 0.

    >>> check_positive(Config(kick=0.0), "strength", "kick")
    Traceback (most recent call last):
        ...
    ValueError: `kick` must be positive; got 0.0.
    """
    for name in names:
        value = getattr(module, name)
        if np.min(value) <= 0:
            raise ValueError(f"`{name}` must be positive; got {value}.")


def check_memory_step(strength: ArrayLike, step: float) -> None:
    """Raise `ValueError` if RK4 would make the activity of a silent memory grow.

    >>> check_memory_step(5.0, 1.0)
    Traceback (most recent call last):
        ...
    ValueError: `step` = 1.0 is too large for stability: ...
    """
    if not concrete(strength):
        return
    modes = -1 + 1j * np.asarray(strength, float)
    growth = np.max(np.abs(amplification(modes, step, "rk4")))
    if growth > 1:
        raise ValueError(
            f"`step` = {step} is too large for stability: it makes the activity of a "
            f"memory of `strength` {float(np.max(np.asarray(strength))):.4g} grow "
            f"{float(growth):.4g}-fold; keep their product below 2.8."
        )


def network_of(config: Config) -> RateNetwork:
    """The circuit: potentials, traces, and the filter of the two filtered variants.

    >>> network = network_of(Config(homeostasis="decorrelation_literal"))
    >>> print(f"{network.keep:.3f} {network.inflow:.1f}")  # step over filter_time
    -0.005 0.1
    """
    keep, inflow = jnp.zeros(()), jnp.zeros(())
    share = config.step / config.filter_time
    if config.homeostasis == "decorrelation_literal":
        keep, inflow = -share, share / config.filter_scale
    elif config.homeostasis == "decorrelation_lowpass":
        keep, inflow = 1 - share, share
    late = config.trace_time * config.late_trace_ratio if config.pair_rule else None
    options = {"transfer": TRANSFERS[config.transfer], "integrator": config.integrator}
    parts = config.trace_time, late, keep, inflow, config.floor
    return RateNetwork(config.step, *parts, **options)


def rules_of(config: Config, targets: Vector) -> dict[str, AbstractRule]:
    r"""Every term of $\dot W$ by name.

    >>> sorted(rules_of(Config(size=3, learns=True), jnp.zeros(3)))
    ['homeostasis', 'learning', 'noise']
    """
    diffusion = config.plasticity * config.noise * (REFERENCE_STEP / config.size) ** 0.5
    noise = Intermittent(Scaled(Wiener(), diffusion), config.noise_every)
    rules: dict[str, AbstractRule] = {"noise": noise}
    restraints = {
        "dissipation": Dissipation(config.dissipation),
        "rate_control": RateControl(targets),
        "rate_control_elementwise": ElementwiseRateControl(targets),
        "rate_control_ones": UnweightedRateControl(targets),
        "average_scaling": AverageScaling(),
        "additive": AdditiveRateControl(targets),
        "decorrelation": Decorrelation(config.correlation, config.gain),
        "decorrelation_literal": FilteredDecorrelation(config.correlation),
        "decorrelation_lowpass": FilteredDecorrelation(config.correlation),
    }
    if config.homeostasis in restraints:
        scale = config.plasticity * config.homeostasis_gain
        rules["homeostasis"] = Scaled(restraints[config.homeostasis], scale)
    if config.learns:
        hebb = AntisymmetricHebb()
        if config.pair_rule:
            hebb = PairSTDP(1 + config.imbalance, 1 - config.imbalance)
        rules["learning"] = Scaled(hebb, config.plasticity * config.learning_gain)
    return rules


def build(
    config: Config, key: Key[Array, ""], task: AbstractTask | None = None
) -> tuple[System, State]:
    """The network and its start; without a `task` nothing drives it.

    Weights $g N(0, 1)/\\sqrt N$, potentials $N(0, 1)$, traces `trace_spread` times
    $N(0, 1)$, target rates uniform within `target_scale`,
    above 0 for softplus.

    >>> system, state = build(Config(size=4, noise=0.0, homeostasis="none"), jr.key(0))
    >>> after, _ = simulate(system, state, jr.key(1), steps=10)
    >>> bool(jnp.all(after.synapses == state.synapses))  # nothing changes them
    True
    """
    for_weights, for_activity, for_targets, for_mask = jr.split(key, 4)
    for_traces, n = jr.fold_in(for_activity, 1), config.size
    weights = config.initial_gain * normal(for_weights, (n, n)) / n**0.5
    least = 0.0 if config.transfer == "softplus" else -1.0
    targets = config.target_scale * jr.uniform(for_targets, (n,), minval=least)
    projections = ()
    if config.sparse:
        projections = (Connected(random_mask((n, n), config.density, for_mask)),)
        weights = projections[0](weights)
    task = Constant(jnp.zeros(n)) if task is None else task
    network = network_of(config)
    system = System(task, network, rules_of(config, targets), projections)
    trace = jnp.zeros(n) + config.trace_spread * normal(for_traces, (n,))
    return system, State(network.at(normal(for_activity, (n,)), trace), weights)


def embed(
    config: Config,
    system: System,
    state: State,
    memory: Float[Array, "post pre"],
    key: Key[Array, ""],
) -> State:
    """The memory added to the existing synapses, and a small kick to the activity.

    The kick keeps a silent network from staying exactly silent, where no memory could
    ever be erased. Raises `ValueError` unless the memory is finite and shaped like the
    synapses.

    >>> config = Config(size=4, initial_gain=0.0)
    >>> system, state = build(config, jr.key(0))
    >>> u, v = jnp.eye(4)[:2]
    >>> memory = 5.0 * (jnp.outer(u, v) - jnp.outer(v, u))
    >>> embed(config, system, state, memory, jr.key(1)).synapses[0].tolist()
    [0.0, 5.0, 0.0, 0.0]
    """
    if memory.shape != state.synapses.shape:
        raise ValueError(
            f"`memory` must be shaped like the synapses {state.synapses.shape}; got "
            f"{memory.shape}."
        )
    check_finite("memory", memory)
    for project in system.projections:
        memory = project(memory)
    x = state.activity.potential
    kicked = x + config.kick * normal(key, x.shape, x.dtype)
    activity = state.activity._replace(potential=kicked)
    return State(activity, state.synapses + memory, state.step)
