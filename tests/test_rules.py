"""What every rule promises, by table: a new rule is a new line."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from plasticity_jax import AbstractRule, rules
from plasticity_jax._interfaces import State, System
from plasticity_jax._simulate import simulate
from plasticity_jax.circuits import (
    EquilibriumNetwork,
    Layer,
    LayeredNetwork,
    LossCircuit,
    PredictiveNetwork,
    Resting,
    Sigmoid,
    SpikingNeuron,
)
from plasticity_jax.curvature import (
    Coefficients,
    glm_coefficients,
    glm_fisher,
    skewed_glm_fisher,
)
from plasticity_jax.numerics import tree_norm, tree_unit, tree_vdot
from plasticity_jax.signals import (
    LossSignals,
    RateSignals,
    ReadoutSignals,
    SharedSignals,
    SpikeSignals,
)
from plasticity_jax.synapses import Cascade, Chain, Parametrised, Reciprocal
from plasticity_jax.tasks import Constant
from plasticity_jax.traces import LowPass, Path


DRAW = np.random.default_rng(0)
STIFFNESS = jnp.asarray(np.linspace(0.2, 3.0, 25).reshape(5, 5))
W = {"a": jnp.asarray(DRAW.normal(size=(5, 5))), "b": jnp.asarray(DRAW.normal(size=3))}
TARGET = jax.tree.map(lambda x: jnp.asarray(np.zeros_like(x)), W)


def loss(weights):
    return 0.5 * jnp.sum(STIFFNESS * weights["a"] ** 2) + jnp.sum(weights["b"] ** 2)


@eqx.filter_jit
def signals_at(weights, loss, dt=1.0) -> LossSignals:
    value, gradient = jax.value_and_grad(loss)(weights)
    downhill = jax.tree.map(jnp.negative, gradient)
    return LossSignals(jnp.asarray(dt), value, gradient, loss, downhill)


TRAVELLED = Path(W, jax.tree.map(lambda x: jnp.asarray(np.square(x)), W), TARGET)
PAST = jax.tree.map(lambda x: jnp.asarray(np.multiply.outer([1, -1, 1], x)), W)
SIGNALS = dataclasses.replace(
    signals_at(W, loss, 0.3), traces={"path": TRAVELLED, "gradients": PAST, "noise": W}
)
KEY = jr.key(3)  # its random step goes downhill
MASK = jax.tree.map(lambda x: jnp.asarray(np.where(x > 0, 1.0, 0.0)), W)
EVEN = np.diag(np.arange(28) % 2).astype(float)


class Attenuation(eqx.Module):
    """A saturating map of synapses to somatic amplitudes."""

    size: jax.Array

    def __call__(self, synapses):
        return self.size * jnp.tanh(synapses)


NEURON = SpikingNeuron(jnp.asarray([10.0, 50.0, 20.0, 0.0, 30.0]), 1e-3, nodes=81)
BENT = Attenuation(jnp.asarray(0.07))
U = jnp.asarray([0.3, -0.2, 0.6, 0.1, -0.4])
V = eqx.filter_jit(BENT)(U)  # somatic
POTENTIALS = jnp.asarray([25.0, 60.0, 8.0, 0.0, 31.0])


@eqx.filter_jit
def spiking_signals(weights, target=1.0, neuron=NEURON) -> Any:
    coefficients = neuron.coefficients(weights)
    return neuron.signals(weights, POTENTIALS, jnp.asarray(target), coefficients)


SPIKING = spiking_signals(V)
FISHER = eqx.filter_jit(
    lambda moments: glm_fisher(
        NEURON.transfer, V, moments.mean, moments.variance, nodes=81
    ).as_matrix()
)(NEURON.moments)
SOMATIC = [V, *(jnp.asarray(x * np.asarray(V)) for x in (0, -3)), jnp.full(5, 0.1)]
STUDENTS = {"x": V, "y": jnp.asarray(2 * np.asarray(V))}
SHARED = SharedSignals(
    NEURON.dt, {name: spiking_signals(w) for name, w in STUDENTS.items()}
)
ON_A_LOSS = {
    "wiener": lambda: rules.Wiener(),
    "descent": lambda: rules.Descent(),
    "update": lambda: rules.Update(),
    "noisy gradient": lambda: rules.NoisyGradient(0.7, 1.3),
    "exact noisy gradient": lambda: rules.NoisyGradient(0.7, 1.3, exact_norm=True),
    "beeline": lambda: rules.Beeline(TARGET),
    "newton": lambda: rules.Newton(0.1),
    "saddle-free newton": lambda: rules.Newton(0.1, saddle_free=True),
    "weight perturbation": lambda: rules.WeightPerturbation(0.4, probes=3),
    "one-sided probes": lambda: rules.WeightPerturbation(0.4, 3, two_sided=False),
    "accept only": lambda: rules.AcceptOnly(0.1),
    "delayed gradient": lambda: rules.DelayedGradient(rules.NoisyGradient(0.7, 1.3), 2),
    "coloured": lambda: rules.ColouredNoise(KEY, 3.0),
    "release noise": lambda: rules.ReleaseNoise(0.4),
    "multiplicative": lambda: rules.Multiplicative(rules.Wiener()),
    "power metric": lambda: rules.PowerMetric(rules.Descent(), 0.7),
    "optimal magnitude": lambda: rules.OptimalMagnitude(rules.Descent(), 5.0),
    "synaptic intelligence": lambda: rules.SynapticIntelligence(0.1, lambda s: False),
    "scaled": lambda: rules.Scaled(rules.Wiener(), 0.5),
    "normalised": lambda: rules.Normalised(rules.Descent(), 2.0),
    "masked": lambda: rules.Masked(rules.Descent(), MASK),
    "projected": lambda: rules.Projected(rules.Wiener(), EVEN),
}
ON_SPIKES = {
    "euclidean": lambda: rules.EuclideanGradient(0.3),
    "natural": lambda: rules.NaturalGradient(0.3),
    "capped natural": lambda: rules.NaturalGradient(0.3, scale_limit=0.5),
    "homosynaptic": lambda: rules.NaturalGradient(0.3, terms=("homosynaptic",)),
    "approximate": lambda: rules.ApproximateNaturalGradient(0.3),
    "least error": lambda: rules.ApproximateNaturalGradient(0.3, None),
    "adaptive": lambda: rules.ApproximateNaturalGradient(0.3, adaptive=True),
    "dense": lambda: rules.DenseNaturalGradient(0.3, FISHER),
    "skewed": lambda: rules.SkewedNaturalGradient(0.3),
}
ON_ESTIMATES = {
    "self-estimated": lambda: rules.SelfEstimated(rules.NaturalGradient(0.3), 2.0)
}
ESTIMATING = dataclasses.replace(
    SPIKING,
    traces={
        "mean": jnp.asarray([22.5, 54.0, 7.2, 0.0, 27.9]),
        "square": jnp.asarray([925.0, 3900.0, 364.0, 300.0, 1261.0]),
    },
)
ON_SYNAPSES = {  # which the attenuation maps to the soma
    "reparametrised": lambda: rules.Reparametrised(rules.NaturalGradient(0.3), BENT),
    "reparametrised euclidean": lambda: rules.Reparametrised(
        rules.EuclideanGradient(0.3), BENT, euclidean=True
    ),
}
ON_STUDENTS = {
    "separate": lambda: rules.Separate(
        {"x": rules.NaturalGradient(0.3), "y": rules.Wiener()}
    )
}
w, rows = DRAW.normal(size=(6, 6)), DRAW.normal(size=(4, 6))
potential, average, early, late = rows
WEIGHTS, POSITIVE = jnp.asarray(w), jnp.asarray(abs(w))
POTENTIAL, AVERAGE, EARLY, LATE = map(jnp.asarray, rows)
POTENTIAL_2, AVERAGE_2, EARLY_2, LATE_2 = map(jnp.asarray, rows**2)
RATES = RateSignals(
    jnp.asarray(0.1),
    jnp.asarray(np.tanh(0.9 * potential)),
    POTENTIAL,
    AVERAGE,
    EARLY,
    LATE,
    step=jnp.asarray(3),
)
TARGETS = jnp.asarray(np.linspace(-0.5, 0.8, 6))
ON_RATES = {
    "dissipation": lambda: rules.Dissipation(0.1),
    "rate control": lambda: rules.RateControl(TARGETS),
    "rate control of one target": lambda: rules.RateControl(0.2),
    "elementwise rate control": lambda: rules.ElementwiseRateControl(TARGETS),
    "unweighted rate control": lambda: rules.UnweightedRateControl(TARGETS),
    "average scaling": lambda: rules.AverageScaling(),
    "additive rate control": lambda: rules.AdditiveRateControl(TARGETS),
    "decorrelation": lambda: rules.Decorrelation(0.5, 0.9),
    "filtered decorrelation": lambda: rules.FilteredDecorrelation(0.5),
    "antisymmetric": lambda: rules.AntisymmetricHebb(),
    "pair": lambda: rules.PairSTDP(1.2, 0.7),
    "intermittent": lambda: rules.Intermittent(rules.Wiener(), 4),
}
EARNED = {"rate": jnp.asarray(np.full(6, 0.4)), "reward": jnp.asarray(0.7)}
PAID = {"cost": 0.7, "quiet_cost": 0.5, "opposite_cost": 0.2, "spread": 0.1}
TRIED = {"noise": AVERAGE, **PAID}


@eqx.filter_jit
def shown(circuit, weights, stimulus) -> Any:
    """The signals of a circuit that is shown this."""
    return circuit(None, weights, stimulus, KEY)[1]


LAYER = shown(
    Layer(jnp.tanh, dt=0.5),
    WEIGHTS,
    {"pre": POTENTIAL, "target": jnp.asarray(np.sign(average)), **EARNED, **TRIED},
)
LAYER = dataclasses.replace(
    LAYER,
    traces={
        **{"mean": (EARLY, LATE), "threshold": EARLY_2, "rates": LATE},
        **{
            "eligibility": jnp.asarray(np.outer(late, early)),
            "reward": jnp.asarray(0.2),
        },
        "rate": (LATE, EARLY),
    },
    step=jnp.asarray(3),
)
ON_A_LAYER = {
    "Hebb": lambda: rules.Hebb(0.1),
    "covariance": lambda: rules.Covariance(0.1),
    "Oja": lambda: rules.Oja(0.1),
    "Sanger": lambda: rules.Sanger(0.1),
    "subspace": lambda: rules.Sanger(0.1, subspace=True),
    "BCM": lambda: rules.BCM(0.1),
    "BCM, normalised": lambda: rules.BCM(0.1, normalised=True),
    "delta": lambda: rules.Delta(0.1),
    "perceptron": lambda: rules.Perceptron(0.5),
    "PES": lambda: rules.PES(0.1),
    "reinforce": lambda: rules.Reinforce(0.1),
    "node perturbation": lambda: rules.NodePerturbation(0.1),
    "node perturbation, two-sided": lambda: rules.NodePerturbation(0.1, True),
    "synaptic scaling": lambda: rules.SynapticScaling(TARGETS + 1, 0.1, 0.3, 20.0),
    "pseudo-inverse": lambda: rules.PseudoInverse(),
    "gradual pseudo-inverse": lambda: rules.GradualPseudoInverse(0.5),
}
PATTERN = shown(Layer(), WEIGHTS, jnp.asarray(np.sign(potential)))
BINARY = shown(Layer(), WEIGHTS, jnp.asarray(np.heaviside(potential, 0.0)))
ON_A_PATTERN = {
    "Hopfield": lambda: rules.Hopfield(),
    "Storkey": lambda: rules.Storkey(),
}
ON_BINARY = {"Hopfield, sparse": lambda: rules.Hopfield(0.3)}
SPIKES = jnp.asarray([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
LATER = jnp.asarray([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
TIMED = SpikeSignals(
    jnp.asarray(0.5),
    SPIKES,
    LATER,
    POTENTIAL,
    AVERAGE,
    step=jnp.asarray(3),
    traces={
        **{"pre": jnp.asarray(early**2 + np.asarray(SPIKES)), "post": LATE_2},
        **{"rate": (LATE_2, EARLY), "slow_pre": EARLY_2, "slow_post": POTENTIAL_2},
    },
)
ON_TIMING = {
    **{
        f"STDP, {law}": lambda law=law: rules.STDP(law=law)
        for law in ("additive", "multiplicative", "van_rossum", "gutig", "power")
    },
    "STDP, noisy": lambda: rules.STDP(noise=0.1, law="van_rossum"),
    "triplet": lambda: rules.TripletSTDP(0.1, 0.2, 0.3, 0.4),
    "inhibitory": lambda: rules.InhibitorySTDP(0.1),
    "scaling of spikes": lambda: rules.SynapticScaling(0.2, 0.1, 0.3, 20.0),
}
ON_A_CASCADE = {"cascaded": lambda: rules.Cascaded(rules.Hebb(1.0), 3, 0.4)}
ON_A_CHAIN = {
    "chained": lambda: rules.Chained(rules.Covariance(0.1)),
    "chained, whole": lambda: rules.Chained(rules.Hebb(1.0), levels=10),
}
CARRIED = {"carried": lambda: rules.Reparametrised(rules.BCM(0.1))}
CLAMPED = dataclasses.replace(
    TIMED,
    voltage=jnp.asarray(20 * potential - 40),
    traces={
        **{"pre": EARLY_2, "mean": AVERAGE_2},
        **dict.fromkeys(("plus", "minus"), jnp.asarray(np.tile(late**2 - 60, (4, 1)))),
    },
)
ON_VOLTAGE = {
    "voltage STDP": lambda: rules.VoltageSTDP(),
    "voltage STDP, homeostatic": lambda: rules.VoltageSTDP(homeostatic=True),
}
READOUT = jnp.asarray(w[:2])
NETWORK = {"input": jnp.asarray(w[:, :3]), "recurrent": WEIGHTS, "readout": READOUT}
OWED = jnp.asarray(np.outer(early, np.arange(9.0)))
TOLD = ReadoutSignals(
    jnp.asarray(0.5),
    *(jnp.asarray([1.0, 0.0, 1.0]), SPIKES, LATER, LATE_2),
    *(jnp.asarray(potential[:2]), jnp.asarray(average[:2])),
    *(jnp.asarray(0.9), jnp.asarray(0.99), jnp.asarray(0.8), EARLY_2),
    step=jnp.asarray(3),
    traces={"owed": {"output": OWED, "post": LATE}},
)
ON_A_READOUT = {
    "e-prop": lambda: rules.EProp(0.1),
    "random e-prop": lambda: rules.EProp(0.1, -READOUT),
}
LAYERS = tuple(map(jnp.asarray, (w[:4, :3], w[:3, 2:], w[4:, :3])))
DOWN = tuple(map(jnp.asarray, (w[2:, 3:], w[:3, 3:5])))
TAUGHT = {"pre": jnp.asarray(early[:3]), "target": jnp.asarray(late[:2])}
BOTH = Reciprocal(LAYERS, DOWN)
LAYERED, PREDICTED, NUDGED = (
    shown(circuit, LAYERS, TAUGHT)
    for circuit in (LayeredNetwork(), PredictiveNetwork(), EquilibriumNetwork())
)
ON_LAYERS = {
    "backpropagation": lambda: rules.Backpropagation(0.1),
    "feedback alignment": lambda: rules.FeedbackAlignment(DOWN, 0.1),
    "direct feedback alignment": lambda: rules.FeedbackAlignment(
        (WEIGHTS[:4, :2], DOWN[1]), 0.1, direct=True
    ),
}
RULES = {
    name: (make, weights, signals)
    for kind, weights, signals in (
        (ON_A_LOSS, W, SIGNALS),
        (ON_SPIKES, V, SPIKING),
        (ON_ESTIMATES, V, ESTIMATING),
        (ON_SYNAPSES, U, SPIKING),
        (ON_STUDENTS, STUDENTS, SHARED),
        (ON_RATES, WEIGHTS, RATES),
        (ON_A_LAYER, WEIGHTS, LAYER),
        (ON_A_PATTERN, WEIGHTS, PATTERN),
        (ON_BINARY, WEIGHTS, BINARY),
        (ON_TIMING, POSITIVE, TIMED),
        (CARRIED, Parametrised(WEIGHTS, jnp.exp), LAYER),
        (ON_A_CASCADE, Cascade(jnp.asarray(np.sign(w))), LAYER),
        (ON_A_CHAIN, Chain(jnp.asarray([w, early[:, None] * w])), LAYER),
        (ON_VOLTAGE, POSITIVE, CLAMPED),
        (ON_A_READOUT, NETWORK, TOLD),
        (ON_LAYERS, LAYERS, LAYERED),
        ({"Kolen-Pollack": lambda: rules.KolenPollack(0.1)}, BOTH, LAYERED),
        ({"predictive coding": lambda: rules.PredictiveCoding(0.1)}, LAYERS, PREDICTED),
        ({"equilibrium": lambda: rules.EquilibriumPropagation(0.1)}, LAYERS, NUDGED),
    )
    for name, make in kind.items()
}
every_rule = pytest.mark.parametrize(
    ("make", "weights", "signals"), RULES.values(), ids=RULES.keys()
)


@eqx.filter_jit
def moved(rule, weights, signals, key=KEY) -> Any:
    """The change that a rule makes."""
    return rule(weights, signals, key)


def mapped(rule, keys):
    """The changes that a rule on a loss makes with several keys."""
    return _mapped(rule, W, SIGNALS, keys)


@eqx.filter_jit
def _mapped(rule, weights, signals, keys):
    return jax.vmap(lambda key: rule(weights, signals, key))(keys)


KEYS = jr.split(KEY, 3)


def flat(tree, *before):
    """All numbers of a tree in a row, below axes `before`."""
    rows = [np.reshape(x, (*before, -1)) for x in jax.tree.leaves(tree)]
    return np.concatenate(rows, axis=-1)


@every_rule
def test_change_is_shaped_like_the_synapses_and_finite(make, weights, signals):
    changes = _mapped(make(), weights, signals, KEYS)
    assert jax.tree.structure(changes) == jax.tree.structure(weights)
    for d, w in zip(jax.tree.leaves(changes), jax.tree.leaves(weights), strict=True):
        assert (d.shape, d.dtype) == ((3, *w.shape), w.dtype)
    found = flat(changes, 3)
    assert np.all(np.isfinite(found))
    assert np.any(found != 0)


@every_rule
def test_jit_and_vmap_agree_with_a_plain_call(make, weights, signals):
    rule = make()
    plain = np.stack([flat(rule(weights, signals, key)) for key in KEYS])
    changes = flat(_mapped(rule, weights, signals, KEYS), 3)
    size = np.max(np.abs(plain))
    assert np.allclose(plain, changes, rtol=1e-10, atol=1e-12 * size)


@every_rule
def test_every_hyper_parameter_is_an_array_leaf_with_a_true_gradient(
    make, weights, signals
):
    rule = make()
    assert not [x for x in jax.tree.leaves(rule) if isinstance(x, float)]
    hypers, unravel = ravel_pytree(eqx.filter(rule, eqx.is_inexact_array))
    static = eqx.filter(rule, eqx.is_inexact_array, inverse=True)

    @jax.jit
    @jax.value_and_grad
    def seen(x):
        change = eqx.combine(unravel(x), static)(weights, signals, KEY)
        return tree_vdot(change, change)

    hypers = np.asarray(hypers)
    size, slopes = seen(hypers)
    slopes, rounding = np.asarray(slopes), 1e-14 * float(size)
    for i in range(min(hypers.size, 5)):
        if np.isinf(hypers[i]):  # no limit: nothing to see
            assert slopes[i] == 0
            continue
        step = 1e-6 * (np.arange(hypers.size) == i)
        secant = (float(seen(hypers + step)[0]) - float(seen(hypers - step)[0])) / 2
        assert np.allclose(slopes[i] * 1e-6, secant, rtol=1e-5, atol=rounding)


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
    lengths = jax.vmap(tree_norm)(mapped(make(), jr.split(jr.key(0), 4)))
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


def test_a_delayed_gradient_is_that_of_steps_ago():
    """At rest first, then the course of x - 0.1 x of two steps ago."""
    rule = rules.Scaled(rules.DelayedGradient(rules.Descent(), 2), 0.1)
    bowl = LossCircuit(lambda w, _: jnp.sum(w**2) / 2)
    system = System(Constant(None), bowl, {"it": rule})
    record = lambda state, signals, changes: state.synapses[0]
    state = system.start(jnp.ones(1), KEY)
    _, seen = simulate(system, state, KEY, steps=9, record=record)
    want = [1.0, 1.0, 1.0]
    for step in range(2, 9):
        want.append(want[step] - 0.1 * want[step - 2])
    assert np.allclose(seen, want[1:], rtol=1e-12)


class Smoothed(AbstractRule):
    def traces(self):
        return {"mean": LowPass(1e-12, lambda seen: seen.gradient, early=True)}

    def __call__(self, synapses, signals, key):
        return 0.1 * signals.traces["mean"]


def test_traces_of_a_delayed_rule_are_given_the_same_gradient():
    """One that moves first, and one that moves last."""
    memory = rules.SynapticIntelligence(0.1, lambda seen: seen.step < 0)
    held = {"memory": memory, "mean": Smoothed(), "descent": rules.Descent()}
    late = {name: rules.DelayedGradient(rule, 2) for name, rule in held.items()}
    bowl = LossCircuit(lambda w, _: jnp.sum(w**2) / 2)
    system = System(Constant(None), bowl, late)
    record = lambda now, seen, changes: (now, seen.gradient, changes["mean"])
    state = system.start(jnp.ones(1), KEY)
    _, (now, gradient, mean) = simulate(system, state, KEY, steps=6, record=record)
    past = np.concatenate([np.zeros((2, 1)), gradient[:-2]])
    moved = np.diff(now.synapses, axis=0, prepend=np.ones((1, 1)))
    _, path = now.traces["memory"]["path"]
    assert np.allclose(mean, 0.1 * past, rtol=1e-12)
    assert np.allclose(path.earned, np.cumsum(-past * moved, axis=0), rtol=1e-12)
    assert np.all(path.earned[2:] != 0)


def test_coloured_noise_has_its_variance_and_correlation_and_may_be_cut():
    system = System(
        Constant(None), Resting(0.5), {"it": rules.ColouredNoise(KEY, time=2.0)}
    )
    record = lambda state, signals, changes: changes["it"]
    state = system.start(jnp.zeros(2000), KEY)
    half, first = simulate(system, state, KEY, steps=3, record=record)
    _, rest = simulate(system, half, KEY, steps=3, record=record)
    _, whole = simulate(system, state, KEY, steps=6, record=record)
    assert jnp.array_equal(jnp.concatenate([first, rest]), whole)
    for lag in range(4):
        want, error = 0.5 * jnp.exp(-0.25 * lag), 0.5 * (2 / 2000) ** 0.5
        assert jnp.abs(jnp.mean(whole[0] * whole[lag]) - want) < 4 * error
        assert jnp.abs(jnp.mean(whole[-1] * whole[-1 - lag]) - want) < 4 * error


def test_release_noise_is_that_of_a_bernoulli_release():
    weights = np.full(4000, 0.7)
    noise = np.asarray(moved(rules.ReleaseNoise(0.2), weights, None))
    assert np.allclose(np.unique(noise.round(12)), [-0.7, 2.8])
    share = np.mean(noise > 0)
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 4000) ** 0.5
    sure = moved(rules.ReleaseNoise(jnp.ones(4000)), weights, None)
    assert not np.any(sure)


def test_a_metric_is_learned_from_that_of_gradient_ascent_on():
    weights, decay = jnp.asarray([0.0, 2.0]), rules.Dissipation(0.5)
    change = lambda s: rules.PowerMetric(decay, s)(weights, SIGNALS, KEY)
    found, slope = jax.jit(lambda s: jax.jvp(change, (s,), (1.0,)))(0.0)
    assert np.allclose(found, -0.15 * weights, rtol=1e-12)
    assert np.allclose(slope, -0.3 * np.log([1.0, 2.0]), rtol=1e-12)


def test_one_probe_moves_against_the_sign_of_the_slope():
    probe = rules.WeightPerturbation(0.5)
    step = moved(rules.Normalised(probe, 1.0), W, SIGNALS, jr.key(3))
    raw = moved(probe, W, SIGNALS, jr.key(3))
    assert tree_vdot(step, SIGNALS.gradient) < 0
    slope = tree_vdot(tree_unit(raw), SIGNALS.gradient)
    assert jnp.allclose(tree_norm(raw), 28 * jnp.abs(slope), rtol=1e-10)


def test_accept_only_moves_downhill_or_not_at_all():
    keys = jr.split(jr.key(0), 64)
    changes = mapped(rules.AcceptOnly(1.0), keys)
    lengths = jax.jit(jax.vmap(tree_norm))(changes)
    after = jax.vmap(lambda d: loss(jax.tree.map(jnp.add, W, d)))
    lengths, after = np.asarray(lengths), np.asarray(jax.jit(after)(changes))
    moves = lengths > 0
    assert np.allclose(lengths[moves], 1.0)
    assert np.all(after[moves] < loss(W))
    assert 0 < np.sum(moves) < 64


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
    plain = moved(rules.Newton(), w, seen)
    free = moved(rules.Newton(saddle_free=True), w, seen)
    damped = moved(rules.Newton(1.0), w, seen)
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
        (lambda: rules.EuclideanGradient(-1.0), "learning_rate"),
        (lambda: rules.NaturalGradient(-1.0), "learning_rate"),
        (lambda: rules.NaturalGradient(1.0, -1.0), "scale_limit"),
        (lambda: rules.NaturalGradient(1.0, terms=()), "terms"),
        (lambda: rules.NaturalGradient(1.0, terms=("uniform", "all")), "terms.*all"),
        (lambda: rules.ApproximateNaturalGradient(-1.0), "learning_rate"),
        (lambda: rules.ApproximateNaturalGradient(1.0, jnp.nan), "uniform"),
        (lambda: rules.ApproximateNaturalGradient(1.0, 1.0, jnp.inf), "proportional"),
        (lambda: rules.DenseNaturalGradient(-1.0, FISHER), "learning_rate"),
        (lambda: rules.DenseNaturalGradient(1.0, FISHER[:, :2]), r"fisher.*\(5, 2\)"),
        (lambda: rules.SkewedNaturalGradient(-1.0), "learning_rate"),
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
    final, _ = simulate(system, state, jr.key(0), steps=5)
    weights, memory = W, optimiser.init(W)

    @jax.jit
    def step(weights, memory):
        change, memory = optimiser.update(jax.grad(loss)(weights), memory, weights)
        return optax.apply_updates(weights, change), memory

    for _ in range(5):
        weights, memory = step(weights, memory)
    for got, want in zip(
        jax.tree.leaves(final.synapses), jax.tree.leaves(weights), strict=True
    ):
        assert jnp.allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize(
    "name", ["descent", "noisy gradient", "newton", "weight perturbation"]
)
def test_a_rule_is_an_optax_transformation(name):
    rule = ON_A_LOSS[name]()
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


# --- rules of a spiking neuron ------------------------------------------------------


def near(actual, expected, tolerance=1e-10):
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


def prefactor(signals):
    r"""A over the learning rate: $[Y - \phi dt]\phi'/\phi$ of the sigmoid."""
    return (signals.target - signals.rate * signals.dt) * 0.3 * (1 - signals.rate / 100)


