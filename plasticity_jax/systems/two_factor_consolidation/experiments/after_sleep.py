"""Figure 3, after sleep: recall through noise, connectivity and selectivity."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar
from ....circuits import Memories, retrieve
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan
from ....measure import lifetime_sparseness
from ....synapses import Factored, Product
from ..config import Config
from ..domains import living, unless_lost
from ..networks import after, stored_in
from ..recall import jitter, OBSERVED, observed, recall_curve, tolerance
from .night import evening, shares, some_of
from .shared import LAW, legends, middles, shaded, stacked, WHEN


Matrix = Float[Array, "n n"]
Patterns = Float[Array, "n pattern"]
CUED, DRAWS = 64, 4  # patterns whose recall is tested, draws of the noise
NEURAL = tuple(float(x) for x in np.linspace(0.0, 0.8, 17).round(2))  # flips over f N
SYNAPTIC = tuple(float(x) for x in np.linspace(0.0, 1.6, 17).round(2))  # sigma / <u>
HOLD, CUES, QUIET = 10, 20, 50  # raster: steps a cue, cues, steps without noise
SHAKE = 0.3  # sigma / <u> of its synapses afterwards
CELLS = 100  # neurons in the raster, at most
EDGES = (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)  # correlation of input currents
COUNTED: tuple[str, ...] = ("connected", "strength", "pairs")
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
    keys = jr.split(key, DRAWS)

    def curve(noise: str, levels: tuple[float, ...]) -> Array:
        grid = jnp.asarray(levels, patterns.dtype)
        return recall_curve(synapses, patterns, config.activity, grid, keys, noise)

    return curve("balanced", NEURAL), curve("living", SYNAPTIC)


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
    found = dict(zip(COUNTED, stacked(bins), strict=True))
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

    scores, curves = stacked([each(x) for x in (memories.patterns, novel)])
    return {"sparseness": scores.T, "ranked": curves}


def morning(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """A day and a night; recall before and after it, and structure after it.

    `neural` (when, flips) and `synaptic` (when, shake) recall rates; `overlap` (when,
    step) and `raster` (when, step, cell) of cued activity; results of `connectivity`
    and `selectivity`; the number of patterns kept (`memories`).
    """
    for_day, for_night, for_recall, for_raster, for_novel = jr.split(key, 5)
    system, state, counted = evening(config, for_day)
    stored = stored_in(system)
    end = after(system, state, for_night, config.cycles)
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

    both = stacked([state.synapses, end.synapses])
    weights = Product().weights(end.synapses.factors)
    number = jnp.sum(stored.stored).astype(weights.dtype)
    return {
        **jax.lax.map(tested, both),
        **connectivity(weights, stored, counted),
        **selectivity(weights, end.synapses.threshold, stored, counted, for_novel),
        "memories": unless_lost(number, state.synapses.factors),
    }


# --- recall through noise (E9), and while synapses shake (E10) ------------------------

NOISE = {"neural": "flips", "synaptic": "shake"}
LEAST = {"neural": 1.8, "synaptic": 2.0}


def tolerances(data: Dataset, noise: str) -> DataArray:
    """Level of a noise at which recall falls to a half."""
    curves = over_seeds(data[noise]).transpose(..., NOISE[noise])
    both = (jnp.asarray(x.values, jnp.float32) for x in (data[NOISE[noise]], curves))
    at_half = np.asarray(tolerance(*both))
    return curves.isel({NOISE[noise]: 0}, drop=True).copy(data=at_half)


@claim(
    "Fig. 3 (neural: x 2.4, synaptic: x 2.3 to 3.9)",
    low=lambda data, control, noise: LEAST[noise],
    each={"noise": tuple(NOISE)},
)
def sleep_makes_tolerant(data: Dataset, noise: str) -> float:
    """After over before sleep: {noise} noise that recall tolerates (least)."""
    levels = tolerances(data, noise)
    ratio = levels.sel(when="after") / levels.sel(when="before")
    return float(ratio.min(skipna=False))


@claim("Fig. 3 (.12 and .20)", low=1e-3, each={"noise": tuple(NOISE)})
def load_costs_tolerance(data: Dataset, noise: str) -> float:
    """Low minus high load: {noise} noise tolerated after sleep."""
    after = tolerances(data, noise).sel(when="after")
    return float(after.isel(load=0) - after.isel(load=-1))


def shaken(data: Dataset, when: str) -> DataArray:
    """Overlap at the end of the cues while synapses shake."""
    ends = data.overlap.sel(step=slice(QUIET + HOLD - 1, None, HOLD), when=when)
    return ends.mean(["seed", "step"], skipna=False)


@claim(
    "Fig. 3; spec. E10: recalled",
    low=0.9,
    high=1.0,
    control=lambda data, control: shaken(data, "before").max(skipna=False),
)
def recalled_after_sleep(data: Dataset) -> float:
    """Synapses shake: overlap with the cued pattern after sleep (least)."""
    return float(shaken(data, "after").min(skipna=False))


@claim(
    "Fig. 3; spec. E10: activity collapses or saturates",
    low=-1.0,
    high=0.3,
    control=lambda data, control: shaken(data, "after").min(skipna=False),
)
def lost_before_sleep(data: Dataset) -> float:
    """Synapses shake: overlap with the cued pattern before sleep (largest)."""
    return float(shaken(data, "before").max(skipna=False))


# --- connections (E13) and selectivity (E14) ------------------------------------------


@claim("Fig. 3 (.98)", low=0.5, high=1.0)
def alike_are_connected(data: Dataset) -> float:
    """Neurons whose currents are alike are connected: rise of the probability from the
    first bin to the last (least).
    """
    connected = over_seeds(data.connected)
    rise = connected.isel(alike=-1) - connected.isel(alike=0)
    return float(rise.min(skipna=False))


@claim("Fig. 3; spec. E13", low=1e-9, high=1.0, control=None)
def connections_rise(data: Dataset) -> float:
    """Connection probability rises with every bin of correlation (least step)."""
    return float(over_seeds(data.connected).diff("alike").min(skipna=False))


@claim("Fig. 3; spec. E13", low=1e-9, control=None)
def weights_rise(data: Dataset) -> float:
    """Mean living weight rises with every bin of correlation (least step)."""
    return float(over_seeds(data.strength).diff("alike").min(skipna=False))


@claim("Fig. 3: at least half of it", low=0.5)
def responses_are_selective(data: Dataset) -> float:
    """Lifetime sparseness, familiar minus novel patterns, over that published (0.04,
    0.11, 0.14; least).
    """
    scores = over_seeds(data.sparseness)
    gain = scores.sel(novelty="familiar") - scores.sel(novelty="novel")
    published = DataArray(list(RESPONSES.values()), dims="response")
    return float((gain / published).min(skipna=False))


def plateau(data: Dataset, above: str, below: str) -> float:
    """First ranks at which currents of the one kind are larger, over fM (mean)."""
    ahead = data.ranked.sel(novelty=above) > data.ranked.sel(novelty=below)
    ranks = ahead.astype(int).cumprod("pattern").sum("pattern")
    share = ranks / data.memories / data.coding_level
    return float(share.where(data.ranked.notnull().all()).mean(skipna=False))


@claim(
    "Fig. 3; spec. E14: about fM of them; control: novel over familiar ones",
    low=0.5,
    high=2.0,
    control=lambda data, control: plateau(data, "novel", "familiar"),
)
def plateau_of_familiar(data: Dataset) -> float:
    """Ranked currents: how many of the highest are larger of familiar patterns than of
    novel ones before the curves cross, over fM (mean).
    """
    return plateau(data, "familiar", "novel")


def levels(plan: Plan, keys: Any) -> Dataset:
    """The coding level of the patterns."""
    del keys
    return Dataset({}, {"coding_level": float(plan.config.coding_level)})


def draw_after_sleep(data: Dataset) -> Figure:
    """Recall through noise, cued activity, connections and selectivity."""
    figure, axes = panels(2, 4, 3.4, 2.8)
    (neural, synaptic, *rasters), (overlap, connected, selective, rank) = axes
    mean, loads = data.mean("seed"), data["load"].values
    places = np.arange(data.sizes["response"])
    for load, color in shaded(loads):
        here, label = mean.sel(load=load), f"load {load:g}"
        for when, style in {"before": ":", "after": "-"}.items():
            curves, look = here.sel(when=when), {"color": color}
            look["label"] = f"{when}, {label}"
            neural.plot(data.flips, curves.neural, style, **look)
            synaptic.plot(data.shake, curves.synaptic, style, **look)
            ends = curves.overlap[HOLD - 1 :: HOLD]
            overlap.plot(ends.step, ends, "o" + style, ms=3, **look)
        connected.plot(data.alike, here.connected, "o-", color=color, label=label)
        connected.plot(data.alike, here.strength, "s--", ms=4, color=color)
        last = int(data.memories.sel(load=load).min())
        for novelty, marker, style in (("familiar", "o-", "-"), ("novel", "s:", ":")):
            seen = here.sel(novelty=novelty)
            look = {"color": color, "label": f"{novelty}, {label}"}
            selective.plot(places, seen.sparseness, marker, ms=4, **look)
            rank.plot(np.arange(1, last + 1), seen.ranked[:last], style, **look)
    connected.plot([], [], "s--", ms=4, label="mean living weight", **LAW)
    neural.set(title="Flipped cues", xlabel="flipped bits over $fN$")
    synaptic.set(title="Shaken synapses", xlabel="s.d. of the factor over its mean")
    for panel in (neural, synaptic):
        panel.axhline(0.5, lw=0.7, **LAW)
        panel.set(ylabel="recall rate", ylim=(-0.03, 1.03))
    overlap.set(title="End of every cue", ylabel="overlap with the cue", xlabel="step")
    overlap.set_ylim(-0.1, 1.7)
    connected.set(title="Connections", ylabel="probability, mean living weight")
    connected.set_xlabel("correlation of input currents")
    one = data.sel(load=loads[-1]).isel(seed=0).raster.transpose("when", "cell", "step")
    for panel, when in zip(rasters, data.when.values, strict=True):
        panel.imshow(one.sel(when=when), cmap="Blues", aspect="auto", origin="lower")
        panel.set(title=f"Cued activity {when} sleep", xlabel="step", ylabel="neuron")
    for panel in (overlap, *rasters):
        panel.axvline(QUIET, lw=0.7, ls="--", **LAW)
    selective.set(title="Selectivity", ylabel="lifetime sparseness", ylim=(0, 1.3))
    selective.set_xticks(places, data.response.values)
    selective.set_xlim(-0.3, len(places) - 0.7)
    rank.set(title="Ranked responses", xlabel="rank of the pattern", xscale="log")
    rank.set_ylabel("z-score of the current")
    legends((neural, synaptic, overlap, connected, selective, rank))
    return figure


NOVELTY = {"novelty": ("familiar", "novel")}
CUED_STEPS = WHEN | {"step": np.arange(HOLD * CUES)}
ALIKE = {"alike": middles(EDGES)}
FIG3_AFTER = Experiment(
    name="fig3_after",
    source="Fig. 3, after sleep",
    shows="sleep makes recall robust to both kinds of noise, and responses selective",
    config=Config,
    run=morning,
    claims=(
        *(sleep_makes_tolerant, load_costs_tolerance),
        *(recalled_after_sleep, lost_before_sleep),
        *(alike_are_connected, connections_rise, weights_rise),
        *(responses_are_selective, plateau_of_familiar),
    ),
    figure=draw_after_sleep,
    control=changed(rate=0.0, threshold_rate=0.0, cycles=1, seeds=1),  # no replay
    axes={
        "neural": WHEN | {"flips": NEURAL},
        "synaptic": WHEN | {"shake": SYNAPTIC},
        "overlap": CUED_STEPS,
        "raster": CUED_STEPS | {"cell": None},
        **dict.fromkeys(COUNTED, ALIKE),
        "sparseness": {"response": tuple(RESPONSES)} | NOVELTY,
        "ranked": NOVELTY | {"pattern": None},
    },
    predict=levels,
)
