"""A spiking neuron that learns the law of its inputs while it learns from a teacher."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import real, require, whole
from .._interfaces import AbstractRule, AbstractTrace, Scalar
from ..curvature import glm_coefficients, voltage_moments
from ..curvature._transfer import check_transfer, Sigmoid, Transfer
from ..signals import InputMoments, SpikingSignals
from ..traces import LowPass


Vector = Float[Array, " n"]
SOME = (1e-12, np.inf)


def potentials_of(signals: SpikingSignals) -> Vector:
    """$x$."""
    return signals.potentials


def squares_of(signals: SpikingSignals) -> Vector:
    """$x^2$."""
    return signals.potentials**2


class SelfEstimated(AbstractRule):
    r"""`rule` with moments that the neuron estimates itself, from running means.

    Mean and variance of every synaptic potential are those of $x$ and $x^2$ over the
    last `time` s; $\mu_v$, $\sigma_v^2$, $q$ and the coefficients of the Fisher matrix
    follow from them at every step. Before the first input all potentials count as
    `mean` (mV) and `variance` (mV$^2$). The third cumulant keeps its ratio to the
    variance, which the kernel knows. Changes are NaN where `nodes` of quadrature are
    too few. Times below some tenths of a second follow single spikes.

    Derived beyond Kreutzer et al. 2022, whose neuron is told its rates.
    Reads `potentials`, `weights`, `moments` (that ratio) and what its rule reads.
    Synapses (n,).

    >>> rule = SelfEstimated(NaturalGradient(1e-3), 10.0, mean=20.0, variance=770.0)
    >>> {name: float(trace.first) for name, trace in rule.traces().items()}
    {'mean': 20.0, 'square': 1170.0}
    """

    rule: AbstractRule
    time: Scalar = eqx.field(converter=real)
    mean: Scalar = eqx.field(default=20.0, converter=real)
    variance: Scalar = eqx.field(default=770.0, converter=real)
    transfer: Transfer = eqx.field(default_factory=Sigmoid)
    nodes: int = eqx.field(default=49, static=True)

    def __check_init__(self) -> None:
        require(self, time=SOME, variance=SOME, mean=(-1e30, 1e30))
        whole("nodes", self.nodes, 9)
        check_transfer(self.transfer)

    def check(self, circuit: Any) -> None:
        self.rule.check(circuit)

    def traces(self) -> dict[str, AbstractTrace]:
        square = self.variance + self.mean**2
        own: dict[str, AbstractTrace] = {
            "mean": LowPass(self.time, potentials_of, self.mean, early=True),
            "square": LowPass(self.time, squares_of, square, early=True),
        }
        return self._with_held(own)

    def moments(self, signals: SpikingSignals) -> InputMoments:
        """The moments as the neuron estimates them."""
        mean, square = (signals.traces[name] for name in ("mean", "square"))
        least = jnp.finfo(square.dtype).eps * square
        variance = jnp.maximum(square - mean**2, least)
        told = signals.moments
        third = variance * told.third / told.variance
        return InputMoments(mean, variance, third, jnp.ones_like(mean))

    def __call__(
        self, synapses: Vector, signals: SpikingSignals, key: Key[Array, ""]
    ) -> Vector:
        own = self.moments(signals)
        seen = voltage_moments(signals.weights, own.mean, own.variance)
        known = glm_coefficients(self.transfer, *seen, nodes=self.nodes)
        read = dataclasses.replace(signals, moments=own, coefficients=known)
        return self.rule(synapses, read, key)
