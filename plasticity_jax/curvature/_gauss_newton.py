r"""The generalised Gauss-Newton matrix $J^\top H_L J$ (Schraudolph 2002; Martens 2020).

$J$ is the Jacobian of the predictions, $H_L$ the Hessian of the loss in them.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import lineax as lx
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from .._interfaces import Scalar
from ._flat import arrays_of, Matrix, over_basis, structure_of, to_matrix, Vector


Predict = Callable[[Any], PyTree]
OutputLoss = Callable[[Any], Scalar]


def gauss_newton_operator(
    predict: Predict, params: PyTree, output_loss: OutputLoss
) -> lx.FunctionLinearOperator:
    """The Gauss-Newton matrix as an operator on pytrees shaped like `params`.

    It is tagged positive semidefinite, which holds if `output_loss` is convex in the
    predictions. Build it inside the function that you `jit`, as `hessian_operator`.

    >>> predict = lambda w: jnp.array([[1.0, 2.0], [0.0, 1.0]]) @ w
    >>> found = gauss_newton_operator(predict, jnp.ones(2), lambda y: jnp.sum(y**2) / 2)
    >>> print(found.mv(jnp.array([1.0, 0.0])))
    [1. 2.]
    """
    arrays, function = arrays_of(predict, params)
    outputs, push = jax.linearize(function, arrays)
    pull = jax.linear_transpose(push, arrays)
    _, bend = jax.linearize(jax.grad(output_loss), outputs)
    product = lambda direction: pull(bend(push(direction)))[0]
    tag = lx.positive_semidefinite_tag
    return lx.FunctionLinearOperator(product, structure_of(arrays), tag)


def gauss_newton(
    predict: Predict,
    params: PyTree,
    output_loss: OutputLoss,
    *,
    block_size: SupportsIndex | None = None,
) -> Matrix:
    """Dense Gauss-Newton matrix over the raveled parameters, a block at a time.

    >>> predict = lambda w: jnp.array([[1.0, 2.0], [0.0, 1.0]]) @ w
    >>> print(gauss_newton(predict, jnp.ones(2), lambda y: jnp.sum(y**2) / 2))
    [[1. 2.]
     [2. 5.]]
    """
    return to_matrix(gauss_newton_operator(predict, params, output_loss), block_size)


def gauss_newton_diagonal(
    predict: Predict,
    params: PyTree,
    output_loss: OutputLoss,
    *,
    block_size: SupportsIndex | None = None,
) -> Vector:
    """Exact diagonal of the Gauss-Newton matrix: forward passes only, in blocks.

    >>> predict = lambda w: jnp.array([[1.0, 2.0], [0.0, 1.0]]) @ w
    >>> print(gauss_newton_diagonal(predict, jnp.ones(2), lambda y: jnp.sum(y**2) / 2))
    [1. 5.]
    """
    arrays, function = arrays_of(predict, params)
    flat, unravel = ravel_pytree(arrays)
    outputs, push = jax.linearize(lambda flat: function(unravel(flat)), flat)
    _, bend = jax.linearize(jax.grad(output_loss), outputs)

    def entry(unit: Vector, _: Any) -> Scalar:
        moved = push(unit)
        return jnp.vdot(ravel_pytree(moved)[0], ravel_pytree(bend(moved))[0])

    return over_basis(entry, flat.size, flat.dtype, block_size)
