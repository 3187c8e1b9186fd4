"""Figure 2 and Appendix 1-figure 1d: what the release probabilities encode."""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import Scalar
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import rank_correlation
from ....synapses import Stochastic
from ..config import Config, images_of, Source
from ..trained import (
    accuracy,
    fisher,
    flat,
    probabilities,
    strengths,
    train,
    Trained,
    with_probability,
)
from .energy import errors


HIGH = 0.9  # probability from which a synapse counts as reliable
BINS = np.linspace(0.0, 1.0, 21)
ORDERS = ("probability", "strength", "product", "random")
FRACTIONS = tuple(round(0.1 * i, 1) for i in range(1, 10))
LEVELS = tuple(round(0.1 * i, 1) for i in range(1, 11))
KINDS = ("empirical", "exact")
JITTER = 5e-5  # breaks ties of importance


class Importance(NamedTuple):
    """Four orders of all synapses, the least important first."""

    probability: Float[Array, " synapse"]
    strength: Float[Array, " synapse"]
    product: Float[Array, " synapse"]
    random: Float[Array, " synapse"]


def importance(network: Trained, key: Key[Array, ""]) -> Importance:
    """Importance of every synapse of all layers, with ties broken."""
    keys = jr.split(key, 4)
    p, w = flat(probabilities(network)), jnp.abs(flat(strengths(network)))
    jitter = lambda key: jr.uniform(key, p.shape, p.dtype, -JITTER, JITTER)
    return Importance(
        p + jitter(keys[0]),
        w + jitter(keys[1]),
        p * w + jitter(keys[2]),
        jr.uniform(keys[3], p.shape, p.dtype),
    )


def lesioned(
    network: Trained, importance: Float[Array, " synapse"], fraction: Scalar
) -> Trained:
    """The network without the least important `fraction` of its synapses."""
    ranks = jnp.argsort(jnp.argsort(importance)).astype(importance.dtype)
    kept = jnp.where(ranks < fraction * len(ranks), 0.0, 1.0).astype(importance.dtype)
    kept = ravel_pytree(network.synapses.strength)[1](kept)
    strength = jax.tree.map(jnp.multiply, network.synapses.strength, kept)
    return network._replace(synapses=Stochastic(strength, network.synapses.probability))


def accuracies(network: Trained, key: Key[Array, ""]) -> dict[str, Array]:
    """Accuracy of altered networks, all tested with the same draws.

    `accuracy` untouched; `lesion` (order, fraction) without the least important
    synapses; `clamp` (level) when all release with one probability.
    """
    for_order, for_test = jr.split(key)
    orders = jnp.stack(importance(network, for_order))
    learned = probabilities(network)

    def tested(case: tuple[Array, Array, Array]) -> Scalar:
        order, fraction, level = case
        left = lesioned(network, orders[order], fraction)
        used = jax.tree.map(lambda p: jnp.where(level > 0, level, p), learned)
        return accuracy(with_probability(left, used), for_test)

    count, kept = len(ORDERS) * len(FRACTIONS), 1 + len(LEVELS)
    order = jnp.repeat(jnp.arange(len(ORDERS)), len(FRACTIONS))
    fraction, level = jnp.tile(jnp.asarray(FRACTIONS), len(ORDERS)), jnp.array(LEVELS)
    cases = (
        jnp.concatenate([order, jnp.zeros(kept, order.dtype)]),
        jnp.concatenate([fraction, jnp.zeros(kept)]),
        jnp.concatenate([jnp.zeros(count + 1), level]),
    )
    tests = jax.lax.map(tested, cases)
    return {
        "lesion": tests[:count].reshape(len(ORDERS), len(FRACTIONS)),
        "accuracy": tests[count],
        "clamp": tests[count + 1 :],
    }


