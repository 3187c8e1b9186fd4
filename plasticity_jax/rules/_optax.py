"""Rules as Optax transformations."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Int, Key, PyTree

from .._arguments import real
from .._interfaces import (
    AbstractCircuit,
    AbstractRule,
    AbstractTask,
    advance,
    Scalar,
    State,
    System,
)
from .._random import undrawn
from ..numerics import masked
from ..signals import LossSignals, ReleaseSignals
from ..synapses._release import log_failure_of, ReleaseBounds, Stochastic


_GIVE = (
    "a rule changes synapses: give `params` to `update`, as in "
    "update(gradient, state, params)."
)


class TransformationState(NamedTuple):
    """What a rule needs to draw fresh noise at every update."""

    key: Key[Array, ""]
    step: Int[Array, ""]


def gradient_transformation(
    rule: AbstractRule, key: Key[Array, ""]
) -> optax.GradientTransformationExtraArgs:
    """`rule`, one of those that read `LossSignals`, as an Optax transformation.

    Updates are the changes of the rule at `dt = 1`, noise from `key` and the number of
    the update. As for Optax's line searches, `update` takes the loss as `value` (else
    it is NaN) and as a function of the parameters, `value_fn`, where the rule reads
    them (probes, Newton's step, the optimal magnitude). Raises `ValueError` for an
    `update` without `params`: the synapses that the rule changes.

    >>> w = gradient = jnp.array([1.0, 2.0, 2.0])
    >>> optimiser = gradient_transformation(Normalised(Descent(), 1.5), jr.key(0))
    >>> change, _ = optimiser.update(gradient, optimiser.init(w), w)
    >>> print(np.array(change).round(3))
    [-0.5 -1.  -1. ]
    """

    def init(params: PyTree) -> TransformationState:
        return TransformationState(key, jnp.zeros((), jnp.int32))

    def update(
        updates: PyTree,
        state: Any,
        params: PyTree = None,
        *,
        value: Any = jnp.nan,
        value_fn: Callable[[PyTree], Array] | None = None,
        **extra: Any,
    ) -> tuple[PyTree, TransformationState]:
        if params is None:
            raise ValueError(_GIVE)
        downhill = jax.tree.map(jnp.negative, updates)
        seen = (jnp.asarray(value), updates, value_fn or _missing, downhill)
        signals = LossSignals(real(1.0), *seen, step=state.step)
        change = rule(params, signals, jr.fold_in(state.key, state.step))
        return change, TransformationState(state.key, state.step + 1)

    return optax.GradientTransformationExtraArgs(init, update)


class ReleaseState(NamedTuple):
    r"""What release probabilities are, and what the optimiser remembers.

    `log_failure` is $\ln(1 - p)$, a tree like the parameters; `step` and `traces` are
    those of the rule that moves it.
    """

    log_failure: PyTree
    inner: Any
    step: Int[Array, ""]
    traces: Mapping[str, Mapping[str, PyTree]]


def released(
    optimiser: optax.GradientTransformation,
    rule: AbstractRule,
    bounds: ReleaseBounds | None = None,
    modulated: bool = True,
    key: Key[Array, ""] | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""`optimiser` for weights that release, with probabilities that `rule` moves.

    The gradient is that of a network of `released_weights`. The optimiser's update is
    times $p_{max} - p$, unless `modulated` is off; then `rule`, one of those that read
    `ReleaseSignals`, moves $p$ by the same gradient and `bounds` hold it (Schug et al.
    2021). All begin at their lower bound, 0.25 unless given. Of plain gradient descent
    it is `StrengthDescent`. What the rule, or others outside, add to it, as a decay, is
    not modulated. Rules that draw do so from `key`. Raises `ValueError` for an `update`
    without `params`, and at the first of a rule that draws without `key`.

    >>> import optax
    >>> optimiser = released(optax.sgd(0.1), rules.ReleasePlasticity(0.1, 0.1, 0.1))
    >>> w, g = jnp.ones(3), jnp.asarray([2.0, 0.0, -2.0])
    >>> change, state = optimiser.update(g, optimiser.init(w), w)
    >>> print(*(f"{-jnp.expm1(x):.3f}" for x in state.log_failure))
    0.325 0.250 0.325
    """
    bounds = ReleaseBounds() if bounds is None else bounds
    key = undrawn() if key is None else key
    optimiser = optax.with_extra_args_support(optimiser)

    def system(updates: PyTree, value: Any) -> System:
        shown = _Shown(jnp.asarray(value), updates)
        return System(shown, _Given(), {"release": rule}, (bounds,))

    def init(params: PyTree) -> ReleaseState:
        at = lambda w: jnp.full(w.shape, log_failure_of(bounds.low), w.dtype)
        synapses = Stochastic(params, log_failure=jax.tree.map(at, params))
        still = system(jax.tree.map(jnp.zeros_like, params), jnp.nan)
        start = still.start(synapses, key)
        inner = optimiser.init(params)
        return ReleaseState(synapses.log_failure, inner, start.step, start.traces)

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, ReleaseState]:
        if params is None:
            raise ValueError(_GIVE)
        change, inner = optimiser.update(updates, state.inner, params, **extra)
        if modulated:
            share = lambda x: jnp.exp(x) - (1 - bounds.high).astype(x.dtype)
            kept = jax.tree.map(share, state.log_failure)
            change = jax.tree.map(masked, kept, change)
        synapses = Stochastic(params, log_failure=state.log_failure)
        before = State(None, synapses, state.step, state.traces)
        given = system(updates, extra.get("value", jnp.nan))
        after, _, changes = advance(given, before, key)
        change = jax.tree.map(jnp.add, change, changes["release"].strength)
        moved = after.synapses.log_failure
        return change, ReleaseState(moved, inner, after.step, after.traces)

    return optax.GradientTransformationExtraArgs(init, update)


