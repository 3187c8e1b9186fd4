"""Hyper-parameters of a memory that is stored awake and consolidated asleep.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. All quantities are
dimensionless; one cycle is one parallel update of all neurons.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, Key

from ..._config import nearest
from ..._interfaces import AbstractProjection, real, require, Scalar, State, System
from ...circuits import (
    AbstractPolicy,
    Memories,
    memories_of,
    Novelty,
    RandomReplay,
    Replay,
    SoftReplay,
    TaughtReplay,
    WeakestReplay,
)
from ...rules import FactorAscent, NoveltyHebb, Pruning, Scheduled
from ...synapses import (
    AbstractFactors,
    Ceiling,
    Factored,
    Floored,
    HomeostaticScaling,
    MidpointThreshold,
    no_self_connections,
    Ordered,
    Power,
    Product,
    RandomPatternThreshold,
    SignedPower,
)
from ...tasks import Constant, draw_patterns, epoch_orders, Epochs


PARAMETRISATIONS = ("product", "power", "signed_power")
POLICIES = ("weakest", "noisy", "random", "soft", "taught", "taught_together")
SCALINGS = ("joint", "each", "weights", "none")
THRESHOLDS = ("additive", "midpoint", "random_pattern")
SCHEDULES = ("constant", "stages", "onset")
# rate and L/N that reach the optimum fast with `stages`, for z = 1, 2, 3, 4
FAST = {1: (1e-3, 0.01), 2: (0.02, 0.02), 3: (0.03, 0.05), 4: (0.03, 0.05)}


class Config(eqx.Module):
    r"""Patterns, the synapses that store them, and how they are replayed.

    `size` $N$ inputs, of which the first `rows` neurons are simulated (0: all, a
    recurrent network); room for `patterns` $M$, the first `load` $N$ of them stored (a
    load above $M/N$ stores all). `order` $z$ factors a synapse, held as `product`, or
    as one factor to the power `exponent`. Homeostasis holds $\frac1z\sum_{jk}u_{jk}^2 =
    L$ with $L$ = `target_per_input` $N$. The schedule `stages` lowers both rates to a
    quarter after a sixth of the `cycles` and to a tenth after half of them; `onset`
    multiplies them by $0.01 + (1 - e^{-t/40})\,0.39$, over 0.4.
    """

    coding_level: Scalar = eqx.field(default=0.5, converter=real)  # f
    load: Scalar = eqx.field(default=1e3, converter=real)  # alpha
    initial_factor: Scalar = eqx.field(default=0.1, converter=real)  # u_0
    initial_spread: Scalar = eqx.field(default=0.3, converter=real)
    target_per_input: Scalar = eqx.field(default=0.02, converter=real)  # L / N
    rate: Scalar = eqx.field(default=0.02, converter=real)  # eta
    threshold_rate: Scalar = eqx.field(default=0.005, converter=real)  # eta_theta
    sharpness: Scalar = eqx.field(default=100.0, converter=real)  # beta
    replay_noise: Scalar = eqx.field(default=0.1, converter=real)  # policy `noisy`
    exponent: Scalar = eqx.field(default=2.0, converter=real)  # z of a power
    pruned_below: Scalar = eqx.field(default=1e-10, converter=real)  # epsilon
    wake_rate: Scalar = eqx.field(default=0.01, converter=real)  # eta_wake
    enough: Scalar | None = eqx.field(  # margin perceptron
        default=None, converter=lambda x: None if x is None else real(x)
    )
    ceiling: Scalar | None = eqx.field(  # of the first factor: a release probability
        default=None, converter=lambda x: None if x is None else real(x)
    )
    size: int = eqx.field(default=100, static=True)
    rows: int = eqx.field(default=20, static=True)
    patterns: int = eqx.field(default=25, static=True)
    order: int = eqx.field(default=2, static=True)
    exact: bool = eqx.field(default=False, static=True)  # f N ones in every pattern
    parametrisation: str = eqx.field(default="product", static=True)
    policy: str = eqx.field(default="weakest", static=True)
    scaling: str = eqx.field(default="joint", static=True)
    threshold: str = eqx.field(default="additive", static=True)
    schedule: str = eqx.field(default="stages", static=True)
    cycles: int = eqx.field(default=60_000, static=True)
    epochs: int = eqx.field(default=35, static=True)  # awake

    def __check_init__(self) -> None:
        positive, unbounded = (1e-12, math.inf), (0.0, math.inf)
        require(self, coding_level=(1e-6, 1 - 1e-6), initial_spread=(0.0, 1.0))
        require(self, load=positive, initial_factor=positive, exponent=(1.0, math.inf))
        for name in ("target_per_input", "sharpness"):
            require(self, **{name: positive})
        for name in ("rate", "threshold_rate", "replay_noise", "wake_rate"):
            require(self, **{name: unbounded})
        for name in ("size", "patterns", "order", "cycles", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must be at least 1; got {getattr(self, name)}."
                )
        if not 0 <= self.rows <= self.size:
            raise ValueError(
                f"`rows` must lie between 0 (all) and `size` = {self.size}; got "
                f"{self.rows}."
            )
        _one_of("parametrisation", self.parametrisation, PARAMETRISATIONS)
        _one_of("policy", self.policy, POLICIES)
        _one_of("scaling", self.scaling, SCALINGS)
        _one_of("threshold", self.threshold, THRESHOLDS)
        _one_of("schedule", self.schedule, SCHEDULES)
        level = self.coding_level
        if self.exact and not isinstance(level, Tracer):
            ones = np.round(np.asarray(level) * self.size)
            if np.any((ones < 1) | (ones >= self.size)):
                raise ValueError(
                    f"exact patterns of `size` = {self.size} at `coding_level` = "
                    f"{level} would be all alike."
                )

    @property
    def target(self) -> Scalar:
        """The homeostatic target $L$."""
        return self.target_per_input * self.size


def of_order(config: Config, order: int, **changes: Any) -> Config:
    """The same experiment with `order` factors: rate and target that suit them."""
    rate, target = FAST[order]
    new = {"order": order, "rate": rate, "target_per_input": target, **changes}
    return dataclasses.replace(config, **new)


def parametrisation_of(config: Config) -> AbstractFactors:
    """How weights follow from factors."""
    if config.parametrisation == "product":
        return Product()
    return {"power": Power, "signed_power": SignedPower}[config.parametrisation](
        config.exponent
    )


def policy_of(config: Config) -> AbstractPolicy:
    """Which patterns are replayed."""
    soft = SoftReplay(config.sharpness)
    return {
        "weakest": WeakestReplay(),
        "noisy": WeakestReplay(config.replay_noise),
        "random": RandomReplay(),
        "soft": soft,
        "taught": TaughtReplay(WeakestReplay(), soft),
        "taught_together": TaughtReplay(WeakestReplay(), soft, together=True),
    }[config.policy]


class Stages(eqx.Module):
    """Rates fall to 1/4 after a sixth of the `cycles`, to 1/10 after half of them."""

    cycles: Scalar

    def __call__(self, cycle: Int[Array, ""]) -> Scalar:
        done = real(cycle) / self.cycles
        return jnp.where(done < 1 / 6, 1.0, jnp.where(done < 1 / 2, 0.25, 0.1))


def onset(cycle: Int[Array, ""]) -> Scalar:
    """The rate of Figure 3 relative to its last value."""
    return (0.01 + 0.39 * (1 - jnp.exp(-real(cycle) / 40))) / 0.4


def memories(config: Config, key: Key[Array, ""]) -> Memories:
    """Random patterns, and which of them are stored."""
    n = config.size
    patterns = draw_patterns(
        n, config.patterns, config.coding_level, key, exact=config.exact
    )
    stored = jnp.arange(config.patterns) < jnp.round(config.load * n).astype(int)
    return memories_of(patterns, config.rows or n, stored)


def start(config: Config, key: Key[Array, ""]) -> Factored:
    r"""Factors uniform in $u_0(1 \pm$ `initial_spread` $)$, thresholds to match.

    Scaled to the homeostatic target, self-connections still present, as published.
    """
    parametrisation = parametrisation_of(config)
    stack = {"product": config.order, "power": 1, "signed_power": 2}
    height = stack[config.parametrisation]
    rows = config.rows or config.size
    spread = config.initial_spread * jr.uniform(
        key, (height, rows, config.size), minval=-1.0
    )
    factors = config.initial_factor * (1 + spread)
    if config.parametrisation == "signed_power":
        factors = factors.at[1].multiply(0.1)
    synapses = Factored(factors, jnp.zeros(rows))
    if config.scaling != "none":
        synapses = scaling_of(config)(synapses)
    return RandomPatternThreshold(config.coding_level, parametrisation)(synapses)


def scaling_of(config: Config) -> HomeostaticScaling:
    """Homeostasis; of all factors together where it is switched off (`none`)."""
    of = "joint" if config.scaling == "none" else config.scaling
    return HomeostaticScaling(config.target, parametrisation_of(config), of)


def projections_of(config: Config, stored: Memories) -> tuple[AbstractProjection, ...]:
    """Bounds, homeostasis, and inhibition where it is not learned."""
    parametrisation = parametrisation_of(config)
    rows = config.rows or config.size
    enforced: list[AbstractProjection] = [
        Floored(no_self_connections(rows, config.size))
    ]
    if config.parametrisation == "signed_power":
        enforced.append(Ordered())
    if config.scaling != "none":
        enforced.append(scaling_of(config))
    if config.ceiling is not None:
        enforced.append(Ceiling(config.ceiling))
    if config.threshold == "midpoint":
        enforced.append(
            MidpointThreshold(stored.patterns, stored.stored, parametrisation)
        )
    elif config.threshold == "random_pattern":
        enforced.append(RandomPatternThreshold(config.coding_level, parametrisation))
    return tuple(enforced)


def sleep(config: Config, stored: Memories, synapses: Factored) -> tuple[System, State]:
    """Replay of `stored` from `synapses` on: the system and its first state."""
    parametrisation = parametrisation_of(config)
    circuit = Replay(
        policy_of(config), parametrisation, config.pruned_below, config.enough
    )
    learned = config.threshold_rate if config.threshold == "additive" else 0.0
    ascent = FactorAscent(config.rate, learned, parametrisation)
    if config.schedule == "stages":
        ascent = Scheduled(ascent, Stages(real(config.cycles)))
    elif config.schedule == "onset":
        ascent = Scheduled(ascent, onset)
    system = System(
        Constant(stored),
        circuit,
        {"replay": ascent, "pruning": Pruning()},
        projections_of(config, stored),
    )
    return system, State(circuit.start(synapses, stored), synapses)


def build(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """Sleep from random synapses that must still learn the patterns (Figure 2).

    `system.task.stimulus` holds the `Memories`.
    """
    for_patterns, for_factors = jr.split(key)
    return sleep(config, memories(config, for_patterns), start(config, for_factors))


def wake(
    config: Config, stored: Memories, key: Key[Array, ""], shift: int = 0
) -> tuple[System, State]:
    r"""One-shot storage of every pattern, `epochs` times in fresh random orders.

    All factors start alike at `initial_factor`, without homeostasis; a run takes
    `epochs` x `patterns` steps. With a `shift` of 1 each pattern calls the next one.
    Raises `ValueError` unless all rows are simulated.
    """
    if config.rows not in (0, config.size):
        raise ValueError(
            f"awake all neurons matter: `rows` must be 0 (all); got {config.rows}."
        )
    parametrisation = parametrisation_of(config)
    n = config.size
    level = RandomPatternThreshold(config.coding_level, parametrisation)
    bounds = Floored(no_self_connections(n, n))
    stack = jnp.full((config.order, n, n), config.initial_factor)
    synapses = level(bounds(Factored(stack, jnp.zeros(n))))
    after = jnp.roll(stored.patterns, -shift, axis=1)
    order = epoch_orders(config.patterns, config.epochs, key, stored.stored)
    system = System(
        Epochs((stored.patterns, after), order),
        Novelty(config.coding_level, parametrisation, config.pruned_below),
        {
            "storage": NoveltyHebb(config.wake_rate, config.coding_level),
            "pruning": Pruning(),
        },
        (bounds, level),
    )
    return system, State(None, synapses)


def fall_asleep(
    config: Config, stored: Memories, synapses: Factored
) -> tuple[System, State]:
    r"""Sleep after a day: only what every neuron has right is replayed (Figure 3).

    The factors are scaled to the homeostatic target once, and the thresholds with the
    weights, by the factors' scale to the power of z.
    """
    circuit = Replay(policy_of(config), parametrisation_of(config))
    fields = circuit.fields(synapses, stored)
    kept = stored.stored & jnp.all(stored.targets * fields > 0, axis=0)
    scale = jnp.sqrt(config.target / circuit.parametrisation.squares(synapses.factors))
    order = circuit.parametrisation.order(synapses.factors)
    scaled = Factored(
        synapses.factors * scale[None, :, None], synapses.threshold * scale**order
    )
    return sleep(config, stored._replace(stored=kept), scaled)


def fields_and_weights(
    system: System, state: State
) -> tuple[Float[Array, "row pattern"], Float[Array, "row n"]]:
    """Fields of all patterns and weights of a sleeping system at this state."""
    circuit: Any = system.circuit
    memories = system.task(state.step, jr.key(0))
    return (
        circuit.fields(state.synapses, memories),
        circuit.parametrisation.weights(state.synapses.factors),
    )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"`{name}` is unknown: '{value}'.{nearest(value, allowed)}")
