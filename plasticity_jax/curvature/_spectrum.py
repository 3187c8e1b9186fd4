"""Eigenvalue distributions and leading eigenvectors of symmetric operators."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key, PyTree

from ._flat import (
    at_least,
    by_block,
    choose,
    flatten,
    frozen,
    Operator,
    require_symmetric,
    to_matrix,
    Vector,
)


METHODS = ("dense", "lanczos")


class Spectrum(NamedTuple):
    """Ascending eigenvalues, with weights that sum to 1."""

    eigenvalues: Float[Array, " node"]
    weights: Float[Array, " node"]


def spectrum(
    operator: Operator,
    *,
    method: str = "dense",
    steps: int = 30,
    probes: int = 10,
    key: Key[Array, ""] | None = None,
) -> Spectrum:
    r"""The eigenvalue distribution of a symmetric operator.

    `sum(weights * f(eigenvalues))` is $\mathrm{tr} f(A) / N$, or its estimate.

    - `"dense"`: all $N$ eigenvalues of the matrix, each with weight $1/N$.
    - `"lanczos"`: an estimate from `steps` Lanczos steps (at most $N$) on each of
      `probes` random sign vectors: the nodes of their Gauss quadratures, whose weights
      are averaged (Golub & Meurant 1994; Ubaru et al. 2017). Exact for the first
      $2\,$`steps`$-1$ moments of each probe. A gradient stores `steps` $\times$ `steps`
      vectors per probe.
    """
    choose("method", method, METHODS)
    require_symmetric(operator)
    if method == "dense":
        values = jnp.linalg.eigvalsh(to_matrix(operator))
        return Spectrum(values, jnp.full_like(values, 1 / len(values)))
    if key is None:
        raise ValueError("`method='lanczos'` needs `key`; got None.")
    at_least("steps", steps, 1)
    at_least("probes", probes, 1)
    flat = flatten(operator)
    starts = jr.rademacher(key, (probes, flat.size), flat.dtype)

    def quadrature(start: Vector) -> tuple[Array, Array]:
        tridiagonal, _ = _lanczos(flat.product, start, min(steps, flat.size))
        values, vectors = _eigh(tridiagonal)
        return values, vectors[0] ** 2 / probes

    values, weights = jax.tree.map(jnp.ravel, by_block(quadrature, starts))
    order = jnp.argsort(values)
    return Spectrum(values[order], weights[order])


def top_eigenpairs(
    operator: Operator,
    count: int,
    *,
    steps: int | None = None,
    key: Key[Array, ""],
) -> tuple[Float[Array, " count"], PyTree]:
    """The `count` largest eigenvalues, descending (by value, not magnitude).

    Eigenvectors come as one pytree like the operator's input whose leaves have a
    leading axis of length `count` (for a matrix: its rows); each has length 1 and any
    sign. For the smallest eigenvalues pass `-operator`. `steps` is the number of
    Lanczos steps with full re-orthogonalisation, 30 and 5 more per eigenpair if not
    given, at most the operator's size; raise it where eigenvalues are crowded.
    Eigenvalues have the exact gradient of a converged pair, eigenvectors none.
    """
    require_symmetric(operator)
    flat, still = flatten(operator), flatten(frozen(operator))
    if not 1 <= count <= flat.size:
        raise ValueError(f"`count` must lie in [1, {flat.size}]; got {count}.")
    steps = 30 + 5 * count if steps is None else steps
    at_least("steps", steps, count)
    start = jr.normal(key, (flat.size,), flat.dtype)
    tridiagonal, basis = _lanczos(still.product, start, min(steps, flat.size))
    vectors = jnp.linalg.eigh(tridiagonal)[1].T[::-1][:count] @ basis
    values = by_block(lambda v: jnp.vdot(v, flat.product(v)), vectors)
    return values, jax.vmap(flat.unravel)(vectors)


def _lanczos(
    product: Callable[[Vector], Vector], start: Vector, steps: int
) -> tuple[Float[Array, "step step"], Float[Array, "step w"]]:
    """Tridiagonal matrix and orthonormal basis, with full re-orthogonalisation.

    Where the Krylov space is exhausted before `steps` (operators of low rank or with
    repeated eigenvalues) it goes on from a new vector, uncoupled to the rest: a cyclic
    shift of `start`.
    """
    tolerance = jnp.finfo(start.dtype).eps * start.size**0.5

    def step(i: Array, carry: tuple) -> tuple:
        tridiagonal, basis, vector, largest = carry
        basis = basis.at[i].set(vector)
        new = product(vector)
        largest = jnp.maximum(largest, _norm(new))
        overlaps = basis @ new
        new = new - overlaps @ basis
        exhausted = _norm(new) <= tolerance * largest
        fresh = jax.lax.stop_gradient(jnp.roll(start, i))
        new = jnp.where(exhausted, fresh, new)
        new = new - (basis @ new) @ basis
        length = _norm(new)
        coupling = jnp.where(exhausted, 0, length)
        row = jnp.zeros(steps, start.dtype).at[i + 1].set(coupling, mode="drop")
        tridiagonal = tridiagonal.at[i].set(row.at[i].set(overlaps[i]))
        return tridiagonal, basis, new / jnp.where(length > 0, length, 1), largest

    empty = jnp.zeros((steps, steps), start.dtype)
    basis = jnp.zeros((steps, start.size), start.dtype)
    largest = jnp.zeros((), start.dtype)
    init = (empty, basis, start / _norm(start), largest)
    upper, basis, _, _ = jax.lax.fori_loop(0, steps, step, init)
    return upper + jnp.triu(upper, 1).T, basis


def _norm(vector: Vector) -> Array:
    """Euclidean norm with zero gradient (not NaN) at the origin."""
    square = jnp.vdot(vector, vector)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


@jax.custom_jvp
def _eigh(tridiagonal: Float[Array, "step step"]) -> tuple[Array, Array]:
    """`eigh` of a Lanczos matrix, differentiable where it falls into uncoupled parts.

    Within a part all eigenvalues differ. Across parts they may coincide, but their
    eigenvectors do not mix, and the term that would divide by zero is left out.
    """
    values, vectors = jnp.linalg.eigh(tridiagonal)
    return values, vectors


@_eigh.defjvp
def _eigh_jvp(primals: tuple, tangents: tuple) -> tuple:
    (tridiagonal,), (change,) = primals, tangents
    values, vectors = _eigh(tridiagonal)
    change = vectors.T @ change @ vectors
    gap = values[None, :] - values[:, None]
    same = jnp.abs(gap) <= jnp.finfo(gap.dtype).eps * jnp.max(jnp.abs(values))
    mixing = jnp.where(same, 0, change / jnp.where(same, 1, gap))
    return (values, vectors), (jnp.diagonal(change), vectors @ mixing)
