"""Figure 1 and Appendix 1-figure 1a-c: information for the energy of its synapses."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import Scalar
from ...._arguments import real, require
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
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


def compared(
    models: tuple[str, ...], source: Source, config: EnergyConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    r"""Readouts (model,) of networks that learn from the same start and batches.

    `accuracy`; soft `information` (bits) of one sampled network; `energy`
    $\sum|\bar w|$; `neuronal` energy, summed activity; mean `release` probability.
    """
    for_train, for_accuracy, for_bits, for_neurons = jr.split(key, 4)
    seen = []
    for method in models:
        own = dataclasses.replace(config, method=method)
        if method == "deterministic":
            own = dataclasses.replace(own, rate=config.deterministic_rate)
        network = train(own, source, for_train)
        seen.append(
            {
                "accuracy": accuracy(network, for_accuracy),
                "information": information(network, for_bits),
                "energy": energy(network),
                "neuronal": neuronal_energy(network, for_neurons),
                "release": jnp.mean(flat(probabilities(network))),
            }
        )
    return jax.tree.map(lambda *x: jnp.stack(x), *seen)


def all_models(
    source: Source, config: EnergyConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    """Plastic, deterministic and fixed release."""
    return compared(MODELS, source, config, key)


def plastic_and_deterministic(
    source: Source, config: EnergyConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    """The plastic network and its deterministic rival."""
    return compared(MODELS[:2], source, config, key)


def plastic_and_fixed(
    source: Source, config: EnergyConfig, key: Key[Array, ""]
) -> dict[str, Array]:
    """The plastic network and one with the same release everywhere."""
    return compared((MODELS[0], MODELS[2]), source, config, key)


def _named(*models: str) -> Any:
    """The coordinate of models, and the decay at which they are compared."""

    def predict(plan: Plan, keys: Any) -> xarray.Dataset:
        del keys
        matched = {"matched": ((), float(plan.config.decay))}
        return xarray.Dataset(matched, {"model": list(models)})

    return predict


def efficiency(data: xarray.Dataset, energy: str = "energy") -> xarray.DataArray:
    """Bits per energy, or per `neuronal` energy, of every run."""
    return data.information / data[energy]


def _ratio(values: xarray.DataArray, above: str, below: str) -> tuple[float, float]:
    """Ratio of two models, mean over seeds and its standard error; paired."""
    pairs = values.sel(model=above) / values.sel(model=below)
    error = float(pairs.std("seed")) / math.sqrt(max(1, pairs.seed.size))
    return float(pairs.mean("seed", skipna=False)), error


def _matched(data: xarray.Dataset, energy: str = "energy") -> xarray.DataArray:
    """Bits per energy at the decay of the comparison."""
    decay = data.decay.values
    nearest = int(np.argmin(np.abs(decay - float(data.matched))))
    return efficiency(data, energy).isel(decay=nearest)


def _best(data: xarray.Dataset, energy: str = "energy") -> xarray.DataArray:
    """Bits per energy at each model's own best decay."""
    values = efficiency(data, energy)
    best = values.mean("seed", skipna=False).argmax("decay")
    return values.isel(decay=best)


