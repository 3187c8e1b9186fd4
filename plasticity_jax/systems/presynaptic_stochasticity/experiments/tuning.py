"""The settings of the networks that `split` compares with, by a sweep of each.

The published table names neither the penalty of elastic weight consolidation nor the
deviation of Bayesian gradient descent, and their ranking depends on both.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from ....experiment import Claim, Experiment, panels, Plan, SHADES, THEORY
from ....measure import forgetting, mean_accuracy
from ..config import Config, images_of, Source
from ..training import learn
from .lifelong import finite, images, LEGEND, REMOVED, SETTINGS, still, with_method


SWEPT = {  # the field of each method, and its values
    "SGD": ("rate", (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    "Adam": ("rate", (1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4)),
    "EWC": ("penalty", (0.1, 0.3, 1.0, 3.0, 5.0, 10.0)),  # times the rate
    "BGD": ("deviation", (0.0006, 0.00125, 0.0025, 0.005, 0.01, 0.02)),
}
TUNED = ("Adam", "EWC", "BGD")  # SGD learns at the consolidated network's rate


def values_of(config: Config, name: str) -> Float[Array, " candidate"]:
    """The values tried for a method; penalties are relative to 1 / rate."""
    _, values = SWEPT[name]
    tried = jnp.asarray(values, config.rate.dtype)
    return tried / config.rate if name == "EWC" else tried


def swept(source: Source, config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Every method at every candidate, and the consolidated network, on one stream.

    `mean` accuracy, `forgetting` and whether the network stayed finite, `stable`
    (learner, candidate); `own_mean` and `own_forgetting` of the consolidated network.
    """

    def judge(config: Config) -> tuple[Array, Array, Array]:
        learned = learn(config, source, key)
        whole = jnp.where(finite(learned.state.synapses), 1.0, 0.0)
        return mean_accuracy(learned.accuracy), forgetting(learned.accuracy), whole

    def at(name: str) -> tuple[Array, Array, Array]:
        field, _ = SWEPT[name]
        base = with_method(config, name)
        put = lambda value: judge(dataclasses.replace(base, **{field: value}))
        return jax.lax.map(put, values_of(config, name))

    mean, forgot, whole = zip(*(at(name) for name in SWEPT), strict=True)
    own_mean, own_forgetting, _ = judge(config)
    return {
        "mean": jnp.stack(mean),
        "forgetting": jnp.stack(forgot),
        "stable": jnp.stack(whole),
        "own_mean": own_mean,
        "own_forgetting": own_forgetting,
    }


def named(plan: Plan, keys: Array) -> xarray.Dataset:
    """The names of the methods, and `value`, what each candidate stands for."""
    del keys
    values = np.stack([np.asarray(values_of(plan.config, name)) for name in SWEPT])
    return xarray.Dataset(
        {"value": (("learner", "candidate"), values)}, {"learner": list(SWEPT)}
    )


def stable_mean(data: xarray.Dataset) -> xarray.DataArray:
    """Mean accuracy over seeds; NaN where a network diverged."""
    mean = data["mean"].where(data.stable > 0)
    return mean.mean("seed", skipna=False)


def best(data: xarray.Dataset) -> dict[str, float]:
    """The value of highest mean accuracy of each method; divergent ones do not count.

    Copy it into `SETTINGS` of `lifelong`.
    """
    mean = stable_mean(data).fillna(-math.inf)
    return {
        name: float(
            data.value.sel(learner=name)[
                int(mean.sel(learner=name).argmax("candidate"))
            ]
        )
        for name in SWEPT
    }


def shortfall(data: xarray.Dataset, name: str, value: float) -> float:
    """Mean accuracy of the best candidate less that of the one nearest to `value`."""
    mean = stable_mean(data).sel(learner=name)
    place = int(abs(np.log(data.value.sel(learner=name) / value)).argmin("candidate"))
    return float(mean.fillna(-math.inf).max() - mean[place])


def forgotten(data: xarray.Dataset, name: str, value: float) -> float:
    """Forgetting of the consolidated network over that of a method at one value."""
    rows = data.mean("seed", skipna=False)
    here = rows.sel(learner=name)
    place = int(abs(np.log(here.value / value)).argmin("candidate"))
    return float(rows.own_forgetting / here.forgetting[place])


def tuning_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """The settings in use are the best ones, and what consolidation then gains.

    On digits Adam at its best rate, below the specification's, has nearly the accuracy
    and the forgetting of consolidation.
    """
    settings = SETTINGS[images(data)]
    used = {name: float(settings[name][SWEPT[name][0]]) for name in TUNED}
    least = {name: float(data.value.sel(learner=name).min()) for name in TUNED}
    chosen = best(data)
    claims = [
        *(
            Claim(
                f"{name}: mean accuracy of the best {SWEPT[name][0]} less that of the "
                "one in use",
                "two standard errors of the specification's; control: the least one",
                shortfall(data, name, used[name]),
                0.0,
                0.01,
                control=shortfall(data, name, least[name]) if name != "EWC" else None,
            )
            for name in TUNED
        ),
        Claim(
            "forgetting of the consolidated network over that of SGD at its best rate",
            f"specification; {REMOVED}",
            forgotten(data, "SGD", chosen["SGD"]),
            -math.inf,
            0.7,
            control=forgotten(control, "SGD", chosen["SGD"]),
        ),
    ]
    if images(data) == "digits":
        claims.append(
            Claim(
                "forgetting over that of Adam at its best rate: not below 0.7",
                "specification's limit, which holds for its faster rate only (control)",
                forgotten(data, "Adam", chosen["Adam"]),
                0.7,
                math.inf,
                control=forgotten(data, "Adam", used["Adam"]),
            )
        )
    return claims


def draw_tuning(data: xarray.Dataset) -> Figure:
    """Mean accuracy along every sweep, and beside the forgetting that it costs."""
    from ..experiments.tuning import SWEPT

    seen = data.where(data.stable > 0).mean("seed", skipna=False)
    own = data[["own_mean", "own_forgetting"]].mean("seed", skipna=False)
    figure, (row,) = panels(1, len(SWEPT) + 1, 3.0, 2.9)
    trade = row[-1]
    for k, (name, (field, _)) in enumerate(SWEPT.items()):
        here = seen.sel(learner=name)
        row[k].semilogx(
            data.value.sel(learner=name), here["mean"], "o-", ms=4, color=SHADES[k]
        )
        row[k].axhline(float(own.own_mean), color=THEORY, ls="--")
        row[k].set(xlabel=f"{name}: {field}", ylim=(0.4, 1.0))
        trade.plot(here.forgetting, here["mean"], "o-", ms=4, color=SHADES[k])
        trade.lines[-1].set_label(name)
    row[0].set(ylabel="mean accuracy")
    trade.plot(own.own_forgetting, own.own_mean, "*", ms=12, color="black")
    trade.lines[-1].set_label("presynaptic")
    trade.set(xlabel="forgetting (accuracy)", ylabel="mean accuracy", ylim=(0.4, 1.0))
    trade.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), **LEGEND)
    return figure


TUNING = Experiment(
    name="tuning",
    source="Appendix 1-table 1",
    shows="the networks compared with at their best settings",
    config=Config,
    run=swept,
    claims=tuning_claims,
    figure=draw_tuning,
    control=still,
    dims={
        "mean": ("learner", "candidate"),
        "forgetting": ("learner", "candidate"),
        "stable": ("learner", "candidate"),
    },
    predict=named,
    data=images_of,
)
