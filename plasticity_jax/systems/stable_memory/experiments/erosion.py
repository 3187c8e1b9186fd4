"""Figures 2c-e: homeostasis erodes real-coded memories and spares imaginary ones."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State, System
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import memory_eigenvalue, plane_basis, rotation
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory, real_memory
from .learning import with_error


Frame = Float[Array, "2 n"]
Matrix = Float[Array, "n n"]
Memories = Float[Array, "memory n n"]
Run = Callable[[Config, Key[Array, ""]], dict[str, Array]]
ACTIVE = ("rate_control", "decorrelation")  # act through activity
RULES = ("dissipation", *ACTIVE)
MEMORY = {"memory": ("real", "imaginary")}
ENDS = ("embedded", "end")
EARLY, EARLY_EVERY = 100.0, 0.5  # finely sampled time after embedding


# --- shared by the experiments on erosion ---------------------------------------------


def memories(config: Config, key: Key[Array, ""]) -> tuple[Frame, Memories]:
    """An orthonormal frame of a random plane; a real and an imaginary memory in it."""
    plane = draw_planes(config.pattern, 1, config.size, key, config.orthonormal)[0]
    u, v = plane
    both = real_memory(u, config.strength), imaginary_memory(u, v, config.strength)
    return jnp.stack(plane_basis(u, v)), jnp.stack(both)


def coefficients(weights: Matrix, frame: Frame) -> Float[Array, " memory"]:
    r"""$S_1 = u^\top Wu$ of a real memory, $A$ of an imaginary one."""
    u, v = frame
    return jnp.stack([u @ weights @ u, rotation(weights, u, v)])


def spun_up(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """The network after `spin_up` without memory or stimulus."""
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    steps = config.steps("spin_up")
    state, _ = simulate(system, state, for_run, steps=steps, every=steps)
    return system, state


def under_each(
    rules: Sequence[str], run: Run, config: Config, key: Key[Array, ""]
) -> dict[str, Array]:
    """What a run gives under each of some rules of homeostasis, stacked."""
    each = [run(dataclasses.replace(config, homeostasis=rule), key) for rule in rules]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


def own_course(
    course: Float[Array, "memory time memory"],
) -> Float[Array, "memory time"]:
    """Of the coefficients after each memory, the one of that memory."""
    return jnp.diagonal(course, axis1=0, axis2=2).T


def thinned_times(config: Config) -> np.ndarray:
    """Times of a record of every `record_every`, the moment of embedding first."""
    count = config.steps("follow") // config.steps("record_every")
    return config.record_every * np.arange(count + 1)


def retained(data: Dataset) -> DataArray:
    """What is left of the change of the coefficient that the embedding made."""
    gained = data.coefficient.isel(time=0) - data.before
    return (data.coefficient - data.before) / gained


def title(rule: str) -> str:
    """A rule's name above a panel."""
    return rule.replace("_", " ").capitalize()


COLORS = {"imaginary": SHADES[0], "real": SHADES[2]}
AFTER = "time after embedding (time constants)"


# --- Figs. 2c-e -----------------------------------------------------------------------


def late_times(config: Config) -> np.ndarray:
    """Times of records of every `record_every` later than 100 after embedding."""
    end = config.follow + config.record_every / 2
    return np.arange(EARLY + config.record_every, end, config.record_every)


def times_of(config: Config) -> np.ndarray:
    """Times of `coefficient` after embedding: fine for 100, then `record_every`."""
    early = np.arange(0.0, EARLY + EARLY_EVERY / 2, EARLY_EVERY)
    return np.concatenate([early, late_times(config)])


def _parts(values: Array) -> Array:
    return jnp.stack([jnp.real(values), jnp.imag(values)], axis=-1)


