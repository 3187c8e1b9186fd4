"""What do the grids of Figure 5 cost at the paper's scale, on all cores?

The linear grid (648 runs) and the nonlinear one (486 runs, 1000 inputs), 8000 steps
each, as `configs/optimal_plasticity` has them under `[paper]`: wall and CPU time,
compilation, peak memory. Each is then repeated with other hyper-parameter values and
seeds, counting what compiles. `--steps` shortens the runs, `--once` skips the repeat.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/grid.py linear nonlinear`.
"""

import argparse
import dataclasses
import resource
import sys
from pathlib import Path
from typing import Any

import jax
import jax.random as jr
import numpy as np
import xarray
from turns import print_machine, spent

from plasticity_jax._sweep._sweep import sweep
from plasticity_jax.experiment._plan import load_plan, Plan
from plasticity_jax.systems.optimal_plasticity.config import Config
from plasticity_jax.systems.optimal_plasticity.experiments.steady import steady_state


CONFIGS = Path(__file__).parents[1] / "configs" / "optimal_plasticity"
GRIDS = {"linear": "fig5s1.toml", "nonlinear": "fig5.toml"}
COMPILE = "/jax/core/compile/backend_compile_duration"


def peak_memory() -> float:
    """GB of this process at its largest so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6 / 1.024)


def other_values(plan: Plan) -> Plan:
    """The same shape of grid, a tenth further on, at another start."""
    config = dataclasses.replace(plan.config, start_offset=2e-3)
    return Plan(config, {k: 1.1 * np.asarray(v) for k, v in plan.grid.items()}, 0)


def measure(name: str, steps: int | None, repeat: bool) -> None:
    plan = load_plan(Config, CONFIGS / GRIDS[name], "paper")
    if steps is not None:
        plan = plan._replace(config=dataclasses.replace(plan.config, steps=steps))
    compiled: list[float] = []

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event == COMPILE:
            compiled.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    plans = [plan, other_values(plan)] if repeat else [plan]
    for label, each, seed in zip(
        ("first", "other values"), plans, (0, 1), strict=False
    ):
        keys, results = jr.split(jr.key(seed), plan.seeds), []
        jax.block_until_ready(keys)
        compiled.clear()

        def run(each: Plan = each, keys: jax.Array = keys, to: list = results) -> None:
            options = {"dims": {"course": ("stretch",)}, "progress": False}
            to.append(sweep(steady_state, each.config, each.grid, keys, **options))

        wall, cpu = spent(run)
        data: xarray.Dataset = results[0]
        runs = data.loss.size
        computing = cpu - data.attrs["compile_seconds"]  # trials of sizes included
        cost = 1e6 * computing / runs / plan.config.steps
        print(f"{name:10}{label:13}{runs:5}{plan.config.steps:7}", end="")
        print(f"{data.attrs['batch_size']:7}{wall:9.1f}{cpu:9.1f}{cost:10.2f}", end="")
        print(f"{data.attrs['compile_seconds']:10.1f}{len(compiled):9}", end="")
        print(f"{peak_memory():10.2f}{int(data.diverged.sum()):10}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=list(GRIDS))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    print(f"{'grid':23}{'runs':>5}{'steps':>7}{'batch':>7}{'wall, s':>9}", end="")
    print(f"{'CPU, s':>9}{'us a step':>10}{'compile':>10}{'programs':>9}", end="")
    print(f"{'peak, GB':>10}{'diverged':>10}")
    for name in options.names:
        measure(name, options.steps, not options.once)
    print_machine()


if __name__ == "__main__":
    main()
