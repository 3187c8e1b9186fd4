"""Figure 3, awake: patterns and sequences stored in one shot while they are new."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import simulate, State
from ....circuits import memories_of
from ....experiment import Claim, Experiment, panels, Plan, SHADES
from ....measure import density, recalled
from ....signals import NoveltySignals
from ..config import Config, memories, wake
from ..domains import unless_lost


KINDS = ("patterns", "sequence")  # what a pattern calls: itself, or the next one
TENTH = 0.1  # of the first epoch's novelty


def record_novelty(
    state: State, signals: NoveltySignals, changes: dict[str, Any]
) -> Float[Array, ""]:
    """Size of the novelty signal of every presentation."""
    del state, changes
    return jnp.abs(signals.novelty)


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
        state, novelty = simulate(
            system, state, for_run, steps=config.patterns, record=record_novelty
        )
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
    each = [waking(config, key, shift) for shift in range(len(KINDS))]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


def label(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; no theory."""
    del keys
    epochs = np.arange(1, plan.config.epochs + 1)
    return xarray.Dataset(coords={"kind": list(KINDS), "epoch": epochs})


def without_plasticity(plan: Plan) -> Plan:
    """Negative control: no synapse learns, so two epochs, all alike, are enough."""
    config = dataclasses.replace(plan.config, wake_rate=0.0, epochs=2)
    return plan._replace(config=config)


def claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Novelty fades as patterns become familiar, and no synapse is lost awake."""

    def end(data: xarray.Dataset, name: str) -> xarray.DataArray:
        return data[name].mean("seed", skipna=False).isel(epoch=-1)

    def left(data: xarray.Dataset) -> float:
        novelty = data.novelty.mean("seed", skipna=False)
        return float((novelty.isel(epoch=-1) / novelty.isel(epoch=0)).max(skipna=False))

    novelty = data.novelty.mean("seed", skipna=False)
    share = novelty / novelty.isel(epoch=0)
    few = share.isel(epoch=slice(1, None)) <= TENTH
    rise = share.diff("epoch").where(~few, -math.inf)
    low, high = (float(data["load"][k]) for k in (0, -1))
    error = data.fixed.isel(epoch=-1).std("seed", ddof=1) / data.sizes["seed"] ** 0.5
    if data.sizes["seed"] == 1:
        error = xarray.full_like(error, math.nan)
    least = lambda data, load, kind: float(
        end(data, "fixed").sel(load=load, kind=kind).min(skipna=False)
    )
    result = [
        Claim(
            "novelty falls from epoch to epoch while a tenth is left (largest rise of "
            "the mean, share of the first epoch's); later few patterns make the mean",
            "Fig. 3; spec. E7",
            float(rise.max(skipna=False)),
            -math.inf,
            0.0,
        ),
        Claim(
            "novelty left in the last epoch, share of the first (largest)",
            "Fig. 3; spec. E7: 0 once all is familiar",
            left(data),
            0.0,
            0.05,
            control=left(control),
        ),
        Claim(
            "patterns recalled after the day (least share, patterns and sequences)",
            "Fig. 3; spec. E7: tends to 1",
            float(end(data, "recalled").min(skipna=False)),
            0.95,
            1.0,
            control=float(end(control, "recalled").min(skipna=False)),
        ),
        Claim(
            "synapses that are not pruned after the day (least share)",
            "Fig. 3; spec. E7",
            float(end(data, "density").min(skipna=False)),
            0.99,
            1.0,
        ),
    ]
    for load, bound, source in (
        (low, 1.0, "published: 200 of 200"),
        (high, 0.8, "published: 440 of 500"),
    ):
        result.append(
            Claim(
                f"load {load:g}: share of the patterns that every neuron has right",
                f"Fig. 3; {source}",
                least(data, load, "patterns"),
                bound,
                1.0,
                float(error.sel(load=load, kind="patterns")),
                least(control, load, "patterns"),
            )
        )
    return result


def draw_wake(data: xarray.Dataset) -> Figure:
    """Novelty, patterns stored and patterns recalled, epoch by epoch."""
    figure, axes = panels(1, 3, 3.6, 2.8)
    novelty, stored, close = axes[0]
    mean = data.mean("seed")
    for load, color in zip(data["load"].values, SHADES, strict=False):
        for kind, style in {"patterns": "-", "sequence": "--"}.items():
            here = mean.sel(load=load, kind=kind)
            label = f"load {load:g}, {kind}"
            novelty.plot(data.epoch, here.novelty, style, color=color, label=label)
            stored.plot(data.epoch, here.fixed, style, color=color)
            close.plot(data.epoch, here.recalled, style, color=color)
    novelty.set(ylabel="mean |novelty|", title="Novelty")
    stored.set(ylabel="share right in every neuron", title="Stored", ylim=(-0.03, 1.03))
    close.set(ylabel="share of patterns", title="At most $0.2fN$ errors")
    close.set_ylim(-0.03, 1.03)
    for panel in axes[0]:
        panel.set_xlabel("epoch")
    novelty.legend(frameon=False, fontsize="x-small")
    return figure


FIG3_WAKE = Experiment(
    name="fig3_wake",
    source="Fig. 3, wake",
    shows=(
        "patterns are stored one by one while they are new; what is familiar leaves no "
        "trace"
    ),
    config=Config,
    run=days,
    claims=claims,
    figure=draw_wake,
    control=without_plasticity,
    dims=dict.fromkeys(("novelty", "fixed", "recalled", "density"), ("kind", "epoch")),
    predict=label,
)
