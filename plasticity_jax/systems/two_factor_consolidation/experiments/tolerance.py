"""Figure 2, recall: how much noise a network of one to four factors tolerates."""

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import claim, Experiment, over_seeds, panels, SHADES
from ..config import Config
from ..networks import after, build, stored_in
from ..recall import recall_curve, tolerance
from .oracle import ORDERS, over_positive, random_replay, suited
from .robustness import few_over_many, least_fall, SMALL
from .shared import stacked


RESOLVED = 0.2  # load below which tolerance is more than a few bits
DRAWS = 4  # of noise at each level
STEPS = np.linspace(0.0, 1.0, 25)
NEURAL = 0.98 * STEPS**2  # flipped bits over f N; 2p / f
SYNAPTIC = 0.98 * STEPS  # sigma / <u>
PANEL = {  # levels at recall one half, z = 1..4
    "neural": {
        0.08: (0.45, 0.265, 0.135, 0.08),
        0.1425: (0.275, 0.145, 0.065, 0.04),
        0.33: (0.08, 0.04, 0.02, 0.01),
    },
    "synaptic": {
        0.08: (0.57, 0.61, 0.28, 0.22),
        0.1425: (0.41, 0.435, 0.225, 0.175),
        0.33: (0.22, 0.23, 0.15, 0.12),
    },
}


def recalls(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Recall of one consolidated network from noisy cues and through noisy synapses.

    `neural` and `synaptic` (level,) recall rates at the levels `NEURAL` and `SYNAPTIC`,
    averaged over `DRAWS`; `neural_level` and `synaptic_level` where they are one half.
    """
    for_build, for_run, for_noise = jr.split(key, 3)
    system, state = build(config, for_build)
    memories, level = stored_in(system), config.activity
    synapses = after(system, state, for_run, config.cycles).synapses
    patterns, keys = memories.patterns, jr.split(for_noise, DRAWS)

    def curve(noise: str, steps: np.ndarray) -> tuple[Array, Array]:
        levels = jnp.asarray(steps, patterns.dtype)
        given = (synapses, patterns, level, levels, keys, noise, memories.stored)
        rates = recall_curve(*given)
        return rates, tolerance(levels, rates)

    neural, synaptic = map(curve, ("balanced", "living"), (NEURAL, SYNAPTIC))
    names = ("neural", "neural_level", "synaptic", "synaptic_level")
    return dict(zip(names, neural + synaptic, strict=True))


def tolerances(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`recalls` for every number of factors, on the same patterns and noise.

    Every result begins with the axis `order`.
    """
    return stacked([recalls(suited(config, order), key) for order in ORDERS])


def first_over_second(levels: DataArray) -> DataArray:
    """Tolerated noise of one factor over that of two, by load."""
    mean = over_seeds(levels)
    return over_positive(mean.sel(order=1), mean.sel(order=2))


@claim("Fig. 2", low=1.0, each={"axis": ("load", "order")})
def tolerance_falls(data: Dataset, axis: str) -> float:
    """Tolerated neural noise falls with every step of the {axis} (least ratio)."""
    return least_fall(over_seeds(data.neural_level), axis)


@claim("Fig. 2; panel 1.7 and 1.9", low=1.3, high=2.2)
def one_factor_tolerates_more(data: Dataset) -> float:
    """Tolerated neural noise, z = 1 over z = 2 (mean of loads below 0.2; above, two
    flipped bits are too many).
    """
    lead = first_over_second(data.neural_level)
    return float(lead.where(lead["load"] < RESOLVED, drop=True).mean(skipna=False))


@claim(
    "Fig. 2; panel 0.5, where two even lead, which 160 neurons do not show",
    low=0.2,
    high=0.8,
)
def leads_by_less_under_synaptic_noise(data: Dataset) -> float:
    """One factor leads two by less under synaptic than under neural noise (ratio of
    both leads, mean of loads).
    """
    levels = data.synaptic_level, data.neural_level
    synaptic, flips = (float(first_over_second(x).mean(skipna=False)) for x in levels)
    return 0.0 if flips <= 0 else synaptic / flips


@claim("Fig. 2; panel 2", low=1.5)
def few_factors_tolerate_more(data: Dataset) -> float:
    """Tolerated synaptic noise, lowest load: the least of z = 1, 2 over 3, 4."""
    return few_over_many(over_seeds(data.synaptic_level))


def draw_recall(data: Dataset) -> Figure:
    """Figure 2: recall against noise at the lowest load; the noise that halves it."""
    figure, axes = panels(2, 2, 3.7, 2.9)
    seen, loads = over_seeds(data), data["load"].values
    kinds = (("neural", "flipped"), ("synaptic", "volatile"))
    for (curves, levels), (name, dim) in zip(axes, kinds, strict=True):
        lowest, half = seen[name].isel(load=0), seen[f"{name}_level"]
        for k, order in enumerate(data.order.values):
            style = {"color": SHADES[k], "label": f"z = {order}"}
            curves.plot(data[dim], lowest.sel(order=order), **style)
            levels.plot(loads, half.sel(order=order), "o-", ms=4, **style)
            published = [rows[k] for rows in PANEL[name].values()]
            levels.plot(list(PANEL[name]), published, "_", color=SHADES[k], ms=10)
        levels.plot([], [], "_", color="black", ms=10, label="paper")
        curves.set(ylabel="recall rate", title=f"{name} noise, load {loads[0]:g}")
        levels.set(xlabel="load (patterns per input)", title=f"{name} noise")
        levels.legend(**SMALL)
    axes[0, 0].set_xlabel("flipped bits / $fN$")
    axes[0, 1].set_ylabel("flips / $fN$ at recall one half")
    axes[1, 0].set_xlabel("s.d. / mean factor")
    axes[1, 1].set_ylabel("s.d. / mean, at recall one half")
    return figure


ORDER = {"order": ORDERS}
FIG2_RECALL = Experiment(
    name="fig2_recall",
    source="Figure 2",
    shows="one factor tolerates most neural noise; two tolerate as much synaptic noise",
    config=Config,
    run=tolerances,
    claims=(
        *(tolerance_falls, one_factor_tolerates_more),
        *(leads_by_less_under_synaptic_noise, few_factors_tolerate_more),
    ),
    figure=draw_recall,
    control=random_replay,
    axes={
        "neural": ORDER | {"flipped": NEURAL},
        "synaptic": ORDER | {"volatile": SYNAPTIC},
        **dict.fromkeys(("neural_level", "synaptic_level"), ORDER),
    },
)
