"""Checks of closed forms beside the quantities that they predict."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array


class Check(NamedTuple):
    """A closed form beside the quantity that it predicts.

    `kind`: `exact` (an identity, to rounding), `expectation` (a mean over noise, to
    its standard error) or `simulation` (a run, to a stated tolerance). `error` is
    relative, or in standard errors where `kind` is `expectation`.
    """

    quantity: str
    source: str
    kind: str
    value: float
    reference: float
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is within tolerance; False for NaN."""
        return bool(self.error <= self.tolerance)


def exact(
    quantity: str, source: str, got: Any, want: Any, tolerance: float = 1e-10
) -> Check:
    """An identity: largest difference over the largest entry.

    Raises `ValueError` where `got` and `want` differ in shape or are empty; a single
    number as `want` is that of every entry.
    """
    a, b = np.asarray(got), np.asarray(want)
    if not a.size or b.shape not in (a.shape, ()):
        raise ValueError(
            f"'{quantity}' has shape {a.shape}, what it must be has shape {b.shape}."
        )
    a, b = np.ravel(a), np.ravel(b)
    with np.errstate(invalid="ignore"):  # of what is infinite: NaN, which never holds
        error = np.max(np.abs(a - b)) / max(float(np.max(np.abs(b))), 1e-300)
    value, reference = (float(np.linalg.norm(x)) for x in (a, b))
    return Check(quantity, source, "exact", value, reference, float(error), tolerance)


def expectation(quantity: str, source: str, samples: Array, want: Any) -> Check:
    """A mean over draws: distance in standard errors, at most 4.

    Too few draws to tell never hold: a standard error of more than 5 % of `want` (of
    the spread of the draws where `want` is 0), or of nothing. Raises `ValueError`
    unless the samples are a row.
    """
    if jnp.ndim(samples) != 1:
        shape = jnp.shape(samples)
        raise ValueError(f"'{quantity}' needs a row of samples; got shape {shape}.")
    want, mean, spread = float(want), float(jnp.mean(samples)), float(jnp.std(samples))
    error = spread / len(samples) ** 0.5
    told = error <= 0.05 * (abs(want) if want else spread) and error > 0
    distance = abs(mean - want) / error if told else math.inf
    return Check(quantity, source, "expectation", mean, want, distance, 4.0)


def simulated(
    quantity: str, source: str, got: Any, want: Any, tolerance: float
) -> Check:
    """A run against a law: relative distance, infinite where the law says 0."""
    got, want = float(got), float(want)
    error = abs(got / want - 1) if want else math.inf
    return Check(quantity, source, "simulation", got, want, error, tolerance)


def always(quantity: str, source: str, share: Any) -> Check:
    """A statement that must be true of every case: the share in which it is."""
    share = float(share)
    return Check(quantity, source, "exact", share, 1.0, abs(1.0 - share), 0.0)
