"""Recall from fixed connectivity: the solver, limit cycles, capacity."""

import dataclasses
import time

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.circuits import error_function, RateNetwork
from plasticity_jax.systems.stable_memory import (
    capacity,
    cycles,
    fixed_points,
    mean_field,
)
from plasticity_jax.systems.stable_memory.cycles._rates import _check_smooth
from plasticity_jax.systems.stable_memory.experiments.capacity import (
    Capacity,
    cued,
    memories,
)
from plasticity_jax.systems.stable_memory.experiments.cycles import (
    CRITICAL,
    EXPANSIONS,
    PhasePlane,
)
from plasticity_jax.systems.stable_memory.experiments.retrieval import Retrieval
from plasticity_jax.systems.stable_memory.patterns import draw_planes, low_rank
from plasticity_jax.systems.stable_memory.retrieval import (
    LowRankNetwork,
    plane_network,
    radii,
    recall,
    retrieved,
    turning,
)


def scalar(x):
    return jnp.asarray(x, float)


EXPANSION, ROTATION = scalar(2.0), scalar(4.0)
DRAW = np.random.default_rng(0)
PLANES = jnp.asarray(DRAW.choice([-1.0, 1.0], (3, 2, 32)) / 32**0.5)
START = jnp.asarray(DRAW.normal(size=32))
TIMES = jnp.asarray(np.linspace(0.5, 5.0, 10))
run, turned = eqx.filter_jit(recall), eqx.filter_jit(turning)


# --- the network and its solver -----------------------------------------------------


def test_low_rank_network_is_the_dense_one():
    network = plane_network(PLANES, EXPANSION, ROTATION)
    network = dataclasses.replace(network, diagonal=-0.3)
    basis, core = (
        np.asarray(x) for x in low_rank(PLANES, jnp.full(3, 2.0), jnp.full(3, 4.0))
    )
    dense = basis @ core @ basis.T - 0.3 * np.eye(32)
    want = RateNetwork().slope(START, jnp.asarray(dense), jnp.zeros(32))
    assert np.allclose(network(START), want, rtol=0, atol=1e-12)
    want = np.asarray(PLANES[0]) @ np.asarray(START) / 32**0.5
    assert np.allclose(network.overlaps(START)[:2], want, rtol=0, atol=1e-14)


def test_recall_agrees_with_short_steps_of_the_circuit():
    network = plane_network(PLANES, EXPANSION, ROTATION)
    circuit = RateNetwork(0.01)

    @jax.jit
    def stepped(start):
        dense = network.basis @ network.core @ network.basis.T
        forward = lambda _, now: circuit(now, dense, jnp.zeros(32), jr.key(0))[0]
        return jax.lax.fori_loop(0, 500, forward, circuit.at(start)).potential

    last = stepped(START)
    solved = run(network, START, TIMES, tolerance=1e-9)
    assert solved.solved
    assert jnp.allclose(solved.potential, last, rtol=0, atol=1e-6)
    assert jnp.allclose(solved.overlaps[-1], network.overlaps(last), rtol=0, atol=1e-6)


def test_what_is_orthogonal_to_the_memories_decays_freely():
    planes = draw_planes("hadamard", 3, 32, jr.key(2))
    basis = np.asarray(planes).reshape(6, 32)
    away = lambda x: x - basis.T @ (basis @ np.asarray(x))
    network = plane_network(planes, EXPANSION, ROTATION)
    last = run(network, START, TIMES, tolerance=1e-9).potential
    assert np.allclose(away(last), away(START) * np.exp(-5.0), rtol=0, atol=1e-5)


def test_gradients_through_recall_are_those_of_differences():
    def final(strengths):
        network = plane_network(PLANES, strengths[1], strengths[0])
        return jnp.sum(recall(network, START, TIMES[:4], tolerance=1e-9).overlaps ** 2)

    at = jnp.stack([ROTATION, EXPANSION])
    both = jax.jit(jax.value_and_grad(final))
    gradient, step = both(at)[1], 1e-4
    for k in range(2):
        shift = step * jnp.eye(2)[k]
        secant = (both(at + shift)[0] - both(at - shift)[0]) / (2 * step)
        assert jnp.abs(secant) > 0.1
        assert jnp.allclose(gradient[k], secant, rtol=1e-5)


