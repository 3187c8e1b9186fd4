"""What one entrance refuses, all refuse: files, command lines, functions, folders."""

import io
import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import xarray
from jaxtyping import Array, Float
from test_cli import command

from plasticity_jax import data, sweep, systems
from plasticity_jax._arguments import optional, real, require
from plasticity_jax._sweep._config import AbstractConfig, to_toml, updated
from plasticity_jax.experiment import (
    always,
    Check,
    claim,
    exact,
    expectation,
    Judged,
    load_plan,
    simulated,
)
from plasticity_jax.experiment._experiment import labelled
from plasticity_jax.experiment._plan import overridden, Plan, presets
from plasticity_jax.experiment._recompute import recompute
from plasticity_jax.experiment._results import storable, write_results
from plasticity_jax.experiment._verdict import judge, Verdict
from plasticity_jax.report import report


NAME = "optimal_plasticity.fig5s1"
EXPERIMENT = next(x.experiment for x in systems.experiments() if x.name == NAME)
LONG = "9" * 400


class Study(AbstractConfig):
    """A config with a field of every sort."""

    rate: Float[Array, ""] = eqx.field(default=0.1, converter=real)
    ceiling: Float[Array, ""] | None = eqx.field(default=None, converter=optional)
    weights: Float[Array, " n"] = eqx.field(
        default=(1.0, 2.0), converter=lambda x: real(np.asarray(x))
    )
    moment: Float[Array, "n n"] | None = eqx.field(default=None, converter=optional)
    gain: Array = eqx.field(default=1.0, converter=real)
    size: int = 3
    steps: int = eqx.field(default=100, static=True)
    step: float = eqx.field(default=0.5, static=True)
    blind: bool = eqx.field(default=False, static=True)
    rule: str = eqx.field(default="noise", static=True)
    sizes: tuple[int, ...] = eqx.field(default=(), static=True)
    policy: str | None = eqx.field(default=None, static=True)

    def __check_init__(self):
        require(self, rate=(0.0, 1e30))


def run_of(config, key):
    return {"x": config.rate}


def in_a_file(folder, text, header=""):
    path = folder / "mine.toml"
    path.write_text(f"{header}\n[common]\n{text}\n", encoding="utf-8")
    return load_plan(Study, path, None)


def in_a_preset(folder, text):
    path = folder / "mine.toml"
    path.write_text(f"[common]\n[small]\n{text}\n", encoding="utf-8")
    return load_plan(Study, path, "small")


def on_the_command_line(folder, text):
    return overridden(Plan(Study(), {}, 1), [text.replace(" = ", "=")], (), None)


def in_python(folder, text):
    return Plan(updated(Study(), tomllib.loads(text)), {}, 1)


ENTRANCES = {
    in_a_file: "mine.toml",
    in_a_preset: "mine.toml",
    on_the_command_line: "--set",
    in_python: "config",
}
WRONG = [
    ("rate", '"0.5"', "must be a number"),
    ("rate", "true", "must be a number"),
    ("rate", LONG, "must be a number"),
    ("rate", "nan", "must lie in"),
    ("rate", "inf", "must lie in"),
    ("rate", "[0.5]", "must have shape ()"),
    ("rate", "[]", "must have shape ()"),
    ("rate", "{a = 1}", "must be a number"),
    ("rate", "1979-05-27", "must be a number"),
    ("ceiling", "[1.0, 2.0]", "must have 0 axes"),
    ("ceiling", "false", "must be a number"),
    ("ceiling", "nan", "must be a number"),
    ("weights", '["1", "2"]', "must be a number"),
    ("weights", "[1.0, true]", "must be a number"),
    ("weights", "[[1.0], [1.0, 2.0]]", "must be a number"),
    ("weights", "[1.0]", "must have shape (2,)"),
    ("moment", "1.0", "must have 2 axes"),
    ("size", "2.5", "must be integer"),
    ("size", "true", "must be a number"),
    ("steps", "2.0", "must be of type int"),
    ("steps", "true", "must be of type int"),
    ("steps", LONG, "must fit 64 bits"),
    ("step", '"0.5"', "must be of type float"),
    ("step", "true", "must be of type float"),
    ("step", "nan", "must be a number"),
    ("step", LONG, "must be a number"),
    ("blind", "1", "must be of type bool"),
    ("blind", '"true"', "must be of type bool"),
    ("rule", "3", "must be of type str"),
    ("sizes", "3", "must be of type tuple"),
    ("sizes", "[3.0]", "must be of type int"),
    ("sizes", "[true]", "must be of type int"),
    ("sizes", '"12"', "must be of type tuple"),
    ("policy", "1", "must be of type str"),
    ("ratee", "1.0", "Did you mean 'rate'"),
]


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_a_value_of_the_wrong_kind_is_refused_by_name(entrance, tmp_path):
    for name, value, message in WRONG:
        with pytest.raises(ValueError, match=ENTRANCES[entrance]) as error:
            entrance(tmp_path, f"{name} = {value}")
        says = str(error.value)
        assert name in says, (name, value, says)
        assert message in says, (name, value, says)
        assert len(says) < 200, says  # a long value is cut


