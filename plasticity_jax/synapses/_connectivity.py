"""Which synapses exist."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from .._arguments import (
    check_binary,
    check_range,
    check_signs,
    concrete,
    fitted,
    floating,
    one_of,
    optional,
    real,
    require,
    whole,
)
from .._interfaces import AbstractProjection, Scalar, Synapses
from ..numerics import masked


Matrix = Float[Array, "post pre"]


class Connected(AbstractProjection):
    """Synapses where `mask` is one, zero where it is 0, also where they are infinite.

    With masked initial weights that is the same as masking every rule and the noise.
    Raises `ValueError` unless the mask is 0 or 1 and shaped like the synapses.

    >>> print(Connected(jnp.array([[1.0, 0.0]]))(jnp.array([[3.0, jnp.inf]])))
    [[3. 0.]]
    """

    mask: Synapses = eqx.field(converter=lambda mask: jax.tree.map(real, mask))

    def __check_init__(self) -> None:
        for leaf in jax.tree.leaves(self.mask):
            check_binary("mask", leaf)

    def __call__(
        self, synapses: Synapses, signals: Any = None, key: Any = None
    ) -> Synapses:
        mask = fitted("`mask`", self.mask, synapses)
        return jax.tree.map(masked, mask, synapses)


class Density(AbstractProjection):
    """The largest weights only, a share of `density`; the others are 0.

    Largest in size, of those `into` or `out of` each neuron, or of `all`; their number
    is rounded (Han, Pool, Tran & Dally 2015). Of equal ones the first are kept, so that
    the number is exact. NaN stays NaN and counts as largest. Weights that are kept have
    their gradient; the others have none, nor has `density`.

    >>> print(Density(0.5)(jnp.array([[1.0, -3.0, 2.0, 0.5]])))
    [[ 0. -3.  2.  0.]]
    """

    density: Scalar = eqx.field(converter=real)
    side: str = eqx.field(default="into", static=True)

    def __check_init__(self) -> None:
        require(self, density=(0.0, 1.0))
        one_of("side", self.side, ("into", "out of", "all"))

    def __call__(
        self, synapses: Matrix, signals: Any = None, key: Any = None
    ) -> Matrix:
        size = jnp.where(jnp.isnan(synapses), jnp.inf, jnp.abs(synapses))
        axis = 1 if self.side == "into" else 0
        size = size.ravel() if self.side == "all" else size
        rank = jnp.argsort(jnp.argsort(-size, axis=axis), axis=axis)
        kept = rank < _share(self.density, size.shape[axis])
        kept = kept.reshape(synapses.shape)
        return _within(self.density, jnp.where(kept | _lost(synapses), synapses, 0))


class Rewired(AbstractProjection):
    r"""Synapses below `threshold` are cut, and as many grow where there is none.

    Deep rewiring of plain weights, of which 0 is no synapse (Bellec, Kappel, Maass &
    Legenstein 2018, arXiv 1711.05136): as many grow as are missing of `density` times
    the number of `places` (post, pre; all unless given), rounded. Places are drawn
    uniformly among those without a synapse, also where one was just cut. A synapse
    begins at `first`, at least the threshold. With `signs` (pre,), -1 or 1, a weight
    counts by its sign: one of the other sign is cut, and a new one has its neuron's;
    else by its size.

    Rules must leave alone what is not there, `rules.Masked(rule)`: synapses that they
    add are not cut for being too many. NaN stays NaN. Weights that stay have their
    gradient, new ones that of `first`. Raises `ValueError` without a key, or where a
    run starts with another number of synapses.

    >>> rewired = Rewired(density=0.5, threshold=0.1, first=0.2)
    >>> w = rewired(jnp.array([[1.0, 0.05, 0.0, 0.0]]), key=jr.key(0))
    >>> print(jnp.sort(w))
    [[0.  0.  0.2 1. ]]
    """

    density: Scalar = eqx.field(converter=real)
    threshold: Scalar = eqx.field(converter=real)
    first: Scalar = eqx.field(converter=real)
    signs: Float[Array, " pre"] | None = eqx.field(default=None, converter=optional)
    places: Matrix | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        require(self, density=(0.0, 1.0), threshold=(0.0, np.inf))
        require(self, first=(1e-12, np.inf))
        check_signs("signs", 1.0 if self.signs is None else self.signs)
        check_binary("places", 1.0 if self.places is None else self.places)
        if concrete(self.first, self.threshold) and not np.all(
            np.asarray(self.first) >= np.asarray(self.threshold)
        ):
            raise ValueError(
                f"`first` = {self.first} must be at least `threshold` = "
                f"{self.threshold}, or what grows is cut."
            )

    def check(self, synapses: Matrix) -> None:
        there, places, _ = self._there(synapses)
        found, wanted = jnp.sum(there), _share(self.density, jnp.sum(places))
        if concrete(found, wanted) and found != wanted:
            raise ValueError(
                f"`synapses` must begin with {wanted} that reach the threshold of "
                f"`Rewired`, its density; got {found}."
            )

    def __call__(
        self, synapses: Matrix, signals: Any = None, key: Any = None
    ) -> Matrix:
        if key is None:
            raise ValueError("`Rewired` draws where synapses grow: give it a `key`.")
        there, places, signs = self._there(synapses)
        missing = _share(self.density, jnp.sum(places)) - jnp.sum(there)
        free, none = places & ~there, jnp.zeros_like(there)
        grown = jax.lax.cond(
            missing > 0, lambda: _some(free, missing, key), lambda: none
        )
        kept = jnp.where(there | _lost(synapses), synapses, 0)
        new = (self.first * signs).astype(synapses.dtype)
        sound = (self.threshold >= 0) & (self.first >= self.threshold)
        sound = sound & (self.first > 0) & jnp.all(jnp.abs(signs) == 1)
        rewired = jnp.where(sound, jnp.where(grown, new, kept), jnp.nan)
        return _within(self.density, rewired)

    def _there(
        self, synapses: Matrix
    ) -> tuple[Bool[Array, "post pre"], Bool[Array, "post pre"], Matrix]:
        """Which synapses stay, where some may be, and of which sign."""
        ones = jnp.ones_like(synapses)
        signs, size = ones, jnp.abs(synapses)
        if self.signs is not None:
            signs = ones * fitted("`signs`", self.signs, synapses[0])[None]
            size = synapses * signs
        places = ones > 0
        if self.places is not None:
            places = fitted("`places`", self.places, synapses) > 0
        stays = (size > 0) & (size >= self.threshold.astype(size.dtype))
        return (stays | _lost(synapses)) & places, places, signs


def _some(
    free: Bool[Array, "post pre"], count: Int[Array, ""], key: Key[Array, ""]
) -> Bool[Array, "post pre"]:
    """So many of the free places, all of them equally likely."""
    order = jr.permutation(key, free.size)
    waiting = free.ravel()[order]
    chosen = waiting & (jnp.cumsum(waiting) <= count)
    return jnp.zeros(free.size, bool).at[order].set(chosen).reshape(free.shape)


def _share(density: Scalar, count: Any) -> Int[Array, ""]:
    """A share of a number, rounded."""
    return jnp.round(density * jnp.asarray(count, density.dtype)).astype(int)


def _lost(weights: Array) -> Array:
    return jnp.isnan(weights)


def _within(density: Scalar, weights: Array) -> Array:
    """The weights; NaN where the density, traced, is no share."""
    return jnp.where((density >= 0) & (density <= 1), weights, jnp.nan)


@floating
def random_mask(
    shape: tuple[int, ...], density: Scalar, key: Key[Array, ""]
) -> Float[Array, "*shape"]:
    """Each entry 1 with probability `density`, independently, else 0.

    Raises `ValueError` unless `density` lies in [0, 1]; NaN where it is traced.

    >>> mask = random_mask((100, 100), 0.2, jr.key(0))
    >>> print(np.unique(mask), f"{mask.mean():.1f}")
    [0. 1.] 0.2
    """
    check_range("density", density, 0, 1)
    shape = tuple(whole("shape", size, 1) for size in shape)
    drawn = jr.uniform(key, shape)
    mask = jnp.where(drawn < density.astype(drawn.dtype), 1.0, 0.0)
    return jnp.where((density >= 0) & (density <= 1), mask, jnp.nan)
