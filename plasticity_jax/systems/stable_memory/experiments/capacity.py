"""Supplementary Figure 4: how many planes can be stored, beside single patterns."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require
from ....experiment import changed, claim, Experiment, panels, Plan, SHADES, THEORY
from .. import capacity as maps
from ..capacity import pattern_field, plane_field, Signs, States
from ..config import check_positive
from ..retrieval import plane_network, recall
from .learning import with_error


RECALLED = 0.7  # overlap above which a memory counts as recalled


class Capacity(AbstractConfig):
    r"""Stored vectors per neuron: `load`, the same number in planes and as patterns.

    `probes` memories of each network are cued with a share `flips` of wrong signs, in
    networks of `size` and twice as many neurons, for `updates` synchronous updates; in
    continuous time with tanh, strengths $\rho$ = `rotation` and $\alpha$ = `expansion`,
    in `continuous_size` neurons for `duration`. Without `rotates` the planes too are
    stored as single patterns.
    """

    load: Scalar = eqx.field(default=0.1, converter=real)
    flips: Scalar = eqx.field(default=0.1, converter=real)
    rotation: Scalar = eqx.field(default=4.0, converter=real)
    expansion: Scalar = eqx.field(default=4.0, converter=real)
    largest_load: float = eqx.field(default=0.3, static=True)
    size: int = eqx.field(default=500, static=True)
    continuous_size: int = eqx.field(default=300, static=True)
    probes: int = eqx.field(default=4, static=True)
    updates: int = eqx.field(default=150, static=True)
    duration: float = eqx.field(default=50.0, static=True)
    rotates: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        require(self, rotation=(-math.inf, math.inf), expansion=(0.0, math.inf))
        check_positive(self, "probes", "updates", "duration")
        for name in ("size", "continuous_size"):
            size = getattr(self, name)
            if size < 2:
                raise ValueError(f"`{name}` must be at least 2 neurons; got {size}.")
        least = 2 * self.probes / min(self.size, self.continuous_size)
        require(self, load=(least, self.largest_load), flips=(0.0, 0.5))

    @property
    def sizes(self) -> tuple[int, int]:
        """Of the synchronous networks."""
        return self.size, 2 * self.size

    def most(self, size: int) -> int:
        """The largest number of planes."""
        return math.ceil(self.largest_load * size / 2)


def memories(config: Capacity, size: int, key: Key[Array, ""]) -> Signs:
    """Random signs, rows of zeros beyond the load."""
    count = config.most(size)
    signs = jr.rademacher(key, (count, 2, size), dtype=config.load.dtype)
    stored = jnp.arange(float(count)) < jnp.round(config.load * size / 2)
    return jnp.where(stored[:, None, None], signs, 0.0)


def cued(config: Capacity, planes: Signs, key: Key[Array, ""]) -> States:
    """First vectors of the first planes, a share `flips` of the signs wrong."""
    first = planes[: config.probes, 0].T
    return jnp.where(jr.uniform(key, first.shape) < config.flips, -first, first)


def synchronous(config: Capacity, size: int, key: Key[Array, ""]) -> dict[str, Array]:
    """By coding, share of probes recalled, and of wrong signs after one clean step."""
    for_planes, for_cues = jr.split(key)
    planes = memories(config, size, for_planes)
    start = cued(config, planes, for_cues)
    first, second = planes[:, 0].T, planes[:, 1].T
    stored = jnp.sum(first**2)  # signs in all
    codings = (
        (plane_field, maps.plane_overlap, -second),
        (pattern_field, maps.vector_overlap, first),
    )
    if not config.rotates:
        codings = (codings[1], codings[1])
    success, wrong = [], []
    for field, overlap, next_one in codings:
        late = maps.settled(field, planes, start, config.updates)
        success.append(share(overlap(planes, late) > RECALLED))
        missed = maps.updated(field, planes, first) != next_one
        wrong.append(jnp.sum(jnp.where(missed, 1.0, 0.0)) / stored)
    return {"success": jnp.stack(success), "wrong": jnp.stack(wrong)}


def continuous(config: Capacity, key: Key[Array, ""]) -> Array:
    r"""By coding, share of probes recalled in continuous time.

    Single patterns have strength $\alpha$ and no self-connections; rates at the end are
    compared by their signs.
    """
    size = config.continuous_size
    for_planes, for_cues = jr.split(key)
    planes = memories(config, size, for_planes)
    starts = cued(config, planes, for_cues)
    rotation = config.rotation if config.rotates else jnp.zeros_like(config.rotation)
    rotations = jnp.stack([rotation, jnp.zeros_like(rotation)])
    own = config.expansion * jnp.sum(planes[:, :, 0] ** 2) / size
    diagonals = jnp.stack([jnp.zeros_like(own) if config.rotates else -own, -own])
    times = jnp.full((1,), config.duration)

    def signs(rotation: Scalar, diagonal: Scalar) -> States:
        network = plane_network(planes / size**0.5, config.expansion, rotation)
        network = dataclasses.replace(network, diagonal=diagonal)
        last = lambda x: recall(network, x, times, tolerance=1e-3).potential
        return jnp.sign(jax.vmap(last, 1, 1)(starts))

    turned, alone = jax.vmap(signs)(rotations, diagonals)
    first = maps.plane_overlap if config.rotates else maps.vector_overlap
    found = (first(planes, turned), maps.vector_overlap(planes, alone))
    return jnp.stack([share(overlap > RECALLED) for overlap in found])


def share(true: Array) -> Scalar:
    """Of entries that are true."""
    return jnp.mean(jnp.where(true, 1.0, 0.0))


def capacity(config: Capacity, key: Key[Array, ""]) -> dict[str, Array]:
    """By map `success` and `wrong` (neurons, coding), in time `lasting` (coding)."""
    for_map, for_time = jr.split(key)
    runs = [synchronous(config, size, for_map) for size in config.sizes]
    together = {name: jnp.stack([run[name] for run in runs]) for name in runs[0]}
    return {**together, "lasting": continuous(config, for_time)}


def predict(plan: Plan, keys: Any) -> Dataset:
    """The share of wrong signs after one step."""
    del keys
    loads = np.asarray(plan.grid["load"])
    law = np.asarray(maps.first_step_error(loads))
    return Dataset({"predicted_wrong": ("load", law)}, {"load": loads})


# --- planes beat patterns in the synchronous map, and lose in continuous time ---------


def critical(success: DataArray, coding: str) -> float:
    """The load at which half of the probes are recalled."""
    mean = success.sel(coding=coding).mean("seed", skipna=False)
    loads, means = jnp.asarray(mean["load"].values), jnp.asarray(mean.values)
    return float(maps.half_load(loads, means))


def over_patterns(success: DataArray) -> float:
    """Critical load of planes over that of patterns."""
    return critical(success, "planes") / critical(success, "patterns")


@claim("Supp. Fig. 4, Note 2", low=1.3, high=1.8, each="neurons")
def planes_beat_patterns(data: Dataset, neurons: int) -> float:
    """Synchronous map, {neurons} neurons: half-success load of planes over patterns."""
    return over_patterns(data.success.sel(neurons=neurons))


@claim(
    "Supp. Fig. 4: proportional to the number of neurons",
    low=1.6,
    high=2.2,
    control=None,
)
def proportional_to_size(data: Dataset) -> float:
    """Synchronous map: critical number of planes, twice the neurons over once."""
    once, twice = (critical(data.success.isel(neurons=k), "planes") for k in (0, 1))
    return 2 * twice / once


@claim("independent evaluation: fail above 0.08 and 0.14", low=0.0, high=0.9)
def planes_fail_in_time(data: Dataset) -> float:
    """Not as in the paper: in continuous time planes hold less than patterns
    (half-success load, ratio).
    """
    return over_patterns(data.lasting)


@claim("first-step error", low=0.95, high=1.05, control=None, each="coding")
def wrong_signs(data: Dataset, coding: str) -> tuple[float, float]:
    """Wrong signs after one step over theory, {coding}, all loads."""
    seen = data.wrong.isel(neurons=-1).sel(coding=coding).mean("load", skipna=False)
    return with_error(seen / float(data.predicted_wrong.mean()))


def draw_capacity(data: Dataset) -> Figure:
    """Recall against load, by map and in continuous time; errors of the first step."""
    figure, axes = panels(1, 3, 3.8, 3.0)
    mapped, lasting, errors = axes[0]
    for coding, color in zip(data.coding.values, SHADES, strict=False):
        here = data.sel(coding=coding).mean("seed")
        for size, style in zip(data.neurons.values, ("--", "-"), strict=True):
            success, label = here.success.sel(neurons=size), f"{coding}, {size} neurons"
            mapped.plot(data["load"], success, style, color=color, label=label)
        lasting.plot(data["load"], here.lasting, "o-", ms=3, color=color, label=coding)
        wrong = here.wrong.isel(neurons=-1)
        errors.semilogy(data["load"], wrong, "o", ms=4, color=color, label=coding)
    law = data.predicted_wrong
    errors.semilogy(data["load"], law, "--", color=THEORY, label="theory")
    mapped.set(title="Synchronous map", ylabel="share recalled")
    lasting.set(title="Continuous time", ylabel="share recalled")
    errors.set(title="First step", ylabel="share of wrong signs", ylim=(1e-4, None))
    mapped.axhline(0.5, color=THEORY, lw=0.6)
    lasting.axhline(0.5, color=THEORY, lw=0.6)
    for panel in axes[0]:
        panel.set(xlabel="stored vectors per neuron")
    mapped.legend(frameon=False, fontsize="x-small", loc="lower left")
    lasting.legend(frameon=False, fontsize="small", loc="upper right")
    errors.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


CODING = {"coding": ("planes", "patterns")}
MAPPED = {"neurons": lambda config: config.sizes} | CODING
SUPP4 = Experiment(
    name="supp4",
    source="Supp. Fig. 4, Note 2",
    shows="capacity of planes and of single patterns, by map and in continuous time",
    config=Capacity,
    run=capacity,
    claims=(
        planes_beat_patterns,
        proportional_to_size,
        planes_fail_in_time,
        wrong_signs,
    ),
    figure=draw_capacity,
    control=changed(rotates=False),  # the vectors of planes are stored as patterns
    axes={"success": MAPPED, "wrong": MAPPED, "lasting": CODING},
    predict=predict,
)
