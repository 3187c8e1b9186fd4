"""Files of tables, whatever their format, as rows of texts."""

import csv
import importlib
import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from .._arguments import one_of
from ._hours import NUMBER


Cells = list[list[str]]

_BINARY = {  # how a file begins, what it is, what to do
    b"PK\x03\x04": "a zip archive, or an Excel workbook: unpack it, or name it .xlsx",
    b"\x89HDF": "an HDF5 file: name it .nwb if it is NWB",
    b"PAR1": "a Parquet file: name it .parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as .xlsx or .csv",
    b"\x1f\x8b": "compressed: unpack it",
}
_PAGE = re.compile(r"\s*<(!doctype|html|head|body|table|\?xml|!--)", re.I)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_COMMENT = re.compile(r"\s*#(?!N/A)", re.I)
_COMMA = re.compile(r"[+-]?\d*,\d+(?:e[+-]?\d+)?", re.A | re.I)
_COMMA_TIME = re.compile(
    rf"[a-z\s=:_]*{_COMMA.pattern}[\s_\[(]*[a-z]*[\])]*", re.A | re.I
)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.A)


def cells_of(path: Path, part: str | None, decimal: str | None) -> Cells:
    """The rows of a text, Parquet, Excel or NWB file; `ValueError` for any other."""
    with path.open("rb") as file:
        start = file.read(8)
    if path.suffix.lower() in _FORMATS:
        begins, name, read = _FORMATS[path.suffix.lower()]
        if not start.startswith(begins):
            raise ValueError(f"it is named as {name}, and is none.")
        with warnings.catch_warnings():  # of libraries, about styles and versions
            warnings.simplefilter("ignore")
            return read(path, part)
    for begins, says in _BINARY.items():
        if start.startswith(begins):
            raise ValueError(f"it is no text but {says}.")
    if part is not None:
        raise ValueError(
            "`part` names a sheet of .xlsx or a series of .nwb files only."
        )
    return _from_text(_decoded(path.read_bytes()), decimal)


def _library(module: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{path.suffix} files need the extra: python -m pip install "
            '"plasticity-jax[tables]"'
        ) from error


def _chosen(parts: dict[str, Any], part: str | None, kind: str) -> Any:
    """The part that is asked for, or the only one."""
    if part is not None:
        one_of("part", part, tuple(parts))
        return parts[part]
    if len(parts) != 1:
        raise ValueError(
            f"it must have one {kind} with data, or `part` must name one; it has "
            f"{', '.join(map(repr, parts)) or 'none'}."
        )
    return next(iter(parts.values()))


# --- text -----------------------------------------------------------------------------


def _decoded(content: bytes) -> str:
    """The text: UTF-8, UTF-16 with or without mark, else Latin-1."""
    even, odd = content[::2].count(0), content[1::2].count(0)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif max(even, odd) > len(content) / 8 and min(even, odd) < len(content) / 64:
        encodings = ["utf-16-le" if odd > even else "utf-16-be"]
    else:
        encodings = ["utf-8-sig", "latin-1"]
    for encoding in encodings:
        try:
            text = content.decode(encoding).rstrip("\x1a")
        except UnicodeDecodeError:
            continue
        if _PAGE.match(text):
            raise ValueError(
                "it is a web page (HTML or XML): download the table itself."
            )
        if not _CONTROL.search(text):
            return text
    raise ValueError("it is no text: it holds binary data.")


def _from_text(text: str, decimal: str | None) -> Cells:
    lines = re.split(r"\r\n|\r|\n", text)
    lines = [line for line in lines if line.strip() and not _COMMENT.match(line)]
    if not lines:
        raise ValueError("it holds no table: it is empty, or all lines begin with #.")
    if told := re.fullmatch(r"\s*sep=(.)\s*", lines[0], re.I):  # of Excel
        mark, lines = told[1], lines[1:]
    else:
        mark = _delimiter(lines[:20])
    if mark == " ":
        return _with_points([line.split() for line in lines], mark, decimal)
    try:
        rows = list(csv.reader(lines, delimiter=mark, strict=True))
    except csv.Error as error:
        raise ValueError(f"its quotation marks do not match: {error}.") from error
    return _with_points(_stripped(rows), mark, decimal)


def _delimiter(lines: list[str]) -> str:
    """Tab, semicolon, comma or bar, the first that all lines have; else spaces."""
    marks = "\t;,|"
    everywhere = [mark for mark in marks if all(mark in line for line in lines)]
    most = max(marks, key=lambda mark: sum(line.count(mark) for line in lines))
    return [*everywhere, most if any(most in line for line in lines) else " "][0]


