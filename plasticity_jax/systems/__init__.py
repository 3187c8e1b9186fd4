"""The published systems, one package each, and the catalogue of their experiments.

What an experiment shows is read from its source: a system is imported when it is asked
for.
"""

import ast
import functools
import importlib
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TYPE_CHECKING


if TYPE_CHECKING:
    from ..experiment import Experiment


class Named(NamedTuple):
    """An experiment, by the name that it has here, and the file of its parameters."""

    name: str
    experiment: "Experiment"
    path: Path
    address: str  # what `find` finds it by

    @property
    def system(self) -> str:
        """What stands before the dot."""
        return self.name.partition(".")[0]


class Listed(NamedTuple):
    """What is known of an experiment before it is imported."""

    name: str
    source: str
    shows: str
    path: Path


def names() -> list[str]:
    """All systems."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def part_of(system: str, part: str) -> ModuleType:
    """A module of a system, such as its `checks`."""
    return importlib.import_module(f"{__name__}.{system}.{part}")


def configs() -> Path:
    """The folder of parameter files: in the installed package, or beside it."""
    here = Path(__file__).parent.parent
    return here / "configs" if (here / "configs").is_dir() else here.parent / "configs"


def listed() -> tuple[Listed, ...]:
    """All experiments of all systems, from their sources; nothing is imported."""
    return tuple(entry for system in names() for entry in _listed(system))


@functools.cache
def _listed(system: str) -> tuple[Listed, ...]:
    return tuple(
        Listed(f"{system}.{told['name']}", told["source"], told["shows"], path)
        for told in _told(Path(__file__).parent / system / "experiments")
        for path in [configs() / system / f"{told['name']}.toml"]
    )


def _told(folder: Path) -> list[dict[Any, Any]]:
    """Name, source and what is shown of every experiment that a folder makes.

    By the keywords of `Experiment(...)`, or of another's `_replace(...)`.
    """
    calls = [
        {word.arg: getattr(word.value, "value", None) for word in node.keywords}
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]
    found = [words for words in calls if {"name", "source", "shows"} <= set(words)]
    return sorted(found, key=lambda told: _natural(told["name"]))


def _natural(name: str) -> list[Any]:
    """`fig5` before `fig10`."""
    return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", name)]


def experiments() -> list[Named]:
    """All experiments of all systems, imported."""
    return [_named(entry) for entry in listed()]


def _named(entry: Listed) -> Named:
    system, _, name = entry.name.partition(".")
    known = {x.name: x for x in part_of(system, "experiments").EXPERIMENTS}
    return Named(entry.name, known[name], entry.path, entry.name)


def find(text: str) -> tuple[Named, Path | None, bool]:
    """An experiment, its parameter file (if it has one), and whether that wants x64.

    By its name (see `listed`), by a user's file and the name of an `Experiment` in it
    (`my_study.py:FIG1`, with parameters in `my_study.FIG1.toml` beside it), or by a
    TOML file with a line `experiment = "..."` that says one of these. Raises
    `ValueError` if there is none.
    """
    from .._arguments import folder, nearest
    from ..experiment import read_tables

    path, name, x64 = None, text, False
    unknown = f"unknown experiment '{name}'."
    if text.lower().endswith(".toml"):
        path = folder(text)
        if not path.is_file():
            raise ValueError(f"no such file: {path}")
        header = read_tables(path)
        name, x64 = header.get("experiment", ""), header.get("x64", False)
        unknown = f'{path} needs a line `experiment = "..."`.'
    if ".py:" in name:
        named = _of_a_file(name)
    elif (system := name.partition(".")[0]) in names() and (
        found := [entry for entry in _listed(system) if entry.name == name]
    ):
        named = _named(found[0])
    else:
        every = [entry.name for entry in listed()]
        many = f"`plasticity-jax list` names all, of {', '.join(names())}."
        raise ValueError(f"{unknown}{nearest(name, every, many)}")
    return named, path or (named.path if named.path.is_file() else None), x64


def _of_a_file(name: str) -> Named:
    """The `Experiment` of a user's file, imported as a script would import it."""
    from .._arguments import folder, nearest
    from ..experiment import Experiment

    place, _, variable = name.rpartition(":")
    path = folder(place).resolve()
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # modules beside it, here and in workers
    module = importlib.import_module(path.stem)
    if Path(str(module.__file__)).resolve() != path:
        raise ValueError(f"{path}: another module is called '{path.stem}'; rename it.")
    found = {k: x for k, x in vars(module).items() if isinstance(x, Experiment)}
    if variable not in found:
        hint = nearest(variable, found)
        raise ValueError(f"{path} has no experiment '{variable}'.{hint}")
    own = f"{path.stem}.{variable}"
    beside = path.with_name(f"{own}.toml")
    return Named(own, found[variable], beside, f"{path}:{variable}")


def costs(path: Path) -> dict[str, str]:
    """Presets with the comment beside their header."""
    costs = {}
    for line in path.read_text("utf-8-sig").splitlines():
        if line.startswith("[") and "." not in line.partition("]")[0]:
            name, _, comment = line[1:].partition("]")
            if name != "common":
                costs[name] = comment.strip().removeprefix("#").strip()
    return costs
