"""Colours that the figures share."""

from ....experiment import panels as panels
from ....experiment import SHADES as SHADES
from ....experiment import THEORY as THEORY


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
