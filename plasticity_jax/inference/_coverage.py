"""Whether intervals hold what they promise, and estimates are where they should be."""

from collections.abc import Callable
from typing import Any, SupportsIndex, TYPE_CHECKING

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._arguments import check_range, one_of, whole
from ._estimates import Fit
from ._fit import Simulate
from ._intervals import intervals


if TYPE_CHECKING:
    import xarray


def coverage(
    simulate: Simulate,
    fit: Callable[[Any], Fit],
    truth: PyTree,
    keys: Key[Array, " run"],
    *,
    level: float = 0.95,
    kind: str = "observed",
    batch_size: SupportsIndex = 4,
) -> "xarray.Dataset":
    """How often intervals hold the truth: data are drawn from it and fitted again.

    `simulate(truth, key)` draws data, `fit(data)` fits them (a `Fit`), one run for each
    of `keys`, `batch_size` at a time in one program. Of each parameter: `coverage` of
    Wald's intervals of this kind with its `standard_error`, `bias` in standard errors
    of the estimate, `spread` of the estimates over the standard error they quote (1 if
    it is right). A run that did not converge, or has the parameter at its bound, counts
    as a miss and is left out of bias and spread; `converged` says how many did, `used`
    how many were left.

    >>> draw = lambda mean, key: mean + numerics.normal(key, (3,))
    >>> fitted = lambda y: fit(jax.scipy.stats.norm.logpdf, 0.0, y)
    >>> found = coverage(draw, fitted, 1.0, jr.split(jr.key(0), 20))
    >>> found.attrs["converged"], bool(abs(found.coverage[0] - 0.95) < 0.2)
    (20, True)
    """
    import xarray

    check_range("level", level, 1e-6, 1 - 1e-6)
    one_of("kind", kind, ("observed", "expected", "sandwich"))
    size = whole("batch_size", batch_size, 1)
    seen = _runs(simulate, fit, truth, keys, size, level, kind)
    names, (free, error, inside, held, done, true) = seen
    free, error, held = (np.asarray(x) for x in (free, error, held))
    used = np.asarray(inside) & np.asarray(done)[:, None] & np.isfinite(error)
    share = np.mean(held & used, axis=0)
    away = np.where(used, free - np.asarray(true), np.nan)
    count = used.sum(axis=0)
    some = np.where(count, count, np.nan)
    mean = np.nansum(away, axis=0) / some
    quoted = np.sqrt(np.sum(error**2, axis=0, where=used) / some)
    spread = np.sqrt(np.nansum((away - mean) ** 2, axis=0) / some)
    columns = {
        "truth": np.asarray(true),
        "coverage": share,
        "standard_error": np.sqrt(level * (1 - level) / len(keys)) + 0 * share,
        "bias": mean / quoted,
        "spread": spread / quoted,
        "used": count,
    }
    told = {name: ("parameter", column) for name, column in columns.items()}
    about = {"level": level, "kind": kind, "runs": len(keys)}
    about["converged"] = int(np.sum(done))
    return xarray.Dataset(told, {"parameter": list(names)}, about)


@eqx.filter_jit
def _runs(
    simulate: Simulate,
    fit: Callable[[Any], Fit],
    truth: PyTree,
    keys: Key[Array, " run"],
    size: int,
    level: float,
    kind: str,
) -> Any:
    """Of every run: estimate, error, whether inside and held, converged; the truth."""
    names: list[str] = []

    def run(key: Key[Array, ""]) -> tuple[Array, ...]:
        found = fit(simulate(truth, key))
        names[:] = found.space.names
        true = found.space.free(truth)
        low, high = intervals(found, level, kind)
        value = found.space.values(true)
        held = (low <= value) & (value <= high)
        errors = found.standard_errors(kind)
        return found.free, errors, found.inside, held, found.converged, true

    free, errors, inside, held, done, true = jax.lax.map(run, keys, batch_size=size)
    return tuple(names), (free, errors, inside, held, done, true[0])
