"""How strongly, and at which steps, another rule acts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Int, Key

from .._arguments import counted, fitted, real, require
from .._interfaces import AbstractRule, Scalar
from ..numerics import tree_scale, tree_unit
from ..signals import SharedSignals, SpikingSignals


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
