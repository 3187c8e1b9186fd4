"""What a store can tell apart: code, defaults, closures, globals, fields, leaves."""

import collections
import copy
import dataclasses
import enum
import functools
import importlib
import json
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

import plasticity_jax
from plasticity_jax import systems
from plasticity_jax._sweep._identity import identity_of
from plasticity_jax._sweep._lanes import map_lanes
from plasticity_jax.experiment._plan import load_plan


def of(run):
    return identity_of({"run": run})


# --- one process: what is equal, what differs -----------------------------------------


def by_default(factor):
    def run(config, key, factor=factor):
        return {"x": factor * config.gain}

    return run


def by_keyword(factor):
    def run(config, key, *, factor=factor):
        return {"x": factor * config.gain}

    return run


def by_closure(factor):
    return lambda config, key: {"x": factor * config.gain}


def by_attribute(factor):
    def run(config, key):
        return {"x": run.factor * config.gain}

    run.factor = factor
    return run


def scaled(factor, config, key):
    return {"x": factor * config.gain}


def wrapped(factor):
    @functools.wraps(scaled)
    def run(config, key):
        return scaled(factor, config, key)

    return run


@dataclasses.dataclass(frozen=True)
class Job:
    factor: object

    def __call__(self, config, key):
        return {"x": self.factor * config.gain}

    def method(self, config, key):
        return {"x": self.factor * config.gain}


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, config, key):
        return {"x": self.factor * config.gain}


class Static(eqx.Module):
    factor: object = eqx.field(static=True)

    def __call__(self, config, key):
        return {"x": self.factor * config.gain}


class Leaf(eqx.Module):
    factor: jax.Array = eqx.field(converter=jnp.asarray)

    def __call__(self, config, key):
        return {"x": self.factor * config.gain}


class Pair(NamedTuple):
    factor: float
    other: float = 0.0


class Mode(enum.Enum):
    FIRST = 1.0
    SECOND = 5.0


class Many(dict):
    pass


class Measured(np.ndarray):
    pass


def measured(unit):
    array = np.ones(2).view(Measured)
    array.unit = unit
    return array


def generic(factor):
    @functools.singledispatch
    def scale(x):
        return factor * x

    @functools.wraps(scale)
    def run(config, key):
        return {"x": scale(config.gain)}

    scale(1.0)  # it caches what it dispatched
    return run


def made_elsewhere(factor):
    space = {"__name__": "nowhere"}
    exec(f"class Run:\n    def __call__(self, c, k): return {factor} * c.gain", space)
    return space["Run"]()


class Odd(float):
    pass


SORTS = {
    "default": by_default,
    "keyword": by_keyword,
    "closure": by_closure,
    "attribute": by_attribute,
    "wrapper": wrapped,
    "job": Job,
    "method": lambda f: Job(f).method,
    "slots": Slotted,
    "static field": Static,
    "leaf": Leaf,
    "partial": lambda f: functools.partial(scaled, f),
    "jax partial": lambda f: jax.tree_util.Partial(scaled, f),
    "static field in a partial": lambda f: jax.tree_util.Partial(scaled, Static(f)),
    "jit": lambda f: jax.jit(by_closure(f)),
    "jit of partial": lambda f: jax.jit(functools.partial(scaled, f)),
    "filter_jit": lambda f: eqx.filter_jit(by_closure(f)),
    "vmap axes": lambda f: jax.vmap(scaled, in_axes=(0, int(f), None)),
    "filter_vmap axes": lambda f: eqx.filter_vmap(scaled, in_axes=(0, int(f), None)),
    "checkpoint": lambda f: jax.checkpoint(by_closure(f)),
    "cached": lambda f: functools.lru_cache(by_closure(f)),
    "custom rule": lambda f: jax.custom_jvp(by_closure(f)),
    "optimiser": lambda f: optax.sgd(f),
    "chain of optimisers": lambda f: optax.chain(optax.clip(f), optax.adam(0.1)),
    "generic function": generic,
    "class of no module": made_elsewhere,
    "default of a dict": lambda f: by_closure(collections.defaultdict(lambda: f)),
    "random state": lambda f: by_closure(random.Random(f)),
    "masked array": lambda f: by_closure(np.ma.array([1.0, 2.0], mask=[f > 2, False])),
    "array with a unit": lambda f: by_closure(measured(f)),
    "pattern": lambda f: by_closure(re.compile(str(f))),
    "enumeration": lambda f: by_closure(Mode(f)),
    "named tuple": lambda f: by_closure(Pair(f)),
    "dict": lambda f: by_closure({"a": [f]}),
    "subclass of dict": lambda f: by_closure(Many(a=f)),
    "subclass of float": lambda f: by_closure(Odd(f)),
    "set": lambda f: by_closure({f, 2.0}),
    "complex": lambda f: by_closure(complex(0, f)),
    "bytes": lambda f: by_closure(bytes([int(f)])),
    "NumPy array": lambda f: by_closure(np.full(3, f)),
    "array": lambda f: by_closure(jnp.full(3, f)),
    "key": lambda f: by_closure(jr.key(int(f))),
    "range": lambda f: by_closure(range(int(f))),
    "slice": lambda f: by_closure(slice(int(f))),
    "path": lambda f: by_closure(Path(str(f))),
    "generator's state": lambda f: by_closure(np.random.default_rng(int(f))),
}


