"""Weights that never stop changing: closed forms, invariances, edges, bad input."""

import dataclasses
import functools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax import measure, rules
from plasticity_jax._interfaces import State
from plasticity_jax._simulate import simulate
from plasticity_jax._sweep._sweep import sweep
from plasticity_jax.circuits import error_function, RateNetwork
from plasticity_jax.signals import RateSignals
from plasticity_jax.synapses import random_mask
from plasticity_jax.systems.stable_memory import noisy, patterns, theory
from plasticity_jax.systems.stable_memory.checks._cycles import cycle_checks
from plasticity_jax.systems.stable_memory.checks._drive import drive_checks
from plasticity_jax.systems.stable_memory.checks._learning import learning_checks
from plasticity_jax.systems.stable_memory.checks._weight import weight_checks
from plasticity_jax.systems.stable_memory.config import (
    build,
    check_memory_step,
    Config,
    embed,
    HOMEOSTASIS,
    network_of,
)
from plasticity_jax.systems.stable_memory.retrieval import LowRankNetwork
from plasticity_jax.tasks import Drive, turning


KEY = jr.key(0)
N, STEPS = 6, 25
TINY = Config(size=N, spin_up=2.5, duration=2.5, follow=2.5, record_every=0.1)
U, V = map(jnp.asarray, np.eye(N)[:2])
ACTIVE = ("dissipation", "rate_control", "decorrelation")
vectors = st.lists(st.floats(-30, 30), min_size=N, max_size=N).map(np.asarray)
seeds = st.integers(0, 10_000)
quick = settings(deadline=None, max_examples=25, derandomize=True)


def _weights(state, signals, changes):
    return state.synapses


def _course(config, key=KEY, *, memory=0.0, silent=False):
    """The system, its start, and the weights after every step."""
    system, state = build(config, key)
    held = memory * (jnp.outer(U, V) - jnp.outer(V, U))[: config.size, : config.size]
    state = embed(config, system, state, held, key)
    if silent:
        state = State(network_of(config).at(jnp.zeros(config.size)), state.synapses)
    final, path = simulate(system, state, key, steps=STEPS, record=_weights)
    return state, final, path


# --- closed forms -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("checks", "least"),
    [
        (weight_checks, 21),
        (learning_checks, 21),
        (cycle_checks, 14),
        (drive_checks, 10),
    ],
)
def test_every_closed_form_holds(checks, least):
    rows = list(checks())
    assert len(rows) >= least
    assert not [row for row in rows if not row.holds]


@quick
@given(vectors, vectors, vectors, st.floats(1e-3, 1.0))
def test_learning_is_antisymmetric_and_decorrelation_symmetric(x, rate, trace, dt):
    """Exact operation by operation; a compiled product and difference may be fused."""
    x, rate, trace = (jnp.asarray(given) for given in (x, rate, trace))
    step = jnp.asarray(0, jnp.int32)
    signals = RateSignals(jnp.asarray(dt), rate, x, x, trace, trace, step=step)
    synapses = jnp.ones((N, N))
    learned = rules.AntisymmetricHebb()(synapses, signals, KEY)
    assert jnp.array_equal(learned, -learned.T)
    restrained = rules.Decorrelation(0.5, 1.0)(synapses, signals, KEY)
    assert jnp.array_equal(restrained, restrained.T)
    pair = rules.PairSTDP(1.0, 1.0)(synapses, signals, KEY)
    assert jnp.allclose(pair, learned, rtol=1e-13, atol=1e-13 * 900)


@functools.partial(jax.jit, static_argnames="count")
def _memories(count, seed):
    keys = jr.split(jr.key(seed), 3)
    planes = patterns.draw_planes("gaussian", count, 12, keys[0])
    strengths = [3 * jr.normal(k, (count,)) for k in keys[1:]]
    basis, core = patterns.low_rank(planes, *strengths)
    return basis @ core @ basis.T, theory.low_rank_eigenvalues(basis, core)


