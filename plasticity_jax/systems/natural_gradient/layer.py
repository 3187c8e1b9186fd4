r"""A layer of spiking GLM neurons, and natural gradients of it at a cost linear in $n$.

Inputs $x$ (synaptic potentials, mV) drive $m$ hidden units with rates $\phi(u)$, $u =
Wx$; outputs spike at rates $\phi(o)$, $o = V\phi(u)$. The hidden weights $W$ learn by
backpropagation from the spikes that the outputs should have fired. A hidden unit acts
through its rate: it stands for many neurons alike, so that the potential which it
evokes is the mean one, $\epsilon_0$ times its rate (Kreutzer et al. 2022, Eq. 29).

The Fisher matrix of the outputs' law is $G = E[B \otimes xx^\top]$ per second, $B =
J^\top \mathrm{diag}(F(o))\, J$ with the outputs' density $F = \phi'^2/\phi$ and $J =
\partial o/\partial u$. What makes a closed form of it, or nearly:

- `whole_direction`: nothing is left out. For Gaussian inputs Eq. 34 generalises to a
  Kronecker product plus a matrix of low rank;
- `unitwise_direction`: no coupling between units; each has its own inverse by Eq. 37;
- `kfac_direction`: no dependence of $B$ on $x$, so $E[B] \otimes E[xx^\top]$ (Martens &
  Grosse 2015): $c_1$ of Eq. 34 without $c_2$ and $c_3$, but with the coupling.

`damping` adds $\lambda\, \mathrm{tr}E[B]/m$ to the diagonal of $B$ in all of them: a
price on moving the potentials of the units, without which one that has fallen silent
takes steps without bound. Derived; not in the paper.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.scipy as jsp
from jaxtyping import Array, Float, Key

from ... import curvature, Scalar
from ..._arguments import check_bins, check_not_negative, concrete, floating, whole
from ...circuits import Sigmoid, SynapticKernel, Transfer
from ...curvature import fisher_density, voltage_moments
from ...numerics import normal, ratio
from ...signals import InputMoments
from ...tasks import spike_counts


Vector = Float[Array, " n"]
Weights = Float[Array, "m n"]
Inputs = Float[Array, "sample n"]
Rates = Float[Array, "sample k"]
NODES = 81  # of quadrature, by default
BIN, BINS = 5e-4, 240  # s; a spike 0.12 s ago has left e^-12 of its potential


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
    backpropagation through the GLM.

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


# --- directions ---------------------------------------------------------------------


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


# --- inputs -------------------------------------------------------------------------


def gaussian_inputs(moments: InputMoments, count: int, key: Key[Array, ""]) -> Inputs:
    """Independent synaptic potentials in mV with these means and variances.

    >>> moments = circuits.input_moments([10.0, 50.0], circuits.SynapticKernel())
    >>> inputs = gaussian_inputs(moments, 5000, jr.key(0))
    >>> error = jnp.sqrt(moments.variance / 5000)
    >>> inputs.shape, bool((abs(inputs.mean(axis=0) - moments.mean) < 4 * error).all())
    ((5000, 2), True)
    """
    shape = (count, *moments.mean.shape)
    noise = normal(key, shape, moments.mean.dtype)
    return moments.mean[None] + jnp.sqrt(moments.variance)[None] * noise


@floating
def poisson_inputs(
    rates: Vector, kernel: SynapticKernel, count: int, key: Key[Array, ""]
) -> Inputs:
    """Stationary synaptic potentials in mV of Poisson spikes at `rates` (Hz).

    >>> inputs = poisson_inputs([0.0, 50.0], circuits.SynapticKernel(), 500, jr.key(0))
    >>> error = (50 * 38.5 / 500) ** 0.5  # of the mean, 50 mV
    >>> float(inputs[:, 0].max()), bool(abs(inputs[:, 1].mean() - 50) < 4 * error)
    (0.0, True)
    """
    check_bins(rates, BIN, "rates")

    def with_bin(potentials: Inputs, number: Array) -> tuple[Inputs, None]:
        age = BIN * (number.astype(rates.dtype) + 0.5)
        shape, for_bin = potentials.shape, jr.fold_in(key, number)
        spikes = spike_counts(for_bin, rates * BIN, shape, "poisson")
        return potentials + kernel(age) * spikes, None

    still = jnp.zeros((count, *rates.shape), rates.dtype)
    return jax.lax.scan(with_bin, still, jnp.arange(BINS))[0]
