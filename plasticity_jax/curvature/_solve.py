"""Directions preconditioned by curvature: natural gradient and Newton's method."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, PyTree

from .._arguments import (
    check_positive_semidefinite,
    check_range,
    concrete,
    floating,
    one_of,
    PLAIN,
    whole,
)
from .._interfaces import Scalar
from ..numerics import eigh
from ._flat import (
    arrays_of,
    flatten,
    Matrix,
    not_negative,
    number,
    Operator,
    split,
    to_matrix,
    Vector,
)
from ._hessian import hessian


METHODS = ("dense", "cholesky", "cg")
NOISE = 10  # eps of the largest eigenvalue: more than rounding makes of an eigenvalue
TRUSTED = 5e-3  # eps of the largest over the smallest: the error is a fifth or less


@floating
def natural_gradient(
    gradient: PyTree,
    metric: Operator,
    *,
    damping: ArrayLike = 0.0,
    method: str = "dense",
    rtol: float = 1e-6,
    max_steps: SupportsIndex | None = None,
) -> PyTree:
    r"""Solve $(G + \lambda I)\, x = g$ for a positive semidefinite metric (Amari 1998).

    `metric` is a lineax operator on pytrees like `gradient`, or a matrix over the
    raveled gradient.

    - `"dense"`: by eigendecomposition, for small circuits. With damping no direction is
      left out, and eigenvalues that rounding made negative count as 0. Without, those
      below $N \epsilon$ of the largest are left out: $x$ is the solution of least norm.
      The error is at most about $0.2\, \epsilon$ times the largest over the smallest
      damped eigenvalue that counts. Where that is above 1e-3, or where an eigenvalue is
      left out that is more than rounding, it warns, unless values are traced.
    - `"cholesky"`: 12 times faster once compiled; NaN unless $G + \lambda I$ is
      positive definite. It warns of the same error, by estimates of these eigenvalues.
    - `"cg"`: conjugate gradients, without the matrix. They stop when the residual, as
      they update it, is `rtol` times as long as `gradient`, or after `max_steps` (10
      per weight if not given). Damp where $G$ is singular, as a Fisher matrix of fewer
      scores than weights: else rounding errors along directions without curvature grow
      from step to step, and in float32 $x$ may end far off or NaN. It warns where the
      steps do not suffice, unless they are given or values are traced.

    Raises `ValueError` for a metric that does not fit the gradient, that is plainly not
    positive semidefinite, for a gradient of no entry, and for a damping or `rtol` below
    zero.

    >>> gradient, metric = jnp.array([1.0, 4.0]), jnp.diag(jnp.array([1.0, 4.0]))
    >>> print(natural_gradient(gradient, metric).round(3))
    [1. 1.]
    >>> print(natural_gradient(gradient, metric, damping=4.0).round(3))
    [0.2 0.5]
    """
    _check_options(damping, method, rtol, max_steps)
    arrays, _ = split("gradient", gradient)
    given, unravel = ravel_pytree(arrays)
    flat = flatten(_fitting(metric, arrays, given.size))
    vector = given.astype(flat.dtype)
    damping = number("damping", damping, vector.dtype)
    if method == "dense":
        solution = _apply_inverse(to_matrix(metric), vector, damping, "semidefinite")
    elif method == "cholesky":
        damped = to_matrix(metric) + damping * jnp.eye(flat.size, dtype=vector.dtype)
        damped = jnp.where(jnp.isnan(damped.T), jnp.nan, damped)  # one half is read
        tag, solver = lx.positive_semidefinite_tag, lx.Cholesky()
        operator = lambda matrix: lx.MatrixLinearOperator(matrix, tag)
        factor = solver.init(operator(jax.lax.stop_gradient(damped)), {})
        # `throw=True` would need a host callback; a failed solve is NaN.
        options = {"state": factor, "throw": False}
        solution = lx.linear_solve(operator(damped), vector, solver, **options).value
        if concrete(damped):
            size = _largest(lambda v: damped @ v, vector)
            least = 1 / _largest(lambda v: solver.compute(factor, v, {})[0], vector)
            _warn(float(jnp.finfo(damped.dtype).eps), size, least, 0.0)
    else:
        product = lambda v: flat.product(v) + damping * v
        solution = _conjugate_gradients(product, vector, rtol, max_steps)
    return unravel(solution.astype(given.dtype))


def _check_options(
    damping: ArrayLike, method: str, rtol: float, max_steps: SupportsIndex | None
) -> None:
    one_of("method", method, METHODS)
    not_negative("damping", damping)
    check_range("rtol", rtol, 0, np.inf)
    if max_steps is not None:
        whole("max_steps", max_steps, 1)


def _fitting(metric: Operator, arrays: PyTree, size: int) -> Operator:
    """`metric`; `ValueError` unless it is a metric of `arrays`."""
    is_matrix = not isinstance(metric, lx.AbstractLinearOperator)
    if is_matrix:
        check_positive_semidefinite("metric", metric)
    elif not lx.is_positive_semidefinite(metric):
        raise ValueError(
            "`metric` must be positive semidefinite; if it is, say so with "
            "`lineax.TaggedLinearOperator(metric, lineax.positive_semidefinite_tag)`."
        )
    found = len(metric) if is_matrix else metric.in_size()
    if found != size:
        raise ValueError(
            f"`metric` must act on the {size} entries of `gradient`; "
            f"it acts on {found}."
        )
    given = _shapes(arrays)
    takes = given if is_matrix else _shapes(metric.in_structure())
    if takes not in (given, {"": (size,)}):
        raise ValueError(
            f"`metric` must act on pytrees like `gradient`, {given}; it acts on "
            f"{takes}."
        )
    return metric


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator=".")
    return {name(path): leaf.shape for path, leaf in leaves}


def _conjugate_gradients(
    product: Callable[[Vector], Vector],
    vector: Vector,
    rtol: float,
    max_steps: SupportsIndex | None,
) -> Vector:
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(vector)))
    largest = jnp.where(largest == 0, 1, largest)
    scaled = vector / largest
    # Not `lineax.CG`: NaN at curvatures below 100 eps N, whatever the metric's scale,
    # and divergent in float32 where small entries must settle to less than rounding.
    most = None if max_steps is None else whole("max_steps", max_steps, 1)
    solution, _ = cg(product, scaled, tol=rtol, maxiter=most)
    # They stop at NaN as if it were the end.
    left = jax.lax.stop_gradient(scaled - product(solution))
    solution = jnp.where(jnp.any(jnp.isnan(left)), jnp.nan, solution)
    if max_steps is None and concrete(left, scaled):
        off = float(jnp.linalg.norm(left) / jnp.maximum(jnp.linalg.norm(scaled), 1))
        if off > max(1e-3, 2 * rtol):
            warnings.warn(
                f"conjugate gradients ended at a residual of {off:.1e} times the "
                f"gradient, not {rtol:.1e}: raise `damping`, or use float64.",
                stacklevel=4,
            )
    return largest * solution


def natural_gradient_transform(
    metric_fn: Callable[..., Operator],
    *,
    damping: ArrayLike = 0.0,
    method: str = "dense",
    rtol: float = 1e-6,
    max_steps: SupportsIndex | None = None,
) -> optax.GradientTransformationExtraArgs:
    """`natural_gradient` as an Optax transformation of the updates.

    `metric_fn(params, **extra_args)` is called at every update with the keyword
    arguments of `update` (a batch, a key). In a chain it is given all of them: let it
    take `**_` if other transformations have arguments of their own. An update without
    `params` raises `ValueError`.

    >>> transform = natural_gradient_transform(lambda w: jnp.diag(1 / w**2))
    >>> w, gradient = jnp.array([1.0, 2.0]), jnp.ones(2)
    >>> print(transform.update(gradient, transform.init(w), w)[0].round(3))
    [1. 4.]
    """
    _check_options(damping, method, rtol, max_steps)
    precise: dict[str, Any] = {"rtol": rtol, "max_steps": max_steps}
    options = {"damping": damping, "method": method, **precise}
    init = lambda params: optax.EmptyState()

    def update(
        updates: PyTree, state: Any, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, Any]:
        if params is None:
            raise ValueError("`params` must be given to `update`; got None.")
        return natural_gradient(updates, metric_fn(params, **extra), **options), state

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
    step descends where curvature is negative (Dauphin et al. 2014). Without damping,
    directions whose eigenvalue is zero to rounding ($N \epsilon$ of the largest) are
    left out: the step is finite at any $H$, and the least-norm one where $H$ is
    singular. With damping only those are, without `saddle_free`, whose eigenvalue is
    $-\lambda$ to rounding. Dense, by eigendecomposition, for small circuits; float64 is
    recommended. It warns as `natural_gradient` does where rounding decides. Raises
    `ValueError` for a negative damping.

    >>> loss = lambda w: (w[0] - 1) ** 2 + 3 * (w[1] - 2) ** 2
    >>> print(newton_direction(loss, jnp.zeros(2)).round(3))
    [1. 2.]
    """
    arrays, function = arrays_of(loss, params)
    gradient, unravel = ravel_pytree(jax.grad(function)(arrays))
    damping = number("damping", damping, gradient.dtype)
    kind = "absolute" if saddle_free else "signed"
    return unravel(-_apply_inverse(hessian(loss, params), gradient, damping, kind))


