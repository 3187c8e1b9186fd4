"""Sweeps that are stopped, damaged, sent elsewhere or split, and what comes of them."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jaxtyping
import numpy as np
import pytest

from plasticity_jax import fast_key
from plasticity_jax._arguments import real
from plasticity_jax._interfaces import Scalar
from plasticity_jax._sweep import _lanes, _store, _workers
from plasticity_jax._sweep._store import difference, Store
from plasticity_jax._sweep._sweep import sweep


class Walk(eqx.Module):
    """A random walk with drift."""

    gain: Scalar = eqx.field(default=0.5, converter=real)
    noise: Scalar = eqx.field(default=1.0, converter=real)
    steps: int = eqx.field(default=30, static=True)


def walk(config, key):
    def step(x, key):
        return config.gain * x + config.noise * jr.normal(key), None

    last, _ = jax.lax.scan(step, jnp.ones(()), jr.split(key, config.steps))
    return {"last": last, "count": jnp.asarray(config.steps)}


def other_walk(config, key):
    return {"last": config.gain + jr.normal(key), "count": jnp.asarray(1)}


KEYS = jr.split(jr.key(0), 5)
GRID = {"gain": [0.1, 0.3, 0.5, 0.7]}


def stored(folder, run=walk, config=None, grid=None, keys=KEYS, **options):
    options = {"batch_size": 3, "progress": False, **options}
    config, grid = Walk() if config is None else config, GRID if grid is None else grid
    return sweep(run, config, grid, keys, store=folder, **options)


def batches(folder):
    return sorted(folder.glob("batch-*"))


def same_bits(a, b):
    return all(a[name].values.tobytes() == b[name].values.tobytes() for name in a)


@pytest.fixture
def computed(monkeypatch):
    """The first lanes of the batches that are computed."""
    starts, call = [], _lanes.Lanes.compute_batch

    def counted(self, start, size):
        starts.append(start)
        return call(self, start, size)

    monkeypatch.setattr(_lanes.Lanes, "compute_batch", counted)
    return starts


def test_a_finished_store_computes_nothing_and_gives_the_same_bits(tmp_path, computed):
    plain = stored(None)
    first = stored(tmp_path / "x")
    assert same_bits(plain, first)
    assert len(batches(tmp_path / "x")) == 7  # 20 runs, 3 at once
    computed.clear()
    again = stored(tmp_path / "x")
    assert not computed
    assert same_bits(first, again)
    assert first["last"].dtype == again["last"].dtype
    assert again["count"].dtype == plain["count"].dtype


def test_a_store_keeps_the_batch_size_that_it_was_begun_with(tmp_path, computed):
    first = stored(tmp_path)
    computed.clear()
    again = stored(tmp_path, batch_size=None)
    assert again.attrs["batch_size"] == 3
    assert not computed
    assert same_bits(first, again)


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "a flipped bit": lambda path: path.write_bytes(
        bytes([*path.read_bytes()[:200], path.read_bytes()[200] ^ 4])
        + path.read_bytes()[201:]
    ),
    "another batch": lambda path: path.write_bytes(
        path.with_name("batch-00000004").read_bytes()
    ),
}


@pytest.mark.filterwarnings("ignore:.*is damaged; this batch is computed again")
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_only_a_damaged_batch_is_computed_again(damage, tmp_path, computed):
    first = stored(tmp_path)
    damage(tmp_path / "batch-00000002")
    (tmp_path / ".new-half").write_bytes(b"half-written")
    computed.clear()
    again = stored(tmp_path)
    assert computed == [6]
    assert same_bits(first, again)
    computed.clear()
    assert same_bits(first, stored(tmp_path))
    assert not computed


def test_a_damaged_batch_is_told(tmp_path):
    stored(tmp_path)
    DAMAGES["truncated"](tmp_path / "batch-00000002")
    with pytest.warns(UserWarning, match="batch-00000002 is damaged"):
        stored(tmp_path)


OTHERS = {
    "config": lambda: {"config": Walk(noise=2.0)},
    "grid": lambda: {"grid": {"gain": [0.1, 0.3, 0.5, 0.71]}},
    "keys": lambda: {"keys": jr.split(jr.key(1), 5)},
    "key_kind": lambda: {"keys": jr.split(fast_key(0), 5)},
    "run": lambda: {"run": other_walk},
    "batch_size": lambda: {"batch_size": 4},
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_store_of_another_sweep_is_refused(name, tmp_path):
    change = OTHERS[name]()
    stored(tmp_path)
    before = [path.read_bytes() for path in batches(tmp_path)]
    with pytest.raises(ValueError, match=f"belongs to another sweep: {name} was"):
        stored(tmp_path, **change)
    assert [path.read_bytes() for path in batches(tmp_path)] == before


def test_of_long_texts_the_difference_shows():
    one, two = (f"{'same ' * 20}{end}" for end in ("3 of them", "4 of them"))
    found = difference(one, two)
    assert "same 3 of them'" in found
    assert "same 4 of them'" in found
    assert difference(one, one + two).count("same 3 of them") == 2
    assert len(difference(one, 9 * two)) < 150


def test_the_difference_of_a_config_is_named_by_its_line(tmp_path):
    stored(tmp_path)
    with pytest.raises(ValueError, match=re.escape("was 'noise: float64(1.0)' and is")):
        stored(tmp_path, config=Walk(noise=2.0))


def test_another_precision_or_code_is_refused(tmp_path, monkeypatch):
    stored(tmp_path)
    with jax.enable_x64(False):
        single, keys = Walk(), jr.split(jr.key(0), 5)
        with pytest.raises(ValueError, match=r"float64\(0.5\)' and is '.*float32"):
            stored(tmp_path, config=single, keys=keys)
    changed = lambda found: dict(found)
    monkeypatch.setattr("plasticity_jax._sweep._lanes._observables", changed)
    with pytest.raises(ValueError, match=r"code was '\S+ [0-9a-f]{16}' and is"):
        stored(tmp_path)


def test_bound_data_are_part_of_the_run(tmp_path):
    bind = lambda x: jax.tree_util.Partial(shifted, jnp.asarray(x))
    first = stored(tmp_path, run=bind([1.0, 2.0]))
    assert same_bits(first, stored(tmp_path, run=bind([1.0, 2.0])))
    with pytest.raises(ValueError, match=r"run was '0: float64\(2,\):"):
        stored(tmp_path, run=bind([1.0, 3.0]))


def shifted(shift, config, key):
    return {"last": jnp.sum(shift) + config.gain * jr.normal(key)}


def test_a_damaged_manifest_or_a_strange_folder_is_refused(tmp_path):
    stored(tmp_path / "x")
    manifest = tmp_path / "x" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"0.1", b"0.2", 1))
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        stored(tmp_path / "x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"'thesis\.tex' and no manifest"):
        stored(tmp_path / "y")
    assert (tmp_path / "y" / "thesis.tex").read_text() == "mine"


def test_a_store_in_use_is_refused(tmp_path):
    with (
        _store.open_store(tmp_path, {"a": "1"}, lambda: 3) as store,
        pytest.raises(ValueError, match="in use by another process"),
        _store.open_store(tmp_path, {"a": "1"}, lambda: 3),
    ):
        pass
    assert isinstance(store, Store)


def test_no_code_runs_when_a_pickle_is_put_into_a_store(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "pwned"),)

    with _store.open_store(tmp_path / "x", {"a": "1"}, lambda: 3) as store:
        objects = np.asarray([Evil()], dtype=object)
        with pytest.raises(ValueError, match="pickle"):
            store.write(0, {"last": objects})
        assert not batches(store.folder)
    assert not (tmp_path / "pwned").exists()


# --- killed ---------------------------------------------------------------------------

CHILD = """
import sys, time
import jax.random as jr
import jaxtyping  # as pytest does: it changes the code, and so what a store compares
jaxtyping.install_import_hook("plasticity_jax", "beartype.beartype")
sys.path.insert(0, {here!r})
from test_store import KEYS, GRID, Walk, walk
from plasticity_jax._sweep._store import Store
from plasticity_jax._sweep._sweep import sweep
write = Store.write
def slow(self, number, results):
    time.sleep({pause})
    write(self, number, results)
    print(number, file=open({log!r}, "a"), flush=True)
