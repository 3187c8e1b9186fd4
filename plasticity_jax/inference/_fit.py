"""Parameters that make data most likely, and how well data determine them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._arguments import concrete, one_of, whole
from .._interfaces import Scalar
from ..numerics import eigh
from ._domain import REAL, Space, Vector


Matrix = Float[Array, "w w"]
LogLikelihood = Callable[[Any, Any], Array]
LogPrior = Callable[[Any], Array]
Simulate = Callable[[Any, Key[Array, ""]], PyTree]

REACH = 18.0  # how far free coordinates go from the start: a factor of 7e7
CLOSE = 0.01  # log-likelihoods so near count as equal
FEW = 12  # parameters for which second derivatives by forward mode alone are faster


class Trials(eqx.Module):
    """What came of each start, yours first: height there, where it ended and how."""

    begin: Float[Array, " start"]
    free: Float[Array, "start w"]
    height: Float[Array, " start"]
    converged: Bool[Array, " start"]
    steps: Int[Array, " start"]


class Objective(eqx.Module):
    """What is maximised, in free coordinates; constant out of reach of `center`."""

    space: Space
    center: Vector
    data: PyTree
    log_likelihood: LogLikelihood = eqx.field(static=True)
    log_prior: LogPrior | None = eqx.field(static=True)

    def __call__(self, free: Vector) -> Scalar:
        free = self.reached(free)
        units = jnp.sum(self.units(free))
        return units if self.log_prior is None else units + self.prior(free)

    def units(self, free: Vector) -> Float[Array, " unit"]:
        """The likelihood's entries; `ValueError` unless they are numbers in a row."""
        found = jnp.asarray(self.log_likelihood(self.space.tree(free), self.data))
        if found.ndim > 1 or not jnp.issubdtype(found.dtype, jnp.floating):
            raise ValueError(
                "`log_likelihood` must return a number for each unit, (unit,); got "
                f"shape {found.shape} of {found.dtype}."
            )
        return jnp.ravel(found)

    def scores(self, free: Vector) -> Float[Array, "unit w"]:
        """Slopes of the entries."""
        return jax.jacfwd(self.units)(free)

    def expanded(self, free: Vector) -> tuple[Array, Float[Array, "unit w"], Matrix]:
        """The entries, their slopes, and the Hessian of all, in one program.

        For few parameters by forward mode alone, which compiles in half of the time.
        """

        def slopes(free: Vector) -> tuple[Vector, tuple[Array, Array]]:
            along = lambda tangent: jax.jvp(self.units, (free,), (tangent,))
            every = jnp.eye(len(free), dtype=free.dtype)
            units, scores = jax.vmap(along, out_axes=(None, 1))(every)
            return jnp.sum(scores, axis=0) + jax.grad(self.prior)(free), (units, scores)

        if len(free) <= FEW:
            hessian, (units, scores) = jax.jacfwd(slopes, has_aux=True)(free)
        else:
            hessian = jax.jacfwd(jax.grad(self))(free)
            _, (units, scores) = slopes(free)
        return units, scores, (hessian + hessian.T) / 2

    def prior(self, free: Vector) -> Scalar:
        """The logarithm of the prior density of the parameters; 0 without one."""
        prior = self.log_prior
        return jnp.zeros(()) if prior is None else prior(self.space.tree(free))

    def reached(self, free: Vector) -> Vector:
        """Bounded coordinates within reach of the start's."""
        near = jnp.clip(free, self.center - REACH, self.center + REACH)
        return jnp.where(self.space.bounded, near, free)


class Fit(eqx.Module):
    """Estimates with what the data say of them; see `fit`.

    Matrices are in the free coordinates of `space`: a positive parameter's is its
    logarithm. `log_likelihoods` (unit,) are at the estimate, `scores` (unit, w) their
    slopes; `information` is the observed one, minus the Hessian, `expected` the Fisher
    matrix if asked for. `bound` is -1 or 1 where a parameter's lower or upper bound is
    as likely as the estimate, which then has no covariance.
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
        flat direction has an infinite variance and covariances NaN.
        """
        one_of("kind", kind, ("observed", "expected", "sandwich"))
        matrix = self.expected if kind == "expected" else self.information
        if matrix is None:
            raise ValueError("no `expected` Fisher matrix: give `fit` a `simulate`.")
        scores = self.scores if kind == "sandwich" else None
        return _covariance(matrix, self.inside, scores)

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
def _covariance(matrix: Matrix, inside: Array, scores: Array | None) -> Matrix:
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


