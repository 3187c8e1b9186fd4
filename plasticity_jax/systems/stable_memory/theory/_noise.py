"""What noise does to weights and memories, and what dissipation leaves of them."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import admit, floating, not_negative
from ..config import Config, REFERENCE_STEP


Times = Float[Array, "*time"]


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


# --- without restraint, or with a symmetric one -----------------------------------


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
