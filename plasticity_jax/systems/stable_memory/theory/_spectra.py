"""Spectra of memories of low rank."""

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .... import Scalar
from ...._arguments import floating
from ....numerics import root


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]


@floating
def low_rank_eigenvalues(
    basis: Float[Array, "n k"], core: Float[Array, "k k"]
) -> Complex[Array, " k"]:
    r"""The eigenvalues of $UDU^\top$ that need not be zero: those of $DU^\top U$.

    For any `basis` $U$, orthogonal or not, and `core` $D$ (`patterns.low_rank`). With
    orthonormal columns they are $\alpha_k \pm i\rho_k$ (section 5.1; Eq. 8 has $\alpha
    = 0$).

    >>> core = [[0.5, 5.0], [-5.0, 0.5]]
    >>> value = low_rank_eigenvalues(jnp.eye(4)[:, :2], core)[0]
    >>> print(f"{value.real:.2f} {abs(value.imag):.2f}")
    0.50 5.00
    """
    return jnp.linalg.eigvals(core @ (basis.T @ basis))


@floating
def plane_frequency(u: Vector, v: Vector, strength: Scalar | float) -> Scalar:
    r"""$a\sqrt{|u|^2|v|^2 - (u \cdot v)^2}$: $\pm i$ this for $a(uv^\top - vu^\top)$.

    Strength times the area that the two vectors span, for any two (section 5.1); its
    gradient is zero, not NaN, where they are parallel.

    >>> print(f"{plane_frequency([1.0, 0.0], [0.6, 0.8], 5.0):.1f}")  # 5 times the area
    4.0
    """
    square = (u @ u) * (v @ v) - (u @ v) ** 2
    return strength * root(jnp.where(square <= 0, 0.0, square))


@floating
def origin_jacobian(weights: Matrix, slope: Scalar | float = 1.0) -> Matrix:
    r"""$-\mathbf I + \phi'(0)W$: the network linearised about silence (section 5.1).

    >>> origin_jacobian([[0.0, 5.0], [-5.0, 0.0]]).tolist()
    [[-1.0, 5.0], [-5.0, -1.0]]
    """
    return slope * weights - jnp.eye(len(weights), dtype=weights.dtype)
