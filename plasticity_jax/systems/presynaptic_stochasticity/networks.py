"""The networks whose weights release, their loss, and what they predict.

Schug, Benzing & Steger 2021, eLife 10:e69884.
"""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key

from ... import Scalar
from ..._arguments import check_indices
from ...synapses import Weights


Pixels = Float[Array, " pixel"]


class Perceptron(eqx.Module):
    r"""Layers of rectified units, the last one linear: $784 \to 200 \to 200 \to C$.

    Weights and biases are uniform in $\pm1/\sqrt{n_{in}}$; biases are `None` without.
    Raises `ValueError` for less than two layers.

    >>> network = Perceptron((4, 3, 2), jr.key(0))
    >>> x = jnp.arange(4.0)
    >>> network(x).shape, bool((network(2 * x) == 2 * network(x)).all())  # no biases
    ((2,), True)
    """

    weights: tuple[Float[Array, "post pre"], ...]
    biases: tuple[Float[Array, " post"], ...] | None

    def __init__(
        self, sizes: tuple[int, ...], key: Key[Array, ""], bias: bool = False
    ) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(
                f"`sizes` must name at least two layers of at least one unit; got "
                f"{sizes}."
            )
        for_weights, for_biases = jr.split(key)
        pairs = list(itertools.pairwise(sizes))
        most = [pre**-0.5 for pre, _ in pairs]
        draw = lambda key, dims: tuple(
            jr.uniform(
                jr.fold_in(key, i), (post, pre)[:dims], minval=-most[i], maxval=most[i]
            )
            for i, (pre, post) in enumerate(pairs)
        )
        self.weights = draw(for_weights, 2)
        self.biases = draw(for_biases, 1) if bias else None

    def activities(self, image: Pixels) -> list[Float[Array, " unit"]]:
        """Every layer's output, logits last."""
        layers, x = [], image
        for i, matrix in enumerate(self.weights):
            x = matrix @ x
            if self.biases is not None:
                x = x + self.biases[i]
            if i < len(self.weights) - 1:
                x = jax.nn.relu(x)
            layers.append(x)
        return layers

    def __call__(self, image: Pixels) -> Float[Array, " label"]:
        return self.activities(image)[-1]


class Convolutional(eqx.Module):
    """Two strided convolutions and a linear readout, for square grey images.

    Raises `ValueError` for images that are not square.

    >>> network = Convolutional(16, 3, jr.key(0))
    >>> x = jnp.arange(16.0)
    >>> network(x).shape, bool((network(2 * x) == 2 * network(x)).all())  # no biases
    ((3,), True)
    """

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    readout: eqx.nn.Linear
    side: int = eqx.field(static=True)

    def __init__(
        self, pixels: int, labels: int, key: Key[Array, ""], channels: int = 8
    ) -> None:
        side = round(pixels**0.5)
        if side * side != pixels:
            raise ValueError(f"images must be square; got {pixels} pixels.")
        keys = jr.split(key, 3)
        conv = lambda i, ins, outs: eqx.nn.Conv2d(
            ins, outs, 3, stride=2, padding=1, use_bias=False, key=keys[i]
        )
        small = -(-side // 4)  # after two strides
        self.first, self.second = conv(0, 1, channels), conv(1, channels, 2 * channels)
        inputs = 2 * channels * small**2
        self.readout = eqx.nn.Linear(inputs, labels, use_bias=False, key=keys[2])
        self.side = side

    def __call__(self, image: Pixels) -> Float[Array, " label"]:
        x = image.reshape(1, self.side, self.side)
        x = jax.nn.relu(self.second(jax.nn.relu(self.first(x))))
        return self.readout(x.reshape(-1))


def check_labels(labels: Any, count: int) -> None:
    """Raise `ValueError` unless labels are integers, concrete ones in [0, `count`).

    >>> check_labels(jnp.asarray([0, 2]), count=2)
    Traceback (most recent call last):
    ValueError: `labels` must lie in [0, 1], of 2 outputs of the network; got 2.
    """
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"`labels` must be integers; got {labels.dtype}.")
    check_indices("labels", labels, count, "outputs of the network")


def known(
    labels: Int[Array, "*shape"], count: int, dtype: Any
) -> Float[Array, "*shape"]:
    """1 for labels in [0, `count`), else NaN: as a factor it spoils slopes too.

    >>> known(jnp.asarray([0, 1, 2]), count=2, dtype=float).tolist()
    [1.0, 1.0, nan]
    """
    there = (labels >= 0) & (labels < count)
    return jnp.where(there, 1.0, jnp.nan).astype(dtype)


