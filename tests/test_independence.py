"""What random streams and results of a sweep must not depend on."""

import os
import random
import subprocess
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_jax._arguments import real
from plasticity_jax._interfaces import Scalar
from plasticity_jax._sweep import _lanes, _workers
from plasticity_jax._sweep._config import updated
from plasticity_jax._sweep._sweep import sweep
from plasticity_jax.experiment._plan import load_plan
from plasticity_jax.systems import experiments


STEPS = 30
KEYS = jr.split(jr.key(0), 4)
GRID = {"gain": [0.1, 0.5, 0.9], "noise": [0.5, 2.0]}
COUNT = 24
few = settings(deadline=None, max_examples=15, derandomize=True)


class Walk(eqx.Module):
    """A random walk in three dimensions; `jump` is added at every step."""

    gain: Scalar = eqx.field(default=0.5, converter=real)
    noise: Scalar = eqx.field(default=1.0, converter=real)
    jump: Scalar = eqx.field(default=0.0, converter=real)


def walk(config, key):
    """The bits that were drawn, where the walk ends, and its mean distance."""

    def step(x, key):
        drawn = jr.bits(key, (3,))
        noise = config.noise * jr.normal(key, (3,))
        x = config.gain * jnp.tanh(x) @ TURN + noise + config.jump
        return x, (drawn, jnp.linalg.norm(x))

    last, (drawn, path) = jax.lax.scan(step, jnp.ones(3), jr.split(key, STEPS))
    return {"bits": drawn, "last": last, "mean": jnp.mean(path)}


TURN = jnp.asarray([[0.0, 1.0, 0.2], [-1.0, 0.0, 0.1], [0.3, 0.1, 0.9]])


class Shuffled(Executor):
    """Begins tasks in an order of its own, once `total` of them are submitted."""

    def __init__(self, workers, total, seed):
        self.pool, self.total, self.chance = ThreadPoolExecutor(workers), total, seed
        self.waiting = []

    def submit(self, function, *arguments):
        future = _workers.Future()
        self.waiting.append((future, function, arguments))
        if len(self.waiting) == self.total:
            random.Random(self.chance).shuffle(self.waiting)
            for task in self.waiting:
                self.pool.submit(self._do, *task)
        return future

    def _do(self, future, function, arguments):
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)


def swept(grid=None, config=None, **options):
    config, grid = Walk() if config is None else config, GRID if grid is None else grid
    data = sweep(walk, config, grid, KEYS, progress=False, **options)
    return data.transpose("gain", "noise", "seed", ...)


def same_streams(a, b):
    return np.array_equal(a["bits"], b["bits"])


def agree(a, b):
    """To rounding, over `STEPS` steps that shrink differences."""
    close = lambda x: np.allclose(a[x], b[x], rtol=1e-10, atol=1e-12)
    return same_streams(a, b) and close("last") and close("mean")


def same_bits(a, b):
    return all(a[name].values.tobytes() == b[name].values.tobytes() for name in a)


@pytest.fixture(scope="module")
def reference():
    return swept(batch_size=COUNT)


@few
@given(
    size=st.integers(1, COUNT),
    order=st.permutations(list(GRID)),
    turned=st.lists(st.booleans(), min_size=2, max_size=2),
)
@pytest.mark.dear
def test_batch_size_and_order_of_axes_and_of_their_values(
    reference, size, order, turned
):
    step = {name: -1 if back else 1 for name, back in zip(GRID, turned, strict=True)}
    grid = {name: GRID[name][:: step[name]] for name in order}
    data = swept(grid, batch_size=size)
    data = data.isel({name: slice(None, None, step[name]) for name in GRID})
    assert agree(data, reference)


