"""The shape of a synaptic potential, its moments and its exact propagation."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import floating, real, require
from .._interfaces import Scalar


Values = Float[Array, "*shape"]


class SynapticKernel(eqx.Module):
    r"""Difference of exponentials $\epsilon(t)$ (mV for one spike), $t$ in s.

    $\epsilon(t) = \frac{\epsilon_0}{\tau_m - \tau_s}(e^{-t/\tau_m} - e^{-t/\tau_s})$
    for $t > 0$ (Kreutzer et al. 2022, Eq. 28). Symmetric in the time constants and
    written without the difference of two exponentials, so that equal ones give their
    limit, the alpha function, with finite gradients.

    >>> kernel, t = SynapticKernel(), jnp.arange(2000.0) * 1e-4
    >>> print(f"{kernel(t).sum() * 1e-4:.3f}")  # mV s
    1.000
    """

    membrane_time: Scalar = eqx.field(default=0.010, converter=real)  # s
    synaptic_time: Scalar = eqx.field(default=0.003, converter=real)  # s
    area: Scalar = eqx.field(default=1.0, converter=real)  # mV s

    def __check_init__(self) -> None:
        positive = (1e-9, np.inf)
        require(self, membrane_time=positive, synaptic_time=positive, area=positive)

    @floating
    def __call__(self, time: Values) -> Values:
        slow = jnp.maximum(self.membrane_time, self.synaptic_time)
        fast = jnp.minimum(self.membrane_time, self.synaptic_time)
        after = jnp.maximum(time, 0.0)
        shape = after * jnp.exp(-after / slow) / (slow * fast)
        return self.area * shape * relative_exponential(after * (1 / slow - 1 / fast))

    @property
    def energy(self) -> Scalar:
        r"""$\int\epsilon^2 = 1/c_\epsilon = \epsilon_0^2/(2(\tau_m + \tau_s))$."""
        return self.area**2 / (2 * (self.membrane_time + self.synaptic_time))

    @property
    def skew(self) -> Scalar:
        r"""$\int\epsilon^3 = 2\epsilon_0^3/(3(\tau_m+2\tau_s)(2\tau_m+\tau_s))$."""
        m, s = self.membrane_time, self.synaptic_time
        return 2 * self.area**3 / (3 * (m + 2 * s) * (2 * m + s))

    @property
    def peak_time(self) -> Scalar:
        """Time of the maximum in s."""
        m, s = self.membrane_time, self.synaptic_time
        close = jnp.abs(m / s - 1) < 1e-4
        excess = jnp.where(close, 1.0, (m - s) / s)
        return jnp.where(close, jnp.sqrt(m * s), m * jnp.log1p(excess) / excess)

    @floating
    def propagator(self, dt: Scalar) -> tuple[Scalar, Scalar, Scalar]:
        r"""What moves a potential $x$ and its current $h$ over `dt`, exactly.

        $x \leftarrow p\, x + k\, h$, then $h \leftarrow p_s h +$ spikes, with $p$, $k$,
        $p_s$ as returned; a spike contributes nothing within its own bin.
        """
        m, s = self.membrane_time, self.synaptic_time
        slow, fast = jnp.maximum(m, s), jnp.minimum(m, s)
        drive = dt * jnp.exp(-dt / slow) / (slow * fast)
        drive = self.area * drive * relative_exponential(dt * (1 / slow - 1 / fast))
        return jnp.exp(-dt / m), drive, jnp.exp(-dt / s)


@floating
def relative_exponential(x: Values) -> Values:
    r"""$(e^x - 1)/x$, 1 at the origin, with finite gradients there.

    >>> x = jnp.array([0.0, 1.0])
    >>> print(np.array(relative_exponential(x)).round(3))  # 1, e - 1
    [1.    1.718]
    """
    small = jnp.abs(x) < 1e-3
    safe = jnp.where(small, 1.0, x)
    series = 1 + x / 2 * (1 + x / 3 * (1 + x / 4))
    return jnp.where(small, series, jnp.expm1(safe) / safe)