def energy_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Plastic release needs least energy for a bit, fixed release most.

    Fixed release keeps neurons quiet: of its neuronal energy nothing is claimed.
    """

    def claim(
        says: str, source: str, pick: Any, pair: tuple[str, str], *energy: str
    ) -> Claim:
        value, error = _ratio(pick(data, *energy), *pair)
        against, _ = _ratio(pick(control, *energy), *pair)
        return Claim(says, source, value, 1.05, math.inf, error, against)

    rivals, others = ("presynaptic", "deterministic"), ("deterministic", "fixed")
    return [
        claim(
            "bits per energy at the same decay: plastic over deterministic; control: "
            "probabilities do not change",
            "Fig. 1; specification: above 1.05 where decay has settled",
            _matched,
            rivals,
        ),
        claim(
            "bits per energy at the same decay: deterministic over fixed release; "
            "control: all release",
            "Fig. 1; specification",
            _matched,
            others,
        ),
        claim(
            "bits per energy, each at its best decay: plastic over deterministic; "
            "control: probabilities do not change",
            "Fig. 1b",
            _best,
            rivals,
        ),
        claim(
            "bits per energy, each at its best decay: deterministic over fixed "
            "release; control: all release",
            "Fig. 1b",
            _best,
            others,
        ),
        claim(
            "bits per neuronal energy at the same decay: plastic over deterministic; "
            "control: probabilities do not change",
            "Appendix 1-figure 1b",
            _matched,
            rivals,
            "neuronal",
        ),
    ]


def unplastic(plan: Plan) -> Plan:
    """Negative control, at one decay: constant probabilities; `fixed` ones of 1."""
    still = dataclasses.replace(plan.config, up=0.0, down=0.0, fixed_release=1.0)
    grid = {"decay": np.atleast_1d(np.asarray(plan.config.decay))}
    return plan._replace(config=still, grid=grid)


def steps_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """A quarter more or less of both steps does not change the order."""
    ratios = lambda data: (
        efficiency(data).sel(model="presynaptic")
        / efficiency(data).sel(model="deterministic")
    )
    mean = ratios(data).mean("seed", skipna=False)
    return [
        Claim(
            "bits per energy, steps of probability +-25 %: plastic over deterministic "
            "(least); control: probabilities do not change",
            "Fig. 1, text: robust to 25 %",
            float(mean.min(skipna=False)),
            1.05,
            math.inf,
            control=float(ratios(control).mean(skipna=False)),
        )
    ]


def stepless(plan: Plan) -> Plan:
    """Negative control: steps of nothing."""
    nothing = np.zeros(1)
    return plan._replace(grid={("up", "down"): (nothing, nothing)})


def fixed_release_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """No fixed probability at any rate does as well as plastic ones."""

    def advantage(data: xarray.Dataset) -> float:
        mean = efficiency(data).mean("seed", skipna=False)
        best = lambda model: float(mean.sel(model=model).max(skipna=False))
        return best("presynaptic") / best("fixed")

    return [
        Claim(
            "bits per energy, best over rates: plastic over the best fixed "
            "probability; control: probabilities do not change",
            "Appendix 1-figure 1c",
            advantage(data),
            1.05,
            math.inf,
            control=advantage(control),
        )
    ]


def constant(plan: Plan) -> Plan:
    """Negative control: the plastic network's probabilities stay at their start."""
    still = dataclasses.replace(plan.config, up=0.0, down=0.0)
    return plan._replace(config=still)


MODEL_DIMS: dict[str, tuple[str, ...]] = dict.fromkeys(READOUTS, ("model",))


NAMES = {
    "presynaptic": "plastic release",
    "deterministic": "deterministic",
    "fixed": "fixed release",
}
COLORS = dict(zip(NAMES, (SHADES[0], SHADES[5], SHADES[2]), strict=True))


def _errors(values: xarray.DataArray) -> tuple[xarray.DataArray, xarray.DataArray]:
    """Mean over seeds and its standard error."""
    return values.mean("seed"), values.std("seed") / values.seed.size**0.5


def draw_information(data: xarray.Dataset) -> Figure:
    """Figure 1: bits against energy, the best ratio, and all ratios over decay."""
    from ..experiments.energy import efficiency

    figure, axes = panels(1, 4, 3.0, 2.9)
    plane, best, synapses, neurons = axes[0]
    decays = np.arange(data.decay.size)
    for model, name in NAMES.items():
        here, color = data.sel(model=model), COLORS[model]
        mean = here.mean("seed")
        plane.plot(mean.energy, mean.information, "o-", ms=4, color=color, label=name)
        for panel, kind in ((synapses, "energy"), (neurons, "neuronal")):
            ratio, error = _errors(1000 * efficiency(here, kind))
            panel.errorbar(decays, ratio, error, fmt="o-", ms=4, color=color)
        ratio, error = _errors(1000 * efficiency(here))
        top = int(ratio.argmax("decay"))
        height, whisker = float(ratio[top]), float(error[top])
        best.bar(name.replace(" ", "\n"), height, yerr=whisker, color=color)
    plane.set(xlabel=r"energy $\sum|\bar w|$", ylabel="information (bits)")
    plane.legend(frameon=False, fontsize="x-small")
    best.set(ylabel="best bits per 1000 energy")
    best.tick_params(axis="x", labelsize="x-small")
    matched = int(np.argmin(np.abs(data.decay.values - float(data.matched))))
    for panel, kind in ((synapses, "energy"), (neurons, "neuronal energy")):
        panel.axvline(matched, ls=":", lw=1, color=THEORY)
        panel.set_xticks(decays, [f"{x:g}" for x in data.decay.values])
        panel.tick_params(axis="x", labelsize="x-small")
        panel.set(xlabel="weight decay", ylabel=f"bits per 1000 {kind}")
        panel.set_ylim(bottom=0)
    return figure


