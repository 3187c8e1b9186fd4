r"""Beyond the paper: Dale's law and rates that are never negative (softplus).

Without the law an imaginary memory leaves activity at rest, as it does with tanh, but
at rates above zero, and rate control erases of it what they drive, one direction of
$W$, once (`theory.resting_rotation`): a plane of random signs loses $1/N$ in the mean,
a loop of non-negative patterns a share that does not shrink with $N$. A real memory
drives activity until it is erased. With the law no rest restrains weights: those onto
neurons below their targets grow (`theory.lawful_growth`), with a memory or without.
What becomes of memories there is in no closed form, and claimed nowhere.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import simulate, State
from ...._arguments import one_of
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    Plan,
    SHADES,
    THEORY,
)
from .. import theory
from ..config import build, Config, network_of
from ..patterns import imaginary_memory
from .dale import COLORS, constrained, followed, LAWS, MEMORY, planes_of
from .erosion import AFTER, thinned_times
from .learning import with_error


Vector = Float[Array, " n"]
Plane = Float[Array, "2 n"]
WAITED = "time after spin-up (neural time constants)"
LOOPS = ("loop", "reversed loop")
REST = 50.0  # time in which activity comes to rest


def lost_before(course: Array, rates: Vector, targets: Vector, plane: Plane) -> Array:
    r"""Share that the `course` (step, n) of rates $r + \delta$ to their rest $r$ costs.

    First order, over $\eta\kappa_H\Delta t$: $\delta(r + \delta)^\top$ in the plane,
    less what rest erases anyway, in the end.
    """
    excess, apart = rates - targets, course - rates[None]
    whole: Array = jnp.where(jnp.any(rates != 0), excess @ rates, jnp.ones(()))
    erased = jnp.outer(apart @ rates, plane @ excess) / whole
    return jnp.sum((apart @ plane.T - erased) * (course @ plane.T)) / 2


def foreseen(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    r"""What theory says of the networks of `followed`.

    `predicted` (plane, time): share left of each imaginary memory without the law, by
    the rates at which it rests, and what goes `before` (plane) it does (`lost_before`).
    `spread` (plane) of the last share by noise, which moves it, and moves the rates.
    `growth` of weights with the law, by the rates without input.
    """
    for_spin, for_planes, _, for_run = jr.split(key, 4)
    system, _ = build(config, jr.split(for_spin)[0])
    (u, v), (x, y) = planes_of(config, for_planes)
    restraint: Any = system.rules["homeostasis"]
    targets, network = restraint.rule.target, network_of(config)
    still, times = dataclasses.replace(system, rules={}), thinned_times(config)
    size, transfer = config.size, network.transfer
    scale = config.plasticity * config.homeostasis_gain
    follow = jnp.asarray(config.follow)

    def of(plane: Plane) -> tuple[Array, Array, Array]:
        memory = imaginary_memory(plane[0], plane[1], config.strength)
        start = State(network.at(jnp.zeros(size)), memory)
        steps, rate_of = round(REST / config.step), lambda _, signals, __: signals.rate
        rest, course = simulate(still, start, for_run, steps=steps, record=rate_of)
        potential = rest.activity.potential
        rates, slope = transfer(potential), jax.vmap(jax.grad(transfer))(potential)
        share = lambda rates, times: theory.resting_rotation(
            config, rates, targets, plane, times
        )
        lost = scale * config.step * lost_before(course, rates, targets, plane)
        cost = slope * jax.grad(share)(rates, jnp.asarray(times[-1]))
        heard = jnp.linalg.solve(jnp.eye(size) - slope[:, None] * memory.T, cost)
        inputs = theory.weight_diffusion(config, config.spin_up + follow)
        variance = inputs * (rates @ rates) * (heard @ heard)
        return share(rates, jnp.asarray(times)), lost, variance

    planes = jnp.stack([jnp.stack(pair) for pair in ((v, u), (u, v), (x, y))])
    predicted, before, variance = jax.lax.map(of, planes)
    walk = theory.rotation_diffusion(config, follow) / config.strength**2
    return {
        "predicted": predicted,
        "before": before,
        "spread": jnp.sqrt(walk + variance),
        "growth": theory.lawful_growth(config, transfer(jnp.zeros(size)), targets),
    }


def grown(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`power` (law, time): mean square of the weights without a memory."""
    for_spin, _, _, for_run = jr.split(key, 4)
    steps, every = config.steps("follow"), config.steps("record_every")
    power = lambda state, *_: jnp.mean(state.synapses**2)

    def under(law: str) -> Array:
        system, start = constrained(config, law, for_spin)
        _, course = simulate(
            system, start, for_run, steps=steps, record=power, every=every
        )
        return jnp.append(power(start), course)

    return {"power": jnp.stack([under(law) for law in LAWS])}