def test_what_a_value_may_be(tmp_path):
    for entrance in ENTRANCES:
        plan = entrance(tmp_path, "rate = 2")
        assert plan.config.rate == 2
        assert plan.config.rate.dtype == jnp.float64
    given = {
        "rate": np.float32(0.5),
        "ceiling": jnp.asarray(3),
        "weights": [1, 2],
        "moment": np.eye(3),
        "size": np.int8(4),
        "steps": np.int32(7),
        "step": np.float32(0.25),
        "blind": np.bool_(True),
        "sizes": np.asarray([2, 3]),
        "policy": "x",
    }
    config = updated(Study(), given)
    static = (config.steps, config.step, config.blind, config.sizes, config.policy)
    assert static == (7, 0.25, True, (2, 3), "x")
    assert [type(x) for x in static] == [int, float, bool, tuple, str]
    assert all(type(x) is int for x in config.sizes)
    assert config.ceiling == 3
    assert updated(config, {"ceiling": None, "policy": None}).ceiling is None
    assert to_toml(updated(Study(), tomllib.loads(to_toml(config)))) == to_toml(config)
    with pytest.raises(ValueError, match="`rate` must be a number; got None"):
        updated(config, {"rate": None})


def test_a_config_is_printed_with_its_values():
    text = str(Study(rate=0.3, moment=np.eye(2), weights=np.arange(50.0)))
    assert "rate=0.3," in text
    assert "moment=[[1.0, 0.0], [0.0, 1.0]]" in text
    assert "steps=100" in text
    assert "f64" not in text
    for named in systems.experiments():
        assert issubclass(named.experiment.config, AbstractConfig), named.name
    assert jax.jit(lambda config: len(str(config)))(Study()) > 0  # traced: no error


@pytest.mark.parametrize("config", [{"rate": 0.1}, 3, Study, None])
def test_what_is_no_config_is_said(config, tmp_path):
    with pytest.raises(ValueError, match="a config "):
        updated(config, {})
    path = tmp_path / "mine.toml"
    path.write_text("[common]")
    if config is not Study:
        with pytest.raises(ValueError, match=r"mine\.toml: a config "):
            load_plan(config, path, None)


# --- axes -----------------------------------------------------------------------------


def axis_in_a_file(folder, key, text):
    return in_a_file(folder, f'grid = {{"{key}" = {text}}}')


def axis_of_a_sweep(folder, key, text):
    grid = {key: tomllib.loads(f"x = {text}")["x"]}
    keys = jax.random.split(jax.random.key(0), 1)
    return sweep(run_of, Study(), grid, keys, batch_size=1, progress=False)


def axis_on_the_command_line(folder, key, text):
    text = text.strip("[]").replace(" ", "")
    return overridden(Plan(Study(), {}, 1), (), [f"{key}={text}"], None)


