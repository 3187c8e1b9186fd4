r"""Closed forms of factors under replay: gradients, invariants, optima, noise, scaling.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122, and the
specification (T1 to T11; derived, where no other source is named). $w = \prod_ku_k$
with $z$ factors, the `order`; $\sigma^\mu = \pm1$ are targets, $I$ thresholds, $H^\mu =
w\cdot\xi^\mu - I$ fields. Storage at many inputs (T7) is in `capacity`. All functions
of arrays are differentiable.

NaN stays NaN. What is concrete and outside the domain of a law, or does not fit the
other arguments, raises `ValueError`; what is traced and outside is NaN.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import admit, floating, not_negative, positive, probability, whole
from ...numerics import power
from .domains import balanced, inner_level, Number, order_from_one, PRUNED


Values = Float[Array, "*values"]
Rows = Float[Array, "*row"]
Replays = Float[Array, "*row pattern"]
Weights = Float[Array, " n"]
Patterns = Float[Array, "n pattern"]
Each = Float[Array, " pattern"]
Pair = Float[Array, "2 *synapse"]


# --- what the rule climbs, T1 -------------------------------------------------------


@floating
def soft_margin(
    fields: Float[Array, "row pattern"],
    average: Float[Array, " row"],
    sharpness: Number,
) -> Float[Array, " row"]:
    r"""$-\frac{\bar H}\beta\ln\sum_\mu e^{-\beta|H^\mu|/\bar H}$ of each neuron.

    Soft replay climbs it, the `average` $\bar H$ held constant (T1).

    >>> margin = soft_margin([[1.0, -2.0]], [1.0], 100.0)
    >>> print(np.asarray(margin).round(3))  # sharp replay: the weakest field
    [1.]
    """
    sharpness, average = positive("sharpness", sharpness), positive("average", average)
    scale = (jax.lax.stop_gradient(average) / sharpness)[:, None]
    return -scale[:, 0] * jax.nn.logsumexp(-jnp.abs(fields) / scale, axis=1)


@floating
def soft_bias(replay: Replays, average: Rows, sharpness: Number) -> Rows:
    r"""$\frac{\bar H}\beta[\ln p_{max} + \mathrm{Ent}(p)]$: the price of soft replay.

    How far the mean field of the shares `replay` $p^\mu$ (they sum to 1) lies above the
    margin; at rest that mean is not below the largest margin, so the margin misses the
    optimum by at most this (T6).

    >>> print(f"{soft_bias([0.75, 0.25], 1.0, 1.0):.3f}")  # ln(3) / 4
    0.275
    """
    replay, average = not_negative("replay", replay), not_negative("average", average)
    sharpness = positive("sharpness", sharpness)
    logs = jnp.log(jnp.where(replay == 0, 1.0, replay))
    entropy = -jnp.sum(replay * logs, axis=-1)
    return average / sharpness * (jnp.log(jnp.max(replay, axis=-1)) + entropy)


# --- a penalty on factors is a penalty on weights, T2 -------------------------------


@floating
def factor_penalty(weights: Values, order: Number) -> Values:
    r"""$w^{2/z} = \min_{\prod u_k = w}\frac1z\sum_ku_k^2$, reached by equal factors.

    Hoff 2017, arXiv:1611.00040 (T2).

    >>> print(np.asarray(factor_penalty([4.0, 9.0], 4)).round(3))  # square roots
    [2. 3.]
    """
    return power(not_negative("weights", weights), 2 / order_from_one(order))


@floating
def soft_threshold(goal: Values, penalty: Number) -> Values:
    r"""$(a - \lambda)_+$: where two penalised factors settle (T2).

    The minimum of $\frac12(u_1u_2 - a)^2 + \frac\lambda2(u_1^2 + u_2^2)$.

    >>> soft_threshold([0.5, 3.0], 1.0).tolist()
    [0.0, 2.0]
    """
    return jnp.maximum(goal - not_negative("penalty", penalty), 0.0)


@floating
def penalised_slope(
    weight: Number, goal: Number, penalty: Number, order: Number
) -> Scalar:
    r"""$(w - a) + \lambda\frac2zw^{2/z - 1}$: zero at a weight that stands still.

    The slope of $\frac12(w - a)^2 + \lambda w^{2/z}$ (T2); `weight` is positive.

    >>> print(f"{penalised_slope(2.0, 3.0, 1.0, 2):.1f}")  # at the soft threshold of 3
    0.0
    """
    weight, order = positive("weight", weight), order_from_one(order)
    penalty = not_negative("penalty", penalty)
    return weight - goal + penalty * 2 / order * weight ** (2 / order - 1)


@floating
def penalised_hessian(
    factor: Number, goal: Number, penalty: Number, order: int
) -> Float[Array, "order order"]:
    r"""Of $\frac12(\prod_ku_k - a)^2 + \frac\lambda z\sum_ku_k^2$ at equal factors.

    Diagonal $u^{2z-2} + 2\lambda/z$, else $u^{2z-2} + (w - a)u^{z-2}$ (T2). At a pruned
    synapse, $u = 0$, two factors have the eigenvalues $\lambda \pm a$ (it grows again
    if $a > \lambda$), more have $2\lambda/z$ only: it never returns.

    >>> penalised_hessian(0.0, 2.0, 1.0, 2).tolist()  # a pruned synapse that returns
    [[1.0, -2.0], [-2.0, 1.0]]
    """
    order, u = whole("order", order, 1), jnp.asarray(factor)
    penalty = not_negative("penalty", penalty)
    bend = u ** (2 * order - 2)
    eye = jnp.eye(order, dtype=u.dtype)
    if order == 1:
        return (bend + 2 * penalty) * eye
    across = bend + (u**order - goal) * u ** (order - 2)
    return across + (bend + 2 * penalty / order - across) * eye


# --- what learning conserves, T3 ----------------------------------------------------


@floating
def imbalance_decay(rate: Number, drive: Values, others: Values | Number) -> Values:
    r"""$1 - \eta^2G^2\prod_{m \ne k,l}u_m^2$: what one step leaves of $u_k^2 - u_l^2$.

    Without bounds and scaling; gradient flow conserves the difference (T3). `others` is
    the product of the remaining factors, 1 for two.

    >>> print(np.asarray(imbalance_decay(0.1, [1.0, 2.0], 1.0)).round(3))
    [0.99 0.96]
    """
    return 1 - (rate * drive * others) ** 2


@floating
def factors_after(
    factors: Pair, drives: Float[Array, "step *synapse"], rate: Number
) -> Pair:
    r"""Two factors after a course of drives: $u_1 \pm u_2$ decouple (T3).

    $a = u_1 + u_2$ is multiplied by $\prod_t(1 + \eta G_t)$, $b = u_1 - u_2$ by
    $\prod_t(1 - \eta G_t)$; no bounds, no scaling.

    >>> factors = factors_after([2.0, 1.0], [1.0], 0.1)  # 2 + 0.1 x 1, 1 + 0.1 x 2
    >>> print(np.asarray(factors).round(3))
    [2.1 1.2]
    """
    total = (factors[0] + factors[1]) * jnp.prod(1 + rate * drives, axis=0)
    difference = (factors[0] - factors[1]) * jnp.prod(1 - rate * drives, axis=0)
    return jnp.stack([total + difference, total - difference]) / 2


# --- geometry, T4 -------------------------------------------------------------------


@floating
def preconditioner(weights: Values, order: Number) -> Values:
    r"""$zw^{2-2/z}$: weights of equal factors move by this times the gradient (T4).

    For two factors $2w$, the natural gradient of the metric $\sum_jdw_j^2/(2w_j)$; for
    one the gradient itself, whatever the weight.

    >>> print(np.asarray(preconditioner([1.0, 4.0], 2)).round(3))
    [2. 8.]
    """
    order, weights = positive("order", order), not_negative("weights", weights)
    bent = power(weights, 2 - 2 / order)
    plain = (order == 1) & ~jnp.isnan(weights)
    return order * jnp.where(plain, jnp.ones_like(bent), bent)


@floating
def order_of_metric(exponent: Number) -> Scalar:
    r"""$z = 2/(2 - s)$: as many equal factors climb in the metric $\sum_jdw_j^2/w_j^s$.

    From one factor, $s = 0$, to two, $s = 1$, and beyond, $s < 2$; they maximise the
    margin over the norm $2/z = 2 - s$ (T2, T4).

    >>> print(f"{order_of_metric(0.5):.3f}")
    1.333
    """
    wrong = (exponent < 0) | (exponent >= 2)
    return 2 / (2 - admit("exponent", exponent, wrong, "lie in [0, 2)"))


@floating
def weights_after(
    weights: Values, drive: Values, time: Number, exponent: Number
) -> Values:
    r"""$[w_0^{1-s} + (1 - s)gt]_+^{1/(1-s)}$, the flow $\dot w = w^sg$ at constant $g$.

    In the metric $\sum_jdw_j^2/w_j^s$ (T4): weights add up for $s = 0$ and multiply for
    $s = 1$, $w_0e^{gt}$. Those that reach 0, as for $s < 1$ they may, stay there, and
    so do those that begin there for $s > 0$.

    >>> print(f"{weights_after(1.0, 0.7, 2.0, 0.0):.2f}")  # 1 + 0.7 x 2
    2.40
    >>> print(f"{weights_after(1.0, 0.7, 2.0, 0.5):.2f}")  # (1 + 0.7)^2
    2.89
    """
    weights, time = not_negative("weights", weights), not_negative("time", time)
    wrong = (exponent < 0) | (exponent > 1)
    exponent = admit("exponent", exponent, wrong, "lie in [0, 1]")
    rest, gain = 1 - exponent, drive * time
    multiplied = weights * jnp.exp(gain)
    safe = jnp.where(rest == 0, 1.0, rest)
    added = power(power(weights, safe) + safe * gain, 1 / safe)
    added = jnp.where((weights == 0) & (rest < 1), 0.0, added)
    return jnp.where(rest == 0, multiplied, added)


@floating
def change_exponent(order: Number) -> Scalar:
    r"""$1 - 1/z$: changes by a volatile factor grow as this power of w (T9).

    >>> print(f"{change_exponent(2):.2f}")
    0.50
    """
    return 1 - 1 / order_from_one(order)


# --- the optimum, T5 and T6 ---------------------------------------------------------


class Residuals(NamedTuple):
    """How far shares of replay are from duals of the largest margin; zero at it.

    `mass` total share minus 1; `balance` half the potentiating minus the depressing
    share; `stationarity` (n,) the drive of every input minus what norm and bound
    explain, above zero everywhere it counts; `slack` (pattern,) share times how far the
    pattern is above the margin.

    >>> targets, weights, replay = [1.0, -1.0], [1.0, 0.0], [1.0, 0.0]
    >>> found = residuals(jnp.eye(2), targets, weights, 0.5, replay)
    >>> print(found.mass, found.balance)  # nothing depresses
    0.0 0.5
    """

    mass: Scalar
    balance: Scalar
    stationarity: Weights
    slack: Each


@floating
def mean_drive(patterns: Patterns, targets: Each, replay: Each) -> Weights:
    r"""$\sum_\mu p^\mu\sigma^\mu\xi^\mu_j$: what shares `replay` tell every input.

    >>> mean_drive(jnp.eye(2), [1.0, -1.0], [0.5, 0.5]).tolist()
    [0.5, -0.5]
    """
    return patterns @ (replay * targets)


@floating
def residuals(
    patterns: Patterns,
    targets: Each,
    weights: Weights,
    threshold: Number,
    replay: Each,
    q: int = 1,
) -> Residuals:
    r"""Conditions of Karush, Kuhn and Tucker for one neuron, q = 1 or 2 (T5).

    `weights` of $L_q$ norm 1; $m^*$ is their margin. $\sum_\mu
    p^\mu\sigma^\mu\xi^\mu_j$ is $m^*$ (q = 1) or $m^*w_j$ (q = 2) where $w_j > 0$, and
    not above that where $w_j = 0$. Leave the neuron's own input out. Raises
    `ValueError` for another q.

    >>> targets, weights, replay = [1.0, -1.0], [1.0, 0.0], [0.5, 0.5]
    >>> found = residuals(jnp.eye(2), targets, weights, 0.5, replay)
    >>> max(float(jnp.max(jnp.abs(x))) for x in found)  # the optimum
    0.0
    """
    if q not in (1, 2):
        raise ValueError(f"`q` must be 1 or 2; got {q}.")
    above = targets * (weights @ patterns - threshold)
    margin = jnp.min(above)
    norm = jnp.ones_like(weights) if q == 1 else weights
    excess = mean_drive(patterns, targets, replay) - margin * norm
    still = jnp.where(weights <= 0, jnp.maximum(excess, 0.0), excess)
    balance, slack = replay @ targets / 2, replay * (above - margin)
    return Residuals(jnp.sum(replay) - 1, balance, still, slack)


@floating
def decay_rates(
    patterns: Patterns, targets: Each, replay: Each, margin: Number
) -> Weights:
    r"""$r_j = m^* - \sum_\mu p^\mu\sigma^\mu\xi^\mu_j$: how fast synapses are pruned.

    Of two balanced factors $w_j \propto e^{-2\eta r_jt}$ after t cycles, 0 for those
    that survive; `margin` is that of weights that sum to 1, `replay` its duals (T6).

    >>> decay_rates(jnp.eye(2), [1.0, -1.0], [0.5, 0.5], 0.5).tolist()
    [0.0, 1.0]
    """
    return margin - mean_drive(patterns, targets, replay)


@floating
def margin_slope(weights: Weights, targets: Each, replay: Each) -> Patterns:
    r"""$\partial m^*/\partial\xi_j^\mu = p^\mu\sigma^\mu w_j$ at the optimum.

    The envelope theorem: the largest margin $m^*$ of `weights` of norm 1 moves with the
    patterns as if these and its duals `replay` stood still (T5). One of its
    subgradients where there are several optima.

    >>> margin_slope([1.0, 0.0], [1.0, -1.0], [0.5, 0.5])[0].tolist()
    [0.5, -0.5]
    """
    return jnp.outer(weights, replay * targets)


@floating
def stationary_gap(
    rate: Number,
    threshold_rate: Number,
    target: Number,
    margin: Values,
    threshold: Values,
) -> Values:
    r"""$\eta[\theta^*(1 - \theta^*) - m^{*2}] + \eta_\theta/(2L)$ for two factors.

    By how much the time average of $\mathrm{SNR}_1$ stays below its optimum $m^*$ at
    constant rates, the weakest pattern replayed, balanced factors, after about
    $200/\eta$ cycles. `margin` and `threshold` $\theta^*$ are those of optimal weights
    that sum to 1 (T6).

    >>> print(f"{stationary_gap(0.02, 0.01, 2.0, 0.1, 0.5):.4f}")  # 0.0048 + 0.0025
    0.0073
    """
    rate = not_negative("rate", rate)
    threshold_rate = not_negative("threshold_rate", threshold_rate)
    target = positive("target", target)
    jitter = threshold * (1 - threshold) - margin**2
    return rate * jitter + threshold_rate / (2 * target)


@floating
def stationary_gap_single(
    rate: Number,
    threshold_rate: Number,
    target: Number,
    margin: Values,
    threshold: Values,
    active: Values,
) -> Values:
    r"""$[\eta(fn - \theta^{*2} - m^{*2}) + \eta_\theta]/(2\sqrt L)$ for one factor.

    Of $\mathrm{SNR}_2$; `margin` and `threshold` are those of optimal weights of $L_2$
    norm 1, `active` $fn$ is how many living inputs a pattern activates. Approximate:
    the measured gap is 1 to 1.3 times as large (T6).

    >>> gap = stationary_gap_single(0.01, 0.01, 4.0, 1.0, 2.0, 10.0)
    >>> print(f"{gap:.3f}")  # 0.06 / 4
    0.015
    """
    rate = not_negative("rate", rate)
    threshold_rate = not_negative("threshold_rate", threshold_rate)
    target, active = positive("target", target), not_negative("active", active)
    jitter = active - threshold**2 - margin**2
    return (rate * jitter + threshold_rate) / (2 * jnp.sqrt(target))


@floating
def rate_for_share(share: Number, margin: Values, coding_level: Number) -> Values:
    r"""$\eta \approx \delta m^*/[2f(1 - f)]$: comes within a `share` of the optimum.

    Two factors; takes about $200/\eta$ cycles (T6).

    >>> print(f"{rate_for_share(0.1, 0.2, 0.5):.2f}")
    0.04
    """
    share, f = probability("share", share), inner_level(coding_level)
    return share * margin / (2 * f * (1 - f))


# --- noise, T8 and T9 ---------------------------------------------------------------


@floating
def flipped_field(
    weights: Weights, pattern: Weights, probability: Number, coding_level: Number
) -> tuple[Scalar, Scalar]:
    r"""Mean and variance of the change of one field by balanced flips (T8).

    1 to 0 with probability $p/f$, 0 to 1 with $p/(1 - f)$: the mean is
    $-\frac p{f(1-f)}(w\cdot\xi - f\sum_jw_j)$. `probability` $p$ is at most $f$ and
    $1 - f$, and the `pattern` lies in [0, 1].

    >>> mean, variance = flipped_field([2.0, 1.0], [1.0, 0.0], 0.1, 0.5)
    >>> print(f"{mean:.2f} {variance:.2f}")  # 0.2 (1 - 2), 0.16 (4 + 1)
    -0.20 0.80
    """
    pattern = admit("pattern", pattern, (pattern < 0) | (pattern > 1), "lie in [0, 1]")
    f = inner_level(coding_level)
    probability = balanced(probability, f)
    chance = probability * (pattern / f + (1 - pattern) / (1 - f))
    pull = weights @ pattern - f * jnp.sum(weights)
    variance = jnp.sum(weights**2 * chance * (1 - chance))
    return -probability / (f * (1 - f)) * pull, variance


@floating
def neural_noise_ratio(ratio: Values, flipped: Values | Number) -> Values:
    r"""$\mathrm{SNR}_2/\sqrt{f_{noise}}$: the margin over the spread by neural noise.

    `ratio` is $\mathrm{SNR}_2$, `flipped` the share $2p$ of all bits that flip. Over
    random patterns the mean square change of the field is $2p\|w\|_2^2$ exactly (T8).

    >>> print(f"{neural_noise_ratio(1.0, 0.25):.2f}")
    2.00
    """
    return ratio / jnp.sqrt(probability("flipped", flipped))


@floating
def volatile_field_variance(
    weights: Weights,
    pattern: Weights,
    noise: Number,
    order: Number,
    factors: Number = 1.0,
    above: Number = PRUNED,
) -> Scalar:
    r"""$\sigma^2\sum_j\xi_jw_j^{2-2/z}$: variance of a field under synaptic noise (T9).

    Equal factors of which `factors` (one by default) jitter independently by a standard
    deviation `noise`, small beside them. The sum runs over living synapses, of weights
    larger than `above`: a pruned one has no noise, and no gradient, for any z.

    >>> print(f"{volatile_field_variance([4.0, 9.0], [1.0, 1.0], 0.1, 2):.2f}")
    0.13
    """
    order, weights = order_from_one(order), not_negative("weights", weights)
    noise, above = not_negative("noise", noise), not_negative("above", above)
    wrong = (factors < 0) | (factors > order)
    factors = admit("factors", factors, wrong, "lie in [0, z]")
    living = jnp.where(weights <= above, jnp.zeros_like(weights), weights)
    variance = factors * noise**2 * (pattern @ power(living, 2 - 2 / order))
    return jnp.where(jnp.isnan(above), jnp.nan, variance)


@floating
def synaptic_noise_ratio(
    ratio: Values, noise: Values | Number, coding_level: Number
) -> Values:
    r"""$\mathrm{SNR}^{syn}/(\sigma\sqrt f)$: the margin over the spread by such noise.

    `ratio` is `measure.volatile_noise_ratio` (T9).

    >>> print(f"{synaptic_noise_ratio(0.1, 0.1, 0.25):.2f}")
    2.00
    """
    noise, f = not_negative("noise", noise), probability("coding_level", coding_level)
    return ratio / (noise * jnp.sqrt(f))


# --- homeostasis and stability, T10 and T11 -----------------------------------------


@floating
def scaled_weights(weights: Values, scale: Number, order: Number) -> Values:
    r"""$c^zw$: all weights when all factors of a neuron are scaled by $c$ (T10).

    Sorted weights before and after lie on a line through the origin.

    >>> print(np.asarray(scaled_weights([1.0, 2.0], 2.0, 3)).round(3))
    [ 8. 16.]
    """
    return not_negative("scale", scale) ** order_from_one(order) * weights


@floating
def retargeted_weights(
    weights: Values, before: Number, after: Number, order: Number
) -> Values:
    r"""$(L'/L)^{z/2}w$: all weights when the homeostatic target changes (T10).

    >>> print(np.asarray(retargeted_weights([1.0, 2.0], 1.0, 4.0, 2)).round(3))
    [4. 8.]
    """
    before, after = positive("before", before), not_negative("after", after)
    return scaled_weights(weights, jnp.sqrt(after / before), order)


@floating
def threshold_pull(
    threshold_rate: Number, sharpness: Number, average: Values
) -> Values:
    r"""$\chi = \eta_\theta\beta/\bar H$: soft replay multiplies errors by $1 - \chi$.

    Errors of the threshold, in each cycle: unstable above 2 (T11, heuristic).

    >>> print(f"{threshold_pull(0.4, 20.0, 4.0):.2f}")  # at the edge of stability
    2.00
    """
    threshold_rate = not_negative("threshold_rate", threshold_rate)
    sharpness = not_negative("sharpness", sharpness)
    return threshold_rate * sharpness / positive("average", average)
