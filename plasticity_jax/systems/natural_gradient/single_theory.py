r"""Closed forms for one synapse, and for groups of synapses with equal weights.

Kreutzer, Senn & Petrovici 2022, eLife 11:e66526; all of them derived, not in the paper.
Rates in Hz, potentials in mV, times in s.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ... import Scalar
from ..._arguments import floating
from ...circuits import score, SynapticKernel, Transfer
from ...curvature import Coefficients, fisher_density


Values = Float[Array, "*shape"]


@floating
def variance_law(
    transfer: Transfer,
    variance: Values,
    learning_rate: Scalar | float,
    duration: Scalar | float,
    target_rate: Scalar | float,
) -> Values:
    r"""$\eta T (r^* - \phi(0)) \frac{\phi'}{\phi}(0) / [c_1(0) (1 + \sigma^2)]$.

    The law behind Fig. 5: mean change of one small weight after `duration` T under an
    independent teacher of rate $r^*$, for a synaptic potential of mean 1 mV and this
    `variance` (mV$^2$). It goes with the inverse of the second moment, not of the
    variance. First order in the weight, stationary input.

    >>> change = variance_law(circuits.Sigmoid(), [1.0, 3.0], 0.017, 5.0, 20.0)
    >>> print(f"{change[0] / change[1]:.2f}", bool(change[0] > 0))  # (1 + 3) / (1 + 1)
    2.00 True
    """
    rest = jnp.zeros_like(variance)
    error = (target_rate - transfer(rest)) * score(transfer, rest)
    density = fisher_density(transfer, rest)[0]
    return learning_rate * duration * error / (density * (1 + variance))


def _group_factors(
    c: Coefficients, kernel: SynapticKernel, weight: Scalar
) -> tuple[Scalar, Scalar]:
    r"""$\hat\gamma_u$ and $\hat\gamma_w$: $\gamma_u$ and $\gamma_w$ per unit of $X$."""
    drive = kernel.area / kernel.energy
    return -drive * (drive * c.g1 + c.g2 * weight), drive * c.g2 + c.g4 * weight


@floating
def heterosynaptic_ratio(
    c: Coefficients,
    kernel: SynapticKernel,
    stimulated: Scalar,
    unstimulated: Scalar,
    total_rate: Scalar,
) -> Scalar:
    r"""Change of a silent synapse over the mean change of the stimulated ones (Fig. 7).

    If all stimulated weights are equal, $V = \hat w X$ with $X$ the sum of their
    potentials, every term of the natural gradient is proportional to $X$, and the ratio
    $(-\hat\gamma_u + \hat\gamma_w w) / (c_\epsilon/\sum r - \hat\gamma_u +
    \hat\gamma_w \hat w)$ is the same whatever the spikes of inputs and teacher. Exact
    for one step. `total_rate` is that of the stimulated inputs together.

    >>> c = curvature.glm_coefficients(circuits.Sigmoid(), 5.0, 4.0, 10.0)
    >>> kernel = circuits.SynapticKernel()
    >>> edge = heterosynaptic_boundary(c, kernel, 0.1)
    >>> print(f"{abs(heterosynaptic_ratio(c, kernel, 0.1, edge, 100.0)):.3f}")
    0.000
    """
    uniform, proportional = _group_factors(c, kernel, stimulated)
    silent = -uniform + proportional * unstimulated
    own = 1 / (kernel.energy * total_rate)
    return silent / (own - uniform + proportional * stimulated)


@floating
def heterosynaptic_boundary(
    c: Coefficients, kernel: SynapticKernel, stimulated: Scalar
) -> Scalar:
    r"""$\hat\gamma_u/\hat\gamma_w$: the silent weight whose change is zero (Fig. 7).

    Above it silent synapses change with the sign of the stimulated ones.

    >>> c = curvature.glm_coefficients(circuits.Sigmoid(), 5.0, 4.0, 10.0)
    >>> kernel = circuits.SynapticKernel()
    >>> edge = heterosynaptic_boundary(c, kernel, 0.1)
    >>> above = heterosynaptic_ratio(c, kernel, 0.1, edge + 0.1, 100.0)
    >>> bool(above > 0)
    True
    """
    uniform, proportional = _group_factors(c, kernel, stimulated)
    return uniform / proportional
