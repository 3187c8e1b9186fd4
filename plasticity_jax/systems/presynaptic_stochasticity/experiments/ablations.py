"""Figure 5a: what is lost without each part of the consolidation."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ..config import Config, images_of, PAIRS, Source
from ..training import learn
from .lifelong import images, known, REMOVED, spread, still, summary


VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no freeze": {"freeze": 1.0},
    "no modulation": {"modulated": False},
    "neither": {"modulated": False, "freeze": 1.0},
    "ghost": {"method": "ghost"},
    "ghost, own divisor": {"method": "ghost", "own_divisor": True},
    "no normalisation": {"normalised": False},
    "hard freeze": {"hard_freeze": True},
    "unscaled step": {"scaled": False},
    "random start": {"random_start": True},
}
RETUNED = {  # (down, up, freeze) of the published code's random search, Split MNIST
    "full": (0.0624703, 0.05835393, 0.94452875),
    "no freeze": (0.08590142, 0.06543912, 1.0),
    "no modulation": (0.0506991, 0.04199989, 0.94187781),
    "neither": (0.09587958, 0.01798108, 1.0),
    "ghost": (0.09833934, 0.09764242, 0.9466155),
    "ghost, own divisor": (0.09833934, 0.09764242, 0.9466155),
    "no normalisation": (0.02838338, 0.09717001, 0.9499824),
}


def variant(config: Config, name: str) -> Config:
    """`config` as one of `VARIANTS`, on MNIST with its `RETUNED` steps.

    A configuration whose probabilities never rise keeps `up` at 0.
    """
    changed = dataclasses.replace(config, **VARIANTS[name])
    if config.data != "mnist" or name not in RETUNED:
        return changed
    down, up, freeze = RETUNED[name]
    up = jnp.where(config.up > 0, up, 0.0)
    return dataclasses.replace(changed, down=down, up=up, freeze=freeze)


def ablated(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Every variant on the same stream.

    `accuracy` (learner, after, task); `probability` and `frozen` (learner, after), mean
    release probability and frozen share.
    """
    every = [learn(variant(config, name), source, key) for name in VARIANTS]
    return {
        "accuracy": jnp.stack([known(learned) for learned in every]),
        "probability": jnp.stack([learned.probability for learned in every]),
        "frozen": jnp.stack([learned.frozen for learned in every]),
    }


def named(plan: Plan, keys: Array) -> xarray.Dataset:
    """The names of the variants and of the tasks, from 1."""
    del plan, keys
    tasks = np.arange(1, len(PAIRS) + 1)
    coords = {"learner": list(VARIANTS), "after": tasks, "task": tasks}
    return xarray.Dataset(coords=coords)


def ablation_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Each part counts; without the freeze, plasticity is lost.

    On digits the ghost and the model with neither part reach nearly the accuracy of the
    full one: the order of Figure 5a is asked of MNIST only.
    """
    seen, removed = summary(data), summary(control)

    def less(rows: xarray.Dataset, name: str, what: str = "mean") -> xarray.DataArray:
        return rows[what].sel(learner="full") - rows[what].sel(learner=name)

    def mean(rows: xarray.DataArray) -> float:
        return float(rows.mean("seed", skipna=False))

    def share(rows: xarray.Dataset, name: str) -> float:
        lost = rows.forgetting.mean("seed", skipna=False)
        return float(lost.sel(learner="full") / lost.sel(learner=name))

    stuck = seen["mean"].sel(learner="no freeze")
    worse = ("no freeze",)
    if images(data) == "mnist":
        worse = ("ghost", "neither", *worse)
    return [
        *(
            Claim(
                f"forgetting of the full model over that of: {name}",
                f"specification; {REMOVED}",
                share(seen, name),
                -math.inf,
                0.7,
                control=share(removed, name),
            )
            for name in ("ghost", "no modulation", "neither")
        ),
        *(
            Claim(
                f"mean accuracy of the full model less that of: {name}",
                f"Figure 5a; {REMOVED}",
                mean(less(seen, name)),
                1e-3,
                math.inf,
                spread(less(seen, name)),
                control=mean(less(removed, name)),
            )
            for name in worse
        ),
        Claim(
            "no freeze, rates still modulated: mean accuracy, as learning stops",
            f"specification; theory T8; {REMOVED}",
            mean(stuck),
            0.0,
            0.78,
            spread(stuck),
            control=mean(removed["mean"].sel(learner="no freeze")),
        ),
        Claim(
            "forgetting of the full model less that with the unscaled step, which "
            "freezes more",
            f"specification: pitfall 3; {REMOVED}",
            mean(less(seen, "unscaled step", "forgetting")),
            1e-3,
            math.inf,
            spread(less(seen, "unscaled step", "forgetting")),
            control=mean(less(removed, "unscaled step", "forgetting")),
        ),
    ]


def draw_ablations(data: xarray.Dataset) -> Figure:
    """Every variant: mean accuracy and forgetting, and its mean release probability."""
    from ..experiments.ablations import summary, VARIANTS

    names = list(VARIANTS)
    seen = summary(data).sel(learner=names).transpose("learner", "seed", ...)
    place = np.arange(len(names))[::-1]
    figure, (row,) = panels(1, 3, 3.6, 3.6)
    for k, (name, words) in enumerate(
        (("mean", "mean accuracy after the last task"), ("forgetting", "forgetting"))
    ):
        row[k].barh(place, seen[name].mean("seed"), 0.7, color=SHADES[k])
        row[k].plot(seen[name].values, place, ".", color="black", ms=3)
        row[k].axvline(
            float(seen[name].sel(learner="full").mean()), color=THEORY, ls="--"
        )
        row[k].set(xlabel=words)
        row[k].set_yticks(place, names if k == 0 else [])
    row[0].set_xlim(0.4, 1.0)
    end = data.frozen.isel(after=-1).mean("seed").sel(learner=names)
    row[2].barh(place, end, 0.7, color=SHADES[2])
    row[2].set(xlabel="frozen share of the synapses", xlim=(0, 1))
    row[2].set_yticks(place, [])
    return figure


ABLATIONS = Experiment(
    name="ablations",
    source="Figure 5a",
    shows="freezing, modulation and release by the learned probabilities all count",
    config=Config,
    run=ablated,
    claims=ablation_claims,
    figure=draw_ablations,
    control=still,
    dims={
        "accuracy": ("learner", "after", "task"),
        "probability": ("learner", "after"),
        "frozen": ("learner", "after"),
    },
    predict=named,
    data=images_of,
)
