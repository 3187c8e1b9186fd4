"""Derivatives of runs and of steady states, and whether they mean anything."""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import pytest

from plasticity_jax import advance, simulate
from plasticity_jax.inference import (
    central_difference,
    checkpoint_interval,
    derivative,
    fixed_point,
    growth,
)
from plasticity_jax.systems import optimal_plasticity, stable_memory


KEY = jr.key(0)
MODES = ("reverse", "forward")
MATRIX = jnp.asarray([[0.9, 1.0], [0.0, 0.5]])


def _loss(state, signals, changes):
    return signals.loss


# --- derivative ----------------------------------------------------------------------


def _linear(params):
    """Ten steps of x = a x + b from 1: known in closed form."""
    step = lambda x, _: (params["a"] * x + params["b"], None)
    return jax.lax.scan(step, jnp.ones(()), length=10)[0]


@pytest.mark.parametrize("mode", MODES)
def test_derivative_of_a_linear_run_is_that_of_its_closed_form(mode):
    a, b = 0.9, 0.3
    found = derivative(_linear, {"a": a, "b": jnp.asarray(b)}, mode=mode)
    rest = b / (1 - a)
    along_a = 10 * a**9 * (1 - rest) + (1 - a**10) * b / (1 - a) ** 2
    assert jnp.allclose(found.value, rest + a**10 * (1 - rest), rtol=1e-14)
    assert jnp.allclose(found.slope["a"], along_a, rtol=1e-12)
    assert jnp.allclose(found.slope["b"], (1 - a**10) / (1 - a), rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_slopes_of_pytrees_are_shaped_as_those_of_jacobian(mode):
    params = {"x": jnp.asarray(6.0), "y": jnp.arange(1.0, 5.0)}
    function = lambda p: {"a": p["x"] ** 2 * p["y"][:, None], "b": jnp.sum(p["y"])}
    found, want = (
        derivative(function, params, mode=mode),
        jax.jacobian(function)(params),
    )
    assert jax.tree.structure(found.slope) == jax.tree.structure(want)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, found.slope, want))


def _squared(x):
    return jnp.sum(x**2)


def test_the_mode_is_chosen_by_parameters_values_and_what_reverse_mode_keeps():
    def long(x):
        step = lambda x, _: (jnp.sin(x), None)
        return jnp.sum(jax.lax.scan(step, x, length=1000)[0])

    assert derivative(_squared, jnp.ones(4)).mode == "forward"
    assert derivative(_squared, jnp.ones(5)).mode == "reverse"
    assert derivative(lambda x: x**2, jnp.ones(5)).mode == "forward"  # as many values
    assert derivative(long, jnp.ones(5)).mode == "reverse"
    kept = derivative(long, jnp.ones(5), memory=1e4)  # 1000 cosines of 5 numbers
    assert (kept.mode, "0.04 MB" in kept.why) == ("forward", False)
    assert "reverse mode would keep" in kept.why
    for x in (derivative(long, jnp.ones(5)), kept):
        assert jnp.allclose(x.slope, jax.grad(long)(jnp.ones(5)), rtol=1e-12)


def test_many_lanes_of_forward_mode_are_those_of_reverse_mode():
    x = jnp.linspace(0.1, 2.0, 37)  # two whole batches of lanes and a rest
    found = derivative(_squared, x, mode="forward")
    assert jnp.array_equal(found.slope, 2 * x)
    assert found.value == _squared(x)


def _error(config):
    """The mean error of a run of 400 steps with 6 synapses."""
    system, state = optimal_plasticity.build(config, KEY)
    options = {"steps": 400, "every": checkpoint_interval(400), "record": _loss}
    return jnp.mean(simulate(system, state, KEY, **options)[1])


@pytest.mark.dear
def test_a_whole_configuration_differentiated_agrees_with_central_differences():
    config = optimal_plasticity.Config(sizes=(3, 2), samples=20, corruption=0.5)
    both = lambda x: (derivative(_error, x), central_difference(_error, x))
    found, secant = jax.jit(both)(config)
    assert found.mode == "reverse"  # 8 parameters
    for name in ("ratio", "fluctuation_size", "corruption", "start_offset"):
        slope = getattr(found.slope, name)
        assert slope != 0
        assert jnp.allclose(slope, getattr(secant, name), rtol=1e-6)
    assert found.slope.probe_size == 0  # of a rule that this run does not have


def test_a_lost_run_has_lost_slopes():
    function = lambda p: jnp.sqrt(p["x"] - 2) + p["y"]
    found = derivative(function, {"x": 1.0, "y": 1.0})
    assert jnp.isnan(found.value)
    assert jnp.isnan(found.slope["x"])


def test_derivative_says_what_is_wrong():
    with pytest.raises(ValueError, match="`mode` is unknown: 'foward'"):
        derivative(_squared, 1.0, mode="foward")
    with pytest.raises(ValueError, match="`params` must hold an array of floats"):
        derivative(_squared, {"x": "1"})
    with pytest.raises(ValueError, match="`function` must return floats"):
        derivative(lambda x: 1, 1.0)
    with pytest.raises(ValueError, match="`width` must be positive; got 0"):
        central_difference(_squared, 1.0, width=0)


