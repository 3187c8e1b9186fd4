"""The published protocol of Figure 2: constants, the global switch, when it stops."""

import dataclasses

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.synapses import Factored
from plasticity_jax.systems.two_factor_consolidation import protocol
from plasticity_jax.systems.two_factor_consolidation.config import Config
from plasticity_jax.systems.two_factor_consolidation.networks import (
    after,
    build,
    margins_and_weights,
    stored_in,
    valid_rows,
)


KEY = jr.key(0)
SMALL = Config(size=20, rows=4, patterns=5)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (1, (1e-4, 1e-3, 10, 25)),
        (2, (5e-3, 5e-3, 20, 30)),
        (3, (7e-3, 7e-3, 50, 25)),
        (4, (7e-3, 7e-3, 50, 25)),
    ],
)
def test_constants_are_those_of_the_run_files(order, told):
    config = protocol.published(Config(size=1000, patterns=80, load=0.04), order)
    rates = config.rate, config.threshold_rate, config.target
    assert np.allclose(rates, told[:3], rtol=1e-6)
    assert config.cycles == 500 * 40 * told[3]
    assert (config.policy, config.schedule) == ("taught_together", "constant")
    assert config.sharpness == 100


def test_one_factor_sleeps_at_a_constant_rate():
    one, two = (protocol.published_night(SMALL, z) for z in (1, 2))
    assert np.allclose([one.rate, one.threshold_rate], 0.01)
    assert np.allclose([two.rate, two.threshold_rate], 0.4)
    assert (one.schedule, two.schedule) == ("constant", "onset")
    assert one.sharpness == two.sharpness == 20


def by_hand(system, before, now, target):
    """The five conditions of the specification, in NumPy."""
    valid = np.asarray(valid_rows(stored_in(system)))

    def seen(state):
        margin, w = (np.asarray(x) for x in margins_and_weights(system, state))
        margin, w = margin[valid], w[valid]
        ratio = (margin / np.sqrt((w**2).sum(axis=1))).mean()
        return (w > 1e-10).mean(), ratio, margin.min() <= 0, w.sum(axis=1).mean()

    (d0, r0, _, _), (d, r, wrong, size) = seen(before), seen(now)
    still = abs(d - d0) < 1e-4 and abs(r - r0) < 1e-4
    return still and d < 0.99 and not wrong and abs(size - target) < 0.02


@pytest.mark.dear
def test_it_stops_where_the_rules_say():
    config = protocol.published(SMALL, 2)
    rule, every, most = protocol.Settled(config.target), 2500, config.cycles
    run = eqx.filter_jit(protocol.consolidate)
    system, state = build(config, KEY)
    end, done = run(system, state, KEY, rule, most=most, every=every)
    assert done
    assert every < end.step < most
    before = now = state
    told = []
    while now.step < end.step:
        before, now = now, after(system, now, KEY, every)
        told.append(by_hand(system, before, now, float(config.target)))
    assert told == [False] * (len(told) - 1) + [True]
    assert jnp.array_equal(now.synapses.factors, end.synapses.factors)


@pytest.mark.parametrize(
    "spoil", ["moving", "dense", "wrong", "off target", "nan", "none"]
)
def test_every_condition_counts(spoil):
    system, state = build(dataclasses.replace(SMALL, policy="weakest"), KEY)
    state = _at_rest(system, state)
    valid = np.asarray(valid_rows(stored_in(system)))
    rule = protocol.Settled(jnp.sum(_weights(state), axis=1)[valid].mean())
    before, now = state, state
    u, threshold = state.synapses.factors, state.synapses.threshold
    change = {
        "moving": Factored(u, threshold + 1e-3),
        "wrong": Factored(u, threshold.at[1].add(10.0)),
        "off target": Factored(u * 1.05, threshold),
        "nan": Factored(u.at[0, 1, 3].set(jnp.nan), threshold),
        "dense": Factored(jnp.maximum(u, 1e-4), threshold),
    }.get(spoil)
    if change is not None:
        now = eqx.tree_at(lambda s: s.synapses, now, change)
        before = now if spoil != "moving" else before
    assert bool(rule(system, before, now)) is (spoil == "none")


def _weights(state):
    return state.synapses.factors[0] * state.synapses.factors[1]


def _at_rest(system, state):
    return eqx.filter_jit(after)(system, state, KEY, 4000)


def test_the_perceptron_stops_when_almost_all_are_robust():
    system, state = build(SMALL, KEY)
    state = _at_rest(system, state)
    margin, weights = margins_and_weights(system, state)
    robust = np.sort(np.asarray(20**0.5 * margin / weights.sum(axis=1)))
    below = protocol.RobustEnough(robust[0] - 1e-4)
    assert below(system, state, state)
    assert not protocol.RobustEnough(robust[0] + 1e-4)(system, state, state)
    assert protocol.RobustEnough(robust[0] + 1e-4, 0.25)(system, state, state)


def test_bounds_of_a_run_are_checked():
    system, state = build(SMALL, KEY)
    with pytest.raises(ValueError, match="`every` must be at most `most` = 5; got 9"):
        protocol.consolidate(system, state, KEY, protocol.Settled(1.0), most=5, every=9)
    with pytest.raises(ValueError, match=r"`order` must be one of .*; got 5"):
        protocol.published(SMALL, 5)
