"""A layer's Fisher matrix and its closed forms beside autodiff, for `verify`.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.
"""

import functools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.scipy as jsp
from jaxtyping import Array

from ....circuits import input_moments, RectifiedQuadratic, SynapticKernel
from ....curvature import hessian
from ....experiment import Check, exact, expectation, together
from .. import layer as layers
from ..layer import layer_fisher, layer_loss, SpikingLayer
from ..layer._network import Inputs, Vector, Weights


SIZE, UNITS, OUTPUTS = 7, 3, 2
DAMPINGS = (0.0, 0.1)


@together
def layer_checks() -> Iterator[Check]:
    """All checks of the layer; run them in double precision."""
    keys = jr.split(jr.key(0), 4)
    moments = input_moments(jnp.linspace(10.0, 50.0, SIZE), SynapticKernel())
    weights = 0.15 * jr.normal(keys[0], (UNITS, SIZE))
    readout = 0.3 * jr.normal(keys[1], (OUTPUTS, UNITS))
    separate, layer = SpikingLayer(moments), SpikingLayer(moments, readout)
    inputs = layers.gaussian_inputs(moments, 100, keys[2])
    yield from _autodiff_checks(layer, weights, inputs)
    fisher = layer_fisher(separate, weights, inputs)
    block = jax.vmap(lambda w: layer_fisher(separate, w[None], inputs))
    blocks = jsp.linalg.block_diag(*block(weights))
    says = "separate outputs: the Fisher matrix is block-diagonal"
    yield exact(says, "derived", fisher, blocks)
    gradient = jr.normal(keys[3], weights.shape)
    for says, here in {"readout": layer, "separate outputs": separate}.items():
        points = spread_about(here, weights, inputs[:9])
        both = functools.partial(_directions, here, weights, gradient, points)
        pairs = jax.vmap(both)(jnp.asarray(DAMPINGS))
        for damping, got, want in zip(DAMPINGS, *pairs, strict=True):
            name = f"natural direction in closed form, {says}, damping {damping}"
            yield exact(name, "derived: Eq. 34 for a layer", got, want, 1e-8)
    yield from _unit_checks(separate, SpikingLayer(moments, readout**2), weights)


def _directions(*arguments: Any) -> tuple[Weights, Weights]:
    """The natural direction in closed form and dense."""
    return layers.whole_direction(*arguments), layers.exact_direction(*arguments)


@eqx.filter_jit
def _curvatures(
    layer: SpikingLayer, weights: Weights, inputs: Inputs
) -> tuple[Array, ...]:
    """The Fisher matrix in three ways: by its definition, as a Hessian, by hand."""
    fisher = layer_fisher(layer, weights, inputs)
    rates = layer.rates(weights, inputs)
    bent = hessian(lambda w: layer_loss(layer, w, inputs, rates), weights)
    between = layers.coupling(layer, weights, inputs)
    by_hand = jnp.einsum("sij,sa,sb->iajb", between, inputs, inputs) / len(inputs)
    return fisher, bent, by_hand.reshape(fisher.shape)


@eqx.filter_jit
def _slopes(
    layer: SpikingLayer, weights: Weights, inputs: Inputs
) -> tuple[Array, Array]:
    """The gradient of the loss by backpropagation and by central differences."""
    target = layer.rates(weights, inputs) / 2
    loss = lambda w: layer_loss(layer, w, inputs, target)
    step = 1e-5 * jnp.eye(weights.size).reshape(-1, *weights.shape)
    secants = jax.vmap(lambda d: (loss(weights + d) - loss(weights - d)) / 2e-5)(step)
    return jax.grad(loss)(weights).ravel(), secants


@eqx.filter_jit
def _unit_blocks(
    layer: SpikingLayer, weights: Weights, inputs: Inputs, along: Vector
) -> tuple[Array, Array]:
    """Each unit's block along a direction: in closed form, and at every input."""
    count, size = weights.shape
    units = jnp.broadcast_to(jnp.eye(size)[:, None], (size, count, size))
    turn = lambda gradient: layers.unitwise_direction(layer, weights, gradient, inputs)
    blocks = jnp.linalg.inv(jnp.swapaxes(jax.vmap(turn)(units), 0, 1))
    seen = jax.vmap(jnp.diagonal)(layers.coupling(layer, weights, inputs))
    return blocks @ along @ along, seen * (inputs @ along)[:, None] ** 2


def _autodiff_checks(
    layer: SpikingLayer, weights: Weights, inputs: Inputs
) -> Iterator[Check]:
    """Backpropagation, and the Fisher matrix as the KL divergence's curvature."""
    slope, secants = _slopes(layer, weights, inputs)
    yield exact("backpropagation", "central difference", slope, secants, 1e-6)
    fisher, bent, by_hand = _curvatures(layer, weights, inputs)
    yield exact("Fisher matrix of a layer, as a Hessian", "T1", fisher, bent)
    yield exact("Fisher matrix of a layer, from couplings", "derived", fisher, by_hand)


def _unit_checks(
    separate: SpikingLayer, layer: SpikingLayer, weights: Weights
) -> Iterator[Check]:
    r"""Unit-wise inverses against means over Gaussian inputs, along one direction.

    Of rectified quadratic outputs $F = 1$: what they see of a unit depends on its own
    potential alone, and its closed form leaves nothing out.
    """
    quadratic = RectifiedQuadratic(-60.0)
    seen = SpikingLayer(layer.moments, layer.readout, quadratic)
    inputs = layers.gaussian_inputs(layer.moments, 40_000, jr.key(5))
    along = jnp.linspace(-1.0, 1.0, SIZE)
    for says, here in {"separate outputs": separate, "F = 1": seen}.items():
        closed, samples = _unit_blocks(here, weights, inputs, along)
        for j in range(UNITS):
            name = f"unit-wise block {j + 1}, {says}"
            yield expectation(name, "T2, T3", samples[:, j], closed[j])


@eqx.filter_jit
def spread_about(layer: SpikingLayer, weights: Weights, inputs: Inputs) -> Array:
    """Inputs with the potentials of `inputs`, and all else as Gaussian ones have it.

    What the weights do not see has, at each of these potentials, exactly the mean and
    the covariance that it has under the Gaussian law.
    """
    b, variance = layer.moments.mean, layer.moments.variance
    seen = weights * variance[None]
    projector = seen.T @ jnp.linalg.inv(seen @ weights.T)
    kept = b[None] + (inputs - b[None]) @ weights.T @ projector.T
    values, vectors = jnp.linalg.eigh(jnp.diag(variance) - projector @ seen)
    free = vectors[:, len(weights) :] * jnp.sqrt(values[None, len(weights) :])
    steps = jnp.sqrt(free.shape[1]) * jnp.concatenate([free.T, -free.T])
    return (kept[:, None] + steps[None]).reshape(-1, len(b))
