"""The parts of a network that a config names."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int

from .... import AbstractProjection, Scalar
from ...._arguments import real
from ....circuits import (
    AbstractPolicy,
    Memories,
    PrioritisedReplay,
    RandomReplay,
    SoftReplay,
    TaughtReplay,
    WeakestReplay,
)
from ....synapses import (
    AbstractFactors,
    Ceiling,
    Connected,
    Factored,
    Floored,
    Free,
    HomeostaticScaling,
    MidpointThreshold,
    no_self_connections,
    Ordered,
    Power,
    Product,
    RandomPatternThreshold,
    SignedPower,
    SignedProduct,
)
from ..config import Config


Schedule = Callable[[Int[Array, ""]], Any]


def parametrisation_of(config: Config) -> AbstractFactors:
    """How weights follow from factors.

    >>> how = parametrisation_of(Config(order=3))
    >>> how.weights(2.0 * jnp.ones((3, 1, 2))).tolist()
    [[8.0, 8.0]]
    """
    if config.parametrisation == "free":
        return Free()
    if config.parametrisation == "product":
        return SignedProduct(config.signs) if config.inhibitory else Product()
    kind = {"power": Power, "signed_power": SignedPower}[config.parametrisation]
    return kind(config.exponent)


def policy_of(config: Config) -> AbstractPolicy:
    """Which patterns are replayed.

    >>> policy = policy_of(Config(policy="soft", sharpness=20.0))
    >>> print(type(policy).__name__, policy.sharpness)
    SoftReplay 20.0
    """
    soft = SoftReplay(config.sharpness)
    return {
        "weakest": WeakestReplay(),
        "noisy": WeakestReplay(config.replay_noise),
        "prioritised": PrioritisedReplay(config.sharpness),
        "random": RandomReplay(),
        "soft": soft,
        "taught": TaughtReplay(WeakestReplay(), soft),
        "taught_together": TaughtReplay(WeakestReplay(), soft, together=True),
    }[config.policy]


class Stages(eqx.Module):
    """Rates fall to 1/4 after a sixth of the `cycles`, to 1/10 after half of them.

    >>> share = jax.vmap(Stages(60))(jnp.asarray([0, 20, 40]))
    >>> print(np.asarray(share).round(2))
    [1.   0.25 0.1 ]
    """

    cycles: Scalar = eqx.field(converter=real)

    def __call__(self, cycle: Int[Array, ""]) -> Scalar:
        done = real(cycle) / self.cycles
        return jnp.where(done < 1 / 6, 1.0, jnp.where(done < 1 / 2, 0.25, 0.1))


def onset(cycle: Int[Array, ""]) -> Scalar:
    """The rate of Figure 3 relative to its last value.

    >>> print(np.asarray(jax.vmap(onset)(jnp.asarray([0, 1000]))).round(3))
    [0.025 1.   ]
    """
    return (0.01 + 0.39 * (1 - jnp.exp(-real(cycle) / 40))) / 0.4


def schedule_of(config: Config) -> Schedule | None:
    """What multiplies both rates in every cycle; nothing where they are constant.

    >>> print(f"{schedule_of(Config(cycles=60))(jnp.asarray(40)):.2f}")
    0.10
    """
    schedules = {"stages": Stages(real(config.cycles)), "onset": onset}
    return schedules.get(config.schedule)


def scaling_of(config: Config) -> HomeostaticScaling:
    """Homeostasis; of all factors together where it is switched off (`none`).

    >>> scaling = scaling_of(Config(size=50, scaling="each"))
    >>> print(scaling.of, f"{scaling.target:.1f}")
    each 1.0
    """
    of = "joint" if config.scaling == "none" else config.scaling
    return HomeostaticScaling(config.target, parametrisation_of(config), of)


def _random_threshold(config: Config) -> RandomPatternThreshold:
    return RandomPatternThreshold(config.coding_level, parametrisation_of(config))


def projections_of(
    config: Config, stored: Memories, rows: Any = None
) -> tuple[AbstractProjection, ...]:
    """Bounds, homeostasis, and inhibition where it is not learned.

    >>> config = Config(size=12, rows=2, patterns=4, threshold="midpoint")
    >>> enforced = projections_of(config, memories(config, jr.key(0)))
    >>> [type(x).__name__ for x in enforced]
    ['Floored', 'HomeostaticScaling', 'MidpointThreshold']
    """
    own = no_self_connections(_rows(config, rows), config.size)
    enforced: list[AbstractProjection] = [Floored(own)]
    if config.parametrisation == "free":
        enforced = [Connected(Factored(own[None], jnp.ones(len(own))))]
    if config.parametrisation == "signed_power":
        enforced.append(Ordered())
    if config.scaling != "none":
        enforced.append(scaling_of(config))
    if config.ceiling is not None:
        enforced.append(Ceiling(config.ceiling))
    if config.threshold == "midpoint":
        how = parametrisation_of(config)
        enforced.append(MidpointThreshold(stored.patterns, stored.stored, how))
    elif config.threshold == "random_pattern":
        enforced.append(_random_threshold(config))
    return tuple(enforced)


def _rows(config: Config, rows: Any) -> Any:
    """The neurons that are simulated: those chosen, else the first of the config."""
    return config.rows or config.size if rows is None else rows
