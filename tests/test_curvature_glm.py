"""The closed-form Fisher matrix of a spiking neuron against quadrature and autodiff."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plasticity_jax import curvature
from plasticity_jax.circuits import input_moments, SynapticKernel
from plasticity_jax.curvature import (
    glm_coefficients,
    glm_fisher,
    glm_fisher_inverse,
    mean_density,
    quadrature_error,
    skewed_glm_fisher,
    voltage_moments,
)
from plasticity_jax.curvature._transfer import RectifiedQuadratic, Sigmoid


SIGMOID = Sigmoid()
Q = 78.0  # 100 inputs, half at 10 Hz and half at 50 Hz
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def close(actual, expected, tolerance=1e-12):
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


def scalar(x, dtype=jnp.float64):
    return jnp.asarray(x, dtype)


def density(voltage, maximum=100.0, slope=0.3, threshold=10.0):
    """F of the sigmoid, written again in NumPy."""
    z = slope * (voltage - threshold)
    s, opposite = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    return maximum * slope**2 * s * opposite**2


def tensor_quadrature(function, weights, mean, variance, nodes):
    """E[f(x) xx^T] for Gaussian x by Gauss-Hermite quadrature along every axis."""
    z, mass = np.polynomial.hermite_e.hermegauss(nodes)
    mass = mass / mass.sum()
    grid = np.stack(np.meshgrid(*[z] * len(mean), indexing="ij"), -1)
    grid = grid.reshape(-1, len(mean))
    masses = np.prod(np.meshgrid(*[mass] * len(mean), indexing="ij"), axis=0).ravel()
    x = mean + np.sqrt(variance) * grid
    values = masses * function(x @ weights, grid)
    return np.einsum("k,ki,kj->ij", values, x, x)


def problem(weights, rates, kernel=None):
    """Weights, means, variances and third cumulants as arrays."""
    moments = input_moments(jnp.asarray(rates), kernel or SynapticKernel())
    return jnp.asarray(weights), moments.mean, moments.variance, moments.third


@eqx.filter_jit
def fisher(transfer, weights, mean, variance, nodes=81):
    return glm_fisher(transfer, weights, mean, variance, nodes=nodes).as_matrix()


@eqx.filter_jit
def inverse(transfer, weights, mean, variance, nodes=81):
    operator = glm_fisher_inverse(transfer, weights, mean, variance, nodes=nodes)
    return operator.as_matrix()


@eqx.filter_jit
def coefficients(transfer, mean, variance, q, nodes=151):
    return glm_coefficients(transfer, mean, variance, q, nodes=nodes)


@eqx.filter_jit
def averages(transfer, mean, variance, count=3, nodes=49):
    """E[F] and of its derivatives."""
    average = lambda k: mean_density(transfer, mean, variance, order=k, nodes=nodes)
    return jnp.stack([average(k) for k in range(count)])


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


# --- the Fisher matrix --------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "rates", "nodes"),
    [
        ([0.1, -0.05], [10.0, 50.0], 100),
        ([0.12, 0.03], [30.0, 5.0], 100),
        ([0.08, -0.06, 0.05], [10.0, 50.0, 20.0], 60),
    ],
)
def test_closed_form_is_the_average_over_all_inputs(weights, rates, nodes):
    """T2: the expectation as an integral over every input, not over the voltage."""
    w, mean, variance, _ = problem(weights, rates)
    want = tensor_quadrature(
        lambda v, _: density(v), np.array(w), np.array(mean), np.array(variance), nodes
    )
    assert close(fisher(SIGMOID, w, mean, variance), want, 1e-10)


@eqx.filter_jit
def products(transfer, weights, mean, variance):
    inverse = glm_fisher_inverse(transfer, weights, mean, variance, nodes=81)
    forward = glm_fisher(transfer, weights, mean, variance, nodes=81)
    eye = jnp.eye(weights.size)
    return (
        forward.as_matrix() @ inverse.as_matrix() - eye,
        jax.vmap(forward.mv)(jax.vmap(inverse.mv)(eye)) - eye,
    )


def between(low, high):
    return st.floats(low, high, allow_nan=False)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@EXAMPLES
@given(data=st.data())
def test_inverse_is_the_inverse(n, data):
    """T3 for any weights (also 0 and equal), rates, kernel and sigmoid.

    Weights make the potential at most as wide as the quadrature allows, also where it
    lies far above threshold and what counts is its lower tail.
    """
    draw = data.draw
    rates = draw(arrays(float, n, elements=between(1.0, 100.0), fill=st.nothing()))
    kernel = SynapticKernel(
        draw(between(1e-3, 0.03)), draw(between(1e-3, 0.03)), draw(between(0.3, 3.0))
    )
    slope = draw(between(0.05, 1.0))
    transfer = Sigmoid(draw(between(1.0, 500.0)), slope, draw(between(-20.0, 20.0)))
    shape = draw(arrays(float, n, elements=between(-1.0, 1.0)))
    weights, mean, variance, _ = problem(shape, rates, kernel)
    widest = np.sqrt(np.sum(np.square(weights) * variance))
    weights = weights * min(1.0, 1.2 / (slope * max(float(widest), 1e-300)))
    for gap in products(transfer, weights, mean, variance):
        assert np.max(np.abs(gap)) < 1e-10


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-4, 1.0])
def test_inverse_at_no_weights_and_at_equal_ones(n, size):
    """Equal weights are the edge of what is possible: mean^2 = q variance."""
    rates = jnp.where(jnp.arange(n) < n // 2, 10.0, 50.0)
    size = min(size, 0.1 * n)  # one weight of 1 is too wide for these nodes
    weights, mean, variance, _ = problem(jnp.full(n, size / n), rates)
    for gap in products(SIGMOID, weights, mean, variance):
        assert np.max(np.abs(gap)) < 1e-10
    mu, square, q = voltage_moments(weights, mean, variance)
    assert close(mu**2, q * square)


@pytest.mark.parametrize(
    "transfer", [jax.nn.softplus, lambda v: jnp.exp(0.1 * v), RectifiedQuadratic(-50.0)]
)
def test_inverse_for_other_transfer_functions(transfer):
    weights, mean, variance, _ = problem([0.02, -0.01, 0.03], [10.0, 50.0, 20.0])
    for gap in products(transfer, weights, mean, variance):
        assert np.max(np.abs(gap)) < 1e-10


def sherman_morrison(c1, c2, c3, mean, variance, q):
    """The paper's coefficients of the inverse, by two rank-one updates (T3)."""
    k1 = 1 / (c1 * (c1 * (q + 1) + c2 * mean))
    big_p, big_q = c1 * mean + c2 * variance, c2 * q + c3 * mean
    k2 = 1 / (1 + (c2 * mean + c3 * variance) / c1 - k1 * big_p * big_q)
    return (
        c1 * (-k1 * c1 + k1 * k2 * c2 * big_p / c1 - k1**2 * k2 * c1 * big_p * big_q),
        c1 * (-k1 * c2 + k1 * k2 * c3 * big_p / c1 - k1**2 * k2 * c2 * big_p * big_q),
        c1 * (k1 * k2 * big_q - k2 * c2 / c1**2),
        c1 * (k1 * k2 * c2 * big_q / c1 - k2 * c3 / c1**2),
    )


