"""The mean-field law from a Lanczos spectrum, where a dense Hessian is too large."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....curvature import best_ratio, hessian_operator, spectrum
from ....curvature import steady_state as settled_state
from ....experiment import claim, Experiment, over_seeds, panels, Plan, standard_error
from ....measure import log_vertex
from ..config import Config, objective
from .steady import AXES, SIMULATED, steady_state, THEORY, without_gradient


STEPS, PROBES = 40, 2  # of Lanczos


@functools.partial(jax.jit, static_argnums=0)
def laws(plan_of: Any, key: Key[Array, ""], ratios: Array) -> tuple[Array, Array]:
    """Error on the ratios and the best one, from the spectrum at the teacher."""
    config = plan_of()
    for_build, for_probes = jr.split(key)
    operator = hessian_operator(*objective(config, for_build))
    options: Any = {"method": "lanczos", "steps": STEPS, "probes": PROBES}
    values, weights = spectrum(operator, key=for_probes, **options)
    values, rho = jnp.maximum(values, 0.0), config.corruption
    law = lambda r: (
        settled_state(values, r, config.fluctuation, rho, weights=weights).loss
    )
    return jax.vmap(law)(ratios), best_ratio(values, rho, weights=weights)


def predict(plan: Plan, keys: Key[Array, " seed"]) -> Dataset:
    """`predicted_loss` on the ratios and `predicted_ratio`, for each seed's teacher."""
    axis = np.asarray(plan.grid["ratio"])
    ratios = jnp.asarray(axis, jnp.result_type(float))
    given = functools.partial(lambda config: config, plan.config)
    found = [laws(given, key, ratios) for key in keys]
    loss, best = (
        np.stack([np.asarray(x) for x in part]) for part in zip(*found, strict=True)
    )
    return Dataset(
        {
            "predicted_loss": (("seed", "ratio"), loss),
            "predicted_ratio": (("seed",), best),
        },
        {"ratio": axis},
    )


def optimum(data: Dataset, loss: DataArray) -> float:
    """The ratio of least error."""
    return log_vertex(data.ratio.values, over_seeds(loss).values)


@claim(
    "mean-field law, 15 %",
    low=0.85,
    high=1.15,
    control=lambda data, control: (
        optimum(data, data.predicted_loss) / optimum(control, control.loss)
    ),
)
def lanczos_predicts_ratio(data: Dataset) -> float:
    """A few Lanczos steps predict the best ratio (law / simulated, on one grid)."""
    return optimum(data, data.predicted_loss) / optimum(data, data.loss)


@claim("mean-field law", low=0.0, high=0.05)
def lanczos_predicts_error(data: Dataset) -> float:
    """And the error (largest relative distance)."""
    distance = over_seeds(data.predicted_loss) / over_seeds(data.loss) - 1
    return float(abs(distance).max(skipna=False))


def draw_scale(data: Dataset) -> Figure:
    """Error against the ratio beside the law."""
    figure, axes = panels(1, 1, 4.2, 3.0)
    panel = axes[0, 0]
    mean, spread = data.loss.mean("seed"), standard_error(data.loss)
    style = {"fmt": "o", "ms": 4, "color": SIMULATED, "label": "simulated"}
    panel.errorbar(data.ratio, mean, spread, **style)
    law = data.predicted_loss.mean("seed")
    panel.plot(data.ratio, law, "--", color=THEORY, label="from Lanczos steps")
    panel.set(yscale="log", xlabel="compensation / fluctuation", ylabel="error")
    panel.legend(frameon=False)
    return figure


SCALE = Experiment(
    name="scale",
    source="beyond the paper",
    shows="Lanczos steps predict the best ratio of a linear network of 102,400 weights",
    config=Config,
    run=steady_state,
    claims=(lanczos_predicts_ratio, lanczos_predicts_error),
    figure=draw_scale,
    control=without_gradient,
    axes=AXES,
    predict=predict,
)
