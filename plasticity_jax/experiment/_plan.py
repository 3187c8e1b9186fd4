"""Plans: what a sweep runs, read from TOML files and command lines."""

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._arguments import folder, nearest, one_of, whole
from .._random import KINDS
from .._sweep._config import checked_grid, refused, shown, updated


HEADER = {"experiment": str, "from_preset": str, "x64": bool}  # keys above the tables
MOST = 1_000_000  # seeds, and points of a span: more is a slip of the pen
Grid = dict[str, Any]  # axis -> 1-D array of its field, or fields -> 1-D arrays


class Plan(NamedTuple):
    """A sweep read from a file: the config, the grid over it, how many seeds.

    `preset` names the table that it was read from, and says so if it was changed;
    `keys` the random generator, "default" (JAX's) or "fast".

    >>> plan = Plan(circuits.Sigmoid(), {"slope": np.array([0.1, 0.3])}, seeds=5)
    >>> print(plan.seeds, plan.keys, plan.config.maximum)
    5 default 100.0
    """

    config: Any
    grid: Grid
    seeds: int
    preset: str | None = None
    keys: str = KINDS[0]


def plan_grid(where: str, config: Any, grid: Any) -> Grid:
    """A grid, checked, as a plan holds it: see `checked_grid`."""
    return {
        name: values[0] if fields == (name,) else dict(zip(fields, values, strict=True))
        for name, fields, values in checked_grid(where, config, grid)
    }


def fields_of(axis: str, values: Any) -> list[str]:
    """The fields of an axis of a plan's grid."""
    return list(values) if isinstance(values, dict) else [axis]


def seed_count(where: str, value: Any) -> int:
    """A number of seeds; `ValueError`, beginning with `where`, for anything else."""
    try:
        count = whole("seeds", value, 1)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if count > MOST:
        raise ValueError(f"{where}: `seeds` must be at most {MOST}; got {count}.")
    return count


def read_tables(path: str | Path) -> dict[str, Any]:
    """The content of a parameter file: TOML in UTF-8, a byte order mark or none.

    Raises `ValueError` with the file's name for what is no TOML, for values that stand
    above the tables, and for a header of another kind (`x64 = "true"`).

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "mine.toml")
    ...     size = file.write_text("small = {seeds = 3, rate = 0.1}")
    ...     print(read_tables(file))
    {'small': {'seeds': 3, 'rate': 0.1}}
    """
    path = folder(path)
    try:
        tables = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path.name}: not valid TOML: {error}.") from error
    for key, value in tables.items():
        if key in HEADER and type(value) is not HEADER[key]:
            must = "be true or false" if HEADER[key] is bool else "be a text"
            raise refused(f"{path.name}: `{key}`", must, value)
        if key not in HEADER and not isinstance(value, dict):
            raise ValueError(
                f"{path.name}: '{key}' is no table, and values stand in one, such as "
                f"[common]; got {shown(value)}."
            )
    return tables


def load_plan(kind: Any, path: str | Path, preset: str | None) -> Plan:
    """The sweep of a TOML file: table `[common]` overridden by the table `[preset]`.

    A table holds fields of `kind`, `seeds`, `keys`, and a sub-table `grid` of fields
    and lists; in it fields that share an axis are a sub-table, named as the axis is.
    Without `preset` only `[common]` is read. Raises `ValueError` on unknown keys and
    presets, on values and axes that `updated` and `checked_grid` refuse, and on a file
    for double precision (`x64 = true`) while JAX computes in single.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "mine.toml")
    ...     size = file.write_text("small = {seeds = 3, grid = {threshold = [0, 10]}}")
    ...     print(load_plan(circuits.Sigmoid, file, "small").grid)
    {'threshold': array([ 0., 10.])}
    """
    path = folder(path)
    tables = read_tables(path)
    wanted = preset or "common"
    if wanted not in tables or wanted in HEADER:
        hint = nearest(wanted, _presets(tables))
        raise ValueError(f"{path.name}: there is no preset '{wanted}'.{hint}")
    if tables.get("x64") and jnp.result_type(float) != np.float64:
        raise ValueError(
            f"{path.name}: it is for double precision (x64 = true); switch it on: "
            'jax.config.update("jax_enable_x64", True).'
        )
    table = {**tables.get("common", {}), **tables[wanted]}
    grid, seeds = table.pop("grid", {}), table.pop("seeds", 1)
    keys = table.pop("keys", KINDS[0])
    one_of(f"{path.name}: keys", keys, KINDS)
    if not isinstance(grid, dict):
        raise refused(f"{path.name}: `grid`", "be a table of axes", grid)
    seeds = seed_count(path.name, seeds)
    try:
        config = kind()
    except TypeError as error:
        raise ValueError(
            f"{path.name}: a config must be a class whose fields all have defaults; "
            f"got {kind!r} ({error})."
        ) from error
    config = updated(config, table, path.name)
    axes = plan_grid(f"{path.name}: grid", config, grid)
    origin = tables.get("from_preset")  # of the file that this one was written from
    return Plan(config, axes, seeds, preset or origin, keys)


