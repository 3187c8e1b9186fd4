r"""How robustly excitatory perceptrons can store random patterns, for many inputs.

Gardner 1988 and Brunel et al. 2004, in the form of the specification (T7, derived):
every neuron has the weights $w \ge 0$ and the threshold that are best under an $L_q$
norm, q = 1 or 2, and patterns are active at a `coding_level` $f$. With the normal
distribution $\Phi$, its density $\varphi$, $A_1 = \varphi + x\Phi$ and $A_2 =
(1 + x^2)\Phi + x\varphi$, the optimum at a load of $\alpha$ patterns per input has
weights $w \propto (g + \lambda)_+$ with a normal $g$, and
$$\alpha = \max_\lambda\frac{\Phi(\lambda)^2}{V(\lambda)\,c(k)},\quad c(k) =
\min_T fA_2(k - T) + (1 - f)A_2(k + T),$$
$V = A_2$ for patterns with independent bits, $A_2 - A_1^2$ for `exact` ones ($fN$ bits
active in each); the field margin $k$ is $\rho A_1/\sqrt V$ (q = 1) or
$\kappa\sqrt{A_2/V}$ (q = 2). There is no such theory for $q < 1$ (not convex). Root
searches in double precision, outside of compiled programs; arguments may be arrays.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import ArrayLike
from numpy import ndarray
from scipy.optimize import brentq


FAR = 9.0  # standard deviations: beyond lies nothing that counts


def critical_load(coding_level: ArrayLike, exact: bool = False) -> ndarray:
    r"""$\alpha_c$: the patterns per input above which not all can be stored.

    1 for $f = \frac12$ and independent bits. Exact patterns let all weights be shifted
    at no cost, so that excitatory weights store as many as free ones, twice as many.

    >>> print(f"{critical_load(0.5):.2f} {critical_load(0.5, exact=True):.2f}")
    1.00 2.00
    """
    solve = lambda f: (1.0 if exact else 0.5) / _cost(0.0, f)
    return _everywhere(solve, _level(coding_level))


def largest_load(
    robustness: ArrayLike, coding_level: ArrayLike, q: int = 1, exact: bool = False
) -> ndarray:
    r"""$\alpha(K)$: the load at which the best margin has this `robustness` above 0.

    $K$ is $\rho = \sqrt N\,\mathrm{SNR}_1/\sqrt{f(1-f)}$ for q = 1 and $\kappa =
    \mathrm{SNR}_2/\sqrt{f(1-f)}$ for q = 2.

    >>> print(f"{largest_load(1.0, 0.5, q=2):.3f}")  # half of what free weights store
    0.260
    """
    _check_order(q)
    _check_positive("robustness", robustness)

    def solve(size: float, f: float) -> float:
        best, margin = _best(lambda x: size * _stretch(x, q, exact), f, q, exact)
        return _gain(best, exact) / _cost(margin, f)

    return _everywhere(solve, robustness, _level(coding_level))


def robustness(
    load: ArrayLike,
    coding_level: ArrayLike,
    q: int = 1,
    exact: bool = False,
    norm: int | None = None,
) -> ndarray:
    r"""$\rho$ (q = 1) or $\kappa$ (q = 2) of the best weights at this `load`.

    The same weights measured by another `norm`, 1 or 2, than the `q` for which they are
    optimal: $\rho$ for 1, $\kappa$ for 2. Multiply $\rho$ by $\sqrt{f(1-f)/N}$ for
    $\mathrm{SNR}_1$, $\kappa$ by $\sqrt{f(1-f)}$ for $\mathrm{SNR}_2$. Raises
    `ValueError` unless the load lies between 0 and the critical one.

    >>> print(f"{robustness(largest_load(1.0, 0.5, q=2), 0.5, q=2):.3f}")  # its inverse
    1.000
    """
    _check_order(q)
    measured = q if norm is None else norm
    _check_order(measured, "norm")
    seen = lambda best, margin: margin / _stretch(best, measured, exact)
    return _of_optimum(seen, load, coding_level, q, exact)


def density(
    load: ArrayLike, coding_level: ArrayLike, q: int = 1, exact: bool = False
) -> ndarray:
    r"""$\Phi(\lambda)$: the share of inputs whose optimal weight is not zero.

    One half for q = 2 and independent bits, at every load.

    >>> print(f"{density(0.1, 0.5, q=2):.2f}", density(0.1, 0.5, q=1) < 0.5)
    0.50 True
    """
    return _of_optimum(lambda best, _: _cdf(best), load, coding_level, q, exact)


def weight_variation(
    load: ArrayLike, coding_level: ArrayLike, q: int = 1, exact: bool = False
) -> ndarray:
    r"""$\sqrt{A_2\Phi/A_1^2 - 1}$: coefficient of variation of the non-zero weights.

    >>> print(f"{weight_variation(0.3, 0.5, q=2):.3f}")  # half-normal: sqrt(pi / 2 - 1)
    0.756
    """
    variation = lambda x, _: math.sqrt(_second(x) * _cdf(x) / _first(x) ** 2 - 1)
    return _of_optimum(variation, load, coding_level, q, exact)


def weight_density(
    relative: ArrayLike,
    load: ArrayLike,
    coding_level: ArrayLike,
    q: int = 1,
    exact: bool = False,
) -> ndarray:
    """Probability density of the non-zero weights, `relative` to their mean.

    A Gaussian truncated at zero. Raises `ValueError` unless `load` and `coding_level`
    are single numbers.

    >>> print(f"{weight_density(0.0, 0.3, 0.5, q=2):.3f}")  # half-normal: 2 / pi
    0.637
    """
    for name, value in (("load", load), ("coding_level", coding_level)):
        if np.size(value) != 1:
            raise ValueError(f"`{name}` must be a single number; got {value}.")
    best = _of_optimum(lambda best, _: best, load, coding_level, q, exact).item()
    mean, x = _first(best) / _cdf(best), np.asarray(relative, float)
    gaussian = np.exp(-((x * mean - best) ** 2) / 2) / math.sqrt(2 * math.pi)
    return np.where(x < 0, 0.0, gaussian * mean / _cdf(best))


def load_bound(density: ArrayLike, coding_level: ArrayLike) -> ndarray:
    r"""The largest load of any weights of which a share `density` is not zero.

    $[t\varphi(t) + \Phi(-t)]/c(0)$ with $t = \Phi^{-1}(1 - d)$: the synapses that help
    most, and no margin left. Above a density of one half synapses would have to be
    inhibitory to help, so the bound stays at the critical load.

    >>> print(load_bound(np.asarray([0.1, 0.5, 0.9]), 0.5).round(2))
    [0.65 1.   1.  ]
    """
    from scipy.special import ndtri

    def solve(share: float, f: float) -> float:
        t = max(float(ndtri(1 - share)), 0.0)
        return (t * _pdf(t) + _cdf(-t)) / _cost(0.0, f)

    return _everywhere(solve, _inside("density", density), _level(coding_level))


# --- the optimum --------------------------------------------------------------------


def _of_optimum(
    quantity: Callable[[float, float], float],
    load: ArrayLike,
    coding_level: ArrayLike,
    q: int,
    exact: bool,
) -> ndarray:
    r"""`quantity` of $\lambda$ and $k$ at the optimum, for every load."""
    _check_order(q)
    _check_positive("load", load)
    full = critical_load(coding_level, exact)
    if np.any(np.asarray(load) >= full):
        raise ValueError(
            f"`load` must be below the critical load {full}; got {load}: no weights "
            "store all patterns."
        )

    def solve(load: float, f: float) -> float:
        margin = lambda x: _margin_at_cost(_gain(x, exact) / load, f)
        return quantity(*_best(margin, f, q, exact))

    return _everywhere(solve, load, _level(coding_level))


def _best(
    margin: Callable[[float], float], f: float, q: int, exact: bool
) -> tuple[float, float]:
    r"""$\lambda$ of the optimum, and its margin, where the margin follows from it."""
    best = _root(lambda x: _slope(x, margin(x), f, q, exact), -FAR, FAR)
    return best, margin(best)


def _root(of: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(of, low, high, xtol=1e-13))  # pyright: ignore[reportArgumentType]


def _pdf(x: float) -> float:
    return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _first(x: float) -> float:
    """$A_1$: the mean of the positive part of a normal variable around x."""
    return _pdf(x) + x * _cdf(x)


def _second(x: float) -> float:
    """$A_2$: the mean square of that part."""
    return (1 + x**2) * _cdf(x) + x * _pdf(x)


def _variance(x: float, exact: bool) -> float:
    """$V$: what the patterns see of the weights' mean square."""
    return _second(x) - (_first(x) ** 2 if exact else 0.0)


