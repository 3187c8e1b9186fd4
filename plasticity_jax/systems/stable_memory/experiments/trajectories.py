"""Figure 3a: eigenvalues followed through time while a network learns a plane."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import broadcast, Dataset

from ....experiment import changed, claim, Experiment, panels, SHADES, THEORY
from ....measure import rotation, track_eigenvalues
from ..config import Config
from .learning import all_planes, in_stages, record_times, settled, turned


def weights_of(state: Any, signals: Any, changes: Any) -> Array:
    """Record the synapses."""
    del signals, changes
    return state.synapses


def followed(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""Every eigenvalue through learning, and the pair that becomes the memory.

    `eigenvalue` (time, mode, part), matched from frame to frame; `memory` (time, part),
    the one that ends nearest to the plane, imaginary part positive at the end;
    `rotation` (time) of the plane; `moved` and `sorted_moved`, the mean distance of an
    eigenvalue between frames if matched and if sorted by real part.
    """
    for_start, for_planes, for_run = jr.split(key, 3)
    start, plane = settled(config, for_start), all_planes(config, for_planes)[0]
    seen, _ = in_stages(config, start, turned(config, plane), weights_of, for_run)
    frames = jnp.concatenate([start[1].synapses[None], seen])
    values, vectors = jax.lax.map(jnp.linalg.eig, frames)
    matched = track_eigenvalues(values, vectors)
    ordered = jax.vmap(lambda x: x[jnp.argsort(jnp.real(x))])(values)
    overlap = jnp.linalg.norm(plane.astype(vectors.dtype) @ vectors[-1], axis=0)
    own = values[-1][jnp.argmax(jnp.where(jnp.imag(values[-1]) > 0, overlap, -1.0))]
    index = jnp.argmin(jnp.abs(matched[-1] - own))
    apart = lambda x: jnp.mean(jnp.abs(jnp.diff(x, axis=0)))
    parts = lambda x: jnp.stack([jnp.real(x), jnp.imag(x)], axis=-1)
    return {
        "eigenvalue": parts(matched),
        "memory": parts(matched[:, index]),
        "rotation": jax.vmap(lambda w: rotation(w, *plane))(frames),
        "moved": apart(matched),
        "sorted_moved": apart(ordered),
    }


# --- one pair leaves the bulk along the imaginary axis and carries the memory ---------


@claim(
    "published code: eigenshuffle",
    low=0.0,
    high=0.95,
    control=lambda data, control: 1.0,
)
def matched_moves_less(data: Dataset) -> float:
    """Matched eigenvalues move less between frames than sorted ones (ratio); control:
    sorted by real part.
    """
    return float(data.moved.mean(skipna=False) / data.sorted_moved.mean(skipna=False))


@claim("Fig. 3a; theory: 1 for a plane alone", low=0.85, high=1.15)
def carries_the_memory(data: Dataset) -> float:
    """Imaginary part of the pair that ends nearest to the plane over |A|."""
    last = data.isel(time=-1)
    ratio = abs(last.memory.sel(part="imaginary") / last.rotation)
    return float(ratio.mean(skipna=False))


@claim("Fig. 3a", low=1.0)
def rises_beyond_the_bulk(data: Dataset) -> float:
    """Its imaginary part at the end over the largest one beside it; the whole bulk
    widens with time by noise.
    """
    last = abs(data.sel(part="imaginary").isel(time=-1))
    values, own = broadcast(last.eigenvalue, last.memory)
    rest = values.where(~np.isclose(values, own, rtol=1e-4), 0.0)
    rest = rest.max("mode", skipna=False)
    return float((last.memory / rest).mean(skipna=False))


def draw_trajectories(data: Dataset) -> Figure:
    """Figure 3a: eigenvalues in the complex plane and their imaginary parts in time."""
    figure, axes = panels(1, 2, 3.6, 3.0)
    plane, course = axes[0]
    one = data.isel(seed=0)
    values = one.eigenvalue.transpose("part", "time", "mode").values
    memory = one.memory.transpose("part", "time").values
    plane.plot(*values, color=THEORY, lw=0.5, alpha=0.7)
    plane.plot(*values[:, 0], ".", color="black", ms=2, label="at first")
    plane.plot(*memory, color=SHADES[0], lw=2, label="becomes the memory")
    plane.plot(memory[0], -memory[1], color=SHADES[0], lw=2)
    plane.plot(*memory[:, -1], "o", color=SHADES[0], ms=5)
    plane.set(xlabel=r"Re $\lambda$", ylabel=r"Im $\lambda$", aspect="equal")
    plane.set_xlim(right=2.5 * float(values[0].max()))
    plane.legend(frameon=False, fontsize="small", loc="lower right")
    course.plot(one.time, values[1], color=THEORY, lw=0.5, alpha=0.7)
    course.plot(one.time, memory[1], color=SHADES[0], lw=2, label="the memory's")
    size = abs(one.rotation)
    course.plot(one.time, size, "--", color=SHADES[2], lw=1.5, label="$|A|$")
    course.set(xlabel="time (neural time constants)", ylabel=r"Im $\lambda$")
    course.legend(frameon=False, fontsize="small", loc="lower right")
    return figure


TIME = {"time": lambda config: np.append(0.0, record_times(config))}
PART = {"part": ("real", "imaginary")}
FIG3A = Experiment(
    name="fig3a",
    source="Fig. 3a",
    shows="one pair of eigenvalues leaves the bulk while a plane is learned",
    config=Config,
    run=followed,
    claims=(matched_moves_less, carries_the_memory, rises_beyond_the_bulk),
    figure=draw_trajectories,
    control=changed(frequency=0.0),  # the stimulus stands still on one axis
    axes={
        "eigenvalue": TIME | {"mode": None} | PART,
        "memory": TIME | PART,
        "rotation": TIME,
    },
)
