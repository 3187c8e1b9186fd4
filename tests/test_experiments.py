"""Every experiment of every system, from its parameter file to verdict and picture."""

import dataclasses
import math

import jax
import pytest

from plasticity_jax._sweep._config import checked_grid
from plasticity_jax.experiment._experiment import perform
from plasticity_jax.experiment._plan import load_plan, presets
from plasticity_jax.experiment._verdict import judge
from plasticity_jax.systems import configs, experiments


NAMED = experiments()
QUICK = {  # the smoke run of the default suite; those of all others are slow tests
    "optimal_plasticity": "fig4",
    "natural_gradient": "fig10",
    "stable_memory": "fig1b",
    "presynaptic_stochasticity": "fig1_steps",
    "two_factor_consolidation": "fig5_increments",
}
every_experiment = pytest.mark.parametrize("named", NAMED, ids=[n.name for n in NAMED])
UNREACHED = {  # a run of seconds does not reach the threshold that its claims time
    f"natural_gradient.{name}" for name in ("fig3f", "skewed")
}


def smoke(named):
    """The experiment as a test's parameter, slow unless it is the quick one."""
    quick = named.experiment.name == QUICK[named.system]
    marks = [] if quick else [pytest.mark.slow]
    return pytest.param(named, id=named.name, marks=marks)


# Dimensions whose entries have no names: draws and candidates drawn, pixels, neurons,
# synapses and patterns of a random network, ranks, eigenvalues.
BARE = {
    *("draw", "imaged_draw", "candidate", "potential", "trace", "cell", "row"),
    *("synapse", "pattern", "input", "mode", "point", "pixel", "neuron_1", "neuron_2"),
}


def nameless(data):
    """Dimensions whose entries could have names, and have none."""
    named = {dim for coordinate in data.coords.values() for dim in coordinate.dims}
    return set(data.dims) - named - BARE


def passed_over(named, data, control):
    """Claims that hold though a seed's runs are lost, but those that read no run."""

    def held(*lost):
        known = lambda x: x.where(~x.seed.isin(lost))
        spoil = lambda x: known(x) if "seed" in x.dims and x.dtype.kind == "f" else x
        spoilt = data.map(spoil, keep_attrs=True)
        claims = judge(named.name, named.experiment, spoilt, control).claims
        return {claim.name for claim in claims if claim.holds}

    return held(data.seed.values[0]) - held(*data.seed.values)


@pytest.mark.parametrize("named", list(map(smoke, NAMED)))
@pytest.mark.filterwarnings("ignore:strengths have not settled")  # within seconds
def test_an_experiment_runs_from_data_to_picture(named, tmp_path):
    experiment = named.experiment
    plan = load_plan(experiment.config, named.path, "smoke")
    # a fixed size: choosing one compiles up to three programs
    data, control = perform(experiment, plan, batch_size=4, progress=False)
    verdict = judge(named.name, experiment, data, control)
    claims = verdict.claims
    finite = [math.isfinite(claim.value) for claim in claims]
    assert any(finite)
    assert all(finite) or named.name in UNREACHED
    assert any(claim.control is not None for claim in claims)
    assert len({row["name"] for row in verdict.to_json()}) == len(claims)
    assert not nameless(data)
    figure = experiment.figure(data)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert not data.diverged.any()
    assert not passed_over(named, data, control)


@pytest.mark.slow
@every_experiment
def test_every_claim_holds_at_the_small_preset_and_its_control_fails(named):
    experiment = named.experiment
    with jax.enable_x64(experiment.float64):
        plan = load_plan(experiment.config, named.path, "small")
        data, control = perform(experiment, plan, progress=False)
        verdict = judge(named.name, experiment, data, control)
        assert not passed_over(named, data, control)
    assert not [c for c in verdict.claims if not (c.holds and c.control_fails)]


@every_experiment
def test_every_preset_is_valid(named):
    assert {"smoke", "small", "paper"} <= set(presets(named.path))
    for preset in presets(named.path):
        plan = load_plan(named.experiment.config, named.path, preset)
        for axis in checked_grid("grid", plan.config, plan.grid):
            ends = dict(zip(axis.fields, map(max, axis.values), strict=True))
            assert dataclasses.replace(plan.config, **ends) is not None


def test_every_parameter_file_belongs_to_an_experiment():
    files = {f"{path.parent.name}.{path.stem}" for path in configs().rglob("*.toml")}
    assert files == {named.name for named in NAMED}
