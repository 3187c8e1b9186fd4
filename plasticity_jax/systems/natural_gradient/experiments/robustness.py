"""Fig. 9D, ablations and the constant of the approximate rule."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, SHADES, THEORY
from ..config import Config
from ..mean_field import THRESHOLD, time_to_threshold
from .learning import (
    COLOURS,
    crossing,
    crossing_error,
    DIMS,
    draw_learning_curves,
    floor,
    learning_curves,
    MINUTE,
    predict,
    speed_up,
    without_metric,
)


def time_slope(data: xarray.Dataset, student: str) -> float:
    """Slope of log time to threshold over log learning rate, around factor 1."""
    near = data.sel(rate_factor=slice(0.65, 1.45))
    factors = near.rate_factor.values
    times = [crossing(near.sel(rate_factor=f), student) for f in factors]
    return float(np.polyfit(np.log(factors), np.log(times), 1)[0])


def predicted_slope(data: xarray.Dataset, student: str) -> float:
    """The same slope of the mean-field theory, at the same factors."""
    near = data.sel(rate_factor=slice(0.65, 1.45))
    times = near.predicted_time.sel(student=student).values
    return float(np.polyfit(np.log(near.rate_factor.values), np.log(times), 1)[0])


def derivative(student: str) -> float:
    """d log time / d log rate at the default config, by reverse mode."""
    config = Config()
    time = lambda config: jnp.log(time_to_threshold(config, student))
    return float(eqx.filter_grad(time)(config).rate_factor)


def fig9d_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Natural wins at every learning rate; theory predicts how time depends on it."""
    gains = [speed_up(data.sel(rate_factor=f)) for f in data.rate_factor.values]
    blind = [speed_up(control.sel(rate_factor=f)) for f in control.rate_factor.values]
    half = data.sel(rate_factor=0.5, method="nearest")
    return [
        Claim(
            "natural is faster at every factor (least Euclidean over natural time)",
            "Fig. 9D",
            float(np.min(gains)),
            1.2,
            math.inf,
            control=float(np.min(blind)),
        ),
        Claim(
            "half the rate, half the floor (natural floor over that at factor 1)",
            "mean-field theory",
            floor(half, "natural")
            / floor(data.sel(rate_factor=1.0, method="nearest"), "natural"),
            0.4,
            0.6,
        ),
        Claim(
            "natural: d log time / d log rate (simulated minus theory's, same factors)",
            "mean-field theory",
            time_slope(data, "natural") - predicted_slope(data, "natural"),
            -0.3,
            0.3,
        ),
        Claim(
            "natural: reverse mode through the theory gives that slope (difference)",
            "mean-field theory, differentiated",
            derivative("natural") - predicted_slope(data, "natural"),
            -0.2,
            0.2,
        ),
    ]


# --- ablations ------------------------------------------------------------------------


def ablation_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """What each heterosynaptic term is good for."""
    natural = floor(data, "natural")

    def alike(says: str, student: str, reference: str) -> Claim:
        return Claim(
            f"{says} (time over that of {reference})",
            "derived: gamma_w w is small at these weights",
            crossing(data, student) / crossing(data, reference),
            0.85,
            1.15,
            crossing_error(data, student) / crossing(data, reference),
        )

    return [
        Claim(
            "without heterosynaptic terms the error settles higher (over natural)",
            "derived; simulated before: 1.6",
            floor(data, "homosynaptic") / natural,
            1.2,
            math.inf,
            control=floor(control, "homosynaptic") / floor(control, "natural"),
        ),
        alike("without gamma_w w nothing changes", "without_proportional", "natural"),
        alike("nor for the approximate rule", "without_weights", "approximate"),
        alike("nor with the limit of many inputs for c_w", "adaptive", "approximate"),
        Claim(
            "c_u = eps_0 settles higher than 0.95 (ratio of floors)",
            "mean-field theory: 1.5",
            floor(data, "critical") / floor(data, "approximate"),
            1.2,
            math.inf,
            control=floor(control, "critical") / floor(control, "approximate"),
        ),
        Claim(
            "c_u > eps_0 (1 + 1/q) does not settle (final divergence over 0.95's)",
            "mean-field theory: unstable",
            floor(data, "unstable") / floor(data, "approximate"),
            10.0,
            math.inf,
            control=floor(control, "unstable") / floor(control, "approximate"),
        ),
    ]


