"""The recipes for Slurm, on this machine: an array of jobs is an array of processes."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.random as jr
import numpy as np
import pytest
import xarray

from plasticity_jax import sweep


EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = pytest.mark.slow


def test_jobs_of_submitit_join_to_one_sweep_and_resume(tmp_path, monkeypatch):
    # jobs compute in float32, as their own processes do by default
    monkeypatch.delenv("JAX_ENABLE_X64", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES))
    monkeypatch.syspath_prepend(EXAMPLES)
    with jax.enable_x64(False):
        import submitit_sweep as example
    joined = example.main(tmp_path, "local")
    parts = [sorted(x.glob("batch-*")) for x in sorted(tmp_path.glob("part-*"))]
    assert len(parts) == example.JOBS
    assert all(parts)
    before = {path: path.stat().st_mtime_ns for part in parts for path in part}
    parts[1][0].unlink()
    del before[parts[1][0]]
    again = example.main(tmp_path, "local")
    assert joined.equals(again)
    assert before == {path: path.stat().st_mtime_ns for path in before}

    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        whole = sweep(
            example.steady_error,
            example.CONFIG,
            {"ratio": example.RATIOS},
            jr.split(jr.key(0), 16),
            progress=False,
        )
    assert joined.error.dims == whole.error.dims
    assert np.allclose(joined.ratio, whole.ratio)
    assert np.allclose(joined.error, whole.error, rtol=1e-3)


def test_all_tasks_of_a_job_array_work_on_one_experiment(tmp_path):
    name = "optimal_plasticity.fig5s1"
    tasks = []
    for number in (1, 2, 0):
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SLURM_ARRAY_JOB_ID": "7",
            "SLURM_ARRAY_TASK_ID": str(number),
            "TMPDIR": str(tmp_path),
        }
        tasks.append(
            subprocess.Popen(
                ["bash", EXAMPLES / "slurm_array.sh", name, "--preset", "smoke"],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    told = [task.communicate(timeout=300)[0] for task in tasks]
    assert [task.returncode for task in tasks[:2]] == [0, 0], told
    assert all("Registered to" in text for text in told[:2])  # and were let go
    assert tasks[2].returncode in (0, 1), told  # 1: a claim fails at `smoke`
    assert f"written to runs/{name}" in told[2]
    data = xarray.open_zarr(tmp_path / "runs" / name / "data.zarr", consolidated=False)
    assert not data.diverged.any()
    assert data.attrs["batch_size"] <= 60 // 16  # shared among all tasks
    assert not list(tmp_path.glob(".scheduler-*"))  # it cleans up
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
