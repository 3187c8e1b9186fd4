"""Fig. 3B-C: responses to one stimulus before and after learning."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from .... import simulate
from ....circuits import SynapticKernel
from ....experiment import Claim, Experiment, panels, Plan
from ....tasks import spike_counts
from ..config import build, Config
from .learning import EUCLIDEAN, NATURAL, synapses_of


BIN = 5e-4  # s
BINS = 500  # shown; as many run before
WIDTH = 25  # bins of the histogram's bars
SAMPLES = 3000  # output spike trains


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


def fig3bc_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Before and after, over trials."""
    error, still = (d.error.mean("seed", skipna=False).values for d in (data, control))
    scatter = data.error.isel(stage=1).std("seed", ddof=1)
    gain, none = (d.correlation.diff("stage").values for d in (data, control))
    return [
        Claim(
            "before learning the rates differ by about 6 Hz (root mean square)",
            "derived; simulated before: 6.0, range 2 to 13.3",
            float(error[0]),
            3.5,
            9.0,
        ),
        Claim(
            "after natural learning by 0.8 Hz",
            "Fig. 3C: 0.8 Hz; trials 0.4 to 1.5",
            float(error[1]),
            0.5,
            1.2,
            float(scatter / math.sqrt(data.sizes["seed"])),
            float(still[1]),
        ),
        Claim(
            "histograms come closer to the teacher's (least gain of correlation)",
            "Fig. 3B",
            float(np.min(gain)),
            1e-3,
            2.0,
            control=float(np.min(none)),
        ),
    ]


def without_learning(plan: Plan) -> Plan:
    """Negative control: learning rates of zero."""
    short = plan.config.record_seconds  # nothing happens, however long it takes
    config = dataclasses.replace(plan.config, rate_factor=0.0, seconds=short)
    return plan._replace(config=config)


def draw_responses(data: xarray.Dataset) -> Figure:
    """Spike histograms above, potentials below; left before, right after learning."""
    from ..experiments.psth import BIN, WIDTH

    one = data.isel(seed=0)
    figure, axes = panels(2, 2, 4.0, 2.4)
    time = 1e3 * BIN * (np.arange(data.sizes["bin"]) + 1)
    edges = 1e3 * BIN * WIDTH * np.arange(data.sizes["bar"] + 1)
    for column, says in enumerate(("before learning", "after learning")):
        upper, lower = axes[:, column]
        for who, colour, name in (
            (0, EUCLIDEAN, "teacher"),
            (column + 1, NATURAL, "student"),
        ):
            bars = one.histogram.isel(who=who).values
            upper.stairs(bars, edges, color=colour, lw=1.5, label=name)
            lower.plot(time, one.voltage.isel(who=who), color=colour, lw=1.2)
        error = float(one.error.isel(stage=column))
        upper.set_title(f"{says} (rate error {error:.2g} Hz)", fontsize="medium")
        upper.set_ylim(0, 1.15 * float(one.histogram.max()))
        lower.set_ylim(float(one.voltage.min()) - 1, float(one.voltage.max()) + 1)
        lower.set_xlabel("time (ms)")
    axes[0, 0].set_ylabel("spikes (Hz)")
    axes[1, 0].set_ylabel("potential (mV above rest)")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


FIG3BC = Experiment(
    name="fig3bc",
    source="Fig. 3B-C",
    shows=(
        "spike histograms and potentials of student and teacher, before and after "
        "learning"
    ),
    config=Config,
    run=responses,
    claims=fig3bc_claims,
    figure=draw_responses,
    control=without_learning,
    dims={
        "voltage": ("who", "bin"),
        "rate": ("who", "bin"),
        "histogram": ("who", "bar"),
        "error": ("stage",),
        "correlation": ("stage",),
    },
)