AXES = [
    ("rate", '["0.5"]', "numbers"),
    ("rate", "[true, false]", "numbers"),
    ("rate", "[0.5, true]", "numbers"),
    ("rate", "[[0.5], [0.5, 1.0]]", "numbers"),
    ("rate", f"[{LONG}]", "'rate'"),
    ("rate", "[[0.5, 1.0]]", "1-D"),
    ("rate", "0.5", "1-D"),
    ("rate", "[]", "non-empty"),
    ("rate", "[0.5, nan]", "not finite"),
    ("rate", "[0.5, inf]", "not finite"),
    ("rate", "[-1.0, 1.0]", "must lie in"),
    ("rtae", "[0.5]", "Did you mean 'rate'"),
    ("steps", "[1, 2]", "'steps' is structural"),
    ("sizes", "[1, 2]", "'sizes' is structural"),
    ("weights", "[1.0, 2.0]", "'weights' is not one number"),
    ("moment", "[1.0, 2.0]", "'moment' is not one number"),
    ("both", "{rate = [1.0, 2.0], gain = [1.0]}", "differ in length: {'rate': 2"),
    ("both", "{rate = 0.5, gain = [1.0]}", "non-empty 1-D"),
    ("both", "{rate = {gain = [1.0]}}", "'rate'"),
    ("both", "{}", "'both' must share out fields"),
    ("rate", "{rate = [1.0], gain = [1.0]}", "a name of its own"),
]


@pytest.mark.parametrize("entrance", [axis_in_a_file, axis_of_a_sweep])
def test_an_axis_is_refused_by_name(entrance, tmp_path):
    for key, text, message in AXES:
        with pytest.raises(ValueError, match=r"^(mine\.toml: )?grid: ") as error:
            entrance(tmp_path, key, text)
        says = str(error.value)
        assert message in says, (key, text, says)
        assert key in says or "rate" in says, says


def test_an_axis_on_the_command_line_is_refused_by_name(tmp_path):
    spans = [
        ("rate", "nan", "not finite"),
        ("rate", "0:inf:3", "not finite"),
        ("rate", "-1e308:1e308:3", "not finite"),
        ("rate", "0:1:0", "non-empty"),
        ("rate", "0:1:-1", "count must lie in"),
        ("rate", "0:1:1.5", "start:stop:count"),
        ("rate", "0:1:99999999999", "count must lie in"),
        ("rate", "0:1", "start:stop:count"),
        ("rate", "", "a,b,c"),
        ("rate", "true", "a,b,c"),
        *(row for row in AXES if row[1].count("[") == 1 and not {*row[1]} & {*'"{'}),
    ]
    for key, text, message in spans:
        if "true" in text or text == "[]":
            message = "--grid"
        with pytest.raises(ValueError, match="--grid") as error:
            axis_on_the_command_line(tmp_path, key, text)
        assert message in str(error.value), (key, text, str(error.value))


def test_good_axes_are_the_same_at_every_entrance(tmp_path):
    plan = axis_in_a_file(tmp_path, "rate", "[1, 2.5]")
    assert plan.grid["rate"].tolist() == [1.0, 2.5]
    plan = axis_on_the_command_line(tmp_path, "rate", "1,2.5")
    assert plan.grid["rate"].tolist() == [1.0, 2.5]
    plan = axis_in_a_file(tmp_path, "both", "{rate = [1, 2], gain = [3, 4]}")
    found = {name: x.tolist() for name, x in plan.grid["both"].items()}
    assert found == {"rate": [1, 2], "gain": [3, 4]}
    with pytest.raises(ValueError, match="--set gain: it is an axis of the grid"):
        overridden(plan, ["gain=3"], (), None)
    for options in ((["rate=1", "rate=2"], ()), ((), ["rate=1", "rate=2"])):
        with pytest.raises(ValueError, match="rate: it is given twice"):
            overridden(Plan(Study(), {}, 1), *options, None)


