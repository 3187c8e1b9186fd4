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
from jaxtyping import Array, Float, Int, Key

from ... import AbstractConfig, AbstractProjection, Scalar, State, System
from ..._arguments import concrete, counted, one_of, optional, real, require
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
from ...numerics import ratio
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
ALL = 1e3  # a load of this and above: every pattern
# rate and L/N that reach the optimum fast with `stages`, for z = 1, 2, 3, 4
FAST = {1: (1e-3, 0.01), 2: (0.02, 0.02), 3: (0.03, 0.05), 4: (0.03, 0.05)}


class Config(AbstractConfig):
    r"""Patterns, the synapses that store them, and how they are replayed.

    `size` $N$ inputs, of which the first `rows` neurons are simulated (0: all, a
    recurrent network); room for `patterns` $M$, the first `load` $N$ of them stored
    (rounded; the default, 1000 and above, stores all). `order` $z$ factors a synapse,
    held as `product`, or as one factor to the power `exponent`. Homeostasis holds
    $\frac1z\sum_{jk}u_{jk}^2 = L$ with $L$ = `target_per_input` $N$. The schedule
    `stages` lowers both rates to a quarter after a sixth of the `cycles` and to a tenth
    after half of them; `onset` multiplies them by $0.01 + (1 - e^{-t/40})\,0.39$, over
    0.4.

    Raises `ValueError` for values out of range, and for those that do not fit each
    other: more `rows` than `size`, a load without patterns or with more than there is
    room for, a coding level at which patterns are all alike, an `exponent` beside a
    product (or an `order` beside a power) that is neither the default nor the same.
    """

    coding_level: Scalar = eqx.field(default=0.5, converter=real)  # f
    load: Scalar = eqx.field(default=ALL, converter=real)  # alpha
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
    enough: Scalar | None = eqx.field(default=None, converter=optional)  # perceptron
    ceiling: Scalar | None = eqx.field(  # of the first factor: a release probability
        default=None, converter=optional
    )
    size: int = eqx.field(default=100, static=True, converter=counted("size"))
    rows: int = eqx.field(default=20, static=True, converter=counted("rows", 0))
    patterns: int = eqx.field(default=25, static=True, converter=counted("patterns"))
    order: int = eqx.field(default=2, static=True, converter=counted("order"))
    exact: bool = eqx.field(default=False, static=True)  # f N ones in every pattern
    parametrisation: str = eqx.field(default="product", static=True)
    policy: str = eqx.field(default="weakest", static=True)
    scaling: str = eqx.field(default="joint", static=True)
    threshold: str = eqx.field(default="additive", static=True)
    schedule: str = eqx.field(default="stages", static=True)
    cycles: int = eqx.field(default=60_000, static=True, converter=counted("cycles"))
    epochs: int = eqx.field(
        default=35, static=True, converter=counted("epochs")
    )  # awake

    def __check_init__(self) -> None:
        positive, unbounded = (1e-12, math.inf), (0.0, math.inf)
        require(self, coding_level=(1e-6, 1 - 1e-6), initial_spread=(0.0, 1.0))
        require(self, load=positive, initial_factor=positive, exponent=(1.0, math.inf))
        for name in ("target_per_input", "sharpness"):
            require(self, **{name: positive})
        for name in ("rate", "threshold_rate", "replay_noise", "wake_rate"):
            require(self, **{name: unbounded})
        require(self, pruned_below=unbounded)
        if self.enough is not None:
            require(self, enough=unbounded)
        if self.ceiling is not None:
            require(self, ceiling=positive)
        if self.rows > self.size:
            raise ValueError(
                f"`rows` must lie between 0 (all) and `size` = {self.size}; got "
                f"{self.rows}."
            )
        one_of("parametrisation", self.parametrisation, PARAMETRISATIONS)
        one_of("policy", self.policy, POLICIES)
        one_of("scaling", self.scaling, SCALINGS)
        one_of("threshold", self.threshold, THRESHOLDS)
        one_of("schedule", self.schedule, SCHEDULES)
        self._check_counts()
        self._check_order()

    def _check_counts(self) -> None:
        """Whole numbers of active neurons and of stored patterns."""
        level, load = self.coding_level, self.load
        if concrete(level):
            ones = np.round(np.asarray(level) * self.size)
            if np.any((ones < 1) | (ones >= self.size)):
                raise ValueError(
                    f"`coding_level` = {level} of `size` = {self.size} rounds to none "
                    "or to all active: patterns would be all alike."
                )
        if concrete(load) and np.all(np.asarray(load) < ALL):
            stored = np.round(np.asarray(load) * self.size)
            if not np.all((stored >= 1) & (stored <= self.patterns)):
                raise ValueError(
                    f"`load` = {load} of `size` = {self.size} stores {stored} "
                    f"patterns; from 1 to `patterns` = {self.patterns} can be (or all, "
                    f"by the default load of {ALL:g})."
                )

    def _check_order(self) -> None:
        """The one that counts says how many factors; the other must not contradict."""
        order, exponent = self.order, self.exponent
        if not concrete(exponent):
            return
        exponents = np.asarray(exponent)
        if self.parametrisation == "product":
            wrong, other = f"`exponent` = {exponent}", "`order`"
            fits = np.all((exponents == 2) | (exponents == order))
        else:
            wrong, other = f"`order` = {order}", "`exponent`"
            fits = order == 2 or np.all(exponents == order)
        if not fits:
            raise ValueError(
                f"{wrong} says nothing where `parametrisation` is "
                f"'{self.parametrisation}': set {other} (order = {order}, exponent = "
                f"{exponent})."
            )

    @property
    def target(self) -> Scalar:
        """The homeostatic target $L$."""
        return self.target_per_input * self.size

    @property
    def activity(self) -> Scalar:
        """The share of neurons active in a pattern: $f$, of whole ones if `exact`."""
        if not self.exact:
            return self.coding_level
        return jnp.round(self.coding_level * self.size) / self.size

    @property
    def height(self) -> int:
        """How many factors a synapse holds; a signed power's lie side by side."""
        heights = {"product": self.order, "power": 1, "signed_power": 2}
        return heights[self.parametrisation]


