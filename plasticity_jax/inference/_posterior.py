"""What data say of parameters beyond an estimate and its error: draws by NUTS."""

import importlib
from typing import Any, SupportsIndex, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._arguments import check_kind, check_range, whole
from .._interfaces import Scalar
from ..numerics import normal
from ._domain import Vector
from ._estimates import Fit
from ._objective import Matrix, Objective, REACH


if TYPE_CHECKING:
    import xarray

AGREE = 1.01  # of R-hat, and
ENOUGH = 100  # effective draws a chain: Vehtari et al. 2021
ALIKE = 1.3  # s.d. over Fisher error, or the other way round
BINS = 20  # of a histogram that shows whether draws crowd at a bound


class Posterior(eqx.Module):
    """Draws from the posterior of a fit's parameters; see `posterior`.

    `free` (chain, draw, w) are free coordinates, `diverged` (chain, draw) says where
    the sampler's trajectory was lost. `r_hat` (w,) is 1 if chains, split in halves,
    agree (Gelman et al. 2013); `effective` (w,), how many independent draws these are
    worth for the mean.

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> drawn = posterior(found, jr.key(0), draws=200, chains=2, warmup=100)
    >>> drawn.values.shape, bool(abs(drawn.widening[0] - 1) < 0.3)
    ((2, 200, 1), True)
    """

    fit: Fit
    free: Float[Array, "chain draw w"]
    diverged: Bool[Array, "chain draw"]
    r_hat: Vector
    effective: Vector

    @property
    def params(self) -> PyTree:
        """The draws, shaped like the start with (chain, draw) in front."""
        return jax.vmap(jax.vmap(self.fit.space.tree))(self.free)

    @property
    def values(self) -> Float[Array, "chain draw w"]:
        """The draws raveled, in the parameters' units."""
        return jax.vmap(jax.vmap(self.fit.space.values))(self.free)

    @property
    def widening(self) -> Vector:
        """S.d. over the fit's observed error, both of free coordinates: 1 if normal."""
        return jnp.std(self.free, axis=(0, 1)) / self.fit.standard_errors()

    def dataset(self, level: float = 0.95) -> "xarray.Dataset":
        """Draws in the parameters' units, their moments and ends, and how they mix.

        `low` and `high` leave out equal tails of the draws.
        """
        import xarray

        check_range("level", level, 1e-6, 1 - 1e-6)
        ends = jnp.asarray([(1 - level) / 2, (1 + level) / 2])
        low, high = jnp.quantile(self.values, ends, axis=(0, 1))
        columns = {
            "mean": jnp.mean(self.values, axis=(0, 1)),
            "sd": jnp.std(self.values, axis=(0, 1)),
            "low": low,
            "high": high,
            "r_hat": self.r_hat,
            "effective": self.effective,
            "widening": self.widening,
        }
        told: dict[str, Any] = {
            k: ("parameter", np.asarray(x)) for k, x in columns.items()
        }
        told["draws"] = (("chain", "draw", "parameter"), np.asarray(self.values))
        told["diverged"] = (("chain", "draw"), np.asarray(self.diverged))
        about = {"level": level, "notes": "\n".join(self.notes())}
        return xarray.Dataset(told, {"parameter": list(self.fit.space.names)}, about)

    def notes(self) -> list[str]:
        """What a reader must know of the draws before their numbers, sentence each."""
        r_hat, effective, widening = map(
            np.asarray, (self.r_hat, self.effective, self.widening)
        )
        alike = (widening > 1 / ALIKE) & (widening < ALIKE)
        lower, upper = self._leaning()
        found = {
            f"chains do not agree (R-hat {np.max(r_hat):.3g})": ~(r_hat <= AGREE),
            f"draws count as {np.min(effective):.0f} only": ~(
                effective >= ENOUGH * len(self.free)
            ),
            "improper without a prior: flat, or draws without end": self._endless(),
            "draws crowd at the lower bound": lower,
            "draws crowd at the upper bound": upper,
            "not normal: the s.d. of draws is not the Fisher error": ~alike,
        }
        names = np.asarray(self.fit.space.names)
        said = [
            f"{', '.join(names[np.asarray(where)])}: {words}."
            for words, where in found.items()
            if np.any(where)
        ]
        lost = int(np.sum(self.diverged))
        what = f"{lost} of {self.diverged.size} draws diverged: some of it is not seen."
        return [what] * (lost > 0) + said

    def _endless(self) -> np.ndarray:
        """Flat parameters, and bounded ones drawn a unit from where the search ends."""
        away = np.asarray(self.free) - np.asarray(self.fit.objective.center)
        far = np.abs(away).max(axis=(0, 1)) > REACH - 1
        return np.isinf(self.fit.standard_errors()) | (far & self.fit.space.bounded)

    def _leaning(self) -> tuple[list[bool], list[bool]]:
        """Which parameters crowd at their lower, and at their upper bound."""
        values = np.asarray(self.values).reshape(-1, self.free.shape[-1]).T
        space = self.fit.space
        crowded = lambda ends: [
            bool(np.isfinite(end)) and _crowds(np.abs(each - end))
            for each, end in zip(values, ends, strict=True)
        ]
        return crowded(space.low), crowded(space.high)


