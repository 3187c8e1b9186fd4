"""An experiment of my own: how wide do synapses spread that fluctuate and decay?

Run as a script, or like the published ones, resumable and with a report:

    plasticity-jax run examples/own_experiment.py:SPREAD --preset small
    plasticity-jax recompute runs/own_experiment.SPREAD
    plasticity-jax report

The presets stand in `own_experiment.SPREAD.toml`, beside this file.
"""

import math
import tempfile
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
import numpy as np
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
from plasticity_jax.experiment import (
    changed,
    claim,
    Experiment,
    load_plan,
    run_experiment,
)
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


@claim("Ornstein-Uhlenbeck process", low=0.85, high=1.15)
def spread_of_the_process(data):
    """Mean square over noise^2 / (2 decay), at every decay: the smallest."""
    late = data.square.isel(time=slice(-100, None)).mean(["time", "seed"])
    decay = data.decay if "decay" in data.coords else 1.0  # the control has none
    return float((late * 2 * decay / 0.5**2).min())


def times_of(config):
    """Time after every step, in units of a decay of 1."""
    return float(config.step) * np.arange(1, config.steps + 1)


def draw(data):
    """A curve for every decay."""
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    for decay in data.decay.values:
        curve = data.square.sel(decay=decay).mean("seed")
        axes.plot(data.time, curve, label=f"decay {decay:g}")
    axes.set(xlabel="time", ylabel="mean square")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


SPREAD = Experiment(
    name="spread",
    source="Uhlenbeck & Ornstein 1930",
    shows="decay bounds the spread of fluctuating synapses",
    config=Config,
    run=spread,
    claims=(spread_of_the_process,),
    figure=draw,
    control=changed(decay=0.0),  # nothing holds the synapses back
    axes={"square": {"time": times_of}},
)

if __name__ == "__main__":
    path = Path(__file__).with_name("own_experiment.SPREAD.toml")
    plan = load_plan(Config, path, "small")
    with tempfile.TemporaryDirectory() as out:
        finished = run_experiment(SPREAD, plan, out=out)
        print(sorted(x.name for x in finished.folder.iterdir()))
    for row in finished.verdict.claims:
        print(f"{row.name}: {row.value:.3f} in [{row.low:g}, {row.high:g}]")
    assert finished.verdict.holds