class _Inverse(NamedTuple):
    """The damped pseudo-inverse of a symmetric matrix in its eigenbasis."""

    values: Vector
    vectors: Matrix
    weights: Vector  # reciprocals of the damped eigenvalues, 0 where left out
    left_out: Bool[Array, " w"]
    sure: Bool[Array, ""]  # rounding is small against what is divided by

    def on(self, vector: Vector) -> Vector:
        return self.vectors @ (self.weights * (self.vectors.T @ vector))


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _apply_inverse(
    matrix: Matrix, vector: Vector, damping: Scalar, kind: str
) -> Vector:
    """The damped pseudo-inverse of a symmetric matrix on a vector.

    Of the matrix as it is ("signed"), of |matrix| ("absolute"), or of one without
    negative eigenvalues but by rounding ("semidefinite").
    """
    return _solve(_inverse(matrix, damping, kind), matrix, vector, damping, kind)


@_apply_inverse.defjvp
def _apply_inverse_jvp(kind: str, primals: tuple, tangents: tuple) -> tuple:
    """The derivative of $A^{-1} b$, and what a pseudo-inverse adds to it.

    For an absolute matrix by divided differences (Daleckii & Krein 1965). That of
    `eigh` itself is NaN at repeated eigenvalues, such as several zeros.
    """
    matrix, vector, damping = primals
    change, vector_change, damping_change = tangents
    inverse = _inverse(matrix, damping, kind)
    solve = lambda v: _solve(inverse, matrix, v, damping, kind)
    x = solve(vector)
    if kind == "absolute":
        rates = _rates(inverse) * (inverse.vectors.T @ change @ inverse.vectors)
        turned = inverse.vectors @ (rates @ (inverse.vectors.T @ vector))
        return x, turned + solve(vector_change - damping_change * x)
    moved = solve(vector_change - change @ x - damping_change * x)
    missed = inverse.left_out.astype(matrix.dtype)
    out = lambda v: inverse.vectors @ (missed * (inverse.vectors.T @ v))
    mixed = inverse.on(inverse.on(change @ out(vector))) + out(change @ inverse.on(x))
    return x, moved + mixed


