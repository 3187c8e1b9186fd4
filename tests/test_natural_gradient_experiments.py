"""Every experiment runs at its smoke preset, from data to verdict and picture."""

import math

import jax
import pytest

from plasticity_jax._config import load_plan, presets
from plasticity_jax._experiment import perform
from plasticity_jax.cli import _configs
from plasticity_jax.systems.natural_gradient.experiments import EXPERIMENTS
from plasticity_jax.verdict import judge, Verdict


FOLDER = _configs() / "natural_gradient"
every_experiment = pytest.mark.parametrize(
    "experiment", EXPERIMENTS, ids=[e.name for e in EXPERIMENTS]
)


@every_experiment
def test_an_experiment_runs_from_data_to_picture(experiment, tmp_path):
    plan = load_plan(experiment.config, FOLDER / f"{experiment.name}.toml", "smoke")
    data, control = perform(experiment, plan, progress=False)
    claims = tuple(experiment.claims(data, control))
    assert any(math.isfinite(claim.value) for claim in claims)
    assert any(claim.control is not None for claim in claims)
    assert len(Verdict(experiment.name, claims).to_json()) == len(claims)
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
    failed = [c for c in verdict.claims if not (c.holds and c.control_fails)]
    assert not failed


@every_experiment
def test_every_preset_is_a_valid_plan(experiment):
    path = FOLDER / f"{experiment.name}.toml"
    assert {"smoke", "small", "paper"} <= set(presets(path))
    for preset in presets(path):
        plan = load_plan(experiment.config, path, preset)
        assert plan.seeds >= 1


def test_every_parameter_file_belongs_to_an_experiment():
    names = {experiment.name for experiment in EXPERIMENTS}
    assert {path.stem for path in FOLDER.glob("*.toml")} == names
