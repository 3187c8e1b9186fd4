"""How much of a step's time do fast keys leave, against the default ones?

Normals added up in a loop, and steps of four systems that draw at every one; both kinds
of keys take turns in one process. `fast/default` is the median over rounds of the ratio
of CPU times; `at most` is the bound that it has to keep, and the exit code says whether
all do. No bound stands where what is drawn costs less than kernels launched or passes
over arrays. `benchmarks/replay.py` draws only at the start.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/keys.py`.
"""

import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import rates
import release
import spiking
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax import fast_key
from plasticity_jax._sweep._lanes import Lanes, map_lanes
from plasticity_jax.numerics import normal, unrolled
from plasticity_jax.systems.optimal_plasticity.config import Config
from plasticity_jax.systems.optimal_plasticity.experiments.steady import steady_state
from plasticity_jax.systems.presynaptic_stochasticity import source_of


ROUNDS, NORMALS, LINEAR = 7, 2**21, Config(sizes=(12, 10), steps=2000)
NOISY = rates.with_noise(rates.RATE, 1)
KEYS = {"default": jr.key(0), "fast": fast_key(0)}


class Case(NamedTuple):
    """A program for each kind of keys, what it does so often, and its bound."""

    programs: dict[str, Program]
    work: int
    bound: float | None


def normals(size: int) -> Case:
    """As many normals drawn and added up in every turn of a loop."""
    turns = NORMALS // size

    @jax.jit
    def added(key: jax.Array) -> jax.Array:
        add = lambda i, x: x + normal(jr.fold_in(key, i), x.shape)
        return jax.lax.fori_loop(0, turns, add, jnp.zeros(size))

    kinds = {name: lambda key=key: added(unrolled(key)) for name, key in KEYS.items()}
    return Case(kinds, size * turns, 1 / 3)


def lanes_of(
    run: Any, config: Any, count: int, steps: int, bound: float | None
) -> Case:
    """A batch of runs, compiled as a sweep does."""

    def program(key: jax.Array) -> Program:
        lanes = Lanes.of(run, config, [], jr.split(key, count))
        batch = lanes.batch(np.arange(count))
        return lambda: map_lanes(*batch)

    kinds = {name: program(key) for name, key in KEYS.items()}
    return Case(kinds, count * steps, bound)


def releasing() -> Case:
    """An epoch of one network whose weights release or not."""
    source, run = source_of(release.images()), jax.jit(release.run)
    kinds = {
        name: lambda key=key: run(source, release.CONFIG, key)
        for name, key in KEYS.items()
    }
    return Case(kinds, release.STEPS, None)


def cases() -> dict[str, Case]:
    found = {f"a normal, {size} at once": normals(size) for size in (36, 1000, 8192)}
    for count, bound in ((1, None), (16, 0.6)):
        name = f"linear compensation, {count} at once"
        found[name] = lanes_of(steady_state, LINEAR, count, LINEAR.steps, bound)
    for count in (1, 16):
        name = f"rate network with noise, {count} at once"
        found[name] = lanes_of(rates.grow, NOISY, count, rates.STEPS, 0.45)
    for config, bound in ((spiking.FINE, None), (spiking.COARSE, 0.6)):
        steps, count = spiking.Row(config).steps, spiking.TRIALS
        name = f"spiking neuron, {config.substeps} draws, {count} at once"
        found[name] = lanes_of(spiking.learn, config, count, steps, bound)
    return {**found, "plastic release, 1 at once": releasing()}


def main() -> int:
    kept = True
    print(f"{'ns, CPU':36}{'default':>12}{'fast':>12}{'fast/default':>14}", end="")
    print(f"{'at most':>9}")
    for name, case in cases().items():
        times = in_turns(case.programs, ROUNDS)
        ratio = cpu_ratio(times["fast"], times["default"])
        each = (1e9 * median(t).cpu / case.work for t in times.values())
        print(f"{name:36}" + "".join(f"{ns:12.4g}" for ns in each), end="")
        bound = "" if case.bound is None else f"{case.bound:.2f}"
        print(f"{ratio:14.2f}{bound:>9}", flush=True)
        kept &= case.bound is None or ratio <= case.bound
    print_machine()
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
