"""Models of synapse size fitted to tables: published numbers, coverage, the command."""

import json
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from test_cli import command

from plasticity_jax.inference import (
    Additive,
    analyse,
    compare,
    coverage,
    Diffusion,
    Factors,
    fit_sizes,
    kaufman_2012,
    Lognormal,
    looks,
    predictive_checks,
    report_of,
    Table,
    Varied,
    write_analysis,
)


TIMES = jnp.asarray(np.arange(12) * 0.5)
TRUTH = Additive(1.0, 20.0, 0.05, 0.03, stationary=True)


def simulated(model, count, key, times=TIMES):
    return Table(model.simulate(times, count, key), times)


@pytest.mark.dear
def test_statistics_of_the_shipped_table_are_as_printed():
    found = {name: np.asarray(x) for name, x in looks(kaufman_2012()).items()}
    near = lambda name, *values: np.allclose(found[name], values, atol=6e-5)
    assert near("change_mean", 0.0024, 0.0015, 0.0009, -0.0005, -0.0034)
    assert near("change_sd", 0.0212, 0.0273, 0.0325, 0.0371, 0.0510)
    at = found["change_correlation"]
    assert np.allclose(
        at, [0.364, 0.226, 0.132, 0.017, -0.341, -0.054, -0.021, -0.004], atol=6e-4
    )
    assert np.allclose(
        found["quantile"], [0.257, 0.386, 0.653, 0.910, 1.229, 1.942, 2.720], atol=6e-4
    )
    at = found["autocorrelation"]
    assert np.allclose(at, [0.997, 0.992, 0.979, 0.958, 0.925, 0.848], atol=6e-3)


@pytest.mark.dear
def test_fits_of_the_shipped_table_are_as_printed():
    """Every fifth column, estimates and errors as an independent program found them."""
    table = kaufman_2012().thinned(5)
    factors = fit_sizes(table, Factors.guess(table))
    assert np.isclose(factors.height, 8597.5, atol=0.06)
    values = [float(x) for x in jax.tree.leaves(factors.params)]
    assert np.allclose(
        values, [-0.016, 74.2, 0.0641, 0.343, 0.0311], rtol=5e-3, atol=5e-4
    )
    free = factors.standard_errors("sandwich")
    assert np.isclose(free[1], 6.1 / 74.2, rtol=0.02)
    lognormal = fit_sizes(table, Lognormal.guess(table), starts=2)
    assert np.isclose(lognormal.height, 8300.7, atol=0.06)
    table = compare({"factors": factors, "lognormal": lognormal})
    assert np.isclose(table.aic[1], 591.5, atol=0.1)
    assert np.isclose(table.vuong[1], 4.8, atol=0.05)


@pytest.mark.dear
def test_an_analysis_names_the_model_finds_the_spread_and_is_written(tmp_path):
    key = jr.key(3)
    factors = jnp.exp(0.6 * jr.normal(jr.key(4), (60,)))
    each = [
        Lognormal(0.0, 20.0, 0.06 * f, 0.01).simulate(TIMES, 1, jr.fold_in(key, i))
        for i, f in enumerate(factors)
    ]
    table = Table(jnp.concatenate(each), TIMES)
    told = []
    found = analyse(table, ("additive", "lognormal"), window=1, progress=told.append)
    assert found.best == "lognormal"
    assert bool(found.comparison.apart[1])
    assert len(told) == 6
    spread = found.varied.params.spread
    error = found.varied.standard_errors()[-1]
    assert abs(np.log(spread / 0.6)) < 4 * error
    assert error < 0.3
    mean, _ = found.varied.params.factors(table)
    assert np.corrcoef(mean, np.log(factors))[0, 1] > 0.7
    out = write_analysis(found, tmp_path / "out", "sizes & <b>")
    names = {path.name for path in out.iterdir()}
    assert names == {
        "report.html",
        "analysis.json",
        "figure.png",
        "figure.pdf",
        "estimates.csv",
        "models.csv",
        "checks.csv",
        "synapses.csv",
    }
    page = (out / "report.html").read_text()
    assert "sizes &amp; &lt;b&gt;" in page
    assert "synapses differ" in page
    assert "60 synapses, 12 times over" in report_of(found)
    told = json.loads((out / "analysis.json").read_text())
    assert told["best"] == "lognormal"
    assert {row["model"] for row in told["estimates"]} == set(told["about"])
    assert set(told["about"]) == {
        *("additive", "lognormal", "lognormal, synapses varied"),
        *(f"lognormal, noise law {law}" for law in ("0", "1/2", "1")),
    }
    assert write_analysis(found, out) == out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.dear
