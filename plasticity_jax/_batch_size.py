"""How many runs to compute at once."""

import math
import time
from collections.abc import Callable
from typing import Any


CANDIDATES = (1, 4, 16, 64, 256)
CACHE_BYTES = 2**20  # per core: where all lanes' state should stay
MEMORY_SHARE = 0.25  # of the device's memory, for all workers together
TRIAL_SHARE = 0.1  # of the estimated time that is left, for a trial


def choose_batch_size(
    total: int,
    workers: int,
    compile: Callable[[int], int],
    compute: Callable[[int], Any],
) -> int:
    """The number of lanes that makes a sweep of `total` runs fastest.

    Starts where the temporary memory of the compiled program fits a core's cache and
    climbs from there, up first, as long as a trial makes a lane faster, costs little
    beside what is left, and the program fits the device's memory. `compile(size)`
    compiles and tells the bytes of temporary memory; `compute(size)` runs a batch.
    """
    sizes = candidates(total, workers)
    limit = MEMORY_SHARE * device_memory() / workers
    middle = min(len(sizes) - 1, 2)
    compiling, needed = _timed(compile, sizes[middle])
    per_lane = needed / sizes[middle]
    fitting = [s for s in sizes if s * per_lane <= CACHE_BYTES]
    place = sizes.index(fitting[-1] if fitting else sizes[0])
    if place != middle:
        compile(sizes[place])
    speed = {place: _timed(compute, sizes[place])[0] / sizes[place]}

    def better(trial: int) -> bool:
        """Whether the trial is possible, worth its cost, and faster than the best."""
        if not 0 <= trial < len(sizes) or sizes[trial] * per_lane > limit:
            return False
        left = total * speed[place] / workers
        if compiling + sizes[trial] * speed[place] > TRIAL_SHARE * left:
            return False
        compile(sizes[trial])
        speed[trial] = _timed(compute, sizes[trial])[0] / sizes[trial]
        return speed[trial] < speed[place]

    start = place
    while better(place + 1):
        place += 1
    if place == start:
        while better(place - 1):
            place -= 1
    return sizes[place]


def candidates(total: int, workers: int) -> list[int]:
    """Sizes near powers of four that share the runs evenly among the workers."""

    def even(size: int) -> int:
        batches = math.ceil(total / size)
        if total >= workers:
            batches = math.ceil(batches / workers) * workers
        return math.ceil(total / batches)

    return sorted({even(size) for size in CANDIDATES})


def device_memory() -> int:
    """Bytes of memory of the first device: of the machine where it is a CPU."""
    import os

    import jax

    stats = jax.devices()[0].memory_stats() or {}
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(stats.get("bytes_limit", pages))


def _timed(function: Callable[[int], Any], size: int) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function(size)
    return time.perf_counter() - start, result
