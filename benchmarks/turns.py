"""Programs timed in turns: on a shared machine only ratios within a round mean much."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np


Program = Callable[[], Any]


class Spent(NamedTuple):
    """Seconds per call."""

    wall: float
    cpu: float


def spent(program: Program, repeats: int = 1) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        jax.block_until_ready(program())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Spent(wall / repeats, cpu / repeats)


def in_turns(
    programs: Mapping[str, Program], rounds: int, at_least: float = 0.2
) -> dict[str, list[Spent]]:
    """Each program once a round, repeated for `at_least` seconds, after a warm-up."""
    for program in programs.values():
        spent(program)
    repeats = {k: 1 + int(at_least / spent(p).wall) for k, p in programs.items()}
    times: dict[str, list[Spent]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            times[name].append(spent(program, repeats[name]))
    return times


def median(times: list[Spent]) -> Spent:
    return Spent(*(statistics.median(t) for t in zip(*times, strict=True)))


def cpu_ratio(slow: list[Spent], fast: list[Spent]) -> float:
    """Median over rounds of the ratio of CPU times."""
    return statistics.median(a.cpu / b.cpu for a, b in zip(slow, fast, strict=True))


def print_machine() -> None:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    threads = [line.split()[1] for line in lines if line.startswith("Threads:")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"
    names = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
    settings = ", ".join(f"{n}={os.environ.get(n, '')}" for n in names)
    print(
        f"\n{platform.machine()}, {cores} cores, {''.join(threads) or '?'} threads, ",
        end="",
    )
    print(
        f"{settings}; {jax.devices()[0]}, jax {jax.__version__}, numpy {np.__version__}"
    )
