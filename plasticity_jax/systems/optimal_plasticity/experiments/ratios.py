"""Figure 5, its supplement and restricted noise: claims about the best ratio."""

import dataclasses

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan
from ....measure import STATIONARY
from ..config import Config
from .steady import (
    at,
    BEST,
    best_is,
    DIMS,
    growth_with_size,
    mean,
    misfit,
    optimum,
    overshoot,
    predict,
    share_of_valleys,
    SIMULATED,
    steady_state,
    THEORY,
    unsettled,
    without_gradient,
)


def greedy_is_low(data: xarray.Dataset, control: xarray.Dataset) -> Claim:
    """Eq. 9 at its own steady state lies below the simulated best ratio."""
    greedy = float(mean(at(data, corruption=0.1).greedy_ratio))
    return Claim(
        "Eq. 9, taken greedily, asks for less than the best fixed ratio (Eq. 9 / best)",
        "Eq. 9, rho = 0.1",
        greedy / optimum(data, corruption=0.1)[0],
        0.0,
        1.0,
        control=greedy / optimum(control)[0],
    )


def fig5_ratios(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Best ratios; intervals reach half a step of the published grid or more."""
    source = "Fig. 5"
    clean, noisy = (optimum(data, corruption=rho)[0] for rho in (0.1, 20.0))
    return [
        Claim(
            "every curve of error against ratio is U-shaped (share of curves)",
            source,
            share_of_valleys(data),
            1.0,
            1.0,
            control=share_of_valleys(control),
        ),
        best_is(
            "clean gradient: repair is best when smaller than the noise (best ratio)",
            f"{source}, rho = 0.1: 0.4",
            data,
            control,
            (0.25, 0.55),
            corruption=0.1,
        ),
        best_is(
            "corrupted gradient: the best ratio is about 1",
            f"{source}, rho = 20: 1.0",
            data,
            control,
            (0.7, 1.3),
            corruption=20.0,
        ),
        best_is(
            "more corrupted: the best ratio is 0.7 to 1.0 (not stationary at small r)",
            f"{source}, rho = 50",
            data,
            control,
            (0.55, 1.3),
            corruption=50.0,
        ),
        Claim(
            "a worse gradient asks for more repair (best ratio, rho = 20 minus 0.1)",
            source,
            noisy - clean,
            0.0,
        ),
    ]


def fig5_errors(data: xarray.Dataset) -> list[Claim]:
    """How the least error grows with corruption, noise and overcompensation."""
    source = "Fig. 5"
    least = mean(data.loss).min("ratio")
    with_noise = least.diff("corruption") > 0
    with_size = least.diff("fluctuation_size") > 0
    return [
        Claim(
            "the least error rises with corruption and with noise (share of steps)",
            source,
            float((with_noise.mean() + with_size.mean()) / 2),
            1.0,
            1.0,
        ),
        Claim(
            "at rho = 20 the least error is tens of times that at 0.1 (factor)",
            source,
            float(
                (
                    at(least.to_dataset(), corruption=20.0).loss
                    / at(least.to_dataset(), corruption=0.1).loss
                ).mean()
            ),
            10.0,
            100.0,
        ),
        Claim(
            "error grows as the square of the noise (factor at twice the size)",
            f"{source}, theory 4",
            growth_with_size(data),
            3.7,
            4.6,
        ),
        Claim(
            "overcompensation costs: error at ratio 2.5 over the least",
            f"{source}, rho = 0.1: 5",
            overshoot(data),
            4.0,
            6.0,
        ),
    ]


def fig5_laws(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The clean rows against the exact Hessian at the teacher, and stationarity."""
    clean, _ = optimum(data, corruption=0.1)
    law = float(mean(at(data, corruption=0.1).predicted_ratio))
    first = {"corruption": 0.1, "fluctuation_size": 0.01}
    return [
        Claim(
            "the Hessian at the teacher predicts the best ratio (law / simulated)",
            "mean-field law",
            law / clean,
            0.8,
            1.2,
            control=law / optimum(control)[0],
        ),
        Claim(
            "and the error (largest relative distance, rho = 0.1, 0.4 <= r <= 1.3)",
            "mean-field law",
            misfit(at(data, **first), slice(0.35, 1.35)),
            0.0,
            0.09,
            control=misfit(at(control, **first), slice(0.35, 1.35)),
        ),
        greedy_is_low(data, control),
        Claim(
            "runs at rho = 0.1 are stationary (largest drift, r >= 0.4)",
            "stationarity flag",
            unsettled(data),
            0.0,
            STATIONARY,
            control=unsettled(control),
        ),
    ]


def fig5_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Nonlinear network: best ratios, errors, and both against theory."""
    return [
        *fig5_ratios(data, control),
        *fig5_errors(data),
        *fig5_laws(data, control),
    ]


def fig5s1_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Linear network with anisotropic inputs; intervals from the mean-field law."""
    source = "Fig. 5-S1"
    law = mean(data.predicted_ratio)
    best = [optimum(data, corruption=rho)[0] for rho in data.corruption.values]
    exact = slice(0.35, 2.6)
    return [
        *(
            best_is(
                f"best ratio at rho = {rho:g}, within 8 % of the law",
                source,
                data,
                control,
                (
                    0.92 * float(law.sel(corruption=rho)),
                    1.08 * float(law.sel(corruption=rho)),
                ),
                corruption=rho,
            )
            for rho in data.corruption.values
        ),
        Claim(
            "the best ratio rises with corruption (least step)",
            source,
            float(np.min(np.diff(best))),
            0.0,
        ),
        best_is(
            "clean gradient: repair is best when smaller than the noise (best ratio)",
            f"{source}, rho = 0.1: 0.7",
            data,
            control,
            (0.55, 0.85),
            corruption=0.1,
        ),
        Claim(
            "error is the mean-field law's (largest relative distance, rho <= 1)",
            "mean-field law",
            misfit(data.sel(corruption=slice(0, 1.0)), exact),
            0.0,
            0.03,
            control=misfit(control, exact),
        ),
        Claim(
            "error grows as the square of the noise (factor at twice the size)",
            f"{source}, theory 4",
            growth_with_size(data),
            3.6,
            4.4,
        ),
        greedy_is_low(data, control),
    ]


def fig5s1_iid_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Inputs as the text prints them: an isotropic Hessian, so the best ratio is 1."""
    near = slice(0.35, 1.95)
    return [
        *(
            best_is(
                f"best ratio at rho = {rho:g} is 1, not significantly below",
                "isotropic law; the text's claim for this figure does not hold",
                data,
                control,
                (0.9, 1.1),
                corruption=rho,
            )
            for rho in data.corruption.values
        ),
        Claim(
            "error is the law's for the drawn inputs (rho = 0.1, largest distance)",
            "mean-field law",
            misfit(at(data, corruption=0.1), near),
            0.0,
            0.03,
            control=misfit(at(control, corruption=0.1), near),
        ),
        Claim(
            "and the isotropic law's (rho = 0.1, 0.4 <= r <= 1.9, mean distance)",
            "isotropic law",
            misfit(at(data, corruption=0.1), near, "isotropic_loss", np.mean),
            0.0,
            0.05,
            control=misfit(at(control, corruption=0.1), near, "isotropic_loss"),
        ),
        Claim(
            "error at ratio 2.5 over the least (the law: 2.1)",
            "isotropic law; Fig. 5-S1: 2.1 to 2.3",
            overshoot(data),
            2.0,
            2.4,
            control=overshoot(control),
        ),
    ]


def beeline_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Straight at the teacher: average curvature, so the isotropic law."""

    def slow_over_fast(data: xarray.Dataset) -> float:
        slow, fast = (at(data, ratio=r) for r in (0.1, 2.5))
        return float((mean(slow.loss) / mean(fast.loss)).mean(skipna=False))

    return [
        best_is(
            "straight at the teacher, repair is best at the size of the noise",
            "isotropic law",
            data,
            control,
            (0.85, 1.15),
        ),
        Claim(
            "error at ratio 0.1 over that at 2.5 (the law: 12.1)",
            "published file: 11 to 12",
            slow_over_fast(data),
            10.5,
            13.5,
            control=slow_over_fast(control),
        ),
    ]


def restricted_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Fluctuations on the soft half of the directions; control: on all of them."""
    source = "Discussion"
    everywhere = mean(control.predicted_ratio)
    claims = []
    for rho in data.corruption.values:
        value, error = optimum(data, corruption=rho)
        claims.append(
            Claim(
                f"rho = {rho:g}: less repair is best than with noise everywhere",
                source,
                value,
                0.0,
                0.97 * float(everywhere.sel(corruption=rho)),
                error,
                optimum(control, corruption=rho)[0],
            )
        )
    exact = slice(0.18, 2.6)
    return [
        *claims,
        Claim(
            "error is the law's, kink included (largest distance, rho <= 1, r >= 0.2)",
            "mean-field law, undriven directions",
            misfit(data.sel(corruption=slice(0, 1.0)), exact),
            0.0,
            0.03,
        ),
    ]


def with_all_directions(plan: Plan) -> Plan:
    """Negative control of the restricted protocol: every direction fluctuates."""
    return plan._replace(config=dataclasses.replace(plan.config, fluctuating_share=1.0))


def draw_ratio_grid(data: xarray.Dataset) -> Figure:
    """Steady-state error against the ratio: a row per corruption, a column per size."""
    for name in ("fluctuation_size", "corruption"):
        if name not in data.dims:
            data = data.expand_dims(name)
    rows, columns = data.sizes["corruption"], data.sizes["fluctuation_size"]
    flat = columns == 1
    figure, axes = panels(*((1, rows) if flat else (rows, columns)), 3.3, 2.5)
    for i, j in np.ndindex(rows, columns):
        panel = axes[0, i] if flat else axes[i, j]
        _ratio_panel(panel, data.isel({"corruption": i, "fluctuation_size": j}))
        rho = data.corruption.values[i] if "corruption" in data.coords else None
        if flat and rho is not None:
            panel.set_title(f"corruption {rho:g}")
        elif not flat and i == 0:
            size = data.fluctuation_size.values[j]
            panel.set_title(f"noise per weight {size:g}")
        if (flat and i == 0) or (not flat and j == 0):
            row = "" if flat else f"\ncorruption {rho:g}"
            panel.set_ylabel(f"steady-state error{row}")
        if flat or i == rows - 1:
            panel.set_xlabel("compensation / fluctuation")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


def _ratio_panel(panel: Axes, data: xarray.Dataset) -> None:
    loss = data.loss.transpose("ratio", "seed")
    mean = loss.mean("seed").values
    error = loss.std("seed", ddof=1).values / np.sqrt(loss.sizes["seed"])
    ratios = data.ratio.values
    panel.errorbar(
        ratios,
        mean,
        error,
        marker="o",
        ms=4,
        lw=1.2,
        color=SIMULATED,
        label="simulated",
    )
    law = data.predicted_loss.mean("seed").values
    panel.plot(ratios, law, "--", color=THEORY, lw=1.5, label="from the Hessian")
    lowest = int(mean.argmin())
    panel.plot(ratios[lowest], mean[lowest], "*", ms=13, color=BEST, label="least")
    panel.axvline(1.0, color="0.8", lw=0.8, zorder=0)
    panel.set_yscale("log")
    panel.set_ylim(mean.min() / 1.6, mean.max() * 1.6)


FIG5 = Experiment(
    name="fig5",
    source="Fig. 5",
    shows=(
        "steady-state error against the ratio, nonlinear network: U-shaped, best at r "
        "<= 1"
    ),
    config=Config,
    run=steady_state,
    claims=fig5_claims,
    figure=draw_ratio_grid,
    control=without_gradient,
    dims=DIMS,
    predict=predict,
)
FIG5S1 = Experiment(
    name="fig5s1",
    source="Fig. 5-S1",
    shows="steady-state error against the ratio, linear network, beside the exact law",
    config=Config,
    run=steady_state,
    claims=fig5s1_claims,
    figure=draw_ratio_grid,
    control=without_gradient,
    dims=DIMS,
    predict=predict,
)
FIG5S1_IID = Experiment(
    name="fig5s1_iid",
    source="Fig. 5-S1",
    shows="the same with inputs as printed (isotropic): the best ratio is 1",
    config=Config,
    run=steady_state,
    claims=fig5s1_iid_claims,
    figure=draw_ratio_grid,
    control=without_gradient,
    dims=DIMS,
    predict=predict,
)
FIG5_BEELINE = Experiment(
    name="fig5_beeline",
    source="Fig. 5, file without script",
    shows=(
        "compensation straight at the teacher follows the isotropic law: best at ratio "
        "1"
    ),
    config=Config,
    run=steady_state,
    claims=beeline_claims,
    figure=draw_ratio_grid,
    control=without_gradient,
    dims=DIMS,
    predict=predict,
)
RESTRICTED = Experiment(
    name="restricted",
    source="Discussion",
    shows="fluctuations confined to unimportant synapses ask for less repair",
    config=Config,
    run=steady_state,
    claims=restricted_claims,
    figure=draw_ratio_grid,
    control=with_all_directions,
    dims=DIMS,
    predict=predict,
)