@pytest.mark.parametrize("weights", SOMATIC)
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_natural_change_is_that_of_a_dense_solve(weights, target):
    """R3, R1 and the Cholesky baseline; all inputs fire."""
    neuron = SpikingNeuron(NEURON.rates.at[3].set(5.0), NEURON.dt, nodes=81)
    signals = spiking_signals(weights, target, neuron)
    moments = signals.moments
    fisher = glm_fisher(
        neuron.transfer, weights, moments.mean, moments.variance, nodes=81
    )
    matrix = fisher.as_matrix()
    error = prefactor(signals)
    want = 0.3 * error * np.linalg.solve(matrix, POTENTIALS)
    assert near(rules.NaturalGradient(0.3)(weights, signals, KEY), want)
    dense = rules.DenseNaturalGradient(0.3, matrix)
    assert near(dense(weights, signals, KEY), want)
    euclidean = rules.EuclideanGradient(0.3)(weights, signals, KEY)
    assert near(euclidean, 0.3 * error * POTENTIALS)


def test_skewed_change_is_that_of_a_dense_solve():
    moments = SPIKING.moments
    parts = skewed_glm_fisher(
        Sigmoid(), V, moments.mean, moments.variance, moments.third
    )
    matrix = parts.operator().as_matrix()
    want = 0.3 * prefactor(SPIKING) * np.linalg.solve(matrix, POTENTIALS)
    found = rules.SkewedNaturalGradient(0.3)(V, SPIKING, KEY)
    assert near(found, want)
    assert not near(found, rules.NaturalGradient(0.3)(V, SPIKING, KEY), 0.1)


