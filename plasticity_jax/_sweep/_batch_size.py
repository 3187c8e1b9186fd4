"""How many runs to compute at once."""

import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax


CANDIDATES = (1, 2, 4, 8, 16, 64, 256, 1024, 4096)
FIRST = 256  # the largest size that needs no trial, compiled to learn the memory
CACHE_BYTES = 2**21  # per core of a CPU: where all lanes' state should stay
SPILL = 4  # times as much is no reason to compile again
MEMORY_SHARE = 0.25  # of the device's memory, for all workers together
TRIAL_SHARE = 0.05  # of the expected time of the sweep, for all trials together
GAIN = 0.95  # of the time per lane, or less, for a size to be called faster
SHORT = 0.1  # seconds: a timing shorter than this is taken twice


def choose_batch_size(
    total: int,
    workers: int,
    compile: Callable[[int], int],
    compute: Callable[[int], Any],
) -> int:
    """The number of lanes that makes a sweep of `total` runs fastest.

    Starts where the temporary memory of the compiled program fits a core's cache, or on
    a GPU its share of the memory, and climbs from there, up first, as long as a trial
    makes a lane faster, all of them cost little beside the sweep, and the program fits
    the device's memory: a sweep of seconds is computed at the size it starts with.
    `compile(size)` compiles and tells the bytes of memory that a batch needs;
    `compute(size)` runs as many batches as there are workers at once, as the sweep
    will.
    """
    sizes = candidates(total, workers)
    limit = MEMORY_SHARE * device_memory() / workers
    room = CACHE_BYTES if jax.default_backend() == "cpu" else limit
    first = max((size for size in sizes if size <= FIRST), default=sizes[0])
    compiling, needed = _timed(compile, first)
    per_lane = needed / first
    fitting = [size for size in sizes if size * per_lane <= room and size <= first]
    if needed <= min(SPILL * room, limit):
        fitting = [first]
    start = place = sizes.index(fitting[-1] if fitting else sizes[0])
    if sizes[place] != first:
        compile(sizes[place])
    if 2 * sizes[place] * workers > TRIAL_SHARE * total:
        return sizes[place]  # one timing would cost too much
    began = time.perf_counter()
    speed = _seconds_per_lane(compute, sizes[place], workers)

    def faster(trial: int) -> bool:
        """Whether the trial is possible, worth its cost, and faster than the best."""
        nonlocal speed
        if not 0 <= trial < len(sizes) or sizes[trial] * per_lane > limit:
            return False
        trying = compiling + 2 * sizes[trial] * workers * speed
        spent = time.perf_counter() - began
        if spent + trying > TRIAL_SHARE * total * speed:
            return False
        compile(sizes[trial])
        tried = _seconds_per_lane(compute, sizes[trial], workers)
        if tried >= GAIN * speed:
            return False
        speed = tried
        return True

    while faster(place + 1):
        place += 1
    if place == start:
        while faster(place - 1):
            place -= 1
    return sizes[place]


def kept_choice(
    place: Path | None, total: int, workers: int, choose: Callable[[], int]
) -> int:
    """The choice that a file tells, else a new one, left there for other processes."""
    if place is None:
        return choose()
    with contextlib.suppress(OSError, ValueError):
        if (size := int(place.read_text("utf-8"))) in candidates(total, workers):
            return size
    size = choose()
    with contextlib.suppress(OSError):
        place.write_text(str(size), "utf-8")
    return size


def candidates(total: int, workers: int) -> list[int]:
    """Sizes near powers of two that share the runs evenly among the workers."""

    def even(size: int) -> int:
        batches = math.ceil(total / size)
        if total >= workers:
            batches = math.ceil(batches / workers) * workers
        return math.ceil(total / batches)

    return sorted({even(size) for size in CANDIDATES})


def device_memory() -> int:
    """Bytes of memory of the first device: of the machine where it is a CPU."""
    stats = jax.devices()[0].memory_stats() or {}
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(stats.get("bytes_limit", pages))


def _timed(function: Callable[[int], Any], size: int) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(size)
    return time.perf_counter() - start, result


def _seconds_per_lane(compute: Callable[[int], Any], size: int, workers: int) -> float:
    seconds, _ = _timed(compute, size)
    if seconds < SHORT:
        seconds = min(seconds, _timed(compute, size)[0])
    return seconds / (size * workers)
