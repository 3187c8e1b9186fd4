"""A system, its state, and one step."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, Key, PyTree

from .._arguments import check_kind, check_takes, shape_of
from .._random import check_key
from ._order import after, once
from ._parts import (
    AbstractCircuit,
    AbstractProjection,
    AbstractRule,
    AbstractSignals,
    AbstractTask,
    stream,
    Synapses,
)
from ._told import like, read, tell


PROJECTION = "projection "  # its place follows, in the name of its random stream


class System(eqx.Module):
    """A task, a circuit, a named sum of rules, projections applied in order.

    Raises `ValueError` where a part is not of its kind, where a rule is unstable at the
    circuit's step, or where its name is that of a projection's random stream.

    >>> task = tasks.Constant(jnp.ones(3))
    >>> system = System(task, circuits.Layer(), {"oja": rules.Oja(0.1)})
    >>> start = system.start(jnp.full((1, 3), 0.1), jr.key(0))
    >>> state, _ = simulate(system, start, jr.key(1), steps=100)
    >>> print(jnp.linalg.norm(state.synapses).round(3))
    1.0
    """

    task: AbstractTask
    circuit: AbstractCircuit
    rules: Mapping[str, AbstractRule]
    projections: tuple[AbstractProjection, ...] = ()

    def __check_init__(self) -> None:
        check_kind("`task`", self.task, AbstractTask)
        check_kind("`circuit`", self.circuit, AbstractCircuit)
        must = "`rules` must map names to rules"
        if not isinstance(self.rules, Mapping):
            raise ValueError(f"{must}; got {type(self.rules).__name__}.")
        if not isinstance(self.projections, tuple):
            raise ValueError(
                "`projections` must be a tuple, also of one: (projection,); got "
                f"{type(self.projections).__name__}."
            )
        for i, projection in enumerate(self.projections):
            check_kind(f"`projections`[{i}]", projection, AbstractProjection)
            given = "synapses", "signals", "key"
            check_takes(f"projections[{i}]", projection, *given)
        for name, rule in self.rules.items():
            if not isinstance(name, str):
                raise ValueError(f"{must}; got {name!r}.")
            if name.startswith(PROJECTION):
                raise ValueError(
                    f"`rules`: {name!r} must not begin with {PROJECTION!r}, as the "
                    "random streams of projections do."
                )
            check_kind(f"rules: '{name}'", rule, AbstractRule)
            rule.check(self.circuit)

    def start(self, synapses: Synapses, key: Key[Array, ""]) -> "State":
        """The state before the first step, with these synapses.

        The circuit says what activity is at the start, knowing the first stimulus.
        Raises `ValueError` for synapses that a projection forbids from the start, and
        for a key that is none.
        """
        check_key("key", key)
        for projection in self.projections:
            projection.check(synapses)
        task_key, circuit_key = jr.split(key)
        stimulus = self.task(jnp.zeros((), jnp.int32), task_key)
        activity = self.circuit.start(synapses, stimulus, circuit_key)
        return with_traces(self, State(activity, synapses))


def _as_step(step: Any) -> Array:
    if not jnp.issubdtype(jnp.result_type(step), jnp.integer):
        raise ValueError(f"`step` must be an integer; got {step}.")
    return jnp.asarray(step, jnp.int32)


class State(eqx.Module):
    """All that persists from one step to the next.

    `traces` are those of each rule that has some, by its name in the system; `simulate`
    and `advance` start those that are not there.

    >>> state = State(activity=None, synapses=jnp.ones((2, 3)))
    >>> print(state.step, state.synapses.shape, state.traces)
    0 (2, 3) {}
    """

    activity: Any
    synapses: Synapses
    step: Int[Array, ""] = eqx.field(default=0, converter=_as_step)
    traces: Mapping[str, Mapping[str, PyTree]] = eqx.field(default_factory=dict)


def advance(
    system: System, state: State, key: Key[Array, ""]
) -> tuple[State, AbstractSignals, dict[str, Any]]:
    """Stimulus, activity, every rule at the same synapses, their sum, projections.

    Returns the state after the step, the signals that the rules read and the change
    that each rule made, by name. All random numbers are derived from `key` and the
    step, those of a rule also from its name, so a run may be cut and resumed anywhere
    and dropping one rule leaves the noise of the others as it was.

    Activity and synapses keep their precision: what a circuit, a rule or a projection
    computes in another one is rounded to it. Raises `ValueError`, naming the part, for
    a change that is not shaped like the synapses (nothing broadcasts), activity or
    projected synapses that are not shaped like those before, or a signal that the
    circuit does not offer.

    >>> task = tasks.Constant(jnp.ones(3))
    >>> system = System(task, circuits.Layer(), {"hebb": rules.Hebb(0.5)})
    >>> start = system.start(jnp.ones((1, 3)), jr.key(0))
    >>> state, seen, changes = advance(system, start, jr.key(1))
    >>> print(seen.post, changes["hebb"], state.synapses)
    [3.] [[1.5 1.5 1.5]] [[2.5 2.5 2.5]]
    """
    _check_synapses(state.synapses)
    task_key, circuit_key, rule_key = jr.split(jr.fold_in(key, state.step), 3)
    stimulus = once(system.task(state.step, task_key))
    state = with_traces(system, state)
    activity, signals = _acted(system.circuit, state, stimulus, circuit_key)
    traces = _moved(system, state.traces, state.synapses, signals, None)
    changes = {}
    for name, rule in system.rules.items():
        who, own = _rule(system, name), jr.fold_in(rule_key, stream(name))
        seen = dataclasses.replace(signals, traces=traces.get(name, {}))
        change = read(who, rule, state.synapses, seen, own)
        changes[name] = like(who, "synapses", change, state.synapses)
    ready = after(activity, changes)  # the circuit has read the synapses
    synapses = jax.tree.map(lambda w, *d: w + sum(d), state.synapses, *ready.values())
    for i, project in enumerate(system.projections):
        who = f"the projection {type(project).__name__}"
        own = jr.fold_in(rule_key, stream(f"{PROJECTION}{i}"))
        projected = read(who, project, synapses, signals, own)
        synapses = like(who, "synapses", projected, synapses)
    if traces:
        change = jax.tree.map(jnp.subtract, synapses, state.synapses)
        traces = _moved(system, traces, state.synapses, signals, change)
    return State(activity, synapses, state.step + 1, traces), signals, changes


def with_traces(system: System, state: State) -> State:
    """The state with the traces that the system's rules read, and no others."""
    wanted = {name: rule.traces() for name, rule in system.rules.items()}
    wanted = {name: traces for name, traces in wanted.items() if traces}
    if {k: set(x) for k, x in wanted.items()} == {
        k: set(x) for k, x in state.traces.items()
    }:
        return state

    def seen() -> AbstractSignals:
        key = jr.key(0)
        return _acted(system.circuit, state, system.task(state.step, key), key)[1]

    shapes = eqx.filter_eval_shape(seen)
    empty = lambda x: isinstance(x, jax.ShapeDtypeStruct)
    fill = lambda x: jnp.zeros(x.shape, x.dtype) if empty(x) else x
    signals = jax.tree.map(fill, shapes, is_leaf=empty)
    traces = {
        name: {
            own: state.traces[name][own]
            if own in state.traces.get(name, {})
            else read(_rule(system, name), trace.start, state.synapses, signals)
            for own, trace in traces.items()
        }
        for name, traces in wanted.items()
    }
    return dataclasses.replace(state, traces=traces)


