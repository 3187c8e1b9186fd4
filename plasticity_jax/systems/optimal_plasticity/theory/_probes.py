"""What is known by probing: noisy gradients, weight perturbation, accept-only."""

import math

import jax
import jax.numpy as jnp

from .... import Scalar
from ...._arguments import floating, not_negative, positive, whole
from ....curvature import isotropic_loss


@floating
def length_variance(corruption: Scalar, weights: int) -> Scalar:
    r"""Variance of the noisy gradient's $\|c\|^2/m^2$: $(2\rho/(1+\rho^2))^2/N$.

    >>> float(length_variance(1.0, 4)), float(length_variance(0.0, 4))
    (0.25, 0.0)
    """
    corruption = not_negative("corruption", corruption)
    return (2 * corruption / (1 + corruption**2)) ** 2 / whole("weights", weights, 1)


def probe_alignment(weights: int, probes: int = 1) -> float:
    r"""Mean cosine between $-g$ and the estimate by probes in random directions.

    $\frac{\Gamma((K+1)/2)\,\Gamma((K+N-1)/2)}{\Gamma(K/2)\,\Gamma((K+N)/2)}$, about
    $\sqrt{K/(N+K-1)}$; $\kappa_N$ for one probe. Exact on a quadratic for one probe and
    for Gaussian ones; spherical ones come closer (1.5 % at $N = K = 40$).

    >>> print(f"{probe_alignment(1):.4f} {probe_alignment(2):.4f}")  # 1 and 2 / pi
    1.0000 0.6366
    """
    size, count = whole("weights", weights, 1), whole("probes", probes, 1)
    above = math.lgamma((count + 1) / 2) + math.lgamma((count + size - 1) / 2)
    return math.exp(above - math.lgamma(count / 2) - math.lgamma((count + size) / 2))


@floating
def probe_loss(
    ratio: Scalar,
    fluctuation: Scalar,
    mean_curvature: Scalar,
    weights: int,
    probes: int = 1,
) -> Scalar:
    """Steady-state error of weight perturbation at a fixed length, large $N$.

    `curvature.isotropic_loss` over the square of `probe_alignment`: on an even
    Hessian, and on any quadratic for few probes, whose alignment is far below 1.

    >>> clean = curvature.isotropic_loss(1.0, 0.1, 1.0, 0.0)
    >>> probed = probe_loss(1.0, 0.1, 1.0, weights=2)
    >>> print(f"{clean / probed:.4f}")  # (2 / pi)^2
    0.4053
    """
    clean = isotropic_loss(ratio, fluctuation, mean_curvature, jnp.zeros_like(ratio))
    return clean / probe_alignment(weights, probes) ** 2


@floating
def one_sided_loss(
    ratio: Scalar,
    fluctuation: Scalar,
    mean_curvature: Scalar,
    probe: Scalar,
    weights: int,
) -> Scalar:
    r"""`probe_loss` of one one-sided probe of size `probe`, large $N$, even Hessian.

    The sign of $F[w + h\hat\zeta] - F[w]$ is that of $g\cdot\hat\zeta$ less often, and
    $\kappa_N$ falls by $e^{-N h^2/8R^2}$ at the distance $R$ from the minimum, which
    solves $R = \frac{(r^2 + 1)\delta}{2 r \kappa_N} e^{N h^2/8R^2}$.

    >>> small, large = (one_sided_loss(1.0, 0.1, 1.0, h, weights=2) for h in (0.0, 0.1))
    >>> two_sided = probe_loss(1.0, 0.1, 1.0, weights=2)
    >>> print(f"{small / two_sided:.3f}", bool(large > two_sided))
    1.000 True
    """
    clean = probe_loss(ratio, fluctuation, mean_curvature, weights)
    distance = jnp.sqrt(2 * clean / positive("mean_curvature", mean_curvature))
    bent = weights * not_negative("probe", probe) ** 2 / 8
    further = lambda _, r: distance * jnp.exp(bent / r**2)
    distance = jax.lax.fori_loop(0, 100, further, distance)
    return mean_curvature * distance**2 / 2


@floating
def accept_only_state(
    ratio: Scalar, fluctuation: Scalar, mean_curvature: Scalar, weights: int
) -> tuple[Scalar, Scalar]:
    r"""Steady-state error and realised RMS ratio of accept-only.

    For large $N$ on an even Hessian. A step of length $r\delta$ is kept with
    probability $\Phi(-x)$; $x = r\delta\sqrt N/2R$ at the distance $R$ from the minimum
    solves $r^2(\varphi(x) - x\Phi(-x)) = x$. The error is least at an attempted ratio
    of 1.924, and the realised one there is exactly 1.

    >>> loss, realised = accept_only_state(1.924, 0.1, 1.0, 40)
    >>> print(f"{realised:.3f}")
    1.000
    """
    ratio = positive("ratio", ratio)
    kept = lambda x: jax.scipy.stats.norm.cdf(-x)
    newton = lambda _, x: (
        ratio**2 * jax.scipy.stats.norm.pdf(x) / (1 + ratio**2 * kept(x))
    )
    x = jax.lax.fori_loop(0, 30, newton, jnp.zeros_like(ratio))
    fluctuation = not_negative("fluctuation", fluctuation)
    distance = ratio * fluctuation * jnp.sqrt(weights) / (2 * x)
    return mean_curvature * distance**2 / 2, ratio * jnp.sqrt(kept(x))
