"""A labelled grid of runs: labels, pairing, batches, isolation, bad input."""

import dataclasses
import json
import math
import tomllib

import equinox as eqx
import jax
import jax.monitoring
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax._arguments import real, require
from plasticity_jax._interfaces import Scalar
from plasticity_jax._sweep import _lanes
from plasticity_jax._sweep._batch_size import candidates, choose_batch_size
from plasticity_jax._sweep._config import updated
from plasticity_jax._sweep._sweep import sweep


class Walk(eqx.Module):
    """A random walk with drift; diverges where `gain` is above 1."""

    gain: Scalar = eqx.field(default=0.5, converter=real)
    noise: Scalar = eqx.field(default=1.0, converter=real)
    offset: Scalar = eqx.field(default=0.0, converter=real)
    steps: int = eqx.field(default=30, static=True)

    def __check_init__(self):
        require(self, gain=(0.0, 1e300), noise=(0.0, math.inf))


def walk(config, key):
    def step(x, key):
        x = config.gain * x + config.noise * jr.normal(key) + config.offset
        return x, x

    last, path = jax.lax.scan(step, jnp.ones(()), jr.split(key, config.steps))
    return {"last": last, "path": path, "seen": config.offset}


KEYS = jr.split(jr.key(0), 3)
GRID = {"gain": [0.1, 0.5], "noise": [0.0, 1.0, 2.0]}


def quiet(grid, config=None, **options):
    config = Walk() if config is None else config
    return sweep(walk, config, grid, KEYS, progress=False, **options)


def test_dims_coordinates_and_dtypes_are_labelled():
    data = quiet(GRID, dims={"path": ("time",)})
    assert data["last"].dims == ("gain", "noise", "seed")
    assert data["path"].dims == ("gain", "noise", "seed", "time")
    assert data["path"].shape == (2, 3, 3, 30)
    assert data.gain.values.tolist() == [0.1, 0.5]
    assert data.noise.values.tolist() == [0.0, 1.0, 2.0]
    assert data.seed.values.tolist() == [0, 1, 2]
    assert data.diverged.dtype == bool
    assert not data.diverged.any()


def test_every_point_is_the_run_at_that_point_with_that_key():
    data = quiet(GRID, batch_size=4)
    for i, gain in enumerate(GRID["gain"]):
        for j, noise in enumerate(GRID["noise"]):
            for k, key in enumerate(KEYS):
                here = walk(Walk(gain=gain, noise=noise), key)
                got = data["last"].values[i, j, k]
                assert np.allclose(got, here["last"], rtol=1e-12)


def test_seeds_are_paired_across_points():
    data = quiet({"offset": [0.0, 5.0]}, Walk(gain=0.0))
    difference = data["last"].sel(offset=5.0) - data["last"].sel(offset=0.0)
    assert np.allclose(difference, 5.0, rtol=1e-12)
    assert len(np.unique(data["last"].sel(offset=0.0))) == 3


def test_zipped_fields_share_an_axis():
    data = quiet(
        {"both": {"gain": [0.1, 0.5], "noise": [2.0, 3.0]}, "offset": [0.0, 1.0]}
    )
    assert data["last"].dims == ("both", "offset", "seed")
    assert data.noise.dims == ("both",)
    here = walk(Walk(gain=0.5, noise=3.0, offset=1.0), KEYS[1])["last"]
    assert np.allclose(data["last"].values[1, 1, 1], here, rtol=1e-12)


def test_without_a_grid_there_are_only_seeds():
    assert quiet({})["last"].dims == ("seed",)


@settings(deadline=None, max_examples=8, derandomize=True)
@given(st.integers(1, 40), st.permutations(["gain", "noise"]))
def test_results_do_not_depend_on_batches_or_order_of_axes(size, order):
    grid = {name: GRID[name] for name in order}
    data = quiet(grid, batch_size=size).transpose("gain", "noise", "seed", ...)
    reference = quiet(GRID, batch_size=18)
    assert np.allclose(data["last"], reference["last"], rtol=1e-12)
    assert np.array_equal(data["seen"], reference["seen"])


def test_the_same_program_gives_the_same_bits():
    assert quiet(GRID, batch_size=5).equals(quiet(GRID, batch_size=5))


@pytest.mark.parametrize("bad", [1e200, 1e300])
def test_a_diverged_run_is_flagged_and_leaves_the_others_alone(bad):
    calm = quiet({"gain": [0.1, 0.2, 0.5]}, batch_size=9)
    wild = quiet({"gain": [0.1, bad, 0.5]}, batch_size=9)
    assert wild.diverged.values.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    for i in (0, 2):
        assert np.array_equal(wild["path"].values[i], calm["path"].values[i])


