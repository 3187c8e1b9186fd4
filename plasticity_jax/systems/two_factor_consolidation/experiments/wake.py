"""Figure 3, awake: patterns and sequences stored in one shot while they are new."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State
from ....circuits import memories_of
from ....experiment import changed, claim, Experiment, over_seeds, panels
from ....measure import density, recalled
from ..config import Config
from ..domains import unless_lost
from ..networks import memories, wake
from .shared import mean_and_error, shaded, stacked, TINY


KINDS = ("patterns", "sequence")  # what a pattern calls: itself, or the next one
TENTH = 0.1  # of the first epoch's novelty


size_of_novelty = lambda state, signals, changes: jnp.abs(signals.novelty)


def waking(config: Config, key: Key[Array, ""], shift: int) -> dict[str, Array]:
    """A day in epochs of as many presentations as there is room for patterns.

    All (epoch,): mean `novelty`, shares of the stored patterns that are `fixed` (right
    in every neuron) and `recalled` (at most a fifth of $fN$ wrong) after one update,
    and the `density` of synapses that are not pruned.
    """
    for_patterns, for_order, for_run = jr.split(key, 3)
    shown = memories(config, for_patterns)
    stored = memories_of(shown.patterns, None, shown.stored, shift)
    system, state = wake(config, stored, for_order, shift)
    circuit: Any = system.circuit
    share = lambda there: jnp.sum(there & stored.stored) / jnp.sum(stored.stored)
    wanted = (stored.targets + 1) / 2

    def epoch(state: State, _: None) -> tuple[State, dict[str, Array]]:
        options = {"steps": config.patterns, "record": size_of_novelty}
        state, novelty = simulate(system, state, for_run, **options)
        weights = circuit.parametrisation.weights(state.synapses.factors)
        fields = weights @ stored.patterns - state.synapses.threshold[:, None]
        states = (fields > 0).astype(wanted.dtype)
        seen = {
            "novelty": jnp.mean(novelty),
            "fixed": share(jnp.all(states == wanted, axis=0)),
            "recalled": share(recalled(states, wanted, config.activity)),
            "density": jnp.mean(density(weights, None)),
        }
        return state, unless_lost(seen, fields)

    return jax.lax.scan(epoch, state, length=config.epochs)[1]


def days(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`waking` for patterns and for a sequence; all results are (kind, epoch)."""
    return stacked([waking(config, key, shift) for shift in range(len(KINDS))])


def left(data: Dataset) -> DataArray:
    """Novelty, share of the first epoch's."""
    novelty = over_seeds(data.novelty)
    return novelty / novelty.isel(epoch=0)


@claim("Fig. 3; spec. E7", high=0.0, control=None)
def novelty_falls(data: Dataset) -> float:
    """Novelty falls from epoch to epoch while a tenth is left (largest rise of the
    mean, share of the first epoch's); later few patterns make the mean.
    """
    share = left(data)
    few = share.isel(epoch=slice(1, None)) <= TENTH
    rise = share.diff("epoch").where(~few, -math.inf)
    return float(rise.max(skipna=False))


@claim("Fig. 3; spec. E7: 0 once all is familiar", low=0.0, high=0.05)
def all_is_familiar(data: Dataset) -> float:
    """Novelty left in the last epoch, share of the first (largest)."""
    return float(left(data).isel(epoch=-1).max(skipna=False))


@claim("Fig. 3; spec. E7: tends to 1", low=0.95, high=1.0)
def all_is_recalled(data: Dataset) -> float:
    """Patterns recalled after the day (least share, patterns and sequences)."""
    return float(over_seeds(data.recalled).isel(epoch=-1).min(skipna=False))


@claim("Fig. 3; spec. E7", low=0.99, high=1.0, control=None)
def no_synapse_is_lost(data: Dataset) -> float:
    """Synapses that are not pruned after the day (least share)."""
    return float(over_seeds(data.density).isel(epoch=-1).min(skipna=False))


def right(data: Dataset, load: int) -> tuple[float, float]:
    """Share of patterns fixed after the day at the load of an index, and its error."""
    return mean_and_error(data.fixed.sel(kind="patterns").isel(epoch=-1, load=load))


@claim("Fig. 3; published: 200 of 200", low=1.0, high=1.0)
def stored_at_low_load(data: Dataset) -> tuple[float, float]:
    """Low load: share of the patterns that every neuron has right."""
    return right(data, 0)


@claim("Fig. 3; published: 440 of 500", low=0.8, high=1.0)
def stored_at_high_load(data: Dataset) -> tuple[float, float]:
    """High load: share of the patterns that every neuron has right."""
    return right(data, -1)


def draw_wake(data: Dataset) -> Figure:
    """Novelty, patterns stored and patterns recalled, epoch by epoch."""
    figure, (row,) = panels(1, 3, 3.6, 2.8)
    (novelty, stored, close), mean = row, data.mean("seed")
    for load, color in shaded(data["load"].values):
        for kind, style in zip(data.kind.values, ("-", "--"), strict=True):
            here = mean.sel(load=load, kind=kind)
            look = {"color": color, "label": f"load {load:g}, {kind}"}
            for panel, name in zip(row, ("novelty", "fixed", "recalled"), strict=True):
                panel.plot(data.epoch, here[name], style, **look)
    novelty.set(ylabel="mean |novelty|", title="Novelty")
    stored.set(ylabel="share right in every neuron", title="Stored", ylim=(-0.03, 1.03))
    close.set(ylabel="share of patterns", title="At most $0.2fN$ errors")
    close.set_ylim(-0.03, 1.03)
    for panel in row:
        panel.set_xlabel("epoch")
    novelty.legend(**TINY)
    return figure


COURSE = {"kind": KINDS, "epoch": lambda config: np.arange(1, config.epochs + 1)}
FIG3_WAKE = Experiment(
    name="fig3_wake",
    source="Fig. 3, wake",
    shows="patterns are stored one by one while new; what is familiar leaves no trace",
    config=Config,
    run=days,
    claims=(
        *(novelty_falls, all_is_familiar, all_is_recalled),
        *(no_synapse_is_lost, stored_at_low_load, stored_at_high_load),
    ),
    figure=draw_wake,
    # no synapse learns, so two epochs, all alike, are enough
    control=changed(wake_rate=0.0, epochs=2),
    axes=dict.fromkeys(("novelty", "fixed", "recalled", "density"), COURSE),
)
