r"""Rules with free coefficients, and how likely they make what was seen.

A rule is fitted to the activity or to the choices of a layer that learned by it (Mehta
et al. 2024, NeurIPS 37). Given the inputs and rewards that were shown, and the weights
at the start, every later weight is a function of the rule: the likelihood is exact, and
so are its slopes. Weights at the start that are not known are parameters, or intervals
come out too short.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._arguments import (
    check_finite,
    check_kind,
    concrete,
    positive,
    real,
    require,
    shape_of,
    whole,
)
from .._interfaces import (
    AbstractCircuit,
    AbstractRule,
    AbstractTask,
    Scalar,
    State,
    System,
)
from .._simulate import simulate
from ..circuits import Layer
from ..circuits._layer import linear
from ..signals import LayerSignals


Matrix = Float[Array, "post pre"]
Terms = tuple[tuple[int, int, int, int], ...]
Transfer = Callable[[Any], Any]
Fields = Float[Array, "trajectory time post"]

LETTERS = "xywr"
HIGHEST = 2


# --- rules ----------------------------------------------------------------------------


def monomials(pre: int = 2, post: int = 2, weight: int = 2, reward: int = 2) -> Terms:
    """All terms of a `PolynomialRule` up to these powers, at most 2: 81 of them.

    >>> monomials(pre=1, post=1, weight=0, reward=0)
    ((0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0))
    >>> len(monomials())
    81
    """
    most = {"pre": pre, "post": post, "weight": weight, "reward": reward}
    for name, power in most.items():
        if whole(name, power, 0) > HIGHEST:
            raise ValueError(f"`{name}` must be at most {HIGHEST}; got {power}.")
    return tuple(itertools.product(*(range(x + 1) for x in most.values())))  # pyright: ignore[reportReturnType]


def term_name(powers: tuple[int, ...]) -> str:
    """How a term reads: `x y`, `y^2 w`, or `1`.

    >>> term_name((1, 1, 0, 0)), term_name((0, 2, 1, 0)), term_name((0, 0, 0, 0))
    ('x y', 'y^2 w', '1')
    """
    written = {1: "", 2: "^2"}
    parts = [f"{x}{written[n]}" for x, n in zip(LETTERS, powers, strict=True) if n]
    return " ".join(parts) or "1"


def _row(x: Any) -> Array:
    return jnp.asarray(x, jnp.result_type(float))


class PolynomialRule(AbstractRule):
    r"""$\dot w = \eta\sum_k\theta_k\,x^{a_k}y^{b_k}w^{c_k}r^{d_k}$, powers 0 to 2.

    Mehta et al. 2024. `terms` are the powers $(a, b, c, d)$ of each of the
    `coefficients` $\theta$; what is not among them is 0. Raises `ValueError` for terms
    that are not four powers up to 2, that come twice, or that are not as many as the
    coefficients.
    Reads `pre`, `post`, `dt` and, if a term does, `reward`. Synapses (post, pre).

    >>> oja = PolynomialRule([1.0, -1.0], ((1, 1, 0, 0), (0, 2, 1, 0)), rate=0.5)
    >>> y = jnp.asarray([2.0])
    >>> seen = signals.LayerSignals(jnp.ones(()), jnp.ones(3), y, post=y, slope=y)
    >>> oja(jnp.ones((1, 3)), seen, jr.key(0)).tolist()  # (x y - y^2 w) / 2
    [[-1.0, -1.0, -1.0]]
    """

    coefficients: Float[Array, " term"] = eqx.field(converter=_row)
    terms: Terms = eqx.field(static=True)
    rate: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        allowed = set(itertools.product(range(HIGHEST + 1), repeat=4))
        for term in self.terms:
            if term not in allowed:
                raise ValueError(
                    f"`terms` must be powers (x, y, w, r), each 0 to {HIGHEST}; got "
                    f"{term!r}."
                )
        if len(set(self.terms)) < len(self.terms):
            raise ValueError("`terms` must not come twice.")
        if self.coefficients.shape != (len(self.terms),):
            raise ValueError(
                f"`coefficients` must be one for each of {len(self.terms)} terms; got "
                f"the shape {self.coefficients.shape}."
            )
        require(self, rate=(-np.inf, np.inf))

    def __call__(self, synapses: Matrix, signals: Any, key: Key[Array, ""]) -> Matrix:
        scale = (signals.dt * self.rate).astype(synapses.dtype)
        theta = scale * self.coefficients.astype(synapses.dtype)
        x, y = _powers(signals.pre), _powers(signals.post)
        if max(self._powers_of(3)):
            earned = _powers(_one(signals.reward))
            theta = theta * jnp.stack([earned[term[3]] for term in self.terms])
        w = jnp.stack([synapses**n for n in range(1 + max(self._powers_of(2)))])
        place = np.zeros((len(self.terms), len(w), *(HIGHEST + 1,) * 2))
        for i, (a, b, c, _) in enumerate(self.terms):
            place[i, c, b, a] = 1
        table = jnp.tensordot(theta, jnp.asarray(place, theta.dtype), 1)
        return jnp.sum(w * (y.T[None] @ table @ x[None]), axis=0)

    def _powers_of(self, place: int) -> set[int]:
        return {0, *(term[place] for term in self.terms)}


class NeuralRule(AbstractRule):
    r"""$\dot w = \eta\,f(x, y, w, r)$, $f$ a small network, the same at every synapse.

    `network` takes a vector of four numbers, or of three without `reward`, and returns
    one. Raises `ValueError` where it returns more.
    Reads `pre`, `post`, `dt` and, with `reward`, that. Synapses (post, pre).

    >>> rule = NeuralRule(lambda xyw: xyw[0] * xyw[1], rate=0.5, reward=False)
    >>> y = jnp.asarray([2.0])
    >>> seen = signals.LayerSignals(jnp.ones(()), jnp.ones(3), y, post=y, slope=y)
    >>> rule(jnp.ones((1, 3)), seen, jr.key(0)).tolist()  # x y / 2
    [[1.0, 1.0, 1.0]]
    """

    network: Callable[[Any], Any]
    rate: Scalar = eqx.field(default=1.0, converter=real)
    reward: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        require(self, rate=(-np.inf, np.inf))

    def __call__(self, synapses: Matrix, signals: Any, key: Key[Array, ""]) -> Matrix:
        parts = [signals.pre[None], signals.post[:, None], synapses]
        parts += [_one(signals.reward)[None, None]] if self.reward else []
        read = jnp.stack([jnp.broadcast_to(x, synapses.shape) for x in parts], -1)
        found = jax.vmap(jax.vmap(self.network))(read)
        if found.size != synapses.size:
            raise ValueError(
                "`network` must return one number for a synapse; got the shape "
                f"{found.shape[2:]}."
            )
        return signals.dt * self.rate * found.reshape(synapses.shape)


def _powers(x: Array) -> Array:
    return jnp.stack([jnp.ones_like(x), x, x**2])


def _one(reward: Array) -> Array:
    if jnp.ndim(reward):
        raise ValueError(f"`reward` must be one number; got shape {jnp.shape(reward)}.")
    return reward


# --- what was seen --------------------------------------------------------------------


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


class _Shown(AbstractTask):
    """A recorded course of stimuli, along the leading axis."""

    course: Any

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Any:
        del key
        return jax.tree.map(lambda x: x[step], self.course)


def _field(state: State, signals: Any, changes: Any) -> Array:
    del state, changes
    return signals.field


def predicted_fields(
    rule: AbstractRule, weights: Array, data: Trajectories, transfer: Transfer = linear
) -> Fields:
    """The summed input $Wx$ of every neuron at every trial, before it is learned from.

    `weights` are those at the start, (post, pre) for all trajectories or (trajectory,
    post, pre); the rule reads `transfer` of the field as the activity $y$. A rule that
    draws has no such prediction.

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
        system = System(_Shown(course), Layer(transfer), {"rule": rule})
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
    seen = _given("activity", data.activity)
    s = positive("deviation", jnp.asarray(deviation, data.inputs.dtype))
    field = predicted_fields(rule, weights, data, transfer)
    there = ~jnp.isnan(_alike("activity", seen, field))
    off = jnp.where(there, seen, 0.0) - jax.vmap(jax.vmap(transfer))(field)
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
    seen = _given("choices", data.choices)
    field = predicted_fields(rule, weights, data, transfer)
    there = ~jnp.isnan(_alike("choices", seen, field))
    chosen = jnp.where(there, seen, 0.0)
    each = chosen * field - jax.nn.softplus(field)
    return jnp.sum(jnp.where(there, each, 0.0), axis=(1, 2))


