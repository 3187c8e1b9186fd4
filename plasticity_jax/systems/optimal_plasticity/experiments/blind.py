"""Rules that only try, beside their laws; and the best length of every single step."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import State
from ....curvature import best_ratio
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    standard_error,
)
from ....measure import log_vertex
from ....numerics import tree_vdot
from ....signals import LossSignals
from ..quadratic import Quadratic
from ..theory import accept_only_state, one_sided_loss, probe_loss
from .steady import BEST, draw_beside_law, recorded, SIMULATED, THEORY


RULES = ("two-sided", "one-sided", "accept only")
COLORS = (SIMULATED, THEORY, BEST)


def loss_and_length(state: State, signals: LossSignals, changes: Any) -> Array:
    """Record the loss before the step and the square of the compensation's length."""
    step = changes["compensation"]
    return jnp.stack([signals.loss, tree_vdot(step, step)])


def settled(config: Quadratic, key: Key[Array, ""], **changes: Any) -> Array:
    """Mean loss and mean square of the compensation's length, of a run's last steps."""
    network = config.network(**changes)
    seen = recorded(network, key, loss_and_length)[-config.window :]
    return jnp.mean(seen, axis=0)


def tries(config: Quadratic, key: Key[Array, ""]) -> dict[str, Array]:
    """Steady-state error and realised RMS ratio of three rules that try one direction.

    Their probes are `probe_size` times as long as the step. `law` is the error's law.
    """
    ratio, mean = config.ratio, jnp.mean(config.spectrum)
    size = config.probe_size * ratio
    probing = {"rule": "weight_perturbation", "probe_size": size}
    runs = [
        settled(config, key, **probing),
        settled(config, key, **probing, two_sided=False),
        settled(config, key, rule="accept_only"),
    ]
    loss, square = jnp.stack(runs).T
    one, count = jnp.ones_like(ratio), len(config.spectrum)
    laws = [
        probe_loss(ratio, one, mean, count),
        one_sided_loss(ratio, one, mean, size, count),
        accept_only_state(ratio, one, mean, count)[0],
    ]
    return {"loss": loss, "realised": jnp.sqrt(square), "law": jnp.stack(laws)}


# --- what the specification measured at N = 40 ----------------------------------------


def cost(data: Dataset, ratio: float) -> float:
    """Error of one-sided probes over that of two-sided ones, minus 1."""
    loss = over_seeds(data.loss).sel(ratio=ratio)
    return float(loss.sel(rule="one-sided") / loss.sel(rule="two-sided") - 1)


COSTS = {1.0: 0.14, 2.0: 0.35, 4.0: 0.46}


@claim(
    "rule 5, measured for the specification; 7 percent of the error",
    low=lambda data, control, ratio: COSTS[ratio] - 0.07,
    high=lambda data, control, ratio: COSTS[ratio] + 0.07,
    each={"ratio": tuple(COSTS)},
)
def one_side_costs(data: Dataset, ratio: float) -> float:
    """One-sided probes as long as the step cost, at ratio {ratio:g} (share more)."""
    return cost(data, ratio)


def realised(data: Dataset, rule: str = "accept only") -> tuple[float, float]:
    """Realised RMS ratio at an attempted one of 2."""
    here = data.realised.sel(ratio=2.0, rule=rule)
    return float(over_seeds(here)), float(standard_error(here))


@claim(
    "rule 7, specification: 1.03",
    low=0.98,
    high=1.08,
    control=lambda data, control: realised(control, "two-sided"),
)
def accepted(data: Dataset) -> tuple[float, float]:
    """Accept-only at an attempted ratio of 2 (realised RMS ratio; control: fixed)."""
    return realised(data)


def optimum(data: Dataset, rule: str) -> float:
    """The attempted ratio of least error."""
    return log_vertex(data.ratio.values, over_seeds(data.loss).sel(rule=rule).values)


@claim(
    "rule 7; derived: 1.924",
    low=1.6,
    high=2.3,
    control=lambda data, control: optimum(control, "two-sided"),
)
def best_attempt(data: Dataset) -> float:
    """Accept-only is best at an attempted ratio near 2 (control: a fixed length's)."""
    return optimum(data, "accept only")


