"""Every numbered item of a system's specification has an object and a test.

The items stand in the docstring of the system, above its table: a kind of item (Eqs.,
Figs., rules, Tables, or a letter as in T1) and numbers of it, or ranges.
"""

import functools
import importlib
import re
from pathlib import Path

import pytest

import plasticity_jax
from plasticity_jax import systems


TESTS = Path(__file__).parent
KINDS = {"Eq": "Eq", "Supp. Fig": "Supp. Fig", "Fig": "Fig", "Figure": "Fig"}
KINDS |= {"Table": "Table", "rule": "rule", "Box": "Box", "Note": "Note"}
KINDS |= {"Appendix 1-figure": "Appendix 1-figure"}
KINDS |= {"Appendix 1-table": "Appendix 1-table"}
KIND = "|".join(sorted(map(re.escape, KINDS), key=len, reverse=True))
NUMBER = r"[A-Z]?\d+(?:\.\d+)?(?:[a-zA-Z](?![a-z])|-S\d+)?"
RANGE = rf"(?P<number>{NUMBER})(?:-(?P<to>{NUMBER}|[a-zA-Z]\b))?"
TOKEN = re.compile(rf"(?P<kind>{KIND})s?\.? (?=\d)|{RANGE}")


def items(text):
    """`Eqs. 2, 4-6; A1` as {"Eq 2", "Eq 4", "Eq 5", "Eq 6", "A1"}."""
    found, kind = set(), ""
    for token in TOKEN.finditer(" ".join(text.split())):
        if token["kind"]:
            kind = KINDS[token["kind"]] + " "
        elif token["number"][0].isalpha() or "." in token["number"]:
            found |= set(_range(token["number"], token["to"]))
        elif kind:
            found |= {kind + x for x in _range(token["number"], token["to"])}
    return found


def _range(first, last):
    if last is None:
        return [first]
    letter = first.rstrip("0123456789")
    stem = first[len(letter) :]
    if stem and last.removeprefix(letter).isdigit():
        numbers = range(int(stem), int(last.removeprefix(letter)) + 1)
        return [f"{letter}{n}" for n in numbers]
    return [first[:-1] + chr(x) for x in range(ord(first[-1]), ord(last[-1]) + 1)]


def table(system):
    """The list of items, and the rows of the table below it."""
    text = importlib.import_module(f"{systems.__name__}.{system}").__doc__ or ""
    told = re.search(r"^Items of the specification: (.*?)\.$", text, re.M | re.S)
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return items(told[1] if told else ""), rows[2:]


SYSTEMS = systems.names()
ROWS = [
    pytest.param(system, row, id=f"{system}: {row[0]}")
    for system in SYSTEMS
    for row in table(system)[1]
]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_item_has_a_row(system):
    listed, rows = table(system)
    assert listed
    missing = listed - set().union(*(items(row[0]) for row in rows))
    assert not missing, sorted(missing)


@functools.cache
def sources(place):
    """The text of a file, or of a folder's."""
    files = place.rglob("*.py") if place.is_dir() else [place]
    return "\n".join(path.read_text("utf-8") for path in files)


def found(system, name):
    """Whether there is such a public object, in the system or in the package."""
    for root in (f"{systems.__name__}.{system}", plasticity_jax.__name__):
        path, rest = root, name.split(".")
        while rest:
            module = importlib.import_module(path)
            if hasattr(module, rest[0]) and not isinstance(
                getattr(module, rest[0]), type(module)
            ):
                return True
            try:
                importlib.import_module(path := f"{path}.{rest.pop(0)}")
            except ImportError:
                break
        else:
            return True
    return False


@pytest.mark.parametrize(("system", "row"), ROWS)
def test_every_row_has_objects_and_tests_that_exist(system, row):
    assert len(row) == 3, row
    _, objects, tests = row
    short = {
        x.name.partition(".")[2] for x in systems.listed() if x.name.startswith(system)
    }
    names = re.findall(r"`([\w.]+)", objects)
    assert names or "any function" in objects
    for name in names:
        known = name in short or name.startswith("jnp.")
        assert known or found(system, name), name
    named = set(re.findall(r"`(\w+)`", tests))
    text = "\n".join(sources(TESTS / f"{name}.py") for name in named - short)
    folder = Path(plasticity_jax.__file__).parent / "systems" / system
    if "verify" in tests:
        text += sources(folder / "checks")
    if "test_experiments" in named or named & short:
        text += sources(folder / "experiments")
    own = {x for x in names if x not in short and not x.startswith("jnp.")}
    last = {name.rpartition(".")[2] for name in own}
    assert text
    assert not (absent := {x for x in last if not re.search(rf"\b{x}\b", text)}), absent


def test_items_are_read():
    assert items("Eqs. 2, 4-6; A1, A3-A4") == {*["A1", "A3", "A4"], "Eq 2"} | {
        "Eq 4",
        "Eq 5",
        "Eq 6",
    }
    assert items("5.5a-c limit cycles (Eq. 7)") == {"5.5a", "5.5b", "5.5c", "Eq 7"}
    assert items("Figs. 1b, 5-S1; Table 2") == {"Fig 1b", "Fig 5-S1", "Table 2"}
