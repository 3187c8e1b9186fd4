"""Pictures of Figs. 10 and 11."""

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._panels import NATURAL, panels, SHADES, THEORY


SHOWN_MEANS = (-5.0, 0.0, 5.0, 10.0, 15.0)  # mV


def global_scale(data: xarray.Dataset) -> Figure:
    """Figure 10: the scale of changes against mean and variance of the voltage."""
    from ..experiments.scale import MEANS, VARIANCES

    figure, axes = panels(1, 2, 3.6, 2.9)
    by_mean, by_variance = axes[0]
    means, scale = np.asarray(MEANS), data.scale.mean("seed").values
    shown = [VARIANCES.index(v) for v in (0.0, 1.0, 10.0, 60.0)]
    for k, color in zip(shown, SHADES, strict=False):
        row, label = scale[k], f"variance {VARIANCES[k]:g} mV$^2$"
        by_mean.semilogy(means, row, color=color, lw=1.3, label=label)
        by_mean.plot(means[row.argmin()], row.min(), "o", ms=4, color=color)
    by_mean.plot(data.place.mean(), data.least.mean(), "+", ms=10, color="black")
    by_mean.set(xlabel="mean voltage (mV)", ylabel="$\\gamma_s$ (mV$^2$/Hz)")
    by_mean.legend(frameon=False, fontsize="small")
    for mean, color in zip(SHOWN_MEANS, SHADES, strict=False):
        column = scale[:, abs(means - mean).argmin()]
        label = f"mean {mean:g} mV"
        by_variance.semilogy(VARIANCES, column, "o-", ms=3, color=color, label=label)
    by_variance.set(xlabel="variance (mV$^2$)", ylabel="$\\gamma_s$ (mV$^2$/Hz)")
    by_variance.set_ylim(top=6 * scale[0, abs(means + 5).argmin()])
    by_variance.legend(frameon=False, fontsize="small", ncols=2, loc="upper right")
    return figure


def inverse_coefficients(data: xarray.Dataset) -> Figure:
    """Figure 11: coefficients by rate and by number of inputs; their limits."""
    figure, axes = panels(2, 5, 2.9, 2.6)
    many = data.sel(size=int(data.shown))
    slow = data.sel(rate=20.0)
    names = {"g1": "$g_1$", "g2": "$g_2$ (1/mV)", "g4": "$g_4$ (1/mV$^2$)"}
    for k, (name, label) in enumerate(names.items()):
        limit = f"limit{name[1]}"
        _scatter(axes[0, k], many.rate.values, many[name], many[limit])
        axes[0, k].set(xlabel=f"input rate (Hz), n = {int(data.shown)}", ylabel=label)
        _scatter(axes[1, k], slow["size"].values, slow[name], slow[limit])
        axes[1, k].set(xlabel="number of inputs n, 20 Hz", ylabel=label, xscale="log")
    axes[0, 0].legend(frameon=False, fontsize="small", loc="lower right")
    weighted = (many.g4 * data.voltage).transpose(*data.voltage.dims)
    _against(axes[0, 3], 1 / data.q, -data.g1, "1 / q", "$-g_1$")
    axes[0, 3].set(xscale="log", yscale="log")
    uniform = "$\\gamma_u$ (1/mV)"
    _against(axes[0, 4], data.uniform_limit, data.uniform, "its limit (1/mV)", uniform)
    factor = "$\\gamma_w$ (1/mV)"
    _against(axes[1, 3], weighted, data.proportional, "$g_4 V$ (1/mV)", factor)
    _against(axes[1, 4], data.voltage, data.proportional, "$V$ (mV)", factor, 0.05)
    return figure


def _scatter(
    panel: Axes, at: np.ndarray, values: xarray.DataArray, limit: xarray.DataArray
) -> None:
    """All weights, their mean, and the mean of the limit for many inputs."""
    rows = values.transpose("seed", ...).values
    panel.plot(at, rows.T, ".", color=NATURAL, ms=2, alpha=0.3)
    panel.plot(at, rows.mean(0), "o-", color=NATURAL, ms=4, label="mean")
    panel.plot(at, limit.mean("seed"), "--", color=THEORY, label="limit, many inputs")


def _against(
    panel: Axes, x: Any, y: Any, across: str, up: str, slope: float = 1.0
) -> None:
    """All entries of two arrays, and the line that the approximation means."""
    x, y = np.ravel(x.values), np.ravel(y.values)
    panel.plot(x, y, ".", color=NATURAL, ms=2, alpha=0.3)
    ends = np.array([x.min(), x.max()])
    panel.plot(ends, slope * ends, "--", color=THEORY)
    panel.set(xlabel=across, ylabel=up)
