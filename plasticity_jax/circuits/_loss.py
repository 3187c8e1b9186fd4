"""Circuits that compute a loss of their weights, and one where only time passes."""

from collections.abc import Callable, Sequence
from typing import Any, get_args, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from .._arguments import (
    check_positive_semidefinite,
    check_takes,
    fill_array_fields,
    floating,
    one_of,
    real,
    require,
    shape_of,
)
from .._interfaces import AbstractCircuit, Scalar, Synapses
from ..numerics import row_sums
from ..signals import Elapsed, LossSignals


Weights = tuple[Float[Array, "_ _"], ...]
Output = Literal["identity", "sigmoid"]
Reduction = Literal["mean", "sum_outputs"]
OUTPUTS, REDUCTIONS = get_args(Output), get_args(Reduction)


class Resting(AbstractCircuit):
    """No activity: only time passes, `dt` a step.

    Offers `Elapsed`. Synapses: any pytree; the stimulus is not read and the activity is
    `None`.

    >>> _, seen = Resting(0.5)(None, jnp.ones(3), None, jr.key(0))
    >>> float(seen.dt)
    0.5
    """

    dt: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, dt=(0.0, jnp.inf))

    def __call__(
        self, activity: None, synapses: object, stimulus: object, key: Key[Array, ""]
    ) -> tuple[None, Elapsed]:
        return activity, Elapsed(self.dt)


class LossCircuit(AbstractCircuit):
    """`loss(synapses, stimulus)` and its gradient, at every step.

    With an Optax `optimiser` the activity is its state (`optimiser.init(synapses)` to
    begin with) and the rule `Update` makes the step that it proposes: any optimiser,
    also one that reads the loss (`value`, `grad`, `value_fn`). Else the activity is
    `None`. Raises `ValueError` for another activity, or a loss that is not one number.

    Offers `LossSignals`. Synapses: any pytree, given to `loss` as it is (of factors it
    may read `synapses.weights`); the stimulus is what `loss` takes.

    >>> circuit, w = LossCircuit(lambda w, x: w @ w / 2), jnp.array([1.0, 2.0, 2.0])
    >>> _, seen = circuit(None, w, None, jr.key(0))
    >>> float(seen.loss), seen.gradient.tolist()
    (4.5, [1.0, 2.0, 2.0])
    """

    loss: Callable[[Synapses, Any], Scalar]
    dt: Scalar = eqx.field(default=1.0, converter=real)
    optimiser: optax.GradientTransformation | None = eqx.field(
        default=None, static=True
    )

    def __check_init__(self) -> None:
        check_takes("loss", self.loss, "synapses", "stimulus")

    def start(self, synapses: Synapses, stimulus: Any = None, key: Any = None) -> Any:
        """The optimiser's state, if there is one."""
        return None if self.optimiser is None else self.optimiser.init(synapses)

    def __call__(
        self, activity: Any, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Any, LossSignals]:
        loss_at = lambda synapses: one_number(self.loss(synapses, stimulus))
        self._check(activity, synapses)
        loss, gradient = jax.value_and_grad(loss_at)(synapses)
        if self.optimiser is None:
            update = jax.tree.map(jnp.negative, gradient)
        else:
            optimiser = optax.with_extra_args_support(self.optimiser)
            extra = {"value": loss, "grad": gradient, "value_fn": loss_at}
            update, activity = optimiser.update(gradient, activity, synapses, **extra)
        return activity, LossSignals(self.dt, loss, gradient, loss_at, update)

    def _check(self, activity: Any, synapses: Synapses) -> None:
        """Raise `ValueError` unless the activity is the optimiser's state."""
        if self.optimiser is None:
            if activity is not None:
                raise ValueError(
                    "`activity` must be `None`: the circuit has no optimiser; got "
                    f"{shape_of(activity)}."
                )
            return
        fresh = jax.eval_shape(self.optimiser.init, synapses)
        if jax.tree.structure(activity) != jax.tree.structure(fresh):
            raise ValueError(
                "`activity` must be the state of the circuit's optimiser: "
                "State(optimiser.init(synapses), synapses); got "
                f"{shape_of(activity)}."
            )


def one_number(loss: Any) -> Scalar:
    """What a user's `loss` returned; `ValueError` unless it is one real number."""
    number = isinstance(loss, float | np.ndarray | jax.Array) and not jnp.shape(loss)
    if not number or not jnp.issubdtype(jnp.result_type(loss), jnp.floating):
        raise ValueError(
            f"`loss` must return one floating-point number; got {shape_of(loss)}."
        )
    return jnp.asarray(loss)