def test_checkpoint_interval_divides_and_is_near_the_root():
    assert [checkpoint_interval(x) for x in (100_000, 36, 1, 7)] == [400, 6, 1, 7]
    with pytest.raises(ValueError, match="`steps` must be at least 1"):
        checkpoint_interval(0)


def test_memory_of_reverse_mode_grows_as_the_root_of_the_steps():
    config = optimal_plasticity.Config(sizes=(6, 4), samples=40)
    kept = []
    for steps in (400, 6400):  # 16 times as many

        def error(ratio, steps=steps):
            here = dataclasses.replace(config, ratio=ratio)
            system, state = optimal_plasticity.build(here, KEY)
            every = checkpoint_interval(steps)
            options = {"steps": steps, "every": every, "record": _loss}
            return jnp.mean(simulate(system, state, KEY, **options)[1])

        pull = jax.eval_shape(lambda r, run=error: jax.vjp(run, r)[1], config.ratio)
        kept.append(sum(x.size for x in jax.tree.leaves(pull)))
    assert kept[0] < kept[1] < 4.2 * kept[0]


# --- fixed_point ---------------------------------------------------------------------


def _settling(weights, params):
    """Descent on a bowl with a bend, at a rate that must not matter."""
    slope = MATRIX.T @ MATRIX @ weights + weights**3 - params["drive"]
    return weights - params["rate"] * slope


def test_derivative_of_a_steady_state_is_that_of_a_long_run():
    params = {"drive": jnp.asarray([1.0, -0.5]), "rate": jnp.asarray(0.1)}
    run = lambda p: jax.lax.scan(
        lambda w, _: (_settling(w, p), None), jnp.zeros(2), length=2000
    )[0]
    found = lambda p: fixed_point(_settling, jnp.zeros(2), p)
    assert jnp.allclose(found(params), run(params), rtol=1e-10)
    slopes = jax.jacrev(found)(params), jax.jacfwd(run)(params)
    assert jnp.allclose(slopes[0]["drive"], slopes[1]["drive"], rtol=1e-8)
    assert jnp.allclose(slopes[0]["rate"], 0.0, atol=1e-12)


def test_first_and_second_derivatives_of_a_fixed_point_through_a_closure():
    def wave(scale):
        return fixed_point(lambda x, _: jnp.cos(scale * x), 1.0, None)

    x = 0.7390851332151607
    s = jnp.sin(x)
    assert jnp.allclose(wave(1.0), x, rtol=1e-12)
    found, bend = jax.value_and_grad(jax.grad(wave))(1.0)
    slope = -x * s / (1 + s)
    assert jnp.allclose(found, slope, rtol=1e-10)
    want = -(x * (x + slope) ** 2 + 2 * s * slope) / (1 + s)
    assert jnp.allclose(bend, want, rtol=1e-10)


def test_a_statistical_steady_state_is_a_fixed_point_of_its_moments():
    r"""$v' = a^2v + s^2$ settles at $s^2/(1 - a^2)$."""
    update = lambda v, p: p[0] ** 2 * v + p[1] ** 2
    decay, noise = 0.8, 0.3
    slope = jax.grad(lambda p: fixed_point(update, 1.0, p))(jnp.asarray([decay, noise]))
    rest = 1 - decay**2
    want = jnp.asarray([2 * decay * noise**2 / rest**2, 2 * noise / rest])
    assert jnp.allclose(slope, want, rtol=1e-10)


def test_where_there_is_no_fixed_point_or_no_derivative():
    onward = lambda x, p: x + p
    with pytest.raises(ValueError, match="no fixed point was found from `start`"):
        fixed_point(onward, 1.0, 1.0)
    assert jnp.isnan(jax.jit(lambda p: fixed_point(onward, 1.0, p))(1.0))
    assert jnp.isnan(fixed_point(onward, jnp.nan, 1.0))
    still = lambda x, p: jnp.stack([x[0] / 2 + p, x[1]])  # the second never moves
    slope = jax.jacrev(lambda p: fixed_point(still, jnp.ones(2), p))(1.0)
    assert jnp.all(jnp.isnan(slope))
    with pytest.raises(ValueError, match="`update` must return what it is given"):
        fixed_point(lambda x, p: x[None], jnp.ones(()), 1.0)


def test_fixed_points_in_single_precision_lower_for_cuda():
    loss = lambda p: jnp.sum(fixed_point(lambda x, p: jnp.cos(p * x), p, p))
    traced = jax.jit(jax.grad(loss)).trace(jnp.ones(2, jnp.float32))
    assert "callback" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    slope = jax.grad(loss)(jnp.ones(2, jnp.float32))
    assert slope.dtype == jnp.float32
    assert jnp.allclose(slope, -0.29747434, rtol=1e-4)


