"""Release probabilities in an Optax optimiser."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from plasticity_jax import rules, simulate, System
from plasticity_jax.circuits import StochasticNetwork
from plasticity_jax.rules import released_weights
from plasticity_jax.synapses import ReleaseBounds, Stochastic
from plasticity_jax.tasks import Constant


KEY, RATE, DECAY, STEPS = jr.key(0), 0.05, 0.1, 30
DRAW = np.random.default_rng(0)
W = {
    "in": jnp.asarray(DRAW.normal(size=(4, 3))),
    "out": jnp.asarray(DRAW.normal(size=(2, 4))),
}
PLASTIC = rules.ReleasePlasticity(0.3, 0.5, 0.1, freeze=0.9, ceiling=0.95)


def released(*given, **named) -> Any:
    return rules.released(*given, **named)


def loss(weights, shown):
    """Squared error of two layers."""
    return jnp.sum((weights["out"] @ jnp.tanh(weights["in"] @ shown) - 1) ** 2)


def learned(optimiser, weights: Any = W, shown=None) -> Any:
    """Weights and state after some steps, with the masks that a system would draw."""
    shown = jnp.asarray([1.0, -1.0, 0.5]) if shown is None else shown

    def step(carry, number):
        weights, state = carry
        draw = jr.split(jr.fold_in(KEY, number), 3)[1]
        at = lambda w: loss(released_weights(w, state, draw), shown)
        value, gradient = jax.value_and_grad(at)(weights)
        change, state = optimiser.update(gradient, state, weights, value=value)
        return (optax.apply_updates(weights, change), state), None

    start = (weights, optimiser.init(weights))
    return jax.lax.scan(step, start, jnp.arange(STEPS, dtype=jnp.int32))[0]


def same(got, want):
    pairs = zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True)
    return all(jnp.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in pairs)


@pytest.mark.parametrize("modulated", [True, False])
def test_learns_as_the_system_does(modulated):
    bounds = ReleaseBounds(0.3, 0.95)
    ceiling = 0.95 if modulated else None
    strength = rules.StrengthDescent(RATE, DECAY, ceiling)
    system = System(
        Constant(jnp.asarray([1.0, -1.0, 0.5])),
        StochasticNetwork(loss),
        {"release": PLASTIC, "strength": strength},
        (bounds,),
    )
    low = jax.tree.map(lambda w: jnp.full_like(w, 0.3), W)
    start = system.start(Stochastic(W, low), KEY)
    want = simulate(system, start, KEY, steps=STEPS, every=STEPS)[0].synapses
    optimiser: Any = optax.chain(
        released(optax.sgd(RATE), PLASTIC, bounds, modulated),
        optax.add_decayed_weights(-RATE * DECAY),
    )
    weights, (state, _) = learned(optimiser)
    assert same(weights, want.strength)
    assert same(state.log_failure, want.log_failure)
    p = want.probability["in"]
    assert p.max() - p.min() > 0.1


def test_synapses_that_always_release_leave_the_optimiser_as_it_is():
    still = rules.ReleasePlasticity(0.1, 0.0, 0.0)
    sure = released(optax.sgd(RATE, 0.9), still, ReleaseBounds(1.0), modulated=False)
    weights: Any = W
    optimiser: Any = optax.sgd(RATE, 0.9)
    memory = optimiser.init(W)
    for _ in range(STEPS):
        gradient = jax.grad(loss)(weights, jnp.asarray([1.0, -1.0, 0.5]))
        change, memory = optimiser.update(gradient, memory, weights)
        weights = optax.apply_updates(weights, change)
    assert same(learned(sure)[0], weights)


def test_closed_synapses_have_no_gradient_and_open_ones_their_share():
    state = released(optax.sgd(RATE), PLASTIC, ReleaseBounds(0.5)).init(W)
    slopes = jr.normal(jr.key(3), (4, 3))
    sent = lambda w: released_weights(w, state, KEY)
    along = jax.grad(lambda w: jnp.sum(sent(w)["in"] * slopes))(W)["in"]
    open_ = sent(W)["in"] != 0
    assert 0 < open_.sum() < open_.size
    assert jnp.array_equal(along, jnp.where(open_, 2 * slopes, 0.0))


def test_the_rule_knows_its_step():
    late = rules.Intermittent(PLASTIC, 3)
    optimiser = released(optax.sgd(RATE), late)
    state, moved = optimiser.init(W), []
    for _ in range(6):
        ones = jax.tree.map(jnp.ones_like, W)
        before = state.log_failure["in"]
        _, state = optimiser.update(ones, state, W)
        moved.append(bool(jnp.any(state.log_failure["in"] != before)))
    assert moved == [False, False, True] * 2


def test_information_is_remembered_from_step_to_step():
    rule = rules.FisherRelease(4.0, time=1e-3)  # of the last step
    optimiser = released(optax.sgd(RATE), rule)
    slopes = jr.normal(jr.key(3), (4, 3))
    gradient = {"in": 4 * slopes, "out": jnp.zeros((2, 4))}  # released at p = 1/4
    _, state = optimiser.update(gradient, optimiser.init(W), W)
    share = slopes**2 * 4 / (4 + slopes**2 * 4)
    want = jnp.maximum(share, 0.25)
    assert jnp.allclose(-jnp.expm1(state.log_failure["in"]), want, rtol=1e-12)
    assert jnp.allclose(-jnp.expm1(state.log_failure["out"]), 0.25)


@pytest.mark.parametrize("wrapped", [lambda r: r, lambda r: rules.Intermittent(r, 2)])
def test_a_rule_that_draws_needs_a_key(wrapped):
    noise = wrapped(rules.Wiener())
    without = released(optax.sgd(RATE), noise)
    with pytest.raises(ValueError, match="draws, so it needs a `key`"):
        without.update(W, without.init(W), W)
    by = released(optax.sgd(RATE), noise, key=KEY)
    assert by.update(W, by.init(W), W)[1].step == 1


def test_a_rule_that_does_not_draw_makes_the_same_of_any_key():
    one, other = (released(optax.sgd(RATE), PLASTIC, key=k) for k in (None, jr.key(9)))
    assert same(one.update(W, one.init(W), W), other.update(W, other.init(W), W))


def test_a_lost_gradient_is_not_hidden():
    optimiser = released(optax.sgd(RATE), PLASTIC)
    lost = jax.tree.map(lambda w: jnp.full_like(w, jnp.nan), W)
    change, state = optimiser.update(lost, optimiser.init(W), W)
    assert jnp.all(jnp.isnan(change["in"]))
    assert jnp.all(jnp.isnan(state.log_failure["in"]))


def test_an_optimiser_that_needs_the_loss_says_so():
    optimiser = released(optax.contrib.reduce_on_plateau(), PLASTIC)
    with pytest.raises(TypeError, match="'value'"):
        optimiser.update(W, optimiser.init(W), W)


def test_what_the_rule_changes_of_weights_is_added():
    decay = rules.Unreliable(rules.Reparametrised(rules.Dissipation(0.5)))
    optimiser = released(optax.sgd(RATE), decay, ReleaseBounds(0.2))
    change, _ = optimiser.update(W, optimiser.init(W), W)
    assert same(change, jax.tree.map(lambda w: -0.8 * (RATE + 0.5) * w, W))


def test_what_releases_for_sure_stays_so():
    code = lambda information: jnp.log(jnp.where(information > 1, 0.0, 0.75))
    rule = rules.FisherRelease(1.0, jnp.asarray([0.0, 2.0]), code)
    synapses = Stochastic(jnp.ones(2), jnp.full(2, 0.5))
    for _ in range(3):
        synapses = jax.tree.map(jnp.add, synapses, rule(synapses, None, KEY))
    assert jnp.allclose(synapses.probability, jnp.asarray([0.25, 1.0]))
