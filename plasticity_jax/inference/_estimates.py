"""What a fit has found: estimates, and how well data determine them."""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._arguments import concrete, one_of
from .._interfaces import Scalar
from ..numerics import eigh
from ._domain import Space, Vector
from ._objective import Matrix, Objective


class Trials(eqx.Module):
    """What came of each start, yours first: height there, where it ended and how.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> ends = found.trials.free[:, 0]
    >>> print(found.trials.converged, *(f"{end:.2f}" for end in ends))
    [ True  True  True  True] 3.00 3.00 3.00 3.00
    """

    begin: Float[Array, " start"]
    free: Float[Array, "start w"]
    height: Float[Array, " start"]
    converged: Bool[Array, " start"]
    steps: Int[Array, " start"]


class Fit(eqx.Module):
    """Estimates with what the data say of them; see `fit`.

    Matrices are in the free coordinates of `space`: a positive parameter's is its
    logarithm. `log_likelihoods` (unit,) are at the estimate, `scores` (unit, w) their
    slopes; `information` is the observed one, minus the Hessian, `expected` the Fisher
    matrix if asked for. `bound` is -1 or 1 where a parameter's lower or upper bound is
    as likely as the estimate, which then has no covariance.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> print(f"{found.information[0, 0]:.3f}")
    3.000
    >>> found
    Fit(parameters=1, log_likelihood=-9.75682, converged=True)
    """

    objective: Objective
    free: Vector
    trials: Trials
    log_likelihoods: Float[Array, " unit"]
    gradient: Vector
    information: Matrix
    scores: Float[Array, "unit w"]
    bound: Int[Array, " w"]
    expected: Matrix | None
    extra: int = eqx.field(static=True, default=0)  # parameters estimated besides

    def __repr__(self) -> str:
        read = self.log_likelihoods, self.gradient, self.information, self.bound
        if not all(map(eqx.is_array, read)) or not concrete(read) or read[0].ndim != 1:
            return eqx.tree_pformat(self)  # several, or in a compiled program
        height = f"log_likelihood={self.height:.6g}, converged={self.converged}"
        return f"Fit(parameters={self.count}, {height})"

    @property
    def space(self) -> Space:
        """The parameters' names, bounds and free coordinates."""
        return self.objective.space

    @property
    def params(self) -> PyTree:
        """The estimates, shaped like the start."""
        return self.space.tree(self.free)

    @property
    def height(self) -> Scalar:
        """The log-likelihood at the estimate."""
        return jnp.sum(self.log_likelihoods)

    @property
    def inside(self) -> Bool[Array, " w"]:
        """Which parameters are not at a bound."""
        return self.bound == 0

    @property
    def decrement(self) -> Scalar:
        """How much the quadratic through the estimate still rises; NaN: no maximum."""
        slope = jnp.where(self.inside, self.gradient, 0)
        return slope @ _inverse(self.information, self.inside)[0] @ slope / 2

    @property
    def converged(self) -> Bool[Array, ""]:
        """Whether the estimate is a maximum, to a thousandth of a log unit."""
        return self.decrement < 1e-3

    @property
    def count(self) -> int:
        """How many parameters were estimated."""
        return len(self.space.names) + self.extra

    @property
    def aic(self) -> Scalar:
        """Akaike's criterion, -2 log L + 2k."""
        return 2 * self.count - 2 * self.height

    @property
    def bic(self) -> Scalar:
        """Schwarz' criterion, -2 log L + k log n; n counts units, not their points."""
        return math.log(len(self.log_likelihoods)) * self.count - 2 * self.height

    @property
    def tic(self) -> Scalar:
        r"""Takeuchi's, $-2\log L + 2\mathrm{tr}\,J^{-1}B$, where the model is wrong."""
        inverse, _ = _inverse(self.information, self.inside)
        penalty = jnp.trace(inverse @ self._scatter())
        return 2 * (penalty + self.extra) - 2 * self.height

    def covariance(self, kind: str = "observed") -> Matrix:
        r"""Of the free coordinates; 0 for a parameter at its bound, infinite if flat.

        `"observed"`: $J^{-1}$, $J$ minus the Hessian at the estimate. `"expected"`:
        $I^{-1}$ of the Fisher matrix. `"sandwich"`: $J^{-1}BJ^{-1}$, $B$ the sum over
        units of the scores' squares: holds where the model is wrong (Huber 1967), from
        30 units on. NaN where there is no maximum. A parameter that takes part in a
        flat direction has an infinite variance and covariances NaN. Raises `ValueError`
        for another kind, or for `"expected"` where `fit` had no `simulate`.
        """
        one_of("kind", kind, ("observed", "expected", "sandwich"))
        matrix = self.expected if kind == "expected" else self.information
        if matrix is None:
            raise ValueError("no `expected` Fisher matrix: give `fit` a `simulate`.")
        scores = self.scores if kind == "sandwich" else None
        return covariance_of(matrix, self.inside, scores)

    def standard_errors(self, kind: str = "observed") -> Vector:
        """Of the free coordinates: for a positive parameter relative ones."""
        return jnp.sqrt(jnp.diagonal(self.covariance(kind)))

    @property
    def widening(self) -> Vector:
        """Standard errors of the sandwich over the observed ones: 1 if all is well."""
        observed = jnp.where(self.inside, self.standard_errors(), 1)
        return jnp.where(self.inside, self.standard_errors("sandwich"), 1) / observed

    def _scatter(self) -> Matrix:
        return self.scores.T @ self.scores


@eqx.filter_jit
def covariance_of(matrix: Matrix, inside: Array, scores: Array | None = None) -> Matrix:
    """Of those `inside`, given their information, infinite along what is flat."""
    inverse, flat = _inverse(matrix, inside)
    if scores is not None:
        inverse = inverse @ (scores.T @ scores) @ inverse
    inverse = jnp.where(flat[:, None] | flat[None], jnp.nan, inverse)
    return jnp.where(jnp.diag(flat), jnp.inf, inverse)


@eqx.filter_jit
def _inverse(
    matrix: Matrix, inside: Bool[Array, " w"]
) -> tuple[Matrix, Bool[Array, " w"]]:
    """Of the block `inside` but for flat directions, and which parameters these move.

    0 elsewhere; NaN if an eigenvalue is negative by more than rounding.
    """
    both = inside[:, None] & inside[None]
    block = jnp.where(both, matrix, jnp.eye(len(matrix), dtype=matrix.dtype))
    size = jnp.sqrt(jnp.abs(jnp.diagonal(block)))
    size = jnp.where(size > 0, size, 1)
    values, vectors = eigh(block / size[:, None] / size[None])
    flat = jnp.abs(values) <= jnp.finfo(matrix.dtype).eps ** 0.5 * values[-1]
    values = jnp.where(values < 0, jnp.where(flat, 0, jnp.nan), values)
    weight = jnp.where(flat, 0, 1 / jnp.where(flat, 1, values))
    inverse = vectors @ (weight[:, None] * vectors.T)
    moved = jnp.max(jnp.where(flat[None], jnp.abs(vectors), 0), axis=1) > 1e-3
    inverse = inverse / size[:, None] / size[None]
    return jnp.where(both, inverse, 0), moved & inside
