r"""Laws of the long run: the error that compensation and fluctuations settle at.

Derived beyond Raman & O'Leary 2021 for a quadratic loss with Hessian eigenvalues
$\lambda_i$, weights $N$, fluctuation length $\delta$, ratio $r$ and corruption $\rho$:
$\gamma_1 = r\delta/\sqrt{1+\rho^2}$, $\gamma_2 = \rho\gamma_1$, $s^2 = \gamma_2^2 +
\delta^2$.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._arguments import concrete, floating, PLAIN
from .._interfaces import Scalar
from ..numerics import ratio as quotient
from ._flat import not_negative, number
from ._roots import root


Vector = Float[Array, " w"]
RATIOS = (1e-3, 10.0)  # where the best ratio is looked for
Law = Callable[..., Scalar]  # of the ratio, with which it increases, and eigenvalues


class SteadyState(NamedTuple):
    """Steady state of a quadratic under the noisy normalised gradient.

    >>> state = steady_state([2.0, 2.0], 1.0, 0.1, 0.0)
    >>> print(f"{state.step:.2f} {state.gradient_norm:.2f}", state.variances.round(3))
    0.50 0.20 [0.005 0.005]
    """

    loss: Scalar
    step: Scalar  # mu: effective learning rate, gradient part over gradient norm
    gradient_norm: Scalar  # G
    variances: Vector  # <c_i^2> of every eigen-direction; 0 where it is undriven


@floating
def gradient_parts(
    ratio: Scalar, fluctuation: Scalar, corruption: Scalar
) -> tuple[Scalar, Scalar]:
    r"""$(\gamma_1, \gamma_2)$ of the noisy gradient.

    Here and below ratio, fluctuation and corruption are not negative: `ValueError`, or
    NaN where they are traced.

    >>> clean, noise = gradient_parts(1.0, 0.1, 0.75)
    >>> print(f"{clean:.2f} {noise:.2f}")
    0.08 0.06
    """
    ratio = not_negative("ratio", ratio)
    fluctuation = not_negative("fluctuation", fluctuation)
    corruption = not_negative("corruption", corruption)
    clean = ratio * fluctuation / jnp.sqrt(1 + corruption**2)
    return clean, corruption * clean


@floating
def stationary_balance(
    mean_gradient_norm: Scalar,
    mean_gradient_curvature: Scalar,
    mean_curvature: Scalar,
    ratio: Scalar,
    fluctuation: Scalar,
    corruption: Scalar,
) -> tuple[Scalar, Scalar]:
    r"""Both sides of the stationary balance; equal on any quadratic.

    $\gamma_1\langle\|g\|\rangle = \frac12[\gamma_1^2\langle Q[g]\rangle + (\gamma_2^2 +
    \delta^2)\,\mathrm{Tr}H/N]$.

    >>> found = steady_state([1.0, 1.0], 0.5, 0.1, 0.0).gradient_norm
    >>> left, right = stationary_balance(found, 1.0, 1.0, 0.5, 0.1, 0.0)
    >>> print(f"{left:.5f} {right:.5f}")
    0.00625 0.00625
    """
    mean_gradient_norm = not_negative("mean_gradient_norm", mean_gradient_norm)
    clean, noise = gradient_parts(ratio, fluctuation, corruption)
    driven = (noise**2 + fluctuation**2) * mean_curvature
    return clean * mean_gradient_norm, (clean**2 * mean_gradient_curvature + driven) / 2


@floating
def isotropic_loss(
    ratio: Scalar, fluctuation: Scalar, mean_curvature: Scalar, corruption: Scalar
) -> Scalar:
    r"""$\frac12\frac{\mathrm{Tr}H}N\delta^2(1+\rho^2)((r+1/r)/2)^2$: best at $r=1$.

    For an isotropic Hessian, and with $\rho=0$ for the beeline and Newton's step on any
    quadratic; corrections are $O(1/N)$. Symmetric under $r \to 1/r$. Without repair
    ($r = 0$) there is no steady state: `ValueError`, or infinite where `ratio` is
    traced.

    >>> print([f"{isotropic_loss(r, 0.1, 2.0, 0.0):.4f}" for r in (0.5, 1.0, 2.0)])
    ['0.0156', '0.0100', '0.0156']
    """
    ratio, idle = _repairing(not_negative("ratio", ratio))
    fluctuation = not_negative("fluctuation", fluctuation)
    corruption = not_negative("corruption", corruption)
    mean_curvature = not_negative("mean_curvature", mean_curvature)
    length = fluctuation * (ratio + 1 / ratio) / 2
    loss = 0.5 * mean_curvature * (1 + corruption**2) * length**2
    return jnp.where(idle & (loss > 0), jnp.inf, loss)


@floating
def relaxation_rate(ratio: Scalar, fluctuation: Scalar, corruption: Scalar) -> Scalar:
    r"""$2\gamma_1^2/(\gamma_1^2+s^2)$ per step, isotropic: how fast it settles.

    0 where nothing moves.

    >>> print([f"{relaxation_rate(r, 0.1, 0.0):.2f}" for r in (0.5, 1.0)])
    ['0.40', '1.00']
    """
    clean, noise = gradient_parts(ratio, fluctuation, corruption)
    return quotient(2 * clean**2, clean**2 + noise**2 + fluctuation**2)


@floating
def steady_state(
    eigenvalues: Vector,
    ratio: Scalar,
    fluctuation: Scalar,
    corruption: Scalar,
    driven: Vector | None = None,
    weights: Vector | None = None,
) -> SteadyState:
    r"""Steady state of the noisy normalised gradient on any quadratic, large $N$.

    Each direction is an AR(1) process with the effective learning rate $\mu =
    \gamma_1/G$, $G = \langle\|g\|\rangle$, so that $\langle c_i^2\rangle =
    s_i^2/(\mu\lambda_i(2-\mu\lambda_i))$, and $\mu$ solves $\gamma_1^2 = \mu \sum_i
    \lambda_i s_i^2/(2-\mu\lambda_i)$, $0 < \mu\lambda_{max} < 2$. `driven` are the
    shares $e_i$ of the fluctuation's square in each direction (they sum to 1; default
    $1/N$): $s_i^2 = \delta^2 e_i + \gamma_2^2/N$. Where the stiffest direction is
    undriven, $\mu$ stops at $2/\lambda_{max}$ and that direction, marginally unstable,
    takes up the rest of the gradient's length. `weights` are the shares of directions
    with these eigenvalues (they sum to 1; default $1/N$), as a `spectrum` gives them:
    by Lanczos, of a network of any size; variances are then sums over a share.
    Eigenvalues that rounding made negative count as zero; directions with none do not
    count. Use float64 where the step comes
    near its limit: in float32 the loss is 0.4 % off at $r = 10$ and $N = 1000$.

    Without fluctuation, and on a flat loss, the loss is 0. There is no steady state
    without repair ($r = 0$) or with a plainly negative eigenvalue: `ValueError`; where
    values are traced, an infinite loss and NaN. Shares that are negative, or do not sum
    to 1, are refused or NaN as well.

    >>> found = steady_state([2.0, 2.0], 2.0, 0.1, 0.0)
    >>> print(f"{found.loss:.4f} {isotropic_loss(2.0, 0.1, 2.0, 0.0):.4f}")
    0.0156 0.0156
    """
    given = eigenvalues, ratio, fluctuation, corruption, driven, weights
    return _settled(*_checked(*given))


def _checked(
    eigenvalues: Vector,
    ratio: Scalar,
    fluctuation: Scalar,
    corruption: Scalar,
    driven: Vector | None,
    weights: Vector | None,
) -> tuple[Any, ...]:
    """What `_settled` takes, from what `steady_state` takes; raises its errors."""
    count = _count(eigenvalues)
    ratio, idle = _repairing(number("ratio", ratio, eigenvalues.dtype))
    fluctuation = number("fluctuation", fluctuation, eigenvalues.dtype)
    corruption = number("corruption", corruption, eigenvalues.dtype)
    eigenvalues = _not_a_saddle(eigenvalues)
    shares = jnp.full_like(eigenvalues, 1 / count)
    if weights is not None:
        shares = weights = _shares("weights", weights).astype(shares.dtype)
    if driven is not None:
        shares = _shares("driven", driven).astype(shares.dtype)
    return eigenvalues, ratio, idle, fluctuation, corruption, shares, weights


@jax.jit
def _settled(
    eigenvalues: Vector,
    ratio: Scalar,
    idle: Bool[Array, ""],
    fluctuation: Scalar,
    corruption: Scalar,
    shares: Vector,
    weights: Vector | None,
) -> SteadyState:
    """`steady_state` of arguments that were checked."""
    count = len(eigenvalues)
    flat, calm = jnp.max(eigenvalues) == 0, fluctuation == 0
    eigenvalues = jnp.where(flat, 1, eigenvalues)
    fluctuation = jnp.where(calm, 1, fluctuation)
    clean, noise = gradient_parts(ratio, fluctuation, corruption)
    spread = noise**2 / count if weights is None else noise**2 * weights
    variances = fluctuation**2 * shares + spread
    active = jnp.where(variances == 0, 0, eigenvalues)
    stiffest, limit = jnp.max(eigenvalues), jnp.max(active)
    undriven = limit == 0

    def excess(step: Scalar) -> Scalar:
        return step * jnp.sum(active * variances / (2 - step * active)) - clean**2

    highest = 2 / jnp.where(undriven, stiffest, limit)
    step = root(excess, jnp.zeros_like(limit), highest)
    marginal = undriven | (step * stiffest > 2)
    step = jnp.where(marginal, 2 / stiffest, step)
    gradient_norm = clean / step
    still = active == 0
    decay = jnp.where(still, 1, step * active)
    spread = jnp.where(still, 0, variances / (decay * (2 - decay)))
    rest = jnp.where(marginal, gradient_norm**2 - jnp.sum(active**2 * spread), 0)
    loss = (jnp.sum(active * spread) + rest / stiffest) / 2
    # What was replaced by 1 is nothing; times, so that NaN stays.
    moves = jnp.where(flat | calm, 0, jnp.ones_like(loss))
    lost = idle & (moves * loss > 0)
    return SteadyState(
        jnp.where(lost, jnp.inf, moves * loss),
        jnp.where(flat, jnp.inf, jnp.where(lost, 0, step)),
        jnp.where(lost, jnp.inf, moves * gradient_norm),
        jnp.where(lost & ~still, jnp.inf, moves * spread),
    )


def _count(eigenvalues: Vector) -> int:
    """How many there are; `ValueError` for none."""
    if eigenvalues.ndim != 1 or not eigenvalues.size:
        raise ValueError(
            "`eigenvalues` must be a row of at least one; got shape "
            f"{eigenvalues.shape}."
        )
    return len(eigenvalues)


def _repairing(ratio: Scalar) -> tuple[Scalar, Array]:
    """`ratio`, 1 in place of a traced 0, and where that is; a concrete 0 is refused."""
    if concrete(ratio) and np.any(np.asarray(ratio) == 0):
        raise ValueError(
            "`ratio` must be above 0: without repair there is no steady state."
        )
    idle = ratio == 0
    return jnp.where(idle, 1, ratio), idle


def _not_a_saddle(eigenvalues: Vector) -> Vector:
    """Zero in place of what rounding made negative; a plain one is refused or NaN."""
    if concrete(eigenvalues):
        entries = np.asarray(eigenvalues)
        if np.any(entries < -PLAIN * np.max(np.abs(entries))):
            raise ValueError(
                "`eigenvalues` must not be negative: a saddle has no steady state; got "
                f"{np.min(entries):.4g}. Leave such directions out, or count them as "
                "flat: `jnp.maximum(eigenvalues, 0)`."
            )
    lowest = -PLAIN * jnp.max(jnp.abs(eigenvalues))
    return jnp.where(eigenvalues < lowest, jnp.nan, jnp.maximum(eigenvalues, 0))


def _shares(name: str, shares: Vector) -> Vector:
    """The same, refused or NaN unless these are shares."""
    shares, total = not_negative(name, shares), jnp.sum(shares)
    apart = jnp.abs(total - 1) > PLAIN
    if concrete(apart) and apart:
        raise ValueError(f"`{name}` must sum to 1; got {total:.4g}.")
    return jnp.where(apart, jnp.nan, shares)


def _ratio_where(
    law: Law,
    eigenvalues: Vector,
    corruption: Scalar,
    driven: Vector | None = None,
    weights: Vector | None = None,
) -> Scalar:
    """The ratio in [0.001, 10] where a law crosses zero; NaN where that is traced.

    Raises `ValueError` where it does not, for a flat loss and as `steady_state`.
    """
    _count(eigenvalues)
    if concrete(eigenvalues) and not np.any(np.asarray(eigenvalues)):
        raise ValueError(
            "`eigenvalues` must not all be 0: on a flat loss no ratio is best."
        )
    one = jnp.ones_like(eigenvalues[0])
    _checked(eigenvalues, one, one, corruption, driven, weights)
    found, start, end = _crossing(law, eigenvalues, corruption, driven, weights)
    if concrete(found) and jnp.isnan(found) and not jnp.isnan(start + end):
        raise ValueError(
            f"the ratio must lie within {RATIOS}; for these `eigenvalues` and shares "
            f"it is at or beyond the {'upper' if end <= 0 else 'lower'} end."
        )
    return found


@partial(jax.jit, static_argnums=0)
def _crossing(
    law: Law, eigenvalues: Vector, *options: Any
) -> tuple[Scalar, Scalar, Scalar]:
    """The ratio where a law crosses zero, or NaN, and the law at both ends."""
    of_log = jax.jit(lambda log: law(jnp.exp(log), eigenvalues, *options))
    low, high = (jnp.log(jnp.asarray(x, eigenvalues.dtype)) for x in RATIOS)
    start, end = of_log(low), of_log(high)
    inside = (start < 0) & (end > 0)
    found = jnp.exp(root(of_log, low, high))
    return jnp.where(inside, found, jnp.nan), start, end


@floating
def best_ratio(
    eigenvalues: Vector,
    corruption: Scalar,
    driven: Vector | None = None,
    weights: Vector | None = None,
) -> Scalar:
    """The fixed ratio of least steady-state error, between 0.001 and 10.

    Raises `ValueError` where there is none inside, as on a flat loss, and for what
    `steady_state` refuses; NaN where values are traced.

    >>> print(f"{best_ratio([2.0, 2.0], 0.0):.3f}")
    1.000
    """
    return _ratio_where(_slope, eigenvalues, corruption, driven, weights)


def _slope(ratio: Scalar, eigenvalues: Vector, *options: Any) -> Scalar:
    one = jnp.ones_like(eigenvalues[0])
    state = lambda log: steady_state(eigenvalues, jnp.exp(log), one, *options)
    return jax.grad(lambda log: state(log).loss)(jnp.log(ratio))


@floating
def greedy_ratio(
    eigenvalues: Vector, corruption: Scalar, weights: Vector | None = None
) -> Scalar:
    r"""The greedy optimum at its own steady state.

    $r^2\langle Q[\Delta c]\rangle = \mathrm{Tr}H/N$ (Raman & O'Leary 2021, Eq. 9). Not
    above `best_ratio`: the greedy optimum compensates less than the best fixed one.
    Raises as `best_ratio`.

    >>> print(f"{greedy_ratio([2.0, 2.0], 0.0):.3f}")
    1.000
    >>> print(greedy_ratio([0.1, 2.0], 0.0) < best_ratio([0.1, 2.0], 0.0))
    True
    """
    return _ratio_where(_excess, eigenvalues, corruption, None, weights)


def _excess(
    ratio: Scalar,
    eigenvalues: Vector,
    corruption: Scalar,
    driven: None,
    weights: Vector | None,
) -> Scalar:
    one = jnp.ones_like(eigenvalues[0])
    mean = jnp.mean(eigenvalues) if weights is None else jnp.sum(weights * eigenvalues)
    state = steady_state(eigenvalues, ratio, one, corruption, driven, weights)
    power = eigenvalues**2 * state.variances
    steep = jnp.sum(eigenvalues * power) / jnp.sum(power)
    clean, noise = gradient_parts(ratio, one, corruption)
    return clean**2 * steep + noise**2 * mean - mean
