"""An experiment of my own: how wide do synapses spread that fluctuate and decay?

Run as a script, or like the published ones, resumable and with a report:

    plasticity-jax run examples/own_experiment.py:SPREAD --preset small
    plasticity-jax recompute runs/own_experiment.SPREAD
    plasticity-jax report

The presets stand in `own_experiment.SPREAD.toml`, beside this file.
"""

import dataclasses
import math
import tempfile
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
from matplotlib.figure import Figure

from plasticity_jax import (
    AbstractConfig,
    real,
    require,
    Scalar,
    simulate,
    State,
    System,
)
from plasticity_jax.circuits import Resting
from plasticity_jax.experiment import Claim, Experiment, load_plan, run_experiment
from plasticity_jax.rules import Dissipation, Scaled, Wiener
from plasticity_jax.tasks import Constant


class Config(AbstractConfig):
    """Synapses that decay and fluctuate; every number is an axis of a sweep."""

    decay: Scalar = eqx.field(default=1.0, converter=real)
    noise: Scalar = eqx.field(default=0.5, converter=real)
    step: Scalar = eqx.field(default=0.02, converter=real)
    size: int = eqx.field(default=200, static=True)
    steps: int = eqx.field(default=500, static=True)

    def __check_init__(self):
        require(self, decay=(0.0, math.inf), noise=(0.0, math.inf))


def spread(config, key):
    """Mean square of all synapses in time, from zero."""
    rules = {
        "noise": Scaled(Wiener(), config.noise),
        "decay": Dissipation(config.decay),
    }
    system = System(Constant(None), Resting(config.step), rules)
    start = State(None, jnp.zeros(config.size))
    _, square = simulate(system, start, key, steps=config.steps, record=mean_square)
    return {"square": square}


def mean_square(state, signals, changes):
    """What to record at every step."""
    return jnp.mean(state.synapses**2)


def without_decay(plan):
    """Negative control: nothing holds the synapses back."""
    config = dataclasses.replace(plan.config, decay=0.0)
    grid = {name: axis for name, axis in plan.grid.items() if name != "decay"}
    return plan._replace(config=config, grid=grid)


def claims(data, control):
    """The spread is that of an autoregressive process, for every decay."""
    late = data.square.isel(time=slice(-100, None)).mean(["time", "seed"])
    ratio = late * 2 * data.decay / 0.5**2
    free = control.square.isel(time=slice(-100, None)).mean(["time", "seed"])
    return [
        Claim(
            says="mean square over noise^2 / (2 decay), at every decay: the smallest",
            source="Ornstein-Uhlenbeck process",
            value=float(ratio.min()),
            low=0.85,
            high=1.15,
            control=float(free * 2 / 0.5**2),
        )
    ]


def draw(data):
    """A curve for every decay."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    for decay in data.decay.values:
        curve = data.square.sel(decay=decay).mean("seed")
        axes.plot(curve, label=f"decay {decay:g}")
    axes.set(xlabel="step", ylabel="mean square")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


SPREAD = Experiment(
    name="spread",
    source="Uhlenbeck & Ornstein 1930",
    shows="decay bounds the spread of fluctuating synapses",
    config=Config,
    run=spread,
    claims=claims,
    figure=draw,
    control=without_decay,
    dims={"square": ("time",)},
)

if __name__ == "__main__":
    path = Path(__file__).with_name("own_experiment.SPREAD.toml")
    plan = load_plan(Config, path, "small")
    with tempfile.TemporaryDirectory() as out:
        finished = run_experiment(SPREAD, plan, out=out)
        print(sorted(x.name for x in finished.folder.iterdir()))
    for claim in finished.verdict.claims:
        print(f"{claim.says}: {claim.value:.3f} in [{claim.low:g}, {claim.high:g}]")
    assert finished.verdict.holds
