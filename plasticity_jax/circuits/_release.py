"""Networks whose weights are drawn anew at every step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._interfaces import AbstractCircuit, real, Scalar
from .._release import Release, Stochastic
from .._signals import PosteriorSignals, ReleaseSignals
from .._trees import normal_like


Loss = Callable[[Any, Any], Scalar]


class StochasticNetwork(AbstractCircuit):
    r"""A network of synapses that release or not, one draw a step.

    `loss(weights, stimulus)` is that of the realised weights $w = r\bar w/d$, a mean
    over the stimulus' samples, all of which see the same draw (Schug et al. 2021,
    Eqs. 1 and 2). Synapses are `Stochastic`.
    """

    loss: Loss
    release: Release = Release()
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __call__(
        self, activity: None, synapses: Stochastic, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, ReleaseSignals]:
        gates = self.release.gates(synapses.probability, key)
        weights = jax.tree.map(jnp.multiply, synapses.strength, gates)
        loss, slope = jax.value_and_grad(self.loss)(weights, stimulus)
        gradient = jax.tree.map(jnp.multiply, slope, gates)
        return activity, ReleaseSignals(self.dt, loss, gradient, gates)


class PosteriorNetwork(AbstractCircuit):
    r"""A network of Gaussian weights $\theta = \mu + \sigma\epsilon$, drawn each step.

    Synapses are a mapping of `mean` and `deviation`, two trees alike. `loss(weights,
    stimulus)` is a mean over samples; signals are those of its sum over the `samples`
    of a stimulus, averaged over `draws` networks (Zeno et al. 2018, arXiv 1803.10123).
    """

    loss: Loss
    samples: Scalar = eqx.field(converter=real)
    draws: int = eqx.field(default=10, static=True)
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        if self.draws < 1:
            raise ValueError(f"`draws` must be at least 1; got {self.draws}.")

    def __call__(
        self,
        activity: None,
        synapses: dict[str, Any],
        stimulus: Any,
        key: Key[Array, ""],
    ) -> tuple[None, PosteriorSignals]:
        mean, deviation = synapses["mean"], synapses["deviation"]

        def draw(totals: tuple[Any, Any, Any], key: Key[Array, ""]) -> tuple[Any, None]:
            noise = normal_like(key, mean)
            weights = jax.tree.map(lambda m, s, e: m + s * e, mean, deviation, noise)
            loss, gradient = jax.value_and_grad(self.loss)(weights, stimulus)
            product = jax.tree.map(jnp.multiply, gradient, noise)
            return jax.tree.map(jnp.add, totals, (loss, gradient, product)), None

        still = jax.tree.map(jnp.zeros_like, mean)
        start = (jnp.zeros_like(self.samples), still, still)
        totals, _ = jax.lax.scan(draw, start, jr.split(key, self.draws))
        scale = self.samples / self.draws
        loss, first, second = jax.tree.map(lambda total: scale * total, totals)
        return activity, PosteriorSignals(self.dt, loss, first, second)
