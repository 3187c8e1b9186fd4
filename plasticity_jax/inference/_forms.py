"""The two forms of a table: a size a row, or rows synapses and columns times."""

import re
from typing import NamedTuple

import numpy as np

from ._cells import Cells
from ._columns import Asked, check_agree, times_of
from ._hours import in_hours, is_time, is_unit, time_in
from ._labels import clock_of, GAPS, is_id, number_in, rising, SIZE, size_in, spaced


_COUNTS = ([0, 1], [1, 2])


class Found(NamedTuple):
    """What a table holds."""

    sizes: np.ndarray
    times: list[float]
    names: list[str] | None
    unit: str | None
    told: tuple[str, ...]


def long_columns(head: list[str]) -> tuple[int, int, int] | None:
    """The columns of synapse, time and size, where each row is one size."""
    clocks = [j for j, name in enumerate(head) if clock_of(name)]
    ids = [j for j, name in enumerate(head) if is_id(name) and j not in clocks]
    rest = [j for j in range(len(head)) if j not in (*clocks, *ids)]
    if not (clocks and ids) or any(time_in(head[j]) is not None for j in rest):
        return None
    units = [j for j in clocks if (clock_of(head[j]) or ("", None))[1]]
    sizes = rest
    if len(rest) > 1:
        sizes = [j for j in rest if re.search(SIZE, head[j], re.I)]
    chosen = ids, units or clocks, sizes
    for what, columns in zip(("synapse", "time", "size"), chosen, strict=True):
        if len(columns) != 1:
            raise ValueError(
                f"one column must be the {what}, among {', '.join(map(repr, head))}: "
                "keep synapse, time with its unit (time_h) and size."
            )
    return ids[0], (units or clocks)[0], sizes[0]


# --- one size a row -------------------------------------------------------------------


def from_long(
    head: list[str],
    units: list[str] | None,
    rows: Cells,
    columns: tuple[int, int, int],
    asked: Asked,
) -> Found:
    """The table of rows of synapse, time and size."""
    who, when, what = columns
    kind, unit = clock_of(head[when]) or ("time", None)
    if units and is_unit(units[when]):
        unit = units[when].strip("[]() ")
    unit = unit or asked.time_unit
    if asked.times is not None:
        raise ValueError("`times` is for columns that are times; here rows name them.")
    sizes: dict[tuple[str, float], float] = {}
    row_of: dict[tuple[str, float], int] = {}
    for i, row in enumerate(rows, 1):
        number, time = number_in(row[when]), time_in(row[when])
        if number is not None and unit:
            time = in_hours(number, unit)
        elif number is not None and kind == "count" and asked.interval:
            time = number * asked.interval
        if time is None or not np.isfinite(time):
            raise ValueError(
                f"row {i}, column {when + 1}: {row[when]!r} is no time with a unit: "
                "name the column time_h or time [min], or give `time_unit`, or of a "
                "column `frame` the `interval`."
            )
        if row[who].lower() in GAPS:
            raise ValueError(f"row {i}, column {who + 1}: the synapse has no name.")
        key = row[who], round(time, 9)
        if key in sizes:
            raise ValueError(
                f"row {i} repeats row {row_of[key]}: '{key[0]}' at {key[1]:g} h."
            )
        try:
            sizes[key] = size_in(row[what], asked.zeros)
        except ValueError as error:
            raise ValueError(f"row {i}, column {what + 1}: {error}") from error
        row_of[key] = i
    names = list(dict.fromkeys(name for name, _ in sizes))
    times = sorted({time for _, time in sizes})
    if kind == "time" and asked.interval is not None:
        check_agree(times, [asked.interval * j for j in range(len(times))])
    place = {x: i for i, x in enumerate(names)}, {x: j for j, x in enumerate(times)}
    table = np.full((len(names), len(times)), np.nan)
    for (name, time), size in sizes.items():
        table[place[0][name], place[1][time]] = size
    size_unit = _unit_in(head[what], units, what)
    return _without_zeros(Found(table, times, names, size_unit, ()))


