"""A run in time."""

import dataclasses
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from ._arguments import among, check_kind, check_takes, concrete, whole
from ._interfaces import AbstractSignals, advance, SPIKES, State, System, with_traces
from ._interfaces._told import read
from ._random import unrolled
from .signals import LayerSignals


Record = Callable[[State, Any, dict[str, Any]], PyTree]
Strays = dict[tuple[str, str], Array]  # of a rule and a signal: a value out of limits


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
    frozen: bool = False,
) -> tuple[State, PyTree]:
    """Run `steps` steps; stack what `record` returns at every `every`-th one.

    `record(state, signals, changes)` sees the state after the step and the signals and
    changes that made it; without it nothing is recorded. A run stores records only. A
    run cut in two, resumed, or thinned by `every` gives the same bits as the whole one.
    Where `frozen`, no rule and no projection acts: the activity at these synapses.

    Differentiable in every inexact leaf of `system` and `state`. The gradient stores
    one state per record and recomputes the steps between, so its memory grows as
    `steps / every + every`: choose `every` near the square root of `steps` for least.

    `record` is part of the compiled program: pass a module-level function, since a
    new lambda compiles anew. Raises `ValueError` unless `steps` is a positive multiple
    of `every`, `key` is threefry's or a fast one, the task has a stimulus for all steps
    and every part does what `advance` asks of it; after the run, if a rule made NaN of
    a signal out of its limits (a compiled program of yours gets it without a word).

    >>> def post(state, signals, changes):
    ...     return signals.post[0]
    >>> task, start = tasks.Constant(jnp.ones(3)), State(None, jnp.ones((1, 3)))
    >>> system = System(task, circuits.Layer(), {"hebb": rules.Hebb(0.5)})
    >>> print(simulate(system, start, jr.key(0), steps=4, every=2, record=post)[1])
    [ 7.5   46.875]
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
    traces = state.traces
    if frozen:
        system = dataclasses.replace(system, rules={}, projections=())
    state, records, strays = _run(system, state, unrolled(key), count, record, thin)
    if strays and concrete(strays, state.synapses):
        _tell_strays(system, strays, state.synapses)
    if frozen:
        state = dataclasses.replace(state, traces=traces)
    return state, records


@eqx.filter_jit
def _run(
    system: System, state: State, key: Array, steps: int, record: Record, every: int
) -> tuple[State, PyTree, Strays]:
    """The compiled run of `simulate`."""
    state = with_traces(system, state)

    def step(carry: tuple[State, Strays]) -> tuple[Any, AbstractSignals, Any]:
        state, strays = carry
        state, signals, changes = advance(system, state, key)
        return (state, _with_strays(system, strays, signals)), signals, changes

    def unseen(carry: tuple[State, Strays], _: None) -> tuple[Any, None]:
        return step(carry)[0], None

    def block(carry: tuple[State, Strays], _: None) -> tuple[Any, PyTree]:
        if every > 1 and record is _nothing:  # the step is compiled once
            return jax.lax.scan(unseen, carry, length=every)
        if every > 1:
            carry, _ = jax.lax.scan(unseen, carry, length=every - 1)
        carry, signals, changes = step(carry)
        return carry, record(carry[0], signals, changes)

    block = jax.checkpoint(block, prevent_cse=False)  # pyright: ignore[reportAssignmentType]
    limits = {(x, y): jnp.nan for x in system.rules for y in system.rules[x].limits()}
    start = state, jax.tree.map(jnp.asarray, limits)
    (state, strays), records = jax.lax.scan(block, start, length=steps // every)
    return state, records, strays


def _with_strays(system: System, strays: Strays, signals: AbstractSignals) -> Strays:
    """The first value of each signal that is out of a rule's limits; NaN while none."""
    found = {}
    for (name, signal), before in strays.items():
        values = system.rules[name].limits()[signal]
        found[name, signal] = before
        if values is SPIKES and not isinstance(signals, LayerSignals):
            continue  # that they are spikes its signals say themselves
        x = jax.lax.stop_gradient(jnp.ravel(getattr(signals, signal, jnp.nan)))
        wrong = jnp.isnan(among(signal, x, values))
        first = jnp.where(wrong.any(), x[jnp.argmax(wrong)], jnp.nan)
        found[name, signal] = jnp.where(jnp.isnan(before), first, before)
    return found


def _tell_strays(system: System, strays: Strays, synapses: Any) -> None:
    """Raise `ValueError` for a signal that was out of limits, if synapses are NaN."""
    found = {where: value for where, value in strays.items() if not np.isnan(value)}
    if found and any(np.isnan(leaf).any() for leaf in jax.tree.leaves(synapses)):
        for (name, signal), value in found.items():
            rule = system.rules[name]
            who = f"rule '{name}' ({type(rule).__name__})"
            read(who, among, signal, value, rule.limits()[signal])
