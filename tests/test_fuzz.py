"""Generated command lines and parameter files: success, or exit code 2 and one line."""

import dataclasses
import sys

import pytest
import tomli_w
from hypothesis import given, HealthCheck, settings
from hypothesis import strategies as st

from plasticity_jax import cli, systems
from plasticity_jax._sweep._config import checked_grid
from plasticity_jax.experiment._plan import load_plan, presets


NAMED = systems.experiments()
many = settings(
    deadline=None,
    max_examples=250,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
numbers = st.one_of(
    st.integers(-3, 10**12),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0, 1, -1, 1e-320, 1e308]),
)
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
values = st.one_of(
    numbers,
    st.booleans(),
    words,
    st.lists(numbers, max_size=3),
    st.lists(st.lists(numbers, max_size=2), max_size=2),
    st.sampled_from(["binary", "gaussian", "none", "noise", "decorrelation"]),
)


class AcceptedError(Exception):
    """The input passed every check; nothing is computed."""


def refuse_to_compute(experiment, plan, **options):
    checked_grid("grid", plan.config, plan.grid)
    raise AcceptedError


@pytest.fixture
def outcome(monkeypatch, capsys, tmp_path):
    """Exit code and error text of a command line; code 0 if it would be computed."""
    monkeypatch.setattr("plasticity_jax.experiment._run.perform", refuse_to_compute)

    def outcome(*tokens):
        monkeypatch.setattr(sys, "argv", ["plasticity-jax", *map(str, tokens)])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        err = capsys.readouterr().err
        return (0, "") if "AcceptedError" in err else (stop.value.code, err)

    return outcome


def is_one_clear_line(err):
    """Of an error that was foreseen: the command line calls others unexpected."""
    known = err.startswith("error: ") and not err.startswith("error: unexpected")
    return known and err.endswith("\n") and err.count("\n") == 1 and len(err) > 12


def mostly(usual, other=words):
    """`usual` nine times of ten."""
    return st.integers(0, 9).flatmap(lambda x: other if x == 9 else usual)


@st.composite
def command_lines(draw):
    named = draw(st.sampled_from(NAMED))
    fields = [f.name for f in dataclasses.fields(named.experiment.config)]
    name = mostly(st.sampled_from(fields))
    span = st.tuples(numbers, numbers, st.integers(-2, 6)).map(
        lambda x: ":".join(map(str, x))
    )
    row = st.lists(numbers, max_size=3).map(lambda x: ",".join(map(str, x)))
    pair = lambda value: st.tuples(name, value).map(lambda x: f"{x[0]}={x[1]}")
    settings = st.lists(mostly(pair(values)), max_size=3)
    axes = st.lists(mostly(pair(st.one_of(span, row, words))), max_size=2)
    seeds = st.lists(mostly(st.integers(-2, 9)), max_size=1)
    flags = st.lists(st.sampled_from(["--x64", "--resume"]), max_size=2, unique=True)
    return [
        "run",
        draw(mostly(st.just(named.name))),
        "--preset",
        draw(mostly(st.just("smoke"))),
        *(token for x in draw(settings) for token in ("--set", x)),
        *(token for x in draw(axes) for token in ("--grid", x)),
        *(token for x in draw(seeds) for token in ("--seeds", x)),
        *draw(flags),
        *draw(mostly(st.just([]), st.lists(words, max_size=1))),
    ]


@many
@given(command_lines())
@pytest.mark.dear
def test_a_command_line_is_accepted_or_refused_in_one_line(outcome, tokens):
    code, err = outcome(*tokens)
    assert code == 0 or (code == 2 and is_one_clear_line(err)), (tokens, code, err)


@many
@given(st.data())
def test_a_parameter_file_is_read_or_refused(tmp_path_factory, data):
    named = data.draw(st.sampled_from(NAMED))
    fields = [f.name for f in dataclasses.fields(named.experiment.config)]
    name = st.one_of(st.sampled_from([*fields, "seeds", "grid"]), words)
    tables = {
        "common": data.draw(st.dictionaries(name, values, max_size=3)),
        "small": data.draw(st.dictionaries(name, values, max_size=2)),
    }
    if data.draw(st.booleans()):
        tables["common"]["grid"] = data.draw(st.dictionaries(name, values, max_size=2))
    path = tmp_path_factory.mktemp("fuzz") / "x.toml"
    path.write_text(tomli_w.dumps(tables))
    assert presets(path) == ["small"]
    try:
        plan = load_plan(named.experiment.config, path, "small")
    except ValueError as error:
        says = str(error)
        assert says.startswith("x.toml: "), says
        return
    assert plan.seeds >= 1


@settings(many, max_examples=60)
@given(st.binary(max_size=60))
def test_bytes_that_are_no_parameter_file_are_refused(outcome, tmp_path, content):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    code, err = outcome("run", path)
    assert code == 2, content
    assert is_one_clear_line(err), (content, err)
