"""Pictures of the controls and variants of consolidation, and of replay policies."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


def variants(data: xarray.Dataset) -> Figure:
    """Every variant: its share of either optimum, and its density of synapses."""
    from ..experiments.variants import summary, VARIANTS

    names = list(VARIANTS)
    seen = summary(data).sel(variant=names)
    place = np.arange(len(names))[::-1]
    figure, ((first, second, third),) = panels(1, 3, 3.7, 4.2)
    for panel, norm in ((first, 1), (second, 2)):
        rows = seen.reached.sel(norm=norm).transpose("variant", "seed").values
        shown = np.clip(rows, 0.0, None)
        panel.barh(place, shown.mean(axis=1), 0.7, color=SHADES[norm - 1])
        panel.plot(shown, place, ".", color="black", ms=4)
        panel.axvline(1, color=THEORY, ls="--")
        panel.set(xlabel=f"$\\mathrm{{SNR}}_{norm}$ / exact optimum", xlim=(0, 1.08))
    rows = seen.density.transpose("variant", "seed").values
    third.barh(place, rows.mean(axis=1), 0.7, color=SHADES[2])
    third.plot(rows, place, ".", color="black", ms=4)
    best = float(seen.best_density.mean())
    third.axvline(best, color=THEORY, ls="--", label="optimum of q = 1")
    third.set(xlabel="density of synapses", xlim=(0, 1.3))
    third.legend(frameon=False, fontsize="small", loc="upper right")
    first.set_yticks(place, names)
    for panel in (second, third):
        panel.set_yticks(place, [])
    for row in np.flatnonzero(seen.stored.mean("seed").values < 0.5):
        first.text(0.02, place[row], "errors remain", va="center", fontsize="small")
    lost = seen.reached.sel(norm=1).mean("seed", skipna=False).isnull()
    for row in np.flatnonzero(lost.values):
        words = "some neurons lose all synapses"
        first.text(0.02, place[row], words, va="center", fontsize="small")
    return figure


def noisy(data: xarray.Dataset) -> Figure:
    """The gap to the optimum and the slope of gains, by errors about the weakest."""
    return _policy(data, "replay_noise", "error / mean field")


def soft(data: xarray.Dataset) -> Figure:
    """The gap to the optimum, its theory and the slope of gains, by sharpness."""
    return _policy(data, "sharpness", "sharpness")


def _policy(data: xarray.Dataset, axis: str, words: str) -> Figure:
    """Gaps in time and at the end, slopes of gains, along one axis of the sweep."""
    from ..experiments.policies import summary

    seen = summary(data)
    figure, ((courses, gaps, slopes),) = panels(1, 3, 3.8, 3.0)
    values, legend = seen[axis].values, {"frameon": False, "fontsize": "small"}
    shown = values[np.linspace(0, len(values) - 1, 5).round().astype(int)]
    for k, value in enumerate(np.unique(shown)):
        gap = np.maximum(1 - seen.course.sel({axis: value}), 1e-4)
        courses.semilogy(data.time / 1e3, gap, color=SHADES[k], label=f"{value:.2g}")
    courses.set(xlabel="thousand cycles", ylabel="relative gap to the optimum")
    courses.set_ylim(top=100 * courses.get_ylim()[1])
    courses.legend(title=words, title_fontsize="small", ncols=2, **legend)
    gap = np.maximum(1 - seen.reached, 1e-4)
    gaps.loglog(values, gap, "o-", ms=4, color=SHADES[0], label="measured")
    if "law" in seen:
        gaps.loglog(values, seen.law, "--", color=THEORY, label="theory")
    gaps.set(xlabel=words, ylabel="relative gap at the end")
    gaps.legend(**legend)
    for k, name in enumerate(("early", "late")):
        slopes.semilogx(values, seen[name], "o-", ms=4, color=SHADES[k], label=name)
    slopes.axhline(0, color=THEORY, lw=0.8)
    slopes.set(xlabel=words, ylabel="slope of gain by initial strength")
    slopes.set_ylim(-0.2, 1.0)
    slopes.legend(**legend)
    return figure
