"""Repair of a memory's recall: is it best when smaller than the noise?

Beyond the paper: the curvature and ratio laws of compensatory plasticity (Raman &
O'Leary 2021) on the recall error of a network that holds memories in imaginary
eigenvalues.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar, simulate, State, sweep, System
from ...._arguments import at_least, real, require
from ....circuits import LossCircuit, RateNetwork, Rates
from ....curvature import best_ratio, hessian, steady_state
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import drift, vertex_of_mean
from ....numerics import eigvalsh, normal
from ....rules import NoisyGradient, Normalised, Wiener
from ....signals import LossSignals
from ....tasks import Constant
from ..patterns import draw_planes, low_rank


Matrix = Float[Array, "n n"]


class Repaired(AbstractConfig):
    r"""Memories whose synapses fluctuate and are repaired along the recall's gradient.

    Per step, fluctuations have length `fluctuation` times the square root of the number
    of weights; repair is `ratio` times as long, along the gradient of the recall error
    corrupted by `corruption` times as much noise. Recall follows partial `cues` for
    `time` neural time constants.
    """

    ratio: Scalar = eqx.field(default=0.5, converter=real)
    fluctuation: Scalar = eqx.field(default=1e-3, converter=real)  # per weight
    corruption: Scalar = eqx.field(default=0.0, converter=real)
    rotation: Scalar = eqx.field(default=4.0, converter=real)  # rho
    expansion: Scalar = eqx.field(default=2.0, converter=real)  # alpha
    cue_amplitude: Scalar = eqx.field(default=1.0, converter=real)
    repairs: bool = eqx.field(default=True, static=True)  # control: noise instead
    size: int = eqx.field(default=16, static=True)
    planes: int = eqx.field(default=2, static=True)
    cues: int = eqx.field(default=32, static=True)
    time: float = eqx.field(default=2.0, static=True)
    step: float = eqx.field(default=0.1, static=True)
    steps: int = eqx.field(default=3000, static=True)
    window: int = eqx.field(default=1000, static=True)

    def __check_init__(self) -> None:
        unbounded = (0.0, math.inf)
        require(self, ratio=unbounded, fluctuation=unbounded, corruption=unbounded)
        require(self, rotation=unbounded, expansion=unbounded, cue_amplitude=unbounded)
        for name in ("planes", "cues", "steps", "window"):
            at_least(name, getattr(self, name), 1)
        if self.window > self.steps:
            raise ValueError(
                f"`window` ({self.window}) must not exceed `steps` ({self.steps})."
            )


class RecallError(eqx.Module):
    """Mean squared distance from the intact network's course after every cue.

    `starts` (cue, neuron); `courses` (cue, time, neuron) of the intact network, whose
    error is 0.
    """

    network: RateNetwork
    starts: Float[Array, "cue n"]
    courses: Float[Array, "cue time n"]

    def __call__(self, weights: Matrix, stimulus: None = None) -> Scalar:
        del stimulus
        steps = self.courses.shape[1]
        recalled = recall(self.network, weights, self.starts, steps)
        return jnp.mean((recalled - self.courses) ** 2)


def recall(
    network: RateNetwork, weights: Matrix, starts: Float[Array, "cue n"], steps: int
) -> Float[Array, "cue time n"]:
    """The course from every start, weights fixed."""
    silence, key = jnp.zeros(starts.shape[1]), jr.key(0)

    def forward(activity: Rates, _: None) -> tuple[Rates, Array]:
        activity, signals = network(activity, weights, silence, key)
        return activity, signals.potential

    def course(start: Float[Array, " n"]) -> Float[Array, "time n"]:
        return jax.lax.scan(forward, network.at(start), length=steps)[1]

    return jax.vmap(course)(starts)


def intact(config: Repaired, key: Key[Array, ""]) -> tuple[RecallError, Matrix]:
    """The recall error of a network and the weights at which it vanishes.

    Cues are the vectors of its planes with either sign, in a random background.
    """
    for_planes, for_signs, for_background = jr.split(key, 3)
    planes = draw_planes("hadamard", config.planes, config.size, for_planes)
    ones = jnp.ones(config.planes)
    basis, core = low_rank(planes, config.expansion * ones, config.rotation * ones)
    weights = basis @ core @ basis.T
    cued = basis.T[jnp.arange(config.cues) % (2 * config.planes)]
    signs = jr.rademacher(for_signs, (config.cues, 1), dtype=cued.dtype)
    background = normal(for_background, cued.shape)
    starts = config.cue_amplitude * config.size**0.5 * signs * cued + background
    network, steps = RateNetwork(config.step), round(config.time / config.step)
    courses = recall(network, weights, starts, steps)
    return RecallError(network, starts, courses), weights


def loss_of(state: State, signals: LossSignals, changes: Any) -> Scalar:
    """Record the recall error before the step."""
    del state, changes
    return signals.loss


def repaired(config: Repaired, key: Key[Array, ""]) -> dict[str, Array]:
    """Recall error averaged over the last `window` steps, and its relative drift."""
    for_memory, for_run = jr.split(key)
    loss, weights = intact(config, for_memory)
    length = config.fluctuation * config.size
    repair = NoisyGradient(config.ratio * length, config.corruption)
    if not config.repairs:
        repair = Normalised(Wiener(), config.ratio * length)
    rules = {"fluctuation": Normalised(Wiener(), length), "repair": repair}
    system = System(Constant(None), LossCircuit(loss), rules)
    start, steps = State(None, weights), config.steps
    losses = simulate(system, start, for_run, steps=steps, record=loss_of)[1]
    late = losses[-config.window :]
    return {"loss": jnp.mean(late), "drift": drift(late, 0.5)}


def curvature_at_memory(config: Repaired, key: Key[Array, ""]) -> dict[str, Array]:
    """Eigenvalues of the exact Hessian of the recall error at the intact weights."""
    loss, weights = intact(config, jr.split(key)[0])
    return {"eigenvalue": eigvalsh(hessian(loss, weights))}


def predict(plan: Plan, keys: Key[Array, " seed"]) -> Dataset:
    """The mean-field law on the grid, from the Hessian at the intact weights.

    `predicted_loss` (corruption, ratio, seed) and, per corruption, the best fixed
    ratio `predicted_ratio`.
    """
    run, dims = curvature_at_memory, {"eigenvalue": ("mode",)}
    spectra = sweep(run, plan.config, {}, keys, dims=dims, progress=False).eigenvalue
    axes = {name: np.asarray(plan.grid[name]) for name in ("corruption", "ratio")}
    length = plan.config.fluctuation * plan.config.size
    corruptions, ratios = (jnp.asarray(x, length.dtype) for x in axes.values())

    @jax.jit
    @jax.vmap
    def laws(spectrum: Array) -> tuple[Array, Array]:
        loss = lambda rho, r: steady_state(spectrum, r, length, rho).loss
        every = jax.vmap(jax.vmap(loss, (None, 0)), (0, None))
        best = jax.vmap(lambda rho: best_ratio(spectrum, rho))
        return every(corruptions, ratios), best(corruptions)

    loss, best = map(np.asarray, laws(jnp.maximum(jnp.asarray(spectra.values), 0.0)))
    return Dataset(
        {
            "eigenvalue": spectra,
            "predicted_loss": (("seed", "corruption", "ratio"), loss),
            "predicted_ratio": (("seed", "corruption"), best),
        },
        {**axes, "seed": spectra.seed},
    )


# --- the best ratio stays at or below one, and the exact Hessian predicts it ----------


def optimum(data: Dataset, corruption: float) -> tuple[float, float]:
    """Ratio of least error and its standard error over seeds."""
    curves = data.loss.sel(corruption=corruption).transpose("seed", "ratio").values
    return vertex_of_mean(data.ratio.values, curves)


def blind_optimum(control: Dataset) -> float:
    """The best ratio of repair that does not see the error: at one corruption only."""
    return optimum(control, control.corruption.values[0])[0]


def law(data: Dataset, corruption: float) -> float:
    """The best ratio of the mean-field law."""
    return float(data.predicted_ratio.sel(corruption=corruption).mean(skipna=False))


@claim(
    "Raman & O'Leary 2021, Eq. 9: at most 1; a step of the grid above",
    low=lambda data, control, rho: data.ratio[1],
    high=1.15,
    control=lambda data, control, rho: blind_optimum(control),
    each="corruption",
)
def at_most_the_noise(data: Dataset, corruption: float) -> tuple[float, float]:
    """Best repair is at most the noise (best ratio, corruption {corruption:g})."""
    return optimum(data, corruption)


@claim(
    "mean-field law, 20 %",
    low=0.8,
    high=1.2,
    control=lambda data, control, rho: law(data, rho) / blind_optimum(control),
    each="corruption",
)
def hessian_predicts_ratio(data: Dataset, corruption: float) -> float:
    """The memory's Hessian predicts it (law / run, corruption {corruption:g})."""
    return law(data, corruption) / optimum(data, corruption)[0]


