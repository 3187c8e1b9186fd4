"""What factors make of weights: penalty, invariants, geometry (T2 to T4)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import admit, floating, not_negative, positive, whole
from ....numerics import power
from ..domains import Number, order_from_one


Values = Float[Array, "*values"]
Pair = Float[Array, "2 *synapse"]


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
    rest, gain, none = 1 - exponent, drive * time, weights == 0
    gain = gain * jnp.where(none, 1.0, weights) ** -rest  # over weights^(1 - s)
    safe, gone = jnp.where(rest == 0, 1.0, rest), rest * gain <= -1
    growth = jnp.log1p(jnp.where(gone, 0.0, safe * gain)) / safe
    growth = jnp.where(rest == 0, gain - rest * gain**2 / 2, growth)  # and its slope
    first = jnp.where(rest == 1, jnp.maximum(gain, 0.0), 0 * rest)  # from 0
    return jnp.where(none, first, jnp.where(gone, 0.0, weights * jnp.exp(growth)))


@floating
def change_exponent(order: Number) -> Scalar:
    r"""$1 - 1/z$: changes by a volatile factor grow as this power of w (T9).

    >>> print(f"{change_exponent(2):.2f}")
    0.50
    """
    return 1 - 1 / order_from_one(order)
