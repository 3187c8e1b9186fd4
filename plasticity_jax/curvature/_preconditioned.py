"""The law of the long run for repair along a preconditioned gradient."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import check_symmetric, floating
from .._interfaces import Scalar
from ..numerics import eigh
from ._compensation import _repairing
from ._flat import not_negative
from ._roots import root


Matrix = Float[Array, "w w"]


@floating
def preconditioned_loss(
    hessian: Matrix, preconditioner: Matrix, ratio: Scalar, fluctuation: Scalar
) -> Scalar:
    r"""Steady-state error of repair along $-Pg$ at a fixed length, many weights.

    With $A = P^{1/2} H P^{1/2} = V a V^\top$ the process is linear in $u = P^{-1/2} w$
    along the columns of $V$, and there $\langle c_i c_j\rangle = S_{ij}/(1 - (1 - \mu
    a_i)(1 - \mu a_j))$, $S = \frac{\delta^2}N V^\top P^{-1} V$. The effective learning
    rate $\mu = r\delta/|Pg|$ solves $\mu^2 \sum_{ij} a_i a_j \langle c_i c_j\rangle
    (V^\top P V)_{ij} = r^2\delta^2$, and the error is $\frac12 \sum_i a_i \langle
    c_i^2\rangle$. $P = 1$ is `steady_state`, $P = H^{-1}$ (natural gradient, Newton's
    step) `isotropic_loss`. Both matrices must be positive definite: NaN else.

    >>> hessian = jnp.diag(jnp.array([1.0, 4.0]))
    >>> loss = preconditioned_loss(hessian, jnp.linalg.inv(hessian), 1.0, 0.1)
    >>> print(f"{loss:.4f} {isotropic_loss(1.0, 0.1, 2.5, 0.0):.4f}")
    0.0125 0.0125
    """
    check_symmetric("hessian", hessian)
    check_symmetric("preconditioner", preconditioner)
    ratio, idle = _repairing(not_negative("ratio", ratio))
    fluctuation = not_negative("fluctuation", fluctuation)
    loss = fluctuation**2 * _settled(hessian, preconditioner, ratio)
    return jnp.where(idle, jnp.inf, loss)


@jax.jit
def _settled(hessian: Matrix, preconditioner: Matrix, ratio: Scalar) -> Scalar:
    scales, axes = eigh(preconditioner)
    half = axes * jnp.sqrt(scales)[None] @ axes.T
    values, vectors = eigh(half @ hessian @ half)
    values = jnp.where(values > 0, values, jnp.nan)
    noise = vectors.T @ (axes / scales[None] @ axes.T) @ vectors / len(values)
    weight = vectors.T @ preconditioner @ vectors * jnp.outer(values, values)

    def spread(step: Scalar) -> Matrix:
        kept = 1 - step * values
        return noise / (1 - jnp.outer(kept, kept))

    excess = lambda step: step**2 * jnp.sum(weight * spread(step)) - ratio**2
    most = 2 / jnp.max(values)
    step = root(excess, jnp.zeros_like(most), most)
    return jnp.sum(values * jnp.diagonal(spread(step))) / 2
