"""Ticks of logarithmic axes as plain text: mathtext takes a third of a drawing."""

import re
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, LogFormatterMathtext


NUMBER = re.compile(r"\$\\mathdefault\{([\d.-]*)(\\times)?(?:10\^\{(-?\d+)\})?\}\$")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class PlainPowers(Formatter):
    """Another formatter's labels, powers of ten among them without mathtext."""

    def __init__(self, inner: Formatter) -> None:
        self.inner = inner

    def set_axis(self, axis: Any) -> None:
        super().set_axis(axis)
        self.inner.set_axis(axis)

    def set_locs(self, locs: Any) -> None:
        self.inner.set_locs(locs)

    def __call__(self, x: float, pos: Any = None) -> str:
        return NUMBER.sub(_plain, self.inner(x, pos))


def _plain(number: re.Match[str]) -> str:
    factor, times, exponent = number.groups()
    raised = "" if exponent is None else f"10{exponent.translate(RAISED)}"
    return f"{factor}{'×' if times else ''}{raised}".replace("-", "−")


def plain_ticks(figure: Figure) -> None:
    """Let all logarithmic axes of a figure write their powers as plain text."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            for which in ("major", "minor"):
                formatter = getattr(axis, f"get_{which}_formatter")()
                if isinstance(formatter, LogFormatterMathtext):
                    getattr(axis, f"set_{which}_formatter")(PlainPowers(formatter))
