r"""Transfer functions: firing rate as a function of the somatic potential.

Any smooth positive function of an array, applied entry by entry, will do. What learning
needs of it is its score $\phi'/\phi$ and the Fisher density $F = \phi'^2/\phi$ with its
derivatives: by automatic differentiation, or in closed form for the functions here.
"""

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._arguments import concrete, floating, real, require
from .._interfaces import Scalar


Transfer = Callable[[Any], Any]
Values = Float[Array, "*shape"]


class Sigmoid(eqx.Module):
    r"""$\phi(V) = \phi_{max} / (1 + e^{-\beta (V - \theta)})$ in Hz, $V$ in mV.

    Kreutzer et al. 2022, Eq. 24, with its defaults.

    >>> rate = Sigmoid()(jnp.array([-90.0, 10.0, 110.0]))
    >>> print(np.array(rate).round(3))
    [  0.  50. 100.]
    """

    maximum: Scalar = eqx.field(default=100.0, converter=real)  # Hz
    slope: Scalar = eqx.field(default=0.3, converter=real)  # 1/mV
    threshold: Scalar = eqx.field(default=10.0, converter=real)  # mV above rest

    def __check_init__(self) -> None:
        require(self, maximum=(1e-12, np.inf), slope=(1e-12, np.inf))
        require(self, threshold=(-1e30, 1e30))

    @floating
    def __call__(self, voltage: Values) -> Values:
        return self.maximum * jax.nn.sigmoid(self._scaled(voltage))

    def _scaled(self, voltage: Values) -> Values:
        return self.slope * (voltage - self.threshold)


class RectifiedQuadratic(eqx.Module):
    r"""$\phi(V) = \frac14 (V - \theta)^2$ Hz above threshold, zero below.

    Kreutzer et al. 2022, Eq. 116. Its Fisher density is 1 above threshold and 0 below;
    the closed forms hold as long as the potential stays above.

    >>> print(RectifiedQuadratic(threshold=1.0)(jnp.array([0.0, 5.0])))
    [0. 4.]
    """

    threshold: Scalar = eqx.field(default=0.0, converter=real)  # mV above rest

    def __check_init__(self) -> None:
        require(self, threshold=(-1e30, 1e30))

    @floating
    def __call__(self, voltage: Values) -> Values:
        return jnp.maximum(voltage - self.threshold, 0.0) ** 2 / 4


@floating
@functools.singledispatch
def score(transfer: Transfer, voltage: Values) -> Values:
    r"""$\phi'(V)/\phi(V)$ in 1/mV, by autodiff; 0 where the rate vanishes.

    >>> print(score(lambda v: jnp.exp(0.5 * v), jnp.array([0.0, 10.0])).round(3))
    [0.5 0.5]
    """
    rate, slope = jax.jvp(transfer, (voltage,), (jnp.ones_like(voltage),))
    silent = rate <= 0  # not of NaN
    return jnp.where(silent, 0.0, slope * _inverse(jnp.where(silent, 1.0, rate)))


@jax.custom_jvp
def _inverse(x: Values) -> Values:
    """1/x; no derivative takes a power of `x`, which would underflow."""
    return 1 / x


@_inverse.defjvp
def _(primals: Any, tangents: Any) -> tuple[Array, Array]:
    inverse = _inverse(primals[0])
    return inverse, -inverse * (inverse * tangents[0])


@score.register
def _(transfer: Sigmoid, voltage: Any) -> Any:
    return transfer.slope * jax.nn.sigmoid(-transfer._scaled(voltage))


@score.register
def _(transfer: RectifiedQuadratic, voltage: Any) -> Any:
    above = voltage - transfer.threshold
    silent = above <= 0
    return jnp.where(silent, 0.0, 2 / jnp.where(silent, 1.0, above))


@floating
@functools.singledispatch
@floating
def fisher_density(
    transfer: Transfer, voltage: Values, order: int = 0
) -> tuple[Values, ...]:
    r"""$F = \phi'^2/\phi$ (Hz/mV$^2$) and its first `order` derivatives at `voltage`.

    0 where the rate vanishes.

    >>> density, slope = fisher_density(jnp.exp, 1.0, order=1)
    >>> print(f"{density:.3f} {slope:.3f}")
    2.718 2.718
    """

    def density(voltage: Values) -> Values:
        rate, slope = jax.jvp(transfer, (voltage,), (jnp.ones_like(voltage),))
        silent = rate <= 0  # not of NaN
        inverse = _inverse(jnp.where(silent, 1.0, rate))
        return jnp.where(silent, 0.0, slope * (slope * inverse))

    derivatives: list[Transfer] = [density]
    for _ in range(order):
        slope = lambda x, of=derivatives[-1]: jax.jvp(of, (x,), (jnp.ones_like(x),))[1]
        derivatives.append(slope)
    return tuple(derivative(voltage) for derivative in derivatives)


