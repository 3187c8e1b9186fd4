"""What driven activity erases, and how strong it is under a random stimulus."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import solve_continuous_lyapunov

from .... import measure, Scalar, simulate
from ....experiment import always, Check, exact, simulated, soon, together
from ....rules import RateControl
from ....signals import RateSignals
from .. import theory
from ..config import build, Config, embed
from ..patterns import draw_planes, imaginary_memory, real_memory


Weights = Float[Array, "n n"]
KEY = jr.key(0)
CLAMPED = Config(plasticity=0.1, size=16, step=2e-3)
ACTIVITY = 2.0  # k = 0.4


def drive_checks() -> Iterator[Check]:
    """Sections 5.3, 5.4 and 5.7; in double precision."""
    yield from _clamped_checks()
    yield from _network_checks()
    yield from _power_checks()


# --- erasure by clamped activity ----------------------------------------------------


def _erased(config: Config, plane: Float[Array, "2 n"], weights: Weights) -> Weights:
    """What rate control alone leaves of weights while activity turns for `follow`."""
    u, v = plane
    across = jr.normal(KEY, u.shape)
    rule = RateControl(across - (across @ u) * u - (across @ v) * v)
    scale = config.plasticity * config.homeostasis_gain

    def step(weights: Weights, phase: Scalar) -> tuple[Weights, None]:
        rate = ACTIVITY * (jnp.cos(phase) * u + jnp.sin(phase) * v)
        dt = jnp.asarray(config.step)
        signals = RateSignals(dt, rate, rate, rate, rate, rate)
        return weights + scale * rule(weights, signals, KEY), None

    middles = config.step * (jnp.arange(config.steps("follow")) + 0.5)
    return jax.lax.scan(step, weights, config.frequency * middles)[0]


@together
def _clamped_checks() -> Iterator[Check]:
    plane = draw_planes("binary", 1, CLAMPED.size, KEY, orthonormal=True)[0]
    starts = [imaginary_memory(plane[0], plane[1], 3.0)] * 3
    starts.append(real_memory(plane[0], 3.0))
    drives, activity = {"fast": 4.0, "slow": 0.1, "no": 0.0}, jnp.asarray(ACTIVITY)
    at = lambda x: dataclasses.replace(CLAMPED, frequency=x, follow=5.0)
    erased = jax.vmap(lambda x, start: _erased(at(x), plane, start))
    *ends, real = erased(jnp.asarray([*drives.values(), 0.0]), jnp.stack(starts))
    for (turns, frequency), end in zip(drives.items(), ends, strict=True):
        config, left = at(frequency), measure.rotation(end, *plane) / 3
        want = theory.driven_rotation(config, activity, jnp.asarray(config.follow))
        title = f"A under a drive of {turns} turns"
        yield simulated(title, "5.4", left, want, 2e-3)
        rate = theory.erasure_rate(config, activity)
        if turns == "fast":
            half = jnp.exp(-rate / 2 * config.follow)
            yield simulated(f"{title}: half of the rate", "5.4", want, half, 0.02)
        if turns == "no":
            left, want = plane[0] @ real @ plane[0] / 3, jnp.exp(-rate * config.follow)
            yield simulated("real memory, driven", "5.3", left, want, 2e-3)


# --- erasure by what a memory drives ------------------------------------------------


@soon
def _strengths(config: Config) -> Float[Array, " step"]:
    """Of a real memory of binary patterns, from silence, for 20 time units."""
    system, state = build(config, KEY)
    u = draw_planes("binary", 1, config.size, KEY)[0, 0]
    state = embed(config, system, state, real_memory(u, config.strength), KEY)
    record = lambda state, signals, changes: u @ state.synapses @ u
    return simulate(system, state, KEY, steps=200, record=record)[1]


def _network_checks() -> Iterator[Check]:
    published: dict[str, Any] = {"initial_gain": 0.0, "noise": 0.0}
    order = theory.erasure_rate(Config(), jnp.asarray(Config().size ** 0.5))
    yield simulated("largest rate of erasure, published", "5.3", order, 1.28, 1e-6)
    for rule in ("rate_control", "decorrelation"):
        course = np.asarray(_strengths(Config(homeostasis=rule, **published)))
        speed = -np.diff(course) / Config().step
        if rule == "rate_control":
            speed = np.where(course[1:] > 1, speed / course[1:], 0.0)
        ratio = np.max(speed) / order
        title = f"erasure of a real memory, {rule}: of the order of eta N"
        yield always(title, "5.3", (ratio > 2 / 3) & (ratio < 3 / 2))


# --- activity under a random stimulus -----------------------------------------------


def _power_checks() -> Iterator[Check]:
    """Against the Lyapunov equation of stimulus, activity and trace."""
    given = 1.7, 0.3, 2.0, 2.5
    rotation, decay, time, power = given
    at = tuple(map(jnp.asarray, given))
    one, none = np.eye(2), np.zeros((2, 2))
    turn = np.array([[0.0, rotation], [-rotation, 0.0]])
    rows = [-decay * one, none, none], [one, turn - one, none], [none, one / time]
    flow = np.block([*rows[:2], [*rows[2], -one / time]])
    noise = np.diag([decay * power] * 2 + [0.0] * 4)
    second = solve_continuous_lyapunov(flow, -noise)
    got = np.trace(second[2:4, 2:4])
    want = theory.random_power(at[0], at[1], at[3])
    yield exact("power of activity, random stimulus", "5.7", got, want)
    cross = second[2:4, 4:]
    got = np.trace(cross) + 1j * (cross[0, 1] - cross[1, 0])
    want = theory.random_drive(*at)
    yield exact("drive of a random stimulus", "5.7", got, want)
