"""Laws of late and rare repair and of noise with a memory, against linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax.curvature import (
    best_ratio,
    coloured_variance,
    delayed_variance,
    greedy_ratio,
    isotropic_loss,
    lagged_loss,
    lagged_ratio,
    preconditioned_loss,
    steady_state,
)


SPECTRUM = jnp.asarray(np.geomspace(0.04, 1.0, 12))


def stationary(matrix, noise):
    """P = A P A^T + Q, solved as one linear system."""
    size = len(matrix)
    whole = np.eye(size**2) - np.kron(matrix, matrix)
    return np.linalg.solve(whole, noise.ravel()).reshape(size, size)


@pytest.mark.parametrize("delay", [0, 1, 3, 7])
def test_a_delayed_direction_varies_as_its_companion_matrix(delay):
    for k in (0.01, 0.9 * 2 * np.sin(np.pi / (2 * (2 * delay + 1)))):
        matrix = np.eye(delay + 1, k=-1)
        matrix[0, 0] += 1
        matrix[0, delay] -= k
        noise = np.zeros_like(matrix)
        noise[0, 0] = 1
        want = stationary(matrix, noise)[0, 0]
        assert np.isclose(delayed_variance(k, delay), want, rtol=1e-8)
    beyond = 1.001 * 2 * np.sin(np.pi / (2 * (2 * delay + 1)))
    assert np.isnan(delayed_variance(beyond, delay))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_a_direction_under_coloured_noise_varies_as_the_pair_does(correlation):
    for k in (0.05, 1.0, 1.7):  # the noise and the direction that it drives
        matrix = np.asarray([[correlation, 0.0], [1.0, 1 - k]])
        noise = np.diag([1 - correlation**2, 0.0])
        want = stationary(matrix, noise)[1, 1]
        assert np.isclose(coloured_variance(k, correlation), want, rtol=1e-10)


def test_neither_is_the_law_of_repair_at_once():
    for ratio, rho in ((0.4, 0.0), (1.3, 2.0)):
        found = lagged_loss(SPECTRUM, ratio, 0.3, rho)
        want = steady_state(SPECTRUM, ratio, 0.3, rho).loss
        assert jnp.allclose(found, want, rtol=1e-12)
    assert jnp.allclose(lagged_ratio(SPECTRUM, 1.0), best_ratio(SPECTRUM, 1.0), 1e-9)


def test_rare_repair_is_best_with_the_root_of_the_interval():
    for every in (2, 9):
        found = lagged_ratio(SPECTRUM, 0.0, every=every)
        assert jnp.allclose(found, every**0.5 * best_ratio(SPECTRUM, 0.0), rtol=1e-9)


@pytest.mark.parametrize("options", [{"delay": 3}, {"every": 4}, {"correlation": 0.6}])
def test_the_best_ratio_is_where_the_error_is_least(options):
    best = lagged_ratio(SPECTRUM, 0.5, **options)
    loss = lambda r: lagged_loss(SPECTRUM, r, 1.0, 0.5, **options)
    assert loss(best) < min(loss(0.95 * best), loss(1.05 * best))
    assert jnp.abs(jax.grad(loss)(best)) < 1e-6


def test_preconditioning_spans_the_gradient_and_the_natural_gradient():
    turn = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (12, 12)))[0]
    matrix = turn * SPECTRUM[None] @ turn.T
    matrix = (matrix + matrix.T) / 2
    for ratio in (0.5, 1.4):
        plain = preconditioned_loss(matrix, 3 * jnp.eye(12), ratio, 0.3)
        want = steady_state(SPECTRUM, ratio, 0.3, 0.0).loss
        assert jnp.allclose(plain, want, rtol=1e-9)
        natural = preconditioned_loss(matrix, jnp.linalg.inv(matrix), ratio, 0.3)
        want = isotropic_loss(ratio, 0.3, jnp.mean(SPECTRUM), 0.0)
        assert jnp.allclose(natural, want, rtol=1e-9)


def test_shares_of_directions_count_as_the_directions_do():
    every = jnp.asarray([0.0, 1.0, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0])
    few, shares = [0.0, 1.0, 2.0, 5.0], jnp.asarray([1.0, 2.0, 1.0, 4.0]) / 8
    for rho in (0.0, 1.5):
        one = steady_state(every, 0.7, 0.3, rho)
        two = steady_state(few, 0.7, 0.3, rho, weights=shares)
        assert jnp.allclose(one.loss, two.loss, rtol=1e-12)
        assert jnp.allclose(two.variances[3], jnp.sum(one.variances[4:]), rtol=1e-12)
        for ratio in (best_ratio, greedy_ratio):
            found = ratio(few, rho, weights=shares)
            assert jnp.allclose(found, ratio(every, rho), rtol=1e-9)
