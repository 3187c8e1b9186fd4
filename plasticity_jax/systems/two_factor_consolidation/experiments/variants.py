"""Controls and variants of consolidation on the same patterns, at equal budget."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.figure import Figure

from .... import simulate
from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import degenerate, density, margins, noise_ratio
from .. import theory
from ..config import build, Config, FAST, fields_and_weights, of_order
from .oracle import oracle, over_positive, over_rows


ENOUGH = 0.25  # of the perceptron with a margin
VARIANTS: dict[str, dict[str, Any]] = {
    "z = 1": {"order": 1},
    "z = 2": {},
    "z = 3": {"order": 3},
    "z = 4": {"order": 4},
    "random pattern": {"policy": "random"},
    "soft, not taught": {"policy": "soft"},
    "taught, then soft": {"policy": "taught"},
    "taught together": {"policy": "taught_together"},
    "constant rates": {"schedule": "constant"},
    "no scaling": {"scaling": "none"},
    "scaling of each factor": {"scaling": "each"},
    "scaling of weights": {"scaling": "weights"},
    "one squared factor": {"parametrisation": "power"},
    "signed squares": {"parametrisation": "signed_power"},
    "midpoint threshold": {"threshold": "midpoint"},
    "threshold of Eq. 3": {"threshold": "random_pattern"},
    "margin perceptron": {"order": 1, "scaling": "none", "enough": ENOUGH},
}


def variant(config: Config, name: str) -> Config:
    r"""`config` as one of `VARIANTS`; `rate` is that of two factors.

    Other orders have rates in the proportion of `FAST`; signed squares, whose ascent
    holds the factor z, half of it.
    """
    changes = dict(VARIANTS[name])
    order = changes.pop("order", 2)
    rate = config.rate * FAST[order][0] / FAST[2][0]
    if name == "signed squares":
        rate = rate / 2
    return of_order(config, order, rate=rate, **changes)


def judged(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Every variant at the end of the same number of cycles.

    `ratio` (variant, norm, row) $\mathrm{SNR}_1$ and $\mathrm{SNR}_2$, `density`
    (variant, row), `valid` (row,) the neurons that are not degenerate.
    """
    for_build, for_run = jr.split(key)

    def judge(name: str) -> tuple[Array, Array, Array]:
        here = variant(config, name)
        system, state = build(here, for_build)
        stored: Any = system.task(state.step, for_run)
        end, _ = simulate(system, state, for_run, steps=here.cycles, every=here.cycles)
        fields, weights = fields_and_weights(system, end)
        margin = margins(fields, stored.targets, stored.stored)
        ratio = jnp.stack([noise_ratio(margin, weights, q) for q in (1.0, 2.0)])
        return ratio, density(weights), ~degenerate(stored.targets, stored.stored)

    ratio, share, valid = zip(*(judge(name) for name in VARIANTS), strict=True)
    return {
        "ratio": jnp.stack(ratio),
        "density": jnp.stack(share),
        "valid": valid[0],
    }


def optima(plan: Plan, keys: Any) -> xarray.Dataset:
    r"""Exact optima of the instances (`oracle`), and what theory says of them.

    `stationary` (seed, row) is $\mathrm{SNR}_1$ of two factors at constant rates over
    its optimum.
    """
    config = of_order(plan.config, 2, rate=plan.config.rate)
    each = [oracle(config, jr.split(key)[0]) for key in keys]
    found = {name: np.stack([one[name] for one in each]) for name in each[0]}
    gap = theory.stationary_gap(
        config.rate,
        config.threshold_rate,
        config.target,
        jnp.asarray(found["best_1"]),
        jnp.asarray(found["threshold"]),
    )
    found["stationary"] = 1 - np.asarray(gap) / found["best_1"]
    return xarray.Dataset(
        {name: (("seed", "row"), x) for name, x in found.items()},
        {"variant": list(VARIANTS), "norm": [1, 2], "inputs": config.size},
    )


def summary(data: xarray.Dataset) -> xarray.Dataset:
    """By seed: `reached` (norm), shares of the exact optimum; `stored`, neurons right.

    Means over neurons that are not degenerate; one without synapses stores nothing, one
    of a lost run is NaN.
    """
    known = data.density.notnull()
    best = xarray.concat([data.best_1, data.best_2], data.norm)
    right = (data.ratio.sel(norm=1) > 0).astype(float)
    wide = data.ratio.sel(norm=1) * float(data.inputs) ** 0.5 >= ENOUGH
    rows = {
        "reached": data.ratio / best,
        "stored": right.where(known),
        "enough": wide.astype(float).where(known),
        "density": data.density,
        "best_density": data.best_density,
        "stationary": data.stationary,
    }
    return xarray.Dataset({name: over_rows(x, data.valid) for name, x in rows.items()})


