"""Figure 3, after sleep: recall through noise, connectivity and selectivity."""

import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Bool, Float, Int, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import Scalar, simulate
from ....circuits import Memories, retrieve
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import lifetime_sparseness
from ....synapses import Factored, Product
from ..config import Config
from ..domains import living, unless_lost
from ..recall import (
    flip_balanced,
    jitter,
    OBSERVED,
    observed,
    recall_rate,
    tolerance,
)
from .night import evening, shares, some_of


Matrix = Float[Array, "n n"]
Patterns = Float[Array, "n pattern"]
CUED, DRAWS = 64, 4  # patterns whose recall is tested, draws of the noise
NEURAL = tuple(float(x) for x in np.linspace(0.0, 0.8, 17).round(2))  # flips over f N
SYNAPTIC = tuple(float(x) for x in np.linspace(0.0, 1.6, 17).round(2))  # sigma / <u>
HOLD, CUES, QUIET = 10, 20, 50  # raster: steps a cue, cues, steps without noise
SHAKE = 0.3  # sigma / <u> of its synapses afterwards
CELLS = 100  # neurons in the raster, at most
EDGES = (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)  # correlation of input currents
SLOPES = (0.45, 0.6)  # b of the sigmoid responses
RESPONSES = {"current": 0.04, "sigmoid .45": 0.11, "sigmoid .6": 0.14}  # published


def stored_first(kept: Bool[Array, " pattern"], count: int) -> Int[Array, " cue"]:
    """Indices of `count` patterns that are kept, in turn if these are fewer."""
    some = jnp.maximum(jnp.sum(kept.astype(jnp.int32)), 1)
    return jnp.argsort(~kept)[jnp.arange(count) % some]


def recall_curves(
    config: Config, synapses: Factored, patterns: Patterns, key: Key[Array, ""]
) -> tuple[Float[Array, " flips"], Float[Array, " shake"]]:
    """Recall rates against balanced flips of the cue, and jitter of the synapses."""
    scaled, f = observed(synapses), config.activity
    keys = jr.split(key, DRAWS)

    def flips(level: Scalar, key: Key[Array, ""]) -> Scalar:
        cues = flip_balanced(patterns, level * f / 2, f, key)
        return recall_rate(scaled, cues, patterns, f)

    def shakes(level: Scalar, key: Key[Array, ""]) -> Scalar:
        shaken = jitter(scaled, OBSERVED * level, key)
        return recall_rate(shaken, patterns, patterns, f)

    def curve(rate: Any, levels: tuple[float, ...]) -> Array:
        point = lambda level: jnp.mean(jax.lax.map(lambda key: rate(level, key), keys))
        return jax.lax.map(point, jnp.asarray(levels, patterns.dtype))

    return curve(flips, NEURAL), curve(shakes, SYNAPTIC)


