"""Configs: to and from TOML, and errors that name the nearest valid name."""

import dataclasses
import numbers
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from .._arguments import arrays_in, members
from .._arguments import nearest as nearest


C = TypeVar("C")

LINE = 80  # characters of a config that is printed in one line
LISTED = 20  # entries of an array that are printed, all of them
SHOWN = 60  # characters of a value in a message


class AbstractConfig(eqx.Module):
    """Parameters of a run. Printed, it shows their values.

    Raises `ValueError` for a switch that is neither true nor false.

    >>> class Config(AbstractConfig):
    ...     rate: jax.Array = eqx.field(default=0.1, converter=real)
    ...     neurons: int = eqx.field(default=100, static=True)
    >>> Config(rate=0.5)
    Config(rate=0.5, neurons=100)
    """

    def __check_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type is bool and not isinstance(value, bool | np.bool_):
                raise refused(f"`{field.name}`", "be True or False", value)

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)
        parts = [f"{f.name}={_printed(getattr(self, f.name))}" for f in fields]
        line = f"{type(self).__name__}({', '.join(parts)})"
        if len(line) <= LINE:
            return line
        inside = "".join(f"  {part},\n" for part in parts)
        return f"{type(self).__name__}(\n{inside})"


def structural(field: dataclasses.Field) -> bool:
    """Whether a config field is static: part of the compiled program, not swept."""
    return bool(field.metadata.get("static", False))


# --- values ---------------------------------------------------------------------------


def updated(config: C, changes: Mapping[str, Any], where: str = "config") -> C:
    """`config` with some fields replaced and every range checked again.

    Integers stand for floats, and NumPy's numbers for Python's. Raises `ValueError`
    naming an unknown field with the nearest valid one, or the field whose value is of
    another kind or shape, not a number, or beyond what its precision holds.
    """
    fields = _fields_of(where, config)
    for name in changes:
        if name not in fields:
            raise ValueError(f"{where}: unknown '{name}'.{nearest(name, fields)}")
    values = {
        name: _read(f"{where}: `{name}`", fields[name], getattr(config, name), value)
        for name, value in changes.items()
    }
    found = _replaced(where, config, values)
    for name, value in values.items():
        _check_kept(f"{where}: `{name}`", value, getattr(found, name))
    return found


def _fields_of(where: str, config: Any) -> dict[str, dataclasses.Field]:
    if isinstance(config, type) or not dataclasses.is_dataclass(config):
        raise ValueError(
            f"{where}: a config is an instance of a class with fields, an "
            f"`equinox.Module`; got {shown(config)}."
        )
    return {field.name: field for field in dataclasses.fields(config)}


def _replaced(where: str, config: Any, values: Mapping[str, Any]) -> Any:
    try:
        with np.errstate(over="ignore"):  # `_check_kept` tells what is lost
            return dataclasses.replace(config, **values)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error


def _read(where: str, field: dataclasses.Field, default: Any, value: Any) -> Any:
    """A value of a file, a command line or a user, of the kind that the field has."""
    kinds = members(field.type)
    if value is None and (default is None or type(None) in kinds):
        return None
    if isinstance(value, Tracer):
        return value
    if structural(field) or not _is_numeric(field, default):
        return _cast(where, kinds, default, value)
    array = as_numbers(value)
    if array is None:
        raise refused(where, "be a number", value)
    count = _dimensions(field)
    if default is not None and field.default is not None:
        if array.shape != np.shape(default):
            raise refused(where, f"have shape {np.shape(default)}", value)
    elif count is not None and array.ndim != count:
        raise refused(where, f"have {count} axes", value)
    if int in kinds or getattr(default, "dtype", array.dtype).kind in "iu":
        if not np.all(array == np.rint(array)):
            raise refused(where, "be integer", value)
        return array.astype(np.asarray(default).dtype)
    return array


def _is_numeric(field: dataclasses.Field, default: Any) -> bool:
    """Whether a field that is not static holds numbers that may be swept."""
    if arrays_in(field.type) or Array in members(field.type):
        return True
    numeric = numbers.Real | np.ndarray | Array | None
    return isinstance(default, numeric) and not isinstance(default, bool)


def _dimensions(field: dataclasses.Field) -> int | None:
    """How many axes a field has by its annotation; `None` if that does not say."""
    for kind in arrays_in(field.type):
        several = any("Variadic" in type(dim).__name__ for dim in kind.dims)
        return None if several else len(kind.dims)
    return None


