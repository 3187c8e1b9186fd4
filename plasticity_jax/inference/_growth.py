r"""How sensitivity grows along a run, and over how many steps a derivative counts.

The derivative of a run is exact to rounding whatever the run does. Where the run is
chaotic it is also useless: it grows as $e^{\lambda t}$, while what it should predict
stays within the run's own spread.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._arguments import check_takes, fitted, whole, with_array_leaves
from .._interfaces import Scalar
from ..numerics import normal_like, root, tree_norm, tree_scale, tree_vdot
from ._gradients import check_returns


Update = Callable[[Any, Any], Any]
BATCHES = 20  # of which the standard error is made
TRANSIENT = 0.1  # of the run, left out: the perturbation turns to what grows most
NUDGE = 1e-3


class Growth(eqx.Module):
    r"""How two nearby runs part: per step, and over the whole run.

    `exponent` is the largest Lyapunov exponent (per step), with its `standard_error`;
    `state` $\ln(|\delta x_t|/|\delta x_0|)$ of a perturbation of the state after every
    `every` steps, `parameter` $\ln(|\mathrm dx_t/\mathrm dp|/s)$ along a direction of
    the parameters (NaN if there is none), `spread` $s$ the system's own scale: the root
    mean square distance of the state from its mean over the run (its length where it
    stands still).

    >>> halve = lambda state, rate: rate * state
    >>> found = growth(halve, jnp.ones(1), 0.5, jr.key(0), steps=100)
    >>> print(f"{found.exponent:.3f}", bool(found.chaotic))  # log(1/2) a step
    -0.693 False
    """

    exponent: Scalar
    standard_error: Scalar
    state: Float[Array, " record"]
    parameter: Float[Array, " record"]
    spread: Scalar
    every: int = eqx.field(static=True)

    @property
    def steps(self) -> int:
        """How many steps the run had."""
        return self.every * len(self.state)

    @property
    def chaotic(self) -> Array:
        """Whether nearby runs part for ever: the exponent is 3 standard errors above 0.

        False of NaN.
        """
        return self.exponent > 3 * self.standard_error

    def horizon(self, nudge: float = NUDGE) -> Scalar:
        r"""Steps after which a derivative no longer says what a `nudge` does.

        $\ln(1/n)/\lambda$: a change of `nudge` times the system's own scale has then
        grown to it. Infinite where the run is not chaotic, NaN where it is lost.
        """
        growing = self.exponent > 0
        steps = -math.log(nudge) / jnp.where(growing, self.exponent, 1.0)
        found = jnp.where(self.chaotic, steps, jnp.inf)
        return jnp.where(jnp.isnan(self.exponent), jnp.nan, found)

    def meaningful(self, nudge: float = NUDGE) -> Array:
        """Whether a derivative over the whole run predicts what a `nudge` would do.

        A change of the state, or of the parameters by `nudge` times the direction that
        was given, must stay within the system's own scale as the derivative has it.
        False of NaN.
        """
        reach = jnp.max(self.parameter)
        reach = jnp.where(jnp.isnan(reach), jnp.max(self.state), reach)
        lost = jnp.isnan(self.exponent)
        return ~lost & (reach + math.log(nudge) <= 0)

    def says(self, nudge: float = NUDGE) -> str:
        """The verdict in words."""
        rate = f"{float(self.exponent):.3g} +- {float(self.standard_error):.1g} a step"
        if math.isnan(float(self.exponent)):
            return "the run is lost: NaN"
        if bool(self.meaningful(nudge)):
            return f"a derivative over {self.steps} steps means something ({rate})"
        if not bool(self.chaotic):
            return f"no chaos, but a nudge of {nudge:g} leaves the scale ({rate})"
        steps = float(self.horizon(nudge))
        return f"chaos ({rate}): no derivative over more than {steps:.0f} steps"


def growth(
    update: Update,
    start: PyTree,
    params: PyTree,
    key: Key[Array, ""],
    *,
    steps: SupportsIndex,
    every: SupportsIndex = 1,
    direction: PyTree = None,
) -> Growth:
    r"""How a perturbation grows along `steps` times `state = update(state, params)`.

    By forward mode beside the run: memory does not grow with the steps, and nothing
    overflows, since the perturbation is rescaled at every step. It starts at random
    (from `key`) in all inexact arrays of the state together; a `direction` of the
    parameters (shaped like them) is followed as well. The exponent leaves out the first
    tenth, its error is that of the mean of 20 stretches. Jumps (a threshold, a draw
    that flips) are not seen. Of a system, whose noise is the same in both runs:

        update = lambda state, system: advance(system, state, key)[0]
        growth(update, state, system, key, steps=10_000, every=10).says()

    Raises `ValueError` unless `steps` is a multiple of `every` and holds 25 records,
    and `update` returns what it is given.

    >>> logistic = lambda x, r: r * x * (1 - x)
    >>> found = growth(logistic, 0.3, 4.0, jr.key(0), steps=1000)
    >>> print(f"{found.exponent:.1f}", bool(found.chaotic))  # log 2
    0.7 True
    """
    check_takes("update", update, "state", "params")
    count, thin = whole("steps", steps, 1), whole("every", every, 1)
    if count % thin or count < thin * (BATCHES + 5):
        raise ValueError(
            f"`steps` ({count}) must be a multiple of `every` ({thin}), and "
            f"{BATCHES + 5} times it at least."
        )
    start, params = with_array_leaves((start, params))
    check_returns(update, start, params)
    if direction is not None:
        knobs = eqx.filter(params, eqx.is_inexact_array)
        direction = fitted("`direction`", direction, knobs, "parameters")
    return _grown(update, start, params, key, direction, count // thin, thin)


@eqx.filter_jit
def _grown(
    update: Update,
    start: PyTree,
    params: PyTree,
    key: Key[Array, ""],
    direction: PyTree,
    records: int,
    every: int,
) -> Growth:
    """The compiled run of `growth`."""
    moving, still = eqx.partition(start, eqx.is_inexact_array)
    knobs, fixed = eqx.partition(params, eqx.is_inexact_array)
    dtype = jnp.result_type(*jax.tree.leaves(moving))

    def updated(moving: PyTree, knobs: PyTree, still: PyTree) -> tuple[PyTree, PyTree]:
        state = update(eqx.combine(moving, still), eqx.combine(knobs, fixed))
        return eqx.partition(state, eqx.is_inexact_array)

    def step(carry: _Course, _: None) -> tuple[_Course, None]:
        of_state = lambda moving: updated(moving, knobs, carry.still)
        after, away, still = jax.jvp(
            of_state, (carry.moving,), (carry.away,), has_aux=True
        )
        length = tree_norm(away)
        gone = length == 0
        away = tree_scale(1 / jnp.where(gone, 1, length), away)
        grown = carry.grown + jnp.log(length)
        course = carry._replace(moving=after, still=still, away=away, grown=grown)
        if direction is not None:
            course = _followed(course, carry, updated, knobs, direction)
        return _with_moments(course), None

    def block(carry: _Course, _: None) -> tuple[_Course, tuple[Array, Array]]:
        carry, _ = jax.lax.scan(step, carry, length=every)
        pulled = carry.log_scale + jnp.log(tree_norm(carry.pull))
        return carry, (carry.grown, pulled)

    away = normal_like(key, moving)
    away = tree_scale(1 / tree_norm(away), away)
    nothing, zero = jax.tree.map(jnp.zeros_like, moving), jnp.zeros((), dtype)
    course = _Course(moving, still, away, zero, nothing, zero, nothing, zero, zero)
    course, (state, parameter) = jax.lax.scan(block, course, length=records)
    spread = root(course.square / course.done)
    spread = jnp.where(spread == 0, tree_norm(course.mean), spread)
    if direction is None:
        parameter = jnp.full_like(parameter, jnp.nan)
    exponent, error = _rate(state, every)
    return Growth(exponent, error, state, parameter - jnp.log(spread), spread, every)


class _Course(NamedTuple):
    """A run so far, its perturbations at length 1 or below, and its moments."""

    moving: PyTree
    still: PyTree
    away: PyTree
    grown: Scalar  # log of what the perturbation of the state was divided by
    pull: PyTree
    log_scale: Scalar  # of the derivative by the parameters over `pull`
    mean: PyTree
    square: Scalar  # summed squared distance from the mean
    done: Scalar  # steps


def _followed(
    course: _Course, before: _Course, updated: Any, knobs: PyTree, direction: PyTree
) -> _Course:
    """The same with the derivative by the parameters one step on."""
    push = tree_scale(jnp.exp(-before.log_scale), direction)
    of_both = lambda moving, knobs: updated(moving, knobs, before.still)[0]
    _, pull = jax.jvp(of_both, (before.moving, knobs), (before.pull, push))
    length = tree_norm(pull)
    nothing = length == 0
    total = before.log_scale + jnp.log(jnp.where(nothing, 1, length))
    scale = jnp.where(nothing, 0, jnp.maximum(total, 0))
    pull = tree_scale(jnp.exp(before.log_scale - scale), pull)
    return course._replace(pull=pull, log_scale=scale)


def _with_moments(course: _Course) -> _Course:
    """The same with the new state in the mean and the spread (Welford 1962)."""
    done = course.done + 1
    off = jax.tree.map(jnp.subtract, course.moving, course.mean)
    mean = jax.tree.map(jnp.add, course.mean, tree_scale(1 / done, off))
    left = jax.tree.map(jnp.subtract, course.moving, mean)
    square = course.square + tree_vdot(off, left)
    return course._replace(mean=mean, square=square, done=done)


def _rate(course: Float[Array, " record"], every: int) -> tuple[Scalar, Scalar]:
    """Growth per step after the transient, and its standard error over stretches."""
    left = len(course) - max(1, int(TRANSIENT * len(course)))
    size = left // BATCHES
    ends = course[-(BATCHES * size + 1) :: size]
    each = jnp.diff(ends) / (size * every)
    forgets = jnp.isneginf(course[-1])  # all at once: no difference is left
    exponent = jnp.where(forgets, -jnp.inf, jnp.mean(each))
    error = jnp.where(forgets, 0.0, jnp.std(each, ddof=1) / BATCHES**0.5)
    return exponent, error