def cued(
    synapses: Factored, patterns: Patterns, key: Key[Array, ""]
) -> Float[Array, "step n"]:
    """Activity while a new pattern is cued every `HOLD` steps.

    From step `QUIET` on the volatile factors jitter anew in every step.
    """
    scaled = observed(synapses)

    def step(states: Float[Array, " n"], time: Int[Array, ""]) -> tuple[Array, Array]:
        cue = patterns[:, time // HOLD]
        states = jnp.where(time % HOLD == 0, cue, states)
        noise = jnp.where(time < QUIET, 0.0, OBSERVED * SHAKE).astype(states.dtype)
        shaken = jitter(scaled, noise, jr.fold_in(key, time))
        weights = Product().weights(shaken.factors)
        states = retrieve(weights, shaken.threshold, states[:, None], 1)[:, 0]
        return states, states

    times = jnp.arange(HOLD * patterns.shape[1])
    states = jax.lax.scan(step, patterns[:, 0], times)[1]
    return unless_lost(states, synapses.factors, synapses.threshold)


def overlaps(
    states: Float[Array, "step n"], patterns: Patterns, coding_level: Scalar
) -> Float[Array, " step"]:
    """Of the activity with the pattern that was cued last: 1 if equal, 0 by chance."""
    wanted = jnp.repeat(patterns.T, HOLD, axis=0)
    size = patterns.shape[0] * coding_level * (1 - coding_level)
    return jnp.sum((wanted - coding_level) * states, axis=1) / size


def connectivity(
    weights: Matrix, memories: Memories, counted: Bool[Array, " n"]
) -> dict[str, Array]:
    """Synapses of neurons whose input currents are alike over patterns: all (alike,).

    The share of pairs in each bin of correlation that is `connected`, the mean living
    weight (`strength`), and how many `pairs` there are.
    """
    share = shares(memories.stored)
    currents = weights @ memories.patterns
    away = (currents - (currents @ share)[:, None]) * jnp.sqrt(share)[None]
    size = jnp.sqrt(jnp.sum(away**2, axis=1, keepdims=True))
    away = away / jnp.where(size > 0, size, 1.0)
    alike = away @ away.T
    both = counted[:, None] & counted[None] & ~jnp.eye(len(weights), dtype=bool)
    alive = living(weights)

    def in_bin(low: float, high: float) -> tuple[Array, ...]:
        here = both & (alike >= low) & (alike < high)
        living = here & alive
        pairs = jnp.sum(here).astype(weights.dtype)
        connected = jnp.sum(jnp.where(living, shares(here), 0.0))
        return connected, jnp.sum(shares(living) * weights), pairs

    bins = [in_bin(*ends) for ends in itertools.pairwise(EDGES)]
    connected, strength, pairs = (jnp.stack(x) for x in zip(*bins, strict=True))
    found = {"connected": connected, "strength": strength, "pairs": pairs}
    return unless_lost(found, jnp.where(both, alike, 0.0))


def selectivity(
    weights: Matrix,
    threshold: Float[Array, " n"],
    memories: Memories,
    counted: Bool[Array, " n"],
    key: Key[Array, ""],
) -> dict[str, Array]:
    """Responses to familiar patterns and to the same ones shuffled over neurons.

    `sparseness` (response, novelty): over patterns, mean over neurons that count, of
    the current and of sigmoids of it with `SLOPES`. `ranked` (novelty, pattern): z-
    scored currents of a neuron in falling order, mean over neurons; 0 after the last.
    """
    kept = memories.stored
    share, rows = shares(kept), some_of(counted)
    count = jnp.maximum(jnp.sum(kept.astype(share.dtype)), 2.0)
    keys = jr.split(key, len(kept))
    shuffle = lambda pattern, key: jr.permutation(key, pattern)
    novel = jax.vmap(shuffle, (1, 0), 1)(memories.patterns, keys)
    room = len(kept)

    def sparseness(responses: Float[Array, "n pattern"]) -> Scalar:
        padded = lifetime_sparseness(jnp.where(kept[None], responses, 0.0))
        likeness = (1 - padded * (1 - 1 / room)) * room / count  # of stored ones only
        of_kept = (1 - likeness) / (1 - 1 / count)
        return jnp.sum(jnp.where(counted, of_kept, 0.0) * rows)

    def each(patterns: Patterns) -> tuple[Array, Array]:
        currents = weights @ patterns
        fields = currents - threshold[:, None]
        sigmoids = [jax.nn.sigmoid(slope * fields) for slope in SLOPES]
        away = currents - (currents @ share)[:, None]
        spread = jnp.sqrt(away**2 @ share)
        score = away / jnp.where(spread > 0, spread, 1.0)[:, None]
        ranked = -jnp.sort(jnp.where(kept[None], -score, jnp.inf), axis=1)
        ranked = jnp.where(jnp.isneginf(ranked) | ~counted[:, None], 0.0, ranked)
        return jnp.stack([sparseness(x) for x in (currents, *sigmoids)]), rows @ ranked

    both = [each(patterns) for patterns in (memories.patterns, novel)]
    scores, curves = zip(*both, strict=True)
    return {"sparseness": jnp.stack(scores, axis=1), "ranked": jnp.stack(curves)}


def morning(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """A day and a night; recall before and after it, and structure after it.

    `neural` (when, flips) and `synaptic` (when, shake) recall rates; `overlap` (when,
    step) and `raster` (when, step, cell) of cued activity; results of `connectivity`
    and `selectivity`; the number of patterns kept (`memories`).
    """
    for_day, for_night, for_recall, for_raster, for_novel = jr.split(key, 5)
    system, state, counted = evening(config, for_day)
    task: Any = system.task
    stored: Memories = task.stimulus
    cycles = config.cycles
    end, _ = simulate(system, state, for_night, steps=cycles, every=cycles)
    chosen = stored_first(stored.stored, min(CUED, config.patterns))
    cues = stored.patterns[:, chosen[jnp.arange(CUES) % len(chosen)]]
    first = jnp.where(jnp.any(cues > 0, axis=1), jnp.argmax(cues, axis=1), CUES)
    cells = jnp.argsort(first)[:: -(-config.size // CELLS)]

    def tested(synapses: Factored) -> dict[str, Array]:
        curves = recall_curves(config, synapses, stored.patterns[:, chosen], for_recall)
        states = cued(synapses, cues, for_raster)
        return {
            "neural": curves[0],
            "synaptic": curves[1],
            "overlap": overlaps(states, cues, config.activity),
            "raster": states[:, cells],
        }

    both = jax.tree.map(lambda *x: jnp.stack(x), state.synapses, end.synapses)
    weights = Product().weights(end.synapses.factors)
    return {
        **jax.lax.map(tested, both),
        **connectivity(weights, stored, counted),
        **selectivity(weights, end.synapses.threshold, stored, counted, for_novel),
        "memories": unless_lost(
            jnp.sum(stored.stored).astype(weights.dtype), state.synapses.factors
        ),
    }


def label(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; no theory."""
    del plan, keys
    edges = np.asarray(EDGES)
    return xarray.Dataset(
        coords={
            "when": ["before", "after"],
            "flips": list(NEURAL),
            "shake": list(SYNAPTIC),
            "step": np.arange(HOLD * CUES),
            "alike": (edges[1:] + edges[:-1]) / 2,
            "response": list(RESPONSES),
            "novelty": ["familiar", "novel"],
        }
    )


def without_sleep(plan: Plan) -> Plan:
    """Negative control: a night without replay; nothing happens in it."""
    config = dataclasses.replace(plan.config, rate=0.0, threshold_rate=0.0, cycles=1)
    return plan._replace(config=config, seeds=1)


def claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Sleep makes recall robust, connections specific and responses selective."""
    return [
        *recall_claims(data, control),
        *raster_claims(data),
        *structure_claims(data, control),
    ]


def tolerances(data: xarray.Dataset, name: str) -> xarray.DataArray:
    """Noise level of `neural` or `synaptic` noise at which recall falls to a half."""
    level = {"neural": "flips", "synaptic": "shake"}[name]
    curves = data[name].mean("seed", skipna=False).transpose(..., level)
    levels = jnp.asarray(curves[level].values, jnp.float32)
    values = tolerance(levels, jnp.asarray(curves.values, jnp.float32))
    return xarray.DataArray(
        np.asarray(values), curves.isel({level: 0}, drop=True).coords
    )


def recall_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Tolerance of noise (E9)."""
    panel = {"neural": (1.8, "x 2.4"), "synaptic": (2.0, "x 2.3 to 3.9")}
    result = []
    for name, (bound, published) in panel.items():

        def ratio(data: xarray.Dataset, name: str = name) -> float:
            levels = tolerances(data, name)
            grown = levels.sel(when="after") / levels.sel(when="before")
            return float(grown.min(skipna=False))

        def gap(data: xarray.Dataset, name: str = name) -> float:
            after = tolerances(data, name).sel(when="after").sortby("load")
            return float(after.isel(load=0) - after.isel(load=-1))

        result += [
            Claim(
                f"{name} noise that recall tolerates, after over before sleep (least); "
                "control: no replay",
                f"Fig. 3 ({published})",
                ratio(data),
                bound,
                math.inf,
                control=ratio(control),
            ),
            Claim(
                f"{name} noise tolerated after sleep, low minus high load; control: no "
                "replay",
                "Fig. 3 (.12 and .20)",
                gap(data),
                1e-3,
                math.inf,
                control=gap(control),
            ),
        ]
    return result


def raster_claims(data: xarray.Dataset) -> list[Claim]:
    """Recall while synapses shake (E10)."""
    shaken = data.step.where((data.step >= QUIET) & (data.step % HOLD == HOLD - 1))
    ends = data.overlap.sel(step=shaken.dropna("step").step)
    mean = ends.mean(["seed", "step"], skipna=False)
    before = float(mean.sel(when="before").max(skipna=False))
    after = float(mean.sel(when="after").min(skipna=False))
    return [
        Claim(
            "synapses shake: overlap with the cued pattern after sleep (least); "
            "control: before",
            "Fig. 3; spec. E10: recalled",
            after,
            0.9,
            1.0,
            control=before,
        ),
        Claim(
            "synapses shake: overlap with the cued pattern before sleep (largest); "
            "control: after",
            "Fig. 3; spec. E10: activity collapses or saturates",
            before,
            -1.0,
            0.3,
            control=after,
        ),
    ]


def structure_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Connections (E13) and selectivity (E14)."""
    mean = data.mean("seed", skipna=False)

    def rise(data: xarray.Dataset) -> float:
        connected = data.connected.mean("seed", skipna=False)
        gained = connected.isel(alike=-1) - connected.isel(alike=0)
        return float(gained.min(skipna=False))

    def selective(data: xarray.Dataset) -> float:
        scores = data.sparseness.mean("seed", skipna=False)
        gain = scores.sel(novelty="familiar") - scores.sel(novelty="novel")
        published = xarray.DataArray(list(RESPONSES.values()), dims="response")
        return float((gain / published).min(skipna=False))

    return [
        Claim(
            "neurons whose currents are alike are connected: rise of the probability "
            "from the first bin to the last (least); control: no replay",
            "Fig. 3 (.98)",
            rise(data),
            0.5,
            1.0,
            control=rise(control),
        ),
        Claim(
            "connection probability rises with every bin of correlation (least step)",
            "Fig. 3; spec. E13",
            float(mean.connected.diff("alike").min(skipna=False)),
            1e-9,
            1.0,
        ),
        Claim(
            "mean living weight rises with every bin of correlation (least step)",
            "Fig. 3; spec. E13",
            float(mean.strength.diff("alike").min(skipna=False)),
            1e-9,
            math.inf,
        ),
        Claim(
            "lifetime sparseness, familiar minus novel patterns, over that published "
            f"({', '.join(map(str, RESPONSES.values()))}; least); control: no replay",
            "Fig. 3: at least half of it",
            selective(data),
            0.5,
            math.inf,
            control=selective(control),
        ),
    ]


def draw_after_sleep(data: xarray.Dataset) -> Figure:
    """Recall through noise, cued activity, connections and selectivity."""
    figure, axes = panels(2, 4, 3.4, 2.8)
    (neural, synaptic, rasters, rested), (overlap, connected, selective, rank) = axes
    mean = data.mean("seed")
    loads = data["load"].values
    styles = {"before": ":", "after": "-"}
    for load, color in zip(loads, SHADES, strict=False):
        here = mean.sel(load=load)
        label = f"load {load:g}"
        for when, style in styles.items():
            curves, name = here.sel(when=when), f"{when}, {label}"
            neural.plot(data.flips, curves.neural, style, color=color, label=name)
            synaptic.plot(data.shake, curves.synaptic, style, color=color, label=name)
            ends = curves.overlap.isel(step=slice(9, None, 10))
            overlap.plot(ends.step, ends, "o" + style, ms=3, color=color, label=name)
        connected.plot(data.alike, here.connected, "o-", color=color, label=label)
        connected.plot(data.alike, here.strength, "s--", ms=4, color=color)
    connected.plot([], [], "s--", ms=4, color=THEORY, label="mean living weight")
    for panel, title in ((neural, "Flipped cues"), (synaptic, "Shaken synapses")):
        panel.axhline(0.5, color=THEORY, lw=0.7)
        panel.set(title=title, ylabel="recall rate", ylim=(-0.03, 1.03))
    neural.set_xlabel("flipped bits over $fN$")
    synaptic.set_xlabel(r"s.d. of the factor over its mean")
    overlap.set(title="End of every cue", ylabel="overlap with the cue", xlabel="step")
    overlap.set_ylim(-0.1, 1.7)
    overlap.axvline(50, color=THEORY, lw=0.7, ls="--")
    connected.set(title="Connections", ylabel="probability, mean living weight")
    connected.set_xlabel("correlation of input currents")
    one = data.sel(load=loads[-1]).isel(seed=0)
    for panel, when in ((rasters, "before"), (rested, "after")):
        active = one.raster.sel(when=when).transpose("cell", "step").values
        panel.imshow(active, cmap="Blues", aspect="auto", origin="lower")
        panel.axvline(50, color=THEORY, lw=0.7, ls="--")
        panel.set(title=f"Cued activity {when} sleep", xlabel="step", ylabel="neuron")
    _selectivity(selective, mean)
    for load, color in zip(loads, SHADES, strict=False):
        here = mean.sel(load=load)
        last = int(data.memories.sel(load=load).min())
        for novelty, style in {"familiar": "-", "novel": ":"}.items():
            line = here.ranked.sel(novelty=novelty).values[:last]
            label = f"{novelty}, load {load:g}"
            rank.plot(np.arange(1, last + 1), line, style, color=color, label=label)
    rank.set(title="Ranked responses", xlabel="rank of the pattern", xscale="log")
    rank.set_ylabel("z-score of the current")
    for panel in (neural, synaptic, overlap, connected, selective, rank):
        panel.legend(frameon=False, fontsize="x-small")
    return figure


def _selectivity(panel: Axes, data: xarray.Dataset) -> None:
    """Lifetime sparseness of three responses, familiar and novel patterns."""
    places = np.arange(data.sizes["response"])
    for load, color in zip(data["load"].values, SHADES, strict=False):
        for novelty, marker in {"familiar": "o-", "novel": "s:"}.items():
            scores = data.sparseness.sel(load=load, novelty=novelty)
            label = f"{novelty}, load {load:g}"
            panel.plot(places, scores, marker, ms=4, color=color, label=label)
    panel.set_xticks(places, [str(name) for name in data.response.values])
    panel.set(title="Selectivity", ylabel="lifetime sparseness", ylim=(0, 1.3))
    panel.set_xlim(-0.3, len(places) - 0.7)


FIG3_AFTER = Experiment(
    name="fig3_after",
    source="Fig. 3, after sleep",
    shows="sleep makes recall robust to both kinds of noise, and responses selective",
    config=Config,
    run=morning,
    claims=claims,
    figure=draw_after_sleep,
    control=without_sleep,
    dims={
        "neural": ("when", "flips"),
        "synaptic": ("when", "shake"),
        "overlap": ("when", "step"),
        "raster": ("when", "step", "cell"),
        "connected": ("alike",),
        "strength": ("alike",),
        "pairs": ("alike",),
        "sparseness": ("response", "novelty"),
        "ranked": ("novelty", "pattern"),
    },
    predict=label,
)
