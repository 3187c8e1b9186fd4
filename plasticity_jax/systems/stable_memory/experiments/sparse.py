"""Where memories survive: sparse synapses (Supp. Fig. 1) and a phase diagram."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import xarray
from jaxtyping import Array, Float, Key
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .... import simulate
from ....experiment import Claim, Experiment, panels, Plan, THEORY
from ....measure import memory_eigenvalue
from ..config import Config, embed
from .erosion import (
    _name,
    coefficients,
    COLORS,
    MEMORIES,
    memories,
    spun_up,
    without_homeostasis,
)


Matrix = Float[Array, "n n"]
ACTIVE = ("rate_control", "decorrelation")
ENDS = ("embedded", "end")
CLEAR = 1.5  # amplitude over radius of the bulk (at least 1) where memories stand out


def fate(config: Config, key: Key[Array, ""], spectra: bool = True) -> dict[str, Array]:
    """A real and an imaginary memory at the embedding and `follow` later.

    `amplitude` (memory), the change of the coefficient by the embedding, and the share
    of it that is `left` (memory); `radius` of the bulk before. With `spectra` also the
    memory's `outlier` (memory, end), real or imaginary part of its eigenvalue, and the
    `edge` (memory, end), the largest real part, over that before.
    """
    for_spin, for_memory, for_kick, for_run = jr.split(key, 4)
    system, state = spun_up(config, for_spin)
    frame, patterns = memories(config, for_memory)
    steps = config.steps("follow")
    bulk = jnp.linalg.eigvals(state.synapses)
    before = coefficients(state.synapses, frame)

    def follow(memory: Matrix) -> tuple[Matrix, Matrix]:
        start = embed(config, system, state, memory, for_kick)
        end, _ = simulate(system, start, for_run, steps=steps, every=steps)
        return start.synapses, end.synapses

    ends = jnp.stack(jax.vmap(follow)(patterns), axis=1)  # (memory, end, n, n)
    course = jax.vmap(jax.vmap(lambda w: coefficients(w, frame)))(ends)
    own = jnp.diagonal(course, axis1=0, axis2=2).T - before[:, None]
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
    each = [fate(dataclasses.replace(config, homeostasis=rule), key) for rule in ACTIVE]
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


def label_fates(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates, and the amplitude $pa$ that a mask leaves of a memory."""
    del keys
    density = np.asarray(plan.grid["density"])
    law = float(plan.config.strength) * density
    return xarray.Dataset(
        {"predicted": ("density", law)},
        {
            "density": density,
            "rule": list(ACTIVE),
            "memory": list(MEMORIES),
            "end": list(ENDS),
        },
    )


def sparse_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Sparse synapses hold weaker memories, the imaginary ones still for longer."""
    mean = data.mean("seed", skipna=False)
    clear = data.predicted > CLEAR * np.maximum(mean.radius, 1.0)

    def off(law: xarray.DataArray) -> float:
        return float(abs(mean.amplitude / law - 1).where(clear).max())

    embedded = mean.outlier.sel(memory="imaginary", end="embedded", rule=ACTIVE[0])
    steps = embedded.sortby("density").diff("density")

    def gap(data: xarray.Dataset, rule: str) -> float:
        here = data.sel(rule=rule).mean("seed", skipna=False)
        left = here.left.sel(memory="imaginary") - here.left.sel(memory="real")
        return float(left.where(clear.sel(rule=rule)).min())

    def edge(data: xarray.Dataset) -> float:
        here = data.edge.sel(rule="decorrelation", memory="real", end="end")
        ratios = here.mean("seed", skipna=False).values
        return float(ratios[np.argmax(np.abs(ratios - 1))])

    where = f"p a above {CLEAR} radii of the bulk and {CLEAR}"
    claims = [
        Claim(
            f"a mask of density p leaves p a of a memory (largest relative error, "
            f"{where}); control: against a",
            "Supp. Fig. 1; theory, within 3 %",
            off(data.predicted),
            0.0,
            0.03,
            control=off(data.predicted.max()),
        ),
        Claim(
            "the imaginary outlier falls with every step of sparsity (least drop)",
            "Supp. Fig. 1",
            float(steps.min(skipna=False)),
            0.0,
            math.inf,
        ),
        Claim(
            "decorrelation: 900 after a real memory the edge of the spectrum is that "
            "before (ratio furthest from 1, all densities)",
            "Supp. Fig. 1; independent evaluation",
            edge(data),
            0.85,
            1.15,
            control=edge(control),
        ),
    ]
    for rule in ACTIVE:
        claims.append(
            Claim(
                f"{rule.replace('_', ' ')}: imaginary minus real memory, shares left "
                f"(least, {where})",
                "Supp. Fig. 1; theory: below 1 a real memory drives nothing",
                gap(data, rule),
                0.1,
                math.inf,
                control=gap(control, rule),
            )
        )
    return claims


def draw_sparse(data: xarray.Dataset) -> Figure:
    """Supplementary Fig. 1: outliers and shares left against density, either rule."""
    figure, axes = panels(2, data.sizes["rule"], 3.8, 2.6)
    mean = data.mean("seed")
    for column, rule in enumerate(("rate_control", "decorrelation")):
        top, bottom = axes[:, column]
        for memory, color in COLORS.items():
            here = mean.sel(rule=rule, memory=memory)
            for end, style in {"embedded": "o-", "end": "s:"}.items():
                label = f"{memory}, {'at embedding' if end == 'embedded' else end}"
                values = here.outlier.sel(end=end)
                top.plot(data.density, values, style, ms=4, color=color, label=label)
            bottom.plot(data.density, here.left, "o-", ms=4, color=color)
        top.plot(data.density, data.predicted, "--", color=THEORY, lw=1, label="p a")
        radius = mean.radius.sel(rule=rule)
        top.plot(data.density, radius, color="black", lw=1, label="radius of the bulk")
        top.set(title=_name(rule), ylabel="outlier")
        bottom.set(xlabel="density p", ylabel="share left at the end")
        bottom.set(ylim=(-0.1, 1.15))
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    return figure


def draw_phase(data: xarray.Dataset) -> Figure:
    """Share left of imaginary and real memories over noise, homeostasis, density."""
    densities = data.density.values
    figure, axes = panels(2, len(densities), 2.9, 2.6)
    left = data.left.mean("seed").transpose("memory", "density", ...)
    shades = Normalize(0.0, 1.0)
    for row, memory in zip(axes, ("imaginary", "real"), strict=True):
        for panel, density in zip(row, densities, strict=True):
            here = left.sel(memory=memory, density=density)
            values = here.transpose("homeostasis_gain", "noise").values
            panel.imshow(values, origin="lower", norm=shades, aspect="auto")
            noise, gain = data.noise.values, data.homeostasis_gain.values
            panel.set_xticks(np.arange(len(noise)), [f"{x:g}" for x in noise])
            panel.set_yticks(np.arange(len(gain)), [f"{x:g}" for x in gain])
            panel.set(title=f"{memory.capitalize()}, density {density:g}")
    for panel in axes[-1]:
        panel.set(xlabel="scale of the noise")
    for panel in axes[:, 0]:
        panel.set(ylabel="strength of homeostasis")
    figure.colorbar(
        ScalarMappable(shades), ax=axes, label="share of the memory left", shrink=0.8
    )
    return figure


SUPP1 = Experiment(
    name="supp1",
    source="Supp. Fig. 1",
    shows=(
        "sparse synapses hold weaker memories; imaginary ones still outlive real ones"
    ),
    config=Config,
    run=fates,
    claims=sparse_claims,
    figure=draw_sparse,
    control=without_homeostasis,
    dims={
        "amplitude": ("rule", "memory"),
        "left": ("rule", "memory"),
        "radius": ("rule",),
        "outlier": ("rule", "memory", "end"),
        "edge": ("rule", "memory", "end"),
    },
    predict=label_fates,
)


# --- a phase diagram ------------------------------------------------------------------


def survival(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`fate` under the config's rule, without spectra of the memories."""
    return fate(config, key, spectra=False)


