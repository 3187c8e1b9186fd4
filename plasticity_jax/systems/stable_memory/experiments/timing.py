"""Beyond the paper: learning by timing windows that do not mirror each other."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from ....experiment import changed, claim, Experiment, panels, SHADES, THEORY
from ....measure import expansion, rotation
from ..config import Config
from . import learning
from .learning import Planes, with_error


# Delta = B - phi phi^T + 2 delta phi phi^T for saturated activity slower than traces:
# with equal gains the Hebbian part wins above this imbalance
CRITICAL = 0.5
TIME = {"time": learning.record_times}


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
    seen = learning.in_planes(planes, state, signals, changes)
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
    start = learning.settled(config, for_start)
    planes = learning.all_planes(config, for_planes)
    record = jax.tree_util.Partial(leaky, planes[:1], config.gain)
    task = learning.turned(config, planes[0])
    seen, _ = learning.in_stages(config, start, task, record, for_run)
    count = config.steps("duration") // config.steps("record_every")
    power, restraint = (jnp.mean(seen[k][:count]) for k in ("power", "restraint"))
    turn, grow = window_weights(config)
    time = config.plasticity * config.duration
    growth = config.learning_gain * power * grow
    if config.homeostasis == "decorrelation":
        growth = growth + config.homeostasis_gain * (config.correlation - restraint / 2)
    before = start[1].synapses
    return {
        **seen,
        "written": seen["rotation"][count - 1] - rotation(before, *planes[0]),
        "grown": seen["expansion"][count - 1] - expansion(before, *planes[0]),
        "predicted_written": -time * config.learning_gain * power * turn,
        "predicted_grown": time * growth,
        "kept": seen["rotation"][-1] / seen["rotation"][count - 1],
        "spreading": seen["spread"][-1] / jnp.sqrt(jnp.mean(before**2)),
    }


# --- unequal windows leak into the symmetric part as the law says; it is borne --------

OVER = ("imbalance", "late_trace_ratio")
BORNE = "derived: homeostasis bears imbalances below 1/2"


def moderate(data: Dataset) -> Dataset:
    """The imbalances below the critical one."""
    return data.isel(imbalance=abs(data.imbalance) < CRITICAL)


@claim("derived", low=0.85, high=1.15, control=None)
def leaks_as_the_law(data: Dataset) -> tuple[float, float]:
    """Symmetric change of the plane that unequal windows add, over the law of clamped
    activity (slope over imbalances and widths below the critical).
    """
    leak = lambda rows: rows - rows.sel(imbalance=0.0, late_trace_ratio=1.0)
    here = moderate(data)
    got, law = leak(here.grown), leak(here.predicted_grown)
    slope = (got * law).sum(OVER, skipna=False) / (law**2).sum(OVER, skipna=False)
    return with_error(slope)


@claim("derived", low=0.85, high=1.15, control=None)
def writes_as_the_law(data: Dataset) -> tuple[float, float]:
    """Anti-symmetric change there, over the law."""
    here = moderate(data)
    return with_error((here.written / here.predicted_written).mean(OVER, skipna=False))


@claim(BORNE, low=0.0, high=0.05)
def is_kept(data: Dataset) -> float:
    """Share by which A moves once learned, imbalance below the critical one (largest
    over networks, imbalances, widths).
    """
    return float(abs(moderate(data).kept - 1).max(skipna=False))


@claim(BORNE, low=0.0, high=2.0)
def weights_spread_little(data: Dataset) -> float:
    """Factor by which all weights spread there (largest)."""
    return float(moderate(data).spreading.max(skipna=False))


@claim("derived: slow saturated modes escape", low=2.0, control=None)
def weights_escape(data: Dataset) -> float:
    """The same for the largest imbalance, above the critical one (mean)."""
    most = data.sel(imbalance=data.imbalance.max())
    return float(most.spreading.mean(skipna=False))


def draw_timing(data: Dataset) -> Figure:
    """What windows write by imbalance and width, what is kept, how weights spread."""
    figure, axes = panels(1, 4, 3.2, 2.8)
    mean = data.mean("seed", skipna=False)
    shown = {
        "written": "change of $A$",
        "grown": "change of $S$",
        "kept": "share of $A$ kept",
        "spreading": "spread of all weights (factor)",
    }
    for panel, (name, what) in zip(axes[0], shown.items(), strict=True):
        for ratio, color in zip(data.late_trace_ratio.values, SHADES, strict=False):
            row, style = mean.sel(late_trace_ratio=ratio), {"color": color, "ms": 4}
            law, label = row.get(f"predicted_{name}"), f"$\\tau_-/\\tau_+$ = {ratio:g}"
            line = "o-" if law is None else "o"
            panel.plot(data.imbalance, row[name], line, label=label, **style)
            if law is not None:
                panel.plot(data.imbalance, law, "--", **style)
        panel.set(xlabel="imbalance of the windows", ylabel=what)
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
    claims=(
        leaks_as_the_law,
        writes_as_the_law,
        is_kept,
        weights_spread_little,
        weights_escape,
    ),
    figure=draw_timing,
    control=changed(homeostasis="none"),
    axes=dict.fromkeys(("rotation", "expansion", "power", "restraint", "spread"), TIME),
)
