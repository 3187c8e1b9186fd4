"""Parameters that make data most likely, found by a search from several starts."""

import dataclasses
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._arguments import concrete, whole
from .._interfaces import Scalar
from ._domain import REAL, Space, Vector
from ._estimates import Fit, Trials
from ._objective import LogLikelihood, LogPrior, Matrix, Objective, opened, REACH


Simulate = Callable[[Any, Key[Array, ""]], PyTree]

CLOSE = 0.01  # log-likelihoods so near count as equal


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
    `starts` are drawn around it by `key` (always the same ones without it, those of
    `jax.random.key(0)`): a bounded parameter's free coordinate (a positive one's
    logarithm) by up to log 10 to either side, a real one up to its own size, or 1 if it
    is 0. With `log_prior(params)` the mode of the posterior density of `params`
    themselves is found. `simulate(params, key)` draws data like `data`; then `draws` of
    them give the expected Fisher matrix at the estimate.

    Works under `jit` and `vmap`. Compiled once for a `log_likelihood`: pass a
    module-level function, since a new lambda compiles anew. Use float64. Raises
    `ValueError` if the likelihood is not finite at `start`.

    >>> logs = lambda p, y: jax.scipy.stats.norm.logpdf(y, p["mean"], p["sd"])
    >>> start, domain = {"mean": 0.0, "sd": 1.0}, {"mean": REAL, "sd": POSITIVE}
    >>> found = fit(logs, start, jnp.asarray([1.0, 2.0, 6.0]), domain=domain)
    >>> print(f"{found.params['mean']:.2f} {found.params['sd']:.2f}")  # sqrt(14 / 3)
    3.00 2.16
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
    free, expected = objective.reached(best), None
    if simulate is not None:
        expected = scattered(objective, free, simulate, draws, key)
    # of one loop: another would be compiled anew
    places = jnp.concatenate([begin, probes(objective, free)])
    first, probed = jnp.split(jax.lax.map(objective, places), [len(begin)])
    trials = Trials(first, ends, height, done, steps)
    return finished(objective, trials, free, probed, expected)


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
    probed: Float[Array, " probe"],
    expected: Matrix | None,
    extra: int = 0,
) -> Fit:
    """What the data say at the best end; `probed` are heights of its `probes`."""
    units, scores, hessian = objective.expanded(free)
    height = jnp.sum(units) + objective.prior(free)
    return Fit(
        objective=objective,
        free=free,
        trials=trials,
        log_likelihoods=units,
        gradient=jnp.sum(scores, axis=0) + jax.grad(objective.prior)(free),
        information=-hessian,
        scores=scores,
        bound=_bound(objective.space, probed - height),
        expected=expected,
        extra=extra,
    )


PROBED = (-REACH, REACH, -6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)  # away from the start


def probes(objective: Objective, free: Vector) -> Float[Array, "probe w"]:
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
