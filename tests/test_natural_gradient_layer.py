"""A layer of spiking neurons: its loss, its inputs and its natural directions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import scipy.stats
import xarray

from plasticity_jax.circuits import input_moments, Sigmoid, SynapticKernel
from plasticity_jax.curvature import glm_fisher_inverse
from plasticity_jax.curvature._transfer import fisher_density
from plasticity_jax.signals import InputMoments
from plasticity_jax.systems.natural_gradient import layer as layers
from plasticity_jax.systems.natural_gradient.checks._layer import layer_checks
from plasticity_jax.systems.natural_gradient.experiments.layer import at_best, Layers
from plasticity_jax.systems.natural_gradient.layer import layer_loss, SpikingLayer


SIZE, UNITS = 6, 3
RATES = np.linspace(10.0, 50.0, SIZE)
METRICS = {
    "own": lambda *x: layers.unitwise_direction(*x, own=True),
    "unitwise": layers.unitwise_direction,
    "kfac": layers.kfac_direction,
    "whole": layers.whole_direction,
    "exact": layers.exact_direction,
}


def network(outputs=2):
    """A small layer, weights, a gradient and inputs."""
    moments = input_moments(jnp.asarray(RATES), SynapticKernel())
    keys = jr.split(jr.key(0), 4)
    readout = 0.3 * jr.normal(keys[0], (outputs, UNITS)) if outputs else None
    weights, gradient = 0.15 * jr.normal(keys[1], (2, UNITS, SIZE))
    inputs = layers.gaussian_inputs(moments, 200, keys[2])
    return SpikingLayer(moments, readout), weights, gradient, inputs


@pytest.mark.dear
def test_every_closed_form_agrees_with_autodiff():
    wrong = [check for check in layer_checks() if not check.holds]
    assert not wrong


def test_the_loss_is_the_negative_log_likelihood_of_poisson_spikes():
    layer, weights, _, inputs = network()
    window, rates_of = 0.02, eqx.filter_jit(SpikingLayer.rates)
    rates, others = (rates_of(layer, w, inputs) for w in (weights, 0 * weights))
    counts = np.random.default_rng(1).poisson(rates * window).astype(float)
    assert np.any(counts == 0)
    logs = [scipy.stats.poisson.logpmf(counts, x * window) for x in (rates, others)]
    drop = np.mean(np.sum(logs[0] - logs[1], axis=1)) / window
    loss = eqx.filter_jit(jax.value_and_grad(layer_loss, argnums=1))
    here, slope = loss(layer, weights, inputs, counts / window)
    there, _ = loss(layer, 0 * weights, inputs, counts / window)
    assert jnp.allclose(there - here, drop, rtol=1e-10)
    assert jnp.all(jnp.isfinite(slope))
    assert jnp.abs(loss(layer, weights, inputs, rates)[0]) < 1e-10


@eqx.filter_jit
def _scaled_directions(layer, weights, gradient, inputs, scale):
    """Directions where the inputs are `scale` times stronger and the weights weaker."""
    b, variance, third, active = jax.tree.leaves(layer.moments)
    moments = InputMoments(scale * b, scale**2 * variance, scale**3 * third, active)
    here = SpikingLayer(moments, layer.readout)
    row = scale[None]
    arguments = (weights / row, gradient * row, inputs * row, jnp.asarray(0.05))
    return {name: turn(here, *arguments) for name, turn in METRICS.items()}


def test_directions_do_not_depend_on_how_a_weight_is_parametrised():
    """Kreutzer et al. 2022, Eq. 14, for each synapse's own attenuation."""
    layer, weights, gradient, inputs = network()
    scale = jnp.geomspace(0.2, 5.0, SIZE)
    plain = _scaled_directions(layer, weights, gradient, inputs, jnp.ones(SIZE))
    scaled = _scaled_directions(layer, weights, gradient, inputs, scale)
    for name, direction in plain.items():
        assert jnp.allclose(scaled[name] * scale[None], direction, rtol=1e-8), name
        assert jnp.linalg.norm(direction) > 0


def test_one_neuron_has_the_closed_form_of_the_paper():
    layer, weights, gradient, inputs = network(outputs=0)
    b, variance = layer.moments.mean, layer.moments.variance

    @jax.jit
    def both(w, g):
        inverse = glm_fisher_inverse(layer.transfer, w, b, variance, nodes=81)
        turned = layers.unitwise_direction(layer, w[None], g[None], inputs)
        return turned[0], inverse.mv(g)

    assert jnp.allclose(*both(weights[0], gradient[0]), rtol=1e-10)


