"""Steady-state error against the ratio: Figure 5, its supplement, restricted noise."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .... import simulate, State, sweep
from ....curvature import best_ratio, greedy_ratio, hessian, isotropic_loss
from ....curvature import steady_state as settled_state
from ....experiment import changed, panels, Plan, soon, standard_error
from ....measure import drift, STATIONARY
from ....numerics import eigvalsh
from ....signals import LossSignals
from ..config import build, Config, input_moment, objective


BLOCK = 4  # spectra whose best ratios are searched together
STRETCHES = 50  # of the recorded course of the loss
AXES = {"course": {"stretch": lambda config: middles_of(config.steps)}}


def middles_of(steps: int) -> np.ndarray:
    """Middles of the equal stretches of a run's course, as shares of the run."""
    count = min(STRETCHES, steps)
    return (np.arange(count) + 0.5) / count


SIMULATED, THEORY, BEST = "#1f5fa8", "#d1731c", "#b3262e"


def loss_of(state: State, signals: LossSignals, changes: Any) -> Array:
    """Record the loss before the step: it includes the last step's fluctuation."""
    del state, changes
    return signals.loss


def before_step(state: State, changes: dict[str, Any]) -> Any:
    """The synapses that the changes were made at, without projections."""
    return jax.tree.map(lambda w, *d: w - sum(d), state.synapses, *changes.values())


def recorded(config: Config, key: Key[Array, ""], record: Any) -> Any:
    """What `record` sees in one run of `steps` steps, its system built for the key."""
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    return simulate(system, state, for_run, steps=config.steps, record=record)[1]


