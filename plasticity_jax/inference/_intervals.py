"""How sure estimates are: intervals, what data do not determine, models compared."""

from typing import Any, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

from .._arguments import check_range, concrete, one_of
from .._interfaces import Scalar
from ._domain import Vector
from ._estimates import Fit
from ._objective import REACH


if TYPE_CHECKING:
    pass

KINDS = ("observed", "expected", "sandwich", "profile")
FEW_UNITS = 30  # below, the sandwich is not to be relied on
STEPS = 40  # of a search for an end
LOOSE = 4.0  # information at which two standard errors are 1, a factor of e


class Intervals(NamedTuple):
    """Lower and upper ends (w,) in the parameters' own units.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> low, high = intervals(found, level=0.6827)  # one standard error
    >>> print(((high - low) / 2).round(3))
    [0.577]
    """

    low: Vector
    high: Vector


def intervals(
    found: Fit, level: float = 0.95, kind: str = "observed", robust: bool = False
) -> Intervals:
    r"""Confidence intervals of all parameters, at most within their domains.

    Wald's are symmetric in free coordinates, with the covariance of this `kind`, and
    transformed by their ends. `"profile"` are those values at which $2(\hat\ell -
    \ell_p) \le \chi^2_1$, the likelihood maximised over the others (Venzon & Moolgavkar
    1988, solved by optimistix); `robust` widens them by the sandwich over the observed
    variance. An end that data do not limit is that of the domain; NaN where none was
    found. A parameter at its bound has a one-sided interval by the profile (critical
    value of $\frac12\chi^2_0 + \frac12\chi^2_1$, Self & Liang 1987), none by Wald.
    Raises `ValueError` for a profile inside a compiled program.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> low, high = intervals(found)  # 3 -+ 1.96 / sqrt(3)
    >>> print(low.round(2), high.round(2))
    [1.87] [4.13]
    """
    check_range("level", level, 1e-6, 1 - 1e-6)
    one_of("kind", kind, KINDS)
    if kind == "profile" and not concrete(found):
        raise ValueError("`kind='profile'` cannot be compiled: call it outside `jit`.")
    if kind == "profile":
        return _profile(found, level, robust)
    deviation = found.standard_errors(kind)
    reach = ndtri(jnp.asarray((1 + level) / 2, deviation.dtype)) * deviation
    ends = (found.space.values(found.free + way * reach) for way in (-1, 1))
    low, high = (jnp.where(found.inside, end, jnp.nan) for end in ends)
    return Intervals(jnp.minimum(low, high), jnp.maximum(low, high))


def _profile(found: Fit, level: float, robust: bool) -> Intervals:
    """By the equations of the profile's ends; by search for those that they miss."""
    space, size = found.space, len(found.free)
    inside, bound = np.asarray(found.inside), np.asarray(found.bound)
    fall = np.full(size, float(ndtri((1 + level) / 2)) ** 2 / 2)
    if robust:
        fall *= np.where(inside, np.asarray(found.widening), 1) ** 2
    ends, solved = map(np.array, _solved(found, jnp.asarray(fall)))
    search = lambda *where: _searched(found, *map(jnp.asarray, where))
    one_sided = float(ndtri(level)) ** 2 / 2
    for i, side in np.ndindex(size, 2):
        up = (-1, 1)[side]
        if inside[i]:
            if not solved[i, side]:
                ends[i, side] = search(i, up, fall[i])
        else:  # only away from the bound; at minus infinity but for an upper of two
            away = -1 if bound[i] > 0 and np.isfinite(space.low[i]) else 1
            open_end = up * np.inf
            ends[i, side] = search(i, up, one_sided) if up == away else open_end
    low, high = (space.values(jnp.asarray(end)) for end in ends.T)
    return Intervals(jnp.minimum(low, high), jnp.maximum(low, high))


@eqx.filter_jit
def _solved(found: Fit, fall: Vector) -> tuple[Float[Array, "w side"], Any]:
    """Free ends of the profile, and which of them solve its equations."""
    free, inside, objective = found.free, found.inside, found.objective
    top, covariance = objective(free), found.covariance()
    deviation = jnp.sqrt(jnp.diagonal(covariance))
    scale = jnp.where(jnp.isfinite(deviation) & inside, deviation, 1)
    solver = optx.LevenbergMarquardt(rtol=1e-8, atol=1e-8)

    def side(i: Int[Array, ""], up: Scalar) -> tuple[Scalar, Any]:
        chosen = jnp.arange(len(free)) == i

        def equations(u: Vector, _: None) -> Vector:
            height, slope = jax.value_and_grad(objective)(u)
            others = jnp.where(inside, slope * scale, u - free)
            return jnp.where(chosen, height - top + fall[i], others)

        begin = free + up * jnp.sqrt(2 * fall[i]) * covariance[i] / scale[i]
        begin = jnp.where(jnp.isfinite(begin), begin, free)
        options = {"max_steps": 100, "throw": False}
        end = optx.root_find(equations, solver, begin, **options).value
        solved = jnp.max(jnp.abs(equations(end, None))) < 1e-3
        return end[i], solved & (up * (end - free)[i] > 0)

    sides = jax.vmap(jax.vmap(side, (None, 0)), (0, None))
    return sides(jnp.arange(len(free)), jnp.asarray([-1.0, 1.0], free.dtype))


@eqx.filter_jit
def _searched(found: Fit, i: Int[Array, ""], up: Array, fall: Scalar) -> Scalar:
    """Where the profile has fallen by `fall`; infinite if it does not within reach."""
    free, objective = found.free, found.objective
    top, fixed = objective(free), jnp.arange(len(free)) == i
    solver = optx.BFGS(rtol=1e-8, atol=1e-8)

    def lost(at: Scalar, begin: Vector) -> tuple[Scalar, Vector]:
        others = lambda u: jnp.where(fixed, at, jnp.where(found.inside, u, free))
        down = lambda u, _: -objective(others(u)) / len(found.log_likelihoods)
        end = optx.minimise(down, solver, begin, max_steps=200, throw=False).value
        lost = top - objective(others(end)) - fall
        return jnp.where(jnp.isnan(lost), fall, lost), others(end)

    def outward(begin: Vector, at: Scalar) -> tuple[Vector, tuple[Scalar, Vector]]:
        height, end = lost(at, begin)
        return end, (height, begin)

    part = jnp.arange(1, STEPS + 1, dtype=free.dtype) / STEPS
    far = 1e3 * jnp.maximum(1, jnp.abs(free[i])) * part**4
    far = jnp.where(jnp.asarray(found.space.bounded)[i], 2 * REACH * part, far)
    places = free[i] + up * far
    _, (heights, begins) = jax.lax.scan(outward, free, places)
    first = jnp.argmax(heights >= 0)
    near = jnp.where(first == 0, free[i], places[first - 1])

    def between(at: Scalar, _: None) -> Scalar:
        height = lost(at, begins[first])[0]
        return jnp.where(at == places[first], jnp.maximum(height, 1e-9), height)

    bisect = optx.Bisection(rtol=1e-6, atol=1e-6)
    ends = jnp.sort(jnp.stack([near, places[first]]))
    span = {"lower": ends[0], "upper": ends[1]}
    end = optx.root_find(between, bisect, near, options=span, throw=False).value
    near_enough = jnp.abs(end - objective.center[i]) < REACH - 1
    there = jnp.any(heights >= 0) & (near_enough | ~jnp.asarray(found.space.bounded)[i])
    return jnp.where(there, end, up * jnp.inf)
