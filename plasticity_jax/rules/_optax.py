"""Rules as Optax transformations."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Int, Key, PyTree

from .._arguments import real
from .._interfaces import AbstractRule
from ..signals import LossSignals


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
            raise ValueError(
                "a rule changes synapses: give `params` to `update`, as in "
                "update(gradient, state, params)."
            )
        downhill = jax.tree.map(jnp.negative, updates)
        seen = (jnp.asarray(value), updates, value_fn or _missing, downhill)
        signals = LossSignals(real(1.0), *seen, step=state.step)
        change = rule(params, signals, jr.fold_in(state.key, state.step))
        return change, TransformationState(state.key, state.step + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def _missing(params: PyTree) -> Array:
    raise ValueError("this rule reads the loss: give `value_fn` to `update`.")
