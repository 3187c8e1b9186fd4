r"""Beyond the paper: does release follow curvature, and does learning avoid it?

A network learns the first task of a stream and then the second. The tools of natural
gradient and of optimal plasticity, applied at the end of the first task: the exact
Fisher diagonal of its network, the curvature $v^\top H v/|v|^2$ of its loss along the
later change of the weights (Raman & O'Leary 2021, eLife 10:e62912), and the natural
gradient in the diagonal metric of the first task (Amari 1998).
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar, State, System
from ....curvature import Fisher, hvp, quadratic_form
from ....experiment import claim, over_seeds, panels, SHADES, standard_error
from ....measure import rank_correlation
from ....synapses import Stochastic
from ..config import build, Config, Source
from ..networks import CrossEntropy
from ..training import attend, stream_of, task_sample
from .energy import draw_theory, errors
from .importance import FIG2


SAMPLES = 300  # training images of the first task
BINS = 10  # of release probability
MODELS = ("presynaptic", "shuffled release", "no consolidation")
Loss = Callable[[Any], Scalar]  # of the weights


def cosine(a: Float[Array, " synapse"], b: Float[Array, " synapse"]) -> Scalar:
    """Of the angle between two vectors, neither of them zero."""
    return jnp.vdot(a, b) / jnp.sqrt(jnp.vdot(a, a) * jnp.vdot(b, b))


def change_curvature(
    loss: Loss, weights: Any, change: Any, frozen: Array, key: Key[Array, ""]
) -> dict[str, Scalar]:
    r"""How the loss of the first task curves along a change of the weights.

    `relative`, its quadratic form over the mean one of the same changes at random
    synapses (shuffled); `carried`, the share of $\Delta^\top H\Delta$ that frozen
    synapses account for, $\sum_{frozen}\Delta_i(H\Delta)_i$ over the whole; `moved`,
    their share of $|\Delta|^2$.
    """
    flat, unravel = ravel_pytree(change)
    along = quadratic_form(loss, weights, change)

    def shuffled(key: Key[Array, ""]) -> Scalar:
        other = unravel(jr.permutation(key, flat))
        return quadratic_form(loss, weights, other)

    anywhere = jnp.mean(jax.lax.map(shuffled, jr.split(key, 8)))
    bent = ravel_pytree(hvp(loss, weights, change))[0]
    parts = flat * bent
    return {
        "relative": along / anywhere,
        "carried": jnp.sum(parts * frozen) / jnp.sum(parts),
        "moved": jnp.sum(flat**2 * frozen) / jnp.sum(flat**2),
    }


def alignment(
    gradient: Any, p: Array, diagonal: Array, key: Key[Array, ""]
) -> dict[str, Scalar]:
    r"""Cosines with the natural gradient of the next task in the first one's metric.

    The update $(1 - p)g$, the plain gradient, and the update with $p$ shuffled. The
    metric is the `diagonal` of the exact Fisher matrix, damped by its mean.
    """
    g = ravel_pytree(gradient)[0]
    wanted = g / (diagonal + jnp.mean(diagonal))
    return {
        "modulated": cosine((1 - p) * g, wanted),
        "plain": cosine(g, wanted),
        "misplaced": cosine((1 - jr.permutation(key, p)) * g, wanted),
    }


def curved(data: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Release and curvature after the first task, and the changes that follow.

    `follows`: rank correlations of the exact Fisher diagonal with release, with the
    same shuffled, with $|\bar w|$; `relative`, `carried`, `moved` (model,) of the
    later changes, with the synapses' own release, with release shuffled among them,
    and without modulation or freezing; `modulated`, `plain`, `misplaced`: see
    `alignment`; `binned` (bin,), mean Fisher information by release.
    """
    for_stream, for_build, for_first, for_later, for_null, for_probe = jr.split(key, 6)
    first, second, *_ = stream_of(config, data, for_stream).tasks
    pixels = data.train_images.shape[1]
    system, state, rest = build(config, first, pixels, for_build)
    synapses: Any = attend(system, state, for_first).synapses
    for_old, for_new, for_shuffle, for_changes = jr.split(for_probe, 4)
    old = task_sample(first, SAMPLES, for_old)
    new = task_sample(second, SAMPLES, for_new)
    entropy, weights = CrossEntropy(rest), synapses.strength
    p, unravel = ravel_pytree(synapses.probability)
    strength = jnp.abs(ravel_pytree(weights)[0])
    outcomes = jnp.arange(2, dtype=jnp.int32)
    fisher = Fisher(entropy.log_prob, weights, old[0], outcomes=outcomes)
    information = fisher.diagonal()
    moved = unravel(jr.permutation(for_shuffle, p))
    plain = dataclasses.replace(config, modulated=False, freeze=jnp.asarray(2.0))
    free, _, _ = build(plain, second, pixels, for_build)
    own = dataclasses.replace(system, task=second)

    def end(system: System, probability: Any) -> Any:
        start = State(None, Stochastic(weights, probability))
        return attend(system, start, for_later).synapses.strength

    held = jax.tree.map(lambda *x: jnp.stack(x), synapses.probability, moved)
    ends = jax.lax.map(partial(end, own), held)
    loose = end(free, synapses.probability)
    ends = jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), ends, loose)

    def outcome(ended: tuple[Any, Array]) -> dict[str, Scalar]:
        after, p = ended
        change = jax.tree.map(jnp.subtract, after, weights)
        frozen = (p >= config.freeze).astype(p.dtype)
        loss = lambda weights: entropy(weights, old)
        return change_curvature(loss, weights, change, frozen, for_changes)

    levels = jnp.stack([p, ravel_pytree(moved)[0], p])
    seen = jax.lax.map(outcome, (ends, levels))
    others = (p, jr.permutation(for_null, p), strength)
    slope = jax.grad(entropy)(weights, new)
    edges = jnp.linspace(config.low, config.high, BINS + 1)
    bins = jnp.clip(jnp.searchsorted(edges, p, side="right") - 1, 0, BINS - 1)
    member = (bins[None] == jnp.arange(BINS, dtype=bins.dtype)[:, None]).astype(p.dtype)
    return {
        "follows": jnp.stack([rank_correlation(information, x) for x in others]),
        "binned": member @ information / jnp.maximum(jnp.sum(member, axis=1), 1.0),
        **seen,
        **alignment(slope, p, information, for_null),
    }