def variant_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """What variants of the specification do to the distance from the optimum."""
    seen, removed = (summary(x).mean("seed", skipna=False) for x in (data, control))

    def share(means: xarray.Dataset, name: str, norm: int = 1) -> float:
        return float(means.reached.sel(variant=name, norm=norm))

    def lead(means: xarray.Dataset) -> float:
        rows = means.reached.sel(norm=1)
        others = rows.sel(variant=["z = 1", "z = 3", "z = 4"]).max(skipna=False)
        return float(over_positive(rows.sel(variant="z = 2"), others))

    source = "specification; control: no replay"
    claims = [
        Claim(
            "SNR_1: z = 2 over the best other number of factors",
            f"Fig. 2, {source}",
            lead(seen),
            1.02,
            math.inf,
            control=lead(removed),
        ),
        *(
            Claim(
                f"{name} reaches the exact optimum of q = {norm} (mean share)",
                source,
                share(seen, name, norm),
                low,
                1 + 1e-3,
                control=share(removed, name, norm),
            )
            for name, norm, low in (
                ("z = 1", 2, 0.99),
                ("z = 2", 1, 0.985),
                ("scaling of each factor", 1, 0.985),
                ("scaling of weights", 1, 0.985),
                ("one squared factor", 1, 0.985),
                ("signed squares", 1, 0.97),
                ("taught, then soft", 1, 0.985),
                ("taught together", 1, 0.985),
            )
        ),
        *(
            Claim(
                f"{name}: share of the exact optimum of q = {norm}, not its own",
                f"{source}; {law} measured on one instance",
                share(seen, name, norm),
                law - 0.06,
                law + 0.06,
                control=share(removed, name, norm),
            )
            for name, norm, law in (("z = 1", 1, 0.79), ("z = 2", 2, 0.76))
        ),
    ]
    return [*claims, *ablation_claims(seen, removed)]


def ablation_claims(seen: xarray.Dataset, removed: xarray.Dataset) -> list[Claim]:
    """What is lost with each mechanism."""
    reached = seen.reached.sel(norm=1)
    whole = float(reached.sel(variant="z = 2"))

    def gap(means: xarray.Dataset) -> float:
        constant = means.reached.sel(norm=1, variant="constant rates")
        return float((1 - constant) / (1 - seen.stationary))

    return [
        *(
            Claim(
                f"{name}: neurons that store all patterns (share); control: z = 2",
                "specification; theory T11: nobody repairs an error"
                if name.startswith("soft")
                else "specification",
                float(seen.stored.sel(variant=name)),
                0.0,
                0.1,
                control=float(seen.stored.sel(variant="z = 2")),
            )
            for name in ("random pattern", "soft, not taught")
        ),
        Claim(
            "no scaling: share of the optimum that is lost; control: scaling of each "
            "factor",
            "specification",
            whole - float(reached.sel(variant="no scaling")),
            0.005,
            math.inf,
            control=whole - float(reached.sel(variant="scaling of each factor")),
        ),
        Claim(
            "constant rates: the gap below the optimum over that of theory",
            "theory T6, single cycles; control: no replay",
            gap(seen),
            0.75,
            1.25,
            control=gap(removed),
        ),
        Claim(
            f"margin perceptron: neurons with a robustness of {ENOUGH} (share)",
            "specification; control: no replay",
            float(seen.enough.sel(variant="margin perceptron")),
            0.99,
            1.0,
            control=float(removed.enough.sel(variant="margin perceptron")),
        ),
        Claim(
            "margin perceptron: share of the exact optimum of q = 1; control: z = 1",
            "specification: it stops once it is robust enough",
            float(reached.sel(variant="margin perceptron")),
            0.0,
            0.5,
            control=float(reached.sel(variant="z = 1")),
        ),
    ]


def no_replay(plan: Plan) -> Plan:
    """Negative control: nothing is learned."""
    still = dataclasses.replace(plan.config, rate=0.0, threshold_rate=0.0)
    return plan._replace(config=still)


def draw_variants(data: xarray.Dataset) -> Figure:
    """Every variant: its share of either optimum, and its density of synapses."""
    from ..experiments.variants import summary, VARIANTS

    names = list(VARIANTS)
    seen = summary(data).sel(variant=names)
    place = np.arange(len(names))[::-1]
    figure, ((first, second, third),) = panels(1, 3, 3.7, 4.2)
    for panel, norm in ((first, 1), (second, 2)):
        rows = seen.reached.sel(norm=norm).transpose("variant", "seed").values
        shown = np.clip(rows, 0.0, None)
        panel.barh(place, shown.mean(axis=1), 0.7, color=SHADES[norm - 1])
        panel.plot(shown, place, ".", color="black", ms=4)
        panel.axvline(1, color=THEORY, ls="--")
        panel.set(xlabel=f"$\\mathrm{{SNR}}_{norm}$ / exact optimum", xlim=(0, 1.08))
    rows = seen.density.transpose("variant", "seed").values
    third.barh(place, rows.mean(axis=1), 0.7, color=SHADES[2])
    third.plot(rows, place, ".", color="black", ms=4)
    best = float(seen.best_density.mean())
    third.axvline(best, color=THEORY, ls="--", label="optimum of q = 1")
    third.set(xlabel="density of synapses", xlim=(0, 1.3))
    third.legend(frameon=False, fontsize="small", loc="upper right")
    first.set_yticks(place, names)
    for panel in (second, third):
        panel.set_yticks(place, [])
    for row in np.flatnonzero(seen.stored.mean("seed").values < 0.5):
        first.text(0.02, place[row], "errors remain", va="center", fontsize="small")
    lost = seen.reached.sel(norm=1).mean("seed", skipna=False).isnull()
    for row in np.flatnonzero(lost.values):
        words = "some neurons lose all synapses"
        first.text(0.02, place[row], words, va="center", fontsize="small")
    return figure


VARIANTS_OF_SLEEP = Experiment(
    name="variants",
    source="controls and variants",
    shows=(
        "scalings, parametrisations and schedules share one optimum, random replay none"
    ),
    config=Config,
    run=judged,
    claims=variant_claims,
    figure=draw_variants,
    control=no_replay,
    dims={
        "ratio": ("variant", "norm", "row"),
        "density": ("variant", "row"),
        "valid": ("row",),
    },
    predict=optima,
)