def _cast(where: str, kinds: tuple[Any, ...], default: Any, value: Any) -> Any:
    """A value of one of the kinds; an integer stands for a float, no bool for either.

    Annotations that are no plain kind (texts, functions) leave it to the default's.
    """
    plain = [k for k in kinds if k in (bool, int, float, str)]
    several = [k for k in kinds if typing.get_origin(k) is tuple]
    example = default[0] if isinstance(default, tuple) and default else None
    if not plain and not several:
        if default is None:
            return value
        several = [] if example is None else [tuple[type(example), ...]]
        plain = [] if several else [type(default)]
    if several and isinstance(value, list | tuple | np.ndarray):
        inner = typing.get_args(several[0])
        repeated = inner[-1:] == (Ellipsis,)
        if not repeated and len(inner) != len(value):
            raise refused(where, f"have {len(inner)} entries", value)
        each = inner[:1] * len(value) if repeated else inner
        pairs = zip(each, value, strict=True)
        return tuple(_cast(where, members(kind), example, x) for kind, x in pairs)
    if isinstance(value, np.ndarray | np.generic | Array) and np.shape(value) == ():
        value = np.asarray(value).item()
    for kind in plain:
        if type(value) is kind or (kind is float and type(value) is int):
            return _bounded(where, kind, value)
        if callable(value) and callable(default):
            return value
    names = " or ".join(k.__name__ for k in plain) if plain else "tuple"
    raise refused(where, f"be of type {names}", value)


def _bounded(where: str, kind: Any, value: Any) -> Any:
    """A float that is a number, an integer of 64 bits."""
    if kind is int and not -(2**63) <= value < 2**63:
        raise refused(where, "fit 64 bits", value)
    if kind is float:
        try:
            value = float(value)
        except OverflowError as error:
            raise refused(where, "be a number that a float holds", value) from error
        if value != value:
            raise refused(where, "be a number", value)
    return value


def as_numbers(values: Any) -> np.ndarray | None:
    """An array of floats; `None` where an entry is a text, a boolean or no number."""
    entries = jax.tree.leaves(values, is_leaf=lambda x: not isinstance(x, list | tuple))
    if any(isinstance(x, bool | np.bool_) for x in entries):
        return None
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and not all(
            isinstance(x, numbers.Real) for x in array.flat
        ):
            return None
        if array.dtype.kind in "iufO" or jnp.issubdtype(array.dtype, jnp.floating):
            return array.astype(float)
    except (OverflowError, TypeError, ValueError):
        pass
    return None


def _check_kept(where: str, given: Any, kept: Any) -> None:
    """Raise where a number is none, or was lost as it took its field's precision."""
    if not isinstance(given, np.ndarray) or isinstance(kept, Tracer):
        return
    if np.any(np.isnan(given)):
        raise refused(where, "be a number", given)
    kind = np.asarray(kept).dtype
    now = np.asarray(kept, float)
    if not jnp.issubdtype(kind, jnp.floating) or now.shape != given.shape:
        return
    if np.any(np.isfinite(given) & ~np.isfinite(now) | (given != 0) & (now == 0)):
        raise ValueError(
            f"{where} is beyond the range of {kind}: {shown(given)} becomes "
            f"{shown(now)}."
        )


def refused(where: str, must: str, value: Any) -> ValueError:
    """An error that says what a value must be, and what it is."""
    return ValueError(f"{where} must {must}; got {shown(value)}.")


def shown(value: Any) -> str:
    """A value in a message, cut where it is long."""
    if isinstance(value, Tracer):
        return "a traced value"
    try:
        plain = isinstance(value, np.ndarray | np.generic | Array)
        text = repr(np.asarray(value).tolist() if plain else value)
    except (TypeError, ValueError):  # an integer of more digits than Python prints
        return f"a value of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _printed(value: Any) -> str:
    if isinstance(value, Tracer):
        return "traced"
    if not isinstance(value, np.ndarray | np.generic | Array):
        return repr(value)
    if jnp.issubdtype(value.dtype, jax.dtypes.extended):  # a key
        return str(value)
    if value.size > LISTED:
        return np.array2string(np.asarray(value), separator=", ", threshold=LISTED)
    return repr(_plain(value))


# --- grids ----------------------------------------------------------------------------


class Axis(NamedTuple):
    """Fields of a config that share an axis of the grid, and the values of each."""

    name: str
    fields: tuple[str, ...]
    values: tuple[np.ndarray, ...]