def _moved(
    system: System,
    traces: Mapping[str, Mapping[str, PyTree]],
    synapses: Synapses,
    signals: AbstractSignals,
    change: Any,
) -> dict[str, dict[str, PyTree]]:
    """The traces after those that move first have moved, or after the others have."""
    moved = {}
    for name, own in traces.items():
        who, modules = _rule(system, name), system.rules[name].traces()
        moved[name] = dict(own)
        for part, trace in own.items():
            module = modules[part]
            if module.moves_first is (change is None):
                new = read(who, module, trace, synapses, signals, change)
                its = f"trace '{part}' of {who}"
                moved[name][part] = like(its, "trace before", new, trace)
    return moved


def _check_synapses(synapses: Synapses) -> None:
    """Raise `ValueError` for integers, in which a small change is none."""
    for leaf in jax.tree.leaves(synapses):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise ValueError(
                f"`synapses` must be floating-point arrays; got {shape_of(synapses)}."
            )


def _acted(
    circuit: AbstractCircuit, state: State, stimulus: Any, key: Key[Array, ""]
) -> tuple[Any, AbstractSignals]:
    """What a circuit returns, checked, with the run's step if it counts none itself."""
    who = f"the circuit {type(circuit).__name__}"
    must = f"{who} must return"
    kind = type(circuit).__call__.__annotations__.get("activity")
    if isinstance(kind, type) and issubclass(kind, eqx.Module | tuple):
        check_kind(f"{who}: `activity`", state.activity, kind)
    try:
        found = circuit(state.activity, state.synapses, stimulus, key)
    except AttributeError as error:
        tell(who, error)
    except TypeError as error:
        if type(error) is not TypeError:  # of JAX, which says more
            raise
        none = state.activity is None and "NoneType" in str(error)
        hint = " (its activity is None: let its `start` return one)" if none else ""
        raise ValueError(f"{who}: {error}{hint}") from error
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(f"{must} (activity, signals); got {shape_of(found)}.")
    activity, signals = found
    if not isinstance(signals, AbstractSignals):
        raise ValueError(
            f"{must} signals, an AbstractSignals; got {shape_of(signals)}."
        )
    activity = like(who, "activity", activity, state.activity)
    if signals.step is None:
        signals = dataclasses.replace(signals, step=state.step)
    return activity, signals


def _rule(system: System, name: str) -> str:
    return f"rule '{name}' ({type(system.rules[name]).__name__})"
