"""Figure 3 and Appendix 1-figure 2: important synapses gather on few neurons."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import Dataset

from ....experiment import claim, over_seeds, panels, SHADES
from ....measure import important_counts, kolmogorov_smirnov, shuffled_counts
from ..config import CLASSES, Config, Source
from ..trained import probabilities, train
from .importance import FIG2, HIGH


NEURONS = {  # counted by an observable, and what a panel calls it
    "inputs_0": ("neuron_1", "inputs of hidden layer 1"),
    "inputs_1": ("neuron_2", "inputs of hidden layer 2"),
    "inputs_2": ("digit", "inputs of outputs"),
    "outputs_0": ("pixel", "outputs of pixels"),
    "outputs_1": ("neuron_1", "outputs of hidden layer 1"),
    "outputs_2": ("neuron_2", "outputs of hidden layer 2"),
}
LAYERS = 3  # weight matrices of a network with two hidden layers


def gathered(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Important synapses of every neuron of a network with two hidden layers.

    For every weight matrix i: `inputs_i` (post,) and `outputs_i` (pre,), shares of
    important inputs and outputs, and `shuffled_inputs_i`, `shuffled_outputs_i` with
    its synapses permuted. `in_out` (hidden_layer,): Pearson's correlation over the
    neurons of a hidden layer between important inputs and outputs.
    """
    for_train, for_shuffle = jr.split(key)
    network = train(config, source, for_train)
    layers = jax.tree.leaves(probabilities(network))
    if len(layers) != LAYERS:
        raise ValueError(f"`hidden` must name two layers; got {config.hidden}.")
    found: dict[str, Array] = {}
    for i, layer in enumerate(layers):
        known = jnp.where(jnp.isnan(layer).any(), jnp.nan, 1.0)
        important = layer >= HIGH
        chance = shuffled_counts(important, jr.fold_in(for_shuffle, i))
        for kind, seen in (("", important_counts(important)), ("shuffled_", chance)):
            found[f"{kind}inputs_{i}"] = known * seen.inputs
            found[f"{kind}outputs_{i}"] = known * seen.outputs
    pairs = [(found[f"inputs_{i}"], found[f"outputs_{i + 1}"]) for i in (0, 1)]
    return {**found, "in_out": jnp.stack([jnp.corrcoef(*x)[0, 1] for x in pairs])}


def tested(data: Dataset, name: str) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance from chance and its p-value, medians over seeds."""
    pairs = zip(data[name].values, data[f"shuffled_{name}"].values, strict=True)
    found = np.array([kolmogorov_smirnov(*pair) for pair in pairs])
    distance, chance = np.median(found, axis=0)
    return float(distance), float(chance)


def unusual(data: Dataset, name: str) -> tuple[float, float]:
    """Shares of neurons two deviations of chance below and above its mean."""
    counts, chance = data[name].values, data[f"shuffled_{name}"].values
    mean, spread = chance.mean(1, keepdims=True), chance.std(1, keepdims=True)
    low, high = counts < mean - 2 * spread, counts > mean + 2 * spread
    return float(low.mean()), float(high.mean())


# --- Figure 3: counts are not chance but for the few output neurons -------------------
# Of outputs only those of the first hidden layer have a claim: 64 pixels, and 40
# neurons with ten outputs each, are too few to tell at the small preset.


@claim("Fig. 3: p < 0.01", low=0.0, high=0.01)
def inputs_of_hidden_neurons(data: Dataset) -> float:
    """Important inputs of hidden neurons against permuted synapses: Kolmogorov-Smirnov
    p (largest, hidden layers).
    """
    chances = [tested(data, name)[1] for name in ("inputs_0", "inputs_1")]
    return float(np.max(chances))


@claim("Appendix 1-figure 2: p < 0.01", low=0.0, high=0.01)
def outputs_of_hidden_neurons(data: Dataset) -> float:
    """Important outputs of the first hidden layer: Kolmogorov-Smirnov p."""
    return tested(data, "outputs_1")[1]


@claim(
    "Appendix 1-figure 2: p = 0.41",
    low=0.05,
    high=1.0,
    control=lambda data, control: tested(data, "inputs_0")[1],
)
def inputs_of_output_neurons(data: Dataset) -> float:
    """Important inputs of the ten output neurons: not significant."""
    return tested(data, "inputs_2")[1]


@claim("Fig. 3; chance: 0.05, four times that", low=0.2, high=1.0)
def unusual_hidden_neurons(data: Dataset) -> float:
    """Share of hidden neurons two deviations of chance from its mean (smaller of both
    layers).
    """
    return min(sum(unusual(data, name)) for name in ("inputs_0", "inputs_1"))


@claim("Fig. 3: r = 0.94 and 0.80; at least 0.7", low=0.7, high=1.0)
def inputs_follow_outputs(data: Dataset) -> float:
    """Neurons with many important inputs have many important outputs: correlation
    (smaller of both layers).
    """
    return float(over_seeds(data.in_out).min(skipna=False))


def draw_sparsity(data: Dataset) -> Figure:
    """Figure 3: important inputs and outputs of neurons against chance."""
    figure, axes = panels(2, 4, 2.9, 2.6)
    edges = np.linspace(0, 1, 21)
    for panel, (name, (_, title)) in zip(
        axes[:, :3].flat, NEURONS.items(), strict=True
    ):
        for kind, color in ((f"shuffled_{name}", SHADES[5]), (name, SHADES[0])):
            values = data[kind].values.ravel()
            share = np.histogram(values, edges)[0] / values.size
            label = "chance" if kind.startswith("shuffled") else "learned"
            panel.stairs(share, edges, color=color, fill=False, lw=1.4, label=label)
        distance, chance = tested(data, name)
        panel.set_title(f"{title}\nD = {distance:.2f}, p = {chance:.1g}", fontsize=9)
        panel.set(xlabel="share important", ylabel="share of neurons")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    here = data.isel(seed=0)
    for panel, layer in zip(axes[:, 3], data.hidden_layer.values, strict=True):
        ins, outs = here[f"inputs_{layer - 1}"], here[f"outputs_{layer}"]
        panel.plot(ins, outs, "o", ms=3, color=SHADES[1], alpha=0.6)
        r = float(data.in_out.sel(hidden_layer=layer).mean())
        panel.set_title(f"hidden layer {layer}: r = {r:.2f}", fontsize=9)
        panel.set(xlabel="share of important inputs", ylabel="of important outputs")
    return figure


LABELS = {"digit": range(CLASSES)}  # pixels and hidden neurons have none
FIG3 = FIG2._replace(
    name="fig3",
    source="Fig. 3; Appendix 1-figure 2",
    shows="important synapses gather on few neurons, at their inputs and outputs alike",
    run=gathered,
    claims=(
        inputs_of_hidden_neurons,
        outputs_of_hidden_neurons,
        inputs_of_output_neurons,
        unusual_hidden_neurons,
        inputs_follow_outputs,
    ),
    figure=draw_sparsity,
    axes={
        "in_out": {"hidden_layer": (1, 2)},
        **{
            kind + name: {dim: LABELS.get(dim)}
            for kind in ("", "shuffled_")
            for name, (dim, _) in NEURONS.items()
        },
    },
)
