"""Beyond the paper: memories embedded one after another over a life."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import simulate, State
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan, SHADES
from ....measure import rotation
from .. import theory
from ..config import Config, embed
from ..patterns import draw_planes, imaginary_memory
from . import erosion
from .learning import with_error


MEMORIES = 16
RULES = ("decorrelation", "rate_control")
LIVES = ("alone", "in sequence")


def lived(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`rotation` (life, event, memory): $A$ of each plane, `duration` after each event.

    In sequence a memory is embedded at every event; alone, only the first.
    """
    for_spin, for_planes, for_kicks, for_run = jr.split(key, 4)
    system, start = erosion.spun_up(config, for_spin)
    planes = draw_planes("binary", MEMORIES, config.size, for_planes, orthonormal=True)
    kicks, steps = jr.split(for_kicks, MEMORIES), config.steps("duration")
    each = jax.vmap(rotation, (None, 0, 0))

    def event(state: State, given: Any) -> tuple[State, Array]:
        (u, v), strength, kick = given
        memory = imaginary_memory(u, v, strength)
        state = embed(config, system, state, memory, kick)
        state, _ = simulate(system, state, for_run, steps=steps, every=steps)
        return state, each(state.synapses, planes[:, 0], planes[:, 1])

    every = jnp.full(MEMORIES, config.strength)
    lives = jnp.stack([jnp.zeros(MEMORIES).at[0].set(config.strength), every])
    life = lambda strengths: jax.lax.scan(event, start, (planes, strengths, kicks))[1]
    return {"rotation": jax.lax.map(life, lives)}


def sequence(config: Config, key: Key[Array, ""]) -> dict[str, Array]:
    """`lived` under each of RULES."""
    return erosion.under_each(RULES, lived, config, key)


# --- memories of one life do not erase each other -------------------------------------


def noise_alone(data: Dataset) -> float:
    """4 standard errors of the share of a memory that noise adds to it in a life."""
    return 4 * float(data.walk / data.strength) / data.sizes["seed"] ** 0.5


def by_age(data: Dataset, rule: str, gain: float) -> DataArray:
    """Shares left at the end, the newest memory first."""
    last = data.rotation.sel(rule=rule, gain=gain, life="in sequence").isel(event=-1)
    return (last / data.strength).isel(memory=slice(None, None, -1))


def oldest(data: Dataset, rule: str, gain: float) -> tuple[float, float]:
    """Share left of the memory that was embedded first."""
    return with_error(by_age(data, rule, gain).isel(memory=-1))


@claim(
    "5.4: the rule is symmetric, silence does nothing: noise, 4 standard errors",
    low=lambda data, control, rule: 1 - noise_alone(data),
    high=lambda data, control, rule: 1 + noise_alone(data),
    control=lambda data, control, rule: oldest(data, "decorrelation", 0.5),
    each={"rule": RULES},
)
def all_are_kept(data: Dataset, rule: str) -> tuple[float, float]:
    """{rule}, c = 1: share left of the first of 16 memories at the end; control:
    decorrelation, c = 0.5.
    """
    return oldest(data, rule, 1.0)


def forgetting(data: Dataset, gain: float) -> float:
    """Drop of the share left from the four newest to the four oldest memories."""
    left = over_seeds(by_age(data, "decorrelation", gain))
    ends = left.isel(memory=slice(0, 4)), left.isel(memory=slice(-4, None))
    return float(ends[0].mean(skipna=False) - ends[1].mean(skipna=False))


@claim(
    "derived: c below 1 has an anti-symmetric part; beyond 4 standard errors of noise",
    low=lambda data, control: noise_alone(data),
    control=lambda data, control: forgetting(data, 1.0),
)
def the_old_are_forgotten(data: Dataset) -> float:
    """Decorrelation, c = 0.5: drop of the share left, newest to oldest memories;
    control: c = 1.
    """
    return forgetting(data, 0.5)


def hastened(data: Dataset) -> DataArray:
    """How fast the first memory fades in sequence over how fast it does alone."""
    first = data.rotation.sel(rule="decorrelation", gain=0.5, memory=0).isel(event=-1)
    fading = -np.log(over_seeds(first) / data.strength)
    return fading.sel(life="in sequence") / fading.sel(life="alone")


@claim("anti-symmetric synapses do no work (5.3)", low=0.0, high=1.0, control=None)
def others_do_not_hasten(data: Dataset) -> float:
    """Decorrelation, c = 0.5: fading of the first of 16 memories over that of the same
    memory alone.
    """
    return float(hastened(data))


def predict(plan: Plan, keys: Any) -> Dataset:
    """The strength at which memories are embedded, and how far noise alone moves them.

    `walk`: the spread of $A$ since the start, more than that of any mean of memories.
    """
    del keys
    config = plan.config
    life = config.spin_up + MEMORIES * config.duration
    walk = float(theory.rotation_diffusion(config, life)) ** 0.5
    return Dataset({"strength": float(config.strength), "walk": walk})


def draw_sequence(data: Dataset) -> Figure:
    """Forgetting curves at the end of a life, either rule."""
    figure, axes = panels(1, len(RULES), 3.8, 2.8)
    for panel, rule in zip(axes[0], RULES, strict=True):
        for gain, color in zip(data.gain.values, SHADES, strict=False):
            if rule == "rate_control" and gain != 1:
                continue  # the rule has no gain
            left = by_age(data, rule, gain).transpose("memory", "seed").values
            label = f"c = {gain:g}" if rule == "decorrelation" else None
            ages = np.arange(1, len(left) + 1)
            panel.plot(ages, left.mean(1), "o-", ms=4, color=color, label=label)
        panel.set(title=erosion.title(rule), ylim=(0, 1.1))
        panel.set(xlabel="age (intervals)", ylabel="share left")
    axes[0, 0].legend(frameon=False, fontsize="small")
    return figure


SEQUENCE = Experiment(
    name="sequence",
    source="beyond the paper",
    shows="memories of a life by their age: they do not erase each other",
    config=Config,
    run=sequence,
    claims=(all_are_kept, the_old_are_forgotten, others_do_not_hasten),
    figure=draw_sequence,
    control=changed(homeostasis_gain=0.0),
    axes={
        "rotation": {
            "rule": RULES,
            "life": LIVES,
            "event": np.arange(MEMORIES),
            "memory": np.arange(MEMORIES),
        }
    },
    predict=predict,
)
