"""A sleeping system later on, and what its synapses then store."""

from typing import Any

import jax.random as jr
from jaxtyping import Array, Bool, Float, Key

from .... import simulate, State, System
from ....circuits import Memories
from ....measure import degenerate, margins


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
