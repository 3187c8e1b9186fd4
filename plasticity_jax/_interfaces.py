"""What every system is made of, and one step of it."""

import abc
import dataclasses
import typing
import warnings
import zlib
from collections.abc import Mapping
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key, PyTree

from ._arguments import check_kind, check_takes, fill_array_fields, shape_of
from ._order import after, once


if jax.__version__ == "0.10.2":
    warnings.warn(
        "JAX 0.10.2 computes wrong numbers on a CPU (rows of vmapped products get the "
        "results of others, jax#39103): install another version.",
        stacklevel=2,
    )

Scalar = Float[Array, ""]
Synapses = PyTree[Float[Array, "..."]]


class AbstractSignals(eqx.Module):
    """What a circuit lets its rules read at one step; `dt` is the step's length.

    `step` counts the steps before this one: those of the run (`State.step`), unless
    the circuit keeps a count of its own. `traces` are those of the rule that reads, by
    name; `advance` fills them in.
    """

    dt: eqx.AbstractVar[Scalar]
    step: Int[Array, ""] | None = eqx.field(default=None, kw_only=True)
    traces: Mapping[str, Any] = eqx.field(default_factory=dict, kw_only=True)

    def absent(self, name: str) -> str:
        """How a signal that is not there may be shown, as the end of a message."""
        del name
        return ""


class _Part(eqx.Module):
    """What a system is made of: floats in its fields are array leaves."""

    def __check_init__(self) -> None:
        fill_array_fields(self)


class AbstractTask(_Part):
    """What drives a circuit: a stateless function of the step and a key."""

    @abc.abstractmethod
    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        """The stimulus of step `step`."""

    def check(self, first: int, steps: int) -> None:
        """Raise `ValueError` unless there is a stimulus for `steps` from `first` on."""


class AbstractCircuit(_Part):
    """How activity moves while the synapses are held fixed."""

    @abc.abstractmethod
    def __call__(
        self, activity: Any, synapses: Any, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Any, AbstractSignals]:
        """The activity after one step, and what the rules may read of it."""

    def start(self, synapses: Any, stimulus: Any = None, key: Any = None) -> Any:
        """The activity before the first step; `None` for a circuit that keeps none."""
        del synapses, stimulus, key


class AbstractTrace(_Part):
    """A variable that a rule reads and that moves by itself.

    It is kept in `State`, and neither noise nor projections touch it. `moves_first`
    says whether it moves before its rule reads it in a step, or after.
    """

    @property
    @abc.abstractmethod
    def moves_first(self) -> bool:
        """Whether it moves before its rule reads it in a step."""

    @abc.abstractmethod
    def start(self, synapses: Any, signals: Any) -> PyTree:
        """The trace before the first step; of `signals` only the shapes count."""

    @abc.abstractmethod
    def __call__(
        self, trace: PyTree, synapses: Any, signals: Any, change: Any
    ) -> PyTree:
        """The trace after one step.

        `synapses` are those before the step, `change` is what became of them in it, all
        rules and projections together; None if the trace moves first.
        """


class AbstractRule(_Part):
    """One term of a plasticity equation."""

    @abc.abstractmethod
    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        """The change of every synaptic variable over one step (not a rate)."""

    def traces(self) -> dict[str, AbstractTrace]:
        """What the rule reads as `signals.traces[name]`; a wrapper's are its rule's."""
        found: dict[str, AbstractTrace] = {}
        held = [getattr(self, field.name) for field in dataclasses.fields(self)]
        is_rule = lambda x: isinstance(x, AbstractRule)
        for rule in filter(is_rule, jax.tree.leaves(held, is_leaf=is_rule)):
            for name, trace in rule.traces().items():
                if name in found:
                    raise ValueError(
                        f"{type(self).__name__}: two of its rules have a trace "
                        f"'{name}'; give them to the system one by one."
                    )
                found[name] = trace
        return found

    def check(self, circuit: Any) -> None:
        """Raise `ValueError` unless the rule is stable at the circuit's step."""


class AbstractProjection(_Part):
    """What is enforced after every update: bounds, scaling, sparsity."""

    @abc.abstractmethod
    def __call__(self, synapses: Any, signals: Any = None, key: Any = None) -> Any:
        """`synapses` brought back into the allowed set.

        `signals` are those that the rules read in this step, `key` is its own.
        """

    def check(self, synapses: Any) -> None:
        """Raise `ValueError` for synapses that a run must not begin with."""


