"""Figures 2c-e: homeostasis erodes real-coded memories and spares imaginary ones."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import AbstractSignals, simulate, State, System
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import memory_eigenvalue, plane_basis, rotation
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory, real_memory


Frame = Float[Array, "2 n"]
Matrix = Float[Array, "n n"]
Memories = Float[Array, "memory n n"]
RULES = ("dissipation", "rate_control", "decorrelation")
MEMORIES = ("real", "imaginary")
SNAPSHOTS = ("before", "embedded", "after 100", "end")
EARLY, EARLY_EVERY = 100.0, 0.5  # finely sampled time after embedding


# --- shared by the experiments on erosion ---------------------------------------------


def memories(config: Config, key: Key[Array, ""]) -> tuple[Frame, Memories]:
    """An orthonormal frame of a random plane; a real and an imaginary memory in it."""
    plane = draw_planes(config.pattern, 1, config.size, key, config.orthonormal)[0]
    u, v = plane[0], plane[1]
    both = real_memory(u, config.strength), imaginary_memory(u, v, config.strength)
    return jnp.stack(plane_basis(u, v)), jnp.stack(both)


def coefficients(weights: Matrix, frame: Frame) -> Float[Array, " memory"]:
    r"""$S_1 = u^\top Wu$ of a real memory, $A$ of an imaginary one."""
    u, v = frame[0], frame[1]
    return jnp.stack([u @ weights @ u, rotation(weights, u, v)])


def record_coefficients(
    frame: Frame, state: State, signals: AbstractSignals, changes: dict[str, Any]
) -> Float[Array, " memory"]:
    """`coefficients` after every step; `jax.tree_util.Partial` binds the frame."""
    del signals, changes
    return coefficients(state.synapses, frame)


def spun_up(config: Config, key: Key[Array, ""]) -> tuple[System, State]:
    """The network after `spin_up` without memory or stimulus."""
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    steps = config.steps("spin_up")
    state, _ = simulate(system, state, for_run, steps=steps, every=steps)
    return system, state


def thinned_times(config: Config) -> np.ndarray:
    """Times of a record of every `record_every`, the moment of embedding first."""
    count = config.steps("follow") // config.steps("record_every")
    return config.record_every * np.arange(count + 1)


def retained(data: xarray.Dataset) -> xarray.DataArray:
    """What is left of the change of the coefficient that the embedding made."""
    gained = data.coefficient.isel(time=0) - data.before
    return (data.coefficient - data.before) / gained


def without_homeostasis(plan: Plan) -> Plan:
    """Negative control: nothing restrains the synapses, noise alone moves them."""
    config = dataclasses.replace(plan.config, homeostasis_gain=0.0)
    return plan._replace(config=config)


# --- Figs. 2c-e -----------------------------------------------------------------------


def times_of(config: Config) -> np.ndarray:
    """Times of `coefficient` after embedding: fine for 100, then `record_every`."""
    early = np.arange(0.0, EARLY + EARLY_EVERY / 2, EARLY_EVERY)
    end = config.follow + config.record_every / 2
    late = np.arange(EARLY + config.record_every, end, config.record_every)
    return np.concatenate([early, late])


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
    record = jax.tree_util.Partial(record_coefficients, frame)
    fine, coarse = round(EARLY_EVERY / config.step), config.steps("record_every")
    first, rest = round(EARLY / config.step), config.steps("follow")
    before = coefficients(state.synapses, frame)

    def follow(memory: Matrix, both_axes: Array) -> tuple[Array, Array, Array]:
        start = embed(config, system, state, memory, for_kick)
        middle, early = simulate(
            system, start, for_run, steps=first, record=record, every=fine
        )
        end, late = simulate(
            system, middle, for_run, steps=rest - first, record=record, every=coarse
        )
        course = jnp.concatenate(
            [coefficients(start.synapses, frame)[None], early, late]
        )
        frames = jnp.stack([x.synapses for x in (state, start, middle, end)])
        basis = jnp.stack([frame[0], both_axes * frame[1]], axis=1)
        own = jax.lax.map(lambda w: memory_eigenvalue(w, basis).value, frames)
        spectrum = jax.lax.map(jnp.linalg.eigvals, frames)
        return course, _parts(spectrum), _parts(own)

    course, spectrum, own = jax.vmap(follow)(patterns, jnp.arange(2.0))
    own_course = jnp.diagonal(course, axis1=0, axis2=2).T
    return {
        "coefficient": own_course,
        "before": before,
        "spectrum": spectrum,
        "eigenvalue": own,
    }


def erosion(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`eroded` under each of `RULES`, from the same start."""
    each = [
        eroded(dataclasses.replace(config, homeostasis=rule), key) for rule in RULES
    ]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


DIMS = {
    "coefficient": ("rule", "memory", "time"),
    "before": ("rule", "memory"),
    "spectrum": ("rule", "memory", "snapshot", "mode", "part"),
    "eigenvalue": ("rule", "memory", "snapshot", "part"),
}


