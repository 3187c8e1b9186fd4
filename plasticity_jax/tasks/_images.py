"""Batches of labelled images, and streams of tasks made from one data set."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8
from numpy import ndarray

from .._interfaces import AbstractTask, real, Scalar


Images = Float[Array, "sample pixel"]
Labels = Int[Array, " sample"]


class ImageBatches(AbstractTask):
    r"""A batch of standardised images and their labels at every step.

    `images` (image, pixel) stay uint8 until they are shown as $(x/$`white`$-m)/s$ with
    `mean` $m$ and `deviation` $s$; `order` (step, sample) holds indices into them and
    starts anew when it ends. `pixels` permutes them: (pixel,), or (task, pixel) with
    the `task` (step, sample) of every sample.
    """

    images: UInt8[Array, "image pixel"]
    labels: Int[Array, " image"]
    order: Int[Array, "step sample"]
    mean: Scalar = eqx.field(default=0.0, converter=real)
    deviation: Scalar = eqx.field(default=1.0, converter=real)
    white: Scalar = eqx.field(default=255.0, converter=real)
    pixels: Array | None = None
    task: Int[Array, "step sample"] | None = None

    def __call__(
        self, step: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[Images, Labels]:
        del key
        now = step % len(self.order)
        chosen = self.order[now]
        shown = standardised(self.images[chosen], self.mean, self.deviation, self.white)
        if self.task is not None:
            assert self.pixels is not None
            places = self.pixels[self.task[now]]
            shown = jnp.take_along_axis(shown, places, axis=1)
        elif self.pixels is not None:
            shown = shown[:, self.pixels]
        return shown, self.labels[chosen]


def standardised(
    images: UInt8[Array, "*shape"], mean: Scalar, deviation: Scalar, white: Scalar
) -> Float[Array, "*shape"]:
    r"""$(x/$`white`$-$`mean`$)/$`deviation` as floating-point numbers."""
    return (images.astype(mean.dtype) / white - mean) / deviation


def batch_orders(
    indices: Int[ndarray | Array, " image"],
    batch: int,
    epochs: int,
    key: Key[Array, ""],
) -> Int[Array, "step sample"]:
    """`indices` in fresh random order every epoch, cut into batches.

    What does not fill a batch is dropped. Raises `ValueError` if nothing fills one.
    """
    if not 1 <= batch <= len(indices):
        raise ValueError(
            f"`batch` must lie between 1 and {len(indices)} images; got {batch}."
        )
    steps = len(indices) // batch
    draw = lambda key: jr.permutation(key, jnp.asarray(indices, jnp.int32))
    epoch = lambda key: draw(key)[: steps * batch].reshape(steps, batch)
    return jax.vmap(epoch)(jr.split(key, epochs)).reshape(epochs * steps, batch)


def split_by_class(
    labels: Int[ndarray, " image"], groups: Sequence[Sequence[int]]
) -> list[Int[ndarray, " some"]]:
    """Indices of the images of every group of classes, a task each.

    Raises `ValueError` if a class of a group has no image, or belongs to two groups.
    """
    labels = np.asarray(labels)
    named = [int(c) for group in groups for c in group]
    absent = sorted(set(named) - set(np.unique(labels).tolist()))
    if absent or len(set(named)) != len(named):
        raise ValueError(
            f"the task split {[list(group) for group in groups]} does not match the "
            f"labels {np.unique(labels).tolist()}: "
            + (f"no image of class {absent[0]}." if absent else "a class comes twice.")
        )
    return [np.flatnonzero(np.isin(labels, list(group))) for group in groups]


def task_shares(
    tasks: int, samples: int, overlap: float = 0.25
) -> Float[ndarray, "sample task"]:
    """Probability of each task for every sample of a stream without boundaries.

    Each task has `samples` of its own; in half an `overlap` of them at either end it
    mixes with its neighbour, its share linear from one half to one. The first task has
    no beginning of that kind, the last no end.
    """
    mixed = int(samples * overlap / 2)
    ramp = np.linspace(0.5, 1.0, mixed) if mixed > 1 else np.ones(mixed)
    shares = np.zeros((tasks * samples, tasks))
    for task in range(tasks):
        own = np.ones(samples)
        first, last = task * samples, (task + 1) * samples
        if task > 0:
            own[:mixed] = ramp
            shares[first : first + mixed, task - 1] = 1 - ramp
        if task < tasks - 1:
            own[samples - mixed :] = ramp[::-1]
            shares[last - mixed : last, task + 1] = 1 - ramp[::-1]
        shares[first:last, task] = own
    return shares