@EXAMPLES
@given(between(-30.0, 30.0), between(1e-3, 100.0), between(0.0, 1.0))
def test_inverse_coefficients_are_the_papers(mean, variance, loose):
    """Where all weights are equal (`loose` = 0) and where not; $g_2 = g_3$."""
    q = mean**2 / variance + 200 * loose + 1e-3
    c = coefficients(SIGMOID, scalar(mean), scalar(variance), scalar(q))
    g1, g2, g3, g4 = sherman_morrison(c.c1, c.c2, c.c3, mean, variance, q)
    assert c.determinant > 0
    assert close(np.stack([c.g1]), np.stack([g1]), 1e-9)
    assert close(np.stack([c.g2, c.g2]), np.stack([g2, g3]), 1e-9 * (1 + abs(mean)))
    assert np.allclose(c.g4, g4, rtol=1e-8, atol=1e-9)


def test_determinant_is_that_of_the_rank_two_part():
    weights, mean, variance, _ = problem([0.02, -0.01, 0.03], [10.0, 50.0, 20.0])
    c = coefficients(SIGMOID, *voltage_moments(weights, mean, variance), nodes=81)
    ratio = np.linalg.det(fisher(SIGMOID, weights, mean, variance))
    ratio = ratio / np.prod(c.c1 * np.asarray(variance))
    assert close(c.determinant, ratio, 1e-10)


