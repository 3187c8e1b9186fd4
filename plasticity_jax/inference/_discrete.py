r"""Expectations over independent binary draws, and their derivatives.

Release or not, spike or not: the entries of a mask $r$, a tree of arrays, are 1 with
probabilities $p$, a tree alike, else 0. `value(mask)` is any function of it. Three ways
to the slopes of $\mathrm E_r[f(r)]$, along $p$ and along whatever $f$ reads besides:

- `expectation`, all $2^n$ masks: exact, and differentiable as it is;
- `scored_expectation`, draws and their scores: no bias, a variance that grows with $n$;
- `relaxed_expectation`, masks between 0 and 1: a small variance, and a bias.

The last two are estimates from one key; `over_keys` gives their standard error.
"""

from collections.abc import Callable
from typing import Any, SupportsIndex, TypeVar

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from .._arguments import check_takes, positive, whole
from .._arguments import probability as unit_interval
from .._interfaces import Scalar
from ..curvature import Estimate


Value = Callable[[Any], PyTree]
T = TypeVar("T")
Masks = Float[Array, "draw n"]

MOST = 20  # draws whose outcomes are listed
BLOCK = 2**8  # outcomes at once


def expectation(value: Value, probability: PyTree) -> PyTree:
    r"""$\mathrm E_r[f(r)]$ over all $2^n$ masks, exact.

    A tree of arrays, as `value` returns. What is not finite counts nothing at a mask
    that cannot be. Raises `ValueError` for more than 20 entries, and for probabilities
    outside [0, 1]; NaN where these are traced.

    >>> both = lambda mask: mask[0] * mask[1]
    >>> p = jnp.asarray([0.2, 0.5])
    >>> print(expectation(both, p), jax.grad(lambda p: expectation(both, p))(p))
    0.1 [0.5 0.2]
    """
    p, unravel = _flat(value, probability)
    if p.size > MOST:
        raise ValueError(
            f"`probability` must have at most {MOST} entries, to list all outcomes; "
            f"got {p.size}."
        )
    listed = jax.vmap(lambda mask: _floats(value(unravel(mask)), p))
    size = min(BLOCK, 2**p.size)

    @jax.checkpoint
    def block(total: Any, start: Array) -> tuple[Any, None]:
        codes = start + jnp.arange(size, dtype=jnp.int32)
        released = (codes[:, None] >> jnp.arange(p.size, dtype=jnp.int32)[None]) & 1 > 0
        chances = jnp.prod(jnp.where(released, p[None], 1 - p[None]), axis=1)

        def add(total: Array, values: Array) -> Array:
            chance = chances.astype(values.dtype)
            never = jnp.reshape(chance == 0, (-1, *(1,) * (values.ndim - 1)))
            known = jnp.where(never & ~jnp.isfinite(values), 0.0, values)
            return total + jnp.tensordot(chance, known, 1)

        return jax.tree.map(add, total, listed(released.astype(p.dtype))), None

    shape = jax.eval_shape(listed, jax.ShapeDtypeStruct((1, p.size), p.dtype))
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape[1:], x.dtype), shape)
    starts = jnp.arange(0, 2**p.size, size, dtype=jnp.int32)
    return jax.lax.scan(block, nothing, starts)[0]


def scored_expectation(
    value: Value,
    probability: PyTree,
    key: Key[Array, ""],
    *,
    samples: SupportsIndex = 100,
    baseline: bool = True,
) -> PyTree:
    r"""The mean of $f$ over `samples` draws; its derivative has the right mean.

    The score function: $\nabla\mathrm E f = \mathrm E[\nabla f + (f - b)\nabla\log
    P(r)]$ (Williams 1992, doi 10.1007/BF00992696), where $b$ is the mean of $f$ over
    the other draws (leave one out; Kool, van Hoof & Welling 2019), or 0 without
    `baseline`. Any $f$ will do, steps among them. An entry whose probability is 0 or 1
    counts as a constant. Reverse mode, and first derivatives only. Raises `ValueError`
    as `expectation`, and for fewer than two samples with a baseline.

    >>> step, p = lambda mask: mask[0] > 0.5, jnp.asarray([0.5])
    >>> mean = lambda p: scored_expectation(step, p, jr.key(0))
    >>> print(f"{jax.grad(mean)(p)[0]:.1f}")  # of E[r] = p
    1.0
    """
    p, unravel = _flat(value, probability)
    count = whole("samples", samples, 2 if baseline else 1)
    draws = jr.uniform(key, (count, p.size), p.dtype) < p[None]
    masks = jnp.where(jnp.isnan(p)[None], jnp.nan, draws.astype(p.dtype))
    return scored(lambda mask: value(unravel(mask)), p, masks, baseline)


def scored(
    value: Value, p: Float[Array, " n"], masks: Masks, baseline: bool = True
) -> PyTree:
    """The mean of `value` over given masks, with the derivative of their scores."""
    sure = (p == 0) | (p == 1)
    open_p = jnp.where(sure, 0.5, p)[None]
    logs = jnp.where(masks > 0, jnp.log(open_p), jnp.log1p(-open_p))
    score = jnp.sum(jnp.where(sure[None], 0.0, logs), axis=1)
    score = score - jax.lax.stop_gradient(score)  # 0, with a slope

    def mean(values: Array) -> Array:
        surprise = values
        if baseline:
            rest = values - jnp.mean(values, axis=0, keepdims=True)
            surprise = rest * (len(values) / (len(values) - 1))
        along = score.astype(values.dtype).reshape(-1, *(1,) * (values.ndim - 1))
        return jnp.mean(values + jax.lax.stop_gradient(surprise) * along, axis=0)

    return jax.tree.map(mean, jax.vmap(lambda mask: _floats(value(mask), p))(masks))


