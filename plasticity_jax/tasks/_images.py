"""Batches of labelled images, and streams of tasks made from one data set."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key
from numpy import ndarray

from .._arguments import check_indices, check_range, concrete, floating, real, whole
from .._interfaces import AbstractTask, Scalar


Images = Float[Array, "sample pixel"]
Labels = Int[Array, " sample"]


class ImageBatches(AbstractTask):
    r"""A batch of standardised images and their labels at every step.

    `images` (image, pixel) stay integers, such as uint8, until they are shown as
    $(x/$`white`$-m)/s$ with `mean` $m$ and `deviation` $s$; `order` (step, sample)
    holds indices into them and starts anew when it ends. `pixels` permutes them:
    (pixel,), or (task, pixel) with the `task` (step, sample) of every sample.

    Raises `ValueError` unless there is a label for each image, an image for each index
    and a permutation for each task; images of a traced index beyond them are NaN, and
    so are those of a traced task (their labels are not).

    >>> images, labels = jnp.array([[0, 255], [255, 0]]), jnp.array([3, 7])
    >>> task = ImageBatches(images, labels, order=jnp.array([[0, 1], [1, 1]]))
    >>> shown, told = task(jnp.array(1), jr.key(0))
    >>> shown.tolist(), told.tolist()
    ([[1.0, 0.0], [1.0, 0.0]], [7, 7])
    """

    images: Integer[Array, "image pixel"]
    labels: Integer[Array, " image"]
    order: Integer[Array, "step sample"]
    mean: Scalar = eqx.field(default=0.0, converter=real)
    deviation: Scalar = eqx.field(default=1.0, converter=real)
    white: Scalar = eqx.field(default=255.0, converter=real)
    pixels: Array | None = None
    task: Integer[Array, "step sample"] | None = None

    def __check_init__(self) -> None:
        _check_integers("images", self.images, 2)
        _check_integers("labels", self.labels, 1)
        _check_integers("order", self.order, 2)
        count, pixels = np.shape(self.images)
        if np.shape(self.labels) != (count,):
            raise ValueError(
                f"`labels` must be one for each of {count} images; got "
                f"{np.shape(self.labels)}."
            )
        check_indices("order", self.order, count, "images")
        check_range("deviation", self.deviation, 1e-30, np.inf)
        check_range("white", self.white, 1e-30, np.inf)
        check_range("mean", self.mean, -1e30, 1e30)
        if self.pixels is None:
            if self.task is not None:
                raise ValueError("`task` needs `pixels` (task, pixel): one row a task.")
            return
        _check_integers("pixels", self.pixels, 1 if self.task is None else 2)
        places = np.shape(self.pixels)
        if places[-1] != pixels:
            raise ValueError(
                f"`pixels` must permute all {pixels} of an image; got {places}."
            )
        if concrete(self.pixels) and np.any(
            np.sort(np.asarray(self.pixels), axis=-1) != np.arange(pixels)
        ):
            raise ValueError(
                f"`pixels` must be permutations: each of 0 to {pixels - 1} once."
            )
        if self.task is not None:
            _check_integers("task", self.task, 2)
            if np.shape(self.task) != np.shape(self.order):
                raise ValueError(
                    f"`task` must be shaped like `order`, {np.shape(self.order)}; got "
                    f"{np.shape(self.task)}."
                )
            check_indices("task", self.task, places[0], "tasks")

    def __call__(
        self, step: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[Images, Labels]:
        now = step % len(self.order)
        chosen = self.order[now].astype(jnp.int32)
        shown = standardised(self.images[chosen], self.mean, self.deviation, self.white)
        there = (chosen >= 0) & (chosen < len(self.images))
        shown = jnp.where(there[:, None], shown, jnp.nan)
        if self.task is not None:
            assert self.pixels is not None  # `__check_init__` saw to it
            task = self.task[now]
            shown = jnp.take_along_axis(shown, self.pixels[task], axis=1)
            there = (task >= 0) & (task < len(self.pixels))
            shown = jnp.where(there[:, None], shown, jnp.nan)
        elif self.pixels is not None:
            shown = shown[:, self.pixels]
        return shown, self.labels[chosen]


def _check_integers(name: str, array: Any, axes: int) -> None:
    """Raise `ValueError` unless an array holds integers along so many axes."""
    kind = jnp.result_type(array)
    if (
        not jnp.issubdtype(kind, jnp.integer)
        or np.ndim(array) != axes
        or 0 in (np.shape(array))
    ):
        raise ValueError(
            f"`{name}` must be integers along {axes} axes, none of them empty; got "
            f"{kind}{np.shape(array)}."
        )


@floating
def standardised(
    images: Integer[Array, "*shape"], mean: Scalar, deviation: Scalar, white: Scalar
) -> Float[Array, "*shape"]:
    r"""$(x/$`white`$-$`mean`$)/$`deviation` as floating-point numbers.

    Raises `ValueError` unless `white` and `deviation` are positive.

    >>> images = jnp.array([0, 255], jnp.uint8)
    >>> standardised(images, mean=0.5, deviation=0.5, white=255.0).tolist()
    [-1.0, 1.0]
    """
    check_range("deviation", deviation, 1e-30, np.inf)
    check_range("white", white, 1e-30, np.inf)
    return (images.astype(mean.dtype) / white - mean) / deviation


def batch_orders(
    indices: Int[ndarray | Array, " image"],
    batch: int,
    epochs: int,
    key: Key[Array, ""],
) -> Int[Array, "step sample"]:
    """`indices` in fresh random order every epoch, cut into batches.

    What does not fill a batch is dropped. Raises `ValueError` if nothing fills one, or
    unless there is an epoch.

    >>> order = batch_orders(np.arange(5), batch=2, epochs=3, key=jr.key(0))
    >>> order.shape, len(set(order[:2].ravel().tolist()))  # an epoch shows 4 of the 5
    ((6, 2), 4)
    """
    _check_integers("indices", indices, 1)
    batch, epochs = whole("batch", batch), whole("epochs", epochs, 1)
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

    Raises `ValueError` if a class of a group has no image, or belongs to two groups, or
    if a group has no class.

    >>> parts = split_by_class(np.array([0, 1, 2, 0]), [[0], [1, 2]])
    >>> [part.tolist() for part in parts]
    [[0, 3], [1, 2]]
    """
    labels = np.asarray(labels)
    _check_integers("labels", labels, 1)
    if not len(groups) or not all(len(group) for group in groups):
        raise ValueError(
            f"every one of the `groups` must have a class; got {list(groups)}."
        )
    named = [whole("groups", c) for group in groups for c in group]
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
    no beginning of that kind, the last no end. Raises `ValueError` unless `overlap`
    lies in [0, 1], or where it rounds to less than 2 samples, which would not mix.

    >>> shares = task_shares(tasks=2, samples=16, overlap=0.5)
    >>> shares[[0, 15, 16, 31]].tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.0, 1.0]]
    """
    tasks, samples = whole("tasks", tasks, 1), whole("samples", samples, 1)
    check_range("overlap", overlap, 0, 1)
    mixed = int(samples * overlap / 2)
    if overlap > 0 and mixed < 2 and tasks > 1:
        raise ValueError(
            f"an `overlap` of {overlap} of {samples} samples rounds to {mixed} at "
            "either end: at least 2 are needed to mix tasks."
        )
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