def test_kfac_is_exact_where_potentials_are_narrow():
    layer, weights, gradient, inputs = network(outputs=4)
    # with its sample's own moments, so that nothing but the variance is in the way
    b, variance = layer.moments.mean, layer.moments.variance
    cloud = inputs - jnp.mean(inputs, axis=0, keepdims=True)
    root = jnp.linalg.cholesky(cloud.T @ cloud / len(cloud))
    cloud = jnp.linalg.solve(root, cloud.T).T * jnp.sqrt(variance)[None]
    inputs = b[None] + cloud

    @jax.jit
    def distance(scale):
        arguments = (layer, scale * weights, gradient, inputs)
        exact = layers.exact_direction(*arguments)
        error = jnp.linalg.norm(layers.kfac_direction(*arguments) - exact)
        return error / jnp.linalg.norm(exact)

    errors = [distance(jnp.asarray(scale)) for scale in (1.0, 1e-3, 1e-4)]
    assert errors[0] > 0.1
    assert errors[1] < 0.02
    assert 8 < errors[1] / errors[2] < 12  # first order in the weights


@pytest.mark.parametrize("name", ["unitwise", "kfac", "whole", "exact"])
def test_damping_bounds_the_step_of_a_unit_that_is_hardly_read(name):
    layer, weights, gradient, inputs = network()
    readout = layer.readout.at[:, 0].multiply(1e-4)
    layer = SpikingLayer(layer.moments, readout)
    turn = eqx.filter_jit(METRICS[name])
    length = lambda d: jnp.max(jnp.abs(inputs @ d[0]))  # change of its potential
    free = length(turn(layer, weights, gradient, inputs, jnp.asarray(0.0)))
    held = length(turn(layer, weights, gradient, inputs, jnp.asarray(0.1)))
    assert 0 < held < 1e-4 * free


@jax.jit
def _densities(voltage, gain, floor):
    """The layer's densities with two derivatives each, beside autodiff."""
    sigmoid = Sigmoid()
    square = lambda v: jax.grad(sigmoid)(v) ** 2
    slopes = [square, jax.grad(square), jax.grad(jax.grad(square))]
    affine = fisher_density(layers.Affine(sigmoid, gain, floor), voltage, 2)
    plain = fisher_density(sigmoid, voltage, 2)
    return (
        fisher_density(layers.QuarterSquare(sigmoid), voltage, 2),
        tuple(jax.vmap(slope)(voltage) for slope in slopes),
        affine,
        (gain * plain[0] + floor, gain * plain[1], gain * plain[2]),
    )


def test_densities_and_their_derivatives():
    voltage = jnp.linspace(-20.0, 40.0, 31)
    square, wanted, affine, shifted = _densities(voltage, 2.0, 3.0)
    for got, want in zip(square + affine, wanted + shifted, strict=True):
        assert jnp.allclose(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("law", ["gaussian", "poisson"])
def test_inputs_have_the_moments_of_their_law(law):
    kernel, rates = SynapticKernel(), jnp.asarray([5.0, 40.0])
    moments, count = input_moments(rates, kernel), 20_000
    if law == "gaussian":
        x = layers.gaussian_inputs(moments, count, jr.key(2))
    else:
        x = layers.poisson_inputs(rates, kernel, count, jr.key(2))
    centred = x - moments.mean[None]
    third = moments.third if law == "poisson" else jnp.zeros(2)
    for got, want in (
        (x, moments.mean),
        (centred**2, moments.variance),
        (centred**3, third),
    ):
        error = jnp.std(got, axis=0) / count**0.5
        assert jnp.all(jnp.abs(jnp.mean(got, axis=0) - want) < 4 * error)
    assert jnp.all(jnp.std(x, axis=0) / count**0.5 < 0.02 * moments.mean)


def test_the_best_rate_is_that_of_the_lowest_final_loss():
    loss = np.ones((3, 2, 1, 2))  # rate_factor, seed, step, rule
    loss[1, :, :, 0], loss[2, :, :, 1] = 0.5, 0.25
    loss[0, 0, :, 1] = np.nan
    dims = ("rate_factor", "seed", "step", "rule")
    factors = {"rate_factor": [0.1, 0.2, 0.4]}
    best = at_best(xarray.Dataset({"loss": (dims, loss)}, factors))
    assert best.rate_factor.values.tolist() == [0.2, 0.4]
    assert np.allclose(best.isel(step=-1), [0.5, 0.25])


def test_a_layer_wider_than_its_inputs_is_refused():
    with pytest.raises(ValueError, match=r"`units` \(20\) must not exceed `size` \(16"):
        Layers(units=20)
    with pytest.raises(ValueError, match="`batch` must be at least 1; got 0"):
        Layers(batch=0)
