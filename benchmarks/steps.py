"""What does one step of one run cost, and which limit of the machine does it meet?

The library's compiled batch at several batch sizes, a loop over jitted single runs and
NumPy take turns in one process; ratios are medians over rounds of CPU times. Below
stands the share of the cheapest step that each limit of the machine explains, for
products twice: at the rate of large matrices, and of the step's own thin ones.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/steps.py`.
"""

import dataclasses
import itertools

import equinox as eqx
import jax.random as jr
import numpy as np
from by_hand import numpy_run
from limits import print_limits
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax._sweep._config import checked_grid
from plasticity_jax._sweep._lanes import Lanes, map_lanes
from plasticity_jax.systems.optimal_plasticity.config import Config
from plasticity_jax.systems.optimal_plasticity.experiments.steady import steady_state


SIZES, LOOPED, ROUNDS = (1, 2, 4, 16, 64, 256), 8, 5
CONFIGS = (Config(sizes=(12, 10), steps=2000), Config(steps=300))
BY_HAND, LOOP = "NumPy, one run", "loop over jitted runs"


def step_costs(config: Config) -> float:
    """Print a row for each way to compute the runs; least CPU seconds per step."""
    values = np.linspace(0.1, 2.5, max(SIZES))
    axes = checked_grid("grid", config, {"ratio": values})
    keys = jr.split(jr.key(0), 1)
    lanes = Lanes.of(steady_state, config, axes, keys)
    single = eqx.filter_jit(steady_state)
    points = [dataclasses.replace(config, ratio=r) for r in values[:LOOPED]]
    programs: dict[str, Program] = {
        BY_HAND: numpy_run(config, keys[0]),
        LOOP: lambda: [single(point, keys[0]) for point in points],
    }
    runs, notes = {BY_HAND: 1, LOOP: LOOPED}, {}
    for size in SIZES:
        name, batch = f"batch of {size}", lanes.batch(np.arange(size))
        before, memory = lanes.compile_seconds, lanes.compile(size)
        notes[name] = f"{lanes.compile_seconds - before:12.1f}{memory >> 10:13}"
        programs[name] = lambda batch=batch: map_lanes(*batch)
        runs[name] = size
    losses = programs[BY_HAND](), float(single(config, keys[0])["loss"])
    print(f"\n{config.sizes}, {config.samples} samples, {config.steps} steps; ", end="")
    print("last losses: NumPy {:.3g}, library {:.3g}".format(*losses))
    print(f"{'us per run and step':24}{'wall':>8}{'CPU':>8}{'NumPy/this':>12}", end="")
    print(f"{'compile, s':>12}{'memory, KiB':>13}")
    times = in_turns(programs, ROUNDS)
    for name, rounds in times.items():
        wall, cpu = (1e6 * t / runs[name] / config.steps for t in median(rounds))
        ratio = runs[name] * cpu_ratio(times[BY_HAND], rounds)
        print(f"{name:24}{wall:8.2f}{cpu:8.2f}{ratio:12.1f}{notes.get(name, '')}")
    return min(median(times[k]).cpu / runs[k] / config.steps for k in notes)


def work(config: Config) -> dict[str, float]:
    """Arithmetic of one step: operations in products, logistic functions, normals."""
    pairs = list(itertools.pairwise(config.sizes))
    columns = config.sizes[0] if config.linear else config.samples
    forward = [2 * m * n * columns for m, n in pairs]
    products = 2 * sum(forward) + sum(forward[1:])  # and for weights, hidden units
    logistic = 0 if config.linear else sum(config.sizes[1:-1]) * config.samples
    return {"product": products, "logistic": logistic, "normal": 2 * config.weights}


def main() -> None:
    costs = [step_costs(config) for config in CONFIGS]
    rates = print_limits()
    for config, cost in zip(CONFIGS, costs, strict=True):
        print(f"\n{config.sizes}: {1e6 * cost:.2f} us a step, of which")
        needed = {kind: n / rates[kind] for kind, n in work(config).items()}
        if not config.linear:  # thin matrices: their own limit is lower
            needed["own product"] = needed["product"] * (
                rates["product"] / rates["own product"]
            )
        for kind, seconds in needed.items():
            print(f"{kind:12}{1e6 * seconds:8.2f} us {seconds / cost:6.0%}")
    print_machine()


if __name__ == "__main__":
    main()
