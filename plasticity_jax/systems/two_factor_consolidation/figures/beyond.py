"""Beyond the paper: real numbers of factors, fluctuations, release as a factor."""

import xarray
from matplotlib.figure import Figure

from ....experiment import panels, SHADES, THEORY


def continuous(data: xarray.Dataset) -> Figure:
    """Robustness, its derivative and the density against a real number of factors."""
    figure, axes = panels(1, 3, 3.6, 3.2)
    left, middle, right = axes[0]
    mean = data.mean("seed")
    for q, colour in zip(data.norm.values, SHADES, strict=False):
        ratio, slope = mean.ratio.sel(norm=q), mean.slope.sel(norm=q)
        top = float(ratio.max())
        left.plot(data.exponent, ratio / top, "o-", ms=3, color=colour)
        left.axvline(2 / q, color=colour, lw=0.7, ls=":")
        middle.plot(
            data.exponent, slope / top, "o-", ms=3, color=colour, label=f"q = {q:.3g}"
        )
        step = ratio.differentiate("exponent") / top
        middle.plot(data.exponent[1:-1], step[1:-1], "--", lw=0.8, color=THEORY)
    middle.plot([], [], "--", lw=0.8, color=THEORY, label="sweep's differences")
    middle.axhline(0.0, color=THEORY, lw=0.7)
    middle.set_ylim(-0.8, 0.8)
    left.set_ylabel("SNR$_q$ over its largest value")
    middle.set_ylabel("slope of it, by automatic derivative")
    middle.legend(frameon=False, fontsize=7, loc="upper right")
    right.plot(data.exponent, data.density.transpose("exponent", "seed"), ".", ms=3)
    right.plot(data.exponent, mean.density, "-", color=SHADES[0])
    right.set_ylabel("connection density")
    for axis in axes[0]:
        axis.set_xlabel("number of factors $z$")
    return figure


def release(data: xarray.Dataset) -> Figure:
    """Robustness, density and saturation against the homeostatic target."""
    figure, axes = panels(1, 3, 3.6, 3.2)
    left, middle, right = axes[0]
    target = data.target_per_input
    first, second = data["first"] / data.best_first, data.second / data.best_second
    for ratio, colour, label in (
        (first, SHADES[0], "SNR$_1$ / linear programme"),
        (second, SHADES[2], "SNR$_2$ / quadratic programme"),
    ):
        left.plot(target, ratio.mean("seed"), "o-", ms=4, color=colour, label=label)
    left.axhline(1.0, color=THEORY, lw=0.7)
    left.legend(frameon=False, fontsize=7)
    left.set_ylabel("robustness over its optimum")
    middle.plot(target, data.density.mean("seed"), "o-", ms=4, color=SHADES[0])
    for law in (data.sparse, data.dense):
        middle.axhline(float(law.mean()), color=THEORY, lw=0.8, ls="--")
    middle.set_ylabel("connection density")
    right.plot(target, data.saturated.mean("seed"), "o-", ms=4, color=SHADES[1])
    right.set_ylabel("living synapses that always release")
    for axis in axes[0]:
        axis.set(xscale="log", xlabel="homeostatic target $L/N$")
    return figure


def volatility(data: xarray.Dataset) -> Figure:
    """Margin lost against the ratio of replay to noise; curvature at the optimum."""
    figure, axes = panels(1, 2, 4.2, 3.2)
    left, right = axes[0]
    for beta, colour in zip(data.sharpness.values, SHADES, strict=False):
        here = data.sel(sharpness=beta)
        scale = float(here.margin.mean())
        left.errorbar(
            data.ratio,
            here.loss.mean("seed") / scale,
            here.loss.std("seed") / scale,
            fmt="o-",
            color=colour,
            ms=4,
            capsize=2,
            label=f"sharpness {beta:g}",
        )
        for law, style in ((here.predicted_loss, "--"), (here.quadratic, ":")):
            left.plot(data.ratio, law.mean("seed") / scale, style, color=colour, lw=1)
        modes = range(1, data.sizes["mode"] + 1)
        for spectrum in here.eigenvalue.transpose("seed", "mode").values:
            right.plot(modes, spectrum[::-1], color=colour, lw=0.8)
    left.plot([], [], "--", color=THEORY, lw=1, label="law of the Hessian")
    left.plot([], [], ":", color=THEORY, lw=1, label="its quadratic, run")
    left.axvline(1.0, color=THEORY, lw=0.7)
    left.set(xscale="log", yscale="log")
    left.set(xlabel="replay / fluctuation", ylabel="share of the margin that is lost")
    left.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    left.minorticks_off()
    left.legend(frameon=False, fontsize=8)
    right.set(yscale="log", xlabel="direction of factors and threshold")
    right.set_ylabel("curvature of the loss")
    right.set_ylim(1e-3, None)
    return figure
