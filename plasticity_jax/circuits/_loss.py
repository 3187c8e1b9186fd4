"""Circuits whose only activity is a loss of the weights."""

from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from .._interfaces import AbstractCircuit, real, Scalar, Synapses
from .._signals import LossSignals


Weights = tuple[Float[Array, "_ _"], ...]
Output = Literal["identity", "sigmoid"]
Reduction = Literal["mean", "sum_outputs"]


class LossCircuit(AbstractCircuit):
    """`loss(synapses, stimulus)` and its gradient, at every step.

    With an Optax `optimiser` the activity is its state (`optimiser.init(synapses)` to
    begin with) and the rule `Update` makes the step that it proposes; else the
    activity is `None`.
    """

    loss: Callable[[Synapses, Any], Scalar]
    dt: Scalar = eqx.field(default=1.0, converter=real)
    optimiser: optax.GradientTransformation | None = eqx.field(
        default=None, static=True
    )

    def __call__(
        self, activity: Any, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Any, LossSignals]:
        del key
        loss_at = lambda synapses: self.loss(synapses, stimulus)
        loss, gradient = jax.value_and_grad(loss_at)(synapses)
        if self.optimiser is None:
            update = jax.tree.map(jnp.negative, gradient)
        else:
            update, activity = self.optimiser.update(gradient, activity, synapses)
        return activity, LossSignals(self.dt, loss, gradient, loss_at, update)


def feedforward(
    weights: Weights,
    inputs: Float[Array, "feature sample"],
    output: Output = "identity",
) -> Float[Array, "output sample"]:
    """Layers of logistic units without biases; one matrix alone is a linear network.

    `weights` are (post, pre) matrices, samples lie along the last axis. `output` is the
    nonlinearity of the last layer.
    """
    for matrix in weights[:-1]:
        inputs = jax.nn.sigmoid(matrix @ inputs)
    outputs = weights[-1] @ inputs
    return jax.nn.sigmoid(outputs) if output == "sigmoid" else outputs


class SquaredError(eqx.Module):
    """Squared error of a feedforward network, averaged over samples and outputs.

    The stimulus is a pair of inputs (feature, sample) and targets (output, sample).
    `reduction="sum_outputs"` sums over the outputs instead.
    """

    output: Output = eqx.field(default="identity", static=True)
    reduction: Reduction = eqx.field(default="mean", static=True)

    def __call__(self, weights: Weights, batch: tuple[Array, Array]) -> Scalar:
        inputs, targets = batch
        error = jnp.mean((feedforward(weights, inputs, self.output) - targets) ** 2)
        return error if self.reduction == "mean" else len(targets) * error


class SecondMomentError(eqx.Module):
    r"""Squared error of a linear network from the inputs' second moment alone.

    $F = \mathrm{Tr}(D C D^\top) / n_{out}$, $D = W - W^*$, $C = XX^\top/n$: what
    `SquaredError` gives on the inputs $X$ with targets $W^* X$, at a cost that does not
    grow with the number of samples. Takes no stimulus.
    """

    second_moment: Float[Array, "feature feature"]
    teacher: Float[Array, "output feature"]
    reduction: Reduction = eqx.field(default="mean", static=True)

    def __call__(self, weights: Weights, stimulus: None = None) -> Scalar:
        del stimulus
        difference = weights[0] - self.teacher
        error = jnp.sum((difference @ self.second_moment) * difference)
        return error / len(difference) if self.reduction == "mean" else error
