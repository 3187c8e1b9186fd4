"""Where parameters may lie, and coordinates in which they are free."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..curvature import arrays_of


Vector = Float[Array, " w"]


class Interval(eqx.Module):
    """The open interval in which a parameter lies, for `fit`'s `domain`.

    Its free coordinate is the parameter itself, the logarithm of the distance from its
    only bound, or the logit between two. Raises `ValueError` unless `low < high`.

    >>> domain = {"release": Interval(0.0, 1.0), "time_constant": POSITIVE}
    >>> params = {"release": 0.5, "time_constant": 1.0}
    >>> Space(params, domain).free(params).tolist()  # a logit and a logarithm
    [0.0, 0.0]
    """

    low: float = eqx.field(default=-math.inf, static=True, converter=float)
    high: float = eqx.field(default=math.inf, static=True, converter=float)

    def __check_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(
                f"`low` must be below `high`; got {self.low}, {self.high}."
            )


REAL = Interval()
POSITIVE = Interval(0.0)


class Space(eqx.Module):
    """Free coordinates of a pytree of parameters, raveled.

    Leaves that are not inexact arrays are held fixed; `domain` is a pytree of
    `Interval`, shaped like the parameters or a prefix of them. Raises `ValueError`
    where it does not fit, or for parameters without a number.

    >>> space = Space({"mean": 0.3, "sd": 2.0}, {"mean": REAL, "sd": POSITIVE})
    >>> space.names, space.values(jnp.zeros(2)).tolist()
    (('mean', 'sd'), [0.0, 1.0])
    """

    params: PyTree
    low: tuple[float, ...] = eqx.field(static=True)
    high: tuple[float, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, params: PyTree, domain: PyTree = REAL) -> None:
        arrays, whole = arrays_of(lambda x: x, params)
        leaves = jax.tree_util.tree_leaves_with_path(arrays)
        names, bounds = [], []
        for (path, leaf), interval in zip(
            leaves, _intervals(domain, arrays), strict=True
        ):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            for index in np.ndindex(leaf.shape):
                names.append(f"{name}{[*index]}" if index else name or "parameter")
                bounds.append((interval.low, interval.high))
        self.params, self.names = whole(arrays), tuple(names)
        self.low, self.high = (tuple(bound) for bound in zip(*bounds, strict=True))

    @property
    def bounded(self) -> np.ndarray:
        """Which parameters have a bound."""
        return np.isfinite(self.low) | np.isfinite(self.high)

    def free(self, params: PyTree) -> Vector:
        """Free coordinates of parameters; NaN for those outside their domain."""
        x = ravel_pytree(arrays_of(lambda x: x, params)[0])[0]
        low, high, below, above = self._bounds(x)
        inside = ~(below & (x <= low)) & ~(above & (x >= high))
        up = jnp.log(jnp.where(below & inside, x - low, 1))
        down = jnp.log(jnp.where(above & inside, high - x, 1))
        bounded = jnp.where(below, up, 0) - jnp.where(below & above, down, 0)
        bounded = jnp.where(above & ~below, down, bounded)
        return jnp.where(inside, jnp.where(below | above, bounded, x), jnp.nan)

    def values(self, free: Vector) -> Vector:
        """The raveled parameters at free coordinates."""
        low, high, below, above = self._bounds(free)
        between = low + (high - low) * jax.nn.sigmoid(free)
        far = jnp.exp(jnp.where(below ^ above, free, 0))
        one = jnp.where(below, low + far, high - far)
        return jnp.where(below & above, between, jnp.where(below | above, one, free))

    def log_slopes(self, free: Vector) -> Vector:
        """Logarithm of the slope of each parameter by its free coordinate."""
        low, high, below, above = self._bounds(free)
        wide = jnp.log(jnp.where(below & above, high - low, 1))
        between = wide - jax.nn.softplus(free) - jax.nn.softplus(-free)
        one = jnp.where(below ^ above, free, 0)
        return jnp.where(below & above, between, one)

    def tree(self, free: Vector) -> PyTree:
        """The parameters at free coordinates."""
        arrays, whole = arrays_of(lambda x: x, self.params)
        return whole(ravel_pytree(arrays)[1](self.values(free)))

    def _bounds(self, x: Vector) -> tuple[Any, Any, Any, Any]:
        """Bounds, 0 where there is none, and where there are some."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        below, above = np.isfinite(low), np.isfinite(high)
        low, high = np.where(below, low, 0), np.where(above, high, 0)
        return jnp.asarray(low, x.dtype), jnp.asarray(high, x.dtype), below, above


def _intervals(domain: PyTree, arrays: PyTree) -> list[Interval]:
    """The interval of each leaf of `arrays`."""
    is_interval = lambda x: isinstance(x, Interval)
    repeated = lambda interval, part: [interval] * len(jax.tree.leaves(part))
    try:
        found = jax.tree.map(repeated, domain, arrays, is_leaf=is_interval)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`domain` must be shaped like the parameters: {error}"
        ) from None
    found = jax.tree.leaves(found, is_leaf=is_interval)
    if wrong := [x for x in found if not is_interval(x)]:
        raise ValueError(f"`domain` must hold an `Interval` each; got {wrong[0]!r}.")
    return found
