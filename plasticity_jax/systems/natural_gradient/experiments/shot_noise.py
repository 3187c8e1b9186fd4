"""Few or large synaptic potentials: the error of the closed forms of the metric."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....circuits import input_moments, Sigmoid, SynapticKernel
from ....curvature import glm_fisher, mean_density, skewed_glm_fisher, voltage_moments
from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from ....measure import log_slope
from ..config import half_and_half, uniform_weights, Vector
from ..shot_noise import fisher_error, shot_noise_fisher, update_angle


Matrix = Float[Array, "n n"]
SIZE = {"size": lambda config: config.sizes}


def metrics(
    weights: Vector, rates: Vector, skewness: Scalar | float, nodes: int
) -> dict[str, Matrix]:
    """The Fisher matrix: none, Gaussian, corrected for skewness, exact."""
    transfer, kernel = Sigmoid(), SynapticKernel()
    moments = input_moments(rates, kernel)
    seen = transfer, weights, moments.mean, moments.variance
    corrected = skewed_glm_fisher(*seen, skewness * moments.third, nodes=nodes)
    return {
        "euclidean": jnp.eye(weights.size, dtype=weights.dtype),
        "natural": glm_fisher(*seen, nodes=nodes).as_matrix(),
        "skewed": corrected.operator().as_matrix(),
        "exact": shot_noise_fisher(transfer, weights, rates, kernel),
    }


def check_sizes(sizes: tuple[int, ...]) -> None:
    """Raise `ValueError` unless there are sizes, ascending and above zero."""
    for size in sizes:
        whole("sizes", size, 1)
    if not sizes or list(sizes) != sorted(set(sizes)):
        raise ValueError(f"`sizes` must ascend from at least 1; got {sizes}.")


class ShotNoise(AbstractConfig):
    r"""Weights uniform in $\pm$ `weight_scale` / n for each n of `sizes`.

    One half of the inputs fires at `low_rate`, the other at `high_rate`. `skewness`
    scales the third cumulant of the inputs in the corrected form.
    """

    weight_scale: Scalar = eqx.field(default=1.0, converter=real)
    low_rate: Scalar = eqx.field(default=10.0, converter=real)  # Hz
    high_rate: Scalar = eqx.field(default=50.0, converter=real)  # Hz
    skewness: Scalar = eqx.field(default=1.0, converter=real)
    sizes: tuple[int, ...] = eqx.field(default=(20, 50, 100, 200), static=True)
    nodes: int = eqx.field(default=601, static=True)

    def __check_init__(self) -> None:
        require(self, weight_scale=(1e-9, math.inf), skewness=(0.0, math.inf))
        require(self, low_rate=(1e-4, math.inf), high_rate=(1e-4, math.inf))
        check_sizes(self.sizes)
        whole("nodes", self.nodes, 9)


def fisher_errors(config: ShotNoise, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Errors of both closed forms at one draw of the weights, for every size.

    `gaussian_error` and `skewed_error` $\|L^{-1} G L^{-\top} - I\|_2$ against the exact
    matrix $G$, `angle` (degrees) between a mean natural update and the way to a second
    draw of the weights, `leading` the largest $|a w_i| \kappa_3 c_\epsilon$, the
    leading part of the error in theory, $a = c_2/c_1$.
    """
    rows = [errors_at(config, n, jr.fold_in(key, n)) for n in config.sizes]
    return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}


def errors_at(config: ShotNoise, size: int, key: Key[Array, ""]) -> dict[str, Array]:
    """`fisher_errors` of one size."""
    scale, shape = config.weight_scale, (size,)
    weights, other = (uniform_weights(scale, shape, k) for k in jr.split(key))
    rates = half_and_half(size, config.low_rate, config.high_rate)
    forms = metrics(weights, rates, config.skewness, config.nodes)
    kernel = SynapticKernel()
    moments = input_moments(rates, kernel)
    seen = voltage_moments(weights, moments.mean, moments.variance)[:2]
    mean = lambda order: mean_density(Sigmoid(), *seen, order=order, nodes=config.nodes)
    largest = jnp.max(jnp.abs(weights)) * kernel.skew / kernel.energy
    return {
        "gaussian_error": fisher_error(forms["exact"], forms["natural"]),
        "skewed_error": fisher_error(forms["exact"], forms["skewed"]),
        "angle": update_angle(forms["exact"], forms["natural"], other - weights),
        "leading": jnp.abs(mean(1) / mean(0)) * largest,
    }


# --- table of T6, and T7; means over draws of the weights -----------------------------


def typical(data: Dataset, low: float, high: float) -> Dataset:
    """Means over draws at one pair of rates."""
    here = (data.low_rate == low) & (data.high_rate == high)
    return over_seeds(data.isel({here.dims[0]: np.flatnonzero(here)[0]}))


def narrow(data: Dataset) -> Dataset:
    """Means over draws of narrow weights at 10 and 50 Hz."""
    return typical(data, 10.0, 50.0).sel(weight_scale=1.0)


def slope(data: Dataset, name: str) -> float:
    """Exponent of an error in the number of inputs, last three sizes."""
    rows = narrow(data).isel(size=slice(-3, None))
    return log_slope(rows["size"].values.astype(float), rows[name].values)


