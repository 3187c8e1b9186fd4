r"""Closed forms of one step: what a compensation and a fluctuation do to a loss.

Raman & O'Leary 2021, eLife 10:e62912 (main text Eqs. 1-14, appendix Eqs. A1-A8), with
the corrections of its misprints. `loss` is any scalar function of a pytree of weights;
`Q_w[v]` is `curvature.quadratic_form`. The laws of the long run are in `curvature`
(`steady_state` and its neighbours).

Each law refuses, with a `ValueError`, shapes that do not fit and what is outside of its
domain, such as a length or a curvature that must be positive; there it is NaN where its
arguments are traced.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ... import Scalar, Synapses
from ..._arguments import (
    check_finite,
    check_symmetric,
    concrete,
    fitted,
    floating,
    not_negative,
    positive,
    probability,
    whole,
)
from ...curvature import arrays_of, hessian, hvp, isotropic_loss, quadratic_form
from ...numerics import tree_norm, tree_unit, tree_vdot


Loss = Callable[[Synapses], Array]
Vector = Float[Array, " w"]
Matrix = Float[Array, "w w"]


def second_order_change(
    loss: Loss, weights: PyTree, compensation: PyTree, fluctuation: PyTree
) -> Scalar:
    r"""Loss change over one step to second order (Eq. 2); exact on a quadratic.

    $\epsilon^\top g + c^\top g + \frac12 c^\top H c + \frac12 \epsilon^\top H
    \epsilon + c^\top H \epsilon$, written as Eq. 7 with $Q_w$.

    >>> bowl = lambda w: w @ w / 2
    >>> w, c, noise = jnp.asarray([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    >>> print(f"{second_order_change(bowl, w, c, noise):.3f}")  # from 1/2 to 2
    1.500
    """
    loss, weights, (compensation, fluctuation) = _in_arrays(
        loss, weights, compensation=compensation, fluctuation=fluctuation
    )
    gradient = jax.grad(loss)(weights)
    square = lambda d: tree_vdot(d, d) * quadratic_form(loss, weights, d)
    squares = square(compensation) + square(fluctuation)
    cross = tree_vdot(compensation, hvp(loss, weights, fluctuation))
    first = tree_vdot(compensation, gradient) + tree_vdot(fluctuation, gradient)
    return first + squares / 2 + cross


@floating
def expected_change(
    loss: Loss, weights: PyTree, compensation: PyTree, fluctuation_norm: Scalar
) -> Scalar:
    r"""Expected loss change over spherical fluctuations (Eq. 8, right side derived).

    $c^\top g + \frac12 \|c\|^2 Q_w[c] + \frac12 \delta^2\, \mathrm{Tr} H / N$; without
    compensation it is Box 2.

    >>> bowl = lambda w: w @ w / 2
    >>> w = jnp.asarray([1.0, 0.0])
    >>> print(f"{expected_change(bowl, w, -w, 2.0):.3f}")  # from 1/2 to 2^2 / 2
    1.500
    """
    loss, weights, [compensation] = _in_arrays(loss, weights, compensation=compensation)
    fluctuation_norm = not_negative("fluctuation_norm", fluctuation_norm)
    gradient, square = jax.grad(loss)(weights), tree_vdot(compensation, compensation)
    curved = 0.5 * square * quadratic_form(loss, weights, compensation)
    own = tree_vdot(compensation, gradient) + curved
    return own + fluctuation_norm**2 * mean_curvature(hessian(loss, weights)) / 2


def optimal_length(loss: Loss, weights: PyTree, direction: PyTree) -> Scalar:
    r"""Length along `direction` that lowers the loss most (Eq. 6).

    $-\hat{c}^\top g / Q_w[c]$, exact on a quadratic; NaN where $Q_w[c] \le 0$,
    since there is no minimum.

    >>> bowl = lambda w: w @ w / 2
    >>> w = jnp.asarray([3.0, 4.0])
    >>> print(f"{optimal_length(bowl, w, -w):.3f}")  # to the bottom
    5.000
    """
    loss, weights, [direction] = _in_arrays(loss, weights, direction=direction)
    curvature = quadratic_form(loss, weights, direction)
    slope = tree_vdot(tree_unit(direction), jax.grad(loss)(weights))
    curved = curvature > 0
    return jnp.where(curved, -slope / jnp.where(curved, curvature, 1.0), jnp.nan)


@floating
def optimal_ratio(
    fluctuation_curvature: Scalar, compensation_curvature: Scalar
) -> Scalar:
    r"""$\|\Delta c\|^*/\|\Delta\epsilon\| = \sqrt{Q_w[\Delta\epsilon]/Q_w[\Delta c]}$.

    Eq. 9b. Holds where the loss is stationary and every length is the optimal one; it
    is a one-step (greedy) optimum, not the best fixed ratio of a whole run.

    >>> float(optimal_ratio(4.0, 1.0)), float(optimal_ratio(1.0, 1.0))
    (2.0, 1.0)
    """
    above = not_negative("fluctuation_curvature", fluctuation_curvature)
    below = positive("compensation_curvature", compensation_curvature)
    return jnp.sqrt(above / below)


@floating
def learning_excess(
    expected_drop: Scalar, fluctuation_norm: Scalar, fluctuation_curvature: Scalar
) -> Scalar:
    r"""How far the optimal ratio exceeds Eq. 9 while the loss still falls (Eq. 10).

    $\frac{\|c\|^{*2} Q[c]}{\delta^2 Q[\epsilon]} - 1 = \frac{2\,E[-\Delta
    F^*]}{\delta^2 Q[\epsilon]}$, with `expected_drop` $= E[-\Delta F^*]$.

    >>> learning_excess(0.0, 1.0, 4.0).tolist(), learning_excess(1.0, 1.0, 4.0).tolist()
    (0.0, 0.5)
    """
    length = positive("fluctuation_norm", fluctuation_norm)
    curvature = positive("fluctuation_curvature", fluctuation_curvature)
    return 2 * expected_drop / (length**2 * curvature)


@floating
def slope_per_length(
    compensation_curvature: Scalar,
    compensation_norm: Scalar,
    fluctuation_curvature: Scalar,
    fluctuation_norm: Scalar,
) -> Scalar:
    r"""$d(E[\Delta F]/\|c\|)/d\|c\|$ (A1): zero exactly where Eq. 9a holds.

    >>> length = optimal_ratio(4.0, 1.0)  # of a fluctuation of length 1
    >>> float(slope_per_length(1.0, length, 4.0, 1.0))
    0.0
    """
    length = positive("compensation_norm", compensation_norm)
    ratio = not_negative("fluctuation_norm", fluctuation_norm) / length
    return compensation_curvature / 2 - ratio**2 * fluctuation_curvature / 2


@floating
def mean_curvature(matrix: Matrix, moment: Matrix | None = None) -> Scalar:
    r"""$E\,Q_w[\hat\xi] = \mathrm{Tr} H / N$ for isotropic directions (Eq. 12).

    Directions with the second moment $S = E[\hat\xi\hat\xi^\top]$ see $\mathrm{Tr}
    HS$ on average; $\mathrm{Tr} H / N$ needs equal second moments $1/N$ along all
    eigenvectors, where the appendix prints equal means.

    >>> matrix = jnp.diag(jnp.asarray([1.0, 3.0]))
    >>> along = jnp.diag(jnp.asarray([0.0, 1.0]))
    >>> float(mean_curvature(matrix)), float(mean_curvature(matrix, along))
    (2.0, 3.0)
    """
    if moment is None:
        return jnp.trace(matrix) / len(matrix)
    return jnp.sum(matrix * moment.T)


@floating
def curvature_variance(matrix: Matrix) -> Scalar:
    r"""$\mathrm{Var}\,Q_w[\hat\xi] = 2(\|H\|_F^2 - (\mathrm{Tr} H)^2/N)/(N(N+2))$.

    >>> matrix = jnp.diag(jnp.asarray([1.0, 3.0]))  # 2 - cos(2 angle)
    >>> float(curvature_variance(matrix))
    0.5
    """
    check_symmetric("matrix", matrix)
    n = len(matrix)
    spread = jnp.sum(matrix**2) - jnp.trace(matrix) ** 2 / n
    return 2 * spread / (n * (n + 2))


@floating
def gradient_curvature(eigenvalues: Vector, overlaps: Vector) -> Scalar:
    r"""$Q_w[g] = \sum d_i^2 \lambda_i / \sum d_i^2$, $d_i = v_i^\top g$ (A2).

    On a quadratic $d_i = \lambda_i c_i$, $c_i = v_i^\top (w - w^*)$, which is Eq. 14.

    >>> float(gradient_curvature([1.0, 3.0], [1.0, 1.0]))
    2.0
    >>> float(gradient_curvature([1.0, 3.0], [0.0, 1.0]))
    3.0
    """
    return jnp.sum(overlaps**2 * eigenvalues) / jnp.sum(overlaps**2)


@floating
def newton_curvature(eigenvalues: Vector, overlaps: Vector) -> Scalar:
    r"""$Q_w[H^{-1} g] = \sum d_i^2 \lambda_i^{-1} / \sum d_i^2 \lambda_i^{-2}$ (A6).

    >>> float(newton_curvature([1.0, 2.0], [1.0, 2.0]))  # straight at the minimum
    1.5
    """
    weights = (overlaps / eigenvalues) ** 2
    return jnp.sum(weights * eigenvalues) / jnp.sum(weights)


@floating
def path_steepness(path: Matrix, matrix: Matrix) -> Scalar:
    r"""$\frac{\mathrm{Tr} MHM/\mathrm{Tr} M^2}{\mathrm{Tr} H/N}$: A5's premise says 1.

    The curvature along $g = M(w - w^*)$ over the average, numerator and denominator
    each averaged over isotropic $w - w^*$. Its mean is 1 where $M$ (`path_hessian`) is
    oriented at random to $H$; on a quadratic, where $M = H$, it is at least 1.

    >>> matrix = jnp.diag(jnp.asarray([1.0, 3.0]))
    >>> print(f"{path_steepness(matrix, matrix):.2f}")  # (1 + 27) / (1 + 9) / 2
    1.40
    """
    check_symmetric("path", path)
    square = path @ path
    steepness = jnp.sum(square * matrix.T) / jnp.trace(square)
    return steepness / mean_curvature(matrix)


@floating
def gradient_is_steep(eigenvalues: Vector, displacement: Vector) -> Array:
    r"""A3: whether $Q_w[g] \ge \mathrm{Tr} H/N$ on a quadratic.

    `displacement` holds $c_i = v_i^\top (w - w^*)$, not all 0. Not so where a traced
    one is NaN.

    >>> bool(gradient_is_steep([1.0, 3.0], [1.0, 1.0]))
    True
    >>> bool(gradient_is_steep([1.0, 3.0], [1.0, 0.0]))  # away along the soft direction
    False
    """
    _check_displacement(eigenvalues, displacement)
    steepness = gradient_curvature(eigenvalues, eigenvalues * displacement)
    return steepness >= jnp.mean(eigenvalues)


@floating
def gradient_power_ascends(eigenvalues: Vector, displacement: Vector) -> Array:
    r"""A4, sufficient for A3: $c_i^2\lambda_i^2$ never falls as $\lambda_i$ ascends.

    `eigenvalues` ascend. Not so where a traced argument is NaN.

    >>> bool(gradient_power_ascends([1.0, 3.0], [1.0, 1.0]))
    True
    >>> bool(gradient_power_ascends([1.0, 3.0], [1.0, 0.1]))
    False
    """
    _check_displacement(eigenvalues, displacement)
    if concrete(eigenvalues) and np.any(np.diff(np.asarray(eigenvalues)) < 0):
        raise ValueError("`eigenvalues` must ascend.")
    power = (eigenvalues * displacement) ** 2
    return jnp.all(jnp.diff(power) >= 0)


def mixture_curvature(
    loss: Loss, weights: PyTree, clean: PyTree, noise: PyTree
) -> Scalar:
    r"""$Q_w$ of a clean direction plus noise, from its parts (A8, exact form).

    >>> bowl = lambda w: (w[0] ** 2 + 3 * w[1] ** 2) / 2
    >>> clean, noise = jnp.eye(2)
    >>> print(f"{mixture_curvature(bowl, jnp.ones(2), clean, noise):.3f}")
    2.000
    """
    loss, weights, (clean, noise) = _in_arrays(loss, weights, clean=clean, noise=noise)
    squares = tree_vdot(clean, clean), tree_vdot(noise, noise)
    own, other = (quadratic_form(loss, weights, d) for d in (clean, noise))
    cross = 2 * tree_vdot(clean, hvp(loss, weights, noise))
    numerator = squares[0] * own + squares[1] * other + cross
    return numerator / (squares[0] + squares[1] + 2 * tree_vdot(clean, noise))


@floating
def mixture_curvature_without_overlap(
    clean_curvature: Scalar, noise_curvature: Scalar, corruption: Scalar
) -> Scalar:
    r"""A8 as printed: the overlaps of clean part and noise neglected.

    $Q[\tilde c](1+\rho^2)^{-1} + Q[\nu](1+\rho^{-2})^{-1}$. The ratio of the expected
    numerator to the expected denominator, not the mean of the ratio.

    >>> float(mixture_curvature_without_overlap(3.0, 1.0, corruption=0.0))
    3.0
    >>> float(mixture_curvature_without_overlap(3.0, 1.0, corruption=1.0))
    2.0
    """
    share = 1 / (1 + not_negative("corruption", corruption) ** 2)
    return clean_curvature * share + noise_curvature * (1 - share)


def path_hessian(
    loss: Loss, weights: PyTree, minimum: PyTree, nodes: int = 16
) -> Matrix:
    r"""$M = \int_0^1 H[s w^* + (1-s) w]\,ds$ by Gauss-Legendre; $g[w] = M(w - w^*)$.

    Exact where `minimum` is a critical point of the loss (appendix, path Hessian).

    >>> quartic = lambda w: jnp.sum(w**4) / 4
    >>> w = jnp.asarray([2.0])
    >>> print(f"{path_hessian(quartic, w, 0 * w)[0, 0]:.3f}")  # gradient 8, 2 away
    4.000
    """
    loss, weights, [minimum] = _in_arrays(loss, weights, minimum=minimum)
    points, areas = np.polynomial.legendre.leggauss(nodes)
    start, unravel = ravel_pytree(weights)
    end, _ = ravel_pytree(minimum)

    def at(s: Scalar) -> Matrix:
        return hessian(loss, unravel(s * end + (1 - s) * start))

    stack = jax.lax.map(at, jnp.asarray((points + 1) / 2, start.dtype))
    return jnp.einsum("s,sij->ij", jnp.asarray(areas / 2, start.dtype), stack)


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


@floating
def best_release(curvature: Vector, weights: Vector, mean: Scalar) -> Vector:
    r"""Release probabilities of this mean that disturb a loss least.

    They make $\sum_i h_i w_i^2(1 - p_i)/p_i$ least, the error that release noise of
    variance $w^2(1 - p)/p$ adds for curvatures $h_i$: $p_i$ is in proportion to
    $|w_i|\sqrt{h_i}$, and at most 1. There what exceeds 1 is shared by the others.

    >>> print(*(f"{p:.1f}" for p in best_release([1.0, 1.0], [1.0, -3.0], 0.4)))
    0.2 0.6
    >>> print(*(f"{p:.1f}" for p in best_release([1.0, 1.0], [1.0, -3.0], 0.8)))
    0.6 1.0
    """
    check_finite("weights", weights)
    mean = probability("mean", mean)
    need = jnp.abs(weights) * jnp.sqrt(jnp.maximum(curvature, 0))

    def share(_: Array, sure: Array) -> Array:
        left = mean * len(need) - jnp.sum(sure.astype(need.dtype))
        scale = left / jnp.maximum(jnp.sum(jnp.where(sure, 0, need)), 1e-300)
        return sure | (scale * need >= 1)

    sure = jax.lax.fori_loop(0, len(need), share, jnp.zeros(len(need), bool))
    left = mean * len(need) - jnp.sum(sure.astype(need.dtype))
    rest = jnp.maximum(jnp.sum(jnp.where(sure, 0, need)), 1e-300)
    return jnp.where(sure, 1.0, left * need / rest)


@floating
def fluctuation_share(ratio: Scalar) -> Scalar:
    """Share of fluctuations in all synaptic change, by magnitude: 1 / (1 + ratio).

    >>> float(fluctuation_share(1.0)), float(fluctuation_share(3.0))
    (0.5, 0.25)
    """
    return 1 / (1 + not_negative("ratio", ratio))


def step_slope(loss: Loss, weights: PyTree, compensation: PyTree) -> Scalar:
    r"""$g[w + c]^\top c \approx g^\top c + c^\top H c$ (appendix, positivity).

    A negative curvature along the compensation would mean that the loss falls ever
    faster, which no steady state allows. Exact on a quadratic.

    >>> bowl = lambda w: w @ w / 2
    >>> w = jnp.asarray([3.0, 4.0])
    >>> print(f"{step_slope(bowl, w, -w / 2):.3f}")  # half of the way: -25 / 4
    -6.250
    """
    loss, weights, [compensation] = _in_arrays(loss, weights, compensation=compensation)
    square = tree_norm(compensation) ** 2
    curved = square * quadratic_form(loss, weights, compensation)
    return tree_vdot(jax.grad(loss)(weights), compensation) + curved


def _in_arrays(
    loss: Loss, weights: PyTree, **others: PyTree
) -> tuple[Loss, Synapses, list[Synapses]]:
    """The same, numbers as arrays; `ValueError` unless all are shaped alike."""
    weights, loss = arrays_of(loss, weights)
    weights = jax.tree.map(jnp.asarray, weights)
    fit = lambda name: fitted(f"`{name}`", others[name], weights, "weights")
    return loss, weights, [fit(name) for name in others]


def _check_displacement(eigenvalues: Vector, displacement: Vector) -> None:
    """Raise `ValueError` where a comparison would answer no to what it cannot tell."""
    check_finite("eigenvalues", eigenvalues)
    check_finite("displacement", displacement)