@pytest.mark.dear
def test_failures_are_flagged_and_stay_in_their_lane():
    network = plane_network(PLANES, EXPANSION, ROTATION)
    starts = jnp.stack([START, START.at[0].set(jnp.nan)])
    short = run(network, START, TIMES, most_steps=3)
    assert not short.solved
    assert jnp.all(jnp.isnan(short.overlaps))
    assert jnp.all(jnp.isnan(short.potential))
    both = eqx.filter_jit(jax.vmap(lambda x: recall(network, x, TIMES)))(starts)
    assert both.solved.tolist() == [True, False]
    alone = run(network, START, TIMES)
    assert jnp.allclose(both.overlaps[0], alone.overlaps, rtol=1e-12)
    assert jnp.all(jnp.isnan(both.overlaps[1]))


def test_constant_euler_steps_are_those_of_the_definition():
    network = plane_network(PLANES, scalar(0.0), ROTATION, jnp.sign)
    x = START
    for _ in range(5):
        x = x + 0.1 * network(x)
    got = run(network, START, TIMES[:1], step=0.1, solver=diffrax.Euler())
    assert jnp.allclose(got.potential, x, rtol=1e-12)


def test_no_planes_leave_a_leak():
    network = plane_network(PLANES[:0], EXPANSION, ROTATION)
    assert jnp.array_equal(network(START), -START)


def test_a_network_whose_factors_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="`basis`"):
        LowRankNetwork(jnp.ones((4, 2)), jnp.ones((3, 3)))


# --- what was recalled --------------------------------------------------------------


def test_radii_and_their_gradient_at_zero():
    overlaps = jnp.asarray([3.0, 4.0, 0.0, 0.0])
    assert jnp.array_equal(radii(overlaps), jnp.asarray([5.0, 0.0]))
    gradient = jax.grad(lambda p: jnp.sum(radii(p)))(overlaps)
    assert jnp.allclose(gradient, jnp.asarray([0.6, 0.8, 0.0, 0.0]), rtol=1e-14)


def test_recall_needs_the_first_plane_ahead_and_above_its_cue():
    radius = jnp.asarray([[1.0, 0.3], [1.0, 0.4], [0.2, 0.01], [0.3, 1.0]])
    cue = jnp.full(4, 0.25)
    assert retrieved(radius, cue, 3.0).tolist() == [True, False, False, False]
    assert bool(retrieved(jnp.asarray([0.3]), scalar(0.25), 3.0))


@pytest.mark.parametrize("sense", [-1.0, 1.0])
def test_turning_of_an_ellipse(sense):
    times = np.arange(1.0, 2001.0) / 100
    phase = sense * 1.7 * times
    path = np.stack([2 * np.cos(phase), np.sin(phase)], axis=1)
    turns = turned(jnp.asarray(times), jnp.asarray(path))
    assert np.allclose(turns.frequency, 1.7, rtol=1e-3)
    assert np.allclose(turns.least, 1.0, rtol=1e-3)
    assert np.allclose(turns.largest, 2.0, rtol=1e-3)
    short = turned(jnp.asarray(times[:100]), jnp.asarray(path[:100]))
    assert np.isnan(short.frequency)


# --- limit cycles -------------------------------------------------------------------


circle_of = eqx.filter_jit(cycles.gaussian_cycle)
cycle_of = eqx.filter_jit(cycles.balanced_cycle)


@pytest.mark.parametrize("expansion", [1.1, 2.0, 5.0])
def test_circle_of_the_error_function_is_its_closed_form(expansion):
    got = circle_of(error_function, scalar(expansion), ROTATION)
    want = cycles.error_function_circle(scalar(expansion), ROTATION)
    assert jnp.allclose(jnp.stack(got), jnp.stack(want), rtol=1e-6)


def test_circle_is_differentiable():
    radius = lambda alpha: cycles.gaussian_cycle(error_function, alpha, ROTATION).radius
    value, slope = jax.jit(jax.value_and_grad(radius))(EXPANSION)
    assert np.allclose(slope, 2 * (2 / np.pi) / value, rtol=1e-6)


