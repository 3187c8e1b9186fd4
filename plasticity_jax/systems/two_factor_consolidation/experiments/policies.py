"""Beyond the paper: which memory to replay, from the weakest one to a random one.

The weakest pattern seen with an error of many mean fields is a random one; softmin
replay of a sharpness near 0 is the replay of all patterns alike.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset, where

from .... import simulate, State
from ....circuits import Memories
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES
from ....measure import degenerate, largest_l1_margin, margins, noise_ratio
from ....numerics import ratio
from ....signals import ReplaySignals
from .. import theory
from ..config import Config
from ..networks import after, build, fields_and_weights, memories, sleep, stored_in
from .oracle import averages, CHECKPOINTS, TIME
from .shared import LAW, ROW, shaded


LEARNING = 500  # cycles of plain replay that store the patterns at first
EARLY = 50  # cycles after which early gains are measured
WEAK = (20.0, 150.0)  # sharpness between which the law of soft replay is of first order


def strengths(
    fields: Float[Array, "row pattern"],
    weights: Float[Array, "row n"],
    stored: Memories,
) -> Float[Array, "row pattern"]:
    r"""$\sigma_i^\mu H_i^\mu/\|w_i\|_2$: how robust every neuron holds every memory."""
    size = jnp.sqrt(jnp.sum(weights**2, axis=1))
    return stored.targets * fields / jnp.where(size == 0, 1.0, size)[:, None]


def slopes(
    before: Float[Array, "row pattern"], now: Float[Array, "row pattern"]
) -> Float[Array, " row"]:
    """Of the gain of a neuron's memories against what they were before."""
    centred = before - jnp.mean(before, axis=1, keepdims=True)
    square = jnp.sum(centred**2, axis=1)
    return ratio(jnp.sum(centred * (now - before), axis=1), square, jnp.nan)


def record(
    stored: Memories,
    before: Float[Array, "row pattern"],
    state: State,
    signals: ReplaySignals,
    changes: dict[str, Any],
) -> tuple[Float[Array, " row"], Float[Array, " row"]]:
    r"""$\mathrm{SNR}_1$ and `slopes`, before the step."""
    del state, changes
    margin = margins(signals.fields, stored.targets)
    now = strengths(signals.fields, signals.weights, stored)
    return noise_ratio(margin, signals.weights, 1.0), slopes(before, now)


