"""A table of synapse sizes from end to end: models, laws of noise, checks, synapses."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TYPE_CHECKING

import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from .._arguments import nearest
from ._fit import Fit
from ._imaging import fit_sizes, MODELS
from ._oddities import oddities
from ._predictive import predictive_checks
from ._smoothing import window_of
from ._summary import compare, dataset, summary
from ._table import Table
from ._varied import Varied


if TYPE_CHECKING:
    import xarray

LAWS: Mapping[str, float | None] = {"model's own": None, "0": 0.0, "1/2": 0.5, "1": 1.0}
Progress = Callable[[str], None]


class Analysis(NamedTuple):
    """What a table says: fits by model, and of the best one what else there is.

    `laws` are fits of the best model under each law of the measurement noise, its s.d.
    the size to the power 0, 1/2 or 1, or constant in the model's own coordinate;
    `varied` lets synapses differ in how much they fluctuate.
    """

    table: Table
    notes: tuple[str, ...]
    window: int
    fits: dict[str, Fit]
    best: str
    comparison: "xarray.Dataset"
    laws: dict[str, Fit]
    varied: Fit | None
    checks: "xarray.Dataset | None"


def analyse(
    table: Table,
    models: Sequence[str] = tuple(MODELS),
    *,
    window: int | None = None,
    brief: bool = False,
    key: Key[Array, ""] | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Published models fitted to a table, compared, and the best one looked into.

    `window` is the number of samples that sizes are running means over; found from
    their correlations unless given (`window_of`). `brief` leaves it at the comparison.
    `progress` is told of every part that is done. Likelihoods are conditional on each
    synapse's first size. Use float64.

        found = analyse(read_table("sizes.csv", interval="0.5h"))
        print(report_of(found))
    """
    if not models:
        raise ValueError(f"`models` must name one at least of {', '.join(MODELS)}.")
    for name in models:
        if name not in MODELS:
            raise ValueError(f"unknown model '{name}'.{nearest(name, MODELS)}")
    tell = progress or (lambda words: None)
    seen = window_of(table) if window is None else window
    key = jr.key(0) if key is None else key

    def fitted(words: str, start: Any, starts: int = 4) -> Fit:
        found = fit_sizes(table, start, starts=starts, key=key)
        tell(f"fitted {words}: log-likelihood {found.height:.1f}")
        return found

    own = lambda name: fitted(name, MODELS[name].guess(table, window=seen))
    fits = _together({name: lambda name=name: own(name) for name in models})
    comparison = compare(fits)
    best = str(comparison.model.values[0])
    laws, varied, checks = {}, None, None
    if not brief:
        begin = fits[best].params
        guess = MODELS[best].guess
        tasks: dict[str, Callable[[], Any]] = {
            law: lambda law=law, power=power: fitted(
                f"{best}, noise law {law}", guess(table, window=seen, noise_power=power)
            )
            for law, power in LAWS.items()
            if power is not None
        }
        varied_start = Varied(begin, 0.3)
        tasks["varied"] = lambda: fitted(f"{best}, synapses varied", varied_start, 1)
        tasks["checks"] = lambda: predictive_checks(begin, table, jr.fold_in(key, 1))
        done = _together(tasks)
        varied, checks = done.pop("varied"), done.pop("checks")
        laws = {"model's own": fits[best], **done}
    said = oddities(table)
    return Analysis(table, said, seen, fits, best, comparison, laws, varied, checks)


def _together(tasks: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """All of them, as many at once as there are cores: compilation takes longest."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        waiting = {name: pool.submit(task) for name, task in tasks.items()}
        return {name: each.result() for name, each in waiting.items()}


def report_of(found: Analysis) -> str:
    """All of an analysis in words: what to know first, then numbers."""
    sizes = np.asarray(found.table.sizes)
    lines = [
        f"{len(sizes)} synapses, {sizes.shape[1]} times over "
        f"{float(found.table.times[-1] - found.table.times[0]):g} h, "
        f"{np.mean(~np.isnan(sizes)):.0%} of sizes seen",
        *(f"note: {each}" for each in found.notes),
    ]
    if found.window > 1:
        lines.append(f"fitted as running means over {found.window} samples.")
    for name in found.comparison.model.values:
        lines += ["", f"== {name}", summary(found.fits[str(name)])]
    lines += ["", "== models", _compared(found.comparison), verdict(found)]
    if found.laws:
        lines += ["", f"== {found.best} under other laws of the noise"]
        lines += [_compared(compare(found.laws)), _laws(found)]
    if found.varied is not None:
        lines += ["", f"== {found.best}, synapses varied", summary(found.varied)]
        lines.append(_varied(found, found.varied))
    if found.checks is not None:
        lines += ["", "== what the model does not reproduce (p below 1 %)"]
        lines += _misses(found.checks) or ["nothing"]
    return "\n".join(lines)


def verdict(found: Analysis) -> str:
    """Which model is best, and from which it is not told apart (Vuong's |z| < 2)."""
    table = found.comparison
    ties = [
        str(name)
        for name, apart in zip(
            table.model.values[1:], table.apart.values[1:], strict=True
        )
        if not apart
    ]
    if len(table.model) == 1:
        return f"{found.best} was the only model."
    if ties:
        return f"{found.best} has the least AIC; not told apart from {', '.join(ties)}."
    return f"{found.best} is best, and told apart from all others."


def _compared(table: "xarray.Dataset") -> str:
    head = f"{'':16}{'log-likelihood':>15}{'AIC - best':>12}{'weight':>8}{'Vuong':>7}"
    rows = [
        f"{name!s:16}{float(row.log_likelihood):15.1f}{float(row.aic):12.1f}"
        f"{float(row.weight):8.1%}{float(row.vuong):7.1f}"
        for name in table.model.values
        for row in [table.sel(model=name)]
    ]
    return "\n".join([head, *rows])


def _laws(found: Analysis) -> str:
    """How far the parameters hang on the law of the noise."""
    every = [dataset(each) for each in found.laws.values()]
    rows = []
    for name in found.fits[found.best].space.names:
        values = [float(data.estimate.sel(parameter=name)) for data in every]
        low, high = (
            [float(data[f"{end}_sandwich"].sel(parameter=name)) for data in every]
            for end in ("low", "high")
        )
        rows.append(
            f"{name}: {min(values):.4g} to {max(values):.4g} by the law of the noise, "
            f"{min(low):.4g} to {max(high):.4g} with the intervals of the sandwich"
        )
    return "\n".join(rows[:-1])  # the noise has another unit under each


def _varied(found: Analysis, varied: Fit) -> str:
    gain = float(varied.height - found.fits[found.best].height)
    spread = float(varied.params.spread)
    if gain < 2:
        return "synapses do not differ in how much they fluctuate, as far as seen."
    return (
        f"synapses differ: their fluctuations vary by a factor of {np.exp(spread):.2f} "
        f"(one s.d.), {gain:.1f} log units better."
    )


def _misses(checks: "xarray.Dataset") -> list[str]:
    rows = checks.to_dataframe()
    return [
        f"{row.statistic}, {row['at']}: {row.observed:.4g}, the model's "
        f"{row.low:.4g} to {row.high:.4g}"
        for _, row in rows[rows.p < 0.01].iterrows()
    ]