# --- growth --------------------------------------------------------------------------


def _logistic(x, r):
    return r * x * (1 - x)


def test_exponent_of_the_logistic_map_is_that_of_theory():
    found = growth(_logistic, 0.3, 4.0, KEY, steps=20_000, every=10)
    assert found.standard_error < 1e-3
    assert jnp.abs(found.exponent - jnp.log(2.0)) < 4 * found.standard_error
    assert bool(found.chaotic)
    assert not bool(found.meaningful())
    assert jnp.allclose(found.horizon(), jnp.log(1e3) / jnp.log(2.0), rtol=1e-2)
    assert "chaos" in found.says()


def test_a_contraction_forgets_at_its_rate_and_its_derivative_means_something():
    r"""At r = 2.5 the logistic map settles at $1 - 1/r$, its slope there is 2 - r."""
    found = growth(_logistic, 0.3, 2.5, KEY, steps=1000, every=10, direction=1.0)
    assert jnp.allclose(found.exponent, jnp.log(0.5), rtol=1e-8)
    assert jnp.allclose(found.state[0] - found.state[-1], 990 * jnp.log(2.0), rtol=1e-2)
    along = jnp.exp(found.parameter[-1]) * found.spread
    assert jnp.allclose(along, 1 / 2.5**2, rtol=1e-10)
    assert bool(found.meaningful())
    assert not bool(found.chaotic)
    assert jnp.isinf(found.horizon())


def test_growth_of_a_linear_run_is_that_of_its_matrix():
    update = lambda x, scale: scale * (MATRIX @ x)
    for scale in (0.5, 2.0):  # 2^1000 overflows no perturbation
        found = growth(update, jnp.ones(2), scale, KEY, steps=1000, every=20)
        assert jnp.allclose(found.exponent, jnp.log(scale * 0.9), rtol=1e-10)
    single = jnp.asarray(2.0, jnp.float32)
    shrunk = lambda x, scale: scale * x
    found = growth(shrunk, jnp.ones(2, jnp.float32), single, KEY, steps=100)
    assert found.exponent.dtype == jnp.float32
    assert jnp.allclose(found.exponent, 0.6931472, rtol=1e-5)


def test_exponent_of_the_henon_map_is_the_published_one():
    """0.41922 (Sprott 2003, Chaos and Time-Series Analysis)."""
    update = lambda x, p: jnp.stack([1 - p[0] * x[0] ** 2 + x[1], p[1] * x[0]])
    options = {"steps": 20_000, "every": 10, "direction": jnp.asarray([1.0, 0.0])}
    found = growth(update, jnp.zeros(2), jnp.asarray([1.4, 0.3]), KEY, **options)
    assert found.standard_error < 4e-3
    assert jnp.abs(found.exponent - 0.41922) < 4 * found.standard_error
    rate = jnp.polyfit(jnp.arange(2000.0) * 10, found.parameter, 1)[0]
    assert jnp.allclose(rate, found.exponent, rtol=0.02)  # parameters' grows with it


def test_synapses_forget_by_dissipation_at_its_rate():
    r"""$\ln(1 - \eta\beta\Delta t)$ a step: activity forgets faster than synapses."""
    options = {"initial_gain": 0.0, "noise": 0.0, "trace_time": 1.0}
    config = stable_memory.Config(
        size=3, homeostasis="dissipation", plasticity=0.1, **options
    )
    system, state = stable_memory.build(config, KEY)
    update = lambda state, system: advance(system, state, KEY)[0]
    found = growth(update, state, system, KEY, steps=2500, every=100)
    assert jnp.allclose(found.exponent, jnp.log1p(-0.1 * 0.1 * 0.1), rtol=1e-3)


def test_growth_of_what_is_lost_forgotten_or_still():
    options = {"steps": 100, "key": KEY}
    lost = growth(lambda x, p: jnp.nan * x, 1.0, None, **options)
    assert jnp.isnan(lost.exponent)
    assert not bool(lost.meaningful())
    assert jnp.isnan(lost.horizon())
    forgotten = growth(lambda x, p: 0 * x, 1.0, None, **options)
    assert jnp.isneginf(forgotten.exponent)
    assert bool(forgotten.meaningful())
    still = growth(lambda x, p: x, jnp.ones(3), None, **options)
    assert jnp.abs(still.exponent) < 1e-15
    assert bool(still.meaningful())


def test_growth_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"`steps` \(100\) must be a multiple of"):
        growth(_logistic, 0.3, 4.0, KEY, steps=100, every=7)
    with pytest.raises(ValueError, match="`direction` must be shaped like the param"):
        growth(_logistic, 0.3, 4.0, KEY, steps=100, direction=jnp.ones(2))
    with pytest.raises(ValueError, match="`update` must return what it is given"):
        growth(lambda x, p: x[None], jnp.ones(()), None, KEY, steps=100)
