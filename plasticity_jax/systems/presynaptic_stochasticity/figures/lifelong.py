"""Pictures of learning one task after the other."""

from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


LEGEND: dict[str, Any] = {"frameon": False, "fontsize": "small"}


def split(data: xarray.Dataset) -> Figure:
    """First task in time, final accuracies, forgetting, and what has frozen."""
    from ..experiments.lifelong import METHODS, summary

    names = list(METHODS)
    seen = summary(data).mean("seed", skipna=False).sel(learner=names)
    place = np.arange(len(names))[::-1]
    figure, ((first, final, lost, levels),) = panels(1, 4, 3.5, 3.2)
    _first_task(first, seen, names)
    final.barh(place, seen["mean"], 0.7, color=SHADES)
    final.axvline(float(data.joint.mean()), color=THEORY, ls="--", label="all at once")
    final.set(xlabel="mean accuracy after the last task", xlim=(0.4, 1.0))
    final.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), **LEGEND)
    final.set_yticks(place, names)
    lost.barh(place, seen.forgetting, 0.7, color=SHADES)
    lost.set(xlabel="forgetting (accuracy)")
    lost.axvline(0, color="black", lw=0.8)
    lost.set_yticks(place, [])
    _levels(levels, data)
    return figure


def permuted(data: xarray.Dataset) -> Figure:
    """First task in time, every task at the end, and what has frozen."""
    from ..experiments.lifelong import summary

    names = ["presynaptic", "SGD"]
    seen = summary(data).mean("seed", skipna=False)
    figure, ((first, final, levels),) = panels(1, 3, 3.5, 3.0)
    _first_task(first, seen, names)
    end = data.accuracy.isel(after=-1).mean("seed", skipna=False)
    for k, name in enumerate(names):
        final.plot(data.task, end.sel(learner=name), "o-", ms=4, color=SHADES[k])
    final.set(xlabel="task", ylabel="accuracy after the last task")
    final.set_xticks(data.task)
    _levels(levels, data)
    return figure


def ablations(data: xarray.Dataset) -> Figure:
    """Every variant: mean accuracy and forgetting, and its mean release probability."""
    from ..experiments.ablations import summary, VARIANTS

    names = list(VARIANTS)
    seen = summary(data).sel(learner=names).transpose("learner", "seed", ...)
    place = np.arange(len(names))[::-1]
    figure, (row,) = panels(1, 3, 3.6, 3.6)
    for k, (name, words) in enumerate(
        (("mean", "mean accuracy after the last task"), ("forgetting", "forgetting"))
    ):
        row[k].barh(place, seen[name].mean("seed"), 0.7, color=SHADES[k])
        row[k].plot(seen[name].values, place, ".", color="black", ms=3)
        row[k].axvline(
            float(seen[name].sel(learner="full").mean()), color=THEORY, ls="--"
        )
        row[k].set(xlabel=words)
        row[k].set_yticks(place, names if k == 0 else [])
    row[0].set_xlim(0.4, 1.0)
    end = data.frozen.isel(after=-1).mean("seed").sel(learner=names)
    row[2].barh(place, end, 0.7, color=SHADES[2])
    row[2].set(xlabel="frozen share of the synapses", xlim=(0, 1))
    row[2].set_yticks(place, [])
    return figure


def tuning(data: xarray.Dataset) -> Figure:
    """Mean accuracy along every sweep, and beside the forgetting that it costs."""
    from ..experiments.tuning import SWEPT

    seen = data.where(data.stable > 0).mean("seed", skipna=False)
    own = data[["own_mean", "own_forgetting"]].mean("seed", skipna=False)
    figure, (row,) = panels(1, len(SWEPT) + 1, 3.0, 2.9)
    trade = row[-1]
    for k, (name, (field, _)) in enumerate(SWEPT.items()):
        here = seen.sel(learner=name)
        row[k].semilogx(
            data.value.sel(learner=name), here["mean"], "o-", ms=4, color=SHADES[k]
        )
        row[k].axhline(float(own.own_mean), color=THEORY, ls="--")
        row[k].set(xlabel=f"{name}: {field}", ylim=(0.4, 1.0))
        trade.plot(here.forgetting, here["mean"], "o-", ms=4, color=SHADES[k])
        trade.lines[-1].set_label(name)
    row[0].set(ylabel="mean accuracy")
    trade.plot(own.own_forgetting, own.own_mean, "*", ms=12, color="black")
    trade.lines[-1].set_label("presynaptic")
    trade.set(xlabel="forgetting (accuracy)", ylabel="mean accuracy", ylim=(0.4, 1.0))
    trade.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), **LEGEND)
    return figure


def _first_task(panel: Any, seen: xarray.Dataset, names: list[str]) -> None:
    """Accuracy on the first task after every task."""
    for k, name in enumerate(names):
        course = seen["first"].sel(learner=name)
        panel.plot(seen.after, course, "o-", ms=4, color=SHADES[k], label=name)
    panel.set(xlabel="tasks learned", ylabel="accuracy on the first task")
    panel.set_xticks(seen.after)
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, **LEGEND)


def _levels(panel: Any, data: xarray.Dataset) -> None:
    """Mean release probability and frozen share after every task."""
    seen = data.mean("seed", skipna=False)
    for k, (name, words) in enumerate(
        (("probability", "mean release probability"), ("frozen", "frozen share"))
    ):
        panel.plot(data.after, seen[name], "o-", ms=4, color=SHADES[k], label=words)
    panel.set(xlabel="tasks learned", ylim=(0, 1))
    panel.set_xticks(data.after)
    panel.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), **LEGEND)
