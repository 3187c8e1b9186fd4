"""The neuron's closed forms beside quadrature, autodiff and sampling, for `verify`.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float

from .... import curvature, Scalar
from ....circuits import input_moments, RectifiedQuadratic, Sigmoid, SynapticKernel
from ....curvature import Fisher, fisher_density, glm_coefficients, voltage_moments
from ....experiment import Check, exact, expectation, together
from ....rules import proportional_limit
from ....signals import InputMoments
from .. import theory
from ._rule import rule_checks


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]
BIN = 5e-4  # s
NODES = 401


def neuron_checks() -> Iterator[Check]:
    """All of a single neuron but its learning curves; run in double precision."""
    yield from _kernel_checks()
    yield from _coefficient_checks()
    yield from _fisher_checks()
    yield from _bin_checks()
    yield from _sample_checks()
    yield from rule_checks()


# --- input --------------------------------------------------------------------------


@together
def _kernel_checks() -> Iterator[Check]:
    """Moments of the synaptic kernel by Gauss-Legendre quadrature."""
    kernel = SynapticKernel()
    nodes, mass = np.polynomial.legendre.leggauss(20)
    edges = np.concatenate([[0.0], np.geomspace(1e-5, 1.0, 50)])
    half = np.diff(edges)[:, None] / 2
    time = jnp.asarray(edges[:-1, None] + half * (nodes + 1))
    moment = lambda k: jnp.sum(half * mass * kernel(time) ** k)
    for name, power, want in (
        ("area of the kernel", 1, kernel.area),
        ("1/c_eps, integral of its square", 2, kernel.energy),
        ("integral of its cube", 3, kernel.skew),
    ):
        yield exact(name, "Eqs. 28-31", want, moment(power))
    slope = jax.grad(lambda t: kernel(t))
    peak = kernel.peak_time
    yield exact("its slope at the peak", "Eq. 28", 1 + slope(peak) / slope(0.0), 1.0)
    keep, drive, fade = kernel.propagator(jnp.asarray(BIN))
    x, current, seen = jnp.zeros(()), jnp.ones(()), []
    for _ in range(40):
        x, current = keep * x + drive * current, fade * current
        seen.append(x)
    want = kernel(BIN * jnp.arange(1.0, 41.0))
    yield exact("a spike, propagated", "Eq. 28", jnp.stack(seen), want)


def _moments(rates: Any) -> InputMoments:
    return input_moments(jnp.asarray(rates), SynapticKernel())


# --- coefficients -------------------------------------------------------------------


@together
def _coefficient_checks() -> Iterator[Check]:
    r"""$c_1, c_2, c_3$ in three forms, their derivatives, $g_1, g_2, g_4$."""
    transfer, mean, variance = Sigmoid(), jnp.asarray(4.0), jnp.asarray(20.0)
    coefficients = lambda q: glm_coefficients(transfer, mean, variance, q, nodes=NODES)
    c = coefficients(jnp.asarray(78.0))
    by_moments = theory.moment_coefficients(transfer, mean, variance)
    yield exact("c1, c2, c3 from moments", "Eqs. 77-79, 82", c[:3], by_moments, 1e-9)
    z = np.linspace(-9.0, 9.0, 2001)
    mass = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))
    deviation = np.sqrt(20.0)
    f, slope, bend = fisher_density(transfer, jnp.asarray(4 + deviation * z), 2)
    average = lambda x: jnp.sum(mass * x)
    stein = [average(x) for x in (f, slope, bend)]
    yield exact("c1, c2, c3 are E[F], E[F'], E[F'']", "T2", c[:3], stein, 1e-9)
    hermite = [average(f * x) for x in (z**0, z / deviation, (z**2 - 1) / deviation**2)]
    yield exact("c1, c2, c3 from Hermite polynomials", "T2", c[:3], hermite, 1e-9)
    first = lambda *x: theory.moment_coefficients(transfer, *x).c1
    slopes = jax.grad(first, argnums=(0, 1))(mean, variance)
    want = (c.c2, c.c3 / 2)
    yield exact("slopes of E[F] by mean and variance", "T2", want, slopes, 1e-9)
    still = lambda x: curvature.mean_density(transfer, mean, x, order=0)
    bend = fisher_density(transfer, mean, 2)[2]
    slope = jax.grad(still)(jnp.asarray(0.0))
    yield exact("slope of c1 at zero variance", "T2", slope, bend / 2)
    g = theory.sherman_morrison_coefficients(*c[:3], mean, variance, c.q)
    yield exact("g2 = g3", "Eqs. 103, 104", g.g2, g.g3)
    says, got = "g1, g2, g4 by two Sherman-Morrison steps", (c.g1, c.g2, c.g4)
    yield exact(says, "Eqs. 88-91, 102-105", got, (g.g1, g.g2, g.g4))
    many = coefficients(jnp.asarray(1e10))
    limits = (theory.uniform_limit, theory.mixed_limit, proportional_limit)
    over = [limit(many) / g for limit, g in zip(limits, many[3:6], strict=True)]
    yield exact("g1, g2, g4 of many inputs", "T4", over, np.ones(3), 1e-8)
    place, least = theory.least_scale(transfer)
    slope = jax.grad(lambda v: 1 / fisher_density(transfer, v)[0])(place)
    yield exact("gamma_s is least where phi is a third", "T2", 1 + slope / least, 1.0)


# --- the Fisher matrix --------------------------------------------------------------


def _tensor_quadrature(weights: Vector, moments: InputMoments, nodes: int) -> Array:
    """$E[F xx^T]$ as an integral over every input, by Gauss-Hermite quadrature."""
    z, mass = np.polynomial.hermite_e.hermegauss(nodes)
    grids = np.meshgrid(*[z] * weights.size, indexing="ij")
    masses = np.meshgrid(*[mass / mass.sum()] * weights.size, indexing="ij")
    normal = np.stack([grid.ravel() for grid in grids], axis=1)
    x = moments.mean[None] + jnp.sqrt(moments.variance)[None] * jnp.asarray(normal)
    density = fisher_density(Sigmoid(), x @ weights)[0]
    weight = jnp.asarray(np.prod(masses, axis=0).ravel()) * density
    return x.T @ (weight[:, None] * x)


def _dense(weights: Vector, moments: InputMoments) -> tuple[Matrix, Matrix]:
    """The closed forms of the Fisher matrix and of its inverse."""
    arguments = (Sigmoid(), weights, moments.mean, moments.variance)
    forward = curvature.glm_fisher(*arguments, nodes=NODES).as_matrix()
    return forward, curvature.glm_fisher_inverse(*arguments, nodes=NODES).as_matrix()


@together
def _fisher_checks() -> Iterator[Check]:
    """The matrix against integrals over every input; its inverse."""
    for count, nodes in ((2, 90), (3, 50)):
        weights = jnp.asarray([0.08, -0.05, 0.04])[:count]
        moments = _moments([10.0, 50.0, 20.0][:count])
        got, _ = _dense(weights, moments)
        want = _tensor_quadrature(weights, moments, nodes)
        yield exact(f"closed form, n = {count}", "Eqs. 34, 81", got, want)
    for count in (1, 2, 7, 100):
        rates = jnp.where(jnp.arange(count) < count // 2, 10.0, 50.0)
        spread = jr.uniform(jr.key(0), (count,), minval=-3.0, maxval=3.0) / count
        every = {
            "": spread,
            ", w = 0": jnp.zeros(count),
            ", equal weights": jnp.full(count, 1.0 / count),
        }
        dense = jax.vmap(_dense, (0, None))
        pairs = dense(jnp.stack(list(every.values())), _moments(rates))
        for name, forward, inverse in zip(every, *pairs, strict=True):
            product, eye = forward @ inverse, jnp.eye(count)
            yield exact(f"G G^-1, n = {count}{name}", "Eqs. 37, 100", product, eye)
    moments = _moments([40.0, 50.0, 60.0])
    weights = jnp.asarray([0.3, 0.2, 0.4])
    quadratic = RectifiedQuadratic(-500.0)
    arguments = (quadratic, weights, moments.mean, moments.variance)
    want = jnp.diag(moments.variance) + jnp.outer(moments.mean, moments.mean)
    got = curvature.glm_fisher(*arguments).as_matrix()
    yield exact("quadratic transfer function", "Eqs. 115-117", got, want)
    c = glm_coefficients(quadratic, *voltage_moments(*arguments[1:]))
    precision = 0.026
    inverse = jnp.diag(1 / moments.variance) - precision**2 / (c.q + 1)
    got = curvature.glm_fisher_inverse(*arguments).as_matrix()
    yield exact("its inverse", "Eqs. 118-120", got, inverse)
    want = jnp.asarray([1.0, 0.0, 0.0, -1 / (1 + c.q), 0.0, 0.0])
    yield exact("its c2 = c3 = g2 = g4 = 0", "T5", jnp.stack(c[:6]), want)


# --- bins ---------------------------------------------------------------------------


def _log_prob(dt: float, weights: Vector, x: Vector, spike: Scalar) -> Scalar:
    """Log probability of a spike or none in a bin (Eqs. 8, 50)."""
    p = Sigmoid()(jnp.vdot(weights, x)) * dt
    return jnp.where(spike > 0, jnp.log(p), jnp.log1p(-p))


def _bin_fisher(weights: Vector, x: Float[Array, "sample n"], dt: float) -> Matrix:
    r"""$dt\, \langle \phi'^2 / [\phi (1 - \phi\,dt)]\, xx^\top\rangle$ of a sample."""
    transfer, voltage = Sigmoid(), x @ weights
    density = fisher_density(transfer, voltage)[0] / (1 - transfer(voltage) * dt)
    return dt * x.T @ (density[:, None] * x) / len(x)


