"""A rule for each of several students."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.random as jr
from jaxtyping import Array, Key

from .._interfaces import AbstractRule, AbstractTrace, stream
from ..signals import SharedSignals


class Separate(AbstractRule):
    """Several students side by side: each entry of the synapses has its own rule.

    Raises `ValueError` unless there is one rule for each.

    Reads `students` (`SharedSignals`), each rule that of its name, and `step`.
    Synapses: a dictionary, by the same names.

    >>> neuron, none = circuits.SpikingNeuron(jnp.ones(3), 0.5), jnp.zeros((1, 3))
    >>> w, circuit = {"a": none[0], "b": none[0] + 1}, circuits.SharedInput(neuron)
    >>> spikes, rule = tasks.Spikes(none, none[0, 0]), Dissipation(1.0)
    >>> _, seen = circuit(circuit.start(w), w, spikes, jr.key(0))
    >>> Separate({"a": Wiener(), "b": rule})(w, seen, jr.key(0))["b"].tolist()
    [-0.5, -0.5, -0.5]
    """

    rules: Mapping[str, AbstractRule]

    def check(self, circuit: Any) -> None:
        for rule in self.rules.values():
            rule.check(circuit)

    def traces(self) -> dict[str, AbstractTrace]:
        return {
            f"{student}.{name}": _OfStudent(trace, student)
            for student, rule in self.rules.items()
            for name, trace in rule.traces().items()
        }

    def __call__(
        self, synapses: Mapping[str, Any], signals: SharedSignals, key: Key[Array, ""]
    ) -> dict[str, Any]:
        names = sorted(synapses) if isinstance(synapses, Mapping) else "one array"
        if names != sorted(self.rules):
            raise ValueError(
                f"`Separate` needs one rule for each of {names}; got "
                f"{sorted(self.rules)}."
            )
        students = {
            name: dataclasses.replace(
                student, step=signals.step, traces=_own(name, signals.traces)
            )
            for name, student in signals.students.items()
        }
        return {
            name: rule(synapses[name], students[name], jr.fold_in(key, stream(name)))
            for name, rule in self.rules.items()
        }


def _own(student: str, traces: Mapping[str, Any]) -> dict[str, Any]:
    """The traces of one student, by their own names."""
    parts = {tuple(name.split(".", 1)): trace for name, trace in traces.items()}
    return {name: trace for (whose, name), trace in parts.items() if whose == student}


class _OfStudent(AbstractTrace):
    """A trace of one student's rule, which reads that student's signals."""

    trace: AbstractTrace
    student: str = eqx.field(static=True)

    @property
    def moves_first(self) -> bool:
        return self.trace.moves_first

    def start(self, synapses: Any, signals: Any) -> Any:
        return self.trace.start(synapses[self.student], self._seen(signals))

    def __call__(self, trace: Any, synapses: Any, signals: Any, change: Any) -> Any:
        own = None if change is None else change[self.student]
        seen = self._seen(signals)
        return self.trace(trace, synapses[self.student], seen, own)

    def _seen(self, signals: SharedSignals) -> Any:
        return dataclasses.replace(signals.students[self.student], step=signals.step)
