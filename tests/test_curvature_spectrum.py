"""Traces, spectra and eigenpairs of operators whose spectrum NumPy knows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from plasticity_jax import curvature


SIZE = 40
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, SIZE)))[0]
EIGENVALUES = np.concatenate([[-8.0], np.linspace(-1, 1, SIZE - 4), [5, 10, 20]])
MATRIX = jnp.asarray(ROTATION * EIGENVALUES @ ROTATION.T)
KEYS = jr.split(jr.key(1), 400)


def close(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


def as_operator(matrix):
    """The same matrix as an operator on a pytree of two leaves."""
    example = {"a": matrix[:4, :5], "b": matrix[0, 20:]}
    _, unravel = ravel_pytree(example)
    product = lambda tree: unravel(matrix @ ravel_pytree(tree)[0])
    structure = jax.eval_shape(lambda: example)
    return lx.FunctionLinearOperator(product, structure, lx.symmetric_tag)


@pytest.mark.parametrize("kind", [lambda matrix: matrix, as_operator])
def test_exact_trace(kind):
    value, error = curvature.trace(kind(MATRIX))
    assert np.isclose(value, np.sum(EIGENVALUES), rtol=1e-12)
    assert error == 0


@eqx.filter_jit
def traces(matrix, keys, method):
    one = lambda key: curvature.trace(as_operator(matrix), method=method, key=key)
    return jax.vmap(one)(keys)


@pytest.mark.parametrize(("method", "bound"), [("hutchinson", 8.0), ("hutch++", 3.0)])
def test_stochastic_traces_are_unbiased_with_a_true_standard_error(method, bound):
    value, error = traces(MATRIX, KEYS, method)
    spread = np.std(value, ddof=1)
    assert abs(np.mean(value) - np.sum(EIGENVALUES)) < 4 * spread / len(KEYS) ** 0.5
    assert spread < bound  # of a trace of 27: the line above proves something
    assert np.isclose(np.sqrt(np.mean(error**2)), spread, rtol=0.12)


def test_hutch_plus_plus_is_exact_for_low_rank_with_a_true_gradient():
    vectors = jnp.eye(SIZE)[:, :6]
    low = lambda scale: scale**2 * vectors @ vectors.T

    @jax.jit
    @jax.value_and_grad
    def estimate(scale):
        value, error = curvature.trace(low(scale), method="hutch++", key=KEYS[0])
        return value + error

    assert np.allclose(estimate(2.0), (4 * 6, 2 * 2 * 6), rtol=1e-10)


NUMBERS = st.floats(-10, 10)


@jax.jit
def exact_and_estimate(matrix):
    one = lambda method: curvature.trace(matrix, method=method, key=KEYS[0]).value
    return jnp.stack([one("exact"), one("hutchinson"), jnp.trace(matrix)])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(NUMBERS, NUMBERS)
def test_trace_is_linear(a, b):
    square = MATRIX @ MATRIX
    both = exact_and_estimate(a * MATRIX + b * square)
    separate = a * exact_and_estimate(MATRIX) + b * exact_and_estimate(square)
    assert np.allclose(both, separate, rtol=1e-12, atol=1e-10)


def test_dense_spectrum():
    found = jax.jit(lambda m: curvature.spectrum(as_operator(m)))(MATRIX)
    assert close(found.eigenvalues, np.sort(EIGENVALUES))
    assert close(found.weights, np.full(SIZE, 1 / SIZE))


@jax.jit
def lanczos(matrix):
    options = {"method": "lanczos", "steps": 5, "probes": 3, "key": jr.key(2)}
    return curvature.spectrum(as_operator(matrix), **options)


def test_lanczos_moments_are_exact_up_to_twice_the_steps():
    """On a diagonal matrix, where every vector of signs has the true moments."""
    values, weights = lanczos(jnp.diag(jnp.asarray(EIGENVALUES)))
    assert values.shape == weights.shape == (15,)
    assert np.all(np.diff(values) >= 0)
    for power in range(10):
        true = np.mean(EIGENVALUES**power)
        assert np.isclose(np.sum(weights * values**power), true, rtol=1e-11)
    assert not np.isclose(np.sum(weights * values**10), np.mean(EIGENVALUES**10))


def test_lanczos_density_of_any_matrix():
    def moment(key):
        values, weights = curvature.spectrum(MATRIX, method="lanczos", key=key)
        return jnp.sum(weights * jnp.exp(values / 10))

    found = jax.jit(jax.vmap(moment))(KEYS[:50])
    error = np.std(found, ddof=1) / 50**0.5
    assert abs(np.mean(found) - np.mean(np.exp(EIGENVALUES / 10))) < 4 * error
    assert error < 0.02  # of a mean of 1.3


def test_lanczos_where_the_krylov_space_ends_early():
    """Fewer distinct eigenvalues than steps: values and gradients stay true."""
    three = np.repeat([-2.0, 0.0, 3.0], [5, SIZE - 7, 2])
    eigenvalues = np.stack([np.zeros(SIZE), np.ones(SIZE), three])

    def mean_square(shift, eigenvalues):
        values, weights = lanczos(jnp.diag(eigenvalues) + shift * jnp.eye(SIZE))
        return jnp.sum(weights * values**2)

    both = jax.vmap(jax.value_and_grad(mean_square), in_axes=(None, 0))
    for shift in (0.0, 0.5):
        value, slope = jax.jit(both)(shift, jnp.asarray(eigenvalues))
        moved = eigenvalues + shift
        assert np.allclose(value, np.mean(moved**2, axis=1), rtol=1e-10)
        assert np.allclose(slope, 2 * np.mean(moved, axis=1), rtol=1e-10, atol=1e-12)


@jax.jit
def top(matrix):
    return curvature.top_eigenpairs(as_operator(matrix), 3, key=jr.key(3))


def test_top_eigenpairs():
    values, vectors = top(MATRIX)
    assert close(values, np.array([20.0, 10.0, 5.0]), 1e-10)
    assert jax.tree.map(jnp.shape, vectors) == {"a": (3, 4, 5), "b": (3, SIZE - 20)}
    rows = np.array(jax.vmap(lambda tree: ravel_pytree(tree)[0])(vectors))
    overlaps = np.abs(rows @ ROTATION[:, [-1, -2, -3]])
    assert np.allclose(overlaps, np.eye(3), atol=1e-8)


def test_top_eigenpairs_with_repeats_and_of_the_other_end():
    repeated = jnp.diag(jnp.repeat(jnp.array([3.0, 1.0, -7.0]), jnp.array([2, 35, 3])))
    values, vectors = top(repeated)
    assert close(values, np.array([3.0, 3.0, 1.0]))
    rows = np.array(jax.vmap(lambda tree: ravel_pytree(tree)[0])(vectors))
    assert np.allclose(rows @ rows.T, np.eye(3), atol=1e-12)
    assert close(-top(-repeated)[0], np.full(3, -7.0))


def test_eigenvalues_have_the_gradient_of_perturbation_theory():
    """The slope of an eigenvalue along a change of the matrix is v^T change v."""
    change = jr.normal(jr.key(4), (SIZE, SIZE))
    change = change + change.T
    along = lambda f: jax.jit(jax.jacrev(lambda s: f(MATRIX + s * change)))(0.0)
    expected = np.einsum("ik,ij,jk->k", ROTATION, change, ROTATION)
    assert close(along(lambda m: top(m)[0]), expected[[-1, -2, -3]], 1e-8)
    values = along(lambda m: curvature.spectrum(m).eigenvalues)
    assert close(values, expected, 1e-9)


def test_gradient_of_a_lanczos_moment():
    """Against a central difference, with the probes held fixed."""

    @jax.jit
    @jax.value_and_grad
    def square(matrix):
        values, weights = lanczos(matrix)
        return jnp.sum(weights * values**2)

    step = 1e-6 * MATRIX @ MATRIX
    slope = jnp.vdot(square(MATRIX)[1], step)
    secant = (square(MATRIX + step)[0] - square(MATRIX - step)[0]) / 2
    assert np.isclose(slope, secant, rtol=1e-6)


def test_single_precision_and_cuda():
    def everything(matrix, key):
        operator = as_operator(matrix)
        return (
            curvature.spectrum(operator, method="lanczos", key=key),
            curvature.top_eigenpairs(operator, 2, key=key),
            curvature.trace(operator, method="hutch++", key=key),
            curvature.spectrum(matrix),
        )

    jitted = jax.jit(everything)
    found = jitted(MATRIX.astype(jnp.float32), KEYS[0])
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    (_, weights), (values, _), _, (dense, _) = found
    assert np.isclose(np.sum(weights), 1, rtol=1e-5)
    assert close(values, np.array([20.0, 10.0]), 1e-5)
    assert close(dense, np.sort(EIGENVALUES), 1e-5)
    traced = jitted.trace(MATRIX, KEYS[0]).lower(lowering_platforms=("cuda",))
    assert "callback" not in traced.as_text()


def test_bad_arguments_are_named():
    tall = lx.MatrixLinearOperator(jnp.ones((3, 2)))
    for call, message in [
        (lambda: curvature.trace(MATRIX, method="hutch"), "mean 'hutch"),
        (lambda: curvature.trace(MATRIX, method="hutchinson"), "needs `key`"),
        (
            lambda: curvature.trace(MATRIX, method="hutch++", samples=5, key=KEYS[0]),
            "`samples` must be at least 6; got 5",
        ),
        (
            lambda: curvature.trace(MATRIX, method="hutch++", samples=200, key=KEYS[0]),
            "`samples` must be at most three times .* 120; got 200",
        ),
        (lambda: curvature.trace(tall), "`operator` must be square; got 3 x 2"),
        (lambda: curvature.spectrum(tall), "`operator` must be symmetric"),
        (lambda: curvature.spectrum(MATRIX, method="full"), "`method` is unknown"),
        (lambda: curvature.spectrum(MATRIX, method="lanczos"), "needs `key`"),
        (
            lambda: curvature.top_eigenpairs(MATRIX, 41, key=KEYS[0]),
            r"`count` must lie in \[1, 40\]; got 41",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
