"""Spiking neurons: kernel, spike trains, propagation, teaching, whole runs."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
from scipy.special import expit

from plasticity_jax import rules
from plasticity_jax._interfaces import State, System
from plasticity_jax._random import MOST, spike_counts
from plasticity_jax._simulate import simulate
from plasticity_jax.circuits import (
    input_moments,
    RectifiedQuadratic,
    SharedInput,
    Sigmoid,
    SpikingNeuron,
    SynapticKernel,
)
from plasticity_jax.circuits._kernel import relative_exponential
from plasticity_jax.curvature import glm_coefficients, voltage_moments
from plasticity_jax.tasks import Recorded, Spikes, SpikeTrains


DT = 5e-4  # s
RATES = jnp.asarray([10.0, 50.0, 20.0])
TEACHER = jnp.asarray([0.05, 0.02, -0.03])
START = jnp.asarray([-0.02, 0.04, 0.03])
KEY = jr.key(1)
LOWER = Sigmoid(threshold=0.0)
KERNELS = {
    "default": SynapticKernel(),
    "swapped": SynapticKernel(0.003, 0.010),
    "equal": SynapticKernel(0.007, 0.007, 2.0),
    "nearly equal": SynapticKernel(0.007, 0.007 * (1 + 1e-7)),
    "far apart": SynapticKernel(0.020, 0.0001, 0.5),
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())


def close(actual, expected, tolerance=1e-12):
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


def plain_kernel(time, membrane=0.010, synaptic=0.003, area=1.0):
    """The kernel as the paper writes it (Eq. 28)."""
    shape = np.exp(-time / membrane) - np.exp(-time / synaptic)
    return area / (membrane - synaptic) * np.where(time > 0, shape, 0.0)


# --- the kernel ---------------------------------------------------------------------


@every_kernel
def test_moments_of_the_kernel(kernel):
    """Area, energy and skew against Gauss-Legendre quadrature on short intervals."""
    nodes, mass = np.polynomial.legendre.leggauss(20)
    edges = np.concatenate([[0.0], np.geomspace(1e-6, 1.5, 60)])
    half = np.diff(edges)[:, None] / 2
    time = edges[:-1, None] + half * (nodes + 1)
    value = np.asarray(kernel(jnp.asarray(time)))
    for power, want in enumerate((kernel.area, kernel.energy, kernel.skew), 1):
        assert np.allclose(np.sum(half * mass * value**power), want, rtol=1e-10)


def test_published_numbers_of_the_kernel():
    kernel = SynapticKernel()
    assert np.allclose(kernel.energy, 38.4615, rtol=1e-5)
    assert np.allclose(kernel.skew, 1811.594, rtol=1e-6)
    assert np.round(kernel(kernel.peak_time), 2) == 59.69
    assert np.round(1000 * kernel.peak_time, 2) == 5.16


def test_the_kernel_is_its_formula_and_zero_before_the_spike():
    time = jnp.asarray([-1.0, -1e-3, 0.0, 1e-5, 1e-3, 5e-3, 0.05, 0.4, 50.0])
    assert close(SynapticKernel()(time), plain_kernel(np.asarray(time)), 1e-11)
    two = SynapticKernel(0.004, 0.02, 0.3)
    want = plain_kernel(np.asarray(time), 0.02, 0.004, 0.3)
    assert close(two(time), want, 1e-11)
    for kernel in KERNELS.values():
        assert jnp.all(kernel(time)[:3] == 0)


@every_kernel
def test_the_kernel_is_symmetric_in_its_time_constants(kernel):
    m, s = kernel.membrane_time, kernel.synaptic_time
    other = SynapticKernel(s, m, kernel.area)
    time = jnp.linspace(0.0, 0.1, 41)
    assert jnp.array_equal(kernel(time), other(time))
    assert close(kernel.peak_time, other.peak_time)
    assert close(kernel.skew, other.skew)


@every_kernel
def test_the_peak_is_a_maximum(kernel):
    slope = jax.grad(lambda t: kernel(t))
    peak = kernel.peak_time
    steepest = slope(jnp.asarray(1e-9))
    assert jnp.abs(slope(peak)) < 1e-7 * steepest
    assert slope(0.99 * peak) > 0 > slope(1.01 * peak)


@pytest.mark.parametrize("ratio", [1.0, 1 + 1e-5, 1.0003, 1.001, 1.03])
def test_the_peak_time_keeps_its_digits_in_single_precision(ratio):
    def peak(dtype):
        real = lambda x: jnp.asarray(x, dtype)
        kernel = dataclasses.replace(SynapticKernel(), area=real(1.0))
        put = lambda k: (k.membrane_time, k.synaptic_time)
        return eqx.tree_at(put, kernel, (real(0.003 * ratio), real(0.003))).peak_time

    assert peak(jnp.float32).dtype == jnp.float32
    assert np.allclose(peak(jnp.float32), peak(jnp.float64), rtol=1e-6)


def test_equal_time_constants_give_the_alpha_function_with_its_gradient():
    """Continuous from both sides; each gradient is half of that by both together."""
    tau, time = 0.007, np.linspace(0.0, 0.05, 26)
    alpha = time / tau**2 * np.exp(-time / tau)
    slope = time * np.exp(-time / tau) * (time / tau**4 - 2 / tau**3)
    values = lambda m, s: SynapticKernel(m, s)(jnp.asarray(time))
    moments = lambda m: (
        SynapticKernel(m, tau).peak_time,
        SynapticKernel(m, tau).energy,
    )
    whole = jax.jit(lambda *t: (values(*t), jax.jacfwd(values, argnums=(0, 1))(*t)))
    for gap in (0.0, 1e-12, -1e-9, 1e-6, -1e-6):
        found, slopes = whole(tau + gap, tau - gap)
        assert close(found, alpha, 1e-7)
        for found in slopes:
            assert close(found, slope / 2, 1e-3 if gap else 1e-10)
    assert close(jax.jit(jax.jacfwd(moments))(tau), [0.5, -2 / 0.028**2])


def test_relative_exponential_and_its_slopes():
    x = np.array([-700.0, -30.0, -1.0, -1e-3, -1e-5, 1e-12, 9.9e-4, 1.1e-3, 2.0])
    assert close(relative_exponential(jnp.asarray(x)), np.expm1(x) / x)
    assert relative_exponential(jnp.zeros(())) == 1
    slope = jax.vmap(jax.grad(relative_exponential))(jnp.asarray(x))
    series = 1 / 2 + x / 3 + x**2 / 8 + x**3 / 30
    closed = (x * np.exp(x) - np.expm1(x)) / x**2
    assert np.allclose(slope, np.where(np.abs(x) < 0.01, series, closed), rtol=1e-8)


@pytest.mark.parametrize("name", ["membrane_time", "synaptic_time", "area"])
@pytest.mark.parametrize("value", [0.0, -0.01, float("nan")])
def test_kernels_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        SynapticKernel(**{name: value})


# --- propagation --------------------------------------------------------------------


def potentials_of(state, signals, changes):
    return signals.potentials


@eqx.filter_jit
def heard(kernel, stimuli, dt):
    """Synaptic potentials after every step of recorded spikes (step, substep, n)."""
    steps, _, n = stimuli.shape
    neuron = SpikingNeuron(jnp.full(n, 20.0), dt, kernel=kernel, nodes=9)
    target = jnp.zeros(steps)
    system = System(Recorded(Spikes(stimuli, target)), neuron, {})
    weights = jnp.zeros(n)
    state = State(neuron.start(weights), weights)
    return simulate(system, state, KEY, steps=steps, record=potentials_of)[1]


@every_kernel
def test_a_spike_leaves_the_kernel_sampled_from_the_next_bin_on(kernel):
    spikes = jnp.zeros((60, 1, 2)).at[0, 0, 0].set(1.0).at[7, 0, 1].set(1.0)
    seen = heard(kernel, spikes, DT)
    time = DT * np.arange(60.0)
    for i, start in ((0, 0), (1, 7)):
        want = np.asarray(kernel(jnp.asarray(time - time[start])))
        assert close(seen[:, i], want, 1e-11)
        assert jnp.all(seen[: start + 1, i] == 0)


@every_kernel
def test_propagation_is_the_convolution_of_all_spikes(kernel):
    """Also with several spikes in a bin, after ten time constants."""
    spikes = np.random.default_rng(0).poisson(0.2, (300, 1, 3)).astype(float)
    assert np.max(spikes) > 1
    seen = heard(kernel, jnp.asarray(spikes), DT)
    shape = np.asarray(kernel(DT * jnp.arange(300.0)))
    for i in range(3):
        want = np.convolve(spikes[:, 0, i], shape)[:300]
        assert close(seen[:, i], want, 1e-11)


def test_substeps_are_small_steps():
    spikes = jnp.asarray(np.random.default_rng(0).random((120, 1, 3)) < 0.05, float)
    whole = heard(SynapticKernel(), spikes, DT)
    coarse = heard(SynapticKernel(), spikes.reshape(12, 10, 3), 10 * DT)
    assert close(coarse, whole[9::10], 1e-11)


def test_stationary_moments_with_their_discretisation():
    """The mean is 0.99931 of its limit, the variance 1 - r dt of its own."""
    kernel = SynapticKernel()
    sampled = np.asarray(kernel(DT * jnp.arange(1000.0)))
    assert np.round(np.sum(sampled) * DT, 5) == 0.99931

    @jax.jit
    def run(rates):
        neuron = SpikingNeuron(rates, DT, nodes=9)
        task = SpikeTrains(rates, DT, target_rate=1.0)
        weights = jnp.zeros(2000)
        state = State(neuron.start(weights), weights)
        system = System(task, neuron, {})
        return simulate(
            system, state, KEY, steps=8400, every=200, record=potentials_of
        )[1]

    seen = (
        np.asarray(run(np.repeat([10.0, 50.0], 1000)))[2:]
        .reshape(40, 2, 1000)
        .swapaxes(0, 1)
        .reshape(2, -1)
    )
    for samples, rate in zip(seen, (10.0, 50.0), strict=True):
        mean = rate * DT * np.sum(sampled)
        variance = rate * DT * (1 - rate * DT) * np.sum(sampled**2)
        error = np.std(samples) / 200
        assert abs(np.mean(samples) - mean) < 4 * error
        assert error < 0.011 * mean
        squares = (samples - mean) ** 2
        error = np.std(squares) / 200
        assert abs(np.mean(squares) - variance) < 4 * error
        assert error < 0.02 * variance
        limit = float(input_moments(jnp.asarray([rate]), kernel).variance[0])
        assert np.allclose(variance, (1 - rate * DT) * limit, rtol=1e-3)


def test_input_moments_are_those_of_shot_noise_and_silent_inputs_are_marked():
    kernel = SynapticKernel(0.02, 0.004, 1.5)
    found = input_moments(jnp.asarray([0.0, 30.0]), kernel, 1e-3)
    rates = np.array([1e-3, 30.0])
    assert close(found.mean, 1.5 * rates)
    assert close(found.variance, kernel.energy * rates)
    assert close(found.third, kernel.skew * rates)
    assert found.active.tolist() == [0.0, 1.0]


# --- spike trains -------------------------------------------------------------------


@eqx.filter_jit
def drawn(task, steps, key=KEY):
    keys = jr.split(key, steps)
    return jax.vmap(lambda key: task(jnp.asarray(0), key))(keys)


LAWS = [("bernoulli", False), ("bernoulli", True), ("poisson", False)]
every_law = pytest.mark.parametrize(("law", "half_words"), LAWS)


@every_law
def test_rates_of_spike_trains_and_their_independence(law, half_words):
    rates, steps, dt = jnp.asarray([0.0, 10.0, 50.0, 400.0, 1000.0]), 40_000, 1e-3
    task = SpikeTrains(rates, dt, law=law, half_words=half_words, substeps=2)
    inputs = np.asarray(drawn(task, steps).inputs)
    assert inputs.shape == (steps, 2, 5)
    p = np.asarray(rates) * dt / 2
    if half_words:
        p = np.round(p * 2**16) / 2**16
    counts = inputs.reshape(-1, 5)
    variance = p if law == "poisson" else p * (1 - p)
    error = np.sqrt(variance / len(counts))
    assert np.all(np.abs(counts.mean(0) - p) <= 4 * error)
    assert np.all(error[1:] < 0.06 * p[1:])
    assert np.all(counts[:, 0] == 0)
    assert (counts.max() > 1) == (law == "poisson")
    # neighbours in time, among substeps and among inputs do not know of each other
    centred = (counts[:, 2:] - p[2:]) / np.sqrt(variance[2:])
    for lag in (1, 2):
        assert np.all(
            np.abs(np.mean(centred[lag:] * centred[:-lag], 0))
            < 4 / np.sqrt(len(counts))
        )
    across = centred.T @ centred / len(centred) - np.diag(np.mean(centred**2, 0))
    assert np.all(np.abs(across) < 4 / np.sqrt(len(counts)))


@every_law
def test_every_key_draws_anew_and_the_same_key_the_same(law, half_words):
    task = SpikeTrains(jnp.full(64, 500.0), 1e-3, law=law, half_words=half_words)
    inputs = np.asarray(drawn(task, 20).inputs).reshape(20, -1)
    assert len(np.unique(inputs, axis=0)) == 20
    assert np.array_equal(inputs, np.asarray(drawn(task, 20).inputs).reshape(20, -1))


def test_a_teacher_that_does_not_see_the_inputs_has_its_own_rate():
    task = SpikeTrains(jnp.asarray([50.0, 50.0]), 1e-3, target_rate=200.0)
    seen = drawn(task, 40_000)
    assert seen.target.shape == (40_000,)
    error = np.sqrt(0.2 * 0.8 / 40_000)
    assert abs(float(jnp.mean(seen.target)) - 0.2) < 4 * error
    for i in range(2):
        both = np.mean((seen.inputs[:, 0, i] - 0.05) * (seen.target - 0.2))
        assert abs(both) < 4 * np.sqrt(0.05 * 0.95 * 0.2 * 0.8 / 40_000)
    assert drawn(SpikeTrains(RATES, DT), 2).target is None


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("mean", [0.0, 0.005, 0.3, 1.0])
def test_poisson_counts_invert_their_distribution(mean, dtype):
    """The share of every count against SciPy's law, within 4 standard errors."""
    draws = 200_000
    counts = spike_counts(KEY, jnp.asarray([mean], dtype), (draws, 1), "poisson")
    assert counts.dtype == dtype
    law = scipy.stats.poisson.pmf(np.arange(MOST + 1), mean)
    found = np.bincount(np.asarray(counts).ravel().astype(int), minlength=MOST + 1)
    assert len(found) == MOST + 1
    error = np.sqrt(law * (1 - law) / draws)
    assert np.all(np.abs(found / draws - law) <= 4 * error + 3 / draws * (law < 1e-4))


