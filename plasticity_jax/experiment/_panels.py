"""Axes that all figures share."""

from typing import Any, TYPE_CHECKING


if TYPE_CHECKING:
    from matplotlib.figure import Figure


THEORY = "0.45"
SHADES = ("#1f5fa8", "#3f9b74", "#d1731c", "#8a5bb0", "#b3262e", "#707070")


def panels(
    rows: int, columns: int, width: float, height: float
) -> "tuple[Figure, Any]":
    """A figure and its array of (rows, columns) axes of `width` x `height` inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.ravel():
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
