"""Beyond the paper: learning by timing windows that do not mirror each other."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import expansion, rotation
from ....tasks import Drive, turning
from ..config import Config
from .learning import all_planes, in_planes, in_stages, Planes, settled


# Delta = B - phi phi^T + 2 delta phi phi^T for saturated activity slower than traces:
# with equal gains the Hebbian part wins above this imbalance
CRITICAL = 0.5


def window_weights(config: Config) -> tuple[Array, Array]:
    r"""What clamped rotating activity writes, per $\eta\kappa_Lc^2t$: $(-A, S)$.

    For $\phi = c(\cos\omega t\,u + \sin\omega t\,v)$ and $\Delta = a_+\phi y_+^\top -
    a_- y_-\phi^\top$ the mean over whole turns is $-\frac12(a_+h_+ + a_-h_-)$ for $A$
    and $\frac12(a_+g_+ - a_-g_-)$ for $S$, with $g_\pm = 1/(1 + \omega^2\tau_\pm^2)$,
    $h_\pm = \omega\tau_\pm g_\pm$. Equal time constants: $h$ and $\delta g$, so $S/A =
    \delta/\omega\tau$.
    """
    areas = jnp.stack([1 + config.imbalance, 1 - config.imbalance])
    ratio = jnp.stack([jnp.ones_like(config.late_trace_ratio), config.late_trace_ratio])
    turn = config.frequency * config.trace_time * ratio
    near = areas / (1 + turn**2)
    return jnp.sum(near * turn) / 2, (near[0] - near[1]) / 2


def leaky(
    planes: Planes, gain: Array, state: Any, signals: Any, changes: Any
) -> dict[str, Array]:
    r"""Coefficients, the restraint's power in the plane, the rms of the weights.

    `restraint` is $\tanh(cx)^\top Q\tanh(x)$ with $Q$ the projector on the plane.
    """
    x = signals.potential
    post, pre = planes[0] @ jnp.tanh(gain * x), planes[0] @ jnp.tanh(x)
    seen = in_planes(planes, state, signals, changes)
    return {
        **{name: rows[0] for name, rows in seen.items()},
        "restraint": post @ pre,
        "spread": jnp.sqrt(jnp.mean(state.synapses**2)),
    }


def leaked(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""One plane learned with windows of unequal area and width, and kept.

    In time: `rotation`, `expansion`, `power`, `restraint`, `spread` (`leaky`). Changes
    over the stimulus, `written` of $A$ and `grown` of $S$, beside those that clamped
    activity of this power would make; then the share of $A$ `kept` to the end, and by
    what factor all weights are `spreading`.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    system, start = settled(config, for_start)
    planes = all_planes(config, for_planes)
    steps, every = config.steps("duration"), config.steps("record_every")
    course = turning(steps, config.step, 0.0, config.duration, config.frequency)
    axes = config.amplitude * config.size**0.5 * planes[0]
    seen, _ = in_stages(
        dataclasses.replace(system, task=Drive(axes, course, "silence")),
        start,
        for_run,
        jax.tree_util.Partial(leaky, planes[:1], config.gain),
        stages=1 + round(config.follow / config.duration),
        steps=steps,
        every=every,
    )
    count = steps // every
    power, restraint = (jnp.mean(seen[k][:count]) for k in ("power", "restraint"))
    turn, grow = window_weights(config)
    time = config.plasticity * config.duration
    growth = config.learning_gain * power * grow
    if config.homeostasis == "decorrelation":
        growth = growth + config.homeostasis_gain * (config.correlation - restraint / 2)
    before = start.synapses
    return {
        **seen,
        "written": seen["rotation"][count - 1] - rotation(before, *planes[0]),
        "grown": seen["expansion"][count - 1] - expansion(before, *planes[0]),
        "predicted_written": -time * config.learning_gain * power * turn,
        "predicted_grown": time * growth,
        "kept": seen["rotation"][-1] / seen["rotation"][count - 1],
        "spreading": seen["spread"][-1] / jnp.sqrt(jnp.mean(before**2)),
    }


DIMS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("rotation", "expansion", "power", "restraint", "spread"), ("time",)
)


def leaked_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Unequal windows leak into the symmetric part as the law says; it is borne."""
    moderate = {"imbalance": abs(data.imbalance) < CRITICAL}
    borne, without = data.isel(moderate), control.isel(moderate)
    most = {"imbalance": float(data.imbalance.max())}

    def leak(rows: xarray.DataArray) -> xarray.DataArray:
        return rows - rows.sel(imbalance=0.0, late_trace_ratio=1.0)

    def slope(rows: xarray.Dataset) -> xarray.DataArray:
        got, law = leak(rows.grown), leak(rows.predicted_grown)
        over = ("imbalance", "late_trace_ratio")
        return (got * law).sum(over, skipna=False) / (law**2).sum(over, skipna=False)

    def lost(rows: xarray.Dataset) -> float:
        return float(abs(rows.kept - 1).max(skipna=False))

    def spreading(rows: xarray.Dataset) -> float:
        return float(rows.spreading.max(skipna=False))

    written = (borne.written / borne.predicted_written).mean(
        ("imbalance", "late_trace_ratio"), skipna=False
    )
    networks = math.sqrt(data.sizes["seed"])
    return [
        Claim(
            "symmetric change of the plane that unequal windows add, over the law of "
            "clamped activity (slope over imbalances and widths below the critical)",
            "derived",
            float(slope(borne).mean(skipna=False)),
            0.85,
            1.15,
            float(slope(borne).std("seed", ddof=1)) / networks,
        ),
        Claim(
            "anti-symmetric change there, over the law",
            "derived",
            float(written.mean(skipna=False)),
            0.85,
            1.15,
            float(written.std("seed", ddof=1)) / networks,
        ),
        Claim(
            "share by which A moves once learned, imbalance below the critical one "
            "(largest over networks, imbalances, widths)",
            "derived: homeostasis bears imbalances below 1/2",
            lost(borne),
            0.0,
            0.05,
            control=lost(without),
        ),
        Claim(
            "factor by which all weights spread there (largest)",
            "derived: homeostasis bears imbalances below 1/2",
            spreading(borne),
            0.0,
            2.0,
            control=spreading(without),
        ),
        Claim(
            "the same for the largest imbalance, above the critical one (mean)",
            "derived: slow saturated modes escape",
            float(data.sel(most).spreading.mean(skipna=False)),
            2.0,
            math.inf,
        ),
    ]