def test_quadratic_rate_has_the_law_of_any_inputs():
    """T5: $F = 1$ above threshold; the rank-two core is singular."""
    weights, mean, variance, _ = problem([0.3, 0.2, 0.4], [40.0, 50.0, 60.0])
    transfer = RectifiedQuadratic(-500.0)
    moments = voltage_moments(weights, mean, variance)
    c = coefficients(transfer, *moments)
    assert close(jnp.stack([c.c1, c.c2, c.c3]), np.array([1.0, 0.0, 0.0]), 1e-14)
    want = np.outer(mean, mean) + np.diag(variance)
    assert close(fisher(transfer, weights, mean, variance), want)
    scale = 2 * 0.013  # c_eps eps_0
    want = np.diag(1 / np.asarray(variance)) - scale**2 / (moments[2] + 1)
    assert close(inverse(transfer, weights, mean, variance), want)


# --- the coefficients ---------------------------------------------------------------


def three_forms(mean, variance):
    r"""$c_1, c_2, c_3$ from derivatives, Hermite polynomials and moments, in NumPy."""
    z = np.linspace(-9, 9, 4001)
    mass = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))
    deviation = np.sqrt(variance)
    voltage = mean + deviation * z
    f, s = density(voltage), 1 / (1 + np.exp(-0.3 * (voltage - 10)))
    average = lambda x: np.sum(mass * x)
    stein = (f, 0.3 * f * (1 - 3 * s), 0.09 * f * (1 - 9 * s + 12 * s**2))
    central = (f, f * z / deviation, f * (z**2 - 1) / variance)
    i1, i2, i3 = (average(f * voltage**k) for k in range(3))
    c2 = (i2 - i1 * mean) / variance
    c3 = i3 - i1 * (mean**2 + variance) - 2 * c2 * mean * variance
    moment = (i1, c2, c3 / variance**2)
    return [average(x) for x in stein], [average(x) for x in central], moment


@pytest.mark.parametrize("mean", [-15.0, 0.0, 7.0, 25.0])
@pytest.mark.parametrize("variance", [1.0, 4.0, 10.0, 30.0, 100.0])
def test_derivatives_hermite_polynomials_and_moments_agree(mean, variance):
    c = coefficients(SIGMOID, scalar(mean), scalar(variance), scalar(1e4))
    for form in three_forms(mean, variance):
        for k, (got, want) in enumerate(zip(c[:3], form, strict=True)):
            assert abs(got - want) < 1e-9 * 0.3**k * c.c1


@eqx.filter_jit
def slopes(slope, mean, variance):
    """Of the averages by a parameter, the mean and the variance, both ways."""
    value = lambda slope, *moments: averages(Sigmoid(slope=slope), *moments, nodes=151)
    here = (slope, mean, variance)
    return [jac(value, argnums=(0, 1, 2))(*here) for jac in (jax.jacfwd, jax.jacrev)]


@pytest.mark.parametrize("variance", [0.0, 1e-8, 0.5, 12.0, 60.0])
def test_derivatives_are_those_of_the_expectation(variance):
    """By differences of values, not by what the derivative is programmed to be."""
    value = lambda slope, *moments: averages(Sigmoid(slope=slope), *moments, nodes=151)
    here = (scalar(0.3), scalar(3.0), scalar(variance))
    forward, backward = slopes(*here)
    size = 0.3 ** np.arange(3)
    for i, step in enumerate((1e-4, 1e-3, 1e-3)):
        shift = step * (np.arange(3) == i)
        if i == 2 and variance < step:  # one-sided, of second order
            at = [value(*here[:2], here[2] + k * step) for k in range(3)]
            secant = (4 * at[1] - at[2] - 3 * at[0]) / (2 * step)
        else:
            ahead = value(*(x + d for x, d in zip(here, shift, strict=True)))
            behind = value(*(x - d for x, d in zip(here, shift, strict=True)))
            secant = (ahead - behind) / (2 * step)
        tolerance = 1e-5 if i == 0 else 1e-6
        assert np.all(np.abs(forward[i] - secant) < tolerance * size)
        assert np.any(np.abs(secant) > 1e-3 * size)
        assert close(backward[i], forward[i])


