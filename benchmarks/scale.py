"""Do more workers compute more, and does a long sweep stay as small as a short one?

`workers`: the same sweep by one and by two worker processes in turns, and by one and by
two batches in flight within a process; the ratio of throughputs is that of wall times
within a round, so let nothing else run. `memory`: a sweep of many short runs with a
store; resident size as it goes on.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/scale.py [workers|memory]`.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from unittest import mock

import jax
import jax.random as jr
import numpy as np
from turns import in_turns, print_machine, Program

from plasticity_jax import sweep
from plasticity_jax._sweep._progress import Progress
from plasticity_jax.systems.optimal_plasticity import Config
from plasticity_jax.systems.optimal_plasticity.experiments.steady import steady_state


RATIOS = np.linspace(0.2, 2.5, 20)
IN_FLIGHT = "plasticity_jax._sweep._sweep.batches_in_flight"
SHARES = (0.01, 0.1, 0.25, 0.5, 0.75, 1.0)


def pool(workers: int) -> Executor:
    """Processes that start clean, as those of another machine would."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context)


def workers(steps: int, seeds: int, rounds: int, threads: str) -> None:
    """Throughput of two workers over that of one."""
    config = Config(sizes=(12, 10), samples=200, steps=steps, window=steps // 2)
    keys = jr.split(jr.key(0), seeds)
    swept = lambda **options: sweep(
        steady_state,
        config,
        {"ratio": RATIOS},
        keys,
        batch_size=10,
        progress=False,
        **options,
    )

    def in_flight(count: int) -> Callable[[], None]:
        def program() -> None:
            with mock.patch(IN_FLIGHT, return_value=count):
                swept()

        return program

    jax.devices()  # this process keeps its threads
    os.environ["NPROC"] = threads  # of XLA in each worker, which starts after this
    with pool(1) as one, pool(2) as two:
        programs: dict[str, Program] = {
            "one process": lambda: swept(executor=one),
            "two processes": lambda: swept(executor=two),
            "one batch in flight": in_flight(1),
            "two batches in flight": in_flight(2),
        }
        swept(executor=two)  # a worker may have slept through the first warm-up
        times = in_turns(programs, rounds)
    print(f"{len(RATIOS) * seeds} runs of {steps} steps")
    names = list(times)
    for slow, fast in (names[:2], names[2:]):
        ratios = [
            a.wall / b.wall for a, b in zip(times[slow], times[fast], strict=True)
        ]
        wall = [statistics.median(x.wall for x in times[name]) for name in (slow, fast)]
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"{slow} {wall[0]:.1f} s, {fast} {wall[1]:.1f} s: "
            f"{statistics.median(ratios):.2f} times the throughput ({told})"
        )


def resident() -> float:
    """MiB of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(steps: int, runs: int) -> None:
    """Resident size of a sweep as it goes on."""
    config = Config(sizes=(12, 10), samples=50, steps=steps, window=steps // 2)
    keys = jr.split(jr.key(0), runs // len(RATIOS))
    seen, advance = {}, Progress.advance

    def watched(self: Progress, *arguments: int, known: bool = False) -> None:
        advance(self, *arguments, known=known)
        for share in SHARES:
            if self.done >= share * self.total:
                seen.setdefault(share, resident())

    with tempfile.TemporaryDirectory() as folder:
        with mock.patch.object(Progress, "advance", watched):
            data = sweep(
                steady_state,
                config,
                {"ratio": RATIOS},
                keys,
                store=Path(folder) / "store",
                progress=False,
            )
        size = sum(path.stat().st_size for path in Path(folder).rglob("*"))
    wall, batch = data.attrs["wall_seconds"], data.attrs["batch_size"]
    print(f"{data.diverged.size} runs of {steps} steps, {batch} at once: {wall:.0f} s")
    for share, mib in seen.items():
        print(f"{share:6.0%} of the runs done: {mib:.0f} MiB resident")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"   peak: {peak:.0f} MiB")
    print(f"results {data.nbytes / 2**20:.1f} MiB, store {size / 2**20:.1f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=("workers", "memory"))
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1", help="of XLA, in a worker process")
    parser.add_argument("--runs", type=int, default=100_000)
    given = parser.parse_args()
    if given.what != "memory":
        workers(given.steps, given.seeds, given.rounds, given.threads)
    if given.what != "workers":
        memory(50, given.runs)
    print_machine()


if __name__ == "__main__":
    main()
