"""Figure 1 and Appendix 1-figure 1a-c: information for the energy of its synapses."""

import dataclasses
import math
import warnings
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar
from ...._arguments import real, require
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    Plan,
    SHADES,
    THEORY,
)
from ..config import Config, images_of, Source
from ..trained import (
    accuracy,
    energy,
    flat,
    information,
    neuronal_energy,
    probabilities,
    train,
)


MODELS = ("presynaptic", "deterministic", "fixed")
READOUTS = ("accuracy", "information", "energy", "neuronal", "release")


class EnergyConfig(Config):
    """A network without consolidation, and the rate of its deterministic rival."""

    deterministic_rate: Scalar = eqx.field(default=0.08, converter=real)

    def __check_init__(self) -> None:
        require(self, deterministic_rate=(0.0, math.inf))


def images_settled(config: EnergyConfig) -> Source:
    r"""The images; a `UserWarning` where decay does not settle while they are learned.

    At $\eta\lambda t < 4$ more than a fiftieth of the first strengths is left. Models
    that learn at other rates are then compared at other shares of the way: on MNIST
    the order of plastic and deterministic energy is reversed (specification).
    """
    source = images_of(config)
    steps = config.epochs * (len(source.train_labels) // config.batch)
    rates = float(config.rate), float(config.deterministic_rate)
    settled = min(rates) * float(config.decay) * steps
    if rates[0] != rates[1] and settled < 4:
        warnings.warn(
            f"strengths have not settled after {steps} steps: rate * decay * steps is "
            f"{settled:.2g}, and at least 4 is needed to compare rates of {rates[0]:g} "
            f"and {rates[1]:g}; use more epochs, more decay or one rate.",
            stacklevel=2,
        )
    return source


def compared(
    models: tuple[str, ...], source: Source, config: EnergyConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    r"""Readouts (model,) of networks that learn from the same start and batches.

    `accuracy`; soft `information` (bits) of one sampled network; `energy`
    $\sum|\bar w|$; `neuronal` energy, summed activity; mean `release` probability.
    """
    for_train, for_accuracy, for_bits, for_neurons = jr.split(key, 4)

    def readouts(method: str) -> dict[str, Scalar]:
        rate = config.deterministic_rate if method == "deterministic" else config.rate
        own = dataclasses.replace(config, method=method, rate=rate)
        network = train(own, source, for_train)
        return {
            "accuracy": accuracy(network, for_accuracy),
            "information": information(network, for_bits),
            "energy": energy(network),
            "neuronal": neuronal_energy(network, for_neurons),
            "release": jnp.mean(flat(probabilities(network))),
        }

    return jax.tree.map(lambda *x: jnp.stack(x), *map(readouts, models))


def compared_at(plan: Plan, keys: Any) -> Dataset:
    """The decay at which models are compared."""
    del keys
    return Dataset({"matched": ((), float(plan.config.decay))})


def efficiency(data: Dataset, energy: str = "energy") -> DataArray:
    """Bits per energy, or per `neuronal` energy, of every run."""
    return data.information / data[energy]


def matched(data: Dataset, energy: str = "energy") -> DataArray:
    """Bits per energy at the decay of the comparison."""
    return efficiency(data, energy).sel(decay=float(data.matched), method="nearest")


def best(data: Dataset) -> DataArray:
    """Bits per energy at each model's own best decay."""
    values = efficiency(data)
    return values.isel(decay=over_seeds(values).argmax("decay", skipna=False))


PAIRS = {
    "plastic over deterministic": ("presynaptic", "deterministic"),
    "deterministic over fixed release": ("deterministic", "fixed"),
}


def ratio(values: DataArray, pair: str) -> tuple[float, float]:
    """Ratio of two models, mean over seeds and its standard error; paired."""
    above, below = (values.sel(model=model) for model in PAIRS[pair])
    pairs = above / below
    return float(over_seeds(pairs)), float(pairs.std("seed")) / math.sqrt(pairs.size)


# --- Figure 1: plastic release needs least energy for a bit, fixed release most -------
# Fixed release keeps neurons quiet: of its neuronal energy nothing is claimed.


@claim(
    "Fig. 1; specification: above 1.05 where decay has settled",
    low=1.05,
    each={"pair": tuple(PAIRS)},
)
def at_the_same_decay(data: Dataset, pair: str) -> tuple[float, float]:
    """Bits per energy at the same decay: {pair}."""
    return ratio(matched(data), pair)


@claim("Fig. 1b", low=1.05, each={"pair": tuple(PAIRS)})
def at_the_best_decay(data: Dataset, pair: str) -> tuple[float, float]:
    """Bits per energy, each at its best decay: {pair}."""
    return ratio(best(data), pair)


@claim("Appendix 1-figure 1b", low=1.05)
def for_neuronal_energy(data: Dataset) -> tuple[float, float]:
    """Bits per neuronal energy at the same decay: plastic over deterministic."""
    return ratio(matched(data, "neuronal"), "plastic over deterministic")


def unplastic(plan: Plan) -> Plan:
    """Negative control, at one decay: constant probabilities; `fixed` ones of 1."""
    still = changed(up=0.0, down=0.0, fixed_release=1.0)(plan)
    return still._replace(grid={"decay": np.atleast_1d(plan.config.decay)})


# --- other steps of release, and fixed release at any rate ----------------------------


@claim("Fig. 1, text: robust to 25 %", low=1.05)
def plastic_saves_with_any_step(data: Dataset) -> float:
    """Bits per energy, steps of probability +-25 %: plastic over deterministic
    (least).
    """
    bits = efficiency(data)
    pairs = bits.sel(model="presynaptic") / bits.sel(model="deterministic")
    return float(over_seeds(pairs).min(skipna=False))


@claim("Appendix 1-figure 1c", low=1.05)
def no_fixed_release_saves_as_much(data: Dataset) -> float:
    """Bits per energy, best over rates: plastic over the best fixed probability."""
    mean = over_seeds(efficiency(data))
    best = lambda model: float(mean.sel(model=model).max(skipna=False))
    return best("presynaptic") / best("fixed")


LOOKS = {
    "presynaptic": {"label": "plastic release", "color": SHADES[0]},
    "deterministic": {"label": "deterministic", "color": SHADES[5]},
    "fixed": {"label": "fixed release", "color": SHADES[2]},
}


def errors(values: DataArray) -> tuple[DataArray, DataArray]:
    """Mean over seeds and its standard error."""
    return values.mean("seed"), values.std("seed") / values.seed.size**0.5


def draw_theory(panel: Axes, y: float, **style: Any) -> None:
    """A thin line across the panel, of what theory says or of a network beside."""
    panel.axhline(y, color=THEORY, **{"lw": 0.8, **style})


def draw_means(panel: Axes, x: Any, values: DataArray, **style: Any) -> None:
    """Means over seeds with their standard errors, joined by a line."""
    panel.errorbar(x, *errors(values), **{"fmt": "o-", "ms": 4, **style})


def draw_information(data: Dataset) -> Figure:
    """Figure 1: bits against energy, the best ratio, and all ratios over decay."""
    figure, ((plane, best, synapses, neurons),) = panels(1, 4, 3.0, 2.9)
    decays = np.arange(data.decay.size)
    for model in data.model.values:
        here, look = data.sel(model=model), LOOKS[model]
        mean = here.mean("seed")
        plane.plot(mean.energy, mean.information, "o-", ms=4, **look)
        draw_means(synapses, decays, 1000 * efficiency(here), **look)
        draw_means(neurons, decays, 1000 * efficiency(here, "neuronal"), **look)
        bits, error = errors(1000 * efficiency(here))
        top = int(bits.argmax("decay"))
        name, color = look["label"].replace(" ", "\n"), look["color"]
        best.bar(name, float(bits[top]), yerr=float(error[top]), color=color)
    plane.set(xlabel=r"energy $\sum|\bar w|$", ylabel="information (bits)")
    plane.legend(frameon=False, fontsize="x-small")
    best.set(ylabel="best bits per 1000 energy")
    best.tick_params(axis="x", labelsize="x-small")
    place = int(abs(data.decay - data.matched).argmin())
    for panel, kind in ((synapses, "energy"), (neurons, "neuronal energy")):
        panel.axvline(place, ls=":", lw=1, color=THEORY)
        panel.set_xticks(decays, [f"{x:g}" for x in data.decay.values])
        panel.tick_params(axis="x", labelsize="x-small")
        panel.set(xlabel="weight decay", ylabel=f"bits per 1000 {kind}")
        panel.set_ylim(bottom=0)
    return figure


def draw_steps(data: Dataset) -> Figure:
    """Bits per energy over the steps of release probability."""
    figure, ((panel,),) = panels(1, 1, 3.6, 2.9)
    for model in data.model.values:
        bits = 1000 * efficiency(data.sel(model=model))
        draw_means(panel, data.up, bits, **LOOKS[model])
    panel.set(xlabel="step of probability, up and down", ylabel="bits per 1000 energy")
    panel.set_xticks(data.up.values)
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False, fontsize="x-small")
    return figure


def draw_fixed_release(data: Dataset) -> Figure:
    """Appendix 1-figure 1c: fixed release at every rate; the best plastic network."""
    figure, ((panel,),) = panels(1, 1, 3.9, 2.9)
    bits = 1000 * efficiency(data)
    for rate, color in zip(data.rate.values, SHADES[1:], strict=False):
        here, name = bits.sel(model="fixed", rate=rate), f"rate {rate:g}"
        draw_means(panel, data.fixed_release, here, color=color, label=name)
    most = float(bits.sel(model="presynaptic").mean("seed").max())
    panel.axhline(most, ls="--", lw=1, color=LOOKS["presynaptic"]["color"])
    panel.text(0.0, most, " plastic release", va="bottom", fontsize="x-small")
    panel.set(xlabel="fixed release probability", ylabel="bits per 1000 energy")
    panel.set(xlim=(0, 1.03), ylim=(0, 1.15 * most))
    panel.legend(frameon=False, fontsize="x-small")
    return figure


FIG1 = Experiment(
    name="fig1",
    source="Fig. 1; Appendix 1-figure 1a, b",
    shows="plastic release probabilities save energy, fixed ones cost it",
    config=EnergyConfig,
    run=partial(compared, MODELS),
    claims=(at_the_same_decay, at_the_best_decay, for_neuronal_energy),
    figure=draw_information,
    control=unplastic,
    axes={name: {"model": MODELS} for name in READOUTS},
    predict=compared_at,
    data=images_settled,
)


def stepless(plan: Plan) -> Plan:
    """Negative control: steps of nothing."""
    return plan._replace(grid={"pace": {"up": np.zeros(1), "down": np.zeros(1)}})


FIG1_STEPS = FIG1._replace(
    name="fig1_steps",
    source="Fig. 1, text",
    shows="the steps of release probability may be a quarter larger or smaller",
    run=partial(compared, MODELS[:2]),
    claims=(plastic_saves_with_any_step,),
    figure=draw_steps,
    control=stepless,
    axes={name: {"model": MODELS[:2]} for name in READOUTS},
    predict=None,
)
FIXED_RELEASE = FIG1._replace(
    name="fixed_release",
    source="Appendix 1-figure 1c",
    shows="no fixed release probability is as frugal as plastic ones",
    run=partial(compared, MODELS[::2]),
    claims=(no_fixed_release_saves_as_much,),
    figure=draw_fixed_release,
    control=changed(up=0.0, down=0.0),
    axes={name: {"model": MODELS[::2]} for name in READOUTS},
    predict=None,
    data=images_of,
)