def hits(
    chances: Float[Array, "sample label"], labels: Int[Array, " sample"]
) -> Float[Array, " sample"]:
    """1 where the likeliest label is the right one, else 0.

    NaN for outputs that are NaN and for labels without an output.

    >>> chances = jnp.asarray([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    >>> hits(chances, jnp.asarray([0, 1, 2])).tolist()
    [1.0, 0.0, nan]
    """
    chosen = jnp.argmax(chances, axis=1).astype(labels.dtype)
    right = (chosen == labels).astype(chances.dtype)
    lost = jnp.any(jnp.isnan(chances), axis=1)
    valid = known(labels, chances.shape[1], chances.dtype)
    return jnp.where(lost, jnp.nan, right) * valid


class CrossEntropy(eqx.Module):
    """Mean cross-entropy (nats) of a batch: `loss(weights, (images, labels))`.

    `rest` is the network without its weights, from `split_weights`. Raises `ValueError`
    for labels that are not integers, or another number of them than of images, and for
    concrete ones without an output of the network; loss and gradient are NaN for such
    labels where they are traced.

    >>> weights, rest = synapses.split_weights(Perceptron((4, 2), jr.key(0)))
    >>> silent = jax.tree.map(jnp.zeros_like, weights)
    >>> batch = jnp.ones((3, 4)), jnp.asarray([0, 1, 1])
    >>> print(f"{CrossEntropy(rest)(silent, batch):.3f}")  # log 2
    0.693
    """

    rest: Any

    def log_prob(
        self, weights: Weights, image: Pixels, label: Int[Array, ""]
    ) -> Scalar:
        """Log probability of one label, unchecked."""
        return jax.nn.log_softmax(eqx.combine(weights, self.rest)(image))[label]

    def __call__(
        self,
        weights: Weights,
        batch: tuple[Float[Array, "sample pixel"], Int[Array, " sample"]],
    ) -> Scalar:
        images, labels = batch
        if labels.shape != images.shape[:1]:
            raise ValueError(
                "`images` (sample, pixel) need `labels` (sample,); got shapes "
                f"{images.shape} and {labels.shape}."
            )
        logits = jax.vmap(eqx.combine(weights, self.rest))(images)
        check_labels(labels, logits.shape[1])
        here = jnp.arange(logits.shape[1], dtype=labels.dtype)[None] == labels[:, None]
        right = jnp.sum(jnp.where(here, logits, 0.0), axis=1)
        valid = known(labels, logits.shape[1], logits.dtype)
        return jnp.mean(valid * (jax.nn.logsumexp(logits, axis=1) - right))


def predict(
    rest: Any,
    draw: Callable[[Key[Array, ""]], Weights],
    images: Float[Array, "sample pixel"],
    key: Key[Array, ""],
    votes: int = 10,
    batch: int = 100,
) -> Float[Array, "sample label"]:
    """Softmax outputs averaged over `votes` networks drawn anew for every batch.

    `draw(key)` gives the weights of one network; images are tested in batches, in
    order.

    >>> weights, rest = synapses.split_weights(Perceptron((4, 2), jr.key(0)))
    >>> silent = jax.tree.map(jnp.zeros_like, weights)
    >>> predict(rest, lambda key: silent, jnp.ones((3, 4)), jr.key(0), batch=3).tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    count = len(images)
    padded = -(-count // batch) * batch
    filled = jnp.arange(padded) % count
    batches = images[filled].reshape(-1, batch, images.shape[1])

    def outputs(inputs: tuple[Array, Array]) -> Float[Array, "batch label"]:
        shown, key = inputs

        def vote(total: Array, key: Key[Array, ""]) -> tuple[Array, None]:
            network = eqx.combine(draw(key), rest)
            return total + jax.nn.softmax(jax.vmap(network)(shown), axis=1), None

        keys = jr.split(key, votes)
        first = jax.eval_shape(lambda k: vote(jnp.zeros(()), k)[0], keys[0])
        start = jnp.zeros(first.shape, first.dtype)
        return jax.lax.scan(vote, start, keys)[0] / votes

    chances = jax.lax.map(outputs, (batches, jr.split(key, len(batches))))
    return chances.reshape(padded, -1)[:count]
