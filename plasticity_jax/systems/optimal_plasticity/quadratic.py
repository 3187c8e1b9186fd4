"""A linear network of known spectrum, for experiments on the laws of the long run."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ... import AbstractConfig, Scalar
from ..._arguments import real, require, whole
from .config import Config


class Quadratic(AbstractConfig):
    """Inputs whose second moment has the eigenvalues of a geometric row, mean 1.

    Fluctuations have length 1: errors are in units of their square.

    >>> here = Quadratic(condition=9.0, sizes=(2, 1))
    >>> print(*(f"{x:.1f}" for x in here.moments))  # 1 to 9, mean 1
    0.2 1.8
    """

    condition: Scalar = eqx.field(default=25.0, converter=real)  # largest/smallest
    ratio: Scalar = eqx.field(default=1.0, converter=real)  # |compensation|/|noise|
    corruption: Scalar = eqx.field(default=0.0, converter=real)  # noise/gradient in it
    probe_size: Scalar = eqx.field(default=1.0, converter=real)  # in |compensation|
    release: Scalar = eqx.field(default=0.3, converter=real)  # mean probability
    rule: str = eqx.field(default="noisy_gradient", static=True)
    sizes: tuple[int, ...] = eqx.field(default=(12, 10), static=True)
    steps: int = eqx.field(default=8000, static=True)
    window: int = eqx.field(default=6000, static=True)  # final steps averaged

    def __check_init__(self) -> None:
        require(self, condition=(1.0, math.inf), ratio=(0.0, math.inf))
        require(self, corruption=(0.0, math.inf), probe_size=(0.0, math.inf))
        require(self, release=(0.01, 1.0))
        whole("window", self.window, 1)
        self.network()  # its own checks

    @property
    def moments(self) -> Float[Array, " feature"]:
        """Eigenvalues of the inputs' second moment."""
        place = jnp.linspace(-0.5, 0.5, self.sizes[0])
        values = self.condition**place
        return values / jnp.mean(values)

    @property
    def spectrum(self) -> Float[Array, " w"]:
        """Eigenvalues of the Hessian, in the order of the weights, which it leaves."""
        return jnp.tile(2 * self.moments / self.sizes[1], self.sizes[1])

    def network(self, **changes: Any) -> Config:
        """The linear network, with other settings."""
        settings = {
            "sizes": self.sizes,
            "second_moment": jnp.diag(self.moments),
            "fluctuation_size": 1 / np.sqrt(np.prod(self.sizes)),
            "rule": self.rule,
            "ratio": self.ratio,
            "corruption": self.corruption,
            "steps": self.steps,
            "window": self.window,
        }
        return Config(**{**settings, **changes})
