"""The rate network against its equation, and what drives and connects it."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import rules
from plasticity_jax._interfaces import State, System
from plasticity_jax._simulate import simulate
from plasticity_jax.circuits import error_function, logistic, RateNetwork
from plasticity_jax.synapses import Connected, random_mask
from plasticity_jax.tasks import Constant, cue, Drive, turning, wandering


N = 6
KEY = jr.key(0)
DRAW = np.random.default_rng(0)
W = jnp.asarray(DRAW.normal(size=(N, N)) / N**0.5)
X, Y, B = map(jnp.asarray, DRAW.normal(size=(3, N)))


def advanced(network, x=X, weights=W, stimulus=B, trace=None, key=KEY):
    return network(network.at(x, trace), weights, stimulus, key)


def test_a_step_of_euler_is_the_equation():
    network = RateNetwork(0.1, integrator="euler")
    activity, signals = advanced(network)
    want = X + 0.1 * (-X + W @ jnp.tanh(X) + B)
    assert jnp.allclose(activity.potential, want, rtol=1e-14)
    assert jnp.array_equal(signals.rate, jnp.tanh(X))  # before the step
    assert jnp.array_equal(signals.potential, activity.potential)  # after it


def test_a_step_of_rk4_has_an_error_of_fifth_order():
    def after(dt, steps):
        network = RateNetwork(dt)
        activity = network.at(X)
        for _ in range(steps):
            activity, _ = network(activity, W, B, KEY)
        return activity.potential

    exact = after(0.4 / 64, 64)
    coarse = jnp.max(jnp.abs(after(0.4, 1) - exact))
    fine = jnp.max(jnp.abs(after(0.2, 1) - after(0.4 / 64, 32)))
    assert 24 < coarse / fine < 40  # 2^5
    assert coarse < 2e-3


def test_traces_follow_the_old_rates():
    network = RateNetwork(0.1, 5.0, 2.0)
    activity, signals = advanced(network, trace=Y)
    assert jnp.allclose(signals.early_trace, Y + 0.1 / 5 * (jnp.tanh(X) - Y))
    assert jnp.allclose(signals.late_trace, Y + 0.1 / 2 * (jnp.tanh(X) - Y))
    again, _ = network(activity, W, B, KEY)
    assert not jnp.allclose(again.early_trace, again.late_trace)
    _, same = advanced(RateNetwork(0.1, 5.0), trace=Y)
    assert jnp.array_equal(same.early_trace, same.late_trace)


def test_the_filter_settles_at_its_fixed_point():
    network = RateNetwork(0.1, keep=-0.005, inflow=0.1, transfer=jnp.zeros_like)
    activity = network.at(X)
    for _ in range(8):
        activity, signals = network(activity, W, X, KEY)  # potential stays at X
    assert jnp.allclose(activity.potential, X)
    assert jnp.allclose(signals.average, 0.1 / 1.005 * X, rtol=1e-12)


def test_silence_stays_silent_but_for_the_floor():
    still = jnp.zeros(N)
    activity, _ = advanced(RateNetwork(0.1), x=still, stimulus=still)
    assert jnp.all(activity.potential == 0)
    network = RateNetwork(0.1, floor=1e-3)
    kicked, _ = advanced(network, x=still, stimulus=still)
    expected = 1e-3 * 0.1**0.5
    size = float(jnp.std(kicked.potential))
    assert 0.2 * expected < size < 3 * expected


def test_steps_are_counted():
    system = System(Constant(B), RateNetwork(0.1), {"decay": rules.Dissipation(0.1)})
    counted = lambda state, signals, changes: signals.step
    state = State(system.circuit.at(X), W)
    assert list(simulate(system, state, KEY, steps=4, record=counted)[1]) == [
        0,
        1,
        2,
        3,
    ]


@pytest.mark.parametrize("transfer", [jnp.tanh, error_function])
def test_odd_rates_have_unit_slope_and_saturate_at_one(transfer):
    zero = jnp.zeros(1)
    assert jnp.allclose(jax.jvp(transfer, (zero,), (jnp.ones(1),))[1], 1.0)
    assert jnp.allclose(transfer(-X), -transfer(X))
    assert jnp.allclose(transfer(jnp.full(1, 50.0)), 1.0)


def test_the_logistic_rate_lies_between_zero_and_one_with_unit_slope():
    zero = jnp.zeros(1)
    assert jnp.allclose(jax.jvp(logistic, (zero,), (jnp.ones(1),))[1], 1.0)
    assert jnp.allclose(
        logistic(jnp.asarray([-50.0, 0.0, 50.0])), jnp.asarray([0.0, 0.5, 1.0])
    )


BAD = {
    "too long a step of rk4": (lambda: RateNetwork(2.8), r"`dt` = 2\.8 is too large"),
    "too long a step of euler": (
        lambda: RateNetwork(2.0, integrator="euler"),
        r"`dt` = 2 is too large for stability: steps of 'euler' must be below 2\.0",
    ),
    "a trace faster than a step": (
        lambda: RateNetwork(0.1, 0.05),
        r"`trace_time` = 0\.05 must not be below `dt` = 0\.1",
    ),
    "an unknown integrator": (
        lambda: RateNetwork(0.1, integrator="rk5"),
        "'rk5'. Did you mean 'rk4'",
    ),
    "weights that are not square": (
        lambda: advanced(RateNetwork(0.1), weights=W[:, :4]),
        r"must be square, one row for each of 6 neurons; got \(6, 4\)",
    ),
    "a negative floor": (lambda: RateNetwork(0.1, floor=-1.0), "`floor` must lie in"),
}


@pytest.mark.parametrize(("bad", "says"), BAD.values(), ids=list(BAD))
def test_bad_input_is_refused(bad, says):
    with pytest.raises(ValueError, match=says):
        bad()


def test_a_drive_plays_its_course_and_is_refused_beyond_or_silent():
    axes = jr.normal(jr.key(3), (2, N))
    course = jnp.asarray([[1.0, 0.0], [0.5, -2.0]])
    drive = Drive(axes, course)
    assert jnp.allclose(drive(jnp.asarray(0), KEY), axes[0])
    assert jnp.allclose(drive(jnp.asarray(1), KEY), 0.5 * axes[0] - 2 * axes[1])
    silent = Drive(axes, course, "silence")
    for step in (2, -1):  # known to the compiled program only
        assert jnp.all(jnp.isnan(drive(jnp.asarray(step), KEY)))
        assert jnp.all(silent(jnp.asarray(step), KEY) == 0)
    network = RateNetwork(0.1)
    synapses = jnp.zeros((N, N))
    for step, steps in ((0, 3), (2, 1), (-1, 1)):
        state = State(network.at(X), synapses, step)
        run = lambda task, state=state, steps=steps: simulate(
            System(task, network, {}), state, KEY, steps=steps
        )[0]
        beyond = f"`course` has 2 steps; a run of {steps} from step {step} on"
        with pytest.raises(ValueError, match=beyond):
            run(drive)
    assert jnp.all(jnp.isfinite(run(silent).activity.potential))
    with pytest.raises(ValueError, match="one column for each of the 2 axes"):
        Drive(axes, course[:, :1])
    with pytest.raises(ValueError, match="must be matrices"):
        Drive(axes[0], course)


def test_courses_begin_and_end_where_they_should():
    course = turning(100, 0.1, 2.0, 5.0, jnp.asarray(0.4))
    on = np.flatnonzero(np.any(np.asarray(course) != 0, axis=1))
    assert (on[0], on[-1]) == (20, 49)
    assert jnp.allclose(course[20], jnp.asarray([1.0, 0.0]))
    assert jnp.allclose(jnp.linalg.norm(course[20:50], axis=1), 1.0)
    phase = jnp.arctan2(course[30, 1], course[30, 0])
    assert jnp.allclose(phase, 0.4)  # one unit of time later
    part = cue(100, 0.1, 2.0, 5.0)
    assert jnp.all(part[20:50, 0] == 1)
    assert jnp.sum(part) == 30


def test_the_wandering_course_has_its_stationary_variance_and_decays():
    decay, dt = 0.5, 0.05
    run = lambda key: wandering(900, dt, 0.0, 30.0, jnp.asarray(decay), 0.1, key)
    course = jax.vmap(run)(jr.split(jr.key(5), 2000))
    end = course[:, 599].ravel()  # 15 time constants
    want = 0.1 / (2 * decay) / (1 - decay * dt / 2)  # of the discrete process
    assert abs(jnp.var(end) / want - 1) < 4 * (2 / end.size) ** 0.5
    later = course[:, 699] / course[:, 599]  # noise is off
    assert jnp.allclose(later, (1 - decay * dt) ** 100, rtol=1e-9)


def test_synapses_that_do_not_exist_stay_at_zero():
    mask = random_mask((40, 40), 0.3, jr.key(6))
    share = float(jnp.mean(mask))
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 1600) ** 0.5
    system = System(
        Constant(jnp.zeros(40)),
        RateNetwork(0.1),
        {"noise": rules.Wiener()},
        (Connected(mask),),
    )
    state = State(system.circuit.at(jnp.ones(40)), jnp.zeros((40, 40)))
    weights = simulate(system, state, KEY, steps=3, record=lambda *_: None)[0].synapses
    assert jnp.array_equal(weights != 0, mask == 1)
    assert jnp.all(random_mask((3, 3), 0.0, KEY) == 0)
    assert jnp.all(random_mask((3, 3), 1.0, KEY) == 1)
    with pytest.raises(ValueError, match=r"`density` must lie in \[0, 1\]; got 1.5"):
        random_mask((3, 3), 1.5, KEY)
