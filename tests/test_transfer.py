"""Transfer functions: scores and Fisher densities, their limits and their check."""

import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax.circuits import SpikingNeuron
from plasticity_jax.curvature._transfer import (
    check_transfer,
    fisher_density,
    RectifiedQuadratic,
    score,
    Sigmoid,
)


ORDER = 5
VOLTAGE = jnp.asarray(np.linspace(-20.0, 40.0, 61))
STEP = 1e-4
AROUND = np.asarray(VOLTAGE) + STEP * np.asarray([[1.0], [0.0], [-1.0]])


class Softplus(eqx.Module):
    """A transfer function of a user, with a parameter."""

    slope: jax.Array

    def __call__(self, voltage):
        return 10 * jnp.log1p(jnp.exp(self.slope * voltage))


def plain(voltage, maximum=100.0, slope=0.3, threshold=10.0):
    """The default sigmoid as a user would write it: no closed form."""
    return maximum / (1 + jnp.exp(-slope * (voltage - threshold)))


def shifted(transfer, voltage):
    return transfer(voltage - 3.0)


def close(actual, expected, tolerance=1e-12):
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


densities, scores = eqx.filter_jit(fisher_density), eqx.filter_jit(score)


def test_sigmoid_is_its_formula():
    z = 0.3 * (np.asarray(VOLTAGE) - 10)
    rate = 100 / (1 + np.exp(-z))
    found = Sigmoid()
    assert close(found(VOLTAGE), rate)
    assert close(score(found, VOLTAGE), 0.3 * (1 - rate / 100))
    s = rate / 100
    density = 100 * 0.09 * s * (1 - s) ** 2
    f, slope, bend, *_ = fisher_density(found, VOLTAGE, ORDER)
    assert close(f, density)
    assert close(slope, 0.3 * density * (1 - 3 * s))
    assert close(bend, 0.09 * density * (1 - 9 * s + 12 * s**2))


def test_closed_forms_of_the_sigmoid_are_those_of_autodiff_to_the_fifth_order():
    closed = densities(Sigmoid(), AROUND, ORDER)
    generic = densities(plain, AROUND, ORDER)
    assert len(closed) == len(generic) == ORDER + 1
    for got, want in zip(closed, generic, strict=True):
        assert (got.shape, got.dtype) == (AROUND.shape, AROUND.dtype)
        assert close(got, want, 1e-10)
    assert close(scores(Sigmoid(), VOLTAGE), scores(plain, VOLTAGE))
    # and of another sigmoid
    closed = densities(Sigmoid(40.0, 0.7, -2.0), VOLTAGE, 3)
    other = lambda v: plain(v, 40.0, 0.7, -2.0)
    for got, want in zip(closed, densities(other, VOLTAGE, 3), strict=True):
        assert close(got, want, 1e-10)


def test_each_derivative_is_the_slope_of_the_one_before():
    """Against central differences, so that no derivative rule is trusted."""
    for transfer in (Sigmoid(), plain, Softplus(jnp.asarray(0.4))):
        found = map(np.asarray, densities(transfer, AROUND, ORDER))
        for lower, upper in itertools.pairwise(found):
            secant = (lower[0] - lower[2]) / (2 * STEP)
            assert close(upper[1], secant, 1e-6)


def test_rectified_quadratic_is_its_formula_on_both_sides_of_the_threshold():
    threshold = 2.0
    transfer = RectifiedQuadratic(threshold)
    user = lambda v: jnp.maximum(v - threshold, 0.0) ** 2 / 4
    voltage = jnp.asarray([-200.0, -3.0, 2.0, 2.5, 7.0, 200.0])
    above = np.maximum(np.asarray(voltage) - threshold, 0)
    assert close(transfer(voltage), above**2 / 4)
    inverse = np.divide(2, above, out=np.zeros(6), where=above > 0)
    fires = np.where(above > 0, 1.0, 0.0)
    for function in (transfer, user):
        assert close(scores(function, voltage), inverse)
        f, *slopes = densities(function, voltage, 2)
        assert close(f, fires)
        for slope in slopes:
            assert np.allclose(slope, 0, atol=1e-14)