@quick
@given(st.sampled_from([0, 1, 2, 5]), seeds)
def test_low_rank_memories_have_the_spectrum_of_the_small_matrix(count, seed):
    weights, wanted = (np.asarray(x) for x in _memories(count, seed))
    assert wanted.shape == (2 * count,)
    # the same traces of powers: no eigenvalue differs, and all others are zero
    power, scale = np.eye(12), max(1.0, np.linalg.norm(weights, 2))
    for k in range(1, 7):
        power = power @ (weights / scale)
        assert np.isclose(np.trace(power), np.sum((wanted / scale) ** k), atol=1e-12)


@quick
@given(vectors, vectors, st.floats(-20, 20))
def test_one_plane_rotates_by_strength_times_area(u, v, strength):
    u, v = u / 30, v / 30
    memory = jax.jit(patterns.imaginary_memory)(u, v, strength)
    frequency = jax.jit(theory.plane_frequency)(u, v, strength)
    largest = np.max(np.linalg.eigvals(np.asarray(memory)).imag)
    assert np.isclose(largest, abs(frequency), atol=1e-6)


@jax.jit
def _of_a_plane(u, strength):
    slopes = jax.value_and_grad(theory.plane_frequency)
    return patterns.imaginary_memory(u, u, strength), slopes(u, u, strength)


@quick
@given(vectors, st.floats(-20, 20))
def test_a_plane_of_one_vector_holds_nothing(u, strength):
    memory, (frequency, slope) = _of_a_plane(u, strength)
    assert not np.any(memory)
    assert frequency == 0
    assert not np.any(slope)


@functools.partial(jax.jit, static_argnames="transfer")
def _energies(transfer, x):
    rotation = patterns.imaginary_memory(U, V, 20.0)
    energies = theory.energy(transfer, x), theory.energy(transfer, -x)
    return *energies, theory.energy_slope(transfer, rotation, x), -(transfer(x) @ x)


@quick
@given(vectors, st.sampled_from([jnp.tanh, error_function, jnp.sign]))
def test_energy_is_positive_even_and_does_no_work_by_rotation(x, transfer):
    energy, other, loss, want = _energies(transfer, x)
    assert energy >= 0
    assert np.isclose(energy, other, rtol=1e-14)
    assert np.isclose(loss, want, rtol=1e-12, atol=1e-12)


def test_energy_of_tanh_is_accurate_at_every_size_and_its_gradient_finite():
    small, large = jnp.full(N, 1e-6), jnp.full(N, 500.0)
    assert jnp.isclose(theory.tanh_energy(small), N * 5e-13, rtol=1e-10)
    assert jnp.isclose(theory.tanh_energy(large), N * (500 - np.log(2.0)), rtol=1e-14)
    x = jnp.asarray([0.0, 1e-6, 1.0, -1.0, 2.0, 500.0])
    slope = jax.grad(theory.tanh_energy)(x)
    assert jnp.allclose(slope, jnp.tanh(x), rtol=1e-12)


def test_rotation_squared_has_one_direction_of_curvature():
    curvature = jax.hessian(lambda w: measure.rotation(w.reshape(N, N), U, V) ** 2)
    values = np.linalg.eigvalsh(jax.jit(curvature)(np.zeros(N * N)))
    assert np.allclose(values, np.eye(N * N)[-1], atol=1e-14)


def test_rate_control_decides_between_a_real_and_a_complex_pair_at_four_turns():
    config, one = Config(plasticity=1.0, trace_time=5.0), jnp.ones(())
    for gain, rotates in ((0.79, True), (0.81, False)):  # 4 omega is 0.8
        here = dataclasses.replace(config, homeostasis_gain=gain)
        state = theory.controlled_state(here, one)
        assert bool(theory.controlled_is_complex(here, one)) is rotates
        assert (state.eigenvalue.imag > 0) == rotates
    still = dataclasses.replace(config, frequency=0.0)
    slopes = jax.tree.leaves(theory.controlled_state(still, one))
    assert all(jnp.isfinite(x) for x in slopes)


