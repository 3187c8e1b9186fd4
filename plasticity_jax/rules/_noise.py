"""Noise that remembers its direction, and noise of release."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._arguments import check_range, fitted, real, require, with_array_leaves
from .._interfaces import AbstractRule, AbstractTrace, Scalar, Synapses
from ..numerics import normal_like, tree_scale
from ..traces import SOME_TIME
from ._scheduled import step_of


class _Coloured(AbstractTrace):
    """An Ornstein-Uhlenbeck process for each synapse, of unit variance."""

    key: Key[Array, ""]
    time: Scalar

    @property
    def moves_first(self) -> bool:
        return True

    def start(self, synapses: Any, signals: Any) -> Synapses:
        return normal_like(jr.fold_in(self.key, 0), synapses)

    def __call__(
        self, trace: Synapses, synapses: Any, signals: Any, change: Any
    ) -> Synapses:
        kept = jnp.exp(-signals.dt / self.time)
        fresh = normal_like(jr.fold_in(self.key, step_of(signals) + 1), synapses)
        fresh = tree_scale(jnp.sqrt(-jnp.expm1(-2 * signals.dt / self.time)), fresh)
        return jax.tree.map(jnp.add, tree_scale(kept, trace), fresh)


class ColouredNoise(AbstractRule):
    r"""Noise of variance $dt$ a step, whose correlation falls as $e^{-t/\tau}$.

    Independent Ornstein-Uhlenbeck processes, one for each synapse, stationary from the
    start; `time` is $\tau$. They are drawn from the rule's own `key`, so that a run may
    be cut: give each run another. Many steps together add up to a diffusion that is
    $\coth(dt/2\tau)$ times that of `Wiener`.

    Reads `dt` and `step` (by its trace). Synapses: any pytree of arrays.

    >>> rule, key = ColouredNoise(jr.key(1), time=1e12), jr.key(0)
    >>> system = System(tasks.Constant(None), circuits.Resting(1.0), {"noise": rule})
    >>> start, path = system.start(jnp.zeros(3), key), lambda now, *_: now.synapses
    >>> _, w = simulate(system, start, key, steps=4, record=path)
    >>> print(np.array(w[3] / w[0]).round(3))  # every step like the first
    [4. 4. 4.]
    """

    key: Key[Array, ""]
    time: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME)

    def traces(self) -> dict[str, AbstractTrace]:
        return {"noise": _Coloured(self.key, self.time)}

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(jnp.sqrt(signals.dt), signals.traces["noise"])


class ReleaseNoise(AbstractRule):
    r"""$w(b/p - 1)$, $b$ Bernoulli of chance $p$: what release adds to a weight.

    Its mean is 0 and its variance $w^2(1 - p)/p$; `probability` is one number or a
    pytree shaped like the synapses, else `ValueError`. The draws have no gradient.

    Reads no signal. Synapses: any pytree of arrays.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> abs(ReleaseNoise(0.5)(w, None, key)).tolist()  # it becomes twice itself or 0
    [1.0, 2.0, 2.0]
    >>> rule = Normalised(ReleaseNoise(0.5), 0.1)  # of a fixed length
    """

    probability: Any = eqx.field(converter=with_array_leaves)

    def __check_init__(self) -> None:
        for p in jax.tree.leaves(self.probability):
            check_range("probability", p, 1e-6, 1.0)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        chances = self.probability
        if jax.tree_util.all_leaves([chances]) and jnp.ndim(chances) == 0:
            chances = jax.tree.map(lambda w: jnp.full_like(w, chances), synapses)
        chances = fitted("`probability`", chances, synapses)
        leaves, tree = jax.tree.flatten(synapses)
        keys = jax.tree.unflatten(tree, list(jr.split(key, len(leaves))))

        def noise(w: Array, p: Array, key: Key[Array, ""]) -> Array:
            released = jr.uniform(key, w.shape, w.dtype) < p
            return w * jnp.where(released, 1 / p - 1, -1)

        return jax.tree.map(noise, synapses, chances, keys)