def _solve(
    inverse: _Inverse, matrix: Matrix, vector: Vector, damping: Scalar, kind: str
) -> Vector:
    """The inverse on a vector, refined once: eigenvectors are good to rounding only."""
    x = inverse.on(vector)
    if kind == "absolute":
        return x
    left = vector - (matrix @ x + damping * x)
    return x + jnp.where(inverse.sure, inverse.on(left), 0)


def _inverse(matrix: Matrix, damping: Scalar, kind: str) -> _Inverse:
    values, vectors = eigh(matrix)
    size = jnp.max(jnp.abs(values))
    eps = jnp.finfo(values.dtype).eps
    counted = {"absolute": jnp.abs, "semidefinite": _semidefinite}
    damped = counted.get(kind, lambda x: x)(values) + damping
    # What damping lifts is at least as large as it, -damping itself is not.
    rounding = eps * values.size * size
    bound = jnp.where(damping == 0, rounding, jnp.minimum(rounding, damping / 2))
    left_out = jnp.abs(damped) <= bound
    weights = jnp.where(left_out, 0, 1 / jnp.where(left_out, 1, damped))
    least = jnp.min(jnp.where(left_out, jnp.inf, jnp.abs(damped)))
    if concrete(damped):
        lost = np.where(np.asarray(left_out), np.abs(np.asarray(damped)), 0)
        _warn(float(eps), float(size), float(least), float(np.max(lost)))
    return _Inverse(values, vectors, weights, left_out, least > NOISE * eps * size)


