"""Every public name has an example; what it shows is so, at a user's settings."""

import ast
import contextlib
import doctest
import importlib
import inspect
import re
import runpy
import textwrap
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from plasticity_jax.circuits import LeakyNetwork


PLACE = Path(__file__).parents[1] / "docs" / "_extension" / "_names.py"
names = SimpleNamespace(**runpy.run_path(str(PLACE)))

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MOST = 6  # lines of an example and what it prints, in all
WITH_DOCS = ast.ClassDef, ast.FunctionDef
REFUSES = re.compile(r"[Rr]aises|refuse|`\w+Error`")


def documented(module):
    """Classes and functions that this page of the reference is about."""
    return [x for x in names.public(module) if callable(x.value)]


MODULES = [module for module in names.modules() if documented(module)]


@contextlib.contextmanager
def as_imported(double):
    """JAX's own settings, in double precision or not."""
    promotion, rank = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion
    with jax.enable_x64(double), promotion, rank("allow"):
        yield


def examples(x):
    """What a docstring shows."""
    text = inspect.getdoc(x.value) or ""
    return doctest.DocTestParser().get_doctest(text, {}, x.path, None, 0)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_has_an_example(module):
    for x in documented(module):
        shown = examples(x).examples
        lines = sum(e.source.count("\n") + e.want.count("\n") for e in shown)
        assert 2 <= lines <= MOST, x.path


@pytest.mark.parametrize("module", MODULES)
def test_what_raises_says_so(module):
    for x in documented(module):
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(x.value)))
        parts = list(ast.walk(ast.parse(source)))
        told = (ast.get_docstring(p) or "" for p in parts if isinstance(p, WITH_DOCS))
        raises = any(isinstance(p, ast.Raise) and p.exc for p in parts)
        assert not raises or REFUSES.search(" ".join(told)), x.path


@pytest.mark.dear
@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    start = {}
    about = importlib.import_module(module).__doc__ or ""
    exec(f"{names.PRELUDE}\nfrom {module} import *", start)
    runner, told = doctest.DocTestRunner(optionflags=FLAGS), []
    for x in documented(module):
        test = examples(x)
        test.globs.update(start)
        with as_imported("float64" in about + test.docstring):  # it asks for that
            runner.run(test, out=told.append)
    assert not told, "\n".join(told)


def test_help_names_what_a_number_may_be():
    shown = str(inspect.signature(LeakyNetwork))
    assert shown.startswith("(dt: 'ArrayLike' = 1.0, ")
    assert "Union" not in shown
