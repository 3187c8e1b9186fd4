"""What a weight matrix and an activity do in the plane of a memory.

A plane is given by two orthonormal vectors (u, v), shaped (n,). Weights, vectors and
potentials that do not fit each other raise `ValueError`, and so do concrete ones that
are not finite or not orthonormal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import check_finite, concrete, floating
from .._interfaces import Scalar
from ..numerics import extent, root


Vector = Float[Array, " n"]
Weights = Float[Array, "n n"]


@floating
def rotation(weights: Weights, u: Vector, v: Vector) -> Scalar:
    r"""$A = \frac12(u^\top Wv - v^\top Wu)$: strength of an imaginary-coded memory.

    Linear in the weights; $a$ for $W = a(uv^\top - vu^\top)$.

    >>> u, v = jnp.eye(3)[:2]
    >>> print(rotation(2.0 * (jnp.outer(u, v) - jnp.outer(v, u)), u, v))
    2.0
    """
    _check(weights, u, v)
    return (u @ weights @ v - v @ weights @ u) / 2


@floating
def expansion(weights: Weights, u: Vector, v: Vector) -> Scalar:
    r"""$S = \frac12(u^\top Wu + v^\top Wv)$: the real part that comes with it.

    >>> u, v = jnp.eye(3)[:2]
    >>> print(expansion(jnp.diag(jnp.array([1.0, 2.0, 9.0])), u, v))
    1.5
    """
    _check(weights, u, v)
    return (u @ weights @ u + v @ weights @ v) / 2


@floating
def is_complex(weights: Weights, u: Vector, v: Vector) -> Array:
    r"""Whether the 2 x 2 block of the plane has a complex pair of eigenvalues.

    $A^2 > \frac14(S_{uu} - S_{vv})^2 + S_{uv}^2$: a large $A$ need not show as one.
    Not so where a traced argument is NaN.

    >>> u, v = jnp.eye(2)
    >>> turn = jnp.outer(u, v) - jnp.outer(v, u)
    >>> print(is_complex(turn, u, v), is_complex(turn + 3.0 * jnp.outer(u, u), u, v))
    True False
    """
    _check(weights, u, v)
    between = (u @ weights @ v + v @ weights @ u) / 2
    apart = (u @ weights @ u - v @ weights @ v) / 2
    return rotation(weights, u, v) ** 2 > apart**2 + between**2


@floating
def plane_basis(u: Vector, v: Vector) -> tuple[Vector, Vector]:
    """The orthonormal pair that spans the plane of `u` and `v`, `u` first.

    Of two parallel vectors the second becomes zero: such a plane holds no rotation.
    Both are NaN where `u` holds one, the second where `v` does.

    >>> u, v = plane_basis([2.0, 0.0, 0.0], [1.0, 3.0, 0.0])
    >>> print(u, v)
    [1. 0. 0.] [0. 1. 0.]
    """
    first = _over(u, _length(u))
    rest = v - (first @ v) * first
    rest = rest - (first @ rest) * first  # once more: orthogonal to rounding
    parallel = _length(rest) <= 1e-5 * _length(v)  # false of NaN
    return first, jnp.where(parallel, 0.0, _over(rest, _length(rest)))


class PlaneActivity(NamedTuple):
    """Overlaps with the axes of a plane and their length, of order one for rates.

    >>> u, v = jnp.eye(4)[:2]
    >>> print(plane_activity([3.0, 4.0, 0.0, 0.0], u, v).radius)
    2.5
    """

    along_u: Scalar
    along_v: Scalar
    radius: Scalar


@floating
def plane_activity(potential: Vector, u: Vector, v: Vector) -> PlaneActivity:
    r"""$p_u = u^\top x/\sqrt N$, $p_v$ and $r = \sqrt{p_u^2 + p_v^2}$.

    >>> u, v = jnp.eye(4)[:2]
    >>> found = plane_activity([3.0, 4.0, 0.0, 0.0], u, v)
    >>> print(found.along_u, found.along_v)
    1.5 2.0
    """
    _check_orthonormal(u, v)
    scale = len(potential) ** 0.5
    p, q = u @ potential / scale, v @ potential / scale
    return PlaneActivity(p, q, root(p**2 + q**2))


def _length(x: Vector) -> Scalar:
    """1 for zeros. Where nothing is scaled the compiled sum keeps its bits."""
    scale = extent(x)[0]
    scaled = x / scale
    length = jnp.where(scale == 1, root(x @ x), scale * root(scaled @ scaled))
    return jnp.where(length == 0, 1.0, length)


@jax.custom_jvp
def _over(x: Vector, length: Scalar) -> Vector:
    """`x / length`, its derivative without the square of the length."""
    return x / length


@_over.defjvp
def _over_jvp(
    primals: tuple[Vector, Scalar], tangents: tuple[Vector, Scalar]
) -> tuple[Vector, Vector]:
    unit = _over(*primals)
    return unit, (tangents[0] - tangents[1] * unit) / primals[1]


def _check(weights: Weights, u: Vector, v: Vector) -> None:
    """Raise `ValueError` unless weights are finite and vectors orthonormal."""
    check_finite("weights", weights)
    _check_orthonormal(u, v)


def _check_orthonormal(u: Vector, v: Vector) -> None:
    """Raise `ValueError` unless (u, v) are, or are traced."""
    gram = products(jnp.stack([u, v], axis=1))
    if gram is not None:
        raise ValueError(
            "`u` and `v` must be orthonormal (see `plane_basis`); their products are "
            f"u.u = {gram[0, 0]:.4g}, v.v = {gram[1, 1]:.4g}, u.v = {gram[0, 1]:.4g}."
        )


def products(columns: Float[Array, "n k"]) -> np.ndarray | None:
    """Products of concrete columns that are not orthonormal; `None` where they are."""
    if not concrete(columns):
        return None
    matrix = np.asarray(columns)
    gram = matrix.T @ matrix
    tolerance = 1e-6 if matrix.dtype == np.float64 else 1e-3
    apart = np.max(np.abs(gram - np.eye(len(gram))), initial=0.0)
    return None if apart <= tolerance else gram  # NaN is not orthonormal
