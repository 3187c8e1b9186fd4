"""Figure 2: where fluctuations lead on a landscape, without repair and with it."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import simulate, State, System
from ....circuits import LossCircuit
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    standard_error,
)
from ....numerics import normal
from ....rules import NoisyGradient, Normalised, Wiener
from ....tasks import Constant
from ..config import Landscape
from .geometry import Bowl
from .steady import BEST, SIMULATED, THEORY


DRAWN = 200  # steps of the path that is drawn
SECTORS = 8  # of the angle around a level set
STEPS = 1000


def drift_on_a_landscape(config: Landscape, key: Key[Array, ""]) -> dict[str, Array]:
    r"""What fluctuations do to the error, on a slope, in a bowl, and with repair.

    Over `trials` points at one distance from the minimum: `slope`, the mean rise of a
    linear error, over its largest; `bowl`, that of the quadratic one over $\frac12
    \delta^2\,\mathrm{Tr}H/N$. Then the error of one run of 1000 steps under
    fluctuations and repair (`error`), and the share of the sectors around the level
    sets that it visits (`visited`). `path` holds its first steps.
    """
    for_points, for_noise, for_run = jr.split(key, 3)
    loss = Bowl(jnp.stack([config.stiffness, config.softness]))
    unit = lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)
    points = config.distance * unit(normal(for_points, (config.trials, 2)))
    steps = config.fluctuation * unit(normal(for_noise, (config.trials, 2)))
    gradients = jax.vmap(jax.grad(loss))(points)
    along = jnp.sum(steps * gradients, axis=1)
    most = config.fluctuation * jnp.linalg.norm(gradients, axis=1)
    rises = jax.vmap(loss)(points + steps) - jax.vmap(loss)(points)
    law = config.fluctuation**2 * jnp.mean(loss.stiffness) / 2
    rules = {
        "fluctuation": Normalised(Wiener(), config.fluctuation),
        "repair": NoisyGradient(config.ratio * config.fluctuation, 0.0),
    }
    system = System(Constant(None), LossCircuit(loss), rules)
    start, record = (
        State(None, points[0]),
        lambda state, signals, changes: state.synapses,
    )
    _, path = simulate(system, start, for_run, steps=STEPS, record=record)
    stretched = jnp.sqrt(loss.stiffness)[None] * path
    angle = jnp.arctan2(stretched[:, 1], stretched[:, 0]) / (2 * jnp.pi)
    sectors = jnp.floor(SECTORS * (angle % 1))
    every = jnp.arange(SECTORS, dtype=path.dtype)
    visited = jnp.any(sectors[:, None] == every[None], axis=0)
    return {
        "slope": jnp.mean(along / most),
        "bowl": jnp.mean(rises) / law,
        "error": jax.vmap(loss)(path),
        "visited": jnp.mean(visited, dtype=path.dtype),
        "path": path[:DRAWN],
        "curvature": loss.stiffness,
    }


@claim("Fig. 2, linear landscape", low=-0.02, high=0.02, control=None)
def level_on_a_slope(data: Dataset) -> tuple[float, float]:
    """On a slope fluctuations leave the error, on average (mean rise / largest)."""
    return float(over_seeds(data.slope)), float(standard_error(data.slope))


@claim(
    "Fig. 2, Box 2", low=0.9, high=1.1, control=lambda data, control: control.slope[0]
)
def uphill_in_a_bowl(data: Dataset) -> tuple[float, float]:
    """In a bowl they raise it (mean rise / law; control: the slope's, which is 0)."""
    return float(over_seeds(data.bowl)), float(standard_error(data.bowl))


@claim("Fig. 2", low=0.8, high=1.25)
def repair_holds_the_level(data: Dataset) -> float:
    """With repair the error has no trend (second half / first)."""
    first, second = np.array_split(over_seeds(data.error).values[STEPS // 10 :], 2)
    return float(second.mean() / first.mean())


@claim("Fig. 2", low=1.0, high=1.0, control=None)
def around_the_level_set(data: Dataset) -> float:
    """While the weights wander all around the level sets (share of sectors)."""
    return float(over_seeds(data.visited))


def draw_landscape(data: Dataset) -> Figure:
    """Figure 2: a path with repair among level sets, and its error."""
    figure, axes = panels(1, 2, 3.4, 3.2)
    plane, course = axes[0]
    path, stiffness = data.path.isel(seed=0).values, data.curvature.isel(seed=0).values
    side = 1.2 * np.abs(path).max()
    x, y = np.meshgrid(*[np.linspace(-side, side, 200)] * 2)
    bowl = (stiffness[0] * x**2 + stiffness[1] * y**2) / 2
    plane.contour(x, y, bowl, np.geomspace(0.01, 1, 8) * bowl.max(), colors="0.8")
    plane.plot(*path.T, lw=0.7, color=SIMULATED)
    plane.plot(0, 0, "*", ms=11, color=BEST)
    plane.set(aspect="equal", xticks=[], yticks=[], title=f"{DRAWN} steps with repair")
    steps = data.step.values
    each = data.error.transpose("step", "seed").values
    course.plot(steps, each, lw=0.5, color=SIMULATED)
    course.axhline(each.mean(), color=THEORY, lw=1.5, label="mean")
    course.set(xlabel="step", ylabel="error", ylim=(0, None))
    course.legend(frameon=False)
    return figure


FIG2 = Experiment(
    name="fig2",
    source="Fig. 2",
    shows="fluctuations: level on a slope, uphill in a bowl; repair holds the level",
    config=Landscape,
    run=drift_on_a_landscape,
    claims=(
        level_on_a_slope,
        uphill_in_a_bowl,
        repair_holds_the_level,
        around_the_level_set,
    ),
    figure=draw_landscape,
    control=changed(ratio=0.0),
    axes={
        "error": {"step": np.arange(1, STEPS + 1)},
        "path": {"place": np.arange(1, DRAWN + 1), "axis": ("stiff", "soft")},
        "curvature": {"axis": ("stiff", "soft")},
    },
    float64=True,
)
