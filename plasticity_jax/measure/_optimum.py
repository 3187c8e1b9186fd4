r"""The best margin that excitatory weights can reach, solved exactly for one neuron.

Linear and quadratic programmes of Iatropoulos, Gerstner & Brea 2025 (PNAS, doi
10.1073/pnas.2422602122), the oracles against which a plasticity rule is judged. Plain
NumPy in double precision, outside of compiled programs.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike

from .._arguments import check_binary, check_signs, whole


class LargestMargin(NamedTuple):
    r"""Optimal weights of norm 1, their threshold and margin.

    `replay` are the dual variables $p^\mu$: the share of cycles in which each pattern
    is the weakest one at the optimum (they sum to 1, half of it in either class).
    `margin` is not above 0 where the patterns cannot be separated (`separable`).

    >>> best = largest_l1_margin(np.eye(2), [1, -1])
    >>> print(best.separable, best.replay.round(3))
    True [0.5 0.5]
    """

    margin: float
    weights: Float[ndarray, " n"]
    threshold: float
    replay: Float[ndarray, " pattern"]

    @property
    def separable(self) -> bool:
        """Whether any weights do what is asked of them."""
        return self.margin > 1e-9


def largest_l1_margin(
    patterns: ArrayLike,
    targets: ArrayLike,
    *,
    own: int | None = None,
    signs: ArrayLike | None = None,
) -> LargestMargin:
    r"""Maximise $\min_\mu\sigma^\mu(w\cdot\xi^\mu - I)$, $w \ge 0$, $\sum_jw_j = 1$.

    `patterns` (n, pattern) of 0 and 1, `targets` (pattern,) of +1 and -1, `own` the
    neuron's own index, without a synapse. With `signs` (n,) of the inputs, +1 or -1, it
    is $s_jw_j$ that is not negative and sums to 1. A linear programme (HiGHS). Patterns
    that are not separable have a margin of at most 0. Raises `ValueError` where the
    margin is unbounded (one class only), on input that is not binary and an `own`
    without a row.

    >>> best = largest_l1_margin(np.eye(2), [1, -1])
    >>> print(best.weights.round(3), f"{best.threshold:.2f} {best.margin:.2f}")
    [1. 0.] 0.50 0.50
    """
    from scipy.optimize import linprog

    inputs, wanted, side = _problem(patterns, targets, own, signs)
    n, count = inputs.shape
    fields = wanted[:, None] * inputs.T
    constraints = np.hstack([-fields, wanted[:, None], np.ones((count, 1))])
    objective = np.zeros(n + 2)
    objective[-1] = -1.0
    norm = np.hstack([np.ones((1, n)), np.zeros((1, 2))])
    bounds: list[Any] = [(0, None)] * n + [(None, None)] * 2
    if own is not None:
        bounds[own] = (0, 0)
    limits = (constraints, np.zeros(count), norm, np.ones(1))
    found = linprog(objective, *limits, bounds=bounds)
    if found.status != 0:
        raise ValueError(f"the linear programme was not solved: {found.message}")
    threshold, margin = (float(x) for x in found.x[n:])
    replay = -np.asarray(found.ineqlin.marginals)
    return LargestMargin(margin, side * found.x[:n], threshold, replay)


def largest_l2_margin(
    patterns: ArrayLike,
    targets: ArrayLike,
    *,
    own: int | None = None,
    excitatory: bool = True,
    signs: ArrayLike | None = None,
) -> LargestMargin:
    r"""Maximise $\min_\mu\sigma^\mu(w\cdot\xi^\mu - I)$, $w \ge 0$, $\|w\|_2 = 1$.

    As `largest_l1_margin`; without `excitatory` weights may be negative. Solved through
    its dual, the smallest $\|(\sum_\mu p^\mu\sigma^\mu\xi^\mu)_+\|_2$ over $p \ge 0$
    with half of its mass in either class. The margin is that of the weights found, so
    it is never above the optimum; it is 0, with weights of 0, where the patterns are
    not separable.

    >>> best = largest_l2_margin(np.eye(2), [1, -1])
    >>> free = largest_l2_margin(np.eye(2), [1, -1], excitatory=False)
    >>> print(f"{best.margin:.3f} {free.margin:.3f}", free.weights.round(3))
    0.500 0.707 [ 0.707 -0.707]
    """
    from scipy.optimize import nnls

    inputs, wanted, side = _problem(patterns, targets, own, signs)
    n, count = inputs.shape
    fields = wanted * inputs
    if own is not None:
        fields[own] = 0.0
    slack = np.eye(n) if excitatory else np.zeros((n, 0))
    heavy = 1e4 * n**0.5
    classes = heavy * np.stack([wanted > 0, wanted < 0]).astype(float)
    system = np.block([[fields, slack], [classes, np.zeros((2, slack.shape[1]))]])
    goal = np.concatenate([np.zeros(n), 0.5 * heavy * np.ones(2)])
    found, _ = nnls(system, goal, maxiter=50 * sum(system.shape))
    replay = found[:count]
    for sign in (-1, 1):
        replay[wanted == sign] /= 2 * replay[wanted == sign].sum()
    weights = fields @ replay
    if excitatory:
        weights = np.maximum(weights, 0)
    length = float(np.linalg.norm(weights))
    if length < 1e-7:
        return LargestMargin(0.0, np.zeros(n), 0.0, replay)
    weights = weights / length
    currents = weights @ inputs
    least, most = currents[wanted > 0].min(), currents[wanted < 0].max()
    margin, threshold = float(least - most) / 2, float(least + most) / 2
    return LargestMargin(margin, side * weights, threshold, replay)


def _problem(
    patterns: ArrayLike, targets: ArrayLike, own: int | None, signs: ArrayLike | None
) -> tuple[ndarray, ndarray, ndarray]:
    """Inputs times their signs, targets and signs as float64 arrays, checked."""
    inputs, wanted = np.asarray(patterns, float), np.asarray(targets, float)
    if inputs.ndim != 2 or wanted.shape != inputs.shape[1:]:
        raise ValueError(
            "`patterns` (n, pattern) need `targets` (pattern,); got shapes "
            f"{inputs.shape} and {wanted.shape}."
        )
    check_binary("patterns", inputs)
    check_signs("targets", wanted)
    side = np.ones(len(inputs)) if signs is None else np.asarray(signs, float)
    check_signs("signs", side)
    if side.shape != inputs.shape[:1]:
        raise ValueError(
            f"`signs` must hold one for each of {len(inputs)} inputs; got {side.shape}."
        )
    if own is not None and not 0 <= whole("own", own) < len(inputs):
        raise ValueError(f"`own` must lie in [0, {len(inputs) - 1}]; got {own}.")
    if np.all(wanted == wanted[0]):
        raise ValueError(
            f"all `targets` are {wanted[0]:+.0f}: one class has no largest margin."
        )
    return side[:, None] * inputs, wanted, side