def _crowds(away: np.ndarray) -> bool:
    """Whether distances are at least half as dense at 0 as where they are densest."""
    counts, _ = np.histogram(away, BINS, (0, np.quantile(away, 0.9)))
    return bool(counts[0] >= counts.max() / 2)


def posterior(
    found: Fit,
    key: Key[Array, ""],
    *,
    draws: SupportsIndex = 1000,
    chains: SupportsIndex = 4,
    warmup: SupportsIndex = 500,
) -> Posterior:
    r"""Draws from the posterior of a fit's parameters, by NUTS (Hoffman & Gelman 2014).

    The density is that of the parameters themselves: the likelihood times the prior
    that the fit was given as `log_prior`, flat without one. It is sampled in free
    coordinates, hence with the logarithm of their Jacobian, as far from the fit's start
    as its search goes (a factor of 7e7 for a positive parameter). Chains run in one
    program, begin at twice the fit's standard errors around it (a parameter at its
    bound: around its start), and each adapts its step and metric in `warmup` (windows,
    as Stan); then `draws` are kept. Needs the extra `[bayes]` (blackjax). Raises
    `ValueError` for a fit whose likelihood leaves parameters out (`least_squares`).

    >>> found = fit(jax.scipy.stats.norm.logpdf, 0.0, jnp.asarray([1.0, 2.0, 6.0]))
    >>> drawn = posterior(found, jr.key(0), draws=200, chains=2, warmup=100)
    >>> bool(abs(drawn.params.mean() - 3) < 0.3), int(drawn.diverged.sum())
    (True, 0)
    """
    check_kind("`found`", found, Fit)
    if found.extra:
        raise ValueError(
            "`found` must be a fit of all parameters, not of `least_squares`, which "
            "maximises over the deviation: give `fit` the likelihood."
        )
    counts = (
        whole("draws", draws, 4),
        whole("chains", chains, 2),
        whole("warmup", warmup, 20),
    )
    try:
        blackjax = importlib.import_module("blackjax")
    except ImportError as error:
        raise ValueError(
            'draws need the extra: python -m pip install "plasticity-jax[bayes]"'
        ) from error
    # blackjax mixes types and ranks
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return Posterior(found, *_drawn(blackjax, found, key, *counts))


@eqx.filter_jit
def _drawn(
    blackjax: Any, found: Fit, key: Key[Array, ""], draws: int, chains: int, warmup: int
) -> tuple[Float[Array, "chain draw w"], Bool[Array, "chain draw"], Vector, Vector]:
    """Free coordinates, sampled where the fit says they are like N(0, 1)."""
    center = jnp.where(found.inside, found.free, found.objective.center)
    scale = _scale(found)
    placed = lambda z: center + scale @ z
    log_density = lambda z: _log_density(found.objective, placed(z))
    adapted = blackjax.window_adaptation(
        blackjax.nuts, log_density, is_mass_matrix_diagonal=False
    )

    def chain(key: Key[Array, ""]) -> tuple[Array, Array]:
        for_start, for_warmup, for_draws = jr.split(key, 3)
        begin = 2 * normal(for_start, found.free.shape, found.free.dtype)
        begin = jnp.where(jnp.isfinite(log_density(begin)), begin, 0)
        (state, parameters), _ = adapted.run(for_warmup, begin, warmup)
        step = blackjax.nuts(log_density, **parameters).step

        def draw(state: Any, key: Key[Array, ""]) -> tuple[Any, Any]:
            state, info = step(key, state)
            return state, (placed(state.position), info.is_divergent)

        return jax.lax.scan(draw, state, jr.split(for_draws, draws))[1]

    free, diverged = jax.vmap(chain)(jr.split(key, chains))
    halves = jnp.reshape(free[:, draws % 2 :], (2 * chains, draws // 2, -1))
    each = lambda of: jnp.atleast_1d(of(halves))
    mixing = blackjax.diagnostics
    spread = each(mixing.potential_scale_reduction)
    return free, diverged, spread, each(mixing.effective_sample_size)


def _scale(found: Fit) -> Matrix:
    """A root of the covariance; a unit for parameters that have none."""
    covariance = found.covariance()
    known = jnp.isfinite(jnp.diagonal(covariance)) & found.inside
    both = known[:, None] & known[None]
    return jnp.linalg.cholesky(jnp.where(both, covariance, jnp.eye(len(known))))


def _log_density(objective: Objective, free: Vector) -> Scalar:
    """Of the posterior in free coordinates, within reach."""
    there = jnp.all(objective.reached(free) == free)
    density = objective(free) + jnp.sum(objective.space.log_slopes(free))
    return jnp.where(there, density, -jnp.inf)
