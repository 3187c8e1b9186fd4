"""The benchmark for a GPU, on the CPU: its table, its limit of time, its comparison."""

import importlib
from pathlib import Path

import numpy as np
import pytest


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("gpu")
    monkeypatch.setattr(module, "ON_CPU", (1,))
    monkeypatch.setattr(module, "STEPS", 20)
    return module


@pytest.mark.dear
def test_a_gpus_table_tells_what_was_measured_and_what_was_skipped(gpu, tmp_path):
    gpu.main(tmp_path / "table.md", 0.1)
    rows = (tmp_path / "table.md").read_text().splitlines()[4:]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [row[0].strip("`") for row in cells[:: len(gpu.ON_GPU)]] == [*gpu.MODELS]
    assert float(cells[0][2]) > 0
    assert float(cells[0][4]) == 0
    assert {row[2] for row in cells[1:]} == {"skipped"}


@pytest.mark.dear
def test_a_gpu_that_computes_other_numbers_is_an_error(gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "from_cpu", lambda build, config: 2 * gpu.TOLERANCE)
    with pytest.raises(SystemExit, match=r"optimal_plasticity\.fig5: 2\.0e-03"):
        gpu.main(tmp_path / "table.md", 0.1)


def test_difference_is_relative_to_the_largest_synapse_of_an_array(gpu):
    found, expected = (
        (np.array([1.0, 4.5]), np.ones(1)),
        (np.array([1.0, 4.0]), np.ones(1)),
    )
    assert gpu.difference(found, expected) == 0.125
