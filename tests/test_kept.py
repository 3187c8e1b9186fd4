"""What calls of the command line leave for the next: compiled programs."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from plasticity_jax._kept import _programs


PROGRAM = """
from plasticity_jax._kept import keep_programs
keep_programs()
import jax, jax.numpy as jnp
found = []
jax.monitoring.register_event_listener(lambda name, **_: found.append(name))
x = jnp.sin(jnp.arange(1000.0)) @ jnp.cos(jnp.ones((1000, 100)))
print(float(x.sum()).hex(), found.count("/jax/compilation_cache/cache_hits"))
"""


SWEEPS = """
import equinox as eqx, jax.random as jr
from plasticity_jax import real, Scalar, sweep
from plasticity_jax._sweep import _workers

class Config(eqx.Module):
    gain: Scalar = eqx.field(converter=real)

def linear(config, key):
    return {"x": config.gain * jr.normal(key)}

def square(config, key):
    return {"x": config.gain**2 * jr.normal(key)}

trials = []
_workers.choose_batch_size = lambda *_: trials.append(1) or 1
for run, gain in ((linear, 1.0), (linear, 2.0), (square, 1.0)):
    _workers._SIZES.clear()
    data = sweep(run, Config(gain), {}, jr.split(jr.key(0), 3), progress=False)
    print(len(trials), data.batch_size)
"""


def started(home, code=PROGRAM, **environment):
    known = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    known |= {"XDG_CACHE_HOME": str(home), **environment}
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    return subprocess.Popen(command, env=known, stdout=pipe, stderr=pipe, text=True)


def finished(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out.split(), err


def kept(home):
    """Files that are kept, of all versions; no call has left its folder."""
    assert not list(home.rglob(f"{_programs.WORK}*"))
    return set(home.glob("plasticity_jax/programs/*/*"))


def test_programs_of_calls_at_once_serve_the_next_to_the_same_bits(tmp_path):
    both = [started(tmp_path), started(tmp_path)]
    first, other = (finished(process)[0] for process in both)
    programs = kept(tmp_path)
    again, err = finished(started(tmp_path))
    assert first[0] == other[0] == again[0]
    assert int(again[1]) == len(programs) > 0
    assert kept(tmp_path) == programs
    assert not err


def test_what_is_kept_is_of_one_version_and_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(_programs, "__version__", "1.2.3")
    here = _programs._folder()
    assert here.name.startswith("1.2.3-jax")
    monkeypatch.setattr(_programs, "PROCESSOR", ("nothing",))
    assert _programs._folder() != here


def test_what_was_not_used_for_longest_makes_room(tmp_path, monkeypatch):
    monkeypatch.setattr(_programs, "LIMIT", 250)
    for age, name in enumerate(("a", "b", "c"), 1):
        path = tmp_path / "version" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (1e9 - age, 1e9 - age))
    stale, fresh = (tmp_path / f"{_programs.WORK}{name}" for name in ("old", "new"))
    for folder in (stale, fresh):
        folder.mkdir()
    os.utime(stale, (1e9, 1e9))
    _programs._make_room(tmp_path)
    assert sorted(path.name for path in (tmp_path / "version").iterdir()) == ["a", "b"]
    assert [path.name for path in tmp_path.glob(".*")] == [fresh.name]


def test_a_home_that_cannot_be_written_costs_one_line(tmp_path):
    (tmp_path / "file").write_text("")  # no folder can be made in it, by root neither
    (_, hits), err = finished(started(tmp_path / "file"))
    assert hits == "0"
    assert err.startswith("no compiled programs are kept: ")
    assert err.count("\n") == 1


def test_a_users_own_cache_wins(tmp_path):
    own = tmp_path / "own"
    finished(started(tmp_path, JAX_COMPILATION_CACHE_DIR=str(own)))
    assert own.is_dir()
    assert not kept(tmp_path)


def test_a_batch_size_is_kept_beside_the_programs(tmp_path):
    """Where JAX keeps some: of the same program, of whatever values."""
    run = functools.partial(started, tmp_path, SWEEPS)
    assert finished(run())[0] == ["1", "1", "2", "1", "3", "1"]
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    assert finished(run(**own))[0] == ["1", "1", "1", "1", "2", "1"]
    assert finished(run(**own))[0] == ["0", "1", "0", "1", "0", "1"]
    for path in tmp_path.glob("batch-size-*"):
        path.write_text("7000")  # none that could have been chosen
    assert finished(run(**own))[0] == ["1", "1", "1", "1", "2", "1"]


@pytest.mark.dear
def test_commands_keep_programs_unless_told_not_to(tmp_path):
    run = "import sys; from plasticity_jax.cli import main; sys.argv[1:] = {}; main()"
    small = ("--preset", "smoke", "--set", "steps=40", "--set", "window=20", "--out")
    tokens = ["run", "optimal_plasticity.fig5s1", *small, str(tmp_path / "out")]
    started(tmp_path, run.format([*tokens, "--no-cache"])).communicate()
    assert not kept(tmp_path)
    started(tmp_path, run.format(tokens)).communicate()
    assert kept(tmp_path)


def test_the_library_leaves_the_cache_alone():
    """In this process JAX is loaded: nothing is set, whatever was imported."""
    _programs.keep_programs()
    assert jax.config.jax_compilation_cache_dir == os.environ.get(
        "JAX_COMPILATION_CACHE_DIR"
    )
    sources = Path(_programs.__file__).parents[1].rglob("*.py")
    users = [p.name for p in sources if "keep_programs" in p.read_text()]
    assert sorted(users) == ["__init__.py", "_app.py", "_programs.py"]
