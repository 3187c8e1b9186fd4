"""Synapses that never stop changing, what restrains them, and rate-based STDP."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._arguments import check_stable, real, require, stable
from .._interfaces import AbstractRule, AbstractSignals, Scalar, Synapses
from ..numerics import normal_like, tree_scale
from ..signals import RateSignals


Matrix = Float[Array, "n n"]
Vector = Float[Array, " n"]
Rng = Key[Array, ""]
Targets = Float[Array, "*#n"]


class Wiener(AbstractRule):
    """Independent Brownian increments: variance `dt` per synapse and step.

    Reads `dt`. Synapses: any pytree.

    >>> w, key = jnp.zeros(10_000), jr.key(0)
    >>> _, seen = circuits.Resting(dt=0.25)(None, w, None, key)
    >>> print(f"{Wiener()(w, seen, key).std():.1f}")  # the root of dt
    0.5
    """

    def __call__(
        self, synapses: Synapses, signals: AbstractSignals, key: Rng
    ) -> Synapses:
        return tree_scale(jnp.sqrt(signals.dt), normal_like(key, synapses))


class Dissipation(AbstractRule):
    r"""Decay of every synapse, $\dot W = -\beta W$, whatever the activity.

    Susman et al. 2019, Eq. 2. From $\beta\,dt = 2$ on, steps make synapses grow:
    `ValueError`, or NaN inside a compiled program; also in `Scaled`, where the product
    may stand as `rate`. A factor that makes it so is refused where it is concrete
    (`Scaled`, `Scheduled`).

    Reads `dt`. Synapses: any pytree.

    >>> w, key = jnp.array([1.0, 2.0, -2.0]), jr.key(0)
    >>> _, seen = circuits.Resting(1.0)(None, w, None, key)
    >>> Dissipation(0.5)(w, seen, key).tolist()
    [-0.5, -1.0, 1.0]
    """

    rate: Scalar = eqx.field(converter=real)  # beta

    def __check_init__(self) -> None:
        require(self, rate=(0.0, jnp.inf))

    def check(self, circuit: Any) -> None:
        check_stable("rate", self.rate, getattr(circuit, "dt", None))

    def __call__(
        self, synapses: Synapses, signals: AbstractSignals, key: Rng
    ) -> Synapses:
        return tree_scale(-stable("rate", signals.dt * self.rate), synapses)


class _AbstractRateControl(AbstractRule):
    target: Targets = eqx.field(converter=real)

    def error(self, rate: Vector) -> Vector:
        """How far the rates are below their targets."""
        if rate.ndim != 1:
            raise ValueError(
                f"what is controlled must be a rate for each neuron; got the shape "
                f"{rate.shape}."
            )
        if self.target.shape not in ((), rate.shape):
            raise ValueError(
                f"`target` must be one rate, or one for each of {len(rate)} neurons; "
                f"got the shape {self.target.shape}."
            )
        return self.target - rate


class RateControl(_AbstractRateControl):
    r"""Presynaptic input corrects the rate, $\dot W = (\phi_0 - r)(r^\top W)$.

    `target` is $\phi_0$, a rate or one per neuron. The product with the row vector
    $r^\top W$ is that of the published code; the printed, element-wise rule diverges
    (`ElementwiseRateControl`). Raises `ValueError` for targets of another shape, as do
    its siblings.

    Susman et al. 2019, Eq. 3, as their code has it.
    Reads `rate` and `dt`. Synapses (post, pre).

    >>> w, r, key = jnp.eye(2), jnp.array([1.0, 2.0]), jr.key(0)
    >>> network = circuits.RateNetwork(1.0, transfer=circuits.linear)
    >>> _, seen = network(network.at(r), w, jnp.zeros(2), key)
    >>> RateControl(3.0)(w, seen, key).tolist()  # errors are 2 and 1
    [[2.0, 4.0], [1.0, 2.0]]
    """

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        rate = signals.rate
        return jnp.outer(signals.dt * self.error(rate), rate @ synapses)


class ElementwiseRateControl(_AbstractRateControl):
    r"""Rate control as printed, $\dot W = (\phi_0 - r) r^\top \circ W$.

    Susman et al. 2019, Eq. 3. An ablation: with signed rates the change of $W\phi$ that
    it makes has nothing to do with the error, and the weights diverge.

    Reads `rate` and `dt`. Synapses (post, pre).

    >>> w, r, key = jnp.eye(2), jnp.array([1.0, 2.0]), jr.key(0)
    >>> network = circuits.RateNetwork(1.0, transfer=circuits.linear)
    >>> _, seen = network(network.at(r), w, jnp.zeros(2), key)
    >>> ElementwiseRateControl(3.0)(w, seen, key).tolist()  # errors are 2 and 1
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        rate = signals.rate
        return jnp.outer(signals.dt * self.error(rate), rate) * synapses