@together
def _bin_checks() -> Iterator[Check]:
    """Single spikes are exact; what the paper drops; additivity of bins."""
    transfer = Sigmoid()
    weights = jnp.asarray([0.05, -0.02, 0.03])
    moments = _moments([10.0, 50.0, 20.0])
    normal = jr.normal(jr.key(0), (2, 1000, 3))
    mean, deviation = moments.mean[None], jnp.sqrt(moments.variance)[None]
    x = mean + deviation * normal[0]
    outcomes = jnp.asarray([0.0, 1.0])
    for dt in (BIN, 10 * BIN):
        name = f"bins of {1000 * dt:.3g} ms"
        want = _bin_fisher(weights, x, dt)
        got = Fisher(partial(_log_prob, dt), weights, x, outcomes=outcomes).matrix()
        yield exact(f"Fisher matrix of spikes in {name}", "T1, Eqs. 61-67", got, want)
        cost = lambda w, dt=dt: theory.divergence(transfer, w, weights, x, dt)
        got = curvature.hessian(cost, weights)
        yield exact(f"Hessian of the divergence, {name}", "T1, Eq. 11", got, want)
    listed = {(0.0, 4.0): (1.0036, 1.037), (10.0, 20.0): (1.021, 1.28)}
    listed[30.0, 10.0] = (1.051, 1.96)
    ratio = lambda *x: theory.bernoulli_correction(transfer, *map(jnp.asarray, x))
    ratios = [[ratio(*at, dt) for dt in (BIN, 10 * BIN)] for at in listed]
    yield exact("exact over approximate c1", "T1", ratios, list(listed.values()), 3e-3)
    told = transfer(x @ weights)

    def counts(w: Vector) -> Scalar:
        """Divergence per second of Poisson counts, whatever the bin."""
        rate = transfer(x @ w)
        return jnp.mean(told * jnp.log(told / rate) + rate - told)

    density = fisher_density(transfer, x @ weights)[0]
    want = x.T @ (density[:, None] * x) / len(x)
    got = curvature.hessian(counts, weights)
    yield exact("Hessian for Poisson counts", "T1", got, want)
    later = mean + deviation * (0.9 * normal[0] + 0.19**0.5 * normal[1])
    yield from _additivity(weights, x, later)


