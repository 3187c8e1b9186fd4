"""A sweep as an array of Slurm jobs: each computes some points of an axis, and resumes.

`python examples/submitit_sweep.py FOLDER`, with the extra `[slurm]`. Submits to Slurm
where there is one, else to processes of this machine. The folder, which all jobs must
see, keeps what was finished: after a time limit or a lost node the same line goes on.
Without one a temporary folder serves, on this machine only.
"""

import sys
import tempfile
from pathlib import Path

import jax.numpy as jnp
import jax.random as jr
import numpy as np
import submitit
import xarray

from plasticity_jax import simulate, sweep
from plasticity_jax.systems.optimal_plasticity import build, Config


CONFIG = Config(sizes=(12, 10), steps=2000, window=1000)
RATIOS = np.geomspace(0.2, 2.5, 8)
JOBS = 2


def loss_before_the_step(state, signals, changes):
    """What to record at every step."""
    return signals.loss


def steady_error(config, key):
    """Mean error at the end of a run."""
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    _, losses = simulate(
        system, state, for_run, steps=config.steps, record=loss_before_the_step
    )
    return {"error": jnp.mean(losses[-config.window :])}


def some(ratios, store):
    """The sweep over some ratios; every job uses the same keys."""
    keys = jr.split(jr.key(0), 16)
    return sweep(steady_error, CONFIG, {"ratio": ratios}, keys, store=store)


def main(folder, cluster=None):
    """Submit the jobs, wait for them, and join their parts."""
    executor = submitit.AutoExecutor(folder / "jobs", cluster)
    executor.update_parameters(timeout_min=60, cpus_per_task=1, mem_gb=4)
    parts = np.array_split(RATIOS, JOBS)
    stores = [folder / f"part-{number}" for number in range(JOBS)]
    jobs = executor.map_array(some, parts, stores)
    return xarray.concat([job.result() for job in jobs], "ratio", combine_attrs="drop")


if __name__ == "__main__":
    if sys.argv[1:]:
        data = main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            data = main(Path(folder), "local")
    print(data.error.mean("seed").to_dataframe().round(4))