def _with_points(cells: Cells, mark: str, decimal: str | None) -> Cells:
    """Decimal commas as points, where it is certain that they are."""
    inner = [cell for row in cells for cell in row[1:]]
    commas = [cell for cell in inner if _COMMA.fullmatch(cell)]
    points = [cell for cell in inner if "." in cell and re.fullmatch(NUMBER, cell)]
    if mark == ",":
        zeros = [cell for cell in inner if re.fullmatch(r"0\d+", cell, re.A)]
        if decimal == "," or (zeros and not points):
            cell = f" (cells such as '{zeros[0]}')" if zeros else ""
            raise ValueError(
                f"commas stand between cells and for decimal points{cell}: write "
                "points, or semicolons between cells."
            )
        return cells
    if decimal == "." or not commas:
        return cells
    if points:
        raise ValueError(
            f"numbers have commas and points ('{commas[0]}', '{points[0]}'): write "
            "decimal points and nothing else."
        )
    if decimal is None and all(_THOUSANDS.fullmatch(cell) for cell in commas):
        raise ValueError(
            f"'{commas[0]}' may have a decimal comma or count thousands: give "
            "`decimal=','` (--decimal ,), or write points."
        )
    point = lambda x: x.replace(",", ".") if _COMMA_TIME.fullmatch(x) else x
    return [[point(cell) for cell in row] for row in cells]


# --- other formats --------------------------------------------------------------------


def _stripped(rows: Iterable[Iterable[Any]]) -> Cells:
    """Cells as texts; numbers so that they are read back to the bit."""

    def text(value: Any) -> str:
        if isinstance(value, float | np.floating):
            return repr(float(value))
        return "" if value is None else str(value).strip()

    return [[text(value) for value in row] for row in rows]


def _from_parquet(path: Path, part: str | None) -> Cells:
    library = _library("pyarrow.parquet", path)
    try:
        table = library.read_table(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"it is a damaged Parquet file: {error}.") from error
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    first = [name for name in index if isinstance(name, str)]  # else a mere count
    names = [*first, *(name for name in table.column_names if name not in first)]
    head = ["" if name.startswith("__index_level") else name for name in names]
    columns = [table.column(name).to_pylist() for name in names]
    return _stripped([head, *zip(*columns, strict=True)])


def _from_excel(path: Path, part: str | None) -> Cells:
    library = _library("openpyxl", path)
    try:  # values as they were last computed, and beside them the formulas
        sheets, formulas = (
            {
                sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)]
                for sheet in library.load_workbook(path, data_only=computed).worksheets
            }
            for computed in (True, False)
        )
    except Exception as error:  # a damaged archive breaks anywhere
        raise ValueError(f"it is a damaged workbook: {error}.") from error
    full = lambda rows: any(cell is not None for row in rows for cell in row)
    title = _chosen(
        {name: name for name, x in sheets.items() if full(x)}, part, "sheet"
    )
    for i, rows in enumerate(zip(sheets[title], formulas[title], strict=True), 1):
        for j, (value, written) in enumerate(zip(*rows, strict=True), 1):
            if value is None and written is not None:
                raise ValueError(
                    f"the formula in row {i}, column {j} of sheet '{title}' was never "
                    "computed: open the workbook and save it."
                )
    return _stripped(row for row in sheets[title] if full([row]))


def _from_nwb(path: Path, part: str | None) -> Cells:
    library = _library("pynwb", path)
    try:
        with library.NWBHDF5IO(path, "r") as file:
            objects = file.read().objects.values()
            series = {
                x.name: x
                for x in objects
                if isinstance(x, library.TimeSeries) and len(np.shape(x.data)) == 2
            }
            return _series(_chosen(series, part, "series of (time, synapse)"))
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"it is a damaged NWB file: {error}.") from error


def _series(series: Any) -> Cells:
    """A series of regions of interest, its seconds as hours."""
    sizes = np.asarray(series.data[:], float) * series.conversion + series.offset
    if series.timestamps is None:
        seconds = series.starting_time + np.arange(len(sizes)) / series.rate
    else:
        seconds = np.asarray(series.timestamps[:], float)
    names = np.arange(1, sizes.shape[1] + 1)
    if (regions := getattr(series, "rois", None)) is not None:
        names = np.asarray(regions.table.id[:])[np.asarray(regions.data[:])]
    head = ["synapse", *(f"{float(x)!r}h" for x in seconds / 3600)]
    units = ["unit", *[series.unit] * len(sizes)]
    return _stripped(
        [head, units, *([n, *x] for n, x in zip(names, sizes.T, strict=True))]
    )


_Reader = Callable[[Path, str | None], Cells]
_FORMATS: dict[str, tuple[bytes, str, _Reader]] = {
    ".parquet": (b"PAR1", "a Parquet file", _from_parquet),
    ".pq": (b"PAR1", "a Parquet file", _from_parquet),
    ".xlsx": (b"PK\x03\x04", "an Excel workbook", _from_excel),
    ".xlsm": (b"PK\x03\x04", "an Excel workbook", _from_excel),
    ".nwb": (b"\x89HDF", "an NWB file", _from_nwb),
}
