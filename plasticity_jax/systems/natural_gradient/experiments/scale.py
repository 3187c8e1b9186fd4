"""Figure 10: the global scale of natural changes, and where it is least."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....circuits import RectifiedQuadratic, Sigmoid
from ....curvature import mean_density
from ....experiment import Claim, Experiment, panels, Plan, SHADES
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


def rows(data: xarray.Dataset) -> dict[float, np.ndarray]:
    """The scale against the mean voltage, by variance."""
    scale = data.scale.mean("seed", skipna=False).values
    return dict(zip(VARIANCES, scale, strict=True))


def u_shaped(data: xarray.Dataset) -> float:
    """Share of variances at which the scale falls to one minimum, then rises."""

    def shape(row: np.ndarray) -> bool:
        least = int(row.argmin())
        falls, rises = np.diff(row[: least + 1]), np.diff(row[least:])
        return 0 < least < len(row) - 1 and bool((falls < 0).all() & (rises > 0).all())

    return float(np.mean([shape(row) for row in rows(data).values()]))


def place(data: xarray.Dataset, variance: float) -> float:
    """Mean voltage (mV) at which the scale is least."""
    return float(np.asarray(MEANS)[rows(data)[variance].argmin()])


def value(data: xarray.Dataset, variance: float) -> float:
    """The least scale (mV^2/Hz)."""
    return float(rows(data)[variance].min())


def at(data: xarray.Dataset, mean: float) -> float:
    """The scale (mV^2/Hz) at a mean voltage, variance 1."""
    return float(rows(data)[1.0][abs(np.asarray(MEANS) - mean).argmin()])


def scale_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Changes are large where a spike tells little of the voltage."""
    known = {1.0: 0.77, 10.0: 0.94, 60.0: 1.53}
    return [
        Claim(
            "against the mean voltage the scale falls to one minimum and rises (share "
            "of variances)",
            "Fig. 10",
            u_shaped(data),
            1.0,
            1.0,
            control=u_shaped(control),
        ),
        *(
            Claim(
                f"least at a mean of 7-7.75 mV, variance {v:g} mV^2",
                "Fig. 10; independent evaluation",
                place(data, v),
                6.95,
                7.8,
                control=place(control, v),
            )
            for v in known
        ),
        *(
            Claim(
                f"its least value in mV^2/Hz, variance {v:g} mV^2",
                f"Fig. 10; independent evaluation: {known[v]}",
                value(data, v),
                known[v] - 0.005,
                known[v] + 0.005,
                control=value(control, v),
            )
            for v in known
        ),
        Claim(
            "without variance it is least at threshold - log 2 / slope (distance, mV)",
            "theory: F is largest where the rate is a third of the maximum",
            abs(place(data, 0.0) - float(data.place.mean())),
            0.0,
            0.05,
            control=abs(place(control, 0.0) - float(control.place.mean())),
        ),
        Claim(
            "and is 27 / (4 maximum slope^2) there (ratio)",
            "theory",
            value(data, 0.0) / float(data.least.mean()),
            0.9999,
            1.0001,
            control=value(control, 0.0) / float(control.least.mean()),
        ),
        Claim(
            "it amplifies changes near saturation (at 20 mV over its least value)",
            "Fig. 10; independent evaluation: 45 / 0.77",
            at(data, 20.0) / value(data, 1.0),
            55.0,
            62.0,
            control=at(control, 20.0) / value(control, 1.0),
        ),
    ]


def flat_density(plan: Plan) -> Plan:
    """Negative control: a neuron whose Fisher density does not depend on voltage."""
    return plan._replace(config=dataclasses.replace(plan.config, curved=False))


SHOWN_MEANS = (-5.0, 0.0, 5.0, 10.0, 15.0)  # mV


def draw_global_scale(data: xarray.Dataset) -> Figure:
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


FIG10 = Experiment(
    name="fig10",
    source="Fig. 10",
    shows=(
        "the global scale of natural changes against mean and variance of the voltage"
    ),
    config=Voltage,
    run=global_scale,
    claims=scale_claims,
    figure=draw_global_scale,
    control=flat_density,
    dims={"scale": ("variance", "mean")},
    float64=True,
)
