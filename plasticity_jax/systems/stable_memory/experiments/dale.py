"""Beyond the paper: memories of excitatory and inhibitory neurons (Dale's law)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State, System
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan, SHADES
from ....measure import expansion, rotation
from ....synapses import Dale
from .. import theory
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory, real_memory
from .erosion import ACTIVE, AFTER, own_course, thinned_times, title, under_each
from .learning import with_error


Signs = Float[Array, " n"]
Plane = tuple[Float[Array, " n"], Float[Array, " n"]]
LAWS = ("free", "Dale")
MEMORY = ("real", "loop", "reversed loop", "any plane")
COLORS = dict(zip(MEMORY, (SHADES[2], SHADES[0], SHADES[3], SHADES[1]), strict=True))


def signs_of(config: Config) -> Signs:
    """The first half of the neurons is excitatory, the rest inhibitory."""
    return jnp.where(jnp.arange(config.size) < config.size // 2, 1.0, -1.0)


def planes_of(config: Config, key: Key[Array, ""]) -> tuple[Plane, Plane]:
    """Half of the excitatory and half of the inhibitory neurons; any plane of signs."""
    if config.size % 4:
        raise ValueError(f"`size` must be a multiple of 4; got {config.size}.")
    for_loop, for_any = jr.split(key)
    half = jnp.arange(config.size // 2) < config.size // 4
    chosen = [jr.permutation(k, half).astype(float) for k in jr.split(for_loop)]
    kinds = jnp.stack([1 + signs_of(config), 1 - signs_of(config)]) / 2
    loop = kinds * jnp.concatenate(chosen)
    loop = loop / jnp.linalg.norm(loop, axis=1, keepdims=True)
    plane = draw_planes("binary", 1, config.size, for_any, orthonormal=True)[0]
    return (loop[0], loop[1]), (plane[0], plane[1])


def constrained(config: Config, law: str, key: Key[Array, ""]) -> tuple[System, State]:
    """The network after `spin_up`, its weights free or of their neurons' signs."""
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    if law == "Dale":
        keep = Dale(signs_of(config))
        system = dataclasses.replace(system, projections=(keep,))
        state = State(state.activity, keep(state.synapses))
    steps = config.steps("spin_up")
    state, _ = simulate(system, state, for_run, steps=steps, every=steps)
    return system, state