Store.write = slow
print("begun", flush=True)
sweep(walk, Walk(), GRID, jr.split(jr.key(0), 25), store={store!r}, batch_size=2,
      progress=False)
"""


def killed_until_done(tmp_path, kills, seed):
    """How often a sweep was killed, and what it wrote, until one was let finish."""
    log, store = tmp_path / "log", tmp_path / "store"
    here = str(Path(__file__).parent)
    pause = 0.05 if kills < 5 else 0.15  # long enough to be killed as often
    code = CHILD.format(here=here, log=str(log), store=str(store), pause=pause)
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    chance, died = random.Random(seed), 0
    while True:
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment
        )
        assert child.stdout.readline() == b"begun\n"
        if died < kills:
            time.sleep(chance.uniform(0.0, 2.5 if kills < 5 else 1.2))
            child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if child.returncode == 0:
            return died, [int(line) for line in log.read_text().split()], store
        assert child.returncode == -signal.SIGKILL
        died += 1


def check_killed(tmp_path, kills):
    died, written, store = killed_until_done(tmp_path, kills, 0)
    keys = jr.split(jr.key(0), 25)
    plain = sweep(walk, Walk(), GRID, keys, batch_size=2, progress=False)
    again = sweep(walk, Walk(), GRID, keys, batch_size=2, store=store, progress=False)
    assert same_bits(plain, again)
    assert len(set(written)) >= 50 - died  # one may be killed before it is logged
    assert len(written) == len(set(written))  # none was written twice
    assert died == kills


@pytest.mark.dear
def test_a_killed_sweep_resumes_with_the_same_bits(tmp_path):
    check_killed(tmp_path, 1)


@pytest.mark.slow
def test_a_sweep_killed_at_twenty_moments_resumes_with_the_same_bits(tmp_path):
    check_killed(tmp_path, 20)


# --- elsewhere ------------------------------------------------------------------------

# Types are checked there as here: that changes the code, and code is compared.
HOOK = ("plasticity_jax", "beartype.beartype")
CHECKED = (jaxtyping.install_import_hook, HOOK)


@pytest.mark.dear
def test_other_processes_compute_the_same_bits(tmp_path):
    from plasticity_jax.systems.optimal_plasticity import Config
    from plasticity_jax.systems.optimal_plasticity.experiments.steady import (
        steady_state,
    )

    config = Config(sizes=(4, 3), samples=20, steps=40, window=20)
    grid = {"ratio": [0.3, 0.6, 0.9]}
    options = {"batch_size": 2, "progress": False}
    here = sweep(steady_state, config, grid, KEYS, **options)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, *CHECKED) as pool:
        there = sweep(
            steady_state, config, grid, KEYS, executor=pool, store=tmp_path, **options
        )
    assert same_bits(here, there)
    assert len(batches(tmp_path)) == 8


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the cluster, about the worker that it lost
def test_a_dask_worker_that_is_killed_loses_no_run_and_counts_none_twice(
    tmp_path, monkeypatch
):
    import dask
    from distributed import Client, LocalCluster

    from plasticity_jax.systems.optimal_plasticity import Config
    from plasticity_jax.systems.optimal_plasticity.experiments.steady import (
        steady_state,
    )

    config = Config(sizes=(12, 10), samples=200, steps=20_000, window=1000)
    grid, options = {"ratio": [0.3, 0.6, 0.9]}, {"batch_size": 1, "progress": False}
    here = sweep(steady_state, config, grid, KEYS, **options)
    written, write, store = [], Store.write, tmp_path / "store"
    (tmp_path / "hook.py").write_text(
        f"import jaxtyping\njaxtyping.install_import_hook{HOOK}\n"
    )
    with (
        dask.config.set({"distributed.worker.preload": [str(tmp_path / "hook.py")]}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))

        def counted(self, number, results):
            write(self, number, results)
            written.append(number)
            if len(written) == 4:
                os.kill(victim, signal.SIGKILL)

        monkeypatch.setattr(Store, "write", counted)
        pool = client.get_executor()
        there = sweep(
            steady_state, config, grid, KEYS, executor=pool, store=store, **options
        )
    assert same_bits(here, there)
    assert sorted(written) == list(range(15))


def test_a_run_that_cannot_be_sent_is_refused():
    local = lambda config, key: walk(config, key)
    with pytest.raises(ValueError, match="cannot be sent to another process"):
        _workers.packed(_lanes.Lanes.of(local, Walk(), [], KEYS))


def test_a_run_that_a_worker_cannot_import_is_refused():
    parcel = _workers.packed(_lanes.Lanes.of(walk, Walk(), [], KEYS))
    strange = parcel.replace(walk.__module__.encode(), b"test_stort")
    with pytest.raises(ValueError, match=r"a worker cannot import .*test_stort"):
        _workers.compute_elsewhere("strange", strange, 0, 5, 0)


def test_a_worker_that_reads_something_else_is_refused(monkeypatch):
    lanes = _lanes.Lanes.of(walk, Walk(), [], KEYS)
    reads = {**_lanes.reads_of(walk, Walk()), "libraries": "jax 0.0.1"}
    lanes.reads = json.dumps(reads)
    with monkeypatch.context() as patch:
        patch.setattr(_workers, "_process", lambda: "elsewhere:1")
        parcel = _workers.packed(lanes)
    with pytest.raises(
        ValueError, match=r"not the same in a worker: libraries was 'ja"
    ):
        _workers.compute_elsewhere("other", parcel, 0, 5, 0)


SPAWNED = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr
from plasticity_jax import sweep

GAIN, SHIFT = 1.0, jnp.asarray([0.1, 0.2])  # in the precision of the sweep, there too

class Config(eqx.Module):
    noise: jax.Array = eqx.field(converter=jnp.asarray)

def run(config, key):
    return {"x": GAIN * SHIFT.sum() + config.noise * jr.normal(key)}

def swept(executor):
    grid, keys = {"noise": [1.0, 2.0]}, jr.split(jr.key(0), 3)
    return sweep(run, Config(0.0), grid, keys, executor=executor, progress=False).x

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        assert (swept(pool) == swept(None)).all()
        GAIN = 2.0
        with ProcessPoolExecutor(1, context) as other:
            swept(other)
"""


