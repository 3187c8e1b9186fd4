"""Gauss-Newton and Fisher matrices against loops, outer products and formulas."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from plasticity_jax import curvature
from plasticity_jax.curvature import _fisher


MODEL = eqx.nn.MLP(2, 3, 4, 1, jax.nn.softplus, key=jr.key(0))
DRAW = np.random.default_rng(0)
INPUTS = jnp.asarray(DRAW.normal(size=(7, 2)))
TARGETS = jnp.asarray(DRAW.integers(0, 3, 7))
OUTCOMES = jnp.asarray([0, 1, 2])
ARRAYS, REST = eqx.partition(MODEL, eqx.is_inexact_array)
FLAT, UNRAVEL = ravel_pytree(ARRAYS)


def as_model(flat):
    return eqx.combine(UNRAVEL(flat), REST)


def predict(model):
    return jax.vmap(model)(INPUTS.astype(model.layers[0].bias.dtype))


def output_loss(outputs):
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(7), TARGETS])


def log_prob(model, x, y):
    return jax.nn.log_softmax(model(x.astype(model.layers[0].bias.dtype)))[y]


def close(actual, expected, tolerance=1e-12):
    assert actual.shape == expected.shape
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


@pytest.fixture(scope="module")
def reference():
    """Exact and empirical Fisher from a loop over gradients and outer products."""
    score = jax.jit(jax.grad(lambda flat, x, y: log_prob(as_model(flat), x, y)))
    scores = np.array([[score(FLAT, x, y) for y in OUTCOMES] for x in INPUTS])
    p = np.array(jax.nn.softmax(predict(MODEL)))
    seen = scores[np.arange(7), TARGETS]
    exact = np.einsum("xy,xyi,xyj->ij", p, scores, scores) / 7
    return {"exact": exact, "empirical": seen.T @ seen / 7, "probabilities": p}


@eqx.filter_jit
def gauss_newtons(params):
    operator = curvature.gauss_newton_operator(predict, params, output_loss)
    return {
        "dense": curvature.gauss_newton(predict, params, output_loss, block_size=4),
        "operator": operator.as_matrix(),
        "diagonal": curvature.gauss_newton_diagonal(predict, params, output_loss),
    }


def test_gauss_newton_is_the_exact_fisher_for_a_softmax(reference):
    found, expected = gauss_newtons(MODEL), reference["exact"]
    assert close(found["dense"], expected)
    assert close(found["operator"], expected)
    assert close(found["diagonal"], np.diag(expected))


def test_gauss_newton_by_its_formula_with_outputs_of_any_structure():
    """A quadratic and a quartic loss of two outputs, their Hessian by hand."""
    maps = np.array(jr.normal(jr.key(3), (2, 4)))
    predict = lambda w: {"a": jnp.tanh(maps[0] @ w), "b": maps[1:] @ w}
    output_loss = lambda z: z["a"] ** 2 + jnp.sum(z["b"] ** 4)
    w = jnp.array([0.1, 0.2, -0.3, 0.4])
    found = jax.jit(lambda w: curvature.gauss_newton(predict, w, output_loss))(w)
    a, b = np.tanh(maps[0] @ w), maps[1] @ w
    expected = 2 * (1 - a**2) ** 2 * np.outer(maps[0], maps[0])
    assert close(found, expected + 12 * b**2 * np.outer(maps[1], maps[1]))


def test_gauss_newton_is_the_hessian_where_residuals_vanish():
    fit = predict(MODEL)
    squares = lambda outputs: 0.5 * jnp.mean((outputs - fit) ** 2)
    found = eqx.filter_jit(curvature.gauss_newton)(predict, MODEL, squares)
    residual = lambda model: squares(predict(model))
    assert close(found, eqx.filter_jit(curvature.hessian)(residual, MODEL))


@eqx.filter_jit
def fishers(params, kind):
    options = {"kind": kind, "outcomes": OUTCOMES, "targets": TARGETS}
    found = curvature.Fisher(log_prob, params, INPUTS, **options)
    return {
        "dense": found.matrix(),
        "diagonal": found.diagonal(),
        "operator": found.operator().as_matrix(),
    }


@pytest.mark.parametrize("kind", ["exact", "empirical"])
def test_fisher_is_the_mean_of_outer_products(kind, reference):
    found = fishers(MODEL, kind)
    assert close(found["dense"], reference[kind])
    assert close(found["operator"], reference[kind])
    assert close(found["diagonal"], np.diag(reference[kind]))


def exact(flat):
    return curvature.Fisher(
        log_prob, as_model(flat), INPUTS, outcomes=OUTCOMES
    ).matrix()


@pytest.mark.parametrize("inputs_per_block", [1, 3])
def test_exact_fisher_in_blocks(inputs_per_block, reference, monkeypatch):
    entries = inputs_per_block * 3 * FLAT.size
    monkeypatch.setattr(_fisher, "BLOCK_ENTRIES", entries)
    assert close(jax.jit(lambda flat: exact(flat))(FLAT), reference["exact"])


def test_bartlett_identity(reference):
    """The exact Fisher is the mean Hessian of -log p under the model itself."""
    fixed = jnp.asarray(reference["probabilities"])
    surprise = lambda model: -jnp.sum(fixed * jax.nn.log_softmax(predict(model))) / 7
    found = eqx.filter_jit(curvature.hessian)(surprise, MODEL)
    assert close(found, reference["exact"])


def test_single_precision_stays_single_precision(reference):
    cast = lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x
    model = jax.tree.map(cast, MODEL)
    for found in (gauss_newtons(model), fishers(model, "exact")):
        assert {x.dtype for x in found.values()} == {jnp.dtype(jnp.float32)}
        assert close(found["dense"], reference["exact"], 1e-5)
        assert close(found["operator"], reference["exact"], 1e-5)


WEIGHTS = jnp.array([[0.3, -1.0, 2.0], [-0.2, 0.1, 0.4]])
FEATURES, MIXING = jnp.asarray(DRAW.normal(size=(5, 3))), DRAW.normal(size=(3, 3))


def bernoulli(w, x, y):
    """Log probability of y = 0 or 1 in a logistic regression."""
    return jax.nn.log_sigmoid((2.0 * y - 1) * (x @ w))


def sampled(key):
    options = {"kind": "sampled", "outcomes": jnp.arange(2.0), "samples": 2}
    return curvature.Fisher(bernoulli, WEIGHTS[0], FEATURES, key=key, **options)


def logistic(w):
    """The Fisher information of the logistic regression, by hand."""
    x, p = np.array(FEATURES), 1 / (1 + np.exp(-np.array(FEATURES) @ np.array(w)))
    return (x.T * p * (1 - p)) @ x / len(x)


def test_sampled_fisher_is_unbiased():
    keys = jr.split(jr.key(4), 2000)
    draws = np.array(jax.jit(jax.vmap(lambda key: sampled(key).matrix()))(keys))
    expected = logistic(WEIGHTS[0])
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(keys))
    assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4 * error)
    assert np.max(error) < 0.03 * np.max(expected)
    # Each of the 2 x 5 draws is its own: so is the variance of their mean, by hand.
    x, p = np.array(FEATURES), 1 / (1 + np.exp(-np.array(FEATURES @ WEIGHTS[0])))
    each = np.sum(x**2, axis=1) ** 2 * p * (1 - p) * (1 - 2 * p) ** 2
    spread = np.std(np.trace(draws, axis1=1, axis2=2), ddof=1)
    assert np.isclose(spread, np.sqrt(np.sum(each) / 2) / 5, rtol=0.1)


@jax.jit
def sampled_forms(key):
    again = [sampled(key) for _ in range(3)]
    operator = again[2].operator().as_matrix()
    return again[0].matrix(), again[1].diagonal(), operator


def test_sampled_fishers_with_one_key_share_their_draws():
    dense, diagonal, operator = sampled_forms(jr.key(5))
    assert close(operator, dense)
    assert close(diagonal, jnp.diagonal(dense))
    assert not close(sampled_forms(jr.key(6))[0], dense, 1e-2)


def test_sampled_and_empirical_fisher_of_a_continuous_outcome():
    """A linear Gaussian: scores are noise times the input, G their mean square."""
    gauss = lambda w, x, y: -0.5 * (y - w @ x) ** 2
    draw = lambda w, x, key: w @ x + jr.normal(key)

    @jax.jit
    def both(key, targets):
        fisher = lambda **how: curvature.Fisher(
            gauss, WEIGHTS[0], FEATURES, **how
        ).matrix()
        sampled = fisher(kind="sampled", sample=draw, key=key, samples=4000)
        return sampled, fisher(kind="empirical", targets=targets)

    noise = jr.normal(jr.key(6), (5,))
    found, seen = both(jr.key(7), FEATURES @ WEIGHTS[0] + noise)
    x = np.array(FEATURES)
    error = np.sqrt(2 / 4000 / 5)  # relative, of a mean of squared normal numbers
    assert np.allclose(found, x.T @ x / 5, atol=4 * error * np.max(x**2))
    assert close(seen, (x.T * np.array(noise) ** 2) @ x / 5)


def mixed_fishers(w):
    outcomes = jnp.arange(2.0)
    predict, loss = lambda w: FEATURES @ w, lambda z: jnp.mean(jax.nn.softplus(z))
    fisher = curvature.Fisher(bernoulli, w, FEATURES, outcomes=outcomes)
    exact, first = fisher.matrix(), fisher.diagonal()[0]
    last = fisher.operator().mv(jnp.array([0.0, 0.0, 1.0]))[2]
    gauss_newton = curvature.gauss_newton(predict, w, loss)
    second = curvature.gauss_newton_diagonal(predict, w, loss)[1]
    mixed = jnp.sum(MIXING * exact), jnp.sum(MIXING.T * gauss_newton)
    return jnp.stack([*mixed, first, second, last])


def test_gradient_and_vmap_over_parameters():
    slopes = jax.jit(jax.vmap(jax.jacrev(mixed_fishers)))(WEIGHTS)
    values = jax.jit(jax.vmap(mixed_fishers))(WEIGHTS)
    x, unit = np.array(FEATURES), np.eye(3)
    mixings = np.stack([MIXING, MIXING.T, *(np.outer(u, u) for u in unit)])
    mixed = np.einsum("ni,kij,nj->kn", x, mixings, x)
    for value, slope, w in zip(values, slopes, np.array(WEIGHTS), strict=True):
        p = 1 / (1 + np.exp(-x @ w))
        assert close(value, mixed @ (p * (1 - p)) / 5)
        assert close(slope, (mixed * p * (1 - p) * (1 - 2 * p)) @ x / 5)


def test_weights_that_vanish_have_a_finite_gradient():
    """At -log p = 2,000 the probability is 0 in float64."""
    total = lambda w: jnp.sum(mixed_fishers(w))
    assert np.all(np.isfinite(jax.jit(jax.grad(total))(1e3 * WEIGHTS[0])))


def test_fishers_lower_for_cuda():
    traced = jax.jit(lambda flat, key: (exact(flat), sampled(key).matrix())).trace(
        FLAT, jr.key(0)
    )
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "callback" not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "exat"}, r"`kind` is unknown: 'exat'.*mean 'exact'"),
        ({}, "`kind='exact'` needs `outcomes`"),
        ({"kind": "empirical"}, "`kind='empirical'` needs `targets`"),
        ({"kind": "empirical", "targets": OUTCOMES}, "match the 7 inputs; got 3"),
        ({"kind": "sampled", "outcomes": OUTCOMES}, "needs `key`"),
        ({"kind": "sampled", "key": jr.key(0)}, "either `outcomes` or `sample`"),
        (
            {"kind": "sampled", "key": jr.key(0), "outcomes": OUTCOMES, "samples": 0},
            "`samples` must be at least 1; got 0",
        ),
        ({"outcomes": jnp.asarray([])}, "`outcomes` must share their first axis"),
    ],
)
def test_fisher_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        curvature.Fisher(log_prob, MODEL, INPUTS, **options)


def test_fisher_wants_a_log_probability_of_an_outcome():
    with pytest.raises(
        ValueError, match=r"`log_prob` must be a function of \(params, x"
    ):
        curvature.Fisher(lambda params, x: x, MODEL, INPUTS, outcomes=OUTCOMES)