def test_what_single_precision_does_not_hold_is_refused(tmp_path):
    for entrance in ENTRANCES:
        assert entrance(tmp_path, "gain = 1e300").config.gain == 1e300
    with jax.enable_x64(False):
        for text in ("1e300", "1e-300"):
            for entrance in ENTRANCES:
                with pytest.raises(ValueError, match="`gain` is beyond the range of f"):
                    entrance(tmp_path, f"gain = {text}")
            for entrance in (axis_in_a_file, axis_of_a_sweep, axis_on_the_command_line):
                with pytest.raises(ValueError, match="'gain' is beyond the range of f"):
                    entrance(tmp_path, "gain", f"[1.0, {text}]")


# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ('x64 = "true"', "`x64` must be true or false; got 'true'"),
        ("x64 = 1", "`x64` must be true or false; got 1"),
        ("experiment = 3", "`experiment` must be a text; got 3"),
        ("from_preset = []", "`from_preset` must be a text"),
        ("small = 3", "'small' is no table"),
        ("[[small]]", "'small' is no table"),
        ("steps = 3", "'steps' is no table"),
    ],
)
def test_a_header_of_another_kind_is_refused(tmp_path, header, message):
    path = tmp_path / "mine.toml"
    path.write_text(f"{header}\n")
    for read in (
        lambda: load_plan(Study, path, None),
        lambda: presets(path),
        lambda: systems.find(str(path)),
    ):
        with pytest.raises(ValueError, match=r"^mine\.toml: ") as error:
            read()
        assert message in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["seeds = 2.0", "seeds = true", "seeds = 0", f"seeds = {LONG}", 'seeds = "1"'],
)
def test_a_number_of_seeds_is_a_small_integer(tmp_path, text):
    with pytest.raises(ValueError, match=r"mine\.toml: `seeds` must be"):
        in_a_file(tmp_path, text)
    for seeds in (0, -1, 10**9):
        with pytest.raises(ValueError, match="--seeds: `seeds` must be at"):
            overridden(Plan(Study(), {}, 1), (), (), seeds)


TEXT = '# gain \u00e4\nexperiment = "NAME"\r\n[common]\r\nrule = "\u00e4"\n[small]\n'


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_is_utf_8_with_or_without_a_mark(tmp_path, mark):
    path = tmp_path / "mine.TOML"
    path.write_bytes(mark + TEXT.replace("NAME", NAME).encode())
    assert load_plan(Study, str(path), "small").config.rule == "\u00e4"
    assert presets(path) == ["small"]
    assert systems.find(str(path))[0].name == NAME
    for encoding in ("utf-16", "latin-1"):
        path.write_bytes(TEXT.encode(encoding))
        with pytest.raises(ValueError, match=r"mine\.TOML: not valid TOML: 'utf-8'"):
            load_plan(Study, path, "small")


def test_a_file_does_not_depend_on_the_locale(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(TEXT.encode())
    code = (
        "import sys; from plasticity_jax.experiment import read_tables;"
        "print(ascii(read_tables(sys.argv[1])['common']['rule']))"
    )
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code, path],
        env={**os.environ, **locale},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == r"'\xe4'", done.stderr


def test_a_file_for_double_precision_is_not_read_in_single(tmp_path):
    assert in_a_file(tmp_path, "", "x64 = true").seeds == 1
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match="it is for double precision"):
            in_a_file(tmp_path, "", "x64 = true")
        double = EXPERIMENT._replace(float64=True)
        with pytest.raises(ValueError, match="no meaning in single precision"):
            labelled(double, Plan(None, {}, 1))
    with pytest.raises(ValueError, match="fig5s1: `seeds` must be at least 1"):
        labelled(EXPERIMENT, Plan(EXPERIMENT.config(), {}, 0))


# --- folders --------------------------------------------------------------------------


