"""The kinds of parts: signals, tasks, circuits, traces, rules, projections."""

import abc
import dataclasses
import zlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, Key, PyTree

from .._arguments import fill_array_fields, shape_of


SPIKES = (0.0, 1.0)  # the limits of rates that are read as spikes
Scalar = Float[Array, ""]
Synapses = PyTree[Float[Array, "..."]]


class AbstractSignals(eqx.Module):
    """What a circuit lets its rules read at one step; `dt` is the step's length.

    `step` counts the steps before this one: those of the run (`State.step`), unless
    the circuit keeps a count of its own. `traces` are those of the rule that reads, by
    name; `advance` fills them in.

    >>> class Seen(AbstractSignals):
    ...     dt: jax.Array = eqx.field(converter=real)
    ...     reward: jax.Array = eqx.field(converter=real)
    >>> seen = Seen(dt=0.001, reward=1)
    >>> print(seen.reward, seen.step, seen.traces)
    1.0 None {}
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
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, type) and issubclass(value, _Part):
                raise ValueError(
                    f"{type(self).__name__}: `{field.name}` must be no class; got "
                    f"{shape_of(value)}."
                )
        fill_array_fields(self)


class AbstractTask(_Part):
    """What drives a circuit: a stateless function of the step and a key.

    >>> class InTurn(AbstractTask):
    ...     def __call__(self, step, key):
    ...         return jax.nn.one_hot(step % 3, 3)
    >>> print(InTurn()(jnp.asarray(4), jr.key(0)))
    [0. 1. 0.]
    """

    @abc.abstractmethod
    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> PyTree:
        """The stimulus of step `step`."""

    def check(self, first: int, steps: int) -> None:
        """Raise `ValueError` unless there is a stimulus for `steps` from `first` on."""


class AbstractCircuit(_Part):
    """How activity moves while the synapses are held fixed.

    >>> class Leaky(AbstractCircuit):
    ...     def __call__(self, activity, synapses, stimulus, key):
    ...         _, seen = circuits.Layer()(None, synapses, stimulus, key)
    ...         return 0.5 * activity + seen.post, seen
    >>> print(Leaky()(jnp.ones(2), jnp.ones((2, 3)), jnp.ones(3), jr.key(0))[0])
    [3.5 3.5]
    """

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

    >>> class Largest(AbstractTrace):
    ...     moves_first = False
    ...     start = lambda self, synapses, signals: jnp.zeros_like(signals.post)
    ...     def __call__(self, trace, synapses, signals, change):
    ...         return jnp.maximum(trace, signals.post)
    >>> largest = Largest()
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
    """One term of a plasticity equation.

    >>> class Hebb(AbstractRule):
    ...     def __call__(self, synapses, signals, key):
    ...         return 0.5 * jnp.outer(signals.post, signals.pre)
    >>> system = System(tasks.Constant(jnp.ones(3)), circuits.Layer(), {"it": Hebb()})
    >>> print(advance(system, State(None, jnp.ones((2, 3))), jr.key(0))[0].synapses[0])
    [2.5 2.5 2.5]
    """

    @abc.abstractmethod
    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        """The change of every synaptic variable over one step (not a rate)."""

    def traces(self) -> dict[str, AbstractTrace]:
        """What the rule reads as `signals.traces[name]`; a wrapper's are its rule's."""
        return self._with_held({})

    def _with_held(self, own: dict[str, AbstractTrace]) -> dict[str, AbstractTrace]:
        """Traces of a wrapper's `own`, and those of its rules; no name twice."""
        found = dict(own)
        for rule in self._held():
            for name, trace in rule.traces().items():
                if name in found:
                    raise ValueError(
                        f"{type(self).__name__}: two of its rules have a trace "
                        f"'{name}', or it and its rule; give them to the system one "
                        "by one."
                    )
                found[name] = trace
        return found

    def limits(self) -> dict[str, tuple[float, ...]]:
        """The values that signals may have, by name; a wrapper's are its rule's.

        The rule makes NaN of others, and `simulate` says which.
        """
        return {k: v for rule in self._held() for k, v in rule.limits().items()}

    def check(self, circuit: Any) -> None:
        """Raise `ValueError` unless the rule is stable at the circuit's step."""

    def _held(self) -> "list[AbstractRule]":
        """The rules that a wrapper holds."""
        held = [getattr(self, field.name) for field in dataclasses.fields(self)]
        is_rule = lambda x: isinstance(x, AbstractRule)
        return [*filter(is_rule, jax.tree.leaves(held, is_leaf=is_rule))]


class AbstractProjection(_Part):
    """What is enforced after every update: bounds, scaling, sparsity.

    >>> class Whole(AbstractProjection):
    ...     def __call__(self, synapses, signals=None, key=None):
    ...         return jnp.round(synapses)
    >>> print(Whole()(jnp.array([0.2, 1.7])))
    [0. 2.]
    """

    @abc.abstractmethod
    def __call__(self, synapses: Any, signals: Any = None, key: Any = None) -> Any:
        """`synapses` brought back into the allowed set.

        `signals` are those that the rules read in this step, `key` is its own.
        """

    def check(self, synapses: Any) -> None:
        """Raise `ValueError` for synapses that a run must not begin with."""


def stream(name: str) -> int:
    """A rule's random stream follows its name, not its place among the rules."""
    return zlib.crc32(name.encode())