@floating
def feedforward(
    weights: Sequence[Any],
    inputs: Float[Array, "feature sample"],
    output: Output = "identity",
) -> Float[Array, "output sample"]:
    """Layers of logistic units without biases; one matrix alone is a linear network.

    `weights` are (post, pre) matrices, samples lie along the last axis. `output` is the
    nonlinearity of the last layer. Raises `ValueError` where a layer does not fit.

    >>> weights = (jnp.zeros((2, 3)), jnp.ones((1, 2)))  # hidden rates of 1/2
    >>> feedforward(weights, jnp.ones((3, 4))).tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """
    one_of("output", output, OUTPUTS)
    if not isinstance(weights, tuple | list) or not weights:
        raise ValueError(
            "`weights` must be a tuple of matrices (post, pre), one at least; got "
            f"{shape_of(weights)}."
        )
    weights = [_layer(matrix, inputs) for matrix in weights]
    sizes = inputs.shape[:1] if inputs.ndim == 2 else ()
    for matrix in weights:
        if matrix.ndim != 2 or matrix.shape[1:] != sizes:
            raise ValueError(
                "`weights` (post, pre) and `inputs` (feature, sample) must fit, layer "
                f"by layer; got {shape_of(weights)} and {inputs.shape}."
            )
        sizes = matrix.shape[:1]
    for matrix in weights[:-1]:
        inputs = jax.nn.sigmoid(matrix @ inputs)
    outputs = weights[-1] @ inputs
    return jax.nn.sigmoid(outputs) if output == "sigmoid" else outputs


@floating
def _layer(weights: Float[Array, "..."], inputs: Float[Array, "..."]) -> Array:
    """An array of floats; of integers or lists, in the precision of the inputs."""
    return weights


class SquaredError(eqx.Module):
    """Squared error of a feedforward network, averaged over samples and outputs.

    The stimulus is a pair of inputs (feature, sample) and targets (output, sample).
    `reduction="sum_outputs"` sums over the outputs instead. Raises `ValueError` unless
    targets are shaped like the outputs.

    >>> weights, batch = (jnp.ones((2, 3)),), (jnp.ones((3, 4)), jnp.ones((2, 4)))
    >>> float(SquaredError()(weights, batch))  # outputs of 3, targets of 1
    4.0
    >>> float(SquaredError(reduction="sum_outputs")(weights, batch))
    8.0
    """

    output: Output = eqx.field(default="identity", static=True)
    reduction: Reduction = eqx.field(default="mean", static=True)

    def __check_init__(self) -> None:
        one_of("output", self.output, OUTPUTS)
        one_of("reduction", self.reduction, REDUCTIONS)

    def __call__(self, weights: Weights, batch: tuple[Array, Array]) -> Scalar:
        inputs, targets = batch
        outputs = feedforward(weights, inputs, self.output)
        if jnp.shape(targets) != outputs.shape:
            raise ValueError(
                f"targets must be shaped like the outputs, {outputs.shape}; got "
                f"{jnp.shape(targets)}."
            )
        error = jnp.sum(row_sums((outputs - targets) ** 2)) / targets.size
        return error if self.reduction == "mean" else len(targets) * error


class SecondMomentError(eqx.Module):
    r"""Squared error of a linear network from the inputs' second moment alone.

    $F = \mathrm{Tr}(D C D^\top) / n_{out}$, $D = W - W^*$, $C = XX^\top/n$: what
    `SquaredError` gives on the inputs $X$ with targets $W^* X$, at a cost that does not
    grow with the number of samples. Takes no stimulus. Raises `ValueError` unless the
    second moment is one, and shapes fit: one matrix of weights, like the teacher's.

    >>> loss = SecondMomentError(jnp.eye(3), teacher=jnp.zeros((2, 3)))
    >>> float(loss((jnp.ones((2, 3)),)))  # three squares in either output
    3.0
    """

    second_moment: Float[Array, "feature feature"]
    teacher: Float[Array, "output feature"]
    reduction: Reduction = eqx.field(default="mean", static=True)

    def __check_init__(self) -> None:
        fill_array_fields(self)
        one_of("reduction", self.reduction, REDUCTIONS)
        check_positive_semidefinite("second_moment", self.second_moment)
        shape, count = np.shape(self.teacher), len(self.second_moment)
        if len(shape) != 2 or shape[1] != count:
            raise ValueError(
                f"`teacher` must be a matrix (output, feature) of {count} features; "
                f"got {shape}."
            )

    def __call__(self, weights: Weights, stimulus: None = None) -> Scalar:
        if len(weights) != 1 or weights[0].shape != self.teacher.shape:
            raise ValueError(
                f"`weights` must be a tuple of one matrix {self.teacher.shape}; got "
                f"{shape_of(weights)}."
            )
        difference = weights[0] - self.teacher
        error = jnp.sum((difference @ self.second_moment) * difference)
        return error / len(difference) if self.reduction == "mean" else error