@claim("derived laws, large N", low=0.0, high=0.06, control=None, each={"rule": RULES})
def as_the_law(data: Dataset, rule: str) -> float:
    """The error is the law's, {rule} (largest relative distance)."""
    distance = over_seeds(data.loss) / over_seeds(data.law) - 1
    return float(abs(distance).sel(rule=rule).max(skipna=False))


def draw_tries(data: Dataset) -> Figure:
    """Error and realised ratio against the attempted ratio, beside the laws."""
    figure, axes = panels(1, 2, 3.6, 3.0)
    error, length = axes[0]
    for rule, color in zip(data.rule.values, COLORS, strict=True):
        here = data.sel(rule=rule)
        draw_beside_law(error, here, rule, color)
        length.plot(data.ratio, here.realised.mean("seed"), "o-", ms=4, color=color)
    error.plot([], [], "--", color="0.4", lw=1, label="laws")
    error.set(yscale="log", xlabel="attempted ratio", ylabel="error")
    error.legend(frameon=False, fontsize=8)
    length.axhline(1.0, color="0.8", lw=0.8, zorder=0)
    length.set(xlabel="attempted ratio", ylabel="realised ratio")
    return figure


PROBES = Experiment(
    name="probes",
    source="rules 5 and 7",
    shows="one-sided probes cost; accept-only realises a ratio of 1 where it is best",
    config=Quadratic,
    run=tries,
    claims=(one_side_costs, accepted, best_attempt, as_the_law),
    figure=draw_tries,
    control=changed(probe_size=1e-3),
    axes={x: {"rule": RULES} for x in ("loss", "realised", "law")},
    float64=True,  # differences of losses at neighbouring weights
)


# --- rule 8 against the best fixed ratio ----------------------------------------------

LENGTHS = ("each step's best", "best fixed")


def lengths(config: Quadratic, key: Key[Array, ""]) -> dict[str, Array]:
    """Error under the optimal length of every step, and under the best fixed ratio."""
    best = best_ratio(config.spectrum, config.corruption)
    runs = [
        settled(config, key, rule="optimal_magnitude", length_cap=1e3),
        settled(config, key, ratio=best),
    ]
    loss, square = jnp.stack(runs).T
    return {"loss": loss, "realised": jnp.sqrt(square)}


def over_fixed(data: Dataset, corruption: float) -> tuple[float, float]:
    """Error of rule 8 over that of the best fixed ratio."""
    loss = data.loss.sel(corruption=corruption)
    own, fixed = (loss.sel(length=name) for name in LENGTHS)
    return float(over_seeds(own) / over_seeds(fixed)), float(
        standard_error(own / fixed)
    )


@claim("rule 8, specification: 3 % worse", low=1.01, high=1.06)
def greedy_is_worse(data: Dataset) -> tuple[float, float]:
    """Clean gradient: each step's best length is worse (ratio; control: even bowl)."""
    return over_fixed(data, 0.0)


@claim("rule 8, specification: 15 % better", low=0.78, high=0.92, control=None)
def greedy_knows(data: Dataset) -> tuple[float, float]:
    """Corrupted gradient, rho = 5: it is better, knowing which steps are useless."""
    return over_fixed(data, 5.0)


def draw_lengths(data: Dataset) -> Figure:
    """Errors of both against the corruption, and realised ratios."""
    figure, axes = panels(1, 2, 3.6, 2.9)
    named = {"loss": "error", "realised": "RMS ratio"}
    for panel, (name, label) in zip(axes[0], named.items(), strict=True):
        for length, color in zip(data.length.values, COLORS, strict=False):
            mean = data[name].sel(length=length).mean("seed")
            panel.plot(data.corruption, mean, "o-", ms=4, color=color, label=length)
        panel.set(xlabel="corruption", ylabel=label)
    axes[0, 0].set_yscale("log")
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


GREEDY = Experiment(
    name="greedy",
    source="rule 8",
    shows="each step's best length against the best fixed ratio: worse when clean",
    config=Quadratic,
    run=lengths,
    claims=(greedy_is_worse, greedy_knows),
    figure=draw_lengths,
    control=changed(condition=1.0),
    axes={x: {"length": LENGTHS} for x in ("loss", "realised")},
)
