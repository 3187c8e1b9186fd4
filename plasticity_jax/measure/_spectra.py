"""Eigenvalues of weight matrices: of a memory, and followed through time.

Spectra of non-symmetric matrices cost 70 ms at 128 neurons: take them of thinned
snapshots or after a run, never at every step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Complex, Float

from .._arguments import check_finite, floating
from .._interfaces import Scalar
from ._planes import products


class Eigenpair(NamedTuple):
    """An eigenvalue (imaginary part not negative) and its overlap with a plane.

    >>> found = memory_eigenvalue(jnp.diag(jnp.array([1.0, 3.0])), jnp.eye(2)[:, :1])
    >>> print(f"{found.value.real:.2f} {found.overlap:.2f}")
    1.00 1.00
    """

    value: Complex[Array, ""]
    overlap: Scalar


@floating
def memory_eigenvalue(
    weights: Float[Array, "n n"], basis: Float[Array, "n k"]
) -> Eigenpair:
    r"""The eigenvalue whose unit eigenvector $w$ overlaps most with a subspace.

    `basis` is orthonormal, shaped (n, k): a plane, or one direction. The overlap
    $\|Q^\top w\|$ lies in [0, 1] and does not depend on the phase of $w$. Raises
    `ValueError` for weights that are not square or not finite, and a basis that does
    not fit them or is not orthonormal.

    >>> weights = jnp.array([[0.0, 2.0, 0.0], [-2.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    >>> found = memory_eigenvalue(weights, jnp.eye(3)[:, :2])
    >>> print(f"{found.value.imag:.2f} {found.overlap:.2f}")
    2.00 1.00
    """
    _check_basis("basis", basis)
    check_finite("weights", weights)
    values, vectors = jnp.linalg.eig(weights)
    overlap = jnp.matmul(basis.T.astype(vectors.dtype), vectors)
    overlap = jnp.linalg.norm(overlap, axis=0)
    overlap = jnp.where(jnp.imag(values) < 0, -1.0, overlap)  # NaN stays
    best = jnp.argmax(overlap)
    lost = jnp.isnan(overlap[best])
    return Eigenpair(jnp.where(lost, jnp.nan, values[best]), overlap[best])


@floating
def leading_overlaps(
    weights: Float[Array, "n n"], bases: Float[Array, "plane n k"]
) -> Float[Array, " plane"]:
    r"""Overlaps $o_k = \|Q_k^\top w\|$ of the eigenvector of largest imaginary part.

    For orthonormal bases that together span the space $\sum_k o_k^2 = 1$. Raises
    `ValueError` as `memory_eigenvalue` does.

    >>> turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> weights = jax.scipy.linalg.block_diag(turn, 2.0 * turn)
    >>> planes = jnp.stack([jnp.eye(4)[:, :2], jnp.eye(4)[:, 2:]])
    >>> print(leading_overlaps(weights, planes).round(3))
    [0. 1.]
    """
    for basis in bases:
        _check_basis("bases", basis)
    check_finite("weights", weights)
    values, vectors = jnp.linalg.eig(weights)
    leading = vectors[:, jnp.argmax(jnp.imag(values))]
    products = jnp.matmul(jnp.swapaxes(bases, 1, 2).astype(leading.dtype), leading)
    return jnp.linalg.norm(products, axis=-1)


def track_eigenvalues(
    values: Complex[Array, "time n"], vectors: Complex[Array, "time n n"]
) -> Complex[Array, "time n"]:
    r"""Eigenvalues in an order that follows each of them from frame to frame.

    Between consecutive frames the permutation minimises $\sum_i |\lambda_i -
    \lambda'_{\pi(i)}|\,(1 - |w_i^H w'_{\pi(i)}|)$, an assignment problem. `vectors` are
    unit eigenvectors in columns; the first frame keeps its order. From a frame that
    holds NaN on all is NaN: nothing can be followed through it. Raises `ValueError`
    unless there are n vectors of length n for the n values of each of the frames.

    >>> values = jnp.array([[1.0, 2.0], [2.5, 1.5]], complex)
    >>> vectors = jnp.stack([jnp.eye(2), jnp.eye(2)[::-1]]).astype(complex)
    >>> print(track_eigenvalues(values, vectors).real)
    [[1.  2. ]
     [1.5 2.5]]
    """
    if values.ndim != 2 or vectors.shape != (*values.shape, values.shape[1]):
        raise ValueError(
            "`values` (time, n) need `vectors` (time, n, n); got shapes "
            f"{values.shape} and {vectors.shape}."
        )
    if not len(values):
        raise ValueError("`values` need at least one frame; got none.")

    def follow(last: Any, frame: Any) -> tuple[Any, Complex[Array, " n"]]:
        (old, before), (new, after) = last, frame
        likeness = jnp.minimum(jnp.abs(before.conj().T @ after), 1.0)
        cost = jnp.abs(old[:, None] - new[None, :]) * (1 - likeness)
        lost = jnp.any(jnp.isnan(cost))
        cost = jnp.where(lost, 0.0, cost)  # the assignment needs numbers
        rows, columns = optax.assignment.hungarian_algorithm(cost)
        order = columns[jnp.argsort(rows)]
        kept = jnp.where(lost, jnp.nan, new[order])
        return (kept, after[:, order]), kept

    lost = jnp.any(jnp.isnan(values[0])) | jnp.any(jnp.isnan(vectors[0]))
    first = jnp.where(lost, jnp.nan, values[0]), vectors[0]
    _, rest = jax.lax.scan(follow, first, (values[1:], vectors[1:]))
    return jnp.concatenate([first[0][None], rest])


def _check_basis(name: str, basis: Float[Array, "n k"]) -> None:
    """Raise `ValueError` unless columns are orthonormal."""
    if products(basis) is not None:
        raise ValueError(f"the columns of `{name}` must be orthonormal.")