# --- maximum likelihood ---------------------------------------------------------------


def fit(
    log_likelihood: LogLikelihood,
    start: PyTree,
    data: PyTree = None,
    *,
    domain: PyTree = REAL,
    log_prior: LogPrior | None = None,
    starts: SupportsIndex = 4,
    key: Key[Array, ""] | None = None,
    simulate: Simulate | None = None,
    draws: SupportsIndex = 100,
    max_steps: SupportsIndex = 256,
) -> Fit:
    r"""The parameters that maximise the likelihood, from several starts at once.

    `log_likelihood(params, data)` returns one entry for each independent unit (a
    synapse, an animal); their sum is maximised by BFGS (optimistix) in coordinates that
    `domain` makes free. `start` is any pytree of floating-point numbers; the other
    `starts` are drawn around it by `key`: a bounded parameter's free coordinate (a
    positive one's logarithm) by up to log 10 to either side, a real one up to its own
    size, or 1 if it is 0. With `log_prior(params)` the mode of the posterior density of
    `params` themselves is found. `simulate(params, key)` draws data like `data`; then
    `draws` of them give the expected Fisher matrix at the estimate.

        found = fit(lambda p, y: norm.logpdf(y, p["mean"], p["sd"]), start, data,
                    domain={"mean": REAL, "sd": POSITIVE})
        print(summary(found)), found.params, found.standard_errors("sandwich")

    Works under `jit` and `vmap`. Compiled once for a `log_likelihood`: pass a
    module-level function, since a new lambda compiles anew. Use float64. Raises
    `ValueError` if the likelihood is not finite at `start`.
    """
    key = jr.key(0) if key is None else key
    objective, begin = opened(
        start, domain, starts, key, log_likelihood, log_prior, data
    )
    limit, count = whole("max_steps", max_steps, 1), whole("draws", draws, 2)
    found = _fitted(objective, begin, simulate, count, jr.fold_in(key, 1), limit)
    height = found.trials.begin
    if concrete(height) and not np.isfinite(height[0]):
        space = objective.space
        values = zip(space.names, space.values(begin[0]), strict=True)
        at = ", ".join(f"{name} = {float(value):.4g}" for name, value in values)
        raise ValueError(
            f"`log_likelihood` must be finite at the start, {at}; got {height[0]}."
        )
    return found


def opened(
    start: PyTree,
    domain: PyTree,
    starts: SupportsIndex,
    key: Key[Array, ""],
    log_likelihood: LogLikelihood,
    log_prior: LogPrior | None,
    data: PyTree,
) -> tuple[Objective, Float[Array, "start w"]]:
    """What to maximise, and from where: the start itself and others around it."""
    space, count = Space(start, domain), whole("starts", starts, 1)
    free = space.free(space.params)
    if concrete(free) and not np.all(np.isfinite(free)):
        wrong = int(np.argmin(np.isfinite(free)))
        low, high = space.low[wrong], space.high[wrong]
        raise ValueError(
            f"`start`: {space.names[wrong]} must be finite and lie between {low} and "
            f"{high}."
        )
    size = jnp.where(free == 0, 1, jnp.abs(free))
    size = jnp.where(space.bounded, math.log(10), size)

    def drawn(i: Int[Array, ""]) -> Vector:
        away = size * jr.uniform(jr.fold_in(key, i), free.shape, free.dtype, -1, 1)
        return free + jnp.where(i == 0, 0, away)

    objective = Objective(space, free, data, log_likelihood, log_prior)
    return objective, jax.vmap(drawn)(jnp.arange(count))


class _Climb(optx.BFGS):
    """BFGS that stops where the quadratic it has built promises no more to gain.

    `args` is what the log-likelihood was divided by. A parameter on its way to a bound
    goes on in its free coordinate long after the likelihood has settled.
    """

    def terminate(self, fn, y, args, options, state, tags):
        found = state.f_info
        gain = args * found.grad @ found.hessian_inv.mv(found.grad) / 2
        settled = (gain < 1e-10) & (state.num_accepted_steps > len(y))
        return state.terminate | settled, state.result