def test_poisson_counts_in_half_precision_are_drawn_in_single():
    mean, found = jnp.asarray([0.001], jnp.bfloat16), []
    for kind in (jnp.bfloat16, jnp.float32):
        found.append(spike_counts(KEY, mean.astype(kind), (200_000, 1), "poisson"))
    assert found[0].dtype == jnp.bfloat16
    assert np.array_equal(*(np.asarray(x, float) for x in found))
    assert 140 < np.sum(np.asarray(found[0], float)) < 260


@pytest.mark.parametrize("law", ["bernoulli", "poisson"])
def test_spike_trains_in_single_precision_and_through_vmap(law):
    cast = lambda x: x.astype(jnp.float32)
    task = jax.tree.map(cast, SpikeTrains(jnp.asarray([5.0, 50.0]), DT, law=law))
    seen = drawn(task, 50_000).inputs
    assert seen.dtype == jnp.float32
    p = np.array([0.0025, 0.025])
    error = np.sqrt(p / 50_000)
    assert np.all(np.abs(np.mean(np.asarray(seen), (0, 1)) - p) < 4 * error)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: SpikeTrains(jnp.asarray([-1.0]), DT), "rates"),
        (lambda: SpikeTrains(jnp.asarray([jnp.nan]), DT), "rates"),
        (lambda: SpikeTrains(RATES, 0.0), "dt"),
        (lambda: SpikeTrains(jnp.asarray([10.0, 3000.0]), DT), "`rates`.*3000.*1.5"),
        (lambda: SpikeTrains(RATES, DT, target_rate=3000.0), "`target_rate`.*1.5"),
        (lambda: SpikeTrains(RATES, DT, target_rate=-3.0), "target_rate"),
        (lambda: SpikeTrains(RATES, DT, substeps=0), "substeps"),
        (lambda: SpikeTrains(RATES, DT, law="poisson", half_words=True), "half_words"),
    ],
)
def test_impossible_spike_trains_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_substeps_shorten_the_bin_that_may_hold_one_spike():
    task = SpikeTrains(jnp.asarray([3000.0]), DT, substeps=2)
    inputs = task(jnp.asarray(0), KEY).inputs
    assert inputs.shape == (2, 1)
    with pytest.raises(ValueError, match="probability per bin"):
        SpikeTrains(jnp.asarray([3000.0]), DT)