def test_a_drive_erases_rotation_as_its_matrix_exponential_says():
    config, activity = Config(plasticity=0.5), jnp.asarray(1.3)
    rate = theory.erasure_rate(config, activity)
    assert jnp.isclose(rate, 0.5 * 1.3**2)
    times = jnp.asarray([0.0, 1.0, 4.0, 900.0])
    for frequency in (0.0, 0.1, 0.9, float(rate) / 2):
        here = dataclasses.replace(config, frequency=frequency)
        left = theory.driven_rotation(here, activity, times)
        flow = np.array([[-float(rate), frequency], [-frequency, 0.0]])
        for time, got in zip(np.asarray(times), left, strict=True):
            cos, sin = np.cos(frequency * time), np.sin(frequency * time)
            back = np.array([[cos, -sin], [sin, cos]])
            want = np.trace(back @ scipy.linalg.expm(time * flow)) / 2
            assert np.isclose(got, want, rtol=1e-6, atol=1e-12)


def test_rest_erases_what_the_rates_share_with_the_plane():
    """Against an oblique projection, by hand."""
    config, keys = Config(plasticity=0.1), jr.split(KEY, 2)
    rates, targets = jr.uniform(keys[0], (N,)), 0.3 * jr.uniform(keys[1], (N,))
    plane, excess = jnp.stack([U, V]), rates - targets
    late = theory.resting_rotation(config, rates, targets, plane, jnp.asarray(1e5))
    kept = np.eye(N) - np.outer(excess, rates) / (excess @ rates)
    assert np.isclose(late, (U @ kept @ U + V @ kept @ V) / 2, rtol=1e-12)
    silent = jnp.zeros(N)
    left = lambda rates: theory.resting_rotation(config, rates, targets, plane, 9.0)
    assert left(silent) == 1
    assert jnp.all(jnp.isfinite(jax.grad(left)(silent)))
    below = theory.lawful_growth(config, rates, rates + jnp.where(U > 0, 1.0, -1.0))
    assert np.isclose(below, 0.1 * jnp.sum(jnp.where(U > 0, rates, 0)), rtol=1e-12)


def test_erasing_at_rest_has_its_limit_where_targets_balance_rates():
    """Excess at right angles to the rates: they erase at one speed, without an end."""
    config, plane = Config(plasticity=0.1), jnp.eye(4)[:2]
    rates, balanced = jnp.asarray([1.0, 0.0, 1.0, 0.0]), jnp.asarray([0.5, 0, 1.5, 0])
    weights = np.array(patterns.imaginary_memory(plane[0], plane[1], 1.0))
    speed, steps = config.plasticity * config.homeostasis_gain * config.step, 20
    for _ in range(steps):
        weights -= speed * np.outer(rates - balanced, np.asarray(rates) @ weights)
    share = lambda targets: theory.resting_rotation(
        config, rates, targets, plane, steps * config.step
    )
    left = (weights[0, 1] - weights[1, 0]) / 2
    assert np.isclose(share(balanced), left, rtol=1e-12)
    assert left < 0.99
    near = share(balanced * (1 + 1e-9))
    assert np.isclose(near, left, atol=1e-8)
    ends = (share(balanced + x * jnp.eye(4)[2]) for x in (1e-4, -1e-4))
    secant = (next(ends) - next(ends)) / 2e-4
    assert np.isclose(jax.grad(share)(balanced)[2], secant, rtol=1e-6)


def test_targets_of_rates_above_zero_are_above_zero():
    target = lambda transfer: build(Config(size=32, transfer=transfer), KEY)[0].rules[
        "homeostasis"
    ]
    assert jnp.min(target("softplus").rule.target) >= 0
    assert jnp.min(target("tanh").rule.target) < 0