def released_weights(params: PyTree, state: Any, key: Key[Array, ""]) -> PyTree:
    r"""$r\bar w/p$, one draw for all parameters, by the probabilities of `released`.

    `state` is that of an optimiser which holds those of one `released`, such as a
    chain. The slope along `params` is $(r/p)\partial\ell/\partial w$, what `released`
    takes; there is none along probabilities. Raises `ValueError` unless one is there.

    >>> import optax
    >>> optimiser = released(optax.sgd(0.1), rules.ReleasePlasticity(0.1, 0.1, 0.1))
    >>> w = jnp.ones(8)
    >>> jnp.unique(released_weights(w, optimiser.init(w), jr.key(0)))
    Array([0., 4.], dtype=float...)
    """
    own = lambda x: isinstance(x, ReleaseState)
    found = [x for x in jax.tree.leaves(state, is_leaf=own) if own(x)]
    if len(found) != 1:
        raise ValueError(
            "`state` must hold the release probabilities of one `released` optimiser; "
            f"got {len(found)}."
        )
    log_failure = jax.lax.stop_gradient(found[0].log_failure)
    return Stochastic(params, log_failure=log_failure).weights(key)


class _Shown(AbstractTask):
    """The loss and gradient that were given."""

    value: Array
    gradient: PyTree

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Any:
        return self.value, self.gradient


class _Given(AbstractCircuit):
    """Offers what it is shown; gates are closed to what has no gradient."""

    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __call__(
        self, activity: None, synapses: Stochastic, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, ReleaseSignals]:
        value, gradient = stimulus
        opened = lambda g, p: jnp.where(g == 0, 0, 1 / p)
        gates = jax.tree.map(opened, gradient, synapses.probability)
        return activity, ReleaseSignals(self.dt, value, gradient, gates)


def _missing(params: PyTree) -> Array:
    raise ValueError("this rule reads the loss: give `value_fn` to `update`.")