@pytest.mark.parametrize("make", SORTS.values(), ids=list(SORTS))
def test_equal_runs_are_equal_and_others_are_not(make):
    assert of(make(1.0)) == of(make(1.0))
    assert of(make(1.0)) != of(make(5.0))


def test_numbers_of_other_types_are_told_apart():
    values = (1, 1.0, True, np.float32(1), np.float64(1), "1", b"1", 1 + 0j, (1,), [1])
    values += (jnp.ones((), jnp.float32), jnp.asarray(1.0), None, -0.0, 0.0, 0)
    texts = [identity_of({"x": value})["x"] for value in values]
    same = {4: 10, 3: 10}  # an array is told by its type, its shape and its bits
    assert len(set(texts)) >= len(values) - len(same), texts


def test_what_says_nothing_of_a_number_changes_nothing():
    space = {}
    exec("def f(x):\n    'one'\n    return x + 1", space)
    other = {}
    exec("\n\n# moved\ndef f(x):\n    'another'\n\n    return x + 1", other)
    assert of(space["f"]) == of(other["f"])
    exec("def f(x):\n    'one'\n    return x + 2", other)
    assert of(space["f"]) != of(other["f"])
    path = Path("a")
    before = of(by_closure(path))
    str(path), hash(path)  # paths cache both
    assert of(by_closure(path)) == before


class Lazy:
    @functools.cached_property
    def table(self):
        return jnp.arange(3.0)


def test_what_is_only_cached_changes_nothing():
    lazy = Lazy()
    before = of(by_closure(lazy))
    assert lazy.table.sum() == 3
    assert of(by_closure(lazy)) == before


def test_what_pickle_keeps_on_a_class_changes_nothing():
    class Fresh:
        pass

    before = of(by_closure(Fresh))
    copy.copy(Fresh())  # asks as pickle does
    assert "__slotnames__" in vars(Fresh)
    assert of(by_closure(Fresh)) == before


def test_objects_that_hold_themselves_end():
    loop = [1.0]
    loop.append(loop)
    assert of(by_closure(loop)) == of(by_closure(loop))


UNSEEN = {
    "a lock": threading.Lock(),
    "a generator": (x for x in ()),
    "an array of objects": np.asarray([object()], dtype=object),
    "a device": jax.devices()[0],
}


@pytest.mark.parametrize("value", UNSEEN.values(), ids=list(UNSEEN))
def test_what_cannot_be_looked_into_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"`factor` holds .* cannot tell from another"):
        of(by_closure(value))


def reading(config, key):
    return {"x": config.gain * np.loadtxt("data.csv")}


def opening(config, key):
    with open("data.csv") as file:  # noqa: PTH123
        return {"x": config.gain * float(file.read())}


def by_path(config, key):
    return {"x": config.gain * float(Path("data.csv").read_text())}


def from_environment(config, key):
    return {"x": config.gain * float(os.environ["GAIN"])}


def by_text(config, key):
    return {"x": config.gain * globals()["GAIN"]}


@pytest.mark.parametrize("run", [reading, opening, by_path, from_environment, by_text])
def test_files_that_a_run_reads_itself_are_refused(run):
    with pytest.raises(ValueError, match=r"may change; read it before"):
        of(run)


# --- several processes: edited files --------------------------------------------------

