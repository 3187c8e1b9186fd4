"""Figure 7: homo- and heterosynaptic plasticity over two groups of equal weights."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from xarray import apply_ufunc, DataArray, Dataset

from .... import AbstractConfig, Scalar, simulate, sweep, System
from ...._arguments import real, require
from ....circuits import Sigmoid, SpikingNeuron
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan
from ....rules import NaturalGradient, NaturalTerms
from ....tasks import SpikeTrains
from ..potentials import stationary_potentials
from ..single_theory import heterosynaptic_boundary
from .learning import EUCLIDEAN, NATURAL, synapses_of, with_error


Vector = Float[Array, " n"]
RECORDS = 60  # points of a time course
DRAWS = 1000  # stationary potentials at a time


class Groups(AbstractConfig):
    r"""Two groups of synapses, one stimulated and one silent, and an unrelated teacher.

    The first `active` of `size` inputs fire at `rate`, the others never; their rate
    counts as `floor`. All weights of a group start equal, at `stimulated` and at
    `unstimulated` in units of 1/`size`. Tonic inhibition of 5 mV moves the `threshold`
    of the transfer function to 15 mV. The published code never refreshes the
    coefficients of the Fisher matrix (`refresh` = 0). `terms` of the rule: without the
    heterosynaptic ones silent synapses do not change.
    """

    stimulated: Scalar = eqx.field(default=1.0, converter=real)
    unstimulated: Scalar = eqx.field(default=1.0, converter=real)
    learning_rate: Scalar = eqx.field(default=0.001, converter=real)
    rate: Scalar = eqx.field(default=5.0, converter=real)  # Hz
    target_rate: Scalar = eqx.field(default=20.0, converter=real)  # Hz
    floor: Scalar = eqx.field(default=1e-4, converter=real)  # Hz
    threshold: Scalar = eqx.field(default=15.0, converter=real)  # mV
    terms: tuple[str, ...] = eqx.field(default=NaturalTerms._fields, static=True)
    size: int = eqx.field(default=10, static=True)
    active: int = eqx.field(default=5, static=True)
    seconds: int = eqx.field(default=60, static=True)
    step: float = eqx.field(default=5e-4, static=True)  # s
    refresh: int = eqx.field(default=200, static=True)  # steps; 0: frozen
    samples: int = eqx.field(default=100_000, static=True)  # behind the drift

    def __check_init__(self) -> None:
        if not 1 <= self.active < self.size:
            raise ValueError(
                f"`active` must lie in [1, {self.size - 1}]; got {self.active}."
            )
        if not 0 < self.step <= 0.1:
            raise ValueError(f"`step` must lie in (0, 0.1] s; got {self.step}.")
        if self.seconds < 1 or self.steps % RECORDS:
            raise ValueError(
                f"`seconds` ({self.seconds}) must hold a multiple of {RECORDS} steps "
                f"of {self.step} s."
            )
        if self.samples < DRAWS or self.samples % DRAWS:
            raise ValueError(
                f"`samples` must be a multiple of {DRAWS}; got {self.samples}."
            )
        require(self, stimulated=(-1e3, 1e3), unstimulated=(-1e3, 1e3))
        require(self, rate=(1e-6, 1 / self.step), target_rate=(0.0, 1 / self.step))
        require(self, learning_rate=(0.0, np.inf), floor=(1e-12, np.inf))
        NaturalGradient(self.learning_rate, terms=self.terms)  # its own checks

    @property
    def steps(self) -> int:
        """Length of a run."""
        return round(self.seconds / self.step)

    @property
    def rates(self) -> Vector:
        """Input rates in Hz."""
        return jnp.where(jnp.arange(self.size) < self.active, self.rate, 0.0)

    @property
    def start(self) -> Vector:
        """The weights at the beginning."""
        fires = jnp.arange(self.size) < self.active
        return jnp.where(fires, self.stimulated, self.unstimulated) / self.size


def neuron_of(config: Groups) -> SpikingNeuron:
    """A neuron under tonic inhibition."""
    return SpikingNeuron(
        config.rates,
        config.step,
        transfer=Sigmoid(threshold=config.threshold),
        floor=config.floor,
        refresh=config.refresh,
        nodes=181,
    )


def rule_of(config: Groups) -> NaturalGradient:
    """The natural gradient, or some of its terms."""
    return NaturalGradient(config.learning_rate, terms=config.terms)


def by_group(config: Groups, weights: Float[Array, "*time n"]) -> Array:
    """Mean weights of both groups in units of 1/`size`, stimulated first."""
    groups = jnp.split(weights, [config.active], axis=-1)
    means = jnp.stack([jnp.mean(group, axis=-1) for group in groups], axis=-1)
    return config.size * means


def learned(config: Groups, key: Key[Array, ""]) -> dict[str, Array]:
    """Changes of both groups after `seconds` of learning, in per cent.

    `course`: mean weights (group, time) in units of 1/`size`.
    """
    neuron = neuron_of(config)
    spikes = SpikeTrains(config.rates, config.step, config.target_rate)
    system = System(spikes, neuron, {"learning": rule_of(config)})
    state = system.start(config.start, key)
    steps, every = config.steps, config.steps // RECORDS
    _, seen = simulate(system, state, key, steps=steps, every=every, record=synapses_of)
    course = by_group(config, jnp.concatenate([config.start[None], seen]))
    percent = 100 * (course[-1] / course[0] - 1)
    return {
        "stimulated_change": percent[0],
        "unstimulated_change": percent[1],
        "course": course.T,
    }


# --- the drift -----------------------------------------------------------------------


def drift(
    potentials: Float[Array, "sample n"], config: Groups, key: Key[Array, ""]
) -> dict[str, Array]:
    """The mean change over stationary `potentials`, over `seconds` and in per cent.

    The rule is linear in the teacher's spike, so its mean stands for it; weights do not
    move. `predicted_output`: mean rate (Hz); `boundary`: silent weight (in 1/`size`)
    above which silent synapses change like stimulated ones.
    """
    neuron, rule, weights = neuron_of(config), rule_of(config), config.start
    coefficients = neuron.coefficients(weights)
    target = config.target_rate * config.step

    def at(x: Vector) -> tuple[Array, Array]:
        signals = neuron.signals(weights, x, target, coefficients)
        return rule(weights, signals, key), signals.rate

    change, rate = jax.vmap(at)(potentials)
    moved = weights + config.steps * jnp.mean(change, axis=0)
    before, after = by_group(config, jnp.stack([weights, moved]))
    percent = 100 * (after / before - 1)
    boundary = heterosynaptic_boundary(coefficients, neuron.kernel, weights[0])
    return {
        "stimulated_drift": percent[0],
        "unstimulated_drift": percent[1],
        "predicted_output": jnp.mean(rate),
        "boundary": config.size * boundary,
    }


def draw_potentials(config: Groups, key: Key[Array, ""]) -> Float[Array, "sample n"]:
    """Stationary synaptic potentials of the stimulated inputs; 0 for the others."""
    kernel, rates = neuron_of(config).kernel, config.rates[: config.active]
    draw = lambda key: stationary_potentials(rates, kernel, DRAWS, key)
    drawn = jax.lax.map(draw, jr.split(key, config.samples // DRAWS))
    drawn = drawn.reshape(config.samples, config.active)
    return jnp.pad(drawn, ((0, 0), (0, config.size - config.active)))


def predict(plan: Plan, keys: Key[Array, " seed"]) -> Dataset:
    """The drift at every cell, from one sample of stationary potentials."""
    potentials = jax.jit(draw_potentials)(plan.config, keys[0])
    run = Partial(drift, potentials)
    data = sweep(run, plan.config, plan.grid, keys[:1], progress=False)
    return data.isel(seed=0, drop=True).drop_vars("diverged").reset_coords(drop=True)


# --- claims --------------------------------------------------------------------------

BALANCE = 1.87  # stimulated weight (1/size) at which both groups turn
MARGIN = 0.25  # cells nearer than this to a border of the regimes are left out
EXAMPLES = {"O1": (1.6, 1, -1), "O2": (2.5, -1, 1), "S": (4.5, -1, -1)}  # Fig. 7E-G


def share(data: Dataset, regime: str) -> float:
    """Share of a regime's cells where both groups change in its directions.

    Theory has O1 and O2 where the groups turn apart, S where they shrink together.
    """
    own, silent, boundary = data.stimulated, data.unstimulated, data.boundary
    weak, strong = own < BALANCE - MARGIN, own > BALANCE + MARGIN
    apart = (boundary < 0) | (silent < boundary - MARGIN)
    together = (boundary > 0) & (silent > boundary + MARGIN)
    where, first, second = {
        "O1": (weak, 1, -1),
        "O2": (strong & apart, -1, 1),
        "S": (strong & together, -1, -1),
    }[regime]
    right = over_seeds(data.stimulated_change) * first > 0
    right = right & (over_seeds(data.unstimulated_change) * second > 0)
    return float(right.where(where).mean())


def turning_point(change: DataArray) -> DataArray:
    """Stimulated weight (1/size) at which the change is zero, between cells.

    Linear between the first two cells of different sign; NaN if there are none.
    """
    place = change.stimulated.values

    def at(values: np.ndarray) -> float:
        turns = np.flatnonzero(values[:-1] * values[1:] <= 0)
        if not len(turns):
            return math.nan
        i = turns[0]
        part = values[i] / (values[i] - values[i + 1])
        return place[i] + part * (place[i + 1] - place[i])

    return apply_ufunc(at, change, input_core_dims=[["stimulated"]], vectorize=True)


in_its_regime = claim("Fig. 7, boundary derived", low=1.0, high=1.0)


@in_its_regime
def weak_grow(data: Dataset) -> float:
    """O1: weak stimulated synapses grow and silent ones shrink (share of cells)."""
    return share(data, "O1")


@in_its_regime
def strong_shrink(data: Dataset) -> float:
    """O2: strong ones shrink and silent ones grow (share of cells)."""
    return share(data, "O2")


@in_its_regime
def both_shrink(data: Dataset) -> float:
    """S: beyond the boundary both shrink (share of cells)."""
    return share(data, "S")


@claim("Fig. 7E-G", low=1.0, high=1.0, each={"regime": tuple(EXAMPLES)})
def example(data: Dataset, regime: str) -> float:
    """{regime}: both groups of its example change as they should (share of groups)."""
    place, *signs = EXAMPLES[regime]
    try:
        cell = data.sel(stimulated=place, unstimulated=place)
    except KeyError:  # the grid does not have it
        return math.nan
    pair = zip((cell.stimulated_change, cell.unstimulated_change), signs, strict=True)
    return float(np.mean([over_seeds(x) * sign > 0 for x, sign in pair]))


def slopes(data: Dataset, drift: DataArray) -> DataArray:
    """Slope of the silent synapses' change over a drift, every seed."""
    products = data.unstimulated_change * drift
    cells = ["stimulated", "unstimulated"]
    return products.sum(cells, skipna=False) / (drift**2).sum()


