r"""Beyond the paper: consolidation that never ends, because synapses fluctuate.

The curvature and ratio laws of compensatory plasticity (Raman & O'Leary 2021) on the
landscape of replay: the loss is minus the soft margin of a neuron with two equal
factors a synapse, its gradient is soft replay, and homeostatic scaling follows every
step. How large should replay be beside the fluctuations that it repairs?

The law is one of many directions; a margin has few stiff ones, so it overestimates the
loss by up to a half, while its best ratio holds. The same rules on the quadratic of the
exact Hessian tell how much of the loss curvature explains.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar, simulate, State, sweep, System
from ...._arguments import counted, fill_array_fields, real, require
from ....circuits import LossCircuit
from ....curvature import best_ratio, hessian, steady_state
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan
from ....measure import drift, vertex_of_mean
from ....numerics import eigvalsh
from ....rules import NoisyGradient, Normalised, Wiener
from ....synapses import Factored, HomeostaticScaling, Power
from ....tasks import Constant, draw_patterns
from .shared import LAW, shaded


class Volatile(AbstractConfig):
    r"""A consolidated neuron whose factors fluctuate while it replays its memories.

    Factors are scaled to unit length. Per cycle, fluctuations have length `fluctuation`
    times the square root of the number of factors and thresholds; replay is `ratio`
    times as long, corrupted by `corruption` times as much noise. `sharpness` $\beta$ of
    the soft margin, in units of $1/m$: the higher, the more the weakest memory counts.
    """

    ratio: Scalar = eqx.field(default=0.5, converter=real)
    fluctuation: Scalar = eqx.field(default=2e-4, converter=real)
    corruption: Scalar = eqx.field(default=0.0, converter=real)
    sharpness: Scalar = eqx.field(default=50.0, converter=real)
    coding_level: Scalar = eqx.field(default=0.5, converter=real)
    replays: bool = eqx.field(default=True, static=True)  # control: noise instead
    size: int = eqx.field(default=40, static=True, converter=counted("size"))
    patterns: int = eqx.field(default=12, static=True, converter=counted("patterns"))
    # iterations to the optimum
    settle: int = eqx.field(default=400, static=True, converter=counted("settle"))
    steps: int = eqx.field(default=4000, static=True, converter=counted("steps"))
    window: int = eqx.field(default=2000, static=True, converter=counted("window"))

    def __check_init__(self) -> None:
        unbounded = (0.0, math.inf)
        require(self, ratio=unbounded, fluctuation=unbounded, corruption=unbounded)
        require(self, sharpness=unbounded, coding_level=(1e-6, 1 - 1e-6))
        if self.window > self.steps:
            raise ValueError(
                f"`window` ({self.window}) must not exceed `steps` ({self.steps})."
            )

    @property
    def length(self) -> Scalar:
        """Length of a cycle's fluctuations over all factors and the threshold."""
        return self.fluctuation * (self.size + 1) ** 0.5


class SoftMargin(eqx.Module):
    r"""$\frac1\beta\log\sum_\mu e^{-\beta\sigma^\mu(w\cdot\xi^\mu - I)}$, one neuron.

    $w = u^2/\sum_ju_j^2$: factors of either sign, their scale irrelevant. `inputs` (n,
    pattern), `targets` (pattern,) of +1 and -1.
    """

    inputs: Float[Array, "n pattern"]
    targets: Float[Array, " pattern"]
    sharpness: Scalar

    def __check_init__(self) -> None:
        fill_array_fields(self)

    def __call__(self, synapses: Factored, stimulus: None = None) -> Scalar:
        del stimulus
        squares = synapses.factors[0, 0] ** 2
        weights = squares / jnp.sum(squares)
        margins = self.targets * (weights @ self.inputs - synapses.threshold[0])
        soft = jax.scipy.special.logsumexp(-self.sharpness * margins)
        return soft / self.sharpness