@few
@given(workers=st.integers(1, 4), size=st.integers(1, 9), seed=st.integers(0, 99))
@pytest.mark.dear
def test_workers_and_the_order_of_batches_change_no_bit(workers, size, seed):
    batches = -(-COUNT // size)
    there = swept(batch_size=size, executor=Shuffled(workers, batches, seed))
    assert same_bits(swept(batch_size=size), there)


def test_each_worker_compiles_once(monkeypatch):
    compiled, compile = [], _lanes.Lanes.compile
    counted = lambda self, size: compiled.append(size) or compile(self, size)
    monkeypatch.setattr(_lanes.Lanes, "compile", counted)
    swept(config=Walk(jump=0.25), batch_size=5, executor=Shuffled(3, 5, 0))
    assert compiled == [5]


DEVICES = """
import sys
import jax
sys.path.insert(0, {here!r})
from hypothesis import given, settings
from hypothesis import strategies as st
from test_independence import agree, COUNT, few, same_bits, swept

one = swept(batch_size=COUNT, devices=jax.local_devices()[:1])
assert len(jax.local_devices()) == 4

def check(count):
    first = jax.local_devices()[:count]

    @settings(few, max_examples=5)
    @given(st.permutations(jax.local_devices()), st.sampled_from([1, 7, 8]))
    def check(devices, size):
        data = swept(batch_size=size, devices=devices[:count])
        assert agree(data, one), (devices, size)
        assert same_bits(data, swept(batch_size=size, devices=first)), (devices, size)

    check()
    print(count)

for count in (1, 2, 3, 4):
    check(count)
"""


@pytest.mark.slow
def test_devices_and_their_order_change_no_stream():
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_ENABLE_X64": "1"}
    code = DEVICES.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["1", "2", "3", "4"], done.stderr


# --- runs that diverge ----------------------------------------------------------------


def poisoned(poison, config, key):
    """The walk, with a number of the caller's where the gain is that of a bad run."""
    bad = config.gain == GRID["gain"][1]
    return walk(eqx.tree_at(lambda x: x.jump, config, jnp.where(bad, poison, 0.0)), key)


@settings(few, max_examples=10)
@given(
    poison=st.sampled_from([np.nan, np.inf, -np.inf, 1.7e308]),
    size=st.sampled_from([2, 7, COUNT]),
)
def test_a_run_forced_to_diverge_changes_no_bit_of_the_others(poison, size):
    def of(value):
        run = jax.tree_util.Partial(poisoned, jnp.asarray(value))
        return sweep(run, Walk(), GRID, KEYS, batch_size=size, progress=False)

    calm, wild = of(0.0), of(poison)
    assert not calm.diverged.any()
    assert wild.diverged.sel(gain=GRID["gain"][1]).all()
    others = {"gain": [GRID["gain"][0], GRID["gain"][2]]}
    assert not wild.diverged.sel(others).any()
    assert same_bits(calm.sel(others), wild.sel(others))


# --- the systems ----------------------------------------------------------------------

SHORT = {  # an experiment of each system, its length, what drives a run out of range
    "optimal_plasticity.fig5": ({"steps": 30, "window": 10}, {"ratio": 1e300}),
    "natural_gradient.fig3f": ({"seconds": 5, "tests": 5}, {"natural_rate": 1e300}),
    "stable_memory.fig1b": ({"spin_up": 5.0, "follow": 5.0}, {"plasticity": 1e300}),
    "presynaptic_stochasticity.fig3": ({"epochs": 2}, {"rate": 1e300}),
    "two_factor_consolidation.soft": ({"cycles": 60}, {"rate": 1e300}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_every_system_is_independent_of_batches_and_of_runs_that_diverge(name):
    named = {x.name: x for x in experiments()}[name]
    experiment, (short, wild) = named.experiment, SHORT[name]
    plan = load_plan(experiment.config, named.path, "smoke")
    config = updated(plan.config, short)
    ((field, bad),) = wild.items()
    calm = float(getattr(config, field))
    run = experiment.runs_of(config)

    def of(values, size):
        keys = jr.split(jr.key(1), 2)
        options = {"batch_size": size, "progress": False}
        return sweep(run, config, {field: values}, keys, **options)

    whole, alone = of([calm, 0.9 * calm], 4), of([calm, 0.9 * calm], 1)
    for x in whole.data_vars:
        assert np.allclose(whole[x], alone[x], rtol=1e-6, atol=1e-9), x
    assert not whole.diverged.any()
    thrown = of([calm, bad], 4)
    assert thrown.diverged.values.tolist() == [[False] * 2, [True] * 2]
    assert same_bits(whole.isel({field: 0}), thrown.isel({field: 0}))