def results_of(**more):
    """Data and a control with other coordinates, of every sort of number."""
    made = []
    for count in (3, 2):
        values = np.linspace(0.0, 1.0, count)
        made.append(
            xarray.Dataset(
                {
                    "loss": ("ratio", np.where(values == 1, math.nan, values)),
                    "narrow": ("ratio", values.astype(ml_dtypes.bfloat16)),
                    "phase": ("ratio", values + 1j * values),
                    "count": ("ratio", np.arange(count) * 2**60),
                    "label": ("ratio", np.asarray(["a", "bb", ""][:count])),
                    "diverged": ("ratio", np.zeros(count, bool)),
                },
                {"ratio": values, "seed": [0]},
                {"keys": "[[0, 1]]", "batch_size": 1, "precision": "float64", **more},
            )
        )
    return tuple(made)


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Command lines of a user whose home is `home`, of runs that cost nothing."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(
        "plasticity_jax.experiment._run.perform", lambda *_, **__: results_of()
    )
    parts = {3: results_of()[0], 2: results_of()[1]}
    monkeypatch.setattr(
        "plasticity_jax.experiment._recompute.labelled",
        lambda experiment, plan, **_: parts[3 if plan.config.ratio == 1 else 2],
    )
    other = EXPERIMENT._replace(
        control=lambda plan: plan._replace(config=updated(plan.config, {"ratio": 2}))
    )
    named = systems.find(NAME)[0]._replace(experiment=other)
    monkeypatch.setattr(systems, "_named", lambda entry: named)
    return lambda *tokens: command(monkeypatch, capsys, *tokens)


def test_a_tilde_is_the_home_at_every_entrance(call, tmp_path, monkeypatch):
    home = tmp_path / "home"
    code, out, _ = call("run", NAME, "--preset", "smoke", "--out=~/runs")
    assert code == 1
    assert "no figure: " in out
    assert "Error: " in out
    folder = home / "runs" / NAME
    assert f"{folder}" in out.replace("\n", "")
    assert call("recompute", f"~/runs/{NAME}")[0] == 0
    named = systems.find(NAME)[0]
    plan = Plan(named.experiment.config(), {}, 1)
    assert all(x.holds for x in recompute(named.experiment, plan, f"~/runs/{NAME}"))
    assert call("report", "~/runs")[0] == 0
    assert (home / "runs" / "report.html").is_file()
    code, _, err = call("run", f"~/runs/{NAME}/config.toml", "--out", "~/again")
    assert (code, err) == (1, "")
    assert load_plan(EXPERIMENT.config, f"~/runs/{NAME}/config.toml", None).seeds == 2
    assert str(home / "data") in call("data", "mnist", "--dir", "~/data")[1]
    monkeypatch.setenv("PLASTICITY_JAX_DATA", "~/elsewhere")
    assert str(home / "elsewhere") in " ".join(data.where("mnist").looked_in)
    with pytest.raises(FileNotFoundError, match=str(home)):
        data.read_idx("~/missing")
    assert not list((tmp_path / "here").iterdir())
    for tokens in (("run", NAME, "--out", "~nobody-here/x"), ("report", "~nobody-x")):
        code, _, err = call(*tokens)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith("error: ~nobody")


