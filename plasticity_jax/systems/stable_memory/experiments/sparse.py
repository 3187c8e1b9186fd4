"""Where memories survive: sparse synapses (Supp. Fig. 1) and a phase diagram."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate
from ....experiment import (
    changed,
    chosen,
    claim,
    Experiment,
    over_seeds,
    panels,
    Plan,
    THEORY,
)
from ....measure import memory_eigenvalue
from ..config import Config, embed
from . import erosion
from .erosion import ACTIVE, COLORS, ENDS, MEMORY


Matrix = Float[Array, "n n"]
CLEAR = 1.5  # amplitude over radius of the bulk (at least 1) where memories stand out


def fate(config: Config, key: Key[Array, ""], spectra: bool = True) -> dict[str, Array]:
    """A real and an imaginary memory at the embedding and `follow` later.

    `amplitude` (memory), the change of the coefficient by the embedding, and the share
    of it that is `left` (memory); `radius` of the bulk before. With `spectra` also the
    memory's `outlier` (memory, end), real or imaginary part of its eigenvalue, and the
    `edge` (memory, end), the largest real part, over that before.
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    system, state = erosion.spun_up(config, for_spin)
    frame, patterns = erosion.memories(config, for_memory)
    steps = config.steps("follow")
    bulk = jnp.linalg.eigvals(state.synapses)
    coefficients = lambda weights: erosion.coefficients(weights, frame)

    def follow(memory: Matrix) -> tuple[Matrix, Matrix]:
        start = embed(config, system, state, memory, for_kick)
        end, _ = simulate(system, start, for_run, steps=steps, every=steps)
        return start.synapses, end.synapses

    ends = jnp.stack(jax.vmap(follow)(patterns), axis=1)  # (memory, end, n, n)
    course = erosion.own_course(jax.vmap(jax.vmap(coefficients))(ends))
    own = course - coefficients(state.synapses)[:, None]
    seen = {
        "amplitude": own[:, 0],
        "left": own[:, 1] / own[:, 0],
        "radius": jnp.max(jnp.abs(bulk)),
    }
    if not spectra:
        return seen
    real = jax.lax.map(lambda w: memory_eigenvalue(w, frame[:1].T).value, ends[0])
    turning = jax.lax.map(lambda w: memory_eigenvalue(w, frame.T).value, ends[1])
    values = jax.lax.map(jnp.linalg.eigvals, ends.reshape(-1, *ends.shape[2:]))
    edge = jnp.max(jnp.real(values), axis=1) / jnp.max(jnp.real(bulk))
    return {
        **seen,
        "outlier": jnp.stack([jnp.real(real), jnp.imag(turning)]),
        "edge": edge.reshape(2, 2),
    }


# --- Supp. Fig. 1 ---------------------------------------------------------------------