def fall(data: Dataset, scale: float) -> float:
    """The Gaussian form's error at 50 Hz over that at 5 Hz, last two sizes."""
    ratio = typical(data, 50.0, 50.0) / typical(data, 5.0, 5.0)
    ratio = ratio.gaussian_error.isel(size=slice(-2, None)).mean("size", skipna=False)
    return float(ratio.sel(weight_scale=scale))


@claim("specification, T6", low=-1.3, high=-0.7, control=None)
def one_over_n(data: Dataset) -> float:
    """The Gaussian form's error falls as 1/n (exponent, last three sizes)."""
    return slope(data, "gaussian_error")


@claim("specification, T6", low=0.0, high=0.25, control=None)
def leading_part(data: Dataset) -> float:
    """It is |a w| kappa_3 c_eps of the largest weight at all rates and scales (largest
    relative departure, last two sizes).
    """
    many = over_seeds(data).isel(size=slice(-2, None))
    departure = abs(many.gaussian_error / many.leading - 1)
    return float(departure.max(skipna=False))


@claim("specification, T6", low=0.0, high=0.8, control=None)
def falls_with_the_rate(data: Dataset) -> float:
    """It falls with the rate for wide weights (50 Hz over 5 Hz)."""
    return fall(data, 5.0)


@claim("specification, T6", low=0.0, high=0.95, control=None)
def more_for_wide_weights(data: Dataset) -> float:
    """More than for narrow ones (wide over narrow of that ratio)."""
    return fall(data, 5.0) / fall(data, 1.0)


@claim("specification, T6", low=2.0, high=6.0, control=None)
def turns_the_update(data: Dataset) -> float:
    """It turns the mean update by degrees (n = 100)."""
    return float(narrow(data).sel(size=100, method="nearest").angle)


@claim("specification, T7", low=0.0, high=0.1)
def ten_times_smaller(data: Dataset) -> float:
    """With the third cumulant the error is ten times smaller (n = 100, ratio)."""
    row = narrow(data).sel(size=100, method="nearest")
    return float(row.skewed_error / row.gaussian_error)


@claim("second order in T7", low=-2.6, high=-1.4)
def one_over_n_squared(data: Dataset) -> float:
    """And falls as its square, 1/n^2 (exponent, last three sizes)."""
    return slope(data, "skewed_error")


ERRORS: dict[str, tuple[str, dict[str, Any]]] = {
    "gaussian_error": ("Gaussian form", {"ls": "-", "marker": "o", "ms": 4}),
    "skewed_error": ("with skewness", {"ls": "--", "marker": "o", "ms": 4}),
    "leading": ("theory, leading part", {"ls": ":", "lw": 2.5}),
}


def draw_errors(data: Dataset) -> Figure:
    """Error against the number of inputs: a panel per scale of the weights; angles."""
    scales = data.weight_scale.values
    figure, axes = panels(1, len(scales) + 1, 3.5, 3.0)
    for panel, scale in zip(axes[0], scales, strict=False):
        here = data.sel(weight_scale=scale)
        for name, (_, style) in ERRORS.items():
            _by_size(panel, here, name, style)
        panel.set(yscale="log", title=f"weights uniform in ±{scale:g}/n")
    axes[0, 0].set_ylabel("relative error of the metric")
    for label, style in ERRORS.values():
        axes[0, 0].plot([], [], color="k", label=label, **style)
    axes[0, 0].legend(frameon=False, fontsize="small", loc="lower left")
    last, here = axes[0, -1], data.sel(weight_scale=scales[0])
    _by_size(last, here, "angle", ERRORS["gaussian_error"][1])
    last.set(ylabel="update off the way (degrees)", ylim=(0, None))
    last.set_title(f"Gaussian form, ±{scales[0]:g}/n")
    last.legend(frameon=False, fontsize="small", title="input rates (Hz)")
    return figure


def _by_size(panel: Axes, data: Dataset, name: str, style: dict[str, Any]) -> None:
    """Mean over draws of the weights with its standard error, a line per rates."""
    mean = data[name].mean("seed")
    error = data[name].std("seed") / np.sqrt(data.sizes["seed"])
    (pattern,) = (dim for dim in mean.dims if dim != "size")
    sizes = data["size"].values
    for i, color in zip(range(data.sizes[pattern]), SHADES, strict=False):
        here = {pattern: i}
        low, high = (float(data[rate][i]) for rate in ("low_rate", "high_rate"))
        label = f"{low:g} / {high:g}" if name == "angle" else None
        bar = None if name == "leading" else error.isel(here)
        panel.errorbar(sizes, mean.isel(here), bar, color=color, label=label, **style)
    panel.set(xscale="log", xlabel="inputs n")
    panel.set_xticks(sizes, [f"{n:g}" for n in sizes])
    panel.minorticks_off()


SHOT_NOISE = Experiment(
    name="shot_noise",
    source="beyond the paper",
    shows="error of the Gaussian Fisher matrix, and of the one corrected for skewness",
    config=ShotNoise,
    run=fisher_errors,
    claims=(
        one_over_n,
        leading_part,
        falls_with_the_rate,
        more_for_wide_weights,
        turns_the_update,
        ten_times_smaller,
        one_over_n_squared,
    ),
    figure=draw_errors,
    control=changed(skewness=0.0),  # the corrected form knows no third cumulant
    axes=dict.fromkeys(("gaussian_error", "skewed_error", "angle", "leading"), SIZE),
    float64=True,  # matrices that agree to a thousandth, of condition 1e4
)
