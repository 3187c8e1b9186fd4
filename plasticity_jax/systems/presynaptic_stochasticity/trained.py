"""A network that learned the plain data set, and what is measured of it.

Schug, Benzing & Steger 2021, eLife 10:e69884, Figures 1 to 3.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from ... import Scalar
from ...curvature import Fisher
from ...measure import mutual_information
from ...synapses import Stochastic, uniform_probability, Weights
from ...tasks import standardised
from .config import Config, Source, statistics
from .networks import check_labels, known, predict
from .training import accuracies, learn, Stream, weights_of


class Trained(NamedTuple):
    """A network after learning; replace `synapses` to measure an altered one.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> same = eqx.nn.Identity()  # a network without synapses
    >>> network = Trained(Config(method="ewc"), Source(x, y, x, y, ()), same, same)
    >>> float(accuracy(network, jr.key(0)))  # the brightest pixel
    1.0
    """

    config: Config
    data: Source
    rest: Any
    synapses: Any


def train(config: Config, data: Source, key: Key[Array, ""]) -> Trained:
    """Learn the plain data set; raises `ValueError` for another protocol.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> config = Config(protocol="single", batch=2, rate=0.1, method="deterministic")
    >>> network = train(config, Source(x, y, x, y, ()), jr.key(0))
    >>> float(accuracy(network, jr.key(0)))
    1.0
    """
    if config.protocol != "single":
        raise ValueError(f"`protocol` must be 'single'; got '{config.protocol}'.")
    learned = learn(config, data, key)
    return Trained(config, data, learned.rest, learned.state.synapses)


def strengths(network: Trained) -> Weights:
    r"""Expected strengths $\bar w$ (means of a posterior), without biases.

    Stored strengths are those when released if the network is not normalised.

    >>> known = synapses.Stochastic(jnp.full((1, 2), 4.0), jnp.full((1, 2), 0.25))
    >>> network = Trained(Config(normalised=False), None, None, known)
    >>> strengths(network).tolist()  # when released, times probability
    [[1.0, 1.0]]
    """
    config, synapses = network.config, network.synapses
    if config.method == "bgd":
        return synapses["mean"]
    if not config.releases:
        return eqx.filter(synapses, lambda x: eqx.is_inexact_array(x) and x.ndim >= 2)
    if config.normalised:
        return synapses.strength
    used = synapses.probability
    if config.method != "presynaptic":
        used = uniform_probability(used, config.fixed_release)
    return jax.tree.map(jnp.multiply, synapses.strength, used)


def probabilities(network: Trained) -> Weights:
    """Release probabilities; 1 in a deterministic network.

    >>> network = Trained(Config(method="ewc"), None, None, jnp.asarray([[3.0, -2.0]]))
    >>> probabilities(network).tolist()
    [[1.0, 1.0]]
    """
    if network.config.releases:
        return network.synapses.probability
    return uniform_probability(strengths(network), 1.0)


def flat(weights: Weights) -> Float[Array, " synapse"]:
    """All layers of a tree in one row.

    >>> flat((jnp.ones((1, 2)), jnp.zeros((2, 1)))).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    return ravel_pytree(weights)[0]


def energy(network: Trained) -> Scalar:
    r"""$\sum|\bar w|$ over all weight matrices.

    >>> network = Trained(Config(method="ewc"), None, None, jnp.asarray([[3.0, -2.0]]))
    >>> float(energy(network))
    5.0
    """
    return jnp.sum(jnp.abs(flat(strengths(network))))


def neuronal_energy(network: Trained, key: Key[Array, ""]) -> Scalar:
    """Summed activity of all hidden units, mean over test images and networks.

    >>> from plasticity_jax.systems.presynaptic_stochasticity import Perceptron
    >>> x, y, key = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2), jr.key(0)
    >>> units = jax.tree.map(jnp.ones_like, Perceptron((2, 3, 2), key))  # see 1 - 1
    >>> network = Trained(Config(method="ewc"), Source(x, y, x, y, ()), units, units)
    >>> float(neuronal_energy(network, key))
    0.0
    """
    images, _ = test_set(network)

    def active(key: Key[Array, ""]) -> Scalar:
        weights = weights_of(network.config, network.synapses, key)
        realised = eqx.combine(weights, network.rest)
        hidden = jax.vmap(realised.activities)(images)[:-1]
        return sum((jnp.sum(layer) for layer in hidden), jnp.zeros(())) / len(images)

    votes = network.config.votes if network.config.releases else 1
    return jnp.mean(jax.lax.map(active, jr.split(key, votes)))


