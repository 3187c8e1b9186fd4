"""Rules that change another rule a little."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Int, Key

from .._arguments import check_finite, counted, fitted, real, require, with_array_leaves
from .._interfaces import AbstractRule, AbstractTrace, Scalar, stream, Synapses
from ..numerics import masked, tree_scale, tree_unit
from ..signals import SharedSignals, SpikingSignals
from ..synapses._memory import Cascade, Chain
from ..synapses._reading import weights


class Scaled(AbstractRule):
    """`rule` times `scale`; a decay must be stable before and after.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> Scaled(Descent(), 0.5)(w, seen, key).tolist()
    [-0.5, -1.0, -1.0]
    """

    rule: AbstractRule
    scale: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, scale=(-jnp.inf, jnp.inf))

    def check(self, circuit: Any) -> None:
        self.rule.check(circuit)
        self.rule.check(_Longer(circuit, self.scale))

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(self.scale, self.rule(synapses, signals, key))


class _Longer:
    """A circuit whose step is `times` as long, as rules see it that check it."""

    def __init__(self, circuit: Any, times: ArrayLike) -> None:
        dt = getattr(circuit, "dt", None)
        self.dt = None if dt is None else real(dt) * real(times)
        self._circuit = circuit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._circuit, name)


class Normalised(AbstractRule):
    """`rule`, its whole change (all leaves together) rescaled to length `norm`.

    A change of zero stays zero.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> print(np.array(Normalised(Descent(), 1.5)(w, seen, key)).round(3))
    [-0.5 -1.  -1. ]
    """

    rule: AbstractRule
    norm: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, norm=(0.0, jnp.inf))

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(self.norm, tree_unit(self.rule(synapses, signals, key)))


class Intermittent(AbstractRule):
    r"""`rule` at every `every`-th step only, for the time of `every` steps.

    The rule reads a `dt` that is `every` times as long: noise keeps its diffusion (the
    amplitude grows by $\sqrt{k}$, exact in law for the noise alone), a drift keeps its
    mean; the spikes of a teacher stand for those of all the steps. A rule that does not
    read `dt` makes the change of one step. The first change comes with step `every`;
    `advance` fills in the step. Raises `ValueError` where signals have none, and for
    rules of spike timing, whose pairs need every step.

    Reads `step`, `dt` and what its rule reads. Synapses: those of its rule.

    >>> rules, key = {"decay": Intermittent(Dissipation(0.25), every=2)}, jr.key(0)
    >>> system = System(tasks.Constant(None), circuits.Resting(1.0), rules)
    >>> start, path = system.start(jnp.ones(3), key), lambda now, *_: now.synapses[0]
    >>> simulate(system, start, key, steps=4, record=path)[1].tolist()
    [1.0, 0.5, 0.5, 0.25]
    """

    rule: AbstractRule
    every: int = eqx.field(static=True, converter=counted("every"))

    def __check_init__(self) -> None:
        pairs = lambda x: getattr(x, "every_step", False)
        held = jax.tree.leaves(self.rule, is_leaf=pairs)
        if self.every > 1 and (found := [*filter(pairs, held)]):
            raise ValueError(
                f"`every` must be 1 for {type(found[0]).__name__}, which pairs spikes "
                f"and needs every step; got {self.every}."
            )

    def check(self, circuit: Any) -> None:
        self.rule.check(_Longer(circuit, self.every))

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        if self.every == 1:
            return self.rule(synapses, signals, key)
        who = f"the change of {type(self.rule).__name__}"
        whole = _lengthened(signals, self.every)
        return jax.lax.cond(
            (step_of(signals) + 1) % self.every == 0,
            lambda: fitted(who, self.rule(synapses, whole, key), synapses),
            lambda: jax.tree.map(jnp.zeros_like, synapses),
        )


def _lengthened(signals: Any, times: int) -> Any:
    """Signals of a step that is `times` as long, in which as much happens a second."""
    longer = {"dt": signals.dt * times}
    if isinstance(signals, SpikingSignals):
        longer["target"] = signals.target * times
    if isinstance(signals, SharedSignals):
        longer["students"] = {
            name: _lengthened(student, times)
            for name, student in signals.students.items()
        }
    return dataclasses.replace(signals, **longer)


def step_of(signals: Any) -> Int[Array, ""]:
    """The number of the step; `ValueError` where signals do not have it."""
    if signals.step is None:
        raise ValueError(
            f"{type(signals).__name__} holds no `step`: `advance` fills it in; outside "
            "it give the signals one, `step=jnp.asarray(0)`."
        )
    return signals.step


class Scheduled(AbstractRule):
    """`rule` times `schedule(step)`, one number; `advance` fills in the step.

    A schedule is a module-level function or an Equinox module: a new closure compiles
    anew. A decay must be stable by itself and at the factor of step 0; one that grows
    later is not looked at. Raises `ValueError` where signals have no step, or for a
    schedule of another shape.

    Reads `step`, `dt` and what its rule reads. Synapses: those of its rule.

    >>> early, key = lambda step: jnp.where(step < 2, 1.0, 0.0), jr.key(0)
    >>> rules = {"decay": Scheduled(Dissipation(0.5), early)}
    >>> system = System(tasks.Constant(None), circuits.Resting(1.0), rules)
    >>> start, path = system.start(jnp.ones(3), key), lambda now, *_: now.synapses[0]
    >>> simulate(system, start, key, steps=4, record=path)[1].tolist()
    [0.5, 0.25, 0.25, 0.25]
    """

    rule: AbstractRule
    schedule: Callable[[Int[Array, ""]], Any]

    def check(self, circuit: Any) -> None:
        self.rule.check(circuit)
        self.rule.check(_Longer(circuit, self._factor(jnp.zeros((), jnp.int32))))

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        scale = self._factor(step_of(signals)).astype(signals.dt.dtype)
        return tree_scale(scale, self.rule(synapses, signals, key))

    def _factor(self, step: Int[Array, ""]) -> Array:
        scale = jnp.asarray(self.schedule(step))
        if scale.shape:
            raise ValueError(
                f"`schedule` must return one number; got the shape {scale.shape}."
            )
        return scale


class _AbstractChecked(AbstractRule):
    rule: AbstractRule

    def check(self, circuit: Any) -> None:
        self.rule.check(circuit)

    def changed(self, at: Any, signals: Any, key: Key[Array, ""], like: Any) -> Any:
        """The rule's change at some synapses, shaped like those given."""
        who = f"the change of {type(self.rule).__name__}"
        return fitted(who, self.rule(at, signals, key), like)


