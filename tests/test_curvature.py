"""Hessians of a user's network against jax.hessian and formulas by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from plasticity_jax import curvature


MODEL = eqx.nn.MLP(2, 3, 4, 1, jax.nn.softplus, key=jr.key(0))
DRAW = np.random.default_rng(0)
INPUTS = jnp.asarray(DRAW.normal(size=(7, 2)))
TARGETS = jnp.asarray(DRAW.integers(0, 3, 7))
ARRAYS, REST = eqx.partition(MODEL, eqx.is_inexact_array)
FLAT, UNRAVEL = ravel_pytree(ARRAYS)
DIRECTION = jnp.asarray(DRAW.normal(size=FLAT.shape))


def as_model(flat):
    return eqx.combine(UNRAVEL(flat), REST)


def loss(model):
    logits = jax.vmap(model)(INPUTS.astype(model.layers[0].bias.dtype))
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(7), TARGETS])


def loss_of_arrays(arrays):
    return loss(eqx.combine(arrays, REST))


def close(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


@pytest.fixture(scope="module")
def reference():
    return np.array(jax.jit(jax.hessian(lambda flat: loss(as_model(flat))))(FLAT))


@eqx.filter_jit
def hessians(params, direction):
    return {
        "dense": curvature.hessian(loss, params, block_size=4),
        "operator": curvature.hessian_operator(loss, params).as_matrix(),
        "diagonal": curvature.hessian_diagonal(loss, params, block_size=4),
        "product": curvature.hvp(loss, params, direction),
        "curvature": curvature.quadratic_form(loss, params, direction),
    }


def test_hessians_agree_with_jax_hessian(reference):
    found = hessians(MODEL, as_model(DIRECTION))
    for name in ("dense", "operator"):
        assert close(found[name], reference)
    assert close(found["diagonal"], np.diag(reference))
    assert close(ravel_pytree(found["product"])[0], reference @ DIRECTION)
    along = DIRECTION @ reference @ DIRECTION / (DIRECTION @ DIRECTION)
    assert close(found["curvature"], along)
    assert found["product"].activation is None


def test_parameters_may_be_the_arrays_of_a_module(reference):
    found = jax.jit(
        lambda arrays: curvature.hessian(loss_of_arrays, arrays, block_size=1)
    )(ARRAYS)
    assert close(found, reference)


def test_single_precision_stays_single_precision(reference):
    cast = lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x
    found = eqx.filter_jit(curvature.hessian)(loss, jax.tree.map(cast, MODEL))
    assert found.dtype == jnp.float32
    assert close(found, reference, 1e-5)


@jax.jit
@jax.value_and_grad
def quadratic(v, scale):
    return curvature.quadratic_form(loss, MODEL, as_model(scale * v))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.floats(-150, 150), st.sampled_from([-1, 1]))
def test_quadratic_form_is_a_scale_free_rayleigh_quotient(seed, power, sign):
    v = jr.normal(jr.key(seed), FLAT.shape)
    value, slope = quadratic(v, sign * 10**power)
    plain, plain_slope = quadratic(v, 1.0)
    assert np.isclose(value, plain, rtol=1e-12)
    assert close(slope, plain_slope, 1e-10)
    assert abs(slope @ v) < 1e-12 * np.linalg.norm(slope) * np.linalg.norm(v)
    eigenvalues = np.linalg.eigvalsh(hessians(MODEL, as_model(DIRECTION))["dense"])
    assert eigenvalues[0] <= value <= eigenvalues[-1]


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_quadratic_form_and_its_slope(reference, scale):
    v = np.array(DIRECTION)
    value, slope = quadratic(DIRECTION, scale)
    expected = v @ reference @ v / (v @ v)
    assert np.isclose(value, expected, rtol=1e-12)
    assert close(slope, 2 * (reference @ v - expected * v) / (v @ v), 1e-11)


def test_quadratic_form_of_nothing_is_zero_with_zero_slope():
    value, slope = quadratic(jnp.zeros_like(DIRECTION), 1.0)
    assert value == 0
    assert not np.any(slope)


WEIGHTS = jnp.array([[0.3, -1.0, 2.0], [-0.2, 0.1, 0.4]])
FEATURES, MIXING = map(
    jnp.asarray, (DRAW.normal(size=(5, 3)), DRAW.normal(size=(3, 3)))
)


def mixed_hessian(w):
    logistic = lambda w: jnp.mean(jax.nn.softplus(FEATURES @ w))
    hessian = curvature.hessian(logistic, w, block_size=2)
    return jnp.sum(MIXING * hessian) + curvature.hessian_diagonal(logistic, w)[0]


def test_gradient_and_vmap_over_parameters():
    """A logistic regression: its Hessian is the mean of x x^T p (1 - p)."""
    value, slope = jax.jit(jax.vmap(jax.value_and_grad(mixed_hessian)))(WEIGHTS)
    x = np.array(FEATURES)
    p = 1 / (1 + np.exp(-np.array(WEIGHTS) @ x.T))
    mixed = np.einsum("ni,ij,nj->n", x, MIXING, x) + x[:, 0] ** 2
    assert close(value, np.mean(p * (1 - p) * mixed, axis=1))
    assert close(slope, (p * (1 - p) * (1 - 2 * p) * mixed) @ x / len(x))


def test_the_diagonal_does_not_need_the_memory_of_the_matrix():
    size = 600
    loss = lambda w: jnp.sum(jnp.tanh(w) ** 3) + jnp.sum(w) ** 2
    diagonal = jax.jit(lambda w: curvature.hessian_diagonal(loss, w))
    compiled = diagonal.lower(jnp.ones(size)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.2 * 8 * size**2
    t = np.tanh(1.0)
    expected = 6 * t * (1 - t**2) ** 2 - 6 * t**3 * (1 - t**2) + 2
    assert close(compiled(jnp.ones(size)), np.full(size, expected))


def test_hessians_lower_for_cuda():
    flat = lambda flat: curvature.hessian(loss, as_model(flat))
    lowered = jax.jit(flat).trace(FLAT).lower(lowering_platforms=("cuda",))
    assert "callback" not in lowered.as_text()


def test_hessian_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"array of floats; got \['bool'\]"):
        curvature.hessian(lambda n: 0.0, {"n": True})
    with pytest.raises(ValueError, match="`block_size` must be at least 1; got 0"):
        jax.eval_shape(lambda: curvature.hessian(loss, MODEL, block_size=0))
