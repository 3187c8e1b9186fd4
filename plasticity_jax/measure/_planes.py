"""What a weight matrix and an activity do in the plane of a memory.

A plane is given by two orthonormal vectors (u, v), shaped (n,).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from .._interfaces import Scalar


Vector = Float[Array, " n"]
Weights = Float[Array, "post pre"]


def rotation(weights: Weights, u: Vector, v: Vector) -> Scalar:
    r"""$A = \frac12(u^\top Wv - v^\top Wu)$: strength of an imaginary-coded memory.

    Linear in the weights; $a$ for $W = a(uv^\top - vu^\top)$.
    """
    _check(weights, u, v)
    return (u @ weights @ v - v @ weights @ u) / 2


def expansion(weights: Weights, u: Vector, v: Vector) -> Scalar:
    r"""$S = \frac12(u^\top Wu + v^\top Wv)$: the real part that comes with it."""
    _check(weights, u, v)
    return (u @ weights @ u + v @ weights @ v) / 2


def is_complex(weights: Weights, u: Vector, v: Vector) -> Array:
    r"""Whether the 2 x 2 block of the plane has a complex pair of eigenvalues.

    $A^2 > \frac14(S_{uu} - S_{vv})^2 + S_{uv}^2$: a large $A$ need not show as one.
    """
    _check(weights, u, v)
    between = (u @ weights @ v + v @ weights @ u) / 2
    apart = (u @ weights @ u - v @ weights @ v) / 2
    return rotation(weights, u, v) ** 2 > apart**2 + between**2


def plane_basis(u: Vector, v: Vector) -> tuple[Vector, Vector]:
    """The orthonormal pair that spans the plane of `u` and `v`, `u` first.

    Of two parallel vectors the second becomes zero: such a plane holds no rotation.
    """
    first = u / _length(u)
    rest = v - (first @ v) * first
    rest = rest - (first @ rest) * first  # once more: orthogonal to rounding
    known = _length(rest) > 1e-5 * _length(v)
    return first, jnp.where(known, rest / _length(rest), 0.0)


class PlaneActivity(NamedTuple):
    """Overlaps with the axes of a plane and their length, of order one for rates."""

    along_u: Scalar
    along_v: Scalar
    radius: Scalar


def plane_activity(potential: Vector, u: Vector, v: Vector) -> PlaneActivity:
    r"""$p_u = u^\top x/\sqrt N$, $p_v$ and $r = \sqrt{p_u^2 + p_v^2}$."""
    root = len(potential) ** 0.5
    p, q = u @ potential / root, v @ potential / root
    square = p**2 + q**2
    safe = jnp.where(square > 0, square, 1.0)
    return PlaneActivity(p, q, jnp.where(square > 0, jnp.sqrt(safe), 0.0))


def _length(x: Vector) -> Scalar:
    square = x @ x
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 1.0)


def _check(weights: Weights, u: Vector, v: Vector) -> None:
    """Raise `ValueError` unless (u, v) are orthonormal and the weights fit them."""
    n = len(u)
    if weights.shape != (n, n) or v.shape != (n,):
        raise ValueError(
            f"`weights` must be square, one row for each entry of the plane's vectors; "
            f"got {weights.shape} for vectors of {u.shape} and {v.shape}."
        )
    check_finite("weights", weights)
    if any(isinstance(x, Tracer) for x in (u, v)):
        return
    pair = np.stack([np.asarray(u), np.asarray(v)])
    gram = pair @ pair.T
    tolerance = 1e-3 if pair.dtype == np.float32 else 1e-6
    if np.max(np.abs(gram - np.eye(2))) > tolerance:
        raise ValueError(
            "`u` and `v` must be orthonormal (see `plane_basis`); their products are "
            f"u.u = {gram[0, 0]:.4g}, v.v = {gram[1, 1]:.4g}, u.v = {gram[0, 1]:.4g}."
        )


def check_finite(name: str, array: Array) -> None:
    """Raise `ValueError` where a concrete array holds a NaN or an infinity."""
    if not isinstance(array, Tracer) and not np.all(np.isfinite(array)):
        count = int(np.sum(~np.isfinite(np.asarray(array))))
        raise ValueError(f"`{name}` must be finite; {count} of its entries are not.")