class _Compilations:
    def __init__(self):
        self.count = 0

    def __call__(self, event, duration, **_):
        self.count += "backend_compile" in event


def test_one_compilation_serves_all_batches_and_other_values():
    seen = _Compilations()
    config = Walk(steps=31)
    quiet(GRID, config, batch_size=4)  # small helpers compile here too
    jax.monitoring.register_event_duration_secs_listener(seen)
    try:
        other = {"gain": [0.3, 0.7], "noise": [0.5, 0.6, 0.7]}
        quiet(other, dataclasses.replace(config, offset=3.0), batch_size=4)
        assert seen.count == 0
        quiet(other, Walk(steps=32), batch_size=4)
        assert seen.count == 1
    finally:
        jax.monitoring.clear_event_listeners()


def test_a_repeated_sweep_of_its_own_batch_size_compiles_nothing():
    seen = _Compilations()
    config = Walk(steps=33)
    quiet({"gain": np.linspace(0.1, 0.9, 400)}, config)
    jax.monitoring.register_event_duration_secs_listener(seen)
    try:
        quiet({"gain": np.linspace(0.2, 0.8, 400)}, config)
        assert seen.count == 0
    finally:
        jax.monitoring.clear_event_listeners()


def test_shared_data_is_an_argument_of_the_run():
    def shifted(shift, config, key):
        return {"last": walk(config, key)["last"] + jnp.sum(shift)}

    run = jax.tree_util.Partial(shifted, jnp.asarray([1.0, 2.0]))
    data = sweep(run, Walk(), {"gain": [0.1, 0.5]}, KEYS, progress=False)
    plain = quiet({"gain": [0.1, 0.5]})
    assert np.allclose(data["last"], plain["last"] + 3.0, rtol=1e-12)


def test_attributes_reproduce_the_run():
    config = Walk(noise=0.25, steps=7)
    data = quiet({"gain": [0.1, 0.5]}, config)
    again = updated(Walk(), tomllib.loads(data.attrs["config"]))
    keys = jr.wrap_key_data(
        jnp.asarray(np.asarray(json.loads(data.attrs["keys"]), np.uint32))
    )
    repeated = sweep(
        walk,
        again,
        {"gain": data.gain.values},
        keys,
        batch_size=data.attrs["batch_size"],
        progress=False,
    )
    assert np.array_equal(repeated["path"], data["path"])
    expected = {"plasticity_jax", "jax", "precision", "device", "date"}
    assert expected | {"wall_seconds", "cpu_seconds", "compile_seconds"} <= set(
        data.attrs
    )


def test_progress_is_plain_lines_without_a_terminal(capsys):
    sweep(walk, Walk(), GRID, KEYS, batch_size=6)
    out, err = capsys.readouterr()
    assert out == ""
    assert "18/18 runs" in err
    quiet(GRID)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"gian": [0.1]}, "unknown field 'gian'.*Did you mean 'gain'"),
        ({"steps": [1, 2]}, "'steps' is structural"),
        ({"both": {"gain": [0.1, 0.2], "noise": [1.0]}}, "differ in length"),
        ({"both": {"gain": [0.1, 0.2], "nois": [1.0]}}, "unknown field 'nois'"),
        ({"both": {}}, "'both' must share out fields"),
        ({"gain": {"gain": [1.0], "noise": [1.0]}}, "a name of its own"),
        ({"seed": {"gain": [1.0], "noise": [1.0]}}, "a name of its own"),
        ({"a b": {"gain": [1.0], "noise": [1.0]}}, "a name of its own"),
        ({("gain", "noise"): ([0.1], [1.0])}, "an axis has a name"),
        ({"gain": []}, "non-empty"),
        ({"gain": [[0.1, 0.2]]}, "1-D"),
        ({"gain": ["a"]}, "numbers"),
        ({"gain": [0.1, float("nan")]}, "not finite"),
        ({"noise": [1.0, -1.0]}, "`noise` must lie in"),
        (
            {"gain": [0.1], "both": {"gain": [0.1], "noise": [1.0]}},
            "more than one axis",
        ),
    ],
)
def test_a_bad_grid_is_refused_before_anything_is_compiled(grid, message):
    with pytest.raises(ValueError, match=message):
        quiet(grid)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="batch_size"):
        quiet(GRID, batch_size=0)
    with pytest.raises(ValueError, match=r"unknown observable 'pth'.*'path'"):
        quiet(GRID, dims={"pth": ("time",)})
    with pytest.raises(ValueError, match="1 dimensions of its own"):
        quiet(GRID, dims={"path": ("time", "more")})
    with pytest.raises(ValueError, match="'gain' of 'path' is taken"):
        quiet(GRID, dims={"path": ("gain",)})
    with pytest.raises(ValueError, match="must return a dict"):
        sweep(lambda c, k: c.gain, Walk(), {}, KEYS, progress=False)
    with pytest.raises(ValueError, match="1-D array of keys"):
        sweep(walk, Walk(), GRID, jr.key(0), progress=False)
    with pytest.raises(ValueError, match="the name of a coordinate"):
        sweep(
            lambda config, key: {"gain": config.gain},
            Walk(),
            {"gain": [0.1]},
            KEYS,
            progress=False,
        )


