"""Diagonal-plus-low-rank matrices and their inverses, as lineax operators."""

from typing import Any

import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float

from .._arguments import check_symmetric, concrete, floating, PLAIN


Vector = Float[Array, " n"]
Factors = Float[Array, "n k"]
Core = Float[Array, "k k"]


@floating
def diagonal_plus_low_rank(
    diagonal: Vector, factors: Factors, core: Core
) -> lx.AbstractLinearOperator:
    r"""$\mathrm{diag}(d) + U C U^\top$, positive semidefinite, products in $O(nk)$.

    `core` may be singular. Use `.mv(vector)` and `.as_matrix()`. Raises `ValueError`
    where shapes do not fit, where `core` is not symmetric, and where an entry on the
    diagonal of the whole is plainly negative.

    >>> found = diagonal_plus_low_rank([1.0, 1.0], [[1.0], [2.0]], [[1.0]])
    >>> print(found.as_matrix())
    [[2. 2.]
     [2. 5.]]
    """
    _check(diagonal, factors, core)
    low_rank = (
        lx.MatrixLinearOperator(factors)
        @ lx.MatrixLinearOperator(core)
        @ lx.MatrixLinearOperator(factors.T)
    )
    whole = lx.DiagonalLinearOperator(diagonal) + low_rank
    return lx.TaggedLinearOperator(whole, lx.positive_semidefinite_tag)


@floating
def inverse_diagonal_plus_low_rank(
    diagonal: Vector, factors: Factors, core: Core
) -> lx.AbstractLinearOperator:
    r"""The inverse of `diagonal_plus_low_rank`, of the same form.

    Woodbury's identity without $C^{-1}$: $(D + UCU^\top)^{-1} = D^{-1} - D^{-1} U C
    (I + U^\top D^{-1} U C)^{-1} U^\top D^{-1}$, so that a singular core is allowed.
    Raises `ValueError` also where `diagonal` holds a 0.

    >>> inverse = inverse_diagonal_plus_low_rank([1.0, 1.0], [[1.0], [2.0]], [[1.0]])
    >>> print(inverse.mv(jnp.array([4.0, 7.0])).round(3))
    [1. 1.]
    """
    _check(diagonal, factors, core)
    if concrete(diagonal) and np.any(np.asarray(diagonal) == 0):
        raise ValueError("`diagonal` must not hold a 0: it is divided by.")
    scaled = factors / diagonal[:, None]
    capacitance = jnp.eye(len(core), dtype=core.dtype) + factors.T @ scaled @ core
    inner = -core @ jnp.linalg.inv(capacitance)
    return diagonal_plus_low_rank(1 / diagonal, scaled, (inner + inner.T) / 2)


def _check(diagonal: Any, factors: Any, core: Any) -> None:
    """Raise `ValueError` unless the parts fit and can be positive semidefinite."""
    check_symmetric("core", core)
    if concrete(diagonal, factors, core):
        d, u, c = (np.asarray(x, float) for x in (diagonal, factors, core))
        entries = d + np.sum(u @ c * u, axis=1)
        if np.any(entries < -PLAIN * np.max(np.abs(d), initial=0)):
            raise ValueError(
                "`diagonal`, `factors` and `core` must make a positive semidefinite "
                f"matrix; its diagonal holds {np.min(entries):.4g}."
            )
