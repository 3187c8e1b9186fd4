"""Derivatives beside central differences and laws: rows of `verify gradients`."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxtyping import Array, Key, PyTree

from ..experiment import always, Check, exact, once, simulated
from ._gradients import central_difference, derivative
from ._growth import growth


EXACT = 1e-6  # up to which a tolerance is that of rounding


def slope_checks(
    what: str,
    function: Callable[[Any], Array],
    config: Any,
    names: str,
    *,
    law: Callable[[Any], Array] | None = None,
    source: str = "closed form",
    tolerance: float = 1e-6,
    of_law: float = 1e-8,
    width: float = 1e-5,
) -> Iterator[Check]:
    """The derivative of `function(config)` by each of the named fields.

    Beside central differences of the same function (so that runs draw the same noise),
    to `tolerance`, and beside the derivative of a `law`, to `of_law`.

    >>> square = lambda rule: rule.rate**2
    >>> about, oja = {"width": 0.01, "tolerance": 1e-3}, rules.Oja(0.5)
    >>> checks = [*slope_checks("square", square, oja, "rate", **about)]
    >>> [(check.quantity, check.holds) for check in checks]
    [('square by rate, forward mode', True)]
    """
    found, secant, wanted = _slopes(function, law, config, tuple(names.split()), width)
    for name, slope in found.slope.items():
        row = f"{what} by {name}, {found.mode} mode"
        yield exact(row, "central difference", slope, secant[name], tolerance)
        if law is not None:
            close = exact if of_law <= EXACT else simulated
            yield close(row, source, slope, wanted[name], of_law)


@once
def _slopes(
    function: Any, law: Any, config: Any, names: Sequence[str], width: float
) -> tuple[Any, PyTree, PyTree]:
    """Derivatives by named fields, their central differences, those of the law."""
    of = lambda f: lambda changes: f(dataclasses.replace(config, **changes))
    changes = {name: getattr(config, name) for name in names}
    found = derivative(of(function), changes)
    secant = central_difference(of(function), changes, width=width)
    return found, secant, None if law is None else derivative(of(law), changes).slope


def no_slope(what: str, why: str, slope: Array) -> Check:
    """That there is no derivative to follow: it is 0 wherever the parameter stands.

    >>> spikes = lambda threshold: jnp.where(threshold < 0.5, 1.0, 0.0)
    >>> no_slope("spikes by the threshold", "a step", jax.grad(spikes)(0.3)).holds
    True
    """
    return exact(f"{what}: none", why, slope, 0.0)


def growth_check(
    what: str,
    update: Callable[[Any, Any], Any],
    start: PyTree,
    params: PyTree,
    key: Key[Array, ""],
    *,
    steps: int,
    chaotic: bool,
) -> Check:
    """What a derivative over so many steps means, which chaos must not change.

    The row says the verdict; it holds where that is the expected one.

    >>> halve = lambda state, rate: rate * state
    >>> start, key = jnp.ones(1), jr.key(0)
    >>> growth_check("run", halve, start, 0.5, key, steps=100, chaotic=False).holds
    True
    """
    options = {"steps": steps, "every": steps // 50}
    found = _growth(update, start, params, key, **options)
    right = bool(found.chaotic if chaotic else found.meaningful())
    return always(f"{what}: {found.says()}", "growth of the tangent", float(right))


_growth = once(growth)