@settings(deadline=None, max_examples=200, derandomize=True)
@given(st.integers(1, 5000), st.integers(1, 16))
def test_candidates_waste_few_lanes(total, workers):
    for size in candidates(total, workers):
        batches = math.ceil(total / size)
        assert 1 <= size <= 4096
        assert batches * size - total < max(batches, workers)


@pytest.mark.parametrize("best", [1, 4, 16, 64, 256, 1024])
def test_the_batch_size_climbs_to_the_fastest(best, monkeypatch):
    """A machine whose time per lane is least at one size, on a clock of its own."""
    clock = [0.0]
    monkeypatch.setattr(
        "plasticity_jax._sweep._batch_size.time.perf_counter", lambda: clock[0]
    )
    cost = lambda size: 1.0 + abs(math.log(size / best))

    def compute(size):
        clock[0] += size * cost(size)

    def compiled(size):
        clock[0] += 0.5
        return size * 1000

    sizes = candidates(2**18, 1)
    chosen = choose_batch_size(2**18, 1, compiled, compute)
    assert cost(chosen) == min(map(cost, sizes))


def test_a_small_sweep_spends_nothing_on_trials():
    calls, compiled = [], []
    size = choose_batch_size(
        8, 1, lambda size: compiled.append(size) or 10, calls.append
    )
    assert size == 8
    assert compiled == [8]
    assert calls == []


@pytest.mark.parametrize("total", [2**12, 2**16, 2**20])
@pytest.mark.parametrize("seconds", [1e-5, 1e-3, 0.1])
def test_trials_cost_little_beside_the_sweep(total, seconds, monkeypatch):
    """Every larger size is a little faster: trials go on as long as they may."""
    clock, tried = [0.0], []
    monkeypatch.setattr(
        "plasticity_jax._sweep._batch_size.time.perf_counter", lambda: clock[0]
    )
    cost = lambda size: seconds * size**-0.1

    def compute(size):
        clock[0] += size * cost(size)

    def compiled(size):
        clock[0] += 0.5
        tried.append(size)
        return size

    chosen = choose_batch_size(total, 1, compiled, compute)
    assert clock[0] - 0.5 <= 0.05 * total * cost(chosen)  # one program must be compiled
    if total * cost(chosen) < 10:
        assert len(tried) == 1


def with_fft(config, key):
    return {"power": jnp.abs(jnp.fft.rfft(jr.normal(key, (64,)) * config.gain)) ** 2}


def with_eigenvalues(config, key):
    matrix = jr.normal(key, (8, 8)) * config.gain
    return {"radius": jnp.max(jnp.abs(jnp.linalg.eigvals(matrix)))}


def with_solve(config, key):
    matrix = jr.normal(key, (8, 8)) * config.gain
    return {"norm": jnp.linalg.norm(jnp.linalg.solve(matrix, matrix[0]))}


def with_qr(config, key):
    matrix = jr.normal(key, (8, 8)) * config.gain
    return {"norm": jnp.linalg.norm(jnp.linalg.qr(matrix)[1])}


@pytest.mark.parametrize(
    ("run", "alone"),
    [
        (with_fft, True),
        (with_eigenvalues, True),
        (with_solve, True),
        (with_qr, True),
        (walk, False),
    ],
)
def test_programs_that_wait_for_threads_take_turns(run, alone):
    lanes = _lanes.Lanes.of(run, Walk(), [], KEYS)
    lanes.compile(1)
    assert hasattr(lanes.pool, "locked") is alone
    assert not lanes.compute_batch(0, 1)["diverged"].any()


FACTOR = 1.0


def by_a_global(config, key):
    return {"last": FACTOR * config.gain}


def test_a_global_that_was_changed_is_read_again(monkeypatch):
    for factor in (1.0, 5.0):
        monkeypatch.setitem(globals(), "FACTOR", factor)
        data = sweep(by_a_global, Walk(gain=1.0), {}, KEYS, progress=False)
        assert np.all(data["last"] == factor)
