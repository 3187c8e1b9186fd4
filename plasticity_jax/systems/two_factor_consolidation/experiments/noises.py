r"""Figure 2, controls: recall under every kind of flips and of synaptic noise.

Flips of exact numbers leave out the common part of the noise, which all weights share:
dense synapses gain most (T8). Isotropic flips make sparse patterns more active. Noise
of all z factors has z times the variance (T9), and noise of dead synapses matters where
nothing multiplies it, with one factor.
"""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import changed, claim, Experiment, over_seeds, panels
from ..config import Config
from ..networks import after, build, stored_in
from ..recall import FLIPS, KINDS, recall_curve, tolerance
from .oracle import over_positive, suited
from .shared import LAW, legends, shaded, stacked
from .tolerance import DRAWS, NEURAL, SYNAPTIC


ORDERS = (1, 2)
NOISES = FLIPS + KINDS
LEVELS = dict.fromkeys(FLIPS, NEURAL) | dict.fromkeys(KINDS, SYNAPTIC)


def noisy(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`recall` (order, noise, level) of consolidated networks, and their `tolerated`.

    The same patterns and keys for every number of factors and every noise.
    """
    for_build, for_run, for_noise = jr.split(key, 3)
    keys = jr.split(for_noise, DRAWS)

    def of_order(order: int) -> tuple[Array, Array]:
        here = suited(config, order)
        system, state = build(here, for_build)
        stored = stored_in(system)
        synapses = after(system, state, for_run, here.cycles).synapses
        levels = {k: jnp.asarray(x, stored.patterns.dtype) for k, x in LEVELS.items()}
        given = (synapses, stored.patterns, config.activity)
        rates = [recall_curve(*given, x, keys, k) for k, x in levels.items()]
        half = [tolerance(*x) for x in zip(levels.values(), rates, strict=True)]
        return jnp.stack(rates), jnp.stack(half)

    recall, tolerated = stacked([of_order(order) for order in ORDERS])
    return {"recall": recall, "tolerated": tolerated}


def over(data: Dataset, noise: str, other: str) -> DataArray:
    """Tolerated level of a noise over that of another, by number of factors."""
    level = over_seeds(data.tolerated)
    return over_positive(level.sel(noise=noise), level.sel(noise=other))


@claim("theory T8: without the noise that weights share", low=1.0, control=None)
def exact_flips_disturb_less(data: Dataset) -> float:
    """Exact over balanced flips tolerated: that of z = 1, dense, over that of z = 2."""
    lead = over(data, "exact", "balanced")
    return float(over_positive(lead.sel(order=1), lead.sel(order=2)))


@claim(
    "theory, direction: fields shift by p(1 - 2f) of the sum of weights; control: f = "
    "1/2, where the flips are the same ones",
    low=1e-6,
    high=1 - 1e-6,
)
def isotropic_flips_disturb_dense_synapses(data: Dataset) -> float:
    """Isotropic over balanced flips tolerated: that of z = 1, whose weights sum to more
    beside the margin, over that of z = 2.
    """
    lead = over(data, "isotropic", "balanced")
    return float(over_positive(lead.sel(order=1), lead.sel(order=2)))


@claim(
    "theory T9: 1/sqrt(2), .69 with terms of second order at the levels tolerated",
    low=0.6,
    high=0.8,
    control=lambda data, control: over(data, "all", "living").sel(order=1),
)
def both_factors_jitter(data: Dataset) -> float:
    """z = 2: noise of both factors tolerated over that of one; control: z = 1."""
    return float(over(data, "all", "living").sel(order=2))


@claim(
    "theory: nothing multiplies the noise of a synapse of one factor; control: z = 2",
    high=0.9,
    control=lambda data, control: over(data, "first", "living").sel(order=2),
)
def dead_synapses_open(data: Dataset) -> float:
    """z = 1: noise tolerated where dead synapses jitter too, over living ones only."""
    return float(over(data, "first", "living").sel(order=1))


def draw_noises(data: Dataset) -> Figure:
    """Recall against the level of every noise, and the levels that halve it."""
    figure, ((flips, shakes, levels),) = panels(1, 3, 3.7, 2.9)
    seen = over_seeds(data)
    for order, style in zip(ORDERS, ("-", "--"), strict=True):
        for panel, kinds, grid in ((flips, FLIPS, NEURAL), (shakes, KINDS, SYNAPTIC)):
            for kind, color in shaded(kinds):
                curve = seen.recall.sel(order=order, noise=kind)
                look = {"color": color, "label": f"{kind}, z = {order}"}
                panel.plot(grid, curve, style, **look)
    for order, color in shaded(ORDERS):
        at = np.arange(len(NOISES)) + 0.4 * (order - 1.5)
        half = seen.tolerated.sel(order=order)
        levels.bar(at, half, 0.36, color=color, label=f"z = {order}")
    for panel in (flips, shakes):
        panel.axhline(0.5, lw=0.7, **LAW)
        panel.set(ylabel="recall rate", ylim=(-0.03, 1.03))
    flips.set(xlabel="flipped bits / $fN$", title="Flipped cues")
    shakes.set(xlabel="s.d. / mean factor", title="Jittering synapses")
    levels.set_xticks(np.arange(len(NOISES)), NOISES, rotation=30)
    levels.set(ylabel="level at recall one half")
    legends((flips, shakes, levels))
    return figure


FIG2_NOISES = Experiment(
    name="fig2_noises",
    source="Figure 2, controls",
    shows="which noise one and two factors bear depends on what it does to weak inputs",
    config=Config,
    run=noisy,
    claims=(
        *(exact_flips_disturb_less, isotropic_flips_disturb_dense_synapses),
        *(both_factors_jitter, dead_synapses_open),
    ),
    figure=draw_noises,
    control=changed(coding_level=0.5),  # where isotropic flips are balanced
    axes={
        "recall": {"order": ORDERS, "noise": NOISES, "level": np.arange(len(NEURAL))},
        "tolerated": {"order": ORDERS, "noise": NOISES},
    },
)
