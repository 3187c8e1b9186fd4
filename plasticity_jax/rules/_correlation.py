"""Rules of correlation on rates: Hebb and what keeps him in bounds."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import real, require
from .._interfaces import AbstractRule, AbstractTrace, Scalar
from ..numerics import ratio
from ..signals import LayerSignals
from ..traces import LowPass, SOME_TIME


Matrix = Float[Array, "post pre"]


class _RateRule(AbstractRule):
    """A rule with a learning rate."""

    rate: Scalar = eqx.field(default=0.01, converter=real)

    def __check_init__(self) -> None:
        require(self, rate=(-np.inf, np.inf))


class Hebb(_RateRule):
    r"""$\dot W = \eta\, y x^\top$ (Hebb 1949).

    The mean drift is $WC$, $C$ the inputs' second moment: along each eigenvector of $C$
    the weights grow exponentially.
    Reads `pre`, `post` and `dt`. Synapses (post, pre).

    >>> w, x, key = jnp.ones((2, 3)), jnp.array([1.0, 0.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, x, key)
    >>> Hebb(0.5)(w, seen, key).tolist()  # both rates are 3
    [[1.5, 0.0, 3.0], [1.5, 0.0, 3.0]]
    """

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        return jnp.outer(signals.dt * self.rate * signals.post, signals.pre)


class Covariance(_RateRule):
    r"""$\dot W = \eta (y - \bar y)(x - \bar x)^\top$ (Sejnowski 1977).

    The means are running ones of time constant `time`, read before they move: the drift
    is that of the exact covariance times $2/(2 - a)$, $a = 1 - e^{-dt/\tau}$.
    Reads `pre`, `post`, `dt` and a trace of both. Synapses (post, pre).

    >>> w, x, key = jnp.ones((2, 3)), jnp.array([1.0, 0.0, 2.0]), jr.key(0)
    >>> rule = Covariance(0.5, time=1e-3)  # means that follow at once
    >>> system = System(tasks.Constant(x), circuits.Layer(), {"covariance": rule})
    >>> state, _ = simulate(system, system.start(w, key), key, steps=9)
    >>> state.synapses[0].tolist()  # moved by the first step only: then nothing varies
    [2.5, 1.0, 4.0]
    """

    time: Scalar = eqx.field(default=100.0, converter=real)

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME)

    def traces(self) -> dict[str, AbstractTrace]:
        return {"mean": LowPass(self.time, lambda s: (s.post, s.pre))}

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        post, pre = signals.traces["mean"]
        away = signals.post - post
        return jnp.outer(signals.dt * self.rate * away, signals.pre - pre)


class Oja(_RateRule):
    r"""$\dot w = \eta\, y (x - y w)$: the leading eigenvector (Oja 1982).

    Each row by itself; all converge to the same vector of length 1, stable below
    $\eta = 1/\lambda_1$, at a rate of the gap between eigenvalues.
    Reads `pre`, `post` and `dt`. Synapses (post, pre).

    >>> w, key = jnp.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, jnp.array([1.0, 0.0, 0.0]), key)
    >>> Oja(0.125)(w, seen, key).tolist()  # of length 1 it rests, else it shrinks
    [[0.0, 0.0, 0.0], [-0.75, 0.0, 0.0]]
    """

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        y = signals.post[:, None]
        return signals.dt * self.rate * y * (signals.pre[None] - y * synapses)


class Sanger(_RateRule):
    r"""$\dot W = \eta (yx^\top - \mathrm{LT}(yy^\top) W)$: eigenvectors in order.

    The generalised Hebbian algorithm (Sanger 1989): LT keeps the lower triangle, so a
    neuron is orthogonalised to those before it. With `subspace` the whole $yy^\top$
    stays (Oja 1989): the subspace of the leading eigenvectors, in no particular axes.
    Reads `pre`, `post` and `dt`. Synapses (post, pre).

    >>> w, key = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), jr.key(0)
    >>> _, seen = circuits.Layer()(None, w, jnp.array([1.0, 0.0, 0.0]), key)
    >>> Sanger(0.5)(w, seen, key).tolist()  # the second row leaves the first's axis
    [[0.0, 0.0, 0.0], [-0.5, 0.0, 0.0]]
    """

    subspace: bool = eqx.field(default=False, static=True)

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        square = jnp.outer(signals.post, signals.post)
        square = square if self.subspace else jnp.tril(square)
        hebb = jnp.outer(signals.post, signals.pre)
        return signals.dt * self.rate * (hebb - square @ synapses)


class BCM(_RateRule):
    r"""$\dot W = \eta\, y(y - \theta) f'(h) x^\top$, $\theta$ a running mean of $y^2$.

    Intrator & Cooper 1992; with `normalised` divided by $\theta$ (Law & Cooper 1994).
    A neuron becomes selective: of orthogonal patterns with probabilities $p_i$ it ends
    with $y_k = \theta = 1/p_k$ for one of them. `time` is $\tau$ of the threshold,
    which is read before it moves; it must be long against the presentation of all
    patterns, and below $1/(\eta |x|^2)$, or the fixed point oscillates.
    Reads `pre`, `post`, `slope`, `dt` and a trace of `post`. Synapses (post, pre).

    >>> w, x = jnp.array([[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]]), jnp.ones(3)
    >>> rule = BCM(0.125, first=1.5)  # the threshold is between the rates, 1 and 2
    >>> system = System(tasks.Constant(x), circuits.Layer(), {"bcm": rule})
    >>> state, _ = simulate(system, system.start(w, jr.key(0)), jr.key(0), steps=1)
    >>> (state.synapses @ x).tolist()
    [0.8125, 2.375]
    """

    rate: Scalar = eqx.field(default=1e-3, converter=real)
    time: Scalar = eqx.field(default=50.0, converter=real)
    first: Scalar = eqx.field(default=0.0, converter=real)  # the threshold at the start
    normalised: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME, first=(0.0, np.inf))

    def traces(self) -> dict[str, AbstractTrace]:
        return {"threshold": LowPass(self.time, lambda s: s.post**2, self.first)}

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        y, threshold = signals.post, signals.traces["threshold"]
        phi = y * (y - threshold) * signals.slope
        phi = ratio(phi, threshold) if self.normalised else phi
        return jnp.outer(signals.dt * self.rate * phi, signals.pre)
