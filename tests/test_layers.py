"""Imports go one way, from the syntax trees; importing stays light."""

import ast
import functools
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import plasticity_jax


ROOT = Path(plasticity_jax.__file__).parent
LAYERS = [
    {"_arguments", "_catalogue", "_kept", "_version"},
    {"_interfaces", "_random"},
    {"numerics", "signals"},
    {"curvature", "measure", "data", "synapses", "traces", "_simulate", "_sweep"},
    {"rules", "circuits", "tasks"},  # kinds, which do not import each other
    {"experiment", "inference"},
    {"report"},
    {"__init__"},  # the door that systems go through
    {"systems", "textbook"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
KINDS = RANK["rules"]
FILES = sorted(ROOT.rglob("*.py"))


def _named(path):
    """The dotted name of a file's module."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_named(path): path for path in FILES}


@functools.cache
def _imports(path):
    """The package's own modules that a file imports, wherever the import stands.

    A package counts where a name is taken from it, not where a module in it is.
    """
    package = path.parent.relative_to(ROOT.parent).parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            home = ".".join([*base, *([node.module] if node.module else [])])
            if home in MODULES:
                inside = {f"{home}.{alias.name}" for alias in node.names}
                found |= {x if x in MODULES else home for x in inside}
    return found - {_named(path)}


def _layer(module):
    return [*module.split("."), "__init__"][1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path):
    name = _named(path)
    here = _layer(name)
    for target in _imports(path):
        there = _layer(target)
        assert RANK[there] <= RANK[here], f"{name} imports {target}"
        if RANK[there] == RANK[here] == KINDS:
            assert there == here, f"kinds do not import each other: {name} {target}"
        if here == there == "systems":
            own, others = name.split(".")[2:3], target.split(".")[2:3]
            assert own in ([], others), f"a system imports another: {name} {target}"
        if here == "systems" and there != "systems":
            private = [x for x in target.split(".")[1:] if x[0] == "_"]
            assert private in ([], ["_arguments"]), f"no public door: {name} {target}"


def test_no_imports_go_in_circles():
    graph = {name: _imports(path) for name, path in MODULES.items()}
    assert set(graphlib.TopologicalSorter(graph).static_order()) == set(MODULES)


def test_the_hallway_stays_short():
    assert len(list(ROOT.glob("*.py"))) <= 10
    assert not list(ROOT.rglob("figures"))


def test_every_module_and_public_name_has_a_docstring():
    for path in FILES:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{path} has no docstring"
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                if node.name.startswith("_"):
                    continue
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_importing_the_package_imports_no_heavy_optional_library():
    code = (
        "import sys, plasticity_jax, jax;"
        "heavy = {'xarray', 'matplotlib', 'sklearn', 'rich', 'pandas', 'zarr'};"
        "print(sorted(heavy & set(sys.modules)), jax.config.jax_enable_x64)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["[]", "False"]