def label_phases(plan: Plan, keys: Any) -> xarray.Dataset:
    """Coordinates; no theory."""
    del plan, keys
    return xarray.Dataset(coords={"memory": list(MEMORIES)})


def phase_claims(data: xarray.Dataset, control: xarray.Dataset) -> list[Claim]:
    """Where the asymmetry holds, and what homeostasis cannot touch.

    The control of the conservation law is c = 0.5; that of the asymmetry is the row of
    the same data without homeostasis.
    """
    mean = data.mean("seed", skipna=False)
    gap = mean.left.sel(memory="imaginary") - mean.left.sel(memory="real")
    strength = mean.amplitude.sel(memory="imaginary")
    clear = strength > CLEAR * np.maximum(mean.radius, 1.0)
    active = data.homeostasis_gain > 0

    def share(where: xarray.DataArray) -> float:
        return float((gap > 0.2).where(where).mean())

    def spread(data: xarray.Dataset, density: float) -> float:
        """Largest effect of homeostasis on an imaginary memory, share of it."""
        left = data.left.sel(memory="imaginary", density=density)
        free = left.sel(homeostasis_gain=0.0)
        return float(abs(left - free).max(skipna=False))

    return [
        Claim(
            f"with homeostasis imaginary memories above {CLEAR} radii of the bulk "
            "outlast real ones by 0.2 (share of the grid); control: without it",
            "theory: activity erases what drives it",
            share(clear & active),
            1.0,
            1.0,
            control=share(clear & ~active),
        ),
        Claim(
            "c = 1, all synapses: the strength of homeostasis does not touch imaginary "
            "memories (largest effect); control: c = 0.5",
            "theory: the rule is symmetric; rounding",
            spread(data, 1.0),
            0.0,
            1e-3,
            control=spread(control, 1.0),
        ),
        Claim(
            "sparse synapses break that law (largest effect at the least density); "
            "control: all synapses",
            "theory: a mask is not symmetric",
            spread(data, float(data.density.min())),
            0.1,
            math.inf,
            control=spread(data, 1.0),
        ),
    ]


def half_gain(plan: Plan) -> Plan:
    """Negative control: c = 0.5, where the rule has an anti-symmetric part."""
    return plan._replace(config=dataclasses.replace(plan.config, gain=0.5))


PHASE = Experiment(
    name="phase",
    source="beyond the paper",
    shows=(
        "where memories survive: noise, strength of homeostasis and density of synapses"
    ),
    config=Config,
    run=survival,
    claims=phase_claims,
    figure=draw_phase,
    control=half_gain,
    dims={"amplitude": ("memory",), "left": ("memory",)},
    predict=label_phases,
)