def of_order(config: Config, order: int, **changes: Any) -> Config:
    """The same experiment with `order` factors: rate and target that suit them.

    Raises `ValueError` for an order that no rate is known for.
    """
    if order not in FAST:
        raise ValueError(f"`order` must be one of {list(FAST)}; got {order}.")
    rate, target = FAST[order]
    new = {"order": order, "rate": rate, "target_per_input": target, **changes}
    if new.get("parametrisation", config.parametrisation) != "product":
        new = {"exponent": order, **new}
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

    cycles: Scalar = eqx.field(converter=real)

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
    rows = config.rows or config.size
    spread = config.initial_spread * jr.uniform(
        key, (config.height, rows, config.size), minval=-1.0
    )
    synapses = Factored(_factors(config, 1 + spread), jnp.zeros(rows))
    if config.scaling != "none":
        synapses = scaling_of(config)(synapses)
    return RandomPatternThreshold(config.coding_level, parametrisation)(synapses)


def _factors(config: Config, sizes: Float[Array, "factor row n"]) -> Array:
    """First factors of these `sizes`; what is subtracted in a signed power is small."""
    factors = config.initial_factor * sizes
    if config.parametrisation == "signed_power":
        return factors.at[1].multiply(0.1)
    return factors


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
    """Replay of `stored` from `synapses` on: the system and its first state.

    Raises `ValueError` unless both have the rows, inputs and factors of `config`.
    """
    _check_fit(config, stored, synapses)
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
    Raises `ValueError` unless all rows are simulated, and `stored` are as many patterns
    of as many neurons as `config` says.
    """
    if config.rows not in (0, config.size):
        raise ValueError(
            f"awake all neurons matter: `rows` must be 0 (all); got {config.rows}."
        )
    _check_fit(config, stored)
    if len(stored.stored) != config.patterns:
        raise ValueError(
            f"`stored` holds {len(stored.stored)} patterns; `patterns` of the config "
            f"is {config.patterns}."
        )
    parametrisation = parametrisation_of(config)
    n = config.size
    level = RandomPatternThreshold(config.coding_level, parametrisation)
    bounds = Floored(no_self_connections(n, n))
    stack = _factors(config, jnp.ones((config.height, n, n)))
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
    weights, by the factors' scale to the power of z. A neuron without synapses stays as
    it is. Raises `ValueError` as `sleep` does.
    """
    _check_fit(config, stored, synapses)
    circuit = Replay(policy_of(config), parametrisation_of(config))
    fields = circuit.fields(synapses, stored)
    kept = stored.stored & jnp.all(stored.targets * fields > 0, axis=0)
    squares = circuit.parametrisation.squares(synapses.factors)
    scale = jnp.sqrt(ratio(config.target, squares, 1.0))
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


def _check_fit(
    config: Config, stored: Memories, synapses: Factored | None = None
) -> None:
    """Raise `ValueError` unless memories and synapses are those of such a network."""
    rows, n = config.rows or config.size, config.size
    count = stored.patterns.shape[-1]
    want = {
        "patterns": ((n, count), stored.patterns),
        "targets": ((rows, count), stored.targets),
        "stored": ((count,), stored.stored),
    }
    if synapses is not None:
        want["factors"] = (config.height, rows, n), synapses.factors
        want["threshold"] = (rows,), synapses.threshold
    for name, (shape, array) in want.items():
        if array.shape != shape:
            raise ValueError(
                f"`{name}` must be shaped {shape}, for `size` = {n}, `rows` = "
                f"{config.rows}, `order` = {config.order} and `parametrisation` = "
                f"'{config.parametrisation}'; got {array.shape}."
            )


def require_products(config: Config) -> None:
    """Raise `ValueError` unless weights are products: recall and statistics read so."""
    if config.parametrisation != "product":
        raise ValueError(
            f"`parametrisation` must be 'product' here; got '{config.parametrisation}'."
        )
