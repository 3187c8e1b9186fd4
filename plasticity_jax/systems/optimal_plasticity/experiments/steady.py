"""Steady-state error against the ratio: Figure 5, its supplement, restricted noise."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key

from .... import simulate, State, sweep
from ....curvature import best_ratio, greedy_ratio, hessian, isotropic_loss
from ....curvature import steady_state as settled_state
from ....experiment import changed, over_seeds, Plan
from ....measure import drift, log_vertex, STATIONARY
from ....numerics import eigvalsh
from ....signals import LossSignals
from ..config import build, Config, input_moment, objective


STRETCHES = 50  # of the recorded course of the loss
AXES = {"course": {"stretch": None}}


def loss_of(state: State, signals: LossSignals, changes: Any) -> Array:
    """Record the loss before the step: it includes the last step's fluctuation."""
    del state, changes
    return signals.loss


def before_step(state: State, changes: dict[str, Any]) -> Any:
    """The synapses that the changes were made at, without projections."""
    return jax.tree.map(lambda w, *d: w - sum(d), state.synapses, *changes.values())


def steady_state(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Steady-state error: the loss averaged over the last `window` steps.

    `drift` says how settled it is (see `measure.drift`), `stationary` whether by less
    than 5 %; `course` is the loss averaged over 50 equal stretches of the run.
    """
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    _, losses = simulate(system, state, for_run, steps=config.steps, record=loss_of)
    stretches = min(STRETCHES, config.steps)
    kept = losses[config.steps % stretches :]
    settled = drift(losses)
    return {
        "loss": jnp.mean(losses[-config.window :]),
        "drift": settled,
        "stationary": jnp.abs(settled) < STATIONARY,
        "course": jnp.mean(kept.reshape(stretches, -1), axis=1),
    }


def spectrum_at_teacher(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Eigenvalues of the exact Hessian at the teacher, ascending, clipped at zero."""
    if config.linear:
        outputs = config.sizes[-1]
        scale = 2 / outputs if config.reduction == "mean" else 2.0
        values = jnp.repeat(eigvalsh(scale * input_moment(config)), outputs)
    else:
        for_build, _ = jr.split(key)
        matrix = hessian(*objective(config, for_build))
        values = eigvalsh(matrix)
    return {"eigenvalue": jnp.maximum(values, 0.0)}


def fluctuating_shares(config: Config) -> Array:
    """Share of the fluctuation's square in each eigen-direction, softest first."""
    count = config.weights
    soft = max(1, round(config.fluctuating_share * config.sizes[0]))
    driven = count * soft // config.sizes[0] if config.fluctuating_share < 1 else count
    return jnp.where(jnp.arange(count) < driven, 1 / driven, 0.0)


def predict(plan: Plan, keys: Key[Array, " seed"]) -> xarray.Dataset:
    """The mean-field law fed with the exact curvature at every teacher.

    `predicted_loss` and, from the mean curvature alone, `isotropic_loss` on the grid;
    per corruption the best fixed ratio and the ratio
    of Eq. 9 at its own steady state.
    """
    config: Config = plan.config
    dims = {"eigenvalue": ("mode",)}
    data = sweep(spectrum_at_teacher, config, {}, keys, dims=dims, progress=False)
    shares = fluctuating_shares(config)
    size = lambda s: s * math.sqrt(config.weights)
    axes = [_axis(plan, name) for name in ("corruption", "fluctuation_size", "ratio")]
    if config.rule == "gradient":
        axes[0] = 0 * axes[0]
    law = lambda e, rho, s, r: settled_state(e, r, size(s), rho, shares).loss
    if config.rule in ("beeline", "newton"):
        law = lambda e, rho, s, r: isotropic_loss(r, size(s), jnp.mean(e), 0 * rho)
    spectra = data.eigenvalue
    best = lambda e, rho: best_ratio(e, rho, shares)
    even = lambda e, rho, s, r: isotropic_loss(r, size(s), jnp.mean(e), rho)
    return xarray.Dataset(
        {
            "eigenvalue": spectra,
            "predicted_loss": _broadcast(law, spectra, *axes),
            "isotropic_loss": _broadcast(even, spectra, *axes),
            "predicted_ratio": _broadcast(best, spectra, axes[0]),
            "greedy_ratio": _broadcast(greedy_ratio, spectra, axes[0]),
        }
    )


def _axis(plan: Plan, name: str) -> xarray.DataArray:
    values = plan.grid.get(name)
    if values is None:
        return xarray.DataArray(np.asarray(getattr(plan.config, name)))
    return xarray.DataArray(values, {name: values}, (name,))


def _broadcast(law: Any, spectra: xarray.DataArray, *axes: xarray.DataArray) -> Any:
    """`law(spectrum, number, ...)` at every combination of labels."""
    dtype = jnp.result_type(float)
    signature = ",".join(["(m)", *("()" for _ in axes)]) + "->()"
    vectorized = jax.jit(jnp.vectorize(law, signature=signature))

    def at(spectrum: np.ndarray, *numbers: Any) -> np.ndarray:
        *outer, modes = spectrum.shape
        shape = np.broadcast_shapes(tuple(outer), *(np.shape(x) for x in numbers))
        full = [np.broadcast_to(x, shape) for x in numbers]
        arrays = (np.broadcast_to(spectrum, (*shape, modes)), *full)
        return np.asarray(vectorized(*(jnp.asarray(x, dtype) for x in arrays)))

    core = [["mode"], *([] for _ in axes)]
    return xarray.apply_ufunc(at, spectra, *axes, input_core_dims=core)


def at(data: xarray.Dataset, **point: float) -> xarray.Dataset:
    """The data at a point of the grid; NaN where the grid does not have it."""
    for name, value in point.items():
        near = {name: [value]}
        data = data.reindex(near, method="nearest", tolerance=1e-6 * abs(value))
        data = data.isel({name: 0}, drop=True)
    return data


def optimum(data: xarray.Dataset, **point: float) -> tuple[float, float]:
    """Ratio of least error, averaged over noise sizes, and its standard error."""
    loss = at(data, **point).loss
    ratios, seeds = data.ratio.values, data.sizes["seed"]
    curves = loss.transpose("seed", ..., "ratio").values
    curves = curves.reshape(seeds, -1, len(ratios))
    each = [np.mean([log_vertex(ratios, y) for y in seed]) for seed in curves]
    error = np.std(each, ddof=1) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    best = [log_vertex(ratios, y) for y in curves.mean(axis=0)]
    return float(np.mean(best)), float(error)


def blind_optimum(data: xarray.Dataset, control: xarray.Dataset, *point: float) -> Any:
    """The best ratio of repair that does not see the loss: at one corruption only."""
    return optimum(control)


def share_of_valleys(data: xarray.Dataset) -> float:
    """Share of the curves over the ratio whose lowest point is inside the grid."""
    loss = over_seeds(data.loss)
    lowest = loss.fillna(-math.inf).argmin("ratio")
    inside = (lowest > 0) & (lowest < len(data.ratio) - 1)
    return float((inside & loss.notnull().all("ratio")).mean())


def growth_with_size(data: xarray.Dataset) -> float:
    """Error at twice the first fluctuation size over error at the first, r >= 0.4."""
    loss = over_seeds(at(data, corruption=0.1).loss).sel(ratio=slice(0.35, None))
    first = float(data.fluctuation_size[0])
    pair = [at(loss.to_dataset(), fluctuation_size=k * first).loss for k in (1, 2)]
    return float((pair[1] / pair[0]).mean(skipna=False))


def overshoot(data: xarray.Dataset, corruption: float = 0.1) -> float:
    """Error at ratio 2.5 over the least error."""
    loss = over_seeds(at(data, corruption=corruption).loss)
    most = at(loss.to_dataset(), ratio=2.5).loss
    return float((most / loss.min("ratio")).mean(skipna=False))


def misfit(
    data: xarray.Dataset,
    ratios: slice,
    law: str = "predicted_loss",
    summary: Any = np.max,
) -> float:
    """Relative distance of the mean simulated error from a law: the largest one."""
    near = data.sel(ratio=ratios)
    distance = abs(over_seeds(near.loss) / over_seeds(near[law]) - 1).values
    return float(summary(distance)) if distance.size else math.nan


def unsettled(data: xarray.Dataset) -> float:
    """Largest mean size of the drift at corruption 0.1 and r >= 0.4."""
    kept = abs(at(data, corruption=0.1).drift).sel(ratio=slice(0.35, None))
    return float(over_seeds(kept).max(skipna=False))


def without_gradient(plan: Plan) -> Plan:
    """Negative control: compensation of the same length that does not see the loss."""
    fewer = {"corruption": [0.1]} if "corruption" in plan.grid else {}
    blind = changed(rule="noise", seeds=2)(plan)
    return blind._replace(grid={**plan.grid, **fewer})


SIMULATED, THEORY, BEST = "#1f5fa8", "#d1731c", "#b3262e"
