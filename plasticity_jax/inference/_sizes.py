r"""Published models of synapse size, and a user's own.

Kesten: Statman, Kaufman, Minerbi, Ziv & Brenner 2014, doi 10.1371/journal.pcbi.1003846;
size-dependent diffusion: Yasumatsu et al. 2008, doi 10.1523/JNEUROSCI.0603-08.2008; a
product of factors: Iatropoulos, Gerstner & Brea 2025. Times in hours.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key, PyTree

from .._arguments import check_takes, counted, real, require, with_array_leaves
from .._interfaces import Scalar
from ..numerics import normal
from ..traces import SOME_TIME
from ._domain import Interval, POSITIVE, REAL
from ._process import AbstractSizes, Each, rough, with_noise
from ._transitions import (
    expanded,
    lowered,
    Moments,
    Moved,
    pearson,
    Quadratic,
    raised,
    reverting,
)


ANY, SIZE = (-np.inf, np.inf), (0.0, np.inf)


class _Plain(AbstractSizes):
    """The coordinate is the size."""

    def coordinate(self, w: Array) -> Array:
        return w

    def size(self, x: Array) -> Array:
        return x

    def log_slope(self, w: Array) -> Array:
        return jnp.zeros_like(w)


class _Reverting(AbstractSizes):
    """An Ornstein-Uhlenbeck process in its coordinate."""

    mean: eqx.AbstractVar[Scalar]
    time_constant: eqx.AbstractVar[Scalar]
    diffusion: eqx.AbstractVar[Scalar]
    exact: ClassVar[bool] = True

    def __check_init__(self) -> None:
        require(self, mean=ANY, time_constant=SOME_TIME, diffusion=SIZE, noise=SIZE)

    def prepare(self, dt: Scalar) -> Quadratic:
        return reverting(dt, self.mean, self.time_constant, self.diffusion)

    def move(self, mean: Scalar, variance: Scalar, prepared: Quadratic) -> Moved:
        return prepared.move(mean, variance)

    def stationary_moments(self) -> Moments:
        return self.mean, self.diffusion**2 * self.time_constant / 2

    def draw(self, count: int, key: Key[Array, ""]) -> Each:
        mean, variance = self.stationary_moments()
        return mean + jnp.sqrt(variance) * normal(key, (count,), mean.dtype)


class Additive(_Plain, _Reverting):
    r"""$dw = \frac{\mu - w}\tau dt + \sigma dW$ (Ornstein-Uhlenbeck).

    Sizes may be negative. `mean` and `noise` in the unit of sizes, `diffusion` in that
    unit per root of an hour.

    >>> model = Additive(mean=2.0, time_constant=1.0, diffusion=1.0, noise=0.1)
    >>> sizes = model.simulate(jnp.arange(5.0), 3, jr.key(0))
    >>> sizes.shape, [float(x) for x in model.stationary_moments()]
    ((3, 5), [2.0, 0.5])
    """

    mean: Scalar = eqx.field(converter=real)
    time_constant: Scalar = eqx.field(converter=real)
    diffusion: Scalar = eqx.field(converter=real)
    noise: Scalar = eqx.field(converter=real)

    @classmethod
    def guess(cls, table: Any, **options: Any) -> "Additive":
        """Where a fit of a table may begin; with the options of the class."""
        return _reverting_guess(lambda *parts: cls(*parts, **options), table)

    def domain(self) -> "Additive":
        return _within(self, REAL, POSITIVE, POSITIVE, POSITIVE)


class Lognormal(_Reverting):
    r"""$x = \log w$, $dx = \frac{\mu - x}\tau dt + \sigma dW$.

    `mean` of the logarithm, `diffusion` per root of an hour, `noise` of the logarithm.

    >>> model = Lognormal(mean=0.0, time_constant=1.0, diffusion=1.0, noise=0.1)
    >>> print(model.coordinate(jnp.exp(2.0)), model.size(jnp.zeros(1)))
    2.0 [1.]
    """

    mean: Scalar = eqx.field(converter=real)
    time_constant: Scalar = eqx.field(converter=real)
    diffusion: Scalar = eqx.field(converter=real)
    noise: Scalar = eqx.field(converter=real)

    @classmethod
    def guess(cls, table: Any, **options: Any) -> "Lognormal":
        """Where a fit of a table may begin; with the options of the class."""
        return _reverting_guess(lambda *parts: cls(*parts, **options), table)

    def coordinate(self, w: Array) -> Array:
        return _log(w)

    def size(self, x: Array) -> Array:
        return jnp.exp(x)

    def log_slope(self, w: Array) -> Array:
        return -_log(w)

    def domain(self) -> "Lognormal":
        return _within(self, REAL, POSITIVE, POSITIVE, POSITIVE)


class Factors(_Reverting):
    r"""$x = (w^\lambda - 1)/\lambda$, $dx = \frac{\mu - x}\tau dt + \sigma dW$.

    A product of $z = 1/\lambda$ equal factors, $z$ real; $\lambda$ is
    `inverse_factors`. 1 is `Additive` with its mean less 1, 0 is `Lognormal`. Below
    $x = -1/\lambda$ sizes go on as $-|1 + \lambda x|^z$, so that a run shows it.

    >>> model = Factors(0.0, 1.0, 1.0, inverse_factors=0.5, noise=0.1)
    >>> print(f"{model.coordinate(jnp.asarray(9.0)):.3f}")  # 2 (sqrt(9) - 1)
    4.000
    """

    mean: Scalar = eqx.field(converter=real)
    time_constant: Scalar = eqx.field(converter=real)
    diffusion: Scalar = eqx.field(converter=real)
    inverse_factors: Scalar = eqx.field(converter=real)
    noise: Scalar = eqx.field(converter=real)

    @classmethod
    def guess(cls, table: Any, **options: Any) -> "Factors":
        """Where a fit of a table may begin, at two factors; options of the class."""
        make = lambda mean, time, rate, noise: cls(
            mean, time, rate, 0.5, noise, **options
        )
        return _reverting_guess(make, table)

    def coordinate(self, w: Array) -> Array:
        return raised(_log(w), self.inverse_factors)

    def size(self, x: Array) -> Array:
        size = jnp.exp(lowered(x, self.inverse_factors))
        return jnp.where(self.inverse_factors * x < -1, -size, size)

    def log_slope(self, w: Array) -> Array:
        return (self.inverse_factors - 1) * _log(w)

    def domain(self) -> "Factors":
        few = Interval(-0.5, 1.5)
        return _within(self, REAL, POSITIVE, POSITIVE, few, POSITIVE)


class Kesten(_Plain):
    r"""$dw = (b - aw)dt + \sigma_m w\,dW_1 + \sigma_a dW_2$ (Statman et al. 2014).

    `growth` $b$, `decay` $a$, `multiplicative` $\sigma_m$, `additive` $\sigma_a$. The
    limit of $w_{n+1} = \epsilon_n w_n + \eta_n$ at short intervals: $a\Delta = 1 -
    \langle\epsilon\rangle$, $b\Delta = \langle\eta\rangle$, $\sigma_m^2\Delta =
    \mathrm{Var}\,\epsilon$, $\sigma_a^2\Delta = \mathrm{Var}\,\eta$. The transition is
    taken as Gaussian with the exact mean and variance. $a$ may be 0 or negative: then
    there is no long run. The tail falls as $w^{-1-2a/\sigma_m^2}$.

    >>> model = Kesten(0.2, decay=0.1, multiplicative=0.1, additive=0.1, noise=0.0)
    >>> mean, variance = model.stationary_moments()
    >>> print(f"{mean:.2f} {variance:.3f}")  # b / a; 0.05 / (2 a - 0.01)
    2.00 0.263
    """

    growth: Scalar = eqx.field(converter=real)
    decay: Scalar = eqx.field(converter=real)
    multiplicative: Scalar = eqx.field(converter=real)
    additive: Scalar = eqx.field(converter=real)
    noise: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, growth=ANY, decay=ANY, noise=SIZE)
        require(self, multiplicative=SIZE, additive=SIZE)

    @classmethod
    def guess(cls, table: Any, **options: Any) -> "Kesten":
        """Where a fit of a table may begin; with the options of the class."""
        found = rough(table, lambda w: w, options.get("window", 1))
        growth, decay, half = found.mean / found.time, 1 / found.time, found.rate / 2
        parts = jnp.sqrt(half / found.square), jnp.sqrt(half)
        make = lambda noise: cls(growth, decay, *parts, noise, **options)
        return with_noise(make, found)

    def prepare(self, dt: Scalar) -> Quadratic:
        rates = self.multiplicative**2, jnp.zeros_like(self.noise), self.additive**2
        return pearson(dt, self.growth, self.decay, *rates)

    def move(self, mean: Scalar, variance: Scalar, prepared: Quadratic) -> Moved:
        return prepared.move(mean, variance)

    def stationary_moments(self) -> Moments:
        mean, square = _ratio(self.growth, self.decay), self.multiplicative**2
        return mean, _settled(square * mean**2 + self.additive**2, self.decay, square)

    def draw(self, count: int, key: Key[Array, ""]) -> Each:
        r"""From Pearson's type IV, in $\mathrm{asinh}(\sigma_m w/\sigma_a)$, by a grid.

        There the logarithm of the density is $-k\log\cosh x + c\,\mathrm{gd}(x)$, $k =
        1 + 2a/\sigma_m^2$ and $c = 2b/\sigma_m\sigma_a$, with its mode at $\sinh x =
        c/k$ and the curvature $-k$ there.
        """
        tail = _tail(self.decay, self.multiplicative)
        tilt = 2 * self.growth / (self.multiplicative * self.additive)
        width = 10 / jnp.sqrt(tail) + 40 / tail
        offsets = jnp.linspace(-1, 1, 8001, dtype=tail.dtype) * width
        x = jnp.arcsinh(tilt / tail) + offsets
        log_cosh = jnp.abs(x) + jnp.log1p(jnp.exp(-2 * jnp.abs(x)))
        logs = tilt * 2 * jnp.arctan(jnp.tanh(x / 2)) - tail * log_cosh
        density = jnp.exp(logs - jnp.max(logs))
        below = jnp.cumsum((density[1:] + density[:-1]) / 2)
        below = jnp.concatenate([jnp.zeros_like(below[:1]), below]) / below[-1]
        drawn = jnp.interp(jr.uniform(key, (count,), tail.dtype), below, x)
        return self.additive / self.multiplicative * jnp.sinh(drawn)

    def domain(self) -> "Kesten":
        return _within(self, REAL, REAL, POSITIVE, POSITIVE, POSITIVE)


class SizeDependent(_Plain):
    r"""$dw = (b - aw)dt + (\alpha w + \beta)dW$ (Yasumatsu et al. 2008).

    `growth` $b$, `decay` $a$, `slope` $\alpha$ per root of an hour, `offset` $\beta$.
    The transition is taken as Gaussian with the exact mean and variance. $a$ may be 0
    or negative: then there is no long run. Their daily $\alpha$ is $\sqrt{24}$ times
    the hourly one.

    >>> model = SizeDependent(growth=0.2, decay=0.1, slope=0.1, offset=0.1, noise=0.0)
    >>> mean, variance = model.stationary_moments()
    >>> print(f"{mean:.2f} {variance:.3f}")  # b / a; 0.3^2 / (2 a - 0.01)
    2.00 0.474
    """

    growth: Scalar = eqx.field(converter=real)
    decay: Scalar = eqx.field(converter=real)
    slope: Scalar = eqx.field(converter=real)
    offset: Scalar = eqx.field(converter=real)
    noise: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, growth=ANY, decay=ANY, slope=SIZE, offset=SIZE, noise=SIZE)

    @classmethod
    def guess(cls, table: Any, **options: Any) -> "SizeDependent":
        """Where a fit of a table may begin; with the options of the class."""
        found = rough(table, lambda w: w, options.get("window", 1))
        half = jnp.sqrt(found.rate) / 2
        parts = found.mean / found.time, 1 / found.time, half / found.mean, half
        return with_noise(lambda noise: cls(*parts, noise, **options), found)

    def prepare(self, dt: Scalar) -> Quadratic:
        rates = self.slope**2, 2 * self.slope * self.offset, self.offset**2
        return pearson(dt, self.growth, self.decay, *rates)

    def move(self, mean: Scalar, variance: Scalar, prepared: Quadratic) -> Moved:
        return prepared.move(mean, variance)

    def stationary_moments(self) -> Moments:
        mean = _ratio(self.growth, self.decay)
        rate = (self.slope * mean + self.offset) ** 2
        return mean, _settled(rate, self.decay, self.slope**2)

    def draw(self, count: int, key: Key[Array, ""]) -> Each:
        r"""$w + \beta/\alpha$ is inverse gamma distributed."""
        shift = self.offset / self.slope
        scale = 2 * (self.growth + self.decay * shift) / self.slope**2
        shape = _tail(self.decay, self.slope)
        return scale / jr.gamma(key, shape, (count,), shape.dtype) - shift

    def domain(self) -> "SizeDependent":
        return _within(self, REAL, REAL, POSITIVE, POSITIVE, POSITIVE)


class Diffusion(_Plain):
    r"""$dw = f(w; \theta)dt + g(w; \theta)dW$ of your own.

    `drift(w, params)` is $f$ and `diffusion(w, params)` $g$ of one size, differentiable
    twice by it; `params` any pytree. Mean and variance are expanded to second order in
    each of `substeps` parts of an interval: so many that $|f'|$ times a part is below
    .05. No stationary law is known: `ValueError` for `stationary`, or where `simulate`
    is given no `first`.

    >>> root = lambda w, p: p["scale"] * jnp.sqrt(w)
    >>> model = Diffusion(lambda w, p: 1.0 - w, root, {"scale": 0.5}, noise=0.02)
    >>> mean, variance = model.moments(4.0, dt=0.001)
    >>> print(f"{mean:.3f} {variance:.3f}")  # 4 - 3 dt and 0.25 * 4 dt
    3.997 0.001
    """

    drift: Callable[[Scalar, Any], Scalar] = eqx.field(static=True)
    diffusion: Callable[[Scalar, Any], Scalar] = eqx.field(static=True)
    params: PyTree = eqx.field(converter=with_array_leaves)
    noise: Scalar = eqx.field(converter=real)
    substeps: int = eqx.field(
        default=1, static=True, kw_only=True, converter=counted("substeps")
    )

    def __check_init__(self) -> None:
        check_takes("drift", self.drift, "w", "params")
        check_takes("diffusion", self.diffusion, "w", "params")
        require(self, noise=SIZE)
        if self.stationary:
            raise ValueError("`stationary` must be false: its law is not known.")

    def prepare(self, dt: Scalar) -> Scalar:
        return dt / self.substeps

    def move(self, mean: Scalar, variance: Scalar, prepared: Scalar) -> Moved:
        drift = lambda w: self.drift(w, self.params)
        diffusion = lambda w: self.diffusion(w, self.params)
        step = lambda w: expanded(w, prepared, drift, diffusion)

        def part(state: Moved, _: None) -> tuple[Moved, None]:
            mean, slope, variance = state
            (mean, added), (by, _) = jax.jvp(step, (mean,), (jnp.ones_like(mean),))
            return (mean, by * slope, by**2 * variance + added), None

        start = (mean, jnp.ones_like(mean), jnp.broadcast_to(variance, mean.shape))
        if self.substeps == 1:
            return part(start, None)[0]
        return jax.lax.scan(part, start, length=self.substeps)[0]

    def stationary_moments(self) -> Moments:
        unknown = jnp.full_like(self.noise, jnp.nan)
        return unknown, unknown

    def draw(self, count: int, key: Key[Array, ""]) -> Each:
        raise ValueError("`first` must be given: the stationary law is not known.")

    def domain(self, params: PyTree = REAL) -> "Diffusion":
        """Intervals for `params`, shaped like them or one for all."""
        leaves = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, Interval))
        count = len(jax.tree.leaves(self.params))
        leaves = leaves * count if len(leaves) == 1 else leaves
        return _within(self, *leaves, POSITIVE)


def _within(model: Any, *intervals: Interval) -> Any:
    """The model with intervals for its parameters, in order."""
    return jax.tree.unflatten(jax.tree.structure(model), intervals)


def _reverting_guess(make: Callable[..., Any], table: Any) -> Any:
    shape = make(0.0, 1.0, 1.0, 1.0)
    found = rough(table, shape.coordinate, shape.window)
    parts = found.mean, found.time, jnp.sqrt(found.rate)
    return with_noise(lambda noise: make(*parts, noise), found)


def _log(w: Array) -> Array:
    """Logarithm of a size, NaN where it is not positive."""
    return jnp.log(jnp.where(w <= 0, jnp.nan, w))


def _ratio(growth: Scalar, decay: Scalar) -> Scalar:
    """The mean in the long run, NaN if there is none."""
    return growth / jnp.where(decay <= 0, jnp.nan, decay)


def _settled(rate: Scalar, decay: Scalar, square: Scalar) -> Scalar:
    """The variance in the long run, NaN if it is not finite."""
    pull = 2 * decay - square
    return rate / jnp.where(pull <= 0, jnp.nan, pull)


def _tail(decay: Scalar, scale: Scalar) -> Scalar:
    """The exponent of the stationary law's tail, NaN if there is no such law."""
    return 1 + 2 * jnp.where(decay <= 0, jnp.nan, decay) / scale**2
