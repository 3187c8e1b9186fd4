"""Networks whose weights are drawn anew at every step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._arguments import check_takes, counted, fitted, real, require, shape_of
from .._interfaces import AbstractCircuit, Scalar
from ..numerics import masked, normal_like, tree_scale
from ..signals import PosteriorSignals, ReleaseSignals
from ..synapses._release import Release, Stochastic
from ._loss import one_number


Loss = Callable[[Any, Any], Scalar]


class StochasticNetwork(AbstractCircuit):
    r"""A network of synapses that release or not, one draw a step.

    `loss(weights, stimulus)` is that of the realised weights $w = r\bar w/d$, a mean
    over the stimulus' samples, all of which see the same draw (Schug et al. 2021,
    Eqs. 1 and 2). Synapses are `Stochastic`; a closed gate sends nothing and learns
    nothing. Raises `ValueError` for a loss that is not one number.

    Offers `ReleaseSignals`. The stimulus is what `loss` takes and the activity is
    `None`.

    >>> network = StochasticNetwork(lambda w, x: w @ w / 2)
    >>> w = synapses.Stochastic(jnp.array([1.0, 2.0, 2.0]), jnp.full(3, 0.5))
    >>> seen = network.signals(w, None, gates=jnp.array([0.0, 2.0, 2.0]))
    >>> float(seen.loss), seen.gradient.tolist()  # the closed one learns nothing
    (16.0, [0.0, 8.0, 8.0])
    """

    loss: Loss
    release: Release = Release()
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        check_takes("loss", self.loss, "weights", "stimulus")

    def __call__(
        self, activity: None, synapses: Stochastic, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, ReleaseSignals]:
        gates = self.release.gates(synapses.probability, key)
        return activity, self.signals(synapses, stimulus, gates)

    def signals(
        self, synapses: Stochastic, stimulus: Any, gates: Any
    ) -> ReleaseSignals:
        """What is offered with given gates, such as `release.gates_of(...)`.

        A tree like the strengths.
        """
        weights = jax.tree.map(masked, gates, synapses.strength)
        loss_at = lambda weights: one_number(self.loss(weights, stimulus))
        loss, slope = jax.value_and_grad(loss_at)(weights)
        gradient = jax.tree.map(masked, gates, slope)
        return ReleaseSignals(self.dt, loss, gradient, gates)


class PosteriorNetwork(AbstractCircuit):
    r"""A network of Gaussian weights $\theta = \mu + \sigma\epsilon$, drawn each step.

    Synapses are a mapping of `mean` and `deviation`, two trees alike. `loss(weights,
    stimulus)` is a mean over samples; signals are those of its sum over the `samples`
    of a stimulus, averaged over `draws` networks (Zeno et al. 2018, arXiv 1803.10123).
    Raises `ValueError` unless the two trees are alike and the loss is one number.

    Offers `PosteriorSignals`. The stimulus is what `loss` takes and the activity is
    `None`.

    >>> network = PosteriorNetwork(lambda w, x: w @ w / 2, samples=10.0)
    >>> w = {"mean": jnp.array([1.0, 2.0, 2.0]), "deviation": jnp.zeros(3)}
    >>> _, seen = network(None, w, None, jr.key(0))
    >>> seen.gradient.tolist()  # of a sum over ten samples
    [10.0, 20.0, 20.0]
    """

    loss: Loss
    samples: Scalar = eqx.field(converter=real)
    draws: int = eqx.field(default=10, static=True, converter=counted("draws"))
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        check_takes("loss", self.loss, "weights", "stimulus")
        require(self, samples=(0.0, jnp.inf))

    def __call__(
        self,
        activity: None,
        synapses: dict[str, Any],
        stimulus: Any,
        key: Key[Array, ""],
    ) -> tuple[None, PosteriorSignals]:
        if set(synapses) != {"mean", "deviation"}:
            raise ValueError(
                "`synapses` must map `mean` and `deviation` to weights; got "
                f"{shape_of(synapses)}."
            )
        noise = lambda key: normal_like(key, synapses["mean"])
        keys = jr.split(key, self.draws)
        return activity, self._signals(synapses, stimulus, keys, noise)

    def signals(
        self, synapses: dict[str, Any], stimulus: Any, noise: Any
    ) -> PosteriorSignals:
        r"""What is offered with given $\epsilon$: the mean's tree, (draw, ...)."""
        return self._signals(synapses, stimulus, noise, lambda noise: noise)

    def _signals(
        self,
        synapses: dict[str, Any],
        stimulus: Any,
        draws: Any,
        noise_of: Callable[[Any], Any],
    ) -> PosteriorSignals:
        mean, count = synapses["mean"], len(jax.tree.leaves(draws)[0])
        deviation = fitted("`deviation`", synapses["deviation"], mean, "`mean`")
        loss_at = lambda weights: one_number(self.loss(weights, stimulus))

        def draw(totals: tuple[Any, Any, Any], drawn: Any) -> tuple[Any, None]:
            noise = noise_of(drawn)
            weights = jax.tree.map(lambda m, s, e: m + s * e, mean, deviation, noise)
            loss, gradient = jax.value_and_grad(loss_at)(weights)
            product = jax.tree.map(jnp.multiply, gradient, noise)
            loss = jnp.asarray(loss, self.samples.dtype)
            return jax.tree.map(jnp.add, totals, (loss, gradient, product)), None

        still = jax.tree.map(jnp.zeros_like, mean)
        start = (jnp.zeros_like(self.samples), still, still)
        totals, _ = jax.lax.scan(draw, start, draws)
        loss, first, second = tree_scale(self.samples / count, totals)
        return PosteriorSignals(self.dt, loss, first, second)
