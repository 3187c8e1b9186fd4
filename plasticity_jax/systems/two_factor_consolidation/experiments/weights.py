"""Figure 2, weights: what consolidation leaves of a distribution of synapses."""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from .. import capacity
from ..config import Config
from ..domains import living, living_share
from ..networks import after, build, fields_and_weights, stored_in, valid_rows
from .oracle import averages, ORDERS, suited
from .robustness import SMALL
from .shared import stacked


DECADES = np.arange(-12.0, 0.5, 0.5)  # edges of log10 of weight over the largest
MULTIPLES = np.arange(0.0, 4.1, 0.2)  # edges of weight over the mean living one
GAP = (-8, -3)  # decades between pruned and surviving weights


def spectrum(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Weights of one number of factors at the end of replay, all (row, ...).

    `decades` (row, decade) the share of synapses by size relative to the largest, what
    is below the first edge left out; `multiples` (row, multiple) the share of living
    ones by size relative to their mean; their `mean` and `variance` (row,); `valid`
    (row,) marks neurons that are not degenerate.
    """
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    stored, end = stored_in(system), after(system, state, for_run, config.cycles)
    _, weights = fields_and_weights(system, end)
    relative = weights / jnp.max(weights, axis=1, keepdims=True)
    share = living_share(weights)
    count = jnp.sum(share, axis=1)
    mean = jnp.sum(share * weights, axis=1) / count
    square = jnp.sum(share * (weights - mean[:, None]) ** 2, axis=1)
    logs = jnp.log10(jnp.where(relative > 0, relative, 1e-30))
    multiples = jnp.where(living(weights), weights / mean[:, None], -1.0)
    lost = jnp.isnan(count)[:, None]
    decades = _shares(logs, DECADES) / weights.shape[1]
    return {
        "decades": jnp.where(lost, jnp.nan, decades),
        "multiples": _shares(multiples, MULTIPLES) / count[:, None],
        "mean": mean,
        "variance": square / jnp.maximum(count - 1, 1.0),
        "valid": valid_rows(stored),
    }


def _shares(values: Array, edges: np.ndarray) -> Array:
    """How many of each row's values lie in every bin (low, high]."""
    inside = values[:, :, None] > jnp.asarray(edges, values.dtype)[None, None]
    above = jnp.sum(inside.astype(values.dtype), axis=1)
    return above[:, :-1] - above[:, 1:]


def spectra(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`spectrum` for every number of factors; begins with the axis `order`."""
    return stacked([spectrum(suited(config, order), key) for order in ORDERS])


def truncated(plan: Plan, keys: Any) -> Dataset:
    """The truncated Gaussian of theory for one and two factors.

    `variation_law` (solved,) its coefficient of variation, `multiples_law` (solved,
    fine) its density over multiples of the mean.
    """
    del keys
    load, level = float(plan.config.load), float(plan.config.coding_level)
    fine = np.linspace(0.0, 4.0, 201)
    laws = [capacity.weight_density(fine, load, level, q) for q in (2, 1)]
    spread = [float(capacity.weight_variation(load, level, q)) for q in (2, 1)]
    rows = {"multiples_law": (("solved", "fine"), np.stack(laws))}
    rows |= {"variation_law": ("solved", spread)}
    return Dataset(rows, {"solved": [1, 2], "fine": fine})


def histograms(data: Dataset) -> Dataset:
    """Over neurons that are not degenerate and seeds; the `variation` of weights."""
    rows = data[["decades", "multiples", "mean", "variance"]]
    means = averages(rows.assign(square=data["mean"] ** 2), data.valid)
    return means.assign(variation=(means.variance / means.square) ** 0.5)


# --- truncated Gaussians, and nothing between survivors and the pruned ----------------


@claim(
    "Fig. 2; theory T7, .756 (z = 1) and .825 (z = 2), finite size",
    low=0.9,
    high=1.1,
    each={"order": (1, 2)},
)
def variation(data: Dataset, order: int) -> float:
    """z = {order}: survivors' coefficient of variation over a truncated Gaussian's."""
    law = data.variation_law.sel(solved=order)
    return float(histograms(data).variation.sel(order=order) / law)


@claim("Fig. 2; specification: a gap of many decades", low=0.0, high=0.02)
def nothing_between(data: Dataset) -> float:
    """z = 2: share of synapses between 1e-8 and 1e-3 of the largest."""
    row = histograms(data).decades.sel(order=2)
    inside = (row.decade > GAP[0]) & (row.decade < GAP[1])
    return float(row.where(inside, 0.0).sum(skipna=False))


def valley(share: np.ndarray) -> float:
    """The deepest dip between two higher bins over the highest: 0 with one mode."""
    left, right = np.maximum.accumulate(share), np.maximum.accumulate(share[::-1])[::-1]
    return float(np.max(np.minimum(left, right) - share) / np.max(share))


@claim(
    "Fig. 2; theory T7: a truncated Gaussian has one mode in log w; counts of hundreds",
    low=0.0,
    high=0.1,
    each={"order": (1, 2)},
    control=None,
)
def unimodal(data: Dataset, order: int) -> float:
    """z = {order}: log w of the survivors has one mode (deepest dip over the peak)."""
    row = histograms(data).decades.sel(order=order)
    return valley(row.values[row.decade.values > GAP[1]])


def draw_weights(data: Dataset) -> Figure:
    """Figure 2: distributions of all weights in decades, and of the survivors."""
    seen = histograms(data)
    figure, ((decades, *survivors),) = panels(1, 3, 3.7, 2.9)
    for k, order in enumerate(data.order.values):
        share = seen.decades.sel(order=order)
        style = {"color": SHADES[k], "label": f"z = {order}"}
        decades.semilogy(data.decade, share.where(share > 0), "o-", ms=3, **style)
    decades.set(xlabel="$\\log_{10}$ weight / largest of the neuron")
    decades.set(ylabel="share of synapses per half decade", ylim=(None, 10))
    decades.legend(ncols=2, **SMALL)
    width = float(data.multiple[1] - data.multiple[0])
    for panel, solved in zip(survivors, data.solved.values, strict=True):
        share = seen.multiples.sel(order=solved) / width
        color, label = SHADES[solved - 1], f"z = {solved}"
        panel.bar(data.multiple, share, 0.9 * width, color=color, label=label)
        law = data.multiples_law.sel(solved=solved)
        panel.plot(data.fine, law, "--", color=THEORY, label="truncated Gaussian")
        panel.set(xlabel="surviving weight / mean", ylabel="density")
        panel.legend(**SMALL)
    return figure


BY_ORDER = {"order": ORDERS, "row": None}
FIG2_WEIGHTS = Experiment(
    name="fig2_weights",
    source="Figure 2",
    shows="weights that survive are a truncated Gaussian; all others are gone",
    config=Config,
    run=spectra,
    claims=(variation, nothing_between, unimodal),
    figure=draw_weights,
    control=changed(cycles=lambda config: max(6, config.cycles // 100)),
    axes={
        "decades": BY_ORDER | {"decade": (DECADES[1:] + DECADES[:-1]) / 2},
        "multiples": BY_ORDER | {"multiple": (MULTIPLES[1:] + MULTIPLES[:-1]) / 2},
        **dict.fromkeys(("mean", "variance", "valid"), BY_ORDER),
    },
    predict=truncated,
)
