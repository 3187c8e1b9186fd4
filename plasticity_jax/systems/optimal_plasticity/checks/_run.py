"""The laws of the long run beside simulation, for `verify`.

Equations and figures are those of Raman & O'Leary 2021.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from .... import State
from ....curvature import (
    isotropic_loss,
    quadratic_form,
    stationary_balance,
    steady_state,
)
from ....experiment import Check, simulated
from ....numerics import tree_norm
from ....signals import LossSignals
from .. import theory
from ..config import Config
from ..experiments.directions import optimal_step_of
from ..experiments.steady import before_step, loss_of, recorded


MOMENT = np.diag(np.geomspace(0.2, 5.0, 12))  # anisotropic inputs
SEEDS = 6


def linear(**changes: Any) -> Config:
    """A linear network of 120 weights, anisotropic inputs, unit fluctuations."""
    settings = {
        "sizes": (12, 10),
        "second_moment": MOMENT,
        "fluctuation_size": 1 / math.sqrt(120),
        "corruption": 0.0,
        "steps": 5000,
        "window": 4000,
    }
    return Config(**{**settings, **changes})


@eqx.filter_jit
def settled(config: Config, key: Array, record: Any) -> Any:
    """What `record` sees in one run, after the burn-in."""
    seen = recorded(config, key, record)
    return jax.tree.map(lambda x: x[-config.window :], seen)


def steady_loss(config: Config, keys: Array) -> Array:
    """Steady-state error averaged over keys."""
    mean = lambda key: jnp.mean(settled(config, key, loss_of))
    return jnp.mean(jax.vmap(mean)(keys))


def gradient_of(state: State, signals: LossSignals, changes: Any) -> Array:
    """Record the gradient's length and its curvature's numerator, for the balance."""
    before = before_step(state, changes)
    gradient, loss = signals.gradient, signals.loss_at
    return jnp.stack([tree_norm(gradient), quadratic_form(loss, before, gradient)])


def run_checks() -> Iterator[Check]:
    """Steady states of whole runs against the laws of the long run."""
    keys = jr.split(jr.key(0), SEEDS)
    spectrum = jnp.repeat(jnp.diag(jnp.asarray(MOMENT)), 10) / 5
    average = jnp.mean(spectrum)
    one = jnp.ones(())
    for ratio, rho in ((0.4, 0.0), (1.0, 0.0), (1.5, 0.0), (0.7, 1.0), (1.0, 1.0)):
        got = steady_loss(linear(ratio=ratio, corruption=rho), keys)
        want = steady_state(spectrum, jnp.asarray(ratio), one, jnp.asarray(rho)).loss
        name = f"steady-state error, r = {ratio}, rho = {rho}"
        yield simulated(name, "mean-field law", got, want, 0.03)
    soft = linear(ratio=0.3, fluctuating_share=0.5)
    shares = jnp.where(jnp.arange(120) < 60, 1 / 60, 0.0)
    for ratio in (0.15, 0.5):
        got = steady_loss(dataclasses.replace(soft, ratio=ratio), keys)
        want = steady_state(spectrum, jnp.asarray(ratio), one, jnp.zeros(()), shares)
        at_limit = float(want.step * jnp.max(spectrum)) > 2 - 1e-9
        kind = "marginal" if at_limit else "stable"
        name = f"steady-state error, soft half driven, r = {ratio} ({kind})"
        yield simulated(name, "undriven-direction limit", got, want.loss, 0.03)
    yield from _isotropic_checks(keys)
    config = linear(ratio=0.7, corruption=1.0, steps=10_000, window=9_000)
    norms, curvatures = settled(config, keys[0], gradient_of).T
    sides = stationary_balance(
        jnp.mean(norms), jnp.mean(curvatures), average, config.ratio, one, one
    )
    yield simulated("stationary balance", "derived, exact", *sides, 0.01)
    for rho in (0.0, 5.0):
        rule = linear(rule="optimal_magnitude", corruption=rho, length_cap=1e3)
        rule = dataclasses.replace(rule, steps=20_000, window=18_000)
        seen = settled(rule, keys[0], optimal_step_of)
        upward = jnp.mean(seen["length"] ** 2 * seen["curvature"])
        name = f"optimal lengths balance the noise, rho = {rho}"
        yield simulated(name, "Eq. 9a, stationary", upward, average, 0.01)
    yield from _derivative_checks(keys, spectrum)


def _isotropic_checks(keys: Array) -> Iterator[Check]:
    """Rules that see average curvature: best at ratio 1, and the closed form there."""
    one, rate = jnp.ones(()), jnp.asarray(0.5)
    even = np.eye(12)
    mean = jnp.asarray(0.2)
    anisotropic = jnp.mean(jnp.diag(jnp.asarray(MOMENT))) / 5
    law = lambda r, h, rho=0.0: isotropic_loss(r, one, h, jnp.asarray(rho))
    for rho in (0.0, 1.0):
        config = linear(ratio=0.5, corruption=rho, second_moment=even)
        name = f"gradient on an isotropic bowl, r = 0.5, rho = {rho}"
        got = steady_loss(config, keys)
        yield simulated(name, "isotropic law", got, law(rate, mean, rho), 0.02)
    for rule in ("beeline", "newton"):
        config = linear(ratio=0.5, rule=rule, steps=2000, window=1500)
        got = steady_loss(config, keys)
        name = f"{rule} on an anisotropic bowl, r = 0.5"
        yield simulated(name, "isotropic law", got, law(rate, anisotropic), 0.02)
    probe = linear(ratio=1.0, rule="weight_perturbation", steps=20_000, window=15_000)
    want = law(one, anisotropic) / theory.probe_alignment(120) ** 2
    got = steady_loss(probe, keys)
    yield simulated("one probe, r = 1", "isotropic law / kappa^2", got, want, 0.05)


def _derivative_checks(keys: Array, spectrum: Array) -> Iterator[Check]:
    """How the steady-state error changes with the ratio, through the whole run."""
    config = linear(steps=3000, window=2500)
    error = lambda r: steady_loss(dataclasses.replace(config, ratio=r), keys)
    law = lambda r: steady_state(spectrum, r, jnp.ones(()), jnp.zeros(())).loss
    step = 1e-6
    for ratio in (jnp.asarray(0.4), jnp.asarray(1.0)):
        reverse, slope = jax.grad(error)(ratio), jax.grad(law)(ratio)
        central = (error(ratio + step) - error(ratio - step)) / (2 * step)
        name = f"dF/dr by reverse mode, r = {float(ratio)}"
        yield simulated(name, "central difference", reverse, central, 1e-6)
        yield simulated(name, "mean-field law", reverse, slope, 0.1)
