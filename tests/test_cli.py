"""The command line: what it writes, what it prints, how it refuses."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray

from plasticity_jax import AbstractRule, cli, rules
from plasticity_jax._sweep._config import updated
from plasticity_jax._sweep._store import Store
from plasticity_jax.experiment._recompute import _compared
from plasticity_jax.systems.optimal_plasticity import Config


def command(monkeypatch, capsys, *tokens):
    """Exit code, standard output and standard error of one command line."""
    monkeypatch.setattr(sys, "argv", ["plasticity-jax", *map(str, tokens)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code, out, err


@pytest.fixture(autouse=True)
def four_at_once(monkeypatch):
    """One compilation a sweep: how a batch size is chosen has tests of its own."""
    monkeypatch.setattr(
        "plasticity_jax._sweep._sweep.chosen_size", lambda lanes, workers: 4
    )


@pytest.fixture
def call(monkeypatch, capsys):
    return lambda *tokens: command(monkeypatch, capsys, *tokens)


def test_list_rules_names_every_rule_what_it_reads_and_its_source(call):
    code, out, _ = call("list", "rules", "--json")
    rows = {row["rule"]: row for row in json.loads(out)}
    assert code == 0
    kinds = [x for x in vars(rules).values() if isinstance(x, type)]
    assert set(rows) == {x.__name__ for x in kinds if issubclass(x, AbstractRule)}
    assert rows["Oja"] == {
        "rule": "Oja",
        "reads": "pre, post and dt",
        "source": "Oja 1982",
    }
    assert "Storkey" in call("list", "rules")[1]
    code, _, err = call("list", "rulse")
    assert (code, err.count("\n")) == (2, 1)
    assert "nothing but `rules`" in err


def test_list_names_every_experiment(call):
    code, out, _ = call("list", "--json")
    rows = json.loads(out)
    assert code == 0
    names = [row["name"] for row in rows]
    assert "optimal_plasticity.fig5" in names
    assert len(set(names)) == len(names) >= 9
    for row in rows:
        assert row["name"].startswith(f"{row['system']}.")
        assert {"smoke", "small", "paper"} <= set(row["presets"])
        assert row["shows"]
        assert row["source"]
    code, out, _ = call("list")
    assert code == 0
    assert "fig5s1" in out


def test_run_writes_everything(call, tmp_path):
    name = "optimal_plasticity.fig3"
    code, out, _ = call("run", name, "--preset", "smoke", "--out", tmp_path)
    assert code == 0, out
    folder = tmp_path / name
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.toml",
        "control.zarr",
        "data.zarr",
        "figure.pdf",
        "figure.png",
        "verdict.json",
    ]
    assert [p.name for p in tmp_path.iterdir()] == [name]  # no half-written rest
    rows = json.loads((folder / "verdict.json").read_text())
    keys = {"name", "says", "source", "value", "low", "high", "standard_error", "holds"}
    assert all(set(row) == {*keys, "control"} for row in rows)
    controls = [row["control"] for row in rows if row["control"]]
    assert controls
    assert not any(control["holds"] for control in controls)
    data = xarray.open_zarr(folder / "data.zarr")
    control = xarray.open_zarr(folder / "control.zarr")
    assert data.sizes["seed"] == control.sizes["seed"] == 2
    assert data.attrs["precision"] == "float64"
    assert str(folder.name) in out.replace("\n", "")


@pytest.mark.dear
def test_a_written_config_runs_again_to_the_same_numbers(call, tmp_path):
    first, again = tmp_path / "a", tmp_path / "b"
    name = "optimal_plasticity.learning"
    options = ("--preset", "smoke", "--set", "steps=60", "--set", "window=30")
    call("run", name, *options, "--out", first)
    call("run", first / name / "config.toml", "--out", again)
    a, b = (
        xarray.open_zarr(folder / name / "data.zarr").load()
        for folder in (first, again)
    )
    assert a.sizes["step"] == 60
    assert np.array_equal(a.loss, b.loss)
    tables = [(x / name / "config.toml").read_text() for x in (first, again)]
    origins = [tomllib.loads(table)["from_preset"] for table in tables]
    assert origins == ["smoke, changed"] * 2


@pytest.mark.dear
def test_overrides_reach_the_run(call, tmp_path):
    name = "optimal_plasticity.fig5s1"
    code, _, _ = call(
        "run",
        name,
        *("--preset", "smoke", "--out", tmp_path, "--seeds", 3),
        *("--set", "steps=50", "--set", "window=20", "--set", "samples=30"),
        *("--grid", "ratio=0.2:2.0:4", "--grid", "fluctuation_size=0.01,0.02"),
    )
    assert code in (0, 1)
    data = xarray.open_zarr(tmp_path / name / "data.zarr")
    assert np.allclose(data.ratio, [0.2, 0.8, 1.4, 2.0])
    assert data.sizes["seed"] == 3
    table = tomllib.loads((tmp_path / name / "config.toml").read_text())
    assert table["common"]["steps"] == 50
    assert table["experiment"] == name


@pytest.mark.dear
def test_an_unusual_grid_keeps_the_data_and_says_what_is_missing(call, tmp_path):
    """Axes out of order, without the points of the claims, or unknown to the figure."""
    name = "optimal_plasticity.fig5s1"
    small = ("--set", "steps=40", "--set", "window=20", "--set", "samples=30")
    axes = ("--grid", "ratio=2.5,0.4,1.0", "--grid", "corruption=5,7")
    options = ("--preset", "smoke", "--out", tmp_path, *small, *axes)
    assert call("run", name, *options)[0] == 1
    data = xarray.open_zarr(tmp_path / name / "data.zarr")
    assert data.ratio.values.tolist() == [0.4, 1.0, 2.5]
    rows = json.loads((tmp_path / name / "verdict.json").read_text())
    absent = [row for row in rows if "rho = 0.1" in row["says"] + row["source"]]
    assert absent
    assert not any(row["holds"] for row in absent)
    geometry = "optimal_plasticity.fig3"
    options = ("--preset", "smoke", "--out", tmp_path, "--grid", "softness=0.5,1.0")
    assert call("run", geometry, *options)[0] == 1
    assert (tmp_path / geometry / "data.zarr").exists()
    rows = json.loads((tmp_path / geometry / "verdict.json").read_text())
    assert any("needs the axes of the preset's grid" in row["says"] for row in rows)


def test_a_result_replaces_an_older_one_whole(call, tmp_path):
    name = "optimal_plasticity.fig3"
    (tmp_path / name).mkdir()
    (tmp_path / name / "left over").write_text("from before")
    code, _, _ = call("run", name, "--preset", "smoke", "--out", tmp_path)
    assert code == 0
    assert not (tmp_path / name / "left over").exists()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.dear
def test_diverged_runs_fail_the_verdict(call, tmp_path):
    name = "optimal_plasticity.fig5s1"
    code, _, _ = call(
        "run",
        name,
        *("--preset", "smoke", "--out", tmp_path, "--grid", "corruption=0.1"),
        *("--set", "steps=40", "--set", "window=20", "--grid", "ratio=1e200,1e300"),
    )
    assert code == 1
    rows = json.loads((tmp_path / name / "verdict.json").read_text())
    assert rows[-1]["says"].startswith("no run diverged")
    assert rows[-1]["value"] > 0
    assert not rows[-1]["holds"]


def test_a_failing_claim_is_exit_code_one(call, tmp_path):
    code, out, _ = call(
        "run",
        "optimal_plasticity.fig4",
        *("--preset", "smoke", "--set", "softness=5.0", "--out", tmp_path),
    )
    assert code == 1
    assert "FAILS" in out
    assert (tmp_path / "optimal_plasticity.fig4" / "verdict.json").exists()


FIG5 = ("run", "optimal_plasticity.fig5", "--preset", "smoke")


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (("run", "optimal_plasticity.fig6"), "Did you mean 'optimal_plasticity.fig"),
        (("run", "nothing.at.all"), "'nothing.at.all'. `plasticity-jax list` names"),
        (("run", "dale"), "Did you mean 'stable_memory.dale'? `plasticity-jax"),
        (("run", "missing.toml"), "no such file"),
        ((*FIG5[:2], "--preset", "smal"), "Did you mean 'small'"),
        ((*FIG5, "--set", "ratoi=1"), "Did you mean 'ratio'"),
        ((*FIG5, "--set", "damping=-1"), "`damping` must lie in"),
        ((*FIG5, "--set", "damping=nan"), "`damping` must lie in"),
        ((*FIG5, "--set", "steps=many"), "`steps` must be of type int"),
        ((*FIG5, "--set", "steps=1.5"), "`steps` must be of type int"),
        ((*FIG5, "--set", "rule=newtn"), "Did you mean 'newton'"),
        ((*FIG5, "--set", "steps"), "write name=value"),
        ((*FIG5, "--set", "damping=abc"), "`damping` must be a number"),
        ((*FIG5, "--set", "probe_size=[1.0, 2.0]"), "`probe_size` must have shape ()"),
        ((*FIG5, "--set", "sizes=[12.5, 10]"), "`sizes` must be of type int"),
        ((*FIG5, "--set", 'sizes=["a", 2]'), "`sizes` must be of type int"),
        ((*FIG5, "--set", "start_offset=inf"), "`start_offset`"),
        ((*FIG5, "--out", "/dev/null"), "--out"),
        ((*FIG5, "--set", "ratio=1.0"), "axis of the grid"),
        ((*FIG5, "--set", "second_moment=[[1.0, 2.0]]"), "second_moment"),
        ((*FIG5, "--grid", "steps=1:3:3"), "structural"),
        ((*FIG5, "--grid", "ratio=1:2"), "start:stop:count"),
        ((*FIG5, "--grid", "ratio=1:2:0"), "non-empty"),
        ((*FIG5, "--grid", "ratio=-1,1"), "`ratio` must lie in"),
        ((*FIG5, "--grid", "ratoi=0:1:3"), "Did you mean 'ratio'"),
        ((*FIG5, "--seeds", "0"), "--seeds"),
        ((*FIG5, "--seeds", "two"), "seeds"),
        ((*FIG5, "--sedes", "2"), "sedes"),
        (("verify", "optimal_plasticty"), "Did you mean 'optimal_plasticity'"),
        (("data", "minst"), "mnist"),
        (("rnu",), "rnu"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_two(
    call, tmp_path, monkeypatch, tokens, message
):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*tokens)
    assert code == 2
    assert message in err
    assert err.startswith("error:")
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "not valid TOML"),
        ("[common]\nratio = 1.0", "needs a line"),
        ('experiment = "optimal_plasticity.fig9"', "Did you mean"),
        ('experiment = "optimal_plasticity.fig5"\n[common]\nratoi = 1', "ratio"),
        ('experiment = "optimal_plasticity.fig5"\n[common]\nseeds = 0', "seeds"),
        (
            'experiment = "optimal_plasticity.fig5"\n[common.grid]\nratio = ["a"]',
            "must be numbers",
        ),
        (
            'experiment = "optimal_plasticity.fig5"\n[common]\ngrid = 3',
            "must be a table",
        ),
        ('experiment = "optimal_plasticity.fig5"\nsteps = 3\n[common]', "[common]"),
        ('experiment = "optimal_plasticity.fig5"\n[comon]\nsteps = 3', "comon"),
    ],
)
def test_a_bad_file_is_named(call, tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    code, _, err = call("run", path, "--out", tmp_path / "out")
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_data_tells_what_is_here_and_how_to_get_the_rest(call, tmp_path):
    code, out, _ = call("data", "--dir", tmp_path)
    assert code == 0
    assert "digits" in out
    code, out, _ = call("data", "mnist", "--dir", tmp_path, "--json")
    (row,) = json.loads(out)
    assert row["name"] == "mnist"
    assert str(tmp_path) in " ".join(row["looked_in"])


@pytest.mark.dear
def test_verify_prints_rows(call, monkeypatch):
    """With the rows of the algebra only: the runs are tested where they are made."""
    from plasticity_jax.systems.optimal_plasticity import checks

    monkeypatch.setattr(checks, "checks", checks.algebra_checks)
    code, out, _ = call("verify", "optimal_plasticity", "--json")
    rows = json.loads(out)
    assert code == 0
    assert set(rows[0]) == {
        "system",
        "quantity",
        "source",
        "kind",
        "value",
        "reference",
        "error",
        "tolerance",
        "holds",
    }
    assert all(row["holds"] for row in rows)
    code, out, _ = call("verify", "optimal_plasticity")
    assert code == 0
    assert "Eq. 6" in out


def test_interrupted_runs_leave_nothing(call, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("plasticity_jax.experiment._run.perform", interrupt)
    code, _, err = call("run", "optimal_plasticity.fig3", "--out", tmp_path / "out")
    assert code == 130
    assert "--resume goes on" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.dear
def test_an_interrupted_run_goes_on_where_it_stood(call, tmp_path, monkeypatch):
    written, write = [], Store.write

    def interrupted(self, number, results):
        if len(written) == 2:
            raise KeyboardInterrupt
        write(self, number, results)
        written.append((self.folder.name, number))

    experiment = ("run", "optimal_plasticity.fig5s1", "--preset", "smoke")
    run = (*experiment, "--set", "steps=100", "--out", tmp_path)
    monkeypatch.setattr(Store, "write", interrupted)
    code, _, err = call(*run)
    assert (code, len(written)) == (130, 2)
    assert "--resume goes on" in err
    assert not (tmp_path / "optimal_plasticity.fig5s1").exists()

    def kept(self, number, results):
        write(self, number, results)
        written.append((self.folder.name, number))

    monkeypatch.setattr(Store, "write", kept)
    code, _, err = call(*run[:-3], "steps=101", "--out", tmp_path, "--resume")
    assert code == 2
    assert re.search("config was 'steps.* 100' and is 'steps.* 101'", err), err
    code, _, err = call(*run, "--resume")
    assert code != 2, err
    assert len(written) == len(set(written)) > 2
    assert [p.name for p in tmp_path.iterdir()] == ["optimal_plasticity.fig5s1"]


def test_a_dask_address_without_a_scheduler_is_bad_input(call, tmp_path):
    code, _, err = call(
        "run", "optimal_plasticity.fig1", "--out", tmp_path, "--dask", "nonsense"
    )
    assert code == 2
    assert "--dask" in err


def test_recompute_computes_a_run_again_and_compares(call, tmp_path):
    name = "optimal_plasticity.fig3"
    folder = tmp_path / name
    call("run", name, "--preset", "smoke", "--seeds", 2, "--out", tmp_path)
    code, out, _ = call("recompute", folder)
    assert code == 0
    assert out.count("the same bits") == len(out.splitlines()) > 2
    text = (folder / "config.toml").read_text()
    (folder / "config.toml").write_text(text.replace("seeds = 2", "seeds = 3"))
    code, _, err = call("recompute", folder)
    assert code == 2
    assert "was run with other keys" in err
    (folder / "config.toml").write_text(text)
    with xarray.open_dataset(folder / "data.zarr", engine="zarr") as data:
        changed = data.load() * 1.5
        changed.attrs = data.attrs
    changed.to_zarr(folder / "data.zarr", mode="a")
    code, out, _ = call("recompute", folder)
    assert code == 1
    assert "off by 0.33  FAILS: at most 0 is allowed" in out
    code, _, err = call("recompute", tmp_path / "nowhere")
    assert code == 2
    assert "no such file" in err


def test_recompute_tells_in_the_order_of_what_is_computed_now():
    """A store lists its variables in any order."""
    about = {"precision": "float64"}
    now = xarray.Dataset({"rate": 1.0, "diverged": False, "early": 2.0}, attrs=about)
    found = _compared("data", now[["early", "diverged", "rate"]], now)
    assert [x.name for x in found] == ["data: rate", "data: diverged", "data: early"]


def test_a_plan_keeps_the_kind_of_its_keys(call, tmp_path):
    name = "optimal_plasticity.fig3"
    options = ("--preset", "smoke", "--out", tmp_path)
    assert call("run", name, *options, "--keys", "fast")[0] == 0
    table = tomllib.loads((tmp_path / name / "config.toml").read_text())
    assert table["common"]["keys"] == "fast"
    assert table["from_preset"] == "smoke, changed"
    for part in ("data", "control"):
        data = xarray.open_zarr(tmp_path / name / f"{part}.zarr")
        assert data.attrs["key_kind"] == "fast"
    code, out, _ = call("recompute", tmp_path / name)
    assert code == 0
    assert out.count("the same bits") == len(out.splitlines()) > 2
    code, _, err = call("run", name, *options, "--keys", "fats")
    assert code == 2
    assert "`--keys` is unknown: 'fats'. Did you mean 'fast'?" in err


OWN = Path(__file__).parent.parent / "examples" / "own_experiment.py"


@pytest.mark.dear
def test_an_experiment_of_a_users_file_is_run_like_a_published_one(
    call, tmp_path, monkeypatch
):
    name, address = "own_experiment.SPREAD", f"{OWN}:SPREAD"
    wanted = ("run", address, "--preset", "smoke", "--out", tmp_path)
    write = Store.write

    def full(self, number, results):
        if number == 2:
            raise OSError("no space")
        write(self, number, results)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", full)
        assert call(*wanted)[0] == 2
    assert list(tmp_path.rglob("batch-*"))
    code, _, err = call(*wanted, "--resume")
    assert code == 0, err
    assert [x.name for x in tmp_path.iterdir()] == [name]
    with xarray.open_zarr(tmp_path / name / "data.zarr") as data:
        assert data.square.dims == ("decay", "seed", "time")
    code, out, _ = call("recompute", tmp_path / name)
    assert code == 0
    assert out.count("the same bits") == len(out.splitlines()) > 2
    again = ("run", tmp_path / name / "config.toml", "--out", tmp_path / "again")
    assert call(*again)[0] == 0
    assert call("report", tmp_path)[0] == 0
    page = (tmp_path / "report.html").read_text()
    assert "Decay bounds the spread of fluctuating synapses" in page
    assert "Uhlenbeck &amp; Ornstein 1930" in page


def test_an_experiment_that_is_in_no_file_is_refused(call, tmp_path):
    for given, says in (
        (f"{OWN}:SPREDA", "has no experiment 'SPREDA'. Did you mean 'SPREAD'?"),
        (f"{tmp_path}/none.py:FIG1", f"no such file: {tmp_path}/none.py"),
    ):
        code, _, err = call("run", given, "--out", tmp_path)
        assert (code, err.count("\n")) == (2, 1)
        assert says in err
    (tmp_path / "bare.py").write_text(OWN.read_text())
    code, _, err = call("run", f"{tmp_path}/bare.py:SPREAD", "--preset", "small")
    assert code == 2
    assert "--preset small: there is no parameter file" in err


LIGHT = """
import sys
from plasticity_jax import cli
sys.argv = ["plasticity-jax", *sys.argv[1:]]
try:
    cli.main()