def information(network: Trained, key: Key[Array, ""]) -> Scalar:
    """Bits about the label in the outputs of one sampled network (soft; Box 1).

    As in the published code the network is drawn anew for every test batch.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> same = eqx.nn.Identity()  # says the right label with p = 1 / (1 + 1 / e^2)
    >>> network = Trained(Config(method="ewc"), Source(x, y, x, y, ()), same, same)
    >>> print(f"{information(network, jr.key(0)):.2f}")  # 1 - H(p)
    0.47
    """
    return mutual_information(outputs(network, key, 1), network.data.test_labels)


def outputs(
    network: Trained, key: Key[Array, ""], votes: int
) -> Float[Array, "sample label"]:
    """Softmax outputs at the test images, averaged over `votes` sampled networks.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> same = eqx.nn.Identity()  # logits of 1 and -1
    >>> network = Trained(Config(method="ewc"), Source(x, y, x, y, ()), same, same)
    >>> print(*(f"{p:.2f}" for p in outputs(network, jr.key(0), votes=1)[0]))
    0.88 0.12
    """
    draw = lambda key: weights_of(network.config, network.synapses, key)
    return predict(network.rest, draw, test_set(network)[0], key, votes)


def accuracy(network: Trained, key: Key[Array, ""]) -> Scalar:
    """Test accuracy of the mean output of `votes` sampled networks.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.asarray([0, 0])
    >>> same = eqx.nn.Identity()  # the brightest pixel
    >>> network = Trained(Config(method="ewc"), Source(x, y, x, y, ()), same, same)
    >>> float(accuracy(network, jr.key(0)))  # right with the first image
    0.5
    """
    config, data = network.config, network.data
    everything = jnp.ones((1, len(data.test_labels)))
    stream = Stream([], data.test_labels, everything, None)
    return accuracies(config, stream, data, network.rest, network.synapses, key)[0]


def with_probability(network: Trained, probability: Weights) -> Trained:
    """The same expected strengths, released with another probability.

    >>> one = jnp.ones((1, 2))
    >>> network = Trained(Config(), None, None, synapses.Stochastic(one, 0.25 * one))
    >>> reliable = with_probability(network, one)
    >>> strengths(reliable).tolist(), probabilities(reliable).tolist()
    ([[1.0, 1.0]], [[1.0, 1.0]])
    """
    synapses = Stochastic(network.synapses.strength, probability)
    return network._replace(synapses=synapses)


def test_set(
    network: Trained,
) -> tuple[Float[Array, "sample pixel"], Int[Array, " sample"]]:
    """Standardised test images and their labels.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> network = Trained(Config(), Source(x, y, x, y, ()), None, None)
    >>> images, labels = test_set(network)
    >>> images.tolist(), labels.tolist()
    ([[1.0, -1.0], [-1.0, 1.0]], [0, 1])
    """
    data = network.data
    white, mean, deviation = statistics(network.config, data)
    return standardised(data.test_images, mean, deviation, white), data.test_labels


def fisher(network: Trained, kind: str) -> Float[Array, " synapse"]:
    """Fisher diagonal of the deterministic network of expected strengths, in a row.

    Per test image (Eqs. 9 and 10): `exact` expects over the network's own labels,
    `empirical` takes the true ones. Raises `ValueError` for concrete labels without an
    output; NaN for traced ones.

    >>> x, y = jnp.eye(2, dtype=jnp.uint8), jnp.arange(2)
    >>> layer = eqx.nn.Linear(2, 2, use_bias=False, key=jr.key(0))
    >>> silent = jax.tree.map(jnp.zeros_like, layer)  # both labels with 1/2
    >>> network = Trained(Config(method="ewc"), Source(x, y, x, y, ()), silent, silent)
    >>> print(*(f"{x:.2f}" for x in fisher(network, "exact")))  # p (1 - p) x^2
    0.25 0.25 0.25 0.25
    """
    images, labels = test_set(network)
    count = network.config.labels
    check_labels(labels, count)

    def log_prob(weights: Weights, image: Array, label: Array) -> Scalar:
        logits = eqx.combine(weights, network.rest)(image)
        return jax.nn.log_softmax(logits)[label] * known(label, count, logits.dtype)

    given: dict[str, Any] = {"targets": labels}
    if kind != "empirical":
        given = {"outcomes": jnp.arange(count, dtype=labels.dtype)}
    return Fisher(log_prob, strengths(network), images, kind=kind, **given).diagonal()
