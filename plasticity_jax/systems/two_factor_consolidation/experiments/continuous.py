r"""Beyond the paper: the number of factors as a real number, and gradients in it.

A synapse $w = u^z$ with $z \ge 1$ equal factors exists for every real z. Replay and
scaling maximise $\mathrm{SNR}_q$ for $q = 2/z$ (Hoff 2017), so $\mathrm{SNR}_q$ as a
function of z is largest at $z = 2/q$, and its derivative, taken through the whole night
by automatic differentiation, vanishes there.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import Scalar, simulate
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import degenerate, density, margins, noise_ratio
from ..config import build, Config, fields_and_weights, sleep


NORMS = (2.0, 4 / 3, 1.0, 0.8)  # q; largest ratio at z = 1, 1.5, 2, 2.5
CONVEX = 3  # of them have q >= 1: one optimum, no history


def real_order(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""$\mathrm{SNR}_q$ after a night with `exponent` factors, and its slope in them.

    `ratio` and `slope` (norm,), means over neurons; `density`. The weakest pattern is
    replayed until the memories are stored; the slope is that of the soft replay that
    follows, which forgets where it started.
    """
    for_build, for_hard, for_soft = jr.split(key, 3)
    hard = dataclasses.replace(config, policy="weakest")
    system, state = build(hard, for_build)
    steps = config.cycles
    state, _ = simulate(system, state, for_hard, steps=steps, every=steps)
    stored, counts = system.task.stimulus, 0.0  # pyright: ignore[reportAttributeAccessIssue]
    counts = jnp.where(degenerate(stored.targets, stored.stored), 0.0, 1.0)
    soft = dataclasses.replace(
        config,
        schedule="constant",
        rate=config.rate / 4,
        threshold_rate=config.threshold_rate / 5,
    )

    def after(exponent: Scalar) -> tuple[Array, Scalar]:
        night = dataclasses.replace(soft, exponent=exponent)
        system, start = sleep(night, stored, state.synapses)
        every = max(k for k in range(1, 201) if steps % k == 0)
        end, _ = simulate(system, start, for_soft, steps=steps, every=every)
        fields, weights = fields_and_weights(system, end)
        margin = margins(fields, stored.targets, stored.stored)
        ratio = jnp.stack([noise_ratio(margin, weights, q) for q in NORMS])
        of_all = lambda rows: (
            jnp.sum(jnp.where(counts > 0, rows, 0.0)) / jnp.sum(counts)
        )
        return jax.vmap(of_all)(ratio), of_all(density(weights))

    (ratio, share), (slope, _) = jax.jvp(
        after, (config.exponent,), (jnp.ones_like(config.exponent),)
    )
    return {"ratio": ratio, "slope": slope, "density": share}


def label(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates, and the best number of factors for each norm, 2/q."""
    del plan, keys
    best = 2 / np.asarray(NORMS)
    return xarray.Dataset({"predicted": ("norm", best)}, {"norm": list(NORMS)})


def root(z: xarray.DataArray, slope: xarray.DataArray) -> float:
    """Where a slope first falls through zero; the first z if it is never positive."""
    values, at = np.asarray(slope), np.asarray(z)
    if not np.all(np.isfinite(values)):
        return float("nan")
    below = np.flatnonzero(values <= 0)
    if not len(below):
        return float("nan")
    right = int(below[0])
    if right == 0:
        return float(at[0])
    share = values[right - 1] / (values[right - 1] - values[right])
    return float(at[right - 1] + share * (at[right] - at[right - 1]))


def continuous_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Where robustness to the noise of each norm is largest, by value and by slope."""
    mean = data.mean("seed", skipna=False)
    none = control.mean("seed", skipna=False)
    claims = []
    for q in NORMS[1:CONVEX]:
        claims.append(
            Claim(
                f"the slope of SNR_{q:.3g} in the number of factors, through the whole "
                f"night, vanishes at z = {2 / q:.2f}; control: all memories alike",
                "theory: z factors maximise SNR_(2/z); half a step of the sweep",
                root(mean.exponent, mean.slope.sel(norm=q)),
                2 / q - 1 / 16,
                2 / q + 1 / 16,
                control=root(none.exponent, none.slope.sel(norm=q)),
            )
        )
    ratio = mean.ratio / mean.ratio.max("exponent", skipna=False)
    for q in NORMS:
        near = abs(mean.exponent - 2 / q) < 0.13
        claims.append(
            Claim(
                f"SNR_{q:.3g} within a step of z = {2 / q:.2f}, over its largest value",
                "theory; sampled best of neighbours, 1 %",
                float(ratio.sel(norm=q).where(near).max()),
                0.99,
                1.0,
            )
        )
    inner = slice(1.05, 1.8)
    taken = mean.slope.sel(exponent=inner)
    step = mean.ratio.differentiate("exponent").sel(exponent=inner)
    scale = float(abs(step).max(skipna=False))
    claims.append(
        Claim(
            "1 < z < 1.8: automatic derivative less the sweep's central difference "
            "(largest, over the largest slope)",
            "numerics: second order in steps of 1/8",
            float(abs(taken - step).max(skipna=False)) / scale,
            0.0,
            0.1,
        )
    )
    return claims


def alike(plan: Plan) -> Plan:
    """Negative control: soft replay that does not care how weak a memory is."""
    return plan._replace(config=dataclasses.replace(plan.config, sharpness=1e-3))


def draw_continuous(data: xarray.Dataset) -> Figure:
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


CONTINUOUS = Experiment(
    name="continuous",
    source="beyond the paper",
    shows="any real number of factors: the best one for each noise, found by gradient",
    config=Config,
    run=real_order,
    claims=continuous_claims,
    figure=draw_continuous,
    control=alike,
    dims={"ratio": ("norm",), "slope": ("norm",)},
    predict=label,
    float64=True,
)
