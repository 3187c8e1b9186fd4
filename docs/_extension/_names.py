"""The public names of the package, by module."""

import functools
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any, NamedTuple

import plasticity_jax


ROOT = plasticity_jax.__name__
PRELUDE = """
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from plasticity_jax import circuits, curvature, inference, measure, rules
from plasticity_jax import numerics, signals, synapses, tasks, traces
from plasticity_jax import fast_key, simulate, sweep, System
"""  # where every example of the reference begins, then comes all of its own module


class Public(NamedTuple):
    """A public object: where users import it from, and what it is."""

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        return f"{self.module}.{self.name}"


def modules() -> list[str]:
    """Public modules: the package, its folders and files, the systems and theirs."""
    found = [ROOT]
    for package in (ROOT, f"{ROOT}.systems"):
        found += _children(package)
    systems = [m for m in found if m.startswith(f"{ROOT}.systems.")]
    hidden = {"cli", "systems", "textbook", "checks", "experiments"}
    inner = [m for system in systems for m in _children(system)]
    return [m for m in (*found, *inner) if m.rpartition(".")[2] not in hidden]


def _children(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    names = (x.name for x in pkgutil.iter_modules(path))
    return [f"{package}.{name}" for name in names if name[0] != "_"]


def public(module: str) -> list[Public]:
    """The names that a module offers, in its order.

    Those that it defines, in a folder or a file, or imports `as` themselves.
    """
    loaded = importlib.import_module(module)
    own = hasattr(loaded, "__path__")
    names = getattr(loaded, "__all__", None) or [n for n in vars(loaded) if n[0] != "_"]
    values = [Public(module, name, getattr(loaded, name)) for name in names]
    return [x for x in values if _offered(x, loaded, own)]


def _offered(x: Public, module: ModuleType, package: bool) -> bool:
    where = getattr(x.value, "__module__", None) or ""
    if isinstance(x.value, ModuleType):
        return False
    if inspect.isclass(x.value) or inspect.isroutine(x.value) or callable(x.value):
        inside = f"{module.__name__}." if package else module.__name__
        if (f"{where}." if package else where).startswith(inside):
            return True
        again = f"import {x.name} as {x.name}\n" in inspect.getsource(module)
        return again and where.startswith(f"{ROOT}.")
    return package and x.name.isupper()


@functools.cache
def index() -> dict[str, str]:
    """Ways to write a public name, where they are unique, and its whole path."""
    ways: dict[str, set[str]] = {}
    for module in modules():
        short = module.removeprefix(f"{ROOT}.").removeprefix(ROOT)
        for x in public(module):
            last = module.rpartition(".")[2]
            for way in {x.name, f"{last}.{x.name}", f"{short}.{x.name}", x.path}:
                ways.setdefault(way, set()).add(x.path)
    return {way: min(paths, key=len) for way, paths in ways.items() if _one(paths)}


@functools.cache
def paths() -> dict[int, str]:
    """The shortest path of every public object that is a class or a function."""
    found: dict[int, str] = {}
    for x in sorted(
        (x for m in modules() for x in public(m)), key=lambda x: -len(x.path)
    ):
        if inspect.isclass(x.value) or inspect.isroutine(x.value):
            found[id(x.value)] = x.path
    return found


def _one(paths: set[str]) -> bool:
    """Whether they are one object: a name that a system's package offers as well."""
    return len({id(_at(path)) for path in paths}) == 1


def _at(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)