def predict(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""What dissipation leaves, $e^{-\eta\kappa_H\beta t}$, and the coordinates."""
    del keys
    config, times = plan.config, times_of(plan.config)
    rate = config.plasticity * config.homeostasis_gain * config.dissipation
    return xarray.Dataset(
        {"predicted": ("time", np.exp(-float(rate) * times))},
        {
            "rule": list(RULES),
            "memory": list(MEMORIES),
            "snapshot": list(SNAPSHOTS),
            "part": ["real", "imaginary"],
            "time": times,
        },
    )


def half_life(kept: xarray.DataArray) -> float:
    """Time at which the mean over seeds falls below 1/2; the last time if it stays."""
    others = [dim for dim in kept.dims if dim != "time"]
    course, times = kept.mean(others, skipna=False).values, kept.time.values
    if not np.all(np.isfinite(course)):
        return math.nan
    below = np.flatnonzero(course < 0.5)
    if not below.size:
        return float(times[-1])
    high, low = course[below[0] - 1], course[below[0]]
    share = (high - 0.5) / (high - low)
    return float(times[below[0] - 1] + share * (times[below[0]] - times[below[0] - 1]))


def _furthest_ratio(data: xarray.Dataset, rule: str) -> float:
    """Real over imaginary retained fraction, at the time when it is furthest from 1."""
    kept = retained(data).sel(rule=rule).mean(["initial_gain", "seed"], skipna=False)
    ratio = (kept.sel(memory="real") / kept.sel(memory="imaginary")).values
    return float(ratio[np.argmax(np.abs(ratio - 1))])


def _edge_ratio(data: xarray.Dataset, rule: str, gain: float) -> float:
    """Largest real part 100 after a real memory over that just before it."""
    here = data.spectrum.sel(rule=rule, memory="real", part="real", initial_gain=gain)
    edge = here.max("mode").mean("seed", skipna=False)
    return float(edge.sel(snapshot="after 100") / edge.sel(snapshot="before"))


def fig2_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """What each restraint does to either memory, in numbers."""
    return [
        *dissipation_claims(data, control),
        *active_claims(data, control),
        *silent_claims(data, control),
    ]


def dissipation_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Dissipation erodes both memories alike, at the rate of theory."""
    kept, free = retained(data), retained(control)
    law = math.log(2) / 1e-3  # eta beta of the paper

    def off_law(kept: xarray.DataArray) -> float:
        mean = kept.sel(rule="dissipation").mean(["initial_gain", "seed"], skipna=False)
        return float(abs(mean - data.predicted).max(skipna=False))

    return [
        Claim(
            "dissipation: both memories follow exp(-eta beta t) (largest distance)",
            "Eq. 2; the noise of the synapses leaves 0.001",
            off_law(kept),
            0.0,
            0.005,
            control=off_law(free),
        ),
        Claim(
            "dissipation: real over imaginary, retained, at all times; control: under "
            "rate control",
            "Fig. 2c",
            _furthest_ratio(data, "dissipation"),
            0.95,
            1.05,
            control=_furthest_ratio(data, "rate_control"),
        ),
        Claim(
            "dissipation: half-life of a real memory (neural time constants)",
            "theory: ln 2 / (eta beta) = 693, within 5 %",
            half_life(kept.sel(rule="dissipation", memory="real")),
            0.95 * law,
            1.05 * law,
            control=half_life(free.sel(rule="dissipation", memory="real")),
        ),
    ]


def active_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Rules that act through activity erase the real memory alone."""
    kept, free = retained(data), retained(control)

    def outlives(kept: xarray.DataArray, rule: str) -> float:
        here = kept.sel(rule=rule)
        return half_life(here.sel(memory="imaginary")) / half_life(
            here.sel(memory="real")
        )

    claims = []
    measured = {"rate_control": (2.5, 3.0), "decorrelation": (6.0, 7.0)}
    for (rule, (low, high)), panel in zip(measured.items(), "de", strict=True):
        name, real = rule.replace("_", " "), {"rule": rule, "memory": "real"}
        claims += [
            Claim(
                f"{name}: half-life of a real memory (neural time constants)",
                f"Fig. 2{panel}; independent evaluation: {low} to {high}, factor 1.5",
                half_life(kept.sel(real)),
                low / 1.5,
                high * 1.5,
                control=half_life(free.sel(real)),
            ),
            Claim(
                f"{name}: half-life of imaginary over real memories (at least, a run's "
                "length counts)",
                f"Fig. 2{panel}",
                outlives(kept, rule),
                50.0,
                math.inf,
                control=outlives(free, rule),
            ),
            Claim(
                f"{name}, g = 2: 100 later the edge of the spectrum is that before the "
                "real memory (ratio)",
                f"Fig. 2{panel}",
                _edge_ratio(data, rule, 2.0),
                0.85,
                1.15,
                control=_edge_ratio(control, rule, 2.0),
            ),
        ]
    return claims


def silent_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """From empty synapses: what is left of either memory."""
    kept = retained(data)

    def end(memory: str, rule: str, gain: float) -> float:
        here = kept.sel(memory=memory, rule=rule, initial_gain=gain).isel(time=-1)
        return float(here.mean("seed", skipna=False))

    def error(rule: str, gain: float) -> float:
        here = kept.sel(memory="imaginary", rule=rule, initial_gain=gain).isel(time=-1)
        return float(here.std("seed", ddof=1)) / math.sqrt(data.sizes["seed"])

    def outlier(data: xarray.Dataset) -> float:
        here = data.eigenvalue.sel(rule="rate_control", memory="real", part="real")
        here = here.sel(initial_gain=0.0, snapshot="after 100")
        return float(here.mean("seed", skipna=False))

    return [
        Claim(
            "rate control, W(0) = 0: eigenvalue of the real memory after 100",
            "Fig. 2d; independent evaluation: below 0.3",
            outlier(data),
            -math.inf,
            0.3,
            control=outlier(control),
        ),
        Claim(
            "rate control, W(0) = 0: share of the imaginary memory left at the end; "
            "control: of the real one",
            "Fig. 2d; a silent network leaves noise alone",
            end("imaginary", "rate_control", 0.0),
            0.99,
            1.01,
            error("rate_control", 0.0),
            end("real", "rate_control", 0.0),
        ),
        Claim(
            "decorrelation, W(0) = 0: share of the imaginary memory left at the end; "
            "control: of the real one",
            "Fig. 2e; independent evaluation: 0.95 at 2500",
            end("imaginary", "decorrelation", 0.0),
            0.9,
            1.0,
            error("decorrelation", 0.0),
            end("real", "decorrelation", 0.0),
        ),
    ]


COLORS = {"imaginary": SHADES[0], "real": SHADES[2]}
AFTER = "time after embedding (neural time constants)"


def _name(rule: Any) -> str:
    return str(rule).replace("_", " ").capitalize()


def _shares(data: xarray.Dataset) -> xarray.DataArray:
    from ..experiments.erosion import retained

    return retained(data)


def draw_erosion(data: xarray.Dataset) -> Figure:
    """Figures 2c-e: what is left of either memory, and spectra around it."""
    rules = ("dissipation", "rate_control", "decorrelation")
    figure, axes = panels(len(rules), 3, 3.7, 2.7)
    left = _shares(data).mean("seed")
    random = float(data.initial_gain.max())
    for row, rule in zip(axes, rules, strict=True):
        for memory, color in COLORS.items():
            for gain, style in zip(data.initial_gain.values, (":", "-"), strict=False):
                course = left.sel(rule=rule, memory=memory, initial_gain=gain)
                label = f"{memory}, g = {gain:g}"
                row[0].plot(course.time, course, style, color=color, label=label)
        if rule == "dissipation":
            law = {"color": THEORY, "lw": 1, "label": "exp(-eta beta t)"}
            row[0].plot(data.time, data.predicted, "--", **law)
        row[0].set_xscale("symlog", linthresh=1.0)
        row[0].set(xlabel=AFTER, ylabel="share of the memory left", title=_name(rule))
        row[0].set(ylim=(-0.3, 1.3))
        for panel, memory in zip(row[1:], ("real", "imaginary"), strict=True):
            here = data.sel(rule=rule, memory=memory, initial_gain=random)
            _spectra(panel, here.isel(seed=0))
            panel.set(title=f"{memory.capitalize()} memory, g = {random:g}")
    axes[0, 0].legend(frameon=False, fontsize="x-small", loc="lower left")
    axes[0, 2].legend(frameon=False, fontsize="x-small", loc="upper right")
    return figure


def _spectra(panel: Axes, data: xarray.Dataset) -> None:
    """Eigenvalues of one run at three moments, the memory's own ringed."""
    moments = {"embedded": SHADES[2], "after 100": SHADES[1], "end": SHADES[0]}
    for k, (moment, color) in enumerate(moments.items()):
        values = data.spectrum.sel(snapshot=moment)
        x, y = values.sel(part="real"), values.sel(part="imaginary")
        panel.plot(x, y, ".", ms=4 - k, color=color, label=moment)
        own = data.eigenvalue.sel(snapshot=moment)
        x, y = own.sel(part="real"), own.sel(part="imaginary")
        panel.plot(x, y, "o", ms=7 + 2 * k, mfc="none", color=color)
    panel.set(xlabel="real part", ylabel="imaginary part")


FIG2 = Experiment(
    name="fig2",
    source="Figs. 2c-e",
    shows="activity-driven homeostasis erases real memories and spares imaginary ones",
    config=Config,
    run=erosion,
    claims=fig2_claims,
    figure=draw_erosion,
    control=without_homeostasis,
    dims=DIMS,
    predict=predict,
)