def test_a_folder_that_is_none_is_refused(call, tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    (tmp_path / "empty").mkdir()
    for tokens, message in [
        (("run", NAME, "--out", file), f"--out {file}: cannot write"),
        (("run", NAME, "--out", file / "x"), f"--out {file}/x: cannot write"),
        (("report", file), f"no such folder: {file}"),
        (("report", tmp_path / "empty"), f"no results in {tmp_path / 'empty'}"),
        (("report", tmp_path / "none"), f"no such folder: {tmp_path / 'none'}"),
        (("recompute", file), f"no such file: {file}/config.toml"),
        (("recompute", tmp_path / "empty"), f"no such file: {tmp_path / 'empty'}"),
        (("recompute", tmp_path / "none"), f"no such file: {tmp_path / 'none'}"),
        (("run", tmp_path / "empty" / "x.toml"), "no such file"),
        (("run", NAME, "--seeds", "1.5"), "--seeds"),
        (("run", NAME, "--set", f"steps={'9' * 5000}"), "`steps` must be of type int"),
        (("run", NAME, "--set", "rule=1\nsteps = 3"), "rule"),
    ]:
        code, _, err = call(*tokens)
        assert (code, err.count("\n")) == (2, 1), err
        assert message in err


# --- results --------------------------------------------------------------------------


@pytest.fixture
def result(tmp_path):
    """A result as it is written, and the plan of its run."""
    plan = Plan(Study(rule="\u00e4"), {}, 1)
    wrong = EXPERIMENT._replace(figure=lambda data: data["stage"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        folder, why = write_results(
            NAME, wrong, plan, *results_of(), Verdict(NAME, ()), tmp_path, True
        )
    assert why.startswith("KeyError: ")
    assert "stage" in why
    return folder, plan


def test_a_result_opens_as_it_should_and_without_a_warning(result, recwarn):
    folder, _ = result
    for name, made in zip(("data", "control"), results_of(), strict=True):
        store = folder / f"{name}.zarr"
        for opened in (
            xarray.open_zarr(store),
            xarray.open_dataset(store, engine="zarr"),
            xarray.open_datatree(store, engine="zarr").to_dataset(),
        ):
            opened.load()
            assert opened.attrs.pop("shows") == EXPERIMENT.shows
            assert opened.attrs.pop("source") == EXPERIMENT.source
            assert opened.identical(storable(made))
    assert not [w for w in recwarn if not issubclass(w.category, ResourceWarning)]
    assert tomllib.loads((folder / "config.toml").read_bytes().decode())
    path = report(folder.parent)
    assert "float64" in path.read_text(encoding="utf-8")
    (folder / "data.zarr" / ".zattrs").write_text("[")
    with pytest.raises(ValueError, match=r"\.zattrs is damaged"):
        report(folder.parent)


def compared(folder, plan, monkeypatch, **changes):
    """Differences of a stored result from what is computed now, with changes."""
    again = iter([x.assign(changes) if changes else x for x in results_of()])
    monkeypatch.setattr(
        "plasticity_jax.experiment._recompute.labelled", lambda *_, **__: next(again)
    )
    experiment = EXPERIMENT._replace(control=lambda plan: plan)
    return {row.name: row for row in recompute(experiment, plan, folder)}


def test_every_variable_of_a_result_is_compared(result, monkeypatch):
    folder, plan = result
    rows = compared(folder, plan, monkeypatch)
    assert len(rows) == 16
    assert all(row.holds and row.difference == 0 for row in rows.values())
    made = results_of()[0]
    for name, values in {
        "narrow": made["narrow"].astype(float) + 0.5,
        "phase": made["phase"] + 0.5j,
        "count": made["count"] + 1,
        "diverged": ~made["diverged"],
        "label": made["label"] + "c",
        "loss": made["loss"].fillna(0.0),
        "new": made["loss"],
        "ratio": made["ratio"] + 1e-9,
    }.items():
        monkeypatch.setattr(
            sys.modules[__name__], "results_of", lambda made=made: (made, made)
        )
        rows = compared(folder, plan, monkeypatch, **{name: ("ratio", values.values)})
        assert not rows[f"data: {name}"].holds, name
        assert rows["data: seed"].holds
        distance = {"phase": 0.5 / math.sqrt(2), "narrow": math.nan, "ratio": 1e-9}
        if name in distance:
            found = rows[f"data: {name}"].difference
            assert found == pytest.approx(distance[name], nan_ok=True)


def test_an_older_result_is_still_read(result, monkeypatch, recwarn):
    """The control was a group of the data's store, in Zarr's format 3."""
    folder, plan = result
    for name in ("data", "control"):
        (folder / f"{name}.zarr").rename(folder / f"left.{name}")
    store = folder / "data.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part, group in zip(results_of(), (None, "control"), strict=True):
            storable(part).to_zarr(store, group=group, mode="a", consolidated=False)
    rows = compared(folder, plan, monkeypatch)
    assert len(rows) == 16
    assert all(row.holds for row in rows.values())
    assert "float64" in report(folder.parent).read_text(encoding="utf-8")
    (store / "zarr.json").unlink()
    with pytest.raises(ValueError, match=r"data\.zarr cannot be read"):
        compared(folder, plan, monkeypatch)
    shutil.rmtree(store)
    with pytest.raises(ValueError, match=r"not there.* run .*config\.toml"):
        compared(folder, plan, monkeypatch)
    with pytest.raises(ValueError, match=r"not there\.$"):
        compared(folder / "nowhere", plan, monkeypatch)


# --- claims and checks ----------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_holds_nothing(value):
    assert not Judged("x", "x", "y", value).holds
    assert not Judged("x", "x", "y", value, low=1.0).holds
    assert not Judged("x", "x", "y", 0.5, 0.0, 1.0, control=value).control_fails
    assert not Check("x", "y", "exact", 1.0, 1.0, math.nan, 1.0).holds
    draws = jnp.asarray([0.1, -0.1] * 300)
    for check in (
        exact("x", "y", [value, 1.0], [1.0, 1.0]),
        exact("x", "y", [1.0], [value]),
        exact("x", "y", value, value),
        expectation("x", "y", draws.at[0].set(value), 0.0),
        expectation("x", "y", draws, value),
        simulated("x", "y", value, 1.0, 0.1),
        simulated("x", "y", 1.0, value, 0.1),
        simulated("x", "y", value, value, 0.1),
        always("x", "y", value),
    ):
        assert not check.holds, check


def test_a_check_does_not_hold_by_accident():
    draws = jnp.asarray([0.1, -0.1] * 300)
    assert expectation("x", "y", draws, 0.0).holds
    assert not expectation("x", "y", draws[:100], 0.0).holds  # too few to tell
    assert not expectation("x", "y", jnp.zeros(600), 0.0).holds
    assert not expectation("x", "y", draws + 0.2, 0.0).holds
    assert not simulated("x", "y", 0.0, 0.0, 0.1).holds
    assert not simulated("x", "y", 1.0, 0.0, 0.1).holds
    assert not always("x", "y", 1.5).holds
    assert exact("x", "y", np.ones(3), 1.0).holds
    for got, want in (
        (np.ones(3), np.ones((3, 1))),
        (np.ones(3), np.ones(1)),
        (1.0, np.ones(3)),
        (np.ones(0), np.ones(0)),
    ):
        with pytest.raises(ValueError, match="'x' has shape"):
            exact("x", "y", got, want)
    with pytest.raises(ValueError, match="'x' needs a row of samples"):
        expectation("x", "y", jnp.ones((3, 3)), 1.0)


def a_claim(measure, **options):
    measure.__name__, measure.__doc__ = "x", "It [x]."
    return claim("y", **options)(measure)


@pytest.mark.parametrize(
    ("measure", "says"),
    [
        (lambda data: data.missing, "AttributeError"),
        (lambda data: data.loss, "TypeError"),
        (lambda data: None, "TypeError"),
        (lambda data: data.loss.sel(ratio=7.0), "KeyError"),
    ],
)
def test_a_claim_that_cannot_be_computed_fails_alone_and_says_why(measure, says):
    well = a_claim(lambda data: 1.0, control=None)
    claims = (a_claim(measure), well._replace(name="well"))
    verdict = judge(NAME, EXPERIMENT._replace(claims=claims), *results_of())
    assert says in verdict.claims[0].says
    assert [row.holds for row in verdict.claims[:2]] == [False, True]
    assert not verdict.holds


def test_the_numbers_of_a_claim_may_be_of_any_library():
    # 0-d arrays of xarray, JAX and NumPy
    made = a_claim(
        lambda data: data.loss.max(),
        low=lambda data, control: jnp.asarray(0),
        high=np.int8(2),
        control=lambda data, control: data.loss.max() + 3,
    )
    verdict = judge(NAME, EXPERIMENT._replace(claims=(made,)), *results_of())
    assert verdict.holds
    assert json.loads(json.dumps(verdict.to_json()))[0]["value"] == 0.5
    from rich.console import Console

    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(verdict.table())
    assert "[x]" in console.export_text()
