r"""Closed forms of synapses that release: moments, steps, information, energy.

Schug, Benzing & Steger 2021, eLife 10:e69884, and the specification (T1 to T9; derived,
where no other source is named). $\bar w = pm$ is the expected strength, $p$ the release
probability, $r$ the draw, $w = r\bar w/p$ what is transmitted. A single synapse as a
Markov chain (T6) is in `chain`. All functions of arrays are differentiable.

Each law refuses, with a `ValueError`, shapes that do not fit and what is outside of its
domain, such as a probability above 1; there it is NaN where its arguments are traced.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import admit, floating, not_negative, positive
from ..._arguments import probability as unit_interval


Number = Scalar | float | int
Values = Float[Array, "*shape"]
Numbers = Number | Values  # the number first: it does not bind the shape
Vector = Float[Array, " n"]
MOST = 16  # synapses whose masks are enumerated


def _releasing(name: str, probability: Values) -> Values:
    """What is above 0 and up to 1, refused or NaN elsewhere."""
    wrong = (probability <= 0) | (probability > 1)
    return admit(name, probability, wrong, "lie above 0 and up to 1")


# --- moments, T1 and T3 -------------------------------------------------------------


@floating
def over_masks(function: Callable[[Vector], Array], probability: Vector) -> Values:
    r"""$\mathbb E_r[f(r)]$ over all $2^n$ draws of `n` synapses.

    What is not finite counts nothing at a draw that cannot be. Raises `ValueError` for
    more than 16 synapses.

    >>> some, both = (over_masks(f, [0.2, 0.5]) for f in (jnp.sum, jnp.prod))
    >>> print(f"{some:.2f} {both:.2f}")  # 0.2 + 0.5 and 0.2 * 0.5
    0.70 0.10
    """
    count = len(probability)
    if count > MOST:
        raise ValueError(f"masks of at most {MOST} synapses are listed; got {count}.")
    bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    masks = jnp.asarray(bits, probability.dtype)
    p = unit_interval("probability", probability)[None]
    chances = jnp.prod(masks * p + (1 - masks) * (1 - p), axis=1)
    values = jax.lax.map(function, masks)
    never = jnp.reshape(chances == 0, (-1, *(1,) * (values.ndim - 1)))
    values = jnp.where(never & ~jnp.isfinite(values), 0.0, values)
    return jnp.tensordot(chances, values, 1)


@floating
def release_variance(strength: Values, probability: Values) -> Values:
    r"""$\mathrm{Var}[w] = \bar w^2(1 - p)/p$.

    >>> release_variance([2.0, 2.0], [0.5, 1.0]).tolist()
    [4.0, 0.0]
    """
    probability = _releasing("probability", probability)
    return strength**2 * (1 - probability) / probability


@floating
def expected_square_loss(
    strength: Vector, probability: Vector, activity: Vector, target: Number
) -> Scalar:
    r"""$\mathbb E_r[\frac12(y - w\cdot a)^2]$ of a linear neuron (T1).

    The loss of the mean network and $\frac12\sum_i\mathrm{Var}[w_i]a_i^2$: unreliable
    release regularises.

    >>> loss = lambda p: float(expected_square_loss([1.0], [p], [1.0], 1.0))
    >>> loss(1.0), loss(0.5)  # half of the variance
    (0.0, 0.5)
    """
    noise = jnp.sum(release_variance(strength, probability) * activity**2)
    return (target - strength @ activity) ** 2 / 2 + noise / 2


@floating
def square_loss_slopes(
    strength: Vector, probability: Vector, activity: Vector, target: Number
) -> tuple[Vector, Vector]:
    r"""Slopes of that loss along $\bar w$ and along $p$, the latter never positive.

    >>> along_strength, along_probability = square_loss_slopes([1.0], [0.5], [1.0], 1.0)
    >>> along_strength.tolist(), along_probability.tolist()
    ([1.0], [-2.0])
    """
    probability = _releasing("probability", probability)
    odds = (1 - probability) / probability
    error = target - strength @ activity
    along_strength = -error * activity + strength * activity**2 * odds
    return along_strength, -((strength * activity / probability) ** 2) / 2


# --- explicit strengths, T2 ---------------------------------------------------------


@floating
def explicit_step(
    explicit: Values,
    before: Values,
    after: Values,
    slope: Values,
    rate: Numbers,
    decay: Number = 0.0,
) -> Values:
    r"""Strength when released, $m = \bar w/p$, after one step (Eq. 8).

    $m' = \frac p{p'}(1 - \eta_0\lambda)m - \frac\eta{p'p}\partial\ell/\partial m$ for
    probabilities $p$ `before` and $p'$ `after`; `rate` is the modulated one, `decay`
    is $\eta_0\lambda$.

    >>> explicit_step([2.0], before=[0.5], after=[0.25], slope=[0.0], rate=0.1).tolist()
    [4.0]
    """
    before, after = _releasing("before", before), _releasing("after", after)
    kept = before / after * (1 - decay) * explicit
    return kept - rate / (after * before) * slope


# --- Fisher information, T4 ---------------------------------------------------------


@floating
def layer_fisher(
    errors: Float[Array, "sample post"], activities: Float[Array, "sample pre"]
) -> Float[Array, "post pre"]:
    r"""$F_{ji} = \frac1N\sum_n\delta_{nj}^2a_{ni}^2$: diagonal for a dense layer (T4).

    `errors` are back-propagated from the loss of each sample alone, `activities` the
    inputs of the layer. Empirical with observed labels.

    >>> layer_fisher([[1.0, 2.0]], [[3.0]]).tolist()
    [[9.0], [36.0]]
    """
    return (errors**2).T @ activities**2 / len(errors)


@floating
def batch_square(mean: Values, fisher: Values, batch: Number) -> Values:
    r"""$\mathbb E[\bar g^2] = \mu^2 + (F - \mu^2)/B$ of a batch of independent samples.

    `mean` $\mu$ and mean square `fisher` are those of one sample's gradient: the square
    of a batch's gradient is not the Fisher information (T4).

    >>> batch_square([0.0, 1.0], [4.0, 5.0], batch=4).tolist()
    [1.0, 2.0]
    """
    batch = admit("batch", batch, batch < 1, "be at least 1")
    return mean**2 + (fisher - mean**2) / batch


# --- steps up, T5 -------------------------------------------------------------------


@floating
def up_probability(threshold: Numbers, mean: Numbers, deviation: Numbers) -> Array:
    r"""$\Pr[|g| > g_{lim}]$ for a Gaussian gradient (Eqs. 11 and 12).

    `mean` and standard `deviation` are those of $g$; $F = \sigma^2 + \mu^2$.

    >>> print(f"{up_probability(1.0, 0.0, 1.0):.3f}")  # beyond one standard deviation
    0.317
    """
    threshold = not_negative("threshold", threshold)
    deviation = not_negative("deviation", deviation)
    width = deviation * jnp.sqrt(jnp.asarray(2.0))
    above = erfc((threshold - mean) / width)
    return (above + erfc((threshold + mean) / width)) / 2


@floating
def up_slope(threshold: Numbers, mean: Numbers, deviation: Numbers) -> Array:
    r"""$\partial p^+/\partial\sigma$: positive where $|\mu| < g_{lim}$.

    Else negative below `turning_deviation` and positive above (T5).

    >>> slope = jax.grad(lambda deviation: up_probability(1.0, 0.0, deviation))(1.0)
    >>> print(f"{slope:.3f} {up_slope(1.0, 0.0, 1.0):.3f}")
    0.484 0.484
    """
    threshold = not_negative("threshold", threshold)
    deviation = positive("deviation", deviation)
    near, far = threshold - mean, threshold + mean
    two = 2 * deviation**2
    rise = near * jnp.exp(-(near**2) / two) + far * jnp.exp(-(far**2) / two)
    return rise / (deviation**2 * math.sqrt(2 * math.pi))


@floating
def turning_deviation(threshold: Number, mean: Number) -> Scalar:
    r"""$\sigma_*^2 = 2g_{lim}|\mu|/\ln\frac{|\mu| + g_{lim}}{|\mu| - g_{lim}}$.

    The standard deviation at which steps up are rarest, 0 where $|\mu| \le g_{lim}$
    (T5): below it more Fisher information means fewer of them.

    >>> rarest = turning_deviation(1.0, 2.0)
    >>> print(f"{rarest:.3f} {abs(up_slope(1.0, 2.0, rarest)):.3f}")  # sqrt(4 / log 3)
    1.908 0.000
    """
    threshold = positive("threshold", threshold)
    size = jnp.abs(mean)
    never = size <= threshold  # false of NaN
    gap = jnp.where(never, 1.0, size - threshold)
    ratio = jnp.where(never, 2.0, (size + threshold) / gap)
    return jnp.where(never, 0.0, jnp.sqrt(2 * threshold * size / jnp.log(ratio)))


@floating
def up_probability_laplace(threshold: Number, scale: Numbers) -> Array:
    r"""$e^{-g_{lim}/b}$ for a Laplace gradient of mean 0, $F = 2b^2$ (T5).

    >>> print(f"{up_probability_laplace(1.0, 1.0):.3f}")  # 1 / e
    0.368
    """
    threshold = not_negative("threshold", threshold)
    return jnp.exp(-threshold / positive("scale", scale))


@floating
def up_probability_sparse(threshold: Number, size: Numbers, chance: Number) -> Array:
    r"""$\epsilon$ for a gradient that is $A$ with `chance` $\epsilon$, else 0 (T5).

    $F = A^2\epsilon$ grows with the `size` A, the probability does not: steps up do not
    measure Fisher information for every law.

    >>> print(up_probability_sparse(1.0, [0.5, 2.0, 20.0], 0.25))
    [0.   0.25 0.25]
    """
    chance = unit_interval("chance", chance)
    threshold = not_negative("threshold", threshold)
    size = jnp.abs(size)
    up = jnp.where(size < threshold, 0.0, chance)
    return jnp.where(jnp.isnan(size) | jnp.isnan(threshold), jnp.nan, up)


# --- freezing, T7 and T8 ------------------------------------------------------------


def fewest_steps(low: float, freeze: float, up: float, scaled: bool = True) -> int:
    r"""Least number of steps from `low` to `freeze`: all of them up (T7).

    $\lceil\ln\frac{1 - p_{freeze}}{1 - p_{min}}/\ln(1 - p_{up})\rceil$, or
    $\lceil(p_{freeze} - p_{min})/p_{up}\rceil$ unless steps are `scaled` by $1 - p$.
    Raises `ValueError` unless $0 < p_{up} < 1$ and $0 \le p_{min} \le p_{freeze} < 1$.

    >>> fewest_steps(0.5, 0.9, 0.5), fewest_steps(0.25, 0.75, 0.25, scaled=False)
    (3, 2)
    """
    if not 0 < up < 1:
        raise ValueError(f"`up` must lie between 0 and 1; got {up}.")
    if not low >= 0:
        raise ValueError(f"`low` must not be negative; got {low}.")
    if not low <= freeze < 1:
        raise ValueError(f"`freeze` must lie in [`low`, 1) = [{low}, 1); got {freeze}.")
    steps = (freeze - low) / up
    if scaled:
        steps = math.log((1 - freeze) / (1 - low)) / math.log(1 - up)
    return math.ceil(steps * (1 - 1e-12))  # not one more for a rounded whole number


@floating
def plasticity_range(low: Number, freeze: Number, up: Number) -> tuple[Scalar, Scalar]:
    r"""$[(1 - p_{freeze})(1 - p_{up}), 1 - p_{min}]$: where $1 - p$ stays (T8).

    >>> low, high = plasticity_range(0.5, 0.75, 0.5)
    >>> float(low), float(high)
    (0.125, 0.5)
    """
    low = unit_interval("low", low)
    freeze = unit_interval("freeze", freeze)
    up = unit_interval("up", up)
    low = admit("low", low, low > freeze, f"not exceed `freeze`, {freeze}")
    return (1 - freeze) * (1 - up), 1 - low


@floating
def plasticity_after(low: Number, up: Number, steps: Number) -> Scalar:
    r"""$(1 - p_{min})(1 - p_{up})^t$: what t steps up leave without freezing (T8).

    >>> float(plasticity_after(0.5, 0.5, 0)), float(plasticity_after(0.5, 0.5, 3))
    (0.5, 0.0625)
    """
    low, up = unit_interval("low", low), unit_interval("up", up)
    return (1 - low) * (1 - up) ** not_negative("steps", steps)


# --- Bayesian updating, T9 and T10 --------------------------------------------------


@floating
def bayesian_deviation(deviation: Values, correlation: Values) -> Values:
    r"""$\sigma\sqrt{1 + (\sigma E_2/2)^2} - \sigma^2E_2/2$ (Zeno et al. 2018).

    The positive root of $\sigma'^2 + \sigma^2E_2\sigma' - \sigma^2 = 0$, as its
    textbook formula; it cancels where $\sigma E_2$ is large.

    >>> bayesian_deviation([1.0, 1.0], [0.0, 1.5]).tolist()
    [1.0, 0.5]
    """
    deviation = not_negative("deviation", deviation)
    half = deviation * correlation / 2
    return deviation * (jnp.sqrt(1 + half**2) - half)


@floating
def bayesian_precision(deviation: Values, curvature: Number) -> Values:
    r"""$1/\sigma'^2 = 1/\sigma^2 + h(\sqrt{1 + x^2} + x)$, $x = h\sigma^2/2$ (T9).

    After a step on $\frac h2(\theta - c)^2$ with exact expectations, $E_2 = h\sigma$:
    what it gains on Bayes' rule is $x$ of the `curvature` h to first order.

    >>> print(bayesian_precision([1.0], 1.5), bayesian_deviation([1.0], [1.5]))
    [4.] [0.5]
    """
    deviation = positive("deviation", deviation)
    x = curvature * deviation**2 / 2
    return 1 / deviation**2 + curvature * (jnp.sqrt(1 + x**2) + x)


@floating
def gaussian_posterior(
    mean: Values, deviation: Values, curvature: Numbers, centre: Numbers
) -> tuple[Values, Values]:
    r"""Mean and deviation after $\frac h2(\theta - c)^2$: Bayes' rule (T9).

    $1/\sigma'^2 = 1/\sigma^2 + h$ and $\mu' - \mu = -\frac{\sigma^2h}{1 + \sigma^2h}
    (\mu - c)$ for the `curvature` h: with Fisher information for h, Laplace's
    approximation, whose variance a learning rate should follow (T10).

    >>> mean, deviation = gaussian_posterior([0.0], [1.0], curvature=3.0, centre=4.0)
    >>> mean.tolist(), deviation.tolist()  # the precision is 1 + 3
    ([3.0], [0.5])
    """
    deviation = not_negative("deviation", deviation)
    wrong = 1 + deviation**2 * curvature <= 0
    curvature = admit("curvature", curvature, wrong, "exceed -1 / `deviation`**2")
    gain = deviation**2 * curvature / (1 + deviation**2 * curvature)
    return mean - gain * (mean - centre), deviation * jnp.sqrt(1 - gain)


# --- energy -------------------------------------------------------------------------


@floating
def energy(strength: Values) -> Scalar:
    r"""$E = \sum|\bar w| = \sum p|m|$: mean transmitted strength of all synapses.

    >>> float(energy([1.0, -2.0]))
    3.0
    """
    return jnp.sum(jnp.abs(strength))


@floating
def energy_variance(strength: Values, probability: Values) -> Scalar:
    r"""$\sum\bar w^2(1 - p)/p$: variance of the transmitted strength over draws.

    >>> float(energy_variance([1.0, -2.0], [0.5, 1.0]))
    1.0
    """
    return jnp.sum(release_variance(strength, probability))


@floating
def energy_after(start: Number, rate: Number, decay: Number, steps: Number) -> Scalar:
    r"""$(1 - \eta\lambda)^tE$: what decay alone leaves after t steps.

    >>> float(energy_after(8.0, rate=0.5, decay=1.0, steps=3))
    1.0
    """
    lost = unit_interval("rate * decay", rate * decay)
    start = not_negative("start", start)
    return start * (1 - lost) ** not_negative("steps", steps)
