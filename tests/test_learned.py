"""Rules with free coefficients, their likelihoods, and what these determine."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
import pytest
import scipy.special
import scipy.stats

from plasticity_jax import simulate, System
from plasticity_jax.circuits import Layer
from plasticity_jax.inference import (
    activity_log_likelihood,
    behave,
    choice_fisher,
    choice_log_likelihood,
    estimable,
    expectation,
    least_squares,
    monomials,
    NeuralRule,
    PolynomialRule,
    predicted_fields,
    term_name,
    Trajectories,
)
from plasticity_jax.rules import Oja
from plasticity_jax.signals import LayerSignals
from plasticity_jax.tasks import Constant


KEY = jr.key(0)
OJA = ((1, 1, 0, 0), (0, 2, 1, 0))
DECAY = ((1, 0, 0, 1), (0, 0, 1, 0))
WEIGHTS = jnp.asarray([[0.3, -0.2, 0.5]])


def inputs(trajectories, steps, pre, key=KEY):
    """As in Mehta et al. 2024: mean 0.75, variance 0.05."""
    return 0.75 + 0.05**0.5 * jr.normal(key, (trajectories, steps, pre))


def signals(reward=0.7):
    pre, post = jnp.asarray([0.5, -1.5, 2.0]), jnp.asarray([0.3, -0.8])
    shown = {"reward": jnp.asarray(reward)}
    return LayerSignals(jnp.asarray(0.5), pre, post, post, jnp.ones(2), shown)


def test_every_term_is_the_product_that_it_names():
    seen, w = signals(), jr.normal(KEY, (2, 3))
    terms = monomials()
    assert len(terms) == len(set(terms)) == 81
    each = jax.jit(
        jax.vmap(lambda theta: PolynomialRule(theta, terms, 0.1)(w, seen, KEY))
    )(jnp.eye(81))
    for (a, b, c, d), found in zip(terms, each, strict=True):
        x, y = np.asarray(seen.pre)[None], np.asarray(seen.post)[:, None]
        want = 0.5 * 0.1 * x**a * y**b * np.asarray(w) ** c * 0.7**d
        np.testing.assert_allclose(found, want, rtol=1e-12)


def test_names_of_terms():
    assert term_name((1, 1, 0, 0)) == "x y"
    assert term_name((0, 2, 1, 0)) == "y^2 w"
    assert term_name((0, 0, 0, 0)) == "1"


def test_a_polynomial_runs_as_the_rule_that_it_writes_out():
    task = Constant(jnp.asarray([0.5, -1.0, 0.2]))
    ends = []
    for rule in (Oja(0.1), PolynomialRule([1.0, -1.0], OJA, 0.1)):
        system = System(task, Layer(), {"it": rule})
        ends.append(simulate(system, system.start(WEIGHTS, KEY), KEY, steps=50)[0])
    np.testing.assert_allclose(ends[0].synapses, ends[1].synapses, rtol=1e-12)


def test_a_neural_rule_is_its_network_at_every_synapse():
    seen, w = signals(), jr.normal(KEY, (2, 3))
    network = eqx.nn.MLP(4, "scalar", 5, 1, jnp.tanh, key=KEY)
    found = eqx.filter_jit(NeuralRule(network, 0.1))(w, seen, KEY)
    one = eqx.filter_jit(network)(jnp.asarray([2.0, -0.8, float(w[1, 2]), 0.7]))
    np.testing.assert_allclose(found[1, 2], 0.5 * 0.1 * one, rtol=1e-12)
    three = eqx.nn.MLP(3, 1, 5, 1, key=KEY)
    data = Trajectories(inputs(2, 6, 3))
    rule = NeuralRule(three, 0.1, reward=False)
    size = lambda rule: jnp.sum(predicted_fields(rule, WEIGHTS, data) ** 2)
    slopes = eqx.filter_jit(eqx.filter_grad(size))(rule)
    assert all(np.any(x) for x in jax.tree.leaves(jax.device_get(slopes)))


def test_predictions_begin_with_the_weights_and_may_differ_between_trajectories():
    data = Trajectories(inputs(2, 5, 3))
    own = jnp.stack([WEIGHTS, 2 * WEIGHTS])
    rule = PolynomialRule([1.0, -1.0], OJA, 0.1)
    fields = eqx.filter_jit(predicted_fields)
    found, shared = (np.asarray(fields(rule, w, data)) for w in (own, WEIGHTS))
    np.testing.assert_allclose(found[1, 0, 0], 2 * data.inputs[1, 0] @ WEIGHTS[0])
    np.testing.assert_allclose(found[0], shared[0], rtol=1e-12)
    assert np.all(np.abs(found[1] - shared[1]) > 1e-3)


def test_likelihoods_are_those_of_normal_and_binary_numbers_without_what_is_unseen():
    rule, course = PolynomialRule([1.0, -1.0], OJA, 0.1), inputs(2, 4, 3)
    fields = eqx.filter_jit(predicted_fields)
    activity = np.array(fields(rule, WEIGHTS, Trajectories(course))) + 0.1
    activity[0, 1] = np.nan
    data = Trajectories(course, activity=jnp.asarray(activity))
    found = eqx.filter_jit(activity_log_likelihood)(rule, WEIGHTS, 0.2, data)
    each = scipy.stats.norm.logpdf(0.1, 0.0, 0.2)
    np.testing.assert_allclose(found, np.asarray([3.0, 4.0]) * each, rtol=1e-12)
    chosen = np.where(np.isnan(activity), np.nan, 1.0)
    chosen[1, 2] = 0.0
    data = Trajectories(course, choices=jnp.asarray(chosen))
    p = scipy.special.expit(fields(rule, WEIGHTS, data, jax.nn.sigmoid)[:, :, 0])
    p[1, 2], p[0, 1] = 1 - p[1, 2], 1

    @eqx.filter_jit
    @eqx.filter_value_and_grad(has_aux=True)
    def both(rule):
        found = choice_log_likelihood(rule, WEIGHTS, data)
        return jnp.sum(found), found

    (_, found), slope = both(rule)
    np.testing.assert_allclose(found, np.sum(np.log(p), axis=1), rtol=1e-12)
    assert np.all(np.isfinite(slope.coefficients))


def test_fisher_of_choices_is_the_mean_square_of_their_scores():
    terms, course = (*OJA, *DECAY), inputs(2, 4, 3)
    theta = jnp.asarray([0.1, -0.1, 0.2, -0.3])
    rewards = jr.normal(KEY, (2, 4))
    data = Trajectories(course, rewards)

    def fields(theta):
        rule = PolynomialRule(theta, terms)
        return predicted_fields(rule, WEIGHTS, data, jax.nn.sigmoid)

    def square(choices):
        seen = Trajectories(course, rewards, choices=choices)
        total = lambda theta: jnp.sum(
            choice_log_likelihood(PolynomialRule(theta, terms), WEIGHTS, seen)
        )
        score = jax.grad(total)(theta)
        return jnp.outer(score, score)

    @jax.jit
    def both(theta):
        want = expectation(square, jax.nn.sigmoid(fields(theta)))  # all 256 choices
        return choice_fisher(fields, theta), want

    found, want = both(theta)
    np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-12)


def binary_fisher(terms, rewards):
    on = jr.bernoulli(KEY, 0.5, (2, 40, 4)).astype(float)
    data = Trajectories(on, rewards)
    weights = 0.5 * jr.normal(jr.key(1), (1, 4))
    theta = 0.02 * jr.normal(jr.key(2), (len(terms),))
    fields = lambda theta: predicted_fields(
        PolynomialRule(theta, terms), weights, data, jax.nn.sigmoid
    )
    return theta, jax.jit(lambda theta: choice_fisher(fields, theta))(theta)


def test_binary_inputs_and_rewards_leave_twelve_of_27_combinations():
    terms = monomials(post=0)
    names = [term_name(term) for term in terms]
    rewards = jr.bernoulli(jr.key(3), 0.5, (2, 40)).astype(float)
    _, fisher = binary_fisher(terms, rewards)
    found = estimable(fisher, names)
    assert len(found.names) == 12
    assert len(found.hidden) == 15
    assert "[x w^2] + [x^2 w^2]" in found.names
    assert "[x r] + [x r^2] + [x^2 r] + [x^2 r^2]" in found.names
    assert {"[x] - [x^2]", "[r] - [r^2]"} <= set(found.hidden)
    assert np.all(np.linalg.eigvalsh(found.covariance) > 0)


def test_estimable_combinations_have_the_covariance_of_least_squares():
    design = np.array(jr.normal(KEY, (50, 3)))
    design[:, 2] = 2 * design[:, 0] - 1e3 * design[:, 1]
    design = np.concatenate([design, np.zeros((50, 1))], axis=1)
    found = estimable(design.T @ design, ["a", "b", "c", "never"])
    assert found.names == ("[a] + 2 [c]", "[b] - 1e+03 [c]")
    assert found.hidden == ("2 [a] - 1e+03 [b] - [c]", "[never]")
    want = np.linalg.inv(design[:, :2].T @ design[:, :2])
    np.testing.assert_allclose(found.covariance, want, rtol=1e-6)
    np.testing.assert_allclose(found.combinations @ [2, -1e3, -1, 0], 0, atol=1e-6)
    whole = estimable(np.diag([1.0, 1e-12]), ["a", "b"])  # units do not matter
    assert whole.names == ("[a]", "[b]")
    np.testing.assert_allclose(whole.covariance, np.diag([1.0, 1e12]))
    none = estimable(np.zeros((2, 2)), ["a", "b"])
    assert none.names == ()
    assert none.hidden == ("[a]", "[b]")


def learners(count, key, theta=(0.2, -0.03), weights=WEIGHTS, terms=DECAY, steps=80):
    for_inputs, for_on, for_rewards, for_choices = jr.split(key, 4)
    shown = inputs(count, steps, weights.shape[1], for_inputs)
    shown = jnp.where(jr.bernoulli(for_on, 0.5, shown.shape), shown, 0)
    earned = jnp.where(shown[..., 0] > 0, 0.8, 0.2)
    earned = jr.bernoulli(for_rewards, earned).astype(float)
    return behave(PolynomialRule(theta, terms), weights, shown, earned, for_choices)


def test_choices_come_as_often_as_the_likelihood_says():
    data = jax.jit(learners, static_argnums=0)(400, KEY)
    rule = PolynomialRule([0.2, -0.03], DECAY)
    field = eqx.filter_jit(predicted_fields)(rule, WEIGHTS, data, jax.nn.sigmoid)
    chance = scipy.special.expit(field)
    rewards, choices = np.asarray(data.rewards), np.asarray(data.choices)
    off = np.sum(choices - chance) / np.sum(chance * (1 - chance)) ** 0.5
    assert abs(off) < 4
    first = rewards[:, 0]  # nothing is expected yet
    assert set(np.unique(first)) == {0.0, 1.0}
    assert np.all(first <= choices[:, 0, 0])
    own = np.where(choices[:, 1, 0] == 0, rewards[:, 1] + first / 10, 0)
    np.testing.assert_allclose(own, 0, atol=1e-12)


@pytest.mark.dear
def test_scores_at_the_truth_have_mean_zero_and_the_fisher_matrix_as_their_spread():
    terms = monomials(post=0, weight=1, reward=1)
    theta = jnp.asarray([{(2, 0, 0, 1): 0.2}.get(x, 0.0) for x in terms])

    @jax.jit
    @jax.vmap
    def one(key):
        data = learners(1, key, theta, terms=terms, steps=40)
        rule = lambda theta: PolynomialRule(theta, terms)
        total = lambda x: jnp.sum(choice_log_likelihood(rule(x), WEIGHTS, data))
        fields = lambda x: predicted_fields(rule(x), WEIGHTS, data, jax.nn.sigmoid)
        return jax.grad(total)(theta), choice_fisher(fields, theta)

    scores, fisher = one(jr.split(KEY, 600))
    mean = jnp.mean(fisher, axis=0)
    white = jnp.linalg.solve(jnp.linalg.cholesky(mean), scores.T)  # unit spread
    assert jnp.max(jnp.abs(jnp.mean(white, axis=1))) < 4 / 600**0.5
    square = jnp.mean(jnp.sum(white**2, axis=0))
    error = jnp.std(jnp.sum(white**2, axis=0)) / 600**0.5
    assert abs(square - len(terms)) < 4 * error
    assert error < 0.05 * len(terms)


@pytest.mark.dear
def test_the_coefficients_of_oja_are_found_with_the_error_that_is_stated():
    terms = monomials(pre=1, post=2, weight=1, reward=0)
    truth = jnp.asarray([{OJA[0]: 1.0, OJA[1]: -1.0}.get(x, 0.0) for x in terms])
    predict = lambda theta, weights, data: predicted_fields(
        PolynomialRule(theta, terms, 0.02), weights, data
    )

    def z(key):
        for_inputs, for_weights, for_noise = jr.split(key, 3)
        data = Trajectories(inputs(3, 80, 2, for_inputs))
        weights = 0.3 * jr.normal(for_weights, (6, 2))
        clean = predict(truth, weights, data)
        seen = clean + 0.02 * jr.normal(for_noise, clean.shape)
        slope = jax.jacfwd(lambda x: predict(x, weights, data).ravel())
        first = slope(jnp.zeros(len(terms)))
        units = jnp.linalg.cholesky(first.T @ first / 0.02**2).T
        shaped = lambda u: jax.scipy.linalg.solve_triangular(units, u)
        off = lambda u, _: (predict(shaped(u), weights, data) - seen).ravel() / 0.02
        solver = optx.LevenbergMarquardt(1e-6, 1e-6)
        nothing = jnp.zeros(len(terms))
        found = optx.least_squares(off, solver, nothing, throw=False).value
        at = slope(shaped(found)) / 0.02
        return (shaped(found) - truth) / jnp.sqrt(
            jnp.diagonal(jnp.linalg.inv(at.T @ at))
        )

    many = jax.jit(lambda keys: jax.lax.map(z, keys, batch_size=10))(jr.split(KEY, 40))
    inside = jnp.abs(many) < 1.96
    assert jnp.mean(inside) > 0.95 - 4 * (0.05 * 0.95 / 40 / 4) ** 0.5  # of 4 or more
    assert jnp.all(jnp.abs(jnp.median(many, axis=0)) < 4 * 1.2533 / 40**0.5)


@pytest.mark.dear
def test_a_neural_rule_learned_from_activity_predicts_other_learners():
    """Off by less than the noise; half a percent of the square that no rule leaves."""
    noise, oja = 0.02, PolynomialRule([1.0, -1.0], OJA, 0.05)
    nothing = PolynomialRule([0.0, 0.0], OJA)

    def taught(count, key):
        for_inputs, for_weights, for_noise = jr.split(key, 3)
        data = Trajectories(inputs(count, 60, 2, for_inputs))
        weights = 0.5 * jr.normal(for_weights, (count, 4, 2))
        clean = predicted_fields(oja, weights, data)
        return data, weights, clean, clean + noise * jr.normal(for_noise, clean.shape)

    data, weights, _, seen = taught(12, KEY)
    network = eqx.nn.MLP(3, "scalar", 5, 1, jnp.tanh, key=KEY)
    start = NeuralRule(network, 0.05, reward=False)
    predict = lambda rule: predicted_fields(rule, weights, data)
    found = least_squares(predict, start, seen, starts=1, max_steps=100).params
    data, weights, clean, _ = taught(40, jr.key(1))
    square = lambda rule: jnp.mean(
        (predicted_fields(rule, weights, data) - clean) ** 2, axis=(1, 2)
    )
    off, null = square(found), square(nothing)
    most = jnp.mean(off) + 4 * jnp.std(off) / 40**0.5
    print(most**0.5, most / jnp.mean(null))
    assert most < noise**2
    assert most < 0.005 * jnp.mean(null)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: PolynomialRule([1.0], ((1, 3, 0, 0),)), "each 0 to 2"),
        (lambda: PolynomialRule([1.0, 1.0], (OJA[0], OJA[0])), "must not come twice"),
        (lambda: PolynomialRule([1.0], OJA), "one for each of 2 terms"),
        (lambda: monomials(pre=3), "`pre` must be at most 2; got 3"),
        (lambda: Trajectories(jnp.full((1, 2, 3), jnp.nan)), "`inputs` must be finite"),
        (
            lambda: Trajectories(jnp.zeros((1, 2, 3)), jnp.zeros((1, 3))),
            "`rewards` must fit",
        ),
        (
            lambda: Trajectories(
                jnp.zeros((1, 1, 3)), choices=jnp.full((1, 1, 1), 0.5)
            ),
            "must be 0, 1 or NaN; got 0.5",
        ),
        (
            lambda: choice_log_likelihood(
                PolynomialRule([1.0, 1.0], OJA),
                WEIGHTS,
                Trajectories(jnp.zeros((1, 2, 3))),
            ),
            "must hold `choices`",
        ),
        (
            lambda: predicted_fields(
                PolynomialRule([1.0, 1.0], OJA),
                WEIGHTS,
                Trajectories(jnp.zeros((1, 2, 4))),
            ),
            r"`weights` must be \(post, 4\)",
        ),
        (
            lambda: predicted_fields(
                PolynomialRule([1.0, 1.0], DECAY),
                WEIGHTS,
                Trajectories(jnp.zeros((1, 2, 3))),
            ),
            "reward",
        ),
        (
            lambda: NeuralRule(lambda v: v)(jnp.ones((2, 3)), signals(), KEY),
            "one number for a synapse",
        ),
        (lambda: estimable(np.eye(2), ["a"]), "a row for each of 1 names"),
        (lambda: estimable(np.diag([1.0, np.nan]), ["a", "b"]), "must be finite"),
        (
            lambda: behave(
                PolynomialRule([0.0, 0.0], DECAY),
                jnp.ones((2, 3)),
                jnp.ones((1, 2, 3)),
                jnp.ones((1, 2)),
                KEY,
            ),
            r"`weights` must be \(1, 3\)",
        ),
    ],
)
def test_errors_name_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()