def test_checks_accept_the_model_that_made_the_table():
    model = Additive(1.0, 5.0, 0.05, 0.02)
    table = simulated(model, 150, jr.key(1), jnp.arange(30.0) * 0.5)
    found = predictive_checks(model, table, jr.key(2), draws=100)
    assert float((found.p < 0.02).mean()) < 0.15
    wrong = predictive_checks(
        Additive(1.0, 5.0, 0.1, 0.02), table, jr.key(2), draws=100
    )
    change = wrong.p[wrong.statistic.values == "change_sd"]
    assert bool((change <= 0.02).all())


@pytest.mark.dear
def test_checks_of_a_run_that_is_lost_are_nan():
    table = simulated(TRUTH, 5, jr.key(0))
    lost = eqx.tree_at(lambda model: model.noise, TRUTH, jnp.asarray(jnp.nan))
    assert bool(predictive_checks(lost, table, jr.key(1), draws=20).p.isnull().all())


def test_only_published_models_vary():
    own = Diffusion(lambda w, p: -p * w, lambda w, p: p, jnp.asarray(1.0), 0.1)
    with pytest.raises(ValueError, match="must be a published one"):
        Varied(own, 0.2)
    with pytest.raises(ValueError, match=r"unknown model 'aditive'\. Did you mean"):
        analyse(simulated(TRUTH, 5, jr.key(0)), ("aditive",))
    with pytest.raises(ValueError, match="`law` is unknown: '2'"):
        analyse(simulated(TRUTH, 5, jr.key(0)), law="2")


@pytest.mark.slow
def test_intervals_of_the_stationary_model_hold_what_they_promise():
    """1000 fits: 93 to 97 %, bias below .15 and spread within 7 % of the error."""
    times = jnp.arange(49.0) * 0.5
    one = lambda table: fit_sizes(table, TRUTH, starts=1)
    draw = lambda model, key: simulated(model, 200, key, times)
    found = coverage(draw, one, TRUTH, jr.split(jr.key(0), 1000))
    print(found.to_dataframe(), found.attrs)
    assert found.attrs["converged"] == 1000
    assert bool(((found.coverage > 0.93) & (found.coverage < 0.97)).all())
    assert bool((abs(found.bias) < 0.15).all())
    assert bool((abs(found.spread - 1) < 0.07).all())


def run(*words, cwd):
    command = [sys.executable, "-m", "plasticity_jax", "fit", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "words", "wrong"),
    [
        ("1,2,x\n2,3,4\n", ("--interval", "1h"), "x"),
        ("1,2,3\n2,3,4\n", ("--interval", "1"), "'1' is no time with a unit"),
        ("1,2,3\n2,3,4\n", (), "interval"),
        ("1,0,3\n2,3,4\n", ("--interval", "1h"), "missing"),
    ],
)
def test_a_bad_table_is_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, text, words, wrong
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sizes.csv").write_text(text)
    words = "fit", "sizes.csv", *words, "--out", "out"
    code, out, err = command(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    assert line.startswith("error: ")
    assert wrong in line
    assert [path.name for path in tmp_path.iterdir()] == ["sizes.csv"]


@pytest.mark.dear
def test_the_command_fits_a_table(tmp_path):
    table = simulated(Additive(1.0, 5.0, 0.05, 0.02), 40, jr.key(1))
    np.savetxt(tmp_path / "sizes.csv", np.asarray(table.sizes), delimiter=",")
    words = "--interval", "30min", "--model", "additive", "--brief", "--out", "found"
    done = run("sizes.csv", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "40 synapses, 12 times over 5.5 h" in done.stdout
    assert "additive was the only model." in done.stdout
    assert (tmp_path / "found" / "estimates.csv").exists()
    done = run("sizes.csv", *words, "--law", "1", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert (told["law"], told["best"], told["synapses"]) == ("1", "additive", 40)
    assert told["models"][0]["vuong"] == 0
