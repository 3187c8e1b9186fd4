r"""Laws of the long run: the error that compensation and fluctuations settle at.

Derived beyond Raman & O'Leary 2021 for a quadratic loss with Hessian eigenvalues
$\lambda_i$, weights $N$, fluctuation length $\delta$, ratio $r$ and corruption $\rho$:
$\gamma_1 = r\delta/\sqrt{1+\rho^2}$, $\gamma_2 = \rho\gamma_1$, $s^2 = \gamma_2^2 +
\delta^2$.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._interfaces import Scalar


Vector = Float[Array, " w"]
BISECTIONS = 60
RATIOS = (1e-3, 10.0)  # where the best ratio is looked for


class SteadyState(NamedTuple):
    """Steady state of a quadratic under the noisy normalised gradient."""

    loss: Scalar
    step: Scalar  # mu: effective learning rate, gradient part over gradient norm
    gradient_norm: Scalar  # G
    variances: Vector  # <c_i^2> of every eigen-direction; 0 where it is undriven


def gradient_parts(
    ratio: Scalar, fluctuation: Scalar, corruption: Scalar
) -> tuple[Scalar, Scalar]:
    r"""$(\gamma_1, \gamma_2)$ of the noisy gradient."""
    clean = ratio * fluctuation / jnp.sqrt(1 + corruption**2)
    return clean, corruption * clean


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
    """
    clean, noise = gradient_parts(ratio, fluctuation, corruption)
    driven = (noise**2 + fluctuation**2) * mean_curvature
    return clean * mean_gradient_norm, (clean**2 * mean_gradient_curvature + driven) / 2


def isotropic_loss(
    ratio: Scalar, fluctuation: Scalar, mean_curvature: Scalar, corruption: Scalar
) -> Scalar:
    r"""$\frac12\frac{\mathrm{Tr}H}N\delta^2(1+\rho^2)((r+1/r)/2)^2$: best at $r=1$.

    For an isotropic Hessian, and with $\rho=0$ for the beeline and Newton's step on any
    quadratic; corrections are $O(1/N)$. Symmetric under $r \to 1/r$.
    """
    length = fluctuation * (ratio + 1 / ratio) / 2
    return 0.5 * mean_curvature * (1 + corruption**2) * length**2


def relaxation_rate(ratio: Scalar, fluctuation: Scalar, corruption: Scalar) -> Scalar:
    r"""$2\gamma_1^2/(\gamma_1^2+s^2)$ per step, isotropic: how fast it settles."""
    clean, noise = gradient_parts(ratio, fluctuation, corruption)
    return 2 * clean**2 / (clean**2 + noise**2 + fluctuation**2)


def steady_state(
    eigenvalues: Vector,
    ratio: Scalar,
    fluctuation: Scalar,
    corruption: Scalar,
    driven: Vector | None = None,
) -> SteadyState:
    r"""Steady state of the noisy normalised gradient on any quadratic, large $N$.

    Each direction is an AR(1) process with the effective learning rate $\mu =
    \gamma_1/G$, $G = \langle\|g\|\rangle$, so that $\langle c_i^2\rangle =
    s_i^2/(\mu\lambda_i(2-\mu\lambda_i))$, and $\mu$ solves $\gamma_1^2 = \mu \sum_i
    \lambda_i s_i^2/(2-\mu\lambda_i)$, $0 < \mu\lambda_{max} < 2$. `driven` are the
    shares $e_i$ of the fluctuation's square in each direction (they sum to 1; default
    $1/N$): $s_i^2 = \delta^2 e_i + \gamma_2^2/N$. Where the stiffest direction is
    undriven, $\mu$ stops at $2/\lambda_{max}$ and that direction, marginally unstable,
    takes up the rest of the gradient's length. Eigenvalues are clipped at zero;
    directions with none do not count. Needs $r > 0$; use float64.
    """
    eigenvalues = jnp.maximum(eigenvalues, 0.0)
    count = len(eigenvalues)
    shares = jnp.full(count, 1 / count) if driven is None else driven
    clean, noise = gradient_parts(ratio, fluctuation, corruption)
    variances = fluctuation**2 * shares + noise**2 / count
    active = jnp.where(variances > 0, eigenvalues, 0.0)
    stiffest, limit = jnp.max(eigenvalues), jnp.max(active)

    def excess(step: Scalar) -> Scalar:
        return step * jnp.sum(active * variances / (2 - step * active)) - clean**2

    step = _root(excess, 2 / limit)
    marginal = step * stiffest > 2
    step = jnp.where(marginal, 2 / stiffest, step)
    gradient_norm = clean / step
    moving = active > 0
    safe = jnp.where(moving, active, 1.0)
    spread = variances / (step * safe * (2 - step * safe))
    spread = jnp.where(moving, spread, 0.0)
    rest = jnp.where(marginal, gradient_norm**2 - jnp.sum(active**2 * spread), 0.0)
    loss = (jnp.sum(active * spread) + rest / stiffest) / 2
    return SteadyState(loss, step, gradient_norm, spread)


def _root(function: Callable[[Scalar], Scalar], high: Scalar) -> Scalar:
    """Root in (0, high) of an increasing function, differentiable in its closure."""
    return jax.lax.custom_root(
        function,
        high / 2,
        lambda function, _: _bisect(function, jnp.zeros_like(high), high),
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )


def _bisect(function: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> Scalar:
    """Where `function` crosses zero from below between `low` and `high`."""

    def halve(_: Any, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = ends
        middle = (low + high) / 2
        below = function(middle) < 0
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, (low, high))
    return (low + high) / 2


def _ratio_where(increasing: Callable[[Scalar], Scalar]) -> Scalar:
    """The ratio in [0.001, 10] where a function of the ratio crosses zero."""
    low, high = (jnp.log(jnp.asarray(x, jnp.result_type(float))) for x in RATIOS)
    return jnp.exp(_bisect(lambda log: increasing(jnp.exp(log)), low, high))


def best_ratio(
    eigenvalues: Vector, corruption: Scalar, driven: Vector | None = None
) -> Scalar:
    """The fixed ratio of least steady-state error, between 0.001 and 10."""

    def slope(ratio: Scalar) -> Scalar:
        loss = lambda log: (
            steady_state(
                eigenvalues, jnp.exp(log), jnp.ones(()), corruption, driven
            ).loss
        )
        return jax.grad(loss)(jnp.log(ratio))

    return _ratio_where(slope)


def greedy_ratio(eigenvalues: Vector, corruption: Scalar) -> Scalar:
    r"""Eq. 9 at its own steady state: $r^2\langle Q[\Delta c]\rangle = \mathrm{Tr}H/N$.

    Not above `best_ratio`: the greedy optimum compensates less than the best fixed one.
    """
    mean = jnp.mean(eigenvalues)

    def excess(ratio: Scalar) -> Scalar:
        state = steady_state(eigenvalues, ratio, jnp.ones(()), corruption)
        power = eigenvalues**2 * state.variances
        steep = jnp.sum(eigenvalues * power) / jnp.sum(power)
        clean, noise = gradient_parts(ratio, jnp.ones(()), corruption)
        return clean**2 * steep + noise**2 * mean - mean

    return _ratio_where(excess)