@pytest.mark.dear
def test_a_script_that_sets_a_global_is_refused_by_its_workers(tmp_path):
    (tmp_path / "script.py").write_text(SPAWNED)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py"], capture_output=True, text=True
    )
    last = done.stderr.splitlines()[-1]
    assert "what runs read is not the same in a worker: code was '__main__.run" in last


class Counting(ThreadPoolExecutor):
    """An executor that counts the bytes of what it is given."""

    sent = 0

    def submit(self, function, *args):
        self.sent += len(pickle.dumps(args))
        return super().submit(function, *args)


@pytest.mark.parametrize("threads", [1, 3])
def test_data_bound_to_a_run_travel_once(threads):
    images = np.ones((500, 200))
    run = jax.tree_util.Partial(shifted, images)
    here = stored(None, run=run)
    with Counting(threads) as pool:
        there = stored(None, run=run, executor=pool)
    assert same_bits(here, there)
    assert pool.sent < 1.1 * images.nbytes  # one process, whatever its threads


FORKED = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
sys.path.insert(0, {here!r})
from test_store import stored
stored(None)
with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
    stored(None, executor=pool)
"""


def test_workers_that_are_forked_are_refused_and_do_not_hang():
    code = FORKED.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "JAX_ENABLE_X64": "1"},
    )
    assert "ValueError: executor: its workers are forked" in done.stderr


def test_a_store_that_is_emptied_while_another_waits_for_it_is_made_anew(tmp_path):
    with _store.locked(tmp_path / "x"):
        (tmp_path / "x" / "data").mkdir()
        with (
            pytest.raises(ValueError, match="in use by another process"),
            _store.locked(tmp_path / "x"),
        ):
            pass
        _store.emptied(tmp_path / "x")
        assert [path.name for path in (tmp_path / "x").iterdir()] == ["lock"]
        shutil.rmtree(tmp_path / "x")
        with _store.locked(tmp_path / "x"):  # the other file is not the one there now
            assert (tmp_path / "x" / "lock").exists()


def test_numbers_of_every_type_come_back_from_a_store(tmp_path):
    kinds = (jnp.bfloat16, jnp.float8_e4m3fn, jnp.int4, jnp.complex64, bool, jnp.uint8)
    results = {jnp.dtype(kind).name: np.ones(3, jnp.dtype(kind)) for kind in kinds}
    with _store.open_store(tmp_path, {"a": "1"}, lambda: 3) as store:
        store.write(0, results)
        again = store.read(0)
    assert {name: x.dtype for name, x in again.items()} == {
        name: x.dtype for name, x in results.items()
    }
    assert all(np.array_equal(x, again[name]) for name, x in results.items())


DEVICES = """
import sys
import jax, jax.numpy as jnp, jax.random as jr, numpy as np
sys.path.insert(0, {here!r})
from test_store import GRID, KEYS, Walk, walk
from plasticity_jax._sweep._sweep import sweep
assert len(jax.local_devices()) == 4
four = sweep(walk, Walk(), GRID, KEYS, batch_size=6, progress=False)
one = sweep(walk, Walk(), GRID, KEYS, batch_size=6, progress=False,
            devices=jax.local_devices()[:1])
chosen = sweep(walk, Walk(), GRID, KEYS, progress=False)
assert [four.attrs["batch_size"], chosen.attrs["batch_size"] > 0] == [6, True]
for split in (four, chosen):
    np.testing.assert_allclose(split["last"], one["last"], rtol=1e-12)
assert (four["count"].values == one["count"].values).all()
print("agree")
"""


def test_four_devices_share_a_batch_with_the_same_random_streams():
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_ENABLE_X64": "1"}
    code = DEVICES.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "agree\n", done.stderr


def test_no_device_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one device"):
        stored(None, devices=[])


def test_a_config_keeps_its_identity_through_a_copy(tmp_path):
    first = stored(tmp_path)
    assert same_bits(first, stored(tmp_path, config=dataclasses.replace(Walk())))
