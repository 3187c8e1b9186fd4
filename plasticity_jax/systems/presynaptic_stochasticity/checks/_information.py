"""Fisher information, steps up and Bayesian updating beside autodiff and draws.

Sections T4, T5, T9 and T10 of the specification.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .... import Scalar
from ...._arguments import real
from ....circuits import PosteriorNetwork
from ....curvature import Fisher
from ....experiment import always, Check, exact, expectation, soon, together
from ....measure import rank_correlation
from ....rules import BayesianDescent
from .. import theory
from ..config import build, Config, images_of
from ..networks import CrossEntropy, Perceptron
from ..training import attend, stream_of


KEY = jr.key(0)
SAMPLES, SIZES = 12, (4, 5, 3)
DRAWS = 1_000_000
Vector = Float[Array, " n"]
Pixels = Float[Array, " pixel"]
Logits = Float[Array, " label"]


def information_checks() -> Iterator[Check]:
    """T4, T5, T9 and T10; in double precision."""
    yield from _bartlett_checks()
    yield from _diagonal_checks()
    yield from _batch_checks()
    yield from _gaussian_checks()
    yield from _other_law_checks()
    yield from _posterior_checks()
    yield from _learned_checks()


# --- T4 -----------------------------------------------------------------------------


LOGITS: dict[str, Callable[[Any, Pixels], Logits]] = {
    "tangent": lambda weights, image: weights[1] @ jnp.tanh(weights[0] @ image),
    "rectified": lambda weights, image: weights[1] @ jax.nn.relu(weights[0] @ image),
}


def _batch() -> tuple[Float[Array, "sample pixel"], Array]:
    for_images, for_labels = jr.split(KEY)
    images = jr.normal(for_images, (SAMPLES, SIZES[0]))
    return images, jr.randint(for_labels, (SAMPLES,), 0, SIZES[-1], jnp.int32)


@eqx.filter_jit
def _information(
    logits: Callable[[Any, Pixels], Logits], weights: Any
) -> tuple[Array, Array, Array]:
    """Fisher matrix, and curvature for the model's own and for observed labels."""
    images, labels = _batch()
    outcomes = jnp.arange(SIZES[-1], dtype=jnp.int32)
    flat, shape = ravel_pytree(weights)
    log_prob = lambda w, x, y: jax.nn.log_softmax(logits(w, x))[y]
    matrix = Fisher(log_prob, weights, images, outcomes=outcomes).matrix()
    bend = jax.hessian(lambda w, x, y: -log_prob(shape(w), x, y))

    def own(image: Pixels) -> Array:
        chances = jax.nn.softmax(logits(weights, image))
        each = jax.vmap(bend, (None, None, 0))(flat, image, outcomes)
        return jnp.tensordot(chances, each, 1)

    observed = jax.vmap(bend, (None, 0, 0))(flat, images, labels)
    mean = lambda x: jnp.mean(x, axis=0)
    return matrix, mean(jax.vmap(own)(images)), mean(observed)


@together
def _bartlett_checks() -> Iterator[Check]:
    weights = Perceptron(SIZES, KEY).weights
    for name, logits in LOGITS.items():
        matrix, own, observed = _information(logits, weights)
        title = f"curvature for the model's own labels, {name} units"
        yield exact(title, "T4a", own, matrix, 1e-12)
        far = jnp.max(jnp.abs(observed - matrix)) > 0.05 * jnp.max(jnp.abs(matrix))
        yield always(f"that for observed labels differs, {name} units", "T4a", far)
    one = Perceptron((SIZES[0], SIZES[-1]), KEY).weights
    matrix, _, observed = _information(lambda weights, image: weights[0] @ image, one)
    yield exact("curvature of one layer, any labels", "T4b", observed, matrix, 1e-12)


@together
def _diagonal_checks() -> Iterator[Check]:
    """Squared slopes of each sample, and factorised by layer."""
    network = Perceptron((4, 5, 6, 3), KEY, bias=True)  # slopes of biases are errors
    images, labels = _batch()

    def loss(network: Perceptron, image: Pixels, label: Array) -> Scalar:
        return -jax.nn.log_softmax(network(image))[label]

    slopes = jax.vmap(jax.grad(loss), (None, 0, 0))(network, images, labels)
    layers = jax.vmap(network.activities)(images)
    inputs = [images, *layers[:-1]]
    factorised = jax.tree.map(theory.layer_fisher, list(slopes.biases), inputs)
    squares = [jnp.mean(w**2, axis=0) for w in slopes.weights]
    for i, (got, want) in enumerate(zip(squares, factorised, strict=True)):
        title = f"mean squared slopes of layer {i + 1}"
        yield exact(title, "T4c", got, want, 1e-12)


