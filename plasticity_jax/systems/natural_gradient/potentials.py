"""Stationary synaptic potentials of Poisson inputs, without simulating in time."""

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from ..._arguments import check_bins, floating, whole
from ...circuits import SynapticKernel
from ...numerics import unrolled
from ...tasks import spike_counts


BIN = 5e-4  # s
MEMORY = 0.25  # s of input that a potential remembers


@floating
def stationary_potentials(
    rates: Float[Array, " n"], kernel: SynapticKernel, samples: int, key: Key[Array, ""]
) -> Float[Array, "samples n"]:
    r"""Independent draws of the unweighted potentials $x$ (mV).

    Each is the sum of `kernel` over Bernoulli spikes of the last 250 ms in bins of
    0.5 ms, as a run leaves them: mean and variance are 0.99931 and $1 - r\,dt$ of their
    limits for short bins. Raises `ValueError` for rates above one spike in a bin;
    traced ones pass and give NaN.

    >>> kernel = circuits.SynapticKernel()
    >>> x = stationary_potentials([0.0, 50.0], kernel, 200, jr.key(0))
    >>> error = (50 * 38.5 / 200) ** 0.5  # of the mean, 50 mV
    >>> float(x[:, 0].max()), bool(abs(x[:, 1].mean() - 50) < 4 * error)
    (0.0, True)
    """
    whole("samples", samples, 1)
    check_bins(rates, BIN, "rates")
    bins = round(MEMORY / BIN)
    ages = BIN * jnp.arange(1, bins + 1, dtype=rates.dtype)
    weights = kernel(ages)

    def draw(key: Key[Array, ""]) -> Float[Array, " n"]:
        shape = (bins, *rates.shape)
        spikes = spike_counts(key, rates * BIN, shape, "bernoulli")
        return jnp.sum(weights[:, None] * spikes, axis=0)

    return jax.lax.map(draw, jr.split(unrolled(key), samples))
