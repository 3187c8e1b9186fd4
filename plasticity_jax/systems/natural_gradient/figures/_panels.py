"""Axes and colours that the figures share."""

from typing import Any

from matplotlib.figure import Figure


EUCLIDEAN, NATURAL, APPROXIMATE = "#d1731c", "#1f5fa8", "#3f9b74"
COLOURS = {
    "euclidean": EUCLIDEAN,
    "natural": NATURAL,
    "approximate": APPROXIMATE,
    "homosynaptic": "#8a5bb0",
    "without_proportional": "#17a2b8",
    "without_weights": "#707070",
    "critical": "#e0a800",
    "unstable": "#b3262e",
    "adaptive": "#e377c2",
}
THEORY = "0.45"
SHADES = ("#1f5fa8", "#3f9b74", "#d1731c", "#8a5bb0", "#b3262e", "#707070")


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure and its array of (rows, columns) axes of `width` x `height` inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for panel in axes.ravel():
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