def presets(path: str | Path) -> list[str]:
    r"""Names of the presets of a TOML file.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "mine.toml")
    ...     size = file.write_text("[small]\nseeds = 3\n[full]\nseeds = 9")
    ...     print(presets(file))
    ['small', 'full']
    """
    return _presets(read_tables(path))


def _presets(tables: dict[str, Any]) -> list[str]:
    return [name for name in tables if name not in (*HEADER, "common")]


CHANGED = ", changed"  # a preset of which the command line changed something


def overridden(
    plan: Plan,
    settings: Iterable[str],
    axes: Iterable[str],
    seeds: int | None,
    keys: str | None = None,
) -> Plan:
    """The plan with the command line's `--set`, `--grid`, `--seeds` and `--keys`.

    Raises `ValueError` for a field that is none, is given twice, or is an axis.

    >>> plan = Plan(circuits.Sigmoid(), {}, seeds=5, preset="small")
    >>> plan = overridden(plan, ["slope=0.5"], ["threshold=0:10:3"], seeds=2)
    >>> print(plan.config.slope, plan.grid["threshold"], plan.seeds, plan.preset)
    0.5 [ 0.  5. 10.] 2 small, changed
    """
    changes = _once("--set", map(_setting, settings))
    grid = {**plan.grid, **_once("--grid", map(_axis, axes))}
    swept = {field for axis, x in grid.items() for field in fields_of(axis, x)}
    if name := next((name for name in changes if name in swept), None):
        raise ValueError(f"--set {name}: it is an axis of the grid; use --grid.")
    count = plan.seeds if seeds is None else seed_count("--seeds", seeds)
    config = updated(plan.config, changes, "--set")
    if changes or axes:
        grid = plan_grid("--grid" if axes else "--set: grid", config, grid)
    preset = plan.preset
    if preset and (changes or axes or seeds is not None or keys is not None):
        preset = preset.removesuffix(CHANGED) + CHANGED
    kind = plan.keys if keys is None else keys
    one_of("--keys", kind, KINDS)
    return Plan(config, grid, count, preset, kind)


def _once(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Names and values; `ValueError` for a name that is given twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{option} {name}: it is given twice.")
        found[name] = value
    return found


def changed(*, seeds: int | None = None, **fields: Any) -> Callable[[Plan], Plan]:
    """A control: the plan with other values of some fields, and at most `seeds` seeds.

    A value may be a function of the config. A field that is an axis of the grid leaves
    it. Raises `ValueError`, when the plan is made, for a field or a value that the
    config does not take, and for a field that shares its axis with others.

    >>> plan = Plan(circuits.Sigmoid(), {"slope": np.array([0.1, 0.3])}, seeds=5)
    >>> control = changed(slope=1.0, seeds=2)(plan)
    >>> print(control.config.slope, control.grid, control.seeds)
    1.0 {} 2
    """

    def control(plan: Plan) -> Plan:
        values = {k: x(plan.config) if callable(x) else x for k, x in fields.items()}
        config = updated(plan.config, values, "changed")
        grid = {axis: x for axis, x in plan.grid.items() if axis not in fields}
        for axis, x in grid.items():
            if not fields.keys().isdisjoint(fields_of(axis, x)):
                raise ValueError(f"changed: {list(fields)}: on the axis '{axis}'.")
        most = plan.seeds if seeds is None else seeds
        return plan._replace(config=config, grid=grid, seeds=min(plan.seeds, most))

    return control


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--set {text}: write name=value.")
    try:
        table = tomllib.loads(f"x = {value}")
    except (RecursionError, ValueError):  # a word without quotes
        return name, value
    return name, table["x"] if len(table) == 1 else value


def _axis(text: str) -> tuple[str, np.ndarray]:
    name, _, span = text.partition("=")
    try:
        if ":" not in span:
            return name, np.asarray([float(x) for x in span.split(",")])
        start, stop, count = span.split(":")
        start, stop, count = float(start), float(stop), int(count)
    except ValueError as error:
        raise ValueError(
            f"--grid {text}: write name=start:stop:count or name=a,b,c."
        ) from error
    if not 0 <= count <= MOST:
        raise ValueError(f"--grid {text}: count must lie in [1, {MOST}]; got {count}.")
    with np.errstate(all="ignore"):  # what is not finite is refused by name
        return name, np.linspace(start, stop, count)