def test_natural_change_is_the_sum_of_its_terms():
    r"""R7, and the paper's scaling factors (Eqs. 38, 107-109) for $\epsilon_0 = 1$."""
    terms = rules.natural_terms(SPIKING)
    c, x = SPIKING.coefficients, np.asarray(POTENTIALS)
    precision = 2 * 0.013  # c_eps
    uniform = -precision * (precision * c.g1 * x.sum() + c.g2 * SPIKING.voltage)
    proportional = precision * c.g2 * x.sum() + c.g4 * SPIKING.voltage
    rates = np.array([10.0, 50.0, 20.0, np.inf, 30.0])  # a silent one contributes 0
    assert near(terms.homosynaptic, precision * x / rates)
    assert near(terms.uniform, np.full(5, -uniform))
    assert near(terms.proportional, proportional * V)
    scale = 0.3 * prefactor(SPIKING) / c.c1
    whole = rules.NaturalGradient(0.3)(V, SPIKING, KEY)
    assert near(whole, scale * sum(terms))
    parts = [
        rules.NaturalGradient(0.3, terms=(name,))(V, SPIKING, KEY)
        for name in terms._fields
    ]
    for part, term in zip(parts, terms, strict=True):
        assert near(part, scale * term)
    two = rules.NaturalGradient(0.3, terms=("uniform", "homosynaptic"))
    assert near(two(V, SPIKING, KEY), parts[0] + parts[1])


