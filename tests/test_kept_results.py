"""Kept results are of experiments that exist, and of their claims as they are."""

import json
import re
import runpy
import tomllib
from pathlib import Path

import pytest

from plasticity_jax import systems
from plasticity_jax.experiment import claim


RESULTS = Path(__file__).parents[1] / "docs" / "results"
FILES = {"about.json", "config.toml", "figure.png", "verdict.json"}
THEORY = sorted((RESULTS.parent / "theory").glob("*.md"))
MEASURED = re.compile(r"(\d+(?:\.\d+)?)\s+\(`(\w+\.\w+)`")  # 0.77 (`system.experiment`)
KEPT = sorted(path for path in RESULTS.iterdir() if path.is_dir())
keep = runpy.run_path(str(RESULTS / "keep.py"))


@pytest.mark.parametrize("place", KEPT, ids=lambda path: path.name)
def test_result_belongs_to_the_experiment_as_it_is(place):
    named, _, _ = systems.find(str(place / "config.toml"))
    assert named.name == place.name
    assert {path.name for path in place.iterdir()} == FILES
    assert (place / "figure.png").stat().st_size <= keep["LARGEST"]
    about = json.loads((place / "about.json").read_text())
    assert about["claims"] == keep["digests"](named.experiment.claims)
    config = tomllib.loads((place / "config.toml").read_text())
    assert about["preset"] == config["from_preset"]
    judged = json.loads((place / "verdict.json").read_text())
    names = {row["name"].partition("[")[0] for row in judged}
    assert names <= {*about["claims"], "none_diverged"}


@pytest.mark.parametrize("page", THEORY, ids=lambda path: path.stem)
def test_what_a_page_says_was_measured_is_what_was_kept(page):
    told = MEASURED.findall(page.read_text())
    assert told or page.stem == "index"
    for number, name in told:
        rows = json.loads((RESULTS / name / "verdict.json").read_text())
        digits = len(number.partition(".")[2])
        found = {f"{abs(row['value'] or 0):.{digits}f}" for row in rows}
        assert number in found, f"{number} of {name}: {sorted(found)}"


def test_every_experiment_has_a_kept_result():
    assert {path.name for path in KEPT} == {entry.name for entry in systems.listed()}


def made(low, says, factor):
    def measure(data):
        return factor * data

    measure.__doc__ = says
    return claim("Eq. 1", low=low)(measure)


def test_digest_tells_a_changed_claim():
    (same,) = keep["digests"]((made(0, "It is so.", 1),)).values()
    assert keep["digests"]((made(0, "It is so.", 1),))["measure"] == same
    for other in made(1, "It is so.", 1), made(0, "It is not.", 1):
        assert keep["digests"]((other,))["measure"] != same


def test_digest_follows_what_a_claim_calls():
    named, _, _ = systems.find("optimal_plasticity.fig5")
    sources = {
        function.__name__
        for one in named.experiment.claims
        for function in keep["_reached"](one.measure)
    }
    names = {one.name for one in named.experiment.claims}
    assert names < sources