@pytest.mark.parametrize("make", [SpikeTrains, SpikingNeuron])
def test_unknown_laws_are_refused(make):
    """By name, or before it by the checker of types that the tests switch on."""
    with pytest.raises((TypeError, ValueError), match="law"):
        make(RATES, DT, law="poison")


def test_a_recording_starts_again_after_its_end():
    task = Recorded({"a": jnp.arange(3.0), "b": jnp.arange(6).reshape(3, 2)})
    seen = [task(jnp.asarray(step), KEY) for step in (0, 2, 3, 7)]
    assert [float(x["a"]) for x in seen] == [0.0, 2.0, 0.0, 1.0]
    assert seen[3]["b"].tolist() == [2, 3]


# --- one step -----------------------------------------------------------------------


def neuron_of(**changes):
    settings = {"teacher": TEACHER, "nodes": 49}
    return SpikingNeuron(RATES, DT, **{**settings, **changes})


def system_of(rule=None, task=None, **changes):
    neuron = neuron_of(**changes)
    rule = rules.NaturalGradient(0.01) if rule is None else rule
    system = System(task or SpikeTrains(RATES, DT), neuron, {"learning": rule})
    return system, State(neuron.start(START), START)


def everything(state, signals, changes):
    return {"state": state, "signals": signals, "changes": changes}