def test_the_limit_of_the_scale_caps_it_and_keeps_the_direction():
    whole = rules.NaturalGradient(0.3)(V, SPIKING, KEY)
    scale = 1 / SPIKING.coefficients.c1
    for make in (rules.NaturalGradient, rules.ApproximateNaturalGradient):
        whole = make(0.3)(V, SPIKING, KEY)
        capped = make(0.3, scale_limit=0.4 * scale)(V, SPIKING, KEY)
        assert near(capped, 0.4 * whole)
        assert near(make(0.3, scale_limit=2 * scale)(V, SPIKING, KEY), whole)


@pytest.mark.parametrize("area", [1.0, 2.5])
def test_approximate_change_is_the_papers(area):
    r"""R5: $\gamma_u = c_u c_\epsilon$, $\gamma_w = c_w V$, $c_u = 0.95\epsilon_0$."""
    kernel = eqx.tree_at(lambda k: k.area, NEURON.kernel, jnp.asarray(area))
    neuron = SpikingNeuron(NEURON.rates, NEURON.dt, kernel=kernel, nodes=81)
    signals = spiking_signals(V, neuron=neuron)
    precision = 0.026 / area**2
    rates = np.array([10.0, 50.0, 20.0, np.inf, 30.0])
    direction = precision * POTENTIALS / rates - 0.95 * area * precision
    direction = direction + 0.05 * signals.voltage * V
    want = 0.3 * prefactor(signals) / signals.coefficients.c1 * direction
    assert near(rules.ApproximateNaturalGradient(0.3)(V, signals, KEY), want)


