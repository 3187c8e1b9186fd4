"""Does `sweep` choose a batch size that is nearly the fastest one?

For three sizes of run: `sweep` with fixed batch sizes and with its own choice. `cold`
is the first call of a process, compiling and trials included; the other columns are
medians over rounds in turns, everything compiled. `--steps` sets the steps of the
nonlinear runs (linear ones take five times as many): trials need a sweep that is long
enough to be worth them. `OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python
benchmarks/batch_size.py --steps 200`.
"""

import argparse
import functools

import jax
import jax.random as jr
import numpy as np
from turns import cpu_ratio, in_turns, median, print_machine, spent

from plasticity_jax._sweep._sweep import sweep
from plasticity_jax.systems.optimal_plasticity.config import Config
from plasticity_jax.systems.optimal_plasticity.experiments.steady import steady_state


SIZES, ROUNDS = (1, 2, 4, 8, 16, 64, 256), 3


def compare(config: Config, seeds: int) -> None:
    grid = {"ratio": np.linspace(0.1, 2.5, 16), "corruption": [0.1, 20.0]}
    keys, chosen = jr.split(jr.key(0), seeds), []
    total = 32 * seeds

    def run(batch_size: int | None) -> None:
        options = {"batch_size": batch_size, "progress": False}
        data = sweep(steady_state, config, grid, keys, **options)
        if batch_size is None:
            chosen.append((data.attrs["batch_size"], data.attrs["compile_seconds"]))

    jax.clear_caches()
    cold, own = spent(lambda: run(None)).wall, chosen[0][0]
    print(f"\n{config.sizes}, {config.samples} samples, {config.steps} steps, ", end="")
    print(f"{total} runs: chose {own} in {cold:.1f} s, {chosen[0][1]:.1f} s compiling")
    sizes = sorted({*(size for size in SIZES if size <= total), own})
    programs = {f"{size}": functools.partial(run, size) for size in sizes}
    programs["its own choice"] = functools.partial(run, None)
    times = in_turns(programs, ROUNDS, 0.0)
    print(
        f"{'batch size':16}{'wall, s':>9}{'/ best':>8}{'CPU, s':>9}{'/ best':>8}",
        end="",
    )
    print(f"{'us a step':>11}")
    fixed = [median(times[f"{size}"]) for size in sizes]
    walls, cpus = zip(*fixed, strict=True)
    fastest = f"{sizes[cpus.index(min(cpus))]}"
    for name, rounds in times.items():
        wall, cpu = median(rounds)
        print(f"{name:16}{wall:9.2f}{wall / min(walls):8.2f}{cpu:9.2f}", end="")
        print(f"{cpu_ratio(rounds, times[fastest]):8.2f}", end="")
        mark = " chosen" if name == f"{own}" else ""
        print(f"{1e6 * cpu / total / config.steps:11.2f}{mark}")
    print(f"once compiled it chose {sorted({size for size, _ in chosen[1:]})}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    steps = parser.parse_args().steps
    compare(Config(sizes=(12, 10), steps=5 * steps), 16)
    compare(Config(samples=200, steps=steps), 4)
    compare(Config(samples=1000, steps=steps), 4)
    print_machine()


if __name__ == "__main__":
    main()
