"""Every experiment lowers for a GPU, on a machine that need not have one."""

import os
import subprocess
import sys

import pytest

from plasticity_jax.systems import experiments, names


LOWER = """
import sys
import equinox as eqx, jax, jax.random as jr, numpy as np
from plasticity_jax.experiment import load_plan
from plasticity_jax._sweep._lanes import Lanes, map_lanes
from plasticity_jax._sweep._config import checked_grid
from plasticity_jax.systems import experiments

def structure(plan):
    return jax.tree.structure(plan.config), list(plan.grid)

def lower(experiment, plan):
    run = experiment.runs_of(plan.config)
    axes = checked_grid("grid", plan.config, plan.grid)
    lanes = Lanes.of(run, plan.config, axes, jr.split(jr.key(0), 2))
    arrays, rest = eqx.partition(lanes.batch(np.zeros(3, int)), eqx.is_array)
    whole = lambda arrays: map_lanes.__wrapped__(*eqx.combine(arrays, rest))
    traced = jax.jit(whole).trace(arrays)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo" in text
    return "callback " if "callback" in text else ""

for named in experiments():
    if named.system != sys.argv[1]:
        continue
    experiment = named.experiment
    with jax.enable_x64(experiment.float64):
        plan = load_plan(experiment.config, named.path, "smoke")
        control = experiment.control(plan)
        said = lower(experiment, plan)
        if structure(control) != structure(plan):  # else it is the same program
            said += lower(experiment, control)
    print(said, named.name)
"""


@pytest.mark.slow
@pytest.mark.parametrize("system", names())
def test_every_experiment_lowers_for_cuda_without_callbacks(system):
    # diffrax else checks its times through a callback, once before a solution
    environment = {**os.environ, "EQX_ON_ERROR": "nan"}
    done = subprocess.run(
        [sys.executable, "-c", LOWER, system],
        capture_output=True,
        text=True,
        env=environment,
    )
    wanted = [x.name for x in experiments() if x.system == system]
    assert done.stdout.splitlines() == [f" {x}" for x in wanted], done.stderr