def test_order_of_operations_in_a_bin():
    """Traces, voltage, teacher at the same inputs, change, weights: in NumPy.

    The teacher's transfer function is a step, so that its spikes are known.
    """
    steps, slope = 400, 1e5
    transfer = Sigmoid(1 / DT, slope, 2.0)
    rule = rules.EuclideanGradient(2e-11)
    system, state = system_of(rule, transfer=transfer, refresh=0)
    spikes = (np.random.default_rng(1).random((steps, 1, 3)) < 0.02).astype(float)
    system = dataclasses.replace(
        system, task=Recorded(Spikes(jnp.asarray(spikes), None))
    )
    _, seen = simulate(system, state, KEY, steps=steps, record=everything)
    shape = plain_kernel(DT * np.arange(steps))
    potentials = [np.convolve(s, shape)[:steps] for s in spikes[:, 0].T]
    voltage, synapses = np.asarray(seen["signals"].voltage), seen["state"].synapses
    w, targets, synapses = np.asarray(START), [], np.asarray(synapses)
    for k, x in enumerate(np.stack(potentials, 1)):
        above = np.asarray(TEACHER) @ x - 2
        assert slope * abs(above) > 40
        targets.append(float(above > 0))
        z = slope * (w @ x - 2)
        phi, score = expit(z) / DT, slope * expit(-z)
        assert close(voltage[k], w @ x, 1e-9)
        w = w + 2e-11 * (targets[-1] - phi * DT) * score * x
        assert close(synapses[k], w, 1e-9)
    assert np.array_equal(seen["signals"].target, targets)
    assert 20 < np.sum(targets) < 380
    assert not close(w, START, 1e-3)


