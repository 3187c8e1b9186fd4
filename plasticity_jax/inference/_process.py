"""What a model of synapse size is, how it is seen, and runs of it."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from .._arguments import concrete, counted, real, whole
from .._interfaces import Scalar
from ..numerics import normal, power, root
from ._filter import log_densities, Model
from ._transitions import Moments, Moved


Each = Float[Array, " synapse"]
Sizes = Float[Array, "synapse time"]
Times = Float[Array, " time"]


def _exponent(value: float | int | None) -> float | None:
    return None if value is None else float(value)


class AbstractSizes(eqx.Module):
    r"""A diffusion of synapse size and how it is seen; the pytree of its parameters.

    The diffusion is stated in a coordinate $x$ of the size $w$, times are in hours. A
    reading of $w$ has the s.d. $s\,w^q$, $s$ being `noise` and $q$ `noise_power` (0,
    1/2 or 1, say); `None`: $s$, in the model's own coordinate. What is recorded is the
    mean of `window` readings, the last one and those before it. `stationary`: the first
    value of a synapse has the stationary law; else the likelihood is conditional on it.

    >>> model = Additive(mean=2.0, time_constant=1.0, diffusion=1.0, noise=0.1)
    >>> mean, variance = model.moments(1.0, dt=100.0)
    >>> isinstance(model, AbstractSizes), float(mean), float(variance)
    (True, 2.0, 0.5)
    """

    noise: eqx.AbstractVar[Scalar]
    noise_power: float | None = eqx.field(
        default=None, static=True, kw_only=True, converter=_exponent
    )
    window: int = eqx.field(
        default=1, static=True, kw_only=True, converter=counted("window")
    )
    stationary: bool = eqx.field(default=False, static=True, kw_only=True)
    exact: ClassVar[bool] = False  # whether the transition is Gaussian

    @abc.abstractmethod
    def coordinate(self, w: Array) -> Array:
        """The coordinate of a size, NaN where it has none."""

    @abc.abstractmethod
    def size(self, x: Array) -> Array:
        """The size at a coordinate."""

    @abc.abstractmethod
    def log_slope(self, w: Array) -> Array:
        """Logarithm of the slope of the coordinate at a size."""

    @abc.abstractmethod
    def prepare(self, dt: Scalar) -> PyTree:
        """What of `move` does not hang on the state, for the time `dt`."""

    @abc.abstractmethod
    def move(self, mean: Scalar, variance: Scalar, prepared: PyTree) -> Moved:
        """The mean of the coordinate later, its slope by the mean now, the variance.

        Of a state of such mean and variance, after the time of `prepared`.
        """

    @abc.abstractmethod
    def stationary_moments(self) -> Moments:
        """Mean and variance of the coordinate in the long run, NaN if there is none."""

    @abc.abstractmethod
    def draw(self, count: int, key: Key[Array, ""]) -> Each:
        """Coordinates from the stationary law."""

    @abc.abstractmethod
    def domain(self) -> "AbstractSizes":
        """Where each parameter may lie: the model, with `Interval`s in their place."""

    def moments(self, x: Scalar | float, dt: Scalar | float) -> Moments:
        """Mean and variance of the coordinate `dt` after it was `x`."""
        x, dt = real(x), real(dt)
        mean, _, variance = self.move(x, jnp.zeros_like(x), self.prepare(dt))
        return mean, variance

    def noise_variance(self, x: Array) -> Array:
        """Variance of a reading, in the coordinate."""
        variance = jnp.full_like(x, 1) * self.noise**2
        if self.noise_power is None:
            return variance
        w = jnp.abs(self.size(x))
        slope = jnp.exp(self.log_slope(w))
        by_size = power(w, self.noise_power) if self.noise_power else jnp.ones_like(w)
        return variance * (slope * by_size) ** 2

    def log_likelihood(self, table: Any) -> Each:
        """Log-likelihood of every synapse, of densities in the unit of its sizes.

        Of `table.sizes` (synapse, time), NaN where there is none, at `table.times`, in
        hours. Every synapse counts from its first to its last value; gaps are no
        values, times may be irregular. By a Kalman filter, exact for a Gaussian
        transition, the noise in the model's own coordinate, and (but for the additive
        model) a `window` of 1; else the extended filter, with the mean of readings
        taken in the coordinate. NaN for a size that has no coordinate. Raises
        `ValueError` for shapes that do not fit.
        """
        sizes, times = real(table.sizes), real(table.times)
        if sizes.ndim != 2 or times.shape != sizes.shape[1:]:
            raise ValueError(
                "`table.sizes` must be (synapse, time) and `table.times` as long; got "
                f"{sizes.shape} and {times.shape}."
            )
        _check_times("table.times", times)
        _check_single(self)
        return _log_likelihood(self, sizes, times)

    def simulate(
        self,
        times: Any,
        count: int,
        key: Key[Array, ""],
        *,
        first: Any = None,
        substeps: int = 16,
    ) -> Sizes:
        """Recorded sizes (synapse, time) of `count` synapses at `times`, in hours.

        From the stationary law, or from the true sizes `first` (one, or one a synapse)
        at the first reading, which is `window` - 1 median intervals before the first
        time. Where no transition is exact, in so many Gaussian `substeps` an interval.
        Readings are averaged as sizes. Nothing is clipped: sizes may be negative where
        the model or its noise allows it. NaN without a stationary law.
        """
        times, count = real(times), whole("count", count, 1)
        _check_times("times", times)
        _check_single(self)
        for_start, for_run = jr.split(key)
        if first is None:
            x = self.draw(count, for_start)
        else:
            x = self.coordinate(jnp.broadcast_to(real(first), (count,)))
        steps = 1 if self.exact else whole("substeps", substeps, 1)
        return _simulated(self, times, x, for_run, steps)


class Rough(NamedTuple):
    """Statistics of a table, in a coordinate: what a fit begins with."""

    mean: Scalar
    square: Scalar
    rate: Scalar  # variance that an hour adds
    time: Scalar
    noise: Scalar
    size: Scalar  # in the unit of sizes


def rough(table: Any, coordinate: Callable[[Array], Array], window: int) -> Rough:
    r"""$\sigma^2 = \mathrm{Var}(\Delta y)/\Delta$, $\tau = 2\mathrm{Var}(y)/\sigma^2$.

    Of readings of a random walk, changes over $k$ intervals have the variance
    $k\sigma^2\Delta + 2s^2$: $k$ of 1 and of up to 4 give both. Of means of $m$
    readings, changes over one interval have the variance $(m\sigma^2\Delta +
    2s^2)/m^2$, over $m$ intervals $\sigma^2\Delta(2m^2 + 1)/3m + 2s^2/m$. Both are kept
    above a tenth of what they are without the other. NaN of a table that does not
    change.
    """
    sizes, times = real(table.sizes), real(table.times)
    there = ~jnp.isnan(sizes)
    values = coordinate(jnp.where(there, sizes, 1))
    interval = jnp.median(jnp.diff(times))
    mean, square = jnp.mean(values, where=there), jnp.mean(values**2, where=there)
    rate, least = _change_rate(values, there, times, 1), 0.01
    noise = least * rate * interval
    if window == 1 and (k := min(4, len(times) - 1)) > 1:
        found = (k * _change_rate(values, there, times, k) - rate) / (k - 1)
        found = jnp.clip(found, rate / 10, rate)
        noise, rate = jnp.maximum((rate - found) * interval / 2, noise), found
    if window > 1:
        m, short = window, rate
        rate = _change_rate(values, there, times, min(m, len(times) - 1))
        found = m * (rate - short) / ((2 * m**2 + 1) / (3 * m) - 1)
        rate = jnp.maximum(found, rate / 10)
        noise = (m**2 * short - m * rate) * interval / 2
        noise = jnp.maximum(noise, least * rate * interval)
    time = 2 * (square - mean**2) / rate
    size = jnp.mean(sizes, where=there)
    return Rough(mean, square, rate, time, jnp.sqrt(noise), size)


@eqx.filter_jit
def _change_rate(values: Sizes, there: Array, times: Times, lag: int) -> Scalar:
    """Variance of changes per hour, since the last value `lag` samples ago or more."""
    order = jnp.where(there, jnp.arange(len(times))[None], -1)
    seen = jax.lax.cummax(order, axis=1)[:, :-lag]
    before, both = jnp.maximum(seen, 0), there[:, lag:] & (seen >= 0)
    apart = times[None, lag:] - times[before]
    change = values[:, lag:] - jnp.take_along_axis(values, before, axis=1)
    return jnp.mean((change - jnp.mean(change, where=both)) ** 2 / apart, where=both)


def with_noise(make: Callable[[Any], Any], found: Rough) -> Any:
    """A model whose noise is as found at the mean size, whatever its exponent."""
    unit = make(1.0)
    return make(
        found.noise / jnp.sqrt(unit.noise_variance(unit.coordinate(found.size)))
    )


def _check_times(name: str, times: Array) -> None:
    if times.ndim != 1 or len(times) < 2:
        raise ValueError(f"`{name}` must be two at least; got {times.shape}.")
    if concrete(times) and not np.all(np.diff(np.asarray(times)) > 0):
        raise ValueError(f"`{name}` must increase; got {times}.")


def _check_single(model: AbstractSizes) -> None:
    if shape := jnp.shape(model.noise):
        raise ValueError(
            f"parameters must be single numbers, or mapped over; got `noise` {shape}."
        )


@eqx.filter_jit
def _log_likelihood(model: AbstractSizes, sizes: Sizes, times: Times) -> Each:
    there = ~jnp.isnan(sizes)
    place = jnp.argmax(there, axis=1)[:, None]
    first = jnp.take_along_axis(sizes, place, axis=1)  # stands in for what is not there
    filled = jnp.where(there, sizes, jnp.where(jnp.isnan(first), 1, first))
    values = model.coordinate(filled)
    prior = model.stationary_moments() if model.stationary else None
    move = jax.vmap(model.move, (0, 0, None))
    asked = Model(model.prepare, move, model.noise_variance, model.window, prior)
    densities = log_densities(asked, values.T, there.T, jnp.diff(times))
    after = jnp.arange(len(times))[None] != place
    counted = there & (after | model.stationary)
    slopes = jnp.where(counted, model.log_slope(filled), 0)
    return densities + jnp.sum(slopes, axis=1)


@eqx.filter_jit
def _simulated(
    model: AbstractSizes, times: Times, x: Each, key: Key[Array, ""], substeps: int
) -> Sizes:
    gaps, before = jnp.diff(times), model.window - 1
    gaps = jnp.concatenate([jnp.full_like(gaps, jnp.median(gaps), shape=before), gaps])
    for_path, for_noise = jr.split(key)
    move = jax.vmap(model.move, (0, None, None))

    def interval(x: Each, inputs: tuple) -> tuple[Each, Each]:
        dt, key = inputs
        prepared = model.prepare(dt / substeps)

        def step(x: Each, key: Key[Array, ""]) -> tuple[Each, None]:
            mean, _, variance = move(x, jnp.zeros_like(dt), prepared)
            return mean + root(variance) * normal(key, x.shape, x.dtype), None

        x, _ = jax.lax.scan(step, x, jr.split(key, substeps))
        return x, x

    _, path = jax.lax.scan(interval, x, (gaps, jr.split(for_path, len(gaps))))
    path = jnp.concatenate([x[None], path])
    noise = root(model.noise_variance(path)) * normal(for_noise, path.shape, x.dtype)
    readings = model.size(path + noise)
    shifted = [readings[i : i + len(times)] for i in range(model.window)]
    return jnp.mean(jnp.stack(shifted), axis=0).T
