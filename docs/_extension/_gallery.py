"""A page for every kept result: its picture, verdict and command."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plasticity_jax import systems

from ._names import ROOT


RESULTS = Path(__file__).parents[1] / "results"
HEADER = ("claim", "source", "value", "must lie in", "control", "")


def pages() -> dict[str, str]:
    """`gallery/<experiment>.md`, and `gallery/index.md` with all of them."""
    entries = [x for system in systems.names() for x in _entries(system)]
    made = {f"{entry.name}.md": _page(entry) for entry in entries}
    return {"index.md": _index(entries), **made}


def found(system: str) -> list[str]:
    """A table of all that was claimed of a system, with what was found."""
    rows = [row for entry in _entries(system) for row in _found(entry)]
    head = "| experiment | preset | claim | value | must lie in | |"
    return [head, "| --- | --- | --- | --- | --- | --- |", *rows]


def _entries(system: str) -> list[systems.Listed]:
    """The system's experiments of which a result was kept."""
    mine = (x for x in systems.listed() if x.name.startswith(f"{system}."))
    return [x for x in mine if (RESULTS / x.name / "about.json").is_file()]


def _found(entry: systems.Listed) -> Iterator[str]:
    about, rows = _kept(entry.name)
    short = entry.name.partition(".")[2]
    for row in rows:
        says, _, value, within, _, mark = _claim(row)
        link = f"[{short}](../gallery/{entry.name}.md)"
        told = link, about["preset"], says, value, within, mark
        yield f"| {' | '.join(told)} |"


def _index(entries: list[systems.Listed]) -> str:
    lines = ["# Gallery", ""]
    lines += [
        "Every experiment as it was computed at the largest preset that was run: the "
        "data are not kept, the command makes them anew. A claim that does not hold is "
        "shown as it is.",
        "",
    ]
    for system in systems.names():
        mine = [x for x in entries if x.name.startswith(f"{system}.")]
        if mine:
            lines += [
                f"## `{system}`",
                "",
                "| | experiment | source | preset | claims |",
            ]
            lines += ["| --- | --- | --- | --- | --- |", *map(_row, mine), ""]
    names = "\n".join(entry.name for entry in entries)
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", names, "```", ""])


def _row(entry: systems.Listed) -> str:
    about, rows = _kept(entry.name)
    holding = sum(map(_stands, rows))
    picture = f"![{entry.shows}](../results/{entry.name}/figure.png){{width=200px}}"
    short = entry.name.partition(".")[2]
    cells = picture, f"[{short}]({entry.name}.md): {entry.shows}", entry.source
    told = (*cells, about["preset"], f"{holding} of {len(rows)} hold")
    return f"| {' | '.join(told)} |"


def _page(entry: systems.Listed) -> str:
    about, rows = _kept(entry.name)
    preset = about["preset"].partition(",")[0]
    versions = f"{ROOT} {about['plasticity_jax']}, JAX {about['jax']}"
    took = f"{_time(about['wall_seconds'])} ({_time(about['cpu_seconds'])} of CPU)"
    lines = [
        f"# {entry.name}",
        "",
        f"{entry.shows[0].upper()}{entry.shows[1:]} ({entry.source}).",
        "",
        f"![{entry.shows}](../results/{entry.name}/figure.png)",
        "",
        "```",
        f"plasticity-jax run {entry.name} --preset {preset}",
        "```",
        "",
        f"Preset `{about['preset']}`, {about['date'][:10]}, {versions}, "
        f"{about['device']}, {about['precision']}; {took}.",
        "",
        *([about["note"], ""] if "note" in about else []),
        f"| {' | '.join(HEADER)} |",
        "| --- | --- | --- | --- | --- | --- |",
        *(f"| {' | '.join(_claim(row))} |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def _kept(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    about, verdict = (
        json.loads((RESULTS / name / part).read_text("utf-8"))
        for part in ("about.json", "verdict.json")
    )
    return about, verdict


def _stands(row: dict[str, Any]) -> bool:
    """Whether a claim holds, and its control does not."""
    control = row["control"]
    return row["holds"] and not (control and control["holds"])


def _claim(row: dict[str, Any]) -> tuple[str, ...]:
    error = row["standard_error"]
    value = number(row["value"], "no number")
    value += "" if error is None else f" ± {error:.2g}"
    within = f"{number(row['low'], '-∞')} to {number(row['high'], '∞')}"
    control = row["control"]
    beside = "" if control is None else number(control["value"], "no number")
    mark = "holds" if _stands(row) else "**does not hold**"
    return cell(row["says"]), cell(row["source"]), value, within, beside, mark


def number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.4g}"


def cell(text: str) -> str:
    """Text as it is: neither a cell's end nor Markdown."""
    return "".join(f"\\{x}" if x in "|*_$`<[" else x for x in text)


def _time(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{math.ceil(minutes)} min"
