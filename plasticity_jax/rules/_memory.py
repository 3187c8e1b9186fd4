"""Rules for weights, carried to synapses that remember more than these."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from .._arguments import (
    check_kind,
    check_stable,
    concrete,
    counted,
    real,
    require,
    SLACK,
    stable,
    whole,
)
from .._interfaces import AbstractTrace, Scalar
from .._random import single
from ..synapses._memory import Cascade, Chain
from ..synapses._reading import weights
from ._masked import _AbstractChecked
from ._reparametrised import _OfWeights


Values = Float[Array, "..."]


class _OnWeights(_AbstractChecked):
    """A rule that sees weights, and synapses that do what they can of its change."""

    def traces(self) -> dict[str, AbstractTrace]:
        own = self.rule.traces()
        return {name: _OfWeights(trace, weights) for name, trace in own.items()}

    def asked(
        self, synapses: Any, signals: Any, key: Key[Array, ""], kind: type
    ) -> Values:
        """The change that the rule wants of the weights of this kind of synapses."""
        check_kind("`synapses`", synapses, kind)
        read = synapses.weights()
        return self.changed(read, signals, key, read)


class Cascaded(_OnWeights):
    r"""`rule` for weights of -1 or 1: its changes move them through `levels`.

    Cascade model (Fusi, Drew & Abbott 2005, doi 10.1016/j.neuron.2005.02.001). What
    `rule` asks, $\Delta w$, is an event of its sign with probability $|\Delta w|$, from
    1 on always. One against the weight switches it, to level 1, with probability $q_i =
    x^{i-1}$, $q_n = x^{n-1}/(1 - x)$; one along it leads from level $i < n$ to $i + 1$
    with $p_i^\pm = \frac{f_\mp}{f_\pm} \frac{x^i}{1 - x}$. `ratio` is $x$, `share`
    $f_+$, that of potentiation among the events: all levels are then equally full. Its
    draws have no useful gradient. NaN for states that are none. Raises `ValueError`
    where $p_1$ is above 1. What is left of an event: `measure.cascade_signal`. One such
    rule a system: the changes of two do not add.

    Reads what its rule reads. Synapses: `Cascade`.

    >>> w, key = synapses.Cascade(jnp.array([[-1.0, 1.0, 1.0]])), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, jnp.ones(3), key)
    >>> change = Cascaded(Hebb(1.0), levels=3)(w, seen, key)
    >>> (w.state + change.state).tolist()  # one switched, the others are a level deeper
    [[1.0, 2.0, 2.0]]
    """

    levels: int = eqx.field(static=True, converter=counted("levels"))
    ratio: Scalar = eqx.field(default=0.5, converter=real)
    share: Scalar = eqx.field(default=0.5, converter=real)

    def __check_init__(self) -> None:
        require(self, ratio=(0.0, 0.5), share=(1e-6, 1 - 1e-6))
        if concrete(self.ratio, self.share) and not np.all(self._most() <= 1 + SLACK):
            raise ValueError(
                f"`ratio` = {self.ratio} and `share` = {self.share} make the first "
                f"level deepen with probability {self._most():.4g}; 1 is the most."
            )

    def __call__(self, synapses: Cascade, signals: Any, key: Key[Array, ""]) -> Cascade:
        for_rule, for_draw = jr.split(key)
        asked = self.asked(synapses, signals, for_rule, Cascade)
        state = synapses.state
        sign, level = jnp.sign(state), jnp.abs(state)
        ratio, share = self.ratio.astype(state.dtype), self.share.astype(state.dtype)
        odds = jnp.where(state > 0, (1 - share) / share, share / (1 - share))
        last, fading = level == self.levels, ratio ** (level - 1)
        switch = jnp.where(last, fading / (1 - ratio), fading)
        switch = switch if self.levels > 1 else jnp.ones_like(state)
        deepen = jnp.where(last, 0, odds * fading * ratio / (1 - ratio))
        along = jnp.sign(asked) == sign
        chance = jnp.minimum(jnp.abs(asked), 1) * jnp.where(along, deepen, switch)
        step = jnp.where(along, sign, -sign - state)
        drawn = jr.uniform(for_draw, state.shape, single(state).dtype)
        moved = drawn < single(chance)
        known = (level >= 1) & (level <= self.levels) & (level == jnp.floor(level))
        known = known & ~jnp.isnan(asked) & self._there()
        return Cascade(jnp.where(known, jnp.where(moved, step, 0), jnp.nan))

    def _there(self) -> Bool[Array, ""]:
        """Whether ratio and share, traced, are some."""
        there = (self.ratio >= 0) & (self.ratio <= 0.5) & (self._most() <= 1 + SLACK)
        return there & (self.share > 0) & (self.share < 1)

    def _most(self) -> Scalar:
        """The largest probability; of one level nothing deepens."""
        odds = self.share / (1 - self.share)
        most = jnp.maximum(odds, 1 / odds) * self.ratio / (1 - self.ratio)
        return most if self.levels > 1 else jnp.zeros_like(most)


class Chained(_OnWeights):
    r"""`rule`'s change into the first of a chain of ever slower variables.

    Benna & Fusi 2016 (doi 10.1038/nn.4401): $C_k\dot u_k = g_{k-1}(u_{k-1} - u_k) +
    g_k(u_{k+1} - u_k)$ with $C_k = n^{k-1}$, $g_k = \alpha n^{-k}$, $g_0 = 0$ and 0
    beyond the last; what `rule` asks is added to $u_1$, the weight. `coupling` is
    $\alpha$, `factor` $n$. With `levels` $L$ variables are whole, from $-L$ to $L$:
    rounded up or down by chance, so that their mean stays, then clipped; this has no
    useful gradient. A memory decays as $t^{-1/2}$ (`measure.chain_signal`). Raises
    `ValueError` for a coupling at which steps of `dt` may overshoot; NaN where it is
    traced.

    Reads `dt` and what its rule reads. Synapses: `Chain`.

    >>> w, key = synapses.Chain(jnp.array([[[1.0]], [[0.0]]])), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, jnp.zeros(1), key)
    >>> change = Chained(Hebb())(w, seen, key)
    >>> change.variables.ravel().tolist()  # into a variable of twice the capacity
    [-0.125, 0.0625]
    """

    coupling: Scalar = eqx.field(default=0.25, converter=real)
    factor: Scalar = eqx.field(default=2.0, converter=real)
    levels: int | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        require(self, coupling=(0.0, np.inf), factor=(1.0, np.inf))
        if self.levels is not None:
            whole("levels", self.levels, 1)

    def check(self, circuit: Any) -> None:
        super().check(circuit)
        check_stable("coupling", self._fastest(), getattr(circuit, "dt", None))

    def __call__(self, synapses: Chain, signals: Any, key: Key[Array, ""]) -> Chain:
        for_rule, for_draw = jr.split(key)
        asked = self.asked(synapses, signals, for_rule, Chain)
        u = synapses.variables
        u = u if self.levels is None else single(u)
        unstable = jnp.isnan(stable("coupling", self._fastest() * signals.dt))
        there = (self.coupling >= 0) & (self.factor >= 1)
        dt = jnp.where(there & ~unstable, signals.dt, jnp.nan)
        n, k = self.factor.astype(u.dtype), jnp.arange(len(u), dtype=u.dtype)
        slower = n ** (-2 * k.reshape(-1, *(1,) * (u.ndim - 1)))
        back = (dt * self.coupling).astype(u.dtype) * slower
        forth = back / n
        before = jnp.concatenate([u[:1], u[:-1]])  # nothing flows into the first
        after = jnp.concatenate([u[1:], jnp.zeros_like(u[:1])])
        change = back * (before - u) - forth * (u - after)
        change = change.at[0].add(asked.astype(u.dtype))
        if self.levels is None:
            return Chain(change)
        change = change + (u - jnp.floor(u))
        below = jnp.floor(change)
        up = jr.uniform(for_draw, u.shape, u.dtype) < change - below
        rounded = jnp.floor(u) + jnp.where(up, below + 1, below)
        change = jnp.clip(rounded, -self.levels, self.levels) - u
        return Chain(change.astype(synapses.variables.dtype))

    def _fastest(self) -> Scalar:
        """Above the rate of the fastest variable: twice what leaves one, or more."""
        n = self.factor
        return 2 * self.coupling * jnp.maximum(1 / n, n**-2 + n**-3)
