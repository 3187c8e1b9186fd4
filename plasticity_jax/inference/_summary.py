"""What a fit says, in words, as a labelled dataset, and beside other models."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import check_kind
from ._domain import Vector
from ._estimates import Fit
from ._fit import CLOSE
from ._intervals import FEW_UNITS, intervals


if TYPE_CHECKING:
    import xarray

LOOSE = 4.0  # information at which two standard errors are 1, a factor of e
FAR = 1e-8  # least over largest information
WIDE = 1.3  # sandwich over observed standard error: the model is wrong
APART = 2.0  # of Vuong's statistic


class Directions(NamedTuple):
    r"""Eigenvectors of the information, in relative changes, least determined first.

    `error` (direction,) is the standard error along each, `vectors` (direction, w) the
    share of each parameter: a change of it by a factor, for a real one by its own size
    (or four standard errors, if that is more: its interval says so). `loose` says which
    are badly determined: to no better than a factor of e at two standard errors, or
    $10^4$ times worse than the best.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> told = directions(found)
    >>> print(told.error.round(3), told.loose)  # of the mean 3, relative: 0.577 / 3
    [0.192] [False]
    """

    error: Vector
    vectors: Float[Array, "direction w"]
    loose: Array


def directions(found: Fit) -> Directions:
    """What combinations of parameters the data determine, and how well.

    Of those parameters that are not at a bound; an error is infinite along a flat
    direction.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> directions(found).vectors.tolist()  # the only parameter
    [[1.0]]
    """
    inside = np.asarray(found.inside)
    block = np.asarray(found.information)[np.ix_(inside, inside)]
    free, bounded = np.asarray(found.free)[inside], found.space.bounded[inside]
    error = np.asarray(found.standard_errors())[inside]
    size = np.maximum(np.abs(free), 4 * np.where(np.isfinite(error), error, 0))
    size = np.where(bounded | (size == 0), 1, size)
    values, vectors = np.linalg.eigh(block * np.outer(size, size))
    values = np.where(np.abs(values) <= 1e-8 * values[-1:], 0, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = 1 / np.sqrt(values)
    whole = np.zeros((len(values), len(inside)))
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0)
    whole[:, inside] = (vectors * np.sign(largest)).T
    loose = ~(values >= np.maximum(LOOSE, FAR * values[-1:]))
    return Directions(*map(jnp.asarray, (errors, whole, loose)))


def notes(found: Fit) -> list[str]:
    """What a reader must know of a fit before its numbers, a sentence each.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> print(notes(found)[-1])
    3 units: the sandwich is not to be relied on.
    """
    names, bound = found.space.names, np.asarray(found.bound)
    said = []
    if not found.converged:
        why = "no maximum" if np.isnan(found.decrement) else "not at its maximum"
        said.append(f"the search stopped where the likelihood has {why}.")
    heights = np.asarray(found.trials.height)
    best = np.sum(
        heights >= np.max(heights[~np.isnan(heights)], initial=-np.inf) - CLOSE
    )
    if best < len(heights):
        said.append(f"{best} of {len(heights)} starts reached the best maximum.")
    if found.free.dtype == jnp.float32:
        said.append("single precision: errors may be off; set jax_enable_x64.")
    for name, side in zip(names, bound, strict=True):
        if side:
            which = "lower" if side < 0 else "upper"
            said.append(f"{name} is at its {which} bound: a profile gives its limit.")
    said += [_worded(found, *each) for each in _loose(found)]
    widening = np.asarray(found.widening)
    units = len(found.log_likelihoods)
    if units >= FEW_UNITS and np.max(widening) > WIDE:
        worst = names[int(np.argmax(widening))]
        said.append(
            "the model does not describe the data: errors that do not trust it are up "
            f"to {np.max(widening):.1f} times as wide ({worst}); use the sandwich."
        )
    if units < FEW_UNITS:
        said.append(f"{units} units: the sandwich is not to be relied on.")
    return said


def _loose(found: Fit) -> list[tuple[float, np.ndarray]]:
    """Errors and vectors of the badly determined directions."""
    if np.isnan(found.decrement):
        return []
    error, vectors, loose = map(np.asarray, directions(found))
    return [(error[i], vectors[i]) for i in np.flatnonzero(loose)]


def _worded(found: Fit, error: float, vector: np.ndarray) -> str:
    """A direction as a product of powers, and how well it is determined."""
    parts = [
        name if share > 0.995 else f"{name}^{share:.2g}"
        for name, share in zip(found.space.names, vector, strict=True)
        if abs(share) >= 0.1
    ]
    what = " * ".join(parts)
    if not np.isfinite(error):
        return f"{what} is not determined at all."
    size = (
        f"{100 * error:.0f} %" if error < 0.7 else f"a factor of {math.exp(error):.3g}"
    )
    return f"{what} is determined to {size} (one standard error)."


def summary(found: Fit, level: float = 0.95) -> str:
    r"""A table of estimates with intervals, and the notes.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> print("\n".join(summary(found).splitlines()[:2]))
    parameter  estimate  95% interval    sandwich
    parameter  3         1.868 to 4.132  0.5555 to 5.445
    """
    return "\n".join([*in_columns(estimate_rows(found, level)), *statements(found)])


def estimate_rows(found: Fit, level: float = 0.95) -> list[tuple[str, ...]]:
    """Of each parameter, a head first: estimate, both intervals, whether at a bound."""
    data = dataset(found, level)
    rows: list[tuple[str, ...]] = [
        ("parameter", "estimate", f"{level:.0%} interval", "sandwich", "")
    ]
    for name in found.space.names:
        row = data.sel(parameter=name)
        ends = [
            f"{float(row[f'low_{kind}']):.4g} to {float(row[f'high_{kind}']):.4g}"
            if np.isfinite(row[f"low_{kind}"]) | np.isfinite(row[f"high_{kind}"])
            else "-"
            for kind in ("observed", "sandwich")
        ]
        at = {0: "", -1: "at its lower bound", 1: "at its upper bound"}
        rows.append((name, f"{float(row.estimate):.4g}", *ends, at[int(row.bound)]))
    return rows


def statements(found: Fit) -> list[str]:
    """How likely the data are, and the notes."""
    return [
        f"log-likelihood {found.height:.1f} of {len(found.log_likelihoods)} units; "
        f"AIC {found.aic:.1f}, BIC {found.bic:.1f}, TIC {found.tic:.1f}",
        *notes(found),
    ]


def in_columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table of texts."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def dataset(found: Fit, level: float = 0.95) -> "xarray.Dataset":
    """Estimates, errors, intervals, information and starts, labelled.

    `standard_error` and `information` are in free coordinates; `low_observed` and so on
    in the parameters' units.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> told = dataset(found).isel(parameter=0)
    >>> print(f"{told.estimate:.3f} {told.standard_error_observed:.3f}")
    3.000 0.577
    """
    import xarray

    along, square = "parameter", ("parameter", "with_parameter")
    kinds = ["observed", "sandwich"] + ["expected"] * (found.expected is not None)
    values: dict[str, Any] = {
        "estimate": (along, found.space.values(found.free)),
        "bound": (along, found.bound),
        "information": (square, found.information),
        "log_likelihood": ("unit", found.log_likelihoods),
        "start_height": ("start", found.trials.height),
        "start_free": (("start", along), found.trials.free),
        "start_converged": ("start", found.trials.converged),
    }
    for kind in kinds:
        low, high = intervals(found, level, kind)
        values[f"standard_error_{kind}"] = (along, found.standard_errors(kind))
        values |= {f"low_{kind}": (along, low), f"high_{kind}": (along, high)}
    names = list(found.space.names)
    told = {name: (dims, np.asarray(x)) for name, (dims, x) in values.items()}
    about = {
        "level": level,
        "aic": float(found.aic),
        "bic": float(found.bic),
        "tic": float(found.tic),
        "converged": int(found.converged),
        "notes": "\n".join(notes(found)),
    }
    return xarray.Dataset(told, {along: names, "with_parameter": names}, about)


def compare(fits: Mapping[str, Fit]) -> "xarray.Dataset":
    r"""Models fitted to the same units, the best (least AIC) first.

    `aic` above the best's, `weight` $\propto e^{-\Delta/2}$, and the statistic of Vuong
    (1989) of the best against each: the summed difference of the units' log-likelihoods
    over its standard deviation, about standard normal where neither model is nearer the
    truth. `apart` says whether it exceeds 2. Only likelihoods of the same data count:
    same units, same conditioning, the density of the same variable. A model that holds
    another, as `Factors` does `Additive` and `Lognormal`, wins by AIC in 16 % of the
    data that this one made. Raises `ValueError` where units or their data differ.

    >>> y, laws = jnp.asarray([1.0, 2.0, 6.0]), ("norm", "logistic")
    >>> density = {law: getattr(jax.scipy.stats, law).logpdf for law in laws}
    >>> found = compare({law: fit(density[law], 0.0, y) for law in laws})
    >>> found.model.values.tolist(), found.aic.values.round(1).tolist()
    (['logistic', 'norm'], [0.0, 5.7])
    """
    import xarray

    for name, found in fits.items():
        check_kind(f"`fits`: '{name}'", found, Fit)
    sizes = {name: found.log_likelihoods.shape for name, found in fits.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"`fits` must be to the same units; got {sizes}.")
    data = {name: _arrays(found) for name, found in fits.items()}
    first, *others = data
    for name in others:
        if not _same(data[first], data[name]):
            raise ValueError(f"`fits`: '{first}' and '{name}' are to different data.")
    order = sorted(
        fits, key=lambda name: np.nan_to_num(float(fits[name].aic), nan=np.inf)
    )
    best = np.asarray(fits[order[0]].log_likelihoods)
    aic = np.asarray([float(fits[name].aic) for name in order])
    away = np.stack([best - np.asarray(fits[name].log_likelihoods) for name in order])
    spread = np.sqrt(len(best)) * away.std(axis=1)
    vuong = np.divide(
        away.sum(axis=1), spread, where=spread != 0, out=np.zeros(len(order))
    )
    weight = np.exp(-(aic - aic[0]) / 2)
    columns = {
        "log_likelihood": [float(fits[name].height) for name in order],
        "parameters": [fits[name].count for name in order],
        "aic": aic - aic[0],
        "weight": weight / np.nansum(weight),
        "vuong": vuong,
        "apart": np.abs(vuong) >= APART,
    }
    told = {name: ("model", np.asarray(column)) for name, column in columns.items()}
    return xarray.Dataset(told, {"model": order})


def _arrays(found: Fit) -> list[np.ndarray]:
    """The arrays of the data; what is fitted with them (a deviation) is a number."""
    leaves = jax.tree.leaves(found.objective.data)
    return [np.asarray(x) for x in leaves if eqx.is_array(x) and x.ndim]


def _same(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    equal = lambda x, y: np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")
    return len(some) == len(others) and all(map(equal, some, others))