class UnweightedRateControl(_AbstractRateControl):
    r"""$\dot W = (\phi_0 - r)(\mathbf 1^\top W)$: all presynaptic neurons count alike.

    A control of the published code's history (Susman et al. 2019).

    Reads `rate` and `dt`. Synapses (post, pre).

    >>> w, r, key = jnp.eye(2), jnp.array([1.0, 2.0]), jr.key(0)
    >>> network = circuits.RateNetwork(1.0, transfer=circuits.linear)
    >>> _, seen = network(network.at(r), w, jnp.zeros(2), key)
    >>> UnweightedRateControl(3.0)(w, seen, key).tolist()  # errors are 2 and 1
    [[2.0, 2.0], [1.0, 1.0]]
    """

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        error = self.error(signals.rate)
        return jnp.outer(signals.dt * error, jnp.sum(synapses, axis=0))


class AverageScaling(AbstractRule):
    r"""$\dot W = (1 - r^\top r/\sqrt N) W$: one factor for the whole network.

    A control of the published code's history (Susman et al. 2019).

    Reads `rate` and `dt`. Synapses (post, pre).

    >>> w, key = jnp.eye(4), jr.key(0)
    >>> network = circuits.RateNetwork(1.0, transfer=circuits.linear)
    >>> _, seen = network(network.at(jnp.full(4, 0.5)), w, jnp.zeros(4), key)
    >>> AverageScaling()(w, seen, key)[0].tolist()  # the sum of squares is 1
    [0.5, 0.0, 0.0, 0.0]
    """

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        activity = signals.rate @ signals.rate / len(signals.rate) ** 0.5
        return signals.dt * (1 - activity) * synapses


class AdditiveRateControl(_AbstractRateControl):
    r"""$\dot W = (\phi_0 - \bar r)\mathbf 1^\top$, $\bar r$ the low-passed rate.

    A control of the published code's history (Susman et al. 2019).

    Reads `early_trace` and `dt`. Synapses (post, pre).

    >>> w, r, key = jnp.eye(2), jnp.array([1.0, 2.0]), jr.key(0)
    >>> network = circuits.RateNetwork(1.0, trace_time=1.0, transfer=circuits.linear)
    >>> _, seen = network(network.at(r), w, jnp.zeros(2), key)
    >>> AdditiveRateControl(3.0)(w, seen, key).tolist()  # errors are 2 and 1
    [[2.0, 2.0], [1.0, 1.0]]
    """

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        error = self.error(signals.early_trace)
        return jnp.broadcast_to(signals.dt * error[:, None], synapses.shape)


class Decorrelation(AbstractRule):
    r"""Anti-Hebbian: $\dot W = B\,\mathbf I - \tanh(cx)\tanh(x)^\top$.

    `strength` is $B$, `gain` is $c$ (Susman et al. 2019, Eq. 4). With $c = 1$ the
    anti-symmetric part of $W$ is conserved exactly; the published code has $c = 0.9005$
    (erosion) and 0.5025 (learning), the fixed point of its filter
    (`FilteredDecorrelation`).

    Reads `potential` and `dt`. Synapses (post, pre).

    >>> w, x, dt = jnp.eye(2), jnp.array([99.0, -99.0]), jnp.array(1.0)
    >>> seen = signals.RateSignals(dt, jnp.tanh(x), x, x, x, x)
    >>> Decorrelation(0.5)(w, seen, jr.key(0)).tolist()  # opposites come to excite
    [[-0.5, 1.0], [1.0, -0.5]]
    """

    strength: Scalar = eqx.field(default=0.5, converter=real)
    gain: Scalar = eqx.field(default=0.9, converter=real)

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        post = self.gain * signals.potential
        return _decorrelated(self.strength, post, signals, synapses)