def test_signals_are_those_of_the_weights_before_the_change():
    system, state = system_of()
    _, seen = simulate(system, state, KEY, steps=100, record=everything)
    s = jax.tree.map(np.asarray, seen["signals"])
    before = np.concatenate([START[None], seen["state"].synapses[:-1]])
    assert close(s.weights, before)
    assert close(s.voltage, np.sum(before * s.potentials, 1))
    rate = 100 / (1 + np.exp(-0.3 * (s.voltage - 10)))
    assert close(s.rate, rate)
    assert close(s.score, 0.3 * (1 - rate / 100))
    assert np.all(s.dt == DT)
    assert set(np.unique(s.target)) <= {0.0, 1.0}


@pytest.mark.parametrize("law", ["bernoulli", "poisson"])
def test_the_teacher_spikes_at_its_rate(law):
    """Over potentials that it sees, and so not at the student's rate."""
    still = rules.EuclideanGradient(0.0)
    system, state = system_of(still, law=law, refresh=0, transfer=LOWER)
    _, seen = simulate(system, state, KEY, steps=100_000, record=taught)
    target, rate, own = (np.asarray(x) for x in seen)
    error = np.sqrt(np.mean(rate * DT)) / np.sqrt(len(rate))
    assert abs(np.mean(target - rate * DT)) < 4 * error
    assert abs(np.mean(target - own * DT)) > 4 * error
    assert error < 0.05 * np.mean(rate * DT)


