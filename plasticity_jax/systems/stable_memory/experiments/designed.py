"""Beyond the paper: stimuli designed by the gradient of what they write."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import Scalar, simulate
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import expansion, rotation
from ....numerics import normal
from ....tasks import Drive
from ..config import build, Config
from ..patterns import draw_planes
from ..stimuli import rotating
from .learning import with_error


Course = Float[Array, "step 2"]
Plane = Float[Array, "2 n"]
STAGES = ("random", "designed", "rotating")
LINEAR = 0.05  # amplitude of a stimulus that the network follows linearly
ITERATIONS, MIXED = 150, 0.5  # how much of the direction of the gradient
PENALTY = 1.0  # of the real part, in the objective


def objective(config: Config, task: Drive, key: Key[Array, ""]) -> Scalar:
    r"""$|A| - S$ of the stimulated plane after `duration`, noise and all."""
    system, state = build(config, key, task)
    steps, (u, v) = config.steps("duration"), task.axes
    final, _ = simulate(
        system, state, key, steps=steps, every=config.steps("record_every")
    )
    written = final.synapses - state.synapses
    return jnp.abs(rotation(written, u, v)) - PENALTY * expansion(written, u, v)


def of_power(course: Course, power: Scalar) -> Course:
    """The course scaled to a mean square length."""
    return course * jnp.sqrt(power / jnp.mean(jnp.sum(course**2, axis=1)))


def mean_frequency(config: Config, course: Course) -> Scalar:
    """How fast the course turns, by power: radians per unit of time."""
    z = jax.lax.complex(course[:, 0], course[:, 1])
    turned = jnp.angle(jnp.sum(z[1:] * jnp.conj(z[:-1])))
    return jnp.abs(turned) / config.step


def design(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`score` and `frequency` (stage), and the designed `course` (step, axis).

    Every iteration turns the course into the direction of the gradient, at the power of
    the rotating stimulus.
    """
    for_plane, for_start, for_run = jr.split(key, 3)
    plane = draw_planes("hadamard", 1, config.size, for_plane)[0]
    turning = rotating(config, plane)
    power = jnp.mean(jnp.sum(turning.course**2, axis=1))
    score = lambda course: objective(config, Drive(plane, course, "silence"), for_run)
    start = of_power(normal(for_start, turning.course.shape), power)

    def improve(_: Any, course: Course) -> Course:
        step = MIXED * of_power(jax.grad(score)(course), power)
        return of_power((1 - MIXED) * course + step, power)

    best = jax.lax.fori_loop(0, ITERATIONS, improve, start)
    courses = jnp.stack([start, best, turning.course])
    frequency = jax.vmap(lambda x: mean_frequency(config, x))(courses)
    return {
        "score": jax.lax.map(score, courses),
        "frequency": frequency,
        "course": best,
    }


# --- what is designed turns at about one over the time of the trace ------------------


def speed(data: Dataset, stage: str, amplitude: float) -> tuple[float, float]:
    r"""$\omega\tau_y$ of a stimulus."""
    rows = data.frequency.sel(stage=stage, amplitude=amplitude)
    return with_error(rows * data.trace_time)


def over_rotating(data: Dataset, stage: str, amplitude: float) -> tuple[float, float]:
    """The score of a stimulus over that of the rotating one."""
    rows = data.score.sel(amplitude=amplitude)
    return with_error(rows.sel(stage=stage) / rows.sel(stage="rotating"))


def within(side: float) -> Any:
    """A limit: the best speed of a linear network and `side` standard errors."""
    return lambda data, control, amplitude: (
        float(data.best_speed) + side * speed(data, "designed", amplitude)[1]
    )


@claim(
    "derived: the best course of a linear network; 4 standard errors",
    low=within(-4.0),
    high=within(4.0),
    control=lambda data, control, amplitude: speed(data, "random", amplitude),
    each="amplitude",
    when=lambda data, amplitude: amplitude <= LINEAR,
)
def turns_with_the_trace(data: Dataset, amplitude: float) -> tuple[float, float]:
    """Designed stimulus of amplitude {amplitude:g}: its frequency times the time of the
    trace; control: before the first iteration.
    """
    return speed(data, "designed", amplitude)


@claim(
    "beyond: the rotating stimulus is one that could be found",
    low=1.0,
    control=lambda data, control, amplitude: over_rotating(data, "random", amplitude),
    each="amplitude",
)
def writes_more(data: Dataset, amplitude: float) -> tuple[float, float]:
    """Designed stimulus of amplitude {amplitude:g}: what it writes over what the
    rotating one of the same power does; control: before the first iteration.
    """
    return over_rotating(data, "designed", amplitude)


def best_course(config: Config) -> Course:
    r"""What writes most into a linear network at rest, of all courses of a power.

    With $x = Lz$ and the trace $y = Mx$ of $z = z_u + iz_v$, $A$ is in proportion to
    $\mathrm{Im}\,z^\dagger L^\top MLz$: the first eigenvector of a Hermitian matrix.
    """
    times = np.arange(config.steps("duration"))
    late = np.maximum(times[:, None] - times, 0)
    leak, share = math.exp(-config.step), config.step / float(config.trace_time)
    rates = (1 - leak) * np.tril(leak ** (late - 1.0), -1)
    trace = share * np.tril((1 - share) ** late)
    form = rates.T @ trace @ rates
    best = np.linalg.eigh((form - form.T) / 2j)[1][:, -1]
    return jnp.stack([jnp.real(best), jnp.imag(best)], axis=1)


def predict(plan: Plan, keys: Any) -> Dataset:
    """The time of the trace, and the frequency times it of the best course."""
    del keys
    config = plan.config
    trace = float(config.trace_time)
    best = trace * float(mean_frequency(config, best_course(config)))
    return Dataset({"trace_time": trace, "best_speed": best})


def draw_designed(data: Dataset) -> Figure:
    """Designed stimuli in time, one for each amplitude."""
    figure, axes = panels(1, data.sizes["amplitude"], 3.4, 2.4)
    for panel, amplitude in zip(axes[0], data.amplitude.values, strict=True):
        course = data.course.sel(amplitude=amplitude).isel(seed=0)
        for axis, color in zip(data.axis.values, SHADES, strict=False):
            panel.plot(data.time, course.sel(axis=axis), color=color, lw=1, label=axis)
        panel.axhline(0.0, color=THEORY, lw=0.7)
        panel.set(title=f"amplitude {amplitude:g}", xlabel="time")
    axes[0, 0].set(ylabel="designed stimulus")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


STAGE = {"stage": STAGES}
DESIGNED = Experiment(
    name="designed",
    source="beyond the paper",
    shows="stimuli designed by gradient turn at one over the time of the trace",
    config=Config,
    run=design,
    claims=(turns_with_the_trace, writes_more),
    figure=draw_designed,
    control=changed(learning_gain=0.0),
    axes={
        "score": STAGE,
        "frequency": STAGE,
        "course": {
            "time": lambda config: config.step * np.arange(config.steps("duration")),
            "axis": ("u", "v"),
        },
    },
    predict=predict,
)
