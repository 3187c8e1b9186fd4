"""What cells and names of columns mean."""

import itertools
import re
from collections.abc import Sequence

import numpy as np

from ._hours import is_unit, NUMBER


GAPS = {"", "na", "n/a", "#n/a", "nan", "null", "none"}
_INFINITE = re.compile(r"[+-]?(inf(inity)?|∞)", re.I)
COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
LARGEST = 1e100
_WORDS = r"synaps|spine|bouton|punct|\broi|(\b|_)id\b|name|label|index"
_ID = re.compile(rf"\D*({_WORDS})\D*|unnamed: 0", re.I)
SIZE = r"size|volume|area|intensity|fluor|weight|strength|amplitude|value|bright"
_CLOCK = {"time", "times", "t", "elapsed"}
_COUNTER = {"frame", "sample", "session", "scan", "step", "timepoint"}


def number_in(text: str) -> float | None:
    """A number, NaN for a gap, `None` for any other text."""
    if re.fullmatch(NUMBER, text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float("inf")
    return float("nan") if text.lower() in GAPS else None


def size_in(text: str, zeros: str) -> float:
    """A size, NaN for a gap; `ValueError` for anything else."""
    size = number_in(text)
    if size is None:
        comma = ", or has a decimal comma" if COMMA.fullmatch(text) else ""
        raise ValueError(f"{text!r} is no number{comma}.")
    if abs(size) > LARGEST:
        raise ValueError(f"{text} is infinite, or above 1e100.")
    if size <= 0 and zeros == "refuse":
        raise ValueError(
            f"a size must be positive; got {text}; `zeros='missing'` (--zeros missing) "
            "makes it a gap."
        )
    return size


def rising(numbers: Sequence[float | None]) -> bool:
    """Whether all are numbers, each above the one before."""
    known = [x for x in numbers if x is not None]
    increase = all(a < b for a, b in itertools.pairwise(known))
    return increase and len(known) == len(numbers)


def spaced(numbers: Sequence[float]) -> bool:
    """Whether three finite numbers or more increase by equal steps."""
    if not np.all(np.abs(numbers) < LARGEST):
        return False
    steps = np.diff(numbers)
    if len(steps) < 2 or not steps[0] > 0:
        return False
    return bool(np.allclose(steps, steps[0], 1e-6, 0))


def is_id(name: str) -> bool:
    """Whether a column so named names synapses; a name with a number is one of them."""
    return bool(_ID.fullmatch(name))


def is_units_row(row: list[str]) -> bool:
    """Whether a row below the header says units: [h], h, h or -, h, a.u."""
    inner = [cell for cell in row[1:] if cell.lower() not in GAPS]
    if not inner or any(number_in(cell) is not None for cell in inner):
        return False
    begins = row[0].lower().strip("[]() -")
    same = len(set(inner)) == 1 or any(map(is_unit, inner))
    return same and (begins in ("", "unit", "units", "none") or row[0] in inner)


def clock_of(name: str) -> tuple[str, str | None] | None:
    """What a column of times counts, and its unit: `time_h`, `hours`, `frame`."""
    words = [x for x in re.split(r"[\s_\-\[\]().,/:]+", name.lower()) if x]
    if not words or re.search(r"\d", name):
        return None
    last = words[-1] if is_unit(words[-1]) else None
    if words[0] in _CLOCK and "point" not in words:
        return "time", last
    if len(words) == 1 and last and (len(last) > 1 or last == "h"):
        return "time", last
    counts = words[0].rstrip("s") in _COUNTER or words[:2] == ["time", "point"]
    return ("count", None) if counts else None