def fates(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`fate` under either active rule; every result begins with the axis `rule`."""
    return erosion.under_each(ACTIVE, fate, config, key)


def predict(plan: Plan, keys: Any) -> Dataset:
    """The amplitude $pa$ that a mask leaves of a memory."""
    del keys
    density = np.asarray(plan.grid["density"])
    law = float(plan.config.strength) * density
    return Dataset({"predicted": ("density", law)}, {"density": density})


# --- sparse synapses hold weaker memories, the imaginary ones still for longer --------


def clear(data: Dataset, strength: DataArray) -> DataArray:
    """Where memories of a strength stand out from the bulk."""
    return strength > CLEAR * np.maximum(over_seeds(data.radius), 1.0)


def off(data: Dataset, law: DataArray) -> float:
    """Largest relative distance of clear memories from a law."""
    distance = abs(over_seeds(data.amplitude) / law - 1)
    return float(chosen(distance, clear(data, data.predicted)).max())


@claim(
    "Supp. Fig. 1; theory, within 3 %",
    low=0.0,
    high=0.03,
    control=lambda data, control: off(data, data.predicted.max()),
)
def mask_leaves_its_density(data: Dataset) -> float:
    """A mask of density p leaves p a of a memory (largest relative error, p a above
    1.5 radii of the bulk and 1.5); control: against a.
    """
    return off(data, data.predicted)


@claim("Supp. Fig. 1", low=0.0, control=None)
def sparser_is_weaker(data: Dataset) -> float:
    """The imaginary outlier falls with every step of sparsity (least drop)."""
    here = data.outlier.sel(memory="imaginary", end="embedded", rule="rate_control")
    return float(over_seeds(here).sortby("density").diff("density").min(skipna=False))


@claim("Supp. Fig. 1; independent evaluation", low=0.85, high=1.15)
def edge_returns(data: Dataset) -> float:
    """Decorrelation: 900 after a real memory the edge of the spectrum is that before
    (ratio furthest from 1, all densities).
    """
    here = data.edge.sel(rule="decorrelation", memory="real", end="end")
    ratios = over_seeds(here).values
    return float(ratios[np.argmax(np.abs(ratios - 1))])


def gap(data: Dataset) -> DataArray:
    """Imaginary minus real memory, shares left."""
    left = over_seeds(data.left)
    return left.sel(memory="imaginary") - left.sel(memory="real")


@claim(
    "Supp. Fig. 1; theory: below 1 a real memory drives nothing",
    low=0.1,
    control=lambda data, control, rule: imaginary_outlasts(
        data.assign(left=control.left), rule
    ),  # where the data's memories stand out
    each="rule",
)
def imaginary_outlasts(data: Dataset, rule: str) -> float:
    """{rule}: imaginary minus real memory, shares left (least, p a above 1.5 radii of
    the bulk and 1.5).
    """
    here = gap(data).sel(rule=rule), clear(data, data.predicted).sel(rule=rule)
    return float(chosen(*here).min())


def draw_sparse(data: Dataset) -> Figure:
    """Supplementary Fig. 1: outliers and shares left against density, either rule."""
    figure, axes = panels(2, data.sizes["rule"], 3.8, 2.6)
    mean = data.mean("seed")
    for (top, bottom), rule in zip(axes.T, data.rule.values, strict=True):
        for memory, color in COLORS.items():
            here = mean.sel(rule=rule, memory=memory)
            for end, style in zip(ENDS, ("o-", "s:"), strict=True):
                name = {"embedded": "at embedding"}.get(end, end)
                values, label = here.outlier.sel(end=end), f"{memory}, {name}"
                top.plot(data.density, values, style, ms=4, color=color, label=label)
            bottom.plot(data.density, here.left, "o-", ms=4, color=color)
        top.plot(data.density, data.predicted, "--", color=THEORY, lw=1, label="p a")
        radius = mean.radius.sel(rule=rule)
        top.plot(data.density, radius, color="black", lw=1, label="radius of the bulk")
        top.set(title=erosion.title(rule), ylabel="outlier")
        bottom.set(xlabel="density p", ylabel="share left at the end")
        bottom.set(ylim=(-0.1, 1.15))
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


def draw_phase(data: Dataset) -> Figure:
    """Share left of imaginary and real memories over noise, homeostasis, density."""
    figure, axes = panels(2, data.sizes["density"], 2.9, 2.6)
    left = data.left.mean("seed").transpose(..., "homeostasis_gain", "noise")
    noise, gain = data.noise.values, data.homeostasis_gain.values
    shades = Normalize(0.0, 1.0)
    for row, memory in zip(axes, COLORS, strict=True):
        row[0].set(ylabel="strength of homeostasis")
        for panel, density in zip(row, data.density.values, strict=True):
            values = left.sel(memory=memory, density=density).values
            panel.imshow(values, origin="lower", norm=shades, aspect="auto")
            panel.set_xticks(np.arange(len(noise)), [f"{x:g}" for x in noise])
            panel.set_yticks(np.arange(len(gain)), [f"{x:g}" for x in gain])
            panel.set(title=f"{memory.capitalize()}, density {density:g}")
    for panel in axes[-1]:
        panel.set(xlabel="scale of the noise")
    label = "share of the memory left"
    figure.colorbar(ScalarMappable(shades), ax=axes, label=label, shrink=0.8)
    return figure


RULE = {"rule": ACTIVE}
SUPP1 = Experiment(
    name="supp1",
    source="Supp. Fig. 1",
    shows="sparse synapses hold weaker memories; imaginary ones outlive real ones",
    config=Config,
    run=fates,
    claims=(
        mask_leaves_its_density,
        sparser_is_weaker,
        edge_returns,
        imaginary_outlasts,
    ),
    figure=draw_sparse,
    control=changed(homeostasis_gain=0.0),
    axes={
        "radius": RULE,
        **dict.fromkeys(("amplitude", "left"), RULE | MEMORY),
        **dict.fromkeys(("outlier", "edge"), RULE | MEMORY | {"end": ENDS}),
    },
    predict=predict,
)


# --- a phase diagram ------------------------------------------------------------------


def survival(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`fate` under the config's rule, without spectra of the memories."""
    return fate(config, key, spectra=False)


# --- where the asymmetry holds, and what homeostasis cannot touch ---------------------


@claim(
    "theory: activity erases what drives it",
    low=1.0,
    high=1.0,
    control=lambda data, control: activity_erases_real(data, False),
)
def activity_erases_real(data: Dataset, active: bool = True) -> float:
    """With homeostasis imaginary memories above 1.5 radii of the bulk outlast real ones
    by 0.2 (share of the grid); control: without it.
    """
    stands_out = clear(data, over_seeds(data.amplitude).sel(memory="imaginary"))
    here = stands_out & ((data.homeostasis_gain > 0) == active)
    return float((chosen(gap(data), here) > 0.2).mean())


@claim("theory: the rule is symmetric; rounding", low=0.0, high=1e-3)
def imaginary_is_untouched(data: Dataset, density: float = 1.0) -> float:
    """c = 1, all synapses: the strength of homeostasis does not touch imaginary
    memories (largest effect); control: c = 0.5.
    """
    left = data.left.sel(memory="imaginary", density=density)
    return float(abs(left - left.sel(homeostasis_gain=0.0)).max(skipna=False))


@claim(
    "theory: a mask is not symmetric",
    low=0.1,
    control=lambda data, control: imaginary_is_untouched(data),
)
def sparse_is_touched(data: Dataset) -> float:
    """Sparse synapses break that law (largest effect at the least density); control:
    all synapses.
    """
    return imaginary_is_untouched(data, float(data.density.min()))


PHASE = Experiment(
    name="phase",
    source="beyond the paper",
    shows="where memories survive: noise, strength of homeostasis, density of synapses",
    config=Config,
    run=survival,
    claims=(activity_erases_real, imaginary_is_untouched, sparse_is_touched),
    figure=draw_phase,
    control=changed(gain=0.5),  # the rule then has an anti-symmetric part
    axes=dict.fromkeys(("amplitude", "left"), MEMORY),
)
