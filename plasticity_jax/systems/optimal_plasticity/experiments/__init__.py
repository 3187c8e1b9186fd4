"""The figures of Raman & O'Leary 2021 as sweeps, claims and negative controls."""

from .directions import LEARNING as LEARNING
from .directions import TABLE2 as TABLE2
from .drifting import FIG1 as FIG1
from .geometry import FIG3 as FIG3
from .geometry import FIG4 as FIG4
from .ratios import FIG5 as FIG5
from .ratios import FIG5_BEELINE as FIG5_BEELINE
from .ratios import FIG5S1 as FIG5S1
from .ratios import FIG5S1_IID as FIG5S1_IID
from .ratios import RESTRICTED as RESTRICTED


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
