"""Fig. 3B-C: responses to one stimulus before and after learning."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import simulate
from ....circuits import SynapticKernel
from ....experiment import changed, claim, Experiment, over_seeds, panels
from ....tasks import spike_counts
from ..config import build, Config
from .learning import EUCLIDEAN, NATURAL, synapses_of, with_error


BIN = 5e-4  # s
BINS = 500  # shown; as many run before
WIDTH = 25  # bins of the histogram's bars
SAMPLES = 3000  # output spike trains
EDGES = 1e3 * BIN * WIDTH * np.arange(BINS // WIDTH + 1)  # ms, of the bars


def potentials_in_time(
    spikes: Float[Array, "bin n"], kernel: SynapticKernel
) -> Float[Array, "bin n"]:
    """Unweighted synaptic potentials (mV) that spikes in bins of 0.5 ms leave."""
    keep, drive, fade = kernel.propagator(jnp.asarray(BIN, spikes.dtype))

    def step(carry: tuple[Array, Array], arrived: Array) -> tuple[tuple, Array]:
        current, potential = carry
        potential = keep * potential + drive * current
        return (fade * current + arrived, potential), potential

    still = jnp.zeros_like(spikes[0])
    return jax.lax.scan(step, (still, still), spikes)[1]


def responses(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Potentials (mV), rates (Hz) and histograms (Hz) to one stimulus of 250 ms.

    Of the teacher and of the natural student before and after learning, each (who,
    time); `error` is the root mean squared difference of the student's rates from the
    teacher's before and after.
    """
    for_build, for_run, for_input, for_output = jr.split(key, 4)
    system, state = build(config, for_build)
    steps = round(config.seconds / config.step)
    _, seen = simulate(
        system, state, for_run, steps=steps, every=steps, record=synapses_of
    )
    teacher = system.circuit.neuron.teacher  # pyright: ignore[reportAttributeAccessIssue]
    weights = jnp.stack([teacher, state.synapses["natural"], seen["natural"][0]])
    shape = (2 * BINS, config.size)
    spikes = spike_counts(for_input, config.rates * BIN, shape, "bernoulli")
    voltages = weights @ potentials_in_time(spikes, config.kernel)[BINS:].T
    rates = config.transfer(voltages)
    counts = jr.binomial(for_output, SAMPLES, rates * BIN)
    bars = jnp.sum(counts.reshape(3, -1, WIDTH), axis=2) / (SAMPLES * WIDTH * BIN)
    error = jnp.sqrt(jnp.mean((rates[1:] - rates[:1]) ** 2, axis=1))
    centred = bars - jnp.mean(bars, axis=1, keepdims=True)
    scaled = centred / jnp.linalg.norm(centred, axis=1, keepdims=True)
    return {
        "voltage": voltages,
        "rate": rates,
        "histogram": bars,
        "error": error,
        "correlation": scaled[1:] @ scaled[0],
    }


@claim(
    "derived; simulated before: 6.0, range 2 to 13.3", low=3.5, high=9.0, control=None
)
def error_before(data: Dataset) -> float:
    """Before learning the rates differ by about 6 Hz (root mean square)."""
    return float(over_seeds(data.error).sel(stage="before"))


@claim("Fig. 3C: 0.8 Hz; trials 0.4 to 1.5", low=0.5, high=1.2)
def error_after(data: Dataset) -> tuple[float, float]:
    """After natural learning by 0.8 Hz."""
    return with_error(data.error.sel(stage="after"))


@claim("Fig. 3B", low=1e-3, high=2.0)
def histograms_come_closer(data: Dataset) -> float:
    """Histograms come closer to the teacher's (least gain of correlation)."""
    return float(data.correlation.diff("stage").min(skipna=False))


def draw_responses(data: Dataset) -> Figure:
    """Spike histograms above, potentials below; left before, right after learning."""
    one = data.isel(seed=0)
    figure, axes = panels(2, 2, 4.0, 2.4)
    axes[0, 0].set_ylabel("spikes (Hz)")
    axes[1, 0].set_ylabel("potential (mV above rest)")
    for (upper, lower), stage in zip(axes.T, data.stage.values, strict=True):
        shown = {"teacher": ("teacher", EUCLIDEAN), "student": (stage, NATURAL)}
        for name, (who, color) in shown.items():
            here = one.sel(who=who)
            upper.stairs(here.histogram, EDGES, color=color, lw=1.5, label=name)
            lower.plot(data.bin, here.voltage, color=color, lw=1.2)
        error = float(one.error.sel(stage=stage))
        title = f"{stage} learning (rate error {error:.2g} Hz)"
        upper.set_title(title, fontsize="medium")
        upper.set_ylim(0, 1.15 * float(one.histogram.max()))
        lower.set_ylim(float(one.voltage.min()) - 1, float(one.voltage.max()) + 1)
        lower.set_xlabel("time (ms)")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


WHO, STAGE = {"who": ("teacher", "before", "after")}, {"stage": ("before", "after")}
TIME = {"bin": 1e3 * BIN * (np.arange(BINS) + 1)}  # ms, ends of the bins
FIG3BC = Experiment(
    name="fig3bc",
    source="Fig. 3B-C",
    shows="spikes and potentials of student and teacher, before and after learning",
    config=Config,
    run=responses,
    claims=(error_before, error_after, histograms_come_closer),
    figure=draw_responses,
    control=changed(  # nothing happens, however long it takes
        rate_factor=0.0, seconds=lambda config: config.record_seconds
    ),
    axes={
        "voltage": WHO | TIME,
        "rate": WHO | TIME,
        "histogram": WHO | {"bar": (EDGES[1:] + EDGES[:-1]) / 2},
        "error": STAGE,
        "correlation": STAGE,
    },
)