def uniform_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The best $c_u$ is below $\\epsilon_0$; theory tells floors of the others."""
    values = data.uniform.values
    floors = [floor(data.sel(uniform=u), "approximate") for u in values]
    blind = [floor(control.sel(uniform=u), "approximate") for u in control.uniform]
    predicted = data.predicted_divergence.sel(student="approximate").isel(time=-1)
    law = predicted.values
    inner = values < 0.99
    stable = np.asarray(floors)[inner] / law[inner]
    return [
        Claim(
            "0.95 leaves less error than 1 (floor at 1 over floor at 0.95)",
            "mean-field theory: 1.5; more with c_w",
            floors[int(np.argmax(values))] / _nearest(values, floors, 0.95),
            1.3,
            math.inf,
            control=blind[-1] / _nearest(control.uniform.values, blind, 0.95),
        ),
        Claim(
            "theory's floor below 1 (largest ratio simulated over theory)",
            "mean-field theory, 25 %",
            float(np.max(np.maximum(stable, 1 / stable))),
            1.0,
            1.25,
        ),
        Claim(
            "theory puts the least floor at 0.9 (c_u of the least predicted floor)",
            "mean-field theory, step 0.05",
            float(values[int(np.argmin(law))]),
            0.84,
            0.96,
        ),
    ]


def _nearest(values: np.ndarray, results: list[float], at: float) -> float:
    return results[int(np.argmin(np.abs(values - at)))]


def _family(panel: Axes, data: xarray.Dataset, axis: str, label: str) -> None:
    """Mean curves of one student along an axis of the grid."""
    for shade, value in zip(SHADES, data[axis].values, strict=False):
        curve = data.divergence.sel({axis: value}).mean("seed")
        panel.plot(data.time / MINUTE, curve, color=shade, label=label.format(value))
    panel.axhline(THRESHOLD, color=THEORY, lw=0.8, ls=":")
    panel.set(xlabel="time (min)", ylabel="divergence per 0.5 ms", yscale="log")
    panel.legend(frameon=False, fontsize="small")


def draw_robustness(data: xarray.Dataset) -> Figure:
    """Time to the threshold against the learning rate; learning curves at both ends."""
    from ..experiments.learning import crossing, crossing_error

    figure, axes = panels(1, 2, 4.2, 3.0)
    panel, factors = axes[0, 0], data.rate_factor.values
    for student in ("euclidean", "natural"):
        at = [data.sel(rate_factor=f) for f in factors]
        times = np.array([crossing(here, student) for here in at]) / MINUTE
        errors = np.array([crossing_error(here, student) for here in at]) / MINUTE
        law = data.predicted_time.sel(student=student) / MINUTE
        colour = COLOURS[student]
        style: dict[str, Any] = {"marker": "o", "ms": 4, "lw": 1.4, "color": colour}
        panel.errorbar(factors, times, errors, label=student, **style)
        panel.plot(factors, law, "--", color=colour, lw=1.0)
    panel.set(xlabel="learning rate / tuned", ylabel="time to threshold (min)")
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False)
    _family(axes[0, 1], data.sel(student="natural"), "rate_factor", "natural, {:g}")
    return figure


def draw_uniform_constant(data: xarray.Dataset) -> Figure:
    """Residual divergence of the approximate rule against its uniform constant."""
    from ..experiments.learning import floor

    figure, axes = panels(1, 2, 4.2, 3.0)
    panel, values = axes[0, 0], data.uniform.values
    floors = [floor(data.sel(uniform=u), "approximate") for u in values]
    law: Any = data.predicted_divergence.sel(student="approximate").isel(time=-1)
    colour = COLOURS["approximate"]
    panel.plot(values, floors, "o-", ms=4, color=colour, label="simulated")
    panel.plot(values, law, "--", color=colour, lw=1.0, label="theory, without c_w")
    panel.set(xlabel="c_u / area of the potential", ylabel="residual divergence")
    panel.set_yscale("log")
    panel.legend(frameon=False)
    _family(axes[0, 1], data.sel(student="approximate"), "uniform", "c_u = {:g}")
    return figure


FIG9D = Experiment(
    name="fig9d",
    source="Fig. 9D",
    shows="at every learning rate natural is faster; theory predicts the dependence",
    config=Config,
    run=learning_curves,
    claims=fig9d_claims,
    figure=draw_robustness,
    control=without_metric,
    dims=DIMS,
    predict=predict,
)
ABLATIONS = Experiment(
    name="ablations",
    source="Eqs. 20-23, 112-114",
    shows="learning without each heterosynaptic term, and at the edge of stability",
    config=Config,
    run=learning_curves,
    claims=ablation_claims,
    figure=draw_learning_curves,
    control=without_metric,
    dims=DIMS,
    predict=predict,
)
UNIFORM = Experiment(
    name="uniform",
    source="Eq. 112",
    shows="why c_u = 0.95: the residual error of the approximate rule against c_u",
    config=Config,
    run=learning_curves,
    claims=uniform_claims,
    figure=draw_uniform_constant,
    control=without_metric,
    dims=DIMS,
    predict=predict,
)
