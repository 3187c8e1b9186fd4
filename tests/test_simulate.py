"""A run in time: cut, thinned, resumed, ablated, differentiated."""

import dataclasses
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax._interfaces import AbstractRule, State, stream, System
from plasticity_jax._simulate import simulate
from plasticity_jax.circuits import Layer, LeakyNetwork, LossCircuit
from plasticity_jax.rules import (
    Descent,
    Hopfield,
    InhibitorySTDP,
    Intermittent,
    Perceptron,
    Scaled,
    STDP,
    Storkey,
    TripletSTDP,
)
from plasticity_jax.systems.optimal_plasticity.config import build, Config
from plasticity_jax.tasks import Constant, Recorded
from plasticity_jax.traces import LowPass


CONFIG = Config(sizes=(4, 5, 3), samples=20, corruption=0.5, fluctuation_size=0.05)


def everything(state, signals, changes):
    return {"loss": signals.loss, "changes": changes}


def loss_only(state, signals, changes):
    return signals.loss


@pytest.fixture(scope="module")
def built():
    return eqx.filter_jit(build)(CONFIG, jr.key(0))


def test_a_run_may_be_cut_or_thinned_without_changing_it(built):
    system, state = built
    key = jr.key(1)
    whole, seen = simulate(system, state, key, steps=20, record=everything)
    half, _ = simulate(system, state, key, steps=10, record=everything)
    again, _ = simulate(system, half, key, steps=10, record=everything)
    thin, few = simulate(system, state, key, steps=20, every=5, record=everything)
    assert eqx.tree_equal(whole, again)
    assert eqx.tree_equal(whole, thin)
    assert eqx.tree_equal(few, jax.tree.map(lambda x: x[4::5], seen))


def test_every_step_and_every_rule_draws_its_own_noise(built):
    _, seen = simulate(*built, jr.key(1), steps=20, record=everything)
    a = seen["changes"]["compensation"][0][:, 0, 0]
    b = seen["changes"]["fluctuation"][0][:, 0, 0]
    assert len(jnp.unique(b)) == len(b)
    assert len(jnp.unique(jnp.round(a / b, 6))) == len(a)


def test_dropping_a_rule_leaves_the_noise_of_the_others(built):
    system, state = built
    kept = {k: v for k, v in system.rules.items() if k != "compensation"}
    ablated = dataclasses.replace(system, rules=kept)
    _, before = simulate(system, state, jr.key(1), steps=20, record=everything)
    _, after = simulate(ablated, state, jr.key(1), steps=20, record=everything)
    for x, y in zip(
        before["changes"]["fluctuation"], after["changes"]["fluctuation"], strict=True
    ):
        assert jnp.array_equal(x, y)
        assert jnp.all(x != 0)


def test_frozen_synapses_stay_and_the_activity_is_theirs(built):
    system, state = built
    still, losses = simulate(
        system, state, jr.key(1), steps=20, record=loss_only, frozen=True
    )
    assert eqx.tree_equal(still.synapses, state.synapses)
    assert still.step == 20
    stimulus = system.task(state.step, jr.key(9))
    assert jnp.allclose(losses, system.circuit.loss(state.synapses, stimulus))
    _, moving = simulate(system, state, jr.key(1), steps=20, record=loss_only)
    assert not jnp.allclose(losses[1:], moving[1:])


def test_a_frozen_run_keeps_the_traces(built):
    system, state = built
    traced = dataclasses.replace(system, rules={"mean": Recalling()})
    state, _ = simulate(traced, state, jr.key(1), steps=5)
    still, _ = simulate(traced, state, jr.key(1), steps=5, frozen=True)
    assert jnp.any(state.traces["mean"]["loss"] != 0)
    assert eqx.tree_equal(still.traces, state.traces)


class Recalling(AbstractRule):
    """Changes nothing and keeps a running mean of the loss."""

    def traces(self):
        return {"loss": LowPass(3.0, lambda signals: signals.loss)}

    def __call__(self, synapses, signals, key):
        return jax.tree.map(jnp.zeros_like, synapses)


def test_streams_follow_names():
    """The number is part of what makes a run reproducible: it must not change."""
    assert stream("fluctuation") == 4039369295
    assert stream("compensation") != stream("fluctuation")


def test_recorded_loss_includes_the_last_fluctuation(built):
    system, state = built
    _, losses = simulate(system, state, jr.key(1), steps=3, record=loss_only)
    one, _ = simulate(system, state, jr.key(1), steps=1, record=loss_only)
    stimulus = system.task(one.step, jr.key(9))
    assert jnp.allclose(losses[1], system.circuit.loss(one.synapses, stimulus))