@together
def _batch_checks() -> Iterator[Check]:
    slopes = jr.normal(KEY, (4, 3)) + 0.5  # sample, weight
    for batch in (1, 2, 3):
        chosen = np.asarray(list(itertools.product(range(4), repeat=batch)))
        want = theory.batch_square(slopes.mean(0), (slopes**2).mean(0), batch)
        title = f"mean squared slope of all batches of {batch}"
        got = jnp.mean(slopes[chosen].mean(1) ** 2, axis=0)
        yield exact(title, "T4d", got, want, 1e-12)


# --- T5 -----------------------------------------------------------------------------


@together
def _gaussian_checks() -> Iterator[Check]:
    noise = jr.normal(KEY, (DRAWS,))
    for mean, deviation in ((0.0, 0.5), (0.0, 2.0), (0.8, 0.5), (1.5, 0.3), (1.5, 1.2)):
        up = (jnp.abs(mean + deviation * noise) > 1.0).astype(noise.dtype)
        want = theory.up_probability(1.0, mean, deviation)
        title = f"steps up for a mean of {mean:g}, deviation {deviation:g}"
        yield expectation(title, "T5", up, want)
    deviations = jnp.linspace(0.2, 4.0, 200)
    rise = jax.vmap(jax.grad(theory.up_probability, argnums=2), (None, None, 0))
    for mean in (0.0, 0.8, 1.5):
        want = theory.up_slope(1.0, mean, deviations)
        title = f"slope along the deviation, mean {mean:g}"
        yield exact(title, "T5", rise(1.0, mean, deviations), want, 1e-12)
        turn = theory.turning_deviation(1.0, mean)
        agree = jnp.mean((want > 0) == (deviations > turn))
        title = f"sign of that slope on both sides of its turn, mean {mean:g}"
        yield always(title, "T5", agree)
    turn = theory.turning_deviation(1.0, 1.5)
    least = theory.up_probability(1.0, 1.5, turn)
    around = theory.up_probability(1.0, 1.5, deviations)
    yield always("steps up are rarest there, mean 1.5", "T5", jnp.mean(around >= least))
    up = lambda deviation: theory.up_probability(1.0, 0.0, deviation)
    want = jax.scipy.special.erfc(1 / (deviations * jnp.sqrt(jnp.asarray(2.0))))
    yield exact("limit of a small mean", "T5", up(deviations), want, 1e-12)


@together
def _other_law_checks() -> Iterator[Check]:
    noise = jr.laplace(KEY, (DRAWS,))
    for scale in (0.5, 2.0):
        up = (jnp.abs(scale * noise) > 1.0).astype(noise.dtype)
        want = theory.up_probability_laplace(1.0, scale)
        title = f"steps up for a Laplace slope of scale {scale:g}"
        yield expectation(title, "T5", up, want)
    yield expectation("its Fisher information", "T5", (2 * noise) ** 2, 2 * 2.0**2)
    sizes, chance = jnp.asarray([1.5, 3.0, 6.0]), 0.1
    up = theory.up_probability_sparse(1.0, sizes, chance)
    title = "sparse slopes: steps up ignore 16-fold Fisher information"
    yield exact(title, "T5", up, jnp.full(3, chance), 0.0)
    hits = jr.bernoulli(KEY, chance, (DRAWS,)).astype(noise.dtype)
    up = (jnp.abs(6.0 * hits) > 1.0).astype(noise.dtype)
    yield expectation("steps up for sparse slopes", "T5", up, chance)


# --- T9 -----------------------------------------------------------------------------


class _Quadratic(eqx.Module):
    r"""$\frac h2(\theta - c)^2$."""

    curvature: Scalar
    centre: Scalar

    def __call__(self, weights: Vector, stimulus: None) -> Scalar:
        del stimulus
        return jnp.sum(self.curvature / 2 * (weights - self.centre) ** 2)


class _Expectations(eqx.Module):
    """Exact signals: $E_1$ and $E_2$."""

    gradient: Vector
    correlation: Vector


