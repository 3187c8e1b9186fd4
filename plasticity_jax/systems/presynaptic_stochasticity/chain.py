r"""One synapse's release probability as a birth-death chain (specification, T6).

The slope $\partial\ell/\partial w$ that a synapse sees when it releases is independent
from step to step, $\mathcal N(\mu, \sigma^2)$. Scaled steps multiply $1 - p$ by $1 -
p_{up}$ or $1 + p_{down}$; with $p_{down} = p_{up}/(1 - p_{up})$ its values form a
ladder $1 - p_n = (1 - p_{min})(1 - p_{up})^n$, held at the bottom and absorbed at the
first level at or above $p_{freeze}$. Steps that are not `scaled` add $\pm p_{up}$, and
$p_n = p_{min} + np_{up}$. In double precision.

Probabilities outside [0, 1] raise `ValueError`, and give NaN where they are traced.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ... import AbstractTask, Scalar, State, System
from ..._arguments import admit, floating, not_negative, positive, real, whole
from ..._arguments import probability as unit_interval
from ...circuits import StochasticNetwork
from ...numerics import normal
from ...rules import ReleasePlasticity
from ...synapses import Release, ReleaseBounds, Stochastic
from .theory import fewest_steps, up_probability, Values


Levels = Float[Array, " level"]
Number = Scalar | float | int


@floating
def matching_down(up: Number) -> Scalar:
    r"""$p_{up}/(1 - p_{up})$: a step down undoes a step up, and the ladder closes.

    >>> down = matching_down(0.5)
    >>> float(down), float((1 - 0.5) * (1 + down))  # 1 - p is as before
    (1.0, 1.0)
    """
    up = jnp.asarray(up)
    up = admit("up", up, (up < 0) | (up >= 1), "lie in [0, 1)")
    return up / (1 - up)


@floating
def zero_drift(up: Number, down: Number) -> Scalar:
    r"""$p_{down}/(p_{up} + p_{down})$: how often steps go up where $p$ has no drift.

    >>> print(f"{zero_drift(0.1, 0.1):.2f} {zero_drift(0.1, 0.3):.2f}")
    0.50 0.75
    """
    up = unit_interval("up", jnp.asarray(up))
    down = not_negative("down", jnp.asarray(down))
    return down / positive("up + down", up + down)


def ladder(low: float, freeze: float, up: float, scaled: bool = True) -> Levels:
    """Release probabilities of all levels, `low` first; only the last is frozen.

    >>> ladder(low=0.5, freeze=0.9, up=0.5).tolist()
    [0.5, 0.75, 0.875, 0.9375]
    >>> ladder(low=0.25, freeze=0.75, up=0.25, scaled=False).tolist()
    [0.25, 0.5, 0.75]
    """
    steps = np.arange(fewest_steps(low, freeze, up, scaled) + 1)
    levels = 1 - (1 - low) * (1 - up) ** steps if scaled else low + up * steps
    return real(np.minimum(levels, 1.0))


@floating
def climb_probability(
    probability: Values,
    threshold: Number,
    mean: Number,
    deviation: Number,
    normalised: bool = True,
) -> Values:
    r"""$a(p) = p\Pr[|x| > pg_{lim}]$, $x \sim \mathcal N(\mu, \sigma^2)$: a step up.

    A synapse that did not release steps down, and $g = x/p$ where it did; without
    normalisation $g = x$, and $a(p) = p\Pr[|x| > g_{lim}]$.

    >>> climb_probability([0.25, 0.5], threshold=0.0, mean=0.0, deviation=1.0).tolist()
    [0.25, 0.5]
    >>> print(f"{climb_probability(1.0, threshold=1.0, mean=0.0, deviation=1.0):.3f}")
    0.317
    """
    probability = unit_interval("probability", probability)
    limit = threshold * (probability if normalised else jnp.ones_like(probability))
    return probability * up_probability(limit, mean, deviation)


@floating
def levels_climbed(
    low: float,
    freeze: float,
    up: float,
    ratio: Number,
    mean: Number = 0.0,
    scaled: bool = True,
    normalised: bool = True,
) -> Levels:
    r"""$a_n$ of every level below the frozen one, at $\sigma/g_{lim} =$ `ratio`.

    The `mean` is in units of $g_{lim}$.

    >>> climbs = levels_climbed(low=0.5, freeze=0.9, up=0.5, ratio=1e6)
    >>> print(*(f"{x:.3f}" for x in climbs))  # whenever it releases
    0.500 0.750 0.875
    """
    levels = ladder(low, freeze, up, scaled)[:-1]
    return climb_probability(levels, 1.0, mean, ratio, normalised)


@floating
def transitions(climbs: Levels) -> Float[Array, "level_and_one level_and_one"]:
    """Chances of going from each level (row) to each; the last one keeps what it has.

    `climbs` are the chances of a step up from all levels but the frozen one.

    >>> transitions([0.5, 0.25]).tolist()
    [[0.5, 0.5, 0.0], [0.75, 0.0, 0.25], [0.0, 0.0, 1.0]]
    """
    climbs, count = unit_interval("climbs", climbs), len(climbs) + 1
    rows = jnp.arange(count - 1)
    matrix = jnp.zeros((count, count), climbs.dtype).at[-1, -1].set(1.0)
    matrix = matrix.at[rows, rows + 1].add(climbs)
    return matrix.at[rows, jnp.maximum(rows - 1, 0)].add(1 - climbs)


@floating
def law_after(climbs: Levels, steps: int) -> Float[Array, " level_and_one"]:
    """Chance of being on each level after a number of steps from the lowest one.

    >>> law_after([0.5, 0.5], steps=2).tolist()
    [0.5, 0.25, 0.25]
    """
    return jnp.linalg.matrix_power(transitions(climbs), whole("steps", steps, 0))[0]


@floating
def frozen_shares(climbs: Levels, doublings: int) -> Float[Array, " doubling"]:
    r"""Chance of being frozen after $1, 2, 4, \dots, 2^k$ steps, `doublings` k.

    >>> frozen_shares([0.5], doublings=2).tolist()  # after 1, 2 and 4 steps
    [0.5, 0.75, 0.9375]
    """

    def twice(matrix: Array, _: None) -> tuple[Array, Scalar]:
        return matrix @ matrix, matrix[0, -1]

    doublings = whole("doublings", doublings, 0)
    return jax.lax.scan(twice, transitions(climbs), length=doublings + 1)[1]


@floating
def freezing_time(climbs: Levels) -> Scalar:
    r"""Mean number of steps from the lowest level until frozen.

    $\sum_nh_n$, $h_0 = 1/a_0$, $h_n = (1 + (1 - a_n)h_{n-1})/a_n$: the time to rise by
    one level.

    >>> float(freezing_time([0.5])), float(freezing_time([0.5, 0.5]))  # 2, then 4 more
    (2.0, 6.0)
    """

    def rise(before: Scalar, climb: Scalar) -> tuple[Scalar, Scalar]:
        time = (1 + (1 - climb) * before) / climb
        return time, time

    climbs = unit_interval("climbs", climbs)
    first = 1 / climbs[0]
    return first + jnp.sum(jax.lax.scan(rise, first, climbs[1:])[1])


@floating
def phase_diagram(
    information: Float[Array, " value"],
    doublings: int,
    low: float = 0.25,
    freeze: float = 0.9353,
    up: float = 0.052,
) -> Float[Array, "value doubling"]:
    r"""Frozen share at each $F/g_{lim}^2 = \sigma^2/g_{lim}^2$ after $2^k$ steps.

    >>> shares = phase_diagram([0.0, 1e6], 5, low=0.5, freeze=0.9, up=0.5)
    >>> print(*(f"{x:.2f}" for x in shares[:, -1]))  # after 32 steps
    0.00 1.00
    """
    information = not_negative("information", information)
    climbs = lambda value: levels_climbed(low, freeze, up, jnp.sqrt(value))
    return jax.vmap(lambda value: frozen_shares(climbs(value), doublings))(information)


# --- the same by simulation ---------------------------------------------------------


class GaussianSlopes(AbstractTask):
    r"""Independent $\mathcal N(\mu, \sigma^2)$ for each of `count` synapses a step.

    >>> task = GaussianSlopes(mean=0.5, deviation=0.0, count=3)
    >>> task(jnp.asarray(0), jr.key(0)).tolist()
    [0.5, 0.5, 0.5]
    """

    mean: Scalar = eqx.field(converter=real)
    deviation: Scalar = eqx.field(converter=real)
    count: int = eqx.field(static=True)

    def __call__(
        self, step: Int[Array, ""], key: Key[Array, ""]
    ) -> Float[Array, " synapse"]:
        del step
        noise = normal(key, (self.count,), self.mean.dtype)
        return self.mean + self.deviation * noise


def linear_loss(weights: Any, slopes: Float[Array, " synapse"]) -> Scalar:
    """Sum of weights times their `slopes`, which are then its gradient.

    >>> slopes = jnp.asarray([0.5, -1.0, 2.0])
    >>> jax.grad(linear_loss)(jnp.ones(3), slopes).tolist()
    [0.5, -1.0, 2.0]
    """
    return weights @ slopes


def independent(
    count: int,
    low: float,
    freeze: float,
    up: Number,
    ratio: Number,
    mean: Number = 0.0,
    scaled: bool = True,
    normalised: bool = True,
    down: Number | None = None,
) -> tuple[System, State]:
    """Synapses of fixed strength, each with its own Gaussian slopes, on the ladder.

    As `levels_climbed`: the threshold is 1, `mean` and `ratio` (standard deviation) in
    its units. Release and its plasticity are those of the networks. Steps `down` of
    another size leave the ladder.

    >>> system, state = independent(3, low=0.5, freeze=0.9, up=0.5, ratio=1e6)
    >>> state, _ = simulate(system, state, jr.key(0), steps=100)
    >>> print(*(f"{p:.4f}" for p in state.synapses.probability))  # frozen
    0.9375 0.9375 0.9375
    """
    if down is None:
        down = matching_down(up) if scaled else up
    rule = ReleasePlasticity(1.0, up, down, freeze, scaled=scaled)
    release = Release(divisor="used" if normalised else "none")
    system = System(
        GaussianSlopes(mean, ratio, count),
        StochasticNetwork(linear_loss, release),
        {"release": rule},
        (ReleaseBounds(low, 1.0),),
    )
    ones = real(np.ones(count))
    return system, State(None, Stochastic(ones, low * ones))