def test_no_circle_below_a_real_term_of_one():
    got = circle_of(jnp.tanh, scalar(0.9), ROTATION)
    want = jnp.asarray([0.0, 4.0, -0.1])
    assert jnp.allclose(jnp.stack(got), want, rtol=1e-9, atol=1e-9)


def test_circle_and_cycle_of_tanh_have_the_tabulated_values():
    assert jnp.allclose(circle_of(jnp.tanh, EXPANSION, ROTATION).radius, 1.3371, 1e-4)
    cycle = cycle_of(jnp.tanh, EXPANSION, ROTATION)
    want = jnp.asarray([3.30713, 1.5830, 1.8124, 2.54587])
    assert jnp.allclose(jnp.stack(cycle[:4]), want, rtol=5e-5)
    assert 0 < cycle.multiplier < 1


def test_floquet_multiplier_is_that_of_the_divergence():
    r"""$\exp\oint\nabla\cdot F\,dt$, along a run of the four-neuron network."""
    cycle = cycle_of(jnp.tanh, EXPANSION, ROTATION)
    planes = draw_planes("hadamard", 1, 4, jr.key(0))
    network = plane_network(planes, EXPANSION, ROTATION)
    start = cycle.crossing * 2 * (planes[0, 0] + planes[0, 1]) / 2
    times = cycle.period * jnp.arange(1.0, 401.0) / 400
    overlaps = run(network, start, times, tolerance=1e-9).overlaps
    assert jnp.allclose(overlaps[-1], network.overlaps(start), rtol=0, atol=1e-5)
    overlaps = np.asarray(overlaps)
    a, b = overlaps[:, 0] + overlaps[:, 1], overlaps[:, 0] - overlaps[:, 1]
    slope = lambda x: 1 - np.tanh(x) ** 2
    divergence = np.mean(2.0 * (slope(a) + slope(b)) - 2)
    want = np.exp(cycle.period * divergence)
    assert np.allclose(cycle.multiplier, want, rtol=1e-5)


def test_cycle_ends_at_the_critical_rotation():
    at = jax.jit(jax.value_and_grad(lambda x: cycles.critical_rotation(jnp.tanh, x)))
    critical, slope = at(EXPANSION)
    assert jnp.allclose(critical, CRITICAL[EXPANSIONS.index(2.0)], rtol=1e-4)
    secant = (at(EXPANSION + 1e-4)[0] - at(EXPANSION - 1e-4)[0]) / 2e-4
    assert jnp.allclose(slope, secant, rtol=1e-6)
    assert jnp.isnan(cycle_of(jnp.tanh, EXPANSION, 0.9 * critical).period)
    near, far = (cycle_of(jnp.tanh, EXPANSION, x * critical) for x in (1.05, 1.2))
    assert near.period > 1.5 * far.period > 0
    assert jnp.isnan(cycle_of(jnp.tanh, scalar(0.9), ROTATION).period)


def test_step_cycle_is_the_fixed_point_of_its_quarter_turn():
    cycle = cycles.balanced_step_cycle(EXPANSION, ROTATION)
    value, slope = jax.value_and_grad(cycles.step_quarter_turn)(
        cycle.crossing, EXPANSION, ROTATION
    )
    assert jnp.allclose(value, cycle.crossing, rtol=1e-14)
    assert jnp.allclose(slope, cycle.quarter, rtol=1e-14)
    assert jnp.allclose(cycle.multiplier, jnp.exp(-cycle.period), rtol=1e-12)


def test_printed_system_only_shrinks_without_a_real_term():
    turn = eqx.filter_jit(cycles.quarter_turn)
    ends = jnp.stack(
        [turn(cycles.printed_rates, 0.0, ROTATION, scalar(x)).end for x in (0.1, 1.0)]
    )
    assert jnp.all(ends < jnp.asarray([0.1, 1.0]))
    grown = turn(cycles.printed_rates, EXPANSION, ROTATION, scalar(0.1))
    assert grown.end > 0.1


