"""Roots of increasing functions, differentiable in all that these close over."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._interfaces import Scalar


BISECTIONS = 60


def root(function: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> Scalar:
    """Root in (low, high) of an increasing function, differentiable in its closure."""
    return _opened_root(eqx.filter_closure_convert(function, low), low, high)


@eqx.filter_custom_jvp
def _opened_root(function: Any, low: Scalar, high: Scalar) -> Scalar:
    return _bisect(function, low, high)


@_opened_root.def_jvp
def _(primals: Any, tangents: Any) -> tuple[Scalar, Scalar]:
    function, found = primals[0], _opened_root(*primals)
    moved = eqx.filter_jvp(lambda f: f(found), (function,), (tangents[0],))[1]
    slope = jax.jvp(function, (found,), (jnp.ones_like(found),))[1]
    return found, -moved / jnp.where(slope == 0, 1, slope)  # at 0 it does not move


def _bisect(function: Callable[[Scalar], Scalar], low: Scalar, high: Scalar) -> Scalar:
    """Where `function` crosses zero from below between `low` and `high`; NaN if NaN."""

    def halve(_: Any, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
        low, high = ends
        middle = (low + high) / 2
        value = function(middle)
        lost = jnp.where(jnp.isnan(value), value, middle)
        return jnp.where(value < 0, middle, low), jnp.where(value < 0, high, lost)

    low, high = jax.lax.fori_loop(0, BISECTIONS, halve, (low, high))
    return (low + high) / 2
