"""What replay climbs, and how near it comes to the largest margin (T1, T5, T6)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import floating, not_negative, positive, probability
from ..domains import inner_level, Number


Values = Float[Array, "*values"]
Weights = Float[Array, " n"]
Rows = Float[Array, "*row"]
Replays = Float[Array, "*row pattern"]
Patterns = Float[Array, "n pattern"]
Each = Float[Array, " pattern"]


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


# --- the optimum, T5 ----------------------------------------------------------------


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
def margin_slope(weights: Weights, targets: Each, replay: Each) -> Patterns:
    r"""$\partial m^*/\partial\xi_j^\mu = p^\mu\sigma^\mu w_j$ at the optimum.

    The envelope theorem: the largest margin $m^*$ of `weights` of norm 1 moves with the
    patterns as if these and its duals `replay` stood still (T5). One of its
    subgradients where there are several optima.

    >>> margin_slope([1.0, 0.0], [1.0, -1.0], [0.5, 0.5])[0].tolist()
    [0.5, -0.5]
    """
    return jnp.outer(weights, replay * targets)


# --- gap and speed, T6 --------------------------------------------------------------


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
