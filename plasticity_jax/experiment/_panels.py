"""Axes that all figures share."""

from typing import Any, TYPE_CHECKING


if TYPE_CHECKING:
    from matplotlib.figure import Figure


THEORY = "0.45"
SHADES = ("#1f5fa8", "#3f9b74", "#d1731c", "#8a5bb0", "#b3262e", "#707070")


def panels(
    rows: int, columns: int, width: float, height: float
) -> "tuple[Figure, Any]":
    """A figure and its array of (rows, columns) axes of `width` x `height` inches.

    >>> figure, axes = panels(1, 2, 3.0, 2.0)
    >>> print(figure.get_size_inches(), axes.shape)
    [6. 2.] (1, 2)
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.ravel():
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