def relaxed_expectation(
    value: Value,
    probability: PyTree,
    key: Key[Array, ""],
    *,
    samples: SupportsIndex = 100,
    temperature: Scalar | float = 0.5,
    hard: bool = False,
) -> PyTree:
    """The mean of $f$ over `samples` masks from `relaxed_masks`, with its derivative.

    Biased, in value unless `hard` and in slope, by as much as $f$ between 0 and 1
    differs from a line through its ends: compare with `expectation` on a part of the
    network that is small enough.

    >>> first, p = lambda mask: mask[0], jnp.asarray([0.5])
    >>> mean = relaxed_expectation(first, p, jr.key(0), samples=1000)
    >>> print(f"{mean:.1f}")  # without bias, by symmetry
    0.5
    """
    count = whole("samples", samples, 1)
    _flat(value, probability)
    draw = lambda key: relaxed_masks(probability, key, temperature, hard=hard)
    values = jax.vmap(lambda key: value(draw(key)))(jr.split(key, count))
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), values)


def relaxed_masks(
    probability: PyTree,
    key: Key[Array, ""],
    temperature: Scalar | float = 0.5,
    *,
    hard: bool = False,
) -> PyTree:
    r"""$\sigma((\mathrm{logit}\,p + \Lambda)/T)$, $\Lambda$ logistic: soft masks.

    The binary concrete distribution (Maddison, Mnih & Teh 2017; Jang, Gu & Poole 2017),
    a Gumbel-softmax of two outcomes: above 1/2 with probability $p$, and a mask as $T
    \to 0$. The bias of a slope falls as $T$, as $T^2$ where $f$ is linear in each
    entry, and its variance rises as $1/T$. `hard` masks are 0 or 1, with the slope of
    soft ones (straight-through; Bengio, Léonard & Courville 2013), whose bias stays: as
    $T \to 0$ an entry's slope is that of $f$ at 0 and at 1, averaged. A probability of
    0 or 1 gives a constant. Raises `ValueError` unless the temperature is positive, and
    as `expectation`.

    >>> p = jnp.asarray([0.0, 1.0, 0.5])
    >>> soft = relaxed_masks(p, jr.key(0))
    >>> soft[:2].tolist(), bool(0 < soft[2] < 1)
    ([0.0, 1.0], True)
    """
    p, unravel = _flat(None, probability)
    noise = jr.logistic(key, p.shape, p.dtype)
    return unravel(relaxed(p, noise, temperature, hard))


def relaxed(
    p: Float[Array, "*shape"], noise: Array, temperature: Any, hard: bool = False
) -> Float[Array, "*shape"]:
    """Relaxed masks at a given noise."""
    temperature = positive("temperature", jnp.asarray(temperature, p.dtype))
    sure = (p == 0) | (p == 1)
    field = jax.scipy.special.logit(jnp.where(sure, 0.5, p)) + noise
    soft = jnp.where(sure, p, jax.nn.sigmoid(field / temperature))
    if not hard:
        return soft
    known = jnp.where(jnp.isnan(soft), soft, (soft > 0.5).astype(p.dtype))
    return jax.lax.stop_gradient(known) + (soft - jax.lax.stop_gradient(soft))


def over_keys(
    function: Callable[[Key[Array, ""]], PyTree], keys: Key[Array, " draw"]
) -> Estimate:
    """The mean of `function(key)` over keys and its standard error, trees alike.

    Raises `ValueError` for fewer than two keys.

    >>> found = over_keys(numerics.normal, jr.split(jr.key(0), 400))
    >>> bool(abs(found.value) < 4 * found.standard_error)
    True
    >>> print(f"{found.standard_error:.2f}")  # 1 / sqrt(400)
    0.05
    """
    check_takes("function", function, "key")
    count = whole("number of keys", len(keys), 2)
    values = jax.vmap(function)(keys)
    mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), values)
    error = lambda x: jnp.std(x, axis=0, ddof=1) / count**0.5
    return Estimate(mean, jax.tree.map(error, values))


def _flat(
    value: Value | None, probability: PyTree
) -> tuple[Float[Array, " n"], Callable[[Array], Any]]:
    """All probabilities in a row, checked, and the way back to their tree."""
    if value is not None:
        check_takes("value", value, "mask")
    leaves, shape = jax.tree.flatten(probability)
    if not leaves:
        raise ValueError("`probability` must hold an array; got an empty tree.")
    arrays = [jnp.asarray(x) for x in leaves]
    kinds = {jnp.result_type(x) for x in arrays}
    if len(kinds) > 1 or not jnp.issubdtype(kinds.pop(), jnp.inexact):
        raise ValueError(
            "`probability` must hold floating-point arrays of one precision; got "
            f"{', '.join(str(x.dtype) for x in arrays)}."
        )
    p, unravel = ravel_pytree(jax.tree.unflatten(shape, arrays))
    return unit_interval("probability", p), unravel


def _floats(values: PyTree, p: Array) -> PyTree:
    """Counts and truth values as numbers that can be averaged."""
    inexact = lambda x: jnp.issubdtype(jnp.result_type(x), jnp.inexact)
    return jax.tree.map(
        lambda x: jnp.asarray(x) if inexact(x) else jnp.asarray(x, p.dtype), values
    )
