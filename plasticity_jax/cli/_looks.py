"""Commands that show what there is, and whether closed forms hold."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import systems
from .._catalogue import rules
from ._app import app, AsJson, Cache, choose_precision, console, keep


@app.command(name="list")
def list_(what: str | None = None, *, as_json: AsJson = False) -> int:
    """Systems, experiments and presets, and what each shows; or `list rules`."""
    if what not in (None, "rules"):
        raise ValueError(f"list: there is nothing but `rules`; got '{what}'.")
    if what == "rules":
        rows = rules()
        if as_json:
            print(json.dumps(rows, indent=2))
        else:
            console().print(_rules_table(rows))
        return 0
    rows = []
    for entry in systems.listed():
        costs = systems.costs(entry.path)
        row = {"name": entry.name, "system": entry.name.partition(".")[0]}
        row |= {"source": entry.source, "shows": entry.shows}
        rows.append({**row, "presets": list(costs), "cost": costs})
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    from rich.table import Column, Table

    names = ("experiment", "source", "shows", "presets")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in rows:
        costs = "\n".join(f"{k}: {v}" if v else k for k, v in row["cost"].items())
        table.add_row(row["name"], row["source"], row["shows"], costs)
    console().print(table)
    return 0


def _rules_table(rows: list[dict[str, str]]) -> Any:
    from rich.table import Column, Table

    names = ("rule", "reads", "source")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _checks_of(name: str) -> Any:
    if name == "rules":
        from ..textbook import checks

        return checks()
    if name == "gradients":
        return _gradients()
    return systems.part_of(name, "checks").checks()


def _gradients() -> Iterator[Any]:
    """Draws that can be listed, then what each system is about, differentiated."""
    from ..inference import discrete_rows

    yield from discrete_rows()
    for name in systems.names():
        for check in systems.part_of(name, "checks").gradient_checks():
            yield check._replace(quantity=f"{name}: {check.quantity}")


@app.command
def verify(
    system: str | None = None, *, as_json: AsJson = False, cache: Cache = True
) -> int:
    """Every closed form of a system (default: all) against autodiff and simulation.

    Or of textbook `rules`; or `gradients`: derivatives of what the systems are about.
    """
    keep(cache)
    names = (*systems.names(), "rules", "gradients")
    if system is not None and system not in names:
        from .._arguments import nearest

        raise ValueError(f"unknown system '{system}'.{nearest(system, names)}")
    choose_precision(True)
    from ..experiment import check_json, check_table

    found = {name: tuple(_checks_of(name)) for name in ([system] if system else names)}
    every = [(name, check) for name, checks in found.items() for check in checks]
    if as_json:
        print(json.dumps([check_json(*row) for row in every], indent=2))
    else:
        for name, checks in found.items():
            console().print(check_table(name, checks))
            print(f"{name}: {sum(x.holds for x in checks)} of {len(checks)} hold")
    return 0 if all(check.holds for _, check in every) else 1


@app.command
def data(
    name: str | None = None, *, dir: Path | None = None, as_json: AsJson = False
) -> int:
    """Which data sets are here, where they were looked for, how to get them."""
    from ..data import status, where

    records = [where(name, dir)] if name else status(dir)
    if as_json:
        print(json.dumps([record._asdict() for record in records], indent=2))
        return 0
    for record in records:
        print(f"{record.name}: {record.location if record.found else 'not here'}")
        if not record.found:
            for place in record.looked_in:
                print(f"  looked in {place}")
            print(f"  {record.how_to_get}")
    return 0