def test_noise_leaves_the_overlaps_of_a_small_stimulus_alone():
    _, core = patterns.low_rank(jnp.zeros((1, 2, 4)), jnp.zeros(1), 2 * jnp.ones(1))
    stimulus, still = jnp.asarray([1.0, 0.0]), jnp.zeros(())
    quiet, loud = (
        noisy.linear_response(core, jnp.asarray(x), still, stimulus) for x in (0.0, 0.6)
    )
    # x = b + A x with A = (0, 2; -2, 0): (1, -2) / 5
    assert np.allclose(quiet.overlaps, [0.2, -0.4], atol=1e-12)
    assert jnp.array_equal(loud.overlaps, quiet.overlaps)
    assert quiet.outside == 0
    assert jnp.isclose(loud.outside**2, 0.2 * 0.36 / 0.64)
    assert jnp.isclose(noisy.outlier_overlap(0.6, 1.0), 0.8)
    with pytest.raises(ValueError, match="below"):
        noisy.linear_response(core, jnp.asarray(1.0), still, stimulus)
    with pytest.raises(ValueError, match="exceed the radius"):
        noisy.outlier_overlap(2.0, 1.5)


# --- what homeostasis does to the anti-symmetric part -------------------------------


def test_noise_alone_moves_memories_under_decorrelation_of_equal_gain():
    last = {}
    for name, kind, gain in (
        ("free", "none", 1.0),
        ("equal", "decorrelation", 1.0),
        ("unequal", "decorrelation", 0.5),
    ):
        config = dataclasses.replace(TINY, plasticity=0.3, homeostasis=kind, gain=gain)
        weights = _course(config, memory=3.0)[1].synapses
        last[name] = weights - weights.T
    assert jnp.allclose(last["equal"], last["free"], atol=1e-12)
    assert not jnp.allclose(last["unequal"], last["free"], atol=1e-3)


@pytest.mark.parametrize("homeostasis", ACTIVE)
def test_edges_of_every_parameter(homeostasis):
    config = dataclasses.replace(TINY, plasticity=0.3, homeostasis=homeostasis)
    still = dataclasses.replace(config, plasticity=0.0)
    start, _, path = _course(still, memory=3.0)
    assert all(jnp.array_equal(weights, start.synapses) for weights in path)

    # without restraint the noise alone is left, and it comes at every tenth step
    start, final, path = _course(dataclasses.replace(config, homeostasis_gain=0.0))
    moved = jnp.any(jnp.diff(path, axis=0, prepend=start.synapses[None]), axis=(1, 2))
    assert (jnp.flatnonzero(moved) + 1).tolist() == [10, 20]
    plain = _course(dataclasses.replace(config, homeostasis="none"))[1]
    assert jnp.allclose(plain.synapses, final.synapses, atol=1e-14)

    # exact silence stays exact, and nothing becomes NaN
    silent = _course(config, silent=True)[1]
    assert not jnp.any(silent.activity.potential)
    assert jnp.all(jnp.isfinite(silent.synapses))


@pytest.mark.parametrize("homeostasis", ACTIVE)
def test_two_neurons(homeostasis):
    config = dataclasses.replace(TINY, size=2, homeostasis=homeostasis, learns=True)
    final = _course(config, memory=3.0)[1]
    assert final.synapses.shape == (2, 2)
    assert jnp.all(jnp.isfinite(final.synapses))
    assert abs(measure.rotation(final.synapses, *jnp.eye(2))) > 1


def test_traces_start_at_the_texts_draw():
    config = dataclasses.replace(TINY, size=1024, trace_spread=1.0)
    start = build(config, KEY)[1].activity
    assert abs(jnp.mean(start.early_trace)) < 4 / 32
    assert abs(jnp.var(start.early_trace) - 1) < 4 * (2 / 1024) ** 0.5
    assert abs(start.early_trace @ start.potential) < 4 * 32
    silent = build(dataclasses.replace(config, trace_spread=0.0), KEY)[1].activity
    assert not jnp.any(silent.early_trace)
    assert jnp.array_equal(silent.potential, start.potential)


