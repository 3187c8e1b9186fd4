"""What does a fit of synapse sizes cost beside SciPy's `minimize`?

The additive model, conditional on first sizes: of the shipped 1087 synapses at every
fifth time, and of 200 tables of 200 synapses drawn from what is found there. SciPy gets
the likelihood as one writes it in NumPy (a loop over times, all synapses at once;
without gaps, where one variance serves all, or with them, as ours) and differences it,
or our compiled value and gradient. All begin at the same guess and take turns in one
process: median CPU seconds, the first call's besides (compilation), ratios to `fit` as
medians over rounds. `fit` also differentiates twice, scores every unit and looks for
bounds; `climb` is its search alone. Log-likelihoods are printed: they must agree.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/fits.py`.
"""

import math
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
from scipy.optimize import minimize
from turns import cpu_ratio, in_turns, median, print_machine, spent

from plasticity_jax.inference import (
    Additive,
    fit_sizes,
    kaufman_2012,
    size_log_likelihood,
    Space,
    Table,
)


ROUNDS, TABLES, SYNAPSES = 3, 200, 200


def by_hand(free: np.ndarray, sizes: np.ndarray, times: np.ndarray) -> float:
    """Minus the log-likelihood a synapse, by a Kalman filter in NumPy: no gaps."""
    mean, (time, diffusion, noise) = free[0], np.exp(free[1:])
    x, variance, total = sizes[:, 0], noise**2, 0.0
    for i, dt in enumerate(np.diff(times)):
        decay = math.exp(-dt / time)
        x = mean + decay * (x - mean)
        long_run = diffusion**2 * time / 2
        variance = decay**2 * variance + long_run * (1 - decay**2)
        spread = variance + noise**2
        missed = sizes[:, i + 1] - x
        total += np.vdot(missed, missed) / spread
        total += len(sizes) * math.log(2 * math.pi * spread)
        gain = variance / spread
        x = x + gain * missed
        variance *= 1 - gain
    return total / 2 / len(sizes)


def by_hand_with_gaps(free: np.ndarray, sizes: np.ndarray, times: np.ndarray) -> float:
    """The same for synapses seen first at the first time, and then or not."""
    mean, (time, diffusion, noise) = free[0], np.exp(free[1:])
    x, variance, total = sizes[:, 0], np.full(len(sizes), noise**2), 0.0
    for i, dt in enumerate(np.diff(times)):
        decay = math.exp(-dt / time)
        x = mean + decay * (x - mean)
        long_run = diffusion**2 * time / 2
        variance = decay**2 * variance + long_run * (1 - decay**2)
        there = ~np.isnan(sizes[:, i + 1])
        spread = variance + noise**2
        missed = np.where(there, sizes[:, i + 1] - x, 0)
        density = missed**2 / spread + np.log(2 * math.pi * spread)
        total += np.sum(density, where=there)
        gain = np.where(there, variance / spread, 0)
        x = x + gain * missed
        variance = variance * (1 - gain)
    return total / 2 / len(sizes)


def difference(
    likelihood: Any, tables: list[Table], begin: np.ndarray, method: str
) -> np.ndarray:
    """SciPy on a likelihood in NumPy, table by table."""
    data = [(np.asarray(x.sizes), np.asarray(x.times)) for x in tables]
    return np.stack([minimize(likelihood, begin, x, method=method).x for x in data])


def slope(tables: list[Table], begin: np.ndarray, method: str) -> np.ndarray:
    """SciPy on our compiled value and gradient, table by table."""

    def found(table: Table) -> np.ndarray:
        both = lambda free: tuple(map(np.asarray, SLOPED(free, table)))
        return minimize(both, begin, jac=True, method=method).x

    return np.stack([found(table) for table in tables])


def down(free: Any, table: Table) -> jax.Array:
    """Minus the log-likelihood a synapse by the library."""
    return -jnp.mean(size_log_likelihood(SPACE.tree(free), table))


@eqx.filter_jit
def climb(tables: Table, begin: jax.Array) -> jax.Array:
    """The search of `fit` alone."""
    solver = optx.BFGS(rtol=1e-6, atol=1e-6)
    one = lambda table: optx.minimise(down, solver, begin, table, throw=False).value
    return jax.lax.map(one, tables, batch_size=16)


@eqx.filter_jit
def fits(tables: Table, start: Additive) -> tuple[jax.Array, jax.Array]:
    """All of `fit`, from one start: estimates and errors."""

    def whole(table: Table) -> tuple[jax.Array, jax.Array]:
        found = fit_sizes(table, start, starts=1)
        return found.free, found.standard_errors()

    return jax.lax.map(whole, tables, batch_size=16)


def compare(name: str, tables: list[Table], start: Additive) -> None:
    begin = SPACE.free(start)
    host, stacked = np.asarray(begin), jax.tree.map(lambda *x: jnp.stack(x), *tables)
    programs: dict[str, Any] = {"fit": lambda: fits(stacked, start)[0]}
    programs["climb"] = lambda: climb(stacked, begin)
    for method in ("BFGS", "L-BFGS-B"):
        for kind, likelihood in HAND.items():
            programs[f"SciPy {method}, {kind}"] = partial(
                difference, likelihood, tables, host, method
            )
        programs[f"SciPy {method}, our gradient"] = partial(slope, tables, host, method)
    ends: dict[str, np.ndarray] = {}

    def begun(name: str) -> None:
        ends[name] = np.asarray(programs[name]())

    first = {name: spent(partial(begun, name)).cpu for name in programs}
    times = in_turns(programs, ROUNDS)
    print(f"\n{name}\n{'':40}{'seconds':>9}{'first, more':>12}{'/ fit':>7}")
    height = {k: heights(tables, end) for k, end in ends.items()}
    for k, spells in times.items():
        each = median(spells).cpu
        ratio = cpu_ratio(spells, times["fit"])
        behind = np.max(height["fit"] - height[k])
        print(f"{k:40}{each:9.4f}{first[k] - each:12.2f}{ratio:7.2f}", end="")
        print(
            f"   log-likelihood {height[k].sum():.6f}, at most {behind:.1e} below fit's"
        )


def heights(tables: list[Table], ends: np.ndarray) -> np.ndarray:
    """Log-likelihood of each table, by the library."""
    pairs = zip(tables, ends, strict=True)
    return np.asarray([-len(x.sizes) * SLOPED(end, x)[0] for x, end in pairs])


def main() -> None:
    whole = kaufman_2012().thinned(5)
    truth = fit_sizes(whole, Additive.guess(whole), starts=1).params
    draw = lambda key: Table(truth.simulate(whole.times, SYNAPSES, key), whole.times)
    drawn = jax.vmap(draw)(jr.split(jr.key(0), TABLES))
    made = [jax.tree.map(lambda x, i=i: x[i], drawn) for i in range(TABLES)]
    compare(f"{whole.sizes.shape}, one fit", [whole], Additive.guess(whole))
    shape = made[0].sizes.shape
    compare(f"{shape}, {TABLES} fits", made, Additive.guess(made[0]))
    print_machine()


HAND = {"NumPy": by_hand, "NumPy with gaps": by_hand_with_gaps}
SPACE = Space(Additive(1.0, 1.0, 1.0, 1.0), Additive(1.0, 1.0, 1.0, 1.0).domain())
SLOPED = eqx.filter_jit(jax.value_and_grad(down))

if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