def test_second_derivatives_at_zero_variance_are_those_of_the_density():
    value = lambda x: mean_density(SIGMOID, x[0], x[1], order=0)
    found = jax.jit(jax.hessian(value))(jnp.asarray([3.0, 0.0]))
    f = averages(SIGMOID, scalar(3.0), scalar(0.0), 6)
    want = [[f[2], f[3] / 2], [f[3] / 2, f[4] / 4]]
    assert close(found, np.array(want), 1e-10)
    whole = lambda x: jnp.stack(glm_coefficients(SIGMOID, x[0], x[1], scalar(Q))[:6])
    found = jax.jit(jax.hessian(whole))(jnp.asarray([0.0, 0.0]))
    assert found.shape == (6, 2, 2)
    assert jnp.all(jnp.isfinite(found))
    assert jnp.all(jnp.any(found != 0, axis=(1, 2)))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("variance", [0.0, 1e-30, 1e-18, 1e-14, 1e-6])
def test_averages_of_every_order_are_finite_at_small_variance(dtype, variance):
    """Where powers of the deviation underflow; the skewed matrix needs order five."""
    sigmoid = cast(SIGMOID, dtype)
    here = (sigmoid, scalar(3.0, dtype), scalar(variance, dtype))
    want = averages(SIGMOID, scalar(3.0), scalar(0.0), 6)
    size = 0.3 ** np.arange(6) * float(want[0])
    assert np.all(np.abs(averages(*here, 6).astype(float) - want) < 1e-5 * size)
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(backward(*here)))


@eqx.filter_jit
def backward(*here):
    return jax.jacrev(lambda *here: averages(*here, 6), argnums=(0, 1, 2))(*here)


@pytest.mark.parametrize(
    ("gamma_s", "mean", "variance"),
    [  # from the figures of the specification
        (0.77, 7.4, 1.0),
        (0.94, 7.4, 10.0),
        (1.53, 7.4, 60.0),
        (45.0, 20.0, 1.0),
        (861.0, -20.0, 1.0),
    ],
)
def test_published_size_of_the_scale(gamma_s, mean, variance):
    c = coefficients(SIGMOID, scalar(mean), scalar(variance), scalar(1e3))
    assert np.allclose(1 / c.c1, gamma_s, rtol=0.01)


# --- single precision, nodes, limits ------------------------------------------------


@pytest.mark.parametrize(
    ("size", "variance", "nodes", "tolerance"),
    [
        (0.0, 0.0, 25, 5e-7),
        (1e-8, None, 25, 5e-7),
        (0.05, None, 151, 3e-6),
        (None, 1.0, 25, 5e-7),
        (None, 10.0, 25, 5e-7),
        (None, 25.0, 151, 5e-7),
        (None, 100.0, 151, 3e-6),
        (None, 400.0, 151, 4e-6),
    ],
)
def test_single_precision_gives_the_natural_direction(size, variance, nodes, tolerance):
    """Pitfall 7: weights of `size`, or of any size that gives the `variance`."""
    rates = jnp.where(jnp.arange(100) < 50, 10.0, 50.0)
    weights, mean, square, _ = problem(jr.normal(jr.key(0), (100,)), rates)
    if size is not None:
        weights = size * jnp.sign(weights)
    else:
        weights = weights * jnp.sqrt(variance / jnp.sum(weights**2 * square))
    x = mean + jnp.sqrt(square) * jr.normal(jr.key(1), (100,))

    double = (SIGMOID, weights, mean, square, x)
    want, c = direction(*double, nodes)
    got, c_single = direction(*cast(double, jnp.float32), nodes)
    assert got.dtype == jnp.float32
    error = np.linalg.norm(np.asarray(got, float) - want) / np.linalg.norm(want)
    assert error < tolerance
    assert abs(float(c_single.g4) - c.g4) < 2e-5 * max(abs(c.g4), 1e-2)


