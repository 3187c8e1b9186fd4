"""Tables of sizes from files: rows synapses and columns times, or a size a row."""

import os
import warnings
from collections.abc import Sequence

from .._arguments import folder, one_of
from ._cells import Cells, cells_of
from ._columns import Asked
from ._forms import Found, from_long, from_wide, long_columns
from ._hours import hours, is_time, is_unit
from ._labels import clock_of, COMMA, is_id, is_units_row, number_in, rising, spaced
from ._oddities import oddities
from ._table import Table


def read_table(
    path: str | os.PathLike[str],
    *,
    interval: str | float | int | None = None,
    times: Sequence[str | float | int] | None = None,
    time_unit: str | None = None,
    unit: str | None = None,
    zeros: str = "refuse",
    decimal: str | None = None,
    header: bool | None = None,
    transpose: bool = False,
    part: str | None = None,
) -> Table:
    r"""Sizes of synapses over time from a text, Parquet, Excel or NWB file.

    Rows are synapses and columns times, or each row is one size (columns synapse,
    `time_h` or `time [min]`, size). Text may be parted by tabs, semicolons, commas or
    spaces, in UTF-8, UTF-16 or Latin-1; lines that begin with `#` are left out. Empty
    cells, NA and NaN are gaps. Parquet, Excel and NWB need the extra `[tables]`.

    Times come from the names of columns, with unit (0.5h, 30 min, day 2, 2026-03-01);
    else from `interval` (0.5, "0.5h", "30 min"), from `times`, or the unit of bare
    numbers from `time_unit`. `unit` is that of sizes. `zeros="missing"` makes gaps of
    sizes of 0 or below, `decimal=","` settles what 1,234 means, `header` whether the
    first row names columns, `transpose` swaps rows and columns, `part` names the sheet
    or series of a file that has several.

    Raises `ValueError`, one sentence with row and column (rows of data counted from 1),
    for what is no table of sizes; warns (`UserWarning`) of what is odd, as `oddities`.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     print("synapse 0min 30min\nA 0.4 0.5\nB 0.7 0.6", file=file, flush=True)
    ...     read_table(file.name).times.tolist()  # in hours
    [0.0, 0.5]
    """
    path = folder(path)
    one_of("zeros", zeros, ("refuse", "missing"))
    if decimal is not None:
        one_of("decimal", decimal, (".", ","))
    if time_unit is not None and not is_unit(time_unit):
        raise ValueError(
            f"`time_unit` must be s, min, h, d or weeks; got {time_unit!r}."
        )
    step = None if interval is None else hours(interval)
    if step is not None and step <= 0:
        raise ValueError(f"`interval` must be positive; got {interval!r}.")
    given = None if times is None else [hours(time) for time in times]
    asked = Asked(step, given, time_unit, zeros)
    try:
        cells = _cropped(cells_of(path, part, decimal))
        if transpose:
            cells = [list(row) for row in zip(*_regular(cells, 0), strict=True)]
        found = _found(cells, asked, header)
        named = found.unit if unit is None else unit
        table = Table(found.sizes, found.times, found.names, named or "a.u.")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for note in (*found.told, *oddities(table)):
        warnings.warn(f"{path}: {note}", stacklevel=2)
    return table


def _found(cells: Cells, asked: Asked, header: bool | None) -> Found:
    """Header, units and rows, in either form."""
    head, rows, units = None, cells, None
    if header is None:
        header = asked.time_unit is not None or _has_header(cells)
    if header:
        head, rows = cells[0], cells[1:]
        if rows and len(head) == len(rows[0]) - 1 and not is_id(head[0]):
            head = ["", *head]  # as R writes it
        if rows and is_units_row(rows[0]):
            units, rows = rows[0], rows[1:]
    if not rows:
        raise ValueError("it has no rows of sizes.")
    _regular([head, *rows] if head else rows, 1 if head else 0)
    if head and (columns := long_columns(head)):
        return from_long(head, units, rows, columns, asked)
    return from_wide(head, units, rows, asked)


def _cropped(cells: Cells) -> Cells:
    """Without empty rows at the end, and empty columns before and after the table."""
    while cells and not any(cells[-1]):
        cells = cells[:-1]
    if not cells:
        raise ValueError("it is empty.")
    full = {i for row in cells for i, cell in enumerate(row) if cell}
    width = max(full) + 1
    return [row[min(full) : width] for row in cells]


def _regular(rows: Cells, heads: int) -> Cells:
    """Rows that are equally long, or `ValueError`."""
    width = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != width:
            first = "the header" if heads else "row 1"
            comma = " (decimal commas?)" if len(row) > 2 * width - 2 > 0 else ""
            raise ValueError(
                f"row {i + 1 - heads} has {len(row)} cells, {first} has {width}{comma}."
            )
    return rows


def _has_header(cells: Cells) -> bool:
    """Whether the first row names the columns; `ValueError` if that is not certain."""
    first, rows = cells[0], cells[1:]
    numbers = [number_in(cell) for cell in first]
    heads = is_id(first[0]) or clock_of(first[0]) is not None
    heads &= not any(is_id(row[0]) or clock_of(row[0]) for row in rows)
    if heads or any(is_time(cell) for cell in first[1:]):
        return True
    if any(COMMA.fullmatch(cell) for cell in first):
        return False
    if None in numbers[1:]:
        return numbers[1:].count(None) > len(first[1:]) / 2
    named = numbers[0] is None or (first[0] == "" and any(row[0] for row in rows))
    counts = [x for x in (numbers[1:] if named else numbers) if x is not None]
    if spaced(counts) and counts[0] <= 0:
        return True
    times = named and counts[:1] == [0] and rising(counts)
    if times or (spaced(counts) and len(counts) > 3):
        raise ValueError(
            "the first row may be times or sizes: give `header=True` or `header=False` "
            "(--header, --no-header), or times with their unit."
        )
    return False
