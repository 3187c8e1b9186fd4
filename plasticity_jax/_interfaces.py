"""What every system is made of, and one step of it."""

import abc
import dataclasses
import typing
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key, PyTree

from ._arguments import check_kind, fill_array_fields, shape_of


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
    the circuit keeps a count of its own.
    """

    dt: eqx.AbstractVar[Scalar]
    step: Int[Array, ""] | None = eqx.field(default=None, kw_only=True)


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


class AbstractRule(_Part):
    """One term of a plasticity equation."""

    @abc.abstractmethod
    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        """The change of every synaptic variable over one step (not a rate)."""

    def check(self, circuit: Any) -> None:
        """Raise `ValueError` unless the rule is stable at the circuit's step."""


class AbstractProjection(_Part):
    """What is enforced after every update: bounds, scaling, sparsity."""

    @abc.abstractmethod
    def __call__(self, synapses: Any) -> Any:
        """`synapses` brought back into the allowed set."""


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
        for name, rule in self.rules.items():
            if not isinstance(name, str):
                raise ValueError(f"{must}; got {name!r}.")
            check_kind(f"rules: '{name}'", rule, AbstractRule)
            rule.check(self.circuit)

    def start(self, synapses: Synapses, key: Key[Array, ""]) -> "State":
        """The state before the first step, with these synapses.

        The circuit says what activity is at the start, knowing the first stimulus.
        """
        task_key, circuit_key = jr.split(key)
        stimulus = self.task(jnp.zeros((), jnp.int32), task_key)
        return State(self.circuit.start(synapses, stimulus, circuit_key), synapses)


def _as_step(step: Any) -> Array:
    if not jnp.issubdtype(jnp.result_type(step), jnp.integer):
        raise ValueError(f"`step` must be an integer; got {step}.")
    return jnp.asarray(step, jnp.int32)


class State(eqx.Module):
    """All that persists from one step to the next."""

    activity: Any
    synapses: Synapses
    step: Int[Array, ""] = eqx.field(default=0, converter=_as_step)


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
    stimulus = system.task(state.step, task_key)
    activity, signals = _acted(system.circuit, state, stimulus, circuit_key)
    changes = {
        name: _changed(name, rule, state, signals, jr.fold_in(rule_key, stream(name)))
        for name, rule in system.rules.items()
    }
    synapses = jax.tree.map(lambda w, *d: w + sum(d), state.synapses, *changes.values())
    for project in system.projections:
        who = f"the projection {type(project).__name__}"
        synapses = _like(who, "synapses", project(synapses), synapses)
    return State(activity, synapses, state.step + 1), signals, changes


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
    found = circuit(state.activity, state.synapses, stimulus, key)
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


def _changed(
    name: str, rule: Any, state: State, signals: Any, key: Key[Array, ""]
) -> Any:
    """The change that a rule makes, shaped like the synapses and as precise."""
    who = f"rule '{name}' ({type(rule).__name__})"
    try:
        change = rule(state.synapses, signals, key)
    except AttributeError as error:
        if not isinstance(error.obj, AbstractSignals):
            raise
        raise ValueError(
            f"{who} reads the signal `{error.name}`, which {type(error.obj).__name__} "
            f"does not hold{_offers(str(error.name))}."
        ) from error
    return _like(who, "synapses", change, state.synapses)


def _offers(signal: str) -> str:
    """Which circuits offer a signal, as the end of a message."""
    offering = sorted(
        circuit.__name__
        for circuit in _subclasses(AbstractCircuit)
        for kind in typing.get_args(circuit.__call__.__annotations__.get("return"))
        if signal in getattr(kind, "__dataclass_fields__", {})
    )
    return f"; circuits that offer it: {', '.join(offering)}" if offering else ""


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
            f"{shape_of(got)}."
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
