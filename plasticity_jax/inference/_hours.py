"""Times with their unit, as people write them."""

import math
import re
from datetime import datetime


_UNITS = {  # of an hour: as a ratio, so that 30 min are half of it to the bit
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), (1, 3600)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), (1, 60)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), (1, 1)),
    **dict.fromkeys(("d", "day", "days"), (24, 1)),
    **dict.fromkeys(("w", "wk", "week", "weeks"), (168, 1)),
}
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_AFTER = re.compile(rf"(?:t|time)?[\s=:_]*({NUMBER})[\s_]*([a-z]+)", re.I)
_BEFORE = re.compile(rf"(min|minute|hr|hour|day|week)s?[\s=:_]*({NUMBER})", re.I)


def hours(time: str | float | int) -> float:
    """A time in hours: a number is one; a text names its unit (0.5h, 30 min, 1d).

    Raises `ValueError` for a text without a unit of s, min, h, d or weeks, and for what
    is not finite.

    >>> hours("30 min"), hours("1d"), hours(0.5)
    (0.5, 24.0, 0.5)
    """
    if isinstance(time, str):
        if (found := time_in(time)) is None:
            raise ValueError(
                f"{time!r} is no time with a unit, such as 0.5h, 30 min or 1d."
            )
        return found
    if isinstance(time, bool) or not math.isfinite(time):
        raise ValueError(f"A time must be a finite number of hours; got {time!r}.")
    return float(time)


def time_in(text: str) -> float | None:
    """The hours that a text says, with unit: `0.5 h`, `time 30 [min]`, `day 2`."""
    text = re.sub(r"[\[\]()]", " ", text).strip()
    if found := _AFTER.fullmatch(text):
        return in_hours(float(found[1]), found[2])
    if found := _BEFORE.fullmatch(text):
        return in_hours(float(found[2]), found[1])
    return None


def in_hours(number: float, unit: str) -> float | None:
    """So many of a unit; `None` where the unit is none, or the number not finite."""
    if unit.lower() not in _UNITS or not math.isfinite(number):
        return None
    times, over = _UNITS[unit.lower()]
    return number * times / over


def is_time(text: str) -> bool:
    """Whether a text is a time with its unit, or a date."""
    return time_in(text) is not None or date_in(text) is not None


def is_unit(text: str) -> bool:
    """Whether a text is the name of a unit of time, in brackets or not."""
    return text.strip("[]() ").lower() in _UNITS


def date_in(text: str) -> float | None:
    """The hours of a date (2026-03-01, 2026-03-01 14:30) since the year 1."""
    if not re.match(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        date = datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
    return (date - datetime(1, 1, 1)).total_seconds() / 3600
