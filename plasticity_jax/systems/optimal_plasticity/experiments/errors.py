"""Table 2, first order, as the error grows; and what A5 assumes of it."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import State
from ....curvature import hessian
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    standard_error,
)
from ....numerics import eigh
from ....signals import LossSignals
from ..config import Directions
from ..theory import gradient_curvature, mean_curvature
from .directions import seen_by
from .steady import before_step, BEST, SIMULATED


STEEP = 22  # of 440 directions: the steepest twentieth
STATES = {  # rule, sizes, noise per weight, ratio, corruption
    "small": ("gradient", (12, 20, 10), 0.001, 0.4, 0.0),
    "rho = 20": ("noisy_gradient", (12, 20, 10), 0.01, 1.0, 20.0),
    "rho = 50": ("noisy_gradient", (12, 20, 10), 0.01, 1.0, 50.0),
    "Fig. 1": ("gradient", (12, 20, 10), 0.09534625892455924, 1.0, 0.0),
}


def overlaps_of(state: State, signals: LossSignals, changes: Any) -> dict[str, Array]:
    """Record how the gradient and the fluctuation lie in the Hessian's directions."""
    matrix = hessian(signals.loss_at, before_step(state, changes))
    values, vectors = eigh(matrix)
    along = lambda tree: vectors.T @ ravel_pytree(tree)[0]
    seen = {"gradient": signals.gradient, "fluctuation": changes["fluctuation"]}
    found = {"loss": signals.loss, "mean": mean_curvature(matrix)}
    for name, overlaps in {k: along(v) for k, v in seen.items()}.items():
        found[name] = gradient_curvature(values, overlaps)
        steep = jnp.sum(overlaps[-STEEP:] ** 2) / jnp.sum(overlaps**2)
        found[f"{name}_share"] = steep * len(values) / STEEP
    return found


def gradients_as_error_grows(
    config: Directions, key: Key[Array, ""]
) -> dict[str, Array]:
    r"""$\langle Q_w[g]\rangle/\langle\mathrm{Tr}H/N\rangle$ and the error, per state.

    `overlap` is the share of the gradient's square in the steepest twentieth of all
    directions, over a twentieth: 1 where $d_i^2$ is the same on average (A5). `blind`
    takes the fluctuation instead of the gradient (the control).
    """
    name = "fluctuation" if config.blind else "gradient"
    table = []
    for number, case in enumerate(STATES.values()):
        seen = seen_by(config, case, jr.fold_in(key, number), overlaps_of)
        mean = jax.tree.map(jnp.mean, seen)
        steepness = mean[name] / mean["mean"]
        table.append((mean["loss"], steepness, mean[f"{name}_share"]))
    names = ("error", "steepness", "overlap")
    columns = (jnp.stack(column) for column in zip(*table, strict=True))
    return dict(zip(names, columns, strict=True))


# --- the specification's values, to 15 % ----------------------------------------------

PRINTED = {"small": (19, 34), "rho = 20": (12, 14), "rho = 50": (12, 14)}
PRINTED |= {"Fig. 1": (17, 22)}


@claim(
    "Table 2; measured for the specification, 15 %",
    low=lambda data, control, state: 0.85 * PRINTED[state][0],
    high=lambda data, control, state: 1.15 * PRINTED[state][1],
    each={"state": tuple(STATES)},
)
def steep(data: Dataset, state: str) -> tuple[float, float]:
    """The gradient is steep ({state}: curvature over the average)."""
    here = data.steepness.sel(state=state)
    return float(over_seeds(here)), float(standard_error(here))


@claim("Table 2 prints 'about average' at high error", low=0.0, high=1.0, control=None)
def less_steep(data: Dataset) -> float:
    """Less so where repair is mostly noise (largest ratio to that at a small error).

    At Figure 1's step, whose error is larger still, it is not.
    """
    mean = over_seeds(data.steepness)
    noisy = mean.sel(state=["rho = 20", "rho = 50"])
    return float((noisy / mean.sel(state="small")).max(skipna=False))


@claim("A5 assumes 1, which does not hold", low=2.0, each={"state": tuple(STATES)})
def prefers_steep_directions(data: Dataset, state: str) -> float:
    """The gradient lies in steep directions, {state} (share over an even one's)."""
    return float(over_seeds(data.overlap).sel(state=state))


def draw_errors(data: Dataset) -> Figure:
    """How steep the gradient is, and how it lies, against the error."""
    figure, axes = panels(1, 2, 3.6, 2.9)
    named = {"steepness": "curvature / average", "overlap": "share / even share"}
    for panel, (name, label) in zip(axes[0], named.items(), strict=True):
        mean, spread = data[name].mean("seed"), standard_error(data[name])
        errors = data.error.mean("seed").values
        states = [
            f"{state}\n({error:.1g})"
            for state, error in zip(data.state.values, errors, strict=True)
        ]
        panel.bar(states, mean, yerr=spread, width=0.6, color=SIMULATED)
        panel.axhline(1.0, color=BEST, lw=1)
        panel.set(xlabel="state (error)", ylabel=label)
    return figure


TABLE2_ERROR = Experiment(
    name="table2_error",
    source="Table 2, A5",
    shows="the gradient's curvature at rho = 20, 50 and Figure 1's step; A5's premise",
    config=Directions,
    run=gradients_as_error_grows,
    claims=(steep, less_steep, prefers_steep_directions),
    figure=draw_errors,
    control=changed(blind=True),
    axes={x: {"state": tuple(STATES)} for x in ("error", "steepness", "overlap")},
    float64=True,
)