def lives(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """Memories, weights without one, and what theory says of both."""
    one_of("homeostasis", config.homeostasis, ("rate_control",))
    return followed(config, key) | grown(config, key) | foreseen(config, key)


# --- without the law rest erases one direction; with it weights grow ------------------


def off(data: Dataset, theory: Dataset, plane: str) -> tuple[float, float]:
    """Share left of a memory without Dale's law at the end, less that of theory."""
    left = data.share.sel(law="free", memory=plane) - theory.predicted.sel(plane=plane)
    return with_error(left.isel(time=-1) + theory.before.sel(plane=plane))


def noise(data: Dataset, plane: str) -> float:
    """4 standard errors of a share by noise."""
    power = over_seeds(data.spread.sel(plane=plane) ** 2) / data.sizes["seed"]
    return 4 * float(power) ** 0.5


@claim(
    "derived: rest, first order before it; noise, 4 standard errors",
    low=lambda data, control, plane: -noise(data, plane),
    high=lambda data, control, plane: noise(data, plane),
    control=lambda data, control, plane: off(control, data, plane),
    each={"plane": LOOPS},
)
def rest_erases(data: Dataset, plane: str) -> tuple[float, float]:
    """Without Dale's law: share left of a {plane}'s memory less that of theory;
    control: with the rates of tanh, which rest at zero.
    """
    return off(data, data, plane)


def outlasts(data: Dataset, memory: str, other: str) -> tuple[float, float]:
    """Share left of one memory less that of another, without Dale's law."""
    left = data.share.sel(law="free").isel(time=-1)
    return with_error(left.sel(memory=memory) - left.sel(memory=other))


@claim(
    "derived: the direction, beyond 4 standard errors of noise",
    low=lambda data, control: 4 * data.walk * (3 / data.sizes["seed"]) ** 0.5,
    control=lambda data, control: outlasts(data, "loop", "any plane"),
)
def loops_outlast_real(data: Dataset) -> tuple[float, float]:
    """Without Dale's law: share left of a loop's memory less that of a real one;
    control: less that of a plane of random signs, which rest spares.
    """
    return outlasts(data, "loop", "real")


@claim(
    "derived: the direction, beyond 4 standard errors of noise",
    low=lambda data, control: (
        1 + 4 * (2 / data.sizes["seed"]) ** 0.5 / int(data.synapses) ** 0.5
    ),
)
def lawful_weights_grow(data: Dataset) -> tuple[float, float]:
    """Dale's law, no memory: mean square of the weights over that of noise alone, at
    the end; control: with the rates of tanh.
    """
    return with_error(data.power.sel(law="Dale").isel(time=-1) / data.noise[-1])


def predict(plan: Plan, keys: Any) -> Dataset:
    """How far noise alone moves a share (`walk`); mean square of weights that it makes
    (`noise`), of how many `synapses`.
    """
    del keys
    config, times = plan.config, thinned_times(plan.config)
    walk = float(theory.rotation_diffusion(config, config.follow)) ** 0.5
    noise = np.asarray(theory.weight_diffusion(config, config.spin_up + times))
    told = {"walk": walk / float(config.strength), "synapses": config.size**2}
    return Dataset(told | {"noise": ("time", noise)}, {"time": times})


def draw_positive(data: Dataset) -> Figure:
    """Shares of memories in every network, either law; their weights without one."""
    figure, axes = panels(1, 3, 3.7, 3.0)
    shares, weights = axes[0, :2], axes[0, 2]
    for panel, law in zip(shares, LAWS, strict=True):
        for memory, color in COLORS.items():
            course = data.share.sel(law=law, memory=memory).transpose("time", "seed")
            panel.plot(data.time, course, color=color, lw=0.8)
            panel.plot([], [], color=color, label=memory)
        panel.set_xscale("symlog", linthresh=float(data.time[1]))
        panel.set(xlabel=AFTER, ylabel="share of the memory")
        panel.set(title="Dale's law" if law == "Dale" else "Without Dale's law")
    rest = data.predicted.stack(each=("plane", "seed")).transpose("time", "each")
    shares[0].plot(data.time, rest, "--", color=THEORY, lw=0.8)
    shares[1].set_yscale("symlog", linthresh=1.0)
    size = data.power.transpose("time", "seed", ...) ** 0.5
    weights.plot(data.time, size.sel(law="Dale"), color=SHADES[0], lw=0.8)
    weights.plot(data.time, size.sel(law="free"), color=SHADES[2], lw=0.8)
    end = size.sel(law="Dale").isel(time=-1)
    slope = end * np.exp(data.growth * (data.time - data.time[-1]))
    weights.plot(data.time, slope.transpose("time", "seed"), "--", color=THEORY, lw=0.8)
    weights.set(yscale="log", xlabel=WAITED, ylabel="weights, root mean square")
    weights.set(title="No memory", ylim=(float(size.min()) / 2, None))
    shares[0].plot([], [], "--", color=THEORY, label="theory")
    weights.plot([], [], color=SHADES[0], label="Dale's law")
    weights.plot([], [], color=SHADES[2], label="without it")
    for panel in (shares[0], weights):
        panel.legend(frameon=False, fontsize="x-small")
    return figure


PLANES = MEMORY[1:]
POSITIVE_RATES = Experiment(
    name="positive_rates",
    source="beyond the paper",
    shows="rates above zero erase part of loops, and Dale's law makes weights grow",
    config=Config,
    run=lives,
    claims=(rest_erases, loops_outlast_real, lawful_weights_grow),
    figure=draw_positive,
    control=changed(transfer="tanh"),
    axes={
        "share": {"law": LAWS, "memory": MEMORY, "time": thinned_times},
        "power": {"law": LAWS, "time": thinned_times},
        "predicted": {"plane": PLANES, "time": thinned_times},
        "before": {"plane": PLANES},
        "spread": {"plane": PLANES},
    },
    predict=predict,
)
