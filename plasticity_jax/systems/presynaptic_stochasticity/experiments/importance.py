"""Figure 2 and Appendix 1-figure 1d: what the release probabilities encode."""

import dataclasses
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar
from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from ....measure import rank_correlation
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
from .energy import draw_means, draw_theory, errors


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
    synapses = network.synapses
    kept = ravel_pytree(synapses.strength)[1](kept)
    strength = jax.tree.map(jnp.multiply, synapses.strength, kept)
    return network._replace(synapses=dataclasses.replace(synapses, strength=strength))


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

    lesions = list(itertools.product(range(len(ORDERS)), FRACTIONS, [0.0]))
    count, clamps = len(lesions), [(0, 0.0, level) for level in (0.0, *LEVELS)]
    cases = tuple(map(jnp.asarray, zip(*lesions, *clamps, strict=True)))
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
        "floor": share(p <= low + 1e-6),  # as far as single precision knows
        "between": share((p > low + 0.05) & (p < HIGH)),
    }


def of_reliable(values: Array, p: Array) -> Scalar:
    """Mean of reliable synapses' values over the others'; NaN if there are none."""
    marks = [chosen.astype(values.dtype) for chosen in (p >= HIGH, p < HIGH)]
    high, low = (jnp.sum(values * mark) / jnp.sum(mark) for mark in marks)
    return high / low


def of_median(values: Array, p: Array) -> Scalar:
    """Median of reliable synapses' values over that of the others; NaN without."""
    high, low = (
        jnp.nanmedian(jnp.where(chosen, values, jnp.nan))
        for chosen in (p >= HIGH, p < HIGH)
    )
    return jnp.where(jnp.any(jnp.isnan(values)), jnp.nan, high / low)


def binned(values: Array, p: Array) -> Float[Array, " bin"]:
    """Mean of synapses' values by release probability, 0 in empty bins."""
    edges = jnp.asarray(BINS, p.dtype)
    count, total = (
        jnp.histogram(p, edges)[0],
        jnp.histogram(p, edges, weights=values)[0],
    )
    return jnp.where(count > 0, total / jnp.maximum(count, 1), 0.0)


def curvatures(network: Trained, key: Key[Array, ""]) -> dict[str, Array]:
    """Fisher information (kind,) of reliable and other synapses, and ranks.

    `fisher_ratio` of means, `fisher_median_ratio` of medians; with probability
    Pearson's correlation, `fisher_correlation`, and Spearman's, `fisher_rank`;
    `shuffled_rank` with permuted ones, `strength_rank` of Fisher information with
    strength; `bin_fisher` (kind, bin) its mean over synapses of similar probability.
    """
    p, w = flat(probabilities(network)), jnp.abs(flat(strengths(network)))
    shuffled = jr.permutation(key, p)
    measured = lambda f: {
        "fisher_ratio": of_reliable(f, p),
        "fisher_median_ratio": of_median(f, p),
        "fisher_correlation": jnp.corrcoef(f, p)[0, 1],
        "fisher_rank": rank_correlation(f, p),
        "shuffled_rank": rank_correlation(f, shuffled),
        "strength_rank": rank_correlation(f, w),
        "bin_fisher": binned(f, p),
    }
    seen = [measured(fisher(network, kind)) for kind in KINDS]
    return jax.tree.map(lambda *x: jnp.stack(x), *seen)


