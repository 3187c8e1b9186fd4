r"""Closed forms of memories under homeostasis: spectra, noise, energy, learning.

Susman, Brenner & Barak 2019, Nature Communications 10:4441, and the specification
(derived, where no equation of the paper is named). $\dot x = -x + W\phi(x)$ with time
in units of the neural time constant; memories are $W = a\,uu^\top$ (real) or
$a(uv^\top - vu^\top)$ (imaginary). What belongs to rules is a function of `Config`.

Each law refuses, with a `ValueError`, shapes that do not fit and what is outside of its
domain: times before 0, states of rest that nothing leads to. There it is NaN where the
arguments are traced.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ... import Scalar
from ..._arguments import admit, floating, not_negative, positive
from ...numerics import root
from .config import Config, REFERENCE_STEP


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]
Times = Float[Array, "*time"]
Transfer = Callable[[Vector], Array]


# --- spectra ------------------------------------------------------------------------


@floating
def low_rank_eigenvalues(
    basis: Float[Array, "n k"], core: Float[Array, "k k"]
) -> Complex[Array, " k"]:
    r"""The eigenvalues of $UDU^\top$ that need not be zero: those of $DU^\top U$.

    For any `basis` $U$, orthogonal or not, and `core` $D$ (`patterns.low_rank`). With
    orthonormal columns they are $\alpha_k \pm i\rho_k$ (section 5.1; Eq. 8 has $\alpha
    = 0$).

    >>> core = [[0.5, 5.0], [-5.0, 0.5]]
    >>> value = low_rank_eigenvalues(jnp.eye(4)[:, :2], core)[0]
    >>> print(f"{value.real:.2f} {abs(value.imag):.2f}")
    0.50 5.00
    """
    return jnp.linalg.eigvals(core @ (basis.T @ basis))


@floating
def plane_frequency(u: Vector, v: Vector, strength: Scalar | float) -> Scalar:
    r"""$a\sqrt{|u|^2|v|^2 - (u \cdot v)^2}$: $\pm i$ this for $a(uv^\top - vu^\top)$.

    Strength times the area that the two vectors span, for any two (section 5.1); its
    gradient is zero, not NaN, where they are parallel.

    >>> print(f"{plane_frequency([1.0, 0.0], [0.6, 0.8], 5.0):.1f}")  # 5 times the area
    4.0
    """
    square = (u @ u) * (v @ v) - (u @ v) ** 2
    return strength * root(jnp.where(square <= 0, 0.0, square))


@floating
def origin_jacobian(weights: Matrix, slope: Scalar | float = 1.0) -> Matrix:
    r"""$-\mathbf I + \phi'(0)W$: the network linearised about silence (section 5.1).

    >>> origin_jacobian([[0.0, 5.0], [-5.0, 0.0]]).tolist()
    [[-1.0, 5.0], [-5.0, -1.0]]
    """
    return slope * weights - jnp.eye(len(weights), dtype=weights.dtype)


# --- dissipation --------------------------------------------------------------------


def _leak(config: Config) -> Scalar:
    r"""$\eta\kappa_H\beta$: the rate at which dissipation forgets."""
    return config.plasticity * config.homeostasis_gain * config.dissipation


def _settling(config: Config) -> Config:
    """The same; refused, or NaN, unless dissipation brings weights to rest."""
    leak = _leak(config)
    wrong = ~((leak > 0) & (leak * config.step < 2))
    must = (
        "be such that weights settle: plasticity * homeostasis_gain * dissipation "
        f"above 0 and below {2 / config.step:.4g}"
    )
    dissipation = admit("dissipation", config.dissipation, wrong, must)
    return dataclasses.replace(config, dissipation=dissipation)


def decay_factor(config: Config) -> Scalar:
    r"""$a = 1 - \eta\beta\,\Delta t$: what one step of dissipation leaves, exactly.

    The same for both codings (section 5.2).

    >>> print(f"{decay_factor(Config(plasticity=1.0, dissipation=0.5)):.2f}")
    0.95
    """
    return 1 - _leak(config) * config.step


@floating
def mean_decay(config: Config, time: Times) -> Times:
    r"""$e^{-\eta\beta t}$: the share of the mean weights that dissipation leaves.

    The limit of short steps (section 5.2). The paper gives the rate as $\beta$; Eq. 2
    has the factor $\eta$.

    >>> config = Config(plasticity=1.0, dissipation=0.5)
    >>> print(np.asarray(mean_decay(config, [0.0, 2.0])).round(3))
    [1.    0.368]
    """
    return jnp.exp(-_leak(config) * not_negative("time", time))


def stationary_variance(config: Config) -> Scalar:
    r"""$\eta^2\Delta t\,\Delta t_{\rm ref}\sigma^2/[N(1 - a^2)]$ of each weight.

    Under dissipation (section 5.2). With noise at every $k$-th step $k\,\Delta t$
    stands for $\Delta t$ and $a^k$ for $a$: the variance just after the noise.

    >>> config = Config(plasticity=1.0, dissipation=4.0, noise_every=1)  # a = 0.6
    >>> one_step = weight_diffusion(config, config.step)
    >>> print(f"{stationary_variance(config) / one_step:.4f}")  # 1 / (1 - a^2)
    1.5625
    """
    config, wait = _settling(config), config.noise_every
    kept = decay_factor(config) ** (2 * wait)
    return weight_diffusion(config, jnp.asarray(wait * config.step)) / (1 - kept)


def bulk_radius(config: Config) -> Scalar:
    r"""$\sigma\sqrt{\eta\,\Delta t_{\rm ref}/(2\beta)}$: the disc of the spectrum.

    Under dissipation, by the circular law, for short steps (section 5.2).

    >>> print(f"{bulk_radius(Config(noise=10.0, dissipation=0.05)):.2f}")
    1.00
    """
    leak = config.homeostasis_gain * _settling(config).dissipation
    return config.noise * jnp.sqrt(config.plasticity * REFERENCE_STEP / (2 * leak))


# --- noise --------------------------------------------------------------------------


@floating
def weight_diffusion(config: Config, time: Times) -> Times:
    r"""$\eta^2\sigma^2\Delta t_{\rm ref}\,t/N$: variance of a weight without restraint.

    $\kappa_H = 0$ (section 5.4); exact at whole intervals of the noise.

    >>> config = Config(size=100, plasticity=0.1)
    >>> variance = weight_diffusion(config, [1000.0, 2000.0])
    >>> print(np.asarray(variance).round(3))
    [0.01 0.02]
    """
    time = not_negative("time", time)
    return (config.plasticity * config.noise) ** 2 * REFERENCE_STEP / config.size * time


@floating
def rotation_diffusion(config: Config, time: Times) -> Times:
    r"""$\eta^2\sigma^2\Delta t_{\rm ref}\,t/(2N)$: variance of $A(t) - A(0)$.

    Of any orthonormal plane, where the restraint is symmetric: decorrelation with $c =
    1$, whatever the activity (section 5.4).

    >>> config = Config(size=100, plasticity=0.1)
    >>> variance = rotation_diffusion(config, [2000.0, 4000.0])
    >>> print(np.asarray(variance).round(3))
    [0.01 0.02]
    """
    return weight_diffusion(config, time) / 2


def filter_gain(config: Config) -> Scalar:
    r"""$c = 1 - \frac{\Delta t/(\epsilon\tau_x)}{1 + \Delta t/\tau_x}$.

    The postsynaptic gain at the fixed point of the filter of `decorrelation_literal`
    (section 4.4): 0.9005 with $\epsilon = 0.05$, 0.5025 with 0.01.

    >>> print(f"{filter_gain(Config(filter_scale=0.1)):.4f}")
    0.9502
    """
    share = config.step / config.filter_time
    return 1 - share / config.filter_scale / (1 + share)


# --- energy -------------------------------------------------------------------------


@floating
def tanh_energy(potential: Vector) -> Scalar:
    r"""$V = \sum_i \log\cosh x_i$, accurate near 0 and for large potentials.

    >>> print(f"{tanh_energy([0.0, 100.0]):.3f}")  # 100 - ln 2
    99.307
    """
    size = jnp.abs(potential)
    near = jnp.log1p(2 * jnp.sinh(jnp.minimum(size, 1.0) / 2) ** 2)
    far = size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2.0)
    return jnp.sum(jnp.where(size < 1, near, far))


@floating
def energy(transfer: Transfer, potential: Vector, *, nodes: int = 64) -> Scalar:
    r"""$V(x) = \sum_i\int_0^{x_i}\phi$ by Gauss-Legendre quadrature (section 5.3).

    For odd increasing `transfer` $\phi$: zero at the origin only. It is $\|x\|_1$ for
    the step function, `tanh_energy` for tanh.

    >>> print(f"{energy(jnp.sign, [1.0, -2.0]):.2f}")
    3.00
    """
    rule = np.stack(np.polynomial.legendre.leggauss(nodes)) / 2
    place, weight = jnp.asarray(rule, potential.dtype)
    rates = jax.vmap(lambda share: transfer(share * potential))(place + 0.5)
    return weight @ rates @ potential


@floating
def energy_slope(transfer: Transfer, weights: Matrix, potential: Vector) -> Scalar:
    r"""$\dot V = -\phi \cdot x + \phi \cdot W_S\phi$, without a stimulus.

    Only the symmetric part $W_S$ does work, so an imaginary memory alone cannot keep
    activity alive (section 5.3).

    >>> memory = [[0.0, 5.0], [-5.0, 0.0]]
    >>> print(f"{energy_slope(jnp.sign, memory, [1.0, -2.0]):.1f}")  # as without it
    -3.0
    """
    rate, symmetric = transfer(potential), (weights + weights.T) / 2
    return rate @ symmetric @ rate - rate @ potential


@floating
def energy_bounds(time: Times) -> tuple[Times, Times]:
    r"""$e^{-2t} \le V(t)/V(0) \le e^{-t}$ for tanh and anti-symmetric weights.

    Of any strength (section 5.3).

    >>> least, most = energy_bounds(1.0)
    >>> print(f"{least:.3f} {most:.3f}")
    0.135 0.368
    """
    time = not_negative("time", time)
    return jnp.exp(-2 * time), jnp.exp(-time)


# --- learning with clamped activity -------------------------------------------------
# phi(t) = c (cos(omega t) u + sin(omega t) v), `activity` c, (u, v) orthonormal


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


# --- what activity erases ----------------------------------------------------------


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


# --- learning from a random stimulus ------------------------------------------------


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

    0.0128 with $\tau_y = 50$ and 0.0097 with 100, for $\zeta = 0.01$ (section 5.7).

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
