"""Fig. 9D, ablations and the constant of the approximate rule."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, panels, SHADES, THEORY
from ..config import Config
from ..mean_field import THRESHOLD, time_to_threshold
from .curves import FIG3F
from .learning import COLOURS, crossing, crossing_error, floor, MINUTE, speed_up


# --- Fig. 9D: natural wins at every learning rate, and theory predicts the time -------

FACTORS = slice(0.65, 1.45)  # around the tuned rate


def slope(data: Dataset, times: Any) -> float:
    """Slope of log times to the threshold over log learning rates."""
    return float(np.polyfit(np.log(data.rate_factor.values), np.log(times), 1)[0])


def predicted_slope(data: Dataset) -> float:
    """That of the mean-field theory of the natural student, around factor 1."""
    near = data.sel(rate_factor=FACTORS)
    return slope(near, near.predicted_time.sel(student="natural").values)


@claim("Fig. 9D", low=1.2)
def natural_is_faster(data: Dataset) -> float:
    """Natural is faster at every factor (least Euclidean over natural time)."""
    gains = [speed_up(data.sel(rate_factor=f))[0] for f in data.rate_factor.values]
    return float(np.min(gains))


@claim("mean-field theory", low=0.4, high=0.6, control=None)
def half_the_floor(data: Dataset) -> float:
    """Half the rate, half the floor (natural floor over that at factor 1)."""
    half, one = (data.sel(rate_factor=f, method="nearest") for f in (0.5, 1.0))
    return floor(half, "natural") / floor(one, "natural")


@claim("mean-field theory", low=-0.3, high=0.3, control=None)
def time_over_rate(data: Dataset) -> float:
    """Natural: d log time / d log rate (simulated minus theory's, same factors)."""
    near = data.sel(rate_factor=FACTORS)
    at = [near.sel(rate_factor=f) for f in near.rate_factor.values]
    times = [crossing(here, "natural") for here in at]
    return slope(near, times) - predicted_slope(data)


@claim("mean-field theory, differentiated", low=-0.2, high=0.2, control=None)
def reverse_mode(data: Dataset) -> float:
    """Natural: reverse mode through the theory gives that slope (difference)."""
    time = lambda config: jnp.log(time_to_threshold(config, "natural"))
    return float(eqx.filter_grad(time)(Config()).rate_factor) - predicted_slope(data)


# --- ablations: what each heterosynaptic term is good for -----------------------------


def floors(data: Dataset, student: str, reference: str) -> float:
    """Settled divergence of one student over that of another."""
    return floor(data, student) / floor(data, reference)


@claim("derived; simulated before: 1.6", low=1.2)
def without_heterosynaptic_terms(data: Dataset) -> float:
    """Without heterosynaptic terms the error settles higher (over natural)."""
    return floors(data, "homosynaptic", "natural")


def times(data: Dataset, student: str, reference: str) -> tuple[float, float]:
    """Time to the threshold over that of another student, and its standard error."""
    other = crossing(data, reference)
    return crossing(data, student) / other, crossing_error(data, student) / other


alike = claim(
    "derived: gamma_w w is small at these weights", low=0.85, high=1.15, control=None
)


@alike
def without_proportional(data: Dataset) -> tuple[float, float]:
    """Without gamma_w w nothing changes (time over that of natural)."""
    return times(data, "without_proportional", "natural")


@alike
def without_weights(data: Dataset) -> tuple[float, float]:
    """Nor for the approximate rule (time over that of approximate)."""
    return times(data, "without_weights", "approximate")


@alike
def limit_of_many_inputs(data: Dataset) -> tuple[float, float]:
    """Nor with the limit of many inputs for c_w (time over that of approximate)."""
    return times(data, "adaptive", "approximate")


@claim("mean-field theory: 1.5", low=1.2)
def critical_settles_higher(data: Dataset) -> float:
    """c_u = eps_0 settles higher than 0.95 (ratio of floors)."""
    return floors(data, "critical", "approximate")


@claim("mean-field theory: unstable", low=10.0)
def does_not_settle(data: Dataset) -> float:
    """c_u > eps_0 (1 + 1/q) does not settle (final divergence over 0.95's)."""
    return floors(data, "unstable", "approximate")


# --- the best $c_u$ is below $\epsilon_0$; theory tells floors of the others ----------


def approximate_floors(data: Dataset) -> list[float]:
    """Settled divergence of the approximate rule at every constant."""
    return [floor(data.sel(uniform=u), "approximate") for u in data.uniform.values]


def predicted_floors(data: Dataset) -> DataArray:
    """The same of the mean-field theory."""
    return data.predicted_divergence.sel(student="approximate").isel(time=-1)


@claim("mean-field theory: 1.5; more with c_w", low=1.3)
def less_than_one_is_better(data: Dataset) -> float:
    """0.95 leaves less error than 1 (floor at 1 over floor at 0.95)."""
    best = data.sel(uniform=0.95, method="nearest")
    return floor(data.isel(uniform=-1), "approximate") / floor(best, "approximate")


@claim("mean-field theory, 25 %", low=1.0, high=1.25, control=None)
def floors_below_one(data: Dataset) -> float:
    """Theory's floor below 1 (largest ratio simulated over theory)."""
    stable = data.isel(uniform=data.uniform.values < 0.99)
    ratios = approximate_floors(stable) / predicted_floors(stable).values
    return float(np.max(np.maximum(ratios, 1 / ratios)))


@claim("mean-field theory, step 0.05", low=0.84, high=0.96, control=None)
def least_floor(data: Dataset) -> float:
    """Theory puts the least floor at 0.9 (c_u of the least predicted floor)."""
    return float(predicted_floors(data).idxmin("uniform"))


def _family(panel: Axes, data: Dataset, axis: str, label: str) -> None:
    """Mean curves of one student along an axis of the grid."""
    for shade, value in zip(SHADES, data[axis].values, strict=False):
        curve = data.divergence.sel({axis: value}).mean("seed")
        panel.plot(data.time / MINUTE, curve, color=shade, label=label.format(value))
    panel.axhline(THRESHOLD, color=THEORY, lw=0.8, ls=":")
    panel.set(xlabel="time (min)", ylabel="divergence per 0.5 ms", yscale="log")
    panel.legend(frameon=False, fontsize="small")


def draw_robustness(data: Dataset) -> Figure:
    """Time to the threshold against the learning rate; learning curves at both ends."""
    figure, axes = panels(1, 2, 4.2, 3.0)
    panel, factors = axes[0, 0], data.rate_factor.values
    at = [data.sel(rate_factor=f) for f in factors]
    for student in data.student.values:
        style: dict[str, Any] = {"label": student, "marker": "o", "ms": 4, "lw": 1.4}
        time = [crossing(here, student) / MINUTE for here in at]
        error = [crossing_error(here, student) / MINUTE for here in at]
        panel.errorbar(factors, time, error, color=COLOURS[student], **style)
        law = data.predicted_time.sel(student=student) / MINUTE
        panel.plot(factors, law, "--", color=COLOURS[student], lw=1.0)
    panel.set(xlabel="learning rate / tuned", ylabel="time to threshold (min)")
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False)
    _family(axes[0, 1], data.sel(student="natural"), "rate_factor", "natural, {:g}")
    return figure


