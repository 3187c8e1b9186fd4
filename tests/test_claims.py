"""Claims, controls and axes: what a user writes an experiment with."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray
from jax.core import Tracer
from matplotlib.figure import Figure

from plasticity_jax import AbstractConfig, real, Scalar
from plasticity_jax.experiment import (
    always,
    changed,
    claim,
    exact,
    expectation,
    Experiment,
    judge,
    once,
    over_seeds,
    perform,
    Plan,
    simulated,
    soon,
    standard_error,
    together,
)


class Config(AbstractConfig):
    gain: Scalar = eqx.field(default=2.0, converter=real)
    offset: Scalar = eqx.field(default=1.0, converter=real)
    count: int = eqx.field(default=3, static=True)


def run(config, key):
    places = jnp.arange(config.count, dtype=float)
    return {"line": config.gain * places + config.offset, "twin": 0.0 * places}


@claim("Eq. 1", low=1.9, high=2.1)
def slope(data):
    """The line rises by two.

    A second paragraph is no part of it.
    """
    steps = over_seeds(data.line).sel(place="c") - over_seeds(data.line).sel(place="b")
    return float(steps.isel(gain=0) if "gain" in data.dims else steps)


PLACES = ("b", "c", "a")  # kept in this order
FIG = Experiment(
    name="line",
    source="Fig. 1",
    shows="a line",
    config=Config,
    run=run,
    claims=(slope,),
    figure=lambda data: Figure(),
    control=changed(gain=0.0, seeds=1),
    axes={"line": {"place": PLACES}, "twin": {"place": PLACES}},
)
PLAN = Plan(Config(), {"gain": np.array([2.0, 1.5])}, 3)


def judged(made, data, control=None):
    return list(made.judge(data, data if control is None else control))


def test_a_claim_is_its_function_its_docstring_and_the_same_measure_of_the_control():
    data, control = perform(FIG, PLAN, progress=False)
    assert data.gain.values.tolist() == [1.5, 2.0]  # sorted
    assert data.place.values.tolist() == list(PLACES)  # as declared
    assert control.sizes["seed"] == 1
    assert "gain" not in control.dims
    row, calm = judge("line", FIG, data.sel(gain=[2.0]), control).claims
    assert row[:4] == ("slope", "The line rises by two", "Eq. 1", 2.0)
    assert row[4:6] == (1.9, 2.1)
    assert row.control == 0.0
    assert row.holds
    assert row.control_fails
    assert calm.name == "none_diverged"
    assert slope(control) == 0.0


def test_controls_and_bounds_may_be_functions_and_a_measure_may_have_an_error():
    data = xarray.Dataset({"x": (("seed",), [1.0, 3.0])})
    other = xarray.Dataset({"x": (("seed",), [5.0, 9.0])})

    def measure(data):
        """Mean."""
        return over_seeds(data.x), standard_error(data.x)

    (same,) = judged(claim("y")(measure), data, other)
    assert (same.value, same.standard_error, same.control) == (2.0, 1.0, 7.0)
    (alone,) = judged(claim("y", control=None)(measure), data, other)
    assert alone.control is None
    assert alone.control_fails
    made = claim(
        "y",
        low=lambda data, control: data.x.min(),
        high=lambda data, control: control.x.min(),
        control=lambda data, control: data.x.min() - control.x.min(),
    )
    (row,) = judged(made(measure), data, other)
    assert (row.low, row.high, row.control) == (1.0, 5.0, -4.0)


def test_a_claim_is_made_at_every_label_or_value():
    data = xarray.Dataset({"x": (("load", "rule"), [[1.0, 2.0], [3.0, 4.0]])})
    data = data.assign_coords(load=[0.25, 0.5], rule=["a", "b"])

    def measure(data, load, rule):
        """Load {load:g}, rule {rule}."""
        return data.x.sel(load=load, rule=rule)

    high = lambda data, control, load, rule: 10 * load
    rows = judged(claim("{rule}", high=high, each=("load", "rule"))(measure), data)
    assert [row.value for row in rows] == [1.0, 2.0, 3.0, 4.0]
    assert rows[1].name == "measure[load=0.25, rule=b]"
    assert rows[1][1:3] == ("Load 0.25, rule b", "b")
    assert [row.high for row in rows] == [2.5, 2.5, 5.0, 5.0]
    assert [row.control for row in rows] == [1.0, 2.0, 3.0, 4.0]
    partly = claim("y", each={"load": (0.7, 0.5), "rule": ("a",)})(measure)
    lost, kept = judged(partly, data)
    assert lost.name == "measure[load=0.7, rule=a]"
    assert "Load 0.7, rule a: needs the axes" in lost.says
    assert kept.value == 3.0
    few = claim("y", each={"load": (0.5,), "rule": ("a",)})(measure)
    assert [row.value for row in judged(few, data)] == [3.0]
    gone = claim("y", each="lod")(measure)
    (row,) = judged(gone, data)
    assert "KeyError" in row.says
    assert not row.holds


def test_a_claim_may_be_made_of_some_cases_only_or_compare_with_the_control():
    data = xarray.Dataset({"x": ("load", [1.0, 2.0])}, {"load": [0.25, 0.5]})

    def measure(data, load):
        """Load {load:g}."""
        return data.x.sel(load=load)

    some = claim("y", each="load", when=lambda data, load: load > 0.3)(measure)
    assert [row.value for row in judged(some, data)] == [2.0]
    none = claim("y", when=lambda data: "seed" in data.dims)(slope.measure)
    assert judged(none, data) == []

    def ratio(data, control, load):
        """Over the control, load {load:g}."""
        return data.x.sel(load=load) / control.x.sel(load=load)

    rows = judged(claim("y", each="load", both=True)(ratio), data, data * 4)
    assert [(row.value, row.control) for row in rows] == [(0.25, 1.0), (0.25, 1.0)]


def test_what_is_no_claim_is_refused():
    with pytest.raises(ValueError, match="a name and a docstring"):
        claim("y")(lambda data: 1.0)
    with pytest.raises(ValueError, match=r"`control` must be .*'another'"):
        claim("y", control="another")(slope.measure)
    with pytest.raises(ValueError, match="each claim needs a name of its own: 'slope'"):
        judge("line", FIG._replace(claims=(slope, slope)), None, None)


def test_a_control_is_the_plan_with_other_values():
    plan = changed(offset=lambda config: 3 * config.gain, gain=1.0, seeds=2)(PLAN)
    assert (float(plan.config.gain), float(plan.config.offset)) == (1.0, 6.0)
    assert (plan.grid, plan.seeds) == ({}, 2)
    assert changed(offset=0.0, seeds=9)(PLAN).seeds == 3
    assert list(changed(offset=0.0)(PLAN).grid) == ["gain"]
    with pytest.raises(ValueError, match=r"unknown 'gian'.*'gain'"):
        changed(gian=0.0)(PLAN)
    with pytest.raises(ValueError, match=r"`gain`.*'x'"):
        changed(gain="x")(PLAN)
    pair = PLAN._replace(grid={"both": {"gain": np.ones(2), "offset": np.ones(2)}})
    with pytest.raises(ValueError, match=r"\['gain'\]: on the axis 'both'"):
        changed(gain=0.0)(pair)


@pytest.mark.parametrize(
    ("axes", "says"),
    [
        ({"line": {"place": ("a", "b")}}, "'place' of 'line' has 3 entries"),
        ({"line": {"place": 3}}, "'place' of 'line' has 3 entries"),
        ({"line": {"place": PLACES}, "twin": {"place": range}}, "'place' .*of shape"),
        ({"line": {"place": PLACES}, "twin": {"place": "xyz"}}, "'place' .*of shape"),
        (
            {"line": {"place": PLACES}, "twin": {"place": ("x", "y", "z")}},
            "'place' has other labels in 'twin'",
        ),
        ({"lin": {"place": PLACES}}, "unknown observable 'lin'"),
    ],
)
def test_axes_that_do_not_fit_are_refused(axes, says):
    if axes.get("twin", {}).get("place") is range:
        axes = axes | {"twin": {"place": lambda config: range(config.count + 1)}}
    with pytest.raises(ValueError, match=says):
        perform(FIG._replace(axes=axes), PLAN, progress=False)


def test_labels_may_depend_on_the_config_and_may_be_none():
    times = {"time": lambda config: 0.5 * np.arange(config.count)}
    axes = {"line": times, "twin": {"draw": None}}
    data, _ = perform(FIG._replace(axes=axes, control=lambda plan: plan), PLAN)
    assert data.time.values.tolist() == [0.0, 0.5, 1.0]
    assert "draw" in data.twin.dims
    assert "draw" not in data.coords


def several(draws):
    x = jnp.linspace(0.1, 1.0, 9)
    assert isinstance(x, Tracer) is isinstance(draws, Tracer)
    yield exact("one", "Pythagoras", jnp.cos(x) ** 2 + jnp.sin(x) ** 2, 1.0, 1e-12)
    yield exact("two", "nobody", [jnp.sum(x), x[0]], np.ones(2))
    yield exact("known", "before", 1.0, 1.0)
    yield expectation("mean", "law", draws, 0.0)
    yield simulated("sum", "a rough law", jnp.sum(x), 5.0, tolerance=0.02)
    yield always("above zero", "sight", jnp.mean(x > 0))


def test_checks_together_are_those_one_by_one():
    draws = jr.normal(jr.key(0), (1000,))
    plain, found = list(several(draws)), list(together(several)(draws))
    assert [check.holds for check in found] == [True, False, True, True, True, True]
    for one, other in zip(plain, found, strict=True):
        assert one[:3] == other[:3]
        assert one.holds == other.holds
        assert one.tolerance == other.tolerance
        assert np.allclose(one[3:5], other[3:5], rtol=1e-12)
    with pytest.raises(ValueError, match=r"'odd' has shape.*alike"):
        list(together(lambda x: iter([exact("odd", "", x, jnp.ones(3))]))(draws))


@pytest.mark.parametrize("jit", [once, soon])
def test_what_is_compiled_sooner_has_the_same_numbers(jit):
    runs = []

    @jit
    def walk(start, name):
        runs.append(name)
        step = lambda x, key: (x + jr.normal(key, x.shape), jnp.sin(x))
        return jax.lax.scan(step, start, jr.split(jr.key(0), 50))

    with jax.disable_jit():
        want = walk(jnp.ones(5), "plain")
    for _ in range(2):
        found = walk(jnp.ones(5), "compiled")
    assert runs == ["plain", "compiled"]
    for one, other in zip(found, want, strict=True):
        assert jnp.allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("jit", [once, soon])
def test_what_is_compiled_sooner_stands_outermost(jit):
    inner = jit(jnp.sin)
    for around in (jax.jit(inner), jax.grad(inner)):
        with pytest.raises(ValueError, match="only be passed to top-level"):
            around(1.0)
    assert jit(jax.grad(jnp.sin))(0.0) == 1.0
    assert jax.vmap(inner)(jnp.zeros(2)).shape == (2,)