STABLE = {
    "sigmoid": Sigmoid(),
    "quadratic": RectifiedQuadratic(),
    "user's sigmoid": lambda v: 100 * jax.nn.sigmoid(0.3 * (v - 10)),
    "softplus": jax.nn.softplus,
    "shifted softplus": lambda v: 10 * jax.nn.softplus(0.3 * v - 1),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("transfer", STABLE.values(), ids=STABLE.keys())
def test_saturation_is_finite_with_finite_derivatives(transfer, dtype):
    """Where the rate itself is finite: its powers under- and overflow."""
    if isinstance(transfer, eqx.Module):
        transfer = jax.tree.map(lambda x: x.astype(dtype), transfer)
    voltage = jnp.asarray([-200.0, -100.0, -60.0, 100.0, 200.0], dtype)
    seen = lambda v: (transfer(v), score(transfer, v), fisher_density(transfer, v, 3))
    values = jax.jvp(jax.jit(seen), (voltage,), (jnp.ones_like(voltage),))
    for value in jax.tree.leaves(values):
        assert value.dtype == dtype
        assert jnp.all(jnp.isfinite(value))


def test_the_sigmoid_keeps_its_digits_in_single_precision():
    """$1 - s$ would be 0 beyond 57 mV above threshold."""
    transfer = jax.tree.map(lambda x: x.astype(jnp.float32), Sigmoid())
    voltage = jnp.asarray([-150.0, -60.0, 10.0, 60.0, 80.0, 120.0])
    for function in (
        lambda t, v: (t(v), score(t, v)),
        lambda t, v: fisher_density(t, v, 2),
    ):
        single = function(transfer, voltage.astype(jnp.float32))
        double = function(Sigmoid(), voltage)
        for got, want in zip(single, double, strict=True):
            assert jnp.all(want != 0)
            assert np.allclose(got, want, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["maximum", "slope", "threshold"])
def test_gradients_by_every_parameter_of_the_sigmoid(name):
    """Rate, score, density and its second derivative against central differences."""
    weights = jnp.linspace(-1.0, 2.0, 61)

    def total(value):
        transfer = Sigmoid(**{name: value})
        f = fisher_density(transfer, VOLTAGE, 2)
        seen = transfer(VOLTAGE) + 50 * score(transfer, VOLTAGE) + f[0] + 100 * f[2]
        return jnp.vdot(weights, seen)

    value, seen = float(getattr(Sigmoid(), name)), jax.jit(jax.value_and_grad(total))
    step = 1e-5 * value
    secant = (seen(value + step)[0] - seen(value - step)[0]) / (2 * step)
    assert abs(secant) > 1e-2
    assert np.allclose(seen(value)[1], secant, rtol=1e-7)


def test_gradient_by_the_threshold_of_the_quadratic():
    total = lambda t: jnp.sum(RectifiedQuadratic(t)(VOLTAGE))
    above = np.maximum(np.asarray(VOLTAGE) - 2.2, 0)
    assert close(jax.grad(total)(2.2), -np.sum(above) / 2)


def test_gradient_by_a_parameter_of_a_users_function():
    total = lambda slope: jnp.sum(fisher_density(Softplus(slope), VOLTAGE, 1)[1] ** 2)
    value, step, seen = 0.4, 1e-6, jax.jit(jax.value_and_grad(total))
    secant = (seen(value + step)[0] - seen(value - step)[0]) / (2 * step)
    assert np.allclose(seen(value)[1], secant, rtol=1e-7)


# --- the check of a user's function -------------------------------------------------


GOOD = {
    "sigmoid": Sigmoid(),
    "quadratic": RectifiedQuadratic(),
    "plain sigmoid": plain,
    "softplus": Softplus(jnp.asarray(0.4)),
    "softplus of jax": jax.nn.softplus,
    "exponential": jnp.exp,
    "scaled exponential": lambda v: 20 * jnp.exp(0.1 * v),
    "shifted up": lambda v: 5 + jnp.exp(0.1 * v),
    "partial": functools.partial(shifted, plain),
    "compiled": jax.jit(plain),
    "not monotonous": lambda v: 2 + jnp.sin(v / 3),
}
BAD = {
    "negative": (lambda v: 0.1 * v, "positive.* at -30 mV its rate is -3"),
    "negative in part": (lambda v: jnp.exp(0.1 * v) - 1, "positive"),
    "rectified": (lambda v: jnp.maximum(v, 0.0), "positive"),
    "not finite": (lambda v: jnp.exp(50 * v), "positive"),
    "constant": (lambda v: jnp.full_like(v, 3.0), "slope"),
    "constant in part": (lambda v: jnp.exp(0.1 * jnp.maximum(v, 0.0)), "slope"),
    "kink": (lambda v: 1 + jnp.exp(0.1 * v) + jnp.maximum(v, 0.0), "smooth"),
    "jump": (
        lambda v: jnp.exp(0.1 * v) + jnp.where(v > 4.005, 1.0, 0.0),
        r"smooth at (3\.99|4|4\.01) mV",
    ),
    "small jump": (lambda v: jnp.exp(v) + jnp.where(v > -5.0, 0.05, 0.0), "smooth"),
    "small kink": (lambda v: jnp.exp(v) + jnp.maximum(v + 5, 0.0), "smooth"),
    "bent": (  # elu + 1: its second derivative jumps
        lambda v: jnp.where(v > 0, v + 1, jnp.exp(jnp.minimum(v, 0.0))),
        "smooth",
    ),
    "scalar": (jnp.sum, "same shape"),
    "longer": (lambda v: jnp.concatenate([v, v]) ** 2 + 1.0, "same shape"),
    "integer": (lambda v: jnp.round(v).astype(jnp.int32), "same shape"),
}


@pytest.mark.parametrize("transfer", GOOD.values(), ids=GOOD.keys())
def test_smooth_positive_functions_are_accepted(transfer):
    check_transfer(transfer)


@pytest.mark.parametrize(("transfer", "says"), BAD.values(), ids=BAD.keys())
def test_functions_that_are_not_smooth_and_positive_are_refused(transfer, says):
    with pytest.raises(ValueError, match=says):
        check_transfer(transfer)


@pytest.mark.parametrize("transfer", [lambda: 1.0, lambda v, w: v + w])
def test_what_is_no_function_of_the_voltage_is_refused(transfer):
    with pytest.raises(ValueError, match="function of the voltage"):
        check_transfer(transfer)


@pytest.mark.parametrize("transfer", [3.0, None, "sigmoid"])
def test_what_is_no_function_at_all_is_refused(transfer):
    """By the check, or before it by the checker of types that the tests switch on."""
    with pytest.raises((TypeError, ValueError)):
        check_transfer(transfer)


def test_a_neuron_checks_its_transfer_function():
    with pytest.raises(ValueError, match="positive"):
        SpikingNeuron(jnp.asarray([5.0]), 5e-4, transfer=lambda v: 0.1 * v)


def test_traced_parameters_pass_the_check():
    def rate(slope):
        check_transfer(Softplus(slope))
        return Softplus(slope)(jnp.asarray(1.0))

    want = jax.nn.sigmoid(-0.4) * 10 * jnp.exp(0.4)
    assert close(jax.jit(jax.grad(rate))(jnp.asarray(0.4)), want)


def test_a_users_function_is_checked_also_while_a_caller_is_compiled():
    def first(weights, transfer):
        neuron = SpikingNeuron(jnp.asarray([5.0]), 5e-4, transfer=transfer)
        return neuron.coefficients(weights).c1

    compiled = eqx.filter_jit(first)
    weights = jnp.asarray([0.1])
    transfer = lambda v: jax.nn.softplus(0.2 * v)
    assert close(compiled(weights, transfer), first(weights, transfer))
    with pytest.raises(ValueError, match="positive"):
        compiled(weights, lambda v: 0.1 * v)
    inner = lambda slope: first(weights, lambda v: jax.nn.softplus(slope * v))
    assert close(jax.jit(inner)(0.2), first(weights, transfer))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"maximum": 0.0}, "maximum"),
        ({"maximum": -100.0}, "maximum"),
        ({"slope": 0.0}, "slope"),
        ({"slope": float("nan")}, "slope"),
        ({"threshold": float("inf")}, "threshold"),
    ],
)
def test_values_out_of_range_are_named(values, name):
    with pytest.raises(ValueError, match=name):
        Sigmoid(**values)
