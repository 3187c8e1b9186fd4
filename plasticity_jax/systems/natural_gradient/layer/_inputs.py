"""Synaptic potentials that the layer sees."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from ...._arguments import check_bins, floating
from ....circuits import SynapticKernel
from ....numerics import normal
from ....signals import InputMoments
from ....tasks import spike_counts
from ._network import Inputs, Vector


BIN, BINS = 5e-4, 240  # s; a spike 0.12 s ago has left e^-12 of its potential


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
