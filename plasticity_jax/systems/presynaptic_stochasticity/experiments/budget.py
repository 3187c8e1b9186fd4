r"""Beyond the paper: release probabilities learned under an explicit energy budget.

The energy $E = \sum|\bar w|$, of mean transmission, is brought to a budget after every
step by scaling all strengths. Release learns inside it, and is compared with a fixed
release at the same energy and the same number of releases. Rectified units without
biases are homogeneous: the budget as such changes no decision, but limits how sure of
it a network can be, and with that what it learns from.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, AbstractProjection, Scalar, simulate, System
from ...._arguments import real, require
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    SHADES,
    THEORY,
)
from ....measure import mutual_information
from ....numerics import ratio
from ....synapses import Stochastic
from ....tasks import standardised
from ..config import build, Config, images_of, Source, statistics
from ..networks import hits, predict
from ..training import stream_of, weights_of
from .energy import draw_means


MODELS = ("plastic", "plastic, shuffled", "fixed release", "deterministic")


class EnergyBudget(AbstractProjection):
    r"""All strengths times one number, so that $\sum|\bar w|$ is `budget`.

    Synapses are `Stochastic`, or an array tree of weights that always transmit. All
    zeros stay zeros.
    """

    budget: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, budget=(0.0, math.inf))

    def __call__(self, synapses: Any) -> Any:
        stochastic = isinstance(synapses, Stochastic)
        strength = synapses.strength if stochastic else synapses
        total = energy(strength)
        scale = ratio(self.budget, total, 1.0)
        strength = jax.tree.map(lambda w: scale.astype(w.dtype) * w, strength)
        if not stochastic:
            return strength
        return Stochastic(strength, synapses.probability)


def energy(strength: Any) -> Scalar:
    r"""$\sum|\bar w|$ over all weights."""
    return jnp.sum(jnp.abs(ravel_pytree(strength)[0]))


class BudgetConfig(AbstractConfig):
    """A network that learns the plain data set under a `budget` of energy."""

    budget: Scalar = eqx.field(default=400.0, converter=real)
    rate: Scalar = eqx.field(default=0.05, converter=real)
    deterministic_rate: Scalar = eqx.field(default=0.08, converter=real)
    threshold: Scalar = eqx.field(default=1e-3, converter=real)
    up: Scalar = eqx.field(default=0.08, converter=real)
    down: Scalar = eqx.field(default=0.08, converter=real)
    data: str = eqx.field(default="digits", static=True)
    hidden: tuple[int, ...] = eqx.field(default=(48, 40), static=True)
    batch: int = eqx.field(default=20, static=True)
    epochs: int = eqx.field(default=40, static=True)
    bounded: bool = eqx.field(default=True, static=True)  # False: no budget

    def __check_init__(self) -> None:
        require(self, budget=(1e-6, math.inf))
        self.network()

    def network(self, **changes: Any) -> Config:
        """The same as a configuration of the system, without consolidation."""
        settings: dict[str, Any] = {
            "rate": self.rate,
            "threshold": self.threshold,
            "up": self.up,
            "down": self.down,
            "freeze": 2.0,
            "modulated": False,
            "protocol": "single",
            "data": self.data,
            "hidden": self.hidden,
            "batch": self.batch,
            "epochs": self.epochs,
        }
        return Config(**{**settings, **changes})


def images(config: BudgetConfig) -> Source:
    """The images that the configuration names."""
    return images_of(config.network())


def trained(
    budget: BudgetConfig, config: Config, data: Source, key: Key[Array, ""]
) -> tuple[Any, Any]:
    """Synapses after learning under the budget, and the rest of the network."""
    for_stream, for_build, for_run = jr.split(key, 3)
    task = stream_of(config, data, for_stream).tasks[0]
    pixels = data.train_images.shape[1]
    system, state, rest = build(config, task, pixels, for_build)
    if budget.bounded:
        held = (*system.projections, EnergyBudget(budget.budget))
        system = System(system.task, system.circuit, system.rules, held)
    steps = len(task.order)
    state, _ = simulate(system, state, for_run, steps=steps, every=steps)
    return state.synapses, rest


def tested(
    config: Config, data: Source, rest: Any, synapses: Any, key: Key[Array, ""]
) -> dict[str, Scalar]:
    """Accuracy and soft information (bits) of one sampled network at a time."""
    white, mean, deviation = statistics(config, data)
    shown = standardised(data.test_images, mean, deviation, white)
    draw = lambda key: weights_of(config, synapses, key)
    for_votes, for_one = jr.split(key)
    votes = config.votes if config.releases else 1
    chances = predict(rest, draw, shown, for_votes, votes)
    once = predict(rest, draw, shown, for_one, 1)
    return {
        "accuracy": jnp.mean(hits(chances, data.test_labels)),
        "bits": mutual_information(once, data.test_labels),
    }


def budgeted(
    data: Source, config: BudgetConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    r"""What a budget buys: `accuracy`, `bits`, `energy` (model,).

    Release that learned; the same probabilities shuffled among the synapses; a network
    that learned with all of them at the mean of what was learned (`release`); a
    deterministic network.
    """
    for_run, for_test, for_shuffle = jr.split(key, 3)
    plastic = config.network()
    learned, rest = trained(config, plastic, data, for_run)
    p, unravel = ravel_pytree(learned.probability)
    moved = Stochastic(learned.strength, unravel(jr.permutation(for_shuffle, p)))
    fixed = config.network(method="fixed", fixed_release=jnp.mean(p))
    even, even_rest = trained(config, fixed, data, for_run)
    plain = config.network(method="deterministic", rate=config.deterministic_rate)
    sure, sure_rest = trained(config, plain, data, for_run)
    runs = (
        (plastic, learned, rest, learned.strength),
        (plastic, moved, rest, moved.strength),
        (fixed, even, even_rest, even.strength),
        (plain, sure, sure_rest, sure),
    )
    seen = [
        {**tested(here, data, rest, synapses, for_test), "energy": energy(strength)}
        for here, synapses, rest, strength in runs
    ]
    high = jnp.where(jnp.isnan(p), jnp.nan, (p >= 0.9).astype(p.dtype))
    return {
        **jax.tree.map(lambda *x: jnp.stack(x), *seen),
        "release": jnp.mean(p),
        "reliable": jnp.mean(high),
    }


# --- energy is held, and learned release makes more of it than uniform release --------


@claim("definition, to rounding", low=0.0, high=1e-4)
def energy_is_held(data: Dataset) -> float:
    """Energy after learning equals the budget (largest relative error, all models)."""
    return float(abs(data.energy / data.budget - 1).max(skipna=False))


def over_fixed(data: Dataset, model: str) -> float:
    """Least gain of information over fixed release of equal energy, over budgets."""
    bits = over_seeds(data.bits)
    gain = bits.sel(model=model) - bits.sel(model="fixed release")
    return float(gain.min(skipna=False))


@claim(
    "Fig. 1: plastic above fixed",
    low=0.0,
    control=lambda data, control: over_fixed(data, "plastic, shuffled"),
)
def learned_over_fixed(data: Dataset) -> float:
    """Learned release over a fixed one of equal energy and equal mean (least gain over
    budgets, bits).
    """
    return over_fixed(data, "plastic")


@claim("theory: sharper outputs, the same decisions", low=1e-3)
def budget_buys_information(data: Dataset) -> float:
    """A larger budget buys a deterministic network more information (least step, bits;
    release that learns gains up to 400).
    """
    bits = over_seeds(data.bits.sel(model="deterministic"))
    return float(bits.diff("budget").min(skipna=False))


def draw_budget(data: Dataset) -> Figure:
    """Information and accuracy against the budget; what release becomes."""
    figure, axes = panels(1, 3, 3.7, 3.3)
    left, middle, right = axes[0]
    styles = {
        "plastic": (SHADES[0], "o-"),
        "fixed release": (SHADES[2], "s-"),
        "deterministic": (SHADES[5], "o-"),
        "plastic, shuffled": (SHADES[4], "s:"),
    }
    for name, (color, fmt) in styles.items():
        here = data.sel(model=name)
        style = {"fmt": fmt, "color": color, "capsize": 2, "label": name}
        draw_means(left, data.budget, here.bits, **style)
        draw_means(middle, data.budget, here.accuracy, **style)
    left.axhline(np.log2(10), color=THEORY, lw=0.8, ls="--")
    left.set_ylabel("information of one sample (bits)")
    middle.set_ylabel("accuracy, votes of ten samples")
    middle.legend(frameon=False, fontsize=8)
    shares = {
        "mean release probability": data.release,
        r"share with $p \geq 0.9$": data.reliable,
    }
    for (label, values), color in zip(shares.items(), SHADES, strict=False):
        style = {"ms": 4, "color": color, "label": label}
        right.plot(data.budget, values.mean("seed"), "o-", **style)
    right.set(ylim=(0, 1), ylabel="probability, share")
    right.legend(frameon=False, fontsize=8)
    for axis in axes[0]:
        axis.set_xlabel(r"energy budget $\sum|\bar w|$")
    return figure


MODEL = {"model": MODELS}
BUDGET = Experiment(
    name="budget",
    source="beyond the paper",
    shows="release that learns makes more of a fixed energy than uniform release",
    config=BudgetConfig,
    run=budgeted,
    claims=(energy_is_held, learned_over_fixed, budget_buys_information),
    figure=draw_budget,
    control=changed(bounded=False),
    axes=dict.fromkeys(("accuracy", "bits", "energy"), MODEL),
    data=images,
)
