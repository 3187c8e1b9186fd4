"""Rules of several layers: how the output's error reaches those below."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import check_kind, check_stable, fitted, real, require, stable
from .._interfaces import AbstractRule, Scalar
from ..signals import EquilibriumSignals, LayeredSignals, PredictiveSignals
from ..synapses import Reciprocal
from ._correlation import _RateRule


Matrices = tuple[Float[Array, "_ _"], ...]
Vectors = tuple[Float[Array, " _"], ...]


def _output(signals: LayeredSignals) -> Array:
    r"""$\delta_L = f'_L \odot (t - y)$."""
    return signals.slopes[-1] * signals.error


def _errors(last: Array, slopes: Vectors, feedback: Matrices) -> Vectors:
    r"""$\delta_l = f'_l \odot B_l\delta_{l+1}$, from the last layer down."""
    errors = [last]
    for slope, back in zip(slopes[-2::-1], feedback[::-1], strict=True):
        errors.append(slope * (back @ errors[-1]))
    return tuple(errors[::-1])


def _outer(scale: Scalar, errors: Vectors, inputs: Vectors) -> Matrices:
    return tuple(jnp.outer(scale * e, x) for e, x in zip(errors, inputs, strict=True))


class Backpropagation(_RateRule):
    r"""$\dot W_l = \eta\,\delta_l y_{l-1}^\top$, the gradient's descent.

    Rumelhart, Hinton & Williams 1986: $\delta_L = f' \odot (t - y)$, and through the
    forward weights $\delta_l = f' \odot W_{l+1}^\top\delta_{l+1}$. It descends
    $\frac12|t - y|^2$.
    Reads `inputs`, `slopes`, `error` and `dt`. Synapses: a tuple of (post, pre).

    >>> w, x = (jnp.ones((2, 3)), jnp.ones((1, 2))), jnp.array([1.0, 0.0, 2.0])
    >>> network, shown = circuits.LayeredNetwork(circuits.linear), jnp.array([7.0])
    >>> _, seen = network(None, w, {"pre": x, "target": shown}, jr.key(0))
    >>> Backpropagation(0.5)(w, seen, jr.key(0))[0].tolist()  # the output is 6
    [[0.5, 0.0, 1.0], [0.5, 0.0, 1.0]]
    """

    def __call__(
        self, synapses: Matrices, signals: LayeredSignals, key: Key[Array, ""]
    ) -> Matrices:
        last = _output(signals)
        errors = _errors(last, signals.slopes, tuple(w.T for w in synapses[1:]))
        return _outer(signals.dt * self.rate, errors, signals.inputs)


class FeedbackAlignment(AbstractRule):
    r"""Backpropagation through fixed weights: $\delta_l = f' \odot B_l\delta_{l+1}$.

    Lillicrap et al. 2016, doi 10.1038/ncomms13276. `feedback` are matrices $B_l$ for
    all layers but the last, random, each shaped like $W_{l+1}^\top$. With `direct` the
    output's error goes to each layer, $\delta_l = f' \odot B_l\delta_L$ (Nøkland 2016),
    and each has as many columns as there are outputs. The forward weights come to align
    with the feedback, to below a right angle but not to none. Raises `ValueError` for
    feedback of other shapes.
    Reads `inputs`, `slopes`, `error` and `dt`. Synapses: a tuple of (post, pre).

    >>> w, x = (jnp.ones((2, 3)), jnp.ones((1, 2))), jnp.array([1.0, 0.0, 2.0])
    >>> network, shown = circuits.LayeredNetwork(circuits.linear), jnp.array([7.0])
    >>> _, seen = network(None, w, {"pre": x, "target": shown}, jr.key(0))
    >>> rule = FeedbackAlignment((jnp.array([[1.0], [2.0]]),), 0.5)  # neurons are told
    >>> rule(w, seen, jr.key(0))[0].tolist()  # the same error of 1, one and two times
    [[0.5, 0.0, 1.0], [1.0, 0.0, 2.0]]
    """

    feedback: Matrices
    rate: Scalar = eqx.field(default=0.01, converter=real)
    direct: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require(self, rate=(-np.inf, np.inf))

    def __call__(
        self, synapses: Matrices, signals: LayeredSignals, key: Key[Array, ""]
    ) -> Matrices:
        last = _output(signals)
        widths = [len(slope) for slope in signals.slopes]
        above = widths[-1:] * len(widths[1:]) if self.direct else widths[1:]
        shapes = zip(widths[:-1], above, strict=True)
        like = tuple(jnp.zeros(shape, last.dtype) for shape in shapes)
        back = fitted("`feedback`", self.feedback, like, "weights from above")
        if self.direct:
            below = zip(signals.slopes[:-1], back, strict=True)
            errors = (*(slope * (b @ last) for slope, b in below), last)
        else:
            errors = _errors(last, signals.slopes, back)
        return _outer(signals.dt * self.rate, errors, signals.inputs)


