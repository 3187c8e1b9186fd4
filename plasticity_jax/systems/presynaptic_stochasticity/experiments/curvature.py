r"""Beyond the paper: does release follow curvature, and does learning avoid it?

A network learns the first task of a stream and then the second. The tools of natural
gradient and of optimal plasticity, applied at the end of the first task: the exact
Fisher diagonal of its network, the curvature $v^\top H v/|v|^2$ of its loss along the
later change of the weights (Raman & O'Leary 2021, eLife 10:e62912), and the natural
gradient in the diagonal metric of the first task (Amari 1998).
"""

import dataclasses
import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key
from matplotlib.figure import Figure

from .... import Scalar, simulate, State, System
from ....curvature import fisher_diagonal, hvp, quadratic_form
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import rank_correlation
from ....synapses import Stochastic
from ..config import build, Config, images_of, Source
from ..networks import CrossEntropy
from ..training import stream_of, task_sample


SAMPLES = 300  # training images of the first task
BINS = 10  # of release probability
MODELS = ("presynaptic", "shuffled release", "no consolidation")


class Probe(NamedTuple):
    """A network after its first task, and that task's images."""

    weights: Any
    rest: Any
    images: Float[Array, "sample pixel"]
    labels: Int[Array, " sample"]

    def loss(self, weights: Any) -> Scalar:
        """Cross-entropy of the first task in the network of expected strengths."""
        return CrossEntropy(self.rest)(weights, (self.images, self.labels))

    def log_prob(self, weights: Any, image: Array, label: Array) -> Scalar:
        """Log probability of one label."""
        return jax.nn.log_softmax(eqx.combine(weights, self.rest)(image))[label]


def cosine(a: Float[Array, " synapse"], b: Float[Array, " synapse"]) -> Scalar:
    """Of the angle between two vectors, neither of them zero."""
    return jnp.vdot(a, b) / jnp.sqrt(jnp.vdot(a, a) * jnp.vdot(b, b))


def later(system: System, synapses: Any, task: Any, key: Key[Array, ""]) -> Any:
    """Synapses after the next task."""
    system = dataclasses.replace(system, task=task)
    steps = len(task.order)
    state = State(None, synapses)
    return simulate(system, state, key, steps=steps, every=steps)[0].synapses


def change_curvature(
    probe: Probe, change: Any, frozen: Array, key: Key[Array, ""]
) -> Any:
    r"""How the loss of the first task curves along a change of the weights.

    `relative`, its quadratic form over the mean one of the same changes at random
    synapses (shuffled); `carried`, the share of $\Delta^\top H\Delta$ that frozen
    synapses account for, $\sum_{frozen}\Delta_i(H\Delta)_i$ over the whole; `moved`,
    their share of $|\Delta|^2$.
    """
    flat, unravel = ravel_pytree(change)
    along = quadratic_form(probe.loss, probe.weights, change)

    def shuffled(key: Key[Array, ""]) -> Scalar:
        other = unravel(jr.permutation(key, flat))
        return quadratic_form(probe.loss, probe.weights, other)

    anywhere = jnp.mean(jax.lax.map(shuffled, jr.split(key, 8)))
    bent = ravel_pytree(hvp(probe.loss, probe.weights, change))[0]
    parts = flat * bent
    return {
        "relative": along / anywhere,
        "carried": jnp.sum(parts * frozen) / jnp.sum(parts),
        "moved": jnp.sum(flat**2 * frozen) / jnp.sum(flat**2),
    }


