"""How likely a rule makes the activity or the choices of those who learned by it.

A rule is fitted to the activity or to the choices of a layer that learned by it (Mehta
et al. 2024, NeurIPS 37). Given the inputs and rewards that were shown, and the weights
at the start, every later weight is a function of the rule: the likelihood is exact, and
so are its slopes. Weights at the start that are not known are parameters, or intervals
come out too short.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .._arguments import check_finite, check_kind, concrete, positive
from .._interfaces import AbstractRule, Scalar, State, System
from .._simulate import simulate
from ..circuits import Layer
from ..circuits._layer import linear
from ..tasks import Recorded


Matrix = Float[Array, "post pre"]
Transfer = Callable[[Any], Any]
Fields = Float[Array, "trajectory time post"]


class Trajectories(eqx.Module):
    """What independent learners were shown and did; time is the trial.

    `inputs` (trajectory, time, pre) and `rewards` (trajectory, time) must be known; in
    `activity` and `choices` (trajectory, time, post) NaN is what was not seen. Choices
    are 0 or 1. Raises `ValueError` for shapes that do not fit and for other values.

    >>> inputs = jnp.ones((2, 5, 3))  # of two learners, five trials and three inputs
    >>> Trajectories(inputs, choices=jnp.full((2, 5, 1), 0.5))
    Traceback (most recent call last):
    ValueError: `choices` must be 0, 1 or NaN; got 0.5.
    """

    inputs: Float[Array, "trajectory time pre"]
    rewards: Float[Array, "trajectory time"] | None = None
    activity: Fields | None = None
    choices: Fields | None = None

    def __check_init__(self) -> None:
        check_finite("inputs", self.inputs)
        lead = self.inputs.shape[:2]
        for name in ("rewards", "activity", "choices"):
            x = getattr(self, name)
            if x is not None and (
                x.shape[:2] != lead or x.ndim != 2 + (x is not self.rewards)
            ):
                raise ValueError(
                    f"`{name}` must fit `inputs` {self.inputs.shape} in trajectories "
                    f"and time; got {x.shape}."
                )
        if self.rewards is not None:
            check_finite("rewards", self.rewards)
        if self.choices is not None and concrete(self.choices):
            seen = np.asarray(self.choices)
            wrong = seen[~((seen == 0) | (seen == 1) | np.isnan(seen))]
            if wrong.size:
                raise ValueError(f"`choices` must be 0, 1 or NaN; got {wrong.flat[0]}.")


def _field(state: State, signals: Any, changes: Any) -> Array:
    del state, changes
    return signals.field


def predicted_fields(
    rule: AbstractRule, weights: Array, data: Trajectories, transfer: Transfer = linear
) -> Fields:
    """The summed input $Wx$ of every neuron at every trial, before it is learned from.

    `weights` are those at the start, (post, pre) for all trajectories or (trajectory,
    post, pre); the rule reads `transfer` of the field as the activity $y$. A rule that
    draws has no such prediction. Raises `ValueError` for weights of another shape.

    >>> hebb = PolynomialRule([1.0], ((1, 1, 0, 0),), rate=1.0)
    >>> data = Trajectories(jnp.ones((1, 3, 1)))
    >>> predicted_fields(hebb, jnp.ones((1, 1)), data).ravel().tolist()  # doubles
    [1.0, 2.0, 4.0]
    """
    check_kind("`rule`", rule, AbstractRule)
    count, steps, pre = data.inputs.shape
    if weights.shape[-1:] != (pre,) or weights.shape[:-2] not in ((), (count,)):
        raise ValueError(
            f"`weights` must be (post, {pre}) or ({count}, post, {pre}); got "
            f"{weights.shape}."
        )
    course = {"pre": data.inputs}
    if data.rewards is not None:
        course["reward"] = data.rewards

    def one(course: Any, weights: Matrix) -> Array:
        system = System(Recorded(course), Layer(transfer), {"rule": rule})
        start = State(None, weights)
        return simulate(system, start, jr.key(0), steps=steps, record=_field)[1]

    return jax.vmap(one, (0, 0 if weights.ndim == 3 else None))(course, weights)


# --- likelihoods ----------------------------------------------------------------------


def activity_log_likelihood(
    rule: AbstractRule,
    weights: Array,
    deviation: Scalar | float,
    data: Trajectories,
    transfer: Transfer = linear,
) -> Float[Array, " trajectory"]:
    r"""$-\sum[(a - \hat a)^2/2s^2 + \log s\sqrt{2\pi}]$ of each trajectory.

    Activity $\hat a = f(Wx)$ is seen with Gaussian noise of `deviation` $s$.
    Many terms are nearly collinear: then `least_squares` of `predicted_fields` finds
    the maximum that the search of `fit` may not reach.

        def log_likelihood(params, data):
            rule = PolynomialRule(params["coefficients"], monomials(reward=0), 0.01)
            noise = params["deviation"]
            return activity_log_likelihood(rule, params["weights"], noise, data)

    >>> hebb = PolynomialRule([1.0], ((1, 1, 0, 0),), rate=1.0)
    >>> seen = jnp.asarray([[[1.0], [2.0], [4.0]]])  # as predicted
    >>> data = Trajectories(jnp.ones((1, 3, 1)), activity=seen)
    >>> logs = activity_log_likelihood(hebb, jnp.ones((1, 1)), 1.0, data)
    >>> print(f"{logs[0]:.3f}")  # three times log 1 / sqrt(2 pi)
    -2.757
    """
    s = positive("deviation", jnp.asarray(deviation, data.inputs.dtype))
    field = predicted_fields(rule, weights, data, transfer)
    seen, there = _seen("activity", data.activity, field)
    off = seen - jax.vmap(jax.vmap(transfer))(field)
    each = -((off / s) ** 2) / 2 - jnp.log(s) - math.log(2 * math.pi) / 2
    return jnp.sum(jnp.where(there, each, 0.0), axis=(1, 2))


def choice_log_likelihood(
    rule: AbstractRule,
    weights: Array,
    data: Trajectories,
    transfer: Transfer = jax.nn.sigmoid,
) -> Float[Array, " trajectory"]:
    r"""$\sum[d\log p + (1 - d)\log(1 - p)]$ of each trajectory, $p = \sigma(Wx)$.

    Divided by that of weights that stay, and taken from 1, it is the deviance that is
    explained.

    >>> still = PolynomialRule([0.0], ((1, 1, 0, 0),))
    >>> data = Trajectories(jnp.ones((1, 3, 1)), choices=jnp.ones((1, 3, 1)))
    >>> logs = choice_log_likelihood(still, jnp.zeros((1, 1)), data)
    >>> print(f"{logs[0]:.3f}")  # three times log 1/2
    -2.079
    """
    field = predicted_fields(rule, weights, data, transfer)
    chosen, there = _seen("choices", data.choices, field)
    each = chosen * field - jax.nn.softplus(field)
    return jnp.sum(jnp.where(there, each, 0.0), axis=(1, 2))


def _seen(name: str, seen: Array | None, field: Array) -> tuple[Array, Array]:
    """What was seen, 0 where it was not; and where it was."""
    if seen is None:
        raise ValueError(f"`data` must hold `{name}`; got None.")
    if seen.shape != field.shape:
        raise ValueError(f"`{name}` must be shaped {field.shape}; got {seen.shape}.")
    there = ~jnp.isnan(seen)
    return jnp.where(there, seen, 0.0), there