class System(eqx.Module):
    """A task, a circuit, a named sum of rules, projections applied in order.

    Raises `ValueError` where a part is not of its kind, or where a rule is unstable at
    the circuit's step.
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
            check_kind(f"rules: '{name}'", rule, AbstractRule)
            rule.check(self.circuit)

    def start(self, synapses: Synapses, key: Key[Array, ""]) -> "State":
        """The state before the first step, with these synapses.

        The circuit says what activity is at the start, knowing the first stimulus.
        Raises `ValueError` for synapses that a projection forbids from the start.
        """
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
        change = _read(who, rule, state.synapses, seen, own)
        changes[name] = _like(who, "synapses", change, state.synapses)
    ready = after(activity, changes)  # the circuit has read the synapses
    synapses = jax.tree.map(lambda w, *d: w + sum(d), state.synapses, *ready.values())
    for i, project in enumerate(system.projections):
        who = f"the projection {type(project).__name__}"
        own = jr.fold_in(rule_key, stream(f"projection {i}"))
        projected = _read(who, project, synapses, signals, own)
        synapses = _like(who, "synapses", projected, synapses)
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
            else _read(_rule(system, name), trace.start, state.synapses, signals)
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
                after = _read(who, module, trace, synapses, signals, change)
                its = f"trace '{part}' of {who}"
                moved[name][part] = _like(its, "trace before", after, trace)
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
        _tell(who, error)
    if not isinstance(found, tuple) or len(found) != 2:
        raise ValueError(f"{must} (activity, signals); got {shape_of(found)}.")
    activity, signals = found
    if not isinstance(signals, AbstractSignals):
        raise ValueError(
            f"{must} signals, an AbstractSignals; got {shape_of(signals)}."
        )
    activity = _like(who, "activity", activity, state.activity)
    if signals.step is None:
        signals = dataclasses.replace(signals, step=state.step)
    return activity, signals


def _rule(system: System, name: str) -> str:
    return f"rule '{name}' ({type(system.rules[name]).__name__})"


def _read(who: str, function: Any, *given: Any) -> Any:
    """`function(*given)`; what it reads and is not there, or does not fit, is told."""
    try:
        return function(*given)
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError) or str(error).startswith(who):
            raise
        raise ValueError(f"{who}: {error}{_carried(given[0])}") from error
    except AttributeError as error:
        _tell(who, error)


def _tell(who: str, error: AttributeError) -> NoReturn:
    """Raise `ValueError` for a signal that is not there, any other error as it is."""
    if not isinstance(error.obj, AbstractSignals):
        raise error
    name = str(error.name)
    raise ValueError(
        f"{who} reads the signal `{name}`, which {type(error.obj).__name__} does not "
        f"hold{error.obj.absent(name)}{_offers(name)}."
    ) from error


def _carried(synapses: Any) -> str:
    """What a rule for weights lacks that meets synapses of another type."""
    if not isinstance(synapses, eqx.Module):
        return ""
    kind = type(synapses).__name__
    return f" (`rules.Reparametrised` carries rules for weights to a {kind})"


def _offers(signal: str) -> str:
    """Which circuits offer a signal, as the end of a message."""
    offering = {
        circuit.__name__
        for circuit in _subclasses(AbstractCircuit)
        for kind in typing.get_args(circuit.__call__.__annotations__.get("return"))
        if signal in getattr(kind, "__dataclass_fields__", {})
        or signal in getattr(kind, "may_hold", ())
        or signal in getattr(circuit, "offers", ())
    }
    named = ", ".join(sorted(offering))
    return f"; circuits that offer it: {named}" if named else ""


def _subclasses(kind: type) -> set[Any]:
    return {kind}.union(*map(_subclasses, kind.__subclasses__()))


def _like(who: str, what: str, got: PyTree, want: PyTree) -> PyTree:
    """`got` in the precision of `want`; `ValueError` unless trees and shapes agree."""
    (before, kept), (after, made) = map(jax.tree.flatten, (want, got))
    if made != kept or any(
        jnp.shape(x) != jnp.shape(w) or _kind(x) != _kind(w)
        for x, w in zip(after, before, strict=True)
    ):
        raise ValueError(
            f"{who} must return what is shaped like the {what}, {shape_of(want)}; got "
            f"{shape_of(got)}{_carried(want)}."
        )
    rounded = lambda x, w: x if x.dtype == w.dtype else jnp.asarray(x, w.dtype)
    return jax.tree.map(rounded, *jax.tree.map(jnp.asarray, (got, want)))


def _kind(x: Any) -> Any:
    """Real, complex, whole or else: what rounding does not change."""
    dtype = jnp.result_type(x)
    kinds = (jnp.floating, jnp.complexfloating, jnp.integer)
    return next((kind for kind in kinds if jnp.issubdtype(dtype, kind)), dtype)


def stream(name: str) -> int:
    """A rule's random stream follows its name, not its place among the rules."""
    return zlib.crc32(name.encode())
