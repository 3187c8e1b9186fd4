"""What every system is made of, and one step of it."""

import abc
import zlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, Key, PyTree


Scalar = Float[Array, ""]
Synapses = PyTree[Float[Array, "..."]]


def real(x: ArrayLike) -> Array:
    """Converter of every hyper-parameter field: an array leaf, never a Python float."""
    return jnp.asarray(x, jnp.result_type(float))


def require(module: eqx.Module, **ranges: tuple[float, float]) -> None:
    """Raise `ValueError` unless the named fields lie in their ranges.

    Traced values pass: a sweep or a gradient is not checked inside the compiled
    program (`sweep` checks every point of every axis before it compiles).
    """
    for name, (low, high) in ranges.items():
        value = getattr(module, name)
        if isinstance(value, Tracer):
            continue
        if not np.all((low <= np.asarray(value)) & (np.asarray(value) <= high)):
            raise ValueError(f"`{name}` must lie in [{low}, {high}]; got {value}.")


class AbstractSignals(eqx.Module):
    """What a circuit lets its rules read at one step; `dt` is the step's length."""

    dt: eqx.AbstractVar[Scalar]


class AbstractTask(eqx.Module):
    """What drives a circuit: a stateless function of the step and a key."""

    @abc.abstractmethod
    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        """The stimulus of step `step`."""


class AbstractCircuit(eqx.Module):
    """How activity moves while the synapses are held fixed."""

    @abc.abstractmethod
    def __call__(
        self, activity: Any, synapses: Any, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Any, AbstractSignals]:
        """The activity after one step, and what the rules may read of it."""


class AbstractRule(eqx.Module):
    """One term of a plasticity equation."""

    @abc.abstractmethod
    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        """The change of every synaptic variable over one step (not a rate)."""


class AbstractProjection(eqx.Module):
    """What is enforced after every update: bounds, scaling, sparsity."""

    @abc.abstractmethod
    def __call__(self, synapses: Any) -> Any:
        """`synapses` brought back into the allowed set."""


class System(eqx.Module):
    """A task, a circuit, a named sum of rules, projections applied in order."""

    task: AbstractTask
    circuit: AbstractCircuit
    rules: Mapping[str, AbstractRule]
    projections: tuple[AbstractProjection, ...] = ()


class State(eqx.Module):
    """All that persists from one step to the next."""

    activity: Any
    synapses: Synapses
    step: Int[Array, ""] = eqx.field(
        default=0, converter=lambda step: jnp.asarray(step, jnp.int32)
    )


def advance(
    system: System, state: State, key: Key[Array, ""]
) -> tuple[State, AbstractSignals, dict[str, Any]]:
    """Stimulus, activity, every rule at the same synapses, their sum, projections.

    Returns the state after the step, the signals that the rules read and the change
    that each rule made, by name. All random numbers are derived from `key` and the
    step, those of a rule also from its name, so a run may be cut and resumed anywhere
    and dropping one rule leaves the noise of the others as it was.
    """
    task_key, circuit_key, rule_key = jr.split(jr.fold_in(key, state.step), 3)
    stimulus = system.task(state.step, task_key)
    activity, signals = system.circuit(
        state.activity, state.synapses, stimulus, circuit_key
    )
    changes = {
        name: rule(state.synapses, signals, jr.fold_in(rule_key, stream(name)))
        for name, rule in system.rules.items()
    }
    synapses = jax.tree.map(lambda w, *d: w + sum(d), state.synapses, *changes.values())
    for project in system.projections:
        synapses = project(synapses)
    return State(activity, synapses, state.step + 1), signals, changes


def stream(name: str) -> int:
    """A rule's random stream follows its name, not its place among the rules."""
    return zlib.crc32(name.encode())