def _gain(x: float, exact: bool) -> float:
    r"""$\Phi^2/V$: the load times its cost."""
    return _cdf(x) ** 2 / _variance(x, exact)


def _stretch(x: float, q: int, exact: bool) -> float:
    """The margin of the fields over the robustness, $k / K$."""
    size = _first(x) if q == 1 else math.sqrt(_second(x))
    return size / math.sqrt(_variance(x, exact))


def _bias(margin: float, f: float) -> float:
    """$T$: the threshold at which a margin costs least."""
    if f == 0.5:
        return 0.0
    slope = lambda t: (1 - f) * _first(margin + t) - f * _first(margin - t)
    reach = FAR + abs(margin)
    return _root(slope, -reach, reach)


def _cost(margin: float, f: float, t: float | None = None) -> float:
    """$c(k)$: mean squared lack of margin of a normal field, at the best threshold."""
    t = _bias(margin, f) if t is None else t
    return f * _second(margin - t) + (1 - f) * _second(margin + t)


def _margin_at_cost(cost: float, f: float) -> float:
    r"""The field margin, of either sign, whose cost is this.

    By Newton's method: $c$ is convex and not below $4f(1 - f)k^2$, so that steps from
    the right never pass the root.
    """
    margin = math.sqrt(cost / (4 * f * (1 - f)))
    for _ in range(200):
        t = _bias(margin, f)
        step = (_cost(margin, f, t) - cost) / (4 * f * _first(margin - t))
        margin -= step
        if abs(step) < 1e-13 * (1 + abs(margin)):
            break
    return margin


