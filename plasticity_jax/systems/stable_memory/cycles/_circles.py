"""Circular cycles: of Gaussian patterns, and those that explicit steps make."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .... import Scalar
from ...._arguments import admit, floating, not_negative, positive
from ..roots import root
from ._rates import _check_smooth, _one, gaussian_gain, Transfer, Values


Numbers = Values | np.ndarray | float


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