@claim(
    "mean update over stationary inputs",
    low=0.85,
    high=1.15,
    control=lambda data, still: over_seeds(slopes(still, data.unstimulated_drift)),
)
def silent_follow_their_drift(data: Dataset) -> tuple[float, float]:
    """Silent synapses change as their drift says (slope over cells)."""
    return with_error(slopes(data, data.unstimulated_drift))


@claim("drift: 1.87", low=BALANCE - 0.15, high=BALANCE + 0.15, control=None)
def balance(data: Dataset) -> tuple[float, float]:
    """Stimulated weight (1/n) at which stimulated synapses are balanced."""
    turns = turning_point(data.stimulated_change.mean("unstimulated", skipna=False))
    own = turning_point(over_seeds(data.stimulated_change))
    return float(own.mean(skipna=False)), with_error(turns)[1]


@claim("Fig. 7, corrected", low=10.0, high=12.0, control=None)
def output_at_balance(data: Dataset) -> float:
    """There the mean output is 11 Hz, not the teacher's 20 Hz."""
    output = data.predicted_output.isel(unstimulated=0)
    return float(output.interp(stimulated=balance(data)[0]))


@claim("derived ratio", low=0.0, high=0.1, control=None)
def silent_turn_there(data: Dataset) -> float:
    """Silent synapses turn at the same stimulated weight (largest distance)."""
    turns = turning_point(over_seeds(data.unstimulated_change))
    return float(abs(turns - balance(data)[0]).max(skipna=False))