@eqx.filter_jit
def direction(transfer, weights, mean, square, x, nodes):
    inverse = glm_fisher_inverse(transfer, weights, mean, square, nodes=nodes)
    moments = voltage_moments(weights, mean, square)
    return inverse.mv(x), glm_coefficients(transfer, *moments, nodes=nodes)


STATED = {25: 10.0, 49: 30.0, 81: 100.0, 151: 400.0, 241: 900.0}


@pytest.mark.parametrize("nodes", STATED)
def test_stated_numbers_of_nodes_suffice_and_their_check_tells(nodes):
    """Pitfall 8; and that a quarter of the nodes does not."""
    means = jnp.linspace(-30.0, 30.0, 13)
    variance = scalar(STATED[nodes])

    def errors(nodes):
        @jax.jit
        @jax.vmap
        def at(mean):
            told = quadrature_error(SIGMOID, mean, variance, nodes=nodes)
            return told, averages(SIGMOID, mean, variance, nodes=nodes)

        told, found = at(means)
        exact = jax.vmap(lambda m: averages(SIGMOID, m, variance, nodes=1001))(means)
        error = np.abs(found - exact) / np.outer(exact[:, 0], 0.3 ** np.arange(3))
        return told, np.max(error)

    told, error = errors(nodes)
    assert np.max(told) < 1e-3
    assert error < 1e-6
    told, error = errors(nodes // 4)
    assert np.max(told) > 1e-3
    assert np.isnan(error)  # never an ordinary number that is wrong


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("mean", [-300.0, -200.0, 200.0, 400.0])
def test_saturation_is_finite(mean, dtype):
    here = (cast(SIGMOID, dtype), scalar(mean, dtype), scalar(10.0, dtype))
    found, slopes = saturated(*here)
    assert found.dtype == dtype
    assert jnp.all(jnp.isfinite(found))
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slopes))


@eqx.filter_jit
def saturated(*here):
    """Coefficients, the scale of the rule, and their derivatives."""

    def value(transfer, mean, variance):
        c = glm_coefficients(transfer, mean, variance, scalar(1e6, mean.dtype))
        return jnp.stack([c.c1, c.c2, c.c3, c.g1, c.g2, c.g4, 1 / c.c1])

    return value(*here), jax.jacrev(value, argnums=(0, 1, 2))(*here)


def test_impossible_moments_are_refused():
    with pytest.raises(ValueError, match=r"variance.*negative.*-1"):
        glm_coefficients(SIGMOID, scalar(0.0), scalar(-1.0), scalar(Q))
    with pytest.raises(ValueError, match="no weights have these moments"):
        glm_coefficients(SIGMOID, scalar(20.0), scalar(5.0), scalar(Q))
    edge = glm_coefficients(SIGMOID, scalar(20.0), scalar(400 / Q), scalar(Q))
    assert edge.determinant > 0
    with pytest.raises(ValueError, match="no weights"):
        glm_coefficients(SIGMOID, scalar(1.0), scalar(0.0), scalar(Q))


# --- against autodiff and sampling --------------------------------------------------


@pytest.fixture(scope="module")
def sample():
    """A neuron with four inputs and 100 000 Gaussian draws of their potentials."""
    weights, mean, variance, _ = problem(
        [0.05, -0.02, 0.03, 0.01], [10.0, 50.0, 20.0, 30.0]
    )
    normal = jr.normal(jr.key(3), (100_000, 4))
    x = mean[None] + jnp.sqrt(variance)[None] * normal
    return weights, mean, variance, x


def test_hessian_of_the_divergence_on_gaussian_inputs(sample):
    """Check 2: Poisson counts, for which no bin width matters; per second."""
    weights, mean, variance, x = sample
    teacher = SIGMOID(x @ weights)

    def divergence(w):
        rate = SIGMOID(x @ w)
        return jnp.mean(teacher * jnp.log(teacher / rate) + rate - teacher)

    found = np.asarray(jax.jit(jax.hessian(divergence))(weights))
    terms = density(np.asarray(x @ weights))[:, None, None] * np.einsum(
        "ki,kj->kij", x, x
    )
    assert close(found, terms.mean(0), 1e-10)
    error = terms.std(0) / np.sqrt(len(terms))
    closed = fisher(SIGMOID, weights, mean, variance)
    assert np.all(np.abs(found - closed) < 4 * error)
    size = np.sqrt(np.outer(np.diag(closed), np.diag(closed)))
    assert np.all(error < 0.01 * size)  # else the line before proves nothing