def test_gradient_through_a_run_is_the_derivative_and_does_not_depend_on_thinning(
    built,
):
    system, state = built
    magnitude = lambda system: system.rules["compensation"].magnitude

    def final(size, every):
        sized = eqx.tree_at(magnitude, system, size)
        return simulate(
            sized, state, jr.key(1), steps=60, every=every, record=loss_only
        )[1][-1]

    size, step = 0.7 * float(magnitude(system)), 1e-6
    seen = jax.jit(jax.value_and_grad(final), static_argnums=1)
    (_, slope), (_, thinned) = (seen(size, every) for every in (1, 10))
    secant = (seen(size + step, 1)[0] - seen(size - step, 1)[0]) / (2 * step)
    assert np.allclose(slope, thinned, rtol=1e-10)
    assert np.allclose(slope, secant, rtol=1e-6)
    assert abs(secant) > 1e-6


def test_memory_of_the_gradient_is_smallest_near_the_square_root():
    waves = LossCircuit(lambda weights, _: jnp.sum(jnp.cos(weights)))
    system = System(Constant(None), waves, {"it": Descent()})

    def last(weights, every):
        start, key = State(None, weights), jr.key(1)
        return simulate(system, start, key, steps=4096, every=every, record=loss_only)[
            1
        ][-1]

    def needed(every):
        program = jax.jit(jax.grad(last), static_argnums=1)
        memory = program.lower(np.ones(50), every).compile().memory_analysis()
        return memory.temp_size_in_bytes

    whole, square_root, none = needed(1), needed(64), needed(4096)
    assert square_root < whole / 3
    assert square_root < none / 4


@pytest.mark.parametrize(("steps", "every"), [(10, 3), (0, 1), (10, 0), (-5, 5)])
def test_steps_must_be_a_multiple_of_every(built, steps, every):
    with pytest.raises(ValueError, match="multiple"):
        simulate(*built, jr.key(0), steps=steps, every=every, record=loss_only)


@pytest.mark.parametrize(
    ("rule", "wrong"),
    [
        (Perceptron(0.1), "rule 'r' (Perceptron): `target` must be -1 or 1; got 0.0."),
        (Scaled(Hopfield(), 0.5), "rule 'r' (Scaled): `pre` must be -1 or 1; got 0.5."),
        (Hopfield(0.3), "rule 'r' (Hopfield): `pre` must be 0 or 1; got 0.5."),
        (Storkey(), "rule 'r' (Storkey): `pre` must be -1 or 1; got 0.5."),
    ],
)
def test_a_signal_out_of_a_rules_limits_is_told_after_the_run(rule, wrong):
    fit = jnp.full((6, 4), 0.0 if getattr(rule, "coding_level", None) else -1.0)
    off = {"pre": fit.at[3].set(0.5), "target": fit.at[3].set(0.0)}

    def run(task, every=1):
        system, key = System(task, Layer(), {"r": rule}), jr.key(0)
        start = system.start(jnp.zeros((4, 4)), key)
        return simulate(system, start, key, steps=6, every=every)[0].synapses

    for every in (1, 3):
        with pytest.raises(ValueError, match=re.escape(wrong)):
            run(Recorded(off), every)
    assert jnp.isnan(jax.jit(run)(Recorded(off))).any()
    assert jnp.isfinite(
        run(Recorded({"pre": fit, "target": jnp.sign(fit - 0.5)}))
    ).all()


@pytest.mark.parametrize("rule", [STDP(), TripletSTDP(), Scaled(InhibitorySTDP(), 2.0)])
def test_rates_are_no_spikes(rule):
    who = f"rule 'r' ({type(rule).__name__})"

    def run(pre, transfer):
        system = System(Recorded({"pre": pre}), Layer(transfer), {"r": rule})
        start = system.start(jnp.full((2, 3), 0.25), jr.key(0))
        return simulate(system, start, jr.key(0), steps=4)[0].synapses

    spikes = (jnp.arange(12) % 5 == 0).astype(float).reshape(4, 3)
    fires = lambda field: jnp.where(field > 0, 1.0, 0.0)
    with pytest.raises(ValueError, match=re.escape(f"{who}: `post` must be 0 or 1")):
        run(spikes, jnp.tanh)
    with pytest.raises(ValueError, match=re.escape(f"{who}: `pre` must be 0 or 1")):
        run(0.5 * spikes, fires)
    assert jnp.any(run(spikes, fires) != 0.25)


def test_counts_of_spiking_neurons_are_theirs_to_know():
    twice = Recorded({"pre": jnp.full((4, 3), 2.0)})
    system = System(twice, LeakyNetwork(), {"r": STDP()})
    start = system.start(jnp.full((2, 3), 9.0), jr.key(0))
    assert jnp.isfinite(simulate(system, start, jr.key(0), steps=4)[0].synapses).all()


def test_an_unlearned_signal_out_of_limits_is_none_of_our_business():
    blank = jnp.ones((6, 4)).at[jnp.asarray([0, 1, 3, 4])].set(0.0)
    rule = Intermittent(Hopfield(), 3)  # reads steps 2 and 5
    system, key = System(Recorded({"pre": blank}), Layer(), {"r": rule}), jr.key(0)
    start = system.start(jnp.zeros((4, 4)), key)
    found = simulate(system, start, key, steps=6)[0].synapses
    assert jnp.array_equal(found, (1 - jnp.eye(4)) / 2)
