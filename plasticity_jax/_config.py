"""Configs: to and from TOML, and errors that name the nearest valid name."""

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import numpy as np


C = TypeVar("C", bound=eqx.Module)

Grid = dict[Any, Any]  # field or tuple of fields -> 1-D array or tuple of 1-D arrays


class Plan(NamedTuple):
    """A sweep read from a file: the config, the grid over it, how many seeds."""

    config: Any
    grid: Grid
    seeds: int


def nearest(name: str, allowed: Iterable[str]) -> str:
    """`; did you mean ...? Choose from ...`, the tail of an error about a name."""
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
    names = [field.name for field in dataclasses.fields(config)]
    for name in changes:
        if name not in names:
            raise ValueError(f"{where}: unknown '{name}'.{nearest(name, names)}")
    values = {name: _frozen(value) for name, value in changes.items()}
    for field in dataclasses.fields(config):
        if field.name in values and structural(field):
            _check_kind(where, field.name, values[field.name], config)
    try:
        return dataclasses.replace(config, **values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        rows = any(isinstance(row, list) for row in value)
        return np.asarray(value, dtype=float) if rows else tuple(value)
    return value


def _check_kind(where: str, name: str, value: Any, config: eqx.Module) -> None:
    """A structural value must be of the kind of the default (bool is not an int)."""
    default = getattr(config, name)
    if type(value) is not type(default):
        kind = type(default).__name__
        raise ValueError(f"{where}: `{name}` must be of type {kind}; got {value!r}.")


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
    presets = [key for key, value in tables.items() if isinstance(value, dict)]
    others = [name for name in presets if name != "common"]
    if preset is not None and preset not in presets:
        raise ValueError(
            f"{path.name}: unknown preset '{preset}'.{nearest(preset, others)}"
        )
    table = {**tables.get("common", {}), **(tables[preset] if preset else {})}
    grid, seeds = table.pop("grid", {}), table.pop("seeds", 1)
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        raise ValueError(f"{path.name}: `seeds` must be an integer >= 1; got {seeds}.")
    config = updated(kind(), table, path.name)
    return Plan(config, {_fields(k): _values(k, v) for k, v in grid.items()}, seeds)


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
    array = np.asarray(value)
    if array.ndim:
        return [_plain(x) for x in array]
    return float(str(array)) if array.dtype.kind == "f" else array.item()