@fisher_density.register
def _(transfer: Sigmoid, voltage: Any, order: int = 0) -> Any:
    r"""$F^{(k)} = \beta^k F\, Q_k(s)$, $s$ the sigmoid, $Q_k$ polynomials.

    $Q_0 = 1$, $Q_{k+1} = (1-3s)\, Q_k + s(1-s)\, Q_k'$, since $F \propto s\bar s^2$.
    $\bar s$ is the sigmoid of the opposite sign, never $1 - s$: exact at saturation.
    """
    scaled = transfer._scaled(voltage)
    s, opposite = jax.nn.sigmoid(scaled), jax.nn.sigmoid(-scaled)
    density = transfer.maximum * transfer.slope**2 * s * opposite**2
    q = np.polynomial.Polynomial([1.0])
    values = []
    for k in range(order + 1):
        factor = jnp.full_like(s, q.coef[-1])
        for coefficient in q.coef[-2::-1]:  # Horner
            factor = factor * s + float(coefficient)
        values.append(transfer.slope**k * density * factor)
        own = np.polynomial.Polynomial([1.0, -3.0]) * q
        q = own + np.polynomial.Polynomial([0.0, 1.0, -1.0]) * q.deriv()
    return tuple(values)


@fisher_density.register
def _(transfer: RectifiedQuadratic, voltage: Any, order: int = 0) -> Any:
    above = jnp.where(voltage > transfer.threshold, 1.0, 0.0).astype(voltage.dtype)
    above = jnp.where(jnp.isnan(voltage), voltage, above)
    return (above, *(0 * above for _ in range(order)))


def check_transfer(
    transfer: Transfer, low: float = -30.0, high: float = 30.0, points: int = 4001
) -> None:
    """Raise `ValueError` unless `transfer` is positive and smooth on [`low`, `high`].

    Positive: rate and Fisher density are above zero and finite on a grid. Smooth: the
    density changes by what its derivative integrates to (a jump or a kink does not).
    The functions of this module pass by construction; traced parameters pass.
    """
    if isinstance(transfer, Sigmoid | RectifiedQuadratic) or not concrete(transfer):
        return
    with jax.ensure_compile_time_eval():  # also where the caller is being compiled
        _check_on_grid(transfer, low, high, points)


def _check_on_grid(transfer: Transfer, low: float, high: float, points: int) -> None:
    """`check_transfer` on concrete values."""
    voltage = jnp.linspace(low, high, points)
    try:
        rate = np.asarray(transfer(voltage))
    except jax.errors.TracerArrayConversionError:
        return  # closes over a traced value
    except TypeError as error:
        raise ValueError(
            f"`transfer` must be a function of the voltage; got {transfer!r}."
        ) from error
    if rate.shape != (points,) or rate.dtype.kind != "f":
        raise ValueError(
            "`transfer` must map an array to rates of the same shape; it maps "
            f"({points},) to {rate.dtype}{rate.shape}."
        )
    density, slope = (np.asarray(x) for x in fisher_density(transfer, voltage, 1))
    for says, values in {"rate": rate, "Fisher density phi'^2/phi": density}.items():
        wrong = ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            where = float(voltage[int(np.argmax(wrong))])
            raise ValueError(
                f"`transfer` must be positive with a slope on [{low}, {high}] mV; at "
                f"{where:.3g} mV its {says} is {values[np.argmax(wrong)]:.3g}."
            )
    step = (high - low) / (points - 1)
    jump = np.abs(np.diff(density) - (slope[1:] + slope[:-1]) / 2 * step)
    around = np.pad(density, points // 100, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(around, points // 50).max(axis=1)
    worst = int(np.argmax(jump / around[1:points]))
    if not jump[worst] <= 1e-3 * around[worst + 1]:  # nor where the slope is NaN
        raise ValueError(
            f"`transfer` is not smooth at {float(voltage[worst]):.3g} mV: its Fisher "
            "density phi'^2/phi or the slope of that jumps there."
        )
