"""Learning curves, and times to the threshold."""

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..mean_field import THRESHOLD
from ._panels import COLOURS, panels, SHADES, THEORY


MINUTE = 60.0


def _curve(panel: Axes, data: xarray.Dataset, name: str, spread: bool) -> None:
    """Mean over trials of every student, its range, theory where there is one."""
    minutes = data.time.values / MINUTE
    for student in data.student.values:
        runs = data[name].sel(student=student).transpose("seed", "time")
        colour = COLOURS[student]
        label = student.replace("_", " ")
        panel.plot(minutes, runs.mean("seed"), color=colour, lw=1.6, label=label)
        if spread:
            low, high = runs.min("seed"), runs.max("seed")
            panel.fill_between(minutes, low, high, color=colour, alpha=0.12, lw=0)
        law = data.predicted_divergence.sel(student=student)
        if name == "divergence" and np.isfinite(law.values).all():
            panel.plot(minutes, law, "--", color=colour, lw=1.0)
    panel.set_xlabel("time (min)")


def _divergence(panel: Axes, data: xarray.Dataset, spread: bool = False) -> None:
    _curve(panel, data, "divergence", spread)
    panel.axhline(THRESHOLD, color=THEORY, lw=0.8, ls=":")
    panel.set_yscale("log")
    panel.set_ylabel("divergence per 0.5 ms")


def _family(panel: Axes, data: xarray.Dataset, axis: str, label: str) -> None:
    """Mean curves of one student along an axis of the grid."""
    for shade, value in zip(SHADES, data[axis].values, strict=False):
        curve = data.divergence.sel({axis: value}).mean("seed")
        panel.plot(data.time / MINUTE, curve, color=shade, label=label.format(value))
    panel.axhline(THRESHOLD, color=THEORY, lw=0.8, ls=":")
    panel.set(xlabel="time (min)", ylabel="divergence per 0.5 ms", yscale="log")
    panel.legend(frameon=False, fontsize="small")


def learning_curves(data: xarray.Dataset) -> Figure:
    """Divergence (shaded: range over trials; dashed: theory), distance, rate error."""
    figure, axes = panels(1, 3, 3.8, 3.0)
    few = data.sizes["student"] <= 3
    _divergence(axes[0, 0], data, spread=few)
    for panel, name, says in (
        (axes[0, 1], "distance", "distance of weights from teacher"),
        (axes[0, 2], "rate_error", "rate error (Hz, root mean square)"),
    ):
        _curve(panel, data, name, spread=False)
        panel.set_ylabel(says)
        panel.set_ylim(0, 1.3 * float(data[name].isel(time=0).mean()))
    handles, labels = axes[0, 2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False)
    return figure


def patterns(data: xarray.Dataset) -> Figure:
    """A panel per pair of input rates."""
    from ..experiments.curves import PATTERN

    count = data.sizes[PATTERN]
    figure, axes = panels(1, count, 3.2, 2.9)
    for i, panel in enumerate(axes[0]):
        here = data.isel({PATTERN: i})
        _divergence(panel, here)
        panel.set_title(f"{float(here.low_rate):g} / {float(here.high_rate):g} Hz")
        if i:
            panel.set_ylabel("")
    axes[0, -1].legend(frameon=False, fontsize="small")
    return figure


def robustness(data: xarray.Dataset) -> Figure:
    """Time to the threshold against the learning rate; learning curves at both ends."""
    from ..experiments.learning import crossing, crossing_error

    figure, axes = panels(1, 2, 4.2, 3.0)
    panel, factors = axes[0, 0], data.rate_factor.values
    for student in ("euclidean", "natural"):
        at = [data.sel(rate_factor=f) for f in factors]
        times = np.array([crossing(here, student) for here in at]) / MINUTE
        errors = np.array([crossing_error(here, student) for here in at]) / MINUTE
        law = data.predicted_time.sel(student=student) / MINUTE
        colour = COLOURS[student]
        style: dict[str, Any] = {"marker": "o", "ms": 4, "lw": 1.4, "color": colour}
        panel.errorbar(factors, times, errors, label=student, **style)
        panel.plot(factors, law, "--", color=colour, lw=1.0)
    panel.set(xlabel="learning rate / tuned", ylabel="time to threshold (min)")
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False)
    _family(axes[0, 1], data.sel(student="natural"), "rate_factor", "natural, {:g}")
    return figure


def uniform_constant(data: xarray.Dataset) -> Figure:
    """Residual divergence of the approximate rule against its uniform constant."""
    from ..experiments.learning import floor

    figure, axes = panels(1, 2, 4.2, 3.0)
    panel, values = axes[0, 0], data.uniform.values
    floors = [floor(data.sel(uniform=u), "approximate") for u in values]
    law: Any = data.predicted_divergence.sel(student="approximate").isel(time=-1)
    colour = COLOURS["approximate"]
    panel.plot(values, floors, "o-", ms=4, color=colour, label="simulated")
    panel.plot(values, law, "--", color=colour, lw=1.0, label="theory, without c_w")
    panel.set(xlabel="c_u / area of the potential", ylabel="residual divergence")
    panel.set_yscale("log")
    panel.legend(frameon=False)
    _family(axes[0, 1], data.sel(student="approximate"), "uniform", "c_u = {:g}")
    return figure