def test_adaptive_weight_term_is_the_limit_for_many_inputs():
    """T4, also its published values; and that of the exact coefficient."""
    limit = rules.proportional_limit(SPIKING.coefficients)
    adaptive = rules.ApproximateNaturalGradient(0.3, adaptive=True)(V, SPIKING, KEY)
    fixed = rules.ApproximateNaturalGradient(0.3, proportional=limit)
    assert near(adaptive, fixed(V, SPIKING, KEY))
    at = lambda mean, variance, q: glm_coefficients(
        Sigmoid(), *(jnp.asarray(x) for x in (mean, variance, q))
    )
    for mean, variance, want in ((0.0, 3.85, 0.017), (6.5, 22.0, 0.048)):
        c = at(mean, variance, 1e9)
        assert np.round(rules.proportional_limit(c), 3) == want
        assert near(rules.proportional_limit(c), c.g4, 1e-6)
    few = at(0.0, 3.85, 78.0)
    assert not near(rules.proportional_limit(few), few.g4, 1e-2)


def test_euclidean_change_is_the_gradient_of_the_divergence():
    r"""Check 6: exact for Poisson counts, up to $1/(1 - \phi dt)$ for single spikes."""
    x = 5 * np.random.default_rng(0).normal(size=(200, 5)) + 20
    teacher = np.asarray([0.1, -0.02, 0.05, 0.0, 0.03])
    dt, transfer = NEURON.dt, Sigmoid()

    @jax.jit
    def seen(x, weights):
        """The mean change, exact and corrected, and the slopes of both divergences."""
        spikes, coefficients = transfer(x @ teacher) * dt, NEURON.coefficients(weights)

        def poisson(w):
            p = transfer(x @ w) * dt
            return jnp.mean(spikes * jnp.log(spikes / p) + p - spikes)

        def bernoulli(w):
            p = transfer(x @ w) * dt
            no = (1 - spikes) * jnp.log((1 - spikes) / (1 - p))
            return jnp.mean(spikes * jnp.log(spikes / p) + no)

        @jax.vmap
        def change(x, target):
            signals = NEURON.signals(weights, x, target, coefficients)
            return rules.EuclideanGradient(1.0)(weights, signals, KEY)

        changes, factor = change(x, spikes), 1 / (1 - transfer(x @ weights) * dt)
        means = jnp.mean(changes, 0), jnp.mean(factor[:, None] * changes, 0)
        return *means, -jax.grad(poisson)(weights), -jax.grad(bernoulli)(weights)

    mean, corrected, of_poisson, of_bernoulli = seen(x, V)
    assert near(mean, of_poisson)
    assert near(corrected, of_bernoulli)
    assert not near(mean, of_bernoulli, 1e-3)


