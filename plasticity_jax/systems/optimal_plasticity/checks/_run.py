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

from .... import Scalar, State
from ....curvature import (
    isotropic_loss,
    quadratic_form,
    stationary_balance,
    steady_state,
    SteadyState,
)
from ....experiment import Check, once, simulated
from ....numerics import tree_norm
from ....signals import LossSignals
from .. import theory
from ..config import Config
from ..experiments.directions import optimal_step_of
from ..experiments.steady import before_step, loss_of, recorded


MOMENT = np.diag(np.geomspace(0.2, 5.0, 12))  # anisotropic inputs
SPECTRUM = np.repeat(np.diag(MOMENT), 10) / 5  # of a linear network
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


def settled(config: Config, key: Array, record: Any) -> Any:
    """What `record` sees in one run, after the burn-in."""
    seen = recorded(config, key, record)
    return jax.tree.map(lambda x: x[-config.window :], seen)


def steady_loss(config: Config, keys: Array) -> Array:
    """Steady-state error averaged over keys."""
    mean = lambda key: jnp.mean(settled(config, key, loss_of))
    return jnp.mean(jax.vmap(mean)(keys))


_often, _once = eqx.filter_jit(steady_loss), once(steady_loss)  # of many or few steps
_isotropic = once(isotropic_loss)


def _law(config: Config, shares: Any = None) -> SteadyState:
    """Steady state of the linear network by the mean-field law."""
    lengths = config.ratio, jnp.ones(()), config.corruption
    return steady_state(jnp.asarray(SPECTRUM), *lengths, shares)


_found = once(_law)


def gradient_of(state: State, signals: LossSignals, changes: Any) -> Array:
    """Record the gradient's length and its curvature's numerator, for the balance."""
    before = before_step(state, changes)
    gradient, loss = signals.gradient, signals.loss_at
    return jnp.stack([tree_norm(gradient), quadratic_form(loss, before, gradient)])


def run_checks() -> Iterator[Check]:
    """Steady states of whole runs against the laws of the long run."""
    keys = jr.split(jr.key(0), SEEDS)
    for ratio, rho in ((0.4, 0.0), (1.0, 0.0), (1.5, 0.0), (0.7, 1.0), (1.0, 1.0)):
        config = linear(ratio=ratio, corruption=rho)
        want = _found(config).loss
        name = f"steady-state error, r = {ratio}, rho = {rho}"
        yield simulated(name, "mean-field law", _often(config, keys), want, 0.03)
    soft = linear(fluctuating_share=0.5)
    shares = np.where(np.arange(120) < 60, 1 / 60, 0.0)
    for ratio in (0.15, 0.5):
        config = dataclasses.replace(soft, ratio=ratio)
        want = _found(config, shares)
        at_limit = float(want.step) * np.max(SPECTRUM) > 2 - 1e-9
        kind = "marginal" if at_limit else "stable"
        name = f"steady-state error, soft half driven, r = {ratio} ({kind})"
        got = _once(config, keys)
        yield simulated(name, "undriven-direction limit", got, want.loss, 0.03)
    yield from _isotropic_checks(keys)
    yield from _balance_checks(keys[0])
    for ratio in (0.4, 1.0):
        config = linear(ratio=ratio, steps=3000, window=2500)
        reverse, central, slope = _slopes(config, keys)
        name = f"dF/dr by reverse mode, r = {ratio}"
        yield simulated(name, "central difference", reverse, central, 1e-6)
        yield simulated(name, "mean-field law", reverse, slope, 0.1)


def _isotropic_checks(keys: Array) -> Iterator[Check]:
    """Rules that see average curvature: best at ratio 1, and the closed form there."""
    anisotropic = np.mean(np.diag(MOMENT)) / 5
    law = lambda config, mean: _isotropic(config.ratio, 1.0, mean, config.corruption)
    for rho in (0.0, 1.0):
        config = linear(ratio=0.5, corruption=rho, second_moment=np.eye(12))
        name = f"gradient on an isotropic bowl, r = 0.5, rho = {rho}"
        got = _often(config, keys)
        yield simulated(name, "isotropic law", got, law(config, 0.2), 0.02)
    for rule in ("beeline", "newton"):
        config = linear(ratio=0.5, rule=rule, steps=2000, window=1500)
        name = f"{rule} on an anisotropic bowl, r = 0.5"
        got = _once(config, keys)
        yield simulated(name, "isotropic law", got, law(config, anisotropic), 0.02)
    probe = linear(ratio=1.0, rule="weight_perturbation", steps=20_000, window=15_000)
    want = law(probe, anisotropic) / theory.probe_alignment(120) ** 2
    got = _often(probe, keys)
    yield simulated("one probe, r = 1", "isotropic law / kappa^2", got, want, 0.05)


@once
def _balance(config: Config, key: Array) -> tuple[Scalar, Scalar]:
    """Both sides of the stationary balance, from means over a run."""
    norms, curvatures = jnp.mean(settled(config, key, gradient_of), axis=0)
    average, one = jnp.mean(jnp.asarray(SPECTRUM)), jnp.ones(())
    lengths = config.ratio, one, config.corruption
    return stationary_balance(norms, curvatures, average, *lengths)


@once
def _upward(config: Config, key: Array) -> Scalar:
    """Mean of squared length times curvature of optimal steps."""
    seen = settled(config, key, optimal_step_of)
    return jnp.mean(seen["length"] ** 2 * seen["curvature"])


def _balance_checks(key: Array) -> Iterator[Check]:
    """What a step adds is what it takes away."""
    config = linear(ratio=0.7, corruption=1.0, steps=10_000, window=9_000)
    sides = _balance(config, key)
    yield simulated("stationary balance", "derived, exact", *sides, 0.01)
    rule = linear(rule="optimal_magnitude", length_cap=1e3, steps=20_000, window=18_000)
    for rho in (0.0, 5.0):
        upward = _upward(dataclasses.replace(rule, corruption=rho), key)
        name = f"optimal lengths balance the noise, rho = {rho}"
        yield simulated(name, "Eq. 9a, stationary", upward, np.mean(SPECTRUM), 0.01)


@once
def _slopes(config: Config, keys: Array) -> tuple[Scalar, Scalar, Scalar]:
    """Of the steady-state error by the ratio, through the whole run, and of its law."""
    at = lambda r: dataclasses.replace(config, ratio=r)
    error, law = lambda r: steady_loss(at(r), keys), lambda r: _law(at(r)).loss
    step, ratio = 1e-6, config.ratio
    after, before = jax.lax.map(error, jnp.stack([ratio + step, ratio - step]))
    return jax.grad(error)(ratio), (after - before) / (2 * step), jax.grad(law)(ratio)
