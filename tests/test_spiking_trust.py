"""Spiking neurons give no wrong number without a word."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import rules
from plasticity_jax._random import bernoulli, spike_counts
from plasticity_jax.circuits import (
    input_moments,
    RectifiedQuadratic,
    relative_exponential,
    SharedInput,
    Sigmoid,
    SpikingNeuron,
    SynapticKernel,
)
from plasticity_jax.curvature import (
    glm_coefficients,
    glm_fisher,
    glm_fisher_inverse,
    mean_density,
    quadrature_error,
    skewed_glm_fisher,
    voltage_moments,
)
from plasticity_jax.curvature._transfer import check_transfer, fisher_density, score
from plasticity_jax.systems.natural_gradient import (
    build,
    Config,
    divergence_curve,
    shot_noise,
    single_theory,
    theory,
    time_to_threshold,
)
from plasticity_jax.systems.natural_gradient.config import nodes_of
from plasticity_jax.systems.natural_gradient.layer import layer_loss, SpikingLayer
from plasticity_jax.systems.natural_gradient.potentials import stationary_potentials
from plasticity_jax.systems.natural_gradient.single_synapse import SingleSynapse
from plasticity_jax.tasks import Recorded, Spikes, SpikeTrains


KEY, DT, NAN = jr.key(0), 5e-4, jnp.asarray(jnp.nan)
SIGMOID, KERNEL = Sigmoid(), SynapticKernel()
ONE = jnp.asarray(1.0)
RATES = jnp.asarray([10.0, 50.0])
WEIGHTS = jnp.asarray([0.05, -0.02])
MOMENTS = jax.jit(input_moments)(RATES, KERNEL)
MEAN, VARIANCE, THIRD = MOMENTS.mean, MOMENTS.variance, MOMENTS.third
SOFTPLUS = lambda v: 10 * jax.nn.softplus(0.3 * v)  # a user's, without bound


def refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# --- quadrature ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transfer", "variance"), [(SIGMOID, 4.0), (SIGMOID, 4000.0), (SOFTPLUS, 400.0)]
)
@pytest.mark.dear
def test_nodes_follow_the_spread_of_the_potential(transfer, variance):
    here = (transfer, jnp.asarray(2.0), jnp.asarray(variance), jnp.asarray(50.0))
    found, want = glm_coefficients(*here), glm_coefficients(*here, nodes=1201)
    assert np.allclose(found, want, rtol=1e-3, atol=1e-6)
    if variance == 4:  # bits of what 49 did
        assert eqx.tree_equal(found, glm_coefficients(*here, nodes=49))


def test_a_spread_beyond_all_nodes_is_refused():
    wide, far = jnp.asarray(1e6), jnp.asarray(1e3)
    with pytest.raises(ValueError, match=r"variance 1e.06.*1537"):
        glm_coefficients(SIGMOID, ONE, wide, far)
    with pytest.raises(ValueError, match="too wide"):
        mean_density(SIGMOID, ONE, wide, order=0)
    says = r"`nodes` \(25\) are too few.*variance 400.*97 would do"
    with pytest.raises(ValueError, match=says):
        mean_density(SIGMOID, ONE, jnp.asarray(400.0), order=0, nodes=25)
    for matrix in (glm_fisher, glm_fisher_inverse):
        with pytest.raises(ValueError, match="too wide"):
            matrix(SIGMOID, 500 * WEIGHTS, MEAN, VARIANCE)
    jumps = RectifiedQuadratic(0.0)  # derivatives of F are no functions there
    with pytest.raises(ValueError, match="jumps"):
        glm_coefficients(jumps, ONE, ONE, far)


def test_traced_it_is_nan_forward_and_backward_and_no_ordinary_number():
    value = lambda x: glm_coefficients(SIGMOID, x[0], x[1], jnp.asarray(78.0)).g4
    forward = jax.jit(jax.value_and_grad(value))
    for variance, good in ((3.0, True), (400.0, False), (-1.0, False)):
        found, slope = forward(jnp.asarray([1.0, variance]))
        assert bool(jnp.isfinite(found)) == good
        assert bool(jnp.all(jnp.isfinite(slope))) == good
    at = lambda slope: mean_density(Sigmoid(slope=slope), ONE, 400 * ONE, order=0)
    found, slope = jax.jit(jax.value_and_grad(at))(jnp.asarray(0.3))
    assert jnp.isnan(found)
    assert jnp.isnan(slope)


@pytest.mark.dear
def test_configs_choose_nodes_from_the_spread_of_their_weights():
    assert nodes_of(Config()) == 25
    assert nodes_of(Config(size=10)) == 81
    assert nodes_of(Config(size=10, nodes=151)) == 151
    wide = Config(weight_scale=10.0)
    assert nodes_of(wide) > 100
    known = lambda rate: (
        nodes_of(dataclasses.replace(wide, rate_factor=rate)) + 0 * rate
    )
    assert jax.jit(known)(1.0) == nodes_of(wide)
    system, state = build(wide, KEY)
    neuron = system.circuit.neuron
    weights, moments = state.synapses["natural"], neuron.moments
    seen = voltage_moments(weights, moments.mean, moments.variance)
    want = glm_coefficients(neuron.transfer, *seen, nodes=801).g4
    assert np.allclose(
        neuron.coefficients(state.synapses["natural"]).g4, want, rtol=1e-3
    )
    refused(lambda: Config(weight_scale=1e3), "too wide")
    refused(lambda: SingleSynapse(weight=100.0), "too wide")
    strong = SpikingNeuron(RATES, DT, teacher=20 * WEIGHTS)
    assert (
        strong.quadrature > SpikingNeuron(RATES, DT, teacher=WEIGHTS).quadrature == 49
    )
    refused(lambda: SpikingNeuron(RATES, DT).start(20 * WEIGHTS), "nodes.*too few")


# --- spikes -------------------------------------------------------------------------


def test_a_teacher_that_cannot_spike_as_often_as_it_should_is_refused():
    refused(lambda: SpikingNeuron(RATES, 0.02, teacher=WEIGHTS), "maximum.*shorten")
    refused(lambda: Config(maximum=1e4), "maximum")
    fast = SpikingNeuron(RATES, 0.02, teacher=WEIGHTS, transfer=SOFTPLUS)
    at = jax.jit(lambda x: fast.teacher_spikes(x, Spikes(jnp.zeros((1, 2)), None), KEY))
    assert jnp.isnan(at(jnp.asarray([9000.0, 0.0])))
    assert at(jnp.zeros(2)) in (0, 1)


@pytest.mark.parametrize("law", ["bernoulli", "poisson"])
@pytest.mark.parametrize("bits", [16, 32])
def test_counts_of_impossible_means_are_nan_or_refused(law, bits):
    draw = jax.jit(lambda p: spike_counts(KEY, p, (50, 6), law, bits))
    found = draw(jnp.asarray([0.0, 0.4, 1.0, 1.1, -0.1, jnp.nan]))
    assert jnp.all(jnp.isfinite(found[:, :3]))
    assert jnp.all(jnp.isnan(found[:, 3:]))
    for wrong in (1.1, -0.1, np.nan):
        refused(lambda p=wrong: spike_counts(KEY, p * ONE, (2,), law, bits), "`mean`")


def test_a_probability_that_rounds_to_none_is_refused():
    small = jnp.asarray([0.5, 2.0**-18])
    refused(lambda: bernoulli(KEY, small), "`probability` of 3.81e-06.*never")
    slow = jnp.asarray([1e-3, 20.0])
    refused(lambda: SpikeTrains(slow, DT, half_words=True), "5e-07.*never come true")
    assert SpikeTrains(slow, DT) is not None
    traced = jax.jit(lambda p: spike_counts(KEY, p, (2,), "bernoulli", 16))
    assert jnp.isnan(traced(small)[1])


def test_traced_rates_of_inputs_above_one_spike_a_bin_are_nan():
    task = lambda rates: SpikeTrains(rates, 1e-3)(jnp.asarray(0), KEY).inputs
    found = jax.jit(task)(jnp.asarray([20.0, 3000.0]))[0]
    assert jnp.isfinite(found[0])
    assert jnp.isnan(found[1])
    refused(lambda: stationary_potentials(100 * RATES, KERNEL, 2, KEY), "rates")


# --- NaN stays NaN ------------------------------------------------------------------


CALM = {
    "score": lambda x: score(SIGMOID, x),
    "score of a quadratic": lambda x: score(RectifiedQuadratic(), x),
    "score of a user's": lambda x: score(SOFTPLUS, x),
    "density": lambda x: jnp.stack(fisher_density(SIGMOID, x, 2)),
    "density of a quadratic": lambda x: jnp.stack(
        fisher_density(RectifiedQuadratic(), x, 2)
    ),
    "density of a user's": lambda x: jnp.stack(fisher_density(SOFTPLUS, x, 2)),
    "kernel": lambda x: KERNEL(x),
    "relative exponential": relative_exponential,
    "variance": lambda x: mean_density(SIGMOID, ONE, x, order=1),
    "mean": lambda x: jnp.stack(glm_coefficients(SIGMOID, x, ONE, 5 * ONE)[:7]),
    "moments": lambda x: jnp.stack(jax.tree.leaves(input_moments(x[None], KERNEL))),
    "divergence": lambda x: theory.divergence(
        SIGMOID, WEIGHTS * x, WEIGHTS, jnp.ones((3, 2)), DT
    ),
    "potentials": lambda x: shot_noise.draw_potentials(x[None], KERNEL, 3, KEY),
    "error of a matrix": lambda x: shot_noise.fisher_error(x * jnp.eye(2), jnp.eye(2)),
}


@pytest.mark.parametrize("function", CALM.values(), ids=CALM.keys())
def test_nan_comes_out_as_nan(function):
    assert jnp.all(jnp.isnan(jax.jit(function)(NAN)))
    assert jnp.all(jnp.isfinite(jax.jit(function)(ONE)))


def test_a_transfer_function_that_holds_nan_is_refused():
    hole = lambda v: jnp.where(v > 3, jnp.nan, jnp.exp(0.1 * v))
    refused(lambda: check_transfer(hole), "positive.*nan")
    bent = jax.custom_jvp(lambda v: jnp.exp(0.1 * v))
    slope = lambda v: jnp.where(jnp.abs(v) < 0.01, jnp.nan, 0.1)
    bent.defjvp(lambda p, t: (bent(*p), slope(p[0]) * bent(*p) * t[0]))
    refused(lambda: check_transfer(bent), "nan")


def test_the_time_to_a_threshold_is_nan_nothing_or_infinite_where_it_should_be():
    config = Config(natural_rate=0.01, size=4)
    time = lambda threshold: time_to_threshold(
        config, "natural", jnp.asarray(threshold)
    )
    assert jnp.isnan(time(jnp.nan))
    assert 0 < time(5e-5) < 1e6
    assert time(1e3) == 0  # from the start
    assert time(1e-12) == jnp.inf


# --- numbers of any kind ------------------------------------------------------------


def number_for_number(x):
    """Everything at a number and at a vector of two; the rest is held fixed."""
    vector = [x, x + 1] if isinstance(x, int | float) else jnp.stack([x, x + 1])
    neuron = SpikingNeuron(RATES, DT, kernel=SynapticKernel(area=0.01))
    ones = jnp.ones(2)
    started = neuron.start(jnp.zeros(2))
    moments = (ONE, 9 * ONE)
    c = glm_coefficients(SIGMOID, *moments, 5 * ONE)
    return {
        "sigmoid": SIGMOID(x),
        "quadratic": RectifiedQuadratic()(x),
        "score": score(SIGMOID, x),
        "score of a user's": score(SOFTPLUS, x),
        "density": fisher_density(SIGMOID, x, 1),
        "coefficients": glm_coefficients(SIGMOID, x, 4 * ONE, 78 * ONE),
        "width": glm_coefficients(SIGMOID, 0, x, 78),
        "average": mean_density(SIGMOID, x, x, order=1),
        "error": quadrature_error(SIGMOID, x, x, nodes=49),
        "moments": voltage_moments(vector, MEAN, VARIANCE),
        "matrix": glm_fisher(SIGMOID, vector, ones, ones).as_matrix(),
        "skewed": skewed_glm_fisher(SIGMOID, vector, ones, ones, vector),
        "kernel": KERNEL(x),
        "propagator": KERNEL.propagator(x),
        "relative": relative_exponential(x),
        "inputs": input_moments(vector, KERNEL, x),
        "somatic": neuron.at_soma(vector),
        "neuron": neuron.coefficients(vector),
        "seen": neuron.signals(vector, vector, x, started.coefficients),
        "divergence": theory.divergence(SIGMOID, vector, vector, [vector], DT),
        "rate error": theory.rate_error(SIGMOID, vector, [0, 0], [vector]),
        "moment form": theory.moment_coefficients(SIGMOID, x, x),
        "correction": theory.bernoulli_correction(SIGMOID, x, x, DT),
        "sherman": theory.sherman_morrison_coefficients(x, x, x, x, x, 9),
        "variance law": single_theory.variance_law(SIGMOID, x, x, x, x),
        "ratio": single_theory.heterosynaptic_ratio(c, KERNEL, x, x, x),
        "boundary": single_theory.heterosynaptic_boundary(c, KERNEL, x),
        "curve": divergence_curve(Config(size=4), "natural", vector),
        "angle": shot_noise.update_angle(np.eye(2, dtype=int), np.eye(2), vector),
    }


@pytest.mark.dear
def test_integers_and_lists_give_what_the_array_gives():
    want = number_for_number(jnp.asarray(2.0))
    for x in (2, jnp.asarray(2)):
        found = number_for_number(x)
        for name, value in want.items():
            assert eqx.tree_equal(found[name], value), (name, x)


# --- shapes and ranges --------------------------------------------------------------


def seen(weights=WEIGHTS, neuron=None):
    neuron = neuron or SpikingNeuron(RATES, DT)
    spikes = Spikes(jnp.ones((1, len(neuron.rates))), ONE)
    return neuron(neuron.start(weights), weights, spikes, KEY)[1]


def stimulated(inputs, target=None):
    neuron = SpikingNeuron(RATES, DT, teacher=WEIGHTS)
    return neuron(neuron.start(WEIGHTS), WEIGHTS, Spikes(inputs, target), KEY)


def shared(synapses, started):
    circuit = SharedInput(SpikingNeuron(RATES, DT))
    spikes = Spikes(jnp.ones((1, 2)), ONE)
    return circuit(circuit.neuron.start(started), synapses, spikes, KEY)


LAYER = SpikingLayer(MOMENTS)
TWO = jnp.asarray([[0.05, -0.02], [0.05, -0.02]])
REFUSED = {
    "one weight for all": (
        lambda: glm_fisher(SIGMOID, WEIGHTS[:1], MEAN, VARIANCE),
        "`mean` must be Float",
    ),
    "one mean for all": (
        lambda: voltage_moments(WEIGHTS, MEAN[:1], VARIANCE),
        "`mean` must be Float",
    ),
    "one variance for all": (
        lambda: glm_fisher_inverse(SIGMOID, WEIGHTS, MEAN, VARIANCE[:1]),
        "`variance` must be Float",
    ),
    "one cumulant for all": (
        lambda: skewed_glm_fisher(SIGMOID, WEIGHTS, MEAN, VARIANCE, THIRD[:1]),
        "`third`",
    ),
    "no variance": (
        lambda: voltage_moments(WEIGHTS, MEAN, 0 * VARIANCE),
        "`variance` must be above 0",
    ),
    "negative variance": (
        lambda: mean_density(SIGMOID, ONE, -ONE, order=0),
        "`variance` must not be negative",
    ),
    "means": (
        lambda: mean_density(SIGMOID, MEAN, ONE, order=0),
        "`mean` must be Float",
    ),
    "order": (lambda: mean_density(SIGMOID, ONE, ONE, order=-1), "`order`"),
    "rates of moments": (lambda: input_moments(RATES[None], KERNEL), "`rates`"),
    "negative rates": (lambda: input_moments(-RATES, KERNEL), "not negative; got -10"),
    "rates of trains": (lambda: SpikeTrains(RATES[None], DT), "`rates` must be a vec"),
    "rates of a neuron": (lambda: SpikingNeuron(RATES[None], DT), "`rates`"),
    "rates of a target": (lambda: SpikeTrains(RATES, DT, target_rate=RATES), "target"),
    "teacher": (lambda: SpikingNeuron(RATES, DT, teacher=[jnp.nan, 0]), "`teacher`"),
    "unequal recordings": (lambda: Recorded((jnp.ones(5), jnp.ones(4))), "`stimuli`"),
    "no recording": (lambda: Recorded({"a": jnp.ones((0, 2))}), "`stimuli`"),
    "no substep": (lambda: stimulated(jnp.ones(2)), "substep, n"),
    "inputs": (lambda: stimulated(jnp.ones((1, 3))), "2 inputs"),
    "targets": (lambda: stimulated(jnp.ones((1, 2)), jnp.ones(3)), "one `target`"),
    "no students": (lambda: shared(WEIGHTS, WEIGHTS), "dictionary"),
    "a missing student": (
        lambda: shared({"a": WEIGHTS, "b": WEIGHTS}, {"a": WEIGHTS}),
        r"\['a'\].*\['a', 'b'\]",
    ),
    "terms": (lambda: rules.NaturalGradient(1.0, terms=["homo"]), "`terms`"),
    "a term twice": (
        lambda: rules.NaturalGradient(1.0, terms=("uniform", "uniform")),
        "`terms`",
    ),
    "asymmetric": (
        lambda: rules.DenseNaturalGradient(1.0, [[1.0, 0.5], [0.0, 1.0]]),
        "`fisher` must be symmetric",
    ),
    "indefinite": (
        lambda: rules.DenseNaturalGradient(1.0, [[1.0, 0.0], [0.0, -1.0]]),
        "`fisher` must be positive",
    ),
    "too large": (
        lambda: rules.DenseNaturalGradient(1.0, jnp.eye(3))(WEIGHTS, seen(), KEY),
        "row for every weight",
    ),
    "layer": (lambda: LAYER.rates(TWO[:, :1], TWO), "`inputs` must be"),
    "targets of a layer": (
        lambda: layer_loss(LAYER, TWO, TWO, jnp.ones((2, 1))),
        "`targets`",
    ),
    "potentials": (
        lambda: theory.divergence(SIGMOID, WEIGHTS[:1], WEIGHTS, TWO, DT),
        "`teacher` must be Float",
    ),
    "not a probability": (
        lambda: theory.divergence(SIGMOID, 900 * WEIGHTS, WEIGHTS, TWO, 0.2),
        "rate x dt",
    ),
    "single potentials": (
        lambda: shot_noise.shot_noise_fisher(
            SIGMOID, 0.5 * ONE[None], RATES[:1], KERNEL, points=128, nodes=8
        ),
        r"`nodes` \(8\) are too few",
    ),
    "matrices": (
        lambda: shot_noise.fisher_error(jnp.asarray([[1.0, 1.0], [0.0, 1.0]]), TWO),
        "`exact` must be symmetric",
    ),
    "seconds": (lambda: Config(seconds=0), "`seconds`"),
    "half an input": (lambda: Config(size=2.5), "`size` must be an integer"),
    "no step": (lambda: Config(step=jnp.nan), "`step`"),
    "rates of a config": (lambda: Config(high_rate=1e5), "`rates`"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused_by_name(make, says):
    """By its check, or before it by the checker of types that the tests switch on."""
    with pytest.raises((TypeError, ValueError)) as told:
        make()
    by_type = "ype" in type(told.value).__name__ or "ype" in str(told.value)[:40]
    assert by_type or told.match(says)


def test_a_held_voltage_is_an_array():
    rule = rules.ApproximateNaturalGradient(1.0, held_voltage=2)
    assert isinstance(rule.held_voltage, jax.Array)
    change = lambda rule: jnp.sum(rule(WEIGHTS, seen(), KEY))
    assert jnp.abs(eqx.filter_grad(change)(rule).held_voltage) > 0
