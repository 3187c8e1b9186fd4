"""Cycles of four-fold symmetry, by the map of a quarter turn."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .... import Scalar
from ...._arguments import admit, floating, positive
from ..roots import root
from ._rates import (
    _check_smooth,
    balanced_rates,
    Closure,
    Pair,
    reduced_slope,
    Transfer,
)


STEPS = 400  # of RK4 in a quarter turn


class QuarterTurn(NamedTuple):
    """Where the positive first axis is left and the second reached, in what time.

    `least` and `largest` distance from the origin on the way.

    >>> turn = quarter_turn(lambda s: s, 1.0, 2.0, 3.0)  # linear: a circle
    >>> print(f"{turn.end:.3f} {turn.time:.3f}")  # 3, pi / 4
    3.000 0.785
    """

    start: Scalar
    end: Scalar
    time: Scalar
    least: Scalar
    largest: Scalar


@floating
def quarter_turn(
    closure: Closure, expansion: Scalar | float, rotation: Scalar | float, start: Scalar
) -> QuarterTurn:
    r"""From (start, 0) to (0, end): RK4 in the angle, exact in the limit of many steps.

    For closures that are smooth within a quadrant and odd in each component. The system
    has four-fold symmetry, so this map says all about its rotations. NaN where the
    angle stops on the way: towards a fixed point, there is no rotation.

    >>> turn = quarter_turn(lambda s: s, 0.0, jnp.pi / 2, 1.0)  # a spiral, in time 1
    >>> print(f"{turn.end:.3f}")  # 1 / e
    0.368
    """
    size = np.pi / 2 / STEPS

    def rates(angle: Scalar, carry: Pair) -> Pair:
        """Derivatives of log radius and of time with respect to the angle."""
        radius, cos, sin = jnp.exp(carry[0]), jnp.cos(angle), jnp.sin(angle)
        state = radius * jnp.stack([cos, sin])
        change = reduced_slope(closure, expansion, rotation, state)
        along = (cos * change[0] + sin * change[1]) / radius
        turn = (cos * change[1] - sin * change[0]) / radius
        by_angle = jnp.stack([along, jnp.ones_like(along)])
        return jnp.where(turn > 0, by_angle / jnp.where(turn > 0, turn, 1.0), np.nan)

    def forward(carry: Pair, angle: Scalar) -> tuple[Pair, Scalar]:
        first = rates(angle, carry)
        second = rates(angle + size / 2, carry + size / 2 * first)
        third = rates(angle + size / 2, carry + size / 2 * second)
        fourth = rates(angle + size, carry + size * third)
        carry = carry + size / 6 * (first + 2 * second + 2 * third + fourth)
        return carry, jnp.exp(carry[0])

    angles = size * jnp.arange(STEPS, dtype=start.dtype)
    begin = jnp.stack([jnp.log(start), jnp.zeros_like(start)])
    (log_end, time), radius = jax.lax.scan(forward, begin, angles)
    least = jnp.minimum(start, jnp.min(radius))
    largest = jnp.maximum(start, jnp.max(radius))
    return QuarterTurn(start, jnp.exp(log_end), time, least, largest)


class Cycle(NamedTuple):
    r"""A limit cycle: its period, its radii $r = |p|$, where it crosses the first axis.

    `quarter` is the derivative of the quarter-turn map there; its fourth power is the
    Floquet multiplier.

    >>> cycle = balanced_step_cycle(1.0, 3.0)
    >>> print(f"{cycle.period:.3f} {cycle.multiplier:.4f}")  # 4 ln 2, 1 / 16
    2.773 0.0625
    """

    period: Scalar
    least: Scalar
    largest: Scalar
    crossing: Scalar
    quarter: Scalar

    @property
    def multiplier(self) -> Scalar:
        """By which a deviation shrinks in one turn."""
        return self.quarter**4


@floating
@eqx.filter_jit
def reduced_cycle(
    closure: Closure, expansion: Scalar, rotation: Scalar, scale: float = 1.0
) -> Cycle:
    r"""The limit cycle, from the fixed point of the quarter-turn map.

    `scale` is $|p|$ over the length of a state: $1/\sqrt2$ for `balanced_rates`. Rates
    must not exceed $\pi/2$. Radii are those at the steps in angle. NaN without a cycle,
    and where it nearly stops on its way (periods above about 200).

    >>> closure = balanced_rates(jnp.tanh)
    >>> cycle = reduced_cycle(closure, 2.0, 3.0, 0.5**0.5)
    >>> print(f"{cycle.period:.3f}")
    4.447
    """
    turned = lambda start: quarter_turn(closure, expansion, rotation, start)
    growth = lambda start, _: turned(start).end / start - 1
    most = 2 * (expansion + rotation)
    crossing = root(growth, 1e-4 * most, most, None)
    turn, slope = jax.jvp(turned, (crossing,), (jnp.ones_like(crossing),))
    closed = jnp.abs(turn.end / crossing - 1) < 1e-3
    closed &= (slope.end > 0) & (slope.end < 1)  # orbits of a plane do not cross
    least, largest = scale * turn.least, scale * turn.largest
    cycle = Cycle(4 * turn.time, least, largest, crossing, slope.end)
    return Cycle(*(jnp.where(closed, x, np.nan) for x in cycle))


@floating
def balanced_cycle(transfer: Transfer, expansion: Scalar, rotation: Scalar) -> Cycle:
    r"""The cycle of balanced signs, for a smooth odd $\phi$ bounded by 1.

    `crossing` is $|p_u + p_v|$ where $p_u = p_v$. Raises `ValueError` where $\phi$
    jumps. Compiled at the first call.

    >>> cycle = balanced_cycle(jnp.tanh, 2000.0, 6000.0)
    >>> print(f"{cycle.period:.2f}")  # strong memories: as of a step, 4 ln 2
    2.77
    """
    _check_smooth(transfer, "balanced_step_cycle")
    return reduced_cycle(balanced_rates(transfer), expansion, rotation, 0.5**0.5)


@floating
def balanced_step_cycle(expansion: Scalar, rotation: Scalar) -> Cycle:
    r"""The same for a step: it exists iff $\rho > \alpha > 0$.

    Period $4\ln\frac{\rho+\alpha}{\rho-\alpha}$, a square with corners at $2\alpha$ on
    the axes, so radii from $\alpha$ to $\sqrt2\alpha$; multiplier $e^{-T}$.

    >>> cycle = balanced_step_cycle(2.0, 3.0)
    >>> print(f"{cycle.least:.3f} {cycle.largest:.3f}")
    2.000 2.828
    """
    wrong = ~((rotation > expansion) & (expansion > 0))
    must = f"lie above 0 and below the rotation {rotation}"
    expansion = admit("expansion", expansion, wrong, must)
    ratio = (rotation - expansion) / (rotation + expansion)
    period = -4 * jnp.log(ratio)
    return Cycle(period, expansion, 2**0.5 * expansion, 2 * expansion, ratio)


@floating
def step_quarter_turn(start: Scalar, expansion: Scalar, rotation: Scalar) -> Scalar:
    r"""$a \mapsto (\alpha + \rho)a/(a + \rho - \alpha)$: balanced signs, a step.

    >>> print(f"{step_quarter_turn(2.0, 1.0, 3.0):.1f}")  # 2 alpha returns: the cycle
    2.0
    """
    rest = start + rotation - expansion
    must = f"exceed `expansion` - `rotation`, {expansion - rotation}"
    start = admit("start", positive("start", start), rest <= 0, must)
    return (expansion + rotation) * start / rest
