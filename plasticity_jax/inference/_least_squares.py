"""Parameters whose predictions are nearest to what was observed."""

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

from .._arguments import concrete, whole
from .._interfaces import Scalar
from ._domain import REAL, Vector
from ._estimates import Fit, Trials
from ._fit import finished, probes
from ._objective import Objective, opened


def least_squares(
    predict: Callable[[Any], Array],
    start: PyTree,
    observed: Array,
    *,
    domain: PyTree = REAL,
    starts: SupportsIndex = 4,
    key: Key[Array, ""] | None = None,
    max_steps: SupportsIndex = 256,
) -> Fit:
    r"""The parameters whose `predict(params)` is nearest to `observed`, as a `Fit`.

    By Levenberg-Marquardt (optimistix) from several starts, by `key` as in `fit`.
    Residuals are taken as independent and normal, of one standard deviation that is
    estimated with them; entries of `observed` that are NaN are left out. The expected
    Fisher matrix is that of Gauss and Newton, $J^\top J/\hat\sigma^2$ (Seber & Wild
    1989).

    Raises `ValueError` unless prediction and observations are shaped alike and these
    are more than the parameters.

    >>> line = lambda slope: slope * jnp.arange(3.0)
    >>> found = least_squares(line, 1.0, jnp.asarray([0.0, 2.1, 3.9]), starts=1)
    >>> print(f"{found.params:.2f}")  # (1 * 2.1 + 2 * 3.9) / (1 + 4)
    1.98
    """
    observed = jnp.asarray(observed)
    index = jnp.arange(observed.size)
    if concrete(observed):
        index = jnp.asarray(np.flatnonzero(~np.isnan(observed)))
    data = (jnp.ravel(observed)[index], index), jnp.ones((), observed.dtype)
    task = _Normal(predict), None, data
    key = jr.key(0) if key is None else key
    objective, begin = opened(start, domain, starts, key, *task)
    shape = jax.eval_shape(lambda: jnp.asarray(predict(objective.space.params))).shape
    if shape != observed.shape:
        raise ValueError(
            "`predict` must return what is shaped like `observed`, "
            f"{observed.shape}; got {shape}."
        )
    if len(index) <= begin.shape[1]:
        raise ValueError(
            f"`observed` must hold more than the {begin.shape[1]} numbers that are "
            f"estimated; got {len(index)}."
        )
    return _nearest(objective, begin, whole("max_steps", max_steps, 1))


@dataclasses.dataclass(frozen=True)
class _Normal:
    """The log-likelihood of what is observed around what is predicted."""

    predict: Callable[[Any], Array]

    def residuals(self, params: Any, data: Any) -> Array:
        (observed, index), _ = data
        return jnp.ravel(self.predict(params))[index] - observed

    def __call__(self, params: Any, data: Any) -> Array:
        deviation = data[1]
        away = self.residuals(params, data) / deviation
        return -(away**2) / 2 - jnp.log(deviation) - math.log(2 * math.pi) / 2


@eqx.filter_jit
def _nearest(
    objective: Objective, begin: Float[Array, "start w"], max_steps: int
) -> Fit:
    """The compiled part of `least_squares`."""
    space, normal, data = objective.space, objective.log_likelihood, objective.data
    assert isinstance(normal, _Normal)
    solver = optx.LevenbergMarquardt(rtol=1e-9, atol=1e-9)

    def residuals(free: Vector, _: None = None) -> Array:
        return normal.residuals(space.tree(objective.reached(free)), data)

    def descend(free: Vector) -> tuple[Vector, Scalar, Bool[Array, ""], Int[Array, ""]]:
        options = {"max_steps": max_steps, "throw": False}
        end = optx.least_squares(residuals, solver, free, **options)
        square = jnp.mean(residuals(end.value) ** 2)
        done = (end.result == optx.RESULTS.successful) & jnp.isfinite(square)
        return end.value, square, done, jnp.asarray(end.stats["num_steps"])

    free, square, done, steps = jax.vmap(descend)(begin)
    best = jnp.argmin(jnp.where(jnp.isnan(square), jnp.inf, square))
    count = len(data[0][0])
    height = lambda square: -count / 2 * (jnp.log(2 * math.pi * square) + 1)
    first = jax.vmap(lambda u: jnp.mean(residuals(u) ** 2))(begin)
    trials = Trials(height(first), free, height(square), done, steps)
    slope = jax.jacfwd(residuals)(free[best])
    noisy = dataclasses.replace(objective, data=(data[0], jnp.sqrt(square[best])))
    information = slope.T @ slope / square[best]
    end = noisy.reached(free[best])
    probed = jax.lax.map(noisy, probes(noisy, end))
    return finished(noisy, trials, end, probed, information, extra=1)