def _largest(product: Callable[[Vector], Vector], like: Vector) -> float:
    """About the largest eigenvalue of a positive definite matrix, from its products."""
    found = np.random.default_rng(0).normal(size=like.shape)
    for _ in range(10):
        unit = jnp.asarray(found / np.linalg.norm(found), like.dtype)
        found = np.asarray(product(unit), float)
    return float(np.linalg.norm(found))


def _semidefinite(values: Vector) -> Vector:
    """Zero in place of what rounding made negative; a plain one is refused or NaN."""
    lowest = -PLAIN * jnp.max(jnp.abs(values))
    if concrete(values) and np.any(np.asarray(values) < np.asarray(lowest)):
        raise ValueError(
            "`metric` must be positive semidefinite; its eigenvalues reach from "
            f"{np.min(np.asarray(values)):.4g} to {np.max(np.asarray(values)):.4g}."
        )
    return jnp.where(values < lowest, jnp.nan, jnp.maximum(values, 0))


def _warn(eps: float, size: float, least: float, lost: float) -> None:
    """Warn where rounding decides."""
    remedy = "raise `damping`, or use float64"
    if eps * size > TRUSTED * least:
        warnings.warn(
            f"the solution is good to about {0.2 * eps * size / least:.0e} only: the "
            f"largest damped eigenvalue is {size:.2e}, the smallest {least:.2e}, and "
            f"the precision {eps:.1e}; {remedy}.",
            stacklevel=2,
        )
    if lost > max(NOISE * eps, 1e-9) * size:
        warnings.warn(
            f"directions with eigenvalues up to {lost:.2e} are left out, the largest "
            f"being {size:.2e}: at a precision of {eps:.1e} they cannot be told from "
            f"rounding; {remedy}.",
            stacklevel=2,
        )


def _rates(inverse: _Inverse) -> Matrix:
    """Divided differences of the damped reciprocal of the absolute eigenvalue."""
    values, weights = inverse.values, inverse.weights
    magnitude, sign = jnp.abs(values), jnp.where(values < 0, -1, 1).astype(values.dtype)
    gap = values[:, None] - values[None, :]
    same = gap == 0
    turn = (magnitude[:, None] - magnitude[None, :]) / jnp.where(same, 1, gap)
    turn = jnp.where(same, sign[:, None], turn)
    steep = sign * weights**2  # towards one that is left out, which counts as zero
    mixed = inverse.left_out[:, None] != inverse.left_out[None, :]
    both = -weights[:, None] * weights[None, :] * turn
    return jnp.where(mixed, steep[:, None] + steep[None, :], both)
