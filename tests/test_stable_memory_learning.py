"""Learning planes from stimuli: protocols, shares of change, timing windows."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray

from plasticity_jax import simulate
from plasticity_jax._interfaces import State
from plasticity_jax.measure import change_shares, integrated_changes, rotation
from plasticity_jax.rules import PairSTDP
from plasticity_jax.signals import RateSignals
from plasticity_jax.systems.stable_memory import stimuli, theory
from plasticity_jax.systems.stable_memory.config import build, Config
from plasticity_jax.systems.stable_memory.experiments import (
    learning,
    learning_limits,
    life_cycle,
    timing,
)
from plasticity_jax.systems.stable_memory.patterns import draw_planes
from plasticity_jax.tasks import Drive, turning


TINY = Config(
    size=8,
    homeostasis="decorrelation",
    gain=0.5,
    learns=True,
    trace_time=5.0,
    pattern="binary",
    orthonormal=True,
    spin_up=5.0,
    duration=20.0,
    record_every=10.0,
)


PLANE = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(8, 2)))[0].T)
STIMULI = {
    "rotating": (stimuli.rotating, ("amplitude", "frequency")),
    "wandering": (lambda *x: stimuli.wandering(*x, jr.key(1)), ("amplitude", "decay")),
    "cued": (stimuli.cued, ("cue_amplitude",)),
}


@pytest.mark.parametrize("name", STIMULI)
def test_a_stimulus_is_driven_by_its_fields_alone(name):
    make, fields = STIMULI[name]
    config = dataclasses.replace(TINY, follow=20.0)

    def size(config):
        system, _ = build(config, jr.key(0), make(config, PLANE))
        return jnp.sum(system.task.course**3)

    slopes = eqx.filter_jit(eqx.filter_grad(size))(config)
    every = ("amplitude", "frequency", "decay", "cue_amplitude")
    moved = tuple(field for field in every if getattr(slopes, field) != 0)
    assert moved == fields
    longer = make(dataclasses.replace(config, duration=30.0), PLANE).course
    assert len(longer) == len(make(config, PLANE).course) + 100


def test_stimuli_are_those_of_the_text():
    config = dataclasses.replace(TINY, amplitude=2.0, cue_amplitude=3.0, frequency=0.3)
    seen = lambda task, step: task(jnp.asarray(step), jr.key(0)) / 8**0.5
    turned = 2 * (np.cos(0.3) * PLANE[0] + np.sin(0.3) * PLANE[1])
    assert jnp.allclose(seen(stimuli.rotating(config, PLANE), 10), turned)
    assert jnp.allclose(seen(stimuli.cued(config, PLANE), 10), 3 * PLANE[0])
    assert not jnp.any(seen(stimuli.cued(config, PLANE), 200))
    still = dataclasses.replace(config, decay=0.5, follow=20.0)
    course = stimuli.wandering(still, PLANE, jr.key(1)).course
    assert jnp.allclose(course[201:], 0.95 * course[200:-1])


def last_weights(state, signals, changes):
    del signals, changes
    return state.synapses


def test_shares_add_changes_of_one_kind_before_they_are_squared():
    ones = jnp.ones((3, 3))
    changes = {"noise": 0.5 * ones, "learning": 2 * ones, "homeostasis": -1.5 * ones}
    shares = change_shares(changes)
    assert jnp.allclose(jnp.stack(shares), jnp.asarray([0.5, 0.5]))
    every = change_shares(changes, ("noise", "homeostasis"))
    assert jnp.allclose(jnp.stack(every), jnp.asarray([1.0, 2.0]))
    assert change_shares({"noise": ones}).dependent == 0
    with pytest.raises(ValueError, match=r"noise.*learning"):
        change_shares({"learning": ones})


def test_integrated_changes_add_up_to_the_run_and_noise_to_its_diffusion():
    config = dataclasses.replace(TINY, size=32)
    system, state = build(config, jr.key(0))
    final, total = eqx.filter_jit(integrated_changes)(
        system, state, jr.key(1), steps=50
    )
    other, _ = simulate(
        system, state, jr.key(1), steps=50, every=50, record=last_weights
    )
    assert jnp.allclose(final.synapses, other.synapses, rtol=1e-12, atol=1e-14)
    assert final.step == 50
    change = final.synapses - state.synapses
    assert jnp.allclose(sum(total.values()), change, rtol=1e-10, atol=1e-13)
    assert all(jnp.max(jnp.abs(x)) > 0 for x in total.values())
    law = theory.weight_diffusion(config, jnp.asarray(5.0))
    ratio = change_shares(total).spontaneous ** 2 / law
    error = (2 / total["noise"].size) ** 0.5
    assert abs(ratio - 1) < 4 * error
    assert error < 0.05


def test_windows_write_what_clamped_activity_predicts():
    """The mean over a whole turn, sampled evenly, with traces at their steady state."""
    config = dataclasses.replace(
        TINY, imbalance=0.3, late_trace_ratio=1.7, frequency=0.3, pair_rule=True
    )
    u, v = draw_planes("binary", 1, 8, jr.key(0), orthonormal=True)[0]
    size, moments = 1.3, 24
    phases = jnp.linspace(0.0, 2 * math.pi, moments, endpoint=False)
    rule = PairSTDP(1 + config.imbalance, 1 - config.imbalance)

    def turning_at(phase, lag):
        """A low-pass makes the circle smaller and late, by the tangent `lag`."""
        late = phase - jnp.arctan(lag)
        circle = jnp.cos(late) * u + jnp.sin(late) * v
        return size * circle / jnp.sqrt(1 + lag**2)

    early = config.frequency * config.trace_time

    def changed(phase):
        rate = turning_at(phase, jnp.zeros(()))
        traces = (turning_at(phase, x) for x in (early, 1.7 * early))
        signals = RateSignals(jnp.ones(()), rate, rate, rate, *traces)
        return rule(jnp.zeros((8, 8)), signals, jr.key(0))

    mean = jnp.mean(jax.jit(jax.vmap(changed))(phases), axis=0)
    turn, grow = timing.window_weights(config)
    assert jnp.allclose(rotation(mean, u, v), -(size**2) * turn, rtol=1e-12)
    assert jnp.allclose((u @ mean @ u + v @ mean @ v) / 2, size**2 * grow, rtol=1e-12)
    assert abs(grow) > 0.05


def test_mirrored_windows_do_not_leak():
    turn, grow = timing.window_weights(TINY)
    assert grow == 0
    assert jnp.allclose(turn, theory.quadrature(TINY.frequency, TINY.trace_time))
    leaky = dataclasses.replace(TINY, imbalance=0.2)
    turn, grow = timing.window_weights(leaky)
    assert jnp.allclose(grow / turn, 0.2 / (TINY.frequency * TINY.trace_time))


def test_all_first_stimuli_end_together_and_the_second_plane_follows():
    courses = learning.courses_of(TINY)
    on = np.asarray(jnp.any(courses != 0, axis=-1))
    stop = round(learning.LONGEST / TINY.step)
    for course, duration in zip(on, learning.DURATIONS, strict=False):
        assert course.sum() == round(duration / TINY.step)
        assert course[:stop][-1]
        assert not course[stop:].any()
    assert not jnp.any(courses[:-1, :, 2:])
    both = np.asarray(courses[-1] != 0).any(axis=0)
    assert both.all()
    assert on[-1].sum() == 2 * TINY.steps("duration")
    assert on[-1][-1]
    assert courses.shape[1] == stop + round(learning.FOLLOW / 2 / TINY.step)


def test_the_life_cycle_teaches_two_planes_and_cues_half_of_three():
    config = dataclasses.replace(TINY, amplitude=2.0, cue_amplitude=0.5)
    course = np.asarray(life_cycle.course_of(config))
    begins = [round(t / TINY.step) for t in (*life_cycle.LEARNING, *life_cycle.CUES)]
    for k, begin in enumerate(begins[:2]):
        assert np.allclose(course[begin, 2 * k], 2.0)
        assert not course[begin - 1].any()
    for k, begin in enumerate(begins[2:]):
        long = round(life_cycle.CUE_TIME / TINY.step)
        assert np.allclose(course[begin : begin + long, 2 * k], 0.5)
        assert not course[begin : begin + 2 * long, 2 * k + 1].any()
        assert not course[begin + long].any()
    assert not course[: begins[2], 4:].any()


def test_networks_settle_without_learning_and_start_their_clock():
    quiet, eager = (
        learning.settled(dataclasses.replace(TINY, learning_gain=x), jr.key(0))[1]
        for x in (0.0, 50.0)
    )
    assert jnp.array_equal(quiet.synapses, eager.synapses)
    assert quiet.step == 0
    at_once = dataclasses.replace(TINY, spin_up=0.0)
    start = learning.settled(at_once, jr.key(0))[1]
    assert not jnp.allclose(quiet.synapses, start.synapses)


def test_a_network_learns_what_it_is_shown_and_keeps_it():
    config = dataclasses.replace(TINY, amplitude=4.0, size=24)
    seen = eqx.filter_jit(learning.learned)(config, jr.key(3))
    shares = jnp.sum(seen["leading"] ** 2, axis=-1)
    assert jnp.allclose(shares, 1.0, rtol=1e-12)
    stop = round(learning.LONGEST / 10) - 1
    strength = jnp.abs(seen["rotation"][:4, :, 0])
    assert jnp.all(jnp.diff(strength[:, stop]) > 0)
    assert jnp.allclose(strength[:, stop + 30], strength[:, stop], rtol=0.1)
    assert seen["overlap"][3, 0, 0] > 0.9
    second = jnp.abs(seen["rotation"][-1, :, 1])
    assert second[stop] < 0.5 < 1.0 < second[-1]


def written(amplitude, config, planes, start, system):
    """A after 20 time units of the rotating stimulus."""
    course = turning(200, config.step, 0.0, 20.0, config.frequency)
    axes = amplitude * 8**0.5 * planes[0]
    taught = dataclasses.replace(system, task=Drive(axes, course))
    final, _ = simulate(
        taught, start, jr.key(2), steps=200, every=20, record=last_weights
    )
    return rotation(final.synapses, *planes[0])


def test_strength_is_differentiable_in_the_amplitude():
    system, start = build(TINY, jr.key(0))
    planes = draw_planes("binary", 1, 8, jr.key(1), orthonormal=True)
    arguments = (TINY, planes, State(start.activity, start.synapses), system)
    both = eqx.filter_jit(eqx.filter_value_and_grad(written))
    _, slope = both(jnp.asarray(1.0), *arguments)
    above, below = (both(jnp.asarray(1.0 + h), *arguments)[0] for h in (1e-6, -1e-6))
    assert jnp.allclose(slope, (above - below) / 2e-6, rtol=1e-5)
    assert abs(slope) > 1e-3


def echoes(frequency, decay):
    """An echo that spirals once its cue is off, in every plane."""
    delay = np.arange(100) * 0.1 - life_cycle.CUE_TIME
    z = np.exp((-decay + 1j * frequency) * np.maximum(delay, 0.0))
    echo = np.stack([z.real, 0.25 * z.imag], axis=-1)
    rows = (("cue", "delay", "axis"), np.stack([echo] * 3))
    return xarray.Dataset({"echo": rows}, {"axis": ["u", "v"]})


def test_ringing_and_quadrature_of_a_spiral():
    spiral = echoes(2 * np.pi, 0.0)
    ringing = life_cycle.ringing_frequency(spiral)
    assert np.allclose(ringing, 2 * np.pi)
    assert np.allclose(life_cycle.quadrature_ratio(spiral), 0.25, rtol=0.06)
    assert np.isnan(life_cycle.quadrature_ratio(spiral * np.nan)).all()


def judged(data, control):
    """The claims about the published stimulus."""
    claims = learning_limits.FIG3_PUBLISHED.claims
    return [row for claim in claims for row in claim.judge(data, control)]


def test_the_published_shares_see_networks_that_fail():
    """Half of the networks learn: the shares say so, and their errors."""
    seeds = 8
    learns = np.arange(seeds) % 2 == 0
    turn = np.where(learns, -4.0, 0.3)[:, None, None] * np.ones((seeds, 2, 3))
    leading = np.where(learns, 0.95, 0.2)[:, None, None] * np.ones((seeds, 2, 2))
    data = xarray.Dataset(
        {
            "rotation": (("seed", "rule", "time"), turn),
            "leading": (("seed", "rule", "moment"), leading),
        },
        {
            "seed": np.arange(seeds),
            "rule": ["decorrelation", "rate_control"],
            "moment": list(learning.MOMENTS),
        },
    )
    claims = judged(data, data * 0)
    assert [claim.value for claim in claims] == [0.5] * 4
    assert [claim.control for claim in claims[:3]] == [0.0] * 3
    assert math.isclose(claims[0].standard_error, (0.25 / 8) ** 0.5)
    assert not claims[3].holds
    lost = data.where(data.seed != 0)
    assert not [claim for claim in judged(lost, data) if claim.holds]
