r"""The likelihood of diffusions seen with noise, through a running mean: Kalman.

The state of a synapse is its coordinate $x$ and its last $m$ readings $r = x + e$, in
any order; what is recorded is their mean, $m$ being the window. Exact where transitions
are Gaussian, linear and of constant variance, and so is the noise; else the extended
filter, which makes all laws Gaussian. All arrays have the synapses last.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .._interfaces import Scalar


Each = Float[Array, " synapse"]
Values = Float[Array, "time synapse"]


class Model(NamedTuple):
    """What the filter asks.

    `move(mean, variance, prepare(dt))` is the mean after `dt`, its slope by the mean
    before, and the variance; `noise(x)` is the variance of a reading, `prior` mean and
    variance of the stationary law.
    """

    prepare: Callable[[Scalar], PyTree]
    move: Callable[[Each, Each, PyTree], tuple[Each, Each, Each]]
    noise: Callable[[Each], Each]
    window: int
    prior: tuple[Scalar, Scalar] | None


class _State(NamedTuple):
    """Mean and covariance of coordinate and readings; slope by the first coordinate."""

    mean: Float[Array, "state synapse"]
    covariance: Float[Array, "state state synapse"]
    slope: Float[Array, "state synapse"]


class _Inputs(NamedTuple):
    """Of one time: values; whether states move, values count, or are conditioned on."""

    value: Each
    prepared: PyTree
    slot: Bool[Array, " state"]
    moves: Bool[Array, " synapse"]
    counts: Bool[Array, " synapse"]
    begins: Bool[Array, " synapse"]


def log_densities(
    model: Model,
    values: Values,
    there: Bool[Array, "time synapse"],
    intervals: Float[Array, " interval"],
) -> Each:
    r"""Sum of the log densities of values given those before them, where they are.

    The readings of the first value begin $m - 1$ times before it, before the table at
    its median interval. With a prior $x$ has it then, and the first value counts.
    Without, $x$ is anything then, a flat law, and all is conditional on the first
    value: with $\Sigma$ the covariance given $x$, $b$ the slope by $x$ and $h$ the mean
    of the readings, the gain is $k = b/hb$ and the covariance $(1 - kh)\Sigma(1 -
    kh)^\top$. At $m = 1$ this is $x \sim N(y, s^2)$.
    """
    before, window = model.window - 1, model.window
    padded = lambda x: jnp.pad(x, ((before, 0), (0, 0)))
    place = jnp.arange(len(values) + before)
    first = jnp.argmax(there, axis=0)  # of the readings; of the values `before` later
    last = before + len(there) - 1 - jnp.argmax(there[::-1], axis=0)
    early = jnp.broadcast_to(jnp.median(intervals), (window,))  # the first is not used
    prepared = jax.vmap(model.prepare)(jnp.concatenate([early, intervals]))
    at, counts = place[:, None], padded(there)
    begins = (at == first[None] + before) & counts & (model.prior is None)
    inputs = _Inputs(
        padded(values),
        prepared,
        jnp.arange(-1, window)[None] == (place % window)[:, None],
        (at > first[None]) & (at <= last[None]),
        counts & ~begins,
        begins,
    )
    start = jnp.take_along_axis(values, first[None], axis=0)[0]
    mean, variance = (start, 0) if model.prior is None else model.prior
    means = jnp.broadcast_to(mean, (window + 1, len(start)))
    zero = jnp.zeros((window + 1, *means.shape), start.dtype).at[0, 0].set(variance)
    state = _State(means, zero, jnp.ones_like(means))
    step = jax.checkpoint(lambda state, inputs: _stepped(model, state, inputs))
    _, densities = jax.lax.scan(step, state, inputs)
    return jnp.sum(densities, axis=0)


def _stepped(model: Model, state: _State, now: _Inputs) -> tuple[_State, Each]:
    """The state moves, is read into a slot, and learns from the mean of readings."""
    x, spread = state.mean[0], state.covariance[0, 0]
    mean, slope, variance = model.move(x, spread, now.prepared)
    mean = jnp.where(now.moves, mean, x)
    slope = jnp.where(now.moves, slope, 1)
    variance = jnp.where(now.moves, variance, spread)
    shared = slope[None] * state.covariance[0]
    into = now.slot.at[0].set(True)[:, None]
    means = jnp.where(into, mean[None], state.mean)
    slopes = jnp.where(into, slope[None] * state.slope[:1], state.slope)
    row = jnp.where(into, variance[None], shared)
    covariance = jnp.where(into[:, None], row[None], state.covariance)
    covariance = jnp.where(into[None], row[:, None], covariance)
    twice = (now.slot[:, None] & now.slot[None])[:, :, None]
    covariance = covariance + jnp.where(twice, model.noise(mean)[None, None], 0)

    known = now.counts | now.begins
    shared = jnp.mean(covariance[:, 1:], axis=1)
    variance = jnp.where(known, jnp.mean(shared[1:], axis=0), 1)
    missed = jnp.where(known, now.value - jnp.mean(means[1:], axis=0), 0)
    gain = jnp.where(now.counts[None], shared / variance[None], 0)
    flat = slopes / jnp.where(now.begins, jnp.mean(slopes[1:], axis=0), 1)[None]
    gain = jnp.where(now.begins[None], flat, gain)
    rest = shared - gain * variance[None]
    covariance = covariance - gain[:, None] * shared[None] - rest[:, None] * gain[None]
    density = -(jnp.log(2 * math.pi * variance) + missed**2 / variance) / 2
    slopes = jnp.where(known[None], 1, slopes)  # not used any more, else without end
    state = _State(means + gain * missed[None], covariance, slopes)
    return state, jnp.where(now.counts, density, 0)
