"""Numbers that anyone can repeat, and rules by themselves."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from .. import AbstractRule
from ..circuits import Layer


KEY = jr.key(0)


def uniform(
    shape: tuple[int, ...], seed: int, low: float = -1.0, high: float = 1.0
) -> Array:
    """Row by row: s becomes 1664525 s + 1013904223 modulo 2**32, over 2**32."""
    drawn = []
    for _ in range(int(np.prod(shape))):
        seed = (1664525 * seed + 1013904223) % 2**32
        drawn.append(low + (high - low) * seed / 2**32)
    return jnp.asarray(np.reshape(drawn, shape))


def signs(shape: tuple[int, ...], seed: int) -> Array:
    """-1 where such a number between 0 and 1 is below a half, else 1."""
    return jnp.where(uniform(shape, seed, 0.0) < 0.5, -1.0, 1.0)


def orthogonal(size: int, seed: int) -> Array:
    """The orthogonal factor of a square of such numbers."""
    return jnp.linalg.qr(uniform((size, size), seed))[0]


def change(
    rule: AbstractRule, weights: Array, stimulus: Any, traces: Any = None
) -> Array:
    """One change of a rule on a linear layer."""
    _, signals = Layer()(None, weights, stimulus, KEY)
    return rule(weights, dataclasses.replace(signals, traces=traces or {}), KEY)


def drift(
    rule: AbstractRule, weights: Array, stimuli: Any, traces: Any = None
) -> Array:
    """The mean change over a finite set of stimuli."""
    each = lambda stimulus: change(rule, weights, stimulus, traces)
    return jnp.mean(jax.vmap(each)(stimuli), axis=0)


def inputs_of(moment: Array) -> Array:
    """Inputs, as rows, whose mean square is a given matrix."""
    values, vectors = jnp.linalg.eigh(moment)
    return jnp.sqrt(len(values) * values)[:, None] * vectors.T


def rates_at(flow: Any, point: Array) -> Array:
    """Eigenvalues of a flow's Jacobian, in rising order."""
    matrix = jax.jacobian(flow)(point).reshape(point.size, point.size)
    return jnp.sort(jnp.linalg.eigvals(matrix).real)
