"""Synapses with memory of their own: what is left of an event, and the noise of all."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Int, Key

from .. import AbstractRule, AbstractTask, simulate, State, System
from ..circuits import Layer
from ..experiment import Check, exact, expectation, simulated
from ..measure import (
    cascade_signal,
    cascade_transitions,
    chain_noise,
    chain_signal,
    log_slope,
)
from ..rules import Cascaded, Chained
from ..synapses import Cascade, Chain, random_cascade
from ._numbers import KEY


FUSI, BENNA = "Fusi et al. 2005", "Benna & Fusi 2016"
AGES = (0.0, 1.0, 10.0, 100.0, 1000.0)
SIGNALS = {
    3: (0.666667, 0.351939, 0.011361, 0.0, 0.0),
    5: (0.4, 0.235678, 0.0646660, 1.2194e-4, 0.0),
    10: (0.2, 0.118689, 0.0381633, 0.00824618, 7.2953e-4),
}


def memory_checks() -> Iterator[Check]:
    """The cascade and the chain: closed forms, then the rules."""
    yield from _cascade_laws()
    yield from _cascade_population()
    yield from _cascade_balance()
    yield from _chain_laws()
    yield from _chain_rule()
    yield from _chain_rounded()
    yield from _chain_of_levels()


_transitions = jax.jit(cascade_transitions, static_argnums=0)


class _Asked(AbstractRule):
    """The change that the task shows."""

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Array:
        return signals.asked


class _Events(AbstractTask):
    """An event of `size` at every synapse and step, a `share` of them positive."""

    size: Array
    share: Array
    synapses: int

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> dict[str, Array]:
        up = jr.uniform(key, (1, self.synapses)) < self.share
        asked = jnp.where(up, self.size, -self.size)
        return {"pre": jnp.zeros(self.synapses), "asked": asked}


def _seen(state: State, signals: Any, changes: Any) -> tuple[Array, Array]:
    return state.synapses.weights()[0], signals.asked[0]


def _moved(
    rule: AbstractRule, synapses: Any, steps: int, size: float, share: float = 0.5
) -> tuple[State, tuple[Array, Array]]:
    """The state after so many events, and weights and events of all steps."""
    count = jax.tree.leaves(synapses)[0].shape[-1]
    task = _Events(jnp.asarray(size), jnp.asarray(share), count)
    system = System(task, Layer(), {"it": rule})
    start = system.start(synapses, KEY)
    return simulate(system, start, KEY, steps=steps, record=_seen)


def _cascade_laws() -> Iterator[Check]:
    signal = jax.jit(cascade_signal, static_argnums=1)
    slowest = {3: 0.35961, 5: 0.0690162, 10: 0.00195969}
    for levels, printed in SIGNALS.items():
        found = signal(jnp.asarray(AGES), levels)
        name = f"cascade: signal at given numbers, n = {levels}"
        yield exact(name, "NumPy", found, jnp.asarray(printed), 2e-6)
        up, down = _transitions(levels)
        flow = np.asarray(up + down) / 2 - np.eye(2 * levels)
        found = np.sort(-np.linalg.eigvals(flow).real)[1]
        name, want = f"cascade: slowest rate, n = {levels}", slowest[levels]
        yield exact(name, "NumPy", found, want, 1e-5)
    levels, ratio, share, ages = 4, 0.3, 0.4, jnp.asarray([0.0, 1.0, 10.0])
    up, down = _transitions(levels, ratio, share)
    side = jnp.ones(levels)
    balance = jnp.concatenate([(1 - share) * side, share * side]) / levels
    every, found = share * up + (1 - share) * down, signal(ages, levels, ratio, share)
    name = "cascade: all levels equally full"
    yield exact(name, f"{FUSI}: f / n", every @ balance, balance)
    want = 1 / (levels * (1 - ratio))
    yield exact("cascade: signal at the start", "1 / n (1 - x)", found[0], want)
    read, left = jnp.concatenate([-side, side]), (up - down) @ balance / 2
    chance, want = jnp.exp(-ages), 0 * ages
    for events in range(1, 80):
        want = want + chance * (read @ left)
        left, chance = every @ left, chance * ages / events
    yield exact("cascade: Poisson events", "mixture of powers of P", found, want)


def _cascade_population() -> Iterator[Check]:
    """What the first event left in 100,000 synapses, by further ones."""
    levels = 3
    up, down = _transitions(levels)
    start = random_cascade((1, 100_000), levels, 0.5, jr.key(1))
    _, (weights, asked) = _moved(Cascaded(_Asked(), levels), start, 4, 1.0)
    read = jnp.concatenate([-jnp.ones(levels), jnp.ones(levels)])
    left = jnp.sum(up - down, axis=1) / (4 * levels)
    for age in range(4):
        name = f"cascade: signal of a population, age {age}"
        source = f"{FUSI}: w P^t (M+ - M-) / 2 pi"
        yield expectation(name, source, weights[age] * asked[0], read @ left)
        left = (up + down) @ left / 2


def _cascade_balance() -> Iterator[Check]:
    """Rare and uneven events from one state, which the law still shows."""
    levels, ratio, share, size, steps = 4, 0.3, 0.4, 0.5, 30
    up, down = _transitions(levels, ratio, share)
    every = size * (share * up + (1 - share) * down) + (1 - size) * jnp.eye(2 * levels)
    law = jnp.linalg.matrix_power(every, steps)[:, 2 * levels - 1]
    rule, start = Cascaded(_Asked(), levels, ratio, share), jnp.full((1, 50_000), 4.0)
    end = _moved(rule, Cascade(start), steps, size, share)[0].synapses.state[0]
    states = jnp.asarray([-4.0, -3.0, -2.0, -1.0, 1.0, 2.0, 3.0, 4.0])
    for name, of in {
        "weight": jnp.sign,
        "level": jnp.abs,
        "square": jnp.square,
    }.items():
        want = of(states) @ law
        name = f"cascade: mean {name} after rare events"
        yield expectation(name, "Markov chain", of(end), want)


def _matrix(variables: int, coupling: float = 0.25) -> np.ndarray:
    """A step of the chain, as the paper writes it."""
    matrix = np.eye(variables)
    for k in range(1, variables + 1):
        forth = coupling * 2.0 ** (-2 * k + 1)
        back = coupling * 2.0 ** (-2 * k + 2) if k > 1 else 0.0
        matrix[k - 1, k - 1] -= forth + back
        if k > 1:
            matrix[k - 1, k - 2] = back
        if k < variables:
            matrix[k - 1, k] = forth
    return matrix


def _chain_laws() -> Iterator[Check]:
    signals = {m: np.asarray(chain_signal(jnp.arange(20_000.0), m)) for m in (4, 6, 8)}
    matrix, unit, powers = _matrix(8), np.eye(8)[0], []
    for _ in range(20_000):
        powers.append(unit[0])
        unit = matrix @ unit
    want = np.asarray(powers)
    yield exact("chain: signal until 20,000", "powers of A", signals[8], want)
    printed = np.asarray([1, 0.875, 0.402921, 0.132907, 0.0424822, 0.0134253])
    found = signals[8][[0, 1, 10, 100, 1000, 10_000]]
    yield exact("chain: signal at given numbers, m = 8", "NumPy", found, printed, 1e-6)
    found, printed = signals[4][[1000, 10_000]], np.asarray([0.0361159, 9.4e-6])
    yield exact("chain: signal at given numbers, m = 4", "NumPy", found, printed, 5e-6)
    ages = np.geomspace(100, 10_000, 50).astype(int)
    found = log_slope(ages.astype(float), signals[8][ages])
    yield simulated("chain: exponent from 100 to 10,000", BENNA, found, -0.5, 5e-3)
    printed = {4: 3.6254, 6: 4.2733, 8: 4.8254}
    lasting = {4: (136, 993, 2243), 6: (96, 988, 9311), 8: (75, 774, 7673)}
    for m, signal in signals.items():
        noise, step, source = float(chain_noise(m)), _matrix(m), np.eye(m * m)[0]
        name = f"chain: noise at given numbers, m = {m}"
        yield exact(name, "NumPy", noise, printed[m], 2e-5)
        spread = np.linalg.solve(np.eye(m * m) - np.kron(step, step), source)
        yield exact(f"chain: noise, m = {m}", "Lyapunov", noise, spread[0] ** 0.5)
        above = [n**0.5 * signal / noise > 1 for n in (1e3, 1e4, 1e5)]
        found, want = [np.flatnonzero(x)[-1] for x in above], np.asarray(lasting[m])
        name = f"chain: last step of a ratio above 1, m = {m}"
        yield exact(name, f"{BENNA}: near N", found, want, 4e-3)


def _weight(state: State, signals: Any, changes: Any) -> Array:
    return state.synapses.weights()[0, 0]


class _Pulse(AbstractTask):
    """A unit at the first step."""

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> dict[str, Array]:
        asked = jnp.where(step == 0, 1.0, 0.0)
        return {"pre": jnp.zeros(1), "asked": asked.reshape(1, 1)}


def _chain_rule() -> Iterator[Check]:
    for dt, name in ((1.0, ""), (0.5, ", half steps")):
        system = System(_Pulse(), Layer(dt=dt), {"it": Chained(_Asked())})
        start = system.start(Chain(jnp.zeros((4, 1, 1))), KEY)
        _, found = simulate(system, start, KEY, steps=1001, record=_weight)
        want = chain_signal(jnp.arange(1001.0), 4, 0.25 * dt)
        yield exact(f"chain: weight after a pulse{name}", BENNA, found, want)


def _chain_rounded() -> Iterator[Check]:
    """A pulse of 3 in whole numbers, whose mean is that without rounding."""
    rule = Chained(_Asked(), levels=10**6)
    start = Chain(jnp.zeros((6, 1, 20_000)).at[0].set(3.0))
    _, (weights, _) = _moved(rule, start, 80, 0.0)
    for age in (5, 80):
        want = 3 * chain_signal(jnp.asarray([float(age)]), 6)[0]
        name = f"chain: mean in whole numbers, age {age}"
        yield expectation(name, "that of real ones", weights[age - 1], want)


def _chain_of_levels() -> Iterator[Check]:
    """2000 synapses in balance, of 21 levels: what is left, and the noise."""
    start, half = Chain(jnp.zeros((6, 1, 2000))), 2000
    _, seen = _moved(Chained(_Asked(), levels=10), start, 2 * half, 1.0)
    weights, asked = map(np.asarray, seen)
    for age, want in {0: 0.9943, 5: 0.5517, 20: 0.2747, 80: 0.1355}.items():
        found = np.mean(weights[half:] * asked[half - age : 2 * half - age])
        name = f"chain: signal in 21 levels, age {age}"
        yield simulated(name, "NumPy", found, want, 0.05)
    found = np.std(weights[half:])
    yield simulated("chain: noise in 21 levels", "NumPy", found, 4.17, 0.03)
