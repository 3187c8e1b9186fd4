"""Rules of rate networks, each against its equation written out entry by entry."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import rules
from plasticity_jax._interfaces import State, System
from plasticity_jax._simulate import simulate
from plasticity_jax.circuits import RateNetwork
from plasticity_jax.signals import RateSignals
from plasticity_jax.tasks import Constant


N, DT = 5, 0.1
KEY = jr.key(0)
DRAW = np.random.default_rng(0)
W = jnp.asarray(DRAW.normal(size=(N, N)))
X, AVERAGE, EARLY, LATE = map(jnp.asarray, DRAW.normal(size=(4, N)))
R = jnp.asarray(np.tanh(DRAW.normal(size=N)))
TARGETS = jnp.asarray(np.linspace(-0.9, 0.7, N))
FIRST = jnp.asarray(0)
SIGNALS = RateSignals(jnp.asarray(DT), R, X, AVERAGE, EARLY, LATE, step=FIRST)


def by_hand(entry):
    """The matrix of DT * entry(i, j), in plain NumPy."""
    return np.asarray([[DT * float(entry(i, j)) for j in range(N)] for i in range(N)])


w, r, x, average, early, late, target = (
    np.asarray(a) for a in (W, R, X, AVERAGE, EARLY, LATE, TARGETS)
)
EQUATIONS = {
    "dissipation": (rules.Dissipation(0.3), lambda i, j: -0.3 * w[i, j]),
    "rate control": (
        rules.RateControl(TARGETS),
        lambda i, j: (target[i] - r[i]) * sum(r[k] * w[k, j] for k in range(N)),
    ),
    "elementwise": (
        rules.ElementwiseRateControl(TARGETS),
        lambda i, j: (target[i] - r[i]) * r[j] * w[i, j],
    ),
    "unweighted": (
        rules.UnweightedRateControl(TARGETS),
        lambda i, j: (target[i] - r[i]) * sum(w[k, j] for k in range(N)),
    ),
    "average scaling": (
        rules.AverageScaling(),
        lambda i, j: (1 - sum(r**2) / N**0.5) * w[i, j],
    ),
    "additive": (rules.AdditiveRateControl(TARGETS), lambda i, j: target[i] - early[i]),
    "decorrelation": (
        rules.Decorrelation(0.7, 0.4),
        lambda i, j: 0.7 * (i == j) - np.tanh(0.4 * x[i]) * np.tanh(x[j]),
    ),
    "filtered": (
        rules.FilteredDecorrelation(0.7),
        lambda i, j: 0.7 * (i == j) - np.tanh(x[i] - average[i]) * np.tanh(x[j]),
    ),
    "antisymmetric": (
        rules.AntisymmetricHebb(),
        lambda i, j: r[i] * early[j] - early[i] * r[j],
    ),
    "pair": (
        rules.PairSTDP(1.3, 0.6),
        lambda i, j: 1.3 * r[i] * early[j] - 0.6 * late[i] * r[j],
    ),
}


@pytest.mark.parametrize(
    ("rule", "entry"), EQUATIONS.values(), ids=list(EQUATIONS.keys())
)
def test_a_rule_computes_its_equation(rule, entry):
    assert np.allclose(rule(W, SIGNALS, KEY), by_hand(entry), rtol=1e-12, atol=1e-15)


def weights(state, signals, changes):
    return state.synapses


def network(every, start=None, **circuit):
    system = System(
        Constant(jnp.zeros(N)),
        RateNetwork(DT, **circuit),
        {"noise": rules.Intermittent(rules.Wiener(), every)},
    )
    return system, State(system.circuit.at(X), W if start is None else start)


def test_intermittent_noise_comes_every_kth_step_and_nothing_between():
    system, state = network(4)
    _, path = simulate(system, state, KEY, steps=10, record=weights)
    path = np.concatenate([np.asarray(W)[None], np.asarray(path)])
    changed = np.any(np.diff(path, axis=0) != 0, axis=(1, 2))
    assert list(np.flatnonzero(changed)) == [3, 7]  # 10 steps: the last two without


@pytest.mark.parametrize("every", [1, 5])
def test_intermittent_noise_keeps_its_diffusion(every):
    system, state = network(every, start=jnp.zeros((N, N)))
    run = lambda key: simulate(system, state, key, steps=20, every=20)[0]
    final = jax.vmap(run)(jr.split(jr.key(4), 400)).synapses.ravel()
    variance = jnp.var(final)  # 10,000 numbers: standard error 1.4 %
    assert abs(variance / (20 * DT) - 1) < 4 * (2 / final.size) ** 0.5


def test_intermittent_every_step_is_the_rule_itself():
    noise = rules.Wiener()
    once = rules.Intermittent(noise, 1)(W, SIGNALS, KEY)
    assert jnp.array_equal(once, noise(W, SIGNALS, KEY))
    with pytest.raises(ValueError, match="`every` must be at least 1; got 0"):
        rules.Intermittent(noise, 0)


def test_an_intermittent_drift_keeps_its_mean():
    decay = rules.Dissipation(0.2)
    due = dataclasses.replace(SIGNALS, step=jnp.asarray(3))
    change = rules.Intermittent(decay, 4)(W, due, KEY)
    assert jnp.allclose(change, 4 * decay(W, due, KEY))
    assert not jnp.any(rules.Intermittent(decay, 4)(W, SIGNALS, KEY))


def test_a_negative_dissipation_is_refused():
    with pytest.raises(ValueError, match="`rate` must lie in"):
        rules.Dissipation(-0.1)
