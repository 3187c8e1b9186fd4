"""Spike trains, Poisson or Bernoulli."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._arguments import check_bins, one_of, optional, real, require, whole
from .._interfaces import AbstractTask, Scalar
from .._random import check_fires, LAWS, spike_counts


Law = Literal["bernoulli", "poisson"]


class Spikes(NamedTuple):
    """Spike counts of one step: `inputs` (substep, n), `target` of a teacher or `None`.

    With a `target` the neuron has a teacher that does not see its inputs.

    >>> task = SpikeTrains(jnp.array([0.0, 2.0]), dt=0.5, target_rate=2.0)
    >>> spikes = task(jnp.array(0), jr.key(0))
    >>> spikes.inputs.tolist(), float(spikes.target)
    ([[0.0, 1.0]], 1.0)
    """

    inputs: Float[Array, "substep n"]
    target: Scalar | None


class SpikeTrains(AbstractTask):
    r"""Independent spike trains at fixed `rates` (Hz) in steps of `dt` (s).

    `law`: a Bernoulli variable or a Poisson count per bin. Each step holds `substeps`
    bins. With `target_rate` an independent teacher's spikes come along, one count per
    step. `half_words` draws Bernoulli inputs from 16 random bits: twice as fast, each
    probability rounded to a multiple of $2^{-16}$ (at most 0.8 % off at $10^{-3}$).

    Raises `ValueError` for rates that expect more than one spike in a bin, and with
    `half_words` for those that would never fire; where rates are traced such trains are
    NaN.

    >>> task = SpikeTrains(jnp.array([0.0, 8.0]), dt=0.5, substeps=4)
    >>> task(jnp.array(0), jr.key(0)).inputs.tolist()  # 8 Hz are one in every bin
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """

    rates: Float[Array, " n"] = eqx.field(converter=real)
    dt: Scalar = eqx.field(converter=real)
    target_rate: Scalar | None = eqx.field(default=None, converter=optional)
    law: Law = eqx.field(default="bernoulli", static=True)
    substeps: int = eqx.field(default=1, static=True)
    half_words: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        one_of("law", self.law, LAWS)
        whole("substeps", self.substeps, 1)
        if self.half_words and self.law != "bernoulli":
            raise ValueError("`half_words` are for `law='bernoulli'` only.")
        if self.rates.ndim != 1:
            raise ValueError(
                f"`rates` must be a vector, one per input; got {self.rates.shape}."
            )
        require(self, rates=(0.0, np.inf), dt=(1e-9, np.inf))
        check_bins(self.rates, self.dt / self.substeps, "rates")
        if self.half_words:
            check_fires("rates x dt / substeps", self.rates * self.dt / self.substeps)
        if self.target_rate is not None:
            if self.target_rate.ndim:
                raise ValueError(
                    f"`target_rate` must be one number; got {self.target_rate.shape}."
                )
            require(self, target_rate=(0.0, np.inf))
            check_bins(self.target_rate, self.dt, "target_rate")

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Spikes:
        for_inputs, for_target = jr.split(key)
        mean = self.rates * self.dt / self.substeps
        shape = (self.substeps, *self.rates.shape)
        words = 16 if self.half_words else 32
        inputs = spike_counts(for_inputs, mean, shape, self.law, words)
        if self.target_rate is None:
            return Spikes(inputs, None)
        mean = self.target_rate * self.dt
        return Spikes(inputs, spike_counts(for_target, mean, (), self.law))