def levels(network: Trained) -> dict[str, Array]:
    """How release probabilities are distributed.

    `share` of synapses in each bin; `mean`; `high`, share at least 0.9, and of each
    layer `high_layer`; `floor`, share at the lower bound; `between`, share from 0.05
    above that bound to 0.9.
    """
    p, low = flat(probabilities(network)), network.config.low
    counted = jnp.where(jnp.any(jnp.isnan(p)), jnp.nan, 1.0).astype(p.dtype)
    share = lambda where: counted * jnp.mean(where.astype(p.dtype))
    layers = jax.tree.leaves(probabilities(network))
    return {
        "share": counted * jnp.histogram(p, jnp.asarray(BINS, p.dtype))[0] / len(p),
        "mean": jnp.mean(p),
        "high": share(p >= HIGH),
        "high_layer": jnp.stack([share(layer >= HIGH) for layer in layers]),
        "floor": share(p <= low),
        "between": share((p > low + 0.05) & (p < HIGH)),
    }


def _where(values: Array, chosen: Array) -> Scalar:
    """Mean of the chosen values; NaN if there is none."""
    marks = chosen.astype(values.dtype)
    return jnp.sum(values * marks) / jnp.sum(marks)


def curvatures(network: Trained, key: Key[Array, ""]) -> dict[str, Array]:
    """Fisher information (kind,) of reliable and other synapses, and ranks.

    `fisher_ratio` of means; `fisher_rank` Spearman's correlation with probability,
    `shuffled_rank` with permuted ones, `strength_rank` of Fisher information with
    strength; `bin_fisher` (kind, bin) its mean over synapses of similar probability.
    """
    p, w = flat(probabilities(network)), jnp.abs(flat(strengths(network)))
    shuffled, edges = jr.permutation(key, p), jnp.asarray(BINS, p.dtype)
    seen = []
    for kind in KINDS:
        f = fisher(network, kind)
        weighted = jnp.histogram(p, edges, weights=f)[0]
        seen.append(
            {
                "fisher_ratio": _where(f, p >= HIGH) / _where(f, p < HIGH),
                "fisher_rank": rank_correlation(f, p),
                "shuffled_rank": rank_correlation(f, shuffled),
                "strength_rank": rank_correlation(f, w),
                "bin_fisher": _per(weighted, jnp.histogram(p, edges)[0]),
            }
        )
    return jax.tree.map(lambda *x: jnp.stack(x), *seen)


def _per(total: Array, count: Array) -> Array:
    """Totals per count, 0 where nothing is counted."""
    return jnp.where(count > 0, total / jnp.maximum(count, 1), 0.0)


