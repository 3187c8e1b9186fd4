"""A run in time."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
from jaxtyping import Array, Key, PyTree

from ._arguments import check_kind, check_takes, concrete, whole
from ._interfaces import advance, State, System, with_traces
from ._random import unrolled


Record = Callable[[State, Any, dict[str, Any]], PyTree]


def _nothing(state: State, signals: Any, changes: dict[str, Any]) -> None:
    """Record nothing: the last state is all that counts."""


def simulate(
    system: System,
    state: State,
    key: Key[Array, ""],
    *,
    steps: SupportsIndex,
    record: Record = _nothing,
    every: SupportsIndex = 1,
) -> tuple[State, PyTree]:
    """Run `steps` steps; stack what `record` returns at every `every`-th one.

    `record(state, signals, changes)` sees the state after the step and the signals and
    changes that made it; without it nothing is recorded. A run stores records only. A
    run cut in two, resumed, or thinned by `every` gives the same bits as the whole one.

    Differentiable in every inexact leaf of `system` and `state`. The gradient stores
    one state per record and recomputes the steps between, so its memory grows as
    `steps / every + every`: choose `every` near the square root of `steps` for least.

    `record` is part of the compiled program: pass a module-level function, since a
    new lambda compiles anew. Raises `ValueError` unless `steps` is a positive multiple
    of `every`, `key` is a threefry key, the task has a stimulus for all steps and
    every part does what `advance` asks of it.
    """
    count, thin = whole("steps", steps), whole("every", every)
    if thin < 1 or count < 1 or count % thin:
        raise ValueError(
            f"`steps` ({count}) must be a positive multiple of `every` ({thin}), "
            "and `every` at least 1."
        )
    check_kind("`system`", system, System)
    check_kind("`state`", state, State)
    check_takes("record", record, "state", "signals", "changes")
    if concrete(state.step):
        system.task.check(int(state.step), count)
    return _run(system, state, unrolled(key), count, record, thin)


@eqx.filter_jit
def _run(
    system: System, state: State, key: Array, steps: int, record: Record, every: int
) -> tuple[State, PyTree]:
    """The compiled run of `simulate`."""
    state = with_traces(system, state)

    def unseen(state: State, _: None) -> tuple[State, None]:
        return advance(system, state, key)[0], None

    def block(state: State, _: None) -> tuple[State, PyTree]:
        if every > 1:
            state, _ = jax.lax.scan(unseen, state, length=every - 1)
        state, signals, changes = advance(system, state, key)
        return state, record(state, signals, changes)

    block = jax.checkpoint(block, prevent_cse=False)  # pyright: ignore[reportAssignmentType]
    return jax.lax.scan(block, state, length=steps // every)
