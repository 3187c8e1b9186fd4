"""What a network still knows: accuracies over a stream of tasks, and information."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from .._arguments import admit, check_indices, concrete, floating, PLAIN
from .._interfaces import Scalar


Accuracies = Float[Array, "*batch after task"]


@floating
def mean_accuracy(accuracies: Accuracies) -> Float[Array, "*batch"]:
    """Mean over tasks after the last one; entry (t, j) is task j after learning t.

    >>> accuracies = [[0.9, 0.1], [0.6, 0.8]]  # of two tasks, after each of them
    >>> print(f"{mean_accuracy(accuracies):.2f}")
    0.70
    """
    _check_accuracies(accuracies)
    return jnp.mean(accuracies[..., -1, :], axis=-1)


@floating
def forgetting(accuracies: Accuracies) -> Float[Array, "*batch"]:
    """Best accuracy before the last task less that after it, mean over older tasks.

    Raises `ValueError` for a single task, and unless each is learned once, in turn.

    >>> accuracies = [[0.9, 0.1], [0.6, 0.8]]  # of two tasks, after each of them
    >>> print(f"{forgetting(accuracies):.2f}")
    0.30
    """
    _check_accuracies(accuracies, square=True)
    if accuracies.shape[-1] < 2:
        raise ValueError("forgetting needs at least 2 tasks; got 1.")
    before = jnp.max(accuracies[..., :-1, :-1], axis=-2)
    return jnp.mean(before - accuracies[..., -1, :-1], axis=-1)


@floating
def learning_accuracy(accuracies: Accuracies) -> Float[Array, "*batch"]:
    """Accuracy of each task right after it was learned, mean over tasks.

    Raises `ValueError` unless each is learned once, in turn.

    >>> accuracies = [[0.9, 0.1], [0.6, 0.8]]  # of two tasks, after each of them
    >>> print(f"{learning_accuracy(accuracies):.2f}")
    0.85
    """
    _check_accuracies(accuracies, square=True)
    return jnp.mean(jnp.diagonal(accuracies, axis1=-2, axis2=-1), axis=-1)


def _check_accuracies(accuracies: Accuracies, square: bool = False) -> None:
    shape = accuracies.shape
    if len(shape) < 2 or 0 in shape or (square and shape[-2] != shape[-1]):
        raise ValueError(
            f"`accuracies` need the axes (after, task){', as many of both' * square}; "
            f"got shape {shape}."
        )


@floating
def mutual_information(
    outputs: Float[Array, "sample label"], labels: Integer[Array, " sample"]
) -> Scalar:
    r"""$I(X; Y) = \sum_{xy}P(x)P(y|x)\log_2[P(y|x)/P(y)]$ in bits.

    `outputs` are probabilities of each label (soft), or one-hot decisions (hard);
    $P(y|x)$ is their mean over the samples of class x. Absent classes and impossible
    outputs count nothing. `labels` count from 0. Raises `ValueError` for labels without
    an output, rows of outputs that are not probabilities with the sum 1 (NaN stays
    NaN), and another number of labels than of samples; traced ones give NaN.

    >>> labels = jnp.array([0, 1, 0, 1])
    >>> sure, guess = jnp.eye(2)[labels], jnp.full((4, 2), 0.5)
    >>> print(mutual_information(sure, labels), mutual_information(guess, labels))
    1.0 0.0
    """
    if not labels.size:
        raise ValueError("`labels` must hold a label at least; got none.")
    count = outputs.shape[1]
    check_indices("labels", labels, count, "outputs")
    _check_rows(outputs)
    labels = labels.astype(jnp.int32)
    classes = jnp.arange(count, dtype=jnp.int32)
    members = (labels[None] == classes[:, None]).astype(outputs.dtype)
    joint = members @ outputs / len(labels)
    prior = jnp.sum(members, axis=1) / len(labels)
    product = prior[:, None] * jnp.sum(joint, axis=0)[None]
    none = (joint == 0) | (product == 0)  # false of NaN
    ratio = jnp.where(none, 1.0, joint) / jnp.where(none, 1.0, product)
    bits = jnp.sum(jnp.where(none, 0.0, joint * jnp.log2(ratio)))
    slack = _slack(outputs)
    uneven = jnp.any(jnp.abs(jnp.sum(outputs, axis=1) - 1) > slack)
    bits = jnp.where(uneven, jnp.nan, bits)  # traced ones; the others are refused
    outside = jnp.any((labels < 0) | (labels >= count))
    return admit("labels", bits, outside, f"lie in [0, {count - 1}]")


def _slack(outputs: Float[Array, "sample label"]) -> float:
    """How far from 1 rounding may bring a sum of probabilities."""
    return max(PLAIN, 8 * float(jnp.finfo(outputs.dtype).eps))


def _check_rows(outputs: Float[Array, "sample label"]) -> None:
    """Raise `ValueError` where a concrete row is plainly not one of probabilities."""
    if not concrete(outputs):
        return
    rows, slack = np.asarray(outputs, float), _slack(outputs)
    wrong = np.any((rows < -slack) | (rows > 1 + slack), axis=1)
    wrong |= np.abs(np.sum(rows, axis=1) - 1) > slack
    if np.any(wrong):
        row = int(np.argmax(wrong))
        raise ValueError(
            "`outputs` must be probabilities, with the sum 1 for each sample; sample "
            f"{row} has {rows[row].tolist()}."
        )
