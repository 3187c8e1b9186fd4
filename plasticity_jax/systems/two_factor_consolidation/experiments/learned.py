r"""Beyond the paper: a schedule of replay that is learned by its gradient.

The mean robustness after a short night is differentiated through all of its cycles, in
the rates at several times and in the sharpness of soft replay. At constant rates the
margin stays below its optimum by as much as the rate (T6), so a short night wants fast
rates first and slow ones last. The stages of a long night slow down too soon for it:
constant rates do better. What is learned on some neurons is judged on others.
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key
from matplotlib.figure import Figure
from xarray import Dataset

from .... import AbstractConfig, Scalar, simulate
from ...._arguments import counted, real, require
from ....circuits import Memories
from ....experiment import changed, claim, Experiment, over_seeds, panels, Plan, SHADES
from ....measure import noise_ratio
from ....synapses import Factored
from ..config import Config
from ..domains import mean_over
from ..networks import (
    after,
    build,
    margins_and_weights,
    memories,
    sleep,
    stored_in,
    valid_rows,
)
from .oracle import both_optima
from .shared import LAW


KNOTS = 6  # times at which the rate is learned, from the first cycle to the last


class Learned(AbstractConfig):
    """A night of `cycles` of soft replay, its schedule learned in `updates` steps.

    `speed` is that of Adam in the logarithms of rates and sharpness. Before the night
    the weakest pattern is replayed for `awake` cycles, so that the patterns are stored.
    """

    rate: Scalar = eqx.field(default=0.02, converter=real)
    threshold_rate: Scalar = eqx.field(default=0.005, converter=real)
    sharpness: Scalar = eqx.field(default=50.0, converter=real)
    speed: Scalar = eqx.field(default=0.1, converter=real)
    size: int = eqx.field(default=50, static=True, converter=counted("size", 2))
    rows: int = eqx.field(default=10, static=True, converter=counted("rows"))
    patterns: int = eqx.field(default=12, static=True, converter=counted("patterns"))
    awake: int = eqx.field(default=500, static=True, converter=counted("awake"))
    cycles: int = eqx.field(default=900, static=True, converter=counted("cycles"))
    updates: int = eqx.field(default=30, static=True, converter=counted("updates", 0))

    def __check_init__(self) -> None:
        require(self, speed=(0.0, math.inf))
        self.network()

    def network(self, **changes: Any) -> Config:
        """The neurons, at constant rates."""
        names = ("rate", "threshold_rate", "sharpness", "size", "rows", "patterns")
        given = {name: getattr(self, name) for name in names}
        given |= {"schedule": "constant", "cycles": self.cycles} | changes
        return Config(**given)


class Knots(eqx.Module):
    """Rates are multiplied by the exponential of `logs`, interpolated over `cycles`."""

    logs: Float[Array, " knot"]
    cycles: Scalar = eqx.field(converter=real)

    def __call__(self, cycle: Int[Array, ""]) -> Scalar:
        knots = jnp.arange(len(self.logs), dtype=self.logs.dtype)
        at = real(cycle) / self.cycles * (len(self.logs) - 1)
        return jnp.exp(jnp.interp(at, knots, self.logs))


def stored_at(config: Learned, key: Key[Array, ""]) -> tuple[Memories, Factored]:
    """Neurons that have learned their patterns, before the night."""
    for_build, for_day = jr.split(key)
    system, state = build(config.network(policy="weakest"), for_build)
    return stored_in(system), after(system, state, for_day, config.awake).synapses


def robustness(
    logs: Float[Array, " knot"], config: Learned, evening: tuple[Memories, Factored]
) -> Scalar:
    r"""Mean $\mathrm{SNR}_1$ after a night; `logs` of the rates and the sharpness."""
    sharp = config.sharpness * jnp.exp(logs[-1])
    here = config.network(policy="soft", sharpness=sharp)
    schedule = Knots(logs[:-1], real(config.cycles))
    return _morning(here, evening, schedule)


def _morning(
    config: Config, evening: tuple[Memories, Factored], schedule: Any = None
) -> Scalar:
    stored, synapses = evening
    system, state = sleep(config, stored, synapses, schedule=schedule)
    every = max(k for k in range(1, 61) if config.cycles % k == 0)
    end, _ = simulate(system, state, jr.key(0), steps=config.cycles, every=every)
    margin, weights = margins_and_weights(system, end)
    ratio = noise_ratio(margin, weights, 1.0)
    return mean_over(valid_rows(stored), ratio)


def learned(config: Learned, key: Key[Array, ""]) -> dict[str, Array]:
    """Learns on some neurons, judges on others: all mean robustness.

    `course` (update,) while learning; on the others `learned`, `constant` and `stages`
    (soft replay, the first rates); `rates` (knot,) and `sharp`, as multiples.
    """
    train, test = (stored_at(config, k) for k in jr.split(key))
    slope = jax.value_and_grad(lambda logs: -jnp.log(robustness(logs, config, train)))
    adam = optax.adam(config.speed)
    start = jnp.zeros(KNOTS + 1)

    def update(carry: tuple[Array, Any], _: None) -> tuple[tuple[Array, Any], Scalar]:
        logs, memory = carry
        loss, gradient = slope(logs)
        with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
            step, memory = adam.update(gradient, memory)
        moved = jax.tree.map(jnp.add, logs, step)
        return (moved, memory), jnp.exp(-loss)

    first = (start, adam.init(start))
    (logs, _), course = jax.lax.scan(update, first, length=config.updates)
    staged = config.network(policy="soft", schedule="stages")
    return {
        "course": course,
        "learned": robustness(logs, config, test),
        "constant": robustness(start, config, test),
        "stages": _morning(staged, test),
        "rates": jnp.exp(logs[:-1]),
        "sharp": jnp.exp(logs[-1]),
    }


def optima(plan: Plan, keys: Any) -> Dataset:
    """The largest mean robustness of the neurons that are judged."""
    best = []
    for key in keys:
        test = jr.split(jr.split(key)[1])[0]
        stored = memories(plan.config.network(), jr.split(test)[0])
        rows = both_optima(np.asarray(stored.patterns), np.asarray(stored.targets))
        best.append(np.mean([linear.margin for _, linear, _ in rows]))
    return Dataset({"best": ("seed", best)})


@claim("theory: the gradient of the night; control: no update", low=1.001)
def better_than_given(data: Dataset) -> float:
    """Robustness of new neurons after as many cycles: learned rates over constant or
    staged ones, whichever are better.
    """
    given = np.maximum(data.constant, data.stages)
    return float(over_seeds(data.learned / given))


@claim("theory T6: the gap that is left is as large as the last rate", low=1.001)
def slows_down(data: Dataset) -> float:
    """Rate in the middle of the night over that at its end, as learned."""
    rates = over_seeds(data.rates)
    return float(rates.isel(knot=KNOTS // 2) / rates.isel(knot=-1))


@claim("linear programme", low=0.5, high=1 + 1e-3, control=None)
def below_the_optimum(data: Dataset) -> float:
    """Learned schedule on new neurons: share of the exact optimum."""
    return float(over_seeds(data.learned / data.best))


def draw_learned(data: Dataset) -> Figure:
    """Robustness while learning, the schedules, and what they reach on new neurons."""
    figure, ((course, rates, reached),) = panels(1, 3, 3.4, 2.8)
    course.plot(
        data["update"], data.course.transpose("update", "seed"), color=SHADES[0]
    )
    course.set(xlabel="update of the schedule", ylabel="SNR$_1$ after the night")
    rates.semilogy(data.knot, data.rates.transpose("knot", "seed"), color=SHADES[0])
    rates.step([0, 1 / 6, 1 / 2, 1], [1, 1, 0.25, 0.1], label="stages", **LAW)
    rates.set(xlabel="share of the night", ylabel="rate / first rate")
    rates.legend(frameon=False)
    for place, name in enumerate(("constant", "stages", "learned")):
        share = (data[name] / data.best).values
        reached.plot([place] * len(share), share, "o", ms=4, color=SHADES[1])
    reached.axhline(1.0, ls="--", **LAW)
    reached.set_xticks(range(3), ("constant", "stages", "learned"))
    reached.set(ylabel="SNR$_1$ / exact optimum", xlim=(-0.5, 2.5))
    return figure


LEARNED = Experiment(
    name="learned",
    source="beyond the paper",
    shows="rates of a night, learned by their gradient, beat given ones and end slowly",
    config=Learned,
    run=learned,
    claims=(better_than_given, slows_down, below_the_optimum),
    figure=draw_learned,
    control=changed(speed=0.0),
    axes={
        "course": {"update": lambda config: np.arange(config.updates)},
        "rates": {"knot": np.linspace(0, 1, KNOTS)},
    },
    predict=optima,
    float64=True,
)