def taught(state, signals, changes):
    teacher = LOWER(jnp.sum(TEACHER * signals.potentials))
    return signals.target, teacher, signals.rate


@pytest.mark.parametrize("refresh", [0, 1, 3])
def test_coefficients_are_refreshed_when_they_are_due(refresh):
    task = SpikeTrains(20 * RATES, DT)
    system, state = system_of(rules.NaturalGradient(0.3), task, refresh=refresh)
    _, seen = simulate(system, state, KEY, steps=100, record=everything)
    weights, found = seen["signals"].weights, seen["signals"].coefficients
    fresh = coefficients(dataclasses.replace(system.circuit, refresh=1), weights)
    assert len(np.unique(np.round(fresh.c1, 12))) > 25
    due = np.arange(100) // refresh * refresh if refresh else np.zeros(100, int)
    for name, value in found._asdict().items():
        assert close(value, np.asarray(getattr(fresh, name))[due], 1e-10), name


@eqx.filter_jit
def coefficients(neuron, weights):
    return jax.vmap(neuron.coefficients)(weights)


def test_coefficients_are_those_of_the_inputs():
    neuron = neuron_of()
    moments = input_moments(RATES, SynapticKernel())
    seen = voltage_moments(START, moments.mean, moments.variance)
    want = glm_coefficients(Sigmoid(), *seen, nodes=49)
    assert eqx.tree_equal(neuron.coefficients(START), want)
    assert eqx.tree_equal(neuron.start(START).coefficients, want)


def test_attenuation_maps_synapses_to_the_soma():
    attenuation = lambda u: 0.1 * jnp.tanh(u)
    plain, _ = system_of()
    bent = dataclasses.replace(plain.circuit, attenuation=attenuation)
    synapses = jnp.asarray([0.3, -0.2, 0.9])
    spikes = Spikes(jnp.ones((1, 3)), None)
    start = bent.start(synapses)
    start = start._replace(current=jnp.asarray([30.0, 20.0, 10.0]))
    activity, seen = bent(start, synapses, spikes, KEY)
    other, want = plain.circuit(start, attenuation(synapses), spikes, KEY)
    assert eqx.tree_equal(activity, other)
    assert eqx.tree_equal(seen, want)
    assert close(seen.weights, 0.1 * np.tanh(np.asarray(synapses)))


def test_weights_of_a_teacher_become_an_array_of_the_default_type():
    neuron = SpikingNeuron(RATES, DT, teacher=np.asarray(TEACHER, np.float32), nodes=9)
    assert (neuron.teacher.dtype, neuron.teacher.shape) == (jnp.float64, (3,))
    assert isinstance(neuron.teacher, jax.Array)


def test_a_neuron_without_a_teacher_says_so():
    system, state = system_of(teacher=None)
    with pytest.raises(ValueError, match=r"no teacher.*target_rate"):
        simulate(system, state, KEY, steps=1, record=potentials_of)


@pytest.mark.parametrize("count", [1, 5])
def test_wrong_numbers_of_inputs_or_weights_are_told(count):
    """A single one must not be stretched to all."""
    task = SpikeTrains(jnp.full(count, 20.0), DT)
    system, state = system_of(task=task)
    with pytest.raises(ValueError, match=rf"3.*inputs|inputs.*\({count},\)"):
        simulate(system, state, KEY, steps=1, record=potentials_of)
    system, state = system_of()
    wrong = State(state.activity, jnp.full(count, 0.1))
    with pytest.raises(ValueError, match=r"weight.*3|3.*weight"):
        simulate(system, wrong, KEY, steps=1, record=potentials_of)
    with pytest.raises(ValueError, match=r"weight.*3|3.*weight"):
        system.circuit.start(jnp.full(count, 0.1))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"teacher": jnp.ones(2)}, r"teacher.*\(3,\).*\(2,\)"),
        ({"refresh": -1}, "refresh.*-1"),
        ({"nodes": 5}, "nodes.*5"),
        ({"floor": 0.0}, "floor"),
        ({"transfer": lambda v: 0.1 * v}, "positive"),
    ],
)
def test_impossible_neurons_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        neuron_of(**changes)
    with pytest.raises(ValueError, match="rates"):
        SpikingNeuron(jnp.asarray([-1.0]), DT)


