"""Which combinations of coefficients the data determine, in words."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._arguments import check_finite, check_positive_semidefinite, check_range
from .._interfaces import Scalar
from ..curvature import gauss_newton


Matrix = Float[np.ndarray, "combination coefficient"]

SMALL = 1e-6  # of a coefficient in units of its own error: rounding


def choice_fisher(
    fields: Callable[[Any], PyTree], params: PyTree
) -> Float[Array, "w w"]:
    r"""$\sum p(1 - p)\nabla\ell\nabla\ell^\top$, $p = \sigma(\ell)$: that of choices.

    `fields(params)` are the logits $\ell$ of all choices that were seen, given what the
    learners did before. Exact, over the raveled parameters.

    >>> logits = lambda theta: theta  # of two choices, each at p = 1/2
    >>> choice_fisher(logits, jnp.zeros(2)).tolist()
    [[0.25, 0.0], [0.0, 0.25]]
    """

    def log_partition(logits: PyTree) -> Scalar:
        return jnp.sum(jax.nn.softplus(ravel_pytree(logits)[0]))

    return gauss_newton(fields, params, log_partition)


class Estimable(NamedTuple):
    """What can be estimated of some coefficients.

    `names` of `combinations` (combination, coefficient) that the data determine, and
    their `covariance`; `hidden` are changes of the coefficients that change nothing
    that was seen.

    >>> found = estimable(jnp.diag(jnp.asarray([4.0, 0.0])), ["x", "y"])
    >>> found.names, found.hidden, found.covariance.tolist()
    (('[x]',), ('[y]',), [[0.25]])
    """

    names: tuple[str, ...]
    combinations: Matrix
    covariance: Float[np.ndarray, "combination combination"]
    hidden: tuple[str, ...]


def estimable(
    fisher: Float[Array, "w w"] | Float[np.ndarray, "w w"],
    names: Sequence[str],
    *,
    tolerance: float = 1e-9,
) -> Estimable:
    """The combinations of coefficients that a Fisher matrix determines, in few words.

    Regressors that are one and the same, as $x$ and $x^2$ of a binary input, leave only
    the sum of their coefficients; what never varies leaves nothing. Directions along
    which the information is below `tolerance` of the largest, each coefficient in units
    of its own error, are hidden. Double precision is needed. Raises `ValueError` for a
    matrix that is not positive semidefinite, not finite, or not of so many names.

    >>> found = estimable(jnp.ones((2, 2)), ["x", "x^2"])  # x is 0 or 1
    >>> found.names, found.hidden
    (('[x] + [x^2]',), ('[x] - [x^2]',))
    """
    check_range("tolerance", tolerance, 1e-15, 0.1)
    check_finite("fisher", fisher)
    check_positive_semidefinite("fisher", fisher)
    matrix = np.asarray(fisher, float)
    if matrix.shape != (len(names), len(names)):
        raise ValueError(
            f"`fisher` must have a row for each of {len(names)} names; got "
            f"{matrix.shape}."
        )
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 0))
    scale = np.where(scale <= np.finfo(float).tiny, 0.0, scale)
    unit = np.where(scale > 0, scale, 1.0)
    values, vectors = np.linalg.eigh(matrix / np.outer(unit, unit))
    kept = values > tolerance * max(values[-1], np.finfo(float).tiny)
    rows, pivots = _reduced(vectors[:, kept].T)
    rows = rows * unit[None] / unit[pivots][:, None]
    half = (rows / unit[None]) @ vectors[:, kept] / np.sqrt(values[kept])[None]
    free = [i for i in range(len(names)) if i not in pivots]
    changes = np.eye(len(names))[free]
    changes[:, pivots] = -rows[:, free].T
    return Estimable(
        tuple(_written(row, names, unit) for row in rows),
        rows,
        half @ half.T,
        tuple(_written(row, names, 1 / unit) for row in changes),
    )


def _reduced(rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The reduced row echelon form, and its leading columns, the first that will do."""
    rows, pivots = rows.copy(), []
    for column in range(rows.shape[1]):
        done = len(pivots)
        if done == len(rows):
            break
        best = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[best, column]) <= SMALL:
            continue
        rows[[done, best]] = rows[[best, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= np.outer(rows[others, column], rows[done])
        pivots.append(column)
    return np.where(np.abs(rows) <= SMALL, 0.0, rows), pivots


def _written(row: np.ndarray, names: Sequence[str], unit: np.ndarray) -> str:
    """A combination in words, what is small in units of errors left out."""
    large = np.abs(row / unit) > SMALL * np.max(np.abs(row / unit))
    values, said = row[large] * np.sign(row[large][0]), ""
    for value, name in zip(values, np.asarray(names)[large], strict=True):
        number = "" if abs(abs(value) - 1) < SMALL else f"{abs(value):.3g} "
        said += f" {'-' if value < 0 else '+'} {number}[{name}]"
    return said.removeprefix(" + ")