def test_printed_rates_are_arcs_of_tangents():
    state = jnp.asarray([-0.3, 2.0])
    want = jnp.arctan(state / jnp.abs(state[::-1]))
    assert jnp.allclose(cycles.printed_rates(state), want, rtol=1e-14)


def test_gaussian_closure_turns_at_the_ratio_of_its_terms():
    state = jnp.asarray([1.0, 0.5])
    closure = cycles.gaussian_rates(error_function)
    change = cycles.reduced_slope(closure, EXPANSION, ROTATION, state)
    square = jnp.sum(state**2)
    gain = 1 / jnp.sqrt(1 + np.pi / 2 * square)
    along, across = state @ change, state[0] * change[1] - state[1] * change[0]
    assert jnp.allclose(along, (2 * gain - 1) * square, rtol=1e-10)
    assert jnp.allclose(across, 4 * gain * square, rtol=1e-10)


def test_euler_laws():
    laws = lambda steps: (cycles.euler_radius(4.0, steps), cycles.euler_threshold(0.1))
    got, threshold = jax.jit(laws)(jnp.asarray([0.1, 0.01, 0.001]))
    assert np.allclose(got, [0.71365, 0.225676, 0.0713650], rtol=1e-5)
    assert np.allclose(abs(1 + 0.1 * (-1 + 1j * float(threshold))), 1.0, rtol=1e-14)


JUMPS = {
    "a step": (jnp.sign, "jumps at"),
    "two steps": (lambda x: jnp.sign(x - 1) + jnp.sign(x + 1), "jumps at"),
}


@pytest.mark.parametrize("name", JUMPS)
def test_a_closed_form_of_smooth_rates_refuses_jumps(name):
    transfer, says = JUMPS[name]
    for law, closed in (
        (cycles.balanced_cycle, "balanced_step_cycle"),
        (cycles.gaussian_cycle, "step_circle"),
    ):
        with pytest.raises(ValueError, match=f"{says}.*{closed}"):
            law(transfer, EXPANSION, ROTATION)
    steep = lambda x: jnp.tanh(1000 * x)
    _check_smooth(steep, "none")


def test_a_cycle_is_compiled_once():
    first = cycles.balanced_cycle(jnp.tanh, EXPANSION, ROTATION)
    before = time.process_time()
    again = cycles.balanced_cycle(jnp.tanh, EXPANSION, scalar(4.5))
    assert time.process_time() - before < 0.5
    assert again.period < first.period


def test_fixed_points_exist_below_the_critical_rotation_only():
    below = eqx.filter_jit(cycles_below)(EXPANSION, scalar(0.1))
    assert below.saddle[0] < below.node[0] < below.node[1]
    # what is started at a node stays there, and quarter turns of nodes are nodes
    flow = lambda s: cycles.reduced_slope(
        cycles.balanced_rates(jnp.tanh), EXPANSION, 0.1, s
    )
    turned = jnp.stack([-below.node[1], below.node[0]])
    assert jnp.allclose(flow(turned), 0.0, atol=1e-12)
    with pytest.raises(ValueError, match="below the critical one"):
        cycles_below(EXPANSION, scalar(0.55))
    with pytest.raises(ValueError, match="below the expansion 2"):
        fixed_points.step_fixed_points(EXPANSION, scalar(2.0))


def cycles_below(expansion, rotation):
    return fixed_points.fixed_points(jnp.tanh, expansion, rotation)


def test_unitary_rotations_commute_with_the_turns_of_all_planes():
    turn = mean_field.unitary(3, jr.key(0))
    _, core = low_rank(
        draw_planes("binary", 3, 32, jr.key(0)), jnp.zeros(3), jnp.ones(3)
    )
    assert jnp.allclose(turn @ turn.T, jnp.eye(6), atol=1e-12)
    assert jnp.allclose(turn @ core, core @ turn, atol=1e-12)
    assert jnp.max(jnp.abs(turn[:2, 2:])) > 0.1


# --- capacity -----------------------------------------------------------------------


SIGNS = jnp.asarray(DRAW.choice([-1.0, 1.0], (4, 2, 101)))


