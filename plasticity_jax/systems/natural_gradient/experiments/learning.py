"""Learning curves: the run behind Figs. 3F, 9, 12C-F, Table 1 and the ablations."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar, simulate, State, System
from ...._arguments import floating
from ....experiment import over_seeds, panels, Plan, standard_error, THEORY
from ..config import build, Config, STUDENTS
from ..mean_field import (
    BIN,
    divergence_curve,
    divergence_error,
    PREDICTED,
    THRESHOLD,
    time_to_threshold,
)
from ..potentials import stationary_potentials
from ..published import segments
from ..theory import divergence, rate_error


def synapses_of(state: State, signals: Any, changes: Any) -> Any:
    """Record the weights, of every student where there are several."""
    del signals, changes
    return state.synapses


def measures(
    config: Config,
    weights: Float[Array, " n"],
    teacher: Float[Array, " n"],
    potentials: Float[Array, "sample n"],
) -> dict[str, Array]:
    r"""How far a student is from its teacher, on a test set of potentials.

    `divergence`: $D_{KL}$ per bin of 0.5 ms; `rate_error`: root mean squared difference
    of the rates in Hz; `distance`: $\|w - w^*\|$.
    """
    transfer = config.transfer
    return {
        "divergence": divergence(transfer, weights, teacher, potentials, BIN),
        "rate_error": rate_error(transfer, weights, teacher, potentials),
        "distance": jnp.linalg.norm(weights - teacher),
    }


def learning_curves(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Measures of every student at the start and every `record_seconds` (s).

    Arrays are (student, time); the test set is drawn once for the run.
    """
    for_build, for_run, for_test = jr.split(key, 3)
    system, state = build(config, for_build)
    if config.published or config.segment_reset:
        each, second = config.record_seconds, round(1 / config.step)
        records = config.seconds // each
        seen = segments(
            system, state, for_run, records, each, second, hold=config.published
        )
    else:
        seen = recorded(config, system, state, for_run)
    teacher = system.circuit.neuron.teacher  # pyright: ignore[reportAttributeAccessIssue]
    drawn = (config.rates, config.kernel, config.tests, for_test)
    potentials = stationary_potentials(*drawn)
    path = student_paths(state, seen, config.students)
    here = lambda weights: measures(config, weights, teacher, potentials)
    return jax.lax.map(jax.vmap(here), path)


@floating
@eqx.filter_jit
def simulated_time(
    config: Config,
    student: str,
    keys: Key[Array, " seed"],
    threshold: Scalar | float = THRESHOLD,
) -> Scalar:
    """Seconds until the mean divergence of runs, a key each, falls below `threshold`.

    Between records, in the logarithm; infinite if it does not, or did before the first.
    Differentiable through the runs in learning rates and constants of the rules
    (`rate_factor`, `natural_rate`, `uniform`...). What moves the teacher's spikes has
    no useful gradient, since these are drawn: rates, kernel, transfer function.
    """
    index = config.students.index(student)
    run = lambda key: learning_curves(config, key)["divergence"][index]
    excess = jnp.log(jnp.mean(jax.lax.map(run, keys), axis=0) / threshold)
    times = jnp.asarray(times_of(config), excess.dtype)
    below = excess < 0
    last = jnp.argmax(below)
    high, low = excess[jnp.maximum(last - 1, 0)], excess[last]
    time = times[last - 1] + high / (high - low) * (times[last] - times[last - 1])
    found = jnp.where(jnp.any(below) & (last > 0), time, jnp.inf)
    return jnp.where(jnp.any(jnp.isnan(excess)), jnp.nan, found)


def recorded(config: Any, system: System, state: State, key: Key[Array, ""]) -> Any:
    """Weights of every student after every `record_seconds` of `seconds`."""
    steps = round(config.seconds / config.step)
    every = round(config.record_seconds / config.step)
    how = {"steps": steps, "every": every, "record": synapses_of}
    return simulate(system, state, key, **how)[1]


def student_paths(
    state: State, seen: dict[str, Array], students: Sequence[str]
) -> Float[Array, "student time n"]:
    """The weights at the start and those that a run has recorded."""
    starts = state.synapses
    return jnp.stack([jnp.concatenate([starts[k][None], seen[k]]) for k in students])


def times_of(config: Any) -> np.ndarray:
    """Seconds at which the curves are recorded."""
    return np.arange(0, config.seconds + 1, config.record_seconds, dtype=float)


CURVE = {"student": lambda config: config.students, "time": times_of}
AXES = {"divergence": CURVE, "rate_error": CURVE, "distance": CURVE}


def predict(plan: Plan, keys: Any) -> Dataset:
    """The mean-field curve of every student that has one, at every point of the grid.

    `predicted_divergence`, its standard error over the theory's sample of teachers
    (`_error`), and `predicted_time` (s to the threshold); NaN for others.
    """
    del keys
    times, students = times_of(plan.config), plan.config.students
    curve, spread = (
        jax.jit(law, static_argnums=1) for law in (divergence_curve, divergence_error)
    )
    axes = [x if isinstance(x, dict) else {k: x} for k, x in plan.grid.items()]
    shape = tuple(len(next(iter(axis.values()))) for axis in axes)
    curves, errors = np.full((2, *shape, len(students), len(times)), np.nan)
    crossings = np.full((*shape, len(students)), np.nan)
    for index in np.ndindex(shape):
        point: dict[str, Any] = {}
        for axis, i in zip(axes, index, strict=True):
            point |= {field: values[i] for field, values in axis.items()}
        config = dataclasses.replace(plan.config, **point)
        for i, student in enumerate(students):
            if student in PREDICTED:
                curves[*index, i] = curve(config, student, times)
                errors[*index, i] = spread(config, student, times)
                crossings[*index, i] = time_to_threshold(config, student)
    dims = (*plan.grid, "student")
    curve_of = {
        "predicted_divergence": ((*dims, "time"), curves),
        "predicted_divergence_error": ((*dims, "time"), errors),
    }
    found = curve_of | {"predicted_time": (dims, crossings)}
    return Dataset(found, {"student": np.array(students), "time": times})


