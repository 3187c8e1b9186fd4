"""Compensation of order zero: probe the loss, keep what helps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._arguments import counted, real, require
from .._interfaces import AbstractRule, Scalar, Synapses
from ..numerics import normal_like, tree_scale, tree_size, tree_unit
from ..signals import LossSignals


class WeightPerturbation(AbstractRule):
    r"""The loss's slope estimated along random directions by antithetic probes.

    $-\frac{N}{K} \sum_k \frac{F[w + h\hat\zeta_k] - F[w - h\hat\zeta_k]}{2h}
    \hat\zeta_k$, directions uniform on the sphere: minus the gradient in expectation
    on a quadratic loss, for any probe size $h$. `Normalised` makes it the fixed-norm
    rule; at `probes=1` that is $-m\,\mathrm{sign}(\delta F)\hat\zeta$, weight
    perturbation and REINFORCE at once (Raman & O'Leary 2021). The one-sided difference
    is not offered: it is biased where $h$ is comparable to the step.

    Reads `loss_at`. Synapses: any pytree.
    """

    probe_size: Scalar = eqx.field(converter=real)
    probes: int = eqx.field(default=1, static=True, converter=counted("probes"))

    def __check_init__(self) -> None:
        require(self, probe_size=(0.0, jnp.inf))

    def __call__(
        self, synapses: Synapses, signals: LossSignals, key: Key[Array, ""]
    ) -> Synapses:
        size = self.probe_size
        width = 2 * jnp.where(size == 0, 1.0, size)  # no probe, no change

        def probe(key: Key[Array, ""]) -> Synapses:
            direction = tree_unit(normal_like(key, synapses))
            step = tree_scale(size, direction)
            ahead = jax.tree.map(jnp.add, synapses, step)
            behind = jax.tree.map(jnp.subtract, synapses, step)
            slope = (signals.loss_at(ahead) - signals.loss_at(behind)) / width
            return tree_scale(-tree_size(synapses) * slope, direction)

        estimates = jax.vmap(probe)(jr.split(key, self.probes))
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), estimates)


class AcceptOnly(AbstractRule):
    """A random step of length `magnitude`, kept only if it lowers the loss, else 0.

    The acceptance has no useful gradient. NaN where one of the losses is.

    Reads `loss` and `loss_at`. Synapses: any pytree.
    """

    magnitude: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, magnitude=(0.0, jnp.inf))

    def __call__(
        self, synapses: Synapses, signals: LossSignals, key: Key[Array, ""]
    ) -> Synapses:
        step = tree_scale(self.magnitude, tree_unit(normal_like(key, synapses)))
        tried = signals.loss_at(jax.tree.map(jnp.add, synapses, step))
        kept = jnp.where(tried < signals.loss, 1.0, 0.0)
        lost = jnp.isnan(tried) | jnp.isnan(signals.loss)
        return tree_scale(jnp.where(lost, jnp.nan, kept), step)
