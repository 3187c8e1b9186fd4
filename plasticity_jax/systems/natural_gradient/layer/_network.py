"""The layer: its outputs, its loss, and the Fisher matrix of their law."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy as jsp
from jaxtyping import Array, Float

from .... import curvature, Scalar
from ...._arguments import check_not_negative, floating, whole
from ....circuits import Sigmoid, Transfer
from ....curvature import fisher_density
from ....signals import InputMoments


Vector = Float[Array, " n"]
Weights = Float[Array, "m n"]
Inputs = Float[Array, "sample n"]
Rates = Float[Array, "sample k"]


class SpikingLayer(eqx.Module):
    r"""All of a network but the weights that learn.

    `moments` are those of the inputs; `readout` (k, m) in mV/Hz is what a hidden rate
    adds to the potential of each output. Without `readout` the units of the layer are
    themselves the outputs, neurons that share their inputs. Closed forms take `nodes`
    points of quadrature (`curvature.glm_coefficients`), by default 81 or as many as the
    weights need; where these are traced, 81 are too few for wide potentials, whose
    directions are NaN.

    >>> moments = circuits.input_moments([10.0, 50.0], circuits.SynapticKernel())
    >>> layer, weights = SpikingLayer(moments), [[0.5, 0.25], [0.0, 1.0]]
    >>> rates = layer.rates(weights, [[10.0, 20.0]])
    >>> print(*(f"{rate:.1f}" for rate in rates[0]))  # at 10 and 20 mV
    50.0 95.3
    """

    moments: InputMoments
    readout: Float[Array, "k m"] | None = None
    transfer: Transfer = eqx.field(default_factory=Sigmoid)
    nodes: int | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        if self.nodes is not None:
            whole("nodes", self.nodes, 9)
        if self.readout is not None and jnp.ndim(self.readout) != 2:
            raise ValueError(
                f"`readout` must be a matrix (k, m); got {jnp.shape(self.readout)}."
            )

    def check(self, weights: Weights, *others: Weights) -> None:
        """Raise `ValueError` unless weights fit inputs and readout; nothing broadcasts.

        `others` must be shaped like the weights.
        """
        units = None if self.readout is None else self.readout.shape[1]
        inputs = len(self.moments.mean)
        fits = weights.ndim == 2 and weights.shape[1] == inputs
        if not fits or units not in (None, len(weights)):
            raise ValueError(
                f"`weights` must be ({units or 'units'}, {inputs}): a row for each "
                f"unit of the readout, a column for each input; got {weights.shape}."
            )
        for other in others:
            if other.shape != weights.shape:
                raise ValueError(
                    f"`gradient` must be shaped like the weights {weights.shape}; got "
                    f"{other.shape}."
                )

    @floating
    def voltage(self, weights: Weights, x: Vector) -> Float[Array, " k"]:
        """Potentials of the outputs in mV, for one input."""
        self.check(weights)
        hidden = weights @ x
        return hidden if self.readout is None else self.readout @ self.transfer(hidden)

    @floating
    def rates(self, weights: Weights, inputs: Inputs) -> Rates:
        """Output rates in Hz."""
        return self.transfer(jax.vmap(lambda x: self.voltage(weights, x))(inputs))


@floating
def layer_loss(
    layer: SpikingLayer, weights: Weights, inputs: Inputs, targets: Rates
) -> Scalar:
    r"""$\langle\sum_k y_k \log(y_k/\phi_k) - y_k + \phi_k\rangle$ over inputs, nat/s.

    With spike counts over the time in which they were counted as `targets` it is the
    negative log-likelihood of Poisson spikes per second, up to a constant; with rates
    of a teacher it is the KL divergence. `jax.grad` of it with respect to `weights` is
    backpropagation through the GLM. Raises `ValueError` unless `targets` are shaped
    like the rates.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, teacher, x = SpikingLayer(moments), jnp.ones((1, 1)), [[10.0]]
    >>> loss = lambda weights: layer_loss(layer, weights, x, layer.rates(teacher, x))
    >>> print(f"{abs(loss(teacher)):.3f}", bool(loss(0.9 * teacher) > 0))
    0.000 True
    """
    rates = layer.rates(weights, inputs)
    if targets.shape != rates.shape:
        raise ValueError(
            f"`targets` must be shaped like the rates {rates.shape}; got "
            f"{targets.shape}."
        )
    check_not_negative("targets", targets)
    least = jsp.special.xlogy(targets, targets) - targets
    return jnp.mean(jnp.sum(least - targets * jnp.log(rates) + rates, axis=1))


@floating
def layer_fisher(
    layer: SpikingLayer, weights: Weights, inputs: Inputs, damping: Scalar | float = 0.0
) -> Float[Array, "w w"]:
    r"""Fisher matrix of the outputs' law per second on a sample of inputs, exact.

    Dense, by automatic differentiation: the Gauss-Newton matrix in the logarithms of
    the rates, the natural parameters of Poisson spikes. Rows follow `weights.ravel()`.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, x = SpikingLayer(moments), jnp.asarray([[10.0]])
    >>> print(f"{layer_fisher(layer, jnp.ones((1, 1)), x)[0, 0]:.1f}")  # 7.5^2 / 50 x^2
    112.5
    """
    log_rates = lambda weights: jnp.log(layer.rates(weights, inputs))
    bend = lambda logs: jnp.mean(jnp.sum(jnp.exp(logs), axis=1))
    fisher = curvature.gauss_newton(log_rates, weights, bend)
    added = _floor(jnp.mean(coupling(layer, weights, inputs), axis=0), damping)
    b, variance = layer.moments.mean, layer.moments.variance
    return fisher + jnp.kron(added, jnp.diag(variance) + jnp.outer(b, b))


@floating
def coupling(
    layer: SpikingLayer, weights: Weights, inputs: Inputs
) -> Float[Array, "sample m m"]:
    r"""$B = J^\top \mathrm{diag}(F(o))\, J$ in Hz/mV$^2$ for every input.

    >>> moments = circuits.input_moments([10.0], circuits.SynapticKernel())
    >>> layer, x = SpikingLayer(moments), jnp.asarray([[10.0]])
    >>> print(f"{coupling(layer, jnp.ones((1, 1)), x)[0, 0, 0]:.3f}")  # 7.5^2 / 50
    1.125
    """

    def one(x: Vector) -> Float[Array, "m m"]:
        hidden = weights @ x
        density = fisher_density(layer.transfer, layer.voltage(weights, x))[0]
        if layer.readout is None:
            return jnp.diag(density)
        slope = jax.jvp(layer.transfer, (hidden,), (jnp.ones_like(hidden),))[1]
        jacobian = layer.readout * slope[None]
        return jacobian.T @ (density[:, None] * jacobian)

    return jax.vmap(one)(inputs)


def _floor(mean: Float[Array, "m m"], damping: Scalar | float) -> Array:
    r"""What damping adds to $E[B]$: a multiple of the identity."""
    return damping * jnp.trace(mean) / len(mean) * jnp.eye(len(mean), dtype=mean.dtype)
