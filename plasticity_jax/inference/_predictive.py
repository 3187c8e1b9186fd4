"""Whether a fitted model makes tables that look like the one it was fitted to."""

from typing import Any, SupportsIndex, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import whole
from ._process import AbstractSizes
from ._smoothing import smoothed
from ._table import Table


if TYPE_CHECKING:
    import xarray

LAGS = (1, 2, 4, 8, 16, 32, 64)
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
FIFTHS = 5


def looks(table: Table) -> dict[str, Float[Array, " place"]]:
    """Statistics of a table, of pairs that were both seen.

    `change_mean` and `change_sd` of changes to the next sample in fifths of the size
    before; `change_correlation` at lags 1 to 8; `change_variance` over some lags,
    divided by the lag; `autocorrelation` of sizes less the mean of their time;
    `rank_correlation` with the first time (Spearman); `quantile` of all sizes. Lags in
    samples.

    >>> told = looks(Table([[1.0, 2.0, 1.5], [2.0, 3.0, 2.5]], [0.0, 0.5, 1.0]))
    >>> print(told["quantile"][3], told["rank_correlation"].round(2))  # the median
    2.0 [1. 1.]
    """
    sizes = table.sizes
    lags = [lag for lag in LAGS if lag < sizes.shape[1]]
    change, before = jnp.diff(sizes, axis=1), sizes[:, :-1]
    edges = jnp.nanquantile(jnp.where(jnp.isnan(change), jnp.nan, before), _parts())
    fifth = jnp.searchsorted(edges, before)
    told: list[Any] = [[], []]
    for part in range(FIFTHS):
        inside = jnp.where(fifth == part, change, jnp.nan)
        told[0].append(jnp.nanmean(inside))
        told[1].append(jnp.nanstd(inside))
    away = sizes - jnp.nanmean(sizes, axis=0, keepdims=True)
    pairs = lambda x, lag: (x[:, :-lag], x[:, lag:])
    variance = [jnp.nanvar(jnp.diff(jnp.stack(pairs(sizes, k)), axis=0)) for k in lags]
    ranks = _ranks(sizes.T)
    return {
        "change_mean": jnp.stack(told[0]),
        "change_sd": jnp.stack(told[1]),
        "change_correlation": smoothed(table).correlations[:8],
        "change_variance": jnp.stack(
            [v / k for v, k in zip(variance, lags, strict=True)]
        ),
        "autocorrelation": jnp.stack([_correlation(*pairs(away, lag)) for lag in lags]),
        "rank_correlation": jnp.stack([_correlation(ranks[0], ranks[k]) for k in lags]),
        "quantile": jnp.nanquantile(sizes, jnp.asarray(QUANTILES, sizes.dtype)),
    }


def _parts() -> Array:
    return jnp.arange(1, FIFTHS) / FIFTHS


def _correlation(x: Array, y: Array) -> Array:
    both = ~jnp.isnan(x) & ~jnp.isnan(y)
    x, y = (z - jnp.mean(z, where=both) for z in (x, y))
    mean = lambda z: jnp.mean(z, where=both)
    return mean(x * y) / jnp.sqrt(mean(x**2) * mean(y**2))


def _ranks(rows: Array) -> Array:
    """Ranks within each row, NaN where there is none."""
    ranks = jnp.argsort(jnp.argsort(rows, axis=1), axis=1)
    return jnp.where(jnp.isnan(rows), jnp.nan, ranks.astype(rows.dtype))


def predictive_checks(
    model: AbstractSizes,
    table: Table,
    key: Key[Array, ""],
    *,
    draws: SupportsIndex = 200,
) -> "xarray.Dataset":
    """Statistics of the table beside those of tables that the model makes.

    `draws` tables with the same times and gaps, each synapse from its first size (from
    the stationary law if the model is `stationary`). For every entry of `looks`: the
    `observed` value, the band from `low` to `high` that holds 95 % of the drawn ones,
    and the two-sided share `p` of those as far out as observed, at least 1 / draws;
    NaN where the table or a drawn one has no such pair, or a run was lost.

    >>> table = kaufman_2012().of(range(20)).thinned(5)
    >>> drifts_up = Additive(100.0, 100.0, 0.1, 0.1)
    >>> checks = predictive_checks(drifts_up, table, jr.key(0), draws=20)
    >>> median = checks.where(checks["at"] == "50 %", drop=True)
    >>> (median.observed < median.low).values.tolist(), median.p.values.tolist()
    ([True], [0.05])
    """
    import xarray

    count = whole("draws", draws, 20)
    seen = {name: np.asarray(x) for name, x in looks(table).items()}
    made = {k: np.asarray(x) for k, x in _drawn(model, table, key, count).items()}
    rows: dict[str, list[Any]] = {name: [] for name in ("statistic", "at", "observed")}
    low, high, share = [], [], []
    for name, values in seen.items():
        for i, value in enumerate(values):
            drawn = made[name][:, i]
            rows["statistic"].append(name)
            rows["at"].append(_label(name, i))
            rows["observed"].append(value)
            ends = np.quantile(drawn, [0.025, 0.975])
            low.append(ends[0])
            high.append(ends[1])
            least = min(np.mean(drawn <= value), np.mean(drawn >= value))
            lost = np.isnan(value) or np.isnan(drawn).any()
            share.append(np.nan if lost else min(1.0, max(2 * least, 1 / count)))
    columns = {"observed": rows["observed"], "low": low, "high": high, "p": share}
    told = {name: ("check", np.asarray(column)) for name, column in columns.items()}
    labels = {name: ("check", rows[name]) for name in ("statistic", "at")}
    return xarray.Dataset(told, labels, {"draws": count})


def _label(name: str, i: int) -> str:
    if name == "quantile":
        return f"{100 * QUANTILES[i]:g} %"
    if name in ("change_mean", "change_sd"):
        return f"fifth {i + 1}"
    return f"lag {i + 1 if name == 'change_correlation' else LAGS[i]}"


@eqx.filter_jit
def _drawn(
    model: AbstractSizes, table: Table, key: Key[Array, ""], count: int
) -> dict[str, Float[Array, "draw place"]]:
    place = jnp.argmax(~jnp.isnan(table.sizes), axis=1)[:, None]
    first = jnp.take_along_axis(table.sizes, place, axis=1)[:, 0]
    begin = None if model.stationary else jnp.where(jnp.isnan(first), 1, first)

    def draw(key: Key[Array, ""]) -> dict[str, Array]:
        made = model.simulate(table.times, len(table.sizes), key, first=begin)
        return looks(table.with_sizes(made))

    return jax.lax.map(draw, jr.split(key, count))
