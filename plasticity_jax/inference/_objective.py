"""A likelihood as a function of free coordinates, and where a search begins."""

import math
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from .._arguments import concrete, whole
from .._interfaces import Scalar
from ._domain import Space, Vector


Matrix = Float[Array, "w w"]
LogLikelihood = Callable[[Any, Any], Array]
LogPrior = Callable[[Any], Array]

REACH = 18.0  # how far free coordinates go from the start: a factor of 7e7
FEW = 12  # parameters, the square of which are few tangents


class Objective(eqx.Module):
    """What is maximised, in free coordinates; constant out of reach of `center`.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> lost = found.objective(found.free) - found.objective(found.free + 1)
    >>> print(f"{lost:.3f}")  # 3 values, each 1/2
    1.500
    """

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