def replayed(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""A policy on patterns that `LEARNING` cycles of the weakest have stored.

    `course` (time, row) of $\mathrm{SNR}_1$; `early` and `late` (row,) the slope of
    gains against initial strengths after `EARLY` and all cycles; `valid` (row,) marks
    neurons that are not degenerate.
    """
    for_build, for_run = jr.split(key)
    plain = dataclasses.replace(config, policy="weakest", schedule="constant")
    system, state = build(plain, for_build)
    stored, awake = stored_in(system), after(system, state, for_run, LEARNING)
    before = strengths(*fields_and_weights(system, awake), stored)
    seen = jax.tree_util.Partial(record, stored, before)
    run = functools.partial(simulate, key=for_run, record=seen)
    system, state = sleep(config, stored, awake.synapses)
    state, (_, early) = run(system, state, steps=EARLY, every=EARLY)
    every = config.cycles // CHECKPOINTS
    _, (course, late) = run(system, state, steps=config.cycles, every=every)
    return {
        "course": course,
        "early": early[-1],
        "late": late[-1],
        "valid": ~degenerate(stored.targets, stored.stored),
    }


def optima(plan: Plan, keys: Any) -> Dataset:
    """Exact optima `best` (seed, row), and what soft replay loses by theory.

    `law` (sharpness, seed, row), relative and at the optimum's duals, is there for
    `taught` replay only.
    """
    config = plan.config
    best = np.full((len(keys), config.rows), np.nan)
    loss = np.full(best.shape, np.nan)
    for s, key in enumerate(keys):
        stored = memories(config, jr.split(jr.split(key)[0])[0])
        patterns, targets = np.asarray(stored.patterns), np.asarray(stored.targets)
        for i in np.flatnonzero(abs(targets.mean(axis=1)) < 1):
            found = largest_l1_margin(patterns, targets[i], own=int(i))
            average = np.mean(abs(found.weights @ patterns - found.threshold))
            replay = jnp.asarray(np.maximum(found.replay, 0.0))
            bias = theory.soft_bias(replay, jnp.asarray(average), 1.0)
            best[s, i], loss[s, i] = found.margin, float(bias) / found.margin
    found = Dataset({"best": (("seed", "row"), best)})
    if config.policy != "taught":
        return found
    sharpness = np.asarray(plan.grid["sharpness"])
    law = (("sharpness", "seed", "row"), loss / sharpness[:, None, None])
    return found.assign(law=law).assign_coords(sharpness=sharpness)


def summary(data: Dataset) -> Dataset:
    """Means over neurons that are not degenerate and over seeds.

    `course` and `reached`, its last value, relative to the exact optimum; `stored`, the
    share of neurons without error (one without synapses stores nothing, one of a lost
    run, which has no slope either, is NaN); slopes, and the `law` where there is one.
    """
    last = data.course.isel(time=-1)
    rows = data[["early", "late", *(["law"] if "law" in data else [])]].assign(
        course=data.course / data.best,
        reached=last / data.best,
        stored=(last > 0).astype(float).where(data.late.notnull()),
    )
    return averages(rows, data.valid)


@claim("linear programme", low=0.95, high=1 + 1e-3)
def no_policy_is_above(data: Dataset) -> float:
    """No policy is above the exact optimum (largest share, any neuron)."""
    shares = where(data.valid, data.course / data.best, -np.inf)
    return float(shares.max(skipna=False))


# --- errors about which memory is weakest cost margin, and help the weak less ---------


@claim("linear programme; beyond the paper", low=0.985, high=1 + 1e-3)
def weakest_reaches_the_optimum(data: Dataset) -> float:
    """The weakest pattern reaches the optimum (mean share)."""
    return float(summary(data).reached.isel(replay_noise=0))


@claim(
    "beyond the paper; theory: the weakest is the gradient", high=0.005, control=None
)
def errors_gain_nothing(data: Dataset) -> float:
    """Errors about which is weakest gain nothing (largest rise of the share with any
    step of noise).
    """
    return float(summary(data).reached.diff("replay_noise").max(skipna=False))


@claim(
    "beyond the paper; control: the weakest",
    low=0.0,
    high=0.1,
    control=lambda data, control: summary(data).stored[0],
)
def random_replay_stores_little(data: Dataset) -> float:
    """Random replay: neurons that store all patterns (share)."""
    return float(summary(data).stored[-1])


@claim("prediction, not the paper's; beyond the paper", high=-0.05)
def random_replay_favours_the_strong(data: Dataset) -> float:
    """Gains after 50 cycles against initial strength: the slope under replay of the
    weakest less that under random replay, which favours the strong.
    """
    early = summary(data).early
    return float(early.isel(replay_noise=0) - early[-1])


# --- softness costs the margin that theory says ---------------------------------------


@claim("theory T6, at the duals of the optimum", low=0.7, high=1.3)
def soft_replay_loses(data: Dataset) -> float:
    """Soft replay: what it loses over theory (mean of sharpness 20 to 150)."""
    means = summary(data)
    inside = (means.sharpness > WEAK[0]) & (means.sharpness < WEAK[1])
    gap = (1 - means.reached) / means.law
    return float(gap.where(inside, drop=True).mean(skipna=False))


def draw_noisy(data: Dataset) -> Figure:
    """The gap to the optimum and the slope of gains, by errors about the weakest."""
    return _policy(data, "replay_noise", "error / mean field")


def draw_soft(data: Dataset) -> Figure:
    """The gap to the optimum, its theory and the slope of gains, by sharpness."""
    return _policy(data, "sharpness", "sharpness")


def _policy(data: Dataset, axis: str, words: str) -> Figure:
    """Gaps in time and at the end, slopes of gains, along one axis of the sweep."""
    seen = summary(data)
    figure, ((courses, gaps, slopes),) = panels(1, 3, 3.8, 3.0)
    values, legend = seen[axis].values, {"frameon": False, "fontsize": "small"}
    shown = values[np.linspace(0, len(values) - 1, 5).round().astype(int)]
    for value, color in shaded(np.unique(shown)):
        gap = np.maximum(1 - seen.course.sel({axis: value}), 1e-4)
        courses.semilogy(data.time / 1e3, gap, color=color, label=f"{value:.2g}")
    courses.set(xlabel="thousand cycles", ylabel="relative gap to the optimum")
    courses.set_ylim(top=100 * courses.get_ylim()[1])
    courses.legend(title=words, title_fontsize="small", ncols=2, **legend)
    gap = np.maximum(1 - seen.reached, 1e-4)
    gaps.loglog(values, gap, "o-", ms=4, color=SHADES[0], label="measured")
    if "law" in seen:
        gaps.loglog(values, seen.law, "--", label="theory", **LAW)
    gaps.set(xlabel=words, ylabel="relative gap at the end")
    gaps.legend(**legend)
    for name, color in shaded(("early", "late")):
        slopes.semilogx(values, seen[name], "o-", ms=4, color=color, label=name)
    slopes.axhline(0, lw=0.8, **LAW)
    slopes.set(xlabel=words, ylabel="slope of gain by initial strength", ylim=(-0.2, 1))
    slopes.legend(**legend)
    return figure


POLICIES = Experiment(
    name="policies",
    source="beyond the paper",
    shows="replaying the weakest memory is best: errors about which it is cost margin",
    config=Config,
    run=replayed,
    claims=(
        *(no_policy_is_above, weakest_reaches_the_optimum, errors_gain_nothing),
        *(random_replay_stores_little, random_replay_favours_the_strong),
    ),
    figure=draw_noisy,
    control=changed(rate=0.0, threshold_rate=0.0),  # no replay
    axes={"course": TIME | ROW, **dict.fromkeys(("early", "late", "valid"), ROW)},
    predict=optima,
)
SOFT = POLICIES._replace(
    name="soft",
    source="beyond the paper",
    shows="replaying the weak memories together costs a margin that theory predicts",
    claims=(no_policy_is_above, soft_replay_loses),
    figure=draw_soft,
)
