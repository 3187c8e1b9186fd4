"""Directions preconditioned by curvature: natural gradient and Newton's method."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from .._interfaces import Scalar
from ._flat import (
    arrays_of,
    choose,
    flatten,
    Matrix,
    Operator,
    to_matrix,
    Vector,
)
from ._hessian import hessian


METHODS = ("dense", "cholesky", "cg")


def natural_gradient(
    gradient: PyTree,
    metric: Operator,
    *,
    damping: ArrayLike = 0.0,
    method: str = "dense",
    rtol: float = 1e-6,
    max_steps: int | None = None,
) -> PyTree:
    r"""Solve $(G + \lambda I)\, x = g$ for a positive semidefinite metric (Amari 1998).

    `metric` is a lineax operator on pytrees like `gradient`, or a matrix over the
    raveled gradient.

    - `"dense"`: by eigendecomposition, for small circuits. Where $G + \lambda I$ is
      singular to rounding, $x$ is the solution of least norm.
    - `"cholesky"`: 15 times faster; NaN unless $G + \lambda I$ is positive definite.
    - `"cg"`: conjugate gradients, without the matrix. They stop when the residual, as
      they update it, is `rtol` times as long as `gradient`, or after `max_steps` (10
      per weight if not given). Damp where $G$ is singular, as a Fisher matrix of fewer
      scores than weights: else rounding errors along directions without curvature grow
      from step to step, and in float32 $x$ may end far off or NaN.
    """
    choose("method", method, METHODS)
    if isinstance(
        metric, lx.AbstractLinearOperator
    ) and not lx.is_positive_semidefinite(metric):
        raise ValueError(
            "`metric` must be positive semidefinite; if it is, say so with "
            "`lineax.TaggedLinearOperator(metric, lineax.positive_semidefinite_tag)`."
        )
    arrays = eqx.filter(gradient, eqx.is_inexact_array)
    vector, unravel = ravel_pytree(arrays)
    flat = flatten(metric)
    if flat.size != vector.size:
        raise ValueError(
            f"`metric` must act on the {vector.size} entries of `gradient`; "
            f"it acts on {flat.size}."
        )
    damping = jnp.asarray(damping, vector.dtype)
    if method == "dense":
        return unravel(_apply_inverse(to_matrix(metric), vector, damping, False))
    if method == "cholesky":
        tag = lx.positive_semidefinite_tag
        damped = to_matrix(metric) + damping * jnp.eye(flat.size, dtype=vector.dtype)
        operator = lx.MatrixLinearOperator(damped, tag)
        # `throw=True` would need a host callback; a failed solve is NaN.
        solution = lx.linear_solve(operator, vector, lx.Cholesky(), throw=False)
        return unravel(solution.value)
    largest = jnp.max(jnp.abs(vector))
    largest = jax.lax.stop_gradient(jnp.where(largest > 0, largest, 1))
    product = lambda v: flat.product(v) + damping * v
    # Not `lineax.CG`: NaN at curvatures below 100 eps N, whatever the metric's scale,
    # and divergent in float32 where small entries must settle to less than rounding.
    solution, _ = cg(product, vector / largest, tol=rtol, maxiter=max_steps)
    return unravel(largest * solution)


def natural_gradient_transform(
    metric_fn: Callable[..., Operator],
    *,
    damping: ArrayLike = 0.0,
    method: str = "dense",
    rtol: float = 1e-6,
    max_steps: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """`natural_gradient` as an Optax transformation of the updates.

    `metric_fn(params, **extra_args)` is called at every update with the keyword
    arguments of `update` (a batch, a key). In a chain it is given all of them: let it
    take `**_` if other transformations have arguments of their own.
    """
    choose("method", method, METHODS)

    def init(params: PyTree) -> Any:
        return optax.EmptyState()

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError("`params` must be given to `update`; got None.")
        options = {"rtol": rtol, "max_steps": max_steps}
        metric = metric_fn(params, **extra)
        solution = natural_gradient(
            updates, metric, damping=damping, method=method, **options
        )
        return solution, state

    return optax.GradientTransformationExtraArgs(init, update)


def newton_direction(
    loss: Callable[[Any], Scalar],
    params: PyTree,
    *,
    damping: ArrayLike = 0.0,
    saddle_free: bool = False,
) -> PyTree:
    r"""Newton's step $-(H + \lambda I)^{-1} \nabla L$, shaped like `params`.

    With `saddle_free`, $|H|$ (absolute eigenvalues) takes the place of $H$, so that the
    step descends where curvature is negative (Dauphin et al. 2014). Directions whose
    damped eigenvalue is zero to rounding ($N \epsilon$ of the largest) are left out:
    the step is finite at any $H$, and the least-norm one where $H$ is singular. Dense,
    by eigendecomposition, for small circuits; float64 is recommended, as rounding
    decides which small eigenvalues count.
    """
    arrays, function = arrays_of(loss, params)
    gradient, unravel = ravel_pytree(jax.grad(function)(arrays))
    damping = jnp.asarray(damping, gradient.dtype)
    step = _apply_inverse(hessian(loss, params), gradient, damping, saddle_free)
    return unravel(-step)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _apply_inverse(
    matrix: Matrix, vector: Vector, damping: Scalar, absolute: bool
) -> Vector:
    """The damped pseudo-inverse of a symmetric matrix, or of its |.|, on a vector."""
    values, vectors = jnp.linalg.eigh(matrix)
    inverse, _ = _inverse(values, damping, absolute)
    return vectors @ (inverse * (vectors.T @ vector))


@_apply_inverse.defjvp
def _apply_inverse_jvp(absolute: bool, primals: tuple, tangents: tuple) -> tuple:
    """A matrix function's derivative by divided differences (Daleckii & Krein 1965).

    That of `eigh` itself is NaN at repeated eigenvalues, such as several zeros.
    """
    matrix, vector, damping = primals
    change, vector_change, damping_change = tangents
    values, vectors = jnp.linalg.eigh(matrix)
    inverse, slope = _inverse(values, damping, absolute)
    sign = jnp.where(values < 0, -1, 1).astype(values.dtype) if absolute else 1
    gap = values[:, None] - values[None, :]
    same = jnp.abs(gap) <= _rounding(values)
    secant = (inverse[:, None] - inverse[None, :]) / jnp.where(same, 1, gap)
    tangent = jnp.broadcast_to((slope * sign)[:, None], gap.shape)
    rates = jnp.where(same, tangent, secant) * (vectors.T @ change @ vectors)
    x = vectors.T @ vector
    moved = rates @ x + inverse * (vectors.T @ vector_change)
    moved = moved + slope * damping_change * x
    return vectors @ (inverse * x), vectors @ moved


def _inverse(values: Vector, damping: Scalar, absolute: bool) -> tuple[Vector, Vector]:
    """Reciprocals of the damped eigenvalues, 0 where they vanish; and their slopes."""
    damped = (jnp.abs(values) if absolute else values) + damping
    kept = jnp.abs(damped) > _rounding(damped)
    inverse = jnp.where(kept, 1 / jnp.where(kept, damped, 1), 0)
    return inverse, -(inverse**2)


def _rounding(values: Vector) -> Array:
    return jnp.finfo(values.dtype).eps * values.size * jnp.max(jnp.abs(values))