# --- what claims measure --------------------------------------------------------------


def with_error(values: DataArray) -> tuple[float, float]:
    """Mean over seeds and its standard error."""
    return float(over_seeds(values)), float(standard_error(values))


def mean_curve(data: Dataset, student: str, name: str = "divergence") -> DataArray:
    """Mean over trials of a measure of one student; a diverged one makes it NaN."""
    return over_seeds(data[name].sel(student=student))


def crossing(data: Dataset, student: str, level: float = THRESHOLD) -> float:
    """Seconds until the mean divergence falls below `level`, between records.

    Interpolated in the logarithm of the divergence; infinite if it never does.
    """
    curve, times = mean_curve(data, student).values, data.time.values
    below = np.flatnonzero(curve < level)
    if not np.all(np.isfinite(curve)):
        return math.nan
    if not below.size or below[0] == 0:
        return math.inf
    last = below[0]
    high, low = np.log(curve[last - 1] / level), np.log(curve[last] / level)
    share = high / (high - low)
    return float(times[last - 1] + share * (times[last] - times[last - 1]))


def crossing_error(data: Dataset, student: str) -> float:
    """Standard error of `crossing`."""
    return jackknife(lambda data: crossing(data, student), data)


def jackknife(
    measure: Callable[[Any], float], data: Dataset | DataArray, least: int = 2
) -> float:
    """Standard error of a measure of `least` trials or more, leaving out one by one."""
    count = data.sizes["seed"]
    found = [measure(data.drop_isel(seed=i)) for i in range(count)]
    if count < least or not np.all(np.isfinite(found)):
        return math.nan
    return math.sqrt((count - 1) * np.var(found))


def speed_up(data: Dataset, other: str = "natural") -> tuple[float, float]:
    """Time to the threshold of the Euclidean student over that of another.

    With its standard error, the errors of the two taken as independent.
    """
    pair = ("euclidean", other)
    relative = [crossing_error(data, name) / crossing(data, name) for name in pair]
    ratio = crossing(data, "euclidean") / crossing(data, other)
    return ratio, ratio * math.hypot(*relative)


def floor(data: Dataset, student: str, share: float = 0.2) -> float:
    """Mean divergence over the last `share` of the records."""
    last = max(1, int(share * data.sizes["time"]))
    curve = mean_curve(data, student).isel(time=slice(-last, None))
    return float(curve.mean(skipna=False))


EUCLIDEAN, NATURAL, APPROXIMATE = "#d1731c", "#1f5fa8", "#3f9b74"
OTHERS = (
    "#8a5bb0",
    "#17a2b8",
    "#707070",
    "#e0a800",
    "#b3262e",
    "#e377c2",
    "#6b8e23",
    "#000000",
)
COLORED = (EUCLIDEAN, NATURAL, APPROXIMATE, *OTHERS)
COLOURS: dict[str, str] = dict(zip(STUDENTS, COLORED, strict=True))
MINUTE = 60.0


def _curve(panel: Axes, data: Dataset, name: str, spread: bool = False) -> None:
    """Mean over trials of every student, its range, theory where there is one."""
    minutes = data.time.values / MINUTE
    for student in data.student.values:
        runs = data[name].sel(student=student).transpose("seed", "time")
        color, label = COLOURS[student], student.replace("_", " ")
        panel.plot(minutes, runs.mean("seed"), color=color, lw=1.6, label=label)
        if spread:
            low, high = runs.min("seed"), runs.max("seed")
            panel.fill_between(minutes, low, high, color=color, alpha=0.12, lw=0)
        law = data.predicted_divergence.sel(student=student)
        if name == "divergence" and np.isfinite(law.values).all():
            panel.plot(minutes, law, "--", color=color, lw=1.0)
            error = data.predicted_divergence_error.sel(student=student)
            band = {"color": color, "alpha": 0.25, "lw": 0}
            panel.fill_between(minutes, law - error, law + error, **band)
    panel.set_xlabel("time (min)")


def divergence_panel(panel: Axes, data: Dataset, spread: bool = False) -> None:
    """The divergence of every student, and the threshold."""
    _curve(panel, data, "divergence", spread)
    panel.axhline(THRESHOLD, color=THEORY, lw=0.8, ls=":")
    panel.set(yscale="log", ylabel="divergence per 0.5 ms")


def draw_learning_curves(data: Dataset) -> Figure:
    """Divergence (shaded: range over trials; dashed: theory), distance, rate error."""
    figure, axes = panels(1, 3, 3.8, 3.0)
    divergence_panel(axes[0, 0], data, spread=data.sizes["student"] <= 3)
    named = {"distance": "distance of weights from teacher"}
    named["rate_error"] = "rate error (Hz, root mean square)"
    for panel, (name, says) in zip(axes[0, 1:], named.items(), strict=True):
        _curve(panel, data, name)
        most = 1.3 * float(data[name].isel(time=0).mean())
        panel.set(ylabel=says, ylim=(0, most))
    handles, labels = axes[0, 2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure
