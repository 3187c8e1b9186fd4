"""Constants and metrics of a neuron that knows more, or less, of its inputs.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
from jaxtyping import Array

from .... import Scalar
from ....circuits import input_moments, Sigmoid, SynapticKernel
from ....curvature import (
    correlated_glm_fisher,
    correlated_glm_fisher_inverse,
    fisher_density,
    glm_fisher,
    isotropic_loss,
)
from ....experiment import Check, exact, together
from ....rules import uniform_constant
from ..config import Config
from ..fluctuations import best_release, release_importance, repaired_divergence
from ..mean_field import BIN, divergence_curve, metric_divergence


def metric_checks() -> Iterator[Check]:
    """All of them; run them in double precision."""
    yield from _constant_checks()
    yield from _correlated_checks()
    yield from _fluctuation_checks()


@together
def _constant_checks() -> Iterator[Check]:
    """The constant of the approximate rule that leaves the least error."""
    config = Config(size=10)
    q = jnp.sum(config.rates) * config.area**2 / config.kernel.energy

    def settled(uniform: Scalar) -> Scalar:
        here = dataclasses.replace(config, uniform=uniform)
        return divergence_curve(here, "approximate", jnp.asarray([1e9]))[0]

    floor, slope = jax.value_and_grad(settled)(uniform_constant(q))
    says = "slope of the settled error by c_u is zero at the best"
    yield exact(says, "T4, T9", 1 + slope / floor, 1.0)
    gap = 1 - uniform_constant(q)
    share = (config.size - 1) + 2 * gap * (1 + q)
    want = config.approximate_rate * BIN / 4 * share
    yield exact("error that it leaves", "T9", floor, want)


@together
def _correlated_checks() -> Iterator[Check]:
    """Any covariance of the inputs: the matrix by integrals, its inverse, learning."""
    mixing = jnp.asarray([[6.0, 0.0], [4.0, 5.0]])  # mV
    mean, weights = jnp.asarray([20.0, 30.0]), jnp.asarray([0.12, -0.08])
    seen = Sigmoid(), weights, mean, mixing @ mixing.T
    matrix = correlated_glm_fisher(*seen, nodes=401)
    z, mass = np.polynomial.hermite_e.hermegauss(60)
    grid = np.stack([x.ravel() for x in np.meshgrid(z, z)])
    x = mean[:, None] + mixing @ jnp.asarray(grid)
    share = jnp.asarray(np.outer(mass, mass).ravel() / mass.sum() ** 2)
    share = share * fisher_density(Sigmoid(), weights @ x)[0]
    yield exact("correlated inputs, n = 2", "T2", matrix, (x * share) @ x.T)
    inverse = correlated_glm_fisher_inverse(*seen, nodes=401)
    yield exact("its inverse", "T3", matrix @ inverse, jnp.eye(2))
    times, spread = jnp.asarray([0.0, 40.0, 400.0]), jnp.asarray(1e-3)
    metric, rate = jnp.diag(jnp.diag(matrix)), jnp.asarray(1e-2)
    got = metric_divergence(matrix, metric, spread, rate, times)
    drift = jnp.linalg.solve(metric, matrix)
    noise = drift @ jnp.linalg.inv(metric)
    want = [settling(matrix, drift, noise, spread, rate, t) for t in times]
    yield exact("learning with a diagonal metric", "T9", got, jnp.stack(want))


def settling(
    fisher: Array, drift: Array, noise: Array, spread: Scalar, rate: Scalar, time: Array
) -> Scalar:
    r"""$\frac{dt}2\mathrm{tr}(GC(t))$ of $\dot C = -\eta(AC + CA^\top) + \eta^2 N$."""
    eye = jnp.eye(len(drift))
    whole = -rate * (jnp.kron(drift, eye) + jnp.kron(eye, drift))
    settled = jnp.linalg.solve(whole, -(rate**2) * noise.ravel())
    left = jsp.linalg.expm(time * whole) @ (spread * eye.ravel() - settled)
    return BIN / 2 * jnp.vdot(fisher.ravel(), left + settled)


@together
def _fluctuation_checks() -> Iterator[Check]:
    """The Fisher matrix as the curvature of drift and as the importance of release."""
    kernel, rates = SynapticKernel(), jnp.asarray([10.0, 50.0, 20.0])
    weights, m = jnp.asarray([0.02, -0.01, 0.03]), input_moments(rates, kernel)
    seen = Sigmoid(), weights, m.mean, m.variance
    ratio, length, none = jnp.asarray([0.7, 1e-3, 0.0])
    got = repaired_divergence(*seen, BIN, ratio, length, natural=True, nodes=101)
    trace = jnp.trace(glm_fisher(*seen, nodes=101).as_matrix())
    want = isotropic_loss(ratio, length, BIN * trace / 3, none)
    yield exact("natural repair does not feel the spectrum", "beyond", got, want, 1e-8)
    importance = release_importance(Sigmoid(), weights, rates, kernel, nodes=101)
    price = 1.5 * importance[0] / rates[0]
    cost = lambda p: jnp.sum(importance * (1 / p - 1) + price * rates * p)
    best = jnp.sqrt(importance / (price * rates))
    got = best_release(importance, rates, price)
    yield exact("release is full or in balance", "beyond", got, jnp.minimum(best, 1.0))
    slope = jax.grad(cost)(got)[:2] / (price * rates[:2])
    yield exact("slope of its cost below 1", "beyond", 1 + slope, jnp.ones(2))
