"""Plasticity of synapses that are products of factors.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import check_stable, real, require, stable
from .._interfaces import AbstractRule, AbstractSignals, Scalar
from ..numerics import normal, power
from ..signals import NoveltySignals, ReplaySignals
from ..synapses._factors import AbstractFactors, Factored, Product
from ._masked import _AbstractChecked


class FactorAscent(AbstractRule):
    r"""$\Delta u_k = \eta\,G\prod_{l \ne k}u_l$ if alive, $\Delta I = -\eta_\theta y$.

    $G$ is the `drive` and $y$ the `bias` of `ReplaySignals`: with the weakest pattern
    the change is `rate` times the gradient of the margin. `threshold_rate` is
    $\eta_\theta$.

    Iatropoulos, Gerstner & Brea 2025, replay asleep (Figs. 2-4, published code).
    Reads `alive`, `drive` and `bias`. Synapses: `Factored`.

    >>> patterns = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> circuit, memories = circuits.Replay(), circuits.memories_of(patterns, rows=1)
    >>> w = synapses.Factored(jnp.full((2, 1, 3), 2.0), jnp.zeros(1))  # active in both
    >>> _, seen = circuit(circuit.start(w, memories), w, memories, jr.key(0))
    >>> (w.factors + FactorAscent(0.5, 0.5)(w, seen, jr.key(0)).factors).tolist()
    [[[2.0, 1.0, 1.0]], [[2.0, 1.0, 1.0]]]
    """

    rate: Scalar = eqx.field(converter=real)
    threshold_rate: Scalar = eqx.field(converter=real)
    parametrisation: AbstractFactors = Product()

    def __check_init__(self) -> None:
        require(self, rate=(0.0, np.inf), threshold_rate=(0.0, np.inf))

    def __call__(
        self, synapses: Factored, signals: ReplaySignals, key: Key[Array, ""]
    ) -> Factored:
        drive = self.rate * jnp.where(signals.alive, signals.drive, 0.0)
        factors = self.parametrisation.ascent(synapses.factors, drive)
        return Factored(factors, -self.threshold_rate * signals.bias)


class PowerMetric(_AbstractChecked):
    r"""`rule` in the metric $\sum dw^2/|w|^s$: its change times $|w|^s$.

    Between gradient ascent, $s = 0$, and exponentiated gradient, $s = 1$. The gradient
    of $z$ equal factors, $w = u^z$, moves weights as $s = 2 - 2/z$ does, $z$ times as
    fast, and bounds of $\sum w^{2-s}$ go with it. A weight of 0 stays there for $s >
    0$. Raises `ValueError` unless `exponent` $s$ lies in [0, 2].

    Iatropoulos, Gerstner & Brea 2025.
    Reads what its rule reads. Synapses: those of its rule.

    >>> w, key, rule = jnp.array([0.0, 1.0, 4.0]), jr.key(0), rules.Wiener()
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> step = PowerMetric(rule, 0.5)(w, seen, key)
    >>> print(np.array(step / rule(w, seen, key)).round(3))
    [0. 1. 2.]
    """

    exponent: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, exponent=(0.0, 2.0))

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        change = self.changed(synapses, signals, key, synapses)
        return jax.tree.map(self._moved, synapses, change)

    def _moved(self, weight: Array, change: Array) -> Array:
        speed = power(jnp.abs(weight), self.exponent)
        plain = (self.exponent == 0) & (weight == 0)  # there a power is 0
        return jnp.where(plain, 1.0, speed).astype(change.dtype) * change


class NoveltyHebb(AbstractRule):
    r"""One-shot storage: $\Delta u_1 = \eta|d|(\xi_i - f)(\xi_j - f)$ where alive.

    Only the first factor moves; $d$ is the novelty of the pattern, so a familiar one
    leaves no trace.

    Iatropoulos, Gerstner & Brea 2025, storage awake (Fig. 3, published code).
    Reads `presynaptic`, `postsynaptic`, `novelty` and `alive`. Synapses: `Factored`.

    >>> x, key = jnp.array([1.0, 1.0, 0.0, 0.0]), jr.key(0)
    >>> w = synapses.Factored(jnp.ones((2, 4, 4)), jnp.zeros(4))
    >>> _, seen = circuits.Novelty(0.5)(None, w, (x, x), key)  # its novelty is 2
    >>> NoveltyHebb(1.0, 0.5)(w, seen, key).factors[0, 0].tolist()
    [0.5, 0.5, -0.5, -0.5]
    """

    rate: Scalar = eqx.field(converter=real)
    coding_level: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, rate=(0.0, np.inf), coding_level=(1e-6, 1 - 1e-6))

    def __call__(
        self, synapses: Factored, signals: NoveltySignals, key: Key[Array, ""]
    ) -> Factored:
        post = signals.postsynaptic - self.coding_level
        pre = signals.presynaptic - self.coding_level
        change = (self.rate * jnp.abs(signals.novelty) * post)[:, None] * pre[None]
        first = jnp.where(signals.alive, change, 0.0)[None]
        factors = jnp.concatenate([first, jnp.zeros_like(synapses.factors[1:])])
        return Factored(factors, jnp.zeros_like(synapses.threshold))


class Pruning(AbstractRule):
    """Dead synapses lose all their factors, so they never return.

    Rules that only change living ones then leave them at zero.

    Iatropoulos, Gerstner & Brea 2025 (`compute_masks` of the published code).
    Reads `alive`, of before the step. Synapses: `Factored`.

    >>> circuit, memories = circuits.Replay(), circuits.memories_of(jnp.eye(2), rows=1)
    >>> w = synapses.Factored(jnp.array([[[0.0, 1.0]], [[3.0, 1.0]]]), jnp.zeros(1))
    >>> _, seen = circuit(circuit.start(w, memories), w, memories, jr.key(0))
    >>> (w.factors + Pruning()(w, seen, jr.key(0)).factors).tolist()
    [[[0.0, 1.0]], [[0.0, 1.0]]]
    """

    def __call__(
        self,
        synapses: Factored,
        signals: ReplaySignals | NoveltySignals,
        key: Key[Array, ""],
    ) -> Factored:
        lost = jnp.where(signals.alive[None], 0.0, -synapses.factors)
        return Factored(lost, jnp.zeros_like(synapses.threshold))


class VolatileFactor(AbstractRule):
    r"""One volatile factor $v$, $z - 1$ equal slow ones $s$: $w = vs^{z-1}$.

    $dv = \sigma(dB + b\,dt) + \gamma hv\,dt$ and $\tau\dot s = v - s + \gamma hs$ read
    with the new $v$; $h = 1 - \langle w^{2/z}\rangle/w_0$ over living synapses. With a
    `coupling` $k$ a share $k$ of noise and bias is independent and multiplied by
    $s^{z-1}$. A synapse of weight 0 is dead: its changes
    bring both factors to 0. `order` is $z \ge 1$, any number. Steps of 2 `slowness` or
    more are unstable: `ValueError`, or NaN inside a compiled program.

    Iatropoulos, Gerstner & Brea 2025, Figs. 5 and 6.
    Reads `dt`. Synapses (2, n): $v$, $s$.

    >>> w, key = jnp.array([[1.0, 0.0], [1.0, 2.0]]), jr.key(0)
    >>> _, seen = circuits.Resting(0.5)(None, w, None, key)
    >>> change = VolatileFactor(2.0, noise=0.0)(w, seen, key)
    >>> (w + change).tolist()  # at its target it rests; of no weight it dies
    [[1.0, 0.0], [1.0, 0.0]]
    """

    order: Scalar = eqx.field(converter=real)
    noise: Scalar = eqx.field(default=0.05, converter=real)  # sigma_u
    slowness: Scalar = eqx.field(default=30.0, converter=real)  # tau
    bias: Scalar = eqx.field(default=0.1, converter=real)  # b
    homeostasis: Scalar = eqx.field(default=10.0, converter=real)  # gamma
    target: Scalar = eqx.field(default=1.0, converter=real)  # w_0
    coupling: Scalar = eqx.field(default=0.0, converter=real)  # k
    coupled: bool = eqx.field(default=False, static=True)  # draw for `coupling`

    def __check_init__(self) -> None:
        require(self, order=(1.0, np.inf), noise=(0.0, np.inf), coupling=(0.0, 1.0))
        require(self, slowness=(1e-9, np.inf), homeostasis=(0.0, np.inf))
        require(self, target=(1e-9, np.inf), bias=(-np.inf, np.inf))

    def check(self, circuit: Any) -> None:
        check_stable("1 / slowness", 1 / self.slowness, getattr(circuit, "dt", None))

    def __call__(
        self,
        synapses: Float[Array, "2 n"],
        signals: AbstractSignals,
        key: Key[Array, ""],
    ) -> Float[Array, "2 n"]:
        volatile, slow = synapses
        dt = signals.dt
        none = slow <= 0  # exp and log: several times faster than a power
        power = jnp.exp((self.order - 1) * jnp.log(jnp.where(none, 1.0, slow)))
        power = jnp.where(none & (self.order != 1), 0.0, power)
        weights = volatile * power
        alive = ~(weights <= 0)  # also where it is NaN
        lack = self.lack(weights)

        direct, indirect = 1 - self.coupling, self.coupling * power
        kicks = direct * normal(key, slow.shape, slow.dtype)
        if self.coupled:  # a key of its own: slices of one draw do not fuse
            other = jr.fold_in(key, 1)
            kicks = kicks + indirect * normal(other, slow.shape, slow.dtype)
        kicks = jnp.sqrt(dt) * kicks + self.bias * dt * (direct + indirect)
        new = volatile + self.noise * kicks + self.homeostasis * lack * dt * volatile
        share = stable("1 / slowness", dt / self.slowness)
        relaxed = slow - share * (slow - new - self.homeostasis * lack * slow)
        changed = jnp.maximum(jnp.stack([new, relaxed]), 0.0)
        return jnp.where(alive[None], changed, 0.0) - synapses

    def lack(self, weights: Float[Array, " n"]) -> Scalar:
        r"""$h$: how far the living synapses' mean $w^{2/z}$ is below its target."""
        alive = ~(weights <= 0)
        safe = jnp.where(alive, weights, 1.0)
        powers = jnp.exp(2 / self.order * jnp.log(safe))
        total = jnp.sum(jnp.where(alive, powers, 0.0))
        count = jnp.maximum(jnp.sum(alive.astype(weights.dtype)), 1.0)
        return 1 - total / count / self.target