def test_fisher_of_a_bernoulli_spike_is_its_closed_form_on_a_sample(sample):
    r"""T1: exact, with the factor $1/(1 - \phi\,dt)$ that the paper drops."""
    weights, _, _, x = sample
    x, dt = x[:2000], 5e-3

    def log_prob(w, x, y):
        p = SIGMOID(jnp.sum(w * x)) * dt
        return jnp.where(y > 0, jnp.log(p), jnp.log1p(-p))

    exact = curvature.Fisher(
        log_prob, weights, x, outcomes=jnp.asarray([0.0, 1.0])
    ).matrix()
    voltage = np.asarray(x @ weights)
    corrected = density(voltage) / (1 - np.asarray(SIGMOID(x @ weights)) * dt)
    want = dt * np.einsum("k,ki,kj->ij", corrected, x, x) / len(x)
    assert close(exact, want, 1e-12)
    teacher = SIGMOID(x @ weights) * dt

    def divergence(w):
        p = SIGMOID(x @ w) * dt
        silent = (1 - teacher) * jnp.log((1 - teacher) / (1 - p))
        return jnp.mean(teacher * jnp.log(teacher / p) + silent)

    assert close(jax.jit(jax.hessian(divergence))(weights), want, 1e-10)
    uncorrected = dt * np.einsum("k,ki,kj->ij", density(voltage), x, x) / len(x)
    assert not close(want, uncorrected, 1e-2)


# --- third cumulants ----------------------------------------------------------------


@pytest.mark.parametrize(("weights", "rates"), [([0.1, -0.05], [40.0, 80.0])])
def test_skewed_matrix_is_the_first_order_in_the_third_cumulants(weights, rates):
    r"""T7: Gaussian density times $1 + \sum \kappa He_3(z) / 6 \sigma^3$ is exact."""
    w, mean, variance, third = problem(weights, rates)
    cubes = np.asarray(third) / (6 * np.asarray(variance) ** 1.5)

    def weighted(v, z):
        return density(v) * (1 + (z**3 - 3 * z) @ cubes)

    arguments = (np.array(w), np.array(mean), np.array(variance), 120)
    want = tensor_quadrature(weighted, *arguments)
    gaussian = tensor_quadrature(lambda v, _: density(v), *arguments)
    found = skewed(w, mean, variance, third, nodes=101)
    assert close(found.operator().as_matrix(), want, 1e-9)
    assert not close(gaussian, want, 0.03)  # else it was no test of the skewness


@pytest.mark.parametrize("n", [1, 3, 40])
def test_skewed_inverse_is_the_inverse(n):
    rates = 10 + 40 * jr.uniform(jr.key(0), (n,))
    weights = jr.uniform(jr.key(1), (n,), minval=-1.0) / n
    w, mean, variance, third = problem(0.5 * weights, rates)
    parts = skewed(w, mean, variance, third)
    matrix, inverse = parts.operator(), parts.inverse()
    assert close(matrix.as_matrix() @ inverse.as_matrix(), np.eye(n), 1e-10)
    x = jr.normal(jr.key(2), (n,))
    assert close(inverse.mv(matrix.mv(x)), x, 1e-10)
    assert close(matrix.as_matrix(), matrix.as_matrix().T)
    assert jnp.all(jnp.linalg.eigvalsh(matrix.as_matrix()) > 0)


@eqx.filter_jit
def skewed(*arguments, nodes=81):
    sigmoid = cast(SIGMOID, arguments[0].dtype)
    return skewed_glm_fisher(sigmoid, *arguments, nodes=nodes)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("size", [0.0, 1e-12, 0.6, -0.6])