def _additivity(weights: Vector, x: Array, later: Array) -> Iterator[Check]:
    """Two bins with correlated potentials (T12)."""
    dt = 10 * BIN
    log_prob = partial(_log_prob, dt)
    both = lambda w, xs, ys: log_prob(w, xs[0], ys[0]) + log_prob(w, xs[1], ys[1])
    pairs = jnp.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    got = Fisher(both, weights, jnp.stack([x, later], axis=1), outcomes=pairs).matrix()
    want = _bin_fisher(weights, x, dt) + _bin_fisher(weights, later, dt)
    yield exact("Fisher matrix of two bins is the sum", "Eqs. 125-129", got, want)
    draws = 20_000
    score = jax.vmap(jax.grad(log_prob), (None, 0, 0))
    seen = []
    for key, potentials in zip(jr.split(jr.key(0)), (x, later), strict=True):
        potentials = jnp.tile(potentials, (draws // len(x), 1))
        p = Sigmoid()(potentials @ weights) * dt
        spikes = jnp.where(jr.uniform(key, (draws,)) < p, 1.0, 0.0)
        seen.append(score(weights, potentials, spikes))
    for i, name in enumerate(("first", "second", "third")):
        product = seen[0][:, i] * seen[1][:, i]
        says = f"scores of two bins, {name} input"
        yield expectation(says, "Eqs. 126-128", product, 0.0)


@together
def _sample_checks() -> Iterator[Check]:
    """The closed form beside Hessians of the divergence on Gaussian inputs."""
    transfer = Sigmoid()
    weights = jnp.asarray([0.05, -0.02, 0.03, 0.01])
    moments = _moments([10.0, 50.0, 20.0, 30.0])
    normal = jr.normal(jr.key(0), (20_000, 4))
    x = moments.mean[None] + jnp.sqrt(moments.variance)[None] * normal
    dt = 1e-6  # so short that a bin never holds two spikes

    def curved(x: Vector) -> Matrix:
        cost = lambda w: theory.divergence(transfer, w, weights, x[None], dt)
        return jax.hessian(cost)(weights) / dt

    hessians = jax.jit(jax.vmap(curved))(x)
    closed, _ = _dense(weights, moments)
    for name, direction in (
        ("first input", jnp.eye(4)[0]),
        ("second input", jnp.eye(4)[1]),
        ("all inputs together", moments.mean / moments.variance),
        ("the weights", weights),
    ):
        along = jax.vmap(lambda h, v=direction: v @ h @ v)(hessians)
        want = direction @ closed @ direction
        yield expectation(f"Hessian along {name}", "Eqs. 11, 34", along, want)
    seen = voltage_moments(weights, moments.mean, moments.variance)
    c = glm_coefficients(transfer, *seen, nodes=NODES)
    voltage = x @ weights
    density = fisher_density(transfer, voltage)[0] / (1 - transfer(voltage) * 10 * BIN)
    ratio = theory.bernoulli_correction(transfer, c.mean, c.variance, 10 * BIN)
    says = "E[F / (1 - phi dt)] in bins of 5 ms"
    yield expectation(says, "T1", density, ratio * c.c1)
