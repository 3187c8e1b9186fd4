r"""Beyond the paper: one factor is a probability of release, so it has a ceiling.

$w = pq$ with $p \le 1$. Of all factors with product $w$ those of least $(p^2 + q^2)/2$
cost $h(w) = w$ up to $w = 1$ and $(1 + w^2)/2$ above, so scaling holds $\sum_jh(w_j)$:
an $L_1$ norm for weak synapses, an $L_2$ norm for strong ones. With the homeostatic
target L the same rule goes from the sparse optimum of two factors to the dense one of a
single factor.
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan, SHADES
from ....measure import density, noise_ratio
from ..config import Config
from ..domains import living_share, mean_over
from ..networks import after, build, margins_and_weights, stored_in, valid_rows
from .oracle import both_optima
from .shared import LAW


REFERENCE = 0.02  # L / N for which the threshold's rate is meant
LISTEN = 5  # cycles between two looks at what is replayed


drive_of = lambda state, signals, changes: signals.drive


def limited_release(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""A consolidated neuron whose first factor ends at its `ceiling`.

    Means over neurons: `first` and `second`, $\mathrm{SNR}_q$ for q = 1, 2; `density`;
    `saturated`, share of living synapses at the ceiling; `release`, the margin over the
    noise of stochastic release, $m/\sqrt{f\sum_jp_j(1-p_j)q_j^2}$; `explained`, the
    share of the variance of the replayed drive over living synapses that $h'(w)$
    explains: at the optimum the two are proportional.
    """
    for_build, for_run = jr.split(key)
    scale = config.target_per_input / REFERENCE
    config = dataclasses.replace(config, threshold_rate=config.threshold_rate * scale)
    system, state = build(config, for_build)
    early = config.cycles * 5 // 6
    state = after(system, state, for_run, early)
    late = (config.cycles - early) // LISTEN * LISTEN
    options = {"steps": late, "every": LISTEN, "record": drive_of}
    state, drives = simulate(system, state, for_run, **options)
    margin, weights = margins_and_weights(system, state)
    mean = functools.partial(mean_over, valid_rows(stored_in(system)))
    p, q = state.synapses.factors
    alive = living_share(weights)
    number = jnp.sum(alive, axis=1)
    drive, cost = alive * jnp.mean(drives, axis=0), alive * jnp.maximum(weights, 1.0)
    price = jnp.sum(drive * cost, axis=1) / jnp.sum(cost**2, axis=1)
    left = jnp.sum((drive - price[:, None] * cost) ** 2, axis=1)
    flat = alive * (jnp.sum(drive, axis=1) / number)[:, None]
    release = jnp.sum(jnp.maximum(p * (1 - p), 0.0) * q**2, axis=1)
    full = jnp.sum(alive * jnp.where(p >= 0.999, 1.0, 0.0), axis=1)
    return {
        "first": mean(noise_ratio(margin, weights, 1.0)),
        "second": mean(noise_ratio(margin, weights, 2.0)),
        "density": mean(density(weights)),
        "saturated": mean(full / number),
        "release": mean(margin / jnp.sqrt(config.coding_level * release)),
        "explained": mean(1 - left / jnp.sum((drive - flat) ** 2, axis=1)),
    }


def optima(plan: Plan, keys: Any) -> Dataset:
    r"""The largest $\mathrm{SNR}_1$ and $\mathrm{SNR}_2$ of the same neurons."""
    found = []
    for key in keys:
        stored = stored_in(build(plan.config, jr.split(key)[0])[0])
        rows = [
            [(x.margin, np.mean(x.weights > 1e-6)) for x in both]
            for _, *both in both_optima(stored.patterns, stored.targets)
        ]
        found.append(np.array(rows).mean(axis=0).ravel())
    names = ("best_first", "sparse", "best_second", "dense")
    best = dict(zip(names, np.array(found).T, strict=True))
    return Dataset({name: ("seed", x) for name, x in best.items()})


# --- from the sparse optimum to the dense one, as the ceiling begins to bind ----------


def ends(values: DataArray) -> tuple[float, float]:
    """Mean over seeds at the smallest and at the largest target."""
    mean = over_seeds(values)
    return float(mean[0]), float(mean[-1])


@claim(
    "theory; rates of the fast preset, 1.5 %; control: strong synapses",
    low=0.985,
    high=1.0 + 1e-3,
    control=lambda data, control: ends(data["first"] / data.best_first)[1],
)
def sparse_optimum(data: Dataset) -> float:
    """Weak synapses, no ceiling in reach: SNR_1 over the linear programme's optimum."""
    return ends(data["first"] / data.best_first)[0]


@claim("theory: the L_2 part of the cost grows", low=1e-3)
def dense_optimum_nears(data: Dataset) -> float:
    """SNR_2 over the quadratic programme's optimum gains with every step of the target
    (least gain).
    """
    second = over_seeds(data.second / data.best_second)
    return float(second.diff("target_per_input").min(skipna=False))


@claim(
    "theory: at least half way from the sparse optimum to the dense one",
    low=lambda data, control: (data.dense - data.sparse).mean(skipna=False) / 2,
)
def denser(data: Dataset) -> float:
    """Strong synapses: density less that of weak ones."""
    weak, strong = ends(data.density)
    return strong - weak


@claim("theory: stationarity of the margin under sum h(w)", low=0.9, high=1.0)
def explained(data: Dataset) -> float:
    """Strong synapses: variance of the replayed drive that the cost h' of a synapse
    explains.
    """
    return ends(data.explained)[1]


def draw_release(data: Dataset) -> Figure:
    """Robustness, density and saturation against the homeostatic target."""
    figure, ((left, middle, right),) = panels(1, 3, 3.6, 3.2)
    first, second = data["first"] / data.best_first, data.second / data.best_second
    for panel, values, style in (
        (left, first, {"color": SHADES[0], "label": "SNR$_1$ / linear programme"}),
        (left, second, {"color": SHADES[2], "label": "SNR$_2$ / quadratic programme"}),
        (middle, data.density, {"color": SHADES[0]}),
        (right, data.saturated, {"color": SHADES[1]}),
    ):
        panel.plot(data.target_per_input, values.mean("seed"), "o-", ms=4, **style)
        panel.set(xscale="log", xlabel="homeostatic target $L/N$")
    left.axhline(1.0, lw=0.7, **LAW)
    left.legend(frameon=False, fontsize=7)
    left.set_ylabel("robustness over its optimum")
    for law in (data.sparse, data.dense):
        middle.axhline(float(law.mean()), lw=0.8, ls="--", **LAW)
    middle.set_ylabel("connection density")
    right.set_ylabel("living synapses that always release")
    return figure


RELEASE = Experiment(
    name="release",
    source="beyond the paper",
    shows="a factor that is a release probability makes the sparse optimum a dense one",
    config=Config,
    run=limited_release,
    claims=(sparse_optimum, dense_optimum_nears, denser, explained),
    figure=draw_release,
    control=changed(ceiling=1e9),
    predict=optima,
)
