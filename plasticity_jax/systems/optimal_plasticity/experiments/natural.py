"""Natural-gradient compensation and approximations of its metric."""

import dataclasses

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import simulate
from ....curvature import preconditioned_loss
from ....experiment import changed, claim, Experiment, over_seeds, panels
from ....measure import log_vertex
from ....numerics import normal
from ....rules import Descent, Normalised, Projected, Wiener
from ..config import build
from ..networks import linear_hessian
from ..quadratic import Quadratic
from .steady import BEST, draw_beside_law, loss_of, SIMULATED, THEORY


FORMS = ("gradient", "diagonal", "block", "full")
SHADES = ("0.4", SIMULATED, THEORY, BEST)
Matrix = Float[Array, "w w"]


def inverse_metrics(metric: Matrix) -> dict[str, Matrix]:
    """The inverse of one output's metric: none, its diagonal's, its halves', its own.

    A block holds the weights from one half of the inputs.
    """
    half = np.arange(len(metric)) < len(metric) // 2
    same = jnp.asarray(half[:, None] == half[None, :])
    inverse = lambda x: (lambda y: (y + y.T) / 2)(jnp.linalg.inv(x))
    eye, diagonal = jnp.eye(len(metric)), jnp.diag(1 / jnp.diagonal(metric))
    found = (eye, diagonal, inverse(jnp.where(same, metric, 0)), inverse(metric))
    return dict(zip(FORMS, found, strict=True))


def natural(config: Quadratic, key: Key[Array, ""]) -> dict[str, Array]:
    """Steady-state error and its law, for every approximation of the metric.

    Inputs have correlations: their second moment is turned at random. For a squared
    error the metric of the natural gradient is the Gauss-Newton matrix, here the
    Hessian; it is the same for every output, and so is the law.
    """
    for_turn, for_build, for_run = jr.split(key, 3)
    features, outputs = config.sizes
    turn = jnp.linalg.qr(normal(for_turn, (features, features)))[0]
    moment = turn * config.moments[None] @ turn.T
    moment = (moment + moment.T) / 2
    metric = linear_hessian(moment, 1) / outputs
    system, start = build(config.network(second_moment=moment), for_build)
    loss, law = [], []
    for inverse in inverse_metrics(metric).values():
        repair = Projected(Descent(), jnp.kron(jnp.eye(outputs), inverse))
        repair = Wiener() if config.rule == "noise" else repair
        rules = {**system.rules, "compensation": Normalised(repair, config.ratio)}
        here = dataclasses.replace(system, rules=rules)
        _, seen = simulate(here, start, for_run, steps=config.steps, record=loss_of)
        loss.append(jnp.mean(seen[-config.window :]))
        law.append(preconditioned_loss(metric, inverse, config.ratio, 1.0))  # pyright: ignore[reportArgumentType]
    return {"loss": jnp.stack(loss), "law": jnp.stack(law)}


def optimum(data: Dataset, form: str) -> float:
    """The ratio of least error."""
    return log_vertex(data.ratio.values, over_seeds(data.loss).sel(form=form).values)


@claim("law of a preconditioned gradient", low=0.0, high=0.04, each={"form": FORMS})
def as_the_law(data: Dataset, form: str) -> float:
    """The error is the law's, {form} (largest relative distance)."""
    distance = over_seeds(data.loss) / over_seeds(data.law) - 1
    return float(abs(distance).sel(form=form).max(skipna=False))


@claim("isotropic law: 1", low=0.93, high=1.07)
def natural_gradient_at_one(data: Dataset) -> float:
    """The natural gradient is best at the size of the noise (best ratio)."""
    return optimum(data, "full")


@claim("the block's metric is nearer to the whole one", low=0.0, control=None)
def blocks_lie_between(data: Dataset) -> float:
    """Blocks lie between gradient and natural gradient (least step of best ratios)."""
    best = [optimum(data, form) for form in ("gradient", "block", "full")]
    return float(np.min(np.diff(best)))


def draw_natural(data: Dataset) -> Figure:
    """Error against the ratio for every approximation, and the best ratios."""
    figure, axes = panels(1, 2, 3.8, 3.0)
    error, best = axes[0]
    for form, color in zip(data.form.values, SHADES, strict=True):
        here = data.sel(form=form)
        draw_beside_law(error, here, form, color)
        best.bar(form, optimum(data, form), color=color, width=0.6)
    error.set(yscale="log", xlabel="compensation / fluctuation", ylabel="error")
    error.legend(frameon=False, fontsize=8)
    best.axhline(1.0, color="0.8", lw=0.8, zorder=0)
    best.set(ylabel="best ratio")
    return figure


NATURAL = Experiment(
    name="natural",
    source="beyond the paper",
    shows="natural-gradient repair is best at ratio 1; approximate metrics in between",
    config=Quadratic,
    run=natural,
    claims=(as_the_law, natural_gradient_at_one, blocks_lie_between),
    figure=draw_natural,
    control=changed(rule="noise", seeds=2),
    axes={x: {"form": FORMS} for x in ("loss", "law")},
)