def test_skewed_inverse_is_finite_without_weights_and_in_saturation(size, dtype):
    w, mean, variance, third = problem(jnp.full(100, size), jnp.full(100, 50.0))
    w = w / 50  # at 0.6: 60 mV, 11 standard deviations from rest
    arguments = cast((w, mean, variance, third), dtype)
    found = skewed(*arguments).inverse().mv(arguments[1])
    assert found.dtype == dtype
    assert jnp.all(jnp.isfinite(found))


def test_without_skewness_both_matrices_are_one():
    w, mean, variance, _ = problem([0.05, -0.02, 0.03], [10.0, 50.0, 20.0])
    found = skewed(w, mean, variance, jnp.zeros(3))
    assert close(found.operator().as_matrix(), fisher(SIGMOID, w, mean, variance))
    closed = inverse(SIGMOID, w, mean, variance)
    assert close(found.inverse().as_matrix(), closed, 1e-10)


# --- diagonal plus low rank ---------------------------------------------------------


CORES = {
    "regular": [[2.0, 0.3], [0.3, 1.0]],
    "singular": [[2.0, 0.0], [0.0, 0.0]],
    "zero": [[0.0, 0.0], [0.0, 0.0]],
    "indefinite": [[0.5, 0.2], [0.2, -0.01]],
}


@pytest.mark.parametrize("core", CORES.values(), ids=CORES.keys())
def test_woodbury_inverts_also_with_a_singular_core(core):
    diagonal = 1 + jr.uniform(jr.key(0), (6,))
    factors, core = jr.normal(jr.key(1), (6, 2)), jnp.asarray(core)
    dense = jnp.diag(diagonal) + factors @ core @ factors.T
    forward = curvature.diagonal_plus_low_rank(diagonal, factors, core)
    inverse = curvature.inverse_diagonal_plus_low_rank(diagonal, factors, core)
    x = jr.normal(jr.key(2), (6,))
    assert close(forward.as_matrix(), dense)
    assert close(forward.mv(x), dense @ x)
    assert close(inverse.as_matrix(), np.linalg.inv(dense), 1e-10)
    assert close(inverse.mv(x), np.linalg.solve(dense, x), 1e-10)


def test_gradient_through_woodbury_with_a_singular_core():
    diagonal, factors = jnp.asarray([1.0, 2.0, 1.5]), jr.normal(jr.key(1), (3, 2))
    x = jnp.asarray([1.0, -1.0, 0.5])

    def first(size):
        core = jnp.diag(jnp.stack([jnp.ones_like(size), size]))
        inverse = curvature.inverse_diagonal_plus_low_rank(diagonal, factors, core)
        return inverse.mv(x)[0]

    secant = (first(scalar(1e-6)) - first(scalar(-1e-6))) / 2e-6
    assert np.allclose(jax.grad(first)(scalar(0.0)), secant, rtol=1e-7)


def test_products_need_no_matrix():
    """O(n): a product with 20 000 inputs, whose matrix would take 3 GB."""
    n = 20_000
    w, mean, variance, _ = problem(jnp.full(n, 0.1 / n), jnp.full(n, 20.0))
    inverse = glm_fisher_inverse(SIGMOID, w, mean, variance)
    product = glm_fisher(SIGMOID, w, mean, variance).mv(inverse.mv(mean))
    assert close(product, mean, 1e-7)  # the matrix has the condition number 10^4


def test_closed_forms_lower_for_cuda_without_callbacks():
    w, mean, variance, third = problem([0.05, -0.02, 0.03], [10.0, 50.0, 20.0])

    def everything(w):
        skewed = skewed_glm_fisher(SIGMOID, w, mean, variance, third)
        inverse = glm_fisher_inverse(SIGMOID, w, mean, variance)
        return skewed.operator().mv(w), inverse.mv(w)

    lowered = jax.jit(everything).trace(w).lower(lowering_platforms=("cuda",))
    assert "callback" not in lowered.as_text()


def test_every_pair_of_the_coefficients_is_told_by_name():
    c = coefficients(SIGMOID, scalar(1.0), scalar(4.0), scalar(Q))
    assert (c.mean, c.variance, c.q) == (1.0, 4.0, Q)
    assert len(set(itertools.chain(map(float, c)))) == len(c)
