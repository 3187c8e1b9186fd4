"""What is enforced on synapses that are products of factors.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._factors import AbstractFactors, Factored, Product
from .._interfaces import AbstractProjection, real, require, Scalar


class Floored(AbstractProjection):
    """Factors at `floor` at least where `mask` (row, n) is one, zero where it is 0.

    `no_self_connections` makes the mask of a recurrent network.
    """

    mask: Float[Array, "row n"] = eqx.field(converter=real)
    floor: Scalar = eqx.field(default=1e-20, converter=real)

    def __check_init__(self) -> None:
        require(self, floor=(0.0, np.inf))

    def __call__(self, synapses: Factored) -> Factored:
        factors = jnp.maximum(synapses.factors, self.floor) * self.mask[None]
        return Factored(factors, synapses.threshold)


class Ordered(AbstractProjection):
    """The second factor never above the first: a signed power stays excitatory."""

    def __call__(self, synapses: Factored) -> Factored:
        plus, minus = synapses.factors
        factors = jnp.stack([plus, jnp.minimum(minus, plus)])
        return Factored(factors, synapses.threshold)


class Ceiling(AbstractProjection):
    """The first factor never above `most`: as a release probability, at 1."""

    most: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, most=(0.0, np.inf))

    def __call__(self, synapses: Factored) -> Factored:
        u = synapses.factors
        first = jnp.minimum(u[:1], self.most)
        return Factored(jnp.concatenate([first, u[1:]]), synapses.threshold)


class HomeostaticScaling(AbstractProjection):
    r"""Every neuron's factors scaled together until their squares sum to `target` $L$.

    `of` says whose: `joint` $\frac1z\sum_{jk}u_{jk}^2 = L$; `each` $\sum_ju_{jk}^2 = L$
    for every factor by itself; `weights` $\sum_jw_j^{2/z} = L$. All three have the same
    optimum. Weights are scaled by the factors' scale to the power of z; the threshold
    is not. A neuron without synapses keeps none.
    """

    target: Scalar = eqx.field(converter=real)
    parametrisation: AbstractFactors = Product()
    of: str = eqx.field(default="joint", static=True)

    def __check_init__(self) -> None:
        require(self, target=(1e-12, np.inf))
        if self.of not in ("joint", "each", "weights"):
            raise ValueError(
                f"`of` must be 'joint', 'each' or 'weights'; got '{self.of}'."
            )

    def __call__(self, synapses: Factored) -> Factored:
        u = synapses.factors
        if self.of == "joint":
            size = self.parametrisation.squares(u)[None]
        elif self.of == "each":
            size = jnp.sum(u**2, axis=2)
        else:
            w = self.parametrisation.weights(u)
            size = jnp.sum(w ** (2 / self.parametrisation.order(u)), axis=1)[None]
        some = size > 0
        scale = jnp.where(some, jnp.sqrt(self.target / jnp.where(some, size, 1.0)), 0.0)
        return Factored(u * scale[:, :, None], synapses.threshold)


class RandomPatternThreshold(AbstractProjection):
    r"""Inhibition at which a random pattern activates the neuron with probability $f$.

    $I = f\sum_jw_j + \sqrt{2f(1-f)\sum_jw_j^2}\,\mathrm{erf}^{-1}(1-2f)$ with the
    `coding_level` $f$: inputs active independently, many of them.
    """

    coding_level: Scalar = eqx.field(converter=real)
    parametrisation: AbstractFactors = Product()

    def __check_init__(self) -> None:
        require(self, coding_level=(1e-6, 1 - 1e-6))

    def __call__(self, synapses: Factored) -> Factored:
        f = self.coding_level
        w = self.parametrisation.weights(synapses.factors)
        spread = jnp.sqrt(2 * f * (1 - f) * jnp.sum(w**2, axis=1))
        away = jax.lax.erf_inv(1 - 2 * f)
        return Factored(synapses.factors, f * jnp.sum(w, axis=1) + spread * away)


class MidpointThreshold(AbstractProjection):
    """Inhibition midway between the fields next to it: best for the present weights.

    `patterns` (n, pattern) are those whose fields count, `stored` marks which. A neuron
    with all fields on one side keeps its threshold. It is the optimal threshold once
    the present one separates the neuron's active patterns from the others.
    """

    patterns: Float[Array, "n pattern"] = eqx.field(converter=real)
    stored: Array | None = None
    parametrisation: AbstractFactors = Product()

    def __call__(self, synapses: Factored) -> Factored:
        fields = self.parametrisation.weights(synapses.factors) @ self.patterns
        threshold = synapses.threshold
        counts = jnp.ones(fields.shape[1], bool) if self.stored is None else self.stored
        above = (fields > threshold[:, None]) & counts[None]
        below = (fields <= threshold[:, None]) & counts[None]
        least = jnp.min(jnp.where(above, fields, jnp.inf), axis=1)
        most = jnp.max(jnp.where(below, fields, -jnp.inf), axis=1)
        between = jnp.isfinite(least) & jnp.isfinite(most)
        middle = (jnp.where(between, least, 0.0) + jnp.where(between, most, 0.0)) / 2
        return Factored(synapses.factors, jnp.where(between, middle, threshold))


def no_self_connections(rows: int, n: int) -> Float[Array, "row n"]:
    """Ones, but zeros where a neuron would connect to itself."""
    if not 1 <= rows <= n:
        raise ValueError(f"`rows` must lie between 1 and {n} neurons; got {rows}.")
    return 1 - jnp.eye(rows, n)
