"""Choices of a neuron that learns from what it earns."""

from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._arguments import real, shape_of, whole
from .._interfaces import AbstractCircuit, AbstractRule, Scalar, State, System
from .._simulate import simulate
from ..circuits import Layer
from ..signals import LayerSignals
from ..tasks import Recorded
from ._trajectories import Trajectories


Matrix = Float[Array, "post pre"]


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
        task = Recorded({"pre": pre, "earned": earned})
        system, state = System(task, circuit, {"rule": rule}), State(before, weights)
        return simulate(system, state, key, steps=len(pre), record=_chosen)[1]

    keys = jr.split(key, len(inputs))
    choices, rewards = jax.vmap(one)(inputs, earned, keys)
    return Trajectories(inputs, rewards, choices=choices[:, :, None])
