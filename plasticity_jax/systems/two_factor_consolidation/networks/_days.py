"""What networks store, how they sleep, and their day awake."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Integer, Key

from .... import Scalar, State, System
from ...._arguments import not_negative
from ....circuits import Memories, memories_of, Novelty, Replay
from ....numerics import ratio
from ....rules import FactorAscent, NoveltyHebb, Pruning, Scheduled
from ....synapses import Factored, Floored, no_self_connections, Product
from ....tasks import Constant, draw_patterns, epoch_orders, Epochs
from ..config import Config
from ._parts import (
    _random_threshold,
    _rows,
    parametrisation_of,
    policy_of,
    projections_of,
    scaling_of,
    Schedule,
    schedule_of,
)


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
