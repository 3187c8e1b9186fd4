"""The figures of Raman & O'Leary 2021 as sweeps, claims and negative controls."""

from .directions import LEARNING, TABLE2
from .drifting import FIG1
from .geometry import FIG3, FIG4
from .ratios import FIG5, FIG5_BEELINE, FIG5S1, FIG5S1_IID, RESTRICTED


EXPERIMENTS = (
    FIG1,
    FIG3,
    FIG4,
    FIG5,
    FIG5_BEELINE,
    FIG5S1,
    FIG5S1_IID,
    TABLE2,
    RESTRICTED,
    LEARNING,
)