# --- wrappers of spiking rules ------------------------------------------------------


def test_reparametrised_changes_are_divided_or_multiplied_by_the_slope():
    """R2 and R4, at the somatic weights that the attenuation gives."""
    slope = 0.07 / np.cosh(U) ** 2
    natural, euclidean = rules.NaturalGradient(0.3), rules.EuclideanGradient(0.3)
    moved = rules.Reparametrised(natural, BENT)(U, SPIKING, KEY)
    assert near(moved, natural(V, SPIKING, KEY) / slope)
    moved = rules.Reparametrised(euclidean, BENT, euclidean=True)(U, SPIKING, KEY)
    assert near(moved, slope * euclidean(V, SPIKING, KEY))


def test_a_reparametrised_rule_sees_somatic_weights():
    """Dissipation of the amplitude, not of the synapse; on any pytree."""

    class Decay(rules.Descent):
        def __call__(self, synapses, signals, key):
            return jax.tree.map(jnp.negative, synapses)

    halve = lambda tree: jax.tree.map(lambda x: x / 2, tree)
    moved = rules.Reparametrised(Decay(), halve)(W, SIGNALS, KEY)
    for got, want in zip(jax.tree.leaves(moved), jax.tree.leaves(W), strict=True):
        assert near(got, -want)


def test_separate_students_have_their_own_rules_signals_and_noise():
    natural = rules.NaturalGradient(0.3)
    both = rules.Separate({"x": natural, "y": natural})(STUDENTS, SHARED, KEY)
    for name, w in STUDENTS.items():
        assert near(both[name], natural(w, SHARED.students[name], KEY), 1e-12)
    noise = rules.Separate({"x": rules.Wiener(), "y": rules.Wiener()})
    seen = noise(STUDENTS, SHARED, KEY)
    assert not near(seen["x"], seen["y"], 1e-2)
    one = rules.Separate({"x": rules.Wiener()})({"x": V}, SHARED, KEY)
    assert jnp.array_equal(one["x"], seen["x"])


