"""How long synapses remember: the signal that a cascade or a chain keeps, its noise."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._arguments import admit, floating, not_negative, positive, SLACK, whole
from .._interfaces import Scalar
from ..numerics import eigh


Matrix = Float[Array, "to from"]
Times = Float[Array, " time"]


@floating
def cascade_transitions(
    levels: int, ratio: Scalar | float = 0.5, share: Scalar | float = 0.5
) -> tuple[Matrix, Matrix]:
    r"""Where an event of potentiation and one of depression lead: $M_+$ and $M_-$.

    Probabilities of `rules.Cascaded` (Fusi, Drew & Abbott 2005), from the state of a
    column to that of a row, in the order $-n, \dots, -1, 1, \dots, n$. Raises
    `ValueError`, or NaN where it is traced, for what the rule refuses.

    >>> up, down = cascade_transitions(1)
    >>> print(up)
    [[0. 0.]
     [1. 1.]]
    """
    n, ratio, share = _admitted(levels, ratio, share)
    level = jnp.arange(1, n + 1, dtype=ratio.dtype)
    switch, odds = ratio ** (level - 1), (1 - share) / share
    switch = switch.at[-1].divide(1 - ratio) if n > 1 else jnp.ones_like(switch)
    deepen = ratio ** level[:-1] / (1 - ratio)

    def moved(deepen: Array) -> Matrix:
        """By what makes weights 1; those of -1 come first, the deepest before."""
        stay = 1 - jnp.append(deepen, jnp.zeros_like(ratio))
        above = jnp.diag(stay) + jnp.diag(deepen, -1)
        into = jnp.zeros((n, n), ratio.dtype).at[0].set(switch[::-1])
        below = jnp.diag(1 - switch[::-1])
        return jnp.block([[below, jnp.zeros_like(below)], [into, above]])

    return moved(odds * deepen), moved(deepen / odds)[::-1, ::-1]


@floating
def cascade_signal(
    times: Times, levels: int, ratio: Scalar | float = 0.5, share: Scalar | float = 0.5
) -> Times:
    r"""$s(t) = w^\top e^{(P - 1)t}\,\frac12(M_+ - M_-)\pi$ of a memory of age $t$.

    Fusi, Drew & Abbott 2005: what one event leaves in a weight while others follow, one
    per unit of time on average (a Poisson process), $P = f_+M_+ + f_-M_-$. Of $N$
    synapses the signal-to-noise ratio is $\sqrt N s / \sqrt{1 - (f_+ - f_-)^2}$. It
    begins at $1/n(1 - x)$, or 1 of one level, and ends at a rate that falls as $x^n$.
    Raises `ValueError`, or NaN where it is traced, for a negative time or what the rule
    refuses.

    >>> young, old = cascade_signal([0.0, 10.0], 3)  # one level would leave exp(-10)
    >>> print(f"{young:.3f} {1 / (3 * (1 - 0.5)):.3f}", old > jnp.exp(-10.0))
    0.667 0.667 True
    """
    times = not_negative("times", times)
    ratio, share = (jnp.asarray(x, times.dtype) for x in (ratio, share))
    up, down = cascade_transitions(levels, ratio, share)
    n = len(up) // 2
    flow = share * up + (1 - share) * down - jnp.eye(2 * n, dtype=up.dtype)
    side = jnp.ones(n, up.dtype)
    balance = jnp.concatenate([(1 - share) * side, share * side]) / n
    start = (up - down) @ balance / 2
    read = jnp.concatenate([-side, side])
    most = 64  # squarings: as deep levels need, which are slow
    later = lambda t: jax.scipy.linalg.expm(flow * t, max_squarings=most) @ start
    return jax.vmap(later)(times) @ read


def _admitted(levels: int, ratio: Any, share: Any) -> tuple[int, Scalar, Scalar]:
    """What a cascade may be made of."""
    n, ratio, share = whole("levels", levels, 1), jnp.asarray(ratio), jnp.asarray(share)
    ratio = admit("ratio", ratio, (ratio < 0) | (ratio > 0.5), "lie in [0, 0.5]")
    share = admit("share", share, (share <= 0) | (share >= 1), "lie between 0 and 1")
    odds = (1 - share) / share
    first = jnp.maximum(odds, 1 / odds) * ratio / (1 - ratio)  # level to deepen
    too_far = (first > 1 + SLACK) & (n > 1)
    return n, ratio, admit("share", share, too_far, "be nearer to a half at this ratio")


@floating
def chain_signal(
    times: Times,
    variables: int,
    coupling: Scalar | float = 0.25,
    factor: Scalar | float = 2.0,
) -> Times:
    r"""$s(t) = (A^t)_{11}$: what is left of a unit in the weight after $t$ steps.

    Of `rules.Chained` (Benna & Fusi 2016) in steps of 1; `coupling` times the step for
    others. It falls as $t^{-1/2}$ until $t \sim n^{2m}$, $m$ being `variables`. Raises
    `ValueError`, or NaN where it is traced, for a negative time, one at which precision
    has lost what is left (in single precision after some $10^6$ steps), a coupling that
    is not positive or that the rule refuses, or a `factor` below 1.

    >>> signal = chain_signal([0.0, 100.0, 400.0], 10)
    >>> print(signal[0].round(3), f"{signal[1] / signal[2]:.1f}")
    1.0 2.0
    """
    times = not_negative("times", times)
    coupling, factor = (jnp.asarray(x, times.dtype) for x in (coupling, factor))
    rates, weights, _ = _modes(variables, coupling, factor)
    error = times * rates[-1] * jnp.finfo(times.dtype).eps
    lost = (error > 0.05) & (times * rates[0] < 100)  # else nothing is left
    times = admit("times", times, lost, "be shorter in this precision (jax_enable_x64)")
    return (1 - rates)[None] ** times[:, None] @ weights


@floating
def chain_noise(
    variables: int, coupling: Scalar | float = 0.25, factor: Scalar | float = 2.0
) -> Scalar:
    r"""$\sigma = \sqrt{\sum_t s(t)^2}$: deviation of a weight that a unit moves a step.

    Of $N$ synapses the signal-to-noise ratio is $\sqrt N s / \sigma$. $\sigma^2$ grows
    as $m$, so a memory lasts about $N / \log N$ steps if $m \sim \log N / 2\log n$.
    Raises `ValueError`, or NaN where it is traced, as `chain_signal` does, and for more
    variables than precision resolves: at a factor of 2 more than 18, in double 26.

    >>> print(f"{chain_noise(1):.3f} {(1 - 0.875**2) ** -0.5:.3f}")
    2.066 2.066
    """
    rates, weights, times = _modes(variables, coupling, factor)
    lost = (jnp.abs(jnp.sum(1 / rates) - times) > 0.03 * times) | jnp.isinf(times)
    must = "be fewer at this factor and precision (jax_enable_x64)"
    count = admit("variables", jnp.asarray(variables, rates.dtype), lost, must)
    one, other = rates[:, None], rates[None]
    power = weights @ (1 / (one + other - one * other)) @ weights
    return jnp.where(jnp.isnan(count), jnp.nan, jnp.sqrt(power))


def _modes(variables: int, coupling: Any, factor: Any) -> tuple[Array, Array, Scalar]:
    """Rates at which the chain decays, and how much of each is in the weight.

    Of $C^{-1/2} G C^{-1/2}$, symmetric, with $C_k = n^{k-1}$ and couplings $g_k$. And
    the sum of all time constants, the trace of the inverse, which has no cancellation.
    """
    m = whole("variables", variables, 1)
    coupling, factor = jnp.asarray(coupling), jnp.asarray(factor)
    coupling = positive("coupling", coupling)
    factor = admit("factor", factor, factor < 1, "be at least 1")
    fastest = 2 * coupling * jnp.maximum(1 / factor, factor**-2 + factor**-3)
    must = "be lower at this factor: a step would overshoot"  # as of the rule
    coupling = admit("coupling", coupling, fastest >= 2, must)
    k = jnp.arange(m, dtype=coupling.dtype)
    size, joined = factor**k, coupling * factor ** (-1.0 - k)
    before = jnp.append(jnp.zeros_like(joined[:1]), joined[:-1])
    beside = -joined[:-1] / jnp.sqrt(size[:-1] * size[1:])
    matrix = jnp.diag((before + joined) / size)
    rates, modes = eigh(matrix + jnp.diag(beside, 1) + jnp.diag(beside, -1))
    times = size @ jnp.cumsum(1 / joined[::-1])[::-1]
    return rates, modes[0] ** 2, times