@claim("mean-field law, 25 %", low=0.0, high=0.25)
def hessian_predicts_error(data: Dataset) -> float:
    """And the error (largest relative distance, 0.25 <= ratio <= 1.05)."""
    clean = data.isel(corruption=0).sel(ratio=slice(0.25, 1.05))
    predicted = clean.predicted_loss.mean("seed", skipna=False)
    over = clean.loss.mean("seed", skipna=False) / predicted
    return float(abs(over - 1).max(skipna=False))


@claim("Raman & O'Leary 2021, Fig. 5", low=0.0, control=None)
def worse_gradient_more_repair(data: Dataset) -> float:
    """A corrupted gradient asks for more repair (least step of best ratios)."""
    best = [optimum(data, rho)[0] for rho in data.corruption.values]
    return float(np.min(np.diff(best)))


def without_gradient(plan: Plan) -> Plan:
    """Negative control: repair of the same length in a random direction."""
    grid = {**plan.grid, "corruption": plan.grid["corruption"][:1]}
    return changed(repairs=False)(plan)._replace(grid=grid)


def draw_compensation(data: Dataset) -> Figure:
    """Recall error against the ratio of repair to noise; the law of the Hessian."""
    figure, axes = panels(1, 2, 4.2, 3.2)
    left, right = axes[0]
    for rho, color in zip(data.corruption.values, SHADES, strict=False):
        here = data.sel(corruption=rho)
        mean, spread = here.loss.mean("seed"), here.loss.std("seed")
        style = {"fmt": "o-", "ms": 4, "capsize": 2, "label": f"corruption {rho:g}"}
        left.errorbar(data.ratio, mean, spread, color=color, **style)
        theory = here.predicted_loss.mean("seed")
        left.plot(data.ratio, theory, "--", color=color, lw=1)
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


COMPENSATION = Experiment(
    name="compensation",
    source="beyond the paper",
    shows="repair of a recall error is best when no larger than the noise",
    config=Repaired,
    run=repaired,
    claims=(
        at_most_the_noise,
        hessian_predicts_ratio,
        hessian_predicts_error,
        worse_gradient_more_repair,
    ),
    figure=draw_compensation,
    control=without_gradient,
    predict=predict,
)
