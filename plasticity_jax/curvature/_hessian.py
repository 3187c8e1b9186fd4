"""The Hessian of a scalar loss."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._interfaces import Scalar
from ..numerics import ratio
from ._flat import arrays_of, like, Matrix, structure_of, to_diagonal, to_matrix, Vector


Loss = Callable[[Any], Scalar]


def hvp(loss: Loss, params: PyTree, direction: PyTree) -> PyTree:
    r"""The product $\nabla^2 L\, v$, forward over reverse (Pearlmutter 1994).

    It costs about two gradients. For many products at the same `params` use
    `hessian_operator`, which computes the gradient once. Raises `ValueError` unless
    `direction` is shaped like `params`.

    >>> loss, params = lambda w: jnp.sum(w["a"] ** 3), {"a": jnp.array([1.0, 2.0])}
    >>> print(hvp(loss, params, {"a": jnp.ones(2)})["a"])
    [ 6. 12.]
    """
    arrays, function = arrays_of(loss, params)
    direction = like("direction", direction, arrays)
    return jax.jvp(jax.grad(function), (arrays,), (direction,))[1]


def hessian_operator(loss: Loss, params: PyTree) -> lx.FunctionLinearOperator:
    """The Hessian as a symmetric operator on pytrees shaped like `params`.

    The loss is linearised once, here; a product then costs about one gradient, and the
    operator holds the activations. Build it inside the function that you `jit`: as an
    argument of a compiled function, each new operator would compile again.

    >>> found = hessian_operator(lambda w: w[0] ** 2 + w[0] * w[1], jnp.ones(2))
    >>> print(found.mv(jnp.array([1.0, 0.0])))
    [2. 1.]
    """
    arrays, function = arrays_of(loss, params)
    _, product = jax.linearize(jax.grad(function), arrays)
    return lx.FunctionLinearOperator(product, structure_of(arrays), lx.symmetric_tag)


def hessian(
    loss: Loss, params: PyTree, *, block_size: SupportsIndex | None = None
) -> Matrix:
    """Dense Hessian over the raveled parameters.

    Its columns are products of one linearised gradient, `block_size` at a time (16 if
    not given), so that memory is that of the result and of one block. `jax.hessian`
    computes all columns at once, and took 2 to 8 times as long for small networks.

    >>> print(hessian(lambda w: w[0] ** 2 + w[0] * w[1], jnp.ones(2)))
    [[2. 1.]
     [1. 0.]]
    """
    return to_matrix(hessian_operator(loss, params), block_size)


def hessian_diagonal(
    loss: Loss, params: PyTree, *, block_size: SupportsIndex | None = None
) -> Vector:
    """Exact diagonal of the Hessian over the raveled parameters.

    It costs as much time as `hessian`, but the memory of one block of columns.

    >>> print(hessian_diagonal(lambda w: w[0] ** 2 + w[0] * w[1], jnp.ones(2)))
    [2. 0.]
    """
    return to_diagonal(hessian_operator(loss, params), block_size)


def quadratic_form(loss: Loss, params: PyTree, direction: PyTree) -> Scalar:
    r"""Curvature along a direction, $Q_w[v] = v^\top \nabla^2 L\, v / \|v\|^2$.

    Raman & O'Leary 2021 (eLife 10:e62912). It does not depend on the length of `v`,
    however small or large, and is 0 with zero gradient at $v = 0$. Raises `ValueError`
    unless `direction` is shaped like `params`.

    >>> loss, w = lambda w: w[0] ** 2 + 4 * w[1] ** 2, jnp.ones(2)
    >>> along = lambda x, y: quadratic_form(loss, w, jnp.array([x, y]))
    >>> print(along(1.0, 0.0), along(0.0, 0.5), along(1.0, 1.0))
    2.0 8.0 5.0
    """
    arrays, _ = arrays_of(loss, params)
    v, unravel = ravel_pytree(like("direction", direction, arrays))
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(v)))
    v = v / jnp.where(largest == 0, 1, largest)
    curved, _ = ravel_pytree(hvp(loss, params, unravel(v)))
    return ratio(jnp.vdot(v, curved), jnp.vdot(v, v))