@claim("Fig. 7B", low=0.0, high=0.01, control=None)
def stimulated_ignore_the_silent(data: Dataset) -> float:
    """Stimulated synapses ignore the silent weights (spread / largest change)."""
    own = over_seeds(data.stimulated_change)
    spread = own.max("unstimulated") - own.min("unstimulated")
    return float(spread.max(skipna=False) / abs(own).max(skipna=False))


REGIMES = {"O1": "#cfe0f3", "O2": "#f6dcc3", "S": "#cfe8dc"}


def draw_homo_and_hetero(data: Dataset) -> Figure:
    """Figure 7: changes of both groups, the three regimes, and examples in time."""
    figure, axes = panels(2, 3, 3.6, 2.9)
    data = data.transpose("unstimulated", "stimulated", ...)
    x, y = data.stimulated.values, data.unstimulated.values
    mean = data.mean("seed")
    own, other = mean.stimulated_change.values, mean.unstimulated_change.values
    changes = dict(zip(data.group.values, (own, other), strict=True))
    for panel, (group, change) in zip(axes[0], changes.items(), strict=False):
        limit = np.quantile(np.abs(change), 0.85)
        near = {"vmin": -limit, "vmax": limit, "shading": "nearest"}
        image = panel.pcolormesh(x, y, change, cmap="RdBu_r", **near)
        figure.colorbar(image, ax=panel, label="change (%)", extend="both")
        panel.set_title(f"{group} synapses")
    regime = np.where(own > 0, 0, np.where(other > 0, 1, 2))
    colors = ListedColormap(list(REGIMES.values()))
    axes[0, 2].pcolormesh(x, y, regime, cmap=colors, vmin=0, vmax=2, shading="nearest")
    axes[0, 2].set_title("regimes")
    _borders(axes[0, 2], data)
    for panel in axes[0]:
        panel.set(xlabel="stimulated weight (1/n)", ylabel="silent weight (1/n)")
    for panel, (at, *_) in zip(axes[1], EXAMPLES.values(), strict=True):
        _courses(panel, data.sel(stimulated=at, unstimulated=at, method="nearest"))
    axes[1, 0].legend(frameon=False, fontsize="small")
    return figure