def consolidated(config: Volatile, key: Key[Array, ""]) -> tuple[SoftMargin, Factored]:
    """A loss and its optimum, found by L-BFGS from equal factors of unit length."""
    patterns = draw_patterns(config.size + 1, config.patterns, config.coding_level, key)
    targets = 2 * patterns[0] - 1
    loss = SoftMargin(patterns[1:], targets, config.sharpness)
    equal = jnp.full((1, 1, config.size), config.size**-0.5)
    level = jnp.full((1,), config.coding_level, equal.dtype)
    start, unravel = ravel_pytree(Factored(equal, level))
    flat = lambda x: loss(unravel(x))
    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(flat)

    def iterate(_: Any, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        x, state = carry
        value, slope = value_and_grad(x, state=state)
        seen = {"value": value, "grad": slope, "value_fn": flat}
        update, state = solver.update(slope, state, x, **seen)
        return x + jnp.asarray(update), state

    with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers of 32 bits
        begin = (start, solver.init(start))
        best, _ = jax.lax.fori_loop(0, config.settle, iterate, begin)
    return loss, HomeostaticScaling(1.0, Power(2.0))(unravel(best))


loss_of = lambda state, signals, changes: signals.loss  # before the step


def replayed(config: Volatile, key: Key[Array, ""]) -> dict[str, Array]:
    """Soft margin lost to fluctuations, mean over `window` cycles, and its drift.

    `loss` is that above the optimum, `margin` the optimum itself; `quadratic` is the
    loss of the same rules on the optimum's second-order expansion.
    """
    for_memory, for_run = jr.split(key)
    soft, synapses = consolidated(config, for_memory)
    scaling = HomeostaticScaling(1.0, Power(2.0))
    losses = fluctuate(config, soft, synapses, (scaling,), for_run)
    lost = losses - soft(synapses)
    bowl = Quadratic(hessian(soft, synapses))
    flat = fluctuate(config, bowl, jnp.zeros(config.size + 1), (), for_run)
    return {
        "loss": jnp.mean(lost),
        "drift": drift(lost, 0.5),
        "margin": -soft(synapses),
        "quadratic": jnp.mean(flat),
    }


class Quadratic(eqx.Module):
    r"""$x^\top Hx/2$."""

    matrix: Float[Array, "w w"]

    def __call__(self, x: Float[Array, " w"], stimulus: None = None) -> Scalar:
        del stimulus
        return x @ self.matrix @ x / 2


def fluctuate(
    config: Volatile,
    loss: SoftMargin | Quadratic,
    synapses: Any,
    projections: tuple[HomeostaticScaling, ...],
    key: Key[Array, ""],
) -> Float[Array, " window"]:
    """The losses of the last `window` cycles under fluctuations and replay."""
    length = config.length
    repair = NoisyGradient(config.ratio * length, config.corruption)
    if not config.replays:
        repair = Normalised(Wiener(), config.ratio * length)
    rules = {"fluctuation": Normalised(Wiener(), length), "replay": repair}
    system = System(Constant(None), LossCircuit(loss), rules, projections)
    options = {"steps": config.steps, "record": loss_of}
    return simulate(system, State(None, synapses), key, **options)[1][-config.window :]


def curvature_at_optimum(config: Volatile, key: Key[Array, ""]) -> dict[str, Array]:
    """Eigenvalues of the exact Hessian of the loss at its optimum."""
    loss, synapses = consolidated(config, jr.split(key)[0])
    return {"eigenvalue": eigvalsh(hessian(loss, synapses))}


def predict(plan: Plan, keys: Key[Array, " seed"]) -> Dataset:
    """The mean-field law on the grid, from the Hessian at the optimum.

    `predicted_loss` (sharpness, ratio, seed) and the best fixed ratio,
    `predicted_ratio` (sharpness, seed).
    """
    axes = {name: np.asarray(plan.grid[name]) for name in ("sharpness", "ratio")}
    grid = {"sharpness": axes["sharpness"]}
    options: Any = {"dims": {"eigenvalue": ("mode",)}, "progress": False}
    spectra = sweep(curvature_at_optimum, plan.config, grid, keys, **options).eigenvalue
    spectra = spectra.transpose("seed", "sharpness", "mode")
    length, rho = plan.config.length, plan.config.corruption
    ratios = jnp.asarray(axes["ratio"], length.dtype)

    @jax.jit
    @jax.vmap
    @jax.vmap
    def laws(spectrum: Array) -> tuple[Array, Array]:
        loss = lambda r: steady_state(spectrum, r, length, rho).loss
        return jax.vmap(loss)(ratios), best_ratio(spectrum, rho)

    loss, best = laws(jnp.maximum(jnp.asarray(spectra.values), 0.0))
    found = {
        "eigenvalue": spectra,
        "predicted_loss": (("seed", "sharpness", "ratio"), np.asarray(loss)),
        "predicted_ratio": (("seed", "sharpness"), np.asarray(best)),
    }
    return Dataset(found, {**axes, "seed": spectra.seed})


# --- the best replay is smaller than the noise, as the Hessian predicts ---------------


@claim(
    "Raman & O'Leary 2021, Eq. 9: at most 1; a step of the grid above",
    low=lambda data, control, sharpness: data.ratio[1],
    high=1.15,
    each="sharpness",
)
def at_most_the_noise(data: Dataset, sharpness: float) -> tuple[float, float]:
    """Best replay is at most the noise (best ratio, sharpness {sharpness:g})."""
    curves = data.loss.sel(sharpness=sharpness).transpose("seed", "ratio").values
    return vertex_of_mean(data.ratio.values, curves)


@claim("mean-field law, 20 %", low=0.8, high=1.2, each="sharpness")
def predicted(data: Dataset, sharpness: float) -> float:
    """The optimum's Hessian predicts it (law / run, sharpness {sharpness:g})."""
    law = over_seeds(data.predicted_ratio.sel(sharpness=sharpness))
    return float(law) / at_most_the_noise(data, sharpness)[0]


def off_quadratic(law: Dataset, data: Dataset) -> float:
    """Largest relative distance of the loss from the quadratic of the law."""
    seen, law = over_seeds(data.loss), over_seeds(law.quadratic)
    return float(abs(seen / law - 1).max(skipna=False))


@claim(
    "second-order expansion, small noise: 10 %",
    low=0.0,
    high=0.1,
    control=off_quadratic,
)
def quadratic_loses_as_much(data: Dataset) -> float:
    """The quadratic of the exact Hessian loses as much (largest relative distance, all
    ratios); control: no replay, against replay's quadratic.
    """
    return off_quadratic(data, data)


def draw_volatility(data: Dataset) -> Figure:
    """Margin lost against the ratio of replay to noise; curvature at the optimum."""
    figure, ((left, right),) = panels(1, 2, 4.2, 3.2)
    modes = range(1, data.sizes["mode"] + 1)
    for beta, color in shaded(data.sharpness.values):
        here = data.sel(sharpness=beta)
        scale = float(here.margin.mean())
        share, spread = here.loss.mean("seed") / scale, here.loss.std("seed") / scale
        style = {"fmt": "o-", "ms": 4, "capsize": 2, "label": f"sharpness {beta:g}"}
        left.errorbar(data.ratio, share, spread, color=color, **style)
        for law, line in ((here.predicted_loss, "--"), (here.quadratic, ":")):
            left.plot(data.ratio, law.mean("seed") / scale, line, color=color, lw=1)
        spectra = here.eigenvalue.transpose("mode", "seed")[::-1]
        right.plot(modes, spectra, color=color, lw=0.8)
    left.plot([], [], "--", lw=1, label="law of the Hessian", **LAW)
    left.plot([], [], ":", lw=1, label="its quadratic, run", **LAW)
    left.axvline(1.0, lw=0.7, **LAW)
    left.set(xscale="log", yscale="log")
    left.set(xlabel="replay / fluctuation", ylabel="share of the margin that is lost")
    left.set_xticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
    left.minorticks_off()
    left.legend(frameon=False, fontsize=8)
    right.set(yscale="log", ylim=(1e-3, None), ylabel="curvature of the loss")
    right.set_xlabel("direction of factors and threshold")
    return figure


VOLATILITY = Experiment(
    name="volatility",
    source="beyond the paper",
    shows="memories under lasting fluctuations: the best replay is less than the noise",
    config=Volatile,
    run=replayed,
    claims=(at_most_the_noise, predicted, quadratic_loses_as_much),
    figure=draw_volatility,
    control=changed(replays=False),  # noise as long as replay, in random directions
    predict=predict,
    float64=True,
)
