"""How long does one wait for six models of all 1087 x 49 sizes, compilation included?

The published five and a diffusion of one's own, four starts each, conditional on first
sizes; as many at once as there are cores, as `analyse` does it. Raw, and as the running
means over five samples that they are. Seconds of wall, and of CPU for each part.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/models.py`.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
from turns import print_machine

from plasticity_jax.inference import (
    Diffusion,
    Fit,
    fit_sizes,
    kaufman_2012,
    MODELS,
    Table,
)


def own(table: Table, window: int) -> Diffusion:
    """Fluctuations that grow with the root of the size."""
    params = {"growth": 0.01, "decay": 0.01, "scale": 0.07}
    drift = lambda w, p: p["growth"] - p["decay"] * w
    diffusion = lambda w, p: p["scale"] * jnp.sqrt(jnp.maximum(w, 1e-3))
    options: dict[str, Any] = {"noise": 0.05, "window": window}
    return Diffusion(drift=drift, diffusion=diffusion, params=params, **options)


def main(windows: list[int]) -> None:
    table = kaufman_2012()
    guesses: dict[str, Any] = {name: model.guess for name, model in MODELS.items()}
    guesses["own"] = own

    def fitted(name: str, window: int) -> Fit:
        found = fit_sizes(table, guesses[name](table, window=window))
        return jax.block_until_ready(found)

    for window in windows:
        begun, spent = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            each = {name: pool.submit(fitted, name, window) for name in guesses}
            found = {name: future.result() for name, future in each.items()}
        wall, cpu = time.perf_counter() - begun, time.process_time() - spent
        print(f"window {window}: {wall:.1f} s of wall, {cpu:.1f} s of CPU")
        for name, fit in found.items():
            steps = ", ".join(map(str, fit.trials.steps.tolist()))
            print(f"  {name:16}{float(fit.height):12.1f}   steps {steps}", flush=True)
    print_machine()


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main([int(word) for word in sys.argv[1:]] or [1, 5])
