"""What every rule promises, by table: a new rule is a new line."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
import pytest
from jax.flatten_util import ravel_pytree

from plasticity_jax import rules
from plasticity_jax._interfaces import State, System
from plasticity_jax._signals import LossSignals
from plasticity_jax._simulate import simulate
from plasticity_jax._trees import tree_norm, tree_unit, tree_vdot
from plasticity_jax.circuits import LossCircuit
from plasticity_jax.tasks import Constant


STIFFNESS = jnp.linspace(0.2, 3.0, 25).reshape(5, 5)
W = {"a": jr.normal(jr.key(0), (5, 5)), "b": jr.normal(jr.key(1), (3,))}
TARGET = jax.tree.map(jnp.zeros_like, W)


def loss(weights):
    return 0.5 * jnp.sum(STIFFNESS * weights["a"] ** 2) + jnp.sum(weights["b"] ** 2)


def signals_at(weights, loss, dt=1.0):
    gradient = jax.grad(loss)(weights)
    downhill = jax.tree.map(jnp.negative, gradient)
    return LossSignals(jnp.asarray(dt), loss(weights), gradient, loss, downhill)


SIGNALS = signals_at(W, loss, 0.3)
KEY = jr.key(2)  # its random step goes downhill
MASK = jax.tree.map(lambda x: jnp.where(x > 0, 1.0, 0.0), W)
EVEN = jnp.diag(jnp.arange(28) % 2).astype(float)
RULES = {
    "wiener": lambda: rules.Wiener(),
    "descent": lambda: rules.Descent(),
    "update": lambda: rules.Update(),
    "noisy gradient": lambda: rules.NoisyGradient(0.7, 1.3),
    "exact noisy gradient": lambda: rules.NoisyGradient(0.7, 1.3, exact_norm=True),
    "beeline": lambda: rules.Beeline(TARGET),
    "newton": lambda: rules.Newton(0.1),
    "saddle-free newton": lambda: rules.Newton(0.1, saddle_free=True),
    "weight perturbation": lambda: rules.WeightPerturbation(0.4, probes=3),
    "accept only": lambda: rules.AcceptOnly(0.1),
    "optimal magnitude": lambda: rules.OptimalMagnitude(rules.Descent(), 5.0),
    "scaled": lambda: rules.Scaled(rules.Wiener(), 0.5),
    "normalised": lambda: rules.Normalised(rules.Descent(), 2.0),
    "masked": lambda: rules.Masked(rules.Descent(), MASK),
    "projected": lambda: rules.Projected(rules.Wiener(), EVEN),
}
every_rule = pytest.mark.parametrize("make", RULES.values(), ids=RULES.keys())


@eqx.filter_jit
def _mapped(rule, keys):
    return jax.vmap(lambda key: rule(W, SIGNALS, key))(keys)


@every_rule
def test_change_is_shaped_like_the_synapses_and_finite(make):
    change = make()(W, SIGNALS, KEY)
    assert jax.tree.structure(change) == jax.tree.structure(W)
    for d, w in zip(jax.tree.leaves(change), jax.tree.leaves(W), strict=True):
        assert (d.shape, d.dtype) == (w.shape, w.dtype)
        assert jnp.all(jnp.isfinite(d))
    assert tree_norm(change) > 0


@every_rule
def test_jit_and_vmap_agree_with_a_plain_call(make):
    rule, keys = make(), jr.split(jr.key(0), 3)
    plain = jnp.stack([ravel_pytree(rule(W, SIGNALS, key))[0] for key in keys])
    mapped = jax.vmap(lambda tree: ravel_pytree(tree)[0])(_mapped(rule, keys))
    assert jnp.allclose(plain, mapped, rtol=1e-10, atol=1e-12 * jnp.max(jnp.abs(plain)))


@every_rule
def test_every_hyper_parameter_is_an_array_leaf_with_a_true_gradient(make):
    rule = make()
    assert not [x for x in jax.tree.leaves(rule) if isinstance(x, float)]
    hypers, unravel = ravel_pytree(eqx.filter(rule, eqx.is_inexact_array))
    static = eqx.filter(rule, eqx.is_inexact_array, inverse=True)

    @jax.jit
    def size(x):
        change = eqx.combine(unravel(x), static)(W, SIGNALS, KEY)
        return tree_vdot(change, change)

    slopes = jax.jit(jax.grad(size))(hypers)
    for i in range(min(hypers.size, 3)):
        step = jnp.zeros_like(hypers).at[i].set(1e-6)
        secant = (size(hypers + step) - size(hypers - step)) / 2
        rounding = 1e-14 * (1 + size(hypers))
        assert jnp.allclose(slopes[i] * 1e-6, secant, rtol=1e-5, atol=rounding)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rules.NoisyGradient(0.7, 0.0),
        lambda: rules.NoisyGradient(0.7, 3.0, exact_norm=True),
        lambda: rules.Normalised(rules.Beeline(TARGET), 0.7),
        lambda: rules.Normalised(rules.Newton(), 0.7),
        lambda: rules.Normalised(rules.WeightPerturbation(0.7), 0.7),
        lambda: rules.Normalised(rules.WeightPerturbation(0.7, probes=5), 0.7),
    ],
)
def test_fixed_norm_rules_have_their_norm(make):
    lengths = jax.vmap(tree_norm)(_mapped(make(), jr.split(jr.key(0), 4)))
    assert jnp.allclose(lengths, 0.7, rtol=1e-12)


def test_a_zero_gradient_gives_a_zero_change_and_a_finite_derivative():
    still = signals_at(TARGET, loss)
    for rule in (
        rules.Normalised(rules.Descent(), 2.0),
        rules.NoisyGradient(0.7, 0.0),
        rules.OptimalMagnitude(rules.Descent(), 5.0),
    ):
        change, slope = jax.value_and_grad(
            lambda m, rule=rule: tree_norm(
                rule(jax.tree.map(lambda x: m * x, TARGET), still, jr.key(0))
            )
        )(1.0)
        assert change == 0
        assert jnp.isfinite(slope)


def test_one_probe_moves_against_the_sign_of_the_slope():
    change = rules.Normalised(rules.WeightPerturbation(0.5), 1.0)
    step = change(W, SIGNALS, jr.key(3))
    raw = rules.WeightPerturbation(0.5)(W, SIGNALS, jr.key(3))
    assert tree_vdot(step, SIGNALS.gradient) < 0
    slope = tree_vdot(tree_unit(raw), SIGNALS.gradient)
    assert jnp.allclose(tree_norm(raw), 28 * jnp.abs(slope), rtol=1e-10)


def test_accept_only_moves_downhill_or_not_at_all():
    keys = jr.split(jr.key(0), 64)
    changes = _mapped(rules.AcceptOnly(1.0), keys)
    lengths = jax.vmap(tree_norm)(changes)
    after = jax.vmap(lambda d: loss(jax.tree.map(jnp.add, W, d)))(changes)
    moved = lengths > 0
    assert jnp.allclose(lengths[moved], 1.0)
    assert jnp.all(after[moved] < loss(W))
    assert 0 < jnp.sum(moved) < 64


def test_optimal_magnitude_is_the_line_search_and_caps_where_there_is_no_minimum():
    rule = rules.OptimalMagnitude(rules.Descent(), 5.0)
    step = rule(W, SIGNALS, jr.key(0))
    line = lambda s: loss(jax.tree.map(lambda w, d: w + s * d, W, step))
    assert jnp.abs(jax.grad(line)(1.0)) < 1e-12 * jnp.abs(jax.grad(line)(0.0))
    hill = lambda w: -loss(w)
    on_hill = signals_at(W, hill)
    assert jnp.allclose(tree_norm(rule(W, on_hill, jr.key(0))), 5.0)


def test_newton_damped_and_saddle_free_on_a_saddle():
    curvature = jnp.asarray([2.0, -0.5])
    saddle = lambda w: 0.5 * jnp.sum(curvature * w**2)
    w = jnp.asarray([1.0, 1.0])
    seen = signals_at(w, saddle)
    plain = rules.Newton()(w, seen, jr.key(0))
    free = rules.Newton(saddle_free=True)(w, seen, jr.key(0))
    damped = rules.Newton(1.0)(w, seen, jr.key(0))
    assert jnp.allclose(plain, -w)
    assert jnp.allclose(free, jnp.asarray([-1.0, 1.0]))
    assert jnp.allclose(damped, -curvature * w / (curvature + 1))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: rules.NoisyGradient(-1.0, 0.1), "magnitude"),
        (lambda: rules.NoisyGradient(1.0, float("nan")), "corruption"),
        (lambda: rules.WeightPerturbation(1.0, probes=0), "probes"),
        (lambda: rules.OptimalMagnitude(rules.Descent(), -2.0), "cap"),
        (lambda: rules.Newton(-1.0), "damping"),
    ],
)
def test_values_out_of_range_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()


@jax.numpy_dtype_promotion("standard")  # Optax multiplies floats by its count
def test_any_optax_optimiser_is_a_rule():
    optimiser = optax.adam(0.1)
    quiet = lambda weights, stimulus: loss(weights)
    circuit = LossCircuit(quiet, optimiser=optimiser)
    system = System(Constant(None), circuit, {"learning": rules.Update()})
    state = State(optimiser.init(W), W)
    final, _ = simulate(system, state, jr.key(0), steps=5, record=nothing)
    weights, memory = W, optimiser.init(W)
    for _ in range(5):
        change, memory = optimiser.update(jax.grad(loss)(weights), memory, weights)
        weights = optax.apply_updates(weights, change)
    for got, want in zip(
        jax.tree.leaves(final.synapses), jax.tree.leaves(weights), strict=True
    ):
        assert jnp.allclose(got, want, rtol=1e-12)


def nothing(state, signals, changes):
    return None


@pytest.mark.parametrize(
    "name", ["descent", "noisy gradient", "newton", "weight perturbation"]
)
def test_a_rule_is_an_optax_transformation(name):
    rule = RULES[name]()
    transformation = rules.gradient_transformation(rule, jr.key(5))
    chain = optax.chain(transformation, optax.scale(0.5))
    extra = {"value": loss(W), "value_fn": loss}
    gradient, memory = jax.grad(loss)(W), chain.init(W)
    for step in range(2):
        change, memory = chain.update(gradient, memory, W, **extra)
        want = rule(W, signals_at(W, loss), jr.fold_in(jr.key(5), step))
        for got, leaf in zip(
            jax.tree.leaves(change), jax.tree.leaves(want), strict=True
        ):
            assert jnp.allclose(got, 0.5 * leaf, rtol=1e-12)


def test_a_transformation_that_needs_the_loss_says_so():
    transformation = rules.gradient_transformation(rules.Newton(), jr.key(5))
    with pytest.raises(ValueError, match="value_fn"):
        transformation.update(jax.grad(loss)(W), transformation.init(W), W)