MAIN = """
import sys
import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr
import helpers
from helpers import shape as formed
from plasticity_jax import sweep

class Config(eqx.Module):
    gain: jax.Array = eqx.field(default=1.0, converter=jnp.asarray)
    transfer: object = eqx.field(default=helpers.square, static=True)

class Model:
    def __init__(self): self.leak = helpers.LEAK
    def __call__(self, x): return self.leak * formed(x)

def run(config, key):
    from later import late
    total = helpers.deep.inner(config.gain) + config.transfer(config.gain)
    return {"x": total + Model()(1.0) + late(config.gain)}

if __name__ == "__main__":
    data = sweep(run, Config(), {"gain": [3.0]}, jr.split(jr.key(0), 1),
                 store="store", batch_size=1, progress=False)
    print(float(data.x[0, 0]))
"""
FILES = {
    "main.py": MAIN,
    "helpers.py": "import deep\nLEAK = 2.0\nTABLE = {'a': [1.0, 2.0]}\n"
    "def square(x):\n    return x * x\n"
    "def shape(x, table=TABLE):\n    return x * table['a'][1]\n"
    "def unused(x):\n    return x\n",
    "deep.py": "import base\nclass Part(base.Base):\n    gain = 1.0\n"
    "def inner(x):\n    return Part().apply(x)\n",
    "base.py": "class Base:\n    def apply(self, x):\n        return self.gain * x\n",
    "later.py": "def late(x):\n    return x\n",
}
EDITS = {  # a file, what is replaced by what, and where the difference is seen
    "a helper": ("helpers.py", "x * x", "x * x * x", "helpers.square"),
    "a constant": ("helpers.py", "LEAK = 2.0", "LEAK = 3.0", "main"),
    "a default": ("helpers.py", "[1.0, 2.0]", "[1.0, 5.0]", "helpers.shape"),
    "an attribute of a class": ("deep.py", "gain = 1.0", "gain = 2.0", "deep.Part"),
    "a base class": ("base.py", "self.gain * x", "self.gain + x", "base.Base.apply"),
    "an import inside": ("later.py", "return x", "return 2 * x", "later.late"),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    assert _executed(folder).returncode == 0
    return folder


def _executed(folder):
    return subprocess.run(
        [sys.executable, "-B", "main.py"], cwd=folder, capture_output=True, text=True
    )


def _kept(folder):
    line = (folder / "store" / "manifest.json").read_bytes().partition(b"\n")[0]
    return json.loads(line)["identity"]


IDENTITY = """
import json, sys
sys.path.insert(0, ".")
import main
from plasticity_jax._sweep._identity import identity_of
from plasticity_jax._sweep._lanes import map_lanes
print(json.dumps(identity_of({"run": main.run, "config": main.Config()}, (map_lanes,))))
"""


def test_a_sweep_with_helpers_resumes_in_a_new_process(study):
    again = _executed(study)
    assert again.returncode == 0, again.stderr
    kept = _kept(study)["code"]
    wanted = ("helpers.square", "helpers.shape", "deep.Part", "base.Base.apply")
    assert all(f"{name} " in kept for name in (*wanted, "later.late", "deep.inner"))
    assert "unused" not in kept


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    """The identity of the study's run in one process, for each edit of its files."""
    found, before = {}, set(sys.modules)
    for name, edit in {"nothing": ("main.py", "", ""), **EDITS}.items():
        folder = tmp_path_factory.mktemp("edited")
        for file, text in FILES.items():
            (folder / file).write_text(
                text.replace(edit[1], edit[2], 1) if file == edit[0] else text
            )
        sys.path.insert(0, str(folder))
        try:
            importlib.invalidate_caches()
            main = importlib.import_module("main")
            parts = {"run": main.run, "config": main.Config()}
            found[name] = identity_of(parts, (map_lanes,))
        finally:
            sys.path.remove(str(folder))
            for module in set(sys.modules) - before:
                if module in {Path(file).stem for file in FILES}:
                    del sys.modules[module]
    return found


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_file_is_seen_and_named(name, identities):
    before, after = identities["nothing"]["code"], identities[name]["code"]
    lines = set(after.splitlines()) - set(before.splitlines())
    assert any(line.startswith(EDITS[name][3]) for line in lines), lines


def test_an_edited_file_refuses_the_store(study):
    (study / "helpers.py").write_text(FILES["helpers.py"].replace("x * x", "x + x"))
    done = _executed(study)
    assert "belongs to another sweep: code was 'helpers.square" in done.stderr
    (study / "helpers.py").write_text(FILES["helpers.py"].replace("return x\n", "pass"))
    assert _executed(study).returncode == 0  # nobody reads that function


# --- the package itself ---------------------------------------------------------------


ROOT = Path(plasticity_jax.__file__).parent
CONFIGS = ROOT if (ROOT / "configs").is_dir() else ROOT.parent
FILES_OF = [sorted(x.glob("*.toml")) for x in (CONFIGS / "configs").iterdir()]


def check_reach(path):
    home = f"{systems.__name__}.{path.parent.name}.experiments"
    known = {x.name: x for x in importlib.import_module(home).EXPERIMENTS}
    experiment = known[path.stem]
    config = load_plan(experiment.config, path, "smoke").config
    code = identity_of({"run": experiment.run, "config": config}, (map_lanes,))["code"]
    assert "plasticity_jax._sweep._lanes.map_lanes" in code
    assert f"{experiment.figure.__module__}.{experiment.figure.__name__} " not in code
    assert "plasticity_jax.report" not in code
    assert ".experiment." not in code


def test_an_experiment_of_each_system_can_be_told_apart_and_reaches_no_figure():
    assert len(FILES_OF) == 5
    for paths in FILES_OF:
        check_reach(paths[0])


@pytest.mark.dear
def test_every_experiment_can_be_told_apart_and_reaches_no_figure():
    for paths in FILES_OF:
        for path in paths:
            check_reach(path)
