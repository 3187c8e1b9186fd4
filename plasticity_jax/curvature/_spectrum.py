"""Eigenvalue distributions and leading eigenvectors of symmetric operators."""

from collections.abc import Callable
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key, PyTree

from .._arguments import floating, one_of, whole
from ..numerics import eigh, eigvalsh, normal, root
from ._flat import (
    by_block,
    FlatOperator,
    flatten,
    frozen,
    Operator,
    require_symmetric,
    to_matrix,
    Vector,
)


METHODS = ("dense", "lanczos")
Fresh = Callable[[Array], Vector]  # the i-th of many random directions


class Spectrum(NamedTuple):
    """Ascending eigenvalues, with weights that sum to 1.

    >>> found = spectrum(jnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(f"{jnp.sum(found.weights * found.eigenvalues**2):.3f}")
    5.000
    """

    eigenvalues: Float[Array, " node"]
    weights: Float[Array, " node"]


@floating
def spectrum(
    operator: Operator,
    *,
    method: str = "dense",
    steps: SupportsIndex = 30,
    probes: SupportsIndex = 10,
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

    Raises `ValueError` for another method, an operator that is not symmetric, or
    `lanczos` without a key.

    >>> found = spectrum(jnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(np.asarray(found.eigenvalues).round(3), found.weights)
    [1. 3.] [0.5 0.5]
    """
    one_of("method", method, METHODS)
    require_symmetric(operator)
    if method == "dense":
        values = eigvalsh(to_matrix(operator))
        return Spectrum(values, jnp.full_like(values, 1 / len(values)))
    if key is None:
        raise ValueError("`method='lanczos'` needs `key`; got None.")
    length, starting = whole("steps", steps, 1), whole("probes", probes, 1)
    flat = flatten(operator)
    starts = jr.rademacher(key, (starting, flat.size), flat.dtype)
    fresh = _directions(key, flat)

    def quadrature(start: Vector) -> tuple[Array, Array]:
        tridiagonal, _ = _lanczos(flat.product, start, min(length, flat.size), fresh)
        values, vectors = _eigh(tridiagonal)
        return values, vectors[0] ** 2 / starting

    values, weights = jax.tree.map(jnp.ravel, by_block(quadrature, starts))
    order = jnp.argsort(values)
    return Spectrum(values[order], weights[order])


@floating
def top_eigenpairs(
    operator: Operator,
    count: SupportsIndex,
    *,
    steps: SupportsIndex | None = None,
    key: Key[Array, ""],
) -> tuple[Float[Array, " count"], PyTree]:
    """The `count` largest eigenvalues, descending (by value, not magnitude).

    An eigenvalue comes as often as it occurs. Eigenvectors come as one pytree like the
    operator's input whose leaves have a leading axis of length `count` (for a matrix:
    its rows); each has length 1 and any sign. For the smallest eigenvalues pass
    `-operator`. `steps` is the number of Lanczos steps with full re-orthogonalisation,
    30 and 5 more per eigenpair if not given, at most the operator's size; raise it
    where eigenvalues are crowded. For two pairs or more the steps are repeated from a
    new direction, orthogonal to the pairs, until that finds no larger eigenvalue: most
    often once, at most `count` times. Eigenvalues have the exact gradient of a
    converged pair, eigenvectors none. Raises `ValueError` for an operator that is not
    symmetric, or more pairs than it has.

    >>> matrix = jnp.array([[2.0, 1.0], [1.0, 2.0]])
    >>> values, vectors = top_eigenpairs(matrix, 1, key=jr.key(0))
    >>> print(f"{values[0]:.3f}", jnp.abs(vectors).round(3))
    3.000 [[0.707 0.707]]
    """
    require_symmetric(operator)
    flat, still = flatten(operator), flatten(frozen(operator))
    pairs = whole("count", count, 1)
    if pairs > flat.size:
        raise ValueError(f"`count` must lie in [1, {flat.size}]; got {pairs}.")
    most = whole("steps", 30 + 5 * pairs if steps is None else steps, pairs)
    fresh = _directions(key, flat)
    start = normal(key, (flat.size,), flat.dtype)
    vectors = _ritz(still.product, start, min(most, flat.size), fresh, pairs)
    if pairs > 1 and most < flat.size:
        vectors = _with_repeats(still, vectors, most, fresh)
    values = by_block(lambda v: jnp.vdot(v, flat.product(v)), vectors)
    return values, jax.vmap(flat.unravel)(vectors)


def _directions(key: Key[Array, ""], flat: FlatOperator) -> Fresh:
    """The i-th of many random directions, none of which was a start."""

    def fresh(i: Array) -> Vector:
        at = jr.fold_in(jr.fold_in(key, 1), i)
        return jr.uniform(at, (flat.size,), flat.dtype, -1, 1)

    return fresh


def _ritz(
    product: Callable[[Vector], Vector],
    start: Vector,
    steps: int,
    fresh: Fresh,
    count: int,
    apart: Float[Array, "known w"] | None = None,
) -> Float[Array, "count w"]:
    """The vectors of the `count` largest eigenvalues in the space of `_lanczos`."""
    tridiagonal, basis = _lanczos(product, start, steps, fresh, apart)
    return eigh(tridiagonal)[1].T[::-1][:count] @ basis


def _with_repeats(
    still: FlatOperator, vectors: Float[Array, "count w"], steps: int, fresh: Fresh
) -> Float[Array, "count w"]:
    """`vectors`, exchanged for those of larger eigenvalues that are orthogonal to them.

    From one start Lanczos steps find one vector for each eigenvalue, however often it
    occurs: the others are orthogonal to all of the Krylov space. So it starts again,
    orthogonal to what is an eigenvector, as long as the eigenvalues grow.
    """
    count, size = vectors.shape
    eps = jnp.finfo(still.dtype).eps
    left = min(steps, size - count)

    def again(carry: tuple) -> tuple:
        i, vectors, products, _ = carry
        values = jnp.sum(vectors * products, axis=1)
        off = jnp.linalg.norm(products - values[:, None] * vectors, axis=1)
        sure = off <= eps**0.5 * jnp.max(jnp.linalg.norm(products, axis=1))
        known = jnp.where(sure[:, None], vectors, 0)
        new = lambda k: fresh(size * (i + 1) + k)
        found = _ritz(still.product, new(left), left, new, min(count, left), known)
        both = jnp.concatenate([known, found])
        products_of_both = by_block(still.product, both)
        energy = both @ products_of_both.T
        last = -1 - 4 * jnp.max(jnp.abs(energy))  # what is no eigenvector: zero rows
        last = jnp.where(jnp.concatenate([sure, jnp.ones(len(found), bool)]), 0, last)
        energy = (energy + energy.T) / 2 + jnp.diag(last)
        tops, turn = eigh(energy)
        turn = turn.T[::-1][:count]
        slack = 10 * eps * size**0.5 * jnp.max(jnp.abs(values))
        larger = jnp.sum(tops[::-1][:count]) > jnp.sum(values) + slack
        choose = lambda new, old: jnp.where(larger, turn @ new, old)
        vectors, products = choose(both, vectors), choose(products_of_both, products)
        return i + 1, vectors, products, larger

    goes_on = lambda carry: (carry[0] < count) & carry[3]
    products = by_block(still.product, vectors)
    start = (jnp.zeros((), jnp.int32), vectors, products, jnp.asarray(True))
    return jax.lax.while_loop(goes_on, again, start)[1]


def _lanczos(
    product: Callable[[Vector], Vector],
    start: Vector,
    steps: int,
    fresh: Fresh,
    apart: Float[Array, "known w"] | None = None,
) -> tuple[Float[Array, "step step"], Float[Array, "step w"]]:
    """Tridiagonal matrix and orthonormal basis, with full re-orthogonalisation.

    Where the Krylov space is exhausted before `steps` (operators of low rank or with
    repeated eigenvalues) it goes on from a new vector, uncoupled to the rest:
    `fresh(step)`. The basis is orthogonal to `apart`, orthonormal vectors.
    """
    tolerance = jnp.finfo(start.dtype).eps * start.size**0.5
    known = jnp.zeros((0, start.size), start.dtype) if apart is None else apart
    away = lambda v, basis: v - (basis @ v) @ basis

    def step(i: Array, carry: tuple) -> tuple:
        tridiagonal, basis, vector, largest = carry
        basis = basis.at[len(known) + i].set(vector)
        new = product(vector)
        largest = jnp.maximum(largest, _norm(new))
        overlaps = basis @ new
        new = new - overlaps @ basis
        exhausted = _norm(new) <= tolerance * largest
        new = jax.lax.cond(exhausted, lambda: away(fresh(i), basis), lambda: new)
        new = away(new, basis)
        length = _norm(new)
        coupling = jnp.where(exhausted, 0, length)
        row = jnp.zeros(steps, start.dtype).at[i + 1].set(coupling, mode="drop")
        row = row.at[i].set(overlaps[len(known) + i])
        new = new / jnp.where(length == 0, 1, length)
        return tridiagonal.at[i].set(row), basis, new, largest

    if apart is not None:
        start = away(away(start, apart), apart)
    empty = jnp.zeros((steps, steps), start.dtype)
    basis = jnp.concatenate([known, jnp.zeros((steps, start.size), start.dtype)])
    largest = jnp.zeros((), start.dtype)
    init = (empty, basis, start / _norm(start), largest)
    upper, basis, _, _ = jax.lax.fori_loop(0, steps, step, init)
    return upper + jnp.triu(upper, 1).T, basis[len(known) :]


def _norm(vector: Vector) -> Array:
    """Euclidean norm with zero gradient (not NaN) at the origin."""
    return root(jnp.vdot(vector, vector))


@jax.custom_jvp
def _eigh(tridiagonal: Float[Array, "step step"]) -> tuple[Array, Array]:
    """`eigh` of a Lanczos matrix, differentiable where it falls into uncoupled parts.

    Within a part all eigenvalues differ. Across parts they may coincide, but their
    eigenvectors do not mix, and the term that would divide by zero is left out.
    """
    return eigh(tridiagonal)


@_eigh.defjvp
def _eigh_jvp(primals: tuple, tangents: tuple) -> tuple:
    (tridiagonal,), (change,) = primals, tangents
    values, vectors = _eigh(tridiagonal)
    change = vectors.T @ change @ vectors
    gap = values[None, :] - values[:, None]
    same = jnp.abs(gap) <= jnp.finfo(gap.dtype).eps * jnp.max(jnp.abs(values))
    mixing = jnp.where(same, 0, change / jnp.where(same, 1, gap))
    return (values, vectors), (jnp.diagonal(change), vectors @ mixing)
