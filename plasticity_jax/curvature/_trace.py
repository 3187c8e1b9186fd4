"""Traces, exact or estimated from random probes."""

from typing import NamedTuple, SupportsIndex

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._arguments import floating, one_of, whole
from .._interfaces import Scalar
from ..numerics import root
from ._flat import by_block, FlatOperator, flatten, frozen, Operator, to_diagonal


METHODS = ("exact", "hutchinson", "hutch++")


class Estimate(NamedTuple):
    """A number and its standard error, which is 0 if the number is exact.

    >>> found = trace(jnp.diag(jnp.arange(4.0)), method="hutchinson", key=jr.key(0))
    >>> print(f"{found.value:.3f} {found.standard_error:.3f}")
    6.000 0.000
    """

    value: Scalar
    standard_error: Scalar


@floating
def trace(
    operator: Operator,
    *,
    method: str = "exact",
    samples: SupportsIndex = 30,
    key: Key[Array, ""] | None = None,
) -> Estimate:
    r"""The trace of a lineax operator or of a matrix.

    - `"exact"`: the sum of the diagonal; one product per weight, in blocks.
    - `"hutchinson"`: mean of $z^\top A z$ over `samples` random signs $z$ (Hutchinson
      1990), with the standard error of that mean.
    - `"hutch++"`: `samples` products: a third find the dominant subspace, a third take
      its trace exactly, a third are Hutchinson probes of what is left (Meyer et al.
      2021, Algorithm 1). Given the subspace the first part has no error, so the
      standard error is that of the mean over the residual probes. For symmetric
      matrices with few large eigenvalues it is far smaller than Hutchinson's.

    Raises `ValueError` for another method, or for random probes without a key.

    >>> print(trace(jnp.array([[2.0, 1.0], [1.0, 2.0]])).value)
    4.0
    """
    one_of("method", method, METHODS)
    if method == "exact":
        value = jnp.sum(to_diagonal(operator))
        return Estimate(value, jnp.where(jnp.isnan(value), value, 0))
    if key is None:
        raise ValueError(f"`method={method!r}` needs `key`; got None.")
    if method == "hutch++":
        return _hutch_plus_plus(operator, whole("samples", samples, 6), key)
    flat, count = flatten(operator), whole("samples", samples, 2)
    return _mean(flat, jr.rademacher(key, (count, flat.size), flat.dtype))


def _hutch_plus_plus(operator: Operator, samples: int, key: Key[Array, ""]) -> Estimate:
    flat, still = flatten(operator), flatten(frozen(operator))
    for_sketch, for_probes = jr.split(key)
    rank = samples // 3
    if rank > flat.size:
        raise ValueError(
            f"`samples` must be at most three times the size of `operator`, "
            f"{3 * flat.size}; got {samples}."
        )
    sketch = jr.rademacher(for_sketch, (rank, flat.size), flat.dtype)
    # The estimate is unbiased for any subspace, so the subspace needs no gradient (and
    # that of a QR factorisation would be NaN where the operator's rank is low).
    subspace = jnp.linalg.qr(by_block(still.product, sketch).T)[0].T
    known = jnp.vdot(subspace, by_block(flat.product, subspace))
    probes = jr.rademacher(for_probes, (samples - 2 * rank, flat.size), flat.dtype)
    probes = probes - (probes @ subspace.T) @ subspace
    rest = _mean(flat, probes)
    return Estimate(known + rest.value, rest.standard_error)


def _mean(flat: FlatOperator, probes: Float[Array, "sample w"]) -> Estimate:
    r"""Mean of $z^\top A z$; no error has a zero (not NaN) gradient."""
    values = by_block(lambda z: jnp.vdot(z, flat.product(z)), probes)
    variance = jnp.var(values, ddof=1) / len(values)
    return Estimate(jnp.mean(values), root(variance))
