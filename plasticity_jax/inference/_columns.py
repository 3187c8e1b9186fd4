"""The times of a table whose columns are times."""

import re
from typing import NamedTuple

import numpy as np

from ._hours import date_in, in_hours, NUMBER, time_in
from ._labels import GAPS


class Asked(NamedTuple):
    """What the caller says about times and sizes."""

    interval: float | None
    times: list[float] | None
    time_unit: str | None
    zeros: str


def times_of(
    labels: list[str] | None, count: int, first: int, asked: Asked
) -> list[float]:
    """The hours of the columns, as their names and the caller say."""
    if count < 2:
        raise ValueError("it has one time only: changes need two columns of sizes.")
    shown = _shown(labels, first, asked.time_unit) if labels else None
    given = asked.times
    if given is None and asked.interval is not None:
        given = [asked.interval * j for j in range(count)]
        if labels and shown is None:
            _check_labels(labels, asked.interval)
    if given is not None and len(given) != count:
        raise ValueError(f"`times` must name each of {count} times; got {len(given)}.")
    if shown is None and given is None:
        raise ValueError(
            "its times are not known: give the interval with its unit, such as 0.5h "
            "(`interval=`, --interval), or name the columns with theirs."
        )
    if shown is None:
        return given or []
    for j in range(1, count):
        if shown[j] <= shown[j - 1]:
            does = "repeats" if shown[j] == shown[j - 1] else "is earlier than"
            raise ValueError(
                f"column {j + 1 + first} ('{(labels or [])[j]}') {does} the time "
                "before: times must increase."
            )
    if given is not None:
        check_agree(shown, given)
    return shown


def _shown(labels: list[str], first: int, unit: str | None) -> list[float] | None:
    """The hours that names of columns say; `None` if they say none."""
    for j, label in enumerate(labels):
        if label in labels[:j] and label.lower() not in GAPS:
            where = f"columns {labels.index(label) + 1 + first} and {j + 1 + first}"
            raise ValueError(f"{where} are both '{label}'.")
    told = [time_in(label) for label in labels]
    if None in told and any(time is not None for time in told):
        j = told.index(None)
        raise ValueError(
            f"column {j + 1 + first} ('{labels[j]}') has no time with a unit; others "
            "have."
        )
    dates = [date_in(label) for label in labels]
    if unit and (numbers := _numbers(labels)):
        told = [in_hours(x, unit) for x in numbers]
    elif dates[0] is not None:
        told = [x if x is None else x - dates[0] for x in dates]
    known = [time for time in told if time is not None]
    return known if len(known) == len(labels) else None


def _numbers(labels: list[str]) -> list[float] | None:
    """The numbers of names that differ in nothing else: `0.5`, `t3`, `day_2`."""
    ends = [re.fullmatch(rf"(\D*?)({NUMBER})", label) for label in labels]
    known = [end for end in ends if end]
    alike = len(known) == len(labels) and len({end[1] for end in known}) == 1
    return [float(end[2]) for end in known] if alike else None


def _check_labels(labels: list[str], interval: float) -> None:
    """Raise `ValueError` if numbers in names of columns are not so far apart."""
    if not (numbers := _numbers(labels)):
        return
    steps = np.diff(numbers)
    units = (
        in_hours(float(steps[0]), unit) or 0 for unit in ("s", "min", "h", "d", "w")
    )
    agree = steps[0] == 1 or any(abs(x / interval - 1) < 1e-6 for x in units)
    if not (agree and np.allclose(steps, steps[0], 1e-6, 0)):
        raise ValueError(
            f"columns '{labels[0]}', '{labels[1]}', ... are not numbered as times "
            f"{interval:g} h apart: give `time_unit` or `times` instead."
        )


def check_agree(shown: list[float], given: list[float]) -> None:
    """Raise `ValueError` unless times are as far apart as the caller says."""
    if not np.allclose(np.diff(shown), np.diff(given), 1e-6, 0):
        seen = ", ".join(f"{x:g}" for x in shown[:4])
        raise ValueError(f"its times ({seen}, ... h) are not those that are given.")
