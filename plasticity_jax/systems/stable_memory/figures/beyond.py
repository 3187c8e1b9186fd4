"""Beyond the paper: repair of recall, and the lifetime of a memory."""

import numpy as np
import xarray
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


def compensation(data: xarray.Dataset) -> Figure:
    """Recall error against the ratio of repair to noise; the law of the Hessian."""
    figure, axes = panels(1, 2, 4.2, 3.2)
    left, right = axes[0]
    for rho, colour in zip(data.corruption.values, SHADES, strict=False):
        here = data.sel(corruption=rho)
        mean, spread = here.loss.mean("seed"), here.loss.std("seed")
        left.errorbar(
            data.ratio,
            mean,
            spread,
            fmt="o-",
            color=colour,
            ms=4,
            capsize=2,
            label=f"corruption {rho:g}",
        )
        law = here.predicted_loss.mean("seed")
        left.plot(data.ratio, law, "--", color=colour, lw=1)
    left.plot([], [], "--", color=THEORY, lw=1, label="law of the Hessian")
    left.axvline(1.0, color=THEORY, lw=0.7, ls=":")
    left.set(xscale="log", yscale="log")
    left.set(xlabel="repair / fluctuation", ylabel="recall error")
    left.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    left.minorticks_off()
    left.legend(frameon=False, fontsize=8)
    modes = np.arange(1, data.sizes["mode"] + 1)
    for spectrum in data.eigenvalue.transpose("seed", "mode").values:
        right.plot(modes, spectrum[::-1], color=SHADES[0], lw=0.8)
    right.set(xscale="log", yscale="log", xlabel="direction of the weights")
    right.set_ylabel("curvature of the recall error")
    return figure


def lifetime(data: xarray.Dataset) -> Figure:
    """Fading against the gain with its derivatives; sensitivity against the horizon."""
    figure, axes = panels(1, 2, 4.2, 3.2)
    left, right = axes[0]
    here = data.sel(rule="decorrelation")
    rate, slope = here.rate.mean("seed"), here.slope.isel(horizon=1).mean("seed")
    left.plot(data.gain, 1e4 * here.rate.values, ".", color=SHADES[0], alpha=0.4)
    left.plot(data.gain, 1e4 * rate, "o-", color=SHADES[0], label="runs")
    for gain, middle, tangent in zip(data.gain.values, rate, slope, strict=True):
        reach = np.array([-0.06, 0.06])
        line = 1e4 * (float(middle) + float(tangent) * reach)
        left.plot(gain + reach, line, color=SHADES[2], lw=2)
    left.plot([], [], color=SHADES[2], lw=2, label="derivative, by reverse mode")
    left.set(xlabel="postsynaptic gain $c$", ylabel="fading ($10^{-4}$ per unit time)")
    left.axhline(0.0, color=THEORY, lw=0.7)
    left.legend(frameon=False, fontsize=8)
    for rule, colour in zip(data.rule.values, SHADES, strict=False):
        size = np.abs(data.slope.sel(rule=rule)) * data.horizon
        middle = size.median([d for d in size.dims if d != "horizon"])
        right.plot(data.horizon, middle, "o-", color=colour, label=f"{rule}: slope")
        size = np.abs(data.secant.sel(rule=rule)) * data.horizon
        middle = size.median([d for d in size.dims if d != "horizon"])
        right.plot(data.horizon, middle, "x", color="black", ms=5)
    right.plot([], [], "x", color="black", label="central difference")
    right.set(yscale="log", xlabel="horizon (neural time constants)")
    right.set_ylabel("|derivative of ln A|, median")
    right.legend(frameon=False, fontsize=8)
    return figure
