"""Figure 10: the global scale of natural changes, and where it is least."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....circuits import RectifiedQuadratic, Sigmoid
from ....curvature import mean_density
from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from ..theory import least_scale


VARIANCES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0)  # mV^2
MEANS = tuple(-20.0 + 0.05 * k for k in range(901))  # mV


class Voltage(AbstractConfig):
    """A sigmoid neuron; where not `curved` (control), a quadratic one with F = 1."""

    maximum: Scalar = eqx.field(default=100.0, converter=real)  # Hz
    slope: Scalar = eqx.field(default=0.3, converter=real)  # 1/mV
    threshold: Scalar = eqx.field(default=10.0, converter=real)  # mV
    nodes: int = eqx.field(default=81, static=True)
    curved: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        require(self, maximum=(1e-9, math.inf), slope=(1e-9, math.inf))
        require(self, threshold=(-1e30, 1e30))
        whole("nodes", self.nodes, 9)


def global_scale(config: Voltage, key: Key[Array, ""]) -> dict[str, Array]:
    r"""`scale`: $\gamma_s = 1/E[F]$ in mV$^2$/Hz at all `VARIANCES` and `MEANS`.

    `least` and `place` are its minimum without variance, in theory.
    """
    del key
    sigmoid = Sigmoid(config.maximum, config.slope, config.threshold)
    transfer = sigmoid if config.curved else RectifiedQuadratic(-1e3)

    def at(variance: Scalar, mean: Scalar) -> Scalar:
        density = mean_density(transfer, mean, variance, order=0, nodes=config.nodes)
        return 1 / density

    row = lambda variance: jax.vmap(lambda mean: at(variance, mean))(jnp.asarray(MEANS))
    place, least = least_scale(sigmoid)
    scale = jax.vmap(row)(jnp.asarray(VARIANCES))
    return {"scale": scale, "place": place, "least": least}


def curve(data: Dataset, variance: float) -> DataArray:
    """The scale (mV^2/Hz) against the mean voltage."""
    return over_seeds(data.scale).sel(variance=variance)


# --- changes are large where a spike tells little of the voltage ----------------------

LEAST = {1.0: 0.77, 10.0: 0.94, 60.0: 1.53}  # by variance; independent evaluation


@claim("Fig. 10", low=1.0, high=1.0)
def one_minimum(data: Dataset) -> float:
    """Against the mean voltage the scale falls to one minimum and rises (share of
    variances).
    """

    def shape(row: np.ndarray) -> bool:
        least = int(row.argmin())
        falls, rises = np.diff(row[: least + 1]), np.diff(row[least:])
        return 0 < least < len(row) - 1 and bool((falls < 0).all() & (rises > 0).all())

    return float(np.mean([shape(row) for row in over_seeds(data.scale).values]))


@claim(
    "Fig. 10; independent evaluation",
    low=6.95,
    high=7.8,
    each={"variance": tuple(LEAST)},
)
def place_of_the_minimum(data: Dataset, variance: float) -> float:
    """Least at a mean of 7-7.75 mV, variance {variance:g} mV^2."""
    here = curve(data, variance)
    return float(here.idxmin("mean").where(here.notnull().all()))


@claim(
    "Fig. 10; independent evaluation: 0.77, 0.94, 1.53",
    low=lambda data, control, variance: LEAST[variance] - 0.005,
    high=lambda data, control, variance: LEAST[variance] + 0.005,
    each={"variance": tuple(LEAST)},
)
def value_of_the_minimum(data: Dataset, variance: float) -> float:
    """Its least value in mV^2/Hz, variance {variance:g} mV^2."""
    return float(curve(data, variance).min(skipna=False))


@claim(
    "theory: F is largest where the rate is a third of the maximum", low=0.0, high=0.05
)
def place_in_theory(data: Dataset) -> float:
    """Without variance it is least at threshold - log 2 / slope (distance, mV)."""
    return abs(place_of_the_minimum(data, 0.0) - float(data.place.mean()))


@claim("theory", low=0.9999, high=1.0001)
def value_in_theory(data: Dataset) -> float:
    """And is 27 / (4 maximum slope^2) there (ratio)."""
    return value_of_the_minimum(data, 0.0) / float(data.least.mean())


@claim("Fig. 10; independent evaluation: 45 / 0.77", low=55.0, high=62.0)
def near_saturation(data: Dataset) -> float:
    """It amplifies changes near saturation (at 20 mV over its least value)."""
    saturated = curve(data, 1.0).sel(mean=20.0, method="nearest")
    return float(saturated) / value_of_the_minimum(data, 1.0)


def draw_global_scale(data: Dataset) -> Figure:
    """Figure 10: the scale of changes against mean and variance of the voltage."""
    figure, axes = panels(1, 2, 3.6, 2.9)
    by_mean, by_variance = axes[0]
    scale = data.scale.mean("seed")
    for variance, color in zip((0.0, 1.0, 10.0, 60.0), SHADES, strict=False):
        row, label = scale.sel(variance=variance), f"variance {variance:g} mV$^2$"
        by_mean.semilogy(row["mean"], row, color=color, lw=1.3, label=label)
        by_mean.plot(row.idxmin(), row.min(), "o", ms=4, color=color)
    by_mean.plot(data.place.mean(), data.least.mean(), "+", ms=10, color="black")
    by_mean.set(xlabel="mean voltage (mV)", ylabel="$\\gamma_s$ (mV$^2$/Hz)")
    by_mean.legend(frameon=False, fontsize="small")
    for mean, color in zip((-5.0, 0.0, 5.0, 10.0, 15.0), SHADES, strict=False):
        row, label = scale.sel(mean=mean, method="nearest"), f"mean {mean:g} mV"
        by_variance.semilogy(row.variance, row, "o-", ms=3, color=color, label=label)
    by_variance.set(xlabel="variance (mV$^2$)", ylabel="$\\gamma_s$ (mV$^2$/Hz)")
    top = scale.sel(variance=0.0).sel(mean=-5.0, method="nearest")
    by_variance.set_ylim(top=6 * float(top))
    by_variance.legend(frameon=False, fontsize="small", ncols=2, loc="upper right")
    return figure


FIG10 = Experiment(
    name="fig10",
    source="Fig. 10",
    shows="the global scale of natural changes against mean and variance of voltage",
    config=Voltage,
    run=global_scale,
    claims=(
        one_minimum,
        place_of_the_minimum,
        value_of_the_minimum,
        place_in_theory,
        value_in_theory,
        near_saturation,
    ),
    figure=draw_global_scale,
    control=changed(curved=False),  # a Fisher density that knows no voltage
    axes={"scale": {"variance": VARIANCES, "mean": MEANS}},
    float64=True,
)