def alignment(
    probe: Probe,
    new: tuple[Array, Array],
    levels: tuple[Array, Array],
    key: Key[Array, ""],
) -> dict[str, Array]:
    r"""Cosines with the natural gradient of the next task in the first one's metric.

    The update $(1 - p)g$, the plain gradient, and the update with $p$ shuffled. The
    metric is the diagonal of the exact Fisher matrix, damped by its mean; `levels` are
    the release probabilities and that diagonal.
    """
    p, diagonal = levels
    gradient = jax.grad(CrossEntropy(probe.rest))(probe.weights, new)
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
    stream = stream_of(config, data, for_stream)
    pixels = data.train_images.shape[1]
    system, state, rest = build(config, stream.tasks[0], pixels, for_build)
    steps = len(stream.tasks[0].order)
    state, _ = simulate(system, state, for_first, steps=steps, every=steps)
    synapses: Any = state.synapses
    for_old, for_new, for_shuffle, for_changes = jr.split(for_probe, 4)
    images, labels = task_sample(stream.tasks[0], SAMPLES, for_old)
    probe = Probe(synapses.strength, rest, images, labels)
    p, unravel = ravel_pytree(synapses.probability)
    strength = ravel_pytree(synapses.strength)[0]
    outcomes = jnp.arange(2, dtype=jnp.int32)
    information = fisher_diagonal(
        probe.log_prob, probe.weights, images, outcomes=outcomes
    )
    moved = unravel(jr.permutation(for_shuffle, p))
    plain = dataclasses.replace(config, modulated=False, freeze=jnp.asarray(2.0))
    free, _, _ = build(plain, stream.tasks[0], pixels, for_build)
    task = stream.tasks[1]

    def end(probability: Any) -> Any:
        start = Stochastic(synapses.strength, probability)
        return later(system, start, task, for_later).strength

    held = jax.tree.map(lambda *x: jnp.stack(x), synapses.probability, moved)
    ends = jax.lax.map(end, held)
    loose = later(free, synapses, task, for_later).strength
    ends = jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), ends, loose)

    def outcome(ended: tuple[Any, Array]) -> dict[str, Array]:
        strength, p = ended
        change = jax.tree.map(jnp.subtract, strength, synapses.strength)
        frozen = (p >= config.freeze).astype(p.dtype)
        return change_curvature(probe, change, frozen, for_changes)

    levels = jnp.stack([p, ravel_pytree(moved)[0], p])
    seen = jax.lax.map(outcome, (ends, levels))
    new = task_sample(stream.tasks[1], SAMPLES, for_new)
    edges = jnp.linspace(config.low, config.high, BINS + 1)
    bins = jnp.clip(jnp.searchsorted(edges, p, side="right") - 1, 0, BINS - 1)
    member = (bins[None] == jnp.arange(BINS, dtype=bins.dtype)[:, None]).astype(p.dtype)
    return {
        "follows": jnp.stack(
            [
                rank_correlation(information, p),
                rank_correlation(information, jr.permutation(for_null, p)),
                rank_correlation(information, jnp.abs(strength)),
            ]
        ),
        "binned": member @ information / jnp.maximum(jnp.sum(member, axis=1), 1.0),
        **seen,
        **alignment(probe, new, (p, information), for_null),
    }


def names(plan: Plan, keys: object) -> xarray.Dataset:
    """What is correlated, the models, and the middle of every bin of release."""
    del keys
    low, high = float(plan.config.low), float(plan.config.high)
    middle = [low + (high - low) * (i + 0.5) / BINS for i in range(BINS)]
    return xarray.Dataset(
        coords={
            "with": ["release", "shuffled release", "strength"],
            "model": list(MODELS),
            "release": middle,
        }
    )