def _given(name: str, seen: Array | None) -> Array:
    if seen is None:
        raise ValueError(f"`data` must hold `{name}`; got None.")
    return seen


def _alike(name: str, seen: Array, field: Array) -> Array:
    if seen.shape != field.shape:
        raise ValueError(f"`{name}` must be shaped {field.shape}; got {seen.shape}.")
    return seen


# --- learners that choose -------------------------------------------------------------


class _Chooser(AbstractCircuit):
    """A neuron that accepts an input or not, and compares what it earns with before."""

    window: int = eqx.field(static=True)
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __call__(
        self, activity: Array, synapses: Matrix, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Array, LayerSignals]:
        chance = jax.nn.sigmoid(synapses @ stimulus["pre"])
        chosen = (jr.uniform(key, chance.shape, chance.dtype) < chance)[0]
        reward = jnp.where(chosen, stimulus["earned"], 0.0)
        shown = {"pre": stimulus["pre"], "reward": reward - jnp.mean(activity)}
        layer = Layer(jax.nn.sigmoid, self.dt)
        _, signals = layer(None, synapses, {**shown, "choice": chosen}, key)
        return jnp.roll(activity, 1).at[0].set(reward), signals


def _chosen(state: State, signals: Any, changes: Any) -> tuple[Array, Array]:
    del state, changes
    return signals.choice, signals.reward