class FilteredDecorrelation(AbstractRule):
    r"""Decorrelation with $\tanh(x - \bar x)$ on the postsynaptic side.

    $\bar x$ is the circuit's filtered potential: the recursion of the published code
    (`RateNetwork(keep=-dt/tau, inflow=dt/(epsilon tau))`) is statistically the same as
    `Decorrelation`; a true low-pass (`keep=1-dt/tau, inflow=dt/tau`) does not restrain
    $W$, since a constant mode has $x - \bar x \to 0$ and escapes.

    Susman et al. 2019, Eq. 4, with its filter.
    Reads `potential`, `average` and `dt`. Synapses (post, pre).

    >>> w, x, dt = jnp.eye(2), jnp.array([99.0, -99.0]), jnp.array(1.0)
    >>> seen = signals.RateSignals(dt, jnp.tanh(x), x, x, x, x)
    >>> rule = FilteredDecorrelation(0.5)
    >>> rule(w, seen, jr.key(0)).tolist()  # where the average is x, nothing restrains
    [[0.5, 0.0], [0.0, 0.5]]
    """

    strength: Scalar = eqx.field(default=0.5, converter=real)

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        post = signals.potential - signals.average
        return _decorrelated(self.strength, post, signals, synapses)


def _decorrelated(
    strength: Scalar, post: Vector, signals: RateSignals, synapses: Matrix
) -> Matrix:
    identity = jnp.eye(len(post), dtype=synapses.dtype)
    hebb = jnp.outer(jnp.tanh(post), jnp.tanh(signals.potential))
    return signals.dt * (strength * identity - hebb)


class AntisymmetricHebb(AbstractRule):
    r"""Odd timing window: $\dot W = \phi y^\top - y\phi^\top$, anti-symmetric always.

    $y$ is the low-passed rate; for slow activity the change is $\tau_y(\dot\phi
    \phi^\top - \phi\dot\phi^\top)$, so activity that moves in a plane writes a pair of
    imaginary eigenvalues.

    Susman et al. 2019, Eq. 5.
    Reads `rate`, `early_trace` and `dt`. Synapses (post, pre).

    >>> w, now, before = jnp.eye(2), jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])
    >>> dt, key = jnp.array(1.0), jr.key(0)
    >>> seen = signals.RateSignals(dt, now, now, now, before, before)
    >>> AntisymmetricHebb()(w, seen, key).tolist()  # what comes later is reached
    [[0.0, -2.0], [2.0, 0.0]]
    """

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        forward = jnp.outer(signals.dt * signals.rate, signals.early_trace)
        backward = jnp.outer(signals.early_trace, signals.dt * signals.rate)
        return forward - backward


class PairSTDP(AbstractRule):
    r"""Both windows of a pair rule: $\dot W = a_+\phi y_+^\top - a_- y_-\phi^\top$.

    Mean drift of $A_+e^{-s/\tau_+}$ where pre precedes post by $s$ and
    $-A_-e^{-s/\tau_-}$ where it follows, for independent Poisson spikes with slowly
    varying rates; `potentiation` $a_+ = A_+\tau_+$, `depression` $a_- = A_-\tau_-$ are
    the windows' areas, $\tau_\pm$ the time constants of the circuit's traces. Equal
    areas and time constants give `AntisymmetricHebb`.

    Susman et al. 2019, Eq. 5.
    Reads `rate`, `early_trace`, `late_trace` and `dt`. Synapses (post, pre).

    >>> w, now, before = jnp.eye(2), jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])
    >>> dt, key = jnp.array(1.0), jr.key(0)
    >>> seen = signals.RateSignals(dt, now, now, now, before, before)
    >>> PairSTDP(1.0, 1.0)(w, seen, key).tolist()  # of equal areas: anti-symmetric
    [[0.0, -2.0], [2.0, 0.0]]
    """

    potentiation: Scalar = eqx.field(converter=real)
    depression: Scalar = eqx.field(converter=real)

    def __call__(self, synapses: Matrix, signals: RateSignals, key: Rng) -> Matrix:
        rate = signals.dt * signals.rate
        forward = jnp.outer(self.potentiation * rate, signals.early_trace)
        return forward - jnp.outer(self.depression * signals.late_trace, rate)
