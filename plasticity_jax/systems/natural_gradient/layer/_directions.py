"""Natural gradients of the layer, each by what it leaves out."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy as jsp

from .... import curvature, Scalar
from ...._arguments import concrete, floating
from ....circuits import Transfer
from ....curvature import fisher_density, voltage_moments
from ....numerics import ratio
from ._network import (
    _floor,
    coupling,
    Inputs,
    layer_fisher,
    SpikingLayer,
    Vector,
    Weights,
)


NODES = 81  # of quadrature, by default


@floating
def exact_direction(
    layer: SpikingLayer,
    weights: Weights,
    gradient: Weights,
    inputs: Inputs,
    damping: Scalar | float = 0.0,
) -> Weights:
    """The natural gradient by the dense `layer_fisher`, for reference; $O(n^3m^3)$.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, x = SpikingLayer(moments), jnp.asarray([[10.0]])
    >>> weights, gradient = jnp.ones((1, 1)), jnp.asarray([[225.0]])
    >>> print(f"{exact_direction(layer, weights, gradient, x)[0, 0]:.3f}")  # over 112.5
    2.000
    """
    layer.check(weights, gradient)
    fisher = layer_fisher(layer, weights, inputs, damping)
    return curvature.natural_gradient(gradient, fisher, method="cholesky")


@floating
def whole_direction(
    layer: SpikingLayer,
    weights: Weights,
    gradient: Weights,
    inputs: Inputs,
    damping: Scalar | float = 0.0,
) -> Weights:
    r"""The natural gradient of the layer in closed form for Gaussian inputs.

    With $W\Sigma W^\top = LL^\top$ and $z = L^{-1}W(x - b)$, the input is
    $x = Q(1, z) + x_\perp$, $Q = [b, \Sigma W^\top L^{-\top}]$, where $x_\perp$ is
    independent of $u$ and hence of $B$, so that
    $$G = S \otimes \Sigma + (I \otimes Q)\, C\, (I \otimes Q)^\top,\quad S = E[B],\quad
    C = E[B \otimes (1, z)(1, z)^\top] - S \otimes \mathrm{diag}(0, 1, \dots, 1),$$
    inverted by Woodbury's identity in $O(nm^2 + m^6)$. Only $S$ and $C$, which do not
    grow with $n$, are averaged over `inputs`. For one neuron it is Eqs. 34 and 37. The
    rows of `weights` must be independent.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, x = SpikingLayer(moments), jnp.asarray([[10.0]])
    >>> weights, gradient = jnp.ones((1, 1)), jnp.asarray([[225.0]])
    >>> print(f"{whole_direction(layer, weights, gradient, x)[0, 0]:.3f}")  # over 112.5
    2.000
    """
    layer.check(weights, gradient)
    b, variance = layer.moments.mean, layer.moments.variance
    units, size = len(weights), len(weights) * (len(weights) + 1)
    root = jnp.linalg.cholesky((weights * variance[None]) @ weights.T)
    whiten = lambda x: jsp.linalg.solve_triangular(root, x, lower=True)
    basis = jnp.concatenate([b[None], whiten(weights * variance[None])])  # Q'
    z = whiten(weights @ (inputs - b[None]).T)
    y = jnp.concatenate([jnp.ones_like(z[:1]), z])
    between = coupling(layer, weights, inputs)
    mean = jnp.mean(between, axis=0)
    added = _floor(mean, damping)
    core = jnp.einsum("sij,as,bs->iajb", between, y, y) / len(inputs)
    first = jnp.zeros(units + 1, b.dtype).at[0].set(1.0)
    core = core.reshape(size, size) - jnp.kron(mean, jnp.diag(1 - first))
    core = core + jnp.kron(added, jnp.diag(first))
    inverse = jnp.linalg.inv(mean + added)
    dual = basis / variance[None]
    gram = jnp.kron(inverse, dual @ basis.T)
    plain = inverse @ gradient / variance[None]
    seen = core @ (plain @ basis.T).ravel()
    seen = jnp.linalg.solve(jnp.eye(size, dtype=b.dtype) + core @ gram, seen)
    return plain - inverse @ seen.reshape(units, units + 1) @ dual


@floating
def unitwise_direction(
    layer: SpikingLayer,
    weights: Weights,
    gradient: Weights,
    inputs: Inputs,
    damping: Scalar | float = 0.0,
    *,
    own: bool = False,
) -> Weights:
    r"""The gradient of each unit times a closed-form inverse of its own; $O(nm)$.

    Block $j$ of $G$ is $E[B_{jj}\, xx^\top]$, $B_{jj} = \phi'(u_j)^2 \sum_k V_{kj}^2
    F(o_k)$. The sum, which depends on all units, is replaced by its mean over `inputs`
    (weighted by $\phi'^2$, so that $E[B_{jj}]$ is kept); the rest depends on $u_j$
    alone, so Eq. 37 inverts it, with density $\phi'^2$ in place of $\phi'^2/\phi$.

    `own` takes the Fisher matrix of the unit's own spikes instead, $E[F(u_j)\,
    xx^\top]$, as though they were observed: just as invariant, but blind to what the
    outputs make of them. Without a readout both are exact for Gaussian inputs.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, x = SpikingLayer(moments), gaussian_inputs(moments, 5000, jr.key(0))
    >>> weights = gradient = jnp.full((1, 1), 0.1)
    >>> found = jax.jit(unitwise_direction)(layer, weights, gradient, x)
    >>> print(f"{found[0, 0] / exact_direction(layer, weights, gradient, x)[0, 0]:.1f}")
    1.0
    """
    layer.check(weights, gradient)
    b, variance = layer.moments.mean, layer.moments.variance
    own = own or layer.readout is None
    density = layer.transfer if own else QuarterSquare(layer.transfer)
    at_unit = jnp.mean(fisher_density(density, inputs @ weights.T)[0], axis=0)
    seen = at_unit
    if not own:
        seen = jnp.diagonal(jnp.mean(coupling(layer, weights, inputs), axis=0))
    gain = ratio(seen, at_unit)
    floor = damping * jnp.mean(seen)
    nodes = _nodes(layer, density, weights)

    def one(w: Vector, g: Vector, gain: Scalar) -> Vector:
        metric = Affine(density, gain, floor)
        inverse = curvature.glm_fisher_inverse(metric, w, b, variance, nodes=nodes)
        return inverse.mv(g)

    return jax.vmap(one)(weights, gradient, gain)


def _nodes(layer: SpikingLayer, density: Transfer, weights: Weights) -> int:
    """Enough nodes of quadrature for the potential of every unit."""
    if layer.nodes is not None:
        return layer.nodes
    if not concrete(layer, density, weights):
        return NODES
    with jax.ensure_compile_time_eval():
        moments = layer.moments
        seen = [voltage_moments(w, moments.mean, moments.variance) for w in weights]
        enough = (curvature.enough_nodes(density, *s[:2], least=NODES) for s in seen)
        return max(enough)


class QuarterSquare(eqx.Module):
    r"""$\phi^2/4$ of a transfer function, whose Fisher density is $\phi'^2$.

    >>> float(QuarterSquare(circuits.Sigmoid())(10.0))  # of 50 Hz
    625.0
    """

    transfer: Transfer

    def __call__(self, voltage: Any) -> Any:
        return self.transfer(voltage) ** 2 / 4


@fisher_density.register
def _(transfer: QuarterSquare, voltage: Any, order: int = 0) -> Any:
    """By autodiff without a division: exact where the rate vanishes."""
    derivative = lambda f: lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
    slope = derivative(transfer.transfer)
    densities = [lambda x: slope(x) ** 2]
    for _ in range(order):
        densities.append(derivative(densities[-1]))
    return tuple(density(voltage) for density in densities)


class Affine(eqx.Module):
    r"""Spikes worth `gain`, beside a view of the potential itself worth `floor`.

    Fires as `transfer` does; its Fisher density is `gain` $F$ + `floor`.

    >>> transfer = Affine(circuits.Sigmoid(), jnp.asarray(2.0), floor=jnp.asarray(1.0))
    >>> density = curvature.fisher_density(transfer, 10.0)[0]
    >>> print(float(transfer(10.0)), f"{density:.2f}")  # 2 * 1.125 + 1
    50.0 3.25
    """

    transfer: Transfer
    gain: Scalar
    floor: Scalar

    def __call__(self, voltage: Any) -> Any:
        return self.transfer(voltage)


@fisher_density.register
def _(transfer: Affine, voltage: Any, order: int = 0) -> Any:
    densities = fisher_density(transfer.transfer, voltage, order)
    first, *rest = (transfer.gain * density for density in densities)
    return (first + transfer.floor, *rest)


@floating
def kfac_direction(
    layer: SpikingLayer,
    weights: Weights,
    gradient: Weights,
    inputs: Inputs,
    damping: Scalar | float = 0.0,
) -> Weights:
    r"""$E[B]^{-1}\, g\, E[xx^\top]^{-1}$: Kronecker-factored; $O(nm^2 + m^3)$.

    $E[B]$, over `inputs`, is the second moment of the gradient in $u$ for spikes drawn
    from the outputs' own law; $E[xx^\top] = \Sigma + bb^\top$ is inverted exactly.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, x = SpikingLayer(moments), jnp.asarray([[10.0]])
    >>> gradient = 1.125 * (moments.variance + moments.mean**2)[None]
    >>> print(f"{kfac_direction(layer, jnp.ones((1, 1)), gradient, x)[0, 0]:.3f}")
    1.000
    """
    layer.check(weights, gradient)
    b, variance = layer.moments.mean, layer.moments.variance
    parts = (variance, b[:, None], jnp.ones((1, 1), b.dtype))
    inputs_inverse = curvature.inverse_diagonal_plus_low_rank(*parts)
    mean = jnp.mean(coupling(layer, weights, inputs), axis=0)
    whitened = jax.vmap(inputs_inverse.mv)(gradient)
    return jnp.linalg.solve(mean + _floor(mean, damping), whitened)
