"""What clamped and random activity writes, beside runs of the real rules."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Complex, Float, Key

from .... import measure, Scalar, simulate, State, System
from ....circuits import RateNetwork
from ....experiment import (
    always,
    Check,
    exact,
    expectation,
    once,
    simulated,
    soon,
    together,
)
from ....rules import AntisymmetricHebb
from ....signals import RateSignals
from ....tasks import Drive, wandering
from .. import theory
from ..config import Config, rules_of
from ..patterns import draw_planes


Weights = Float[Array, "n n"]
KEY = jr.key(0)
TURN = 6.28  # time in which clamped activity goes round
CLAMPED = Config(
    plasticity=0.1,
    learning_gain=2.0,
    frequency=2 * math.pi / TURN,
    trace_time=0.7,
    gain=1.0,
    learns=True,
    size=16,
    step=2.5e-4,
)
ACTIVITY = 2.0
LONG, START = 80.0, 20.0  # of a random stimulus: seen from START on


def learning_checks() -> Iterator[Check]:
    """Sections 5.6 and 5.7; in double precision."""
    yield from _lag_checks()
    yield from _clamped_checks()
    yield from _control_checks()
    yield from _slope_checks()
    yield from _random_checks()


@together
def _lag_checks() -> Iterator[Check]:
    lag = jax.value_and_grad(theory.quadrature)
    value, slope = lag(jnp.asarray(0.02), jnp.asarray(50.0))
    yield exact("h is 1/2 where omega tau = 1", "5.6", value, 0.5, 1e-14)
    yield exact("and largest: its slope is 0", "5.6", 1 + slope, 1.0, 1e-12)


# --- clamped activity ---------------------------------------------------------------


@eqx.filter_jit
def _plane() -> Float[Array, "2 n"]:
    return draw_planes("binary", 1, CLAMPED.size, KEY, orthonormal=True)[0]


@once
def _learned(config: Config, targets: Float[Array, " n"], turns: int) -> Weights:
    """What the rules write, from no weights, while activity goes round the plane."""
    u, v = _plane()
    rules = rules_of(config, targets)
    del rules["noise"]
    lag = config.frequency * config.trace_time
    trace = ACTIVITY * (u - lag * v) / (1 + lag**2)  # of the steady rotation
    first = jnp.asarray(0, jnp.int32)

    def step(carry: tuple[Weights, Array], phase: Scalar) -> tuple[Any, None]:
        weights, trace = carry
        rate = ACTIVITY * (jnp.cos(phase) * u + jnp.sin(phase) * v)
        trace = trace + config.step / config.trace_time * (rate - trace)
        x, dt = jnp.arctanh(rate), jnp.asarray(config.step)
        signals = RateSignals(dt, rate, x, x, trace, trace, step=first)
        changes = [rule(weights, signals, KEY) for rule in rules.values()]
        return (sum(changes, weights), trace), None

    times = jnp.arange(0.0, turns * TURN - config.step / 2, config.step)
    start = jnp.zeros((config.size, config.size))
    return jax.lax.scan(step, (start, trace), config.frequency * times)[0][0]


@once
def _seen(weights: Weights) -> tuple[Scalar, Complex[Array, ""]]:
    """Rotation in the plane, and the eigenvalue of the memory."""
    value = measure.memory_eigenvalue(weights, _plane().T).value
    return measure.rotation(weights, *_plane()), value


def _clamped_checks() -> Iterator[Check]:
    turns, activity = 2, jnp.asarray(ACTIVITY)
    time, still = jnp.asarray(turns * TURN), jnp.zeros(CLAMPED.size)
    free, restrained = theory.free_eigenvalue, theory.decorrelated_eigenvalue
    for homeostasis, law in {"none": free, "decorrelation": restrained}.items():
        config = dataclasses.replace(CLAMPED, homeostasis=homeostasis)
        weights = _learned(config, still, turns)
        title = f"clamped rotation, homeostasis {homeostasis}"
        got, value = _seen(weights)
        want = theory.learned_rotation(config, activity, time)
        yield simulated(f"{title}: A", "5.6", got, want, 1e-3)
        want = law(config, activity, time)
        yield simulated(f"{title}: frequency", "5.6", value.imag, want.imag, 1e-3)
        if homeostasis == "decorrelation":
            yield simulated(f"{title}: growth", "5.6", value.real, want.real, 1e-3)


def _control_checks() -> Iterator[Check]:
    u, v = _plane()
    across = jr.normal(KEY, u.shape)
    targets = across - (across @ u) * u - (across @ v) * v
    activity = jnp.asarray(ACTIVITY)
    for gain in (5.0, 12.0):  # eta kappa_H c^2 is 2 or 4.8, four omega is 4
        config = dataclasses.replace(CLAMPED, homeostasis_gain=gain)
        weights = _learned(config, targets, 10)
        state = theory.controlled_state(config, activity)
        title = f"clamped rotation, rate control of gain {gain:g}"
        turn, grow = (f(weights, u, v) for f in (measure.rotation, measure.expansion))
        yield simulated(f"{title}: A", "5.6", turn, state.rotation, 1e-3)
        yield simulated(f"{title}: S", "5.6", grow, state.expansion, 1e-3)
        values, want = np.linalg.eigvals(weights), complex(state.eigenvalue)
        distance = np.min(np.abs(values - want)) / abs(want)
        yield simulated(f"{title}: eigenvalue", "5.6", 1 + distance, 1.0, 2e-3)
        rotates = measure.is_complex(weights, u, v)
        told = theory.controlled_is_complex(config, activity)
        pair = "complex" if gain == 5 else "real"
        agree = (rotates == told) & (told == (pair == "complex"))
        yield always(f"{title}: the pair is {pair}", "5.6", agree)


# --- random stimuli -----------------------------------------------------------------


@together
def _slope_checks() -> Iterator[Check]:
    decay = jnp.asarray(0.01)
    drive = lambda rotation, time: theory.random_drive(rotation, decay, time).imag
    for trace_time, published in ((50.0, 0.0128), (100.0, 0.0097)):
        time = jnp.asarray(trace_time)
        slope = theory.random_drive_slope(decay, time)
        want = jax.grad(drive)(jnp.asarray(0.0), time)
        title = f"drive of a random stimulus, slope at 0, tau_y = {trace_time:g}"
        yield exact(title, "5.7", slope, want, 1e-12)
        yield simulated(title + ", as printed", "5.7", slope, published, 5e-3)


def _learning(state: State, signals: RateSignals, changes: Any) -> Scalar:
    """What learning would add to A per time, the weights standing still."""
    del changes
    change = AntisymmetricHebb()(state.synapses, signals, KEY)
    return measure.rotation(change, *jnp.eye(2)) / signals.dt


@soon
def _drives(
    rotation: Scalar, decay: Scalar, network: RateNetwork, dt: float, seeds: int
) -> Float[Array, " seed"]:
    """Mean learning drive of a random stimulus of power `1 / decay`, by seed."""
    steps, axes = round(LONG / dt), jnp.eye(2)
    weights = rotation * jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])

    def one(key: Key[Array, ""]) -> Scalar:
        course = wandering(steps, dt, 0.0, LONG, decay, 1.0, key)
        system = System(Drive(axes, course), network, {})
        state = State(network.at(jnp.zeros(2)), weights)
        options = {"steps": steps, "every": 5, "record": _learning}
        seen = simulate(system, state, key, **options)[1]
        return jnp.mean(seen[round(START / dt / 5) :])

    return jax.vmap(one)(jr.split(KEY, seeds))


def _random_checks() -> Iterator[Check]:
    decay, time, dt = jnp.asarray(0.5), jnp.asarray(2.0), 0.02
    network = RateNetwork(dt, time, transfer=lambda x: x)
    for strength in (0.0, 0.5, -2.0):
        rotation = jnp.asarray(strength)
        drives = _drives(rotation, decay, network, dt, 1000)
        want = theory.random_drive(rotation, decay, time, 1 / decay)
        error = float(jnp.std(drives)) / len(drives) ** 0.5
        title = f"drive of a random stimulus, memory of {strength:g}, +-{error:.2g}"
        yield expectation(title, "5.7", drives, want.imag)