# --- release follows curvature, and later changes avoid it ----------------------------


def rank(data: Dataset, other: str) -> float:
    """Mean rank correlation of the Fisher diagonal with release, or another."""
    return float(over_seeds(data.follows).sel({"with": other}))


def relative(data: Dataset, model: str) -> float:
    """Mean curvature along the later change, over that without consolidation."""
    mean = over_seeds(data.relative)
    return float(mean.sel(model=model)) / float(mean.sel(model="no consolidation"))


def gain(pairs: DataArray) -> tuple[DataArray, DataArray]:
    """Mean over seeds of paired differences, and its standard error."""
    return over_seeds(pairs), standard_error(pairs)


@claim(
    "Fig. 2d; specification: above .4",
    low=0.4,
    high=1.0,
    control=lambda data, control: rank(data, "shuffled release"),
)
def release_follows_fisher(data: Dataset) -> float:
    """Rank correlation of release with the exact Fisher diagonal after one task."""
    return rank(data, "release")


@claim("Fig. 2d; specification: above .4", low=0.4, high=1.0)
def learned_release_follows_fisher(data: Dataset) -> float:
    """The same; control: random release that does not learn."""
    return rank(data, "release")


@claim(
    "theory: below 1, reliable synapses hardly move",
    low=0.0,
    high=1.0,
    control=lambda data, control: relative(data, "shuffled release"),
)
def changes_avoid_curvature(data: Dataset) -> float:
    """Curvature of the first task's loss along the later change, over that without
    consolidation.
    """
    return relative(data, "presynaptic")


@claim("theory: negative, their rate falls most", high=-1e-3, control=None)
def frozen_synapses_carry_less(data: Dataset) -> tuple[DataArray, DataArray]:
    """Share of the change's quadratic form that frozen synapses carry, less that of
    the same synapses without consolidation.
    """
    share = data.carried
    return gain(share.sel(model="presynaptic") - share.sel(model="no consolidation"))


@claim("measured", high=0.0, control=None)
def modulation_turns_away(data: Dataset) -> tuple[DataArray, DataArray]:
    """Reported, F as importance would have it otherwise: modulation by 1 - p turns the
    gradient away from the natural gradient of the first task's metric (gain of the
    cosine).
    """
    return gain(data.modulated - data.plain)


def draw_curvature(data: Dataset) -> Figure:
    """Fisher information along release, curvature of later changes, alignment."""
    figure, ((left, middle, right),) = panels(1, 3, 3.7, 3.3)
    shown = data.binned.where(data.binned > 0).mean("seed")
    left.plot(data.release, shown, "o-", ms=4, color=SHADES[0])
    left.set(yscale="log", xlabel="release probability", ylabel="mean Fisher diagonal")
    rho = data.follows.mean("seed")
    lines = (f"\n{x['with'].item()}: {float(x):.2f}" for x in rho)
    where = {"transform": left.transAxes, "ha": "right", "va": "bottom"}
    text = "rank correlation with" + "".join(lines)
    left.text(0.97, 0.04, text, fontsize=7, **where)
    free = data.relative.sel(model="no consolidation").mean("seed")
    bars = {"all directions": data.relative / free}
    bars["frozen synapses' share"] = data.carried
    places = np.arange(data.model.size)
    for i, (name, values) in enumerate(bars.items()):
        mean, error = errors(values)
        style = {"color": SHADES[i], "label": name, "capsize": 2}
        middle.bar(places + 0.4 * i - 0.2, mean, 0.38, yerr=error, **style)
    draw_theory(middle, 0, lw=0.6)
    middle.set_xticks(
        places, ["presynaptic", "shuffled\nrelease", "no consol-\nidation"]
    )
    middle.set_ylabel("curvature of task 1 along later change")
    middle.legend(frameon=False, fontsize=7, loc="upper right")
    cosines = {
        "$(1 - p)g$": data.modulated,
        "$g$": data.plain,
        "$(1 - p)g$,\nshuffled": data.misplaced,
    }
    for place, values in enumerate(cosines.values()):
        right.bar(place, float(values.mean()), 0.6, color=SHADES[place], alpha=0.8)
        right.plot(np.full(values.size, place), values, "k.", ms=4)
    right.set_xticks(range(len(cosines)), list(cosines))
    right.set_ylabel("cosine with the natural gradient")
    return figure


def middles(config: Config) -> Any:
    """The middle of every bin of release."""
    low, high = float(config.low), float(config.high)
    return low + (high - low) * (np.arange(BINS) + 0.5) / BINS


CURVATURE = FIG2._replace(
    name="curvature",
    source="beyond the paper",
    shows="release follows the Fisher information, and later learning avoids curvature",
    run=curved,
    claims=(
        release_follows_fisher,
        learned_release_follows_fisher,
        changes_avoid_curvature,
        frozen_synapses_carry_less,
        modulation_turns_away,
    ),
    figure=draw_curvature,
    axes={
        "follows": {"with": ("release", "shuffled release", "strength")},
        **{name: {"model": MODELS} for name in ("relative", "carried", "moved")},
        "binned": {"release": middles},
    },
)
