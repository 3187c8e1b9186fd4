"""Configs: to and from TOML, and errors that name the nearest valid name."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Array


C = TypeVar("C", bound=eqx.Module)

HEADER = ("experiment", "from_preset", "x64")  # keys of a file above its tables

Grid = dict[Any, Any]  # field or tuple of fields -> 1-D array or tuple of 1-D arrays


class Plan(NamedTuple):
    """A sweep read from a file: the config, the grid over it, how many seeds.

    `preset` names the table that it was read from, and says so if it was changed.
    """

    config: Any
    grid: Grid
    seeds: int
    preset: str | None = None


def nearest(name: str, allowed: Iterable[str]) -> str:
    """` Did you mean ...? Choose from: ...`, the tail of an error about a name."""
    allowed = list(allowed)
    close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} Choose from: {', '.join(allowed) or 'none'}."


def structural(field: dataclasses.Field) -> bool:
    """Whether a config field is static: part of the compiled program, not swept."""
    return bool(field.metadata.get("static", False))


def updated(config: C, changes: dict[str, Any], where: str = "config") -> C:
    """`config` with some fields replaced and every range checked again.

    Raises `ValueError` naming an unknown field with the nearest valid one, or the
    field whose value cannot be read.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}
    for name in changes:
        if name not in fields:
            raise ValueError(f"{where}: unknown '{name}'.{nearest(name, fields)}")
    values = {
        name: _read(where, fields[name], getattr(config, name), value)
        for name, value in changes.items()
    }
    try:
        return dataclasses.replace(config, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _read(where: str, field: dataclasses.Field, default: Any, value: Any) -> Any:
    """A value of a file or a command line, of the kind that the field's default has."""
    if structural(field):
        return _kind(where, field.name, default, value)
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: `{field.name}` must be a number; got {value!r}."
        ) from error
    if default is not None and array.shape != np.shape(default):
        raise ValueError(
            f"{where}: `{field.name}` must have shape {np.shape(default)}; "
            f"got {value!r}."
        )
    return array


def _kind(where: str, name: str, default: Any, value: Any) -> Any:
    """A structural value; an integer stands for a float, but not a bool for either."""
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(_kind(where, name, default[0], x) for x in value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        kind = type(default).__name__
        raise ValueError(f"{where}: `{name}` must be of type {kind}; got {value!r}.")
    return value


def load_plan(kind: type[eqx.Module], path: Path, preset: str | None) -> Plan:
    """The sweep of a TOML file: table `[common]` overridden by the table `[preset]`.

    A table holds fields of `kind`, `seeds`, and a sub-table `grid` whose keys are
    fields (several, joined by `,`, share one axis) and whose values are lists. Without
    `preset` only `[common]` is read. Raises `ValueError` on unknown keys and presets.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name}: not valid TOML: {error}.") from error
    for key, value in tables.items():
        if not isinstance(value, dict) and key not in HEADER:
            raise ValueError(
                f"{path.name}: '{key}' stands above the tables; put it into [common]."
            )
    others = [key for key in tables if key not in (*HEADER, "common")]
    wanted = preset or "common"
    if wanted not in tables or wanted in HEADER:
        raise ValueError(
            f"{path.name}: there is no preset '{wanted}'.{nearest(wanted, others)}"
        )
    table = {**tables.get("common", {}), **tables[wanted]}
    grid, seeds = table.pop("grid", {}), table.pop("seeds", 1)
    if not isinstance(grid, dict):
        raise ValueError(f"{path.name}: `grid` must be a table of axes; got {grid!r}.")
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"{path.name}: `seeds` must be an integer >= 1; got {seeds}.")
    config = updated(kind(), table, path.name)
    axes = {_fields(k): _values(k, v) for k, v in grid.items()}
    origin = tables.get("from_preset")  # of the file that this one was written from
    if not isinstance(origin, str | None):
        raise ValueError(f"{path.name}: `from_preset` must be a name; got {origin!r}.")
    return Plan(config, axes, seeds, preset or origin)


def presets(path: Path) -> list[str]:
    """Names of the presets of a TOML file."""
    tables = tomllib.loads(path.read_text())
    return [k for k, v in tables.items() if isinstance(v, dict) and k != "common"]


def _fields(key: str) -> str | tuple[str, ...]:
    names = [part.strip() for part in key.split(",")]
    return tuple(names) if len(names) > 1 else names[0]


def _values(key: str, values: Any) -> Any:
    try:
        if "," in key:
            return tuple(np.asarray(axis, dtype=float) for axis in values)
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"grid: the values of '{key}' must be numbers.") from error


def to_table(config: eqx.Module) -> dict[str, Any]:
    """The fields of `config` as plain numbers, strings and lists; `None` left out."""
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return {name: _plain(x) for name, x in fields.items() if x is not None}


def to_toml(config: eqx.Module) -> str:
    """The fields of `config` as TOML text that `updated` reads back."""
    import tomli_w

    return tomli_w.dumps(to_table(config))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(x) for x in value]
    if isinstance(value, bool | int | str | float):
        return value
    if not isinstance(value, np.ndarray | np.generic | Array):
        return repr(value)  # a function or a module: told, but not read back
    array = np.asarray(value)
    if array.ndim:
        return [_plain(x) for x in array]
    return float(str(array)) if array.dtype.kind == "f" else array.item()