def steady_state(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Steady-state error: the loss averaged over the last `window` steps.

    `drift` says how settled it is (see `measure.drift`), `stationary` whether by less
    than 5 %; `course` is the loss averaged over 50 equal stretches of the run.
    """
    losses = recorded(config, key, loss_of)
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
        values = eigvalsh(hessian(*objective(config, for_build)))
    return {"eigenvalue": jnp.maximum(values, 0.0)}


def driven_directions(config: Config) -> int:
    """How many eigen-directions the fluctuation moves, the softest ones."""
    soft = max(1, round(config.fluctuating_share * config.sizes[0]))
    every = config.fluctuating_share >= 1
    return config.weights if every else config.weights * soft // config.sizes[0]


def predict(plan: Plan, keys: Key[Array, " seed"]) -> xarray.Dataset:
    """The mean-field law fed with the exact curvature at every teacher.

    `predicted_loss` and, from the mean curvature alone, `isotropic_loss` on the grid;
    per corruption the best fixed ratio and the ratio of Eq. 9 at its own steady state.
    """
    config = dataclasses.replace(  # of all rules: one program
        plan.config, rule=Config.rule, fluctuating_share=Config.fluctuating_share
    )
    dims = {"eigenvalue": ("mode",)}
    options: dict[str, Any] = {"dims": dims, "batch_size": 1, "progress": False}
    data = sweep(spectrum_at_teacher, config, {}, keys, **options)
    spectra, driven = data.eigenvalue, driven_directions(plan.config)
    axes = [_axis(plan, name) for name in ("corruption", "fluctuation_size", "ratio")]
    if plan.config.rule == "gradient":
        axes[0] = 0 * axes[0]
    if plan.config.rule in ("beeline", "newton"):
        loss = _broadcast(_isotropic, driven, spectra, 0 * axes[0], *axes[1:])
    else:
        loss = _broadcast(_settled, driven, spectra, *axes)
    return xarray.Dataset(
        {
            "eigenvalue": spectra,
            "predicted_loss": loss,
            "isotropic_loss": _broadcast(_isotropic, driven, spectra, *axes),
            "predicted_ratio": _ratios(_best, driven, spectra, axes[0]),
            "greedy_ratio": _ratios(_greedy, driven, spectra, axes[0]),
        }
    )


def _settled(modes: Any, shares: Any, rho: Any, size: Any, ratio: Any) -> Array:
    length = size * math.sqrt(len(modes))
    return settled_state(modes, ratio, length, rho, shares).loss


def _isotropic(modes: Any, shares: Any, rho: Any, size: Any, ratio: Any) -> Array:
    del shares
    length = size * math.sqrt(len(modes))
    return isotropic_loss(ratio, length, jnp.mean(modes), rho)


def _best(modes: Any, shares: Any, rho: Any) -> Array:
    return best_ratio(modes, rho, shares)


def _greedy(modes: Any, shares: Any, rho: Any) -> Array:
    del shares
    return greedy_ratio(modes, rho)


def _axis(plan: Plan, name: str) -> xarray.DataArray:
    values = plan.grid.get(name)
    if values is None:
        return xarray.DataArray(np.asarray(getattr(plan.config, name)))
    return xarray.DataArray(values, {name: values}, (name,))


def _ratios(
    law: Any, driven: int, spectra: xarray.DataArray, corruption: xarray.DataArray
) -> xarray.DataArray:
    """A ratio for every spectrum and corruption, from one program for all plans.

    It computes one corruption after the other, for a multiple of `BLOCK` spectra.
    """
    count = spectra.sizes["seed"]
    full = spectra.isel(seed=np.minimum(np.arange(count + -count % BLOCK), count - 1))
    at = lambda one: _broadcast(law, driven, full, one).isel(seed=slice(count))
    if not corruption.ndim:
        return at(corruption)
    parts = [at(corruption[i : i + 1]) for i in range(len(corruption))]
    return xarray.concat(parts, corruption.dims[0])


def _broadcast(
    law: Any, driven: int, spectra: xarray.DataArray, *axes: xarray.DataArray
) -> xarray.DataArray:
    """`law(spectrum, shares, number, ...)` at every combination of labels."""
    dtype = jnp.result_type(float)

    def at(spectrum: np.ndarray, *numbers: Any) -> np.ndarray:
        *outer, modes = spectrum.shape
        shape = np.broadcast_shapes(tuple(outer), *(np.shape(x) for x in numbers))
        rows = np.broadcast_to(spectrum, (*shape, modes)).reshape(-1, modes)
        full = [np.broadcast_to(x, shape).ravel() for x in numbers]
        given = (jnp.asarray(x, dtype) for x in (rows, *full))
        return np.asarray(_mapped(law, driven, *given)).reshape(shape)

    core = [["mode"], *([] for _ in axes)]
    return xarray.apply_ufunc(at, spectra, *axes, input_core_dims=core)


@soon
def _mapped(law: Any, driven: int, spectra: Array, *numbers: Array) -> Array:
    """With shares of the fluctuation's square: equal ones in the `driven` directions.

    Softest first. A row of the spectra and one of each of the numbers at a time.
    """
    soft = np.arange(spectra.shape[-1]) < driven
    shares = jnp.asarray(np.where(soft, 1 / driven, 0.0), spectra.dtype)
    at = lambda modes, *numbers: law(modes, shares, *numbers)
    return jax.vmap(at)(spectra, *numbers)


def without_gradient(plan: Plan) -> Plan:
    """Negative control: compensation of the same length that does not see the loss."""
    fewer = {"corruption": [0.1]} if "corruption" in plan.grid else {}
    blind = changed(rule="noise", seeds=2)(plan)
    return blind._replace(grid={**plan.grid, **fewer})


def draw_ratio_grid(data: xarray.Dataset) -> Figure:
    """Steady-state error against the ratio: a row per corruption, a column per size."""
    for name in ("fluctuation_size", "corruption"):
        if name not in data.dims:
            data = data.expand_dims(name)
    rows, columns = data.sizes["corruption"], data.sizes["fluctuation_size"]
    flat = columns == 1
    figure, axes = panels(*((1, rows) if flat else (rows, columns)), 3.3, 2.5)
    for i, j in np.ndindex(rows, columns):
        panel = axes[j, i] if flat else axes[i, j]
        _ratio_panel(panel, data.isel({"corruption": i, "fluctuation_size": j}))
        rho = data.corruption.values[i] if "corruption" in data.coords else None
        if flat and rho is not None:
            panel.set_title(f"corruption {rho:g}")
        elif not flat and i == 0:
            panel.set_title(f"noise per weight {data.fluctuation_size.values[j]:g}")
        if panel.get_subplotspec().is_first_col():
            row = "" if flat else f"\ncorruption {rho:g}"
            panel.set_ylabel(f"steady-state error{row}")
        if panel.get_subplotspec().is_last_row():
            panel.set_xlabel("compensation / fluctuation")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


def _ratio_panel(panel: Axes, data: xarray.Dataset) -> None:
    mean, error = data.loss.mean("seed").values, standard_error(data.loss)
    style = {"marker": "o", "ms": 4, "lw": 1.2, "color": SIMULATED}
    panel.errorbar(data.ratio, mean, error, **style, label="simulated")
    law = data.predicted_loss.mean("seed")
    panel.plot(data.ratio, law, "--", color=THEORY, lw=1.5, label="from the Hessian")
    least = data.ratio.values[mean.argmin()]
    panel.plot(least, mean.min(), "*", ms=13, color=BEST, label="least")
    panel.axvline(1.0, color="0.8", lw=0.8, zorder=0)
    panel.set(yscale="log", ylim=(mean.min() / 1.6, mean.max() * 1.6))


def draw_beside_law(panel: Axes, data: xarray.Dataset, label: str, color: str) -> None:
    """The simulated `loss` with its standard errors, and the `law`, by the ratio."""
    mean, spread = data.loss.mean("seed"), standard_error(data.loss)
    panel.errorbar(data.ratio, mean, spread, fmt="o", ms=4, color=color, label=label)
    panel.plot(data.ratio, data.law.mean("seed"), "--", lw=1, color=color)