def eroded(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """A real and an imaginary memory under the config's rule, and their spectra.

    Both are added to the same synapses and see the same noise. `coefficient` (memory,
    time), its value `before`; `spectrum` (memory, snapshot, n, part) and the memory's
    own `eigenvalue` (memory, snapshot, part).
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    system, state = spun_up(config, for_spin)
    frame, patterns = memories(config, for_memory)
    record = lambda state, *_: coefficients(state.synapses, frame)
    fine, coarse = round(EARLY_EVERY / config.step), config.steps("record_every")
    first, rest = round(EARLY / config.step), config.steps("follow")

    def follow(memory: Matrix, both_axes: Array) -> tuple[Array, Array, Array]:
        start = embed(config, system, state, memory, for_kick)
        middle, early = simulate(
            system, start, for_run, steps=first, record=record, every=fine
        )
        end, late = simulate(
            system, middle, for_run, steps=rest - first, record=record, every=coarse
        )
        course = jnp.concatenate([record(start)[None], early, late])
        frames = jnp.stack([x.synapses for x in (state, start, middle, end)])
        basis = jnp.stack([frame[0], both_axes * frame[1]], axis=1)
        own = jax.lax.map(lambda w: memory_eigenvalue(w, basis).value, frames)
        spectrum = jax.lax.map(jnp.linalg.eigvals, frames)
        return course, _parts(spectrum), _parts(own)

    course, spectrum, own = jax.vmap(follow)(patterns, jnp.arange(2.0))
    return {
        "coefficient": own_course(course),
        "before": record(state),
        "spectrum": spectrum,
        "eigenvalue": own,
    }


def erosion(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`eroded` under each of `RULES`, from the same start."""
    return under_each(RULES, eroded, config, key)


def predict(plan: Plan, keys: Any) -> Dataset:
    r"""What dissipation leaves: $e^{-\eta\kappa_H\beta t}$."""
    del keys
    config, times = plan.config, times_of(plan.config)
    rate = config.plasticity * config.homeostasis_gain * config.dissipation
    law = np.exp(-float(rate) * times)
    return Dataset({"predicted": ("time", law)}, {"time": times})


def half_life(kept: DataArray) -> float:
    """Time at which the mean over seeds falls below 1/2; the last time if it stays."""
    others = [dim for dim in kept.dims if dim != "time"]
    course, times = kept.mean(others, skipna=False).values, kept.time.values
    if not np.all(np.isfinite(course)):
        return math.nan
    below = np.flatnonzero(course < 0.5)
    if not below.size:
        return float(times[-1])
    after, before = below[0], below[0] - 1
    share = (course[before] - 0.5) / (course[before] - course[after])
    return float(times[before] + share * (times[after] - times[before]))


def half_life_of(data: Dataset, memory: str, rule: str) -> float:
    """Half-life of a memory under a rule."""
    return half_life(retained(data).sel(memory=memory, rule=rule))


def left_under(data: Dataset, rule: str) -> DataArray:
    """Share of either memory left, mean over initial synapses and seeds."""
    return retained(data).sel(rule=rule).mean(["initial_gain", "seed"], skipna=False)


# --- dissipation erodes both memories alike, at the rate of theory --------------------


@claim(
    "Eq. 2; the noise of the synapses leaves 0.001",
    low=0.0,
    high=0.005,
    control=lambda data, control: exponential(control.assign(predicted=data.predicted)),
)
def exponential(data: Dataset) -> float:
    """Dissipation: both memories follow exp(-eta beta t) (largest distance)."""
    distance = abs(left_under(data, "dissipation") - data.predicted)
    return float(distance.max(skipna=False))


@claim(
    "Fig. 2c",
    low=0.95,
    high=1.05,
    control=lambda data, control: alike(data, "rate_control"),
)
def alike(data: Dataset, rule: str = "dissipation") -> float:
    """Dissipation: real over imaginary, retained, at all times (furthest from 1);
    control: under rate control.
    """
    kept = left_under(data, rule)
    ratio = (kept.sel(memory="real") / kept.sel(memory="imaginary")).values
    return float(ratio[np.argmax(np.abs(ratio - 1))])


LAW = math.log(2) / 1e-3  # eta beta of the paper


@claim("theory: ln 2 / (eta beta) = 693, within 5 %", low=0.95 * LAW, high=1.05 * LAW)
def half_life_under_dissipation(data: Dataset) -> float:
    """Dissipation: half-life of a real memory (neural time constants)."""
    return half_life_of(data, "real", "dissipation")


# --- rules that act through activity erase the real memory alone ----------------------

EVALUATED = {"rate_control": (2.5, 3.0), "decorrelation": (6.0, 7.0)}  # half-lives
SPARED = {"rate_control": (0.99, 1.01), "decorrelation": (0.9, 1.0)}  # W(0) = 0


@claim(
    "Figs. 2d, e; independent evaluation: 2.5 to 3.0 and 6.0 to 7.0, factor 1.5",
    low=lambda data, control, rule: EVALUATED[rule][0] / 1.5,
    high=lambda data, control, rule: EVALUATED[rule][1] * 1.5,
    each={"rule": ACTIVE},
)
def half_life_of_real(data: Dataset, rule: str) -> float:
    """{rule}: half-life of a real memory (neural time constants)."""
    return half_life_of(data, "real", rule)


@claim("Figs. 2d, e", low=50.0, each={"rule": ACTIVE})
def imaginary_outlives_real(data: Dataset, rule: str) -> float:
    """{rule}: half-life, imaginary over real (at least: a run's length counts)."""
    return half_life_of(data, "imaginary", rule) / half_life_of(data, "real", rule)


@claim("Figs. 2d, e", low=0.85, high=1.15, each={"rule": ACTIVE})
def edge_returns(data: Dataset, rule: str) -> float:
    """{rule}, g = 2: edge of the spectrum 100 after a real memory over that before."""
    here = data.spectrum.sel(rule=rule, memory="real", part="real", initial_gain=2.0)
    edge = here.max("mode").mean("seed", skipna=False)
    return float(edge.sel(snapshot="after 100") / edge.sel(snapshot="before"))


@claim("Fig. 2d; independent evaluation: below 0.3", high=0.3)
def outlier_vanishes(data: Dataset) -> float:
    """Rate control, W(0) = 0: eigenvalue of the real memory after 100."""
    here = data.eigenvalue.sel(rule="rate_control", memory="real", part="real")
    here = here.sel(initial_gain=0.0, snapshot="after 100")
    return float(here.mean("seed", skipna=False))


@claim(
    "Fig. 2d: a silent network leaves noise alone; 2e: evaluated as 0.95 at 2500",
    low=lambda data, control, rule: SPARED[rule][0],
    high=lambda data, control, rule: SPARED[rule][1],
    control=lambda data, control, rule: imaginary_left(data, rule, "real"),
    each={"rule": ACTIVE},
)
def imaginary_left(
    data: Dataset, rule: str, memory: str = "imaginary"
) -> tuple[float, float]:
    """{rule}, W(0) = 0: share of the imaginary memory left at the end; control: of the
    real one.
    """
    kept = retained(data).sel(memory=memory, rule=rule, initial_gain=0.0).isel(time=-1)
    return with_error(kept)


def draw_erosion(data: Dataset) -> Figure:
    """Figures 2c-e: what is left of either memory, and spectra around it."""
    figure, axes = panels(data.sizes["rule"], 3, 3.7, 2.7)
    left = retained(data).mean("seed")
    random = float(data.initial_gain.max())
    for row, rule in zip(axes, data.rule.values, strict=True):
        for memory, color in COLORS.items():
            for gain, style in zip(data.initial_gain.values, (":", "-"), strict=False):
                course = left.sel(rule=rule, memory=memory, initial_gain=gain)
                label = f"{memory}, g = {gain:g}"
                row[0].plot(data.time, course, style, color=color, label=label)
        if rule == "dissipation":
            law = {"color": THEORY, "lw": 1, "label": "exp(-eta beta t)"}
            row[0].plot(data.time, data.predicted, "--", **law)
        row[0].set_xscale("symlog", linthresh=1.0)
        row[0].set(xlabel=AFTER, ylabel="share of the memory left", ylim=(-0.3, 1.3))
        row[0].set(title=title(rule))
        for panel, memory in zip(row[1:], data.memory.values, strict=True):
            here = data.sel(rule=rule, memory=memory, initial_gain=random)
            _spectra(panel, here.isel(seed=0))
            panel.set(title=f"{memory.capitalize()} memory, g = {random:g}")
    axes[0, 0].legend(frameon=False, fontsize="x-small", loc="lower left")
    axes[0, 2].legend(frameon=False, fontsize="x-small", loc="upper right")
    return figure


def _spectra(panel: Axes, data: Dataset) -> None:
    """Eigenvalues of one run at three moments, the memory's own ringed."""
    moments = {"embedded": SHADES[2], "after 100": SHADES[1], "end": SHADES[0]}
    for k, (moment, color) in enumerate(moments.items()):
        here = data.sel(snapshot=moment)
        x, y = here.spectrum.sel(part="real"), here.spectrum.sel(part="imaginary")
        panel.plot(x, y, ".", ms=4 - k, color=color, label=moment)
        x, y = here.eigenvalue.sel(part="real"), here.eigenvalue.sel(part="imaginary")
        panel.plot(x, y, "o", ms=7 + 2 * k, mfc="none", color=color)
    panel.set(xlabel="real part", ylabel="imaginary part")


BOTH = {"rule": RULES} | MEMORY
SNAPSHOT = {"snapshot": ("before", "embedded", "after 100", "end")}
PART = {"part": ("real", "imaginary")}
FIG2 = Experiment(
    name="fig2",
    source="Figs. 2c-e",
    shows="activity-driven homeostasis erases real memories and spares imaginary ones",
    config=Config,
    run=erosion,
    claims=(
        exponential,
        alike,
        half_life_under_dissipation,
        half_life_of_real,
        imaginary_outlives_real,
        edge_returns,
        outlier_vanishes,
        imaginary_left,
    ),
    figure=draw_erosion,
    control=changed(homeostasis_gain=0.0),  # noise alone moves the synapses
    axes={
        "coefficient": BOTH | {"time": times_of},
        "before": BOTH,
        "spectrum": BOTH | SNAPSHOT | {"mode": None} | PART,
        "eigenvalue": BOTH | SNAPSHOT | PART,
    },
    predict=predict,
)
