"""Spike-timing-dependent plasticity in rate form (Susman et al. 2019, Eq. 5)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._arguments import real
from .._interfaces import AbstractRule, Scalar
from ..signals import RateSignals


Matrix = Float[Array, "n n"]


class AntisymmetricHebb(AbstractRule):
    r"""Odd timing window: $\dot W = \phi y^\top - y\phi^\top$, anti-symmetric always.

    $y$ is the low-passed rate; for slow activity the change is $\tau_y(\dot\phi
    \phi^\top - \phi\dot\phi^\top)$, so activity that moves in a plane writes a pair of
    imaginary eigenvalues.

    Reads `rate`, `early_trace` and `dt`. Synapses (post, pre).
    """

    def __call__(
        self, synapses: Matrix, signals: RateSignals, key: Key[Array, ""]
    ) -> Matrix:
        del synapses, key
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

    Reads `rate`, `early_trace`, `late_trace` and `dt`. Synapses (post, pre).
    """

    potentiation: Scalar = eqx.field(converter=real)
    depression: Scalar = eqx.field(converter=real)

    def __call__(
        self, synapses: Matrix, signals: RateSignals, key: Key[Array, ""]
    ) -> Matrix:
        del synapses, key
        rate = signals.dt * signals.rate
        forward = jnp.outer(self.potentiation * rate, signals.early_trace)
        return forward - jnp.outer(self.depression * signals.late_trace, rate)
