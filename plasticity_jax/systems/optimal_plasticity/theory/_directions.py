"""Curvature along gradients, mixtures and chance directions (Eqs. 12-14, A2-A8)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .... import Scalar
from ...._arguments import (
    check_finite,
    check_symmetric,
    concrete,
    floating,
    not_negative,
)
from ....curvature import hessian, hvp, quadratic_form
from ....numerics import tree_vdot
from ._arrays import _in_arrays, Loss


Vector = Float[Array, " w"]
Matrix = Float[Array, "w w"]


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

    `eigenvalues` ascend (else `ValueError`). Not so where a traced argument is NaN.

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


def _check_displacement(eigenvalues: Vector, displacement: Vector) -> None:
    """Raise `ValueError` where a comparison would answer no to what it cannot tell."""
    check_finite("eigenvalues", eigenvalues)
    check_finite("displacement", displacement)


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
