r"""Beyond the paper: release probabilities learned under an explicit energy budget.

The energy $E = \sum|\bar w|$, of mean transmission, is brought to a budget after every
step by scaling all strengths. Release learns inside it, and is compared with a fixed
release at the same energy and the same number of releases. Rectified units without
biases are homogeneous: the budget as such changes no decision, but limits how sure of
it a network can be, and with that what it learns from.
"""

import dataclasses
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

from .... import AbstractConfig, AbstractProjection, Scalar
from ...._arguments import real, require
from ....experiment import changed, claim, Experiment, over_seeds, panels, SHADES
from ....numerics import ratio
from ....synapses import Stochastic
from ..config import build, Config, images_of, Source
from ..networks import hits
from ..trained import energy, flat, information, outputs, Trained, with_probability
from ..training import attend, stream_of
from .energy import draw_means, draw_theory


MODELS = ("plastic", "plastic, shuffled", "fixed release", "deterministic")
SAME = ("rate", "threshold", "up", "down", "data", "hidden", "batch", "epochs")


class EnergyBudget(AbstractProjection):
    r"""All strengths times one number, so that $\sum|\bar w|$ is `budget`.

    Synapses are `Stochastic`, or an array tree of weights that always transmit. All
    zeros stay zeros.
    """

    budget: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, budget=(0.0, math.inf))

    def __call__(self, synapses: Any, signals: Any = None, key: Any = None) -> Any:
        if isinstance(synapses, Stochastic):
            strength = self(synapses.strength)
            return dataclasses.replace(synapses, strength=strength)
        scale = ratio(self.budget, jnp.sum(jnp.abs(flat(synapses))), 1.0)
        return jax.tree.map(lambda w: scale.astype(w.dtype) * w, synapses)


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
        same = {name: getattr(self, name) for name in SAME}
        plain = {"freeze": 2.0, "modulated": False, "protocol": "single"}
        return Config(**{**same, **plain, **changes})


def trained(
    budget: BudgetConfig, config: Config, data: Source, key: Key[Array, ""]
) -> Trained:
    """The network after learning under the budget."""
    for_stream, for_build, for_run = jr.split(key, 3)
    task = stream_of(config, data, for_stream).tasks[0]
    pixels = data.train_images.shape[1]
    system, state, rest = build(config, task, pixels, for_build)
    if budget.bounded:
        held = (*system.projections, EnergyBudget(budget.budget))
        system = dataclasses.replace(system, projections=held)
    return Trained(config, data, rest, attend(system, state, for_run).synapses)


def tested(network: Trained, key: Key[Array, ""]) -> dict[str, Scalar]:
    """Accuracy, soft information (bits) of one sampled network at a time, energy."""
    for_votes, for_one = jr.split(key)
    votes = network.config.votes if network.config.releases else 1
    chances = outputs(network, for_votes, votes)
    return {
        "accuracy": jnp.mean(hits(chances, network.data.test_labels)),
        "bits": information(network, for_one),
        "energy": energy(network),
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
    plastic = trained(config, config.network(), data, for_run)
    p, unravel = ravel_pytree(plastic.synapses.probability)
    moved = with_probability(plastic, unravel(jr.permutation(for_shuffle, p)))
    fixed = config.network(method="fixed", fixed_release=jnp.mean(p))
    plain = config.network(method="deterministic", rate=config.deterministic_rate)
    others = [trained(config, method, data, for_run) for method in (fixed, plain)]
    seen = [tested(network, for_test) for network in (plastic, moved, *others)]
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
        "plastic": (0, "o-"),
        "fixed release": (2, "s-"),
        "deterministic": (5, "o-"),
        "plastic, shuffled": (4, "s:"),
    }
    for name, (shade, fmt) in styles.items():
        here = data.sel(model=name)
        style = {"fmt": fmt, "color": SHADES[shade], "capsize": 2, "label": name}
        draw_means(left, data.budget, here.bits, **style)
        draw_means(middle, data.budget, here.accuracy, **style)
    draw_theory(left, np.log2(10), ls="--")
    left.set_ylabel("information of one sample (bits)")
    middle.set_ylabel("accuracy, votes of ten samples")
    middle.legend(frameon=False, fontsize=8)
    labels = ("mean release probability", r"share with $p \geq 0.9$")
    for name, label, color in zip(
        ("release", "reliable"), labels, SHADES, strict=False
    ):
        style = {"ms": 4, "color": color, "label": label}
        right.plot(data.budget, data[name].mean("seed"), "o-", **style)
    right.set(ylim=(0, 1), ylabel="probability, share")
    right.legend(frameon=False, fontsize=8)
    for axis in axes[0]:
        axis.set_xlabel(r"energy budget $\sum|\bar w|$")
    return figure


BUDGET = Experiment(
    name="budget",
    source="beyond the paper",
    shows="release that learns makes more of a fixed energy than uniform release",
    config=BudgetConfig,
    run=budgeted,
    claims=(energy_is_held, learned_over_fixed, budget_buys_information),
    figure=draw_budget,
    control=changed(bounded=False),
    axes={name: {"model": MODELS} for name in ("accuracy", "bits", "energy")},
    data=lambda config: images_of(config.network()),
)