@together
def _posterior_checks() -> Iterator[Check]:
    curvature, centre = 3.0, 0.4
    mean, deviation = jnp.full(5, 1.0), jnp.asarray([0.001, 0.01, 0.1, 1.0, 10.0])
    signals = _Expectations(curvature * (mean - centre), curvature * deviation)
    synapses = {"mean": mean, "deviation": deviation}
    change = BayesianDescent(1.0)(synapses, signals, KEY)
    after = deviation + change["deviation"]
    want = theory.bayesian_deviation(deviation, signals.correlation)
    yield exact("deviation after a step, textbook form", "T9", after, want, 1e-12)
    want = theory.bayesian_precision(deviation, curvature)
    got = after**-2 / want
    yield exact("precision after it, over its closed form", "T9", got, 1.0, 1e-8)
    want = deviation**-2 + curvature * deviation / after
    yield exact("precision is a fixed point", "T9", after**-2 / want, 1.0, 1e-8)
    gain, x = (after**-2 - deviation**-2) / curvature - 1, curvature * deviation**2
    far = jnp.mean((gain > -1e-6) & (gain <= x / 2 + x**2 / 8 + 1e-6))
    yield always("precision gained: Bayes' rule within O(h sigma^2)", "T9", far)
    bayes = theory.gaussian_posterior(mean, deviation, curvature, centre)
    precision = bayes[1] ** -2 / (deviation**-2 + curvature)
    yield exact("Bayes' precision", "T9", precision, 1.0, 1e-12)
    got, want = change["mean"] / (bayes[0] - mean), 1 + curvature * deviation**2
    yield exact("step of the mean over Bayes' step", "T9", got / want, 1.0, 1e-10)
    yield from _drawn_checks(_Quadratic(real(curvature), real(centre)))


def _drawn_checks(loss: _Quadratic) -> Iterator[Check]:
    """$E_1$ and $E_2$ of one draw each."""
    circuit, deviation = PosteriorNetwork(loss, 1.0, 1), jnp.full(1, 0.5)
    synapses = {"mean": jnp.ones(1), "deviation": deviation}

    def draw(key: Key[Array, ""]) -> tuple[Array, Array]:
        _, signals = circuit(None, synapses, None, key)
        return signals.gradient[0], signals.correlation[0]

    first, second = jax.vmap(draw)(jr.split(KEY, 20_000))
    want = loss.curvature * (1 - loss.centre)
    yield expectation("drawn mean slope of a quadratic", "T9", first, want)
    want = loss.curvature * deviation[0]
    yield expectation("drawn correlation with the noise", "T9", second, want)


# --- T10 ----------------------------------------------------------------------------


@soon
def _learned(data: Any, key: Key[Array, ""]) -> dict[str, Scalar]:
    """Rank correlation of posterior variances and plasticities of a trained network."""
    config = Config(protocol="single", up=0.1, down=0.1, epochs=20)
    for_stream, for_build, for_run = jr.split(key, 3)
    task = stream_of(config, data, for_stream).tasks[0]
    system, state, rest = build(config, task, data.train_images.shape[1], for_build)
    synapses: Any = attend(system, state, for_run).synapses
    strength, p = synapses.strength, synapses.probability
    images, labels = jax.vmap(lambda step: task(step, for_run))(jnp.arange(10))
    images, labels = images.reshape(-1, images.shape[-1]), labels.reshape(-1)
    given: dict[str, Any] = {"kind": "empirical", "targets": labels}
    fisher = Fisher(CrossEntropy(rest).log_prob, strength, images, **given).diagonal()
    still, wide = jnp.zeros_like(fisher), jnp.ones_like(fisher)
    narrowed = theory.gaussian_posterior(still, wide, len(labels) * fisher, 0.0)[1]
    variance = ravel_pytree(strength)[1](narrowed**2)
    pairs = zip(jax.tree.leaves(variance), jax.tree.leaves(p), strict=True)
    pairs = [(x.ravel(), 1 - p.ravel()) for x, p in pairs]
    named = {f"layer {i + 1}": pair for i, pair in enumerate(pairs)}
    named["all layers"] = tuple(map(jnp.concatenate, zip(*pairs, strict=True)))
    return {name: rank_correlation(*pair) for name, pair in named.items()}


def _learned_checks() -> Iterator[Check]:
    for name, correlation in _learned(images_of(Config()), KEY).items():
        title = f"{name}: plasticity ranks with posterior variance"
        yield always(title, "T10", correlation > 0)
