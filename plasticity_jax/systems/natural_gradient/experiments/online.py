"""Beyond the paper: a neuron that estimates the moments of its inputs itself."""

import numpy as np
from matplotlib.figure import Figure
from xarray import Dataset

from ....experiment import changed, claim, panels
from ..mean_field import THRESHOLD
from .curves import FIG3F
from .learning import COLOURS, crossing, crossing_error, floor, MINUTE


def over_told(data: Dataset) -> list[float]:
    """Time to the threshold over that of the neuron that is told, every time."""
    at = [data.sel(estimate_time=x) for x in data.estimate_time.values]
    return [crossing(x, "estimated") / crossing(x, "natural") for x in at]


@claim("mean-field theory, 15 %", low=0.85, high=1.15, control=None)
def settles_alike(data: Dataset) -> float:
    """With estimates over the longest time it settles as when told (floor over its)."""
    here = data.isel(estimate_time=-1)
    return floor(here, "estimated") / floor(here, "natural")


@claim("derived: a fast estimate follows single spikes", low=1.01)
def fast_estimates_harm(data: Dataset) -> float:
    """With those over the shortest it learns later (time over that of natural)."""
    return over_told(data)[0]


def draw_estimates(data: Dataset) -> Figure:
    """Time to the threshold and residual divergence against the time of estimates."""
    figure, axes = panels(1, 2, 4.2, 3.0)
    times = data.estimate_time.values
    at = [data.sel(estimate_time=x) for x in times]
    for student, label in (("natural", "told"), ("estimated", "estimated")):
        how = {"color": COLOURS[student], "label": label, "marker": "o", "ms": 4}
        minutes = [crossing(x, student) / MINUTE for x in at]
        spread = [crossing_error(x, student) / MINUTE for x in at]
        axes[0, 0].errorbar(times, np.asarray(minutes), spread, **how)
        axes[0, 1].plot(times, [floor(x, student) for x in at], **how)
    axes[0, 1].axhline(THRESHOLD, color="0.5", lw=0.8, ls=":")
    for panel in axes[0]:
        panel.set(xscale="log", xlabel="time of estimates (s)")
    axes[0, 0].set(ylabel="time to threshold (min)", ylim=(0, None))
    axes[0, 1].set(ylabel="residual divergence per 0.5 ms", yscale="log")
    axes[0, 0].legend(frameon=False)
    return figure


ONLINE = FIG3F._replace(
    name="online",
    source="beyond the paper",
    shows="a neuron that estimates rates and moments of its inputs while it learns",
    claims=(settles_alike, fast_estimates_harm),
    figure=draw_estimates,
    control=changed(metric=False),
)
