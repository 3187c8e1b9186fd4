r"""Beyond the paper: release, strengths and energy of a neuron with many synapses.

A linear neuron learns $y = \sum_iw_i^*x_i + \nu\xi$ from batches of $B$ patterns, by
the squared error halved. Synapses come in groups: of $n_k$, with inputs $\pm s_k$ at
random and the target $w_k^*$. A synapse that releases then sees the slope
$s^2(\bar w/p - w^*)$ and the errors of all others, a Gaussian of variance
$s^2(S + \nu^2)/B$, $S = \sum_kn_ks_k^2\langle\bar w^2/p - 2\bar ww^* + w^{*2}\rangle$,
of whatever others are many. So each synapse is a chain (`chain`) whose chances of a
step up follow from means over all of them: a closed recursion for the share of a group
on every level of the ladder and the first two moments of strength there, in which few
reliable synapses quieten the others.

Neglected are terms of order $1/n$ and of order $1/B$ (synapses share the errors of a
batch), that the slope which moves a strength also moves its level, and which strengths
of a level climb rather than how many; these count as Gaussian. Shares and probabilities
are within the error of simulations, energy within 5 % (`verify`).
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import erf
from jaxtyping import Array, Float, Int, Key

from ... import AbstractConfig, AbstractTask, Scalar, State, System
from ..._arguments import real, require, whole
from ...circuits import StochasticNetwork
from ...numerics import normal, ratio, root
from ...rules import ReleasePlasticity, StrengthDescent
from ...synapses import ReleaseBounds, Stochastic
from .chain import ladder, matching_down, transitions
from .theory import up_probability


Group = Float[Array, " group"]
Law = Float[Array, "group level"]


def _reals(values: Any) -> Group:
    return real(np.asarray(values) if isinstance(values, tuple | list) else values)


class Config(AbstractConfig):
    r"""Groups of synapses, and how they learn and release.

    Raises `ValueError` unless `scales` and `targets` have one for each of `counts`.

    >>> Config(scales=jnp.asarray([1.0, 0.1])).levels[:2]
    Array([0.25 , 0.325], dtype=float...)
    """

    scales: Group = eqx.field(default=(2.0, 0.5), converter=_reals)  # s
    targets: Group = eqx.field(default=(0.1, 0.1), converter=_reals)  # w*
    counts: tuple[int, ...] = eqx.field(default=(200, 200), static=True)  # n
    rate: Scalar = eqx.field(default=0.002, converter=real)  # eta_0
    decay: Scalar = eqx.field(default=0.0, converter=real)  # lambda
    threshold: Scalar = eqx.field(default=0.3, converter=real)  # g_lim
    noise: Scalar = eqx.field(default=0.3, converter=real)  # nu
    spread: Scalar = eqx.field(default=0.05, converter=real)  # of first strengths
    low: float = eqx.field(default=0.25, static=True)
    freeze: float = eqx.field(default=0.9, static=True)
    up: float = eqx.field(default=0.1, static=True)
    batch: int = eqx.field(default=10, static=True)

    def __check_init__(self) -> None:
        for name in ("rate", "decay", "threshold", "noise", "spread"):
            require(self, **{name: (0.0, np.inf)})
        whole("batch", self.batch, 1)
        for count in self.counts:
            whole("counts", count, 1)
        shapes = self.scales.shape, self.targets.shape
        if shapes != ((len(self.counts),),) * 2:
            raise ValueError(
                "`scales` and `targets` need one for each of "
                f"{len(self.counts)} groups; got {shapes}."
            )

    @property
    def levels(self) -> Float[Array, " level"]:
        """Release probabilities of the ladder, the frozen one last."""
        return ladder(self.low, self.freeze, self.up)


class Population(NamedTuple):
    """Shares of every group on each level, and moments of strength times the share.

    >>> share, first, second = fresh(Config())
    >>> share.shape == first.shape == second.shape
    True
    """

    share: Law
    first: Law
    second: Law


def fresh(config: Config) -> Population:
    """All at the lowest level, strengths of mean 0.

    >>> fresh(Config()).share[:, 0]
    Array([1., 1.], dtype=float...)
    """
    nobody = jnp.zeros((len(config.counts), len(config.levels)))
    share = nobody.at[:, 0].set(1.0)
    return Population(share, nobody, share * config.spread**2)


def error_variance(config: Config, population: Population) -> Scalar:
    r"""$S + \nu^2$: mean square error of the neuron.

    >>> error_variance(Config(noise=0.0), fresh(Config(spread=0.0))).round(3)
    Array(8.5, dtype=float...)
    """
    share, first, second = population
    target = config.targets[:, None]
    square = second / config.levels[None] - 2 * target * first + target**2 * share
    weights = real(np.asarray(config.counts)) * config.scales**2
    return weights @ jnp.sum(square, axis=1) + config.noise**2


def after_step(config: Config, population: Population) -> Population:
    """The population one batch later: strengths learn, then levels change.

    >>> later = after_step(Config(), fresh(Config()))
    >>> later.share[:, :2]
    Array([[0.755..., 0.244...],
           [0.772..., 0.227...]], ...)
    """
    share, first, second = population
    p, target = config.levels[None], config.targets[:, None]
    strength = config.scales[:, None] ** 2
    shared = strength * error_variance(config, population) / config.batch
    mean = ratio(first, share)
    variance = jnp.maximum(ratio(second, share) - mean**2, 0.0)
    slope = strength * (mean / p - target)
    spread = jnp.sqrt(shared + strength**2 * variance / p**2)
    climbs = p * up_probability(config.threshold * p + 0 * slope, slope, spread)
    move = jax.vmap(transitions)(climbs[:, :-1])
    kept, rate = 1 - config.rate * config.decay, config.rate * (1 - p)
    along = strength * (first / p - target * share)  # E[g], of a share
    with_it = strength * (second / p - target * first)  # E[w g]
    square = second / p**2 - 2 * target * first / p + target**2 * share
    energy = (strength**2 * square + shared * share) / p  # E[g^2]
    learned = kept * first - rate * along
    spreads = kept**2 * second - 2 * kept * rate * with_it + rate**2 * energy
    parts = (share, learned, spreads)
    return Population(*(jnp.einsum("gl,glm->gm", x, move) for x in parts))


def observed(config: Config, population: Population) -> dict[str, Array]:
    r"""Of each group the `reliable` share (frozen), mean `release`, mean `energy`.

    Energy is $\langle|\bar w|\rangle$, of strengths that are Gaussian on each level.

    >>> found = observed(Config(), fresh(Config(spread=1.0)))
    >>> print(found["release"], f"{found['energy'][0]:.2f}")  # sqrt(2 / pi)
    [0.25 0.25] 0.80
    """
    share, first, second = population
    mean = ratio(first, share)
    deviation = root(jnp.maximum(ratio(second, share) - mean**2, 0.0))
    beyond = ratio(jnp.abs(mean), deviation, jnp.inf)
    folded = jnp.exp(-(beyond**2) / 2) * deviation * np.sqrt(2 / np.pi)
    size = folded + jnp.abs(mean) * erf(beyond / np.sqrt(2))
    return {
        "reliable": share[:, -1],
        "release": share @ config.levels,
        "energy": jnp.sum(share * size, axis=1),
    }


def course(config: Config, steps: int) -> dict[str, Float[Array, "step group"]]:
    """`observed` after every step.

    >>> course(Config(), 3)["release"].shape
    (3, 2)
    """

    def step(population: Population, _: None) -> tuple[Population, Any]:
        later = after_step(config, population)
        return later, observed(config, later)

    return jax.lax.scan(step, fresh(config), length=whole("steps", steps, 1))[1]


# --- the same by simulation ---------------------------------------------------------


class SignPatterns(AbstractTask):
    """A batch of patterns of random signs times `scales`, and what to answer.

    >>> task = SignPatterns(jnp.ones(2), jnp.ones(2), 0.0, 3)
    >>> x, y = task(jnp.zeros((), jnp.int32), jr.key(0))
    >>> x.shape, bool(jnp.all(y == x.sum(1)))
    ((3, 2), True)
    """

    scales: Float[Array, " n"] = eqx.field(converter=real)
    targets: Float[Array, " n"] = eqx.field(converter=real)
    noise: Scalar = eqx.field(converter=real)
    batch: int = eqx.field(static=True)

    def __call__(
        self, step: Int[Array, ""], key: Key[Array, ""]
    ) -> tuple[Float[Array, "sample n"], Float[Array, " sample"]]:
        for_signs, for_noise = jr.split(key)
        shape = (self.batch, len(self.scales))
        patterns = (
            jr.rademacher(for_signs, shape, self.scales.dtype) * self.scales[None]
        )
        noise = self.noise * normal(for_noise, (self.batch,), self.scales.dtype)
        return patterns, patterns @ self.targets + noise


def half_square(weights: Array, shown: tuple[Array, Array]) -> Scalar:
    """Mean of the squared errors, halved.

    >>> half_square(jnp.ones(2), (jnp.ones((1, 2)), jnp.zeros(1)))
    Array(2., dtype=float...)
    """
    patterns, wanted = shown
    return jnp.mean((patterns @ weights - wanted) ** 2) / 2


def build(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """The neuron itself, with the rules of the networks; synapses group by group.

    >>> system, state = build(Config(), jr.key(0))
    >>> state.synapses.strength.shape
    (400,)
    """
    each = lambda x: jnp.repeat(x, jnp.asarray(config.counts), total_repeat_length=size)
    size = sum(config.counts)
    scales, targets = each(config.scales), each(config.targets)
    task = SignPatterns(scales, targets, config.noise, config.batch)
    steps = (config.threshold, config.up, matching_down(config.up), config.freeze)
    rules = {
        "strength": StrengthDescent(config.rate, config.decay),
        "release": ReleasePlasticity(*steps),
    }
    bounds = (ReleaseBounds(config.low),)
    system = System(task, StochasticNetwork(half_square), rules, bounds)
    strength = config.spread * normal(key, (size,), config.spread.dtype)
    return system, State(
        None, Stochastic(strength, jnp.full_like(strength, config.low))
    )