def encoded(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Everything of Figure 2 of one network: levels, curvatures, accuracies.

    `energy_ratio` of mean strength, reliable over other synapses, and
    `shuffled_energy_ratio` with permuted probabilities; `bin_energy` (bin,), mean
    strength over bins of probability.
    """
    for_train, for_test, for_null, for_shuffle = jr.split(key, 4)
    network = train(config, source, for_train)
    p, w = flat(probabilities(network)), jnp.abs(flat(strengths(network)))
    ratio = lambda p: _where(w, p >= HIGH) / _where(w, p < HIGH)
    edges = jnp.asarray(BINS, p.dtype)
    count, total = jnp.histogram(p, edges)[0], jnp.histogram(p, edges, weights=w)[0]
    return {
        **levels(network),
        **curvatures(network, for_null),
        **accuracies(network, for_test),
        "energy_ratio": ratio(p),
        "shuffled_energy_ratio": ratio(jr.permutation(for_shuffle, p)),
        "bin_energy": _per(total, count),
    }


def distribution(
    source: Source, config: Config, key: Key[Array, ""]
) -> dict[str, Array]:
    """The distribution of release probabilities of one network (`levels`)."""
    return levels(train(config, source, key))


def coordinates(plan: Plan, keys: Any) -> xarray.Dataset:
    """Names of orders, fractions, levels, kinds and bins."""
    del plan, keys
    return xarray.Dataset(
        coords={
            "order": list(ORDERS),
            "fraction": list(FRACTIONS),
            "level": list(LEVELS),
            "kind": list(KINDS),
            "bin": (BINS[1:] + BINS[:-1]) / 2,
        }
    )


def bins(plan: Plan, keys: Any) -> xarray.Dataset:
    """Centres of the histogram's bins."""
    return coordinates(plan, keys)[["bin"]]


def meaningless(plan: Plan) -> Plan:
    """Negative control: probabilities are random and do not change."""
    still = dataclasses.replace(plan.config, up=0.0, down=0.0, random_start=True)
    return plan._replace(config=still)


def lesion_claims(mean: xarray.Dataset) -> list[Claim]:
    """Which synapses can go, from means over seeds.

    Random probabilities are no control: they weaken what they make unreliable.
    """

    def lead(above: str, below: str) -> float:
        gap = mean.lesion.sel(order=above) - mean.lesion.sel(order=below)
        return float(gap.min(skipna=False))

    return [
        Claim(
            "lesions by probability: accuracy above that of random lesions (least gap "
            "over fractions)",
            "Fig. 2b: at every fraction; half a point for the noise of the test",
            lead("probability", "random"),
            0.005,
            math.inf,
        ),
        Claim(
            "lesions by strength do as well as by probability (least gap over "
            "fractions); control: random lesions",
            "Fig. 2b, reply to reviewers; half a point for the noise of the test",
            lead("strength", "probability"),
            -0.005,
            math.inf,
            control=lead("random", "probability"),
        ),
    ]


def importance_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Reliable synapses carry the strength, the accuracy and the Fisher information."""
    mean = data.mean("seed", skipna=False)
    random = control.mean("seed", skipna=False)

    def least(values: xarray.DataArray) -> float:
        return float(values.min(skipna=False))

    return [
        *lesion_claims(mean),
        Claim(
            "mean strength of reliable synapses over that of the others; control: "
            "shuffled probabilities",
            "Fig. 2c; specification: above 1.5",
            float(mean.energy_ratio),
            1.5,
            math.inf,
            control=float(mean.shuffled_energy_ratio),
        ),
        Claim(
            "mean Fisher information of reliable synapses over that of the others "
            "(smaller of exact and empirical); control: random probabilities",
            "Fig. 2d; specification: above 5",
            least(mean.fisher_ratio),
            5.0,
            math.inf,
            control=least(random.fisher_ratio),
        ),
        Claim(
            "rank correlation of Fisher information with probability (smaller of exact "
            "and empirical); control: shuffled probabilities",
            "Fig. 2d; specification: above 0.4",
            least(mean.fisher_rank),
            0.4,
            1.0,
            control=float(abs(mean.shuffled_rank).max(skipna=False)),
        ),
        Claim(
            "rank correlation of Fisher information with random probabilities that do "
            "not change (absolute); control: plastic ones",
            "Fig. 2d; specification: above 0.4 when plastic, none without",
            float(abs(random.fisher_rank).max(skipna=False)),
            0.0,
            0.4,
            control=least(mean.fisher_rank),
        ),
        Claim(
            "probabilities clamped: accuracy with all at 1 less that at 0.1; control: "
            "less that as learned",
            "published code; theory: noise harms at given strengths, by ten points",
            float((mean.clamp.sel(level=1.0) - mean.clamp).isel(level=0)),
            0.1,
            1.0,
            control=float(mean.clamp.sel(level=1.0) - mean.accuracy),
        ),
    ]


def bimodal_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Random probabilities end low or high."""
    between = lambda data: float(data.between.mean("seed", skipna=False))
    return [
        Claim(
            "from random probabilities: share between the lower bound + .05 and 0.9; "
            "control: probabilities do not change",
            "Appendix 1-figure 1d; specification: below 0.35",
            between(data),
            0.0,
            0.35,
            control=between(control),
        )
    ]


def _histogram(panel: Axes, data: xarray.Dataset) -> None:
    """Release probabilities of all synapses; data without seeds."""
    width = float(data.bin[1] - data.bin[0])
    panel.bar(data.bin, data.share, 0.9 * width, color=SHADES[0])
    panel.set(xlabel="release probability", ylabel="share of synapses", xlim=(0, 1))


def draw_importance(data: xarray.Dataset) -> Figure:
    """Figure 2: probabilities, lesions, strength and Fisher information."""
    figure, axes = panels(2, 3, 3.3, 2.7)
    mean = data.mean("seed")
    histogram, lesion, clamp, strength, curvature, rank = axes.ravel()
    _histogram(histogram, mean)
    shades = (SHADES[0], SHADES[2], SHADES[1], SHADES[5])
    for order, color in zip(data.order.values, shades, strict=True):
        here, error = errors(data.lesion.sel(order=order))
        line = "o:" if order == "strength" else "o-"  # hides that of the product
        style = {"fmt": line, "ms": 3, "color": color, "label": order}
        lesion.errorbar(data.fraction, here, error, **style)
    lesion.set(xlabel="share of synapses removed", ylabel="accuracy", ylim=(0, 1))
    lesion.legend(frameon=False, fontsize="x-small", title="least important by")
    lesion.get_legend().get_title().set_fontsize("x-small")
    here, error = errors(data.clamp)
    clamp.errorbar(data.level, here, error, fmt="o-", ms=3, color=SHADES[0])
    clamp.axhline(float(mean.accuracy), ls="--", lw=1, color=THEORY)
    clamp.text(0.1, float(mean.accuracy) + 0.02, "as learned", fontsize="x-small")
    clamp.set(xlabel="probability of all synapses", ylabel="accuracy", ylim=(0, 1.12))
    some = mean.share > 1e-3
    strength.bar(data.bin, mean.bin_energy.where(some), 0.045, color=SHADES[0])
    strength.set(xlabel="release probability", ylabel="mean strength", xlim=(0, 1))
    for kind, color in zip(data.kind.values, SHADES, strict=False):
        curve = mean.bin_fisher.sel(kind=kind).where(some)
        curvature.semilogy(data.bin, curve, "o", ms=3, color=color, label=kind)
    curvature.set(xlabel="release probability", ylabel="mean Fisher information")
    curvature.set_xlim(0, 1)
    curvature.legend(frameon=False, fontsize="x-small")
    names = {
        "fisher_rank": "probability",
        "strength_rank": "strength",
        "shuffled_rank": "shuffled\nprobability",
    }
    for i, kind in enumerate(data.kind.values):
        pairs = [errors(data[name].sel(kind=kind)) for name in names]
        places = np.arange(len(names)) + 0.38 * (i - 0.5)
        heights, whiskers = ([float(x[j]) for x in pairs] for j in (0, 1))
        style = {"color": SHADES[i], "label": kind}
        rank.bar(places, heights, 0.36, yerr=whiskers, **style)
    rank.axhline(0, lw=0.8, color="black")
    rank.set_xticks(np.arange(len(names)), list(names.values()))
    rank.set(ylabel="rank correlation with Fisher")
    rank.legend(frameon=False, fontsize="x-small")
    return figure


def draw_random_start(data: xarray.Dataset) -> Figure:
    """Appendix 1-figure 1d: probabilities that began at random."""
    figure, axes = panels(1, 1, 3.6, 2.9)
    (panel,) = axes[0]
    _histogram(panel, data.mean("seed"))
    low, high = panel.get_ylim()
    panel.set_ylim(low, 1.12 * high)
    panel.text(
        0.5,
        0.99,
        f"{float(data.between.mean()):.0%} between the modes",
        transform=panel.transAxes,
        ha="center",
        va="top",
        fontsize="x-small",
    )
    return figure


FIG2 = Experiment(
    name="fig2",
    source="Fig. 2",
    shows="release probabilities encode how important synapses are",
    config=Config,
    run=encoded,
    claims=importance_claims,
    figure=draw_importance,
    control=meaningless,
    dims={
        "share": ("bin",),
        "high_layer": ("layer",),
        "lesion": ("order", "fraction"),
        "clamp": ("level",),
        "fisher_ratio": ("kind",),
        "fisher_rank": ("kind",),
        "shuffled_rank": ("kind",),
        "strength_rank": ("kind",),
        "bin_fisher": ("kind", "bin"),
        "bin_energy": ("bin",),
    },
    predict=coordinates,
    data=images_of,
)
RANDOM_START = Experiment(
    name="random_start",
    source="Appendix 1-figure 1d",
    shows="release probabilities that begin at random end low or high",
    config=Config,
    run=distribution,
    claims=bimodal_claims,
    figure=draw_random_start,
    control=meaningless,
    dims={"share": ("bin",), "high_layer": ("layer",)},
    predict=bins,
    data=images_of,
)