def without_homeostasis(plan: Plan) -> Plan:
    """Negative control: nothing bears the leak."""
    return plan._replace(config=dataclasses.replace(plan.config, homeostasis="none"))


def draw_timing(data: xarray.Dataset) -> Figure:
    """What windows write by imbalance and width, what is kept, how weights spread."""
    figure, axes = panels(1, 4, 3.2, 2.8)
    mean = data.mean("seed", skipna=False)
    for k, ratio in enumerate(data.late_trace_ratio.values):
        row, color = mean.sel(late_trace_ratio=ratio), SHADES[k]
        label = f"$\\tau_-/\\tau_+$ = {ratio:g}"
        for panel, name in zip(axes[0, :2], ("written", "grown"), strict=True):
            panel.plot(data.imbalance, row[name], "o", ms=4, color=color, label=label)
            panel.plot(data.imbalance, row[f"predicted_{name}"], "--", color=color)
        for panel, name in zip(axes[0, 2:], ("kept", "spreading"), strict=True):
            panel.plot(data.imbalance, row[name], "o-", ms=4, color=color, label=label)
    labels = (
        "change of $A$",
        "change of $S$",
        "share of $A$ kept",
        "spread of all weights (factor)",
    )
    for panel, label in zip(axes[0], labels, strict=True):
        panel.set(xlabel="imbalance of the windows", ylabel=label)
    axes[0, 2].set_ylim(0.9, 1.1)
    axes[0, 1].plot([], [], "--", color=THEORY, label="clamped activity")
    bottom, top = axes[0, 1].get_ylim()
    axes[0, 1].set_ylim(bottom, top + 0.6 * (top - bottom))
    axes[0, 1].legend(frameon=False, fontsize="small", loc="upper left")
    return figure


TIMING = Experiment(
    name="timing",
    source="beyond the paper",
    shows="imperfect timing windows: how much symmetric leakage homeostasis tolerates",
    config=Config,
    run=leaked,
    claims=leaked_claims,
    figure=draw_timing,
    control=without_homeostasis,
    dims=DIMS,
)