def followed(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`share` (law, memory, time): change of each memory's coefficient over `strength`.

    A real memory of excitatory neurons; a loop by which they excite inhibitory ones
    that inhibit them, the same loop turning the other way, and any plane. Each is added
    to the same synapses.
    """
    for_spin, for_planes, for_kick, for_run = jr.split(key, 4)
    (u, v), (x, y) = planes_of(config, for_planes)
    strength, steps = config.strength, config.steps("follow")
    axes = jnp.stack([jnp.stack(pair) for pair in ((u, u), (v, u), (u, v), (x, y))])
    turning = [imaginary_memory(a, b, strength) for a, b in axes[1:]]
    patterns = jnp.stack([real_memory(u, strength), *turning])

    def coefficients(state: State, *_: Any) -> Array:
        turns = jax.vmap(rotation, (None, 0, 0))(
            state.synapses, axes[1:, 0], axes[1:, 1]
        )
        return jnp.append(expansion(state.synapses, u, u), turns)

    def under(law: str) -> Array:
        system, state = constrained(config, law, for_spin)
        every = config.steps("record_every")

        def follow(memory: Array) -> Array:
            start = embed(config, system, state, memory, for_kick)
            first = coefficients(start)
            _, course = simulate(
                system, start, for_run, steps=steps, record=coefficients, every=every
            )
            return jnp.concatenate([first[None], course]) - coefficients(state)

        courses = jax.lax.map(follow, patterns)
        return own_course(courses) / strength

    return {"share": jnp.stack([under(law) for law in LAWS])}


def lives(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`followed` under either active rule."""
    return under_each(ACTIVE, followed, config, key)


# --- Dale's law holds loops of both kinds of neurons, which outlast real memories -----


def held(data: Dataset, memory: str) -> tuple[float, float]:
    """Share of a memory that Dale's law holds as it is embedded in empty synapses."""
    rows = data.share.sel(law="Dale", memory=memory).isel(time=0, rule=0)
    return with_error(rows)


@claim(
    "derived: pairs of an excitatory and an inhibitory neuron can rotate",
    low=1 - 1e-5,
    high=1 + 1e-5,
    control=lambda data, control: held(data, "reversed loop"),
)
def loops_are_held(data: Dataset) -> tuple[float, float]:
    """Share of a loop's memory that Dale's law holds; control: of one that turns the
    other way.
    """
    return held(data, "loop")


@claim(
    "derived: pairs of one kind keep half; 4 standard errors of random signs",
    low=lambda data, control: 0.5 - data.uneven / data.sizes["seed"] ** 0.5,
    high=lambda data, control: 0.5 + data.uneven / data.sizes["seed"] ** 0.5,
    control=lambda data, control: held(data, "loop"),
)
def half_of_any_is_held(data: Dataset) -> tuple[float, float]:
    """Share of a memory in any plane that Dale's law holds; control: of a loop."""
    return held(data, "any plane")


def left(data: Dataset, memory: str, rule: str) -> DataArray:
    """Share of what Dale's law held that is left at the end."""
    course = data.share.sel(law="Dale", memory=memory, rule=rule)
    return course.isel(time=-1) / course.isel(time=0)


@claim(
    "Figs. 2d, e: the direction, beyond 4 standard errors of noise",
    low=lambda data, control, rule: 4 * data.walk * (3 / data.sizes["seed"]) ** 0.5,
    each={"rule": ACTIVE},
)
def loops_outlast_real(data: Dataset, rule: str) -> tuple[float, float]:
    """{rule}: share left of a loop's memory less that of a real one, both of the signs
    that Dale's law wants.
    """
    return with_error(left(data, "loop", rule) - left(data, "real", rule))


@claim(
    "5.4: no activity, no decay: noise alone, 4 standard errors",
    low=lambda data, control: 1 - 4 * data.walk / data.sizes["seed"] ** 0.5,
    high=lambda data, control: 1 + 4 * data.walk / data.sizes["seed"] ** 0.5,
    control=lambda data, control: with_error(left(data, "real", "rate_control")),
)
def silent_loops_stay(data: Dataset) -> tuple[float, float]:
    """Rate control: share left of a loop's memory; control: of a real one."""
    return with_error(left(data, "loop", "rate_control"))


def predict(plan: Plan, keys: Any) -> Dataset:
    r"""How far noise alone moves a share (`walk`), and 4 errors of a half (`uneven`).

    Of a plane of random signs $N^2/8$ pairs of both kinds hold $4/N^2$ each, all or
    nothing.
    """
    del keys
    config = plan.config
    walk = float(theory.rotation_diffusion(config, config.follow)) ** 0.5
    share = walk / float(config.strength)
    return Dataset({"walk": share, "uneven": 4 * 2 / 8**0.5 / config.size})


def draw_dale(data: Dataset) -> Figure:
    """Shares of the memories in time, with Dale's law and without, either rule."""
    figure, axes = panels(1, data.sizes["rule"], 4.0, 3.0)
    for panel, rule in zip(axes[0], data.rule.values, strict=True):
        for memory, color in COLORS.items():
            for law, style in zip(LAWS, (":", "-"), strict=True):
                course = over_seeds(data.share.sel(rule=rule, memory=memory, law=law))
                label = memory if law == "Dale" else None
                panel.plot(data.time, course, style, color=color, label=label)
        panel.set_xscale("symlog", linthresh=float(data.time[1]))
        panel.set(title=title(rule), xlabel=AFTER, ylabel="share of the memory")
    axes[0, 0].plot([], [], ":", color="black", label="without Dale's law")
    told = axes[0, 0].get_legend_handles_labels()
    place = {"loc": "outside lower center", "ncols": len(told[1])}
    figure.legend(*told, frameon=False, fontsize="x-small", **place)
    return figure


DALE = Experiment(
    name="dale",
    source="beyond the paper",
    shows="Dale's law holds loops of both kinds of neurons, which outlast real ones",
    config=Config,
    run=lives,
    claims=(loops_are_held, half_of_any_is_held, loops_outlast_real, silent_loops_stay),
    figure=draw_dale,
    control=changed(homeostasis_gain=0.0),
    axes={
        "share": {"rule": ACTIVE, "law": LAWS, "memory": MEMORY, "time": thinned_times}
    },
    predict=predict,
)