def checked_grid(where: str, config: Any, grid: Any) -> list[Axis]:
    """The axes of a grid, checked against a config.

    Raises `ValueError`, beginning with `where`, for fields that are unknown, structural
    or no single number, or stand in two axes, for values that `axis_values` refuses,
    for shared axes of unequal length or called like a field, and for points outside the
    config's ranges.
    """
    known = _fields_of(where, config)
    choices = [name for name, field in known.items() if not structural(field)]
    if not isinstance(grid, Mapping):
        raise ValueError(f"{where}: a grid is a table of axes; got {shown(grid)}.")
    axes = []
    for name, given in grid.items():
        if not isinstance(name, str):
            raise ValueError(f"{where}: an axis has a name; got {shown(name)}.")
        rows = given if isinstance(given, Mapping) else {name: given}
        for field in rows:
            if field not in known:
                hint = nearest(str(field), choices)
                raise ValueError(f"{where}: unknown field '{field}'.{hint}")
            _check_axis(where, known[field], getattr(config, field), choices)
        taken = name in known or name in ("seed", "diverged")
        if isinstance(given, Mapping) and (taken or not name.isidentifier()):
            raise ValueError(
                f"{where}: fields that share an axis give it a name of its own, like "
                f"`rates`; got '{name}' for {list(rows)}."
            )
        values = [axis_values(f"{where}: '{f}'", row) for f, row in rows.items()]
        if len(lengths := {f: len(x) for f, x in zip(rows, values, strict=True)}) == 0:
            raise ValueError(f"{where}: '{name}' must share out fields; got none.")
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{where}: zipped axes differ in length: {lengths}.")
        axes.append(Axis(name, tuple(rows), tuple(values)))
    used = [field for axis in axes for field in axis.fields]
    if repeated := {field for field in used if used.count(field) > 1}:
        raise ValueError(f"{where}: {sorted(repeated)} appear in more than one axis.")
    for axis in axes:
        for point in zip(*axis.values, strict=True):  # the config's own range checks
            values = dict(zip(axis.fields, point, strict=True))
            found = _replaced(where, config, values)
            for name, value in values.items():
                kept = getattr(found, name)
                _check_kept(f"{where}: '{name}'", np.asarray(value), kept)
    return axes


def _check_axis(
    where: str, field: dataclasses.Field, default: Any, choices: list[str]
) -> None:
    """Raise unless a field may be an axis: one number that is not structural."""
    if structural(field):
        raise ValueError(
            f"{where}: '{field.name}' is structural (a size, a count or a kind) and "
            f"cannot be an axis; sweep each value on its own.{nearest('', choices)}"
        )
    single = np.shape(default) == () if default is not None else not _dimensions(field)
    if not single or not _is_numeric(field, default):
        raise ValueError(
            f"{where}: '{field.name}' is not one number and cannot be an axis; sweep "
            "each value on its own."
        )


def axis_values(where: str, values: Any) -> np.ndarray:
    """A non-empty row of finite numbers, as floats; `ValueError` for anything else."""
    array = as_numbers(values)
    if array is None:
        raise refused(f"{where}: its values", "be numbers", values)
    if array.ndim != 1 or not array.size:
        raise ValueError(
            f"{where} needs a non-empty 1-D array of numbers; got {shown(values)}."
        )
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{where} holds values that are not finite: {shown(values)}.")
    return array


# --- files ----------------------------------------------------------------------------


def to_table(config: Any) -> dict[str, Any]:
    """The fields of `config` as plain numbers, strings and lists.

    `None` is left out where it is the default: TOML has no word for it.
    """
    fields = {f: getattr(config, f.name) for f in dataclasses.fields(config)}
    return {
        f.name: _plain(x)
        for f, x in fields.items()
        if x is not None or f.default is not None
    }


def to_toml(config: Any) -> str:
    """The fields of `config` as TOML text that `updated` reads back."""
    import tomli_w

    return tomli_w.dumps(to_table(config))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(x) for x in value]
    if not isinstance(value, np.ndarray | np.generic | Array):
        plain = isinstance(value, bool | int | str | float)
        return value if plain else repr(value)  # a function: told, but not read back
    array = np.asarray(value)
    if array.ndim:
        return [_plain(x) for x in array]
    return float(str(array)) if array.dtype.kind == "f" else array.item()
