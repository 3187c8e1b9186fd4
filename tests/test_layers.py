"""Imports go one way, from the syntax trees; importing stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import plasticity_jax


ROOT = Path(plasticity_jax.__file__).parent
# curvature needs nothing of the kinds, so rules may use it
LAYERS = [
    {
        "_arguments",
        "_guards",
        "_identity",
        "_interfaces",
        "_random",
        "_factors",
        "_release",
        "_transfer",
        "_trees",
        "_keys",
        "_config",
        "_batch_size",
        "_store",
        "_progress",
    },
    {
        "_signals",
        "_simulate",
        "_sweep",
        "_lanes",
        "_experiment",
        "_panels",
        "curvature",
        "measure",
        "data",
    },
    {"rules", "synapses", "circuits", "tasks"},
    {"systems"},
    {"verdict", "report", "_output", "_replay", "cli", "__main__", "__init__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def _imports(path):
    """Dotted targets inside the package of every import of a file."""
    package = ("plasticity_jax", *path.relative_to(ROOT).parts)[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level + 1]
                target = [*base, *(node.module.split(".") if node.module else [])]
            else:
                target = (node.module or "").split(".")
            if target[0] == "plasticity_jax":
                yield from ([*target[1:], alias.name] for alias in node.names)
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("plasticity_jax."):
                    yield alias.name.split(".")[1:]


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_go_one_way(path):
    parts = path.relative_to(ROOT).parts
    here = parts[0].removesuffix(".py")
    for target in _imports(path):
        there = target[0]
        if there not in RANK:  # `__version__` of the package itself
            continue
        assert RANK[there] <= RANK[here], f"{path} imports {'.'.join(target)}"
        if RANK[there] == RANK[here] == 2:
            assert there == here, f"kinds do not import each other: {path} {there}"
        if here == there == "systems" and len(target) > 1 and len(parts) > 2:
            assert target[1] == parts[1], f"a system imports another: {path}"


def test_every_module_and_public_name_has_a_docstring():
    for path in sorted(ROOT.rglob("*.py")):
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