def draw_steps(data: xarray.Dataset) -> Figure:
    """Bits per energy over the steps of release probability."""
    from ..experiments.energy import efficiency

    figure, axes = panels(1, 1, 3.6, 2.9)
    (panel,) = axes[0]
    for model in data.model.values:
        mean, error = _errors(1000 * efficiency(data.sel(model=model)))
        style = {"fmt": "o-", "ms": 4, "color": COLORS[model], "label": NAMES[model]}
        panel.errorbar(data.up, mean, error, **style)
    panel.set(xlabel="step of probability, up and down", ylabel="bits per 1000 energy")
    panel.set_xticks(data.up.values)
    panel.set_ylim(bottom=0)
    panel.legend(frameon=False, fontsize="x-small")
    return figure


def draw_fixed_release(data: xarray.Dataset) -> Figure:
    """Appendix 1-figure 1c: fixed release at every rate; the best plastic network."""
    from ..experiments.energy import efficiency

    figure, axes = panels(1, 1, 3.9, 2.9)
    (panel,) = axes[0]
    values = 1000 * efficiency(data)
    for rate, color in zip(data.rate.values, SHADES[1:], strict=False):
        mean, error = _errors(values.sel(model="fixed", rate=rate))
        style = {"fmt": "o-", "ms": 4, "color": color, "label": f"rate {rate:g}"}
        panel.errorbar(data.fixed_release, mean, error, **style)
    best = float(values.sel(model="presynaptic").mean("seed").max())
    panel.axhline(best, ls="--", lw=1, color=COLORS["presynaptic"])
    panel.text(0.0, best, " plastic release", va="bottom", fontsize="x-small")
    panel.set(xlabel="fixed release probability", ylabel="bits per 1000 energy")
    panel.set_xlim(0, 1.03)
    panel.set_ylim(0, 1.15 * best)
    panel.legend(frameon=False, fontsize="x-small")
    return figure


FIG1 = Experiment(
    name="fig1",
    source="Fig. 1; Appendix 1-figure 1a, b",
    shows="plastic release probabilities save energy, fixed ones cost it",
    config=EnergyConfig,
    run=all_models,
    claims=energy_claims,
    figure=draw_information,
    control=unplastic,
    dims=MODEL_DIMS,
    predict=_named(*MODELS),
    data=images_of,
)
FIG1_STEPS = Experiment(
    name="fig1_steps",
    source="Fig. 1, text",
    shows="the steps of release probability may be a quarter larger or smaller",
    config=EnergyConfig,
    run=plastic_and_deterministic,
    claims=steps_claims,
    figure=draw_steps,
    control=stepless,
    dims=MODEL_DIMS,
    predict=_named(*MODELS[:2]),
    data=images_of,
)
FIXED_RELEASE = Experiment(
    name="fixed_release",
    source="Appendix 1-figure 1c",
    shows="no fixed release probability is as frugal as plastic ones",
    config=EnergyConfig,
    run=plastic_and_fixed,
    claims=fixed_release_claims,
    figure=draw_fixed_release,
    control=constant,
    dims=MODEL_DIMS,
    predict=_named(MODELS[0], MODELS[2]),
    data=images_of,
)
