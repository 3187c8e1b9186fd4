"""The steady-state error differentiated, for `verify gradients`.

By every hyper-parameter, each under a rule that has it; at the same draws.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from .... import advance, Scalar
from ....curvature import gradient_parts, steady_state
from ....experiment import Check
from ....inference import fixed_point, growth_check, no_slope, slope_checks
from ..config import build, Config
from ._run import linear, SPECTRUM, steady_loss


KEY = jr.key(0)
SEEDS = 6
SHORT = {"steps": 50, "window": 25, "start_offset": 1.0, "damping": 0.1}
SHORT |= {"length_cap": 0.5, "probes": 3}
RULES = {  # what only one rule has; or the start, or the inputs
    "noisy_gradient": "start_offset second_moment",
    "optimal_magnitude": "length_cap",
    "newton": "damping",
    "descent": "learning_rate",
}


def gradient_checks() -> Iterator[Check]:
    """Derivatives of the steady-state error; in double precision."""
    config = linear(corruption=0.5, steps=3000, window=2500)
    keys = jr.split(KEY, SEEDS)
    error = lambda config: steady_loss(config, keys)
    names = "ratio fluctuation_size corruption"
    options = {"law": _law, "source": "mean-field law", "of_law": 0.1}
    yield from slope_checks("steady-state error", error, config, names, **options)
    what, options = "law of the error, implicit", {"law": _law, "source": "bisection"}
    yield from slope_checks(what, _implicit, config, names, **options)
    yield from _rule_checks()
    system, state = build(config, KEY)
    update = lambda state, system: advance(system, state, KEY)[0]
    yield growth_check("run", update, state, system, KEY, steps=3000, chaotic=False)


def _law(config: Config) -> Scalar:
    """The steady-state error of the linear network."""
    parts = config.ratio, config.fluctuation, config.corruption
    return steady_state(jnp.asarray(SPECTRUM), *parts).loss


def _implicit(config: Config) -> Scalar:
    r"""The same from $\mu = \gamma_1/G(\mu)$, $G$ the gradient's length at that step.

    In $u$, where $\mu = \frac2{\lambda_{max}}\sigma(u)$.
    """
    values = jnp.asarray(SPECTRUM)
    clean, noise = gradient_parts(config.ratio, config.fluctuation, config.corruption)
    variance = (config.fluctuation**2 + noise**2) / values.size

    def spread(u: Array) -> tuple[Array, Array]:
        step = 2 / jnp.max(values) * jax.nn.sigmoid(u)
        return step, variance / (step * values * (2 - step * values))

    def update(u: Array, clean: Scalar) -> Array:
        step, variances = spread(u)
        return u + jnp.log(clean / step) - jnp.log(jnp.sum(values**2 * variances)) / 2

    return jnp.sum(values * spread(fixed_point(update, jnp.zeros(()), clean))[1]) / 2


def _error(config: Config) -> Scalar:
    return steady_loss(config, KEY[None])


def _rule_checks() -> Iterator[Check]:
    options: dict[str, Any] = {"tolerance": 1e-5}
    moment = jnp.asarray(np.diag([0.5, 1.0, 2.0]))
    for rule, names in RULES.items():
        config = Config(rule=rule, sizes=(3, 2), second_moment=moment, **SHORT)
        what = f"error after 50 steps, {rule}"
        yield from slope_checks(what, _error, config, names, **options)
    inputs, rule = jr.normal(KEY, (3, 20)), "weight_perturbation"
    config = Config(rule=rule, sizes=(3, 2, 2), input_samples=inputs, **SHORT)
    config = dataclasses.replace(config, probe_size=100.0)
    what, names = f"error after 50 steps, {rule}", "probe_size input_samples"
    yield from slope_checks(what, _error, config, names, **options)
    config = Config(sizes=(3, 2), second_moment=moment, **SHORT)
    slope = jax.grad(lambda x: _error(dataclasses.replace(config, probe_size=x)))
    why = "a rule that the run does not have"
    yield no_slope("error by probe_size, noisy_gradient", why, slope(config.probe_size))
