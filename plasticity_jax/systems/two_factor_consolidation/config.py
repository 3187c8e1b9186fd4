"""Hyper-parameters of a memory that is stored awake and consolidated asleep.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. All quantities are
dimensionless; one cycle is one parallel update of all neurons.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ... import AbstractConfig, Scalar
from ..._arguments import concrete, counted, one_of, optional, real, require


PARAMETRISATIONS = ("product", "power", "signed_power", "free")
POLICIES = (
    *("weakest", "noisy", "prioritised", "random"),
    *("soft", "taught", "taught_together"),
)
SCALINGS = ("joint", "each", "weights", "none")
THRESHOLDS = ("additive", "midpoint", "random_pattern")
SCHEDULES = ("constant", "stages", "onset")
ALL = 1e3  # a load of this and above: every pattern
# rate and L/N that reach the optimum fast with `stages`, for z = 1, 2, 3, 4
FAST = {1: (1e-3, 0.01), 2: (0.02, 0.02), 3: (0.03, 0.05), 4: (0.03, 0.05)}


class Config(AbstractConfig):
    r"""Patterns, the synapses that store them, and how they are replayed.

    `size` $N$ inputs, of which the first `rows` neurons are simulated (0: all, a
    recurrent network); room for `patterns` $M$, the first `load` $N$ of them stored
    (rounded; the default, 1000 and above, stores all). `order` $z$ factors a synapse,
    held as `product`, or as one factor to the power `exponent`; `free` is a single one
    of either sign. The last `inhibitory` inputs have negative weights. Homeostasis
    holds $\frac1z\sum_{jk}u_{jk}^2 = L$ with $L$ = `target_per_input` $N$. The schedule
    `stages` lowers both rates to a quarter after a sixth of the `cycles` and to a tenth
    after half of them; `onset` multiplies them by $0.01 + (1 - e^{-t/40})\,0.39$, over
    0.4.

    Raises `ValueError` for values out of range, and for those that do not fit each
    other: more `rows` than `size`, a load without patterns or with more than there is
    room for, a coding level at which patterns are all alike, an `exponent` beside a
    product (or an `order` beside a power) that is neither the default nor the same.

    >>> config = Config(size=50, rows=0, patterns=10, order=3)
    >>> print(config.height, f"{config.target:.1f}")  # factors a synapse, L
    3 1.0
    """

    coding_level: Scalar = eqx.field(default=0.5, converter=real)  # f
    load: Scalar = eqx.field(default=ALL, converter=real)  # alpha
    initial_factor: Scalar = eqx.field(default=0.1, converter=real)  # u_0
    initial_spread: Scalar = eqx.field(default=0.3, converter=real)
    target_per_input: Scalar = eqx.field(default=0.02, converter=real)  # L / N
    rate: Scalar = eqx.field(default=0.02, converter=real)  # eta
    threshold_rate: Scalar = eqx.field(default=0.005, converter=real)  # eta_theta
    sharpness: Scalar = eqx.field(default=100.0, converter=real)  # beta
    replay_noise: Scalar = eqx.field(default=0.1, converter=real)  # policy `noisy`
    exponent: Scalar = eqx.field(default=2.0, converter=real)  # z of a power
    pruned_below: Scalar = eqx.field(default=1e-10, converter=real)  # epsilon
    wake_rate: Scalar = eqx.field(default=0.01, converter=real)  # eta_wake
    enough: Scalar | None = eqx.field(default=None, converter=optional)  # perceptron
    # of the first factor: a release probability
    ceiling: Scalar | None = eqx.field(default=None, converter=optional)
    size: int = eqx.field(default=100, static=True, converter=counted("size"))
    rows: int = eqx.field(default=20, static=True, converter=counted("rows", 0))
    patterns: int = eqx.field(default=25, static=True, converter=counted("patterns"))
    order: int = eqx.field(default=2, static=True, converter=counted("order"))
    inhibitory: int = eqx.field(
        default=0, static=True, converter=counted("inhibitory", 0)
    )
    exact: bool = eqx.field(default=False, static=True)  # f N ones in every pattern
    parametrisation: str = eqx.field(default="product", static=True)
    policy: str = eqx.field(default="weakest", static=True)
    scaling: str = eqx.field(default="joint", static=True)
    threshold: str = eqx.field(default="additive", static=True)
    schedule: str = eqx.field(default="stages", static=True)
    cycles: int = eqx.field(default=60_000, static=True, converter=counted("cycles"))
    # awake
    epochs: int = eqx.field(default=35, static=True, converter=counted("epochs"))

    def __check_init__(self) -> None:
        require(self, coding_level=(1e-6, 1 - 1e-6), initial_spread=(0.0, 1.0))
        require(self, exponent=(1.0, math.inf))
        positive = (
            "load",
            "initial_factor",
            "target_per_input",
            "sharpness",
            "ceiling",
        )
        rates = ("rate", "threshold_rate", "wake_rate")
        for name in (*positive, *rates, "replay_noise", "pruned_below", "enough"):
            if getattr(self, name) is not None:
                least = 1e-12 if name in positive else 0.0
                require(self, **{name: (least, math.inf)})
        if self.rows > self.size:
            raise ValueError(
                f"`rows` must lie between 0 (all) and `size` = {self.size}; got "
                f"{self.rows}."
            )
        one_of("parametrisation", self.parametrisation, PARAMETRISATIONS)
        if self.inhibitory > self.size or (
            self.inhibitory and self.parametrisation != "product"
        ):
            raise ValueError(
                f"`inhibitory` must be at most `size` = {self.size}, and 0 unless "
                f"`parametrisation` is 'product'; got {self.inhibitory} and "
                f"'{self.parametrisation}'."
            )
        one_of("policy", self.policy, POLICIES)
        one_of("scaling", self.scaling, SCALINGS)
        one_of("threshold", self.threshold, THRESHOLDS)
        one_of("schedule", self.schedule, SCHEDULES)
        self._check_counts()
        self._check_order()

    def _check_counts(self) -> None:
        """Whole numbers of active neurons and of stored patterns."""
        level, load = self.coding_level, self.load
        if concrete(level):
            ones = np.round(np.asarray(level) * self.size)
            if np.any((ones < 1) | (ones >= self.size)):
                raise ValueError(
                    f"`coding_level` = {level} of `size` = {self.size} rounds to none "
                    "or to all active: patterns would be all alike."
                )
        if concrete(load) and np.all(np.asarray(load) < ALL):
            stored = np.round(np.asarray(load) * self.size)
            if not np.all((stored >= 1) & (stored <= self.patterns)):
                raise ValueError(
                    f"`load` = {load} of `size` = {self.size} stores {stored} "
                    f"patterns; from 1 to `patterns` = {self.patterns} can be (or all, "
                    f"by the default load of {ALL:g})."
                )

    def _check_order(self) -> None:
        """The one that counts says how many factors; the other must not contradict."""
        order, exponent = self.order, self.exponent
        if not concrete(exponent) or self.parametrisation == "free":
            return
        exponents = np.asarray(exponent)
        if self.parametrisation == "product":
            wrong, other = f"`exponent` = {exponent}", "`order`"
            fits = np.all((exponents == 2) | (exponents == order))
        else:
            wrong, other = f"`order` = {order}", "`exponent`"
            fits = order == 2 or np.all(exponents == order)
        if not fits:
            raise ValueError(
                f"{wrong} says nothing where `parametrisation` is "
                f"'{self.parametrisation}': set {other} (order = {order}, exponent = "
                f"{exponent})."
            )

    @property
    def target(self) -> Scalar:
        """The homeostatic target $L$."""
        return self.target_per_input * self.size

    @property
    def activity(self) -> Scalar:
        """The share of neurons active in a pattern: $f$, of whole ones if `exact`."""
        if not self.exact:
            return self.coding_level
        return jnp.round(self.coding_level * self.size) / self.size

    @property
    def signs(self) -> np.ndarray:
        """+1 for every excitatory input, -1 for an inhibitory one (n,)."""
        return np.where(np.arange(self.size) < self.size - self.inhibitory, 1.0, -1.0)

    @property
    def height(self) -> int:
        """How many factors a synapse holds; a signed power's lie side by side."""
        heights = {"product": self.order, "power": 1, "signed_power": 2, "free": 1}
        return heights[self.parametrisation]


def of_order(config: Config, order: int, **changes: Any) -> Config:
    """The same experiment with `order` factors: rate and target that suit them.

    Raises `ValueError` for an order that no rate is known for.

    >>> config = of_order(Config(size=50), 3)
    >>> print(config.order, f"{config.rate:.2f} {config.target:.1f}")
    3 0.03 2.5
    """
    if order not in FAST:
        raise ValueError(f"`order` must be one of {list(FAST)}; got {order}.")
    rate, target = FAST[order]
    new = {"order": order, "rate": rate, "target_per_input": target, **changes}
    if new.get("parametrisation", config.parametrisation) != "product":
        new = {"exponent": order, **new}
    return dataclasses.replace(config, **new)


def require_products(config: Config) -> None:
    """Raise `ValueError` unless weights are products: recall and statistics read so.

    >>> require_products(Config(parametrisation="free"))
    Traceback (most recent call last):
        ...
    ValueError: `parametrisation` must be 'product' here; got 'free', of which ...
    """
    if config.parametrisation != "product" or config.inhibitory:
        raise ValueError(
            f"`parametrisation` must be 'product' here; got '{config.parametrisation}'"
            f", of which {config.inhibitory} inputs are inhibitory."
        )
