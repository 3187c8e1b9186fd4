"""Beyond the paper: memories under gains, filters and target rates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import Scalar
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan
from .. import theory
from ..config import Config
from . import sparse
from .erosion import MEMORY


GAINS, FILTERED, TARGETS = (0.5, 0.7, 0.9, 1.0), (0.5, 0.7, 0.9), (0.3, 0.6, 1.0)
RESTRAINT = {
    "restraint": (
        *(f"c = {gain:g}" for gain in GAINS),
        *(f"filter, c = {gain:g}" for gain in FILTERED),
        *(f"rates to {scale:g}" for scale in TARGETS),
    )
}


def filter_of(config: Config, gain: Scalar) -> Scalar:
    r"""$\epsilon$ of the published filter whose gain is $c$ (`theory.filter_gain`)."""
    share = config.step / config.filter_time
    return share / ((1 - gain) * (1 + share))


def restrained(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`sparse.fate` under each of RESTRAINT: `amplitude` and `left` first by it."""

    def under(rule: str, **changes: Scalar) -> dict[str, Array]:
        here = dataclasses.replace(config, homeostasis=rule, **changes)
        return sparse.fate(here, key, spectra=False)

    by_gain = lambda c: under("decorrelation", gain=c)
    scale_of = lambda c: filter_of(config, c)
    by_filter = lambda c: under("decorrelation_literal", filter_scale=scale_of(c))
    by_rate = lambda scale: under("rate_control", target_scale=scale)
    runs = (by_gain, GAINS), (by_filter, FILTERED), (by_rate, TARGETS)
    seen = [jax.vmap(run)(jnp.asarray(values)) for run, values in runs]
    joined = jax.tree.map(lambda *x: jnp.concatenate(x), *seen)
    return {name: joined[name] for name in ("amplitude", "left")}


def predict(plan: Plan, keys: Any) -> Dataset:
    r"""What the delay of the published filter costs of the logarithm of the share left.

    At most $\eta\kappa_H\Delta tBt(1 - c)/c$. Its $\bar x$ holds the potential of one
    step before: $x - \bar x \approx cx + (1 - c)\Delta t\,\dot x$, and the second term
    writes against the memory. `walk` is how far noise alone moves $A$ (its spread).
    """
    del keys
    config, rates = plan.config, np.asarray(plan.grid["plasticity"])
    scale = float(config.homeostasis_gain * config.correlation)
    gains = np.asarray(FILTERED)
    cost = scale * config.step * config.follow * np.outer(rates, (1 - gains) / gains)
    at = lambda rate: dataclasses.replace(config, plasticity=rate)
    walk = [
        float(theory.rotation_diffusion(at(x), config.follow)) ** 0.5 for x in rates
    ]
    values = {
        "delay_cost": (("plasticity", "filtered"), cost),
        "walk": ("plasticity", walk),
    }
    return Dataset(values, {"plasticity": rates, "filtered": gains})


# --- gains and filters set the lifetime of imaginary memories; target rates do not ----


def imaginary(data: Dataset, names: Sequence[str]) -> DataArray:
    """Shares left of imaginary memories under some restraints, mean over seeds."""
    return over_seeds(data.left.sel(memory="imaginary", restraint=list(names)))


@claim("derived: asym(Delta_H) falls with 1 - c; the direction", low=1e-9)
def longer_as_gains_equal(data: Dataset) -> float:
    """Imaginary memories outlive those of a smaller c (least step in c of the share
    left, mean over rates of plasticity).
    """
    left = imaginary(data, [f"c = {gain:g}" for gain in GAINS])
    left = left.mean("plasticity", skipna=False)
    return float(left.diff("restraint").min(skipna=False))


@claim(
    "derived, as for `filters`, for any c; the direction beyond rounding, the bound",
    low=1e-3,
    high=1.0,
    control=lambda data, control: delay_costs(
        control.assign(delay_cost=data.delay_cost)
    ),
)
def delay_costs(data: Dataset) -> float:
    """The published filter costs more than its gain: by its delay (largest over that
    bound, of the logarithm of the share left).
    """
    by_gain, by_filter = (
        imaginary(data, [f"{kind}c = {gain:g}" for gain in FILTERED])
        for kind in ("", "filter, ")
    )
    cost = np.log(by_gain.transpose("plasticity", ...).values)
    cost = cost - np.log(by_filter.transpose("plasticity", ...).values)
    return float(np.max(cost / data.delay_cost.values))


@claim(
    "5.4: no activity, no decay: noise alone, 4 standard errors",
    low=0.0,
    high=4.0,
    control=lambda data, control: target_rates_do_not_matter(data, "real"),
)
def target_rates_do_not_matter(data: Dataset, memory: str = "imaginary") -> float:
    """Rate control from empty synapses: change of a memory whatever the target rates
    (largest, in standard errors of the walk by noise); control: of a real memory.
    """
    names = [f"rates to {scale:g}" for scale in TARGETS]
    here = data.sel(memory=memory, restraint=names)
    moved = abs(over_seeds((here.left - 1) * here.amplitude)) / data.walk
    return float(moved.max(skipna=False)) * data.sizes["seed"] ** 0.5


def noise_alone(data: Dataset, control: Dataset) -> float:
    """4 standard errors of a difference of shares that noise alone makes, at most.

    The coefficient of a real memory walks with twice the variance of an imaginary one.
    """
    del control
    share = float(data.walk.max()) / float(over_seeds(data.amplitude).min(skipna=False))
    return 4 * share * (3 / data.sizes["seed"]) ** 0.5


@claim("Fig. 2: the direction, beyond 4 standard errors of noise", low=noise_alone)
def imaginary_outlasts(data: Dataset) -> float:
    """Under every restraint and rate of plasticity imaginary memories outlast real ones
    (least difference of shares left).
    """
    left = over_seeds(data.left)
    gap = left.sel(memory="imaginary") - left.sel(memory="real")
    return float(gap.min(skipna=False))


def draw_restraints(data: Dataset) -> Figure:
    """Shares left of both memories under every restraint by rate of plasticity."""
    figure, axes = panels(1, 2, 4.4, 3.4)
    shades = Normalize(0.0, 1.0)
    for panel, memory in zip(axes[0], MEMORY["memory"], strict=True):
        left = over_seeds(data.left.sel(memory=memory)).transpose("restraint", ...)
        panel.imshow(left.values, norm=shades, aspect="auto")
        names = data.restraint.values
        panel.set_yticks(np.arange(len(names)), names)
        rates = [f"{x:g}" for x in data.plasticity.values]
        panel.set_xticks(np.arange(len(rates)), rates)
        panel.set(title=f"{memory.capitalize()} memory", xlabel="rate of plasticity")
    label = "share of the memory left"
    figure.colorbar(ScalarMappable(shades), ax=axes, label=label, shrink=0.8)
    return figure


RESTRAINTS = Experiment(
    name="restraints",
    source="beyond the paper",
    shows="where memories survive: postsynaptic gains, filters, target rates",
    config=Config,
    run=restrained,
    claims=(
        longer_as_gains_equal,
        delay_costs,
        target_rates_do_not_matter,
        imaginary_outlasts,
    ),
    figure=draw_restraints,
    control=changed(homeostasis_gain=0.0),
    axes=dict.fromkeys(("amplitude", "left"), RESTRAINT | MEMORY),
    predict=predict,
)
