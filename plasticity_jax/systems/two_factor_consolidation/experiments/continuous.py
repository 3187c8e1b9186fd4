r"""Beyond the paper: the number of factors as a real number, and gradients in it.

A synapse $w = u^z$ with $z \ge 1$ equal factors exists for every real z. Replay and
scaling maximise $\mathrm{SNR}_q$ for $q = 2/z$ (Hoff 2017), so $\mathrm{SNR}_q$ as a
function of z is largest at $z = 2/q$, and its derivative, taken through the whole night
by automatic differentiation, vanishes there.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar, simulate
from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from ....measure import density, noise_ratio
from ..config import Config
from ..domains import mean_over
from ..networks import after, build, margins_and_weights, sleep, stored_in, valid_rows
from .shared import LAW, shaded


NORMS = (2.0, 4 / 3, 1.0, 0.8)  # q; largest ratio at z = 1, 1.5, 2, 2.5
CONVEX = 3  # of them have q >= 1: one optimum, no history


def real_order(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""$\mathrm{SNR}_q$ after a night with `exponent` factors, and its slope in them.

    `ratio` and `slope` (norm,), means over neurons; `density`. The weakest pattern is
    replayed until the memories are stored; the slope is that of the soft replay that
    follows, which forgets where it started.
    """
    for_build, for_hard, for_soft = jr.split(key, 3)
    system, state = build(dataclasses.replace(config, policy="weakest"), for_build)
    steps, stored = config.cycles, stored_in(system)
    state = after(system, state, for_hard, steps)
    mean = functools.partial(mean_over, valid_rows(stored))
    slower = {"rate": config.rate / 4, "threshold_rate": config.threshold_rate / 5}
    soft = dataclasses.replace(config, schedule="constant", **slower)

    def night(exponent: Scalar) -> tuple[Array, Scalar]:
        here = dataclasses.replace(soft, exponent=exponent)
        system, start = sleep(here, stored, state.synapses)
        every = max(k for k in range(1, 201) if steps % k == 0)
        end, _ = simulate(system, start, for_soft, steps=steps, every=every)
        margin, weights = margins_and_weights(system, end)
        ratio = jnp.stack([noise_ratio(margin, weights, q) for q in NORMS])
        return jax.vmap(mean)(ratio), mean(density(weights))

    z = config.exponent
    (ratio, share), (slope, _) = jax.jvp(night, (z,), (jnp.ones_like(z),))
    return {"ratio": ratio, "slope": slope, "density": share}


def root(z: DataArray, slope: DataArray) -> float:
    """Where a slope first falls through zero; the first z if it is never positive."""
    values, at = np.asarray(slope), np.asarray(z)
    below = np.flatnonzero(values <= 0)
    if not np.all(np.isfinite(values)) or not len(below):
        return float("nan")
    right = int(below[0])
    if right == 0:
        return float(at[0])
    share = values[right - 1] / (values[right - 1] - values[right])
    return float(at[right - 1] + share * (at[right] - at[right - 1]))


@claim(
    "theory: z factors maximise SNR_(2/z); half a step of the sweep",
    low=lambda data, control, norm: 2 / norm - 1 / 16,
    high=lambda data, control, norm: 2 / norm + 1 / 16,
    each={"norm": NORMS[1:CONVEX]},
)
def slope_vanishes(data: Dataset, norm: float) -> float:
    """The slope of SNR_q, q = {norm:.3g}, in the number of factors, through the whole
    night, vanishes at z = 2/q.
    """
    return root(data.exponent, over_seeds(data.slope).sel(norm=norm))


@claim(
    "theory; sampled best of neighbours, 1 %",
    low=0.99,
    high=1.0,
    control=None,
    each="norm",
)
def largest_near_the_law(data: Dataset, norm: float) -> float:
    """SNR_q, q = {norm:.3g}, within a step of z = 2/q, over its largest value."""
    mean = over_seeds(data.ratio)
    ratio = mean / mean.max("exponent", skipna=False)
    near = abs(data.exponent - 2 / norm) < 0.13
    return float(ratio.sel(norm=norm).where(near).max())


@claim("numerics: second order in steps of 1/8", low=0.0, high=0.1, control=None)
def derivative(data: Dataset) -> float:
    """1 < z < 1.8: automatic derivative less the sweep's central difference (largest,
    over the largest slope).
    """
    mean, inner = over_seeds(data), slice(1.05, 1.8)
    step = mean.ratio.differentiate("exponent").sel(exponent=inner)
    off = abs(mean.slope.sel(exponent=inner) - step).max(skipna=False)
    return float(off) / float(abs(step).max(skipna=False))


def draw_continuous(data: Dataset) -> Figure:
    """Robustness, its derivative and the density against a real number of factors."""
    figure, ((left, middle, right),) = panels(1, 3, 3.6, 3.2)
    mean = data.mean("seed")
    for q, color in shaded(data.norm.values):
        ratio, slope = mean.ratio.sel(norm=q), mean.slope.sel(norm=q)
        top, style = float(ratio.max()), {"ms": 3, "color": color}
        left.plot(data.exponent, ratio / top, "o-", **style)
        left.axvline(2 / q, color=color, lw=0.7, ls=":")
        middle.plot(data.exponent, slope / top, "o-", label=f"q = {q:.3g}", **style)
        step = ratio.differentiate("exponent") / top
        middle.plot(data.exponent[1:-1], step[1:-1], "--", lw=0.8, **LAW)
    middle.plot([], [], "--", lw=0.8, label="sweep's differences", **LAW)
    middle.axhline(0.0, lw=0.7, **LAW)
    left.set_ylabel("SNR$_q$ over its largest value")
    middle.set(ylabel="slope of it, by automatic derivative", ylim=(-0.8, 0.8))
    middle.legend(frameon=False, fontsize=7, loc="upper right")
    right.plot(data.exponent, data.density.transpose("exponent", "seed"), ".", ms=3)
    right.plot(data.exponent, mean.density, "-", color=SHADES[0])
    right.set_ylabel("connection density")
    for axis in (left, middle, right):
        axis.set_xlabel("number of factors $z$")
    return figure


CONTINUOUS = Experiment(
    name="continuous",
    source="beyond the paper",
    shows="any real number of factors: the best one for each noise, found by gradient",
    config=Config,
    run=real_order,
    claims=(slope_vanishes, largest_near_the_law, derivative),
    figure=draw_continuous,
    control=changed(sharpness=1e-3),  # replay does not care how weak a memory is
    axes={name: {"norm": NORMS} for name in ("ratio", "slope")},
    float64=True,
)
