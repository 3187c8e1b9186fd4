r"""Limit cycles of one stored plane: exact reductions to two dimensions.

$W = \alpha(uu^\top + vv^\top) + \rho(uv^\top - vu^\top)$ with `expansion` $\alpha$ and
`rotation` $\rho$. The paper has $\alpha = 0$ (Eq. 7), where there is no limit cycle;
all closures here but `printed_rates` are derived. A reduced state has two components
that turn counter-clockwise:

$\dot s = -s + \alpha q(s) + \rho(-q_2, q_1)(s)$

with a closure $q$: `gaussian_rates` for $s = (p_v, p_u)$ and Gaussian patterns of many
neurons, `balanced_rates` for $s = (p_u + p_v, p_u - p_v)$ and signs of which all four
pairs are equally frequent (exact at any size), `printed_rates` for $s = (p_v, p_u)$ and
the paper's approximation for a step.

A closed form of a cycle where there is none raises `ValueError`, and is NaN where its
arguments are traced.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from ... import Scalar
from ..._arguments import admit, concrete, floating, not_negative, positive
from .roots import bisected, root


Pair = Float[Array, "2"]
Values = Float[Array, "..."]
Numbers = Values | np.ndarray | float
Closure = Callable[[Pair], Pair]
Transfer = Callable[[Array], Array]
NODES = 200  # of Gauss and Hermite
STEPS = 400  # of RK4 in a quarter turn


@floating
def reduced_slope(
    closure: Closure, expansion: Scalar | float, rotation: Scalar | float, state: Pair
) -> Pair:
    r"""$\dot s$ of the reduced system.

    >>> closure = balanced_rates(jnp.sign)
    >>> reduced_slope(closure, 2.0, 3.0, [1.0, 0.0]).tolist()  # [alpha - 1, rho]
    [1.0, 3.0]
    """
    q = closure(state)
    turned = jnp.stack([-q[1], q[0]])
    return expansion * q + rotation * turned - state


@floating
def gaussian_gain(transfer: Transfer, radius: Scalar) -> Scalar:
    r"""$g(r) = E[z\phi(rz)]/r$, $z \sim N(0, 1)$: rates over overlaps, $r > 0$.

    By 200 Gauss-Hermite nodes: for a smooth odd $\phi$, to $10^{-6}$ as long as $r$ is
    below 4 times the scale of $\phi$. A step has $\sqrt{2/\pi}/r$.

    >>> radius = jnp.sqrt(6 / jnp.pi)
    >>> gain = gaussian_gain(circuits.error_function, radius)
    >>> print(f"{gain:.3f}")  # 1 / sqrt(1 + pi r^2 / 2)
    0.500
    """
    z, weights = np.polynomial.hermite_e.hermegauss(NODES)
    nodes = jnp.asarray(z, radius.dtype)
    weights = jnp.asarray(weights / weights.sum(), radius.dtype)
    return jnp.sum(weights * nodes * transfer(radius * nodes)) / radius


def gaussian_rates(transfer: Transfer) -> Closure:
    """The closure of Gaussian orthonormal patterns, for an infinite network.

    >>> rates = gaussian_rates(circuits.error_function)(jnp.asarray([3.0, 4.0]))
    >>> print(f"{rates[1] / rates[0]:.3f}")  # along the overlaps
    1.333
    """
    return jax.tree_util.Partial(_gaussian, transfer)


def _gaussian(transfer: Transfer, state: Values) -> Values:
    return gaussian_gain(transfer, jnp.sqrt(jnp.sum(state**2))) * state


def _one(transfer: Transfer, x: Scalar) -> Scalar:
    """The rate of one neuron."""
    return transfer(x[None])[0]


def _check_smooth(transfer: Transfer, closed: str) -> None:
    """Raise `ValueError` where rates jump: quadrature and steps in angle miss it."""
    low, high = -8.0, 8.0
    for cells in (200_000, 100, 100):  # into the cell where rates differ most
        x = np.linspace(low, high, cells + 1)
        with jax.ensure_compile_time_eval():
            rates = transfer(jnp.asarray(x, jnp.result_type(float)))
        if not concrete(rates):
            return
        jumps = np.abs(np.diff(np.asarray(rates)))
        low, high = x[np.argmax(jumps) :][:2]
    if np.max(jumps) > 1e-3:
        raise ValueError(
            f"`transfer` must be smooth; it jumps at {low:.3g}. Of a step there is "
            f"`{closed}`."
        )


def balanced_rates(transfer: Transfer) -> Closure:
    """The closure of balanced signs (columns of a Hadamard matrix).

    >>> rates = balanced_rates(jnp.tanh)(jnp.asarray([0.0, 1.0]))
    >>> print(np.asarray(rates).round(3))  # 0, tanh(1)
    [0.    0.762]
    """
    return jax.tree_util.Partial(_balanced, transfer)


def _balanced(transfer: Transfer, state: Pair) -> Pair:
    return transfer(state)


def printed_rates(state: Pair) -> Pair:
    r"""$q_v = \arctan(p_v/|p_u|)$ and $q_u$ likewise, as printed below Eq. 7.

    >>> rates = printed_rates(jnp.asarray([1.0, -1.0]))
    >>> print(np.asarray(rates / jnp.pi).round(3))
    [ 0.25 -0.25]
    """
    return jnp.arctan2(state, jnp.abs(state[::-1]))


def orthant_rates(state: Pair) -> Pair:
    r"""$\frac2\pi$ of `printed_rates`: $E[\mathrm{sgn}z_v\,\mathrm{sgn}(p\cdot z)]$.

    Exact for Gaussian $z$. Of its cycles, and all else, the radii are $\frac2\pi$ of
    those as printed, the periods are the same.

    >>> rates = orthant_rates(jnp.asarray([1.0, 1.0]))
    >>> print(np.asarray(rates).round(3))  # 3 of 4 signs agree
    [0.5 0.5]
    """
    return printed_rates(state) * (2 / np.pi)


# --- Gaussian patterns --------------------------------------------------------------


class Circle(NamedTuple):
    """A circular cycle: radius, radians per unit of time, rate of radial deviations.

    Radius 0 where there is none; the other two are then those of the origin.

    >>> circle = error_function_circle(2.0, 6.0)
    >>> print(f"{circle.radius:.3f} {circle.frequency:.3f} {circle.exponent:.3f}")
    1.382 3.000 -0.750
    """

    radius: Scalar
    frequency: Scalar
    exponent: Scalar


@floating
def gaussian_cycle(transfer: Transfer, expansion: Scalar, rotation: Scalar) -> Circle:
    r"""The cycle of Gaussian patterns for a smooth odd bounded increasing $\phi$.

    $g(r^*) = 1/\alpha$, $\omega = \rho g(r^*) = \rho/\alpha$ whatever $\phi$, exponent
    $\alpha g'(r^*) r^*$. It exists iff $\alpha\phi'(0) > 1$. Differentiable. Raises
    `ValueError` where $\phi$ jumps.

    >>> print(f"{gaussian_cycle(jnp.tanh, 2.0, 6.0).frequency:.3f}")  # rho / alpha
    3.000
    """
    _check_smooth(transfer, "step_circle")
    excess = lambda r, alpha: alpha * gaussian_gain(transfer, r) - 1
    least = jnp.full((), 1e-6, expansion.dtype)
    largest = _one(transfer, 1 / least**2) * expansion * (2 / np.pi) ** 0.5
    none = excess(least, expansion) <= 0  # false of NaN
    inner = root(excess, least, jnp.maximum(largest, 2 * least), expansion)
    radius = jnp.where(none, least, inner)
    gain, slope = jax.value_and_grad(gaussian_gain, 1)(transfer, radius)
    exponent = expansion * (gain + slope * radius) - 1
    return Circle(jnp.where(none, 0.0, radius), rotation * gain, exponent)


@floating
def error_function_circle(expansion: Scalar, rotation: Scalar) -> Circle:
    r"""Of $\mathrm{erf}(\sqrt\pi x/2)$, $\alpha > 1$: $r^2 = 2(\alpha^2 - 1)/\pi$.

    >>> print(f"{error_function_circle(2.0, 6.0).radius:.3f}")  # sqrt(6 / pi)
    1.382
    """
    expansion = admit("expansion", expansion, expansion <= 1, "exceed 1")
    square = expansion**2 - 1
    radius = jnp.sqrt(square * (2 / np.pi))
    return Circle(radius, rotation / expansion, -square / expansion**2)


@floating
def step_circle(expansion: Scalar, rotation: Scalar) -> Circle:
    r"""For a step and $\alpha > 0$: radius $\alpha\sqrt{2/\pi}$, exponent $-1$.

    >>> print(f"{step_circle(2.0, 6.0).radius:.3f}")
    1.596
    """
    expansion = positive("expansion", expansion)
    radius = expansion * (2 / np.pi) ** 0.5
    return Circle(radius, rotation / expansion, -expansion / expansion)


# --- cycles of the reduced system ---------------------------------------------------


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
    after = lambda start: quarter_turn(closure, expansion, rotation, start).end
    growth = lambda start, _: after(start) / start - 1
    most = 2 * (expansion + rotation)
    crossing = root(growth, 1e-4 * most, most, None)
    turn = quarter_turn(closure, expansion, rotation, crossing)
    quarter = jax.grad(after)(crossing)
    closed = jnp.abs(turn.end / crossing - 1) < 1e-3
    closed &= (quarter > 0) & (quarter < 1)  # orbits of a plane do not cross
    least, largest = scale * turn.least, scale * turn.largest
    cycle = Cycle(4 * turn.time, least, largest, crossing, quarter)
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


@floating
def critical_rotation(transfer: Transfer, expansion: Scalar) -> Scalar:
    r"""$\rho_c(\alpha)$ above which balanced signs have a cycle, $\alpha\phi'(0) > 1$.

    Fixed points off the origin obey $h(a) = -h(b)$ and $\rho = h(a)/\phi(a)\phi(b)$
    with $h(x) = \phi(x)(\alpha\phi(x) - x)$; the largest such $\rho$, where they meet
    in pairs and vanish, leaves a cycle behind. For $\phi$ bounded by 1 and concave on
    $x > 0$. A step has $\rho_c = \alpha$. Differentiable.

    >>> print(f"{critical_rotation(jnp.tanh, 2.0):.3f}")  # a step has 2
    0.543
    """
    found = held_rotations(transfer, expansion)
    # its slope in a is zero: true gradient in the expansion
    return found.rotation(found.critical, expansion)


class HeldRotations(NamedTuple):
    """Fixed points (a, b) off the origin, 0 < a < `edge` < b, by a and the expansion.

    `rotation` is the one that holds it there: largest at `critical`. `other` is b.

    >>> held = held_rotations(jnp.tanh, jnp.asarray(2.0))
    >>> print(f"{held.edge:.3f}")  # where x = 2 tanh(x)
    1.915
    """

    rotation: Callable[[Scalar, Scalar], Scalar]
    other: Callable[[Scalar, Scalar], Scalar]
    critical: Scalar
    edge: Scalar


def held_rotations(transfer: Transfer, expansion: Scalar) -> HeldRotations:
    r"""All of them, for $\phi$ bounded by 1 and concave on $x > 0$.

    Raises `ValueError` unless $\alpha\phi'(0) > 1$; NaN where it is traced.

    >>> expansion = jnp.asarray(2.0)
    >>> held = held_rotations(jnp.tanh, expansion)
    >>> print(f"{held.rotation(held.critical, expansion):.3f}")  # the critical rotation
    0.543
    """
    least = jnp.full((), 1e-6, expansion.dtype)
    outward = lambda x, alpha: alpha * _one(transfer, x) - x
    must = "exceed 1 over the slope of `transfer` at 0"
    expansion = admit("expansion", expansion, outward(least, expansion) <= 0, must)

    def height(x: Scalar, alpha: Scalar) -> Scalar:
        rate = _one(transfer, x)
        return rate * (alpha * rate - x)

    def other(a: Scalar, alpha: Scalar) -> Scalar:
        balance = lambda b, args: height(b, args[1]) + height(args[0], args[1])
        return root(balance, edge, 3 * alpha, (a, alpha))

    def held(a: Scalar, alpha: Scalar) -> Scalar:
        rates = _one(transfer, a) * _one(transfer, other(a, alpha))
        return height(a, alpha) / rates

    edge = jax.lax.stop_gradient(root(outward, least, 2 * expansion, expansion))
    a = bisected(jax.grad(held), 1e-3 * edge, (1 - 1e-3) * edge, expansion)
    return HeldRotations(held, other, a, edge)


# --- what explicit steps show instead -----------------------------------------------


@floating
def euler_radius(rotation: Numbers, step: Numbers) -> Array:
    r"""$\rho\sqrt{\Delta t/\pi}$: the cycle that explicit Euler makes for a step.

    Gaussian patterns, $\alpha = 0$: the equation itself has none.

    >>> print(f"{euler_radius(1.0, 0.1):.3f}")
    0.178
    """
    rotation, step = jnp.asarray(rotation), jnp.asarray(step)
    rotation = not_negative("rotation", rotation)
    return rotation * jnp.sqrt(not_negative("step", step) / np.pi)


def euler_threshold(step: ArrayLike) -> Array:
    r"""$\sqrt{2/\Delta t - 1}$: rotations above it make Euler's origin unstable.

    >>> print(f"{euler_threshold(0.1):.3f}")  # sqrt(19)
    4.359
    """
    step = jnp.asarray(step)
    step = admit("step", step, (step <= 0) | (step > 2), "lie above 0 and up to 2")
    return jnp.sqrt(2 / step - 1)
