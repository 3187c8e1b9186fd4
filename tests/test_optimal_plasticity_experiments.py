"""Every experiment runs at its smoke preset, from data to verdict and picture."""

import dataclasses
import math

import jax
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax._config import load_plan, presets
from plasticity_jax._experiment import perform
from plasticity_jax.cli import _configs
from plasticity_jax.systems.optimal_plasticity.experiments import EXPERIMENTS
from plasticity_jax.systems.optimal_plasticity.experiments.steady import predict
from plasticity_jax.verdict import Claim, judge, Verdict


FOLDER = _configs() / "optimal_plasticity"
every_experiment = pytest.mark.parametrize(
    "experiment", EXPERIMENTS, ids=[e.name for e in EXPERIMENTS]
)


@every_experiment
def test_an_experiment_runs_from_data_to_picture(experiment, tmp_path):
    plan = load_plan(experiment.config, FOLDER / f"{experiment.name}.toml", "smoke")
    data, control = perform(experiment, plan, progress=False)
    claims = tuple(experiment.claims(data, control))
    assert claims
    assert all(math.isfinite(claim.value) for claim in claims)
    controlled = [claim for claim in claims if claim.control is not None]
    assert controlled
    rows = Verdict(experiment.name, claims).to_json()
    assert len(rows) == len(claims)
    figure = experiment.figure(data)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert not data.diverged.any()


@pytest.mark.slow
@every_experiment
def test_every_claim_holds_at_the_small_preset_and_its_control_fails(experiment):
    with jax.enable_x64(experiment.float64):
        path = FOLDER / f"{experiment.name}.toml"
        plan = load_plan(experiment.config, path, "small")
        data, control = perform(experiment, plan, progress=False)
        verdict = judge(experiment.name, experiment, data, control)
    assert not [c for c in verdict.claims if not (c.holds and c.control_fails)]


@every_experiment
def test_every_preset_is_valid(experiment):
    path = FOLDER / f"{experiment.name}.toml"
    assert {"smoke", "small", "paper"} <= set(presets(path))
    for preset in presets(path):
        plan = load_plan(experiment.config, path, preset)
        for name, values in plan.grid.items():
            ends = dataclasses.replace(plan.config, **{name: max(values)})
            assert ends is not None


def test_the_law_is_evaluated_at_every_label():
    experiment = next(e for e in EXPERIMENTS if e.name == "fig5s1")
    path = FOLDER / "fig5s1.toml"
    plan = load_plan(experiment.config, path, "smoke")
    law = predict(plan, jr.split(jr.key(0), 2))
    assert law.predicted_loss.dims == (
        "seed",
        "corruption",
        "fluctuation_size",
        "ratio",
    )
    double = law.predicted_loss.sel(fluctuation_size=0.02)
    assert np.allclose(double, 4 * law.predicted_loss.sel(fluctuation_size=0.01))
    assert law.greedy_ratio.dims == ("seed", "corruption")


@pytest.mark.parametrize(
    ("value", "control", "holds"),
    [
        (0.5, None, True),
        (0.5, 2.0, True),
        (0.5, 0.6, False),  # the control holds too: the claim proves nothing
        (0.5, math.nan, False),
        (math.nan, 2.0, False),
        (2.0, 2.0, False),
    ],
)
def test_a_verdict_needs_claims_that_hold_and_controls_that_fail(value, control, holds):
    claim = Claim("x", "y", value, 0.0, 1.0, control=control)
    assert Verdict("z", (claim,)).holds is holds