# --- runs ---------------------------------------------------------------------------


def test_a_run_may_be_cut_or_thinned_without_changing_it():
    """To the bit, also between two refreshes of the coefficients."""
    task = SpikeTrains(40 * RATES, DT, substeps=2)
    system, state = system_of(task=task, refresh=4, law="poisson")
    run = lambda state, steps, every=1: simulate(
        system, state, KEY, steps=steps, every=every, record=everything
    )
    whole, seen = run(state, 30)
    half, first = run(state, 15, 5)
    again, last = run(half, 15, 5)
    assert eqx.tree_equal(whole, again)
    few = jax.tree.map(lambda x, y: np.concatenate([x, y]), first, last)
    assert eqx.tree_equal(few, jax.tree.map(lambda x: np.asarray(x)[4::5], seen))
    assert not eqx.tree_equal(whole.synapses, START)


RULES = {
    "euclidean": rules.EuclideanGradient(1e-4),
    "natural": rules.NaturalGradient(0.05),
    "approximate": rules.ApproximateNaturalGradient(0.05),
    "skewed": rules.SkewedNaturalGradient(0.05, nodes=151),
}


def test_students_that_share_their_input_are_those_of_single_runs():
    neuron, task = neuron_of(refresh=2), SpikeTrains(20 * RATES, DT)
    chosen = {name: RULES[name] for name in ("euclidean", "natural")}
    synapses = {"euclidean": START, "natural": 2 * START}
    shared = System(task, SharedInput(neuron), {"learning": rules.Separate(chosen)})
    state = State(neuron.start(synapses), synapses)
    together, seen = simulate(shared, state, KEY, steps=60, record=everything)
    for name, rule in chosen.items():
        single = System(task, neuron, {"learning": rule})
        start = State(neuron.start(synapses[name]), synapses[name])
        alone, own = simulate(single, start, KEY, steps=60, record=everything)
        student = seen["signals"].students[name]
        assert jnp.array_equal(student.target, own["signals"].target)
        assert close(student.voltage, own["signals"].voltage, 1e-10)
        assert close(together.synapses[name], alone.synapses, 1e-10)
        assert not close(alone.synapses, synapses[name], 1e-5)
    assert jnp.sum(own["signals"].target) > 0


@eqx.filter_jit
@eqx.filter_value_and_grad
def learned(rates, weights):
    """The changes of all rules in one number, the weights having just moved."""
    neuron = SpikingNeuron(rates, DT, nodes=25)
    start = neuron.start(0 * weights)
    start = start._replace(current=jnp.where(rates > 0, 2.0, 0.0))
    spikes = Spikes(jnp.zeros((1, rates.size)), jnp.asarray(1.0))
    _, signals = neuron(start, weights, spikes, KEY)
    changes = [rule(weights, signals, KEY) for rule in RULES.values()]
    return sum(jnp.sum(change**2) for change in changes)


@pytest.mark.parametrize(
    ("rates", "weights"),
    [
        ([0.0, 30.0, 0.0, 10.0], [0.1, 0.0, 0.0, -0.1]),
        ([0.0, 0.0, 0.0, 0.0], [0.05, 0.0, -0.1, 0.0]),
        ([20.0], [0.0]),
        ([20.0], [0.05]),
    ],
)
def test_silent_inputs_and_single_ones_are_finite_with_finite_gradients(rates, weights):
    value, slope = learned(jnp.asarray(rates), jnp.asarray(weights))
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(slope))


