r"""Learning from clamped activity, and what driven activity erases.

$\phi(t) = c(\cos(\omega t)\,u + \sin(\omega t)\,v)$ with `activity` $c$ and $(u, v)$
orthonormal.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from .... import Scalar
from ...._arguments import admit, floating, not_negative, positive
from ..config import Config


Times = Float[Array, "*time"]


@floating
def quadrature(frequency: Scalar, trace_time: Scalar) -> Scalar:
    r"""$h = \omega\tau/(1 + \omega^2\tau^2)$: how far the trace lags, at most 1/2.

    Largest where $\omega\tau = 1$ (section 5.6).

    >>> print(f"{quadrature(0.02, 50.0):.2f}")
    0.50
    """
    turn = frequency * positive("trace_time", trace_time)
    return turn / (1 + turn**2)


@floating
def learning_speed(config: Config, activity: Scalar) -> Scalar:
    r"""$l = \eta\kappa_L c^2 h$: rate of change of $-A$ by learning alone.

    >>> print(f"{learning_speed(Config(frequency=0.02, trace_time=50.0), 2.0):.3f}")
    0.020
    """
    lag = quadrature(config.frequency, config.trace_time)
    return config.plasticity * config.learning_gain * activity**2 * lag


@floating
def learned_rotation(config: Config, activity: Scalar, time: Times) -> Times:
    r"""$A = -lt$ from no weights: without homeostasis, or with decorrelation.

    Activity that goes from $u$ to $v$ strengthens $W_{vu}$ (section 5.6).

    >>> config = Config(frequency=0.02, trace_time=50.0)
    >>> print(f"{learned_rotation(config, 2.0, 50.0):.2f}")
    -1.00
    """
    return -learning_speed(config, activity) * not_negative("time", time)


@floating
def free_eigenvalue(
    config: Config, activity: Scalar, time: Times
) -> Complex[Array, "*time"]:
    r"""$i|l|t$: the memory's eigenvalue without homeostasis (section 5.6).

    >>> config = Config(frequency=0.02, trace_time=50.0)
    >>> print(f"{free_eigenvalue(config, 2.0, 50.0):.2f}")
    0.00+1.00j
    """
    frequency = jnp.abs(learned_rotation(config, activity, time))
    return jax.lax.complex(jnp.zeros_like(frequency), frequency)


@floating
def decorrelated_eigenvalue(
    config: Config, activity: Scalar, time: Times
) -> Complex[Array, "*time"]:
    r"""$\eta\kappa_H(B - c^2/2)t + i|l|t$ with decorrelation, after whole turns.

    Where both sides of a synapse have the same gain. Strong activity drives the real
    part negative, the imaginary part grows without bound (section 5.6).

    >>> config = Config(frequency=0.02, trace_time=50.0)
    >>> print(f"{decorrelated_eigenvalue(config, 2.0, 50.0):.2f}")
    -0.75+1.00j
    """
    restraint = config.plasticity * config.homeostasis_gain
    growth = restraint * (config.correlation - activity**2 / 2) * time
    frequency = jnp.abs(learned_rotation(config, activity, time))
    return jax.lax.complex(growth, frequency)


class PlaneState(NamedTuple):
    """$A$ and $S$ of a plane, and its eigenvalue: of a pair, the one above.

    >>> config = Config(frequency=0.02, trace_time=50.0)
    >>> print(f"{controlled_state(config, 2.0).eigenvalue:.3f}")
    -0.500+0.866j
    """

    rotation: Scalar
    expansion: Scalar
    eigenvalue: Complex[Array, ""]


@floating
def controlled_state(config: Config, activity: Scalar) -> PlaneState:
    r"""Where learning and rate control come to rest: $A^* = -2l/k$, $S^* = -l/2\omega$.

    With $k = \eta\kappa_Hc^2$ and targets orthogonal to the plane, or zero; $|A^*| =
    2h\kappa_L/\kappa_H$ does not depend on the activity. The eigenvalues are $S^* \pm
    \sqrt{S^{*2} - A^{*2}}$ (section 5.6).

    >>> state = controlled_state(Config(frequency=0.02, trace_time=50.0), 2.0)
    >>> print(f"{state.rotation:.2f} {state.expansion:.2f}")
    -1.00 -0.50
    """
    config = _controlled(config, activity)
    ratio = config.learning_gain / config.homeostasis_gain
    rotation = -2 * ratio * quadrature(config.frequency, config.trace_time)
    # l / omega, finite for a stimulus that stands still
    turn = config.frequency * config.trace_time
    lag = config.trace_time / (1 + turn**2)
    speed = config.plasticity * config.learning_gain * activity**2
    expansion = -speed * lag / 2
    complex_of = lambda x: jax.lax.complex(x, jnp.zeros_like(x))
    root = jnp.sqrt(complex_of(expansion**2 - rotation**2))
    return PlaneState(rotation, expansion, complex_of(expansion) + root)


@floating
def controlled_is_complex(config: Config, activity: Scalar) -> Array:
    r"""Whether that pair is complex: $\eta\kappa_Hc^2 < 4|\omega|$ (section 5.6).

    Slow stimuli leave two real eigenvalues under rate control. Not so where a traced
    argument is NaN.

    >>> config = Config(frequency=0.02)
    >>> [bool(controlled_is_complex(config, activity)) for activity in (2.0, 3.0)]
    [True, False]
    """
    config = _controlled(config, activity)
    correction = config.plasticity * config.homeostasis_gain * activity**2
    return correction < 4 * jnp.abs(config.frequency)


def _controlled(config: Config, activity: Scalar) -> Config:
    """The same; refused, or NaN, unless rate control brings the plane to rest."""
    wrong = ~(config.plasticity * config.homeostasis_gain * activity**2 > 0)
    must = f"be positive, and `activity` not 0 ({activity}), for the plane to rest"
    names = ("plasticity", "homeostasis_gain")
    rest = {name: admit(name, getattr(config, name), wrong, must) for name in names}
    return dataclasses.replace(config, **rest)


# --- what activity erases ---------------------------------------------------------


@floating
def erasure_rate(config: Config, activity: Scalar) -> Scalar:
    r"""$k = \eta\kappa_H|r|^2$ at which rate control erases what drives the rates $r$.

    $u^\top W$ falls as $e^{-kt}$ for clamped $r = |r|u$, `activity` $|r|$, and targets
    orthogonal to it. A real memory that saturates the rates is so erased at the order
    of $\eta N$, 1.28 as published; decorrelation takes it at that speed (section 5.3).

    >>> print(f"{erasure_rate(Config(plasticity=0.01), 10.0):.2f}")
    1.00
    """
    return config.plasticity * config.homeostasis_gain * activity**2


@floating
def driven_rotation(config: Config, activity: Scalar, time: Times) -> Times:
    r"""Share of $A$ that rate control leaves while activity turns in the plane.

    $e^{-kt/2}$ for fast turns, $k$ the `erasure_rate` (sections 5.4 and 5.6); without
    learning $e^{-kt/2}[\cos\nu t\cos\omega t + \frac\omega\nu\sin\nu t\sin\omega t]$
    with $\nu^2 = \omega^2 - k^2/4$ exactly, so that a still drive leaves one half.

    >>> config = Config(plasticity=0.01, frequency=50.0)
    >>> print(f"{driven_rotation(config, 10.0, 2.0):.3f}")  # fast turns: 1 / e
    0.368
    """
    time, turn = not_negative("time", time), config.frequency * time
    half = erasure_rate(config, activity) / 2
    square = config.frequency**2 - half**2
    square = jnp.where(square == 0, jnp.finfo(half.dtype).eps, square)
    pair = lambda x: jax.lax.complex(x, jnp.zeros_like(x))
    swing, fall, times = jnp.sqrt(pair(-square)), pair(half), pair(time)
    up, down = (jnp.exp(times * (x - fall)) for x in (swing, -swing))
    even, odd = jnp.real(up + down) / 2, jnp.real((up - down) / (2 * swing))
    return even * jnp.cos(turn) + config.frequency * odd * jnp.sin(turn)
