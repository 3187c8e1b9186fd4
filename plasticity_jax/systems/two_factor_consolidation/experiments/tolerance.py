"""Figure 2, recall: how much noise a network of one to four factors tolerates."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import Scalar, simulate
from ....experiment import Claim, Experiment, panels, Plan, SHADES
from ..config import build, Config
from ..recall import (
    flip_balanced,
    jitter,
    OBSERVED,
    observed,
    recall_rate,
    tolerance,
)
from .oracle import ORDERS, over_positive, random_replay, suited
from .robustness import SMALL


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
    memories: Any = system.task(state.step, for_run)
    end, _ = simulate(system, state, for_run, steps=config.cycles, every=config.cycles)
    synapses = observed(end.synapses)
    patterns, level = memories.patterns, config.activity

    def neural(noise: Scalar, key: Key[Array, ""]) -> Scalar:
        cues = flip_balanced(patterns, noise * level / 2, level, key)
        return recall_rate(synapses, cues, patterns, level, memories.stored)

    def synaptic(noise: Scalar, key: Key[Array, ""]) -> Scalar:
        noisy = jitter(synapses, noise * OBSERVED, key)
        return recall_rate(noisy, patterns, patterns, level, memories.stored)

    found = {}
    keys = jr.split(for_noise, DRAWS)
    for name, recall, steps in (
        ("neural", neural, NEURAL),
        ("synaptic", synaptic, SYNAPTIC),
    ):
        levels = jnp.asarray(steps, patterns.dtype)
        draws = jax.vmap(recall, in_axes=(None, 0))
        rates = jax.lax.map(
            lambda noise, draws=draws: jnp.mean(draws(noise, keys)), levels
        )
        found |= {name: rates, f"{name}_level": tolerance(levels, rates)}
    return found


def tolerances(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`recalls` for every number of factors, on the same patterns and noise.

    Every result begins with the axis `order`.
    """
    each = [recalls(suited(config, order), key) for order in ORDERS]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


def label(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; there is no theory of recall."""
    del plan, keys
    coords = {"order": list(ORDERS), "flipped": NEURAL, "volatile": SYNAPTIC}
    return xarray.Dataset(coords=coords)


def recall_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Which networks tolerate more noise, of which kind."""
    seen, random = (x.mean("seed", skipna=False) for x in (data, control))

    def drop(means: xarray.Dataset, dim: str) -> float:
        levels = means.neural_level
        later = levels.shift({dim: -1}).isel({dim: slice(-1)})
        return float(
            over_positive(levels.isel({dim: slice(-1)}), later).min(skipna=False)
        )

    def first_over_second(means: xarray.Dataset, name: str) -> xarray.DataArray:
        levels = means[f"{name}_level"]
        return over_positive(levels.sel(order=1), levels.sel(order=2))

    def few(means: xarray.Dataset) -> float:
        levels = means.synaptic_level.isel({"load": 0})
        low = levels.sel(order=[1, 2]).min(skipna=False)
        return float(over_positive(low, levels.sel(order=[3, 4]).max(skipna=False)))

    def neural(means: xarray.Dataset) -> float:
        lead = first_over_second(means, "neural")
        return float(lead.where(lead["load"] < RESOLVED, drop=True).mean(skipna=False))

    def lead(means: xarray.Dataset) -> float:
        synaptic, flips = (
            float(first_over_second(means, name).mean(skipna=False))
            for name in ("synaptic", "neural")
        )
        return 0.0 if flips <= 0 else synaptic / flips

    source = "Fig. 2; control: random replay"
    return [
        *(
            Claim(
                f"tolerated neural noise falls with every step of the {says} (least "
                "ratio before to after)",
                source,
                drop(seen, dim),
                1.0,
                math.inf,
                control=drop(random, dim),
            )
            for dim, says in (("load", "load"), ("order", "number of factors"))
        ),
        Claim(
            f"tolerated neural noise, z = 1 over z = 2 (mean of loads below {RESOLVED};"
            " above, two flipped bits are too many)",
            f"{source}; panel 1.7 and 1.9",
            neural(seen),
            1.3,
            2.2,
            control=neural(random),
        ),
        Claim(
            "one factor leads two by less under synaptic than under neural noise "
            "(ratio of both leads, mean of loads)",
            f"{source}; panel 0.5, where two even lead, which 160 neurons do not show",
            lead(seen),
            0.2,
            0.8,
            control=lead(random),
        ),
        Claim(
            "tolerated synaptic noise, lowest load: the least of z = 1, 2 over 3, 4",
            f"{source}; panel 2",
            few(seen),
            1.5,
            math.inf,
            control=few(random),
        ),
    ]


def draw_recall(data: xarray.Dataset) -> Figure:
    """Figure 2: recall against noise at the lowest load; the noise that halves it."""
    from ..experiments.tolerance import PANEL

    figure, axes = panels(2, 2, 3.7, 2.9)
    seen = data.mean("seed", skipna=False)
    kinds = (("neural", "flipped"), ("synaptic", "volatile"))
    for (curves, levels), (name, dim) in zip(axes, kinds, strict=True):
        lowest = seen[name].isel({"load": 0})
        for k, order in enumerate(data.order.values):
            style = {"color": SHADES[k], "label": f"z = {order}"}
            curves.plot(data[dim], lowest.sel(order=order), **style)
            row = seen[f"{name}_level"].sel(order=order)
            levels.plot(data["load"], row, "o-", ms=4, **style)
            published = [rows[k] for rows in PANEL[name].values()]
            levels.plot(list(PANEL[name]), published, "_", color=SHADES[k], ms=10)
        levels.plot([], [], "_", color="black", ms=10, label="paper")
        lowest_load = float(data["load"][0])
        curves.set(ylabel="recall rate", title=f"{name} noise, load {lowest_load:g}")
        levels.set(xlabel="load (patterns per input)", title=f"{name} noise")
        levels.legend(**SMALL)
    axes[0, 0].set_xlabel("flipped bits / $fN$")
    axes[0, 1].set_ylabel("flips / $fN$ at recall one half")
    axes[1, 0].set_xlabel("s.d. / mean factor")
    axes[1, 1].set_ylabel("s.d. / mean, at recall one half")
    return figure


FIG2_RECALL = Experiment(
    name="fig2_recall",
    source="Figure 2",
    shows="one factor tolerates most neural noise; two tolerate as much synaptic noise",
    config=Config,
    run=tolerances,
    claims=recall_claims,
    figure=draw_recall,
    control=random_replay,
    dims={
        "neural": ("order", "flipped"),
        "synaptic": ("order", "volatile"),
        "neural_level": ("order",),
        "synaptic_level": ("order",),
    },
    predict=label,
)
