"""Figure 3 and Appendix 1-figure 2: important synapses gather on few neurons."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ....experiment import changed, Claim, Experiment, panels, SHADES
from ....measure import important_counts, kolmogorov_smirnov, shuffled_counts
from ..config import Config, images_of, Source
from ..trained import probabilities, train
from .importance import HIGH


LAYERS = 3  # weight matrices of a network with two hidden layers


def gathered(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Important synapses of every neuron of a network with two hidden layers.

    For every weight matrix i: `inputs_i` (post,) and `outputs_i` (pre,), shares of
    important inputs and outputs, and `shuffled_inputs_i`, `shuffled_outputs_i` with
    its synapses permuted. `in_out` (hidden,): Pearson's correlation over the neurons
    of a hidden layer between important inputs and outputs.
    """
    for_train, for_shuffle = jr.split(key)
    network = train(config, source, for_train)
    layers = jax.tree.leaves(probabilities(network))
    if len(layers) != LAYERS:
        raise ValueError(f"`hidden` must name two layers; got {config.hidden}.")
    found: dict[str, Array] = {}
    for i, layer in enumerate(layers):
        important = layer >= HIGH
        counts = important_counts(important)
        chance = shuffled_counts(important, jr.fold_in(for_shuffle, i))
        found |= {f"inputs_{i}": counts.inputs, f"outputs_{i}": counts.outputs}
        found |= {f"shuffled_inputs_{i}": chance.inputs}
        found |= {f"shuffled_outputs_{i}": chance.outputs}
    found["in_out"] = jnp.stack(
        [
            jnp.corrcoef(found[f"inputs_{i}"], found[f"outputs_{i + 1}"])[0, 1]
            for i in range(LAYERS - 1)
        ]
    )
    return found


def tested(data: xarray.Dataset, name: str) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance from chance and its p-value, medians over seeds."""
    pairs = zip(data[name].values, data[f"shuffled_{name}"].values, strict=True)
    found = np.array([kolmogorov_smirnov(*pair) for pair in pairs])
    distance, chance = np.median(found, axis=0)
    return float(distance), float(chance)


def unusual(data: xarray.Dataset, name: str) -> tuple[float, float]:
    """Shares of neurons two deviations of chance below and above its mean."""
    counts, chance = data[name].values, data[f"shuffled_{name}"].values
    mean, spread = chance.mean(1, keepdims=True), chance.std(1, keepdims=True)
    low, high = counts < mean - 2 * spread, counts > mean + 2 * spread
    return float(low.mean()), float(high.mean())


def sparsity_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Counts are not chance but for the few output neurons; inputs follow outputs.

    Of outputs only those of the first hidden layer have a claim: 64 pixels, and 40
    neurons with ten outputs each, are too few to tell at the small preset.
    """
    hidden = ("inputs_0", "inputs_1")
    chance = lambda data, names: max(tested(data, name)[1] for name in names)
    extreme = lambda data: min(sum(unusual(data, name)) for name in hidden)
    together = lambda data: float(data.in_out.mean("seed", skipna=False).min())
    return [
        Claim(
            "important inputs of hidden neurons against permuted synapses: "
            "Kolmogorov-Smirnov p (largest, hidden layers); control: random "
            "probabilities",
            "Fig. 3: p < 0.01",
            chance(data, hidden),
            0.0,
            0.01,
            control=chance(control, hidden),
        ),
        Claim(
            "important outputs of the first hidden layer: Kolmogorov-Smirnov p; "
            "control: random probabilities",
            "Appendix 1-figure 2: p < 0.01",
            chance(data, ("outputs_1",)),
            0.0,
            0.01,
            control=chance(control, ("outputs_1",)),
        ),
        Claim(
            "important inputs of the ten output neurons: not significant; control: "
            "first hidden layer",
            "Appendix 1-figure 2: p = 0.41",
            chance(data, ("inputs_2",)),
            0.05,
            1.0,
            control=chance(data, ("inputs_0",)),
        ),
        Claim(
            "share of hidden neurons two deviations of chance from its mean (smaller "
            "of both layers); control: random probabilities",
            "Fig. 3; chance: 0.05, four times that",
            extreme(data),
            0.2,
            1.0,
            control=extreme(control),
        ),
        Claim(
            "neurons with many important inputs have many important outputs: "
            "correlation (smaller of both layers); control: random probabilities",
            "Fig. 3: r = 0.94 and 0.80; at least 0.7",
            together(data),
            0.7,
            1.0,
            control=together(control),
        ),
    ]


def coordinates(plan: Any, keys: Any) -> xarray.Dataset:
    """Names of the hidden layers."""
    del plan, keys
    return xarray.Dataset(coords={"hidden_layer": [1, 2]})


def draw_sparsity(data: xarray.Dataset) -> Figure:
    """Figure 3: important inputs and outputs of neurons against chance."""
    from ..experiments.sparsity import tested

    figure, axes = panels(2, 4, 2.9, 2.6)
    titles = {
        "inputs_0": "inputs of hidden layer 1",
        "inputs_1": "inputs of hidden layer 2",
        "inputs_2": "inputs of outputs",
        "outputs_0": "outputs of pixels",
        "outputs_1": "outputs of hidden layer 1",
        "outputs_2": "outputs of hidden layer 2",
    }
    places = [*axes[0, :3], *axes[1, :3]]
    for panel, (name, title) in zip(places, titles.items(), strict=True):
        edges = np.linspace(0, 1, 21)
        for kind, color in ((f"shuffled_{name}", SHADES[5]), (name, SHADES[0])):
            values = data[kind].values.ravel()
            share = np.histogram(values, edges)[0] / values.size
            label = "chance" if kind.startswith("shuffled") else "learned"
            panel.stairs(share, edges, color=color, fill=False, lw=1.4, label=label)
        distance, chance = tested(data, name)
        panel.set_title(f"{title}\nD = {distance:.2f}, p = {chance:.1g}", fontsize=9)
        panel.set(xlabel="share important", ylabel="share of neurons")
    places[0].legend(frameon=False, fontsize="x-small")
    here = data.isel(seed=0)
    for i, panel in enumerate(axes[:, 3]):
        ins, outs = here[f"inputs_{i}"], here[f"outputs_{i + 1}"]
        panel.plot(ins, outs, "o", ms=3, color=SHADES[1], alpha=0.6)
        r = float(data.in_out.isel(hidden_layer=i).mean())
        panel.set_title(f"hidden layer {i + 1}: r = {r:.2f}", fontsize=9)
        panel.set(xlabel="share of important inputs", ylabel="of important outputs")
    return figure


FIG3 = Experiment(
    name="fig3",
    source="Fig. 3; Appendix 1-figure 2",
    shows="important synapses gather on few neurons, at their inputs and outputs alike",
    config=Config,
    run=gathered,
    claims=sparsity_claims,
    figure=draw_sparsity,
    control=changed(up=0.0, down=0.0, random_start=True),
    dims={"in_out": ("hidden_layer",)},
    predict=coordinates,
    data=images_of,
)
