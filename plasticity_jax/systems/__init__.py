"""The published systems, one package each."""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from .._arguments import folder as expanded
from .._arguments import nearest
from ..experiment import Experiment, read_tables


class Named(NamedTuple):
    """An experiment with its system and the file of its parameters."""

    system: str
    experiment: Experiment
    path: Path

    @property
    def name(self) -> str:
        return f"{self.system}.{self.experiment.name}"


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


def experiments() -> list[Named]:
    """All experiments of all systems."""
    return [
        Named(system, experiment, configs() / system / f"{experiment.name}.toml")
        for system in names()
        for experiment in part_of(system, "experiments").EXPERIMENTS
    ]


def find(experiment: str) -> tuple[Named, Path, bool]:
    """An experiment by name, or by a TOML file that names it; whether it wants x64."""
    path, name, x64 = None, experiment, False
    if experiment.lower().endswith(".toml"):
        path = expanded(experiment)
        if not path.is_file():
            raise ValueError(f"no such file: {path}")
        header = read_tables(path)
        name, x64 = header.get("experiment", ""), header.get("x64", False)
    known = {named.name: named for named in experiments()}
    if name not in known:
        if path is not None:
            hint = f'{path} needs a line `experiment = "..."`.'
            raise ValueError(f"{hint}{nearest(name, known)}")
        raise ValueError(f"unknown experiment '{name}'.{nearest(name, known)}")
    return known[name], path or known[name].path, x64


def costs(path: Path) -> dict[str, str]:
    """Presets with the comment beside their header."""
    costs = {}
    for line in path.read_text("utf-8-sig").splitlines():
        if line.startswith("[") and "." not in line.partition("]")[0]:
            name, _, comment = line[1:].partition("]")
            if name != "common":
                costs[name] = comment.strip().removeprefix("#").strip()
    return costs