def test_a_floor_keeps_activity_from_dying():
    config = dataclasses.replace(TINY, homeostasis="none", initial_gain=0.0)
    assert not jnp.any(_course(config, silent=True)[1].activity.potential)
    kept = dataclasses.replace(config, floor=1e-3)
    last = _course(kept, silent=True)[1].activity.potential
    assert 1e-5 < jnp.max(jnp.abs(last)) < 1e-2
    with pytest.raises(ValueError, match="`floor` must lie in"):
        Config(floor=-1.0)


def test_without_synapses_nothing_is_ever_written():
    config = dataclasses.replace(TINY, sparse=True, density=0.0, learns=True)
    path = _course(config, memory=3.0)[2]
    assert not jnp.any(path)
    full = dataclasses.replace(config, density=1.0)
    dense = dataclasses.replace(full, sparse=False)
    assert jnp.array_equal(_course(full)[2], _course(dense)[2])


# --- derivatives, precision, batches, devices ---------------------------------------


LEARNING = Config(
    size=12,
    learns=True,
    learning_gain=5.0,
    trace_time=5.0,
    plasticity=0.05,
    noise=0.0,
    initial_gain=1.0,
)


def _learned(amplitude, config, dtype=jnp.float64):
    """A after a rotating stimulus, all arrays in `dtype`."""
    system, state = build(config, KEY)
    axes = patterns.draw_planes("binary", 1, config.size, KEY, orthonormal=True)[0]
    course = (
        amplitude * config.size**0.5 * turning(200, 0.1, 0.0, 15.0, jnp.asarray(0.2))
    )
    system = dataclasses.replace(system, task=Drive(axes, course))
    cast = lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x
    system, state, axes = jax.tree.map(cast, (system, state, axes))
    final, _ = simulate(system, state, KEY, steps=200, every=20)
    return measure.rotation(final.synapses, *axes)


@pytest.mark.dear
def test_gradient_through_learning_is_that_of_central_differences():
    learned = jax.jit(lambda amplitude: _learned(amplitude, LEARNING))
    amplitude, step = jnp.asarray(1.3), 1e-6
    slope = jax.grad(learned)(amplitude)
    secant = (learned(amplitude + step) - learned(amplitude - step)) / (2 * step)
    assert abs(slope) > 1e-2
    assert jnp.isclose(slope, secant, rtol=1e-6)


@pytest.mark.dear
def test_single_precision_learns_the_same():
    double = _learned(jnp.asarray(1.3), LEARNING)
    single = _learned(jnp.asarray(1.3), LEARNING, jnp.float32)
    assert single.dtype == jnp.float32
    assert abs(double) > 0.1
    assert abs(float(single) / float(double) - 1) < 0.01


def _remembered(config, key):
    final = _course(config, key, memory=3.0)[1]
    return {"rotation": measure.rotation(final.synapses, U, V)}


def test_one_diverging_run_leaves_the_others_bit_identical():
    keys = jr.split(KEY, 2)
    options = {"batch_size": 6, "progress": False}
    config = dataclasses.replace(TINY, dissipation=0.0)
    rates = {"plasticity": [0.01, 0.02, 0.03]}
    calm = sweep(_remembered, config, rates, keys, **options)
    rates = {"plasticity": [0.01, 1e300, 0.03]}
    wild = sweep(_remembered, config, rates, keys, **options)
    assert wild.diverged.values.tolist() == [[False] * 2, [True] * 2, [False] * 2]
    for i in (0, 2):
        assert np.array_equal(calm.rotation.values[i], wild.rotation.values[i])


@pytest.mark.parametrize("homeostasis", HOMEOSTASIS)
def test_every_homeostasis_lowers_for_cuda_without_callbacks(homeostasis):
    config = dataclasses.replace(
        TINY, homeostasis=homeostasis, learns=True, pair_rule=True, sparse=True
    )
    run = jax.jit(jax.vmap(lambda key: _remembered(config, key)))
    lowered = run.trace(jr.split(KEY, 2)).lower(lowering_platforms=("cuda",))
    assert "callback" not in lowered.as_text()


