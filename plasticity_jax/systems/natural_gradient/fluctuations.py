r"""What fluctuating and unreliable synapses cost a spiking neuron, in closed form.

Derived, not in Kreutzer et al. 2022: near the teacher's weights the divergence per bin
of length $dt$ is $\frac{dt}2 e^\top G e$, so the Fisher matrix is the curvature that
repair works against (Raman & O'Leary 2021) and the importance of a synapse for a neuron
that pays for release (Schug et al. 2021). Rates in Hz, potentials in mV, times in s.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import check_not_negative, floating
from ...circuits import input_moments, SynapticKernel, Transfer
from ...curvature import (
    glm_fisher,
    glm_fisher_inverse,
    mean_density,
    preconditioned_loss,
    steady_state,
    voltage_moments,
)
from ...numerics import eigvalsh


Vector = Float[Array, " n"]


@floating
def repaired_divergence(
    transfer: Transfer,
    weights: Vector,
    mean: Vector,
    variance: Vector,
    dt: Scalar | float,
    ratio: Scalar,
    fluctuation: Scalar,
    *,
    natural: bool = False,
    nodes: int | None = None,
) -> Scalar:
    r"""Divergence per bin at which repair of fluctuating weights settles.

    At every step the weights move by `fluctuation` (a length) at random and by `ratio`
    times that along the gradient of the divergence from the teacher `weights`, or along
    the `natural` one. Many weights, small fluctuations: `curvature.steady_state` and
    `curvature.preconditioned_loss` with the closed-form Fisher matrix times `dt` as the
    Hessian. The first does not hold closely: with 60 inputs at 10 and 50 Hz a
    simulation settles at 0.72 of it, with natural repair at 1.1. It takes the length of
    the gradient for constant; whether that is the reason was not tested. `mean` and
    `variance` are those of the synaptic potentials.

    >>> known = circuits.Sigmoid(), [0.1, 0.2], [5.0, 5.0], [10.0, 10.0], 5e-4
    >>> small, large = (repaired_divergence(*known, 1.0, x) for x in (0.01, 0.02))
    >>> print(f"{large / small:.2f}")  # the square of the fluctuation
    4.00
    """
    known = transfer, weights, mean, variance
    hessian = dt * glm_fisher(*known, nodes=nodes).as_matrix()
    if not natural:
        none = jnp.zeros_like(ratio)
        return steady_state(eigvalsh(hessian), ratio, fluctuation, none).loss
    inverse = glm_fisher_inverse(*known, nodes=nodes).as_matrix()
    return preconditioned_loss(hessian, inverse, ratio, fluctuation)


@floating
def release_importance(
    transfer: Transfer,
    weights: Vector,
    rates: Vector,
    kernel: SynapticKernel,
    *,
    nodes: int | None = None,
) -> Vector:
    r"""$\frac12 c_1 w_i^2 r_i/c_\epsilon$ in nat/s: what unreliable release costs.

    A synapse that releases with probability $p$, then $1/p$ times as much, adds the
    variance $w^2 r (1/p - 1)/c_\epsilon$ to the potential, and importance times $1/p -
    1$ to the divergence per second, for small additions.

    >>> kernel = circuits.SynapticKernel()
    >>> cost = release_importance(circuits.Sigmoid(), [0.1, -0.2], [10.0, 10.0], kernel)
    >>> print(f"{cost[1] / cost[0]:.2f}")  # the square of the weight
    4.00
    """
    m = input_moments(rates, kernel)
    mean, variance, _ = voltage_moments(weights, m.mean, m.variance)
    density = mean_density(transfer, mean, variance, order=0, nodes=nodes)
    return density * weights**2 * m.active * m.variance / 2


@floating
def best_release(importance: Vector, rates: Vector, cost: Scalar | float) -> Vector:
    r"""$\min(1, \sqrt{I_i/(c\, r_i)})$: release when each release costs `cost` nats.

    It minimises $\sum_i [I_i (1/p_i - 1) + c\, r_i p_i]$. With `release_importance` the
    rates drop out: $p_i$ is proportional to $|w_i|$. 0 at silent inputs.

    >>> best = best_release([1.0, 4.0, 400.0], [10.0, 10.0, 10.0], cost=10.0)
    >>> print(*(f"{p:.1f}" for p in best))
    0.1 0.2 1.0
    """
    check_not_negative("importance", importance)
    check_not_negative("cost", cost)
    spent = cost * rates
    share = importance / jnp.where(spent > 0, spent, 1.0)
    full = jnp.where(importance > 0, 1.0, 0.0)
    return jnp.where(spent > 0, jnp.minimum(1.0, jnp.sqrt(share)), full)