class KolenPollack(_RateRule):
    r"""Feedback alignment with feedback that learns what the forward weights learn.

    $\dot W_{l+1} = \eta\,\delta_{l+1}y_l^\top - \lambda W_{l+1}$; $\dot B_l$ is that
    transposed, but for its own decay. What they differ by is multiplied by $1 -
    \lambda dt$ at every step, whatever the data, and the rule becomes backpropagation
    (Kolen & Pollack 1994; Akrout et al. 2019). The first layer decays too. Refuses a
    `decay` that steps make unstable.
    Reads `inputs`, `slopes`, `error` and `dt`. Synapses: `Reciprocal`.

    >>> up, down = (jnp.ones((2, 3)), jnp.ones((1, 2))), (jnp.full((2, 1), 3.0),)
    >>> w, x = synapses.Reciprocal(up, down), {"pre": up[0][0], "target": jnp.ones(1)}
    >>> _, seen = circuits.LayeredNetwork()(None, w, x, jr.key(0))
    >>> change = KolenPollack(decay=0.5)(w, seen, jr.key(0))  # they differ by 2
    >>> np.array(change.feedback[0] - change.forward[1].T).round(3).tolist()
    [[-1.0], [-1.0]]
    """

    decay: Scalar = eqx.field(default=1e-3, converter=real)

    def __check_init__(self) -> None:
        require(self, decay=(0.0, np.inf))

    def check(self, circuit: Any) -> None:
        check_stable("decay", self.decay, getattr(circuit, "dt", None))

    def __call__(
        self, synapses: Reciprocal, signals: LayeredSignals, key: Key[Array, ""]
    ) -> Reciprocal:
        last = _output(signals)
        check_kind("`synapses`", synapses, Reciprocal)
        errors = _errors(last, signals.slopes, synapses.feedback)
        up = _outer(signals.dt * self.rate, errors, signals.inputs)
        drive = Reciprocal(up, tuple(g.T for g in up[1:]))
        lost = stable("decay", signals.dt * self.decay)
        return jax.tree.map(lambda g, w: g - lost * w, drive, synapses)


class PredictiveCoding(_RateRule):
    r"""$\dot W_l = \eta\,\epsilon_l f(x_{l-1})^\top$: each layer by its own error.

    Whittington & Bogacz 2017, doi 10.1162/NECO_a_00949. Where the output is nudged by
    $\beta \to 0$ it is $\beta$ times backpropagation, up to a share $O(\beta)$;
    clamped, $\beta = 1$, it is not, even for small errors.
    Reads `inputs`, `errors` and `dt`. Synapses: a tuple of (post, pre).

    >>> w, shown = (jnp.ones((2, 3)), jnp.ones((1, 2))), jnp.array([7.0])
    >>> network = circuits.PredictiveNetwork(transfer=jnp.positive, inference="timed")
    >>> _, seen = network(None, w, {"pre": jnp.ones(3), "target": shown}, jr.key(0))
    >>> PredictiveCoding(0.5)(w, seen, jr.key(0))[0].tolist()  # as backpropagation
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """

    def __call__(
        self, synapses: Matrices, signals: PredictiveSignals, key: Key[Array, ""]
    ) -> Matrices:
        return _outer(signals.dt * self.rate, signals.errors, signals.inputs)


class EquilibriumPropagation(_RateRule):
    r"""$\dot W_l = \frac\eta\beta [\rho_l\rho_{l-1}^\top]$, nudged less reference.

    Scellier & Bengio 2017, doi 10.3389/fncom.2017.00024. Where both phases settle it
    tends to the descent of the settled network's $\frac12|t - y|^2$: to order $\beta$
    against the free phase, $\beta^2$ against one nudged the other way (Laborieux et al.
    2021, doi 10.3389/fnins.2021.633674).
    Reads `reference`, `nudged`, `contrast` and `dt`. Synapses: a tuple of (post, pre).

    >>> w, x = (jnp.ones((1, 3)),), jnp.array([1.0, 0.0, 2.0])
    >>> network = circuits.EquilibriumNetwork(nudge=1.0, transfer=circuits.linear)
    >>> _, seen = network(None, w, {"pre": x, "target": jnp.array([5.0])}, jr.key(0))
    >>> change = EquilibriumPropagation(1.0)(w, seen, jr.key(0))
    >>> print(np.array(change[0]).round(3))  # the output, 3, is nudged half-way to 5
    [[1. 0. 2.]]
    """

    def __call__(
        self, synapses: Matrices, signals: EquilibriumSignals, key: Key[Array, ""]
    ) -> Matrices:
        step = signals.dt * self.rate / signals.contrast
        pairs = lambda rates: _outer(step, rates[1:], rates[:-1])
        late, early = pairs(signals.nudged), pairs(signals.reference)
        return tuple(b - a for a, b in zip(early, late, strict=True))
