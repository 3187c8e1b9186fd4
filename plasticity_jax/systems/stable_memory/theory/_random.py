"""Learning from a stimulus that wanders at random."""

from typing import Any

import jax
from jaxtyping import Array, Complex

from .... import Scalar
from ...._arguments import floating, not_negative, positive


@floating
def random_drive(
    rotation: Scalar, decay: Scalar, trace_time: Scalar, power: Scalar | float = 1.0
) -> Complex[Array, ""]:
    r"""$E[\bar zy]$ of a linear network under a stimulus that wanders in the plane.

    $$\Big[\frac{P}{(m + \zeta)(1 + \zeta\tau)} + \frac{P(1 + \zeta)}{\tau|m +
    \zeta|^2}\Big]\Big/\Big(\bar m + \frac1\tau\Big), \quad m = 1 + i\lambda$$

    for $z = p_u + ip_v$ and its trace $y$, with $W = \lambda(uv^\top - vu^\top)$,
    `rotation` $\lambda$; the Ornstein-Uhlenbeck stimulus has the rate `decay` $\zeta$
    and the `power` $P = E|b|^2$. The imaginary part is what learning adds to $A$ per
    time (over $\eta\kappa_L$): none from chance, then more of what there is (5.7).

    >>> print(f"{random_drive(1.0, 1.0, 1.0):.3f}")  # (3 - i / 2) / 5 over 2 - i
    0.260+0.080j
    """
    decay, trace_time, power = _stimulus(decay, trace_time, power)
    wide, lag = 1 + decay, 1 + decay * trace_time
    gain = power / (wide**2 + rotation**2)
    drive = jax.lax.complex(
        gain * wide * (1 / lag + 1 / trace_time), -gain * rotation / lag
    )
    return drive / jax.lax.complex(1 + 1 / trace_time, -rotation)


@floating
def random_power(
    rotation: Scalar, decay: Scalar, power: Scalar | float = 1.0
) -> Scalar:
    r"""$E|z|^2 = P(1 + \zeta)/|m + \zeta|^2$: of that activity, in the plane (5.7).

    >>> print(f"{random_power(1.0, 1.0):.2f}")  # 2 / |2 + i|^2
    0.40
    """
    decay, power = not_negative("decay", decay), not_negative("power", power)
    return power * (1 + decay) / ((1 + decay) ** 2 + rotation**2)


@floating
def random_drive_slope(
    decay: Scalar, trace_time: Scalar, power: Scalar | float = 1.0
) -> Scalar:
    r"""$\partial_\lambda \mathrm{Im}\,E[\bar zy]$ at 0: how chance reinforces itself.

    In the symbols of `random_drive`: 0.0128 with a trace of 50 and 0.0097 with one of
    100, for $\zeta = 0.01$ (5.7).

    >>> print(f"{random_drive_slope(1.0, 1.0):.3f}")
    0.125
    """
    decay, trace_time, power = _stimulus(decay, trace_time, power)
    leak, wide, lag = 1 + 1 / trace_time, 1 + decay, 1 + decay * trace_time
    gain = (1 / lag + 1 / trace_time) / wide - leak / (wide**2 * lag)
    return power * gain / leak**2


def _stimulus(
    decay: Scalar, trace_time: Scalar, power: Any
) -> tuple[Scalar, Scalar, Scalar]:
    return (
        not_negative("decay", decay),
        positive("trace_time", trace_time),
        not_negative("power", power),
    )
