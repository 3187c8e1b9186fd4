r"""The published protocol of Figure 2: its constants, and when consolidation stops.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122, and its code. The
weakest pattern is replayed until no neuron of the network errs, then all patterns
softly (`taught_together`), at rates that depend on the number of factors.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from ... import Scalar, State, System
from ..._arguments import concrete, real, require, whole
from ...measure import density, noise_ratio
from ...numerics import power
from .config import ALL, Config
from .networks import after, margins_and_weights, stored_in, valid_rows


class Constants(NamedTuple):
    r"""Rates $\eta$ and $\eta_\theta$, target $L/N$, and epochs $e$ of 500 cycles.

    >>> AWAKE[2].rate, AWAKE[2].epochs  # with two factors
    (0.005, 30)
    """

    rate: float
    threshold_rate: float
    target_per_input: float
    epochs: int


AWAKE = {  # Figure 2, learning from random synapses, by the number of factors
    1: Constants(1e-4, 1e-3, 0.01, 25),
    2: Constants(5e-3, 5e-3, 0.02, 30),
    3: Constants(7e-3, 7e-3, 0.05, 25),
    4: Constants(7e-3, 7e-3, 0.05, 25),
}
CYCLES = 500  # a pattern and epoch
EVERY = 10_000  # cycles between two looks at whether to stop


def published(config: Config, order: int) -> Config:
    r"""The protocol of Figure 2 for `order` factors: 1 to 4.

    Sizes and patterns stay those of `config`; `cycles` become the most that a run
    takes, $500Me$ for the M patterns that are stored. Raises `ValueError` for another
    order.

    >>> config = published(Config(patterns=8), 2)
    >>> print(config.policy, config.cycles)  # 500 x 8 x 30
    taught_together 120000
    """
    if order not in AWAKE:
        raise ValueError(f"`order` must be one of {list(AWAKE)}; got {order}.")
    constants, stored = AWAKE[order], config.patterns
    if concrete(config.load) and np.all(np.asarray(config.load) < ALL):
        stored = int(np.max(np.round(np.asarray(config.load) * config.size)))
    cycles = CYCLES * stored * constants.epochs
    rates = constants._asdict()
    del rates["epochs"]
    how = {"policy": "taught_together", "schedule": "constant", "sharpness": 100.0}
    return dataclasses.replace(config, order=order, cycles=cycles, **rates, **how)


def published_night(config: Config, order: int) -> Config:
    r"""Sleep of Figure 3 for `order` factors: soft replay of $\beta = 20$, rates alike.

    With one factor $\eta = 0.01$ throughout; with more the rate rises from 0.01 to 0.4,
    which suits 1000 neurons (fewer need less: `theory.threshold_pull`).

    >>> night = published_night(Config(), 2)
    >>> print(night.policy, night.schedule, f"{night.rate:.1f}")
    soft onset 0.4
    """
    one, order = order == 1, whole("order", order, 1)
    rate = 0.01 if one else 0.4
    how = {"policy": "soft", "schedule": "constant" if one else "onset"}
    rates = {"rate": rate, "threshold_rate": rate, "sharpness": 20.0}
    return dataclasses.replace(config, order=order, **rates, **how)


class Settled(eqx.Module):
    r"""Whether consolidation has come to rest, as the published code says.

    Between two looks the density of synapses and the mean $\mathrm{SNR}_2$ change by
    less than `change`; less than .99 of the synapses are left; no neuron errs; and the
    mean of $\sum_jw_j^{2/z}$ is within `slack` of its `target` $L$. Of neurons that are
    not degenerate.

    >>> from plasticity_jax.systems.two_factor_consolidation import build
    >>> config = Config(size=12, rows=0, patterns=2)
    >>> system, state = build(config, jr.key(0))
    >>> bool(Settled(config.target)(system, state, state))  # no synapse is pruned yet
    False
    """

    target: Scalar = eqx.field(converter=real)
    change: Scalar = eqx.field(default=1e-4, converter=real)
    slack: Scalar = eqx.field(default=0.02, converter=real)

    def __check_init__(self) -> None:
        require(self, target=(1e-12, np.inf), change=(0.0, np.inf))
        require(self, slack=(0.0, np.inf))

    def __call__(self, system: System, before: State, now: State) -> Bool[Array, ""]:
        dense, ratio, wrong, size = self._seen(system, now)
        dense_before, ratio_before, _, _ = self._seen(system, before)
        still = jnp.abs(dense - dense_before) < self.change
        still &= jnp.abs(ratio - ratio_before) < self.change
        return still & (dense < 0.99) & ~wrong & (abs(size - self.target) < self.slack)

    def _seen(self, system: System, state: State) -> tuple[Array, Array, Array, Array]:
        margin, weights = margins_and_weights(system, state)
        counts = valid_rows(stored_in(system)).astype(weights.dtype)
        counts = counts / jnp.sum(counts)
        mean = lambda rows: jnp.sum(jnp.where(counts == 0, 0.0, rows) * counts)
        order = len(state.synapses.factors)
        size = jnp.sum(power(weights, 2 / order), axis=1)
        wrong = jnp.any((margin <= 0) & (counts > 0))
        ratio = noise_ratio(margin, weights, 2.0)
        return mean(density(weights, None)), mean(ratio), wrong, mean(size)


class RobustEnough(eqx.Module):
    r"""Whether at most a `share` of the neurons is below the robustness `enough`.

    Robustness is $\sqrt Nm_i/\|w_i\|_1$; the rule of the perceptron with a margin.

    >>> from plasticity_jax.systems.two_factor_consolidation import build
    >>> system, state = build(Config(size=12, rows=0, patterns=2), jr.key(0))
    >>> rested = after(system, state, jr.key(1), 1000)
    >>> [bool(RobustEnough()(system, state, now)) for now in (state, rested)]
    [False, True]
    """

    enough: Scalar = eqx.field(default=0.25, converter=real)
    share: Scalar = eqx.field(default=0.01, converter=real)

    def __check_init__(self) -> None:
        require(self, share=(0.0, 1.0), enough=(-np.inf, np.inf))

    def __call__(self, system: System, before: State, now: State) -> Bool[Array, ""]:
        del before
        margin, weights = margins_and_weights(system, now)
        robust = weights.shape[1] ** 0.5 * noise_ratio(margin, weights, 1.0)
        below = ~(robust >= self.enough) & valid_rows(stored_in(system))
        return jnp.mean(below.astype(weights.dtype)) <= self.share


Stop = Settled | RobustEnough


def consolidate(
    system: System,
    state: State,
    key: Key[Array, ""],
    stop: Stop,
    *,
    most: int,
    every: int = EVERY,
) -> tuple[State, Bool[Array, ""]]:
    """Replay until `stop(system, before, now)`, looked at every `every` cycles.

    Returns the state, whose `step` says how many cycles it took, and whether it stopped
    before `most` of them. A run that is lost to NaN goes on to the end. Raises
    `ValueError` unless `every` is between 1 and `most`.

    >>> from plasticity_jax.systems.two_factor_consolidation import build
    >>> system, state = build(Config(size=12, rows=0, patterns=2), jr.key(0))
    >>> times = {"most": 4000, "every": 1000}
    >>> state, done = consolidate(system, state, jr.key(1), RobustEnough(), **times)
    >>> bool(done), int(state.step)
    (True, 1000)
    """
    every, most = whole("every", every, 1), whole("most", most, 1)
    if every > most:
        raise ValueError(f"`every` must be at most `most` = {most}; got {every}.")
    looks = most // every
    first = state.step

    def goes_on(carry: tuple[State, Array]) -> Array:
        state, done = carry
        return ~done & (state.step - first < looks * every)

    def look(carry: tuple[State, Array]) -> tuple[State, Array]:
        before, _ = carry
        now = after(system, before, key, every)
        return now, stop(system, before, now)

    return jax.lax.while_loop(goes_on, look, (state, jnp.asarray(False)))