class Masked(_AbstractChecked):
    """`rule` where `mask` is one, nothing where it is 0, not even 0 times infinity.

    Without a mask where there is a synapse, which is not 0 (`synapses.Rewired`). Where
    mask and synapse are both 0 there is no synapse: no gradient by it either. Raises
    `ValueError` unless the mask is shaped like the synapses.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([1.0, 2.0, 4.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> rule = Masked(Dissipation(0.5), mask=jnp.array([1.0, 0.0, 1.0]))
    >>> (w + rule(w, seen, key)).tolist()
    [0.5, 2.0, 2.0]
    """

    mask: Synapses | None = eqx.field(default=None, converter=with_array_leaves)

    def __check_init__(self) -> None:
        for leaf in jax.tree.leaves(self.mask):
            check_finite("mask", leaf)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        there = lambda w: jnp.where(w == 0, 0, jnp.ones_like(w))
        mask = jax.tree.map(there, synapses)
        if self.mask is not None:
            mask = fitted("`mask`", self.mask, synapses)
        change = self.changed(_present(mask, synapses), signals, key, synapses)
        return jax.tree.map(masked, mask, change)


class Multiplicative(_AbstractChecked):
    """`rule` times the synapses: noise, or a drift, in proportion to their strength.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([0.0, 1.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> noise = Multiplicative(Wiener())(w, seen, key)  # as large as the weight
    >>> print(np.array(noise / Wiener()(w, seen, key)).round(3))
    [0. 1. 2.]
    """

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        change = self.changed(synapses, signals, key, synapses)
        return jax.tree.map(jnp.multiply, synapses, change)


class Projected(_AbstractChecked):
    """`rule`, its flattened change multiplied by the matrix `projector`.

    An entry that no row of the projector takes is nothing, also where it is infinite.
    Raises `ValueError` unless the matrix has a row and a column for each synapse.

    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key = jnp.array([1.0, 2.0, 3.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> rule = Projected(Dissipation(0.5), jnp.full((3, 3), 1 / 3))  # on the mean
    >>> print(np.array(rule(w, seen, key)).round(3))
    [-1. -1. -1.]
    """

    projector: Float[Array, "w w"] = eqx.field(converter=real)

    def __check_init__(self) -> None:
        check_finite("projector", self.projector)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        flat, unravel = ravel_pytree(synapses)
        if self.projector.shape != (flat.size, flat.size):
            raise ValueError(
                f"`projector` must be a matrix of {flat.size} by {flat.size} synapses; "
                f"got {self.projector.shape}."
            )
        matrix = self.projector.astype(flat.dtype)
        taken = jnp.any(matrix != 0, axis=0)
        present = _present(unravel(taken.astype(flat.dtype)), synapses)
        change = ravel_pytree(self.changed(present, signals, key, synapses))[0]
        return unravel(matrix @ jnp.where(taken | jnp.isfinite(change), change, 0.0))


