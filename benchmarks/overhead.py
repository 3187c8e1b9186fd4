"""What does a sweep cost beside the runs themselves?

`sweep` (batches, labels, progress), the same with a store, and a hand-written
`jit(lax.map(..., batch_size=best))` take turns in one process, on the same runs and at
the same batch size. Ratios are medians over rounds of CPU times within a round; `store`
is the share of a sweep's time that writing took.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/overhead.py`.
"""

import argparse
import dataclasses
import resource
import shutil
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax import sweep
from plasticity_jax._sweep._store import Store
from plasticity_jax.systems.optimal_plasticity import Config
from plasticity_jax.systems.optimal_plasticity.experiments.steady import steady_state


RATIOS = np.linspace(0.2, 2.5, 24)


def programs(steps: int, seeds: int) -> dict[str, Program]:
    """The same runs, three ways."""
    config = Config(sizes=(12, 10), samples=1000, steps=steps, window=steps // 2)
    keys = jr.split(jr.key(0), seeds)
    swept = lambda **options: sweep(
        steady_state, config, {"ratio": RATIOS}, keys, progress=False, **options
    )
    size = swept().attrs["batch_size"]
    points = jnp.repeat(jnp.asarray(RATIOS, jnp.float32), seeds)
    every = jnp.tile(jr.key_data(keys), (len(RATIOS), 1))

    @jax.jit
    def by_hand() -> dict[str, jax.Array]:
        run = lambda x: steady_state(
            dataclasses.replace(config, ratio=x[0]), jr.wrap_key_data(x[1])
        )
        return jax.lax.map(run, (points, every), batch_size=size)

    def stored() -> None:
        folder = Path(tempfile.mkdtemp())
        try:
            swept(batch_size=size, store=folder / "store")
        finally:
            shutil.rmtree(folder)

    print(f"{len(points)} runs of {steps} steps, {size} at once")
    return {
        "by hand": by_hand,
        "sweep": lambda: swept(batch_size=size),
        "sweep with a store": stored,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    writing, write = [0.0], Store.write

    def timed(self: Store, number: int, results: dict[str, np.ndarray]) -> None:
        begun = time.perf_counter()
        write(self, number, results)
        writing[0] += time.perf_counter() - begun

    Store.write = timed
    times = in_turns(programs(given.steps, given.seeds), given.rounds)
    for name, rounds in times.items():
        ratio = cpu_ratio(rounds, times["by hand"])
        wall, cpu = median(rounds)
        print(f"{name:20}{wall:8.2f} s wall{cpu:8.2f} s CPU{ratio:8.3f} of by hand")
    calls = given.rounds + 2  # a warm-up and a count before the rounds
    share = writing[0] / calls / median(times["sweep with a store"]).wall
    print(f"writing the store: {share:.2%} of the time")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak resident size: {peak / 1024:.0f} MiB")
    print_machine()


if __name__ == "__main__":
    main()
