"""Magnitudes of repair learned through the run: one, one per layer, one per synapse."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import simulate, State
from ....curvature import best_ratio
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    standard_error,
)
from ....numerics import tree_vdot
from ....rules import Masked
from ....signals import LossSignals
from ..config import build, Config
from ..quadratic import Quadratic
from .steady import BEST, SIMULATED, THEORY


CASES = ("bowl, one", "bowl, per synapse", "network, one", "network, per layer")
RUNS = 4  # whose mean error is descended
SHARE = 3  # the last third of the updates is averaged
RATE = 0.05


def loss_and_square(state: State, signals: LossSignals, changes: Any) -> Array:
    """Record the loss before the step and the squares of both lengths."""
    squares = [
        tree_vdot(x, x) for x in (changes["compensation"], changes["fluctuation"])
    ]
    return jnp.stack([signals.loss, *squares])


def learned(
    config: Config, updates: int, spread: Callable[[Any, Any], Any], logs: Any, key: Any
) -> tuple[Array, Any]:
    """Error, realised RMS ratio and log magnitudes after so many updates.

    `spread(logs, weights)` makes of the log magnitudes one for each weight.
    """
    for_build, for_learning, for_test = jr.split(key, 3)
    system, start = build(config, for_build)
    repair = system.rules["compensation"]

    def seen(logs: Any, key: Key[Array, ""]) -> Array:
        factors = jax.tree.map(jnp.exp, spread(logs, start.synapses))
        rules = {**system.rules, "compensation": Masked(repair, factors)}
        here = dataclasses.replace(system, rules=rules)
        run = lambda key: simulate(
            here, start, key, steps=config.steps, record=loss_and_square
        )[1][-config.window :]
        return jnp.mean(jax.vmap(run)(jr.split(key, RUNS)), axis=(0, 1))

    optimiser = optax.adam(RATE)

    def update(carry: Any, key: Key[Array, ""]) -> tuple[Any, Any]:
        logs, state = carry
        error = lambda logs: jnp.log(seen(logs, key)[0])
        slope = jax.grad(error)(logs)
        with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
            change, state = optimiser.update(slope, state)
        logs = optax.apply_updates(logs, change)
        return (logs, state), logs

    keys = jr.split(for_learning, updates)
    _, course = jax.lax.scan(update, (logs, optimiser.init(logs)), keys)
    logs = jax.tree.map(lambda x: jnp.mean(x[-(updates // SHARE) :], axis=0), course)
    loss, own, noise = seen(logs, for_test)
    return jnp.stack([loss, jnp.sqrt(own / noise)]), logs


def everywhere(log: Array, weights: Any) -> Any:
    """One magnitude for all weights."""
    return jax.tree.map(lambda w: jnp.broadcast_to(log, w.shape), weights)


def by_leaf(logs: Any, weights: Any) -> Any:
    """One for each layer, or for each weight."""
    return jax.tree.map(lambda log, w: jnp.broadcast_to(log, w.shape), logs, weights)


def magnitudes(config: Quadratic, key: Key[Array, ""]) -> dict[str, Array]:
    """Errors and ratios at learned magnitudes, on the bowl and on the 12-20-10 network.

    `best` is the mean-field law's best ratio and `floor` the error of a bowl whose
    every step removes the last fluctuation; `layers` are the learned ones per layer.
    """
    bowl = config.network(ratio=1.0)
    short = {"rule": config.rule, "steps": config.steps, "window": config.window}
    network = Config(corruption=0.0, samples=60, **short)
    one, zero = jnp.zeros(()), jnp.zeros
    each = (zero((bowl.sizes[1], bowl.sizes[0])),)
    after = lambda config, spread, logs: learned(config, updates, spread, logs, key)
    updates = max(config.window // 2, 3)
    found = [
        after(bowl, everywhere, one)[0],
        after(bowl, by_leaf, each)[0],
        after(network, everywhere, one)[0],
    ]
    last, logs = after(network, by_leaf, (one, one))
    loss, ratio = jnp.stack([*found, last]).T
    return {
        "loss": loss,
        "ratio": ratio,
        "best": best_ratio(config.spectrum, config.corruption),
        "floor": jnp.mean(config.spectrum) / 2,
        "layers": jnp.exp(jnp.stack(logs)),
    }


@claim("mean-field law, 2 %", low=0.98, high=1.02)
def learns_the_best_ratio(data: Dataset) -> tuple[float, float]:
    """Learned through the run, one magnitude is the law's best (ratio to it)."""
    ratio = data.ratio.sel(case="bowl, one") / data.best
    return float(over_seeds(ratio)), float(standard_error(ratio))


@claim("derived: Newton's step is the best of all", low=0.95, high=1.05)
def each_synapse_its_own(data: Dataset) -> tuple[float, float]:
    """With one for each synapse repair is as large as the noise (RMS ratio)."""
    ratio = data.ratio.sel(case="bowl, per synapse")
    return float(over_seeds(ratio)), float(standard_error(ratio))


@claim("derived: half the mean curvature", low=0.97, high=1.08)
def down_to_the_floor(data: Dataset) -> float:
    """And the error falls to that of the last fluctuation (ratio to it)."""
    loss = data.loss.sel(case="bowl, per synapse") / data.floor
    return float(over_seeds(loss))


@claim("no worse than one for all", low=0.0, high=1.0, control=None)
def layers_of_their_own(data: Dataset) -> float:
    """Magnitudes for each layer lower the network's error (ratio)."""
    loss = over_seeds(data.loss)
    return float(loss.sel(case=CASES[3]) / loss.sel(case=CASES[2]))


def draw_magnitudes(data: Dataset) -> Figure:
    """Learned ratios, and errors over those with one magnitude."""
    figure, axes = panels(1, 2, 3.8, 3.0)
    ratio, error = axes[0]
    labels = [name.replace(", ", "\n") for name in data.case.values]
    mean, spread = data.ratio.mean("seed"), standard_error(data.ratio)
    ratio.bar(labels, mean, yerr=spread, width=0.6, color=SIMULATED)
    ratio.plot(labels[:1], [data.best.mean()], "D", color=THEORY, label="law")
    ratio.axhline(1.0, color="0.8", lw=0.8, zorder=0)
    ratio.set(ylabel="repair / fluctuation (RMS)")
    ratio.legend(frameon=False)
    for i in (0, 2):
        pair = over_seeds(data.loss).isel(case=[i, i + 1])
        error.bar(labels[i : i + 2], pair / pair[0], width=0.6, color=(SIMULATED, BEST))
    error.set(ylabel="error / with one magnitude")
    for panel in (ratio, error):
        panel.tick_params(axis="x", labelsize=7)
    return figure


CASE = {"case": CASES}
MAGNITUDES = Experiment(
    name="magnitudes",
    source="beyond the paper",
    shows="magnitudes learned through the run: the law's best, per layer, per synapse",
    config=Quadratic,
    run=magnitudes,
    claims=(
        learns_the_best_ratio,
        each_synapse_its_own,
        down_to_the_floor,
        layers_of_their_own,
    ),
    figure=draw_magnitudes,
    control=changed(rule="noise"),
    axes={"loss": CASE, "ratio": CASE, "layers": {"layer": ("first", "second")}},
)