def test_fields_are_those_of_dense_matrices():
    states = jr.rademacher(jr.key(4), (101, 5), dtype=float)
    u, v = SIGNS[:, 0], SIGNS[:, 1]
    dense = u.T @ v - v.T @ u
    assert jnp.array_equal(capacity.plane_field(SIGNS, states), dense @ states)
    hopfield = u.T @ u + v.T @ v
    hopfield = hopfield - jnp.diag(jnp.diag(hopfield))
    assert jnp.array_equal(capacity.pattern_field(SIGNS, states), hopfield @ states)


def test_unused_memories_change_nothing():
    padded = jnp.concatenate([SIGNS, jnp.zeros_like(SIGNS)])
    states = SIGNS[:, 0].T
    for field in (capacity.plane_field, capacity.pattern_field):
        assert jnp.array_equal(field(padded, states), field(SIGNS, states))


def test_a_plane_is_a_cycle_of_four():
    one, u, v = SIGNS[:1], SIGNS[:1, 0].T, SIGNS[:1, 1].T
    after = lambda n: capacity.settled(capacity.plane_field, one, u, n)
    for steps, want in enumerate((u, -v, -u, v, u)):
        assert jnp.array_equal(after(steps), want)
    assert jnp.array_equal(capacity.settled(capacity.pattern_field, one, u, 3), u)


def test_overlaps_of_states_with_their_own_memories():
    states = jnp.stack([SIGNS[0, 1], -SIGNS[1, 0]], axis=1)
    inner = SIGNS[0, 0] @ SIGNS[0, 1] / 101, SIGNS[1, 0] @ SIGNS[1, 1] / 101
    want = jnp.sqrt(1 + jnp.stack(inner) ** 2)
    assert jnp.allclose(capacity.plane_overlap(SIGNS, states), want, rtol=1e-12)
    want = jnp.stack([jnp.abs(inner[0]), jnp.ones(())])
    assert jnp.allclose(capacity.vector_overlap(SIGNS, states), want, rtol=1e-12)


def test_a_neuron_without_input_keeps_its_sign():
    states = jnp.ones((101, 1))
    assert jnp.array_equal(
        capacity.updated(capacity.plane_field, jnp.zeros_like(SIGNS), states), states
    )


def test_first_step_error_and_half_load():
    assert jnp.allclose(capacity.first_step_error(0.2), 0.0126737, rtol=1e-5)
    worse = capacity.first_step_error(0.2, 0.8)
    assert jnp.allclose(worse, capacity.first_step_error(0.2 / 0.64), rtol=1e-12)
    loads = jnp.asarray([0.1, 0.2, 0.3])
    half = capacity.half_load(loads, jnp.asarray([1.0, 0.75, 0.25]))
    assert jnp.allclose(half, 0.25, rtol=1e-12)
    assert jnp.isnan(capacity.half_load(loads, jnp.ones(3)))
    assert jnp.isnan(capacity.half_load(loads, jnp.zeros(3)))


# --- experiments --------------------------------------------------------------------


def test_load_and_flips_of_the_capacity_experiment():
    config = Capacity(load=0.2, flips=0.25, size=1000)
    planes = memories(config, 1000, jr.key(5))
    assert planes.shape == (150, 2, 1000)
    assert jnp.sum(jnp.any(planes[:, 0] != 0, axis=1)) == 100
    wrong = jnp.mean((cued(config, planes, jr.key(6)) * planes[:4, 0].T) < 0)
    assert jnp.abs(wrong - 0.25) < 4 * (0.25 * 0.75 / 4000) ** 0.5


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Capacity(load=0.4), "load"),
        (lambda: Capacity(load=0.001), "load"),
        (lambda: Capacity(flips=0.6), "flips"),
        (lambda: Capacity(size=1), "size"),
        (lambda: Capacity(updates=0), "updates"),
        (lambda: Retrieval(planes=0), "planes"),
        (lambda: Retrieval(settle=5.0), "settle"),
        (lambda: Retrieval(expansion=-1.0), "expansion"),
        (lambda: PhasePlane(slow=0.0), "slow"),
    ],
)
def test_values_out_of_range_are_refused_by_name(make, named):
    with pytest.raises(ValueError, match=named):
        make()
