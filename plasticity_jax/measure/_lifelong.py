"""What a network still knows: accuracies over a stream of tasks, and information."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._interfaces import Scalar


Accuracies = Float[Array, "*batch after task"]


def mean_accuracy(accuracies: Accuracies) -> Float[Array, "*batch"]:
    """Mean over tasks after the last one; entry (t, j) is task j after learning t."""
    return jnp.mean(accuracies[..., -1, :], axis=-1)


def forgetting(accuracies: Accuracies) -> Float[Array, "*batch"]:
    """Best accuracy before the last task less that after it, mean over older tasks.

    Raises `ValueError` for a single task.
    """
    if accuracies.shape[-1] < 2:
        raise ValueError("forgetting needs at least 2 tasks; got 1.")
    before = jnp.max(accuracies[..., :-1, :-1], axis=-2)
    return jnp.mean(before - accuracies[..., -1, :-1], axis=-1)


def learning_accuracy(accuracies: Accuracies) -> Float[Array, "*batch"]:
    """Accuracy of each task right after it was learned, mean over tasks."""
    return jnp.mean(jnp.diagonal(accuracies, axis1=-2, axis2=-1), axis=-1)


def mutual_information(
    outputs: Float[Array, "sample label"], labels: Int[Array, " sample"]
) -> Scalar:
    r"""$I(X; Y) = \sum_{xy}P(x)P(y|x)\log_2[P(y|x)/P(y)]$ in bits.

    `outputs` are probabilities of each label (soft), or one-hot decisions (hard);
    $P(y|x)$ is their mean over the samples of class x. Absent classes and impossible
    outputs count nothing.
    """
    count = outputs.shape[1]
    classes = jnp.arange(count, dtype=labels.dtype)
    members = (labels[None] == classes[:, None]).astype(outputs.dtype)
    sizes = jnp.sum(members, axis=1)
    joint = members @ outputs / len(labels)
    prior = sizes / len(labels)
    marginal = jnp.sum(joint, axis=0)
    product = prior[:, None] * marginal[None]
    some = (joint > 0) & (product > 0)
    ratio = jnp.where(some, joint, 1.0) / jnp.where(some, product, 1.0)
    return jnp.sum(jnp.where(some, joint * jnp.log2(ratio), 0.0))