def _slope(x: float, margin: float, f: float, q: int, exact: bool) -> float:
    r"""Minus the derivative of $\ln\alpha$ in $\lambda$ at a given robustness.

    $\frac{kc'}{c}\frac{\mathrm d\ln(k/K)}{\mathrm d\lambda} - \frac{\mathrm
    d\ln(\Phi^2/V)}{\mathrm d\lambda}$, with $c' = 4fA_1(k - T)$ at the best $T$.
    """
    first, second, share = _first(x), _second(x), _cdf(x)
    seen = first * (1 - share) if exact else first  # half of the derivative of V
    spread = seen / _variance(x, exact)
    stretch = (share / first if q == 1 else first / second) - spread
    t = _bias(margin, f)
    pressure = margin * 4 * f * _first(margin - t) / _cost(margin, f, t)
    return pressure * stretch - 2 * (_pdf(x) / share - spread)


def _everywhere(solve: Callable[..., float], *arguments: ArrayLike) -> ndarray:
    """`solve` at every entry of the arguments, broadcast."""
    return np.vectorize(solve, otypes=[float])(*arguments)


def _level(coding_level: ArrayLike) -> ndarray:
    return _inside("coding_level", coding_level)


def _inside(name: str, value: ArrayLike) -> ndarray:
    """An array of numbers between 0 and 1."""
    x = np.asarray(value, float)
    if not np.all((x > 0) & (x < 1)):
        raise ValueError(
            f"`{name}` must lie between 0 and 1, both excluded; got {value}."
        )
    return x


def _check_positive(name: str, value: ArrayLike) -> None:
    entries = np.asarray(value, float)
    if not np.all((entries > 0) & np.isfinite(entries)):
        raise ValueError(f"`{name}` must be finite and above 0; got {value}.")


def _check_order(q: int, name: str = "q") -> None:
    if q not in (1, 2):
        raise ValueError(f"`{name}` must be 1 or 2; got {q}.")