def behave(
    rule: AbstractRule,
    weights: Matrix,
    inputs: Float[Array, "trajectory time pre"],
    earned: Float[Array, "trajectory time"],
    key: Key[Array, ""],
    *,
    window: SupportsIndex = 10,
) -> Trajectories:
    r"""Choices of a neuron that learns by `rule`, trial by trial.

    It accepts an input with probability $\sigma(Wx)$ and then earns what is `earned`
    there, else nothing. The rule reads this less the mean of the last `window` trials,
    nothing before the first. Raises `ValueError` for more than one neuron.

    >>> still = PolynomialRule([0.0], ((1, 1, 0, 0),))
    >>> sure = 100.0 * jnp.ones((1, 1))
    >>> data = behave(still, sure, jnp.ones((1, 3, 1)), jnp.ones((1, 3)), jr.key(0))
    >>> print(data.choices.ravel(), *(f"{x:.1f}" for x in data.rewards[0]))
    [1. 1. 1.] 1.0 0.9 0.8
    """
    if weights.shape != (1, inputs.shape[-1]):
        raise ValueError(
            f"`weights` must be (1, {inputs.shape[-1]}); got {weights.shape}."
        )
    if earned.shape != inputs.shape[:2]:
        raise ValueError(
            f"`earned` must be shaped {inputs.shape[:2]}; got {shape_of(earned)}."
        )
    circuit = _Chooser(whole("window", window, 1))
    before = jnp.zeros(circuit.window, weights.dtype)

    def one(pre: Array, earned: Array, key: Key[Array, ""]) -> tuple[Array, Array]:
        system = System(_Shown({"pre": pre, "earned": earned}), circuit, {"rule": rule})
        state, steps = State(before, weights), len(pre)
        return simulate(system, state, key, steps=steps, record=_chosen)[1]

    keys = jr.split(key, len(inputs))
    choices, rewards = jax.vmap(one)(inputs, earned, keys)
    return Trajectories(inputs, rewards, choices=choices[:, :, None])