def _unit_in(name: str, units: list[str] | None, column: int) -> str | None:
    """The unit of sizes, in the row of units or in brackets behind a name."""
    if units and units[column].lower() not in GAPS:
        return units[column].strip("[]() ")
    bracket = re.search(r"[\[(]([^\])]+)[\])]\s*$", name)
    return bracket[1] if bracket else None


# --- rows synapses, columns times -----------------------------------------------------


def from_wide(
    head: list[str] | None, units: list[str] | None, rows: Cells, asked: Asked
) -> Found:
    """The table of rows of sizes."""
    _check_upright(head, rows)
    first, told = _first_size(head, rows)
    names = [row[0] for row in rows] if first else None
    for i, name in enumerate(names or (), 1):
        if name.lower() in GAPS:
            raise ValueError(f"row {i}, column 1: the synapse has no name.")
    labels = head[first:] if head else None
    unit = (clock_of(head[0]) or ("", None))[1] if head and first else None
    if units and all(map(is_unit, units[first:])):
        unit, units = units[first].strip("[]() "), None
    asked = asked._replace(time_unit=asked.time_unit or unit)
    times = times_of(labels, len(rows[0]) - first, first, asked)
    table = np.empty((len(rows), len(times)))
    for i, row in enumerate(rows):
        for j, cell in enumerate(row[first:]):
            try:
                table[i, j] = size_in(cell, asked.zeros)
            except ValueError as error:
                synapse = f" ('{names[i]}')" if names else ""
                time = f" ('{labels[j]}')" if labels else ""
                where = f"row {i + 1}{synapse}, column {j + 1 + first}{time}"
                raise ValueError(f"{where}: {error}") from error
    size_unit = _unit_in("", units, first) if units else None
    return _without_zeros(Found(table, times, names, size_unit, told))


def _check_upright(head: list[str] | None, rows: Cells) -> None:
    """Raise `ValueError` where the first column seems to be times."""
    numbers = [number_in(row[0]) for row in rows]
    counts = [x for x in numbers if x is not None]
    timed = all(is_time(row[0]) for row in rows)
    if head and not all(map(is_time, head[1:])) and rising(numbers):
        broken = any(x % 1 for x in counts)  # which no number of a synapse is
        timed |= clock_of(head[0]) is not None or (head[0] == "" and broken)
    elif not head and len(rows) > 3 and rising(numbers):
        timed |= spaced(counts) and counts[:2] not in _COUNTS
    if timed:
        raise ValueError(
            "the first column seems to be times; rows must be synapses and columns "
            "times: give `transpose=True` (--transpose)."
        )


def _first_size(head: list[str] | None, rows: Cells) -> tuple[int, tuple[str, ...]]:
    """The first column of sizes, 1 where column 0 names the synapses; what to tell."""
    column = [number_in(row[0]) for row in rows]
    if column.count(None) > len(column) / 2:
        return 1, ()
    if head:
        with_number = [bool(re.search(r"\d", x)) for x in head]
        named = head[0] == "" or is_id(head[0]) or clock_of(head[0]) is not None
        if named or (not with_number[0] and any(with_number[1:])):
            return 1, ()
    counts = [x for x in column if x is not None and x % 1 == 0]
    whole = len(set(counts)) == len(rows) > 2
    if not (whole and any("." in cell for row in rows for cell in row[1:])):
        return 0, ()
    if spaced(counts) and counts[:2] in _COUNTS:
        return 1, ("the first column counts the rows and is taken for their names.",)
    raise ValueError(
        "the first column may be names or sizes: name the columns in a row above."
    )


def _without_zeros(found: Found) -> Found:
    """The table with gaps where sizes are not above 0, and a note of how many."""
    zeros = found.sizes <= 0
    if not (count := np.sum(zeros)):
        return found
    told = f"sizes of 0 or below are taken as missing: {count}."
    sizes = np.where(zeros, np.nan, found.sizes)
    return found._replace(sizes=sizes, told=(*found.told, told))
