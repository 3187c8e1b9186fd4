"""What one step does to a loss, and how long it should be (Eqs. 2-10, A1)."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .... import Scalar
from ...._arguments import floating, not_negative, positive
from ....curvature import hessian, hvp, quadratic_form
from ....numerics import tree_norm, tree_unit, tree_vdot
from ._arrays import _in_arrays, Loss
from ._directions import mean_curvature


def second_order_change(
    loss: Loss, weights: PyTree, compensation: PyTree, fluctuation: PyTree
) -> Scalar:
    r"""Loss change over one step to second order (Eq. 2); exact on a quadratic.

    $\epsilon^\top g + c^\top g + \frac12 c^\top H c + \frac12 \epsilon^\top H
    \epsilon + c^\top H \epsilon$, written as Eq. 7 with $Q_w$.

    >>> bowl = lambda w: w @ w / 2
    >>> w, c, noise = jnp.asarray([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    >>> print(f"{second_order_change(bowl, w, c, noise):.3f}")  # from 1/2 to 2
    1.500
    """
    loss, weights, (compensation, fluctuation) = _in_arrays(
        loss, weights, compensation=compensation, fluctuation=fluctuation
    )
    gradient = jax.grad(loss)(weights)
    square = lambda d: tree_vdot(d, d) * quadratic_form(loss, weights, d)
    squares = square(compensation) + square(fluctuation)
    cross = tree_vdot(compensation, hvp(loss, weights, fluctuation))
    first = tree_vdot(compensation, gradient) + tree_vdot(fluctuation, gradient)
    return first + squares / 2 + cross


@floating
def expected_change(
    loss: Loss, weights: PyTree, compensation: PyTree, fluctuation_norm: Scalar
) -> Scalar:
    r"""Expected loss change over spherical fluctuations (Eq. 8, right side derived).

    $c^\top g + \frac12 \|c\|^2 Q_w[c] + \frac12 \delta^2\, \mathrm{Tr} H / N$; without
    compensation it is Box 2.

    >>> bowl = lambda w: w @ w / 2
    >>> w = jnp.asarray([1.0, 0.0])
    >>> print(f"{expected_change(bowl, w, -w, 2.0):.3f}")  # from 1/2 to 2^2 / 2
    1.500
    """
    loss, weights, [compensation] = _in_arrays(loss, weights, compensation=compensation)
    fluctuation_norm = not_negative("fluctuation_norm", fluctuation_norm)
    gradient, square = jax.grad(loss)(weights), tree_vdot(compensation, compensation)
    curved = 0.5 * square * quadratic_form(loss, weights, compensation)
    own = tree_vdot(compensation, gradient) + curved
    return own + fluctuation_norm**2 * mean_curvature(hessian(loss, weights)) / 2


def optimal_length(loss: Loss, weights: PyTree, direction: PyTree) -> Scalar:
    r"""Length along `direction` that lowers the loss most (Eq. 6).

    $-\hat{c}^\top g / Q_w[c]$, exact on a quadratic; NaN where $Q_w[c] \le 0$,
    since there is no minimum.

    >>> bowl = lambda w: w @ w / 2
    >>> w = jnp.asarray([3.0, 4.0])
    >>> print(f"{optimal_length(bowl, w, -w):.3f}")  # to the bottom
    5.000
    """
    loss, weights, [direction] = _in_arrays(loss, weights, direction=direction)
    curvature = quadratic_form(loss, weights, direction)
    slope = tree_vdot(tree_unit(direction), jax.grad(loss)(weights))
    curved = curvature > 0
    return jnp.where(curved, -slope / jnp.where(curved, curvature, 1.0), jnp.nan)


def step_slope(loss: Loss, weights: PyTree, compensation: PyTree) -> Scalar:
    r"""$g[w + c]^\top c \approx g^\top c + c^\top H c$ (appendix, positivity).

    A negative curvature along the compensation would mean that the loss falls ever
    faster, which no steady state allows. Exact on a quadratic.

    >>> bowl = lambda w: w @ w / 2
    >>> w = jnp.asarray([3.0, 4.0])
    >>> print(f"{step_slope(bowl, w, -w / 2):.3f}")  # half of the way: -25 / 4
    -6.250
    """
    loss, weights, [compensation] = _in_arrays(loss, weights, compensation=compensation)
    square = tree_norm(compensation) ** 2
    curved = square * quadratic_form(loss, weights, compensation)
    return tree_vdot(jax.grad(loss)(weights), compensation) + curved


@floating
def optimal_ratio(
    fluctuation_curvature: Scalar, compensation_curvature: Scalar
) -> Scalar:
    r"""$\|\Delta c\|^*/\|\Delta\epsilon\| = \sqrt{Q_w[\Delta\epsilon]/Q_w[\Delta c]}$.

    Eq. 9b. Holds where the loss is stationary and every length is the optimal one; it
    is a one-step (greedy) optimum, not the best fixed ratio of a whole run.

    >>> float(optimal_ratio(4.0, 1.0)), float(optimal_ratio(1.0, 1.0))
    (2.0, 1.0)
    """
    above = not_negative("fluctuation_curvature", fluctuation_curvature)
    below = positive("compensation_curvature", compensation_curvature)
    return jnp.sqrt(above / below)


@floating
def learning_excess(
    expected_drop: Scalar, fluctuation_norm: Scalar, fluctuation_curvature: Scalar
) -> Scalar:
    r"""How far the optimal ratio exceeds Eq. 9 while the loss still falls (Eq. 10).

    $\frac{\|c\|^{*2} Q[c]}{\delta^2 Q[\epsilon]} - 1 = \frac{2\,E[-\Delta
    F^*]}{\delta^2 Q[\epsilon]}$, with `expected_drop` $= E[-\Delta F^*]$.

    >>> learning_excess(0.0, 1.0, 4.0).tolist(), learning_excess(1.0, 1.0, 4.0).tolist()
    (0.0, 0.5)
    """
    length = positive("fluctuation_norm", fluctuation_norm)
    curvature = positive("fluctuation_curvature", fluctuation_curvature)
    return 2 * expected_drop / (length**2 * curvature)


@floating
def slope_per_length(
    compensation_curvature: Scalar,
    compensation_norm: Scalar,
    fluctuation_curvature: Scalar,
    fluctuation_norm: Scalar,
) -> Scalar:
    r"""$d(E[\Delta F]/\|c\|)/d\|c\|$ (A1): zero exactly where Eq. 9a holds.

    >>> length = optimal_ratio(4.0, 1.0)  # of a fluctuation of length 1
    >>> float(slope_per_length(1.0, length, 4.0, 1.0))
    0.0
    """
    length = positive("compensation_norm", compensation_norm)
    ratio = not_negative("fluctuation_norm", fluctuation_norm) / length
    return compensation_curvature / 2 - ratio**2 * fluctuation_curvature / 2


@floating
def fluctuation_share(ratio: Scalar) -> Scalar:
    """Share of fluctuations in all synaptic change, by magnitude: 1 / (1 + ratio).

    >>> float(fluctuation_share(1.0)), float(fluctuation_share(3.0))
    (0.5, 0.25)
    """
    return 1 / (1 + not_negative("ratio", ratio))