# --- bad input ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 1}, "`size` must be at least 2"),
        ({"plasticity": -1.0}, "`plasticity` must lie in"),
        ({"density": 1.5}, "`density` must lie in [0.0, 1.0]; got 1.5"),
        ({"imbalance": -2.0}, "`imbalance` must lie in"),
        ({"homeostasis": "dissipate"}, "Did you mean 'dissipation'?"),
        ({"pattern": "binery"}, "Did you mean 'binary'?"),
        ({"integrator": "rk5"}, "Did you mean 'rk4'?"),
        ({"step": 5.0}, "must be below 2.785"),
        ({"step": 2.0, "integrator": "euler"}, "must be below 2.0"),
        ({"strength": 40.0}, "keep their product below 2.8"),
        (
            {"plasticity": 500.0, "homeostasis": "dissipation"},
            "dissipation at the rate 50",
        ),
        ({"trace_time": 0.05}, "`trace_time` = 0.05 must not be below `dt` = 0.1"),
        ({"follow": 0.25}, "`follow` (0.25) must be a whole number of steps of 0.1"),
        ({"record_every": 0.0}, "`record_every` must be at least one step"),
        ({"filter_time": 0.0}, "`filter_time` must lie in"),
    ],
)
def test_bad_configs_say_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Config(**settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: patterns.draw_planes("gauss", 1, 8, KEY), "Did you mean 'gaussian'?"),
        (lambda: patterns.draw_planes("gaussian", 5, 8, KEY), "at least 10 neurons"),
        (lambda: patterns.draw_planes("gaussian", -1, 8, KEY), "-1 planes"),
        (lambda: patterns.draw_planes("hadamard", 2, 12, KEY), "power of two"),
        (lambda: measure.rotation(jnp.eye(N), U, U), "`u` and `v` must be orthonormal"),
        (lambda: measure.expansion(jnp.eye(N), U, 2 * V), "v.v = 4"),
        (lambda: measure.rotation(jnp.eye(N + 1), U, V), "`u` must be Float"),
        (lambda: measure.rotation(jnp.nan * jnp.eye(N), U, V), "36 of its entries"),
        (
            lambda: measure.memory_eigenvalue(jnp.inf * jnp.ones((N, N)), U[:, None]),
            "`weights` must be finite",
        ),
        (lambda: random_mask((3, 3), -0.1, KEY), "`density` must lie in [0"),
        (lambda: RateNetwork(integrator="rk"), "Did you mean 'rk4'?"),
        (lambda: RateNetwork(2.8), "too large for stability"),
        (lambda: RateNetwork(trace_time=0.01), "`trace_time` = 0.01 must not be below"),
        (lambda: check_memory_step(30.0, 0.1), "`strength` 30"),
    ],
)
def test_bad_input_says_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_weights_must_fit_the_neurons():
    network = RateNetwork()
    with pytest.raises(Exception, match="synapses"):
        network(network.at(jnp.zeros(4)), jnp.zeros((3, 3)), jnp.zeros(4), KEY)


def test_a_memory_must_be_finite_and_fit_the_synapses():
    config = Config(size=8, spin_up=0.0)
    system, state = build(config, KEY)
    with pytest.raises(ValueError, match=r"shaped like the synapses \(8, 8\); got"):
        embed(config, system, state, jnp.ones((8, 4)), KEY)
    with pytest.raises(ValueError, match="`memory` must be finite; 64 of its entries"):
        embed(config, system, state, jnp.full((8, 8), jnp.inf), KEY)
    with pytest.raises(ValueError, match="`core` must be finite; 1 of its entries"):
        LowRankNetwork(jnp.ones((4, 2)), jnp.eye(2).at[0, 1].set(jnp.nan))
