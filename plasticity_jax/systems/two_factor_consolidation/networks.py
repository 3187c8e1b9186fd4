"""Networks built from a config: what they store, how they sleep, and their day awake.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ... import AbstractProjection, Scalar, simulate, State, System
from ..._arguments import not_negative, real
from ...circuits import (
    AbstractPolicy,
    Memories,
    memories_of,
    Novelty,
    PrioritisedReplay,
    RandomReplay,
    Replay,
    SoftReplay,
    TaughtReplay,
    WeakestReplay,
)
from ...measure import degenerate, margins
from ...numerics import ratio
from ...rules import FactorAscent, NoveltyHebb, Pruning, Scheduled
from ...synapses import (
    AbstractFactors,
    Ceiling,
    Connected,
    Factored,
    Floored,
    Free,
    HomeostaticScaling,
    MidpointThreshold,
    no_self_connections,
    Ordered,
    Power,
    Product,
    RandomPatternThreshold,
    SignedPower,
    SignedProduct,
)
from ...tasks import Constant, draw_patterns, epoch_orders, Epochs
from .config import Config


Schedule = Callable[[Int[Array, ""]], Any]


def parametrisation_of(config: Config) -> AbstractFactors:
    """How weights follow from factors.

    >>> how = parametrisation_of(Config(order=3))
    >>> how.weights(2.0 * jnp.ones((3, 1, 2))).tolist()
    [[8.0, 8.0]]
    """
    if config.parametrisation == "free":
        return Free()
    if config.parametrisation == "product":
        return SignedProduct(config.signs) if config.inhibitory else Product()
    kind = {"power": Power, "signed_power": SignedPower}[config.parametrisation]
    return kind(config.exponent)


def policy_of(config: Config) -> AbstractPolicy:
    """Which patterns are replayed.

    >>> policy = policy_of(Config(policy="soft", sharpness=20.0))
    >>> print(type(policy).__name__, policy.sharpness)
    SoftReplay 20.0
    """
    soft = SoftReplay(config.sharpness)
    return {
        "weakest": WeakestReplay(),
        "noisy": WeakestReplay(config.replay_noise),
        "prioritised": PrioritisedReplay(config.sharpness),
        "random": RandomReplay(),
        "soft": soft,
        "taught": TaughtReplay(WeakestReplay(), soft),
        "taught_together": TaughtReplay(WeakestReplay(), soft, together=True),
    }[config.policy]


class Stages(eqx.Module):
    """Rates fall to 1/4 after a sixth of the `cycles`, to 1/10 after half of them.

    >>> share = jax.vmap(Stages(60))(jnp.asarray([0, 20, 40]))
    >>> print(np.asarray(share).round(2))
    [1.   0.25 0.1 ]
    """

    cycles: Scalar = eqx.field(converter=real)

    def __call__(self, cycle: Int[Array, ""]) -> Scalar:
        done = real(cycle) / self.cycles
        return jnp.where(done < 1 / 6, 1.0, jnp.where(done < 1 / 2, 0.25, 0.1))


def onset(cycle: Int[Array, ""]) -> Scalar:
    """The rate of Figure 3 relative to its last value.

    >>> print(np.asarray(jax.vmap(onset)(jnp.asarray([0, 1000]))).round(3))
    [0.025 1.   ]
    """
    return (0.01 + 0.39 * (1 - jnp.exp(-real(cycle) / 40))) / 0.4


def memories(config: Config, key: Key[Array, ""], rows: Any = None) -> Memories:
    """Random patterns, and which of them are stored.

    `rows` chooses the neurons, as many as `config` simulates; by default the first.

    >>> config = Config(size=12, rows=2, patterns=4, load=0.25)
    >>> stored = memories(config, jr.key(0))
    >>> stored.targets.shape, stored.stored.tolist()
    ((2, 4), [True, True, True, False])
    """
    n, count, level = config.size, config.patterns, config.coding_level
    patterns = draw_patterns(n, count, level, key, exact=config.exact)
    stored = jnp.arange(count) < jnp.round(config.load * n).astype(int)
    return memories_of(patterns, _rows(config, rows), stored)


def _rows(config: Config, rows: Any) -> Any:
    """The neurons that are simulated: those chosen, else the first of the config."""
    return config.rows or config.size if rows is None else rows


def start(config: Config, key: Key[Array, ""]) -> Factored:
    r"""Factors uniform in $u_0(1 \pm$ `initial_spread` $)$, thresholds to match.

    Scaled to the homeostatic target, self-connections still present, as published.

    >>> first = start(Config(size=12, rows=2, target_per_input=0.5), jr.key(0))
    >>> squares = jnp.sum(first.factors**2, axis=(0, 2)) / 2
    >>> print(np.asarray(squares).round(3))  # L of each neuron
    [6. 6.]
    """
    rows = config.rows or config.size
    shape = config.height, rows, config.size
    spread = config.initial_spread * jr.uniform(key, shape, minval=-1.0)
    synapses = Factored(_factors(config, 1 + spread), jnp.zeros(rows))
    if config.scaling != "none":
        synapses = scaling_of(config)(synapses)
    return _random_threshold(config)(synapses)


def _factors(config: Config, sizes: Float[Array, "factor row n"]) -> Array:
    """First factors of these `sizes`; what is subtracted in a signed power is small."""
    factors = config.initial_factor * sizes
    if config.parametrisation == "signed_power":
        return factors.at[1].multiply(0.1)
    return factors


def _random_threshold(config: Config) -> RandomPatternThreshold:
    return RandomPatternThreshold(config.coding_level, parametrisation_of(config))


def scaling_of(config: Config) -> HomeostaticScaling:
    """Homeostasis; of all factors together where it is switched off (`none`).

    >>> scaling = scaling_of(Config(size=50, scaling="each"))
    >>> print(scaling.of, f"{scaling.target:.1f}")
    each 1.0
    """
    of = "joint" if config.scaling == "none" else config.scaling
    return HomeostaticScaling(config.target, parametrisation_of(config), of)


def projections_of(
    config: Config, stored: Memories, rows: Any = None
) -> tuple[AbstractProjection, ...]:
    """Bounds, homeostasis, and inhibition where it is not learned.

    >>> config = Config(size=12, rows=2, patterns=4, threshold="midpoint")
    >>> enforced = projections_of(config, memories(config, jr.key(0)))
    >>> [type(x).__name__ for x in enforced]
    ['Floored', 'HomeostaticScaling', 'MidpointThreshold']
    """
    own = no_self_connections(_rows(config, rows), config.size)
    enforced: list[AbstractProjection] = [Floored(own)]
    if config.parametrisation == "free":
        enforced = [Connected(Factored(own[None], jnp.ones(len(own))))]
    if config.parametrisation == "signed_power":
        enforced.append(Ordered())
    if config.scaling != "none":
        enforced.append(scaling_of(config))
    if config.ceiling is not None:
        enforced.append(Ceiling(config.ceiling))
    if config.threshold == "midpoint":
        how = parametrisation_of(config)
        enforced.append(MidpointThreshold(stored.patterns, stored.stored, how))
    elif config.threshold == "random_pattern":
        enforced.append(_random_threshold(config))
    return tuple(enforced)


def sleep(
    config: Config,
    stored: Memories,
    synapses: Factored,
    *,
    rows: Any = None,
    schedule: Schedule | None = None,
) -> tuple[System, State]:
    """Replay of `stored` from `synapses` on: the system and its first state.

    `stored` are any memories (`circuits.memories_of` makes them of own patterns),
    `rows` the neurons that they are of (row,), by default the first ones. A `schedule`,
    as `rules.Scheduled` takes it, multiplies both rates instead of the config's. Raises
    `ValueError` unless memories and synapses have the rows, inputs and factors of
    `config`.

    >>> config = Config(size=12, rows=0, patterns=4, coding_level=0.25)
    >>> stored = circuits.memories_of(jnp.kron(jnp.eye(4), jnp.ones((3, 1))))
    >>> system, state = sleep(config, stored, start(config, jr.key(0)))
    >>> state, _ = simulate(system, state, jr.key(1), steps=1000, every=1000)
    >>> print(f"{state.synapses.weights()[0, 3:].max():.3f}")  # from other patterns
    0.000
    """
    _check_fit(config, stored, synapses)
    how = parametrisation_of(config)
    pruned = None if config.parametrisation == "free" else config.pruned_below
    circuit = Replay(policy_of(config), how, pruned, config.enough)
    learned = config.threshold_rate if config.threshold == "additive" else 0.0
    ascent = FactorAscent(config.rate, learned, how)
    if schedule is None:
        schedule = schedule_of(config)
    if schedule is not None:
        ascent = Scheduled(ascent, schedule)
    rules = {"replay": ascent, "pruning": Pruning()}
    enforced = projections_of(config, stored, rows)
    system = System(Constant(stored), circuit, rules, enforced)
    return system, system.start(synapses, jr.key(0))


def schedule_of(config: Config) -> Schedule | None:
    """What multiplies both rates in every cycle; nothing where they are constant.

    >>> print(f"{schedule_of(Config(cycles=60))(jnp.asarray(40)):.2f}")
    0.10
    """
    schedules = {"stages": Stages(real(config.cycles)), "onset": onset}
    return schedules.get(config.schedule)


def build(
    config: Config,
    key: Key[Array, ""],
    *,
    rows: Any = None,
    schedule: Schedule | None = None,
) -> tuple[System, State]:
    """Sleep from random synapses that must still learn the patterns (Figure 2).

    `system.task.stimulus` holds the `Memories`. `rows` and `schedule` are those of
    `sleep`, which takes patterns and synapses of one's own.

    >>> config = Config(size=12, rows=0, patterns=4)
    >>> system, state = build(config, jr.key(0))
    >>> system.task.stimulus.patterns.shape, state.synapses.factors.shape
    ((12, 4), (2, 12, 12))
    """
    for_patterns, for_factors = jr.split(key)
    stored, synapses = memories(config, for_patterns, rows), start(config, for_factors)
    return sleep(config, stored, synapses, rows=rows, schedule=schedule)


def wake(
    config: Config,
    stored: Memories,
    key: Key[Array, ""],
    shift: int = 0,
    *,
    order: Integer[Array, " step"] | None = None,
    synapses: Factored | None = None,
) -> tuple[System, State]:
    r"""One-shot storage of every pattern, `epochs` times in fresh random orders.

    All factors start alike at `initial_factor`, without homeostasis; a run takes
    `epochs` x `patterns` steps. With a `shift` of 1 each pattern calls the next one. An
    `order` (step,) of indices is presented instead, and anew when it ends. A further
    day begins with the `synapses` of the morning, thresholds as Eq. 3 has them. Raises
    `ValueError` unless all rows are simulated, `stored` are as many patterns of as many
    neurons as `config` says, and factors are not `free`.

    >>> config = Config(size=12, rows=0, patterns=4, coding_level=0.25)
    >>> stored = circuits.memories_of(jnp.kron(jnp.eye(4), jnp.ones((3, 1))))
    >>> system, state = wake(config, stored, jr.key(0))
    >>> state, _ = simulate(system, state, jr.key(1), steps=140, every=140)
    >>> bool(jnp.argmax(state.synapses.weights()[0]) < 3)  # of its own pattern
    True
    """
    if config.rows not in (0, config.size):
        raise ValueError(
            f"awake all neurons matter: `rows` must be 0 (all); got {config.rows}."
        )
    if config.parametrisation == "free":
        raise ValueError("`parametrisation` must not be 'free' awake.")
    _check_fit(config, stored, synapses)
    if len(stored.stored) != config.patterns:
        raise ValueError(
            f"`stored` holds {len(stored.stored)} patterns; `patterns` of the config "
            f"is {config.patterns}."
        )
    n, f = config.size, config.coding_level
    level, bounds = _random_threshold(config), Floored(no_self_connections(n, n))
    if synapses is None:
        stack = _factors(config, jnp.ones((config.height, n, n)))
        synapses = Factored(stack, jnp.zeros(n))
    synapses = level(bounds(synapses))
    following = jnp.roll(stored.patterns, -shift, axis=1)
    if order is None:
        order = epoch_orders(config.patterns, config.epochs, key, stored.stored)
    day = Epochs((stored.patterns, following), order)
    circuit = Novelty(f, parametrisation_of(config), config.pruned_below)
    rules = {"storage": NoveltyHebb(config.wake_rate, f), "pruning": Pruning()}
    return System(day, circuit, rules, (bounds, level)), State(None, synapses)


def fall_asleep(
    config: Config, stored: Memories, synapses: Factored
) -> tuple[System, State]:
    r"""Sleep after a day: only what every neuron has right is replayed (Figure 3).

    The factors are scaled to the homeostatic target once, and the thresholds with the
    weights, by the factors' scale to the power of z. A neuron without synapses stays as
    it is. Raises `ValueError` as `sleep` does.

    >>> config = Config(size=12, rows=0, patterns=4, coding_level=0.25)
    >>> stored = circuits.memories_of(jnp.kron(jnp.eye(4), jnp.ones((3, 1))))
    >>> u = jnp.broadcast_to(jnp.kron(jnp.eye(4), jnp.ones((3, 3))), (2, 12, 12))
    >>> evening = synapses.Factored(u, jnp.full(12, 1.5).at[0].set(9.0))  # one errs
    >>> fall_asleep(config, stored, evening)[0].task.stimulus.stored.tolist()
    [False, True, True, True]
    """
    _check_fit(config, stored, synapses)
    circuit = Replay(policy_of(config), parametrisation_of(config))
    fields = circuit.fields(synapses, stored)
    kept = stored.stored & jnp.all(stored.targets * fields > 0, axis=0)
    squares = circuit.parametrisation.squares(synapses.factors)
    scale = jnp.sqrt(ratio(config.target, squares, 1.0))
    order = circuit.parametrisation.order(synapses.factors)
    factors = synapses.factors * scale[None, :, None]
    scaled = Factored(factors, synapses.threshold * scale**order)
    return sleep(config, stored._replace(stored=kept), scaled)


def regrown(
    synapses: Factored, share: Scalar | float, pruned_below: Scalar | float = 1e-10
) -> Factored:
    """Dead synapses return, with a `share` of the neuron's mean living factor.

    Products of factors (`Product`); weights of at most `pruned_below` are dead. A
    neuron without any synapse stays without. A night brings synapses of neurons on
    themselves back to 0.

    >>> u = jnp.asarray([[[2.0, 0.0]], [[4.0, 0.0]]])
    >>> regrown(synapses.Factored(u, jnp.zeros(1)), 0.5).factors.tolist()
    [[[2.0, 1.0]], [[4.0, 2.0]]]
    """
    u, share = synapses.factors, not_negative("share", share)
    alive = ~(Product().weights(u) <= pruned_below)[None]  # also where it is NaN
    count = jnp.sum(alive.astype(u.dtype), axis=2, keepdims=True)
    total = jnp.sum(jnp.where(alive, u, 0.0), axis=2, keepdims=True)
    new = jnp.broadcast_to(share * ratio(total, count), u.shape)
    return Factored(jnp.where(alive, u, new), synapses.threshold)


# --- a sleeping system --------------------------------------------------------------


def after(system: System, state: State, key: Key[Array, ""], steps: int) -> State:
    """The state after so many steps, of which nothing is recorded.

    >>> system, state = build(Config(size=12, rows=0, patterns=4), jr.key(0))
    >>> int(after(system, state, jr.key(1), 1000).step)
    1000
    """
    return simulate(system, state, key, steps=steps, every=steps)[0]


def stored_in(system: System) -> Memories:
    """What it replays.

    >>> system, _ = build(Config(size=12, rows=0, patterns=4, load=0.25), jr.key(0))
    >>> stored_in(system).stored.tolist()
    [True, True, True, False]
    """
    task: Any = system.task
    return task.stimulus


def valid_rows(stored: Memories) -> Bool[Array, " row"]:
    """The neurons that are not degenerate.

    >>> stored = circuits.memories_of(jnp.asarray([[1.0, 1.0], [1.0, 0.0]]))
    >>> valid_rows(stored).tolist()  # the first is always active
    [False, True]
    """
    return ~degenerate(stored.targets, stored.stored)


def fields_and_weights(
    system: System, state: State
) -> tuple[Float[Array, "row pattern"], Float[Array, "row n"]]:
    """Fields of all patterns, and weights, at this state.

    >>> system, state = build(Config(size=12, rows=0, patterns=4), jr.key(0))
    >>> fields, weights = fields_and_weights(system, state)
    >>> want = weights @ stored_in(system).patterns - state.synapses.threshold[:, None]
    >>> bool(jnp.allclose(fields, want, atol=1e-6))
    True
    """
    circuit: Any = system.circuit
    fields = circuit.fields(state.synapses, system.task(state.step, jr.key(0)))
    return fields, circuit.parametrisation.weights(state.synapses.factors)


def margins_and_weights(
    system: System, state: State
) -> tuple[Float[Array, " row"], Float[Array, "row n"]]:
    """Margins of the stored patterns, and weights, at this state.

    >>> config = Config(size=12, rows=0, patterns=4, coding_level=0.25)
    >>> stored = circuits.memories_of(jnp.kron(jnp.eye(4), jnp.ones((3, 1))))
    >>> system, state = sleep(config, stored, start(config, jr.key(0)))
    >>> margin, _ = margins_and_weights(system, after(system, state, jr.key(1), 1000))
    >>> bool(jnp.all(margin > 0))  # no neuron errs
    True
    """
    fields, weights = fields_and_weights(system, state)
    stored = stored_in(system)
    return margins(fields, stored.targets, stored.stored), weights


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