def draw_uniform_constant(data: Dataset) -> Figure:
    """Residual divergence of the approximate rule against its uniform constant."""
    figure, axes = panels(1, 2, 4.2, 3.0)
    panel, values, color = axes[0, 0], data.uniform.values, COLOURS["approximate"]
    simulated, law = approximate_floors(data), predicted_floors(data)
    panel.plot(values, simulated, "o-", ms=4, color=color, label="simulated")
    panel.plot(values, law, "--", color=color, lw=1.0, label="theory, without c_w")
    panel.set(xlabel="c_u / area of the potential", ylabel="residual divergence")
    panel.set_yscale("log")
    panel.legend(frameon=False)
    _family(axes[0, 1], data.sel(student="approximate"), "uniform", "c_u = {:g}")
    return figure


FIG9D = FIG3F._replace(
    name="fig9d",
    source="Fig. 9D",
    shows="at every learning rate natural is faster; theory predicts the dependence",
    claims=(natural_is_faster, half_the_floor, time_over_rate, reverse_mode),
    figure=draw_robustness,
)
ABLATIONS = FIG3F._replace(
    name="ablations",
    source="Eqs. 20-23, 112-114",
    shows="learning without each heterosynaptic term, and at the edge of stability",
    claims=(
        without_heterosynaptic_terms,
        without_proportional,
        without_weights,
        limit_of_many_inputs,
        critical_settles_higher,
        does_not_settle,
    ),
)
UNIFORM = FIG3F._replace(
    name="uniform",
    source="Eq. 112",
    shows="why c_u = 0.95: the residual error of the approximate rule against c_u",
    claims=(less_than_one_is_better, floors_below_one, least_floor),
    figure=draw_uniform_constant,
)