def _present(mask: Synapses, synapses: Synapses) -> Synapses:
    """The synapses; no gradient by those that do not exist, which are 0 and masked."""

    def present(m: Array, w: Array) -> Array:
        absent = (m == 0) & (w == 0)
        return jnp.where(absent, jax.lax.stop_gradient(w), w)

    return jax.tree.map(present, mask, synapses)


class Reparametrised(_AbstractChecked):
    r"""`rule` for weights $w = f(u)$, carried to the synapses $u$ by the chain rule.

    Synapses say themselves what their weights are (`synapses.AbstractSynapses`: factors
    and releasing ones, at their mean, do), and $\Delta u = J^\top\Delta w$ with the
    Jacobian $J$ of $f$. Or they are amplitudes under an `attenuation` $f$, applied
    entry by entry to arrays, whose slope must not vanish. A natural change then keeps
    its effect on the amplitudes, $\Delta u = \Delta w / f'(u)$; a `euclidean` gradient
    is multiplied by $f'(u)$ instead, so its effect depends on the parametrisation
    (Kreutzer et al. 2022, Eqs. 14 and 44). Raises `ValueError` for a `Cascade` or
    `Chain`, which move by themselves.

    Reads what its rule reads. Synapses: any, as $u$.

    >>> factors = jnp.stack([jnp.ones((2, 3)), jnp.full((2, 3), 2.0)])  # weights of 2
    >>> u, key = synapses.Factored(factors, jnp.zeros(2)), jr.key(0)
    >>> _, seen = circuits.Layer()(None, u, jnp.ones(3), key)  # rates of 6
    >>> Reparametrised(Hebb(0.5))(u, seen, key).factors[:, 0].tolist()
    [[6.0, 6.0, 6.0], [3.0, 3.0, 3.0]]
    """

    attenuation: Callable[[Any], Any] | None = None
    euclidean: bool = eqx.field(default=False, static=True)

    def traces(self) -> dict[str, AbstractTrace]:
        read = weights if self.attenuation is None else self.attenuation
        return {
            name: _OfWeights(trace, read) for name, trace in self.rule.traces().items()
        }

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        if self.attenuation is None:
            _check_slope(synapses)
            read, carry = jax.vjp(weights, synapses)
            change = self.changed(read, signals, key, read)
            return carry(jax.tree.map(lambda d, w: d.astype(w.dtype), change, read))[0]
        ones = jax.tree.map(jnp.ones_like, synapses)
        read, slope = jax.jvp(self.attenuation, (synapses,), (ones,))
        change = self.changed(read, signals, key, read)
        if self.euclidean:
            return jax.tree.map(jnp.multiply, slope, change)
        return jax.tree.map(jnp.divide, change, slope)


def _check_slope(synapses: Any) -> None:
    """Raise `ValueError` for signs, which no small change moves, and for a chain."""
    own = lambda part: isinstance(part, Cascade | Chain)  # dynamics that a slope skips
    for part in filter(own, jax.tree.leaves(synapses, is_leaf=own)):
        raise ValueError(
            "`synapses` of `Reparametrised` must be a parametrisation with a slope; a "
            f"{type(part).__name__} moves by itself: use `rules.{part.reached_by}`."
        )


class _OfWeights(AbstractTrace):
    """A trace of a rule for weights, which are what `read` makes of the synapses."""

    trace: AbstractTrace
    read: Callable[[Any], Any]

    @property
    def moves_first(self) -> bool:
        return self.trace.moves_first

    def start(self, synapses: Any, signals: Any) -> Any:
        return self.trace.start(self.read(synapses), signals)

    def __call__(self, trace: Any, synapses: Any, signals: Any, change: Any) -> Any:
        before = self.read(synapses)
        if change is not None:
            after = self.read(jax.tree.map(jnp.add, synapses, change))
            change = jax.tree.map(jnp.subtract, after, before)
        return self.trace(trace, before, signals, change)


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