@eqx.filter_jit
def _fitted(
    objective: Objective,
    begin: Float[Array, "start w"],
    simulate: Simulate | None,
    draws: int,
    key: Key[Array, ""],
    max_steps: int,
) -> Fit:
    """The compiled part of `fit`."""
    scale = jax.eval_shape(objective.units, begin[0]).size
    solver = _Climb(rtol=1e-6, atol=1e-6)  # pyright: ignore[reportCallIssue]
    options = {"args": scale, "max_steps": max_steps, "throw": False}

    def climb(free: Vector) -> tuple[Vector, Scalar, Bool[Array, ""], Int[Array, ""]]:
        down = lambda u, scale: -objective(u) / scale
        end = optx.minimise(down, solver, free, **options)
        height = -scale * end.state.f_info.f
        done = (end.result == optx.RESULTS.successful) & jnp.isfinite(height)
        return end.value, height, done, jnp.asarray(end.stats["num_steps"])

    alone = jax.default_backend() == "cpu"  # each stops when it is done
    climbed = jax.lax.map(climb, begin) if alone else jax.vmap(climb)(begin)
    ends, height, done, steps = climbed
    best = ends[jnp.argmax(jnp.where(jnp.isnan(height), -jnp.inf, height))]
    expected = None
    if simulate is not None:
        expected = scattered(objective, objective.reached(best), simulate, draws, key)
    trials = Trials(height, ends, height, done, steps)
    return finished(objective, trials, best, expected, begin=begin)


def scattered(
    objective: Objective,
    free: Vector,
    simulate: Simulate,
    draws: int,
    key: Key[Array, ""],
) -> Matrix:
    """The mean over simulated data of the sum of their units' squared scores."""
    params = objective.space.tree(free)

    def drawn(key: Key[Array, ""]) -> Matrix:
        made = dataclasses.replace(objective, data=simulate(params, key))
        scores = made.scores(free)
        return scores.T @ scores

    return jnp.mean(jax.lax.map(drawn, jr.split(key, draws)), axis=0)


def finished(
    objective: Objective,
    trials: Trials,
    free: Vector,
    expected: Matrix | None,
    *,
    begin: Float[Array, "start w"] | None = None,
    extra: int = 0,
) -> Fit:
    """What the data say at the best end; also where trials began, if `begin` is given.

    Heights are all of one loop: every other one would be compiled anew.
    """
    free = objective.reached(free)
    units, scores, hessian = objective.expanded(free)
    probes = _probes(objective, free)
    places = probes if begin is None else jnp.concatenate([probes, begin])
    heights = jax.lax.map(objective, places)
    height = jnp.sum(units) + objective.prior(free)
    bound = _bound(objective.space, heights[: len(probes)] - height)
    if begin is not None:
        trials = dataclasses.replace(trials, begin=heights[len(probes) :])
    return Fit(
        objective=objective,
        free=free,
        trials=trials,
        log_likelihoods=units,
        gradient=jnp.sum(scores, axis=0) + jax.grad(objective.prior)(free),
        information=-hessian,
        scores=scores,
        bound=bound,
        expected=expected,
        extra=extra,
    )


PROBED = (-REACH, REACH, -6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)  # away from the start


def _probes(objective: Objective, free: Vector) -> Float[Array, "probe w"]:
    """The estimate with each coordinate in turn at both ends, and between."""
    at = jnp.asarray(PROBED, free.dtype)
    every, where = jnp.indices((len(free), len(at)))
    moved = jax.vmap(lambda i, away: free.at[i].set(objective.center[i] + away))
    return moved(every.ravel(), at[where.ravel()])


def _bound(space: Space, gained: Float[Array, " probe"]) -> Int[Array, " w"]:
    """Which bounds are as likely as the estimate, where other values are not."""
    low, high = np.isfinite(space.low), np.isfinite(space.high)
    near = gained.reshape(-1, len(PROBED)) >= -CLOSE
    known = ~jnp.all(near[:, 2:], axis=1)  # else it is flat
    first = jnp.where(low, -1, 1)  # the bound at minus infinity of the coordinate
    below, above = near[:, 0] & space.bounded, near[:, 1] & low & high
    return jnp.where(known & below, first, jnp.where(known & above, 1, 0))