def _borders(panel: Axes, data: Dataset) -> None:
    """Where theory has the borders of the regimes."""
    ends = [float(data.unstimulated.min()), float(data.unstimulated.max())]
    theory = data.isel(unstimulated=0)
    drift = theory.stimulated_drift.values
    panel.contour(data.stimulated, ends, np.stack([drift, drift]), [0.0], colors="0.2")
    flips = theory.boundary.where(theory.boundary > 0).dropna("stimulated")
    panel.plot(flips.stimulated, flips, "--", color="0.2", lw=1.5)
    panel.set_ylim(*ends)
    patches = [Patch(color=color, label=name) for name, color in REGIMES.items()]
    panel.legend(handles=patches, fontsize="small", loc="lower right")


def _courses(panel: Axes, cell: Dataset) -> None:
    """Weights of both groups in time, relative to their start, every seed."""
    percent = 100 * (cell.course / cell.course.isel(time=0) - 1)
    for group, color in zip(cell.group.values, (NATURAL, EUCLIDEAN), strict=True):
        each = percent.sel(group=group).transpose("time", "seed").values
        panel.plot(cell.time, each, color=color, lw=0.6, alpha=0.5)
        panel.plot(cell.time, each.mean(axis=1), color=color, lw=1.8, label=group)
    panel.axhline(0.0, color="0.8", lw=0.8, zorder=0)
    start = f"{float(cell.stimulated):g}/n, {float(cell.unstimulated):g}/n"
    panel.set(xlabel="time (s)", ylabel="change (%)", title=f"start at {start}")


FIG7 = Experiment(
    name="fig7",
    source="Fig. 7",
    shows="silent synapses change too: against the stimulated ones or with them",
    config=Groups,
    run=learned,
    claims=(
        weak_grow,
        strong_shrink,
        both_shrink,
        example,
        silent_follow_their_drift,
        balance,
        output_at_balance,
        silent_turn_there,
        stimulated_ignore_the_silent,
    ),
    figure=draw_homo_and_hetero,
    control=changed(terms=("homosynaptic",)),
    axes={
        "course": {
            "group": ("stimulated", "silent"),
            "time": lambda config: np.linspace(0.0, config.seconds, RECORDS + 1),
        }
    },
    predict=predict,
    float64=True,  # single precision loses the increments below its resolution
)
