"""Constants and metrics of a neuron that knows more, or less, of its inputs.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from .... import Scalar
from ....experiment import Check, exact, together
from ....rules import uniform_constant
from ..config import Config
from ..mean_field import divergence_curve


def metric_checks() -> Iterator[Check]:
    """All of them; run them in double precision."""
    yield from _constant_checks()


@together
def _constant_checks() -> Iterator[Check]:
    """The constant of the approximate rule that leaves the least error."""
    config = Config(size=10)
    q = jnp.sum(config.rates) * config.area**2 / config.kernel.energy

    def settled(uniform: Scalar) -> Scalar:
        here = dataclasses.replace(config, uniform=uniform)
        return divergence_curve(here, "approximate", jnp.asarray([1e9]))[0]

    floor, slope = jax.value_and_grad(settled)(uniform_constant(q))
    says = "slope of the settled error by c_u is zero at the best"
    yield exact(says, "T4, T9", 1 + slope / floor, 1.0)
    gap = 1 - uniform_constant(q)
    share = (config.size - 1) + 2 * gap * (1 + q)
    want = config.approximate_rate * 5e-4 / 4 * share
    yield exact("error that it leaves", "T9", floor, want)