def test_separate_students_need_a_rule_each():
    rule = rules.Separate({"x": rules.Wiener(), "z": rules.Wiener()})
    with pytest.raises(ValueError, match=r"'x', 'y'.*'x', 'z'"):
        rule(STUDENTS, SHARED, KEY)


def test_changes_follow_the_coefficients_that_the_neuron_was_given():
    """A frozen or a published table of coefficients reaches the rules."""
    c = SPIKING.coefficients
    frozen = Coefficients(*(2 * x for x in c))
    signals = eqx.tree_at(lambda s: s.coefficients, SPIKING, frozen)
    found = rules.NaturalGradient(0.3)(V, signals, KEY)
    moments = SPIKING.moments
    e = moments.mean / moments.variance
    inverse = 2 * (c.g1 * np.outer(e, e) + c.g4 * np.outer(V, V))
    inverse = inverse + 2 * c.g2 * (np.outer(e, V) + np.outer(V, e))
    inverse = inverse + np.diag(moments.active / moments.variance)
    want = 0.3 * prefactor(SPIKING) / (2 * c.c1) * (inverse @ POTENTIALS)
    assert near(found, want)


def test_probabilities_of_release_noise_do_not_broadcast():
    for chances in (jnp.full(3, 0.5), {"w": 0.5}):
        with pytest.raises(ValueError, match="`probability` must be shaped like"):
            rules.ReleaseNoise(chances)(jnp.ones((2, 3)), None, KEY)


def test_a_wrapper_and_its_rule_do_not_share_a_trace():
    inner = rules.DelayedGradient(rules.Descent(), 1)
    with pytest.raises(ValueError, match="have a trace 'gradients'"):
        rules.DelayedGradient(inner, 2).traces()