finally:
    heavy = {"jax", "equinox", "numpy"} & set(sys.modules)
    imported = {x for x in sys.modules if x.startswith("plasticity_jax.systems.")}
    print(sorted(heavy | imported), file=sys.stderr)
"""


def test_help_and_list_import_neither_jax_nor_a_system():
    for words in (["--help"], ["run", "--help"], ["list"], ["list", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", LIGHT, *words], capture_output=True, text=True
        )
        assert done.stderr.splitlines()[-1] == "[]", done.stderr


def test_report_writes_a_page(call, tmp_path):
    name = "optimal_plasticity.fig3"
    call("run", name, "--preset", "smoke", "--out", tmp_path)
    code, out, _ = call("report", tmp_path)
    assert code == 0
    assert "report.html" in out
    assert f"Figure of {name}: " in (tmp_path / "report.html").read_text()
    code, _, err = call("report", tmp_path / "nowhere")
    assert code == 2
    assert "no such folder" in err


def test_a_config_survives_its_text():
    config = Config(ratio=0.1, sizes=(3, 2), second_moment=np.diag([1.0, 2.0, 3.0]))
    from plasticity_jax._sweep._config import to_toml

    again = updated(Config(), tomllib.loads(to_toml(config)))
    assert to_toml(again) == to_toml(config)
    assert again.sizes == (3, 2)
    assert np.array_equal(again.second_moment, config.second_moment)
