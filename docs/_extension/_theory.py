"""Of every system: what is computed where, what was found, and every check."""

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

from plasticity_jax import systems

from ._gallery import cell, found, number
from ._links import with_links


FOUND = os.environ.get("PLASTICITY_JAX_VERIFIED")  # a folder of `verify --json`

NUMBERED = """\
Equations and figures are those of the paper. Other numbers (a letter and a number, or
two numbers) name the row itself: claims, checks and docstrings call it so."""


def pages() -> dict[str, str]:
    """`theory/generated/<system>.md`, which the system's page includes."""
    return {f"{system}.md": _page(system) for system in systems.names()}


def _page(system: str) -> str:
    module = f"{systems.__name__}.{system}"
    text = importlib.import_module(module).__doc__ or ""
    rows = re.findall(r"^\| .*$", text, re.M)
    table = with_links("\n".join(rows), module)
    lines = ["## Equation, object, test", "", NUMBERED, "", table, ""]
    lines += ["## Claims, at the largest preset that was run", "", *found(system), ""]
    lines += ["## Checks", ""]
    command = f"`plasticity-jax verify {system}`"
    place = Path(FOUND or "") / f"{system}.json"
    if not (FOUND and place.is_file()):
        return "\n".join([*lines, f"{command} computes them.", ""])
    checks = json.loads(place.read_text("utf-8"))
    holding = sum(row["holds"] for row in checks)
    lines += [
        f"{command}, as this site was built: {holding} of {len(checks)} hold.",
        "",
    ]
    lines += ["| quantity | source | against | value | reference | error | of | |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |", *map(_row, checks)]
    return "\n".join([*lines, ""])


def _row(check: dict[str, Any]) -> str:
    told = (cell(check[name]) for name in ("quantity", "source", "kind"))
    names = "value", "reference", "error", "tolerance"
    numbers = (number(check[name], "") for name in names)
    mark = "holds" if check["holds"] else "**does not hold**"
    return f"| {' | '.join([*told, *numbers, mark])} |"