def encoded(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Everything of Figure 2 of one network: levels, curvatures, accuracies.

    `energy_ratio` of mean strength, reliable over other synapses, and
    `shuffled_energy_ratio` with permuted probabilities; `bin_energy` (bin,), mean
    strength over bins of probability.
    """
    for_train, for_test, for_null, for_shuffle = jr.split(key, 4)
    network = train(config, source, for_train)
    p, w = flat(probabilities(network)), jnp.abs(flat(strengths(network)))
    return {
        **levels(network),
        **curvatures(network, for_null),
        **accuracies(network, for_test),
        "energy_ratio": of_reliable(w, p),
        "shuffled_energy_ratio": of_reliable(w, jr.permutation(for_shuffle, p)),
        "bin_energy": binned(w, p),
    }


def distribution(
    source: Source, config: Config, key: Key[Array, ""]
) -> dict[str, Array]:
    """The distribution of release probabilities of one network (`levels`)."""
    return levels(train(config, source, key))


# --- Figure 2: reliable synapses carry strength, accuracy and Fisher information ------
# Random probabilities are no control of lesions: they weaken what they make unreliable.


def lead(data: Dataset, above: str, below: str) -> float:
    """Least gap of accuracy between lesions by two orders, over fractions."""
    mean = over_seeds(data.lesion)
    return float((mean.sel(order=above) - mean.sel(order=below)).values.min())


@claim(
    "Fig. 2b: at every fraction; half a point for the noise of the test",
    low=0.005,
    control=None,
)
def lesions_by_probability(data: Dataset) -> float:
    """Lesions by probability: accuracy above that of random lesions (least gap over
    fractions).
    """
    return lead(data, "probability", "random")


@claim(
    "Fig. 2b, reply to reviewers; half a point for the noise of the test",
    low=-0.005,
    control=lambda data, control: lead(data, "random", "probability"),
)
def lesions_by_strength(data: Dataset) -> float:
    """Lesions by strength do as well as by probability (least gap over fractions)."""
    return lead(data, "strength", "probability")


@claim(
    "Fig. 2c; specification: above 1.5",
    low=1.5,
    control=lambda data, control: over_seeds(data.shuffled_energy_ratio),
)
def strength_of_reliable_synapses(data: Dataset) -> float:
    """Mean strength of reliable synapses over that of the others."""
    return float(over_seeds(data.energy_ratio))


@claim("Fig. 2d; specification: above 5", low=5.0)
def fisher_of_reliable_synapses(data: Dataset) -> float:
    """Mean Fisher information of reliable synapses over that of the others (smaller of
    exact and empirical).
    """
    return float(over_seeds(data.fisher_ratio).values.min())


@claim(
    "Fig. 2d; specification: above 0.4",
    low=0.4,
    high=1.0,
    control=lambda data, control: abs(over_seeds(data.shuffled_rank)).values.max(),
)
def fisher_follows_probability(data: Dataset) -> float:
    """Rank correlation of Fisher information with probability (smaller of exact and
    empirical); control: shuffled probabilities.
    """
    return float(over_seeds(data.fisher_rank).values.min())


@claim(
    "Fig. 2d; specification: above 0.4 when plastic, none without",
    low=0.0,
    high=0.4,
    control=lambda data, control: over_seeds(data.fisher_rank).values.min(),
    both=True,
)
def fisher_follows_what_is_plastic(data: Dataset, control: Dataset) -> float:
    """Rank correlation of Fisher information with random probabilities that do not
    change (absolute); control: plastic ones.
    """
    return float(abs(over_seeds(control.fisher_rank)).values.max())


@claim(
    "published code; theory: noise harms at given strengths, by ten points",
    low=0.1,
    high=1.0,
    control=lambda data, control: (
        over_seeds(data.clamp).sel(level=1.0) - over_seeds(data.accuracy)
    ),
)
def certainty_helps(data: Dataset) -> float:
    """Probabilities clamped: accuracy with all at 1 less that at 0.1."""
    clamp = over_seeds(data.clamp)
    return float(clamp.sel(level=1.0) - clamp.sel(level=0.1))


# --- Appendix 1-figure 1d: random probabilities end low or high -----------------------


@claim("Appendix 1-figure 1d; specification: below 0.35", low=0.0, high=0.35)
def few_between(data: Dataset) -> float:
    """From random probabilities: share between the lower bound + .05 and 0.9."""
    return float(over_seeds(data.between))


def draw_bins(panel: Axes, values: DataArray, label: str) -> None:
    """A quantity of synapses over bins of their release probability."""
    panel.bar(values.bin, values, 0.045, color=SHADES[0])
    panel.set(xlabel="release probability", ylabel=label, xlim=(0, 1))


def draw_importance(data: Dataset) -> Figure:
    """Figure 2: probabilities, lesions, strength and Fisher information."""
    figure, axes = panels(2, 3, 3.3, 2.7)
    mean = data.mean("seed")
    histogram, lesion, clamp, strength, curvature, rank = axes.ravel()
    draw_bins(histogram, mean.share, "share of synapses")
    shades = {"probability": 0, "product": 2, "random": 1, "strength": 5}
    for order, shade in shades.items():
        fmt = "o:" if order == "strength" else "o-"  # hides that of the product
        style = {"fmt": fmt, "ms": 3, "color": SHADES[shade], "label": order}
        draw_means(lesion, data.fraction, data.lesion.sel(order=order), **style)
    lesion.set(xlabel="share of synapses removed", ylabel="accuracy", ylim=(0, 1))
    small = {"frameon": False, "fontsize": "x-small"}
    lesion.legend(**small, title="least important by", title_fontsize="x-small")
    draw_means(clamp, data.level, data.clamp, ms=3, color=SHADES[0])
    draw_theory(clamp, float(mean.accuracy), ls="--", lw=1)
    clamp.text(0.1, float(mean.accuracy) + 0.02, "as learned", fontsize="x-small")
    clamp.set(xlabel="probability of all synapses", ylabel="accuracy", ylim=(0, 1.12))
    some = mean.share > 1e-3
    draw_bins(strength, mean.bin_energy.where(some), "mean strength")
    for kind, color in zip(data.kind.values, SHADES, strict=False):
        curve = mean.bin_fisher.sel(kind=kind).where(some)
        curvature.semilogy(data.bin, curve, "o", ms=3, color=color, label=kind)
    curvature.set(xlabel="release probability", ylabel="mean Fisher information")
    curvature.set_xlim(0, 1)
    curvature.legend(**small)
    names, places = ("fisher_rank", "strength_rank", "shuffled_rank"), np.arange(3)
    for i, kind in enumerate(data.kind.values):
        here = np.transpose([errors(data[name].sel(kind=kind)) for name in names])
        style = {"yerr": here[1], "color": SHADES[i], "label": kind}
        rank.bar(places + 0.38 * (i - 0.5), here[0], 0.36, **style)
    rank.axhline(0, lw=0.8, color="black")
    rank.set_xticks(places, ["probability", "strength", "shuffled\nprobability"])
    rank.set(ylabel="rank correlation with Fisher")
    rank.legend(**small)
    return figure


def draw_random_start(data: Dataset) -> Figure:
    """Appendix 1-figure 1d: probabilities that began at random."""
    figure, ((panel,),) = panels(1, 1, 3.6, 2.9)
    draw_bins(panel, data.share.mean("seed"), "share of synapses")
    panel.set_ylim(top=1.12 * panel.get_ylim()[1])
    share = f"{float(data.between.mean()):.0%} between the modes"
    where = {"transform": panel.transAxes, "ha": "center", "va": "top"}
    panel.text(0.5, 0.99, share, fontsize="x-small", **where)
    return figure


LAYERS = lambda c: range(len(c.hidden) + 1 if c.network == "perceptron" else 3)
BIN, KIND = {"bin": (BINS[1:] + BINS[:-1]) / 2}, {"kind": KINDS}
SHARES = {"share": BIN, "high_layer": {"layer": LAYERS}}
RATIOS = ("fisher_ratio", "fisher_median_ratio", "fisher_correlation")
RANKS = ("fisher_rank", "shuffled_rank", "strength_rank")
FIG2 = Experiment(
    name="fig2",
    source="Fig. 2",
    shows="release probabilities encode how important synapses are",
    config=Config,
    run=encoded,
    claims=(
        lesions_by_probability,
        lesions_by_strength,
        strength_of_reliable_synapses,
        fisher_of_reliable_synapses,
        fisher_follows_probability,
        fisher_follows_what_is_plastic,
        certainty_helps,
    ),
    figure=draw_importance,
    control=changed(up=0.0, down=0.0, random_start=True),
    axes={
        **SHARES,
        "lesion": {"order": ORDERS, "fraction": FRACTIONS},
        "clamp": {"level": LEVELS},
        **dict.fromkeys(RATIOS + RANKS, KIND),
        "bin_fisher": KIND | BIN,
        "bin_energy": BIN,
    },
    data=images_of,
)
RANDOM_START = FIG2._replace(
    name="random_start",
    source="Appendix 1-figure 1d",
    shows="release probabilities that begin at random end low or high",
    run=distribution,
    claims=(few_between,),
    figure=draw_random_start,
    axes=SHARES,
)