def test_silent_inputs_change_continuously_with_the_floor():
    """R8: heterosynaptic terms have a limit, the homosynaptic one is exactly zero.

    Also if an input fires that was said to be silent.
    """

    def change(floor):
        neuron = SpikingNeuron(jnp.asarray([0.0, 20.0, 30.0]), DT, floor=floor)
        spikes = Spikes(jnp.zeros((1, 3)), jnp.asarray(1.0))
        start = neuron.start(START)
        start = start._replace(current=jnp.asarray([5.0, 3.0, 2.0]))
        _, signals = neuron(start, START, spikes, KEY)
        terms = rules.natural_terms(signals)
        assert terms.homosynaptic[0] == 0
        return sum(terms)

    assert close(change(1e-6), change(1e-9), 1e-6)
    assert jnp.abs(change(1e-6)[0]) > 1e-3


@pytest.mark.dear
def test_the_gradient_through_a_run_is_the_derivative():
    """The teacher does not see the student, so that no spike of it moves."""

    @jax.jit
    @jax.value_and_grad
    def final(here):
        task = SpikeTrains(RATES, DT)
        system, state = system_of(rules.NaturalGradient(here[0]), task)
        state = State(state.activity, here[1:])
        end, _ = simulate(system, state, KEY, steps=300, every=15)
        return jnp.sum((end.synapses - TEACHER) ** 2)

    here, step = jnp.concatenate([jnp.asarray([0.05]), START]), 1e-6
    slopes = final(here)[1]
    for i in (0, 2):
        nudge = step * jnp.eye(4)[i]
        secant = (final(here + nudge)[0] - final(here - nudge)[0]) / (2 * step)
        assert jnp.allclose(slopes[i], secant, rtol=1e-5)
        assert jnp.abs(secant) > 1e-4


def test_a_map_over_hyper_parameters_and_seeds_is_a_loop():
    def final(rate, key):
        task = SpikeTrains(20 * RATES, DT)
        system, state = system_of(rules.NaturalGradient(rate), task)
        return simulate(system, state, key, steps=50, record=potentials_of)[0].synapses

    values, keys = jnp.asarray([0.02, 0.3]), jr.split(KEY, 3)
    both = jax.vmap(jax.vmap(final, (None, 0)), (0, None))
    mapped = jax.jit(both)(values, keys)
    one = jax.jit(final)
    looped = np.stack([np.stack([one(v, k) for k in keys]) for v in values])
    assert close(mapped, looped, 1e-11)
    assert len(np.unique(np.round(looped[..., 0], 12))) == 6


@pytest.mark.parametrize("transfer", [Sigmoid(), RectifiedQuadratic(-400.0)])
def test_single_precision_stays_single_and_finite_in_saturation(transfer):
    """Potentials of plus or minus 200 mV at both ends of the sigmoid."""
    cast = lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x
    neuron = neuron_of(transfer=transfer, nodes=151)  # a weight of 1 is wide
    some = (*RULES.values(), rules.NaturalGradient(0.05, scale_limit=10.0))

    @jax.jit
    def changes(weights):
        made = neuron, neuron.start(START), some
        single, start, learning = jax.tree.map(cast, made)
        here = start._replace(potential=jnp.asarray([200.0, 0.0, 0.0], jnp.float32))
        spikes = Spikes(jnp.zeros((1, 3), jnp.float32), jnp.ones((), jnp.float32))
        _, signals = single(here, weights, spikes, KEY)
        return signals.voltage, [rule(weights, signals, KEY) for rule in learning]

    for sign in (1.0, -1.0):
        voltage, found = changes(jnp.asarray([sign, 0.01, 0.0], jnp.float32))
        assert 180 < sign * voltage < 210
        for change in found:
            assert change.dtype == jnp.float32
            assert np.all(np.isfinite(change))


def test_the_compiled_run_lowers_for_cuda_without_callbacks():
    neuron, task = neuron_of(refresh=2), SpikeTrains(RATES, DT, half_words=True)
    synapses = dict.fromkeys(RULES, START)

    def run(key):
        system = System(task, SharedInput(neuron), {"learning": rules.Separate(RULES)})
        state = State(neuron.start(synapses), synapses)
        return simulate(system, state, key, steps=10, record=everything)

    traced = jax.jit(jax.vmap(run)).trace(jr.split(KEY, 2))
    lowered = traced.lower(lowering_platforms=("cuda",))
    assert "callback" not in lowered.as_text()
