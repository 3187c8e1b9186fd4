"""Diagonal-plus-low-rank matrices and their inverses, as lineax operators."""

import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, Float


Vector = Float[Array, " n"]
Factors = Float[Array, "n k"]
Core = Float[Array, "k k"]


def diagonal_plus_low_rank(
    diagonal: Vector, factors: Factors, core: Core
) -> lx.AbstractLinearOperator:
    r"""$\mathrm{diag}(d) + U C U^\top$, positive semidefinite, products in $O(nk)$.

    `core` may be singular. Use `.mv(vector)` and `.as_matrix()`.
    """
    low_rank = (
        lx.MatrixLinearOperator(factors)
        @ lx.MatrixLinearOperator(core)
        @ lx.MatrixLinearOperator(factors.T)
    )
    whole = lx.DiagonalLinearOperator(diagonal) + low_rank
    return lx.TaggedLinearOperator(whole, lx.positive_semidefinite_tag)


def inverse_diagonal_plus_low_rank(
    diagonal: Vector, factors: Factors, core: Core
) -> lx.AbstractLinearOperator:
    r"""The inverse of `diagonal_plus_low_rank`, of the same form.

    Woodbury's identity without $C^{-1}$: $(D + UCU^\top)^{-1} = D^{-1} - D^{-1} U C
    (I + U^\top D^{-1} U C)^{-1} U^\top D^{-1}$, so that a singular core is allowed.
    """
    scaled = factors / diagonal[:, None]
    capacitance = jnp.eye(len(core), dtype=core.dtype) + factors.T @ scaled @ core
    inner = -core @ jnp.linalg.inv(capacitance)
    return diagonal_plus_low_rank(1 / diagonal, scaled, (inner + inner.T) / 2)
