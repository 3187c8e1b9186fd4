"""Storage at many inputs beside tables, limits and exact optima of finite size (T7)."""

from collections.abc import Iterator

import jax.random as jr
import numpy as np

from ....experiment import always, Check, exact, once, simulated
from ....measure import largest_l1_margin, largest_l2_margin
from ....tasks import draw_patterns
from .. import capacity


LOADS = np.asarray([0.08, 0.20, 0.33, 0.70])
RHO = (6.2943, 2.8893, 1.6881, 0.4349)
DENSITY = (0.0718, 0.1626, 0.2442, 0.4109)
VARIATION = (0.8794, 0.8485, 0.8255, 0.7807)
KAPPA = (2.2918, 1.2423, 0.7950, 0.2326)
FIRST = (3.1471, 1.4446, 0.8440, 0.2174), (2.0311, 1.1009, 0.7046, 0.2061)
SECOND = (0.6332, 0.4441, 0.3217, 0.1099), (1.1459, 0.6211, 0.3975, 0.1163)
LEVELS = np.asarray([0.5, 0.1, 0.05, 0.03, 0.01])
CRITICAL = (1.0, 1.956451, 3.041423, 4.312706, 9.598643)


_drawn = once(draw_patterns)


def capacity_checks() -> Iterator[Check]:
    """T7; plain NumPy."""
    yield from _table_checks()
    yield from _limit_checks()
    for coding in (False, True):
        yield from _finite_checks(coding)


def _table_checks() -> Iterator[Check]:
    robust, dense = capacity.robustness, capacity.density
    spread = capacity.weight_variation(LOADS, 0.5)
    for title, got, table, tolerance in (
        ("robustness of L1 optima", robust(LOADS, 0.5), RHO, 1e-4),
        ("their density", dense(LOADS, 0.5), DENSITY, 2e-4),
        ("variation of their weights", spread, VARIATION, 1e-4),
        ("robustness of L2 optima", robust(LOADS, 0.5, q=2), KAPPA, 1e-4),
    ):
        yield exact(title, "T7, table", got, table, tolerance)
    names = {"sqrt(N) SNR_1": FIRST, "SNR_2": SECOND}
    for q in (1, 2):
        for norm, (name, tables) in enumerate(names.items(), 1):
            title, got = (
                f"of the L{q} optimum, {name}",
                robust(LOADS, 0.5, q, norm=norm),
            )
            yield exact(title, "T7, table", got / 2, tables[q - 1], 1e-4)
    full = capacity.critical_load(LEVELS)
    yield exact("critical load", "T7", full, CRITICAL, 1e-6)
    first = robust(0.2, 0.5, exact=True) / 2
    title = "of the L1 optimum, sqrt(N) SNR_1, exact patterns"
    yield simulated(title, "T7", first, 1.508, 5e-4)
    share = dense(0.2, 0.5, exact=True)
    yield simulated("density of it", "T7", share, 0.168, 3e-3)
    share = dense(0.2, 0.5, q=2, exact=True)
    yield simulated("density of L2 optima, exact patterns", "20", share, 0.565, 1e-3)


def _limit_checks() -> Iterator[Check]:
    for level in (0.5, 0.05):
        full = float(capacity.critical_load(level))
        for q in (1, 2):
            title = f"load at a robustness and back, q = {q}, coding level {level}"
            loads = full * LOADS
            back = capacity.largest_load(capacity.robustness(loads, level, q), level, q)
            yield exact(title, "T7", back, loads)
        share = capacity.density(full * (1 - 1e-6), level)
        title = f"density without a margin, coding level {level}"
        yield simulated(title, "T7", share, 0.5, 1e-4)
        share = capacity.density(full * LOADS, level, q=2)
        title = f"density of L2 optima, coding level {level}"
        yield exact(title, "T7", share, np.full(4, 0.5))
        loads = full * np.linspace(0.02, 0.98, 25)
        bound = capacity.load_bound(capacity.density(loads, level), level)
        title = f"L1 optima keep the bound on their density, coding level {level}"
        yield always(title, "T7", np.mean(loads < bound))
    x = np.linspace(0, 12, 4001)
    density = capacity.weight_density(x, 0.33, 0.5)
    moments = [np.trapezoid(density * x**k, x) for k in range(3)]
    spread = 1 + capacity.weight_variation(0.33, 0.5) ** 2
    want = [1.0, 1.0, spread]
    yield exact("moments of the non-zero weights", "T7", moments, want, 1e-5)


def _finite_checks(coding: bool) -> Iterator[Check]:
    """200 neurons at a load of 0.2; the specification finds deviations of 1 to 3 %."""
    n, load = 200, 0.2
    count = round(load * n)
    patterns = np.asarray(_drawn(n, count, 0.5, jr.key(0), exact=coding))
    kind = "exact" if coding else "independent"
    for q, solve in ((1, largest_l1_margin), (2, largest_l2_margin)):
        found = [solve(patterns, 2 * patterns[i] - 1, own=i) for i in range(n)]
        size = np.mean([best.margin for best in found])
        scale = 2 * n**0.5 if q == 1 else 2.0
        want = capacity.robustness(load, 0.5, q, exact=coding)
        title = f"robustness of {n} L{q} optima, {kind} bits"
        yield simulated(title, "T7", scale * size, want, 0.05)
        alive = np.mean(np.stack([best.weights for best in found]) > 1e-9)
        want = capacity.density(load, 0.5, q, exact=coding)
        title = f"density of {n} L{q} optima, {kind} bits"
        yield simulated(title, "T7", alive, want, 0.05)
