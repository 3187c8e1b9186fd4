"""Beyond the paper: what it costs to take correlated inputs for independent."""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....circuits import input_moments, Sigmoid, SynapticKernel
from ....curvature import correlated_glm_fisher, glm_fisher
from ....experiment import changed, claim, Experiment, over_seeds, panels
from ..config import uniform_weights
from ..mean_field import BIN, metric_divergence, THRESHOLD
from .learning import APPROXIMATE, EUCLIDEAN, NATURAL


METRICS = {"euclidean": EUCLIDEAN, "diagonal": APPROXIMATE, "correlated": NATURAL}
RESIDUAL = 2.5e-5  # divergence per bin at which every student settles
TIMES = np.linspace(0.0, 8000.0, 401)  # s
EARLY = 50  # records in which the divergence is far above its floor


class Correlated(AbstractConfig):
    r"""Inputs in groups that share a part `correlation` of their spikes.

    A group has `group` inputs; all fire at `rate`, and their teacher's weights are
    uniform in $\pm$ `weight_scale` over `size`. Learning rates are those at which every
    student ends at the same divergence. Mean-field theory with the closed-form Fisher
    matrix at the teacher's weights. Without `knows` no student knows the correlations.
    """

    correlation: Scalar = eqx.field(default=0.5, converter=real)
    weight_scale: Scalar = eqx.field(default=1.0, converter=real)
    rate: Scalar = eqx.field(default=30.0, converter=real)  # Hz
    size: int = eqx.field(default=100, static=True)
    group: int = eqx.field(default=10, static=True)
    knows: bool = eqx.field(default=True, static=True)  # control: no student does

    def __check_init__(self) -> None:
        require(self, correlation=(0.0, 0.99), weight_scale=(0.0, math.inf))
        require(self, rate=(1e-6, 2000.0))
        for name in ("size", "group"):
            whole(name, getattr(self, name), 1)
        if self.size % self.group:
            raise ValueError(
                f"`size` ({self.size}) must be a multiple of `group` ({self.group})."
            )


def learning_with_correlations(
    config: Correlated, key: Key[Array, ""]
) -> dict[str, Array]:
    """Divergence per bin (metric, time) of students with three metrics."""
    count, share = config.size, config.correlation
    weights = uniform_weights(config.weight_scale, (count,), key)
    moments = input_moments(jnp.full(count, config.rate), SynapticKernel())
    same = jnp.kron(jnp.eye(count // config.group), jnp.ones(2 * (config.group,)))
    mixed = share * same + (1 - share) * jnp.eye(count)
    covariance = moments.variance[:, None] * mixed
    seen = Sigmoid(), weights, moments.mean
    fisher = correlated_glm_fisher(*seen, covariance, nodes=101)
    alone = glm_fisher(*seen, moments.variance, nodes=101).as_matrix()
    knowing = fisher if config.knows else alone
    metrics = jnp.eye(count, dtype=fisher.dtype), alone, knowing
    spread = 2 * (config.weight_scale / count) ** 2 / 3
    times = jnp.asarray(TIMES, fisher.dtype)
    curves = []
    for metric in metrics:
        rate = 4 * RESIDUAL / BIN / jnp.trace(jnp.linalg.solve(metric, fisher))
        curves.append(metric_divergence(fisher, metric, spread, rate, times))
    return {"divergence": jnp.stack(curves)}


def crossing(curve: np.ndarray) -> float:
    """When a curve over `TIMES` falls below the threshold, by its logarithm."""
    below = np.flatnonzero(curve < THRESHOLD)
    if np.isnan(curve).any() or not below.size or not below[0]:
        return math.nan
    ends = slice(below[0] - 1, below[0] + 1)
    level, times = np.log(curve[ends]), TIMES[ends]
    return float(np.interp(-math.log(THRESHOLD), -level, times))


def time_of(data: Dataset, metric: str) -> np.ndarray:
    """Seconds until the mean divergence falls below the threshold, by correlation."""
    curves = over_seeds(data.divergence).sel(metric=metric)
    return np.asarray([crossing(x) for x in curves.transpose(..., "time").values])


def slower(data: Dataset) -> np.ndarray:
    """How much longer it takes to learn without the correlations, by correlation."""
    return time_of(data, "diagonal") / time_of(data, "correlated")


# --- who ignores correlations learns later; natural learning does not feel them -------


@claim("theory T9: soft modes slow down; the direction", low=1 + 1e-6)
def cost_of_independence(data: Dataset) -> float:
    """To ignore the strongest correlation costs time (diagonal over correlated)."""
    return float(slower(data)[-1])


@claim("the direction", low=0.0, control=None)
def dearer_with_correlation(data: Dataset) -> float:
    """It costs the more the stronger they are (least step of that ratio)."""
    return float(np.min(np.diff(slower(data))))


def unsteadiness(data: Dataset, metric: str) -> float:
    """How the rate at which the divergence above its floor falls changes in time."""
    above = np.log(data.divergence.sel(metric=metric) - RESIDUAL)
    pace = above.isel(time=slice(0, EARLY)).diff("time")
    return float(abs(pace / pace.isel(time=0) - 1).max(skipna=False))


@claim(
    "theory T9: every direction decays at the learning rate",
    low=0.0,
    high=1e-6,
    control=lambda data, control: unsteadiness(data, "diagonal"),
)
def falls_alike(data: Dataset) -> float:
    """Who knows them learns at one rate: how that at which the divergence above its
    floor falls changes (largest share); control: who does not.
    """
    return unsteadiness(data, "correlated")


def draw_correlations(data: Dataset) -> Figure:
    """Curves at the strongest correlation; time to the threshold against it."""
    figure, axes = panels(1, 2, 4.0, 3.0)
    for metric, color in METRICS.items():
        curve = over_seeds(data.divergence).sel(metric=metric).isel(correlation=-1)
        axes[0, 0].semilogy(data.time / 60, curve, color=color, label=metric)
        minutes = time_of(data, metric) / 60
        axes[0, 1].plot(data.correlation, minutes, "o-", ms=4, color=color)
    axes[0, 0].axhline(THRESHOLD, color="0.5", lw=0.8, ls=":")
    axes[0, 0].set(xlabel="time (min)", ylabel="divergence per 0.5 ms")
    axes[0, 0].set(title="Strongest correlation")
    axes[0, 1].set(xlabel="shared part of the spikes", ylim=(0, None))
    axes[0, 1].set(ylabel="time to threshold (min)")
    axes[0, 0].legend(frameon=False, title="metric")
    return figure


CORRELATED = Experiment(
    name="correlated",
    source="beyond the paper",
    shows="what it costs to take correlated inputs for independent (theory)",
    config=Correlated,
    run=learning_with_correlations,
    claims=(cost_of_independence, dearer_with_correlation, falls_alike),
    figure=draw_correlations,
    control=changed(knows=False),
    axes={"divergence": {"metric": tuple(METRICS), "time": TIMES}},
    float64=True,
)