def curvature_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Release follows curvature, and later changes avoid it."""
    mean = data.mean("seed", skipna=False)
    other = control.mean("seed", skipna=False)
    follows = lambda data, name: float(data.follows.sel({"with": name}))
    relative = lambda name: float(mean.relative.sel(model=name))
    turn = data.modulated - data.plain
    ratio = relative("presynaptic") / relative("no consolidation")
    loose = relative("shuffled release") / relative("no consolidation")
    here, free = (
        data.carried.sel(model=model) for model in ("presynaptic", "no consolidation")
    )
    return [
        Claim(
            "rank correlation of release with the exact Fisher diagonal after one "
            "task; control: release shuffled",
            "Fig. 2d; specification: above .4",
            follows(mean, "release"),
            0.4,
            1.0,
            control=follows(mean, "shuffled release"),
        ),
        Claim(
            "the same; control: random release that does not learn",
            "Fig. 2d; specification: above .4",
            follows(mean, "release"),
            0.4,
            1.0,
            control=follows(other, "release"),
        ),
        Claim(
            "curvature of the first task's loss along the later change, over that "
            "without consolidation; control: release shuffled",
            "theory: below 1, reliable synapses hardly move",
            ratio,
            0.0,
            1.0,
            control=loose,
        ),
        Claim(
            "share of the change's quadratic form that frozen synapses carry, less "
            "that of the same synapses without consolidation",
            "theory: negative, their rate falls most",
            float((here - free).mean(skipna=False)),
            -math.inf,
            -1e-3,
            float((here - free).std("seed", ddof=1)) / here.sizes["seed"] ** 0.5,
        ),
        Claim(
            "reported, F as importance would have it otherwise: modulation by 1 - p "
            "turns the gradient away from the natural gradient of the first task's "
            "metric (gain of the cosine)",
            "measured",
            float(turn.mean(skipna=False)),
            -math.inf,
            0.0,
            float(turn.std("seed", ddof=1)) / turn.sizes["seed"] ** 0.5,
        ),
    ]


def unlearned(plan: Plan) -> Plan:
    """Negative control: random release probabilities that never change."""
    still = {"up": 0.0, "down": 0.0, "random_start": True}
    return plan._replace(config=dataclasses.replace(plan.config, **still))


def draw_curvature(data: xarray.Dataset) -> Figure:
    """Fisher information along release, curvature of later changes, alignment."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    binned = data.binned.where(data.binned > 0)
    shown = binned.mean("seed")
    left.plot(data.release, shown, "o-", ms=4, color=SHADES[0])
    left.set(yscale="log", xlabel="release probability", ylabel="mean Fisher diagonal")
    rho = data.follows.mean("seed")
    text = "\n".join(
        f"{name}: {float(rho.sel({'with': name})):.2f}" for name in data["with"].values
    )
    left.text(
        0.97,
        0.04,
        "rank correlation with\n" + text,
        transform=left.transAxes,
        ha="right",
        va="bottom",
        fontsize=7,
    )
    models = ("presynaptic", "shuffled release", "no consolidation")
    places = np.arange(3)
    for shift, (name, values) in zip(
        (-0.2, 0.2),
        (
            (
                "all directions",
                data.relative / data.relative.sel(model=models[2]).mean("seed"),
            ),
            ("frozen synapses' share", data.carried),
        ),
        strict=True,
    ):
        here = [values.sel(model=model) for model in models]
        middle.bar(
            places + shift,
            [float(x.mean()) for x in here],
            0.38,
            yerr=[float(x.std()) / x.sizes["seed"] ** 0.5 for x in here],
            color=SHADES[0] if shift < 0 else SHADES[1],
            label=name,
            capsize=2,
        )
    middle.axhline(0, color=THEORY, lw=0.6)
    middle.set_xticks(
        places, ["presynaptic", "shuffled\nrelease", "no consol-\nidation"]
    )
    middle.set_ylabel("curvature of task 1 along later change")
    middle.legend(frameon=False, fontsize=7, loc="upper right")
    bars = (
        ("$(1 - p)g$", data.modulated),
        ("$g$", data.plain),
        ("$(1 - p)g$,\nshuffled", data.misplaced),
    )
    for place, (_, values) in enumerate(bars):
        right.bar(place, float(values.mean()), 0.6, color=SHADES[place], alpha=0.8)
        right.plot(np.full(values.size, place), values, "k.", ms=4)
    right.set_xticks(places, [name for name, _ in bars])
    right.set_ylabel("cosine with the natural gradient")
    return figure


CURVATURE = Experiment(
    name="curvature",
    source="beyond the paper",
    shows="release follows the Fisher information, and later learning avoids curvature",
    config=Config,
    run=curved,
    claims=curvature_claims,
    figure=draw_curvature,
    control=unlearned,
    dims={
        "follows": ("with",),
        "relative": ("model",),
        "carried": ("model",),
        "moved": ("model",),
        "binned": ("release",),
    },
    predict=names,
    data=images_of,
)
